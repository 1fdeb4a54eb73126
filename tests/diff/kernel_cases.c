// kernel_cases.c: the named kernels and the one kernel per row; see kernel_cases.h. Random ones: kernel_random.c.
//
// Inputs come from one generator with a fixed seed. The special values are the ones on which instruction sets differ:
// NaN, infinities, zeros of both signs, denormals, the ends of the range. Operands are kept inside the domain that the
// IR states for exp2i.
#include "kernel_cases.h"
#include "kernel_random.h"

#include <math.h>
#include <string.h>

size_t case_params(const Kernel *k) {
  size_t n = 0;
  while (n + 1 < k->buf.n && k->buf.at[n + 1].role != KB_SCRATCH) n++;
  return n;
}

size_t case_bytes(const Kernel *k, size_t i) {
  return (size_t)k->buf.at[i + 1].n * dtype_info[k->buf.at[i + 1].dtype].bytes;
}

/* inputs
 * ------------------------------------------------------------------------------------------------------------------ */
uint64_t random_next(uint64_t *s) { // xorshift64*
  *s ^= *s >> 12, *s ^= *s << 25, *s ^= *s >> 27;
  return *s * 0x2545f4914f6cdd1du;
}

int64_t random_below(uint64_t *s, int64_t n) {
  return (int64_t)((random_next(s) >> 33) % (uint64_t)n);
}

static float random_float(uint64_t *s) { // mostly of moderate size, all signs
  float u = (float)(random_next(s) >> 40) * 0x1p-23f - 1.0f;
  int64_t e = random_below(s, 9) - 4;
  return ldexpf(u, (int)e);
}

static const float special[] = {0.0f,
                                -0.0f,
                                1.0f,
                                -1.0f,
                                NAN,
                                INFINITY,
                                -INFINITY,
                                0x1p-149f,
                                -0x1p-149f,
                                0x1p-126f,
                                -0x1p-126f,
                                0x1.fffffep127f,
                                0x1.8p-130f,
                                0x1.000002p0f,
                                0x1p23f,
                                -0x1p24f,
                                0.5f,
                                0x1.fffffep127f * -1,
                                3.0f,
                                -7.25f,
                                0x1p31f,
                                -0x1p31f,
                                0x1.fffffep30f,
                                -0x1.000002p31f,
                                1e30f};
enum { NSPECIAL = sizeof special / sizeof special[0] };

static void fill(Cases *c, DType dt, void *memory, int64_t n, int specials) {
  for (int64_t i = 0; i < n; i++) {
    int64_t pick = specials ? random_below(&c->seed, 100) : 100;
    float f = pick < specials ? special[random_below(&c->seed, NSPECIAL)] : random_float(&c->seed);
    int32_t v = (int32_t)random_below(&c->seed, pick < specials ? INT32_MAX : 400) - 200;
    if (dt == DT_F32) ((float *)memory)[i] = f;
    if (dt == DT_I32) ((int32_t *)memory)[i] = v;
    if (dt == DT_BOOL) ((uint8_t *)memory)[i] = (uint8_t)random_below(&c->seed, 2);
    if (dtype_is_narrow(dt)) ((uint16_t *)memory)[i] = (uint16_t)dtype_narrow(dt, (double)f);
  }
}

Case *case_add(Cases *c, Kernel *k, int specials) {
  kb_finish(k);
  kernel_legalise(k, c->target->has_fma);
  const char *why;
  if (!kernel_verify(k, &why)) ICE("%s: %s", k->name, why);
  Case x = {.kernel = k};
  for (size_t i = 0; i < case_params(k); i++) {
    size_t bytes = case_bytes(k, i);
    x.memory[i] = memset(arena_alloc(c->arena, bytes), 0x5a, bytes);
    if (k->buf.at[i + 1].role != KB_OUT) fill(c, k->buf.at[i + 1].dtype, x.memory[i], k->buf.at[i + 1].n, specials);
  }
  VEC_PUSH(c->arena, c->list, x);
  return &c->list.at[c->list.n - 1];
}

/* named kernels
 * ---------------------------------------------------------------------------------------------------------- */
static KBound upto(int64_t n) {
  return kbound(ki_const(n));
}

