// objective.c: what only objectives have: inputs that may be left out, states and averages, assignments, `under`.
//
//   state queue: f32[embed, columns]                                # kept beside the weights, never trained
//   state slow = average(0.995, ["encoder"], named = "{name}_m")    # encoder_m.* follows encoder.*
//   objective pretrain(image: .., alpha: f32, picked?: i32[B]) -> loss {
//     temp <- max(min(temp, 0.5), 0.001)                            # what follows reads the new value
//     advance(slow)                                                 # encoder_m <- 0.995 encoder_m + 0.005 encoder
//     let v_m = under slow { encode(image) }                        # the same blocks with the copies' weights
//     queue <- put_columns(queue, v_m, at)
//     ...
//   }
//
// An assignment makes a value that stands for the weight or state from there on (operator `assigned`) and an output of
// role `next`, which says what it holds after the step. In the order of the text there is no old value to be confused
// with a new one. Nothing flows back through an assignment or out of an `under`: gradients of an assigned weight are
// those of its new value.
#include "elab.h"

#include <string.h>

/* states
 * -------------------------------------------------------------------------------------------------------------------
 */

static Assigned *assigned_find(Elab *e, const char *key) {
  for (size_t i = 0; i < e->assigned.n; i++)
    if (e->assigned.at[i].key == key) return &e->assigned.at[i];
  return NULL;
}

Val assigned_value(Elab *e, const char *key) {
  const Assigned *a = assigned_find(e, key);
  return a ? a->val : NO_VAL;
}

// From here on the weight or state `key` is `v`.
static Val assign(Elab *e, const char *key, Val v, Span at) {
  Attr name = attr_str(A_name, key);
  Val now = graph_add(e->g, OP_assigned, &v, 1, &name, 1, at);
  if (!now.id) return now;
  *val_names(e, now) = *val_names(e, v);
  Assigned *known = assigned_find(e, key);
  if (known)
    known->val = now;
  else
    VEC_PUSH(e->arena, e->assigned, ((Assigned){key, now, at}));
  return now;
}

// The name under which a checkpoint has what a value stands for; NULL: it is no weight and no state.
static const char *stands_for(const Elab *e, Val v) {
  const Value *x = graph_value(e->g, v);
  return x->op == OP_weight || x->op == OP_assigned ? value_str(x, A_name) : NULL;
}

CtVal run_assign(Elab *e, Env *env, const Node *n) {
  Binding *b = env_find(env, n->name);
  if (!e->g || !e->objective) {
    Diagnostic *g = elab_error(e, "E0136", n->span, "only an objective assigns");
    diag_hint(e->diag, g, "a new value under an old name is written 'let %s = ...'", n->name);
    return CT_ERROR;
  }
  CtVal old = eval(e, env, &(Node){.kind = N_ident, .name = n->name, .span = n->name_span, .name_span = n->name_span});
  if (old.kind == CV_ERROR) return old;
  const char *key = old.kind == CV_TENSOR ? stands_for(e, old.v) : NULL;
  if (!key) {
    Diagnostic *g =
        elab_error(e, "E0136", n->name_span, "'%s' is no weight and no state: %s", n->name, kind_text(e, old));
    diag_hint(e->diag, g, "a new value under an old name is written 'let %s = ...'", n->name);
    return CT_ERROR;
  }
  CtVal v = eval(e, env, n->a);
  if (v.kind != CV_ERROR && v.kind != CV_TENSOR) v = tensor_lift(e, v, val_type(e, old.v)->dtype, n->a->span);
  if (v.kind == CV_ERROR) return v;
  Type t = *val_type(e, old.v);
  v = coerce(e, v, &t, val_names(e, old.v), n->a->span, arena_printf(e->arena, "what '%s' becomes", n->name));
  if (v.kind != CV_TENSOR) return CT_ERROR;
  Val now = assign(e, intern(e->names, key), v.v, n->span);
  if (!now.id) return CT_ERROR;
  if (b->val.kind == CV_TENSOR) env_set(e, env, n->name, ct_tensor(now), n->name_span); // lazy ones go by their key
  return CT_NONE;
}

