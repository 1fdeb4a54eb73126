// import.c: an ONNX model as a module of the graph IR, and that as a page.
//
// Names of the file become names of the page: inputs, outputs and dims as they are where they are words of the
// language, weights by their paths. Whole numbers of any size are i32. Dims have bounds, which no ONNX file says: 32
// for the first axis of an input, 512 for others, or what the caller gives.
#include "import.h"

#include "ir/op/op.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *op;
  ImportFn *rule;
} rules[] = {
#define IMPORT(op, rule, doc) {#op, import_##rule},
#include "import.def"
#undef IMPORT
};
enum { RULES = sizeof rules / sizeof *rules, BATCH_BOUND = 32, LENGTH_BOUND = 512 };

bool import_fail(Import *p, const char *fmt, ...) {
  if (p->failed) return false;
  p->failed = true;
  if (p->node) {
    buf_printf(p->why, "node %zu, %s", p->at + 1, p->node->op_type ? p->node->op_type : "of no operator");
    if (p->node->name && *p->node->name) buf_printf(p->why, " '%s'", p->node->name);
    buf_puts(p->why, ": ");
  }
  va_list ap;
  va_start(ap, fmt);
  buf_vprintf(p->why, fmt, ap);
  va_end(ap);
  return false;
}

/* items ------------------------------------------------------------------------------------------------------------ */
static Item **find_slot(Import *p, const char *name) {
  size_t h = (size_t)hash_bytes(name, strlen(name), 0) & (p->nslot - 1);
  while (p->slot[h] && strcmp(p->slot[h]->name, name) != 0) h = (h + 1) & (p->nslot - 1);
  return &p->slot[h];
}

Item *import_new(Import *p, const char *name) {
  if (2 * (p->nitem + 1) > p->nslot) {
    Item **old = p->slot;
    size_t n = p->nslot;
    p->nslot = n ? 2 * n : 256;
    p->slot = ARENA_ARRAY(p->arena, Item *, p->nslot);
    for (size_t i = 0; i < n; i++)
      if (old[i]) *find_slot(p, old[i]->name) = old[i];
  }
  Item **at = find_slot(p, name);
  if (*at) {
    import_fail(p, "the name '%s' is given twice", name);
    return *at;
  }
  *at = ARENA_NEW(p->arena, Item);
  (*at)->name = name;
  p->nitem++;
  return *at;
}

static Item *lookup(Import *p, const char *name) {
  return p->nslot ? *find_slot(p, name) : NULL;
}

bool import_has(const Import *p, size_t input) {
  return input < p->node->n_input && *p->node->input[input];
}

Item *import_item(Import *p, size_t input) {
  static Item none = {.kind = ITEM_NONE, .name = ""};
  if (!import_has(p, input)) return &none;
  Item *i = lookup(p, p->node->input[input]);
  while (i && i->same) i = i->same;
  if (i) return i;
  import_fail(p, "it reads '%s', which nothing before it makes (nodes stand in order, without cycles)",
              p->node->input[input]);
  return &none;
}

void import_set(Import *p, size_t output, Item item) {
  if (p->failed || output >= p->node->n_output || !*p->node->output[output]) return;
  Item *to = import_new(p, p->node->output[output]);
  item.name = to->name;
  *to = item;
}

bool import_result(Import *p, Val v) {
  if (!v.id) return import_fail(p, "it cannot be read");
  import_set(p, 0, (Item){.kind = ITEM_TENSOR, .val = v});
  return !p->failed;
}

const Onnx__AttributeProto *import_attr(const Import *p, const char *name) {
  for (size_t i = 0; i < p->node->n_attribute; i++)
    if (p->node->attribute[i]->name && !strcmp(p->node->attribute[i]->name, name)) return p->node->attribute[i];
  return NULL;
}
int64_t import_int(const Import *p, const char *name, int64_t absent) {
  const Onnx__AttributeProto *a = import_attr(p, name);
  return a && a->has_i ? a->i : absent;
}
double import_float(const Import *p, const char *name, double absent) {
  const Onnx__AttributeProto *a = import_attr(p, name);
  return a && a->has_f ? (double)a->f : absent;
}
bool import_ints(Import *p, const char *name, const int64_t **v, size_t *n) {
  const Onnx__AttributeProto *a = import_attr(p, name);
  if (!a) return false;
  *v = a->ints;
  *n = a->n_ints;
  return true;
}

