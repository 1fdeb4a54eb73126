// elab.c: the statements of a body, names, weight scopes.
//
//   let x = x + f(x)   @blocks.{i}      # f's weights: blocks.0.*, blocks.1.* ...
//   repeat i in depth { let x = g(x) }  # rebinds the outer x: carried from turn to turn
//   if relative { let bias = ... }      # decided at compile time; rebinds as repeat does
//
// A body's value is what `return` gives, or its last expression. After a failed turn a repeat stops, so that an error
// in its body is reported once.
#include "elab.h"
#include "ir/op/resize.h"

#include <string.h>

Diagnostic *elab_error(Elab *e, const char *code, Span at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  Buf b = {0};
  buf_vprintf(&b, fmt, ap);
  va_end(ap);
  Diagnostic *g = diag_error(e->diag, code, at, "%s", b.s ? b.s : "");
  buf_free(&b);
  return g;
}

/* names
 * ---------------------------------------------------------------------------------------------------------------------
 */

Env *env_new(Elab *e, Env *up, bool carry) {
  Env *env = ARENA_NEW(e->arena, Env);
  env->up = up;
  env->carry = carry;
  return env;
}

static Binding *env_own(Env *env, const char *name) {
  for (size_t i = env->var.n; i-- > 0;)
    if (strcmp(env->var.at[i].name, name) == 0) return &env->var.at[i];
  return NULL;
}

Binding *env_find(Env *env, const char *name) {
  for (; env; env = env->up) {
    Binding *b = env_own(env, name);
    if (b) return b;
  }
  return NULL;
}

void env_set(Elab *e, Env *env, const char *name, CtVal v, Span at) {
  Env *to = env;
  for (Env *s = env; s; s = s->up) { // the body that has the name already, through repeat and if
    if (env_own(s, name)) {
      to = s;
      break;
    }
    if (!s->carry) break;
  }
  if (v.kind != CV_LAZY) v.name = v.kind == CV_INT || v.kind == CV_REAL ? name : v.name;
  Binding *b = env_own(to, name);
  if (b)
    *b = (Binding){name, v, at};
  else
    VEC_PUSH(e->arena, to->var, ((Binding){name, v, at}));
}

/* scopes and weights
 * --------------------------------------------------------------------------------------------------------- */

const char *scope_join(Elab *e, const char *a, const char *b, Span at) {
  if (!*b) return a;
  if (strlen(a) + strlen(b) + 1 > ELAB_MAX_SCOPE) {
    elab_error(e, "E0109", at, "the path of a weight gets longer than %d letters", ELAB_MAX_SCOPE);
    e->stopped = true;
    return a;
  }
  return *a ? arena_printf(e->arena, "%s.%s", a, b) : b;
}

const char *path_text(Elab *e, Env *env, const Path *p) {
  Buf b = {0};
  for (size_t i = 0; i < p->npart && b.n <= ELAB_MAX_SCOPE; i++) {
    if (p->part[i].text) {
      buf_puts(&b, p->part[i].text);
      continue;
    }
    int64_t v;
    CtVal x = eval(e, env, p->part[i].expr);
    if (x.kind == CV_STR)
      buf_puts(&b, x.s);
    else if (want_int(e, x, p->part[i].expr->span, "an expression in a path", INT64_MIN, INT64_MAX, &v))
      buf_printf(&b, "%lld", (long long)v);
  }
  const char *s = arena_strdup(e->arena, b.s ? b.s : "");
  buf_free(&b);
  return s;
}

void eval_scoped(Elab *e, Env *env, const Path *path, const char **saved) {
  *saved = e->scope;
  if (!path) return;
  const char *text = path_text(e, env, path);
  e->scope = scope_join(e, path->absolute ? "" : e->scope, text, path->span);
}

