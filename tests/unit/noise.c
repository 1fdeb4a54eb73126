// noise.c: what is random inside a step: dropout, drop_path and draw. Numbers are those of runtime/random.h, of the
// seed, the step, the sample and the place alone: on every target, through LLVM and C, for any number of threads, and
// for a batch in two halves. Their mean and variance are right, and samples, steps and places do not depend on each
// other.
#include "page_support.h"
#include "program_ways.h"
#include "runtime/random.h"

enum { B = 8, L = 5, D = 37, N = B * L * D };

static const char page[] =
    "use losses\n"
    "model m(p = 0.25) {\n"
    "  dim B = 1..8\n"
    "  dim L = 1..9\n"
    "  objective fit(x: f32[B, L, 37], w: f32[B, 6]) -> loss: f32, y: f32[B, L, 37], z: f32[B, L, 37],"
    " i: i32[B], three: f32[3 * B, 37], a: f32[B, L, 36] {\n"
    "    let y = dropout(x, p)\n"
    "    let z = drop_path(x, 0.5) + 0.0 * dropout(x, 0.5)\n"
    "    let three = dropout(reshape(concat(x[:, 0], x[:, 0], x[:, 0]), [3 * B, 37]), 0.5)\n"
    "    let h = x[..., 0:36]\n"
    "    let a = attention(0.0 * h, h, h, heads = 2, dropout = 0.5)\n"
    "    return mean(y), y, z, draw(w), three, a\n"
    "  }\n"
    "  route plain(x: f32[B, L, 37]) -> y { return drop_path(dropout(x, p), p) }\n"
    "}\n";
enum { OUT_Y = 1, OUT_Z, OUT_DRAWN, OUT_THREE };

typedef struct Batch { // inputs and outputs of one call, in the caller's layout: bounds 8 and 9
  float x[8 * 9 * D], w[8 * 6];
  int32_t noise[4];
  float loss, y[8 * 9 * D], z[8 * 9 * D], three[24 * D], a[8 * 9 * 36];
  int32_t drawn[8];
} Batch;

static Module *compile(Arena *a, bool draws, const char *objective) {
  Intern *names = ARENA_NEW(a, Intern);
  Diag *d = ARENA_NEW(a, Diag);
  names->arena = a;
  diag_init(d, a);
  FrontOptions o = {
      .find = page_find, .ud = a, .draws = draws, .objectives = &objective, .nobjectives = objective ? 1 : 0};
  Module *m = front_compile(a, names, d, "page.sy", page, strlen(page), &o);
  Buf why = {0};
  diag_print(d, &why, false);
  if (draws) cr_assert(m, "%s", why.s);
  buf_free(&why);
  return m;
}

static void step_inputs(Batch *s, uint64_t seed, uint32_t step, uint32_t first) {
  memset(s, 0, sizeof *s);
  for (size_t i = 0; i < sizeof s->x / sizeof *s->x; i++) s->x[i] = 1 + (float)(i % 7);
  for (size_t i = 0; i < sizeof s->w / sizeof *s->w; i++) s->w[i] = (float)(i % 6 + (i / 6 == 3 ? 0 : 1));
  for (size_t i = 0; i < 6; i++) s->w[5 * 6 + i] = 0; // a row without weights
  const uint32_t word[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), step, first};
  memcpy(s->noise, word, sizeof word);
}

static void step_call(const Program *p, size_t t, Batch *s, int64_t batch, int64_t length) {
  const int64_t dims[MAX_DIMS] = {batch, length};
  const void *in[] = {s->x, s->w, s->noise};
  void *out[] = {&s->loss, s->y, s->z, s->drawn, s->three, s->a};
  const char *err = "";
  cr_assert(
      program_interpret(p, 0, t, p->weight_bytes ? pack_all(p, p->module->arena) : "", in, out, dims, NULL, NULL, &err),
      "%s", err);
}

static float number_at(uint64_t seed, uint32_t purpose, uint32_t step, uint32_t sample, uint32_t i) {
  return sy_random_f32(sy_random_at(seed, purpose, step, sample, i / 4).v[i % 4]);
}

