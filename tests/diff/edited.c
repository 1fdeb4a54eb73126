// edited.c: IR that was edited and still verifies, as C under the address and undefined behaviour sanitizers with every
// buffer at its exact size: what the verifiers accept touches nothing outside, and gives the interpreter's bits.
//
// Graph IR of tests/graphs, tests/passes and the fuzz targets' seeds is edited (edited_text.h), goes through passes and
// lowering, and what comes out is run twice: as models with their engine, and kernel by kernel, each with memory of its
// own. Kernels are edited as well, those of the seeds and those that lowering made.
//
//   edited [rounds] [seed] [--keep]     exit 0 = nothing found, 77 = no compiler with sanitizers
//
// A round is MODELS models and KERNELS kernels. If they are not given, SWITCHYARD_EDITED says how many rounds, or 1,
// and SWITCHYARD_SEED asks for other edits.
#include "edited_text.h"
#include "kernel_cases.h"
#include "kernel_random.h"

#include "../fuzz/fuzz_kernel.h"
#include "../fuzz/fuzz_program.h"

#include <glob.h>
#include <signal.h>
#include <unistd.h>

enum { MODELS = 2, KERNELS = 40, TRIES = 20000, MOST_PARTS = 6, RUN_DIMS = 32, TEXT_BYTES = 20000 };

typedef struct World {
  char dir[64];
  const char *cc;
  uint64_t seed;
  Arena seeds; // the texts that are edited
  VEC(Text) graph, kernel;
  size_t tried, accepted, models, kernels, failures;
} World;

typedef struct Trial { // of one round
  World *w;
  Arena a;
  VEC(Case) kernel;
} Trial;

// Without optimisation: no access that is written disappears.
static const char sanitize[] = "-g -O0 -std=c11 -D_GNU_SOURCE -w -ffp-contract=off -fsanitize=address,undefined "
                               "-fno-sanitize-recover=all";

/* what is worked on when something ends the process
 * ------------------------------------------------------------------------------------------------------------------ */
static Text current;
static uint64_t current_seed;

static bool finished;

static void say_current(void) {
  if (finished) return;
  dprintf(STDOUT_FILENO, "\nFAIL on %s, seed 0x%llx:\n", current.name, (unsigned long long)current_seed);
  (void)!write(STDOUT_FILENO, current.s, current.n);
}

static void on_abort(int sig) {
  say_current();
  signal(sig, SIG_DFL);
  raise(sig);
}

/* texts
 * ------------------------------------------------------------------------------------------------------------------ */
static void read_seeds(World *w, const char *pattern, bool kernels) {
  glob_t found;
  if (glob(arena_printf(&w->seeds, SOURCE_DIR "/tests/%s", pattern), 0, NULL, &found)) ICE("no files: %s", pattern);
  for (size_t i = 0; i < found.gl_pathc; i++) {
    Text t = {.name = arena_strdup(&w->seeds, found.gl_pathv[i])};
    const char *err;
    if (!(t.s = file_read(&w->seeds, t.name, &t.n, &err))) ICE("%s: %s", t.name, err);
    if (t.n >= TEXT_BYTES) continue;
    if (kernels)
      VEC_PUSH(&w->seeds, w->kernel, t);
    else
      VEC_PUSH(&w->seeds, w->graph, t);
  }
  globfree(&found);
}

// A text with one or two edits.
static Text next_text(World *w, Arena *a, Text t) {
  current_seed = w->seed;
  current = t;
  current = edited_text(a, t, 1 + (unsigned)random_below(&w->seed, 2), &w->seed);
  w->tried++;
  return current;
}

static bool SY_PRINTF(1, 2) shell(const char *fmt, ...) {
  char command[1500];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(command, sizeof command, fmt, ap);
  va_end(ap);
  return system(command) == 0;
}

static void write_or_die(const World *w, const char *name, const Buf *b) {
  char path[200];
  const char *err;
  snprintf(path, sizeof path, "%s/%s", w->dir, name);
  if (!file_write(path, b->s ? b->s : "", b->n, &err)) ICE("%s: %s", path, err);
}

static void put_number(Buf *b, uint64_t v) {
  buf_putn(b, (const char *)&v, sizeof v);
}

static void put_bytes(Buf *b, const void *p, size_t n) {
  put_number(b, n);
  buf_putn(b, p, n);
}

static void found(World *w, const char *what, const char *text) {
  w->failures++;
  printf("FAIL %s\n%s\n", what, text);
  shell("head -n 30 %s/err", w->dir);
  fflush(stdout);
}

