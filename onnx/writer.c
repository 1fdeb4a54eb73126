// writer.c: building an ONNX graph.
#include "writer.h"

#include <string.h>

char *onnx_text(OnnxWriter *w, const char *s) {
  return arena_strdup(w->arena, s);
}

const char *onnx_name(OnnxWriter *w, const char *base) {
  enum { TRIES = 64 }; // behind them numbers that no base has had
  const char *name = base;
  for (size_t i = 2; is_interned(&w->names, name); i++) {
    if (i == TRIES && w->serial < TRIES) w->serial = TRIES;
    name = arena_printf(w->arena, "%s_%zu", base, i < TRIES ? i : w->serial++);
  }
  return intern(&w->names, name);
}

static Onnx__AttributeProto *make_attr(OnnxWriter *w, const OnnxAttr *a) {
  Onnx__AttributeProto *p = ARENA_NEW(w->arena, Onnx__AttributeProto);
  onnx__attribute_proto__init(p);
  p->name = onnx_text(w, a->name);
  p->has_type = true;
  switch (a->kind) {
  case ONNX_INT:
    p->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    p->has_i = true;
    p->i = a->i;
    break;
  case ONNX_FLOAT:
    p->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    p->has_f = true;
    p->f = a->f;
    break;
  case ONNX_INTS:
    p->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    p->n_ints = a->n;
    p->ints = ARENA_ARRAY(w->arena, int64_t, a->n);
    if (a->n) memcpy(p->ints, a->v, a->n * sizeof *p->ints);
    break;
  }
  return p;
}

const char *onnx_node(OnnxWriter *w, const char *op, const char *const *in, size_t nin, const OnnxAttr *attr,
                      size_t nattr) {
  Onnx__NodeProto *n = ARENA_NEW(w->arena, Onnx__NodeProto);
  onnx__node_proto__init(n);
  n->op_type = onnx_text(w, op);
  n->n_input = nin;
  n->input = ARENA_ARRAY(w->arena, char *, nin);
  for (size_t i = 0; i < nin; i++) n->input[i] = onnx_text(w, in[i]);
  n->n_attribute = nattr;
  n->attribute = ARENA_ARRAY(w->arena, Onnx__AttributeProto *, nattr);
  for (size_t i = 0; i < nattr; i++) n->attribute[i] = make_attr(w, &attr[i]);
  n->n_output = 1;
  n->output = ARENA_NEW(w->arena, char *);
  n->output[0] = onnx_text(w, onnx_name(w, arena_printf(w->arena, "%s/%s", w->scope, op)));
  n->name = n->output[0];
  VEC_PUSH(w->arena, w->node, n);
  return n->output[0];
}

bool onnx_is_last(const OnnxWriter *w, const char *value) {
  return w->node.n && !strcmp(w->node.at[w->node.n - 1]->output[0], value);
}

void onnx_call_last(OnnxWriter *w, const char *name) {
  Onnx__NodeProto *n = w->node.at[w->node.n - 1];
  n->name = n->output[0] = onnx_text(w, name);
}

/* constants -------------------------------------------------------------------------------------------------------- */
int onnx_type(DType t) {
  static const int of[DT_COUNT] = {[DT_F32] = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                                   [DT_I32] = ONNX__TENSOR_PROTO__DATA_TYPE__INT32,
                                   [DT_BOOL] = ONNX__TENSOR_PROTO__DATA_TYPE__BOOL,
                                   [DT_F16] = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16,
                                   [DT_BF16] = ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16};
  return of[t];
}

Onnx__TensorProto *onnx_tensor(OnnxWriter *w, const char *name, int type, const int64_t *dim, size_t rank,
                               const void *data, size_t bytes) {
  Onnx__TensorProto *t = ARENA_NEW(w->arena, Onnx__TensorProto);
  onnx__tensor_proto__init(t);
  t->name = onnx_text(w, name);
  t->has_data_type = true;
  t->data_type = type;
  t->n_dims = rank;
  t->dims = ARENA_ARRAY(w->arena, int64_t, rank);
  if (rank) memcpy(t->dims, dim, rank * sizeof *dim);
  t->has_raw_data = true;
  t->raw_data.len = bytes;
  union { // protobuf-c only reads it
    const void *given;
    uint8_t *bytes;
  } raw = {data};
  t->raw_data.data = raw.bytes;
  VEC_PUSH(w->arena, w->initializer, t);
  return t;
}

// The name of a constant that its text stands for; *is_new: it has no initializer yet.
static const char *constant_name(OnnxWriter *w, const char *text, bool *is_new) {
  const char *name = arena_printf(w->arena, "%s%s", w->constant, text);
  *is_new = !is_interned(&w->names, name);
  return intern(&w->names, name);
}

