// program_pages.c: small pages on inputs that go to the edge, in the evaluator, the interpreter and every way that
// makes machine code: all refuse the same calls and give the same numbers.
//
//   row numbers that a page computes, inside and outside their tables; conversions of NaN, infinities and large
//   numbers; arenas for small batches
#include "program_ways.h"

#include "frontend/frontend.h"

#include <math.h>

enum { TRIES = 24 };

typedef struct Try { // one set of inputs and what the evaluator makes of it
  bool ok;
  Want want;
  int64_t dims[MAX_DIMS];
} Try;

static Try tries[TRIES];

/* inputs --------------------------------------------------------------------------------------------------------------
 */
static uint64_t noise(const char *name, size_t i, size_t number) {
  uint64_t key[] = {i, number};
  return hash_bytes(key, sizeof key, hash_bytes(name, strlen(name), 11));
}

static float edge_number(uint64_t r) {
  static const float edge[] = {NAN,     INFINITY,    -INFINITY,      1e30f,           -1e30f,
                               0x1p31f, -0x1p31f,    0x1.fffffep30f, -0x1.fffffep30f, -0x1.000002p31f,
                               0x1p32f, 16777217.0f, 0.5f,           -0.5f,           0.0f,
                               -0.0f,   0.99999994f, -0.99999994f,   1e-40f,          2.5f};
  size_t n = sizeof edge / sizeof *edge;
  return r % 3 ? edge[r / 3 % n] : (float)((double)(r >> 40) - 0x1p23);
}

// Ids mostly inside a table of five rows, so that some calls are good.
static bool input_at_the_edge(void *ud, const char *name, const Type *t, Tensor *out) {
  size_t number = *(const size_t *)ud;
  (void)t;
  for (size_t i = 0; i < out->n; i++) {
    uint64_t r = noise(name, i, number);
    static const int32_t wild[] = {-1, 5, INT32_MAX, INT32_MIN, 1 << 30, 9999};
    if (out->dtype == DT_BOOL)
      out->b[i] = r & 1;
    else if (out->dtype == DT_I32)
      out->i[i] = number % 3 && r % 16 == 0 ? wild[r / 16 % 6] : (int32_t)(r / 16 % 5);
    else
      out->f[i] = (double)edge_number(r);
  }
  return true;
}

static void evaluate(Arena *a, const Graph *g, size_t number) {
  Try *t = &tries[number];
  *t = (Try){.want = {.n = g->output.n}};
  for (size_t d = 0; d < g->module->ndim; d++) {
    const RuntimeDim *dim = &g->module->dim[d];
    t->dims[d] = dim->lo + (int64_t)(number % (uint64_t)(dim->hi - dim->lo + 1));
  }
  EvalEnv env = {.arena = a, .weight = value_in, .input = input_at_the_edge, .ud = &number};
  memcpy(env.dim, t->dims, sizeof env.dim);
  EvalEnv weights = env;
  Val want[32];
  Tensor got[32];
  size_t nin = g->input.n;
  for (size_t i = 0; i < nin; i++) {
    const Type *type = &graph_value(g, g->input.at[i].val)->type;
    want[i] = g->input.at[i].val;
    cr_assert(graph_eval(g, &weights, &want[i], 1, &got[i]), "%s: %s", dtype_info[type->dtype].name, weights.error);
  }
  for (size_t i = 0; i < g->output.n; i++) want[nin + i] = g->output.at[i].val;
  t->ok = graph_eval(g, &env, want + nin, g->output.n, got + nin);
  memcpy(t->want.in, got, nin * sizeof *got);
  if (t->ok) memcpy(t->want.out, got + nin, g->output.n * sizeof *got);
}

/* one page in all ways ------------------------------------------------------------------------------------------------
 */
static bool same_as_evaluator(const Run *r, size_t output, const void *stored) {
  const Graph *g = r->p->route.at[0].graph;
  const Type *t = &graph_value(g, g->output.at[output].val)->type;
  const Tensor *want = &r->want->out[output];
  if (t->dtype != DT_I32 && !dtype_is_narrow(t->dtype)) return true; // floats are compared with the interpreter's
  Layout l = layout_of(r->a, r->p->module, t, r->dims, NULL);
  if (dtype_is_narrow(t->dtype)) { // NaNs apart, whose bits nobody promises
    uint16_t *bits = ARENA_ARRAY(r->a, uint16_t, want->n);
    layout_load(&l, stored, bits);
    for (size_t i = 0; i < want->n; i++)
      if (bits[i] != dtype_narrow(t->dtype, want->f[i]) &&
          !(isnan(want->f[i]) && isnan(dtype_widen(t->dtype, bits[i]))))
        return false;
    return true;
  }
  int32_t *got = ARENA_ARRAY(r->a, int32_t, want->n);
  layout_load(&l, stored, got);
  for (size_t i = 0; i < want->n; i++)
    if (got[i] != want->i[i]) return false;
  return true;
}

