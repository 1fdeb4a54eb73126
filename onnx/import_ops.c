// import_ops.c: elementwise operators, products, norms and reductions of an ONNX model as graph IR.
#include "import.h"

#include <math.h>
#include <string.h>

typedef struct OpName {
  const char *onnx;
  Op op;
} OpName;

static Op op_of(const Import *p, const OpName *list) {
  while (list->onnx && strcmp(list->onnx, p->node->op_type) != 0) list++;
  return list->op;
}

static bool is_number(const Item *i) {
  return i->kind == ITEM_CONST && i->n == 1 && i->dtype == DT_F32 && i->rank == 0;
}

static double number(const Item *i) {
  return (double)*(const float *)i->data;
}

static bool set_number(Import *p, double v) {
  float *f = ARENA_NEW(p->arena, float);
  *f = (float)v;
  import_set(p, 0, (Item){.kind = ITEM_CONST, .dtype = DT_F32, .n = 1, .data = f});
  return !p->failed;
}

static bool two_numbers(Import *p, double a, double b) {
  const char *op = p->node->op_type;
  if (!strcmp(op, "Add")) return set_number(p, a + b);
  if (!strcmp(op, "Sub")) return set_number(p, a - b);
  if (!strcmp(op, "Mul")) return set_number(p, a * b);
  if (!strcmp(op, "Div")) return set_number(p, a / b);
  if (!strcmp(op, "Max")) return set_number(p, a > b ? a : b);
  return set_number(p, a < b ? a : b);
}

static bool erf_binary(Import *p, Item *a, Item *b, bool *done) {
  Item *erf = a->kind == ITEM_ERF ? a : b->kind == ITEM_ERF ? b : NULL, *other = erf == a ? b : a, out;
  *done = erf != NULL;
  if (!erf) return true;
  if (!strcmp(p->node->op_type, "Add") && is_number(other) && number(other) == 1 && !erf->plus_one && !erf->x.id &&
      erf->factor == 1) {
    out = *erf;
    out.plus_one = true;
  } else if (strcmp(p->node->op_type, "Mul") != 0 || !erf->plus_one || !import_erf_mul(p, erf, other, &out)) {
    return import_fail(p, "Erf is read as a part of GELU alone: x * 0.5 * (1 + erf(x / sqrt(2)))");
  }
  import_set(p, 0, out);
  return !p->failed;
}

bool import_binary(Import *p) {
  static const OpName ops[] = {{"Add", OP_add},         {"Sub", OP_sub},       {"Mul", OP_mul},
                               {"Div", OP_div},         {"Max", OP_maximum},   {"Min", OP_minimum},
                               {"And", OP_logical_and}, {"Or", OP_logical_or}, {NULL, OP_none}};
  Item *a = import_item(p, 0), *b = import_item(p, 1);
  bool done = false;
  if (p->node->n_input == 1) return import_identity(p);
  if (!import_two_lengths(p, &done) || done || !erf_binary(p, a, b, &done) || done) return !p->failed;
  if (is_number(a) && is_number(b)) return two_numbers(p, number(a), number(b));
  Op op = op_of(p, ops);
  Val v = import_add(p, op, (Val[]){import_value(p, a), import_value(p, b)}, 2, NULL, 0);
  for (size_t i = 2; i < p->node->n_input && v.id; i++)
    v = import_add(p, op, (Val[]){v, import_tensor(p, i)}, 2, NULL, 0);
  return import_result(p, v);
}

bool import_unary(Import *p) {
  static const OpName ops[] = {{"Neg", OP_neg},     {"Exp", OP_exp},   {"Log", OP_log},         {"Sqrt", OP_sqrt},
                               {"Tanh", OP_tanh},   {"Sin", OP_sin},   {"Cos", OP_cos},         {"Abs", OP_abs},
                               {"Floor", OP_floor}, {"Relu", OP_relu}, {"Sigmoid", OP_sigmoid}, {"Not", OP_logical_not},
                               {NULL, OP_none}};
  Item *a = import_item(p, 0);
  Op op = op_of(p, ops);
  if (is_number(a) && op == OP_sqrt) return set_number(p, sqrt(number(a)));
  if (is_number(a) && op == OP_neg) return set_number(p, -number(a));
  return import_result(p, import_add(p, op, (Val[]){import_value(p, a)}, 1, NULL, 0));
}

bool import_reciprocal(Import *p) {
  Item *a = import_item(p, 0);
  if (is_number(a)) return set_number(p, 1 / number(a));
  return import_result(p, import_add(p, OP_div, (Val[]){import_scalar(p, 1), import_value(p, a)}, 2, NULL, 0));
}

