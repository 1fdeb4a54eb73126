// fuzz_safetensors.c - libFuzzer: no bytes may crash the checkpoint reader, and what it accepts must hold
// its promises.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../ckpt/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  StError err;
  StFile *f = st_open_memory(bytes, n, &err);
  if (!f) return 0;
  size_t total = 0;
  for (size_t i = 0; i < st_count(f); i++) {
    const StTensor *t = st_at(f, i);
    total += t->bytes;
    if ((const uint8_t *)t->data < bytes || (const uint8_t *)t->data + t->bytes > bytes + n) abort();
    if (t->foreign) continue;
    if ((uint64_t)st_elements(t) * st_dtype_size(t->dtype) != t->bytes) abort();
    if (st_find(f, t->name) != t || st_near(f, t->name) == NULL) abort();
    float x;
    bool read = t->bytes && st_to_f32(t, &x, (size_t)st_elements(t) - 1, 1);
    if (read != (t->bytes && st_dtype_is_float(t->dtype))) abort();
  }
  if (total > n) abort();
  st_near(f, "blk.0.ln.g");
  st_close(f);
  return 0;
}
