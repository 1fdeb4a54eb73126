// labels_json.c - labels that come as JSON; the forms are in labels.h.
//
// Strings are decoded where they stand, as an escape is never shorter than what it means; nothing else is kept.
#include "labels.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64 };

typedef struct {
  char *at;
  const char *start, *end; // a zero byte stands at end
  HostLabels *labels;
  size_t room;
  HostError *err;
} Reader;

static bool wrong(const Reader *r, const char *what) {
  return host_fail(r->err, "JSON, byte %zu: %s", (size_t)(r->at - r->start) + 1, what);
}

static void blanks(Reader *r) {
  while (*r->at && strchr(" \t\r\n", *r->at)) r->at++;
}

static bool take(Reader *r, char c) {
  blanks(r);
  if (*r->at != c) return false;
  r->at++;
  return true;
}

static int hex4(const char *s) {
  int v = 0;
  for (int i = 0; i < 4; i++) {
    const char *digits = "0123456789abcdef",
               *d = s[i] ? strchr(digits, s[i] >= 'A' && s[i] <= 'F' ? s[i] | 32 : s[i]) : NULL;
    if (!d) return -1;
    v = 16 * v + (int)(d - digits);
  }
  return v;
}

// \uXXXX, of two for what lies above U+FFFF. A half of a pair becomes U+FFFD.
static bool escape_number(Reader *r, char **to) {
  int hi = hex4(r->at), lo = hi >= 0xd800 && hi < 0xdc00 && r->at[4] == '\\' && r->at[5] == 'u' ? hex4(r->at + 6) : -1;
  if (hi <= 0) return wrong(r, hi ? "\\u needs four digits" : "a label has a zero character");
  bool pair = lo >= 0xdc00 && lo < 0xe000;
  uint32_t c = pair ? 0x10000 + ((uint32_t)(hi & 0x3ff) << 10 | (uint32_t)(lo & 0x3ff)) : (uint32_t)hi;
  r->at += pair ? 10 : 4;
  *to += host_utf8_put(c, *to);
  return true;
}

