// check_fault.c: where the fault of a failed case lies. Three comparisons, from the model down to the machine code:
//   1. the graph as elaborated, in the reference evaluator, against the authors' outputs: the model page is at fault
//   2. the optimised graph's stored values in the interpreter, against the reference evaluator: the first that departs
//   3. neither: a pass changed the meaning, or only the compiled code departs
#include "check.h"
#include "ir/op/op.h"
#include "ir/precision.h"
#include "runtime/switchyard.h"
#include "runtime/weights_format.h"

#include <string.h>

typedef struct Fault {
  Check *c;
  const Case *k;
  const Call *call;
  const Checkpoint *tensors;
  WeightSource weights;
  double atol, rtol;
  Arena a;
  // watching the interpreter
  Val *root;
  Tensor *want;
  const char *found;
} Fault;

static bool give_input(void *ud, const char *name, const Type *t, Tensor *out) {
  Fault *f = ud;
  const StTensor *x = check_tensor(f->k, f->tensors, "inputs", name);
  (void)t;
  if (!x || (size_t)st_elements(x) != out->n) return false;
  for (size_t i = 0; i < out->n; i++) {
    if (out->dtype == DT_I32)
      memcpy(&out->i[i], (const char *)x->data + i * sizeof(int32_t), sizeof(int32_t));
    else if (out->dtype == DT_BOOL)
      out->b[i] = ((const uint8_t *)x->data)[i];
    else {
      float v;
      if (!st_to_f32(x, &v, i, 1)) return false;
      out->f[i] = (double)v;
    }
  }
  return true;
}

static bool give_weight(void *ud, const char *name, const Type *t, Tensor *out) {
  Fault *f = ud;
  const char *err;
  return f->weights.get(f->weights.ud, name, t, out, &err);
}

static bool evaluate(Fault *f, const Graph *g, const Val *want, size_t n, Tensor *out) {
  EvalEnv env = {.arena = &f->a, .weight = give_weight, .input = give_input, .ud = f};
  memcpy(env.dim, f->call->dims, sizeof env.dim);
  return graph_eval(g, &env, want, n, out);
}

// 1: outputs of the elaborated graph against the case. NULL if they agree.
static const char *judge_model(Fault *f) {
  CheckResult ignored = {0};
  Module *m = check_module(f->c, f->k, f->tensors, &ignored);
  if (!m || !m->graph.n) return NULL;
  const Graph *g = m->graph.at[0];
  for (size_t i = 0; i < g->output.n; i++) {
    const StTensor *x = check_tensor(f->k, f->tensors, "outputs", g->output.at[i].name);
    Tensor got;
    if (!x) continue;
    if (!evaluate(f, g, &g->output.at[i].val, 1, &got)) return "the reference evaluator refuses the case";
    if ((size_t)st_elements(x) != got.n || x->dtype != ST_F32 || got.dtype != DT_F32) continue;
    Difference d = {0};
    for (size_t e = 0; e < got.n; e++) {
      float want = 0;
      CHECK(st_to_f32(x, &want, e, 1)); // its type and its elements were looked at
      difference_add(&d, e, got.f[e], (double)want);
    }
    if (d.abs > f->atol + f->rtol * d.most)
      return arena_printf(&f->c->s->arena,
                          "the reference evaluator departs from the authors' '%s' too (by %.3g of %.3g): the model "
                          "page or its weights are at fault",
                          g->output.at[i].name, d.abs, d.most);
  }
  return NULL;
}

// 2: called by the interpreter after each step.
static void watch(void *ud, size_t step, const void *root) {
  Fault *f = ud;
  const RouteProgram *r = &f->call->program->route.at[f->call->route];
  const Graph *g = r->graph;
  Val val = r->step.at[step].root;
  if (f->found || !root || !val.id) return;
  Access at = access_resolve(g, val);
  const Value *v = graph_value(g, val);
  if (!at.ok || v->type.dtype != DT_F32) return;
  Layout l = layout_of(&f->a, g->module, &v->type, f->call->dims, at.stride);
  const Tensor *want = &f->want[step];
  size_t n = layout_elements(&l);
  if (n != want->n) return;
  float *dense = arena_alloc(&f->a, n * sizeof *dense + 1);
  layout_load(&l, root, dense);
  Difference d = {0};
  for (size_t i = 0; i < n; i++) difference_add(&d, i, (double)dense[i], want->f[i]);
  if (d.abs <= f->atol + f->rtol * d.most) return;
  const KernelSlot *k = &f->call->program->kernel.at[r->step.at[step].kernel];
  const char *path = NULL;
  uint32_t line = 0, col = 0;
  diag_place(&f->c->s->diag, v->span, &path, &line, &col);
  f->found =
      arena_printf(&f->c->s->arena,
                   "first departure from the reference evaluator: %%%u (%s%s%s) of step %zu, kernel %s, by %.3g of "
                   "%.3g at element %zu%s%s",
                   val.id, op_info[v->op].name, v->label ? ", " : "", v->label ? v->label : "", step, k->name, d.abs,
                   d.most, d.at, path ? ", " : "", path ? arena_printf(&f->c->s->arena, "%s:%u", path, line) : "");
}

static const char *judge_steps(Fault *f) {
  const RouteProgram *r = &f->call->program->route.at[f->call->route];
  f->root = ARENA_ARRAY(&f->a, Val, r->step.n + 1);
  f->want = ARENA_ARRAY(&f->a, Tensor, r->step.n + 1);
  for (size_t i = 0; i < r->step.n; i++) f->root[i] = r->step.at[i].root;
  if (!evaluate(f, r->graph, f->root, r->step.n, f->want)) return "the reference evaluator refuses the optimised graph";
  sy_map w = {0};
  if (sy_map_open(&w, f->call->packed, 0) != SY_OK) return NULL;
  sy_weights_header h;
  memcpy(&h, w.data, sizeof h);
  const char *err = NULL;
  void **out = ARENA_ARRAY(&f->a, void *, r->graph->output.n + 1);
  for (size_t i = 0; i < r->graph->output.n; i++) out[i] = arena_alloc(&f->a, f->call->out_bytes[i] + 64);
  bool ran = program_interpret(f->call->program, f->call->route, 0, (const char *)w.data + h.data_offset, f->call->in,
                               out, f->call->dims, watch, f, &err);
  sy_map_close(&w);
  if (!ran && !f->found) return arena_printf(&f->c->s->arena, "the interpreter refuses the call: %s", err);
  return f->found;
}

const char *check_fault(Check *c, const Case *k, const Call *call, Checkpoint *weights, const Checkpoint *tensors) {
  Fault f = {.c = c, .k = k, .call = call, .tensors = tensors, .weights = checkpoint_source(weights)};
  f.atol = json_number(k->json, "atol", 1e-7);
  f.rtol = json_number(k->json, "rtol", 1e-5);
  const char *why = judge_model(&f);
  if (!why) why = judge_steps(&f);
  if (!why && c->interp && precision_cosine(c->s->precision, session_precision_of_all(c->s)) > 0)
    why =
        "every stored value agrees with the reference evaluator of the graph in this precision: that is what it costs";
  if (!why)
    why = c->interp ? "every stored value agrees with the reference evaluator: a pass changed the meaning of the graph "
                      "(or ids that follow from nearly equal scores came out in another order)"
                    : "every value agrees in the interpreter: a pass changed the meaning, or the compiled code departs "
                      "(try --backend interp)";
  arena_free(&f.a);
  return why;
}