/* averages
 * -------------------------------------------------------------------------------------------------------------------
 */

static const Average *average_find(const Elab *e, const char *name) {
  for (size_t i = 0; i < e->average.n; i++)
    if (e->average.at[i]->name == name) return e->average.at[i];
  return NULL;
}

static void average_unknown(Elab *e, const char *name, Span at) {
  const char *best = NULL;
  size_t dist = 0;
  Diagnostic *g = elab_error(e, "E0137", at, "no average is called '%s'", name);
  for (size_t i = 0; i < e->average.n; i++) near_name(name, e->average.at[i]->name, &best, &dist);
  if (best)
    hint_near(e, g, best);
  else
    diag_hint(e->diag, g,
              "an average is declared in the model: state %s = average(0.995, [\"encoder\"], named = "
              "\"{name}_m\")",
              name);
}

static bool average_wrong(Elab *e, Span at, const char *what) {
  Diagnostic *g = elab_error(e, "E0137", at, "%s", what);
  diag_hint(e->diag, g, "write average(0.995, [\"encoder\", \"head\"], named = \"{name}_m\")");
  return false;
}

// The rate, the paths of the averaged weights, the pattern of the copies' paths.
static bool average_args(Elab *e, const Node *n, Average *out) {
  CtVal arg[3] = {CT_NONE, CT_NONE, CT_NONE};
  Span at[3] = {n->a->span, n->a->span, n->a->span};
  if (strcmp(n->a->name, "average") != 0) return average_wrong(e, n->a->span, "a state is an average or has a type");
  for (size_t i = 0; i < n->a->list.n; i++) {
    const Node *a = n->a->list.at[i];
    size_t k = a->name ? (!strcmp(a->name, "named") ? 2 : 3) : i;
    if (a->kind != N_arg || k > 2 || arg[k].kind != CV_NONE)
      return average_wrong(e, a->span, "this is no argument of an average");
    arg[k] = eval(e, e->model_env, a->a), at[k] = a->span;
    if (arg[k].kind == CV_ERROR) return false;
  }
  if (!want_real(e, arg[0], at[0], "the rate of an average", &out->rate)) return false;
  if (!(out->rate >= 0 && out->rate <= 1)) return average_wrong(e, at[0], "the rate of an average is between 0 and 1");
  if (arg[1].kind != CV_LIST || !arg[1].n) return average_wrong(e, at[1], "an average needs a list of weight paths");
  const char *hole = arg[2].kind == CV_STR ? strstr(arg[2].s, "{name}") : NULL;
  if (!hole || !strcmp(arg[2].s, "{name}"))
    return average_wrong(e, at[2], "'named' says how the copies are called: another name with {name} in it");
  out->before = arena_strndup(e->arena, arg[2].s, (size_t)(hole - arg[2].s));
  out->behind = hole + strlen("{name}");
  out->root = ARENA_ARRAY(e->arena, const char *, arg[1].n);
  for (size_t i = 0; i < arg[1].n; i++) {
    if (arg[1].item[i].kind != CV_STR) return average_wrong(e, at[1], "the paths of averaged weights are strings");
    out->root[out->nroot++] = arg[1].item[i].s;
  }
  return true;
}

void average_declare(Elab *e, const Node *n) {
  Average *a = ARENA_NEW(e->arena, Average);
  *a = (Average){.name = n->name, .span = n->span};
  for (size_t i = 0; i < e->average.n; i++)
    if (e->average.at[i]->name == n->name) elab_error(e, "E0105", n->name_span, "'%s' is defined twice", n->name);
  if (average_args(e, n, a)) VEC_PUSH(e->arena, e->average, a);
}