// weight pos: f32[1, 1 + P, dim] = resized(bicubic, keep = 1): the table of a checkpoint for another grid fits too.
static bool resize_attrs(Elab *e, Env *env, const Node *n, Attr *attr, size_t *nattr) {
  const Node *call = n->a, *method = NULL, *grid = NULL;
  int64_t keep = 0;
  for (size_t i = 0; i < call->list.n && !strcmp(call->name, "resized"); i++) {
    const Node *a = call->list.at[i];
    if (a->kind != N_arg || (a->name && strcmp(a->name, "keep") != 0 && strcmp(a->name, "grid") != 0)) {
      method = NULL;
      break;
    }
    if (!a->name && i == 0 && a->a->kind == N_ident && resize_method_exists(a->a->name)) method = a->a;
    if (a->name && !strcmp(a->name, "grid")) grid = a->a;
    if (a->name && !strcmp(a->name, "keep") &&
        !want_int(e, eval(e, env, a->a), a->span, "the number of rows that stay", 0, INT32_MAX, &keep))
      return false;
  }
  if (!method) {
    Diagnostic *g = elab_error(e, "E0133", call->span, "this says not how the weight may be resized");
    diag_hint(e->diag, g,
              "write resized(bicubic, keep = 1); methods: bilinear, bicubic, bilinear_aligned, "
              "bicubic_aligned, bilinear_antialias, bicubic_antialias, geometric; further options: keep = rows in "
              "front, grid = [rows, columns]");
    return false;
  }
  attr[(*nattr)++] = attr_str(A_method, method->name);
  attr[(*nattr)++] = attr_int(A_keep, keep);
  if (!grid) return true;
  CtVal v = eval(e, env, grid);
  int64_t *side = ARENA_ARRAY(e->arena, int64_t, 2);
  if (v.kind == CV_ERROR) return false;
  for (size_t i = 0; i < 2; i++)
    if (v.kind != CV_LIST || v.n != 2) {
      elab_error(e, "E0133", grid->span, "grid is a list of rows and columns");
      return false;
    } else if (!want_int(e, v.item[i], grid->span, "a side of the grid", 1, 4096, &side[i])) {
      return false;
    }
  attr[(*nattr)++] = attr_ints(A_grid, side, 2);
  return true;
}

// Keys are interned: equal ones are one pointer.
static uint32_t *weight_slot(const Elab *e, const char *key) {
  size_t i = (size_t)hash_bytes(&key, sizeof key, 7) & (e->weight_slots - 1);
  while (e->weight_slot[i] && e->weight.at[e->weight_slot[i] - 1].key != key) i = (i + 1) & (e->weight_slots - 1);
  return &e->weight_slot[i];
}

static WeightDecl *weight_find(const Elab *e, const char *key) {
  uint32_t at = e->weight_slots ? *weight_slot(e, key) : 0;
  return at ? &e->weight.at[at - 1] : NULL;
}

static void weight_add(Elab *e, WeightDecl w) {
  VEC_PUSH(e->arena, e->weight, w);
  if (2 * e->weight.n > e->weight_slots) {
    e->weight_slots = e->weight_slots ? 2 * e->weight_slots : 256;
    e->weight_slot = ARENA_ARRAY(e->arena, uint32_t, e->weight_slots);
    for (size_t i = 0; i < e->weight.n; i++) *weight_slot(e, e->weight.at[i].key) = (uint32_t)i + 1;
  } else {
    *weight_slot(e, w.key) = (uint32_t)e->weight.n;
  }
}

