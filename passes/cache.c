// cache.c: word by word. From the whole-sequence graph of a `generate` it derives the two entry points that the search
// loop calls: NAME_start computes the prompt, NAME_step one more word, at the cost of that word and its look back.
//
//   caption(image, text[B,L]) -> scores[B,L,V]        becomes
//   caption_start(image, text[B,L], last[B]) -> scores[B,V], cache_0[B,L,D], .., kept_0, ..
//   caption_step(text[B,W], at[B], kept_0, ..) -> scores[B,V], cache_0[B,L,D], ..        (caches change in place)
//
// What depends on the words is computed for the new rows alone: the new graph has the same operators with W rows (1, or
// word and mask) instead of L. Keys and values of attentions among the words are caches: the start stores them, with
// room for the longest sequence; a step puts its rows at position `at` and attends to the first at + W. Everything else
// that a step needs and that is no weight (what an image gave: keys and values of cross-attention) is kept from the
// start. Positions that the source counts from the first word (a slice 0:L of a table) are counted from `at`.
//
// Which port plays which part is said in the module, for whoever runs the search: a Prepare of the generate's name and
// the kind "steps". The names are those above unless the page took them.
//
//   prepare "caption" "steps" "start=caption_start, step=caption_step, words=text, at=at, last=last, scores=scores"
//
// This is right only if no row depends on a later one. The pass proves it from the masks: words see no later words, and
// what is not words sees no words; where it cannot, it says which operator is in the way (E0304).
#include "pass.h"
#include "ir/op/op.h"

#include <stdlib.h>
#include <string.h>

PassFn pass_cache;

typedef struct Split {
  Module *m;
  Graph *g, *s;  // start and step
  Val words;     // in g
  int32_t sym;   // run-time dim that counts them
  int64_t width; // words of a step
  Val at;        // in s: their first position, i32[B]
  const char *at_name, *last_name, *scores_name;
  bool *dep;               // by value of g: depends on the words
  Val *row, *all, *cached; // by value of g: its counterparts in s
  int ncache, nkept;
  bool failed;
} Split;

static const Value *value_of(const Split *p, Val v) {
  return graph_value(p->g, v);
}

/* names that the page has not taken -----------------------------------------------------------------------------------
 */
static bool lists(const NamedVal *list, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (!strcmp(list[i].name, name)) return true;
  return false;
}

// `name`, or with a number behind it, as no input and no output of start and step is called.
static const char *port_name(const Split *p, const char *name) {
  const Graph *const both[] = {p->g, p->s};
  const char *free_name = name;
  for (int copy = 2;; copy++) {
    bool taken = false;
    for (size_t i = 0; i < 2; i++)
      taken = taken || lists(both[i]->input.at, both[i]->input.n, free_name) ||
              lists(both[i]->output.at, both[i]->output.n, free_name);
    if (!taken) return intern(p->m->names, free_name);
    free_name = arena_printf(p->m->arena, "%s_%d", name, copy);
  }
}

static const char *graph_name(const Module *m, const char *name, const char *ending) {
  const char *free_name = arena_printf(m->arena, "%s%s", name, ending);
  for (int copy = 2;; copy++) {
    bool taken = false;
    for (size_t i = 0; i < m->graph.n; i++) taken = taken || !strcmp(m->graph.at[i]->name, free_name);
    if (!taken) return intern(m->names, free_name);
    free_name = arena_printf(m->arena, "%s%s_%d", name, ending, copy);
  }
}

static Val fail(Split *p, Val v, const char *why) {
  const Value *x = value_of(p, v);
  if (!p->failed)
    diag_hint(p->m->diag,
              diag_error(p->m->diag, "E0304", x->span, "%s of '%s' cannot be computed word by word: %s",
                         op_info[x->op].name, p->g->name, why),
              "scores of a word may depend on the words before it alone; see docs/generation.md");
  p->failed = true;
  return NO_VAL;
}

/* the axis of the words -----------------------------------------------------------------------------------------------
 */
static bool counts_words(const Split *p, Dim d) {
  return d.k && d.sym == p->sym;
}

static int words_segment(const Split *p, const Type *t) {
  for (int s = 0; s < t->nseg; s++)
    if (counts_words(p, t->seg[s].len)) return s;
  return -1;
}

