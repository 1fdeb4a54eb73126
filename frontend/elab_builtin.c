// elab_builtin.c: the builtins: one row of `table` each, with its parameters ("x, gain?" : ? = optional, * = any
// number).
//
//   affine(x, weight, bias, transposed = true)     layer_norm(x, gain, bias, eps = 1e-6)     width(x)
//
// Arguments are bound to parameters by position or name before the function runs; functions check kinds and shapes and
// add graph operations. On compile-time numbers exp, log, sqrt, min and max compute numbers.
#include "elab.h"

#include <math.h>
#include <string.h>

enum { MAX_SLOTS = ELAB_MAX_ARGS };
typedef struct Call {
  const char *name;
  Op op;
  CtVal slot[MAX_SLOTS]; // CV_NONE: not given
  Span span[MAX_SLOTS];
  size_t rest; // arguments of a '*' parameter, from slot 1 on
  Span at;
} Call;
typedef CtVal BuiltinFn(Elab *e, Call *c);

static bool given(const Call *c, int i) {
  return c->slot[i].kind != CV_NONE;
}

static const char *role(Elab *e, const Call *c, const char *what) {
  return arena_printf(e->arena, "'%s' of %s", what, c->name);
}

static bool tensor_at(Elab *e, Call *c, int i, const char *what) {
  return want_tensor(e, c->slot[i], c->span[i], role(e, c, what));
}

static bool is_one_number(CtVal v) {
  return (v.kind == CV_INT && !v.d.k) || v.kind == CV_REAL;
}

/* elementwise
 * ------------------------------------------------------------------------------------------------------------------ */

static CtVal call_unary(Elab *e, Call *c) {
  if (is_one_number(c->slot[0]) && (c->op == OP_exp || c->op == OP_log || c->op == OP_sqrt)) {
    double x, y;
    if (!want_real(e, c->slot[0], c->span[0], "the operand", &x)) return CT_ERROR;
    y = c->op == OP_exp ? exp(x) : c->op == OP_log ? log(x) : sqrt(x);
    if (isfinite(y)) return ct_real(y);
    elab_error(e, "E0108", c->at, "%s(%g) is no finite number", c->name, x);
    return CT_ERROR;
  }
  if (!tensor_at(e, c, 0, "x")) return CT_ERROR;
  return add_op(e, c->op, &c->slot[0].v, 1, NULL, 0, c->at);
}

static CtVal call_minmax(Elab *e, Call *c) {
  if (is_one_number(c->slot[0]) && is_one_number(c->slot[1])) {
    CtVal less = num_binary(e, AO_le, c->slot[0], c->slot[1], c->at);
    if (less.kind == CV_ERROR) return less;
    return less.b == (c->op == OP_minimum) ? c->slot[0] : c->slot[1];
  }
  return tensor_elementwise(e, c->op, c->op == OP_minimum ? "take the minimum of" : "take the maximum of", c->slot[0],
                            c->slot[1], NULL, 0, c->at);
}

static CtVal call_select(Elab *e, Call *c) {
  if (!tensor_at(e, c, 0, "condition")) return CT_ERROR;
  DType dt = c->slot[1].kind == CV_TENSOR   ? val_type(e, c->slot[1].v)->dtype
             : c->slot[2].kind == CV_TENSOR ? val_type(e, c->slot[2].v)->dtype
                                            : DT_F32;
  Val args[3] = {c->slot[0].v};
  for (int i = 1; i < 3; i++) {
    CtVal v = c->slot[i].kind == CV_TENSOR ? c->slot[i] : tensor_lift(e, c->slot[i], dt, c->span[i]);
    if (v.kind == CV_ERROR) return v;
    args[i] = v.v;
  }
  return add_op(e, OP_select, args, 3, NULL, 0, c->at);
}

