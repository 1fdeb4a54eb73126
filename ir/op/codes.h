// codes.h: numbers as codes of 8 bits, four in a word of 32: rows of activations with a scale each, weights with a
// scale a column. Where which code lies is said here, once, for the operators, the pass `quantise` and the lowerings.
//
//   A row of K numbers becomes words: D = codes_depth(K) codes (zeros behind the K-th), word j holding those of columns
//   j, j + D/4, j + 2 D/4 and j + 3 D/4 in its bytes 0 to 3; behind them CODE_ROOM words, whose first has the bits of
//   the row's scale. So a vector of words is made of four vectors of the row, and nothing moves between lanes.
//   A weight [N,K] becomes panels [N/16, D/4, 16] of such words, a column of the panel in a lane.
//
//   scale = m / 127, m the greatest magnitude of the row (column); code = x * (127 / m) to the nearest whole number,
//   half to even. Rows are coded in f32 while the model runs, columns in double when weights are packed.
#ifndef SY_OP_CODES_H
#define SY_OP_CODES_H

#include "../graph.h"
#include "pack.h"

enum { CODE_MOST = 127, CODES_IN_WORD = 4, CODE_ROOM = 16, CODE_DEPTH = 64 };
#define CODE_LEAST 0x1p-100 // rows whose greatest magnitude is below it are zeros, with scale 0: 127 / m stays finite

static inline int64_t codes_depth(int64_t k) { // codes of a row: a multiple of what any target takes at once
  return (k + CODE_DEPTH - 1) / CODE_DEPTH * CODE_DEPTH;
}
static inline int64_t codes_words(int64_t k) { // words of a row that hold codes
  return codes_depth(k) / CODES_IN_WORD;
}

// The greatest k whose sums of products of codes stay below 2^31, with codes without a sign on one side (DOT_PLAIN).
enum { CODES_MOST_K = 66000 };

#endif
