// passes_random.c: seeded random graphs in the manner of transformers. Every pass must keep what the reference evaluator
// computes (up to the rounding of double arithmetic), the graph must verify and round trip through text after each pass,
// and no two live tensors may overlap at the end. A failing graph is printed.
#include "ir/graph.h"
#include "ir/op/op.h"
#include "passes/pass.h"
#include "passes/place.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { GRAPHS = 300, POOL = 64 };

typedef struct Gen {
  Graph *g;
  uint64_t state;
  Val pool[POOL]; // values of rank 3 so far: [B,N,D]
  size_t n;
  unsigned weights;
  Val ids; // i32[B] below 3
} Gen;

static uint32_t draw(Gen *r, uint32_t below) { // xorshift64*: the same graphs on every machine
  r->state ^= r->state >> 12;
  r->state ^= r->state << 25;
  r->state ^= r->state >> 27;
  return (uint32_t)((r->state * UINT64_C(2685821657736338717)) >> 33) % below;
}

static Val weight(Gen *r, int rank, int64_t a, int64_t b, int64_t c) {
  Type t = {.dtype = DT_F32, .rank = (uint8_t)rank, .dim = {DIM(a), DIM(b), DIM(c)}};
  return graph_weight(r->g, arena_printf(r->g->module->arena, "w%u", r->weights++), &t, NO_SPAN);
}
static const Type *type_of(const Gen *r, Val v) { return &graph_value(r->g, v)->type; }
static int64_t columns(const Gen *r, Val v) { return type_of(r, v)->dim[type_of(r, v)->rank - 1].c; }
static Val pick(Gen *r) { return r->pool[draw(r, 3) ? r->n - 1 - draw(r, r->n < 3 ? (uint32_t)r->n : 3) : draw(r, (uint32_t)r->n)]; }
static Val op(Gen *r, Op o, const Val *args, size_t n) { return graph_add(r->g, o, args, n, NULL, 0, NO_SPAN); }

static Val slice(Gen *r, Val x, int axis, int64_t start, int64_t len) {
  Type t = *type_of(r, x);
  t.dim[axis] = DIM(len);
  Attr attr[] = {attr_int(A_axis, axis), attr_int(A_start, start)};
  return graph_add_typed(r->g, OP_slice, &x, 1, attr, 2, &t, NO_SPAN);
}

static Val linear(Gen *r, Val x, int64_t n) {
  int64_t k = columns(r, x);
  bool trans = draw(r, 3) == 0;
  Val args[3] = {x, trans ? weight(r, 2, k, n, 0) : weight(r, 2, n, k, 0), NO_VAL};
  size_t nargs = 2;
  if (draw(r, 3)) args[nargs++] = weight(r, 1, n, 0, 0);
  Attr attr = attr_int(A_trans, trans);
  return graph_add(r->g, OP_linear, args, nargs, &attr, 1, NO_SPAN);
}

static Val norm(Gen *r, Val x) {
  Val args[3] = {x, weight(r, 1, columns(r, x), 0, 0), weight(r, 1, columns(r, x), 0, 0)};
  Attr eps = attr_float(A_eps, 1e-3);
  return graph_add(r->g, OP_layer_norm, args, draw(r, 4) ? 3 : 1, &eps, 1, NO_SPAN);
}

static Val attention(Gen *r, Val x) {
  int64_t d = columns(r, x);
  Val y = linear(r, x, 3 * d);
  Val args[] = {slice(r, y, 2, 0, d), slice(r, y, 2, d, d), slice(r, y, 2, 2 * d, d)};
  if (draw(r, 4) == 0) args[0] = linear(r, x, d);
  Attr attr[] = {attr_int(A_heads, 2), attr_float(A_scale, 0.5), attr_str(A_where, "(le key query)")};
  return graph_add(r->g, OP_attention, args, 3, attr, draw(r, 2) ? 3 : 2, NO_SPAN);
}

static Val with_class_token(Gen *r, Val x) {
  Type t = {.dtype = DT_F32, .rank = 3, .dim = {type_of(r, x)->dim[0], DIM(1), DIM(columns(r, x))}};
  Val cls = weight(r, 3, 1, 1, columns(r, x));
  Val parts[] = {graph_add_typed(r->g, OP_broadcast, &cls, 1, NULL, 0, &t, NO_SPAN), x};
  Attr axis = attr_int(A_axis, 1);
  Val y = graph_add(r->g, OP_concat, parts, 2, &axis, 1, NO_SPAN);
  return op(r, OP_add, (Val[]){y, weight(r, 3, 1, type_of(r, y)->dim[1].c, columns(r, y))}, 2);
}

