// kernels.c: the printed C and the LLVM IR give the same bits as the interpreter, for every target: C with gcc, clang
// and a cross compiler, LLVM IR as an object of our own, as WebAssembly in node, and through clang.
//
// For each target the cases of kernel_cases.h are built, legalised and interpreted; then all targets are printed into
// one C file with a small main, which is compiled (warnings are errors), run on the same inputs, and compared bit for
// bit (NaNs count as equal). Buffers are 4-byte aligned there and nothing more. A compiler, CPU feature or emulator
// that is missing is a skip with its reason. Controls, at the end: builds that must differ do differ.
//
//   kernels [number of random kernels per target] [seed] [--keep]     exit 0 = all equal
//
// If they are not given, the number is SWITCHYARD_KERNELS, or 200, and SWITCHYARD_SEED asks for other kernels.
#include "codegen/llvm/llvm.h"
#include "kernel_cases.h"
#include "runtime/switchyard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Set { // the cases of one target with what the interpreter made of them
  Cases cases;
  const Target *printed;            // its rows are used for printing; the target itself except in controls
  void *(*expected)[CASE_MAX_BUFS]; // of each case
} Set;

typedef struct World {
  Arena arena;
  char dir[64];
  Set set[ISA_COUNT];
  size_t nset, failures, compared, skipped;
} World;

/* what the interpreter gives
 * --------------------------------------------------------------------------------------------------- */
static void interpret(World *w, Set *s) {
  s->expected = arena_alloc(&w->arena, s->cases.list.n * sizeof *s->expected);
  for (size_t i = 0; i < s->cases.list.n; i++) {
    const Case *c = &s->cases.list.at[i];
    for (size_t b = 0; b < case_params(c->kernel); b++) {
      s->expected[i][b] = arena_alloc(&w->arena, case_bytes(c->kernel, b));
      memcpy(s->expected[i][b], c->memory[b], case_bytes(c->kernel, b));
    }
    kernel_interp(c->kernel, s->expected[i], c->dims, 0, kernel_tasks(c->kernel, c->dims));
  }
}

static void add_set(World *w, const Target *t, unsigned nrandom, uint64_t seed) {
  Set *s = &w->set[w->nset++];
  *s = (Set){.cases = {.arena = &w->arena, .target = t, .seed = seed}, .printed = t};
  cases_named(&s->cases);
  cases_rows(&s->cases);
  cases_random(&s->cases, nrandom);
  interpret(w, s);
}

/* text must be the same after a round trip
 * --------------------------------------------------------------------------------------- */
static void check_text(World *w, const Case *c) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag diag;
  diag_init(&diag, &a);
  Buf one = {0}, two = {0};
  kernel_print(c->kernel, &one);
  Kernel *k = kernel_parse(&a, &names, &diag, one.s, one.n, diag_add_file(&diag, "printed.kir", one.s, one.n));
  if (k) kernel_print(k, &two);
  if (!k || strcmp(one.s, two.s)) {
    w->failures++;
    diag_print(&diag, &two, false);
    printf("FAIL %s: print, parse, print is not the identity\n%s\n%s\n", c->kernel->name, one.s, two.s);
  }
  buf_free(&one);
  buf_free(&two);
  arena_free(&a);
}

/* the program
 * ----------------------------------------------------------------------------------------------------------------------
 */
static const char *const program_head[] = {
    "#include <stdio.h>\n#include <stdlib.h>\n",
    "typedef struct test_args {\n  void *p[16];\n  size_t dim[16];\n} test_args;\n",
    "typedef struct entry {\n  const char *isa;\n  void (*run)(const test_args *, size_t, void *);\n",
    "  size_t (*tasks)(const size_t *);\n  size_t scratch;\n} entry;\n\n",
};