// Which NaN a sum of NaNs is depends on the order in which a compiler puts operands that may be swapped.
static bool same_bits(DType t, const void *a, const void *b, size_t n) {
  if (t != DT_F32) return !memcmp(a, b, n * dtype_info[t].bytes);
  for (size_t i = 0; i < n; i++) {
    float x, y;
    memcpy(&x, (const float *)a + i, sizeof x), memcpy(&y, (const float *)b + i, sizeof y);
    if (memcmp(&x, &y, sizeof x) != 0 && !(isnan(x) && isnan(y))) return false;
  }
  return true;
}

static void try_call(Run *r, const sy_model *m, void *ctx, size_t target, const Try *t, const char *way) {
  const Graph *g = r->p->route.at[0].graph;
  const void *in[16];
  void *out[16], *want[16];
  size_t dims[MAX_DIMS];
  const char *err = "";
  for (size_t i = 0; i < MAX_DIMS; i++) dims[i] = (size_t)t->dims[i];
  r->want = &t->want;
  r->dims = t->dims;
  make_buffers(r, in, out);
  make_buffers(r, in, want);
  bool ok = program_interpret(r->p, 0, target, r->data, in, want, r->dims, NULL, NULL, &err);
  cr_expect_eq(ok, t->ok, "%s: interpreter %d (%s), evaluator %d", r->what, ok, err ? err : "", t->ok);
  cr_expect_eq(m->call(ctx, 0, dims, in, out), t->ok ? SY_OK : SY_EINDEX, "%s through %s", r->what, way);
  for (size_t i = 0; t->ok && i < g->output.n; i++) {
    const Type *type = &graph_value(g, g->output.at[i].val)->type;
    cr_expect(same_bits(type->dtype, out[i], want[i], (size_t)type_elements(r->p->module, type)),
              "%s, %s through %s: not the interpreter's", r->what, m->isa(ctx), way);
    cr_expect(same_as_evaluator(r, i, out[i]), "%s, %s through %s: not the evaluator's", r->what, m->isa(ctx), way);
  }
}

// An arena for exactly these dims: the same results; one byte less is refused.
static void try_small_arena(Run *r, const sy_model *m, size_t target, const sy_config *full, const Try *t,
                            const char *way) {
  size_t dims[MAX_DIMS], bytes;
  for (size_t i = 0; i < MAX_DIMS; i++) dims[i] = (size_t)t->dims[i];
  bytes = m->arena_for(0, dims, 1);
  cr_expect(bytes <= full->arena_bytes);
  uint32_t scale = r->p->route.at[0].scale;
  if (full->arena_bytes > 16384 && scale && dims[scale - 1] == 1) cr_expect(bytes < full->arena_bytes * 3 / 4);
  sy_config small = *full;
  void *ctx = NULL;
  memset(small.arena, 0xff, small.arena_bytes); // NaN
  small.arena_bytes = bytes;
  cr_assert_eq(m->init(&ctx, &small), SY_OK);
  try_call(r, m, ctx, target, t, way);
  const unsigned char *arena = small.arena;
  for (size_t i = bytes; i < full->arena_bytes; i++)
    cr_assert(arena[i] == 0xff, "%s through %s: byte %zu is behind the arena of %zu", r->what, way, i, bytes);
  small.arena_bytes--;
  const void *in[16];
  void *out[16];
  make_buffers(r, in, out);
  cr_expect(m->init(&ctx, &small) == SY_EARENA || m->call(ctx, 0, dims, in, out) == SY_EARENA);
}

static void look(const Run *given, const sy_model *m, size_t target, const char *way) {
  Run r = *given;
  sy_map map = {0};
  cr_assert_eq(sy_map_open(&map, r.weights, 0), SY_OK);
  size_t bytes = m->arena_bytes(1);
  void *arena = aligned_alloc(SY_ALIGN, (bytes + SY_ALIGN - 1) / SY_ALIGN * SY_ALIGN), *ctx = NULL;
  sy_config config = {SY_ABI_VERSION, map.data, map.bytes, arena, bytes, NULL, r.p->target[target]->name};
  cr_assert_eq(m->init(&ctx, &config), SY_OK, "%s: init", r.what);
  for (size_t i = 0; i < TRIES; i++) try_call(&r, m, ctx, target, &tries[i], way);
  cr_expect_eq(m->selftest(ctx), SY_OK, "%s: self-test", r.what);
  for (size_t i = 0; i < TRIES; i++) try_small_arena(&r, m, target, &config, &tries[i], way);
  free(arena);
  sy_map_close(&map);
}

