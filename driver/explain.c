// explain.c: `syc explain SPEC`: what a model is and costs, before anything is built; `syc explain E0123`: an error
// code.
//
// Figures are for the run-time dims of program_typical_dims (one image, the longest text). A selection of routes is
// compared with the whole model: what only other routes use is not in the program. Two printers, text and JSON, read
// one Facts.
//
//   syc explain clip:b32 --routes image
//   ... compiling image drops 148 of 302 weights, 63.4 M of 151.3 M parameters
#include "explain.h"

#include "embedded.h"
#include "codegen/model_facts.h"

#include <stdlib.h>
#include <string.h>

/* gathering -----------------------------------------------------------------------------------------------------------
 */
static const FrontListing *list_spec(Session *s, const char *spec, const char **stem, const char **preset) {
  const char *path;
  size_t n;
  char *text = session_read_spec(s, spec, &path, preset, &n);
  if (!text) return NULL;
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
  *stem = arena_strndup(&s->arena, base, dot ? (size_t)(dot - base) : strlen(base));
  if (is_graph_ir(path, text)) return ARENA_NEW(&s->arena, FrontListing); // says nothing of models and presets
  const FrontListing *l = front_list(&s->arena, &s->names, &s->diag, path, text, n);
  return session_flush(s) ? l : NULL;
}

static void choose_entry(const FrontListing *l, const char *stem, const char *name, Facts *f) {
  for (size_t i = 0; name && i < l->npreset; i++)
    if (!strcmp(l->preset[i].name, name)) f->preset = &l->preset[i];
  const char *model = f->preset ? f->preset->model : name ? name : stem;
  for (size_t i = 0; i < l->nmodel; i++)
    if (l->nmodel == 1 || !strcmp(l->model[i].name, model)) f->model = &l->model[i];
}

static const char *trimmed(Arena *a, const char *s, size_t n) {
  while (n && strchr(" \t\r\n", *s)) s++, n--;
  while (n && strchr(" \t\r\n", s[n - 1])) n--;
  return arena_strndup(a, s, n);
}

// "dim = 1024, eps = f(1, 2)" into names and values; parts without a name are passed over.
static void split_arguments(Arena *a, const char *text, Defines *out) {
  int depth = 0;
  const char *from = text, *eq = NULL;
  for (const char *c = text;; c++) {
    if (*c == '(' || *c == '[') depth++;
    if (*c == ')' || *c == ']') depth--;
    if (*c == '=' && !eq) eq = c;
    if (*c && (*c != ',' || depth > 0)) continue;
    if (eq) {
      VEC_PUSH(a, out->name, trimmed(a, from, (size_t)(eq - from)));
      VEC_PUSH(a, out->value, trimmed(a, eq + 1, (size_t)(c - eq - 1)));
    }
    if (!*c) return;
    from = c + 1;
    eq = NULL;
  }
}

const char *facts_parameter(const Facts *f, const FrontParam *p) {
  const char *value = p->text;
  for (size_t i = 0; i < f->preset_args.name.n; i++)
    if (!strcmp(f->preset_args.name.at[i], p->name)) value = f->preset_args.value.at[i];
  const Defines *d = &f->s->opt.define;
  for (size_t i = 0; i < d->name.n; i++)
    if (!strcmp(d->name.at[i], p->name)) value = d->value.at[i];
  return value;
}

// The running means and variances of a batch norm: counted while training, not learned.
static bool is_statistic(const char *name) {
  static const char *const last[] = {"running_mean", "running_var", "moving_mean", "moving_variance"};
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; i < sizeof last / sizeof *last; i++)
    if (!strcmp(dot ? dot + 1 : name, last[i])) return true;
  return false;
}

WeightSum facts_sum(const Facts *f, const WeightNames *w, const char *infix) {
  WeightSum s = {0};
  for (size_t i = 0; i < w->list.n; i++) {
    const WeightName *x = &w->list.at[i];
    if (infix) { // a whole segment of the path
      const char *at = x->name;
      size_t n = strlen(infix);
      while ((at = strstr(at, infix)) && ((at > x->name && at[-1] != '.') || (at[n] && at[n] != '.'))) at++;
      if (!at) continue;
    }
    int64_t n = type_elements(f->program->module, &x->type);
    if (!s.count++) s.example = x->name;
    if (is_statistic(x->name))
      s.statistics += n;
    else
      s.parameters += n;
  }
  return s;
}

