// fuzz_weights.c: a compiled model (model/model.sy) opens packed weights of any bytes and runs on them. Every buffer
// has its exact size, so that the address sanitizer sees a byte outside. What is wrong is a status; what init takes is
// run on all routes, and an id among the weights that no table has is a status too.
//
// The first byte says what the others are: RAW, the file itself; else edits of a good file, EDIT bytes each. FIX makes
// the checksums right, so that what lies behind them is reached; with IDS the caller's ids are odd ones.
#include "runtime/switchyard.h"
#include "runtime/weights_format.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__asm__(".section .rodata\n.balign 64\ngood_file: .incbin \"" SMALL_WEIGHTS "\"\ngood_end: .byte 0\n.text\n");
extern const unsigned char good_file[], good_end[];

enum { RAW = 1, FIX = 2, PLAN = 4, PORTABLE = 8, THREADS = 16, IDS = 32, MOST_DIMS = 32 }; // bits of the first byte
enum { EDIT = 4, MORE = 300, MOST = 1 << 16 };

typedef struct File {
  unsigned char *at;
  size_t n;
} File;

static void *exact(size_t n) {
  void *p = NULL;
  if (posix_memalign(&p, SY_ALIGN, n)) abort();
  return p;
}

static void resize(File *f, size_t n) {
  unsigned char *at = exact(n);
  memset(at, 0x5a, n);
  memcpy(at, f->at, n < f->n ? n : f->n);
  free(f->at);
  *f = (File){at, n};
}

/* edits
 * ------------------------------------------------------------------------------------------------------------------ */
static uint64_t number(const File *f, unsigned which) {
  const uint64_t few[] = {0,
                          1,
                          2,
                          63,
                          64,
                          4095,
                          4096,
                          f->n,
                          f->n + 1,
                          f->n - 1,
                          f->n - 4096,
                          UINT32_MAX,
                          INT64_MAX,
                          UINT64_MAX,
                          UINT64_MAX - 63,
                          UINT64_MAX / sizeof(sy_weights_entry) + 1};
  return few[which % (sizeof few / sizeof *few)];
}

static void put(File *f, size_t at, const void *v, size_t n) {
  if (at <= f->n && n <= f->n - at) memcpy(f->at + at, v, n);
}

// One edit: what, where (two bytes), value.
static void edit(File *f, const uint8_t e[EDIT]) {
  static const float odd[] = {0, -0.0f, 1e-40f, 3e38f, -3e38f, 1.0f / 0.0f, 0.0f / 0.0f, 0.5f};
  size_t where = e[1] | (size_t)e[2] << 8, table = sizeof(sy_weights_header);
  uint64_t v = number(f, e[3]);
  switch (e[0] % 8) {
  case 0: put(f, where, &e[3], 1); break;
  case 1: put(f, 8 + where % 5 * 8, &v, sizeof v); break;      // a field of the header
  case 2: put(f, table + where % 32 * 8, &v, sizeof v); break; // a field of the table
  case 3: put(f, SY_WEIGHTS_PAGE + where * 4, &v, 4); break;   // an element
  case 4: put(f, SY_WEIGHTS_PAGE + where * 4, &odd[e[3] % 8], 4); break;
  case 5: put(f, SY_WEIGHTS_PAGE + where * 4, &(int32_t){e[3] - 100}, 4); break;
  case 6: resize(f, where % (f->n + 1)); break;
  case 7: resize(f, f->n + where % MORE < MOST ? f->n + where % MORE : f->n); break;
  }
}

static void make_right(File *f) {
  sy_weights_header h;
  if (f->n < sizeof h) return;
  memcpy(&h, f->at, sizeof h);
  for (uint64_t i = 0; i < h.count && i < f->n / sizeof(sy_weights_entry); i++) {
    sy_weights_entry e;
    size_t at = sizeof h + i * sizeof e;
    if (at + sizeof e > f->n) return;
    memcpy(&e, f->at + at, sizeof e);
    if (h.data_offset > f->n || e.offset > f->n - h.data_offset || e.bytes > f->n - h.data_offset - e.offset) continue;
    e.checksum = sy_weights_checksum(f->at + h.data_offset + e.offset, e.bytes);
    memcpy(f->at + at, &e, sizeof e);
  }
}

