// params.c: what a model is built with: the values of its parameters, from its page and from the command line.
//
//   model vit(size = 224, eps = 1e-6)          the default
//   preset large = vit(dim = 1024) { .. }      a choice with a name
//   rename huggingface(eps = 1e-12) { .. }     what files with these names were trained with, if the set is in force
//   preset mine = vit(eps = 1e-6) under huggingface    one of these files: the set is in force, the preset has the last
//   word syc build vit.sy:large -D size=384         wins over all
//
// Presets and sets of names may change preparations too (prepare.c): both are facts of a checkpoint that its tensors do
// not show. Module.built has all of it as text, for `--describe` and for the packed weights' plan.
#include "elab.h"
#include "parse.h"

#include <string.h>

static bool known_param(Elab *e, const Node *model, const char *name, Span at) {
  const char *best = NULL;
  size_t dist = 0;
  for (size_t i = 0; i < model->list.n; i++) {
    if (strcmp(model->list.at[i]->name, name) == 0) return true;
    near_name(name, model->list.at[i]->name, &best, &dist);
  }
  Diagnostic *g = elab_error(e, "E0114", at, "the model '%s' has no parameter '%s'", model->name, name);
  hint_near(e, g, best);
  return false;
}

static bool is_define(const Elab *e, const char *name, size_t *at) {
  for (size_t i = e->opt->ndefine; i-- > 0;)
    if (strcmp(e->opt->define_name[i], name) == 0) return *at = i, true;
  return false;
}

// -D name=value: the value is an expression over the parameters before it.
static CtVal eval_define(Elab *e, Env *env, size_t i, Span *at) {
  const char *value = e->opt->define_value[i] ? e->opt->define_value[i] : "";
  size_t n = strlen(value);
  const char *path = arena_printf(e->arena, "-D %s", e->opt->define_name[i]);
  uint32_t file = diag_add_file(e->diag, path, arena_strndup(e->arena, value, n), n);
  *at = (Span){file, 0, (uint32_t)n};
  size_t before = e->diag->errors;
  Node *expr = parse_expression(e->arena, e->names, e->diag, file);
  if (e->diag->errors > before) return CT_ERROR;
  if (expr->kind == N_body) {
    elab_error(e, "E0114", *at, "-D %s needs a value", e->opt->define_name[i]);
    return CT_ERROR;
  }
  return eval(e, env, expr);
}

static CtVal convert_param(Elab *e, const Node *p, CtVal def, CtVal v, Span at) {
  if (v.kind == CV_ERROR || def.kind == CV_ERROR) return CT_ERROR;
  if (v.kind == CV_INT && def.kind == CV_REAL) return ct_real((double)v.d.c);
  if (v.kind == def.kind) return v;
  static const char *const want[CV_COUNT] = {
      [CV_INT] = "an integer", [CV_REAL] = "a number", [CV_BOOL] = "true or false"};
  elab_error(e, "E0114", at, "the parameter '%s' is %s, not %s", p->name,
             want[def.kind] ? want[def.kind] : "of another kind", kind_text(e, v));
  return CT_ERROR;
}

// The argument of a name in a list, or NULL.
static const Node *find_arg(const NodeList *args, const char *name) {
  for (size_t i = 0; args && i < args->n; i++) {
    const Node *a = args->at[i];
    if (a->kind == N_arg && a->name && strcmp(a->name, name) == 0) return a;
  }
  return NULL;
}

// Are the arguments of a preset or a set of names named, and none of them twice?
static bool check_args(Elab *e, const char *what, const char *call, const NodeList *args) {
  bool ok = true;
  for (size_t i = 0; i < args->n; i++) {
    const Node *a = args->at[i];
    if (a->kind != N_arg) return false;
    if (!a->name) {
      elab_error(e, "E0114", a->span, "%s names its parameters: %s(dim = 768)", what, call);
      ok = false;
    }
    for (size_t k = 0; k < i && a->name; k++)
      if (args->at[k]->name == a->name) {
        elab_error(e, "E0114", a->span, "the parameter '%s' is given twice", a->name);
        ok = false;
      }
  }
  return ok;
}

static bool check_preset(Elab *e, const Node *model, const Node *preset) {
  bool ok = check_args(e, "a preset", model->name, &preset->a->list);
  for (size_t i = 0; i < preset->a->list.n && ok; i++)
    ok = known_param(e, model, preset->a->list.at[i]->name, preset->a->list.at[i]->name_span);
  return ok;
}

static bool has_param(const Node *model, const char *name) {
  for (size_t i = 0; i < model->list.n; i++)
    if (strcmp(model->list.at[i]->name, name) == 0) return true;
  return false;
}

