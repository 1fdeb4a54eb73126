// fma_peak.c: the peak rate of fused multiply-adds in f32 (driver/peak.h), by itself: as one of the programs that are
// measured beside each other.
//     fma_peak ISA THREADS     prints one JSON line; ISA: one of runtime/cpu.def that runs here
//     cc -std=c11 -D_GNU_SOURCE -O2 -pthread -I. bench/fma_peak.c driver/peak.c runtime/cpu.c
#include "driver/peak.h"
#include "runtime/switchyard.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  int threads = argc == 3 ? atoi(argv[2]) : 0;
  if (threads < 1) return fprintf(stderr, "usage: fma_peak ISA THREADS\n"), 2;
  if (!sy_cpu_runs(argv[1])) return fprintf(stderr, "fma_peak: this processor has no %s\n", argv[1]), 1;
  double gflops = peak_gflops(argv[1], (unsigned)threads);
  if (gflops <= 0) return fprintf(stderr, "fma_peak: no figures for %s on %d threads\n", argv[1], threads), 1;
  printf("{\"isa\": \"%s\", \"threads\": %d, \"gflops\": %.1f}\n", argv[1], threads, gflops);
  return 0;
}
