// panels.c: which products and attentions read their weights in the layouts that the pass `pack` made. One place says
// what a kernel can read: fuse, the proof of plans and the lowerings ask here.
//
//   %4 = pack %3 {layout = "panels", panel = 16} : f32[48,768,16]      evaluated by the packer, a kernel's, an input,
//   .. %5 = unpack %4 {layout = "panels", panel = 16} : f32[768,768]      no strides express it, and nothing needs
//   them: %6 = linear %2, %5                                                 the kernel reads %4
#include "pass.h"

static bool is_view(const Graph *g, Val v, Op op) {
  const Value *x = graph_value(g, v);
  return x->op == op && !x->group;
}

static Val below_widen(const Graph *g, Val v) {
  while (is_view(g, v, OP_widen)) v = graph_value(g, v)->args[0];
  return v;
}

PackForm product_form(const Value *product) {
  bool rows = product->op == OP_linear || product->op == OP_linear_rows; // its weight is [N,K]
  bool turned = rows == (value_int(product, A_trans, 0) != 0);
  return (PackForm){PACK_panels, turned, PANEL};
}

Val product_bias(const Value *product) {
  return product->op == OP_linear && product->nargs == 3 ? product->args[2] : NO_VAL;
}

static bool panels_of(const Graph *g, Val w, PackForm want, Access *a) {
  w = below_widen(g, w);
  if (!is_view(g, w, OP_unpack)) return false;
  const Value *x = graph_value(g, w);
  PackForm have = pack_form(x);
  if (have.kind != want.kind || have.trans != want.trans || have.panel != want.panel || x->type.rank != 2) return false;
  int64_t k = type_extent(g->module, &x->type, want.trans ? 0 : 1);
  *a = access_resolve(g, x->args[0]);
  return a->ok && a->stride[2] == 1 && a->stride[1] == PANEL && a->stride[0] == k * PANEL;
}

// The unpack of rows or of a vector below slices, which leave what stands behind the rows where it is.
static bool padded_below(const Graph *g, Val v, PackKind kind) {
  while (is_view(g, v, OP_slice) || is_view(g, v, OP_widen)) v = graph_value(g, v)->args[0];
  if (!is_view(g, v, OP_unpack)) return false;
  PackForm f = pack_form(graph_value(g, v));
  return f.kind == kind && f.panel == PANEL;
}

static bool vector_of(const Graph *g, Val bias, Access *a) {
  int64_t n = type_extent(g->module, &graph_value(g, bias)->type, 0);
  *a = access_resolve(g, bias);
  return padded_below(g, bias, PACK_vector) && a->ok && a->stride[0] == 1 &&
         a->offset + round_up(n, PANEL) <= storage_elements(g, a->base);
}

bool product_panels(const Graph *g, Val product, PanelProduct *out) {
  const Value *v = graph_value(g, product);
  *out = (PanelProduct){0};
  if (!(op_info[v->op].flags & F_CONTRACTION) || !panels_of(g, v->args[1], product_form(v), &out->w)) return false;
  Val bias = product_bias(v);
  return !bias.id || vector_of(g, bias, &out->bias);
}

bool panels_below(const Graph *g, Val v, Val *panels, PackForm *form) {
  v = below_widen(g, v);
  if (!is_view(g, v, OP_unpack)) return false;
  *panels = graph_value(g, v)->args[0];
  *form = pack_form(graph_value(g, v));
  return form->kind == PACK_panels && access_resolve(g, *panels).ok;
}

// A pack of panels that are of the same width: it reads them where they lie, and turns them.
static bool repacks(const Graph *g, const Value *pack) {
  Val panels;
  PackForm from, to = pack_form(pack);
  return pack->op == OP_pack && to.kind == PACK_panels && panels_below(g, pack->args[0], &panels, &from) &&
         from.panel == to.panel;
}

bool rows_with_room(const Graph *g, Val v, Access *a) {
  *a = access_resolve(g, v);
  return padded_below(g, v, PACK_rows) && a->ok;
}

bool panels_alone(const Graph *g, Val view) {
  size_t n, reads = 0;
  const uint32_t *list = graph_users(g, view, &n);
  Arena a = {0};
  uint32_t *user = ARENA_ARRAY(&a, uint32_t, n + 1); // the list is the next call's
  for (size_t i = 0; i < n; i++) user[i] = list[i];
  bool alone = is_view(g, view, OP_unpack) || is_view(g, view, OP_widen);
  for (size_t i = 0; i < n && alone; i++) {
    const Value *u = &g->value.at[user[i]];
    PanelProduct p;
    bool weight = false, other = false;
    for (uint32_t k = 0; k < u->nargs && !u->dead; k++)
      if (u->args[k].id == view.id) weight = weight || k == 1, other = other || k != 1;
    if (!weight && !other) continue; // it read this before
    reads++;
    if (is_view(g, (Val){user[i]}, OP_widen))
      alone = panels_alone(g, (Val){user[i]});
    else
      alone = repacks(g, u) || (weight && !other && product_panels(g, (Val){user[i]}, &p));
  }
  for (size_t i = 0; i < g->output.n; i++) alone = alone && g->output.at[i].val.id != view.id;
  arena_free(&a);
  return alone && reads;
}
