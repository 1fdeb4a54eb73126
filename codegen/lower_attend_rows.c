// lower_attend_rows.c: scores of a tile of queries, masked, and their softmax; see lower_attend.h.
#include "kmath.h"
#include "lower_attend.h"
#include "runtime/random.h"

#include <math.h>

static const double LEAST = -3.0e38; // maximum of a row without visible keys: e^(-inf - LEAST) is 0, not NaN

/* masks ----------------------------------------------------------------------------------------------- */
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
    if (m->index) { // added to the right side
      KVal *right = m->on_key ? &y : &x;
      *right = kb_op2(k, K_add, *right, kb_const(k, m->index, DT_I32, k->lanes));
    }
    return kb_op2(k, m->op == MASK_LE ? K_le : m->op == MASK_LT ? K_lt : K_eq, m->on_key ? x : y, m->on_key ? y : x);
  case MASK_BELOW:
    x = kb_index(k, ki_add(ki_add(t->q->position, row), a->start), DT_I32, k->lanes);
    if (m->on_key) x = kb_op2(k, K_add, kb_index(k, ki_add(part->position, key), DT_I32, k->lanes), kb_iota(k, DT_I32));
    return kb_op2(k, K_lt, x, kb_index(k, lower_dim(&t->a->lo, mask_bound(m)), DT_I32, k->lanes));
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

/* scores ---------------------------------------------------------------------------------------------- */
// Keys of a part that the tile's last row sees.
KIdx attend_seen_keys(const QueryTile *t, int part) {
  return t->causal[part] ? ki_addc(t->row, t->rows) : t->a->key[part].r.len;
}

KIdx attend_bias_address(const QueryTile *t, const Part *p, KIdx key, KIdx row) {
  const Attention *a = t->a;
  KIdx query = ki_addc(ki_add(t->row, row), t->q->r.start);
  if (a->bias_placed) query = ki_add(query, a->start);
  return ki_add(ki_add(ki_mul(a->head, a->bias_head), ki_mul(query, a->bias_row)), ki_addc(key, p->r.start));
}

// One vector of the bias. Lanes behind the last key of a part read the row's padding or the next part's columns; their
// scores are removed with those of the other slots that hold no key.
static KVal load_bias(const QueryTile *t, const Part *p, KIdx key, int row, int vector) {
  Kernel *k = t->a->lo.k;
  KIdx at = attend_bias_address(t, p, ki_addc(key, (int64_t)vector * k->lanes), ki_const(row));
  return kb_load(k, t->a->bias, at, k->lanes, k->lanes, "bias");
}

// Products with `panels` panels of keys from `key` on, for all rows of the tile.
static void emit_products(const QueryTile *t, const Products *x, const Part *p, KIdx key, int panels) {
  const Attention *a = t->a;
  const HeadRows *o = x->rows;
  Kernel *k = a->lo.k;
  RegTile r;
  tile_open(&r, k, t->rows, panels, o->row, PANEL * o->columns, a->slots);
  KIdx n = tile_length(&r, ki_const(o->columns));
  bool bias = x->scores && a->bias.id, from_bias = bias && a->scale == 1; // then the sum starts from the bias
  if (!from_bias) tile_start_zero(&r);
  for (int i = 0; from_bias && i < t->rows * r.vectors; i++)
    tile_start(&r, i / r.vectors, i % r.vectors, load_bias(t, p, key, i / r.vectors, i % r.vectors));
  KIdx c = ki_var(kb_loop(k, "k", kbound(ki_const(0)), kbound(n), 1));
  KIdx at = ki_add(attend_row(a, o, ki_addc(t->row, t->q->r.start)), ki_mul(c, o->column));
  tile_step(&r, o->buf, at, x->panels, ki_add(ki_mul(ki_addc(key, p->slot), o->columns), ki_mul(c, PANEL)));
  kb_end(k);
  for (int i = 0; x->scores && i < t->rows * r.vectors && a->scale != 1; i++) {
    r.acc[i] = kb_op2(k, K_mul, r.acc[i], kb_const(k, a->scale, DT_F32, k->lanes));
    if (bias) r.acc[i] = kb_op2(k, K_add, r.acc[i], load_bias(t, p, key, i / r.vectors, i % r.vectors));
  }
  tile_store(&r, x->to, ki_add(x->at, ki_addc(key, p->slot)), (int64_t)panels * PANEL);
  tile_close(&r);
}

