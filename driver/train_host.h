// train_host.h: the training of a program that has no module of its own: the interpreter's, and those of other
// machines. It is runtime/engine/train.c on this side, with calls that somebody else makes and updates by the kernel
// interpreter: the same bits.
#ifndef SY_TRAIN_HOST_H
#define SY_TRAIN_HOST_H

#include "codegen/training.h"
#include "runtime/switchyard.h"

// A call of a route with the weights of `file`. Not SY_OK: it was refused.
typedef sy_status TrainCall(void *ud, size_t route, const size_t *dims, const void *file, size_t bytes,
                            const void *const *in, void *const *out);

// The functions for one program, which there is one of at a time. exec, max_isa and arena of their config mean nothing.
const sy_training *train_host(Arena *a, const Program *p, TrainCall *call, void *ud);
// From the order of the state to that of the checkpoint, row-major.
void train_rows(const Module *m, const TrainingTensor *t, const void *stored, void *rows);
void train_store(const Module *m, const TrainingTensor *t, const void *rows, void *stored); // back; what fills up stays

#endif
