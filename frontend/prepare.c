// prepare.c: `prepare NAME: KIND(option = value, ...)`: how the command line of a compiled program fills an input or
// shows an output. Recorded in the module as canonical text; the host library reads it.
//
//   prepare image: picture(resize = shorter(256), crop = 224, filter = bilinear, mean = [0.485, 0.456, 0.406], ...)
//     kind "picture", options "resize=shorter(256), crop=224, filter=bilinear, mean=[0.485, 0.456, 0.406], ..."
//
// Option values: numbers, truth values, strings, lists, words of the option (bilinear), word(number), and an `if`
// between such. A preset and a set of names (rename) may have prepares of their own: their options replace those of the
// model.
#include "elab.h"

#include <stdlib.h>
#include <string.h>

static const struct {
  const char *kind, *options; // names each with a blank before and behind
} kinds[] = {
    {"picture", " rgb resize crop filter mean std "},
    {"patches", " of patch "},
    {"clip_bpe", " start end length pad of vocab "},
    {"bert_wordpiece", " start end length pad default of vocab lower "},
    {"sentencepiece", " start end length pad default shown of vocab xlmr clean "},
    {"labels", " softmax top "},
    {"similarity", " softmax sigmoid top "},
    {"choices", " share top "},
};
static const char *const words =
    " shorter square shorter_capped lanczos bicubic bilinear nearest first last labels nothing lower canonical ";

static void hint_words(Elab *e, Diagnostic *g, const char *what, const char *list) {
  diag_hint(e->diag, g, "%s%.*s", what, (int)strlen(list) - 1, list);
}

void put_real(Buf *out, double x) {
  char s[40];
  for (int digits = 6; digits <= 17; digits++) {
    snprintf(s, sizeof s, "%.*g", digits, x);
    if (strtod(s, NULL) == x) break;
  }
  buf_puts(out, s);
}

static bool put_list(Elab *e, Env *env, const NodeList *l, Buf *out, char open, char close) {
  buf_putc(out, open);
  for (size_t i = 0; i < l->n; i++) {
    if (i) buf_puts(out, ", ");
    const Node *n = l->at[i];
    if (!prepare_value(e, env, n->kind == N_arg ? n->a : n, out)) return false;
  }
  buf_putc(out, close);
  return true;
}

const Node *prepare_branch(Elab *e, Env *env, const Node *n) {
  bool take;
  while (n->kind == N_if) {
    if (!want_bool(e, eval(e, env, n->a), n->a->span, "the condition of 'if'", &take)) return NULL;
    const Node *body = take ? n->b : n->c;
    if (body && body->kind == N_body && body->list.n == 1 && body->list.at[0]->kind == N_expr_stmt)
      body = body->list.at[0]->a;
    else if (!body || body->kind != N_if) {
      elab_error(e, "E0121", n->span, "an 'if' of an option has one value in each branch");
      return NULL;
    }
    n = body;
  }
  return n;
}

bool prepare_value(Elab *e, Env *env, const Node *n, Buf *out) {
  if (n->kind == N_if && !(n = prepare_branch(e, env, n))) return false;
  if ((n->kind == N_ident && !env_find(env, n->name)) || n->kind == N_call) {
    bool call = n->kind == N_call;
    if (!word_in(words, n->name) && !(call && builtin_exists(n->name))) {
      Diagnostic *g = elab_error(e, "E0121", n->span, "'%s' is no word of an option", n->name);
      hint_words(e, g, "the words are", words);
      return false;
    }
    if (word_in(words, n->name)) {
      buf_puts(out, n->name);
      return !call || put_list(e, env, &n->list, out, '(', ')');
    }
  }
  if (n->kind == N_list) return put_list(e, env, &n->list, out, '[', ']');
  CtVal v = eval(e, env, n);
  switch (v.kind) {
  case CV_ERROR: return false;
  case CV_BOOL: buf_puts(out, v.b ? "true" : "false"); return true;
  case CV_REAL: put_real(out, v.f); return true;
  case CV_STR: buf_printf(out, "\"%s\"", v.s); return true;
  case CV_INT:
    if (v.d.k) break;
    buf_printf(out, "%lld", (long long)v.d.c);
    return true;
  default: break;
  }
  elab_error(e, "E0121", n->span, "an option cannot be %s", kind_text(e, v));
  return false;
}

bool find_port(const Node *model, const char *name, const char **best) {
  size_t dist = 0;
  for (size_t i = 0; i < model->a->list.n; i++) {
    const Node *r = model->a->list.at[i];
    if (r->kind != N_route && r->kind != N_generate && r->kind != N_objective) continue;
    for (int side = 0; side < 2; side++) {
      const NodeList *l = side ? &r->list2 : &r->list;
      for (size_t k = 0; k < l->n; k++) {
        if (!l->at[k]->name) continue;
        if (l->at[k]->name == name) return true;
        near_name(name, l->at[k]->name, best, &dist);
      }
    }
  }
  return false;
}

