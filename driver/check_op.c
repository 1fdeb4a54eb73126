// check_op.c: the one-operator model of an `op` case: its tensors are the graph's inputs (gains, biases and kernels its
// weights), and the result is the output under the case's name. It then goes through the same passes as any model.
//
//   {"op": "layer_norm", "attributes": {"eps": 1e-5}, "inputs": {"x": .., "weight": .., "bias": ..}, "outputs": {"y":
//   ..}} %1 = input "x"   %2 = weight "ln_w"   %3 = weight "ln_b"   %4 = layer_norm %1, %2, %3 {eps}   output "y" = %4
#include "check.h"
#include "ir/op/op.h"

#include <string.h>

typedef struct OpCase {
  Check *c;
  const Case *k;
  const Checkpoint *tensors;
  CheckResult *r;
  Graph *g;
} OpCase;

static const cJSON *attributes(const OpCase *o) {
  return cJSON_GetObjectItemCaseSensitive(o->k->json, "attributes");
}

// The tensor that the case has for an input, or NULL with the verdict set.
static const StTensor *tensor_of(OpCase *o, const char *input) {
  const char *name = json_text(cJSON_GetObjectItemCaseSensitive(o->k->json, "inputs"), input);
  const StTensor *t = name ? checkpoint_find(o->tensors, name) : NULL;
  if (!t) check_settle(o->c, o->r, FAIL, "the case has no tensor for '%s'", input);
  return t;
}

static Val source(OpCase *o, const char *input, bool weight) {
  const StTensor *t = tensor_of(o, input);
  if (!t) return NO_VAL;
  DType dt = t->dtype == ST_F32 ? DT_F32 : t->dtype == ST_I32 ? DT_I32 : t->dtype == ST_BOOL ? DT_BOOL : DT_COUNT;
  if (dt == DT_COUNT || t->rank > MAX_RANK) {
    check_settle(o->c, o->r, FAIL, "'%s' is %s of %d axes", input, st_dtype_name(t->dtype), t->rank);
    return NO_VAL;
  }
  Type type = {.dtype = dt, .rank = (uint8_t)t->rank};
  for (int i = 0; i < t->rank; i++) type.dim[i] = DIM(t->shape[i]);
  return weight ? graph_weight(o->g, t->name, &type, NO_SPAN) : graph_input(o->g, input, &type, NO_SPAN);
}

static Val reshaped(OpCase *o, Val v, int rank, const int64_t *dim) {
  if (!v.id) return NO_VAL;
  Type t = {.dtype = graph_value(o->g, v)->type.dtype, .rank = (uint8_t)rank};
  for (int i = 0; i < rank; i++) t.dim[i] = DIM(dim[i]);
  return graph_add_typed(o->g, OP_reshape, &v, 1, NULL, 0, &t, NO_SPAN);
}

static Val swapped(OpCase *o, Val v, int64_t i, int64_t k, size_t rank) { // axes i and k
  int64_t perm[MAX_RANK];
  for (int64_t d = 0; d < (int64_t)rank; d++) perm[d] = d == i ? k : d == k ? i : d;
  Attr a = attr_ints(A_perm, perm, rank);
  return v.id && i != k ? graph_add(o->g, OP_transpose, &v, 1, &a, 1, NO_SPAN) : v;
}

/* one function a family -----------------------------------------------------------------------------------------------
 */
static Val build_plain(OpCase *o, Op op) {
  Val x = source(o, "x", false);
  return x.id ? graph_add(o->g, op, &x, 1, NULL, 0, NO_SPAN) : NO_VAL;
}

// Rows of the language lie along the last axis; a case may name another one.
static Val build_row(OpCase *o, Op op) {
  const StTensor *t = tensor_of(o, "x");
  int64_t last = t ? t->rank - 1 : 0, axis = (int64_t)json_number(attributes(o), "axis", -1);
  Val x = source(o, "x", false);
  Attr eps = attr_float(A_eps, json_number(attributes(o), "eps", 0));
  if (axis < 0) axis += last + 1;
  if (x.id && (axis < 0 || axis > last)) return check_settle(o->c, o->r, FAIL, "there is no such axis"), NO_VAL;
  size_t rank = (size_t)last + 1;
  x = swapped(o, x, axis, last, rank);
  if (x.id) x = graph_add(o->g, op, &x, 1, &eps, op == OP_l2_norm, NO_SPAN);
  return swapped(o, x, axis, last, rank);
}