static KernelSum *kernel_row(Facts *f, RouteFacts *r, uint32_t kernel) {
  for (size_t i = 0; i < r->kernel.n; i++)
    if (r->kernel.at[i].kernel == kernel) return &r->kernel.at[i];
  KernelSum k = {.kernel = kernel, .name = f->program->kernel.at[kernel].name};
  VEC_PUSH(&f->s->arena, r->kernel, k);
  return &r->kernel.at[r->kernel.n - 1];
}

static int more_work(const void *a, const void *b) {
  const KernelSum *x = a, *y = b;
  if (x->flops != y->flops) return x->flops < y->flops ? 1 : -1;
  return x->kernel < y->kernel ? -1 : x->kernel > y->kernel;
}

static void gather_route(Facts *f, const RouteProgram *p) {
  RouteFacts r = {.program = p, .about = p->graph->about};
  for (size_t i = 0; f->model && i < f->model->nroute; i++)
    if (!strcmp(f->model->route[i].name, p->graph->name)) r.listed = &f->model->route[i];
  if ((!r.about || !*r.about) && r.listed) r.about = r.listed->about;
  for (size_t i = 0; i < p->step.n; i++) {
    KernelSum *k = kernel_row(f, &r, p->step.at[i].kernel);
    k->calls++;
    k->flops += p->step.at[i].flops;
    k->bytes += p->step.at[i].bytes;
    r.flops += p->step.at[i].flops;
    r.bytes += p->step.at[i].bytes;
  }
  if (r.kernel.n) qsort(r.kernel.at, r.kernel.n, sizeof *r.kernel.at, more_work);
  VEC_PUSH(&f->s->arena, f->route, r);
}

bool facts_gather(Session *s, const char *spec, Facts *f) {
  const char *stem = NULL, *entry = NULL;
  *f = (Facts){.s = s};
  const FrontListing *l = list_spec(s, spec, &stem, &entry);
  if (!l) return false;
  choose_entry(l, stem, entry, f);
  if (f->preset) split_arguments(&s->arena, f->preset->args, &f->preset_args);
  const Target *t[MAX_TARGETS];
  size_t n = session_targets(s, s->opt.isa, t);
  StrList all = {0};
  for (size_t i = 0; f->model && i < f->model->nroute; i++) VEC_PUSH(&s->arena, all, f->model->route[i].name);
  Module *part = n ? session_module(s, spec, NULL, &(Selection){.stages = true}) : NULL;
  Module *whole = part && s->opt.routes ? session_module(s, spec, NULL, &(Selection){.routes = all}) : part;
  if (!whole) return false;
  f->whole = weight_names_of_module(whole, &s->arena);
  f->used = weight_names_of_module(part, &s->arena);
  f->program = session_program(s, part, t, n);
  if (!f->program) return false;
  program_typical_dims(f->program->module, f->dims);
  for (size_t i = 0; i < f->program->route.n; i++) gather_route(f, &f->program->route.at[i]);
  return true;
}

/* text ----------------------------------------------------------------------------------------------------------------
 */
static const char *type_text(const Facts *f, const Graph *g, Val v) {
  Buf b = {0};
  type_print(&b, f->program->module, &graph_value(g, v)->type);
  const char *text = arena_strdup(&f->s->arena, b.s);
  buf_free(&b);
  return text;
}

static void print_ports(const Facts *f, const Graph *g, const Port *v, size_t n, const char *what) {
  for (size_t i = 0; i < n; i++) text_line(stdout, "    %s %-18s %s", what, v[i].name, type_text(f, g, v[i].val));
}

static void print_kernel(const RouteFacts *r, const KernelSum *k) {
  printf("    %-44s %6zu %9.4f %9.2f %10.2f %5.1f%%\n", k->name, k->calls, k->flops / 1e9, k->bytes / 1e6,
         k->bytes > 0 ? k->flops / k->bytes : 0, r->flops > 0 ? 100 * k->flops / r->flops : 0);
}

