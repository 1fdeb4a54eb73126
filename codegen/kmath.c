// kmath.c: exp, log, tanh, sin, cos, floor, sigmoid and the three GELUs, built from kernel IR arithmetic.
//
// The coefficients are minimax fits of this project: a Remez exchange in 50-digit arithmetic (error = weighted relative
// or absolute, as said at each table), rounded to f32. The classical frame of each function:
//   exp:   x = n ln2 + r, |r| <= ln2/2;  e^x = 2^n (1 + r + r^2 P(r)), ln2 in two parts so that r is exact
//   log:   x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt 2);  ln x = e ln2 + f - f^2/2 + f^3 P(f)
//   tanh:  |x| < 0.6: x + x^3 P(x^2);  else 1 - 2 / (e^2x + 1)
//   sin, cos: |x| = q pi/2 + r by integers alone (Payne and Hanek), |r| <= pi/4; r + r^3 P(r^2), 1 - r^2/2 + r^4 P(r^2)
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

/* sin and cos: no fma anywhere, so all targets have the same bits */
static KVal bits(Kernel *k, uint32_t v, KVal like) { // as the i32 of these bits
  return kb_const(k, (double)v - (v < 0x80000000u ? 0 : 0x1p32), DT_I32, k->ins.at[like.id].lanes);
}
static KVal shr(Kernel *k, KVal x, uint32_t by) {
  return kb_op2(k, K_shr, x, bits(k, by, x));
}
static KVal low(Kernel *k, KVal x, uint32_t n) { // the lowest n bits
  return sub(k, x, mul(k, shr(k, x, n), bits(k, 1u << n, x)));
}

// The upper 32 bits of m w, for m below 2^24 and w without a sign. In parts of 12 and 16 bits no sum reaches 2^31:
// m w = A 2^28 + B 2^12 + C 2^16 + D.
static KVal upper_product(Kernel *k, KVal m, KVal w) {
  KVal mh = shr(k, m, 12), ml = low(k, m, 12), wh = shr(k, w, 16), wl = low(k, w, 16), d = mul(k, ml, wl);
  KVal e = add(k, mul(k, ml, wh), shr(k, d, 16));
  KVal f = add(k, mul(k, low(k, e, 12), bits(k, 16, e)), shr(k, low(k, d, 16), 12));
  f = add(k, mul(k, mh, wl), f);
  return shr(k, add(k, add(k, mul(k, mh, wh), shr(k, e, 12)), shr(k, f, 16)), 4);
}

// The first 224 bits of 2/pi, behind 32 zeros.
static const uint32_t two_over_pi[] = {0,           0xa2f9836eu, 0x4e441529u, 0xfc2757d1u,
                                       0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu};
enum { WINDOW_STARTS = 5 }; // words in which the 96 bits may begin that count for an exponent

// size = q pi/2 + r, for size at least 1/2 and finite: 2/pi times the 24 bits of size, of which those above 2^2 are
// left out and 2^-62 of a quarter turn is kept; *q modulo 4, |r| <= pi/4 as a
// sum of two: *rest is what the first cannot hold.
static KVal quarter_turns(Kernel *k, KVal size, KVal *q, KVal *rest) {
  KVal m = kb_cvt(k, mul(k, kb_op1(k, K_mant, size), num(k, 0x1p23, size)), DT_I32);
  KVal at = kb_cvt(k, add(k, kb_op1(k, K_expo, size), num(k, 7, size)), DT_I32); // first bit of the window
  KVal word = shr(k, at, 5), shift = low(k, at, 5), back = sub(k, bits(k, 31, at), shift), part[4], window[3];
  for (uint32_t i = 0; i < 4; i++) {
    part[i] = bits(k, two_over_pi[i], at);
    for (uint32_t j = 1; j < WINDOW_STARTS && i + j < 8; j++)
      part[i] = kb_op3(k, K_select, kb_op2(k, K_eq, word, bits(k, j, word)), bits(k, two_over_pi[i + j], at), part[i]);
  }
  for (uint32_t i = 0; i < 3; i++) { // part[i] << shift | part[i + 1] >> (32 - shift)
    KVal gone = kb_op2(k, K_shr, shr(k, part[i], 1), back), behind = kb_op2(k, K_shr, shr(k, part[i + 1], 1), back);
    window[i] = add(k, sub(k, kb_op2(k, K_rotl, part[i], shift), gone), behind);
  }
  KVal middle = mul(k, m, window[1]), lower = add(k, middle, upper_product(k, m, window[2]));
  KVal sign = bits(k, 0x80000000u, at);
  KVal carry = kb_op2(k, K_lt, kb_op2(k, K_xor, lower, sign), kb_op2(k, K_xor, middle, sign));
  KVal upper = add(k, mul(k, m, window[0]), upper_product(k, m, window[1]));
  upper = kb_op3(k, K_select, carry, add(k, upper, bits(k, 1, at)), upper);
  *q = shr(k, add(k, upper, bits(k, 0x20000000u, at)), 30);
  upper = sub(k, upper, mul(k, *q, bits(k, 0x40000000u, at)));
  // 12 bits of it times the first 12 bits of pi/2, exactly, and the rest
  KVal half = bits(k, 1u << 17, at), behind = sub(k, low(k, add(k, upper, half), 18), half);
  KVal front = mul(k, kb_cvt(k, sub(k, upper, behind), DT_F32), num(k, 0x1p-30, size));
  KVal back_part = add(k, mul(k, kb_cvt(k, behind, DT_F32), num(k, 0x1p-30, size)),
                       mul(k, kb_cvt(k, shr(k, lower, 1), DT_F32), num(k, 0x1p-61, size)));
  KVal r = mul(k, front, num(k, 1.57080078125, size));
  *rest =
      add(k, mul(k, front, num(k, -4.454455103380768e-06, size)), mul(k, back_part, num(k, 1.5707963267948966, size)));
  KVal sum = add(k, r, *rest);
  *rest = add(k, sub(k, r, sum), *rest);
  return sum;
}

