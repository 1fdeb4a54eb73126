// bench.h: what the files of `syc bench` share.
//
//   bench.c        the command: measures in a process that has not compiled anything, prints
//   bench_plan.c   compiling and packing, in a child process, so that its memory does not count as the model's
//   peak.c         the machine's rate of fused multiply-adds
#ifndef SY_BENCH_H
#define SY_BENCH_H

#include "driver.h"

enum { BENCH_STEPS = 4096, BENCH_INPUTS = 32, BENCH_PATH = 1024 };

typedef struct BenchPlan { // what the child hands over
  char so[BENCH_PATH], trace_so[BENCH_PATH], packed[BENCH_PATH];
  uint32_t route, nstep, ninput;
  int64_t dims[MAX_DIMS];
  int64_t id_limit[BENCH_INPUTS];        // ids of an i32 input are below this, 0: no limit known
  double flops, step_flops[BENCH_STEPS]; // of one call at these dims
} BenchPlan;

// Compiles and packs in a child process; false after reporting (by the child).
bool bench_prepare(Session *s, const char *isa, BenchPlan *plan);

// Rate of float fused multiply-adds on `threads` threads, counting two operations each; 0 if not known for the ISA.
double peak_gflops(const char *isa, unsigned threads);

#endif