/* the graph -------------------------------------------------------------------------------------------------------- */
// A diagnostic of a shape rule, as our reason.
static bool take_diagnostics(Import *p) {
  Diag *d = p->m->diag;
  if (!d->list.n) return true;
  import_fail(p, "%s", d->list.at[0].text);
  d->list.n = d->errors = 0;
  return false;
}

Val import_typed(Import *p, Op op, Val arg, const Attr *attrs, size_t nattrs, const Type *t) {
  if (p->failed || (op != OP_constant && op != OP_iota && !arg.id)) return NO_VAL;
  Val v = graph_add_typed(p->g, op, &arg, arg.id ? 1 : 0, attrs, nattrs, t, NO_SPAN);
  return take_diagnostics(p) ? v : NO_VAL;
}

Val import_add(Import *p, Op op, const Val *args, size_t n, const Attr *attrs, size_t nattrs) {
  for (size_t i = 0; i < n; i++)
    if (!args[i].id) return NO_VAL;
  if (p->failed) return NO_VAL;
  Val v = graph_add(p->g, op, args, n, attrs, nattrs, NO_SPAN);
  return take_diagnostics(p) ? import_recognise(p, v) : NO_VAL;
}

const Type *import_type(const Import *p, Val v) {
  return &graph_value(p->g, v)->type;
}

Val import_scalar(Import *p, double value) {
  return graph_scalar(p->g, value, NO_SPAN);
}

/* weights ---------------------------------------------------------------------------------------------------------- */
// A path of the language: words and numbers between points.
static const char *path_of(Import *p, const char *name) {
  Buf b = {0};
  for (; *name; name++) {
    bool point = *name == '.' || *name == '/';
    if (point && b.n && b.s[b.n - 1] != '.') buf_putc(&b, '.');
    if (!point) buf_putc(&b, isalnum((unsigned char)*name) || *name == '_' ? *name : '_');
  }
  while (b.n && b.s[b.n - 1] == '.') b.s[--b.n] = 0;
  const char *base = arena_strdup(p->arena, b.n ? b.s : "tensor"), *path = base;
  buf_free(&b);
  for (size_t i = 2; is_interned(&p->weight_names, path); i++) path = arena_printf(p->arena, "%s_%zu", base, i);
  return intern(&p->weight_names, path);
}

static Val weight_of(Import *p, Item *item);

// Truth values are whole numbers in the checkpoint, 0 and 1.
static Val truth_of(Import *p, Item *item) {
  if (!item->whole) {
    int64_t *v = ARENA_ARRAY(p->arena, int64_t, item->n + 1);
    for (size_t i = 0; i < item->n; i++) v[i] = ((const uint8_t *)item->data)[i] != 0;
    item->whole = ARENA_NEW(p->arena, Item);
    *item->whole = *item;
    item->whole->dtype = DT_I32, item->whole->data = v;
  }
  const Attr to = attr_str(A_to, dtype_info[DT_BOOL].name);
  Val w = weight_of(p, item->whole);
  return w.id ? import_add(p, OP_cast, &w, 1, &to, 1) : w;
}

static Val weight_of(Import *p, Item *item) {
  if (item->dtype == DT_BOOL) return truth_of(p, item);
  Type t = {.dtype = item->dtype, .rank = (uint8_t)item->rank};
  for (int i = 0; i < item->rank; i++) t.dim[i] = DIM(item->dim[i]);
  const int64_t *v = item->data;
  for (size_t i = 0; item->dtype == DT_I32 && i < item->n; i++)
    if (v[i] < INT32_MIN || v[i] > INT32_MAX)
      return import_fail(p, "'%s' has the number %lld, which no i32 is", item->name, (long long)v[i]), NO_VAL;
  const char *why = type_problem(p->m, &t);
  if (why) return import_fail(p, "the tensor '%s': %s", item->name, why), NO_VAL;
  if (!item->weight) {
    item->weight = path_of(p, item->name);
    VEC_PUSH(p->arena, p->weight, ((ImportWeight){item->weight, item, item->dtype}));
  }
  return graph_weight(p->g, item->weight, &t, NO_SPAN);
}