// A string at r->at, decoded in place and ended by a zero byte.
static bool string(Reader *r, char **out) {
  static const char from[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
  if (!take(r, '"')) return wrong(r, "a string is expected");
  char *to = *out = r->at;
  while (*r->at != '"') {
    if (r->at >= r->end || (unsigned char)*r->at < 32) return wrong(r, "the string is not ended");
    if (*r->at != '\\') {
      *to++ = *r->at++;
      continue;
    }
    const char *e = r->at[1] ? strchr(from, r->at[1]) : NULL;
    r->at += 2;
    if (e)
      *to++ = meaning[e - from];
    else if (r->at[-1] != 'u')
      return wrong(r, "this escape is none");
    else if (!escape_number(r, &to))
      return false;
  }
  *to = 0;
  r->at++;
  return true;
}

static bool number(Reader *r, size_t *v) {
  blanks(r);
  *v = 0;
  if (*r->at < '0' || *r->at > '9') return wrong(r, "a number of a class is expected");
  for (; *r->at >= '0' && *r->at <= '9'; r->at++) {
    if (*v > SIZE_MAX / 16) return wrong(r, "the number is too large");
    *v = 10 * *v + (size_t)(*r->at - '0');
  }
  return (*r->at != '.' && (*r->at | 32) != 'e') || wrong(r, "a number of a class is expected");
}

static bool put(Reader *r, size_t index, char *name) {
  HostLabels *l = r->labels;
  if (index >= r->room) return host_fail(r->err, "JSON: there is a class %zu, but not as many names", index);
  if (l->name[index]) return host_fail(r->err, "JSON: class %zu stands twice", index);
  l->name[index] = name;
  if (index >= l->count) l->count = index + 1;
  return true;
}

// A name: a string, or a list whose last string it is ("n01440764", "tench").
static bool name(Reader *r, char **out) {
  if (!take(r, '[')) return string(r, out);
  do
    if (!string(r, out)) return false;
  while (take(r, ','));
  return take(r, ']') || wrong(r, "']' is expected");
}

static bool names_in_order(Reader *r) {
  char *s;
  if (!take(r, ']')) {
    do
      if (!name(r, &s) || !put(r, r->labels->count, s)) return false;
    while (take(r, ','));
    if (!take(r, ']')) return wrong(r, "']' is expected");
  }
  return true;
}

// Members "0": name or "name": 0, of one kind throughout.
static bool names_by_number(Reader *r) {
  bool by_name = false;
  size_t members = 0;
  if (!take(r, '{')) return wrong(r, "'{' is expected");
  do {
    char *key, *s;
    size_t index = 0;
    if (!string(r, &key) || !(take(r, ':') || wrong(r, "':' is expected"))) return false;
    blanks(r);
    bool here = *r->at != '"' && *r->at != '[';
    if (members++ == 0) by_name = here;
    if (here != by_name) return wrong(r, "names by number and numbers by name are mixed");
    Reader digits = {.at = key, .start = r->start, .end = r->end, .err = r->err};
    if (here ? !number(r, &index) : !number(&digits, &index) || (*digits.at && !wrong(&digits, "a number is expected")))
      return false;
    s = key;
    if (!here && !name(r, &s)) return false;
    if (!put(r, index, s)) return false;
  } while (take(r, ','));
  return take(r, '}') || wrong(r, "'}' is expected");
}

// Goes over a value without changing it.
static bool skip(Reader *r, unsigned depth) {
  blanks(r);
  if (depth > DEEPEST) return wrong(r, "too many brackets inside each other");
  if (*r->at == '"') {
    for (r->at++; *r->at && *r->at != '"'; r->at++)
      if (*r->at == '\\' && r->at[1]) r->at++;
    return *r->at ? (r->at++, true) : wrong(r, "the string is not ended");
  }
  if (*r->at != '{' && *r->at != '[') {
    size_t n = strcspn(r->at, ",]} \t\r\n");
    r->at += n;
    return n || wrong(r, "a value is expected");
  }
  char close = *r->at == '{' ? '}' : ']';
  r->at++;
  if (take(r, close)) return true;
  do {
    if (!skip(r, depth + 1)) return false;
    if (close == '}' && (!take(r, ':') || !skip(r, depth + 1))) return wrong(r, "a member is expected");
  } while (take(r, ','));
  return take(r, close) || wrong(r, close == '}' ? "'}' is expected" : "']' is expected");
}

// Where the value of the outermost member `key` begins; NULL: there is none. The text is sound JSON.
static char *member(Reader r, const char *key) {
  size_t n = strlen(key);
  if (!take(&r, '{') || take(&r, '}')) return NULL;
  do {
    blanks(&r);
    char *s = r.at + 1;
    if (!skip(&r, 0) || !take(&r, ':')) return NULL;
    if ((size_t)(r.at - s) > n && !strncmp(s, key, n) && s[n] == '"') return r.at;
    if (!skip(&r, 0)) return NULL;
  } while (take(&r, ','));
  return NULL;
}

bool host_labels_json(HostLabels *labels, size_t n, HostError *err) {
  Reader r = {labels->text, labels->text, labels->text + n, labels, 1, err}, all = r;
  for (size_t i = 0; i < n; i++) r.room += labels->text[i] == ',';
  labels->name = calloc(r.room, sizeof *labels->name);
  if (!labels->name) return host_no_memory(err);
  if (!skip(&all, 0)) return false;
  blanks(&all);
  if (all.at != all.end) return wrong(&all, "something stands behind the end");
  char *by_number = member(r, "id2label"), *by_name = member(r, "label2id");
  if (by_number || by_name) r.at = by_number ? by_number : by_name;
  blanks(&r);
  if (!(*r.at == '[' ? take(&r, '[') && names_in_order(&r) : names_by_number(&r))) return false;
  for (size_t i = 0; i < labels->count; i++)
    if (!labels->name[i]) return host_fail(err, "JSON: class %zu of %zu has no name", i, labels->count);
  return true;
}
