// emit_model_names.c: the names of a C module, and the small printers its other files share.
//
// A page cannot reach our names. What is ours alone begins with the prefix and two _ (vit__launch, VIT__MAX_ARGS), and
// no name of a page begins with _ behind the prefix. What the header declares is one set: its fixed names are read off
// its text, and a name of the page takes its place there only if all that is made of it is free; else it gets a _ or a
// number. Parameters are neither keywords nor macros (c_words.c) nor names of the header.
//
//   route "vqa", input "class"  ->  vit_vqa(vit_ctx *ctx, size_t B, const float *class_, ...)
//   route "init"                ->  vit_init_(vit_ctx *ctx, ...), VIT_INIT__ARENA_BYTES(threads)
#include "emit_model.h"

#include "c_words.h"
#include "training.h"

#include <string.h>

/* the names of one header --------------------------------------------------------------------------------------------
 */
typedef struct NameSet {
  Arena *a;
  Intern used;
} NameSet;

static NameSet name_set(Arena *a) {
  return (NameSet){.a = a, .used = {.arena = a}};
}

static bool is_used(const NameSet *s, const char *name) {
  return is_interned(&s->used, name);
}

static void use(NameSet *s, const char *name) {
  intern(&s->used, name);
}

// Marks the words of the fixed text of the header, without its comments.
static void use_fixed_names(NameSet *s, const Program *p, const ModelNames *n) {
  Buf text = {0};
  emit_header_fixed(p, n, &text);
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
  for (const char *c = text.s; *c;) {
    const char *end = strncmp(c, "/*", 2) ? NULL : strstr(c, "*/");
    if (end) c = end + 2;
    size_t len = strspn(c, letters);
    char *word = arena_strndup(s->a, c, len);
    if (len) use(s, word);
    c += len ? len : 1;
  }
  buf_free(&text);
}

// A name of the header that a name of the page becomes a part of: PREFIX before NAME after.
typedef struct Form {
  bool macro;    // the prefix in capitals
  bool capitals; // the name in capitals
  const char *before, *after;
} Form;

static const char *full_name(NameSet *s, const ModelNames *n, const char *name, const Form *f) {
  return arena_printf(s->a, "%s%s%s%s", f->macro ? n->upper : n->prefix, f->before,
                      f->capitals ? c_upper(s->a, name) : name, f->after);
}

static bool all_free(NameSet *s, const ModelNames *n, const char *name, const Form *f, size_t nforms) {
  for (size_t i = 0; i < nforms; i++) {
    if (is_used(s, full_name(s, n, name, &f[i]))) return false;
  }
  return true;
}

// `name`, else the first of name_, name_2, name_3 .. of which all forms are free; they are taken then.
static const char *take(NameSet *s, const ModelNames *n, const char *name, const Form *f, size_t nforms) {
  const char *base = c_identifier(s->a, name), *r = base;
  if (!f->macro && c_is_reserved(full_name(s, n, r, f)))
    r = base = arena_printf(s->a, "%s_", r); // INT_MAX of a model INT
  for (unsigned copy = 1; !all_free(s, n, r, f, nforms); copy++)
    r = copy == 1 ? arena_printf(s->a, "%s_", base) : arena_printf(s->a, "%s_%u", base, copy);
  for (size_t i = 0; i < nforms; i++) use(s, full_name(s, n, r, &f[i]));
  return r;
}
#define TAKE(s, n, name, forms) take((s), (n), (name), (forms), sizeof(forms) / sizeof *(forms))

static bool begins_with(const char *s, const char *start) {
  return !strncmp(s, start, strlen(start));
}

// A parameter: none of the header's names, none of our own (all begin with the prefix and _), none of those before it.
static const char *take_local(const NameSet *header, const ModelNames *n, NameSet *locals, const char *name) {
  const char *base = c_local(locals->a, name);
  if (begins_with(base, n->own) || begins_with(base, n->own_upper)) base = arena_printf(locals->a, "x_%s", base);
  const char *r = base;
  for (unsigned copy = 1; is_used(header, r) || is_used(locals, r); copy++)
    r = copy == 1 ? arena_printf(locals->a, "%s_", base) : arena_printf(locals->a, "%s_%u", base, copy);
  use(locals, r);
  return r;
}

/* routes --------------------------------------------------------------------------------------------------------------
 */
// An objective whose gradients are computed is grad_NAME: a page may have a route of its name.
static void route_function(NameSet *s, ModelNames *n, const Program *p, const Graph *g, RouteNames *r) {
  static const Form forms[] = {{false, false, "_", ""}, {true, true, "_", "_ARENA_BYTES"}, {true, true, "_ROUTE_", ""}};
  const char *name = program_trains(p) && g->objective ? arena_printf(s->a, "grad_%s", g->name) : g->name;
  r->id = TAKE(s, n, name, forms);
  r->fn = arena_printf(s->a, "%s_%s", n->prefix, r->id);
  r->macro = arena_printf(s->a, "%s_%s", n->upper, c_upper(s->a, r->id));
  r->dims = graph_dims_used(g);
}

