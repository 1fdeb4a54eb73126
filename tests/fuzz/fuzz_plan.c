// fuzz_plan.c: graph IR as it is read back, from any pass on, through the rest of the passes, lowering, C text and a
// run. What is not right must be an error: no internal error, no kernel that touches what is not its own.
//
// The last byte of an input chooses the pass to begin with (`a` for the first, as --start-from would), or none: then
// `after` in the text decides. Seeds: small graphs after every pass. dict: ir
#include "fuzz_program.h"

#include <ctype.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
// Every other time one number of the text becomes another one: a group, a pitch, an offset, an operand, an extent.
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  if (seed & 1 || !size) return LLVMFuzzerMutate(data, size, max);
  size_t lo = (seed >> 2) % size;
  while (lo < size && !isdigit(data[lo])) lo++;
  size_t hi = lo;
  while (hi < size && isdigit(data[hi])) hi++;
  if (lo == size) return LLVMFuzzerMutate(data, size, max);
  static const unsigned few[] = {0, 1, 2, 3, 4, 8, 16, 32, 64, 128, 192, 256, 512, 1024, 4096, 65536};
  char number[24] = {0};
  memcpy(number, data + lo, hi - lo < sizeof number ? hi - lo : sizeof number - 1);
  unsigned have = (unsigned)strtoul(number, NULL, 10);
  int n = snprintf(number, sizeof number, "%u", seed & 2 ? few[(seed >> 8) % 16] : have + (seed >> 8) % 5 - 2);
  if (size - (hi - lo) + (size_t)n > max) return size;
  memmove(data + lo + n, data + hi, size - hi);
  memcpy(data + lo, number, (size_t)n);
  return size - (hi - lo) + (size_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  size_t from = (size_t)data[size - 1] - 'a', n = size - 1;
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  const char *text = arena_strndup(&a, (const char *)data, n);
  Module *m = module_parse(&a, &names, &d, text, n, diag_add_file(&d, "fuzz.ir", text, n));
  if (m && fuzz_values(m) <= FUZZ_VALUES) {
    PassOptions o = {
        .verify = true, .remarks = size & 2, .start_from = from < pass_count ? pass_list[from].name : NULL};
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
