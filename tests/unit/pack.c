// pack.c: what kernels make of a tensor in another layout is, to the bit, what the packer of weights writes: every
// layout and element type, on every instruction set of this machine through LLVM and C, and all others in the
// interpreter; and panels that are read as a matrix again are that matrix.
#include "program_ways.h"

enum { BATCH = 2, MOST = 19 };
static const DType types[] = {DT_F32, DT_BF16, DT_F16};
enum { TYPES = sizeof types / sizeof *types };

typedef struct Packing {
  Run run; // first: what looks at a model is given it
  Graph *g;
  void *x[2];       // what the inputs hold: a tensor of rank 3 with a run-time batch, a vector
  void *want[MOST]; // by output: bytes of the packer; NULL: what the input holds
  size_t bytes[MOST];
  size_t n;
} Packing;

// Numbers that the types have ties and subnormals among; each fits into f16.
static double number(size_t i) {
  uint64_t h = hash_bytes(&i, sizeof i, 11);
  static const double special[] = {0, -0.0, 1.00390625, 1.01171875, 0x1p-15, 0x1.8p-24, 60000, -0x1p-130, 0x1.004p0};
  if (h % 5 == 0) return special[h / 5 % (sizeof special / sizeof *special)];
  return (double)(float)ldexp((double)(h >> 11) * 0x1p-52 - 1, (int)(h % 13) - 6);
}

static bool numbers(void *ud, const char *name, const Type *t, Tensor *out, const char **err) {
  (void)ud, (void)name, (void)err;
  for (size_t i = 0; i < out->n; i++) out->f[i] = dtype_round(t->dtype, number(i));
  return true;
}

static void *stored(Arena *a, DType t, size_t n) {
  char *to = arena_alloc(a, n * 4 + 64);
  for (size_t i = 0; i < n; i++)
    if (dtype_is_narrow(t))
      ((uint16_t *)(void *)to)[i] = (uint16_t)dtype_narrow(t, number(i));
    else
      ((float *)(void *)to)[i] = (float)number(i);
  return to;
}

// One output: x laid out by a kernel, and the bytes that the packer makes of a weight of the same numbers.
static void add_pack(Packing *p, Val x, Val weight, PackForm form, DType to) {
  Arena *a = p->g->module->arena;
  DType from = graph_value(p->g, x)->type.dtype;
  Attr attr[4];
  size_t n = pack_attrs(form, attr);
  if (to != from) attr[n++] = (Attr){.key = A_to, .s = dtype_info[to].name};
  Val y = graph_add(p->g, OP_pack, &x, 1, attr, n, NO_SPAN), w = graph_add(p->g, OP_pack, &weight, 1, attr, n, NO_SPAN);
  cr_assert(y.id && w.id && p->n < MOST);
  PackedWeight packed = packed_weight(p->g, w);
  WeightSource src = {.get = numbers};
  const char *err = "";
  p->bytes[p->n] = packed.bytes;
  p->want[p->n] = arena_alloc(a, packed.bytes + 64);
  cr_assert(pack_weight(NULL, &packed, &src, p->want[p->n], &err), "%s", err);
  graph_output(p->g, arena_printf(a, "y%zu", p->n++), y, NO_SPAN);
}

// Panels that are made of panels.
static void add_repack(Packing *p, Val x, Val weight, PackForm first, PackForm form, DType to) {
  Attr attr[4];
  size_t n = pack_attrs(first, attr);
  Type t = graph_value(p->g, x)->type;
  Val y = graph_add(p->g, OP_pack, &x, 1, attr, n, NO_SPAN);
  Val z = graph_add_typed(p->g, OP_unpack, &y, 1, attr, n, &t, NO_SPAN);
  cr_assert(z.id);
  add_pack(p, z, weight, form, to);
}