static bool same(DType dt, const char *a, const char *b) {
  uint32_t u, v;
  if (dtype_info[dt].bytes != 4) return !memcmp(a, b, dtype_info[dt].bytes);
  memcpy(&u, a, 4), memcpy(&v, b, 4);
  return u == v || (dt == DT_F32 && (u & 0x7fffffffu) > 0x7f800000u && (v & 0x7fffffffu) > 0x7f800000u);
}

static bool all_same(DType dt, const char *a, const char *b, size_t bytes) {
  for (size_t i = 0; i < bytes; i += dtype_info[dt].bytes)
    if (!same(dt, a + i, b + i)) return false;
  return true;
}

/* kernels
 * ------------------------------------------------------------------------------------------------------------------ */
static const Target *target_of(const Kernel *k) {
  for (size_t i = 0; targets[i]; i++) {
    const char *isa = targets[i]->name;
    if (k->lanes == targets[i]->lanes && (!strcmp(isa, "portable") || !strcmp(isa, "avx2"))) return targets[i];
  }
  return k->lanes == 1 ? targets[0] : NULL;
}

// Operations that are defined on a part of their operands only: no bits to compare.
static bool has_own_bits(const Kernel *k) {
  for (size_t i = 1; i < k->ins.n; i++)
    if (k->ins.at[i].op == K_exp2i || k->ins.at[i].op == K_expo || k->ins.at[i].op == K_mant ||
        k->ins.at[i].op == K_shr || k->ins.at[i].op == K_rotl)
      return true;
  return false;
}

static bool reads_scratch(const Kernel *k) { // perhaps before it is written
  for (size_t i = 1; i < k->buf.n; i++)
    if (k->buf.at[i].role == KB_SCRATCH) return true;
  return false;
}

static void fill(World *w, DType dt, char *p, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) p[i] = (char)random_below(&w->seed, 256);
  for (size_t i = 0; dt == DT_BOOL && i < bytes; i++) p[i] &= 1;
  for (size_t i = 0; dt == DT_I32 && i + 4 <= bytes; i += 4) { // ids: in a table, or anything
    int32_t id = (int32_t)random_below(&w->seed, 8);
    if (random_below(&w->seed, 4)) memcpy(p + i, &id, 4);
  }
}

// Takes a kernel if it is one that can be run here, at some dims.
static void add_kernel(Trial *t, const Kernel *made) {
  World *w = t->w;
  const Target *target = target_of(made);
  Case c = {.kernel = ARENA_NEW(&t->a, Kernel)};
  const char *why = "";
  *c.kernel = *made;
  if (t->kernel.n == KERNELS || !target || !fuzz_kernel_small(made) || case_params(made) > CASE_MAX_BUFS) return;
  kernel_legalise(c.kernel, target->has_fma);
  if (!kernel_verify(c.kernel, &why)) ICE("legalised: %s", why);
  int64_t which = random_below(&w->seed, 3);
  for (size_t i = 1; i < made->var.n; i++) {
    const KVarInfo *v = &made->var.at[i];
    if (v->kind != KV_DIM) continue;
    if (v->sym < 0 || v->sym >= 16) return;
    int64_t between = v->lo + random_below(&w->seed, v->hi - v->lo + 1);
    c.dims[v->sym] = which == 0 ? v->lo : which == 1 ? v->hi : between;
  }
  for (size_t i = 0; i < case_params(made); i++) {
    size_t bytes = case_bytes(made, i);
    c.memory[i] = arena_alloc(&t->a, bytes + 1);
    fill(w, made->buf.at[i + 1].dtype, c.memory[i], bytes);
  }
  VEC_PUSH(&t->a, t->kernel, c);
}

static void try_kernel(Trial *t, Text seed) {
  Diag d;
  Text text = next_text(t->w, &t->a, seed);
  Kernel *k = fuzz_kernel_parse(&t->a, &d, text.s, text.n);
  if (!k) return;
  t->w->accepted++;
  add_kernel(t, k);
}

// Its text as a seed of the round.
static Text kernel_text(Arena *a, const Kernel *k) {
  Buf b = {0};
  kernel_print(k, &b);
  Text t = {arena_strndup(a, b.s, b.n), b.n, k->name};
  buf_free(&b);
  return t;
}

