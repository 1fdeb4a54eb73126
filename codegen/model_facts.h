// model_facts.h: what the printers of a model (emit_model*.c as C, llvm/ as LLVM IR) and the interpreter (run.c) need
// to know beside its steps: which run-time dims a route uses, which ids of the caller must be checked before anything
// runs, what the kernels' parameters are.
//
// Invariant: all sides refuse exactly the same calls, because both read these facts and nothing else.
//
//   route vqa(image, text: i32[B, L])        dims used: B, L
//     embedding(table [64010, 768], text)    one check: ids of input 1, B x L of them, each in 0 .. 64009
#ifndef SY_MODEL_FACTS_H
#define SY_MODEL_FACTS_H

#include "program.h"

typedef struct IdCheck {
  uint32_t input;           // number of the route's input that holds the ids (i32)
  int64_t offset;           // first id, in elements of the input's buffer
  int rank;                 // axes of ids to look at
  Dim extent[MAX_RANK];     // run-time extents
  int64_t stride[MAX_RANK]; // elements; 0 on broadcast axes
  Dim limit;                // ids must be in 0 .. limit - 1
} IdCheck;
typedef struct IdChecks {
  VEC(IdCheck) list;
} IdChecks;

// Bit j is set if a live value of the graph uses run-time dim j.
uint32_t graph_dims_used(const Graph *g);
// The data-dependent reads whose ids come from an input, through views only. Equal checks are listed once. Ids on an
// axis of several run-time segments are not listed (kernels clamp every id, so that nothing outside is ever read).
IdChecks graph_id_checks(const Graph *g, Arena *a);

typedef struct ModelParam { // parameter of a kernel, for the self-test
  char role, dtype;         // 'i' read, 'o' written; 'f' f32, 'h' 16 bits, 'i' i32, 'b' bool
  int64_t n;                // elements, for any target
} ModelParam;
size_t model_params(const Program *p, size_t kernel, ModelParam param[MAX_KERNEL_ARGS]);
uint64_t model_task_cost(const Kernel *k);              // of one task: operations and memory, estimated
void model_rank_order(const Program *p, size_t *order); // targets by rank, so that the last one that runs is the best

#endif
