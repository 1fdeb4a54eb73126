// grad_elementwise.c: gradient rules of the elementwise operators. dy is the cotangent of y; where an operand was
// stretched, grad_set sums.
//
// maximum and minimum give all to the operand that the forward comparison takes (ties: the second; PyTorch halves
// them). A branch that select does not take gets 0, not its cotangent times 0: what is not finite there stays there.
#include "grad.h"

static Val times(const Grad *c, Val a, Val b) {
  return grad_2(c, OP_mul, a, b);
}
static Val minus(const Grad *c, Val a, Val b) {
  return grad_2(c, OP_sub, a, b);
}
static Val x_of(const Grad *c) {
  return c->v.args[0];
}

void grad_add(Grad *c) {
  grad_set(c, 0, c->dy);
  grad_set(c, 1, c->dy);
}

void grad_sub(Grad *c) {
  grad_set(c, 0, c->dy);
  if (c->want[1]) grad_set(c, 1, grad_1(c, OP_neg, c->dy));
}

void grad_mul(Grad *c) {
  for (uint32_t i = 0; i < 2; i++)
    if (c->want[i]) grad_set(c, i, times(c, c->dy, c->v.args[1 - i]));
}

void grad_div(Grad *c) { // dy / b, - dy y / b
  Val d = grad_2(c, OP_div, c->dy, c->v.args[1]);
  grad_set(c, 0, d);
  if (c->want[1]) grad_set(c, 1, grad_1(c, OP_neg, times(c, d, c->y)));
}

static Val compared(const Grad *c, const char *how, Val a, Val b) {
  Attr cmp = attr_str(A_cmp, how);
  return grad_op(c, OP_compare, (Val[]){a, b}, 2, &cmp, 1);
}

static void chosen(Grad *c, Val condition) {
  Val zero = grad_number(c, 0);
  if (c->want[0]) grad_set(c, 0, grad_3(c, OP_select, condition, c->dy, zero));
  if (c->want[1]) grad_set(c, 1, grad_3(c, OP_select, condition, zero, c->dy));
}

void grad_maximum(Grad *c) {
  chosen(c, compared(c, "gt", c->v.args[0], c->v.args[1]));
}
void grad_minimum(Grad *c) {
  chosen(c, compared(c, "lt", c->v.args[0], c->v.args[1]));
}

void grad_select(Grad *c) {
  Val zero = grad_number(c, 0), condition = c->v.args[0];
  if (c->want[1]) grad_set(c, 1, grad_3(c, OP_select, condition, c->dy, zero));
  if (c->want[2]) grad_set(c, 2, grad_3(c, OP_select, condition, zero, c->dy));
}

void grad_relu(Grad *c) {
  Val zero = grad_number(c, 0);
  grad_set(c, 0, grad_3(c, OP_select, compared(c, "gt", x_of(c), zero), c->dy, zero));
}

void grad_neg(Grad *c) {
  grad_set(c, 0, grad_1(c, OP_neg, c->dy));
}
void grad_exp(Grad *c) {
  grad_set(c, 0, times(c, c->dy, c->y));
}
void grad_log(Grad *c) {
  grad_set(c, 0, grad_2(c, OP_div, c->dy, x_of(c)));
}
void grad_sqrt(Grad *c) {
  grad_set(c, 0, grad_2(c, OP_div, times(c, c->dy, grad_number(c, 0.5)), c->y));
}
void grad_tanh(Grad *c) { // 1 - y^2
  grad_set(c, 0, times(c, c->dy, minus(c, grad_number(c, 1), times(c, c->y, c->y))));
}
void grad_sin(Grad *c) {
  grad_set(c, 0, times(c, c->dy, grad_1(c, OP_cos, x_of(c))));
}
void grad_cos(Grad *c) {
  grad_set(c, 0, grad_1(c, OP_neg, times(c, c->dy, grad_1(c, OP_sin, x_of(c)))));
}
void grad_abs(Grad *c) { // of 0: 0
  Val zero = grad_number(c, 0), below = grad_1(c, OP_neg, c->dy);
  Val rest = grad_3(c, OP_select, compared(c, "lt", x_of(c), zero), below, zero);
  grad_set(c, 0, grad_3(c, OP_select, compared(c, "gt", x_of(c), zero), c->dy, rest));
}
void grad_sigmoid(Grad *c) { // y (1 - y)
  grad_set(c, 0, times(c, c->dy, times(c, c->y, minus(c, grad_number(c, 1), c->y))));
}
void grad_gelu(Grad *c) {
  grad_set(c, 0, times(c, c->dy, grad_1(c, OP_gelu_slope, x_of(c))));
}

// y = x sigmoid(u), u = a x + b x^3: s + x s (1 - s) u'
static void gated(Grad *c, double a, double b) {
  Val x = x_of(c), one = grad_number(c, 1), slope = grad_number(c, a), u = times(c, x, slope);
  if (b != 0) {
    Val square = times(c, x, x);
    u = times(c, x, grad_2(c, OP_add, slope, times(c, square, grad_number(c, b))));
    slope = grad_2(c, OP_add, slope, times(c, square, grad_number(c, 3 * b)));
  }
  Val s = grad_1(c, OP_sigmoid, u), rest = times(c, times(c, x, minus(c, one, s)), slope);
  grad_set(c, 0, times(c, c->dy, times(c, s, grad_2(c, OP_add, one, rest))));
}

void grad_swish(Grad *c) {
  gated(c, 1, 0);
}
void grad_quick_gelu(Grad *c) {
  gated(c, 1.702, 0);
}
void grad_gelu_tanh(Grad *c) { // 1 + tanh(v) = 2 sigmoid(2 v), v = sqrt(2/pi) (x + 0.044715 x^3)
  gated(c, 1.5957691216057308, 1.5957691216057308 * 0.044715);
}

void grad_dropout(Grad *c) { // the same elements are kept: their numbers come from the same counters again
  Val args[ELEMENT_ARGS];
  for (uint32_t i = 0; i < c->v.nargs; i++) args[i] = i ? c->v.args[i] : c->dy;
  grad_set(c, 0, grad_op(c, OP_dropout, args, c->v.nargs, c->v.attr, c->v.nattr));
}

void grad_cast(Grad *c) {
  const Type *from = grad_type(c, x_of(c));
  if (dtype_info[from->dtype].kind != DK_FLOAT) return;
  Attr to = attr_str(A_to, dtype_info[from->dtype].name);
  grad_set(c, 0, grad_op(c, OP_cast, &c->dy, 1, &to, 1));
}
