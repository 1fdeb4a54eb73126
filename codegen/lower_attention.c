// lower_attention.c: one kernel per attention: scores, mask, softmax and the weighted sum of values, per batch entry
// and head; scores never leave L1/L2 scratch.
//
// One task (batch entry, head, block of queries):
//   K of the head is packed as panels of 16 keys [slots/16][d][16], V as panels of 16 columns
//   [e/16][slots][16] (rows would fall into few sets of the first-level cache);
//   per tile of query rows:  scores[rows][slots] = q K^T;  mask, maximum, e^(s - max), sum;  y = (e V) / sum
// Keys are a list of parts (one, or the segments of the key axis), each with scratch slots of its own that start at a
// multiple of 16, so that a part of run-time length leaves no gap that could be read. The mask expression is simplified
// for each pair of query and key part; a pair that is fully hidden costs nothing, a fully visible one no mask work, and
// for `key <= query` over the same part the loops stop at the last key that a tile sees.
// The position of a key counts along the actual concatenation: the run-time lengths of the parts before it, plus its
// index. A query that sees no key gets zeros. `masked` adds a number to hidden keys instead of removing them.
#include "kmath.h"
#include "lower_reduce.h"
#include "lower_tile.h"

#include <math.h>

enum { MOST_VECTORS = SCORE_LANES / 4 };                       // that partial results lie in
enum { FEW_QUERIES = 4, KEYS_AHEAD = 8, MOST_IN_PLACE = 256 }; // queries, rows asked for ahead, columns of a head
static const double LEAST = -3.0e38; // maximum of a row without visible keys: e^(-inf - LEAST) is 0, not NaN

typedef struct Part { // of the query or key axis
  Range r;
  KIdx position;    // of its first row in the whole sequence
  int32_t modality; // -1: unknown
  int64_t slot;     // keys: first scratch slot
} Part;

typedef struct Operand3 { // q, k, v or y: element (b, row, column)
  KBufRef buf;
  int64_t b, row, column;
} Operand3;

typedef struct Attention {
  Lowering lo;
  const Value *anchor;
  int64_t heads, d, e, e_pad, slots;
  double scale;
  const Attr *masked;
  const Mask *mask;
  Operand3 q, k, v, y;
  struct {
    KBufRef buf;
    int64_t b, n;
    KBufRef scratch; // 0.0 / 1.0 per slot
    bool constant, value;
  } arg[16];
  KBufRef bias; // [heads][queries][keys] by upper bounds, in PACK_rows; or none
  int64_t bias_head, bias_row;
  bool in_place;     // keys and values are read where they lie
  KBufRef start_buf; // position of query 0, or none
  int64_t start_stride, start_constant;
  Part key[MAX_SEGS], query[MAX_SEGS];
  int nkey, nquery;
  KBufRef kt, vs, s, inv, tile;
  int rows, width; // query rows and panels of a tile
  int64_t block;
  KIdx block_start, batch, head, start;
} Attention;

typedef struct QueryTile {
  Attention *a;
  const Part *q;
  KIdx row; // within the part
  int rows;
  const Mask *mask[MAX_SEGS]; // per key part; NULL: hidden
  bool causal[MAX_SEGS];      // key <= query over the same part: keys up to row + rows
} QueryTile;

static int64_t round_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

/* masks ----------------------------------------------------------------------------------------------- */
static const Mask mask_true = {.op = MASK_TRUE};

static bool mask_asks(const Mask *m, bool key) { // (is key ..) or (is query ..) somewhere
  return m && ((m->op == MASK_IS && m->on_key == key) || mask_asks(m->a, key) || mask_asks(m->b, key));
}
static bool mask_reads(const Mask *m, int arg) {
  return m && ((m->op == MASK_ARG && m->index == arg) || mask_reads(m->a, arg) || mask_reads(m->b, arg));
}

// The mask for keys of one part seen from queries of another; NULL = false.
static const Mask *simplify(const Attention *at, const Mask *m, const Part *q, const Part *k) {
  if (m->op == MASK_IS) return (m->on_key ? k : q)->modality == m->index ? &mask_true : NULL;
  if (m->op == MASK_ARG && at->arg[m->index].constant) return at->arg[m->index].value ? &mask_true : NULL;
  if (m->op != MASK_NOT && m->op != MASK_AND && m->op != MASK_OR) return m;
  const Mask *a = simplify(at, m->a, q, k), *b = m->b ? simplify(at, m->b, q, k) : NULL;
  bool all_a = a && a->op == MASK_TRUE, all_b = b && b->op == MASK_TRUE;
  if (m->op == MASK_NOT && (!a || all_a)) return a ? NULL : &mask_true;
  if (m->op == MASK_AND) {
    if (!a || !b) return NULL;
    if (all_a || all_b) return all_a ? b : a;
  }
  if (m->op == MASK_OR) {
    if (all_a || all_b) return &mask_true;
    if (!a || !b) return a ? a : b;
  }
  Mask *c = ARENA_ARRAY(at->lo.arena, Mask, 3); // the node and copies of its operands
  c[0] = *m, c[1] = *a;
  c[0].a = &c[1];
  if (b) c[2] = *b, c[0].b = &c[2];
  return c;
}

