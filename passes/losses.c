// losses.c: in objectives, the scores that a cross-entropy takes of the rows of a product become one operator, which
// keeps no logits (the pass `blocks` computes it). Pages say it with log_softmax, a gather and a sum:
//
//   %3 = linear %1, %2 : f32[B,L,30522];  %4 = log_softmax %3
//   %6 = select %5, %labels, 0;  %7 = reshape %4 : f32[B,L,30522,1];  %8 = gather_rows %7, %6 : f32[B,L,1]
//   %9 = reduce_sum %4 : f32[B,L,1]                                                         (smoothed targets alone)
//   => %10 = label_scores %1, %2, %6, %5 {count = 3} : f32[B,L,3];  %8 = %10[.., 0];  %9 = %10[.., 2]
//
// Rows count where their label is one. That others need not be computed is only known where whatever is made of the
// scores goes through `select %5, .., 0`; else all rows count. Logits that are read by anybody else, or that are no
// larger than PassOptions.logits, stay as they are.
#include "ir/op/op.h"
#include "pass.h"

PassFn pass_losses;

typedef struct Loss {
  Graph *g;
  Val scores; // log_softmax
  Val ids;    // what gather_rows takes, NO_VAL: nothing yet
  VEC(Val) hit;
  VEC(Val) sum;
  Arena *scratch;
} Loss;

static const Value *val(const Loss *l, Val v) {
  return graph_value(l->g, v);
}

static bool is_output(const Graph *g, Val v) {
  for (size_t i = 0; i < g->output.n; i++)
    if (g->output.at[i].val.id == v.id) return true;
  return false;
}

// Live users of v, in scratch.
static Val *users(const Loss *l, Val v, size_t *n) {
  const uint32_t *list = graph_users(l->g, v, n);
  Val *user = ARENA_ARRAY(l->scratch, Val, *n + 1);
  size_t live = 0;
  for (size_t i = 0; i < *n; i++)
    if (!l->g->value.at[list[i]].dead) user[live++] = (Val){list[i]};
  *n = live;
  return user;
}

// Takes in a gather of each row's score at its label.
static bool add_hit(Loss *l, Val gather, Val rows) {
  const Value *x = val(l, gather), *s = val(l, l->scores);
  if (x->op != OP_gather_rows || x->args[0].id != rows.id) return false;
  if (val(l, x->args[1])->type.rank != s->type.rank - 1 || (l->ids.id && l->ids.id != x->args[1].id)) return false;
  l->ids = x->args[1];
  VEC_PUSH(l->scratch, l->hit, gather);
  return true;
}

// Are all that read v, scores or a view of them, of the two kinds?
static bool add_readers(Loss *l, Val v) {
  size_t n, inner;
  Val *user = users(l, v, &n);
  if (is_output(l->g, v)) return false;
  for (size_t i = 0; i < n; i++) {
    const Value *u = val(l, user[i]);
    const Type *t = &val(l, v)->type;
    if (u->op == OP_retag) {
      if (!add_readers(l, user[i])) return false;
    } else if (u->op == OP_reduce_sum) {
      VEC_PUSH(l->scratch, l->sum, user[i]);
    } else if (u->op == OP_reshape && u->type.rank == t->rank + 1 &&
               dim_equal(u->type.dim[t->rank - 1], t->dim[t->rank - 1])) {
      Val *gather = users(l, user[i], &inner);
      if (is_output(l->g, user[i])) return false;
      for (size_t k = 0; k < inner; k++)
        if (!add_hit(l, gather[k], user[i])) return false;
    } else {
      return false;
    }
  }
  return true;
}

// Does whatever is made of v go through `select counted, .., 0`, in any order of elementwise work and views of all?
static bool only_counted(const Loss *l, Val v, Val counted) {
  size_t n;
  Val *user = users(l, v, &n);
  if (is_output(l->g, v)) return false;
  for (size_t i = 0; i < n; i++) {
    const Value *u = val(l, user[i]);
    if (u->op == OP_select && u->args[0].id == counted.id && u->args[1].id == v.id && u->args[2].id != v.id) {
      const Value *other = val(l, u->args[2]);
      if (other->op == OP_constant && value_float(other, A_value, 1) == 0) continue;
    }
    bool along = (op_info[u->op].flags & F_ELEMENTWISE) && u->op != OP_dropout;
    bool view = u->op == OP_reshape || u->op == OP_retag;
    const Type *t = &u->type, *c = &val(l, counted)->type; // an element of v for each row
    bool rows = t->rank == c->rank || (t->rank == c->rank + 1 && dim_equal(t->dim[c->rank], DIM(1)));
    for (int d = 0; rows && d < c->rank; d++) rows = dim_equal(t->dim[d], c->dim[d]);
    if ((!along && !view) || !rows || !only_counted(l, user[i], counted)) return false;
  }
  return true;
}

