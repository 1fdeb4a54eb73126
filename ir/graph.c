// graph.c: the operator and attribute tables, building and rewriting graphs.
//
// graph_add goes: operand count and attributes (a mistake there is ours: ICE) -> shape rule (a mistake there is the
// author's: diagnostic) -> folder -> hash table of equal pure values -> append. Weights are in the table too, so one
// name is one value. An operand that is NO_VAL (its own construction failed) makes the result NO_VAL silently.
//
// The hash table holds value ids. Rewriting changes values behind its back, so a hit is compared in full, and an id
// that is no longer where its hash says is at worst a missed sharing; graph_compact builds the table anew.
// Values only move in graph_compact; until then ids stay, erased values carry `dead`.
#include "graph.h"
#include "graph_index.h"
#include "op/op.h"

#include <stdlib.h>
#include <string.h>

#define ATTR(name_, kind_, doc_) [A_##name_] = {#name_, kind_, doc_},
const AttrInfo attr_info[ATTR_COUNT] = {
#include "attrs.def"
};
#undef ATTR

const OpInfo op_info[OP_COUNT] = {
    [OP_none] = {"none", 0, 0, 0, 0, "", "no operation"},
#define GOP(name_, nargs_, required_, optional_, flags_, shaperule_, folder_, back_, emit_, call_, doc_)               \
  [OP_##name_] = {#name_, nargs_, (required_) | (optional_), required_, flags_, call_, doc_},
#include "ops.def"
#undef GOP
};

const OpHooks op_hooks[OP_COUNT] = {
#define GOP(name_, nargs_, required_, optional_, flags_, shaperule_, folder_, back_, emit_, call_, doc_)               \
  [OP_##name_] = {shape_##shaperule_, fold_##folder_, ref_##name_, grad_##back_},
#include "ops.def"
#undef GOP
};

Op op_by_name(const char *name) {
  for (int op = OP_none + 1; op < OP_COUNT; op++)
    if (!strcmp(op_info[op].name, name)) return (Op)op;
  return OP_none;
}

Val fold_none(Graph *g, const Value *v) {
  (void)g, (void)v;
  return NO_VAL;
}

Attr attr_int(AttrKey k, int64_t i) {
  return (Attr){.key = k, .i = i};
}
Attr attr_float(AttrKey k, double f) {
  return (Attr){.key = k, .f = f};
}
Attr attr_str(AttrKey k, const char *s) {
  return (Attr){.key = k, .s = s};
}
Attr attr_ints(AttrKey k, const int64_t *v, size_t n) {
  return (Attr){.key = k, .v = v, .nv = n};
}

Value *graph_value(const Graph *g, Val v) {
  CHECK(v.id > 0 && v.id < g->value.n);
  return &g->value.at[v.id];
}

Span value_place(const Value *v) {
  return v->text.file ? v->text : v->span;
}

const Attr *value_attr(const Value *v, AttrKey key) {
  for (uint32_t i = 0; i < v->nattr; i++)
    if (v->attr[i].key == key) return &v->attr[i];
  return NULL;
}

int64_t value_int(const Value *v, AttrKey key, int64_t absent) {
  const Attr *a = value_attr(v, key);
  return a ? a->i : absent;
}

double value_float(const Value *v, AttrKey key, double absent) {
  const Attr *a = value_attr(v, key);
  return a ? a->f : absent;
}

const char *value_str(const Value *v, AttrKey key) {
  const Attr *a = value_attr(v, key);
  return a ? a->s : NULL;
}

/* Hash table of equal values ------------------------------------------------------------------------------------------
 */

struct GraphCons {
  uint32_t *slot; // value ids, 0 = empty; open addressing, size a power of two
  size_t nslot, used;
};

static uint64_t hash_u64(uint64_t x, uint64_t seed) {
  return hash_bytes(&x, sizeof x, seed);
}

static uint64_t hash_dim(Dim d, uint64_t h) {
  return hash_u64((uint64_t)d.c ^ (d.k ? ((uint64_t)(uint32_t)d.k << 40 ^ (uint64_t)(uint32_t)d.sym << 20) : 0), h);
}

static uint64_t hash_type(const Type *t, uint64_t h) {
  h = hash_u64((uint64_t)t->dtype << 16 | (uint64_t)t->rank << 8 | t->nseg, h);
  for (int i = 0; i < t->rank; i++) h = hash_dim(t->dim[i], h);
  for (int i = 0; i < t->nseg; i++) h = hash_dim(t->seg[i].len, h ^ (uint64_t)t->seg[i].modality);
  return h;
}

static uint64_t hash_attr(const Attr *a, uint64_t h) {
  h = hash_u64((uint64_t)a->key << 8 ^ a->nv, h ^ (uint64_t)a->i);
  h = hash_bytes(&a->f, sizeof a->f, h);
  if (a->s) h = hash_bytes(a->s, strlen(a->s), h);
  return a->nv ? hash_bytes(a->v, a->nv * sizeof *a->v, h) : h;
}

static uint64_t hash_value(const Value *v) {
  uint64_t h = hash_u64(v->op, 0), args = 0;
  bool commutes = op_info[v->op].flags & F_COMMUTATIVE;
  for (uint32_t i = 0; i < v->nargs; i++) args += hash_u64(v->args[i].id, commutes ? 0 : i + 1);
  h = hash_u64(args, h);
  for (uint32_t i = 0; i < v->nattr; i++) h = hash_attr(&v->attr[i], h);
  return v->op == OP_weight ? h : hash_type(&v->type, h); // a weight is found by its name alone
}

static bool attr_equal(const Attr *a, const Attr *b) {
  if (a->key != b->key || a->i != b->i || a->nv != b->nv || memcmp(&a->f, &b->f, sizeof a->f)) return false;
  if (!a->s != !b->s || (a->s && strcmp(a->s, b->s))) return false;
  return !a->nv || !memcmp(a->v, b->v, a->nv * sizeof *a->v);
}

bool value_same(const Value *a, const Value *b) {
  if (a->op != b->op || a->nargs != b->nargs || a->nattr != b->nattr) return false;
  bool equal = true;
  for (uint32_t i = 0; i < a->nargs && equal; i++) equal = a->args[i].id == b->args[i].id;
  if (!equal && (op_info[a->op].flags & F_COMMUTATIVE) && a->nargs == 2)
    equal = a->args[0].id == b->args[1].id && a->args[1].id == b->args[0].id;
  for (uint32_t i = 0; i < a->nattr && equal; i++) equal = attr_equal(&a->attr[i], &b->attr[i]);
  return equal && (a->op == OP_weight || type_equal(&a->type, &b->type));
}

static bool is_shared(Op op) {
  return (op_info[op].flags & F_PURE) || op == OP_weight;
}

static uint32_t cons_find(const Graph *g, const Value *v) {
  const struct GraphCons *c = g->cons;
  if (!c->nslot) return 0;
  for (size_t i = (size_t)hash_value(v) & (c->nslot - 1); c->slot[i]; i = (i + 1) & (c->nslot - 1))
    if (!g->value.at[c->slot[i]].dead && value_same(v, &g->value.at[c->slot[i]])) return c->slot[i];
  return 0;
}

static void cons_put(struct GraphCons *c, uint64_t hash, uint32_t id) {
  size_t i = (size_t)hash & (c->nslot - 1);
  while (c->slot[i] && c->slot[i] != id) i = (i + 1) & (c->nslot - 1);
  if (!c->slot[i]) c->used++;
  c->slot[i] = id;
}

static void cons_add(Graph *g, uint32_t id) {
  struct GraphCons *c = g->cons;
  if (2 * (c->used + 1) > c->nslot) {
    c->nslot = c->nslot ? 2 * c->nslot : 256;
    while (c->nslot < 2 * g->value.n) c->nslot *= 2;
    c->slot = ARENA_ARRAY(g->module->arena, uint32_t, c->nslot);
    c->used = 0;
    for (uint32_t i = 1; i < g->value.n; i++)
      if (!g->value.at[i].dead && is_shared(g->value.at[i].op) && !cons_find(g, &g->value.at[i]))
        cons_put(c, hash_value(&g->value.at[i]), i);
  }
  if (!cons_find(g, &g->value.at[id])) cons_put(c, hash_value(&g->value.at[id]), id);
}

/* Building
 * ------------------------------------------------------------------------------------------------------------- */

Module *module_new(Arena *a, Intern *names, Diag *diag, const char *name) {
  Module *m = ARENA_NEW(a, Module);
  m->arena = a;
  m->names = names;
  m->diag = diag;
  m->name = intern(names, name);
  return m;
}

Graph *graph_new(Module *m, const char *name) {
  Graph *g = ARENA_NEW(m->arena, Graph);
  g->name = intern(m->names, name);
  g->module = m;
  g->cons = ARENA_NEW(m->arena, struct GraphCons);
  g->index = graph_index_new(m->arena);
  VEC_PUSH(m->arena, g->value, (Value){.dead = true});
  VEC_PUSH(m->arena, m->graph, g);
  return g;
}

// Copies attributes sorted by key; what the operator does not allow is a bug of the caller.
static Attr *copy_attrs(Graph *g, Op op, const Attr *attrs, size_t n) {
  if (!n) return NULL;
  Attr *out = ARENA_ARRAY(g->module->arena, Attr, n);
  for (size_t i = 0; i < n; i++) {
    Attr a = attrs[i];
    if (a.key >= ATTR_COUNT || !(op_info[op].attrs >> a.key & 1))
      ICE("%s does not allow the attribute %s", op_info[op].name, a.key < ATTR_COUNT ? attr_info[a.key].name : "?");
    if (a.s) a.s = intern(g->module->names, a.s);
    if (attr_info[a.key].kind == AK_STR && !a.s)
      ICE("%s: attribute %s is NULL", op_info[op].name, attr_info[a.key].name);
    if (a.nv) a.v = arena_grow(g->module->arena, a.v, a.nv * sizeof *a.v, a.nv * sizeof *a.v);
    size_t j = i;
    for (; j > 0 && out[j - 1].key > a.key; j--) out[j] = out[j - 1];
    if (j > 0 && out[j - 1].key == a.key) ICE("%s: attribute %s given twice", op_info[op].name, attr_info[a.key].name);
    out[j] = a;
  }
  return out;
}

bool op_infer(const Graph *g, const Value *v, const Type *declared, const char **why_not, Type *out) {
  Diagnostic *said = NULL;
  ShapeCtx c = {.g = g,
                .op = v->op,
                .span = v->span,
                .nargs = v->nargs,
                .args = v->args,
                .attr = v->attr,
                .nattr = v->nattr,
                .declared = declared,
                .why = why_not,
                .said = &said};
  for (int k = 0; k < ATTR_COUNT; k++)
    if ((op_info[v->op].required >> k & 1) && !shape_attr(&c, (AttrKey)k))
      return shape_error(&c, "E0212", "needs the attribute %s", attr_info[k].name);
  if (op_info[v->op].nargs < 0 && !c.nargs) return shape_error(&c, "E0201", "takes at least one operand");
  if (!op_hooks[v->op].shape(&c, out)) return false;
  const char *why = type_problem(g->module, out);
  return !why || shape_error(&c, "E0213", "the result cannot be built: %s", why);
}

static Val add(Graph *g, Op op, const Val *args, size_t nargs, const Attr *attrs, size_t nattrs, const Type *t,
               Span span, bool exact) {
  CHECK(op > OP_none && op < OP_COUNT);
  if (!op_takes(op, nargs)) ICE("%s takes %d operands, has %zu", op_info[op].name, op_info[op].nargs, nargs);
  for (size_t i = 0; i < nargs; i++) {
    if (!args[i].id) return NO_VAL;
    if (graph_value(g, args[i])->dead) ICE("%s: operand %zu was erased", op_info[op].name, i + 1);
  }
  Arena *a = g->module->arena;
  Value v = {.op = op, .nargs = (uint32_t)nargs, .nattr = (uint32_t)nattrs, .span = span};
  if (nargs) v.args = arena_grow(a, args, nargs * sizeof *args, nargs * sizeof *args);
  v.attr = copy_attrs(g, op, attrs, nattrs);
  const char *why = NULL;
  if (!op_infer(g, &v, t, g->trial ? &why : NULL, &v.type)) return NO_VAL;
  if (!exact) {
    Val folded = op_hooks[op].fold(g, &v);
    if (folded.id) return folded;
  }
  uint32_t known = is_shared(op) ? cons_find(g, &v) : 0;
  if (known && op == OP_weight && !type_equal(&v.type, &g->value.at[known].type)) {
    Buf was = {0}, is = {0};
    type_print(&was, g->module, &g->value.at[known].type);
    type_print(&is, g->module, &v.type);
    Diagnostic *d = diag_error(g->module->diag, "E0211", span, "weight \"%s\" is used as %s here and as %s before",
                               v.attr[0].s, is.s, was.s);
    diag_note(g->module->diag, d, g->value.at[known].span, "first used here");
    buf_free(&was);
    buf_free(&is);
    return NO_VAL;
  }
  if (known && !exact) return (Val){known};
  uint32_t id = (uint32_t)g->value.n;
  CHECK(g->value.n < UINT32_MAX);
  VEC_PUSH(a, g->value, v);
  if (is_shared(op)) cons_add(g, id);
  return (Val){id};
}

Val graph_add(Graph *g, Op op, const Val *args, size_t nargs, const Attr *attrs, size_t nattrs, Span span) {
  return add(g, op, args, nargs, attrs, nattrs, NULL, span, false);
}

Val graph_add_typed(Graph *g, Op op, const Val *args, size_t nargs, const Attr *attrs, size_t nattrs, const Type *t,
                    Span span) {
  return add(g, op, args, nargs, attrs, nattrs, t, span, false);
}

Val graph_add_exact(Graph *g, Op op, const Val *args, size_t nargs, const Attr *attrs, size_t nattrs, const Type *t,
                    Span span) {
  Val v = add(g, op, args, nargs, attrs, nattrs, t, span, true);
  if (v.id && op == OP_input) {
    Port in = {.name = value_str(graph_value(g, v), A_name), .val = v, .span = span};
    VEC_PUSH(g->module->arena, g->input, in);
  }
  return v;
}

Val graph_input(Graph *g, const char *name, const Type *t, Span span) {
  for (size_t i = 0; i < g->input.n; i++)
    if (!strcmp(g->input.at[i].name, name)) {
      Diagnostic *d = diag_error(g->module->diag, "E0211", span, "route %s already has an input %s", g->name, name);
      diag_note(g->module->diag, d, g->input.at[i].span, "first declared here");
      return NO_VAL;
    }
  Attr a = attr_str(A_name, name);
  return graph_add_exact(g, OP_input, NULL, 0, &a, 1, t, span);
}

Val graph_weight(Graph *g, const char *name, const Type *t, Span span) {
  Attr a = attr_str(A_name, name);
  return add(g, OP_weight, NULL, 0, &a, 1, t, span, false);
}

Val graph_scalar(Graph *g, double v, Span span) {
  Attr a = attr_float(A_value, v);
  Type t = {.dtype = DT_F32};
  return add(g, OP_constant, NULL, 0, &a, 1, &t, span, false);
}

void graph_output(Graph *g, const char *name, Val v, Span span) {
  if (!v.id) return;
  for (size_t i = 0; i < g->output.n; i++)
    if (!strcmp(g->output.at[i].name, name) && g->output.at[i].role != ROLE_next &&
        g->output.at[i].role != ROLE_gradient) {
      Diagnostic *d = diag_error(g->module->diag, "E0211", span, "route %s already has an output %s", g->name, name);
      diag_note(g->module->diag, d, g->output.at[i].span, "first returned here");
      return;
    }
  graph_value(g, v);
  Port out = {.name = intern(g->module->names, name), .val = v, .span = span};
  VEC_PUSH(g->module->arena, g->output, out);
}

/* Rewriting
 * ------------------------------------------------------------------------------------------------------------ */

// Marks what the outputs and inputs stand on. Iterative, so that deep graphs do not eat the stack.
static bool *mark_needed(const Graph *g) {
  bool *seen = calloc(g->value.n, sizeof *seen);
  uint32_t *stack = malloc(sizeof *stack * g->value.n);
  if (!seen || !stack) out_of_memory(g->value.n * sizeof *stack);
  size_t n = 0;
  for (size_t i = 0; i < g->output.n; i++) {
    uint32_t id = g->output.at[i].val.id;
    if (!seen[id]) stack[n++] = id, seen[id] = true;
  }
  while (n) {
    const Value *x = &g->value.at[stack[--n]];
    for (uint32_t i = 0; i < x->nargs; i++)
      if (!seen[x->args[i].id]) stack[n++] = x->args[i].id, seen[x->args[i].id] = true;
  }
  for (size_t i = 0; i < g->input.n; i++) seen[g->input.at[i].val.id] = true; // the signature stays
  for (size_t i = 0; i < g->output.n; i++) seen[g->output.at[i].state.id] = true;
  free(stack);
  return seen;
}

// Uses of `old` that `with` itself stands on stay, so that  y = f(old); graph_replace(old, y)  makes no cycle.
void graph_replace(Graph *g, Val old, Val with) {
  CHECK(type_equal(&graph_value(g, old)->type, &graph_value(g, with)->type));
  if (old.id == with.id) return;
  size_t n;
  const uint32_t *user = graph_index_replace(g, old.id, with.id, &n);
  for (size_t i = 0; i < n; i++) {
    const Value *v = &g->value.at[user[i]];
    if (!v->dead && is_shared(v->op)) cons_add(g, user[i]);
  }
  for (size_t i = 0; i < g->output.n; i++)
    if (g->output.at[i].val.id == old.id) g->output.at[i].val = with;
}

Uses graph_uses(const Graph *g, Arena *scratch) {
  size_t n = g->value.n;
  Uses u = {ARENA_ARRAY(scratch, uint32_t, n + 2), NULL};
  for (size_t id = 1; id < n; id++)
    for (uint32_t i = 0; i < g->value.at[id].nargs && !g->value.at[id].dead; i++)
      u.start[g->value.at[id].args[i].id + 2]++;
  for (size_t i = 0; i < g->output.n; i++) u.start[g->output.at[i].val.id + 2]++;
  for (size_t id = 2; id < n + 2; id++) u.start[id] += u.start[id - 1];
  u.user = ARENA_ARRAY(scratch, uint32_t, u.start[n + 1] + 1);
  for (size_t id = 1; id < n; id++) // start[v + 1] runs from the begin to the end of v's uses
    for (uint32_t i = 0; i < g->value.at[id].nargs && !g->value.at[id].dead; i++)
      u.user[u.start[g->value.at[id].args[i].id + 1]++] = (uint32_t)id;
  for (size_t i = 0; i < g->output.n; i++) u.user[u.start[g->output.at[i].val.id + 1]++] = UINT32_MAX;
  return u;
}

size_t graph_dce(Graph *g) {
  bool *need = mark_needed(g);
  size_t erased = 0;
  for (size_t id = 1; id < g->value.n; id++)
    if (!need[id] && !g->value.at[id].dead) g->value.at[id].dead = true, erased++;
  free(need);
  return erased;
}

static const uint32_t NOT_SEEN = 0, OPEN = UINT32_MAX;

// Appends v after its operands to `order`; number[] holds the new ids. Iterative depth-first walk.
static void order_value(const Graph *g, uint32_t v, uint32_t *number, uint32_t *next_arg, uint32_t *stack,
                        uint32_t *order, uint32_t *count) {
  size_t n = 0;
  stack[n++] = v;
  number[v] = OPEN;
  while (n) {
    uint32_t id = stack[n - 1];
    const Value *x = &g->value.at[id];
    if (x->dead) ICE("@%s: erased value %%%u is still used", g->name, id);
    if (next_arg[id] < x->nargs) {
      uint32_t arg = x->args[next_arg[id]++].id;
      if (number[arg] == OPEN) ICE("@%s: value %%%u depends on itself", g->name, arg);
      if (number[arg] == NOT_SEEN) number[arg] = OPEN, stack[n++] = arg;
      continue;
    }
    order[++*count] = id;
    number[id] = *count;
    n--;
  }
}

// Leaves the values order[1 .. count], which number[] numbers so.
static void renumber(Graph *g, const uint32_t *order, const uint32_t *number, uint32_t count) {
  Value *value = ARENA_ARRAY(g->module->arena, Value, (size_t)count + 1);
  value[0] = g->value.at[0];
  for (uint32_t i = 1; i <= count; i++) {
    value[i] = g->value.at[order[i]];
    for (uint32_t j = 0; j < value[i].nargs; j++) value[i].args[j].id = number[value[i].args[j].id];
    if (!value[i].alias.id) continue;
    value[i].alias.id = number[value[i].alias.id];
    if (value[i].alias.id) continue;
    value[i].alias_offset = 0; // the concat it was stored in is dead: it has no place any more
    if (value[i].place.kind == PLACE_ALIAS) value[i].place = (Place){0};
  }
  for (size_t i = 0; i < g->output.n; i++) {
    g->output.at[i].val.id = number[g->output.at[i].val.id];
    g->output.at[i].state.id = number[g->output.at[i].state.id];
  }
  for (size_t i = 0; i < g->input.n; i++) g->input.at[i].val.id = number[g->input.at[i].val.id];
  g->value.at = value;
  g->value.n = g->value.cap = (size_t)count + 1;
  *g->cons = (struct GraphCons){0};
  graph_index_reset(g);
  for (uint32_t i = 1; i <= count; i++)
    if (is_shared(value[i].op)) cons_add(g, i);
}

void graph_compact(Graph *g) {
  size_t n = g->value.n;
  uint32_t *mem = calloc(4 * n, sizeof *mem), count = 0;
  if (!mem) out_of_memory(4 * n * sizeof *mem);
  uint32_t *number = mem, *next_arg = mem + n, *stack = mem + 2 * n, *order = mem + 3 * n;
  for (uint32_t id = 1; id < n; id++)
    if (!g->value.at[id].dead && number[id] == NOT_SEEN) order_value(g, id, number, next_arg, stack, order, &count);
  renumber(g, order, number, count);
  free(mem);
}

void graph_move(Graph *g, Val before, size_t from) {
  size_t n = g->value.n;
  CHECK(from > before.id && from <= n);
  uint32_t *mem = calloc(2 * n, sizeof *mem), count = 0;
  if (!mem) out_of_memory(2 * n * sizeof *mem);
  uint32_t *number = mem, *order = mem + n;
  for (uint32_t id = 1; id < before.id; id++) order[++count] = id;
  for (size_t id = from; id < n; id++) order[++count] = (uint32_t)id;
  for (uint32_t id = before.id; id < from; id++) order[++count] = id;
  for (uint32_t i = 1; i <= count; i++) number[order[i]] = i;
  renumber(g, order, number, count);
  free(mem);
}