static Val residual(Gen *r, Val x) {
  Val y = linear(r, op(r, OP_gelu, (Val[]){linear(r, norm(r, x), 6)}, 1), columns(r, x));
  return op(r, OP_add, (Val[]){x, y}, 2);
}

static Val grow(Gen *r, Val x) {
  Type flat;
  switch (draw(r, 12)) {
  case 0: return linear(r, x, 2 + 2 * draw(r, 4));
  case 1: return norm(r, x);
  case 2: return op(r, OP_gelu, &x, 1);
  case 3: return attention(r, x);
  case 4: return residual(r, x);
  case 5: return type_of(r, x)->dim[1].c < 8 ? with_class_token(r, x) : op(r, OP_tanh, &x, 1);
  case 6: return slice(r, x, 1, draw(r, (uint32_t)type_of(r, x)->dim[1].c), 1);
  case 7: return op(r, OP_mul, (Val[]){x, weight(r, 1, columns(r, x), 0, 0)}, 2);
  case 8: return op(r, OP_add, (Val[]){x, weight(r, 2, 1, columns(r, x), 0)}, 2);
  case 9: return op(r, OP_softmax, &x, 1);
  case 10:
    if (type_of(r, x)->dim[1].c < 3) return op(r, OP_relu, &x, 1);
    x = op(r, OP_gather_rows, (Val[]){x, r->ids}, 2);
    flat = *type_of(r, x);
    flat.rank = 3;
    flat.dim[2] = flat.dim[1];
    flat.dim[1] = DIM(1);
    return graph_add_typed(r->g, OP_reshape, &x, 1, NULL, 0, &flat, NO_SPAN);
  default: {
    Attr eps = attr_float(A_eps, 1e-3);
    return graph_add(r->g, OP_l2_norm, &x, 1, &eps, 1, NO_SPAN);
  }
  }
}

static double value_of(uint64_t seed, int64_t i) { // in [-1, 1)
  uint64_t h = hash_bytes(&i, sizeof i, seed);
  return (double)(int64_t)(h >> 12) / (double)(INT64_C(1) << 51) - 1;
}
static bool fill(void *ud, const char *name, const Type *t, Tensor *out) {
  (void)ud;
  for (size_t i = 0; i < out->n; i++) {
    if (t->dtype == DT_I32) out->i[i] = (int32_t)(i % 3);
    else out->f[i] = value_of(hash_bytes(name, strlen(name), 7), (int64_t)i);
  }
  return true;
}

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
                "seed %u: %s changes output %zu[%zu] from %.17g to %.17g\n%s", c->seed, pass, i, k, c->want[i].f[k], got[i].f[k],
                c->before);
}

Test(passes, random_graphs, .timeout = 120) {
  for (uint32_t seed = 1; seed <= GRAPHS; seed++) {
    Arena a = {0};
    Intern names = {.arena = &a};
    Diag d;
    diag_init(&d, &a);
    Module *m = module_new(&a, &names, &d, "random");
    m->dim[m->ndim++] = (RuntimeDim){"B", 1, 3};
    Gen r = {.g = graph_new(m, "r"), .state = seed * UINT64_C(0x9e3779b97f4a7c15)};
    Type x = {.dtype = DT_F32, .rank = 3, .dim = {{0, 1, 0}, DIM(5), DIM(4)}}, i = {.dtype = DT_I32, .rank = 1, .dim = {{0, 1, 0}}};
    r.pool[r.n++] = graph_input(r.g, "x", &x, NO_SPAN);
    r.ids = graph_input(r.g, "rows", &i, NO_SPAN);
    for (uint32_t k = 0, steps = 3 + draw(&r, 14); k < steps; k++) {
      Val y = grow(&r, pick(&r));
      Buf why = {0};
      diag_print(&d, &why, false);
      cr_assert(y.id && !d.errors, "seed %u: the generator made an illegal graph\n%s", seed, why.s ? why.s : "");
      buf_free(&why);
      r.pool[r.n++] = y;
    }
    graph_output(r.g, "y", r.pool[r.n - 1], NO_SPAN);
    if (draw(&r, 2)) graph_output(r.g, "z", pick(&r), NO_SPAN);
    graph_dce(r.g);
    graph_compact(r.g);
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
