// emit_model.c (test): the C module of a small Program built by hand: three kernels, two routes, ids, two run-time
// dims.
//
// What must hold: the text is the same every time; it compiles without a warning with every compiler there is, its
// header as C++11 too; the object exports only the prefix and needs only the C library's memory functions and
// fmaf/sqrtf; run through dlopen it gives the bits of program_interpret, whatever runs its tasks in whatever order;
// every wrong call gets its own error and none crashes.
#include "codegen/c_words.h"
#include "codegen/llvm/llvm.h"
#include "codegen/program.h"
#include "runtime/switchyard.h"
#include "runtime/weights_format.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SY_SOURCE_DIR
#define SY_SOURCE_DIR "."
#endif

enum { WIDTH = 64, VOCAB = 10, MAX_B = 8, MAX_L = 3 };

/* the program ---------------------------------------------------------------------------------------------------------
 */
// h[b,:] = 3 x[b,:] + table[ids[b, 0], :]
static Kernel *kernel_add_row(Arena *a, const Target *t) {
  Kernel *k = kernel_new(a, "add_row", t->lanes);
  KVar rows = kb_dim(k, "B", 0, 1, MAX_B);
  KBufRef x = kb_buf(k, "x", DT_F32, KB_IN, MAX_B * WIDTH), ids = kb_buf(k, "ids", DT_I32, KB_IN, MAX_B * MAX_L);
  KBufRef table = kb_buf(k, "table", DT_F32, KB_WEIGHT, VOCAB * WIDTH),
          h = kb_buf(k, "h", DT_F32, KB_OUT, MAX_B * WIDTH);
  KVar b = kb_par(k, "b", kbound(ki_const(0)), kbound(ki_var(rows)), 1);
  KVar id = kb_ldidx(k, ids, ki_mul(ki_var(b), MAX_L), 0, VOCAB - 1, "id");
  KVal three = kb_const(k, 3, DT_F32, t->lanes);
  KVar i = kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(WIDTH)), t->lanes);
  KIdx at = ki_add(ki_mul(ki_var(b), WIDTH), ki_var(i));
  KVal v = kb_load(k, x, at, t->lanes, t->lanes, "v");
  KVal w = kb_load(k, table, ki_add(ki_mul(ki_var(id), WIDTH), ki_var(i)), t->lanes, t->lanes, "w");
  kb_store(k, h, at, kb_op3(k, K_fma, v, three, w), t->lanes);
  kb_end(k);
  kb_end(k);
  k->about = "h = 3 x + table[id]";
  k->flops = 1e6; // large enough to be run in parallel
  return k;
}

// s[b] = sum of the squares of h[b,:], through a scratch row
static Kernel *kernel_squares(Arena *a, const Target *t) {
  Kernel *k = kernel_new(a, "squares", t->lanes);
  KVar rows = kb_dim(k, "B", 0, 1, MAX_B);
  KBufRef h = kb_buf(k, "h", DT_F32, KB_IN, MAX_B * WIDTH), s = kb_buf(k, "s", DT_F32, KB_OUT, MAX_B);
  KBufRef row = kb_buf(k, "row", DT_F32, KB_SCRATCH, WIDTH);
  KVar b = kb_par(k, "b", kbound(ki_const(0)), kbound(ki_var(rows)), 1);
  KVar i = kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(WIDTH)), t->lanes);
  KVal v = kb_load(k, h, ki_add(ki_mul(ki_var(b), WIDTH), ki_var(i)), t->lanes, t->lanes, "v");
  kb_store(k, row, ki_var(i), kb_op2(k, K_mul, v, v), t->lanes);
  kb_end(k);
  KVal sum = kb_var(k, kb_const(k, 0, DT_F32, t->lanes), "sum");
  KVar j = kb_loop(k, "j", kbound(ki_const(0)), kbound(ki_const(WIDTH)), t->lanes);
  kb_set(k, sum, kb_op2(k, K_add, sum, kb_load(k, row, ki_var(j), t->lanes, t->lanes, NULL)));
  kb_end(k);
  kb_store(k, s, ki_var(b), kb_op1(k, K_hadd, sum), 1);
  kb_end(k);
  k->about = "s = sum h^2 */"; // must not end the comment
  k->flops = 1e6;
  return k;
}

// y = x / 2, no run-time dims
static Kernel *kernel_half(Arena *a, const Target *t) {
  Kernel *k = kernel_new(a, "half", t->lanes);
  KBufRef x = kb_buf(k, "x", DT_F32, KB_IN, WIDTH), y = kb_buf(k, "y", DT_F32, KB_OUT, WIDTH);
  KVar i = kb_par(k, "i", kbound(ki_const(0)), kbound(ki_const(WIDTH)), t->lanes);
  KVal v = kb_load(k, x, ki_var(i), t->lanes, t->lanes, "v");
  kb_store(k, y, ki_var(i), kb_op2(k, K_mul, v, kb_const(k, 0.5, DT_F32, t->lanes)), t->lanes);
  kb_end(k);
  k->flops = WIDTH;
  return k;
}

typedef Kernel *KernelFn(Arena *a, const Target *t);

typedef struct Model {
  Arena arena;
  Diag diag;
  Intern names;
  Program p;
  unsigned char *file; // packed weights
  size_t file_bytes;
  float *table;
} Model;