static CtVal call_cast(Elab *e, Call *c) {
  if (!tensor_at(e, c, 0, "x")) return CT_ERROR;
  if (c->slot[1].kind != CV_TYPE || c->slot[1].type->rank) {
    elab_error(e, "E0106", c->span[1], "cast needs an element type: cast(x, f32)");
    return CT_ERROR;
  }
  Attr to = attr_str(A_to, dtype_info[c->slot[1].type->dtype].name);
  return add_op(e, OP_cast, &c->slot[0].v, 1, &to, 1, c->at);
}

/* contractions
 * -------------------------------------------------------------------------------------------------------------------
 */

static CtVal call_affine(Elab *e, Call *c) {
  bool trans = false;
  if (!tensor_at(e, c, 0, "x") || !tensor_at(e, c, 1, "weight")) return CT_ERROR;
  if (given(c, 2) && !tensor_at(e, c, 2, "bias")) return CT_ERROR;
  if (given(c, 3) && !want_bool(e, c->slot[3], c->span[3], role(e, c, "transposed"), &trans)) return CT_ERROR;
  const Type *x = val_type(e, c->slot[0].v), *w = val_type(e, c->slot[1].v);
  if (w->rank == 2 && x->rank > 0) {
    int in = trans ? 0 : 1, last = x->rank - 1;
    if (!dim_equal(x->dim[last], w->dim[in])) {
      Diagnostic *g = elab_error(e, "E0251", c->at, "the weight %s takes %s columns, but x is %s with %s",
                                 val_text(e, c->slot[1].v), axis_text(e, c->slot[1].v, in), val_text(e, c->slot[0].v),
                                 axis_text(e, c->slot[0].v, last));
      if (dim_equal(x->dim[last], w->dim[1 - in]))
        diag_hint(e->diag, g, "the weight looks transposed: affine(x, weight, transposed = %s) takes [%s]",
                  trans ? "false" : "true", trans ? "out, in" : "in, out");
      return CT_ERROR;
    }
  }
  Val args[] = {c->slot[0].v, c->slot[1].v, c->slot[2].v};
  Attr a = attr_int(A_trans, trans);
  return add_op(e, OP_linear, args, given(c, 2) ? 3 : 2, &a, 1, c->at);
}

static CtVal call_matmul(Elab *e, Call *c) {
  bool trans = false;
  if (!tensor_at(e, c, 0, "a") || !tensor_at(e, c, 1, "b")) return CT_ERROR;
  if (given(c, 2) && !want_bool(e, c->slot[2], c->span[2], role(e, c, "transposed"), &trans)) return CT_ERROR;
  const Type *x = val_type(e, c->slot[0].v), *y = val_type(e, c->slot[1].v);
  if (x->rank > 1 && y->rank > 1) {
    int in = trans ? y->rank - 1 : y->rank - 2;
    if (!dim_equal(x->dim[x->rank - 1], y->dim[in])) {
      Diagnostic *g =
          elab_error(e, "E0252", c->at, "cannot multiply the matrices %s and %s: %s columns meet %s %s",
                     val_text(e, c->slot[0].v), val_text(e, c->slot[1].v), axis_text(e, c->slot[0].v, x->rank - 1),
                     axis_text(e, c->slot[1].v, in), trans ? "columns" : "rows");
      if (dim_equal(x->dim[x->rank - 1], y->dim[trans ? y->rank - 2 : y->rank - 1]))
        diag_hint(e->diag, g, "the second one looks transposed: matmul(a, b, transposed = %s)",
                  trans ? "false" : "true");
      return CT_ERROR;
    }
  }
  Val args[] = {c->slot[0].v, c->slot[1].v};
  Attr a = attr_int(A_trans, trans);
  return add_op(e, OP_matmul, args, 2, &a, 1, c->at);
}

/* rows
 * -----------------------------------------------------------------------------------------------------------------------------
 */

