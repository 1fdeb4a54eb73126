// precision.c: in which type numbers are kept. A narrow type (common/dtypes.def) keeps numbers and is never computed
// in: `widen` reads such elements as what they compute as, and is a view, because loads widen; a cast to it is stored,
// and the store rounds. This pass
//   - makes casts from a narrow type views:  cast(x : bf16) : f32  =>  widen(x)
//   - with a precision that says so (precisions.def), keeps matrices and tables of weights in that type:  linear(x, w)
//   =>
//     linear(x, widen(cast(w))).  The packer evaluates the cast, so that is what the weight file holds; what is
//     computed is the same product with rounded weights;
//     With a set of rules (Module.precision) which type that is goes by the paths of the weights.
//   - with it, keeps what one word of a generate leaves for the next in that type, too: ports of the roles state and
//     kept, keys and values. Rows are rounded when they are stored, and widened where attention reads them.
// Vectors (biases, gains) stay as they are: they are a hundredth of a model, and what they are added to is not.
#include "ir/op/op.h"
#include "rewrite.h"

#include <string.h>

PassFn pass_precision;

bool type_is_table(const Type *t) {
  int axes = 0;
  for (int d = 0; d < t->rank; d++) axes += t->dim[d].c != 1;
  return axes > 1;
}

/* by path
 * ------------------------------------------------------------------------------------------------------------- */

typedef struct Search {
  const Graph *g;
  const PrecisionSet *set;
  const Precision *found; // the finest so far
  PrecisionRule *rule;    // that says so
  bool tables, any;       // weights with rows are looked at alone where there are some
  size_t budget;
} Search;

static void look_at_weight(Search *s, const Value *w) {
  bool table = type_is_table(&w->type);
  PrecisionRule *rule = precision_rule(s->set, value_str(w, A_name));
  const Precision *is = rule ? rule->is : precisions;
  if (s->tables && !table) return;
  if (s->any && s->tables == table && is >= s->found) return;
  s->found = is, s->rule = rule, s->any = true, s->tables = table;
}

static void search(Search *s, Val v) {
  const Value *x = graph_value(s->g, v);
  if (!s->budget || !s->budget--) return;
  if (x->op == OP_weight) look_at_weight(s, x);
  for (uint32_t i = 0; i < x->nargs; i++) search(s, x->args[i]);
}

// What has no weight in it (constants, caches) goes by the rule of what has no name.
const Precision *precision_of(const Graph *g, const PassOptions *o, Val w, PrecisionRule **rule) {
  const PrecisionSet *set = g->module->precision;
  PrecisionRule *unused;
  if (!rule) rule = &unused;
  *rule = NULL;
  if (!set) return o->precision ? o->precision : precisions;
  Search s = {.g = g, .set = set, .budget = MOST_LOOKED_AT};
  if (w.id) search(&s, w);
  *rule = s.any ? s.rule : precision_rule(set, "");
  return *rule ? (*rule)->is : precisions;
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
  if ((!c->opt->precision && !c->g->module->precision) || graph_is_packed(c->g, v) || !x.nargs) return NO_VAL;
  Val *arg = ARENA_ARRAY(c->g->module->arena, Val, x.nargs);
  bool any = false;
  for (uint32_t i = 0; i < x.nargs; i++) {
    arg[i] = x.args[i];
    const Value *w = rule_value(c, arg[i]);
    if (w->op == OP_widen || w->op == OP_constant || !type_is_table(&w->type) || !graph_is_packed(c->g, arg[i]))
      continue;
    if (graph_residency(c->g, arg[i]) != RES_const) continue; // an update needs all of its bits
    DType keep = precision_of(c->g, c->opt, arg[i], NULL)->keep;
    if (!dtype_is_narrow(keep) || w->type.dtype != dtype_info[keep].computes) continue;
    Attr to = {.key = A_to, .s = dtype_info[keep].name};
    Val kept = graph_add(c->g, OP_cast, &arg[i], 1, &to, 1, w->span);
    arg[i] = graph_add(c->g, OP_widen, &kept, 1, NULL, 0, x.span);
    any = true;
  }
  return any ? graph_add_typed(c->g, x.op, arg, x.nargs, x.attr, x.nattr, &x.type, x.span) : NO_VAL;
}