static Val typed_input(Graph *g, const char *name, DType dt, int rank, Dim d0, Dim d1) {
  Type t = {.dtype = dt, .rank = (uint8_t)rank, .dim = {d0, d1}};
  return graph_input(g, name, &t, NO_SPAN);
}

static void make_graphs(Module *mod) {
  Dim rows = {0, 1, 0}, words = {0, 1, 1};
  Graph *g = graph_new(mod, "score");
  Val x = typed_input(g, "x", DT_F32, 2, rows, DIM(WIDTH)), ids = typed_input(g, "class", DT_I32, 2, rows, words);
  Type tt = {.dtype = DT_F32, .rank = 2, .dim = {DIM(VOCAB), DIM(WIDTH)}};
  Val e = graph_add(g, OP_embedding, (Val[]){graph_weight(g, "table", &tt, NO_SPAN), ids}, 2, NULL, 0, NO_SPAN);
  cr_assert(e.id != 0);
  Val h = graph_add(g, OP_add, (Val[]){x, x}, 2, NULL, 0, NO_SPAN);
  graph_output(g, "h", h, NO_SPAN);
  graph_output(g, "s", graph_add(g, OP_reduce_sum, &h, 1, NULL, 0, NO_SPAN), NO_SPAN);
  graph_output(g, "e", e, NO_SPAN); // keeps the embedding alive; nothing writes it
  g = graph_new(mod, "init");       // a name that the interface has taken
  Val v = typed_input(g, "x", DT_F32, 1, DIM(WIDTH), DIM(0));
  graph_output(g, "y", graph_add(g, OP_neg, &v, 1, NULL, 0, NO_SPAN), NO_SPAN);
}

static void make_steps(Model *m, Module *mod) {
  RouteProgram score = {.graph = mod->graph.at[0], .arena_bytes = 64 * 64}, init = {.graph = mod->graph.at[1]};
  Step add = {.kernel = 0, .narg = 4, .comment = "h = 3 x + table[class] */ int broken;", .flops = 2.0 * WIDTH};
  add.arg[0] = (Operand){PLACE_INPUT, 0, 0, 0};
  add.arg[1] = (Operand){PLACE_INPUT, 1, 0, 0};
  add.arg[2] = (Operand){PLACE_WEIGHT, 0, 0, 0};
  add.arg[3] = (Operand){PLACE_OUTPUT, 0, 0, 0};
  add.ids[add.nids++] = (IdRead){
      .arg = 1, .ids = score.graph->input.at[1].val, .stride = {MAX_L, 1}, .limit = DIM(VOCAB)}; // all that are in use
  Step copy = {.kernel = 2, .narg = 2, .comment = "first row, through the arena"};
  copy.arg[0] = (Operand){PLACE_OUTPUT, 0, 0, 0};
  copy.arg[1] = (Operand){PLACE_ARENA, 0, 64, 0};
  Step squares = {.kernel = 1, .narg = 2, .comment = "s = sum h^2"};
  squares.arg[0] = (Operand){PLACE_OUTPUT, 0, 0, 0};
  squares.arg[1] = (Operand){PLACE_OUTPUT, 1, 0, 0};
  VEC_PUSH(&m->arena, score.step, add);
  VEC_PUSH(&m->arena, score.step, copy);
  VEC_PUSH(&m->arena, score.step, squares);
  Step half = {.kernel = 2, .narg = 2, .comment = "y = x / 2"};
  half.arg[0] = (Operand){PLACE_INPUT, 0, 0, 0};
  half.arg[1] = (Operand){PLACE_OUTPUT, 0, 0, 0};
  VEC_PUSH(&m->arena, init.step, half);
  VEC_PUSH(&m->arena, m->p.route, score);
  VEC_PUSH(&m->arena, m->p.route, init);
}

static void make_weights(Model *m) {
  PackedWeight w = {.dtype = DT_F32, .bytes = sizeof(float) * VOCAB * WIDTH};
  w.label = "table";
  VEC_PUSH(&m->arena, m->p.weight, w);
  m->p.weight_bytes = w.bytes;
  m->p.plan_hash = 0x0123456789abcdefu;
  sy_weights_header h = {"", SY_WEIGHTS_VERSION, SY_WEIGHTS_ENDIAN, m->p.plan_hash, sy_weights_data_offset(1), w.bytes,
                         1};
  memcpy(h.magic, SY_WEIGHTS_MAGIC, 8);
  m->file_bytes = (size_t)(h.data_offset + h.data_bytes);
  m->file = aligned_alloc(64, (m->file_bytes + 63) / 64 * 64);
  memset(m->file, 0, m->file_bytes);
  m->table = (float *)(void *)(m->file + h.data_offset);
  for (int i = 0; i < VOCAB * WIDTH; i++) m->table[i] = (float)(i * 37 % 101) / 50.0f - 1.0f;
  sy_weights_entry e = {0, w.bytes, sy_weights_checksum(m->table, w.bytes), 'f'};
  memcpy(m->file, &h, sizeof h);
  memcpy(m->file + sizeof h, &e, sizeof e);
}

