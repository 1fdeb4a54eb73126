// lower_support.h: runs a graph given as text through the passes, the lowerings and the kernel interpreter, and
// compares its outputs with the reference evaluator. Inputs and weights are numbers made from their names.
#ifndef SY_TEST_LOWER_SUPPORT_H
#define SY_TEST_LOWER_SUPPORT_H

#include "codegen/program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct LowerCase {
  const char *text;           // body of the graph; dims B = 1..3, L = 1..21, T = 1..9
  double id_limit;            // i32 inputs are in [0, id_limit)
  double spread, centre;      // f32 inputs; 0: 1, 0
  const char *const *disable; // passes left out
  size_t ndisable;
} LowerCase;

static inline double lower_noise(const char *name, size_t i) { // in [-1, 1)
  uint64_t h = hash_bytes(&i, sizeof i, hash_bytes(name, strlen(name), 7));
  return (double)(h >> 11) * 0x1p-52 - 1;
}

static inline void lower_fill(const LowerCase *c, const char *name, Tensor *t) {
  for (size_t i = 0; i < t->n; i++) {
    double x = lower_noise(name, i);
    if (t->dtype == DT_BOOL)
      t->b[i] = x > -0.3 || (t->rank && i % (size_t)t->dim[t->rank - 1] == 0); // the first of a row is true
    else if (t->dtype == DT_I32)
      t->i[i] = (int32_t)floor((x + 1) / 2 * (c->id_limit > 0 ? c->id_limit : 3));
    else
      t->f[i] = (double)(float)(x * (c->spread != 0 ? c->spread : 1) + c->centre);
  }
}

static inline bool lower_input(void *ud, const char *name, const Type *t, Tensor *out) {
  (void)t;
  lower_fill(ud, name, out);
  return true;
}

static inline bool lower_weight_tensor(void *ud, const char *name, const Type *t, Tensor *out) {
  (void)ud;
  (void)t;
  lower_fill(&(LowerCase){.spread = 0.3}, name, out);
  return true;
}

static inline bool lower_weight_get(void *ud, const char *name, const Type *t, Tensor *out, const char **err) {
  (void)err;
  return lower_weight_tensor(ud, name, t, out);
}

static inline int64_t lower_dim_value(Dim d, const int64_t *dims) {
  return d.k ? d.c + d.k * dims[d.sym] : d.c;
}

static inline int64_t eval_extent(const Type *t, int axis, const int64_t *dims) {
  if (!t->nseg || t->segaxis != axis) return lower_dim_value(t->dim[axis], dims);
  int64_t n = 0;
  for (int s = 0; s < t->nseg; s++) n += lower_dim_value(t->seg[s].len, dims);
  return n;
}

// Index in storage of actual index i on an axis.
static inline int64_t lower_place(const Module *m, const Type *t, int axis, int64_t i, const int64_t *dims) {
  if (!t->nseg || t->segaxis != axis) return i;
  for (int s = 0; s < t->nseg; s++) {
    int64_t n = lower_dim_value(t->seg[s].len, dims);
    if (i < n) return seg_start(m, t, s) + i;
    i -= n;
  }
  return -1;
}

// Offset in storage of dense element e of a tensor of type t.
static inline int64_t lower_offset(const Module *m, const Type *t, const Tensor *x, size_t e, const int64_t *dims) {
  int64_t offset = 0, stride = 1;
  for (int d = t->rank - 1; d >= 0; d--) {
    offset += stride * lower_place(m, t, d, (int64_t)(e % (size_t)x->dim[d]), dims);
    e /= (size_t)x->dim[d];
    stride *= type_extent(m, t, d);
  }
  return offset;
}

typedef struct LowerRun {
  Arena arena;
  Intern names;
  Diag diag;
  const char *failed; // NULL: ran
  double worst;       // largest error over the outputs, relative to the largest value of the output
  uint64_t bits;      // hash of all elements of the outputs
  const Program *program;
  void **out; // outputs in storage layout
} LowerRun;

static inline Module *lower_parse(LowerRun *r, const char *body) {
  char *text = arena_printf(&r->arena,
                            "module \"t\" dims { B = 1..3, L = 1..21, T = 1..9 } modalities { vision \"A\", language "
                            "\"B\" }\ngraph @f {\n%s\n}\n",
                            body);
  uint32_t file = diag_add_file(&r->diag, "case.gir", text, strlen(text));
  return module_parse(&r->arena, &r->names, &r->diag, text, strlen(text), file);
}

static inline const char *lower_errors(LowerRun *r, const char *what) {
  Buf b = {0};
  buf_printf(&b, "%s: ", what);
  diag_print(&r->diag, &b, false);
  char *s = arena_strdup(&r->arena, b.s);
  buf_free(&b);
  return s;
}

