// kernel_cases.h: kernels whose arithmetic is sensitive to what compilers may get wrong, with inputs, for the test that
// compares the printed C with the interpreter. Everything is built once per target, at the target's width.
//
//   Cases c = {.target = target_by_name("avx2"), .arena = &arena};
//   cases_named(&c);  cases_rows(&c);  cases_random(&c, 200);
//   for (size_t i = 0; i < c.list.n; i++) use(c.list.at[i].kernel, c.list.at[i].memory, c.list.at[i].dims);
#ifndef SY_TEST_KERNEL_CASES_H
#define SY_TEST_KERNEL_CASES_H

#include "codegen/target.h"

enum { CASE_MAX_BUFS = 16 };

typedef struct Case {
  Kernel *kernel;
  int64_t dims[MAX_DIMS];
  void *memory[CASE_MAX_BUFS]; // of each parameter: inputs filled, outputs with a pattern
} Case;

typedef struct Cases {
  Arena *arena;
  const Target *target;
  uint64_t seed; // state of the generator
  VEC(Case) list;
} Cases;

size_t case_params(const Kernel *k);          // buffers that are not scratch
size_t case_bytes(const Kernel *k, size_t i); // of parameter i (from 0)

void cases_named(Cases *c); // layer norm, softmax, gelu-like polynomials, masks, tails, lookups, GEMM tiles
void cases_rows(Cases *c);  // every row of the target alone, on special values and random ones
void cases_random(Cases *c, unsigned n);
Kernel *case_gemm(Arena *a, const Target *t, const char *name, int64_t m, int64_t rows, int64_t panels, int64_t depth);

#endif
