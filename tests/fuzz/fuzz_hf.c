// fuzz_hf.c - libFuzzer: a text and a tokenizer.json. What loads must encode the text or say why not, with and without
// what stands around it, into ids that it can spell; and any ids can be spelled.
//
//   text length (1 byte), text, file
// dict: json
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../host/hf/hf.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void require(bool ok) {
  if (!ok) abort();
}

static void encode(const HostHf *t, const char *text, size_t n, bool special) {
  HostError err = {.text = ""};
  HostIds ids;
  size_t bytes = 0;
  if (!host_hf_encode(t, text, n, special, &ids, &err)) {
    require(err.text[0] && memchr(err.text, 0, sizeof err.text) != NULL);
    return;
  }
  for (size_t i = 0; i < ids.n; i++) require(ids.id[i] >= 0 && (size_t)ids.id[i] < host_hf_size(t));
  char *s = host_hf_decode(t, ids.id, ids.n, special, &bytes, &err);
  require(s ? !s[bytes] : err.text[0] != 0); // a pattern of a decoder may take too many steps
  free(s);
  host_ids_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  if (n < 1) return 0;
  size_t length = bytes[0] < n - 1 ? bytes[0] : n - 1;
  const char *text = (const char *)bytes + 1;
  HostError err = {.text = ""};
  HostHf *t = host_hf_load(NULL, text + length, n - 1 - length, &err);
  if (!t) {
    require(err.text[0] && memchr(err.text, 0, sizeof err.text) != NULL);
    return 0;
  }
  encode(t, text, length, true);
  encode(t, text, length, false);
  int32_t id[64];
  size_t count = 0, most = 0;
  for (size_t i = 0; i + 4 <= length && count < 64; i += 4) memcpy(&id[count++], text + i, sizeof *id);
  for (size_t i = 0; i < 64 && i < host_hf_size(t); i++) most = i + 1;
  free(host_hf_decode(t, id, count, false, NULL, &err));
  for (size_t i = 0; i < most; i++) id[i] = (int32_t)i;
  free(host_hf_decode(t, id, most, false, NULL, &err));
  host_hf_free(t);
  return 0;
}