// Runs the case on one target and fills *r, which must not move afterwards (the module points into it); dims: values of
// B, L, T.
static inline void lower_run_target(LowerRun *r, const LowerCase *c, const Target *t, const int64_t *dims) {
  *r = (LowerRun){0};
  r->names.arena = &r->arena;
  diag_init(&r->diag, &r->arena);
  Module *plain = lower_parse(r, c->text), *m = lower_parse(r, c->text);
  if (!plain || !m) {
    r->failed = lower_errors(r, "parse");
    return;
  }
  const Graph *g = plain->graph.at[0];
  size_t nout = g->output.n, nin = g->input.n;

  Val *want = ARENA_ARRAY(&r->arena, Val, nout);
  Tensor *expected = ARENA_ARRAY(&r->arena, Tensor, nout);
  for (size_t i = 0; i < nout; i++) want[i] = g->output.at[i].val;
  EvalEnv env = {.arena = &r->arena, .weight = lower_weight_tensor, .input = lower_input, .ud = (void *)(uintptr_t)c};
  for (int d = 0; d < 3; d++) env.dim[d] = dims[d];
  if (!graph_eval(g, &env, want, nout, expected)) {
    r->failed = env.error;
    return;
  }

  PassOptions o = {.verify = true, .disable = (const char **)(uintptr_t)c->disable, .ndisable = c->ndisable};
  if (!passes_run(m, &o)) {
    r->failed = lower_errors(r, "passes");
    return;
  }
  Program *p = program_lower(m, &t, 1);
  if (!p) {
    r->failed = lower_errors(r, "lower");
    return;
  }
  r->program = p;
  unsigned char *weights = arena_alloc(&r->arena, p->weight_bytes + 64);
  WeightSource src = {.get = lower_weight_get};
  for (size_t i = 0; i < p->weight.n; i++)
    if (!pack_weight(p, &p->weight.at[i], &src, weights + p->weight.at[i].offset, &r->failed)) return;

  const void **in = ARENA_ARRAY(&r->arena, const void *, nin + 1);
  void **out = r->out = ARENA_ARRAY(&r->arena, void *, nout + 1);
  const Graph *lowered = m->graph.at[0];
  for (size_t i = 0; i < nin; i++) {
    const Value *v = graph_value(lowered, lowered->input.at[i].val);
    int64_t extent[MAX_RANK];
    for (int d = 0; d < v->type.rank; d++) extent[d] = eval_extent(&v->type, d, dims);
    Tensor x = tensor_new(&r->arena, v->type.dtype, v->type.rank, extent);
    lower_fill(c, lowered->input.at[i].name, &x);
    char *to = arena_alloc(&r->arena, (size_t)type_bytes(m, &v->type) + 64);
    for (size_t e = 0; e < x.n; e++) {
      int64_t at = lower_offset(m, &v->type, &x, e, dims);
      if (x.dtype == DT_BOOL)
        to[at] = (char)x.b[e];
      else if (x.dtype == DT_I32)
        memcpy(to + 4 * at, &x.i[e], 4);
      else
        memcpy(to + 4 * at, &(float){(float)x.f[e]}, 4);
    }
    in[i] = to;
  }
  for (size_t i = 0; i < nout; i++) {
    size_t bytes = (size_t)type_bytes(m, &graph_value(lowered, lowered->output.at[i].val)->type);
    out[i] = arena_alloc(&r->arena, bytes + 64);
    memset(out[i], 0xff, bytes); // NaN where nothing is stored
  }
  if (!program_interpret(p, 0, 0, weights, in, out, dims, NULL, NULL, &r->failed)) return;

  for (size_t i = 0; i < nout; i++) {
    const Type *ty = &graph_value(g, want[i])->type;
    double most = 1e-30, worst = 0;
    for (size_t e = 0; e < expected[i].n; e++) {
      int64_t at = lower_offset(plain, ty, &expected[i], e, dims);
      double have, w;
      size_t bytes = dtype_info[ty->dtype].bytes;
      r->bits = hash_bytes((char *)out[i] + bytes * (size_t)at, bytes, r->bits);
      if (ty->dtype == DT_BOOL) {
        have = ((uint8_t *)out[i])[at];
        w = expected[i].b[e];
      } else if (ty->dtype == DT_I32) {
        have = ((int32_t *)out[i])[at];
        w = expected[i].i[e];
      } else {
        have = (double)((float *)out[i])[at];
        w = expected[i].f[e];
      }
      if (fabs(w) > most && !isinf(w)) most = fabs(w);
      double error = have == w ? 0 : fabs(have - w);
      if (!(error <= worst)) worst = isnan(error) ? HUGE_VAL : error;
    }
    if (worst / most > r->worst) r->worst = worst / most;
  }
}

static inline void lower_run(LowerRun *r, const LowerCase *c, const char *target, const int64_t *dims) {
  lower_run_target(r, c, target_by_name(target), dims);
}

static inline void lower_run_free(LowerRun *r) {
  arena_free(&r->arena);
}

#endif
