// kernel_interp.c: runs kernels lane by lane. It is the meaning of the kernel IR: what a printer emits must give the
// same bits (NaNs count as equal whatever their payload).
//
// One function an operation, run_NAME, found through kops.def: an operation without one does not compile. A kernel is
// decoded once into steps with direct pointers to memory and operands; nothing is allocated while it runs. float
// arithmetic is C float arithmetic, so this file must be compiled without contraction or fast-math; fma is fmaf.
// Every access is checked against the extent of its buffer; one that is outside is an ICE.
#include "kernel.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

typedef struct Cell { // one value; masks are 0 or 1
  union {
    float f[K_MAX_LANES];
    int32_t i[K_MAX_LANES];
    uint32_t u[K_MAX_LANES];
  };
} Cell;

typedef struct Run Run;
typedef struct Step Step;
typedef void StepFn(Run *r, const Step *s);
struct Step {
  StepFn *run;
  Cell *d; // result; the register of set
  const Cell *a, *b, *c;
  DType dtype, from; // of the result, of operand 0
  DType mem;         // of the elements in memory
  int lanes, from_lanes;
  int64_t n; // elements accessed
  const KIns *ins;
  char *memory;
  size_t size; // bytes of an element
  int64_t extent;
  size_t partner; // loop <-> end
};
struct Run {
  const Kernel *k;
  int64_t *value; // of each index variable
  int64_t *bound; // of each loop variable: its upper bound
  size_t at;      // the step being run
};

static const char *address(const Run *r, const Step *s) {
  int64_t i = ki_eval(&s->ins->idx, r->value);
  if (i < 0 || i + s->n > s->extent)
    ICE("kernel %s: %s of element %" PRId64 " of %s, which has %" PRId64, r->k->name, kop_info[s->ins->op].name, i,
        r->k->buf.at[s->ins->buf.id].name, s->extent);
  return s->memory + (size_t)i * s->size;
}

/* structure
 * -------------------------------------------------------------------------------------------------------------- */
static void run_par(Run *r, const Step *s) {
  (void)s;
  ICE("kernel %s: par inside the body", r->k->name);
}
static void run_loop(Run *r, const Step *s) {
  uint32_t v = s->ins->var.id;
  r->value[v] = kbound_eval(&s->ins->range->lo, r->value);
  r->bound[v] = kbound_eval(&s->ins->range->hi, r->value);
  if (r->value[v] >= r->bound[v]) r->at = s->partner;
}
static void run_region(Run *r, const Step *s) {
  (void)r, (void)s;
}
static void run_let(Run *r, const Step *s) {
  r->value[s->ins->var.id] = ki_eval(&s->ins->idx, r->value);
}
static void run_end(Run *r, const Step *s) { // s->ins is the loop's
  if (s->ins->op == K_region) return;
  uint32_t v = s->ins->var.id;
  r->value[v] += s->ins->step;
  if (r->value[v] < r->bound[v]) r->at = s->partner;
}

/* memory
 * ------------------------------------------------------------------------------------------------------------------ */
