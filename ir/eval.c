// eval.c: the reference evaluator. Naive loops, double accumulators, no rounding to f32 in between; independent of the
// kernels, so that both can be compared.
//
// Tensors are dense at the actual run-time extents, segment parts adjacent. Values are evaluated in depth-first order
// of need; each lives in an arena of its own that is freed after its last use, so a ViT-B needs the memory of its
// largest few tensors, not of all. Wanted values live in EvalEnv.arena. Errors (missing input, id out of range, i32
// overflow, run-time dim out of its range) end in EvalEnv.error.
#include "graph.h"
#include "op/op.h"

#include <stdlib.h>

static size_t element_bytes(DType dt) {
  return dt == DT_BOOL ? sizeof(uint8_t) : dt == DT_I32 ? sizeof(int32_t) : sizeof(double);
}

Tensor tensor_new(Arena *a, DType dt, int rank, const int64_t *dim) {
  Tensor t = {.dtype = dt, .rank = rank, .n = 1};
  CHECK(rank >= 0 && rank <= MAX_RANK);
  for (int i = 0; i < rank; i++) {
    CHECK(dim[i] >= 0);
    t.dim[i] = dim[i];
    CHECK(!__builtin_mul_overflow(t.n, (size_t)dim[i], &t.n));
  }
  CHECK(t.n <= SIZE_MAX / 16);
  t.b = arena_alloc(a, t.n * element_bytes(dt));
  return t;
}

double tensor_get(const Tensor *t, size_t i) {
  if (t->dtype == DT_BOOL) return t->b[i];
  return t->dtype == DT_I32 ? (double)t->i[i] : t->f[i];
}

void ref_put(const RefCtx *c, Tensor *out, size_t i, double v) {
  if (out->dtype == DT_BOOL) {
    out->b[i] = v != 0;
  } else if (out->dtype == DT_I32) {
    if (v >= INT32_MIN && v <= INT32_MAX)
      out->i[i] = (int32_t)v;
    else if (!*c->error)
      *c->error = arena_printf(c->g->module->arena, "%s: %g does not fit into i32", op_info[c->v->op].name, v);
  } else {
    out->f[i] = v;
  }
}

static int64_t dim_value(const EvalEnv *env, Dim d) {
  return d.c + (d.k ? d.k * env->dim[d.sym] : 0);
}

int64_t eval_dim(const EvalEnv *env, const Type *t, int axis) {
  if (!t->nseg || t->segaxis != axis) return dim_value(env, t->dim[axis]);
  int64_t n = 0;
  for (int s = 0; s < t->nseg; s++) n += dim_value(env, t->seg[s].len);
  return n;
}

typedef struct Slot { // one value during evaluation
  Tensor tensor;
  Arena arena;
  uint32_t uses;     // users that still have to be evaluated
  uint32_t next_arg; // depth-first walk
  bool seen, wanted;
} Slot;

// Order in which values are needed, operands first; counts uses.
static size_t need_order(const Graph *g, Slot *slot, const Val *want, size_t nwant, uint32_t *order) {
  size_t n = 0, depth = 0;
  uint32_t *stack = malloc(sizeof *stack * g->value.n);
  if (!stack) out_of_memory(g->value.n * sizeof *stack);
  for (size_t i = 0; i < nwant; i++) {
    slot[want[i].id].wanted = true;
    if (slot[want[i].id].seen) continue;
    slot[want[i].id].seen = true;
    stack[depth++] = want[i].id;
    while (depth) {
      uint32_t id = stack[depth - 1];
      const Value *v = &g->value.at[id];
      if (slot[id].next_arg == v->nargs) {
        order[n++] = id;
        depth--;
        continue;
      }
      uint32_t arg = v->args[slot[id].next_arg++].id;
      slot[arg].uses++;
      if (slot[arg].seen) continue;
      slot[arg].seen = true;
      stack[depth++] = arg;
    }
  }
  free(stack);
  return n;
}

static const char *eval_value(const Graph *g, EvalEnv *env, Slot *slot, uint32_t id) {
  const Value *v = &g->value.at[id];
  Slot *s = &slot[id];
  EvalEnv local = *env;
  if (!s->wanted) local.arena = &s->arena;
  int64_t dim[MAX_RANK] = {0};
  for (int i = 0; i < v->type.rank; i++) dim[i] = eval_dim(env, &v->type, i);
  s->tensor = tensor_new(local.arena, v->type.dtype, v->type.rank, dim);
  Arena scratch = {0}; // what the reference itself allocates
  Tensor *arg = ARENA_ARRAY(&scratch, Tensor, v->nargs);
  for (uint32_t i = 0; i < v->nargs; i++) arg[i] = slot[v->args[i].id].tensor;
  const char *error = NULL;
  local.arena = &scratch;
  RefCtx c = {.g = g, .v = v, .env = &local, .arg = arg, .error = &error};
  op_hooks[v->op].ref(&c, &s->tensor);
  arena_free(&scratch);
  for (uint32_t i = 0; i < v->nargs; i++) {
    Slot *used = &slot[v->args[i].id];
    if (!--used->uses) arena_free(&used->arena);
  }
  return error;
}

bool graph_eval(const Graph *g, EvalEnv *env, const Val *want, size_t nwant, Tensor *out) {
  const Module *m = g->module;
  env->error = NULL;
  for (size_t i = 0; i < m->ndim; i++)
    if (env->dim[i] < m->dim[i].lo || env->dim[i] > m->dim[i].hi) {
      env->error = arena_printf(env->arena, "%s = %lld is outside %lld..%lld", m->dim[i].name, (long long)env->dim[i],
                                (long long)m->dim[i].lo, (long long)m->dim[i].hi);
      return false;
    }
  Slot *slot = calloc(g->value.n, sizeof *slot);
  uint32_t *order = malloc(sizeof *order * g->value.n);
  if (!slot || !order) out_of_memory(g->value.n * sizeof *slot);
  for (size_t i = 0; i < nwant; i++) graph_value(g, want[i]);
  size_t n = need_order(g, slot, want, nwant, order);
  for (size_t i = 0; i < n && !env->error; i++) env->error = eval_value(g, env, slot, order[i]);
  for (size_t i = 0; i < nwant && !env->error; i++) out[i] = slot[want[i].id].tensor;
  for (size_t i = 0; i < n; i++) arena_free(&slot[order[i]].arena);
  free(order);
  free(slot);
  return !env->error;
}
