// run.c: runs a route of a Program in the kernel interpreter, step by step, with the memory layout of the compiled
// model: one arena, the packed weights, the caller's buffers. It refuses the same calls as the compiled model (a
// run-time dim out of bounds, an id outside its table, at the same step) and gives the same bits as C compiled for the
// same target.
//
// Invariants: one worker; the arena starts as zeros and lives as long as the call; nothing global.
//
//   const int64_t dims[] = {1};
//   const char *err = NULL;
//   if (!program_interpret(p, 0, 0, weights, in, out, dims, NULL, NULL, &err)) puts(err);
#include "model_facts.h"

#include <string.h>

typedef struct Run {
  const Program *p;
  const RouteProgram *route;
  unsigned char *arena;
  const void *weights;
  const void *const *in;
  void *const *out;
} Run;

static unsigned char *writable(const void *p) { // kernels take void *; those of inputs and weights are only read
  union {
    const void *in;
    unsigned char *out;
  } u = {p};
  return u.out;
}

static unsigned char *memory_of(const Run *r, uint8_t kind, uint32_t index, int64_t offset) {
  switch (kind) {
  case PLACE_ARENA: return r->arena + offset;
  case PLACE_INPUT: return writable(r->in[index]) + offset;
  case PLACE_OUTPUT: return (unsigned char *)r->out[index] + offset;
  case PLACE_WEIGHT: return writable(r->weights) + r->p->weight.at[index].offset + offset;
  default: ICE("a step of @%s has an operand of kind %u", r->route->graph->name, kind);
  }
}

// Memory of a step's root: its place in the graph, or else the kernel's first output.
static const void *root_memory(const Run *r, const Step *s, const Kernel *k, void *const *buf) {
  const Graph *g = r->route->graph;
  if (s->root.id) {
    Access at = access_resolve(g, s->root);
    const Value *base = graph_value(g, at.base);
    if (base->place.kind == PLACE_ARENA || base->place.kind == PLACE_OUTPUT) {
      int64_t bytes = at.offset * (int64_t)dtype_info[base->type.dtype].bytes;
      return memory_of(r, base->place.kind, base->place.index, base->place.offset + bytes);
    }
  }
  for (uint32_t i = 0; i < s->narg; i++)
    if (k->buf.at[i + 1].role == KB_OUT) return buf[i];
  return NULL;
}

static int64_t dim_value(Dim d, const int64_t *dims) {
  return d.k ? d.c + d.k * dims[d.sym] : d.c;
}

static bool ids_in_table(const IdCheck *c, const unsigned char *ids, const int64_t *dims) {
  int64_t at[MAX_RANK] = {0}, limit = dim_value(c->limit, dims);
  for (int d = 0; d < c->rank; d++)
    if (dim_value(c->extent[d], dims) < 1) return true;
  for (;;) {
    int64_t element = 0;
    for (int d = 0; d < c->rank; d++) element += at[d] * c->stride[d];
    int32_t id;
    memcpy(&id, ids + element * (int64_t)sizeof id, sizeof id);
    if (id < 0 || id >= limit) return false;
    int d = c->rank - 1;
    for (; d >= 0 && ++at[d] == dim_value(c->extent[d], dims); d--) at[d] = 0;
    if (d < 0) return true;
  }
}

static bool ids_fit(const Run *r, const IdChecks *checks, size_t step, const int64_t *dims) {
  for (size_t i = 0; i < checks->list.n; i++) {
    const IdCheck *c = &checks->list.at[i];
    if (c->step == step && !ids_in_table(c, memory_of(r, c->at.kind, c->at.index, c->at.offset), dims)) return false;
  }
  return true;
}

// NULL if the call is one that the compiled model would begin with.
static const char *refuse(const Run *r, const int64_t *dims) {
  const Graph *g = r->route->graph;
  uint32_t used = graph_dims_used(g);
  for (size_t j = 0; j < g->module->ndim; j++)
    if ((used >> j & 1) && (dims[j] < g->module->dim[j].lo || dims[j] > g->module->dim[j].hi))
      return "a run-time dim is out of its bounds";
  for (size_t i = 0; i < g->input.n; i++)
    if (!r->in || !r->in[i]) return "an input is missing";
  for (size_t i = 0; i < g->output.n; i++)
    if (!r->out || !r->out[i]) return "an output is missing";
  return NULL;
}

bool program_interpret(const Program *p, size_t route, size_t t, const void *weights, const void *const *in,
                       void *const *out, const int64_t *dims, void (*watch)(void *ud, size_t step, const void *root),
                       void *ud, const char **err) {
  *err = NULL;
  if (route >= p->route.n || t >= p->ntarget) {
    *err = "there is no such route or target";
    return false;
  }
  Arena a = {0};
  Run r = {p, &p->route.at[route], NULL, weights, in, out};
  *err = refuse(&r, dims);
  if (!*err) r.arena = arena_alloc(&a, (size_t)(r.route->arena_bytes > 0 ? r.route->arena_bytes : 1));
  IdChecks checks = route_id_checks(r.route, &a);
  for (size_t i = 0; !*err && i < r.route->step.n; i++) {
    if (!ids_fit(&r, &checks, i, dims)) {
      *err = "an id is outside its table";
      break;
    }
    const Step *s = &r.route->step.at[i];
    const Kernel *k = p->kernel.at[s->kernel].k[t];
    void *buf[MAX_KERNEL_ARGS];
    for (uint32_t j = 0; j < s->narg; j++) buf[j] = memory_of(&r, s->arg[j].kind, s->arg[j].index, s->arg[j].offset);
    kernel_interp(k, buf, dims, 0, kernel_tasks(k, dims));
    if (watch) watch(ud, i, root_memory(&r, s, k, buf));
  }
  arena_free(&a);
  return !*err;
}
