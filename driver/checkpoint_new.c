// checkpoint_new.c: weights that begin new beside those that a checkpoint gives: heads for other classes than the
// published ones, and what --new names. All others must be there, in their shape (checkpoint_check).
//
// A head is what a part of the name says it is, and of another size only in its first axis, which counts classes: a
// layer of another width, or a table of positions, is another model.
#include "common/text.h"
#include "ir/adapter.h"
#include "weights.h"

#include <string.h>

static const char *const heads[] = {"head*",       "*head",        "*heads", "*_head_*",
                                    "classifier*", "*_classifier", "fc",     "*_score"};

static bool is_head(const char *name) {
  char part[256];
  for (const char *at = name; *at; at += *at == '.') {
    size_t n = strcspn(at, ".");
    snprintf(part, sizeof part, "%.*s", (int)(n < sizeof part ? n : sizeof part - 1), at);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
      if (at[n] && text_matches(heads[i], part)) return true; // what stands behind the last point is a weight
    at += n;
  }
  return false;
}

static bool has_other_classes(const StTensor *t, const Type *type) {
  if (!t || t->rank != type->rank || t->rank < 1 || !st_dtype_is_float(st_value_type(t))) return false;
  for (int i = 1; i < t->rank; i++)
    if (t->shape[i] != type->dim[i].c) return false;
  return t->shape[0] != type->dim[0].c;
}

static bool is_asked_for(const Session *s, const char *name) {
  for (size_t i = 0; i < s->opt.fresh.n; i++)
    if (text_matches(s->opt.fresh.at[i], name)) return true;
  return false;
}

static bool patterns_fit(Session *s, const WeightNames *want) {
  for (size_t i = 0; i < s->opt.fresh.n; i++) {
    bool fits = false;
    for (size_t k = 0; k < want->list.n; k++) fits = fits || text_matches(s->opt.fresh.at[i], want->list.at[k].name);
    if (!fits) return session_fail(s, EXIT_USAGE, "--new %s: no weight has such a name", s->opt.fresh.at[i]), false;
  }
  return true;
}

static void say(Session *s, const Checkpoint *c, const WeightNames *want, const WeightNames *new) {
  enum { SHOWN = 8 };
  uint64_t elements[2] = {0, 0};
  size_t taken = want->list.n - new->list.n, most = s->opt.verbose ? SIZE_MAX : SHOWN;
  Buf b = {0};
  for (size_t i = 0; i < want->list.n; i++) {
    const WeightName *w = &want->list.at[i];
    uint64_t n = 1;
    for (int k = 0; k < w->type.rank; k++) n *= (uint64_t)w->type.dim[k].c;
    elements[weight_names_has(new, w->name)] += n;
  }
  buf_printf(&b,
             "syc: note: %zu tensors are taken from the checkpoint (%.3g M elements), %zu begin new (%.3g M):", taken,
             (double)elements[0] / 1e6, new->list.n, (double)elements[1] / 1e6);
  for (size_t i = 0; i < new->list.n &&i < most; i++) {
    const WeightName *w = &new->list.at[i];
    const StTensor *t = checkpoint_find(c, w->name);
    buf_printf(&b, "\n  %s [", w->name);
    for (int k = 0; k < w->type.rank; k++) buf_printf(&b, "%s%lld", k ? "," : "", (long long)w->type.dim[k].c);
    buf_puts(&b, "]");
    if (!t) buf_puts(&b, ", which is not there");
    if (t) buf_puts(&b, ", there it is "), weight_print_shape(&b, t);
  }
  if (new->list.n > most) buf_printf(&b, "\n  and %zu more (--verbose)", new->list.n - most);
  for (size_t i = 0; s->opt.verbose && i < want->list.n; i++)
    if (!weight_names_has(new, want->list.at[i].name)) buf_printf(&b, "\n  %s is taken", want->list.at[i].name);
  session_note(s, "%s", b.s);
  buf_free(&b);
}

bool checkpoint_begin_new(Session *s, Checkpoint *c, const Module *m, const Program *p, int64_t seed,
                          const char *path) {
  Arena *a = &s->arena;
  WeightNames all = weight_names_of_program(p, a), want = {0}, known = {0}, new = {0};
  for (size_t i = 0; i < all.list.n; i++) // adapters begin behind the weights (checkpoint_adapters.c)
    if (!is_adapter_factor(all.list.at[i].value)) weight_names_add(&want, a, all.list.at[i].value);
  if (!patterns_fit(s, &want)) return false;
  for (size_t i = 0; i < want.list.n; i++)
    if (!is_asked_for(s, want.list.at[i].name)) weight_names_add(&known, a, want.list.at[i].value);
  if (!checkpoint_fit(s, c, m, &known)) return false;
  for (size_t i = 0; i < want.list.n; i++) {
    const WeightName *w = &want.list.at[i];
    const StTensor *t = checkpoint_find(c, w->name);
    if (is_asked_for(s, w->name) || (is_head(w->name) && has_other_classes(t, &w->type)))
      weight_names_add(&new, a, w->value);
  }
  if (!new.list.n) return true;
  say(s, c, &want, &new);
  StError err;
  if (!weights_init_of(s, m, seed, path, &new)) return false;
  if (!(c->fresh = st_open(path, &err))) return session_fail(s, EXIT_IO, "%s", err.text), false;
  checkpoint_add(s, c, c->fresh);
  return true;
}

bool checkpoint_is_new(const Checkpoint *c, const char *name) {
  return (c->fresh && st_find(c->fresh, name)) || (c->begun && st_find(c->begun, name));
}
