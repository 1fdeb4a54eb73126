// bench.h: what the files of `syc bench` share.
//
//   bench.c        the command: measures in a process that has not compiled anything, prints
//   bench_sample.c how often a call is timed, alone or by turns with other programs
//   bench_words.c  a generate: greedy sentences
//   bench_plan.c   compiling and packing, in a child process, so that its memory does not count as the model's
//   peak.c         the machine's rate of fused multiply-adds; bandwidth.c: of reading memory
#ifndef SY_BENCH_H
#define SY_BENCH_H

#include "driver.h"
#include "host/generate.h"
#include "runtime/switchyard.h"

enum { BENCH_STEPS = 4096, BENCH_INPUTS = 32, BENCH_PATH = 1024 };

typedef struct BenchPlan { // what the child hands over
  char so[BENCH_PATH], trace_so[BENCH_PATH], packed[BENCH_PATH];
  uint32_t route, nstep, ninput;
  int64_t dims[MAX_DIMS];
  int64_t id_limit[BENCH_INPUTS];        // ids of an i32 input are below this, 0: no limit known
  double flops, step_flops[BENCH_STEPS]; // of one call at these dims
} BenchPlan;

// Compiles and packs in a child process; false after reporting (by the child).
SY_MUST_USE bool bench_prepare(Session *s, const char *isa, BenchPlan *plan);

// Rate at which `threads` threads read memory that no cache holds, GB/s; 0 if there is no memory for it.
double peak_bandwidth(unsigned threads);

typedef struct BenchWords { // one run: a start, then a step for each further word
  const char *name;         // of the generate
  size_t prompt;            // words in front
  size_t words, length;     // steps of a run, and words of the sentence with its prompt
  double start_ms, step_ms; // medians; step_ms without the choice of the word
  double step_bytes;        // weights and state that a step reads and writes, as the compiler counts
  double peak_gbs;          // rate of reading memory here
  int32_t *ids;             // sentences of the last run, [batch][length]
  float *scores;            // and the scores of their last step, [batch][vocab]
  size_t batch, vocab;
} BenchWords;

typedef struct KernelTime {
  const char *name;
  size_t calls; // of one call of the route
  double ms, gflops, share;
  double flops;
} KernelTime;

typedef struct Bench {
  Session *s;
  BenchPlan plan;
  const char *isa; // asked for, NULL: the best
  unsigned threads;
  sy_map weights;
  sy_pool *pool;
  sy_exec exec;
  const sy_model *m;
  const sy_route *route;
  void *ctx, *arena;
  size_t arena_bytes;
  size_t dims[MAX_DIMS];
  const void **in;
  void **out;
  unsigned noutput;
  bool given[BENCH_INPUTS]; // inputs that the file has
  bool generates;           // the route is the start of a generate
  // results
  const char *ran_isa;
  size_t rounds;
  double median_ms, min_ms, gflops, peak;
  long rss_kb;
  BenchWords words; // of a generate
  VEC(KernelTime) kernel;
  double last; // of the trace
} Bench;

double bench_now_ms(void);
// Reports a failure of bench; always false.
bool bench_fail(Bench *b, const char *what, const char *why);

// Times something once, in ms; false after reporting.
typedef bool BenchOnce(void *ud, double *ms);
// Calls `once` until there are enough times (--rounds, or three seconds but at least `least` of them), or as --turns
// asks for; never more than `most`. They are ms[0 .. b->rounds). False after reporting.
bool bench_sample(Bench *b, BenchOnce *once, void *ud, size_t least, size_t most, double *ms);
double bench_median(double *x, size_t n); // n > 0; sorts x

// Is the loaded route a part of a generate?
bool bench_generates(const Bench *b);
// Measures greedy sentences: b->words, and median_ms and min_ms of a word. False after reporting.
bool bench_words(Bench *b);
// One more run; `begin` is called before each step and sets the trace hook, which goes again behind the step.
bool bench_words_trace(Bench *b, void (*begin)(Bench *b));

#endif
