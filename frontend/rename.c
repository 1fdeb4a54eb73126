// rename.c: `rename NAME { "ours" = "theirs" ... }`: under which other names a page's weights may be found.
//
//   rename huggingface {
//     "conv_proj.{p}" = "vit.embeddings.patch_embeddings.projection.{p}"
//     "blocks.{i}.qkv.{p}" = concat("layer.{i}.query.{p}", "layer.{i}.key.{p}", "layer.{i}.value.{p}")
//   }
//
// A set may also say what a file with these names was trained with: rename huggingface(eps = 1e-12) { prepare .. } sets
// parameters and preparations of the model (facts.c). Nothing is renamed here: the rules go into the Module, and the
// driver applies them to a checkpoint.
#include "elab.h"
#include "ir/rename.h"

#include <string.h>

enum { MAX_RULES = 1000 };

static void check_pattern(Elab *e, const Node *rule, const Node *theirs) {
  bool zero = strlen(rule->text) != rule->ntext || strlen(theirs->text) != theirs->ntext;
  const char *wrong = zero ? "a name has a zero byte" : rename_problem(e->arena, rule->text, theirs->text);
  if (wrong) elab_error(e, "E0134", theirs->span, "%s", wrong);
}

// The way a call names, checked; NULL after an error.
static const char *way_of(Elab *e, const Node *call) {
  size_t least, most;
  if (rename_way(call->name, &least, &most)) {
    if (call->list.n >= least && call->list.n <= most) return call->name;
    elab_error(e, "E0134", call->span, "%s takes %zu%s name%s, not %zu", call->name, least,
               most > least ? " or more" : "", most > 1 ? "s" : "", call->list.n);
    return NULL;
  }
  Diagnostic *g = elab_error(e, "E0134", call->name_span, "'%s' is no way to make a weight from others", call->name);
  diag_hint(e->diag, g, "the ways are concat(\"a\", \"b\") and transposed(\"a\")");
  return NULL;
}

static void add_rule(Elab *e, const char *set, const Node *rule) {
  bool call = rule->a->kind == N_call;
  const char *how = call ? way_of(e, rule->a) : "";
  size_t n = call ? rule->a->list.n : 1;
  if (!how) return;
  if (e->m->rename.n == MAX_RULES) {
    elab_error(e, "E0134", rule->span, "more than %d rules", MAX_RULES);
    return;
  }
  const char **theirs = ARENA_ARRAY(e->arena, const char *, n);
  for (size_t i = 0; i < n; i++) {
    const Node *arg = call ? rule->a->list.at[i] : NULL, *name = call ? arg->a : rule->a;
    if (name->kind == N_ident || (arg && arg->kind != N_arg) || name->kind != N_string || (arg && arg->name)) {
      elab_error(e, "E0134", arg ? arg->span : name->span, "a rule is made of names in quotes");
      return;
    }
    check_pattern(e, rule, name);
    theirs[i] = name->text;
  }
  Rename r = {.set = set, .ours = rule->text, .how = how, .theirs = theirs, .n = n};
  VEC_PUSH(e->arena, e->m->rename, r);
}

void rename_add(Elab *e, const Node *n) {
  size_t rules = 0;
  for (size_t i = 0; i < n->list.n; i++) {
    if (n->list.at[i]->kind != N_rule) continue;
    add_rule(e, n->name, n->list.at[i]);
    rules++;
  }
  if (!rules) elab_error(e, "E0134", n->span, "the rename '%s' has no rules", n->name);
}