static Model *make_model(void) {
  static Model m;
  static KernelFn *const make[] = {kernel_add_row, kernel_squares, kernel_half};
  static const char *const isa[] = {"portable", "avx2", "avx512"};
  diag_init(&m.diag, &m.arena);
  m.names.arena = &m.arena;
  Module *mod = module_new(&m.arena, &m.names, &m.diag, "tiny");
  mod->dim[0] = (RuntimeDim){"B", 1, MAX_B};
  mod->dim[1] = (RuntimeDim){"L", 1, MAX_L};
  mod->ndim = 2;
  VEC_PUSH(&m.arena, mod->prepare, ((Prepare){"x", "picture", "mean=[\"a\\b\"]"}));
  m.p.module = mod;
  for (size_t i = 0; i < 3; i++) m.p.target[m.p.ntarget++] = target_by_name(isa[i]);
  make_graphs(mod);
  for (size_t i = 0; i < 3; i++) {
    KernelSlot slot = {.name = NULL};
    for (size_t t = 0; t < m.p.ntarget; t++) {
      slot.k[t] = make[i](&m.arena, m.p.target[t]);
      kb_finish(slot.k[t]);
      kernel_legalise(slot.k[t], m.p.target[t]->has_fma);
      slot.name = slot.k[t]->name;
      if (kernel_scratch_bytes(slot.k[t]) > m.p.scratch_bytes) m.p.scratch_bytes = kernel_scratch_bytes(slot.k[t]);
    }
    VEC_PUSH(&m.arena, m.p.kernel, slot);
  }
  make_steps(&m, mod);
  m.p.arena_bytes = 16384;
  make_weights(&m);
  return &m;
}

/* building it ---------------------------------------------------------------------------------------------------------
 */
static const EmitModel how = {"tiny", "tiny.h", true};
static char dir[64];

static void put_file(const char *name, void (*emit)(const Program *, const EmitModel *, Buf *), const Program *p) {
  Buf b = {0};
  char path[128];
  const char *err = NULL;
  emit(p, &how, &b);
  snprintf(path, sizeof path, "%s/%s", dir, name);
  cr_assert(file_write(path, b.s, b.n, &err), "%s", err ? err : "");
  buf_free(&b);
}

static void write_module(const Program *p) {
  strcpy(dir, "/tmp/sy_emit_XXXXXX");
  cr_assert_not_null(mkdtemp(dir));
  put_file("tiny.c", emit_model_c, p);
  put_file("tiny.h", emit_model_h, p);
  put_file("tiny_glue.c", emit_model_glue, p);
}

static int shell(const char *fmt, ...) {
  char cmd[1024];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(cmd, sizeof cmd, fmt, ap);
  va_end(ap);
  return system(cmd);
}

static void remove_module(void) {
  shell("rm -rf %s", dir);
}

#define WARN "-Wall -Wextra -Wconversion -Wshadow -pedantic -Werror"
#define IN_DIR "cd %s && "

static bool have(const char *tool) {
  return shell("command -v %s >/dev/null 2>&1", tool) == 0;
}

static char *absolute_source_dir(void) {
  return realpath(SY_SOURCE_DIR, NULL);
}

static void *build_library(const Model *m) {
  char so[128], *src = absolute_source_dir();
  write_module(&m->p);
  cr_assert_eq(
      shell(IN_DIR
            "cc -std=c11 -O1 -ffp-contract=off -DTINY_TRACE -I%s/runtime -fPIC -shared tiny.c tiny_glue.c -o tiny.so",
            dir, src),
      0);
  free(src);
  snprintf(so, sizeof so, "%s/tiny.so", dir);
  void *lib = dlopen(so, RTLD_NOW);
  cr_assert_not_null(lib, "%s", dlerror());
  return lib;
}

static const sy_model *model_of(void *lib) {
  union {
    void *p;
    const sy_model *(*fn)(void);
  } u = {dlsym(lib, "sy_model_entry")};
  cr_assert_not_null(u.p);
  return u.fn();
}

/* tests ---------------------------------------------------------------------------------------------------------------
 */
Test(emit_model, text_is_the_same_every_time_and_has_no_paths) {
  Model *m = make_model();
  Buf a = {0}, b = {0};
  emit_model_c(&m->p, &how, &a);
  emit_model_c(&m->p, &how, &b);
  cr_expect_str_eq(a.s, b.s);
  cr_expect_null(strstr(a.s, "/tmp"));
  cr_expect_not_null(strstr(a.s, "h = 3 x + table[class] * / int broken;"));
  emit_model_h(&m->p, &how, &a);
  emit_model_glue(&m->p, &how, &a);
  static const char *const left[] = {"mdl_", "MDL_", "//@", "sy_weights", "SY_WEIGHTS", "#include \"plan.h\""};
  for (size_t i = 0; i < sizeof left / sizeof *left; i++) cr_expect_null(strstr(a.s, left[i]), "%s", left[i]);
  buf_free(&a);
  buf_free(&b);
}

