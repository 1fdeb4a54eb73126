// rewrite.c: the driver of rewrite rules, and the small builders they share.
#include "rewrite.h"
#include "ir/op/op.h"

#include <string.h>

enum { STEP_BUDGET = 200000, STEPS_PER_VALUE = 64 }; // far more than any rule needs

const Value *rule_value(const RuleCtx *c, Val v) {
  return v.id ? graph_value(c->g, v) : &c->g->value.at[0]; // what could not be built is a value without a type
}
bool rule_is(const RuleCtx *c, Val v, Op op) {
  return v.id && rule_value(c, v)->op == op;
}

bool rule_single_use(const RuleCtx *c, Val v) {
  return v.id < c->known && c->uses.start[v.id + 1] - c->uses.start[v.id] == 1;
}

Val rule_op(RuleCtx *c, Op op, const Val *args, size_t n, const Value *like) {
  Attr attr[ATTR_COUNT];
  size_t nattr = like->nattr;
  if (nattr) memcpy(attr, like->attr, nattr * sizeof *attr);
  return graph_add(c->g, op, args, n, attr, nattr, like->span);
}

Val rule_reshape(RuleCtx *c, Val x, const Type *t, Span at) {
  if (type_equal(&rule_value(c, x)->type, t)) return x;
  return graph_add_typed(c->g, OP_reshape, &x, 1, NULL, 0, t, at);
}

Val rule_slice(RuleCtx *c, Val x, int axis, int64_t start, Dim len, Span at) {
  const Value *v = rule_value(c, x);
  const Module *m = c->g->module;
  Type t = v->type;
  int64_t bound = dim_bound(m, len);
  if (t.nseg && t.segaxis == axis) { // the segments that lie wholly inside remain; a part of one segment loses none
    Seg kept[MAX_SEGS];
    uint8_t n = 0;
    for (int s = 0; s < t.nseg; s++) {
      int64_t lo = seg_start(m, &v->type, s), hi = lo + dim_bound(m, t.seg[s].len);
      if (lo < start + bound && hi > start) kept[n++] = t.seg[s];
    }
    if (n == 1)
      kept[0].len = len; // all of one segment, or inside it: a run-time length may be one number by its bounds
    memcpy(t.seg, kept, sizeof kept);
    t.nseg = n;
  }
  t.dim[axis] = len;
  if (type_equal(&t, &v->type)) return x;
  Attr attr[] = {attr_int(A_axis, axis), attr_int(A_start, start)};
  return graph_add_typed(c->g, OP_slice, &x, 1, attr, 2, &t, at);
}

static size_t sweep(Graph *g, Arena *scratch, const PassOptions *o, const char *pass, const Rule *rules, size_t n,
                    size_t *budget) {
  size_t changes = 0;
  ArenaMark mark = arena_mark(scratch);
  RuleCtx c = {.g = g, .uses = graph_uses(g, scratch), .known = g->value.n, .opt = o};
  for (uint32_t i = 1; i < c.known; i++)
    for (size_t r = 0; r < n && !g->value.at[i].dead; r++) {
      g->trial = true;
      Val with = rules[r].fn(&c, (Val){i});
      g->trial = false;
      if (!with.id || with.id == i) continue;
      if (--*budget == 0) ICE("%s: rule %s does not end", pass, rules[r].name);
      const Type *was = &graph_value(g, (Val){i})->type, *is = &graph_value(g, with)->type;
      if (!type_equal(was, is)) ICE("%s: rule %s changes the type of %%%u", pass, rules[r].name, i);
      graph_replace(g, (Val){i}, with);
      g->value.at[i].dead = true;
      changes++;
      // uses of the neighbourhood are stale now: the next sweep sees them afresh
    }
  graph_dce(g);
  graph_compact(g);
  arena_reset(scratch, mark);
  return changes;
}

size_t rewrite_run(Module *m, Arena *scratch, const PassOptions *o, const char *pass, const Rule *rules, size_t n) {
  size_t total = 0, budget = STEP_BUDGET;
  for (size_t i = 0; i < m->graph.n; i++) budget += STEPS_PER_VALUE * m->graph.at[i]->value.n;
  for (size_t i = 0; i < m->graph.n; i++)
    for (;;) {
      size_t changes = sweep(m->graph.at[i], scratch, o, pass, rules, n, &budget);
      total += changes;
      if (!changes) break;
    }
  return total;
}
