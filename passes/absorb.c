// absorb.c: move work into weights, where the packer does it once: LayerNorm's gain and bias and
// RMSNorm's gain into the linears that read it, the attention scale into the query projection, scale and shift vectors
// behind a linear into its weight and bias. The weight expressions are ordinary graph values; whoever packs the weights
// evaluates them in double precision. Measure lowered: the number of non-weight operations.
//
//   linear(layer_norm(x, g, b), W, c)  =>  linear(layer_norm(x), W * g, W b + c)
#include "rewrite.h"
#include "ir/op/op.h"

#include <string.h>

PassFn pass_absorb;

static bool is_const(const RuleCtx *c, Val v) {
  return graph_residency(c->g, v) == RES_const;
}
static bool has_weights(const RuleCtx *c, const Value *linear) {
  return is_const(c, linear->args[1]) && (linear->nargs < 3 || is_const(c, linear->args[2]));
}

static bool all_users_linear(const RuleCtx *c, Val x) {
  if (x.id >= c->known) return false;
  for (uint32_t u = c->uses.start[x.id]; u < c->uses.start[x.id + 1]; u++) {
    if (c->uses.user[u] == UINT32_MAX) return false;
    const Value *user = rule_value(c, (Val){c->uses.user[u]});
    if (user->op != OP_linear || user->args[0].id != x.id || !has_weights(c, user)) return false;
  }
  return true;
}

static Val op2(RuleCtx *c, Op op, Val a, Val b, Span at) {
  return graph_add(c->g, op, (Val[]){a, b}, 2, NULL, 0, at);
}

// A vector over the inputs (K) or outputs (N) of a weight, shaped to multiply it.
static Val column_vector(RuleCtx *c, Val v, Span at) { // [n] -> [n,1]
  Type t = rule_value(c, v)->type;
  t.rank = 2;
  t.dim[1] = DIM(1);
  return rule_reshape(c, v, &t, at);
}

static Val linear_layer_norm(RuleCtx *c, Val v) {
  Value lin = *rule_value(c, v);
  if (lin.op != OP_linear || !rule_is(c, lin.args[0], OP_layer_norm)) return NO_VAL;
  Value norm = *rule_value(c, lin.args[0]);
  if (norm.nargs != 3 || !all_users_linear(c, lin.args[0]) || !has_weights(c, &lin)) return NO_VAL;
  Val gain = norm.args[1], shift = norm.args[2], w = lin.args[1];
  if (!is_const(c, gain) || !is_const(c, shift)) return NO_VAL;
  bool trans = value_int(&lin, A_trans, 0) != 0;
  Val args[3] = {rule_op(c, OP_layer_norm, norm.args, 1, &norm)};
  args[1] = op2(c, OP_mul, w, trans ? column_vector(c, gain, lin.span) : gain, lin.span);
  Val bias[3] = {shift, w, lin.nargs == 3 ? lin.args[2] : NO_VAL};
  args[2] = rule_op(c, OP_linear, bias, lin.nargs, &lin);
  return rule_op(c, OP_linear, args, 3, &lin);
}

static Val linear_rms_norm(RuleCtx *c, Val v) {
  Value lin = *rule_value(c, v);
  if (lin.op != OP_linear || !rule_is(c, lin.args[0], OP_rms_norm)) return NO_VAL;
  Value norm = *rule_value(c, lin.args[0]);
  if (norm.nargs != 2 || !all_users_linear(c, lin.args[0]) || !has_weights(c, &lin)) return NO_VAL;
  if (!is_const(c, norm.args[1])) return NO_VAL;
  bool trans = value_int(&lin, A_trans, 0) != 0;
  Val gain = trans ? column_vector(c, norm.args[1], lin.span) : norm.args[1];
  Val args[3] = {rule_op(c, OP_rms_norm, norm.args, 1, &norm), op2(c, OP_mul, lin.args[1], gain, lin.span)};
  if (lin.nargs == 3) args[2] = lin.args[2];
  return rule_op(c, OP_linear, args, lin.nargs, &lin);
}

// linear with its weight and bias scaled per output; `by` is a scalar or a vector [N]
static Val scaled_linear(RuleCtx *c, const Value *lin, Val by) {
  bool trans = value_int(lin, A_trans, 0) != 0, vector = rule_value(c, by)->type.rank == 1;
  Val args[3] = {lin->args[0]};
  args[1] = op2(c, OP_mul, lin->args[1], vector && !trans ? column_vector(c, by, lin->span) : by, lin->span);
  if (lin->nargs == 3) args[2] = op2(c, OP_mul, lin->args[2], by, lin->span);
  return rule_op(c, OP_linear, args, lin->nargs, lin);
}

