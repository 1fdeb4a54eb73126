// weights.h: what weights*.c share and check, bench and explain use of them: weight names with their types, statistics
// of a tensor. The functions of a Checkpoint are in driver.h.
#ifndef SY_WEIGHTS_H
#define SY_WEIGHTS_H

#include "ckpt/safetensors.h"
#include "driver.h"

typedef struct WeightName {
  const char *name;
  Type type;
  const Value *value; // the operator that asks for it
} WeightName;
typedef struct WeightNames { // each name once, in order of first use
  VEC(WeightName) list;
  uint32_t *slot;
  size_t nslot;
} WeightNames;
void weight_names_add(WeightNames *w, Arena *a, const Value *weight);
bool weight_names_has(const WeightNames *w, const char *name);
WeightNames weight_names_of_module(const Module *m, Arena *a);   // every weight of the graphs, as elaborated
WeightNames weight_names_of_program(const Program *p, Arena *a); // what packing reads

/* checkpoint.c */
// The tensor of a name, the last file's if there are several; NULL if absent. First below c->strip, then as it is.
const StTensor *checkpoint_find(const Checkpoint *c, const char *name);
const StTensor *checkpoint_near(const Checkpoint *c, const char *name); // for "did you mean"; NULL if none is near
const char *checkpoint_name(const Checkpoint *c, const StTensor *t);    // its name without c->strip, behind c->add
void checkpoint_release(const Checkpoint *c);                           // gives back the pages of mapped files
void checkpoint_add(Session *s, Checkpoint *c, StFile *f);              // one more file, which it closes
// The name without its end, if that is what stands behind a point; else NULL.
const char *checkpoint_prefix(Arena *a, const char *name, const char *end);
// Looks for the one prefix, in front of `missing`, with which everything is there: sets c->strip. False: there is none,
// or there are two, which is noted.
typedef bool CheckpointFits(void *ud, Checkpoint *c);
SY_MUST_USE bool checkpoint_below(Session *s, Checkpoint *c, const char *missing, CheckpointFits *fits, void *ud);
// The same for a prefix in the place of c->add, if modules stand behind it: one name alone may be any module's.
SY_MUST_USE bool checkpoint_below_instead(Session *s, Checkpoint *c, const char *missing, CheckpointFits *fits,
                                          void *ud);
// Does every tensor stand for one name? Else a prefix takes one layer for another, or one tower. Sorts the list.
typedef struct NamedTensor {
  const StTensor *tensor;
  const char *name;
} NamedTensor;
bool checkpoint_distinct(NamedTensor *list, size_t n);
// The i-th part of a name that may be missing in front of the names of a file ("bert."), or NULL.
const char *checkpoint_part(Arena *a, const char *name, size_t i);
void checkpoint_note_added(Session *s, const Checkpoint *c);
SY_MUST_USE bool checkpoint_lengthen(Session *s, Checkpoint *c,
                                     WeightNames *want);                         // finds and sets c->add, with a note
SY_MUST_USE bool checkpoint_strip(Session *s, Checkpoint *c, WeightNames *want); // finds and sets c->strip, with a note

StDtype kept_dtype(DType t);                        // how numbers of the type are kept in a checkpoint
void weight_print_shape(Buf *b, const StTensor *t); // "F32[3,4]"

/* checkpoint_leftover.c */
// Does an --ignore fit a tensor, by its name in the file or by `name`?
bool checkpoint_ignores(const Session *s, const StTensor *t, const char *name);
// Notes the tensors that nothing asks for. False after reporting if some lie in modules of the model.
SY_MUST_USE bool checkpoint_leftovers(Session *s, const Checkpoint *c, const Module *m, const WeightNames *want);

/* checkpoint_rename.c */
typedef struct WeightAlias {
  const char *ours;
  const StTensor *theirs;
} WeightAlias;
// Further aliases, which count more than those there are.
void checkpoint_add_aliases(Checkpoint *c, const WeightAlias *more, size_t n);
const StTensor *checkpoint_alias(const Checkpoint *c, const char *name); // what stands for a name by a rule, or NULL
bool checkpoint_used(const Checkpoint *c, const StTensor *t);            // does it stand for a weight of another name?
// Names that are not there are looked for by the rules of the page; a note says which set fits. False after reporting.
SY_MUST_USE bool checkpoint_rename(Session *s, Checkpoint *c, const Module *m, const WeightNames *want);
// First below a prefix, then by the rules, then by the rules below a prefix.
bool checkpoint_fit(Session *s, Checkpoint *c, const Module *m, WeightNames *want);

