// engine.c (test): the engine of compiled models on its own, with a model written by hand in its tables: one route of
// two kernels, on three instruction sets of which one runs nowhere.
//
//   route score(x: f32[B, 16], id: i32[B]) -> y: f32[B, 16]      B = 1..4
//     add    a = x + table[id]    through the arena, which shrinks with B
//     twice  y = 2 a
#include "runtime/engine/alone.h"
#include "runtime/weights_format.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 16, VOCAB = 3, MAX_B = 4, TABLE = VOCAB * WIDTH * 4, DATA = 4096, ROUTE = MAX_B * WIDTH * 4 };

/* the model -----------------------------------------------------------------------------------------------------------
 */
static int wrong_kernel, wrong_probe; // what the better instruction set does wrong

static void run_add(const mdl__args *a, size_t task, void *scratch) {
  const float *x = a->p[0], *table = a->p[2];
  int32_t id = ((const int32_t *)a->p[1])[task];
  (void)scratch;
  for (size_t i = 0; i < WIDTH; i++)
    ((float *)a->p[3])[task * WIDTH + i] = x[task * WIDTH + i] + table[(size_t)id * WIDTH + i];
}

static void run_twice(const mdl__args *a, size_t task, void *scratch) {
  (void)scratch;
  for (size_t i = 0; i < WIDTH; i++)
    ((float *)a->p[1])[task * WIDTH + i] = 2 * ((const float *)a->p[0])[task * WIDTH + i];
}

static void run_better_twice(const mdl__args *a, size_t task, void *scratch) {
  run_twice(a, task, scratch);
  if (wrong_kernel) ((float *)a->p[1])[task * WIDTH + 3] += 0.5f;
}

static size_t rows(const size_t *d) {
  return d[0];
}

static void probe(const mdl__args *a, size_t task, void *scratch) {
  (void)scratch;
  ((float *)a->p[1])[task] = 1;
}

static void better_probe(const mdl__args *a, size_t task, void *scratch) {
  probe(a, task, scratch);
  if (wrong_probe) ((float *)a->p[1])[task] += 1e-6f;
}

#define PROBE_SUM UINT64_C(0x351e58170288c078) // of y = {1, 0, 0, ..}, as sy_weights_checksum has it
#define IN(i)                                                                                                          \
  { MDL__AT_IN, i, 0, 0 }
static const mdl__slot plain[] = {{run_add, rows, 1000000}, {run_twice, rows, 10}};
static const mdl__slot better[] = {{run_add, rows, 1000000}, {run_better_twice, rows, 10}};
static const mdl__step steps[] = {{0, {IN(0), IN(1), {MDL__AT_WEIGHT, 0, 0, 0}, {MDL__AT_ARENA, 0, 0, 0}}, 1.0},
                                  {1, {{MDL__AT_ARENA, 0, 0, 0}, {MDL__AT_OUT, 0, 0, 0}}, 2.0}};
static const mdl__check checks[] = {{0, 1, IN(1), {1}, {{0, 1, 0}}, {VOCAB, 0, 0}}};

const mdl__facts mdl__facts_table = {0x1234, DATA + TABLE, DATA, 1, ROUTE, 64, 1, 0, 0};
const mdl_bound mdl__bounds[MDL__ARG_DIMS] = {{"B", 1, MAX_B}};
const mdl__plan mdl__plans[] = {{2, 1, 2, 1, 1, 1, 1, ROUTE, steps, checks}};
const mdl__isa_row mdl__isas[] = {
    {"plain", 0, {0}, plain, probe, PROBE_SUM},
    {"better", 1, {0}, better, better_probe, PROBE_SUM},
    {"nowhere", 2, {0, 0, 0, 0, 0, UINT32_C(1) << 31}, better, better_probe, PROBE_SUM}, // of XCR0: no registers have
                                                                                         // this bit
    {NULL, 0, {0}, NULL, NULL, 0},
};
const mdl__cap mdl__caps[] = {{"plain", 0}, {"better", 1}, {"nowhere", 2}, {"foreign", -2}, {NULL, 0}};
const mdl__param mdl__params[][MDL__MAX_ARGS] = {
    {{'i', 'f', MAX_B *WIDTH}, {'i', 'i', MAX_B}, {'i', 'f', VOCAB *WIDTH}, {'o', 'f', MAX_B *WIDTH}},
    {{'i', 'f', MAX_B *WIDTH}, {'o', 'f', MAX_B *WIDTH}}};
