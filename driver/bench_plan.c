// bench_plan.c: the half of `syc bench` that compiles: library (plain and with the trace hook), packed weights,
// run-time dims, operations of each step. It runs in a child process, which sends a BenchPlan through a pipe and ends;
// so the peak memory that the parent reports is that of the model.
//
// Packed weights lie in the cache (cached.c), made-up ones too: the seed is an option.
#include "bench.h"
#include "codegen/model_facts.h"
#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* packed weights ------------------------------------------------------------------------------------------------------
 */
static bool made_up(Session *s, const char *spec, Checkpoint *c) {
  const char *dir = temp_dir(s, NULL);
  Module *m = dir ? session_module(s, spec, NULL, NULL) : NULL; // as elaborated: the passes have changed the other
  if (!m) return false;
  const char *file = arena_printf(&s->arena, "%s/weights", dir);
  return weights_init(s, m, s->opt.seed == INT_UNSET ? 1 : s->opt.seed, file) && checkpoint_open(s, c, &file, 1);
}

static const char *pack(Session *s, const Program *p, const char *spec) {
  const char *path = cached_weights_path(s, p);
  if (!path || file_is_ours(path)) return path;
  Checkpoint c = {0};
  bool ok = s->opt.weights.n ? checkpoint_open(s, &c, s->opt.weights.at, s->opt.weights.n) : made_up(s, spec, &c);
  ok = ok && checkpoint_check(s, &c, p, s->opt.weights.n > 0) && weights_pack(s, p, path, &c);
  checkpoint_close(&c);
  return ok ? path : NULL;
}

/* dims ----------------------------------------------------------------------------------------------------------------
 */
static bool dims_of_file(Session *s, const Graph *g, int64_t *dims) {
  Checkpoint c = {0};
  uint32_t known = 0;
  bool ok = checkpoint_open(s, &c, &s->opt.input, 1);
  for (size_t i = 0; i < g->input.n && ok; i++) {
    const char *name = g->input.at[i].name, *why = NULL;
    const StTensor *t = checkpoint_find(&c, name);
    if (!t) continue; // made up
    ok = layout_dims(g->module, &graph_value(g, g->input.at[i].val)->type, t, dims, &known, &why);
    if (!ok) session_fail(s, EXIT_WRONG, "%s: input '%s': %s", s->opt.input, name, why);
  }
  checkpoint_close(&c);
  return ok;
}

static bool choose_dims(Session *s, const Module *m, const Graph *g, int64_t *dims) {
  program_typical_dims(m, dims);
  int64_t batch = s->opt.batch == INT_UNSET ? 1 : s->opt.batch;
  for (size_t i = 0; i < g->input.n; i++) {
    const Type *t = &graph_value(g, g->input.at[i].val)->type;
    if (t->rank < 2 || !t->dim[0].k || t->dim[0].sym < 0) continue;
    const RuntimeDim *d = &m->dim[t->dim[0].sym];
    if (batch < d->lo || batch > d->hi) {
      session_fail(s, EXIT_USAGE, "--batch %lld: %s goes from %lld to %lld", (long long)batch, d->name,
                   (long long)d->lo, (long long)d->hi);
      return false;
    }
    dims[t->dim[0].sym] = batch;
  }
  return !s->opt.input || dims_of_file(s, g, dims);
}

/* the child -----------------------------------------------------------------------------------------------------------
 */
static void count_work(const Program *p, BenchPlan *plan) {
  const RouteProgram *r = &p->route.at[plan->route];
  plan->nstep = (uint32_t)(r->step.n < BENCH_STEPS ? r->step.n : BENCH_STEPS);
  Arena scratch = {0};
  GroupList groups = groups_collect(r->graph, &scratch); // one step for each, in this order
  for (size_t i = 0; i < r->step.n; i++) {
    double flops = group_work(r->graph, &groups.at[i], plan->dims).flops;
    if (i < BENCH_STEPS) plan->step_flops[i] = flops;
    plan->flops += flops;
  }
  arena_free(&scratch);
}

