// emit_model_names.c: public names of a C module, and the small printers its other files share.
//
// Invariants: an identifier is never a C or C++ keyword nor one of the module's own names; names that become equal
// after making them identifiers get a number.
//
//   route "vqa", input "class"  ->  vit_vqa(vit_ctx *ctx, size_t B, const float *class_, ...)
#include "emit_model.h"

#include <ctype.h>
#include <string.h>

// Words that no parameter may be called, and ends of public names that no route may take.
static const char *const keywords[] = {
    "alignas",  "alignof", "and",      "asm",      "auto",     "bool",    "break",     "case",      "catch",
    "char",     "class",   "const",    "continue", "decltype", "default", "delete",    "do",        "double",
    "else",     "enum",    "explicit", "export",   "extern",   "false",   "float",     "for",       "friend",
    "goto",     "if",      "inline",   "int",      "int32_t",  "long",    "mutable",   "namespace", "new",
    "noexcept", "not",     "nullptr",  "operator", "or",       "private", "protected", "public",    "register",
    "restrict", "return",  "short",    "signed",   "size_t",   "sizeof",  "static",    "struct",    "switch",
    "template", "this",    "throw",    "true",     "try",      "typedef", "typeid",    "typename",  "uint32_t",
    "uint64_t", "union",   "unsigned", "using",    "virtual",  "void",    "volatile",  "wchar_t",   "while",
    "xor",      "ctx",     "NULL",     "linux",    "unix"};
static const char *const taken[] = {"init",  "call",  "describe", "strerror", "selftest",    "isa",  "set_trace",
                                    "exec",  "ctx",   "config",   "status",   "info",        "axis", "tensor",
                                    "route", "bound", "prepare",  "task",     "arena_bytes", "glue"};

static bool in_list(const char *s, const char *const *list, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!strcmp(s, list[i])) return true;
  return false;
}

static char *identifier(Arena *a, const char *s) {
  char *r = arena_printf(a, "%s%s", s && *s && !isdigit((unsigned char)*s) ? "" : "x", s ? s : "");
  for (char *c = r; *c; c++)
    if (!isalnum((unsigned char)*c) && *c != '_') *c = '_';
  return r;
}

static char *upper(Arena *a, const char *s) {
  char *r = arena_strdup(a, s);
  for (char *c = r; *c; c++) *c = (char)toupper((unsigned char)*c);
  return r;
}

// An identifier made of s that is in none of the lists and equals none of used[0..n).
static const char *unique(Arena *a, const char *s, const char *const *list, size_t nlist, const char **used, size_t n,
                          bool any_case) {
  char *base = identifier(a, s), *r = base;
  if (in_list(base, list, nlist)) r = base = arena_printf(a, "%s_", base);
  for (unsigned copy = 2;; copy++) {
    bool clash = false;
    for (size_t i = 0; i < n && !clash; i++)
      clash = used[i] && !strcmp(any_case ? upper(a, used[i]) : used[i], any_case ? upper(a, r) : r);
    if (!clash) return r;
    r = arena_printf(a, "%s_%u", base, copy);
  }
}

#define KEYWORDS keywords, sizeof keywords / sizeof *keywords

static void tensor_names(Arena *a, const NamedVal *list, size_t n, const char **used, size_t *nused,
                         const char **name) {
  for (size_t i = 0; i < n; i++) {
    name[i] = unique(a, list[i].name, KEYWORDS, used, *nused, true);
    used[(*nused)++] = name[i];
  }
}

static void route_names(ModelNames *n, const Program *p, size_t at) {
  Arena *a = &n->arena;
  const Graph *g = p->route.at[at].graph;
  const Module *m = p->module;
  RouteNames *r = &n->route[at];
  const char **others = ARENA_ARRAY(a, const char *, at + 1);
  for (size_t i = 0; i < at; i++) others[i] = n->route[i].id;
  r->id = unique(a, g->name, taken, sizeof taken / sizeof *taken, others, at, true);
  r->fn = arena_printf(a, "%s_%s", n->prefix, r->id);
  r->macro = arena_printf(a, "%s_%s", n->upper, upper(a, r->id));
  r->dims = graph_dims_used(g);
  const char **used = ARENA_ARRAY(a, const char *, m->ndim + g->input.n + g->output.n + 8);
  size_t nused = 0;
  static const char *const locals[] = {"ctx", "dims", "in", "out"}; // of the route's function
  for (size_t i = 0; i < sizeof locals / sizeof *locals; i++) used[nused++] = locals[i];
  for (size_t j = 0; j < m->ndim; j++) {
    if (!(r->dims >> j & 1)) continue;
    r->dim[j] = unique(a, m->dim[j].name, KEYWORDS, used, nused, false);
    used[nused++] = r->dim[j];
  }
  r->input = ARENA_ARRAY(a, const char *, g->input.n + 1);
  r->output = ARENA_ARRAY(a, const char *, g->output.n + 1);
  tensor_names(a, g->input.at, g->input.n, used, &nused, r->input);
  tensor_names(a, g->output.at, g->output.n, used, &nused, r->output);
  r->input_macro = ARENA_ARRAY(a, const char *, g->input.n + 1);
  r->output_macro = ARENA_ARRAY(a, const char *, g->output.n + 1);
  for (size_t i = 0; i < g->input.n; i++) r->input_macro[i] = arena_printf(a, "%s_%s", r->macro, upper(a, r->input[i]));
  for (size_t i = 0; i < g->output.n; i++)
    r->output_macro[i] = arena_printf(a, "%s_%s", r->macro, upper(a, r->output[i]));
}

