// train.h: what the files of `syc train` share.
//
//   train.c        the command: stage, state, the loop over steps (a run: train_run.h)
//   train_data.c   its sources, and what each objective takes of them
//   ranks.c        the processes that share a step, where there are several
//   train_plan.c   groups of weights, batches of a step, --dry-run
//   train_files.c  the folder of a run: who is in it, checkpoints, going on
//   train_log.c    what is said: a bar, log.jsonl, log.csv, an event file (train_events.c)
//   train_page.c   loss.svg and index.html (train_chart.c)
//   train_eval.c   losses on data that are not trained on
//   train_measure.c  what else is measured there: accuracy, VQA score, recall, words
//   train_recall.c   recall
#ifndef SY_TRAIN_H
#define SY_TRAIN_H

#include "data/batch.h"
#include "ranks.h"
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
  double memory;            // of the process, MB
} TrainLine;
typedef struct TrainLog {
  Session *s;
  const char *dir;
  FILE *json, *csv, *events;
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
SY_MUST_USE bool train_log_close(TrainLog *l);

/* train_page.c
 * --------------------------------------------------------------------------------------------------------------- */
struct TrainEval;
// loss.svg and index.html: the curves so far, and what the last evaluation shows. `about`: what decides the bits, as in
// run.txt. False after reporting.
SY_MUST_USE bool train_page(const TrainLog *l, const struct TrainEval *e, const char *about);

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
  uint64_t own, first;  // .. of this process: how many, from which on
  uint64_t per_epoch;   // steps
  uint64_t steps;       // of the whole stage
} TrainPlan;
SY_MUST_USE bool train_groups(Session *s, const Stage *stage, const Trainer *t, TrainPlan *p);
void train_hypers(const Stage *stage, const TrainPlan *p, uint64_t step, sy_hyper *h);

/* train_eval.c, train_measure.c
 * ---------------------------------------------------------------------------------------------------------------- */
enum { MEASURES = 4, MEASURE_ROUTES = 2 };
// What is measured on the data of --val beside the loss, by a route of the page.
typedef struct TrainMeasure {
  const struct MeasureInfo *info;    // NULL: not asked for
  bool asked;                        // by the user or the stage; else it is there if the page has its route
  int fit[MEASURE_ROUTES];           // of the routes found; 0: none
  const char *route[MEASURE_ROUTES]; // names
  const char *target;                // the input of the objective that says what is right, or NULL
  size_t column;                     // of its first value in TrainEval.measure
} TrainMeasure;
typedef struct TrainShown { // an answer of the last evaluation
  uint32_t sample;
  int32_t right, given; // classes or answers; right -1: the data say it otherwise
  double worth;         // 1: right
} TrainShown;
enum { TRAIN_SHOWN = 16, MOST_CLASSES = 1000 };
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
  const char *measure[TRAIN_PARTS]; // columns behind the loss
  size_t nmeasure;
  TrainMeasure what[MEASURES];
  Arena shown_arena;
  TrainShown shown[TRAIN_SHOWN]; // of the last evaluation
  size_t nshown, classes;
  uint32_t *confused; // [classes, classes]: how often this class was taken for that one; NULL: not counted
  size_t best; // the value by which the best weights are chosen: 0 the loss, else a column and the larger the better
} TrainEval;
// The stage's objectives without gradients and draws, and the routes that are measured. False after reporting.
SY_MUST_USE bool train_eval_open(TrainEval *e);
// With the weights of a checkpoint: value[0] the mean loss over the samples, then what is measured. False after
// reporting.
SY_MUST_USE bool train_eval_run(TrainEval *e, const char *weights, double *value);
void train_eval_close(TrainEval *e);
bool train_eval_better(const TrainEval *e, double value, double than);
// All batches of the data for the inputs of a route or objective, with those samplers of the stage that make them.
// False after reporting, or what `each` says.
typedef bool TrainEach(void *ud, const Batch *b, Arena *a);
SY_MUST_USE bool train_eval_batches(TrainEval *e, const BatchWants *wants, size_t pick, TrainEach *each, void *ud);
// A call of a route with the first inputs of a batch. NULL after reporting; else its outputs, in the arena.
void **train_eval_call(TrainEval *e, unsigned route, const Batch *b, Arena *a);

// Which of the measures are wanted, by the options or the stage. False after reporting.
SY_MUST_USE bool measures_wanted(TrainEval *e);
// Looks whether a route of the page is what a measure needs, for these objectives.
void measures_look(TrainEval *e, const Module *m, const Graph *route, const Graph *const *objective, size_t n);
SY_MUST_USE bool measures_found(TrainEval *e); // names the columns. False after reporting what was not found
SY_MUST_USE bool measures_run(TrainEval *e, double *value);

#endif
