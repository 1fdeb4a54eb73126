// module.c: what the C interface of a training promises, on the page of run.sh as a module with a route beside its
// objective. It prints what is wrong, and writes what three steps leave to a file, to be compared with other ways of
// making the module.
//
//   module WEIGHTS.syw OUT
#include "tiny.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATE = TINY_TRAIN_BYTES + TINY_TRAIN_ADD_BYTES, THREADS = 2, TENSORS = 9 };

// A buffer of its exact size, so that a sanitizer sees what goes beyond.
static void *buffer(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, TINY_ALIGN, bytes)) exit(3);
  return p;
}

static int failed;
#define CHECK(truth) check(truth, #truth, __LINE__)
static void check(int truth, const char *what, int line) {
  if (truth) return;
  printf("module.c:%d: not so: %s\n", line, what);
  failed = 1;
}

/* threads -------------------------------------------------------------------------------------------------------------
 */
typedef struct Item {
  void (*task)(void *arg, size_t i);
  void *arg;
  size_t i;
} Item;
static void *run_item(void *p) {
  Item *x = p;
  x->task(x->arg, x->i);
  return NULL;
}
static void in_parallel(void *ud, size_t n, void (*task)(void *arg, size_t i), void *arg) {
  pthread_t thread[THREADS];
  Item item[THREADS];
  (void)ud;
  for (size_t i = 0; i < n; i++) {
    item[i] = (Item){task, arg, i};
    if (pthread_create(&thread[i], NULL, run_item, &item[i])) exit(3);
  }
  for (size_t i = 0; i < n; i++) pthread_join(thread[i], NULL);
}
static const tiny_exec two_threads = {in_parallel, NULL, THREADS};

/* a training ----------------------------------------------------------------------------------------------------------
 */
typedef struct Training {
  tiny_train *t;
  unsigned char *state, *arena;
  size_t bytes;
} Training;

static const void *weights;

static tiny_train_config config_of(const Training *x) {
  tiny_train_config c = {.abi = TINY_ABI_VERSION,
                         .state = x->state,
                         .state_bytes = x->bytes,
                         .weights = weights,
                         .weights_bytes = TINY_WEIGHTS_BYTES,
                         .arena = x->arena,
                         .arena_bytes = TINY_ARENA_BYTES(1)};
  return c;
}

static Training begin(size_t bytes) {
  Training x = {NULL, buffer(bytes), buffer(TINY_ARENA_BYTES(1)), bytes};
  tiny_train_config c = config_of(&x);
  CHECK(tiny_train_init(&x.t, &c) == TINY_OK && x.t);
  return x;
}

static void end(Training *x) {
  free(x->state);
  free(x->arena);
}

static const int32_t text[2][18] = {{1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 0, 0, 1, 3, 5, 7, 0, 0},
                                    {8, 1, 1, 2, 0, 0, 2, 4, 6, 8, 0, 0, 3, 3, 1, 5, 0, 0}};
static const int32_t labels[2][3] = {{2, 3, 4}, {0, 1, 2}};

static tiny_status batch(tiny_train *t, int which, float scale) {
  float loss = -1, plain = -1;
  tiny_status s = tiny_grad_fit(t, 3, 4, text[which], labels[which], &scale, &loss, &plain);
  if (s == TINY_OK) CHECK(loss > 0 && (isinf(loss) || fabsf(loss - scale * plain) < 1e-5f));
  return s;
}

static const tiny_hyper usual = {0.01, 0.9, 0.999, 1e-8, 0.01};
static tiny_status update(tiny_train *t) {
  return tiny_update(t, TINY_ADAMW, &usual, 1, NULL, 0, NULL);
}

static void steps(tiny_train *t, int n) {
  for (int i = 0; i < n; i++) {
    CHECK(batch(t, i % 2, 1) == TINY_OK);
    CHECK(update(t) == TINY_OK);
  }
}

