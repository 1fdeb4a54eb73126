// kernel_random.h: what kernel_cases.c and kernel_random.c share: the generator and adding a case.
#ifndef SY_TEST_KERNEL_RANDOM_H
#define SY_TEST_KERNEL_RANDOM_H

#include "kernel_cases.h"

uint64_t random_next(uint64_t *state);
int64_t random_below(uint64_t *state, int64_t n); // 0 .. n-1
// Finishes and legalises k, fills inputs with random values of which `specials` percent are special ones.
Case *case_add(Cases *c, Kernel *k, int specials);

#endif