// Does the mask hide every key behind the query?
static bool hides_later(const Mask *m) {
  if (!m) return false;
  if (m->op == MASK_LE || m->op == MASK_LT) return m->on_key;
  return m->op == MASK_AND && (hides_later(m->a) || hides_later(m->b));
}

static bool same_index(const KIdx *a, const KIdx *b) {
  return a->c == b->c && ki_same_terms(a, b);
}

// Query and key rows of the two parts are the same positions.
static bool same_rows(const Attention *a, const Part *q, const Part *k) {
  return same_index(&q->position, &k->position) && same_index(&q->r.len, &k->r.len) && !a->start_buf.id &&
         !a->start_constant && !value_int(a->anchor, A_qstart, 0);
}

static KVal mask_value(const QueryTile *t, const Mask *m, const Part *part, KIdx key, KIdx row) {
  const Attention *a = t->a;
  Kernel *k = a->lo.k;
  KVal x, y;
  switch (m->op) {
  case MASK_LE:
  case MASK_LT:
  case MASK_EQ:
    x = kb_op2(k, K_add, kb_index(k, ki_add(part->position, key), DT_I32, k->lanes), kb_iota(k, DT_I32));
    y = kb_index(k, ki_add(ki_add(t->q->position, row), a->start), DT_I32, k->lanes);
    return kb_op2(k, m->op == MASK_LE ? K_le : m->op == MASK_LT ? K_lt : K_eq, m->on_key ? x : y, m->on_key ? y : x);
  case MASK_ARG:
    x = kb_load(k, a->arg[m->index].scratch, ki_addc(key, part->slot), k->lanes, k->lanes, NULL);
    return kb_op2(k, K_lt, kb_const(k, 0, DT_F32, k->lanes), x);
  case MASK_NOT: return kb_op1(k, K_not, mask_value(t, m->a, part, key, row));
  case MASK_AND:
  case MASK_OR:
    x = mask_value(t, m->a, part, key, row);
    return kb_op2(k, m->op == MASK_AND ? K_and : K_or, x, mask_value(t, m->b, part, key, row));
  default: x = kb_const(k, 0, DT_I32, k->lanes); return kb_op2(k, K_eq, x, x);
  }
}

/* packing --------------------------------------------------------------------------------------------- */
static KIdx row_address(const Attention *a, const Operand3 *o, KIdx row, int64_t head_columns) {
  KIdx i = ki_add(ki_mul(a->batch, o->b), ki_mul(row, o->row));
  return ki_add(i, ki_mul(a->head, head_columns * o->column));
}

static void pack_key(Attention *a, const Part *p, KIdx panel, KIdx j, KIdx c) {
  KIdx from = ki_add(row_address(a, &a->k, ki_addc(j, p->r.start), a->d), ki_mul(c, a->k.column));
  KIdx to = ki_add(ki_add(ki_mul(panel, a->d - 1), j), ki_addc(ki_mul(c, PANEL), p->slot * a->d));
  kb_store(a->lo.k, a->kt, to, kb_load(a->lo.k, a->k.buf, from, 1, 1, NULL), 1);
}

// Whole panels column by column: 16 adjacent stores; the keys behind them row by row.
static void pack_keys(Attention *a, const Part *p) {
  Kernel *k = a->lo.k;
  int64_t whole = p->r.bound / PANEL * PANEL;
  if (whole) {
    KIdx panel = ki_var(kb_loop(k, "jp", kbound(ki_const(0)), kbound_floor(p->r.len, PANEL), PANEL));
    KIdx c = ki_var(kb_loop(k, "c", kbound(ki_const(0)), kbound(ki_const(a->d)), 1));
    for (int u = 0; u < PANEL; u++) pack_key(a, p, panel, ki_addc(panel, u), c);
    kb_end(k);
    kb_end(k);
  }
  if (p->r.fixed && whole == p->r.bound) return;
  KIdx panel = ki_var(kb_loop(k, "jp", kbound_floor(p->r.len, PANEL), kbound(p->r.len), PANEL));
  KIdx j = ki_var(kb_loop(k, "j", kbound(panel), kbound(p->r.len), 1));
  pack_key(a, p, panel, j, ki_var(kb_loop(k, "c", kbound(ki_const(0)), kbound(ki_const(a->d)), 1)));
  for (int i = 0; i < 3; i++) kb_end(k);
}

typedef struct PackRow {
  Attention *a;
  KIdx from, to;
} PackRow;

static void pack_value(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const PackRow *r = ud;
  KVal x = kb_load(lo->k, r->a->v.buf, ki_add(r->from, ki_mul(c, r->a->v.column)), lanes, lanes == 1 ? 1 : n, NULL);
  kb_store(lo->k, r->a->vs, ki_add(r->to, c), x, lanes == 1 ? 1 : lanes);
}

