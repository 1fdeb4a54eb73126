// elab_tensor.c: operators between tensors, with a shape check whose message speaks the language's terms.
//
//   x + y   elementwise with NumPy's broadcasting; a number beside a tensor becomes a scalar constant of its type
//   x < y   compare; and, or on bool tensors
#include "elab.h"

bool number_for(Elab *e, CtVal v, DType dt, Span at, double *x) {
  if (v.kind == CV_BOOL && dt == DT_BOOL)
    *x = v.b;
  else if (v.kind == CV_INT && !v.d.k && dt != DT_BOOL)
    *x = (double)v.d.c;
  else if (v.kind == CV_REAL && dt != DT_BOOL && dt != DT_I32)
    *x = v.f;
  else {
    if (v.kind == CV_ERROR) return false;
    Diagnostic *g =
        elab_error(e, "E0106", at, "%s cannot be combined with a tensor of %s", kind_text(e, v), dtype_info[dt].name);
    if (v.kind == CV_INT && v.d.k) diag_hint(e->diag, g, "a run-time dim is a size, not a value");
    return false;
  }
  if (dt == DT_I32 && (*x > INT32_MAX || *x < INT32_MIN)) {
    elab_error(e, "E0108", at, "%s does not fit into i32", kind_text(e, v));
    return false;
  }
  return true;
}

CtVal tensor_lift(Elab *e, CtVal v, DType dt, Span at) {
  double x;
  if (!number_for(e, v, dt, at, &x)) return CT_ERROR;
  Type t = {.dtype = dt};
  Attr a = attr_float(A_value, x);
  return add_typed(e, OP_constant, NO_VAL, &a, 1, &t, at);
}

static bool is_one(Dim d) {
  return dim_equal(d, DIM(1));
}

// Do the two broadcast? If not, *axis counts from the right.
static bool broadcasts(const Type *a, const Type *b, int *axis) {
  int n = a->rank < b->rank ? a->rank : b->rank;
  for (int i = 1; i <= n; i++) {
    Dim x = a->dim[a->rank - i], y = b->dim[b->rank - i];
    *axis = i;
    if (!dim_equal(x, y) && !is_one(x) && !is_one(y)) return false;
  }
  return true;
}

static void broadcast_error(Elab *e, const char *verb, CtVal a, CtVal b, int axis, Span at) {
  const Type *x = val_type(e, a.v), *y = val_type(e, b.v);
  int i = x->rank - axis, j = y->rank - axis;
  Diagnostic *g = elab_error(e, "E0250", at, "cannot %s %s and %s: %s does not match %s", verb, val_text(e, a.v),
                             val_text(e, b.v), axis_text(e, a.v, i), axis_text(e, b.v, j));
  if (x->rank == 2 && y->rank == 2 && dim_equal(x->dim[0], y->dim[1]) && dim_equal(x->dim[1], y->dim[0]))
    diag_hint(e->diag, g, "one of them looks transposed: transpose(x) swaps the last two axes");
  else if (x->nseg && y->nseg && x->segaxis == i && y->segaxis == j)
    diag_hint(e->diag, g, "the segments differ; concat(a, b) joins segments, x[:, %s] selects one",
              e->m->modality[x->seg[0].modality].name);
  else if (x->rank != y->rank && x->rank > 1 && y->rank > 1)
    diag_hint(e->diag, g, "axes are aligned from the last one; reshape(x, [...]) adds axes of length 1");
}

CtVal tensor_elementwise(Elab *e, Op op, const char *verb, CtVal a, CtVal b, const Attr *attr, size_t nattr, Span at) {
  if (a.kind == CV_ERROR || b.kind == CV_ERROR) return CT_ERROR;
  if (a.kind != CV_TENSOR && b.kind == CV_TENSOR) a = tensor_lift(e, a, val_type(e, b.v)->dtype, at);
  if (b.kind != CV_TENSOR && a.kind == CV_TENSOR) b = tensor_lift(e, b, val_type(e, a.v)->dtype, at);
  if (!want_tensor(e, a, at, "an operand") || !want_tensor(e, b, at, "an operand")) return CT_ERROR;
  const Type *x = val_type(e, a.v), *y = val_type(e, b.v);
  if (x->dtype != y->dtype) {
    Diagnostic *g = elab_error(e, "E0255", at, "cannot %s %s and %s: the element types differ", verb, val_text(e, a.v),
                               val_text(e, b.v));
    diag_hint(e->diag, g, "convert one: cast(x, %s)", dtype_info[x->dtype == DT_F32 ? x->dtype : y->dtype].name);
    return CT_ERROR;
  }
  int axis;
  if (!broadcasts(x, y, &axis)) {
    broadcast_error(e, verb, a, b, axis, at);
    return CT_ERROR;
  }
  Val args[] = {a.v, b.v};
  return add_op(e, op, args, 2, attr, nattr, at);
}

CtVal tensor_binary(Elab *e, AstOp op, CtVal a, CtVal b, Span at) {
  static const struct {
    Op op;
    const char *verb, *cmp;
  } row[AO_COUNT] = {
      [AO_add] = {OP_add, "add", NULL},         [AO_sub] = {OP_sub, "subtract", NULL},
      [AO_mul] = {OP_mul, "multiply", NULL},    [AO_div] = {OP_div, "divide", NULL},
      [AO_eq] = {OP_compare, "compare", "eq"},  [AO_ne] = {OP_compare, "compare", "ne"},
      [AO_lt] = {OP_compare, "compare", "lt"},  [AO_le] = {OP_compare, "compare", "le"},
      [AO_gt] = {OP_compare, "compare", "gt"},  [AO_ge] = {OP_compare, "compare", "ge"},
      [AO_and] = {OP_logical_and, "and", NULL}, [AO_or] = {OP_logical_or, "or", NULL},
  };
  if (row[op].op == OP_none) {
    Diagnostic *g = elab_error(e, "E0106", at, "'%s' does not work on tensors", ast_op_text[op]);
    if (op == AO_pow) diag_hint(e->diag, g, "write x * x, or exp(y * log(x))");
    return CT_ERROR;
  }
  Attr cmp = attr_str(A_cmp, row[op].cmp ? row[op].cmp : "");
  return tensor_elementwise(e, row[op].op, row[op].verb, a, b, &cmp, row[op].cmp ? 1 : 0, at);
}
