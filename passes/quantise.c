// quantise.c: products of codes of 8 bits, where that is asked for (precisions.def): what a product reads is rounded to
// a code of 8 bits with a scale a row, its weight to one with a scale a column, and sums are of whole numbers
// (ir/op/codes.h). Everything behind it stays as it is, in f32.
//
//   %4 = linear %1, %2, %3
//   => %5 = quantise %1;  %6 = weight_codes %2;  %7 = weight_scales %2;  %8 = weight_sums %2
//      %9 = linear_codes %5, %6, %7, %8 {columns = 768};  %4 = add %9, %3
//
// Codes of a row are shared by all that read it. What stays f32:
//   - products of images (patches, windows), which read them where they lie, and those of computed tensors;
//   - products with rows of fewer than LEAST_DEPTH numbers: there is nothing to gain;
//   - the last product of a route, whose result is an output as it is (class scores, embeddings): it is a small part of
//   the
//     work, and nothing behind it averages its errors. A step of a `generate` is one word: its vocabulary is most of
//     what it reads, and only the order of the scores counts, so it takes part.
#include "ir/op/codes.h"
#include "rewrite.h"

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

static bool gains(const RuleCtx *c, const Value *product, Val v) {
  const Value *x = rule_value(c, product->args[0]);
  const Type *w = &rule_value(c, product->args[1])->type;
  Dim k = x->type.dim[x->type.rank - 1];
  if (graph_residency(c->g, product->args[1]) != RES_const || graph_residency(c->g, product->args[0]) != RES_act)
    return false;
  if (product->nargs == 3 && graph_residency(c->g, product->args[2]) != RES_const) return false;
  if ((op_info[x->op].flags & F_WINDOWS) || x->type.dtype != DT_F32 || w->dtype != DT_F32) return false;
  if (!dim_is_const(k) || k.c < LEAST_DEPTH || k.c > CODES_MOST_K) return false;
  return is_word_step(c->g) || !ends_route(c, v, 0);
}

static Val use_codes(RuleCtx *c, Val v) {
  Value x = *rule_value(c, v);
  if (x.op != OP_linear || c->g->objective || !gains(c, &x, v)) return NO_VAL;
  Attr trans = attr_int(A_trans, 1);
  size_t n = value_int(&x, A_trans, 0) ? 1 : 0;
  Val args[4] = {graph_add(c->g, OP_quantise, &x.args[0], 1, NULL, 0, x.span)};
  static const Op of_weight[] = {OP_weight_codes, OP_weight_scales, OP_weight_sums};
  for (int i = 0; i < 3; i++) args[i + 1] = graph_add(c->g, of_weight[i], &x.args[1], 1, &trans, n, x.span);
  Attr columns = attr_int(A_columns, x.type.dim[x.type.rank - 1].c);
  Val y = graph_add(c->g, OP_linear_codes, args, 4, &columns, 1, x.span);
  return x.nargs < 3 ? y : graph_add(c->g, OP_add, (Val[]){y, x.args[2]}, 2, NULL, 0, x.span);
}

static const Rule quantise_rules[] = {
    {"use_codes", "linear(x, w) => linear_codes(quantise(x), codes of w)", use_codes}};

size_t pass_quantise(Module *m, Arena *scratch, const PassOptions *o) {
  if (!o->precision || !o->precision->codes) return 0;
  return rewrite_run(m, scratch, o, "quantise", quantise_rules, sizeof quantise_rules / sizeof *quantise_rules);
}
