// place.h: life times of stored tensors and the independent check of their places.
#ifndef SY_PLACE_H
#define SY_PLACE_H

#include "pass.h"

typedef struct Live { // one stored tensor; groups are numbered in execution order
  Val val;
  uint32_t first, last; // from the group that writes it to the last that reads it; outputs live to the end
  int64_t bytes;        // rounded up to 64
  bool outside;         // an output: not in the arena
} Live;
typedef struct LiveList {
  Live *at;
  size_t n;
} LiveList;
LiveList place_live(const Graph *g, Arena *a);
// The largest sum of tensors that live at once: no arena can be smaller.
int64_t place_lower_bound(const LiveList *l);
// The arena the present places need.
int64_t place_arena_bytes(const Graph *g, const LiveList *l);
// True when no two tensors that live at the same time share a byte of the arena; else the pair. Whatever placed them.
bool place_check(const Graph *g, Val *a, Val *b);

#endif