double import_element(const Item *i, size_t at) {
  if (i->dtype == DT_F32) return (double)((const float *)i->data)[at];
  return i->dtype == DT_I32 ? (double)((const int64_t *)i->data)[at] : ((const uint8_t *)i->data)[at];
}

Val import_value(Import *p, Item *item) {
  if (p->failed) return NO_VAL;
  if (item->kind == ITEM_TENSOR) return item->val;
  if (item->kind == ITEM_CONST && item->turned) {
    return import_transpose(p, import_value(p, item->turned), (int64_t[]){1, 0}, 2);
  }
  if (item->kind == ITEM_CONST && item->n != 1) return weight_of(p, item);
  if (item->kind == ITEM_CONST) {
    Type t = {.dtype = item->dtype, .rank = (uint8_t)item->rank};
    for (int i = 0; i < item->rank; i++) t.dim[i] = DIM(1);
    const Attr value = attr_float(A_value, import_element(item, 0));
    return import_typed(p, OP_constant, NO_VAL, &value, 1, &t);
  }
  if (item->kind == ITEM_LENGTHS) {
    int64_t *v = ARENA_ARRAY(p->arena, int64_t, item->n);
    for (size_t i = 0; i < item->n; i++) {
      if (!dim_is_const(item->length[i]))
        return import_fail(p, "a run-time length ('%s') is used as data", item->name), NO_VAL;
      v[i] = item->length[i].c;
    }
    Item *c = ARENA_NEW(p->arena, Item);
    *c = (Item){.kind = ITEM_CONST,
                .name = item->name,
                .dtype = DT_I32,
                .rank = item->rank,
                .dim = {(int64_t)item->n},
                .n = item->n,
                .data = v};
    return import_value(p, c);
  }
  if (item->kind == ITEM_ERF) return import_fail(p, "an Erf that is no part of a GELU"), NO_VAL;
  return import_fail(p, "an operand is missing"), NO_VAL;
}

Val import_tensor(Import *p, size_t input) {
  return import_value(p, import_item(p, input));
}

bool import_is_lengths(const Item *i) {
  if (i->kind == ITEM_LENGTHS) return true;
  return i->kind == ITEM_CONST && i->dtype == DT_I32 && i->rank <= 1 && i->n <= MOST_LENGTHS && !i->turned;
}

const Item *import_lengths(Import *p, size_t input) {
  Item *i = import_item(p, input);
  if (i->kind == ITEM_LENGTHS || p->failed) return p->failed ? NULL : i;
  if (!import_is_lengths(i))
    return import_fail(p, "'%s' must be known when the model is read: a shape, or numbers", i->name), NULL;
  Dim *d = ARENA_ARRAY(p->arena, Dim, i->n);
  for (size_t k = 0; k < i->n; k++) d[k] = DIM(((const int64_t *)i->data)[k]);
  Item *out = ARENA_NEW(p->arena, Item);
  *out = (Item){.kind = ITEM_LENGTHS, .name = i->name, .rank = i->rank, .n = i->n, .length = d};
  return out;
}

Item import_dims_item(Import *p, const Dim *d, size_t n, int rank) {
  Dim *copy = ARENA_ARRAY(p->arena, Dim, n);
  if (n) memcpy(copy, d, n * sizeof *copy);
  return (Item){.kind = ITEM_LENGTHS, .rank = rank, .n = n, .length = copy};
}

