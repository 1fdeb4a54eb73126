// check_gradients.h: `syc step --check-gradients`: see check_gradients.c.
#ifndef SY_CHECK_GRADIENTS_H
#define SY_CHECK_GRADIENTS_H

#include "trainer.h"

typedef struct GradientCheck {
  Session *s;
  Trainer *t;                   // its gradients are those at the weights of `weights`
  const Module *elaborated;     // the same objective before all passes
  Checkpoint *weights, *inputs; // what the step began with, the batch
  const int64_t *dims;
  const int32_t *noise; // of an objective that draws
  int64_t tries;        // of each tensor
} GradientCheck;

// Prints a line for each trained tensor. False after reporting a tensor whose gradient is not that of the loss, or why
// nothing can be compared.
SY_MUST_USE bool gradients_check(const GradientCheck *c);

#endif
