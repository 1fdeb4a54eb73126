// export.c: a route as an ONNX model.
//
// The graph is taken as the front end leaves it: passes make layouts, panels and groups that mean something to our
// kernels alone, while ONNX runtimes have their own. Each value becomes a few nodes by the rule of its operator
// (export.def). Left out before that:
//   * what is made of constants alone and has a known shape, such as tables of indices, is evaluated: an initializer;
//   * patches and windows that a product reads: both are one Conv.
// Weights are initializers under their names in the checkpoint; a table for another grid is resized as the packer does.
#include "export.h"

#include <string.h>

enum { // a name for each row: an operator of ir/ops.def without one is an error below
#define EXPORT(op, rule, doc) ROW_##op,
#include "export.def"
#undef EXPORT
};
static const struct {
  ExportFn *rule;
  int row;
} rules[OP_COUNT] = {
#define EXPORT(op, rule, doc) [OP_##op] = {export_##rule, ROW_##op},
#include "export.def"
#undef EXPORT
};
enum {
  COMPLETE = 0 // the sum of nothing, over a row of each operator
#define GOP(name, nargs, required, optional, flags, shape, fold, grad, emit, call, doc) +0 * ROW_##name
#include "ir/ops.def"
#undef GOP
};

const char *onnx_missing(void) {
  return NULL;
}

const char *export_refuse(Export *x, const Value *v, const char *fmt, ...) {
  if (x->failed) return NULL;
  x->failed = true;
  Buf b = {0};
  va_list ap;
  va_start(ap, fmt);
  buf_vprintf(&b, fmt, ap);
  va_end(ap);
  diag_error(x->g->module->diag, "E0313", value_place(v), "route '%s' cannot be exported as ONNX: %s", x->g->name, b.s);
  buf_free(&b);
  return NULL;
}

const Value *export_arg(const Export *x, const Value *v, uint32_t i) {
  return graph_value(x->g, v->args[i]);
}

/* constants -------------------------------------------------------------------------------------------------------- */
enum { MOST_FIXED = 1 << 24 }; // elements of what is evaluated here

static void find_fixed(Export *x) {
  const Graph *g = x->g;
  for (uint32_t i = 1; i < g->value.n; i++) {
    const Value *v = &g->value.at[i];
    bool fixed = !v->dead && (op_info[v->op].flags & F_PURE) && !type_has_runtime_dim(&v->type) && v->op != OP_weight &&
                 type_elements(g->module, &v->type) <= MOST_FIXED;
    for (uint32_t k = 0; fixed && k < v->nargs; k++) fixed = x->fixed[v->args[k].id];
    x->fixed[i] = fixed;
  }
}

// Elements of a tensor of the evaluator as ONNX has them.
static void *elements_of(Arena *a, const Tensor *t, size_t *bytes) {
  size_t size = dtype_info[t->dtype].bytes;
  *bytes = t->n * size;
  uint8_t *out = arena_alloc(a, *bytes);
  for (size_t i = 0; i < t->n; i++) {
    float f = t->dtype == DT_F32 ? (float)t->f[i] : 0;
    uint16_t h = dtype_is_narrow(t->dtype) ? (uint16_t)dtype_narrow(t->dtype, t->f[i]) : 0;
    const void *from = t->dtype == DT_BOOL  ? (const void *)&t->b[i]
                       : t->dtype == DT_I32 ? (const void *)&t->i[i]
                       : t->dtype == DT_F32 ? (const void *)&f
                                            : (const void *)&h;
    memcpy(out + i * size, from, size);
  }
  return out;
}

static void put_type(const Type *t, int64_t *dim) {
  for (int i = 0; i < t->rank; i++) dim[i] = t->dim[i].c;
}

static const char *fixed_name(Export *x, Val id, const Value *v) {
  EvalEnv env = {.arena = x->w.arena};
  for (size_t d = 0; d < x->g->module->ndim; d++) env.dim[d] = x->g->module->dim[d].lo;
  Tensor t;
  if (!graph_eval(x->g, &env, &id, 1, &t)) return export_refuse(x, v, "%s", env.error);
  if (!t.rank) return onnx_number(&x->w, t.dtype, t.dtype == DT_I32 ? t.i[0] : t.dtype == DT_BOOL ? t.b[0] : t.f[0]);
  size_t bytes;
  int64_t dim[MAX_RANK];
  put_type(&v->type, dim);
  const char *name = onnx_name(&x->w, arena_printf(x->w.arena, "%s%s", x->w.constant, op_info[v->op].name));
  void *data = elements_of(x->w.arena, &t, &bytes);
  onnx_tensor(&x->w, name, onnx_type(t.dtype), dim, (size_t)t.rank, data, bytes);
  return name;
}

