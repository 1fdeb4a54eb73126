// remarks.c: says of a finished plan what was fused into each kernel, why elementwise work behind a stored value is a
// kernel of its own, and why each stored value lies where it does. Read off the plan itself, so it cannot differ from
// what is compiled.
//
//   remark: kernel 5 is linear (models/std.sy:10:10) with add (models/vit.sy:40:13) [fuse]
//   remark: add is not fused with what computes %25 (layer_norm): 2 values read it, so it is stored [fuse]
//   remark: %47 lies at 4096 of the arena, 2176 bytes, kernels 5 to 8: where %26 was until kernel 3 [place]
#include "place.h"
#include "plan.h"

typedef struct Remarks {
  const Graph *g;
  Diag *d;
  GroupList groups;
  Uses uses;
  uint32_t *number; // of the kernel that computes a value, 0: none
} Remarks;

static const Value *val(const Remarks *r, uint32_t id) {
  return &r->g->value.at[id];
}

static uint32_t readers(const Remarks *r, uint32_t id) {
  return r->uses.start[id + 1] - r->uses.start[id];
}

static bool is_output(const Remarks *r, uint32_t id) {
  for (uint32_t u = r->uses.start[id]; u < r->uses.start[id + 1]; u++)
    if (r->uses.user[u] == UINT32_MAX) return true;
  return false;
}

static void put_value(const Remarks *r, uint32_t id, Buf *b) { // "linear (models/std.sy:10:10)"
  const Value *v = val(r, id);
  const char *path;
  uint32_t line, column;
  buf_puts(b, op_info[v->op].name);
  if (diag_place(r->d, value_place(v), &path, &line, &column)) buf_printf(b, " (%s:%u:%u)", path, line, column);
}

/* kernels ------------------------------------------------------------------------------------------------------------
 */
static bool is_part(const Remarks *r, uint32_t id) {
  for (uint32_t u = r->uses.start[id]; u < r->uses.start[id + 1]; u++)
    if (r->uses.user[u] != UINT32_MAX && val(r, r->uses.user[u])->op == OP_concat) return true;
  return false;
}

// Why a view is a kernel of its own.
static const char *copied_because(const Remarks *r, uint32_t id) {
  uint32_t from = val(r, id)->args[0].id;
  while ((op_info[val(r, from)->op].flags & F_VIEW) && !val(r, from)->group) from = val(r, from)->args[0].id;
  if (!is_part(r, id) && !is_output(r, id)) return "no strides express this view";
  const char *why = is_part(r, id) ? "its rows must lie in the concat" : "an output is memory of its own";
  if (op_info[val(r, from)->op].flags & F_SOURCE || graph_residency(r->g, (Val){from}) == RES_const)
    return arena_printf(r->g->module->arena, "%s, and %s is stored elsewhere", why, op_info[val(r, from)->op].name);
  if (readers(r, from) > 1) return arena_printf(r->g->module->arena, "%s, and %%%u has other readers", why, from);
  return why;
}

static void say_kernel(const Remarks *r, const Group *grp) {
  if (op_info[val(r, grp->root.id)->op].flags & F_VIEW) {
    diag_remark(r->d, "fuse", value_place(val(r, grp->root.id)), "@%s: kernel %u is a copy (%s): %s", r->g->name,
                r->number[grp->root.id], op_info[val(r, grp->root.id)->op].name, copied_because(r, grp->root.id));
    return;
  }
  Buf b = {0};
  uint32_t first = grp->anchor.id ? grp->anchor.id : grp->member.at[0].id;
  const char *with = " with ";
  put_value(r, first, &b);
  for (size_t i = 0; i < grp->member.n; i++) {
    if (grp->member.at[i].id == first) continue;
    buf_puts(&b, with);
    put_value(r, grp->member.at[i].id, &b);
    with = ", ";
  }
  diag_remark(r->d, "fuse", value_place(val(r, grp->root.id)), "@%s: kernel %u is %s%s", r->g->name,
              r->number[grp->root.id], b.s, grp->member.n == 1 ? ", nothing else" : "");
  buf_free(&b);
}

static bool same_shape(const Type *a, const Type *b) {
  if (a->rank != b->rank) return false;
  for (int d = 0; d < a->rank; d++)
    if (!dim_equal(a->dim[d], b->dim[d])) return false;
  return true;
}

