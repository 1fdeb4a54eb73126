// elab_unit.c: front_compile: files and `use`, the choice of the entry, parameters, model-level statements, routes.
//
//   vit.sy --use std--> std.sy        blocks of both are visible in vit.sy
//   syc build vit.sy:large -D depth=2   preset `large`, then the defines, then the defaults of the model
//
// Model-level weights are lazy: one that no selected route reads is not asked for.
#include "elab.h"
#include "parse.h"

#include <string.h>

/* files
 * ------------------------------------------------------------------------------------------------------------------------
 */

enum { CTX_FILE = 1, CTX_MODEL = 2 };
static const uint8_t allowed[N_COUNT] = {
    [N_use] = CTX_FILE,
    [N_modality] = CTX_FILE,
    [N_rename] = CTX_FILE,
    [N_precision] = CTX_FILE,
    [N_model] = CTX_FILE,
    [N_preset] = CTX_FILE,
    [N_route] = CTX_MODEL,
    [N_objective] = CTX_MODEL,
    [N_state] = CTX_MODEL,
    [N_average] = CTX_MODEL,
    [N_block] = CTX_FILE | CTX_MODEL,
    [N_let] = CTX_FILE | CTX_MODEL,
    [N_dim] = CTX_MODEL,
    [N_weight] = CTX_MODEL,
    [N_prepare] = CTX_MODEL,
    [N_generate] = CTX_MODEL,
    [N_train] = CTX_MODEL,
    [N_expr_stmt] = CTX_FILE | CTX_MODEL,
};

static bool check_place(Elab *e, const Node *n, int ctx) {
  if (n->kind == N_error || (n->kind == N_body && n->op == N_modality && ctx == CTX_FILE)) return true;
  if (allowed[n->kind] & ctx) return true;
  const char *text = n->kind == N_body ? "a modality" : node_info[n->kind].text;
  Diagnostic *g = elab_error(e, "E0012", n->span, "%s cannot stand %s", text,
                             ctx == CTX_FILE ? "at the top of a file" : "directly in a model");
  if (n->kind == N_stage || n->kind == N_source)
    diag_hint(e->diag, g, "put it inside 'train NAME { ... }'");
  else if (ctx == CTX_FILE && (allowed[n->kind] & CTX_MODEL))
    diag_hint(e->diag, g, "put it inside 'model name(...) { ... }'");
  else if (ctx == CTX_MODEL && (allowed[n->kind] & CTX_FILE))
    diag_hint(e->diag, g, "put it at the top of the file");
  else
    diag_hint(e->diag, g, "put it inside a block or a route");
  return false;
}

bool same_name(Elab *e, const Node *n, const Node *other) {
  if (n->name != other->name) return false;
  Diagnostic *g = elab_error(e, "E0105", n->name_span, "'%s' is defined twice", n->name);
  diag_note(e->diag, g, other->name_span, "the first definition");
  return true;
}

static void add_modalities(Elab *e, const Node *list) {
  for (size_t i = 0; i < list->list.n; i++) {
    const Node *n = list->list.at[i];
    int known = n->kind == N_modality ? modality_find(e->m, n->name) : 0;
    if (n->kind != N_modality) continue;
    for (const char *s = n->text; *s; s++)
      if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", *s)) {
        elab_error(e, "E0009", n->span, "the path segment of a modality consists of letters, digits, '_', '-' and '.'");
        return;
      }
    if (known >= 0) {
      if (strcmp(e->m->modality[known].infix, n->text) != 0)
        elab_error(e, "E0105", n->span, "the modality '%s' is declared with two different path segments", n->name);
    } else if (e->m->nmodality == MAX_MODALITIES) {
      elab_error(e, "E0126", n->span, "at most %d modalities", MAX_MODALITIES);
    } else {
      e->m->modality[e->m->nmodality++] = (Modality){n->name, n->text};
    }
  }
}

static Unit *load(Elab *e, const char *name, const char *path, const char *text, size_t n);

