// stage.c: `train NAME from OTHER { .. }`: the lines of a stage, evaluated, and the names in them.
//
//   train pairs from words {
//     objective pretrain
//     only "*mlp_text*"                                      StageLine {only, {"*mlp_text*"}}
//     adamw(lr = 1e-4 * batch / 256, decay = 0.05)           StageLine {optimiser, {adamw(lr = .., ..)}}
//     if relative { group "*table*": decay = 0 }             a line where the condition holds
//     text, mlm_labels: mask_words(mask = 103)               StageLine {input, {text, mlm_labels}, {mask_words(..)}}
//   }
//
// What the lines may say is checked where the IR's text is checked, too (stage_take); here are the names of objectives,
// inputs and stages. All stages of the model that is compiled are checked; those that were asked for become records of
// the module. The patterns of the stage that is built are compared with the weights of its objectives.
#include "elab.h"

#include <string.h>

typedef struct Lines {
  VEC(StageLine) at;
} Lines;

/* values
 * ---------------------------------------------------------------------------------------------------------------- */

static bool value_of(Elab *e, Env *env, const Node *n, bool word, StageValue *v);

// Does an argument of this name, of this call, take a word?
static bool takes_word(const char *call, const char *name) {
  for (size_t i = 0; call && i < stage_param_count; i++) {
    const StageParam *p = &stage_param[i];
    if (strcmp(p->name, name) != 0 || (p->kind != PARAM_CHOICE && p->kind != PARAM_NAME)) continue;
    for (size_t c = 0; c < stage_call_count; c++)
      if ((p->calls >> c & 1) && !strcmp(stage_call[c].name, call)) return true;
  }
  return false;
}

// Arguments, those of a call: with its name. False after reporting.
static bool args_of(Elab *e, Env *env, const NodeList *l, bool words, const char *call, const StageArg **out,
                    size_t *n) {
  StageArg *x = ARENA_ARRAY(e->arena, StageArg, l->n + 1);
  for (size_t i = 0; i < l->n; i++) {
    const Node *a = l->at[i];
    if (a->kind == N_arg) x[i].name = a->name;
    if (!value_of(e, env, a->kind == N_arg ? a->a : a, words || (x[i].name && takes_word(call, x[i].name)),
                  &x[i].value))
      return false;
  }
  *out = x, *n = l->n;
  return true;
}

static bool call_of(Elab *e, Env *env, const Node *n, StageValue *v) {
  *v = (StageValue){.kind = SV_CALL, .text = n->name, .span = n->span};
  return args_of(e, env, &n->list, false, n->name, &v->item, &v->n);
}

// `word`: a name stands for itself, even where a parameter of the model is called so.
static bool value_of(Elab *e, Env *env, const Node *n, bool word, StageValue *v) {
  if (n->kind == N_if && !(n = prepare_branch(e, env, n))) return false;
  *v = (StageValue){.span = n->span};
  if (n->kind == N_ident && (word || !env_find(env, n->name))) {
    v->kind = SV_WORD, v->text = n->name;
    return true;
  }
  if (n->kind == N_list) {
    v->kind = SV_LIST;
    return args_of(e, env, &n->list, false, NULL, &v->item, &v->n);
  }
  CtVal c = eval(e, env, n);
  switch (c.kind) {
  case CV_ERROR: return false;
  case CV_STR: v->kind = SV_TEXT, v->text = c.s; return true;
  case CV_BOOL: v->kind = SV_TRUTH, v->number = c.b; return true;
  case CV_REAL: v->kind = SV_NUMBER, v->number = c.f; return true;
  case CV_INT:
    if (c.d.k) break;
    v->kind = SV_NUMBER, v->number = (double)c.d.c;
    return true;
  default: break;
  }
  elab_error(e, "E0140", n->span, "a stage cannot say %s", kind_text(e, c));
  return false;
}

/* lines
 * ----------------------------------------------------------------------------------------------------------------- */

static bool add_line(Elab *e, Lines *out, StageWord word, const Node *n, StageLine l) {
  l.word = word, l.span = n->span;
  VEC_PUSH(e->arena, out->at, l);
  return true;
}

// average RATE as "{name}_ema": the name as an argument.
static bool average_line(Elab *e, Env *env, const Node *n, StageLine *l) {
  const Node *x = n->list.n == 1 && n->list.at[0]->kind == N_arg ? n->list.at[0]->a : NULL;
  if (!x || x->kind != N_as || !x->text) return args_of(e, env, &n->list, false, NULL, &l->arg, &l->narg);
  StageArg *arg = ARENA_ARRAY(e->arena, StageArg, 2);
  arg[1] = (StageArg){"named", {.kind = SV_TEXT, .text = x->text, .span = x->name_span}};
  l->arg = arg, l->narg = 2;
  return value_of(e, env, x->a, false, &arg[0].value);
}

