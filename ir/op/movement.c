// movement.c: operators that move or rename elements without arithmetic.
//
// Types declared by the caller (reshape, slice, broadcast, retag) are checked against the operand:
//   reshape    run-time dims and several-part axes keep their place: the product of the constant extents between two of
//              them must not change.  [B,197,768] -> [B,197,12,64],  [B,L,12,64] -> [B,L,768]
//   slice      start counts by upper bounds. On a segmented axis it takes whole segments or lies inside one; the rest
//              keeps its tags.  vision: 197 + language: L, start 197 -> language: L
//   broadcast  last axes aligned, extent 1 and missing leading axes stretch.
//   retag      same extents; only dense axes may be divided anew.
//   concat     joins segments (neighbours of one modality become one part if the first is constant); without segments
//              only the last operand may have a run-time length.
#include "movement.h"

#include <string.h>

static bool axis_attr(const ShapeCtx *c, AttrKey key, int rank, int *axis) {
  int64_t a = shape_int(c, key, 0);
  *axis = (int)(a >= 0 && a < rank ? a : 0);
  return (a >= 0 && a < rank) ||
         shape_error(c, "E0208", "axis %lld does not exist, the operand has %d axes", (long long)a, rank);
}

static bool is_segmented(const Type *t, int axis) {
  return t->nseg && t->segaxis == axis;
}

static bool same_segs(const Type *a, const Type *b) {
  if (a->nseg != b->nseg) return false;
  for (int i = 0; i < a->nseg; i++)
    if (a->seg[i].modality != b->seg[i].modality || !dim_equal(a->seg[i].len, b->seg[i].len)) return false;
  return true;
}

static bool declared_dtype(const ShapeCtx *c, const Type *x) {
  DType have = x->dtype, want = c->declared->dtype;
  return have == want || shape_error(c, "E0203", "the operand has %s elements, the declared type %s",
                                     dtype_info[have].name, dtype_info[want].name);
}

static const char *text_of(const ShapeCtx *c, const Type *t) {
  Buf b = {0};
  if (c->nargs && t == shape_arg(c, 0)) return shape_type(c, 0);
  if (c->g->module->page)
    type_speak(&b, c->g->module, t, NULL);
  else
    type_print(&b, c->g->module, t);
  const char *s = arena_strdup(c->g->module->arena, b.s);
  buf_free(&b);
  return s;
}

/* reshape
 * -------------------------------------------------------------------------------------------------------------- */

// Next axis from *axis on that is no plain constant; *size = product of the constants before it, times `factor` of the
// axis before. rank at the end. An axis k*B counts as B and then k: it is [B,k] joined, and may be divided again.
static int next_fixed(const Type *t, int *axis, int64_t *size) {
  for (; *axis < t->rank; ++*axis) {
    if (!dim_is_const(t->dim[*axis])) break;
    *size *= t->dim[*axis].c;
  }
  return *axis;
}

static bool whole_multiple(const Type *t, int axis) { // k*B, of one part
  return t->dim[axis].k > 0 && t->dim[axis].c == 0 && !is_segmented(t, axis);
}