Test(emit_model, compiles_without_warnings) {
  Model *m = make_model();
  write_module(&m->p);
  static const char *const cc[] = {"gcc", "clang", "clang-14", "clang-19", "aarch64-linux-gnu-gcc"};
  static const char *const cxx[] = {"g++", "clang++", "clang++-19"};
  char *src = absolute_source_dir();
  for (size_t i = 0; i < sizeof cc / sizeof *cc; i++) {
    if (!have(cc[i])) continue;
    cr_expect_eq(shell(IN_DIR "%s -std=c11 " WARN " -O1 -c tiny.c -o tiny_%zu.o", dir, cc[i], i), 0, "%s", cc[i]);
    cr_expect_eq(shell(IN_DIR "%s -std=c99 " WARN " -O1 -c tiny.c -o c99.o", dir, cc[i]), 0, "%s, C99", cc[i]);
    cr_expect_eq(
        shell(IN_DIR "%s -std=c11 -DTINY_TRACE " WARN " -I%s/runtime -c tiny_glue.c -o glue.o", dir, cc[i], src), 0,
        "%s", cc[i]);
    cr_expect_eq(shell(IN_DIR "%s -std=c11 -DTINY_TRACE " WARN " -fsyntax-only tiny.c", dir, cc[i]), 0, "%s", cc[i]);
  }
  const char *user =
      "#include \\\"tiny.h\\\"\\n#include \\\"tiny.h\\\"\\nint main() { tiny_ctx *c = nullptr; tiny_config k = {}; "
      "return tiny_init(&c, &k) == TINY_EABI && TINY_ARENA_BYTES(2) > 0 ? 0 : 1; }\\n";
  for (size_t i = 0; i < sizeof cxx / sizeof *cxx; i++) {
    if (!have(cxx[i])) continue;
    cr_expect_eq(shell(IN_DIR "printf \"%s\" > user.cc && %s -std=c++17 " WARN " user.cc tiny_0.o -o user && ./user",
                       dir, user, cxx[i]),
                 0, "%s", cxx[i]);
  }
  free(src);
  remove_module();
}

Test(emit_model, names_of_a_page) {
  Arena a = {0};
  static const char *const local[][2] = {
      {"image", "image"},    {"B", "B"},          {"I", "I_"},           {"EOF", "EOF_"},
      {"class", "class_"},   {"_Bool", "x_Bool"}, {"size_t", "size_t_"}, {"sy_min", "x_sy_min"},
      {"PRId64", "PRId64_"}, {"B0", "B0_"},       {"Bits", "Bits"},      {"unix", "unix_"}};
  for (size_t i = 0; i < sizeof local / sizeof *local; i++) cr_expect_str_eq(c_local(&a, local[i][0]), local[i][1]);
  static const char *const bad[] = {"_m", "sy", "SY_x", "sy_min", "atomic", "Sem", "pthread_mutex", "x", "R"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_expect(c_prefix_problem(bad[i]), "%s", bad[i]);
  static const char *const good[] = {"vit", "system", "m", "atomics", "int", "size", "syc"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) cr_expect_null(c_prefix_problem(good[i]), "%s", good[i]);
  arena_free(&a);
}

// The self-test of the module built with flags: its status, or -1 if it cannot be compiled.
static int selftest_with(const Model *m, const char *cc, const char *flags, unsigned number) {
  char so[160], *src = absolute_source_dir();
  snprintf(so, sizeof so, "%s/flags_%u.so", dir, number); // dlopen knows a library by its name
  int built = shell(IN_DIR "%s -std=c11 -O2 %s -DTINY_TRACE -I%s/runtime -fPIC -shared tiny.c tiny_glue.c -o %s 2> log",
                    dir, cc, flags, src, so);
  free(src);
  if (built != 0) {
    cr_expect_eq(shell(IN_DIR "grep -q 'without -ffast-math' log", dir), 0, "%s %s: another error", cc, flags);
    return -1;
  }
  void *lib = dlopen(so, RTLD_NOW | RTLD_LOCAL), *ctx = NULL;
  cr_assert_not_null(lib, "%s", dlerror());
  const sy_model *x = model_of(lib);
  void *arena = aligned_alloc(64, (x->arena_bytes(1) + 63) / 64 * 64);
  sy_config c = {SY_ABI_VERSION, m->file, m->file_bytes, arena, x->arena_bytes(1), NULL, NULL};
  cr_assert_eq(x->init(&ctx, &c), SY_OK);
  int status = (int)x->selftest(ctx);
  free(arena);
  dlclose(lib);
  return status;
}

// Flags that change results do not compile, or the self-test says so. Those for numbers alone are undone by a pragma
// where a compiler has one.
Test(emit_model, flags_that_change_results, .timeout = 300) {
  Model *m = make_model();
  write_module(&m->p);
  static const struct {
    const char *cc, *flags;
    bool good, bad; // what may be seen
  } row[] = {
      {"gcc", "-ffp-contract=off", true, false},
      {"gcc", "-ffp-contract=off -march=native", true, false},
      {"gcc", "-ffp-contract=off -O3 -fno-signed-zeros", true, false},
      {"gcc", "-ffp-contract=fast -march=haswell", false, true},
      {"gcc", "-ffp-contract=off -ffast-math", false, true},
      {"gcc", "-ffp-contract=off -Ofast", false, true},
      {"gcc", "-ffp-contract=off -fassociative-math -fno-signed-zeros -fno-trapping-math", false, true},
      {"gcc", "-ffp-contract=off -fassociative-math -fno-signed-zeros -fno-trapping-math -U__ASSOCIATIVE_MATH__", false,
       true},
      {"gcc", "-ffp-contract=off -freciprocal-math -U__RECIPROCAL_MATH__", false, true},
      {"gcc", "-ffp-contract=off -ffinite-math-only", false, true},
      {"clang", "-ffp-contract=off", true, false},
      {"clang", "-ffp-contract=off -march=haswell", true, false},
      {"clang", "-march=haswell", true, false},
      {"clang", "-ffp-contract=off -ffast-math", false, true},
      {"clang", "-fassociative-math -fno-signed-zeros -fno-trapping-math", true, true},
      {"clang", "-funsafe-math-optimizations", true, true},
  };
  for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
    if (!have(row[i].cc)) continue;
    int got = selftest_with(m, row[i].cc, row[i].flags, i);
    bool good = got == SY_OK, bad = got == -1 || got == SY_ETEST;
    cr_expect((good && row[i].good) || (bad && row[i].bad), "%s %s: %d", row[i].cc, row[i].flags, got);
  }
  remove_module();
}

