// remat.c: in an objective with gradients, computes values again for the backward pass instead of keeping them.
//
// A value of the forward pass is kept when a gradient needs it. PassOptions.recompute, from 0 to REMAT_LEVELS, says how
// many of them are not: 0 none; from 1 on all that need no product or attention; then more and more of the others,
// those first that take the fewest operations for the memory that they free, and of equal ones the earliest. What reads
// such a value in the backward pass reads a copy of its operation, made of copies of what is not kept either, and
// everything is computed by the operations that there are: no bit depends on the level. A copy stands in front of its
// first reader and is shared by the others, so one layer after the other is computed again, shortly before its own
// gradient.
//
//   %62 = gelu %61;  %69 = linear %62, ..;  ..  %386 = outer %382, %62
//   => %386 = outer %382, %385;  %385 = gelu %61
#include "pass.h"

#include <stdlib.h>

PassFn pass_remat;

typedef struct Remat {
  Graph *g;
  uint32_t known;
  bool *forward; // by value: the loss, or something else than a gradient, needs it
  bool *saved;   // by value: of the forward pass, and computed; the backward pass reads it, perhaps through views
  bool *dropped; // by value: saved before, computed again now
  Val *copy;     // by value: what the backward pass reads instead
  uint32_t *seen, search;
} Remat;

typedef struct Candidate {
  uint32_t id;
  bool cheap;
  double ratio; // operations to compute it again for each byte
} Candidate;

static const Value *val(const Remat *r, Val v) {
  return graph_value(r->g, v);
}

static bool is_view(const Remat *r, Val v) {
  return op_info[val(r, v)->op].flags & F_VIEW;
}

static bool may_copy(const Remat *r, Val v) {
  const Value *x = val(r, v);
  return (op_info[x->op].flags & F_PURE) && !(op_info[x->op].flags & F_SOURCE) && graph_residency(r->g, v) == RES_act;
}

static void find_forward(Remat *r) {
  for (size_t i = 0; i < r->g->output.n; i++)
    if (r->g->output.at[i].role != ROLE_gradient) r->forward[r->g->output.at[i].val.id] = true;
  for (uint32_t id = r->known - 1; id > 0; id--)
    for (uint32_t i = 0; r->forward[id] && i < r->g->value.at[id].nargs; i++)
      r->forward[r->g->value.at[id].args[i].id] = true;
}

static void find_saved(Remat *r) {
  for (uint32_t id = 1; id < r->known; id++) {
    const Value *v = &r->g->value.at[id];
    for (uint32_t i = 0; !v->dead && !r->forward[id] && i < v->nargs; i++) {
      Val arg = v->args[i];
      while (is_view(r, arg)) arg = val(r, arg)->args[0];
      r->saved[arg.id] = r->saved[arg.id] || (r->forward[arg.id] && may_copy(r, arg));
    }
  }
}

static double operations(const Remat *r, const Value *v) {
  const Module *m = r->g->module;
  uint32_t flags = op_info[v->op].flags;
  double n = (double)type_elements(m, &v->type);
  const Type *a = v->nargs ? &graph_value(r->g, v->args[0])->type : &v->type;
  if (flags & F_VIEW) return 0;
  if (v->op == OP_label_scores) // a product of the rows with all of the weight
    return 2 * (double)type_elements(m, a) * (double)graph_value(r->g, v->args[1])->type.dim[0].c;
  if (flags & F_CONTRACTION) return 2 * n * (double)type_extent(m, a, a->rank - 1);
  if (flags & F_ATTENTION) return 4 * n * (double)type_extent(m, &graph_value(r->g, v->args[1])->type, 1);
  return 8 * n;
}

