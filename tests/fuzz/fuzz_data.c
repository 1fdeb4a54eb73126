// fuzz_data.c - libFuzzer: no bytes may crash the sources of training data, and what they accept can be read. The first
// byte chooses the kind; the rest is the file.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../data/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

// paths: texts of the file may be taken for paths of pictures, which could name anything
static const struct {
  const char *end;
  bool paths;
} kinds[] = {{".jsonl", true}, {".csv", true},          {".tar", true},  {"-idx3", false},
             {".npy", false},  {".safetensors", false}, {".json", true}, {".tsv", true}};

static char folder[64];
static void remove_folder(void) {
  rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  char path[128];
  if (!n) return 0;
  if (!*folder) {
    strcpy(folder, "/tmp/fuzz-data-XXXXXX");
    if (!mkdtemp(folder)) abort();
    atexit(remove_folder);
  }
  snprintf(path, sizeof path, "%s/x%s", folder, kinds[bytes[0] % (sizeof kinds / sizeof *kinds)].end);
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(bytes + 1, 1, n - 1, f) != n - 1 || fclose(f) != 0) abort();
  HostError err = {.text = ""};
  const char *paths[] = {path};
  Data *d = data_open(paths, NULL, 1, &(DataOptions){0}, &err);
  if (!d && !err.text[0]) abort();
  uint32_t count = d ? data_count(d) : 0;
  if (d && !count) abort();
  double sum = 0;
  for (uint32_t k = 0; k < count && k < 20; k++) {
    DataSample s;
    uint32_t i = k < 10 ? k : count - 1 - (k - 10) % count;
    err.text[0] = 0;
    if (!data_read(d, i, &s, &err)) {
      if (!err.text[0]) abort();
      continue;
    }
    for (size_t j = 0; j < s.n; j++) {
      const DataField *g = &s.field[j];
      double v;
      int32_t class;
      HostImage im;
      size_t numbers = data_numbers(g);
      for (size_t e = 0; e < numbers && e < 50; e++)
        if (data_number(g, e, &v)) sum += v;
      if (numbers && data_number(g, numbers - 1, &v)) sum += v;
      if (data_class(d, &s, g, &class, &err)) sum += class;
      bool local = g->kind == DATA_TEXT || g->kind == DATA_FILE;
      if (!local && g->n < 1 << 12 && g->tensor.bytes < 1 << 12 && data_picture(&s, g, &im, &err)) host_image_free(&im);
    }
    data_sample_free(&s);
  }
  Buf out = {0};
  if (d && count < 1000 && !kinds[bytes[0] % (sizeof kinds / sizeof *kinds)].paths) data_describe(d, 3, &out);
  buf_free(&out);
  data_close(d);
  unlink(path);
  volatile double read = sum; // so that the values are read
  (void)read;
  return 0;
}
