// kernel_random.c: random valid kernels: straight-line code, nested loops, registers, masks, partial accesses, scratch.
//
// A pool of values in scope is kept for each kind (float, int, mask; vector and scalar); every step applies a random
// operation to random members. At the end of each block everything new is stored, so that no result goes unseen.
// Operands are brought into the stated domain before exp2i, expo, mant and shifts.
#include "kernel_random.h"

#include <string.h>

enum { NKIND = 3, POOL = 64, EXTENT = 256, OUT_N = 4096 };

typedef struct Pool {
  KVal at[POOL];
  int n;
} Pool;

typedef struct Gen {
  Cases *c;
  Kernel *k;
  uint32_t w;
  Pool pool[NKIND][2];                          // [kind][vector?]
  KBufRef f, i, m, h, out_f, out_i, out_h, tmp; // h: of a narrow type
  KIdx where;                                   // an index in [0, EXTENT - 16]
  KIdx task;                                    // OUT_N * number of the task
  int64_t slot;                                 // next free element of the outputs
  KVal reg;                                     // a float register of the kernel's width
} Gen;

static int64_t roll(Gen *g, int64_t n) {
  return random_below(&g->c->seed, n);
}

static KVal any(Gen *g, int kind, int vec) {
  Pool *p = &g->pool[kind][vec];
  return p->at[roll(g, p->n)];
}

static void keep(Gen *g, int kind, int vec, KVal v) {
  Pool *p = &g->pool[kind][vec];
  p->at[p->n < POOL ? p->n++ : (int)roll(g, POOL)] = v;
}

// a > lo ? a : lo, then the same from above: in [lo, hi], and lo for NaN.
static KVal clamp(Gen *g, KVal a, double lo, double hi, int vec) {
  uint32_t lanes = vec ? g->w : 1;
  KVal t = kb_op2(g->k, K_max, a, kb_const(g->k, lo, DT_F32, lanes));
  return kb_op2(g->k, K_min, t, kb_const(g->k, hi, DT_F32, lanes));
}

static KVal pair(Gen *g, KVal a, KVal b) { // as bf16, in words
  return kb_op2(g->k, K_join16, kb_op1(g->k, K_round16, a), kb_op1(g->k, K_round16, b));
}

static void put_float_op(Gen *g, int vec) {
  static const KOp two[] = {K_add, K_sub, K_mul, K_div, K_max, K_min, K_add, K_mul};
  Kernel *k = g->k;
  KVal a = any(g, 0, vec), b = any(g, 0, vec), r;
  switch (roll(g, 11)) {
  case 0: r = kb_op1(k, K_sqrt, a); break;
  case 1: r = kb_op3(k, K_fma, a, b, any(g, 0, vec)); break;
  case 2: r = kb_op1(k, K_exp2i, kb_cvt(k, kb_cvt(k, clamp(g, a, -126, 127, vec), DT_I32), DT_F32)); break;
  case 3: r = kb_op1(k, roll(g, 2) ? K_expo : K_mant, clamp(g, a, 1e-30, 1e30, vec)); break;
  case 4: r = kb_op3(k, K_select, any(g, 2, vec), a, b); break;
  case 5: r = kb_cvt(k, any(g, 1 + (int)roll(g, 2), vec), DT_F32); break;
  case 6: r = kb_op1(k, K_real, kb_op1(k, K_magn, a)); break;
  case 9: r = kb_op1(k, roll(g, 2) ? K_low16 : K_high16, pair(g, a, b)); break;
  case 10: { // sums below 2^128: a product that is not could end a sum that began at an infinity in two ways
             // (ir/op/pairs.h)
    KVal zero = kb_const(k, 0, DT_F32, vec ? g->w : 1), c = clamp(g, any(g, 0, vec), -1e18, 1e18, vec);
    a = clamp(g, a, -1e18, 1e18, vec), b = clamp(g, b, -1e18, 1e18, vec);
    r = kb_op3(k, K_dot2b, kb_op3(k, K_dot2b, zero, pair(g, a, b), pair(g, b, c)), pair(g, c, a), pair(g, a, a));
    break;
  }
  default: r = kb_op2(k, two[roll(g, 8)], a, b); break;
  }
  keep(g, 0, vec, r);
}

// A number of places to shift by: in [0, 31].
static KVal places(Gen *g, KVal a, int vec) {
  uint32_t lanes = vec ? g->w : 1;
  KVal t = kb_op2(g->k, K_max, a, kb_const(g->k, 0, DT_I32, lanes));
  return kb_op2(g->k, K_min, t, kb_const(g->k, 31, DT_I32, lanes));
}

