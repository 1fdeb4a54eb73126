// trainer.h: steps of an objective: what is trained, its moments, and the weights that the next step reads.
//
//   Trainer t;
//   if (trainer_begin(s, &t, program, route, &checkpoint)) ...   // parameters as the checkpoint has them
//   WeightSource src = trainer_source(&t);                       // for the packer: parameters as they are now
//   trainer_update(&t, adamw, &h, out);                          // from the outputs of a call of the route
#ifndef SY_TRAINER_H
#define SY_TRAINER_H

#include "optimiser.h"
#include "weights.h"

typedef struct TrainParam {
  const char *name;
  Type type;
  size_t n;
  float *p, *m, *v; // dense, row-major
  size_t output;    // of the route: its gradient (trained), or what it holds after the step (a state)
  bool trained;
} TrainParam;

typedef struct Trainer {
  Session *s;
  const Program *program;
  size_t route;
  Checkpoint *from;
  WeightSource base; // of the checkpoint
  VEC(TrainParam) param;
  uint64_t step; // done
} Trainer;

// Takes the trained weights and states of the route from the checkpoint. False after reporting.
SY_MUST_USE bool trainer_begin(Session *s, Trainer *t, const Program *p, size_t route, Checkpoint *from);
WeightSource trainer_source(Trainer *t);
const TrainParam *trainer_param(const Trainer *t, const char *name); // NULL: it is neither trained nor a state
// One update from the outputs of a call, in the layout of the C API (parameters have no run-time dims: dense). A loss
// or gradient that is not finite changes nothing: false, and *bad is the first tensor that is not ("loss" or a weight).
// clip: the gradients are scaled down to this norm, 0 = never; *norm is what it was (may be NULL).
SY_MUST_USE bool trainer_update(Trainer *t, const sy_optimiser *o, sy_hyper h, double clip, void *const *out,
                                double *norm, const char **bad);
// "optimizer.m.NAME" (which = 0) or "optimizer.v.NAME": how a file calls a moment. trainer_begin takes them up.
const char *trainer_moment(Arena *a, const char *name, unsigned which);
// Packs the weights as they are now into `path`. False after reporting.
SY_MUST_USE bool trainer_pack(Trainer *t, const char *path);

#endif
