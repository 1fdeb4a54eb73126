// emit.c: `syc emit` and `syc build`: everything that can be made of a spec, by kind. emits[] is the list of kinds.
#include "codegen/llvm/llvm.h"
#include "driver.h"
#include "emit_kernels.h"
#include "emit_onnx.h"
#include "passes/place.h"

#include <string.h>
#include <unistd.h>

typedef struct Job {
  Session *s;
  const char *spec;
  const char *pass; // of ir@PASS, or NULL
  const char *out;  // path or "-"
} Job;

static bool write_text(Job *j, const Buf *b) {
  return output_text(j->s, j->out, b);
}

// An arena is as large as the bounds of the run-time dims ask for, and few calls use them.
static void note_arena(Session *s, const Program *p) {
  static const int64_t large = (int64_t)4 << 30;
  if (p->arena_bytes < large) return;
  Buf b = {0};
  for (size_t d = 0; d < p->module->ndim; d++)
    buf_printf(&b, "%s%s = %lld", d ? ", " : "for ", p->module->dim[d].name, (long long)p->module->dim[d].hi);
  session_note(s, "syc: note: %s%san arena has %.1f GB%s", b.s ? b.s : "", b.s ? " " : "", (double)p->arena_bytes / 1e9,
               b.s ? "; --dim NAME=N lowers a bound" : "");
  buf_free(&b);
}

static Program *load_program(Job *j) {
  const Target *t[MAX_TARGETS];
  size_t n = session_targets(j->s, j->s->opt.isa, t);
  Module *m = n ? module_for_weights(j->s, j->spec) : NULL;
  Program *p = m ? session_program(j->s, m, t, n) : NULL;
  if (p) note_arena(j->s, p);
  return p;
}

static bool emit_ast(Job *j) {
  const char *path, *preset;
  size_t n;
  char *text = session_read_spec(j->s, j->spec, &path, &preset, &n);
  Buf b = {0};
  bool ok = text && front_dump_ast(&j->s->arena, &j->s->names, &j->s->diag, path, text, n, &b);
  ok = session_flush(j->s) && ok && write_text(j, &b);
  buf_free(&b);
  return ok;
}

static bool emit_ir(Job *j) {
  Module *m = module_for_weights(j->s, j->spec);
  if (!m) return false;
  if (j->pass) {
    if (!session_known_pass(j->s, "--emit=ir@", strcmp(j->pass, "input") != 0 ? j->pass : NULL)) return false;
    if (strcmp(j->pass, "input") != 0) {
      const char *keep = j->s->opt.stop_after; // other kinds of the same command go on to the end
      j->s->opt.stop_after = j->pass;
      bool passed = session_passes(j->s, m);
      j->s->opt.stop_after = keep;
      if (!passed) return false;
    }
  } else if (!session_passes(j->s, m)) {
    return false;
  }
  Buf b = {0};
  module_print(m, &b);
  bool ok = write_text(j, &b);
  buf_free(&b);
  return ok;
}

static bool emit_kir(Job *j) {
  Program *p = load_program(j);
  if (!p) return false;
  Buf b = {0};
  for (size_t i = 0; i < p->kernel.n; i++)
    for (size_t t = 0; t < p->ntarget; t++) {
      Kernel k = *p->kernel.at[i].k[t];
      k.isa = p->target[t]->name;
      kernel_print(&k, &b);
      buf_putc(&b, '\n');
    }
  bool ok = write_text(j, &b);
  buf_free(&b);
  return ok;
}

static bool emit_source(Job *j, void (*emit)(const Program *, const EmitModel *, Buf *)) {
  Program *p = load_program(j);
  if (!p) return false;
  const char *prefix = session_prefix(j->s, p->module);
  if (j->s->exit_code) return false;
  EmitModel o = {.prefix = prefix, .header_name = arena_printf(&j->s->arena, "%s.h", prefix), .describe_host = true};
  Buf b = {0};
  emit(p, &o, &b);
  bool ok = write_text(j, &b);
  buf_free(&b);
  return ok;
}

static bool emit_h(Job *j) {
  return emit_source(j, emit_model_h);
}

