// random.c - draws from the counter generator, or from what a test replays.
#include "random.h"

DataDraws data_draws(uint64_t seed, uint32_t purpose, uint32_t when, uint32_t which) {
  return (DataDraws){.seed = seed, .purpose = purpose, .when = when, .which = which, .used = 4};
}

uint32_t draw_word(DataDraws *d) {
  if (d->used == 4) {
    d->word = sy_random_at(d->seed, d->purpose, d->when, d->which, d->block++);
    d->used = 0;
  }
  return d->word.v[d->used++];
}

double draw_unit(DataDraws *d) {
  if (d->replay) return d->replay->unit(d->replay->ud);
  uint32_t high = draw_word(d);
  return sy_random_f64(high, draw_word(d));
}

double draw_uniform(DataDraws *d, double a, double b) {
  if (d->replay) return d->replay->uniform(d->replay->ud, a, b);
  return a + (b - a) * draw_unit(d);
}

int64_t draw_between(DataDraws *d, int64_t a, int64_t b) {
  if (d->replay) return d->replay->between(d->replay->ud, a, b);
  uint32_t high = draw_word(d);
  return a + (int64_t)sy_random_below64(high, draw_word(d), (uint32_t)(b - a + 1));
}

double draw_normal(DataDraws *d, double mean, double deviation) {
  uint32_t u = draw_word(d);
  return mean + deviation * (double)sy_random_normal(u, draw_word(d));
}

void draw_choice(DataDraws *d, size_t n, size_t k, uint32_t *out, uint32_t *scratch) {
  if (d->replay) {
    d->replay->choice(d->replay->ud, n, k, out);
    return;
  }
  for (size_t i = 0; i < n; i++) scratch[i] = (uint32_t)i;
  for (size_t i = 0; i < k; i++) { // the first k steps of a shuffle
    size_t j = (size_t)draw_between(d, (int64_t)i, (int64_t)n - 1);
    out[i] = scratch[j];
    scratch[j] = scratch[i];
  }
}

void draw_shuffle(DataDraws *d, uint32_t *v, size_t n) {
  for (size_t i = 0; i + 1 < n; i++) {
    size_t j = (size_t)draw_between(d, (int64_t)i, (int64_t)n - 1);
    uint32_t t = v[i];
    v[i] = v[j];
    v[j] = t;
  }
}
