// place.c: gives every stored tensor its place: a route input or output, or an offset in the arena.
//
// A tensor lives from the group that first writes it to the last group that reads it. Larger tensors choose first; each
// takes the lowest offset that is free during its whole life (greedy by size, as in Pisarchyk and Lee, "Efficient
// memory management for deep neural net inference", 2020). place_check is independent of that: it follows the groups.
//
//   %6 = gelu %5 : f32[B,197,3072] group 3 pitch 3088 at 4096
#include "place.h"

#include <stdlib.h>
#include <string.h>

PassFn pass_place;

enum { PLACE_ALIGN = 64 };

// The value whose storage holds v: through views and aliases.
static Val storage_of(const Graph *g, Val v) {
  return access_resolve(g, v).base;
}

LiveList place_live(const Graph *g, Arena *a) {
  GroupList groups = groups_collect(g, a);
  Live *by_value = ARENA_ARRAY(a, Live, g->value.n);
  for (uint32_t i = 0; i < g->value.n; i++) by_value[i].first = UINT32_MAX;
  for (size_t s = 0; s < groups.n; s++) {
    const Group *grp = &groups.at[s];
    Val out = storage_of(g, grp->root);
    if (by_value[out.id].first == UINT32_MAX) by_value[out.id].first = (uint32_t)s;
    by_value[out.id].last = (uint32_t)s;
    for (size_t k = 0; k < grp->member.n; k++) {
      const Value *v = graph_value(g, grp->member.at[k]);
      for (uint32_t i = 0; i < value_operands(v); i++) {
        if (graph_value(g, v->args[i])->group == grp->id) continue;
        Val in = storage_of(g, v->args[i]);
        if (by_value[in.id].first != UINT32_MAX) by_value[in.id].last = (uint32_t)s;
      }
    }
  }
  for (size_t i = 0; i < g->output.n; i++) { // outputs are read by the caller, after everything
    Val out = storage_of(g, g->output.at[i].val);
    by_value[out.id].last = (uint32_t)groups.n;
  }
  for (uint32_t i = 1; i < g->value.n; i++) // so is what is on the way to one
    if (by_value[i].first != UINT32_MAX && value_is_version(&g->value.at[i])) by_value[i].last = (uint32_t)groups.n;
  LiveList list = {ARENA_ARRAY(a, Live, g->value.n), 0};
  for (uint32_t i = 1; i < g->value.n; i++) {
    if (by_value[i].first == UINT32_MAX) continue;
    Live l = by_value[i];
    l.val = (Val){i};
    l.bytes = storage_elements(g, l.val) * (int64_t)dtype_info[graph_value(g, l.val)->type.dtype].bytes;
    l.bytes = (l.bytes + PLACE_ALIGN - 1) / PLACE_ALIGN * PLACE_ALIGN;
    l.outside = l.last == groups.n;
    list.at[list.n++] = l;
  }
  return list;
}

int64_t place_lower_bound(const LiveList *l) {
  uint32_t top = 0;
  for (size_t i = 0; i < l->n; i++) top = l->at[i].last > top ? l->at[i].last : top;
  int64_t *change = calloc((size_t)top + 2, sizeof *change), sum = 0, best = 0; // of the sum, by group
  if (!change) out_of_memory(((size_t)top + 2) * sizeof *change);
  for (size_t i = 0; i < l->n; i++) {
    if (l->at[i].outside) continue;
    change[l->at[i].first] += l->at[i].bytes;
    change[l->at[i].last + 1] -= l->at[i].bytes;
  }
  for (uint32_t i = 0; i <= top; i++) {
    sum += change[i];
    if (sum > best) best = sum;
  }
  free(change);
  return best;
}

int64_t place_arena_bytes(const Graph *g, const LiveList *l) {
  int64_t top = 0;
  for (size_t i = 0; i < l->n; i++) {
    const Value *v = graph_value(g, l->at[i].val);
    if (v->place.kind == PLACE_ARENA && v->place.offset + l->at[i].bytes > top) top = v->place.offset + l->at[i].bytes;
  }
  return top;
}

/* the check ------------------------------------------------------------------------------------------------------ */
typedef struct Range { // of the arena, with the tensor that has it now
  int64_t from, to;
  const Live *live;
} Range;

