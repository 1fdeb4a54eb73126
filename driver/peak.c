// peak.c: see peak.h.
//
// Twelve chains cover two units times the latency of four to six cycles. The best of several short rounds counts, each
// as long as its slowest thread, so a thread that was not scheduled in time spoils one round only.
#include "peak.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

enum { CHAINS = 12, LOOPS = 100000, ROUNDS = 40, MOST_THREADS = 256, WIDTHS = 3 };
typedef float Burst(long loops);

// A function for each instruction set of this machine's family and each width of registers that it may have. The
// accumulators are variables of their own, so that they stay in registers, and begin with different values: equal
// chains would be merged into one. Products are added without rounding in between, which is what sets with fma have an
// instruction for.
#if defined(__clang__)
#define CONTRACTED _Pragma("clang fp contract(fast)")
#define FAST
#else
#define CONTRACTED
#define FAST __attribute__((optimize("fp-contract=fast")))
#endif
#define BURST(name, attribute, bytes)                                                                                  \
  FAST attribute __attribute__((noinline, unused)) static float name(long loops) {                                     \
    CONTRACTED                                                                                                         \
    typedef float vec __attribute__((vector_size(bytes)));                                                             \
    const vec zero = {0}, m = zero + 0.999f, c = zero + 1e-3f;                                                         \
    vec a0 = zero, a1 = zero + .1f, a2 = zero + .2f, a3 = zero + .3f, a4 = zero + .4f, a5 = zero + .5f;                \
    vec a6 = zero + .6f, a7 = zero + .7f, a8 = zero + .8f, a9 = zero + .9f, a10 = zero + 1.1f, a11 = zero + 1.2f;      \
    for (long i = 0; i < loops; i++) {                                                                                 \
      a0 = a0 * m + c, a1 = a1 * m + c, a2 = a2 * m + c, a3 = a3 * m + c;                                              \
      a4 = a4 * m + c, a5 = a5 * m + c, a6 = a6 * m + c, a7 = a7 * m + c;                                              \
      a8 = a8 * m + c, a9 = a9 * m + c, a10 = a10 * m + c, a11 = a11 * m + c;                                          \
    }                                                                                                                  \
    vec s = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;                                               \
    return s[0];                                                                                                       \
  }
#define BURSTS(name, attribute)                                                                                        \
  BURST(name##_4, attribute, 16)                                                                                       \
  BURST(name##_8, attribute, 32) BURST(name##_16, attribute, 64)
#define BURST_ROW(name) {#name, {name##_4, name##_8, name##_16}},

// The families' rows; of other machines nothing is left.
#if defined(__x86_64__) && defined(__GNUC__)
#define BURSTS_x86_64(name, features) BURSTS(name, __attribute__((target(features))))
#define ROW_x86_64 BURST_ROW
#else
#define BURSTS_x86_64(name, features)
#define ROW_x86_64(name)
#endif
#if defined(__aarch64__) && defined(__GNUC__)
#define BURSTS_aarch64(name, features) BURSTS(name, )
#define ROW_aarch64 BURST_ROW
#else
#define BURSTS_aarch64(name, features)
#define ROW_aarch64(name)
#endif
#define BURSTS_riscv64(name, features) // no vectors of its own
#define ROW_riscv64(name)
#define BURSTS_any(name, features)
#define ROW_any(name)

#define INSTRUCTION_SET(name, family, title, features) BURSTS_##family(name, features)
#include "runtime/cpu.def"

static const struct {
  const char *isa;
  Burst *fn[WIDTHS]; // of 4, 8 and 16 lanes
} bursts[] = {
#define INSTRUCTION_SET(name, family, title, features) ROW_##family(name)
#include "runtime/cpu.def"
    {NULL, {NULL}}};

typedef struct Race {
  Burst *fn;
  pthread_mutex_t gate;   // closed until it is known how many runners there are
  pthread_barrier_t line; // before and after every round
  bool off;               // nobody runs
  double best;            // seconds; written by one thread only
} Race;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void race(Race *r, bool timed) {
  volatile float sink;
  for (int round = 0; round < ROUNDS; round++) {
    pthread_barrier_wait(&r->line);
    double from = now();
    sink = r->fn(LOOPS);
    pthread_barrier_wait(&r->line);
    double seconds = now() - from;
    if (timed && (round == 0 || seconds < r->best)) r->best = seconds;
  }
  (void)sink;
}

static void *race_along(void *ud) {
  Race *r = ud;
  pthread_mutex_lock(&r->gate);
  pthread_mutex_unlock(&r->gate);
  if (!r->off) race(r, false);
  return NULL;
}

// Seconds of the best round; 0: it could not be run.
static double best_round(Burst *fn, unsigned threads) {
  pthread_t other[MOST_THREADS];
  Race r = {.fn = fn, .gate = PTHREAD_MUTEX_INITIALIZER};
  pthread_mutex_lock(&r.gate);
  unsigned n = 1;
  while (n < threads && pthread_create(&other[n], NULL, race_along, &r) == 0) n++;
  bool line = n == threads && pthread_barrier_init(&r.line, NULL, n) == 0;
  r.off = !line;
  pthread_mutex_unlock(&r.gate);
  if (line) race(&r, true);
  for (unsigned i = 1; i < n; i++) pthread_join(other[i], NULL);
  if (line) pthread_barrier_destroy(&r.line);
  return line ? r.best : 0;
}

double peak_gflops(const char *isa, unsigned threads) {
  double best = 0;
  unsigned n = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
  for (size_t b = 0; bursts[b].isa; b++) {
    if (strcmp(bursts[b].isa, isa) != 0) continue;
    for (int w = 0; w < WIDTHS; w++) {
      double seconds = best_round(bursts[b].fn[w], n);
      double gflops = seconds > 0 ? 2.0 * (4 << w) * CHAINS * LOOPS * n / seconds / 1e9 : 0;
      if (gflops > best) best = gflops;
    }
  }
  return best;
}
