// kmath.c: exp, log, tanh, sigmoid and the three GELUs, built from kernel IR arithmetic.
//
// The coefficients are minimax fits of this project: a Remez exchange in 50-digit arithmetic (error = weighted relative
// or absolute, as said at each table), rounded to f32. The classical frame of each function:
//   exp:   x = n ln2 + r, |r| <= ln2/2;  e^x = 2^n (1 + r + r^2 P(r)), ln2 in two parts so that r is exact
//   log:   x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt 2);  ln x = e ln2 + f - f^2/2 + f^3 P(f)
//   tanh:  |x| < 0.6: x + x^3 P(x^2);  else 1 - 2 / (e^2x + 1)
//   gelu:  x (1/2 + x P(x^2)/Q(x^2)), the quotient fitted to the normal distribution function on |x| <= 5.6; all
//          coefficients are positive, so nothing cancels; one division
// Example, gelu of a vector: 2 clamps, 1 + 5 + 6 multiplications or fma, 1 division, 1 fma, 1 multiplication.
#include "kmath.h"

#include <math.h>

/* one operation at a time */
static KVal num(Kernel *k, double v, KVal like) {
  return kb_const(k, v, DT_F32, k->ins.at[like.id].lanes);
}
static KVal add(Kernel *k, KVal a, KVal b) {
  return kb_op2(k, K_add, a, b);
}
static KVal sub(Kernel *k, KVal a, KVal b) {
  return kb_op2(k, K_sub, a, b);
}
static KVal mul(Kernel *k, KVal a, KVal b) {
  return kb_op2(k, K_mul, a, b);
}
static KVal fma_(Kernel *k, KVal a, KVal b, KVal c) {
  return kb_op3(k, K_fma, a, b, c);
}

// c[0] + c[1] x + .. + c[n-1] x^(n-1), Horner's rule.
static KVal polynomial(Kernel *k, KVal x, const double *c, int n) {
  KVal y = num(k, c[n - 1], x);
  for (int i = n - 2; i >= 0; i--) y = fma_(k, y, x, num(k, c[i], x));
  return y;
}

// The nearest integer (ties to even) of |x| < 2^22, by the rounding of the addition.
static KVal round_even(Kernel *k, KVal x) {
  KVal magic = num(k, 12582912.0, x); // 1.5 * 2^23
  return sub(k, add(k, x, magic), magic);
}

// The result keeps a NaN in x: min and max return their second operand when the comparison fails.
static KVal clamp(Kernel *k, KVal x, double lo, double hi) {
  x = kb_op2(k, K_max, num(k, lo, x), x);
  return kb_op2(k, K_min, num(k, hi, x), x);
}

// e^r - 1 - r = r^2 P(r) on |r| <= ln2/2; error of e^r 3e-9, relative.
static const double exp_p[] = {0.4999999345, 0.1666652069, 0.04166838731, 0.008368709751, 0.001381461543};

// x = n ln2 + r; returns e^r
static KVal exp_reduced(Kernel *k, KVal x, KVal *n) {
  *n = round_even(k, mul(k, x, num(k, 1.4426950408889634, x)));
  KVal r = fma_(k, *n, num(k, -0.693145751953125, x), x); // ln2 to 16 bits: the product with n is exact
  r = fma_(k, *n, num(k, -1.42860677e-6, x), r);
  KVal p = polynomial(k, r, exp_p, 5);
  return add(k, fma_(k, mul(k, r, r), p, r), num(k, 1, x));
}

KVal kmath_exp(Kernel *k, KVal x) {
  KVal n, y = exp_reduced(k, clamp(k, x, -105, 89), &n);
  KVal half = round_even(k, mul(k, n, num(k, 0.5, x))); // 2^n in two factors: n reaches from -151 to 128
  y = mul(k, y, kb_op1(k, K_exp2i, half));
  return mul(k, y, kb_op1(k, K_exp2i, sub(k, n, half)));
}

// x in [-87, 88]: one factor is enough
static KVal exp_normal(Kernel *k, KVal x) {
  KVal n, y = exp_reduced(k, x, &n);
  return mul(k, y, kb_op1(k, K_exp2i, n));
}

