// precision.c: `precision NAME { "encoder.*" = int8 ... }`: in how many bits, by the paths of weights (ir/precision.h).
//
// A page may have several sets; which one is in force is for the options to say, so a set is checked here and kept by
// name. A file of its own has the lines without the braces, and is read by the same grammar.
#include "elab.h"
#include "ir/precision.h"
#include "parse.h"

#include <string.h>

typedef struct Reader {
  Arena *a;
  Diag *diag;
  PrecisionSet *set;
} Reader;

static const Precision *read_precision(Reader *r, const Node *is) {
  bool name = is->kind == N_ident;
  const Precision *p = name ? precision_by_name(is->name) : NULL;
  if (p) return p;
  const char *known = precision_names(r->a), *near = name ? precision_near(is->name) : NULL;
  if (!name) {
    Diagnostic *g =
        diag_error(r->diag, "E0145", is->span, "a rule of a precision says the name of one, without quotes");
    diag_hint(r->diag, g, "there are %s", known);
    return NULL;
  }
  Diagnostic *g = diag_error(r->diag, "E0145", is->span, "there is no precision '%s'", is->name);
  if (near)
    diag_hint(r->diag, g, "did you mean '%s'? There are %s", near, known);
  else
    diag_hint(r->diag, g, "there are %s", known);
  return NULL;
}

static void read_rule(Reader *r, const Node *n) {
  if (n->kind != N_rule) {
    diag_error(r->diag, "E0145", n->span, "a precision has rules alone: \"encoder.*\" = int8");
    return;
  }
  bool zero = strlen(n->text) != n->ntext;
  const char *wrong = zero ? "a pattern has a zero byte" : precision_problem(r->a, n->text);
  if (wrong) diag_error(r->diag, "E0145", n->span, "%s", wrong);
  const Precision *is = read_precision(r, n->a);
  if (wrong || !is) return;
  for (size_t i = 0; i < r->set->rule.n; i++) {
    if (strcmp(r->set->rule.at[i].pattern, n->text) != 0) continue;
    Diagnostic *g =
        diag_error(r->diag, "E0145", n->span, "two rules for \"%s\", of which the first would count", n->text);
    diag_note(r->diag, g, r->set->rule.at[i].span, "the first one");
    return;
  }
  PrecisionRule rule = {.pattern = n->text, .is = is, .span = n->span};
  VEC_PUSH(r->a, r->set->rule, rule);
}

static PrecisionSet *read_set(Arena *a, Diag *diag, const Node *n, const char *name) {
  Reader r = {a, diag, ARENA_NEW(a, PrecisionSet)};
  size_t before = diag->errors;
  *r.set = (PrecisionSet){.name = name, .span = n->span};
  if (n->list.n > PRECISION_MOST_RULES) {
    diag_error(diag, "E0145", n->span, "%zu rules; a precision has at most %d", n->list.n, PRECISION_MOST_RULES);
    return NULL;
  }
  for (size_t i = 0; i < n->list.n && !diag_full(diag); i++) read_rule(&r, n->list.at[i]);
  if (!n->list.n) {
    Diagnostic *g = diag_error(diag, "E0145", n->span, "the precision '%s' has no rules", name);
    diag_hint(diag, g, "a rule is a line: \"encoder.*\" = int8");
  }
  return diag->errors == before ? r.set : NULL;
}

void precision_add(Elab *e, const Node *n, bool own) {
  if (precision_by_name(n->name)) {
    elab_error(e, "E0145", n->name_span, "'%s' is a precision that there is already; a set has a name of its own",
               n->name);
    return;
  }
  PrecisionSet *s = read_set(e->arena, e->diag, n, n->name);
  if (!s) return;
  s->own = own;
  VEC_PUSH(e->arena, e->m->precisions, s);
}

PrecisionSet *front_precision(Arena *a, Intern *names, Diag *diag, const char *path, const char *text, size_t n,
                              const char *name) {
  size_t before = diag->errors;
  const Node *tree = parse_rules(a, names, diag, diag_add_file(diag, path, text, n));
  if (diag->errors != before) return NULL;
  return read_set(a, diag, tree, name);
}
