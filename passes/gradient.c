// gradient.c: reverse mode. The graph of an objective gets, behind its forward values, the cotangents of what lies
// between its trained weights and its loss, and an output of role `gradient` for each trained weight.
//
// Wanted is what a trained weight reaches; only there cotangents are built, and below the lowest trained layer none is.
// The walk goes from the loss back to the first value; when one is reached, its cotangent is complete, and its rule
// (ir/op/grad_*.c) adds those of its operands behind everything that is there. Cotangents of one value are added in the
// order in which the walk meets its readers, so that the bits do not depend on anything else; those of slices that do
// not overlap are joined by one concat instead.
//
// A weight that the objective assigns is trained at its new value: the `assigned` is the leaf, and nothing flows
// through it. At the end `assigned` and `stop` are their operands, in graphs without gradients too.
#include "pass.h"
#include "ir/adapter.h"
#include "ir/op/grad.h"

#include <string.h>

PassFn pass_gradient;

typedef struct Part { // cotangent of a slice of a value
  Val dy;
  int axis;
  int64_t start;
  Dim length;
} Part;
typedef struct Cotangent {
  Val sum;
  VEC(Part) part;
} Cotangent;

typedef struct Back {
  Graph *g;
  Arena *scratch;
  bool *wanted;   // by value: a trained weight reaches it
  Cotangent *of;  // by value
  bool *leaf;     // by value: it is trained
  uint32_t known; // values of the forward pass
} Back;

static Value *val(const Back *b, Val v) {
  return graph_value(b->g, v);
}

/* what is trained
 * ----------------------------------------------------------------------------------------------------------- */

// The leaves: weights that are no states, or what they were assigned.
static void find_leaves(Back *b, const Train *t) {
  for (uint32_t i = 1; i < b->known; i++) {
    const Value *v = val(b, (Val){i});
    const char *name = value_str(v, A_name);
    bool weight = v->op == OP_weight || v->op == OP_assigned;
    if (v->dead || !weight || value_int(v, A_state, 0) || dtype_info[v->type.dtype].kind != DK_FLOAT) continue;
    b->leaf[i] = weight_is_trained(v, t->pattern, t->n);
    for (uint32_t k = 1; k < i && v->op == OP_assigned; k++) { // of one name the last assignment counts
      const Value *w = val(b, (Val){k});
      bool same = !w->dead && (w->op == OP_weight || w->op == OP_assigned) && !strcmp(value_str(w, A_name), name);
      if (same && value_int(w, A_state, 0)) b->leaf[i] = false; // an average, a queue
      if (same) b->leaf[k] = false;
    }
  }
}

static void find_wanted(Back *b) {
  for (uint32_t i = 1; i < b->known; i++) {
    const Value *v = val(b, (Val){i});
    b->wanted[i] = b->leaf[i];
    if (v->op == OP_assigned || op_hooks[v->op].grad == grad_none || dtype_info[v->type.dtype].kind != DK_FLOAT)
      continue;
    for (uint32_t k = 0; k < v->nargs; k++) b->wanted[i] = b->wanted[i] || b->wanted[v->args[k].id];
  }
}

/* slices
 * --------------------------------------------------------------------------------------------------------------------
 */

static Grad at_value(const Back *b, Val v) {
  return (Grad){.g = b->g, .v = *val(b, v), .y = v};
}

static void sort_parts(Cotangent *c) {
  for (size_t i = 1; i < c->part.n; i++)
    for (size_t k = i; k > 0 && c->part.at[k - 1].start > c->part.at[k].start; k--) {
      Part swap = c->part.at[k];
      c->part.at[k] = c->part.at[k - 1];
      c->part.at[k - 1] = swap;
    }
}

// So many zeros along the axis, as a part of a value of type t.
static Val gap(const Grad *g, const Type *t, int axis, const Seg *seg, Dim length) {
  Type part = *t;
  if (seg) {
    Seg one = {seg->modality, length};
    type_set_segs(&part, axis, &one, 1);
  }
  part.dim[axis] = length;
  return grad_zeros(g, &part);
}

static Dim dim_less(Dim a, Dim b) { // a - b; the dims go together, as a slice of b out of a was made
  Dim out = {a.c - b.c, a.k - b.k, a.k - b.k ? (a.k ? a.sym : b.sym) : 0};
  return out;
}

