// precision.c: in which type numbers are kept. A narrow type (ir/dtypes.def) keeps numbers and is never computed in:
// `widen` reads such elements as what they compute as, and is a view, because loads widen; a cast to it is stored, and
// the store rounds. This pass
//   - makes casts from a narrow type views:  cast(x : bf16) : f32  =>  widen(x)
//   - with PassOptions.keep, keeps matrices and tables of weights in that type:  linear(x, w)  =>
//     linear(x, widen(cast(w))).  The packer evaluates the cast, so that is what the weight file holds; what is
//     computed is the same product with rounded weights.
// Vectors (biases, gains) stay as they are: they are a hundredth of a model, and what they are added to is not.
#include "ir/op/op.h"
#include "rewrite.h"

PassFn pass_precision;

static bool is_packed(const RuleCtx *c, Val v) { // evaluated when weights are packed
  const Type *t = &rule_value(c, v)->type;
  for (int d = 0; d < t->rank; d++)
    if (!dim_is_const(t->dim[d])) return false;
  return graph_is_weight_only(c->g, v);
}

static bool is_table(const Type *t) { // more than one row
  int axes = 0;
  for (int d = 0; d < t->rank; d++) axes += t->dim[d].c != 1;
  return axes > 1;
}

static Val cast_to_view(RuleCtx *c, Val v) {
  const Value *x = rule_value(c, v);
  if (x->op != OP_cast) return NO_VAL;
  const Type *from = &rule_value(c, x->args[0])->type;
  if (!dtype_is_narrow(from->dtype) || dtype_info[from->dtype].computes != x->type.dtype) return NO_VAL;
  return graph_add(c->g, OP_widen, &x->args[0], 1, NULL, 0, x->span);
}

static Val keep_narrow(RuleCtx *c, Val v) {
  Value x = *rule_value(c, v);
  DType keep = c->opt->keep;
  if (!dtype_is_narrow(keep) || is_packed(c, v) || !x.nargs) return NO_VAL;
  Val *arg = ARENA_ARRAY(c->g->module->arena, Val, x.nargs);
  bool any = false;
  for (uint32_t i = 0; i < x.nargs; i++) {
    arg[i] = x.args[i];
    const Value *w = rule_value(c, arg[i]);
    if (w->op == OP_widen || w->op == OP_constant || w->type.dtype != dtype_info[keep].computes) continue;
    if (!is_table(&w->type) || !is_packed(c, arg[i])) continue;
    Attr to = {.key = A_to, .s = dtype_info[keep].name};
    Val kept = graph_add(c->g, OP_cast, &arg[i], 1, &to, 1, w->span);
    arg[i] = graph_add(c->g, OP_widen, &kept, 1, NULL, 0, x.span);
    any = true;
  }
  return any ? graph_add_typed(c->g, x.op, arg, x.nargs, x.attr, x.nattr, &x.type, x.span) : NO_VAL;
}

static const Rule precision_rules[] = {
    {"cast_to_view", "cast(x narrow) => widen(x)", cast_to_view},
    {"keep_narrow", "op(x, w) => op(x, widen(cast(w)))", keep_narrow},
};

size_t pass_precision(Module *m, Arena *scratch, const PassOptions *o) {
  return rewrite_run(m, scratch, o, "precision", precision_rules, sizeof precision_rules / sizeof *precision_rules);
}
