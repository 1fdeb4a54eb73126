// probe.h: the kernel that the self-test compares with stored bits; see probe.c.
#ifndef SY_PROBE_H
#define SY_PROBE_H

#include "target.h"

enum { PROBE_N = 32, PROBE_ROWS = 12 }; // numbers in x; rows of y, and one more for sums

Kernel *probe_kernel(Arena *a, const Target *t);
uint64_t probe_sum(const Kernel *k); // checksum of y, by the interpreter

#endif
