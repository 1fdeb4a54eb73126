// fuzz_gguf.c - libFuzzer: no bytes may crash the reader of GGUF files, and what it accepts can be read to its end.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../ckpt/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void read_tensor(const StTensor *t) {
  float x[300];
  size_t total = (size_t)st_elements(t), most = total < 300 ? total : 300;
  if (t->foreign || !st_dtype_is_float(st_value_type(t))) {
    if (total && st_to_f32(t, x, 0, 1)) abort();
    return;
  }
  if (!st_to_f32(t, x, 0, most) || !st_to_f32(t, x, total - most, most)) abort();
  if (most > 9 && !st_to_f32(t, x, total / 2 - 4, 9)) abort();
  if (st_to_f32(t, x, total, 1)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  StError err = {""};
  if (n < 4 || memcmp(bytes, "GGUF", 4) != 0) return 0;
  StFile *f = st_open_memory(bytes, n, &err);
  if (!f && !err.text[0]) abort();
  if (!f) return 0;
  size_t total = 0;
  for (size_t i = 0; i < st_count(f); i++) {
    const StTensor *t = st_at(f, i);
    total += t->bytes;
    if ((const uint8_t *)t->data < bytes || (const uint8_t *)t->data + t->bytes > bytes + n) abort();
    if (st_find(f, t->name) != t) abort();
    read_tensor(t);
  }
  if (total > n) abort();
  for (size_t i = 0; i < st_meta_count(f); i++) {
    StValue v[16];
    const StMeta *m = st_meta_at(f, i);
    size_t k = st_meta_values(m, v, 16);
    volatile char last = 0;
    for (size_t j = 0; j < k; j++)
      if (v[j].kind == ST_META_TEXT && v[j].n) last = v[j].text[v[j].n - 1];
    (void)last;
    if (i < 64 && st_meta_find(f, m->key) != m) abort();
  }
  st_close(f);
  return 0;
}
