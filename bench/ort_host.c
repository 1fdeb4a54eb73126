// Times ONNX Runtime on one model through its C interface, or answers once (cold start): a peer without the
// start-up time and memory of a script interpreter.
//
//     ort_host LIBRARY MODEL.onnx INPUT.raw f32|i64 1x3x224x224 INPUT-NAME OUTPUT-NAME OUT.raw THREADS SECONDS|once
//
// The runtime's table of functions only ever grows at its end, so the few entries used here are taken by their
// number and no header is needed. Input and output files are bare tensors; i64 inputs are stored as int32.
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
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
  CPU_MEMORY = 69
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

typedef struct {
  Handle session, input;
  const char *input_name, *output_name;
} Call;

// The output is allocated by the runtime at the first run and reused afterwards.
static double run(const Call *call, Handle *output) {
  double begin = now_ms();
  check(CALL(RUN, Handle, Handle, const char *const *, const Handle *, size_t, const char *const *, size_t,
             Handle *)(call->session, NULL, &call->input_name, &call->input, 1, &call->output_name, 1, output),
        "run");
  return now_ms() - begin;
}

int main(int argc, char **argv) {
  if (argc != 11) die("usage", "LIBRARY MODEL INPUT f32|i64 DIMS INPUT-NAME OUTPUT-NAME OUT THREADS SECONDS|once");
  int threads = atoi(argv[9]), once = strcmp(argv[10], "once") == 0;
  void *library = dlopen(argv[1], RTLD_NOW);
  if (!library) die(argv[1], dlerror());
  const ApiBase *(*base)(void) = NULL;
  *(void **)&base = dlsym(library, "OrtGetApiBase"); // the way that POSIX gives
  if (!base) die(argv[1], "is not ONNX Runtime");
  api = base()->get_api(14);
  if (!api) die(argv[1], "offers no such version of its interface");

  Handle env, options, memory, output = NULL;
  Call call = {.input_name = argv[6], .output_name = argv[7]};
  check(CALL(CREATE_ENV, int, const char *, Handle *)(3, "bench", &env), "environment");
  check(CALL(CREATE_OPTIONS, Handle *)(&options), "options");
  check(CALL(SET_EXECUTION_MODE, Handle, int)(options, 0), "execution mode");
  // The stored graph is already optimised; for a cold start the passes need not run over it again.
  check(CALL(SET_LEVEL, Handle, int)(options, once ? 0 : 99), "optimisation level");
  check(CALL(SET_INTRA, Handle, int)(options, threads), "threads");
  check(CALL(SET_INTER, Handle, int)(options, 1), "threads");
  check(CALL(CREATE_SESSION, Handle, const char *, Handle, Handle *)(env, argv[2], options, &call.session), argv[2]);

  size_t size, rank = 0, count = 1;
  void *data = read_file(argv[3], &size);
  int64_t shape[8];
  for (char *s = argv[5]; rank < 8; s++) {
    shape[rank] = strtoll(s, &s, 10);
    count *= (size_t)shape[rank++];
    if (*s != 'x') break;
  }
  if (size != 4 * count) die(argv[3], "does not have the size of the input");
  int wide = strcmp(argv[4], "i64") == 0;
  if (wide) {
    int64_t *ids = malloc(count * sizeof *ids);
    if (!ids) die("input", "out of memory");
    for (size_t i = 0; i < count; i++) ids[i] = ((int32_t *)data)[i];
    free(data);
    data = ids;
    size = count * sizeof *ids;
  }
  check(CALL(CPU_MEMORY, int, int, Handle *)(1, 0, &memory), "memory");
  check(CALL(CREATE_TENSOR, Handle, void *, size_t, const int64_t *, size_t, int,
             Handle *)(memory, data, size, shape, rank, wide ? 7 : 1, &call.input),
        "input");

  float *answer;
  run(&call, &output);
  check(CALL(TENSOR_DATA, Handle, void **)(output, (void **)&answer), "output");
  if (once) {
    printf("answer %g\n", (double)answer[0]);
    fflush(stdout);
    _Exit(0);
  }
  Handle info;
  check(CALL(TYPE_AND_SHAPE, Handle, Handle *)(output, &info), "output shape");
  check(CALL(ELEMENT_COUNT, Handle, size_t *)(info, &count), "output shape");

  enum { MOST = 1 << 17 };
  double *times = malloc(MOST * sizeof *times);
  if (!times) die("times", "out of memory");
  int runs = 0;
  for (int i = 0; i < 2; i++) run(&call, &output);
  double end = now_ms() + atof(argv[10]) * 1e3;
  while (runs < MOST && (runs < 3 || now_ms() < end)) times[runs++] = run(&call, &output);
  qsort(times, (size_t)runs, sizeof *times, compare);

  FILE *file = fopen(argv[8], "wb");
  if (!file || fwrite(answer, sizeof *answer, count, file) != count || fclose(file)) die(argv[8], "cannot be written");
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("{\"min_ms\": %.6f, \"median_ms\": %.6f, \"runs\": %d, \"peak_rss_kb\": %ld, \"version\": \"%s\"}\n", times[0],
         times[runs / 2], runs, usage.ru_maxrss, base()->version());
  fflush(stdout);
  _Exit(0);
}
