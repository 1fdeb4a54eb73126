// elab_move.c: builtins that give tensors another shape, work along an axis, or make constants.
#include "elab_builtin.h"

// A list of axis lengths as the type of `like`. Segments of `like` stay where an axis keeps place and length.
static bool want_shape(Elab *e, Call *c, const Type *like, Type *t, DimNames *names) {
  CtVal s = c->slot[1];
  *t = (Type){.dtype = like->dtype};
  *names = (DimNames){0};
  if (s.kind != CV_LIST || s.n > MAX_RANK) {
    elab_error(e, "E0106", c->span[1], "%s needs a list of at most %d lengths: [B, n, dim]", c->name, MAX_RANK);
    return false;
  }
  t->rank = (uint8_t)s.n;
  for (size_t i = 0; i < s.n; i++) {
    if (s.item[i].kind != CV_INT || dim_least(e->m, s.item[i].d) < 0 || dim_bound(e->m, s.item[i].d) < 1) {
      elab_error(e, "E0106", c->span[1], "element %zu of the shape is no length: %s", i, kind_text(e, s.item[i]));
      return false;
    }
    t->dim[i] = s.item[i].d;
    names->at[i] = t->dim[i].k ? NULL : s.item[i].name;
  }
  if (like->nseg && like->segaxis < t->rank && dim_equal(t->dim[like->segaxis], like->dim[like->segaxis]))
    type_set_segs(t, like->segaxis, like->seg, like->nseg);
  const char *why = type_problem(e->m, t);
  if (why) elab_error(e, "E0126", c->span[1], "this shape cannot be used: %s", why);
  return !why;
}

CtVal call_shape(Elab *e, Call *c) {
  Type t;
  DimNames names;
  if (!tensor_at(e, c, 0, "x") || !want_shape(e, c, val_type(e, c->slot[0].v), &t, &names)) return CT_ERROR;
  CtVal v = add_typed(e, c->op, c->slot[0].v, NULL, 0, &t, c->at);
  for (int i = 0; v.kind == CV_TENSOR && i < t.rank; i++)
    if (names.at[i]) val_names(e, v.v)->at[i] = names.at[i];
  return v;
}

CtVal call_transpose(Elab *e, Call *c) {
  if (!tensor_at(e, c, 0, "x")) return CT_ERROR;
  DimNames from = *val_names(e, c->slot[0].v);
  int rank = val_type(e, c->slot[0].v)->rank;
  int64_t *perm = ARENA_ARRAY(e->arena, int64_t, MAX_RANK);
  for (int i = 0; i < rank; i++) perm[i] = i;
  if (!given(c, 1)) {
    if (rank < 2) {
      elab_error(e, "E0130", c->at, "transpose needs two axes, x is %s", val_text(e, c->slot[0].v));
      return CT_ERROR;
    }
    perm[rank - 1] = rank - 2, perm[rank - 2] = rank - 1;
  } else {
    if (c->slot[1].kind != CV_LIST || c->slot[1].n != (size_t)rank) {
      elab_error(e, "E0130", c->span[1], "transpose needs a list that names each axis of %s once",
                 val_text(e, c->slot[0].v));
      return CT_ERROR;
    }
    for (int i = 0; i < rank; i++)
      if (!want_int(e, c->slot[1].item[i], c->span[1], "an axis", 0, rank - 1, &perm[i])) return CT_ERROR;
  }
  Attr a = attr_ints(A_perm, perm, (size_t)rank);
  Val v = graph_add(e->g, OP_transpose, &c->slot[0].v, 1, &a, 1, c->at);
  if (!v.id) return CT_ERROR;
  for (int i = 0; i < rank; i++) val_names(e, v)->at[i] = from.at[perm[i]];
  return ct_tensor(v);
}

bool want_axis(Elab *e, CtVal v, Span at, int rank, int64_t absent, int64_t *axis) {
  *axis = absent;
  if (v.kind != CV_NONE && !want_int(e, v, at, "an axis", -rank, rank - 1, axis)) return false;
  if (*axis < 0) *axis += rank;
  if (*axis >= 0 && *axis < rank) return true;
  elab_error(e, "E0130", at, "there is no axis %lld", (long long)*axis);
  return false;
}

