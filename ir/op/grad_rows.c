// grad_rows.c: gradient rules of the operators on rows (norm.c) and of rotary positions. All sums run over the last
// axis.
#include "grad.h"

static Val times(const Grad *c, Val a, Val b) {
  return grad_2(c, OP_mul, a, b);
}
static Val minus(const Grad *c, Val a, Val b) {
  return grad_2(c, OP_sub, a, b);
}
static Val sum(const Grad *c, Val a) {
  return grad_1(c, OP_reduce_sum, a);
}

// The sums of dy xh and of dy over the rows: [2,D], where xh is the norm without gain and bias. Rows in parts that lie
// apart are summed part by part.
static Val norm_sums(const Grad *c, Val dy, Val x, const Attr *eps) {
  Type t = *grad_type(c, x);
  if (!t.nseg || t.segaxis != 1 || type_is_dense(&t))
    return grad_sum_axis(c, grad_op(c, OP_layer_norm_sums, (Val[]){dy, x}, 2, eps, 1), 0);
  Val sum = NO_VAL;
  for (int s = 0; s < t.nseg; s++) {
    Type part = t;
    part.dim[1] = t.seg[s].len;
    type_set_segs(&part, 1, &t.seg[s], 1);
    Attr at[] = {attr_int(A_axis, 1), attr_int(A_start, seg_start(c->g->module, &t, s))};
    Val both[] = {grad_typed(c, OP_slice, dy, at, 2, &part), grad_typed(c, OP_slice, x, at, 2, &part)};
    Val one = grad_op(c, OP_layer_norm_sums, both, 2, eps, 1);
    sum = sum.id ? grad_2(c, OP_add, sum, one) : one;
  }
  return grad_sum_axis(c, sum, 0);
}

static Val row_of(const Grad *c, Val v, int64_t row) { // of [2,D]: [D]
  Type t = *grad_type(c, v), one = t;
  one.dim[0] = DIM(1);
  Attr at[] = {attr_int(A_axis, 0), attr_int(A_start, row)};
  v = grad_typed(c, OP_slice, v, at, 2, &one);
  one.rank = 1, one.dim[0] = t.dim[1];
  return grad_as(c, v, &one);
}

// With xh = (x - mean) r and h = dy gain: dx = r (h - mean(h) - xh mean(h xh)), dgain = sum dy xh, dbias = sum dy.
void grad_layer_norm(Grad *c) {
  Val x = c->v.args[0];
  const Type *t = grad_type(c, x);
  if (!dim_is_const(t->dim[t->rank - 1])) {
    c->why = "rows of a run-time length";
    return;
  }
  Attr eps = attr_float(A_eps, value_float(&c->v, A_eps, 0));
  bool gain = c->v.nargs > 1 && c->want[1], bias = c->v.nargs > 2 && c->want[2];
  if (gain && t->rank == 3) {
    Val sums = norm_sums(c, c->dy, x, &eps);
    grad_set(c, 1, row_of(c, sums, 0));
    if (bias) grad_set(c, 2, row_of(c, sums, 1));
  } else {
    if (gain) grad_set(c, 1, times(c, c->dy, grad_op(c, OP_layer_norm, &x, 1, &eps, 1)));
    if (bias) grad_set(c, 2, c->dy);
  }
  Val args[] = {c->dy, x, c->v.nargs > 1 ? c->v.args[1] : NO_VAL};
  if (c->want[0]) grad_set(c, 0, grad_op(c, OP_layer_norm_grad, args, c->v.nargs > 1 ? 3 : 2, &eps, 1));
}

