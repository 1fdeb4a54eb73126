// export_math.c: elementwise operators, products, norms and reductions as ONNX nodes.
#include "export.h"

#include <math.h>
#include <string.h>

static const char *const plain[OP_COUNT] = {
    [OP_add] = "Add",     [OP_sub] = "Sub",         [OP_mul] = "Mul",       [OP_div] = "Div",
    [OP_maximum] = "Max", [OP_minimum] = "Min",     [OP_neg] = "Neg",       [OP_exp] = "Exp",
    [OP_log] = "Log",     [OP_sqrt] = "Sqrt",       [OP_tanh] = "Tanh",     [OP_sin] = "Sin",
    [OP_cos] = "Cos",     [OP_abs] = "Abs",         [OP_floor] = "Floor",   [OP_sigmoid] = "Sigmoid",
    [OP_relu] = "Relu",   [OP_logical_and] = "And", [OP_logical_or] = "Or", [OP_logical_not] = "Not",
};

const char *export_plain(Export *x, const Value *v) {
  CHECK(plain[v->op]);
  const char *in[2];
  for (uint32_t i = 0; i < v->nargs; i++) in[i] = export_in(x, v, i);
  return onnx_node(&x->w, plain[v->op], in, v->nargs, NULL, 0);
}

const char *export_gelu(Export *x, const Value *v) {
  const char *a = export_in(x, v, 0);
  const char *e = ONNX_NODE(&x->w, "Erf", ONNX_NODE(&x->w, "Div", a, onnx_f32(&x->w, (float)sqrt(2))));
  const char *m = ONNX_NODE(&x->w, "Mul", a, ONNX_NODE(&x->w, "Add", e, onnx_f32(&x->w, 1)));
  return ONNX_NODE(&x->w, "Mul", m, onnx_f32(&x->w, 0.5));
}

const char *export_gelu_tanh(Export *x, const Value *v) {
  const char *a = export_in(x, v, 0);
  const char *cube = ONNX_NODE(&x->w, "Mul", ONNX_NODE(&x->w, "Mul", a, a), a);
  const char *sum = ONNX_NODE(&x->w, "Add", a, ONNX_NODE(&x->w, "Mul", cube, onnx_f32(&x->w, 0.044715F)));
  const char *t = ONNX_NODE(&x->w, "Tanh", ONNX_NODE(&x->w, "Mul", sum, onnx_f32(&x->w, (float)sqrt(2 / acos(-1.0)))));
  const char *m = ONNX_NODE(&x->w, "Mul", a, ONNX_NODE(&x->w, "Add", t, onnx_f32(&x->w, 1)));
  return ONNX_NODE(&x->w, "Mul", m, onnx_f32(&x->w, 0.5));
}

const char *export_quick_gelu(Export *x, const Value *v) {
  const char *a = export_in(x, v, 0);
  const char *s = ONNX_NODE(&x->w, "Sigmoid", ONNX_NODE(&x->w, "Mul", a, onnx_f32(&x->w, 1.702F)));
  return ONNX_NODE(&x->w, "Mul", a, s);
}

const char *export_swish(Export *x, const Value *v) {
  const char *a = export_in(x, v, 0);
  return ONNX_NODE(&x->w, "Mul", a, ONNX_NODE(&x->w, "Sigmoid", a));
}

const char *export_compare(Export *x, const Value *v) {
  static const struct {
    const char *cmp, *op;
    bool negated;
  } known[] = {{"lt", "Less", false}, {"le", "LessOrEqual", false}, {"eq", "Equal", false},
               {"ne", "Equal", true}, {"gt", "Greater", false},     {"ge", "GreaterOrEqual", false}};
  const char *cmp = value_str(v, A_cmp);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(known[i].cmp, cmp) != 0) continue;
    const char *y = ONNX_NODE(&x->w, known[i].op, export_in(x, v, 0), export_in(x, v, 1));
    return known[i].negated ? ONNX_NODE(&x->w, "Not", y) : y;
  }
  return export_refuse(x, v, "the comparison '%s' is not known", cmp);
}

