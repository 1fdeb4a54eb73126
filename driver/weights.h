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

// The tensor of a name, the last file's if there are several; NULL if absent.
const StTensor *checkpoint_find(const Checkpoint *c, const char *name);

typedef struct WeightStats {
  double min, max, mean; // of the finite elements; 0 if there are none
  uint64_t nan, inf;
} WeightStats;
WeightStats weight_stats(const StTensor *t);
WeightStats weight_stats_f32(const float *x, size_t n); // the same of plain floats

// Seeded values of a stream as seeded_floats gives them, from element `first` on.
void seeded_floats_from(uint64_t seed, const char *name, size_t first, float *dst, size_t n);

// Where a command of `syc weights` writes: -o FILE, or a temporary file that _end copies to standard output.
const char *weights_out_begin(Session *s); // NULL after reporting
int weights_out_end(Session *s, const char *path);

int weights_inspect(Session *s); // syc weights inspect FILE

#endif