// Each element on each target, as runtime/random.h says.
Test(noise, numbers) {
  Arena a = {0};
  Program *p = lower_all(compile(&a, true, "fit"));
  const Port *in = p->route.at[0].graph->input.at;
  cr_assert_eq(p->route.at[0].graph->input.n, 3);
  cr_expect_eq(in[2].role, ROLE_noise);
  Batch *s = ARENA_NEW(&a, Batch);
  const uint64_t seed = 0xfedcba9876543210ull;
  for (size_t t = 0; t < p->ntarget; t++) {
    step_inputs(s, seed, 41, 1000);
    step_call(p, t, s, B, L);
    for (uint32_t b = 0; b < B; b++) {
      bool kept = number_at(seed, SY_RANDOM_SITE + 1, 41, 1000 + b, 0) >= 0.5f;
      for (uint32_t l = 0; l < L; l++)
        for (uint32_t c = 0; c < D; c++) {
          size_t at = (b * 9 + l) * D + c;
          float u = number_at(seed, SY_RANDOM_SITE, 41, 1000 + b, l * D + c), x = s->x[at];
          cr_assert_eq(s->y[at], u < 0.25f ? 0 : x * (float)(1 / 0.75), "sample %u, element %u: %g", b, l * D + c, u);
          cr_assert_eq(s->z[at], kept ? 2 * x : 0);
        }
      float u = number_at(seed, SY_RANDOM_DRAW, 41, 1000 + b, 0), sum = 0, whole = 0;
      int32_t want = -1;
      for (uint32_t j = 0; j < 6; j++) whole += s->w[b * 6 + j];
      for (uint32_t j = 0; j < 6; j++) {
        sum += s->w[b * 6 + j];
        if (want < 0 && sum > u * whole) want = (int32_t)j;
      }
      cr_assert_eq(s->drawn[b], want < 0 ? ((int32_t)b + 1) % 6 : want, "row %u", b);
      for (uint32_t j = 0; j < 3; j++)
        for (uint32_t c = 0; c < D; c++) {
          u = number_at(seed, SY_RANDOM_SITE + 3, 41, 3 * (1000 + b) + j, c);
          cr_assert_eq(s->three[(3 * b + j) * D + c], u < 0.5f ? 0 : 2 * s->x[b * 9 * D + c]);
        }
    }
    cr_expect_eq(s->drawn[5], 0);
    for (uint32_t n = 0; n < B * L * 36; n++) { // weights of equal scores, dropped by head, query and key
      uint32_t b = n / (L * 36), l = n / 36 % L, c = n % 36;
      float want = 0;
      for (uint32_t k = 0; k < L; k++) {
        bool kept = number_at(seed, SY_RANDOM_SITE + (1u << 21) + c / 18, 41, 1000 + b, l * 9 + k) >= 0.5f;
        want += kept ? s->x[(b * 9 + k) * D + c] * 2 / L : 0;
      }
      cr_assert_float_eq(s->a[(b * 9 + l) * 36 + c], want, 1e-4, "sample %u, query %u, column %u", b, l, c);
    }
  }
  arena_free(&a);
}

// The rows of a batch, in one call and in two, and with another longest sample.
Test(noise, halves) {
  Arena a = {0};
  Program *p = lower_all(compile(&a, true, "fit"));
  Batch *whole = ARENA_NEW(&a, Batch), *half = ARENA_NEW(&a, Batch);
  step_inputs(whole, 9, 3, 100);
  step_call(p, 0, whole, B, L);
  for (uint32_t h = 0; h < 2; h++) {
    step_inputs(half, 9, 3, 100 + 4 * h);
    memcpy(half->x, whole->x + h * 4 * 9 * D, 4 * 9 * D * sizeof(float));
    memcpy(half->w, whole->w + h * 4 * 6, 4 * 6 * sizeof(float));
    step_call(p, 0, half, B / 2, L);
    cr_expect(!memcmp(half->y, whole->y + h * 4 * 9 * D, 4 * 9 * D * sizeof(float)));
    cr_expect(!memcmp(half->z, whole->z + h * 4 * 9 * D, 4 * 9 * D * sizeof(float)));
    cr_expect(!memcmp(half->a, whole->a + h * 4 * 9 * 36, 4 * 9 * 36 * sizeof(float)));
    cr_expect(!memcmp(half->three, whole->three + h * 12 * D, 12 * D * sizeof(float)));
    for (int b = 0; b < 4; b++)
      cr_expect(h * 4 + (uint32_t)b == 5 || half->drawn[b] == whole->drawn[h * 4 + (uint32_t)b]);
  }
  step_inputs(half, 9, 3, 100);
  step_call(p, 0, half, B, L - 2);
  for (size_t b = 0; b < B; b++)
    cr_expect(!memcmp(half->y + b * 9 * D, whole->y + b * 9 * D, (L - 2) * D * sizeof(float)));
  arena_free(&a);
}

// Which elements were kept, of one call.
static void kept(const Program *p, uint64_t seed, uint32_t step, uint32_t first, double *out) {
  static Batch s;
  step_inputs(&s, seed, step, first);
  step_call(p, 0, &s, B, L);
  for (size_t b = 0, n = 0; b < B; b++)
    for (size_t i = 0; i < L * D; i++) out[n++] = s.y[b * 9 * D + i] != 0;
}

static double correlation(const double *x, const double *y, size_t n, double mean) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (x[i] - mean) * (y[i] - mean);
  return sum / (double)n / (mean * (1 - mean));
}