static int words_axis(const Split *p, const Type *t) {
  if (words_segment(p, t) >= 0) return t->segaxis;
  for (int d = 0; d < t->rank; d++)
    if (counts_words(p, t->dim[d])) return d;
  return -1;
}

// The type with the new words alone. False: the axis is a sum whose other part has no tag.
static bool rows_type(const Split *p, const Type *t, Type *out) {
  int axis = words_axis(p, t), s = words_segment(p, t);
  *out = *t;
  if (s >= 0) {
    Seg one = {t->seg[s].modality, DIM(p->width)};
    type_set_segs(out, axis, &one, 1);
    return t->seg[s].len.k == 1 && t->seg[s].len.c == 0;
  }
  out->dim[axis] = DIM(p->width);
  return t->dim[axis].k == 1 && t->dim[axis].c == 0;
}

/* masks ---------------------------------------------------------------------------------------------------------------
 */
static bool always(const Mask *m, int32_t key, int32_t query);
static bool never(const Mask *m, int32_t key, int32_t query) { // for a key and a query of these modalities
  if (m->op == MASK_IS) return (m->on_key ? key : query) != m->index;
  if (m->op == MASK_NOT) return always(m->a, key, query);
  if (m->op == MASK_AND) return never(m->a, key, query) || never(m->b, key, query);
  return m->op == MASK_OR && never(m->a, key, query) && never(m->b, key, query);
}
static bool always(const Mask *m, int32_t key, int32_t query) {
  if (m->op == MASK_TRUE) return true;
  if (m->op == MASK_IS) return (m->on_key ? key : query) == m->index;
  if (m->op == MASK_NOT) return never(m->a, key, query);
  if (m->op == MASK_OR) return always(m->a, key, query) || always(m->b, key, query);
  return m->op == MASK_AND && always(m->a, key, query) && always(m->b, key, query);
}
// Does it hide every key behind the query?
static bool causal(const Mask *m, int32_t key, int32_t query) {
  if (m->op == MASK_EQ || never(m, key, query)) return true;
  if (m->op == MASK_LE || m->op == MASK_LT) return m->on_key;
  if (m->op == MASK_AND) return causal(m->a, key, query) || causal(m->b, key, query);
  return m->op == MASK_OR && causal(m->a, key, query) && causal(m->b, key, query);
}
static bool compares(const Mask *m) {
  return m && (m->op == MASK_LE || m->op == MASK_LT || m->op == MASK_EQ || compares(m->a) || compares(m->b));
}

/* what does not depend on the words
 * ------------------------------------------------------------------------------------ */
static Val copy(Split *p, Val v, const Val *args) {
  const Value *x = value_of(p, v);
  return graph_add_typed(p->s, x->op, args, x->nargs, x->attr, x->nattr, &x->type, x->span);
}

// A value that weights and constants give, again in the step.
static Val copy_cone(Split *p, Val v) {
  if (p->all[v.id].id) return p->all[v.id];
  const Value *x = value_of(p, v);
  Val *args = ARENA_ARRAY(p->m->arena, Val, x->nargs + 1);
  for (uint32_t i = 0; i < x->nargs; i++) args[i] = copy_cone(p, x->args[i]);
  return p->all[v.id] = copy(p, v, args);
}

// All of a value: computed from weights, or kept from the start.
static Val whole(Split *p, Val v) {
  if (p->failed || p->all[v.id].id) return p->all[v.id];
  const Value *x = value_of(p, v);
  if (p->dep[v.id]) return fail(p, v, "a step needs all of it, and it depends on the words");
  if (graph_is_weight_only(p->g, v)) return copy_cone(p, v);
  if (words_axis(p, &x->type) >= 0) return fail(p, v, "a step needs it for all words");
  const char *name = value_str(x, A_name);
  if (x->op != OP_input) {
    name = port_name(p, arena_printf(p->m->arena, "kept_%d", p->nkept++));
    graph_output(p->g, name, v, x->span);
  }
  return p->all[v.id] = graph_input(p->s, name, &x->type, x->span);
}

/* rows of the new words
 * ------------------------------------------------------------------------------------------------ */