static File make_file(const uint8_t *data, size_t size) {
  File f = {exact(0), 0};
  if (data[0] & RAW) {
    resize(&f, size - 1);
    memcpy(f.at, data + 1, size - 1);
    if (data[0] & PLAN) put(&f, offsetof(sy_weights_header, plan_hash), &sy_model_entry()->info->plan_hash, 8);
  } else {
    resize(&f, (size_t)(good_end - good_file));
    memcpy(f.at, good_file, f.n);
    for (size_t i = 1; i + EDIT <= size; i += EDIT) edit(&f, data + i);
  }
  if (data[0] & FIX) make_right(&f);
  return f;
}

/* a model on such a file
 * ------------------------------------------------------------------------------------------------------------------ */
static void backwards(void *ud, size_t n, sy_task *task, void *arg) {
  (void)ud;
  while (n--) task(arg, n);
}

static void fill(const sy_tensor *t, void *p, uint8_t salt) {
  memset(p, 0, (size_t)t->bytes);
  for (uint64_t i = 0; i < t->elements; i++) {
    float v = (float)((i * 7 + salt) % 13) - 6;
    int32_t id = salt & IDS && i ? (int32_t)(i + salt) % 9 - 1 : 0;
    if (!strcmp(t->dtype, "f32")) memcpy((char *)p + 4 * i, &v, 4);
    if (!strcmp(t->dtype, "i32")) memcpy((char *)p + 4 * i, &id, 4);
    if (!strcmp(t->dtype, "bool")) ((unsigned char *)p)[i] = i & 1;
  }
}

static sy_status call(const sy_model *m, void *ctx, unsigned number_of_route, uint8_t salt) {
  const sy_route *r = &m->info->route[number_of_route];
  size_t dims[MOST_DIMS] = {0};
  void *in[64], *out[64];
  if (r->ninput > 64 || r->noutput > 64 || m->info->ndim > MOST_DIMS) abort();
  for (unsigned d = 0; d < m->info->ndim; d++) dims[d] = (size_t)(salt & 1 ? m->info->dim[d].hi : m->info->dim[d].lo);
  for (unsigned i = 0; i < r->ninput; i++) fill(&r->input[i], in[i] = exact((size_t)r->input[i].bytes), salt);
  for (unsigned i = 0; i < r->noutput; i++) fill(&r->output[i], out[i] = exact((size_t)r->output[i].bytes), salt);
  sy_status s = m->call(ctx, number_of_route, dims, (const void *const *)in, out);
  for (unsigned i = 0; i < r->ninput; i++) free(in[i]);
  for (unsigned i = 0; i < r->noutput; i++) free(out[i]);
  return s;
}

// As the command line does it: init, then the checksums.
static void use(const File *f, uint8_t how) {
  const sy_model *m = sy_model_entry();
  sy_exec exec = {backwards, NULL, how & THREADS ? 3 : 1};
  size_t bytes = m->arena_bytes(exec.threads);
  void *arena = exact(bytes), *ctx = NULL;
  bool good = f->n == (size_t)(good_end - good_file) && !memcmp(f->at, good_file, f->n);
  sy_config c = {SY_ABI_VERSION, f->at, f->n, arena, bytes, &exec, how & PORTABLE ? "portable" : NULL};
  sy_status s = m->init(&ctx, &c), check = sy_weights_check(f->at, f->n, &exec);
  if (s != SY_OK && s != SY_EPLAN && s != SY_EWEIGHTS) abort();
  if (check != SY_OK && check != SY_EWEIGHTS) abort();
  if (good && (s || check)) abort();
  for (unsigned r = 0; s == SY_OK && r < m->info->nroute; r++) {
    sy_status done = call(m, ctx, r, how);
    if (done != SY_OK && (done != SY_EINDEX || (good && !(how & IDS)))) abort();
  }
  if (s == SY_OK) {
    sy_status test = m->selftest(ctx);
    if (test != SY_OK && test != SY_EWEIGHTS && test != SY_ETEST) abort();
    bool longer = f->n > (size_t)(good_end - good_file);                // bytes behind its end are not the model's
    if ((good && test) || (check && test == SY_OK && !longer)) abort(); // a damaged file does not pass
  }
  free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  File f = make_file(data, size);
  use(&f, data[0]);
  free(f.at);
  return 0;
}
