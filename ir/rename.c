// rename.c: see rename.h. Matching tries the ends of each place from left to right and goes back. Names of checkpoints
// take a few tries; a name that takes more than MOST_TRIES (a long one against many places) does not match.
#include "rename.h"

#include <string.h>

enum { MOST_TRIES = 100000 };

bool rename_way(const char *how, size_t *least, size_t *most) {
  static const struct {
    const char *name;
    size_t least, most;
  } ways[] = {{"", 1, 1}, {"concat", 2, RENAME_MAX_PARTS}, {"transposed", 1, 1}};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    if (strcmp(how, ways[i].name) != 0) continue;
    *least = ways[i].least;
    *most = ways[i].most;
    return true;
  }
  return false;
}

typedef struct Place { // "{i}" or "{a...}"
  const char *name;
  size_t nname;
  bool any;         // points too
  const char *next; // behind the '}'
} Place;

static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Reads the place at *s == '{'. False if it is none.
static bool read_place(const char *s, Place *p) {
  *p = (Place){.name = ++s};
  while (is_word(*s)) s++;
  p->nname = (size_t)(s - p->name);
  p->any = !strncmp(s, "...", 3);
  if (p->any) s += 3;
  p->next = s + 1;
  return p->nname && *s == '}';
}

static size_t find_place(const RenameMatch *m, const Place *p) {
  size_t i = 0;
  while (i < m->n && (m->at[i].nname != p->nname || memcmp(m->at[i].name, p->name, p->nname) != 0)) i++;
  return i;
}

// Collects the places of a pattern into m; the texts stay empty.
static const char *read_places(Arena *a, const char *pattern, RenameMatch *m) {
  Place p;
  if (!pattern[0]) return "a name is empty";
  for (const char *s = pattern; *s;) {
    if (*s == '}') return "a '}' closes nothing";
    if (*s != '{') {
      s++;
      continue;
    }
    if (!read_place(s, &p)) return "a '{' is followed by a name and '}', as in {i} or {a...}";
    s = p.next;
    if (find_place(m, &p) < m->n) continue;
    if (m->n == RENAME_MAX_PLACES) return arena_printf(a, "more than %d different {places}", RENAME_MAX_PLACES);
    m->at[m->n].name = p.name;
    m->at[m->n++].nname = p.nname;
  }
  return NULL;
}

const char *rename_problem(Arena *a, const char *ours, const char *theirs) {
  RenameMatch left = {0}, right = {0};
  const char *wrong = read_places(a, ours, &left);
  if (!wrong) wrong = read_places(a, theirs, &right);
  for (size_t i = 0; !wrong && i < right.n; i++) {
    Place p = {.name = right.at[i].name, .nname = right.at[i].nname};
    if (find_place(&left, &p) == left.n)
      wrong = arena_printf(a, "{%.*s} does not stand in the name on the left", (int)p.nname, p.name);
  }
  return wrong;
}

static bool match(const char *pattern, const char *name, RenameMatch *m, size_t *tries) {
  if (m->n > RENAME_MAX_PLACES) return false;
  while (*pattern && *pattern != '{') {
    if (*pattern++ != *name++) return false;
  }
  if (!*pattern) return !*name;
  Place p;
  if (!read_place(pattern, &p)) return false;
  size_t old = find_place(m, &p);
  if (old < m->n) { // seen before: the same text again
    size_t n = m->at[old].ntext;
    return !strncmp(name, m->at[old].text, n) && match(p.next, name + n, m, tries);
  }
  if (m->n == RENAME_MAX_PLACES) return false;
  for (size_t n = 1; name[n - 1] && (p.any || name[n - 1] != '.'); n++) {
    RenameMatch longer = *m;
    longer.at[longer.n].name = p.name;
    longer.at[longer.n].nname = p.nname;
    longer.at[longer.n].text = name;
    longer.at[longer.n++].ntext = n;
    if (++*tries > MOST_TRIES) return false;
    if (!match(p.next, name + n, &longer, tries)) continue;
    *m = longer;
    return true;
  }
  return false;
}

bool rename_match(const char *pattern, const char *name, RenameMatch *m) {
  size_t tries = 0;
  return match(pattern, name, m, &tries);
}

const char *rename_apply(Arena *a, const char *pattern, const RenameMatch *m) {
  Buf b = {0};
  Place p;
  for (const char *s = pattern; *s;) {
    if (*s == '{' && read_place(s, &p)) {
      size_t i = find_place(m, &p);
      if (i < m->n) buf_putn(&b, m->at[i].text, m->at[i].ntext);
      s = p.next;
    } else {
      buf_putc(&b, *s++);
    }
  }
  const char *text = arena_strdup(a, b.s ? b.s : "");
  buf_free(&b);
  return text;
}