bool import_pow(Import *p) {
  Item *by = import_item(p, 1);
  double e = by->kind == ITEM_CONST && by->n == 1
                 ? (by->dtype == DT_F32 ? number(by) : (double)*(const int64_t *)by->data)
                 : NAN;
  if (import_item(p, 0)->kind == ITEM_CONST && is_number(import_item(p, 0)) && !isnan(e))
    return set_number(p, pow(number(import_item(p, 0)), e));
  Val x = import_tensor(p, 0), v = x;
  if (e == 0.5) return import_result(p, import_add(p, OP_sqrt, &x, 1, NULL, 0));
  if (!(e >= 1 && e <= 4 && e == floor(e))) return import_fail(p, "powers of 0.5, 1, 2, 3 and 4 are read");
  for (int i = 1; i < (int)e; i++) v = import_add(p, OP_mul, (Val[]){v, x}, 2, NULL, 0);
  return import_result(p, v);
}

bool import_erf(Import *p) {
  Val z = import_tensor(p, 0);
  if (!z.id) return false;
  import_set(p, 0, (Item){.kind = ITEM_ERF, .z = z, .factor = 1});
  return !p->failed;
}

bool import_gelu(Import *p) {
  const Onnx__AttributeProto *a = import_attr(p, "approximate");
  bool tanh = a && a->has_s && a->s.len == 4 && !memcmp(a->s.data, "tanh", 4);
  Val x = import_tensor(p, 0);
  return import_result(p, import_add(p, tanh ? OP_gelu_tanh : OP_gelu, &x, 1, NULL, 0));
}

bool import_compare(Import *p) {
  static const struct {
    const char *onnx, *cmp;
  } known[] = {{"Equal", "eq"}, {"Less", "lt"}, {"LessOrEqual", "le"}, {"Greater", "gt"}, {"GreaterOrEqual", "ge"}};
  bool done;
  if (!import_two_lengths(p, &done) || done) return !p->failed;
  const char *cmp = "eq";
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(known[i].onnx, p->node->op_type)) cmp = known[i].cmp;
  const Attr a = attr_str(A_cmp, intern(p->m->names, cmp));
  return import_result(p, import_add(p, OP_compare, (Val[]){import_tensor(p, 0), import_tensor(p, 1)}, 2, &a, 1));
}

bool import_where(Import *p) {
  bool done;
  if (!import_where_lengths(p, &done) || done) return !p->failed;
  Val in[] = {import_tensor(p, 0), import_tensor(p, 1), import_tensor(p, 2)};
  return import_result(p, import_add(p, OP_select, in, 3, NULL, 0));
}

bool import_cast(Import *p) {
  Item *x = import_item(p, 0);
  DType to;
  switch (import_int(p, "to", 0)) {
  case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
  case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE: to = DT_F32; break;
  case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
  case ONNX__TENSOR_PROTO__DATA_TYPE__INT32: to = DT_I32; break;
  case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL: to = DT_BOOL; break;
  default:
    return import_fail(p, "to ONNX type %lld; f32, int32, int64 and bool are read", (long long)import_int(p, "to", 0));
  }
  if (import_is_lengths(x) && to == DT_I32) {
    const Item *l = import_lengths(p, 0);
    if (!l) return false;
    import_set(p, 0, *l);
    return !p->failed;
  }
  if (import_is_lengths(x) && to == DT_F32 && x->n == 1) {
    const Item *l = import_lengths(p, 0);
    if (!l || !dim_is_const(l->length[0])) return import_fail(p, "a run-time length becomes data");
    return set_number(p, (double)l->length[0].c);
  }
  if (import_is_lengths(x) && to == DT_BOOL && x->kind == ITEM_LENGTHS) {
    import_set(p, 0, *x);
    return !p->failed;
  }
  if (x->kind == ITEM_CONST && x->dtype == to) return import_identity(p);
  Val v = import_value(p, x);
  if (!v.id || import_type(p, v)->dtype == to) return import_result(p, v);
  const Attr a = attr_str(A_to, intern(p->m->names, dtype_info[to].name));
  return import_result(p, import_add(p, OP_cast, &v, 1, &a, 1));
}

bool import_identity(Import *p) {
  Item *x = import_item(p, 0);
  if (x->kind == ITEM_NONE) return import_fail(p, "its operand is missing");
  import_set(p, 0, x->kind == ITEM_CONST ? (Item){.kind = ITEM_CONST, .same = x} : *x);
  return !p->failed;
}