/* what words leave behind
 * -----------------------------------------------------------------------------------------------
 */
typedef struct Ports {
  Graph *g;
  DType keep;
  bool *narrow; // by value: it is kept in that type now
  size_t changes;
} Ports;

static bool is_kept_port(const Port *p) {
  return p && (p->role == ROLE_state || p->role == ROLE_kept);
}

static Val cast_to(Ports *p, Val v) {
  Attr to = {.key = A_to, .s = dtype_info[p->keep].name};
  p->changes++;
  return graph_add(p->g, OP_cast, &v, 1, &to, 1, graph_value(p->g, v)->span);
}

static bool is_held(const Ports *p, Val v) { // before the call
  const Value *x = graph_value(p->g, v);
  if (x->type.dtype != dtype_info[p->keep].computes) return false;
  if (x->op == OP_state) return is_kept_port(graph_state_port(p->g, v));
  return x->op == OP_input && is_kept_port(graph_input_port(p->g, v));
}

// A value that writes into a narrow state is that state; any other reads it widened.
static void narrow_value(Ports *p, Val v) {
  Value x = *graph_value(p->g, v);
  bool writes = (op_info[x.op].flags & F_WRITES) && x.nargs > 1 && p->narrow[x.args[0].id];
  p->narrow[v.id] = writes || is_held(p, v);
  for (uint32_t i = 0; i < x.nargs; i++) {
    bool reads = !writes || i == 1; // not the state itself, nor what only comes before the write
    if (!reads || !p->narrow[x.args[i].id]) continue;
    x.args[i] = graph_add(p->g, OP_widen, &x.args[i], 1, NULL, 0, x.span);
  }
  if (!p->narrow[v.id]) return;
  graph_value(p->g, v)->type.dtype = p->keep;
  p->changes++;
}

static size_t narrow_ports(Graph *g, DType keep, Arena *scratch) {
  size_t known = g->value.n;
  Ports p = {.g = g, .keep = keep, .narrow = ARENA_ARRAY(scratch, bool, 4 * known + 4 * g->output.n)};
  for (uint32_t i = 1; i < known; i++)
    if (!g->value.at[i].dead) narrow_value(&p, (Val){i});
  for (size_t i = 0; i < g->output.n; i++) {
    Port *o = &g->output.at[i];
    bool narrow = p.narrow[o->val.id], float_now = graph_value(g, o->val)->type.dtype == dtype_info[keep].computes;
    if (is_kept_port(o) && !narrow && float_now) o->val = cast_to(&p, o->val);
    if (!is_kept_port(o) && narrow) o->val = graph_add(g, OP_widen, &o->val, 1, NULL, 0, o->span);
  }
  if (p.changes) graph_compact(g);
  return p.changes;
}

static const Rule precision_rules[] = {
    {"cast_to_view", "cast(x narrow) => widen(x)", cast_to_view},
    {"keep_narrow", "op(x, w) => op(x, widen(cast(w)))", keep_narrow},
};

size_t pass_precision(Module *m, Arena *scratch, const PassOptions *o) {
  size_t changes = 0;
  if (m->precision && m->built)
    m->built = arena_printf(m->arena, "%s, precision=%s", m->built, precision_text(m->arena, m->precision));
  else if (o->precision && o->precision != precisions && m->built)
    m->built = arena_printf(m->arena, "%s, precision=%s", m->built, o->precision->name);
  for (size_t i = 0; i < m->graph.n; i++) {
    DType keep = precision_of(m->graph.at[i], o, NO_VAL, NULL)->keep;
    ArenaMark mark = arena_mark(scratch);
    if (dtype_is_narrow(keep)) changes += narrow_ports(m->graph.at[i], keep, scratch);
    arena_reset(scratch, mark);
  }
  return changes +
         rewrite_run(m, scratch, o, "precision", precision_rules, sizeof precision_rules / sizeof *precision_rules);
}
