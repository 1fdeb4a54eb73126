// probe.c: a small kernel whose bits tell how a module was compiled. It computes what a wrong flag changes: the
// functions with their rounding tricks (reassociation), products beside sums (contraction), quotients of one divisor
// (reciprocals), comparisons of NaN, a conversion, sums across lanes. The interpreter runs it while the module is
// printed, for each instruction set; the module's self-test compares a checksum of what it stored.
//
// Invariants: one task, no run-time dims, no scratch; no result is a NaN or a denormal, whose bits may differ. The
// inputs are those that the self-test makes (runtime/engine/selftest.c): numbers in -1 .. 1 from the same generator.
#include "probe.h"

#include "kmath.h"
#include "runtime/weights_format.h"

static KVal number(Kernel *k, KVal like, double v) { // in as many lanes as `like`
  return kb_const(k, v, DT_F32, k->ins.at[like.id].lanes);
}
static KVal times(Kernel *k, KVal x, double v) {
  return kb_op2(k, K_mul, x, number(k, x, v));
}
static KVal plus(Kernel *k, KVal x, double v) {
  return kb_op2(k, K_add, x, number(k, x, v));
}

static KVal probe_exp(Kernel *k, KVal x) {
  return kmath_exp(k, times(k, x, 20));
}
static KVal probe_tanh(Kernel *k, KVal x) {
  return kmath_tanh(k, times(k, x, 3));
}
static KVal probe_gelu(Kernel *k, KVal x) {
  return kmath_gelu(k, times(k, x, 6));
}
static KVal probe_sigmoid(Kernel *k, KVal x) {
  return kmath_sigmoid(k, times(k, x, 8));
}
static KVal probe_log(Kernel *k, KVal x) {
  return kmath_log(k, plus(k, times(k, x, 40), 41));
}
static KVal probe_sum_of_products(Kernel *k, KVal x) { // contraction rounds once
  return kb_op2(k, K_add, kb_op2(k, K_mul, x, x), times(k, x, 0.3));
}
static KVal probe_fma(Kernel *k, KVal x) {
  return kb_op3(k, K_fma, x, x, times(k, x, 0.7));
}
static KVal probe_far_sum(Kernel *k, KVal x) { // x + (c - c) is another number
  return kb_op2(k, K_sub, plus(k, x, 3000), number(k, x, 3000));
}
static KVal probe_quotients(Kernel *k, KVal x) {
  KVal by = plus(k, times(k, x, 2), 7.3), sum = kb_op2(k, K_div, x, by);
  for (int i = 1; i < 5; i++) sum = kb_op2(k, K_sub, kb_op2(k, K_div, plus(k, x, i), by), sum);
  return sum;
}
static KVal probe_root(Kernel *k, KVal x) {
  return kb_op2(k, K_div, x, kb_op1(k, K_sqrt, plus(k, times(k, x, 3), 3.7)));
}
static KVal probe_nan(Kernel *k, KVal x) { // 1 where the logarithm is a number
  KVal y = kmath_log(k, x);
  return kb_cvt(k, kb_op2(k, K_eq, y, y), DT_F32);
}
static KVal probe_whole(Kernel *k, KVal x) {
  return kb_cvt(k, kb_cvt(k, times(k, x, 4e9), DT_I32), DT_F32);
}

static KVal (*const probes[])(Kernel *k, KVal x) = {
    probe_exp, probe_tanh,    probe_gelu,      probe_sigmoid, probe_log, probe_sum_of_products,
    probe_fma, probe_far_sum, probe_quotients, probe_root,    probe_nan, probe_whole};
_Static_assert(sizeof probes / sizeof *probes == PROBE_ROWS, "as the self-test has room for");

Kernel *probe_kernel(Arena *a, const Target *t) {
  Kernel *k = kernel_new(a, "probe", t->lanes);
  KBufRef x = kb_buf(k, "x", DT_F32, KB_IN, PROBE_N), y = kb_buf(k, "y", DT_F32, KB_OUT, PROBE_Y);
  KIdx i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(PROBE_N)), t->lanes));
  KVal v = kb_load(k, x, i, t->lanes, t->lanes, "v");
  for (int r = 0; r < PROBE_ROWS; r++) kb_store(k, y, ki_addc(i, r * (int64_t)PROBE_N), probes[r](k, v), t->lanes);
  kb_store(k, y, ki_addc(i, (PROBE_ROWS + 1) * (int64_t)PROBE_N), kb_op1(k, K_hadd, v), 1);
  // Vectors are intrinsics, which a compiler may leave alone; what is left over in a row is plain arithmetic.
  KVal s = kb_load(k, x, i, 1, 1, "s");
  for (int n = 0; n < 4; n++) s = plus(k, times(k, s, 0.8), 0.1);
  kb_store(k, y, ki_addc(i, PROBE_ROWS * (int64_t)PROBE_N), s, 1);
  kb_end(k);
  k->about = "what the self-test compares with stored bits";
  kb_finish(k);
  kernel_legalise(k, t->has_fma);
  const char *why = NULL;
  if (!kernel_verify(k, &why)) ICE("probe for %s: %s", t->name, why);
  return k;
}

uint64_t probe_sum(const Kernel *k) {
  float x[PROBE_N], y[PROBE_Y] = {0};
  uint32_t seed = 12345;
  for (int i = 0; i < PROBE_N; i++) {
    seed = seed * 1664525u + 1013904223u;
    x[i] = (float)(int32_t)(seed >> 16) / 32768.0f - 1.0f;
  }
  kernel_interp(k, (void *[]){x, y}, (int64_t[MAX_DIMS]){0}, 0, 1);
  return sy_weights_checksum(y, sizeof y);
}
