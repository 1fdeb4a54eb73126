// bandwidth.c: how fast this machine reads memory that no cache holds: all threads sum up parts of one large buffer.
// The best of a few rounds counts.
#include "bench.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 6, PARTS = 64, STREAMS = 4, LINE = 8, AHEAD = 32 * LINE };
static const size_t buffer_bytes = (size_t)512 << 20; // more than the caches of any socket we know

typedef struct Part { // a cache line for each result, so that the threads do not disturb each other
  const uint64_t *at;
  size_t n; // a multiple of STREAMS * LINE
  uint64_t sum[6];
} Part;

// Four streams at once, with hints: one stream alone leaves a third of what a core can read on some machines.
static void read_part(void *arg, size_t i) {
  Part *p = (Part *)arg + i;
  uint64_t sum[STREAMS] = {0}; // independent: the adds do not wait for each other
  size_t n = p->n / STREAMS;
  for (size_t k = 0; k < n; k += LINE)
    for (size_t s = 0; s < STREAMS; s++) {
      const uint64_t *x = p->at + s * n + k;
      __builtin_prefetch(x + (k + AHEAD < n ? AHEAD : 0));
      sum[s] += (x[0] + x[1]) + (x[2] + x[3]) + (x[4] + x[5]) + (x[6] + x[7]);
    }
  for (size_t s = 0; s < STREAMS; s++) p->sum[0] += sum[s];
}

double peak_bandwidth(unsigned threads) {
  uint64_t *buffer = malloc(buffer_bytes);
  sy_pool *pool = buffer ? sy_pool_new(threads) : NULL;
  Part part[PARTS];
  double best = 0;
  uint64_t sum = 0;
  if (pool) memset(buffer, 1, buffer_bytes);
  size_t n = buffer_bytes / sizeof *buffer / PARTS;
  for (int i = 0; i < PARTS; i++) part[i] = (Part){.at = buffer ? buffer + (size_t)i * n : NULL, .n = n};
  for (int round = 0; pool && round < ROUNDS; round++) {
    double from = bench_now_ms();
    sy_pool_for(pool, PARTS, read_part, part);
    double ms = bench_now_ms() - from;
    if (ms > 0 && (double)buffer_bytes / ms / 1e6 > best) best = (double)buffer_bytes / ms / 1e6;
  }
  for (int i = 0; i < PARTS; i++) sum += part[i].sum[0];
  sy_pool_free(pool);
  free(buffer);
  return sum ? best : 0; // never 0: but so the sums are used, and computed
}