/* ports ------------------------------------------------------------------------------------------------------------ */
// A word of the language, which nothing else is called.
static const char *word_of(Import *p, const char *name, const char *fallback) {
  static const char reserved[] =
      "let return repeat in if else and or not is as true false multiway switch under f32 i32 bool f16 bf16 use "
      "rename modality model block route generate words preset dim weight prepare objective state train require "
      "key query";
  Buf b = {0};
  for (const char *s = name; *s; s++) {
    bool letter = isalnum((unsigned char)*s) || *s == '_';
    if (!b.n && isdigit((unsigned char)*s)) buf_putc(&b, 'v');
    if (letter) buf_putc(&b, *s);
    if (!letter && b.n && b.s[b.n - 1] != '_') buf_putc(&b, '_');
  }
  const char *base = b.n ? arena_strdup(p->arena, b.s) : fallback;
  buf_free(&b);
  if (word_in(reserved, base)) base = arena_printf(p->arena, "%s_", base);
  const char *word = base;
  for (size_t i = 2; is_interned(&p->names, word); i++) word = arena_printf(p->arena, "%s_%zu", base, i);
  return intern(&p->names, word);
}

// Bounds that our own exports have with them: dim.NAME = "1..40".
static bool said_bounds(const Import *p, const char *name, int64_t *lo, int64_t *hi) {
  for (size_t i = 0; i < p->model->n_metadata_props; i++) {
    const Onnx__StringStringEntryProto *e = p->model->metadata_props[i];
    char *end;
    if (!e->key || !e->value || strncmp(e->key, "dim.", 4) != 0 || strcmp(e->key + 4, name) != 0) continue;
    long long a = strtoll(e->value, &end, 10), b = !strncmp(end, "..", 2) ? strtoll(end + 2, &end, 10) : 0;
    if (*end || a < 1 || b < a || b > INT32_MAX) return false;
    *lo = a, *hi = b;
    return true;
  }
  return false;
}

static int find_dim(Import *p, const char *name, int64_t bound) {
  for (size_t i = 0; i < p->m->ndim; i++)
    if (!strcmp(p->m->dim[i].name, name)) return (int)i;
  if (p->m->ndim == MAX_DIMS) return import_fail(p, "there are more than %d run-time dims", MAX_DIMS), -1;
  int64_t least = 1;
  (void)said_bounds(p, name, &least, &bound);
  for (size_t i = 0; i < p->o->ndim; i++)
    if (!strcmp(p->o->dim[i], name)) bound = p->o->most[i];
  if (least > bound) least = bound;
  p->m->dim[p->m->ndim] = (RuntimeDim){intern(p->m->names, name), least, bound};
  intern(&p->names, name);
  return (int)p->m->ndim++;
}

// "B", "2*L+1", "L - 1" (as our own exports have them) as a dim; other texts are names.
static bool parse_dim(Import *p, const char *text, int64_t bound, Dim *out) {
  char *end;
  long long k = 1, c = 0;
  const char *s = text;
  if (isdigit((unsigned char)*s)) {
    k = strtoll(s, &end, 10);
    s = *end == '*' ? end + 1 : text;
    if (s == text) k = 1;
  }
  size_t n = 0;
  while (isalnum((unsigned char)s[n]) || s[n] == '_') n++;
  const char *rest = s + n + strspn(s + n, " ");
  bool sum = (*rest == '+' || *rest == '-') && n;
  if (sum) {
    long long sign = *rest == '-' ? -1 : 1;
    rest++;
    rest += strspn(rest, " ");
    c = sign * strtoll(rest, &end, 10);
    sum = end > rest && !*end;
  }
  bool plain =
      n && !isdigit((unsigned char)*s) && (sum || !s[n]) && k > 0 && k < 1000000 && c > -1000000 && c < 1000000;
  const char *name = plain ? arena_strndup(p->arena, s, n) : NULL;
  if (!plain) k = 1, c = 0;
  if (!name || word_in("let in if is as or and not", name)) { // another text is a name as a whole
    Buf b = {0};
    if (!isalpha((unsigned char)*text)) buf_putc(&b, 'D');
    for (const char *t = text; *t; t++) buf_putc(&b, isalnum((unsigned char)*t) ? *t : '_');
    name = arena_strdup(p->arena, b.s);
    buf_free(&b);
  }
  int sym = find_dim(p, name, bound);
  *out = (Dim){c, (int32_t)k, sym};
  return sym >= 0;
}

