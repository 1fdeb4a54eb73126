// session.c: the way every command goes: spec text -> module -> passes -> program, and how failures are reported.
// Diagnostics about the spec go through the Diag sink; everything else (files, tools, flags) through session_fail.
#include "codegen/c_words.h"
#include "codegen/llvm/llvm.h"
#include "driver.h"
#include "embedded.h"
#include "trainer.h"
#include "runtime/switchyard.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool use_colour(const Session *s) {
  const char *c = s->opt.color;
  if (c && !strcmp(c, "always")) return true;
  if (c && !strcmp(c, "never")) return false;
  const char *force = getenv("CLICOLOR_FORCE"), *no = getenv("NO_COLOR");
  if (force && *force && strcmp(force, "0") != 0) return true;
  if (no && *no) return false;
  return isatty(STDERR_FILENO) != 0;
}

static bool json_diagnostics(const Session *s) {
  return s->opt.diagnostics && !strcmp(s->opt.diagnostics, "json");
}

static void say(Session *s, const Buf *text) {
  if (s->instead)
    buf_putn(s->instead, text->s, text->n);
  else
    fwrite(text->s, 1, text->n, stderr);
}

bool session_flush(Session *s) {
  bool ok = s->diag.errors == 0;
  if (s->diag.list.n) {
    Buf b = {0};
    if (json_diagnostics(s))
      diag_print_json(&s->diag, &b);
    else
      diag_print(&s->diag, &b, use_colour(s));
    if (b.n) say(s, &b);
    buf_free(&b);
  }
  s->diag.list.n = 0;
  if (!ok && !s->exit_code) s->exit_code = EXIT_WRONG;
  return ok;
}

int session_fail(Session *s, int code, const char *fmt, ...) {
  session_flush(s);
  va_list ap;
  va_start(ap, fmt);
  Buf text = {0};
  buf_vprintf(&text, fmt, ap);
  va_end(ap);
  Diag d;
  diag_init(&d, &s->arena);
  diag_error(&d, "", NO_SPAN, "%s", text.s);
  Buf b = {0};
  if (json_diagnostics(s))
    diag_print_json(&d, &b);
  else
    buf_puts(&b, "syc: error: "), text_escape_message(text.s, buf_sink, &b), buf_putc(&b, '\n');
  say(s, &b);
  buf_free(&b);
  buf_free(&text);
  s->exit_code = code;
  return code;
}

void session_note(Session *s, const char *fmt, ...) {
  if (s->opt.quiet) return;
  va_list ap;
  va_start(ap, fmt);
  text_vline(stderr, fmt, ap);
  va_end(ap);
}

/* specs --------------------------------------------------------------------------------------------------------------
 */
static void add_dep(Session *s, const char *path) {
  VEC_PUSH(&s->arena, s->deps, path);
}

static void add_page(Session *s, const char *text, size_t n) {
  digest_add(&s->pages, &n, sizeof n);
  digest_add(&s->pages, text, n);
}

const EmbeddedFile *embedded_find(const char *name) {
  for (const EmbeddedFile *e = embedded_files; e->name; e++)
    if (!strcmp(e->name, name)) return e;
  return NULL;
}

// An embedded page by "models/vit.sy", "vit.sy" or "vit".
static const EmbeddedFile *embedded_model(Session *s, const char *name) {
  const char *base = strrchr(name, '/');
  base = base ? base + 1 : name;
  size_t n = strlen(base);
  bool suffix = n > 3 && !strcmp(base + n - 3, ".sy");
  return embedded_find(arena_printf(&s->arena, "models/%s%s", base, suffix ? "" : ".sy"));
}

// The length of what stands before ":PRESET".
static size_t spec_page(const char *spec) {
  const char *colon = strrchr(spec, ':');
  return colon && !strchr(colon, '/') ? (size_t)(colon - spec) : strlen(spec);
}

// "vit" is the model, also where a file or a folder of that name lies.
static bool is_bare_word(const char *path) {
  return !strpbrk(path, "/.");
}

bool session_is_folder(Session *s, const char *spec) {
  const char *path = arena_strndup(&s->arena, spec, spec_page(spec));
  return folder_is(path) && !(is_bare_word(path) && embedded_model(s, path));
}

