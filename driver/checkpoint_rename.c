// checkpoint_rename.c: finds a page's weights in a checkpoint that names them otherwise, by the page's `rename` rules.
//
// A rule set fits if every weight is there, under its own name or by a rule of the set. A weight that is another one
// becomes an alias; one that is made of others (concat, transposed) is written to a temporary file, which is opened as
// one more file of the checkpoint, so that its pages come and go like those of the others. Of several sets whose names
// are there, as those of the two projections of an MLP that some files exchange, the one counts whose shapes fit.
#include "ir/rename.h"
#include "weights.h"

#include <stdlib.h>
#include <string.h>

typedef struct Recipe { // how one weight is made
  const char *ours;
  const Rename *rule;
  const StTensor *part[RENAME_MAX_PARTS];
  const char *theirs[RENAME_MAX_PARTS]; // their names
} Recipe;

typedef struct Plan {
  const char *set;
  VEC(Recipe) recipe;
  size_t missing;
  const char *first; // the first that is missing
  VEC(NamedTensor) used;
} Plan;

static bool follow_rule(Arena *a, const Checkpoint *c, const Rename *rule, const char *ours, Recipe *out) {
  RenameMatch m = {0};
  if (!rename_match(rule->ours, ours, &m)) return false;
  *out = (Recipe){.ours = ours, .rule = rule};
  for (size_t i = 0; i < rule->n && i < RENAME_MAX_PARTS; i++) {
    out->theirs[i] = rename_apply(a, rule->theirs[i], &m);
    out->part[i] = checkpoint_find(c, out->theirs[i]);
    if (!out->part[i]) return false;
  }
  return true;
}

// What a rule set makes of the checkpoint. Own names come first, then the first rule whose sources are there.
static Plan plan_set(Arena *a, const Checkpoint *c, const Module *m, const char *set, const WeightNames *want) {
  Plan p = {.set = set};
  for (size_t i = 0; i < want->list.n; i++) {
    const char *ours = want->list.at[i].name;
    Recipe r;
    NamedTensor own = {checkpoint_find(c, ours), ours};
    bool found = own.tensor != NULL;
    if (found) VEC_PUSH(a, p.used, own);
    for (size_t k = 0; k < m->rename.n && !found; k++) {
      const Rename *rule = &m->rename.at[k];
      if (strcmp(rule->set, set) != 0 || !follow_rule(a, c, rule, ours, &r)) continue;
      VEC_PUSH(a, p.recipe, r);
      for (size_t part = 0; part < rule->n && part < RENAME_MAX_PARTS; part++)
        VEC_PUSH(a, p.used, ((NamedTensor){r.part[part], r.theirs[part]}));
      found = true;
    }
    if (!found && !p.missing++) p.first = ours;
  }
  return p;
}

// Weights that are another one and cannot be, by their shapes.
static size_t misfits(const Plan *p, const WeightNames *want) {
  size_t n = 0;
  for (size_t i = 0, k = 0; i < p->recipe.n; i++) { // recipes are in the order of the weights
    while (k < want->list.n && want->list.at[k].name != p->recipe.at[i].ours) k++;
    if (k < want->list.n)
      n += !p->recipe.at[i].rule->how[0] && !weight_fits(&want->list.at[k], p->recipe.at[i].part[0]);
  }
  return n;
}

/* weights that are made of others --------------------------------------------------------------------------------- */
static bool is_made(const Recipe *r) {
  return r->rule->how[0] != 0;
}

// The type of what is made of parts; ST_DTYPE_COUNT if they do not go together. F16 and blocks beside each other are
// F32.
static StDtype made_type(const Recipe *r) {
  StDtype type = st_value_type(r->part[0]);
  for (size_t i = 1; i < r->rule->n; i++) {
    StDtype other = st_value_type(r->part[i]);
    if (other == type) continue;
    bool floats = st_dtype_is_float(type) && st_dtype_is_float(other) && type != ST_F64 && other != ST_F64;
    type = floats ? ST_F32 : ST_DTYPE_COUNT;
  }
  return type;
}