static bool port_type(Import *p, const Onnx__ValueInfoProto *v, Type *t) {
  const Onnx__TypeProto *type = v->type;
  if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !type->tensor_type->shape)
    return import_fail(p, "the input '%s' has no tensor type with a shape", v->name);
  const Onnx__TensorShapeProto *s = type->tensor_type->shape;
  *t = (Type){0};
  switch (type->tensor_type->elem_type) {
  case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT: t->dtype = DT_F32; break;
  case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
  case ONNX__TENSOR_PROTO__DATA_TYPE__INT64: t->dtype = DT_I32; break;
  case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL: t->dtype = DT_BOOL; break;
  default:
    return import_fail(p, "the input '%s' is of ONNX type %d; f32, int32, int64 and bool are read", v->name,
                       (int)type->tensor_type->elem_type);
  }
  if (s->n_dim > MAX_RANK)
    return import_fail(p, "the input '%s' has %zu axes, at most %d are read", v->name, s->n_dim, MAX_RANK);
  t->rank = (uint8_t)s->n_dim;
  for (size_t i = 0; i < s->n_dim; i++) {
    const Onnx__TensorShapeProto__Dimension *d = s->dim[i];
    int64_t bound = i ? LENGTH_BOUND : BATCH_BOUND;
    if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE) {
      if (d->dim_value < 1 || d->dim_value > INT32_MAX)
        return import_fail(p, "the input '%s' has an axis of length %lld", v->name, (long long)d->dim_value);
      t->dim[i] = DIM(d->dim_value);
      continue;
    }
    bool named = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && *d->dim_param;
    const char *text = named ? d->dim_param : arena_printf(p->arena, "D%zu", p->m->ndim);
    if (!parse_dim(p, text, bound, &t->dim[i])) return false;
  }
  const char *why = type_problem(p->m, t);
  return !why || import_fail(p, "the input '%s': %s", v->name, why);
}

static bool is_initializer(const Onnx__GraphProto *g, const char *name) {
  for (size_t i = 0; i < g->n_initializer; i++)
    if (g->initializer[i]->name && !strcmp(g->initializer[i]->name, name)) return true;
  return false;
}

// All texts that are read below are there.
static bool texts_are_there(Import *p) {
  const Onnx__GraphProto *g = p->model->graph;
  bool ok = true;
  for (size_t i = 0; i < g->n_initializer; i++) ok = ok && g->initializer[i]->name && *g->initializer[i]->name;
  for (size_t i = 0; i < g->n_input; i++) ok = ok && g->input[i]->name;
  for (size_t i = 0; i < g->n_output; i++) ok = ok && g->output[i]->name;
  for (size_t i = 0; i < g->n_node; i++) ok = ok && g->node[i]->op_type;
  return ok || import_fail(p, "a name or an operator is missing");
}

static bool read_initializers(Import *p, const char *folder) {
  const Onnx__GraphProto *g = p->model->graph;
  for (size_t i = 0; i < g->n_initializer && !p->failed; i++) {
    Item item;
    Buf why = {0};
    if (!onnx_read_tensor(p->arena, g->initializer[i], folder, &item, &why))
      import_fail(p, "the tensor '%s': %s", g->initializer[i]->name, why.s);
    buf_free(&why);
    if (p->failed) break;
    Item *to = import_new(p, g->initializer[i]->name);
    item.name = to->name;
    if (!p->failed) *to = item;
  }
  return !p->failed;
}

static bool read_inputs(Import *p) {
  const Onnx__GraphProto *g = p->model->graph;
  Type t;
  for (size_t i = 0; i < g->n_input && !p->failed; i++) { // dims first: their names stay as they are
    if (!is_initializer(g, g->input[i]->name) && !port_type(p, g->input[i], &t)) return false;
  }
  for (size_t i = 0; i < g->n_input && !p->failed; i++) {
    if (is_initializer(g, g->input[i]->name)) continue;
    if (!port_type(p, g->input[i], &t)) return false;
    Item *to = import_new(p, g->input[i]->name);
    if (p->failed) return false;
    to->kind = ITEM_TENSOR;
    to->val = graph_input(p->g, word_of(p, g->input[i]->name, "input"), &t, NO_SPAN);
  }
  return take_diagnostics(p);
}

