// ort_api.h: what the C programs around ONNX Runtime share. The runtime's table of functions only ever grows at its
// end, so the few entries used here are taken by their number and no header of the runtime is needed. Every failure
// ends the program with a line on standard error.
#ifndef BENCH_ORT_API_H
#define BENCH_ORT_API_H

#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

typedef void *Handle;
typedef void (*Entry)(void);
typedef struct {
  const Entry *(*get_api)(uint32_t version);
  const char *(*version)(void);
} ApiBase;

enum { // numbers of the entries
  ERROR_MESSAGE = 2,
  CREATE_ENV = 3,
  CREATE_SESSION = 7,
  RUN = 9,
  CREATE_OPTIONS = 10,
  SET_EXECUTION_MODE = 13,
  SET_LEVEL = 23,
  SET_INTRA = 24,
  SET_INTER = 25,
  CREATE_TENSOR = 49,
  TENSOR_DATA = 51,
  ELEMENT_COUNT = 64,
  TYPE_AND_SHAPE = 65,
  CPU_MEMORY = 69,
  RELEASE_VALUE = 96
};
#define CALL(entry, ...) ((Handle(*)(__VA_ARGS__))api[entry])

static const Entry *api;

static void die(const char *what, const char *why) {
  fprintf(stderr, "ort_host: %s: %s\n", what, why);
  exit(1);
}

static void check(Handle status, const char *what) {
  if (status) die(what, ((const char *(*)(Handle))api[ERROR_MESSAGE])(status));
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) die(path, "cannot be opened");
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  void *data = malloc(*size);
  if (!data || fread(data, 1, *size, file) != *size) die(path, "cannot be read");
  fclose(file);
  return data;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

enum { MOST_TENSORS = 128, MOST_DIMS = 8, MOST_RUNS = 1 << 17 };

typedef struct {
  Handle session;
  size_t ninput, noutput;
  const char *input_name[MOST_TENSORS], *output_name[MOST_TENSORS];
  Handle input[MOST_TENSORS], output[MOST_TENSORS];
} Call;

static const struct {
  const char *name;
  int onnx;
  size_t stored, bytes; // of an element in the file and in the runtime
} types[] = {{"f32", 1, 4, 4}, {"i64", 7, 4, 8}, {"bool", 9, 1, 1}};

// The outputs are allocated by the runtime at the first run and reused afterwards.
static double run(Call *call) {
  double begin = now_ms();
  check(CALL(RUN, Handle, Handle, const char *const *, const Handle *, size_t, const char *const *, size_t,
             Handle *)(call->session, NULL, call->input_name, call->input, call->ninput, call->output_name,
                       call->noutput, call->output),
        "run");
  return now_ms() - begin;
}

enum { BURST_MS = 200, BURST_RUNS = 200, SHORT_MS = 100 };

static bool line_comes(void) {
  int c = getchar();
  while (c != EOF && c != '\n') c = getchar();
  return c == '\n';
}

// One turn, as `syc bench --turns` does it: runs for a while, the first without a time if it is short; prints their
// median.
static int burst(double (*once)(void *ud), void *ud, double *times, int runs) {
  double own[BURST_RUNS], begin = now_ms();
  int n = 0;
  if (!runs || times[runs - 1] < SHORT_MS) once(ud);
  do {
    own[n++] = times[runs++] = once(ud);
  } while (runs < MOST_RUNS && n < BURST_RUNS && now_ms() - begin < BURST_MS);
  qsort(own, (size_t)n, sizeof *own, compare);
  printf("%.6f\n", own[n / 2]);
  fflush(stdout);
  return runs;
}

// Times of runs in ascending order: for a number of seconds, or ("turns") a burst for each line on standard input.
static int sample(double (*once)(void *ud), void *ud, const char *seconds, double times[MOST_RUNS]) {
  int runs = 0;
  if (strcmp(seconds, "turns") == 0) {
    puts("ready");
    fflush(stdout);
    while (runs < MOST_RUNS && line_comes()) runs = burst(once, ud, times, runs);
    if (!runs) die("standard input", "ended before the first turn");
  } else {
    double end = now_ms() + atof(seconds) * 1e3;
    while (runs < MOST_RUNS && (runs < 3 || now_ms() < end)) times[runs++] = once(ud);
  }
  qsort(times, (size_t)runs, sizeof *times, compare);
  return runs;
}

