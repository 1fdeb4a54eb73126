// fuzz_torch.c - libFuzzer: no bytes may crash the reader of PyTorch files. Bytes that are no archive are taken for a
// pickle, so that its opcodes are reached without a zip around them.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../ckpt/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void read_archive(const uint8_t *bytes, size_t n) {
  StError err;
  StFile *f = st_open_memory(bytes, n, &err);
  if (!f) return;
  volatile uint8_t sum = 0;
  for (size_t i = 0; i < st_count(f); i++) {
    const StTensor *t = st_at(f, i);
    if (t->foreign) continue;
    if ((uint64_t)st_elements(t) * st_dtype_size(t->dtype) != t->bytes) abort();
    if (st_find(f, t->name) != t) abort();
    for (size_t k = 0; k < t->bytes && k < 4096; k++) sum = (uint8_t)(sum + ((const uint8_t *)t->data)[k]);
    if (t->bytes) sum = (uint8_t)(sum + ((const uint8_t *)t->data)[t->bytes - 1]);
  }
  st_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  if (n >= 2 && bytes[0] == 'P' && bytes[1] == 'K') {
    read_archive(bytes, n);
    return 0;
  }
  StError err = {""};
  StPool pool = {.limit = 65536 + 160 * n};
  if (!pk_read(bytes, n, &pool, &err) && !err.text[0]) abort(); // an error has a message
  st_pool_free(&pool);
  return 0;
}
