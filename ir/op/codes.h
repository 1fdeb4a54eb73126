// codes.h: numbers as codes of 8 bits, four in a word of 32: rows of activations with a scale each, weights with a
// scale a column. Where which code lies is said here, once, for the operators, the pass `quantise` and the lowerings.
//
//   A row of K numbers becomes words: D = codes_depth(K) codes (zeros behind the K-th). Of each group of 64 columns
//   word j of 16 holds those of columns j, j + 16, j + 32 and j + 48 in its bytes 0 to 3. So a vector of words is made
//   of four vectors of the row, and nothing moves between lanes. Behind them are CODE_ROOM words, whose first has the
//   bits of the row's scale. A weight [N,K] becomes panels [N/16, D/4, 16] of such words, a column of the panel in a
//   lane.
//
//   scale = m / 127, m the greatest magnitude of the row (column); code = x * (127 / m) to the nearest whole number,
//   half to even. Rows are coded in f32 while the model runs, columns in double when weights are packed.
//
// Weights of four bits have a scale for each group of 64 columns of k:
//   A weight [N,K] becomes panels [N/16, D/8, 16]: word j of 8 of a group has in the lower halves of its bytes what
//   word j would have there, in the upper ones what word j + 8 would; of a code q in -8..7 it has q + 8. Its scales,
//   which bf16 has exactly, are panels [N/16, D/64, 16]. Behind the room of a row lie two halves of 16 bits for each
//   group (filled up to a multiple of CODE_ROOM words): -8 times the sum of the codes in bytes 0 and 1 of its words,
//   and the same of bytes 2 and 3. What a sum of products of q + 8 begins with to be that of q. Half a group's products
//   of q have a sum that 16 bits hold: 32 * 8 * 127 < 2^15.
#ifndef SY_OP_CODES_H
#define SY_OP_CODES_H

#include "../graph.h"
#include "pack.h"

enum { CODE_MOST = 127, CODES_IN_WORD = 4, CODE_ROOM = 16, CODE_DEPTH = 64, CODE_GROUP = 64 };
enum { GROUP_WORDS = CODE_GROUP / CODES_IN_WORD, CODE4_LEAST = -8, CODE4_MOST = 7 };
_Static_assert(CODE_GROUP / 2 * -CODE4_LEAST * CODE_MOST < 1 << 15, "a sum of half a group fits into 16 bits");
#define CODE_LEAST 0x1p-100 // rows whose greatest magnitude is below it are zeros, with scale 0: 127 / m stays finite

static inline int64_t codes_depth(int64_t k) { // codes of a row: a multiple of what any target takes at once
  return (k + CODE_DEPTH - 1) / CODE_DEPTH * CODE_DEPTH;
}
static inline int64_t codes_words(int64_t k) { // words of a row that hold codes
  return codes_depth(k) / CODES_IN_WORD;
}
static inline int64_t codes_group_words(int64_t k) { // words behind the room, of a row with sums of its groups
  return (codes_depth(k) / CODE_GROUP + CODE_ROOM - 1) / CODE_ROOM * CODE_ROOM;
}

// What the products of a precision are of (ir/precisions.def), and what an instruction set may have a way of its
// own for: the numbers themselves, codes of 8 bits, pairs of bf16 (pairs.h).
typedef enum ProductsOf { PRODUCTS_f32, PRODUCTS_codes, PRODUCTS_pairs } ProductsOf;

// The greatest k whose sums of products of codes stay below 2^31, with codes without a sign on one side (DOT_PLAIN).
enum { CODES_MOST_K = 66000 };

#endif