static Val attention_scale(RuleCtx *c, Val v) {
  Value att = *rule_value(c, v);
  if (!(op_info[att.op].flags & F_ATTENTION) || value_float(&att, A_scale, 1) == 1) return NO_VAL;
  Val q = att.args[0], below = rule_is(c, q, OP_reshape) ? rule_value(c, q)->args[0] : q;
  if (!rule_is(c, below, OP_linear) || !rule_single_use(c, below)) return NO_VAL;
  if (q.id != below.id && !rule_single_use(c, q)) return NO_VAL;
  Value lin = *rule_value(c, below);
  Type shaped = rule_value(c, q)->type;
  if (!has_weights(c, &lin)) return NO_VAL;
  Val args[RULE_ARGS];
  if (att.nargs > RULE_ARGS) return NO_VAL;
  memcpy(args, att.args, att.nargs * sizeof *args);
  Val by = graph_scalar(c->g, value_float(&att, A_scale, 1), att.span);
  args[0] = rule_reshape(c, scaled_linear(c, &lin, by), &shaped, att.span);
  Attr attr[ATTR_COUNT];
  for (uint32_t i = 0; i < att.nattr; i++) {
    attr[i] = att.attr[i];
    if (attr[i].key == A_scale) attr[i].f = 1;
  }
  return graph_add(c->g, OP_attention, args, att.nargs, attr, att.nattr, att.span);
}

// A constant operand (RES_const) that is one vector over the last axis (or a scalar), as [N] or []; else NO_VAL.
static Val as_vector(RuleCtx *c, Val v, const Type *result) {
  const Value *w = rule_value(c, v);
  if (!is_const(c, v)) return NO_VAL;
  if (w->type.rank == 0) return v;
  for (int d = 0; d < w->type.rank - 1; d++)
    if (!dim_is_const(w->type.dim[d]) || w->type.dim[d].c != 1) return NO_VAL;
  Dim last = w->type.dim[w->type.rank - 1];
  if (!dim_equal(last, result->dim[result->rank - 1])) return NO_VAL;
  Type t = w->type;
  t.rank = 1;
  t.nseg = 0;
  t.dim[0] = last;
  return rule_reshape(c, v, &t, w->span);
}

// (linear, vector) of an add or mul of the two, in either order.
static bool linear_and_vector(RuleCtx *c, const Value *v, Value *lin, Val *vec) {
  for (int i = 0; i < 2; i++) {
    Val l = v->args[i], other = v->args[1 - i];
    if (!rule_is(c, l, OP_linear) || !rule_single_use(c, l) || !has_weights(c, rule_value(c, l))) continue;
    if (!type_equal(&rule_value(c, l)->type, &v->type)) continue;
    *vec = as_vector(c, other, &v->type);
    if (!vec->id) continue;
    *lin = *rule_value(c, l);
    return true;
  }
  return false;
}

static Val linear_mul(RuleCtx *c, Val v) {
  Value mul = *rule_value(c, v), lin;
  Val by;
  if (mul.op != OP_mul || !linear_and_vector(c, &mul, &lin, &by)) return NO_VAL;
  return scaled_linear(c, &lin, by);
}

static Val linear_add(RuleCtx *c, Val v) {
  Value add = *rule_value(c, v), lin;
  Val by;
  if (add.op != OP_add || !linear_and_vector(c, &add, &lin, &by)) return NO_VAL;
  if (lin.nargs == 2 && rule_value(c, by)->type.rank != 1) return NO_VAL;
  Val args[3] = {lin.args[0], lin.args[1], lin.nargs == 3 ? op2(c, OP_add, lin.args[2], by, add.span) : by};
  return rule_op(c, OP_linear, args, 3, &lin);
}

static const Rule absorb_rules[] = {
    {"linear_layer_norm", "linear(layer_norm(x,g,b),W,c) => linear(layer_norm(x),W*g,Wb+c)", linear_layer_norm},
    {"linear_rms_norm", "linear(rms_norm(x,g),W,c) => linear(rms_norm(x),W*g,c)", linear_rms_norm},
    {"attention_scale", "attention(linear(x,W,b),..,s) => attention(linear(x,s W,s b),..,1)", attention_scale},
    {"linear_mul", "linear(x,W,b) * s => linear(x,s W,s b)", linear_mul},
    {"linear_add", "linear(x,W,b) + t => linear(x,W,b+t)", linear_add},
};

size_t pass_absorb(Module *m, Arena *scratch, const PassOptions *o) {
  return rewrite_run(m, scratch, o, "absorb", absorb_rules, sizeof absorb_rules / sizeof *absorb_rules);
}