bool shape_reshape(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0), *t = c->declared;
  if (!declared_dtype(c, x)) return false;
  int64_t nx = 1, nt = 1;
  for (int i = 0, j = 0;; i++, j++) {
    int ax = next_fixed(x, &i, &nx), at = next_fixed(t, &j, &nt);
    bool end_x = ax == x->rank, end_t = at == t->rank, same = end_x == end_t;
    if (same && !end_x) same = dim_equal(x->dim[ax], t->dim[at]);
    bool multiples = !end_x && !end_t && whole_multiple(x, ax) && whole_multiple(t, at);
    if (!same && multiples) same = x->dim[ax].sym == t->dim[at].sym;
    if (nx != nt || !same)
      return shape_error(c, "E0210", "%s cannot become %s: the elements between run-time dims must stay the same",
                         text_of(c, x), text_of(c, t));
    if (end_x) break;
    nx = multiples ? x->dim[ax].k : 1;
    nt = multiples ? t->dim[at].k : 1;
    if (multiples) continue;
    if (!shape_axis_equal(x, ax, t, at))
      return shape_error(c, "E0205", "the segments of %s and %s differ", text_of(c, x), text_of(c, t));
  }
  if (t->nseg) {
    int64_t before_x = 1, before_t = 1;
    for (int i = 0; i < t->segaxis; i++) before_t *= type_extent(c->g->module, t, i);
    for (int i = 0; i < x->segaxis && x->nseg; i++) before_x *= type_extent(c->g->module, x, i);
    if (!same_segs(x, t) || before_x != before_t)
      return shape_error(c, "E0205", "%s has other segments than %s; use retag", text_of(c, t), text_of(c, x));
  }
  *out = *t;
  return true;
}

void ref_reshape(const RefCtx *c, Tensor *out) {
  for (size_t i = 0; i < out->n; i++) ref_put(c, out, i, tensor_get(&c->arg[0], i));
}

/* retag
 * ---------------------------------------------------------------------------------------------------------------- */

bool shape_retag(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0), *t = c->declared;
  if (!declared_dtype(c, x)) return false;
  bool same = x->rank == t->rank;
  for (int i = 0; same && i < x->rank; i++) same = dim_equal(x->dim[i], t->dim[i]);
  if (!same) return shape_error(c, "E0204", "%s cannot become %s: extents must stay", text_of(c, x), text_of(c, t));
  *out = *t;
  bool lengths = x->nseg == t->nseg && (!x->nseg || x->segaxis == t->segaxis);
  for (int i = 0; lengths && i < x->nseg; i++) lengths = dim_equal(x->seg[i].len, t->seg[i].len);
  if (lengths || (type_is_dense(x) && type_is_dense(t))) return true;
  return shape_error(c, "E0206", "%s cannot become %s: only the last part may have a run-time length when parts change",
                     text_of(c, x), text_of(c, t));
}

void ref_retag(const RefCtx *c, Tensor *out) {
  ref_reshape(c, out);
}

/* widen
 * ---------------------------------------------------------------------------------------------------------------- */

bool shape_widen(const ShapeCtx *c, Type *out) {
  *out = *shape_arg(c, 0);
  if (!dtype_is_narrow(out->dtype))
    return shape_error(c, "E0203", "%s elements are no narrow ones", dtype_info[out->dtype].name);
  out->dtype = dtype_info[out->dtype].computes;
  return true;
}

void ref_widen(const RefCtx *c, Tensor *out) {
  ref_reshape(c, out);
}

/* slice
 * ---------------------------------------------------------------------------------------------------------------- */

// start + len <= extent for every value of the run-time dims?
static bool fits(const Module *m, int64_t start, Dim len, Dim extent) {
  if (start < 0 || start > INT32_MAX) return false;
  if (len.k && extent.k && len.sym == extent.sym) {
    Dim rest = {extent.c - len.c - start, extent.k - len.k, len.sym};
    return dim_least(m, rest) >= 0;
  }
  return start + dim_bound(m, len) <= dim_least(m, extent);
}

// Which segments [*lo, *hi) does the declared type take? Inside one segment: *hi == *lo + 1 and *inside is set.
static bool find_segs(const ShapeCtx *c, const Type *x, int axis, int64_t start, int *lo, int *hi, bool *inside) {
  const Module *m = c->g->module;
  const Type *t = c->declared;
  *inside = false;
  for (*lo = 0; *lo < x->nseg; ++*lo) {
    int64_t at = seg_start(m, x, *lo);
    for (*hi = *lo + 1; at == start && *hi <= x->nseg; ++*hi) {
      Type part = *x;
      type_set_segs(&part, axis, x->seg + *lo, *hi - *lo);
      if (dim_equal(part.dim[axis], t->dim[axis]) && (!is_segmented(t, axis) || same_segs(&part, t))) return true;
    }
    *hi = *lo + 1;
    bool runs = t->dim[axis].k && t->dim[axis].sym == DIM_SEGS;
    if (!runs && start >= at && fits(m, start - at, t->dim[axis], x->seg[*lo].len)) return *inside = true;
  }
  return false;
}

