// elab_num.c: arithmetic on compile-time numbers, truth values and dims.
//
//   integers: + - * and / (division towards zero) % ^ ; overflow of 64 bits is an error
//   run-time dims: c + k * L stays of that form: L + 1, 2 * L, L / 1, 1 + L == L + 1
//   reals: + - * / ^; an integer beside a real is converted
#include "elab.h"

#include <math.h>

static bool int_pow(int64_t a, int64_t b, int64_t *out) {
  int64_t y = 1;
  for (int64_t i = 0; i < b; i++) {
    if (a == 0 || a == 1) return *out = b ? a : 1, true;
    if (a == -1) return *out = b % 2 ? -1 : 1, true;
    if (__builtin_mul_overflow(y, a, &y)) return false;
  }
  *out = y;
  return true;
}

// Folds integers; false on overflow (the divisor is not 0).
static bool int_arith(AstOp op, int64_t a, int64_t b, int64_t *out) {
  switch (op) {
  case AO_add: return !__builtin_add_overflow(a, b, out);
  case AO_sub: return !__builtin_sub_overflow(a, b, out);
  case AO_mul: return !__builtin_mul_overflow(a, b, out);
  case AO_div: return (a == INT64_MIN && b == -1) ? false : (*out = a / b, true);
  case AO_mod: return *out = b == -1 ? 0 : a % b, true;
  case AO_pow: return int_pow(a, b, out);
  default: return false;
  }
}

static const int64_t MOST_OFFSET = (int64_t)1 << 40; // of a size that depends on a run-time dim

bool dim_arith(AstOp op, Dim a, Dim b, Dim *out) {
  int64_t c, k = 0;
  Dim d = {0, 0, a.k ? a.sym : b.sym};
  if ((a.k && a.sym == DIM_SEGS) || (b.k && b.sym == DIM_SEGS)) return false;
  if (op == AO_add || op == AO_sub) {
    if (a.k && b.k && a.sym != b.sym) return false;
    if (!int_arith(op, a.c, b.c, &c) || !int_arith(op, a.k, b.k, &k)) return false;
  } else if (op == AO_mul) {
    if (a.k && b.k) return false;
    if (!int_arith(op, a.c, b.c, &c) || !int_arith(op, a.k ? a.k : a.c, b.k ? b.k : b.c, &k)) return false;
    if (!a.k && !b.k) k = 0;
  } else if (op == AO_div && !b.k && b.c != 0) {
    int64_t rest_c = 0, rest_k = 0;
    bool whole = int_arith(AO_mod, a.c, b.c, &rest_c) && int_arith(AO_mod, a.k, b.c, &rest_k) && !rest_c && !rest_k;
    if (!whole || !int_arith(AO_div, a.c, b.c, &c) || !int_arith(AO_div, a.k, b.c, &k)) return false;
  } else {
    return false;
  }
  // far below the limits of 64 bits, so that what is computed from a size (bounds, ends of ranges) cannot overflow
  if (k > 65536 || k < -65536 || (k && (c > MOST_OFFSET || c < -MOST_OFFSET))) return false;
  d.c = c, d.k = (int32_t)k;
  if (!d.k) d.sym = 0;
  *out = d;
  return true;
}

static CtVal real_arith(Elab *e, AstOp op, double a, double b, Span at) {
  double y = op == AO_add   ? a + b
             : op == AO_sub ? a - b
             : op == AO_mul ? a * b
             : op == AO_div ? a / b
             : op == AO_mod ? fmod(a, b)
                            : pow(a, b);
  if ((op == AO_div || op == AO_mod) && b == 0) {
    elab_error(e, "E0107", at, "division by zero");
    return CT_ERROR;
  }
  if (!isfinite(y)) {
    elab_error(e, "E0108", at, "the result is no finite number");
    return CT_ERROR;
  }
  return ct_real(y);
}

static bool compare(AstOp op, int order) {
  return op == AO_eq   ? order == 0
         : op == AO_ne ? order != 0
         : op == AO_lt ? order < 0
         : op == AO_le ? order <= 0
         : op == AO_gt ? order > 0
                       : order >= 0;
}