// n columns of a row from `column` on, the start of a panel.
static void pack_value_panel(Attention *a, const Part *p, KIdx j, KIdx column, int64_t n) {
  KIdx from = ki_add(row_address(a, &a->v, ki_addc(j, p->r.start), a->e), ki_mul(column, a->v.column));
  PackRow r = {a, from, ki_add(ki_mul(ki_addc(j, p->slot), PANEL), ki_mul(column, a->slots))};
  Range columns = {0, ki_const(n), n, true};
  lower_columns(&a->lo, &columns, a->v.column == 1, 1, NULL, 0, pack_value, &r);
}

static void pack_values(Attention *a, const Part *p) {
  Kernel *k = a->lo.k;
  int64_t whole = a->e / PANEL * PANEL;
  KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(p->r.len), 1));
  if (whole) {
    KVar c = kb_loop(k, "cp", kbound(ki_const(0)), kbound(ki_const(whole)), PANEL);
    pack_value_panel(a, p, j, ki_var(c), PANEL);
    kb_end(k);
  }
  if (whole < a->e) pack_value_panel(a, p, j, ki_const(whole), a->e - whole);
  kb_end(k);
}

typedef struct PackMask {
  Attention *a;
  const Part *p;
  int arg;
} PackMask;

static void pack_mask_column(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const PackMask *m = ud;
  Attention *a = m->a;
  int64_t stride = a->arg[m->arg].n;
  KIdx from = ki_add(ki_mul(a->batch, a->arg[m->arg].b), ki_mul(c, stride));
  KVal x = kb_cvt(lo->k, kb_loadm(lo->k, a->arg[m->arg].buf, from, lanes == 1 ? 1 : n), DT_F32);
  kb_store(lo->k, a->arg[m->arg].scratch, ki_addc(c, m->p->slot - m->p->r.start), x, lanes == 1 ? 1 : n);
}

static void pack_masks(Attention *a, const Part *p) {
  for (int i = 0; i < 16; i++) {
    if (!a->arg[i].buf.id) continue;
    PackMask m = {a, p, i};
    lower_columns(&a->lo, &p->r, a->arg[i].n == 1, 1, NULL, 0, pack_mask_column, &m);
  }
}

/* scores ---------------------------------------------------------------------------------------------- */
// Keys of part i that the tile's last row sees.
static KIdx seen_keys(const QueryTile *t, int i) {
  return t->causal[i] ? ki_addc(t->row, t->rows) : t->a->key[i].r.len;
}

static KIdx bias_address(const QueryTile *t, const Part *p, KIdx key, KIdx row) {
  const Attention *a = t->a;
  KIdx query = ki_addc(ki_add(t->row, row), t->q->r.start);
  return ki_add(ki_add(ki_mul(a->head, a->bias_head), ki_mul(query, a->bias_row)), ki_addc(key, p->r.start));
}

// One vector of the bias. Lanes behind the last key of a part read the row's padding or the next part's columns; their
// scores are removed with those of the other slots that hold no key.
static KVal load_bias(const QueryTile *t, const Part *p, KIdx key, int row, int vector) {
  Kernel *k = t->a->lo.k;
  KIdx at = bias_address(t, p, ki_addc(key, (int64_t)vector * k->lanes), ki_const(row));
  return kb_load(k, t->a->bias, at, k->lanes, k->lanes, "bias");
}

// Scores of `panels` panels of keys from `key` on, for all rows of the tile.
static void emit_scores(const QueryTile *t, const Part *p, KIdx key, int panels) {
  const Attention *a = t->a;
  Kernel *k = a->lo.k;
  RegTile r;
  tile_open(&r, k, t->rows, panels, a->q.row, PANEL * a->d, a->slots);
  KIdx d = tile_length(&r, ki_const(a->d));
  bool from_bias = a->bias.id && a->scale == 1; // then the sum starts from the bias
  if (!from_bias) tile_start_zero(&r);
  for (int i = 0; from_bias && i < t->rows * r.vectors; i++)
    tile_start(&r, i / r.vectors, i % r.vectors, load_bias(t, p, key, i / r.vectors, i % r.vectors));
  KIdx c = ki_var(kb_loop(k, "k", kbound(ki_const(0)), kbound(d), 1));
  KIdx qi = ki_add(row_address(a, &a->q, ki_addc(t->row, t->q->r.start), a->d), ki_mul(c, a->q.column));
  tile_step(&r, a->q.buf, qi, a->kt, ki_add(ki_mul(ki_addc(key, p->slot), a->d), ki_mul(c, PANEL)));
  kb_end(k);
  for (int i = 0; i < t->rows * r.vectors && a->scale != 1; i++) {
    r.acc[i] = kb_op2(k, K_mul, r.acc[i], kb_const(k, a->scale, DT_F32, k->lanes));
    if (a->bias.id) r.acc[i] = kb_op2(k, K_add, r.acc[i], load_bias(t, p, key, i / r.vectors, i % r.vectors));
  }
  tile_store(&r, a->s, ki_addc(key, p->slot), (int64_t)panels * PANEL);
  tile_close(&r);
}

// The lines of key row j that a later iteration reads: they are far apart, no prefetcher of a processor sees them
// coming.
static void prefetch_row(const Attention *a, const Operand3 *o, KIdx at, int64_t columns) {
  KIdx later = ki_addc(at, KEYS_AHEAD * o->row);
  for (int64_t c = 0; c < columns; c += PANEL) kb_prefetch(a->lo.k, o->buf, ki_addc(later, c), 1);
}