// The set of the page by which the checkpoint has all weights of a module that it lacks under their own names, or NULL.
// *own: it has them all under their own names. Nothing is changed or said.
SY_MUST_USE const char *checkpoint_names(Session *s, Checkpoint *c, const Module *m, bool *own);

/* checkpoint_gguf.c */
// May the names of a set be meant? Those of a set that is called gguf_ARCH or gguf_ARCH_more mean nothing in a GGUF
// file of another general.architecture.
bool checkpoint_may_have(const Checkpoint *c, const char *set);
// Holds what GGUF files say of their model (heads, epsilons, rotary base) against the parameters of the module. False
// after reporting what differs.
SY_MUST_USE bool checkpoint_says_same(Session *s, const Checkpoint *c, const Module *m);
// The first general.architecture of the files, or NULL.
const char *checkpoint_architecture(const Checkpoint *c);

/* facts.c */
// Says which other presets of the page have the same weights and differ in what tensors do not show.
void facts_note_presets(Session *s, const Checkpoint *c, const Module *m);

/* weights.c */
// Can the tensor be the weight, as it is or resized?
bool weight_fits(const WeightName *w, const StTensor *t);
// Has the checkpoint every weight of a module, in its shape?
bool checkpoint_fits(const Checkpoint *c, const Module *m, Arena *a);

/* weights.c: a bar on a terminal; it also keeps the memory of what is read small */
typedef struct Progress {
  bool show;
  int shown; // percent
  const char *verb;
  const Checkpoint *read;
  double released; // share of the output at the last release
  double step;     // share between two releases
} Progress;
Progress progress_start(const Session *s, const char *verb, const Checkpoint *read, double bytes); // of output
void progress_show(void *progress, double share);                                                  // 0 .. 1
void progress_end(const Progress *p);

typedef struct WeightStats {
  double min, max, mean; // of the finite elements; 0 if there are none
  uint64_t nan, inf;
} WeightStats;
WeightStats weight_stats(const StTensor *t);

// Seeded values of a stream as seeded_floats gives them, from element `first` on.
void seeded_floats_from(uint64_t seed, const char *name, size_t first, float *dst, size_t n);

// weights_init of some weights alone; NULL: of all.
SY_MUST_USE bool weights_init_of(Session *s, const Module *m, int64_t seed, const char *path, const WeightNames *only);

/* checkpoint_adapters.c */
// Adapters of a module: where the checkpoint is of a run with the same ones they and what they adapt go on, else they
// begin new, seeded by --seed; a note says which. The names of a run's file: adapter_kept. False after reporting.
SY_MUST_USE bool checkpoint_adapters(Session *s, Checkpoint *c, const Module *m);
typedef enum AdapterPart { ADAPTER_base, ADAPTER_scale, ADAPTER_factor } AdapterPart;
const char *adapter_kept(Arena *a, AdapterPart part, const char *name);

/* checkpoint_new.c */
// Weights that begin new, by --new and because a head is for other classes: seeded, in a file of their own at `path`,
// which comes before all others; a note says which, and how much is taken. False after reporting.
SY_MUST_USE bool checkpoint_begin_new(Session *s, Checkpoint *c, const Module *m, const Program *p, int64_t seed,
                                      const char *path);
bool checkpoint_is_new(const Checkpoint *c, const char *name);

// Where a command of `syc weights` writes: -o FILE, or a temporary file that _end copies to standard output.
SY_MUST_USE const char *weights_out_begin(Session *s); // NULL after reporting
SY_MUST_USE int weights_out_end(Session *s, const char *path);

int weights_inspect(Session *s); // syc weights inspect FILE
int weights_convert(Session *s); // syc weights convert FILE... -o FILE

#endif
