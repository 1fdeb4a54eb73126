//@ alone
// glue.c: a compiled model as a sy_model (runtime/switchyard.h), for programs that drive any model: host/main.c, users
// of dlopen. Needs the model's header and `mdl__info_table`, a sy_info, in front of it.
#include "alone.h"
#include "../switchyard.h"

extern const sy_info mdl__glue_table;
#define mdl__info_table mdl__glue_table
//@ end

static size_t mdl__glue_arena_bytes(unsigned threads) { return (size_t)MDL_ARENA_BYTES(threads); }

static sy_status mdl__glue_init(void **ctx, const sy_config *c) {
  if (!ctx || !c) return SY_EINVAL;
  if (c->abi != SY_ABI_VERSION) return SY_EABI;
  mdl_ctx *made = NULL;
  mdl_exec exec = {NULL, NULL, 1};
  if (c->exec) {
    exec.parallel_for = c->exec->parallel_for;
    exec.ud = c->exec->ud;
    exec.threads = c->exec->threads;
  }
  mdl_config config = {MDL_ABI_VERSION,        c->weights, c->weights_bytes, c->arena, c->arena_bytes,
                       c->exec ? &exec : NULL, c->max_isa};
  sy_status status = (sy_status)mdl_init(&made, &config);
  *ctx = made;
  return status;
}

static sy_status mdl__glue_call(void *ctx, unsigned route, const size_t *dims, const void *const *in,
                                void *const *out) {
  return (sy_status)mdl_call((mdl_ctx *)ctx, route, dims, in, out);
}

static const char *mdl__glue_isa(const void *ctx) { return mdl_isa((const mdl_ctx *)ctx); }
static sy_status mdl__glue_selftest(void *ctx) { return (sy_status)mdl_selftest((mdl_ctx *)ctx); }

#ifdef MDL_TRACE
static void mdl__glue_set_trace(void *ctx, void (*fn)(void *ud, unsigned step, const char *kernel, double flops),
                                void *ud) {
  mdl_set_trace((mdl_ctx *)ctx, fn, ud);
}
#else
#define mdl__glue_set_trace NULL
#endif

//@ training
//@ alone
#include "train_glue.c"
//@ end

const sy_model *sy_model_entry(void) {
  static const sy_model model = {SY_ABI_VERSION,      &mdl__info_table, mdl__glue_arena_bytes, mdl__glue_init,
                                 mdl__glue_call,      mdl__glue_isa,    mdl__glue_selftest,    mdl_strerror,
                                 mdl__glue_set_trace, mdl_arena_bytes,  MDL__TRAINING};
  return &model;
}
