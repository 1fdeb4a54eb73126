// checkpoint.c: a checkpoint as the commands see it: one or more files (safetensors, PyTorch, indexes of shards); of a
// name that stands in several, the last file counts.
//
// Names: what was trained inside a larger module has its name in front of all tensors ("module.", "backbone."). Such a
// prefix is left out with --strip-prefix, or by checkpoint_strip when a program finds its names only below it. What was
// saved as a part of the module that the page describes lacks the name of that part ("bert."): --add-prefix, or
// checkpoint_lengthen, puts it in front, in the place of the other one where both are so. A name without the prefix
// keeps its meaning.
#include "ckpt/shards.h"
#include "weights.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FULL_NAME = 4096 };

void checkpoint_add(Session *s, Checkpoint *c, StFile *f) {
  if (c->n == c->cap) {
    size_t cap = c->cap ? 2 * c->cap : 8;
    c->file = arena_grow(&s->arena, c->file, c->n * sizeof *c->file, cap * sizeof *c->file);
    c->cap = cap;
  }
  c->file[c->n++] = f;
}

static bool has_below(const StFile *f, const char *prefix) {
  for (size_t i = 0; i < st_count(f); i++)
    if (!strncmp(st_at(f, i)->name, prefix, strlen(prefix))) return true;
  return false;
}

// --strip-prefix state_dict_ema. where that is another dictionary of the file than the one that is taken: what is meant
// is --state. Parts of the prefix behind the dictionary remain.
static StFile *open_below(Session *s, Checkpoint *c, const char *path, StFile *f) {
  const char *strip = c->strip;
  if (!strip || s->opt.state || has_below(f, strip)) return f;
  for (const char *end = strip + strlen(strip); end > strip; end--) {
    if (end[-1] != '.') continue;
    const char *state = arena_strndup(&s->arena, strip, (size_t)(end - strip) - 1);
    StFile *other = *state ? st_open_state(path, state, NULL) : NULL;
    if (!other) continue;
    st_close(f);
    session_note(s, "syc: note: %s: '%s' is a dictionary of the file, which is taken (--state %s)", path, state, state);
    c->strip = *end ? end : NULL;
    return other;
  }
  return f;
}

static bool open_one(Session *s, Checkpoint *c, const char *path) {
  StError err;
  if (st_is_index(path)) {
    StFile **file;
    if (s->opt.state) {
      session_fail(s, EXIT_USAGE, "--state: %s is an index of shards, which have no dictionaries to choose from", path);
      return false;
    }
    size_t n = st_open_index(path, &file, &err);
    for (size_t i = 0; i < n; i++) checkpoint_add(s, c, file[i]);
    if (n) free(file);
    if (!n) session_fail(s, EXIT_IO, "%s", err.text);
    return n > 0;
  }
  StFile *f = st_open_state(path, s->opt.state, &err);
  if (!f) {
    session_fail(s, EXIT_IO, "%s", err.text);
    return false;
  }
  f = open_below(s, c, path, f);
  checkpoint_add(s, c, f);
  if (st_note(f)) session_note(s, "syc: note: %s: %s", path, st_note(f));
  return true;
}

bool checkpoint_open(Session *s, Checkpoint *c, const char *const *path, size_t n) {
  c->arena = &s->arena;
  c->strip = s->opt.strip_prefix;
  c->add = s->opt.add_prefix;
  for (size_t i = 0; i < n; i++)
    if (!open_one(s, c, path[i])) return false;
  return true;
}

void checkpoint_close(Checkpoint *c) {
  for (size_t i = 0; i < c->n; i++) st_close(c->file[i]);
  *c = (Checkpoint){0};
}

void checkpoint_release(const Checkpoint *c) {
  for (size_t i = 0; i < c->n; i++) st_release(c->file[i]);
}

// The name behind a prefix; NULL if it does not begin with it, or ends there.
static const char *behind(const char *prefix, const char *name) {
  size_t n = prefix ? strlen(prefix) : 0;
  return n && !strncmp(name, prefix, n) && name[n] ? name + n : NULL;
}

const char *checkpoint_name(const Checkpoint *c, const StTensor *t) {
  const char *rest = behind(c->strip, t->name), *name = rest ? rest : t->name;
  return c->add ? arena_printf(c->arena, "%s%s", c->add, name) : name;
}