// Everything under its name, as a text of bytes.
static size_t collect(const tiny_train *t, unsigned char *all, int states) {
  size_t n = 0;
  for (unsigned i = 0; i < tiny_train_tensors(); i++) {
    const tiny_trained *x = tiny_train_tensor(i);
    if (!states && !x->trained) continue;
    for (int part = TINY_VALUE; part <= TINY_MOMENT2; part++) {
      if (part == TINY_GRADIENT || (part && !x->trained)) continue; // gradients are forgotten by an update
      CHECK(tiny_train_get(t, x->name, part, all + n, 4 * x->elements) == TINY_OK);
      n += 4 * x->elements;
    }
  }
  return n;
}
enum { ALL = 1 << 14 };
static int same_of(const tiny_train *a, const tiny_train *b, int states) {
  static unsigned char x[ALL], y[ALL];
  size_t n = collect(a, x, states);
  return n == collect(b, y, states) && !memcmp(x, y, n) && tiny_train_step(a) == tiny_train_step(b);
}
static int same(const tiny_train *a, const tiny_train *b) {
  return same_of(a, b, 1);
}

/* what must hold ------------------------------------------------------------------------------------------------------
 */
static void misuse(void) {
  Training x = begin(TINY_TRAIN_BYTES);
  tiny_train *t = NULL;
  tiny_train_config c = config_of(&x);
#define REFUSED(status, change)                                                                                        \
  do {                                                                                                                 \
    tiny_train_config bad = c;                                                                                         \
    change;                                                                                                            \
    t = (tiny_train *)x.arena;                                                                                         \
    CHECK(tiny_train_init(&t, &bad) == (status) && !t);                                                                \
  } while (0)
  CHECK(tiny_train_init(NULL, &c) == TINY_EINVAL);
  CHECK(tiny_train_init(&t, NULL) == TINY_EINVAL);
  REFUSED(TINY_EINVAL, bad.state = NULL);
  REFUSED(TINY_EABI, bad.abi++);
  REFUSED(TINY_EALIGN, bad.state = x.state + 32);
  REFUSED(TINY_EALIGN, bad.arena = x.arena + 32);
  REFUSED(TINY_EARENA, bad.state_bytes = TINY_TRAIN_BYTES - 64);
  REFUSED(TINY_EARENA, bad.arena_bytes = 1024);
  REFUSED(TINY_EINVAL, bad.arena = NULL);
  REFUSED(TINY_EINVAL, bad.max_isa = "abacus");
  REFUSED(TINY_EINVAL, bad.comm = (&(tiny_comm){.rank = 2, .size = 2}));
  REFUSED(TINY_EINVAL, bad.comm = (&(tiny_comm){.rank = 0, .size = 2})); // no sum
  REFUSED(TINY_EINVAL, bad.comm = (&(tiny_comm){.rank = 0, .size = 0}));
  REFUSED(TINY_EWEIGHTS, bad.weights_bytes--);
  REFUSED(TINY_EWEIGHTS, bad.weights_bytes = 0);
  REFUSED(TINY_EWEIGHTS, bad.weights = x.arena);
  CHECK(tiny_train_init(&x.t, &c) == TINY_OK);

  float loss = 0, scale = 1, row[108];
  unsigned char group_of[TENSORS] = {0};
  size_t dims[] = {3, 4};
  const void *in[] = {text[0], labels[0], &scale};
  void *out[] = {&loss, &loss};
  CHECK(tiny_grad(NULL, 0, dims, in, out) == TINY_EINVAL);
  CHECK(tiny_grad(x.t, 1, dims, in, out) == TINY_EINVAL);
  CHECK(tiny_grad(x.t, 0, NULL, in, out) == TINY_EINVAL);
  CHECK(tiny_grad(x.t, 0, dims, NULL, out) == TINY_EINVAL);
  CHECK(tiny_grad(x.t, 0, dims, in, NULL) == TINY_EINVAL);
  CHECK(tiny_grad(x.t, 0, dims, in, (void *[]){&loss, NULL}) == TINY_EINVAL);
  CHECK(tiny_grad(x.t, 0, dims, (const void *[]){text[0], NULL, &scale}, out) == TINY_EINVAL);
  CHECK(tiny_grad_fit(x.t, 9, 4, text[0], labels[0], &scale, &loss, &loss) == TINY_ESHAPE);
  CHECK(tiny_grad_fit(x.t, 3, 0, text[0], labels[0], &scale, &loss, &loss) == TINY_ESHAPE);
  CHECK(tiny_grad_fit(x.t, 3, 4, text[0], text[0] + 6, &scale, &loss, &loss) == TINY_EINDEX);
  CHECK(update(x.t) == TINY_EINVAL); // none of them has left a gradient
  CHECK(tiny_train_step(x.t) == 0);

  CHECK(batch(x.t, 0, 1) == TINY_OK);
  CHECK(batch(x.t, 1, 1) == TINY_EARENA); // no room to add
  CHECK(tiny_update(NULL, TINY_ADAMW, &usual, 1, NULL, 0, NULL) == TINY_EINVAL);
  CHECK(tiny_update(x.t, TINY_ADAMW, NULL, 1, NULL, 0, NULL) == TINY_EINVAL);
  CHECK(tiny_update(x.t, TINY_OPTIMISERS, &usual, 1, NULL, 0, NULL) == TINY_EINVAL);
  CHECK(tiny_update(x.t, TINY_ADAMW, &usual, 0, NULL, 0, NULL) == TINY_EINVAL);
  CHECK(tiny_update(x.t, TINY_ADAMW, &usual, 257, NULL, 0, NULL) == TINY_EINVAL);
  CHECK(tiny_update(x.t, TINY_ADAMW, &usual, 1, NULL, -1, NULL) == TINY_EINVAL);
  CHECK(tiny_update(x.t, TINY_ADAMW, &usual, 1, NULL, (double)NAN, NULL) == TINY_EINVAL);
  group_of[3] = 1;
  CHECK(tiny_update(x.t, TINY_ADAMW, &usual, 1, group_of, 0, NULL) == TINY_EINVAL);
  static const tiny_hyper odd[] = {{-1, .9, .9, 1, 0},
                                   {(double)NAN, .9, .9, 1, 0},
                                   {(double)INFINITY, .9, .9, 1, 0},
                                   {1, 1, .9, 1, 0},
                                   {1, .9, 1, 1, 0},
                                   {1, -.1, .9, 1, 0},
                                   {1, .9, .9, 0, 0},
                                   {1, .9, .9, (double)NAN, 0},
                                   {1, .9, .9, 1, -1}};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
    CHECK(tiny_update(x.t, TINY_ADAMW, &odd[i], 1, NULL, 0, NULL) == TINY_EINVAL);
  CHECK(tiny_train_step(x.t) == 0);
  CHECK(update(x.t) == TINY_OK);
  CHECK(update(x.t) == TINY_EINVAL); // the same gradients twice
  CHECK(tiny_train_step(x.t) == 1);

  CHECK(tiny_train_get(x.t, "words", TINY_VALUE, row, sizeof row) == TINY_OK);
  CHECK(tiny_train_put(x.t, "words", TINY_VALUE, row, sizeof row) == TINY_OK);
  CHECK(tiny_train_put(x.t, "wordss", TINY_VALUE, row, sizeof row) == TINY_EINVAL);
  CHECK(tiny_train_put(x.t, NULL, TINY_VALUE, row, sizeof row) == TINY_EINVAL);
  CHECK(tiny_train_put(x.t, "words", TINY_VALUE, NULL, sizeof row) == TINY_EINVAL);
  CHECK(tiny_train_put(NULL, "words", TINY_VALUE, row, sizeof row) == TINY_EINVAL);
  CHECK(tiny_train_put(x.t, "words", TINY_VALUE, row, sizeof row - 4) == TINY_EINVAL);
  CHECK(tiny_train_put(x.t, "words", 4, row, sizeof row) == TINY_EINVAL);
  CHECK(tiny_train_put(x.t, "words", -1, row, sizeof row) == TINY_EINVAL);
  CHECK(tiny_train_put(x.t, "seen", TINY_MOMENT1, row, 48) == TINY_EINVAL); // a state has none
  CHECK(tiny_train_get(x.t, "wordss", TINY_VALUE, row, sizeof row) == TINY_EINVAL);
  CHECK(tiny_train_get(x.t, "words", TINY_VALUE, NULL, sizeof row) == TINY_EINVAL);
  CHECK(tiny_train_get(x.t, "words", TINY_VALUE, row, sizeof row + 4) == TINY_EINVAL);
  CHECK(tiny_train_get(NULL, "words", TINY_VALUE, row, sizeof row) == TINY_EINVAL);
  CHECK(tiny_train_export(x.t, NULL, TINY_WEIGHTS_BYTES) == TINY_EINVAL);
  CHECK(tiny_train_export(NULL, row, TINY_WEIGHTS_BYTES) == TINY_EINVAL);
  CHECK(tiny_train_export(x.t, row, sizeof row) == TINY_EINVAL);
  CHECK(tiny_train_tensors() == TENSORS && !tiny_train_tensor(TENSORS));
  CHECK(!tiny_train_ctx(NULL) && !tiny_train_fault(NULL) && !tiny_train_step(NULL));
  tiny_train_set_step(NULL, 3);
  end(&x);
}