static bool stage_line(Elab *e, Env *env, const Node *n, Lines *out) {
  StageWord word = stage_word_by_name(n->name);
  StageLine l = {0};
  const NodeList *arg = &n->list;
  bool names = word == STAGE_objective || word == STAGE_given, ok;
  if (word == STAGE_evaluate && n->text && strcmp(n->text, "every") != 0) {
    diag_hint(e->diag, elab_error(e, "E0140", n->span, "'evaluate' says how often, and what"),
              "write evaluate every 1000: accuracy");
    return false;
  }
  if (word == STAGE_average)
    ok = average_line(e, env, n, &l);
  else if (word == STAGE_schedule && arg->n == 1 && arg->at[0]->kind == N_arg && arg->at[0]->a->kind == N_call) {
    StageArg *x = ARENA_ARRAY(e->arena, StageArg, 1);
    l.arg = x, l.narg = 1;
    ok = call_of(e, env, arg->at[0]->a, &x->value);
  } else
    ok = args_of(e, env, arg, names, NULL, &l.arg, &l.narg);
  ok = ok && args_of(e, env, &n->list2, word == STAGE_evaluate, NULL, &l.more, &l.nmore);
  return ok && add_line(e, out, word, n, l);
}

// image: augment(..), or an optimiser, which is a call
static bool call_line(Elab *e, Env *env, StageWord word, const Node *n, const NodeList *names, Lines *out) {
  StageLine l = {0};
  StageArg *call = ARENA_ARRAY(e->arena, StageArg, 1);
  if (!call_of(e, env, n->a, &call->value)) return false;
  if (names && !args_of(e, env, names, true, NULL, &l.arg, &l.narg)) return false;
  if (names)
    l.more = call, l.nmore = 1;
  else
    l.arg = call, l.narg = 1;
  return add_line(e, out, word, n, l);
}

static bool wrong_line(Elab *e, const Node *n) {
  bool word = n->kind == N_expr_stmt && n->a->kind == N_call && stage_word_by_name(n->a->name) < STAGE_WORD_COUNT;
  if (word) {
    Diagnostic *g = elab_error(e, "E0140", n->span, "'%s' is no call", n->a->name);
    diag_hint(e->diag, g, "write it without brackets: %s 32", n->a->name);
    return false;
  }
  const char *best = NULL;
  size_t dist = 0;
  const char *name = n->kind == N_expr_stmt && n->a->kind == N_ident ? n->a->name : NULL;
  for (int w = 0; name && w < STAGE_WORD_COUNT; w++) near_name(name, stage_word[w].name, &best, &dist);
  Diagnostic *g = elab_error(e, "E0140", n->span, "%s is no line of a stage", node_info[n->kind].text);
  if (best)
    hint_near(e, g, best);
  else
    diag_hint(e->diag, g,
              "its lines are: objective, only, freeze, an optimiser, group, layers, schedule, steps, epochs, "
              "batch, ..: see docs/language.md");
  return false;
}

static bool lines_of(Elab *e, Env *env, const Node *body, Lines *out) {
  bool ok = true, take, returned;
  for (size_t i = 0; i < body->list.n && !e->stopped; i++) {
    Node *n = body->list.at[i];
    const Node *x = n->kind == N_expr_stmt && !n->path ? n->a : NULL;
    if (n->kind == N_error) continue;
    if (n->kind == N_stage)
      ok = stage_line(e, env, n, out) && ok;
    else if (n->kind == N_source)
      ok = call_line(e, env, STAGE_input, n, &n->list, out) && ok;
    else if (n->kind == N_let)
      ok = eval_body(e, env, &(Node){.kind = N_body, .list = {.at = &n, .n = 1}, .span = n->span}, &returned).kind !=
               CV_ERROR &&
           ok;
    else if (x && x->kind == N_if) {
      for (; x && x->kind == N_if; x = take ? x->b : x->c)
        if (!want_bool(e, eval(e, env, x->a), x->a->span, "the condition of 'if'", &take)) return false;
      ok = (!x || lines_of(e, env_new(e, env, true), x, out)) && ok;
    } else if (x && x->kind == N_call && stage_word_by_name(x->name) == STAGE_WORD_COUNT)
      ok = call_line(e, env, STAGE_optimiser, n, NULL, out) && ok;
    else
      ok = wrong_line(e, n) && ok;
  }
  return ok && !e->stopped;
}

/* names
 * ----------------------------------------------------------------------------------------------------------------- */