static void load_use(Elab *e, Unit *u, const Node *n) {
  for (size_t i = 0; i < e->unit.n; i++) {
    if (strcmp(e->unit.at[i]->name, n->name) != 0) continue;
    if (e->unit.at[i]->loading) {
      Diagnostic *g = elab_error(e, "E0112", n->span, "'%s' uses itself", n->name);
      diag_hint(e->diag, g, "move what both need into a third file");
      return;
    }
    VEC_PUSH(e->arena, u->use, e->unit.at[i]);
    return;
  }
  size_t size = 0;
  const char *path = arena_printf(e->arena, "%s.sy", n->name);
  const char *text = e->opt->find ? e->opt->find(e->opt->ud, n->name, &size, &path) : NULL;
  if (!text) {
    Diagnostic *g = elab_error(e, "E0112", n->name_span, "no file '%s.sy' was found", n->name);
    diag_hint(e->diag, g, "it is looked for beside this file and in the library of models");
    return;
  }
  if (e->unit.n >= 64) {
    elab_error(e, "E0112", n->span, "more than 64 files are used");
    return;
  }
  Unit *used = load(e, n->name, path, text, size);
  if (used) VEC_PUSH(e->arena, u->use, used);
}

static Unit *load(Elab *e, const char *name, const char *path, const char *text, size_t n) {
  Unit *u = ARENA_NEW(e->arena, Unit);
  VEC_PUSH(e->arena, e->unit, u);
  u->name = name;
  u->file = diag_add_file(e->diag, path, text, n);
  u->loading = true;
  u->env = env_new(e, NULL, false);
  u->tree = parse_file(e->arena, e->names, e->diag, u->file);
  for (size_t i = 0; i < u->tree->list.n; i++) {
    const Node *d = u->tree->list.at[i];
    if (!check_place(e, d, CTX_FILE)) continue;
    if (d->kind == N_use) load_use(e, u, d);
    if (d->kind == N_body) add_modalities(e, d);
    if (d->kind == N_rename) rename_add(e, d);
    if (d->kind == N_precision) precision_add(e, d, u == e->unit.at[0]);
    for (size_t k = 0; d->kind == N_preset && d->b && k < d->b->list.n; k++)
      if (d->b->list.at[k]->kind != N_prepare && d->b->list.at[k]->kind != N_error)
        elab_error(e, "E0012", d->b->list.at[k]->span, "only 'prepare' can stand in the body of a preset");
    if (d->kind == N_model || d->kind == N_preset || d->kind == N_block || d->kind == N_rename ||
        d->kind == N_precision) {
      bool twice = false;
      for (size_t k = 0; k < i && !twice; k++)
        twice = u->tree->list.at[k]->kind == d->kind && same_name(e, d, u->tree->list.at[k]);
    }
    if (d->kind == N_block) VEC_PUSH(e->arena, u->block, ((BlockDef){d, u->env, u, false}));
  }
  e->unit_now = u;
  for (size_t i = 0; i < u->tree->list.n && e->diag->errors == 0; i++) {
    Node *d = u->tree->list.at[i];
    bool returned;
    if (d->kind == N_let || d->kind == N_expr_stmt)
      (void)eval_body(e, u->env, &(Node){.kind = N_body, .list = {.at = &d, .n = 1}, .span = d->span}, &returned);
  }
  u->loading = false;
  return u;
}

/* blocks by name
 * ------------------------------------------------------------------------------------------------------------------ */

static const BlockDef *find_in(const BlockDef *at, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (strcmp(at[i].node->name, name) == 0) return &at[i];
  return NULL;
}

const BlockDef *block_find(const Elab *e, const char *name) {
  const BlockDef *b = e->in_model ? find_in(e->model_block.at, e->model_block.n, name) : NULL;
  const Unit *u = e->unit_now;
  if (!b && u) b = find_in(u->block.at, u->block.n, name);
  for (size_t i = 0; !b && u && i < u->use.n; i++) b = find_in(u->use.at[i]->block.at, u->use.at[i]->block.n, name);
  return b;
}

static void near_in(const BlockDef *at, size_t n, const char *name, const char **best, size_t *dist) {
  for (size_t i = 0; i < n; i++) near_name(name, at[i].node->name, best, dist);
}