Test(noise, statistics) {
  Arena a = {0};
  const Target *widest[] = {targets[target_count() - 1]}; // the interpreter goes through its vectors fastest
  Program *p = lower_for(compile(&a, true, "fit"), widest, 1);
  enum { STEPS = 40 };
  double *k = ARENA_ARRAY(&a, double, STEPS *N), sum = 0, squares = 0;
  for (uint32_t step = 0; step < STEPS; step++) kept(p, 5, step, 0, k + step * N);
  const double n = (double)STEPS * N, q = 0.75, close = 4.5 / sqrt(n); // in deviations of a correlation
  for (size_t i = 0; i < STEPS * N; i++) sum += k[i];
  cr_expect_float_eq(sum / n, q, 4.5 * sqrt(q * (1 - q) / n));
  for (uint32_t step = 0; step < STEPS; step++) { // how much the steps vary: as independent elements do
    double one = 0;
    for (size_t i = 0; i < N; i++) one += k[step * N + i];
    squares += (one - q * N) * (one - q * N);
  }
  double spread = squares / STEPS / (q * (1 - q) * N);
  cr_expect(spread > 0.5 && spread < 1.7, "%g times the variance of independent elements", spread);
  cr_expect_float_eq(correlation(k, k + 1, STEPS * N - 1, q), 0, close, "neighbours");
  cr_expect_float_eq(correlation(k, k + L * D, STEPS * N - L * D, q), 0, close, "samples");
  cr_expect_float_eq(correlation(k, k + N, (STEPS - 1) * N, q), 0, close, "steps");
  double *other = ARENA_ARRAY(&a, double, STEPS *N);
  for (uint32_t step = 0; step < STEPS; step++) kept(p, 6, step, 0, other + step * N);
  cr_expect_float_eq(correlation(k, other, STEPS * N, q), 0, close, "seeds");
  arena_free(&a);
}

// Columns are drawn as often as their weights say.
Test(noise, draws_follow_weights) {
  Arena a = {0};
  const Target *widest[] = {targets[target_count() - 1]}; // the interpreter goes through its vectors fastest
  Program *p = lower_for(compile(&a, true, "fit"), widest, 1);
  Batch *s = ARENA_NEW(&a, Batch);
  double count[6] = {0}, n = 0;
  for (uint32_t step = 0; step < 400; step++) {
    step_inputs(s, 11, step, 0);
    step_call(p, 0, s, B, 1);
    for (int b = 0; b < B; b++)
      if (b != 3 && b != 5) count[s->drawn[b]]++, n++;
  }
  for (int j = 0; j < 6; j++) {
    double q = (j + 1) / 21.0;
    cr_expect_float_eq(count[j] / n, q, 4.5 * sqrt(q * (1 - q) / n), "column %d: %g", j, count[j] / n);
  }
  arena_free(&a);
}

// Off, dropout and drop_path leave nothing behind, and what is drawn must be given.
Test(noise, off) {
  Arena a = {0};
  Module *m = compile(&a, true, NULL);
  const Graph *g = m->graph.at[0];
  for (size_t v = 1; v < g->value.n; v++) cr_expect(g->value.at[v].op == OP_input || g->value.at[v].dead);
  cr_expect_null(compile(&a, false, "fit"));
  arena_free(&a);
}

static int64_t the_dims[MAX_DIMS] = {B, L};

static void same_bits(const Run *r, const sy_model *m, size_t target, const char *way) {
  static Batch want, got;
  step_inputs(&want, 77, 5, 12);
  step_call(r->p, target, &want, B, L);
  const char *isa = r->p->target[target]->name;
  for (unsigned threads = 1; threads <= 3; threads++) {
    sy_map map = {0};
    cr_assert_eq(sy_map_open(&map, r->weights, 0), SY_OK);
    sy_pool *pool = sy_pool_new(threads);
    sy_exec exec = sy_pool_exec(pool);
    size_t bytes = m->arena_bytes(exec.threads), dims[MAX_DIMS] = {B, L};
    void *arena = aligned_alloc(SY_ALIGN, (bytes + SY_ALIGN - 1) / SY_ALIGN * SY_ALIGN), *ctx = NULL;
    sy_config config = {SY_ABI_VERSION, map.data, map.bytes, arena, bytes, &exec, isa};
    cr_assert_eq(m->init(&ctx, &config), SY_OK);
    step_inputs(&got, 77, 5, 12);
    const void *in[] = {got.x, got.w, got.noise};
    void *out[] = {&got.loss, got.y, got.z, got.drawn, got.three, got.a};
    cr_assert_eq(m->call(ctx, 0, dims, in, out), SY_OK);
    cr_expect(!memcmp(&got, &want, sizeof want), "%s, %s, %u threads", way, isa, threads);
    free(arena);
    sy_pool_free(pool);
    sy_map_close(&map);
  }
}

Test(noise, every_way) {
  Arena a = {0};
  unsigned all = 0;
  const char *dir = ways_folder(&a, &all);
  const Target *t[MAX_TARGETS];
  size_t n = host_targets(t);
  Run r = {.a = &a, .p = lower_for(compile(&a, true, "fit"), t, n), .dims = the_dims, .what = "noise"};
  ways_run(&r, dir, all & 1u, 1, same_bits);
  ways_remove(dir);
  arena_free(&a);
}
