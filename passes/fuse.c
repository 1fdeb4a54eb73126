// fuse.c: forms groups; each becomes one kernel. A group grows around an anchor (a matrix product, an attention, a row
// operator) or is a map of pointwise work and data movement.
//
// A value joins the group of an operand when it is elementwise, has the operand's type, and is its only reader, as long
// as the kernel has arguments left. What
// the group's root is fed from outside is read through strides (access.c); views that no strides express, outputs that
// are only views, and parts of a concat that live elsewhere get a copy, which is a view with a group of its own.
//
// Invariants afterwards: see pass.h. Weight-only values never have a group, except where a run-time dim stretches them.
//
//   %5 = linear %4, %w1, %b1 : f32[B,197,3072] group 3
//   %6 = gelu %5 : f32[B,197,3072] group 3            # root: %5 is never stored
#include "pass.h"
#include "ir/op/op.h"

PassFn pass_fuse;

typedef struct Fuser {
  Graph *g;
  const PassOptions *opt;
  Uses uses;
  uint32_t known;  // values older than the copies made here
  uint32_t groups; // numbers handed out
  bool *only_map;  // by group of values that are no copies: nothing but pointwise work and data movement so far
  bool *data;      // by the same: rows chosen by data are in it
  uint32_t *reads; // by the same: operands from outside
  VEC(uint32_t) moving;
  Arena *scratch;
} Fuser;

enum { MOST_READS = MAX_KERNEL_ARGS - 2 }; // of a group: a kernel has its result and its scratch beside them

static Value *val(const Fuser *f, Val v) {
  return graph_value(f->g, v);
}
static uint32_t flags_of(const Fuser *f, Val v) {
  return op_info[val(f, v)->op].flags;
}

static bool packed(const Fuser *f, Val v) {
  return graph_is_packed(f->g, v);
}

static bool single_use(const Fuser *f, Val v) {
  return v.id < f->known && f->uses.start[v.id + 1] - f->uses.start[v.id] == 1 &&
         f->uses.user[f->uses.start[v.id]] != UINT32_MAX;
}

static bool same_shape(const Type *a, const Type *b) {
  if (a->rank != b->rank) return false;
  for (int d = 0; d < a->rank; d++)
    if (!dim_equal(a->dim[d], b->dim[d])) return false;
  return true;
}

// Does a member of the group read v already? (A group that v is a part of has it anyway.)
static bool group_reads(const Fuser *f, Val v, uint32_t group) {
  for (uint32_t u = f->uses.start[v.id]; group && u < f->uses.start[v.id + 1]; u++)
    if (f->uses.user[u] != UINT32_MAX && f->g->value.at[f->uses.user[u]].group == group) return true;
  return false;
}

// Operands of v that its kernel gets as arguments, if it joins `group` or, 0, begins one.
static uint32_t reads_of(const Fuser *f, Val v, uint32_t group) {
  const Value *x = val(f, v);
  uint32_t n = 0;
  for (uint32_t i = 0; i < value_operands(x); i++) {
    const Value *arg = val(f, x->args[i]);
    bool known = group && (arg->group == group || group_reads(f, x->args[i], group));
    n += arg->op != OP_constant && !known;
  }
  return n;
}

// The group an elementwise value may join: that of the operand computed last whose only reader it is, one that is no
// map before one that is.
static uint32_t group_to_join(const Fuser *f, Val v) {
  const Value *e = val(f, v);
  uint32_t best = 0, best_id = 0;
  for (uint32_t i = 0; i < e->nargs; i++) {
    Val u = e->args[i];
    const Value *o = val(f, u);
    if (!o->group || (best && f->only_map[best] == f->only_map[o->group] && u.id < best_id)) continue;
    if (best && !f->only_map[best] && f->only_map[o->group]) continue;
    if (flags_of(f, u) & (F_VIEW | F_WRITES)) continue; // a copy; a state changed in place
    if (flags_of(f, u) & F_ALONE) continue;
    if (dtype_is_narrow(o->type.dtype)) continue; // rounded by being stored
    if (!same_shape(&o->type, &e->type)) continue;
    if (!single_use(f, u)) continue; // it must be stored
    if (f->reads[o->group] + reads_of(f, v, o->group) > MOST_READS) continue;
    best = o->group;
    best_id = u.id;
  }
  return best;
}

// A map that yields u alone may be computed in the kernel of another operand of the value that reads it: the slope of
// an activation behind the product that it is multiplied with.
static bool may_move(const Fuser *f, Val u, const Type *t) {
  const Value *o = val(f, u);
  if (!o->group || !f->only_map[o->group] || f->data[o->group] || dtype_is_narrow(o->type.dtype)) return false;
  return !(flags_of(f, u) & (F_VIEW | F_WRITES | F_ALONE)) && same_shape(&o->type, t) && single_use(f, u);
}