// A published folder as a page; opened once.
static char *read_folder(Session *s, const char *dir, const char **path, const char **preset, size_t *n) {
  if (*preset) {
    session_fail(s, EXIT_USAGE, "%s is a folder, which has no presets; -D changes single parameters", dir);
    return NULL;
  }
  if (!s->folder.dir || strcmp(s->folder.dir, dir) != 0) {
    FolderPage page = {.dir = dir};
    if (!folder_open(s, dir, &page)) return NULL;
    s->folder = page;
    add_page(s, page.text, page.n);
  }
  *path = s->folder.path;
  *preset = s->folder.preset;
  *n = s->folder.n;
  return arena_strndup(&s->arena, s->folder.text, *n);
}

char *session_read_spec(Session *s, const char *spec, const char **path, const char **preset, size_t *n) {
  size_t len = spec_page(spec);
  *path = arena_strndup(&s->arena, spec, len);
  *preset = spec[len] && spec[len + 1] ? spec + len + 1 : NULL;
  const char *err = NULL;
  char *text = NULL;
  const EmbeddedFile *e = embedded_model(s, *path);
  bool word = e && is_bare_word(*path);
  if (session_is_folder(s, spec)) return read_folder(s, *path, path, preset, n);
  if (s->page.path && !strcmp(s->page.path, *path)) {
    add_dep(s, *path);
    *n = s->page.n;
    return arena_strndup(&s->arena, s->page.text, *n);
  }
  bool file = !strcmp(*path, "-") || stream_of_path(*path) >= 0 || access(*path, F_OK) == 0;
  if (!word && file) {
    text = file_read(&s->arena, *path, n, &err);
    if (text) add_dep(s, *path);
    if (text) s->page = (PageText){*path, text, *n};
  } else if (e) {
    *n = e->size;
    *path = e->name;
    text = arena_strndup(&s->arena, e->text, e->size);
  } else {
    err = "no such file, and no model of that name comes with syc (syc help models lists them)";
  }
  if (!text) session_fail(s, EXIT_IO, "cannot read %s: %s", *path, err);
  if (text) add_page(s, text, *n);
  return text;
}

typedef struct Finder {
  Session *s;
  const char *dir; // of the spec
} Finder;

static const char *find_used(void *ud, const char *name, size_t *n, const char **path) {
  Finder *f = ud;
  Session *s = f->s;
  const char *dirs[40] = {f->dir};
  size_t nd = 1;
  for (size_t i = 0; i < s->opt.include.n && nd < 39; i++) dirs[nd++] = s->opt.include.at[i];
  for (size_t i = 0; i < nd; i++) {
    const char *file = arena_printf(&s->arena, "%s/%s.sy", dirs[i], name), *err;
    if (access(file, R_OK) != 0) continue;
    char *text = file_read(&s->arena, file, n, &err);
    if (!text) continue;
    add_dep(s, file);
    add_page(s, text, *n);
    *path = file;
    return text;
  }
  const EmbeddedFile *e = embedded_model(s, name);
  if (!e) return NULL;
  add_page(s, e->text, e->size);
  *n = e->size;
  *path = e->name;
  return e->text;
}

// What --dim asks for. A value that is no number is outside of any bounds.
static FrontDim *dims_asked_for(Session *s) {
  FrontDim *d = ARENA_ARRAY(&s->arena, FrontDim, s->opt.dim.name.n + 1);
  for (size_t i = 0; i < s->opt.dim.name.n; i++) {
    const char *text = s->opt.dim.value.at[i];
    char *end;
    long long v = strtoll(text, &end, 10);
    d[i] = (FrontDim){.name = s->opt.dim.name.at[i], .most = end == text || *end ? 0 : v};
  }
  return d;
}

static bool dims_are_right(Session *s, const Module *m, const FrontDim *d) {
  for (size_t i = 0; i < s->opt.dim.name.n; i++) {
    if (!d[i].found) {
      Buf have = {0};
      for (size_t k = 0; k < m->ndim; k++) buf_printf(&have, "%s%s", k ? ", " : "", m->dim[k].name);
      session_fail(s, EXIT_USAGE, "--dim %s: the model has no such run-time dim (it has %s)", d[i].name,
                   have.s ? have.s : "none");
      buf_free(&have);
      return false;
    }
    if (d[i].most < d[i].lo || d[i].most > d[i].hi) {
      session_fail(s, EXIT_USAGE, "--dim %s=%s: must be a number from %lld to %lld", d[i].name, s->opt.dim.value.at[i],
                   (long long)d[i].lo, (long long)d[i].hi);
      return false;
    }
  }
  return true;
}

