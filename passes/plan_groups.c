// plan_groups.c: proves that groups make kernels (plan.h). Per group, in what lower_*.c rely on:
//
//   copy (a view), attention, a write    alone
//   product    nothing in front of it, but patches or windows as its first operand; elementwise work of its shape
//   behind row        elementwise work and rows chosen by data in front of its first operand, in that operand's shape;
//              elementwise work of the result's shape behind
//   apart      (depthwise, patches, windows) nothing in front of it; elementwise work of its shape behind
//   map        elementwise work and rows chosen by data, all of one shape
//
// Only the last member of a group is read outside it. As values stand behind their operands, groups then run in the
// order of their roots without further proof. What is stored is a root, or a concat that is the only reader of each of
// its parts.
#include "plan.h"

bool plan_fault(Plan *p, uint32_t id, const char *fmt, ...) {
  if (p->fault->why) return false;
  Buf b = {0};
  va_list ap;
  va_start(ap, fmt);
  buf_vprintf(&b, fmt, ap);
  va_end(ap);
  *p->fault = (PlanFault){id, arena_strdup(p->g->module->arena, b.s ? b.s : "")};
  buf_free(&b);
  return false;
}

static const Value *val(const Plan *p, uint32_t id) {
  return &p->g->value.at[id];
}
static uint32_t flags_of(const Plan *p, uint32_t id) {
  return op_info[val(p, id)->op].flags;
}

bool plan_is_stored(const Plan *p, uint32_t id) {
  const Value *v = val(p, id);
  if (v->dead) return false;
  if (v->op == OP_concat) return !p->packed[id];
  return p->group[id] && p->group[id]->root.id == id;
}

static bool same_shape(const Type *a, const Type *b) {
  if (a->rank != b->rank) return false;
  for (int d = 0; d < a->rank; d++)
    if (!dim_equal(a->dim[d], b->dim[d])) return false;
  return true;
}

/* one group ----------------------------------------------------------------------------------------------------- */
typedef struct Kin { // a group around its centre
  Plan *p;
  const Group *grp;
  uint32_t centre; // what its kernel is built around; 0: a map
  bool *front;     // by value: feeds the centre
} Kin;

static bool is_member(const Kin *k, uint32_t id) {
  return k->p->group[id] == k->grp;
}

static bool is_anchor(uint32_t flags) {
  return flags & (F_CONTRACTION | F_ATTENTION | F_ROWWISE);
}

// Patches that a product with its weight in panels reads where they lie in the image.
static bool windows_of(const Kin *k, uint32_t product, uint32_t id) {
  const Value *v = val(k->p, product), *w = val(k->p, id);
  if (v->op != OP_linear || v->args[0].id != id || !(flags_of(k->p, id) & F_WINDOWS)) return false;
  PanelProduct panels;
  if (!product_panels(k->p->g, (Val){product}, &panels)) return false;
  return !k->p->packed[w->args[0].id] && access_resolve(k->p->g, w->args[0]).ok;
}

static bool find_centre(Kin *k) {
  uint32_t apart = 0;
  for (size_t i = 0; i < k->grp->member.n; i++) {
    uint32_t id = k->grp->member.at[i].id, flags = flags_of(k->p, id);
    if (is_anchor(flags)) {
      if (k->centre)
        return plan_fault(k->p, id, "a group has one product, attention or row operator, this is its second");
      k->centre = id;
    } else if (flags & F_APART) {
      if (apart) return plan_fault(k->p, id, "its kernel has an order of its own; a group holds one such operator");
      apart = id;
    }
  }
  if (k->centre && apart && !windows_of(k, k->centre, apart))
    return plan_fault(k->p, apart, "its kernel has an order of its own: it cannot be in the group of a %s",
                      op_info[val(k->p, k->centre)->op].name);
  if (!k->centre) k->centre = apart;
  return true;
}

// May members stand in front of operand i of the centre?
static bool may_feed(const Kin *k, uint32_t i, uint32_t id) {
  uint32_t flags = flags_of(k->p, k->centre);
  if (i == 0 && windows_of(k, k->centre, id)) return true;
  return i == 0 && (flags & F_ROWWISE) && !(flags & F_CONTRACTION);
}

static bool mark_front(Kin *k) {
  const Value *c = val(k->p, k->centre);
  for (uint32_t i = 0; i < c->nargs; i++) {
    uint32_t id = c->args[i].id;
    if (!is_member(k, id)) continue;
    if (!may_feed(k, i, id))
      return plan_fault(k->p, id, "nothing is computed in the group in front of this operand of a %s",
                        op_info[c->op].name);
    k->front[id] = true;
  }
  for (size_t m = k->grp->member.n; m-- > 0;) {
    uint32_t id = k->grp->member.at[m].id;
    const Value *v = val(k->p, id);
    for (uint32_t i = 0; k->front[id] && i < v->nargs; i++) {
      if (!is_member(k, v->args[i].id)) continue;
      if (flags_of(k->p, id) & F_WINDOWS)
        return plan_fault(k->p, v->args[i].id, "nothing is computed in the group in front of a %s",
                          op_info[v->op].name);
      k->front[v->args[i].id] = true;
    }
  }
  return true;
}