/* nodes ------------------------------------------------------------------------------------------------------------ */
static bool *needed_nodes(Import *p) {
  const Onnx__GraphProto *g = p->model->graph;
  Intern used = {.arena = p->arena};
  bool *needed = ARENA_ARRAY(p->arena, bool, g->n_node);
  for (size_t i = 0; i < g->n_output; i++) intern(&used, g->output[i]->name);
  for (size_t i = g->n_node; i-- > 0;) {
    for (size_t k = 0; k < g->node[i]->n_output; k++)
      needed[i] = needed[i] || (*g->node[i]->output[k] && is_interned(&used, g->node[i]->output[k]));
    for (size_t k = 0; needed[i] && k < g->node[i]->n_input; k++) intern(&used, g->node[i]->input[k]);
  }
  return needed;
}

static bool anonymous(const char *name) {
  return !strncmp(name, "onnx::", 6) || isdigit((unsigned char)*name);
}

// PyTorch's exporter turns matrices of Linear and drops their names. Where the sum behind the product has a tensor
// "X.bias", the matrix is X.weight, stored as [out, in].
static void name_matrices(Import *p) {
  const Onnx__GraphProto *g = p->model->graph;
  for (size_t i = 0; i + 1 < g->n_node; i++) {
    const Onnx__NodeProto *n = g->node[i], *sum = g->node[i + 1];
    if (strcmp(n->op_type, "MatMul") != 0 || strcmp(sum->op_type, "Add") != 0 || n->n_input != 2 || !n->n_output ||
        sum->n_input != 2)
      continue;
    int other = !strcmp(sum->input[0], n->output[0]) ? 1 : !strcmp(sum->input[1], n->output[0]) ? 0 : -1;
    Item *w = lookup(p, n->input[1]), *bias = other < 0 ? NULL : lookup(p, sum->input[other]);
    size_t len = bias ? strlen(bias->name) : 0;
    if (!w || !bias || w->kind != ITEM_CONST || w->rank != 2 || w->dtype != DT_F32 || w->weight ||
        !anonymous(w->name) || len < 6 || strcmp(bias->name + len - 5, ".bias") != 0)
      continue;
    const char *name = arena_printf(p->arena, "%.*s.weight", (int)len - 5, bias->name);
    if (lookup(p, name)) continue;
    float *turned = ARENA_ARRAY(p->arena, float, w->n);
    const float *from = w->data;
    size_t rows = (size_t)w->dim[0], columns = (size_t)w->dim[1];
    for (size_t r = 0; r < rows; r++)
      for (size_t c = 0; c < columns; c++) turned[c * rows + r] = from[r * columns + c];
    Item *origin = import_new(p, name);
    *origin = (Item){.kind = ITEM_CONST,
                     .name = name,
                     .dtype = DT_F32,
                     .rank = 2,
                     .dim = {w->dim[1], w->dim[0]},
                     .n = w->n,
                     .data = turned};
    w->turned = origin;
  }
}

static bool read_node(Import *p) {
  const Onnx__NodeProto *n = p->node;
  if (n->domain && *n->domain && strcmp(n->domain, "ai.onnx") != 0)
    return import_fail(p, "operators of the domain '%s' are not read", n->domain);
  for (size_t i = 0; i < RULES; i++) {
    if (strcmp(rules[i].op, n->op_type) != 0) continue;
    if (!n->n_output) return import_fail(p, "it has no result");
    return rules[i].rule(p) && !p->failed ? true : import_fail(p, "it cannot be read in this form");
  }
  return import_fail(p, "this operator is not read (docs/onnx.md lists those that are)");
}

static bool read_nodes(Import *p) {
  const Onnx__GraphProto *g = p->model->graph;
  const bool *needed = needed_nodes(p);
  for (p->at = 0; p->at < g->n_node; p->at++) {
    if (!needed[p->at]) continue;
    p->node = g->node[p->at];
    if (!read_node(p)) return false;
  }
  p->node = NULL;
  return true;
}

