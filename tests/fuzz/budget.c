// budget.c: what one input may cost. Every target is compiled with its LLVMFuzzerTestOneInput called fuzz_one_input;
// the entry is here and ends in an abort when an input takes more processor time or more memory than its bytes explain:
// a few bytes that cost minutes or gigabytes are found long before a limit of the whole run.
//
// The figures are for the sanitizers' build (about 20 times slower, twice the memory) and leave room for a loaded
// machine; FUZZ_BUDGET=N makes them N times as large.
#include <sanitizer/allocator_interface.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int fuzz_one_input(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const double SECONDS = 4, SECONDS_A_BYTE = 1e-3;
static const double BYTES = 400e6, BYTES_A_BYTE = 1e5;

static double times = 1;
static atomic_size_t live, most;

static void on_malloc(const volatile void *p, size_t n) {
  (void)p;
  size_t now = atomic_fetch_add(&live, n) + n, seen = atomic_load(&most);
  while (now > seen && now < SIZE_MAX / 2 && !atomic_compare_exchange_weak(&most, &seen, now)) {
  }
}

static void on_free(const volatile void *p) {
  if (p) atomic_fetch_sub(&live, __sanitizer_get_allocated_size(p));
}

// A target may run in a folder of its own: what the command line names stays where it is.
static void make_absolute(int argc, char **argv) {
  static const char prefix[] = "-artifact_prefix=";
  char here[3000], path[4096];
  if (!getcwd(here, sizeof here)) return;
  for (int i = 1; i < argc; i++) {
    bool artifacts = !strncmp(argv[i], prefix, sizeof prefix - 1);
    const char *name = artifacts ? argv[i] + sizeof prefix - 1 : argv[i];
    if (*name == '/' || *name == '-') continue;
    snprintf(path, sizeof path, "%s%s/%.1000s", artifacts ? prefix : "", here, name);
    argv[i] = strdup(path); // for as long as the process lives
  }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  make_absolute(*argc, *argv);
  const char *more = getenv("FUZZ_BUDGET");
  if (more && atof(more) > 0) times = atof(more);
  __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  return 0;
}

static void over(const char *what, double have, double budget, size_t size) {
  fprintf(stderr, "over its budget: %g %s, %g allowed for %zu bytes\n", have, what, budget, size);
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  clock_t start = clock();
  size_t before = atomic_load(&live);
  atomic_store(&most, before);
  int result = fuzz_one_input(data, size);
  double seconds = (double)(clock() - start) / CLOCKS_PER_SEC, bytes = (double)(atomic_load(&most) - before);
  double second_budget = times * (SECONDS + SECONDS_A_BYTE * (double)size);
  double byte_budget = times * (BYTES + BYTES_A_BYTE * (double)size);
  if (seconds > second_budget) over("seconds", seconds, second_budget, size);
  if (bytes > byte_budget) over("bytes of memory", bytes, byte_budget, size);
  return result;
}