static Val rows(Split *p, Val v);

static Val typed(Split *p, Op op, Val arg, const Value *like, const Type *t) {
  if (type_equal(&graph_value(p->s, arg)->type, t)) return arg;
  return graph_add_typed(p->s, op, &arg, 1, like->attr, like->nattr, t, like->span);
}

// table[n0 : n0 + L] => table[n0 + at + 0..W-1], f32[B,W,D]
static Val rows_of_table(Split *p, Val v) {
  const Value *x = value_of(p, v);
  int axis = (int)value_int(x, A_axis, 0);
  Val table = x->args[0];
  Type flat = value_of(p, table)->type, ids = {.dtype = DT_I32, .rank = 2, .dim = {{0}, DIM(p->width)}};
  if (!graph_is_weight_only(p->g, table))
    return fail(p, v, "a slice as long as the words of something that is no weight");
  for (int d = 0; d < axis; d++)
    if (!dim_is_const(flat.dim[d]) || flat.dim[d].c != 1) return fail(p, v, "positions are rows of a table");
  if (flat.rank != axis + 2) return fail(p, v, "positions are rows of a table");
  Val t = copy_cone(p, table);
  flat = (Type){.dtype = flat.dtype, .rank = 2, .dim = {flat.dim[axis], flat.dim[axis + 1]}};
  t = typed(p, OP_reshape, t, &(Value){.span = x->span}, &flat);
  // at[b] + n0 + 0..W-1
  Type index = {.dtype = DT_I32, .rank = 1, .dim = {DIM(p->width)}}, column = index;
  ids.dim[0] = graph_value(p->s, p->at)->type.dim[0];
  column.rank = 2;
  column.dim[0] = ids.dim[0];
  column.dim[1] = DIM(1);
  Attr first = attr_int(A_axis, 0), start = attr_float(A_value, (double)value_int(x, A_start, 0));
  Type scalar = {.dtype = DT_I32};
  Val args[2] = {graph_add_typed(p->s, OP_iota, NULL, 0, &first, 1, &index, x->span),
                 graph_add_typed(p->s, OP_constant, NULL, 0, &start, 1, &scalar, x->span)};
  args[1] = graph_add(p->s, OP_add, args, 2, NULL, 0, x->span);
  args[0] = typed(p, OP_reshape, p->at, &(Value){.span = x->span}, &column);
  Val row[2] = {t, graph_add(p->s, OP_add, args, 2, NULL, 0, x->span)};
  return graph_add(p->s, OP_embedding, row, 2, NULL, 0, x->span);
}

static Val rows_of_slice(Split *p, Val v, Type *t) {
  const Value *x = value_of(p, v);
  const Type *from = &value_of(p, x->args[0])->type;
  int axis = words_axis(p, &x->type);
  if (value_int(x, A_axis, 0) != axis) return typed(p, OP_slice, rows(p, x->args[0]), x, t);
  if (words_axis(p, from) < 0) return rows_of_table(p, v);
  int s = words_segment(p, from);
  if (s < 0 || !dim_equal(from->seg[s].len, x->type.dim[axis])) return fail(p, v, "a part of the words");
  return typed(p, OP_retag, rows(p, x->args[0]), &(Value){.span = x->span}, t);
}

static Val rows_of_concat(Split *p, Val v, const Type *t) {
  const Value *x = value_of(p, v);
  bool along = value_int(x, A_axis, 0) == words_axis(p, &x->type);
  Val *args = ARENA_ARRAY(p->m->arena, Val, x->nargs);
  for (uint32_t i = 0; i < x->nargs; i++) {
    bool has = words_axis(p, &value_of(p, x->args[i])->type) >= 0;
    if (along && has) return typed(p, OP_retag, rows(p, x->args[i]), &(Value){.span = x->span}, t);
    if (!along) args[i] = rows(p, x->args[i]);
  }
  return along ? fail(p, v, "none of its parts are the words") : copy(p, v, args);
}