// Fills one stretch of the axis (the whole of it, or a segment) that begins at `at`: the parts in it, zeros between.
static void fill_stretch(const Grad *g, const Type *t, int axis, const Seg *seg, int64_t at, Dim length,
                         const Part *part, size_t *next, size_t n, Val *piece, size_t *pieces) {
  const Module *m = g->g->module;
  int64_t end = at + dim_bound(m, length), here = at;
  Dim left = length; // behind `here`
  while (*next < n && part[*next].start < end) {
    const Part *p = &part[*next];
    if (p->start > here) {
      Dim before = DIM(p->start - here);
      piece[(*pieces)++] = gap(g, t, axis, seg, before);
      left = dim_less(left, before);
    }
    piece[(*pieces)++] = p->dy;
    left = dim_less(left, p->length);
    here = p->start + dim_bound(m, p->length);
    ++*next;
  }
  if (left.c || left.k) piece[(*pieces)++] = gap(g, t, axis, seg, left);
}

// Do parts begin where a segment begins, and reach over several?
static size_t whole_segments(const Module *m, const Type *t, int axis, const Part *p, int s) {
  if (p->start != seg_start(m, t, s)) return 0;
  for (int n = 1; s + n <= t->nseg; n++) {
    Type part = *t;
    type_set_segs(&part, axis, t->seg + s, n);
    if (dim_equal(part.dim[axis], p->length)) return (size_t)n;
  }
  return 0;
}

// Is it a run-time number of places in the middle of an axis without segments? Nothing can be joined behind it.
static bool must_spread(const Type *t, const Part *p) {
  if (!p->length.k || (t->nseg && t->segaxis == p->axis)) return false;
  Dim whole = t->dim[p->axis];
  bool to_the_end = whole.sym == p->length.sym && whole.k == p->length.k && whole.c - p->length.c == p->start;
  return !to_the_end;
}

// Such a part in its place, zeros around it: the places are rows that are added to a table.
static Val spread(const Grad *g, const Type *t, const Part *p) {
  Val rows = grad_swap(g, p->dy, 0, p->axis);
  if (!rows.id) return rows;
  Type to = *t, ids = {.dtype = DT_I32, .rank = 1, .dim = {DIM(dim_bound(g->g->module, p->length))}};
  to.dim[0] = t->dim[p->axis], to.dim[p->axis] = t->dim[0];
  Attr axis = attr_int(A_axis, 0), part[] = {attr_int(A_axis, 0), attr_int(A_start, 0)}, none = attr_int(A_axis, 0);
  Val numbers = graph_add_typed(g->g, OP_iota, NULL, 0, &axis, 1, &ids, g->v.span);
  ids.dim[0] = p->length;
  numbers = grad_typed(g, OP_slice, numbers, part, 2, &ids);
  Attr start = attr_float(A_value, (double)p->start);
  Type one = {.dtype = DT_I32};
  Val from = graph_add_typed(g->g, OP_constant, NULL, 0, &start, 1, &one, g->v.span);
  numbers = grad_2(g, OP_add, numbers, from);
  if (!numbers.id) return numbers;
  Val y = graph_add_typed(g->g, OP_rows_add, (Val[]){numbers, rows}, 2, &none, 1, &to, g->v.span);
  return grad_swap(g, y, 0, p->axis);
}

static Val join_parts(const Back *b, Val v, const Part *part, size_t n) {
  Grad g = at_value(b, v);
  if (must_spread(&g.v.type, part)) return spread(&g, &g.v.type, part);
  const Module *m = b->g->module;
  Type t = g.v.type;
  int axis = part[0].axis;
  size_t pieces = 0, next = 0;
  Val *piece = ARENA_ARRAY(b->scratch, Val, 2 * n + 2 * MAX_SEGS + 2);
  if (!t.nseg || t.segaxis != axis) {
    fill_stretch(&g, &t, axis, NULL, 0, t.dim[axis], part, &next, n, piece, &pieces);
  } else {
    for (int s = 0; s < t.nseg;) {
      size_t whole = next < n ? whole_segments(m, &t, axis, &part[next], s) : 0;
      if (whole) {
        piece[pieces++] = part[next++].dy, s += (int)whole;
        continue;
      }
      fill_stretch(&g, &t, axis, &t.seg[s], seg_start(m, &t, s), t.seg[s].len, part, &next, n, piece, &pieces);
      s++;
    }
  }
  if (next < n) return NO_VAL;
  if (pieces == 1) return grad_as(&g, piece[0], &t);
  Attr a = attr_int(A_axis, axis);
  return grad_as(&g, grad_op(&g, OP_concat, piece, pieces, &a, 1), &t);
}

