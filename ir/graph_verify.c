// graph_verify.c: checks every invariant of graph.h. Run after every pass; a violation is a bug of the pass, which the
// pass driver reports as an internal error with the text found here.
//
// Checked per value: operands alive and above it, attributes allowed, sorted and complete, type well-formed and equal
// to what the shape rule gives, pitch and place sensible, alias free of cycles and inside its target. Per graph:
// outputs and inputs exist, names unique, sources of one name once. Runs in time linear in the graph (names of inputs
// and outputs are sorted).
#include "graph.h"
#include "op/op.h"

#include <stdlib.h>
#include <string.h>

static bool wrong(const Graph *g, uint32_t id, const char **why, const char *what) {
  const Value *v = &g->value.at[id];
  *why = arena_printf(g->module->arena, "@%s: %%%u = %s: %s", g->name, id, v->op < OP_COUNT ? op_info[v->op].name : "?",
                      what);
  return false;
}

static const char *check_operands(const Graph *g, uint32_t id) {
  const Value *v = &g->value.at[id];
  if (v->op <= OP_none || v->op >= OP_COUNT) return "unknown operator";
  if (!op_takes(v->op, v->nargs)) return "wrong number of operands";
  for (uint32_t i = 0; i < v->nargs; i++) {
    if (!v->args[i].id || v->args[i].id >= g->value.n) return "an operand does not exist";
    if (g->value.at[v->args[i].id].dead) return "an operand was erased";
    if (v->args[i].id >= id) return "an operand does not stand above its user";
  }
  return NULL;
}

static const char *check_attrs(const Value *v) {
  uint64_t seen = 0;
  for (uint32_t i = 0; i < v->nattr; i++) {
    const Attr *a = &v->attr[i];
    if (a->key >= ATTR_COUNT || !(op_info[v->op].attrs >> a->key & 1)) return "an attribute is not allowed here";
    if (i && v->attr[i - 1].key >= a->key) return "attributes are not sorted";
    if (attr_info[a->key].kind == AK_STR && !a->s) return "a text attribute is NULL";
    seen |= 1ull << a->key;
  }
  return op_info[v->op].required & ~seen ? "a required attribute is missing" : NULL;
}

static const char *check_type(const Graph *g, const Value *v) {
  const char *why = type_problem(g->module, &v->type);
  Type want;
  if (why) return why;
  if (!op_infer(g, v, &v->type, &why, &want)) return why;
  if (type_equal(&want, &v->type)) return NULL;
  Buf b = {0};
  buf_puts(&b, "has type ");
  type_print(&b, g->module, &v->type);
  buf_puts(&b, ", its operands give ");
  type_print(&b, g->module, &want);
  why = arena_strdup(g->module->arena, b.s);
  buf_free(&b);
  return why;
}

// Elements of the storage of v, pitch included.
static int64_t storage(const Module *m, const Value *v) {
  int64_t n = type_elements(m, &v->type), last = v->type.rank ? type_extent(m, &v->type, v->type.rank - 1) : 1;
  if (!v->pitch || last < 1) return n;
  return __builtin_mul_overflow(n / last, v->pitch, &n) ? INT64_MAX : n;
}

static const char *check_alias(const Graph *g, const Value *v) {
  if (!v->alias.id) return v->alias_offset ? "an alias offset without alias" : NULL;
  if (v->alias.id < g->value.n && g->value.at[v->alias.id].op != OP_concat) return "only a concat has parts inside";
  const Value *x = v;
  int64_t at = 0;
  for (int depth = 0; x->alias.id; depth++) {
    if (x->alias_offset < 0 || __builtin_add_overflow(at, x->alias_offset, &at))
      return "the alias offset is outside its target";
    if (x->alias.id >= g->value.n) return "the alias does not exist";
    x = &g->value.at[x->alias.id];
    if (x->dead) return "the alias was erased";
    if (depth == ALIAS_DEPTH) return "aliases form a cycle";
  }
  // offsets count in strides of the outermost storage, in which an inner concat's rows may lie far apart
  if (at >= storage(g->module, x)) return "the alias offset is outside its target";
  x = &g->value.at[v->alias.id];
  return v->type.dtype != x->type.dtype ? "the alias has another element type" : NULL;
}

