// train_run.h: a run of `syc train` at work: what train.c and train_data.c share.
#ifndef SY_TRAIN_RUN_H
#define SY_TRAIN_RUN_H

#include "train.h"
#include "weights.h"

typedef struct TrainObjective { // of the stage, at work
  const Graph *graph;
  size_t at;             // of the program's routes
  const sy_route *route; // NULL: nothing is compiled (--dry-run)
  unsigned number;       // for sy_training
  Batches *batches;
  const void **in;
  void **out;
  int64_t dims[BATCH_DIMS]; // of the last batch
  int32_t *noise;           // the input of that role, or NULL
} TrainObjective;

typedef struct TrainRun {
  Session *s;
  Check c;
  Stage stage;
  Module *m;
  const Program *p;
  Checkpoint weights;
  Trainer t;
  TrainPlan plan;
  TrainFolder folder;
  TrainLog log;
  TrainEval eval;
  Data *data, *val;
  HostLabels labels;
  Ranks ranks;
  char last_words[2][600]; // of a run that a signal ends; one stands while the other is written
  BatchOptions how;
  TrainObjective *objective; // in the order of the stage
  double best;               // value of the best evaluation, NAN: there was none
  uint64_t worse, patience;  // evaluations since then; how many there may be, 0: any number
  double began;
  const char *about; // what decides the bits
} TrainRun;

// The sources of --data and --val, with their labels and shares. False after reporting.
SY_MUST_USE bool train_open_data(TrainRun *r);
// Objective i of the stage: its place in the program, its buffers, its batches from the step at hand on. False after
// reporting.
SY_MUST_USE bool train_open_objective(TrainRun *r, size_t i);
bool train_host_failed(TrainRun *r, const HostError *e); // reports; false

#endif
