// threads.c: one compiled model, all its routes, on 1 to 64 threads, again and again: the same bits every time, and no
// report of the sanitizer it is built with. Then every wrong use of the interface that a caller can make: an error, no
// crash.
//
//   threads MODEL.so WEIGHTS.syw ROUNDS
//
// Built with the runtime's sources by run.sh, once with -fsanitize=thread and once with address,undefined.
#include "switchyard.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, DIMS = 32 };

typedef struct Route {
  const sy_route *r;
  unsigned number;
  void *in[MOST], *out[MOST], *first[MOST]; // first: what the first call gave
} Route;

static unsigned random_state = 1;
static unsigned random_below(unsigned n) {
  random_state = random_state * 1664525u + 1013904223u;
  return (random_state >> 8) % n;
}

static void *buffer(uint64_t bytes) {
  void *p = aligned_alloc(SY_ALIGN, (size_t)((bytes + 2 * SY_ALIGN) / SY_ALIGN * SY_ALIGN));
  if (!p) abort();
  memset(p, 0, (size_t)bytes);
  return p;
}

static void fill(const sy_tensor *t, void *p) {
  for (uint64_t i = 0; i < t->elements; i++) {
    float f = (float)random_below(2001) / 1000 - 1;
    int32_t n = (int32_t)random_below(2); // a row of the smallest table, BERT's two types of token
    if (!strcmp(t->dtype, "f32")) memcpy((char *)p + 4 * i, &f, 4);
    if (!strcmp(t->dtype, "i32")) memcpy((char *)p + 4 * i, &n, 4);
    if (!strcmp(t->dtype, "bool")) ((unsigned char *)p)[i] = 1;
  }
}

static void open_route(Route *x, const sy_route *r, unsigned number) {
  *x = (Route){.r = r, .number = number};
  if (r->ninput > MOST || r->noutput > MOST) abort();
  for (unsigned i = 0; i < r->ninput; i++) fill(&r->input[i], x->in[i] = buffer(r->input[i].bytes));
  for (unsigned i = 0; i < r->noutput; i++) x->out[i] = buffer(r->output[i].bytes);
}

static int call(const sy_model *m, void *ctx, Route *x, const size_t *dims) {
  for (unsigned i = 0; i < x->r->noutput; i++) memset(x->out[i], 0, (size_t)x->r->output[i].bytes);
  sy_status status = m->call(ctx, x->number, dims, (const void *const *)x->in, x->out);
  if (status) return fprintf(stderr, "%s: %s\n", x->r->name, sy_strerror((int)status)), 1;
  for (unsigned i = 0; i < x->r->noutput; i++) {
    size_t n = (size_t)x->r->output[i].bytes;
    if (!x->first[i]) memcpy(x->first[i] = buffer(n), x->out[i], n);
    if (memcmp(x->first[i], x->out[i], n) != 0)
      return fprintf(stderr, "%s: output %u has other bits\n", x->r->name, i), 1;
  }
  return 0;
}

static int on_threads(const sy_model *m, const sy_map *w, Route *route, const size_t *dims, unsigned threads) {
  sy_pool *pool = sy_pool_new(threads);
  sy_exec exec = sy_pool_exec(pool);
  size_t bytes = m->arena_bytes(exec.threads);
  void *arena = buffer(bytes), *ctx = NULL;
  sy_config config = {SY_ABI_VERSION, w->data, w->bytes, arena, bytes, &exec, NULL};
  int bad = m->init(&ctx, &config) != SY_OK;
  for (unsigned r = 0; r < m->info->nroute && !bad; r++) bad = call(m, ctx, &route[r], dims);
  free(arena);
  sy_pool_free(pool);
  return bad;
}

/* misuse
 * --------------------------------------------------------------------------------------------------------------- */
static int refused(const sy_model *m, sy_config c, const char *what) {
  void *ctx = NULL;
  if (m->init(&ctx, &c) != SY_OK) return 0;
  return fprintf(stderr, "accepted: %s\n", what), 1;
}

static int misuse(const sy_model *m, const sy_map *w, Route *route, const size_t *dims) {
  size_t bytes = m->arena_bytes(1);
  char *arena = buffer(bytes + SY_ALIGN);
  const sy_config good = {SY_ABI_VERSION, w->data, w->bytes, arena, bytes, NULL, NULL};
  sy_config c = good;
  int bad = 0;
  c = good, c.abi++, bad += refused(m, c, "another ABI");
  c = good, c.weights = NULL, bad += refused(m, c, "no weights");
  c = good, c.weights_bytes = 7, bad += refused(m, c, "weights cut short");
  c = good, c.weights_bytes--, bad += refused(m, c, "weights short by a byte");
  c = good, c.arena = NULL, bad += refused(m, c, "no arena");
  c = good, c.arena_bytes = SY_ALIGN, bad += refused(m, c, "an arena that is too small");
  c = good, c.arena = arena + 1, bad += refused(m, c, "an arena that is not aligned");
  c = good, c.max_isa = "nosuch", bad += refused(m, c, "an instruction set that does not exist");
  void *ctx = NULL;
  if (m->init(&ctx, &good) != SY_OK) return bad + 1;
  const Route *x = &route[0];
  size_t wrong[DIMS];
  for (unsigned d = 0; d < m->info->ndim; d++) {
    memcpy(wrong, dims, sizeof wrong);
    wrong[d] = (size_t)m->info->dim[d].hi + 1;
    if ((x->r->dims >> d & 1) && m->call(ctx, 0, wrong, (const void *const *)x->in, (void *const *)x->out) == SY_OK)
      bad++, fprintf(stderr, "accepted: %s beyond its bound\n", m->info->dim[d].name);
  }
  if (m->call(ctx, m->info->nroute, dims, (const void *const *)x->in, (void *const *)x->out) == SY_OK)
    bad++, fprintf(stderr, "accepted: a route that does not exist\n");
  free(arena);
  return bad;
}

int main(int argc, char **argv) {
  static const unsigned counts[] = {1, 2, 3, 4, 7, 8, 16, 33, 64};
  void *lib = argc == 4 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!lib) return fprintf(stderr, "threads: %s\n", argc == 4 ? dlerror() : "MODEL.so WEIGHTS.syw ROUNDS"), 2;
  const sy_model *(*entry)(void);
  *(void **)&entry = dlsym(lib, "sy_model_entry");
  const sy_model *m = entry ? entry() : NULL;
  sy_map w;
  if (!m || sy_map_open(&w, argv[2], 0)) return fprintf(stderr, "threads: no model or no weights\n"), 2;
  Route *route = calloc(m->info->nroute, sizeof *route);
  size_t dims[DIMS] = {0};
  for (unsigned d = 0; d < m->info->ndim; d++) dims[d] = (size_t)(m->info->dim[d].hi < 3 ? m->info->dim[d].hi : 3);
  for (unsigned r = 0; r < m->info->nroute; r++) open_route(&route[r], &m->info->route[r], r);
  int bad = misuse(m, &w, route, dims);
  for (long round = strtol(argv[3], NULL, 10); round > 0 && !bad; round--)
    for (size_t i = 0; i < sizeof counts / sizeof *counts && !bad; i++) bad = on_threads(m, &w, route, dims, counts[i]);
  sy_map_close(&w);
  for (unsigned r = 0; r < m->info->nroute; r++) {
    for (unsigned i = 0; i < MOST; i++) free(route[r].in[i]), free(route[r].out[i]), free(route[r].first[i]);
  }
  free(route);
  return bad != 0;
}
