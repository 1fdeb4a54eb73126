// model_facts.h: what the tables of a model (image.c), its header (emit_model_h.c) and the interpreter (run.c) need to
// know beside its steps: which run-time dims a route uses, which ids must be checked and when, what the kernels'
// parameters are.
//
// Invariant: all sides refuse exactly the same calls, because both read these facts and nothing else.
//
//   route vqa(image, text: i32[B, L])        dims used: B, L
//     embedding(table [64010, 768], text)    one check: ids of input 1, B x L of them, each in 0 .. 64009
#ifndef SY_MODEL_FACTS_H
#define SY_MODEL_FACTS_H

#include "program.h"

typedef struct IdCheck {
  uint32_t step;            // the check belongs before this step
  Operand at;               // the first id (i32)
  Val ids;                  // their value
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
// Every row number that the steps of a route read (Step.ids), equal ones once. First those that the caller or the
// weight file gives (`early`: before step 0, so that a refused call has written nothing), then those that a step
// computes, each before the first step that reads it.
IdChecks route_id_checks(const RouteProgram *route, Arena *a);
bool id_check_is_early(const IdCheck *c);

typedef struct ModelParam { // parameter of a kernel, for the self-test
  char role, dtype;         // 'i' read, 'o' written; 'f' f32, 'h' f16, 'y' bf16, 'i' i32, 'b' bool
  int64_t n;                // elements, for any target
} ModelParam;
size_t model_params(const Program *p, size_t kernel, ModelParam param[MAX_KERNEL_ARGS]);
uint64_t model_task_cost(const Kernel *k);              // of one task: operations and memory, estimated
void model_rank_order(const Program *p, size_t *order); // targets by rank, so that the last one that runs is the best

#endif