static const Node *objective_node(const Node *model, const char *name) {
  for (size_t i = 0; i < model->a->list.n; i++) {
    const Node *n = model->a->list.at[i];
    if (n->kind == N_objective && !strcmp(n->name, name)) return n;
  }
  return NULL;
}

static const Node *input_node(const Node *objective, const char *name) {
  for (size_t i = 0; objective && i < objective->list.n; i++)
    if (!strcmp(objective->list.at[i]->name, name)) return objective->list.at[i];
  return NULL;
}

static bool check_objectives(Elab *e, const Node *model, const Stage *s) {
  bool ok = true;
  for (size_t i = 0; i < s->objective.n; i++) {
    const StageObjective *o = &s->objective.at[i];
    if (objective_node(model, o->name)) continue;
    const char *best = NULL;
    size_t dist = 0;
    for (size_t k = 0; k < model->a->list.n; k++)
      if (model->a->list.at[k]->kind == N_objective) near_name(o->name, model->a->list.at[k]->name, &best, &dist);
    hint_near(e, elab_error(e, "E0142", o->span, "the model '%s' has no objective '%s'", model->name, o->name), best);
    ok = false;
  }
  return ok;
}

// An input of one of the stage's objectives; NULL after reporting.
static const Node *stage_input(Elab *e, const Node *model, const Stage *s, const char *name, Span at) {
  const char *best = NULL;
  size_t dist = 0;
  for (size_t i = 0; i < s->objective.n; i++) {
    const Node *o = objective_node(model, s->objective.at[i].name), *x = input_node(o, name);
    if (x) return x;
    for (size_t k = 0; k < o->list.n; k++) near_name(name, o->list.at[k]->name, &best, &dist);
  }
  hint_near(e, elab_error(e, "E0142", at, "no objective of the stage '%s' has an input '%s'", s->name, name), best);
  return NULL;
}

static void given(Elab *e, Stage *s, const Node *input, Span at) {
  for (size_t i = 0; i < s->given.n; i++)
    if (!strcmp(s->given.at[i].glob, input->name)) return;
  VEC_PUSH(e->arena, s->given, ((StageGlob){input->name, at}));
}

// Inputs that a stage names exist; those with a question mark that a sampler makes are given.
static bool check_inputs(Elab *e, const Node *model, Stage *s) {
  bool ok = true;
  for (size_t i = 0; i < s->given.n; i++) {
    const StageGlob *g = &s->given.at[i];
    const Node *x = stage_input(e, model, s, g->glob, g->span);
    if (x && !x->op) elab_error(e, "E0142", g->span, "the input '%s' cannot be left out: it is given anyway", x->name);
    ok = ok && x && x->op;
  }
  for (size_t i = 0; i < s->input.n; i++) {
    const StageInput *in = &s->input.at[i];
    for (size_t k = 0; k < in->n; k++) {
      const Node *x = stage_input(e, model, s, in->name[k], in->span);
      if (x && x->op) given(e, s, x, in->span);
      ok = ok && x;
    }
    for (size_t k = 0; k < in->from.n; k++) {
      const StageValue *v = &in->from.value[k];
      const char *best = NULL;
      if (in->from.param[k]->kind != PARAM_NAME || v->kind != SV_WORD || find_port(model, v->text, &best)) continue;
      hint_near(e, elab_error(e, "E0142", v->span, "no route or objective has an input '%s'", v->text), best);
      ok = false;
    }
  }
  return ok;
}

static bool check_from(Elab *e, const Node *model, const Node *n) {
  const char *best = NULL;
  size_t dist = 0;
  if (!n->b) return true;
  for (size_t i = 0; i < model->a->list.n && model->a->list.at[i] != n; i++) {
    const Node *x = model->a->list.at[i];
    if (x->kind == N_train && x->name == n->b->name) return true;
    if (x->kind == N_train) near_name(n->b->name, x->name, &best, &dist);
  }
  Diagnostic *g = elab_error(e, "E0142", n->b->span, "no stage above is called '%s'", n->b->name);
  hint_near(e, g, best);
  return false;
}

/* stages
 * ---------------------------------------------------------------------------------------------------------------- */

static bool take_stage(Elab *e, const Node *model, const Node *n, Stage *s) {
  Lines lines = {0};
  *s = (Stage){.name = n->name, .from = n->b ? n->b->name : NULL, .span = n->name_span};
  s->about = front_comment_above(e->arena, e->diag->files.at[n->span.file - 1].text, n->span.lo);
  e->steps = 0;
  bool read = lines_of(e, env_new(e, e->model_env, false), n->a, &lines);
  s->line = lines.at.at, s->nline = lines.at.n;
  return !e->stopped && stage_take(e->arena, e->diag, s) && read && check_from(e, model, n) &&
         check_objectives(e, model, s) && check_inputs(e, model, s);
}

