// narrow.c: numbers kept in fewer bits than they are computed with. One table, a row for each narrow type of
// dtypes.def: how many bits are significant, and the bias of the exponent. Everything else follows from them.
//
//   bf16: 1 sign, 8 exponent, 7 mantissa bits; dtype_narrow(DT_BF16, 1.0) = 0x3f80
#include "graph.h"

#include <math.h>
#include <string.h>

typedef struct Format {
  int mantissa; // bits behind the leading one
  int bias;     // of the exponent; its greatest value, 2 * bias + 1, is for infinities and NaN
} Format;

static const Format format[DT_COUNT] = {[DT_F16] = {10, 15}, [DT_BF16] = {7, 127}};

static const Format *format_of(DType t) {
  CHECK(t < DT_COUNT && format[t].bias);
  return &format[t];
}

static uint32_t infinity_of(const Format *f) {
  return (2 * (uint32_t)f->bias + 1) << f->mantissa;
}

double dtype_most(DType t) {
  if (!dtype_is_narrow(t)) return t == DT_F32 ? 0x1.fffffep127 : INT32_MAX;
  return (double)dtype_widen(t, infinity_of(format_of(t)) - 1);
}

double dtype_round(DType t, double x) {
  return dtype_is_narrow(t) ? (double)dtype_widen(t, dtype_narrow(t, x)) : x;
}

static uint64_t shift_to_even(uint64_t m, int shift) { // m / 2^shift, to the nearest whole number
  if (shift > 62) return 0;
  uint64_t q = m >> shift, rest = m & (((uint64_t)1 << shift) - 1), half = (uint64_t)1 << (shift - 1);
  return q + (rest > half || (rest == half && (q & 1)));
}

uint32_t dtype_narrow(DType t, double x) {
  const Format *f = format_of(t);
  uint64_t u, one = (uint64_t)1 << 52;
  memcpy(&u, &x, sizeof u);
  uint32_t infinite = infinity_of(f), sign = u >> 63 ? (infinite << 1 | 1u << f->mantissa) & ~infinite : 0;
  if (isnan(x)) return sign | infinite | 1u << (f->mantissa - 1);
  int e = (int)(u >> 52 & 0x7ff) - 1023 + f->bias, shift = 52 - f->mantissa;
  uint64_t m = u & (one - 1), y;
  if (e < 1) // in steps of the least number; a carry is the first number with an exponent
    y = shift_to_even(m | one, shift + 1 - e);
  else // a carry goes into the exponent
    y = ((uint64_t)e << f->mantissa) + shift_to_even(m, shift);
  return sign | (y < infinite ? (uint32_t)y : infinite);
}

float dtype_widen(DType t, uint32_t bits) {
  const Format *f = format_of(t);
  uint32_t special = 2 * (uint32_t)f->bias + 1, exponent = bits >> f->mantissa & special,
           mantissa = bits & ((1u << f->mantissa) - 1), sign = bits >> f->mantissa & (special + 1) ? 0x80000000u : 0;
  uint32_t u = sign | mantissa << (23 - f->mantissa);
  float y;
  if (!exponent && f->bias != 127) { // a number of f32 that has an exponent
    y = (float)ldexp(mantissa, 1 - f->bias - f->mantissa);
    return sign ? -y : y;
  }
  if (exponent == special) // a NaN becomes a quiet one
    u |= 0x7f800000u | (mantissa ? 0x400000u : 0);
  else
    u |= (exponent + 127 - (uint32_t)f->bias) << 23;
  memcpy(&y, &u, sizeof y);
  return y;
}
