// cc.c: from a Program to objects, libraries and executables through a C compiler. Everything is made in a temporary
// folder beside the target and moved there at the end.
//
//   PREFIX.c PREFIX.h PREFIX_glue.c  --cc -O2-->  PREFIX.o PREFIX_glue.o  --ar | cc-->  out
//
// With --backend=llvm (backend.c) the objects come from LLVM, and no C compiler is run.
#include "driver.h"

#include "codegen/llvm/llvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef SY_SANITIZED
#define LINK_EXTRA "-fsanitize=address,undefined"
#else
#define LINK_EXTRA "-s"
#endif

bool cc_have(const char *program) {
  if (strchr(program, '/')) return access(program, X_OK) == 0;
  const char *path = getenv("PATH");
  char full[1024];
  while (path && *path) {
    size_t n = strcspn(path, ":");
    snprintf(full, sizeof full, "%.*s/%s", (int)n, path, program);
    if (access(full, X_OK) == 0) return true;
    path += n + (path[n] == ':');
  }
  return false;
}

int cc_spawn(Session *s, const char *const *argv, const char *stdout_file) {
  if (s->opt.verbose) {
    for (size_t i = 0; argv[i]; i++) fprintf(stderr, "%s%s", i ? " " : "", argv[i]);
    fputc('\n', stderr);
  }
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) return 127;
  if (pid == 0) {
    if (stdout_file) {
      int fd = open(stdout_file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
      if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0) _exit(127);
    }
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
  }
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What the user says, or a compiler that is here; NULL if there is none.
static const char *find_cc(const Session *s) {
  static const char *const known[] = {"gcc", "clang", "cc"};
  const char *env = getenv("CC");
  if (s->opt.cc) return s->opt.cc;
  if (env && *env) return env;
  for (size_t i = 0; i < 3; i++)
    if (cc_have(known[i])) return known[i];
  return NULL;
}

static const char *choose_cc(Session *s, const char *triple) {
  if (triple) return arena_printf(&s->arena, "%s-gcc", triple);
  const char *cc = find_cc(s);
  return cc ? cc : "cc";
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

typedef struct Files { // texts of a module and where they go
  const char *dir, *prefix;
  Buf c, h, glue;
} Files;

static Files emit_files(const Program *p, const char *prefix) {
  Files f = {.prefix = prefix};
  char header[300];
  snprintf(header, sizeof header, "%.200s.h", prefix);
  EmitModel o = {.prefix = prefix, .header_name = header, .describe_host = true};
  emit_model_c(p, &o, &f.c);
  emit_model_h(p, &o, &f.h);
  emit_model_glue(p, &o, &f.glue);
  return f;
}
static void free_files(Files *f) {
  buf_free(&f->c);
  buf_free(&f->h);
  buf_free(&f->glue);
}

static bool write_file(Session *s, const char *path, const Buf *b) {
  const char *err = "";
  if (file_write(path, b->s, b->n, &err)) return true;
  session_fail(s, EXIT_IO, "cannot write %s: %s", path, err);
  return false;
}

static bool run_tool(Session *s, const char *const *argv, const char *doing) {
  int code = cc_spawn(s, argv, NULL);
  if (code == 0) return true;
  if (code == 127)
    session_fail(s, EXIT_IO, "%s: cannot run '%s' (install it, or name another with --cc)", doing, argv[0]);
  else
    session_fail(s, EXIT_IO, "%s: '%s' failed with exit code %d", doing, argv[0], code);
  return false;
}

// Compiles dir/NAME.c to dir/NAME.o.
static bool compile(Session *s, const char *cc, const Files *f, const char *name) {
  const char *src = arena_printf(&s->arena, "%s/%s.c", f->dir, name),
             *obj = arena_printf(&s->arena, "%s/%s.o", f->dir, name);
  const char *include = cc_runtime_dir(s, "include");
  if (!include) return false;
  StrList a = {0};
  const char *fixed[] = {cc,  "-std=c11", "-O2", "-ffp-contract=off", "-fPIC", "-I", f->dir, "-I", include, "-c",
                         src, "-o",       obj};
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) VEC_PUSH(&s->arena, a, fixed[i]);
  for (size_t i = 0; i < s->cc_flags.n; i++) VEC_PUSH(&s->arena, a, s->cc_flags.at[i]);
  VEC_PUSH(&s->arena, a, NULL);
  return run_tool(s, a.at, "compiling the emitted C");
}