static const char **tensor_macros(NameSet *s, const ModelNames *n, const RouteNames *r, const Port *list,
                                  size_t count) {
  const Form form[] = {{true, true, arena_printf(s->a, "%s_", r->macro + strlen(n->upper)), "_ELEMENTS"}};
  const char **macro = ARENA_ARRAY(s->a, const char *, count + 1);
  for (size_t i = 0; i < count; i++)
    macro[i] = arena_printf(s->a, "%s_%s", r->macro, c_upper(s->a, TAKE(s, n, list[i].name, form)));
  return macro;
}

static const char **tensor_locals(const NameSet *header, const ModelNames *n, NameSet *locals, const Port *list,
                                  size_t count) {
  const char **name = ARENA_ARRAY(locals->a, const char *, count + 1);
  for (size_t i = 0; i < count; i++) name[i] = take_local(header, n, locals, list[i].name);
  return name;
}

static void route_locals(const NameSet *header, const ModelNames *n, const Program *p, const Graph *g, RouteNames *r) {
  NameSet locals = name_set(header->a);
  static const char *const own[] = {"ctx", "dims", "in", "out"}; // of the route's function
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) use(&locals, own[i]);
  if (program_trains(p) && g->objective) use(&locals, "t"); // of mdl_grad
  for (size_t j = 0; j < p->module->ndim; j++)
    if (r->dims >> j & 1) r->dim[j] = take_local(header, n, &locals, p->module->dim[j].name);
  r->input = tensor_locals(header, n, &locals, g->input.at, g->input.n);
  r->output = tensor_locals(header, n, &locals, g->output.at, g->output.n);
}

// Kernels have names from the lowerings, and stand where no name of a page does.
static const char *kernel_name(NameSet *kernels, const char *name) {
  const char *base = c_identifier(kernels->a, name), *r = base;
  for (unsigned copy = 2; is_used(kernels, r); copy++) r = arena_printf(kernels->a, "%s_%u", base, copy);
  use(kernels, r);
  return r;
}

ModelNames model_names(const Program *p, const EmitModel *o) {
  ModelNames n = {0};
  Arena *a = &n.arena;
  n.prefix = c_identifier(a, o->prefix);
  n.upper = c_upper(a, n.prefix);
  n.own = arena_printf(a, "%s_", n.prefix);
  n.own_upper = arena_printf(a, "%s_", n.upper);
  n.route = ARENA_ARRAY(a, RouteNames, p->route.n + 1);
  n.kernel = ARENA_ARRAY(a, const char *, p->kernel.n + 1);
  NameSet s = name_set(a), kernels = name_set(a);
  for (size_t i = 0; i < p->kernel.n; i++) n.kernel[i] = kernel_name(&kernels, p->kernel.at[i].name);
  const char *const *word;
  size_t nwords = c_words(&word);
  for (size_t i = 0; i < nwords; i++) use(&s, word[i]);
  use_fixed_names(&s, p, &n);
  for (size_t i = 0; i < p->route.n; i++) route_function(&s, &n, p, p->route.at[i].graph, &n.route[i]);
  static const Form bounds[] = {{true, false, "_MIN_", ""}, {true, false, "_MAX_", ""}};
  for (size_t i = 0; i < p->module->ndim; i++) n.dim_macro[i] = TAKE(&s, &n, p->module->dim[i].name, bounds);
  for (size_t i = 0; i < p->route.n; i++) {
    const Graph *g = p->route.at[i].graph;
    RouteNames *r = &n.route[i];
    r->input_macro = tensor_macros(&s, &n, r, g->input.at, g->input.n);
    r->output_macro = tensor_macros(&s, &n, r, g->output.at, g->output.n);
  }
  for (size_t i = 0; i < p->route.n; i++) route_locals(&s, &n, p, p->route.at[i].graph, &n.route[i]);
  return n;
}

void model_names_free(ModelNames *n) {
  arena_free(&n->arena);
}

void emit_string(Buf *out, const char *s) {
  if (!s) {
    buf_puts(out, "NULL");
    return;
  }
  buf_putc(out, '"');
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      buf_printf(out, "\\%c", c);
    else if (c < 32 || c > 126 || c == '?')
      buf_printf(out, "\\%03o", c); // '?': no trigraphs
    else
      buf_putc(out, (char)c);
  }
  buf_putc(out, '"');
}

void emit_comment(Buf *out, const char *s) {
  char before = 0;
  for (; s && *s; s++) {
    unsigned char c = (unsigned char)*s;
    if ((before == '*' && c == '/') || (before == '/' && c == '*')) buf_putc(out, ' ');
    if (c == '\\' && !s[1]) c = '.';
    before = c < 32 || c == 127 ? ' ' : (char)c;
    buf_putc(out, before);
  }
}
