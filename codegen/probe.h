// probe.h: the kernel that the self-test compares with stored bits; see probe.c.
#ifndef SY_PROBE_H
#define SY_PROBE_H

#include "runtime/engine/plan.h"
#include "target.h"

enum {
  PROBE_N = MDL__PROBE_N,               // numbers in x, and in a row of y
  PROBE_ROWS = MDL__PROBE_ROWS,         // rows of y made of vectors
  PROBE_Y = PROBE_N * (PROBE_ROWS + 2), // one more of scalars, one of sums
};

Kernel *probe_kernel(Arena *a, const Target *t);
uint64_t probe_sum(const Kernel *k); // checksum of y, by the interpreter

#endif
