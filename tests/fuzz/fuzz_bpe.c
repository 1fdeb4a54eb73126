// fuzz_bpe.c - libFuzzer: the first byte chooses what the rest is: text to clean, repair, encode and decode
// with a tiny vocabulary, or a vocabulary file.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../host/bpe.h"

static const char tiny[] = "#version: tiny\nh e\nl l\nhe ll\nhell o</w>\na b\nab c\nx x\nxx xx\nÃ ©\n";

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  if (n == 0) return 0;
  bool vocabulary = bytes[0] & 1, fix = bytes[0] & 2;
  HostError err;
  HostBpe *b =
      vocabulary ? host_bpe_load_memory(bytes + 1, n - 1, &err) : host_bpe_load_memory(tiny, strlen(tiny), &err);
  if (!b) {
    if (!vocabulary) abort();
    return 0;
  }
  HostBpeOptions how = {.start = -1, .end = -1, .fix_text = fix};
  HostIds ids, again;
  if (!host_bpe_encode(b, (const char *)bytes + 1, n - 1, &how, &ids, &err)) abort();
  size_t len;
  char *text = host_bpe_decode(b, ids.id, ids.n, &len, &err);
  if (!text) abort();
  // What was decoded must be encodable again; the ids may differ (an entity may only now appear).
  if (!host_bpe_encode(b, text, len, &how, &again, &err)) abort();
  free(text);
  host_ids_free(&ids);
  host_ids_free(&again);
  host_bpe_free(b);
  return 0;
}
