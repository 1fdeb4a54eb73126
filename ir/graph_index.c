// graph_index.c: what is known of each value while a graph is built and rewritten, so that a rewrite costs what it
// changes and not the size of the graph:
//
//   users   a list for each value
//   res     residency: the greatest of the operands' (residency.def)
//   rank    greater than that of every operand. What stands on a value has a greater rank than it, so a search for the
//           values between two of them can stop at all others. Ranks have gaps; a value that gets an operand of a
//           greater rank is raised, and so are its users.
//
// Values are taken in when they are asked for (`sync`), those that a pass appended by itself too.
#include "graph_index.h"

#include <stdlib.h>
#include <string.h>

typedef struct Edge {
  uint32_t user, next; // next edge of the same value, 0 = none
} Edge;
typedef struct Node {
  uint64_t rank;
  uint32_t first; // edge, 0 = no user
  uint32_t seen;  // number of the last search that met it
  uint8_t res;    // Res
} Node;

struct GraphIndex {
  Arena *arena;
  VEC(Node) node; // by value
  VEC(Edge) edge; // [0] is none
  VEC(uint32_t) list, stack;
  uint32_t search;
};
enum { RANK_GAP = 1 << 20 };

struct GraphIndex *graph_index_new(Arena *a) {
  struct GraphIndex *x = ARENA_NEW(a, struct GraphIndex);
  x->arena = a;
  return x;
}

void graph_index_reset(Graph *g) {
  g->index->node.n = g->index->edge.n = 0;
  g->index->search = 0;
}

// Is a run-time dim gone in it, as in the sum of range(B)? Then it is a fact of the call, though its type does not say
// so.
static bool is_length(const Graph *g, const Value *v) {
  if (type_has_runtime_dim(&v->type)) return false;
  for (uint32_t i = 0; i < v->nargs; i++)
    if (type_has_runtime_dim(&g->value.at[v->args[i].id].type)) return true;
  return false;
}

static Res residency_of(const Graph *g, uint32_t id) {
  const Value *v = &g->value.at[id];
  if (v->op == OP_input) { // a parameter's value is that of the last update, whoever passes it
    const Port *p = graph_input_port(g, (Val){id});
    return p && p->role == ROLE_param ? RES_param : RES_act;
  }
  if (v->op == OP_state || (v->op == OP_weight && value_int(v, A_state, 0))) return RES_state;
  if (v->op == OP_weight && value_int(v, A_trained, 0)) return RES_param;
  Res most = RES_const;
  for (uint32_t i = 0; i < v->nargs; i++) {
    Res r = (Res)g->index->node.at[v->args[i].id].res;
    most = r > most ? r : most;
  }
  return most == RES_const && is_length(g, v) ? RES_act : most;
}

static void add_edge(struct GraphIndex *x, uint32_t value, uint32_t user) {
  Edge e = {user, x->node.at[value].first};
  x->node.at[value].first = (uint32_t)x->edge.n;
  VEC_PUSH(x->arena, x->edge, e);
}

// Takes in the values that are new. Operands stand above their users until the graph is rewritten, and new values are
// appended, so every operand is known.
static struct GraphIndex *sync(const Graph *g) {
  struct GraphIndex *x = g->index;
  if (!x->edge.n) VEC_PUSH(x->arena, x->edge, (Edge){0});
  bool built = x->node.n == 0; // the whole graph: ranks by position
  for (uint32_t id = (uint32_t)x->node.n; id < g->value.n; id++) {
    const Value *v = &g->value.at[id];
    Node n = {.rank = built ? (uint64_t)id * RANK_GAP : 0};
    for (uint32_t i = 0; i < v->nargs && id; i++)
      if (x->node.at[v->args[i].id].rank >= n.rank) n.rank = x->node.at[v->args[i].id].rank + 1;
    VEC_PUSH(x->arena, x->node, n);
    for (uint32_t i = 0; i < v->nargs; i++) add_edge(x, v->args[i].id, id);
    x->node.at[id].res = (uint8_t)residency_of(g, id);
  }
  return x;
}

const ResInfo res_info[RES_COUNT] = {
#define RES(name, doc) {#name, doc},
#include "residency.def"
#undef RES
};