static void not_finite(void) {
  Training x = begin(STATE), y = begin(STATE);
  steps(x.t, 2), steps(y.t, 2);
  CHECK(batch(x.t, 1, NAN) == TINY_ENUMERIC);
  CHECK(tiny_train_fault(x.t) && !strcmp(tiny_train_fault(x.t), "loss"));
  CHECK(same(x.t, y.t));
  CHECK(update(x.t) == TINY_EINVAL);
  float words[108]; // of short rows LayerNorm makes large gradients
  CHECK(tiny_train_get(x.t, "words", TINY_VALUE, words, sizeof words) == TINY_OK);
  for (int i = 0; i < 108; i++) words[i] *= 1e-3f;
  CHECK(tiny_train_put(x.t, "words", TINY_VALUE, words, sizeof words) == TINY_OK);
  CHECK(tiny_train_put(y.t, "words", TINY_VALUE, words, sizeof words) == TINY_OK);
  CHECK(batch(x.t, 1, 1e38f) == TINY_OK); // a finite loss whose gradients overflow
  double norm = 0;
  CHECK(tiny_update(x.t, TINY_ADAMW, &usual, 1, NULL, 1, &norm) == TINY_ENUMERIC);
  CHECK(!(norm - norm == 0) && tiny_train_fault(x.t) && strcmp(tiny_train_fault(x.t), "loss") != 0);
  CHECK(same(x.t, y.t));
  CHECK(batch(x.t, 0, 1) == TINY_OK && batch(x.t, 1, NAN) == TINY_ENUMERIC); // of two, the second
  CHECK(batch(y.t, 0, 1) == TINY_OK);
  CHECK(update(x.t) == TINY_OK && update(y.t) == TINY_OK);
  CHECK(!tiny_train_fault(x.t) && same(x.t, y.t));
  end(&x), end(&y);
}