static bool check_member(const Kin *k, uint32_t id) {
  Plan *p = k->p;
  const Value *v = val(p, id), *c = val(p, k->centre ? k->centre : k->grp->root.id);
  bool front = k->front[id], rows = flags_of(p, id) & F_DATA, windows = flags_of(p, id) & F_WINDOWS;
  if (front && windows) return true;
  if (rows && k->centre && !front)
    return plan_fault(p, id, "rows chosen by data are not taken behind a %s", op_info[c->op].name);
  if (!rows && !(flags_of(p, id) & F_ELEMENTWISE))
    return plan_fault(p, id, "%s cannot be in a group with others", op_info[v->op].name);
  for (uint32_t i = 0; i < v->nargs; i++) {
    uint32_t arg = v->args[i].id;
    if (!is_member(k, arg)) continue;
    if (rows)
      return plan_fault(p, arg, "row numbers and the rows they choose are stored: they have a group of their own");
    if (!front && k->front[arg])
      return plan_fault(p, arg, "what is computed in front of a %s is not read behind it", op_info[c->op].name);
  }
  const Type *shape = front ? &val(p, c->args[0].id)->type : &c->type;
  return same_shape(&v->type, shape) ||
         plan_fault(p, id, "members of a group have the shape of its %s", op_info[c->op].name);
}

static bool check_root(const Kin *k) {
  for (size_t i = 0; i + 1 < k->grp->member.n; i++) {
    uint32_t id = k->grp->member.at[i].id;
    if (k->p->outside[id])
      return plan_fault(k->p, id, "is read outside group %u, of which only the last value is stored (%%%u)", k->grp->id,
                        k->grp->root.id);
  }
  return true;
}

static bool check_group(Kin *k) {
  Plan *p = k->p;
  size_t n = k->grp->member.n;
  for (size_t i = 0; i < n; i++) {
    uint32_t id = k->grp->member.at[i].id, flags = flags_of(p, id);
    if ((flags & F_SOURCE) || val(p, id)->op == OP_concat)
      return plan_fault(p, id, "%s has no kernel, so it has no group", op_info[val(p, id)->op].name);
    if (n > 1 && (flags & (F_VIEW | F_ALONE | F_WRITES)))
      return plan_fault(p, id, "%s has a group of its own",
                        (flags & F_VIEW) ? "the copy of a view" : op_info[val(p, id)->op].name);
    if (p->packed[id] && !(flags & F_VIEW))
      return plan_fault(p, id, "depends on weights alone: it is computed when weights are packed and has no group");
  }
  if (!check_root(k) || !find_centre(k) || (k->centre && !mark_front(k))) return false;
  if (n == 1 && (k->centre || (flags_of(p, k->grp->root.id) & F_VIEW))) return true;
  for (size_t i = 0; i < n; i++)
    if (k->grp->member.at[i].id != k->centre && !check_member(k, k->grp->member.at[i].id)) return false;
  return true;
}

/* the graph ----------------------------------------------------------------------------------------------------- */
static bool check_part(Plan *p, uint32_t concat, uint32_t part) {
  if (!plan_is_stored(p, part))
    return plan_fault(p, part, "is a part of concat %%%u: it must be stored, as the last value of a group", concat);
  return p->uses[part] == 1 ||
         plan_fault(p, part, "is a part of concat %%%u and has other readers: the concat needs a copy of its own",
                    concat);
}

static bool check_value(Plan *p, uint32_t id) {
  const Value *v = val(p, id);
  uint32_t flags = flags_of(p, id);
  if (p->group[id] || p->packed[id] || (flags & F_SOURCE)) return true;
  for (uint32_t i = 0; v->op == OP_concat && i < v->nargs; i++)
    if (!check_part(p, id, v->args[i].id)) return false;
  if (v->op == OP_concat) return true;
  if (!(flags & F_VIEW)) return plan_fault(p, id, "has no group, so no kernel computes it");
  return access_resolve(p->g, (Val){id}).ok || panels_alone(p->g, (Val){id}) ||
         plan_fault(p, id, "no strides express this view: it needs a group of its own, which makes it a copy");
}

static bool check_output(Plan *p, size_t i) {
  uint32_t id = p->g->output.at[i].val.id;
  if (!plan_is_stored(p, id)) return plan_fault(p, id, "is an output: it must be stored, as the last value of a group");
  for (size_t j = 0; j < i; j++)
    if (p->g->output.at[j].val.id == id) return plan_fault(p, id, "is two outputs: one of them needs a copy");
  return true;
}

bool plan_check_groups(Plan *p) {
  bool *front = ARENA_ARRAY(&p->scratch, bool, p->g->value.n);
  for (size_t i = 0; i < p->groups.n; i++) {
    Kin k = {.p = p, .grp = &p->groups.at[i], .front = front};
    if (!check_group(&k)) return false;
  }
  for (uint32_t id = 1; id < p->g->value.n; id++)
    if (!val(p, id)->dead && !check_value(p, id)) return false;
  for (size_t i = 0; i < p->g->output.n; i++)
    if (!check_output(p, i)) return false;
  return true;
}