// The shape of a weight that is made; false after reporting if its parts do not go together.
static bool describe(Session *s, const Recipe *r, StDesc *d) {
  const StTensor *t = r->part[0];
  bool concat = !strcmp(r->rule->how, "concat"), fits = concat ? t->rank > 0 : t->rank == 2;
  *d = (StDesc){.name = r->ours, .dtype = made_type(r), .rank = t->rank};
  memcpy(d->shape, t->shape, sizeof d->shape);
  if (!concat) {
    d->shape[0] = t->shape[1];
    d->shape[1] = t->shape[0];
  }
  fits = fits && d->dtype != ST_DTYPE_COUNT;
  for (size_t i = 1; i < r->rule->n && fits; i++) {
    const StTensor *u = r->part[i];
    fits = u->rank == t->rank && u->shape[0] <= INT64_MAX - d->shape[0] &&
           !memcmp(u->shape + 1, t->shape + 1, sizeof t->shape - sizeof *t->shape);
    d->shape[0] += fits ? u->shape[0] : 0;
  }
  if (!fits)
    session_fail(s, EXIT_WRONG, "%s cannot be made by %s of %s%s: shapes or types do not go together", r->ours,
                 r->rule->how, t->name, r->rule->n > 1 ? " and others" : "");
  return fits;
}

static bool write_transposed(StWriter *out, const StTensor *t, StError *err) {
  size_t size = st_dtype_size(st_value_type(t)), rows = (size_t)t->shape[0], cols = (size_t)t->shape[1];
  float *read = t->code ? malloc(rows * cols * sizeof *read + 1) : NULL; // blocks lie along rows: all of them once
  const uint8_t *data = t->code ? (const void *)read : t->data;
  uint8_t *column = malloc(rows * size + 1);
  bool ok = column && data && (!t->code || st_to_f32(t, read, 0, rows * cols));
  for (size_t k = 0; k < cols && ok; k++) {
    for (size_t i = 0; i < rows; i++) memcpy(column + i * size, data + (i * cols + k) * size, size);
    ok = st_write_data(out, column, rows * size, err);
  }
  free(column);
  free(read);
  return ok;
}

// All elements, as they are or made F32.
static bool write_elements(StWriter *out, const StTensor *t, StDtype type, StError *err) {
  enum { PIECE = 4096 };
  float part[PIECE];
  if (t->dtype == type) return st_write_data(out, t->data, t->bytes, err);
  size_t n = (size_t)st_elements(t);
  for (size_t at = 0, k; at < n; at += k) {
    k = n - at < PIECE ? n - at : (size_t)PIECE;
    if (!st_to_f32(t, part, at, k) || !st_write_data(out, part, k * sizeof *part, err)) return false;
  }
  return true;
}

static bool write_made(StWriter *out, const Recipe *r, StError *err) {
  if (strcmp(r->rule->how, "concat") != 0) return write_transposed(out, r->part[0], err);
  for (size_t i = 0; i < r->rule->n; i++)
    if (!write_elements(out, r->part[i], made_type(r), err)) return false;
  return true;
}

static bool write_all(const Plan *p, const char *path, size_t n, const StDesc *desc, StError *err) {
  StWriter *out = st_write_begin(path, n, desc, err);
  if (!out) return false;
  for (size_t i = 0; i < p->recipe.n; i++) {
    if (!is_made(&p->recipe.at[i]) || write_made(out, &p->recipe.at[i], err)) continue;
    st_write_abort(out);
    return false;
  }
  return st_write_end(out, err);
}