// foo.c gets its foo.h beside it, under the name the C file includes.
static bool emit_c(Job *j) {
  if (!strcmp(j->out, "-")) return emit_source(j, emit_model_c);
  size_t n = strlen(j->out);
  const char *base = strrchr(j->out, '/');
  base = base ? base + 1 : j->out;
  bool suffix = n > 2 && !strcmp(j->out + n - 2, ".c");
  const char *stem = arena_strndup(&j->s->arena, j->out, suffix ? n - 2 : n);
  Program *p = load_program(j);
  if (!p) return false;
  const char *prefix = session_prefix(j->s, p->module);
  if (j->s->exit_code) return false;
  const char *stem_base = strrchr(stem, '/');
  EmitModel o = {.prefix = prefix,
                 .header_name = arena_printf(&j->s->arena, "%s.h", stem_base ? stem_base + 1 : stem),
                 .describe_host = true};
  Buf c = {0}, h = {0};
  emit_model_c(p, &o, &c);
  emit_model_h(p, &o, &h);
  const char *out = j->out;
  j->out = arena_printf(&j->s->arena, "%s.h", stem);
  bool ok = write_text(j, &h);
  j->out = out;
  ok = ok && write_text(j, &c);
  buf_free(&c);
  buf_free(&h);
  return ok;
}

static void dot_value(const Graph *g, uint32_t i, size_t gi, Buf *b) {
  const Value *v = &g->value.at[i];
  Buf t = {0};
  type_print(&t, g->module, &v->type);
  const char *name = value_str(v, A_name);
  buf_printf(b, "    v%zu_%u [label=\"%s%s%s\\n%s\"%s];\n", gi, i, op_info[v->op].name, name ? " " : "",
             name ? name : "", t.s, op_info[v->op].flags & F_SOURCE ? " shape=ellipse" : "");
  buf_free(&t);
}

// Weights and what the packer makes of them: they are left out, as their readers' names say what they are.
static bool beside_the_graph(const Graph *g, Val v) {
  return !graph_value(g, v)->group && graph_residency(g, v) <= RES_param;
}

// Graphviz: a cluster for each group.
static bool emit_dot(Job *j) {
  Module *m = module_for_weights(j->s, j->spec);
  if (!m || !session_passes(j->s, m)) return false;
  Buf b = {0};
  buf_printf(&b, "digraph \"%s\" {\n  node [shape=box fontname=\"monospace\" fontsize=10];\n", m->name);
  for (size_t gi = 0; gi < m->graph.n; gi++) {
    const Graph *g = m->graph.at[gi];
    buf_printf(&b, "  subgraph cluster_r%zu {\n    label=\"%s\";\n", gi, g->name);
    GroupList groups = groups_collect(g, &j->s->arena);
    for (uint32_t i = 1; i < g->value.n; i++)
      if (!g->value.at[i].dead && !g->value.at[i].group && !beside_the_graph(g, (Val){i})) dot_value(g, i, gi, &b);
    for (size_t k = 0; k < groups.n; k++) {
      buf_printf(&b, "    subgraph cluster_r%zu_g%u {\n    label=\"group %u\"; style=rounded;\n", gi, groups.at[k].id,
                 groups.at[k].id);
      for (size_t q = 0; q < groups.at[k].member.n; q++) dot_value(g, groups.at[k].member.at[q].id, gi, &b);
      buf_puts(&b, "    }\n");
    }
    for (uint32_t i = 1; i < g->value.n; i++)
      for (uint32_t a = 0; !g->value.at[i].dead && a < g->value.at[i].nargs; a++)
        if (!beside_the_graph(g, g->value.at[i].args[a]))
          buf_printf(&b, "    v%zu_%u -> v%zu_%u;\n", gi, g->value.at[i].args[a].id, gi, i);
    buf_puts(&b, "  }\n");
  }
  buf_puts(&b, "}\n");
  bool ok = write_text(j, &b);
  buf_free(&b);
  return ok;
}

static bool pack_beside(Job *j, const Program *p) {
  Session *s = j->s;
  Checkpoint c = {0};
  const char *path = arena_printf(&s->arena, "%s.syw", j->out);
  NewFile *packed = output_file(s, path);
  bool ok = packed && checkpoint_open(s, &c, s->opt.weights.at, s->opt.weights.n) && checkpoint_check(s, &c, p, true) &&
            weights_pack_into(s, p, packed, path, &c);
  checkpoint_close(&c);
  return ok;
}