// The path of the copy of a weight: "encoder.norm.weight" is "encoder_m.norm.weight". NULL: it is not averaged.
static const char *copy_key(Elab *e, const Average *a, const char *key) {
  for (size_t i = 0; i < a->nroot; i++) {
    size_t n = strlen(a->root[i]);
    if (strncmp(key, a->root[i], n) != 0 || (key[n] && key[n] != '.')) continue;
    return intern(e->names, arena_printf(e->arena, "%s%s%s%s", a->before, a->root[i], a->behind, key + n));
  }
  return NULL;
}

// copy <- rate copy + (1 - rate) weight, as the authors of ALBEF and BLIP compute it (_momentum_update).
static Val advanced(Elab *e, const Average *a, const char *key, Val copy, Val weight) {
  Val rate = graph_scalar(e->g, a->rate, a->span), rest = graph_scalar(e->g, 1 - a->rate, a->span);
  Val old = graph_add(e->g, OP_mul, (Val[]){copy, rate}, 2, NULL, 0, a->span);
  Val new = graph_add(e->g, OP_mul, (Val[]){weight, rest}, 2, NULL, 0, a->span);
  return assign(e, key, graph_add(e->g, OP_add, (Val[]){old, new}, 2, NULL, 0, a->span), a->span);
}

static bool is_advanced(const Elab *e, const Average *a) {
  for (size_t i = 0; i < e->advanced.n; i++)
    if (e->advanced.at[i] == a) return true;
  return false;
}

static Val copy_value(Elab *e, const Average *a, const char *copy, Val weight, Span at) {
  Val now = assigned_value(e, copy);
  if (now.id) return now;
  Attr attr[] = {attr_str(A_name, copy), attr_int(A_state, 1)};
  Type t = *val_type(e, weight);
  Val old = graph_add_typed(e->g, OP_weight, NULL, 0, attr, 2, &t, at);
  if (!old.id) return old;
  weight_note(e, copy, &t, at);
  return is_advanced(e, a) ? advanced(e, a, copy, old, weight) : old;
}

Val under_average(Elab *e, const char *key, Val weight, Span at) {
  const char *copy = e->under ? copy_key(e, e->under, key) : NULL;
  return copy ? copy_value(e, e->under, copy, weight, at) : weight;
}

// Copies that the objective does not read advance, too, if it reads their weights.
static void advance_rest(Elab *e) {
  uint32_t known = (uint32_t)e->g->value.n;
  for (size_t i = 0; i < e->advanced.n; i++)
    for (uint32_t v = 1; v < known; v++) {
      const Value *x = graph_value(e->g, (Val){v});
      if (x->op != OP_weight || value_int(x, A_state, 0)) continue;
      const char *key = intern(e->names, value_str(x, A_name)), *copy = copy_key(e, e->advanced.at[i], key);
      Val now = assigned_value(e, key);
      if (copy) (void)copy_value(e, e->advanced.at[i], copy, now.id ? now : (Val){v}, x->span);
    }
}

CtVal call_advance(Elab *e, const Node *n) {
  const Node *arg = n->list.n == 1 && n->list.at[0]->kind == N_arg ? n->list.at[0]->a : NULL;
  if (!arg || arg->kind != N_ident || n->list.at[0]->name) {
    elab_error(e, "E0103", n->span, "advance takes the name of an average");
    return CT_ERROR;
  }
  if (!e->g || !e->objective) {
    elab_error(e, "E0136", n->span, "only an objective advances an average");
    return CT_ERROR;
  }
  const Average *a = average_find(e, arg->name);
  if (!a) {
    average_unknown(e, arg->name, arg->span);
    return CT_ERROR;
  }
  if (is_advanced(e, a)) {
    elab_error(e, "E0136", n->span, "the average '%s' advances twice in one step", a->name);
    return CT_ERROR;
  }
  VEC_PUSH(e->arena, e->advanced, a);
  return CT_NONE;
}

