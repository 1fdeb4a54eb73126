// bench_sample.c: how often a call is timed, and when.
//
// Alone: until --rounds times are there, or for three seconds. With --turns: by turns with other programs that are
// measured in the same seconds, so that what else the machine does falls on all of them. Each line on standard input
// asks for a burst of calls, whose median, in ms, is the line of the answer; the end of the input is the end of
// measuring. A line "ready" says that the first turn may be asked for:
//
//   $ (echo; sleep 1; echo) | syc bench vit:tiny --routes classify --threads 1 --turns
//   ready
//   0.006630
//   0.006598
//   vit @classify B=1, avx512, 1 thread, 400 rounds
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

enum { BURST_MS = 200, BURST_CALLS = 200, SHORT_MS = 100, ALONE_MS = 3000 };

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double bench_median(double *x, size_t n) {
  qsort(x, n, sizeof *x, ascending);
  return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static bool line_comes(void) {
  int c = getchar();
  while (c != EOF && c != '\n') c = getchar();
  return c == '\n';
}

// One turn: calls for a while, the first of them without a time if it is short, as others have used the caches since.
static bool burst(Bench *b, BenchOnce *once, void *ud, size_t most, double *ms) {
  double last = b->rounds ? ms[b->rounds - 1] : 0, begin = bench_now_ms(), own[BURST_CALLS];
  if (last < SHORT_MS && !once(ud, &last)) return false;
  size_t n = 0;
  do {
    if (!once(ud, &ms[b->rounds])) return false;
    own[n++] = ms[b->rounds++];
  } while (b->rounds < most && n < BURST_CALLS && bench_now_ms() - begin < BURST_MS);
  printf("%.6f\n", bench_median(own, n));
  fflush(stdout);
  return true;
}

bool bench_sample(Bench *b, BenchOnce *once, void *ud, size_t least, size_t most, double *ms) {
  int64_t rounds = b->s->opt.rounds;
  bool given = rounds != INT_UNSET;
  b->rounds = 0;
  if (b->s->opt.turns) {
    puts("ready");
    fflush(stdout);
    while (b->rounds < most && line_comes())
      if (!burst(b, once, ud, most, ms)) return false;
    return b->rounds ? true : bench_fail(b, "standard input", "ended before the first turn");
  }
  if (given && (size_t)(rounds < 1 ? 1 : rounds) < most) most = (size_t)(rounds < 1 ? 1 : rounds);
  double begin = bench_now_ms();
  for (; b->rounds < most; b->rounds++) {
    if (!given && b->rounds >= least && bench_now_ms() - begin > ALONE_MS) break;
    if (!once(ud, &ms[b->rounds])) return false;
  }
  return true;
}