// y = (x - mean) / sqrt(var + eps) * g + b over rows of n, with a tail; B run-time rows in blocks of 3.
static void add_layer_norm(Cases *c, int64_t n) {
  uint32_t w = c->target->lanes;
  Kernel *k = kernel_new(c->arena, "layer_norm", w);
  k->about = "rows of x[B,n], blocks of 3 rows";
  KVar B = kb_dim(k, "B", 1, 1, 10);
  KBufRef x = kb_buf(k, "x", DT_F32, KB_IN, 10 * n), g = kb_buf(k, "g", DT_F32, KB_WEIGHT, n);
  KBufRef b = kb_buf(k, "b", DT_F32, KB_WEIGHT, n), y = kb_buf(k, "y", DT_F32, KB_OUT, 10 * n);
  KVar r0 = kb_par(k, "r0", upto(0), kbound(ki_var(B)), 3);
  KVar r = kb_loop(k, "r", kbound(ki_var(r0)), kbound_cap(ki_addc(ki_var(r0), 3), ki_var(B)), 1);
  KIdx row = ki_mul(ki_var(r), n);
  int64_t full = n / w * w, tail = n - full;
  KVal sum = kb_var(k, kb_const(k, 0, DT_F32, w), "sum"), sq = kb_var(k, kb_const(k, 0, DT_F32, w), "squares");
  KVar i = kb_loop(k, "i", upto(0), upto(full), w);
  KVal v = kb_load(k, x, ki_add(row, ki_var(i)), w, w, "v");
  kb_set(k, sum, kb_op2(k, K_add, sum, v));
  kb_set(k, sq, kb_op3(k, K_fma, v, v, sq));
  kb_end(k);
  if (tail) {
    KVal t = kb_load(k, x, ki_addc(row, full), w, tail, "tail");
    kb_set(k, sum, kb_op2(k, K_add, sum, t));
    kb_set(k, sq, kb_op3(k, K_fma, t, t, sq));
  }
  KVal inv_n = kb_const(k, 1.0 / (double)n, DT_F32, 1), eps = kb_const(k, 1e-6, DT_F32, 1);
  KVal mean = kb_op2(k, K_mul, kb_op1(k, K_hadd, sum), inv_n);
  KVal ms = kb_op2(k, K_mul, kb_op1(k, K_hadd, sq), inv_n);
  KVal var = kb_op2(k, K_sub, ms, kb_op2(k, K_mul, mean, mean));
  KVal rstd = kb_op2(k, K_div, kb_const(k, 1, DT_F32, 1), kb_op1(k, K_sqrt, kb_op2(k, K_add, var, eps)));
  KVal mv = kb_splat(k, mean), rv = kb_splat(k, rstd);
  for (int part = 0; part < 2; part++) {
    int64_t active = part ? tail : (int64_t)w;
    if (!active) continue;
    KIdx at = ki_const(full);
    if (!part) at = ki_var(kb_loop(k, "i", upto(0), upto(full), w));
    KVal d = kb_op2(k, K_sub, kb_load(k, x, ki_add(row, at), w, active, NULL), mv);
    KVal gv = kb_load(k, g, at, w, active, NULL), bv = kb_load(k, b, at, w, active, NULL);
    kb_store(k, y, ki_add(row, at), kb_op3(k, K_fma, kb_op2(k, K_mul, d, rv), gv, bv), active);
    if (!part) kb_end(k);
  }
  kb_end(k);
  kb_end(k);
  case_add(c, k, 0)->dims[1] = 7;
}

// e^x for x in [-87, 0] by 2^n times a polynomial.
static KVal put_exp(Kernel *k, KVal x) {
  uint32_t w = k->lanes;
  static const double coef[] = {1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1};
  KVal lo = kb_const(k, -87, DT_F32, w), magic = kb_const(k, 0x1.8p23, DT_F32, w);
  KVal c = kb_op2(k, K_max, x, lo);
  KVal t = kb_op3(k, K_fma, c, kb_const(k, 1.4426950408889634, DT_F32, w), magic);
  KVal n = kb_op2(k, K_sub, t, magic);
  KVal r = kb_op3(k, K_fma, n, kb_const(k, -0.6931471805599453, DT_F32, w), c);
  KVal p = kb_const(k, 1.0 / 720, DT_F32, w);
  for (size_t i = 0; i < sizeof coef / sizeof coef[0]; i++) p = kb_op3(k, K_fma, p, r, kb_const(k, coef[i], DT_F32, w));
  return kb_op2(k, K_mul, p, kb_op1(k, K_exp2i, n));
}

