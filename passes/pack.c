// pack.c: chooses the layout of what products and attentions read as weights: the matrix of a product lies in panels,
// its bias in a vector filled up to whole panels, the bias of an attention in rows with room behind them. The layout is
// an operator in front of the view that undoes it (panels.c), so everybody who reads the graph sees it, and what it
// lays out is the packer's work, a kernel's or a weight's own memory like any other value.
//
//   %4 = linear %1, %2, %3
//   => %5 = pack %2 {layout = "panels", panel = 16} : f32[48,768,16] res const;  %6 = unpack %5 {..} : f32[768,768]
//      %7 = pack %3 {layout = "vector", panel = 16} : f32[768] res const;  %8 = unpack %7 {..} : f32[768]
//      %4 = linear %1, %6, %8
//
// A weight that training changes lies in one place, in one order: in the order of its only pack (`stored = 1`: the pack
// is its memory, and loading makes it), else row-major, and kernels pack it at every call. Columns of such a matrix
// that begin and end with panels are taken from its panels. Where a step updates weights in place, its gradient and
// what it holds next are laid out like it.
#include "ir/op/op.h"
#include "pass.h"

#include <string.h>

PassFn pass_pack;

typedef struct Packing {
  Graph *g;
  size_t changes;
} Packing;

static const Value *val(const Packing *p, Val v) {
  return graph_value(p->g, v);
}

static bool is_trained(const Packing *p, Val v) {
  Res r = graph_residency(p->g, v);
  return r != RES_const && r != RES_act;
}

// Reshapes and transpositions of a weight: all of its elements, each once.
static bool is_whole_weight(const Graph *g, Val v) {
  const Value *x = graph_value(g, v);
  while (x->op == OP_reshape || x->op == OP_transpose) x = graph_value(g, x->args[0]);
  return x->op == OP_weight;
}

static bool can_pack(const Packing *p, Val v, int rank) {
  const Type *t = &val(p, v)->type;
  if (t->rank != rank || t->nseg || type_has_runtime_dim(t) || dtype_info[t->dtype].kind != DK_FLOAT) return false;
  return graph_residency(p->g, v) <= RES_param || is_whole_weight(p->g, v);
}

static Val add_pack(Packing *p, Val v, PackForm f) {
  Attr attr[4];
  size_t n = pack_attrs(f, attr);
  return graph_add(p->g, OP_pack, &v, 1, attr, n, val(p, v)->span);
}

static Val add_unpack(Packing *p, Val v, PackForm f, const Type *t) {
  Attr attr[4];
  size_t n = pack_attrs(f, attr);
  p->changes++;
  return graph_add_typed(p->g, OP_unpack, &v, 1, attr, n, t, val(p, v)->span);
}

// Columns a.. of a trained matrix that are whole panels of it: [start, start + n) of the panels.
static bool whole_panels(const Packing *p, Val slice, PackForm f, int64_t *start, int64_t *n) {
  const Value *s = val(p, slice);
  if (s->op != OP_slice || !is_whole_weight(p->g, s->args[0]) || !is_trained(p, s->args[0])) return false;
  int axis = f.trans ? 1 : 0;
  int64_t from = value_int(s, A_start, 0), len = s->type.dim[axis].c, all = val(p, s->args[0])->type.dim[axis].c;
  *start = from / f.panel, *n = (len + f.panel - 1) / f.panel;
  return value_int(s, A_axis, 0) == axis && from % f.panel == 0 && (len % f.panel == 0 || from + len == all);
}

static Val in_panels(Packing *p, Val w, PackForm f) {
  int64_t start, n;
  Type t = val(p, w)->type;
  if (!whole_panels(p, w, f, &start, &n)) return add_unpack(p, add_pack(p, w, f), f, &t);
  Val all = add_pack(p, val(p, w)->args[0], f);
  Type part = val(p, all)->type;
  part.dim[0] = DIM(n);
  Attr attr[] = {attr_int(A_axis, 0), attr_int(A_start, start)};
  return add_unpack(p, graph_add_typed(p->g, OP_slice, &all, 1, attr, 2, &part, val(p, w)->span), f, &t);
}

// What lies below the views of v that may stay above the layout, with the layout below them. Slices stay where others
// may read the whole (`slices`): the biases of the layers of an attention, vectors that training changes.
static Val under_views(Packing *p, Val v, PackForm f, bool slices) {
  Value x = *val(p, v);
  if ((x.op == OP_slice && slices) || x.op == OP_widen) {
    Val below = under_views(p, x.args[0], f, slices && x.op == OP_slice);
    return graph_add_typed(p->g, x.op, &below, 1, x.attr, x.nattr, &x.type, x.span);
  }
  return f.kind == PACK_panels ? in_panels(p, v, f) : add_unpack(p, add_pack(p, v, f), f, &x.type);
}

