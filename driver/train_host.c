// train_host.c: see train_host.h. The engine's text is compiled here about the program at hand.
#include "train_host.h"

#include "runtime/engine/numbers.h"
#include "runtime/weights_format.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

/* the engine that train.c is a part of
 * --------------------------------------------------------------------------------- */
struct mdl_ctx {
  mdl_exec exec;
  unsigned threads, isa;
};
typedef struct mdl__args {
  void *p[MAX_KERNEL_ARGS];
  size_t dim[MAX_DIMS];
} mdl__args;

static struct { // the program at hand
  const Program *p;
  TrainCall *call;
  void *ud;
  mdl__training training;
  mdl__stored *stored;
  mdl__adapter *adapter;
  mdl__objective *objective;
  mdl__entry *entry;
  uint64_t bytes, add_bytes;
  struct mdl_ctx ctx;
  const void *weights; // the file in the state
} host;

#define MDL_PLAN_HASH host.p->plan_hash
#define MDL__WEIGHTS_COUNT host.p->weight.n
#define MDL__WEIGHTS_DATA sy_weights_data_offset(host.p->weight.n)
#define MDL_WEIGHTS_BYTES (MDL__WEIGHTS_DATA + host.p->weight_bytes)
#define MDL_TRAIN_BYTES host.bytes
#define MDL_TRAIN_ADD_BYTES host.add_bytes
#define mdl__training_table host.training
#define mdl__stored_table host.stored
#define mdl__adapters host.adapter
#define mdl__objectives host.objective
#define mdl__entries host.entry
#define MDL__RUN(ctx, kernel, args) ((void)(ctx), run(kernel, args))

static void *mdl__readable(const void *p) {
  return (void *)(uintptr_t)p;
}

static mdl_status mdl__check_weights(const mdl_config *c) {
  sy_weights_header h;
  if (c->weights_bytes < MDL_WEIGHTS_BYTES) return MDL_EWEIGHTS;
  memcpy(&h, c->weights, sizeof h);
  if (memcmp(h.magic, SY_WEIGHTS_MAGIC, sizeof h.magic) != 0) return MDL_EWEIGHTS;
  return h.plan_hash == MDL_PLAN_HASH ? MDL_OK : MDL_EPLAN;
}

// One grain more than the kernel's buffers have bounds for cannot be: a tensor of 4 GiB.
static void run(unsigned kernel, const mdl__args *args) {
  const Kernel *k = host.p->kernel.at[kernel].k[0];
  int64_t dims[MAX_DIMS] = {(int64_t)args->dim[0]};
  void *buf[MAX_KERNEL_ARGS];
  memcpy(buf, args->p, sizeof buf);
  kernel_interp(k, buf, dims, 0, kernel_tasks(k, dims));
}

mdl_status mdl_init(mdl_ctx **ctx, const mdl_config *c) {
  host.weights = c->weights;
  host.ctx = (struct mdl_ctx){.threads = 1};
  *ctx = &host.ctx;
  return MDL_OK;
}

mdl_status mdl_call(mdl_ctx *ctx, unsigned route, const size_t *dims, const void *const *in, void *const *out) {
  (void)ctx;
  return (mdl_status)host.call(host.ud, route, dims, host.weights, MDL_WEIGHTS_BYTES, in, out);
}

#include "runtime/engine/train.c"
#include "runtime/engine/train_glue.c"

/* the program
 * ------------------------------------------------------------------------------------------------------------ */

const sy_training *train_host(Arena *a, const Program *p, TrainCall *call, void *ud) {
  Training t = program_training(p, a);
  host.p = p, host.call = call, host.ud = ud;
  host.training = (mdl__training){.nstored = (unsigned)t.tensor.n,
                                  .nobjective = (unsigned)t.objective.n,
                                  .nadapter = (unsigned)t.adapter.n,
                                  .update = (unsigned)p->update,
                                  .slots = t.slots,
                                  .layout = t.layout};
  training_parts(p, &t, host.training.part);
  host.bytes = host.training.part[MDL__ADDED], host.add_bytes = training_add_bytes(&t);
  host.stored = ARENA_ARRAY(a, mdl__stored, t.tensor.n + 1);
  host.adapter = ARENA_ARRAY(a, mdl__adapter, t.adapter.n + 1);
  for (size_t i = 0; i < t.adapter.n; i++) host.adapter[i] = t.adapter.at[i];
  host.objective = ARENA_ARRAY(a, mdl__objective, t.objective.n + 1);
  host.entry = ARENA_ARRAY(a, mdl__entry, p->weight.n + 1);
  for (size_t i = 0; i < p->weight.n; i++) {
    const PackedWeight *w = &p->weight.at[i];
    host.entry[i] = (mdl__entry){w->offset, w->bytes, (uint64_t)dtype_info[w->dtype].code};
  }
  for (size_t i = 0; i < t.tensor.n; i++) host.stored[i] = training_stored(p->module, &t.tensor.at[i]);
  for (size_t i = 0; i < t.objective.n; i++) {
    const TrainingObjective *o = &t.objective.at[i];
    size_t n = p->route.at[o->route].graph->output.n;
    mdl__left *left = ARENA_ARRAY(a, mdl__left, n + 1);
    for (size_t k = 0; k < n; k++) left[k] = (mdl__left){o->output[k].kind, o->output[k].tensor};
    host.objective[i] = (mdl__objective){(unsigned)o->route, (unsigned)n, left};
  }
  return mdl__glue_training();
}

void train_rows(const Module *m, const TrainingTensor *t, const void *stored, void *rows) {
  mdl__stored s = training_stored(m, t);
  mdl__reorder(&s, mdl__readable(stored), rows, 0);
}

void train_store(const Module *m, const TrainingTensor *t, const void *rows, void *stored) {
  mdl__stored s = training_stored(m, t);
  mdl__reorder(&s, stored, mdl__readable(rows), 1);
}
