// sentencepiece_bpe.h - the pieces of a SentencePiece model of the kind BPE (Llama, Gemma): the characters of a text,
// then neighbours joined to the piece of the greatest score, the leftmost first, until none of them is a piece.
// User-defined pieces are cut out first and stay as they are. O(n log n) for n bytes.
#ifndef SWITCHYARD_HOST_SENTENCEPIECE_BPE_H
#define SWITCHYARD_HOST_SENTENCEPIECE_BPE_H

#include "strmap.h"

typedef struct SpmBpe {
  const StrMap *pieces, *user;
  const uint32_t *rank; // by id: 0 for the greatest score, equal ones alike
  int32_t unknown;
} SpmBpe;
typedef struct SpmBest { // the piece that ends at a byte
  uint32_t start;        // UINT32_MAX: none
  float score;           // of the unigram kind: of all up to here
  int32_t id;
} SpmBest;

// Pieces of normalised text: those that are found at best[.] from best[n] on. False: no memory.
SY_MUST_USE bool spm_bpe(const SpmBpe *m, const char *s, size_t n, SpmBest *best);

#endif
