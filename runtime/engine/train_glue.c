//@ alone
// train_glue.c: the training of a compiled model as a sy_training; a part of glue.c.
//@ end
static sy_status mdl__glue_train_init(void **t, const sy_train_config *c) {
  if (!t || !c) return SY_EINVAL;
  if (c->abi != SY_ABI_VERSION) return SY_EABI;
  mdl_train *made = NULL;
  mdl_exec exec = {NULL, NULL, 1};
  if (c->exec) {
    exec.parallel_for = c->exec->parallel_for;
    exec.ud = c->exec->ud;
    exec.threads = c->exec->threads;
  }
  mdl_comm comm = {0, 1, NULL, NULL, NULL, NULL};
  if (c->comm) {
    comm.rank = c->comm->rank;
    comm.size = c->comm->size;
    comm.ud = c->comm->ud;
    comm.sum = c->comm->sum;
    comm.gather = c->comm->gather;
    comm.barrier = c->comm->barrier;
  }
  mdl_train_config config = {
      MDL_ABI_VERSION, c->state,       c->state_bytes,         c->weights, c->weights_bytes,
      c->arena,        c->arena_bytes, c->exec ? &exec : NULL, c->max_isa, c->comm ? &comm : NULL,
      c->calls};
  sy_status status = (sy_status)mdl_train_init(&made, &config);
  *t = made;
  return status;
}
static void *mdl__glue_train_ctx(void *t) { return mdl_train_ctx((mdl_train *)t); }
static sy_status mdl__glue_grad(void *t, unsigned objective, const size_t *dims, const void *const *in,
                                void *const *out) {
  return (sy_status)mdl_grad((mdl_train *)t, objective, dims, in, out);
}
static sy_status mdl__glue_update(void *t, unsigned optimiser, const sy_hyper *group, unsigned ngroup,
                                  const unsigned char *group_of, double clip, double *norm) {
  mdl_hyper h[256];
  if (!group || ngroup < 1 || ngroup > 256) return SY_EINVAL;
  for (unsigned i = 0; i < ngroup; i++) {
    h[i].lr = group[i].lr;
    h[i].beta1 = group[i].beta1;
    h[i].beta2 = group[i].beta2;
    h[i].eps = group[i].eps;
    h[i].decay = group[i].decay;
  }
  return (sy_status)mdl_update((mdl_train *)t, (mdl_optimiser)optimiser, h, ngroup, group_of, clip, norm);
}
static const char *mdl__glue_fault(const void *t) { return mdl_train_fault((const mdl_train *)t); }
static uint64_t mdl__glue_step(const void *t) { return mdl_train_step((const mdl_train *)t); }
static void mdl__glue_set_step(void *t, uint64_t step) { mdl_train_set_step((mdl_train *)t, step); }
static sy_status mdl__glue_put(void *t, const char *name, int part, const void *rows, size_t bytes) {
  return (sy_status)mdl_train_put((mdl_train *)t, name, part, rows, bytes);
}
static sy_status mdl__glue_get(const void *t, const char *name, int part, void *rows, size_t bytes) {
  return (sy_status)mdl_train_get((const mdl_train *)t, name, part, rows, bytes);
}
static sy_status mdl__glue_merge(const void *t, const char *name, float *rows, size_t bytes) {
  return (sy_status)mdl_train_merge((const mdl_train *)t, name, rows, bytes);
}
static sy_status mdl__glue_save(const void *t, void *weights, size_t bytes) {
  return (sy_status)mdl_train_export((const mdl_train *)t, weights, bytes);
}

static uint64_t mdl__glue_train_bytes(unsigned add) { return MDL_TRAIN_BYTES + add * (uint64_t)MDL_TRAIN_ADD_BYTES; }

static const sy_training *mdl__glue_training(void) {
  static const sy_training training = {mdl__glue_train_bytes, mdl__glue_train_init, mdl__glue_train_ctx,
                                       mdl__glue_grad,        mdl__glue_update,     mdl__glue_fault,
                                       mdl__glue_step,        mdl__glue_set_step,   mdl__glue_put,
                                       mdl__glue_get,         mdl__glue_save,       mdl__glue_merge};
  return MDL_TRAIN_BYTES ? &training : NULL;
}
#define MDL__TRAINING mdl__glue_training