// NAME.h beside NAME.a: a library is of no use without it.
static bool header_beside(Job *j, const Program *p, const char *prefix) {
  Session *s = j->s;
  size_t n = strlen(j->out);
  bool suffix = n > 2 && !strcmp(j->out + n - 2, ".a");
  const char *path = arena_printf(&s->arena, "%.*s.h", (int)(suffix ? n - 2 : n), j->out), *base = strrchr(path, '/');
  EmitModel o = {.prefix = prefix, .header_name = base ? base + 1 : path, .describe_host = true};
  Buf h = {0};
  emit_model_h(p, &o, &h);
  bool ok = output_text(s, path, &h);
  buf_free(&h);
  return ok;
}

// Are the sets of --isa those of the machine that the code is for? Others would never be used, without a word.
static bool isa_of_machine(Session *s, CcKind kind) {
  const Target *t[MAX_TARGETS];
  if (!s->opt.isa || s->opt.target) return true; // session_targets knows those of --target
  size_t n = session_targets(s, s->opt.isa, t);
  const BackEnd *b = cc_back_end(s, kind);
  if (!b->machine) return n && session_targets_run(s, t, n, NULL);
  const char *machine = b->machine(s);
  return n && (!machine || session_targets_run(s, t, n, machine));
}

static bool emit_binary(Job *j, CcKind kind) {
  if (!strcmp(j->out, "-")) {
    session_fail(j->s, EXIT_USAGE, "this kind of output cannot go to standard output; name a file with -o");
    return false;
  }
  if (!isa_of_machine(j->s, kind)) return false;
  Program *p = load_program(j);
  if (!p) return false;
  const char *prefix = session_prefix(j->s, p->module);
  Made made = {0};
  if (j->s->exit_code || !cc_program(j->s, p, prefix, kind, NULL, j->out, &made)) return false;
  if (!output_made(j->s, &made) || (j->s->opt.weights.n && !pack_beside(j, p))) return false;
  return kind != CC_LIB || header_beside(j, p, prefix);
}
static bool emit_obj(Job *j) {
  return emit_binary(j, CC_OBJ);
}
static bool emit_lib(Job *j) {
  return emit_binary(j, CC_LIB);
}
static bool emit_so(Job *j) {
  return emit_binary(j, CC_SO);
}
static bool emit_exe(Job *j) {
  return emit_binary(j, CC_EXE);
}
// A module for WebAssembly that imports nothing; its memory, the route functions and __heap_base are exported.
static bool emit_wasm(Job *j) {
  if (!j->s->opt.target) j->s->opt.target = "wasm32";
  return emit_binary(j, CC_SO);
}

// The module as LLVM IR before its passes, as bitcode, or as assembly behind them.
static bool emit_with_llvm(Job *j, LlvmKind kind) {
  Program *p = load_program(j);
  if (!p) return false;
  const char *prefix = session_prefix(j->s, p->module);
  Buf b = {0};
  bool ok = !j->s->exit_code && backend_emit(j->s, p, prefix, (int)kind, false, NULL, &b) && write_text(j, &b);
  buf_free(&b);
  return ok;
}
static bool emit_llvm(Job *j) {
  return emit_with_llvm(j, LLVM_TEXT);
}
static bool emit_bc(Job *j) {
  return emit_with_llvm(j, LLVM_BITCODE);
}
static bool emit_asm(Job *j) {
  return emit_with_llvm(j, LLVM_ASM);
}

bool explain_json(Session *s, const char *spec, const char *out); // explain.c
static bool emit_json(Job *j) {
  return explain_json(j->s, j->spec, j->out);
}

static bool emit_onnx_file(Job *j) {
  return emit_onnx(j->s, j->spec, j->out);
}

static const struct {
  const char *kind, *suffix;
  bool (*fn)(Job *);
  bool text;
} emits[] = {{"ast", ".ast", emit_ast, true},     {"ir", ".ir", emit_ir, true},
             {"kir", ".kir", emit_kir, true},     {"c", ".c", emit_c, true},
             {"h", ".h", emit_h, true},           {"dot", ".dot", emit_dot, true},
             {"json", ".json", emit_json, true},  {"llvm", ".ll", emit_llvm, true},
             {"bc", ".bc", emit_bc, true},        {"asm", ".s", emit_asm, true},
             {"obj", ".o", emit_obj, false},      {"lib", ".a", emit_lib, false},
             {"so", ".so", emit_so, false},       {"exe", "", emit_exe, false},
             {"wasm", ".wasm", emit_wasm, false}, {"onnx", ".onnx", emit_onnx_file, false}};
