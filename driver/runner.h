// runner.h: a compiled model in this process, made by the back end that was asked for.
#ifndef SY_RUNNER_H
#define SY_RUNNER_H

#include "check.h"
#include "runtime/switchyard.h"

typedef struct Runner {
  const sy_model *model;
  void *handle, *lib; // of the model
  sy_pool *pool;      // runner_start
  void *arena, *ctx;
  sy_map weights;
} Runner;

// Compiles, or takes from the cache, and loads. False after reporting.
SY_MUST_USE bool runner_load(Runner *r, Check *c, const Program *p);
// Makes a context with a file of packed weights. False after reporting.
SY_MUST_USE bool runner_start(Runner *r, Check *c, const char *weights);
void runner_stop(Runner *r);  // ends the context
void runner_close(Runner *r); // and gives the model back

#endif