static bool want_eps(Elab *e, Call *c, int i, double absent, double *eps) {
  *eps = absent;
  if (!given(c, i)) return true;
  if (!want_real(e, c->slot[i], c->span[i], role(e, c, "eps"), eps)) return false;
  if (*eps >= 0) return true;
  elab_error(e, "E0130", c->span[i], "eps is %g, must not be negative", *eps);
  return false;
}

static CtVal call_layer_norm(Elab *e, Call *c) {
  double eps;
  if (!tensor_at(e, c, 0, "x") || !want_eps(e, c, 3, 0, &eps)) return CT_ERROR;
  Val args[3] = {c->slot[0].v};
  size_t n = 1;
  static const char *const what[] = {"x", "gain", "bias"};
  for (int i = 1; i < 3; i++) {
    if (!given(c, i)) continue;
    if (!tensor_at(e, c, i, what[i])) return CT_ERROR;
    if ((size_t)i != n) {
      elab_error(e, "E0103", c->span[i], "a bias needs a gain");
      return CT_ERROR;
    }
    args[n++] = c->slot[i].v;
    const Type *x = val_type(e, args[0]), *g = val_type(e, args[i]);
    if (x->rank && g->rank == 1 && !dim_equal(x->dim[x->rank - 1], g->dim[0])) {
      elab_error(e, "E0253", c->span[i], "the %s is %s, but the rows of %s have %s columns", what[i],
                 val_text(e, args[i]), val_text(e, args[0]), axis_text(e, args[0], x->rank - 1));
      return CT_ERROR;
    }
  }
  Attr a = attr_float(A_eps, eps);
  return add_op(e, OP_layer_norm, args, n, &a, 1, c->at);
}

static CtVal call_top_k(Elab *e, Call *c) {
  int64_t count;
  if (!tensor_at(e, c, 0, "x") || !want_int(e, c->slot[1], c->span[1], role(e, c, "k"), 1, INT32_MAX, &count))
    return CT_ERROR;
  Attr a = attr_int(A_count, count);
  return add_op(e, OP_top_k, &c->slot[0].v, 1, &a, 1, c->at);
}

static CtVal call_l2_norm(Elab *e, Call *c) {
  double eps;
  if (!tensor_at(e, c, 0, "x") || !want_eps(e, c, 1, 0, &eps)) return CT_ERROR;
  Attr a = attr_float(A_eps, eps);
  return add_op(e, OP_l2_norm, &c->slot[0].v, 1, &a, 1, c->at);
}

/* attention
 * --------------------------------------------------------------------------------------------------------------------------
 */

enum { AT_Q, AT_K, AT_V, AT_HEADS, AT_SCALE, AT_WHERE, AT_MASKED, AT_START, AT_BIAS };

static bool attention_shapes(Elab *e, Call *c, int64_t heads) {
  static const char *const what[] = {"q", "k", "v"};
  for (int i = 0; i < 3; i++) {
    if (!tensor_at(e, c, i, what[i])) return false;
    const Type *t = val_type(e, c->slot[i].v);
    if (t->rank != 3) {
      elab_error(e, "E0254", c->span[i], "'%s' of attention is [B, rows, columns], this is %s", what[i],
                 val_text(e, c->slot[i].v));
      return false;
    }
    if (t->dim[2].k || t->dim[2].c % heads) {
      elab_error(e, "E0254", c->span[i], "%lld heads do not divide the columns of '%s', %s", (long long)heads, what[i],
                 val_text(e, c->slot[i].v));
      return false;
    }
  }
  const Type *q = val_type(e, c->slot[0].v), *k = val_type(e, c->slot[1].v), *v = val_type(e, c->slot[2].v);
  if (!dim_equal(q->dim[0], k->dim[0]) || !dim_equal(q->dim[2], k->dim[2]) || !dim_equal(k->dim[0], v->dim[0]) ||
      !dim_equal(k->dim[1], v->dim[1])) {
    elab_error(e, "E0254", c->at, "q %s, k %s and v %s do not fit together", val_text(e, c->slot[0].v),
               val_text(e, c->slot[1].v), val_text(e, c->slot[2].v));
    return false;
  }
  return true;
}

