// fuzz_tokenizer.c - libFuzzer: a text and a tokenizer file of any kind. Whatever loads must encode the text within its
// own ids and the length asked for, and spell those ids again; ids taken from the text are words or an error.
//
//   flags (1 byte), text length (2 bytes, little-endian), text, file
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../host/tokenizer.h"

enum { ROUND = 1, CUT = 2, PAD = 4, FIX = 8, PLAIN_SPM = 16, EVERY_LOADER = 32, MAX_TEXT = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void require(bool ok) {
  if (!ok) abort();
}

// The file given to the loaders of other kinds too.
static void load_each(const char *file, size_t n) {
  HostError err;
  host_bpe_free(host_bpe_load_memory(file, n, &err));
  host_wordpiece_free(host_wordpiece_load_memory(file, n, &err));
  host_spm_free(host_spm_load_memory(file, n, &err));
}

static void check_ids(const HostTokenizer *t, const HostIds *ids, const HostTokenizerOptions *how) {
  require(!how->max_length || ids->n <= (how->max_length < how->pad_to ? how->pad_to : how->max_length));
  require(ids->n >= how->pad_to);
  for (size_t i = 0; i < ids->n; i++) require(ids->id[i] >= 0 && (size_t)ids->id[i] < host_tokenizer_size(t));
}

// Ids that no encoder made: every four bytes of the text, and the same within the vocabulary.
static void decode_any(const HostTokenizer *t, const char *text, size_t n, const HostTokenizerOptions *how) {
  int32_t id[64];
  size_t count = 0;
  for (size_t i = 0; i + 4 <= n && count + 2 <= 64; i += 4) {
    memcpy(&id[count], text + i, sizeof *id);
    id[count + 1] = (int32_t)((uint32_t)id[count] % (uint32_t)host_tokenizer_size(t));
    count += 2;
  }
  HostError err;
  size_t bytes;
  free(host_tokenizer_decode(t, id, count, how, &bytes, &err));
}

static void encode_and_decode(const HostTokenizer *t, const char *text, size_t n, uint8_t flags) {
  HostTokenizerOptions how = host_tokenizer_options(t);
  HostError err;
  HostIds ids;
  bool cut;
  size_t bytes = 0;
  if (!(flags & ROUND)) how.start = how.end = -1;
  if (flags & CUT) how.max_length = 1 + n / 4;
  if (flags & PAD) how.pad_to = 7;
  how.fix_text = flags & FIX;
  how.xlmr = !(flags & PLAIN_SPM);
  if (how.start < 0 || (size_t)how.start >= host_tokenizer_size(t)) how.start = -1;
  if (how.end < 0 || (size_t)how.end >= host_tokenizer_size(t)) how.end = -1;
  if (!host_tokenizer_encode(t, text, n, &how, &ids, &cut, &err)) return; // a table of the file made it too long
  require(!cut || how.max_length);
  check_ids(t, &ids, &how);
  char *s = host_tokenizer_decode(t, ids.id, ids.n, &how, &bytes, &err);
  require(s && !s[bytes]);
  free(s);
  host_ids_free(&ids);
  decode_any(t, text, n, &how);
  if (t->kind == HOST_SENTENCEPIECE) free(host_spm_normalise(t->spm, text, n, &bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  if (n < 3) return 0;
  size_t length = (size_t)bytes[1] | (size_t)bytes[2] << 8;
  if (length > n - 3) length = n - 3;
  if (length > MAX_TEXT) length = MAX_TEXT;
  const char *text = (const char *)bytes + 3, *file = text + length;
  HostError err;
  if (bytes[0] & EVERY_LOADER) load_each(file, n - 3 - length);
  HostTokenizer *t = host_tokenizer_load_memory(file, n - 3 - length, NULL, &err);
  if (!t) {
    require(memchr(err.text, 0, sizeof err.text) != NULL && err.text[0]);
    return 0;
  }
  encode_and_decode(t, text, length, bytes[0]);
  host_tokenizer_free(t);
  return 0;
}
