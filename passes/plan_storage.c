// plan_storage.c: proves rows and places (plan.h), and says how far a plan is.
//
// Rows: only what is stored has a pitch. A part of a stored concat lies in it, at exactly the rows that concat gives
// it, so parts are disjoint and inside; nothing else lies in another value. Places: inputs, outputs and states are
// where their ports say, each other stored value has a range of the arena that no value shares which lives at the same
// time, and nothing else has a place.
#include "place.h"
#include "plan.h"

#include <string.h>

static const int64_t MOST_ELEMENTS = (int64_t)1 << 40; // of a tensor (ir/type.c), padded rows included
static const int64_t MOST_ARENA = (int64_t)1 << 46;

/* stages -------------------------------------------------------------------------------------------------------- */
PlanStage plan_stage(size_t npasses) {
  static const struct {
    const char *pass;
    PlanStage stage;
  } made[] = {{"fuse", PLAN_GROUPS}, {"layout", PLAN_STORAGE}, {"place", PLAN_PLACES}};
  PlanStage stage = PLAN_NONE;
  for (size_t i = 0; i < npasses && i < pass_count; i++)
    for (size_t k = 0; k < sizeof made / sizeof *made; k++)
      if (!strcmp(pass_list[i].name, made[k].pass)) stage = made[k].stage;
  return stage;
}

size_t plan_drop(Graph *g, PlanStage keep) {
  size_t dropped = 0;
  for (uint32_t id = 1; id < g->value.n; id++) {
    Value *v = &g->value.at[id];
    bool group = keep < PLAN_GROUPS && v->group;
    bool rows = keep < PLAN_STORAGE && (v->pitch || v->alias.id || v->alias_offset);
    bool place = keep < PLAN_PLACES && v->place.kind != (v->alias.id ? PLACE_ALIAS : PLACE_NONE);
    if (keep < PLAN_GROUPS) v->group = 0;
    if (keep < PLAN_STORAGE) v->pitch = 0, v->alias = NO_VAL, v->alias_offset = 0;
    if (keep < PLAN_PLACES) v->place = (Place){.kind = v->alias.id ? PLACE_ALIAS : PLACE_NONE};
    dropped += group || rows || place;
  }
  return dropped;
}

/* rows ---------------------------------------------------------------------------------------------------------- */
// Where a part must lie: filled from the concats, the outer ones first.
typedef struct Home {
  uint32_t concat;
  int64_t shift;
} Home;

static bool check_home(Plan *p, uint32_t id, const Home *home) {
  const Value *v = graph_value(p->g, (Val){id});
  if (v->alias.id == home->concat && v->alias_offset == home->shift) return true;
  if (!home->concat) return plan_fault(p, id, "is no part of %%%u and cannot lie in it", v->alias.id);
  return plan_fault(p, id, "is a part of concat %%%u and must lie there: in %%%u shift %lld", home->concat,
                    home->concat, (long long)home->shift);
}

static void place_parts(const Plan *p, uint32_t concat, Home *home) {
  const Value *c = graph_value(p->g, (Val){concat});
  int axis = (int)value_int(c, A_axis, 0);
  int64_t stride = access_resolve(p->g, (Val){concat}).stride[axis], at = 0;
  for (uint32_t i = 0; i < c->nargs; i++) {
    home[c->args[i].id] = (Home){concat, at * stride};
    at += type_extent(p->g->module, &graph_value(p->g, c->args[i])->type, axis);
  }
}

static bool check_pitch(Plan *p, uint32_t id) {
  const Value *v = graph_value(p->g, (Val){id});
  if (!v->pitch) return true;
  if (!plan_is_stored(p, id)) return plan_fault(p, id, "is not stored, so its rows have no pitch");
  if (v->alias.id) return plan_fault(p, id, "lies in a concat, whose pitch counts");
  int64_t rows = 1, n;
  for (int d = 0; d + 1 < v->type.rank; d++) rows *= type_extent(p->g->module, &v->type, d);
  if (__builtin_mul_overflow(rows, v->pitch, &n) || n > MOST_ELEMENTS)
    return plan_fault(p, id, "the pitch is too large");
  return true;
}

bool plan_check_storage(Plan *p) {
  Home *home = ARENA_ARRAY(&p->scratch, Home, p->g->value.n);
  for (uint32_t id = (uint32_t)p->g->value.n; id-- > 1;) {
    const Value *v = graph_value(p->g, (Val){id});
    if (v->dead) continue;
    if (!check_home(p, id, &home[id]) || !check_pitch(p, id)) return false;
    if (v->op == OP_concat && plan_is_stored(p, id)) place_parts(p, id, home);
  }
  for (uint32_t id = 1; id < p->g->value.n; id++) { // a pitch may have taken the strides of a view away
    const Value *v = graph_value(p->g, (Val){id});
    if (v->dead || v->group || p->packed[id] || !(op_info[v->op].flags & F_VIEW)) continue;
    if (!access_resolve(p->g, (Val){id}).ok && !panels_alone(p->g, (Val){id}))
      return plan_fault(p, id, "no strides express this view of padded rows: take the pitch away, or make it a copy");
  }
  return true;
}

