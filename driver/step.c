// step.c: `syc step`: some steps of an objective on one batch, its losses on standard output, the weights and what the
// optimiser keeps in one safetensors file, from which the next call goes on with the same bits.
//
//   spec -> module with gradients -> program -> for each step: pack, call, update -> -o FILE
#include "check.h"
#include "trainer.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct StepRun {
  Check c; // how calls are made
  Session *s;
  const sy_optimiser *optimiser;
  sy_hyper h;
  double clip;
  int64_t steps;
  Checkpoint weights, inputs;
  Module *m;
  Call call;
  Trainer trainer;
} StepRun;

/* the command line
 * ------------------------------------------------------------------------------------------------------- */

static bool want_number(Session *s, const char *option, const char *text, double absent, double lo, double hi,
                        double *out) {
  char *end;
  *out = absent;
  if (!text) return true;
  errno = 0;
  *out = strtod(text, &end);
  if (end != text && !*end && *out >= lo && *out <= hi) return true;
  session_fail(s, EXIT_USAGE, "--%s %s: must be a number from %g to %g", option, text, lo, hi);
  return false;
}

static bool read_options(StepRun *x) {
  Session *s = x->s;
  const Options *o = &s->opt;
  if (o->arg.n != 1) return session_fail(s, EXIT_USAGE, "syc step takes one model (syc step --help)"), false;
  if (!o->objective) return session_fail(s, EXIT_USAGE, "syc step: of which objective? (--objective NAME)"), false;
  if (strchr(o->objective, ',')) return session_fail(s, EXIT_USAGE, "syc step takes one objective"), false;
  if (!o->weights.n)
    return session_fail(s, EXIT_USAGE, "syc step: from which weights? (--weights FILE; syc weights init makes some)"),
           false;
  if (!o->input)
    return session_fail(s, EXIT_USAGE, "syc step: on which batch? (--input FILE.safetensors, by input name)"), false;
  x->optimiser = sy_optimiser_find(o->optimiser ? o->optimiser : "adamw");
  x->steps = o->steps == INT_UNSET ? 1 : o->steps;
  if (x->steps < 1 || x->steps > 1000000) return session_fail(s, EXIT_USAGE, "--steps takes 1 to 1000000"), false;
  return want_number(s, "lr", o->lr, 1e-4, 0, 1e6, &x->h.lr) &&
         want_number(s, "decay", o->decay, 0.01, 0, 1e6, &x->h.decay) &&
         want_number(s, "beta1", o->beta1, 0.9, 0, 1 - 1e-12, &x->h.beta1) &&
         want_number(s, "beta2", o->beta2, 0.999, 0, 1 - 1e-12, &x->h.beta2) &&
         want_number(s, "eps", o->eps, 1e-8, 0, 1, &x->h.eps) && want_number(s, "clip", o->clip, 0, 0, 1e30, &x->clip);
}

/* the batch
 * -------------------------------------------------------------------------------------------------------------- */