static const char *const program_main[] = {
    "static uint64_t number(FILE *f) {\n  uint64_t v = 0;\n",
    "  if (fread(&v, sizeof v, 1, f) != 1) exit(3);\n  return v;\n}\n",
    "int main(int argc, char **argv) { // ISA inputs outputs\n",
    "  if (argc != 4) return 2;\n",
    "  FILE *in = fopen(argv[2], \"rb\"), *out = fopen(argv[3], \"wb\");\n  if (!in || !out) return 3;\n",
    "  for (size_t i = 0; entries[i].isa; i++) {\n    if (strcmp(entries[i].isa, argv[1])) continue;\n",
    "    test_args args;\n    memset(&args, 0, sizeof args);\n    size_t size[16] = {0};\n",
    "    for (size_t d = 0; d < 16; d++) args.dim[d] = (size_t)number(in);\n    const size_t n = (size_t)number(in);\n",
    "    for (size_t b = 0; b < n; b++) {\n      size[b] = (size_t)number(in);\n",
    "      args.p[b] = (char *)malloc(size[b] + 4) + 4; // aligned to 4 bytes only\n",
    "      if (fread(args.p[b], 1, size[b], in) != size[b]) return 3;\n    }\n",
    "    void *scratch = aligned_alloc(64, entries[i].scratch + 64);\n    if (!scratch) return 3;\n",
    "    memset(scratch, 0xff, entries[i].scratch + 64);\n",
    "    const size_t tasks = entries[i].tasks(args.dim);\n",
    "    for (size_t t = tasks; t > 0; t--) entries[i].run(&args, t - 1, scratch); // any order\n",
    "    for (size_t b = 0; b < n; b++) {\n",
    "      if (fwrite(args.p[b], 1, size[b], out) != size[b]) return 3;\n      free((char *)args.p[b] - 4);\n    }\n",
    "    free(scratch);\n  }\n  fclose(in);\n  return fclose(out);\n}\n",
};

static void name_kernel(const Kernel *k, size_t set, size_t i, char name[128]) {
  snprintf(name, 128, "%.60s_%zu_%zu", k->name, set, i);
}

static void emit_set(const Set *s, size_t number, Buf *out) {
  const Target *t = s->printed;
  EmitFunctions functions = {0};
  buf_printf(out, "#if %s\n", t->isa->family->compiled);
  emit_c_prelude(t, &(Prelude){targets, number, HELP_ALL}, out);
  for (size_t i = 0; i < s->cases.list.n; i++) {
    const Kernel *k = s->cases.list.at[i].kernel;
    char name[128];
    name_kernel(k, number, i, name);
    emit_c_kernel(k, t, &(EmitC){"test", name, NULL, &functions}, out);
    buf_printf(out, "static size_t %s_tasks(const size_t *d) {\n  (void)d;\n  return ", name);
    emit_c_tasks(k, out);
    buf_puts(out, ";\n}\n\n");
  }
  buf_puts(out, "#endif\n");
  emit_c_functions_free(&functions);
}

// With `only` the kernels of one set are in an object.
static void emit_program(const World *w, const Set *only, Buf *out) {
  emit_c_prelude(NULL, &(Prelude){.helpers = HELP_ALL}, out);
  for (size_t i = 0; i < sizeof program_head / sizeof *program_head; i++) buf_puts(out, program_head[i]);
  for (size_t i = 0; i < w->nset; i++) {
    if (!only) emit_set(&w->set[i], i, out);
    for (size_t j = 0; only == &w->set[i] && j < only->cases.list.n; j++) {
      char name[128];
      name_kernel(only->cases.list.at[j].kernel, i, j, name);
      buf_printf(out, "extern void %s(const test_args *, size_t, void *);\nextern size_t %s_tasks(const size_t *);\n",
                 name, name);
    }
  }
  buf_puts(out, "static const entry entries[] = {\n");
  for (size_t i = 0; i < w->nset; i++) {
    if (only && only != &w->set[i]) continue;
    buf_printf(out, "#if %s\n", only ? "1" : w->set[i].printed->isa->family->compiled);
    for (size_t j = 0; j < w->set[i].cases.list.n; j++) {
      const Kernel *k = w->set[i].cases.list.at[j].kernel;
      char name[128];
      name_kernel(k, i, j, name);
      buf_printf(out, "    {\"%s\", %s, %s_tasks, %d},\n", w->set[i].printed->name, name, name,
                 (int)kernel_scratch_bytes(k));
    }
    buf_puts(out, "#endif\n");
  }
  buf_puts(out, "    {NULL, NULL, NULL, 0},\n};\n\n");
  for (size_t i = 0; i < sizeof program_main / sizeof *program_main; i++) buf_puts(out, program_main[i]);
}

