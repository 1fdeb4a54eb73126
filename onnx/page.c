// page.c: a graph of an ONNX model as a page: a line for each value, weights where they are first used, `linear`,
// `norm` and `patch_embed` of std where they fit, and a `repeat` for lines that come again with other weights.
#include "page.h"

#include <math.h>
#include <string.h>

/* lines ------------------------------------------------------------------------------------------------------------ */
static Line *new_line(Page *p, Val v) {
  VEC_PUSH(p->arena, p->line, ((Line){.v = v}));
  return &p->line.at[p->line.n - 1];
}

static void put_part(Page *p, PartKind kind, const char *text, Val v) {
  Line *l = &p->line.at[p->line.n - 1];
  VEC_PUSH(p->arena, l->part, ((Part){kind, text, v}));
}

static void put(Page *p, const char *fmt, ...) SY_PRINTF(2, 3);
static void put(Page *p, const char *fmt, ...) {
  Buf b = {0};
  va_list ap;
  va_start(ap, fmt);
  buf_vprintf(&b, fmt, ap);
  va_end(ap);
  put_part(p, PART_TEXT, arena_strdup(p->arena, b.s ? b.s : ""), NO_VAL);
  buf_free(&b);
}

static const Value *at(const Page *p, Val v) {
  return graph_value(p->g, v);
}

static void put_dim(Page *p, Dim d) {
  const char *name = d.k ? p->g->module->dim[d.sym].name : NULL;
  if (!d.k) {
    put(p, "%lld", (long long)d.c);
    return;
  }
  if (d.k != 1) put(p, "%d * ", (int)d.k);
  put(p, "%s", name);
  if (d.c) put(p, " %c %lld", d.c < 0 ? '-' : '+', (long long)(d.c < 0 ? -d.c : d.c));
}

static void put_dims(Page *p, const Type *t) {
  put(p, "[");
  for (int i = 0; i < t->rank; i++) {
    if (i) put(p, ", ");
    put_dim(p, t->dim[i]);
  }
  put(p, "]");
}

static void put_type(Page *p, const Type *t) {
  put(p, "%s", dtype_info[t->dtype].name);
  if (t->rank) put_dims(p, t);
}

static const char *number_text(Page *p, DType t, double v) {
  if (t == DT_BOOL) return v != 0 ? "true" : "false";
  if (t == DT_I32) return arena_printf(p->arena, v < 0 ? "(%.0f)" : "%.0f", v);
  const char *text = arena_printf(p->arena, "%.9g", v);
  if (!strpbrk(text, ".e")) text = arena_printf(p->arena, "%s.0", text);
  return v < 0 ? arena_printf(p->arena, "(%s)", text) : text;
}

static void put_val(Page *p, Val v) {
  const Value *x = at(p, v);
  if (x->op == OP_constant && !isinf(value_float(x, A_value, 0))) {
    const char *text = number_text(p, x->type.dtype, value_float(x, A_value, 0));
    if (!x->type.rank) {
      put(p, "%s", text);
      return;
    }
    put(p, "fill(%s, ", text);
    put_type(p, &x->type);
    put(p, ")");
    return;
  }
  put_part(p, PART_VAL, NULL, v);
}

static void put_vals(Page *p, const Value *x, uint32_t from) {
  for (uint32_t i = from; i < x->nargs; i++) {
    if (i > from) put(p, ", ");
    put_val(p, x->args[i]);
  }
}

/* operators -------------------------------------------------------------------------------------------------------- */
static void put_ints(Page *p, const int64_t *v, size_t n) {
  put(p, "[");
  for (size_t i = 0; i < n; i++) put(p, "%s%lld", i ? ", " : "", (long long)v[i]);
  put(p, "]");
}

static void put_slice(Page *p, const Value *v) {
  int64_t axis = value_int(v, A_axis, 0), start = value_int(v, A_start, 0);
  Dim len = v->type.dim[axis], whole = at(p, v->args[0])->type.dim[axis];
  put_val(p, v->args[0]);
  put(p, "[");
  for (int64_t i = 0; i < axis; i++) put(p, ":, ");
  put(p, "%lld:", (long long)start);
  len.c += start;
  if (!dim_equal(len, whole)) put_dim(p, len);
  put(p, "]");
}

