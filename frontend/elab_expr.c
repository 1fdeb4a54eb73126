// elab_expr.c: evaluates expressions, and the small helpers that look at values.
//
//   eval(e, env, node) -> CtVal: a number, a truth value, a mask, a tensor ...; CV_ERROR after reporting.
// Dispatch is a table by node kind; every level counts towards ELAB_MAX_DEPTH and ELAB_MAX_STEPS.
#include "elab.h"

#include <string.h>

const CtVal CT_ERROR = {.kind = CV_ERROR};
const CtVal CT_NONE = {.kind = CV_NONE};

CtVal ct_int(int64_t i) {
  return (CtVal){.kind = CV_INT, .d = DIM(i)};
}
CtVal ct_dim(Dim d) {
  return (CtVal){.kind = CV_INT, .d = d};
}
CtVal ct_real(double f) {
  return (CtVal){.kind = CV_REAL, .f = f};
}
CtVal ct_bool(bool b) {
  return (CtVal){.kind = CV_BOOL, .b = b};
}
CtVal ct_tensor(Val v) {
  return (CtVal){.kind = CV_TENSOR, .v = v};
}

/* near names
 * ------------------------------------------------------------------------------------------------------------- */

void hint_near(Elab *e, Diagnostic *g, const char *best) {
  if (best) diag_hint(e->diag, g, "did you mean '%s'?", best);
}

/* what a value is called in messages
 * -------------------------------------------------------------------------------------- */

static const char *int_text(Elab *e, CtVal v) {
  if (!v.d.k && v.name) return arena_printf(e->arena, "%s=%lld", v.name, (long long)v.d.c);
  if (!v.d.k) return arena_printf(e->arena, "%lld", (long long)v.d.c);
  Buf b = {0};
  dim_print(&b, e->m, v.d);
  const char *s = arena_strdup(e->arena, b.s);
  buf_free(&b);
  return arena_printf(e->arena, "the run-time dim %s", s);
}

const char *kind_text(Elab *e, CtVal v) {
  static const char *const text[CV_COUNT] = {
      [CV_ERROR] = "an error",
      [CV_NONE] = "nothing",
      [CV_LIST] = "a list",
      [CV_MASK] = "a mask",
      [CV_ABSENT] = "an input that is left out",
      [CV_KEY] = "key",
      [CV_QUERY] = "query",
      [CV_TYPE] = "a type",
      [CV_LAZY] = "a weight",
      [CV_STR] = "a string",
      [CV_BOOL] = "a truth value",
  };
  if (v.kind == CV_INT) return int_text(e, v);
  if (v.kind == CV_REAL) return arena_printf(e->arena, v.name ? "%s=%g" : "%s%g", v.name ? v.name : "", v.f);
  if (v.kind == CV_BOOL) return v.b ? "true" : "false";
  if (v.kind == CV_TENSOR) return val_text(e, v.v);
  return text[v.kind];
}

/* conversions
 * ---------------------------------------------------------------------------------------------------------------- */

bool want_int(Elab *e, CtVal v, Span at, const char *what, int64_t lo, int64_t hi, int64_t *out) {
  if (v.kind == CV_ERROR) return false;
  if (v.kind != CV_INT || v.d.k) {
    elab_error(e, "E0106", at, "%s must be an integer known at compile time, not %s", what, kind_text(e, v));
    return false;
  }
  if (v.d.c < lo || v.d.c > hi) {
    elab_error(e, "E0130", at, "%s is %lld, must be in %lld..%lld", what, (long long)v.d.c, (long long)lo,
               (long long)hi);
    return false;
  }
  *out = v.d.c;
  return true;
}

bool want_real(Elab *e, CtVal v, Span at, const char *what, double *out) {
  if (v.kind == CV_ERROR) return false;
  if (v.kind == CV_INT && !v.d.k) return *out = (double)v.d.c, true;
  if (v.kind == CV_REAL) return *out = v.f, true;
  elab_error(e, "E0106", at, "%s must be a number known at compile time, not %s", what, kind_text(e, v));
  return false;
}

