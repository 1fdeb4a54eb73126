// bandwidth.c: how fast this machine reads memory that no cache holds: all threads sum up parts of one large buffer.
// The best of a few rounds counts.
#include "bench.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 6, PARTS = 64 };
static const size_t buffer_bytes = (size_t)512 << 20; // more than the caches of any socket we know

typedef struct Part { // a cache line for each result, so that the threads do not disturb each other
  const uint64_t *at;
  size_t n; // a multiple of 8
  uint64_t sum[6];
} Part;

static void read_part(void *arg, size_t i) {
  Part *p = (Part *)arg + i;
  const uint64_t *x = p->at;
  uint64_t a = 0, b = 0, c = 0, d = 0; // independent sums: the adds do not wait for each other
  for (size_t k = 0; k < p->n; k += 8) {
    a += x[k] + x[k + 4];
    b += x[k + 1] + x[k + 5];
    c += x[k + 2] + x[k + 6];
    d += x[k + 3] + x[k + 7];
  }
  p->sum[0] += a + b + c + d;
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
