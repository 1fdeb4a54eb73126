// step.c: `syc step`: some steps of an objective on one batch, its losses on standard output, the weights and what the
// optimiser keeps in one safetensors file, from which the next call goes on with the same bits.
//
//   spec -> module with gradients -> program -> state -> for each step: gradients, update -> -o FILE
#include "check.h"
#include "check_gradients.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct StepRun {
  Check c; // how calls are made
  Session *s;
  int optimiser;
  sy_hyper h;
  double clip;
  int64_t steps;
  Checkpoint weights, inputs;
  Module *m;
  Call call;
  Trainer trainer;
  int32_t *noise; // the input of that role, or NULL
} StepRun;

/* the command line
 * ------------------------------------------------------------------------------------------------------- */

static bool read_options(StepRun *x) {
  Session *s = x->s;
  const Options *o = &s->opt;
  if (o->arg.n != 1) return session_fail(s, EXIT_USAGE, "syc step takes one model (syc step --help)"), false;
  if (!o->objective) return session_fail(s, EXIT_USAGE, "syc step: of which objective? (--objective NAME)"), false;
  if (strchr(o->objective, ',')) return session_fail(s, EXIT_USAGE, "syc step takes one objective"), false;
  if (o->routes) return session_fail(s, EXIT_USAGE, "syc step runs objectives alone: leave --routes away"), false;
  if (!o->weights.n)
    return session_fail(s, EXIT_USAGE, "syc step: from which weights? (--weights FILE; syc weights init makes some)"),
           false;
  if (!o->input)
    return session_fail(s, EXIT_USAGE, "syc step: on which batch? (--input FILE.safetensors, by input name)"), false;
  x->optimiser = optimiser_named(o->optimiser ? o->optimiser : "adamw");
  x->steps = o->steps == INT_UNSET ? 1 : o->steps;
  if (x->steps < 1 || x->steps > 1000000) return session_fail(s, EXIT_USAGE, "--steps takes 1 to 1000000"), false;
  x->h = (sy_hyper){1e-4, 0.9, 0.999, 1e-8, 0.01};
  return optimiser_options(s, x->optimiser, &x->h, &x->clip);
}

/* the batch
 * -------------------------------------------------------------------------------------------------------------- */

// What the step draws with, if it draws: the seed, its number counted from 0, and the first sample of the batch.
static void set_noise(StepRun *x) {
  uint64_t seed = (uint64_t)x->s->opt.seed;
  const uint32_t word[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), (uint32_t)x->trainer.f->step(x->trainer.train), 0};
  if (x->noise) memcpy(x->noise, word, sizeof word);
}

static const StTensor *batch_tensor(const void *ud, const char *name) {
  return checkpoint_find(ud, name);
}

static bool read_batch(StepRun *x) {
  Session *s = x->s;
  const Graph *g = x->call.program->route.at[0].graph;
  const Module *m = g->module;
  if (!checkpoint_open(s, &x->inputs, &s->opt.input, 1)) return false;
  const char *wrong = read_inputs(&(InputReader){&x->c, batch_tensor, &x->inputs, &x->noise}, &x->call);
  if (wrong) return session_fail(s, EXIT_WRONG, "%s: %s", s->opt.input, wrong), false;
  x->call.out = ARENA_ARRAY(&s->arena, void *, g->output.n + 1); // what is not the state's, one behind the other
  for (size_t i = 0, n = 0; i < g->output.n; i++)
    if (g->output.at[i].role == ROLE_data)
      x->call.out[n++] = check_zeros(&x->c, (size_t)type_bytes(m, &graph_value(g, g->output.at[i].val)->type));
  return true;
}

/* the command
 * ------------------------------------------------------------------------------------------------------------ */

static void print_losses(const StepRun *x, uint64_t step, double norm) {
  const Graph *g = x->call.program->route.at[0].graph;
  printf("step %llu", (unsigned long long)step);
  for (size_t i = 0, n = 0; i < g->output.n; i++) {
    if (g->output.at[i].role != ROLE_data) continue;
    if (!graph_value(g, g->output.at[i].val)->type.rank)
      printf("  %s %.6g", g->output.at[i].name, (double)*(const float *)x->call.out[n]);
    n++;
  }
  printf("  norm %.4g\n", norm);
  fflush(stdout);
}

