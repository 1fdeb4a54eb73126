// kmath.h: transcendental functions as kernel IR: polynomials and exponent bits, no library calls, so that every target
// and the interpreter give the same bits at equal fma. Operands are f32, of any lane count.
//
// Accuracy (against double, tests/unit/lower.c, 4096 points of each range, with and without fma):
//   exp      1 ulp on [-87, 88]; subnormal results to 1 unit of 2^-149; 0 below -104, inf above 88.73; NaN stays
//   exp_neg  exp for arguments <= 0 whose tiny results (below 2^-126) may become 0: softmax weights
//   log      1.5 ulp, subnormals included; log 0 = -inf, log of a negative number = NaN
//   tanh     2 ulp;  sigmoid 2 ulp above 2^-126
//   sin, cos 1 ulp for every x, the same bits with and without fma; NaN of what is not finite;  floor is exact
//   gelu     2e-7 times max(|x|, 1) absolute, exactly x above 5.6 and exactly 0 (or -0) below -5.6
#ifndef SY_KMATH_H
#define SY_KMATH_H

#include "ir/kernel.h"

KVal kmath_exp(Kernel *k, KVal x);
KVal kmath_exp_neg(Kernel *k, KVal x);
KVal kmath_log(Kernel *k, KVal x);
KVal kmath_tanh(Kernel *k, KVal x);
KVal kmath_sin(Kernel *k, KVal x);
KVal kmath_cos(Kernel *k, KVal x);
KVal kmath_floor(Kernel *k, KVal x);
KVal kmath_sigmoid(Kernel *k, KVal x);
KVal kmath_gelu(Kernel *k, KVal x);       // x/2 (1 + erf(x / sqrt 2))
KVal kmath_gelu_slope(Kernel *k, KVal x); // its derivative
KVal kmath_gelu_tanh(Kernel *k, KVal x);  // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
KVal kmath_quick_gelu(Kernel *k, KVal x); // x sigmoid(1.702 x)
KVal kmath_swish(Kernel *k, KVal x);      // x sigmoid(x)

// 32 random bits as an i32, the ones that runtime/random.h gives: word i mod 4 of sy_random_at(seed, purpose, step,
// row, i / 4). key: low and high word of the seed, step; i: not negative. All i32, of equal lanes.
KVal kmath_random(Kernel *k, const KVal key[3], KVal purpose, KVal row, KVal i);

#endif