// Softmax over the first L of 40 keys, masked by a bool per key; scores kept in scratch.
static void add_softmax(Cases *c) {
  uint32_t w = c->target->lanes;
  int64_t n = 48;
  Kernel *k = kernel_new(c->arena, "masked_softmax", w);
  KVar L = kb_dim(k, "L", 0, 1, 40);
  KBufRef x = kb_buf(k, "x", DT_F32, KB_IN, 5 * n), m = kb_buf(k, "m", DT_BOOL, KB_IN, n);
  KBufRef y = kb_buf(k, "y", DT_F32, KB_OUT, 5 * n), e = kb_buf(k, "e", DT_F32, KB_SCRATCH, n + 5);
  KBufRef s2 = kb_buf(k, "s2", DT_F32, KB_SCRATCH, 16);
  KVar r = kb_par(k, "r", upto(0), upto(5), 1);
  KIdx row = ki_mul(ki_var(r), n);
  KVal low = kb_const(k, -INFINITY, DT_F32, w);
  KVal top = kb_var(k, low, "top"), sum = kb_var(k, kb_const(k, 0, DT_F32, w), "sum");
  for (int pass = 0; pass < 3; pass++) {
    KVar i = kb_loop(k, "i", upto(0), upto(n), w);
    if (pass < 2) {
      KVal at = kb_op2(k, K_add, kb_iota(k, DT_I32), kb_index(k, ki_var(i), DT_I32, w));
      KVal limit = kb_index(k, ki_var(L), DT_I32, w);
      KVal ok = kb_op2(k, K_and, kb_op2(k, K_lt, at, limit), kb_op1(k, K_not, kb_loadm(k, m, ki_var(i), w)));
      KVal v = kb_op3(k, K_select, ok, kb_load(k, x, ki_add(row, ki_var(i)), w, w, NULL), low);
      if (pass == 0) {
        kb_set(k, top, kb_op2(k, K_max, top, v));
      } else {
        KVal ex = put_exp(k, kb_op2(k, K_sub, v, kb_splat(k, kb_op1(k, K_hmax, top))));
        kb_store(k, e, ki_var(i), ex, w);
        kb_set(k, sum, kb_op2(k, K_add, sum, ex));
      }
    } else {
      KVal total = kb_op1(k, K_hadd, sum);
      kb_store(k, s2, ki_const(3), total, 1);
      KVal inv = kb_op2(k, K_div, kb_const(k, 1, DT_F32, 1), kb_load(k, s2, ki_const(3), 1, 1, NULL));
      kb_store(k, y, ki_add(row, ki_var(i)), kb_op2(k, K_mul, kb_load(k, e, ki_var(i), w, w, NULL), kb_splat(k, inv)),
               w);
    }
    kb_end(k);
  }
  kb_end(k);
  case_add(c, k, 0)->dims[0] = 23;
}

