// cc.c: from a Program to objects, libraries and executables through a C compiler. Everything is made in a temporary
// folder beside the target and moved there at the end.
//
//   PREFIX.c PREFIX.h PREFIX_glue.c  --cc -O2-->  PREFIX.o PREFIX_glue.o  --ar | cc-->  out
//
// With --backend=llvm (backend.c) the objects come from LLVM, and no C compiler is run.
#include "driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef SY_SANITIZED
#define LINK_EXTRA "-fsanitize=address,undefined"
#else
#define LINK_EXTRA "-s"
#endif

/* programs ------------------------------------------------------------------------------------------------------------
 */
static bool is_program(const char *path) {
  struct stat st;
  return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

const char *cc_find(Arena *a, const char *program) {
  if (strchr(program, '/')) return is_program(program) ? program : NULL;
  const char *path = getenv("PATH");
  while (path && *path && *program) {
    size_t n = strcspn(path, ":");
    const char *full = arena_printf(a, "%.*s/%s", (int)n, path, program);
    if (is_program(full)) return full;
    path += n + (path[n] == ':');
  }
  return NULL;
}

bool cc_have(const char *program) {
  Arena a = {0};
  bool found = cc_find(&a, program) != NULL;
  arena_free(&a);
  return found;
}

int cc_spawn(Session *s, const char *const *argv, const char *dir) {
  if (s->opt.verbose) {
    for (size_t i = 0; argv[i]; i++) fputs(i ? " " : "", stderr), text_print(stderr, argv[i]);
    fputc('\n', stderr);
  }
  return temp_spawn(argv, NULL, dir);
}

// What the user says, or a compiler that is here; NULL if there is none.
static const char *chosen_cc(const Session *s) {
  static const char *const known[] = {"gcc", "clang", "cc"};
  const char *env = getenv("CC");
  if (s->opt.cc) return s->opt.cc;
  if (env && *env) return env;
  for (size_t i = 0; i < 3; i++)
    if (cc_have(known[i])) return known[i];
  return NULL;
}

StrList cc_words(Session *s, const char *triple) {
  StrList a = {0};
  const char *text = triple ? arena_printf(&s->arena, "%s-gcc", triple) : chosen_cc(s), *word;
  if (!text) text = "cc";
  if (cc_have(text)) { // a path with blanks
    VEC_PUSH(&s->arena, a, text);
    return a;
  }
  while ((word = next_word(&s->arena, &text))) VEC_PUSH(&s->arena, a, word);
  if (!a.n) VEC_PUSH(&s->arena, a, "cc");
  return a;
}

const char *cc_ask(Session *s, const StrList *cc, const char *option) {
  const char *dir = temp_dir(s, NULL), *err = "";
  if (!dir) return NULL;
  const char *file = arena_printf(&s->arena, "%s/answer", dir);
  StrList a = {0};
  for (size_t i = 0; i < cc->n; i++) VEC_PUSH(&s->arena, a, cc->at[i]);
  VEC_PUSH(&s->arena, a, option);
  VEC_PUSH(&s->arena, a, NULL);
  size_t n = 0;
  const char *text = temp_spawn(a.at, file, dir) == 0 ? file_read(&s->arena, file, &n, &err) : NULL;
  temp_remove(dir);
  return text;
}

const char *cc_machine(Session *s) {
  StrList cc = cc_words(s, NULL);
  return cc_ask(s, &cc, "-dumpmachine");
}

const char *cc_runtime_dir(Session *s, const char *what) {
  char exe[1024];
  ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
  exe[n > 0 ? n : 0] = 0;
  char *slash = strrchr(exe, '/');
  if (slash) *slash = 0;
  bool lib = !strcmp(what, "lib");
  const char *probe = lib ? "libsyrt.a" : "switchyard.h";
  const char *places[] = {arena_printf(&s->arena, lib ? "%s/../lib" : "%s/../include/switchyard", exe),
                          lib ? SY_BUILD_DIR "/lib" : SY_SOURCE_DIR "/runtime"};
  for (size_t i = 0; i < 2; i++)
    if (access(arena_printf(&s->arena, "%s/%s", places[i], probe), R_OK) == 0) return places[i];
  session_fail(s, EXIT_IO, "cannot find %s of this installation (looked in %s and %s)", probe, places[0], places[1]);
  return NULL;
}

CcTexts cc_texts(const Program *p, const char *prefix) {
  CcTexts t = {0};
  char header[300];
  snprintf(header, sizeof header, "%.200s.h", prefix);
  EmitModel o = {.prefix = prefix, .header_name = header, .describe_host = true};
  emit_model_c(p, &o, &t.c);
  emit_model_h(p, &o, &t.h);
  emit_model_glue(p, &o, &t.glue);
  return t;
}

void cc_free_texts(CcTexts *t) {
  buf_free(&t->c);
  buf_free(&t->h);
  buf_free(&t->glue);
}

static bool write_file(Session *s, const char *path, const Buf *b) {
  const char *err = "";
  if (file_write(path, b->s, b->n, &err)) return true;
  session_fail(s, EXIT_IO, "cannot write %s: %s", path, err);
  return false;
}

static bool run_tool(Session *s, const char *const *argv, const char *dir, const char *doing) {
  int code = cc_spawn(s, argv, dir);
  if (code == 0) return true;
  if (code == 127)
    session_fail(s, EXIT_IO, "%s: cannot run '%s' (install it, or name another with --cc)", doing, argv[0]);
  else if (code > 128)
    session_fail(s, EXIT_IO, "%s: '%s' was ended by signal %d (%s)", doing, argv[0], code - 128, strsignal(code - 128));
  else
    session_fail(s, EXIT_IO, "%s: '%s' failed with exit code %d", doing, argv[0], code);
  return false;
}

static bool run_words(Session *s, const StrList *cc, const char *const *words, const StrList *more, const char *dir,
                      const char *doing) {
  StrList a = {0};
  for (size_t i = 0; i < cc->n; i++) VEC_PUSH(&s->arena, a, cc->at[i]);
  for (; *words; words++) VEC_PUSH(&s->arena, a, *words);
  for (size_t i = 0; more && i < more->n; i++) VEC_PUSH(&s->arena, a, more->at[i]);
  VEC_PUSH(&s->arena, a, NULL);
  return run_tool(s, a.at, dir, doing);
}

// Compiles dir/NAME.c to dir/NAME.o.
static bool compile(Session *s, const StrList *cc, const Building *b, const char *name) {
  const char *src = arena_printf(&s->arena, "%s/%s.c", b->dir, name),
             *obj = arena_printf(&s->arena, "%s/%s.o", b->dir, name);
  const char *include = cc_runtime_dir(s, "include");
  const char *words[] = {"-std=c11", "-O2", "-ffp-contract=off", "-fPIC", "-I", b->dir, "-I", include, "-c", src, "-o",
                         obj,        NULL};
  return include && run_words(s, cc, words, &s->cc_flags, b->dir, "compiling the emitted C");
}

bool cc_archive(Session *s, const char *triple, const char *object, const char *result) {
  const char *ar = triple ? arena_printf(&s->arena, "%s-ar", triple) : "ar";
  if (!cc_have(ar)) ar = cc_have("llvm-ar") ? "llvm-ar" : "ar";
  if (!cc_have(ar)) return session_fail(s, EXIT_IO, "there is no ar to make the library with: install binutils"), false;
  return run_tool(s, (const char *[]){ar, "rcsD", result, object, NULL}, NULL, "making the library");
}

const char *const cc_libraries[] = {"libsymain.a", "libsyhost.a", "libsyrt.a", "libsybase.a", "libsycommon.a", NULL};

static const struct { // in the order of linking; where Debian has lib(NAME).a
  const char *name, *package;
} linked[] = {{"jpeg", "libjpeg-dev"}, {"png", "libpng-dev"},           {"webp", "libwebp-dev"},
              {"z", "zlib1g-dev"},     {"utf8proc", "libutf8proc-dev"}, {"pcre2-8", "libpcre2-dev"},
              {"m", "libc6-dev"},      {"pthread", "libc6-dev"}};

// Has the compiler a static library? It prints the path, or the name alone.
static bool has_static(Session *s, const StrList *cc, const char *name, const char *dir) {
  StrList a = {0};
  const char *file = arena_printf(&s->arena, "%s/where", dir), *err = "";
  for (size_t i = 0; i < cc->n; i++) VEC_PUSH(&s->arena, a, cc->at[i]);
  VEC_PUSH(&s->arena, a, arena_printf(&s->arena, "-print-file-name=lib%s.a", name));
  VEC_PUSH(&s->arena, a, NULL);
  size_t n = 0;
  char *path = temp_spawn(a.at, file, dir) == 0 ? file_read(&s->arena, file, &n, &err) : NULL;
  return !path || strchr(path, '/'); // a compiler that does not say it is left to say what it lacks
}

static bool all_static(Session *s, const StrList *cc, const char *dir) {
  for (size_t i = 0; i < sizeof linked / sizeof *linked; i++) {
    if (has_static(s, cc, linked[i].name, dir)) continue;
    session_fail(s, EXIT_IO, "--static: there is no lib%s.a here; Debian has it in %s", linked[i].name,
                 linked[i].package);
    return false;
  }
  return true;
}

static bool link_exe(Session *s, const StrList *cc, const Building *b, const char *obj, const char *glue,
                     const char *result) {
  const char *lib = cc_runtime_dir(s, "lib"), *words[] = {"-o", result, obj, glue, NULL};
  StrList more = {0};
  if (!lib || (s->opt.fixed && !all_static(s, cc, b->dir))) return false;
  for (size_t i = 0; cc_libraries[i]; i++)
    VEC_PUSH(&s->arena, more, arena_printf(&s->arena, "%s/%s", lib, cc_libraries[i]));
  for (size_t i = 0; i < sizeof linked / sizeof *linked; i++)
    VEC_PUSH(&s->arena, more, arena_printf(&s->arena, "-l%s", linked[i].name));
  if (s->opt.fixed) VEC_PUSH(&s->arena, more, "-static");
  VEC_PUSH(&s->arena, more, "-Wl,--gc-sections");
  VEC_PUSH(&s->arena, more, LINK_EXTRA);
  return run_words(s, cc, words, &more, b->dir, "linking the executable");
}

static bool link_kind(Session *s, const StrList *cc, const Building *b) {
  const char *obj = arena_printf(&s->arena, "%s/%s.o", b->dir, b->prefix);
  const char *glue = arena_printf(&s->arena, "%s/%s_glue.o", b->dir, b->prefix);
  const char *so[] = {"-shared", "-o", b->result, obj, glue, "-lm", NULL};
  if (b->kind == CC_LIB) return cc_archive(s, b->triple, obj, b->result);
  if (b->kind == CC_SO) return run_words(s, cc, so, NULL, b->dir, "linking the library");
  return link_exe(s, cc, b, obj, glue, b->result);
}

// Asked for, or the only way there is.
const BackEnd *cc_back_end(Session *s, CcKind kind) {
  const BackEnd *asked = s->opt.backend ? back_end_named(s->opt.backend) : NULL, *llvm = back_end_named("llvm");
  if (kind == CC_JIT || backend_machine_option(s)) return llvm;
  if (asked) return asked->build ? asked : llvm;
  bool makes = !strcmp(s->command, "build") || !strcmp(s->command, "emit") || !strcmp(s->command, "run");
  if (!makes || chosen_cc(s) || llvm->missing()) return back_end_named("c");
  session_note(s, "syc: note: there is no C compiler here; LLVM makes the code (--backend=llvm)");
  s->opt.backend = "llvm";
  return llvm;
}

static bool build_texts(Session *s, const Building *b, const CcTexts *text) {
  StrList cc = cc_words(s, b->triple);
  bool ok = write_file(s, arena_printf(&s->arena, "%s/%s.c", b->dir, b->prefix), &text->c) &&
            write_file(s, arena_printf(&s->arena, "%s/%s.h", b->dir, b->prefix), &text->h) &&
            compile(s, &cc, b, b->prefix);
  if (ok && (b->kind == CC_SO || b->kind == CC_EXE)) {
    const char *name = arena_printf(&s->arena, "%s_glue", b->prefix);
    ok = write_file(s, arena_printf(&s->arena, "%s/%s.c", b->dir, name), &text->glue) && compile(s, &cc, b, name);
  }
  return ok && (b->kind == CC_OBJ || link_kind(s, &cc, b));
}

bool cc_build(Session *s, const Building *b) {
  CcTexts text = cc_texts(b->p, b->prefix);
  bool ok = build_texts(s, b, &text);
  cc_free_texts(&text);
  return ok;
}

// The folder that a result is made in: beside its place, which is looked at before a compiler takes its time.
static char *folder_for(Session *s, const char *out) {
  NewFile place = {0};
  char *dir = NULL;
  if (file_is_special(out))
    session_fail(s, EXIT_IO, "cannot write %s: it is not a regular file", out);
  else if (output_open(s, &place, out))
    dir = temp_dir(s, place.path);
  new_file_drop(&place);
  return dir;
}

bool cc_program(Session *s, const Program *p, const char *prefix, CcKind kind, const char *triple, const char *out,
                Made *made) {
  if (s->opt.fixed && (kind != CC_EXE || cc_back_end(s, kind)->build != cc_build))
    return session_fail(s, EXIT_USAGE, "--static goes with executables that a C compiler links"), false;
  *made = (Made){.dir = folder_for(s, out)};
  if (!made->dir) return false;
  bool object = kind == CC_OBJ || kind == CC_JIT;
  const char *result =
      object ? arena_printf(&s->arena, "%s/%s.o", made->dir, prefix) : arena_printf(&s->arena, "%s/result", made->dir);
  bool ok = cc_back_end(s, kind)->build(s, &(Building){p, made->dir, prefix, kind, triple, result});
  if (ok && !new_file_adopt(&made->file, result, out)) {
    session_fail(s, EXIT_IO, "cannot write %s: %s", out, strerror(errno));
    ok = false;
  }
  if (!ok) cc_made_drop(made);
  return ok;
}

void cc_made_drop(Made *made) {
  new_file_drop(&made->file);
  if (made->dir) temp_remove(made->dir);
  *made = (Made){0};
}