ModelNames model_names(const Program *p, const EmitModel *o) {
  ModelNames n = {0};
  n.prefix = identifier(&n.arena, o->prefix);
  n.upper = upper(&n.arena, n.prefix);
  n.route = ARENA_ARRAY(&n.arena, RouteNames, p->route.n + 1);
  for (size_t i = 0; i < p->module->ndim; i++)
    n.dim_macro[i] = unique(&n.arena, p->module->dim[i].name, NULL, 0, n.dim_macro, i, false);
  for (size_t i = 0; i < p->route.n; i++) route_names(&n, p, i);
  n.kernel = ARENA_ARRAY(&n.arena, const char *, p->kernel.n + 1);
  for (size_t i = 0; i < p->kernel.n; i++)
    n.kernel[i] = unique(&n.arena, p->kernel.at[i].name, NULL, 0, n.kernel, i, false);
  return n;
}

void model_names_free(ModelNames *n) {
  arena_free(&n->arena);
}

void emit_lines(Buf *out, const ModelNames *n, const char *const *line, size_t nlines) {
  for (size_t i = 0; i < nlines; i++) {
    for (const char *s = line[i]; *s; s++) {
      if (s[0] == '$' && (s[1] == 'p' || s[1] == 'P'))
        buf_puts(out, *++s == 'p' ? n->prefix : n->upper);
      else
        buf_putc(out, *s);
    }
    buf_putc(out, '\n');
  }
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

static const struct {
  const char *name;
  uint32_t need[4]; // cpuid 1 ecx, 7 ebx, 7 ecx, XCR0
} cpu_features[] = {
    {"sse3", {1u << 0, 0, 0, 0}},
    {"ssse3", {1u << 9, 0, 0, 0}},
    {"fma", {1u << 12 | 1u << 27 | 1u << 28, 0, 0, 0x6}},
    {"sse4.1", {1u << 19, 0, 0, 0}},
    {"sse4.2", {1u << 20, 0, 0, 0}},
    {"popcnt", {1u << 23, 0, 0, 0}},
    {"avx", {1u << 27 | 1u << 28, 0, 0, 0x6}},
    {"f16c", {1u << 29 | 1u << 27, 0, 0, 0x6}},
    {"bmi", {0, 1u << 3, 0, 0}},
    {"avx2", {1u << 27 | 1u << 28, 1u << 5, 0, 0x6}},
    {"bmi2", {0, 1u << 8, 0, 0}},
    {"avx512f", {1u << 27 | 1u << 28, 1u << 16, 0, 0xe6}},
    {"avx512dq", {1u << 27, 1u << 17, 0, 0xe6}},
    {"avx512cd", {1u << 27, 1u << 28, 0, 0xe6}},
    {"avx512bw", {1u << 27, 1u << 30, 0, 0xe6}},
    {"avx512vl", {1u << 27, 1u << 31, 0, 0xe6}},
    {"avx512vbmi", {1u << 27, 0, 1u << 1, 0xe6}},
    {"avx512vnni", {1u << 27, 0, 1u << 11, 0xe6}},
};

bool target_cpu_needs(const Target *t, uint32_t need[4]) {
  memset(need, 0, 4 * sizeof *need);
  const char *s = t->attribute ? strstr(t->attribute, "target(\"") : NULL;
  if (!s) return true;
  s += strlen("target(\"");
  while (*s && *s != '"') {
    size_t n = strcspn(s, ",\"");
    bool known = n > 12 && !strncmp(s, "prefer-vector", 13); // a hint, not a feature
    for (size_t i = 0; i < sizeof cpu_features / sizeof *cpu_features; i++) {
      if (strlen(cpu_features[i].name) != n || strncmp(s, cpu_features[i].name, n) != 0) continue;
      for (int k = 0; k < 4; k++) need[k] |= cpu_features[i].need[k];
      known = true;
    }
    if (!known) return false;
    s += n + (s[n] == ',');
  }
  return true;
}

int64_t model_ctx_bytes(void) {
  return 256;
}