static const char *check_place(const Graph *g, const Value *v) {
  const Module *m = g->module;
  if (v->group >= g->value.n) return "the number of its group is larger than the number of values";
  int64_t last = v->type.rank ? type_extent(m, &v->type, v->type.rank - 1) : 1;
  if (v->pitch && (v->pitch < last || v->pitch > INT32_MAX)) return "the pitch is less than a row, or huge";
  if (v->pitch && v->op == OP_input) return "an input is padded";
  if (v->place.offset < 0) return "the offset of the place is negative";
  if (v->place.offset % (int64_t)dtype_info[v->type.dtype].bytes) return "the place is not aligned to an element";
  switch (v->place.kind) {
  case PLACE_NONE: return v->place.index || v->place.offset ? "a place without kind has numbers" : NULL;
  case PLACE_ARENA: return v->place.index ? "a place in the arena has an index" : NULL;
  case PLACE_INPUT: return v->place.index >= g->input.n ? "placed in an input that does not exist" : NULL;
  case PLACE_OUTPUT: return v->place.index >= g->output.n ? "placed in an output that does not exist" : NULL;
  case PLACE_WEIGHT: return NULL;
  case PLACE_ALIAS: return v->alias.id ? NULL : "placed in an alias that is not set";
  default: return "unknown kind of place";
  }
}

static const char *name_problem(const Graph *g, const Port *x, bool input) {
  uint32_t id = x->val.id;
  if (!id || id >= g->value.n || g->value.at[id].dead) return "does not exist";
  if (input && g->value.at[id].op != OP_input) return "is no input operator";
  return !input && g->value.at[id].pitch ? "is padded" : NULL;
}

// A weight may have an output of each role: what it becomes, and its gradient.
static int by_name(const void *a, const void *b) {
  const Port *x = *(const Port *const *)a, *y = *(const Port *const *)b;
  int order = strcmp(x->name, y->name);
  return order ? order : (int)x->role - (int)y->role;
}

// A name that is there twice, or NULL.
static const char *repeated_name(const Port *list, size_t n) {
  const Port **sorted = malloc((n + 1) * sizeof *sorted);
  if (!sorted) out_of_memory((n + 1) * sizeof *sorted);
  for (size_t i = 0; i < n; i++) sorted[i] = &list[i];
  if (n) qsort(sorted, n, sizeof *sorted, by_name);
  const char *twice = NULL;
  for (size_t i = 1; i < n && !twice; i++)
    if (!by_name(&sorted[i - 1], &sorted[i])) twice = sorted[i]->name;
  free(sorted);
  return twice;
}

static bool check_names(const Graph *g, const Port *list, size_t n, bool input, const char **why) {
  const char *name = NULL, *wrong_how = NULL;
  for (size_t i = 0; i < n && !wrong_how; i++) wrong_how = name_problem(g, &list[i], input), name = list[i].name;
  if (!wrong_how && (name = repeated_name(list, n))) wrong_how = "is there twice";
  if (!wrong_how) return true;
  *why = arena_printf(g->module->arena, "@%s: the %s \"%s\" %s", g->name, input ? "input" : "output", name, wrong_how);
  return false;
}

static const char *check_changes(const Graph *g) {
  for (size_t i = 0; i < g->output.n; i++) {
    uint32_t id = g->output.at[i].state.id;
    bool state = id < g->value.n && !g->value.at[id].dead && g->value.at[id].op == OP_state;
    if (id && (!state || graph_state_port(g, (Val){id}) != &g->output.at[i]))
      return arena_printf(g->module->arena, "@%s: the output \"%s\" changes %s", g->name, g->output.at[i].name,
                          state ? "a state that another one changes" : "something that is no state");
  }
  return NULL;
}