void attend_products(const QueryTile *t, int part, const Products *x) {
  const Part *p = &t->a->key[part];
  Kernel *k = t->a->lo.k;
  int64_t group = (int64_t)t->a->width * PANEL, slots = (p->r.bound + PANEL - 1) / PANEL * PANEL;
  KIdx seen = attend_seen_keys(t, part), padded = ki_addc(seen, PANEL - 1);
  bool constant = p->r.fixed && !t->causal[part];
  int64_t whole = slots / group * group; // if constant
  if (!constant || whole) {
    KVar v = kb_loop(k, "jp", kbound(ki_const(0)), kbound_floor(padded, group), group);
    emit_products(t, x, p, ki_var(v), t->a->width);
    kb_end(k);
  }
  if (group > PANEL && constant && slots > whole)
    emit_products(t, x, p, ki_const(whole), (int)((slots - whole) / PANEL));
  if (group > PANEL && !constant) {
    KVar v = kb_loop(k, "jp", kbound_floor(padded, group), kbound(seen), PANEL);
    emit_products(t, x, p, ki_var(v), 1);
    kb_end(k);
  }
}

/* softmax --------------------------------------------------------------------------------------------- */
KIdx attend_slot(const SoftRow *r, const Part *p, KIdx key) {
  return ki_add(r->t->at, ki_addc(ki_add(ki_mul(r->i, r->t->a->slots), key), p->slot));
}

// Masks one vector of scores and joins it to the maximum. n: lanes that are keys, 0: as many as the run-time length
// says.
static void emit_masked(const SoftRow *r, int i, KIdx key, const Mask *mask, int64_t n) {
  const Attention *a = r->t->a;
  const Part *p = &a->key[i];
  Kernel *k = a->lo.k;
  KVal s = kb_load(k, a->s, attend_slot(r, p, key), k->lanes, k->lanes, "s"), old = s;
  KVal hidden = kb_const(k, -HUGE_VAL, DT_F32, k->lanes);
  if (a->cap > 0) {
    KVal part = kb_op2(k, K_mul, s, kb_const(k, 1 / a->cap, DT_F32, k->lanes));
    s = kb_op2(k, K_mul, kmath_tanh(k, part), kb_const(k, a->cap, DT_F32, k->lanes));
  }
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
  if (s.id != old.id) kb_store(k, a->s, attend_slot(r, p, key), s, k->lanes);
  kb_set(k, r->acc, kb_op2(k, K_max, r->acc, s));
}

static void emit_mask_loop(const SoftRow *r, int i, KBound from, KBound to, const Mask *mask, int64_t n) {
  Kernel *k = r->t->a->lo.k;
  KVar v = kb_loop(k, "j", from, to, k->lanes);
  emit_masked(r, i, ki_var(v), mask, n);
  kb_end(k);
}

// Slots of a part that are summed, from its first key on; those that are no keys are hidden. Of several parts whole
// groups, so that each begins at the first partial result.
KBound attend_slots(const SoftRow *r, int part) {
  KIdx seen = attend_seen_keys(r->t, part);
  bool one = r->t->a->nkey == 1;
  return one ? kbound(seen) : kbound_floor(ki_addc(seen, SCORE_LANES - 1), SCORE_LANES);
}

static void emit_part_maximum(const SoftRow *r, int i) {
  const Part *p = &r->t->a->key[i];
  int64_t lanes = r->t->a->lo.k->lanes, whole = p->r.bound / lanes * lanes;
  const Mask *mask = r->t->mask[i] ? r->t->mask[i] : &(const Mask){.op = MASK_NOT, .a = &(Mask){.op = MASK_TRUE}};
  if (r->t->causal[i]) { // the part's last vector lies behind or holds the diagonal: every key behind is hidden by the
                         // mask
    bool only = mask->op == MASK_LE && !mask->index;
    KBound seen = kbound_floor(ki_addc(r->row, 1), lanes); // keys that the row surely sees
    if (only) emit_mask_loop(r, i, kbound(ki_const(0)), seen, &attend_all, lanes);
    emit_mask_loop(r, i, only ? seen : kbound(ki_const(0)), attend_slots(r, i), mask, lanes);
    return;
  }
  if (!p->r.fixed || whole) emit_mask_loop(r, i, kbound(ki_const(0)), kbound_floor(p->r.len, lanes), mask, lanes);
  if (p->r.fixed && r->t->a->nkey == 1) {
    if (whole < p->r.bound) emit_masked(r, i, ki_const(whole), mask, p->r.bound - whole);
    return;
  }
  emit_mask_loop(r, i, kbound_floor(p->r.len, lanes), attend_slots(r, i), mask, 0);
}

