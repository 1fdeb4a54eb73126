// group.c: reads the groups off Value.group, in execution order (the order of their roots).
#include "pass.h"

static GroupKind kind_of(uint32_t flags) {
  if (flags & F_CONTRACTION) return GROUP_GEMM;
  if (flags & F_ATTENTION) return GROUP_ATTENTION;
  if (flags & F_ROWWISE) return GROUP_ROW;
  return GROUP_MAP;
}

GroupList groups_collect(const Graph *g, Arena *a) {
  uint32_t top = 0;
  for (uint32_t i = 1; i < g->value.n; i++)
    if (g->value.at[i].group > top) top = g->value.at[i].group;
  Group **by_id = ARENA_ARRAY(a, Group *, top + 1);
  uint32_t *last = ARENA_ARRAY(a, uint32_t, top + 1);
  size_t n = 0;
  for (uint32_t i = 1; i < g->value.n; i++) {
    const Value *v = &g->value.at[i];
    if (!v->group || v->dead) continue;
    Group *grp = by_id[v->group];
    if (!grp) {
      grp = by_id[v->group] = ARENA_NEW(a, Group);
      grp->id = v->group;
      grp->kind = GROUP_MAP;
      n++;
    }
    VEC_PUSH(a, grp->member, (Val){i});
    grp->root = (Val){i}; // values are in topological order and all members feed the root
    last[v->group] = i;
    GroupKind kind = kind_of(op_info[v->op].flags);
    if (kind != GROUP_MAP) {
      grp->kind = kind;
      grp->anchor = (Val){i};
    }
  }
  GroupList list = {ARENA_ARRAY(a, Group, n), 0};
  for (uint32_t i = 1; i < g->value.n; i++) {
    uint32_t id = g->value.at[i].group;
    if (id && last[id] == i) list.at[list.n++] = *by_id[id];
  }
  return list;
}
