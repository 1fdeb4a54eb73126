// sink.c: select before computing. A slice or a gather of rows moves up through the operators that treat rows one by
// one, so that the last layer of a classifier computes the class token alone: for ViT-B/16 that is 7 % of all the work,
// for CLIP's text tower (whose row is chosen by the text) as much. A slice of columns moves into the weight of a
// linear.
//
// Measure lowered: the number of elements computed. Work that has other readers is not done twice, except cheap row
// operators (norms) when only few of their rows are selected: then their gain and bias can still go into weights.
//
//   %9 = layer_norm %8 ...; %10 = slice %9 {axis = 1, start = 0} : f32[B,1,768]
//   => %11 = slice %8 {...};  %10 = layer_norm %11 ...
#include "rewrite.h"
#include "ir/op/op.h"

#include <string.h>

PassFn pass_sink;

static uint32_t flags_of(const Value *v) {
  return op_info[v->op].flags;
}

// May the operator below a selection be recomputed on the selected rows alone?
static bool worth(const RuleCtx *c, Val below, const Value *selected) {
  if (rule_single_use(c, below)) return true;
  const Value *b = rule_value(c, below);
  bool cheap = (flags_of(b) & F_ROWWISE) && !(flags_of(b) & F_CONTRACTION);
  const Module *m = c->g->module;
  return cheap && type_elements(m, &selected->type) * 8 <= type_elements(m, &b->type);
}

// A length that is a sum of several run-time parts has no Dim of its own; such slices stay where they are.
static bool several_parts(Dim len) {
  return len.k && len.sym == DIM_SEGS;
}

// Does a mask compare positions, and does the axis have a run-time part before `start`? Then `start`, which counts by
// upper bounds, is not the position of the first query, which counts what is there.
static bool position_unknown(const Value *attention, const Type *q, int64_t start) {
  if (!value_str(attention, A_where)) return false;
  for (int s = 0; s < q->nseg && q->segaxis == 1 && start > 0; s++) {
    if (!dim_is_const(q->seg[s].len)) return true;
    start -= q->seg[s].len.c;
  }
  return false;
}

/* slices ----------------------------------------------------------------------------------------------------------- */
static Val slice_rowwise(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_slice) return NO_VAL;
  int axis = (int)value_int(s, A_axis, 0);
  const Value *x = rule_value(c, s->args[0]);
  if (several_parts(s->type.dim[axis])) return NO_VAL;
  if (!(flags_of(x) & F_ROWWISE) || !worth(c, s->args[0], s)) return NO_VAL;
  const Type *in = &rule_value(c, x->args[0])->type;
  if (axis >= in->rank - 1) return NO_VAL; // the row itself is cut
  Val args[RULE_ARGS];
  if (x->nargs > RULE_ARGS) return NO_VAL;
  memcpy(args, x->args, x->nargs * sizeof *args);
  Value like = *x;
  args[0] = rule_slice(c, args[0], axis, value_int(s, A_start, 0), s->type.dim[axis], s->span);
  return rule_op(c, like.op, args, like.nargs, &like);
}

static Val slice_elementwise(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_slice) return NO_VAL;
  Value x = *rule_value(c, s->args[0]);
  if (!(flags_of(&x) & F_ELEMENTWISE) || !rule_single_use(c, s->args[0])) return NO_VAL;
  int axis = (int)value_int(s, A_axis, 0);
  int64_t start = value_int(s, A_start, 0);
  Dim len = s->type.dim[axis];
  Span at = s->span;
  if (several_parts(len)) return NO_VAL;
  Val args[ELEMENT_ARGS];
  for (uint32_t i = 0; i < x.nargs; i++) {
    const Type *t = &rule_value(c, x.args[i])->type;
    int own = axis - (x.type.rank - t->rank);
    bool stretched = own < 0 || (dim_is_const(t->dim[own]) && t->dim[own].c == 1);
    args[i] = stretched ? x.args[i] : rule_slice(c, x.args[i], own, start, len, at);
  }
  return rule_op(c, x.op, args, x.nargs, &x);
}