/* files and commands
 * ------------------------------------------------------------------------------------------------------------------ */
static const char *path(const World *w, const char *name) {
  static char s[4][128];
  static unsigned n;
  char *p = s[n++ % 4];
  snprintf(p, sizeof s[0], "%s/%s", w->dir, name);
  return p;
}

static bool SY_PRINTF(1, 2) shell(const char *fmt, ...) {
  char command[1000];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(command, sizeof command, fmt, ap);
  va_end(ap);
  return system(command) == 0;
}

static void put_number(Buf *b, uint64_t v) {
  buf_putn(b, (const char *)&v, sizeof v);
}

static void write_or_die(const char *file, const Buf *b) {
  const char *err;
  if (!file_write(file, b->s, b->n, &err)) ICE("%s: %s", file, err);
}

static void write_inputs(const World *w, const Set *s) {
  Buf b = {0};
  for (size_t i = 0; i < s->cases.list.n; i++) {
    const Case *c = &s->cases.list.at[i];
    size_t n = case_params(c->kernel);
    for (size_t d = 0; d < 16; d++) put_number(&b, d < MAX_DIMS ? (uint64_t)c->dims[d] : 0);
    put_number(&b, n);
    for (size_t j = 0; j < n; j++) {
      put_number(&b, case_bytes(c->kernel, j));
      buf_putn(&b, c->memory[j], case_bytes(c->kernel, j));
    }
  }
  write_or_die(path(w, "in.bin"), &b);
  buf_free(&b);
}

/* comparing
 * ---------------------------------------------------------------------------------------------------------------------------
 */
static bool same(DType dt, const char *a, const char *b) {
  if (dtype_is_narrow(dt)) {
    uint16_t x, y;
    memcpy(&x, a, 2), memcpy(&y, b, 2);
    return x == y || (isnan(dtype_widen(dt, x)) && isnan(dtype_widen(dt, y)));
  }
  if (dtype_info[dt].bytes != 4) return !memcmp(a, b, dtype_info[dt].bytes);
  uint32_t u, v;
  memcpy(&u, a, 4), memcpy(&v, b, 4);
  bool nans = (u & 0x7fffffffu) > 0x7f800000u && (v & 0x7fffffffu) > 0x7f800000u;
  return u == v || (dt == DT_F32 && nans);
}

static double shown(DType dt, const char *a) { // whole numbers by the f32 with their bits
  float f;
  uint16_t h;
  if (dtype_info[dt].bytes == 1) return *a;
  if (dtype_is_narrow(dt)) return memcpy(&h, a, 2), (double)dtype_widen(dt, h);
  return memcpy(&f, a, 4), (double)f;
}

// Number of cases that differ; the first few are described if `loud`.
static size_t compare(World *w, const Set *s, const char *what, bool loud) {
  size_t n, at = 0, bad = 0;
  const char *err;
  char *out = file_read(&w->arena, path(w, "out.bin"), &n, &err);
  if (!out) ICE("%s: %s", path(w, "out.bin"), err);
  for (size_t i = 0; i < s->cases.list.n; i++) {
    const Kernel *k = s->cases.list.at[i].kernel;
    bool differs = false;
    for (size_t b = 0; b < case_params(k); b++) {
      size_t bytes = case_bytes(k, b), size = dtype_info[k->buf.at[b + 1].dtype].bytes;
      if (at + bytes > n) ICE("%s: the output is too short", what);
      for (size_t e = 0; e < bytes && !differs; e += size) {
        const char *want = (const char *)s->expected[i][b] + e;
        differs = !same(k->buf.at[b + 1].dtype, want, out + at + e);
        if (!differs || !loud || bad >= 5) continue;
        DType dt = k->buf.at[b + 1].dtype;
        printf("FAIL %s: %s: %s[%zu] is %a, the interpreter gives %a\n", what, k->name, k->buf.at[b + 1].name, e / size,
               shown(dt, out + at + e), shown(dt, want));
      }
      at += bytes;
    }
    bad += differs;
  }
  if (at != n) ICE("%s: the output is too long", what);
  w->compared += s->cases.list.n;
  return bad;
}

/* runs
 * -----------------------------------------------------------------------------------------------------------------------------------
 */
