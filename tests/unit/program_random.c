// program_random.c: seeded random graphs through the whole compiler: passes, lowering for every target, packing, and
// the kernels in the interpreter, against the reference evaluator on the graph before any pass. Finds a wrong kernel, a
// wrong address, a wrong packing or two tensors in one place, for shapes nobody wrote down.
#include "codegen/program.h"
#include "random_graph.h"

#include <math.h>
#include <stdlib.h>

enum { GRAPHS = 150, BATCH = 2 };

static bool get_weight(void *ud, const char *name, const Type *t, Tensor *out, const char **err) {
  (void)err;
  return fill(ud, name, t, out);
}

// The packed data area, in memory.
static char *pack(const Program *p, Arena *a) {
  WeightSource src = {.get = get_weight};
  char *data = arena_alloc(a, p->weight_bytes + 64);
  for (size_t i = 0; i < p->weight.n; i++) {
    const char *err = "";
    cr_assert(pack_weight(p, &p->weight.at[i], &src, data + p->weight.at[i].offset, &err), "%s", err);
  }
  return data;
}

static void *input_data(const Graph *g, size_t i, Arena *a) {
  const Type *t = &graph_value(g, g->input.at[i].val)->type;
  int64_t n = type_elements(g->module, t);
  Tensor filled = tensor_new(a, t->dtype, 1, &n);
  fill(NULL, g->input.at[i].name, t, &filled);
  if (t->dtype == DT_I32) return filled.i;
  float *f = ARENA_ARRAY(a, float, n);
  for (int64_t k = 0; k < n; k++) f[k] = (float)filled.f[k];
  return f;
}

// Reference inputs are rounded to f32 like the kernels' are.
static bool fill_rounded(void *ud, const char *name, const Type *t, Tensor *out) {
  if (!fill(ud, name, t, out)) return false;
  for (size_t i = 0; t->dtype == DT_F32 && i < out->n; i++) out->f[i] = (double)(float)out->f[i];
  return true;
}

static void compare(const Program *p, size_t target, const Tensor *want, uint32_t seed, Arena *a, const char *text) {
  const Graph *g = p->route.at[0].graph;
  const void *in[4];
  void *out[4];
  int64_t dims[MAX_DIMS] = {BATCH};
  for (size_t i = 0; i < g->input.n; i++) in[i] = input_data(g, i, a);
  for (size_t i = 0; i < g->output.n; i++)
    out[i] = arena_alloc(a, (size_t)type_bytes(g->module, &graph_value(g, g->output.at[i].val)->type) + 64);
  const char *err = "";
  cr_assert(program_interpret(p, 0, target, pack(p, a), in, out, dims, NULL, NULL, &err), "seed %u: %s", seed, err);
  for (size_t i = 0; i < g->output.n; i++) {
    double most = 0, worst = 0;
    for (size_t k = 0; k < want[i].n; k++) {
      double d = fabs((double)((float *)out[i])[k] - want[i].f[k]);
      if (fabs(want[i].f[k]) > most) most = fabs(want[i].f[k]);
      if (!(d <= worst)) worst = d; // a NaN counts
    }
    cr_assert(worst <= 2e-4 * (most + 1e-2), "seed %u, %s: output %zu is off by %g of %g\n%s", seed,
              p->target[target]->name, i, worst, most, text);
  }
}

Test(program, random_graphs, .timeout = 240) {
  for (uint32_t seed = 1; seed <= GRAPHS; seed++) {
    Arena a = {0};
    Intern names = {.arena = &a};
    Diag d;
    diag_init(&d, &a);
    Module *m = module_new(&a, &names, &d, "random");
    Graph *g = random_graph(m, seed);
    Buf text = {0};
    module_print(m, &text);
    EvalEnv env = {.arena = &a, .dim = {BATCH}, .weight = fill_rounded, .input = fill_rounded};
    Val want[4];
    Tensor result[4];
    for (size_t i = 0; i < g->output.n; i++) want[i] = g->output.at[i].val;
    cr_assert(graph_eval(g, &env, want, g->output.n, result), "seed %u: %s", seed, env.error);
    PassOptions o = {.verify = true};
    cr_assert(passes_run(m, &o));
    const Target *all[MAX_TARGETS];
    size_t n = 0;
    for (; targets[n]; n++) all[n] = targets[n];
    Program *p = program_lower(m, all, n);
    cr_assert(p, "seed %u: cannot be lowered\n%s", seed, text.s);
    for (size_t t = 0; t < n; t++) compare(p, t, result, seed, &a, text.s);
    buf_free(&text);
    arena_free(&a);
  }
}