Res graph_residency(const Graph *g, Val v) {
  graph_value(g, v);
  return (Res)sync(g)->node.at[v.id].res;
}

bool graph_is_packed(const Graph *g, Val v) {
  const Value *x = graph_value(g, v);
  bool in_memory = x->op == OP_weight || (x->op == OP_pack && value_int(x, A_stored, 0));
  return !type_has_runtime_dim(&x->type) && (in_memory || graph_residency(g, v) == RES_const);
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

// Sorts the list and leaves each number once.
static void sort_list(struct GraphIndex *x) {
  size_t n = 0;
  qsort(x->list.at, x->list.n, sizeof *x->list.at, ascending);
  for (size_t i = 0; i < x->list.n; i++)
    if (!n || x->list.at[n - 1] != x->list.at[i]) x->list.at[n++] = x->list.at[i];
  x->list.n = n;
}

const uint32_t *graph_users(const Graph *g, Val v, size_t *n) {
  struct GraphIndex *x = sync(g);
  x->list.n = 0;
  for (uint32_t e = x->node.at[v.id].first; e; e = x->edge.at[e].next) VEC_PUSH(x->arena, x->list, x->edge.at[e].user);
  if (x->list.n > 1) sort_list(x);
  *n = x->list.n;
  return x->list.at;
}

// Marks the values that `with` stands on, as far as they may stand on `old`.
static void mark_between(const Graph *g, uint32_t old, uint32_t with) {
  struct GraphIndex *x = g->index;
  uint64_t least = x->node.at[old].rank;
  x->search++;
  x->stack.n = 0;
  VEC_PUSH(x->arena, x->stack, with);
  x->node.at[with].seen = x->search;
  while (x->stack.n) {
    const Value *v = &g->value.at[x->stack.at[--x->stack.n]];
    for (uint32_t i = 0; i < v->nargs; i++) {
      Node *n = &x->node.at[v->args[i].id];
      if (n->rank <= least || n->seen == x->search) continue;
      n->seen = x->search;
      VEC_PUSH(x->arena, x->stack, v->args[i].id);
    }
  }
}

// Facts of a value from its operands; did they change?
static bool refresh(const Graph *g, uint32_t id) {
  struct GraphIndex *x = g->index;
  const Value *v = &g->value.at[id];
  Node was = x->node.at[id], now = was;
  for (uint32_t i = 0; i < v->nargs; i++)
    if (x->node.at[v->args[i].id].rank >= now.rank) now.rank = x->node.at[v->args[i].id].rank + 1;
  now.res = (uint8_t)residency_of(g, id);
  x->node.at[id] = now;
  return now.rank != was.rank || now.res != was.res;
}

// Facts of the values listed, whose operands changed, and of their users as far as those change.
static void refresh_listed(const Graph *g) {
  struct GraphIndex *x = g->index;
  x->stack.n = 0;
  for (size_t i = 0; i < x->list.n; i++) VEC_PUSH(x->arena, x->stack, x->list.at[i]);
  while (x->stack.n) {
    uint32_t id = x->stack.at[--x->stack.n];
    if (!refresh(g, id)) continue;
    for (uint32_t e = x->node.at[id].first; e; e = x->edge.at[e].next) VEC_PUSH(x->arena, x->stack, x->edge.at[e].user);
  }
}

const uint32_t *graph_index_replace(Graph *g, uint32_t old, uint32_t with, size_t *n) {
  struct GraphIndex *x = sync(g);
  mark_between(g, old, with);
  x->list.n = 0;
  uint32_t *link = &x->node.at[old].first;
  while (*link) {
    uint32_t edge = *link;
    Edge *e = &x->edge.at[edge];
    if (x->node.at[e->user].seen == x->search) { // `with` stands on this user
      link = &e->next;
      continue;
    }
    Value *user = &g->value.at[e->user];
    for (uint32_t i = 0; i < user->nargs; i++)
      if (user->args[i].id == old) user->args[i].id = with;
    VEC_PUSH(x->arena, x->list, e->user);
    *link = e->next;
    e->next = x->node.at[with].first;
    x->node.at[with].first = edge;
  }
  if (x->list.n > 1) sort_list(x);
  refresh_listed(g);
  *n = x->list.n;
  return x->list.at;
}
