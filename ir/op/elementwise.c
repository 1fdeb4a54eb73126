// elementwise.c: one output element from one element of each operand, with NumPy's broadcasting (last axes aligned,
// extent 1 and missing axes stretch).
//
// Segments: the result has the segments of the operand that has them. Two segmented operands must agree; an operand of
// equal extent without segments is taken as it is, if the segmented one is dense at run time (type_is_dense).
// The references compute in doubles; i32 results outside 32 bits are an error, not a wrap.
// Folds:  x + 0 => x,  x * 1 => x  (0 and 1 may be broadcast; x keeps its type). x + 0 => x takes -0 for 0.
#include "op.h"

#include <math.h>
#include <string.h>

/* Shape rules
 * ---------------------------------------------------------------------------------------------------------- */

// Operand before `arg` whose axis, aligned with axis j of the result, has that length: the one to name in a message.
static size_t partner_of(const ShapeCtx *c, const Type *out, int j, size_t arg) {
  size_t k = arg;
  while (k-- > 0) {
    const Type *t = shape_arg(c, k);
    int i = t->rank - (out->rank - j);
    if (i >= 0 && dim_equal(t->dim[i], out->dim[j])) return k;
  }
  return 0;
}

static bool lengths_differ(const ShapeCtx *c, const Type *out, int j, size_t arg, int i, bool segments) {
  size_t k = partner_of(c, out, j, arg);
  const Type *a = shape_arg(c, k), *b = shape_arg(c, arg);
  shape_error(c, segments ? "E0205" : "E0204",
              "%s and %s: %s does not match %s; lengths must be equal, or one of them 1", shape_type(c, k),
              shape_type(c, arg), shape_axis(c, a, a->rank - (out->rank - j)), shape_axis(c, b, i));
  if (segments)
    return shape_hint(c, "the segments differ; concat(a, b) joins segments, x[:, %s] selects one",
                      c->g->module->modality[a->seg[0].modality].name);
  if (a->rank == 2 && b->rank == 2 && dim_equal(a->dim[0], b->dim[1]) && dim_equal(a->dim[1], b->dim[0]))
    return shape_hint(c, "one of them looks transposed: transpose(x) swaps the last two axes");
  if (a->rank != b->rank && a->rank > 1 && b->rank > 1)
    return shape_hint(c, "axes are aligned from the last one; reshape(x, [...]) adds axes of length 1");
  return false;
}

// Joins axis j of *out (which has segments or not) with axis i of t.
static bool join_axis(const ShapeCtx *c, Type *out, int j, size_t arg, int i) {
  const Type *t = shape_arg(c, arg);
  bool one_out = dim_equal(out->dim[j], DIM(1)), one_t = dim_equal(t->dim[i], DIM(1));
  bool seg_out = out->nseg && out->segaxis == j, seg_t = t->nseg && t->segaxis == i;
  if (dim_equal(out->dim[j], t->dim[i])) {
    if (seg_out && seg_t && !shape_axis_equal(out, j, t, i))
      return shape_error(c, "E0205", "axis %d has the segments %s and, in %s, %s", j, shape_axis(c, out, j),
                         shape_who(c, arg), shape_axis(c, t, i));
    if (!shape_axis_equal(out, j, t, i))
      return shape_error(c, "E0206", "axis %d is %s and, in %s, %s; give both the same segments", j,
                         shape_axis(c, out, j), shape_who(c, arg), shape_axis(c, t, i));
  } else if (!one_out && !one_t) {
    return lengths_differ(c, out, j, arg, i, seg_out && seg_t);
  }
  if (one_out && !one_t) {
    if (seg_out) type_set_segs(out, 0, NULL, 0); // one tagged element stretched: the longer side's segments count
    seg_out = false;
    out->dim[j] = t->dim[i];
  }
  if (!seg_t || seg_out) return true;
  if (one_t && !one_out) return true; // a stretched axis takes the other side's segments
  if (out->nseg)
    return shape_error(c, "E0207", "axis %d and axis %d would both be segmented; a tensor has one segmented axis",
                       (int)out->segaxis, j);
  type_set_segs(out, j, t->seg, t->nseg);
  return true;
}

// Broadcasts operands first.. into *out; the dtype is that of operand `first`.
static bool broadcast_args(const ShapeCtx *c, size_t first, Type *out) {
  *out = (Type){.dtype = shape_arg(c, first)->dtype};
  for (size_t i = 0; i < c->nargs; i++)
    if (shape_arg(c, i)->rank > out->rank) out->rank = shape_arg(c, i)->rank;
  for (int j = 0; j < out->rank; j++) out->dim[j] = DIM(1);
  for (size_t i = 0; i < c->nargs; i++) {
    const Type *t = shape_arg(c, i);
    for (int k = 0; k < t->rank; k++)
      if (!join_axis(c, out, out->rank - t->rank + k, i, k)) return false;
  }
  return true;
}