// Scores of one query row: a dot product with each key row; column c joins partial result c mod SCORE_LANES.
static void emit_dots(const QueryTile *t, const Part *p, KIdx seen, KIdx row) {
  const Attention *a = t->a;
  Kernel *k = a->lo.k;
  KVal q[MOST_IN_PLACE / 4], dot[MOST_VECTORS];
  int64_t vectors = a->d / k->lanes, partials = SCORE_LANES / k->lanes;
  kb_region(k, "scores_in_place", "scores of one query; the keys lie in rows");
  KIdx n = ki_var(kb_let(k, seen, "n"));
  KIdx from = row_address(a, &a->q, ki_addc(ki_add(t->row, row), t->q->r.start), a->d);
  for (int64_t v = 0; v < vectors; v++)
    q[v] = kb_load(k, a->q.buf, ki_addc(from, v * k->lanes), k->lanes, k->lanes, "q");
  KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(n), 1));
  KIdx key = row_address(a, &a->k, ki_addc(j, p->r.start), a->d);
  prefetch_row(a, &a->k, key, a->d);
  for (int64_t v = 0; v < vectors; v++) {
    KVal x = kb_load(k, a->k.buf, ki_addc(key, v * k->lanes), k->lanes, k->lanes, NULL);
    KVal *sum = &dot[v % partials];
    *sum = v < partials ? kb_op2(k, K_mul, q[v], x) : kb_op3(k, K_fma, q[v], x, *sum);
  }
  KVal s = lower_fold(k, K_add, dot, (int)partials);
  if (a->scale != 1) s = kb_op2(k, K_mul, s, kb_const(k, a->scale, DT_F32, 1));
  if (a->bias.id) s = kb_op2(k, K_add, s, kb_load(k, a->bias, bias_address(t, p, j, row), 1, 1, "bias"));
  kb_store(k, a->s, ki_add(ki_mul(row, a->slots), ki_addc(j, p->slot)), s, 1);
  kb_end(k);
  kb_end(k);
}

static void emit_part_scores(const QueryTile *t, int i) {
  const Part *p = &t->a->key[i];
  Kernel *k = t->a->lo.k;
  if (t->a->in_place) {
    KIdx row = ki_const(0);
    if (t->rows > 1) row = ki_var(kb_loop(k, "i", kbound(row), kbound(ki_const(t->rows)), 1));
    emit_dots(t, p, seen_keys(t, i), row);
    if (t->rows > 1) kb_end(k);
    return;
  }
  int64_t group = (int64_t)t->a->width * PANEL;
  KIdx seen = seen_keys(t, i), padded = ki_addc(seen, PANEL - 1);
  bool constant = p->r.fixed && !t->causal[i];
  int64_t whole = round_up(p->r.bound, PANEL) / group * group; // if constant
  if (!constant || whole) {
    KVar v = kb_loop(k, "jp", kbound(ki_const(0)), kbound_floor(padded, group), group);
    emit_scores(t, p, ki_var(v), t->a->width);
    kb_end(k);
  }
  if (group > PANEL && constant && round_up(p->r.bound, PANEL) > whole)
    emit_scores(t, p, ki_const(whole), (int)((round_up(p->r.bound, PANEL) - whole) / PANEL));
  if (group > PANEL && !constant) {
    KVar v = kb_loop(k, "jp", kbound_floor(padded, group), kbound(seen), PANEL);
    emit_scores(t, p, ki_var(v), 1);
    kb_end(k);
  }
}

/* softmax --------------------------------------------------------------------------------------------- */
typedef struct SoftRow {
  const QueryTile *t;
  KIdx i;                 // row within the tile
  KIdx row;               // within the part
  KVal acc, most;         // maximum: of each lane, of all; its order shows in no result
  KVal sum[MOST_VECTORS]; // key j of a part joins partial result j mod SCORE_LANES
} SoftRow;

static KIdx score_address(const SoftRow *r, const Part *p, KIdx key) {
  return ki_addc(ki_add(ki_mul(r->i, r->t->a->slots), key), p->slot);
}

// Masks one vector of scores and joins it to the maximum. n: lanes that are keys, 0: as many as the run-time length
// says.
static void emit_masked(const SoftRow *r, int i, KIdx key, const Mask *mask, int64_t n) {
  const Attention *a = r->t->a;
  const Part *p = &a->key[i];
  Kernel *k = a->lo.k;
  KVal s = kb_load(k, a->s, score_address(r, p, key), k->lanes, k->lanes, "s"), old = s;
  KVal hidden = kb_const(k, -HUGE_VAL, DT_F32, k->lanes);
  if (mask->op != MASK_TRUE) {
    KVal m = mask_value(r->t, mask, p, key, r->row);
    KVal other = a->masked ? kb_op2(k, K_add, s, kb_const(k, a->masked->f, DT_F32, k->lanes)) : hidden;
    s = kb_op3(k, K_select, m, s, other);
  }
  if (n < (int64_t)k->lanes) {
    KVal index = kb_op2(k, K_add, kb_index(k, key, DT_I32, k->lanes), kb_iota(k, DT_I32));
    KVal in = n ? lower_first(&r->t->a->lo, n) : kb_op2(k, K_lt, index, kb_index(k, p->r.len, DT_I32, k->lanes));
    s = kb_op3(k, K_select, in, s, hidden);
  }
  if (s.id != old.id) kb_store(k, a->s, score_address(r, p, key), s, k->lanes);
  kb_set(k, r->acc, kb_op2(k, K_max, r->acc, s));
}

