// Round trip of one cache line between two cores: two pinned threads hand a counter back and forth.
//     roundtrip [CPU-A CPU-B]     prints one JSON line; the median and the least of many short rounds, nanoseconds.
// On a virtual machine this says whether the two cores are near each other at the moment.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 51, TRIPS = 4000 };

static struct {
  _Alignas(128) atomic_int turn;
  _Alignas(128) atomic_int ready;
} shared;
static int cpus[2] = {-1, -1};

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) perror("sched_setaffinity");
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *partner(void *unused) {
  (void)unused;
  pin(cpus[1]);
  atomic_store(&shared.ready, 1);
  for (int i = 0; i < ROUNDS * TRIPS; i++) {
    while (atomic_load_explicit(&shared.turn, memory_order_acquire) != 2 * i + 1) {
    }
    atomic_store_explicit(&shared.turn, 2 * i + 2, memory_order_release);
  }
  return NULL;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (int cpu = 0, found = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
    if (CPU_ISSET((size_t)cpu, &allowed)) cpus[found++] = cpu;
  if (argc == 3) cpus[0] = atoi(argv[1]), cpus[1] = atoi(argv[2]);
  if (cpus[1] < 0) return fprintf(stderr, "roundtrip: needs two processors\n"), 1;
  pthread_t thread;
  double times[ROUNDS];
  pin(cpus[0]);
  if (pthread_create(&thread, NULL, partner, NULL)) return perror("pthread_create"), 1;
  while (!atomic_load(&shared.ready)) {
  }
  for (int round = 0; round < ROUNDS; round++) {
    double begin = now_ns();
    for (int i = round * TRIPS; i < (round + 1) * TRIPS; i++) {
      atomic_store_explicit(&shared.turn, 2 * i + 1, memory_order_release);
      while (atomic_load_explicit(&shared.turn, memory_order_acquire) != 2 * i + 2) {
      }
    }
    times[round] = (now_ns() - begin) / TRIPS;
  }
  pthread_join(thread, NULL);
  qsort(times, ROUNDS, sizeof *times, compare);
  printf("{\"median_ns\": %.1f, \"min_ns\": %.1f, \"cpus\": [%d, %d]}\n", times[ROUNDS / 2], times[0], cpus[0],
         cpus[1]);
  return 0;
}