// [heads, queries, keys] by upper bounds: x of `language: L + vision: 197` with L <= 40 takes [heads, 237, 237].
static bool attention_bias(Elab *e, Call *c, int64_t heads) {
  if (!tensor_at(e, c, AT_BIAS, "bias")) return false;
  const Type *t = val_type(e, c->slot[AT_BIAS].v);
  int64_t want[3] = {heads, type_extent(e->m, val_type(e, c->slot[AT_Q].v), 1),
                     type_extent(e->m, val_type(e, c->slot[AT_K].v), 1)};
  bool fits = t->rank == 3 && t->dtype == DT_F32;
  for (int d = 0; fits && d < 3; d++) fits = !t->dim[d].k && t->dim[d].c == want[d];
  if (fits) return true;
  elab_error(e, "E0254", c->span[AT_BIAS],
             "'bias' of attention must be f32[%lld,%lld,%lld] (heads, queries, keys), this is %s", (long long)want[0],
             (long long)want[1], (long long)want[2], val_text(e, c->slot[AT_BIAS].v));
  return false;
}

static CtVal call_attention(Elab *e, Call *c) {
  int64_t heads, start = 0;
  double scale = 0, masked = 0;
  Val args[13];
  Attr attr[5];
  size_t n = 3, na = 0;
  const char *where;
  if (!want_int(e, c->slot[AT_HEADS], c->span[AT_HEADS], "'heads' of attention", 1, 65536, &heads)) return CT_ERROR;
  if (!attention_shapes(e, c, heads)) return CT_ERROR;
  for (int i = 0; i < 3; i++) args[i] = c->slot[i].v;
  scale = 1 / sqrt((double)(val_type(e, args[0])->dim[2].c / heads));
  if (given(c, AT_SCALE) && !want_real(e, c->slot[AT_SCALE], c->span[AT_SCALE], "'scale' of attention", &scale))
    return CT_ERROR;
  attr[na++] = attr_int(A_heads, heads);
  attr[na++] = attr_float(A_scale, scale);
  if (given(c, AT_MASKED)) {
    if (!want_real(e, c->slot[AT_MASKED], c->span[AT_MASKED], "'masked' of attention", &masked)) return CT_ERROR;
    attr[na++] = attr_float(A_masked, masked);
  }
  CtVal mask = given(c, AT_WHERE) ? c->slot[AT_WHERE] : ct_bool(true);
  if (!mask_lower(e, mask, c->span[AT_WHERE], args, &n, sizeof args / sizeof args[0] - 2, &where)) return CT_ERROR;
  if (where) attr[na++] = attr_str(A_where, where);
  if (given(c, AT_START) && c->slot[AT_START].kind == CV_TENSOR)
    args[n++] = c->slot[AT_START].v;
  else if (given(c, AT_START)) {
    if (!want_int(e, c->slot[AT_START], c->span[AT_START], "'start' of attention", 0, INT32_MAX, &start))
      return CT_ERROR;
    attr[na++] = attr_int(A_qstart, start);
  }
  bool no_bias = c->slot[AT_BIAS].kind == CV_BOOL && !c->slot[AT_BIAS].b; // bias = false, as where = true
  if (given(c, AT_BIAS) && !no_bias) {
    if (!attention_bias(e, c, heads)) return CT_ERROR;
    args[n++] = c->slot[AT_BIAS].v;
  }
  return add_op(e, OP_attention, args, n, attr, na, c->at);
}

/* rows by data
 * ------------------------------------------------------------------------------------------------------------------------
 */

