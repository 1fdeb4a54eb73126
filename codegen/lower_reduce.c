// lower_reduce.c: see lower_reduce.h.
//
// Of a part of run-time length the elements behind the last multiple of V go through scratch: whole vectors and single
// lanes are stored there, and what lies behind the end is masked when they are read back, V elements at once.
#include "lower_reduce.h"

enum { MOST_ACC = REDUCE_LANES / 4 };

typedef struct Partials {
  Lowering *lo;
  const Reduce *r;
  const Range *part;
  int n; // vectors
  KVal acc[REDUCE_VALUES][MOST_ACC];
} Partials;

static int value_count(const Reduce *r) {
  return r->join == K_fma ? 2 : r->terms;
}

static KVal joined(Kernel *k, const Reduce *r, KVal acc, const KVal *value, int term) {
  return r->join == K_fma ? kb_op3(k, K_fma, value[0], value[1], acc) : kb_op2(k, r->join, acc, value[term]);
}

// mask: of the lanes that are joined, or none.
static void join_vector(const Partials *p, int vector, const KVal *value, KVal mask) {
  Kernel *k = p->lo->k;
  for (int t = 0; t < p->r->terms; t++) {
    KVal acc = p->acc[t][vector], y = joined(k, p->r, acc, value, t);
    kb_set(k, acc, mask.id ? kb_op3(k, K_select, mask, y, acc) : y);
  }
}

// Vector number `vector` of the group of V elements that begins at c; n of its lanes are elements.
static void walk_vector(const Partials *p, KIdx c, int vector, int64_t n) {
  Lowering *lo = p->lo;
  uint32_t lanes = lo->k->lanes;
  KVal value[REDUCE_VALUES];
  p->r->term(lo, ki_addc(c, p->part->start + (int64_t)vector * lanes), lanes, n, value, p->r->ud);
  join_vector(p, vector, value, n < (int64_t)lanes ? lower_first(lo, n) : (KVal){0});
}

static void walk_groups(const Partials *p) {
  Kernel *k = p->lo->k;
  if (p->part->fixed && p->part->bound < REDUCE_LANES) return;
  KVar c = kb_loop(k, "c", kbound(ki_const(0)), kbound_floor(p->part->len, REDUCE_LANES), REDUCE_LANES);
  for (int v = 0; v < p->n; v++) walk_vector(p, ki_var(c), v, k->lanes);
  kb_end(k);
}

static void walk_constant_tail(const Partials *p) {
  int64_t lanes = p->lo->k->lanes, whole = p->part->bound / REDUCE_LANES * REDUCE_LANES, left = p->part->bound - whole;
  for (int v = 0; left > 0; v++, left -= lanes) walk_vector(p, ki_const(whole), v, left < lanes ? left : lanes);
}

static void keep_tail(const Partials *p, KBound from, KBound to, uint32_t lanes) {
  Kernel *k = p->lo->k;
  KVal value[REDUCE_VALUES];
  KIdx c = ki_var(kb_loop(k, "c", from, to, lanes));
  p->r->term(p->lo, ki_addc(c, p->part->start), lanes, lanes, value, p->r->ud);
  for (int i = 0; i < value_count(p->r); i++) kb_store(k, p->r->tail[i], c, value[i], lanes);
  kb_end(k);
}

static void walk_runtime_tail(const Partials *p) {
  Kernel *k = p->lo->k;
  uint32_t lanes = k->lanes;
  KIdx len = p->part->len;
  KIdx from = ki_var(kb_loop(k, "tail", kbound_floor(len, REDUCE_LANES), kbound(len), REDUCE_LANES));
  if (p->n > 1) keep_tail(p, kbound(from), kbound_floor(len, lanes), lanes);
  keep_tail(p, kbound_floor(len, lanes), kbound(len), 1);
  for (int v = 0; v < p->n; v++) {
    KVal value[REDUCE_VALUES];
    KIdx at = ki_addc(from, (int64_t)v * lanes);
    for (int i = 0; i < value_count(p->r); i++) value[i] = kb_load(k, p->r->tail[i], at, lanes, lanes, NULL);
    KVal left = kb_index(k, ki_add(len, ki_mul(at, -1)), DT_I32, lanes);
    join_vector(p, v, value, kb_op2(k, K_lt, kb_iota(k, DT_I32), left));
  }
  kb_end(k);
}

KVal lower_fold(Kernel *k, KOp join, KVal *v, int n) {
  for (n /= 2; n; n /= 2)
    for (int i = 0; i < n; i++) v[i] = kb_op2(k, join, v[i], v[i + n]);
  return kb_op1(k, join == K_add ? K_hadd : K_hmax, v[0]);
}

// One element after the other.
static void walk_single(const Partials *p) {
  Kernel *k = p->lo->k;
  KVal value[REDUCE_VALUES];
  KVar c = kb_loop(k, "c", kbound(ki_const(0)), kbound(p->part->len), 1);
  p->r->term(p->lo, ki_addc(ki_var(c), p->part->start), 1, 1, value, p->r->ud);
  join_vector(p, 0, value, (KVal){0});
  kb_end(k);
}

static void make_tail(Lowering *lo, const Range *part, int parts, Reduce *r) {
  int64_t most = 0;
  for (int i = 0; i < parts; i++)
    if (!part[i].fixed && part[i].bound > most) most = part[i].bound;
  most = (most + REDUCE_LANES - 1) / REDUCE_LANES * REDUCE_LANES;
  for (int i = 0; i < value_count(r) && most; i++)
    if (!r->tail[i].id) r->tail[i] = kb_buf(lo->k, "tail", r->dtype, KB_SCRATCH, most);
}

void lower_reduce(Lowering *lo, const Range *part, int parts, Reduce *r, KVal *out) {
  Kernel *k = lo->k;
  uint32_t lanes = r->vectors ? k->lanes : 1;
  if (lanes > 1) make_tail(lo, part, parts, r);
  Partials p = {.lo = lo, .r = r, .n = lanes == 1 ? 1 : REDUCE_LANES / (int)lanes};
  for (int t = 0; t < r->terms; t++)
    for (int v = 0; v < p.n; v++) p.acc[t][v] = kb_var(k, kb_const(k, r->identity, r->dtype, lanes), "acc");
  for (int i = 0; i < parts; i++) {
    p.part = &part[i];
    if (lanes == 1) {
      walk_single(&p);
      continue;
    }
    walk_groups(&p);
    (part[i].fixed ? walk_constant_tail : walk_runtime_tail)(&p);
  }
  for (int t = 0; t < r->terms; t++)
    out[t] = lanes == 1 ? p.acc[t][0] : lower_fold(k, r->join == K_fma ? K_add : r->join, p.acc[t], p.n);
}
