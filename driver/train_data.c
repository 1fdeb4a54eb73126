// train_data.c: the sources of a training, and the batches that each of its objectives takes from them.
#include "train_run.h"

#include "common/progress.h"

#include <stdlib.h>
#include <string.h>

bool train_host_failed(TrainRun *r, const HostError *e) {
  return session_fail(r->s, EXIT_IO, "%s", e->text), false;
}

static void name_bad(void *ud, uint32_t sample, const char *why) {
  TrainRun *r = ud;
  (void)sample;
  if (r->log.bar) progress_clear();
  ranks_note(&r->ranks, "syc: warning: left out: %s", why);
}

// The shares of the sources, or NULL where none are asked for. False after reporting.
static bool read_shares(TrainRun *r, const unsigned **out) {
  const Options *o = &r->s->opt;
  const char *at = o->shares;
  if (!at) return true;
  unsigned *share = ARENA_ARRAY(&r->s->arena, unsigned, o->data.n + 1);
  for (size_t i = 0; i < o->data.n; i++) {
    char *end;
    long v = strtol(at, &end, 10);
    bool last = i + 1 == o->data.n;
    if (end == at || v < 1 || v > 1000 || *end != (last ? 0 : ','))
      return session_fail(r->s, EXIT_USAGE, "--shares %s: takes a number from 1 to 1000 for each of the %zu --data",
                          o->shares, o->data.n),
             false;
    share[i] = (unsigned)v;
    at = end + 1;
  }
  *out = share;
  return true;
}

bool train_open_data(TrainRun *r) {
  const Options *o = &r->s->opt;
  HostError err = {.text = ""};
  DataOptions *data = ARENA_NEW(&r->s->arena, DataOptions), *val = ARENA_NEW(&r->s->arena, DataOptions);
  double megabytes = 0;
  if (!option_number(r->s, "cache", o->cache, 0, 1e9, &megabytes)) return false;
  if (o->labels && !host_labels_load(o->labels, &r->labels, &err)) return train_host_failed(r, &err);
  *data = (DataOptions){.root = o->root, .labels = o->labels ? &r->labels : NULL};
  const unsigned *share = NULL;
  if (!read_shares(r, &share)) return false;
  r->data = data_open(o->data.at, share, o->data.n, data, &err);
  if (!r->data) return train_host_failed(r, &err);
  *val = (DataOptions){.root = o->root, .split = "t10k", .labels = data_classes(r->data)};
  if (!val->labels->count) val->labels = NULL;
  r->val = o->val.n ? data_open(o->val.at, NULL, o->val.n, val, &err) : NULL;
  if (o->val.n && !r->val) return train_host_failed(r, &err);
  r->how = (BatchOptions){.seed = (uint64_t)o->seed,
                          .rows = (size_t)r->plan.rows,
                          .train = true,
                          .limit = o->overfit == INT_UNSET ? 0 : (uint32_t)o->overfit,
                          .per_step = r->plan.calls,
                          .vocabulary = o->vocab,
                          .answers = o->labels ? &r->labels : NULL,
                          .workers = o->workers == INT_UNSET ? 1 : (unsigned)o->workers,
                          .cache = (size_t)(megabytes * 1e6),
                          .strict = o->strict,
                          .bad = name_bad,
                          .ud = r};
  return true;
}

static BatchWants wants_of(const sy_info *info, const sy_route *route) {
  return (BatchWants){.input = route->input,
                      .ninput = route->ninput,
                      .dim = info->dim,
                      .ndim = info->ndim,
                      .prepare = info->prepare,
                      .nprepare = info->nprepare};
}

// Buffers of the inputs and outputs of an objective that the data do not fill.
static void make_buffers(TrainRun *r, TrainObjective *x, StrList *given) {
  Session *s = r->s;
  const Graph *g = x->graph;
  x->in = ARENA_ARRAY(&s->arena, const void *, g->input.n + 1);
  x->out = ARENA_ARRAY(&s->arena, void *, g->output.n + 1);
  for (size_t k = 0; k < g->input.n; k++)
    if (g->input.at[k].role == ROLE_noise) {
      VEC_PUSH(&s->arena, *given, g->input.at[k].name);
      x->in[k] = x->noise = ARENA_ARRAY(&s->arena, int32_t, 4);
    }
  for (size_t k = 0, n = 0; x->route && k < g->output.n; k++)
    if (g->output.at[k].role == ROLE_data) x->out[n++] = check_zeros(&r->c, x->route->output[k].bytes);
}

bool train_open_objective(TrainRun *r, size_t i) {
  Session *s = r->s;
  TrainObjective *x = &r->objective[i];
  const sy_info *info = r->t.run.model ? r->t.run.model->info : NULL;
  HostError err = {.text = ""};
  for (size_t k = 0; k < r->t.training.objective.n; k++) {
    size_t at = r->t.training.objective.at[k].route;
    const Graph *g = r->p->route.at[at].graph;
    if (strcmp(g->name, r->stage.objective.at[i].name) != 0) continue;
    *x = (TrainObjective){.graph = g, .at = at, .route = info ? &info->route[at] : NULL, .number = (unsigned)k};
  }
  CHECK(x->graph != NULL);
  BatchOptions how = r->how;
  StrList given = {0};
  make_buffers(r, x, &given);
  how.given = given.at, how.ngiven = given.n;
  how.first = r->t.train ? r->t.f->step(r->t.train) * r->plan.calls + r->plan.first : 0;
  how.run = r->plan.own, how.stride = r->plan.calls;
  BatchWants *wants = ARENA_NEW(&s->arena, BatchWants);
  if (info)
    *wants = wants_of(info, x->route);
  else if (!batch_wants(&s->arena, r->m, x->graph, wants, &err))
    return train_host_failed(r, &err);
  x->batches = batches_open(r->data, wants, r->stage.input.at, r->stage.input.n, &how, &err);
  return x->batches ? true : train_host_failed(r, &err);
}
