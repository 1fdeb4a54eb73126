// precision.c: --precision: the name of a precision (ir/precisions.def), of a set of the page, or a file with the lines
// of a set. A word with a '/' or a '.' is a path, as where a page is named.
//
//   syc build vit:base --precision int8 | --precision mixed | --precision vit.precision
#include "driver.h"
#include "ir/precision.h"

#include "common/text.h"

#include <string.h>

const Precision *session_precision_of_all(const Session *s) {
  const Precision *p = precision_by_name(s->opt.precision);
  return p ? p : precisions;
}

static bool is_file(const char *word) {
  return strpbrk(word, "/.") != NULL;
}

static const char *list_sets(Session *s, const Module *m, const char *name, const char **near) {
  const char *all = "";
  size_t dist = 0;
  for (size_t i = 0; i < precision_count; i++) near_name(name, precisions[i].name, near, &dist);
  for (size_t i = 0; i < m->precisions.n; i++) {
    near_name(name, m->precisions.at[i]->name, near, &dist);
    all = arena_printf(&s->arena, "%s%s%s", all, *all ? ", " : "", m->precisions.at[i]->name);
  }
  return all;
}

// Of two sets of one name the page's own counts.
static PrecisionSet *find_set(const Module *m, const char *name) {
  PrecisionSet *found = NULL;
  for (size_t i = 0; i < m->precisions.n; i++) {
    PrecisionSet *x = m->precisions.at[i];
    if (!strcmp(x->name, name) && (!found || (x->own && !found->own))) found = x;
  }
  if (!found && m->precision && !strcmp(m->precision->name, name)) found = m->precision; // IR carries it
  return found;
}

static PrecisionSet *read_set(Session *s, const char *path) {
  size_t n;
  const char *err = "", *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  char *text = file_read(&s->arena, path, &n, &err);
  if (!text) return session_fail(s, EXIT_IO, "--precision: cannot read %s: %s", path, err), NULL;
  VEC_PUSH(&s->arena, s->deps, path);
  digest_add(&s->pages, &n, sizeof n);
  digest_add(&s->pages, text, n);
  PrecisionSet *set = front_precision(&s->arena, &s->names, &s->diag, path, text, n, base);
  return session_flush(s) ? set : NULL;
}

static const char *why_idle(const Module *m, const PrecisionSet *set, const PrecisionRule *r) {
  bool fits = false;
  for (size_t i = 0; i < m->weight.n; i++) {
    if (precision_rule(set, m->weight.at[i].name) == r) return NULL;
    fits = fits || precision_fits(r->pattern, m->weight.at[i].name);
  }
  return fits ? "fits only what rules above it fit" : "fits no weight of what is compiled";
}

// A check compiles one route after the other, so there it says nothing.
static void note_idle(Session *s, const Module *m, const PrecisionSet *set) {
  if (!m->weight.n || !strcmp(s->command, "check")) return;
  for (size_t i = 0; i < set->rule.n; i++) {
    const PrecisionRule *r = &set->rule.at[i];
    const char *why = why_idle(m, set, r), *path;
    uint32_t line, column;
    bool rest = precision_fits(r->pattern, ""); // what has no name
    if (!why || rest) continue;
    if (diag_place(&s->diag, r->span, &path, &line, &column))
      session_note(s, "%s:%u:%u: note: the rule \"%s\" = %s %s", path, line, column, r->pattern, r->is->name, why);
  }
}

bool session_precision(Session *s, Module *m) {
  const char *name = s->opt.precision, *near = NULL;
  if (!name) {
    s->precision = m->precision; // IR may carry one
    return true;
  }
  PrecisionSet *set = precision_by_name(name) ? NULL : is_file(name) ? read_set(s, name) : find_set(m, name);
  s->precision = m->precision = set;
  if (precision_by_name(name)) return true;
  if (!set && is_file(name)) return false;
  if (!set) {
    const char *all = list_sets(s, m, name, &near);
    session_fail(
        s, EXIT_USAGE,
        "--precision: there is no precision '%s'%s%s%s (%s%s%s; a file of rules has a '/' or a '.' in its name)", name,
        near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", precision_names(&s->arena),
        *all ? ", and of the page " : "", all);
    return false;
  }
  note_idle(s, m, set);
  return true;
}
