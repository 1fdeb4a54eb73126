// graph_support.h: what the graph tests share: a module with arenas, building values in one line, parsing a graph from
// its text and evaluating it on inputs given as lists of numbers.
#ifndef SY_TEST_GRAPH_SUPPORT_H
#define SY_TEST_GRAPH_SUPPORT_H

#include "ir/graph.h"
#include "ir/op/op.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

typedef struct Bench { // one test's world
  Arena arena;
  Intern names;
  Diag diag;
  Module *m;
  Graph *g;
} Bench;

static inline void bench_init(Bench *b) {
  *b = (Bench){0};
  b->names.arena = &b->arena;
  diag_init(&b->diag, &b->arena);
  b->m = module_new(&b->arena, &b->names, &b->diag, "test");
  b->m->dim[0] = (RuntimeDim){"B", 1, 4};
  b->m->dim[1] = (RuntimeDim){"L", 1, 6};
  b->m->ndim = 2;
  b->m->modality[0] = (Modality){"vision", "A"};
  b->m->modality[1] = (Modality){"language", "B"};
  b->m->nmodality = 2;
  b->g = graph_new(b->m, "route");
}

static inline void bench_free(Bench *b) {
  arena_free(&b->arena);
}

// Parses a module of one graph. The text must be valid.
static inline void bench_parse(Bench *b, const char *text) {
  *b = (Bench){0};
  b->names.arena = &b->arena;
  diag_init(&b->diag, &b->arena);
  uint32_t file = diag_add_file(&b->diag, "test.gir", text, strlen(text));
  b->m = module_parse(&b->arena, &b->names, &b->diag, text, strlen(text), file);
  Buf out = {0};
  diag_print(&b->diag, &out, false);
  cr_assert_not_null(b->m, "%s", out.s);
  buf_free(&out);
  b->g = b->m->graph.n ? b->m->graph.at[0] : NULL;
}

typedef struct Numbers { // values of one input or weight
  const char *name;
  const double *v;
} Numbers;

typedef struct Feed {
  const Numbers *in;
  size_t n;
} Feed;

static inline bool feed_get(void *ud, const char *name, const Type *t, Tensor *out) {
  const Feed *f = ud;
  (void)t;
  for (size_t k = 0; k < f->n; k++) {
    if (strcmp(f->in[k].name, name)) continue;
    for (size_t i = 0; i < out->n; i++) {
      if (out->dtype == DT_BOOL)
        out->b[i] = f->in[k].v[i] != 0;
      else if (out->dtype == DT_I32)
        out->i[i] = (int32_t)f->in[k].v[i];
      else
        out->f[i] = f->in[k].v[i];
    }
    return true;
  }
  return false;
}

// Evaluates the first output with the first two run-time dims at dim0, dim1. NULL on success, else the error.
static inline const char *bench_eval(Bench *b, const Numbers *in, size_t n, int64_t dim0, int64_t dim1, Tensor *out) {
  Feed f = {in, n};
  EvalEnv env = {.arena = &b->arena, .dim = {dim0, dim1}, .weight = feed_get, .input = feed_get, .ud = &f};
  Val want = b->g->output.at[0].val;
  return graph_eval(b->g, &env, &want, 1, out) ? NULL : env.error;
}

// Parses `graph @f { body }`, feeds x, y, z and compares the first output with want[n].
static inline void check_eval(const char *body, const double *x, const double *y, const double *z, const double *want,
                              size_t n) {
  Bench b;
  Buf text = {0};
  buf_printf(&text,
             "module \"t\" dims { B = 1..4, L = 1..6 } modalities { vision \"A\", language \"B\" }\n"
             "graph @f {\n%s\n}\n",
             body);
  bench_parse(&b, text.s);
  Numbers in[3] = {{"x", x}, {"y", y}, {"z", z}};
  Tensor out;
  const char *error = bench_eval(&b, in, z ? 3 : y ? 2 : x ? 1 : 0, 1, 2, &out);
  cr_assert_null(error, "%s: %s", body, error);
  cr_assert_eq(out.n, n, "%s: %zu elements", body, out.n);
  for (size_t i = 0; i < n; i++) {
    double have = tensor_get(&out, i);
    bool same = (isnan(have) && isnan(want[i])) || have == want[i] || fabs(have - want[i]) < 1e-9;
    cr_assert(same, "%s: element %zu is %.12g, want %.12g", body, i, have, want[i]);
  }
  buf_free(&text);
  bench_free(&b);
}

#define LIST(...) ((const double[]){__VA_ARGS__})

#endif