static const char *const program_text[] = {
    "typedef struct test_args {\n  void *p[16];\n  size_t dim[16];\n} test_args;\n",
    "#include <stdio.h>\n#include <stdlib.h>\nstatic FILE *in, *out;\nstatic size_t number(void) {\n",
    "  unsigned long long v;\n  if (fread(&v, 8, 1, in) != 1) exit(3);\n  return (size_t)v;\n}\n",
    "static void one(size_t i, void (*run)(const test_args *, size_t, void *), size_t (*tasks)(const size_t *), ",
    "size_t scratch) {\n  test_args a = {0};\n  size_t n, size[16];\n  fprintf(stderr, \"kernel %zu\\n\", i);\n",
    "  for (int d = 0; d < 16; d++) a.dim[d] = number();\n  n = number();\n",
    "  for (size_t b = 0; b < n; b++) {\n    a.p[b] = malloc(size[b] = number());\n",
    "    if (fread(a.p[b], 1, size[b], in) != size[b]) exit(3);\n  }\n  void *s = aligned_alloc(64, scratch);\n",
    "  memset(s, 0xff, scratch);\n  for (size_t t = 0, all = tasks(a.dim); t < all; t++) run(&a, t, s);\n  free(s);\n",
    "  for (size_t b = 0; b < n; b++) fwrite(a.p[b], 1, size[b], out), free(a.p[b]);\n}\n",
    "int main(int argc, char **argv) {\n  (void)argc, in = fopen(argv[1], \"rb\"), out = fopen(argv[2], \"wb\");\n",
};

static void emit_kernels(const Trial *t, const Target *target, Buf *out) {
  EmitFunctions functions = {0};
  emit_c_prelude(target, &(Prelude){.helpers = HELP_ALL}, out);
  for (size_t i = 0; i < t->kernel.n; i++) {
    const Kernel *k = t->kernel.at[i].kernel;
    char name[40];
    if (target_of(k) != target) continue;
    snprintf(name, sizeof name, "kernel_%zu", i);
    emit_c_kernel(k, target, &(EmitC){"test", name, NULL, &functions}, out);
    buf_printf(out, "static size_t %s_tasks(const size_t *d) {\n  (void)d;\n  return ", name);
    emit_c_tasks(k, out);
    buf_puts(out, ";\n}\n");
  }
  emit_c_functions_free(&functions);
}

// `lacking`: elements that the last buffer of each kernel has too few.
static void write_kernels(const Trial *t, size_t lacking) {
  Buf c = {0}, in = {0};
  emit_c_prelude(NULL, &(Prelude){.helpers = HELP_ALL}, &c);
  buf_puts(&c, program_text[0]);
  for (size_t i = 0; targets[i]; i++)
    if (!strcmp(targets[i]->name, "portable") || !strcmp(targets[i]->name, "avx2")) emit_kernels(t, targets[i], &c);
  for (size_t i = 1; i < sizeof program_text / sizeof *program_text; i++) buf_puts(&c, program_text[i]);
  for (size_t i = 0; i < t->kernel.n; i++) {
    const Case *x = &t->kernel.at[i];
    buf_printf(&c, "  one(%zu, kernel_%zu, kernel_%zu_tasks, %d);\n", i, i, i, (int)kernel_scratch_bytes(x->kernel));
    for (size_t d = 0; d < 16; d++) put_number(&in, d < MAX_DIMS ? (uint64_t)x->dims[d] : 0);
    put_number(&in, case_params(x->kernel));
    for (size_t b = 0, n = case_params(x->kernel); b < n; b++)
      put_bytes(&in, x->memory[b], case_bytes(x->kernel, b) - (b + 1 == n ? 4 * lacking : 0));
  }
  buf_puts(&c, "  return fclose(out);\n}\n");
  write_or_die(t->w, "kernels.c", &c);
  write_or_die(t->w, "in", &in);
  buf_free(&c);
  buf_free(&in);
}

// The memory of a kernel behind the interpreter, against what the program wrote from *at on.
static bool kernel_is_right(const Case *c, const char *got, size_t n, size_t *at) {
  bool ok = true;
  kernel_interp(c->kernel, c->memory, c->dims, 0, kernel_tasks(c->kernel, c->dims));
  for (size_t b = 0; b < case_params(c->kernel); b++) {
    size_t bytes = case_bytes(c->kernel, b);
    ok = ok && *at + bytes <= n && all_same(c->kernel->buf.at[b + 1].dtype, c->memory[b], got + *at, bytes);
    *at += bytes;
  }
  return ok || has_own_bits(c->kernel) || reads_scratch(c->kernel);
}