KVal kmath_exp_neg(Kernel *k, KVal x) {
  KVal least = num(k, -87, x), y = exp_normal(k, kb_op2(k, K_max, least, x));
  return kb_op3(k, K_select, kb_op2(k, K_lt, x, least), num(k, 0, x), y);
}

// (ln(1+f) - f + f^2/2) / f^3; error of ln(1+f) 6e-9, relative.
static const double log_p[] = {0.3333333171, -0.2500082103, 0.2000122684, -0.1662335738,
                               0.1420175848, -0.131601825,  0.1276157491, -0.07634494258};

KVal kmath_log(Kernel *k, KVal x) {
  KVal one = num(k, 1, x), zero = num(k, 0, x), inf = num(k, HUGE_VAL, x);
  KVal tiny = kb_op2(k, K_lt, x, num(k, 0x1p-126, x)); // subnormal, zero, negative
  KVal positive = kb_op2(k, K_lt, zero, x);
  KVal scaled = kb_op3(k, K_select, tiny, mul(k, x, num(k, 0x1p23, x)), x);
  KVal ok = kb_op3(k, K_select, kb_op2(k, K_and, positive, kb_op2(k, K_lt, x, inf)), scaled, one);
  KVal e = kb_op1(k, K_expo, ok), m = kb_op1(k, K_mant, ok);
  KVal upper = kb_op2(k, K_lt, num(k, 1.41421356, x), m);
  m = kb_op3(k, K_select, upper, mul(k, m, num(k, 0.5, x)), m);
  e = kb_op3(k, K_select, upper, add(k, e, one), e);
  e = kb_op3(k, K_select, tiny, sub(k, e, num(k, 23, x)), e);
  KVal f = sub(k, m, one), ff = mul(k, f, f);
  KVal y = mul(k, mul(k, f, ff), polynomial(k, f, log_p, 8));
  y = fma_(k, e, num(k, 1.42860677e-6, x), y);
  y = fma_(k, ff, num(k, -0.5, x), y);
  y = fma_(k, e, num(k, 0.693145751953125, x), add(k, f, y));
  y = kb_op3(k, K_select, kb_op2(k, K_lt, x, inf), y, x);                       // inf and NaN stay
  y = kb_op3(k, K_select, kb_op2(k, K_lt, x, zero), num(k, (double)NAN, x), y); // negative
  return kb_op3(k, K_select, kb_op2(k, K_eq, x, zero), num(k, -HUGE_VAL, x), y);
}

// (tanh(x) - x) / x^3 as a polynomial in x^2 on |x| <= 0.6; error of tanh 3e-9, relative.
static const double tanh_p[] = {-0.33333298, 0.1333192413, -0.05378383015, 0.02079597108, -0.005895157292};

KVal kmath_tanh(Kernel *k, KVal x) {
  KVal one = num(k, 1, x), zero = num(k, 0, x), s = mul(k, x, x);
  KVal small = fma_(k, mul(k, x, s), polynomial(k, s, tanh_p, 5), x);
  KVal size = kb_op2(k, K_max, sub(k, zero, x), x);
  KVal e = exp_normal(k, kb_op2(k, K_min, num(k, 20, x), add(k, size, size)));
  KVal large = sub(k, one, kb_op2(k, K_div, num(k, 2, x), add(k, e, one)));
  large = kb_op3(k, K_select, kb_op2(k, K_lt, x, zero), sub(k, zero, large), large);
  return kb_op3(k, K_select, kb_op2(k, K_lt, num(k, 0.6, x), size), large, small);
}

// y / (1 + e^-x)
static KVal times_sigmoid(Kernel *k, KVal y, KVal x) {
  KVal e = exp_normal(k, clamp(k, sub(k, num(k, 0, x), x), -87, 88));
  return kb_op2(k, K_div, y, add(k, e, num(k, 1, x)));
}

KVal kmath_sigmoid(Kernel *k, KVal x) {
  return times_sigmoid(k, num(k, 1, x), x);
}
KVal kmath_quick_gelu(Kernel *k, KVal x) {
  return times_sigmoid(k, x, mul(k, x, num(k, 1.702, x)));
}

KVal kmath_swish(Kernel *k, KVal x) {
  return times_sigmoid(k, x, x);
}