static void put_int_op(Gen *g, int vec) {
  static const KOp two[] = {K_add, K_sub, K_mul, K_max, K_min}, dots[] = {K_dot2, K_dot4, K_dot4u, K_pairs4};
  static const KOp parts[] = {K_even8, K_odd8, K_low4, K_high4};
  Kernel *k = g->k;
  KVal a = any(g, 1, vec), b = any(g, 1, vec), r;
  switch (roll(g, 10)) {
  case 8: r = kb_op1(k, parts[roll(g, 4)], a); break;
  case 9: {
    KOp dot = dots[roll(g, 4)];
    if (dot == K_pairs4) a = kb_op1(k, parts[2 + roll(g, 2)], a);
    r = kb_op3(k, dot, any(g, 1, vec), a, b);
    break;
  }
  case 0: r = kb_cvt(k, any(g, 0, vec), DT_I32); break;
  case 3: r = kb_op2(k, K_xor, a, b); break;
  case 4: r = kb_op2(k, roll(g, 2) ? K_shr : K_rotl, a, places(g, b, vec)); break;
  case 1: r = kb_op3(k, K_select, any(g, 2, vec), a, b); break;
  case 2: r = kb_index(k, ki_addc(ki_mul(g->where, -3), roll(g, 40) - 20), DT_I32, vec ? g->w : 1); break;
  default: r = kb_op2(k, two[roll(g, 5)], a, b); break;
  }
  keep(g, 1, vec, r);
}

static void put_mask_op(Gen *g, int vec) {
  static const KOp compare[] = {K_lt, K_le, K_eq};
  Kernel *k = g->k;
  int kind = (int)roll(g, 2);
  KVal r;
  switch (roll(g, 4)) {
  case 0: r = kb_op1(k, K_not, any(g, 2, vec)); break;
  case 1: r = kb_op2(k, roll(g, 2) ? K_and : K_or, any(g, 2, vec), any(g, 2, vec)); break;
  default: r = kb_op2(k, compare[roll(g, 3)], any(g, kind, vec), any(g, kind, vec)); break;
  }
  keep(g, 2, vec, r);
}

static void put_memory_op(Gen *g) {
  Kernel *k = g->k;
  int64_t n = 1 + roll(g, g->w);
  KIdx at = ki_addc(g->where, roll(g, 10));
  switch (roll(g, 10)) {
  case 0: keep(g, 0, 1, kb_load(k, g->f, at, g->w, n, NULL)); break;
  case 1: keep(g, 1, 1, kb_load(k, g->i, at, g->w, n, NULL)); break;
  case 2: keep(g, 2, 1, kb_loadm(k, g->m, at, n)); break;
  case 3: keep(g, 0, 1, kb_bcast(k, g->f, at, NULL)); break;
  case 4: keep(g, 0, 0, kb_load(k, g->f, at, 1, 1, NULL)); break;
  case 5: {
    KIdx data = ki_var(kb_ldidx(k, g->i, at, 3, 99, "pick"));
    keep(g, 0, 1, kb_load(k, g->f, data, g->w, g->w, NULL));
    break;
  }
  case 6: keep(g, 0, 1, kb_load(k, g->h, at, g->w, n, NULL)); break;
  case 7: keep(g, 0, 1, kb_bcast(k, g->h, at, NULL)); break;
  case 8: keep(g, 0, 0, kb_load(k, g->h, at, 1, 1, NULL)); break;
  default:
    kb_store(k, g->tmp, ki_const(3), any(g, 0, 1), g->w);
    keep(g, 0, 1, kb_load(k, g->tmp, ki_const(3), g->w, n, roll(g, 2) ? "again" : NULL));
  }
}

static void put_across(Gen *g) {
  Kernel *k = g->k;
  switch (roll(g, 5)) {
  case 0: keep(g, 0, 0, kb_op1(k, K_hadd, any(g, 0, 1))); break;
  case 1: keep(g, 0, 0, kb_op1(k, K_hmax, any(g, 0, 1))); break;
  case 2: keep(g, 1, 0, kb_op1(k, roll(g, 2) ? K_hadd : K_hmax, any(g, 1, 1))); break;
  case 3: keep(g, 0, 0, kb_lane0(k, any(g, 0, 1))); break;
  default: keep(g, 0, 1, kb_splat(k, any(g, 0, 0)));
  }
}

static void store_some(Gen *g) {
  int vec = (int)roll(g, 4) != 0, kind = (int)roll(g, 2);
  int64_t lanes = vec ? g->w : 1, n = roll(g, 3) ? lanes : 1 + roll(g, lanes);
  if (g->slot + 16 > OUT_N) return;
  KBufRef out = kind ? g->out_i : roll(g, 4) ? g->out_f : g->out_h;
  kb_store(g->k, out, ki_addc(g->task, g->slot), any(g, kind, vec), n);
  g->slot += lanes;
}

static void put_statements(Gen *g, int64_t n, int depth);

