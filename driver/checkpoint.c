// checkpoint.c: a checkpoint as the commands see it: one or more files (safetensors, PyTorch, indexes of shards); of a
// name that stands in several, the last file counts.
//
// Names: what was trained inside a larger module has its name in front of all tensors ("module.", "backbone."). Such a
// prefix is left out with --strip-prefix, or by checkpoint_strip when a program finds its names only below it. A name
// without the prefix keeps its meaning.
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

static bool open_one(Session *s, Checkpoint *c, const char *path) {
  StError err;
  if (st_is_index(path)) {
    StFile **file;
    size_t n = st_open_index(path, &file, &err);
    for (size_t i = 0; i < n; i++) checkpoint_add(s, c, file[i]);
    if (n) free(file);
    if (!n) session_fail(s, EXIT_IO, "%s", err.text);
    return n > 0;
  }
  StFile *f = st_open(path, &err);
  if (!f) {
    session_fail(s, EXIT_IO, "%s", err.text);
    return false;
  }
  checkpoint_add(s, c, f);
  if (st_note(f)) session_note(s, "syc: note: %s: %s", path, st_note(f));
  return true;
}

bool checkpoint_open(Session *s, Checkpoint *c, const char *const *path, size_t n) {
  c->strip = s->opt.strip_prefix;
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

const char *checkpoint_name(const Checkpoint *c, const StTensor *t) {
  size_t n = c->strip ? strlen(c->strip) : 0;
  return n && !strncmp(t->name, c->strip, n) && t->name[n] ? t->name + n : t->name;
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

const StTensor *checkpoint_find(const Checkpoint *c, const char *name) {
  char full[MAX_FULL_NAME];
  const StTensor *t = checkpoint_alias(c, name);
  if (!t && c->strip && full_name(full, c->strip, name)) t = find_exact(c, full);
  return t ? t : find_exact(c, name);
}

const StTensor *checkpoint_near(const Checkpoint *c, const char *name) {
  char full[MAX_FULL_NAME];
  const StTensor *best = NULL;
  size_t least = SIZE_MAX;
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

bool checkpoint_strip(Session *s, Checkpoint *c, const WeightNames *want) {
  enum { MAX_TRIES = 64 };
  const char *missing = c->strip ? NULL : first_missing(c, "", want), *found = NULL;
  size_t tries = 0;
  for (size_t i = 0; i < c->n && missing; i++)
    for (size_t k = 0; k < st_count(c->file[i]) && tries < MAX_TRIES; k++) {
      const char *prefix = checkpoint_prefix(&s->arena, st_at(c->file[i], k)->name, missing);
      if (!prefix || (found && !strcmp(prefix, found))) continue;
      tries++;
      if (first_missing(c, prefix, want)) continue;
      if (found) {
        session_note(s, "syc: note: the names are there below '%s' and below '%s'; choose with --strip-prefix", found,
                     prefix);
        return false;
      }
      found = prefix;
    }
  if (!found) return false;
  c->strip = found;
  session_note(s, "syc: note: the names of the checkpoint begin with '%s', which is left out", found);
  return true;
}