// Keys or values among the words: the rows of this step, put behind those of the steps before.
static Val cache(Split *p, Val v) {
  if (p->failed || p->cached[v.id].id) return p->cached[v.id];
  const Value *x = value_of(p, v);
  Type t = x->type;
  int s = words_segment(p, &t);
  Span at = x->span;
  if (words_axis(p, &t) != 1 || t.rank != 3) return fail(p, v, "its rows are not the words");
  const char *name = port_name(p, arena_printf(p->m->arena, "cache_%d", p->ncache++));
  Attr a = attr_str(A_name, name), start = attr_int(A_start, s >= 0 ? seg_start(p->m, &t, s) : 0);
  Val args[3] = {NO_VAL, rows(p, v), p->at};
  if (p->failed) return NO_VAL;
  args[0] = graph_add_typed(p->s, OP_state, NULL, 0, &a, 1, &t, at);
  Val put = graph_add(p->s, OP_put_rows, args, 3, &start, 1, at);
  graph_output(p->g, name, v, at);
  graph_output(p->s, name, put, at);
  return p->cached[v.id] = put;
}

// Words see no later words, and what is not words sees no words.
static bool keeps_order(const Split *p, const Value *x) {
  const Type *q = &value_of(p, x->args[0])->type, *k = &value_of(p, x->args[1])->type;
  const char *where = value_str(x, A_where);
  if (value_attr(x, A_masked) || !where) return false;
  const Mask *mask = mask_parse(p->m->arena, p->m, where);
  int sk = words_segment(p, k);
  int32_t key = sk >= 0 ? k->seg[sk].modality : -1;
  if (!mask) return false;
  for (int s = 0; s < (q->nseg && q->segaxis == 1 ? q->nseg : 1); s++) {
    int32_t query = q->nseg && q->segaxis == 1 ? q->seg[s].modality : -1;
    bool words = query < 0 || s == words_segment(p, q);
    if (!(words ? causal(mask, key, query) : never(mask, key, query))) return false;
  }
  return true;
}

// Rows before the words on the axis of the queries, which the positions of a mask count too. -1: not constant.
static int64_t rows_before(const Split *p, const Type *q) {
  int64_t n = 0;
  for (int s = 0; s < words_segment(p, q); s++) {
    if (!dim_is_const(q->seg[s].len)) return -1;
    n += q->seg[s].len.c;
  }
  return n;
}

static Val rows_of_attention(Split *p, Val v) {
  const Value *x = value_of(p, v);
  bool own = p->dep[x->args[1].id] || p->dep[x->args[2].id];
  int64_t before = rows_before(p, &value_of(p, x->args[0])->type);
  const char *where = value_str(x, A_where);
  if (own && !keeps_order(p, x)) return fail(p, v, "its mask lets a row see later words");
  if (before < 0) return fail(p, v, "a part of run-time length stands before the words");
  if (x->nargs > 14) return fail(p, v, "too many masks");
  Val args[16] = {rows(p, x->args[0])};
  for (uint32_t i = 1; i < 3; i++) args[i] = own ? cache(p, x->args[i]) : whole(p, x->args[i]);
  for (uint32_t i = 3; i < x->nargs; i++) {
    if (value_of(p, x->args[i])->type.dtype != DT_BOOL) return fail(p, v, "a bias or a position of its own");
    args[i] = whole(p, x->args[i]);
  }
  if (p->failed) return NO_VAL;
  Attr attr[ATTR_COUNT];
  size_t nattr = 0, nargs = x->nargs;
  for (uint32_t i = 0; i < x->nattr; i++)
    if (x->attr[i].key != A_qstart) attr[nattr++] = x->attr[i];
  if (where && compares(mask_parse(p->m->arena, p->m, where))) {
    int64_t start = value_int(x, A_qstart, 0) + before;
    if (start) attr[nattr++] = attr_int(A_qstart, start);
    args[nargs++] = p->at;
  }
  return graph_add(p->s, OP_attention, args, nargs, attr, nattr, x->span);
}

// Operators that treat rows one by one: operand `by_row` gives them, the others are whole or rows too.
static Val rows_of_each(Split *p, Val v, bool elementwise, uint32_t by_row) {
  const Value *x = value_of(p, v);
  Val args[16];
  if (x->nargs > 16) return fail(p, v, "too many operands");
  for (uint32_t i = 0; i < x->nargs; i++) {
    bool has = words_axis(p, &value_of(p, x->args[i])->type) >= 0;
    args[i] = has && (elementwise || i == by_row) ? rows(p, x->args[i]) : whole(p, x->args[i]);
  }
  return p->failed ? NO_VAL : graph_add(p->s, x->op, args, x->nargs, x->attr, x->nattr, x->span);
}