bool shape_slice(const ShapeCtx *c, Type *out) {
  const Module *m = c->g->module;
  const Type *x = shape_arg(c, 0), *t = c->declared;
  int axis, lo, hi;
  bool inside;
  if (!declared_dtype(c, x) || !axis_attr(c, A_axis, x->rank, &axis)) return false;
  int64_t start = shape_int(c, A_start, 0);
  bool same = t->rank == x->rank;
  for (int i = 0; same && i < x->rank; i++) same = i == axis || dim_equal(t->dim[i], x->dim[i]);
  if (!same)
    return shape_error(c, "E0204", "%s cannot be a part of %s along axis %d", text_of(c, t), text_of(c, x), axis);
  *out = *x;
  out->dim[axis] = t->dim[axis];
  if (!is_segmented(x, axis)) {
    if (is_segmented(t, axis)) return shape_error(c, "E0205", "axis %d has no segments; use retag", axis);
    if (!fits(m, start, t->dim[axis], x->dim[axis]))
      return shape_error(c, "E0209", "%s elements from %lld do not lie inside axis %d, which has %s",
                         shape_axis(c, t, axis), (long long)start, axis, shape_axis(c, x, axis));
    return true;
  }
  if (!find_segs(c, x, axis, start, &lo, &hi, &inside))
    return shape_error(c, "E0209", "%s elements from %lld are neither whole parts nor inside one part of %s",
                       shape_axis(c, t, axis), (long long)start, shape_axis(c, x, axis));
  Seg part[MAX_SEGS] = {{0}};
  memcpy(part, x->seg + lo, sizeof *part * (size_t)(hi - lo));
  if (inside) part[0].len = t->dim[axis];
  type_set_segs(out, axis, part, hi - lo);
  return true;
}

// Start on the dense axis of the reference: bounds of the parts before become their actual lengths.
static size_t dense_start(const RefCtx *c, int axis) {
  const Module *m = c->g->module;
  const Type *x = &graph_value(c->g, c->v->args[0])->type;
  int64_t start = value_int(c->v, A_start, 0), dense = 0;
  if (!is_segmented(x, axis)) return (size_t)start;
  for (int s = 0; s < x->nseg; s++) {
    if (start < dim_bound(m, x->seg[s].len)) break;
    start -= dim_bound(m, x->seg[s].len);
    Type one = {.rank = 1, .dim = {x->seg[s].len}};
    dense += eval_dim(c->env, &one, 0);
  }
  return (size_t)(dense + start);
}

static void copy(const RefCtx *c, const Tensor *from, size_t a, Tensor *to, size_t b, size_t n) {
  for (size_t i = 0; i < n; i++) ref_put(c, to, b + i, tensor_get(from, a + i));
}

static size_t product(const Tensor *t, int lo, int hi) {
  size_t n = 1;
  for (int i = lo; i < hi; i++) n *= (size_t)t->dim[i];
  return n;
}

void ref_slice(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0];
  int axis = (int)value_int(c->v, A_axis, 0);
  size_t outer = product(x, 0, axis), inner = product(x, axis + 1, x->rank), start = dense_start(c, axis);
  size_t nx = (size_t)x->dim[axis] * inner, no = (size_t)out->dim[axis] * inner;
  for (size_t o = 0; o < outer; o++) copy(c, x, o * nx + start * inner, out, o * no, no);
}

/* concat
 * --------------------------------------------------------------------------------------------------------------- */

