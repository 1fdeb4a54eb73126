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
// Who runs the search goes by the roles of the ports and by their pairs (ir/roles.def), and by the Generate of the
// module, which this pass gives its step:
//
//   generate "caption" next_word start @caption_start step @caption_step {start = 1, end = 2}
//
// Names are for people: those above, with a number behind them if the page took them.
//
// This is right only if no row depends on a later one. The pass proves it from the masks: words see no later words, and
// what is not words sees no words; where it cannot, it says which operator is in the way (E0304).
#include "cache.h"
#include "ir/op/op.h"

#include <string.h>

PassFn pass_cache;

Val cache_fail(Split *p, Val v, const char *why) {
  const Value *x = graph_value(p->g, v);
  if (!p->failed)
    diag_hint(p->m->diag,
              diag_error(p->m->diag, "E0304", x->span, "%s of '%s' cannot be computed word by word: %s",
                         op_info[x->op].name, p->g->name, why),
              "scores of a word may depend on the words before it alone; see docs/generation.md");
  p->failed = true;
  return NO_VAL;
}

/* names that the page has not taken
 * ------------------------------------------------------------------------------------ */
static bool lists(const Port *list, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (!strcmp(list[i].name, name)) return true;
  return false;
}

const char *cache_port_name(const Split *p, const char *name) {
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

/* facts of values
 * ----------------------------------------------------------------------------------------------------- */

// A run-time number of sentences is found by its name.
static int8_t named_batch(const Split *p, const Type *t) {
  int8_t axis = NO_BATCH;
  for (int8_t d = 0; d < t->rank; d++) {
    if (!t->dim[d].k || t->dim[d].sym != p->batch.sym) continue;
    axis = axis == NO_BATCH && dim_equal(t->dim[d], p->batch) ? d : LOST_BATCH;
  }
  return axis;
}

// A constant number is followed from the words on.
static int8_t followed_batch(const Split *p, const Value *x) {
  int axis = NO_BATCH;
  uint32_t i = 0;
  while (i < x->nargs && !p->dep[x->args[i].id]) i++;
  if (i == x->nargs) return NO_BATCH;
  const Type *from = &graph_value(p->g, x->args[i])->type;
  bool aligned = (op_info[x->op].flags & F_ELEMENTWISE) || x->op == OP_rotate || x->op == OP_broadcast;
  axis = p->batch_axis[x->args[i].id];
  if (axis < 0) return LOST_BATCH;
  if (aligned) axis += x->type.rank - from->rank;
  if (x->op == OP_reshape && axis > 0) return LOST_BATCH;
  const Attr *perm = x->op == OP_transpose ? value_attr(x, A_perm) : NULL;
  for (int d = 0; perm && d < x->type.rank; d++)
    if (perm->v[d] == p->batch_axis[x->args[i].id]) axis = d;
  return axis < x->type.rank && dim_equal(x->type.dim[axis], p->batch) ? (int8_t)axis : LOST_BATCH;
}

static void find_facts(Split *p) {
  for (uint32_t i = 1; i < p->g->value.n; i++) {
    const Value *x = &p->g->value.at[i];
    WordsAt w;
    p->dep[i] = i == p->words.id;
    p->many[i] = cache_words(p, &x->type, &w) > 0;
    p->weights[i] =
        !(op_info[x->op].flags & F_SOURCE) || x->op == OP_weight || x->op == OP_constant || x->op == OP_iota;
    for (uint32_t k = 0; k < x->nargs; k++) {
      p->dep[i] = p->dep[i] || p->dep[x->args[k].id];
      p->many[i] = p->many[i] || p->many[x->args[k].id];
      p->weights[i] = p->weights[i] && p->weights[x->args[k].id];
    }
    p->batch_axis[i] = p->batch.k ? named_batch(p, &x->type) : i == p->words.id ? 0 : followed_batch(p, x);
  }
}

/* the two graphs
 * ------------------------------------------------------------------------------------------------------ */

// scores of the last of the step's words: [B,W,V] => [B,V]
static Val last_scores(const Split *p, Val v) {
  Type t = graph_value(p->s, v)->type, one;
  Span at = graph_value(p->s, v)->span;
  if (t.nseg) {
    type_set_segs(&t, 1, NULL, 0);
    t.dim[1] = DIM(p->width);
    v = graph_add_typed(p->s, OP_retag, &v, 1, NULL, 0, &t, at);
  }
  if (p->width > 1) {
    one = t;
    one.dim[1] = DIM(1);
    Attr a[] = {attr_int(A_axis, 1), attr_int(A_start, p->width - 1)};
    v = graph_add_typed(p->s, OP_slice, &v, 1, a, 2, &one, at);
  }
  one = (Type){.dtype = t.dtype, .rank = 2, .dim = {t.dim[0], t.dim[2]}};
  return graph_add_typed(p->s, OP_reshape, &v, 1, NULL, 0, &one, at);
}

// What the front end made fits (generate_problem); a text may have more outputs.
static bool fits_rule(Module *m, const Graph *g) {
  for (size_t i = 0; i < g->input.n + g->output.n; i++) {
    Role role = i < g->input.n ? g->input.at[i].role : g->output.at[i - g->input.n].role;
    bool fits = i < g->input.n ? role == ROLE_words || role == ROLE_data : g->output.n == 1;
    if (fits) continue;
    diag_error(m->diag, "E0304", NO_SPAN, "the graph @%s has more than its inputs, words and one output of scores",
               g->name);
    return false;
  }
  return true;
}

static Val words_of(const Graph *g) {
  size_t i = 0;
  while (g->input.at[i].role != ROLE_words) i++;
  return g->input.at[i].val;
}

// A length that only masks speak of is that of the prompt, whose ids are words. False after reporting.
static bool find_prompt(Split *p, const Generate *x) {
  uint32_t given = 0, asked = 0;
  for (size_t i = 0; i < p->g->input.n; i++) {
    const Type *t = &graph_value(p->g, p->g->input.at[i].val)->type;
    for (int d = 0; d < t->rank; d++)
      if (t->dim[d].k && t->dim[d].sym >= 0) given |= 1u << t->dim[d].sym;
    for (int s = 0; s < t->nseg; s++)
      if (t->seg[s].len.k) given |= 1u << t->seg[s].len.sym;
  }
  for (uint32_t i = 1; i < p->g->value.n; i++)
    if (value_str(&p->g->value.at[i], A_where)) asked |= mask_dims(value_mask(p->m->arena, p->m, &p->g->value.at[i]));
  asked &= ~given;
  p->prompt = -1;
  if (!asked) return true;
  while (!(asked >> ++p->prompt & 1)) continue;
  if (asked >> p->prompt == 1 && x->prompt) return true;
  diag_hint(p->m->diag,
            diag_error(p->m->diag, "E0304", graph_value(p->g, p->words)->span,
                       "masks of '%s' compare with the run-time dim %s, which no input of it has", p->g->name,
                       p->m->dim[p->prompt].name),
            "the length of a prompt, the input that `start` names, may stand in a mask: key < S");
  return false;
}

static void allot(Split *p, Arena *scratch) {
  size_t n = p->g->value.n;
  p->scratch = scratch;
  p->dep = ARENA_ARRAY(scratch, bool, n);
  p->many = ARENA_ARRAY(scratch, bool, n);
  p->weights = ARENA_ARRAY(scratch, bool, n);
  p->batch_axis = ARENA_ARRAY(scratch, int8_t, n);
  p->cached = ARENA_ARRAY(scratch, Val, n);
  for (int need = NEED_ROWS; need <= NEED_ALL; need++) p->made[need] = ARENA_ARRAY(scratch, Val, n);
}

static Val role_input(Graph *g, const char *name, const Type *t, Role role, Span span) {
  Val v = graph_input(g, name, t, span);
  graph_input_port(g, v)->role = role;
  return v;
}

// The scores first, as in the start; the counterparts of the states count from there.
static void scores_first(Graph *s) {
  Port last = s->output.at[s->output.n - 1];
  for (size_t i = s->output.n - 1; i > 0; i--) s->output.at[i] = s->output.at[i - 1];
  s->output.at[0] = last;
}

// The ports of the start name their counterparts.
static void pair_back(Graph *g, const Graph *s) {
  for (size_t i = 0; i < s->output.n; i++)
    if (s->output.at[i].role == ROLE_state) g->output.at[s->output.at[i].pair].pair = (uint32_t)i;
  for (size_t i = 0; i < s->input.n; i++)
    if (s->input.at[i].role == ROLE_kept) g->output.at[s->input.at[i].pair].pair = (uint32_t)i;
}

static bool split_graph(Module *m, Generate *x, Arena *scratch) {
  Graph *g = x->start;
  if (!fits_rule(m, g)) return false;
  Split p = {.m = m, .g = g, .words = words_of(g), .width = rule_info[x->rule].width};
  const Type words = graph_value(g, p.words)->type, at = {.dtype = DT_I32, .rank = 1, .dim = {words.dim[0]}};
  const Span span = graph_value(g, p.words)->span;
  Type row = words;
  p.sym = words.dim[1].sym;
  p.batch = words.dim[0];
  allot(&p, scratch);
  if (!find_prompt(&p, x)) return false;
  find_facts(&p);
  p.s = graph_new(m, graph_name(m, g->name, "_step"));
  p.s->about = arena_printf(m->arena, "%s: one more word, W = %d", g->name, (int)p.width);
  row.dim[1] = DIM(p.width);
  p.made[NEED_ROWS][p.words.id] = role_input(p.s, value_str(graph_value(g, p.words), A_name), &row, ROLE_words, span);
  g->output.at[0].name = ""; // its name is free again
  g->output.at[0].name = cache_port_name(&p, "scores");
  p.at = role_input(p.s, cache_port_name(&p, "at"), &at, ROLE_at, span);
  const char *last = cache_port_name(&p, "last");
  Val scores = g->output.at[0].val, step = cache_rows(&p, scores);
  if (!step.id) return false;
  graph_output(p.s, g->output.at[0].name, last_scores(&p, step), span);
  scores_first(p.s);
  p.s->output.at[0].role = ROLE_scores;
  Val pick[2] = {scores, role_input(g, last, &at, ROLE_last, span)};
  g->output.at[0].val = graph_add(g, OP_gather_rows, pick, 2, NULL, 0, span);
  pair_back(g, p.s);
  cache_start_masks(&p);
  g->about = arena_printf(m->arena, "%s: the first words; scores of word last[b]", g->name);
  g->name = graph_name(m, g->name, "_start");
  x->step = p.s;
  return g->output.at[0].val.id != 0;
}

size_t pass_cache(Module *m, Arena *scratch, const PassOptions *o) {
  (void)o;
  size_t changes = 0;
  for (size_t i = 0; i < m->generate.n; i++) {
    if (m->generate.at[i].step) continue;
    ArenaMark mark = arena_mark(scratch);
    bool ok = split_graph(m, &m->generate.at[i], scratch);
    arena_reset(scratch, mark);
    if (!ok) return changes;
    changes++;
  }
  return changes;
}