static void emit_mask_loop(const SoftRow *r, int i, KBound from, KBound to, const Mask *mask, int64_t n) {
  Kernel *k = r->t->a->lo.k;
  KVar v = kb_loop(k, "j", from, to, k->lanes);
  emit_masked(r, i, ki_var(v), mask, n);
  kb_end(k);
}

// Slots of part i that are summed, from its first key on; those that are no keys are hidden. Of several parts whole
// groups, so that each begins at the first partial result.
static KBound summed_slots(const SoftRow *r, int i) {
  KIdx seen = seen_keys(r->t, i);
  bool one = r->t->a->nkey == 1;
  return one ? kbound(seen) : kbound_floor(ki_addc(seen, SCORE_LANES - 1), SCORE_LANES);
}

static void emit_part_maximum(const SoftRow *r, int i) {
  const Part *p = &r->t->a->key[i];
  int64_t lanes = r->t->a->lo.k->lanes, whole = p->r.bound / lanes * lanes;
  const Mask *mask = r->t->mask[i] ? r->t->mask[i] : &(const Mask){.op = MASK_NOT, .a = &(Mask){.op = MASK_TRUE}};
  if (r->t->causal[i]) { // the part's last vector lies behind or holds the diagonal: every key behind is hidden by the
                         // mask
    bool only = mask->op == MASK_LE;
    KBound seen = kbound_floor(ki_addc(r->row, 1), lanes); // keys that the row surely sees
    if (only) emit_mask_loop(r, i, kbound(ki_const(0)), seen, &mask_true, lanes);
    emit_mask_loop(r, i, only ? seen : kbound(ki_const(0)), summed_slots(r, i), mask, lanes);
    return;
  }
  if (!p->r.fixed || whole) emit_mask_loop(r, i, kbound(ki_const(0)), kbound_floor(p->r.len, lanes), mask, lanes);
  if (p->r.fixed && r->t->a->nkey == 1) {
    if (whole < p->r.bound) emit_masked(r, i, ki_const(whole), mask, p->r.bound - whole);
    return;
  }
  emit_mask_loop(r, i, kbound_floor(p->r.len, lanes), summed_slots(r, i), mask, 0);
}

// Adds a vector to the partial result whose turn it is. The registers go round, so that a loop over vectors is written
// once: two bodies of an exponential are slower, they share too few registers. Where a round stops does not matter, as
// halves that are joined stay halves.
static void add_in_turn(Kernel *k, const KVal *sum, KVal x) {
  int last = SCORE_LANES / (int)k->lanes - 1;
  KVal next = kb_op2(k, K_add, sum[0], x);
  for (int u = 0; u < last; u++) kb_set(k, sum[u], sum[u + 1]);
  kb_set(k, sum[last], next);
}

static void emit_part_exp(const SoftRow *r, int i) {
  const Attention *a = r->t->a;
  Kernel *k = a->lo.k;
  KVar v = kb_loop(k, "j", kbound(ki_const(0)), summed_slots(r, i), k->lanes);
  KIdx at = score_address(r, &a->key[i], ki_var(v));
  KVal e = kmath_exp_neg(k, kb_op2(k, K_sub, kb_load(k, a->s, at, k->lanes, k->lanes, "s"), r->most));
  kb_store(k, a->s, at, e, k->lanes);
  add_in_turn(k, r->sum, e);
  kb_end(k);
}

static bool part_seen(const QueryTile *t, int i) {
  return t->mask[i] || t->a->masked;
}

static void emit_softmax(const QueryTile *t) {
  const Attention *a = t->a;
  Kernel *k = a->lo.k;
  SoftRow r = {.t = t, .i = ki_const(0)};
  if (t->rows > 1) r.i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(t->rows)), 1));
  r.row = ki_add(t->row, r.i);
  kb_region(k, "softmax_row", "softmax of the scores of one query, except for the division: one over the sum");
  r.acc = kb_var(k, kb_const(k, LEAST, DT_F32, k->lanes), "most");
  for (int i = 0; i < a->nkey; i++)
    if (part_seen(t, i)) emit_part_maximum(&r, i);
  r.most = kb_splat(k, kb_op1(k, K_hmax, r.acc));
  int partials = SCORE_LANES / (int)k->lanes;
  for (int u = 0; u < partials; u++) r.sum[u] = kb_var(k, kb_const(k, 0, DT_F32, k->lanes), "sum");
  for (int i = 0; i < a->nkey; i++)
    if (part_seen(t, i)) emit_part_exp(&r, i);
  KVal sum = lower_fold(k, K_add, r.sum, partials), one = kb_const(k, 1, DT_F32, 1), zero = kb_const(k, 0, DT_F32, 1);
  KVal some = kb_op1(k, K_not, kb_op2(k, K_eq, sum, zero)); // a NaN stays one
  kb_store(k, a->inv, r.i, kb_op3(k, K_select, some, kb_op2(k, K_div, one, sum), zero), 1);
  kb_end(k);
  if (t->rows > 1) kb_end(k);
}