const char *export_name(Export *x, Val id) {
  if (!x->name[id.id] && x->fixed[id.id]) x->name[id.id] = fixed_name(x, id, graph_value(x->g, id));
  return x->name[id.id] ? x->name[id.id] : ""; // "": what was refused already
}

const char *export_in(Export *x, const Value *v, uint32_t i) {
  return export_name(x, v->args[i]);
}

/* weights ---------------------------------------------------------------------------------------------------------- */
int64_t onnx_weight_bytes(const Graph *g) {
  int64_t sum = 0;
  for (uint32_t i = 1; i < g->value.n; i++)
    if (g->value.at[i].op == OP_weight && !g->value.at[i].dead) sum += type_bytes(g->module, &g->value.at[i].type);
  return sum;
}

static bool eval_weight(void *ud, const char *name, const Type *t, Tensor *out) {
  const WeightSource *s = ud;
  const char *err;
  return s->get(s->ud, name, t, out, &err);
}

static bool eval_rows(void *ud, const char *name, const Type *t, int64_t *rows) {
  const WeightSource *s = ud;
  return s->rows && s->rows(s->ud, name, t, rows);
}

// The elements of a weight; they are in the arena, or where the source has them.
static const void *weight_data(Export *x, Val id, const Value *v, size_t *bytes, Arena *a) {
  const WeightSource *s = x->o->weights;
  const char *name = value_str(v, A_name);
  const float *plain = s->f32 && v->type.dtype == DT_F32 ? s->f32(s->ud, name, &v->type) : NULL;
  *bytes = (size_t)type_bytes(x->g->module, &v->type);
  if (plain) return plain;
  WeightSource copy = *s;
  EvalEnv env = {.arena = a, .weight = eval_weight, .weight_rows = eval_rows, .ud = &copy};
  for (size_t d = 0; d < x->g->module->ndim; d++) env.dim[d] = x->g->module->dim[d].lo;
  Tensor t;
  if (!graph_eval(x->g, &env, &id, 1, &t)) return export_refuse(x, v, "weight '%s': %s", name, env.error);
  return elements_of(a, &t, bytes);
}

static Onnx__StringStringEntryProto *entry(OnnxWriter *w, const char *key, const char *value) {
  Onnx__StringStringEntryProto *e = ARENA_NEW(w->arena, Onnx__StringStringEntryProto);
  onnx__string_string_entry_proto__init(e);
  e->key = onnx_text(w, key);
  e->value = onnx_text(w, value);
  return e;
}

enum { ALIGN = 64 }; // of tensors in the file of data

// Writes the elements behind those that are there, and says where.
static bool put_external(Export *x, Onnx__TensorProto *t, FILE *f, int64_t *at, Buf *why) {
  static const uint8_t zero[ALIGN];
  size_t gap = (size_t)(round_up(*at, ALIGN) - *at), n = t->raw_data.len;
  if ((gap && fwrite(zero, 1, gap, f) != gap) || (n && fwrite(t->raw_data.data, 1, n, f) != n)) {
    buf_puts(why, "cannot write the data of the weights");
    return false;
  }
  *at += (int64_t)gap;
  t->has_data_location = true;
  t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
  t->n_external_data = 3;
  t->external_data = ARENA_ARRAY(x->w.arena, Onnx__StringStringEntryProto *, 3);
  t->external_data[0] = entry(&x->w, "location", x->o->data_name);
  t->external_data[1] = entry(&x->w, "offset", arena_printf(x->w.arena, "%lld", (long long)*at));
  t->external_data[2] = entry(&x->w, "length", arena_printf(x->w.arena, "%zu", n));
  *at += (int64_t)n;
  t->has_raw_data = false;
  t->raw_data = (ProtobufCBinaryData){0};
  return true;
}

static bool put_weights(Export *x, FILE *data, Buf *why) {
  int64_t at = 0;
  for (uint32_t i = 1; i < x->g->value.n; i++) {
    const Value *v = &x->g->value.at[i];
    if (v->op != OP_weight || !x->needed[i]) continue;
    if (!x->o->weights) {
      VEC_PUSH(x->w.arena, x->w.input, onnx_port(&x->w, x->name[i], x->g->module, &v->type));
      continue;
    }
    Arena scratch = {0}; // of one tensor where its elements go to a file at once
    size_t bytes;
    int64_t dim[MAX_RANK];
    put_type(&v->type, dim);
    const void *from = weight_data(x, (Val){i}, v, &bytes, data ? &scratch : x->w.arena);
    bool ok = from != NULL;
    if (ok) {
      Onnx__TensorProto *t = onnx_tensor(&x->w, x->name[i], onnx_type(v->type.dtype), dim, v->type.rank, from, bytes);
      ok = !data || put_external(x, t, data, &at, why);
    }
    arena_free(&scratch);
    if (!ok) return false;
  }
  return true;
}

