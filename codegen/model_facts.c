// model_facts.c: run-time dims of a route and the ids that must be checked; see model_facts.h.
//
//   step 0, map: embedding %5, %2 : f32[B,L,768]    with %2 = input "text", %5 : f32[64010,768]
//   -> {before step 0, input 1 + 0, rank 2, extent B L, stride 64 1, limit 64010}
#include "model_facts.h"

#include <string.h>

uint32_t graph_dims_used(const Graph *g) {
  uint32_t used = 0;
  for (size_t i = 1; i < g->value.n; i++) {
    const Value *v = &g->value.at[i];
    if (v->dead) continue;
    for (unsigned d = 0; d < v->type.rank; d++)
      if (v->type.dim[d].k && v->type.dim[d].sym >= 0) used |= 1u << v->type.dim[d].sym;
    for (unsigned s = 0; s < v->type.nseg; s++)
      if (v->type.seg[s].len.k && v->type.seg[s].len.sym >= 0) used |= 1u << v->type.seg[s].len.sym;
    if (value_str(v, A_where)) used |= mask_dims(value_mask(g->module->arena, g->module, v));
  }
  return used;
}

static bool check_equal(const IdCheck *a, const IdCheck *b) {
  bool early = id_check_is_early(a); // what a step computes may lie where another value lay before
  bool same = a->at.kind == b->at.kind && a->at.index == b->at.index && a->at.offset == b->at.offset &&
              a->rank == b->rank && dim_equal(a->limit, b->limit) && (early || a->ids.id == b->ids.id);
  for (int d = 0; same && d < a->rank; d++)
    same = dim_equal(a->extent[d], b->extent[d]) && a->stride[d] == b->stride[d];
  return same;
}

static void add_check(IdChecks *r, Arena *a, const IdCheck *c) {
  for (size_t j = 0; j < r->list.n; j++)
    if (check_equal(&r->list.at[j], c)) return;
  VEC_PUSH(a, r->list, *c);
}

// The ids of one operand: one check, or one for each part of an axis with several run-time parts.
static void add_read(IdChecks *r, Arena *a, const Graph *g, const Step *s, uint32_t step, const IdRead *read) {
  const Type *t = &graph_value(g, read->ids)->type;
  IdCheck c = {.step = step, .at = s->arg[read->arg], .ids = read->ids, .rank = t->rank, .limit = read->limit};
  for (int d = 0; d < t->rank; d++) c.extent[d] = t->dim[d], c.stride[d] = read->stride[d];
  if (id_check_is_early(&c)) c.step = 0;
  if (!t->nseg || type_is_dense(t)) {
    add_check(r, a, &c);
    return;
  }
  for (int k = 0; k < t->nseg; k++) {
    IdCheck part = c;
    part.extent[t->segaxis] = t->seg[k].len;
    part.at.offset += seg_start(g->module, t, k) * c.stride[t->segaxis] * (int64_t)sizeof(int32_t);
    add_check(r, a, &part);
  }
}

bool id_check_is_early(const IdCheck *c) {
  return c->at.kind == PLACE_INPUT || c->at.kind == PLACE_WEIGHT;
}

IdChecks route_id_checks(const RouteProgram *route, Arena *a) {
  IdChecks all = {0}, r = {0};
  for (uint32_t i = 0; i < route->step.n; i++)
    for (uint32_t k = 0; k < route->step.at[i].nids; k++)
      add_read(&all, a, route->graph, &route->step.at[i], i, &route->step.at[i].ids[k]);
  for (int early = 1; early >= 0; early--)
    for (size_t i = 0; i < all.list.n; i++)
      if (id_check_is_early(&all.list.at[i]) == early) VEC_PUSH(a, r.list, all.list.at[i]);
  return r;
}

size_t model_params(const Program *p, size_t kernel, ModelParam param[MAX_KERNEL_ARGS]) {
  const KernelSlot *slot = &p->kernel.at[kernel];
  const Kernel *k = slot->k[0];
  size_t n = 0;
  for (size_t b = 1; b < k->buf.n && k->buf.at[b].role != KB_SCRATCH; b++, n++) {
    param[n] = (ModelParam){k->buf.at[b].role == KB_OUT ? 'o' : 'i', dtype_info[k->buf.at[b].dtype].code, 0};
    for (size_t t = 0; t < p->ntarget; t++)
      if (slot->k[t]->buf.at[b].n > param[n].n) param[n].n = slot->k[t]->buf.at[b].n;
  }
  return n;
}

uint64_t model_task_cost(const Kernel *k) {
  double c = k->flops + 4 * k->bytes;
  return c >= 1 && c < 1e15 ? (uint64_t)(c + 0.5) : 1;
}

void model_rank_order(const Program *p, size_t *order) {
  for (size_t i = 0; i < p->ntarget; i++) {
    size_t j = i;
    for (; j > 0 && p->target[order[j - 1]]->rank > p->target[i]->rank; j--) order[j] = order[j - 1];
    order[j] = i;
  }
}