enum { NEMIT = sizeof emits / sizeof *emits };

static int unknown_kind(Session *s, const char *kind) {
  return session_fail(s, EXIT_USAGE, "--emit: there is no kind '%s' (syc help emit lists them)", kind);
}

// A path in a make rule: blanks and # are escaped, $ is doubled.
static void put_make_path(Buf *b, const char *path) {
  for (; *path; path++) {
    if (strchr(" \t#", *path)) buf_putc(b, '\\');
    if (*path == '$') buf_putc(b, '$');
    buf_putc(b, *path);
  }
}

static bool write_deps(Session *s, const char *out) {
  Buf b = {0};
  put_make_path(&b, out);
  buf_putc(&b, ':');
  const StrList *lists[] = {&s->deps, &s->opt.weights};
  for (size_t k = 0; k < 2; k++)
    for (size_t i = 0; i < lists[k]->n; i++) {
      buf_putc(&b, ' ');
      put_make_path(&b, lists[k]->at[i]);
    }
  buf_putc(&b, '\n');
  bool ok = output_text(s, arena_printf(&s->arena, "%s.d", out), &b);
  buf_free(&b);
  return ok;
}

static bool ends_with(const char *s, const char *end) {
  size_t n = strlen(s), k = strlen(end);
  return n > k && !strcmp(s + n - k, end);
}

// The text of a spec that is kernel IR, by its name or by how it begins; else NULL.
static char *kernel_text(Session *s, const char *spec, size_t *n) {
  bool named = ends_with(spec, ".kir");
  if (!named && (ends_with(spec, ".sy") || ends_with(spec, ".ir") || access(spec, R_OK) != 0 || file_is_special(spec)))
    return NULL;
  if (stream_of_path(spec) >= 0) return NULL; // can be read once only
  const char *err = "";
  char *text = file_read(&s->arena, spec, n, &err);
  if (!text && named) session_fail(s, EXIT_IO, "cannot read %s: %s", spec, err);
  if (!text || !(named || is_kernel_text(text, *n))) return NULL;
  VEC_PUSH(&s->arena, s->deps, spec);
  return text;
}

static bool make_kind(Job *j, size_t kind) {
  Session *s = j->s;
  size_t n;
  char *text = kernel_text(s, j->spec, &n);
  if (!text) return !s->exit_code && emits[kind].fn(j);
  Buf b = {0};
  bool ok = emit_kernels(s, j->spec, text, n, emits[kind].kind, &b) && write_text(j, &b);
  buf_free(&b);
  return ok;
}

static int emit_kind(Session *s, const char *spec, const char *kind, const char *out) {
  const char *at = strchr(kind, '@');
  size_t len = at ? (size_t)(at - kind) : strlen(kind);
  for (size_t i = 0; i < NEMIT; i++) {
    if (strlen(emits[i].kind) != len || strncmp(emits[i].kind, kind, len) != 0) continue;
    if (at && strcmp(emits[i].kind, "ir") != 0) break;
    Job j = {.s = s, .spec = spec, .pass = at ? at + 1 : NULL, .out = out};
    if (!out) j.out = emits[i].text ? "-" : arena_printf(&s->arena, "%s%s", "a.out", "");
    s->deps.n = 0;
    bool ok = make_kind(&j, i);
    session_flush(s);
    if (ok && s->opt.depfile && strcmp(j.out, "-") != 0) ok = write_deps(s, j.out);
    return ok ? EXIT_OK : (s->exit_code ? s->exit_code : EXIT_WRONG);
  }
  return unknown_kind(s, kind);
}

static const char *kind_of_suffix(const char *out) {
  const char *base = out ? strrchr(out, '/') : NULL, *dot = out ? strrchr(base ? base : out, '.') : NULL;
  for (size_t i = 0; dot && i < NEMIT; i++)
    if (emits[i].suffix[0] && !strcmp(dot, emits[i].suffix)) return emits[i].kind;
  return NULL;
}

static int print_passes(void) {
  for (size_t i = 0; i < pass_count; i++)
    printf("%-12s %-9s %s\n", pass_list[i].name, pass_list[i].required ? "required" : "", pass_list[i].about);
  return EXIT_OK;
}