// What it takes to compute v from what is saved. *products: one of the operations is a product or an attention.
static double cost_of(Remat *r, Val v, bool *products) {
  const Value *x = val(r, v);
  double sum = operations(r, x);
  r->seen[v.id] = r->search;
  *products = *products || (op_info[x->op].flags & (F_CONTRACTION | F_ATTENTION)) || x->op == OP_label_scores;
  for (uint32_t i = 0; i < x->nargs; i++) {
    Val arg = x->args[i];
    if (!r->saved[arg.id] && may_copy(r, arg) && r->seen[arg.id] != r->search) sum += cost_of(r, arg, products);
  }
  return sum;
}

static int by_ratio(const void *pa, const void *pb) {
  const Candidate *a = pa, *b = pb;
  if (a->cheap != b->cheap) return a->cheap ? -1 : 1;
  if (a->ratio < b->ratio || a->ratio > b->ratio) return a->ratio < b->ratio ? -1 : 1;
  return (a->id > b->id) - (a->id < b->id);
}

static void choose(Remat *r, Arena *scratch, int level) {
  Candidate *c = ARENA_ARRAY(scratch, Candidate, r->known);
  size_t n = 0, cheap = 0;
  for (uint32_t id = 1; id < r->known; id++) {
    if (!r->saved[id]) continue;
    bool products = false;
    r->search = id;
    double cost = cost_of(r, (Val){id}, &products);
    c[n++] = (Candidate){id, !products, cost / (double)type_bytes(r->g->module, &r->g->value.at[id].type)};
    cheap += !products;
  }
  if (n) qsort(c, n, sizeof *c, by_ratio);
  size_t most = cheap + (n - cheap) * (size_t)(level - 1) / (REMAT_LEVELS - 1);
  for (size_t i = 0; i < most; i++) r->dropped[c[i].id] = true;
}

// What the backward pass reads instead of v: v itself where it is kept.
static Val again(Remat *r, Val v) {
  if (v.id >= r->known || !r->forward[v.id] || !may_copy(r, v) || (r->saved[v.id] && !r->dropped[v.id])) return v;
  if (r->copy[v.id].id) return r->copy[v.id];
  Value x = *val(r, v);
  Val *args = ARENA_ARRAY(r->g->module->arena, Val, x.nargs + 1);
  bool other = r->dropped[v.id] || !is_view(r, v);
  for (uint32_t i = 0; i < x.nargs; i++) {
    args[i] = again(r, x.args[i]);
    other = other || args[i].id != x.args[i].id;
  }
  if (!other) return r->copy[v.id] = v; // a view of what is kept
  x.args = args;
  VEC_PUSH(r->g->module->arena, r->g->value, x); // equal to v on purpose: it is not shared
  return r->copy[v.id] = (Val){(uint32_t)r->g->value.n - 1};
}

static size_t remat_graph(Graph *g, Arena *scratch, int level) {
  Remat r = {.g = g, .known = (uint32_t)g->value.n};
  r.forward = ARENA_ARRAY(scratch, bool, r.known);
  r.saved = ARENA_ARRAY(scratch, bool, r.known);
  r.dropped = ARENA_ARRAY(scratch, bool, r.known);
  r.copy = ARENA_ARRAY(scratch, Val, r.known);
  r.seen = ARENA_ARRAY(scratch, uint32_t, r.known);
  find_forward(&r);
  find_saved(&r);
  choose(&r, scratch, level);
  for (uint32_t id = 1; id < r.known; id++) {
    if (g->value.at[id].dead || r.forward[id]) continue;
    for (uint32_t i = 0; i < g->value.at[id].nargs; i++) {
      Val with = again(&r, g->value.at[id].args[i]);
      g->value.at[id].args[i] = with;
    }
  }
  size_t made = g->value.n - r.known;
  graph_dce(g);
  graph_compact(g);
  return made;
}

size_t pass_remat(Module *m, Arena *scratch, const PassOptions *o) {
  size_t changes = 0;
  for (size_t i = 0; i < m->graph.n && o->recompute > 0; i++) {
    ArenaMark mark = arena_mark(scratch);
    if (m->graph.at[i]->objective) changes += remat_graph(m->graph.at[i], scratch, o->recompute);
    arena_reset(scratch, mark);
  }
  return changes;
}