// The names of a list "a,b".
static StrList names_in(Session *s, const char *list) {
  StrList out = {0};
  char *save = NULL;
  for (char *r = list ? strtok_r(arena_strdup(&s->arena, list), ",", &save) : NULL; r; r = strtok_r(NULL, ",", &save))
    VEC_PUSH(&s->arena, out, r);
  return out;
}

// What the options say of which weights are trained, behind what a stage says: of a weight the last pattern that fits
// counts. False after reporting.
static bool option_patterns(Session *s, const StagePattern **out, size_t *n) {
  const Options *o = &s->opt;
  VEC(StagePattern) pattern = {0};
  StageAdapter x = {o->adapt_rank == INT_UNSET ? 8 : o->adapt_rank, 0, 0};
  const struct {
    const StrList *list;
    PatternKind kind;
  } lists[] = {{&o->adapt, PATTERN_adapt}, {&o->trained, PATTERN_only}, {&o->frozen, PATTERN_freeze}};
  x.alpha = (double)x.rank;
  if (!option_number(s, "adapt-alpha", o->adapt_alpha, 0, 1e6, &x.alpha) ||
      !option_number(s, "adapt-dropout", o->adapt_dropout, 0, 1, &x.dropout))
    return false;
  const char *problem = stage_adapter_problem(&s->arena, &x);
  bool numbers = o->adapt_rank != INT_UNSET || o->adapt_alpha || o->adapt_dropout;
  if (problem) return session_fail(s, EXIT_USAGE, "--adapt: %s", problem), false;
  if (numbers && !o->adapt.n)
    return session_fail(s, EXIT_USAGE, "--adapt-rank, --adapt-alpha and --adapt-dropout: of which linears? (--adapt)"),
           false;
  for (size_t k = 0; k < sizeof lists / sizeof *lists; k++)
    for (size_t i = 0; i < lists[k].list->n; i++)
      VEC_PUSH(&s->arena, pattern, ((StagePattern){.glob = lists[k].list->at[i], .kind = lists[k].kind, .adapter = x}));
  *out = pattern.at, *n = pattern.n;
  return true;
}

// The front end on a spec that was read. Diagnostics go to d; NULL after errors.
static Module *compile(Session *s, Diag *d, const char *path, const char *preset, const char *text, size_t n,
                       const Defines *extra, const Selection *selection, FrontDim *dims) {
  char *dir = arena_strdup(&s->arena, path), *slash = strrchr(dir, '/');
  if (slash) *slash = 0;
  Finder f = {s, slash ? dir : "."};
  Defines def = {0};
  for (int which = 0; which < 2; which++) { // the command line's come last and win
    const Defines *set = which ? &s->opt.define : extra;
    for (size_t i = 0; set && i < set->name.n; i++) {
      VEC_PUSH(&s->arena, def.name, set->name.at[i]);
      VEC_PUSH(&s->arena, def.value, set->value.at[i]);
    }
  }
  Selection of_options = {names_in(s, s->opt.routes), names_in(s, s->opt.objective), names_in(s, s->opt.given), false};
  bool own = selection && (selection->routes.n || selection->objectives.n);
  const Selection *take = own ? selection : &of_options;
  const StagePattern *pattern;
  size_t npattern;
  if (!option_patterns(s, &pattern, &npattern)) return NULL;
  FrontOptions o = {.entry_or_preset = preset,
                    .define_name = def.name.at,
                    .define_value = def.value.at,
                    .ndefine = def.name.n,
                    .names = s->opt.names,
                    .dim = dims,
                    .ndim = s->opt.dim.name.n,
                    .routes = take->routes.at,
                    .nroutes = take->routes.n,
                    .objectives = take->objectives.at,
                    .nobjectives = take->objectives.n,
                    .given = take->given.at,
                    .ngiven = take->given.n,
                    .draws = s->opt.draws,
                    .stage = own ? NULL : s->opt.stage,
                    .pattern = pattern,
                    .npattern = own ? 0 : npattern,
                    .stages = selection && selection->stages,
                    .find = find_used,
                    .ud = &f};
  return front_compile(&s->arena, &s->names, d, path, text, n, &o);
}