static void put_mask(Page *p, const Value *v, const Mask *m) {
  static const char *const sign[] = {[MASK_LE] = "<=", [MASK_LT] = "<", [MASK_EQ] = "=="};
  switch (m->op) {
  case MASK_LE:
  case MASK_LT:
  case MASK_EQ: put(p, "%s %s %s", m->on_key ? "key" : "query", sign[m->op], m->on_key ? "query" : "key"); break;
  case MASK_ARG:
    put_val(p, v->args[m->index]);
    put(p, at(p, v->args[m->index])->type.rank == 3 ? "[query, key]" : "[key]");
    break;
  case MASK_NOT:
    put(p, "not (");
    put_mask(p, v, m->a);
    put(p, ")");
    break;
  case MASK_AND:
  case MASK_OR:
    put(p, "(");
    put_mask(p, v, m->a);
    put(p, ") %s (", m->op == MASK_AND ? "and" : "or");
    put_mask(p, v, m->b);
    put(p, ")");
    break;
  default: put(p, "true"); break;
  }
}

static void put_attention(Page *p, const Value *v) {
  const Attr *masked = value_attr(v, A_masked);
  put(p, "attention(");
  for (uint32_t i = 0; i < 3; i++) {
    put_val(p, v->args[i]);
    put(p, ", ");
  }
  put(p, "heads = %lld, scale = %s", (long long)value_int(v, A_heads, 1),
      number_text(p, DT_F32, value_float(v, A_scale, 1)));
  if (value_attr(v, A_where)) {
    put(p, ", where = ");
    put_mask(p, v, value_mask(p->arena, p->g->module, v));
  }
  if (masked) put(p, ", masked = %s", number_text(p, DT_F32, masked->f));
  for (uint32_t i = 3; i < v->nargs; i++) {
    if (at(p, v->args[i])->type.dtype != DT_F32) continue;
    put(p, ", bias = ");
    put_val(p, v->args[i]);
  }
  put(p, ")");
}

// A tensor of the checkpoint that nothing else reads, called PREFIX.end. NULL: it is not.
static const char *prefix_of(Page *p, Val v, const char *end) {
  const Value *w = at(p, v);
  const char *name = w->op == OP_weight ? value_str(w, A_name) : NULL;
  size_t n = name ? strlen(name) : 0, k = strlen(end);
  if (n <= k + 1 || strcmp(name + n - k, end) != 0 || name[n - k - 1] != '.' || p->uses[v.id] != 1) return NULL;
  return arena_strndup(p->arena, name, n - k - 1);
}

static const char *pair_prefix(Page *p, Val weight, Val bias) {
  const char *a = prefix_of(p, weight, "weight"), *b = prefix_of(p, bias, "bias");
  return a && b && !strcmp(a, b) ? a : NULL;
}

static void put_path(Page *p, const char *path) {
  put(p, "  @");
  put_part(p, PART_PATH, path, NO_VAL);
}

// linear(x, n), norm(x, eps) or patch_embed(image, patch, n) of std at a path. False: it has no such form.
static bool put_block(Page *p, const Value *v) {
  if (v->op == OP_layer_norm && v->nargs == 3) {
    const char *path = pair_prefix(p, v->args[1], v->args[2]);
    if (!path) return false;
    put(p, "norm(");
    put_val(p, v->args[0]);
    put(p, ", %s)", number_text(p, DT_F32, value_float(v, A_eps, 0)));
    put_path(p, path);
    return true;
  }
  if (v->op != OP_linear || value_int(v, A_trans, 0)) return false;
  const Value *w = at(p, v->args[1]), *x = at(p, v->args[0]);
  bool patches = x->op == OP_patchify && w->op == OP_reshape && p->uses[v->args[0].id] == 1 &&
                 p->uses[v->args[1].id] == 1 && at(p, w->args[0])->type.rank == 4;
  Val weight = patches ? w->args[0] : v->args[1];
  const char *path = v->nargs > 2 ? pair_prefix(p, weight, v->args[2]) : prefix_of(p, weight, "weight");
  if (!path) return false;
  put(p, "%s%s(", patches ? "patch_embed" : "linear", v->nargs > 2 ? "" : "_plain");
  put_val(p, patches ? x->args[0] : v->args[0]);
  if (patches) put(p, ", %lld", (long long)value_int(x, A_patch, 1));
  put(p, ", %lld)", (long long)w->type.dim[0].c);
  put_path(p, path);
  return true;
}