typedef struct Build {
  const char *cc, *flags, *run; // run: prefix of the command, or ""
  const char *machine, *only;   // of the compiler, NULL: this one; the one instruction set to run, NULL: all
} Build;

static const Build builds[] = {
    {"gcc", "-O2", "", NULL, NULL},
    {"clang", "-O2", "", NULL, NULL},
    {"clang-19", "-O2", "", NULL, NULL},
    {"gcc", "-O1 -DSY_PLAIN_C", "", NULL, "portable"}, // the branch for compilers without vector types
    {"clang", "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all", "", NULL, NULL},
    {"aarch64-linux-gnu-gcc", "-O2 -static", "qemu-aarch64", "aarch64", NULL},
    {"riscv64-linux-gnu-gcc", "-O2 -static", "qemu-riscv64", "riscv64", NULL},
};

static bool have(const char *program) {
  return !*program || shell("command -v %s >/dev/null 2>&1", program);
}

static bool compile(const World *w, const Build *b, const char *contract) {
  return shell("%s -std=c11 %s %s -Wall -Wextra -Wconversion -Wshadow -pedantic -Werror -o %s %s -lm", b->cc, b->flags,
               contract, path(w, "program"), path(w, "program.c"));
}

static void run_build(World *w, const Build *b) {
  const char *missing = !have(b->cc) ? b->cc : !have(b->run) ? b->run : NULL;
  if (missing) {
    printf("skip %s %s: no %s here\n", b->cc, b->flags, missing);
    w->skipped++;
    return;
  }
  if (!compile(w, b, "-ffp-contract=off")) {
    printf("FAIL %s %s: does not compile\n", b->cc, b->flags);
    w->failures++;
    return;
  }
  for (size_t i = 0; i < w->nset; i++) {
    const Set *s = &w->set[i];
    const char *isa = s->printed->name;
    char what[200];
    snprintf(what, sizeof what, "%s %s, %s", b->cc, b->flags, isa);
    if (b->only && strcmp(b->only, isa) != 0) continue;
    if (!target_runs_on(s->printed, family_of_machine(b->machine ? b->machine : sy_cpu_family()))) continue;
    if (!*b->run && !sy_cpu_runs(isa)) {
      printf("skip %s: this processor has no %s\n", what, isa);
      w->skipped++;
      continue;
    }
    write_inputs(w, s);
    if (!shell("%s %s %s %s %s", b->run, path(w, "program"), isa, path(w, "in.bin"), path(w, "out.bin"))) {
      printf("FAIL %s: does not run\n", what);
      w->failures++;
      continue;
    }
    size_t bad = compare(w, s, what, true);
    printf("%s %s: %zu kernels, %zu differ\n", bad ? "FAIL" : "ok  ", what, s->cases.list.n, bad);
    w->failures += bad;
  }
}

/* the same through LLVM
 * ----------------------------------------------------------------------------------------------------------------- */
typedef struct LlvmBuild {                  // a machine, for all its instruction sets
  const char *triple, *cc, *features, *run; // triple: NULL: this one; cc: for main; run: prefix of the command, or ""
  const char *check, *without;              // a command that says whether it can run here, and what is missing if not
} LlvmBuild;

// Prints the first linker for WebAssembly that is here; fails if none is.
#define WASM_LD "command -v wasm-ld wasm-ld-19 wasm-ld-18 wasm-ld-17 wasm-ld-16 wasm-ld-15 2>/dev/null | grep -m 1 ."

static const LlvmBuild llvm_builds[] = {
    {.cc = "gcc", .run = ""},
    {.triple = "aarch64-linux-gnu", .cc = "aarch64-linux-gnu-gcc", .run = "qemu-aarch64"},
    {.triple = "riscv64-linux-gnu", .cc = "riscv64-linux-gnu-gcc", .run = "qemu-riscv64"},
    {.triple = "riscv64-linux-gnu",
     .cc = "riscv64-linux-gnu-gcc",
     .features = "+m,+a,+f,+d,+c,+v",
     .run = "qemu-riscv64 -cpu rv64,v=true,vlen=128",
     .check = "qemu-riscv64 --version | grep -qE 'version ([89]|[1-9][0-9])'",
     .without = "emulator of the vector extension: qemu 7 stops with an assertion"},
    {.triple = "wasm32", .cc = "", .run = "node", .check = WASM_LD, .without = "wasm-ld"},
};