static Val build_norm(OpCase *o, Op op) {
  Val arg[3] = {source(o, "x", false), source(o, "weight", true), source(o, "bias", true)};
  Attr eps = attr_float(A_eps, json_number(attributes(o), "eps", 0));
  return arg[0].id && arg[1].id && arg[2].id ? graph_add(o->g, op, arg, 3, &eps, 1, NO_SPAN) : NO_VAL;
}

static Val build_attention(OpCase *o, Op op) {
  static const char *const name[] = {"q", "k", "v"};
  Val arg[4];
  int64_t heads = 0, row[4] = {0};
  for (int i = 0; i < 3; i++) {
    const StTensor *t = tensor_of(o, name[i]);
    if (!t || t->rank != 4) return NO_VAL;
    heads = t->shape[1];
    int64_t flat[] = {t->shape[0], t->shape[2], heads * t->shape[3]};
    int64_t apart[] = {t->shape[0], i == 0 ? t->shape[2] : row[1], heads, t->shape[3]};
    memcpy(row, apart, sizeof row);
    arg[i] = reshaped(o, swapped(o, source(o, name[i], false), 1, 2, 4), 3, flat);
    if (!arg[i].id) return NO_VAL;
  }
  arg[3] = source(o, "mask", false);
  if (!arg[3].id) return NO_VAL;
  const cJSON *masked = cJSON_GetObjectItemCaseSensitive(attributes(o), "masked");
  Attr a[4] = {attr_int(A_heads, heads), attr_float(A_scale, json_number(attributes(o), "scale", 1))};
  size_t n = 2;
  if (cJSON_IsNumber(masked)) a[n++] = attr_float(A_masked, masked->valuedouble);
  a[n++] = attr_str(A_where, intern(&o->c->s->names, "(arg 3)"));
  Val y = graph_add(o->g, op, arg, 4, a, n, NO_SPAN);
  return swapped(o, reshaped(o, y, 4, row), 1, 2, 4);
}

static Val build_patches(OpCase *o, Op op) {
  const StTensor *w = tensor_of(o, "weight");
  Val image = source(o, "image", false), weight = source(o, "weight", true), bias = source(o, "bias", true);
  if (!w || w->rank != 4 || !image.id || !weight.id || !bias.id) return NO_VAL;
  Attr patch = attr_int(A_patch, (int64_t)json_number(attributes(o), "patch", 0)), trans = attr_int(A_trans, 0);
  int64_t flat[] = {w->shape[0], w->shape[1] * w->shape[2] * w->shape[3]};
  Val arg[3] = {graph_add(o->g, op, &image, 1, &patch, 1, NO_SPAN), reshaped(o, weight, 2, flat), bias};
  return arg[0].id && arg[1].id ? graph_add(o->g, OP_linear, arg, 3, &trans, 1, NO_SPAN) : NO_VAL;
}

static Attr pair_of(OpCase *o, AttrKey key, const char *name) {
  int64_t *v = ARENA_ARRAY(&o->c->s->arena, int64_t, 2);
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(attributes(o), name);
  for (int i = 0; i < 2; i++) {
    const cJSON *item = cJSON_GetArrayItem(list, i);
    v[i] = cJSON_IsNumber(item) ? (int64_t)item->valuedouble : 0;
  }
  return attr_ints(key, v, 2);
}