static void report_kernel(Trial *t, const Case *c, const char *what) {
  Text k = kernel_text(&t->a, c->kernel);
  found(t->w, what, k.s);
}

// The program of the kernels, compiled and run. False: something was found; its words are in err.
static bool kernels_run(const Trial *t, size_t lacking, bool *compiled) {
  const World *w = t->w;
  write_kernels(t, lacking);
  *compiled = shell("cd %s && %s %s -mavx2 -mfma -mf16c -o kernels kernels.c 2> err", w->dir, w->cc, sanitize);
  return *compiled && shell("cd %s && timeout 300 ./kernels in out 2> err", w->dir);
}

// The kernel that the program said it begins with last.
static const Case *last_kernel(Trial *t) {
  size_t n, last = 0;
  const char *err = "";
  const char *said = file_read(&t->a, arena_printf(&t->a, "%s/err", t->w->dir), &n, &err);
  for (const char *s = said; s && (s = strstr(s, "kernel ")); s++)
    if (s == said || s[-1] == '\n') last = strtoul(s + 7, NULL, 10);
  return &t->kernel.at[last < t->kernel.n ? last : 0];
}

static void run_kernels(Trial *t) {
  World *w = t->w;
  size_t n = 0, at = 0;
  bool compiled;
  const char *err = "";
  if (!kernels_run(t, 0, &compiled)) {
    if (compiled)
      report_kernel(t, last_kernel(t), "a kernel that verifies");
    else
      found(w, "the C of kernels is not accepted", "");
    return;
  }
  const char *got = file_read(&t->a, arena_printf(&t->a, "%s/out", w->dir), &n, &err);
  for (size_t i = 0; got && i < t->kernel.n; i++) {
    const Case *c = &t->kernel.at[i];
    current = kernel_text(&t->a, c->kernel);
    if (!kernel_is_right(c, got, n, &at)) report_kernel(t, c, "other bits than the interpreter's");
  }
  w->kernels += t->kernel.n;
}

// Memory that is one element short must be seen, or nothing here means anything.
static void run_control(World *w) {
  static const char text[] = "kernel @control lanes 1 {\n  buf %x : in f32[4]\n  buf %y : out f32[4]\n"
                             "  loop %i = 0 to 4 step 1 {\n    %2 = load %x[%i] : f32\n    store %y[%i], %2\n  }\n}\n";
  Trial t = {.w = w};
  Diag d;
  bool compiled;
  Kernel *k = fuzz_kernel_parse(&t.a, &d, text, sizeof text - 1);
  if (!k) ICE("the control does not verify");
  add_kernel(&t, k);
  if (kernels_run(&t, 1, &compiled) || !compiled) found(w, "a buffer that is too short is not seen", text);
  arena_free(&t.a);
}

/* models
 * ------------------------------------------------------------------------------------------------------------------ */
typedef struct Call {
  size_t route, target;
  int64_t dims[MAX_DIMS];
  void **in, **out;
} Call;

static void *tensor(Trial *t, const Module *m, const Type *type) {
  size_t bytes = (size_t)type_bytes(m, type);
  char *p = arena_alloc(&t->a, bytes + 1);
  fill(t->w, type->dtype, p, bytes);
  return p;
}

static Call make_call(Trial *t, const Program *p, size_t route, size_t target, int which) {
  const Module *m = p->module;
  const Graph *g = p->route.at[route].graph;
  Call c = {.route = route, .target = target};
  c.in = ARENA_ARRAY(&t->a, void *, g->input.n + 1), c.out = ARENA_ARRAY(&t->a, void *, g->output.n + 1);
  for (size_t d = 0; d < m->ndim; d++)
    c.dims[d] = which ? m->dim[d].lo + random_below(&t->w->seed, m->dim[d].hi - m->dim[d].lo + 1) : m->dim[d].hi;
  for (size_t i = 0; i < g->input.n; i++) c.in[i] = tensor(t, m, &graph_value(g, g->input.at[i].val)->type);
  for (size_t i = 0; i < g->output.n; i++) c.out[i] = tensor(t, m, &graph_value(g, g->output.at[i].val)->type);
  return c;
}