// Rows of a table chosen by ids, two par loops, a floored bound with a tail of run-time length.
static void add_lookup(Cases *c) {
  uint32_t w = c->target->lanes;
  Kernel *k = kernel_new(c->arena, "lookup", w);
  KVar B = kb_dim(k, "B", 0, 1, 4), L = kb_dim(k, "L", 3, 1, 21);
  KBufRef ids = kb_buf(k, "ids", DT_I32, KB_IN, 4 * 3), table = kb_buf(k, "table", DT_F32, KB_WEIGHT, 10 * 21);
  KBufRef y = kb_buf(k, "y", DT_F32, KB_OUT, 4 * 3 * 21);
  KVar b = kb_par(k, "b", upto(0), kbound(ki_var(B)), 1), t = kb_par(k, "t", upto(1), upto(3), 1);
  KIdx slot = ki_add(ki_mul(ki_var(b), 3), ki_var(t));
  KVar id = kb_ldidx(k, ids, slot, 0, 9, "id");
  KIdx src = ki_mul(ki_var(id), 21), dst = ki_mul(slot, 21);
  kb_prefetch(k, table, ki_addc(src, 40), 1);
  KVar i = kb_loop(k, "i", upto(0), kbound_floor(ki_var(L), w), w);
  kb_store(k, y, ki_add(dst, ki_var(i)), kb_load(k, table, ki_add(src, ki_var(i)), w, w, NULL), w);
  kb_end(k);
  i = kb_loop(k, "i", kbound_floor(ki_var(L), w), kbound(ki_var(L)), 1);
  KVal one = kb_load(k, table, ki_add(src, ki_var(i)), 1, 1, NULL);
  KVal twice = kb_op2(k, K_add, one, kb_op2(k, K_mul, one, kb_index(k, ki_addc(ki_var(i), -7), DT_F32, 1)));
  kb_store(k, y, ki_add(dst, ki_var(i)), twice, 1);
  kb_end(k);
  kb_end(k);
  kb_end(k);
  Case *x = case_add(c, k, 0);
  x->dims[0] = 3, x->dims[3] = 13;
}

// y[m, panels*16] = x[m, depth] * w (packed in panels of 16 columns) + bias; tiles of rows x panels.
Kernel *case_gemm(Arena *a, const Target *t, const char *name, int64_t m, int64_t rows, int64_t panels, int64_t depth) {
  uint32_t w = t->lanes;
  int64_t n = panels * 16, per = n / w;
  Kernel *k = kernel_new(a, name, w);
  k->about = arena_printf(a, "y[%d,%d] = x[%d,%d] * w + bias, tile %dx%d", (int)m, (int)n, (int)m, (int)depth,
                          (int)rows, (int)n);
  KBufRef x = kb_buf(k, "x", DT_F32, KB_IN, m * depth), ww = kb_buf(k, "w", DT_F32, KB_WEIGHT, n * depth);
  KBufRef bias = kb_buf(k, "bias", DT_F32, KB_WEIGHT, n), y = kb_buf(k, "y", DT_F32, KB_OUT, m * n);
  KVar r0 = kb_par(k, "r0", upto(0), upto(m), rows);
  KIdx left = ki_mul(ki_var(r0), depth);
  KVal acc[64];
  for (int64_t r = 0; r < rows; r++)
    for (int64_t j = 0; j < per; j++)
      acc[r * per + j] =
          kb_var(k, kb_load(k, bias, ki_const(j * w), w, w, NULL), arena_printf(a, "acc_%d_%d", (int)r, (int)j));
  KVar p = kb_loop(k, "p", upto(0), upto(depth), 1);
  KVal b[16];
  for (int64_t j = 0; j < per; j++) {
    KIdx at = ki_addc(ki_mul(ki_var(p), 16), j * w / 16 * depth * 16 + j * w % 16);
    b[j] = kb_load(k, ww, at, w, w, arena_printf(a, "w%d", (int)j));
  }
  for (int64_t r = 0; r < rows; r++) {
    KVal v = kb_bcast(k, x, ki_addc(ki_add(left, ki_var(p)), r * depth), arena_printf(a, "x%d", (int)r));
    for (int64_t j = 0; j < per; j++) kb_set(k, acc[r * per + j], kb_op3(k, K_fma, v, b[j], acc[r * per + j]));
  }
  kb_end(k);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t j = 0; j < per; j++)
      kb_store(k, y, ki_addc(ki_mul(ki_var(r0), n), r * n + j * w), acc[r * per + j], w);
  kb_end(k);
  return k;
}

// a * b + c and a * b - c, each rounded twice: what contraction would change in most elements.
static void add_unfused(Cases *c) {
  uint32_t w = c->target->lanes;
  Kernel *k = kernel_new(c->arena, "unfused", w);
  KBufRef in[3], y = kb_buf(k, "y", DT_F32, KB_OUT, 128);
  for (int i = 0; i < 3; i++) in[i] = kb_buf(k, "x", DT_F32, KB_IN, 64);
  KVar i = kb_par(k, "i", upto(0), upto(64), w);
  KVal v[3];
  for (int j = 0; j < 3; j++) v[j] = kb_load(k, in[j], ki_var(i), w, w, NULL);
  kb_store(k, y, ki_var(i), kb_op2(k, K_add, kb_op2(k, K_mul, v[0], v[1]), v[2]), w);
  kb_store(k, y, ki_addc(ki_var(i), 64), kb_op2(k, K_sub, kb_op2(k, K_mul, v[1], v[2]), v[0]), w);
  kb_end(k);
  case_add(c, k, 0);
}

