// check_layout.c: dense tensors and the caller's buffers of the C API.
//
// A buffer's strides are products of upper bounds: text i32[B, L] with L = 1..77 has a pitch of 77 whatever L is. On an
// axis of several segments part i starts at the sum of the bounds of the parts before it.
//
//   Layout l = layout_of(&a, m, &type, dims, NULL);
//   layout_store(&l, tensor->data, buffer);
#include "check.h"

#include <string.h>

static int64_t value_of(Dim d, const int64_t *dims) {
  return d.c + (d.k ? d.k * dims[d.sym] : 0);
}

static int64_t extent_of(const Type *t, int axis, const int64_t *dims) {
  if (!t->nseg || t->segaxis != axis) return value_of(t->dim[axis], dims);
  int64_t n = 0;
  for (int i = 0; i < t->nseg; i++) n += value_of(t->seg[i].len, dims);
  return n;
}

bool layout_dims(const Module *m, const Type *t, const StTensor *x, int64_t *dims, uint32_t *known, const char **why) {
  *why = "the tensor has another number of axes";
  if (x->rank != t->rank) return false;
  for (int i = 0; i < t->rank; i++) {
    Dim d = t->dim[i];
    if (d.k && d.sym >= 0 && !(*known >> d.sym & 1)) {
      int64_t rest = x->shape[i] - d.c;
      *why = "an extent does not fit the run-time dim";
      if (rest % d.k) return false;
      const RuntimeDim *b = &m->dim[d.sym];
      *why = arena_printf(m->arena, "%s = %lld is outside %lld..%lld", b->name, (long long)(rest / d.k),
                          (long long)b->lo, (long long)b->hi);
      if (rest / d.k < b->lo || rest / d.k > b->hi) return false;
      dims[d.sym] = rest / d.k;
      *known |= 1u << d.sym;
    }
    *why = arena_printf(m->arena, "axis %d is %lld, not %lld", i, (long long)x->shape[i],
                        (long long)extent_of(t, i, dims));
    if (extent_of(t, i, dims) != x->shape[i]) return false;
  }
  return true;
}

Layout layout_of(Arena *a, const Module *m, const Type *t, const int64_t *dims, const int64_t *stride) {
  Layout l = {.rank = t->rank, .bytes = dtype_info[t->dtype].bytes};
  int64_t step = 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    l.extent[i] = extent_of(t, i, dims);
    l.stride[i] = stride ? stride[i] : step;
    step *= type_extent(m, t, i);
    if (!t->nseg || t->segaxis != i) continue;
    l.place[i] = ARENA_ARRAY(a, int64_t, l.extent[i] + 1);
    int64_t at = 0;
    for (int s = 0; s < t->nseg; s++)
      for (int64_t k = 0; k < value_of(t->seg[s].len, dims); k++) l.place[i][at++] = seg_start(m, t, s) + k;
  }
  return l;
}

size_t layout_elements(const Layout *l) {
  size_t n = 1;
  for (int i = 0; i < l->rank; i++) n *= (size_t)l->extent[i];
  return n;
}

static size_t buffer_offset(const Layout *l, const int64_t *at) {
  int64_t e = 0;
  for (int i = 0; i < l->rank; i++) e += l->stride[i] * (l->place[i] ? l->place[i][at[i]] : at[i]);
  return (size_t)e * l->bytes;
}

static void next(const Layout *l, int64_t *at) {
  for (int i = l->rank - 1; i >= 0 && ++at[i] == l->extent[i]; i--) at[i] = 0;
}

void layout_store(const Layout *l, const void *dense, void *buffer) {
  int64_t at[MAX_RANK] = {0};
  size_t n = layout_elements(l);
  for (size_t i = 0; i < n; i++, next(l, at))
    memcpy((char *)buffer + buffer_offset(l, at), (const char *)dense + i * l->bytes, l->bytes);
}

void layout_load(const Layout *l, const void *buffer, void *dense) {
  int64_t at[MAX_RANK] = {0};
  size_t n = layout_elements(l);
  for (size_t i = 0; i < n; i++, next(l, at))
    memcpy((char *)dense + i * l->bytes, (const char *)buffer + buffer_offset(l, at), l->bytes);
}