// From a copy, as a file would be: under another address, with another arena.
static void continued(void) {
  Training x = begin(TINY_TRAIN_BYTES), y = {NULL, buffer(STATE), buffer(TINY_ARENA_BYTES(1)), STATE};
  steps(x.t, 2);
  memset(y.state, 0xee, STATE);
  memcpy(y.state, x.state, TINY_TRAIN_BYTES);
  memset(x.state, 0, TINY_TRAIN_BYTES);
  tiny_train_config c = config_of(&y);
  c.weights = NULL, c.weights_bytes = 0;
  CHECK(tiny_train_init(&y.t, &c) == TINY_OK);
  CHECK(tiny_train_step(y.t) == 2);
  steps(y.t, 4);
  Training whole = begin(STATE);
  steps(whole.t, 6);
  CHECK(same(y.t, whole.t));

  tiny_train *t = NULL;
  c.state = x.state, c.state_bytes = TINY_TRAIN_BYTES; // zeros: a beginning
  CHECK(tiny_train_init(&t, &c) == TINY_OK && tiny_train_step(t) == 0);
  for (unsigned i = 0; i < tiny_train_tensors(); i++) { // .. that becomes the other one by its tensors
    static unsigned char rows[ALL];
    const tiny_trained *w = tiny_train_tensor(i);
    for (int part = TINY_VALUE; part <= TINY_MOMENT2; part++) {
      if (part == TINY_GRADIENT || (part && !w->trained)) continue;
      CHECK(tiny_train_get(whole.t, w->name, part, rows, 4 * w->elements) == TINY_OK);
      CHECK(tiny_train_put(t, w->name, part, rows, 4 * w->elements) == TINY_OK);
    }
  }
  tiny_train_set_step(t, 6);
  CHECK(same(t, whole.t));
  steps(t, 2), steps(whole.t, 2);
  CHECK(same(t, whole.t));
  memset(x.state, 0x55, TINY_TRAIN_BYTES);
  CHECK(tiny_train_init(&t, &c) == TINY_EWEIGHTS && !t); // neither zeros nor a state
  memcpy(x.state, y.state, TINY_TRAIN_BYTES);
  x.state[8] ^= 1; // of another model
  CHECK(tiny_train_init(&t, &c) == TINY_EPLAN && !t);
  x.state[8] ^= 1, x.state[16] ^= 1; // with other weights trained
  CHECK(tiny_train_init(&t, &c) == TINY_EPLAN && !t);
  end(&x), end(&y), end(&whole);
}