bool import_constant(Import *p) {
  const Onnx__AttributeProto *a = import_attr(p, "value"), *f = import_attr(p, "value_float"),
                             *i = import_attr(p, "value_int"), *l = import_attr(p, "value_ints");
  Item item;
  Buf why = {0};
  if (f) return set_number(p, (double)f->f);
  if (i) {
    const Dim d = DIM(i->i);
    import_set(p, 0, import_dims_item(p, &d, 1, 0));
    return !p->failed;
  }
  if (l) {
    Dim d[MOST_LENGTHS];
    if (l->n_ints > MOST_LENGTHS) return import_fail(p, "more than %d numbers", MOST_LENGTHS);
    for (size_t k = 0; k < l->n_ints; k++) d[k] = DIM(l->ints[k]);
    import_set(p, 0, import_dims_item(p, d, l->n_ints, 1));
    return !p->failed;
  }
  if (!a || !a->t) return import_fail(p, "a constant of this kind is not read");
  if (!onnx_read_tensor(p->arena, a->t, NULL, &item, &why)) import_fail(p, "%s", why.s);
  buf_free(&why);
  import_set(p, 0, item);
  return !p->failed;
}

/* products ----------------------------------------------------------------------------------------------------------
 */
Val import_linear(Import *p, Val x, Item *w, bool turned) {
  if (w->turned) return import_linear(p, x, w->turned, !turned); // the matrix as the checkpoint has it
  const Attr a = attr_int(A_trans, turned);
  return import_add(p, OP_linear, (Val[]){x, import_value(p, w)}, 2, &a, 1);
}

bool import_matmul(Import *p) {
  Item *b = import_item(p, 1);
  Val x = import_tensor(p, 0);
  if (!x.id) return false;
  if (b->kind == ITEM_CONST && b->rank == 2 && import_type(p, x)->rank >= 2)
    return import_result(p, import_linear(p, x, b, true));
  Val y = import_value(p, b);
  if (!y.id) return false;
  const Value *v = graph_value(p->g, y);
  if (v->op == OP_transpose && v->type.rank == 2 && graph_value(p->g, v->args[0])->op == OP_weight &&
      import_type(p, x)->rank >= 2) {
    const Attr plain = attr_int(A_trans, 0);
    return import_result(p, import_add(p, OP_linear, (Val[]){x, v->args[0]}, 2, &plain, 1));
  }
  if (v->op == OP_weight && v->type.rank == 2 && import_type(p, x)->rank >= 2) {
    const Attr turned = attr_int(A_trans, 1);
    return import_result(p, import_add(p, OP_linear, (Val[]){x, y}, 2, &turned, 1));
  }
  return import_result(p, import_add(p, OP_matmul, (Val[]){x, y}, 2, NULL, 0));
}

bool import_gemm(Import *p) {
  Item *w = import_item(p, 1);
  bool turned = import_int(p, "transB", 0) == 0;
  if (import_int(p, "transA", 0) || import_float(p, "alpha", 1) != 1 ||
      (import_has(p, 2) && import_float(p, "beta", 1) != 1))
    return import_fail(p, "it is read with transA = 0, alpha = beta = 1");
  Val x = import_tensor(p, 0);
  if (!x.id) return false;
  Val y;
  if (w->kind == ITEM_CONST) {
    y = import_linear(p, x, w, turned);
  } else {
    const Attr a = attr_int(A_trans, turned);
    y = import_add(p, OP_linear, (Val[]){x, import_value(p, w)}, 2, &a, 1);
  }
  if (import_has(p, 2) && y.id) y = import_add(p, OP_add, (Val[]){y, import_tensor(p, 2)}, 2, NULL, 0);
  return import_result(p, y);
}

/* rows --------------------------------------------------------------------------------------------------------------
 */
static bool is_last(int64_t axis, int rank) {
  return axis == -1 || axis == rank - 1;
}

bool import_layer_norm(Import *p) {
  Val x = import_tensor(p, 0);
  if (!x.id) return false;
  if (!is_last(import_int(p, "axis", -1), import_type(p, x)->rank))
    return import_fail(p, "norms over the last axis are read");
  if (p->node->n_output > 1 && *p->node->output[1]) return import_fail(p, "its mean and deviation are not read");
  Val in[3] = {x, import_tensor(p, 1)};
  size_t n = import_has(p, 2) ? 3 : 2;
  if (n == 3) in[2] = import_tensor(p, 2);
  const Attr eps = attr_float(A_eps, import_float(p, "epsilon", 1e-5));
  return import_result(p, import_add(p, OP_layer_norm, in, n, &eps, 1));
}

bool import_softmax(Import *p) {
  Val x = import_tensor(p, 0);
  if (!x.id) return false;
  if (!is_last(import_int(p, "axis", -1), import_type(p, x)->rank))
    return import_fail(p, "it is read over the last axis");
  return import_result(p, import_add(p, *p->node->op_type == 'S' ? OP_softmax : OP_log_softmax, &x, 1, NULL, 0));
}

