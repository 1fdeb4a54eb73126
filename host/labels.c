// labels.c: see labels.h.
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
