// labels.c: see labels.h.
//
// Lines with a number each ("281<tab>tabby", "tabby,281") are those of classes, in whatever order they stand; only if
// the numbers are each of 0 .. n - 1, or 1 .. n, once, since names may have numbers of their own.
#include "labels.h"
#include "text.h"
#include "textfile.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 64 << 20 }; // bytes

static bool is_blank(const char *s) {
  return !s[strspn(s, " \t")];
}

static bool split(HostLabels *l, size_t n) {
  size_t lines = 1;
  for (size_t i = 0; i < n; i++) lines += l->text[i] == '\n';
  l->name = calloc(lines, sizeof *l->name);
  for (size_t at = 0; l->name && at < n;) {
    const char *line;
    size_t start = at, len = host_text_line(l->text, n, &at, &line);
    l->text[start + len] = 0; // the line break, or the zero byte behind the file
    l->name[l->count++] = l->text + start;
  }
  return l->name != NULL;
}

bool host_lines_load(const char *path, HostLabels *lines, HostError *err) {
  size_t n = 0;
  *lines = (HostLabels){.text = host_text_read(path, MAX_FILE, &n, err)};
  if (!lines->text) return false;
  if (split(lines, n)) return true;
  host_labels_free(lines);
  return host_no_memory(err);
}

void host_lines_trim(HostLabels *lines) {
  while (lines->count && is_blank(lines->name[lines->count - 1])) lines->count--;
}

/* lines with numbers
 * ----------------------------------------------------------------------------------------------------- */
static const char marks[] = "\t,;:"; // between a number and a name

typedef struct NumberedLine {
  size_t number;
  char *name, *end; // the name's letters
} NumberedLine;
typedef bool SplitLine(char *s, NumberedLine *line); // false: it has no number

static size_t digits_to(const char *s, const char *end, size_t *number) {
  size_t n = 0;
  *number = 0;
  while (s + n < end && s[n] >= '0' && s[n] <= '9' && n < 9) *number = 10 * *number + (size_t)(s[n++] - '0');
  return n;
}

static bool split_front(char *s, NumberedLine *line) { // "281<tab>tabby"
  char *end = s + strlen(s);
  size_t n = digits_to(s, end, &line->number);
  line->end = end;
  line->name = s + n + (s[n] != 0);
  return n && s[n] && strchr(marks, s[n]);
}

static bool split_back(char *s, NumberedLine *line) { // "tabby<tab>281"
  char *end = s + strlen(s), *at = end;
  while (at > s && at[-1] >= '0' && at[-1] <= '9') at--;
  line->name = s;
  line->end = at > s ? at - 1 : s;
  return at > s && at < end && strchr(marks, at[-1]) && digits_to(at, end, &line->number) == (size_t)(end - at);
}

// Without blanks around it, and without the quotes of CSV if there are none inside.
static char *trim(NumberedLine *line) {
  char *s = line->name, *end = line->end;
  while (s < end && (*s == ' ' || *s == '\t')) s++;
  while (s < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
  bool quoted = end - s > 2 && *s == '"' && end[-1] == '"' && !memchr(s + 1, '"', (size_t)(end - s) - 2);
  if (quoted) s++, end--;
  *end = 0;
  return s;
}

// The lines in the order of their numbers, if every line has one and all are there.
static bool is_numbered(const HostLabels *l, SplitLine *split_line, NumberedLine *line, NumberedLine *to) {
  size_t least = SIZE_MAX;
  for (size_t i = 0; i < l->count; i++) {
    if (!split_line(l->name[i], &line[i])) return false;
    if (line[i].number < least) least = line[i].number;
    to[i].name = NULL;
  }
  for (size_t i = 0; i < l->count; i++) {
    size_t at = line[i].number - least;
    if (at >= l->count || to[at].name) return false;
    to[at] = line[i];
  }
  return l->count > 1 && least < 2;
}

static bool order_by_number(HostLabels *l) { // false: out of memory
  NumberedLine *line = calloc(2 * l->count + 1, sizeof *line), *to = line ? line + l->count : NULL;
  bool numbered = line && (is_numbered(l, split_front, line, to) || is_numbered(l, split_back, line, to));
  for (size_t i = 0; numbered && i < l->count; i++) l->name[i] = trim(&to[i]);
  free(line);
  return line != NULL;
}

static bool check_names(const HostLabels *l, const char *what, size_t from, HostError *err) {
  if (!l->count) return host_fail(err, "there are no labels in it; one a line is needed");
  for (size_t i = 0; i < l->count; i++) {
    const char *s = l->name[i];
    if (is_blank(s)) return host_fail(err, "%s %zu is empty; every one is a class", what, i + from);
    if (!host_is_utf8(s, strlen(s)))
      return host_fail(err, "%s %zu is not UTF-8; save the file as UTF-8", what, i + from);
  }
  return true;
}

bool host_labels_load(const char *path, HostLabels *labels, HostError *err) {
  size_t n = 0;
  HostError why = {.text = "out of memory"};
  *labels = (HostLabels){.text = host_text_read(path, MAX_FILE, &n, err)};
  if (!labels->text) return false;
  bool json = host_is_json(labels->text, n);
  bool ok = json ? host_labels_json(labels, n, &why) : split(labels, n);
  if (ok && !json) host_lines_trim(labels);
  if (ok && !json) ok = order_by_number(labels);
  ok = ok && check_names(labels, json ? "label" : "line", json ? 0 : 1, &why);
  if (ok) return true;
  host_labels_free(labels);
  return host_fail(err, "%.300s: %.200s", path, why.text);
}

void host_labels_free(HostLabels *labels) {
  free(labels->name);
  free(labels->text);
  *labels = (HostLabels){0};
}