static tiny_ctx *serve(const void *file, void *arena) {
  tiny_config c = {.abi = TINY_ABI_VERSION,
                   .weights = file,
                   .weights_bytes = TINY_WEIGHTS_BYTES,
                   .arena = arena,
                   .arena_bytes = TINY_ARENA_BYTES(1)};
  tiny_ctx *ctx = NULL;
  CHECK(tiny_init(&ctx, &c) == TINY_OK);
  return ctx;
}

static void exported(void) {
  Training x = begin(TINY_TRAIN_BYTES);
  void *file = buffer(TINY_WEIGHTS_BYTES), *arena = buffer(TINY_ARENA_BYTES(1));
  float before[15], now[15], served[15];
  CHECK(tiny_logits(tiny_train_ctx(x.t), 3, 4, text[0], before) == TINY_OK);
  tiny_ctx *ctx = serve(weights, arena);
  CHECK(tiny_logits(ctx, 3, 4, text[0], served) == TINY_OK);
  CHECK(!memcmp(before, served, sizeof served));
  steps(x.t, 3);
  CHECK(tiny_logits(tiny_train_ctx(x.t), 3, 4, text[0], now) == TINY_OK);
  CHECK(memcmp(before, now, sizeof now) != 0);
  CHECK(tiny_selftest(tiny_train_ctx(x.t)) == TINY_EWEIGHTS); // no checksums
  CHECK(tiny_train_export(x.t, file, TINY_WEIGHTS_BYTES) == TINY_OK);
  ctx = serve(file, arena);
  CHECK(tiny_selftest(ctx) == TINY_OK);
  CHECK(tiny_logits(ctx, 3, 4, text[0], served) == TINY_OK);
  CHECK(!memcmp(now, served, sizeof served));
  end(&x);
  free(file), free(arena);
}

// Processes that share a batch, here threads: each makes its part of the calls.
enum { RANKS = 4, CALLS = 8, ROOM = TINY_TRAIN_BYTES + 3 * TINY_TRAIN_ADD_BYTES };
typedef struct Group {
  pthread_barrier_t at;
  unsigned size, calls; // of a part
  float *x[RANKS], *sum;
  unsigned refuse; // this many sums are refused
  Training training[RANKS];
} Group;
typedef struct Member {
  Group *group;
  unsigned rank;
} Member;

static float tree(Group *g, size_t i, unsigned first, unsigned n) {
  unsigned h = 1;
  if (n == 1) return g->x[first][i];
  while (2 * h < n) h *= 2;
  return tree(g, i, first, h) + tree(g, i, first + h, n - h);
}
static int sum_of_group(void *ud, float *x, size_t n) {
  Member *m = ud;
  Group *g = m->group;
  g->x[m->rank] = x;
  pthread_barrier_wait(&g->at);
  if (g->refuse) return 1;
  if (!m->rank) {
    g->sum = buffer(n * sizeof *x);
    for (size_t i = 0; i < n; i++) g->sum[i] = tree(g, i, 0, g->size);
  }
  pthread_barrier_wait(&g->at);
  memcpy(x, g->sum, n * sizeof *x);
  pthread_barrier_wait(&g->at);
  if (!m->rank) free(g->sum);
  return 0;
}

static void calls_of(tiny_train *t, unsigned first, unsigned n) {
  for (unsigned i = first; i < first + n; i++) CHECK(batch(t, i % 2, 0.5f + 0.3f * (float)i) == TINY_OK);
}
static void *member(void *p) {
  Member *m = p;
  Group *g = m->group;
  Training *x = &g->training[m->rank];
  tiny_comm comm = {m->rank, g->size, m, sum_of_group, NULL, NULL};
  *x = (Training){NULL, buffer(ROOM), buffer(TINY_ARENA_BYTES(1)), ROOM};
  tiny_train_config c = config_of(x);
  c.comm = &comm, c.calls = g->calls;
  CHECK(tiny_train_init(&x->t, &c) == TINY_OK);
  memset(&comm, 0, sizeof comm); // it was copied
  unsigned n = CALLS / g->size;
  for (int step = 0; step < 3; step++) {
    calls_of(x->t, m->rank * n, n);
    CHECK(tiny_update(x->t, TINY_ADAMW, &usual, 1, NULL, 1.0, NULL) == (g->refuse ? TINY_ECOMM : TINY_OK));
  }
  return NULL;
}
static void run_group(Group *g, unsigned size, unsigned calls, unsigned refuse) {
  pthread_t thread[RANKS];
  Member m[RANKS];
  *g = (Group){.size = size, .calls = calls, .refuse = refuse};
  pthread_barrier_init(&g->at, NULL, size);
  for (unsigned r = 0; r < size; r++) {
    m[r] = (Member){g, r};
    if (pthread_create(&thread[r], NULL, member, &m[r])) exit(3);
  }
  for (unsigned r = 0; r < size; r++) pthread_join(thread[r], NULL);
  pthread_barrier_destroy(&g->at);
}
static void end_group(Group *g) {
  for (unsigned r = 0; r < g->size; r++) end(&g->training[r]);
}