/* weighted sum of values ------------------------------------------------------------------------------ */
// Columns of `panels` panels of values from `column` on.
static void emit_weighted(const QueryTile *t, KIdx column, int64_t columns, int panels) {
  const Attention *a = t->a;
  Kernel *k = a->lo.k;
  int64_t pitch = (int64_t)a->width * PANEL;
  RegTile g;
  KIdx seen[MAX_SEGS] = {0};
  tile_open(&g, k, t->rows, panels, a->slots, a->in_place ? PANEL : PANEL * a->slots, pitch);
  for (int i = 0; i < a->nkey; i++)
    if (part_seen(t, i)) seen[i] = tile_length(&g, seen_keys(t, i));
  tile_start_zero(&g);
  for (int i = 0; i < a->nkey; i++) {
    if (!part_seen(t, i)) continue;
    const Part *p = &a->key[i];
    KIdx j = ki_var(kb_loop(k, "k", kbound(ki_const(0)), kbound(seen[i]), 1)), slot = ki_addc(j, p->slot);
    if (a->in_place) {
      KIdx row = ki_add(row_address(a, &a->v, ki_addc(j, p->r.start), a->e), column);
      prefetch_row(a, &a->v, row, columns);
      tile_step(&g, a->s, slot, a->v.buf, row);
    } else {
      tile_step(&g, a->s, slot, a->vs, ki_add(ki_mul(column, a->slots), ki_mul(slot, PANEL)));
    }
    kb_end(k);
  }
  // Through scratch and a loop over rows: with the factors of all rows at hand gcc would spill accumulators.
  tile_store(&g, a->tile, ki_const(0), (int64_t)panels * PANEL);
  tile_close(&g);
  KIdx r = t->rows > 1 ? ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(t->rows)), 1)) : ki_const(0);
  KIdx to = ki_add(row_address(a, &a->y, ki_addc(ki_add(t->row, r), t->q->r.start), a->e), column);
  KVal inv = kb_bcast(k, a->inv, r, "inv");
  for (int v = 0; v < g.vectors; v++) {
    int64_t c = (int64_t)v * k->lanes, n = columns - c < (int64_t)k->lanes ? columns - c : (int64_t)k->lanes;
    if (n <= 0) continue;
    KVal y = kb_load(k, a->tile, ki_addc(ki_mul(r, pitch), c), k->lanes, k->lanes, NULL);
    kb_store(k, a->y.buf, ki_addc(to, c), kb_op2(k, K_mul, y, inv), n);
  }
  if (t->rows > 1) kb_end(k);
}

// All columns: groups of `width` panels, and what is left.
static void emit_values(const QueryTile *t) {
  const Attention *a = t->a;
  Kernel *k = a->lo.k;
  int64_t group = (int64_t)a->width * PANEL, whole = a->e / group * group;
  if (whole) {
    KVar v = kb_loop(k, "c", kbound(ki_const(0)), kbound(ki_const(whole)), group);
    emit_weighted(t, ki_var(v), group, a->width);
    kb_end(k);
  }
  if (whole < a->e) emit_weighted(t, ki_const(whole), a->e - whole, (int)((a->e_pad - whole) / PANEL));
}

/* tasks ----------------------------------------------------------------------------------------------- */
typedef struct TileContext {
  Attention *a;
  const Part *q;
} TileContext;

static void emit_query_tile(Lowering *lo, KIdx row, int rows, bool tail, void *ud) {
  (void)lo;
  (void)tail;
  const TileContext *c = ud;
  Attention *a = c->a;
  QueryTile t = {.a = a, .q = c->q, .row = row, .rows = rows};
  for (int i = 0; i < a->nkey; i++) {
    t.mask[i] = simplify(a, a->mask, c->q, &a->key[i]);
    t.causal[i] = !a->masked && hides_later(t.mask[i]) && same_rows(a, c->q, &a->key[i]);
    if (part_seen(&t, i)) emit_part_scores(&t, i);
  }
  emit_softmax(&t);
  emit_values(&t);
}

