// elab_tensor.c: operators between tensors.
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

CtVal tensor_elementwise(Elab *e, Op op, const char *verb, CtVal a, CtVal b, const Attr *attr, size_t nattr, Span at) {
  if (a.kind == CV_ERROR || b.kind == CV_ERROR) return CT_ERROR;
  if (a.kind != CV_TENSOR && b.kind == CV_TENSOR) a = tensor_lift(e, a, val_type(e, b.v)->dtype, at);
  if (b.kind != CV_TENSOR && a.kind == CV_TENSOR) b = tensor_lift(e, b, val_type(e, a.v)->dtype, at);
  if (!want_tensor(e, a, at, "an operand") || !want_tensor(e, b, at, "an operand")) return CT_ERROR;
  Val args[] = {a.v, b.v};
  e->page.call = verb;
  CtVal v = add_op(e, op, args, 2, attr, nattr, at);
  e->page.call = NULL;
  return v;
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