// Runtimes lack Where of bool.
const char *export_select(Export *x, const Value *v) {
  const char *c = export_in(x, v, 0), *a = export_in(x, v, 1), *b = export_in(x, v, 2);
  if (v->type.dtype != DT_BOOL) return ONNX_NODE(&x->w, "Where", c, a, b);
  const char *then = ONNX_NODE(&x->w, "And", c, a), *other = ONNX_NODE(&x->w, "And", ONNX_NODE(&x->w, "Not", c), b);
  return ONNX_NODE(&x->w, "Or", then, other);
}

const char *export_cast(Export *x, const Value *v) {
  return ONNX_WITH(&x->w, "Cast", ONNX_I("to", onnx_type(v->type.dtype)), export_in(x, v, 0));
}

/* products ----------------------------------------------------------------------------------------------------------
 */
const char *export_linear(Export *x, const Value *v) {
  if (export_is_conv(x->g, v)) return export_conv(x, v);
  const char *in[3];
  for (uint32_t i = 0; i < v->nargs; i++) in[i] = export_in(x, v, i);
  bool turned = value_int(v, A_trans, 0) == 0; // [out, in]
  if (v->type.rank == 2) {
    const OnnxAttr trans = ONNX_I("transB", turned);
    return onnx_node(&x->w, "Gemm", in, v->nargs, &trans, turned ? 1 : 0);
  }
  const char *w = turned ? ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 1, 0), in[1]) : in[1];
  const char *y = ONNX_NODE(&x->w, "MatMul", in[0], w);
  return v->nargs > 2 ? ONNX_NODE(&x->w, "Add", y, in[2]) : y;
}

const char *export_matmul(Export *x, const Value *v) {
  const char *b = export_in(x, v, 1);
  int rank = export_arg(x, v, 1)->type.rank;
  if (value_int(v, A_trans, 0)) {
    int64_t perm[MAX_RANK];
    for (int i = 0; i < rank; i++) perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    const OnnxAttr a = {.name = "perm", .kind = ONNX_INTS, .v = perm, .n = (size_t)rank};
    b = onnx_node(&x->w, "Transpose", &b, 1, &a, 1);
  }
  return ONNX_NODE(&x->w, "MatMul", export_in(x, v, 0), b);
}

/* rows --------------------------------------------------------------------------------------------------------------
 */
const char *export_layer_norm(Export *x, const Value *v) {
  int64_t n = v->type.dim[v->type.rank - 1].c;
  const char *in[3] = {export_in(x, v, 0)};
  if (!dim_is_const(v->type.dim[v->type.rank - 1]))
    return export_refuse(x, v, "the rows of a LayerNorm have a run-time length");
  for (uint32_t i = 1; i < v->nargs; i++) in[i] = export_in(x, v, i);
  if (v->nargs < 2) { // ONNX has no norm without a gain
    float *ones = ARENA_ARRAY(x->w.arena, float, n);
    for (int64_t i = 0; i < n; i++) ones[i] = 1;
    in[1] = onnx_name(&x->w, arena_printf(x->w.arena, "%s/ones", x->w.scope));
    onnx_tensor(&x->w, in[1], ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, &n, 1, ones, (size_t)n * sizeof *ones);
  }
  const OnnxAttr a[] = {ONNX_I("axis", -1), ONNX_F("epsilon", value_float(v, A_eps, 0))};
  return onnx_node(&x->w, "LayerNormalization", in, v->nargs < 2 ? 2 : v->nargs, a, 2);
}

const char *export_l2_norm(Export *x, const Value *v) {
  const char *a = export_in(x, v, 0);
  const OnnxAttr at[] = {ONNX_V("axes", -1), ONNX_I("keepdims", 1)};
  const char *n = onnx_node(&x->w, "ReduceL2", &a, 1, at, 2);
  return ONNX_NODE(&x->w, "Div", a, ONNX_NODE(&x->w, "Max", n, onnx_f32(&x->w, value_float(v, A_eps, 0))));
}