/* along an axis */

// x with this axis last; the others keep their order. Or back.
static Val axis_last(Elab *e, Val x, int64_t axis, bool back, Span at) {
  int rank = val_type(e, x)->rank;
  int64_t *perm = ARENA_ARRAY(e->arena, int64_t, MAX_RANK);
  DimNames from = *val_names(e, x);
  for (int i = 0; i < rank; i++) {
    if (back)
      perm[i] = i < axis ? i : i == axis ? rank - 1 : i - 1;
    else
      perm[i] = i == rank - 1 ? axis : i < axis ? i : i + 1;
  }
  Attr a = attr_ints(A_perm, perm, (size_t)rank);
  Val v = graph_add(e->g, OP_transpose, &x, 1, &a, 1, at);
  for (int i = 0; v.id && i < rank; i++) val_names(e, v)->at[i] = from.at[perm[i]];
  return v;
}

// A function of rows along another axis than the last: along the last of x transposed.
CtVal call_along(Elab *e, Call *c) {
  int64_t axis;
  if (!given(c, 1)) return call_operator(e, c);
  if (!tensor_at(e, c, 0, "x")) return CT_ERROR;
  int rank = val_type(e, c->slot[0].v)->rank;
  if (!want_axis(e, c->slot[1], c->span[1], rank, rank - 1, &axis)) return CT_ERROR;
  c->slot[1] = CT_NONE;
  if (axis == rank - 1) return call_operator(e, c);
  c->slot[0].v = axis_last(e, c->slot[0].v, axis, false, c->at);
  CtVal y = c->slot[0].v.id ? call_operator(e, c) : CT_ERROR;
  if (y.kind != CV_TENSOR || val_type(e, y.v)->rank < rank) return y; // argmax drops the axis
  Val back = axis_last(e, y.v, axis, true, c->at);
  return back.id ? ct_tensor(back) : CT_ERROR;
}

// The sum over the axis divided by its length, which may be a run-time dim: that is the sum of as many ones.
CtVal call_reduce_mean(Elab *e, Call *c) {
  int64_t axis;
  if (!tensor_at(e, c, 0, "x")) return CT_ERROR;
  Type t = *val_type(e, c->slot[0].v);
  if (!want_axis(e, c->slot[1], c->span[1], t.rank, t.rank - 1, &axis)) return CT_ERROR;
  if (t.dtype != DT_F32) {
    elab_error(e, "E0203", c->span[0], "reduce_mean needs f32 elements, this is %s", val_text(e, c->slot[0].v));
    return CT_ERROR;
  }
  c->op = OP_reduce_sum;
  c->slot[1] = ct_int(axis);
  CtVal sum = call_along(e, c), n = ct_real((double)t.dim[axis].c);
  if (sum.kind == CV_ERROR) return sum;
  if (t.dim[axis].k) {
    Type one = {.dtype = DT_F32, .rank = 1, .dim = {t.dim[axis]}};
    if (t.nseg && t.segaxis == axis) type_set_segs(&one, 0, t.seg, t.nseg);
    Attr value = attr_float(A_value, 1);
    Val ones = graph_add_typed(e->g, OP_constant, NULL, 0, &value, 1, &one, c->at);
    Val count = ones.id ? graph_add(e->g, OP_reduce_sum, &ones, 1, NULL, 0, c->at) : NO_VAL;
    if (!count.id) return CT_ERROR;
    n = ct_tensor(count);
  }
  return tensor_elementwise(e, OP_div, "divide", sum, n, NULL, 0, c->at);
}

CtVal call_concat(Elab *e, Call *c) {
  Val args[MAX_SLOTS];
  int64_t axis;
  size_t n = c->rest;
  for (size_t i = 0; i < n; i++) {
    if (!want_tensor(e, c->slot[1 + i], c->span[1 + i], "an operand of concat")) return CT_ERROR;
    args[i] = c->slot[1 + i].v;
  }
  if (n == 0) {
    elab_error(e, "E0103", c->at, "concat needs at least one tensor");
    return CT_ERROR;
  }
  if (!want_axis(e, c->slot[0], given(c, 0) ? c->span[0] : c->at, val_type(e, args[0])->rank, 1, &axis))
    return CT_ERROR;
  if (n == 1) return c->slot[1];
  Attr a = attr_int(A_axis, axis);
  return add_named(e, c, args, NULL, c->span + 1, n, &a, 1, NULL);
}