static float widened(const Step *s, const char *p) {
  uint16_t bits;
  CHECK(s->size == sizeof bits);
  memcpy(&bits, p, sizeof bits);
  return dtype_widen(s->mem, bits);
}
static void store_narrow(const Step *s, char *p) {
  for (int64_t l = 0; l < s->n; l++) {
    uint16_t bits = (uint16_t)dtype_narrow(s->mem, (double)s->a->f[l]);
    memcpy(p + 2 * l, &bits, sizeof bits);
  }
}
static void run_load(Run *r, const Step *s) {
  const char *p = address(r, s);
  memset(s->d, 0, sizeof *s->d);
  if (dtype_is_narrow(s->mem))
    for (int64_t l = 0; l < s->n; l++) s->d->f[l] = widened(s, p + (size_t)l * s->size);
  else
    memcpy(s->d, p, (size_t)s->n * 4);
}
static void run_store(Run *r, const Step *s) {
  char *p = (char *)(uintptr_t)address(r, s);
  if (s->dtype == DT_BOOL)
    *p = s->a->u[0] != 0;
  else if (dtype_is_narrow(s->mem))
    store_narrow(s, p);
  else
    memcpy(p, s->a, (size_t)s->n * 4);
}
static void run_bcast(Run *r, const Step *s) {
  const char *p = address(r, s);
  uint32_t x;
  float y;
  if (dtype_is_narrow(s->mem))
    y = widened(s, p), memcpy(&x, &y, sizeof x);
  else
    memcpy(&x, p, 4);
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = x;
}
static void run_loadm(Run *r, const Step *s) {
  const char *p = address(r, s);
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = l < s->n && p[l];
}
static void run_ldidx(Run *r, const Step *s) {
  int32_t x;
  memcpy(&x, address(r, s), 4);
  const KVarInfo *v = &r->k->var.at[s->ins->var.id];
  r->value[s->ins->var.id] = x < v->lo ? v->lo : x > v->hi ? v->hi : x;
}
static void run_prefetch(Run *r, const Step *s) {
  (void)r, (void)s;
}

/* values
 * ------------------------------------------------------------------------------------------------------------------ */
static void fill(const Step *s, double v) {
  for (int l = 0; l < s->lanes; l++) {
    if (s->dtype == DT_F32)
      s->d->f[l] = (float)v;
    else
      s->d->i[l] = (int32_t)v;
  }
}
static void copy(Cell *d, const Cell *a) {
  memcpy(d, a, sizeof *d);
}
static void run_const(Run *r, const Step *s) {
  (void)r, fill(s, s->ins->imm);
}
static void run_index(Run *r, const Step *s) {
  fill(s, (double)ki_eval(&s->ins->idx, r->value));
}
static void run_iota(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) {
    if (s->dtype == DT_F32)
      s->d->f[l] = (float)l;
    else
      s->d->i[l] = l;
  }
}
static void run_splat(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[0];
}
static void run_lane0(Run *r, const Step *s) {
  (void)r, s->d->u[0] = s->a->u[0];
}
static void run_var(Run *r, const Step *s) {
  (void)r, copy(s->d, s->a);
}
static void run_set(Run *r, const Step *s) {
  (void)r, copy(s->d, s->b);
}

/* arithmetic
 * -------------------------------------------------------------------------------------------------------------- */
static int32_t wrap(uint32_t u) {
  int32_t i;
  memcpy(&i, &u, sizeof i);
  return i;
}
static float max_f32(float a, float b) {
  return a > b ? a : b;
}
static int32_t max_i32(int32_t a, int32_t b) {
  return a > b ? a : b;
}