/* the graph -------------------------------------------------------------------------------------------------------- */
static bool begins(const char *name, const char *with) {
  return name && !strncmp(name, with, strlen(with));
}

// What names of constants begin with: nothing else does.
static const char *prefix_for_constants(const Graph *g, Arena *a) {
  const char *prefix = "const/";
  for (bool taken = true; taken;) {
    taken = false;
    for (uint32_t i = 1; i < g->value.n && !taken; i++) {
      const char *name = value_str(&g->value.at[i], A_name);
      taken = begins(name, prefix) || begins(g->value.at[i].label, prefix);
    }
    for (size_t i = 0; i < g->output.n && !taken; i++) taken = begins(g->output.at[i].name, prefix);
    if (taken) prefix = arena_printf(a, "_%s", prefix);
  }
  return prefix;
}

// Inputs, outputs and weights have their names before anything else takes them.
static void reserve_names(Export *x, const char **output) {
  const Graph *g = x->g;
  for (size_t i = 0; i < g->input.n; i++) x->name[g->input.at[i].val.id] = onnx_name(&x->w, g->input.at[i].name);
  for (size_t i = 0; i < g->output.n; i++) output[i] = onnx_name(&x->w, g->output.at[i].name);
  for (uint32_t i = 1; i < g->value.n; i++) {
    const Value *v = &g->value.at[i];
    if (v->op == OP_weight && x->needed[i]) x->name[i] = onnx_name(&x->w, value_str(v, A_name));
  }
}

// What outputs need; of a convolution the image and not its windows.
static void find_needed(Export *x) {
  const Graph *g = x->g;
  for (size_t i = 0; i < g->output.n; i++) x->needed[g->output.at[i].val.id] = true;
  for (uint32_t i = (uint32_t)g->value.n; i-- > 1;) {
    const Value *v = &g->value.at[i];
    if (!x->needed[i] || x->fixed[i]) continue;
    bool conv = export_is_conv(g, v);
    for (uint32_t k = 0; k < v->nargs; k++) {
      Val arg = conv && k == 0 ? graph_value(g, v->args[0])->args[0] : v->args[k];
      x->needed[arg.id] = true;
    }
  }
}

static const char *scope_of(Export *x, const Value *v) {
  const char *op = op_info[v->op].name;
  return v->label && *v->label ? arena_printf(x->w.arena, "%s/%s", v->label, op) : op;
}

// All nodes of a value. What it is an output of gives it its name, if it has none.
static bool export_value(Export *x, uint32_t id, const char *wanted) {
  const Value *v = &x->g->value.at[id];
  const char *base = scope_of(x, v), *name = wanted ? wanted : onnx_name(&x->w, base);
  x->w.scope = wanted ? base : name;
  size_t before = x->w.node.n;
  const char *y = rules[v->op].rule(x, v);
  if (!y || x->failed) {
    if (!x->failed) export_refuse(x, v, "the operator '%s' has no form in ONNX here", op_info[v->op].name);
    return false;
  }
  if (x->w.node.n > before && onnx_is_last(&x->w, y)) {
    onnx_call_last(&x->w, name);
    y = name;
  }
  x->name[id] = y;
  return true;
}

static bool export_values(Export *x, const char *const *output) {
  const Graph *g = x->g;
  const char **wanted = ARENA_ARRAY(x->w.arena, const char *, g->value.n);
  for (size_t i = g->output.n; i-- > 0;) wanted[g->output.at[i].val.id] = output[i];
  for (uint32_t i = 1; i < g->value.n; i++)
    if (x->needed[i] && !x->fixed[i] && !x->name[i] && !export_value(x, i, wanted[i])) return false;
  x->w.scope = "output";
  for (size_t i = 0; i < g->output.n && !x->failed; i++) {
    Val v = g->output.at[i].val;
    const char *from = export_name(x, v);
    if (strcmp(from, output[i]) != 0) { // an input, a constant, or an output twice
      (void)ONNX_NODE(&x->w, "Identity", from);
      onnx_call_last(&x->w, output[i]);
    }
  }
  return !x->failed;
}

static void put_ports(Export *x, const char *const *output) {
  const Graph *g = x->g;
  for (size_t i = 0; i < g->input.n; i++) {
    Val v = g->input.at[i].val;
    VEC_PUSH(x->w.arena, x->w.input, onnx_port(&x->w, x->name[v.id], g->module, &graph_value(g, v)->type));
  }
  for (size_t i = 0; i < g->output.n; i++)
    VEC_PUSH(x->w.arena, x->w.output,
             onnx_port(&x->w, output[i], g->module, &graph_value(g, g->output.at[i].val)->type));
}