// What the options say of gradients. A pattern that no weight fits is a mistake.
static bool set_train(Session *s, Module *m) {
  const Options *o = &s->opt;
  if (o->gradients && !o->objective && !o->stage)
    return session_fail(s, EXIT_USAGE, "--gradients: of which objective? (--objective NAME, or --stage NAME)"), false;
  if (o->draws && !o->objective && !o->stage)
    return session_fail(s, EXIT_USAGE, "--draws: of which objective? (--objective NAME, or --stage NAME)"), false;
  if (!o->gradients && (o->trained.n || o->frozen.n || o->adapt.n))
    return session_fail(s, EXIT_USAGE, "--trained, --frozen and --adapt go with --gradients"), false;
  if (!o->gradients) return true;
  Train *t = ARENA_NEW(&s->arena, Train);
  VEC(StagePattern) pattern = {0};
  for (size_t i = 0; m->stage.n && i < m->stage.at[0].pattern.n; i++)
    VEC_PUSH(&s->arena, pattern, m->stage.at[0].pattern.at[i]);
  const StagePattern *own;
  size_t n;
  if (!option_patterns(s, &own, &n)) return false;
  for (size_t i = 0; i < n; i++) {
    bool fits = own[i].kind == PATTERN_adapt; // the front end looks at these
    for (size_t w = 0; w < m->weight.n; w++) fits = fits || text_matches(own[i].glob, m->weight.at[w].name);
    if (!fits)
      return session_fail(s, EXIT_USAGE, "--%s %s: no weight of the objective has such a name",
                          own[i].kind == PATTERN_only ? "trained" : "frozen", own[i].glob),
             false;
    VEC_PUSH(&s->arena, pattern, own[i]);
  }
  *t = (Train){pattern.at, pattern.n, .in_place = true};
  if (m->stage.n) t->objective = m->stage.at[0].objective.at, t->nobjective = m->stage.at[0].objective.n;
  m->train = t;
  return true;
}

bool is_graph_ir(const char *path, const char *text) {
  size_t len = strlen(path);
  while (*text) {
    text += strspn(text, " \t\r\n");
    if (*text != '#') break;
    text += strcspn(text, "\n");
  }
  if (!strncmp(text, "module", 6) && text[6 + strspn(text + 6, " \t")] == '"') return true;
  return len > 3 && !strcmp(path + len - 3, ".ir");
}

static Module *read_graph_ir(Session *s, const char *path, const char *preset, const char *text, size_t n) {
  s->spec = NULL; // there are no presets to look at
  if (s->opt.define.name.n || s->opt.dim.name.n || s->opt.routes || s->opt.objective || s->opt.given || s->opt.stage ||
      s->opt.gradients || s->opt.draws || preset) {
    session_fail(s, EXIT_USAGE,
                 "%s is graph IR: -D, --dim, --routes, --objective, --stage, --given, --gradients, --draws and presets "
                 "belong to a page and have no effect on it",
                 path);
    return NULL;
  }
  Module *m = module_parse(&s->arena, &s->names, &s->diag, text, n, diag_add_file(&s->diag, path, text, n));
  return session_flush(s) && session_precision(s, m) ? m : NULL;
}

static bool is_folder_spec(const Session *s, const char *spec) {
  size_t n = spec_page(spec);
  return s->folder.dir && strlen(s->folder.dir) == n && !memcmp(s->folder.dir, spec, n);
}

// --describe says which files the preset was made from.
static void add_folder_facts(Session *s, Module *m) {
  size_t n = strcspn(m->built, ",");
  m->built = arena_printf(&s->arena, "%.*s from %s%s", (int)n, m->built, s->folder.facts, m->built + n);
}

Module *session_module(Session *s, const char *spec, const Defines *extra, const Selection *selection) {
  const char *path, *preset;
  size_t n;
  char *text = session_read_spec(s, spec, &path, &preset, &n);
  if (!text) return NULL;
  if (is_graph_ir(path, text)) return read_graph_ir(s, path, preset, text, n);
  if (s->opt.start_from) {
    session_fail(s, EXIT_USAGE, "--start-from: %s is a page, not graph IR (syc emit --emit=ir makes it)", path);
    return NULL;
  }
  s->spec = extra || selection ? NULL : spec;
  FrontDim *dims = dims_asked_for(s);
  Module *m = compile(s, &s->diag, path, preset, text, n, extra, selection, dims);
  if (!session_flush(s) || !m || !dims_are_right(s, m, dims)) {
    if (!s->exit_code) s->exit_code = EXIT_WRONG;
    return NULL;
  }
  if (!set_train(s, m) || !session_precision(s, m)) return NULL;
  if (is_folder_spec(s, spec)) add_folder_facts(s, m);
  return m;
}

// The page that was read last, again; what is wrong with it was reported, and what is wrong with its other presets and
// routes is of no interest.
typedef struct Page {
  const char *path, *preset, *text;
  size_t n;
  Diag *diag;
  const FrontListing *list;
} Page;