static Val add_to(const Back *b, Val sum, Val more, Span at) {
  if (!sum.id || !more.id) return sum.id ? sum : more;
  return graph_add(b->g, OP_add, (Val[]){sum, more}, 2, NULL, 0, at);
}

// The slices of a value in as few concats as their overlaps allow.
static Val join_slices(Back *b, Val v) {
  Cotangent *c = &b->of[v.id];
  const Module *m = b->g->module;
  Val sum = NO_VAL;
  sort_parts(c);
  bool *used = ARENA_ARRAY(b->scratch, bool, c->part.n + 1);
  Part *now = ARENA_ARRAY(b->scratch, Part, c->part.n + 1);
  for (size_t first = 0; first < c->part.n; first++) {
    if (used[first]) continue;
    size_t n = 0;
    int64_t end = 0;
    for (size_t i = first; i < c->part.n; i++) {
      const Part *p = &c->part.at[i];
      if (used[i] || p->axis != c->part.at[first].axis || (n && p->start < end)) continue;
      bool alone = must_spread(&val(b, v)->type, p);
      if (n && (alone || must_spread(&val(b, v)->type, &now[0]))) continue;
      used[i] = true;
      now[n++] = *p;
      end = p->start + dim_bound(m, p->length);
      if (p->length.k && p->length.sym == DIM_SEGS) end = INT64_MAX;
    }
    Val one = join_parts(b, v, now, n);
    if (!one.id) return NO_VAL;
    sum = add_to(b, sum, one, val(b, v)->span);
  }
  return sum;
}

/* the walk
 * ------------------------------------------------------------------------------------------------------------------ */

static void no_gradient(const Back *b, Val v, const char *why) {
  const Value *x = val(b, v);
  diag_error(b->g->module->diag, "E0312", value_place(x), "%s has no gradient here: %s", op_info[x->op].name,
             why ? why : "its cotangent cannot be expressed");
}

static Val complete(Back *b, Val v) {
  Cotangent *c = &b->of[v.id];
  if (!c->part.n) return c->sum;
  Val parts = join_slices(b, v);
  if (!parts.id) return parts;
  return c->sum = add_to(b, c->sum, parts, val(b, v)->span);
}

static void give(Back *b, const Grad *c, uint32_t i) {
  Cotangent *to = &b->of[c->v.args[i].id];
  if (c->v.op == OP_slice) {
    int axis = (int)value_int(&c->v, A_axis, 0);
    Part p = {c->d[i], axis, value_int(&c->v, A_start, 0), c->v.type.dim[axis]};
    VEC_PUSH(b->scratch, to->part, p);
  } else {
    to->sum = add_to(b, to->sum, c->d[i], c->v.span);
  }
}

static bool walk_value(Back *b, Val v) {
  Cotangent *have = &b->of[v.id];
  if (!b->wanted[v.id] || (!have->sum.id && !have->part.n)) return true;
  Grad c = at_value(b, v);
  c.dy = complete(b, v);
  if (!c.dy.id) return no_gradient(b, v, NULL), false;
  if (b->leaf[v.id]) return true;
  bool *want = ARENA_ARRAY(b->scratch, bool, c.v.nargs + 1);
  c.d = ARENA_ARRAY(b->scratch, Val, c.v.nargs + 1);
  for (uint32_t i = 0; i < c.v.nargs; i++) want[i] = b->wanted[c.v.args[i].id];
  c.want = want;
  op_hooks[c.v.op].grad(&c);
  if (c.why) return no_gradient(b, v, c.why), false;
  for (uint32_t i = 0; i < c.v.nargs; i++)
    if (c.d[i].id) give(b, &c, i);
  return true;
}