void block_names(const Elab *e, const char *name, const char **best, size_t *dist) {
  if (e->in_model) near_in(e->model_block.at, e->model_block.n, name, best, dist);
  const Unit *u = e->unit_now;
  if (u) near_in(u->block.at, u->block.n, name, best, dist);
  for (size_t i = 0; u && i < u->use.n; i++) near_in(u->use.at[i]->block.at, u->use.at[i]->block.n, name, best, dist);
}

/* the entry
 * -------------------------------------------------------------------------------------------------------------------------
 */

const Node *find_decl(const Unit *u, NodeKind kind, const char *name) {
  for (size_t i = 0; i < u->tree->list.n; i++) {
    const Node *d = u->tree->list.at[i];
    if (d->kind == kind && (!name || strcmp(d->name, name) == 0)) return d;
  }
  return NULL;
}

static const char *entry_list(Elab *e) {
  Buf b = {0};
  for (size_t i = 0; i < e->main->tree->list.n; i++) {
    const Node *d = e->main->tree->list.at[i];
    if (d->kind == N_model || d->kind == N_preset) buf_printf(&b, "%s%s", b.n ? ", " : "", d->name);
  }
  const char *s = arena_strdup(e->arena, b.s ? b.s : "none");
  buf_free(&b);
  return s;
}

static const char *file_stem(Elab *e, const char *path) {
  const char *slash = strrchr(path, '/');
  const char *base = slash ? slash + 1 : path;
  return arena_strndup(e->arena, base, strcspn(base, "."));
}

// The model to compile; *preset if one was named.
static const Node *choose_entry(Elab *e, const char *path, const Node **preset) {
  const char *want = e->opt->entry_or_preset;
  Span top = {e->main->file, 0, 0};
  const Node *model;
  *preset = want ? find_decl(e->main, N_preset, want) : NULL;
  if (*preset) {
    const Node *call = (*preset)->a;
    model = call->kind == N_call ? find_decl(e->main, N_model, call->name) : NULL;
    if (!model) elab_error(e, "E0113", (*preset)->span, "the preset '%s' names no model of this file", want);
    return model;
  }
  if (want) {
    model = find_decl(e->main, N_model, want);
    if (model) return model;
    Diagnostic *g = elab_error(e, "E0113", top, "no model or preset is called '%s'", want);
    diag_hint(e->diag, g, "the entries of this file: %s", entry_list(e));
    return NULL;
  }
  size_t models = 0;
  for (size_t i = 0; i < e->main->tree->list.n; i++) models += e->main->tree->list.at[i]->kind == N_model;
  model = find_decl(e->main, N_model, models == 1 ? NULL : file_stem(e, path));
  if (model) return model;
  Diagnostic *g = elab_error(e, "E0113", top, models ? "this file has several models" : "this file has no model");
  if (models)
    diag_hint(e->diag, g, "name one: FILE:NAME with one of %s", entry_list(e));
  else
    diag_hint(e->diag, g, "a model looks like: model name(size = 224) { route ... }");
  return NULL;
}

/* the model
 * ------------------------------------------------------------------------------------------------------------------------------
 */

static void add_dim(Elab *e, const Node *n) {
  int64_t lo, hi;
  if (!want_int(e, eval(e, e->model_env, n->a), n->a->span, "the least value of a dim", 1, INT32_MAX, &lo)) return;
  if (!want_int(e, eval(e, e->model_env, n->b), n->b->span, "the largest value of a dim", 1, INT32_MAX, &hi)) return;
  if (hi < lo) {
    elab_error(e, "E0119", n->span, "the dim '%s' has no values: %lld..%lld", n->name, (long long)lo, (long long)hi);
    return;
  }
  if (e->m->ndim == MAX_DIMS) {
    elab_error(e, "E0119", n->span, "a model has at most %d run-time dims", MAX_DIMS);
    return;
  }
  for (size_t i = 0; i < e->opt->ndim; i++) {
    FrontDim *d = &e->opt->dim[i];
    if (strcmp(d->name, n->name) != 0) continue;
    *d = (FrontDim){d->name, d->most, true, lo, hi};
    if (d->most >= lo && d->most <= hi) hi = d->most;
  }
  int32_t sym = (int32_t)e->m->ndim;
  e->m->dim[e->m->ndim++] = (RuntimeDim){n->name, lo, hi};
  env_set(e, e->model_env, n->name, ct_dim((Dim){0, 1, sym}), n->name_span);
}