const char *onnx_ints(OnnxWriter *w, const int64_t *v, size_t n) {
  Buf b = {0};
  bool is_new;
  buf_putc(&b, '[');
  for (size_t i = 0; i < n; i++) buf_printf(&b, "%s%lld", i ? "," : "", (long long)v[i]);
  buf_putc(&b, ']');
  const char *name = constant_name(w, b.s, &is_new);
  buf_free(&b);
  if (!is_new) return name;
  int64_t *copy = ARENA_ARRAY(w->arena, int64_t, n), dim = (int64_t)n;
  if (n) memcpy(copy, v, n * sizeof *copy);
  onnx_tensor(w, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, &dim, 1, copy, n * sizeof *copy);
  return name;
}

const char *onnx_int(OnnxWriter *w, int64_t v) {
  bool is_new;
  const char *name = constant_name(w, arena_printf(w->arena, "%lld:i64", (long long)v), &is_new);
  if (!is_new) return name;
  int64_t *copy = ARENA_NEW(w->arena, int64_t);
  *copy = v;
  onnx_tensor(w, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, NULL, 0, copy, sizeof *copy);
  return name;
}

const char *onnx_number(OnnxWriter *w, DType t, double value) {
  bool is_new;
  const char *name = constant_name(w, arena_printf(w->arena, "%.17g:%s", value, dtype_info[t].name), &is_new);
  if (!is_new) return name;
  size_t bytes = dtype_info[t].bytes;
  uint8_t *raw = arena_alloc(w->arena, bytes);
  float f = (float)value;
  int32_t i = (int32_t)value;
  uint16_t h = dtype_is_narrow(t) ? (uint16_t)dtype_narrow(t, value) : 0;
  uint8_t b = value != 0;
  const void *from = dtype_is_narrow(t) ? (const void *)&h
                     : t == DT_I32      ? (const void *)&i
                     : t == DT_BOOL     ? (const void *)&b
                                        : &f;
  memcpy(raw, from, bytes);
  onnx_tensor(w, name, onnx_type(t), NULL, 0, raw, bytes);
  return name;
}

const char *onnx_f32(OnnxWriter *w, double value) {
  return onnx_number(w, DT_F32, value);
}

/* ports ------------------------------------------------------------------------------------------------------------ */
static Onnx__TensorShapeProto__Dimension *make_dim(OnnxWriter *w, const Module *m, Dim d) {
  Onnx__TensorShapeProto__Dimension *p = ARENA_NEW(w->arena, Onnx__TensorShapeProto__Dimension);
  onnx__tensor_shape_proto__dimension__init(p);
  if (dim_is_const(d)) {
    p->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    p->dim_value = d.c;
  } else if (d.sym != DIM_SEGS) { // several run-time parts: a dimension without a name
    Buf b = {0};
    dim_print(&b, m, d);
    p->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    p->dim_param = onnx_text(w, b.s);
    buf_free(&b);
  }
  return p;
}

Onnx__ValueInfoProto *onnx_port(OnnxWriter *w, const char *name, const Module *m, const Type *t) {
  Onnx__ValueInfoProto *v = ARENA_NEW(w->arena, Onnx__ValueInfoProto);
  onnx__value_info_proto__init(v);
  v->name = onnx_text(w, name);
  Onnx__TypeProto *type = ARENA_NEW(w->arena, Onnx__TypeProto);
  onnx__type_proto__init(type);
  Onnx__TypeProto__Tensor *tensor = ARENA_NEW(w->arena, Onnx__TypeProto__Tensor);
  onnx__type_proto__tensor__init(tensor);
  Onnx__TensorShapeProto *shape = ARENA_NEW(w->arena, Onnx__TensorShapeProto);
  onnx__tensor_shape_proto__init(shape);
  tensor->has_elem_type = true;
  tensor->elem_type = onnx_type(t->dtype);
  tensor->shape = shape;
  type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  type->tensor_type = tensor;
  v->type = type;
  shape->n_dim = t->rank;
  shape->dim = ARENA_ARRAY(w->arena, Onnx__TensorShapeProto__Dimension *, t->rank);
  for (int i = 0; i < t->rank; i++) shape->dim[i] = make_dim(w, m, t->dim[i]);
  return v;
}

void onnx_drop_unused(OnnxWriter *w) {
  Intern used = {.arena = w->arena};
  size_t n = w->node.n, kept = n;
  for (size_t i = 0; i < w->output.n; i++) intern(&used, w->output.at[i]->name);
  for (size_t i = n; i-- > 0;) { // what is kept moves to the end
    Onnx__NodeProto *node = w->node.at[i];
    bool wanted = false;
    for (size_t k = 0; k < node->n_output; k++) wanted = wanted || is_interned(&used, node->output[k]);
    if (!wanted) continue;
    for (size_t k = 0; k < node->n_input; k++) intern(&used, node->input[k]);
    w->node.at[--kept] = node;
  }
  w->node.at += kept;
  w->node.n -= kept;
  w->node.cap -= kept;
  n = 0;
  for (size_t i = 0; i < w->initializer.n; i++)
    if (is_interned(&used, w->initializer.at[i]->name)) w->initializer.at[n++] = w->initializer.at[i];
  w->initializer.n = n;
}
