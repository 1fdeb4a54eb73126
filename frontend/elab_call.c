// elab_call.c: calls. A block is a template: every call instantiates its body with the arguments, inline, in the weight
// scope of the call.
//
//   block linear(x, out) { weight weight: f32[out, width(x)] ... }
//   linear(h, 4 * dim)   @mlp.fc1        # weights mlp.fc1.weight, mlp.fc1.bias
//
// Names resolve to blocks of the model, then of the file, then of the files it uses, then to builtins. Recursion is
// bounded.
#include "elab.h"

#include <string.h>

// Functions of other languages and how a page says the same.
static const struct {
  const char *name, *hint;
} instead[] = {
    {"mean", "reduce_mean(x, axis = n) is the mean along an axis; of all elements: mean(x), with 'use losses'"},
    {"sum", "reduce_sum(x, axis = n) is the sum along an axis, the last one if left out"},
    {"pow", "a whole power is a product, x * x; of positive x, exp(p * log(x)) is any power"},
    {"rsqrt", "write 1.0 / sqrt(x)"},
    {"square", "write x * x"},
    {"cumsum",
     "matmul(x, t) with a triangle t of ones, cast(n <= m, f32) of two reshaped range(..), sums what is before"},
    {"sort", "gather_rows(x, top_k(points, k)) takes rows in the order of their points, best first"},
    {"pad", "concat with zeros, fill(0.0, f32[..]); around images zero_border(x, n) of std"},
    {"einsum", "matmul multiplies the last two axes; transpose and reshape bring the others in front"},
    {"where", "select(condition, a, b) is a where the condition holds, else b"},
};

static CtVal unknown_call(Elab *e, const Node *n) {
  const char *best = NULL;
  size_t dist = 0;
  Diagnostic *g = elab_error(e, "E0102", n->name_span, "no block is called '%s'", n->name);
  for (size_t i = 0; i < sizeof instead / sizeof *instead; i++)
    if (!strcmp(n->name, instead[i].name)) {
      diag_hint(e->diag, g, "%s", instead[i].hint);
      return CT_ERROR;
    }
  block_names(e, n->name, &best, &dist);
  builtin_names(e, n->name, &best, &dist);
  if (best)
    hint_near(e, g, best);
  else if (e->unit_now && e->unit_now->use.n == 0)
    diag_hint(e->diag, g, "'use std' at the top of the file brings linear, norm, attention blocks ...");
  return CT_ERROR;
}

// Where the default of a parameter or its argument comes from; reports a missing or doubled one.
static bool bind_args(Elab *e, const Node *block, const CallArg *arg, size_t n, Span at, const CallArg **slot) {
  size_t next = 0;
  for (size_t i = 0; i < n; i++) {
    size_t k = next;
    if (arg[i].name) {
      for (k = 0; k < block->list.n && block->list.at[k]->name != arg[i].name;) k++;
      if (k == block->list.n) {
        const char *best = NULL;
        size_t dist = 0;
        for (size_t j = 0; j < block->list.n; j++) near_name(arg[i].name, block->list.at[j]->name, &best, &dist);
        Diagnostic *g =
            elab_error(e, "E0104", arg[i].name_span, "'%s' has no parameter '%s'", block->name, arg[i].name);
        diag_note(e->diag, g, block->name_span, "'%s' is declared here", block->name);
        hint_near(e, g, best);
        return false;
      }
    } else if (k >= block->list.n) {
      Diagnostic *g = elab_error(e, "E0103", at, "'%s' takes %zu argument%s, this call gives %zu", block->name,
                                 block->list.n, block->list.n == 1 ? "" : "s", n);
      diag_note(e->diag, g, block->name_span, "'%s' is declared here", block->name);
      return false;
    } else {
      next++;
    }
    if (slot[k]) {
      elab_error(e, "E0104", arg[i].span, "the parameter '%s' is given twice", block->list.at[k]->name);
      return false;
    }
    slot[k] = &arg[i];
  }
  for (size_t k = 0; k < block->list.n; k++) {
    if (slot[k] || block->list.at[k]->a) continue;
    Diagnostic *g = elab_error(e, "E0103", at, "'%s' needs a value for '%s'", block->name, block->list.at[k]->name);
    diag_note(e->diag, g, block->list.at[k]->span, "'%s' has no default", block->list.at[k]->name);
    return false;
  }
  return true;
}

// The parameters in a new environment; types may mention the parameters before them.
static Env *bind_params(Elab *e, const BlockDef *def, const CallArg **slot) {
  const Node *block = def->node;
  Env *env = env_new(e, def->env, false);
  for (size_t k = 0; k < block->list.n; k++) {
    const Node *p = block->list.at[k];
    CtVal v = slot[k] ? slot[k]->val : eval(e, env, p->a);
    Span at = slot[k] ? slot[k]->span : p->span;
    Type t;
    DimNames names;
    if (p->type && v.kind != CV_ERROR) {
      if (!eval_type(e, env, p->type, &t, &names)) return NULL;
      size_t before = e->diag->list.n;
      v = coerce(e, v, &t, &names, at, arena_printf(e->arena, "'%s' of '%s'", p->name, block->name));
      if (v.kind == CV_ERROR && e->diag->list.n > before)
        diag_note(e->diag, &e->diag->list.at[before], p->span, "the parameter is declared here");
    }
    if (v.kind == CV_ERROR) return NULL;
    env_set(e, env, p->name, v, p->name_span);
  }
  return env;
}

