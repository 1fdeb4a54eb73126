// topk.h - from class scores to the best few labels.
//
//   HostLabels labels;
//   HostTop best[5];
//   host_labels_load("imagenet.txt", &labels, &err);
//   size_t n = host_top_k(logits, 1000, 5, best);
//   for (size_t i = 0; i < n; i++) printf("%6.2f%% %s\n", 100 * best[i].probability, labels.name[best[i].index]);
//   host_labels_free(&labels);
#ifndef SWITCHYARD_HOST_TOPK_H
#define SWITCHYARD_HOST_TOPK_H

#include "labels.h"

typedef struct {
  size_t index;      // class
  float logit;       // as given
  float probability; // softmax over all classes
} HostTop;

// Softmax of n logits into probability f32[n] (may be the same array). Sums in double. Logits of +inf
// share all probability; a NaN makes every probability NaN.
void host_softmax(const float *logit, size_t n, float *probability);

// The min(k, n) rows with the highest scores in O(n log k), best first; equal scores in the order of their index, NaN
// last. Fills index and logit of top, which has room for that many. Returns their number.
size_t host_best(const float *score, size_t n, size_t k, HostTop *top);

// The min(k, n) classes with the highest logits, best first; equal logits in the order of their index,
// NaN last. top has room for that many. Returns their number.
size_t host_top_k(const float *logit, size_t n, size_t k, HostTop *top);

#endif