static void put_call(const Program *p, const Call *c, Buf *b) {
  const Graph *g = p->route.at[c->route].graph;
  put_number(b, !strcmp(p->target[c->target]->name, "portable"));
  put_number(b, c->route);
  for (int d = 0; d < RUN_DIMS; d++) put_number(b, d < MAX_DIMS ? (uint64_t)c->dims[d] : 0);
  put_number(b, g->input.n);
  for (size_t i = 0; i < g->input.n; i++)
    put_bytes(b, c->in[i], (size_t)type_bytes(p->module, &graph_value(g, g->input.at[i].val)->type));
  put_number(b, g->output.n);
  for (size_t i = 0; i < g->output.n; i++)
    put_bytes(b, c->out[i], (size_t)type_bytes(p->module, &graph_value(g, g->output.at[i].val)->type));
}

static void write_text(const World *w, const char *name, void (*emit)(const Program *, const EmitModel *, Buf *),
                       const Program *p) {
  Buf b = {0};
  emit(p, &(EmitModel){.prefix = "edited", .header_name = "edited.h"}, &b);
  write_or_die(w, name, &b);
  buf_free(&b);
}

// The result of a call, against what the program wrote from *at on.
static bool call_is_right(const Program *p, const Call *c, const char *weights, const char *got, size_t n, size_t *at) {
  const char *err = "";
  const Graph *g = p->route.at[c->route].graph;
  bool ok =
      program_interpret(p, c->route, c->target, weights, (const void *const *)c->in, c->out, c->dims, NULL, NULL, &err);
  uint64_t status;
  if (*at + sizeof status > n) return false;
  memcpy(&status, got + *at, sizeof status);
  *at += sizeof status;
  if (status) return !ok;
  for (size_t i = 0; i < g->output.n; i++) {
    const Type *t = &graph_value(g, g->output.at[i].val)->type;
    size_t bytes = (size_t)type_bytes(p->module, t);
    ok = ok && *at + bytes <= n && all_same(t->dtype, c->out[i], got + *at, bytes);
    *at += bytes;
  }
  return ok;
}

typedef struct Calls {
  VEC(Call) list;
} Calls;

static Calls write_model(Trial *t, const Program *p, const char *packed, size_t npacked) {
  Calls calls = {0};
  Buf in = {0};
  put_bytes(&in, packed, npacked);
  for (size_t r = 0; r < p->route.n; r++)
    for (size_t target = 0; target < p->ntarget; target++)
      for (int which = 0; which < 2; which++) {
        Call c = make_call(t, p, r, target, which);
        put_call(p, &c, &in);
        VEC_PUSH(&t->a, calls.list, c);
      }
  write_or_die(t->w, "in", &in);
  buf_free(&in);
  write_text(t->w, "edited.c", emit_model_c, p);
  write_text(t->w, "edited.h", emit_model_h, p);
  write_text(t->w, "glue.c", emit_model_glue, p);
  return calls;
}

static void run_model(Trial *t, const Program *p, Text text) {
  World *w = t->w;
  WeightSource source = {.get = fuzz_weight};
  char path[200];
  const char *err = "";
  size_t n, npacked, at = 0;
  snprintf(path, sizeof path, "%s/packed", w->dir);
  if (!pack_file(p, &source, path, NULL, NULL, &err)) return; // weights that cannot be worked out
  const char *packed = file_read(&t->a, path, &npacked, &err);
  Calls calls = write_model(t, p, packed, npacked);
  w->models++;
  bool ran = shell("cd %s && %s %s -include %s/intrinsics.h -I" SOURCE_DIR "/runtime -I. -o model edited.c glue.c "
                   "run_model.o 2> err && timeout 300 ./model in out 2> err",
                   w->dir, w->cc, sanitize, w->dir);
  snprintf(path, sizeof path, "%s/out", w->dir);
  const char *got = ran ? file_read(&t->a, path, &n, &err) : NULL;
  for (size_t i = 0; got && i < calls.list.n; i++) {
    const Call *c = &calls.list.at[i];
    if (call_is_right(p, c, packed + npacked - p->weight_bytes, got, n, &at)) continue;
    found(w, "a model with other bits than the interpreter's", text.s);
    return;
  }
  if (!got) found(w, "a model that is accepted", text.s);
}

// Edited graph IR to a program; NULL if it is refused, or too large to be run.
static Program *try_graph(Trial *t, Text text) {
  Diag *d = ARENA_NEW(&t->a, Diag);
  Intern *names = ARENA_NEW(&t->a, Intern);
  names->arena = &t->a;
  diag_init(d, &t->a);
  Module *m = module_parse(&t->a, names, d, text.s, text.n, diag_add_file(d, "edited.ir", text.s, text.n));
  if (!m || fuzz_values(m) > FUZZ_VALUES || !passes_run(m, &(PassOptions){.verify = true})) return NULL;
  const Target *both[] = {target_by_name("portable"), target_by_name("avx2")};
  Program *p = program_lower(m, both, 2);
  if (p) t->w->accepted++;
  return p && fuzz_is_small(p) ? p : NULL;
}

