// gradient_random.c: seeded random graphs as objectives: the gradients by all weights, and by the input through a
// weight that is added to it, against central differences in double; kernels of all targets against the reference.
//
// A direction whose difference does not fit is tried again with a smaller step: at a kink (relu, maximum, a norm's
// least length) differences of the larger one are not the gradient. SWITCHYARD_GRAPHS asks for another number of
// graphs, SWITCHYARD_SEED for others: their seeds begin behind 1000 times that number.
#include "program_check.h"

enum { GRAPHS = 500, KERNELS = 40, BATCH = 2, ROWS = 3 };

typedef struct World {
  Arena arena;
  Intern names;
  Diag diag;
  Module *m;
  Graph *g;
  EvalEnv env;
  const char *moved; // the weight that is moved
  double h;
  int ids;
} World;

static double way(const char *name, size_t i) { // a direction: up or down
  return hash_bytes(&i, sizeof i, hash_bytes(name, strlen(name), 5)) >> 30 & 1 ? 1 : -1;
}

static bool weight_at(void *ud, const char *name, const Type *t, Tensor *out) {
  World *w = ud;
  bool ok = value_in(&w->ids, name, t, out);
  for (size_t i = 0; ok && w->h != 0 && !strcmp(name, w->moved) && i < out->n; i++) out->f[i] += w->h * way(name, i);
  return ok;
}
static bool input_at(void *ud, const char *name, const Type *t, Tensor *out) {
  World *w = ud;
  return value_in(&w->ids, name, t, out);
}

static void begin(World *w, uint32_t seed) {
  *w = (World){.ids = ROWS};
  w->names.arena = &w->arena;
  diag_init(&w->diag, &w->arena);
  w->m = module_new(&w->arena, &w->names, &w->diag, "random");
  w->g = random_objective(w->m, seed);
  static const Train all = {0};
  w->m->train = &all;
  PassOptions o = {.stop_after = "gradient", .verify = true};
  bool ok = passes_run(w->m, &o);
  Buf said = {0};
  diag_print(&w->diag, &said, false);
  if (!ok) module_print(w->m, &said);
  cr_assert(ok, "seed %u: %s", seed, said.s);
  buf_free(&said);
  w->env = (EvalEnv){.arena = &w->arena, .dim = {BATCH}, .weight = weight_at, .input = input_at, .ud = w};
}

static double loss_at(World *w, double h) {
  Arena a = {0};
  EvalEnv env = w->env;
  Tensor out;
  env.arena = &a;
  w->h = h;
  cr_assert(graph_eval(w->g, &env, &w->g->output.at[0].val, 1, &out), "%s", env.error);
  double loss = out.f[0];
  arena_free(&a);
  return loss;
}

static void check(uint32_t seed) {
  World w;
  begin(&w, seed);
  size_t n = w.g->output.n;
  Val *want = ARENA_ARRAY(&w.arena, Val, n);
  Tensor *got = ARENA_ARRAY(&w.arena, Tensor, n);
  for (size_t i = 0; i < n; i++) want[i] = w.g->output.at[i].val;
  cr_assert(graph_eval(w.g, &w.env, want, n, got), "seed %u: %s", seed, w.env.error);
  for (size_t i = 0; i < n; i++) {
    const Port *p = &w.g->output.at[i];
    if (p->role != ROLE_gradient) continue;
    double slope = 0, length = 0, d = 0, scale = 0;
    for (size_t k = 0; k < got[i].n; k++) slope += got[i].f[k] * way(p->name, k), length += got[i].f[k] * got[i].f[k];
    w.moved = p->name;
    for (double h = 1e-6; h > 1e-9; h /= 30) {
      double above = loss_at(&w, h), below = loss_at(&w, -h);
      d = fabs((above - below) / (2 * h) - slope);
      scale = fabs(slope) + sqrt(length) + 1e-9 * (1e-3 + fabs(got[0].f[0])) / h; // what a double keeps of the loss
      if (d <= 1e-5 * scale) break;
    }
    if (d <= 1e-5 * scale) continue;
    Buf text = {0};
    module_print(w.m, &text);
    cr_expect(false, "seed %u, '%s': %g, off by %g of %g\n%s", seed, p->name, slope, d, scale, text.s);
    buf_free(&text);
  }
  arena_free(&w.arena);
}

static uint32_t first_seed(void) {
  const char *other = getenv("SWITCHYARD_SEED");
  return 1000 * (uint32_t)strtoul(other ? other : "0", NULL, 10) + 1;
}

Test(gradient_random, differences) {
  const char *wish = getenv("SWITCHYARD_GRAPHS");
  uint32_t graphs = wish && atoi(wish) > 0 ? (uint32_t)atoi(wish) : GRAPHS, first = first_seed();
  for (uint32_t seed = first; seed < first + graphs; seed++) check(seed);
}

// These seeds are fixed: at a kink, rounding may decide otherwise than the reference does.
Test(gradient_random, kernels) {
  for (uint32_t seed = 1; seed <= KERNELS; seed++) {
    World w;
    begin(&w, seed);
    int64_t dims[MAX_DIMS] = {BATCH};
    Want *want = ARENA_NEW(&w.arena, Want);
    reference(&w.arena, w.g, dims, ROWS, want);
    Program *p = lower_all(w.m);
    char *weights = pack_all(p, &w.arena);
    for (size_t t = 0; t < p->ntarget; t++)
      compare(p, 0, t, weights, dims, want, arena_printf(&w.arena, "seed %u", seed), 2e-4);
    arena_free(&w.arena);
  }
}

// Every operator with a gradient rule stands in some of the graphs, those aside that only images and long texts have.
Test(gradient_random, every_rule_is_tried) {
  bool seen[OP_COUNT] = {false};
  for (uint32_t seed = 1; seed <= GRAPHS; seed++) {
    World w;
    begin(&w, seed);
    for (size_t v = 1; v < w.g->value.n; v++) seen[w.g->value.at[v].op] = true;
    arena_free(&w.arena);
  }
  for (int op = 1; op < OP_COUNT; op++)
    if (op_hooks[op].grad != grad_none && op_hooks[op].grad != grad_refused && op != OP_cast && op != OP_retag &&
        op != OP_windows && op != OP_depthwise)
      cr_expect(seen[op], "%s is in no graph", op_info[op].name);
}
