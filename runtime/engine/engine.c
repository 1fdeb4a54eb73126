//@ alone
// engine.c: what is the same in every compiled model: which instruction set runs here, checks of a call, launching
// kernels on threads, the public functions, and the self-test (selftest.c). A C file of its own, compiled ahead to
// bitcode for the LLVM back end and linked to its tests; and the frame of every C module: syc prints it with `mdl`
// replaced by the model's prefix, files that it includes by name in their places, and at a line //@ NAME what differs
// from model to model: codegen/template.h has the rules, codegen/emit_model.c the parts.
//
// Invariants: C99; no allocation, nothing static is written; of the C library four functions of <string.h>.
#include "alone.h"
//@ end
//@ title
#include <float.h>
#include <limits.h>
#include <string.h>

#if __STDC_VERSION__ >= 201112L && !defined(__STDC_NO_ATOMICS__)
#include <stdatomic.h>
typedef atomic_size_t mdl__atomic;
static size_t mdl__take(mdl__atomic *a, size_t n) { return atomic_fetch_add_explicit(a, n, memory_order_relaxed); }
static void mdl__start(mdl__atomic *a) { atomic_init(a, 0); }
#elif defined(__GNUC__)
typedef size_t mdl__atomic;
static size_t mdl__take(mdl__atomic *a, size_t n) { return __atomic_fetch_add(a, n, __ATOMIC_RELAXED); }
static void mdl__start(mdl__atomic *a) { *a = 0; }
#else
#error "this compiler has neither <stdatomic.h> of C11 nor __atomic builtins"
#endif

#if defined(__GNUC__)
#define MDL__UNUSED __attribute__((unused))
#else
#define MDL__UNUSED
#endif