static bool concat_fits(const ShapeCtx *c, const Type *first, const Type *t, size_t i, int axis) {
  if (t->dtype != first->dtype)
    return shape_error(c, "E0203", "cannot join %s and %s: the element types differ", shape_type(c, 0),
                       shape_type(c, i));
  if (t->rank != first->rank)
    return shape_error(c, "E0202", "cannot join %s and %s: the numbers of axes differ", shape_type(c, 0),
                       shape_type(c, i));
  for (int d = 0; d < t->rank; d++)
    if (d != axis && !shape_axis_equal(first, d, t, d))
      return shape_error(c, "E0204",
                         "cannot join %s and %s along axis %d: all other axes must be equal, but axis %d is %s and %s",
                         shape_type(c, 0), shape_type(c, i), axis, d, shape_axis(c, first, d), shape_axis(c, t, d));
  if (is_segmented(t, axis) != is_segmented(first, axis))
    return shape_error(c, "E0205",
                       "cannot join %s and %s: one has segments on axis %d, the other has none; tag all of them",
                       shape_type(c, 0), shape_type(c, i), axis),
           shape_hint(c, "tag it: 'x as %s'", c->g->module->nmodality ? c->g->module->modality[0].name : "vision");
  return true;
}

bool shape_concat(const ShapeCtx *c, Type *out) {
  const Type *first = shape_arg(c, 0);
  int axis, n = 0;
  Seg seg[MAX_SEGS] = {{0}};
  if (!axis_attr(c, A_axis, first->rank, &axis)) return false;
  *out = *first;
  Dim sum = DIM(0);
  for (size_t i = 0; i < c->nargs; i++) {
    const Type *t = shape_arg(c, i);
    if (!concat_fits(c, first, t, i, axis)) return false;
    if (t->nseg && !out->nseg) type_set_segs(out, t->segaxis, t->seg, t->nseg);
    for (int s = 0; is_segmented(t, axis) && s < t->nseg; s++) {
      bool joined = n && seg[n - 1].modality == t->seg[s].modality && dim_is_const(seg[n - 1].len);
      if (joined && dim_add(seg[n - 1].len, t->seg[s].len, &seg[n - 1].len)) continue;
      if (n == MAX_SEGS) return shape_error(c, "E0205", "axis %d would have more than %d segments", axis, MAX_SEGS);
      seg[n++] = t->seg[s];
    }
    if (is_segmented(t, axis)) continue;
    if (!dim_is_const(sum))
      return shape_error(c, "E0206",
                         "operand %zu has the run-time length %s on axis %d; without segments only the last may", i,
                         shape_axis(c, shape_arg(c, i - 1), axis), axis);
    if (!dim_add(sum, t->dim[axis], &sum)) return shape_error(c, "E0213", "axis %d becomes too long", axis);
  }
  if (n)
    type_set_segs(out, axis, seg, n);
  else
    out->dim[axis] = sum;
  return true;
}

void ref_concat(const RefCtx *c, Tensor *out) {
  int axis = (int)value_int(c->v, A_axis, 0);
  size_t outer = product(out, 0, axis), inner = product(out, axis + 1, out->rank), at = 0;
  for (size_t o = 0; o < outer; o++)
    for (uint32_t i = 0; i < c->v->nargs; i++) {
      size_t n = (size_t)c->arg[i].dim[axis] * inner;
      copy(c, &c->arg[i], o * n, out, at, n);
      at += n;
    }
}

/* transpose, broadcast
 * --------------------------------------------------------------------------------------------------- */

bool shape_transpose(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0);
  const Attr *perm = shape_attr(c, A_perm);
  unsigned seen = 0;
  for (size_t i = 0; i < perm->nv && perm->nv == x->rank; i++)
    if (perm->v[i] >= 0 && perm->v[i] < x->rank) seen |= 1u << perm->v[i];
  if (perm->nv != x->rank || seen != (1u << x->rank) - 1)
    return shape_error(c, "E0208", "perm must name each of the %d axes once", x->rank);
  *out = *x;
  for (int i = 0; i < x->rank; i++) {
    out->dim[i] = x->dim[perm->v[i]];
    if (is_segmented(x, (int)perm->v[i])) out->segaxis = (uint8_t)i;
  }
  return true;
}

