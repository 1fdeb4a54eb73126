//@ alone
// numbers.h: the numbers of an update that are the same for all elements of a tensor, in double precision. Of the C
// library nothing: no two of them round pow alike.
//
// Invariants: C99; equal bits on every machine.
#ifndef SY_ENGINE_NUMBERS_H
#define SY_ENGINE_NUMBERS_H

#include "update.h"

//@ end
static inline double mdl__power(double x, uint64_t n) {
  double y = 1;
  for (; n; n >>= 1, x *= x)
    if (n & 1) y *= x;
  return y;
}

/* Newton's iteration from above: it ends where it no longer falls. */
static inline double mdl__root(double x) {
  double y = x > 1 ? x : 1;
  if (!(x > 0) || x > 1.7e308) return x > 0 ? x : 0;
  for (;;) {
    double next = 0.5 * (y + x / y);
    if (!(next < y)) return y;
    y = next;
  }
}

/* The numbers of step `step`, from 1, for gradients that are scaled by `scale`. Sources of the rules: codegen/update.c.
 */
static inline void mdl__update_numbers(mdl_optimiser rule, const mdl_hyper *o, uint64_t step, double scale,
                                       float h[MDL__H_COUNT]) {
  const double c1 = 1 - mdl__power(o->beta1, step), c2 = 1 - mdl__power(o->beta2, step);
  h[MDL__H_SCALE] = (float)scale;
  h[MDL__H_BETA1] = (float)o->beta1;
  h[MDL__H_REST1] = (float)(1 - o->beta1);
  h[MDL__H_BETA2] = (float)o->beta2;
  h[MDL__H_REST2] = (float)(1 - o->beta2);
  h[MDL__H_EPS] = (float)o->eps;
  h[MDL__H_RATE] = (float)(rule == MDL_ADAMW ? o->lr / c1 : rule == MDL_ADAMW_HF ? o->lr * mdl__root(c2) / c1 : o->lr);
  h[MDL__H_DECAY] = (float)(rule == MDL_ADAMW_HF ? o->lr * o->decay : o->decay);
  h[MDL__H_KEEP] = (float)(1 - o->lr * o->decay);
  h[MDL__H_ROOT] = (float)mdl__root(c2);
  h[MDL__H_C1] = (float)c1;
  h[MDL__H_C2] = (float)c2;
}

/* The sum of squares of n elements, in double, by chunks of a fixed size: the same for any number of threads, if a
 * chunk is one thread's. Not finite if and only if an element is not. */
static inline double mdl__squares_chunk(const float *x, size_t n) {
  enum { LANES = 8 };
  double lane[LANES] = {0, 0, 0, 0, 0, 0, 0, 0};
  size_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (size_t k = 0; k < LANES; k++) lane[k] += (double)x[i + k] * (double)x[i + k];
  for (size_t k = 0; i + k < n; k++) lane[k] += (double)x[i + k] * (double)x[i + k];
  for (int k = LANES / 2; k; k /= 2)
    for (int j = 0; j < k; j++) lane[j] += lane[j + k];
  return lane[0];
}

static inline double mdl__squares(const float *x, size_t n) {
  double total = 0;
  for (size_t at = 0; at < n; at += MDL__SQUARES)
    total += mdl__squares_chunk(x + at, n - at < MDL__SQUARES ? n - at : MDL__SQUARES);
  return total;
}
//@ alone

#endif
