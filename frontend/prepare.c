// prepare.c: `prepare NAME: KIND(option = value, ...)`: how the command line of a compiled program fills an input or
// shows an output. Recorded in the module as canonical text; the host library reads it.
//
//   prepare image: picture(resize = shorter(256), crop = 224, filter = bilinear, mean = [0.485, 0.456, 0.406], ...)
//     kind "picture", options "resize=shorter(256), crop=224, filter=bilinear, mean=[0.485, 0.456, 0.406], ..."
//
// Option values: numbers, truth values, strings, lists, words of the option (bilinear), and word(number).
#include "elab.h"

#include <stdlib.h>
#include <string.h>

static const struct {
  const char *kind, *options; // names each with a blank before and behind
} kinds[] = {
    {"picture", " rgb resize crop filter mean std "},
    {"patches", " of patch "},
    {"clip_bpe", " start end length pad of "},
    {"bert_wordpiece", " start end length pad default of "},
    {"sentencepiece", " start end length pad default of "},
    {"labels", " softmax top "},
    {"similarity", " softmax top "},
    {"choices", " share top "},
};
static const char *const words = " shorter square shorter_capped bicubic bilinear nearest first last labels ";

static bool has_word(const char *list, const char *word) {
  size_t n = strlen(word);
  for (const char *s = strstr(list, word); s; s = strstr(s + 1, word))
    if (n && s[-1] == ' ' && s[n] == ' ') return true;
  return false;
}

static void hint_words(Elab *e, Diagnostic *g, const char *what, const char *list) {
  diag_hint(e->diag, g, "%s%.*s", what, (int)strlen(list) - 1, list);
}

static void put_real(Buf *out, double x) { // the shortest text that reads back as x
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

bool prepare_value(Elab *e, Env *env, const Node *n, Buf *out) {
  if ((n->kind == N_ident && !env_find(env, n->name)) || n->kind == N_call) {
    bool call = n->kind == N_call;
    if (!has_word(words, n->name) && !(call && builtin_exists(n->name))) {
      Diagnostic *g = elab_error(e, "E0121", n->span, "'%s' is no word of an option", n->name);
      hint_words(e, g, "the words are", words);
      return false;
    }
    if (has_word(words, n->name)) {
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

// Is `name` an input or output of some route of the model?
static bool is_port(Elab *e, const Node *n, const Node *model) {
  const char *best = NULL;
  size_t dist = 0;
  for (size_t i = 0; i < model->a->list.n; i++) {
    const Node *r = model->a->list.at[i];
    if (r->kind != N_route && r->kind != N_generate) continue;
    for (int side = 0; side < 2; side++) {
      const NodeList *l = side ? &r->list2 : &r->list;
      for (size_t k = 0; k < l->n; k++) {
        if (!l->at[k]->name) continue;
        if (l->at[k]->name == n->name) return true;
        near_name(n->name, l->at[k]->name, &best, &dist);
      }
    }
  }
  hint_near(e, elab_error(e, "E0121", n->name_span, "no route has an input or output '%s'", n->name), best);
  return false;
}

void prepare_add(Elab *e, Env *env, const Node *n, const Node *model) {
  const char *known = NULL, *best = NULL;
  size_t dist = 0;
  if (n->a->kind != N_call || !is_port(e, n, model)) return;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (strcmp(kinds[i].kind, n->a->name) == 0) known = kinds[i].options;
    near_name(n->a->name, kinds[i].kind, &best, &dist);
  }
  if (!known) {
    Diagnostic *g = elab_error(e, "E0121", n->a->name_span, "there is no preparation '%s'", n->a->name);
    if (best)
      hint_near(e, g, best);
    else
      diag_hint(e->diag, g,
                "there are picture, patches, clip_bpe, bert_wordpiece, sentencepiece, labels, similarity, choices");
    return;
  }
  Buf out = {0};
  bool ok = true;
  for (size_t i = 0; i < n->a->list.n && ok; i++) {
    const Node *a = n->a->list.at[i];
    ok = a->kind == N_arg && a->name && has_word(known, a->name);
    if (!ok) {
      hint_words(e, elab_error(e, "E0121", a->span, "%s has no such option", n->a->name), "its options are", known);
      break;
    }
    buf_printf(&out, "%s%s=", i ? ", " : "", a->name);
    ok = prepare_value(e, env, a->a, &out);
  }
  if (ok) {
    Prepare p = {n->name, n->a->name, arena_strdup(e->arena, out.s ? out.s : "")};
    VEC_PUSH(e->arena, e->m->prepare, p);
  }
  buf_free(&out);
}