// A batch in eight calls has the same bits whether one, two or four processes make them; by two calls a part as well.
// What an objective assigns is each process's own.
static void shared(void) {
  for (unsigned calls = 1; calls <= 2; calls++) {
    Group one;
    run_group(&one, 1, calls, 0);
    CHECK(tiny_train_step(one.training[0].t) == 3);
    for (unsigned size = 2; size <= RANKS; size *= 2) {
      Group g;
      run_group(&g, size, calls, 0);
      for (unsigned r = 0; r < size; r++) CHECK(same_of(one.training[0].t, g.training[r].t, 0));
      end_group(&g);
    }
    end_group(&one);
  }
  Training untouched = begin(TINY_TRAIN_BYTES);
  Group g;
  run_group(&g, 2, 1, 1);
  for (unsigned r = 0; r < 2; r++) CHECK(same_of(untouched.t, g.training[r].t, 0));
  end_group(&g), end(&untouched);
}

// Eight calls with room for the tree are added pairwise; with room for one sum more, in their order.
static void in_order(void) {
  static float part[CALLS][108], want[108], got[108];
  for (unsigned room = 1; room <= 3; room += 2) {
    size_t bytes = TINY_TRAIN_BYTES + room * TINY_TRAIN_ADD_BYTES;
    Training x = begin(TINY_TRAIN_BYTES), y = begin(bytes);
    for (unsigned i = 0; i < CALLS; i++) {
      calls_of(x.t, i, 1);
      CHECK(tiny_train_get(x.t, "words", TINY_GRADIENT, part[i], sizeof part[i]) == TINY_OK);
      CHECK(tiny_update(x.t, TINY_ADAMW, &(tiny_hyper){0, 0.9, 0.9, 1, 0}, 1, NULL, 0, NULL) == TINY_OK);
      tiny_train_set_step(x.t, 0);
    }
    for (int k = 0; k < 108; k++) {
      float p[CALLS];
      for (int i = 0; i < CALLS; i++) p[i] = part[i][k];
      for (int i = 1; room == 1 && i < CALLS; i++) p[0] += p[i];
      for (int step = 1; room > 1 && step < CALLS; step *= 2)
        for (int i = 0; i < CALLS; i += 2 * step) p[i] += p[i + step];
      want[k] = p[0];
    }
    calls_of(y.t, 0, CALLS);
    CHECK(tiny_train_get(y.t, "words", TINY_GRADIENT, got, sizeof got) == TINY_OK);
    CHECK(!memcmp(want, got, sizeof want));
    end(&x), end(&y);
  }
}

// Gradients of two batches are added, and an update takes their mean.
static void added(void) {
  static float one[2][ALL / 4], sum[ALL / 4];
  Training x = begin(STATE);
  for (unsigned i = 0; i < tiny_train_tensors(); i++) {
    const tiny_trained *w = tiny_train_tensor(i);
    if (!w->trained) continue;
    for (int k = 0; k < 2; k++) {
      CHECK(tiny_train_init(&x.t, &(tiny_train_config){TINY_ABI_VERSION, x.state, STATE, weights, TINY_WEIGHTS_BYTES,
                                                       x.arena, TINY_ARENA_BYTES(1), NULL, NULL, NULL, 0}) == TINY_OK);
      CHECK(batch(x.t, k, 1) == TINY_OK);
      CHECK(tiny_train_get(x.t, w->name, TINY_GRADIENT, one[k], 4 * w->elements) == TINY_OK);
    }
    CHECK(batch(x.t, 0, 1) == TINY_OK); // behind batch 1
    CHECK(tiny_train_get(x.t, w->name, TINY_GRADIENT, sum, 4 * w->elements) == TINY_OK);
    for (size_t e = 0; e < w->elements; e++) CHECK(sum[e] == one[0][e] + one[1][e]);
  }
  float p[12], q[12];
  tiny_hyper plain = {0.5, 0, 0, 0, 0};
  CHECK(tiny_train_get(x.t, "norm.bias", TINY_VALUE, p, sizeof p) == TINY_OK);
  CHECK(tiny_train_get(x.t, "norm.bias", TINY_GRADIENT, sum, sizeof p) == TINY_OK);
  CHECK(tiny_update(x.t, TINY_SGD, &plain, 1, NULL, 0, NULL) == TINY_OK);
  CHECK(tiny_train_get(x.t, "norm.bias", TINY_VALUE, q, sizeof q) == TINY_OK);
  for (int e = 0; e < 12; e++) CHECK(q[e] == p[e] - 0.5f * (sum[e] * 0.5f));
  end(&x);
}