// Makes what is made of others; *n receives how many. False after reporting.
static bool make_file(Session *s, Checkpoint *c, const Plan *p, size_t *n) {
  StDesc *desc = ARENA_ARRAY(&s->arena, StDesc, p->recipe.n + 1);
  *n = 0;
  for (size_t i = 0; i < p->recipe.n; i++) {
    if (!is_made(&p->recipe.at[i])) continue;
    if (!describe(s, &p->recipe.at[i], &desc[*n])) return false;
    ++*n;
  }
  if (!*n) return true;
  const char *dir = temp_dir(s, NULL);
  if (!dir) return false;
  const char *path = arena_printf(&s->arena, "%s/made", dir);
  StError err = {"out of memory"};
  StFile *f = write_all(p, path, *n, desc, &err) ? st_open(path, &err) : NULL;
  temp_remove(dir); // the map stays
  if (!f) {
    session_fail(s, EXIT_IO, "%s", err.text);
    return false;
  }
  checkpoint_add(s, c, f);
  c->nmade++;
  return true;
}

/* applying -------------------------------------------------------------------------------------------------------- */
static int by_ours(const void *a, const void *b) {
  return strcmp(((const WeightAlias *)a)->ours, ((const WeightAlias *)b)->ours);
}

static void add_aliases(Session *s, Checkpoint *c, const Plan *p) {
  size_t parts = 0;
  WeightAlias *alias = ARENA_ARRAY(&s->arena, WeightAlias, p->recipe.n + 1);
  for (size_t i = 0; i < p->recipe.n; i++) parts += p->recipe.at[i].rule->n;
  const StTensor **used = ARENA_ARRAY(&s->arena, const StTensor *, parts + 1);
  size_t n = 0, nused = 0;
  for (size_t i = 0; i < p->recipe.n; i++) {
    const Recipe *r = &p->recipe.at[i];
    if (!is_made(r)) alias[n++] = (WeightAlias){r->ours, r->part[0]};
    for (size_t k = 0; k < r->rule->n; k++) used[nused++] = r->part[k];
  }
  qsort(alias, n, sizeof *alias, by_ours);
  c->alias = alias;
  c->nalias = n;
  c->used = used;
  c->nused = nused;
}

void checkpoint_add_aliases(Checkpoint *c, const WeightAlias *more, size_t n) {
  WeightAlias *alias = ARENA_ARRAY(c->arena, WeightAlias, c->nalias + n + 1);
  size_t all = 0;
  for (size_t i = 0; i < n; i++) alias[all++] = more[i];
  for (size_t i = 0; i < c->nalias; i++) {
    bool again = false;
    for (size_t k = 0; k < n && !again; k++) again = !strcmp(more[k].ours, c->alias[i].ours);
    if (!again) alias[all++] = c->alias[i];
  }
  if (all) qsort(alias, all, sizeof *alias, by_ours);
  c->alias = alias, c->nalias = all;
}

const StTensor *checkpoint_alias(const Checkpoint *c, const char *name) {
  WeightAlias key = {.ours = name};
  const WeightAlias *a = c->nalias ? bsearch(&key, c->alias, c->nalias, sizeof key, by_ours) : NULL;
  return a ? a->theirs : NULL;
}

bool checkpoint_used(const Checkpoint *c, const StTensor *t) {
  for (size_t i = 0; i < c->nused; i++)
    if (c->used[i] == t) return true;
  return false;
}

// What a set says their name of a weight is: by the first rule that matches, else the same.
static const char *expected_name(Arena *a, const Module *m, const char *set, const char *ours) {
  for (size_t k = 0; k < m->rename.n; k++) {
    RenameMatch match = {0};
    const Rename *rule = &m->rename.at[k];
    if (!strcmp(rule->set, set) && rename_match(rule->ours, ours, &match))
      return rename_apply(a, rule->theirs[0], &match);
  }
  return ours;
}

typedef struct Search { // of the prefixes with which a set fits
  Session *s;
  const Module *m;
  const WeightNames *want;
  Plan plan; // of the last that fits
} Search;

