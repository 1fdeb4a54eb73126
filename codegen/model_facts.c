// model_facts.c: run-time dims of a route and the ids that must be checked; see model_facts.h.
//
// The ids of `embedding` and the row numbers of `gather_rows` are operand 1, the rows they choose from are an axis of
// operand 0: one table says which.
//
//   %7 = embedding %5, %2 : f32[B,L,768]    with %2 = input "text", %5 : f32[64010,768]
//   -> {input 1, offset 0, rank 2, extent B L, stride 64 1, limit 64010}
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
  }
  return used;
}

static const struct {
  Op op;
  uint8_t rows_axis; // of operand 0
} id_ops[] = {{OP_embedding, 0}, {OP_gather_rows, 1}};

static bool several_segments(Dim d) {
  return d.sym == DIM_SEGS;
}

static bool input_number(const Graph *g, Val v, uint32_t *number) {
  for (size_t i = 0; i < g->input.n; i++)
    if (g->input.at[i].val.id == v.id) {
      *number = (uint32_t)i;
      return true;
    }
  return false;
}

static bool check_equal(const IdCheck *a, const IdCheck *b) {
  bool same = a->input == b->input && a->offset == b->offset && a->rank == b->rank && dim_equal(a->limit, b->limit);
  for (int d = 0; same && d < a->rank; d++)
    same = dim_equal(a->extent[d], b->extent[d]) && a->stride[d] == b->stride[d];
  return same;
}

static bool check_of(const Graph *g, const Value *v, int rows_axis, IdCheck *out) {
  *out = (IdCheck){0};
  if (v->nargs < 2) return false;
  const Value *ids = graph_value(g, v->args[1]);
  Access at = access_resolve(g, v->args[1]);
  if (!at.ok || !input_number(g, at.base, &out->input)) return false;
  out->offset = at.offset;
  out->rank = ids->type.rank;
  out->limit = graph_value(g, v->args[0])->type.dim[rows_axis];
  if (several_segments(out->limit)) return false;
  for (int d = 0; d < out->rank; d++) {
    out->extent[d] = ids->type.dim[d];
    out->stride[d] = at.stride[d];
    if (several_segments(out->extent[d])) return false;
  }
  return true;
}

IdChecks graph_id_checks(const Graph *g, Arena *a) {
  IdChecks r = {0};
  for (size_t i = 1; i < g->value.n; i++) {
    const Value *v = &g->value.at[i];
    for (size_t o = 0; o < sizeof id_ops / sizeof *id_ops && !v->dead; o++) {
      IdCheck c;
      if (v->op != id_ops[o].op || !check_of(g, v, id_ops[o].rows_axis, &c)) continue;
      bool known = false;
      for (size_t j = 0; j < r.list.n; j++) known = known || check_equal(&r.list.at[j], &c);
      if (!known) VEC_PUSH(a, r.list, c);
    }
  }
  return r;
}

size_t model_params(const Program *p, size_t kernel, ModelParam param[MAX_KERNEL_ARGS]) {
  static const char code[DT_COUNT] = {[DT_F32] = 'f', [DT_F16] = 'h', [DT_BF16] = 'h', [DT_I32] = 'i', [DT_BOOL] = 'b'};
  const KernelSlot *slot = &p->kernel.at[kernel];
  const Kernel *k = slot->k[0];
  size_t n = 0;
  for (size_t b = 1; b < k->buf.n && k->buf.at[b].role != KB_SCRATCH; b++, n++) {
    param[n] = (ModelParam){k->buf.at[b].role == KB_OUT ? 'o' : 'i', code[k->buf.at[b].dtype], 0};
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
