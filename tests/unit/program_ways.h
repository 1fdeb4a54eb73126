// program_ways.h: a Program through every way that makes machine code of it in this process: LLVM, and C with gcc and
// clang. A test gives a function that looks at the model on one instruction set.
#ifndef SY_PROGRAM_WAYS_H
#define SY_PROGRAM_WAYS_H

#include "program_check.h"

#include "codegen/llvm/llvm.h"
#include "codegen/model_facts.h"
#include "runtime/switchyard.h"

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const compilers[] = {"gcc", "clang"};
enum { COMPILERS = sizeof compilers / sizeof *compilers };

static size_t host_targets(const Target **t) {
  const char *err = "";
  size_t n = 0;
  if (!llvm_missing()) return llvm_targets(NULL, t, &err);
  for (size_t i = 0; targets[i]; i++)
    if (sy_cpu_runs(targets[i]->name)) t[n++] = targets[i];
  return n;
}

typedef struct Run {
  Arena *a;
  const Program *p;
  const char *weights; // the packed file
  const char *data;    // its data area
  const int64_t *dims;
  const Want *want;
  const char *what;
} Run;

// Looks at a model on one instruction set; `way` is "LLVM" or a compiler.
typedef void LookFn(const Run *r, const sy_model *m, size_t target, const char *way);

__attribute__((unused)) static void make_buffers(const Run *r, const void **in, void **out) {
  const Graph *g = r->p->route.at[0].graph;
  for (size_t i = 0; i < g->input.n; i++)
    in[i] = caller_buffer(r->a, r->p->module, &graph_value(g, g->input.at[i].val)->type, r->dims, &r->want->in[i]);
  for (size_t i = 0; i < r->want->n; i++)
    out[i] = caller_buffer(r->a, r->p->module, &graph_value(g, g->output.at[i].val)->type, r->dims,
                           g->output.at[i].state.id ? &r->want->state[i] : NULL);
}

static void through_llvm(const Run *r, LookFn *look) {
  Buf object = {0};
  const char *err = "";
  EmitLlvm o = {.prefix = "random", .glue = true};
  cr_assert(llvm_emit(r->p, &o, LLVM_OBJ, &object, &err), "%s: %s", r->what, err);
  void *handle = NULL;
  const sy_model *m = llvm_load(&object, &handle, &err);
  cr_assert(m, "%s: %s", r->what, err);
  buf_free(&object);
  for (size_t t = 0; t < r->p->ntarget; t++)
    if (sy_cpu_runs(r->p->target[t]->name)) look(r, m, t, "LLVM");
  llvm_unload(handle);
}

static void write_text(const char *dir, const char *name, void (*emit)(const Program *, const EmitModel *, Buf *),
                       const Program *p) {
  char path[200];
  const char *err = "";
  Buf b = {0};
  emit(p, &(EmitModel){.prefix = "random", .header_name = "random.h", .describe_host = true}, &b);
  snprintf(path, sizeof path, "%s/%s", dir, name);
  cr_assert(file_write(path, b.s, b.n, &err), "%s", err);
  buf_free(&b);
}

static bool have(const char *program) {
  char command[100];
  snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
  return system(command) == 0;
}

// DIR/CC/intrinsics.h, compiled once: reading the processor's intrinsics takes longer than compiling a small model.
static const char intrinsics[] = "#if defined(__x86_64__)\n#include <immintrin.h>\n#endif\n";
#define C_FLAGS "-std=c11 -O1 -ffp-contract=off -fPIC -w"

static void precompile(const char *dir, const char *cc) {
  char folder[120], path[160], command[600];
  const char *err = "";
  snprintf(folder, sizeof folder, "%s/%s", dir, cc);
  snprintf(path, sizeof path, "%s/intrinsics.h", folder);
  cr_assert_eq(mkdir(folder, 0777), 0);
  cr_assert(file_write(path, intrinsics, sizeof intrinsics - 1, &err), "%s", err);
  const char *suffix = strcmp(cc, "gcc") ? "pch" : "gch";
  snprintf(command, sizeof command, "%s " C_FLAGS " -x c-header %s -o %s.%s", cc, path, path, suffix);
  cr_assert_eq(system(command), 0, "%s", command);
}

static void through_c(const Run *r, const char *dir, const char *cc, uint32_t seed, LookFn *look) {
  char command[900], so[200];
  snprintf(so, sizeof so, "%s/%s/random_%u.so", dir, cc, seed);
  snprintf(command, sizeof command,
           "%s " C_FLAGS " -include %s/%s/intrinsics.h -shared -I%s -I" SOURCE_DIR
           "/runtime -o %s %s/random.c %s/glue.c -lm",
           cc, dir, cc, dir, so, dir, dir);
  cr_assert_eq(system(command), 0, "%s", command);
  void *lib = dlopen(so, RTLD_NOW | RTLD_LOCAL);
  cr_assert(lib, "%s", dlerror());
  const sy_model *(*entry)(void) = NULL;
  *(void **)&entry = dlsym(lib, "sy_model_entry");
  cr_assert(entry);
  for (size_t t = 0; t < r->p->ntarget; t++)
    if (sy_cpu_runs(r->p->target[t]->name)) look(r, entry(), t, cc);
  dlclose(lib);
  unlink(so);
}

// A folder for what the compilers read and write, with the intrinsics compiled; *have: the compilers that there are.
static const char *ways_folder(Arena *a, unsigned *compilers_there) {
  const char *tmp = getenv("TMPDIR");
  char *dir = arena_printf(a, "%.50s/program-ways-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  cr_assert(mkdtemp(dir));
  *compilers_there = 0;
  for (unsigned i = 0; i < COMPILERS; i++)
    if (have(compilers[i])) precompile(dir, compilers[i]), *compilers_there |= 1u << i;
  return dir;
}

static void ways_remove(const char *dir) {
  char command[200];
  snprintf(command, sizeof command, "rm -rf %s", dir);
  cr_assert_eq(system(command), 0);
}

// Through LLVM if there is one, and through the compilers of the set `with`. The weights are seeded.
static void ways_run(Run *r, const char *dir, unsigned with, uint32_t number, LookFn *look) {
  const char *err = "";
  WeightSource src = {.get = weight_in};
  r->data = pack_all(r->p, r->a);
  r->weights = arena_printf(r->a, "%s/random.syw", dir);
  cr_assert(pack_file(r->p, &src, r->weights, NULL, NULL, &err), "%s", err);
  if (!llvm_missing()) through_llvm(r, look);
  if (with) {
    write_text(dir, "random.c", emit_model_c, r->p);
    write_text(dir, "random.h", emit_model_h, r->p);
    write_text(dir, "glue.c", emit_model_glue, r->p);
  }
  for (size_t i = 0; i < COMPILERS; i++)
    if (with >> i & 1) through_c(r, dir, compilers[i], number, look);
}

#endif