static void run_add(Run *r, const Step *s) {
  (void)r;
  if (s->dtype == DT_F32)
    for (int l = 0; l < s->lanes; l++) s->d->f[l] = s->a->f[l] + s->b->f[l];
  else
    for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] + s->b->u[l];
}
static void run_sub(Run *r, const Step *s) {
  (void)r;
  if (s->dtype == DT_F32)
    for (int l = 0; l < s->lanes; l++) s->d->f[l] = s->a->f[l] - s->b->f[l];
  else
    for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] - s->b->u[l];
}
static void run_mul(Run *r, const Step *s) {
  (void)r;
  if (s->dtype == DT_F32)
    for (int l = 0; l < s->lanes; l++) s->d->f[l] = s->a->f[l] * s->b->f[l];
  else
    for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] * s->b->u[l];
}
static void run_div(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->f[l] = s->a->f[l] / s->b->f[l];
}
static void run_fma(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->f[l] = fmaf(s->a->f[l], s->b->f[l], s->c->f[l]);
}
static void run_max(Run *r, const Step *s) {
  (void)r;
  if (s->dtype == DT_F32)
    for (int l = 0; l < s->lanes; l++) s->d->f[l] = max_f32(s->a->f[l], s->b->f[l]);
  else
    for (int l = 0; l < s->lanes; l++) s->d->i[l] = max_i32(s->a->i[l], s->b->i[l]);
}
static void run_min(Run *r, const Step *s) {
  (void)r;
  if (s->dtype == DT_F32)
    for (int l = 0; l < s->lanes; l++) s->d->f[l] = s->a->f[l] < s->b->f[l] ? s->a->f[l] : s->b->f[l];
  else
    for (int l = 0; l < s->lanes; l++) s->d->i[l] = s->a->i[l] < s->b->i[l] ? s->a->i[l] : s->b->i[l];
}
static void run_sqrt(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->f[l] = sqrtf(s->a->f[l]);
}
static void run_exp2i(Run *r, const Step *s) { // 1.5 * 2^23 + 127 + a: the exponent stands in the low bits of the sum
  (void)r;
  Cell t;
  for (int l = 0; l < s->lanes; l++) t.f[l] = s->a->f[l] + 12583039.0f;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = t.u[l] << 23;
}
static void run_expo(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->f[l] = (float)((int32_t)(s->a->u[l] >> 23) - 127);
}
static void run_mant(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = (s->a->u[l] & 0x7fffffu) | 0x3f800000u;
}
static int32_t whole(float x) { // towards zero; the nearest i32 of what is out of range, 0 of NaN
  if (!(x >= -0x1p31f)) return x < 0 ? INT32_MIN : 0;
  return x < 0x1p31f ? (int32_t)x : INT32_MAX;
}
static void run_xor(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] ^ s->b->u[l];
}
static void run_shr(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] >> (s->b->u[l] & 31u);
}
static void run_rotl(Run *r, const Step *s) {
  (void)r;
  Cell a = *s->a, b = *s->b;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = a.u[l] << (b.u[l] & 31u) | a.u[l] >> (-b.u[l] & 31u);
}
static void run_magn(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] & 0x7fffffffu;
}
static void run_real(Run *r, const Step *s) {
  (void)r, copy(s->d, s->a);
}

// Part p of `bits` bits of a word, with its sign.
static int32_t part(uint32_t word, int p, int bits) {
  uint32_t top = word << (32 - bits * (p + 1));
  return wrap(top) >> (32 - bits);
}
static uint32_t halves(int32_t low, int32_t high) {
  return ((uint32_t)low & 0xffffu) | (uint32_t)high << 16;
}
static void run_even8(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = halves(part(s->a->u[l], 0, 8), part(s->a->u[l], 2, 8));
}
static void run_odd8(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = halves(part(s->a->u[l], 1, 8), part(s->a->u[l], 3, 8));
}
// d = a + the products of the parts of b and c, of `bits` bits each; those of b without a sign: mask them.
static void dot(const Step *s, int bits, bool plain) {
  for (int l = 0; l < s->lanes; l++) {
    uint32_t sum = s->a->u[l];
    for (int p = 0; p < 32 / bits; p++) {
      int32_t x = part(s->b->u[l], p, bits), y = part(s->c->u[l], p, bits);
      if (plain) x &= (1 << bits) - 1;
      sum += (uint32_t)x * (uint32_t)y;
    }
    s->d->u[l] = sum;
  }
}
static void run_dot2(Run *r, const Step *s) {
  (void)r, dot(s, 16, false);
}
static void run_dot4(Run *r, const Step *s) {
  (void)r, dot(s, 8, false);
}
static void run_dot4u(Run *r, const Step *s) {
  (void)r, dot(s, 8, true);
}