static bool same_dtype(const ShapeCtx *c, size_t first) {
  DType want = shape_arg(c, first)->dtype;
  for (size_t i = first + 1; i < c->nargs; i++)
    if (shape_arg(c, i)->dtype != want)
      return shape_error(c, "E0203", "%s and %s have different element types", shape_type(c, first), shape_type(c, i)),
             shape_hint(c, "convert one: cast(x, %s)", dtype_info[want == DT_F32 ? want : shape_arg(c, i)->dtype].name);
  return true;
}

bool shape_bcast(const ShapeCtx *c, Type *out) {
  if (!same_dtype(c, 0)) return false;
  if (shape_arg(c, 0)->dtype == DT_BOOL) return shape_error(c, "E0203", "no arithmetic on bool elements; cast them");
  return broadcast_args(c, 0, out);
}

// Shared by the unary functions and by softmax, log_softmax, l2_norm: type of the operand, floating point (neg, relu
// and abs take i32 too).
bool shape_same(const ShapeCtx *c, Type *out) {
  bool whole = (c->op == OP_neg || c->op == OP_relu || c->op == OP_abs) && shape_arg(c, 0)->dtype == DT_I32;
  if (!whole && !shape_float(c)) return false;
  if (!(op_info[c->op].flags & F_ELEMENTWISE) && !shape_dense_rows(c)) return false;
  const Attr *eps = shape_attr(c, A_eps);
  if (eps && !(eps->f >= 0)) return shape_error_attr(c, A_eps, "E0208", "eps is %g, must not be negative", eps->f);
  *out = *shape_arg(c, 0);
  return true;
}

bool shape_logical(const ShapeCtx *c, Type *out) {
  for (size_t i = 0; i < c->nargs; i++)
    if (shape_arg(c, i)->dtype != DT_BOOL)
      return shape_error_at(c, i, "E0203", "%s has %s elements, needs bool", shape_who(c, i),
                            dtype_info[shape_arg(c, i)->dtype].name);
  return broadcast_args(c, 0, out);
}

bool shape_select(const ShapeCtx *c, Type *out) {
  if (shape_arg(c, 0)->dtype != DT_BOOL)
    return shape_error_at(c, 0, "E0203", "the condition has %s elements, needs bool",
                          dtype_info[shape_arg(c, 0)->dtype].name);
  return same_dtype(c, 1) && broadcast_args(c, 1, out);
}

bool shape_cast(const ShapeCtx *c, Type *out) {
  const char *to = shape_attr(c, A_to)->s;
  *out = *shape_arg(c, 0);
  return dtype_by_name(to, &out->dtype) || shape_error(c, "E0208", "unknown element type %s", to);
}

/* Folders
 * -------------------------------------------------------------------------------------------------------------- */

// Is every element of v equal to f? Looks through views of constants.
static bool is_all(const Graph *g, Val v, double f) {
  const Value *x = graph_value(g, v);
  while ((op_info[x->op].flags & F_VIEW) && x->nargs == 1) x = graph_value(g, x->args[0]);
  return x->op == OP_constant && value_float(x, A_value, 0) == f;
}

static Val fold_neutral(Graph *g, const Value *v, double neutral) {
  for (uint32_t i = 0; i < 2; i++)
    if (is_all(g, v->args[1 - i], neutral) && type_equal(&graph_value(g, v->args[i])->type, &v->type))
      return v->args[i];
  return NO_VAL;
}

Val fold_add(Graph *g, const Value *v) {
  return fold_neutral(g, v, 0);
} // x + 0 => x
Val fold_mul(Graph *g, const Value *v) {
  return fold_neutral(g, v, 1);
} // x * 1 => x

/* References
 * ------------------------------------------------------------------------------------------------------------ */

typedef double MapFn(double a, double b, double c);

// out[i] = fn(a, b, c) at every index, operands broadcast; operands that do not exist read as 0.
static void map(const RefCtx *c, Tensor *out, MapFn *fn) {
  size_t stride[3][MAX_RANK] = {{0}}, at[3] = {0};
  int64_t index[MAX_RANK] = {0};
  CHECK(c->v->nargs <= 3);
  for (uint32_t k = 0; k < c->v->nargs; k++) {
    const Tensor *t = &c->arg[k];
    size_t step = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
      stride[k][out->rank - t->rank + i] = t->dim[i] == 1 ? 0 : step;
      step *= (size_t)t->dim[i];
    }
  }
  for (size_t n = 0; n < out->n; n++) {
    double x[3] = {0};
    for (uint32_t k = 0; k < c->v->nargs; k++) x[k] = tensor_get(&c->arg[k], at[k]);
    ref_put(c, out, n, fn(x[0], x[1], x[2]));
    for (int i = out->rank - 1; i >= 0; i--) {
      for (int k = 0; k < 3; k++) at[k] += stride[k][i];
      if (++index[i] < out->dim[i]) break;
      for (int k = 0; k < 3; k++) at[k] -= stride[k][i] * (size_t)out->dim[i];
      index[i] = 0;
    }
  }
}

