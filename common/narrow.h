// narrow.h: numbers kept in fewer bits than they are computed with: sign, exponent with a bias, mantissa, the greatest
// exponent for infinities and NaN, as IEEE 754 has it.
//
//   const NarrowFormat *f = narrow_format("bf16");
//   narrow_bits(f, 1.0) = 0x3f80, narrow_value(f, 0x3f80) = 1
#ifndef SY_NARROW_H
#define SY_NARROW_H

#include <stdint.h>

typedef struct NarrowFormat {
  const char *name;   // of the element type (dtypes.def)
  int mantissa, bias; // bits behind the leading one; bias 0: the type is not narrow
} NarrowFormat;

const NarrowFormat *narrow_format(const char *type);      // by the type's name; NULL: it is not narrow
uint32_t narrow_bits(const NarrowFormat *f, double x);    // of the nearest number, half to even
float narrow_value(const NarrowFormat *f, uint32_t bits); // exact
double narrow_most(const NarrowFormat *f);                // the greatest finite number

#endif