Test(emit_model, exports_only_its_prefix_and_needs_little) {
  Model *m = make_model();
  write_module(&m->p);
  cr_assert_eq(shell(IN_DIR "cc -std=c11 -O2 -c tiny.c -o tiny.o", dir), 0);
  cr_expect_neq(shell(IN_DIR "nm -g --defined-only tiny.o | awk '{print $3}' | grep -v '^tiny_'", dir), 0);
  cr_expect_neq(shell(IN_DIR "nm -u tiny.o | awk '{print $2}' | grep -Ev "
                             "'^(mem(cpy|set|cmp|move)|strcmp|fmaf?|sqrtf?|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail)$'",
                      dir),
                0);
  cr_expect_eq(
      shell(IN_DIR "size -A tiny.o | awk '$1 == \".data\" || $1 == \".bss\" {n += $2} END {exit n != 0}'", dir), 0,
      "writable static data");
  remove_module();
}

typedef struct Call {
  float x[MAX_B * WIDTH], h[MAX_B * WIDTH], s[MAX_B], e[MAX_B * MAX_L * WIDTH];
  int32_t ids[MAX_B * MAX_L];
  const void *in[2];
  void *out[3];
} Call;

static void call_fill(Call *c) {
  memset(c, 0, sizeof *c);
  for (int i = 0; i < MAX_B * WIDTH; i++) c->x[i] = (float)(i * 53 % 97) / 31.0f - 1.5f;
  for (int i = 0; i < MAX_B * MAX_L; i++) c->ids[i] = i * 7 % VOCAB;
  c->in[0] = c->x;
  c->in[1] = c->ids;
  c->out[0] = c->h;
  c->out[1] = c->s;
  c->out[2] = c->e;
}

static void backwards(void *ud, size_t n, sy_task *task, void *arg) {
  (void)ud;
  for (size_t i = n; i-- > 0;) task(arg, i);
}

static void traced(void *ud, unsigned step, const char *kernel, double flops) {
  unsigned *sum = ud;
  cr_expect(flops >= 0 && kernel != NULL);
  *sum = *sum * 10 + step + 1;
}

static size_t program_target(const Program *p, const char *isa) {
  for (size_t t = 0; t < p->ntarget; t++)
    if (!strcmp(p->target[t]->name, isa)) return t;
  cr_assert_fail("no target %s", isa);
  return 0;
}

static void compare_isa(const Model *m, const sy_model *x, const char *cap, const sy_exec *exec, void *arena) {
  sy_config c = {SY_ABI_VERSION, m->file, m->file_bytes, arena, x->arena_bytes(exec ? exec->threads : 1), exec, cap};
  void *ctx = NULL;
  cr_assert_eq(x->init(&ctx, &c), SY_OK);
  size_t t = program_target(&m->p, x->isa(ctx));
  static Call got, want;
  unsigned steps = 0;
  x->set_trace(ctx, traced, &steps);
  for (size_t b = 1; b <= MAX_B; b += 3) {
    size_t dims[2] = {b, 2};
    int64_t wide[2] = {(int64_t)b, 2};
    const char *err = NULL;
    call_fill(&got);
    call_fill(&want);
    steps = 0;
    cr_assert_eq(x->call(ctx, 0, dims, got.in, got.out), SY_OK);
    cr_expect_eq(steps, 123);
    cr_assert(program_interpret(&m->p, 0, t, m->table, want.in, want.out, wide, NULL, NULL, &err), "%s",
              err ? err : "");
    cr_expect(want.s[0] > 0.0f && want.s[b - 1] > 0.0f);
    cr_expect_eq(memcmp(got.h, want.h, sizeof got.h), 0, "h, %s, B %zu", cap, b);
    cr_expect_eq(memcmp(got.s, want.s, sizeof got.s), 0, "s, %s, B %zu", cap, b);
  }
  cr_expect_eq(x->selftest(ctx), SY_OK);
}