static Set *find_set(World *w, const char *isa) {
  for (size_t i = 0; i < w->nset; i++)
    if (!strcmp(w->set[i].printed->name, isa)) return &w->set[i];
  return NULL;
}

// The kernels of a set in a form of output, as FILE in the folder.
static bool write_kernels(World *w, const Set *s, const LlvmBuild *b, LlvmKind kind, const char *file) {
  LlvmKernel *k = ARENA_ARRAY(&w->arena, LlvmKernel, s->cases.list.n);
  for (size_t i = 0; i < s->cases.list.n; i++) {
    char name[128];
    name_kernel(s->cases.list.at[i].kernel, (size_t)(s - w->set), i, name);
    k[i] = (LlvmKernel){s->cases.list.at[i].kernel, arena_strdup(&w->arena, name)};
  }
  Buf out = {0};
  const char *err = "";
  EmitLlvm o = {.prefix = "test", .triple = b->triple, .features = b->features};
  bool ok = llvm_emit_kernels(k, s->cases.list.n, s->printed, &o, kind, &out, &err);
  if (ok)
    write_or_die(path(w, file), &out);
  else
    printf("FAIL LLVM %s: %s\n", s->printed->name, err);
  buf_free(&out);
  return ok;
}

// Links kernels.o with main, runs it. False: it cannot be done.
static bool run_object(World *w, const Set *s, const LlvmBuild *b) {
  Buf text = {0};
  emit_program(w, s, &text);
  write_or_die(path(w, "main.c"), &text);
  buf_free(&text);
  write_inputs(w, s);
  return shell("%s -std=c11 -O1 %s -o %s %s %s -lm", b->cc, *b->run ? "-static" : "", path(w, "program"),
               path(w, "main.c"), path(w, "kernels.o")) &&
         shell("%s %s %s %s %s", b->run, path(w, "program"), s->printed->name, path(w, "in.bin"), path(w, "out.bin"));
}

// The same in node: there is no main, run_wasm.js does its work.
static bool run_web(World *w, const Set *s) {
  Buf list = {0};
  for (size_t i = 0; i < s->cases.list.n; i++) {
    char name[128];
    name_kernel(s->cases.list.at[i].kernel, (size_t)(s - w->set), i, name);
    buf_printf(&list, "%s %d\n", name, (int)kernel_scratch_bytes(s->cases.list.at[i].kernel));
  }
  write_or_die(path(w, "list"), &list);
  buf_free(&list);
  write_inputs(w, s);
  return shell("$(" WASM_LD ") --no-entry --export-dynamic --export=__heap_base -o %s %s", path(w, "kernels.wasm"),
               path(w, "kernels.o")) &&
         shell("node " SOURCE_DIR "/tests/diff/run_wasm.js %s/kernels.wasm %s/list %s/in.bin %s/out.bin", w->dir,
               w->dir, w->dir, w->dir);
}

static void run_llvm(World *w, const LlvmBuild *b, const Set *s) {
  const char *isa = s->printed->name;
  char what[200], emulator[40];
  snprintf(emulator, sizeof emulator, "%.*s", (int)strcspn(b->run, " "), b->run);
  snprintf(what, sizeof what, "LLVM %s, %s%s%s%s", llvm_version(), isa, b->triple ? ", " : "",
           b->triple ? b->triple : "", b->features ? b->features : "");
  const char *missing = !have(b->cc) ? b->cc : !have(emulator) ? emulator : NULL;
  if (!missing && b->check && !shell("%s >/dev/null", b->check)) missing = b->without;
  if (llvm_missing() || missing || (!*b->run && !sy_cpu_runs(isa))) {
    printf("skip %s: no %s here\n", what, llvm_missing() ? "LLVM" : missing ? missing : isa);
    w->skipped++;
    return;
  }
  bool web = !strcmp(b->run, "node");
  if (!write_kernels(w, s, b, LLVM_OBJ, "kernels.o") || !(web ? run_web(w, s) : run_object(w, s, b))) {
    printf("FAIL %s: does not run\n", what);
    w->failures++;
    return;
  }
  size_t bad = compare(w, s, what, true);
  printf("%s %s: %zu kernels, %zu differ\n", bad ? "FAIL" : "ok  ", what, s->cases.list.n, bad);
  w->failures += bad;
}

