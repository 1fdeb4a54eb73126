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

// The uses of v by what is alive now, counted up to two.
static size_t live_uses(const Graph *g, Val v) {
  size_t n, uses = 0;
  const uint32_t *user = graph_users(g, v, &n);
  for (size_t i = 0; i < n && uses < 2; i++) {
    const Value *u = &g->value.at[user[i]];
    for (uint32_t p = 0; p < u->nargs && !u->dead; p++) uses += u->args[p].id == v.id;
  }
  for (size_t i = 0; i < g->output.n && uses < 2; i++) uses += g->output.at[i].val.id == v.id;
  return uses;
}

bool rule_single_use(const RuleCtx *c, Val v) {
  if (c->follow) return live_uses(c->g, v) == 1;
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

typedef struct Sweep {
  RuleCtx c;
  const char *pass;
  const Rule *rule;
  size_t nrule, *budget, changes;
  const bool *overwritten; // memory that a write changes, by value below c.known; NULL: there is none
  VEC(uint32_t) todo;      // values made by rules of this sweep that rules are to look at
  VEC(uint32_t) gone;      // values that may have lost their last user
  Arena *scratch;
} Sweep;

// Erases `id`, and what only it stood on. A new value that is the only user left of another is looked at once more.
static void bury(Sweep *s, uint32_t id) {
  Graph *g = s->c.g;
  g->value.at[id].dead = true;
  VEC_PUSH(s->scratch, s->gone, id);
  while (s->gone.n) {
    const Value *v = &g->value.at[s->gone.at[--s->gone.n]];
    for (uint32_t i = 0; i < v->nargs; i++) {
      Value *arg = graph_value(g, v->args[i]);
      if (arg->dead || arg->op == OP_input) continue;
      size_t uses = live_uses(g, v->args[i]), n;
      if (!uses) {
        arg->dead = true;
        VEC_PUSH(s->scratch, s->gone, v->args[i].id);
      }
      if (uses != 1) continue;
      const uint32_t *user = graph_users(g, v->args[i], &n);
      for (size_t u = 0; u < n; u++)
        if (user[u] >= s->c.known && !g->value.at[user[u]].dead) VEC_PUSH(s->scratch, s->todo, user[u]);
    }
  }
}

static bool is_overwritten(const Sweep *s, Val v) {
  return s->overwritten && v.id < s->c.known && s->overwritten[v.id];
}

// Whoever reads what is overwritten does so before the write, and stays who he is: no rule makes another reader, or a
// reader of a value one of the memory behind it.
static bool moves_read(const Sweep *s, uint32_t old, Val with, uint32_t before) {
  if (!s->overwritten) return false;
  if (is_overwritten(s, with) && !is_overwritten(s, (Val){old})) return true;
  for (uint32_t made = before; made < s->c.g->value.n; made++)
    for (uint32_t i = 0; i < s->c.g->value.at[made].nargs; i++)
      if (is_overwritten(s, s->c.g->value.at[made].args[i])) return true;
  return false;
}

// Applies the first rule that fits value i, and lists the values that it made.
static void apply(Sweep *s, uint32_t i) {
  Graph *g = s->c.g;
  for (size_t r = 0; r < s->nrule && !g->value.at[i].dead; r++) {
    uint32_t before = (uint32_t)g->value.n;
    g->trial = true;
    Val with = s->rule[r].fn(&s->c, (Val){i});
    g->trial = false;
    if (!with.id || with.id == i) continue;
    if (moves_read(s, i, with, before)) {
      for (uint32_t made = before; made < g->value.n; made++) g->value.at[made].dead = true;
      continue;
    }
    if (--*s->budget == 0) ICE("%s: rule %s does not end", s->pass, s->rule[r].name);
    const Type *was = &graph_value(g, (Val){i})->type, *is = &graph_value(g, with)->type;
    if (!type_equal(was, is)) ICE("%s: rule %s changes the type of %%%u", s->pass, s->rule[r].name, i);
    graph_replace(g, (Val){i}, with);
    bury(s, i);
    for (uint32_t made = before; made < g->value.n; made++) VEC_PUSH(s->scratch, s->todo, made);
    s->changes++;
  }
}

// Every value is looked at once, with the uses that the sweep found; what the rules make is followed at once, so that a
// selection passes all layers of a model in one sweep. Other neighbours are seen by the next sweep.
static size_t sweep(Graph *g, Arena *scratch, const PassOptions *o, const char *pass, const Rule *rules, size_t n,
                    size_t *budget) {
  ArenaMark mark = arena_mark(scratch);
  Sweep s = {.c = {.g = g, .uses = graph_uses(g, scratch), .known = g->value.n, .opt = o},
             .pass = pass,
             .rule = rules,
             .nrule = n,
             .budget = budget,
             .overwritten = graph_overwritten(g, scratch),
             .scratch = scratch};
  for (uint32_t i = 1; i < s.c.known; i++) {
    s.c.follow = false;
    if (!g->value.at[i].dead) apply(&s, i);
    s.c.follow = true;
    while (s.todo.n) apply(&s, s.todo.at[--s.todo.n]);
  }
  graph_dce(g);
  graph_compact(g);
  arena_reset(scratch, mark);
  return s.changes;
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
