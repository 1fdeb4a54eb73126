// loop.c: lines of a page that come again.
#include "page.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PERIOD = 400, LEAST_PERIOD = 3 };

// The number in which two paths differ, at the same place: where it begins in `a`, and both values. False: they are
// equal, or differ otherwise.
static bool one_number(const char *a, const char *b, size_t *begin, long *x, long *y) {
  size_t i = 0;
  char *end_a, *end_b;
  while (a[i] && a[i] == b[i]) i++;
  while (i > 0 && isdigit((unsigned char)a[i - 1])) i--;
  if (!isdigit((unsigned char)a[i]) || !isdigit((unsigned char)b[i])) return false;
  *begin = i;
  *x = strtol(a + i, &end_a, 10);
  *y = strtol(b + i, &end_b, 10);
  return !strcmp(end_a, end_b) && (size_t)(end_a - a) < i + 7 && (size_t)(end_b - b) < i + 7;
}

static size_t line_of(const Page *p, Val v) { // SIZE_MAX: it has none
  return p->row[v.id] ? p->row[v.id] - 1 : SIZE_MAX;
}

// Is line `b` what line `a` is, one round later? A round begins at `from`.
static bool comes_again(const Page *p, size_t from, size_t period, size_t a, Val *entry) {
  const Line *x = &p->line.at[a], *y = &p->line.at[a + period];
  if (x->weight != y->weight || x->part.n != y->part.n) return false;
  for (size_t i = 0; i < x->part.n; i++) {
    const Part *s = &x->part.at[i], *t = &y->part.at[i];
    if (s->kind != t->kind) return false;
    if (s->kind == PART_TEXT && strcmp(s->text, t->text) != 0) return false;
    if (s->kind == PART_PATH) {
      size_t begin;
      long m, n;
      if (!one_number(s->text, t->text, &begin, &m, &n) || n != m + 1) return false;
    }
    if (s->kind != PART_VAL) continue;
    size_t la = line_of(p, s->v), lb = line_of(p, t->v);
    size_t round = from + (a - from) / period * period; // where the round of `a` begins
    bool within = la != SIZE_MAX && la >= round && lb == la + period;
    bool before = la == SIZE_MAX || la < round;
    bool handed =
        before && lb == round + period - 1 && (round == from ? (!entry->id || entry->id == s->v.id) : la == round - 1);
    bool fixed = before && s->v.id == t->v.id && (la == SIZE_MAX || la < from);
    if (handed && !fixed && round == from) *entry = s->v;
    if (!within && !handed && !fixed) return false;
  }
  return true;
}

// Nothing behind a round reads a line of it but the last, which the next round reads, or whoever follows.
static bool closed(const Page *p, size_t from, size_t period, size_t count) {
  size_t end = from + period * count;
  for (size_t i = from; i < p->line.n; i++)
    for (size_t k = 0; k < p->line.at[i].part.n; k++) {
      if (p->line.at[i].part.at[k].kind != PART_VAL) continue;
      size_t at = line_of(p, p->line.at[i].part.at[k].v);
      if (at == SIZE_MAX || at < from || at >= end) continue;
      size_t round = (at - from) / period;
      bool same = i < end && (i - from) / period == round, last = (at - from) % period == period - 1;
      bool next = last && (i < end ? (i - from) / period == round + 1 : round == count - 1);
      if (!same && !next) return false;
    }
  for (size_t i = 0; i < p->g->output.n; i++) {
    size_t at = line_of(p, p->g->output.at[i].val);
    if (at != SIZE_MAX && at >= from && at < end - 1) return false;
  }
  return true;
}

static bool has_path(const Page *p, size_t from, size_t period) {
  for (size_t i = from; i < from + period; i++)
    for (size_t k = 0; k < p->line.at[i].part.n; k++)
      if (p->line.at[i].part.at[k].kind == PART_PATH) return true;
  return false;
}

bool loop_find(const Page *p, size_t from, Loop *out) {
  for (size_t period = LEAST_PERIOD; period <= MOST_PERIOD && from + 2 * period <= p->line.n; period++) {
    Val entry = NO_VAL;
    size_t n = 0;
    while (from + n + period < p->line.n && comes_again(p, from, period, from + n, &entry)) n++;
    size_t count = n / period + 1;
    if (count < 2 || !entry.id || p->line.at[from + period - 1].weight || !has_path(p, from, period)) continue;
    while (count > 1 && !closed(p, from, period, count)) count--;
    if (count < 2) continue;
    *out = (Loop){p, period, count, entry};
    return true;
  }
  return false;
}

// The number that counts is found by looking at the same path one round later.
void loop_path(const Loop *l, const char *path, Buf *out) {
  const Page *p = l->p;
  for (size_t i = 0; i + l->period < p->line.n; i++)
    for (size_t k = 0; k < p->line.at[i].part.n; k++) {
      const Part *x = &p->line.at[i].part.at[k];
      if (x->kind != PART_PATH || x->text != path) continue;
      size_t begin;
      long m, n;
      if (!one_number(path, p->line.at[i + l->period].part.at[k].text, &begin, &m, &n)) break;
      char *rest;
      (void)strtol(path + begin, &rest, 10);
      buf_putn(out, path, begin);
      buf_puts(out, m ? "" : "{i}");
      if (m) buf_printf(out, "{i + %ld}", m);
      buf_puts(out, rest);
      return;
    }
  buf_puts(out, path);
}