// Gives the members of u's group to another one.
static void move_group(Fuser *f, Val u, uint32_t to) {
  uint32_t from = val(f, u)->group;
  size_t first = f->moving.n;
  VEC_PUSH(f->scratch, f->moving, u.id);
  while (f->moving.n > first) {
    Value *x = &f->g->value.at[f->moving.at[--f->moving.n]];
    if (x->group != from) continue;
    x->group = to;
    for (uint32_t i = 0; i < x->nargs; i++) VEC_PUSH(f->scratch, f->moving, x->args[i].id);
  }
  f->reads[to] += f->reads[from];
}

// Moves the maps that elementwise value v reads into the group that it joins.
static void move_maps(Fuser *f, Val v, uint32_t join) {
  const Value *e = val(f, v);
  for (uint32_t i = 0; i < e->nargs; i++) {
    uint32_t from = val(f, e->args[i])->group;
    if (!from || from == join || !may_move(f, e->args[i], &e->type)) continue;
    if (f->reads[join] + f->reads[from] + reads_of(f, v, join) <= MOST_READS) move_group(f, e->args[i], join);
  }
}

// A row operator takes pointwise work in front of it into its own kernel (embedding sums, position sums).
static uint32_t map_to_join(const Fuser *f, Val v) {
  const Value *e = val(f, v);
  Val u = e->args[0];
  const Value *o = val(f, u);
  if (!o->group || !single_use(f, u) || (flags_of(f, u) & (F_VIEW | F_CONTRACTION | F_ATTENTION | F_ROWWISE))) return 0;
  if (dtype_is_narrow(o->type.dtype)) return 0;
  return f->only_map[o->group] ? o->group : 0; // the whole group, and none of it a patchify
}

// Is this operand of a product read from the panels below it?
static bool read_in_panels(const Fuser *f, Val w) {
  return packed(f, w) || panels_alone(f->g, w);
}

// Patches and windows become part of the product that reads them: its kernel reads the image at their addresses, and
// nothing is copied.
static uint32_t windows_to_join(const Fuser *f, Val v) {
  const Value *e = val(f, v);
  Val u = e->args[0];
  const Value *o = val(f, u);
  PanelProduct p;
  if (e->op != OP_linear || !o->group || !single_use(f, u) || !(flags_of(f, u) & F_WINDOWS)) return 0;
  if (!product_panels(f->g, v, &p) || !read_in_panels(f, e->args[1])) return 0;
  if (packed(f, o->args[0]) || !access_resolve(f->g, o->args[0]).ok) return 0;
  return o->group;
}

static Val copy_of(Fuser *f, Val v, const Type *t, Span at) {
  // an identity reshape with a group of its own; never shared, so it is appended without hash-consing
  Value c = {.op = OP_reshape, .type = *t, .nargs = 1, .span = at, .group = ++f->groups};
  c.args = ARENA_NEW(f->g->module->arena, Val);
  c.args[0] = v;
  VEC_PUSH(f->g->module->arena, f->g->value, c);
  return (Val){(uint32_t)f->g->value.n - 1};
}

static bool materialised(const Fuser *f, Val v) {
  return val(f, v)->group != 0 || val(f, v)->op == OP_concat;
}

// Operands of groups must be reachable through strides; make the first view that is not a copy.
static void mend_views(Fuser *f) {
  for (uint32_t i = 1; i < f->known; i++) {
    Value *v = &f->g->value.at[i];
    if (v->dead || packed(f, (Val){i}) || !(op_info[v->op].flags & F_VIEW) || v->group) continue;
    if (!access_resolve(f->g, (Val){i}).ok && !panels_alone(f->g, (Val){i})) v->group = ++f->groups;
  }
}

// Products and attention read memory. A constant over a run-time dim becomes a packed one that is stretched.
static void mend_constants(Fuser *f) {
  Arena *a = f->g->module->arena;
  for (uint32_t i = 1; i < f->known; i++) {
    uint32_t flags = op_info[f->g->value.at[i].op].flags;
    if (f->g->value.at[i].dead || !(flags & (F_CONTRACTION | F_ATTENTION))) continue;
    for (uint32_t p = 0; p < f->g->value.at[i].nargs && p < 3; p++) {
      Val arg = f->g->value.at[i].args[p];
      const Value *below = val(f, arg);
      while ((op_info[below->op].flags & F_VIEW) && !below->group) below = val(f, below->args[0]);
      if (below->op != OP_constant || !type_has_runtime_dim(&below->type)) continue;
      Value one = *below, wide = {.op = OP_broadcast, .type = val(f, arg)->type, .nargs = 1, .span = below->span};
      one.type = (Type){.dtype = below->type.dtype, .rank = wide.type.rank};
      for (int d = 0; d < one.type.rank; d++)
        one.type.dim[d] = dim_is_const(wide.type.dim[d]) ? wide.type.dim[d] : DIM(1);
      VEC_PUSH(a, f->g->value, one);
      wide.args = ARENA_NEW(a, Val);
      wide.args[0] = (Val){(uint32_t)f->g->value.n - 1};
      VEC_PUSH(a, f->g->value, wide);
      f->g->value.at[i].args[p] = (Val){(uint32_t)f->g->value.n - 1};
    }
  }
}

