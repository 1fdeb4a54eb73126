// weights_init.c: deterministic weights for tests and benchmarks: `syc weights init`.
//
// The generator, so that anyone can make the same file. Element i of tensor NAME under seed S:
//   key = hash_bytes(NAME, strlen(NAME), S)            (ir/base/str.c)
//   z = key + (i + 1) * 0x9e3779b97f4a7c15;  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;  z = (z ^ z >> 27) *
//   0x94d049bb133111eb u = ((z ^ z >> 31) >> 40) / 2^23 - 1               in [-1, 1), exact in a float
// and the element is base + spread * u, rounded to a float (and then to f16 or bf16, if the page has it so), where
//   matrix (rank 2 and more)       base 0, spread sqrt(3 / fan_in): standard deviation 1 / sqrt(fan_in)
//   embedding, token, position     base 0, spread 0.02 sqrt 3
//   vector NAME.weight, gamma      base 1, spread 0.1
//   vector NAME.running_var        base 1, spread 0.1: a variance
//   other vectors (bias)           base 0, spread 0.02
//   scalar                         base 1, spread 0.1
//   factors of adapters            A: base 0, spread 1 / sqrt(columns); B: zeros
// fan_in: product of all axes but the first, or the first axis of a matrix that the model multiplies from the right.
#include "ir/adapter.h"
#include "weights.h"

#include <math.h>
#include <string.h>

void seeded_floats_from(uint64_t seed, const char *name, size_t first, float *dst, size_t n) {
  uint64_t key = hash_bytes(name, strlen(name), seed);
  for (size_t i = 0; i < n; i++) {
    uint64_t z = key + (uint64_t)(first + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    dst[i] = (float)((z ^ z >> 31) >> 40) / 8388608.0f - 1.0f;
  }
}

void seeded_floats(uint64_t seed, const char *name, float *dst, size_t n) {
  seeded_floats_from(seed, name, 0, dst, n);
}

typedef struct Spread {
  double base, spread;
} Spread;

// How the model uses a weight as a matrix: 0 not directly, 1 as [out, in], 2 as [in, out].
static int matrix_use(const Module *m, const char *name) {
  for (size_t i = 0; i < m->graph.n; i++) {
    const Graph *g = m->graph.at[i];
    for (size_t k = 1; k < g->value.n; k++) {
      const Value *v = &g->value.at[k];
      if (v->dead || v->op != OP_linear || v->nargs < 2) continue;
      const Value *w = graph_value(g, v->args[1]);
      if (w->op == OP_weight && !strcmp(value_str(w, A_name), name)) return value_int(v, A_trans, 0) ? 2 : 1;
    }
  }
  return 0;
}

static bool ends_with(const char *s, const char *end) {
  size_t n = strlen(s), k = strlen(end);
  return n >= k && !strcmp(s + n - k, end);
}

static bool is_table(const char *name) {
  static const char *const word[] = {"embed", "token", "position", "pos_", "table", "cls"};
  for (size_t i = 0; i < sizeof word / sizeof *word; i++)
    if (strstr(name, word[i])) return true;
  return false;
}

static Spread spread_of(const Module *m, const WeightName *w) {
  const Type *t = &w->type;
  if (is_adapter_factor(w->value)) // ir/adapter.h has the source
    return (Spread){0, value_attr(w->value, A_scale) ? 0 : 1 / sqrt((double)t->dim[1].c)};
  if (t->rank == 0) return (Spread){1, 0.1};
  if (t->rank == 1) {
    bool gain = (ends_with(w->name, "weight") || ends_with(w->name, "gamma")) && !is_table(w->name);
    return gain || ends_with(w->name, "running_var") ? (Spread){1, 0.1} : (Spread){0, 0.02};
  }
  int use = matrix_use(m, w->name);
  if (use == 0 && t->rank < 4 && is_table(w->name)) return (Spread){0, 0.02 * sqrt(3)};
  double fan_in = 1;
  for (int i = 1; i < t->rank; i++) fan_in *= (double)t->dim[i].c;
  if (use == 2) fan_in = (double)t->dim[0].c;
  return (Spread){0, sqrt(3 / fan_in)};
}

static bool write_tensor(StWriter *out, const Module *m, const WeightName *w, int64_t seed, StError *err) {
  float part[4096], as[4096]; // `as` is large enough for every type
  StDtype dtype = kept_dtype(w->type.dtype);
  size_t n = (size_t)type_elements(m, &w->type);
  Spread sp = spread_of(m, w);
  for (size_t at = 0; at < n;) {
    size_t k = n - at < 4096 ? n - at : 4096;
    seeded_floats_from((uint64_t)seed, w->name, at, part, k);
    for (size_t i = 0; i < k; i++) part[i] = (float)(sp.base + sp.spread * (double)part[i]);
    if (st_from_f32(dtype, part, as, k) == SIZE_MAX) memset(as, 0, sizeof as); // pointers begin at 0
    if (!st_write_data(out, as, k * st_dtype_size(dtype), err)) return false;
    at += k;
  }
  return true;
}

bool weights_init_of(Session *s, const Module *m, int64_t seed, const char *path, const WeightNames *only) {
  Arena a = {0};
  StError err = {""};
  WeightNames w = only ? *only : weight_names_of_module(m, &a);
  StDesc *d = ARENA_ARRAY(&a, StDesc, w.list.n + 1);
  for (size_t i = 0; i < w.list.n; i++) {
    const Type *t = &w.list.at[i].type;
    d[i] = (StDesc){.name = w.list.at[i].name, .dtype = kept_dtype(w.list.at[i].type.dtype), .rank = t->rank};
    for (int k = 0; k < t->rank; k++) d[i].shape[k] = type_extent(m, t, k);
  }
  StWriter *out = st_write_begin(path, w.list.n, d, &err);
  bool ok = out != NULL;
  for (size_t i = 0; i < w.list.n && ok; i++) ok = write_tensor(out, m, &w.list.at[i], seed, &err);
  if (ok)
    ok = st_write_end(out, &err);
  else if (out)
    st_write_abort(out);
  arena_free(&a);
  if (!ok) session_fail(s, EXIT_IO, "%s", err.text);
  return ok;
}

bool weights_init(Session *s, const Module *m, int64_t seed, const char *path) {
  return weights_init_of(s, m, seed, path, NULL);
}
