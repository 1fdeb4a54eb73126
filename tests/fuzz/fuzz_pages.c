// fuzz_pages.c: a page through the front end, the passes, lowering and C text, and a run of what is small, every buffer
// at its exact size. What fuzz_language.c does not see: the passes, the kernels, and what they touch. Seeds in
// tests/fuzz/corpus/language. dict: sy
#include "frontend/frontend.h"
#include "fuzz_program.h"

static const char library[] = "block linear(x, out) {\n"
                              "  weight weight: f32[out, width(x)]\n"
                              "  weight bias: f32[out]\n"
                              "  return affine(x, weight, bias)\n"
                              "}\n"
                              "block norm(x, eps) {\n"
                              "  weight weight: f32[width(x)]\n"
                              "  weight bias: f32[width(x)]\n"
                              "  return layer_norm(x, weight, bias, eps = eps)\n"
                              "}\n";

static const char *find(void *ud, const char *name, size_t *n, const char **path) {
  (void)ud, (void)path;
  if (strcmp(name, "std") != 0) return NULL;
  *n = sizeof library - 1;
  return library;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  FrontOptions front = {.find = find};
  Module *m = front_compile(&a, &names, &d, "fuzz.sy", arena_strndup(&a, (const char *)data, size), size, &front);
  if (m && fuzz_values(m) <= FUZZ_VALUES) {
    PassOptions o = {.verify = true, .remarks = size & 2};
    if (passes_run(m, &o))
      fuzz_program(m, data, size);
    else if (!d.errors)
      abort();
  }
  Buf out = {0};
  diag_print(&d, &out, true);
  buf_free(&out);
  arena_free(&a);
  return 0;
}