// Panels as the matrix: through a kernel (x is an input, so nothing is folded), the bytes of x again.
static void add_unpack(Packing *p, Val x, PackForm form) {
  Arena *a = p->g->module->arena;
  Attr attr[4];
  size_t n = pack_attrs(form, attr);
  Type t = graph_value(p->g, x)->type;
  Val y = graph_add(p->g, OP_pack, &x, 1, attr, n, NO_SPAN);
  Val z = graph_add_typed(p->g, OP_unpack, &y, 1, attr, n, &t, NO_SPAN);
  cr_assert(z.id && p->n < MOST);
  p->bytes[p->n] = (size_t)type_bytes(p->g->module, &t);
  p->want[p->n] = p->x[0];
  graph_output(p->g, arena_printf(a, "y%zu", p->n++), z, NO_SPAN);
}

static void build(Packing *p, Module *m, DType from, int64_t n, int64_t k) {
  static const PackForm forms[] = {{PACK_plain, false, 16}, {PACK_panels, false, 16}, {PACK_panels, true, 16},
                                   {PACK_panels, false, 4}, {PACK_panels, true, 24},  {PACK_rows, false, 16},
                                   {PACK_rows, false, 5}};
  m->dim[m->ndim++] = (RuntimeDim){intern(m->names, "B"), 1, BATCH};
  Type t = {.dtype = from, .rank = 3, .dim = {{0, 1, 0}, DIM(n), DIM(k)}},
       v = {.dtype = from, .rank = 1, .dim = {DIM(n)}};
  p->g = graph_new(m, "g");
  Val x = graph_input(p->g, "x", &t, NO_SPAN), vector = graph_input(p->g, "v", &v, NO_SPAN);
  t.dim[0] = DIM(BATCH);
  Val w = graph_weight(p->g, "w", &t, NO_SPAN), b = graph_weight(p->g, "b", &v, NO_SPAN);
  p->x[0] = stored(m->arena, from, (size_t)(BATCH * n * k));
  p->x[1] = stored(m->arena, from, (size_t)n);
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) add_pack(p, x, w, forms[i], types[i % TYPES]);
  for (size_t i = 0; i < TYPES; i++) {
    add_pack(p, x, w, (PackForm){PACK_panels, i % 2, 16}, types[i]);
    add_pack(p, vector, b, (PackForm){PACK_vector, false, 16}, types[i]);
  }
  add_unpack(p, x, (PackForm){PACK_panels, false, 16});
  add_unpack(p, x, (PackForm){PACK_panels, true, 16});
  add_unpack(p, x, (PackForm){PACK_rows, false, 16});
  add_repack(p, x, w, (PackForm){PACK_panels, false, 8}, (PackForm){PACK_panels, true, 8}, from);
  add_repack(p, x, w, (PackForm){PACK_panels, true, 32}, (PackForm){PACK_panels, false, 32}, DT_BF16);
  add_repack(p, x, w, (PackForm){PACK_panels, true, 12}, (PackForm){PACK_panels, true, 12}, DT_F16);
  cr_assert_eq(p->n, MOST);
}

static void compare_outputs(const Packing *p, size_t target, void *const *out, const char *way) {
  for (size_t i = 0; i < p->n; i++)
    cr_expect(!memcmp(out[i], p->want[i], p->bytes[i]), "%s, output %zu, %s through %s: not the packer's bytes",
              p->run.what, i, p->run.p->target[target]->name, way);
}

static void new_outputs(const Packing *p, Arena *a, void **out) {
  for (size_t i = 0; i < p->n; i++) memset(out[i] = arena_alloc(a, p->bytes[i] + 64), 0xff, p->bytes[i]);
}

