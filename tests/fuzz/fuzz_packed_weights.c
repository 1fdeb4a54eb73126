// fuzz_packed_weights.c: no bytes may crash the reader of packed weight files, and what it accepts lies inside the
// file.
#include "runtime/weights_format.h"

#include <stddef.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  sy_weights_header h;
  if (sy_weights_problem(bytes, n, &h)) return 0;
  if (h.data_offset + h.data_bytes != n) abort();
  for (uint64_t i = 0; i < h.count && i < 1000; i++) {
    sy_weights_entry e;
    const void *data;
    if (sy_weights_find(bytes, &h, i, &e, &data)) continue;
    const uint8_t *at = data;
    if (at < bytes || e.bytes > n || at > bytes + n - e.bytes) abort();
    volatile uint64_t sum = sy_weights_checksum(data, e.bytes);
    (void)sum;
  }
  return 0;
}