static void run_low4(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] & 0x0f0f0f0fu;
}
static void run_high4(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] >> 4 & 0x0f0f0f0fu;
}
static void run_pairs4(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) {
    int32_t sum[2];
    for (int h = 0; h < 2; h++) {
      sum[h] = part(s->a->u[l], h, 16);
      for (int p = 2 * h; p < 2 * h + 2; p++) sum[h] += part(s->b->u[l], p, 8) * part(s->c->u[l], p, 8);
    }
    s->d->u[l] = halves(sum[0], sum[1]);
  }
}
static float real_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
static void run_round16(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) {
    uint32_t u = s->a->u[l], magnitude = u & 0x7fffffffu;
    s->d->u[l] = magnitude < 0x23800000u   ? u >> 31 << 15 // 2^-56
                 : magnitude > 0x7f800000u ? u >> 16 | 0x40u
                                           : (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
  }
}
static void run_join16(Run *r, const Step *s) {
  (void)r;
  uint32_t half[2 * K_MAX_LANES];
  for (int l = 0; l < s->lanes; l++) half[l] = s->a->u[l] & 0xffffu, half[s->lanes + l] = s->b->u[l] & 0xffffu;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = half[2 * l] | half[2 * l + 1] << 16;
}
static void run_low16(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] << 16;
}
static void run_high16(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] & 0xffff0000u;
}
static void run_dot2b(Run *r, const Step *s) { // products of two bf16 are exact, so these are fused multiply-adds
  (void)r;
  for (int l = 0; l < s->lanes; l++) {
    uint32_t a = s->b->u[l], b = s->c->u[l];
    float upper = real_of(a & 0xffff0000u) * real_of(b & 0xffff0000u), lower = real_of(a << 16) * real_of(b << 16);
    float sum = s->a->f[l] + upper;
    s->d->f[l] = sum + lower;
  }
}

static void run_cvt(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) {
    if (s->dtype == s->from)
      s->d->u[l] = s->a->u[l];
    else if (s->dtype == DT_F32)
      s->d->f[l] = (float)s->a->i[l];
    else
      s->d->i[l] = whole(s->a->f[l]);
  }
}

/* masks
 * -------------------------------------------------------------------------------------------------------------------
 */
static void run_lt(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->from == DT_F32 ? s->a->f[l] < s->b->f[l] : s->a->i[l] < s->b->i[l];
}
static void run_le(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++)
    s->d->u[l] = s->from == DT_F32 ? s->a->f[l] <= s->b->f[l] : s->a->i[l] <= s->b->i[l];
}
static void run_eq(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++)
    s->d->u[l] = s->from == DT_F32 ? s->a->f[l] == s->b->f[l] : s->a->i[l] == s->b->i[l];
}
static void run_and(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] & s->b->u[l];
}
static void run_or(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] | s->b->u[l];
}
static void run_not(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = !s->a->u[l];
}
static void run_select(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->a->u[l] ? s->b->u[l] : s->c->u[l];
}
static void run_mtob(Run *r, const Step *s) {
  (void)r;
  for (int l = 0; l < s->lanes; l++) s->d->u[l] = s->dtype == DT_F32 ? s->a->u[l] * 0x3f800000u : s->a->u[l];
}

/* across lanes
 * ------------------------------------------------------------------------------------------------------------ */
static void run_hadd(Run *r, const Step *s) {
  (void)r;
  Cell t = *s->a;
  for (int h = s->from_lanes / 2; h >= 1; h /= 2)
    for (int l = 0; l < h; l++) {
      if (s->dtype == DT_F32)
        t.f[l] = t.f[l] + t.f[l + h];
      else
        t.i[l] = wrap(t.u[l] + t.u[l + h]);
    }
  s->d->u[0] = t.u[0];
}
static void run_hmax(Run *r, const Step *s) {
  (void)r;
  Cell t = *s->a;
  for (int h = s->from_lanes / 2; h >= 1; h /= 2)
    for (int l = 0; l < h; l++) {
      if (s->dtype == DT_F32)
        t.f[l] = max_f32(t.f[l], t.f[l + h]);
      else
        t.i[l] = max_i32(t.i[l], t.i[l + h]);
    }
  s->d->u[0] = t.u[0];
}

static StepFn *const run_op[KOP_COUNT] = {
#define KOP(name, nargs, result, doc) [K_##name] = run_##name,
#include "kops.def"
#undef KOP
};

