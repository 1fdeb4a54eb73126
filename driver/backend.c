// backend.c: the back ends (back_ends is the list) and which one is asked for; the way from a program to machine code
// without a C compiler: objects from LLVM, linking them with ld or lld.
//
// An executable is linked with the start files of the C library, the runtime and the host library, all of which lie in
// the library folder of the installation (see cmake/SwitchyardLlvm.cmake), and with the shared libraries that this
// machine has under the names in link.txt there: neither a compiler nor a -dev package is needed.
#include "codegen/llvm/llvm.h"
#include "driver.h"
#include "runtime/switchyard.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* the list
 * ------------------------------------------------------------------------------------------------------------------------------
 */
// dir/PREFIX.o has the glue in it where a program loads it.
static bool build_llvm(Session *s, const Building *b) {
  const char *object = arena_printf(&s->arena, "%s/%s.o", b->dir, b->prefix), *err = "";
  bool glue = b->kind == CC_SO || b->kind == CC_EXE || b->kind == CC_JIT;
  Buf o = {0};
  bool ok = backend_emit(s, b->p, b->prefix, LLVM_OBJ, glue, b->triple, &o);
  if (ok && !file_write(object, o.s, o.n, &err)) {
    session_fail(s, EXIT_IO, "cannot write %s: %s", object, err);
    ok = false;
  }
  buf_free(&o);
  bool whole = b->kind == CC_OBJ || b->kind == CC_JIT;
  return ok && (whole || backend_link(s, b->kind, object, b->triple, b->result));
}

const BackEnd back_ends[] = {
    {.name = "c", .about = "compiled C", .use = USE_FILES, .build = cc_build, .machine = cc_machine},
    {.name = "llvm",
     .about = "LLVM",
     .use = USE_FILES,
     .machines = true,
     .missing = llvm_missing,
     .build = build_llvm,
     .version = llvm_version},
    {.name = "jit",
     .about = "LLVM, in this process",
     .use = USE_LOADED,
     .machines = true,
     .missing = llvm_missing,
     .build = build_llvm,
     .version = llvm_version},
    {.name = "interp", .about = "interpreter", .use = USE_INTERPRETED},
    {.name = NULL},
};

const BackEnd *back_end_named(const char *name) {
  for (const BackEnd *b = back_ends; b->name; b++)
    if (!strcmp(b->name, name)) return b;
  return NULL;
}

const char *backend_machine_option(const Session *s) {
  return s->opt.target ? "--target" : s->opt.mcpu ? "--mcpu" : s->opt.mattr ? "--mattr" : NULL;
}

const BackEnd *session_back_end(Session *s, unsigned use) {
  const char *machine = backend_machine_option(s);
  const char *name = s->opt.backend ? s->opt.backend : machine ? "llvm" : "c";
  const BackEnd *found = NULL;
  Buf have = {0};
  for (const BackEnd *b = back_ends; b->name; b++) {
    if (!(b->use & use)) continue;
    buf_printf(&have, "%s%s", have.n ? ", " : "", b->name);
    if (!strcmp(b->name, name)) found = b;
  }
  const char *missing = found && found->missing ? found->missing() : NULL;
  if (!found)
    session_fail(s, EXIT_USAGE, "--backend takes one of %s here, not '%s'", have.s, name);
  else if (machine && !found->machines)
    session_fail(s, EXIT_USAGE, "%s needs --backend=llvm, not '%s'", machine, name), found = NULL;
  else if (missing)
    session_fail(s, EXIT_USAGE, "--backend=%s: %s", name, missing), found = NULL;
  buf_free(&have);
  return found;
}

/* another machine
 * ----------------------------------------------------------------------------------------------------------------------
 */
// In a process of its own: for some triples, processors and features LLVM ends the process, crashes, or goes on after a
// complaint.
static void emit_in_child(const Program *p, const EmitLlvm *o, LlvmKind kind, int complaints, FILE *result) {
  const char *err = "";
  Buf out = {0};
  if (dup2(complaints, STDERR_FILENO) < 0) _exit(1); // what LLVM complains about decides, see emit_apart
  bool ok = llvm_emit(p, o, kind, &out, &err);
  if (!ok) fprintf(stderr, "%s", err);
  ok = ok && fwrite(out.s, 1, out.n, result) == out.n && fflush(result) == 0;
  fflush(stderr);
  _exit(ok ? 0 : 1); // nothing of the parent's is cleaned up
}

// The first words that come through; the rest is read and dropped, so that the writer does not wait.
static void read_complaint(int from, char *text, size_t size) {
  char rest[512];
  size_t n = 0;
  ssize_t got = 0;
  while (n + 1 < size && (got = read(from, text + n, size - 1 - n)) > 0) n += (size_t)got;
  while (got > 0) got = read(from, rest, sizeof rest);
  text[n] = 0;
  text[strcspn(text, "\n")] = 0;
  char *what_it_does = strstr(text, " (ignoring");
  if (what_it_does) *what_it_does = 0;
}

static bool read_result(FILE *f, Buf *out) {
  char block[1 << 16];
  rewind(f);
  for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;) buf_putn(out, block, n);
  return !ferror(f);
}