Test(emit_model, same_bits_as_the_interpreter_on_every_isa_and_any_threads) {
  Model *m = make_model();
  void *lib = build_library(m);
  const sy_model *x = model_of(lib);
  void *arena = aligned_alloc(64, (x->arena_bytes(4) + 63) / 64 * 64);
  static const char *const caps[] = {"portable", "avx2", "avx512", NULL};
  for (size_t i = 0; i < 4; i++) {
    compare_isa(m, x, caps[i], NULL, arena);
    sy_exec e = {backwards, NULL, 3};
    compare_isa(m, x, caps[i], &e, arena);
    for (unsigned threads = 1; threads <= 4; threads++) {
      sy_pool *pool = sy_pool_new(threads);
      e = sy_pool_exec(pool);
      compare_isa(m, x, caps[i], &e, arena);
      sy_pool_free(pool);
    }
  }
  free(arena);
  dlclose(lib);
  remove_module();
}

static void check_init_errors(const Model *m, const sy_model *x, unsigned char *arena) {
  const sy_exec none = {NULL, NULL, 2}, many = {backwards, NULL, 1000000u}, most = {backwards, NULL, ~0u};
  sy_config good = {SY_ABI_VERSION, m->file, m->file_bytes, arena, x->arena_bytes(1), NULL, NULL}, c;
  void *ctx = NULL;
  unsigned char *bad = aligned_alloc(64, (m->file_bytes + 127) / 64 * 64);
#define EXPECT_INIT(change, status)                                                                                    \
  do {                                                                                                                 \
    c = good;                                                                                                          \
    change;                                                                                                            \
    cr_expect_eq(x->init(&ctx, &c), status);                                                                           \
    cr_expect_null(ctx);                                                                                               \
  } while (0)
#define EXPECT_FILE(at, status)                                                                                        \
  do {                                                                                                                 \
    memcpy(bad, m->file, m->file_bytes);                                                                               \
    bad[at] ^= 1;                                                                                                      \
    c = good;                                                                                                          \
    c.weights = bad;                                                                                                   \
    cr_expect_eq(x->init(&ctx, &c), status, "byte %d", (int)(at));                                                     \
  } while (0)
  cr_expect_eq(x->init(NULL, &good), SY_EINVAL);
  cr_expect_eq(x->init(&ctx, NULL), SY_EINVAL);
  EXPECT_INIT(c.abi++, SY_EABI);
  EXPECT_INIT(c.weights = NULL, SY_EINVAL);
  EXPECT_INIT(c.arena = NULL, SY_EINVAL);
  EXPECT_INIT(c.exec = &none, SY_EINVAL);
  EXPECT_INIT(c.exec = &many, SY_EARENA);
  EXPECT_INIT(c.exec = &most, SY_EARENA);
  EXPECT_INIT(c.max_isa = "z80", SY_EINVAL);
  EXPECT_INIT(c.max_isa = "", SY_EINVAL);
  EXPECT_INIT(c.max_isa = strcmp(sy_cpu_isa(), "neon") ? "neon" : "avx2", SY_EISA); // of another family
  EXPECT_INIT(c.arena = arena + 1, SY_EALIGN);
  EXPECT_INIT(c.arena_bytes = 100, SY_EARENA);
  EXPECT_INIT(c.arena_bytes = 0, SY_EARENA);
  EXPECT_INIT(c.weights_bytes = 0, SY_EWEIGHTS);
  EXPECT_INIT(c.weights_bytes--, SY_EWEIGHTS);
  memcpy(bad + 1, m->file, m->file_bytes);
  EXPECT_INIT(c.weights = bad + 1, SY_EALIGN);
  EXPECT_FILE(0, SY_EWEIGHTS);  // magic
  EXPECT_FILE(8, SY_EWEIGHTS);  // version
  EXPECT_FILE(12, SY_EWEIGHTS); // byte order
  EXPECT_FILE(16, SY_EPLAN);
  EXPECT_FILE(24, SY_EWEIGHTS); // data offset
  EXPECT_FILE(32, SY_EWEIGHTS); // data bytes
  EXPECT_FILE(40, SY_EWEIGHTS); // count
  EXPECT_FILE(m->file_bytes - 1, SY_OK);
  cr_expect_eq(x->selftest(ctx), SY_EWEIGHTS);
  EXPECT_FILE(48, SY_EWEIGHTS);     // an entry that is not aligned
  EXPECT_FILE(48 + 7, SY_EWEIGHTS); // one that points outside
  EXPECT_FILE(56 + 5, SY_EWEIGHTS); // one that ends outside
  EXPECT_FILE(64, SY_OK);           // another checksum
  cr_expect_eq(x->selftest(ctx), SY_EWEIGHTS);
  free(bad);
}