static CtVal call_two(Elab *e, Call *c) {
  if (!tensor_at(e, c, 0, "the first operand") || !tensor_at(e, c, 1, "the second operand")) return CT_ERROR;
  Val args[] = {c->slot[0].v, c->slot[1].v};
  if (val_type(e, args[1])->dtype != DT_I32) {
    elab_error(e, "E0255", c->span[1], "%s takes row numbers of i32, this is %s", c->name, val_text(e, args[1]));
    return CT_ERROR;
  }
  return add_op(e, c->op, args, 2, NULL, 0, c->at);
}

/* movement
 * -----------------------------------------------------------------------------------------------------------------------------
 */

static CtVal call_patchify(Elab *e, Call *c) {
  int64_t patch;
  if (!tensor_at(e, c, 0, "image") || !want_int(e, c->slot[1], c->span[1], "'patch' of patchify", 1, 65536, &patch))
    return CT_ERROR;
  const Type *t = val_type(e, c->slot[0].v);
  if (t->rank == 4 && !t->dim[2].k && !t->dim[3].k && (t->dim[2].c < patch || t->dim[3].c < patch)) {
    elab_error(e, "E0130", c->at, "a patch of %lld pixels does not fit into %s", (long long)patch,
               val_text(e, c->slot[0].v));
    return CT_ERROR;
  }
  Attr a = attr_int(A_patch, patch);
  return add_op(e, OP_patchify, &c->slot[0].v, 1, &a, 1, c->at);
}

// windows(x, kernel, stride): one number for rows and columns, or a list of two.
static bool want_pair(Elab *e, Call *c, int slot, const char *what, int64_t *out) {
  CtVal v = c->slot[slot];
  bool list = v.kind == CV_LIST && v.n == 2;
  for (int i = 0; i < 2; i++)
    if (!want_int(e, list ? v.item[i] : v, c->span[slot], role(e, c, what), 1, INT32_MAX, &out[i])) return false;
  return true;
}

static CtVal call_windows(Elab *e, Call *c) {
  int64_t *v = ARENA_ARRAY(e->arena, int64_t, 4);
  v[2] = v[3] = 1;
  if (!tensor_at(e, c, 0, "x") || !want_pair(e, c, 1, "kernel", v)) return CT_ERROR;
  if (given(c, 2) && !want_pair(e, c, 2, "stride", v + 2)) return CT_ERROR;
  Attr a[] = {attr_ints(A_kernel, v, 2), attr_ints(A_stride, v + 2, 2)};
  return add_op(e, OP_windows, &c->slot[0].v, 1, a, 2, c->at);
}

// depthwise(x, kernel, bias, stride): stride as for windows
static CtVal call_depthwise(Elab *e, Call *c) {
  int64_t *v = ARENA_ARRAY(e->arena, int64_t, 2);
  v[0] = v[1] = 1;
  if (!tensor_at(e, c, 0, "x") || !tensor_at(e, c, 1, "kernel")) return CT_ERROR;
  if (given(c, 2) && !tensor_at(e, c, 2, "bias")) return CT_ERROR;
  if (given(c, 3) && !want_pair(e, c, 3, "stride", v)) return CT_ERROR;
  if (val_type(e, c->slot[1].v)->rank != 3) {
    Diagnostic *g =
        elab_error(e, "E0250", c->span[1], "the kernel of depthwise is [rows, columns, channels], this is %s",
                   val_text(e, c->slot[1].v));
    diag_hint(e->diag, g,
              "a kernel as PyTorch stores it, [channels, 1, rows, columns], is taken by convolve_depthwise");
    return CT_ERROR;
  }
  Val args[] = {c->slot[0].v, c->slot[1].v, c->slot[2].v};
  Attr a = attr_ints(A_stride, v, 2);
  return add_op(e, OP_depthwise, args, given(c, 2) ? 3 : 2, &a, 1, c->at);
}

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

static CtVal call_shape(Elab *e, Call *c) {
  Type t;
  DimNames names;
  if (!tensor_at(e, c, 0, "x") || !want_shape(e, c, val_type(e, c->slot[0].v), &t, &names)) return CT_ERROR;
  CtVal v = add_typed(e, c->op, c->slot[0].v, NULL, 0, &t, c->at);
  for (int i = 0; v.kind == CV_TENSOR && i < t.rank; i++)
    if (names.at[i]) val_names(e, v.v)->at[i] = names.at[i];
  return v;
}

