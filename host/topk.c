// topk.c - softmax, selection of the best classes, label files; see topk.h.
#include "topk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LABELS_FILE = 64 << 20 }; // bytes

// exp(logit - top), 1 for the top itself so that infinities do not give NaN.
static double weight_of(float logit, float top) {
  return logit == top ? 1.0 : exp((double)logit - (double)top);
}

// What all probabilities are relative to: the greatest logit and the sum of weights.
static double softmax_sum(const float *logit, size_t n, float *top) {
  double sum = 0.0;
  *top = -INFINITY;
  for (size_t i = 0; i < n; i++)
    if (logit[i] > *top) *top = logit[i];
  for (size_t i = 0; i < n; i++) sum += weight_of(logit[i], *top);
  return sum;
}

void host_softmax(const float *logit, size_t n, float *probability) {
  float top;
  double sum = softmax_sum(logit, n, &top);
  for (size_t i = 0; i < n; i++) probability[i] = (float)(weight_of(logit[i], top) / sum);
}

static bool is_better(float a, float b) {
  return a > b || (!isnan(a) && isnan(b));
}

size_t host_top_k(const float *logit, size_t n, size_t k, HostTop *top) {
  size_t kept = 0;
  if (k == 0) return 0;
  for (size_t i = 0; i < n; i++) { // insertion: k is small, and most classes fail the first comparison
    if (kept == k && !is_better(logit[i], top[k - 1].logit)) continue;
    size_t at = kept < k ? kept++ : k - 1;
    for (; at > 0 && is_better(logit[i], top[at - 1].logit); at--) top[at] = top[at - 1];
    top[at] = (HostTop){.index = i, .logit = logit[i]};
  }
  float greatest;
  double sum = softmax_sum(logit, n, &greatest);
  for (size_t i = 0; i < kept; i++) top[i].probability = (float)(weight_of(top[i].logit, greatest) / sum);
  return kept;
}

bool host_labels_load(const char *path, HostLabels *labels, HostError *err) {
  size_t n = 0, lines = 0;
  *labels = (HostLabels){0};
  labels->text = host_read_file(path, MAX_LABELS_FILE, &n, err);
  if (!labels->text) return false;
  if (memchr(labels->text, '\0', n)) {
    host_labels_free(labels);
    return host_fail(err, "%.300s: not a text file", path);
  }
  for (size_t i = 0; i < n; i++) lines += labels->text[i] == '\n';
  labels->name = calloc(lines + 1, sizeof *labels->name);
  if (!labels->name) {
    host_labels_free(labels);
    return host_fail(err, "out of memory");
  }
  for (size_t at = 0; at < n;) {
    char *line = labels->text + at, *stop = memchr(line, '\n', n - at);
    size_t len = stop ? (size_t)(stop - line) : n - at;
    at += len + 1;
    if (len && line[len - 1] == '\r') line[len - 1] = '\0';
    line[len] = '\0'; // the line break, or the zero byte behind the file
    labels->name[labels->count++] = line;
  }
  return true;
}

void host_labels_free(HostLabels *labels) {
  free(labels->name);
  free(labels->text);
  *labels = (HostLabels){0};
}