// The next part of a list, ended in place; NULL at its end.
static char *part(char **list, char separator) {
  char *begin = *list;
  if (!begin) return NULL;
  char *end = strchr(begin, separator);
  if (end) *end++ = 0;
  *list = end;
  return begin;
}

static size_t read_shape(const char *text, int64_t shape[MOST_DIMS], size_t *count) {
  size_t rank = 0;
  char *s;
  *count = 1;
  for (const char *p = text; rank < MOST_DIMS; p = s + 1) {
    shape[rank] = strtoll(p, &s, 10);
    if (s == p || shape[rank] < 1) die(text, "is not a shape");
    *count *= (size_t)shape[rank++];
    if (*s != 'x') break;
  }
  return rank;
}

// Takes the next input, NAME:TYPE:SHAPE, from the front of the file's bytes.
static void add_input(Call *call, Handle memory, char *spec, const char **data, size_t *left) {
  char *rest = spec, *name = part(&rest, ':'), *type = part(&rest, ':');
  int64_t shape[MOST_DIMS];
  size_t t = 0, count;
  while (t < sizeof types / sizeof *types && type && strcmp(types[t].name, type) != 0) t++;
  if (!rest || t == sizeof types / sizeof *types || call->ninput == MOST_TENSORS)
    die(name, "is not NAME:f32|i64|bool:SHAPE");
  size_t rank = read_shape(rest, shape, &count), stored = count * types[t].stored, size = count * types[t].bytes;
  if (stored > *left) die(name, "the input file ends before it");
  void *copy = malloc(size);
  if (!copy) die(name, "out of memory");
  if (stored == size)
    memcpy(copy, *data, size);
  else
    for (size_t i = 0; i < count; i++) {
      int32_t id;
      memcpy(&id, *data + i * sizeof id, sizeof id);
      ((int64_t *)copy)[i] = id;
    }
  *data += stored;
  *left -= stored;
  call->input_name[call->ninput] = name;
  check(CALL(CREATE_TENSOR, Handle, void *, size_t, const int64_t *, size_t, int,
             Handle *)(memory, copy, size, shape, rank, types[t].onnx, &call->input[call->ninput]),
        name);
  call->ninput++;
}

static void add_inputs(Call *call, const char *path, char *list) {
  size_t left;
  char *data = read_file(path, &left), *spec;
  const char *at = data;
  Handle memory;
  check(CALL(CPU_MEMORY, int, int, Handle *)(1, 0, &memory), "memory");
  while ((spec = part(&list, ','))) add_input(call, memory, spec, &at, &left);
  if (left) die(path, "is longer than the inputs");
  free(data);
}

static const ApiBase *load_library(const char *path) {
  void *library = dlopen(path, RTLD_NOW);
  if (!library) die(path, dlerror());
  const ApiBase *(*base)(void) = NULL;
  *(void **)&base = dlsym(library, "OrtGetApiBase"); // the way that POSIX gives
  if (!base) die(path, "is not ONNX Runtime");
  api = base()->get_api(14);
  if (!api) die(path, "offers no such version of its interface");
  return base();
}

static Handle open_session(const char *model, int threads, bool once) {
  Handle env, options, session;
  check(CALL(CREATE_ENV, int, const char *, Handle *)(3, "bench", &env), "environment");
  check(CALL(CREATE_OPTIONS, Handle *)(&options), "options");
  check(CALL(SET_EXECUTION_MODE, Handle, int)(options, 0), "execution mode");
  // The stored graph is already optimised; for a cold start the passes need not run over it again.
  check(CALL(SET_LEVEL, Handle, int)(options, once ? 0 : 99), "optimisation level");
  check(CALL(SET_INTRA, Handle, int)(options, threads), "threads");
  check(CALL(SET_INTER, Handle, int)(options, 1), "threads");
  check(CALL(CREATE_SESSION, Handle, const char *, Handle, Handle *)(env, model, options, &session), model);
  return session;
}

#endif
