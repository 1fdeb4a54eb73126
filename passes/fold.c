// fold.c: views of views become one view, views that change nothing vanish, look-ups of one row become views; and
// common subexpressions. Measure lowered: the number of look-ups, then of view operations between a source and its use.
#include "rewrite.h"
#include "ir/op/op.h"

#include <string.h>

static Val slice_slice(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_slice || !rule_is(c, s->args[0], OP_slice)) return NO_VAL;
  const Value *inner = rule_value(c, s->args[0]);
  int axis = (int)value_int(s, A_axis, 0);
  if (value_int(inner, A_axis, 0) != axis) return NO_VAL;
  Attr attr[] = {attr_int(A_axis, axis), attr_int(A_start, value_int(s, A_start, 0) + value_int(inner, A_start, 0))};
  Type t = s->type;
  return graph_add_typed(c->g, OP_slice, &inner->args[0], 1, attr, 2, &t, s->span);
}

static Val reshape_reshape(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_reshape || !rule_is(c, s->args[0], OP_reshape)) return NO_VAL;
  Type t = s->type;
  Val x = rule_value(c, s->args[0])->args[0];
  Span at = s->span;
  return graph_add_typed(c->g, OP_reshape, &x, 1, NULL, 0, &t, at);
}

static Val transpose_transpose(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_transpose || !rule_is(c, s->args[0], OP_transpose)) return NO_VAL;
  const Value *inner = rule_value(c, s->args[0]);
  const Attr *p = value_attr(s, A_perm), *q = value_attr(inner, A_perm);
  int64_t perm[MAX_RANK];
  bool identity = true;
  for (size_t i = 0; i < p->nv; i++) {
    perm[i] = q->v[p->v[i]];
    identity = identity && perm[i] == (int64_t)i;
  }
  if (identity) return inner->args[0];
  Attr attr = attr_ints(A_perm, perm, p->nv);
  return graph_add(c->g, OP_transpose, &inner->args[0], 1, &attr, 1, s->span);
}

// A view that yields the type it was given: slices of everything, reshapes and broadcasts to the same type.
static Val same_view(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_slice && s->op != OP_reshape && s->op != OP_broadcast && s->op != OP_retag) return NO_VAL;
  return type_equal(&s->type, &rule_value(c, s->args[0])->type) ? s->args[0] : NO_VAL;
}

// Neighbouring parts of one activation, put together again: the gradients by Q, K and V that were columns of one value.
static Val concat_slices(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_concat || !s->nargs || !rule_is(c, s->args[0], OP_slice)) return NO_VAL;
  const Value *first = rule_value(c, s->args[0]);
  int axis = (int)value_int(s, A_axis, 0);
  int64_t start = value_int(first, A_start, 0), at = start;
  Val x = first->args[0];
  if ((s->type.nseg && s->type.segaxis == axis) || graph_residency(c->g, x) != RES_act) return NO_VAL;
  for (uint32_t i = 0; i < s->nargs; i++) {
    const Value *part = rule_value(c, s->args[i]);
    if (part->op != OP_slice || part->args[0].id != x.id || value_int(part, A_axis, 0) != axis) return NO_VAL;
    if (value_int(part, A_start, 0) != at || !dim_is_const(part->type.dim[axis])) return NO_VAL;
    at += part->type.dim[axis].c;
  }
  Type t = s->type;
  if (type_equal(&t, &rule_value(c, x)->type)) return x;
  Attr attr[] = {attr_int(A_axis, axis), attr_int(A_start, start)};
  return graph_add_typed(c->g, OP_slice, &x, 1, attr, 2, &t, s->span);
}

// The same row for every id. An id outside the table stays, for its error, and so does one that is not trained by it.
static Val constant_row(RuleCtx *c, Val v) {
  const Value *s = rule_value(c, v);
  if (s->op != OP_embedding || !rule_is(c, s->args[1], OP_constant)) return NO_VAL;
  double row = value_float(rule_value(c, s->args[1]), A_value, -1);
  Dim rows = rule_value(c, s->args[0])->type.dim[0];
  if (!dim_is_const(rows) || !(row >= 0 && row < (double)rows.c)) return NO_VAL;
  if (row < (double)value_int(s, A_keep, 0)) return NO_VAL;
  Type t = s->type;
  Span at = s->span;
  Val one = rule_slice(c, s->args[0], 0, (int64_t)row, DIM(1), at);
  return graph_add_typed(c->g, OP_broadcast, &one, 1, NULL, 0, &t, at);
}

// reshape(slice of one column block) and the like stay; a slice of a unit axis that a reshape removes stays too: both
// are free views.

static const Rule fold_rules[] = {
    {"same_view", "view(x) : type(x) => x", same_view},
    {"slice_slice", "x[a..][b..] => x[a+b..]", slice_slice},
    {"reshape_reshape", "reshape(reshape(x)) => reshape(x)", reshape_reshape},
    {"transpose_transpose", "transpose(transpose(x,p),q) => transpose(x,p.q)", transpose_transpose},
    {"concat_slices", "concat(x[a..b], x[b..c]) => x[a..c]", concat_slices},
    {"constant_row", "embedding(t, constant i) => broadcast(t[i])", constant_row},
    {"weights_once", "op(broadcast(w)) => broadcast(op(w)), weights alone", rule_weights_once},
};

PassFn pass_fold, pass_cse, pass_clean;

size_t pass_fold(Module *m, Arena *scratch, const PassOptions *o) {
  return rewrite_run(m, scratch, o, "fold", fold_rules, sizeof fold_rules / sizeof *fold_rules);
}

// Building hash-conses new values; rewriting makes older ones equal after the fact. Buckets by operator and operands.
size_t pass_cse(Module *m, Arena *scratch, const PassOptions *o) {
  (void)o;
  size_t changes = 0;
  for (size_t gi = 0; gi < m->graph.n; gi++) {
    Graph *g = m->graph.at[gi];
    ArenaMark mark = arena_mark(scratch);
    size_t cap = 64;
    while (cap < 4 * g->value.n) cap *= 2;
    uint32_t *slot = ARENA_ARRAY(scratch, uint32_t, cap);
    for (uint32_t i = 1; i < g->value.n; i++) {
      Value *v = &g->value.at[i];
      if (v->dead || !(op_info[v->op].flags & F_PURE)) continue;
      uint64_t h = hash_bytes(v->args, v->nargs * sizeof *v->args, (uint64_t)v->op);
      for (uint32_t k = 0; k < v->nattr; k++)
        h = hash_bytes(&v->attr[k].f, sizeof v->attr[k].f, h ^ (uint64_t)v->attr[k].i);
      size_t s = (size_t)h & (cap - 1);
      while (slot[s] && !value_same(&g->value.at[slot[s]], v)) s = (s + 1) & (cap - 1);
      if (!slot[s]) {
        slot[s] = i;
        continue;
      }
      graph_replace(g, (Val){i}, (Val){slot[s]});
      g->value.at[i].dead = true;
      changes++;
    }
    graph_compact(g);
    arena_reset(scratch, mark);
  }
  return changes;
}

size_t pass_clean(Module *m, Arena *scratch, const PassOptions *o) {
  size_t total = 0, changes;
  do {
    changes = pass_fold(m, scratch, o) + pass_cse(m, scratch, o);
    total += changes;
  } while (changes);
  return total;
}