/* Sums in another order are other numbers. What cannot be seen here, the self-test sees. */
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(_M_FP_FAST) ||  \
    (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "build this file without -ffast-math, -Ofast and their parts: they change its results"
#endif
#if defined(__clang__)
#if __clang_major__ >= 12
#pragma float_control(precise, on)
#endif
#pragma STDC FP_CONTRACT OFF /* gcc: -ffp-contract=off; after float_control, which switches it on */
#endif

//@ numbers
#include "plan.h"
//@ train_tables
//@ tables

//@ section What this CPU can run

#include "../cpu_words.h"

//@ section Running steps

struct mdl_ctx {
  const unsigned char *data; /* packed weights */
  const unsigned char *file; /* their file: header, table, data */
  unsigned char *scratch;    /* threads * MDL_SCRATCH_BYTES */
  unsigned char *shared;     /* tensors between kernels */
  uint64_t shared_bytes;
  mdl_exec exec;
  unsigned threads;
  unsigned isa; /* row of mdl__isas */
#ifdef MDL_TRACE
  void (*trace)(void *ud, unsigned step, const char *kernel, double flops);
  void *trace_ud;
#endif
};
/* The context fits its place in the arena (C99 has no static assertion). */
typedef char mdl__context_fits[sizeof(struct mdl_ctx) <= MDL_CONTEXT_BYTES ? 1 : -1];

/* A launch that is worth a hand-over to other threads: about four microseconds of one core. */
#define MDL__PARALLEL_COST UINT64_C(400000)

/* The tasks are divided into shares of neighbours, one for each worker: a task asks for the weights that the task
 * behind it will read. */
#define MDL__SHARES 64u
typedef struct mdl__launch {
  const mdl__args *args;
  void (*run)(const mdl__args *a, size_t task, void *scratch);
  size_t ntask, nshare, chunk;
  unsigned char *scratch;
  mdl__atomic taken[MDL__SHARES]; /* tasks of each share that somebody has taken */
} mdl__launch;

/* Worker item i: takes runs of tasks from its share, then from the others, until none is left. Right in any order,
 * also one item after the other. */
static void mdl__work(void *arg, size_t i) {
  mdl__launch *l = (mdl__launch *)arg;
  void *scratch = l->scratch + i * (size_t)MDL_SCRATCH_BYTES;
  for (size_t j = 0; j < l->nshare; j++) {
    size_t s = (i + j) % l->nshare, begin = l->ntask * s / l->nshare, n = l->ntask * (s + 1) / l->nshare - begin;
    for (;;) {
      size_t first = mdl__take(&l->taken[s], l->chunk);
      if (first >= n) break;
      size_t last = n - first < l->chunk ? n : first + l->chunk;
      for (size_t t = first; t < last; t++) l->run(l->args, begin + t, scratch);
    }
  }
}

static void mdl__run_kernel(mdl_ctx *c, const mdl__slot *k, const mdl__args *args) {
  size_t n = k->tasks(args->dim);
  size_t workers = n < c->threads ? n : c->threads;
  if (workers < 2 || (uint64_t)n * k->cost < MDL__PARALLEL_COST) {
    for (size_t t = 0; t < n; t++) k->run(args, t, c->scratch);
    return;
  }
  mdl__launch l;
  l.args = args;
  l.run = k->run;
  l.ntask = n;
  l.nshare = workers < MDL__SHARES ? workers : MDL__SHARES;
  l.chunk = n / (8 * workers) ? n / (8 * workers) : 1;
  l.scratch = c->scratch;
  for (size_t s = 0; s < l.nshare; s++) mdl__start(&l.taken[s]);
  c->exec.parallel_for(c->exec.ud, workers, mdl__work, &l);
}

/* Kernels take void * for all operands and only read weights and inputs. */
static void *mdl__readable(const void *p) {
  union {
    const void *in;
    void *out;
  } u;
  u.in = p;
  return u.out;
}

/* Where the tensors of a call lie: by the bounds of the dims, or, if the arena is smaller, by n of most rows. */
typedef struct mdl__share {
  uint64_t n, most;
} mdl__share;

static uint64_t mdl__units(uint64_t bytes, mdl__share s) { return (bytes / 64 * s.n + s.most - 1) / s.most; }

/* The least working part of the arena; dims NULL: by their bounds. */
static uint64_t mdl__needed(const mdl__plan *p, const size_t *dims) {
  if (!p->scale || !dims || dims[p->scale - 1] >= mdl__bounds[p->scale - 1].hi) return p->shared_bytes;
  mdl__share s;
  s.n = dims[p->scale - 1];
  s.most = mdl__bounds[p->scale - 1].hi;
  uint64_t n = (mdl__units(p->shared_bytes, s) + p->nbase) * 64;
  return n < p->shared_bytes ? n : p->shared_bytes;
}

static mdl__share mdl__share_of(const mdl_ctx *c, const mdl__plan *p, const size_t *dims) {
  mdl__share s = {1, 1};
  if (c->shared_bytes < p->shared_bytes) {
    s.n = dims[p->scale - 1];
    s.most = mdl__bounds[p->scale - 1].hi;
  }
  return s;
}

static void *mdl__address(const mdl_ctx *c, const mdl__operand *o, mdl__share s, const void *const *in,
                          void *const *out) {
  switch (o->kind) {
  case MDL__AT_ARENA:
    return c->shared + (s.n == s.most ? o->base : (mdl__units(o->base, s) + o->index) * 64) + o->offset;
  case MDL__AT_WEIGHT: return mdl__readable(c->data + o->offset);
  case MDL__AT_IN: return mdl__readable((const unsigned char *)in[o->index] + o->offset);
  case MDL__AT_OUT: return (unsigned char *)out[o->index] + o->offset;
  default: return NULL;
  }
}

static int64_t mdl__extent_of(const mdl__extent *e, const size_t *dims) {
  return e->factor ? e->constant + e->factor * (int64_t)dims[e->dim] : e->constant;
}

static int mdl__ids_fit(const mdl__check *k, const void *ids, const size_t *dims) {
  uint64_t at[6] = {0, 0, 0, 0, 0, 0};
  int64_t limit = mdl__extent_of(&k->limit, dims);
  for (unsigned d = 0; d < k->rank; d++)
    if (mdl__extent_of(&k->extent[d], dims) < 1) return 1;
  for (;;) {
    uint64_t element = 0;
    int32_t id;
    for (unsigned d = 0; d < k->rank; d++) element += at[d] * k->stride[d];
    memcpy(&id, (const unsigned char *)ids + element * sizeof id, sizeof id);
    if (id < 0 || id >= limit) return 0;
    unsigned d = k->rank;
    while (d > 0 && ++at[d - 1] == (uint64_t)mdl__extent_of(&k->extent[d - 1], dims)) at[--d] = 0;
    if (d == 0) return 1;
  }
}

/* Are the row numbers good that step `step` reads? Those that the caller or the weights give come before step 0. */
static mdl_status mdl__check_ids(const mdl_ctx *c, const mdl__plan *p, unsigned step, const size_t *dims,
                                 const void *const *in, void *const *out) {
  const mdl__share s = mdl__share_of(c, p, dims);
  for (unsigned i = 0; i < p->ncheck; i++) {
    const mdl__check *k = &p->check[i];
    if (k->step == step && !mdl__ids_fit(k, mdl__address(c, &k->ids, s, in, out), dims)) return MDL_EINDEX;
  }
  return MDL_OK;
}

static mdl_status mdl__refuse(const mdl_ctx *c, const mdl__plan *p, const size_t *dims, const void *const *in,
                              void *const *out) {
  if ((p->dims && !dims) || (p->ninput && !in) || (p->noutput && !out)) return MDL_EINVAL;
  for (unsigned j = 0, m = p->dims; m; j++, m >>= 1)
    if ((m & 1) && (dims[j] < mdl__bounds[j].lo || dims[j] > mdl__bounds[j].hi)) return MDL_ESHAPE;
  for (unsigned i = 0; i < p->ninput; i++)
    if (!in[i]) return MDL_EINVAL;
  for (unsigned i = 0; i < p->noutput; i++)
    if (!out[i]) return MDL_EINVAL;
  if (c->shared_bytes < mdl__needed(p, dims)) return MDL_EARENA;
  return mdl__check_ids(c, p, 0, dims, in, out);
}

static void mdl__set_dims(mdl__args *a, const size_t *dims, unsigned used) {
  for (unsigned j = 0; j < MDL__ARG_DIMS; j++) a->dim[j] = (used >> j & 1) ? dims[j] : 0;
}

//@ section Packed weights

#include "../weights_format.h"

//@ section Interface

mdl_status mdl_call(mdl_ctx *c, unsigned route, const size_t *dims, const void *const *in, void *const *out) {
  if (!c || route >= MDL_ROUTE_COUNT) return MDL_EINVAL;
  const mdl__plan *p = &mdl__plans[route];
  mdl_status status = mdl__refuse(c, p, dims, in, out);
  if (status != MDL_OK) return status;
  mdl__args args;
  mdl__set_dims(&args, dims, p->dims);
  const mdl__share share = mdl__share_of(c, p, dims);
  for (unsigned i = 0; i < p->nstep; i++) {
    const mdl__step *s = &p->step[i];
    if (i && (status = mdl__check_ids(c, p, i, dims, in, out)) != MDL_OK) return status;
    for (unsigned j = 0; j < MDL__MAX_ARGS; j++) args.p[j] = mdl__address(c, &s->arg[j], share, in, out);
    mdl__run_kernel(c, &mdl__isas[c->isa].slot[s->kernel], &args);
#ifdef MDL_TRACE
    if (c->trace) c->trace(c->trace_ud, i, mdl__kernel_names[s->kernel], s->flops);
#endif
  }
  return MDL_OK;
}

/* Rank of the cap by name; -1: there is no such instruction set, -2: not on this family. NULL is no cap. */
static int mdl__cap_rank(const char *name) {
  if (!name) return INT_MAX;
  for (unsigned i = 0; mdl__caps[i].name; i++)
    if (!strcmp(mdl__caps[i].name, name)) return mdl__caps[i].rank;
  return -1;
}

/* The table of the weight file: parts of the data, aligned, one behind the other. */
static mdl_status mdl__check_table(const void *file, const sy_weights_header *h) {
  uint64_t end = 0;
  for (uint64_t i = 0; i < h->count; i++) {
    sy_weights_entry entry;
    const void *data = NULL;
    if (sy_weights_find(file, h, i, &entry, &data) || entry.offset < end) return MDL_EWEIGHTS;
    end = entry.offset + entry.bytes;
  }
  return MDL_OK;
}

static mdl_status mdl__check_header(const void *file, sy_weights_header *h) {
  const uint64_t data_bytes = MDL_WEIGHTS_BYTES - MDL__WEIGHTS_DATA;
  memcpy(h, file, sizeof *h);
  if (memcmp(h->magic, SY_WEIGHTS_MAGIC, sizeof h->magic) != 0 || h->version != SY_WEIGHTS_VERSION) return MDL_EWEIGHTS;
  if (h->endian != SY_WEIGHTS_ENDIAN) return MDL_EWEIGHTS;
  if (h->plan_hash != MDL_PLAN_HASH) return MDL_EPLAN;
  if (h->data_offset != MDL__WEIGHTS_DATA || h->data_bytes != data_bytes || h->count != MDL__WEIGHTS_COUNT)
    return MDL_EWEIGHTS;
  return MDL_OK;
}

static mdl_status mdl__check_weights(const mdl_config *config) {
  sy_weights_header h;
  if (config->weights_bytes < sizeof h) return MDL_EWEIGHTS;
  mdl_status status = mdl__check_header(config->weights, &h);
  if (status != MDL_OK) return status;
  return config->weights_bytes < MDL_WEIGHTS_BYTES ? MDL_EWEIGHTS : mdl__check_table(config->weights, &h);
}

size_t mdl_arena_bytes(unsigned route, const size_t *dims, unsigned threads) {
  uint64_t most = 0;
  for (unsigned i = 0; i < (unsigned)MDL_ROUTE_COUNT; i++) {
    uint64_t n = route == i || route >= MDL_ROUTE_COUNT ? mdl__needed(&mdl__plans[i], dims) : 0;
    if (n > most) most = n;
  }
  return (size_t)(MDL_CONTEXT_BYTES + most + (uint64_t)(threads > 1 ? threads : 1) * MDL_SCRATCH_BYTES);
}

mdl_status mdl_init(mdl_ctx **ctx, const mdl_config *config) {
  if (!ctx) return MDL_EINVAL;
  *ctx = NULL;
  if (!config) return MDL_EINVAL;
  if (config->abi != MDL_ABI_VERSION) return MDL_EABI;
  if (!config->weights || !config->arena || (config->exec && !config->exec->parallel_for)) return MDL_EINVAL;
  int cap = mdl__cap_rank(config->max_isa);
  if (cap < 0) return cap == -2 ? MDL_EISA : MDL_EINVAL;
  if ((uintptr_t)config->arena % MDL_ALIGN || (uintptr_t)config->weights % MDL_ALIGN) return MDL_EALIGN;
  mdl_status status = mdl__check_weights(config);
  if (status != MDL_OK) return status;
  unsigned threads = config->exec && config->exec->threads > 1 ? config->exec->threads : 1;
  uint64_t fixed = MDL_CONTEXT_BYTES, scratch = (uint64_t)MDL_SCRATCH_BYTES * threads;
  if (scratch / threads != MDL_SCRATCH_BYTES || config->arena_bytes < fixed || config->arena_bytes - fixed < scratch)
    return MDL_EARENA;
  size_t dims[MDL__ARG_DIMS];
  for (unsigned i = 0; i < MDL__ARG_DIMS; i++) dims[i] = (size_t)mdl__bounds[i].lo;
  uint64_t least = mdl__needed(&mdl__plans[0], dims); /* some call of some route must fit */
  for (unsigned i = 1; i < (unsigned)MDL_ROUTE_COUNT; i++)
    if (mdl__needed(&mdl__plans[i], dims) < least) least = mdl__needed(&mdl__plans[i], dims);
  if (config->arena_bytes - fixed - scratch < least) return MDL_EARENA;
  uint32_t have[SY_CPU_WORDS];
  unsigned best = 0;
  int found = 0;
  sy_cpu_words(have);
  for (unsigned i = 0; mdl__isas[i].name; i++)
    if ((int)mdl__isas[i].rank <= cap && sy_cpu_has(mdl__isas[i].need, have)) {
      best = i;
      found = 1;
    }
  if (!found) return MDL_EISA;
  mdl_ctx *c = (mdl_ctx *)config->arena;
  memset(c, 0, sizeof *c);
  c->file = (const unsigned char *)config->weights;
  c->data = c->file + MDL__WEIGHTS_DATA;
  c->scratch = (unsigned char *)config->arena + (size_t)fixed;
  c->shared = c->scratch + (size_t)scratch;
  c->shared_bytes = config->arena_bytes - fixed - scratch;
  c->threads = threads;
  c->isa = best;
  if (config->exec) c->exec = *config->exec;
  *ctx = c;
  return MDL_OK;
}

const char *mdl_isa(const mdl_ctx *c) { return c ? mdl__isas[c->isa].name : ""; }

const mdl_info *mdl_describe(void) { return &mdl__info_table; }

const char *mdl_strerror(int status) {
  static const char *const text[] = {
      "no error",
      "invalid argument: a null pointer, an unknown route or an unknown instruction set",
      "the caller was compiled against another version of the interface",
      "the weight file was packed for another build of this model",
      "not a weight file, or it is cut off or damaged",
      "the arena is too small",
      "the arena and the weights must be aligned to 64 bytes",
      "no compiled instruction set can run on this CPU under the given cap",
      "a run-time dim is out of its bounds",
      "an id is outside its table",
      "the self-test found different results",
      "a loss or a gradient is not finite",
      "another process of the training cannot be reached",
  };
  return status >= 0 && status < (int)(sizeof text / sizeof *text) ? text[status] : "unknown status";
}

#ifdef MDL_TRACE
void mdl_set_trace(mdl_ctx *c, void (*fn)(void *ud, unsigned step, const char *kernel, double flops), void *ud) {
  if (!c) return;
  c->trace = fn;
  c->trace_ud = ud;
}
#endif

#include "selftest.c"
//@ training
//@ alone
#include "train.c"
//@ end
//@ route_functions