static bool read_batch(StepRun *x) {
  Session *s = x->s;
  const Graph *g = x->call.program->route.at[0].graph;
  const Module *m = g->module;
  uint32_t known = 0;
  if (!checkpoint_open(s, &x->inputs, &s->opt.input, 1)) return false;
  for (size_t i = 0; i < m->ndim; i++) x->call.dims[i] = m->dim[i].lo;
  x->call.in = ARENA_ARRAY(&s->arena, const void *, g->input.n + 1);
  x->call.in_bytes = ARENA_ARRAY(&s->arena, size_t, g->input.n + 1);
  for (int fill = 0; fill < 2; fill++) // the dims, then the tensors in their layout
    for (size_t i = 0; i < g->input.n; i++) {
      const char *name = g->input.at[i].name, *why = NULL;
      const Type *t = &graph_value(g, g->input.at[i].val)->type;
      const StTensor *in = checkpoint_find(&x->inputs, name);
      if (!in) return session_fail(s, EXIT_WRONG, "%s has no tensor for the input '%s'", s->opt.input, name), false;
      if (!check_same_dtype(t->dtype, in->dtype))
        return session_fail(s, EXIT_WRONG, "%s: input '%s' is %s, not %s", s->opt.input, name, st_dtype_name(in->dtype),
                            dtype_info[t->dtype].name),
               false;
      if (!fill && !layout_dims(m, t, in, x->call.dims, &known, &why))
        return session_fail(s, EXIT_WRONG, "%s: input '%s': %s", s->opt.input, name, why), false;
      x->call.in_bytes[i] = (size_t)type_bytes(m, t);
      if (fill) x->call.in[i] = check_input(&x->c, m, t, in, x->call.dims);
    }
  x->call.out = ARENA_ARRAY(&s->arena, void *, g->output.n + 1);
  x->call.out_bytes = ARENA_ARRAY(&s->arena, size_t, g->output.n + 1);
  for (size_t i = 0; i < g->output.n; i++) {
    x->call.out_bytes[i] = (size_t)type_bytes(m, &graph_value(g, g->output.at[i].val)->type);
    x->call.out[i] = check_zeros(&x->c, x->call.out_bytes[i]);
  }
  return true;
}

/* the result
 * ------------------------------------------------------------------------------------------------------------- */

typedef struct Written { // a tensor of the file
  const void *data;
  size_t bytes;
} Written;

// The elements of a tensor of the evaluator in the type of the file.
static Written written(Session *s, const Tensor *t) {
  StDtype d = kept_dtype(t->dtype);
  if (dtype_info[t->dtype].kind != DK_FLOAT) return (Written){t->i, t->n * st_dtype_size(d)};
  float *f = ARENA_ARRAY(&s->arena, float, t->n);
  for (size_t k = 0; k < t->n; k++) f[k] = (float)t->f[k];
  void *as = arena_alloc(&s->arena, t->n * sizeof *f); // large enough for every type
  st_from_f32(d, f, as, t->n);
  return (Written){as, t->n * st_dtype_size(d)};
}

// A weight or state as it is now, and how the file describes it.
static bool describe(Session *s, const WeightSource *src, const WeightName *name, StDesc *d, Written *w) {
  int64_t dim[MAX_RANK];
  const char *why = "it cannot be read";
  *d = (StDesc){.name = name->name, .dtype = kept_dtype(name->type.dtype), .rank = name->type.rank};
  for (int k = 0; k < name->type.rank; k++) d->shape[k] = dim[k] = name->type.dim[k].c;
  Tensor t = tensor_new(&s->arena, name->type.dtype, name->type.rank, dim);
  if (!src->get(src->ud, name->name, &name->type, &t, &why))
    return session_fail(s, EXIT_WRONG, "%s: %s", name->name, why), false;
  *w = written(s, &t);
  return true;
}

// Everything that the objective reads or assigns, as it is now, then what the optimiser keeps.
static bool write_result(StepRun *x) {
  Session *s = x->s;
  WeightNames names = weight_names_of_module(x->m, &s->arena);
  WeightSource src = trainer_source(&x->trainer);
  size_t most = names.list.n + 3 * x->trainer.param.n + 1, n = 0;
  StDesc *d = ARENA_ARRAY(&s->arena, StDesc, most);
  Written *w = ARENA_ARRAY(&s->arena, Written, most);
  StError err = {""};
  for (size_t i = 0; i < names.list.n; i++, n++)
    if (!describe(s, &src, &names.list.at[i], &d[n], &w[n])) return false;
  for (size_t i = 0; i < x->trainer.param.n; i++) { // a state that is only written
    const TrainParam *p = &x->trainer.param.at[i];
    if (weight_names_has(&names, p->name)) continue;
    WeightName own = {.name = p->name, .type = p->type};
    if (!describe(s, &src, &own, &d[n], &w[n])) return false;
    n++;
  }
  for (size_t i = 0; i < x->trainer.param.n; i++)
    for (unsigned which = 0; which < x->optimiser->moments; which++) {
      const TrainParam *p = &x->trainer.param.at[i];
      if (!p->trained) continue;
      d[n] = (StDesc){.name = trainer_moment(&s->arena, p->name, which), .dtype = ST_F32, .rank = p->type.rank};
      for (int k = 0; k < p->type.rank; k++) d[n].shape[k] = p->type.dim[k].c;
      w[n++] = (Written){which ? p->v : p->m, p->n * sizeof(float)};
    }
  int32_t step = (int32_t)x->trainer.step;
  d[n] = (StDesc){.name = "optimizer.step", .dtype = ST_I32, .rank = 1, .shape = {1}};
  w[n++] = (Written){&step, sizeof step};
  StWriter *out = st_write_begin(s->opt.output, n, d, &err);
  bool ok = out != NULL;
  for (size_t i = 0; i < n && ok; i++) ok = st_write_data(out, w[i].data, w[i].bytes, &err);
  if (ok)
    ok = st_write_end(out, &err);
  else if (out)
    st_write_abort(out);
  if (!ok) session_fail(s, EXIT_IO, "%s", err.text);
  return ok;
}

