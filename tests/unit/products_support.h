// products_support.h: graphs around a product of words, made by hand, for the tests of codes and of pairs of bf16.
#ifndef SY_TEST_PRODUCTS_SUPPORT_H
#define SY_TEST_PRODUCTS_SUPPORT_H

#include "program_check.h"

#include <string.h>

typedef struct Scene {
  Arena a;
  Intern names;
  Diag d;
  Module *m;
} Scene;

// The graph "f" of a module that is called so, with a dim B = 1..batch.
static inline Graph *new_graph(Scene *x, const char *name, int64_t batch) {
  memset(x, 0, sizeof *x);
  x->names.arena = &x->a;
  diag_init(&x->d, &x->a);
  x->m = module_new(&x->a, &x->names, &x->d, name);
  x->m->dim[0] = (RuntimeDim){"B", 1, batch};
  x->m->ndim = 1;
  return graph_new(x->m, "f");
}

static inline Val source(Graph *g, Op op, const char *name, int rank, const int64_t *dim) { // of an input, dim[0] is B
  Type t = {.dtype = DT_F32, .rank = (uint8_t)rank};
  for (int i = 0; i < rank; i++) t.dim[i] = DIM(dim[i]);
  if (op == OP_weight) return graph_weight(g, name, &t, NO_SPAN);
  t.dim[0] = (Dim){0, 1, 0};
  return graph_input(g, name, &t, NO_SPAN);
}

// The graph behind the pass `quantise` in a precision.
static inline const Graph *quantised(Scene *x, const char *precision) {
  PassOptions o = {.verify = true, .precision = precision_by_name(precision), .stop_after = "quantise"};
  cr_assert(passes_run(x->m, &o));
  return x->m->graph.at[0];
}

static inline size_t count(const Graph *g, Op op) {
  size_t n = 0;
  for (uint32_t i = 1; i < g->value.n; i++) n += !g->value.at[i].dead && g->value.at[i].op == op;
  return n;
}

#endif
