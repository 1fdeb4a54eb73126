// train_module.c: routes and objectives in one module, in the interpreter and every way that makes machine code: the
// same bits of trained weights and of the route that reads them; and the route gives what it gives without objectives.
#include "program_ways.h"

#include "driver/train_host.h"
#include "frontend/frontend.h"
#include "runtime/weights_format.h"

#include <math.h>

// Of a weight there is each: read by a table and a product, folded into its neighbours where nothing is trained, joined
// with others, assigned by an objective, read by one objective alone, frozen.
static const char text[] =
    "use std\nuse losses\n"
    "model m(n = 32, vocab = 19, classes = 5) {\n  dim B = 1..4\n  dim L = 1..6\n"
    "  block see(text: i32[B, L]) -> f32[B, L, n] {\n    weight words: f32[vocab, n]\n"
    "    let x = embedding(words, text)\n    let h = norm(x, 1e-5)  @ln_1\n"
    "    let x = x + torch_attention(h, 4)  @attention\n    let h = norm(x, 1e-5)  @ln_2\n"
    "    let h = gelu(linear(h, 40))  @up\n    return x + linear(h, n)  @down\n  }\n"
    "  block judge(text: i32[B, L]) -> f32[B, classes] {\n    let h = see(text)[:, 0]\n"
    "    let h = norm(h, 1e-5)  @ln\n    return linear(h, classes)  @head\n  }\n"
    "  route scores(text: i32[B, L]) -> y: f32[B, classes] {\n    weight temp: f32\n    return judge(text) / temp\n  "
    "}\n"
    "  route hidden(text: i32[B, L]) -> h: f32[B, L, n] { return see(text) }\n"
    "  objective fit(text: i32[B, L], labels: i32[B]) -> loss: f32 {\n    weight temp: f32\n"
    "    temp <- max(min(temp, 0.5), 0.001)\n    return cross_entropy(judge(text) / temp, labels)\n  }\n"
    "  objective words(text: i32[B, L], next: i32[B]) -> loss: f32 {\n    weight words: f32[vocab, n]\n"
    "    return cross_entropy(affine(see(text)[:, 0], words), next)\n  }\n}\n";

static const char *find(void *ud, const char *name, size_t *n, const char **path) {
  const char *err;
  (void)path;
  return file_read(ud, arena_printf(ud, "%s/models/%s.sy", SY_SOURCE_DIR, name), n, &err);
}

static Module *compile(Arena *a, size_t objectives) {
  static const char *route[] = {"scores", "hidden"}, *objective[] = {"fit", "words"};
  static const StagePattern frozen[] = {{.glob = "attention.out_proj.*"}};
  static const Train train = {.pattern = frozen, .n = 1, .in_place = true};
  Intern *names = ARENA_NEW(a, Intern);
  Diag *d = ARENA_NEW(a, Diag);
  names->arena = a;
  diag_init(d, a);
  FrontOptions o = {
      .find = find, .ud = a, .routes = route, .nroutes = 2, .objectives = objective, .nobjectives = objectives};
  Module *m = front_compile(a, names, d, "page.sy", text, sizeof text - 1, &o);
  Buf why = {0};
  diag_print(d, &why, false);
  cr_assert(m, "%s", why.s ? why.s : "no module");
  buf_free(&why);
  if (objectives) m->train = &train;
  return m;
}

/* steps, whoever makes them -------------------------------------------------------------------------------------------
 */
enum { B = 3, L = 4, MOST_Y = 4 * 5, MOST_H = 4 * 6 * 32 };
static const int32_t words[24] = {1, 2, 3, 4, 0, 0, 18, 6, 7, 8, 0, 0, 1, 13, 5, 7}, labels[4] = {2, 0, 4},
                     next[4] = {17, 3, 9};
static const size_t dims[MAX_DIMS] = {B, L};

typedef struct Left {
  void *file; // of packed weights
  float y[MOST_Y], h[MOST_H];
} Left;

static void make_steps(const sy_training *f, void *t) {
  static const sy_hyper h = {0.01, 0.9, 0.99, 1e-8, 0.05};
  float loss[4];
  void *out[] = {loss};
  for (int step = 0; step < 3; step++) {
    for (unsigned o = 0; o < 2; o++)
      cr_assert_eq(f->grad(t, o, dims, (const void *[]){words, o ? next : labels}, out), SY_OK);
    cr_assert_eq(f->update(t, step ? MDL_ADAMW : MDL_LAMB, &h, 1, NULL, 1.0, NULL), SY_OK);
  }
}

static sy_status interpreted(void *ud, size_t route, const size_t *d, const void *file, size_t bytes,
                             const void *const *in, void *const *out) {
  const Run *r = ud;
  int64_t at[MAX_DIMS];
  const char *err = NULL, *data = (const char *)file + sy_weights_data_offset(r->p->weight.n);
  (void)bytes;
  for (int i = 0; i < MAX_DIMS; i++) at[i] = (int64_t)d[i];
  return program_interpret(r->p, route, 0, data, in, out, at, NULL, NULL, &err) ? SY_OK : SY_EINDEX;
}

static size_t file_bytes(const Program *p) {
  return (size_t)(sy_weights_data_offset(p->weight.n) + p->weight_bytes);
}

