// optimiser.h: updates of parameters from their gradients, element by element in f32 in a fixed order: the same bits on
// every machine (files that include this are compiled without contraction). C99, libc's sqrt and pow alone.
//
//   sy_hyper h = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decay = 0.01, .step = 1};
//   sy_optimiser_find("adamw")->update(p, m, v, g, n, &h);
#ifndef SY_OPTIMISER_H
#define SY_OPTIMISER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_hyper {
  double lr, beta1, beta2, eps, decay; // sgd: beta1 is its momentum
  double scale;                        // of the gradient: 1, or less where it is clipped
  uint64_t step;                       // from 1
} sy_hyper;

typedef struct sy_optimiser {
  const char *name;
  unsigned moments; // 1: m, 2: m and v, n elements each, zero before the first step
  // p, m, v are changed; g is only read. n elements of one parameter.
  void (*update)(float *p, float *m, float *v, const float *g, size_t n, const sy_hyper *h);
  const char *about;
} sy_optimiser;

extern const sy_optimiser sy_optimisers[]; // ends with a NULL name
const sy_optimiser *sy_optimiser_find(const char *name);

// The sum of squares of n elements, in double, by chunks of a fixed size: the same for any number of threads.
double sy_square_sum(const float *x, size_t n);

#ifdef __cplusplus
}
#endif

#endif