static bool run_steps(StepRun *x) {
  Session *s = x->s;
  Trainer *t = &x->trainer;
  size_t dims[MAX_DIMS];
  for (int i = 0; i < MAX_DIMS; i++) dims[i] = (size_t)x->call.dims[i];
  for (int64_t i = 0; i < x->steps; i++) {
    double norm = 0;
    uint64_t step = t->f->step(t->train) + 1;
    set_noise(x);
    sy_status status = t->f->grad(t->train, 0, dims, x->call.in, x->call.out);
    if (!status) status = t->f->update(t->train, (unsigned)x->optimiser, &x->h, 1, NULL, x->clip, &norm);
    if (status == SY_ENUMERIC)
      return session_fail(s, EXIT_WRONG, "step %llu: '%s' is not finite; nothing was changed by this step",
                          (unsigned long long)step, t->f->fault(t->train)),
             false;
    if (status) {
      if (!s->exit_code) session_fail(s, EXIT_WRONG, "the step is refused: %s", sy_strerror((int)status));
      return false;
    }
    print_losses(x, step, norm);
  }
  return true;
}

// One step's gradients against differences; nothing is updated.
static bool check_step(StepRun *x) {
  Session *s = x->s;
  int64_t tries = gradients_tries(s, 20);
  size_t dims[MAX_DIMS];
  if (!tries) return false;
  for (int i = 0; i < MAX_DIMS; i++) dims[i] = (size_t)x->call.dims[i];
  const Module *m = module_for_weights(s, s->opt.arg.at[0]);
  if (!m) return false;
  set_noise(x);
  sy_status status = x->trainer.f->grad(x->trainer.train, 0, dims, x->call.in, x->call.out);
  if (status) {
    if (!s->exit_code) session_fail(s, EXIT_WRONG, "the step is refused: %s", sy_strerror((int)status));
    return false;
  }
  GradientLoss loss = {x->call.program->route.at[0].graph->name, 1, x->call.dims, x->call.in};
  GradientCheck c = {
      .s = s, .t = &x->trainer, .elaborated = m, .weights = &x->weights, .loss = &loss, .nloss = 1, .tries = tries};
  return gradients_check(&c);
}

static bool begin(StepRun *x) {
  Session *s = x->s;
  if (!read_options(x) || !check_ways(&x->c)) return false;
  if (check_is_foreign(&x->c)) return session_fail(s, EXIT_USAGE, "syc step runs on this machine alone"), false;
  s->opt.gradients = true;
  s->opt.draws = s->opt.seed != INT_UNSET;
  x->m = module_for_weights(s, s->opt.arg.at[0]);
  const Program *p = x->m ? session_program(s, x->m, &x->c.target, 1) : NULL;
  if (!p || !checkpoint_open(s, &x->weights, s->opt.weights.at, s->opt.weights.n)) return false;
  if (!checkpoint_check(s, &x->weights, p, true)) return false;
  x->call = (Call){.program = p};
  x->trainer = (Trainer){.s = s, .c = &x->c, .program = p};
  return read_batch(x) && trainer_open(&x->trainer, &x->weights);
}

int cmd_step(Session *s) {
  StepRun x = {.s = s, .c = {.s = s}};
  bool ok = begin(&x) && (s->opt.check_gradients ? check_step(&x) : run_steps(&x));
  ok = ok &&
       (!s->opt.output || s->opt.check_gradients || trainer_save(&x.trainer, s->opt.output, x.optimiser, &x.weights));
  trainer_close(&x.trainer);
  checkpoint_close(&x.weights);
  checkpoint_close(&x.inputs);
  if (x.c.temp) temp_remove(x.c.temp);
  return ok ? EXIT_OK : s->exit_code ? s->exit_code : EXIT_WRONG;
}
