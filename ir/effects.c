// effects.c: the order of reads and writes.
//
// A writing operator (F_WRITES) changes its first operand in place, and its result is what is there then. That operand
// is a *version*: a state, or the result of another write. So the versions of a state form a chain, whose last one is
// the state's output, and all of them lie in that output's memory. Values behind the operator's own operands are read
// by nobody: they only have to come first.
//
//   %5 = state : f32[B,L,8]                         version 1
//   %6 = slice %5 {axis = 1, start = 0} : ..        a view: the same memory
//   %7 = exp %6 : ..                                reads version 1
//   %8 = put_rows %5, %3, %4 after %7 : f32[B,L,8]  version 2: overwrites version 1
//   output "keys" = %8 changes %5
//
// What is proved: every value that reads a version is an operand of the write that overwrites it, or an operand of one,
// and so on. Any order in which operands come before users, and any grouping that keeps to it, then has all reads
// before the write. Views are not reads, their readers are; an output that is such a view would be read at the end.
#include "graph.h"

#include <stdlib.h>
#include <string.h>

static uint32_t flags_of(const Value *v) {
  return op_info[v->op].flags;
}

bool op_takes(Op op, size_t nargs) {
  int own = op_info[op].nargs;
  return own < 0 || nargs == (size_t)own || ((op_info[op].flags & F_WRITES) && nargs > (size_t)own);
}

uint32_t value_operands(const Value *v) {
  return flags_of(v) & F_WRITES ? (uint32_t)op_info[v->op].nargs : v->nargs;
}

bool value_is_version(const Value *v) {
  return v->op == OP_state || (flags_of(v) & F_WRITES);
}

typedef struct Effects { // of one graph, by value
  const Graph *g;
  uint32_t *root;   // the version whose memory it is, 0: none
  uint32_t *writer; // of a version: the write that overwrites it, 0: none
  bool *before;     // comes before the write that is looked at
  bool *below;      // comes before another value
  uint32_t *stack;
} Effects;

static void effects_free(Effects *e) {
  free(e->root);
}

// Values stand behind their operands.
static Effects effects_of(const Graph *g) {
  size_t n = g->value.n;
  uint32_t *mem = calloc(4 * n, sizeof *mem); // the flags have a share of their own
  if (!mem) out_of_memory(4 * n * sizeof *mem);
  bool *flag = (bool *)(mem + 2 * n);
  Effects e = {g, mem, mem + n, flag, flag + n, mem + 3 * n};
  for (uint32_t id = 1; id < n; id++) {
    const Value *v = &g->value.at[id];
    if (v->dead) continue;
    if (value_is_version(v))
      e.root[id] = id;
    else if ((flags_of(v) & F_VIEW) && !v->group)
      e.root[id] = e.root[v->args[0].id];
    if ((flags_of(v) & F_WRITES) && !e.writer[v->args[0].id]) e.writer[v->args[0].id] = id;
  }
  return e;
}

static bool any_version(const Graph *g) {
  for (uint32_t id = 1; id < g->value.n; id++)
    if (!g->value.at[id].dead && value_is_version(&g->value.at[id])) return true;
  return false;
}

// Marks what comes before `id`, itself included.
static void mark_before(const Effects *e, bool *mark, uint32_t id) {
  size_t n = 0;
  if (!mark[id]) e->stack[n++] = id, mark[id] = true;
  while (n) {
    const Value *v = &e->g->value.at[e->stack[--n]];
    for (uint32_t i = 0; i < v->nargs; i++) {
      uint32_t arg = v->args[i].id;
      if (!mark[arg]) e->stack[n++] = arg, mark[arg] = true;
    }
  }
}

static void mark_anew(const Effects *e, bool *mark, uint32_t id) {
  memset(mark, 0, e->g->value.n * sizeof *mark);
  mark_before(e, mark, id);
}

typedef struct Read { // value `id` reads a version that `write` overwrites
  uint32_t write, id;
} Read;

static int by_write(const void *pa, const void *pb) {
  const Read *a = pa, *b = pb;
  if (a->write != b->write) return a->write < b->write ? -1 : 1;
  return (a->id > b->id) - (a->id < b->id);
}

// A view that only renames memory reads nothing, and the write itself is judged apart.
static bool reads(const Effects *e, uint32_t id) {
  const Value *v = &e->g->value.at[id];
  return !v->dead && (!e->root[id] || (flags_of(v) & F_WRITES));
}

// All of them, ordered by write; free at.
static Read *all_reads(const Effects *e, size_t *n) {
  size_t most = 1;
  for (uint32_t id = 1; id < e->g->value.n; id++) most += e->g->value.at[id].nargs;
  Read *at = malloc(most * sizeof *at);
  if (!at) out_of_memory(most * sizeof *at);
  *n = 0;
  for (uint32_t id = 1; id < e->g->value.n; id++) {
    const Value *v = &e->g->value.at[id];
    for (uint32_t i = 0; reads(e, id) && i < value_operands(v); i++) {
      uint32_t version = e->root[v->args[i].id], write = version ? e->writer[version] : 0;
      if (write && write != id) at[(*n)++] = (Read){write, id};
    }
  }
  if (*n) qsort(at, *n, sizeof *at, by_write);
  return at;
}