static bool is_compare(AstOp op) {
  return op >= AO_eq && op <= AO_ge;
}
static bool is_number(CtVal v) {
  return v.kind == CV_INT || v.kind == CV_REAL;
}
static double real_of(CtVal v) {
  return v.kind == CV_REAL ? v.f : (double)v.d.c;
}

static CtVal wrong_operands(Elab *e, AstOp op, CtVal a, CtVal b, Span at) {
  elab_error(e, "E0106", at, "'%s' does not work on %s and %s", ast_op_text[op], kind_text(e, a), kind_text(e, b));
  return CT_ERROR;
}

static CtVal dim_binary(Elab *e, AstOp op, CtVal a, CtVal b, Span at) {
  if (is_compare(op)) {
    bool equal = dim_equal(a.d, b.d);
    if (equal || ((op == AO_eq || op == AO_ne) && a.d.k == b.d.k && a.d.sym == b.d.sym))
      return ct_bool(compare(op, equal ? 0 : 1));
    Diagnostic *g = elab_error(e, "E0106", at, "this comparison depends on a run-time dim");
    diag_hint(e->diag, g, "what is decided when the program is compiled cannot depend on a size chosen at run time");
    return CT_ERROR;
  }
  Dim d;
  if (dim_arith(op, a.d, b.d, &d)) return ct_dim(d);
  Diagnostic *g = elab_error(e, "E0106", at, "'%s' on %s and %s is no usable size", ast_op_text[op], kind_text(e, a),
                             kind_text(e, b));
  diag_hint(e->diag, g, "a size is a constant plus a multiple of one run-time dim, as in 1 + L or 2 * B");
  return CT_ERROR;
}

static CtVal int_binary(Elab *e, AstOp op, int64_t a, int64_t b, Span at) {
  if (is_compare(op)) return ct_bool(compare(op, a < b ? -1 : a > b));
  if ((op == AO_div || op == AO_mod) && b == 0) {
    elab_error(e, "E0107", at, "division by zero");
    return CT_ERROR;
  }
  if (op == AO_pow && b < 0) return real_arith(e, op, (double)a, (double)b, at);
  int64_t y;
  if (int_arith(op, a, b, &y)) return ct_int(y);
  elab_error(e, "E0108", at, "%lld %s %lld does not fit into 64 bits", (long long)a, ast_op_text[op], (long long)b);
  return CT_ERROR;
}

CtVal num_binary(Elab *e, AstOp op, CtVal a, CtVal b, Span at) {
  if (a.kind == CV_BOOL && b.kind == CV_BOOL) {
    if (op == AO_and) return ct_bool(a.b && b.b);
    if (op == AO_or) return ct_bool(a.b || b.b);
    if (op == AO_eq || op == AO_ne) return ct_bool((a.b == b.b) == (op == AO_eq));
  }
  if (!is_number(a) || !is_number(b) || op == AO_and || op == AO_or) return wrong_operands(e, op, a, b, at);
  if (a.kind == CV_INT && b.kind == CV_INT) {
    if (a.d.k || b.d.k) return dim_binary(e, op, a, b, at);
    return int_binary(e, op, a.d.c, b.d.c, at);
  }
  if ((a.kind == CV_INT && a.d.k) || (b.kind == CV_INT && b.d.k)) return wrong_operands(e, op, a, b, at);
  double x = real_of(a), y = real_of(b);
  if (is_compare(op)) return ct_bool(compare(op, x < y ? -1 : x > y));
  return real_arith(e, op, x, y, at);
}

CtVal num_unary(Elab *e, AstOp op, CtVal a, Span at) {
  if (op == AO_not && a.kind == CV_BOOL) return ct_bool(!a.b);
  if (op == AO_neg && a.kind == CV_REAL) return ct_real(-a.f);
  if (op == AO_neg && a.kind == CV_INT) return num_binary(e, AO_sub, ct_int(0), a, at);
  elab_error(e, "E0106", at, "'%s' does not work on %s", ast_op_text[op], kind_text(e, a));
  return CT_ERROR;
}