/* the file --------------------------------------------------------------------------------------------------------- */
typedef struct Sink {
  ProtobufCBuffer base;
  FILE *f;
  bool failed;
} Sink;

static void sink_append(ProtobufCBuffer *b, size_t n, const uint8_t *data) {
  Sink *s = (Sink *)(void *)b;
  if (n && fwrite(data, 1, n, s->f) != n) s->failed = true;
}

static Onnx__ModelProto *make_model(Export *x) {
  Arena *a = x->w.arena;
  const Module *m = x->g->module;
  Onnx__GraphProto *g = ARENA_NEW(a, Onnx__GraphProto);
  onnx__graph_proto__init(g);
  g->name = onnx_text(&x->w, x->g->name);
  g->doc_string = x->g->about ? onnx_text(&x->w, x->g->about) : NULL;
  g->n_node = x->w.node.n, g->node = x->w.node.at;
  g->n_initializer = x->w.initializer.n, g->initializer = x->w.initializer.at;
  g->n_input = x->w.input.n, g->input = x->w.input.at;
  g->n_output = x->w.output.n, g->output = x->w.output.at;
  Onnx__OperatorSetIdProto *set = ARENA_NEW(a, Onnx__OperatorSetIdProto);
  onnx__operator_set_id_proto__init(set);
  set->domain = onnx_text(&x->w, "");
  set->has_version = true;
  set->version = ONNX_OPSET;
  Onnx__ModelProto *p = ARENA_NEW(a, Onnx__ModelProto);
  onnx__model_proto__init(p);
  p->has_ir_version = true;
  p->ir_version = ONNX_IR_VERSION;
  p->producer_name = onnx_text(&x->w, "switchyard");
  p->producer_version = onnx_text(&x->w, x->o->version);
  p->graph = g;
  p->n_opset_import = 1;
  p->opset_import = ARENA_NEW(a, Onnx__OperatorSetIdProto *);
  p->opset_import[0] = set;
  p->metadata_props = ARENA_ARRAY(a, Onnx__StringStringEntryProto *, m->prepare.n + m->ndim + 2);
  p->metadata_props[p->n_metadata_props++] = entry(&x->w, "model", m->name);
  if (m->built) p->metadata_props[p->n_metadata_props++] = entry(&x->w, "built", m->built);
  for (size_t i = 0; i < m->ndim; i++) {
    const RuntimeDim *d = &m->dim[i];
    p->metadata_props[p->n_metadata_props++] = entry(&x->w, arena_printf(a, "dim.%s", d->name),
                                                     arena_printf(a, "%lld..%lld", (long long)d->lo, (long long)d->hi));
  }
  for (size_t i = 0; i < m->prepare.n; i++) {
    const Prepare *r = &m->prepare.at[i];
    p->metadata_props[p->n_metadata_props++] =
        entry(&x->w, arena_printf(a, "prepare.%s", r->name), arena_printf(a, "%s(%s)", r->kind, r->options));
  }
  return p;
}

static bool write_model(Export *x, FILE *f, Buf *why) {
  Onnx__ModelProto *p = make_model(x);
  if (onnx__model_proto__get_packed_size(p) > ONNX_MOST_BYTES) {
    buf_puts(why, "the model is larger than 2 GB");
    return false;
  }
  Sink s = {{sink_append}, f, false};
  onnx__model_proto__pack_to_buffer(p, &s.base);
  if (s.failed) buf_puts(why, "cannot write the model");
  return !s.failed;
}

static bool export_graph(Export *x, FILE *model, FILE *data, Buf *why) {
  const Graph *g = x->g;
  const char **output = ARENA_ARRAY(x->w.arena, const char *, g->output.n);
  find_fixed(x);
  find_needed(x);
  x->w.constant = prefix_for_constants(g, x->w.arena);
  reserve_names(x, output);
  put_ports(x, output);
  if (!export_values(x, output) || !put_weights(x, data, why)) {
    if (x->error) buf_puts(why, x->error);
    return false;
  }
  onnx_drop_unused(&x->w);
  return write_model(x, model, why);
}

bool onnx_export(const Graph *g, const OnnxExport *o, FILE *model, FILE *data, Buf *why) {
  Arena a = {0};
  Export x = {.g = g, .o = o, .w = {.arena = &a, .names = {.arena = &a}, .scope = ""}};
  x.name = ARENA_ARRAY(&a, const char *, g->value.n);
  x.fixed = ARENA_ARRAY(&a, bool, g->value.n);
  x.needed = ARENA_ARRAY(&a, bool, g->value.n);
  bool ok = export_graph(&x, model, data, why);
  arena_free(&a);
  return ok;
}