static bool defined_before(Elab *e, const Node *n) {
  Binding *b = env_find(e->model_env, n->name);
  if (!b) return false;
  Diagnostic *g = elab_error(e, "E0105", n->name_span, "'%s' is defined twice", n->name);
  diag_note(e->diag, g, b->span, "the first definition");
  return true;
}

static bool is_entry(const Node *n) { // an entry point of the compiled program
  return n->kind == N_route || n->kind == N_generate;
}

static bool is_built(const Node *n) { // becomes a graph where it is asked for
  return is_entry(n) || n->kind == N_objective;
}

// Statements of the model in order; blocks first, so that their order does not matter.
static void run_model(Elab *e, const Node *model) {
  const NodeList *l = &model->a->list;
  for (size_t i = 0; i < l->n; i++) {
    const Node *n = l->at[i];
    if (!check_place(e, n, CTX_MODEL)) continue;
    bool named = n->kind == N_block || n->kind == N_objective || n->kind == N_train;
    for (size_t k = 0; k < i && (named || is_entry(n)); k++)
      if ((l->at[k]->kind == n->kind || (is_entry(l->at[k]) && is_entry(n))) && same_name(e, n, l->at[k])) break;
    if (n->kind == N_block) VEC_PUSH(e->arena, e->model_block, ((BlockDef){n, e->model_env, e->main, true}));
  }
  for (size_t i = 0; i < l->n && !e->stopped; i++) {
    Node *n = l->at[i];
    bool returned;
    if (n->kind == N_dim && !defined_before(e, n)) add_dim(e, n);
    if (n->kind == N_average) average_declare(e, n);
    if ((n->kind == N_weight || n->kind == N_state) && !defined_before(e, n))
      env_set(e, e->model_env, n->name, (CtVal){.kind = CV_LAZY, .node = n}, n->name_span);
    if (n->kind == N_let || n->kind == N_expr_stmt)
      (void)eval_body(e, e->model_env, &(Node){.kind = N_body, .list = {.at = &n, .n = 1}, .span = n->span}, &returned);
  }
}

Env *route_inputs(Elab *e, const Node *route, const char *except) {
  Env *env = env_new(e, e->model_env, false);
  bool ok = true;
  for (size_t i = 0; i < route->list.n; i++) {
    const Node *p = route->list.at[i];
    Type t;
    DimNames names;
    for (size_t k = 0; k < i; k++)
      if (same_name(e, p, route->list.at[k])) return NULL;
    if (!p->type || p->a) {
      Diagnostic *g = elab_error(e, "E0127", p->span, "an input of a route has a type and no default");
      diag_hint(e->diag, g, "write %s: f32[B, 3, size, size]", p->name);
      ok = false;
      continue;
    }
    if (!eval_type(e, env, p->type, &t, &names)) {
      ok = false;
      continue;
    }
    if (p->op && route->kind != N_objective) {
      elab_error(e, "E0127", p->span, "only inputs of an objective may be left out");
      ok = false;
      continue;
    }
    if (p->name == except) continue;
    if (p->op && !input_is_given(e, p->name)) {
      VEC_PUSH(e->arena, env->var, ((Binding){p->name, {.kind = CV_ABSENT}, p->name_span}));
      continue;
    }
    Val v = graph_input(e->g, p->name, &t, p->span);
    if (!v.id) return NULL;
    *val_names(e, v) = names;
    VEC_PUSH(e->arena, env->var, ((Binding){p->name, ct_tensor(v), p->name_span}));
  }
  return ok ? env : NULL;
}

