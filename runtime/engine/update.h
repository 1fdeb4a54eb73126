//@ alone
// update.h: what the kernels of updates take (codegen/update.c), and the tables of a module that can be trained.
#ifndef SY_ENGINE_UPDATE_H
#define SY_ENGINE_UPDATE_H

#include "train.h"

//@ end
/* Kernels of updates: p a parameter, m and v its moments, g its gradient, h numbers (below); n elements each. The first
 * are those of mdl_optimiser.
 *   adamw, adamw_hf (p m v g h)  sgd (p m g h)  lamb (p m v g h): g becomes the step
 *   move (p g h): p -= h[RATE] g      add (p g): p += g      average (p g h): p = h[KEEP] p + h[RATE] g */
enum { MDL__UPDATE_MOVE = MDL_OPTIMISERS, MDL__UPDATE_ADD, MDL__UPDATE_AVERAGE, MDL__UPDATES };
/* Places of h. */
enum {
  MDL__H_SCALE,
  MDL__H_BETA1,
  MDL__H_REST1,
  MDL__H_BETA2,
  MDL__H_REST2,
  MDL__H_EPS,
  MDL__H_RATE,
  MDL__H_DECAY,
  MDL__H_KEEP,
  MDL__H_ROOT, /* adamw: of the second moment's correction */
  MDL__H_C1,   /* lamb: corrections of the moments */
  MDL__H_C2,
  MDL__H_COUNT
};

enum { MDL__SQUARES = 4096 }; /* elements of a partial sum of squares */

/* Tables of a module that can be trained. */
#define MDL__NONE UINT64_MAX
typedef struct mdl__entry { /* of the weight file */
  uint64_t offset, bytes, type;
} mdl__entry;
typedef struct mdl__stored { /* a tensor of the checkpoint, and where it is */
  mdl_trained about;
  uint64_t offset;      /* into the data of the weight file; MDL__NONE: behind its next value */
  uint64_t slot;        /* of its gradient and moments, in elements; MDL__NONE: it has none */
  uint64_t next;        /* into the next values; MDL__NONE: no objective assigns it */
  uint64_t bytes;       /* as it is stored */
  int turned;           /* panels: of a matrix [k][n] */
  uint64_t outer, n, k; /* panels: matrices of n columns and depth k; else rows of n, and k is 1 */
  uint64_t panel;       /* columns of a panel; 0: rows */
  uint64_t pitch;       /* elements from matrix to matrix or from row to row */
} mdl__stored;
enum { MDL__FOR_CALLER, MDL__IS_GRADIENT, MDL__IS_NEXT };
typedef struct mdl__adapter { /* of a matrix of the checkpoint: scale B A is added to it, A [rank][k], B [n][rank] */
  const char *name;           /* of the matrix, [n][k]; turned: [k][n] */
  unsigned a, b;              /* of the stored */
  int turned;
  uint64_t n, k, rank;
  double scale;
} mdl__adapter;
typedef struct mdl__left { /* an output of an objective */
  unsigned kind, stored;
} mdl__left;
typedef struct mdl__objective {
  unsigned route, noutput;
  const mdl__left *output;
} mdl__objective;
/* Parts of the state, in their order, behind MDL__TRAIN_HEADER bytes of mdl_train and the weight file: gradients,
 * moments, what objectives assign, partial sums, addresses of a call; where it ends, or gradients of a second batch. */
enum { MDL__GRADIENTS, MDL__MOMENTS1, MDL__MOMENTS2, MDL__NEXT, MDL__PARTIAL, MDL__OUT, MDL__ADDED, MDL__PARTS };
enum { MDL__TRAIN_HEADER = 4096 };
typedef struct mdl__training {
  unsigned nstored, nobjective, nadapter;
  unsigned update;  /* the first of the kernels */
  uint64_t slots;   /* elements of the gradients */
  uint64_t part[7]; /* MDL__PARTS: bytes from the start of the state */
  uint64_t layout;  /* names where what is in the state */
} mdl__training;

//@ alone

#endif
