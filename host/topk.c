// topk.c - softmax, selection of the best classes; see topk.h.
#include "topk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static bool is_better(const HostTop *a, const HostTop *b) {
  if (isnan(a->logit) || isnan(b->logit))
    return isnan(a->logit) == isnan(b->logit) ? a->index < b->index : isnan(b->logit);
  return a->logit > b->logit || (a->logit == b->logit && a->index < b->index);
}

static void swap(HostTop *a, HostTop *b) {
  HostTop t = *a;
  *a = *b;
  *b = t;
}

// A heap with the worst on top: lets the row at `at` sink below worse ones.
static void sink(HostTop *heap, size_t n, size_t at) {
  for (size_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && is_better(&heap[child], &heap[child + 1])) child++;
    if (!is_better(&heap[at], &heap[child])) return;
    swap(&heap[at], &heap[child]);
  }
}

size_t host_best(const float *score, size_t n, size_t k, HostTop *top) {
  if (k > n) k = n;
  for (size_t i = 0; i < k; i++) top[i] = (HostTop){.index = i, .logit = score[i]};
  for (size_t i = k; i-- > 0;) sink(top, k, i);
  for (size_t i = k; i < n && k; i++) {
    HostTop row = {.index = i, .logit = score[i]};
    if (!is_better(&row, &top[0])) continue;
    top[0] = row;
    sink(top, k, 0);
  }
  for (size_t left = k; left > 1; left--) { // the worst goes to the end
    swap(&top[0], &top[left - 1]);
    sink(top, left - 1, 0);
  }
  return k;
}

size_t host_top_k(const float *logit, size_t n, size_t k, HostTop *top) {
  size_t kept = host_best(logit, n, k, top);
  float greatest;
  double sum = softmax_sum(logit, n, &greatest);
  for (size_t i = 0; i < kept; i++) top[i].probability = (float)(weight_of(top[i].logit, greatest) / sum);
  return kept;
}
