// adapt.c: `adapt "*.attn.*": rank = 8`: linears with low-rank adapters (ir/adapter.h). A linear whose weight a pattern
// fits gets its adapter where it is elaborated, in objectives and in routes, so that all that reads the graph
// afterwards sees one network; the dropout in front of A is one of the objective's like all others.
//
// What is merged later, W + scale * B A, is the same network only if linears alone read W: another reader (the table of
// a tied word embedding, an average, an assignment) is an error here. Patterns of `freeze` behind the `adapt` leave
// weights out.
#include "elab.h"
#include "ir/adapter.h"

#include <string.h>

enum { FIRST_SITE = 1 << 20 }; // of dropouts in front of adapters: those of the page keep their numbers

void adapt_begin(Elab *e) {
  for (size_t i = 0; e->opt->stage && e->m->stage.n && i < e->m->stage.at[0].pattern.n; i++)
    VEC_PUSH(e->arena, e->pattern, e->m->stage.at[0].pattern.at[i]);
  for (size_t i = 0; i < e->opt->npattern; i++) VEC_PUSH(e->arena, e->pattern, e->opt->pattern[i]);
  for (size_t i = 0; i < e->pattern.n; i++) e->adapts = e->adapts || e->pattern.at[i].kind == PATTERN_adapt;
}

/* the adapter of a linear
 * ------------------------------------------------------------------------------------------------------ */

// The weight whose elements, in their order, the value has; NULL: it is another thing.
static const Value *weight_below(const Graph *g, Val v) {
  const Value *x = graph_value(g, v);
  while (x->op == OP_reshape) x = graph_value(g, x->args[0]);
  return x->op == OP_weight && !value_int(x, A_state, 0) && !is_adapter_factor(x) ? x : NULL;
}

static Val factor(Elab *e, const char *base, char which, int64_t rows, int64_t columns, const Attr *more, size_t n,
                  Span at) {
  const char *name = intern(e->names, adapter_factor(e->arena, base, which));
  Type t = {.dtype = DT_F32, .rank = 2, .dim = {DIM(rows), DIM(columns)}};
  Attr attr[4] = {attr_str(A_name, name)};
  for (size_t i = 0; i < n; i++) attr[i + 1] = more[i];
  weight_note(e, name, &t, at);
  return graph_add_typed(e->g, OP_weight, NULL, 0, attr, n + 1, &t, at);
}

// With the numbers of its own; in routes and without drawing it is x.
static Val dropped(Elab *e, Val x, double rate, Span at) {
  int64_t sites = e->sites;
  if (!(rate > 0)) return x;
  e->sites = FIRST_SITE + e->adapter_sites++;
  CtVal y = call_drop(e, "dropout", ct_tensor(x), ct_real(rate), at, at);
  e->sites = sites;
  return y.kind == CV_TENSOR ? y.v : NO_VAL;
}

static Val product(Elab *e, Val x, Val w, Span at) {
  return x.id && w.id ? graph_add(e->g, OP_linear, (Val[]){x, w}, 2, NULL, 0, at) : NO_VAL;
}

Val adapt_linear(Elab *e, Val y, const Val *args, Span at) {
  const Value *w = weight_below(e->g, args[1]);
  const char *base = w ? value_str(w, A_name) : NULL;
  const StagePattern *p = w ? stage_patterns_adapt(e->pattern.at, e->pattern.n, base) : NULL;
  if (!p) return y;
  const Type *t = val_type(e, args[1]);
  bool turned = value_int(graph_value(e->g, y), A_trans, 0) != 0;
  int64_t n = t->dim[turned].c, k = t->dim[!turned].c;
  const Attr adapts = attr_str(A_adapts, base);
  const double scale = p->adapter.alpha / (double)p->adapter.rank;
  const Attr second[] = {attr_float(A_scale, scale), attr_int(A_trans, turned), adapts};
  if (t->dtype != DT_F32) {
    elab_error(e, "E0140", p->span, "the weight \"%s\" is %s: f32 weights are adapted", base,
               dtype_info[t->dtype].name);
    return NO_VAL;
  }
  Val a = factor(e, base, 'A', p->adapter.rank, k, &adapts, 1, at);
  Val b = factor(e, base, 'B', n, p->adapter.rank, second, 3, at);
  Val more = product(e, product(e, dropped(e, args[0], p->adapter.dropout, at), a, at), b, at);
  if (more.id && scale != 1)
    more = graph_add(e->g, OP_mul, (Val[]){more, graph_scalar(e->g, scale, at)}, 2, NULL, 0, at);
  Val sum = more.id ? graph_add(e->g, OP_add, (Val[]){y, more}, 2, NULL, 0, at) : NO_VAL;
  if (!sum.id) return NO_VAL;
  DimNames names = *val_names(e, y);
  *val_names(e, sum) = names;
  graph_value(e->g, sum)->label = graph_value(e->g, y)->label;
  return sum;
}