bool want_bool(Elab *e, CtVal v, Span at, const char *what, bool *out) {
  if (v.kind == CV_ERROR) return false;
  if (v.kind == CV_BOOL) return *out = v.b, true;
  Diagnostic *g = elab_error(e, "E0106", at, "%s must be true or false, not %s", what, kind_text(e, v));
  if (v.kind == CV_TENSOR) diag_hint(e->diag, g, "to choose between elements at run time use select(condition, a, b)");
  return false;
}

bool want_tensor(Elab *e, CtVal v, Span at, const char *what) {
  if (v.kind == CV_TENSOR) return true;
  if (v.kind != CV_ERROR) elab_error(e, "E0106", at, "%s must be a tensor, not %s", what, kind_text(e, v));
  return false;
}

/* expressions
 * ---------------------------------------------------------------------------------------------------------------- */

static CtVal eval_int(Elab *e, Env *env, const Node *n) {
  return (void)e, (void)env, ct_int(n->i);
}
static CtVal eval_real(Elab *e, Env *env, const Node *n) {
  return (void)e, (void)env, ct_real(n->f);
}
static CtVal eval_bool(Elab *e, Env *env, const Node *n) {
  return (void)e, (void)env, ct_bool(n->i != 0);
}
static CtVal eval_string(Elab *e, Env *env, const Node *n) {
  return (void)e, (void)env, (CtVal){.kind = CV_STR, .s = n->text};
}
static CtVal eval_error(Elab *e, Env *env, const Node *n) {
  return (void)e, (void)env, (void)n, CT_ERROR;
}

static CtVal eval_ident(Elab *e, Env *env, const Node *n) {
  Binding *b = env_find(env, n->name);
  if (b && b->val.kind == CV_LAZY) return weight_use(e, b->val.node, e->model_env, "");
  if (b && b->val.kind == CV_ABSENT) {
    Diagnostic *g = elab_error(e, "E0139", n->span, "the input '%s' is left out here", n->name);
    diag_hint(e->diag, g, "what happens without it: if given(%s) { ... } else { ... }", n->name);
    return CT_ERROR;
  }
  if (b) {
    CtVal v = b->val;
    if (!v.name) v.name = n->name;
    return v;
  }
  if (strcmp(n->name, "key") == 0) return (CtVal){.kind = CV_KEY};
  if (strcmp(n->name, "query") == 0) return (CtVal){.kind = CV_QUERY};
  Diagnostic *g = elab_error(e, "E0101", n->span, "nothing is called '%s' here", n->name);
  const char *best = NULL;
  size_t dist = 0;
  for (Env *s = env; s; s = s->up)
    for (size_t i = 0; i < s->var.n; i++) near_name(n->name, s->var.at[i].name, &best, &dist);
  if (block_find(e, n->name) || builtin_exists(n->name))
    diag_hint(e->diag, g, "'%s' is called with parentheses: %s(...)", n->name, n->name);
  else if (modality_find(e->m, n->name) >= 0)
    diag_hint(e->diag, g, "'%s' is a modality; it selects a segment of a tensor: x[:, %s]", n->name, n->name);
  else
    hint_near(e, g, best);
  return CT_ERROR;
}

static CtVal eval_list(Elab *e, Env *env, const Node *n) {
  CtVal *item = ARENA_ARRAY(e->arena, CtVal, n->list.n + 1);
  for (size_t i = 0; i < n->list.n; i++) {
    item[i] = eval(e, env, n->list.at[i]);
    if (item[i].kind == CV_ERROR) return CT_ERROR;
  }
  return (CtVal){.kind = CV_LIST, .item = item, .n = n->list.n};
}

static CtVal eval_type_literal(Elab *e, Env *env, const Node *n) {
  Type *t = ARENA_NEW(e->arena, Type);
  if (!eval_type(e, env, n, t, NULL)) return CT_ERROR;
  return (CtVal){.kind = CV_TYPE, .type = t};
}

static CtVal eval_unary(Elab *e, Env *env, const Node *n) {
  CtVal a = eval(e, env, n->a);
  if (a.kind == CV_ERROR) return a;
  if (n->op == AO_not && is_mask_part(a)) return mask_logic(e, AO_not, a, a, n->span);
  if (a.kind != CV_TENSOR) return num_unary(e, (AstOp)n->op, a, n->span);
  if (n->op == AO_not && val_type(e, a.v)->dtype != DT_BOOL) {
    elab_error(e, "E0106", n->span, "'not' works on truth values, not on %s", kind_text(e, a));
    return CT_ERROR;
  }
  return add_op(e, n->op == AO_not ? OP_logical_not : OP_neg, &a.v, 1, NULL, 0, n->span);
}

