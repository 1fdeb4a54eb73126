// layout.c: chooses the pitch of stored rows and moves the parts of a concat into it.
//
// Rows of an intermediate start 64 bytes aligned (pitch a multiple of 16 elements), and a pitch whose bytes are a
// multiple of 2048 gets one line more: rows a page apart fall into one set of the first-level cache, and a product
// reads 6 to 14 rows at once. Route outputs are never padded. A part of a concat has no storage of its own: alias and
// alias_offset.
//
//   %6 = gelu %5 : f32[B,197,3072] group 3 pitch 3088
#include "pass.h"

PassFn pass_layout;

enum { ROW_ALIGN = 16, ALIAS_BYTES = 2048 };

static bool *outputs(const Graph *g, Arena *scratch) {
  bool *is = ARENA_ARRAY(scratch, bool, g->value.n);
  for (size_t i = 0; i < g->output.n; i++) is[g->output.at[i].val.id] = true;
  for (uint32_t i = 1; i < g->value.n; i++) is[i] = is[i] || value_is_version(&g->value.at[i]);
  return is;
}

// Values that are stored: roots of groups, and concats of them (not of weights, which the packer evaluates).
static bool *stored_values(const Graph *g, Arena *scratch) {
  bool *stored = ARENA_ARRAY(scratch, bool, g->value.n);
  GroupList groups = groups_collect(g, scratch);
  for (size_t i = 0; i < groups.n; i++) stored[groups.at[i].root.id] = true;
  for (uint32_t i = 1; i < g->value.n; i++) {
    const Value *v = &g->value.at[i];
    for (uint32_t p = 0; v->op == OP_concat && p < v->nargs; p++) stored[i] = stored[i] || stored[v->args[p].id];
  }
  return stored;
}

static void alias_parts(Graph *g, const bool *stored, Val concat) {
  const Module *m = g->module;
  Value *c = graph_value(g, concat);
  int axis = (int)value_int(c, A_axis, 0);
  int64_t stride = access_resolve(g, concat).stride[axis]; // the concat may itself lie inside another
  int64_t at = 0;
  for (uint32_t p = 0; p < c->nargs; p++) {
    Value *part = graph_value(g, c->args[p]);
    if (!stored[c->args[p].id]) ICE("layout: part %%%u of concat %%%u is not stored", c->args[p].id, concat.id);
    part->alias = concat;
    part->alias_offset = at * stride;
    part->place.kind = PLACE_ALIAS;
    part->pitch = 0; // the concat's counts
    at += type_extent(m, &part->type, axis);
  }
}

// A copy whose rows are cut otherwise than those that it reads (a reshape) goes through the elements in their order.
static bool cuts_rows(const Graph *g, const Value *v) {
  const Type *from = &graph_value(g, v->args[0])->type;
  return v->group && v->op == OP_reshape && from->rank && v->type.rank &&
         !dim_equal(from->dim[from->rank - 1], v->type.dim[v->type.rank - 1]);
}

// A view that strides expressed before rows were padded must stay expressible: its storage goes without a pitch. So
// does what such a copy reads. True if some pitch was taken back.
static bool unpad_for_views(Graph *g) {
  bool changed = false;
  for (uint32_t i = 1; i < g->value.n; i++) {
    Value *v = &g->value.at[i];
    if (v->dead || !(op_info[v->op].flags & F_VIEW)) continue;
    if (v->group ? !cuts_rows(g, v) : access_resolve(g, (Val){i}).ok) continue;
    if (v->group) {
      changed = changed || v->pitch;
      v->pitch = 0;
      v = graph_value(g, v->args[0]);
    }
    while ((op_info[v->op].flags & F_VIEW) && !v->group) v = graph_value(g, v->args[0]);
    while (v->alias.id) v = graph_value(g, v->alias);
    changed = changed || v->pitch;
    v->pitch = 0;
  }
  return changed;
}

size_t pass_layout(Module *m, Arena *scratch, const PassOptions *o) {
  (void)o;
  size_t changes = 0;
  for (size_t gi = 0; gi < m->graph.n; gi++) {
    Graph *g = m->graph.at[gi];
    ArenaMark mark = arena_mark(scratch);
    bool *stored = stored_values(g, scratch), *output = outputs(g, scratch);
    for (uint32_t i = 1; i < g->value.n; i++) {
      Value *v = &g->value.at[i];
      if (!stored[i] || v->type.rank < 2 || output[i]) continue;
      int64_t row = type_extent(m, &v->type, v->type.rank - 1);
      int64_t size = (int64_t)dtype_info[v->type.dtype].bytes;
      if (v->op == OP_pack) continue; // its type says what lies where
      if (row == 1) continue;         // results of reductions: one number a row
      int64_t pitch = (row + ROW_ALIGN - 1) / ROW_ALIGN * ROW_ALIGN;
      if (pitch * size % ALIAS_BYTES == 0) pitch += ROW_ALIGN;
      if (pitch == row) continue;
      v->pitch = pitch;
      changes++;
    }
    do
      for (uint32_t i = (uint32_t)g->value.n; i-- > 1;) // outer concats first
        if (stored[i] && g->value.at[i].op == OP_concat) alias_parts(g, stored, (Val){i}), changes++;
    while (unpad_for_views(g));
    arena_reset(scratch, mark);
  }
  return changes;
}
