// plan.h: is the plan of a graph - its groups, rows and places - one that kernels can be made of?
//
// The passes from `fuse` on write a plan onto the values (`group`, `pitch`, `in`, `shift`, `at`). IR that is read back
// may say anything there, so the plan is proved before a kernel is made, as if an enemy had written it; what the passes
// themselves leave goes through the same proof. plan_groups.c looks at the groups, plan_storage.c at rows and places.
#ifndef SY_PLAN_H
#define SY_PLAN_H

#include "pass.h"

typedef enum PlanStage { // what is there, in the order of the pipeline
  PLAN_NONE,
  PLAN_GROUPS,  // after fuse: group
  PLAN_STORAGE, // after layout: pitch, in, shift
  PLAN_PLACES,  // after place: at
} PlanStage;

// How far a graph's plan is after the first n passes of the pipeline.
PlanStage plan_stage(size_t npasses);
// Takes away what lies behind `keep`. Returns how many values had some of it.
size_t plan_drop(Graph *g, PlanStage keep);

typedef struct PlanFault {
  uint32_t id; // of the value
  const char *why;
} PlanFault;
// remarks.c: reports of a finished plan what was fused, what was not and why, and why values lie where they do.
void plan_remarks(const Graph *g, PlanStage stage);
// Proves the plan up to a stage. False and the first fault (text in the module's arena or static).
SY_MUST_USE bool plan_verify(const Graph *g, PlanStage stage, PlanFault *fault);

/* between plan_groups.c and plan_storage.c */
typedef struct Plan {
  const Graph *g;
  Arena scratch;
  GroupList groups;
  // by value:
  const Group **group; // whose member it is, or NULL
  bool *packed;        // it is in the file of packed weights
  bool *outside;       // read outside its group, or an output
  uint32_t *uses;      // outputs count
  PlanFault *fault;
} Plan;
bool plan_fault(Plan *p, uint32_t id, const char *fmt, ...) SY_PRINTF(3, 4); // false
bool plan_is_stored(const Plan *p, uint32_t id);                             // root of a group, or a concat of them
SY_MUST_USE bool plan_check_groups(Plan *p);
SY_MUST_USE bool plan_check_storage(Plan *p);
SY_MUST_USE bool plan_check_places(Plan *p);

#endif