static const char *stage_names(Elab *e, const Node *model) {
  const char *all = "";
  for (size_t i = 0; i < model->a->list.n; i++)
    if (model->a->list.at[i]->kind == N_train)
      all = arena_printf(e->arena, "%s%s%s", all, *all ? ", " : "", model->a->list.at[i]->name);
  return *all ? all : "none";
}

void stages_model(Elab *e, const Node *model) {
  const char *want = e->opt->stage, *best = NULL;
  size_t dist = 0;
  bool found = !want;
  for (size_t i = 0; i < model->a->list.n && !e->stopped; i++) {
    const Node *n = model->a->list.at[i];
    if (n->kind != N_train) continue;
    bool asked = want && !strcmp(want, n->name);
    Stage s;
    if (want) near_name(want, n->name, &best, &dist);
    found = found || asked;
    if (take_stage(e, model, n, &s) && (asked || (!want && e->opt->stages))) VEC_PUSH(e->arena, e->m->stage, s);
  }
  if (found) return;
  Diagnostic *g = elab_error(e, "E0115", model->name_span, "the model '%s' has no stage '%s'", model->name, want);
  const char *all = stage_names(e, model);
  if (best)
    diag_hint(e->diag, g, "did you mean '%s'? Its stages: %s", best, all);
  else
    diag_hint(e->diag, g, "its stages: %s", all);
}

/* patterns and weights
 * -------------------------------------------------------------------------------------------------- */

typedef struct Names { // of the weights of the stage's objectives
  VEC(const char *) at;
} Names;

static Names weights_of(Elab *e, const Stage *s) {
  Names out = {0};
  for (size_t i = 0; i < e->m->graph.n; i++) {
    const Graph *g = e->m->graph.at[i];
    bool own = false;
    for (size_t k = 0; k < s->objective.n; k++)
      own = own || (g->objective && !strcmp(g->name, s->objective.at[k].name));
    for (uint32_t v = 1; own && v < g->value.n; v++) {
      const Value *x = graph_value(g, (Val){v});
      if (x->op == OP_weight && !value_int(x, A_state, 0) && dtype_info[x->type.dtype].kind == DK_FLOAT)
        VEC_PUSH(e->arena, out.at, value_str(x, A_name));
    }
  }
  return out;
}

static void check_glob(Elab *e, const Names *w, const StageGlob *g) {
  for (size_t i = 0; i < w->at.n; i++)
    if (text_matches(g->glob, w->at.at[i])) return;
  Diagnostic *d = elab_error(e, "E0142", g->span, "no weight of the stage's objectives fits \"%s\"", g->glob);
  if (w->at.n) diag_hint(e->diag, d, "they are called as in %s; * stands for any text", w->at.at[w->at.n / 2]);
}

static void check_layers(Elab *e, const Names *w, const StageLayers *y) {
  bool found = !y->layer.glob;
  for (size_t i = 0; y->layer.glob && i < w->at.n; i++) {
    int64_t layer = stage_layer(y->layer.glob, w->at.at[i]);
    found = found || layer >= 0;
    if (layer < y->depth) continue;
    elab_error(e, "E0142", y->layer.span, "%s is in layer %lld, and 'depth' is %lld", w->at.at[i], (long long)layer,
               (long long)y->depth);
    return;
  }
  if (!found) check_glob(e, w, &y->layer);
  for (size_t i = 0; i < y->nfirst; i++) check_glob(e, w, &y->first[i]);
}

void stage_patterns(Elab *e) {
  if (!e->opt->stage || !e->m->stage.n) return;
  const Stage *s = &e->m->stage.at[0];
  Names w = weights_of(e, s);
  bool any = false;
  for (size_t i = 0; i < s->pattern.n; i++)
    if (s->pattern.at[i].kind != PATTERN_adapt)
      check_glob(e, &w, &(StageGlob){s->pattern.at[i].glob, s->pattern.at[i].span});
  for (size_t i = 0; i < s->group.n; i++)
    for (size_t k = 0; k < s->group.at[i].nglob; k++) check_glob(e, &w, &s->group.at[i].glob[k]);
  check_layers(e, &w, &s->layers);
  for (size_t i = 0; i < w.at.n && !any; i++)
    any = e->adapts || stage_trains(s, w.at.at[i]); // what adapters there are adapt_check says
  if (!any) elab_error(e, "E0142", s->span, "the stage '%s' trains no weight", s->name);
}