CtVal weight_use(Elab *e, const Node *n, Env *env, const char *scope) {
  Type t;
  DimNames names;
  if (!e->g) {
    elab_error(e, "E0012", n->span, "a weight is used outside routes and blocks");
    return CT_ERROR;
  }
  if (!eval_type(e, env, n->type, &t, &names)) return CT_ERROR;
  const char *own = n->path ? path_text(e, env, n->path) : n->name;
  const char *key = scope_join(e, n->path && n->path->absolute ? "" : scope, own, n->span);
  key = intern(e->names, key);
  WeightDecl *known = weight_find(e, key);
  if (known && !type_equal(&known->type, &t)) {
    Diagnostic *g = elab_error(e, "E0118", n->span, "the weight \"%s\" is %s here and %s elsewhere", key,
                               type_text(e, &t, &names), type_text(e, &known->type, NULL));
    diag_note(e->diag, g, known->span, "the other declaration");
    return CT_ERROR;
  }
  if (!known && e->weight.n >= ELAB_MAX_WEIGHTS) {
    elab_error(e, "E0125", n->span, "the model asks for more than %d weights", ELAB_MAX_WEIGHTS);
    e->stopped = true;
    return CT_ERROR;
  }
  Attr attr[5] = {attr_str(A_name, key)};
  size_t nattr = 1;
  if (n->kind == N_state) attr[nattr++] = attr_int(A_state, 1);
  if (n->a && !resize_attrs(e, env, n, attr, &nattr)) return CT_ERROR;
  Val v = graph_add_typed(e->g, OP_weight, NULL, 0, attr, nattr, &t, n->span);
  if (!v.id) return CT_ERROR;
  if (!known) {
    weight_add(e, (WeightDecl){key, t, n->span});
    VEC_PUSH(e->arena, e->m->weight, ((DeclaredWeight){key, n->span}));
  }
  *val_names(e, v) = names;
  Val now = assigned_value(e, key);
  if (!now.id) now = v;
  if (n->kind == N_weight) now = under_average(e, key, now, n->span);
  if (!now.id) return CT_ERROR;
  *val_names(e, now) = names;
  return ct_tensor(now);
}

void weight_note(Elab *e, const char *key, const Type *t, Span at) {
  if (weight_find(e, key)) return;
  weight_add(e, (WeightDecl){key, *t, at});
  VEC_PUSH(e->arena, e->m->weight, ((DeclaredWeight){key, at}));
}

void weight_declare(Elab *e, Env *env, const Node *n) {
  Binding *b = env_own(env, n->name);
  CtVal v = CT_ERROR;
  if (b && b->val.kind == CV_TENSOR && e->g && graph_value(e->g, b->val.v)->op == OP_weight) {
    Diagnostic *g = elab_error(e, "E0105", n->name_span, "the weight '%s' is declared twice", n->name);
    diag_note(e->diag, g, b->span, "the first declaration");
  } else {
    v = weight_use(e, n, env, e->scope);
  }
  env_set(e, env, n->name, v, n->name_span);
}

/* statements
 * --------------------------------------------------------------------------------------------------------------------
 */

static void run_let(Elab *e, Env *env, const Node *n) {
  CtVal v = eval(e, env, n->a);
  if (v.kind == CV_NONE) {
    elab_error(e, "E0116", n->a->span, "this has no value to give a name to");
    v = CT_ERROR;
  }
  size_t names = n->list.n;
  if (names > 1 && v.kind != CV_ERROR && (v.kind != CV_LIST || v.n != names)) {
    if (v.kind == CV_LIST)
      elab_error(e, "E0117", n->a->span, "%zu names for %zu values", names, v.n);
    else
      elab_error(e, "E0117", n->a->span, "%zu names for one value, %s", names, kind_text(e, v));
    v = CT_ERROR;
  }
  for (size_t i = 0; i < names; i++) {
    const Node *name = n->list.at[i];
    CtVal one = names > 1 && v.kind == CV_LIST ? v.item[i] : v;
    if (n->type && one.kind != CV_ERROR) {
      Type t;
      DimNames dn;
      if (eval_type(e, env, n->type, &t, &dn))
        one = coerce(e, one, &t, &dn, n->a->span, arena_printf(e->arena, "'%s'", name->name));
      else
        one = CT_ERROR;
    }
    if (name->kind == N_ident) env_set(e, env, name->name, one, name->span);
  }
}

static CtVal run_return(Elab *e, Env *env, const Node *n) {
  if (n->list.n == 1) return eval(e, env, n->list.at[0]);
  CtVal *item = ARENA_ARRAY(e->arena, CtVal, n->list.n);
  bool bad = false;
  for (size_t i = 0; i < n->list.n; i++) {
    item[i] = eval(e, env, n->list.at[i]);
    bad = bad || item[i].kind == CV_ERROR;
  }
  return bad ? CT_ERROR : (CtVal){.kind = CV_LIST, .item = item, .n = n->list.n};
}