static const struct {
  Op op;
  const char *sign; // between two operands, or in front of one
} signs[] = {{OP_add, "+"}, {OP_sub, "-"},           {OP_mul, "*"},
             {OP_div, "/"}, {OP_logical_and, "and"}, {OP_logical_or, "or"}};

static bool put_sign(Page *p, const Value *v) {
  static const char *const cmp[][2] = {{"lt", "<"},  {"le", "<="}, {"eq", "=="},
                                       {"ne", "!="}, {"gt", ">"},  {"ge", ">="}};
  const char *sign = NULL;
  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
    if (signs[i].op == v->op) sign = signs[i].sign;
  for (size_t i = 0; v->op == OP_compare && i < sizeof cmp / sizeof *cmp; i++)
    if (!strcmp(cmp[i][0], value_str(v, A_cmp))) sign = cmp[i][1];
  if (!sign) return false;
  put_val(p, v->args[0]);
  put(p, " %s ", sign);
  put_val(p, v->args[1]);
  return true;
}

static void put_call(Page *p, const Value *v) {
  static const char *const other[OP_COUNT] = {
      [OP_linear] = "affine", [OP_maximum] = "max", [OP_minimum] = "min", [OP_neg] = "-", [OP_logical_not] = "not "};
  const Attr *a = v->nattr ? &v->attr[0] : NULL;
  const char *name = other[v->op] ? other[v->op] : op_info[v->op].name;
  put(p, "%s(", name);
  put_vals(p, v, 0);
  if ((v->op == OP_linear || v->op == OP_matmul) && value_int(v, A_trans, 0)) put(p, ", transposed = true");
  if (v->op == OP_layer_norm || v->op == OP_l2_norm)
    put(p, ", eps = %s", number_text(p, DT_F32, value_float(v, A_eps, 0)));
  if (v->op == OP_cast) put(p, ", %s", dtype_info[v->type.dtype].name);
  if (v->op == OP_patchify) put(p, ", %lld", (long long)value_int(v, A_patch, 1));
  if (v->op == OP_top_k) put(p, ", %lld", (long long)value_int(v, A_count, 1));
  if (v->op == OP_concat) put(p, ", axis = %lld", (long long)value_int(v, A_axis, 0));
  if (v->op == OP_transpose) put(p, ", "), put_ints(p, a->v, a->nv);
  if (v->op == OP_reshape || v->op == OP_broadcast) put(p, ", "), put_dims(p, &v->type);
  const Attr *kernel = value_attr(v, A_kernel), *stride = value_attr(v, A_stride);
  if (kernel) put(p, ", "), put_ints(p, kernel->v, kernel->nv);
  if (stride) put(p, ", stride = "), put_ints(p, stride->v, stride->nv);
  if (value_attr(v, A_dilation)) put(p, ", dilation = "), put_ints(p, dilation_of(v), 2);
  put(p, ")");
}

static void put_value(Page *p, const Value *v) {
  if (put_block(p, v) || put_sign(p, v)) return;
  if (v->op == OP_slice) {
    put_slice(p, v);
  } else if (v->op == OP_attention) {
    put_attention(p, v);
  } else if (v->op == OP_iota) {
    put(p, "range(");
    put_dim(p, v->type.dim[0]);
    put(p, ")");
  } else if (v->op == OP_constant) {
    put(p, "fill(%s, ", value_float(v, A_value, 0) < 0 ? "-1 / 0.0" : "1 / 0.0");
    put_type(p, &v->type);
    put(p, ")");
  } else {
    put_call(p, v);
  }
}

/* which values have a line ------------------------------------------------------------------------------------------
 */
