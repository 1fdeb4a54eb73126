// edited_text.c - see edited_text.h.
#include "edited_text.h"
#include "kernel_random.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct Part {
  size_t at, n;
} Part;

static bool in_word(char c) {
  return isalnum((unsigned char)c) || c == '_';
}

// The first run of digits (or letters, if `word`) behind a random place; n = 0: none.
static Part some_part(const Text *t, bool word, uint64_t *seed) {
  size_t lo = t->n ? (size_t)random_below(seed, (int64_t)t->n) : 0;
  for (; lo < t->n; lo++) {
    bool begins = word ? isalpha((unsigned char)t->s[lo]) : isdigit((unsigned char)t->s[lo]);
    if (begins && (!lo || (!in_word(t->s[lo - 1]) && t->s[lo - 1] != '%'))) break; // %7 is a name
  }
  size_t hi = lo;
  while (hi < t->n && (word ? in_word(t->s[hi]) : isdigit((unsigned char)t->s[hi]) != 0)) hi++;
  return (Part){lo, hi - lo};
}

static Part some_line(const Text *t, uint64_t *seed) {
  size_t lo = t->n ? (size_t)random_below(seed, (int64_t)t->n) : 0;
  while (lo && t->s[lo - 1] != '\n') lo--;
  size_t hi = lo;
  while (hi < t->n && t->s[hi] != '\n') hi++;
  return (Part){lo, hi - lo + (hi < t->n)};
}

static Text with(Arena *a, Text t, Part p, const char *s, size_t n) {
  char *all = arena_alloc(a, t.n - p.n + n + 1);
  memcpy(all, t.s, p.at);
  memcpy(all + p.at, s, n);
  memcpy(all + p.at + n, t.s + p.at + p.n, t.n - p.at - p.n);
  return (Text){all, t.n - p.n + n, t.name};
}

static Text other_number(Arena *a, Text t, uint64_t *seed) {
  static const int few[] = {0, 1, 2, 3, 4, 7, 8, 16, 32, 64, 128, 192, 256, 1024, 4096, 65536};
  Part p = some_part(&t, false, seed);
  if (!p.n || p.n > 9) return t;
  int64_t have = strtoll(t.s + p.at, NULL, 10), v = have;
  switch (random_below(seed, 8)) {
  case 0: v = few[random_below(seed, sizeof few / sizeof *few)]; break;
  case 1: v = have * 2; break;
  case 2: v = have / 2; break;
  default:
    v = have + (random_below(seed, 2) ? 1 : -1) * (1 + random_below(seed, 2));
    break; // what an interval may miss
  }
  char number[24];
  int n = snprintf(number, sizeof number, "%lld", (long long)(v < 0 ? 0 : v));
  return with(a, t, p, number, (size_t)n);
}

static Text other_word(Arena *a, Text t, uint64_t *seed) { // one that stands elsewhere in the text
  Part p = some_part(&t, true, seed), from = some_part(&t, true, seed);
  return p.n && from.n ? with(a, t, p, t.s + from.at, from.n) : t;
}

static Text other_line(Arena *a, Text t, uint64_t *seed) {
  Part p = some_line(&t, seed), from = some_line(&t, seed);
  bool remove = random_below(seed, 2);
  if (!remove) p.n = 0;
  return with(a, t, p, t.s + from.at, remove ? 0 : from.n);
}

Text edited_text(Arena *a, Text t, unsigned edits, uint64_t *seed) {
  for (unsigned i = 0; i < edits; i++) {
    int64_t kind = random_below(seed, 20);
    t = kind < 17 ? other_number(a, t, seed) : kind < 19 ? other_word(a, t, seed) : other_line(a, t, seed);
  }
  return t;
}
