//@ alone
// plan.h: the tables of a compiled model, as structs: what a route does step by step, the kernels of every instruction
// set, the parameters of kernels. The engine (engine.c) reads them; the compiler's printers fill them.
//
// MDL__MAX_ARGS and MDL__ARG_DIMS are the model's own numbers in a C module, the largest that any model has elsewhere.
//
//   static const vit__step vit__steps_classify[] = {{vit__k_map, {IN(0, 0), W(0), A(0, 0, 0)}, 602112.0}, ...};
#ifndef SY_ENGINE_PLAN_H
#define SY_ENGINE_PLAN_H

#include "model.h"

#define MDL_CONTEXT_BYTES 256u // room for the context at the start of the arena
#define MDL__MAX_ARGS 16       // MAX_KERNEL_ARGS of the compiler
#define MDL__ARG_DIMS 16       // MAX_DIMS of the compiler

typedef struct mdl__facts { // numbers of a model, which are macros in a C module
  uint64_t plan_hash, weights_bytes, weights_data, weights_count, shared_bytes, scratch_bytes, routes;
  uint64_t train_bytes, train_add_bytes; // 0: it is not trained
} mdl__facts;
//@ end
/* What a kernel gets: its operands and the run-time dims of the model. */
typedef struct mdl__args {
  void *p[MDL__MAX_ARGS];
  size_t dim[MDL__ARG_DIMS];
} mdl__args;

/* Operand of a step: where it is and how many bytes from there. In the arena: the number of its place, and where that
 * begins for the bounds of the dims. */
enum { MDL__AT_NONE, MDL__AT_ARENA, MDL__AT_WEIGHT, MDL__AT_IN, MDL__AT_OUT };
typedef struct mdl__operand {
  unsigned kind, index;
  uint64_t base, offset;
} mdl__operand;
typedef struct mdl__step { /* one launch of a kernel */
  unsigned kernel;
  mdl__operand arg[MDL__MAX_ARGS];
  double flops;
} mdl__step;

typedef struct mdl__extent { /* constant + factor * dims[dim] */
  int64_t constant, factor;
  unsigned dim;
} mdl__extent;
typedef struct mdl__check { /* row numbers that must be in 0 .. limit - 1 when step `step` begins */
  unsigned step, rank;
  mdl__operand ids;
  uint64_t stride[6]; /* elements */
  mdl__extent extent[6], limit;
} mdl__check;

typedef struct mdl__plan { /* what a route does */
  unsigned nstep, ncheck, ninput, noutput;
  unsigned dims;         /* bit j: run-time dim j is used */
  unsigned scale;        /* run-time dim, from 1, that the arena may shrink with; 0: none */
  unsigned nbase;        /* places in the arena */
  uint64_t shared_bytes; /* by the bounds */
  const mdl__step *step;
  const mdl__check *check;
} mdl__plan;

typedef struct mdl__slot { /* a kernel on one instruction set */
  void (*run)(const mdl__args *a, size_t task, void *scratch);
  size_t (*tasks)(const size_t *d);
  uint64_t cost; /* of one task: floating-point operations and memory, estimated */
} mdl__slot;
typedef struct mdl__isa_row {
  const char *name;
  unsigned rank;    /* larger is better */
  uint32_t need[8]; /* the words below (What this CPU can run) */
  const mdl__slot *slot;
  void (*probe)(const mdl__args *a, size_t task, void *scratch); /* for the self-test, and the checksum of its bits */
  uint64_t probe_sum;
} mdl__isa_row;

typedef struct mdl__cap { /* what max_isa may say; rank -2: that is of another family of processors */
  const char *name;
  int rank;
} mdl__cap;

/* Parameter of a kernel, for the self-test: 'i' read, 'o' written; element type; elements. */
typedef struct mdl__param {
  char role, dtype;
  uint64_t n;
} mdl__param;

/* Of the probe: numbers that it reads, and rows of as many that it writes, beside one of scalars and one of sums. */
enum { MDL__PROBE_N = 32, MDL__PROBE_ROWS = 12 };
//@ alone

#endif
//@ end