// NULL as model: the interpreter.
static Left train(const Run *r, const sy_model *m, unsigned threads) {
  Left left = {.file = sy_memory(file_bytes(r->p))};
  const sy_training *f = m ? m->training() : train_host(r->a, r->p, interpreted, (void *)(uintptr_t)r);
  sy_pool *pool = sy_pool_new(threads);
  sy_exec exec = sy_pool_exec(pool);
  sy_map w = {0};
  size_t bytes = (size_t)f->state_bytes(1), arena = m ? m->arena_bytes(threads) : 0;
  sy_train_config c = {.abi = SY_ABI_VERSION, .state = sy_memory(bytes), .state_bytes = bytes};
  cr_assert_eq(sy_map_open(&w, r->weights, 0), SY_OK);
  c.weights = w.data, c.weights_bytes = w.bytes;
  c.arena = m ? sy_memory(arena) : NULL, c.arena_bytes = arena;
  c.exec = m ? &exec : NULL;
  c.max_isa = m ? r->p->target[0]->name : NULL;
  void *t = NULL;
  cr_assert_eq(f->init(&t, &c), SY_OK);
  make_steps(f, t);
  cr_assert_eq(f->save(t, left.file, file_bytes(r->p)), SY_OK);
  for (unsigned route = 0; route < 2; route++) {
    void *out = route ? left.h : left.y;
    sy_status status = m ? m->call(f->ctx(t), route, dims, (const void *[]){words}, &out)
                         : interpreted((void *)(uintptr_t)r, route, dims, left.file, 0, (const void *[]){words}, &out);
    cr_assert_eq(status, SY_OK);
  }
  sy_map_close(&w);
  sy_pool_free(pool);
  free(c.state), free(c.arena);
  return left;
}

static Left want;
static void look(const Run *r, const sy_model *m, size_t target, const char *way) {
  if (target) return;
  for (unsigned threads = 1; threads <= 2; threads++) {
    Left got = train(r, m, threads);
    cr_expect(!memcmp(got.file, want.file, file_bytes(r->p)), "%s, %u threads: other weights", way, threads);
    cr_expect(!memcmp(got.y, want.y, sizeof got.y) && !memcmp(got.h, want.h, sizeof got.h),
              "%s, %u threads: the routes give others", way, threads);
    free(got.file);
  }
}

Test(train_module, all_ways, .timeout = 600) {
  const Target *t[MAX_TARGETS];
  size_t n = host_targets(t);
  Arena a = {0};
  unsigned all;
  const char *dir = ways_folder(&a, &all), *err = "";
  WeightSource src = {.get = weight_in};
  Run r = {.a = &a, .what = "routes and objectives"};
  for (size_t k = n > 1 ? n - 2 : 0; k < n; k++) { // the two best
    r.p = lower_for(compile(&a, 2), &t[k], 1);
    r.weights = arena_printf(&a, "%s/random.syw", dir);
    cr_assert(pack_file(r.p, &src, r.weights, NULL, NULL, &err), "%s", err);
    want = train(&r, NULL, 1);
    ways_run(&r, dir, k + 1 < n ? 0 : all, 1, look);
    free(want.file);
  }
  ways_remove(dir);
  arena_free(&a);
}

/* the routes ----------------------------------------------------------------------------------------------------------
 */
static Left routes_alone(Arena *a, size_t objectives) {
  Left left = {0};
  Program *p = lower_all(compile(a, objectives));
  const char *err = NULL, *data = pack_all(p, a);
  int64_t at[MAX_DIMS] = {B, L};
  for (unsigned route = 0; route < 2; route++) {
    void *out = route ? left.h : left.y;
    cr_assert(program_interpret(p, route, 0, data, (const void *[]){words}, &out, at, NULL, NULL, &err), "%s", err);
  }
  return left;
}

Test(train_module, routes_beside_objectives) {
  Arena a = {0};
  Left with = routes_alone(&a, 2), without = routes_alone(&a, 0);
  double worst = 0, most = 0;
  for (size_t i = 0; i < MOST_Y + MOST_H; i++) {
    double x = (double)(i < MOST_Y ? with.y[i] : with.h[i - MOST_Y]),
           y = (double)(i < MOST_Y ? without.y[i] : without.h[i - MOST_Y]);
    worst = fmax(worst, fabs(x - y)), most = fmax(most, fabs(y));
  }
  cr_expect(most > 0.1 && worst < 1e-5 * fmax(most, 1), "%g of %g", worst, most);
  arena_free(&a);
}

// What a step changes is marked in every graph that reads it, and lies in the file as itself.
Test(train_module, marked_everywhere) {
  Arena a = {0};
  Module *m = compile(&a, 2);
  Program *p = lower_all(m);
  Training t = program_training(p, &a);
  size_t trained = 0;
  for (size_t g = 0; g < m->graph.n; g++)
    for (uint32_t i = 1; i < m->graph.at[g]->value.n; i++) {
      const Value *v = &m->graph.at[g]->value.at[i];
      if (v->dead || v->op != OP_weight) continue;
      bool frozen = !strncmp(value_str(v, A_name), "attention.out_proj", 18);
      cr_expect_eq(value_int(v, A_trained, 0), !frozen, "@%s: %s", m->graph.at[g]->name, value_str(v, A_name));
    }
  for (size_t i = 0; i < t.tensor.n; i++) {
    trained += t.tensor.at[i].trained;
    cr_expect(t.tensor.at[i].weight &&
                  (t.tensor.at[i].trained || !strcmp(t.tensor.at[i].name, "attention.out_proj.bias")),
              "%s", t.tensor.at[i].name);
  }
  cr_expect_eq(trained, 16);
  arena_free(&a);
}