static void run_llvm_sets(World *w, const LlvmBuild *b) {
  const Family *f = family_of_machine(b->triple ? b->triple : sy_cpu_family());
  for (size_t i = 0; i < w->nset; i++)
    if (target_runs_on(w->set[i].printed, f)) run_llvm(w, b, &w->set[i]);
}

// What clang makes of the text, changed by sed or compiled with other flags.
typedef struct LlvmControl {
  const char *what, *flags, *sed;
  bool wrong;
} LlvmControl;

#define FMA_ARG "\\(<8 x float> %[^,)]*\\)"
static const LlvmControl llvm_controls[] = {
    {"contraction allowed", "", "s/ = \\(fmul\\|fadd\\|fsub\\) / = \\1 contract /;p", true},
    {"fma with swapped operands", "",
     "s/\\(@llvm.fma[^(]*(\\)" FMA_ARG ", " FMA_ARG ", " FMA_ARG ")/\\1\\2, \\4, \\3)/;p", true},
    {"pairs of lanes added first", "",
     "s/i32 0, i32 1, i32 2, i32 3>/i32 0, i32 2, i32 4, i32 6>/;s/i32 4, i32 5, i32 6, i32 7>$/i32 1, i32 3, i32 5, "
     "i32 7>/;p",
     true},
    {"none (must be equal)", "", "p", false},
};

static void run_llvm_control(World *w, const LlvmControl *c) {
  static const LlvmBuild b = {.cc = "gcc", .run = ""};
  const Set *s = find_set(w, "avx2");
  char clang[20];
  snprintf(clang, sizeof clang, "clang-%.2s", llvm_version());
  if (llvm_missing() || !have(clang) || !sy_cpu_runs("avx2")) {
    printf("skip LLVM control %s: needs LLVM, its clang and AVX2\n", c->what);
    w->skipped++;
    return;
  }
  bool ran = write_kernels(w, s, &b, LLVM_TEXT, "kernels.ll") &&
             shell("sed -n '%s' %s > %s", c->sed, path(w, "kernels.ll"), path(w, "changed.ll")) &&
             shell("%s -O2 -w %s -c -o %s %s", clang, c->flags, path(w, "kernels.o"), path(w, "changed.ll")) &&
             run_object(w, s, &b);
  size_t bad = ran ? compare(w, s, c->what, false) : 0;
  bool ok = ran && (bad > 0) == c->wrong;
  printf("%s LLVM control, %s: %zu of %zu differ\n", ok ? "ok  " : "FAIL", c->what, bad, s->cases.list.n);
  w->failures += !ok;
}

/* controls: wrong builds must be found
 * ------------------------------------------------------------------------------------------------------ */
typedef struct Control {
  const char *what, *isa, *flags;
  KOp op; // row replaced; K_par = none
  const char *row;
} Control;

static const Control controls[] = {
    {"contraction allowed", "avx2", "-ffp-contract=fast", K_par, NULL},
    {"-ffast-math", "avx2", "-ffast-math", K_par, NULL},
    {"fma with swapped operands", "avx2", "-ffp-contract=off", K_fma, "_mm256_fmadd_ps(%0, %2, %1)"},
    {"sub the wrong way round", "portable", "-ffp-contract=off", K_sub, "sy4_sub_f(%1, %0)"},
    {"max with swapped operands", "portable", "-ffp-contract=off", K_max, "sy4_max_f(%1, %0)"},
    {"lanes added in order", "portable", "-ffp-contract=off", K_hadd,
     "(((SY_AT(%0, 0) + SY_AT(%0, 1)) + SY_AT(%0, 2)) + SY_AT(%0, 3))"},
    {"halves that saturate", "avx2", "-ffp-contract=off", K_pairs4,
     "_mm256_adds_epi16(%0, _mm256_maddubs_epi16(%1, %2))"},
    {"none (must be equal)", "portable", "-ffp-contract=off", K_par, NULL},
};