#define REF(name, expr)                                                                                                \
  static double map_##name(double a, double b, double c) {                                                             \
    (void)a, (void)b, (void)c;                                                                                         \
    return expr;                                                                                                       \
  }                                                                                                                    \
  void ref_##name(const RefCtx *c, Tensor *out) {                                                                      \
    map(c, out, map_##name);                                                                                           \
  }

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}
static double gelu_tanh(double x) {
  return x / 2 * (1 + tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

REF(add, a + b)
REF(sub, a - b)
REF(mul, a *b)
REF(maximum, a > b ? a : b)
REF(minimum, a < b ? a : b)
REF(neg, -a)
REF(exp, exp(a))
REF(log, log(a))
REF(sqrt, sqrt(a))
REF(tanh, tanh(a))
REF(sin, sin(a))
REF(cos, cos(a))
REF(abs, fabs(a))
REF(floor, floor(a))
REF(sigmoid, sigmoid(a))
REF(relu, a < 0 ? 0 : a)
REF(gelu, a / 2 * (1 + erf(a / sqrt(2.0))))
REF(gelu_slope, (1 + erf(a / sqrt(2.0))) / 2 + a * exp(-a * a / 2) * 0.3989422804014327)
REF(gelu_tanh, gelu_tanh(a))
REF(quick_gelu, a *sigmoid(1.702 * a))
REF(swish, a *sigmoid(a))
REF(logical_and, a != 0 && b != 0)
REF(logical_or, a != 0 || b != 0)
REF(logical_not, a == 0)
REF(select, a != 0 ? b : c)
#undef REF

static double map_div(double a, double b, double c) {
  (void)c;
  return a / b;
}
static double map_idiv(double a, double b, double c) {
  (void)c;
  return trunc(a / b); // exact for 32-bit integers; a division by 0 is not finite and fails in ref_put
}
void ref_div(const RefCtx *c, Tensor *out) {
  map(c, out, out->dtype == DT_I32 ? map_idiv : map_div);
}

#define COMPARE(name, expr)                                                                                            \
  static double compare_##name(double a, double b, double c) {                                                         \
    return (void)c, expr;                                                                                              \
  }
COMPARE(lt, a < b)
COMPARE(le, a <= b)
COMPARE(eq, a == b)
COMPARE(ne, a != b)
COMPARE(gt, a > b)
COMPARE(ge, a >= b)
#undef COMPARE

static const struct {
  const char *name;
  MapFn *fn;
} compare_table[] = {{"lt", compare_lt}, {"le", compare_le}, {"eq", compare_eq},
                     {"ne", compare_ne}, {"gt", compare_gt}, {"ge", compare_ge}};

static MapFn *find_compare(const char *name) {
  for (size_t i = 0; i < sizeof compare_table / sizeof *compare_table; i++)
    if (!strcmp(compare_table[i].name, name)) return compare_table[i].fn;
  return NULL;
}

bool shape_compare(const ShapeCtx *c, Type *out) {
  const char *how = shape_attr(c, A_cmp)->s;
  if (!find_compare(how)) return shape_error(c, "E0208", "unknown comparison %s (known: lt le eq ne gt ge)", how);
  if (!same_dtype(c, 0) || !broadcast_args(c, 0, out)) return false;
  out->dtype = DT_BOOL;
  return true;
}

void ref_compare(const RefCtx *c, Tensor *out) {
  map(c, out, find_compare(value_str(c->v, A_cmp)));
}

// Casts to narrow types round; to i32 truncates; to bool asks whether the element is not 0; to f32 keeps the double.
// Towards zero; the nearest i32 of what is out of range, 0 of NaN.
static double map_whole(double a, double b, double c) {
  (void)b, (void)c;
  return isnan(a) ? 0 : trunc(fmin(fmax(a, INT32_MIN), INT32_MAX));
}
static double map_bool(double a, double b, double c) {
  return (void)b, (void)c, a != 0;
}
static double map_keep(double a, double b, double c) {
  return (void)b, (void)c, a;
}

void ref_cast(const RefCtx *c, Tensor *out) {
  static MapFn *const cast[] = {[DK_FLOAT] = map_keep, [DK_INT] = map_whole, [DK_TRUTH] = map_bool};
  map(c, out, cast[dtype_info[out->dtype].kind]);
  for (size_t i = 0; dtype_is_narrow(out->dtype) && i < out->n; i++) out->f[i] = dtype_round(out->dtype, out->f[i]);
}
