// lower_reduce.h: sums and maxima of many elements, with the same bits at every vector width. The definition:
//
//   Element i joins partial result p[i mod V], V = REDUCE_LANES, in ascending order of i; all p start at the identity.
//   Then the upper half of p joins the lower, until one is left: p[l] = p[l] + p[l + V/2] for l < V/2, V/4 and so on.
//
// A tail leaves the p it does not reach as they are. A row in several parts begins at p[0] with each of them. V is a
// multiple of every vector width, so V / lanes registers hold p, and the halves are joined register by register before
// the lanes of the last one. Elements that are not adjacent in memory join one result, one after the other.
//
//   V 32, 8 lanes:  acc0 += x[0..8)  acc1 += x[8..16)  acc2 += x[16..24)  acc3 += x[24..32)  acc0 += x[32..40) ..
//                   hadd((acc0 + acc2) + (acc1 + acc3))
#ifndef SY_LOWER_REDUCE_H
#define SY_LOWER_REDUCE_H

#include "lower_util.h"

enum {
  REDUCE_LANES = 32, // why 32: docs/decisions.md
  SCORE_LANES = 16, // of attention: dot products of single queries, and sums over keys, whose slots are multiples of 16
  REDUCE_VALUES = 2 // most values per element
};

// Leaves the values of `lanes` elements from column c on in value[]; n of them exist (lanes 1: n is 1).
typedef void LowerTerm(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, KVal *value, void *ud);

typedef struct Reduce {
  KOp join;  // K_add, K_max: each value is a term of its own; K_fma: the sum of the products of two values
  int terms; // results
  DType dtype;
  double identity;
  bool vectors; // elements may be read in vectors
  LowerTerm *term;
  void *ud;
  KBufRef tail[REDUCE_VALUES]; // scratch for the last elements of parts of run-time length; made when first needed
} Reduce;

// Walks all elements and leaves the results in out[]: scalars. A Reduce may be used again, for parts of the same
// bounds.
void lower_reduce(Lowering *lo, const Range *part, int parts, Reduce *r, KVal *out);

// Joins the upper half of n vectors to the lower until one is left, and then its lanes. Changes v[].
KVal lower_fold(Kernel *k, KOp join, KVal *v, int n);

#endif