static void pack_product(Packing *p, Val product) {
  Value x = *val(p, product);
  bool bias = product_bias(&x).id != 0;
  PanelProduct made;
  if (x.op == OP_outer || x.op == OP_outer_rows) return; // both operands are rows
  if (product_panels(p->g, product, &made)) return;      // of a dump that is read again
  if (!can_pack(p, x.args[1], 2) || (bias && !can_pack(p, x.args[2], 1))) return;
  Val w = under_views(p, x.args[1], product_form(&x), false);
  if (bias) x.args[2] = under_views(p, x.args[2], (PackForm){PACK_vector, false, PANEL}, is_trained(p, x.args[2]));
  x.args[1] = w;
}

static void pack_attention(Packing *p, Val attention) {
  Value x = *val(p, attention);
  for (uint32_t i = 3; i < attention_operands(&x); i++) {
    const Type *t = &val(p, x.args[i])->type;
    Access made;
    if (dtype_info[t->dtype].kind != DK_FLOAT || type_has_runtime_dim(t) || rows_with_room(p->g, x.args[i], &made))
      continue;
    x.args[i] = under_views(p, x.args[i], (PackForm){PACK_rows, false, PANEL}, true);
  }
}

static void pack_graph(Packing *p) {
  size_t known = p->g->value.n;
  for (uint32_t i = 1; i < known; i++) {
    const Value *v = val(p, (Val){i});
    if (v->dead || graph_is_packed(p->g, (Val){i})) continue;
    if (op_info[v->op].flags & F_CONTRACTION) pack_product(p, (Val){i});
    if ((op_info[v->op].flags & F_ATTENTION) || v->op == OP_attention_grad) pack_attention(p, (Val){i});
  }
  graph_dce(p->g);
  graph_compact(p->g);
}

/* where trained weights lie --------------------------------------------------------------------------------------- */
typedef struct Home {
  const char *name;  // of the weight
  const char *views; // all of it as its readers, in all graphs, see it, as text; NULL: they see several things
  PackForm form;     // of the first of them
} Home;
typedef VEC(Home) Homes;

static void put_view(const Graph *g, const Value *v, Buf *b) {
  buf_printf(b, "%s ", op_info[v->op].name);
  for (uint32_t i = 0; i < v->nattr; i++)
    for (size_t k = 0; k < v->attr[i].nv; k++) buf_printf(b, "%lld,", (long long)v->attr[i].v[k]);
  type_print(b, g->module, &v->type);
}

static bool is_output(const Graph *g, Val v) {
  for (size_t i = 0; i < g->output.n; i++)
    if (g->output.at[i].val.id == v.id) return true;
  return false;
}

// Follows the only reader of the weight, as long as that is a view of all of it; one in the order of its elements,
// where updates are made in place.
static Val last_view(const Graph *g, Val v, Buf *views) {
  bool turned = !g->module->train || !g->module->train->in_place;
  for (;;) {
    size_t n;
    const uint32_t *user = graph_users(g, v, &n);
    const Value *u = n == 1 ? &g->value.at[user[0]] : NULL;
    if (!u || (u->op != OP_reshape && (u->op != OP_transpose || !turned)) || is_output(g, v)) return v;
    put_view(g, u, views);
    v = (Val){user[0]};
  }
}

// Do packs alone read v, and if several, as panels? *form: of the first.
static bool only_packs(const Graph *g, Val v, PackForm *form) {
  size_t n;
  const uint32_t *user = graph_users(g, v, &n);
  if (!n || is_output(g, v)) return false;
  for (size_t i = 0; i < n; i++) {
    const Value *u = &g->value.at[user[i]];
    if (u->op != OP_pack || value_attr(u, A_to) || (n > 1 && pack_form(u).kind != PACK_panels)) return false;
  }
  *form = pack_form(&g->value.at[user[0]]);
  return true;
}

static bool same_form(PackForm a, PackForm b) {
  return a.kind == b.kind && a.trans == b.trans && a.panel == b.panel;
}

static Home *home_of(Homes *h, const char *name) {
  for (size_t i = 0; i < h->n; i++)
    if (!strcmp(h->at[i].name, name)) return &h->at[i];
  return NULL;
}

static void find_homes(const Graph *g, Homes *h, Arena *scratch) {
  for (uint32_t i = 1; i < g->value.n; i++) {
    const Value *v = &g->value.at[i];
    if (v->dead || v->op != OP_weight || graph_residency(g, (Val){i}) == RES_const) continue;
    Buf views = {0};
    PackForm form = {0};
    buf_puts(&views, "all");
    bool packed = only_packs(g, last_view(g, (Val){i}, &views), &form);
    Home *known = home_of(h, value_str(v, A_name));
    if (!known)
      VEC_PUSH(scratch, *h, ((Home){value_str(v, A_name), packed ? arena_strdup(scratch, views.s) : NULL, form}));
    else if (!packed || !known->views || strcmp(views.s, known->views) != 0 ||
             (!same_form(form, known->form) && (form.kind != PACK_panels || known->form.kind != PACK_panels)))
      known->views = NULL;
    buf_free(&views);
  }
}