static void edit_kernels_of(Trial *t, const Program *p) {
  for (size_t i = 0; i < p->kernel.n; i++) {
    size_t target = (size_t)random_below(&t->w->seed, (int64_t)p->ntarget);
    const Kernel *k = p->kernel.at[i].k[target];
    add_kernel(t, k);
    Text text = kernel_text(&t->a, k);
    for (int n = 0; n < 4 && text.n < TEXT_BYTES; n++) try_kernel(t, text);
  }
}

/* ------------------------------------------------------------------------------------------------------------------ */
static void run_round(World *w) {
  Trial t = {.w = w};
  size_t models = 0;
  for (int i = 0; i < TRIES && models < MODELS; i++) {
    Text text = next_text(w, &t.a, w->graph.at[random_below(&w->seed, (int64_t)w->graph.n)]);
    Program *p = try_graph(&t, text);
    if (!p) continue;
    run_model(&t, p, text);
    if (t.kernel.n < KERNELS / 2) edit_kernels_of(&t, p);
    models++;
  }
  for (int i = 0; i < TRIES && t.kernel.n < KERNELS; i++)
    try_kernel(&t, w->kernel.at[random_below(&w->seed, (int64_t)w->kernel.n)]);
  run_kernels(&t);
  arena_free(&t.a);
}

static bool prepare(World *w) {
  static const char *const compilers[] = {"clang", "gcc"};
  const char *tmp = getenv("TMPDIR");
  snprintf(w->dir, sizeof w->dir, "%.40s/editedXXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(w->dir)) return false;
  for (size_t i = 0; i < sizeof compilers / sizeof *compilers && !w->cc; i++)
    if (shell("cd %s && %s %s -I" SOURCE_DIR "/runtime -c " SOURCE_DIR "/tests/fuzz/model/run_model.c 2> err && "
              "echo 'int main(void) { return 0; }' > none.c && %s %s none.c -o none 2> err && ./none",
              w->dir, compilers[i], sanitize, compilers[i], sanitize))
      w->cc = compilers[i];
  Buf b = {0};
  buf_puts(&b, "#if defined(__x86_64__)\n#include <immintrin.h>\n#endif\n");
  write_or_die(w, "intrinsics.h", &b);
  buf_free(&b);
  return w->cc && shell("cd %s && %s %s -x c-header intrinsics.h -o intrinsics.h.%s", w->dir, w->cc, sanitize,
                        strcmp(w->cc, "gcc") ? "pch" : "gch");
}

int main(int argc, char **argv) {
  const char *wish = argc > 1 ? argv[1] : getenv("SWITCHYARD_EDITED");
  unsigned long rounds = wish && *wish ? strtoul(wish, NULL, 10) : 1;
  const char *other = getenv("SWITCHYARD_SEED");
  World w = {.seed =
                 argc > 2 ? strtoull(argv[2], NULL, 0) | 1 : 0xed17ed + 2 * strtoull(other ? other : "0", NULL, 10)};
  bool keep = argc > 3 && !strcmp(argv[3], "--keep");
  setvbuf(stdout, NULL, _IOLBF, 0);
  atexit(say_current); // an internal error ends the process
  signal(SIGABRT, on_abort), signal(SIGSEGV, on_abort), signal(SIGFPE, on_abort);
  bool ready = prepare(&w);
  if (!ready) puts("skipped: no compiler with sanitizers");
  read_seeds(&w, "graphs/*.ir", false), read_seeds(&w, "passes/*.ir", false);
  read_seeds(&w, "fuzz/corpus/plan/*", false), read_seeds(&w, "fuzz/corpus/graph_text/*", false);
  read_seeds(&w, "fuzz/corpus/kernel_text/*", true);
  if (ready) run_control(&w);
  for (unsigned long i = 0; ready && i < rounds; i++) run_round(&w);
  if (keep)
    printf("kept: %s\n", w.dir);
  else
    shell("rm -rf %s", w.dir);
  finished = true;
  printf("%zu edits, %zu accepted; %zu models and %zu kernels run: %zu failures\n", w.tried, w.accepted, w.models,
         w.kernels, w.failures);
  arena_free(&w.seeds);
  return !ready ? 77 : w.failures ? 1 : 0;
}
