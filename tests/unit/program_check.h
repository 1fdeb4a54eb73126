// program_check.h: a Program in the interpreter against the reference evaluator, through the caller's layout of the C
// API.
#ifndef SY_PROGRAM_CHECK_H
#define SY_PROGRAM_CHECK_H

#include "driver/check.h"
#include "random_graph.h"

#include <math.h>
#include <stdlib.h>

static bool value_in(void *ud, const char *name, const Type *t, Tensor *out) {
  const int *ids = ud; // ids are below this; NULL: below 30
  if (t->dtype == DT_I32) {
    for (size_t i = 0; i < out->n; i++)
      out->i[i] = (int32_t)(hash_bytes(&i, sizeof i, 3) % (uint64_t)(ids ? *ids : 30));
    return true;
  }
  if (t->dtype == DT_BOOL) {
    for (size_t i = 0; i < out->n; i++) out->b[i] = i % 5 != 3;
    return true;
  }
  fill(NULL, name, t, out);
  bool matrix = strstr(name, "weight") && (out->rank == 2 || out->rank == 4), variance = strstr(name, "running_var");
  double scale = matrix ? sqrt(3.0 * (double)out->dim[0] / (double)out->n) : variance ? 0.5 : 1;
  double base = out->rank == 1 && (variance || strstr(name, "weight")) ? 1 : 0;
  for (size_t i = 0; i < out->n; i++) out->f[i] = (double)(float)(out->f[i] * scale + base);
  return true;
}
static bool weight_in(void *ud, const char *name, const Type *t, Tensor *out, const char **err) {
  (void)err;
  return value_in(ud, name, t, out);
}

// A dense tensor in the caller's layout (strides by upper bounds), as the type the C API takes.
static void *caller_buffer(Arena *a, const Module *m, const Type *t, const int64_t *dims, const Tensor *dense) {
  Layout l = layout_of(a, m, t, dims, NULL);
  void *buffer = arena_alloc(a, (size_t)type_bytes(m, t) + 64);
  if (!dense) return buffer;
  float *f = ARENA_ARRAY(a, float, dense->n);
  for (size_t i = 0; t->dtype == DT_F32 && i < dense->n; i++) f[i] = (float)dense->f[i];
  layout_store(&l, t->dtype == DT_F32 ? (void *)f : (void *)dense->i, buffer);
  return buffer;
}

enum { MOST_PORTS = 64 };

typedef struct Want {
  size_t n;
  Tensor in[MOST_PORTS], out[MOST_PORTS];
  Tensor state[MOST_PORTS];   // of an output that is in and out: what it holds before the call
  uint64_t fused[MOST_PORTS]; // hash of each output on the first target with fma, 0: there was none yet
} Want;

__attribute__((unused)) static void reference(Arena *a, const Graph *g, const int64_t *dims, int ids, Want *w) {
  EvalEnv env = {.arena = a, .weight = value_in, .input = value_in, .ud = &ids};
  memcpy(env.dim, dims, sizeof env.dim);
  Val want[3 * MOST_PORTS], old[MOST_PORTS];
  size_t nin = g->input.n, nout = g->output.n, nold = 0;
  for (size_t i = 0; i < nin; i++) want[i] = g->input.at[i].val;
  for (size_t i = 0; i < nout; i++) want[nin + i] = g->output.at[i].val;
  for (size_t i = 0; i < nout; i++)
    if (g->output.at[i].state.id) old[nold++] = g->output.at[i].state;
  memcpy(want + nin + nout, old, nold * sizeof *old);
  Tensor got[3 * MOST_PORTS];
  cr_assert(g->input.n <= MOST_PORTS && g->output.n <= MOST_PORTS);
  cr_assert(graph_eval(g, &env, want, nin + nout + nold, got), "%s", env.error);
  memcpy(w->in, got, nin * sizeof *got);
  memcpy(w->out, got + nin, nout * sizeof *got);
  const Tensor *held = got + nin + nout;
  for (size_t i = 0; i < nout; i++)
    if (g->output.at[i].state.id) w->state[i] = *held++;
  memset(w->fused, 0, sizeof w->fused);
  w->n = nout;
}

// `share` = tolerance relative to the largest value of an output. All targets with fma must give the same bits.
__attribute__((unused)) static void compare(const Program *p, size_t route, size_t target, const char *weights,
                                            const int64_t *dims, Want *w, const char *what, double share) {
  Arena a = {0};
  const Graph *g = p->route.at[route].graph;
  const void *in[MOST_PORTS];
  void *out[MOST_PORTS];
  for (size_t i = 0; i < g->input.n; i++)
    in[i] = caller_buffer(&a, p->module, &graph_value(g, g->input.at[i].val)->type, dims, &w->in[i]);
  for (size_t i = 0; i < w->n; i++)
    out[i] = caller_buffer(&a, p->module, &graph_value(g, g->output.at[i].val)->type, dims,
                           g->output.at[i].state.id ? &w->state[i] : NULL);
  const char *err = "";
  cr_assert(program_interpret(p, route, target, weights, in, out, dims, NULL, NULL, &err), "%s: %s", what, err);
  for (size_t i = 0; i < w->n; i++) {
    const Type *t = &graph_value(g, g->output.at[i].val)->type;
    Layout l = layout_of(&a, p->module, t, dims, NULL);
    float *got = ARENA_ARRAY(&a, float, w->out[i].n);
    layout_load(&l, out[i], got);
    double most = 0, worst = 0;
    for (size_t k = 0; k < w->out[i].n; k++) {
      double d = fabs((double)got[k] - w->out[i].f[k]);
      if (fabs(w->out[i].f[k]) > most) most = fabs(w->out[i].f[k]);
      if (!(d <= worst)) worst = d;
    }
    uint64_t bits = hash_bytes(got, w->out[i].n * sizeof *got, 1);
    if (p->target[target]->has_fma && !w->fused[i]) w->fused[i] = bits;
    cr_expect(!p->target[target]->has_fma || w->fused[i] == bits, "%s, @%s %s: %s gives other bits", what, g->name,
              g->output.at[i].name, p->target[target]->name);
    cr_expect(worst <= share * most + 1e-6, "%s, @%s %s on %s: off by %g of %g", what, g->name, g->output.at[i].name,
              p->target[target]->name, worst, most);
  }
  arena_free(&a);
}

// The packed data area of a program with seeded weights, in memory.
static char *pack_all(const Program *p, Arena *a) {
  WeightSource src = {.get = weight_in};
  char *data = arena_alloc(a, p->weight_bytes + 64);
  for (size_t i = 0; i < p->weight.n; i++) {
    const char *err = "";
    cr_assert(pack_weight(p, &p->weight.at[i], &src, data + p->weight.at[i].offset, &err), "%s", err);
  }
  return data;
}

// Passes, then kernels for the targets.
static Program *lower_for(Module *m, const Target *const *t, size_t n) {
  PassOptions o = {.verify = true, .logits = 1}; // losses by blocks, however small they are
  Program *p = passes_run(m, &o) ? program_lower(m, t, n) : NULL;
  Buf why = {0};
  diag_print(m->diag, &why, false);
  cr_assert(p, "%s", why.s ? why.s : "cannot be lowered");
  buf_free(&why);
  return p;
}

__attribute__((unused)) static Program *lower_all(Module *m) {
  return lower_for(m, targets, target_count());
}

#endif
