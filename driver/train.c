// train.c: `syc train`: a stage of a page, or an objective, on data.
//
//   spec, stage -> module with gradients -> program -> state (trainer.h)     data -> batches (data/batch.h)
//     for each step: for each of its calls: a batch, losses and gradients;   the update;  the log;  now and then a
//     checkpoint, an evaluation
//
// Several processes (ranks.h) share the calls of a step: each makes a run of them, the update adds the gradients of
// all. The first has the folder, says what there is to say, and evaluates.
//
// Batches, draws and updates are functions of the seed and the number of the step, so that a run that goes on has the
// bits of one that never ended.
#include "train_run.h"

#include "check_gradients.h"
#include "common/progress.h"
#include "weights.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Of this process, MB; 0 where the system does not say.
static double memory_now(void) {
  unsigned long long pages = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  bool ok = f && fscanf(f, "%llu %llu", &pages, &resident) == 2;
  if (f) fclose(f);
  return ok ? (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6 : 0;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool usage(TrainRun *r, const char *what) {
  return session_fail(r->s, EXIT_USAGE, "syc train: %s", what), false;
}

/* what is asked for
 * ------------------------------------------------------------------------------------------------------------- */

static bool count(TrainRun *r, const char *option, int64_t n, uint64_t *out) {
  if (n == INT_UNSET) return true;
  if (n < 1) return session_fail(r->s, EXIT_USAGE, "--%s must be at least 1", option), false;
  *out = (uint64_t)n;
  return true;
}

// An objective that is trained without a stage of the page.
static bool stage_of_options(TrainRun *r) {
  const Options *o = &r->s->opt;
  if (!o->objective || strchr(o->objective, ','))
    return usage(r, "which stage of the page, or which objective? (--stage NAME or --objective NAME; syc explain lists "
                    "them)");
  r->stage = (Stage){.name = "run", .about = "", .micro = 1, .accumulate = 1};
  r->stage.optimiser = "adamw";
  r->stage.hyper = (StageHyper){1e-4, 0.9, 0.999, 1e-8, 0.01};
  VEC_PUSH(&r->s->arena, r->stage.objective, ((StageObjective){o->objective, 1, NO_SPAN}));
  return true;
}

// Options count more than what the stage says.
static bool override(TrainRun *r) {
  const Options *o = &r->s->opt;
  Stage *x = &r->stage;
  if (o->optimiser) x->optimiser = o->optimiser;
  if (!x->optimiser) return usage(r, "the stage says no optimiser: --optimiser NAME and --lr X");
  if (o->steps != INT_UNSET || o->epochs) x->steps = 0, x->epochs = 0;
  int rule = optimiser_named(x->optimiser);
  if (rule < 0) return session_fail(r->s, EXIT_USAGE, "there is no optimiser '%s'", x->optimiser), false;
  sy_hyper h = {x->hyper.lr, x->hyper.beta1, x->hyper.beta2, x->hyper.eps, x->hyper.decay};
  if (!optimiser_options(r->s, rule, &h, &x->clip)) return false;
  x->hyper = (StageHyper){h.lr, h.beta1, h.beta2, h.eps, h.decay};
  bool ok = option_number(r->s, "epochs", o->epochs, 1e-9, 1e9, &x->epochs) && count(r, "steps", o->steps, &x->steps) &&
            count(r, "batch", o->batch, &x->batch) && count(r, "micro", o->micro, &x->micro) &&
            count(r, "accumulate", o->accumulate, &x->accumulate) && count(r, "evaluate", o->evaluate, &x->evaluate) &&
            count(r, "patience", o->patience, &r->patience);
  if (!ok) return false;
  if (!x->batch) return usage(r, "how many samples a step? (--batch N)");
  if (!x->steps && !(x->epochs > 0) && !x->schedule.steps && !(x->schedule.epochs > 0))
    return usage(r, "how long? (--steps N or --epochs X)");
  return true;
}

static bool read_options(TrainRun *r) {
  const Options *o = &r->s->opt;
  if (o->arg.n != 1) return usage(r, "takes one model (syc train --help)");
  if (o->dump_batch) r->s->opt.dry_run = true;
  if (!o->output && !o->dry_run && !o->check_gradients) return usage(r, "where to? (-o DIR)");
  if (!o->data.n) return usage(r, "on which data? (--data PATH)");
  if ((o->measure || o->patience != INT_UNSET) && !o->val.n)
    return usage(r, "--measure and --patience need data to measure on (--val PATH)");
  if (o->check_gradients && r->ranks.comm.size > 1) return usage(r, "--check-gradients is for one process");
  if (o->stage && o->objective) return usage(r, "a stage has its own objectives: --stage or --objective");
  if (o->workers != INT_UNSET && (o->workers < 0 || o->workers > 256)) return usage(r, "--workers takes 0 to 256");
  if (o->overfit != INT_UNSET && o->overfit < 1) return usage(r, "--overfit takes 1 or more");
  r->s->opt.gradients = r->s->opt.draws = true;
  if (o->seed == INT_UNSET) r->s->opt.seed = 1;
  if (o->threads == INT_UNSET) r->s->opt.threads = launch_threads(r->ranks.launch, sy_cpu_cores());
  return true;
}

/* the model
 * ------------------------------------------------------------------------------------------------------------------ */

// The dim that counts samples: of the first axis of the objectives' inputs.
static int batch_dim(const Module *m) {
  for (size_t i = 0; i < m->graph.n; i++)
    for (size_t k = 0; m->graph.at[i]->objective && k < m->graph.at[i]->input.n; k++) {
      const Port *p = &m->graph.at[i]->input.at[k];
      const Type *t = &graph_value(m->graph.at[i], p->val)->type;
      if (p->role != ROLE_noise && t->rank && t->dim[0].k == 1 && !t->dim[0].c) return t->dim[0].sym;
    }
  return -1;
}

static bool is_dim_asked(const Session *s, const char *name) {
  for (size_t i = 0; i < s->opt.dim.name.n; i++)
    if (!strcmp(s->opt.dim.name.at[i], name)) return true;
  return false;
}

// Rows of a call: the batch in as many parts as the stage says, or as few as the page's bound allows.
static bool plan_calls(TrainRun *r, int dim) {
  uint64_t most = (uint64_t)r->m->dim[dim].hi, micro = r->stage.micro > 1 ? r->stage.micro : 1, batch = r->stage.batch;
  if (micro == 1)
    while (batch / micro > most || batch % micro) micro++;
  if (batch % micro || batch / micro > most)
    return session_fail(r->s, EXIT_USAGE,
                        "a batch of %llu in %llu parts: the parts must be equal, and the page's bound of %s is %llu",
                        (unsigned long long)batch, (unsigned long long)micro, r->m->dim[dim].name,
                        (unsigned long long)most),
           false;
  if (micro > 1 && r->stage.micro <= 1)
    session_note(r->s,
                 "syc: note: a batch of %llu is computed in %llu parts, as %s is at most %llu; losses that compare "
                 "samples compare those of a part",
                 (unsigned long long)batch, (unsigned long long)micro, r->m->dim[dim].name, (unsigned long long)most);
  r->plan.rows = batch / micro;
  r->plan.calls = micro * (r->stage.accumulate > 1 ? r->stage.accumulate : 1);
  return true;
}

// Which calls of a step are this process's. Sums are binary trees over the calls, so that a run has the same bits in
// any number of processes with 2^k calls each; in another number it would be another run.
static bool share_calls(TrainRun *r) {
  uint64_t size = r->ranks.comm.size, own = r->plan.calls / size;
  r->plan.own = own;
  r->plan.first = own * r->ranks.comm.rank;
  if (size == 1 || (own && own * size == r->plan.calls && !(own & (own - 1)))) return true;
  return session_fail(r->s, EXIT_USAGE,
                      "%llu processes cannot share the %llu call%s of a step: each must have as many as the others, 1, "
                      "2, 4, 8 and so on (--micro N computes a batch in N calls)",
                      (unsigned long long)size, (unsigned long long)r->plan.calls, r->plan.calls > 1 ? "s" : ""),
         false;
}

static bool make_module(TrainRun *r) {
  Session *s = r->s;
  const char *spec = s->opt.arg.at[0];
  if (!s->opt.stage && !stage_of_options(r)) return false;
  if (!(r->m = module_for_weights(s, spec))) return false;
  if (s->opt.stage) r->stage = r->m->stage.at[0];
  int dim = batch_dim(r->m);
  if (!override(r)) return false;
  if (dim < 0) return usage(r, "the objective has no input with an axis of samples");
  if (!plan_calls(r, dim) || !share_calls(r)) return false;
  const char *name = r->m->dim[dim].name;
  if (r->plan.rows == (uint64_t)r->m->dim[dim].hi || is_dim_asked(s, name)) return true;
  VEC_PUSH(&s->arena, s->opt.dim.name, name); // buffers for as many samples as there are
  VEC_PUSH(&s->arena, s->opt.dim.value, arena_printf(&s->arena, "%llu", (unsigned long long)r->plan.rows));
  return (r->m = module_for_weights(s, spec)) != NULL;
}

static bool open_weights(TrainRun *r) {
  Session *s = r->s;
  StrList from = s->opt.weights;
  if (r->folder.goes_on) {
    from = (StrList){0};
    VEC_PUSH(&s->arena, from, train_path(s, &r->folder, "last.safetensors"));
  } else if (!from.n) {
    const char *seeded = arena_printf(&s->arena, "%s/seeded.safetensors", r->c.temp);
    if (r->stage.from)
      session_note(s, "syc: note: stage %s goes on from stage %s; without --weights it begins with random weights",
                   r->stage.name, r->stage.from);
    if (!weights_init(s, r->m, s->opt.seed, seeded)) return false;
    VEC_PUSH(&s->arena, from, seeded);
  }
  if (!checkpoint_open(s, &r->weights, from.at, from.n)) return false;
  bool begins = s->opt.weights.n && !r->folder.goes_on;
  return !begins || checkpoint_begin_new(s, &r->weights, r->m, r->p, s->opt.seed,
                                         arena_printf(&s->arena, "%s/new.safetensors", r->c.temp));
}

/* a step
 * ----------------------------------------------------------------------------------------------------------------------
 */

static bool refused(TrainRun *r, sy_status status, uint64_t step) {
  if (status == SY_ENUMERIC)
    session_fail(r->s, EXIT_WRONG,
                 "step %llu: '%s' is not finite; the weights are those before this step, in %s/last.safetensors",
                 (unsigned long long)step + 1, r->t.f->fault(r->t.train), r->folder.dir);
  else if (!r->s->exit_code)
    session_fail(r->s, EXIT_WRONG, "step %llu is refused: %s", (unsigned long long)step + 1, sy_strerror((int)status));
  return false;
}

static bool call_objective(TrainRun *r, TrainObjective *x, uint64_t step, uint64_t call, double *loss) {
  HostError err = {.text = ""};
  const Batch *b = NULL;
  if (!batches_next(x->batches, &b, &err)) return train_host_failed(r, &err);
  uint64_t seed = r->how.seed;
  const uint32_t word[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), (uint32_t)step, (uint32_t)(call * r->plan.rows)};
  for (unsigned i = 0; i < x->route->ninput; i++)
    if (x->in[i] != x->noise || !x->noise) x->in[i] = b->in[i];
  if (x->noise) memcpy(x->noise, word, sizeof word);
  for (size_t k = 0; k < BATCH_DIMS; k++) x->dims[k] = (int64_t)b->dims[k];
  sy_status status = r->t.f->grad(r->t.train, x->number, b->dims, x->in, x->out);
  if (status) {
    if (status == SY_EINDEX)
      session_fail(r->s, EXIT_WRONG, "step %llu: an id or label of the batch is outside its table (samples %u ..)",
                   (unsigned long long)step + 1, b->sample[0]);
    return refused(r, status, step);
  }
  for (size_t k = 0, n = 0, at = 0; k < x->route->noutput && at < TRAIN_PARTS; k++) {
    if (x->graph->output.at[k].role != ROLE_data) continue;
    if (!x->route->output[k].rank) loss[at++] += (double)*(const float *)x->out[n];
    n++;
  }
  return true;
}

typedef struct CallLosses {
  double part[TRAIN_PARTS]; // as in the log
} CallLosses;

// Losses and gradients of a call, of all objectives.
static bool make_call(TrainRun *r, uint64_t step, uint64_t call, CallLosses *x) {
  bool several = r->stage.objective.n > 1;
  size_t at = several;
  for (size_t i = 0; i < r->stage.objective.n; i++) {
    double loss[TRAIN_PARTS] = {0};
    if (!call_objective(r, &r->objective[i], step, call, loss)) return false;
    if (several) x->part[0] += r->stage.objective.at[i].weight * loss[0];
    for (size_t k = 0; at < r->log.nparts && k < (several ? 1 : TRAIN_PARTS); k++) x->part[at++] = loss[k];
  }
  return true;
}

// `going`: whether this process can go on at all; the others must know.
static bool take_step(TrainRun *r, bool going, uint64_t step, TrainLine *line) {
  Arena *a = &r->s->arena;
  sy_hyper *h = ARENA_ARRAY(a, sy_hyper, r->plan.group.n + 1);
  CallLosses *own = ARENA_ARRAY(a, CallLosses, r->plan.own), *all = ARENA_ARRAY(a, CallLosses, r->plan.calls);
  double norm = 0;
  for (uint64_t call = 0; going && call < r->plan.own; call++)
    going = make_call(r, step, r->plan.first + call, &own[call]);
  if (!ranks_agree(&r->ranks, going) || !ranks_gather(&r->ranks, own, r->plan.own * sizeof *own, all)) return false;
  for (uint64_t call = 0; call < r->plan.calls; call++)
    for (size_t i = 0; i < r->log.nparts; i++) line->loss[i] += all[call].part[i];
  for (size_t i = 0; i < r->log.nparts; i++) line->loss[i] /= (double)r->plan.calls;
  train_hypers(&r->stage, &r->plan, step, h);
  sy_status status = r->t.f->update(r->t.train, (unsigned)optimiser_named(r->stage.optimiser), h,
                                    (unsigned)r->plan.group.n, r->plan.group_of, r->stage.clip, &norm);
  if (status) return refused(r, status, step);
  if (r->t.average) trainer_average_move(&r->t, r->stage.average);
  line->step = step + 1;
  line->epoch = (double)(step + 1) / (double)r->plan.per_epoch;
  line->rate = stage_rate(&r->stage, step, r->plan.per_epoch);
  line->norm = norm;
  return true;
}

/* a run
 * -----------------------------------------------------------------------------------------------------------------------
 */

// What decides the bits of a run, a line each.
static void about(const TrainRun *r, Buf *b) {
  const Options *o = &r->s->opt;
  buf_printf(b, "switchyard training 1\nmodel %s\n", o->arg.at[0]);
  for (size_t i = 0; i < o->define.name.n; i++)
    buf_printf(b, "define %s = %s\n", o->define.name.at[i], o->define.value.at[i]);
  for (size_t i = 0; i < o->adapt.n; i++)
    buf_printf(b, "adapt %s rank %lld alpha %s dropout %s\n", o->adapt.at[i],
               (long long)(o->adapt_rank == INT_UNSET ? 8 : o->adapt_rank), o->adapt_alpha ? o->adapt_alpha : "rank",
               o->adapt_dropout ? o->adapt_dropout : "0");
  for (size_t i = 0; i < o->trained.n; i++) buf_printf(b, "trained %s\n", o->trained.at[i]);
  for (size_t i = 0; i < o->frozen.n; i++) buf_printf(b, "frozen %s\n", o->frozen.at[i]);
  if (o->objective) buf_printf(b, "objective %s given %s\n", o->objective, o->given ? o->given : "nothing");
  if (o->shares) buf_printf(b, "shares %s\n", o->shares);
  if (o->vocab) buf_printf(b, "vocabulary %s\n", o->vocab);
  if (o->labels) buf_printf(b, "labels %s\n", o->labels);
  buf_printf(b, "precision %s, %s\n", o->precision ? o->precision : "f32",
             r->c.target->has_fma ? "products and sums rounded once" : "products and sums rounded twice");
  buf_printf(b, "built %s\nseed %lld\nbatch %llu in calls of %llu, %llu a step\n", r->m->built ? r->m->built : "",
             (long long)o->seed, (unsigned long long)r->stage.batch, (unsigned long long)r->plan.rows,
             (unsigned long long)r->plan.calls);
  buf_printf(b,
             "optimiser %s lr %.17g betas %.17g %.17g eps %.17g decay %.17g clip %.17g\nlength %llu steps %g epochs\n",
             r->stage.optimiser, r->stage.hyper.lr, r->stage.hyper.beta1, r->stage.hyper.beta2, r->stage.hyper.eps,
             r->stage.hyper.decay, r->stage.clip, (unsigned long long)r->stage.steps, r->stage.epochs);
  buf_printf(b, "data %016llx%s\n", (unsigned long long)data_fingerprint(r->data),
             o->overfit == INT_UNSET ? "" : arena_printf(&r->s->arena, ", the first %lld", (long long)o->overfit));
  if (o->stage) stage_print(&r->stage, b);
}

static void name_parts(TrainRun *r) {
  bool several = r->stage.objective.n > 1;
  if (several) r->log.part[r->log.nparts++] = "loss";
  for (size_t i = 0; i < r->stage.objective.n; i++) {
    const Graph *g = r->objective[i].graph;
    if (several && r->log.nparts < TRAIN_PARTS) r->log.part[r->log.nparts++] = r->stage.objective.at[i].name;
    for (size_t k = 0; !several && k < g->output.n && r->log.nparts < TRAIN_PARTS; k++)
      if (g->output.at[k].role == ROLE_data && !graph_value(g, g->output.at[k].val)->type.rank)
        r->log.part[r->log.nparts++] = g->output.at[k].name;
  }
}

static bool save(TrainRun *r, const char *name) {
  return trainer_save(&r->t, train_path(r->s, &r->folder, name), optimiser_named(r->stage.optimiser), &r->weights);
}

static bool save_adapters(TrainRun *r) {
  const char *dir = train_path(r->s, &r->folder, "adapter");
  if (!r->t.adapter.n) return true;
  if (mkdir(dir, 0777) && errno != EEXIST) return session_fail(r->s, EXIT_IO, "%s: %s", dir, strerror(errno)), false;
  return trainer_save_adapters(&r->t, dir);
}

// What is evaluated, and used afterwards: the average, where the stage keeps one.
static bool save_result(TrainRun *r, const char *name) {
  if (!r->t.average) return save(r, name);
  return trainer_save_average(&r->t, train_path(r->s, &r->folder, name), &r->weights);
}

// Takes the value of an evaluation that decides which weights are best.
static bool take_measured(TrainRun *r, const TrainLine *x) {
  bool better = train_eval_better(&r->eval, x->loss[r->eval.best], r->best);
  if (better) r->best = x->loss[r->eval.best];
  r->worse = better ? 0 : r->worse + 1;
  return better;
}

static bool evaluate(TrainRun *r, uint64_t step) {
  TrainLine x = {.step = step, .epoch = (double)step / (double)r->plan.per_epoch};
  if (!r->val) return true;
  const char *name = r->t.average ? "average.safetensors" : "last.safetensors";
  if (!save_result(r, name)) return false;
  if (!train_eval_run(&r->eval, train_path(r->s, &r->folder, name), x.loss)) return false;
  if (!train_log_measured(&r->log, &x)) return false;
  if (take_measured(r, &x) && !save_result(r, "best.safetensors")) return false;
  return step >= r->plan.steps || train_page(&r->log, &r->eval, r->about);
}

// Has it been no better for as many evaluations as the user waits?
static bool is_over(const TrainRun *r, uint64_t step) {
  if (!r->patience || r->worse < r->patience || step >= r->plan.steps) return false;
  session_note(r->s, "step %llu: %llu evaluations were no better than %s %.5g; the run ends (--patience %llu)",
               (unsigned long long)step, (unsigned long long)r->worse,
               r->eval.best ? r->eval.measure[r->eval.best - 1] : "val_loss", r->best, (unsigned long long)r->patience);
  return true;
}

static uint64_t every(uint64_t asked, uint64_t steps, uint64_t times) {
  if (asked) return asked;
  return steps > times ? steps / times : 1;
}

// What stands in the folder if a signal ends the run from here on.
static void set_last_words(TrainRun *r, uint64_t step) {
  static unsigned which;
  char *text = r->last_words[which ^= 1];
  if (r->ranks.comm.rank) return;
  snprintf(text, sizeof r->last_words[0], "syc: stopped; %.480s/last.safetensors is of step %llu, --resume goes on\n",
           r->folder.dir, (unsigned long long)step);
  temp_say(text);
}

// What the first process does after each step: the log, evaluations, checkpoints.
static bool finish_step(TrainRun *r, const TrainLine *line, uint64_t eval, uint64_t saves) {
  bool end = line->step == r->plan.steps;
  if (!train_log_step(&r->log, line)) return false;
  if ((line->step % eval == 0 || end) && !evaluate(r, line->step)) return false;
  end = end || (r->patience && r->worse >= r->patience);
  if (line->step % saves != 0 && !end) return true;
  if (!save(r, "last.safetensors") || !save_adapters(r)) return false;
  set_last_words(r, line->step);
  return true;
}

static bool run_steps(TrainRun *r) {
  Session *s = r->s;
  uint64_t first = r->t.f->step(r->t.train), saves = 0;
  uint64_t eval = every(r->stage.evaluate, r->plan.steps, 10);
  bool ok = count(r, "save-every", s->opt.save_every, &saves);
  saves = every(saves, r->plan.steps, 20);
  r->best = NAN;
  for (size_t i = 0; i < r->log.measured.n; i++) (void)take_measured(r, &r->log.measured.at[i]);
  r->began = now();
  if (r->folder.goes_on) set_last_words(r, first);
  ArenaMark mark = arena_mark(&s->arena);
  for (uint64_t step = first; step < r->plan.steps; step++) {
    bool over = is_over(r, step);
    if (r->patience && !ranks_tell(&r->ranks, &over, sizeof over)) return false;
    if (over) break;
    TrainLine line = {0};
    double from = now();
    if (!take_step(r, ok, step, &line)) return false;
    line.seconds = now() - r->began;
    line.samples = (double)(r->plan.rows * r->plan.calls) / (now() - from);
    line.memory = memory_now();
    ok = r->ranks.comm.rank || finish_step(r, &line, eval, saves);
    arena_reset(&s->arena, mark); // of the step, of evaluations
  }
  if (ok && r->t.average && !r->ranks.comm.rank)
    ok = save_result(r, "average.safetensors"); // also if it was killed behind the last checkpoint
  return ranks_agree(&r->ranks, ok);
}

/* the beginning and the end
 * -------------------------------------------------------------------------------------------------------- */

static void say_plan(TrainRun *r) {
  const TrainPlan *p = &r->plan;
  const Options *o = &r->s->opt;
  Buf b = {0};
  data_describe(r->data, o->dry_run ? 50 : 0, &b);
  if (o->dry_run) batches_describe(r->objective[0].batches, &b);
  double flops = 0;
  for (size_t i = 0; i < r->stage.objective.n; i++) {
    const RouteProgram *x = &r->p->route.at[r->objective[i].at];
    for (size_t k = 0; k < x->step.n; k++) flops += x->step.at[k].flops;
  }
  FILE *f = o->dry_run ? stdout : stderr;
  if (r->ranks.comm.rank || (o->quiet && !o->dry_run)) {
    buf_free(&b);
    return;
  }
  fprintf(f, "%s", b.n ? b.s : "");
  fprintf(f, "%llu steps of %llu samples (%llu calls of %llu), %llu steps an epoch; %s, lr %g\n",
          (unsigned long long)p->steps, (unsigned long long)(p->rows * p->calls), (unsigned long long)p->calls,
          (unsigned long long)p->rows, (unsigned long long)p->per_epoch, r->stage.optimiser, r->stage.hyper.lr);
  if (r->ranks.comm.size > 1)
    fprintf(f, "%u processes, %llu calls of each step in each, %lld threads\n", r->ranks.comm.size,
            (unsigned long long)p->own, (long long)o->threads);
  fprintf(f, "%zu tensors trained, %.3g M elements; %zu kept, %.3g M; state %.1f MB, between kernels %.1f MB\n",
          p->trained, (double)p->trained_elements / 1e6, p->frozen, (double)p->frozen_elements / 1e6,
          (double)r->t.state_bytes / 1e6, (double)r->t.arena_bytes / 1e6);
  if (o->dry_run) {
    for (size_t i = 0; i < p->group.n; i++)
      fprintf(f, "group %zu: %zu tensors, %llu elements, lr %g, decay %g\n", i, p->group.at[i].tensors,
              (unsigned long long)p->group.at[i].elements, r->stage.hyper.lr * p->group.at[i].share.lr,
              p->group.at[i].share.decay);
    for (size_t i = 0; i < r->t.adapter.n; i++) {
      const Adapter *x = &r->t.adapter.at[i];
      fprintf(f, "adapted %s [%lld,%lld]: rank %lld, scale %g, %lld elements\n", x->base,
              (long long)(x->turned ? x->k : x->n), (long long)(x->turned ? x->n : x->k), (long long)x->rank, x->scale,
              (long long)((x->n + x->k) * x->rank));
    }
    fprintf(f, "%.3g GFLOP a step\n", flops * (double)p->calls / 1e9);
  }
  fflush(f);
  buf_free(&b);
}

static bool prepare_model(TrainRun *r) {
  Session *s = r->s;
  if (!read_options(r) || !check_ways(&r->c)) return false;
  if (r->c.interp || check_is_foreign(&r->c)) return usage(r, "runs compiled models on this machine");
  if (!make_module(r)) return false;
  r->p = session_program(s, r->m, &r->c.target, 1);
  return r->p && train_open_data(r);
}

// The first process takes the folder and tells the others whether there is something to go on with.
static bool prepare_folder(TrainRun *r) {
  Buf b = {0};
  if (r->s->opt.dry_run || r->s->opt.check_gradients) return true;
  r->folder = (TrainFolder){.s = r->s, .dir = r->s->opt.output};
  about(r, &b);
  r->about = arena_strdup(&r->s->arena, b.s);
  bool ok = r->ranks.comm.rank || train_folder_open(&r->folder, &b);
  buf_free(&b);
  if (!ranks_agree(&r->ranks, ok)) return false;
  return ranks_tell(&r->ranks, &r->folder.goes_on, sizeof r->folder.goes_on);
}

// Processes have no common order of calls, in which what one call assigns is read by the next.
static bool states_fit(TrainRun *r) {
  for (size_t i = 0; r->ranks.comm.size > 1 && i < r->t.training.tensor.n; i++)
    if (r->t.training.tensor.at[i].next != MDL__NONE)
      return session_fail(
                 r->s, EXIT_USAGE,
                 "the objective assigns '%s', which each of its calls reads from the one before: it is trained "
                 "in one process",
                 r->t.training.tensor.at[i].name),
             false;
  return true;
}

// Sums on the way in a binary tree of so many parts.
static unsigned sums_of_tree(uint64_t parts) {
  unsigned n = 0;
  while (parts >>= 1) n++;
  return n;
}

static sy_status no_call(void *ud, size_t route, const size_t *dims, const void *file, size_t bytes,
                         const void *const *in, void *const *out) {
  return (void)ud, (void)route, (void)dims, (void)file, (void)bytes, (void)in, (void)out, SY_EINVAL;
}

// The state as it would be, without weights, and without a compiled model.
static bool plan_state(TrainRun *r) {
  Session *s = r->s;
  if (s->opt.weights.n && (!open_weights(r) || !checkpoint_check(s, &r->weights, r->p, true))) return false;
  r->t.training = program_training(r->p, &s->arena);
  r->t.adapter = adapters_of(r->m, &s->arena);
  r->t.f = train_host(&s->arena, r->p, no_call, NULL);
  r->t.state_bytes = (size_t)r->t.f->state_bytes(r->t.add);
  r->t.arena_bytes = (size_t)(r->p->arena_bytes + s->opt.threads * r->p->scratch_bytes);
  return true;
}

static bool make_state(TrainRun *r) {
  Session *s = r->s;
  r->t = (Trainer){.s = s, .c = &r->c, .program = r->p, .comm = &r->ranks.comm};
  r->t.calls = (unsigned)r->stage.objective.n;
  r->t.add = sums_of_tree(r->plan.own) + (r->t.calls > 1);
  r->t.averaged = r->stage.averaged;
  if (s->opt.dry_run) return plan_state(r);
  if (!open_weights(r) || !checkpoint_check(s, &r->weights, r->p, true)) return false;
  if (!trainer_open(&r->t, &r->weights) || !states_fit(r)) return false;
  if (r->stage.average > 0 && !trainer_average(&r->t, &r->weights)) return false;
  if (!r->folder.goes_on) r->t.f->set_step(r->t.train, 0); // another stage's
  return true;
}

static bool open_steps(TrainRun *r) {
  Session *s = r->s;
  if (!make_state(r) || !train_groups(s, &r->stage, &r->t, &r->plan)) return false;
  if (!r->plan.trained) return usage(r, "nothing is trained: the stage freezes all weights");
  r->objective = ARENA_ARRAY(&s->arena, TrainObjective, r->stage.objective.n + 1);
  for (size_t i = 0; i < r->stage.objective.n; i++)
    if (!train_open_objective(r, i)) return false;
  uint64_t batches = batches_per_epoch(r->objective[0].batches);
  r->plan.per_epoch = batches > r->plan.calls ? batches / r->plan.calls : 1;
  r->plan.steps = stage_length(&r->stage, r->plan.per_epoch);
  if (!r->plan.steps) return usage(r, "the run has no step");
  name_parts(r);
  say_plan(r);
  return true;
}

// The first batch of each objective to look at.
static bool dump_batches(TrainRun *r) {
  Session *s = r->s;
  const char *dir = s->opt.dump_batch;
  if (mkdir(dir, 0777) && errno != EEXIST)
    return session_fail(s, EXIT_IO, "--dump-batch %s: %s", dir, strerror(errno)), false;
  for (size_t i = 0; i < r->stage.objective.n; i++) {
    HostError err = {.text = ""};
    const Batch *b;
    const char *prefix = r->stage.objective.n > 1 ? arena_printf(&s->arena, "%s-", r->stage.objective.at[i].name) : "";
    if (!batches_next(r->objective[i].batches, &b, &err) ||
        !batches_dump(r->objective[i].batches, b, dir, prefix, &err))
      return train_host_failed(r, &err);
  }
  session_note(s, "%s: the first batch, index.txt and its pictures", dir);
  return true;
}

// The gradients of the first batch against differences of the loss; no step is made, and nothing is written.
static bool check_first(TrainRun *r) {
  Session *s = r->s;
  size_t n = r->stage.objective.n;
  GradientLoss *loss = ARENA_ARRAY(&s->arena, GradientLoss, n + 1);
  int64_t tries = gradients_tries(s, 4);
  const Module *m = tries ? module_for_weights(s, s->opt.arg.at[0]) : NULL;
  for (size_t i = 0; i < n && m; i++) {
    TrainObjective *x = &r->objective[i];
    const StageObjective *of = &r->stage.objective.at[i];
    double all[TRAIN_PARTS] = {0};
    int64_t *dims = ARENA_ARRAY(&s->arena, int64_t, MAX_DIMS);
    if (!call_objective(r, x, 0, 0, all)) return false;
    for (size_t k = 0; k < MAX_DIMS; k++) dims[k] = x->dims[k];
    // a part of several objectives: gradients are those of the weighted losses times their number (passes/gradient.c)
    loss[i] = (GradientLoss){of->name, n > 1 || s->opt.stage ? of->weight * (double)n : 1, dims, x->in};
  }
  GradientCheck c = {
      .s = s, .t = &r->t, .elaborated = m, .weights = &r->weights, .loss = loss, .nloss = n, .tries = tries};
  return m && gradients_check(&c);
}

// The first process before the others: what it compiles, those on its machine find.
static bool prepare_steps(TrainRun *r) {
  bool first = !r->ranks.comm.rank, ok = !first || open_steps(r);
  if (!ranks_agree(&r->ranks, ok)) return false;
  return ranks_agree(&r->ranks, first || open_steps(r));
}

static bool begin_log(TrainRun *r) {
  Session *s = r->s;
  r->eval = (TrainEval){.s = s, .c = &r->c, .stage = &r->stage, .data = r->val, .trained = r->m, .options = r->how};
  if (r->val && !train_eval_open(&r->eval)) return false;
  r->log.steps = r->plan.steps;
  r->log.nmeasure = r->eval.nmeasure;
  for (size_t i = 0; i < r->eval.nmeasure; i++) r->log.measure[i] = r->eval.measure[i];
  return train_log_open(&r->log, r->t.f->step(r->t.train));
}

static bool close_log(TrainRun *r) {
  bool page = !r->log.events || train_page(&r->log, &r->eval, r->about);
  return train_log_close(&r->log) && page;
}

static void say_end(const TrainRun *r) {
  if (r->ranks.note.n)
    session_note(r->s, "%zu of %u samples could not be read and were left out", r->ranks.note.n, data_count(r->data));
  session_note(r->s, "%s: %llu steps in %.1f s; last.safetensors%s, log.jsonl, log.csv, index.html", r->folder.dir,
               (unsigned long long)r->t.f->step(r->t.train), now() - r->began, r->val ? ", best.safetensors" : "");
}

int cmd_train(Session *s) {
  TrainRun r = {.s = s, .c = {.s = s}, .log = {.s = s, .dir = s->opt.output}};
  if (!ranks_open(s, &r.ranks)) return ranks_status(&r.ranks, s->exit_code);
  bool ok = ranks_agree(&r.ranks, prepare_model(&r)) && prepare_folder(&r) && prepare_steps(&r);
  if (ok && s->opt.dump_batch && !r.ranks.comm.rank) ok = dump_batches(&r);
  if (ok && s->opt.check_gradients && !s->opt.dry_run)
    ok = check_first(&r);
  else if (ok && !s->opt.dry_run) {
    ok = ranks_agree(&r.ranks, r.ranks.comm.rank || begin_log(&r)) && run_steps(&r);
    bool closed = r.ranks.comm.rank || close_log(&r);
    if (ok) ok = ranks_agree(&r.ranks, closed);
    if (ok) say_end(&r);
    ok = ok && closed;
  }
  temp_say(NULL);
  for (size_t i = 0; r.objective && i < r.stage.objective.n; i++) batches_close(r.objective[i].batches);
  train_eval_close(&r.eval);
  trainer_close(&r.t);
  checkpoint_close(&r.weights);
  data_close(r.data);
  data_close(r.val);
  host_labels_free(&r.labels);
  train_folder_close(&r.folder);
  if (r.c.temp) temp_remove(r.c.temp);
  ranks_close(&r.ranks);
  return ranks_status(&r.ranks, ok ? EXIT_OK : s->exit_code ? s->exit_code : EXIT_WRONG);
}