/* decoding and the run
 * ---------------------------------------------------------------------------------------------------------- */
static int64_t access_width(const KIns *s) {
  if (s->op == K_load || s->op == K_store || s->op == K_loadm) return s->n;
  return s->op == K_bcast || s->op == K_ldidx ? 1 : 0;
}

static Step *decode(const Kernel *k, char **memory) {
  Step *step = ARENA_ARRAY(k->arena, Step, k->ins.n);
  Cell *cell = ARENA_ARRAY(k->arena, Cell, k->ins.n);
  size_t *open = ARENA_ARRAY(k->arena, size_t, k->ins.n), depth = 0;
  for (size_t i = 1; i < k->ins.n; i++) {
    const KIns *s = &k->ins.at[i], *first = &k->ins.at[s->arg[0].id];
    step[i] = (Step){.run = run_op[s->op], .ins = s, .d = &cell[i], .dtype = s->dtype, .lanes = s->lanes};
    step[i].a = &cell[s->arg[0].id], step[i].b = &cell[s->arg[1].id], step[i].c = &cell[s->arg[2].id];
    step[i].from = first->dtype, step[i].from_lanes = first->lanes;
    step[i].n = access_width(s);
    if (s->buf.id) {
      step[i].memory = memory[s->buf.id];
      step[i].mem = k->buf.at[s->buf.id].dtype;
      step[i].size = dtype_info[step[i].mem].bytes;
      step[i].extent = k->buf.at[s->buf.id].n;
    }
    if (s->op == K_set) step[i].d = &cell[s->arg[0].id];
    if (kop_info[s->op].result == KR_B) open[depth++] = i;
    if (s->op == K_end) {
      size_t begin = open[--depth];
      step[i].partner = begin, step[begin].partner = i;
      step[i].ins = &k->ins.at[begin];
    }
  }
  return step;
}

void kernel_interp(const Kernel *k, void *const *buf, const int64_t *dims, int64_t first, int64_t last) {
  ArenaMark mark = arena_mark(k->arena);
  char **memory = ARENA_ARRAY(k->arena, char *, k->buf.n);
  for (size_t i = 1; i < k->buf.n; i++) {
    size_t bytes = (size_t)k->buf.at[i].n * dtype_info[k->buf.at[i].dtype].bytes;
    bool scratch = k->buf.at[i].role == KB_SCRATCH;
    memory[i] = scratch ? memset(arena_alloc(k->arena, bytes), 0xff, bytes) : buf[i - 1]; // scratch: NaNs
  }
  Run r = {
      .k = k, .value = ARENA_ARRAY(k->arena, int64_t, k->var.n), .bound = ARENA_ARRAY(k->arena, int64_t, k->var.n)};
  const Step *step = decode(k, memory);
  for (size_t i = 1; i < k->var.n; i++)
    if (k->var.at[i].kind == KV_DIM) r.value[i] = dims[k->var.at[i].sym];
  size_t npar = 0;
  while (npar + 1 < k->ins.n && k->ins.at[npar + 1].op == K_par) npar++;
  for (int64_t task = first; task < last; task++) {
    int64_t rest = task;
    for (size_t p = npar; p >= 1; p--) { // the innermost par loop varies fastest
      const KIns *s = &k->ins.at[p];
      int64_t lo = kbound_eval(&s->range->lo, r.value), hi = kbound_eval(&s->range->hi, r.value);
      int64_t count = hi > lo ? (hi - lo + s->step - 1) / s->step : 0;
      if (!count) ICE("kernel %s: task %" PRId64 " of an empty par nest", k->name, task);
      r.value[s->var.id] = lo + rest % count * s->step;
      rest /= count;
    }
    for (r.at = npar + 1; r.at < k->ins.n - npar; r.at++) step[r.at].run(&r, &step[r.at]);
  }
  arena_reset(k->arena, mark);
}
