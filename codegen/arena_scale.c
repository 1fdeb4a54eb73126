// arena_scale.c: places for a batch that is smaller than its bound.
//
// Places are worked out once, for the bounds of the run-time dims: 32 pictures, if B may be 32. Where the first axis of
// every tensor in the arena is a multiple of one run-time dim, they shrink together with it: a tensor at byte 64 u of
// the full arena begins at 64 (ceil(u b / hi) + i) for b of at most hi, if i other tensors begin below it. The i makes
// up for what the rounding takes: of two that live at once and do not overlap, u + t <= u' for t units of length, and
// so
//   ceil(u b / hi) + i + ceil(t b / hi) <= ceil((u + t) b / hi) + 1 + i <= ceil(u' b / hi) + i'.
// An arena of U units needs ceil(U b / hi) + n then, n being the number of different places. The engine does the sums
// (runtime/engine/engine.c); here is decided whether they hold.
//
//   ViT-B/16, B <= 32: 135 MB; for B = 1 4.2 MB
#include "arena_scale.h"

#include <stdlib.h>

enum { UNIT = 64 };

// The run-time dim that the storage of a tensor is proportional to; -1: none.
static int32_t leading_dim(const Type *t) {
  bool good = t->rank && t->dim[0].k > 0 && t->dim[0].c == 0 && t->dim[0].sym >= 0;
  return good && !(t->nseg && t->segaxis == 0) ? t->dim[0].sym : -1;
}

static int32_t common_dim(const Graph *g, const LiveList *live) {
  int32_t dim = -1;
  for (size_t i = 0; i < live->n; i++) {
    const Value *v = graph_value(g, live->at[i].val);
    if (v->place.kind != PLACE_ARENA) continue;
    int32_t d = leading_dim(&v->type);
    if (d < 0 || (dim >= 0 && d != dim)) return -1;
    dim = d;
  }
  return dim;
}

static int by_value(const void *pa, const void *pb) {
  const int64_t *a = pa, *b = pb;
  return (*a > *b) - (*a < *b);
}

// The different places of the arena, ascending; their number.
static size_t places(const Graph *g, const LiveList *live, int64_t *at) {
  size_t n = 0, kept = 0;
  for (size_t i = 0; i < live->n; i++) {
    const Place p = graph_value(g, live->at[i].val)->place;
    if (p.kind == PLACE_ARENA) at[n++] = p.offset;
  }
  qsort(at, n, sizeof *at, by_value);
  for (size_t i = 0; i < n; i++)
    if (!kept || at[kept - 1] != at[i]) at[kept++] = at[i];
  return kept;
}

void arena_scale(RouteProgram *r, const LiveList *live) {
  const Graph *g = r->graph;
  int32_t dim = common_dim(g, live);
  r->scale = 0;
  if (dim < 0 || g->module->dim[dim].hi > INT64_MAX / (r->arena_bytes + 1)) return; // the engine's sums have 64 bits
  Arena a = {0};
  int64_t *at = ARENA_ARRAY(&a, int64_t, live->n + 1);
  size_t n = places(g, live, at);
  bool good = n > 0;
  for (size_t i = 0; i < n; i++) good = good && at[i] % UNIT == 0;
  for (size_t s = 0; s < r->step.n; s++)
    for (uint32_t k = 0; k < r->step.at[s].narg; k++) {
      Operand *o = &r->step.at[s].arg[k];
      if (o->kind != PLACE_ARENA) continue;
      const int64_t *found = bsearch(&o->base, at, n, sizeof *at, by_value);
      good = good && found;
      o->index = found ? (uint32_t)(found - at) : 0;
    }
  r->nbase = (uint32_t)n;
  r->scale = good ? (uint32_t)dim + 1 : 0;
  arena_free(&a);
}