/* what the patterns fit
 * -------------------------------------------------------------------------------------------------------- */

// A reader of the weight that is no linear with an adapter; NULL: there is none.
static const Value *other_reader(const Graph *g, Val v) {
  size_t n;
  const uint32_t *user = graph_users(g, v, &n);
  VEC(Val) views = {0};
  Arena a = {0};
  const Value *other = NULL;
  for (size_t i = 0; i < n && !other; i++) {
    const Value *x = graph_value(g, (Val){user[i]});
    bool only_factor = x->op == OP_linear && x->args[1].id == v.id && x->args[0].id != v.id;
    if (x->dead || only_factor) continue;
    if (x->op == OP_reshape)
      VEC_PUSH(&a, views, ((Val){user[i]}));
    else
      other = x;
  }
  for (size_t i = 0; i < views.n && !other; i++) other = other_reader(g, views.at[i]);
  arena_free(&a);
  return other;
}

static void check_readers(Elab *e, const Adapter *x) {
  const StagePattern *p = stage_patterns_adapt(e->pattern.at, e->pattern.n, x->base);
  for (size_t i = 0; i < e->m->graph.n; i++) {
    const Graph *g = e->m->graph.at[i];
    for (uint32_t v = 1; v < g->value.n; v++) {
      const Value *w = graph_value(g, (Val){v});
      if (w->dead || w->op != OP_weight || strcmp(value_str(w, A_name), x->base) != 0) continue;
      const Value *other = other_reader(g, (Val){v});
      if (!other) continue;
      Diagnostic *d = elab_error(e, "E0142", p->span,
                                 "the weight \"%s\" is adapted, and %s reads it, too, which no adapter reaches",
                                 x->base, op_info[other->op].name);
      diag_note(e->diag, d, other->span, "here");
      diag_hint(e->diag, d, "leave it out: freeze \"%s\" behind the 'adapt'", x->base);
      return;
    }
  }
}

// How far a name is from a pattern: the least distance of a part of it from the pattern's longest run without * and ?.
static size_t distance(Arena *a, const char *glob, const char *name) {
  const char *run = "";
  size_t length = 0, least = SIZE_MAX;
  for (const char *at = glob; *at; at += *at != 0) {
    size_t n = strcspn(at, "*?");
    if (n > length) run = arena_strndup(a, at, n), length = n;
    at += n;
  }
  for (const char *at = name; *at; at++) {
    size_t d = edit_distance(arena_strndup(a, at, strnlen(at, length)), run, least);
    if (d < least) least = d;
  }
  return least;
}

// Does a pattern fit the weight of a linear? *linear: the one whose name is nearest; *other: a weight that the pattern
// does fit.
static bool nearest(Elab *e, const char *glob, const char **linear, const char **other) {
  bool fits = false;
  size_t least = SIZE_MAX;
  for (size_t i = 0; i < e->m->graph.n; i++) {
    const Graph *g = e->m->graph.at[i];
    for (uint32_t v = 1; v < g->value.n; v++) {
      Arena a = {0};
      const Value *x = graph_value(g, (Val){v}), *w = x->op == OP_linear ? weight_below(g, x->args[1]) : NULL;
      const char *name = w ? value_str(w, A_name) : NULL;
      size_t d = name ? distance(&a, glob, name) : SIZE_MAX;
      arena_free(&a);
      fits = fits || (name && text_matches(glob, name));
      if (name && (d < least || !*linear)) *linear = name, least = d;
      if (x->op == OP_weight && text_matches(glob, value_str(x, A_name))) *other = value_str(x, A_name);
    }
  }
  return fits;
}

void adapt_check(Elab *e) {
  if (!e->adapts) return;
  AdapterList all = adapters_of(e->m, e->arena);
  for (size_t i = 0; i < all.n; i++) check_readers(e, &all.at[i]);
  for (size_t i = 0; i < e->pattern.n; i++) {
    const StagePattern *p = &e->pattern.at[i];
    const char *linear = NULL, *other = NULL;
    if (p->kind != PATTERN_adapt || nearest(e, p->glob, &linear, &other)) continue; // a later one may count more
    Diagnostic *d = elab_error(e, "E0142", p->span, "no linear has a weight that fits \"%s\"%s", p->glob,
                               other ? arena_printf(e->arena, "; %s is read by others", other) : "");
    if (linear) diag_hint(e->diag, d, "the nearest is %s; * stands for any text", linear);
  }
}