static bool last_page(Session *s, Page *p) {
  *p = (Page){0};
  if (!s->spec) return false;
  p->text = session_read_spec(s, s->spec, &p->path, &p->preset, &p->n);
  p->diag = ARENA_NEW(&s->arena, Diag);
  diag_init(p->diag, &s->arena);
  p->list = p->text ? front_list(&s->arena, &s->names, p->diag, p->path, p->text, p->n) : NULL;
  return p->list != NULL;
}

void session_each_preset(Session *s, bool (*each)(void *ud, const char *spec, const Module *m), void *ud) {
  Page p;
  if (s->spec && is_folder_spec(s, s->spec)) return; // it says what it is
  bool there = last_page(s, &p);
  for (size_t i = 0; there && i < p.list->npreset; i++) {
    const char *name = p.list->preset[i].name;
    if (p.preset && !strcmp(p.preset, name)) continue;
    diag_init(p.diag, &s->arena);
    const Module *m = compile(s, p.diag, p.path, name, p.text, p.n, NULL, NULL, dims_asked_for(s));
    if (m && !each(ud, arena_printf(&s->arena, "%.*s:%s", (int)spec_page(s->spec), s->spec, name), m)) return;
  }
}

void session_each_route(Session *s, const char *model, void (*each)(void *ud, const Module *m), void *ud) {
  Page p;
  const FrontModel *found = NULL;
  bool there = last_page(s, &p);
  for (size_t i = 0; there && i < p.list->nmodel && !found; i++)
    if (!strcmp(p.list->model[i].name, model)) found = &p.list->model[i];
  for (size_t i = 0; found && i < found->nroute; i++) {
    Selection one = {0};
    VEC_PUSH(&s->arena, one.routes, found->route[i].name);
    diag_init(p.diag, &s->arena);
    const Module *m = compile(s, p.diag, p.path, p.preset, p.text, p.n, NULL, &one, dims_asked_for(s));
    if (m) each(ud, m);
  }
}

/* passes and program
 * --------------------------------------------------------------------------------------------------- */
static void after_pass(void *ud, const char *pass, const Module *m, size_t changes, double ms) {
  Session *s = ud;
  if (s->opt.time_passes) fprintf(stderr, "%-12s %8zu changes %9.2f ms\n", pass, changes, ms);
  const char *dump = s->opt.dump_after;
  if (!dump || (strcmp(dump, "all") != 0 && strcmp(dump, pass) != 0)) return;
  Buf b = {0};
  buf_printf(&b, "# after %s: %zu changes\n", pass, changes);
  module_print(m, &b);
  fwrite(b.s, 1, b.n, stderr);
  buf_free(&b);
}

bool session_known_pass(Session *s, const char *option, const char *name) {
  bool known = !name;
  for (size_t i = 0; i < pass_count && !known; i++) known = !strcmp(pass_list[i].name, name);
  if (!known)
    session_fail(s, EXIT_USAGE, "%s: there is no pass '%s' (syc emit --print-passes lists them)", option, name);
  return known;
}

bool session_passes(Session *s, Module *m) {
  const char *dump = s->opt.dump_after && strcmp(s->opt.dump_after, "all") != 0 ? s->opt.dump_after : NULL;
  if (!session_known_pass(s, "--dump-after", dump) || !session_known_pass(s, "--stop-after", s->opt.stop_after) ||
      !session_known_pass(s, "--start-from", s->opt.start_from))
    return false;
  for (size_t i = 0; i < s->opt.disable.n; i++)
    if (!session_known_pass(s, "--disable", s->opt.disable.at[i])) return false;
  PassOptions o = {.disable = s->opt.disable.at,
                   .ndisable = s->opt.disable.n,
                   .stop_after = s->opt.stop_after,
                   .start_from = s->opt.start_from,
                   .precision = session_precision_of_all(s),
                   .time = s->opt.time_passes,
                   .verify = true,
                   .remarks = s->opt.remarks,
                   .after = after_pass,
                   .ud = s};
  if (!session_fit(s, m, &o)) return false;
  bool ok = passes_run(m, &o);
  return session_flush(s) && ok;
}

// Of a machine that is not known here any set is taken: it may be another name of one that is.
static bool target_is_of(const Target *t, const char *machine) {
  const Family *f = family_of_machine(machine);
  return !f || target_runs_on(t, f);
}