// Constants in front of an axis and behind it: a concat, whose parts are computed where they lie.
CtVal call_pad(Elab *e, Call *c) {
  static const char *const what[] = {"'before' of pad", "'after' of pad"};
  int64_t axis, n[2];
  double value = 0;
  if (!tensor_at(e, c, 0, "x")) return CT_ERROR;
  Type t = *val_type(e, c->slot[0].v);
  if (!want_axis(e, c->slot[1], c->span[1], t.rank, 0, &axis)) return CT_ERROR;
  for (int i = 0; i < 2; i++)
    if (!want_int(e, c->slot[2 + i], c->span[2 + i], what[i], 0, INT32_MAX, &n[i])) return CT_ERROR;
  if (given(c, 4) && !number_for(e, c->slot[4], t.dtype, c->span[4], &value)) return CT_ERROR;
  if (t.nseg && t.segaxis == axis) {
    Diagnostic *g = elab_error(e, "E0122", c->span[1], "axis %lld of %s has segments, which padding is none of",
                               (long long)axis, val_text(e, c->slot[0].v));
    diag_hint(e->diag, g, "declare the type of x without them, or join a segment: concat(x, fill(0.0, TYPE))");
    return CT_ERROR;
  }
  Val part[3];
  size_t parts = 0;
  Attr a = attr_float(A_value, value), at = attr_int(A_axis, axis);
  for (int i = 0; i < 2; i++) {
    if (i) part[parts++] = c->slot[0].v;
    if (!n[i]) continue;
    t.dim[axis] = DIM(n[i]);
    CtVal some = add_typed(e, OP_constant, NO_VAL, &a, 1, &t, c->at);
    if (some.kind == CV_ERROR) return some;
    part[parts++] = some.v;
  }
  return parts == 1 ? c->slot[0] : add_op(e, OP_concat, part, parts, &at, 1, c->at);
}

CtVal call_fill(Elab *e, Call *c) {
  if (c->slot[1].kind != CV_TYPE) {
    elab_error(e, "E0106", c->span[1], "fill needs a type: fill(true, bool[B, n])");
    return CT_ERROR;
  }
  double x;
  if (!number_for(e, c->slot[0], c->slot[1].type->dtype, c->span[0], &x)) return CT_ERROR;
  Attr a = attr_float(A_value, x);
  return add_typed(e, OP_constant, NO_VAL, &a, 1, c->slot[1].type, c->at);
}

// Numbers 0, 1, ... n-1, from which index tables are computed when weights are packed.
CtVal call_range(Elab *e, Call *c) {
  CtVal n = c->slot[0];
  if (n.kind != CV_INT || !n.d.k) {
    int64_t length;
    if (!want_int(e, n, c->span[0], "the length of range", 1, INT32_MAX, &length)) return CT_ERROR;
    n = ct_int(length);
  }
  if (dim_least(e->m, n.d) < 1 || (n.d.k && n.d.sym == DIM_SEGS)) {
    elab_error(e, "E0130", c->span[0], "a range needs one length of at least 1, not %s", kind_text(e, n));
    return CT_ERROR;
  }
  Type t = {.dtype = DT_I32, .rank = 1, .dim = {DIM(dim_bound(e->m, n.d))}};
  Attr a = attr_int(A_axis, 0);
  CtVal all = add_typed(e, OP_iota, NO_VAL, &a, 1, &t, c->at);
  if (!n.d.k || all.kind == CV_ERROR) return all;
  Attr part[] = {attr_int(A_axis, 0), attr_int(A_start, 0)};
  t.dim[0] = n.d;
  return add_typed(e, OP_slice, all.v, part, 2, &t, c->at);
}
