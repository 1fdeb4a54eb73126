// fuzz_precision.c: arbitrary bytes as a file of the rules of a precision: parser, patterns, and what the passes make
// of a small graph by them.
//
// Checks: no crash; a failure has an error; rules that are taken are the same when the text of the IR is read again,
// and every pattern is matched with names in the time of their length. dict: sy
#include "frontend/frontend.h"
#include "fuzz_library.h"
#include "ir/precision.h"
#include "passes/pass.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_precision: %s\n", what);
  abort();
}

static const char page[] = "model m(dim = 64) {\n"
                           "  dim B = 1..2\n"
                           "  route r(text: i32[B]) -> y {\n"
                           "    weight words: f32[9, dim]\n"
                           "    weight a: f32[dim, dim]  @layers.0.q.weight\n"
                           "    weight b: f32[dim, dim]  @layers.0.k.weight\n"
                           "    weight head: f32[10, dim]\n"
                           "    let x = embedding(words, text)\n"
                           "    return affine(affine(x, a) * affine(x, b), head)\n"
                           "  }\n"
                           "}\n";

// The text of a module that carries the rules, again.
static void try_text(Module *m) {
  Buf once = {0}, twice = {0};
  module_print(m, &once);
  Module *n = module_parse(m->arena, m->names, m->diag, once.s, once.n, diag_add_file(m->diag, "m.ir", once.s, once.n));
  check(n && n->precision && n->precision->rule.n == m->precision->rule.n, "the text of rules is not accepted");
  module_print(n, &twice);
  check(once.n == twice.n && !memcmp(once.s, twice.s, once.n), "rules are others when they are read again");
  buf_free(&once);
  buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const name[] = {"", "weight", "layers.0.attn.q.weight", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t"};
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag diag;
  Buf out = {0};
  diag_init(&diag, &a);
  char *text = arena_alloc(&a, size + 1);
  if (size) memcpy(text, data, size);
  text[size] = 0;
  PrecisionSet *set = front_precision(&a, &names, &diag, "fuzz.precision", text, size, "fuzz");
  check((set != NULL) == (diag.errors == 0), "errors and result disagree");
  for (size_t i = 0; set && i < sizeof name / sizeof *name; i++) (void)precision_rule(set, name[i]);
  FrontOptions o = {.find = find};
  Module *m = set ? front_compile(&a, &names, &diag, "m.sy", page, sizeof page - 1, &o) : NULL;
  if (m) {
    PassOptions p = {.verify = true};
    m->precision = set;
    try_text(m);
    check(passes_run(m, &p) == (diag.errors == 0), "passes: errors and result disagree");
  }
  diag_print(&diag, &out, true);
  buf_free(&out);
  arena_free(&a);
  return 0;
}
