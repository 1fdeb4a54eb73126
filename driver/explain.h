// explain.h: what `syc explain` knows of a model; explain.c prints it as text, explain_json.c as JSON.
#ifndef SY_EXPLAIN_H
#define SY_EXPLAIN_H

#include "common/must_use.h"
#include "weights.h"

typedef struct KernelSum { // launches of one kernel in a route
  uint32_t kernel;
  const char *name;
  size_t calls;
  double flops, bytes;
} KernelSum;
typedef struct RouteFacts {
  const RouteProgram *program;
  const FrontRoute *listed; // NULL if the listing does not have it
  const char *about;
  VEC(KernelSum) kernel; // most work first
  double flops, bytes;
} RouteFacts;
typedef struct WeightSum {
  size_t count;
  int64_t parameters, statistics; // statistics: running means and variances, which nobody counts as parameters
  const char *example;            // a name, NULL if there are none
} WeightSum;
typedef struct Facts {
  Session *s;
  const FrontModel *model; // NULL if the listing does not have it
  const FrontPreset *preset;
  Defines preset_args;
  Program *program;
  WeightNames whole, used; // of the whole model, of the routes selected
  int64_t dims[MAX_DIMS];  // that figures are for
  VEC(RouteFacts) route;
} Facts;

typedef struct StepFacts {                 // of an objective with gradients
  double forward, backward, again, update; // operations
  size_t kept;                             // values that lie in the arena for the backward pass
  int64_t kept_bytes, state_bytes;
} StepFacts;

SY_MUST_USE bool facts_gather(Session *s, const char *spec, Facts *f); // false after reporting
const char *facts_parameter(const Facts *f, const FrontParam *p);      // source text of its value
// Count and size of the weights; with an infix only those whose path has it as a segment.
WeightSum facts_sum(const Facts *f, const WeightNames *w, const char *infix);

// explain_plan.c: tensors and steps of a route, and the packed weights, into JSON objects.
void explain_route_plan(const Facts *f, const RouteProgram *r, Json *j);
void explain_packed(const Facts *f, Json *j);

// explain_precision.c: with --precision, what each product is in and is expected to gain where it runs
void explain_precision(const Facts *f, const RouteProgram *r);
void explain_precision_json(const Facts *f, const RouteProgram *r, Json *j);

// explain_stage.c: the stages of training, as text and as a JSON array
void explain_stages(const Facts *f);
void explain_stages_json(const Facts *f, Json *j);

// explain_step.c: false: no gradients. The others then print nothing.
bool explain_step(const Facts *facts, const RouteProgram *r, StepFacts *f);
void explain_step_print(const Facts *facts, const RouteProgram *r);
void explain_step_json(const Facts *facts, const RouteProgram *r, Json *j);

// The facts as JSON to a file, "-" for standard output. False after reporting.
SY_MUST_USE bool explain_json(Session *s, const char *spec, const char *out);

#endif
