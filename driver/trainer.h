// trainer.h: a training at work: the state with weights, gradients, moments and what objectives assign, in the compiled
// model where there is one, else on this side (train_host.h), and how it goes to and comes from checkpoints.
//
//   Trainer t = {.s = s, .program = p, .c = &c};
//   if (trainer_open(&t, &checkpoint)) ...                  // weights, moments and step as the files have them
//   t.f->grad(t.train, 0, dims, in, out);   t.f->update(t.train, MDL_ADAMW, &hyper, 1, NULL, 0, &norm);
//   if (trainer_save(&t, "end.safetensors", &checkpoint)) ...
//   trainer_close(&t);
#ifndef SY_TRAINER_H
#define SY_TRAINER_H

#include "check.h"
#include "runner.h"
#include "ir/adapter.h"
#include "train_host.h"

typedef struct Trainer {
  Session *s;
  Check *c; // in which way: back end, instruction set, threads
  const Program *program;
  unsigned add;         // gradients that there is room for beside one: to add those of several calls
  unsigned calls;       // of a part, of which sums are binary trees; 0: 1
  const sy_comm *comm;  // the other processes, or NULL
  const char *averaged; // how averages are called in the file, "{name}_ema"; NULL: "optimizer.average.NAME"
  TrainCall *call;      // who makes calls: not the compiled model, but this; NULL: as c says
  void *ud;
  // trainer_open
  Training training;
  const sy_training *f;
  void *train;
  void *state, *arena;
  size_t state_bytes, arena_bytes;
  sy_pool *pool;
  Runner run; // the compiled model; it has no context of its own
  AdapterList adapter;
  float *average; // of the trained weights, as they are stored, by slot; NULL: there is none
} Trainer;

// Number of an optimiser of mdl_optimiser by its name, -1: there is none. How many moments it has.
int optimiser_named(const char *name);
unsigned optimiser_moments(int o);
// What the options --lr, --decay, --beta1, --beta2, --eps and --clip say, over what *h and *clip have. False after
// reporting.
SY_MUST_USE bool optimiser_options(Session *s, int o, sy_hyper *h, double *clip);
// The number that the text of an option is; *out stays where there is no text. False after reporting.
SY_MUST_USE bool option_number(Session *s, const char *option, const char *text, double lo, double hi, double *out);
// The state with the weights of the checkpoint and what an earlier run left beside them. False after reporting.
SY_MUST_USE bool trainer_open(Trainer *t, Checkpoint *from);
void trainer_close(Trainer *t);
// A tensor, or a part of one (MDL_VALUE..), as the checkpoint has it; f32, i32 or bools. NULL: there is no such part.
void *trainer_get(Trainer *t, Arena *a, const TrainingTensor *x, int part);
// An average of the trained weights: begins with what the checkpoint has of it, else with the weights; moves by
// a <- rate a + (1 - rate) w. False after reporting.
SY_MUST_USE bool trainer_average(Trainer *t, Checkpoint *from);
void trainer_average_move(Trainer *t, double rate);
enum { TRAINER_AVERAGE = MDL_MOMENT2 + 1 }; // a part for trainer_get
// Everything that the module's routes and objectives read or assign under its name in the checkpoint, moments of the
// optimiser ("optimizer.m.NAME", "optimizer.v.NAME") and "optimizer.step", in one file; all or nothing. Frozen weights
// are those of `from`. False after reporting.
SY_MUST_USE bool trainer_save(Trainer *t, const char *path, int optimiser, Checkpoint *from);
// The weights alone, the averages in the place of those that are trained.
SY_MUST_USE bool trainer_save_average(Trainer *t, const char *path, Checkpoint *from);
// The adapters alone, for Hugging Face's peft: DIR/adapter_model.safetensors and DIR/adapter_config.json. False after
// reporting.
SY_MUST_USE bool trainer_save_adapters(Trainer *t, const char *dir);
const char *trainer_moment(Arena *a, const char *name, unsigned which); // 0: "optimizer.m.NAME", 1: .v.

#endif
