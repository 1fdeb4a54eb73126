// mask.h - which patches and words a model has to guess. All are functions of their draws (random.h): with the draws
// that the authors' code logged they choose what it chose.
#ifndef SWITCHYARD_DATA_MASK_H
#define SWITCHYARD_DATA_MASK_H

#include "random.h"

/* patches ---------------------------------------------------------------------------------------------------------- */
// BEiT's blocks (beit/masking_generator.py): rectangles at random places until `count` of the patches are masked. A
// block has `least` patches or more and is `aspect` to 1/aspect as high as wide. Of v1 the last block may not fit, so
// that a few patches less are masked; exact (BEiT v2): random patches are masked or freed until it is `count`.
typedef struct MaskBlocks {
  size_t height, width;      // patches; height * width <= MASK_MOST
  size_t count, least, most; // most: of a block; 0: count
  double aspect;             // 0.3
  bool exact;
} MaskBlocks;
enum { MASK_MOST = 1 << 14 };
// mask[height * width], row by row: 1 = masked. Returns how many are.
size_t mask_blocks(const MaskBlocks *how, DataDraws *d, unsigned char *mask);

/* words ------------------------------------------------------------------------------------------------------------ */
typedef enum MaskRule {
  MASK_TOKENS, // ALBEF, ViLT: each token with probability `share`
  MASK_WHOLE,  // Hugging Face's collator of whole words (VLMo): words in random order, as long as they fit into the
               // number of tokens
  MASK_EXACTLY // BEiT-3's captions: that share of the tokens behind the first, at least one
} MaskRule;

// A masked token becomes `mask`, but for the share `kept`, which stays, and the share `random`, which becomes a random
// id of lowest .. vocab - 1.
typedef struct MaskWords {
  MaskRule rule;
  double share, kept, random;
  int32_t mask, lowest, vocab;
  const int32_t *spare; // ids that are never masked (not of MASK_EXACTLY)
  size_t nspare;
  // MASK_WHOLE: the authors pad to this length first, and padding counts: in the length of which the share is taken,
  // and among the words that are drawn. 0: only what is there counts.
  size_t padded;
} MaskWords;
// Masks ids[n], which have no padding, in place. labels[n]: the id at masked places, -100 elsewhere. joins[n]
// (MASK_WHOLE; may be NULL): the token goes on with the word of the one before. scratch: room for max(n, padded)
// numbers. Returns how many were masked; 0 happens.
size_t mask_words(const MaskWords *how, DataDraws *d, size_t n, int32_t *ids, int32_t *labels, const bool *joins,
                  uint32_t *scratch);

#endif
