// merge.c: linears that read the same rows become one product with stacked weights; their readers get column slices.
// Q, K and V of an attention are one pass over the activations instead of three. A linear whose only reader is
// elementwise work is left alone: that work is better fused behind its own product. So are linears whose weights are
// asked for in different precisions.
// Measure lowered: the number of linears.
//
//   q = linear(h, Wq, bq); k = linear(h, Wk); v = linear(h, Wv, bv)
//   => y = linear(h, [Wq; Wk; Wv], [bq; 0; bv]);  q = y[.., 0:D]; k = y[.., D:2D]; v = y[.., 2D:3D]
#include "pass.h"
#include "ir/op/op.h"

enum { MOST_JOINED = 16 };

PassFn pass_merge;

static bool mergeable(const Graph *g, const Uses *uses, uint32_t i) {
  const Value *v = graph_value(g, (Val){i});
  if (v->op != OP_linear || v->dead || graph_residency(g, v->args[1]) != RES_const) return false;
  if (graph_residency(g, v->args[0]) == RES_const) return false; // the packer's work
  if (v->nargs == 3 && graph_residency(g, v->args[2]) != RES_const) return false;
  for (uint32_t u = uses->start[i]; u < uses->start[i + 1]; u++) {
    if (uses->user[u] == UINT32_MAX) return false;
    uint32_t flags = op_info[graph_value(g, (Val){uses->user[u]})->op].flags;
    if (flags & F_ELEMENTWISE) return false;
  }
  return true;
}

static bool reads_rows(const Graph *g, uint32_t linear, uint32_t of) { // the same rows as another one
  return graph_value(g, (Val){linear})->args[0].id == graph_value(g, (Val){of})->args[0].id;
}

// What is in one product is in one precision.
static bool same_precision(const Graph *g, const PassOptions *o, uint32_t linear, uint32_t of) {
  const Value *a = graph_value(g, (Val){linear}), *b = graph_value(g, (Val){of});
  return !g->module->precision || precision_of(g, o, a->args[1], NULL) == precision_of(g, o, b->args[1], NULL);
}

static Val transposed(Graph *g, Val w, Span at) {
  int64_t perm[] = {1, 0};
  Attr attr = attr_ints(A_perm, perm, 2);
  return graph_add(g, OP_transpose, &w, 1, &attr, 1, at);
}

static Val zeros(Graph *g, Dim n, Span at) {
  Type t = {.dtype = DT_F32, .rank = 1, .dim = {n}};
  Attr attr = attr_float(A_value, 0);
  return graph_add_typed(g, OP_constant, NULL, 0, &attr, 1, &t, at);
}

// Stacks member[0..n), all linears of the same x, and replaces each by its columns.
static void stack(Graph *g, const uint32_t *member, size_t n) {
  Value first = *graph_value(g, (Val){member[0]});
  Val w[MOST_JOINED], b[MOST_JOINED];
  bool any_bias = false;
  for (size_t i = 0; i < n; i++) {
    const Value *v = graph_value(g, (Val){member[i]});
    w[i] = v->args[1];
    b[i] = v->nargs == 3 ? v->args[2] : NO_VAL;
    any_bias = any_bias || b[i].id;
    if (value_int(v, A_trans, 0)) w[i] = transposed(g, w[i], v->span);
  }
  Attr axis = attr_int(A_axis, 0);
  for (size_t i = 0; i < n; i++)
    if (any_bias && !b[i].id) b[i] = zeros(g, graph_value(g, w[i])->type.dim[0], first.span);
  Val args[3] = {first.args[0], graph_add(g, OP_concat, w, n, &axis, 1, first.span)};
  if (any_bias) args[2] = graph_add(g, OP_concat, b, n, &axis, 1, first.span);
  Val y = graph_add(g, OP_linear, args, any_bias ? 3 : 2, NULL, 0, first.span);
  int64_t start = 0;
  for (size_t i = 0; i < n; i++) {
    const Value *v = graph_value(g, (Val){member[i]});
    Type t = v->type;
    int last = t.rank - 1;
    Attr attr[] = {attr_int(A_axis, last), attr_int(A_start, start)};
    Val part = graph_add_typed(g, OP_slice, &y, 1, attr, 2, &t, v->span);
    start += t.dim[last].c;
    graph_replace(g, (Val){member[i]}, part);
  }
}

size_t pass_merge(Module *m, Arena *scratch, const PassOptions *o) {
  size_t changes = 0;
  for (size_t gi = 0; gi < m->graph.n; gi++) {
    Graph *g = m->graph.at[gi];
    ArenaMark mark = arena_mark(scratch);
    Uses uses = graph_uses(g, scratch);
    uint32_t known = (uint32_t)g->value.n;
    bool *done = ARENA_ARRAY(scratch, bool, known);
    for (uint32_t i = 1; i < known; i++) {
      if (done[i] || !mergeable(g, &uses, i)) continue;
      uint32_t member[MOST_JOINED];
      size_t n = 0;
      size_t nuser;
      const uint32_t *user = graph_users(g, graph_value(g, (Val){i})->args[0], &nuser);
      for (size_t u = 0; u < nuser && n < MOST_JOINED; u++)
        if (user[u] >= i && user[u] < known && mergeable(g, &uses, user[u]) && reads_rows(g, user[u], i) &&
            same_precision(g, o, user[u], i))
          member[n++] = user[u], done[user[u]] = true;
      if (n < 2) continue;
      stack(g, member, n);
      changes += n;
    }
    graph_dce(g);
    graph_compact(g);
    arena_reset(scratch, mark);
  }
  return changes;
}