static CtVal call_transpose(Elab *e, Call *c) {
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

static bool want_axis(Elab *e, CtVal v, Span at, int rank, int64_t absent, int64_t *axis) {
  *axis = absent;
  if (v.kind != CV_NONE && !want_int(e, v, at, "an axis", -rank, rank - 1, axis)) return false;
  if (*axis < 0) *axis += rank;
  if (*axis >= 0 && *axis < rank) return true;
  elab_error(e, "E0130", at, "there is no axis %lld", (long long)*axis);
  return false;
}

static CtVal call_concat(Elab *e, Call *c) {
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
  const Type *first = val_type(e, args[0]);
  if (!want_axis(e, c->slot[0], given(c, 0) ? c->span[0] : c->at, first->rank, 1, &axis)) return CT_ERROR;
  for (size_t i = 1; i < n; i++) {
    const Type *t = val_type(e, args[i]);
    bool fits = t->rank == first->rank && t->dtype == first->dtype;
    for (int d = 0; fits && d < t->rank; d++) fits = d == axis || dim_equal(t->dim[d], first->dim[d]);
    if (!fits) {
      elab_error(e, "E0256", c->at, "cannot join %s and %s along axis %lld: all other axes must be equal",
                 val_text(e, args[0]), val_text(e, args[i]), (long long)axis);
      return CT_ERROR;
    }
    bool tagged = t->nseg && t->segaxis == axis;
    if (tagged != (first->nseg && first->segaxis == axis)) {
      Diagnostic *g = elab_error(e, "E0256", c->at, "cannot join %s and %s: one has segments, the other has none",
                                 val_text(e, args[0]), val_text(e, args[i]));
      diag_hint(e->diag, g, "tag it: 'x as %s'", e->m->nmodality ? e->m->modality[0].name : "vision");
      return CT_ERROR;
    }
  }
  if (n == 1) return c->slot[1];
  Attr a = attr_int(A_axis, axis);
  return add_op(e, OP_concat, args, n, &a, 1, c->at);
}

static CtVal call_fill(Elab *e, Call *c) {
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
static CtVal call_range(Elab *e, Call *c) {
  int64_t n;
  if (!want_int(e, c->slot[0], c->span[0], "the length of range", 1, INT32_MAX, &n)) return CT_ERROR;
  Type t = {.dtype = DT_I32, .rank = 1, .dim = {DIM(n)}};
  Attr a = attr_int(A_axis, 0);
  return add_typed(e, OP_iota, NO_VAL, &a, 1, &t, c->at);
}

/* compile time
 * ---------------------------------------------------------------------------------------------------------------------------
 */

// The largest value of a length: of L, where dim L = 1..40, 40.
static CtVal call_bound(Elab *e, Call *c) {
  CtVal n = c->slot[0];
  if (n.kind == CV_INT) return ct_int(dim_bound(e->m, n.d));
  if (n.kind != CV_ERROR)
    elab_error(e, "E0106", c->span[0], "bound needs a length, such as L or length(x), not %s", kind_text(e, n));
  return CT_ERROR;
}

static CtVal call_extent(Elab *e, Call *c) {
  int64_t axis;
  if (!tensor_at(e, c, 0, "x")) return CT_ERROR;
  const Type *t = val_type(e, c->slot[0].v);
  int64_t absent = strcmp(c->name, "width") == 0 ? t->rank - 1 : 1;
  if (!want_axis(e, c->slot[1], c->at, t->rank, absent, &axis)) return CT_ERROR;
  if (t->dim[axis].k && t->dim[axis].sym == DIM_SEGS) {
    elab_error(e, "E0106", c->at, "axis %lld of %s has no single length", (long long)axis, val_text(e, c->slot[0].v));
    return CT_ERROR;
  }
  CtVal v = ct_dim(t->dim[axis]);
  v.name = val_names(e, c->slot[0].v)->at[axis];
  return v;
}

static CtVal call_require(Elab *e, Call *c) {
  bool ok;
  if (!want_bool(e, c->slot[0], c->span[0], "the condition of require", &ok)) return CT_ERROR;
  if (ok) return CT_NONE;
  elab_error(e, "E0129", c->at, "%s", c->slot[1].kind == CV_STR ? c->slot[1].s : "this requirement is not met");
  return CT_ERROR;
}

/* the table
 * ----------------------------------------------------------------------------------------------------------------------------------
 */

static const struct Builtin {
  const char *name, *params;
  Op op;
  bool tensor; // needs a graph
  BuiltinFn *fn;
} table[] = {
    {"exp", "x", OP_exp, false, call_unary},
    {"log", "x", OP_log, false, call_unary},
    {"sqrt", "x", OP_sqrt, false, call_unary},
    {"tanh", "x", OP_tanh, true, call_unary},
    {"sigmoid", "x", OP_sigmoid, true, call_unary},
    {"relu", "x", OP_relu, true, call_unary},
    {"gelu", "x", OP_gelu, true, call_unary},
    {"gelu_tanh", "x", OP_gelu_tanh, true, call_unary},
    {"quick_gelu", "x", OP_quick_gelu, true, call_unary},
    {"swish", "x", OP_swish, true, call_unary},
    {"softmax", "x", OP_softmax, true, call_unary},
    {"log_softmax", "x", OP_log_softmax, true, call_unary},
    {"reduce_sum", "x", OP_reduce_sum, true, call_unary},
    {"reduce_max", "x", OP_reduce_max, true, call_unary},
    {"argmax", "x", OP_argmax, true, call_unary},
    {"top_k", "x k", OP_top_k, true, call_top_k},
    {"min", "a b", OP_minimum, false, call_minmax},
    {"max", "a b", OP_maximum, false, call_minmax},
    {"select", "condition a b", OP_select, true, call_select},
    {"cast", "x to", OP_cast, true, call_cast},
    {"affine", "x weight bias? transposed?", OP_linear, true, call_affine},
    {"matmul", "a b transposed?", OP_matmul, true, call_matmul},
    {"layer_norm", "x gain? bias? eps", OP_layer_norm, true, call_layer_norm},
    {"l2_norm", "x eps?", OP_l2_norm, true, call_l2_norm},
    {"attention", "q k v heads scale? where? masked? start? bias?", OP_attention, true, call_attention},
    {"embedding", "table ids", OP_embedding, true, call_two},
    {"gather_rows", "x rows", OP_gather_rows, true, call_two},
    {"patchify", "image patch", OP_patchify, true, call_patchify},
    {"windows", "x kernel stride?", OP_windows, true, call_windows},
    {"depthwise", "x kernel bias? stride?", OP_depthwise, true, call_depthwise},
    {"reshape", "x shape", OP_reshape, true, call_shape},
    {"broadcast", "x shape", OP_broadcast, true, call_shape},
    {"transpose", "x axes?", OP_transpose, true, call_transpose},
    {"concat", "axis? *", OP_concat, true, call_concat},
    {"fill", "value type", OP_constant, true, call_fill},
    {"range", "n", OP_iota, true, call_range},
    {"bound", "n", OP_none, false, call_bound},
    {"width", "x", OP_none, true, call_extent},
    {"length", "x", OP_none, true, call_extent},
    {"extent", "x axis", OP_none, true, call_extent},
    {"require", "condition text?", OP_none, false, call_require},
};
enum { NBUILTIN = sizeof table / sizeof table[0] };

static const struct Builtin *find(const char *name) {
  for (size_t i = 0; i < NBUILTIN; i++)
    if (strcmp(table[i].name, name) == 0) return &table[i];
  return NULL;
}

bool builtin_exists(const char *name) {
  return find(name) != NULL;
}

void builtin_names(const char *name, const char **best, size_t *dist) {
  for (size_t i = 0; i < NBUILTIN; i++) near_name(name, table[i].name, best, dist);
}

typedef struct Param {
  char name[16];
  bool optional;
} Param;

// Splits "x gain? *" into parameters; *many if the last one takes any number.
static size_t split(const char *s, Param *p, bool *many) {
  size_t n = 0;
  *many = false;
  while (*s) {
    size_t len = strcspn(s, " ?");
    if (*s == '*') {
      *many = true;
    } else {
      memcpy(p[n].name, s, len);
      p[n].name[len] = 0;
      p[n++].optional = s[len] == '?';
    }
    s += len;
    s += strspn(s, " ?");
  }
  return n;
}

static void hint_signature(Elab *e, Diagnostic *g, const struct Builtin *b) {
  Param p[MAX_SLOTS];
  bool many;
  size_t n = split(b->params, p, &many);
  Buf s = {0};
  if (many) buf_puts(&s, "x, ...");
  for (size_t i = 0; i < n; i++) buf_printf(&s, "%s%s%s", s.n ? ", " : "", p[i].name, p[i].optional ? "?" : "");
  diag_hint(e->diag, g, "it is %s(%s)", b->name, s.s ? s.s : "");
  buf_free(&s);
}

static bool bind(Elab *e, const struct Builtin *b, const CallArg *arg, size_t n, Call *c) {
  Param p[MAX_SLOTS];
  bool many;
  size_t np = split(b->params, p, &many), next = 0;
  for (size_t i = 0; i < n; i++) {
    size_t k = next;
    if (arg[i].name) {
      for (k = 0; k < np && strcmp(p[k].name, arg[i].name) != 0;) k++;
      if (k == np) {
        const char *best = NULL;
        size_t dist = 0;
        for (size_t j = 0; j < np; j++) near_name(arg[i].name, p[j].name, &best, &dist);
        Diagnostic *g = elab_error(e, "E0104", arg[i].name_span, "%s has no parameter '%s'", b->name, arg[i].name);
        if (best)
          hint_near(e, g, arena_strdup(e->arena, best));
        else
          hint_signature(e, g, b);
        return false;
      }
    } else if (many) {
      k = 1 + c->rest++;
    } else {
      next++;
    }
    if (k >= MAX_SLOTS || (!many && k >= np)) {
      Diagnostic *g = elab_error(e, "E0103", c->at, "too many arguments for %s", b->name);
      hint_signature(e, g, b);
      return false;
    }
    if (given(c, (int)k)) {
      elab_error(e, "E0104", arg[i].span, "the parameter '%s' is given twice", p[k].name);
      return false;
    }
    c->slot[k] = arg[i].val;
    c->span[k] = arg[i].span;
  }
  for (size_t k = 0; k < np; k++) {
    if (given(c, (int)k) || p[k].optional) continue;
    Diagnostic *g = elab_error(e, "E0103", c->at, "%s needs a value for '%s'", b->name, p[k].name);
    hint_signature(e, g, b);
    return false;
  }
  return true;
}

bool builtin_call(Elab *e, const char *name, const CallArg *arg, size_t n, Span at, CtVal *out) {
  const struct Builtin *b = find(name);
  if (!b) return false;
  Call c = {.name = b->name, .op = b->op, .at = at};
  for (size_t i = 0; i < MAX_SLOTS; i++) c.slot[i] = CT_NONE, c.span[i] = at;
  *out = CT_ERROR;
  if (!e->g && b->tensor) {
    elab_error(e, "E0012", at, "%s works on tensors, and outside routes and blocks there are none", name);
    return true;
  }
  if (bind(e, b, arg, n, &c)) *out = b->fn(e, &c);
  return true;
}