// Weights of a group with lr 0 keep every bit, also the sign of a zero; all others move.
static void frozen(void) {
  static const tiny_hyper group[] = {{0, 0.9, 0.999, 1e-8, 0.1}, {0.01, 0.9, 0.999, 1e-8, 0.1}};
  for (int o = 0; o < TINY_OPTIMISERS; o++) {
    Training x = begin(TINY_TRAIN_BYTES);
    float was[144], is[144];
    unsigned char group_of[TENSORS] = {0};
    unsigned k = 0;
    CHECK(tiny_train_get(x.t, "fc.weight", TINY_VALUE, was, sizeof was) == TINY_OK);
    for (int i = 0; i < 144; i += 3) was[i] = i % 2 ? -0.0f : 0.0f;
    CHECK(tiny_train_put(x.t, "fc.weight", TINY_VALUE, was, sizeof was) == TINY_OK);
    for (unsigned i = 0; i < tiny_train_tensors(); i++)
      if (tiny_train_tensor(i)->trained) group_of[k++] = !strncmp(tiny_train_tensor(i)->name, "head", 4);
    for (int i = 0; i < 3; i++) {
      CHECK(batch(x.t, i % 2, 1) == TINY_OK);
      CHECK(tiny_update(x.t, (tiny_optimiser)o, group, 2, group_of, 0.5, NULL) == TINY_OK);
    }
    CHECK(tiny_train_get(x.t, "fc.weight", TINY_VALUE, is, sizeof is) == TINY_OK);
    CHECK(!memcmp(was, is, sizeof is));
    Training y = begin(TINY_TRAIN_BYTES);
    CHECK(tiny_train_get(x.t, "head.weight", TINY_VALUE, is, 240) == TINY_OK);
    CHECK(tiny_train_get(y.t, "head.weight", TINY_VALUE, was, 240) == TINY_OK);
    CHECK(memcmp(was, is, 240) != 0);
    end(&x), end(&y);
  }
}

static void with_threads(void) {
  Training x = begin(STATE), y = {NULL, buffer(STATE), buffer(TINY_ARENA_BYTES(THREADS)), STATE};
  tiny_train_config c = config_of(&y);
  c.exec = &two_threads, c.arena_bytes = TINY_ARENA_BYTES(THREADS);
  CHECK(tiny_train_init(&y.t, &c) == TINY_OK);
  steps(x.t, 3), steps(y.t, 3);
  CHECK(same(x.t, y.t));
  end(&x), end(&y);
}

// What three steps and a call of the route leave, for other ways of making the module.
static void leave(const char *path) {
  static unsigned char all[ALL];
  float y[15];
  Training x = begin(TINY_TRAIN_BYTES);
  steps(x.t, 3);
  size_t n = collect(x.t, all, 1);
  CHECK(tiny_logits(tiny_train_ctx(x.t), 3, 4, text[0], y) == TINY_OK);
  FILE *f = fopen(path, "wb");
  CHECK(f && fwrite(all, 1, n, f) == n && fwrite(y, sizeof y, 1, f) == 1);
  if (f) fclose(f);
  end(&x);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  void *file = buffer(TINY_WEIGHTS_BYTES);
  FILE *f = fopen(argv[1], "rb");
  if (!f || fread(file, TINY_WEIGHTS_BYTES, 1, f) != 1) return 3;
  fclose(f);
  weights = file;
  misuse();
  not_finite();
  continued();
  exported();
  added();
  shared();
  in_order();
  frozen();
  with_threads();
  leave(argv[2]);
  free(file);
  return failed;
}