static Val make_rows(Split *p, Val v) {
  const Value *x = value_of(p, v);
  uint32_t flags = op_info[x->op].flags;
  Type t;
  if (!rows_type(p, &x->type, &t)) return fail(p, v, "the words are one part of an axis without segments");
  if (x->op == OP_constant) return graph_add_typed(p->s, OP_constant, NULL, 0, x->attr, x->nattr, &t, x->span);
  if (flags & F_ELEMENTWISE) return rows_of_each(p, v, true, 0);
  if ((flags & F_ROWWISE) && words_axis(p, &x->type) == x->type.rank - 1 && x->op != OP_argmax)
    return fail(p, v, "it looks along the words");
  if (flags & F_ROWWISE) return rows_of_each(p, v, false, 0);
  if (flags & F_ATTENTION) return rows_of_attention(p, v);
  switch (x->op) {
  case OP_embedding: return rows_of_each(p, v, false, 1);
  case OP_slice: return rows_of_slice(p, v, &t);
  case OP_concat: return rows_of_concat(p, v, &t);
  case OP_transpose: {
    Val arg = rows(p, x->args[0]);
    return p->failed ? NO_VAL : graph_add(p->s, OP_transpose, &arg, 1, x->attr, x->nattr, x->span);
  }
  case OP_retag:
  case OP_reshape:
  case OP_broadcast: {
    bool has = words_axis(p, &value_of(p, x->args[0])->type) >= 0;
    Val arg = has ? rows(p, x->args[0]) : whole(p, x->args[0]);
    if (p->failed) return NO_VAL;
    const Type *have = &graph_value(p->s, arg)->type;
    if (have->rank == t.rank + 1 && x->op == OP_retag) { // positions have rows for each sequence
      for (int d = t.rank; d > 0; d--) t.dim[d] = t.dim[d - 1];
      t.dim[0] = have->dim[0];
      t.segaxis++;
      t.rank++;
    }
    return typed(p, x->op, arg, x, &t);
  }
  default: return fail(p, v, "this operator mixes rows");
  }
}

static Val rows(Split *p, Val v) {
  if (p->failed || p->row[v.id].id) return p->row[v.id];
  if (words_axis(p, &value_of(p, v)->type) < 0) return whole(p, v);
  Val r = make_rows(p, v);
  return p->row[v.id] = r;
}

/* the two graphs
 * ------------------------------------------------------------------------------------------------------- */
static void mark_dependent(Split *p) {
  for (uint32_t i = 1; i < p->g->value.n; i++) {
    const Value *x = &p->g->value.at[i];
    p->dep[i] = i == p->words.id;
    for (uint32_t k = 0; k < x->nargs; k++) p->dep[i] = p->dep[i] || p->dep[x->args[k].id];
  }
}

// scores of the last of the step's words: [B,W,V] => [B,V]
static Val last_scores(Split *p, Val v, const Type *scores) {
  Type t = {.dtype = scores->dtype, .rank = 2, .dim = {scores->dim[0], scores->dim[2]}}, one = *scores;
  Span at = graph_value(p->s, v)->span;
  const Type *have = &graph_value(p->s, v)->type;
  if (have->nseg) {
    Type plain = *have;
    type_set_segs(&plain, 1, NULL, 0);
    plain.dim[1] = DIM(p->width);
    v = typed(p, OP_retag, v, &(Value){.span = at}, &plain);
  }
  if (p->width > 1) {
    one = graph_value(p->s, v)->type;
    one.dim[1] = DIM(1);
    Attr a[] = {attr_int(A_axis, 1), attr_int(A_start, p->width - 1)};
    v = graph_add_typed(p->s, OP_slice, &v, 1, a, 2, &one, at);
  }
  return graph_add_typed(p->s, OP_reshape, &v, 1, NULL, 0, &t, at);
}