// Query rows of an attention: positions of the remaining queries are kept in `qstart`.
static Val slice_attention(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_slice || value_int(s, A_axis, 0) != 1) return NO_VAL;
  Value x = *rule_value(c, s->args[0]);
  if (!(flags_of(&x) & F_ATTENTION) || !rule_single_use(c, s->args[0])) return NO_VAL;
  Val args[RULE_ARGS];
  if (x.nargs > RULE_ARGS) return NO_VAL;
  for (uint32_t i = 0; i < x.nargs; i++) {
    args[i] = x.args[i];
    bool position = i < attention_seen(&x) && rule_value(c, args[i])->type.dtype == DT_I32;
    if (position) return NO_VAL; // already chosen by data
    const Type *t = &rule_value(c, args[i])->type;
    if (t->dtype == DT_BOOL && t->rank == 3 && rule_value(c, x.args[0])->type.nseg)
      return NO_VAL; // starts count by the segments of q
  }
  int64_t start = value_int(s, A_start, 0);
  Span at = s->span;
  if (several_parts(s->type.dim[1]) || position_unknown(&x, &rule_value(c, x.args[0])->type, start)) return NO_VAL;
  Attr attr[ATTR_COUNT];
  size_t n = 0;
  for (uint32_t i = 0; i < x.nattr; i++)
    if (x.attr[i].key != A_qstart && x.attr[i].key != A_start) attr[n++] = x.attr[i];
  if (value_attr(&x, A_rate)) attr[n++] = attr_int(A_start, value_int(&x, A_start, 0) + start);
  if (value_str(&x, A_where)) attr[n++] = attr_int(A_qstart, value_int(&x, A_qstart, 0) + start);
  Dim rows = s->type.dim[1];
  for (uint32_t i = 3; i < x.nargs; i++) { // the rows of the bias count by upper bounds too
    const Type t = rule_value(c, args[i])->type;
    if (t.dtype == DT_BOOL && t.rank == 3) args[i] = rule_slice(c, args[i], 1, start, rows, at);
    if (t.dtype == DT_F32) args[i] = rule_slice(c, args[i], 1, start, DIM(dim_bound(c->g->module, rows)), at);
  }
  args[0] = rule_slice(c, args[0], 1, start, rows, at);
  return graph_add(c->g, OP_attention, args, x.nargs, attr, n, x.span);
}

static bool all_users_slice_columns(const RuleCtx *c, Val x) {
  if (x.id >= c->known) return false;
  int last = rule_value(c, x)->type.rank - 1;
  for (uint32_t u = c->uses.start[x.id]; u < c->uses.start[x.id + 1]; u++) {
    if (c->uses.user[u] == UINT32_MAX) return false;
    const Value *user = rule_value(c, (Val){c->uses.user[u]});
    if (user->op != OP_slice || value_int(user, A_axis, 0) != last) return false;
  }
  return true;
}

// linear(x, W, b)[.., n0:n1] => linear(x, W[n0:n1], b[n0:n1]) when nobody wants the other columns joined to these
static Val slice_linear_columns(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_slice || !rule_is(c, s->args[0], OP_linear)) return NO_VAL;
  Value x = *rule_value(c, s->args[0]);
  int axis = (int)value_int(s, A_axis, 0);
  if (axis != x.type.rank - 1 || !all_users_slice_columns(c, s->args[0])) return NO_VAL;
  int64_t start = value_int(s, A_start, 0);
  Dim len = s->type.dim[axis];
  Span at = s->span;
  Val args[3] = {x.args[0]};
  args[1] = rule_slice(c, x.args[1], value_int(&x, A_trans, 0) ? 1 : 0, start, len, at);
  if (x.nargs == 3) args[2] = rule_slice(c, x.args[2], 0, start, len, at);
  return rule_op(c, OP_linear, args, x.nargs, &x);
}

// The operand of the concat `of` in which all of [*start, *start + len) of its axis lies; *start then counts there.
static Val part_around(const RuleCtx *c, const Value *of, int axis, int64_t *start, int64_t len) {
  int64_t at = 0;
  for (uint32_t i = 0; i < of->nargs; i++) {
    int64_t extent = type_extent(c->g->module, &rule_value(c, of->args[i])->type, axis); // by upper bounds, like start
    if (*start >= at && *start + len <= at + extent) return *start -= at, of->args[i];
    at += extent;
  }
  return NO_VAL;
}

// concat(.., x, ..)[part inside x] => x[part], through concats in concats at once
static Val slice_concat(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_slice || !rule_is(c, s->args[0], OP_concat)) return NO_VAL;
  int axis = (int)value_int(s, A_axis, 0);
  if (several_parts(s->type.dim[axis])) return NO_VAL;
  int64_t start = value_int(s, A_start, 0), len = dim_bound(c->g->module, s->type.dim[axis]);
  Val x = s->args[0];
  while (rule_is(c, x, OP_concat) && value_int(rule_value(c, x), A_axis, 0) == axis) {
    Val part = part_around(c, rule_value(c, x), axis, &start, len);
    if (!part.id) break;
    x = part;
  }
  if (x.id == s->args[0].id) return NO_VAL;
  Val part = rule_slice(c, x, axis, start, s->type.dim[axis], s->span);
  return type_equal(&rule_value(c, part)->type, &rule_value(c, v)->type) ? part : NO_VAL;
}

// reshape(op(x, w)) => op(reshape(x), w) when the reshape keeps rows whole: norms then meet the linears behind them
static Val reshape_rowwise(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_reshape || s->type.rank < 2) return NO_VAL;
  Value x = *rule_value(c, s->args[0]);
  if (!(flags_of(&x) & F_ROWWISE) || x.nargs > RULE_ARGS || !rule_single_use(c, s->args[0])) return NO_VAL;
  Type in = rule_value(c, x.args[0])->type, to = s->type;
  if (x.type.rank != in.rank || in.nseg || !dim_equal(to.dim[to.rank - 1], x.type.dim[x.type.rank - 1])) return NO_VAL;
  to.dim[to.rank - 1] = in.dim[in.rank - 1];
  Val args[RULE_ARGS];
  memcpy(args, x.args, x.nargs * sizeof *args);
  args[0] = rule_reshape(c, args[0], &to, s->span);
  return rule_op(c, x.op, args, x.nargs, &x);
}