static bool read_outputs(Import *p) {
  const Onnx__GraphProto *g = p->model->graph;
  if (!g->n_output) return import_fail(p, "the model has no output");
  for (size_t i = 0; i < g->n_output; i++) {
    Item *item = lookup(p, g->output[i]->name);
    if (!item) return import_fail(p, "nothing makes the output '%s'", g->output[i]->name);
    while (item->same) item = item->same;
    Val v = import_value(p, item);
    if (!v.id) return false;
    graph_output(p->g, word_of(p, g->output[i]->name, "output"), v, NO_SPAN);
  }
  return take_diagnostics(p);
}

static bool known_version(Import *p) {
  int64_t version = 0;
  for (size_t i = 0; i < p->model->n_opset_import; i++) {
    const Onnx__OperatorSetIdProto *s = p->model->opset_import[i];
    if (!s->domain || !*s->domain || !strcmp(s->domain, "ai.onnx")) version = s->version;
  }
  if (p->model->n_functions) return import_fail(p, "models with functions are not read");
  if (p->model->graph->n_sparse_initializer) return import_fail(p, "sparse tensors are not read");
  if (version < 9 || version > 22) return import_fail(p, "operator set %lld: 9 to 22 are read", (long long)version);
  return true;
}

static void put_weights(Import *p, OnnxPage *out) {
  const Graph *g = p->g;
  for (size_t i = 0; i < p->weight.n; i++) {
    const ImportWeight *w = &p->weight.at[i];
    bool used = false;
    for (uint32_t k = 1; k < g->value.n && !used; k++) {
      const Value *v = &g->value.at[k];
      used = v->op == OP_weight && !v->dead && !strcmp(value_str(v, A_name), w->name);
    }
    if (!used) continue;
    OnnxTensor t = {.name = w->name, .dtype = w->dtype, .rank = w->item->rank, .data = w->item->data};
    memcpy(t.dim, w->item->dim, sizeof t.dim);
    t.bytes = w->item->n * 4;
    if (w->dtype == DT_I32) {
      int32_t *v = ARENA_ARRAY(p->arena, int32_t, w->item->n);
      for (size_t k = 0; k < w->item->n; k++) v[k] = (int32_t)((const int64_t *)w->item->data)[k];
      t.data = v;
    }
    VEC_PUSH(p->arena, out->weight, t);
  }
}

static bool read_model(Import *p, const char *folder, OnnxPage *out) {
  const char *why;
  if (!known_version(p) || !texts_are_there(p) || !read_initializers(p, folder) || !read_inputs(p)) return false;
  name_matrices(p);
  if (!read_nodes(p) || !read_outputs(p)) return false;
  graph_dce(p->g);
  graph_compact(p->g);
  if (!module_verify(p->m, &why)) return import_fail(p, "what was read is no valid graph: %s", why);
  put_weights(p, out);
  out->module = p->m;
  onnx_page(p->g, p->model->producer_name, &out->text);
  return true;
}

static bool import_model(Arena *a, Intern *names, Onnx__ModelProto *model, const char *folder, const OnnxImport *o,
                         OnnxPage *out, Buf *why) {
  Diag *d = ARENA_NEW(a, Diag);
  diag_init(d, a);
  Import p = {.arena = a, .o = o, .model = model, .why = why, .names = {.arena = a}, .weight_names = {.arena = a}};
  p.m = module_new(a, names, d, o->model);
  p.g = graph_new(p.m, "forward");
  *out = (OnnxPage){0};
  bool ok = read_model(&p, folder, out);
  if (!ok) buf_free(&out->text);
  return ok;
}

bool onnx_import(Arena *a, Intern *names, const char *path, const OnnxImport *o, OnnxPage *out, Buf *why) {
  Onnx__ModelProto *m = onnx_read(a, path, why);
  const char *slash = strrchr(path, '/');
  const char *folder = !slash ? "." : slash == path ? "/" : arena_strndup(a, path, (size_t)(slash - path));
  return m && import_model(a, names, m, folder, o, out, why);
}

bool onnx_import_bytes(Arena *a, Intern *names, const void *bytes, size_t n, const OnnxImport *o, OnnxPage *out,
                       Buf *why) {
  Onnx__ModelProto *m = onnx_read_bytes(a, bytes, n, why);
  return m && import_model(a, names, m, NULL, o, out, why);
}