// Adds a vector to the partial result whose turn it is. The registers go round, so that a loop over vectors is written
// once: two bodies of an exponential are slower, they share too few registers. Where a round stops does not matter, as
// halves that are joined stay halves.
void attend_add_in_turn(Kernel *k, const KVal *sum, KVal x) {
  int last = SCORE_LANES / (int)k->lanes - 1;
  KVal next = kb_op2(k, K_add, sum[0], x);
  for (int u = 0; u < last; u++) kb_set(k, sum[u], sum[u + 1]);
  kb_set(k, sum[last], next);
}

/* dropout of weights: the numbers of ir/op/attention.c */
static KVal draw_word(const Attention *a, const Source *s, KIdx at) {
  Kernel *k = a->lo.k;
  return s->constant ? kb_const(k, s->value, DT_I32, k->lanes) : kb_bcast(k, s->buf, at, NULL);
}

static void load_key(SoftRow *r) {
  const Attention *a = r->t->a;
  for (int i = 0; i < 3; i++) r->key[i] = draw_word(a, &a->word, ki_const(i * a->word_stride));
  r->sample = draw_word(a, &a->sample, ki_mul(a->batch, a->sample_stride));
}

// Which weights of a vector are dropped: numbers of 24 bits below the rate.
static KVal dropped(const SoftRow *r, const Part *p, KIdx key) {
  const Attention *a = r->t->a;
  Kernel *k = a->lo.k;
  int64_t keys = type_extent(a->lo.m, &graph_value(a->lo.g, a->anchor->args[1])->type, 1);
  int64_t site = SY_RANDOM_SITE + value_int(a->anchor, A_site, 0);
  KIdx row = ki_addc(r->row, r->t->q->r.start + value_int(a->anchor, A_start, 0));
  KVal first = kb_index(k, ki_add(ki_mul(row, keys), ki_addc(key, p->r.start)), DT_I32, k->lanes);
  KVal purpose = kb_index(k, ki_addc(a->head, site), DT_I32, k->lanes);
  KVal word = kmath_random(k, r->key, purpose, r->sample, kb_op2(k, K_add, first, kb_iota(k, DT_I32)));
  KVal top = kb_op2(k, K_shr, word, kb_const(k, 8, DT_I32, k->lanes));
  return kb_op2(k, K_lt, top, kb_const(k, ceil(a->rate * 0x1p24), DT_I32, k->lanes));
}

static void emit_part_exp(const SoftRow *r, int i) {
  const Attention *a = r->t->a;
  Kernel *k = a->lo.k;
  KVar v = kb_loop(k, "j", kbound(ki_const(0)), attend_slots(r, i), k->lanes);
  KIdx at = attend_slot(r, &a->key[i], ki_var(v));
  KVal e = kmath_exp_neg(k, kb_op2(k, K_sub, kb_load(k, a->s, at, k->lanes, k->lanes, "s"), r->most));
  KVal kept = e;
  if (a->drops) {
    KVal zero = kb_const(k, 0, DT_F32, k->lanes);
    kept = kb_op3(k, K_select, dropped(r, &a->key[i], ki_var(v)), a->marked ? kb_op2(k, K_sub, zero, e) : zero, e);
  }
  kb_store(k, a->s, at, kept, k->lanes);
  attend_add_in_turn(k, r->sum, e);
  kb_end(k);
}

