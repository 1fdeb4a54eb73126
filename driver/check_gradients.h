// check_gradients.h: `syc step --check-gradients`, `syc train --check-gradients`: see check_gradients.c.
#ifndef SY_CHECK_GRADIENTS_H
#define SY_CHECK_GRADIENTS_H

#include "trainer.h"

typedef struct GradientLoss { // an objective of the step, and the batch of its call
  const char *objective;      // name of its graph
  double factor;              // its loss counts so often in what the gradients are of
  const int64_t *dims;
  const void *const *in; // in the layout of a call, in the order of the graph's inputs
} GradientLoss;
typedef struct GradientCheck {
  Session *s;
  Trainer *t;               // its gradients are those at the weights of `weights`
  const Module *elaborated; // the same objectives before all passes
  Checkpoint *weights;      // what the step began with
  const GradientLoss *loss;
  size_t nloss;
  int64_t tries; // of each tensor
} GradientCheck;

// How many tries --check-gradients[=N] asks for; `absent` where it says no number. 0 after reporting.
SY_MUST_USE int64_t gradients_tries(Session *s, int64_t absent);
// Prints a line for each trained tensor, the largest difference first. False after reporting a tensor whose gradient is
// not that of the loss, or why nothing can be compared.
SY_MUST_USE bool gradients_check(const GradientCheck *c);

#endif