bool graph_verify(const Graph *g, const char **why) {
  size_t inputs = 0;
  for (uint32_t id = 1; id < g->value.n; id++) {
    const Value *v = &g->value.at[id];
    if (v->dead) continue;
    const char *bad = check_operands(g, id);
    if (!bad) bad = check_attrs(v);
    if (!bad) bad = check_type(g, v);
    if (!bad) bad = check_alias(g, v);
    if (!bad) bad = check_place(g, v);
    if (!bad && v->op == OP_resize_table && graph_residency(g, v->args[0]) != RES_const)
      bad = "a table that is resized depends on weights alone, and on none that is trained";
    if (bad) return wrong(g, id, why, bad);
    inputs += v->op == OP_input;
  }
  if (inputs != g->input.n) {
    *why =
        arena_printf(g->module->arena, "@%s: %zu input operators but %zu inputs listed", g->name, inputs, g->input.n);
    return false;
  }
  if (!check_names(g, g->input.at, g->input.n, true, why) || !check_names(g, g->output.at, g->output.n, false, why))
    return false;
  const char *bad = check_changes(g);
  if (!bad) bad = effects_problem(g);
  if (!bad) bad = ports_problem(g);
  if (bad) *why = bad;
  return !bad;
}

// A state or kept port without a generate has no counterpart.
static bool in_generate(const Module *m, const Graph *g) {
  for (size_t i = 0; i < m->generate.n; i++)
    if (m->generate.at[i].start == g || m->generate.at[i].step == g) return true;
  return false;
}

static const char *stray_pair(const Graph *g) {
  for (size_t i = 0; i < g->input.n + g->output.n; i++) {
    const Port *p = i < g->input.n ? &g->input.at[i] : &g->output.at[i - g->input.n];
    if (role_info[p->role].pair != PAIR_NONE)
      return arena_printf(g->module->arena, "@%s: \"%s\" has a counterpart, and its route belongs to no generate",
                          g->name, p->name);
  }
  return NULL;
}

bool generates_verify(const Module *m, const char **why) {
  const char *bad = NULL;
  for (size_t i = 0; i < m->generate.n && !bad; i++) bad = generate_problem(m, &m->generate.at[i]);
  for (size_t i = 0; i < m->graph.n && !bad; i++)
    if (!in_generate(m, m->graph.at[i])) bad = stray_pair(m->graph.at[i]);
  if (bad) *why = bad;
  return !bad;
}

static int by_weight(const void *a, const void *b) {
  const Value *x = *(const Value *const *)a, *y = *(const Value *const *)b;
  int order = strcmp(value_str(x, A_name), value_str(y, A_name));
  return order ? order : (int)(value_int(x, A_trained, 0) - value_int(y, A_trained, 0));
}

bool weights_verify(const Module *m, const char **why) {
  VEC(const Value *) list = {0};
  Arena a = {0};
  for (size_t i = 0; i < m->graph.n; i++)
    for (size_t id = 1; id < m->graph.at[i]->value.n; id++) {
      const Value *v = &m->graph.at[i]->value.at[id];
      if (v->op == OP_weight && !v->dead) VEC_PUSH(&a, list, v);
    }
  if (list.n) qsort(list.at, list.n, sizeof *list.at, by_weight);
  const char *both = NULL;
  for (size_t i = 1; i < list.n && !both; i++) {
    const char *name = value_str(list.at[i], A_name);
    if (by_weight(&list.at[i - 1], &list.at[i]) && !strcmp(name, value_str(list.at[i - 1], A_name))) both = name;
  }
  if (both) *why = arena_printf(m->arena, "the weight \"%s\" is trained in one place and not in another", both);
  arena_free(&a);
  return !both;
}

bool module_verify(const Module *m, const char **why) {
  for (size_t i = 0; i < m->graph.n; i++)
    if (!graph_verify(m->graph.at[i], why)) return false;
  return weights_verify(m, why) && generates_verify(m, why);
}
