// fuzz_pages.c: a page through the front end, the passes, lowering and C text, and a run of what is small, every buffer
// at its exact size. What fuzz_language.c does not see: the passes, the kernels, and what they touch. Seeds in
// tests/fuzz/corpus/language. dict: sy
#include "frontend/frontend.h"
#include "fuzz_library.h"
#include "fuzz_program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
// The routes, or the objective `fit` with the gradients of its loss by all its weights.
static void try_page(const uint8_t *data, size_t size, bool objective) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  const char *fit = "fit", *given = "given";
  const Train train = {0};
  FrontOptions front = {.find = find,
                        .objectives = &fit,
                        .nobjectives = objective,
                        .given = &given,
                        .ngiven = objective && size & 1,
                        .draws = size & 2};
  Module *m = front_compile(&a, &names, &d, "fuzz.sy", arena_strndup(&a, (const char *)data, size), size, &front);
  if (m && objective) m->train = &train;
  if (m && fuzz_values(m) <= FUZZ_VALUES / (objective ? 4 : 1)) {
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  try_page(data, size, false);
  try_page(data, size, true);
  return 0;
}