Test(emit_model, wrong_calls_get_their_errors) {
  Model *m = make_model();
  void *lib = build_library(m);
  const sy_model *x = model_of(lib);
  unsigned char *arena = aligned_alloc(64, (x->arena_bytes(1) + 127) / 64 * 64);
  check_init_errors(m, x, arena);
  sy_config c = {SY_ABI_VERSION, m->file, m->file_bytes, arena, x->arena_bytes(1), NULL, NULL};
  void *ctx = NULL;
  static Call call;
  call_fill(&call);
  cr_assert_eq(x->init(&ctx, &c), SY_OK);
  cr_expect_eq(x->call(ctx, 0, (size_t[]){2, 3}, call.in, call.out), SY_OK);
  cr_expect_eq(x->call(NULL, 0, (size_t[]){2, 3}, call.in, call.out), SY_EINVAL);
  cr_expect_eq(x->call(ctx, 2, (size_t[]){2, 3}, call.in, call.out), SY_EINVAL);
  cr_expect_eq(x->call(ctx, 0, NULL, call.in, call.out), SY_EINVAL);
  cr_expect_eq(x->call(ctx, 0, (size_t[]){2, 3}, NULL, call.out), SY_EINVAL);
  cr_expect_eq(x->call(ctx, 0, (size_t[]){2, 3}, call.in, NULL), SY_EINVAL);
  cr_expect_eq(x->call(ctx, 0, (size_t[]){0, 3}, call.in, call.out), SY_ESHAPE);
  cr_expect_eq(x->call(ctx, 0, (size_t[]){MAX_B + 1, 3}, call.in, call.out), SY_ESHAPE);
  cr_expect_eq(x->call(ctx, 0, (size_t[]){2, (size_t)-1}, call.in, call.out), SY_ESHAPE);
  cr_expect_eq(x->call(ctx, 1, NULL, (const void *[]){call.x}, (void *[]){call.h}), SY_OK); // a route without dims
  cr_expect_eq(x->call(ctx, 1, NULL, (const void *[]){NULL}, (void *[]){call.h}), SY_EINVAL);
  const char *err = NULL;
  static const int32_t wrong[] = {-1, VOCAB, INT32_MAX, INT32_MIN};
  for (size_t i = 0; i < 4; i++) { // the last id in use, by the layout of the bounds
    call_fill(&call);
    call.ids[MAX_L + 1] = wrong[i];
    cr_expect_eq(x->call(ctx, 0, (size_t[]){2, 2}, call.in, call.out), SY_EINDEX);
    cr_expect(call.s[0] == 0.0f, "nothing is computed");
    cr_expect_not(program_interpret(&m->p, 0, 0, m->table, call.in, call.out, (int64_t[]){2, 2}, NULL, NULL, &err));
    cr_expect_eq(x->call(ctx, 0, (size_t[]){2, 1}, call.in, call.out), SY_OK, "an id that is not in use");
  }
  cr_expect_not(program_interpret(&m->p, 9, 0, m->table, call.in, call.out, (int64_t[]){2, 2}, NULL, NULL, &err));
  cr_expect_not(program_interpret(&m->p, 0, 0, m->table, call.in, call.out, (int64_t[]){0, 2}, NULL, NULL, &err));
  c.arena_bytes = 256 + 256 + 64 * 64 - 1; // one byte short of the route's own arena
  cr_assert_eq(x->init(&ctx, &c), SY_OK);
  call_fill(&call);
  cr_expect_eq(x->call(ctx, 0, (size_t[]){2, 3}, call.in, call.out), SY_EARENA);
  cr_expect_eq(x->call(ctx, 1, NULL, (const void *[]){call.x}, (void *[]){call.h}), SY_OK);
  for (int s = -1; s < 20; s++) cr_expect_not_null(x->strerror(s));
  for (int s = 0; s <= SY_ECOMM; s++) cr_expect_str_eq(x->strerror(s), sy_strerror(s));
  cr_expect_eq(x->selftest(NULL), SY_EINVAL);
  free(arena);
  dlclose(lib);
  remove_module();
}

Test(emit_model, describes_itself) {
  Model *m = make_model();
  void *lib = build_library(m);
  const sy_info *i = model_of(lib)->info;
  cr_expect_str_eq(i->model, "tiny");
  cr_expect_eq(i->weights_bytes, m->file_bytes);
  cr_assert(i->nroute == 2 && i->ndim == 2 && i->nprepare == 1);
  cr_expect_str_eq(i->dim[1].name, "L");
  cr_expect_eq(i->dim[1].hi, MAX_L);
  cr_expect_str_eq(i->prepare[0].options, "mean=[\"a\\b\"]");
  const sy_route *r = &i->route[0];
  cr_expect_str_eq(r->name, "score");
  cr_assert(r->ninput == 2 && r->noutput == 3 && r->nstep == 3 && r->dims == 3);
  cr_expect_str_eq(r->input[1].name, "class");
  cr_expect_str_eq(r->input[1].dtype, "i32");
  cr_expect(r->input[1].axis[1].dim == 1 && r->input[1].axis[1].bound == MAX_L &&
            r->input[1].elements == MAX_B * MAX_L);
  cr_expect_str_eq(r->step[2].about, "s = sum h^2");
  cr_expect_str_eq(i->route[1].name, "init");
  dlclose(lib);
  remove_module();
}

static void expect_same_tensors(const sy_tensor *a, const sy_tensor *b, size_t n) {
  for (size_t i = 0; i < n; i++) {
    cr_expect_str_eq(a[i].name, b[i].name);
    cr_expect_str_eq(a[i].dtype, b[i].dtype);
    cr_expect(a[i].rank == b[i].rank && a[i].elements == b[i].elements && a[i].bytes == b[i].bytes);
    for (size_t d = 0; d < a[i].rank; d++) {
      const sy_dim *x = &a[i].axis[d], *y = &b[i].axis[d];
      cr_expect(x->constant == y->constant && x->factor == y->factor && x->dim == y->dim && x->bound == y->bound);
    }
  }
}

