// precision.c: see precision.h. A pattern with places is matched by the set of its positions that a part of the name
// can have led to, so that a name takes the time of its length however many places there are.
#include "precision.h"

#include "common/text.h"

#include <string.h>

const Precision precisions[] = {
#define PRECISION(name, keep, codes, cosine, about) {#name, DT_##keep, codes, cosine, about},
#include "precisions.def"
#undef PRECISION
};
const size_t precision_count = sizeof precisions / sizeof *precisions;

const Precision *precision_by_name(const char *name) {
  if (!name) return precisions;
  for (size_t i = 0; i < precision_count; i++)
    if (!strcmp(precisions[i].name, name)) return &precisions[i];
  return NULL;
}

const char *precision_near(const char *name) {
  const char *best = NULL;
  size_t dist = 0;
  for (size_t i = 0; i < precision_count; i++) near_name(name, precisions[i].name, &best, &dist);
  return best;
}

const char *precision_names(Arena *a) {
  const char *all = precisions[0].name;
  for (size_t i = 1; i < precision_count; i++) all = arena_printf(a, "%s, %s", all, precisions[i].name);
  return all;
}

/* patterns
 * ------------------------------------------------------------------------------------------------------------ */

static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// The length of a place "{i}", "{a...}" at s; 0: it is none.
static size_t place_length(const char *s, size_t *name) {
  const char *at = s + 1;
  while (is_word(*at)) at++;
  *name = (size_t)(at - s) - 1;
  if (!strncmp(at, "...", 3)) at += 3;
  return *name && *at == '}' ? (size_t)(at - s) + 1 : 0;
}

const char *precision_problem(Arena *a, const char *pattern) {
  size_t name;
  if (!*pattern) return "a pattern is empty";
  if (strlen(pattern) > PRECISION_LONGEST)
    return arena_printf(a, "a pattern is longer than %d characters", PRECISION_LONGEST);
  for (const char *s = pattern; *s; s++) {
    if (*s == '}') return "a '}' closes nothing";
    if (*s != '{') continue;
    size_t n = place_length(s, &name);
    if (!n) return "a '{' is followed by a name and '}', as in {i} or {a...}";
    for (const char *t = strchr(s + n, '{'); t; t = strchr(t + 1, '{'))
      if (!strncmp(s + 1, t + 1, name) && !is_word(t[name + 1]))
        return arena_printf(a, "{%.*s} stands twice; a place stands once here", (int)name, s + 1);
    s += n - 1;
  }
  return NULL;
}

bool precision_is_name(const char *pattern) {
  return !strpbrk(pattern, "*?{");
}

typedef struct Piece {
  enum { P_CHAR, P_ONE, P_ANY, P_PART } kind; // P_PART: any but points
  char c;
} Piece;

// A place of at least one character is one character and then any number.
static size_t pieces_of(const char *s, Piece *p) {
  size_t n = 0, name;
  while (*s && n + 2 <= PRECISION_LONGEST) {
    size_t place = *s == '{' ? place_length(s, &name) : 0;
    if (!place) {
      p[n++] = (Piece){*s == '*' ? P_ANY : *s == '?' ? P_ONE : P_CHAR, *s};
      s++;
      continue;
    }
    bool any = s[place - 2] == '.';
    p[n++] = (Piece){any ? P_ONE : P_PART, 1};
    p[n++] = (Piece){any ? P_ANY : P_PART, 0};
    s += place;
  }
  return n;
}

static bool loops(const Piece *p) {
  return p->kind == P_ANY || (p->kind == P_PART && !p->c);
}

static bool takes(const Piece *p, char c) {
  return p->kind == P_ANY || p->kind == P_ONE || (p->kind == P_PART ? c != '.' : p->c == c);
}

static bool fits_places(const char *pattern, const char *name, size_t nname) {
  Piece p[PRECISION_LONGEST + 2];
  bool at[PRECISION_LONGEST + 3];
  size_t n = pieces_of(pattern, p);
  memset(at, 0, n + 1);
  at[0] = true;
  for (size_t k = 0; k < n && loops(&p[k]); k++) at[k + 1] = true;
  for (size_t i = 0; i < nname; i++) {
    bool next[PRECISION_LONGEST + 3], some = false;
    memset(next, 0, n + 1);
    for (size_t k = 0; k < n; k++) {
      if (!at[k] || !takes(&p[k], name[i])) continue;
      some = next[loops(&p[k]) ? k : k + 1] = true;
    }
    if (!some) return false;
    for (size_t k = 0; k < n; k++) next[k + 1] = next[k + 1] || (next[k] && loops(&p[k]));
    memcpy(at, next, n + 1);
  }
  return at[n];
}

bool precision_fits(const char *pattern, const char *weight) {
  static const char last[] = ".weight";
  size_t n = strlen(weight), k = sizeof last - 1;
  if (fits_places(pattern, weight, n)) return true;
  return n > k && !strcmp(weight + n - k, last) && fits_places(pattern, weight, n - k);
}

/* sets
 * ---------------------------------------------------------------------------------------------------------------- */

PrecisionRule *precision_rule(const PrecisionSet *s, const char *weight) {
  for (size_t i = 0; i < s->rule.n; i++)
    if (precision_fits(s->rule.at[i].pattern, weight)) return &s->rule.at[i];
  return NULL;
}

const char *precision_text(Arena *a, const PrecisionSet *s) {
  Buf b = {0};
  for (size_t i = 0; i < s->rule.n; i++)
    buf_printf(&b, "%s\"%s\" = %s", i ? ", " : "{", s->rule.at[i].pattern, s->rule.at[i].is->name);
  buf_putc(&b, '}');
  const char *text = arena_strdup(a, b.s);
  buf_free(&b);
  return text;
}

double precision_cosine(const PrecisionSet *s, const Precision *all) {
  double least = s ? 0 : all->cosine;
  for (size_t i = 0; s && i < s->rule.n; i++) {
    double one = s->rule.at[i].is->cosine;
    if (one > 0 && (least <= 0 || one < least)) least = one;
  }
  return least;
}

bool precision_has(const PrecisionSet *s, const Precision *all, bool pairs) {
  bool has = !s && all->codes && (all->codes == PRECISION_PAIRS) == pairs;
  for (size_t i = 0; s && i < s->rule.n; i++) {
    int codes = s->rule.at[i].is->codes;
    has = has || (codes && (codes == PRECISION_PAIRS) == pairs);
  }
  return has;
}
