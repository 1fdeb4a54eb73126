// quantise.c: products of narrow numbers, where that is asked for (precisions.def). Of codes of 8 bits: what a product
// reads is rounded to a code with a scale a row, its weight to one with a scale a column, and sums are of whole numbers
// (ir/op/codes.h). Of bf16: both are rounded to it, and sums are of f32 (ir/op/pairs.h). Everything behind a product
// stays as it is, in f32.
//
//   %4 = linear %1, %2, %3
//   => %5 = quantise %1;  %6 = weight_codes %2;  %7 = weight_scales %2;  %8 = weight_sums %2
//      %9 = linear_codes %5, %6, %7, %8 {columns = 768};  %4 = add %9, %3
//
// Weights of 4 bits have a scale for each group of 64 columns of k instead, and no sums:
//   => %5 = quantise %1 {group = 64};  %6 = weight_codes4 %2;  %7 = weight_scales4 %2;  %8 = cast %7 {to = "bf16"}
//      %9 = widen %8;  %10 = linear_codes4 %5, %6, %9 {columns = 768};  %4 = add %10, %3
// A matrix whose rows are looked up elsewhere, a vocabulary, has 8 bits there, too: its products compare words.
//
// In bf16:
//   => %5 = pairs %1;  %6 = weight_pairs %2;  %7 = linear_pairs %5, %6 {columns = 768};  %4 = add %7, %3
//
// Words of a row are shared by all that read it. What stays f32:
//   - products of images (patches, windows), which read them where they lie, and those of computed tensors;
//   - products with rows of fewer than LEAST_DEPTH numbers: there is nothing to gain;
//   - the last product of a route, whose result is an output as it is (class scores, embeddings): it is a small part of
//     the work, and nothing behind it averages its errors. A step of a `generate` is one word: its vocabulary is most
//     of what it reads, and only the order of the scores counts, so it takes part. A rule that names its weight (not a
//     pattern with places) asks for it, too.
// With a set of rules (Module.precision) a product is of codes where the rule of its weight says so.
#include "ir/op/codes.h"
#include "products.h"
#include "rewrite.h"

#include <string.h>

PassFn pass_quantise;

enum { LEAST_DEPTH = 32 };

// Of a generate: what it leaves for the next word says so.
static bool is_word_step(const Graph *g) {
  for (size_t i = 0; i < g->output.n; i++)
    if (g->output.at[i].role == ROLE_state || g->output.at[i].role == ROLE_kept) return true;
  return false;
}

// Does v, through views and work on single elements with weights, become an output?
static bool ends_route(const RuleCtx *c, Val v, int depth) {
  if (v.id >= c->known || depth > 16) return false;
  for (uint32_t u = c->uses.start[v.id]; u < c->uses.start[v.id + 1]; u++) {
    if (c->uses.user[u] == UINT32_MAX) return true;
    const Value *user = rule_value(c, (Val){c->uses.user[u]});
    uint32_t flags = op_info[user->op].flags, computed = 0;
    for (uint32_t i = 0; i < user->nargs; i++) computed += graph_residency(c->g, user->args[i]) == RES_act;
    bool same = (flags & F_VIEW) || ((flags & F_ELEMENTWISE) && computed == 1) || user->op == OP_l2_norm ||
                user->op == OP_softmax || user->op == OP_log_softmax;
    if (same && ends_route(c, (Val){c->uses.user[u]}, depth + 1)) return true;
  }
  return false;
}

// Why a product is not in the precision that is asked for, in the arena of the module; NULL: it is. `asked`: a rule
// names its weight.
static const char *refusal(const RuleCtx *c, const Value *product, Val v, const Precision *is, bool asked) {
  const Value *x = rule_value(c, product->args[0]);
  const Type *w = &rule_value(c, product->args[1])->type;
  Dim k = x->type.dim[x->type.rank - 1];
  Arena *a = c->g->module->arena;
  bool weights = graph_residency(c->g, product->args[1]) == RES_const;
  if (!weights || graph_residency(c->g, product->args[0]) != RES_act) return "not a product of rows with a weight";
  if (product->nargs == 3 && graph_residency(c->g, product->args[2]) != RES_const) return "its bias is computed";
  if (op_info[x->op].flags & F_WINDOWS) return "it reads patches of an image where they lie";
  if (x->type.dtype != DT_F32 || w->dtype != DT_F32) return "its rows or its weight are not f32";
  if (!dim_is_const(k)) return "its rows have as many numbers as a run-time dim says";
  if (k.c < LEAST_DEPTH)
    return arena_printf(a, "rows of %lld numbers are too short to gain (from %d on)", (long long)k.c, LEAST_DEPTH);
  if (k.c > CODES_MOST_K && is->codes != PRECISION_PAIRS)
    return arena_printf(a, "sums of codes are exact for rows of up to %d numbers, and these have %lld", CODES_MOST_K,
                        (long long)k.c);
  if (asked || is_word_step(c->g) || !ends_route(c, v, 0)) return NULL;
  return "it is the last product of its route (a rule with the name of its weight asks for it)";
}