typedef struct Taken { // disjoint, ascending
  Range *at;
  size_t n;
} Taken;

static size_t taken_find(const Taken *t, int64_t from) { // the first that begins at `from` or behind it
  size_t lo = 0, hi = t->n;
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    if (t->at[mid].from < from)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

// NULL, or what lies there already.
static const Live *taken_put(Taken *t, Range r) {
  size_t i = taken_find(t, r.from);
  if (i < t->n && t->at[i].from < r.to) return t->at[i].live;
  if (i && t->at[i - 1].to > r.from) return t->at[i - 1].live;
  memmove(&t->at[i + 1], &t->at[i], (t->n++ - i) * sizeof *t->at);
  t->at[i] = r;
  return NULL;
}

static void taken_drop(Taken *t, int64_t from) {
  size_t i = taken_find(t, from);
  memmove(&t->at[i], &t->at[i + 1], (--t->n - i) * sizeof *t->at);
}

static int by_first(const void *pa, const void *pb) {
  const Live *a = *(const Live *const *)pa, *b = *(const Live *const *)pb;
  if (a->first != b->first) return a->first < b->first ? -1 : 1;
  return (a->val.id > b->val.id) - (a->val.id < b->val.id);
}
static int by_last(const void *pa, const void *pb) {
  const Live *a = *(const Live *const *)pa, *b = *(const Live *const *)pb;
  return (a->last > b->last) - (a->last < b->last);
}

static Range arena_range(const Graph *g, const Live *l) {
  int64_t at = graph_value(g, l->val)->place.offset;
  return (Range){at, at + l->bytes, l};
}

// Goes through the groups in order, with the ranges in use at each: what is written must not meet one of them.
bool place_check(const Graph *g, Val *a, Val *b) {
  Arena scratch = {0};
  LiveList l = place_live(g, &scratch);
  const Live **born = ARENA_ARRAY(&scratch, const Live *, l.n + 1),
             **dies = ARENA_ARRAY(&scratch, const Live *, l.n + 1);
  Taken taken = {ARENA_ARRAY(&scratch, Range, l.n + 1), 0};
  size_t n = 0, gone = 0;
  for (size_t i = 0; i < l.n; i++)
    if (graph_value(g, l.at[i].val)->place.kind == PLACE_ARENA) born[n] = dies[n] = &l.at[i], n++;
  qsort(born, n, sizeof *born, by_first);
  qsort(dies, n, sizeof *dies, by_last);
  const Live *met = NULL;
  for (size_t i = 0; i < n && !met; i++) {
    for (; dies[gone]->last < born[i]->first; gone++) taken_drop(&taken, arena_range(g, dies[gone]).from);
    met = taken_put(&taken, arena_range(g, born[i]));
    if (met) *a = met->val, *b = born[i]->val;
  }
  arena_free(&scratch);
  return !met;
}

/* placing -------------------------------------------------------------------------------------------------------- */
static int by_size(const void *pa, const void *pb) {
  const Live *a = pa, *b = pb;
  if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
  return (a->val.id > b->val.id) - (a->val.id < b->val.id);
}
static int by_offset(const void *pa, const void *pb) {
  const int64_t *a = pa, *b = pb;
  return (a[0] > b[0]) - (a[0] < b[0]);
}

/* who lives when: the tensors placed so far, found by their life time
 * -------------------------------------------------- */
// A tensor is listed under the group it begins at, and in the nodes of a binary tree over the groups that its life time
// consists of. It meets another one if it begins during the other's life, or lives when the other begins.
typedef struct Link {
  uint32_t live, next; // number in the list of tensors; next link, 0 = none
} Link;
typedef struct Times {
  const LiveList *l;
  Arena *arena;
  uint32_t leaves;        // groups, rounded up to a power of two
  uint32_t *node, *begin; // first link, by node (root 1) and by group
  VEC(Link) link;         // [0] is none
  uint32_t *found;        // what was found last
} Times;

static Times times_new(const LiveList *l, Arena *a) {
  Times t = {.l = l, .arena = a, .leaves = 1};
  for (size_t i = 0; i < l->n; i++)
    while (t.leaves <= l->at[i].last) t.leaves *= 2;
  t.node = ARENA_ARRAY(a, uint32_t, 2 * (size_t)t.leaves);
  t.begin = ARENA_ARRAY(a, uint32_t, t.leaves);
  t.found = ARENA_ARRAY(a, uint32_t, l->n + 1);
  VEC_PUSH(a, t.link, (Link){0});
  return t;
}

static void times_put(Times *t, uint32_t *list, uint32_t live) {
  Link one = {live, *list};
  *list = (uint32_t)t->link.n;
  VEC_PUSH(t->arena, t->link, one);
}

static void times_add(Times *t, uint32_t live) {
  const Live *x = &t->l->at[live];
  times_put(t, &t->begin[x->first], live);
  for (uint32_t lo = x->first + t->leaves, hi = x->last + t->leaves + 1; lo < hi; lo /= 2, hi /= 2) {
    if (lo & 1) times_put(t, &t->node[lo++], live);
    if (hi & 1) times_put(t, &t->node[--hi], live);
  }
}

static size_t times_overlap(Times *t, const Live *x) {
  size_t n = 0;
  for (uint32_t node = x->first + t->leaves; node; node /= 2) // alive when x begins
    for (uint32_t k = t->node[node]; k; k = t->link.at[k].next) t->found[n++] = t->link.at[k].live;
  for (uint32_t s = x->first + 1; s <= x->last && s < t->leaves; s++) // begins later, while x lives
    for (uint32_t k = t->begin[s]; k; k = t->link.at[k].next) t->found[n++] = t->link.at[k].live;
  return n;
}

static void place_graph(Graph *g, Arena *scratch) {
  for (size_t i = 0; i < g->input.n; i++)
    graph_value(g, g->input.at[i].val)->place = (Place){.kind = PLACE_INPUT, .index = (uint32_t)i};
  for (size_t i = 0; i < g->output.n; i++) {
    Val out = storage_of(g, g->output.at[i].val);
    graph_value(g, out)->place = (Place){.kind = PLACE_OUTPUT, .index = (uint32_t)i};
  }
  for (size_t i = 0; i < g->output.n; i++) // a state is where its output is
    if (g->output.at[i].state.id)
      graph_value(g, g->output.at[i].state)->place = (Place){.kind = PLACE_OUTPUT, .index = (uint32_t)i};
  for (uint32_t i = 1; i < g->value.n; i++) // and so is what writes make of it
    if (op_info[g->value.at[i].op].flags & F_WRITES)
      g->value.at[i].place = graph_value(g, g->value.at[i].args[0])->place;
  LiveList l = place_live(g, scratch);
  qsort(l.at, l.n, sizeof *l.at, by_size);
  Times times = times_new(&l, scratch);
  int64_t(*taken)[2] = arena_alloc(scratch, (l.n + 1) * sizeof *taken);
  for (uint32_t i = 0; i < l.n; i++) {
    Value *v = graph_value(g, l.at[i].val);
    if (v->place.kind == PLACE_OUTPUT) continue;
    size_t n = times_overlap(&times, &l.at[i]);
    for (size_t k = 0; k < n; k++) {
      const Live *other = &l.at[times.found[k]];
      taken[k][0] = graph_value(g, other->val)->place.offset;
      taken[k][1] = taken[k][0] + other->bytes;
    }
    qsort(taken, n, sizeof *taken, by_offset);
    int64_t at = 0;
    for (size_t k = 0; k < n; k++) {
      if (taken[k][0] - at >= l.at[i].bytes) break;
      if (taken[k][1] > at) at = taken[k][1];
    }
    v->place = (Place){.kind = PLACE_ARENA, .offset = at};
    times_add(&times, i);
  }
}

size_t pass_place(Module *m, Arena *scratch, const PassOptions *o) {
  (void)o;
  size_t changes = 0;
  for (size_t i = 0; i < m->graph.n; i++) {
    ArenaMark mark = arena_mark(scratch);
    place_graph(m->graph.at[i], scratch);
    changes += m->graph.at[i]->value.n;
    Val a, b;
    if (!place_check(m->graph.at[i], &a, &b)) ICE("place: %%%u and %%%u overlap while both live", a.id, b.id);
    arena_reset(scratch, mark);
  }
  return changes;
}