static const Target *with_row(World *w, const Target *t, KOp op, const char *c) {
  if (op == K_par) return t;
  Target *copy = ARENA_NEW(&w->arena, Target);
  IsaRow *rows = ARENA_ARRAY(&w->arena, IsaRow, t->nrows);
  *copy = *t;
  memcpy(rows, t->rows, t->nrows * sizeof *rows);
  DType dt = op == K_pairs4 ? DT_I32 : DT_F32;
  for (size_t i = 0; i < t->nrows; i++)
    if (rows[i].op == op && rows[i].dtype == dt && rows[i].lanes == t->lanes) rows[i].c = c;
  copy->rows = rows;
  return copy;
}

static void run_control(World *w, const Control *c) {
  Set *s = NULL;
  for (size_t i = 0; i < w->nset; i++)
    if (!strcmp(w->set[i].cases.target->name, c->isa)) s = &w->set[i];
  if (!have("gcc") || !s || !sy_cpu_runs(c->isa)) {
    printf("skip control %s: needs gcc and %s\n", c->what, c->isa);
    w->skipped++;
    return;
  }
  World one = {.nset = 1, .set = {*s}};
  one.set[0].printed = with_row(w, s->cases.target, c->op, c->row);
  memcpy(one.dir, w->dir, sizeof one.dir);
  Buf text = {0};
  emit_program(&one, NULL, &text);
  write_or_die(path(w, "program.c"), &text);
  buf_free(&text);
  write_inputs(w, s);
  Build b = {"gcc", "-O2 -Wno-error", "", NULL, NULL};
  size_t bad = 0;
  bool ran = compile(w, &b, c->flags) &&
             shell("%s %s %s %s", path(w, "program"), c->isa, path(w, "in.bin"), path(w, "out.bin"));
  if (ran) bad = compare(&one, s, c->what, false);
  bool wrong = c->op != K_par || !strstr(c->flags, "off");
  bool ok = ran && (bad > 0) == wrong;
  printf("%s control, %s: %zu of %zu differ\n", ok ? "ok  " : "FAIL", c->what, bad, s->cases.list.n);
  w->failures += !ok;
  arena_free(&one.arena);
}

int main(int argc, char **argv) {
  World w = {0};
  const char *wish = argc > 1 ? argv[1] : getenv("SWITCHYARD_KERNELS");
  unsigned nrandom = wish && *wish ? (unsigned)strtoul(wish, NULL, 10) : 200;
  const char *other = getenv("SWITCHYARD_SEED");
  uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) | 1 : 0x5eed + 2 * strtoull(other ? other : "0", NULL, 10);
  bool keep = argc > 3 && !strcmp(argv[3], "--keep");
  const char *tmp = getenv("TMPDIR");
  snprintf(w.dir, sizeof w.dir, "%.40s/kernelsXXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(w.dir)) {
    puts("no temporary directory");
    return 3;
  }
  for (size_t i = 0; targets[i]; i++) add_set(&w, targets[i], nrandom, seed);
  for (size_t i = 0; i < w.nset; i++)
    for (size_t j = 0; j < w.set[i].cases.list.n; j++) check_text(&w, &w.set[i].cases.list.at[j]);
  Buf text = {0};
  emit_program(&w, NULL, &text);
  write_or_die(path(&w, "program.c"), &text);
  buf_free(&text);
  for (size_t i = 0; i < sizeof builds / sizeof builds[0]; i++) run_build(&w, &builds[i]);
  for (size_t i = 0; i < sizeof llvm_builds / sizeof llvm_builds[0]; i++) run_llvm_sets(&w, &llvm_builds[i]);
  w.nset = 0; // controls: few random ones
  for (size_t i = 0; targets[i]; i++) add_set(&w, targets[i], 10, seed);
  for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++) run_control(&w, &controls[i]);
  for (size_t i = 0; i < sizeof llvm_controls / sizeof llvm_controls[0]; i++) run_llvm_control(&w, &llvm_controls[i]);
  if (keep)
    printf("kept: %s\n", w.dir);
  else
    shell("rm -rf %s", w.dir);
  printf("%zu comparisons, %zu failures, %zu skipped\n", w.compared, w.failures, w.skipped);
  arena_free(&w.arena);
  return w.failures ? 1 : 0;
}