static void route_outputs(Elab *e, Env *env, const Node *route, CtVal v) {
  size_t n = v.kind == CV_LIST ? v.n : v.kind == CV_NONE ? 0 : 1;
  if (v.kind == CV_ERROR) return;
  if (n != route->list2.n) {
    Diagnostic *g = elab_error(e, "E0117", route->name_span, "the route '%s' declares %zu output%s but returns %zu",
                               route->name, route->list2.n, route->list2.n == 1 ? "" : "s", n);
    if (n == 0) diag_hint(e->diag, g, "end it with 'return ...'");
    return;
  }
  for (size_t i = 0; i < n; i++) {
    const Node *out = route->list2.at[i];
    CtVal x = v.kind == CV_LIST ? v.item[i] : v;
    Type t;
    DimNames names;
    if (!out->name) {
      elab_error(e, "E0127", out->span, "an output of a route has a name: -> logits: f32[B, classes]");
      return;
    }
    for (size_t k = 0; k < i; k++)
      if (same_name(e, out, route->list2.at[k])) return;
    if (out->type) {
      if (!eval_type(e, env, out->type, &t, &names)) return;
      x = coerce(e, x, &t, &names, out->span, arena_printf(e->arena, "the output '%s'", out->name));
    }
    if (!want_tensor(e, x, out->span, arena_printf(e->arena, "the output '%s'", out->name))) return;
    graph_output(e->g, out->name, x.v, out->span);
  }
}

static const char *comment_above(Elab *e, const Node *n) {
  const SourceFile *f = &e->diag->files.at[n->span.file - 1];
  return front_comment_above(e->arena, f->text, n->span.lo);
}

static void build_route(Elab *e, const Node *route) {
  bool returned;
  if (route->kind == N_generate && !generate_check(e, route)) return;
  e->g = graph_new(e->m, route->name);
  e->g->about = comment_above(e, route);
  e->dimname.n = 0;
  memset(&e->dimname, 0, sizeof e->dimname);
  e->steps = 0;
  e->scope = "";
  e->unit_now = e->main;
  e->in_model = true;
  bool generate = route->kind == N_generate;
  if (route->kind == N_objective) objective_begin(e, route);
  Env *env = route_inputs(e, route, generate ? generate_prompt(route) : NULL);
  if (env) {
    const char *saved;
    Node body = *route->a;
    eval_scoped(e, env, route->path, &saved);
    bool ok = !generate || generate_words(e, env, route);
    if (generate) body.list.at++, body.list.n--; // the words are declared
    CtVal v = ok ? eval_body(e, env, &body, &returned) : CT_ERROR;
    e->scope = "";
    if (generate)
      generate_scores(e, route, v);
    else
      route_outputs(e, env, route, v);
    if (route->kind == N_objective) objective_end(e, route);
  }
  e->objective = false;
  e->g = NULL;
}

static const char *names_of(Elab *e, const Node *model, bool objectives) {
  Buf b = {0};
  for (size_t i = 0; i < model->a->list.n; i++) {
    const Node *n = model->a->list.at[i];
    if (objectives ? n->kind == N_objective : is_entry(n)) buf_printf(&b, "%s%s", b.n ? ", " : "", n->name);
  }
  const char *s = arena_strdup(e->arena, b.s ? b.s : "none");
  buf_free(&b);
  return s;
}

static const Node *find_named(Elab *e, const Node *model, const char *name, bool objective) {
  const char *best = NULL, *what = objective ? "objective" : "route";
  size_t dist = 0;
  const Node *other = NULL;
  for (size_t i = 0; i < model->a->list.n; i++) {
    const Node *n = model->a->list.at[i];
    if (!is_built(n)) continue;
    if (strcmp(n->name, name) == 0 && (n->kind == N_objective) == objective) return n;
    if (strcmp(n->name, name) == 0) other = n;
    if ((n->kind == N_objective) == objective) near_name(name, n->name, &best, &dist);
  }
  Diagnostic *g = elab_error(e, "E0115", model->name_span, "the model '%s' has no %s '%s'", model->name, what, name);
  const char *all = names_of(e, model, objective);
  if (other)
    diag_hint(e->diag, g, "'%s' is %s; its %ss: %s", name, node_info[other->kind].text, what, all);
  else if (best)
    diag_hint(e->diag, g, "did you mean '%s'? Its %ss: %s", best, what, all);
  else
    diag_hint(e->diag, g, "its %ss: %s", what, all);
  return NULL;
}