static CtVal run_repeat(Elab *e, Env *env, const Node *n, bool *returned) {
  int64_t lo = 0, hi;
  CtVal first = eval(e, env, n->a);
  if (n->b) {
    if (!want_int(e, first, n->a->span, "the start of repeat", INT32_MIN, INT32_MAX, &lo)) return CT_ERROR;
    if (!want_int(e, eval(e, env, n->b), n->b->span, "the end of repeat", INT32_MIN, INT32_MAX, &hi)) return CT_ERROR;
    if (!n->op) hi++;
  } else if (!want_int(e, first, n->a->span, "the count of repeat", 0, INT32_MAX, &hi)) {
    return CT_ERROR;
  }
  if (hi - lo > ELAB_MAX_REPEAT) {
    elab_error(e, "E0110", n->span, "repeat runs %lld times, at most %d are allowed", (long long)(hi - lo),
               ELAB_MAX_REPEAT);
    return CT_ERROR;
  }
  for (int64_t i = lo; i < hi; i++) {
    Env *turn = env_new(e, env, true);
    size_t before = e->diag->errors;
    VEC_PUSH(e->arena, turn->var, ((Binding){n->name, ct_int(i), n->name_span}));
    turn->var.at[0].val.name = n->name;
    const char *saved;
    eval_scoped(e, turn, n->path, &saved);
    CtVal v = eval_body(e, turn, n->c, returned);
    e->scope = saved;
    if (*returned || e->diag->errors > before || e->stopped) return v;
  }
  return CT_NONE;
}

static CtVal run_if(Elab *e, Env *env, const Node *n, bool *returned) {
  for (;;) {
    bool take;
    if (!want_bool(e, eval(e, env, n->a), n->a->span, "the condition of 'if'", &take)) return CT_ERROR;
    const Node *body = take ? n->b : n->c;
    if (!body) return CT_NONE;
    if (body->kind != N_if) return eval_body(e, env_new(e, env, true), body, returned);
    n = body;
  }
}

static CtVal run_statement(Elab *e, Env *env, const Node *n, bool *returned) {
  const char *saved = e->scope;
  CtVal v = CT_NONE;
  if (n->kind == N_weight) { // its path is the weight's own name
    weight_declare(e, env, n);
    return v;
  }
  if (n->kind == N_repeat) return run_repeat(e, env, n, returned); // its path may name the loop variable
  eval_scoped(e, env, n->path, &saved);
  switch (n->kind) {
  case N_let: run_let(e, env, n); break;
  case N_return:
    v = run_return(e, env, n);
    *returned = true;
    break;
  case N_expr_stmt: v = n->a->kind == N_if ? run_if(e, env, n->a, returned) : eval(e, env, n->a); break;
  case N_assign: v = run_assign(e, env, n); break;
  case N_error: v = CT_ERROR; break;
  default: elab_error(e, "E0012", n->span, "%s cannot stand inside a block or route", node_info[n->kind].text);
  }
  e->scope = saved;
  return v;
}

CtVal eval_body(Elab *e, Env *env, const Node *body, bool *returned) {
  CtVal v = CT_NONE;
  *returned = false;
  if (body->kind != N_body) return CT_ERROR;
  if (e->depth >= ELAB_MAX_DEPTH) {
    elab_error(e, "E0109", body->span, "expressions and blocks are nested too deeply");
    e->stopped = true;
    return CT_ERROR;
  }
  e->depth++;
  bool failed = false;
  for (size_t i = 0; i < body->list.n && !*returned && !e->stopped && !diag_full(e->diag); i++) {
    const Node *n = body->list.at[i];
    if (v.kind != CV_NONE && v.kind != CV_ERROR) {
      Diagnostic *g = elab_error(e, "E0131", body->list.at[i - 1]->span, "the value of this expression is not used");
      diag_hint(e->diag, g, "give it a name with 'let', or 'return' it");
      failed = true;
    }
    v = run_statement(e, env, n, returned);
    failed = failed || v.kind == CV_ERROR;
  }
  e->depth--;
  return e->stopped || diag_full(e->diag) || (failed && v.kind == CV_NONE) ? CT_ERROR : v;
}