bool session_targets_run(Session *s, const Target *const *t, size_t n, const char *machine) {
  if (!machine) machine = sy_cpu_family();
  for (size_t i = 0; i < n; i++) {
    if (target_is_of(t[i], machine)) continue;
    Buf have = {0};
    for (size_t k = 0; targets[k]; k++)
      if (target_is_of(targets[k], machine)) buf_printf(&have, "%s%s", have.n ? ", " : "", targets[k]->name);
    session_fail(s, EXIT_USAGE, "--isa: %s is no instruction set of %.*s, which has %s", t[i]->name,
                 (int)strcspn(machine, "-\n"), machine, have.s);
    buf_free(&have);
    return false;
  }
  return true;
}

const char *session_best_isa(const Session *s) {
  bool rules = s->opt.precision && !precision_by_name(s->opt.precision) && !s->precision; // of a page to be read
  const char *best = "portable";
  for (size_t i = 0; targets[i]; i++) {
    const InstructionSet *t = targets[i]->isa;
    bool own = rules || precision_has(s->precision, session_precision_of_all(s), t->products == PRODUCTS_pairs);
    if (sy_cpu_runs(t->name) && (!t->codes_of || own)) best = t->name;
  }
  return best;
}

size_t session_targets(Session *s, const char *list, const Target **out) {
  size_t n = 0, known = target_count();
  const Target *of_machine[MAX_TARGETS];
  memcpy(of_machine, targets, known * sizeof *targets);
  if (s->opt.target) {
    const char *err = "";
    known = llvm_targets(s->opt.target, of_machine, &err);
    if (!known) return session_fail(s, EXIT_USAGE, "--target: %s", err), 0;
    memcpy(out, of_machine, known * sizeof *out);
    if (!list) return known;
  }
  if (!list) {
    for (size_t i = 0; targets[i] && n < MAX_TARGETS; i++)
      if (target_is_of(targets[i], sy_cpu_family())) out[n++] = targets[i];
    return n;
  }
  char *copy = arena_strdup(&s->arena, list), *save = NULL;
  for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
    const Target *t = target_by_name(name);
    if (!t) {
      Buf have = {0};
      for (size_t i = 0; targets[i]; i++) buf_printf(&have, "%s%s", i ? ", " : "", targets[i]->name);
      session_fail(s, EXIT_USAGE, "--isa: there is no instruction set '%s' (known: %s)", name, have.s);
      buf_free(&have);
      return 0;
    }
    bool there = false, twice = false;
    for (size_t i = 0; i < known; i++) there = there || of_machine[i] == t;
    if (!there) {
      session_fail(s, EXIT_USAGE, "--isa: %s has no %s", s->opt.target, name);
      return 0;
    }
    for (size_t i = 0; i < n; i++) twice = twice || out[i] == t;
    if (!twice && n < MAX_TARGETS) out[n++] = t;
  }
  if (!n) session_fail(s, EXIT_USAGE, "--isa: the list is empty");
  for (size_t i = 1; i < n; i++) // by rank, whatever the order given
    for (size_t k = i; k > 0 && out[k - 1]->rank > out[k]->rank; k--) {
      const Target *t = out[k];
      out[k] = out[k - 1];
      out[k - 1] = t;
    }
  return n;
}

Program *session_program(Session *s, Module *m, const Target *const *target, size_t n) {
  if (s->opt.stop_after) {
    session_fail(s, EXIT_USAGE, "--stop-after ends before kernels are made; it goes with --emit=ir and --emit=dot");
    return NULL;
  }
  if (!session_passes(s, m)) return NULL;
  Program *p = program_lower(m, target, n);
  if (!session_flush(s)) return NULL;
  return p;
}

enum { LONGEST_PREFIX = 100 };

const char *session_prefix(Session *s, const Module *m) {
  const char *given = s->opt.prefix, *id = c_identifier(&s->arena, given ? given : m->name);
  const char *problem = c_prefix_problem(given ? given : id);
  if (!given) {
    if (problem) id = arena_printf(&s->arena, "model_%s", id);
    return arena_strndup(&s->arena, id, strnlen(id, LONGEST_PREFIX));
  }
  if (problem)
    session_fail(s, EXIT_USAGE, "--prefix %s: %s; take another, such as model_%s", given, problem, id);
  else if (strcmp(id, given) != 0)
    session_fail(s, EXIT_USAGE, "--prefix %s: must be a C identifier, such as %s", given, id);
  else if (strlen(given) > LONGEST_PREFIX)
    session_fail(s, EXIT_USAGE, "--prefix: longer than %d characters", LONGEST_PREFIX);
  return id;
}