// A loop with its own scope: the pools are restored behind it, so that nothing defined inside is used outside.
static void put_loop(Gen *g, int depth) {
  Kernel *k = g->k;
  KIdx where = g->where;
  Pool saved[NKIND][2];
  memcpy(saved, g->pool, sizeof saved);
  int64_t step = 1 + roll(g, 5);
  KBound lo = kbound(ki_const(roll(g, 3))), hi = kbound_cap(ki_const(roll(g, 20)), ki_const(12 + roll(g, 4)));
  if (!roll(g, 3)) { // tiles of one height
    KIdx from = ki_const(roll(g, 3)), to = ki_const(roll(g, 20)), cap = ki_const(roll(g, 16));
    lo = kbound_tiles(from, to, &cap, 6, step + 1);
    hi = kbound_tiles(from, to, &cap, 6, step);
  }
  KVar i = kb_loop(k, "i", lo, hi, step);
  g->where = ki_add(where, ki_mul(ki_var(i), 1 + roll(g, 3)));
  if (ki_max(k, &g->where) > EXTENT - 48) g->where = where;
  put_statements(g, 3 + roll(g, 6), depth + 1);
  kb_set(k, g->reg, kb_op3(k, K_fma, any(g, 0, 1), any(g, 0, 1), g->reg));
  kb_end(k);
  memcpy(g->pool, saved, sizeof saved);
  g->where = where;
}

static void put_statements(Gen *g, int64_t n, int depth) {
  for (; n > 0; n--) {
    int vec = roll(g, 3) != 0;
    switch (roll(g, 12)) {
    case 0:
    case 1: put_memory_op(g); break;
    case 2: put_int_op(g, vec); break;
    case 3: put_mask_op(g, vec); break;
    case 4: put_across(g); break;
    case 5: store_some(g); break;
    case 6:
      if (depth < 2) put_loop(g, depth);
      break;
    case 7: kb_set(g->k, g->reg, any(g, 0, 1)); break;
    default: put_float_op(g, vec);
    }
  }
  store_some(g);
}

static void seed_pools(Gen *g) {
  Kernel *k = g->k;
  for (int vec = 0; vec < 2; vec++) {
    uint32_t lanes = vec ? g->w : 1;
    for (int64_t i = 0; i < 3; i++) keep(g, 0, vec, kb_load(k, g->f, ki_addc(g->where, 5 * i), lanes, lanes, NULL));
    keep(g, 1, vec, kb_load(k, g->i, g->where, lanes, lanes, NULL));
    keep(g, 1, vec, kb_const(k, (double)(roll(g, 100) - 50), DT_I32, lanes));
    keep(g, 0, vec, kb_const(k, (double)(roll(g, 1000) - 500) / 7, DT_F32, lanes));
    keep(g, 2, vec, kb_op2(k, K_lt, any(g, 0, vec), any(g, 0, vec)));
  }
  keep(g, 0, 1, kb_iota(k, DT_F32));
  keep(g, 1, 1, kb_iota(k, DT_I32));
  g->reg = kb_var(k, any(g, 0, 1), "reg");
  keep(g, 0, 1, g->reg);
}

void cases_random(Cases *c, unsigned n) {
  for (unsigned j = 0; j < n; j++) {
    Gen g = {.c = c, .w = c->target->lanes};
    Kernel *k = g.k = kernel_new(c->arena, arena_printf(c->arena, "random_%u", j), g.w);
    enum { TASKS = 3 };
    g.f = kb_buf(k, "f", DT_F32, KB_IN, EXTENT);
    g.i = kb_buf(k, "i", DT_I32, KB_IN, EXTENT);
    g.m = kb_buf(k, "m", DT_BOOL, KB_IN, EXTENT);
    g.h = kb_buf(k, "h", j % 2 ? DT_F16 : DT_BF16, KB_IN, EXTENT);
    g.out_f = kb_buf(k, "out_f", DT_F32, KB_OUT, TASKS * OUT_N);
    g.out_i = kb_buf(k, "out_i", DT_I32, KB_OUT, TASKS * OUT_N);
    g.out_h = kb_buf(k, "out_h", j % 4 < 2 ? DT_F16 : DT_BF16, KB_OUT, TASKS * OUT_N);
    g.tmp = kb_buf(k, "tmp", DT_F32, KB_SCRATCH, 40);
    KVar t = kb_par(k, "t", kbound(ki_const(0)), kbound(ki_const(TASKS)), 1);
    g.task = ki_mul(ki_var(t), OUT_N);
    g.where = ki_mul(ki_var(t), 11);
    seed_pools(&g);
    put_statements(&g, 12 + random_below(&c->seed, 20), 0);
    for (int i = 0; i < 6; i++) store_some(&g);
    kb_store(k, g.out_f, g.task, g.reg, g.w);
    kb_end(k);
    case_add(c, k, j % 3 ? 5 : 0);
  }
}
