// once.c: what depends on weights alone is computed once, when weights are packed. A run-time dim in its type (most of
// all the batch that learned queries were stretched over) does not change that as long as the value is the same along
// it: then it is computed for one element of that axis and stretched afterwards.
//
//   q = broadcast(queries) : f32[B,32,768];  y = attention(linear(q, W), ..) : f32[B,32,768]
//   => y = broadcast(attention(linear(queries, W), ..) : f32[1,32,768]) : f32[B,32,768]
//
// Measure lowered: the number of operations on weights alone that are computed at every call.
#include "rewrite.h"
#include "ir/op/op.h"

enum { MOST_VALUES = 4096 }; // of one narrowed expression: its depth is that of the recursion too

typedef struct Narrow {
  RuleCtx *c;
  size_t budget;
} Narrow;

// The type with run-time axes of length 1.
static Type narrow_type(const Type *t) {
  Type out = *t;
  bool segs = t->nseg && !dim_is_const(t->dim[t->segaxis]);
  if (segs) type_set_segs(&out, t->segaxis, NULL, 0);
  for (int d = 0; d < out.rank; d++)
    if (!dim_is_const(t->dim[d])) out.dim[d] = DIM(1);
  return out;
}

static Val narrow(Narrow *n, Val v);

static Val build(Narrow *n, const Value *x, const Val *args, const Type *t) {
  for (uint32_t i = 0; i < x->nargs; i++)
    if (!args[i].id) return NO_VAL;
  Val y = graph_add_typed(n->c->g, x->op, args, x->nargs, x->attr, x->nattr, t, x->span);
  return y.id && type_equal(&rule_value(n->c, y)->type, t) ? y : NO_VAL;
}

// An operator treats the places along this axis of its result one by one.
static bool each_alone(const Value *x, int axis) {
  uint32_t flags = op_info[x->op].flags;
  if (flags & F_ELEMENTWISE) return true;
  if (flags & F_ROWWISE) return axis < x->type.rank - 1 || x->op == OP_argmax;
  if (x->op == OP_matmul) return axis < x->type.rank - 2;
  if ((flags & (F_ATTENTION | F_WINDOWS)) || x->op == OP_depthwise) return axis == 0;
  if (x->op == OP_slice || x->op == OP_concat) return axis != value_int(x, A_axis, 0);
  return x->op == OP_embedding || x->op == OP_transpose || x->op == OP_reshape;
}

// What, stretched to the type of v, is v; NO_VAL: there is no such value, or nobody knows.
static Val narrow(Narrow *n, Val v) {
  Value x = *rule_value(n->c, v);
  if (!type_has_runtime_dim(&x.type)) return v;
  if (!n->budget || x.nargs > RULE_ARGS) return NO_VAL;
  n->budget--;
  if (x.op == OP_embedding && rule_is(n->c, x.args[1], OP_constant))
    return NO_VAL; // outside the table: its error stays
  Type t = narrow_type(&x.type);
  if (x.op == OP_constant) return build(n, &x, NULL, &t);
  if (x.op == OP_broadcast) {
    Val below = narrow(n, x.args[0]);
    return below.id ? build(n, &x, &below, &t) : NO_VAL;
  }
  for (int d = 0; d < x.type.rank; d++)
    if (!dim_is_const(x.type.dim[d]) && !each_alone(&x, d)) return NO_VAL;
  Val args[RULE_ARGS];
  for (uint32_t i = 0; i < x.nargs; i++) args[i] = narrow(n, x.args[i]);
  return build(n, &x, args, &t);
}

Val rule_weights_once(RuleCtx *c, Val v) {
  Value x = *rule_value(c, v);
  uint32_t flags = op_info[x.op].flags;
  bool computes =
      (flags & (F_ELEMENTWISE | F_ROWWISE | F_CONTRACTION | F_ATTENTION | F_WINDOWS | F_DATA)) || x.op == OP_depthwise;
  if (!computes || !type_has_runtime_dim(&x.type) || graph_residency(c->g, v) != RES_const) return NO_VAL;
  Narrow n = {c, MOST_VALUES};
  Val one = narrow(&n, v);
  return one.id ? graph_add_typed(c->g, OP_broadcast, &one, 1, NULL, 0, &x.type, x.span) : NO_VAL;
}
