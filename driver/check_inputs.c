// check_inputs.c: the inputs of a call from tensors that have their names: one reader for the cases of `syc check` and
// the batch of `syc step`.
#include "check.h"

#include <string.h>

bool check_same_dtype(DType want, StDtype have) {
  return kept_dtype(want) == have;
}

void *check_zeros(Check *c, size_t bytes) {
  char *p = arena_alloc(&c->s->arena, bytes + 64);
  return p + (64 - (uintptr_t)p % 64) % 64;
}

const void *check_input(Check *c, const Module *m, const Type *t, const StTensor *x, const int64_t *dims) {
  Layout l = layout_of(&c->s->arena, m, t, dims, NULL);
  void *buffer = check_zeros(c, (size_t)type_bytes(m, t));
  layout_store(&l, x->data, buffer);
  return buffer;
}

// The dims that the tensors say, then the tensors in the layout of a call.
static const char *read_one(const InputReader *r, Call *call, size_t i, uint32_t *known, bool fill) {
  const Graph *g = call->program->route.at[call->route].graph;
  const Module *m = g->module;
  Arena *a = &r->c->s->arena;
  const char *name = g->input.at[i].name, *why = NULL;
  const Type *t = &graph_value(g, g->input.at[i].val)->type;
  call->in_bytes[i] = (size_t)type_bytes(m, t);
  if (r->noise && g->input.at[i].role == ROLE_noise) {
    if (fill) call->in[i] = *r->noise = check_zeros(r->c, call->in_bytes[i]);
    return NULL;
  }
  const StTensor *x = r->find(r->ud, name);
  if (!x) return arena_printf(a, "there is no tensor for input '%s'", name);
  if (!check_same_dtype(t->dtype, x->dtype))
    return arena_printf(a, "input '%s' is %s, not %s", name, st_dtype_name(x->dtype), dtype_info[t->dtype].name);
  if (!fill && !layout_dims(m, t, x, call->dims, known, &why)) return arena_printf(a, "input '%s': %s", name, why);
  if (fill) call->in[i] = check_input(r->c, m, t, x, call->dims);
  return NULL;
}

const char *read_inputs(const InputReader *r, Call *call) {
  const Graph *g = call->program->route.at[call->route].graph;
  const Module *m = g->module;
  uint32_t known = 0;
  for (size_t i = 0; i < m->ndim; i++) call->dims[i] = m->dim[i].lo;
  call->in = ARENA_ARRAY(&r->c->s->arena, const void *, g->input.n + 1);
  call->in_bytes = ARENA_ARRAY(&r->c->s->arena, size_t, g->input.n + 1);
  for (int fill = 0; fill < 2; fill++)
    for (size_t i = 0; i < g->input.n; i++) {
      const char *wrong = read_one(r, call, i, &known, fill);
      if (wrong) return wrong;
    }
  return NULL;
}