static void mark_stored(Graph *g, Val pack) {
  Value *v = graph_value(g, pack);
  Attr *attr = ARENA_ARRAY(g->module->arena, Attr, v->nattr + 1);
  uint32_t n = 0;
  for (uint32_t i = 0; i < v->nattr; i++)
    if (v->attr[i].key < A_stored) attr[n++] = v->attr[i];
  attr[n++] = attr_int(A_stored, 1);
  for (uint32_t i = 0; i < v->nattr; i++)
    if (v->attr[i].key > A_stored) attr[n++] = v->attr[i];
  v->attr = attr, v->nattr = n;
}

// One pack of v is its memory, the others are made of that.
static void settle_weight(Packing *p, Val v, const Home *home) {
  Graph *g = p->g;
  Val stored = NO_VAL, *pack;
  size_t n;
  Type t = val(p, v)->type;
  const uint32_t *user = graph_users(g, v, &n);
  Arena a = {0};
  pack = ARENA_ARRAY(&a, Val, n);
  for (size_t i = 0; i < n; i++) {
    pack[i] = (Val){user[i]};
    if (same_form(pack_form(val(p, pack[i])), home->form)) stored = pack[i];
  }
  if (!stored.id) stored = add_pack(p, v, home->form);
  mark_stored(g, stored);
  for (size_t i = 0; i < n; i++)
    if (pack[i].id != stored.id) {
      Val matrix = add_unpack(p, stored, home->form, &t);
      graph_value(g, pack[i])->args[0] = matrix;
    }
  arena_free(&a);
}

static size_t settle(Graph *g, Homes *h) {
  Packing p = {.g = g};
  size_t known = g->value.n;
  for (uint32_t i = 1; i < known; i++) {
    const Value *v = &g->value.at[i];
    const Home *home = v->op == OP_weight && !v->dead ? home_of(h, value_str(v, A_name)) : NULL;
    Buf views = {0};
    if (home && home->views) settle_weight(&p, last_view(g, (Val){i}, &views), home);
    buf_free(&views);
  }
  graph_compact(g);
  return p.changes;
}

/* what a step leaves ---------------------------------------------------------------------------------------------- */
static Val weight_of(const Graph *g, const char *name) {
  for (uint32_t i = 1; i < g->value.n; i++) {
    const Value *v = &g->value.at[i];
    if (!v->dead && v->op == OP_weight && !strcmp(value_str(v, A_name), name)) return (Val){i};
  }
  return NO_VAL;
}

// x, an output of g that belongs to weight w of graph `from`, through the views of w down to its memory.
static Val as_stored(Graph *g, Val x, const Graph *from, Val w, PackForm form) {
  for (;;) {
    size_t n;
    const uint32_t *user = graph_users(from, w, &n);
    const Value *u = n == 1 ? &from->value.at[user[0]] : NULL;
    if (!u || u->op != OP_reshape) break;
    w = (Val){user[0]};
    x = graph_add_typed(g, OP_reshape, &x, 1, u->attr, u->nattr, &u->type, graph_value(g, x)->span);
  }
  Attr attr[4];
  size_t n = pack_attrs(form, attr);
  return graph_add(g, OP_pack, &x, 1, attr, n, graph_value(g, x)->span);
}

static size_t settle_outputs(Graph *g, Homes *h) {
  size_t n = 0;
  for (size_t i = 0; i < g->output.n; i++) {
    Port *o = &g->output.at[i];
    const Home *home = o->role == ROLE_gradient || o->role == ROLE_next ? home_of(h, o->name) : NULL;
    Val w = NO_VAL;
    const Graph *from = g;
    if (!home || !home->views) continue;
    w = weight_of(g, o->name);
    for (size_t k = 0; !w.id && k < g->module->graph.n; k++) w = weight_of(from = g->module->graph.at[k], o->name);
    o->val = as_stored(g, o->val, from, w, home->form);
    n++;
  }
  return n;
}

size_t pass_pack(Module *m, Arena *scratch, const PassOptions *o) {
  (void)o;
  size_t changes = 0;
  Homes h = {0};
  for (size_t i = 0; i < m->graph.n; i++) {
    Packing p = {.g = m->graph.at[i]};
    pack_graph(&p);
    find_homes(p.g, &h, scratch);
    changes += p.changes;
  }
  for (size_t i = 0; i < m->graph.n && h.n; i++) changes += settle(m->graph.at[i], &h);
  for (size_t i = 0; i < m->graph.n && m->train && m->train->in_place; i++)
    changes += settle_outputs(m->graph.at[i], &h);
  return changes;
}
