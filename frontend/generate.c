// generate.c: a `generate`: a sequence of words that the compiled program continues word by word.
//
//   generate caption(image: f32[B, 3, size, size], prompt: i32[B, S]) {
//     words text: i32[B, L] = next_word(start = prompt, end = 102, pad = 0, beams = 3, longest = 20, shortest = 5)
//     return decode(text, see(image))             # scores of the words, f32[B, L, vocab]
//   }
//
// The body is written for whole sequences, like a route; the pass `cache` derives from it what the first call computes
// and what a further word costs. `start` is an input (the prompt) or an id. The rule and its options (ir/generate.def)
// are recorded in the module as a Generate; the words and the scores are ports of the roles `words` and `scores`.
#include "elab.h"

#include <string.h>

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

static void hint_options(Elab *e, Diagnostic *g, GenerateRule rule) {
  Buf b = {0};
  for (size_t i = 0; i < search_option_count; i++)
    if (search_option[i].rules >> rule & 1) buf_printf(&b, "%s%s", b.n ? " " : "", search_option[i].name);
  diag_hint(e->diag, g, "its options are %s", b.s);
  buf_free(&b);
}

// A number of the page: an id may stand in a list, [102]. False after reporting.
static bool option_number(Elab *e, Env *env, const Node *n, const SearchOption *o, double *out) {
  const Node *at = n;
  if (o->kind == OPTION_ID && n->kind == N_list && n->list.n == 1) at = n->list.at[0];
  if (at->kind == N_arg) at = at->a;
  if (at->kind == N_if && !(at = prepare_branch(e, env, at))) return false;
  CtVal v = at->kind == N_list ? (CtVal){.kind = CV_STR} : eval(e, env, at);
  if (v.kind == CV_ERROR) return false;
  bool whole = v.kind == CV_INT && !v.d.k;
  *out = whole ? (double)v.d.c : v.f;
  if ((whole && *out <= INT32_MAX) || (v.kind == CV_REAL && o->kind == OPTION_REAL))
    if (*out >= o->least) return true;
  static const char *const what[] = {"the id of a word", "a whole number", "a number"};
  elab_error(e, "E0132", n->span, o->least > 0 ? "'%s' is %s, at least %g" : "'%s' is %s", o->name, what[o->kind],
             o->least);
  return false;
}

static bool take_options(Elab *e, Env *env, const Node *n, Generate *x) {
  const NodeList *list = &words_of(n)->a->list;
  x->prompt = generate_prompt(n);
  for (size_t i = 0; i < list->n; i++) {
    const Node *a = list->at[i];
    size_t k = 0;
    double value;
    while (k < search_option_count && a->name && strcmp(search_option[k].name, a->name) != 0) k++;
    if (a->kind != N_arg || !a->name || k == search_option_count || !(search_option[k].rules >> x->rule & 1)) {
      hint_options(e, elab_error(e, "E0132", a->span, "%s has no such option", rule_info[x->rule].name), x->rule);
      return false;
    }
    if (a->a->kind == N_ident && a->a->name == x->prompt) continue;
    if (!option_number(e, env, a->a, &search_option[k], &value)) return false;
    search_set(&x->option, k, value);
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
  Generate x = {n->name, n->name_span, rule_by_name(w->a->name), e->g, NULL, NULL, search_defaults()};
  if (x.rule == RULE_COUNT) {
    Diagnostic *g = elab_error(e, "E0132", w->a->name_span, "there is no rule '%s'", w->a->name);
    diag_hint(e->diag, g, "the rules are next_word and masked_word");
    return false;
  }
  if (dim_bound(e->m, t.dim[1]) < rule_info[x.rule].width) {
    elab_error(e, "E0132", w->type->span, "%s needs sentences of at least %lld words, '%s' ends at %lld", w->a->name,
               (long long)rule_info[x.rule].width, e->m->dim[t.dim[1].sym].name, (long long)dim_bound(e->m, t.dim[1]));
    return false;
  }
  for (size_t i = 0; i < search_option_count; i++)
    if (search_option[i].needed && (search_option[i].rules >> x.rule & 1) && !option(n, search_option[i].name)) {
      elab_error(e, "E0132", w->a->span, "%s needs '%s'", w->a->name, search_option[i].name);
      return false;
    }
  if (!take_options(e, env, n, &x)) return false;
  VEC_PUSH(e->arena, e->m->generate, x);
  Val v = graph_input(e->g, w->name, &t, w->span);
  if (!v.id) return false;
  graph_input_port(e->g, v)->role = ROLE_words;
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
    e->g->output.at[e->g->output.n - 1].role = ROLE_scores;
    return;
  }
  Diagnostic *g = elab_error(e, "E0132", n->name_span, "'%s' must return the scores of its words, not %s", n->name,
                             kind_text(e, v));
  diag_hint(e->diag, g, "f32[B, L, vocab]: a row of scores for each word");
}