static const Precision *asked_for(const RuleCtx *c, const Value *product, PrecisionRule **rule) {
  return precision_of(c->g, c->opt, product->args[1], rule);
}

// The name of the weight that v is, or is made of alone; NULL: of several.
static const char *weight_below(const Graph *g, Val v) {
  const Value *x = graph_value(g, v);
  while (x->op != OP_weight && x->nargs == 1) x = graph_value(g, x->args[0]);
  const Attr *name = x->op == OP_weight ? value_attr(x, A_name) : NULL;
  return name ? name->s : NULL;
}

static bool is_vocabulary(const Module *m, const char *weight) {
  for (size_t i = 0; weight && i < m->graph.n; i++) {
    const Graph *g = m->graph.at[i];
    for (uint32_t v = 1; v < g->value.n; v++) {
      const Value *x = &g->value.at[v];
      const char *table = !x->dead && x->op == OP_embedding ? weight_below(g, x->args[0]) : NULL;
      if (table && !strcmp(table, weight)) return true;
    }
  }
  return false;
}

static Val codes_of_8(RuleCtx *c, const Value *x, const Attr *columns) {
  Attr trans = attr_int(A_trans, 1);
  size_t n = value_int(x, A_trans, 0) ? 1 : 0;
  Val args[4] = {graph_add(c->g, OP_quantise, &x->args[0], 1, NULL, 0, x->span)};
  static const Op of_weight[] = {OP_weight_codes, OP_weight_scales, OP_weight_sums};
  for (int i = 0; i < 3; i++) args[i + 1] = graph_add(c->g, of_weight[i], &x->args[1], 1, &trans, n, x->span);
  return graph_add(c->g, OP_linear_codes, args, 4, columns, 1, x->span);
}

static Val codes_of_4(RuleCtx *c, const Value *x, const Attr *columns) {
  Attr trans = attr_int(A_trans, 1), group = attr_int(A_group, CODE_GROUP), to = {.key = A_to, .s = "bf16"};
  size_t n = value_int(x, A_trans, 0) ? 1 : 0;
  Val scales = graph_add(c->g, OP_weight_scales4, &x->args[1], 1, &trans, n, x->span);
  scales = graph_add(c->g, OP_cast, &scales, 1, &to, 1, x->span);
  Val args[3] = {graph_add(c->g, OP_quantise, &x->args[0], 1, &group, 1, x->span),
                 graph_add(c->g, OP_weight_codes4, &x->args[1], 1, &trans, n, x->span),
                 graph_add(c->g, OP_widen, &scales, 1, NULL, 0, x->span)};
  return graph_add(c->g, OP_linear_codes4, args, 3, columns, 1, x->span);
}

static Val pairs_of(RuleCtx *c, const Value *x, const Attr *columns) {
  Attr trans = attr_int(A_trans, 1);
  Val args[] = {graph_add(c->g, OP_pairs, &x->args[0], 1, NULL, 0, x->span),
                graph_add(c->g, OP_weight_pairs, &x->args[1], 1, &trans, value_int(x, A_trans, 0) ? 1 : 0, x->span)};
  return graph_add(c->g, OP_linear_pairs, args, 2, columns, 1, x->span);
}