// Nothing is folded into a weight that is marked, nor it into anything.
static void mark_trained(Graph *g, Val v) {
  Value w = *graph_value(g, v);
  Attr attr[ATTR_COUNT];
  uint32_t n = 0;
  for (; n < w.nattr; n++) attr[n] = w.attr[n];
  attr[n++] = attr_int(A_trained, 1);
  Val marked = graph_add_typed(g, OP_weight, NULL, 0, attr, n, &w.type, w.span);
  graph_value(g, marked)->label = w.label;
  graph_replace(g, v, marked);
  graph_value(g, v)->dead = true;
}

// What the gradient of an objective is multiplied by, so that the mean over the objectives of a step is the sum of
// their weighted losses' gradients.
static double share_of(const Train *t, const char *objective) {
  for (size_t i = 0; i < t->nobjective; i++)
    if (!strcmp(t->objective[i].name, objective)) return t->objective[i].weight * (double)t->nobjective;
  return 1;
}

static size_t differentiate(Graph *g, Arena *scratch, const Train *t) {
  graph_compact(g);
  Back b = {.g = g, .scratch = scratch, .known = (uint32_t)g->value.n};
  b.wanted = ARENA_ARRAY(scratch, bool, b.known);
  b.leaf = ARENA_ARRAY(scratch, bool, b.known);
  b.of = ARENA_ARRAY(scratch, Cotangent, b.known);
  find_leaves(&b, t);
  find_wanted(&b);
  Val loss = g->output.at[0].val;
  b.of[loss.id].sum = graph_scalar(g, share_of(t, g->name), val(&b, loss)->span);
  for (uint32_t i = b.known - 1; i > 0; i--)
    if (!walk_value(&b, (Val){i})) return 0;
  size_t n = 0;
  for (uint32_t i = 1; i < b.known; i++) {
    if (!b.leaf[i] || !b.of[i].sum.id) continue;
    Port p = {.name = value_str(val(&b, (Val){i}), A_name), .val = b.of[i].sum, .role = ROLE_gradient};
    VEC_PUSH(g->module->arena, g->output, p);
    n++;
  }
  return n;
}

// A weight that steps change, by its gradient or because it is assigned, is marked wherever it is read: in routes and
// in objectives that do not change it, too, so that it lies in one place in one order, and nobody keeps its first
// value.
static size_t mark_changed(Module *m, Arena *scratch) {
  Intern changed = {.arena = scratch};
  size_t n = 0;
  for (size_t i = 0; i < m->graph.n; i++)
    for (size_t k = 0; k < m->graph.at[i]->output.n; k++) {
      const Port *o = &m->graph.at[i]->output.at[k];
      if (o->role == ROLE_gradient || o->role == ROLE_next) intern(&changed, o->name);
    }
  for (size_t i = 0; i < m->graph.n; i++) {
    Graph *g = m->graph.at[i];
    uint32_t known = (uint32_t)g->value.n;
    for (uint32_t v = 1; v < known; v++) {
      const Value *w = graph_value(g, (Val){v});
      if (w->dead || w->op != OP_weight || value_int(w, A_state, 0) || value_int(w, A_trained, 0)) continue;
      if (is_interned(&changed, value_str(w, A_name))) mark_trained(g, (Val){v}), n++;
    }
    graph_compact(g);
  }
  return n;
}

// Assignments and stops are their operands from here on.
static size_t drop_marks(Graph *g) {
  size_t n = 0;
  for (uint32_t i = 1; i < g->value.n; i++) {
    const Value *v = graph_value(g, (Val){i});
    if (v->dead || (v->op != OP_stop && v->op != OP_assigned)) continue;
    graph_replace(g, (Val){i}, v->args[0]);
    n++;
  }
  if (n) graph_compact(g);
  return n;
}

size_t pass_gradient(Module *m, Arena *scratch, const PassOptions *o) {
  (void)o;
  size_t n = 0;
  for (size_t i = 0; i < m->graph.n; i++) {
    Graph *g = m->graph.at[i];
    ArenaMark mark = arena_mark(scratch);
    if (g->objective && m->train) n += differentiate(g, scratch, m->train);
    if (m->diag->errors) return n;
    n += drop_marks(g);
    (void)graph_dce(g);
    graph_compact(g);
    arena_reset(scratch, mark);
  }
  if (m->train) n += mark_changed(m, scratch);
  return n;
}