// Does the set of the plan fit with the prefixes of c?
static bool set_fits(void *ud, Checkpoint *c) {
  Search *f = ud;
  Plan p = plan_set(&f->s->arena, c, f->m, f->plan.set, f->want);
  bool fits = !p.missing && checkpoint_distinct(p.used.at, p.used.n);
  if (fits) f->plan = p;
  return fits;
}

// Looks for a prefix that the file lacks and the set's names have, also in the place of one that the file has.
static bool set_fits_added(Search *f, Checkpoint *c, const char *expected) {
  enum { MAX_PARTS = 8 };
  for (size_t k = 0; k < MAX_PARTS && (c->add = checkpoint_part(&f->s->arena, expected, k)); k++) {
    if (set_fits(f, c)) return true;
    if (checkpoint_below_instead(f->s, c, expected, set_fits, f)) return true;
  }
  c->add = NULL;
  return false;
}

// The same for a prefix in front of all names, or both: *p becomes that plan, c->strip and c->add the prefixes.
static bool plan_with_prefix(Session *s, Checkpoint *c, const Module *m, const WeightNames *want, Plan *p) {
  const char *expected = expected_name(&s->arena, m, p->set, p->first);
  Search f = {.s = s, .m = m, .want = want, .plan = *p};
  bool fits = !c->strip && checkpoint_below(s, c, expected, set_fits, &f);
  fits = fits || (!c->add && set_fits_added(&f, c, expected));
  if (fits) *p = f.plan;
  return fits;
}

// Does the set stand before rule i already?
static bool was_seen(const Module *m, size_t i) {
  for (size_t k = 0; k < i; k++)
    if (!strcmp(m->rename.at[k].set, m->rename.at[i].set)) return true;
  return false;
}

// The set with the fewest missing weights, and of those with the fewest of another shape. Where all sets lack some, a
// prefix is looked for, unless one was given. Sets of other GGUF files than this one do not count.
static Plan best_plan(Session *s, Checkpoint *c, const Module *m, const WeightNames *want) {
  Plan best = {.missing = SIZE_MAX};
  const char *strip = c->strip, *add = c->add, *best_strip = strip, *best_add = add;
  size_t least = SIZE_MAX;
  for (size_t i = 0; i < m->rename.n && (best.missing || least); i++) {
    if (was_seen(m, i) || !checkpoint_may_have(c, m->rename.at[i].set)) continue;
    Plan p = plan_set(&s->arena, c, m, m->rename.at[i].set, want);
    bool whole = !p.missing || plan_with_prefix(s, c, m, want, &p);
    size_t wrong = whole ? misfits(&p, want) : SIZE_MAX;
    if (p.missing < best.missing || (!p.missing && wrong < least)) {
      best = p;
      least = wrong;
      best_strip = c->strip;
      best_add = c->add;
    }
    c->strip = strip;
    c->add = add;
  }
  c->strip = best_strip;
  c->add = best_add;
  return best;
}

// Another set that fits as well as that of the plan and means other tensors, or NULL.
static const char *equal_plan(Session *s, const Checkpoint *c, const Module *m, const WeightNames *want,
                              const Plan *p) {
  for (size_t i = 0; i < m->rename.n; i++) {
    const char *set = m->rename.at[i].set;
    if (was_seen(m, i) || !strcmp(set, p->set) || !checkpoint_may_have(c, set)) continue;
    Plan q = plan_set(&s->arena, c, m, set, want);
    bool same = q.missing || misfits(&q, want) || q.recipe.n != p->recipe.n;
    for (size_t k = 0; k < p->recipe.n && !same; k++)
      if (memcmp(q.recipe.at[k].part, p->recipe.at[k].part, sizeof q.recipe.at[k].part) != 0) return set;
  }
  return NULL;
}

