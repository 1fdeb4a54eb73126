// generate.c: a `generate`: a sequence of words that the compiled program continues word by word.
//
//   generate caption(image: f32[B, 3, size, size], prompt: i32[B, S]) {
//     words text: i32[B, L] = next_word(start = prompt, end = 102, pad = 0, beams = 3, longest = 20, shortest = 5)
//     return decode(text, see(image))             # scores of the words, f32[B, L, vocab]
//   }
//
// The body is written for whole sequences, like a route; the pass `cache` derives from it what the first call computes
// and what a further word costs. `start` is an input (the prompt) or a list of ids. The rule and its options are
// recorded in the module as a Prepare of the generate's name: kind "next_word", options "words=text, prompt=prompt,
// ...".
#include "elab.h"

#include <string.h>

static const struct {
  const char *kind, *options; // names each with a blank before and behind; the first `required` must be given
  const char *required;
  int64_t width; // words of a step
} rules[] = {
    // the scores of the last word choose the next one (Hugging Face's search)
    {"next_word", " start end pad beams longest shortest length_penalty repetition_penalty ", " start end pad ", 1},
    // a mask word stands behind the last word; its scores choose the word that replaces it (BEiT-3)
    {"masked_word", " start mask end pad beams longest length_penalty ", " start mask end pad ", 2},
};

static const Node *words_of(const Node *n) {
  return n->a && n->a->kind == N_body && n->a->list.n && n->a->list.at[0]->kind == N_words ? n->a->list.at[0] : NULL;
}

bool generate_check(Elab *e, const Node *n) {
  if (words_of(n)) return true;
  Diagnostic *g = elab_error(e, "E0132", n->name_span, "'%s' does not say which words it continues", n->name);
  diag_hint(e->diag, g, "begin its body with: words text: i32[B, L] = next_word(start = [1], end = 2, pad = 0)");
  return false;
}

static const Node *option(const Node *n, const char *name) {
  const NodeList *l = &words_of(n)->a->list;
  for (size_t i = 0; i < l->n; i++)
    if (l->at[i]->kind == N_arg && l->at[i]->name && !strcmp(l->at[i]->name, name)) return l->at[i];
  return NULL;
}

const char *generate_prompt(const Node *n) {
  const Node *start = option(n, "start");
  for (size_t i = 0; start && start->a->kind == N_ident && i < n->list.n; i++)
    if (n->list.at[i]->name == start->a->name) return start->a->name;
  return NULL;
}

// i32[B, L] with run-time dims of their own: the sequences and their length.
static bool is_words_type(const Type *t) {
  const Dim *l = &t->dim[1];
  return t->dtype == DT_I32 && t->rank == 2 && !t->nseg && l->k == 1 && l->c == 0 && l->sym >= 0 &&
         (t->dim[0].k == 0 || t->dim[0].sym != l->sym);
}

static bool put_options(Elab *e, Env *env, const Node *n, const char *known, Buf *out) {
  const Node *w = words_of(n);
  const char *prompt = generate_prompt(n);
  buf_printf(out, "words=%s", w->name);
  for (size_t i = 0; i < w->a->list.n; i++) {
    const Node *a = w->a->list.at[i];
    if (a->kind != N_arg || !a->name || !word_in(known, a->name)) {
      Diagnostic *g = elab_error(e, "E0132", a->span, "%s has no such option", w->a->name);
      diag_hint(e->diag, g, "its options are%.*s", (int)strlen(known) - 1, known);
      return false;
    }
    bool is_prompt = prompt && !strcmp(a->name, "start");
    buf_printf(out, ", %s=", is_prompt ? "prompt" : a->name);
    if (is_prompt)
      buf_puts(out, prompt);
    else if (!prepare_value(e, env, a->a, out))
      return false;
  }
  return true;
}

bool generate_words(Elab *e, Env *env, const Node *n) {
  const Node *w = words_of(n);
  Type t;
  DimNames names;
  if (!eval_type(e, env, w->type, &t, &names)) return false;
  if (!is_words_type(&t)) {
    elab_error(e, "E0132", w->type->span, "words are i32[B, L] with L a run-time dim of its own, this is %s",
               type_text(e, &t, &names));
    return false;
  }
  size_t r = 0, nrule = sizeof rules / sizeof *rules;
  while (r < nrule && strcmp(rules[r].kind, w->a->name) != 0) r++;
  if (r == nrule) {
    Diagnostic *g = elab_error(e, "E0132", w->a->name_span, "there is no rule '%s'", w->a->name);
    diag_hint(e->diag, g, "the rules are next_word and masked_word");
    return false;
  }
  if (dim_bound(e->m, t.dim[1]) < rules[r].width) {
    elab_error(e, "E0132", w->type->span, "%s needs sentences of at least %lld words, '%s' ends at %lld", w->a->name,
               (long long)rules[r].width, e->m->dim[t.dim[1].sym].name, (long long)dim_bound(e->m, t.dim[1]));
    return false;
  }
  static const char *const needed[] = {"start", "mask", "end", "pad"};
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
    if (word_in(rules[r].required, needed[i]) && !option(n, needed[i])) {
      elab_error(e, "E0132", w->a->span, "%s needs '%s'", w->a->name, needed[i]);
      return false;
    }
  Buf out = {0};
  bool ok = put_options(e, env, n, rules[r].options, &out);
  if (ok) {
    Prepare p = {n->name, rules[r].kind, arena_strdup(e->arena, out.s)};
    VEC_PUSH(e->arena, e->m->prepare, p);
  }
  buf_free(&out);
  if (!ok) return false;
  Val v = graph_input(e->g, w->name, &t, w->span);
  if (!v.id) return false;
  *val_names(e, v) = names;
  env_set(e, env, w->name, ct_tensor(v), w->name_span);
  return true;
}

void generate_scores(Elab *e, const Node *n, CtVal v) {
  if (v.kind == CV_ERROR) return;
  const Type *words = val_type(e, e->g->input.at[e->g->input.n - 1].val);
  const Type *t = v.kind == CV_TENSOR ? val_type(e, v.v) : NULL;
  bool fits = t && t->dtype == DT_F32 && t->rank == 3 && dim_is_const(t->dim[2]) &&
              dim_equal(t->dim[0], words->dim[0]) && dim_equal(t->dim[1], words->dim[1]);
  if (fits) {
    graph_output(e->g, "scores", v.v, n->name_span);
    return;
  }
  Diagnostic *g = elab_error(e, "E0132", n->name_span, "'%s' must return the scores of its words, not %s", n->name,
                             kind_text(e, v));
  diag_hint(e->diag, g, "f32[B, L, vocab]: a row of scores for each word");
}
