// batch_wants.c - what an objective wants, read off its graph: for those who have a module and no compiled model yet.
#include "batch.h"

bool batch_wants(Arena *a, const Module *m, const Graph *g, BatchWants *out, HostError *err) {
  sy_tensor *input = ARENA_ARRAY(a, sy_tensor, g->input.n + 1);
  sy_bound *dim = ARENA_ARRAY(a, sy_bound, m->ndim + 1);
  sy_prepare *prepare = ARENA_ARRAY(a, sy_prepare, m->prepare.n + 1);
  for (size_t i = 0; i < m->ndim; i++)
    dim[i] = (sy_bound){m->dim[i].name, (uint64_t)m->dim[i].lo, (uint64_t)m->dim[i].hi};
  for (size_t i = 0; i < m->prepare.n; i++)
    prepare[i] = (sy_prepare){m->prepare.at[i].name, m->prepare.at[i].kind, m->prepare.at[i].options};
  for (size_t i = 0; i < g->input.n; i++) {
    const Type *t = &graph_value(g, g->input.at[i].val)->type;
    input[i] =
        (sy_tensor){.name = g->input.at[i].name, .dtype = dtype_info[t->dtype].name, .rank = t->rank, .elements = 1};
    for (unsigned d = 0; d < t->rank; d++) {
      const Dim *x = &t->dim[d];
      if (x->k && x->sym == DIM_SEGS)
        return host_fail(err, "input %s has parts of several lengths, which data cannot fill", input[i].name);
      input[i].axis[d] = (sy_dim){.constant = (uint64_t)x->c,
                                  .factor = (uint64_t)x->k,
                                  .dim = x->k ? x->sym : -1,
                                  .bound = (uint64_t)(x->c + (x->k ? x->k * m->dim[x->sym].hi : 0))};
      input[i].elements *= input[i].axis[d].bound;
    }
    input[i].bytes = input[i].elements * dtype_info[t->dtype].bytes;
  }
  *out = (BatchWants){.input = input,
                      .ninput = (unsigned)g->input.n,
                      .dim = dim,
                      .ndim = (unsigned)m->ndim,
                      .prepare = prepare,
                      .nprepare = (unsigned)m->prepare.n};
  return true;
}