static Val all_rows(const Loss *l, const Type *labels, Span at) {
  Type t = *labels;
  Attr one = attr_float(A_value, 1);
  t.dtype = DT_BOOL;
  return graph_add_typed(l->g, OP_constant, NULL, 0, &one, 1, &t, at);
}

// Which rows count: those whose label is looked up, where that is all that matters of the scores.
static Val counted_rows(const Loss *l) {
  const Value *ids = val(l, l->ids);
  Val counted = ids->op == OP_select ? ids->args[0] : NO_VAL;
  bool only = counted.id && val(l, counted)->type.rank == ids->type.rank;
  for (int d = 0; only && d < ids->type.rank; d++) only = dim_equal(val(l, counted)->type.dim[d], ids->type.dim[d]);
  for (size_t i = 0; only && i < l->hit.n; i++) only = only_counted(l, l->hit.at[i], counted);
  for (size_t i = 0; only && i < l->sum.n; i++) only = only_counted(l, l->sum.at[i], counted);
  return only ? counted : all_rows(l, &ids->type, ids->span);
}

static bool find(Loss *l, Val scores, int64_t most) {
  const Value *s = val(l, scores), *x = val(l, s->args[0]);
  l->scores = scores;
  if (x->op != OP_linear || value_int(x, A_trans, 0) || is_output(l->g, s->args[0])) return false;
  size_t n;
  (void)users(l, s->args[0], &n);
  if (n != 1 || s->type.dtype != DT_F32 || type_bytes(l->g->module, &s->type) <= most) return false;
  if (!dim_is_const(s->type.dim[s->type.rank - 1]) || !type_is_dense(&s->type)) return false;
  Res w = graph_residency(l->g, x->args[1]);
  if (w != RES_const && w != RES_param) return false;
  return add_readers(l, scores) && l->hit.n;
}

// Column `start` of y in the place of v.
static void replace(const Loss *l, Val v, Val y, int64_t start) {
  Type t = val(l, y)->type, want = val(l, v)->type;
  Attr at[] = {attr_int(A_axis, t.rank - 1), attr_int(A_start, start)};
  t.dim[t.rank - 1] = DIM(1);
  Val part = graph_add_typed(l->g, OP_slice, &y, 1, at, 2, &t, val(l, v)->span);
  if (!type_equal(&t, &want)) part = graph_add_typed(l->g, OP_retag, &part, 1, NULL, 0, &want, val(l, v)->span);
  graph_replace(l->g, v, part);
}

static void rewrite(Loss *l) {
  Value product = *val(l, val(l, l->scores)->args[0]);
  Val args[5] = {product.args[0], product.args[1], l->ids, counted_rows(l)};
  size_t nargs = 4;
  if (product.nargs == 3) args[nargs++] = product.args[2];
  Attr count = attr_int(A_count, l->sum.n ? 3 : 2);
  Val y = graph_add(l->g, OP_label_scores, args, nargs, &count, 1, product.span);
  if (!y.id) ICE("losses: %%%u does not fit", l->scores.id);
  graph_value(l->g, y)->label = product.label;
  for (size_t i = 0; i < l->hit.n; i++) replace(l, l->hit.at[i], y, 0);
  for (size_t i = 0; i < l->sum.n; i++) replace(l, l->sum.at[i], y, 2);
}

size_t pass_losses(Module *m, Arena *scratch, const PassOptions *o) {
  size_t n = 0;
  int64_t most = o->logits ? o->logits : LOGITS_MOST;
  for (size_t i = 0; i < m->graph.n; i++) {
    Graph *g = m->graph.at[i];
    uint32_t known = (uint32_t)g->value.n;
    ArenaMark mark = arena_mark(scratch);
    for (uint32_t v = 1; v < known && g->objective; v++) {
      Loss l = {.g = g, .scratch = scratch};
      if (g->value.at[v].dead || g->value.at[v].op != OP_log_softmax || !find(&l, (Val){v}, most)) continue;
      rewrite(&l);
      n++;
    }
    graph_dce(g);
    graph_compact(g);
    arena_reset(scratch, mark);
  }
  return n;
}