static bool port_of_file(const Elab *e, const char *name) {
  const char *best = NULL;
  for (size_t i = 0; i < e->main->tree->list.n; i++) {
    const Node *d = e->main->tree->list.at[i];
    if (d->kind == N_model && d->a->kind == N_body && find_port(d, name, &best)) return true;
  }
  return false;
}

static bool is_port(Elab *e, const Node *n, const Node *model) {
  const char *best = NULL;
  if (find_port(model, n->name, &best)) return true;
  hint_near(e, elab_error(e, "E0121", n->name_span, "no route has an input or output '%s'", n->name), best);
  return false;
}

static const char *known_options(Elab *e, const Node *call) {
  const char *best = NULL;
  size_t dist = 0;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (strcmp(kinds[i].kind, call->name) == 0) return kinds[i].options;
    near_name(call->name, kinds[i].kind, &best, &dist);
  }
  Diagnostic *g = elab_error(e, "E0121", call->name_span, "there is no preparation '%s'", call->name);
  if (best) {
    hint_near(e, g, best);
    return NULL;
  }
  Buf all = {0};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) buf_printf(&all, "%s%s", i ? ", " : "", kinds[i].kind);
  diag_hint(e->diag, g, "there are %s", all.s);
  buf_free(&all);
  return NULL;
}

/* several layers: the model's preparations, changed option by option
 * ---------------------------------------------------------------------------------- */
typedef struct Option {
  const char *name, *value;
} Option;
typedef struct Layered {
  const char *name, *kind;
  VEC(Option) option;
} Layered;
typedef VEC(Layered) LayeredList;

static void set_option(Elab *e, Layered *p, const char *name, const char *value) {
  for (size_t i = 0; i < p->option.n; i++)
    if (!strcmp(p->option.at[i].name, name)) {
      p->option.at[i].value = value;
      return;
    }
  Option o = {name, value};
  VEC_PUSH(e->arena, p->option, o);
}

// Puts the options of one line over what is there. Another kind starts anew.
static bool layer(Elab *e, const Node *n, Layered *p) {
  const char *known = n->a->kind == N_call ? known_options(e, n->a) : NULL;
  if (!known) return false;
  if (!p->kind || strcmp(p->kind, n->a->name) != 0) *p = (Layered){.name = n->name, .kind = n->a->name};
  for (size_t i = 0; i < n->a->list.n; i++) {
    const Node *a = n->a->list.at[i];
    if (a->kind != N_arg || !a->name || !word_in(known, a->name)) {
      hint_words(e, elab_error(e, "E0121", a->span, "%s has no such option", n->a->name), "its options are", known);
      return false;
    }
    Buf value = {0};
    bool ok = prepare_value(e, e->model_env, a->a, &value);
    if (ok) set_option(e, p, a->name, arena_strdup(e->arena, value.s ? value.s : ""));
    buf_free(&value);
    if (!ok) return false;
  }
  return true;
}

// The prepares of a list of statements. `elsewhere`: an input that another model of the file has is passed over.
static bool layer_all(Elab *e, const NodeList *lines, const Node *model, bool elsewhere, LayeredList *out) {
  for (size_t i = 0; i < lines->n; i++) {
    const Node *n = lines->at[i];
    const char *best = NULL;
    if (n->kind != N_prepare) continue;
    for (size_t k = 0; k < i; k++)
      if (lines->at[k]->kind == N_prepare && same_name(e, n, lines->at[k])) return false;
    if (elsewhere && !find_port(model, n->name, &best) && port_of_file(e, n->name)) continue;
    if (!is_port(e, n, model)) return false;
    Layered *p = NULL;
    for (size_t k = 0; k < out->n && !p; k++)
      if (out->at[k].name == n->name) p = &out->at[k];
    if (!p) {
      VEC_PUSH(e->arena, *out, (Layered){.name = n->name});
      p = &out->at[out->n - 1];
    }
    if (!layer(e, n, p)) return false;
  }
  return true;
}

void prepare_model(Elab *e, const Node *model, const Node *preset, const Node *set) {
  LayeredList all = {0};
  bool under = preset_is_under(preset, set);
  if (!layer_all(e, &model->a->list, model, false, &all) || (under && !layer_all(e, &set->list, model, true, &all)) ||
      (preset && preset->b && !layer_all(e, &preset->b->list, model, false, &all)) ||
      (set && !under && !layer_all(e, &set->list, model, true, &all)))
    return;
  for (size_t i = 0; i < all.n; i++) {
    Buf out = {0};
    for (size_t k = 0; k < all.at[i].option.n; k++)
      buf_printf(&out, "%s%s=%s", k ? ", " : "", all.at[i].option.at[k].name, all.at[i].option.at[k].value);
    Prepare p = {all.at[i].name, all.at[i].kind, arena_strdup(e->arena, out.s ? out.s : "")};
    VEC_PUSH(e->arena, e->m->prepare, p);
    buf_free(&out);
  }
}
