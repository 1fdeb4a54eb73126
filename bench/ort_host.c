// Times ONNX Runtime on one model through its C interface, or answers once (cold start): a peer without the
// start-up time and memory of a script interpreter.
//
//     ort_host LIBRARY MODEL.onnx INPUT.raw text:i64:1x40,image:f32:1x3x224x224 logits,pooled OUT THREADS
//     SECONDS|turns|once
//
// INPUT.raw holds the bare tensors of the inputs one after another; types are f32, i64 (stored as int32) and bool. Each
// output goes to OUT.NAME.raw as bare floats.
#include "ort_api.h"

static void write_output(Handle output, const char *base, const char *name) {
  Handle info;
  float *data;
  size_t count;
  char path[4096];
  check(CALL(TENSOR_DATA, Handle, void **)(output, (void **)&data), name);
  check(CALL(TYPE_AND_SHAPE, Handle, Handle *)(output, &info), name);
  check(CALL(ELEMENT_COUNT, Handle, size_t *)(info, &count), name);
  if (snprintf(path, sizeof path, "%s.%s.raw", base, name) >= (int)sizeof path) die(base, "is too long a name");
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(data, sizeof *data, count, file) != count || fclose(file)) die(path, "cannot be written");
}

static double run_once(void *call) {
  return run(call);
}

static void measure(Call *call, const char *seconds, const char *version) {
  static double times[MOST_RUNS];
  for (int i = 0; i < 2; i++) run(call);
  int runs = sample(run_once, call, seconds, times);
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("{\"min_ms\": %.6f, \"median_ms\": %.6f, \"runs\": %d, \"peak_rss_kb\": %ld, \"version\": \"%s\"}\n", times[0],
         times[runs / 2], runs, usage.ru_maxrss, version);
}

int main(int argc, char **argv) {
  if (argc != 9) die("usage", "LIBRARY MODEL INPUT NAME:TYPE:SHAPE,... OUTPUT,... OUT THREADS SECONDS|turns|once");
  bool once = strcmp(argv[8], "once") == 0;
  const ApiBase *base = load_library(argv[1]);
  Call call = {.session = open_session(argv[2], atoi(argv[7]), once)};
  char *names = argv[5];
  add_inputs(&call, argv[3], argv[4]);
  while (call.noutput < MOST_TENSORS && (call.output_name[call.noutput] = part(&names, ','))) call.noutput++;
  run(&call);
  if (once) {
    float *answer;
    check(CALL(TENSOR_DATA, Handle, void **)(call.output[0], (void **)&answer), "output");
    printf("answer %g\n", (double)answer[0]);
  } else {
    measure(&call, argv[8], base->version());
    for (size_t i = 0; i < call.noutput; i++) write_output(call.output[i], argv[6], call.output_name[i]);
  }
  fflush(stdout);
  _Exit(0);
}