/* gathers: y[b] = x[b, i[b]] ------------------------------------------------------------------------------------------
 */
static Val gather(RuleCtx *c, Val x, Val index, Span at) {
  return graph_add(c->g, OP_gather_rows, (Val[]){x, index}, 2, NULL, 0, at);
}

static Val gather_rowwise(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_gather_rows) return NO_VAL;
  Value x = *rule_value(c, s->args[0]);
  Val index = s->args[1];
  if (!(flags_of(&x) & F_ROWWISE) || x.nargs > RULE_ARGS || x.type.rank != 3 || !worth(c, s->args[0], s)) return NO_VAL;
  Val args[RULE_ARGS];
  memcpy(args, x.args, x.nargs * sizeof *args);
  args[0] = gather(c, args[0], index, s->span);
  return rule_op(c, x.op, args, x.nargs, &x);
}

static Val gather_elementwise(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_gather_rows) return NO_VAL;
  Value x = *rule_value(c, s->args[0]);
  Val index = s->args[1];
  Span at = s->span;
  if (!(flags_of(&x) & F_ELEMENTWISE) || !rule_single_use(c, s->args[0])) return NO_VAL;
  for (uint32_t i = 0; i < x.nargs; i++) { // every operand has all rows, or one row for all
    const Type *t = &rule_value(c, x.args[i])->type;
    if (t->rank == 3 && (!dim_equal(t->dim[0], x.type.dim[0]) || !dim_equal(t->dim[1], x.type.dim[1]))) return NO_VAL;
    if (t->rank == 2 && !(dim_is_const(t->dim[0]) && t->dim[0].c == 1)) return NO_VAL;
  }
  Val args[ELEMENT_ARGS];
  for (uint32_t i = 0; i < x.nargs; i++)
    args[i] = rule_value(c, x.args[i])->type.rank == 3 ? gather(c, x.args[i], index, at) : x.args[i];
  return rule_op(c, x.op, args, x.nargs, &x);
}

// One query per text: attention over all keys for the chosen row, whose position the mask gets as an operand.
static Val gather_attention(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_gather_rows) return NO_VAL;
  Value x = *rule_value(c, s->args[0]);
  Val index = s->args[1];
  Span at = s->span;
  Type result = s->type;
  if (!(flags_of(&x) & F_ATTENTION) || x.nargs > 15 || !rule_single_use(c, s->args[0])) return NO_VAL;
  if (rule_value(c, index)->type.rank != 1) return NO_VAL;
  if (value_int(&x, A_qstart, 0) || mask_asks(value_mask(c->g->module->arena, c->g->module, &x), false))
    return NO_VAL; // the row chosen has no modality
  Val args[RULE_ARGS];
  for (uint32_t i = 0; i < x.nargs; i++) {
    args[i] = x.args[i];
    DType dt = rule_value(c, args[i])->type.dtype;
    // a position already, or a bias, a dropout or a mask, whose row would be chosen by data
    if (i >= 3 && (dt != DT_BOOL || rule_value(c, args[i])->type.rank == 3)) return NO_VAL;
  }
  Val q = gather(c, args[0], index, at);
  Type one = rule_value(c, q)->type; // [B,D] -> [B,1,D]
  one.dim[2] = one.dim[1];
  one.dim[1] = DIM(1);
  one.rank = 3;
  args[0] = rule_reshape(c, q, &one, at);
  uint32_t n = x.nargs;
  if (value_str(&x, A_where)) args[n++] = index;
  Val y = rule_op(c, OP_attention, args, n, &x);
  return rule_reshape(c, y, &result, at);
}

static const Rule sink_rules[] = {
    {"slice_rowwise", "op(x, w)[rows] => op(x[rows], w)", slice_rowwise},
    {"slice_elementwise", "(a + b)[part] => a[part] + b[part]", slice_elementwise},
    {"slice_attention", "attention(q, k, v)[:, rows] => attention(q[:, rows], k, v)", slice_attention},
    {"slice_linear_columns", "linear(x, W, b)[.., n] => linear(x, W[n], b[n])", slice_linear_columns},
    {"slice_concat", "concat(x, y)[part of x] => x[part]", slice_concat},
    {"reshape_rowwise", "reshape(op(x, w)) => op(reshape(x), w), rows whole", reshape_rowwise},
    {"gather_rowwise", "gather(op(x, w), i) => op(gather(x, i), w)", gather_rowwise},
    {"gather_elementwise", "gather(a + b, i) => gather(a, i) + gather(b, i)", gather_elementwise},
    {"gather_attention", "gather(attention(q, k, v), i) => attention(gather(q, i), k, v, i)", gather_attention},
};

size_t pass_sink(Module *m, Arena *scratch, const PassOptions *o) {
  return rewrite_run(m, scratch, o, "sink", sink_rules, sizeof sink_rules / sizeof *sink_rules);
}
