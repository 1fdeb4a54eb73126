// peak.c: what the machine could do at most: independent chains of fused multiply-adds in registers, on every thread at
// once.
//
// Twelve chains cover two units times the latency of four to six cycles. The best of several short rounds counts, each
// as long as its slowest thread, so a thread that was not scheduled in time spoils one round only.
#include "bench.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

enum { CHAINS = 12, LOOPS = 100000, ROUNDS = 40, MOST_THREADS = 256 };
typedef float Burst(long loops);

#if defined(__x86_64__)
#include <immintrin.h>

// One macro a width. The accumulators are variables of their own, so that they stay in registers, and begin with
// different values: equal chains would be merged into one.
#define BURST(name, target_, vec, set1, fma, first)                                                                    \
  __attribute__((target(target_), noinline)) static float name(long loops) {                                           \
    vec m = set1(0.999f), c = set1(1e-3f);                                                                             \
    vec a0 = set1(0.f), a1 = set1(.1f), a2 = set1(.2f), a3 = set1(.3f), a4 = set1(.4f), a5 = set1(.5f);                \
    vec a6 = set1(.6f), a7 = set1(.7f), a8 = set1(.8f), a9 = set1(.9f), a10 = set1(1.1f), a11 = set1(1.2f);            \
    for (long i = 0; i < loops; i++) {                                                                                 \
      a0 = fma(a0, m, c), a1 = fma(a1, m, c), a2 = fma(a2, m, c), a3 = fma(a3, m, c);                                  \
      a4 = fma(a4, m, c), a5 = fma(a5, m, c), a6 = fma(a6, m, c), a7 = fma(a7, m, c);                                  \
      a8 = fma(a8, m, c), a9 = fma(a9, m, c), a10 = fma(a10, m, c), a11 = fma(a11, m, c);                              \
    }                                                                                                                  \
    vec s = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;                                               \
    return first(s);                                                                                                   \
  }
#define FIRST256(v) _mm_cvtss_f32(_mm256_castps256_ps128(v))
#define FIRST512(v) _mm_cvtss_f32(_mm512_castps512_ps128(v))
BURST(burst_avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, FIRST256)
BURST(burst_avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, FIRST512)
static const struct {
  const char *isa;
  Burst *fn;
  double lanes;
} bursts[] = {{"avx2", burst_avx2, 8}, {"avx512", burst_avx512, 16}};
#elif defined(__aarch64__)
#include <arm_neon.h>
static float burst_neon(long loops) {
  float32x4_t m = vdupq_n_f32(0.999f), c = vdupq_n_f32(1e-3f), a[CHAINS];
  for (int k = 0; k < CHAINS; k++) a[k] = vdupq_n_f32((float)k * 0.1f);
  for (long i = 0; i < loops; i++)
    for (int k = 0; k < CHAINS; k++) a[k] = vfmaq_f32(c, a[k], m);
  float32x4_t s = a[0];
  for (int k = 1; k < CHAINS; k++) s = vaddq_f32(s, a[k]);
  return vgetq_lane_f32(s, 0);
}
static const struct {
  const char *isa;
  Burst *fn;
  double lanes;
} bursts[] = {{"neon", burst_neon, 4}};
#else
static const struct {
  const char *isa;
  Burst *fn;
  double lanes;
} bursts[] = {{"", NULL, 0}};
#endif

typedef struct Race {
  Burst *fn;
  pthread_barrier_t line; // before and after every round
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

static void *race_along(void *r) {
  race(r, false);
  return NULL;
}

double peak_gflops(const char *isa, unsigned threads) {
  for (size_t b = 0; b < sizeof bursts / sizeof *bursts; b++) {
    if (!bursts[b].fn || strcmp(bursts[b].isa, isa) != 0) continue;
    pthread_t other[MOST_THREADS];
    unsigned n = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    Race r = {.fn = bursts[b].fn};
    if (pthread_barrier_init(&r.line, NULL, n) != 0) return 0;
    for (unsigned i = 1; i < n; i++) // those that wait at the barrier cannot be called back: a failure here is our end
      if (pthread_create(&other[i], NULL, race_along, &r) != 0) ICE("cannot start %u threads", n);
    race(&r, true);
    for (unsigned i = 1; i < n; i++) pthread_join(other[i], NULL);
    pthread_barrier_destroy(&r.line);
    return r.best > 0 ? 2 * bursts[b].lanes * CHAINS * LOOPS * n / r.best / 1e9 : 0;
  }
  return 0;
}