// The name below a prefix; NULL if it is overlong.
static const char *full_name(char dst[MAX_FULL_NAME], const char *prefix, const char *name) {
  int n = snprintf(dst, MAX_FULL_NAME, "%s%s", prefix, name);
  return n >= 0 && n < MAX_FULL_NAME ? dst : NULL;
}

static const StTensor *find_exact(const Checkpoint *c, const char *name) {
  for (size_t i = c->n; i-- > 0;) {
    const StTensor *t = st_find(c->file[i], name);
    if (t) return t;
  }
  return NULL;
}

static const StTensor *find_stripped(const Checkpoint *c, const char *name) {
  char full[MAX_FULL_NAME];
  const StTensor *t = c->strip && full_name(full, c->strip, name) ? find_exact(c, full) : NULL;
  return t ? t : find_exact(c, name);
}

const StTensor *checkpoint_find(const Checkpoint *c, const char *name) {
  const StTensor *t = c->fresh ? st_find(c->fresh, name) : NULL;
  if (!t && c->begun) t = st_find(c->begun, name);
  if (t || (t = checkpoint_alias(c, name))) return t;
  const char *rest = behind(c->add, name);
  if (rest) t = find_stripped(c, rest);
  return t ? t : find_stripped(c, name);
}

const StTensor *checkpoint_near(const Checkpoint *c, const char *name) {
  char full[MAX_FULL_NAME];
  const StTensor *best = NULL;
  size_t least = SIZE_MAX;
  const char *rest = behind(c->add, name);
  if (rest) name = rest;
  if (c->strip && full_name(full, c->strip, name)) name = full;
  for (size_t i = c->n; i-- > 0;) {
    const StTensor *t = st_near(c->file[i], name);
    size_t d = t ? edit_distance(t->name, name, least) : SIZE_MAX;
    if (t && d < least) best = t, least = d;
  }
  return best;
}

/* prefixes -------------------------------------------------------------------------------------------------------- */
static const char *first_missing(const Checkpoint *c, const char *prefix, const WeightNames *want) {
  char full[MAX_FULL_NAME];
  for (size_t i = 0; i < want->list.n; i++) {
    const char *name = full_name(full, prefix, want->list.at[i].name);
    if (!name || !find_exact(c, name)) return want->list.at[i].name;
  }
  return NULL;
}

const char *checkpoint_prefix(Arena *a, const char *name, const char *end) {
  size_t n = strlen(name), k = strlen(end);
  if (n <= k || strcmp(name + n - k, end) != 0 || name[n - k - 1] != '.') return NULL;
  return arena_strndup(a, name, n - k);
}

// Is every part of a prefix what a module around a model is called, or a number? "0.auto_model." Such a prefix says
// nothing about what lies below it; "text_encoder." in the place of "text_decoder." would be another network.
static bool is_wrapper(const char *prefix) {
  static const char *const known[] = {"module",     "model",      "models", "net",      "network", "backbone",
                                      "_orig_mod",  "base_model", "base",   "wrapped",  "student", "teacher",
                                      "auto_model", "_module",    "ema",    "encoder_q"};
  for (const char *part = prefix; *part;) {
    size_t n = strcspn(part, ".");
    bool ok = n > 0 && strspn(part, "0123456789") == n;
    for (size_t i = 0; i < sizeof known / sizeof *known && !ok; i++)
      ok = strlen(known[i]) == n && !memcmp(known[i], part, n);
    if (!ok) return false;
    part += n + (part[n] == '.');
  }
  return true;
}

static bool find_below(Session *s, Checkpoint *c, const char *missing, bool wrappers, CheckpointFits *fits, void *ud) {
  enum { MAX_TRIES = 64 };
  const char *found = NULL, *other = NULL;
  size_t tries = 0;
  for (size_t i = 0; i < c->n; i++)
    for (size_t k = 0; k < st_count(c->file[i]) && tries < MAX_TRIES && !other; k++) {
      const char *prefix = checkpoint_prefix(&s->arena, st_at(c->file[i], k)->name, missing);
      if (!prefix || (found && !strcmp(prefix, found)) || (wrappers && !is_wrapper(prefix))) continue;
      tries++;
      c->strip = prefix;
      if (!fits(ud, c)) continue;
      if (found)
        other = prefix;
      else
        found = prefix;
    }
  c->strip = other ? NULL : found;
  if (other)
    session_note(s, "syc: note: the names are there below '%s' and below '%s'; choose with --strip-prefix", found,
                 other);
  return c->strip != NULL;
}