bool cc_archive(Session *s, const char *triple, const char *object, const char *result) {
  const char *ar = triple ? arena_printf(&s->arena, "%s-ar", triple) : "ar";
  if (!cc_have(ar)) ar = cc_have("llvm-ar") ? "llvm-ar" : "ar";
  if (!cc_have(ar)) return session_fail(s, EXIT_IO, "there is no ar to make the library with: install binutils"), false;
  return run_tool(s, (const char *[]){ar, "rcsD", result, object, NULL}, "making the library");
}

// What each kind is linked with. Relative to the folder; "" ends.
static bool link_kind(Session *s, const char *cc, const char *triple, const Files *f, CcKind kind, const char *result) {
  const char *obj = arena_printf(&s->arena, "%s/%s.o", f->dir, f->prefix);
  const char *glue = arena_printf(&s->arena, "%s/%s_glue.o", f->dir, f->prefix);
  if (kind == CC_LIB) return cc_archive(s, triple, obj, result);
  if (kind == CC_SO)
    return run_tool(s, (const char *[]){cc, "-shared", "-o", result, obj, glue, "-lm", NULL}, "linking the library");
  const char *lib = cc_runtime_dir(s, "lib");
  if (!lib) return false;
  const char *argv[] = {cc,
                        "-o",
                        result,
                        obj,
                        glue,
                        arena_printf(&s->arena, "%s/libsymain.a", lib),
                        arena_printf(&s->arena, "%s/libsyhost.a", lib),
                        arena_printf(&s->arena, "%s/libsyckpt.a", lib),
                        arena_printf(&s->arena, "%s/libsyrt.a", lib),
                        "-ljpeg",
                        "-lpng",
                        "-lz",
                        "-lutf8proc",
                        "-lcjson",
                        "-lm",
                        "-lpthread",
                        "-Wl,--gc-sections",
                        LINK_EXTRA,
                        NULL};
  return run_tool(s, argv, "linking the executable");
}

// Asked for, or the only way there is.
static bool by_llvm(Session *s, CcKind kind) {
  if (kind == CC_JIT || backend_machine_option(s)) return true;
  if (s->opt.backend) return strcmp(s->opt.backend, "c") != 0;
  bool makes = !strcmp(s->command, "build") || !strcmp(s->command, "emit") || !strcmp(s->command, "run");
  if (!makes || find_cc(s) || llvm_missing()) return false;
  session_note(s, "syc: note: there is no C compiler here; LLVM makes the code (--backend=llvm)");
  s->opt.backend = "llvm";
  return true;
}

// The same through LLVM: dir/PREFIX.o has the glue in it where a program loads it.
static bool build_llvm(Session *s, const Program *p, const Files *f, CcKind kind, const char *triple,
                       const char *result) {
  const char *object = arena_printf(&s->arena, "%s/%s.o", f->dir, f->prefix);
  bool glue = kind == CC_SO || kind == CC_EXE || kind == CC_JIT;
  Buf o = {0};
  bool ok = backend_emit(s, p, f->prefix, LLVM_OBJ, glue, triple, &o) && write_file(s, object, &o);
  buf_free(&o);
  return ok && (kind == CC_OBJ || kind == CC_JIT || backend_link(s, kind, object, triple, result));
}

static bool build_c(Session *s, const Files *f, CcKind kind, const char *triple, const char *result) {
  const char *cc = choose_cc(s, triple);
  bool ok = write_file(s, arena_printf(&s->arena, "%s/%s.c", f->dir, f->prefix), &f->c) &&
            write_file(s, arena_printf(&s->arena, "%s/%s.h", f->dir, f->prefix), &f->h) && compile(s, cc, f, f->prefix);
  if (ok && (kind == CC_SO || kind == CC_EXE)) {
    const char *name = arena_printf(&s->arena, "%s_glue", f->prefix);
    ok = write_file(s, arena_printf(&s->arena, "%s/%s.c", f->dir, name), &f->glue) && compile(s, cc, f, name);
  }
  return ok && (kind == CC_OBJ || link_kind(s, cc, triple, f, kind, result));
}

