// training.h: which tensors of the checkpoint a program stores as they are, where, and what the outputs of its
// objectives are for whoever makes steps: facts for the tables of a module (image.c) and for syc itself.
#ifndef SY_TRAINING_H
#define SY_TRAINING_H

#include "program.h"

#include "runtime/engine/update.h"

typedef struct TrainingTensor {
  const char *name;           // in the checkpoint
  Type type;                  // there
  const PackedWeight *weight; // NULL: no route reads it, objectives assign it
  bool trained;
  uint64_t slot, next; // see mdl__stored; MDL__NONE
} TrainingTensor;
typedef struct TrainingOutput {
  unsigned kind;   // MDL__FOR_CALLER..
  uint32_t tensor; // index into Training.tensor
} TrainingOutput;
typedef struct TrainingObjective {
  size_t route;
  TrainingOutput *output; // of the route, one for each
} TrainingObjective;
typedef struct Training {
  VEC(TrainingTensor) tensor; // in the order of the weight file; those that lie there once, as they are
  VEC(TrainingObjective) objective;
  VEC(mdl__adapter) adapter;           // whose two factors are tensors here
  uint64_t slots, next_bytes, outputs; // outputs: the most of an objective
  uint64_t layout;                     // names where what is in the state
} Training;

// Can steps be made with it: are there objectives with gradients in place?
bool program_trains(const Program *p);
Training program_training(const Program *p, Arena *a);
mdl__stored training_stored(const Module *m, const TrainingTensor *t);
// Where the parts of the buffer of mdl_train_init lie (MDL__GRADIENTS..): the last is its size. To add gradients it
// takes training_add_bytes more.
void training_parts(const Program *p, const Training *t, uint64_t part[MDL__PARTS]);
uint64_t training_add_bytes(const Training *t);

#endif