static CtVal eval_binary(Elab *e, Env *env, const Node *n) {
  AstOp op = (AstOp)n->op;
  CtVal a = eval(e, env, n->a);
  if (a.kind == CV_BOOL && ((op == AO_and && !a.b) || (op == AO_or && a.b)))
    return a; // the right side is not looked at
  CtVal b = eval(e, env, n->b);
  if (a.kind == CV_ERROR || b.kind == CV_ERROR) return CT_ERROR;
  if (is_mask_part(a) || is_mask_part(b))
    return op == AO_and || op == AO_or ? mask_logic(e, op, a, b, n->span) : mask_compare(e, op, a, b, n->span);
  if (a.kind == CV_TENSOR || b.kind == CV_TENSOR) return tensor_binary(e, op, a, b, n->span);
  return num_binary(e, op, a, b, n->span);
}

static CtVal eval_is(Elab *e, Env *env, const Node *n) {
  CtVal a = eval(e, env, n->a);
  return a.kind == CV_ERROR ? a : mask_is(e, a, n->name, n->span, n->name_span);
}

static CtVal eval_if_expr(Elab *e, Env *env, const Node *n) {
  bool take, returned = false;
  if (!want_bool(e, eval(e, env, n->a), n->a->span, "the condition of 'if'", &take)) return CT_ERROR;
  const Node *body = take ? n->b : n->c;
  if (!body) {
    elab_error(e, "E0116", n->span, "this 'if' has no 'else', so it has no value when the condition is false");
    return CT_ERROR;
  }
  if (body->kind == N_if) return eval(e, env, body);
  CtVal v = eval_body(e, env_new(e, env, true), body, &returned);
  if (returned) {
    elab_error(e, "E0012", n->span, "'return' cannot stand inside an expression");
    return CT_ERROR;
  }
  return v;
}

static CtVal eval_scoped_expr(Elab *e, Env *env, const Node *n) {
  const char *saved;
  eval_scoped(e, env, n->path, &saved);
  CtVal v = eval(e, env, n->a);
  e->scope = saved;
  return v;
}

typedef CtVal EvalFn(Elab *e, Env *env, const Node *n);
static EvalFn *const eval_table[N_COUNT] = {
    [N_error] = eval_error,   [N_int] = eval_int,
    [N_real] = eval_real,     [N_bool] = eval_bool,
    [N_string] = eval_string, [N_ident] = eval_ident,
    [N_list] = eval_list,     [N_type] = eval_type_literal,
    [N_call] = eval_call,     [N_index] = eval_index,
    [N_unary] = eval_unary,   [N_binary] = eval_binary,
    [N_is] = eval_is,         [N_as] = eval_as,
    [N_if] = eval_if_expr,    [N_multiway] = eval_multiway,
    [N_switch] = eval_switch, [N_scoped] = eval_scoped_expr,
    [N_under] = eval_under,
};

CtVal eval(Elab *e, Env *env, const Node *n) {
  if (e->stopped || diag_full(e->diag)) return CT_ERROR;
  if (++e->steps > ELAB_MAX_STEPS) {
    Diagnostic *g = elab_error(e, "E0125", n->span, "this program takes more than %d steps to compile", ELAB_MAX_STEPS);
    diag_hint(e->diag, g, "look for a 'repeat' with a large count or blocks that call each other many times");
    e->stopped = true;
    return CT_ERROR;
  }
  if (e->depth >= ELAB_MAX_DEPTH) {
    elab_error(e, "E0109", n->span, "expressions and blocks are nested too deeply");
    e->stopped = true;
    return CT_ERROR;
  }
  EvalFn *fn = eval_table[n->kind];
  if (!fn) {
    elab_error(e, "E0012", n->span, "%s is no expression", node_info[n->kind].text);
    return CT_ERROR;
  }
  e->depth++;
  CtVal v = fn(e, env, n);
  e->depth--;
  return v;
}