/* the command
 * ------------------------------------------------------------------------------------------------------------ */

static void print_losses(const StepRun *x, uint64_t step, double norm) {
  const Graph *g = x->call.program->route.at[0].graph;
  printf("step %llu", (unsigned long long)step);
  for (size_t i = 0; i < g->output.n; i++)
    if (g->output.at[i].role == ROLE_data && !graph_value(g, g->output.at[i].val)->type.rank)
      printf("  %s %.6g", g->output.at[i].name, (double)*(const float *)x->call.out[i]);
  printf("  norm %.4g\n", norm);
  fflush(stdout);
}

static bool run_steps(StepRun *x) {
  Session *s = x->s;
  for (int64_t i = 0; i < x->steps; i++) {
    CheckResult r = {0};
    double norm = 0;
    const char *bad = NULL;
    if (!trainer_pack(&x->trainer, x->call.packed)) return false;
    if (!check_run(&x->c, &x->call, &r)) {
      if (!s->exit_code) session_fail(s, EXIT_WRONG, "%s", r.reason ? r.reason : "the step cannot be run");
      return false;
    }
    if (!trainer_update(&x->trainer, x->optimiser, x->h, x->clip, x->call.out, &norm, &bad))
      return session_fail(s, EXIT_WRONG, "step %llu: '%s' is not finite; nothing was changed by this step",
                          (unsigned long long)x->trainer.step + 1, bad),
             false;
    print_losses(x, x->trainer.step, norm);
  }
  return true;
}

static bool begin(StepRun *x) {
  Session *s = x->s;
  if (!read_options(x) || !check_ways(&x->c)) return false;
  if (check_is_foreign(&x->c)) return session_fail(s, EXIT_USAGE, "syc step runs on this machine alone"), false;
  s->opt.gradients = true;
  x->m = module_for_weights(s, s->opt.arg.at[0]);
  const Program *p = x->m ? session_program(s, x->m, &x->c.target, 1) : NULL;
  if (!p || !checkpoint_open(s, &x->weights, s->opt.weights.at, s->opt.weights.n)) return false;
  if (!checkpoint_check(s, &x->weights, p, true)) return false;
  x->call = (Call){.program = p, .packed = arena_printf(&s->arena, "%s/weights", x->c.temp)};
  return trainer_begin(s, &x->trainer, p, 0, &x->weights) && read_batch(x);
}

int cmd_step(Session *s) {
  StepRun x = {.s = s, .c = {.s = s}};
  bool ok = begin(&x) && run_steps(&x) && (!s->opt.output || write_result(&x));
  checkpoint_close(&x.weights);
  checkpoint_close(&x.inputs);
  if (x.c.temp) temp_remove(x.c.temp);
  return ok ? EXIT_OK : s->exit_code ? s->exit_code : EXIT_WRONG;
}
