// hf.h - tokenizer.json, the file of Hugging Face's `tokenizers`: text to ids and back.
//
// The file says all of it: how text is normalised and cut into words, the model that makes ids of words (BPE,
// WordPiece, Unigram, WordLevel), tokens that stand for themselves wherever they appear, what is put around a text, and
// how ids are spelled. Ids and texts are those of tokenizers 0.23; docs/tokenizers.md has the table of what is read and
// what is refused. What is not read is an error that names its place in the file; nothing is passed over.
//
// A file is hostile input: size, nesting, pieces and the steps of a regular expression are bounded. A HostHf is
// read-only after loading, so any number of threads may share it.
//
//   HostHf *t = host_hf_load_memory(bytes, n, &err);
//   host_hf_encode(t, "a cat", 5, true, &ids, &err);              // [CLS] a cat [SEP]
//   char *s = host_hf_decode(t, ids.id, ids.n, true, &bytes, &err); // a cat
#ifndef SWITCHYARD_HOST_HF_H
#define SWITCHYARD_HOST_HF_H

#include "common/must_use.h"
#include "host/bpe.h"

typedef struct HostHf HostHf;

// From the n bytes of a file, which may be freed afterwards. NULL on error.
SY_MUST_USE HostHf *host_hf_load_memory(const char *bytes, size_t n, HostError *err);
// From a vocab.json and the text of its merges.txt: byte-level BPE as GPT-2 and, if there are <s> and </s>, RoBERTa
// have it.
SY_MUST_USE HostHf *host_hf_load_merges(const char *vocab, size_t n, const char *merges, size_t m, HostError *err);
// From the n bytes of any of the JSON files of a tokenizer: tokenizer.json, vocab.json with merges.txt beside `path`,
// tokenizer_config.json with one of both beside it. path NULL: from memory, so that nothing lies beside it.
SY_MUST_USE HostHf *host_hf_load(const char *path, const char *bytes, size_t n, HostError *err);
void host_hf_free(HostHf *t);

size_t host_hf_size(const HostHf *t); // one more than the greatest id
// The id of a token as the file writes it, such as "[CLS]"; -1 if there is none. The token of an id; NULL: none.
int32_t host_hf_id(const HostHf *t, const char *token);
const char *host_hf_token(const HostHf *t, int32_t id, size_t *bytes);

typedef struct HostHfEnds { // what the post-processor puts around one text
  const int32_t *before, *after;
  size_t nbefore, nafter;
} HostHfEnds;
HostHfEnds host_hf_ends(const HostHf *t);
int32_t host_hf_pad(const HostHf *t); // the id of padding: the file's, or of a token that is called so; -1: none
size_t host_hf_longest(const HostHf *t, bool *left); // tokens that truncation leaves, and from which end; 0: any number
const char *host_hf_joins(const HostHf *t);          // what marks a piece that goes on with a word; NULL: nothing does
bool host_hf_pads_left(const HostHf *t);             // does the file pad in front of a text?
int host_hf_lowers(const HostHf *t); // does the normaliser put text into lower case? -1: it has no step that says so

// Ids of a text of n bytes (bytes that are no UTF-8 count as U+FFFD). special: as `encode(text)` of the library gives
// them, truncated, with the tokens around them and padded; otherwise the text's own, whatever their number. Free with
// host_ids_free. False: memory, a text above HOST_MAX_TEXT, a regular expression that takes too many steps, a character
// that a model without a token for the unknown does not have.
SY_MUST_USE bool host_hf_encode(const HostHf *t, const char *text, size_t n, bool special, HostIds *out,
                                HostError *err);

// Text of ids, malloc'd, as `decode(ids, skip_special_tokens)` of the library gives it: ids outside the vocabulary are
// left out.
SY_MUST_USE char *host_hf_decode(const HostHf *t, const int32_t *id, size_t n, bool skip_special, size_t *bytes,
                                 HostError *err);

#endif