static void count_uses(Page *p) {
  const Graph *g = p->g;
  for (uint32_t i = 1; i < g->value.n; i++)
    for (uint32_t k = 0; k < g->value.at[i].nargs; k++) p->uses[g->value.at[i].args[k].id]++;
  for (size_t i = 0; i < g->output.n; i++) p->uses[g->output.at[i].val.id] += 2; // an output is no part of a block
}

// Weights and views that stand in the line of a block of std.
static void find_inside(Page *p) {
  const Graph *g = p->g;
  for (uint32_t i = 1; i < g->value.n; i++) {
    const Value *v = &g->value.at[i];
    p->line.n = 0;
    new_line(p, (Val){i});
    if ((v->op != OP_linear && v->op != OP_layer_norm) || !put_block(p, v)) continue;
    for (uint32_t k = 1; k < v->nargs; k++) p->inside[v->args[k].id] = true;
    const Value *w = at(p, v->args[1]);
    if (w->op == OP_reshape) p->inside[w->args[0].id] = p->inside[v->args[0].id] = true;
  }
  p->line.n = 0;
}

static void put_weight(Page *p, Val v) {
  const Value *w = at(p, v);
  p->done[v.id] = true;
  new_line(p, v)->weight = true;
  put(p, ": ");
  put_type(p, &w->type);
  put(p, "  @/");
  put_part(p, PART_PATH, value_str(w, A_name), NO_VAL);
}

static void make_lines(Page *p) {
  const Graph *g = p->g;
  for (uint32_t i = 1; i < g->value.n; i++) {
    const Value *v = &g->value.at[i];
    bool source =
        v->op == OP_weight || v->op == OP_input || (v->op == OP_constant && !isinf(value_float(v, A_value, 0)));
    if (v->dead || source || p->inside[i]) continue;
    for (uint32_t k = 0; k < v->nargs; k++) {
      Val a = v->args[k];
      if (at(p, a)->op == OP_weight && !p->inside[a.id] && !p->done[a.id]) put_weight(p, a);
    }
    new_line(p, (Val){i});
    put_value(p, v);
  }
  for (size_t i = 0; i < g->output.n; i++) {
    Val v = g->output.at[i].val;
    if (at(p, v)->op == OP_weight && !p->done[v.id]) put_weight(p, v);
  }
}

/* text ------------------------------------------------------------------------------------------------------------- */
static void print_val(Page *p, Val v, Buf *out) {
  buf_puts(out, p->name[v.id] ? p->name[v.id] : value_str(at(p, v), A_name));
}

static void print_line(Page *p, const Line *l, int depth, const Loop *loop, Buf *out) {
  buf_printf(out, "%*s%s ", 2 * depth, "", l->weight ? "weight" : "let");
  print_val(p, l->v, out);
  buf_puts(out, l->weight ? "" : " = ");
  for (size_t i = 0; i < l->part.n; i++) {
    const Part *x = &l->part.at[i];
    if (x->kind == PART_VAL)
      print_val(p, x->v, out);
    else if (x->kind == PART_PATH && loop)
      loop_path(loop, x->text, out);
    else
      buf_puts(out, x->text);
  }
  buf_putc(out, '\n');
}

static void name_values(Page *p) {
  const char *letter = "x";
  for (size_t i = 0; i < p->g->input.n; i++) // x1 and the like may be inputs
    if (!strncmp(p->g->input.at[i].name, letter, strlen(letter)))
      letter = arena_printf(p->arena, "%s_", letter), i = (size_t)-1;
  for (size_t i = 0, n = 0, w = 0; i < p->line.n; i++)
    p->name[p->line.at[i].v.id] = p->line.at[i].weight ? arena_printf(p->arena, "%s_w%zu", letter, ++w)
                                                       : arena_printf(p->arena, "%s%zu", letter, ++n);
}