static Val build_resize(OpCase *o, Op op) {
  const char *name = json_text(o->k->json, "op") + strlen("resize_table_"); // "bicubic", or "table_geometric"
  bool aligned = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(attributes(o), "align_corners"));
  bool relative = !strcmp(json_text(o->k->json, "op"), "resize_relative_table_geometric");
  Val table = source(o, "table", true);
  Attr a[4] = {attr_str(A_method, relative  ? "geometric"
                                  : aligned ? arena_printf(&o->c->s->arena, "%s_aligned", name)
                                            : name)};
  size_t n = 1;
  a[n++] = attr_int(A_keep, (int64_t)json_number(attributes(o), "keep_rows", 0));
  a[n++] = pair_of(o, A_grid, "grid");
  if (relative) a[n++] = pair_of(o, A_from, "from_grid");
  return table.id ? graph_add(o->g, op, &table, 1, a, n, NO_SPAN) : NO_VAL;
}

static Val constant(OpCase *o, DType dt, double v) {
  Type t = {.dtype = dt};
  Attr a = attr_float(A_value, v);
  return graph_add_typed(o->g, OP_constant, NULL, 0, &a, 1, &t, NO_SPAN);
}

static Val two(OpCase *o, Op op, Val a, Val b) {
  return graph_add(o->g, op, (Val[]){a, b}, 2, NULL, 0, NO_SPAN);
}

static Val equal(OpCase *o, Val a, Val b) {
  Attr cmp = attr_str(A_cmp, "eq");
  return graph_add(o->g, OP_compare, (Val[]){a, b}, 2, &cmp, 1, NO_SPAN);
}

static Val choose(OpCase *o, Val c, Val a, Val b) {
  return graph_add(o->g, OP_select, (Val[]){c, a, b}, 3, NULL, 0, NO_SPAN);
}

static Val indices(OpCase *o, int64_t n) { // 0 .. n-1
  Type t = {.dtype = DT_I32, .rank = 1, .dim = {DIM(n)}};
  Attr a = attr_int(A_axis, 0);
  return graph_add_typed(o->g, OP_iota, NULL, 0, &a, 1, &t, NO_SPAN);
}

static Val sum_all(OpCase *o, Val v, int64_t n) { // [n] or [n,1] to a scalar
  int64_t flat[] = {1, n};
  Val sum = reshaped(o, v, 2, flat);
  sum = graph_add(o->g, OP_reduce_sum, &sum, 1, NULL, 0, NO_SPAN);
  return reshaped(o, sum, 0, flat);
}

// Labels i32[N]; (1 - smoothing) of the weight on the label, the rest spread over all classes; ignored rows give 0.
static Val build_cross_entropy(OpCase *o, Op op) {
  const StTensor *t = tensor_of(o, "logits");
  Val x = source(o, "logits", false), labels = source(o, "labels", false);
  if (!t || t->rank != 2 || !x.id || !labels.id) return NO_VAL;
  int64_t n = t->shape[0], classes = t->shape[1], column[] = {n, 1}, row[] = {n};
  double smoothing = json_number(attributes(o), "smoothing", 0), rest = smoothing / (double)classes;
  Val log_p = graph_add(o->g, op, &x, 1, NULL, 0, NO_SPAN);
  Val is_label = equal(o, reshaped(o, labels, 2, column), indices(o, classes));
  Val weight = choose(o, is_label, constant(o, DT_F32, smoothing - 1 - rest), constant(o, DT_F32, -rest));
  Val loss = two(o, OP_mul, log_p, weight);
  loss = reshaped(o, graph_add(o->g, OP_reduce_sum, &loss, 1, NULL, 0, NO_SPAN), 1, row);
  Val ignored = equal(o, labels, constant(o, DT_I32, json_number(attributes(o), "ignore", -100)));
  loss = choose(o, ignored, constant(o, DT_F32, 0), loss);
  const char *reduce = json_text(attributes(o), "reduce");
  if (reduce && !strcmp(reduce, "none")) return loss;
  Val counted = choose(o, ignored, constant(o, DT_F32, 0), constant(o, DT_F32, 1));
  return two(o, OP_div, sum_all(o, loss, n), sum_all(o, counted, n));
}