KVal kmath_gelu_tanh(Kernel *k, KVal x) { // 1 + tanh u = 2 sigmoid(2u)
  const double c = 1.5957691216057308;    // 2 sqrt(2/pi)
  KVal s = mul(k, x, x), p = fma_(k, s, num(k, c * 0.044715, x), num(k, c, x));
  return times_sigmoid(k, x, mul(k, x, p));
}

// (Phi(x) - 1/2) / x = P(x^2) / Q(x^2) on |x| <= 5.6; error of gelu 9.4e-8, absolute, and less where |x| is small.
static const double gelu_p[] = {0.3989419307,    0.03410762916,  0.00498309349,
                                0.0001911501786, 9.792354514e-6, 8.745181967e-8};
static const double gelu_q[] = {
    1.0, 0.2521591506, 0.02951962948, 0.00207043353, 9.285144985e-5, 2.531698529e-6, 5.003508748e-9};

static KVal normal_distribution(Kernel *k, KVal x) { // Phi(x)
  KVal half = num(k, 0.5, x), c = clamp(k, x, -5.6, 5.6), s = mul(k, c, c);
  KVal p = mul(k, c, polynomial(k, s, gelu_p, 6)), q = polynomial(k, s, gelu_q, 7);
  return add(k, half, kb_op2(k, K_div, p, q));
}

KVal kmath_gelu(Kernel *k, KVal x) {
  return mul(k, x, normal_distribution(k, x));
}

KVal kmath_gelu_slope(Kernel *k, KVal x) { // Phi(x) + x e^(-x^2/2) / sqrt(2 pi)
  KVal phi = mul(k, num(k, 0.3989422804014327, x), kmath_exp_neg(k, mul(k, mul(k, x, x), num(k, -0.5, x))));
  return fma_(k, x, phi, normal_distribution(k, x));
}

/* random numbers */
static KVal bits(Kernel *k, uint32_t v, KVal like) { // as the i32 of these bits
  return kb_const(k, (double)v - (v < 0x80000000u ? 0 : 0x1p32), DT_I32, k->ins.at[like.id].lanes);
}

// Two words that are mixed: a += b; b = rotl(b, by) ^ a.
static void mix(Kernel *k, KVal *a, KVal *b, uint32_t by) {
  *a = add(k, *a, *b);
  *b = kb_op2(k, K_xor, kb_op2(k, K_rotl, *b, bits(k, by, *b)), *a);
}

// Threefry-4x32 with 20 rounds, as in runtime/random.h. Words 2 and 3 of the key are 0 and are not added.
KVal kmath_random(Kernel *k, const KVal key[3], uint32_t purpose, KVal row, KVal i) {
  static const uint32_t by[8][2] = {{10, 26}, {11, 21}, {13, 27}, {23, 5}, {6, 20}, {17, 11}, {25, 10}, {18, 20}};
  KVal block = kb_op2(k, K_shr, i, bits(k, 2, i)), word = sub(k, i, mul(k, block, bits(k, 4, i)));
  KVal parity = kb_op2(k, K_xor, kb_op2(k, K_xor, key[0], key[1]), bits(k, 0x1BD11BDAu, i));
  const KVal part[5] = {key[0], key[1], {0}, {0}, parity};
  KVal x[4] = {add(k, key[0], bits(k, purpose, i)), add(k, key[1], key[2]), row, block};
  for (uint32_t round = 0; round < 20; round++) {
    mix(k, &x[0], &x[round % 2 ? 3 : 1], by[round % 8][0]);
    mix(k, &x[2], &x[round % 2 ? 1 : 3], by[round % 8][1]);
    if (round % 4 < 3) continue;
    uint32_t s = round / 4 + 1; // the key again, shifted by one word
    for (uint32_t j = 0; j < 4; j++)
      if (part[(s + j) % 5].id) x[j] = add(k, x[j], part[(s + j) % 5]);
    x[3] = add(k, x[3], bits(k, s, i));
  }
  KVal y = x[3];
  for (uint32_t j = 3; j-- > 0;) y = kb_op3(k, K_select, kb_op2(k, K_eq, word, bits(k, j, word)), x[j], y);
  return y;
}
