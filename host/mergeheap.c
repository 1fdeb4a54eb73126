// mergeheap.c: see mergeheap.h. A binary heap.
#include "mergeheap.h"

#include <stdlib.h>

static bool less(MergeWait a, MergeWait b) {
  return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

bool mergeheap_push(MergeHeap *h, MergeWait w) {
  if (h->n == h->room) {
    size_t room = 2 * h->room + 64;
    MergeWait *all = realloc(h->at, room * sizeof *all);
    if (!all) return false;
    h->at = all;
    h->room = room;
  }
  size_t i = h->n++;
  for (; i && less(w, h->at[(i - 1) / 2]); i = (i - 1) / 2) h->at[i] = h->at[(i - 1) / 2];
  h->at[i] = w;
  return true;
}

MergeWait mergeheap_pop(MergeHeap *h) {
  MergeWait top = h->at[0], last = h->at[--h->n];
  size_t i = 0, kid;
  for (; (kid = 2 * i + 1) < h->n; i = kid) {
    if (kid + 1 < h->n && less(h->at[kid + 1], h->at[kid])) kid++;
    if (!less(h->at[kid], last)) break;
    h->at[i] = h->at[kid];
  }
  h->at[i] = last;
  return top;
}