// The axes that are reduced move to the end and become one.
bool import_reduce(Import *p) {
  Val x = import_tensor(p, 0);
  const int64_t *axes = NULL;
  size_t naxes = 0;
  if (!x.id) return false;
  Type t = *import_type(p, x), kept = t;
  bool reduced[MAX_RANK] = {false};
  if (!import_ints(p, "axes", &axes, &naxes) && import_has(p, 1)) {
    const Item *l = import_lengths(p, 1);
    if (!l) return false;
    int64_t *v = ARENA_ARRAY(p->arena, int64_t, l->n);
    for (size_t i = 0; i < l->n; i++) v[i] = l->length[i].c;
    axes = v, naxes = l->n;
  }
  for (size_t i = 0; i < naxes; i++) {
    int64_t a = axes[i] < 0 ? axes[i] + t.rank : axes[i];
    if (a < 0 || a >= t.rank) return import_fail(p, "axis %lld of %d", (long long)axes[i], t.rank);
    reduced[a] = true;
  }
  for (int i = 0; !naxes && i < t.rank; i++) reduced[i] = true;
  int64_t perm[MAX_RANK], count = 1;
  int n = 0, front;
  Type flat = {.dtype = t.dtype};
  for (int i = 0; i < t.rank; i++)
    if (!reduced[i]) flat.dim[n] = t.dim[i], perm[n++] = i;
  front = n;
  Dim last = DIM(1);
  for (int i = 0; i < t.rank; i++) {
    if (!reduced[i]) continue;
    if (dim_is_const(t.dim[i]) && dim_is_const(last))
      last = DIM(last.c * t.dim[i].c);
    else if (dim_is_const(last) && last.c == 1)
      last = t.dim[i];
    else if (!(dim_is_const(t.dim[i]) && t.dim[i].c == 1))
      return import_fail(p, "several axes are reduced, one of a run-time length");
    perm[n++] = i;
  }
  count = dim_is_const(last) ? last.c : 0;
  flat.dim[front] = last;
  flat.rank = (uint8_t)(front + 1);
  bool keep = import_int(p, "keepdims", 1) != 0;
  kept.rank = 0;
  for (int i = 0; i < t.rank; i++)
    if (!reduced[i] || keep) kept.dim[kept.rank++] = reduced[i] ? DIM(1) : t.dim[i];
  Val v = import_reshape(p, import_transpose(p, x, perm, t.rank), &flat);
  const char *op = p->node->op_type;
  bool mean = !strcmp(op, "ReduceMean"), norm = !strcmp(op, "ReduceL2");
  if (norm) v = import_add(p, OP_mul, (Val[]){v, v}, 2, NULL, 0);
  v = import_add(p, !strcmp(op, "ReduceMax") ? OP_reduce_max : OP_reduce_sum, &v, 1, NULL, 0);
  if (mean && !count) return import_fail(p, "the mean over an axis of a run-time length");
  if (mean) v = import_add(p, OP_div, (Val[]){v, import_scalar(p, (double)count)}, 2, NULL, 0);
  if (norm) v = import_add(p, OP_sqrt, &v, 1, NULL, 0);
  return import_result(p, v.id ? import_reshape(p, v, &kept) : v);
}

bool import_argmax(Import *p) {
  Val x = import_tensor(p, 0);
  if (!x.id) return false;
  Type t = *import_type(p, x);
  if (!is_last(import_int(p, "axis", 0), t.rank) || import_int(p, "select_last_index", 0))
    return import_fail(p, "it is read over the last axis, the first of equal ones");
  Val v = import_add(p, OP_argmax, &x, 1, NULL, 0);
  t.dim[t.rank - 1] = DIM(1);
  t.dtype = DT_I32;
  return import_result(p, v.id && import_int(p, "keepdims", 1) ? import_reshape(p, v, &t) : v);
}

bool import_top_k(Import *p) {
  Val x = import_tensor(p, 0);
  const Item *k = x.id ? import_lengths(p, 1) : NULL;
  if (!k) return false;
  if (p->node->n_output < 2 || !is_last(import_int(p, "axis", -1), import_type(p, x)->rank) ||
      !import_int(p, "largest", 1))
    return import_fail(p, "the places of the largest of the last axis are read");
  if (k->n != 1 || !dim_is_const(k->length[0])) return import_fail(p, "how many depends on a run-time length");
  const Attr count = attr_int(A_count, k->length[0].c);
  Val v = import_add(p, OP_top_k, &x, 1, &count, 1);
  if (!v.id) return false;
  import_set(p, 1, (Item){.kind = ITEM_TENSOR, .val = v});
  return !p->failed;
}
