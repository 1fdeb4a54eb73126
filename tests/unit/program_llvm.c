// program_llvm.c: seeded random graphs through the LLVM back end, in this process, and through C with gcc and clang:
// for every instruction set of this machine the outputs have the bits of the interpreter. The model's own functions are
// called (init, call, self-test), so its tables and the engine are tested with the kernels.
//
// SWITCHYARD_GRAPHS asks for another number of graphs, all of which go through both compilers then; otherwise one in
// EVERY_C goes through one of them.
#include "program_check.h"

#include "codegen/llvm/llvm.h"
#include "codegen/model_facts.h"
#include "runtime/switchyard.h"

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GRAPHS = 100, EVERY_C = 12, BATCH = 2, ROWS = 3 };

static const char *const compilers[] = {"gcc", "clang"};
enum { COMPILERS = sizeof compilers / sizeof *compilers };

static size_t host_targets(const Target **t) {
  const char *err = "";
  return llvm_targets(NULL, t, &err);
}

static bool cpu_runs(const char *isa) {
  unsigned have = sy_cpu_features();
  return !strcmp(isa, "portable") || (!strcmp(isa, "avx2") && have & SY_CPU_AVX2) ||
         (!strcmp(isa, "avx512") && have & SY_CPU_AVX512) || (!strcmp(isa, "neon") && have & SY_CPU_NEON);
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

static void make_buffers(const Run *r, const void **in, void **out) {
  const Graph *g = r->p->route.at[0].graph;
  for (size_t i = 0; i < g->input.n; i++)
    in[i] = caller_buffer(r->a, r->p->module, &graph_value(g, g->input.at[i].val)->type, r->dims, &r->want->in[i]);
  for (size_t i = 0; i < r->want->n; i++)
    out[i] = caller_buffer(r->a, r->p->module, &graph_value(g, g->output.at[i].val)->type, r->dims, NULL);
}

// The model on one instruction set against the interpreter at its width.
static void compare_bits(const Run *r, const sy_model *m, size_t target, const char *way) {
  const Graph *g = r->p->route.at[0].graph;
  const void *in[16];
  void *out[16], *want[16];
  const char *isa = r->p->target[target]->name, *err = "";
  make_buffers(r, in, out);
  make_buffers(r, in, want);
  cr_assert(program_interpret(r->p, 0, target, r->data, in, want, r->dims, NULL, NULL, &err), "%s", err);
  sy_map map = {0};
  cr_assert_eq(sy_map_open(&map, r->weights, 0), SY_OK);
  size_t bytes = m->arena_bytes(1), dims[MAX_DIMS];
  for (size_t i = 0; i < MAX_DIMS; i++) dims[i] = (size_t)r->dims[i];
  void *arena = aligned_alloc(SY_ALIGN, (bytes + SY_ALIGN - 1) / SY_ALIGN * SY_ALIGN), *ctx = NULL;
  sy_config config = {SY_ABI_VERSION, map.data, map.bytes, arena, bytes, NULL, isa};
  cr_assert_eq(m->init(&ctx, &config), SY_OK, "%s: init", r->what);
  cr_expect_str_eq(m->isa(ctx), isa);
  cr_assert_eq(m->call(ctx, 0, dims, in, out), SY_OK, "%s: call", r->what);
  for (size_t i = 0; i < r->want->n; i++) {
    size_t n = (size_t)type_bytes(r->p->module, &graph_value(g, g->output.at[i].val)->type);
    cr_expect(!memcmp(out[i], want[i], n), "%s, %s through %s: not the bits of the interpreter", r->what, isa, way);
  }
  cr_expect_eq(m->selftest(ctx), SY_OK, "%s: self-test", r->what);
  free(arena);
  sy_map_close(&map);
}

static const sy_model *through_llvm(const Run *r, void **handle) {
  Buf object = {0};
  const char *err = "";
  EmitLlvm o = {.prefix = "random", .glue = true};
  cr_assert(llvm_emit(r->p, &o, LLVM_OBJ, &object, &err), "%s: %s", r->what, err);
  const sy_model *m = llvm_load(&object, handle, &err);
  cr_assert(m, "%s: %s", r->what, err);
  buf_free(&object);
  return m;
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

static void through_c(const Run *r, const char *dir, const char *cc, uint32_t seed) {
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
    if (cpu_runs(r->p->target[t]->name)) compare_bits(r, entry(), t, cc);
  dlclose(lib);
  unlink(so);
}

// with: set of compilers
static void check_graph(uint32_t seed, const char *dir, unsigned with) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  Module *m = module_new(&a, &names, &d, "random");
  Graph *g = random_graph(m, seed);
  const Target *t[MAX_TARGETS];
  size_t n = host_targets(t);
  int64_t dims[MAX_DIMS] = {BATCH};
  Want want;
  reference(&a, g, dims, ROWS, &want);
  Program *p = lower_for(m, t, n);
  Run r = {&a, p, NULL, pack_all(p, &a), dims, &want, arena_printf(&a, "seed %u", seed)};
  const char *err = "";
  WeightSource src = {.get = weight_in};
  r.weights = arena_printf(&a, "%s/random.syw", dir);
  cr_assert(pack_file(p, &src, r.weights, NULL, NULL, &err), "%s", err);
  void *handle = NULL;
  const sy_model *model = through_llvm(&r, &handle);
  for (size_t i = 0; i < n; i++)
    if (cpu_runs(t[i]->name)) compare_bits(&r, model, i, "LLVM");
  llvm_unload(handle);
  if (with) {
    write_text(dir, "random.c", emit_model_c, p);
    write_text(dir, "random.h", emit_model_h, p);
    write_text(dir, "glue.c", emit_model_glue, p);
  }
  for (size_t i = 0; i < COMPILERS; i++)
    if (with >> i & 1) through_c(&r, dir, compilers[i], seed);
  arena_free(&a);
}

Test(program_llvm, random_graphs, .timeout = 3000) {
  if (llvm_missing()) cr_skip_test("%s", llvm_missing());
  char dir[80], command[100];
  const char *tmp = getenv("TMPDIR");
  snprintf(dir, sizeof dir, "%.50s/program-llvm-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  cr_assert(mkdtemp(dir));
  const char *wish = getenv("SWITCHYARD_GRAPHS");
  uint32_t graphs = wish && atoi(wish) > 0 ? (uint32_t)atoi(wish) : GRAPHS;
  unsigned all = 0;
  for (unsigned i = 0; i < COMPILERS; i++)
    if (have(compilers[i])) precompile(dir, compilers[i]), all |= 1u << i;
  for (uint32_t seed = 1; seed <= graphs; seed++) {
    unsigned one = seed % EVERY_C ? 0 : 1u << seed / EVERY_C % COMPILERS;
    check_graph(seed, dir, all & (wish ? ~0u : one));
  }
  snprintf(command, sizeof command, "rm -rf %s", dir);
  cr_assert_eq(system(command), 0);
}

Test(program_llvm, wrong_targets) {
  const Target *t[MAX_TARGETS];
  const char *err = NULL;
  cr_expect_eq(llvm_targets("nonsense-of-no-machine", t, &err), 0);
  cr_expect(err && *err);
  if (llvm_missing()) return;
  cr_expect(strstr(err, "nonsense"), "%s", err);
  cr_assert_eq(llvm_targets("riscv64-linux-gnu", t, &err), 1);
  cr_expect_str_eq(t[0]->name, "portable");
  cr_assert_eq(llvm_targets("aarch64-linux-gnu", t, &err), 2);
  cr_expect_str_eq(t[1]->name, "neon");
  cr_expect_eq(llvm_targets("x86_64-pc-linux-gnu", t, &err), 3);
}