static void emit_tasks(Attention *a) {
  Kernel *k = a->lo.k;
  const Axis *batch = &a->lo.axis[0];
  int pars = 2;
  a->batch = ki_var(kb_par(k, "b", kbound(ki_const(0)), kbound(batch->range[0].len), 1));
  a->head = ki_var(kb_par(k, "h", kbound(ki_const(0)), kbound(ki_const(a->heads)), 1));
  int64_t least = ki_min(k, &batch->range[0].len), entries = a->heads * (least > 1 ? least : 1), most = 0;
  for (int i = 0; i < a->nquery; i++) most = a->query[i].r.bound > most ? a->query[i].r.bound : most;
  if (entries < 8 && most >= 6 * a->rows) {
    int64_t blocks = (8 + entries - 1) / entries;
    a->block = round_up((most + blocks - 1) / blocks, a->rows);
    a->block_start = ki_var(kb_par(k, "t", kbound(ki_const(0)), kbound(ki_const(most)), a->block));
    pars++;
  }
  a->start = ki_const(value_int(a->anchor, A_qstart, 0) + a->start_constant);
  if (a->start_buf.id) {
    int64_t keys = type_extent(a->lo.m, &graph_value(a->lo.g, a->anchor->args[1])->type, 1);
    KVar v = kb_ldidx(k, a->start_buf, ki_mul(a->batch, a->start_stride), 0, keys - 1, "start");
    a->start = ki_add(a->start, ki_var(v));
  }
  for (int i = 0; i < a->nkey; i++) {
    if (!a->in_place) pack_keys(a, &a->key[i]), pack_values(a, &a->key[i]);
    pack_masks(a, &a->key[i]);
  }
  for (int i = 0; i < a->nquery; i++) {
    TileContext c = {a, &a->query[i]};
    lower_tiles(&a->lo, &a->query[i].r, a->rows, a->block ? &a->block_start : NULL, a->block, emit_query_tile, &c);
  }
  while (pars--) kb_end(k);
}

// Parts of axis 1 with their positions.
static int parts_of(Attention *a, const Type *t, bool by_segment, Part *part) {
  Axis axis = lower_axis(&a->lo, t, 1, by_segment);
  KIdx position = ki_const(0);
  int64_t slot = 0;
  for (int i = 0; i < axis.n; i++) {
    bool segment = t->nseg && t->segaxis == 1 && axis.n == t->nseg;
    part[i] = (Part){axis.range[i], position, segment ? t->seg[i].modality : -1, slot};
    position = ki_add(position, axis.range[i].len);
    slot += round_up(axis.range[i].bound, PANEL);
  }
  return axis.n;
}

SY_MUST_USE static bool add_operand(Attention *a, int arg, const char *name, Operand3 *o) {
  Source s;
  int64_t stride[MAX_RANK];
  Val v = a->anchor->args[arg];
  if (!lower_stored(&a->lo, v, name, &s, stride)) return false;
  *o = (Operand3){s.buf, stride[0], stride[1], stride[2]};
  return true;
}

// The bias is laid out once for all its slices (the last layer's query row, one modality's rows and columns).
SY_MUST_USE static bool add_bias(Attention *a, Val v) {
  Access at;
  if (!rows_with_room(a->lo.g, v, &at)) return lower_fail(&a->lo, v, "a bias lies in rows with room behind (pack)");
  a->bias_head = at.stride[0], a->bias_row = at.stride[1];
  return lower_packed(&a->lo, &at, "bias", storage_elements(a->lo.g, at.base) - at.offset, &a->bias);
}

SY_MUST_USE static bool add_extra(Attention *a, int arg) {
  Val v = a->anchor->args[arg];
  if (graph_value(a->lo.g, v)->type.dtype == DT_F32) return add_bias(a, v);
  Source s;
  int64_t stride[MAX_RANK];
  bool position = graph_value(a->lo.g, v)->type.dtype == DT_I32;
  if (!position && !mask_reads(a->mask, arg)) return true;
  if (!lower_operand(&a->lo, v, position ? "start" : "mask", &s, stride)) return false;
  if (s.constant && position) {
    a->start_constant = (int64_t)s.value;
  } else if (s.constant) {
    a->arg[arg].constant = true;
    a->arg[arg].value = s.value != 0;
  } else if (position) {
    a->start_buf = s.buf;
    a->start_stride = stride[0];
  } else {
    a->arg[arg].buf = s.buf;
    a->arg[arg].b = stride[0];
    a->arg[arg].n = stride[1];
  }
  return true;
}

// Every height that a run-time number of rows may give is a copy of scores, softmax and values: lower tiles, as many as
// keep the multipliers busy.
static int64_t most_rows(const Attention *a, int64_t rows, int64_t panels) {
  bool fixed = true;
  for (int i = 0; i < a->nquery; i++) fixed = fixed && a->query[i].r.fixed;
  int64_t enough = panels > 1 ? 6 : 8;
  return fixed || rows < enough ? rows : enough;
}

static void choose_tile(Attention *a) {
  const Target *t = a->lo.t;
  const Costs *c = t->cost;
  double best = 1e30;
  int64_t keys = a->slots / PANEL, values = a->e_pad / PANEL, rows = 0;
  for (int i = 0; i < a->nquery; i++) rows = a->query[i].r.bound > rows ? a->query[i].r.bound : rows;
  for (size_t i = 0; i < sizeof t->tile / sizeof *t->tile && t->tile[i].rows; i++) {
    int64_t w = t->tile[i].panels;
    double cost = (double)(keys * a->d) + c->left_over * (double)(keys % w ? a->d : 0);
    cost += (double)(values * keys * PANEL) + c->left_over * (double)(values % w ? keys * PANEL : 0);
    cost *= 1 + c->later_tile * (double)i;
    if (cost >= best) continue;
    best = cost;
    a->width = t->tile[i].panels;
    int64_t most = most_rows(a, t->tile[i].rows, w);
    a->rows = (int)(most < rows ? most : rows);
  }
}

