// narrow.c: see narrow.h.
#include "narrow.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

const NarrowFormat *narrow_format(const char *type) {
  static const NarrowFormat all[] = {
#define DTYPE(id, name, bytes, kind, computes, memory, kept, code, mantissa, bias, doc) {#name, mantissa, bias},
#include "dtypes.def"
#undef DTYPE
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i].bias && !strcmp(all[i].name, type)) return &all[i];
  return NULL;
}

static uint32_t infinity_of(const NarrowFormat *f) {
  return (2 * (uint32_t)f->bias + 1) << f->mantissa;
}

double narrow_most(const NarrowFormat *f) {
  return (double)narrow_value(f, infinity_of(f) - 1);
}

static uint64_t shift_to_even(uint64_t m, int shift) { // m / 2^shift, to the nearest whole number
  if (shift > 62) return 0;
  uint64_t q = m >> shift, rest = m & (((uint64_t)1 << shift) - 1), half = (uint64_t)1 << (shift - 1);
  return q + (rest > half || (rest == half && (q & 1)));
}

uint32_t narrow_bits(const NarrowFormat *f, double x) {
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

float narrow_value(const NarrowFormat *f, uint32_t bits) {
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