static void expect_same_routes(const sy_route *a, const sy_route *b) {
  cr_expect_str_eq(a->name, b->name);
  cr_assert(a->dims == b->dims && a->ninput == b->ninput && a->noutput == b->noutput && a->nstep == b->nstep);
  cr_expect(a->flops == b->flops && a->arena_bytes == b->arena_bytes);
  expect_same_tensors(a->input, b->input, a->ninput);
  expect_same_tensors(a->output, b->output, a->noutput);
  for (size_t i = 0; i < a->nstep; i++) {
    cr_expect_str_eq(a->step[i].kernel, b->step[i].kernel);
    cr_expect_str_eq(a->step[i].about, b->step[i].about);
    cr_expect(a->step[i].flops == b->step[i].flops && a->step[i].bytes == b->step[i].bytes);
  }
}

static void expect_same_info(const sy_info *a, const sy_info *b) {
  cr_expect_str_eq(a->model, b->model);
  cr_expect_str_eq(a->built, b->built);
  cr_expect(a->plan_hash == b->plan_hash && a->weights_bytes == b->weights_bytes);
  cr_expect(a->shared_bytes == b->shared_bytes && a->scratch_bytes == b->scratch_bytes);
  cr_assert(a->ndim == b->ndim && a->nroute == b->nroute && a->nisa == b->nisa && a->nprepare == b->nprepare);
  cr_expect_eq(a->ngenerate, b->ngenerate);
  for (size_t i = 0; i < a->ndim; i++) {
    cr_expect_str_eq(a->dim[i].name, b->dim[i].name);
    cr_expect(a->dim[i].lo == b->dim[i].lo && a->dim[i].hi == b->dim[i].hi);
  }
  for (size_t i = 0; i < a->nisa; i++) cr_expect_str_eq(a->isa[i], b->isa[i]);
  cr_expect(!a->isa[a->nisa] && !b->isa[b->nisa]);
  for (size_t i = 0; i < a->nprepare; i++) cr_expect_str_eq(a->prepare[i].options, b->prepare[i].options);
  for (size_t i = 0; i < a->nroute; i++) expect_same_routes(&a->route[i], &b->route[i]);
}

// One image through two printers.
Test(emit_model, llvm_describes_the_same) {
  if (llvm_missing() || strcmp(sy_cpu_isa(), "neon") == 0) cr_skip_test("no LLVM, or not on x86-64");
  Model *m = make_model();
  Buf object = {0};
  const char *err = "";
  void *lib = build_library(m), *handle = NULL;
  const EmitLlvm o = {.prefix = "tiny", .glue = true};
  cr_assert(llvm_emit(&m->p, &o, LLVM_OBJ, &object, &err), "%s", err);
  const sy_model *x = model_of(lib), *y = llvm_load(&object, &handle, &err);
  cr_assert_not_null(y, "%s", err);
  expect_same_info(x->info, y->info);
  cr_expect_eq(x->arena_bytes(2), y->arena_bytes(2));
  cr_expect_eq(x->arena_for(1, NULL, 1), y->arena_for(1, NULL, 1));
  llvm_unload(handle);
  buf_free(&object);
  dlclose(lib);
  remove_module();
}

static sy_status init_plain(const Model *m, const sy_model *x, void *arena, const char *cap, void **ctx) {
  sy_config c = {SY_ABI_VERSION, m->file, m->file_bytes, arena, x->arena_bytes(1), NULL, cap};
  return x->init(ctx, &c);
}

Test(emit_model, one_isa_alone_refuses_a_lower_cap) {
  Model *m = make_model();
  m->p.ntarget = 1; // avx2 only
  m->p.target[0] = m->p.target[1];
  for (size_t i = 0; i < m->p.kernel.n; i++) m->p.kernel.at[i].k[0] = m->p.kernel.at[i].k[1];
  void *lib = build_library(m), *ctx = NULL, *arena = NULL;
  const sy_model *x = model_of(lib);
  cr_assert_eq(posix_memalign(&arena, 64, x->arena_bytes(1)), 0);
  cr_expect_eq(init_plain(m, x, arena, "portable", &ctx), SY_EISA);
  cr_expect_null(ctx);
  bool runs = sy_cpu_runs("avx2") != 0;
  cr_expect_eq(init_plain(m, x, arena, "avx512", &ctx), runs ? SY_OK : SY_EISA);
  free(arena);
  dlclose(lib);
  remove_module();
}

static Kernel *kernel_wrong_half(Arena *a, const Target *t) {
  Kernel *k = kernel_half(a, t);
  for (size_t i = 1; i < k->ins.n; i++)
    if (k->ins.at[i].op == K_const) k->ins.at[i].imm = 0.75;
  kb_finish(k);
  return k;
}

Test(emit_model, the_selftest_sees_a_wrong_kernel) {
  if (!sy_cpu_runs("avx2")) return;
  Model *m = make_model();
  m->p.kernel.at[2].k[1] = kernel_wrong_half(&m->arena, m->p.target[1]);
  void *lib = build_library(m), *ctx = NULL, *arena = NULL;
  const sy_model *x = model_of(lib);
  cr_assert_eq(posix_memalign(&arena, 64, x->arena_bytes(1)), 0);
  cr_assert_eq(init_plain(m, x, arena, NULL, &ctx), SY_OK);
  cr_expect_eq(x->selftest(ctx), SY_ETEST);
  free(arena);
  dlclose(lib);
  remove_module();
}
