// pairs.h: numbers as bf16, two in a word of 32, for products whose operands are bf16 and whose sums are f32. Where
// which number lies, and in which order sums are added, is said here, once, for the operators, the pass `quantise` and
// the lowerings.
//
//   A row of K numbers becomes pairs_words(K) words: word j holds column 2 j in its lower half and 2 j + 1 in its upper
//   one, zeros behind the K-th. A weight [N,K] becomes panels [N/16, words, 16], a column of the panel in a lane.
//
//   A number becomes the nearest bf16, half to even, a NaN stays one; below 2^-56 it becomes a zero with its sign.
//   A sum begins at 0 and goes through the words in order; of each it adds the product of the upper halves first, then
//   that of the lower, and is rounded to f32 each time.
//
// So it is the same on every machine: a product of two bf16 has 16 bits and is exact in f32, therefore fma, or a
// multiplication and a sum, give the same; vdpbf16ps adds in this order; and with nothing but zeros below 2^-56 every
// product and every sum is a multiple of 2^-126, so that none is ever among the numbers that this instruction takes for
// 0. That holds while sums stay below 2^128, which numbers below 2^63 in rows of any practicable length do.
#ifndef SY_OP_PAIRS_H
#define SY_OP_PAIRS_H

#include "../graph.h"
#include "pack.h"

enum { PAIR_DEPTH = 32 }; // numbers of a row: a multiple of what any target takes at once
#define PAIR_LEAST 0x1p-56

static inline int64_t pairs_depth(int64_t k) {
  return (k + PAIR_DEPTH - 1) / PAIR_DEPTH * PAIR_DEPTH;
}
static inline int64_t pairs_words(int64_t k) {
  return pairs_depth(k) / 2;
}

#endif
