// narrow.c: numbers of the narrow types of common/dtypes.def; common/narrow.h does the work.
#include "graph.h"

#include "common/narrow.h"

static const NarrowFormat format[DT_COUNT] = {
#define DTYPE(id, name, bytes, kind, computes, memory, kept, code, mantissa, bias, doc) {#name, mantissa, bias},
#include "common/dtypes.def"
#undef DTYPE
};

static const NarrowFormat *format_of(DType t) {
  CHECK(t < DT_COUNT && format[t].bias);
  return &format[t];
}

double dtype_most(DType t) {
  if (!dtype_is_narrow(t)) return t == DT_F32 ? 0x1.fffffep127 : INT32_MAX;
  return narrow_most(format_of(t));
}

double dtype_round(DType t, double x) {
  return dtype_is_narrow(t) ? (double)dtype_widen(t, dtype_narrow(t, x)) : x;
}

uint32_t dtype_narrow(DType t, double x) {
  return narrow_bits(format_of(t), x);
}

float dtype_widen(DType t, uint32_t bits) {
  return narrow_value(format_of(t), bits);
}