// Nothing flows back out of it.
static CtVal stopped(Elab *e, CtVal v, Span at) {
  if (v.kind == CV_TENSOR && dtype_info[val_type(e, v.v)->dtype].kind == DK_FLOAT) {
    DimNames names = *val_names(e, v.v);
    v = add_op(e, OP_stop, &v.v, 1, NULL, 0, at);
    if (v.kind == CV_TENSOR) *val_names(e, v.v) = names;
  } else if (v.kind == CV_LIST) {
    CtVal *item = ARENA_ARRAY(e->arena, CtVal, v.n + 1);
    for (size_t i = 0; i < v.n; i++) item[i] = stopped(e, v.item[i], at);
    v.item = item;
  }
  return v;
}

CtVal eval_under(Elab *e, Env *env, const Node *n) {
  const Average *a = average_find(e, n->name), *saved = e->under;
  bool returned = false;
  if (!a) {
    average_unknown(e, n->name, n->name_span);
    return CT_ERROR;
  }
  if (saved) {
    elab_error(e, "E0137", n->span, "an 'under' inside another one");
    return CT_ERROR;
  }
  if (!e->objective) {
    elab_error(e, "E0137", n->span, "'under' stands in objectives alone");
    return CT_ERROR;
  }
  e->under = a;
  CtVal v = eval_body(e, env_new(e, env, true), n->a, &returned);
  e->under = NULL;
  if (returned) {
    elab_error(e, "E0012", n->span, "'return' cannot stand inside an expression");
    return CT_ERROR;
  }
  return stopped(e, v, n->span);
}

/* inputs that may be left out
 * -------------------------------------------------------------------------------------------------- */

bool input_is_given(const Elab *e, const char *name) {
  for (size_t i = 0; i < e->opt->ngiven; i++)
    if (!strcmp(e->opt->given[i], name)) return true;
  const Stage *s = e->opt->stage && e->m->stage.n ? &e->m->stage.at[0] : NULL;
  for (size_t i = 0; s && i < s->given.n; i++)
    if (!strcmp(s->given.at[i].glob, name)) return true;
  return false;
}

CtVal call_given(Elab *e, Env *env, const Node *n) {
  const Node *arg = n->list.n == 1 && n->list.at[0]->kind == N_arg ? n->list.at[0]->a : NULL;
  const Binding *b = arg && arg->kind == N_ident ? env_find(env, arg->name) : NULL;
  if (b && !n->list.at[0]->name && (b->val.kind == CV_ABSENT || b->val.kind == CV_TENSOR))
    return ct_bool(b->val.kind != CV_ABSENT);
  Diagnostic *g = elab_error(e, "E0103", n->span, "given takes the name of an input that may be left out");
  diag_hint(e->diag, g, "such an input is declared with a question mark: name?: i32[B]");
  return CT_ERROR;
}

/* the end of an objective
 * ------------------------------------------------------------------------------------------------------ */

void objective_begin(Elab *e, const Node *n) {
  e->entry = n;
  e->objective = true;
  e->under = NULL;
  e->assigned.n = 0;
  e->advanced.n = 0;
  e->noise = NO_VAL;
  e->sites = e->draws = e->adapter_sites = e->weight_sites = 0;
}

void objective_end(Elab *e, const Node *n) {
  Graph *g = e->g;
  e->objective = false;
  if (!g->output.n) return;
  const Type *t = val_type(e, g->output.at[0].val);
  if (t->rank || t->dtype != DT_F32)
    elab_error(e, "E0138", n->list2.at[0]->span,
               "the first output of an objective is its loss, one number: f32, not %s",
               val_text(e, g->output.at[0].val));
  advance_rest(e);
  for (size_t i = 0; i < e->assigned.n; i++) {
    const Assigned *a = &e->assigned.at[i];
    graph_output(g, a->key, a->val, a->span);
    g->output.at[g->output.n - 1].role = ROLE_next;
  }
  g->objective = true;
}