static bool build_files(Session *s, const Program *p, Files *f, CcKind kind, const char *triple, const char *out) {
  if (file_is_special(out)) {
    session_fail(s, EXIT_IO, "cannot write %s: it is not a regular file", out);
    return false;
  }
  char *dir = temp_dir(s, out);
  if (!dir) return false;
  f->dir = dir;
  bool object = kind == CC_OBJ || kind == CC_JIT;
  const char *result =
      object ? arena_printf(&s->arena, "%s/%s.o", dir, f->prefix) : arena_printf(&s->arena, "%s/result", dir);
  bool ok = by_llvm(s, kind) ? build_llvm(s, p, f, kind, triple, result) : build_c(s, f, kind, triple, result);
  if (ok && rename(result, out) != 0) {
    session_fail(s, EXIT_IO, "cannot write %s: %s", out, strerror(errno));
    ok = false;
  }
  temp_remove(dir);
  return ok;
}

bool cc_program(Session *s, const Program *p, const char *prefix, CcKind kind, const char *triple, const char *out) {
  Files f = emit_files(p, prefix);
  bool ok = build_files(s, p, &f, kind, triple, out);
  free_files(&f);
  return ok;
}

static char *cache_dir(Session *s) {
  const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  char *base =
      xdg && *xdg ? arena_strdup(&s->arena, xdg) : arena_printf(&s->arena, "%s/.cache", home && *home ? home : "/tmp");
  char *dir = arena_printf(&s->arena, "%s/switchyard", base);
  mkdir(base, 0777);
  if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
    session_fail(s, EXIT_IO, "cannot make the cache folder %s: %s (set XDG_CACHE_HOME)", dir, strerror(errno));
    return NULL;
  }
  return dir;
}

const char *cc_cached(Session *s, const Program *p, const char *prefix, CcKind kind, const char *triple) {
  static const char *const suffix[] = {
      [CC_OBJ] = "o", [CC_LIB] = "a", [CC_SO] = "so", [CC_EXE] = "exe", [CC_JIT] = "o"};
  char *dir = cache_dir(s);
  if (!dir) return NULL;
  Files f = emit_files(p, prefix);
  const char *cc = by_llvm(s, kind) ? arena_printf(&s->arena, "LLVM %s", llvm_version()) : choose_cc(s, triple);
  uint64_t h = hash_bytes(f.c.s, f.c.n, (uint64_t)kind);
  const char *machine[] = {s->opt.target ? s->opt.target : triple, s->opt.mcpu, s->opt.mattr};
  for (uint64_t i = 0; i < 3; i++)
    if (machine[i]) h = hash_bytes(machine[i], strlen(machine[i]), h + i);
  h = hash_bytes(f.h.s, f.h.n, h);
  h = hash_bytes(f.glue.s, f.glue.n, h);
  h = hash_bytes(cc, strlen(cc), h);
  for (size_t i = 0; i < s->cc_flags.n; i++) h = hash_bytes(s->cc_flags.at[i], strlen(s->cc_flags.at[i]), h);
  const char *parts[] = {"include", "lib"};
  for (size_t i = 0; i < 2; i++) { // another build of the runtime is another result
    const char *d = cc_runtime_dir(s, parts[i]);
    struct stat st;
    if (!d) return free_files(&f), NULL;
    const char *file = arena_printf(&s->arena, "%s/%s", d, i ? "libsyhost.a" : "switchyard.h");
    if (stat(file, &st) == 0 && (i == 0 || kind == CC_EXE)) {
      int64_t facts[] = {(int64_t)st.st_size, (int64_t)st.st_mtime};
      h = hash_bytes(facts, sizeof facts, h);
    }
  }
  const char *path = arena_printf(&s->arena, "%s/%s-%016llx.%s", dir, prefix, (unsigned long long)h, suffix[kind]);
  bool ok = access(path, R_OK) == 0 || build_files(s, p, &f, kind, triple, path);
  free_files(&f);
  return ok ? path : NULL;
}