static void look(const Run *r, const sy_model *m, size_t target, const char *way) {
  const Packing *p = (const Packing *)(const void *)r;
  const void *in[] = {p->x[0], p->x[1]};
  void *out[MOST], *ctx = NULL;
  sy_map map = {0};
  size_t bytes = m->arena_bytes(1), dims[MAX_DIMS] = {BATCH};
  cr_assert_eq(sy_map_open(&map, r->weights, 0), SY_OK);
  new_outputs(p, r->a, out);
  void *arena = aligned_alloc(SY_ALIGN, (bytes + SY_ALIGN) / SY_ALIGN * SY_ALIGN);
  sy_config config = {SY_ABI_VERSION, map.data, map.bytes, arena, bytes, NULL, r->p->target[target]->name};
  cr_assert_eq(m->init(&ctx, &config), SY_OK, "%s: init", r->what);
  cr_assert_eq(m->call(ctx, 0, dims, in, out), SY_OK, "%s: call", r->what);
  compare_outputs(p, target, out, way);
  free(arena);
  sy_map_close(&map);
}

static void run(DType from, int64_t n, int64_t k, const char *dir, unsigned with) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  const Target *t[MAX_TARGETS];
  int64_t dims[MAX_DIMS] = {BATCH};
  for (int all = 1; all >= 0; all--) { // all targets in the interpreter, those that this machine runs in every way
    Packing p = {0};
    Module *m = module_new(&a, &names, &d, "packing");
    build(&p, m, from, n, k);
    size_t nt = all ? target_count() : host_targets(t);
    p.run = (Run){.a = &a, .p = lower_for(m, all ? targets : t, nt), .dims = dims};
    p.run.what = arena_printf(&a, "%s[%lld,%lld]", dtype_info[from].name, (long long)n, (long long)k);
    cr_expect_eq(p.run.p->weight.n, 0);
    for (size_t i = 0; all && i < p.run.p->ntarget; i++) {
      const void *in[] = {p.x[0], p.x[1]};
      void *out[MOST];
      const char *err = "";
      new_outputs(&p, &a, out);
      cr_assert(program_interpret(p.run.p, 0, i, NULL, in, out, dims, NULL, NULL, &err), "%s", err);
      compare_outputs(&p, i, out, "the interpreter");
    }
    if (!all) ways_run(&p.run, dir, with, (uint32_t)(n * 1000 + k), look);
  }
  arena_free(&a);
}

Test(pack, kernels_and_packer, .timeout = 600) {
  static const int64_t shape[][2] = {{40, 33}, {1, 1}, {16, 48}, {5, 3}, {64, 700}};
  Arena a = {0};
  unsigned with;
  const char *dir = ways_folder(&a, &with);
  for (size_t t = 0; t < TYPES; t++)
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
      run(types[t], shape[i][0], shape[i][1], dir, i == 0 ? with : 0);
  ways_remove(dir);
  arena_free(&a);
}

// The formula of the panels, apart from the functions that all of the above share.
Test(pack, panels_are_where_the_table_says) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  Module *m = module_new(&a, &names, &d, "m");
  Graph *g = graph_new(m, "g");
  enum { N = 37, K = 5, P = 16 };
  for (int trans = 0; trans < 2; trans++) {
    Type t = {.dtype = DT_F32, .rank = 2, .dim = {DIM(trans ? K : N), DIM(trans ? N : K)}};
    Attr attr[4];
    Val v = graph_weight(g, trans ? "t" : "w", &t, NO_SPAN);
    size_t n = pack_attrs((PackForm){PACK_panels, trans, P}, attr);
    PackedWeight w = packed_weight(g, graph_add(g, OP_pack, &v, 1, attr, n, NO_SPAN));
    float *to = arena_alloc(&a, w.bytes);
    WeightSource src = {.get = numbers};
    const char *err = "";
    cr_assert_eq(w.bytes, (N + P - 1) / P * P * K * sizeof(float));
    cr_assert(pack_weight(NULL, &w, &src, to, &err), "%s", err);
    for (int j = 0; j < (N + P - 1) / P * P; j++)
      for (int k = 0; k < K; k++) {
        double want = j >= N ? 0 : number((size_t)(trans ? k * N + j : j * K + k));
        cr_expect(to[(j / P * K + k) * P + j % P] == (float)want, "(%d, %d)", j, k);
      }
  }
  arena_free(&a);
}
