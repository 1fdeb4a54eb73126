// fuzz_kernel_text.c: any bytes into kernel_parse. What parses must verify, print and parse back to the same text,
// print as C for every target of its width, and, if it is small, run in the interpreter, which ends in an abort if an
// access leaves its buffer: this is the test that the verifier's interval reasoning is sound. Build with
// -fsanitize=fuzzer,address,undefined; seeds in tests/fuzz/corpus/kernel_text/.
// dict: kir
#include "codegen/target.h"
#include "fuzz_kernel.h"

#include <stdlib.h>
#include <string.h>

static void run(const Kernel *k, Arena *a, const uint8_t *data, size_t size, bool greatest) {
  int64_t dims[MAX_DIMS] = {0};
  void **memory = ARENA_ARRAY(a, void *, k->buf.n);
  for (size_t i = 1; i < k->var.n; i++)
    if (k->var.at[i].kind == KV_DIM) dims[k->var.at[i].sym] = greatest ? k->var.at[i].hi : k->var.at[i].lo;
  for (size_t i = 1; i < k->buf.n; i++) {
    size_t bytes = (size_t)k->buf.at[i].n * dtype_info[k->buf.at[i].dtype].bytes;
    uint8_t *p = malloc(bytes); // of exactly this size, for the address sanitizer
    if (!p) abort();
    for (size_t b = 0; b < bytes; b++) p[b] = size ? data[(b * 7 + i) % size] : 0;
    memory[i - 1] = p;
  }
  kernel_interp(k, memory, dims, 0, kernel_tasks(k, dims));
  for (size_t i = 1; i < k->buf.n; i++) free(memory[i - 1]);
}

static void emit(Kernel *k, Buf *out) {
  for (size_t i = 0; targets[i]; i++) {
    if (k->lanes != targets[i]->lanes && k->lanes != 1) continue;
    Kernel copy = *k; // legalising replaces the list of instructions
    kernel_legalise(&copy, targets[i]->has_fma);
    const char *why;
    if (!kernel_verify(&copy, &why)) abort();
    emit_c_kernel(&copy, targets[i], &(EmitC){"fuzz", "kernel", NULL, NULL}, out);
    emit_c_tasks(&copy, out);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Arena a = {0};
  Diag d = {0};
  Buf first = {0}, second = {0}, c = {0};
  const char *why;
  char *text = arena_strndup(&a, (const char *)data, size);
  Kernel *k = fuzz_kernel_parse(&a, &d, text, size);
  if (!k) {
    if (!d.errors) abort(); // a failure must be explained
    diag_print(&d, &first, false);
  } else {
    if (d.errors || !kernel_verify(k, &why)) abort();
    kernel_print(k, &first);
    Kernel *again = fuzz_kernel_parse(&a, &d, first.s, first.n);
    if (!again) abort();
    kernel_print(again, &second);
    if (strcmp(first.s, second.s) != 0) abort();
    if (fuzz_kernel_small(k)) {
      run(k, &a, data, size, false);
      run(k, &a, data, size, true);
    }
    emit(k, &c);
  }
  buf_free(&first);
  buf_free(&second);
  buf_free(&c);
  arena_free(&a);
  return 0;
}
