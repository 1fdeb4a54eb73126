// explain_step.c: what a step of an objective with gradients does and keeps, in `syc explain --objective NAME`.
//
//   a step: forward 1.040 GFLOP, backward 2.077, computed again 0.003, update 0.001; state 1.73 MB
//   kept for the backward pass: 34 values, 2.91 MB
//
// A launch is of the forward pass if something else than a gradient needs its result. One of the backward pass computes
// again what has a twin in the forward pass: an equal operation on equal operands.
#include "explain.h"

#include "codegen/training.h"
#include "passes/place.h"

enum { UPDATE_OPERATIONS = 14 }; // of AdamW, for each element of a trained weight

typedef struct Sides { // by value
  bool *forward, *again;
  Val *twin;
} Sides;

static void find_forward(const Graph *g, bool *forward) {
  for (size_t i = 0; i < g->output.n; i++)
    if (g->output.at[i].role != ROLE_gradient) forward[g->output.at[i].val.id] = true;
  for (uint32_t id = (uint32_t)g->value.n - 1; id > 0; id--)
    for (uint32_t i = 0; forward[id] && i < g->value.at[id].nargs; i++) forward[g->value.at[id].args[i].id] = true;
}

static Val twin_of(const Graph *g, const Sides *s, uint32_t id, Arena *scratch) {
  Value v = g->value.at[id];
  Val *args = ARENA_ARRAY(scratch, Val, v.nargs + 1);
  for (uint32_t i = 0; i < v.nargs; i++)
    if (!(args[i] = s->twin[v.args[i].id]).id) return NO_VAL;
  v.args = args;
  for (uint32_t k = 1; k < id; k++)
    if (s->forward[k] && g->value.at[k].op == v.op && value_same(&g->value.at[k], &v)) return (Val){k};
  return NO_VAL;
}

static Sides sides_of(const Graph *g, Arena *scratch) {
  Sides s = {ARENA_ARRAY(scratch, bool, g->value.n), ARENA_ARRAY(scratch, bool, g->value.n),
             ARENA_ARRAY(scratch, Val, g->value.n)};
  find_forward(g, s.forward);
  for (uint32_t id = 1; id < g->value.n; id++) {
    bool shared = s.forward[id] || (op_info[g->value.at[id].op].flags & F_SOURCE);
    s.twin[id] = shared ? (Val){id} : twin_of(g, &s, id, scratch);
    s.again[id] = !shared && s.twin[id].id;
  }
  return s;
}

static bool has_gradients(const Graph *g) {
  for (size_t i = 0; i < g->output.n; i++)
    if (g->output.at[i].role == ROLE_gradient) return true;
  return false;
}

static void count_kept(const Graph *g, const Sides *s, Arena *scratch, StepFacts *f) {
  GroupList groups = groups_collect(g, scratch);
  LiveList live = place_live(g, scratch);
  for (size_t i = 0; i < live.n; i++) {
    const Live *l = &live.at[i];
    if (l->outside || !s->forward[l->val.id] || s->forward[groups.at[l->last].root.id]) continue;
    f->kept++;
    f->kept_bytes += l->bytes;
  }
}

bool explain_step(const Facts *facts, const RouteProgram *r, StepFacts *f) {
  const Graph *g = r->graph;
  Arena scratch = {0};
  *f = (StepFacts){0};
  if (!g->objective || !has_gradients(g)) return false;
  Sides s = sides_of(g, &scratch);
  for (size_t i = 0; i < r->step.n; i++) {
    uint32_t root = r->step.at[i].root.id;
    double *sum = s.forward[root] ? &f->forward : s.again[root] ? &f->again : &f->backward;
    *sum += r->step.at[i].flops;
  }
  count_kept(g, &s, &scratch, f);
  if (program_trains(facts->program)) {
    Training t = program_training(facts->program, &scratch);
    uint64_t part[MDL__PARTS];
    training_parts(facts->program, &t, part);
    f->update = UPDATE_OPERATIONS * (double)t.slots;
    f->state_bytes = (int64_t)part[MDL__ADDED];
  }
  arena_free(&scratch);
  return true;
}

void explain_step_print(const Facts *facts, const RouteProgram *r) {
  StepFacts f;
  if (!explain_step(facts, r, &f)) return;
  printf("    a step: forward %.3f GFLOP, backward %.3f, computed again %.3f, update %.3f (AdamW); state %.2f MB\n",
         f.forward / 1e9, f.backward / 1e9, f.again / 1e9, f.update / 1e9, (double)f.state_bytes / 1e6);
  printf("    kept for the backward pass: %zu values, %.2f MB at the bounds\n", f.kept, (double)f.kept_bytes / 1e6);
}

void explain_step_json(const Facts *facts, const RouteProgram *r, Json *j) {
  StepFacts f;
  if (!explain_step(facts, r, &f)) return;
  json_object(j, "step");
  json_double(j, "forward_flops", f.forward);
  json_double(j, "backward_flops", f.backward);
  json_double(j, "again_flops", f.again);
  json_double(j, "update_flops", f.update);
  json_unsigned(j, "kept_values", f.kept);
  json_integer(j, "kept_bytes", f.kept_bytes);
  json_integer(j, "state_bytes", f.state_bytes);
  json_end(j);
}
