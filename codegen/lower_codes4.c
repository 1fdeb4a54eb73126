// lower_codes4.c: a register tile of products of codes with a weight of 4 bits (ir/op/codes.h): a sum of whole numbers
// for each group of 64 columns of k, times the group's scale, is added to what the groups before gave:
//   y[r][n] += float(sum_k row[r][k] q[n][k]) * scale[n][group]
//
// What lies in memory is q + 8, a byte without a sign once it is taken out of its word, so that targets multiply it
// with bytes as they are, of rows that nothing was made of before: by dot4u, or by pairs4 into halves of 16 bits, which
// hold a whole group. That the sum is one of q comes from what it starts with: the halves behind the row's room. The
// sums of a group need all registers that there are, so y waits in scratch.
#include "lower_codes.h"

enum { STEP_WORDS = GROUP_WORDS / 2 }; // words of a column of the weight in a group

typedef struct Group4 {
  const CodeTile *t;
  KIdx group;
  bool plain; // dot4u: sums of words; else of halves
  KVal acc[TILE_MOST_ACC];
} Group4;

static KVal both_halves(Kernel *k, KVal halves) { // their sum
  return kb_op3(k, K_dot2, kb_const(k, 0, DT_I32, k->lanes), halves, kb_const(k, 0x10001, DT_I32, k->lanes));
}

static void start_group(Group4 *s) {
  const CodeTile *t = s->t;
  Kernel *k = t->c->lo.k;
  KIdx behind = ki_add(ki_addc(t->a_at, t->c->words + CODE_ROOM), s->group);
  for (int r = 0; r < t->rows; r++) {
    KVal start = kb_bcast(k, t->a, ki_add(behind, ki_mul(t->lda, r)), "start");
    if (s->plain) start = both_halves(k, start);
    for (int v = 0; v < t->vectors; v++)
      s->acc[r * t->vectors + v] = kb_var(k, start, arena_printf(k->arena, "acc%d_%d", r, v));
  }
}

static KVal load_words(const CodeTile *t, KIdx word, int v) {
  const Codes *c = t->c;
  Kernel *k = c->lo.k;
  int per_panel = PANEL / (int)k->lanes;
  KIdx at = ki_mul(ki_add(ki_mul(t->p->panel, c->panel_words), word), PANEL);
  at = ki_addc(ki_add(at, ki_mul(t->ldb, v / per_panel)), (int64_t)(v % per_panel) * k->lanes);
  return kb_load(k, c->w, at, k->lanes, k->lanes, "b");
}

// Products of all rows with the upper or lower halves of the bytes of n vectors of words, from `first` on.
static void multiply(const Group4 *s, KIdx word, int first, int n, bool upper, KIdx a_at) {
  const CodeTile *t = s->t;
  Kernel *k = t->c->lo.k;
  KVal b[TILE_MOST_ACC];
  for (int v = 0; v < n; v++) b[v] = kb_op1(k, upper ? K_high4 : K_low4, load_words(t, word, first + v));
  for (int r = 0; r < t->rows; r++) {
    KVal a = kb_bcast(k, t->a, ki_add(a_at, ki_mul(t->lda, r)), "a");
    for (int v = 0; v < n; v++) {
      KVal acc = s->acc[r * t->vectors + first + v];
      kb_set(k, acc, kb_op3(k, s->plain ? K_dot4u : K_pairs4, acc, b[v], a));
    }
  }
}

static void add_group(const Group4 *s) {
  const CodeTile *t = s->t;
  const Codes *c = t->c;
  Kernel *k = c->lo.k;
  int64_t groups = c->words / GROUP_WORDS, per_panel = PANEL / (int64_t)k->lanes;
  for (int v = 0; v < t->vectors; v++) {
    KIdx at = ki_add(ki_mul(ki_addc(t->p->panel, v / per_panel), groups), s->group);
    at = ki_addc(ki_mul(at, PANEL), v % per_panel * k->lanes);
    KVal scale = kb_load(k, c->scales, at, k->lanes, k->lanes, "scales");
    for (int r = 0; r < t->rows; r++) {
      KVal sum = s->acc[r * t->vectors + v];
      KVal y = kb_op2(k, K_mul, kb_cvt(k, s->plain ? sum : both_halves(k, sum), DT_F32), scale);
      KIdx to = ki_addc(ki_mul(t->ldy, r), (int64_t)v * k->lanes);
      y = kb_op2(k, K_add, kb_load(k, c->tile, to, k->lanes, k->lanes, "y"), y);
      kb_store(k, c->tile, to, y, k->lanes);
    }
  }
}

void codes4_tile(const CodeTile *t) {
  const Codes *c = t->c;
  Kernel *k = c->lo.k;
  Group4 s = {.t = t, .plain = c->lo.t->dot == DOT_PLAIN};
  bool asks = codes_stream(c);
  KVal zero = kb_const(k, 0, DT_F32, k->lanes);
  for (int r = 0; r < t->rows; r++)
    for (int v = 0; v < t->vectors; v++)
      kb_store(k, c->tile, ki_addc(ki_mul(t->ldy, r), (int64_t)v * k->lanes), zero, k->lanes);
  KIdx groups = ki_var(kb_let(k, ki_const(c->words / GROUP_WORDS), "n"));
  s.group = ki_var(kb_loop(k, "g", kbound(ki_const(0)), kbound(groups), 1));
  KIdx first_word = ki_mul(s.group, STEP_WORDS), of_row = ki_add(t->a_at, ki_mul(s.group, GROUP_WORDS));
  if (asks && t->rows > 1) codes_ask_for_next(t, first_word, STEP_WORDS);
  start_group(&s);
  KIdx i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(STEP_WORDS)), 1));
  KIdx word = ki_add(first_word, i), a = ki_add(of_row, i);
  if (asks && t->rows == 1) codes_ask_ahead(t, word);
  int most = s.plain ? t->vectors : CODE_VECTORS;
  for (int v = 0; v < t->vectors; v += most) {
    int n = t->vectors - v < most ? t->vectors - v : most;
    multiply(&s, word, v, n, false, a);
    multiply(&s, word, v, n, true, ki_addc(a, STEP_WORDS));
  }
  kb_end(k);
  add_group(&s);
  kb_end(k);
}
