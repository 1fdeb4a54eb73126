// Peak rate of float32 fused multiply-add: chains of independent FMAs in registers, one thread on each processor.
//     fma_peak avx2|avx512 THREADS     prints one JSON line; the best of many short rounds.
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// 12 chains cover 2 units x 4 to 6 cycles of latency; each round of the loop is CHAINS x 4 instructions.
enum { CHAINS = 12, LOOPS = 50000, ROUNDS = 40, MOST_THREADS = 64 };

static pthread_barrier_t barrier;
static int wide;

// The accumulators are named in the assembly, so no compiler can spill or reorder them.
__attribute__((target("avx2,fma"))) static void burst256(long loops) {
  __asm__ volatile("vxorps %%ymm12, %%ymm12, %%ymm12\n vxorps %%ymm13, %%ymm13, %%ymm13\n"
                   "vpxor %%ymm0, %%ymm0, %%ymm0\n vpxor %%ymm1, %%ymm1, %%ymm1\n vpxor %%ymm2, %%ymm2, %%ymm2\n vpxor "
                   "%%ymm3, %%ymm3, %%ymm3\n"
                   "vpxor %%ymm4, %%ymm4, %%ymm4\n vpxor %%ymm5, %%ymm5, %%ymm5\n vpxor %%ymm6, %%ymm6, %%ymm6\n vpxor "
                   "%%ymm7, %%ymm7, %%ymm7\n"
                   "vpxor %%ymm8, %%ymm8, %%ymm8\n vpxor %%ymm9, %%ymm9, %%ymm9\n vpxor %%ymm10, %%ymm10, %%ymm10\n "
                   "vpxor %%ymm11, %%ymm11, %%ymm11\n"
                   ".p2align 5\n1:\n"
                   ".rept 4\n"
                   "vfmadd231ps %%ymm12, %%ymm13, %%ymm0\n vfmadd231ps %%ymm12, %%ymm13, %%ymm1\n vfmadd231ps %%ymm12, "
                   "%%ymm13, %%ymm2\n"
                   "vfmadd231ps %%ymm12, %%ymm13, %%ymm3\n vfmadd231ps %%ymm12, %%ymm13, %%ymm4\n vfmadd231ps %%ymm12, "
                   "%%ymm13, %%ymm5\n"
                   "vfmadd231ps %%ymm12, %%ymm13, %%ymm6\n vfmadd231ps %%ymm12, %%ymm13, %%ymm7\n vfmadd231ps %%ymm12, "
                   "%%ymm13, %%ymm8\n"
                   "vfmadd231ps %%ymm12, %%ymm13, %%ymm9\n vfmadd231ps %%ymm12, %%ymm13, %%ymm10\n vfmadd231ps "
                   "%%ymm12, %%ymm13, %%ymm11\n"
                   ".endr\n"
                   "dec %0\n jnz 1b\n vzeroupper\n"
                   : "+r"(loops)
                   :
                   : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                     "xmm11", "xmm12", "xmm13");
}

__attribute__((target("avx512f"))) static void burst512(long loops) {
  __asm__ volatile("vpxorq %%zmm12, %%zmm12, %%zmm12\n vpxorq %%zmm13, %%zmm13, %%zmm13\n"
                   "vpxorq %%zmm0, %%zmm0, %%zmm0\n vpxorq %%zmm1, %%zmm1, %%zmm1\n vpxorq %%zmm2, %%zmm2, %%zmm2\n "
                   "vpxorq %%zmm3, %%zmm3, %%zmm3\n"
                   "vpxorq %%zmm4, %%zmm4, %%zmm4\n vpxorq %%zmm5, %%zmm5, %%zmm5\n vpxorq %%zmm6, %%zmm6, %%zmm6\n "
                   "vpxorq %%zmm7, %%zmm7, %%zmm7\n"
                   "vpxorq %%zmm8, %%zmm8, %%zmm8\n vpxorq %%zmm9, %%zmm9, %%zmm9\n vpxorq %%zmm10, %%zmm10, %%zmm10\n "
                   "vpxorq %%zmm11, %%zmm11, %%zmm11\n"
                   ".p2align 5\n1:\n"
                   ".rept 4\n"
                   "vfmadd231ps %%zmm12, %%zmm13, %%zmm0\n vfmadd231ps %%zmm12, %%zmm13, %%zmm1\n vfmadd231ps %%zmm12, "
                   "%%zmm13, %%zmm2\n"
                   "vfmadd231ps %%zmm12, %%zmm13, %%zmm3\n vfmadd231ps %%zmm12, %%zmm13, %%zmm4\n vfmadd231ps %%zmm12, "
                   "%%zmm13, %%zmm5\n"
                   "vfmadd231ps %%zmm12, %%zmm13, %%zmm6\n vfmadd231ps %%zmm12, %%zmm13, %%zmm7\n vfmadd231ps %%zmm12, "
                   "%%zmm13, %%zmm8\n"
                   "vfmadd231ps %%zmm12, %%zmm13, %%zmm9\n vfmadd231ps %%zmm12, %%zmm13, %%zmm10\n vfmadd231ps "
                   "%%zmm12, %%zmm13, %%zmm11\n"
                   ".endr\n"
                   "dec %0\n jnz 1b\n vzeroupper\n"
                   : "+r"(loops)
                   :
                   : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                     "xmm11", "xmm12", "xmm13");
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// The barriers bound each round, so its time is that of the slowest thread.
static void *work(void *best) {
  for (int round = 0; round < ROUNDS; round++) {
    pthread_barrier_wait(&barrier);
    double begin = now();
    if (wide)
      burst512(LOOPS);
    else
      burst256(LOOPS);
    pthread_barrier_wait(&barrier);
    double time = now() - begin;
    if (best && (round == 0 || time < *(double *)best)) *(double *)best = time;
  }
  return NULL;
}

int main(int argc, char **argv) {
  int threads = argc == 3 ? atoi(argv[2]) : 0;
  wide = argc == 3 && strcmp(argv[1], "avx512") == 0;
  if (argc != 3 || (!wide && strcmp(argv[1], "avx2") != 0) || threads < 1 || threads > MOST_THREADS)
    return fprintf(stderr, "usage: fma_peak avx2|avx512 THREADS\n"), 2;
  if (wide ? !__builtin_cpu_supports("avx512f") : !__builtin_cpu_supports("fma"))
    return fprintf(stderr, "fma_peak: this processor has no %s\n", argv[1]), 1;
  pthread_t others[MOST_THREADS];
  double best = 0;
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  for (int i = 1; i < threads; i++)
    if (pthread_create(&others[i], NULL, work, NULL)) return perror("pthread_create"), 1;
  work(&best);
  for (int i = 1; i < threads; i++) pthread_join(others[i], NULL);
  double flops = 2.0 * (wide ? 16 : 8) * CHAINS * 4 * (double)LOOPS * threads;
  printf("{\"isa\": \"%s\", \"threads\": %d, \"gflops\": %.1f}\n", argv[1], threads, flops / best / 1e9);
  return 0;
}