static CtVal check_results(Elab *e, Env *env, const Node *block, CtVal v) {
  if (!block->list2.n || v.kind == CV_ERROR) return v;
  size_t n = v.kind == CV_LIST ? v.n : v.kind == CV_NONE ? 0 : 1;
  if (n != block->list2.n) {
    elab_error(e, "E0117", block->name_span, "'%s' declares %zu result%s but returns %zu", block->name, block->list2.n,
               block->list2.n == 1 ? "" : "s", n);
    return CT_ERROR;
  }
  CtVal *item = ARENA_ARRAY(e->arena, CtVal, n);
  for (size_t i = 0; i < n; i++) {
    const Node *out = block->list2.at[i];
    Type t;
    DimNames names;
    item[i] = v.kind == CV_LIST ? v.item[i] : v;
    if (!out->type) continue;
    if (!eval_type(e, env, out->type, &t, &names)) return CT_ERROR;
    item[i] = coerce(e, item[i], &t, &names, out->span, arena_printf(e->arena, "the result of '%s'", block->name));
    if (item[i].kind == CV_ERROR) return CT_ERROR;
  }
  return v.kind == CV_LIST ? (CtVal){.kind = CV_LIST, .item = item, .n = n} : item[0];
}

// Adds "in this call" to the errors that the body reported.
static void note_call(Elab *e, size_t before, const char *name, Span at) {
  for (size_t i = before; i < e->diag->list.n; i++)
    if (e->diag->list.at[i].severity == SEV_ERROR)
      diag_note(e->diag, &e->diag->list.at[i], at, "in this call of '%s'", name);
}

static CtVal call_block(Elab *e, const BlockDef *def, const CallArg *arg, size_t n, const Node *call) {
  const Node *block = def->node;
  const CallArg **slot = ARENA_ARRAY(e->arena, const CallArg *, block->list.n + 1);
  if (!bind_args(e, block, arg, n, call->span, slot)) return CT_ERROR;
  if (e->calls >= ELAB_MAX_CALLS) {
    Diagnostic *g = elab_error(e, "E0109", call->span, "blocks call each other more than %d deep", ELAB_MAX_CALLS);
    diag_hint(e->diag, g, "a block that calls itself never ends: use 'repeat'");
    e->stopped = true;
    return CT_ERROR;
  }
  Unit *unit = e->unit_now;
  bool in_model = e->in_model, returned = false;
  const char *saved = e->scope;
  size_t before = e->diag->list.n;
  e->unit_now = def->unit;
  e->in_model = def->in_model;
  e->calls++;
  Env *env = bind_params(e, def, slot);
  CtVal v = CT_ERROR;
  if (env) {
    const char *inner;
    if (block->path) eval_scoped(e, env, block->path, &inner);
    v = eval_body(e, env, block->a, &returned);
    v = check_results(e, env, block, v);
  }
  if (e->calls <= 3 || e->calls + 2 > ELAB_MAX_CALLS) note_call(e, before, block->name, call->name_span);
  e->calls--;
  e->unit_now = unit;
  e->in_model = in_model;
  e->scope = saved;
  v.name = NULL;
  return v;
}

CtVal eval_call(Elab *e, Env *env, const Node *n) {
  CallArg arg[ELAB_MAX_ARGS];
  CtVal out;
  bool bad = false;
  if (n->list.n > ELAB_MAX_ARGS) {
    elab_error(e, "E0103", n->span, "a call takes at most %d arguments", ELAB_MAX_ARGS);
    return CT_ERROR;
  }
  const BlockDef *def = block_find(e, n->name);
  if (!def && !strcmp(n->name, "given")) return call_given(e, env, n); // about names, not values
  if (!def && !strcmp(n->name, "advance")) return call_advance(e, n);
  if (!def && !builtin_exists(n->name)) return unknown_call(e, n);
  for (size_t i = 0; i < n->list.n; i++) {
    const Node *a = n->list.at[i];
    if (a->kind != N_arg) return CT_ERROR;
    arg[i] = (CallArg){.name = a->name, .name_span = a->name_span, .span = a->a->span, .val = eval(e, env, a->a)};
    bad = bad || arg[i].val.kind == CV_ERROR;
    if (arg[i].val.kind == CV_NONE) {
      elab_error(e, "E0116", a->span, "this argument has no value");
      bad = true;
    }
  }
  if (bad) return CT_ERROR;
  if (def) return call_block(e, def, arg, n->list.n, n);
  return builtin_call(e, n->name, arg, n->list.n, n->span, &out) ? out : CT_ERROR;
}