static void limit_ids(const Program *p, Arena *a, BenchPlan *plan) {
  const Graph *g = p->route.at[plan->route].graph;
  IdChecks ids = route_id_checks(&p->route.at[plan->route], a);
  plan->ninput = (uint32_t)(g->input.n < BENCH_INPUTS ? g->input.n : BENCH_INPUTS);
  for (size_t i = 0; i < ids.list.n; i++) {
    const IdCheck *c = &ids.list.at[i];
    int64_t limit = c->limit.c + (c->limit.k ? c->limit.k * plan->dims[c->limit.sym] : 0);
    if (c->at.kind != PLACE_INPUT || c->at.index >= BENCH_INPUTS) continue;
    int64_t *have = &plan->id_limit[c->at.index];
    if (!*have || limit < *have) *have = limit;
  }
}

static bool keep_path(Session *s, char dst[BENCH_PATH], const char *path) {
  if (!path) return false;
  if (snprintf(dst, BENCH_PATH, "%s%s", strchr(path, '/') ? "" : "./", path) < BENCH_PATH) return true;
  session_fail(s, EXIT_IO, "the path %s is too long", path);
  return false;
}

static bool make_plan(Session *s, const char *isa, BenchPlan *plan) {
  const Target *t[MAX_TARGETS];
  const char *spec = s->opt.arg.at[0];
  size_t n = session_targets(s, isa, t);
  if (n && !session_targets_run(s, t, n, NULL)) return false;
  Module *m = n ? module_for_weights(s, spec) : NULL;
  Program *p = m ? session_program(s, m, t, n) : NULL;
  if (!p) return false;
  if (p->route.n > 1 && !s->opt.routes && s->spec)
    session_note(s, "syc: note: measuring @%s; --routes chooses another", p->route.at[0].graph->name);
  else if (p->route.n > 1 && !s->opt.routes)
    session_note(s, "syc: note: measuring @%s, the first route of the graph IR", p->route.at[0].graph->name);
  if (!choose_dims(s, m, p->route.at[0].graph, plan->dims)) return false;
  const char *prefix = session_prefix(s, m);
  const char *so = cc_cached(s, p, prefix, CC_SO, NULL);
  if (!keep_path(s, plan->so, so) || !keep_path(s, plan->packed, pack(s, p, spec))) return false;
  char *flag = arena_printf(&s->arena, "-D%s_TRACE", prefix);
  for (char *c = flag + 2; *c; c++)
    if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
  VEC_PUSH(&s->arena, s->cc_flags, flag);
  if (!keep_path(s, plan->trace_so, cc_cached(s, p, prefix, CC_SO, NULL))) return false;
  count_work(p, plan);
  limit_ids(p, &s->arena, plan);
  return true;
}

static bool read_all(int fd, void *dst, size_t n) {
  for (size_t at = 0; at < n;) {
    ssize_t k = read(fd, (char *)dst + at, n - at);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return false;
    at += (size_t)k;
  }
  return true;
}

static bool write_all(int fd, const void *src, size_t n) {
  for (size_t at = 0; at < n;) {
    ssize_t k = write(fd, (const char *)src + at, n - at);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return false;
    at += (size_t)k;
  }
  return true;
}

bool bench_prepare(Session *s, const char *isa, BenchPlan *plan) {
  int fd[2];
  fflush(NULL);
  if (!cache_dir(s)) return false; // where it is a temporary one, it is this process's
  if (pipe(fd) != 0) return session_fail(s, EXIT_IO, "cannot make a pipe: %s", strerror(errno)), false;
  pid_t child = fork();
  if (child < 0) return session_fail(s, EXIT_IO, "cannot start a process: %s", strerror(errno)), false;
  if (child == 0) {
    close(fd[0]);
    *plan = (BenchPlan){0};
    bool ok = make_plan(s, isa, plan) && write_all(fd[1], plan, sizeof *plan);
    exit(ok ? EXIT_OK : s->exit_code ? s->exit_code : EXIT_IO); // exit: temporary folders go
  }
  close(fd[1]);
  bool ok = read_all(fd[0], plan, sizeof *plan);
  close(fd[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (!ok) s->exit_code = WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_ICE;
  return ok;
}