// A set of names goes with every model of its file: what it sets, one of them has at least.
static bool check_set(Elab *e, const Node *model, const Node *set) {
  bool ok = check_args(e, "a set of names", set->name, &set->list2);
  for (size_t i = 0; i < set->list2.n && ok; i++) {
    bool known = false;
    for (size_t k = 0; k < e->main->tree->list.n && !known; k++) {
      const Node *d = e->main->tree->list.at[k];
      known = d->kind == N_model && has_param(d, set->list2.at[i]->name);
    }
    ok = known || known_param(e, model, set->list2.at[i]->name, set->list2.at[i]->name_span);
  }
  return ok;
}

bool preset_is_under(const Node *preset, const Node *set) {
  return preset && preset->c && set && !strcmp(preset->c->name, set->name);
}

bool names_in_force(Elab *e, const Node *preset, const Node **set) {
  const Node *under = preset ? preset->c : NULL;
  const char *want = e->opt->names ? e->opt->names : under ? under->name : NULL;
  Span at = e->opt->names ? (Span){e->main->file, 0, 0} : under ? under->span : NO_SPAN;
  Buf have = {0};
  for (size_t i = 0; i < e->unit.n && want && !*set; i++) *set = find_decl(e->unit.at[i], N_rename, want);
  for (size_t i = 0; i < e->unit.n && want && !*set; i++)
    for (size_t k = 0; k < e->unit.at[i]->tree->list.n; k++) {
      const Node *d = e->unit.at[i]->tree->list.at[k];
      if (d->kind == N_rename) buf_printf(&have, "%s%s", have.n ? ", " : "", d->name);
    }
  bool ok = !want || *set;
  if (!ok) {
    Diagnostic *g = elab_error(e, "E0135", at, "the page has no set of names called '%s'", want);
    diag_hint(e->diag, g, have.n ? "it has %s" : "it has none: its weights have the names of the page%s",
              have.n ? have.s : "");
  }
  buf_free(&have);
  return ok;
}

// Does a set say more than names?
static bool has_facts(const Node *set) {
  bool facts = set && set->list2.n > 0;
  for (size_t i = 0; set && i < set->list.n && !facts; i++) facts = set->list.at[i]->kind == N_prepare;
  return facts;
}

static void put_param(Buf *out, const char *name, CtVal v) {
  buf_printf(out, ", %s=", name);
  if (v.kind == CV_REAL)
    put_real(out, v.f);
  else if (v.kind == CV_BOOL)
    buf_puts(out, v.b ? "true" : "false");
  else
    buf_printf(out, "%lld", (long long)v.d.c);
}

bool bind_model(Elab *e, const Node *model, const Node *preset, const Node *set) {
  bool ok = !preset || check_preset(e, model, preset);
  for (size_t i = 0; i < e->main->tree->list.n && ok; i++)
    if (e->main->tree->list.at[i]->kind == N_rename) ok = check_set(e, model, e->main->tree->list.at[i]);
  Buf built = {0};
  buf_printf(&built, "preset=%s", preset ? preset->name : "none");
  if (has_facts(set)) buf_printf(&built, ", names=%s", set->name);
  for (size_t i = 0; i < e->opt->ndefine; i++)
    ok = known_param(e, model, e->opt->define_name[i],
                     (Span){e->main->file, model->name_span.lo, model->name_span.hi}) &&
         ok;
  for (size_t i = 0; i < model->list.n && ok; i++) {
    const Node *p = model->list.at[i];
    for (size_t k = 0; k < i; k++) ok = !same_name(e, p, model->list.at[k]) && ok;
    if (!p->a || p->type) {
      Diagnostic *g = elab_error(e, "E0114", p->span, "a parameter of a model has a default and no type");
      diag_hint(e->diag, g, "write %s = 1", p->name);
      ok = false;
      break;
    }
    const Node *by_set = find_arg(set ? &set->list2 : NULL, p->name),
               *by_preset = find_arg(preset ? &preset->a->list : NULL, p->name);
    const Node *given = by_preset && (!by_set || preset_is_under(preset, set)) ? by_preset : by_set;
    size_t d = 0;
    Span at = given ? given->span : p->span;
    CtVal def = eval(e, e->model_env, p->a), v = def;
    if (def.kind != CV_INT && def.kind != CV_REAL && def.kind != CV_BOOL && def.kind != CV_ERROR) {
      elab_error(e, "E0114", p->span, "a parameter of a model is an integer, a real number or a truth value");
      ok = false;
      break;
    }
    if (given) v = convert_param(e, p, def, eval(e, e->model_env, given->a), at);
    if (is_define(e, p->name, &d)) v = convert_param(e, p, def, eval_define(e, e->model_env, d, &at), at);
    if (v.kind == CV_ERROR)
      ok = false;
    else
      put_param(&built, p->name, v);
    v.name = NULL;
    env_set(e, e->model_env, p->name, v, p->name_span);
  }
  e->m->built = arena_strdup(e->arena, built.s);
  buf_free(&built);
  return ok && e->diag->errors == 0;
}