// Why `id`, the first of its kernel, is not computed with its operand `arg`, which another kernel stores; NULL: nothing
// to say.
static const char *apart_because(const Remarks *r, uint32_t id, uint32_t arg, Buf *b) {
  const Value *v = val(r, id), *x = val(r, arg);
  uint32_t flags = op_info[v->op].flags, from = op_info[x->op].flags;
  if (is_output(r, arg)) return "it is an output, so it is stored";
  if (readers(r, arg) > 1) return buf_printf(b, "%u values read it, so it is stored", readers(r, arg)), b->s;
  if (from & F_VIEW) return "it is a copy that another layout needs";
  if (flags & F_ELEMENTWISE) {
    if (from & F_ATTENTION) return "an attention stores its rows itself";
    if (from & F_WRITES) return "a state is changed in place";
    return same_shape(&v->type, &x->type) ? NULL : "its shape differs";
  }
  if ((flags & F_ROWWISE) && !(flags & F_CONTRACTION) && (from & (F_CONTRACTION | F_ATTENTION | F_ROWWISE)))
    return "a row operator needs whole rows, which are there only when that kernel is done";
  return NULL;
}

static void say_apart(const Remarks *r, const Group *grp) {
  for (size_t m = 0; m < grp->member.n; m++) {
    uint32_t id = grp->member.at[m].id;
    const Value *v = val(r, id);
    bool first = true;
    for (uint32_t i = 0; i < value_operands(v); i++) first = first && val(r, v->args[i].id)->group != grp->id;
    for (uint32_t i = 0; first && i < value_operands(v); i++) {
      uint32_t arg = v->args[i].id;
      Buf b = {0};
      const char *why = r->number[arg] ? apart_because(r, id, arg, &b) : NULL;
      if (why)
        diag_remark(r->d, "fuse", value_place(v), "@%s: %s is not fused with what computes %%%u (%s): %s", r->g->name,
                    op_info[v->op].name, arg, op_info[val(r, arg)->op].name, why);
      buf_free(&b);
    }
  }
}

/* places -------------------------------------------------------------------------------------------------------------
 */
// The value that had some of the place last, before l.
static const Live *before(const Remarks *r, const LiveList *list, const Live *l) {
  int64_t at = val(r, l->val.id)->place.offset;
  const Live *best = NULL;
  for (size_t i = 0; i < list->n; i++) {
    const Live *o = &list->at[i];
    const Place *p = &val(r, o->val.id)->place;
    if (p->kind != PLACE_ARENA || o->last >= l->first || p->offset >= at + l->bytes || at >= p->offset + o->bytes)
      continue;
    if (!best || o->last > best->last) best = o;
  }
  return best;
}

static void say_place(const Remarks *r, const LiveList *list, const Live *l) {
  const Value *v = val(r, l->val.id);
  Buf b = {0};
  if (v->place.kind == PLACE_OUTPUT) {
    buf_printf(&b, "is output \"%s\": the caller's memory", r->g->output.at[v->place.index].name);
  } else {
    const Live *o = before(r, list, l);
    buf_printf(&b, "lies at %lld of the arena, %lld bytes, kernels %u to %u: ", (long long)v->place.offset,
               (long long)l->bytes, l->first + 1, l->last + 1);
    if (o)
      buf_printf(&b, "where %%%u was until kernel %u", o->val.id, o->last + 1);
    else
      buf_puts(&b, "nothing was there before");
  }
  diag_remark(r->d, "place", value_place(v), "@%s: %%%u (%s) %s", r->g->name, l->val.id, op_info[v->op].name, b.s);
  buf_free(&b);
}

static void say_places(const Remarks *r, Arena *scratch) {
  LiveList list = place_live(r->g, scratch);
  for (size_t i = 0; i < list.n; i++) say_place(r, &list, &list.at[i]);
  for (uint32_t id = 1; id < r->g->value.n; id++) {
    const Value *v = val(r, id);
    if (!v->dead && v->alias.id)
      diag_remark(r->d, "place", value_place(v),
                  "@%s: %%%u (%s) is written into its rows of concat %%%u: nothing is copied", r->g->name, id,
                  op_info[v->op].name, v->alias.id);
  }
}

void plan_remarks(const Graph *g, PlanStage stage) {
  Arena scratch = {0};
  Remarks r = {.g = g, .d = g->module->diag, .groups = groups_collect(g, &scratch), .uses = graph_uses(g, &scratch)};
  r.number = ARENA_ARRAY(&scratch, uint32_t, g->value.n);
  for (size_t i = 0; i < r.groups.n; i++) r.number[r.groups.at[i].root.id] = (uint32_t)i + 1;
  for (size_t i = 0; stage >= PLAN_GROUPS && i < r.groups.n; i++) {
    say_kernel(&r, &r.groups.at[i]);
    say_apart(&r, &r.groups.at[i]);
  }
  if (stage >= PLAN_PLACES) say_places(&r, &scratch);
  arena_free(&scratch);
}
