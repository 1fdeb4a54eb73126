// mergeheap.h - merges of neighbouring symbols that wait for their turn: the lowest rank first, of one rank the
// leftmost.
#ifndef SWITCHYARD_HOST_MERGEHEAP_H
#define SWITCHYARD_HOST_MERGEHEAP_H

#include "common/must_use.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MergeWait {
  uint32_t rank, at; // at: the symbol on the left
  int32_t made;      // whatever tells it from others there
} MergeWait;
typedef struct MergeHeap { // from {0}; free(at)
  MergeWait *at;
  size_t n, room;
} MergeHeap;

SY_MUST_USE bool mergeheap_push(MergeHeap *h, MergeWait w); // false: no memory
MergeWait mergeheap_pop(MergeHeap *h);                      // h->n > 0

#endif
