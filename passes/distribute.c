// distribute.c: elementwise work on a concat moves into its parts, so that each part is computed where it is stored and
// the concat itself costs nothing. Work on weights alone is kept free of run-time dims, so that the packer can do it.
// Columns of products are taken from their concat, so that each product is stored in its rows of one matrix: the
// experts of a multiway layer, whose Q, K and V were merged, write no copy. Measure lowered: the number of elementwise
// operations between a concat and its parts' producers; then the number of operations on weights alone behind a
// broadcast; then the number of slices below concats.
//
//   concat(class, patches) + pos   =>   concat(class + pos[0:1], patches + pos[1:])
//   concat(x W[.., a:b], y V[.., a:b])   =>   concat(x W, y V)[.., a:b]
#include "rewrite.h"
#include "ir/op/op.h"

PassFn pass_distribute;

// The part of operand x that meets [start, start+len) of `axis` of the result.
static Val part_of(RuleCtx *c, Val x, const Type *result, int axis, int64_t start, Dim len, Span at) {
  const Type *t = &rule_value(c, x)->type;
  int own = axis - (result->rank - t->rank);
  if (own < 0 || (dim_is_const(t->dim[own]) && t->dim[own].c == 1)) return x;
  return rule_slice(c, x, own, start, len, at);
}

static Val elementwise_concat(RuleCtx *c, Val v) {
  Value e = *rule_value(c, v);
  if (!(op_info[e.op].flags & F_ELEMENTWISE)) return NO_VAL;
  const Module *m = c->g->module;
  for (uint32_t which = 0; which < e.nargs; which++) {
    if (!rule_is(c, e.args[which], OP_concat) || !rule_single_use(c, e.args[which])) continue;
    Value cat = *rule_value(c, e.args[which]);
    if (!type_equal(&cat.type, &e.type) || cat.nargs > RULE_ARGS) continue;
    int axis = (int)value_int(&cat, A_axis, 0);
    Val parts[RULE_ARGS];
    int64_t start = 0;
    for (uint32_t p = 0; p < cat.nargs; p++) {
      Type t = rule_value(c, cat.args[p])->type;
      if (t.dim[axis].k && t.dim[axis].sym == DIM_SEGS) return NO_VAL; // no Dim to slice by
      Val args[ELEMENT_ARGS];
      for (uint32_t i = 0; i < e.nargs; i++)
        args[i] = i == which ? cat.args[p] : part_of(c, e.args[i], &e.type, axis, start, t.dim[axis], e.span);
      parts[p] = rule_op(c, e.op, args, e.nargs, &e);
      start += type_extent(m, &t, axis);
    }
    Val y = rule_op(c, OP_concat, parts, cat.nargs, &cat);
    if (!type_equal(&rule_value(c, y)->type, &e.type)) return NO_VAL;
    return y;
  }
  return NO_VAL;
}

// broadcast(w) + p => broadcast(w + p) for weights w, p: the sum has constant dims and is packed
static Val weights_before_broadcast(RuleCtx *c, Val v) {
  Value e = *rule_value(c, v);
  if (!(op_info[e.op].flags & F_ELEMENTWISE) || !type_has_runtime_dim(&e.type) || graph_residency(c->g, v) != RES_const)
    return NO_VAL;
  Val args[ELEMENT_ARGS];
  bool any = false;
  for (uint32_t i = 0; i < e.nargs; i++) {
    args[i] = e.args[i];
    while (rule_is(c, args[i], OP_broadcast)) args[i] = rule_value(c, args[i])->args[0], any = true;
    if (type_has_runtime_dim(&rule_value(c, args[i])->type)) return NO_VAL;
  }
  if (!any) return NO_VAL;
  Val y = rule_op(c, e.op, args, e.nargs, &e);
  return y.id ? graph_add_typed(c->g, OP_broadcast, &y, 1, NULL, 0, &e.type, e.span) : NO_VAL;
}

// The slice of columns that a part of the concat v is, or NULL: all parts take the same columns of as many.
static const Value *part_columns(const RuleCtx *c, const Value *cat, uint32_t part, int axis) {
  const Value *s = rule_value(c, cat->args[part]);
  if (s->op != OP_slice || value_int(s, A_axis, 0) != axis || !rule_is(c, s->args[0], OP_linear)) return NULL;
  const Value *first = rule_value(c, cat->args[0]);
  const Type *t = &rule_value(c, s->args[0])->type, *u = &rule_value(c, first->args[0])->type;
  bool same = value_int(s, A_start, 0) == value_int(first, A_start, 0) && t->dim[axis].c == u->dim[axis].c;
  return same && dim_is_const(t->dim[axis]) && dim_is_const(u->dim[axis]) ? s : NULL;
}

static Val columns_of_concat(RuleCtx *c, Val v) {
  Value cat = *rule_value(c, v);
  int last = cat.type.rank - 1;
  if (cat.op != OP_concat || cat.nargs > RULE_ARGS || value_int(&cat, A_axis, 0) == last) return NO_VAL;
  if (!rule_is(c, cat.args[0], OP_slice)) return NO_VAL;
  Val whole[RULE_ARGS];
  for (uint32_t p = 0; p < cat.nargs; p++) {
    const Value *s = part_columns(c, &cat, p, last);
    if (!s) return NO_VAL;
    whole[p] = s->args[0];
  }
  int64_t start = value_int(rule_value(c, cat.args[0]), A_start, 0);
  Val all = rule_op(c, OP_concat, whole, cat.nargs, &cat);
  if (!all.id) return NO_VAL;
  Val y = rule_slice(c, all, last, start, cat.type.dim[last], cat.span);
  return type_equal(&rule_value(c, y)->type, &cat.type) ? y : NO_VAL;
}

static const Rule distribute_rules[] = {
    {"elementwise_concat", "concat(x, y) + p => concat(x + p[x], y + p[y])", elementwise_concat},
    {"weights_before_broadcast", "broadcast(w) + p => broadcast(w + p)", weights_before_broadcast},
    {"columns_of_concat", "concat(x W[.., a:b], y V[.., a:b]) => concat(x W, y V)[.., a:b]", columns_of_concat},
};

size_t pass_distribute(Module *m, Arena *scratch, const PassOptions *o) {
  return rewrite_run(m, scratch, o, "distribute", distribute_rules, sizeof distribute_rules / sizeof *distribute_rules);
}
