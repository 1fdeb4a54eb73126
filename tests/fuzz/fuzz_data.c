// fuzz_data.c - libFuzzer: no bytes may crash the sources of training data, and what they accept can be read. The first
// byte chooses the kind; the rest is the file.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../data/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

// paths: texts of the file may be taken for paths of pictures, which could name anything
static const struct {
  const char *end;
  bool paths;
} kinds[] = {{".jsonl", true}, {".csv", true},          {".tar", true},  {"-idx3", false},
             {".npy", false},  {".safetensors", false}, {".json", true}, {".tsv", true}};

// Inputs of every kind that needs no tokenizer; texts of pictures are not followed (`pixels` has no path that is read).
#define FIXED(n)                                                                                                       \
  { .constant = (n), .dim = -1, .bound = (n) }
#define ANY(d, most)                                                                                                   \
  { .factor = 1, .dim = (d), .bound = (most) }
static const sy_bound dims[] = {{"B", 1, 4}, {"L", 1, 9}};
static const sy_tensor inputs[] = {{"x", "f32", 2, {ANY(0, 4), FIXED(2)}, 0, 0},
                                   {"n", "i32", 2, {ANY(0, 4), ANY(1, 9)}, 0, 0},
                                   {"feat", "bool", 3, {ANY(0, 4), ANY(1, 9), FIXED(2)}, 0, 0},
                                   {"label", "i32", 1, {ANY(0, 4)}, 0, 0},
                                   {"targets", "f32", 2, {ANY(0, 4), FIXED(3)}, 0, 0}};

// Each input on its own: few samples have several.
static void fill_batches(const Data *d) {
  for (unsigned i = 0; i < sizeof inputs / sizeof *inputs; i++) {
    const BatchWants wants = {.input = inputs + i, .ninput = 1, .dim = dims, .ndim = 2};
    HostError err = {.text = ""};
    const Batch *batch;
    Batches *b = batches_open(d, &wants, NULL, 0, &(BatchOptions){.rows = 2, .most_bad = 1}, &err);
    if (!b && !err.text[0]) abort();
    for (int k = 0; b && k < 3; k++) {
      if (!batches_next(b, &batch, &err) && !err.text[0]) abort();
      if (batch && (batch->rows > 2 || batch->dims[1] > 9)) abort();
    }
    batches_close(b);
  }
}

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
      if (!local && g->n < 1 << 12 && g->tensor.bytes < 1 << 12 && data_picture(&s, g, 0, &im, &err))
        host_image_free(&im);
    }
    data_sample_free(&s);
  }
  if (d && count < 100) fill_batches(d);
  Buf out = {0};
  if (d && count < 1000 && !kinds[bytes[0] % (sizeof kinds / sizeof *kinds)].paths) data_describe(d, 3, &out);
  buf_free(&out);
  data_close(d);
  unlink(path);
  volatile double read = sum; // so that the values are read
  (void)read;
  return 0;
}
