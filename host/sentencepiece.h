// sentencepiece.h - SentencePiece models of the kinds unigram (BEiT-3, XLM-R) and BPE (Llama, Gemma), read from their
// .model files.
//
// Text is normalised with the table of the model file (a double-array trie over UTF-8), blanks become U+2581, and the
// best scored sequence of pieces is found (Viterbi; Kudo, "Subword regularization", 2018), or neighbours are joined,
// the best scored piece first. What no piece covers is
// unknown, or falls back to bytes if the model has them. Equal to sentencepiece 0.1.97, bit for bit of its float
// scores. Read-only after loading.
//
//   HostSpm *m = host_spm_load("beit3.spm", &err);
//   host_spm_encode(m, "a photo", 7, &cut, &err);          // pieces "▁a" "▁photo", ids, spans of the input
#ifndef SWITCHYARD_HOST_SENTENCEPIECE_H
#define SWITCHYARD_HOST_SENTENCEPIECE_H

#include "common/must_use.h"
#include "bpe.h"

typedef struct HostSpm HostSpm;

typedef struct HostSpmPiece { // a piece of a text
  int32_t id;
  size_t at, n;      // its bytes in HostSpmCut.normalised
  size_t begin, end; // bytes of the input it stands for
} HostSpmPiece;
typedef struct HostSpmCut { // free with host_spm_cut_free
  char *normalised;
  size_t bytes;
  HostSpmPiece *piece;
  size_t n;
} HostSpmCut;

// NULL on error: unreadable, not a model, another kind.
SY_MUST_USE HostSpm *host_spm_load(const char *path, HostError *err);
SY_MUST_USE HostSpm *host_spm_load_memory(const void *bytes, size_t n, HostError *err);
void host_spm_free(HostSpm *m);

size_t host_spm_size(const HostSpm *m);
bool host_spm_is_byte(const HostSpm *m, int32_t id);      // a piece of byte fallback
const char *host_spm_piece(const HostSpm *m, int32_t id); // NULL outside the vocabulary

SY_MUST_USE bool host_spm_encode(const HostSpm *m, const char *text, size_t n, HostSpmCut *out, HostError *err);
// The text as normalisation alone leaves it: no U+2581, no prefix (the tool spm_normalize). malloc'd, NULL without
// memory.
SY_MUST_USE char *host_spm_normalise(const HostSpm *m, const char *text, size_t n, size_t *bytes);
void host_spm_cut_free(HostSpmCut *c);

// Text of ids; malloc'd. NULL if an id is outside the vocabulary.
SY_MUST_USE char *host_spm_decode(const HostSpm *m, const int32_t *id, size_t n, size_t *bytes, HostError *err);

// Ids of XLMRobertaTokenizer: <s> 0, <pad> 1, </s> 2, <unk> 3, pieces one further than in the model, <mask> last.
int32_t host_spm_to_xlmr(int32_t id);
int32_t host_spm_from_xlmr(int32_t id); // -1: a special id

#endif
