// checkpoint_adapters.c: low-rank adapters (ir/adapter.h) in the files of a training. What a run leaves has, of an
// adapted matrix x.weight,
//
//   x.weight                           W + scale B A: for every other command the file is the trained model
//   optimizer.base.x.weight            W, which stays as it was
//   optimizer.scale.x.weight           scale, f32[1]
//   optimizer.adapter.x.lora_A.weight  A and, beside it, B; their moments are optimizer.m. and .v. of x.lora_A.weight
//
// A run with the same adapters goes on with W, A and B. One with others begins with what is merged.
#include "ir/adapter.h"
#include "weights.h"

#include <string.h>

const char *adapter_kept(Arena *a, AdapterPart part, const char *name) {
  static const char *const word[] = {"base", "scale", "adapter"};
  return arena_printf(a, "optimizer.%s.%s", word[part], name);
}

static const StTensor *kept(const Checkpoint *c, AdapterPart part, const char *name) {
  return checkpoint_find(c, adapter_kept(c->arena, part, name));
}

static bool has_shape(const StTensor *t, int64_t rows, int64_t columns) {
  return t && t->dtype == ST_F32 && t->rank == 2 && t->shape[0] == rows && t->shape[1] == columns;
}

// Has the checkpoint W, A and B of such an adapter? Adds what stands for them.
static bool goes_on(const Checkpoint *c, const Adapter *x, WeightAlias *alias) {
  const StTensor *base = kept(c, ADAPTER_base, x->base), *scale = kept(c, ADAPTER_scale, x->base);
  const StTensor *a = kept(c, ADAPTER_factor, x->a), *b = kept(c, ADAPTER_factor, x->b);
  float s;
  if (!base || !scale || st_elements(scale) != 1 || !st_to_f32(scale, &s, 0, 1) || s != (float)x->scale) return false;
  if (!has_shape(a, x->rank, x->k) || !has_shape(b, x->n, x->rank)) return false;
  alias[0] = (WeightAlias){x->base, base}, alias[1] = (WeightAlias){x->a, a}, alias[2] = (WeightAlias){x->b, b};
  return true;
}

static bool begin_new(Session *s, Checkpoint *c, const Module *m, const WeightNames *new) {
  StError err = {""};
  const char *dir = temp_dir(s, NULL);
  if (!dir) return false;
  const char *path = arena_printf(&s->arena, "%s/adapters", dir);
  bool ok = weights_init_of(s, m, s->opt.seed == INT_UNSET ? 1 : s->opt.seed, path, new);
  if (ok && !(c->begun = st_open(path, &err))) ok = (session_fail(s, EXIT_IO, "%s", err.text), false);
  if (ok) checkpoint_add(s, c, c->begun);
  temp_remove(dir); // the map stays
  return ok;
}

bool checkpoint_adapters(Session *s, Checkpoint *c, const Module *m) {
  AdapterList list = adapters_of(m, &s->arena);
  if (!list.n || c->begun) return true;
  WeightNames all = weight_names_of_module(m, &s->arena), new = {0};
  WeightAlias *alias = ARENA_ARRAY(&s->arena, WeightAlias, 3 * list.n);
  size_t old = 0;
  uint64_t elements = 0;
  for (size_t i = 0; i < list.n; i++) {
    const Adapter *x = &list.at[i];
    elements += (uint64_t)((x->n + x->k) * x->rank);
    old += goes_on(c, x, alias + 3 * old);
  }
  checkpoint_add_aliases(c, alias, 3 * old);
  for (size_t i = 0; i < all.list.n; i++) {
    const WeightName *w = &all.list.at[i];
    if (is_adapter_factor(w->value) && !checkpoint_find(c, w->name)) weight_names_add(&new, &s->arena, w->value);
  }
  session_note(s, "syc: note: %zu linear%s adapted (%llu elements): %zu adapter%s on, %zu begin%s new", list.n,
               list.n == 1 ? " is" : "s are", (unsigned long long)elements, old, old == 1 ? " goes" : "s go",
               list.n - old, list.n - old == 1 ? "s" : "");
  return !new.list.n || begin_new(s, c, m, &new);
}
