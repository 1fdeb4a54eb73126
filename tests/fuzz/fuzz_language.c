// fuzz_language.c: arbitrary bytes through the whole front end: parser, elaborator, graph verifier, printer of
// diagnostics, formatter; stages of training as text. Built with -DSY_FUZZING (small step budget, ICE aborts) and the
// sanitizers.
//
//   clang -fsanitize=fuzzer,address,undefined -DSY_FUZZING ... && ./fuzz_language tests/fuzz/corpus/language
//
// Checks: no crash; a module that is returned verifies; a failure has an error; formatting is idempotent and accepted
// again.
// dict: sy
#include "frontend/frontend.h"
#include "fuzz_library.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_language: %s\n", what);
  abort();
}

// What a stage says as text, it says again when that is read.
static void try_stage(Arena *a, Intern *names, Diag *diag, const Stage *s) {
  Buf once = {0}, twice = {0};
  IrLex l;
  Stage t;
  stage_print(s, &once);
  irlex_init(&l, once.s, once.n, diag_add_file(diag, "stage.ir", once.s, once.n), names, diag);
  check(irlex_accept(&l, "stage") && stage_parse(a, &l, &t), "the text of a stage is not accepted");
  stage_print(&t, &twice);
  check(once.n == twice.n && memcmp(once.s, twice.s, once.n) == 0, "a stage is another one when it is read again");
  for (uint64_t step = 0; step < 40; step += 13)
    check(stage_rate(s, step, 10) >= 0 && stage_rate(&t, step, 10) >= 0, "a learning rate is no number");
  (void)stage_group(s, "a.0.b", 1);
  buf_free(&once);
  buf_free(&twice);
}

static void try_compile(const char *text, size_t n, bool narrow) { // narrow: as with --dim B=1 --dim L=1
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag diag;
  Buf out = {0};
  const char *why = NULL;
  diag_init(&diag, &a);
  FrontDim dims[] = {{.name = "B", .most = 1}, {.name = "L", .most = 1}};
  bool fit = narrow && strstr(text, "train fit"); // a stage of this name is built, else all are recorded
  FrontOptions o = {.find = find, .dim = dims, .ndim = narrow ? 2 : 0, .stage = fit ? "fit" : NULL, .stages = true};
  Module *m = front_compile(&a, &names, &diag, "fuzz.sy", text, n, &o);
  check((m != NULL) == (diag.errors == 0), "errors and result disagree");
  if (m && !module_verify(m, &why)) check(false, why);
  for (size_t i = 0; m && i < m->stage.n; i++) try_stage(&a, &names, &diag, &m->stage.at[i]);
  diag_print(&diag, &out, true);
  diag_print_json(&diag, &out);
  buf_free(&out);
  arena_free(&a);
}

static void try_format(const char *text, size_t n) {
  Arena a = {0};
  Diag diag;
  Buf once = {0}, twice = {0};
  diag_init(&diag, &a);
  if (front_format(text, n, &once, &diag)) {
    check(front_format(once.s, once.n, &twice, &diag), "formatted text is not accepted");
    check(once.n == twice.n && memcmp(once.s, twice.s, once.n) == 0, "formatting is not idempotent");
  }
  buf_free(&once);
  buf_free(&twice);
  arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1); // the front end asks for NUL-terminated text
  if (!text) return 0;
  if (size) memcpy(text, data, size);
  text[size] = 0;
  try_compile(text, size, false);
  try_compile(text, size, true);
  try_format(text, size);
  free(text);
  return 0;
}