// Every number of a narrow type is loaded, and stored again; and of the f32 numbers those are stored that lie between
// two of them: in the middle, and next to it.
static void add_narrow(Cases *c, DType dt) {
  enum { ALL = 1 << 16 };
  uint32_t w = c->target->lanes;
  Kernel *k = kernel_new(c->arena, arena_printf(c->arena, "all_%s", dtype_info[dt].name), w);
  KBufRef h = kb_buf(k, "h", dt, KB_IN, ALL), f = kb_buf(k, "f", DT_F32, KB_IN, ALL);
  KBufRef y = kb_buf(k, "y", DT_F32, KB_OUT, ALL), z = kb_buf(k, "z", dt, KB_OUT, ALL),
          r = kb_buf(k, "r", dt, KB_OUT, ALL);
  KIdx at = ki_var(kb_par(k, "i", upto(0), upto(ALL), w));
  KVal x = kb_load(k, h, at, w, w, "x");
  kb_store(k, y, at, x, w);
  kb_store(k, z, at, x, w);
  kb_store(k, r, at, kb_load(k, f, at, w, w, NULL), w);
  kb_end(k);
  Case *one = case_add(c, k, 0);
  for (uint32_t i = 0; i < ALL; i++) {
    float lo = dtype_widen(dt, i), hi = dtype_widen(dt, (i + 1) % ALL), middle = lo / 2 + hi / 2;
    ((uint16_t *)one->memory[0])[i] = (uint16_t)i;
    ((float *)one->memory[1])[i] = i % 3 == 0 ? middle : nextafterf(middle, i % 3 == 1 ? lo : hi);
  }
}

void cases_named(Cases *c) {
  for (DType dt = 0; dt < DT_COUNT; dt++)
    if (dtype_is_narrow(dt)) add_narrow(c, dt);
  const Target *t = c->target;
  add_unfused(c);
  add_layer_norm(c, 77);
  add_layer_norm(c, 64);
  add_softmax(c);
  add_lookup(c);
  case_add(c, case_gemm(c->arena, t, "gemm", 3 * t->tile[0].rows, t->tile[0].rows, t->tile[0].panels, 37), 0);
  Kernel *k = kernel_new(c->arena, "scalar_only", 1); // one lane on a wide target
  KBufRef x = kb_buf(k, "x", DT_F32, KB_IN, 30), y = kb_buf(k, "y", DT_F32, KB_OUT, 30);
  KVar i = kb_par(k, "i", upto(0), upto(30), 1);
  KVal v = kb_load(k, x, ki_var(i), 1, 1, NULL);
  KVal h = kb_op1(k, K_hadd, kb_op3(k, K_fma, v, v, kb_op1(k, K_splat, v)));
  kb_store(k, y, ki_var(i), kb_op2(k, K_div, h, kb_op2(k, K_max, v, kb_const(k, 0.1, DT_F32, 1))), 1);
  kb_end(k);
  case_add(c, k, 0);
}

/* one kernel for each row
 * ---------------------------------------------------------------------------------------------------- */
enum { PAIRS = NSPECIAL * NSPECIAL, ROW_N = (PAIRS + 112) / 16 * 16 }; // all pairs of special values, then random ones

// Values inside the domain of the operation, so that every machine agrees.
static float tame(KOp op, float f) {
  if (op == K_exp2i) return f >= -126 && f <= 127 ? truncf(f) : isnan(f) ? 12 : f > 0 ? 127 : -126;
  return f;
}

