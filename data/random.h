// random.h - a stream of draws for samplers and augmentation, which are pure functions of what they draw.
//
// In production the draws come from the counter generator (runtime/random.h): a stream is started for one purpose, one
// epoch and one sample, so that the sample is the same whichever thread makes it and whatever was made before. In tests
// the draws come from somewhere else, such as the logs of the authors' code.
//
//   DataDraws d = data_draws(seed, SY_RANDOM_MASK, epoch, sample);
//   if (draw_unit(&d) < 0.5) left = draw_between(&d, 0, width - w);
#ifndef SWITCHYARD_DATA_RANDOM_H
#define SWITCHYARD_DATA_RANDOM_H

#include "runtime/random.h"

#include <stdbool.h>
#include <stddef.h>

// Draws that come from elsewhere, one function a kind.
typedef struct DataReplay {
  double (*unit)(void *ud);                                    // in [0, 1)
  double (*uniform)(void *ud, double a, double b);             // between a and b, which may be the smaller one
  int64_t (*between)(void *ud, int64_t a, int64_t b);          // a .. b, both included
  void (*choice)(void *ud, size_t n, size_t k, uint32_t *out); // as draw_choice
  void *ud;
} DataReplay;

typedef struct DataDraws {
  uint64_t seed;
  uint32_t purpose, when, which, block; // of the counter; block: the next
  sy_random4 word;
  unsigned used;            // words of it
  const DataReplay *replay; // NULL: the generator
} DataDraws;

DataDraws data_draws(uint64_t seed, uint32_t purpose, uint32_t when, uint32_t which);

uint32_t draw_word(DataDraws *d);                         // 32 bits of the generator, even with a replay
double draw_unit(DataDraws *d);                           // [0, 1), 53 bits
double draw_uniform(DataDraws *d, double a, double b);    // a + (b - a) draw_unit, as Python's random.uniform
int64_t draw_between(DataDraws *d, int64_t a, int64_t b); // a .. b; a <= b, b - a < 2^32 - 1; without bias that matters
double draw_normal(DataDraws *d, double mean, double deviation);
// k different numbers below n (k <= n) in random order to out[k]; scratch: room for n numbers.
void draw_choice(DataDraws *d, size_t n, size_t k, uint32_t *out, uint32_t *scratch);
// Brings v[n] into a random order, as Fisher and Yates do.
void draw_shuffle(DataDraws *d, uint32_t *v, size_t n);

#endif