static bool reads_in_place(const Attention *a) {
  int64_t queries = 0;
  for (int i = 0; i < a->nquery; i++) queries += a->query[i].r.bound;
  return queries <= FEW_QUERIES && a->q.column == 1 && a->k.column == 1 && a->v.column == 1 &&
         a->d % SCORE_LANES == 0 && a->d <= MOST_IN_PLACE && a->e % PANEL == 0;
}

// Value rows that lie in memory, far apart, are read once from end to end, if the tile has the registers.
static int whole_rows(const Attention *a) {
  int per_panel = PANEL / (int)a->lo.k->lanes;
  int64_t most = (int64_t)a->lo.t->vregs * 3 / 4 / (a->rows * per_panel), panels = a->e_pad / PANEL;
  return (int)(most < 1 ? 1 : most < panels ? most : panels);
}

static void add_scratch(Attention *a) {
  Kernel *k = a->lo.k;
  for (int i = 0; i < a->nkey; i++) a->slots = a->key[i].slot + round_up(a->key[i].r.bound, PANEL);
  choose_tile(a);
  a->in_place = reads_in_place(a);
  if (a->in_place) {
    a->width = whole_rows(a);
  } else {
    a->kt = kb_buf(k, "kt", DT_F32, KB_SCRATCH, a->slots * a->d);
    a->vs = kb_buf(k, "vs", DT_F32, KB_SCRATCH, a->slots * a->e_pad);
  }
  a->s = kb_buf(k, "s", DT_F32, KB_SCRATCH, a->rows * a->slots);
  a->inv = kb_buf(k, "inv", DT_F32, KB_SCRATCH, a->rows);
  a->tile = kb_buf(k, "tile", DT_F32, KB_SCRATCH, (int64_t)a->rows * a->width * PANEL);
  for (int i = 0; i < 16; i++)
    if (a->arg[i].buf.id) a->arg[i].scratch = kb_buf(k, "visible", DT_F32, KB_SCRATCH, a->slots);
}

static bool finish(Attention *a) {
  Lowering *lo = &a->lo;
  int64_t queries = 0, keys = 0;
  for (int i = 0; i < a->nquery; i++) queries += a->query[i].r.bound;
  for (int i = 0; i < a->nkey; i++) keys += a->key[i].r.bound;
  double flops = 2 * (double)queries * (double)keys * (double)(a->d + a->e);
  if (a->block) flops *= (double)a->block / (double)(queries > a->block ? queries : a->block);
  const char *name = arena_printf(lo->arena, "attention_h%lld_d%lld", (long long)a->heads, (long long)a->d);
  const char *comment = arena_printf(
      lo->arena, "attention, %lld heads of %lld and %lld, up to %lld x %lld, tile %d x %d", (long long)a->heads,
      (long long)a->d, (long long)a->e, (long long)queries, (long long)keys, a->rows, a->width * PANEL);
  double bytes = 4 * ((double)queries * (double)(a->d + a->e) + (double)keys * (double)(a->d + a->e));
  return lower_finish(lo, flops, bytes, name, comment);
}

bool lower_attention(Arena *arena, const Graph *g, const Group *grp, const Target *t, Lowered *out) {
  const Value *v = graph_value(g, grp->anchor);
  Attention a = {.lo = lower_begin(arena, g, grp, t, out, "attention"), .anchor = v, .mask = &mask_true};
  if (grp->root.id != grp->anchor.id) return lower_fail(&a.lo, grp->root, "an attention has no epilogue");
  const Type *tq = &graph_value(g, v->args[0])->type, *tk = &graph_value(g, v->args[1])->type;
  a.heads = value_int(v, A_heads, 1);
  a.d = tq->dim[2].c / a.heads;
  a.e = v->type.dim[2].c / a.heads;
  a.e_pad = round_up(a.e, PANEL);
  a.scale = value_float(v, A_scale, 1);
  a.masked = value_attr(v, A_masked);
  const char *where = value_str(v, A_where);
  if (where) a.mask = mask_parse(arena, g->module, where);
  if (!a.mask) return lower_fail(&a.lo, grp->anchor, "malformed mask");
  lower_domain(&a.lo, tq);
  if (a.lo.axis[0].n != 1) return lower_fail(&a.lo, grp->anchor, "the batch axis is stored in parts");
  a.nquery = parts_of(&a, tq, mask_asks(a.mask, false), a.query);
  a.nkey = parts_of(&a, tk, mask_asks(a.mask, true), a.key);
  if (!add_operand(&a, 0, "q", &a.q) || !add_operand(&a, 1, "k", &a.k) || !add_operand(&a, 2, "v", &a.v)) return false;
  for (uint32_t i = 3; i < v->nargs && i < 16; i++)
    if (!add_extra(&a, (int)i)) return false;
  if (!lower_root(&a.lo)) return false;
  a.y = (Operand3){a.lo.root.buf, a.lo.root.stride[0], a.lo.root.stride[1], 1};
  add_scratch(&a);
  emit_tasks(&a);
  return finish(&a);
}