bool checkpoint_below(Session *s, Checkpoint *c, const char *missing, CheckpointFits *fits, void *ud) {
  return find_below(s, c, missing, false, fits, ud);
}

static void note_stripped(Session *s, const Checkpoint *c) {
  session_note(s, "syc: note: the names of the checkpoint begin with '%s', which is left out", c->strip);
}

static bool all_below(void *ud, Checkpoint *c) { // each of them below the prefix
  return !first_missing(c, c->strip, ud);
}

bool checkpoint_strip(Session *s, Checkpoint *c, WeightNames *want) {
  const char *missing = c->strip ? NULL : first_missing(c, "", want);
  if (!missing || !checkpoint_below(s, c, missing, all_below, want)) return false;
  note_stripped(s, c);
  return true;
}

// Parts of a name that may be what the file lacks: "bert.", "bert.encoder.", and so on; NULL behind the last.
const char *checkpoint_part(Arena *a, const char *name, size_t i) {
  const char *dot = strchr(name, '.');
  while (dot && i--) dot = strchr(dot + 1, '.');
  return dot ? arena_strndup(a, name, (size_t)(dot - name) + 1) : NULL;
}

// The first weight that is nowhere, with the prefixes as they are.
static const char *first_absent(const Checkpoint *c, const WeightNames *want) {
  for (size_t i = 0; i < want->list.n; i++)
    if (!checkpoint_find(c, want->list.at[i].name)) return want->list.at[i].name;
  return NULL;
}

static int by_tensor(const void *a, const void *b) {
  const NamedTensor *x = a, *y = b;
  if (x->tensor != y->tensor) return x->tensor < y->tensor ? -1 : 1;
  return strcmp(x->name, y->name);
}

bool checkpoint_distinct(NamedTensor *list, size_t n) {
  if (n) qsort(list, n, sizeof *list, by_tensor);
  for (size_t i = 1; i < n; i++)
    if (list[i].tensor == list[i - 1].tensor && strcmp(list[i].name, list[i - 1].name) != 0) return false;
  return true;
}

static bool all_there(void *ud, Checkpoint *c) {
  const WeightNames *want = ud;
  if (first_absent(c, want)) return false;
  Arena a = {0};
  NamedTensor *list = ARENA_ARRAY(&a, NamedTensor, want->list.n);
  for (size_t i = 0; i < want->list.n; i++)
    list[i] = (NamedTensor){checkpoint_find(c, want->list.at[i].name), want->list.at[i].name};
  bool distinct = checkpoint_distinct(list, want->list.n);
  arena_free(&a);
  return distinct;
}

bool checkpoint_below_instead(Session *s, Checkpoint *c, const char *missing, CheckpointFits *fits, void *ud) {
  const char *rest = behind(c->add, missing);
  return !c->strip && rest && strchr(rest, '.') && find_below(s, c, rest, true, fits, ud);
}

bool checkpoint_lengthen(Session *s, Checkpoint *c, WeightNames *want) {
  enum { MAX_PARTS = 8 };
  const char *missing = c->add ? NULL : first_absent(c, want);
  for (size_t k = 0; missing && k < MAX_PARTS && (c->add = checkpoint_part(&s->arena, missing, k)); k++) {
    bool there = all_there(want, c);
    if (!there && checkpoint_below_instead(s, c, missing, all_there, want)) {
      note_stripped(s, c);
      there = true;
    }
    if (!there) continue;
    checkpoint_note_added(s, c);
    return true;
  }
  if (missing) c->add = NULL;
  return false;
}

void checkpoint_note_added(Session *s, const Checkpoint *c) {
  if (c->add && c->add != s->opt.add_prefix)
    session_note(s, "syc: note: the names of the checkpoint lack '%s' in front, which is added", c->add);
}
