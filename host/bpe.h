// bpe.h - the byte-pair tokenizer of CLIP.
//
// The vocabulary is a text file of merges, plain or gzipped: a header line with "#version", then one merge "left right"
// a line, of which the first HOST_BPE_MERGES count. Both parts of a merge are bytes or made by an earlier line, so that
// no other text is taken for merges; those of GPT-2, which have spaces in front of words instead of </w>, are refused.
// Ids: 256 byte symbols, the same 256 with "</w>" (end of a word), one id a merge, <|startoftext|>, <|endoftext|>. For
// the published file that makes 49408 ids with 49406 and 49407 last.
//
// Encoding: host_clean_text (see text.h), split into special tokens, contractions ('s 't 're 've 'm 'll
// 'd), runs of letters, single numbers and runs of anything else; each piece's UTF-8 bytes are merged,
// best rank first. A piece of n bytes costs O(n log n). A HostBpe is read-only after loading, so any
// number of threads may share it.
//
//   HostBpe *bpe = host_bpe_load("bpe_simple_vocab_16e6.txt.gz", &err);
//   HostBpeOptions how = host_bpe_clip_options(bpe, 77);
//   HostIds ids = {0};
//   host_bpe_encode(bpe, "a photo of a cat", 16, &how, &ids, &err);  // 49406 320 1125 539 320 2368 49407 0 0 ...
//   host_ids_free(&ids);
//   host_bpe_free(bpe);
#ifndef SWITCHYARD_HOST_BPE_H
#define SWITCHYARD_HOST_BPE_H

#include "host.h"

enum { HOST_BPE_MERGES = 49152 - 256 - 2 };

typedef struct HostBpe HostBpe;

// Token ids; start from {0}.
typedef struct {
  int32_t *id; // malloc'd
  size_t n;
} HostIds;

typedef struct {
  int32_t start, end; // ids put around the text; -1 = none
  size_t max_length;  // longest result; the text is cut, `end` survives; 0 = no limit
  size_t pad_to;      // shortest result, filled with `pad` at the end
  int32_t pad;
  bool fix_text; // repair damaged text first (host_fix_text), as CLIP does when ftfy is installed
} HostBpeOptions;

// Loads a vocabulary file. NULL on error: unreadable, damaged gzip, no header, a line that is not a merge.
SY_MUST_USE HostBpe *host_bpe_load(const char *path, HostError *err);

// The same from n bytes of memory, which may be freed afterwards.
SY_MUST_USE HostBpe *host_bpe_load_memory(const void *bytes, size_t n, HostError *err);

void host_bpe_free(HostBpe *bpe);

// Number of ids. The last two are start and end of text.
size_t host_bpe_size(const HostBpe *bpe);

// What clip.tokenize(text, context_length, truncate=True) does: start and end ids around, cut and padded
// with 0 to `length`, text repaired.
HostBpeOptions host_bpe_clip_options(const HostBpe *bpe, size_t length);

// Ids of n bytes of UTF-8 (invalid bytes count as U+FFFD). *out is overwritten; free with host_ids_free.
SY_MUST_USE bool host_bpe_encode(const HostBpe *bpe, const char *text, size_t n, const HostBpeOptions *how,
                                 HostIds *out, HostError *err);

// Text of ids: symbols joined, "</w>" read as a space (so a text usually ends in one), invalid UTF-8 as
// U+FFFD. malloc'd with a zero byte behind; *bytes (may be NULL) receives the length. NULL if an id is
// outside the vocabulary.
SY_MUST_USE char *host_bpe_decode(const HostBpe *bpe, const int32_t *id, size_t n, size_t *bytes, HostError *err);

void host_ids_free(HostIds *ids);

#endif
