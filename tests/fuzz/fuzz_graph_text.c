// fuzz_graph_text.c: any bytes into module_parse. What parses must verify, and print -> parse -> print must be the
// identity. Build with -fsanitize=fuzzer,address,undefined; seeds in tests/fuzz/corpus/graph_text/.
// dict: ir
#include "ir/graph.h"

#include <stdlib.h>
#include <string.h>

static Module *parse(Arena *a, Diag *d, const char *text, size_t n) {
  diag_init(d, a);
  Intern *names = ARENA_NEW(a, Intern);
  names->arena = a;
  uint32_t file = diag_add_file(d, "fuzz.gir", text, n);
  return module_parse(a, names, d, text, n, file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Arena a = {0};
  Diag d = {0};
  Buf first = {0}, second = {0};
  const char *why;
  char *text = arena_strndup(&a, (const char *)data, size);
  Module *m = parse(&a, &d, text, size);
  if (!m) {
    if (!d.errors) abort(); // a failure must be explained
    diag_print(&d, &first, false);
  } else {
    if (d.errors || !module_verify(m, &why)) abort();
    module_print(m, &first);
    Module *again = parse(&a, &d, first.s, first.n);
    if (!again) abort();
    module_print(again, &second);
    if (strcmp(first.s, second.s) != 0) abort();
    for (size_t i = 0; i < again->graph.n; i++) {
      graph_dce(again->graph.at[i]);
      graph_compact(again->graph.at[i]);
    }
    if (!module_verify(again, &why)) abort();
  }
  buf_free(&first);
  buf_free(&second);
  arena_free(&a);
  return 0;
}