static int emit_kinds(Session *s, const char *fallback) {
  if (s->opt.print_passes) return print_passes();
  if (s->opt.arg.n != 1)
    return session_fail(s, EXIT_USAGE, "syc %s takes one spec, such as models/vit.sy:base (%zu given; syc %s --help)",
                        s->command, s->opt.arg.n, s->command);
  const char *spec = s->opt.arg.at[0], *out = s->opt.output, *kinds = s->opt.emit;
  const Target *unused[MAX_TARGETS]; // a wrong name is an error for any kind of output
  if (!session_back_end(s, USE_FILES) || !session_targets(s, s->opt.isa, unused)) return s->exit_code;
  if (!kinds) kinds = kind_of_suffix(out);
  if (!kinds) kinds = fallback;
  if (!strchr(kinds, ',')) return emit_kind(s, spec, kinds, out);
  if (!out || !strcmp(out, "-"))
    return session_fail(s, EXIT_USAGE, "several kinds of output need -o NAME; suffixes are added to NAME");
  char *copy = arena_strdup(&s->arena, kinds), *save = NULL;
  for (char *k = strtok_r(copy, ",", &save); k; k = strtok_r(NULL, ",", &save)) {
    const char *suffix = NULL;
    for (size_t i = 0; i < NEMIT; i++)
      if (!strncmp(k, emits[i].kind, strlen(emits[i].kind)) && strcspn(k, "@") == strlen(emits[i].kind))
        suffix = emits[i].suffix;
    if (!suffix) return unknown_kind(s, k);
    int code = emit_kind(s, spec, k, arena_printf(&s->arena, "%s%s", out, suffix));
    if (code) return code;
  }
  return EXIT_OK;
}

// All outputs or none.
static int emit_all(Session *s, const char *fallback) {
  int code = emit_kinds(s, fallback);
  if (code == EXIT_OK && !outputs_put(s)) code = s->exit_code;
  outputs_drop(s);
  return code;
}

// --print-page: a published folder as the page that is compiled of it.
static int print_page(Session *s) {
  const char *path, *preset;
  size_t n = 0;
  if (s->opt.arg.n != 1 || !session_is_folder(s, s->opt.arg.at[0]))
    return session_fail(s, EXIT_USAGE, "--print-page takes a published folder; a page is there already");
  s->wants_weights = false;
  const char *text = session_read_spec(s, s->opt.arg.at[0], &path, &preset, &n);
  if (!text) return s->exit_code;
  Buf b = {0};
  buf_printf(&b, "# %s of %s, preset %s%s%s\n\n", path, s->opt.arg.at[0], preset,
             s->folder.routes ? "; its weights are those of --routes " : "", s->folder.routes ? s->folder.routes : "");
  buf_puts(&b, text);
  bool ok = output_text(s, s->opt.output ? s->opt.output : "-", &b) && outputs_put(s);
  buf_free(&b);
  return ok ? EXIT_OK : s->exit_code;
}

// models/vit.sy:base -> ./vit; of a folder the page's name, as the folder's own is taken.
static const char *default_output(Session *s) {
  const char *spec = s->opt.arg.at[0], *path = spec, *preset;
  size_t n = 0;
  if (session_is_folder(s, spec) && !session_read_spec(s, spec, &path, &preset, &n)) return NULL;
  const char *base = strrchr(path, '/');
  base = base ? base + 1 : path;
  n = strcspn(base, ".:");
  return n ? arena_strndup(&s->arena, base, n) : NULL;
}

int cmd_emit(Session *s) {
  return s->opt.print_page ? print_page(s) : emit_all(s, "ir");
}

int cmd_build(Session *s) {
  if (s->opt.print_page) return print_page(s);
  if (!s->opt.output && s->opt.arg.n == 1 && !(s->opt.output = default_output(s)) && s->exit_code) return s->exit_code;
  int code = emit_all(s, "exe");
  if (code == EXIT_OK && s->opt.output && strcmp(s->opt.output, "-") != 0 && !s->opt.emit &&
      !kind_of_suffix(s->opt.output)) {
    if (s->opt.weights.n)
      session_note(s, "%s and %s.syw written", s->opt.output, s->opt.output);
    else
      session_note(s, "%s written; give it weights with: syc weights pack %s --weights FILE.safetensors -o %s.syw",
                   s->opt.output, s->opt.arg.at[0], s->opt.output);
  }
  return code;
}
