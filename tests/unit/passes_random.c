// passes_random.c: seeded random graphs in the manner of transformers. Every pass must keep what the reference
// evaluator computes (up to the rounding of double arithmetic), the graph must verify and round trip through text after
// each pass, and no two live tensors may overlap at the end. A failing graph is printed.
#include "passes/pass.h"
#include "passes/place.h"
#include "random_graph.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { GRAPHS = 300 };

static Tensor *evaluate(const Module *m, Arena *a, size_t *n) {
  const Graph *g = m->graph.at[0];
  EvalEnv env = {.arena = a, .dim = {2}, .weight = fill, .input = fill};
  Val want[8];
  *n = g->output.n;
  for (size_t i = 0; i < *n; i++) want[i] = g->output.at[i].val;
  Tensor *out = ARENA_ARRAY(a, Tensor, *n);
  cr_assert(graph_eval(g, &env, want, *n, out), "%s", env.error);
  return out;
}

typedef struct Check {
  Arena *a;
  Tensor *want;
  size_t n;
  uint32_t seed;
  const char *before; // the graph as generated
} Check;

static void round_trip(const Check *c, const char *pass, const Module *m) {
  Buf one = {0}, two = {0};
  module_print(m, &one);
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  Module *again = module_parse(&a, &names, &d, one.s, one.n, diag_add_file(&d, "dump", one.s, one.n));
  if (again) module_print(again, &two);
  cr_assert(again && !strcmp(one.s, two.s), "seed %u: the dump after %s does not round trip\n%s", c->seed, pass, one.s);
  buf_free(&one);
  buf_free(&two);
  arena_free(&a);
}

static void after(void *ud, const char *pass, const Module *m, size_t changes, double ms) {
  const Check *c = ud;
  (void)changes;
  (void)ms;
  round_trip(c, pass, m);
  size_t n;
  Tensor *got = evaluate(m, c->a, &n);
  cr_assert(n == c->n);
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < got[i].n; k++)
      cr_assert(fabs(got[i].f[k] - c->want[i].f[k]) <= 1e-9 * (1 + fabs(c->want[i].f[k])),
                "seed %u: %s changes output %zu[%zu] from %.17g to %.17g\n%s", c->seed, pass, i, k, c->want[i].f[k],
                got[i].f[k], c->before);
}

Test(passes, random_graphs, .timeout = 120) {
  for (uint32_t seed = 1; seed <= GRAPHS; seed++) {
    Arena a = {0};
    Intern names = {.arena = &a};
    Diag d;
    diag_init(&d, &a);
    Module *m = module_new(&a, &names, &d, "random");
    random_graph(m, seed);
    Buf before = {0};
    module_print(m, &before);
    Check c = {.a = &a, .seed = seed, .before = before.s};
    c.want = evaluate(m, &a, &c.n);
    PassOptions o = {.verify = true, .after = after, .ud = &c};
    cr_assert(passes_run(m, &o), "seed %u: passes fail\n%s", seed, before.s);
    buf_free(&before);
    arena_free(&a);
  }
}