static void build_named(Elab *e, const Node *model, const char *const *name, size_t n, bool objectives) {
  for (size_t i = 0; i < n; i++) {
    const Node *r = find_named(e, model, name[i], objectives);
    for (size_t k = 0; r && k < i; k++)
      if (strcmp(name[k], name[i]) == 0) r = NULL; // named twice
    if (r) build_route(e, r);
  }
}

static void build_routes(Elab *e, const Node *model) {
  size_t n = 0;
  build_named(e, model, e->opt->routes, e->opt->nroutes, false);
  VEC(const char *) objective = {0};
  for (size_t i = 0; i < e->opt->nobjectives; i++) VEC_PUSH(e->arena, objective, e->opt->objectives[i]);
  for (size_t i = 0; e->opt->stage && e->m->stage.n && i < e->m->stage.at[0].objective.n; i++)
    VEC_PUSH(e->arena, objective, e->m->stage.at[0].objective.at[i].name);
  build_named(e, model, objective.at, objective.n, true);
  if (e->opt->nroutes || objective.n) return;
  for (size_t i = 0; i < model->a->list.n && !e->stopped; i++) {
    if (!is_entry(model->a->list.at[i])) continue;
    build_route(e, model->a->list.at[i]);
    n++;
  }
  if (n || e->diag->errors) return;
  Diagnostic *g = elab_error(e, "E0115", model->name_span, "the model '%s' has no route", model->name);
  bool trained = false;
  for (size_t i = 0; i < model->a->list.n; i++) trained = trained || model->a->list.at[i]->kind == N_objective;
  if (trained)
    diag_hint(e->diag, g, "it has objectives alone, which --objective compiles: %s", names_of(e, model, true));
  else
    diag_hint(e->diag, g, "a route is an entry point: route classify(image: f32[B, 3, size, size]) -> logits { ... }");
}

// The same mistake in a block that several routes or layers use is reported once.
static void drop_repeated(Diag *d) {
  size_t n = 0;
  for (size_t i = 0; i < d->list.n; i++) {
    const Diagnostic *g = &d->list.at[i];
    bool seen = false;
    for (size_t k = 0; k < n && !seen; k++) {
      const Diagnostic *h = &d->list.at[k];
      seen = g->span.file && h->severity == g->severity && h->span.file == g->span.file && h->span.lo == g->span.lo &&
             h->span.hi == g->span.hi && strcmp(h->code, g->code) == 0;
    }
    if (seen && g->severity == SEV_ERROR && d->errors) d->errors--;
    if (!seen) d->list.at[n++] = d->list.at[i];
  }
  d->list.n = n;
}

Module *front_compile(Arena *a, Intern *names, Diag *diag, const char *path, const char *text, size_t n,
                      const FrontOptions *o) {
  static const FrontOptions none = {0};
  Elab e = {.arena = a, .names = names, .diag = diag, .opt = o ? o : &none, .scope = ""};
  const Node *preset, *set = NULL;
  size_t before = diag->errors;
  e.m = module_new(a, names, diag, "");
  e.page = (PageNames){.axes = val_axes, .ud = &e};
  e.m->page = &e.page;
  e.main = load(&e, file_stem(&e, path), path, text, n);
  const Node *model = diag->errors == before ? choose_entry(&e, path, &preset) : NULL;
  if (model && names_in_force(&e, preset, &set)) {
    e.m->name = model->name;
    e.unit_now = e.main;
    e.in_model = true;
    e.model_env = env_new(&e, e.main->env, false);
    if (bind_model(&e, model, preset, set)) run_model(&e, model);
    if (diag->errors == before) prepare_model(&e, model, preset, set);
    if (diag->errors == before) stages_model(&e, model);
    if (diag->errors == before) adapt_begin(&e);
    if (diag->errors == before) build_routes(&e, model);
    if (diag->errors == before) stage_patterns(&e);
    if (diag->errors == before) adapt_check(&e);
  }
  drop_repeated(diag);
  e.m->page = NULL;
  return diag->errors == before ? e.m : NULL;
}
