//@ alone
// model.h: the C interface of a compiled model, in the words of a model named `mdl`. syc makes the header of every
// model from this file: `mdl` becomes the model's prefix (codegen/template.h), and what differs from model to model
// stands where a line //@ NAME is. On its own it is the interface of the engine that is compiled ahead (alone.h).
//
// Invariants: only names that begin with the prefix; no dependency but <stddef.h> and <stdint.h>; C99, C11 and C++11.
//
//   mdl_status mdl_init(mdl_ctx **ctx, const mdl_config *config);    ->    vit_status vit_init(vit_ctx **ctx, ...);
#ifndef MDL_H_INCLUDED
#define MDL_H_INCLUDED
//@ end
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MDL_ABI_VERSION 2u /* of this interface; goes into mdl_config.abi */
#define MDL_ALIGN 64u      /* alignment of the arena and of the weights, bytes */
//@ sizes

typedef enum mdl_status {
  MDL_OK = 0,
  MDL_EINVAL,   /* a null pointer, an unknown route or instruction set */
  MDL_EABI,     /* mdl_config.abi is not MDL_ABI_VERSION */
  MDL_EPLAN,    /* the weight file was packed for another build of this model */
  MDL_EWEIGHTS, /* not a weight file, cut off, or damaged */
  MDL_EARENA,   /* the arena is too small */
  MDL_EALIGN,   /* the arena or the weights are not aligned to MDL_ALIGN */
  MDL_EISA,     /* no compiled instruction set can run here under the cap, or the cap is of another family */
  MDL_ESHAPE,   /* a run-time dim is out of its bounds */
  MDL_EINDEX,   /* an id is outside its table */
  MDL_ETEST,    /* mdl_selftest found different results */
  MDL_ENUMERIC, /* of training: a loss or a gradient is not finite */
  MDL_ECOMM     /* of training: another process cannot be reached */
} mdl_status;

/* How to run things in parallel. parallel_for calls task(arg, i) for each i < n, in any order and on any threads, and
 * returns when all are done; n is at most `threads`. NULL instead of a mdl_exec means one thread. The results have the
 * same bits for any number of threads. */
typedef struct mdl_exec {
  void (*parallel_for)(void *ud, size_t n, void (*task)(void *arg, size_t i), void *arg);
  void *ud;
  unsigned threads;
} mdl_exec;

typedef struct mdl_config {
  uint32_t abi;         /* MDL_ABI_VERSION */
  const void *weights;  /* the whole weight file, mapped or read, aligned to MDL_ALIGN; only read */
  size_t weights_bytes; /* MDL_WEIGHTS_BYTES */
  void *arena;          /* aligned to MDL_ALIGN; belongs to the context from mdl_init on */
  size_t arena_bytes;   /* MDL_ARENA_BYTES(threads), the macro of the one route that is called, or mdl_arena_bytes() */
  const mdl_exec *exec; /* copied; NULL: one thread */
  const char *max_isa;  /* instruction set ("portable", as in mdl_info): use nothing better; NULL: the best */
} mdl_config;

/* Lives at the start of the arena; there is nothing to free. One call at a time on one context; different contexts may
 * be used from different threads at once, and may share the weights. */
typedef struct mdl_ctx mdl_ctx;

/* What mdl_describe returns. */
typedef struct mdl_axis { /* extent = constant + factor * (run-time dim) */
  uint64_t constant, factor;
  int dim;        /* index into mdl_info.dim, -1: constant */
  uint64_t bound; /* largest extent; strides are products of bounds */
} mdl_axis;
typedef struct mdl_tensor {
  const char *name, *dtype; /* "f32", "i32", "bool" (one byte, 0 or 1), "f16" or "bf16" (bits) */
  unsigned rank;
  mdl_axis axis[6];
  uint64_t elements, bytes; /* of the caller's buffer, by bounds */
} mdl_tensor;
typedef struct mdl_route {
  const char *name;
  unsigned dims; /* bit j: run-time dim j is used */
  unsigned ninput, noutput, nstep;
  const mdl_tensor *input, *output;
  double flops; /* of one call, as estimated by the compiler */
  uint64_t arena_bytes;
} mdl_route;
typedef struct mdl_prepare { /* how a host may fill an input or show an output */
  const char *name, *kind, *options;
} mdl_prepare;
typedef struct mdl_bound {
  const char *name;
  uint64_t lo, hi; /* inclusive */
} mdl_bound;
/* A generate: its two routes, what their tensors are for, and how the page says that words are chosen. role and rule
 * are numbers of sy_role and sy_rule (switchyard.h): a state (role 5) of the step is in and out, and output `pair` of
 * the start gives it first; a kept input (6) is output `pair` of the start, a given one (7) is its input `pair`. */
typedef struct mdl_port {
  unsigned role, pair;
} mdl_port;
typedef struct mdl_generate {
  const char *name, *prompt;                                 /* prompt: what the words begin with; NULL: start_id */
  unsigned rule, width;                                      /* width: words of a step */
  unsigned start, step;                                      /* routes */
  const mdl_port *start_in, *start_out, *step_in, *step_out; /* one for each tensor */
  int64_t start_id, mask_id, end_id, pad_id;                 /* -1: the page says none */
  int64_t beams, longest, shortest;                          /* longest 0: as long as the words may be */
  double length_penalty, repetition_penalty;
} mdl_generate;
typedef struct mdl_info {
  const char *model;
  uint64_t plan_hash, weights_bytes, shared_bytes, scratch_bytes;
  unsigned ndim, nroute, nisa, nprepare;
  const mdl_bound *dim;
  const mdl_route *route;
  const char *const *isa; /* compiled instruction sets, worst first */
  const mdl_prepare *prepare;
  const char *built; /* with which preset, names and parameters: "preset=base, size=224, .." */
  unsigned ngenerate;
  const mdl_generate *generate;
} mdl_info;

/* The least arena for calls of a route (MDL_ROUTE_COUNT: of any) with these run-time dims, one value for each of the
 * model; NULL: with any. Less than MDL_ARENA_BYTES(threads) where a batch is smaller than it may be. */
size_t mdl_arena_bytes(unsigned route, const size_t *dims, unsigned threads);

/* Checks everything in the config, picks the instruction set, puts the context into the arena. */
mdl_status mdl_init(mdl_ctx **ctx, const mdl_config *config);
//@ routes

/* Any route by its number (MDL_ROUTE_...). dims: one value for each run-time dim of the model, in order; those that the
 * route does not use are ignored. in, out: as in the route's function. */
mdl_status mdl_call(mdl_ctx *ctx, unsigned route, const size_t *dims, const void *const *in, void *const *out);

const mdl_info *mdl_describe(void);
const char *mdl_isa(const mdl_ctx *ctx); /* the instruction set in use */
const char *mdl_strerror(int status);    /* one line; never NULL */

/* Compares the weights with their checksums (MDL_EWEIGHTS) and runs a part of every kernel on every compiled
 * instruction set that this CPU has, on the same numbers (MDL_ETEST). Overwrites the working part of the arena. */
mdl_status mdl_selftest(mdl_ctx *ctx);

//@ training
#ifdef MDL_TRACE
/* Calls fn after every kernel launch of a call, with its number in the route; fn may take the time. NULL: off. */
void mdl_set_trace(mdl_ctx *ctx, void (*fn)(void *ud, unsigned step, const char *kernel, double flops), void *ud);
#endif

#ifdef __cplusplus
}
#endif

#endif