static Val find_input(const Graph *g, const char *options) {
  const char *name = options + strlen("words=");
  size_t n = strcspn(name, ",");
  for (size_t i = 0; i < g->input.n; i++)
    if (strlen(g->input.at[i].name) == n && !memcmp(g->input.at[i].name, name, n)) return g->input.at[i].val;
  return NO_VAL;
}

static bool split_graph(Module *m, Graph *g, const Prepare *rule, Arena *scratch) {
  Split p = {.m = m, .g = g, .words = find_input(g, rule->options), .width = strcmp(rule->kind, "next_word") ? 2 : 1};
  if (!p.words.id || g->output.n != 1) {
    diag_error(m->diag, "E0304", NO_SPAN, "the graph @%s has no input of words and one output of scores", g->name);
    return false;
  }
  size_t n = g->value.n;
  Type words = graph_value(g, p.words)->type, at = {.dtype = DT_I32, .rank = 1, .dim = {words.dim[0]}}, row = words;
  if (words.rank != 2 || words.dim[1].k != 1) {
    diag_error(m->diag, "E0304", NO_SPAN, "the words of @%s are no i32[B,L]", g->name);
    return false;
  }
  p.sym = words.dim[1].sym;
  p.dep = ARENA_ARRAY(scratch, bool, n);
  p.row = ARENA_ARRAY(scratch, Val, n);
  p.all = ARENA_ARRAY(scratch, Val, n);
  p.cached = ARENA_ARRAY(scratch, Val, n);
  mark_dependent(&p);
  p.s = graph_new(m, graph_name(m, g->name, "_step"));
  p.s->about = arena_printf(m->arena, "%s: one more word, W = %d", g->name, (int)p.width);
  const Value *w = graph_value(g, p.words);
  row.dim[1] = DIM(p.width);
  Span span = w->span;
  p.row[p.words.id] = graph_input(p.s, value_str(w, A_name), &row, span);
  g->output.at[0].name = ""; // its name is free again
  p.scores_name = port_name(&p, "scores");
  g->output.at[0].name = p.scores_name;
  p.at_name = port_name(&p, "at");
  p.last_name = port_name(&p, "last");
  p.at = graph_input(p.s, p.at_name, &at, span);
  Val scores = g->output.at[0].val, step = rows(&p, scores);
  Type t = graph_value(g, scores)->type;
  if (p.failed) return false;
  graph_output(p.s, p.scores_name, last_scores(&p, step, &t), span);
  for (size_t i = p.s->output.n - 1; i > 0; i--) { // first, as in the start
    NamedVal last = p.s->output.at[i];
    p.s->output.at[i] = p.s->output.at[i - 1];
    p.s->output.at[i - 1] = last;
  }
  Val pick[2] = {scores, graph_input(g, p.last_name, &at, span)};
  g->output.at[0].val = graph_add(g, OP_gather_rows, pick, 2, NULL, 0, span);
  g->about = arena_printf(m->arena, "%s: the first words; scores of word last[b]", g->name);
  const char *start = graph_name(m, g->name, "_start");
  Prepare steps = {g->name, "steps",
                   arena_printf(m->arena, "start=%s, step=%s, words=%s, at=%s, last=%s, scores=%s", start, p.s->name,
                                value_str(graph_value(g, p.words), A_name), p.at_name, p.last_name, p.scores_name)};
  VEC_PUSH(m->arena, m->prepare, steps);
  g->name = start;
  return g->output.at[0].val.id != 0;
}

size_t pass_cache(Module *m, Arena *scratch, const PassOptions *o) {
  (void)o;
  size_t changes = 0, graphs = m->graph.n;
  for (size_t i = 0; i < graphs; i++)
    for (size_t k = 0; k < m->prepare.n; k++) {
      const Prepare r = m->prepare.at[k]; // a copy: the list grows
      bool rule = !strcmp(r.kind, "next_word") || !strcmp(r.kind, "masked_word");
      if (!rule || strcmp(r.name, m->graph.at[i]->name) != 0 || strncmp(r.options, "words=", 6) != 0) continue;
      ArenaMark mark = arena_mark(scratch);
      bool ok = split_graph(m, m->graph.at[i], &r, scratch);
      arena_reset(scratch, mark);
      if (!ok) return changes;
      changes++;
    }
  return changes;
}
