// train_measure.h: what train_measure.c and train_recall.c share.
#ifndef SY_TRAIN_MEASURE_H
#define SY_TRAIN_MEASURE_H

#include "train.h"

enum { MEASURE_LOSS = MEASURES };

typedef struct Measuring { // a pass over the data
  TrainEval *e;
  const TrainMeasure *x;
  const sy_route *r;
  unsigned number;  // of the route
  sy_tensor target; // what is right, behind the route's inputs
  unsigned output;  // of the route
  size_t shift;
  double score, n;
} Measuring;

const Port *measure_input(const Graph *g, const char *name);
size_t measure_largest(const float *x, size_t n); // place of the largest, of equal ones the first
unsigned measure_route(const TrainEval *e, const char *name);

void recall_look(TrainMeasure *x, const Module *m, const Graph *route, const Graph *objective);
bool recall_run(Measuring *c, double *value);

#endif