static bool emit_apart(Session *s, const Program *p, const EmitLlvm *o, LlvmKind kind, Buf *out) {
  char text[400] = "";
  int ends[2], status = 0;
  FILE *result = tmpfile();
  if (!result || pipe(ends) != 0) return session_fail(s, EXIT_IO, "no temporary file: %s", strerror(errno)), false;
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    emit_in_child(p, o, kind, ends[1], result);
  }
  close(ends[1]);
  read_complaint(ends[0], text, sizeof text);
  close(ends[0]);
  bool ran = pid > 0 && waitpid(pid, &status, 0) == pid, known = !strstr(text, "not a recognized");
  bool ok = ran && status == 0 && known && read_result(result, out);
  fclose(result);
  if (!ok)
    session_fail(s, EXIT_USAGE, "LLVM %s cannot make code for %s%s%s: %s", llvm_version(),
                 o->triple ? o->triple : "this machine", o->cpu ? ", " : "", o->cpu ? o->cpu : "",
                 *text ? text : "it crashed");
  return ok;
}

bool backend_emit(Session *s, const Program *p, const char *prefix, int kind, bool glue, const char *triple, Buf *out) {
  const char *err = "";
  EmitLlvm o = {.prefix = prefix,
                .triple = s->opt.target ? s->opt.target : triple,
                .cpu = s->opt.mcpu,
                .features = s->opt.mattr,
                .glue = glue};
  if (o.triple || o.cpu || o.features) return emit_apart(s, p, &o, (LlvmKind)kind, out);
  if (llvm_emit(p, &o, (LlvmKind)kind, out, &err)) return true;
  session_fail(s, EXIT_USAGE, "LLVM: %s", err);
  return false;
}

const sy_model *backend_load(Session *s, const Program *p, void **handle) {
  const char *path = cc_cached(s, p, session_prefix(s, p->module), CC_JIT, NULL), *err = "";
  if (!path) return NULL;
  size_t n = 0;
  char *text = file_read(&s->arena, path, &n, &err);
  const sy_model *m = text ? llvm_load(&(Buf){.s = text, .n = n}, handle, &err) : NULL;
  if (!m) session_fail(s, EXIT_IO, "cannot load %s: %s", path, err);
  return m;
}

/* linking
 * ------------------------------------------------------------------------------------------------------------------------------
 */
static const char *find_linker(Session *s, const char *triple) {
  const char *wasm[] = {"wasm-ld", "wasm-ld-19", "wasm-ld-18", "wasm-ld-17", "wasm-ld-16", "wasm-ld-15"};
  const char *elf[] = {"ld.lld", "ld.lld-19", "ld.lld-18", "ld.lld-17", "ld.lld-16", "ld.lld-15", "ld"};
  bool web = triple && !strncmp(triple, "wasm", 4);
  const char **list = web ? wasm : elf;
  size_t n = web ? sizeof wasm / sizeof *wasm : sizeof elf / sizeof *elf - (triple != NULL); // ld knows one machine
  if (!web && !triple && cc_have("ld")) return "ld";
  for (size_t i = 0; i < n; i++)
    if (cc_have(list[i])) return list[i];
  session_fail(s, EXIT_IO, "there is no linker%s%s: install %s", triple ? " for " : "", triple ? triple : "",
               triple ? "lld" : "binutils or lld");
  return NULL;
}

// link.txt: the words that end the command; those that begin with @/ are files of the folder.
static bool add_link_words(Session *s, const char *lib, StrList *a) {
  size_t n = 0;
  const char *err = "", *path = arena_printf(&s->arena, "%s/link.txt", lib);
  char *text = file_read(&s->arena, path, &n, &err), *save = NULL;
  if (!text) return session_fail(s, EXIT_IO, "cannot read %s: %s", path, err), false;
  for (char *w = strtok_r(text, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
    VEC_PUSH(&s->arena, *a, !strncmp(w, "@/", 2) ? arena_printf(&s->arena, "%s/%s", lib, w + 2) : w);
  return true;
}

bool backend_link(Session *s, CcKind kind, const char *object, const char *triple, const char *result) {
  StrList a = {0};
  if (s->opt.target) triple = s->opt.target;
  if (kind == CC_LIB) return cc_archive(s, NULL, object, result);
  if (kind == CC_EXE && triple)
    return session_fail(s, EXIT_USAGE,
                        "an executable for %s needs the runtime of that machine: make --emit=obj and link it there",
                        triple),
           false;
  const char *ld = find_linker(s, triple);
  if (!ld) return false;
  VEC_PUSH(&s->arena, a, ld);
  bool web = triple && !strncmp(triple, "wasm", 4);
  if (kind == CC_SO && web) {
    static const char *const words[] = {"--no-entry", "--export-dynamic", "--export=__heap_base", "-s"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) VEC_PUSH(&s->arena, a, words[i]);
  } else if (kind == CC_SO) {
    VEC_PUSH(&s->arena, a, "-shared");
  }
  const char *head[] = {"-o", result, object};
  for (size_t i = 0; i < 3; i++) VEC_PUSH(&s->arena, a, head[i]);
  const char *lib = kind == CC_EXE ? cc_runtime_dir(s, "lib") : "";
  if (!lib || (kind == CC_EXE && !add_link_words(s, lib, &a))) return false;
  VEC_PUSH(&s->arena, a, NULL);
  int code = cc_spawn(s, a.at, NULL);
  if (code) session_fail(s, EXIT_IO, "linking: '%s' failed with exit code %d", ld, code);
  return code == 0;
}
