// train_eval.c: see train.h. It compiles a program of its own: objectives without gradients, with everything folded
// into the weights that an update would forbid, and without dropout.
#include "train.h"

#include <math.h>
#include <string.h>

/* the program
 * ---------------------------------------------------------------------------------------------------------------- */

static const Graph *graph_named(const Module *m, const char *name, bool objective) {
  for (size_t i = 0; i < m->graph.n; i++)
    if (m->graph.at[i]->objective == objective && !strcmp(m->graph.at[i]->name, name)) return m->graph.at[i];
  return NULL;
}

static const Port *input_of(const Graph *g, const char *name) {
  for (size_t i = 0; i < g->input.n; i++)
    if (!strcmp(g->input.at[i].name, name)) return &g->input.at[i];
  return NULL;
}

static bool shows_classes(const Module *m, const char *output) {
  for (size_t i = 0; i < m->prepare.n; i++)
    if (!strcmp(m->prepare.at[i].name, output) && !strcmp(m->prepare.at[i].kind, "labels")) return true;
  return false;
}

// Is this the route whose scores the objective teaches: it reads the objective's inputs, all but one i32[B]?
static bool scores(const Module *m, const Graph *route, const Graph *objective, unsigned *label) {
  const Port *out = &route->output.at[0];
  if (route->objective || graph_value(route, out->val)->type.rank != 2 || !shows_classes(m, out->name)) return false;
  for (size_t i = 0; i < route->input.n; i++)
    if (!input_of(objective, route->input.at[i].name)) return false;
  size_t labels = 0;
  for (size_t i = 0; i < objective->input.n; i++) {
    const Type *t = &graph_value(objective, objective->input.at[i].val)->type;
    if (input_of(route, objective->input.at[i].name) || t->dtype != DT_I32 || t->rank != 1) continue;
    *label = (unsigned)i;
    labels++;
  }
  return labels == 1;
}

// All routes of the page, for the one that can be measured. Nothing is reported: pages have routes that some parameters
// forbid.
typedef struct Search {
  const Graph *objective;
  const char *found;
  unsigned label;
} Search;

static void look_at(void *ud, const Module *m) {
  Search *x = ud;
  for (size_t i = 0; i < m->graph.n && !x->found; i++)
    if (scores(m, m->graph.at[i], x->objective, &x->label)) x->found = m->graph.at[i]->name;
}

bool train_eval_open(TrainEval *e) {
  Session *s = e->s;
  const char *spec = s->opt.arg.at[0], *stage = s->opt.stage, *objective = s->opt.objective, *given = s->opt.given;
  Selection take = {0};
  for (size_t i = 0; i < e->stage->objective.n; i++)
    VEC_PUSH(&s->arena, take.objectives, e->stage->objective.at[i].name);
  for (size_t i = 0; i < e->stage->given.n; i++) VEC_PUSH(&s->arena, take.given, e->stage->given.at[i].glob);
  Search x = {.objective = graph_named(e->trained, take.objectives.at[0], true)};
  s->opt.gradients = s->opt.draws = false;
  s->opt.stage = s->opt.objective = s->opt.given = NULL;
  if (x.objective && take.objectives.n == 1) session_each_route(s, e->trained->name, look_at, &x);
  e->route = -1;
  if (x.found) {
    VEC_PUSH(&s->arena, take.routes, x.found);
    e->label = x.label;
    e->measure[e->nmeasure++] = "accuracy";
  }
  Module *m = session_module(s, spec, NULL, &take);
  s->opt.stage = stage, s->opt.objective = objective, s->opt.given = given;
  e->program = m ? session_program(s, m, &e->c->target, 1) : NULL;
  s->opt.gradients = s->opt.draws = true;
  if (!e->program || !runner_load(&e->run, e->c, e->program)) return false;
  for (size_t i = 0; i < e->program->route.n && e->nmeasure; i++)
    if (!e->program->route.at[i].graph->objective) e->route = (int)i;
  return true;
}

/* an evaluation
 * -------------------------------------------------------------------------------------------------------------- */

typedef struct Sums {
  double loss, right, samples;
} Sums;

static size_t best_of(const float *x, size_t n) {
  size_t best = 0;
  for (size_t i = 1; i < n; i++)
    if (x[i] > x[best]) best = i;
  return best;
}