// mean of max(x, 0) - x t + log(1 + e^-|x|)
static Val build_bce(OpCase *o, Op op) {
  const StTensor *t = tensor_of(o, "logits");
  Val x = source(o, "logits", false), target = source(o, "targets", false);
  if (!t || t->rank != 2 || !x.id || !target.id) return NO_VAL;
  Val minus = graph_add(o->g, OP_neg, &x, 1, NULL, 0, NO_SPAN), small = two(o, OP_minimum, x, minus);
  Val e = graph_add(o->g, OP_exp, &small, 1, NULL, 0, NO_SPAN), sum = two(o, OP_add, e, constant(o, DT_F32, 1));
  Val loss = two(o, OP_sub, two(o, OP_maximum, x, constant(o, DT_F32, 0)), two(o, OP_mul, x, target));
  loss = two(o, OP_add, loss, graph_add(o->g, op, &sum, 1, NULL, 0, NO_SPAN));
  int64_t n = t->shape[0] * t->shape[1];
  return two(o, OP_div, sum_all(o, loss, n), constant(o, DT_F32, (double)n));
}

static Val nearest_rows(OpCase *o, Op op, Val x, int64_t from, int64_t to) { // x [from,n] to [to,n], then turned
  Val at = two(o, OP_mul, indices(o, to), constant(o, DT_I32, (double)from));
  at = two(o, OP_div, at, constant(o, DT_I32, (double)to));
  Val y = graph_add(o->g, op, (Val[]){x, at}, 2, NULL, 0, NO_SPAN);
  static const int64_t perm[] = {1, 0};
  Attr a = attr_ints(A_perm, perm, 2);
  return y.id ? graph_add(o->g, OP_transpose, &y, 1, &a, 1, NO_SPAN) : NO_VAL;
}

static Val build_nearest(OpCase *o, Op op) {
  const StTensor *t = tensor_of(o, "x");
  Val x = source(o, "x", false);
  const int64_t *size = pair_of(o, A_grid, "size").v;
  if (!t || t->rank != 2 || !x.id || size[0] < 1 || size[1] < 1) return NO_VAL;
  return nearest_rows(o, op, nearest_rows(o, op, x, t->shape[0], size[0]), t->shape[1], size[1]);
}

static const struct {
  const char *name;
  Op op;
  Val (*build)(OpCase *, Op);
} known[] = {
    {"resize_table_bicubic", OP_resize_table, build_resize},
    {"resize_table_bilinear", OP_resize_table, build_resize},
    {"resize_relative_table_geometric", OP_resize_table, build_resize},
    {"cross_entropy", OP_log_softmax, build_cross_entropy},
    {"bce_with_logits", OP_log, build_bce},
    {"resize_nearest", OP_embedding, build_nearest},
    {"gelu_erf", OP_gelu, build_plain},
    {"gelu_tanh", OP_gelu_tanh, build_plain},
    {"quickgelu", OP_quick_gelu, build_plain},
    {"tanh", OP_tanh, build_plain},
    {"softmax", OP_softmax, build_row},
    {"log_softmax", OP_log_softmax, build_row},
    {"l2_normalise", OP_l2_norm, build_row},
    {"layer_norm", OP_layer_norm, build_norm},
    {"attention", OP_attention, build_attention},
    {"patch_embed", OP_patchify, build_patches},
};

Module *check_op_module(Check *c, const Case *k, const Checkpoint *tensors, CheckResult *r) {
  const char *op = json_text(k->json, "op");
  Module *m = module_new(&c->s->arena, &c->s->names, &c->s->diag, "op");
  OpCase o = {c, k, tensors, r, graph_new(m, "run")};
  const cJSON *out = cJSON_GetObjectItemCaseSensitive(k->json, "outputs");
  for (size_t i = 0; op && i < sizeof known / sizeof *known; i++) {
    if (strcmp(known[i].name, op) != 0) continue;
    Val y = known[i].build(&o, known[i].op);
    bool sound = session_flush(c->s) && y.id && out && out->child;
    if (!sound && r->verdict == PASS) check_settle(c, r, FAIL, "the operator refuses these tensors");
    if (!sound) return NULL;
    graph_output(o.g, intern(&c->s->names, out->child->string), y, NO_SPAN);
    return m;
  }
  check_settle(c, r, SKIP, "operator %s is not built yet", op ? op : "without a name");
  return NULL;
}
