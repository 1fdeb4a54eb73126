// list.c: what a file offers (models, parameters, routes, presets) with its comments, read from the tree without
// elaboration; and the tree as text.
//
//   # class scores                       <- FrontRoute.about
//   route classify(image: ...) -> logits
//   model vit(size = 224,                # pixels per side     <- FrontParam.about
//
// Invariant: all texts are copies in the arena; absent ones are "".
#include "elab.h"
#include "parse.h"

#include <string.h>

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

// The comment lines directly above offset `at`, joined by blanks.
const char *front_comment_above(Arena *a, const char *text, uint32_t at) {
  uint32_t start = at, lines[32];
  size_t n = 0;
  while (start > 0 && text[start - 1] != '\n') start--;
  while (start > 0 && n < 32) {
    uint32_t end = start - 1, s = end;
    while (s > 0 && text[s - 1] != '\n') s--;
    uint32_t c = s;
    while (c < end && is_blank(text[c])) c++;
    if (c == end || text[c] != '#') break;
    lines[n++] = c;
    start = s;
  }
  Buf b = {0};
  while (n-- > 0) {
    uint32_t c = lines[n] + 1;
    while (is_blank(text[c])) c++;
    if (b.n) buf_putc(&b, ' ');
    buf_putn(&b, text + c, strcspn(text + c, "\r\n"));
  }
  const char *s = arena_strdup(a, b.s ? b.s : "");
  buf_free(&b);
  return s;
}

// The comment behind offset `at` on the same line, if only punctuation stands between.
static const char *comment_behind(Arena *a, const char *text, uint32_t at) {
  while (is_blank(text[at]) || text[at] == ',' || text[at] == ')' || text[at] == '{') at++;
  if (text[at] != '#') return "";
  at++;
  while (is_blank(text[at])) at++;
  return arena_strndup(a, text + at, strcspn(text + at, "\r\n"));
}

typedef struct Lister {
  Arena *a;
  const char *text;
} Lister;

static const char *slice(const Lister *l, uint32_t lo, uint32_t hi) {
  return arena_strndup(l->a, l->text + lo, hi - lo);
}

static FrontParam param_of(const Lister *l, const Node *n) {
  const Node *value = n->a ? n->a : n->type;
  return (FrontParam){.name = n->name ? n->name : "",
                      .text = value ? slice(l, value->span.lo, value->span.hi) : "",
                      .about = comment_behind(l->a, l->text, n->span.hi)};
}

static const FrontParam *params_of(const Lister *l, const NodeList *list) {
  FrontParam *p = ARENA_ARRAY(l->a, FrontParam, list->n + 1);
  for (size_t i = 0; i < list->n; i++) p[i] = param_of(l, list->at[i]);
  return p;
}

static FrontModel model_of(const Lister *l, const Node *n) {
  VEC(FrontRoute) route = {0}, objective = {0};
  VEC(FrontParam) dim = {0};
  for (size_t i = 0; i < n->a->list.n; i++) {
    const Node *s = n->a->list.at[i];
    if (s->kind == N_dim) {
      FrontParam d = {.name = s->name,
                      .text = slice(l, s->a->span.lo, s->b->span.hi),
                      .about = comment_behind(l->a, l->text, s->span.hi)};
      VEC_PUSH(l->a, dim, d);
    }
    if (s->kind != N_route && s->kind != N_objective) continue;
    FrontRoute r = {.name = s->name,
                    .about = front_comment_above(l->a, l->text, s->span.lo),
                    .input = params_of(l, &s->list),
                    .output = params_of(l, &s->list2),
                    .ninput = s->list.n,
                    .noutput = s->list2.n};
    if (s->kind == N_route)
      VEC_PUSH(l->a, route, r);
    else
      VEC_PUSH(l->a, objective, r);
  }
  return (FrontModel){.name = n->name,
                      .about = front_comment_above(l->a, l->text, n->span.lo),
                      .param = params_of(l, &n->list),
                      .nparam = n->list.n,
                      .dim = dim.at,
                      .ndim = dim.n,
                      .route = route.at,
                      .nroute = route.n,
                      .objective = objective.at,
                      .nobjective = objective.n};
}

static FrontPreset preset_of(const Lister *l, const Node *n) {
  const Node *call = n->a;
  const char *args = "";
  if (call->list.n) args = slice(l, call->list.at[0]->span.lo, call->list.at[call->list.n - 1]->span.hi);
  const char *about = comment_behind(l->a, l->text, n->span.hi);
  return (FrontPreset){.name = n->name, .model = call->name ? call->name : "", .args = args, .about = about};
}

const FrontListing *front_list(Arena *a, Intern *names, Diag *diag, const char *path, const char *text, size_t n) {
  size_t before = diag->errors;
  uint32_t file = diag_add_file(diag, path, text, n);
  const Node *tree = parse_file(a, names, diag, file);
  if (diag->errors != before) return NULL;
  Lister l = {a, diag->files.at[file - 1].text};
  VEC(FrontModel) model = {0};
  VEC(FrontPreset) preset = {0};
  VEC(const char *) use = {0};
  for (size_t i = 0; i < tree->list.n; i++) {
    const Node *d = tree->list.at[i];
    if (d->kind == N_model) VEC_PUSH(a, model, model_of(&l, d));
    if (d->kind == N_preset) VEC_PUSH(a, preset, preset_of(&l, d));
    if (d->kind == N_use) VEC_PUSH(a, use, d->name);
  }
  FrontListing *out = ARENA_NEW(a, FrontListing);
  *out = (FrontListing){model.at, model.n, preset.at, preset.n, use.at, use.n};
  return out;
}

bool front_dump_ast(Arena *a, Intern *names, Diag *diag, const char *path, const char *text, size_t n, Buf *out) {
  size_t before = diag->errors;
  const Node *tree = parse_file(a, names, diag, diag_add_file(diag, path, text, n));
  if (diag->errors != before) return false;
  ast_print(out, tree, 0);
  return true;
}