const char *const mdl__kernel_names[] = {"add", "twice"};
const mdl__entry mdl__entries[] = {{0, TABLE, 'f'}}; // of trainings: tests/step
const mdl__adapter mdl__adapters[] = {{"", 0, 0, 0, 0, 0, 0, 0}};
const mdl__stored mdl__stored_table[] = {{{"", 0, 'f', 0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}};
const mdl__objective mdl__objectives[] = {{0, 0, NULL}};
const mdl__training mdl__training_table = {0, 0, 0, 0, 0, {0}, 0};
const mdl_info mdl__info_table = {.model = "by hand", .plan_hash = 0x1234};

/* calling it ----------------------------------------------------------------------------------------------------------
 */
typedef struct Bench {
  _Alignas(64) unsigned char file[DATA + TABLE + 1];
  _Alignas(64) unsigned char arena[16384];
  mdl_config config;
  mdl_ctx *ctx;
  float x[MAX_B * WIDTH], y[MAX_B * WIDTH];
  int32_t id[MAX_B];
} Bench;
static Bench b;

static void start(void) {
  sy_weights_header h = {"", SY_WEIGHTS_VERSION, SY_WEIGHTS_ENDIAN, 0x1234, DATA, TABLE, 1};
  memcpy(h.magic, SY_WEIGHTS_MAGIC, sizeof h.magic);
  float table[VOCAB * WIDTH];
  for (int i = 0; i < VOCAB * WIDTH; i++) table[i] = (float)i;
  sy_weights_entry e = {0, TABLE, sy_weights_checksum(table, TABLE), 'f'};
  memcpy(b.file, &h, sizeof h);
  memcpy(b.file + sizeof h, &e, sizeof e);
  memcpy(b.file + DATA, table, sizeof table);
  for (int i = 0; i < MAX_B * WIDTH; i++) b.x[i] = 0.25f * (float)i;
  for (int i = 0; i < MAX_B; i++) b.id[i] = i % VOCAB;
  b.config = (mdl_config){MDL_ABI_VERSION, b.file, DATA + TABLE, b.arena, MDL_ARENA_BYTES(1), NULL, NULL};
}

static mdl_status call(size_t rows_) {
  memset(b.y, 0, sizeof b.y);
  return mdl_call(b.ctx, 0, &rows_, (const void *[]){b.x, b.id}, (void *[]){b.y});
}

static void expect_results(size_t n) {
  for (size_t r = 0; r < MAX_B; r++)
    for (size_t i = 0; i < WIDTH; i++) {
      float want = 2 * (b.x[r * WIDTH + i] + (float)((size_t)b.id[r] * WIDTH + i));
      cr_assert_eq(b.y[r * WIDTH + i], r < n ? want : 0.0f, "row %zu of %zu", r, n);
    }
}

TestSuite(engine, .init = start);

Test(engine, a_call) {
  cr_assert_eq(mdl_init(&b.ctx, &b.config), MDL_OK);
  cr_expect_str_eq(mdl_isa(b.ctx), "better");
  cr_expect_str_eq(mdl_describe()->model, "by hand");
  for (size_t n = 1; n <= MAX_B; n++) {
    cr_assert_eq(call(n), MDL_OK);
    expect_results(n);
  }
  cr_expect_eq(call(0), MDL_ESHAPE);
  cr_expect_eq(call(MAX_B + 1), MDL_ESHAPE);
  cr_expect_eq(mdl_call(b.ctx, 1, NULL, NULL, NULL), MDL_EINVAL);
  cr_expect_eq(mdl_call(NULL, 0, NULL, NULL, NULL), MDL_EINVAL);
  cr_expect_eq(mdl_call(b.ctx, 0, (size_t[]){1}, (const void *[]){b.x, NULL}, (void *[]){b.y}), MDL_EINVAL);
}

Test(engine, ids_outside_the_table) {
  cr_assert_eq(mdl_init(&b.ctx, &b.config), MDL_OK);
  b.id[1] = VOCAB;
  cr_expect_eq(call(2), MDL_EINDEX);
  cr_expect_eq(b.y[0], 0.0f, "nothing is computed");
  cr_expect_eq(call(1), MDL_OK, "not in use");
  b.id[0] = -1;
  cr_expect_eq(call(1), MDL_EINDEX);
}

#define EXPECT_INIT(change, status)                                                                                    \
  do {                                                                                                                 \
    start();                                                                                                           \
    change;                                                                                                            \
    b.ctx = (mdl_ctx *)(void *)b.arena;                                                                                \
    cr_expect_eq(mdl_init(&b.ctx, &b.config), status);                                                                 \
    cr_expect((status) == MDL_OK || !b.ctx);                                                                           \
  } while (0)

static void no_threads(void *ud, size_t n, void (*task)(void *arg, size_t i), void *arg) {
  (void)ud, (void)n, (void)task, (void)arg;
}

Test(engine, wrong_configs) {
  static mdl_exec none, most = {no_threads, NULL, UINT32_MAX};
  cr_expect_eq(mdl_init(NULL, &b.config), MDL_EINVAL);
  cr_expect_eq(mdl_init(&b.ctx, NULL), MDL_EINVAL);
  EXPECT_INIT((void)0, MDL_OK);
  EXPECT_INIT(b.config.abi++, MDL_EABI);
  EXPECT_INIT(b.config.weights = NULL, MDL_EINVAL);
  EXPECT_INIT(b.config.arena = NULL, MDL_EINVAL);
  EXPECT_INIT(b.config.exec = &none, MDL_EINVAL);
  EXPECT_INIT(b.config.exec = &most, MDL_EARENA);
  EXPECT_INIT(b.config.arena = b.arena + 8, MDL_EALIGN);
  EXPECT_INIT(b.config.weights = b.file + 8, MDL_EALIGN);
  EXPECT_INIT(b.config.max_isa = "other", MDL_EINVAL);
  EXPECT_INIT(b.config.max_isa = "foreign", MDL_EISA);
  EXPECT_INIT(b.config.max_isa = "nowhere", MDL_OK);
  cr_expect_str_eq(mdl_isa(b.ctx), "better");
  EXPECT_INIT(b.config.max_isa = "plain", MDL_OK);
  cr_expect_str_eq(mdl_isa(b.ctx), "plain");
}

Test(engine, damaged_weight_files) {
  static const struct {
    size_t at;
    mdl_status status;
  } byte[] = {{0, MDL_EWEIGHTS},  {8, MDL_EWEIGHTS},  {12, MDL_EWEIGHTS}, {16, MDL_EPLAN},
              {24, MDL_EWEIGHTS}, {32, MDL_EWEIGHTS}, {40, MDL_EWEIGHTS}, {48, MDL_EWEIGHTS},
              {55, MDL_EWEIGHTS}, {60, MDL_EWEIGHTS}, {64, MDL_OK},       {DATA, MDL_OK}};
  for (size_t i = 0; i < sizeof byte / sizeof *byte; i++) {
    EXPECT_INIT(b.file[byte[i].at] ^= 1, byte[i].status);
    if (byte[i].status == MDL_OK) cr_expect_eq(mdl_selftest(b.ctx), MDL_EWEIGHTS, "byte %zu", byte[i].at);
  }
  EXPECT_INIT(b.config.weights_bytes = 0, MDL_EWEIGHTS);
  EXPECT_INIT(b.config.weights_bytes = 47, MDL_EWEIGHTS);
  EXPECT_INIT(b.config.weights_bytes--, MDL_EWEIGHTS);
  EXPECT_INIT(b.config.weights_bytes++, MDL_OK); // a buffer may be longer than the file
}

Test(engine, arenas) {
  const size_t fixed = MDL_CONTEXT_BYTES + 64, one = 1, all = MAX_B;
  cr_expect_eq(mdl_arena_bytes(0, NULL, 1), fixed + ROUTE);
  cr_expect_eq(mdl_arena_bytes(0, &all, 1), fixed + ROUTE);
  cr_expect_eq(mdl_arena_bytes(0, &one, 1), fixed + 2 * 64); // a quarter, and room to round up one place
  cr_expect_eq(mdl_arena_bytes(0, &one, 3), fixed + 2 * 64 + 2 * 64);
  EXPECT_INIT(b.config.arena_bytes = 0, MDL_EARENA);
  EXPECT_INIT(b.config.arena_bytes = mdl_arena_bytes(0, &one, 1) - 1, MDL_EARENA);
  EXPECT_INIT(b.config.arena_bytes = mdl_arena_bytes(0, &one, 1), MDL_OK);
  cr_expect_eq(call(1), MDL_OK);
  expect_results(1);
  cr_expect_eq(call(MAX_B), MDL_EARENA);
}

/* threads -------------------------------------------------------------------------------------------------------------
 */
static void backwards(void *ud, size_t n, void (*task)(void *arg, size_t i), void *arg) {
  *(size_t *)ud += 1;
  while (n-- > 0) task(arg, n);
}

typedef struct Item {
  void (*task)(void *arg, size_t i);
  void *arg;
  size_t i;
} Item;
static void *run_item(void *p) {
  const Item *item = p;
  item->task(item->arg, item->i);
  return NULL;
}
static void in_threads(void *ud, size_t n, void (*task)(void *arg, size_t i), void *arg) {
  pthread_t thread[16];
  Item item[16];
  *(size_t *)ud += 1;
  cr_assert(n <= 16);
  for (size_t i = 0; i < n; i++) {
    item[i] = (Item){task, arg, i};
    cr_assert_eq(pthread_create(&thread[i], NULL, run_item, &item[i]), 0);
  }
  for (size_t i = 0; i < n; i++) pthread_join(thread[i], NULL);
}

// The first kernel is dear enough for a hand-over, the second is not.
Test(engine, tasks_on_threads) {
  for (unsigned threads = 1; threads <= 8; threads++)
    for (int way = 0; way < 2; way++) {
      size_t handed = 0;
      mdl_exec exec = {way ? in_threads : backwards, &handed, threads};
      EXPECT_INIT((b.config.exec = &exec, b.config.arena_bytes = mdl_arena_bytes(0, NULL, threads)), MDL_OK);
      for (size_t n = 1; n <= MAX_B; n++) {
        cr_assert_eq(call(n), MDL_OK);
        expect_results(n);
      }
      cr_expect_eq(handed, threads > 1 ? MAX_B - 1 : 0, "%u threads", threads);
    }
}

static unsigned traced[2];
static void trace(void *ud, unsigned step, const char *kernel, double flops) {
  cr_expect_str_eq(kernel, mdl__kernel_names[step]);
  cr_expect_eq(flops, steps[step].flops);
  traced[step] += *(unsigned *)ud;
}

Test(engine, steps_are_traced) {
  unsigned count = 1;
  cr_assert_eq(mdl_init(&b.ctx, &b.config), MDL_OK);
  mdl_set_trace(b.ctx, trace, &count);
  cr_assert_eq(call(2), MDL_OK);
  mdl_set_trace(b.ctx, NULL, NULL);
  cr_assert_eq(call(2), MDL_OK);
  cr_expect(traced[0] == 1 && traced[1] == 1);
}

/* the self-test -------------------------------------------------------------------------------------------------------
 */
static mdl_status selftest(void) {
  b.config.arena_bytes = sizeof b.arena;
  cr_assert_eq(mdl_init(&b.ctx, &b.config), MDL_OK);
  return mdl_selftest(b.ctx);
}

Test(engine, selftest_passes) {
  cr_expect_eq(selftest(), MDL_OK);
  cr_expect_eq(mdl_selftest(NULL), MDL_EINVAL);
}

Test(engine, selftest_sees_a_wrong_kernel) {
  wrong_kernel = 1;
  cr_expect_eq(selftest(), MDL_ETEST);
}

Test(engine, selftest_sees_a_wrong_probe) {
  wrong_probe = 1;
  cr_expect_eq(selftest(), MDL_ETEST);
}

Test(engine, every_status_has_a_text) {
  for (int s = MDL_OK; s <= MDL_ECOMM; s++) cr_expect_str_neq(mdl_strerror(s), mdl_strerror(-1));
  cr_expect_str_eq(mdl_strerror(MDL_ECOMM + 1), mdl_strerror(-1));
}