static Val use_codes(RuleCtx *c, Val v) {
  Value x = *rule_value(c, v);
  PrecisionRule *rule;
  if (x.op != OP_linear || c->g->objective) return NO_VAL;
  const Precision *is = asked_for(c, &x, &rule);
  int bits = is->codes;
  if (!bits || refusal(c, &x, v, is, rule && precision_is_name(rule->pattern))) return NO_VAL;
  Attr columns = attr_int(A_columns, x.type.dim[x.type.rank - 1].c);
  bool four = bits == 4 && !is_vocabulary(c->g->module, weight_below(c->g, x.args[1]));
  Val y = bits == PRECISION_PAIRS ? pairs_of(c, &x, &columns)
          : four                  ? codes_of_4(c, &x, &columns)
                                  : codes_of_8(c, &x, &columns);
  return x.nargs < 3 ? y : graph_add(c->g, OP_add, (Val[]){y, x.args[2]}, 2, NULL, 0, x.span);
}

static const Rule quantise_rules[] = {
    {"use_codes", "linear(x, w) => linear_codes(quantise(x), codes of w), or linear_pairs(pairs(x), pairs of w)",
     use_codes}};

/* what came of it
 * ---------------------------------------------------------------------------------------------------------- */

// Counts of the rules; a product that is too deep is named in any case.
static void look_at_product(RuleCtx *c, Val v) {
  const Value *x = rule_value(c, v);
  PrecisionRule *rule;
  if (x->op == OP_weight_codes || x->op == OP_weight_codes4 || x->op == OP_weight_pairs) {
    (void)precision_of(c->g, c->opt, x->args[0], &rule);
    if (rule) rule->used++;
  }
  if (x->op != OP_linear || graph_residency(c->g, v) != RES_act) return;
  const Precision *is = asked_for(c, x, &rule);
  if (!is->codes) return;
  bool asked = rule && precision_is_name(rule->pattern);
  Product p;
  const char *why = refusal(c, x, v, is, asked);
  if (!why || !product_of(c->g, v, &p)) return;
  Arena *a = c->g->module->arena;
  if (rule && !rule->why) rule->why = asked ? why : arena_printf(a, "%s: %s", p.name, why);
  Type *row = &graph_value(c->g, x->args[0])->type;
  Dim k = row->dim[row->rank - 1];
  if (!dim_is_const(k) || k.c <= CODES_MOST_K || asked) return;
  diag_warning(c->g->module->diag, "W0002", x->span, "the product with '%s' is not in %s: %s", p.name, is->name, why);
  if (rule) rule->told = true;
}

// A rule that names a weight is meant for it; what a pattern leaves as it is says nothing against the others.
static void judge(Module *m, PrecisionRule *r) {
  const char *why = r->why ? r->why : "no product with rows reads it";
  bool there = false;
  for (size_t i = 0; i < m->weight.n; i++) there = there || precision_rule(m->precision, m->weight.at[i].name) == r;
  if (!r->is->codes || r->used || !there) return;
  if (precision_is_name(r->pattern)) {
    Diagnostic *g = diag_error(m->diag, "E0314", r->span, "'%s' cannot be %s: %s", r->pattern, r->is->name, why);
    diag_hint(m->diag, g, "a rule with a precision of weights, = %sw, keeps it in 16 bits",
              dtype_info[r->is->keep].name);
  } else if (!r->told) {
    diag_warning(m->diag, "W0002", r->span, "nothing that \"%s\" fits can be %s: %s", r->pattern, r->is->name, why);
  }
}

static void look_at_results(Module *m, Arena *scratch, const PassOptions *o) {
  for (size_t i = 0; i < m->graph.n; i++) {
    Graph *g = m->graph.at[i];
    if (g->objective) continue;
    ArenaMark mark = arena_mark(scratch);
    RuleCtx c = {.g = g, .uses = graph_uses(g, scratch), .known = g->value.n, .opt = o};
    for (uint32_t v = 1; v < c.known; v++)
      if (!g->value.at[v].dead) look_at_product(&c, (Val){v});
    arena_reset(scratch, mark);
  }
  bool routes = false;
  for (size_t i = 0; i < m->graph.n; i++) routes = routes || !m->graph.at[i]->objective;
  for (size_t i = 0; routes && m->precision && i < m->precision->rule.n; i++) judge(m, &m->precision->rule.at[i]);
}

size_t pass_quantise(Module *m, Arena *scratch, const PassOptions *o) {
  const Precision *all = o->precision ? o->precision : precisions;
  if (!precision_has(m->precision, all, false) && !precision_has(m->precision, all, true)) return 0;
  size_t n = rewrite_run(m, scratch, o, "quantise", quantise_rules, sizeof quantise_rules / sizeof *quantise_rules);
  look_at_results(m, scratch, o);
  return n;
}