const char *export_rms_norm(Export *x, const Value *v) {
  const char *a = export_in(x, v, 0), *square = ONNX_NODE(&x->w, "Mul", a, a);
  const OnnxAttr at[] = {ONNX_V("axes", -1), ONNX_I("keepdims", 1)};
  const char *mean = onnx_node(&x->w, "ReduceMean", &square, 1, at, 2);
  const char *sum = ONNX_NODE(&x->w, "Add", mean, onnx_f32(&x->w, value_float(v, A_eps, 0)));
  const char *y = ONNX_NODE(&x->w, "Div", a, ONNX_NODE(&x->w, "Sqrt", sum));
  return v->nargs > 1 ? ONNX_NODE(&x->w, "Mul", y, export_in(x, v, 1)) : y;
}

const char *export_softmax(Export *x, const Value *v) {
  return ONNX_WITH(&x->w, "Softmax", ONNX_I("axis", -1), export_in(x, v, 0));
}
const char *export_log_softmax(Export *x, const Value *v) {
  return ONNX_WITH(&x->w, "LogSoftmax", ONNX_I("axis", -1), export_in(x, v, 0));
}
const char *export_reduce_sum(Export *x, const Value *v) {
  return ONNX_WITH(&x->w, "ReduceSum", ONNX_I("keepdims", 1), export_in(x, v, 0), onnx_ints(&x->w, (int64_t[]){-1}, 1));
}
const char *export_reduce_max(Export *x, const Value *v) {
  const char *a = export_in(x, v, 0);
  const OnnxAttr at[] = {ONNX_V("axes", -1), ONNX_I("keepdims", 1)};
  return onnx_node(&x->w, "ReduceMax", &a, 1, at, 2);
}

static const char *as_i32(Export *x, const char *value) {
  return ONNX_WITH(&x->w, "Cast", ONNX_I("to", ONNX__TENSOR_PROTO__DATA_TYPE__INT32), value);
}

const char *export_argmax(Export *x, const Value *v) {
  const char *a = export_in(x, v, 0);
  const OnnxAttr at[] = {ONNX_I("axis", -1), ONNX_I("keepdims", 0)};
  return as_i32(x, onnx_node(&x->w, "ArgMax", &a, 1, at, 2));
}

// A second result of TopK; the first, the elements, has a name of its own.
static const char *top_indices(Export *x, const char *a, const char *k) {
  const OnnxAttr axis = ONNX_I("axis", -1);
  const char *in[] = {a, k}, *values = onnx_node(&x->w, "TopK", in, 2, &axis, 1);
  const char *indices = onnx_name(&x->w, arena_printf(x->w.arena, "%s/indices", x->w.scope));
  Onnx__NodeProto *n = x->w.node.at[x->w.node.n - 1];
  n->n_output = 2;
  n->output = ARENA_ARRAY(x->w.arena, char *, 2);
  n->output[0] = onnx_text(&x->w, values);
  n->output[1] = onnx_text(&x->w, indices);
  return indices;
}

// Where the axis may be shorter than k the last of what is there is repeated.
const char *export_top_k(Export *x, const Value *v) {
  const Type *t = &export_arg(x, v, 0)->type;
  int last = t->rank - 1;
  int64_t k = value_int(v, A_count, 1);
  const char *a = export_in(x, v, 0), *count = onnx_ints(&x->w, &k, 1);
  Dim d = t->dim[last];
  bool segments = d.k && d.sym == DIM_SEGS;
  if (!segments && dim_least(x->g->module, d) >= k) return as_i32(x, top_indices(x, a, count));
  const char *n = export_extent(x, t, last);
  if (!n) return NULL;
  const char *y = as_i32(x, top_indices(x, a, ONNX_NODE(&x->w, "Min", n, count)));
  int64_t *all = ARENA_ARRAY(x->w.arena, int64_t, k);
  for (int64_t i = 0; i < k; i++) all[i] = i;
  const char *most = ONNX_NODE(&x->w, "Sub", n, onnx_ints(&x->w, (int64_t[]){1}, 1));
  const char *at = ONNX_NODE(&x->w, "Min", onnx_ints(&x->w, all, (size_t)k), most);
  return ONNX_WITH(&x->w, "Gather", ONNX_I("axis", -1), y, at);
}