void attend_softmax(const QueryTile *t) {
  const Attention *a = t->a;
  Kernel *k = a->lo.k;
  SoftRow r = {.t = t, .i = ki_const(0)};
  if (t->rows > 1) r.i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(t->rows)), 1));
  r.row = ki_add(t->row, r.i);
  for (int i = 0; i < a->nkey; i++)
    if (attend_sees(t, i)) attend_pack_query_masks(t->a, &t->a->key[i], ki_addc(r.row, t->q->r.start));
  kb_region(k, "softmax_row", "softmax of the scores of one query, except for the division: one over the sum");
  if (a->drops) load_key(&r);
  r.acc = kb_var(k, kb_const(k, LEAST, DT_F32, k->lanes), "most");
  for (int i = 0; i < a->nkey; i++)
    if (attend_sees(t, i)) emit_part_maximum(&r, i);
  r.most = kb_splat(k, kb_op1(k, K_hmax, r.acc));
  int partials = SCORE_LANES / (int)k->lanes;
  for (int u = 0; u < partials; u++) r.sum[u] = kb_var(k, kb_const(k, 0, DT_F32, k->lanes), "sum");
  for (int i = 0; i < a->nkey; i++)
    if (attend_sees(t, i)) emit_part_exp(&r, i);
  KVal sum = lower_fold(k, K_add, r.sum, partials), one = kb_const(k, 1, DT_F32, 1), zero = kb_const(k, 0, DT_F32, 1);
  KVal some = kb_op1(k, K_not, kb_op2(k, K_eq, sum, zero)); // a NaN stays one
  KVal inv = kb_op2(k, K_div, one, sum);
  if (a->drops && !a->marked) inv = kb_op2(k, K_mul, inv, kb_const(k, 1 / (1 - a->rate), DT_F32, 1));
  kb_store(k, a->inv, r.i, kb_op3(k, K_select, some, inv, zero), 1);
  kb_end(k);
  if (t->rows > 1) kb_end(k);
}

/* sums over keys -------------------------------------------------------------------------------------- */
// The lines of key row j that a later iteration reads: they are far apart, no prefetcher of a processor sees them
// coming.
void attend_prefetch(const Attention *a, const HeadRows *o, KIdx at, int64_t columns) {
  KIdx later = ki_addc(at, a->lo.t->cost->attention.keys_ahead * o->row);
  for (int64_t c = 0; c < columns; c += PANEL) kb_prefetch(a->lo.k, o->buf, ki_addc(later, c), 1);
}

void attend_sum(const QueryTile *t, const KeySum *x, RegTile *g) {
  const Attention *a = t->a;
  Kernel *k = a->lo.k;
  KIdx seen[MAX_SEGS] = {0};
  tile_open(g, k, t->rows, x->panels, a->slots, x->in_place ? PANEL : PANEL * a->slots, x->pitch);
  for (int i = 0; i < a->nkey; i++)
    if (attend_sees(t, i)) seen[i] = tile_length(g, attend_seen_keys(t, i));
  tile_start_zero(g);
  for (int i = 0; i < a->nkey; i++) {
    if (!attend_sees(t, i)) continue;
    const Part *p = &a->key[i];
    KIdx j = ki_var(kb_loop(k, "k", kbound(ki_const(0)), kbound(seen[i]), 1)), slot = ki_addc(j, p->slot);
    KIdx weight = ki_add(x->at, slot);
    if (x->in_place) {
      KIdx row = ki_add(attend_row(a, x->in_place, ki_addc(j, p->r.start)), x->column);
      attend_prefetch(a, x->in_place, row, x->columns);
      tile_step(g, x->weights, weight, x->in_place->buf, row);
    } else {
      tile_step(g, x->weights, weight, x->packed, ki_add(ki_mul(x->column, a->slots), ki_mul(slot, PANEL)));
    }
    kb_end(k);
  }
}

void attend_column_groups(const Attention *a, int64_t columns, AttendColumns *body, void *ud) {
  int64_t group = (int64_t)a->width * PANEL, whole = columns / group * group;
  if (whole) {
    KVar v = kb_loop(a->lo.k, "c", kbound(ki_const(0)), kbound(ki_const(whole)), group);
    body(ki_var(v), group, a->width, ud);
    kb_end(a->lo.k);
  }
  if (whole < columns) body(ki_const(whole), columns - whole, (int)((columns - whole + PANEL - 1) / PANEL), ud);
}
