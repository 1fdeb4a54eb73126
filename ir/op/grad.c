// grad.c: see grad.h.
#include "grad.h"

const Type *grad_type(const Grad *c, Val v) {
  return &graph_value(c->g, v)->type;
}

Val grad_op(const Grad *c, Op op, const Val *args, size_t n, const Attr *attr, size_t nattr) {
  for (size_t i = 0; i < n; i++)
    if (!args[i].id) return NO_VAL;
  return graph_add(c->g, op, args, n, attr, nattr, c->v.span);
}

Val grad_typed(const Grad *c, Op op, Val x, const Attr *attr, size_t nattr, const Type *t) {
  Type copy = *t;
  return x.id ? graph_add_typed(c->g, op, &x, 1, attr, nattr, &copy, c->v.span) : NO_VAL;
}

Val grad_number(const Grad *c, double x) {
  return graph_scalar(c->g, x, c->v.span);
}

Val grad_1(const Grad *c, Op op, Val a) {
  return grad_op(c, op, &a, 1, NULL, 0);
}
Val grad_2(const Grad *c, Op op, Val a, Val b) {
  return grad_op(c, op, (Val[]){a, b}, 2, NULL, 0);
}
Val grad_3(const Grad *c, Op op, Val a, Val b, Val d) {
  return grad_op(c, op, (Val[]){a, b, d}, 3, NULL, 0);
}

Val grad_zeros(const Grad *c, const Type *t) {
  Attr zero = attr_float(A_value, 0);
  Type copy = *t;
  return graph_add_typed(c->g, OP_constant, NULL, 0, &zero, 1, &copy, c->v.span);
}

static bool same_extents(const Type *a, const Type *b) {
  bool same = a->rank == b->rank;
  for (int d = 0; same && d < a->rank; d++) same = dim_equal(a->dim[d], b->dim[d]);
  return same;
}

static Type without_segments(const Type *t) {
  Type plain = *t;
  if (t->nseg) type_set_segs(&plain, t->segaxis, NULL, 0);
  return plain;
}

Val grad_as(const Grad *c, Val x, const Type *t) {
  if (!x.id || type_equal(grad_type(c, x), t)) return x;
  Type to = *t, from = *grad_type(c, x);
  to.dtype = from.dtype;
  if (same_extents(&from, &to)) return grad_typed(c, OP_retag, x, NULL, 0, &to);
  Type plain = without_segments(&from), shape = without_segments(&to); // a reshape changes no segments
  if (from.nseg) x = grad_typed(c, OP_retag, x, NULL, 0, &plain);
  x = grad_typed(c, OP_reshape, x, NULL, 0, &shape);
  return to.nseg ? grad_typed(c, OP_retag, x, NULL, 0, &to) : x;
}

Val grad_swap(const Grad *c, Val x, int a, int b) {
  if (!x.id || a == b) return x;
  int rank = grad_type(c, x)->rank;
  int64_t *perm = ARENA_ARRAY(c->g->module->arena, int64_t, MAX_RANK);
  for (int d = 0; d < rank; d++) perm[d] = d == a ? b : d == b ? a : d;
  Attr p = attr_ints(A_perm, perm, (size_t)rank);
  return grad_op(c, OP_transpose, &x, 1, &p, 1);
}

// The parts of a segmented axis lie apart in memory where one before the last is run-time: each is summed for itself.
static Val sum_segments(const Grad *c, Val x, int axis) {
  Type t = *grad_type(c, x);
  Val sum = NO_VAL;
  for (int s = 0; s < t.nseg; s++) {
    Type part = t;
    part.dim[axis] = t.seg[s].len;
    type_set_segs(&part, axis, &t.seg[s], 1);
    Attr at[] = {attr_int(A_axis, axis), attr_int(A_start, seg_start(c->g->module, &t, s))};
    Val one = grad_typed(c, OP_slice, x, at, 2, &part);
    type_set_segs(&part, axis, NULL, 0);
    one = grad_sum_axis(c, grad_as(c, one, &part), axis);
    sum = sum.id ? grad_2(c, OP_add, sum, one) : one;
  }
  return sum;
}

Val grad_sum_axis(const Grad *c, Val x, int axis) {
  if (!x.id) return x;
  Type t = *grad_type(c, x);
  if (t.nseg && t.segaxis == axis && !type_is_dense(&t)) return sum_segments(c, x, axis);
  // the axis last, the others in their order
  int64_t *perm = ARENA_ARRAY(c->g->module->arena, int64_t, MAX_RANK);
  for (int d = 0; d < t.rank; d++) perm[d] = d < axis ? d : d + 1 < t.rank ? d + 1 : axis;
  Attr p = attr_ints(A_perm, perm, t.rank);
  if (axis + 1 < t.rank) x = grad_op(c, OP_transpose, &x, 1, &p, 1);
  x = grad_1(c, OP_reduce_sum, x);
  if (!x.id) return x;
  Type out = *grad_type(c, x);
  if (out.nseg && out.segaxis == out.rank - 1) type_set_segs(&out, out.rank - 1, NULL, 0);
  out.rank--;
  return grad_as(c, x, &out);
}

static bool is_one(const Type *t, int d) {
  return dim_is_const(t->dim[d]) && t->dim[d].c == 1;
}

Val grad_sum_to(const Grad *c, Val x, const Type *t) {
  if (!x.id) return x;
  Type to = *t;
  for (;;) { // innermost axes first: their sums are the longest
    Type from = *grad_type(c, x);
    int shift = from.rank - to.rank, axis = -1;
    for (int d = from.rank - 1; d >= 0 && axis < 0; d--) {
      bool missing = d < shift, stretched = !missing && is_one(&to, d - shift) && !is_one(&from, d);
      if (missing || stretched) axis = d;
    }
    if (axis < 0) break;
    bool keep = axis >= shift;
    x = grad_sum_axis(c, x, axis);
    if (!x.id) return x;
    if (!keep) continue;
    Type with = *grad_type(c, x); // the axis again, of length 1
    for (int d = with.rank; d > axis; d--) with.dim[d] = with.dim[d - 1];
    with.dim[axis] = DIM(1);
    with.rank++;
    if (with.nseg && with.segaxis >= axis) with.segaxis++;
    x = grad_as(c, x, &with);
    if (!x.id) return x;
  }
  return grad_as(c, x, &to);
}

void grad_set(Grad *c, uint32_t i, Val v) {
  if (!c->want[i] || !v.id) return;
  c->d[i] = grad_sum_to(c, v, grad_type(c, c->v.args[i]));
  if (!c->d[i].id && !c->why) c->why = "the sum over a stretched axis cannot be expressed";
}

void grad_none(Grad *c) {
  (void)c;
}

void grad_refused(Grad *c) {
  c->why = "training through it is not done; stop(..) around it leaves it as it is";
}