// Words whose parts are at the ends of what a code, a byte or a half may be: all pairs of them meet in some lane.
static void fill_corners(Case *x, size_t buffer, int64_t n) {
  static const uint32_t byte[] = {0x81, 0xff, 0, 1, 0x7f, 0x80}, half[] = {0x8000, 0xff01, 0, 1, 0x7fff, 0x8100};
  for (int64_t i = 0; i < n; i++) {
    uint32_t word = 0, at = (uint32_t)i * (buffer == 0 ? 1u : buffer == 1 ? 7u : 31u);
    for (int p = 0; p < 4; p++, at /= 6) word |= byte[(at + (buffer == 2 ? at >> p : 0)) % 6] << 8 * p;
    if (i % 3 == 2) word = half[at % 6] | half[(at / 6 + (uint32_t)i) % 6] << 16;
    ((uint32_t *)x->memory[buffer])[i] = i % 5 == 4 ? ((uint32_t *)x->memory[buffer])[i] : word; // some stay random
  }
}

// Around the numbers that lie between two bf16, and around the least that is no zero: in the middle, and next to it.
static void round_corners(float *f, int64_t n) {
  static const uint32_t at[] = {0x3f808000, 0x3f818000, 0x237f8000, 0x23800000, 0x23808000,
                                0x7f7f8000, 0x7f800001, 0x7fbfffff, 0x00008000, 0x23000000};
  for (int64_t i = PAIRS; i < n; i++) {
    uint32_t bits = at[i / 6 % 10] + (uint32_t)(i % 3) - 1u;
    if (i % 2) bits |= 0x80000000u;
    if (i < PAIRS + 60) memcpy(&f[i], &bits, sizeof bits);
  }
}

// What dot2b is defined for: halves that are zeros or 2^-56 at least, sums that are multiples of 2^-126.
static void tame_pairs(Case *x) {
  const Kernel *k = x->kernel;
  for (size_t b = 0; b < 3; b++)
    for (int64_t i = 0; i < k->buf.at[b + 1].n; i++) {
      uint32_t *word = (uint32_t *)x->memory[b] + i;
      if (b == 0 && (*word & 0x7fffffffu) < 0x0c000000u) *word &= 0x80000000u; // 2^-103
      for (int up = 0; up < 32 && b > 0; up += 16)
        if ((*word >> up & 0x7fffu) < 0x2380u) *word &= ~(0x7fffu << up);
    }
}

static void fill_row_inputs(const IsaRow *row, Case *x) {
  const Kernel *k = x->kernel;
  bool words = row->op == K_even8 || row->op == K_odd8 || row->op == K_dot2 || row->op == K_dot4 ||
               row->op == K_dot4u || row->op == K_low4 || row->op == K_high4 || row->op == K_pairs4 ||
               row->op == K_join16;
  for (size_t b = 0; words && b < 3; b++) fill_corners(x, b, k->buf.at[b + 1].n);
  for (size_t b = 0; b < case_params(k); b++) {
    if (k->buf.at[b + 1].role == KB_OUT || k->buf.at[b + 1].dtype != DT_F32) continue; // narrow: filled already
    float *f = x->memory[b];
    for (int64_t i = 0; i < k->buf.at[b + 1].n; i++) {
      if (i < PAIRS) f[i] = special[b == 0 ? i / NSPECIAL : b == 1 ? i % NSPECIAL : i * 7 % NSPECIAL];
      f[i] = tame(row->op, f[i]);
    }
  }
  if (row->op == K_round16) round_corners(x->memory[0], k->buf.at[1].n);
  if (row->op == K_dot2b) tame_pairs(x);
}