static Module *page(Arena *a, Intern *names, Diag *d, const char *route) {
  const char *text =
      arena_printf(a, "modality vision, language\nmodel m() {\n  dim B = 1..4\n  dim L = 1..5\n%s}\n", route);
  FrontOptions o = {0};
  Module *m = front_compile(a, names, d, "page.sy", text, strlen(text), &o);
  Buf why = {0};
  diag_print(d, &why, false);
  cr_assert(m, "%s", why.s ? why.s : "");
  buf_free(&why);
  return m;
}

// Calls that must be refused (of TRIES), at least and at most.
static void all_ways(const char *what, const char *route, size_t least, size_t most) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  unsigned all = 0;
  diag_init(&d, &a);
  Module *m = page(&a, &names, &d, route);
  size_t refused = 0;
  for (size_t i = 0; i < TRIES; i++) {
    evaluate(&a, m->graph.at[0], i);
    refused += !tries[i].ok;
  }
  cr_expect(refused >= least && refused <= most, "%s: the evaluator refuses %zu calls", what, refused);
  const char *dir = ways_folder(&a, &all);
  const Target *t[MAX_TARGETS];
  size_t n = host_targets(t);
  Run r = {.a = &a, .p = lower_for(m, t, n), .what = what};
  ways_run(&r, dir, all, 1, look);
  ways_remove(dir);
  arena_free(&a);
}

Test(program_pages, computed_row_numbers, .timeout = 600) {
  all_ways("of a table", "  route r(t: i32[B]) -> y: f32[B, 4] { weight e: f32[5, 4]\n return embedding(e, t + 1) }\n",
           4, TRIES - 1);
  all_ways("given and computed",
           "  route r(t: i32[B, L], u: i32[B, L]) -> y: f32[B, L, 4] {\n    weight e: f32[7, 4]\n"
           "    return embedding(e, t) + embedding(e, u + 2) }\n",
           4, TRIES - 1);
  all_ways("of each sequence",
           "  route r(x: f32[B, L, 4], t: i32[B]) -> y: i32[B, 4] { return cast(gather_rows(x, t - 1), i32) }\n", 4,
           TRIES);
  all_ways("of two parts", // the gap between them holds anything
           "  route r(t: i32[B, L], u: i32[B, L]) -> y: f32[B, vision: L + language: L, 4] {\n    weight e: f32[5, 4]\n"
           "    return embedding(e, concat(t as vision, u as language, axis = 1)) }\n",
           4, TRIES - 1);
  all_ways("from numbers",
           "  route r(x: f32[B, L]) -> y: f32[B, L, 4] {\n    weight e: f32[5, 4]\n"
           "    return embedding(e, cast(x, i32)) }\n",
           4, TRIES);
  all_ways("always good",
           "  route r(x: f32[B, 4, 3], p: f32[B, 4]) -> y: f32[B, 3] { return gather_rows(x * 0.0, argmax(p)) }\n", 0,
           0);
}

Test(program_pages, arenas_for_small_batches, .timeout = 600) {
  all_ways("a batch through products and attention",
           "  route r(x: f32[B, 20, 32]) -> y: f32[B, 20, 32], z: f32[B, 7] {\n    weight w: f32[96, 32]\n"
           "    weight u: f32[7, 32]\n    let s = sigmoid(x)\n    let h = affine(s, w)\n"
           "    let q = attention(h[:, :, 0:32], h[:, :, 32:64], h[:, :, 64:96], heads = 2)\n"
           "    let y = softmax(q + s)\n    return y, affine(y[:, 3], u) }\n",
           0, 0);
  all_ways("rows of no batch",
           "  route r(x: f32[L, 24]) -> y: f32[L, 24] {\n    weight w: f32[40, 24]\n    weight u: f32[24, 40]\n"
           "    return softmax(affine(gelu(affine(sigmoid(x), w)), u)) }\n",
           0, 0);
}

Test(program_pages, conversions, .timeout = 600) {
  all_ways("to whole numbers", "  route r(x: f32[B, 37]) -> y: i32[B, 37] { return cast(x, i32) }\n", 0, 0);
  all_ways("of one number", "  route r(x: f32[B, 1]) -> y: i32[B, 1] { return cast(x, i32) }\n", 0, 0);
  all_ways("and back", "  route r(x: f32[B, 37]) -> y: i32[B, 37] { return cast(cast(cast(x, i32), f32), i32) }\n", 0,
           0);
  all_ways("to bf16", "  route r(x: f32[B, 37]) -> y: bf16[B, 37] { return cast(x, bf16) }\n", 0, 0);
  all_ways("to f16 and back",
           "  route r(x: f32[B, 37]) -> y: f16[B, 37] { return cast(cast(cast(x, f16), f32), f16) }\n", 0, 0);
  all_ways("from one narrow type to the other",
           "  route r(x: f32[B, 37]) -> y: bf16[B, 37] { return cast(cast(x, f16), bf16) }\n", 0, 0);
  all_ways("to truth values", "  route r(x: f32[B, 37]) -> y: i32[B, 37] { return cast(cast(x, bool), i32) }\n", 0, 0);
}