// How many rows are printed: those with a share that the table can show. They come most work first.
static size_t rows_shown(const Facts *f, const RouteFacts *r) {
  enum { AT_LEAST = 10 };
  size_t n = r->kernel.n, shown = AT_LEAST;
  if (f->s->opt.verbose) return n;
  while (shown < n && r->kernel.at[shown].flops >= 1e-3 * r->flops) shown++;
  return shown + 1 < n ? shown : n; // one row more is as long as the sum of one
}

static void print_kernels(const Facts *f, const RouteFacts *r) {
  size_t n = r->kernel.n, shown = rows_shown(f, r);
  for (size_t i = 0; i < shown; i++) print_kernel(r, &r->kernel.at[i]);
  if (shown == n) return;
  KernelSum rest = {.name = arena_printf(&f->s->arena, "%zu others (--verbose lists them)", n - shown)};
  for (size_t i = shown; i < n; i++) {
    rest.calls += r->kernel.at[i].calls;
    rest.flops += r->kernel.at[i].flops;
    rest.bytes += r->kernel.at[i].bytes;
  }
  print_kernel(r, &rest);
}

static void print_route(const Facts *f, const RouteFacts *r) {
  const RouteProgram *p = r->program;
  const Graph *g = p->graph;
  putchar('\n');
  text_line(stdout, "route %s%s%s", g->name, r->about && *r->about ? "  # " : "", r->about ? r->about : "");
  print_ports(f, g, g->input.at, g->input.n, "in ");
  print_ports(f, g, g->output.at, g->output.n, "out");
  printf("    %.3f GFLOP, %zu launches of %zu kernels, arena%s %.2f MB (no plan can need less than %.2f MB)\n",
         r->flops / 1e9, p->step.n, r->kernel.n, graph_dims_used(g) ? " at the bounds" : "",
         (double)p->arena_bytes / 1e6, (double)p->arena_lower_bound / 1e6);
  explain_step_print(f, p);
  printf("    %-44s %6s %9s %9s %10s %6s\n", "kernel", "calls", "GFLOP", "MB", "FLOP/byte", "share");
  print_kernels(f, r);
  explain_precision(f, p);
}

static void print_weights(const Facts *f) {
  const Module *m = f->program->module;
  WeightSum used = facts_sum(f, &f->used, NULL), whole = facts_sum(f, &f->whole, NULL);
  printf("\nweights: %zu tensors, %.2f M parameters; packed %.2f MB\n", used.count, (double)used.parameters / 1e6,
         (double)f->program->weight_bytes / 1e6);
  if (f->s->opt.routes)
    printf("compiling these routes drops %lld of %lld parameters (%zu of %zu tensors)\n",
           (long long)(whole.parameters - used.parameters), (long long)whole.parameters, whole.count - used.count,
           whole.count);
  for (size_t i = 0; i < m->nmodality; i++) {
    if (!*m->modality[i].infix) {
      printf("  %-10s its weights carry no path segment of their own\n", m->modality[i].name);
      continue;
    }
    WeightSum s = facts_sum(f, &f->used, m->modality[i].infix);
    text_line(stdout, "  %-10s path segment \"%s\": %zu tensors, %.2f M parameters%s%s", m->modality[i].name,
              m->modality[i].infix, s.count, (double)s.parameters / 1e6, s.example ? ", e.g. " : "",
              s.example ? s.example : "");
  }
}

static uint32_t dims_used(const Facts *f) {
  uint32_t used = 0;
  for (size_t i = 0; i < f->program->route.n; i++) used |= graph_dims_used(f->program->route.at[i].graph);
  return used;
}

