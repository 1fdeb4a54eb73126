// weights_support.h: for tests of `syc weights`: the command is run as a program (SYC, or build/bin/syc beside the
// tests) in a folder of its own; without one those tests are skipped.
#ifndef SY_TEST_WEIGHTS_SUPPORT_H
#define SY_TEST_WEIGHTS_SUPPORT_H

#include "ckpt/safetensors.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/driver_weights_XXXXXX"; // of the program at hand
static char syc[1024];

static inline void set_up(void) {
  const char *env = getenv("SYC");
  ssize_t n = readlink("/proc/self/exe", syc, sizeof syc - 16);
  syc[n > 0 ? n : 0] = 0;
  char *slash = strrchr(syc, '/');
  if (slash) strcpy(slash, "/../bin/syc");
  if (env && *env) snprintf(syc, sizeof syc, "%s", env);
  cr_assert(mkdtemp(dir));
  if (access(syc, X_OK) != 0) cr_skip_test("no syc at %s", syc);
}

static inline void tear_down(void) {
  char text[1200];
  snprintf(text, sizeof text, "rm -rf '%s'", dir);
  cr_expect(system(text) == 0);
}

// Runs "syc ARGUMENTS" with %s = the folder; output goes to out.txt there. The exit status.
static inline int run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline int run(const char *fmt, ...) {
  char args[2048], text[4200];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(args, sizeof args, fmt, ap);
  va_end(ap);
  snprintf(text, sizeof text, "'%s' %s >'%s/out.txt' 2>&1", syc, args, dir);
  int status = system(text);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// How often the output of the last run has it.
static inline int output_count(const char *what) {
  char path[64], text[65536];
  snprintf(path, sizeof path, "%s/out.txt", dir);
  FILE *f = fopen(path, "rb");
  cr_assert(f);
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  int count = 0;
  for (const char *s = text; (s = strstr(s, what)); s += strlen(what)) count++;
  return count;
}

static inline bool output_has(const char *what) {
  return output_count(what) > 0;
}

static inline StFile *open_in_dir(const char *name) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  StError err;
  StFile *f = st_open(path, &err);
  cr_assert(f, "%s", err.text);
  return f;
}

// A checkpoint of one tensor [n] of zeros with `last` as its last element.
static inline void write_one(const char *name, const char *tensor, int64_t n, float last) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  StError err;
  StDesc d = {.name = tensor, .dtype = ST_F32, .rank = 1, .shape = {n}};
  StWriter *w = st_write_begin(path, 1, &d, &err);
  cr_assert(w, "%s", err.text);
  for (int64_t i = 0; i < n; i++) {
    float v = i == n - 1 ? last : 0;
    cr_assert(st_write_data(w, &v, sizeof v, &err));
  }
  cr_assert(st_write_end(w, &err));
}

static inline void write_scalar(const char *name, const char *tensor, StDtype dtype) {
  static const uint64_t zero = 0;
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  StError err;
  StDesc d = {.name = tensor, .dtype = dtype};
  StWriter *w = st_write_begin(path, 1, &d, &err);
  cr_assert(w && st_write_data(w, &zero, st_dtype_size(dtype), &err) && st_write_end(w, &err), "%s", err.text);
}

// Copies a checkpoint with every name behind the first prefix and, if there is one, again behind the second.
static inline void write_below(const char *from, const char *to, const char *const prefix[2]) {
  static char name[400][128];
  static StDesc d[400];
  StFile *f = open_in_dir(from);
  size_t n = st_count(f), sets = prefix[1] ? 2 : 1;
  char path[128];
  StError err;
  snprintf(path, sizeof path, "%s/%s", dir, to);
  cr_assert(sets * n <= 400);
  for (size_t i = 0; i < sets * n; i++) {
    const StTensor *t = st_at(f, i % n);
    snprintf(name[i], sizeof name[i], "%s%s", prefix[i / n], t->name);
    d[i] = (StDesc){.name = name[i], .dtype = t->dtype, .rank = t->rank};
    memcpy(d[i].shape, t->shape, sizeof t->shape);
  }
  StWriter *w = st_write_begin(path, sets * n, d, &err);
  cr_assert(w, "%s", err.text);
  for (size_t i = 0; i < sets * n; i++)
    cr_assert(st_write_data(w, st_at(f, i % n)->data, st_at(f, i % n)->bytes, &err));
  cr_assert(st_write_end(w, &err), "%s", err.text);
  st_close(f);
}

static inline void write_text(const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *f = fopen(path, "wb");
  cr_assert(f && fputs(text, f) >= 0);
  cr_assert(fclose(f) == 0);
}

static inline bool same_files(const char *a, const char *b) {
  char text[512];
  snprintf(text, sizeof text, "cmp -s '%s/%s' '%s/%s'", dir, a, dir, b);
  return system(text) == 0;
}

// Equal but for the plan that they are packed for (bytes 16 to 23, see weights_format.h)? *plan: are these equal?
static inline bool same_weights(const char *a, const char *b, bool *plan) {
  char text[512];
  snprintf(text, sizeof text, "cmp -s -n 16 '%s/%s' '%s/%s' && cmp -s -i 24 '%s/%s' '%s/%s'", dir, a, dir, b, dir, a,
           dir, b);
  *plan = same_files(a, b);
  return system(text) == 0;
}

static inline void flip_last_byte(const char *name) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *f = fopen(path, "r+b");
  cr_assert(f && fseek(f, -1, SEEK_END) == 0);
  int c = fgetc(f);
  cr_assert(fseek(f, -1, SEEK_END) == 0);
  fputc(c ^ 0x5a, f);
  cr_assert(fclose(f) == 0);
}

// Tensors that nothing asks for, beside the weights of a model.
static inline int pack_beside(const char *model, const char *extra, StDtype dtype, int64_t n) {
  char path[128];
  snprintf(path, sizeof path, "%s/extra.safetensors", dir);
  StError err;
  StDesc d = {.name = extra, .dtype = dtype, .rank = 1, .shape = {n}};
  StWriter *w = st_write_begin(path, 1, &d, &err);
  static const double zero[64] = {0};
  cr_assert(w && st_write_data(w, zero, (size_t)n * st_dtype_size(dtype), &err) && st_write_end(w, &err), "%s",
            err.text);
  return run("weights pack %s -w %s/a.safetensors -w %s/extra.safetensors -o %s/x.syw -q", model, dir, dir, dir);
}

#endif