static bool one_set_fits(Session *s, const Checkpoint *c, const Module *m, const WeightNames *want, const Plan *p) {
  const char *other = p->missing || s->opt.names ? NULL : equal_plan(s, c, m, want, p);
  if (other)
    session_fail(
        s, EXIT_WRONG,
        "the checkpoint has the names of '%s' and of '%s', which mean other weights by them: say --names %s or "
        "--names %s",
        p->set, other, p->set, other);
  return !other;
}

// A set that --names asks for comes before all others.
static Plan asked_plan(Session *s, Checkpoint *c, const Module *m, const WeightNames *want) {
  if (s->opt.names) {
    Plan p = plan_set(&s->arena, c, m, s->opt.names, want);
    if (!p.missing && p.recipe.n && checkpoint_may_have(c, p.set)) return p;
  }
  return best_plan(s, c, m, want);
}

static void note_missing(Session *s, const Checkpoint *c, const Plan *p, const WeightNames *want) {
  const char *architecture = checkpoint_architecture(c);
  if (p->set && p->recipe.n)
    session_note(s, "syc: note: with the names of '%s' %zu of %zu weights are missing, the first is %s", p->set,
                 p->missing, want->list.n, p->first);
  else if (architecture)
    session_note(s, "syc: note: the checkpoint is a GGUF file of '%s', for which the page has no names", architecture);
}

bool checkpoint_rename(Session *s, Checkpoint *c, const Module *m, const WeightNames *want) {
  size_t missing = 0, made = 0;
  for (size_t i = 0; i < want->list.n; i++) missing += !checkpoint_find(c, want->list.at[i].name);
  if (!missing || !m->rename.n || c->nalias) return true;
  Plan p = asked_plan(s, c, m, want);
  if (p.missing) {
    note_missing(s, c, &p, want);
    return true;
  }
  if (!one_set_fits(s, c, m, want, &p) || !checkpoint_says_same(s, c, m) || !make_file(s, c, &p, &made)) return false;
  add_aliases(s, c, &p);
  checkpoint_note_added(s, c);
  session_note(s,
               "syc: note: the checkpoint has the names of '%s'%s%s: %zu weights renamed, %zu of them made of others",
               p.set, c->strip ? " behind " : "", c->strip ? c->strip : "", p.recipe.n, made);
  return true;
}

// The weights that the outputs of a graph need, as elaborated: operands stand before their operators.
static void collect_needed(const Graph *g, Arena *a, WeightNames *out) {
  bool *needed = ARENA_ARRAY(a, bool, g->value.n);
  for (size_t i = 0; i < g->output.n; i++) needed[g->output.at[i].val.id] = true;
  for (size_t v = g->value.n; v-- > 1;) {
    const Value *x = &g->value.at[v];
    for (uint32_t i = 0; i < x->nargs && needed[v]; i++) needed[x->args[i].id] = true;
  }
  for (size_t v = 1; v < g->value.n; v++)
    if (needed[v] && g->value.at[v].op == OP_weight) weight_names_add(out, a, &g->value.at[v]);
}

const char *checkpoint_names(Session *s, Checkpoint *c, const Module *m, bool *own) {
  WeightNames want = {0};
  for (size_t i = 0; i < m->graph.n; i++) collect_needed(m->graph.at[i], &s->arena, &want);
  *own = want.list.n > 0;
  for (size_t i = 0; i < want.list.n && *own; i++) *own = checkpoint_find(c, want.list.at[i].name) != NULL;
  if (*own || !m->rename.n) return NULL;
  const char *strip = c->strip, *add = c->add;
  Plan p = asked_plan(s, c, m, &want);
  bool one = one_set_fits(s, c, m, &want, &p);
  c->strip = strip;
  c->add = add;
  return one && !p.missing && p.recipe.n ? p.set : NULL;
}

bool checkpoint_fit(Session *s, Checkpoint *c, const Module *m, WeightNames *want) {
  return checkpoint_strip(s, c, want) || checkpoint_lengthen(s, c, want) || checkpoint_rename(s, c, m, want);
}