// Unlike the other figures, those of the arena are for the bounds: it is planned once.
static void print_arena(const Facts *f, uint32_t used) {
  const Module *m = f->program->module;
  const char *sep = " at the bounds, ";
  printf("arena");
  for (size_t i = 0; i < m->ndim; i++) {
    if (!(used >> i & 1)) continue;
    printf("%s%s = %lld", sep, m->dim[i].name, (long long)m->dim[i].hi);
    sep = ", ";
  }
  printf(": %.2f MB shared by all routes, %.1f KB more for each thread\n", (double)f->program->arena_bytes / 1e6,
         (double)f->program->scratch_bytes / 1e3);
}

static void print_facts(const Facts *f) {
  const Module *m = f->program->module;
  text_line(stdout, "model %s%s%s", m->name, f->model && *f->model->about ? "  # " : "",
            f->model ? f->model->about : "");
  if (f->preset) text_line(stdout, "preset %s = %s(%s)", f->preset->name, f->preset->model, f->preset->args);
  for (size_t i = 0; f->model && i < f->model->nparam; i++) {
    const FrontParam *p = &f->model->param[i];
    text_line(stdout, "  %-12s = %-12s %s%s", p->name, facts_parameter(f, p), *p->about ? "# " : "", p->about);
  }
  uint32_t used = dims_used(f);
  for (size_t i = 0; i < m->ndim; i++)
    if (used >> i & 1)
      printf("  dim %-8s = %lld..%lld, figures for %lld\n", m->dim[i].name, (long long)m->dim[i].lo,
             (long long)m->dim[i].hi, (long long)f->dims[i]);
  print_weights(f);
  print_arena(f, used);
  for (size_t i = 0; i < f->route.n; i++) print_route(f, &f->route.at[i]);
  explain_stages(f);
}

/* codes ---------------------------------------------------------------------------------------------------------------
 */
static bool is_code(const char *s) { // E0123, W0001
  if (strlen(s) != 5 || (s[0] != 'E' && s[0] != 'W')) return false;
  return strspn(s + 1, "0123456789") == 4;
}

// The example of the code that a text begins with, from its section of docs/errors.md: what stands in fences is
// indented instead.
static void print_example(const char *text) {
  const EmbeddedFile *page = embedded_find("docs/errors.md");
  char head[16];
  snprintf(head, sizeof head, "\n## %.5s:", text);
  const char *at = page ? strstr(page->text, head) : NULL, *end = at ? strstr(at + 1, "\n## ") : NULL;
  if (at) at = strstr(at, "\n```\n");
  if (!at || (end && at > end)) return;
  if (!end) end = at + strlen(at);
  bool inside = false;
  putchar('\n');
  for (const char *next; at < end; at = next) {
    const char *line = at + 1;
    next = line + strcspn(line, "\n");
    if (!strncmp(line, "```", 3))
      inside = !inside;
    else if (next < end || *line)
      printf("%s%.*s\n", inside ? "    " : "", (int)(next - line), line);
  }
}

static int explain_code(Session *s, const char *code) {
  const char *text = diag_explain(code);
  if (!text) return session_fail(s, EXIT_USAGE, "there is no diagnostic %s (syc explain codes lists them)", code);
  fputs(text, stdout);
  print_example(text); // begins with the code, which may be the present one of an old one
  return EXIT_OK;
}

static int list_codes(void) {
  static const char *const row[][2] = {
#define CODE(code, title, example, explanation) {#code, title},
#define RETIRED(code, other)
#include "ir/base/diag_codes.def"
#undef CODE
#undef RETIRED
  };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) printf("%s  %s\n", row[i][0], row[i][1]);
  return EXIT_OK;
}

int cmd_explain(Session *s) {
  if (s->opt.arg.n != 1)
    return session_fail(s, EXIT_USAGE, "syc explain takes one model or one error code (syc explain --help)");
  const char *what = s->opt.arg.at[0];
  if (is_code(what)) return explain_code(s, what);
  if (!strcmp(what, "codes")) return list_codes();
  s->opt.gradients = s->opt.gradients || s->opt.objective || s->opt.stage; // the plan of a step
  if (s->opt.json) return explain_json(s, what, "-") ? EXIT_OK : s->exit_code;
  Facts f;
  if (!facts_gather(s, what, &f)) return s->exit_code;
  print_facts(&f);
  return EXIT_OK;
}
