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

// All routes of the page, for those that can be measured. Nothing is reported: pages have routes that some parameters
// forbid.
typedef struct Search {
  TrainEval *e;
  const Graph *objective[TRAIN_PARTS];
  size_t n;
} Search;

static void look_at(void *ud, const Module *m) {
  Search *x = ud;
  for (size_t i = 0; i < m->graph.n; i++)
    if (!m->graph.at[i]->objective) measures_look(x->e, m, m->graph.at[i], x->objective, x->n);
}

static bool is_taken(const Selection *take, const char *route) {
  for (size_t i = 0; i < take->routes.n; i++)
    if (!strcmp(take->routes.at[i], route)) return true;
  return false;
}

bool train_eval_open(TrainEval *e) {
  Session *s = e->s;
  const char *spec = s->opt.arg.at[0], *stage = s->opt.stage, *objective = s->opt.objective, *given = s->opt.given;
  Selection take = {0};
  Search x = {.e = e};
  if (!measures_wanted(e)) return false;
  for (size_t i = 0; i < e->stage->objective.n; i++) {
    VEC_PUSH(&s->arena, take.objectives, e->stage->objective.at[i].name);
    const Graph *g = graph_named(e->trained, e->stage->objective.at[i].name, true);
    if (g && x.n < TRAIN_PARTS) x.objective[x.n++] = g;
  }
  for (size_t i = 0; i < e->stage->given.n; i++) VEC_PUSH(&s->arena, take.given, e->stage->given.at[i].glob);
  s->opt.gradients = s->opt.draws = false;
  s->opt.stage = s->opt.objective = s->opt.given = NULL;
  session_each_route(s, e->trained->name, look_at, &x);
  bool ok = measures_found(e);
  for (size_t i = 0; i < MEASURES; i++)
    for (size_t k = 0; k < MEASURE_ROUTES; k++) {
      const char *route = e->what[i].info ? e->what[i].route[k] : NULL;
      if (route && !is_taken(&take, route)) VEC_PUSH(&s->arena, take.routes, route);
    }
  Module *m = ok ? session_module(s, spec, NULL, &take) : NULL;
  s->opt.stage = stage, s->opt.objective = objective, s->opt.given = given;
  e->program = m ? session_program(s, m, &e->c->target, 1) : NULL;
  s->opt.gradients = s->opt.draws = true;
  return e->program && runner_load(&e->run, e->c, e->program);
}

/* an evaluation
 * -------------------------------------------------------------------------------------------------------------- */

// The lines of the stage whose inputs are all among those that are wanted.
static size_t samplers_of(const TrainEval *e, const BatchWants *wants, StageInput *out) {
  size_t n = 0;
  for (size_t i = 0; i < e->stage->input.n; i++) {
    const StageInput *x = &e->stage->input.at[i];
    size_t found = 0;
    for (size_t k = 0; k < x->n; k++)
      for (unsigned j = 0; j < wants->ninput; j++) found += !strcmp(x->name[k], wants->input[j].name);
    if (found == x->n) out[n++] = *x;
  }
  return n;
}

bool train_eval_batches(TrainEval *e, const BatchWants *wants, size_t pick, TrainEach *each, void *ud) {
  Arena lists = {0};
  StageInput *sampler = ARENA_ARRAY(&lists, StageInput, e->stage->input.n + 1);
  size_t n = samplers_of(e, wants, sampler);
  BatchOptions how = e->options;
  HostError err = {.text = ""};
  const Batch *b;
  how.train = false, how.first = 0, how.limit = 0, how.pick = pick;
  Batches *all = batches_open(e->data, wants, sampler, n, &how, &err);
  bool ok = all || (session_fail(e->s, EXIT_IO, "--val: %s", err.text), false);
  while (ok) {
    Arena a = {0};
    if (!batches_next(all, &b, &err)) ok = (session_fail(e->s, EXIT_IO, "--val: %s", err.text), false);
    if (!ok || !b) break;
    ok = each(ud, b, &a);
    arena_free(&a);
  }
  batches_close(all);
  arena_free(&lists);
  return ok;
}

void **train_eval_call(TrainEval *e, unsigned route, const Batch *b, Arena *a) {
  const sy_route *r = &e->run.model->info->route[route];
  void **out = ARENA_ARRAY(a, void *, r->noutput + 1);
  for (unsigned k = 0; k < r->noutput; k++) out[k] = arena_alloc(a, r->output[k].bytes + 1);
  sy_status status = e->run.model->call(e->run.ctx, route, b->dims, (const void *const *)b->in, out);
  if (!status) return out;
  session_fail(e->s, EXIT_WRONG, "the evaluation is refused: %s%s", sy_strerror((int)status),
               status == SY_EINDEX ? ": an id or label is outside its table" : "");
  return NULL;
}

typedef struct Sums {
  TrainEval *e;
  unsigned route;
  double weight, loss, samples;
} Sums;

// Of the evaluation's program.
static const sy_route *route_named(const TrainEval *e, const char *name, unsigned *number) {
  const sy_info *info = e->run.model->info;
  for (unsigned i = 0; i < info->nroute; i++)
    if (!strcmp(info->route[i].name, name) && e->program->route.at[i].graph->objective)
      return *number = i, &info->route[i];
  ICE("no objective %s in the evaluation", name);
}

static bool add_loss(void *ud, const Batch *b, Arena *a) {
  Sums *sum = ud;
  void **out = train_eval_call(sum->e, sum->route, b, a);
  if (!out) return false;
  sum->loss += sum->weight * (double)*(const float *)out[0] * (double)b->rows;
  sum->samples += (double)b->rows;
  return true;
}

static bool run_objective(TrainEval *e, size_t i, double *loss) {
  const sy_info *info = e->run.model->info;
  Sums sum = {.e = e, .weight = e->stage->objective.at[i].weight};
  const sy_route *r = route_named(e, e->stage->objective.at[i].name, &sum.route);
  BatchWants wants = {r->input, r->ninput, info->dim, info->ndim, info->prepare, info->nprepare};
  if (!train_eval_batches(e, &wants, 0, add_loss, &sum)) return false;
  *loss += sum.loss / sum.samples;
  return true;
}

bool train_eval_run(TrainEval *e, const char *weights, double *value) {
  Session *s = e->s;
  const char *packed = arena_printf(&s->arena, "%s/evaluated", e->c->temp);
  Checkpoint from = {0};
  bool quiet = s->opt.quiet;
  s->opt.quiet = true; // no bar for each evaluation
  bool ok = checkpoint_open(s, &from, &weights, 1) && weights_pack(s, e->program, packed, &from);
  s->opt.quiet = quiet;
  checkpoint_close(&from);
  ok = ok && runner_start(&e->run, e->c, packed);
  value[0] = 0;
  for (size_t i = 0; ok && i < e->stage->objective.n; i++) ok = run_objective(e, i, &value[0]);
  ok = ok && measures_run(e, value + 1);
  runner_stop(&e->run);
  remove(packed);
  return ok;
}

bool train_eval_better(const TrainEval *e, double value, double than) {
  if (isnan(than)) return true;
  return e->best ? value > than : value < than;
}

void train_eval_close(TrainEval *e) {
  if (e->run.model) runner_close(&e->run);
  arena_free(&e->shown_arena);
}
