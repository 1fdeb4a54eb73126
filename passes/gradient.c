// gradient.c
#include "pass.h"

PassFn pass_gradient;

// Assignments and stops are their operands from here on.
static size_t drop_marks(Graph *g) {
  size_t n = 0;
  for (uint32_t i = 1; i < g->value.n; i++) {
    const Value *v = graph_value(g, (Val){i});
    if (v->dead || (v->op != OP_stop && v->op != OP_assigned)) continue;
    graph_replace(g, (Val){i}, v->args[0]);
    n++;
  }
  if (n) graph_compact(g);
  return n;
}

size_t pass_gradient(Module *m, Arena *scratch, const PassOptions *o) {
  (void)scratch;
  (void)o;
  size_t n = 0;
  for (size_t i = 0; i < m->graph.n; i++) n += drop_marks(m->graph.at[i]);
  return n;
}