// With r = 1 / sqrt(mean x^2 + eps), xh = x r and h = dy gain: dx = r (h - xh mean(h xh)), dgain = sum dy xh.
void grad_rms_norm(Grad *c) {
  Val x = c->v.args[0], h = c->dy;
  const Type *t = grad_type(c, x);
  Dim width = t->dim[t->rank - 1];
  if (!dim_is_const(width)) {
    c->why = "rows of a run-time length";
    return;
  }
  Val n = grad_number(c, (double)width.c);
  Attr eps = attr_float(A_eps, value_float(&c->v, A_eps, 0));
  Val xh = c->v.nargs == 1 ? c->y : grad_op(c, OP_rms_norm, &x, 1, &eps, 1);
  if (c->v.nargs > 1 && c->want[1]) grad_set(c, 1, times(c, c->dy, xh));
  if (!c->want[0]) return;
  if (c->v.nargs > 1) h = times(c, h, c->v.args[1]);
  Val square = grad_2(c, OP_div, sum(c, times(c, x, x)), n);
  Val r = grad_2(c, OP_div, grad_number(c, 1), grad_1(c, OP_sqrt, grad_2(c, OP_add, square, grad_number(c, eps.f))));
  Val along = grad_2(c, OP_div, sum(c, times(c, h, xh)), n);
  grad_set(c, 0, times(c, r, minus(c, h, times(c, xh, along))));
}

// n = |x|: (dy - y (y . dy)) / n where n > eps, else dy / eps
void grad_l2_norm(Grad *c) {
  Val x = c->v.args[0], eps = grad_number(c, value_float(&c->v, A_eps, 0));
  Val n = grad_1(c, OP_sqrt, sum(c, times(c, x, x)));
  Attr gt = attr_str(A_cmp, "gt");
  Val longer = grad_op(c, OP_compare, (Val[]){n, eps}, 2, &gt, 1);
  Val along = grad_3(c, OP_select, longer, sum(c, times(c, c->dy, c->y)), grad_number(c, 0));
  grad_set(c, 0, grad_2(c, OP_div, minus(c, c->dy, times(c, c->y, along)), grad_2(c, OP_maximum, n, eps)));
}

void grad_rotate(Grad *c) { // turned back
  if (c->want[1] || c->want[2]) {
    c->why = "the angles of a rotation";
    return;
  }
  Val args[3] = {c->dy, c->v.args[1], grad_1(c, OP_neg, c->v.args[2])};
  grad_set(c, 0, grad_op(c, OP_rotate, args, 3, c->v.attr, c->v.nattr));
}

void grad_softmax(Grad *c) { // y (dy - sum dy y)
  grad_set(c, 0, times(c, c->y, minus(c, c->dy, sum(c, times(c, c->dy, c->y)))));
}

void grad_log_softmax(Grad *c) { // dy - e^y sum dy
  grad_set(c, 0, minus(c, c->dy, times(c, grad_1(c, OP_exp, c->y), sum(c, c->dy))));
}

static Val stretched(const Grad *c, Val v, const Type *t) {
  return type_equal(grad_type(c, v), t) ? v : grad_typed(c, OP_broadcast, v, NULL, 0, t);
}

void grad_reduce_sum(Grad *c) {
  grad_set(c, 0, stretched(c, c->dy, grad_type(c, c->v.args[0])));
}

void grad_reduce_max(Grad *c) { // to the first maximum
  Val x = c->v.args[0];
  Type t = *grad_type(c, x),
       ids = {.dtype = DT_I32, .rank = 1, .dim = {DIM(type_extent(c->g->module, &t, t.rank - 1))}};
  Attr axis = attr_int(A_axis, 0);
  if (!dim_is_const(t.dim[t.rank - 1])) {
    c->why = "rows of a run-time length";
    return;
  }
  Val number = graph_add_typed(c->g, OP_iota, NULL, 0, &axis, 1, &ids, c->v.span), at = grad_1(c, OP_argmax, x);
  Type one = *grad_type(c, at);
  one.dim[one.rank++] = DIM(1);
  Attr eq = attr_str(A_cmp, "eq");
  Val first = grad_op(c, OP_compare, (Val[]){number, grad_as(c, at, &one)}, 2, &eq, 1);
  grad_set(c, 0, grad_3(c, OP_select, first, c->dy, grad_number(c, 0)));
}
