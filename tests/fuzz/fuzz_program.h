// fuzz_program.h: from a module behind its passes to kernels, C text, and a run of every target in the interpreter,
// with each buffer at its exact size, so that the address sanitizer sees a byte outside. Small programs only: an input
// may ask for any amount of work, and what is looked for here is not patience.
#ifndef SY_FUZZ_PROGRAM_H
#define SY_FUZZ_PROGRAM_H

#include "codegen/program.h"

#include <stdlib.h>
#include <string.h>

enum { FUZZ_VALUES = 1500, FUZZ_BYTES = 1 << 17, FUZZ_WORK = 60000 };

static inline size_t fuzz_values(const Module *m) {
  size_t n = 0;
  for (size_t i = 0; i < m->graph.n; i++) n += m->graph.at[i]->value.n;
  return n;
}

static inline bool fuzz_weight(void *ud, const char *name, const Type *t, Tensor *out, const char **err) {
  (void)ud, (void)t, (void)err;
  uint64_t x = hash_bytes(name, strlen(name), 0);
  for (size_t i = 0; i < out->n; i++) {
    x = hash_bytes(&x, sizeof x, i);
    if (out->dtype == DT_I32)
      out->i[i] = out->n == 1 ? 0 : (int32_t)(x % 3); // a single id is in every table
    else if (out->dtype == DT_BOOL)
      out->b[i] = x & 1;
    else
      out->f[i] = (double)(float)((double)(x >> 40) / (1 << 23) - 1);
  }
  return true;
}

static inline bool fuzz_is_small(const Program *p) {
  double bytes = (double)p->weight_bytes + (double)p->scratch_bytes, work = 0;
  for (size_t r = 0; r < p->route.n; r++) {
    const Graph *g = p->route.at[r].graph;
    bytes += (double)p->route.at[r].arena_bytes;
    for (size_t i = 0; i < g->input.n; i++)
      bytes += (double)type_bytes(p->module, &graph_value(g, g->input.at[i].val)->type);
    for (size_t i = 0; i < g->output.n; i++)
      bytes += (double)type_bytes(p->module, &graph_value(g, g->output.at[i].val)->type);
    for (size_t i = 0; i < p->route.at[r].step.n; i++)
      work += p->route.at[r].step.at[i].flops + p->route.at[r].step.at[i].bytes;
  }
  return bytes < FUZZ_BYTES && work < FUZZ_WORK;
}

// Bytes of the input again and again; ids are small numbers, and now and then one that no table has.
static inline void *fuzz_tensor(const Module *m, const Type *t, const uint8_t *data, size_t size, size_t salt) {
  size_t n = (size_t)type_bytes(m, t);
  uint8_t *b = malloc(n);
  if (!b) abort();
  for (size_t k = 0; k < n; k++) b[k] = size ? data[(k * 7 + salt) % size] : 0;
  for (size_t k = 0; t->dtype == DT_BOOL && k < n; k++) b[k] &= 1;
  for (size_t k = 0; t->dtype == DT_I32 && k < n / 4; k++) {
    int32_t v = k % 17 == 5 && size ? (int32_t)data[k % size] - 100 : (int32_t)(k % 3);
    memcpy(b + 4 * k, &v, sizeof v);
  }
  return b;
}

static inline void fuzz_run(const Program *p, size_t route, size_t target, const void *weights, const uint8_t *data,
                            size_t size, bool greatest) {
  const Module *m = p->module;
  const Graph *g = p->route.at[route].graph;
  int64_t dims[MAX_DIMS] = {0};
  for (size_t d = 0; d < m->ndim; d++) dims[d] = greatest ? m->dim[d].hi : m->dim[d].lo;
  void **in = calloc(g->input.n + 1, sizeof *in), **out = calloc(g->output.n + 1, sizeof *out);
  if (!in || !out) abort();
  for (size_t i = 0; i < g->input.n; i++)
    in[i] = fuzz_tensor(m, &graph_value(g, g->input.at[i].val)->type, data, size, i);
  for (size_t i = 0; i < g->output.n; i++)
    out[i] = fuzz_tensor(m, &graph_value(g, g->output.at[i].val)->type, data, size, i);
  const char *err = NULL;
  if (!program_interpret(p, route, target, weights, (const void *const *)in, out, dims, NULL, NULL, &err) && !err)
    abort();
  for (size_t i = 0; i < g->input.n; i++) free(in[i]);
  for (size_t i = 0; i < g->output.n; i++) free(out[i]);
  free(in), free(out);
}

static inline void fuzz_run_all(const Program *p, const uint8_t *data, size_t size) {
  uint8_t *weights = malloc((size_t)p->weight_bytes + 1);
  if (!weights) abort();
  memset(weights, 0, (size_t)p->weight_bytes);
  WeightSource source = {.get = fuzz_weight};
  const char *err = NULL;
  bool ok = true;
  for (size_t i = 0; i < p->weight.n && ok; i++) {
    const PackedWeight *w = &p->weight.at[i];
    void *one = malloc((size_t)w->bytes);
    ok = pack_weight(p, w, &source, one, &err);
    if (ok) memcpy(weights + w->offset, one, (size_t)w->bytes);
    free(one);
  }
  for (size_t r = 0; r < p->route.n && ok; r++)
    for (size_t t = 0; t < p->ntarget; t++)
      for (int greatest = 0; greatest < 2; greatest++) fuzz_run(p, r, t, weights, data, size, greatest);
  free(weights);
}

static inline void fuzz_program(Module *m, const uint8_t *data, size_t size) {
  const Target *t[] = {target_by_name("portable"), target_by_name(size & 1 ? "avx2" : "avx512")};
  if (fuzz_values(m) > FUZZ_VALUES) return;
  Program *p = program_lower(m, t, 2);
  if (!p) {
    if (!m->diag->errors) abort(); // a failure must be explained
    return;
  }
  EmitModel o = {.prefix = "fuzz", .header_name = "fuzz.h", .describe_host = true};
  Buf c = {0};
  emit_model_c(p, &o, &c);
  emit_model_h(p, &o, &c);
  emit_model_glue(p, &o, &c);
  buf_free(&c);
  if (fuzz_is_small(p)) fuzz_run_all(p, data, size);
}

#endif