// (sin r - r) / r^3 and (cos r - 1 + r^2/2) / r^4 as polynomials in r^2 on |r| <= pi/4; errors 4e-9 and 1e-10,
// relative.
static const double sin_p[] = {-0.1666665494, 0.008332177686, -0.0001951723459};
static const double cos_p[] = {0.04166664685, -0.001388736691, 2.44383793e-05};

static KVal plain_polynomial(Kernel *k, KVal x, const double *c, int n) { // without fma
  KVal y = num(k, c[n - 1], x);
  for (int i = n - 2; i >= 0; i--) y = add(k, mul(k, y, x), num(k, c[i], x));
  return y;
}

// sin(x + ahead pi/2)
static KVal sine(Kernel *k, KVal x, uint32_t ahead) {
  KVal one = num(k, 1, x), zero = num(k, 0, x), size = kb_op2(k, K_max, x, sub(k, zero, x)), q, rest;
  KVal finite = kb_op2(k, K_lt, size, num(k, HUGE_VAL, x)),
       small = kb_op2(k, K_le, size, num(k, 0.7853981633974483, x));
  KVal usual = kb_op2(k, K_and, finite, kb_op1(k, K_not, small));
  KVal r = quarter_turns(k, kb_op3(k, K_select, usual, size, one), &q, &rest);
  KVal negative = kb_op2(k, K_lt, x, zero), none = bits(k, 0, q);
  r = kb_op3(k, K_select, negative, sub(k, zero, r), r); // sin(-x) = sin(-r - q pi/2)
  q = kb_op3(k, K_select, negative, sub(k, none, q), q);
  rest = kb_op3(k, K_select, negative, sub(k, zero, rest), rest);
  r = kb_op3(k, K_select, usual, r, x);
  rest = kb_op3(k, K_select, usual, rest, zero);
  q = kb_op3(k, K_select, usual, q, none);
  q = low(k, add(k, q, bits(k, ahead, q)), 2);
  KVal z = mul(k, r, r), half = mul(k, z, num(k, 0.5, x)), top = sub(k, one, half);
  KVal s = add(k, r, add(k, mul(k, mul(k, r, z), plain_polynomial(k, z, sin_p, 3)), rest));
  KVal c = sub(k, mul(k, mul(k, z, z), plain_polynomial(k, z, cos_p, 3)), mul(k, r, rest));
  c = add(k, top, add(k, sub(k, sub(k, one, top), half), c)); // with what rounding 1 - r^2/2 has lost
  KVal y = kb_op3(k, K_select, kb_op2(k, K_eq, low(k, q, 1), none), s, c);
  y = kb_op3(k, K_select, kb_op2(k, K_lt, bits(k, 1, q), q), sub(k, zero, y), y);
  return kb_op3(k, K_select, finite, y, sub(k, x, x)); // of infinity and NaN: NaN
}

KVal kmath_sin(Kernel *k, KVal x) {
  return sine(k, x, 0);
}
KVal kmath_cos(Kernel *k, KVal x) {
  return sine(k, x, 1);
}

// From 2^23 on every number is whole.
KVal kmath_floor(Kernel *k, KVal x) {
  KVal t = kb_cvt(k, kb_cvt(k, x, DT_I32), DT_F32); // towards zero
  KVal y = kb_op3(k, K_select, kb_op2(k, K_lt, x, t), sub(k, t, num(k, 1, x)), t);
  KVal part = kb_op2(k, K_lt, kb_op2(k, K_max, x, sub(k, num(k, 0, x), x)), num(k, 0x1p23, x));
  part = kb_op2(k, K_and, part, kb_op1(k, K_not, kb_op2(k, K_eq, x, t))); // -0 stays
  return kb_op3(k, K_select, part, y, x);
}

/* random numbers */

// Two words that are mixed: a += b; b = rotl(b, by) ^ a.
static void mix(Kernel *k, KVal *a, KVal *b, uint32_t by) {
  *a = add(k, *a, *b);
  *b = kb_op2(k, K_xor, kb_op2(k, K_rotl, *b, bits(k, by, *b)), *a);
}

// Threefry-4x32 with 20 rounds, as in runtime/random.h. Words 2 and 3 of the key are 0 and are not added.
KVal kmath_random(Kernel *k, const KVal key[3], KVal purpose, KVal row, KVal i) {
  static const uint32_t by[8][2] = {{10, 26}, {11, 21}, {13, 27}, {23, 5}, {6, 20}, {17, 11}, {25, 10}, {18, 20}};
  KVal block = kb_op2(k, K_shr, i, bits(k, 2, i)), word = sub(k, i, mul(k, block, bits(k, 4, i)));
  KVal parity = kb_op2(k, K_xor, kb_op2(k, K_xor, key[0], key[1]), bits(k, 0x1BD11BDAu, i));
  const KVal part[5] = {key[0], key[1], {0}, {0}, parity};
  KVal x[4] = {add(k, key[0], purpose), add(k, key[1], key[2]), row, block};
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
