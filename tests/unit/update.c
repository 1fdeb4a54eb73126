// update.c: kernels of updates against the rules as their authors write them, in plain C: the same bits, on every
// instruction set, for lengths that are more and less than a task's.
#include "codegen/update.h"
#include "runtime/engine/numbers.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { MOST = 40000 };

typedef struct State {
  float p[MOST], m[MOST], v[MOST], g[MOST];
} State;
static State want, got;

static float number(uint32_t *x) {
  *x = *x * 1664525u + 1013904223u;
  return (float)(int32_t)(*x >> 8) / 8388608.0f - 1.0f;
}

static void fill(size_t n, uint32_t seed) {
  for (size_t i = 0; i < n; i++) {
    want.p[i] = number(&seed), want.m[i] = 0.1f * number(&seed), want.g[i] = number(&seed);
    want.v[i] = fabsf(number(&seed)) * 0.01f;
  }
  got = want;
}

typedef struct Numbers { // of a step, as the authors' code has them
  float keep, rate, root, eps, b1, b2, r1, r2, scale, decay, c1, c2, lr;
} Numbers;

static Numbers numbers_of(const mdl_hyper *h, int step, double scale, mdl_optimiser o) {
  double c1 = 1 - pow(h->beta1, step), c2 = 1 - pow(h->beta2, step);
  return (Numbers){.keep = (float)(1 - h->lr * h->decay),
                   .rate = (float)(o == MDL_ADAMW_HF ? h->lr * sqrt(c2) / c1 : h->lr / c1),
                   .root = (float)sqrt(c2),
                   .eps = (float)h->eps,
                   .b1 = (float)h->beta1,
                   .b2 = (float)h->beta2,
                   .r1 = (float)(1 - h->beta1),
                   .r2 = (float)(1 - h->beta2),
                   .scale = (float)scale,
                   .decay = (float)(o == MDL_ADAMW_HF ? h->lr * h->decay : h->decay),
                   .c1 = (float)c1,
                   .c2 = (float)c2,
                   .lr = (float)h->lr};
}

static void by_hand(mdl_optimiser o, size_t n, const Numbers *h) {
  State *s = &want;
  for (size_t i = 0; i < n; i++) {
    float g = s->g[i] * h->scale;
    if (o == MDL_SGD) {
      s->m[i] = s->m[i] * h->b1 + (g + s->p[i] * h->decay);
      s->p[i] -= h->lr * s->m[i];
      continue;
    }
    s->m[i] = s->m[i] * h->b1 + g * h->r1;
    s->v[i] = s->v[i] * h->b2 + (g * g) * h->r2;
    if (o == MDL_ADAMW) {
      s->p[i] = s->p[i] * h->keep - h->rate * (s->m[i] / (sqrtf(s->v[i]) / h->root + h->eps));
    } else if (o == MDL_ADAMW_HF) {
      s->p[i] = s->p[i] - h->rate * (s->m[i] / (sqrtf(s->v[i]) + h->eps));
      s->p[i] = s->p[i] - h->decay * s->p[i];
    } else {
      s->g[i] = (s->m[i] / h->c1) / (sqrtf(s->v[i] / h->c2) + h->eps) + h->decay * s->p[i];
    }
  }
}

static void by_kernel(const Target *t, unsigned which, size_t n, const float h[MDL__H_COUNT]) {
  Arena a = {0};
  Kernel *k = update_kernel(&a, t, which);
  int64_t dims[MAX_DIMS] = {(int64_t)n / UPDATE_GRAIN};
  void *numbers = (void *)(uintptr_t)h;
  void *buf[] = {got.p, got.m, got.v, got.g, numbers}, *sgd[] = {got.p, got.m, got.g, numbers},
       *two[] = {got.p, got.g, numbers};
  kernel_interp(k, which == MDL_SGD ? sgd : which < MDL_OPTIMISERS ? buf : two, dims, 0, kernel_tasks(k, dims));
  arena_free(&a);
}

Test(update, rules) {
  static const size_t length[] = {16, 256, 16384, 16400, 39984};
  mdl_hyper h = {1.3e-3, 0.9, 0.98, 1e-6, 0.05};
  for (size_t t = 0; targets[t]; t++)
    for (int o = 0; o < MDL_OPTIMISERS; o++)
      for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        float x[MDL__H_COUNT];
        int step = 1 + 7 * (int)i;
        Numbers hand = numbers_of(&h, step, 0.75, (mdl_optimiser)o);
        fill(length[i], 7u * (uint32_t)i + 1);
        by_hand((mdl_optimiser)o, length[i], &hand);
        mdl__update_numbers((mdl_optimiser)o, &h, (uint64_t)step, 0.75, x);
        by_kernel(targets[t], (unsigned)o, length[i], x);
        cr_expect(!memcmp(&want, &got, sizeof want), "%s on %s, %zu elements", update_info[o].name, targets[t]->name,
                  length[i]);
      }
}

Test(update, sums_and_averages) {
  float x[MDL__H_COUNT] = {0};
  x[MDL__H_KEEP] = 0.995f, x[MDL__H_RATE] = 0.005f;
  for (size_t t = 0; targets[t]; t++) {
    fill(16400, 3);
    by_kernel(targets[t], MDL__UPDATE_ADD, 16400, NULL);
    for (size_t i = 0; i < 16400; i++) cr_assert(got.p[i] == want.p[i] + want.g[i]);
    got = want;
    by_kernel(targets[t], MDL__UPDATE_AVERAGE, 16400, x);
    for (size_t i = 0; i < 16400; i++) cr_assert(got.p[i] == want.p[i] * 0.995f + want.g[i] * 0.005f);
    got = want;
    by_kernel(targets[t], MDL__UPDATE_MOVE, 16400, x);
    for (size_t i = 0; i < 16400; i++) cr_assert(got.p[i] == want.p[i] - want.g[i] * 0.005f);
  }
}

Test(update, powers_and_roots) {
  for (int n = 1; n < 3000; n = n * 3 / 2 + 1)
    cr_expect(fabs(mdl__power(0.999, (uint64_t)n) / pow(0.999, n) - 1) < 1e-12, "%d", n);
  for (double x = 1e-300; x < 1e300; x *= 1234.5) cr_expect(fabs(mdl__root(x) / sqrt(x) - 1) < 1e-15, "%g", x);
  cr_expect(mdl__root(0) == 0);
  float x[] = {1, 2, INFINITY};
  cr_expect(isinf(mdl__squares(x, 3)));
  cr_expect(mdl__squares(x, 2) == 5);
  x[2] = NAN;
  cr_expect(isnan(mdl__squares(x, 3)));
}
