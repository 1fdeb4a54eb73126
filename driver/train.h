// train.h: what the files of `syc train` share.
//
//   train.c        the command: stage, data, state, the loop over steps
//   train_plan.c   groups of weights, batches of a step, --dry-run
//   train_files.c  the folder of a run: who is in it, checkpoints, going on
//   train_log.c    what is said: a bar, log.jsonl, log.csv, loss.svg
//   train_eval.c   losses and accuracy on data that are not trained on
#ifndef SY_TRAIN_H
#define SY_TRAIN_H

#include "data/batch.h"
#include "trainer.h"

#include <time.h>

enum { TRAIN_PARTS = 16 }; // losses that an objective gives at most, for the log

/* train_log.c
 * ---------------------------------------------------------------------------------------------------------------- */
typedef struct TrainLine { // of one step, or of an evaluation
  uint64_t step;
  double epoch, rate, norm;
  double loss[TRAIN_PARTS]; // means over the calls of the step
  double seconds;           // since the run or its continuation began
  double samples;           // a second
} TrainLine;
typedef struct TrainLog {
  Session *s;
  const char *dir;
  FILE *json, *csv;
  const char *part[TRAIN_PARTS]; // names
  size_t nparts;
  uint64_t steps; // of the whole run
  double shown;   // when something was said last, seconds
  bool bar;
  Arena lines; // what follows
  VEC(TrainLine) line;
  VEC(TrainLine) measured; // of evaluations: loss[0], and what was measured
  const char *measure[TRAIN_PARTS];
  size_t nmeasure;
} TrainLog;
// Opens the logs of a folder; those of later steps than `step`, of a run that was killed, are left out. False after
// reporting.
SY_MUST_USE bool train_log_open(TrainLog *l, uint64_t step);
SY_MUST_USE bool train_log_step(TrainLog *l, const TrainLine *x);
SY_MUST_USE bool train_log_measured(TrainLog *l, const TrainLine *x);
SY_MUST_USE bool train_log_close(TrainLog *l); // writes loss.svg

/* train_files.c
 * -------------------------------------------------------------------------------------------------------------- */
typedef struct TrainFolder {
  Session *s;
  const char *dir;
  int lock;
  bool goes_on; // there is a checkpoint of an earlier run in it
} TrainFolder;
// Takes the folder, or makes it; one without a checkpoint has no run yet. `about` says what decides the bits of the
// run: another text in a folder that is gone on with is an error which names the first line that differs. False after
// reporting.
SY_MUST_USE bool train_folder_open(TrainFolder *f, const Buf *about);
void train_folder_close(TrainFolder *f);
const char *train_path(Session *s, const TrainFolder *f, const char *name);

/* train_plan.c
 * --------------------------------------------------------------------------------------------------------------- */
typedef struct TrainGroup {
  StageShare share;
  size_t tensors;
  uint64_t elements;
} TrainGroup;
typedef struct TrainPlan {
  VEC(TrainGroup) group;
  unsigned char *group_of; // by trained tensor
  size_t trained, frozen;
  uint64_t trained_elements, frozen_elements;
  uint64_t rows, calls; // samples of a call; calls of a step for each objective
  uint64_t per_epoch;   // steps
  uint64_t steps;       // of the whole stage
} TrainPlan;
SY_MUST_USE bool train_groups(Session *s, const Stage *stage, const Trainer *t, TrainPlan *p);
void train_hypers(const Stage *stage, const TrainPlan *p, uint64_t step, sy_hyper *h);

/* train_eval.c
 * --------------------------------------------------------------------------------------------------------------- */
// The stage's objectives without gradients and draws, and where the page has it the route whose first output are scores
// of classes: "accuracy" is the share of samples whose label has the largest.
typedef struct TrainEval {
  Session *s;
  Check *c;
  const Stage *stage;
  Data *data;
  const Module *trained; // the module that is trained, the one compiled last
  BatchOptions options;  // of training
  // train_eval_open
  const Program *program;
  Runner run;
  const char *measure[TRAIN_PARTS]; // behind the loss
  size_t nmeasure;
  int route;      // that gives scores, -1: none
  unsigned label; // the objective's input that they are compared with
} TrainEval;
SY_MUST_USE bool train_eval_open(TrainEval *e);
// With the weights of a checkpoint: value[0] the mean loss over the samples, then what is measured. False after
// reporting.
SY_MUST_USE bool train_eval_run(TrainEval *e, const char *weights, double *value);
void train_eval_close(TrainEval *e);

#endif