static bool fail(TrainEval *e, sy_status status) {
  return session_fail(e->s, EXIT_WRONG, "the evaluation is refused: %s", sy_strerror((int)status)), false;
}

// The scores of a batch of the objective, compared with its labels.
static bool count_right(TrainEval *e, const sy_route *objective, const Batch *b, Arena *a, Sums *sum) {
  const sy_route *r = &e->run.model->info->route[e->route];
  const void **in = ARENA_ARRAY(a, const void *, r->ninput + 1);
  void **out = ARENA_ARRAY(a, void *, r->noutput + 1);
  for (unsigned i = 0; i < r->ninput; i++)
    for (unsigned k = 0; k < objective->ninput; k++)
      if (!strcmp(r->input[i].name, objective->input[k].name)) in[i] = b->in[k];
  for (unsigned i = 0; i < r->noutput; i++) out[i] = arena_alloc(a, r->output[i].bytes + 1);
  sy_status status = e->run.model->call(e->run.ctx, (unsigned)e->route, b->dims, in, out);
  if (status) return fail(e, status);
  size_t classes = (size_t)r->output[0].axis[1].bound;
  const int32_t *label = b->in[e->label];
  for (size_t i = 0; i < b->rows; i++)
    sum->right += best_of((const float *)out[0] + i * classes, classes) == (size_t)label[i];
  return true;
}

static const sy_route *route_named(const TrainEval *e, const char *name, unsigned *number) {
  const sy_info *info = e->run.model->info;
  for (unsigned i = 0; i < info->nroute; i++)
    if (!strcmp(info->route[i].name, name) && e->program->route.at[i].graph->objective)
      return *number = i, &info->route[i];
  ICE("no objective %s in the evaluation", name);
}

static bool run_objective(TrainEval *e, size_t i, double weight, Sums *sum) {
  const sy_info *info = e->run.model->info;
  unsigned number;
  const sy_route *r = route_named(e, e->stage->objective.at[i].name, &number);
  BatchWants wants = {r->input, r->ninput, info->dim, info->ndim, info->prepare, info->nprepare};
  BatchOptions how = e->options;
  HostError err = {.text = ""};
  const Batch *b;
  how.train = false, how.first = 0, how.limit = 0;
  Batches *all = batches_open(e->data, &wants, e->stage->input.at, e->stage->input.n, &how, &err);
  bool ok = all || (session_fail(e->s, EXIT_IO, "--val: %s", err.text), false);
  while (ok) {
    Arena a = {0};
    if (!batches_next(all, &b, &err)) ok = (session_fail(e->s, EXIT_IO, "--val: %s", err.text), false);
    if (!ok || !b) break;
    void **out = ARENA_ARRAY(&a, void *, r->noutput + 1);
    for (unsigned k = 0; k < r->noutput; k++) out[k] = arena_alloc(&a, r->output[k].bytes + 1);
    sy_status status = e->run.model->call(e->run.ctx, number, b->dims, (const void *const *)b->in, out);
    if (status) ok = fail(e, status);
    if (ok) sum->loss += weight * (double)*(const float *)out[0] * (double)b->rows;
    if (ok && i == 0) sum->samples += (double)b->rows;
    if (ok && i == 0 && e->route >= 0) ok = count_right(e, r, b, &a, sum);
    arena_free(&a);
  }
  batches_close(all);
  return ok;
}

bool train_eval_run(TrainEval *e, const char *weights, double *value) {
  Session *s = e->s;
  const char *packed = arena_printf(&s->arena, "%s/evaluated", e->c->temp);
  Checkpoint from = {0};
  Sums sum = {0};
  bool quiet = s->opt.quiet;
  s->opt.quiet = true; // no bar for each evaluation
  bool ok = checkpoint_open(s, &from, &weights, 1) && weights_pack(s, e->program, packed, &from);
  s->opt.quiet = quiet;
  checkpoint_close(&from);
  ok = ok && runner_start(&e->run, e->c, packed);
  for (size_t i = 0; ok && i < e->stage->objective.n; i++)
    ok = run_objective(e, i, e->stage->objective.at[i].weight, &sum);
  runner_stop(&e->run);
  remove(packed);
  value[0] = sum.loss / sum.samples;
  if (e->route >= 0) value[1] = sum.right / sum.samples;
  return ok;
}

void train_eval_close(TrainEval *e) {
  if (e->run.model) runner_close(&e->run);
}