static void print_lines(Page *p, Buf *out) {
  for (size_t i = 0; i < p->line.n;) {
    Loop loop = {.p = p};
    if (!loop_find(p, i, &loop)) {
      print_line(p, &p->line.at[i++], 2, NULL, out);
      continue;
    }
    const char *carry = arena_printf(p->arena, "%s_layer", p->name[p->line.at[i].v.id]);
    size_t last = i + loop.period - 1;
    const char *entry = p->name[loop.entry.id];
    buf_printf(out, "    let %s = ", carry);
    print_val(p, loop.entry, out);
    buf_printf(out, "\n    repeat i in %zu {\n", loop.count);
    p->name[loop.entry.id] = carry;
    p->name[p->line.at[last].v.id] = carry;
    for (size_t k = i; k <= last; k++) print_line(p, &p->line.at[k], 3, &loop, out);
    buf_puts(out, "    }\n");
    p->name[loop.entry.id] = entry;
    i += loop.period * loop.count;
    p->name[p->line.at[i - 1].v.id] = carry;
  }
}

static void print_type(const Module *m, const Type *t, Buf *out) {
  buf_puts(out, dtype_info[t->dtype].name);
  for (int i = 0; i < t->rank; i++) {
    Dim d = t->dim[i];
    buf_puts(out, i ? ", " : "[");
    if (!d.k) buf_printf(out, "%lld", (long long)d.c);
    if (d.k && d.k != 1) buf_printf(out, "%d * ", (int)d.k);
    if (d.k) buf_puts(out, m->dim[d.sym].name);
    if (d.k && d.c) buf_printf(out, " %c %lld", d.c < 0 ? '-' : '+', (long long)(d.c < 0 ? -d.c : d.c));
  }
  if (t->rank) buf_putc(out, ']');
}

void onnx_page(const Graph *g, const char *about, Buf *out) {
  Arena a = {0};
  const Module *m = g->module;
  Page p = {.arena = &a, .g = g};
  p.uses = ARENA_ARRAY(&a, uint32_t, g->value.n);
  p.inside = ARENA_ARRAY(&a, bool, g->value.n);
  p.done = ARENA_ARRAY(&a, bool, g->value.n);
  p.name = ARENA_ARRAY(&a, const char *, g->value.n);
  count_uses(&p);
  find_inside(&p);
  make_lines(&p);
  p.row = ARENA_ARRAY(&a, uint32_t, g->value.n);
  for (size_t i = 0; i < p.line.n; i++) p.row[p.line.at[i].v.id] = (uint32_t)i + 1;
  name_values(&p);
  buf_puts(out, "# Made by syc import of an ONNX model");
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._- "; // of a comment
  size_t letters = about ? strspn(about, plain) : 0;
  if (letters) buf_printf(out, " that %.*s wrote", (int)(letters < 60 ? letters : 60), about);
  buf_printf(out, ".\nuse std\n\nmodel %s() {\n", m->name);
  for (size_t i = 0; i < m->ndim; i++)
    buf_printf(out, "  dim %s = %lld..%lld\n", m->dim[i].name, (long long)m->dim[i].lo, (long long)m->dim[i].hi);
  buf_printf(out, "\n  route %s(", g->name);
  for (size_t i = 0; i < g->input.n; i++) {
    buf_printf(out, "%s%s: ", i ? ", " : "", g->input.at[i].name);
    print_type(m, &graph_value(g, g->input.at[i].val)->type, out);
  }
  buf_puts(out, ") -> ");
  for (size_t i = 0; i < g->output.n; i++) {
    buf_printf(out, "%s%s: ", i ? ", " : "", g->output.at[i].name);
    print_type(m, &graph_value(g, g->output.at[i].val)->type, out);
  }
  buf_puts(out, " {\n");
  print_lines(&p, out);
  buf_puts(out, "    return ");
  for (size_t i = 0; i < g->output.n; i++) {
    Val v = g->output.at[i].val;
    const Value *x = graph_value(g, v);
    if (i) buf_puts(out, ", ");
    if (x->op == OP_constant) {
      p.line.n = 0;
      new_line(&p, v);
      put(&p, "fill(%s, ", number_text(&p, x->type.dtype, value_float(x, A_value, 0)));
      put_type(&p, &x->type);
      put(&p, ")");
      for (size_t k = 0; k < p.line.at[0].part.n; k++) buf_puts(out, p.line.at[0].part.at[k].text);
    } else {
      print_val(&p, v, out);
    }
  }
  buf_puts(out, "\n  }\n}\n");
  arena_free(&a);
}