/* places -------------------------------------------------------------------------------------------------------- */
// The place that a value must have; PLACE_ARENA: some offset.
static Place *wanted_places(const Plan *p) {
  const Graph *g = p->g;
  Place *want = ARENA_ARRAY((Arena *)&p->scratch, Place, g->value.n);
  for (uint32_t id = 1; id < g->value.n; id++)
    if (plan_is_stored(p, id)) want[id].kind = graph_value(g, (Val){id})->alias.id ? PLACE_ALIAS : PLACE_ARENA;
  for (size_t i = 0; i < g->input.n; i++) want[g->input.at[i].val.id] = (Place){PLACE_INPUT, (uint32_t)i, 0};
  for (size_t i = 0; i < g->output.n; i++) want[g->output.at[i].val.id] = (Place){PLACE_OUTPUT, (uint32_t)i, 0};
  for (size_t i = 0; i < g->output.n; i++) // a state is where its output is
    if (g->output.at[i].state.id) want[g->output.at[i].state.id] = (Place){PLACE_OUTPUT, (uint32_t)i, 0};
  for (uint32_t id = 1; id < g->value.n; id++) // and so is what writes make of it
    if (op_info[g->value.at[id].op].flags & F_WRITES) want[id] = want[g->value.at[id].args[0].id];
  return want;
}

static bool check_place(Plan *p, uint32_t id, const Place *want, int64_t bytes) {
  const Place *have = &graph_value(p->g, (Val){id})->place;
  if (want->kind == PLACE_ARENA && have->kind == PLACE_ARENA)
    return have->offset <= MOST_ARENA - bytes || plan_fault(p, id, "lies beyond the largest arena");
  if (want->kind == have->kind && want->index == have->index && want->offset == have->offset) return true;
  static const char *const must[] = {[PLACE_NONE] = "is not stored and has no place",
                                     [PLACE_ARENA] = "is stored and needs an offset in the arena (at INT)",
                                     [PLACE_ALIAS] = "lies in a concat and has no place of its own",
                                     [PLACE_WEIGHT] = ""};
  if (want->kind == PLACE_INPUT || want->kind == PLACE_OUTPUT)
    return plan_fault(p, id, "must lie at %s %u", want->kind == PLACE_INPUT ? "input" : "output", want->index);
  return plan_fault(p, id, "%s", must[want->kind]);
}

bool plan_check_places(Plan *p) {
  const Graph *g = p->g;
  const Place *want = wanted_places(p);
  LiveList live = place_live(g, &p->scratch);
  int64_t *bytes = ARENA_ARRAY(&p->scratch, int64_t, g->value.n);
  for (size_t i = 0; i < live.n; i++) bytes[live.at[i].val.id] = live.at[i].bytes;
  for (uint32_t id = 1; id < g->value.n; id++)
    if (!graph_value(g, (Val){id})->dead && !check_place(p, id, &want[id], bytes[id])) return false;
  Val a, b;
  return place_check(g, &a, &b) || plan_fault(p, b.id, "shares memory with %%%u while both are in use", a.id);
}

/* all of it ----------------------------------------------------------------------------------------------------- */
static void count_uses(Plan *p) {
  const Graph *g = p->g;
  for (uint32_t id = 1; id < g->value.n; id++) {
    const Value *v = &g->value.at[id];
    if (v->dead) continue;
    for (uint32_t i = 0; i < v->nargs; i++) {
      uint32_t arg = v->args[i].id;
      p->uses[arg]++;
      p->outside[arg] = p->outside[arg] || p->group[arg] != p->group[id];
    }
    p->packed[id] = graph_is_packed(g, (Val){id});
  }
  for (size_t i = 0; i < g->output.n; i++) p->uses[g->output.at[i].val.id]++, p->outside[g->output.at[i].val.id] = true;
}

bool plan_verify(const Graph *g, PlanStage stage, PlanFault *fault) {
  *fault = (PlanFault){0};
  if (stage == PLAN_NONE) return true;
  Plan p = {.g = g, .fault = fault};
  p.groups = groups_collect(g, &p.scratch);
  p.group = ARENA_ARRAY(&p.scratch, const Group *, g->value.n);
  p.packed = ARENA_ARRAY(&p.scratch, bool, g->value.n);
  p.outside = ARENA_ARRAY(&p.scratch, bool, g->value.n);
  p.uses = ARENA_ARRAY(&p.scratch, uint32_t, g->value.n);
  for (size_t i = 0; i < p.groups.n; i++)
    for (size_t k = 0; k < p.groups.at[i].member.n; k++) p.group[p.groups.at[i].member.at[k].id] = &p.groups.at[i];
  count_uses(&p);
  bool ok = plan_check_groups(&p) && (stage < PLAN_STORAGE || plan_check_storage(&p)) &&
            (stage < PLAN_PLACES || plan_check_places(&p));
  arena_free(&p.scratch);
  return ok;
}