static void add_row(Cases *c, const IsaRow *row, int64_t n) {
  uint32_t w = row->lanes;
  KOp op = row->op;
  const KOpInfo *info = &kop_info[op];
  bool to_mask = op == K_and || op == K_or || op == K_not;
  DType in = row->dtype == DT_I32 ? DT_I32 : DT_F32, out = in;
  bool narrow = dtype_is_narrow(row->dtype); // a row of memory: its own buffer is narrow
  if (op == K_cvt) out = in == DT_F32 ? DT_I32 : DT_F32;
  if (op == K_magn || op == K_real || op == K_round16 || op == K_low16 || op == K_high16)
    in = out == DT_I32 ? DT_F32 : DT_I32;
  Kernel *k = kernel_new(
      c->arena, arena_printf(c->arena, "row_%s_%s_%u_%d", info->name, dtype_info[row->dtype].name, w, (int)n), w);
  KBufRef buf[3] = {kb_buf(k, "a",
                           narrow && op != K_store ? row->dtype
                           : op == K_mtob          ? DT_F32
                                                   : in,
                           KB_IN, ROW_N),
                    kb_buf(k, "b",
                           op == K_mtob    ? DT_F32
                           : op == K_dot2b ? DT_I32
                                           : in,
                           KB_IN, ROW_N),
                    kb_buf(k, "c", op == K_dot2b ? DT_I32 : in, KB_IN, ROW_N)};
  KBufRef flag = kb_buf(k, "flag", DT_BOOL, KB_IN, ROW_N),
          y = kb_buf(k, "y", narrow && op == K_store ? row->dtype : out, KB_OUT, ROW_N);
  KBufRef hint = op == K_prefetch ? kb_buf(k, "hint", row->dtype, KB_IN, ROW_N) : flag;
  KVar i = kb_par(k, "i", upto(0), upto(ROW_N), w);
  KIdx at = ki_var(i);
  bool memory = op == K_load || op == K_store || op == K_loadm;
  KVal arg[3], r = {0};
  for (int a = 0; a < 3; a++) arg[a] = kb_load(k, buf[a], at, w, op == K_load ? n : w, NULL);
  if (op == K_loadm) r = kb_loadm(k, flag, at, n);
  if (op == K_bcast) r = w == 1 ? arg[0] : kb_bcast(k, buf[0], at, NULL);
  if (op == K_const) r = kb_const(k, row->dtype == DT_F32 ? 0x1.234568p-3 : -12345, row->dtype, w);
  if (op == K_iota) r = kb_iota(k, row->dtype);
  if (op == K_index) r = kb_index(k, ki_addc(ki_mul(at, 3), -500), row->dtype, w);
  if (op == K_load || op == K_store) r = arg[0];
  if (op == K_prefetch) kb_prefetch(k, hint, at, 2), r = arg[0];
  if (op == K_splat) r = kb_splat(k, kb_load(k, buf[0], at, 1, 1, NULL));
  if (op == K_select) r = kb_op3(k, op, kb_loadm(k, flag, at, w), arg[0], arg[1]);
  if (op == K_mtob) r = kb_cvt(k, kb_op2(k, K_lt, arg[0], arg[1]), row->dtype);
  if (op == K_cvt) r = kb_cvt(k, arg[0], out);
  if (op == K_shr || op == K_rotl) { // by 0 to 31 places
    KVal least = kb_op2(k, K_max, arg[1], kb_const(k, 0, DT_I32, w));
    arg[1] = kb_op2(k, K_min, least, kb_const(k, 31, DT_I32, w));
  }
  if (op == K_pairs4) arg[1] = kb_op1(k, n & 1 ? K_low4 : K_high4, arg[1]);
  if (to_mask) {
    KVal p = kb_op2(k, K_lt, arg[0], arg[1]), q = kb_loadm(k, flag, at, w);
    r = info->nargs == 1 ? kb_op1(k, op, p) : kb_op2(k, op, p, q);
  }
  if (!r.id)
    r = info->nargs == 1   ? kb_op1(k, op, arg[0])
        : info->nargs == 2 ? kb_op2(k, op, arg[0], arg[1])
                           : kb_op3(k, op, arg[0], arg[1], arg[2]);
  if (info->result == KR_M) r = kb_op3(k, K_select, r, arg[0], arg[2]);
  kb_store(k, y, at, r, info->result == KR_S ? 1 : memory && op == K_store ? n : w);
  kb_end(k);
  fill_row_inputs(row, case_add(c, k, 20));
}

void cases_rows(Cases *c) {
  const Target *t = c->target;
  for (size_t i = 0; i < t->nrows; i++) {
    const IsaRow *row = &t->rows[i];
    if (!row->partial) add_row(c, row, row->lanes);
    for (int64_t n = 1; n < row->lanes && row->partial; n++) add_row(c, row, n);
  }
  for (int op = 0; op < KOP_COUNT; op++) { // the scalar rows, found through the lookup
    for (int dt = 0; dt < DT_COUNT; dt++) {
      const IsaRow *row = target_row(t, (KOp)op, (DType)dt, 1, false);
      if (row && op != K_fma) add_row(c, row, 1);
    }
  }
}
