// trainer.c: see trainer.h.
#include "check.h"
#include "trainer.h"

#include <errno.h>
#include <math.h>
#include <string.h>

const TrainParam *trainer_param(const Trainer *t, const char *name) {
  for (size_t i = 0; i < t->param.n; i++)
    if (!strcmp(t->param.at[i].name, name)) return &t->param.at[i];
  return NULL;
}

/* weights as they are now
 * --------------------------------------------------------------------------------------------------- */

static bool get(void *ud, const char *name, const Type *type, Tensor *out, const char **err) {
  Trainer *t = ud;
  const TrainParam *p = trainer_param(t, name);
  if (!p) return t->base.get(t->base.ud, name, type, out, err);
  for (size_t i = 0; i < out->n; i++) {
    if (out->dtype == DT_I32)
      out->i[i] = (int32_t)p->p[i];
    else if (out->dtype != DT_BOOL)
      out->f[i] = (double)p->p[i];
  }
  return true;
}

static const float *f32(void *ud, const char *name, const Type *type) {
  Trainer *t = ud;
  const TrainParam *p = trainer_param(t, name);
  if (!p) return t->base.f32 ? t->base.f32(t->base.ud, name, type) : NULL;
  return p->type.dtype == DT_F32 ? p->p : NULL;
}

static bool rows(void *ud, const char *name, const Type *type, int64_t *n) {
  Trainer *t = ud;
  return !trainer_param(t, name) && t->base.rows && t->base.rows(t->base.ud, name, type, n);
}

WeightSource trainer_source(Trainer *t) {
  return (WeightSource){.get = get, .f32 = f32, .rows = rows, .ud = t};
}

/* the beginning
 * ------------------------------------------------------------------------------------------------------------- */

typedef struct First { // the checkpoint as the evaluator asks it
  Trainer *t;
  const char *err;
} First;

static bool first_weight(void *ud, const char *name, const Type *t, Tensor *out) {
  First *f = ud;
  return f->t->base.get(f->t->base.ud, name, t, out, &f->err);
}

static bool first_rows(void *ud, const char *name, const Type *t, int64_t *n) {
  First *f = ud;
  return f->t->base.rows && f->t->base.rows(f->t->base.ud, name, t, n);
}

// The operator that asks for a weight of the checkpoint, in the graph as it is before the passes have laid it out.
static Val weight_named(const Graph *g, const char *name) {
  for (uint32_t i = 1; i < g->value.n; i++) {
    const Value *v = graph_value(g, (Val){i});
    if (!v->dead && v->op == OP_weight && !strcmp(value_str(v, A_name), name)) return (Val){i};
  }
  return NO_VAL;
}

// A weight's elements, resized where the page says so, as f32.
static bool first_value(Trainer *t, const Graph *g, Val weight, float *to) {
  Arena a = {0};
  First f = {.t = t};
  EvalEnv env = {.arena = &a, .weight = first_weight, .weight_rows = first_rows, .ud = &f};
  Tensor out;
  for (size_t i = 0; i < g->module->ndim; i++) env.dim[i] = g->module->dim[i].lo; // a weight has none of them
  bool ok = graph_eval(g, &env, &weight, 1, &out);
  for (size_t i = 0; ok && i < out.n; i++) to[i] = out.dtype == DT_I32 ? (float)out.i[i] : (float)out.f[i];
  if (!ok)
    session_fail(t->s, EXIT_WRONG, "%s: %s", value_str(graph_value(g, weight), A_name),
                 f.err       ? f.err
                 : env.error ? env.error
                             : "it cannot be read");
  arena_free(&a);
  return ok;
}

const char *trainer_moment(Arena *a, const char *name, unsigned which) {
  return arena_printf(a, "optimizer.%c.%s", which ? 'v' : 'm', name);
}

// What an earlier run has left of the optimiser, or zeros.
static bool take_moments(Trainer *t, TrainParam *p) {
  for (unsigned which = 0; which < 2; which++) {
    const StTensor *x = checkpoint_find(t->from, trainer_moment(&t->s->arena, p->name, which));
    if (!x) continue;
    if ((size_t)st_elements(x) != p->n || !st_to_f32(x, which ? p->v : p->m, 0, p->n))
      return session_fail(t->s, EXIT_WRONG, "%s: not the optimiser's state of this model", x->name), false;
  }
  return true;
}

