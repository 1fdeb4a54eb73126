// grad_images.c: gradient rules of windows and depthwise convolution, out of slices, concats and sums that there are
// kernels for.
//
//   windows    dx = the sum over the places (u, v) of a window, in their order, of the cotangents of that place where
//   they
//              belong: element (i, j) at row i sh + u dh, column j sw + v dw, zeros between and around
//   depthwise  dx the same, of dy w[u, v]; dw[u, v] = the sum over images, rows and columns of dy and the elements of x
//              under the tap; db = that of dy
#include "grad.h"

// x with `before` zeros in front along the axis, cut or filled up to `total`.
static Val place_along(const Grad *c, Val x, int axis, int64_t before, int64_t total) {
  if (!x.id) return x;
  Type t = *grad_type(c, x);
  Val part[3];
  size_t n = 0;
  int64_t have = t.dim[axis].c;
  if (before + have > total) {
    Attr at[] = {attr_int(A_axis, axis), attr_int(A_start, 0)};
    t.dim[axis] = DIM(have = total - before);
    x = grad_typed(c, OP_slice, x, at, 2, &t);
  }
  int64_t zeros[] = {before, total - before - have};
  for (int i = 0; i < 3; i++) {
    if (i == 1) part[n++] = x;
    if (i == 1 || !zeros[i / 2]) continue;
    t.dim[axis] = DIM(zeros[i / 2]);
    part[n++] = grad_zeros(c, &t);
  }
  Attr a = attr_int(A_axis, axis);
  return n == 1 ? x : grad_op(c, OP_concat, part, n, &a, 1);
}

// The elements along an axis `step` apart, zeros between.
static Val apart(const Grad *c, Val x, int axis, int64_t step) {
  if (!x.id || step == 1) return x;
  Type t = *grad_type(c, x), wide = t, out = t;
  for (int d = t.rank; d > axis + 1; d--) wide.dim[d] = wide.dim[d - 1];
  wide.dim[axis + 1] = DIM(1), wide.rank++;
  out.dim[axis] = DIM(t.dim[axis].c * step);
  Val y = grad_typed(c, OP_reshape, x, NULL, 0, &wide);
  wide.dim[axis + 1] = DIM(step - 1);
  Attr a = attr_int(A_axis, axis + 1);
  y = grad_op(c, OP_concat, (Val[]){y, grad_zeros(c, &wide)}, 2, &a, 1);
  return grad_typed(c, OP_reshape, y, NULL, 0, &out);
}

// The cotangents of place (u, v) of all windows, [B,h,w,C], where they belong in an image of type t.
static Val in_place(const Grad *c, Val y, const int64_t *step, int64_t u, int64_t v, const Type *t) {
  y = place_along(c, apart(c, y, 1, step[0]), 1, u, t->dim[1].c);
  return place_along(c, apart(c, y, 2, step[1]), 2, v, t->dim[2].c);
}

static Val cut(const Grad *c, Val x, int axis, int64_t start, int64_t n) {
  if (!x.id) return x;
  Type t = *grad_type(c, x);
  if (!start && t.dim[axis].c == n) return x;
  t.dim[axis] = DIM(n);
  Attr at[] = {attr_int(A_axis, axis), attr_int(A_start, start)};
  return grad_typed(c, OP_slice, x, at, 2, &t);
}

// n elements of an axis from `start` on, `step` apart: those of every step-th place are a slice of the axis in two.
static Val every(const Grad *c, Val x, int axis, int64_t start, int64_t step, int64_t n) {
  int64_t all = start + n * step, have = grad_type(c, x)->dim[axis].c;
  if (all > have) x = place_along(c, x, axis, 0, all);
  x = cut(c, x, axis, start, n * step);
  if (!x.id || step == 1) return x;
  Type t = *grad_type(c, x), two = t, out = t;
  for (int d = t.rank; d > axis + 1; d--) two.dim[d] = two.dim[d - 1];
  two.dim[axis] = DIM(n), two.dim[axis + 1] = DIM(step), two.rank++;
  out.dim[axis] = DIM(n);
  return grad_typed(c, OP_reshape, cut(c, grad_typed(c, OP_reshape, x, NULL, 0, &two), axis + 1, 0, 1), NULL, 0, &out);
}

void grad_windows(Grad *c) {
  const int64_t *k = value_attr(&c->v, A_kernel)->v, *step = value_attr(&c->v, A_stride)->v;
  const int64_t *apart_by = dilation_of(&c->v);
  Type x = *grad_type(c, c->v.args[0]);
  int64_t channels = x.dim[3].c;
  Val sum = NO_VAL;
  for (int64_t tap = 0; c->want[0] && tap < k[0] * k[1]; tap++) {
    Val one = in_place(c, cut(c, c->dy, 3, tap * channels, channels), step, tap / k[1] * apart_by[0],
                       tap % k[1] * apart_by[1], &x);
    sum = sum.id ? grad_2(c, OP_add, sum, one) : one;
    if (!sum.id) return;
  }
  grad_set(c, 0, sum);
}

void grad_depthwise(Grad *c) {
  const int64_t *step = value_attr(&c->v, A_stride)->v, *apart_by = dilation_of(&c->v);
  Type x = *grad_type(c, c->v.args[0]), w = *grad_type(c, c->v.args[1]), y = *grad_type(c, c->dy);
  int64_t rows = w.dim[0].c, columns = w.dim[1].c, channels = w.dim[2].c;
  Type flat = {.dtype = w.dtype, .rank = 2, .dim = {DIM(rows * columns), DIM(channels)}}, one_row = flat;
  one_row.dim[0] = DIM(1);
  Val sum = NO_VAL, taps = grad_typed(c, OP_reshape, c->v.args[1], NULL, 0, &flat);
  Val *tap_sums = ARENA_ARRAY(c->g->module->arena, Val, (size_t)(rows * columns));
  for (int64_t tap = 0; tap < rows * columns; tap++) {
    int64_t u = tap / columns * apart_by[0], v = tap % columns * apart_by[1];
    if (c->want[0]) {
      Val one = in_place(c, grad_2(c, OP_mul, c->dy, cut(c, taps, 0, tap, 1)), step, u, v, &x);
      sum = sum.id ? grad_2(c, OP_add, sum, one) : one;
    }
    if (c->want[1]) {
      Val under = every(c, every(c, c->v.args[0], 1, u, step[0], y.dim[1].c), 2, v, step[1], y.dim[2].c);
      tap_sums[tap] = grad_sum_to(c, grad_2(c, OP_mul, c->dy, under), &one_row);
    }
  }
  grad_set(c, 0, sum);
  Attr a = attr_int(A_axis, 0);
  if (c->want[1])
    grad_set(c, 1,
             grad_typed(c, OP_reshape, grad_op(c, OP_concat, tap_sums, (size_t)(rows * columns), &a, 1), NULL, 0, &w));
  if (c->v.nargs > 2) grad_set(c, 2, c->dy);
}