// out[index] = x[sum of index[i] * stride[i]]
static void copy_strided(const RefCtx *c, Tensor *out, const size_t *stride) {
  int64_t index[MAX_RANK] = {0};
  size_t at = 0;
  for (size_t n = 0; n < out->n; n++) {
    ref_put(c, out, n, tensor_get(&c->arg[0], at));
    for (int i = out->rank - 1; i >= 0; i--) {
      at += stride[i];
      if (++index[i] < out->dim[i]) break;
      at -= stride[i] * (size_t)out->dim[i];
      index[i] = 0;
    }
  }
}

void ref_transpose(const RefCtx *c, Tensor *out) {
  const Attr *perm = value_attr(c->v, A_perm);
  size_t stride[MAX_RANK] = {0};
  for (int i = 0; i < out->rank; i++) stride[i] = product(&c->arg[0], (int)perm->v[i] + 1, out->rank);
  copy_strided(c, out, stride);
}

bool shape_broadcast(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0), *t = c->declared;
  if (!declared_dtype(c, x)) return false;
  bool ok = x->rank <= t->rank;
  for (int i = 0; ok && i < x->rank; i++) {
    int j = t->rank - x->rank + i;
    ok = dim_equal(x->dim[i], DIM(1)) || shape_axis_equal(x, i, t, j);
  }
  if (!ok)
    return shape_error(c, "E0204", "%s does not stretch to %s: last axes must be equal or 1", text_of(c, x),
                       text_of(c, t));
  *out = *t;
  return true;
}

void ref_broadcast(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0];
  size_t stride[MAX_RANK] = {0};
  for (int i = 0; i < x->rank; i++) stride[out->rank - x->rank + i] = x->dim[i] == 1 ? 0 : product(x, i + 1, x->rank);
  copy_strided(c, out, stride);
}

/* patchify
 * --------------------------------------------------------------------------------------------------------------- */

bool shape_patchify(const ShapeCtx *c, Type *out) {
  if (!shape_float(c) || !shape_rank(c, 0, 4)) return false;
  const Type *x = shape_arg(c, 0);
  int64_t p = shape_int(c, A_patch, 0);
  for (int i = 1; i < 4; i++)
    if (!dim_is_const(x->dim[i]) || is_segmented(x, i))
      return shape_error(c, "E0206", "channels, height and width of the image must be constant, axis %d is %s", i,
                         shape_axis(c, x, i));
  if (p < 1 || p > x->dim[2].c || p > x->dim[3].c)
    return shape_error(c, "E0208", "patches of %lld pixels a side do not fit into %s", (long long)p, shape_type(c, 0));
  *out = *x;
  out->rank = 3;
  out->dim[1] = DIM(x->dim[2].c / p * (x->dim[3].c / p));
  out->dim[2] = DIM(x->dim[1].c * p * p);
  out->dim[3] = DIM(0);
  return true;
}

void ref_patchify(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0];
  size_t p = (size_t)value_int(c->v, A_patch, 1), ch = (size_t)x->dim[1], h = (size_t)x->dim[2], w = (size_t)x->dim[3];
  size_t across = w / p, n = (size_t)out->dim[1], at = 0;
  for (size_t b = 0; b < (size_t)out->dim[0]; b++)
    for (size_t patch = 0; patch < n; patch++)
      for (size_t k = 0; k < ch; k++)
        for (size_t y = 0; y < p; y++)
          for (size_t i = 0; i < p; i++, at++) {
            size_t row = patch / across * p + y, column = patch % across * p + i;
            out->f[at] = x->f[((b * ch + k) * h + row) * w + column];
          }
}
