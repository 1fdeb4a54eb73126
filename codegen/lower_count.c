// lower_count.c: running_count, how many elements up to each one are true. One task goes through all of them: they are
// the rows of a batch, a row of numbers each.
#include "lower_count.h"

typedef struct Count {
  KVal n;
  KIdx at[LOWER_AXES];
} Count;

static void count_axis(Lowering *lo, Count *c, int d) {
  Kernel *k = lo->k;
  for (int i = 0; i < lo->axis[d].n; i++) {
    const Range *r = &lo->axis[d].range[i];
    c->at[d] = ki_addc(ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(r->len), 1)), r->start);
    if (d + 1 < lo->rank) {
      count_axis(lo, c, d + 1);
    } else {
      Point p = {.lanes = 1, .n = 1};
      for (int a = 0; a < lo->rank; a++) p.at[a] = c->at[a];
      KVal is = lower_load(lo, &lo->src.at[0], &p), one = kb_const(k, 1, DT_I32, 1), none = kb_const(k, 0, DT_I32, 1);
      kb_set(k, c->n, kb_op2(k, K_add, c->n, kb_op3(k, K_select, is, one, none)));
      lower_store(lo, &p, c->n);
    }
    kb_end(k);
  }
}

bool lower_running_count(Lowering *lo, Val member) {
  const Value *v = graph_value(lo->g, member);
  if (lo->grp->member.n != 1) return lower_fail(lo, member, "nothing is computed behind it");
  lower_domain(lo, &v->type);
  if (!lower_source(lo, v->args[0], &v->type, "which") || !lower_root(lo)) return false;
  Count c = {.n = kb_var(lo->k, kb_const(lo->k, 0, DT_I32, 1), "n")};
  if (lo->rank) count_axis(lo, &c, 0);
  double n = (double)type_elements(lo->m, &v->type);
  return lower_finish(lo, n, 5 * n, "running_count", "how many elements up to each one are true");
}