bool trainer_begin(Session *s, Trainer *t, const Program *p, size_t route, Checkpoint *from) {
  const Graph *g = p->route.at[route].graph;
  const StTensor *step = checkpoint_find(from, "optimizer.step");
  *t = (Trainer){.s = s, .program = p, .route = route, .from = from, .base = checkpoint_source(from)};
  if (step && step->dtype == ST_I32 && step->bytes == 4)
    t->step = (uint64_t)(uint32_t)check_element(ST_I32, step->data, 0);
  for (size_t i = 0; i < g->output.n; i++) {
    const Port *o = &g->output.at[i];
    if (o->role != ROLE_gradient && o->role != ROLE_next) continue;
    const Type *type = &graph_value(g, o->val)->type;
    TrainParam x = {.name = o->name, .type = *type, .output = i, .trained = o->role == ROLE_gradient};
    x.n = (size_t)type_elements(g->module, type);
    if (type->dtype != DT_F32 && (x.trained || type->dtype != DT_I32))
      return session_fail(s, EXIT_WRONG, "%s is %s: f32 weights are trained, states are f32 or i32", o->name,
                          dtype_info[type->dtype].name),
             false;
    if (trainer_param(t, o->name)) continue; // assigned before the step and trained: the gradient comes first
    x.p = ARENA_ARRAY(&s->arena, float, x.n);
    if (x.trained) {
      x.m = ARENA_ARRAY(&s->arena, float, x.n);
      x.v = ARENA_ARRAY(&s->arena, float, x.n);
    }
    Val weight = weight_named(g, o->name);
    if (weight.id && !first_value(t, g, weight, x.p)) return false;
    if (x.trained && !take_moments(t, &x)) return false;
    VEC_PUSH(&s->arena, t->param, x);
  }
  return true;
}

/* an update
 * ----------------------------------------------------------------------------------------------------------------- */

static const char *not_finite(const Trainer *t, void *const *out) {
  const Graph *g = t->program->route.at[t->route].graph;
  if (!isfinite(*(const float *)out[0])) return g->output.at[0].name;
  for (size_t i = 0; i < t->param.n; i++) {
    const TrainParam *p = &t->param.at[i];
    const float *x = out[p->output];
    for (size_t k = 0; p->trained && k < p->n; k++)
      if (!isfinite(x[k])) return p->name;
  }
  return NULL;
}

bool trainer_update(Trainer *t, const sy_optimiser *o, sy_hyper h, double clip, void *const *out, double *norm,
                    const char **bad) {
  const Graph *g = t->program->route.at[t->route].graph;
  double squares = 0;
  if ((*bad = not_finite(t, out))) return false;
  for (size_t i = 0; i < t->param.n; i++)
    if (t->param.at[i].trained) squares += sy_square_sum(out[t->param.at[i].output], t->param.at[i].n);
  h.step = ++t->step;
  h.scale = clip > 0 && sqrt(squares) > clip ? clip / (sqrt(squares) + 1e-6) : 1; // torch.nn.utils.clip_grad_norm_
  if (norm) *norm = sqrt(squares);
  for (size_t i = 0; i < g->output.n; i++) { // what was assigned, then updates of it
    const Port *port = &g->output.at[i];
    TrainParam *p = NULL;
    for (size_t k = 0; port->role == ROLE_next && k < t->param.n; k++)
      if (!strcmp(t->param.at[k].name, port->name)) p = &t->param.at[k];
    for (size_t k = 0; p && k < p->n; k++)
      p->p[k] = p->type.dtype == DT_I32 ? (float)((const int32_t *)out[i])[k] : ((const float *)out[i])[k];
  }
  for (size_t i = 0; i < t->param.n; i++) {
    TrainParam *p = &t->param.at[i];
    if (p->trained) o->update(p->p, p->m, p->v, out[p->output], p->n, &h);
  }
  return true;
}

bool trainer_pack(Trainer *t, const char *path) {
  WeightSource src = trainer_source(t);
  const char *err = "unknown error";
  if (pack_file(t->program, &src, path, NULL, NULL, &err)) return true;
  session_fail(t->s, EXIT_IO, "cannot pack the weights into %s: %s", path, err);
  return false;
}