static bool root_of_group(const Fuser *f, Val v) { // stored: some reader is outside its group
  const Value *x = val(f, v);
  if (!x->group) return false;
  if (v.id >= f->known) return true;
  for (uint32_t u = f->uses.start[v.id]; u < f->uses.start[v.id + 1]; u++) {
    uint32_t user = f->uses.user[u];
    if (user == UINT32_MAX || f->g->value.at[user].group != x->group) return true;
  }
  return false;
}

// Parts of a concat are stored in place when the concat is their only reader; others are copied into it. So is a concat
// that holds ALIAS_DEPTH others one in the other.
static void mend_concats(Fuser *f, Arena *scratch) {
  int *depth = ARENA_ARRAY(scratch, int, f->known); // of concats: how many lie one in the other, from here
  for (uint32_t i = 1; i < f->known; i++) {
    if (f->g->value.at[i].dead || f->g->value.at[i].op != OP_concat || packed(f, (Val){i})) continue;
    for (uint32_t p = 0; p < f->g->value.at[i].nargs; p++) {
      Val part = f->g->value.at[i].args[p];
      bool in_place =
          (root_of_group(f, part) || val(f, part)->op == OP_concat) && !packed(f, part) && single_use(f, part);
      int inner = in_place && part.id < f->known ? depth[part.id] : 0;
      if (inner == ALIAS_DEPTH) in_place = false, inner = 0;
      depth[i] = depth[i] > inner + 1 ? depth[i] : inner + 1;
      if (in_place) continue;
      Type t = val(f, part)->type;
      Val copy = copy_of(f, part, &t, f->g->value.at[i].span);
      f->g->value.at[i].args[p] = copy;
    }
  }
}

// An output must be a root or concat of its own: not a view, not a source, and each named once.
static void mend_outputs(Fuser *f, Arena *scratch) {
  bool *taken = ARENA_ARRAY(scratch, bool, f->g->value.n); // stored inside a concat, or as an output before
  for (uint32_t u = 1; u < f->g->value.n; u++) {
    const Value *c = &f->g->value.at[u];
    for (uint32_t p = 0; c->op == OP_concat && !c->dead && p < c->nargs; p++) taken[c->args[p].id] = true;
  }
  for (size_t i = 0; i < f->g->output.n; i++) {
    Val v = f->g->output.at[i].val;
    bool free_place = !taken[v.id];
    taken[v.id] = true;
    if (materialised(f, v) && !packed(f, v) && free_place) continue;
    Type t = val(f, v)->type;
    f->g->output.at[i].val = copy_of(f, v, &t, val(f, v)->span);
  }
}

static size_t fuse_graph(Graph *g, Arena *scratch, const PassOptions *o) {
  Fuser f = {.g = g, .opt = o, .uses = graph_uses(g, scratch), .known = (uint32_t)g->value.n, .scratch = scratch};
  f.only_map = ARENA_ARRAY(scratch, bool, g->value.n + 1);
  f.data = ARENA_ARRAY(scratch, bool, g->value.n + 1);
  f.reads = ARENA_ARRAY(scratch, uint32_t, g->value.n + 1);
  for (uint32_t i = 1; i < f.known; i++) {
    Val v = {i};
    Value *x = val(&f, v);
    uint32_t flags = op_info[x->op].flags;
    if (x->dead || (flags & (F_SOURCE | F_VIEW)) || x->op == OP_concat || packed(&f, v)) continue;
    uint32_t join = 0;
    if (flags & F_ELEMENTWISE) join = group_to_join(&f, v);
    if ((flags & F_ROWWISE) && !(flags & F_CONTRACTION)) join = map_to_join(&f, v);
    if (flags & F_CONTRACTION) join = windows_to_join(&f, v);
    if ((flags & F_ELEMENTWISE) && join) move_maps(&f, v, join);
    uint32_t reads = reads_of(&f, v, join);
    x->group = join ? join : ++f.groups;
    f.reads[x->group] += reads;
    bool map = !(flags & (F_CONTRACTION | F_ATTENTION | F_ROWWISE | F_APART));
    f.only_map[x->group] = map && (!join || f.only_map[join]);
    f.data[x->group] = f.data[x->group] || (flags & F_DATA);
  }
  mend_constants(&f);
  mend_views(&f);
  mend_concats(&f, scratch);
  mend_outputs(&f, scratch);
  graph_compact(g);
  return f.groups;
}

size_t pass_fuse(Module *m, Arena *scratch, const PassOptions *o) {
  size_t changes = 0;
  for (size_t i = 0; i < m->graph.n; i++) {
    ArenaMark mark = arena_mark(scratch);
    changes += fuse_graph(m->graph.at[i], scratch, o);
    arena_reset(scratch, mark);
  }
  return changes;
}
