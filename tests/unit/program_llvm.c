// program_llvm.c: seeded random graphs through the LLVM back end, in this process, and through C with gcc and clang:
// for every instruction set of this machine the outputs have the bits of the interpreter. The model's own functions are
// called (init, call, self-test), so its tables and the engine are tested with the kernels.
//
// SWITCHYARD_GRAPHS asks for another number of graphs, all of which go through both compilers then; otherwise one in
// EVERY_C goes through one of them. SWITCHYARD_SEED asks for other graphs: their seeds begin behind 1000 times that
// number.
#include "attention_cases.h"
#include "program_ways.h"

enum { GRAPHS = 100, OBJECTIVES = 25, EVERY_C = 12, BATCH = 2, ROWS = 3 };

// The model on one instruction set against the interpreter at its width.
static void compare_bits(const Run *r, const sy_model *m, size_t target, const char *way) {
  const Graph *g = r->p->route.at[0].graph;
  const void *in[MOST_PORTS];
  void *out[MOST_PORTS], *want[MOST_PORTS];
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

// with: set of compilers; objective: a sum of squares with its gradients
static void check_graph(uint32_t seed, const char *dir, unsigned with, bool objective) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  Module *m = module_new(&a, &names, &d, "random");
  Graph *g = objective ? random_objective(m, seed) : random_graph(m, seed);
  static const Train all = {0};
  PassOptions gradient = {.stop_after = "gradient"};
  if (objective) {
    m->train = &all;
    cr_assert(passes_run(m, &gradient));
  }
  const Target *t[MAX_TARGETS];
  size_t n = host_targets(t);
  int64_t dims[MAX_DIMS] = {BATCH};
  Want want;
  reference(&a, g, dims, ROWS, &want);
  Run r = {.a = &a, .p = lower_for(m, t, n), .dims = dims, .want = &want, .what = arena_printf(&a, "seed %u", seed)};
  ways_run(&r, dir, with, seed, compare_bits);
  arena_free(&a);
}

Test(program_llvm, random_graphs, .timeout = 3000) {
  if (llvm_missing()) cr_skip_test("%s", llvm_missing());
  Arena a = {0};
  unsigned all = 0;
  const char *dir = ways_folder(&a, &all);
  const char *wish = getenv("SWITCHYARD_GRAPHS"), *other = getenv("SWITCHYARD_SEED");
  const uint32_t graphs = wish && atoi(wish) > 0 ? (uint32_t)atoi(wish) : GRAPHS;
  const uint32_t before = 1000 * (uint32_t)strtoul(other ? other : "0", NULL, 10);
  for (uint32_t seed = before + 1; seed <= before + graphs; seed++) {
    unsigned one = seed % EVERY_C ? 0 : 1u << seed / EVERY_C % COMPILERS;
    check_graph(seed, dir, all & (wish ? ~0u : one), false);
  }
  ways_remove(dir);
  arena_free(&a);
}

// The same of objectives with their gradients; which ones, SWITCHYARD_SEED says. tests/unit/gradient_random.c compares
// more of them with differences.
Test(program_llvm, gradients_of_random_graphs, .timeout = 3000) {
  if (llvm_missing()) cr_skip_test("%s", llvm_missing());
  Arena a = {0};
  unsigned all = 0;
  const char *dir = ways_folder(&a, &all);
  const char *wish = getenv("SWITCHYARD_GRAPHS"), *other = getenv("SWITCHYARD_SEED");
  const uint32_t graphs = wish && atoi(wish) > 0 ? (uint32_t)atoi(wish) : OBJECTIVES;
  const uint32_t before = 1000 * (uint32_t)strtoul(other ? other : "0", NULL, 10);
  for (uint32_t seed = before + 1; seed <= before + graphs; seed++) {
    unsigned one = seed % EVERY_C ? 0 : 1u << seed / EVERY_C % COMPILERS;
    check_graph(seed, dir, all & (wish ? ~0u : one), true);
  }
  ways_remove(dir);
  arena_free(&a);
}

// Gradients of attentions by all of their operands. One case in six goes through one of the compilers, too.
Test(program_llvm, gradients_of_attention, .timeout = 3000) {
  if (llvm_missing()) cr_skip_test("%s", llvm_missing());
  Arena all = {0};
  unsigned compilers_there = 0;
  const char *dir = ways_folder(&all, &compilers_there);
  for (uint32_t i = 0; i < GRAD_CASES; i++) {
    const GradCase *c = &grad_cases[i];
    Arena a = {0};
    Intern names = {.arena = &a};
    Diag d;
    Buf b = {0};
    diag_init(&d, &a);
    buf_puts(&b, "module \"t\" dims { B = 1..3, L = 1..21, T = 1..9 } modalities { vision \"A\", language \"B\" }\n"
                 "graph @f {\n");
    grad_inputs(c, &b);
    int wrt[3], joined = grad_joined(c, 0, wrt);
    if (joined == 1) joined = grad_joined(c, 1, wrt);
    if (joined > 1) grad_joint(c, wrt, joined, &b);
    grad_outputs(c, (int[]){0, 1, 2, grad_bias(c)}, c->bias ? 4 : 3, &b);
    if (joined > 1) buf_puts(&b, "output \"joint\" = %20\n");
    buf_puts(&b, "}\n");
    Module *m = module_parse(&a, &names, &d, b.s, b.n, diag_add_file(&d, c->name, b.s, b.n));
    cr_assert(m, "%s", b.s);
    const Target *t[MAX_TARGETS];
    size_t n = host_targets(t);
    int64_t dims[MAX_DIMS] = {2, 13, 5};
    Want want;
    reference(&a, m->graph.at[0], dims, ROWS, &want);
    Run r = {.a = &a, .p = lower_for(m, t, n), .dims = dims, .want = &want, .what = c->name};
    ways_run(&r, dir, i % 6 != 5 ? 0 : compilers_there & 1u << i / 6 % COMPILERS, i, compare_bits);
    arena_free(&a);
    buf_free(&b);
  }
  ways_remove(dir);
  arena_free(&all);
}

Test(program_llvm, wrong_targets) {
  const Target *t[MAX_TARGETS];
  const char *err = NULL;
  cr_expect_eq(llvm_targets("nonsense-of-no-machine", t, &err), 0);
  cr_expect(err && *err);
  if (llvm_missing()) return;
  cr_expect(strstr(err, "nonsense"), "%s", err);
  static const struct {
    const char *triple, *has, *has_not;
  } machine[] = {{"riscv64-linux-gnu", "rv64gc", "neon"},
                 {"wasm32", "portable", "rv64gc"},
                 {"aarch64-linux-gnu", "neon", "avx2"},
                 {"arm64-apple-darwin", "neon", "avx2"},
                 {"x86_64-pc-linux-gnu", "avx512", "neon"}};
  for (size_t m = 0; m < sizeof machine / sizeof *machine; m++) {
    size_t n = llvm_targets(machine[m].triple, t, &err);
    bool has = false, has_not = false;
    cr_expect(n && !strcmp(t[0]->name, "portable"), "%s", machine[m].triple);
    for (size_t i = 0; i < n; i++) has = has || !strcmp(t[i]->name, machine[m].has);
    for (size_t i = 0; i < n; i++) has_not = has_not || !strcmp(t[i]->name, machine[m].has_not);
    cr_expect(has && !has_not, "%s", machine[m].triple);
  }
}