/* the proof ------------------------------------------------------------------------------------------------------- */
static const char *fault(const Graph *g, uint32_t id, const char *what, uint32_t other) {
  const char *name = op_info[g->value.at[id].op].name;
  if (other) what = arena_printf(g->module->arena, what, other);
  return arena_printf(g->module->arena, "@%s: %%%u = %s: %s", g->name, id, name, what);
}

// One write changes a version, and nothing but the version through its first operand.
static const char *write_fault(const Effects *e, uint32_t id) {
  const Value *v = &e->g->value.at[id];
  uint32_t old = v->args[0].id;
  if (!value_is_version(&e->g->value.at[old]))
    return fault(e->g, id, "changes %%%u, which is no state and no result of a write", old);
  if (e->writer[old] != id) return fault(e->g, id, "changes what %%%u overwrites", e->writer[old]);
  for (uint32_t i = 1; i < value_operands(v); i++)
    if (e->root[v->args[i].id] == old)
      return fault(e->g, id, "reads %%%u, which it overwrites: compute a value of its own from it first", old);
  return NULL;
}

static const char *state_fault(const Effects *e, uint32_t id) {
  const Port *p = graph_state_port(e->g, (Val){id});
  if (!p) return fault(e->g, id, "no output changes this state", 0);
  uint32_t last = id;
  while (e->writer[last]) last = e->writer[last];
  if (last == id) return fault(e->g, id, "nothing writes this state", 0);
  if (p->val.id != last) return fault(e->g, id, "its output is not its last version, %%%u", last);
  return NULL;
}

static const char *versions_fault(const Effects *e) {
  const char *why = NULL;
  for (uint32_t id = 1; id < e->g->value.n && !why; id++) {
    const Value *v = &e->g->value.at[id];
    if (v->dead) continue;
    if (flags_of(v) & F_WRITES) why = write_fault(e, id);
    if (!why && v->op == OP_state) why = state_fault(e, id);
  }
  return why;
}

static const char *order_fault(Effects *e) {
  size_t n;
  Read *read = all_reads(e, &n);
  const char *why = NULL;
  for (size_t i = 0; i < n && !why; i++) {
    uint32_t write = read[i].write;
    if (!i || read[i - 1].write != write) mark_anew(e, e->before, write);
    if (e->before[read[i].id]) continue;
    why = fault(e->g, read[i].id, "reads what %%%u overwrites, and nothing makes it come before that", write);
    why = arena_printf(e->g->module->arena, "%s (%s .. after %%%u)", why, op_info[e->g->value.at[write].op].name,
                       read[i].id);
  }
  free(read);
  return why;
}

static const char *output_fault(const Effects *e) {
  for (size_t i = 0; i < e->g->output.n; i++) {
    const Port *p = &e->g->output.at[i];
    uint32_t version = e->root[p->val.id], write = version ? e->writer[version] : 0;
    if (write)
      return arena_printf(e->g->module->arena, "@%s: the output \"%s\" is memory that %%%u overwrites", e->g->name,
                          p->name, write);
  }
  return NULL;
}

const char *effects_problem(const Graph *g) {
  if (!any_version(g)) return NULL;
  Effects e = effects_of(g);
  const char *why = versions_fault(&e);
  if (!why) why = output_fault(&e);
  if (!why) why = order_fault(&e);
  effects_free(&e);
  return why;
}

/* keeping the order while the graph is rewritten ------------------------------------------------------------------ */
bool *graph_overwritten(const Graph *g, Arena *a) {
  if (!any_version(g)) return NULL;
  Effects e = effects_of(g);
  bool *over = ARENA_ARRAY(a, bool, g->value.n);
  for (uint32_t id = 1; id < g->value.n; id++) over[id] = e.root[id] && e.writer[e.root[id]];
  effects_free(&e);
  return over;
}

static void come_before(Graph *g, uint32_t id, uint32_t write) {
  Value *w = &g->value.at[write];
  w->args = arena_grow(g->module->arena, w->args, w->nargs * sizeof *w->args, (w->nargs + 1) * sizeof *w->args);
  w->args[w->nargs++] = (Val){id};
}

// Takes away what came first; true if there was something.
static bool forget_order(Graph *g) {
  bool any = false;
  for (uint32_t id = 1; id < g->value.n; id++) {
    Value *v = &g->value.at[id];
    if (v->dead || value_operands(v) == v->nargs) continue;
    v->nargs = value_operands(v);
    any = true;
  }
  return any;
}

// A read that stands on its write cannot come before it: the verifier says so.
static bool add_order(Graph *g, Effects *e) {
  size_t n, added = 0;
  Read *read = all_reads(e, &n);
  for (size_t i = 0; i < n; i++) {
    uint32_t write = read[i].write, id = read[i].id;
    if (!i || read[i - 1].write != write) mark_anew(e, e->before, write);
    if (e->before[id]) continue;
    mark_anew(e, e->below, id);
    if (e->below[write]) continue;
    come_before(g, id, write);
    mark_before(e, e->before, id);
    added++;
  }
  free(read);
  return added > 0;
}

void graph_order_writes(Graph *g) {
  if (!any_version(g)) return;
  bool changed = forget_order(g);
  if (changed) graph_dce(g); // what was there only to come first
  Effects e = effects_of(g);
  changed = add_order(g, &e) || changed;
  effects_free(&e);
  if (changed) graph_compact(g);
}
