//@ alone
// train.c: steps of a compiled model: its objectives' gradients into the state, updates of the weights in place. A part
// of engine.c where a module can be trained.
//
// The state: 4096 bytes of mdl_train; the weight file; gradients, first and second moments of all trained tensors, each
// as its weight is stored, side by side; what objectives have assigned, and of what no route reads its value; partial
// sums and addresses of a call.
//@ end
//@ section Training

#include "numbers.h"

#ifndef MDL__RUN
#define MDL__RUN(ctx, kernel, args) mdl__run_kernel(ctx, &mdl__isas[(ctx)->isa].slot[kernel], args)
#endif

struct mdl_train {
  char magic[8];
  uint64_t plan_hash, layout, step;
  mdl_ctx *ctx; /* from here on: of this process */
  unsigned char *at;
  const char *fault;
  uint64_t room;
  mdl_comm comm;    /* size 1: there is none */
  unsigned calls;   /* of a part */
  unsigned batches; /* whose gradients are there */
  unsigned sums;    /* in which they are added: one in the place of the gradients, the others behind the state */
  int pending;      /* next values have not been taken over */
};
#define MDL__TRAIN_MAGIC "SYTRAIN1"
typedef char mdl__train_fits[sizeof(struct mdl_train) <= MDL__TRAIN_HEADER ? 1 : -1];

static uint64_t mdl__up(uint64_t n) { return (n + 63) / 64 * 64; }
static uint64_t mdl__part(int part) { return mdl__training_table.part[part]; }
static uint64_t mdl__gradient_bytes(void) { return mdl__part(MDL__MOMENTS1) - mdl__part(MDL__GRADIENTS); }
static const mdl_comm mdl__alone = {0, 1, NULL, NULL, NULL, NULL};

static unsigned char *mdl__train_data(const mdl_train *t) { return t->at + MDL__TRAIN_HEADER + MDL__WEIGHTS_DATA; }
static float *mdl__floats(const mdl_train *t, int part, uint64_t slot) {
  return (float *)(void *)(t->at + mdl__part(part)) + slot;
}

/* The header and the table of a weight file, without checksums. */
static void mdl__write_header(unsigned char *file) {
  sy_weights_header h;
  memset(&h, 0, sizeof h);
  memcpy(h.magic, SY_WEIGHTS_MAGIC, sizeof h.magic);
  h.version = SY_WEIGHTS_VERSION;
  h.endian = SY_WEIGHTS_ENDIAN;
  h.plan_hash = MDL_PLAN_HASH;
  h.data_offset = MDL__WEIGHTS_DATA;
  h.data_bytes = MDL_WEIGHTS_BYTES - MDL__WEIGHTS_DATA;
  h.count = MDL__WEIGHTS_COUNT;
  memcpy(file, &h, sizeof h);
  for (uint64_t i = 0; i < h.count; i++) {
    sy_weights_entry e;
    memset(&e, 0, sizeof e);
    e.offset = mdl__entries[i].offset;
    e.bytes = mdl__entries[i].bytes;
    e.type = mdl__entries[i].type;
    memcpy(file + sizeof h + i * sizeof e, &e, sizeof e);
  }
}

static void mdl__forget(mdl_train *t) {
  t->batches = 0;
  t->sums = 0;
  t->pending = 0;
}

static mdl_status mdl__train_begin(const mdl_train_config *c) {
  mdl_train *t = (mdl_train *)c->state;
  mdl_config file = {0, NULL, 0, NULL, 0, NULL, NULL};
  if (c->weights) {
    file.weights = c->weights;
    file.weights_bytes = c->weights_bytes;
    mdl_status status = mdl__check_weights(&file);
    if (status != MDL_OK) return status;
    memset(c->state, 0, (size_t)mdl__part(MDL__ADDED));
    memcpy((unsigned char *)c->state + MDL__TRAIN_HEADER, c->weights, (size_t)MDL_WEIGHTS_BYTES);
  } else if (memcmp(t->magic, MDL__TRAIN_MAGIC, sizeof t->magic) != 0) {
    for (unsigned i = 0; i < sizeof t->magic; i++)
      if (t->magic[i]) return MDL_EWEIGHTS; /* neither a state nor zeros */
    memset(c->state, 0, (size_t)mdl__part(MDL__ADDED));
    mdl__write_header((unsigned char *)c->state + MDL__TRAIN_HEADER);
  } else {
    return t->plan_hash == MDL_PLAN_HASH && t->layout == mdl__training_table.layout ? MDL_OK : MDL_EPLAN;
  }
  memcpy(t->magic, MDL__TRAIN_MAGIC, sizeof t->magic);
  t->plan_hash = MDL_PLAN_HASH;
  t->layout = mdl__training_table.layout;
  return MDL_OK;
}

mdl_status mdl_train_init(mdl_train **t, const mdl_train_config *c) {
  if (!t) return MDL_EINVAL;
  *t = NULL;
  if (!c || !c->state) return MDL_EINVAL;
  if (c->abi != MDL_ABI_VERSION) return MDL_EABI;
  if (c->comm && (c->comm->rank >= c->comm->size || (c->comm->size > 1 && !c->comm->sum))) return MDL_EINVAL;
  if ((uintptr_t)c->state % MDL_ALIGN) return MDL_EALIGN;
  if (c->state_bytes < mdl__part(MDL__ADDED)) return MDL_EARENA;
  mdl_status status = mdl__train_begin(c);
  if (status != MDL_OK) return status;
  mdl_train *x = (mdl_train *)c->state;
  x->at = (unsigned char *)c->state;
  x->room = c->state_bytes;
  x->fault = NULL;
  x->comm = c->comm ? *c->comm : mdl__alone;
  x->calls = c->calls ? c->calls : 1;
  mdl__forget(x);
  mdl_config config = {
      MDL_ABI_VERSION, x->at + MDL__TRAIN_HEADER, (size_t)MDL_WEIGHTS_BYTES, c->arena, c->arena_bytes, c->exec,
      c->max_isa};
  status = mdl_init(&x->ctx, &config);
  if (status == MDL_OK) *t = x;
  return status;
}

mdl_ctx *mdl_train_ctx(mdl_train *t) { return t ? t->ctx : NULL; }
const char *mdl_train_fault(const mdl_train *t) { return t ? t->fault : NULL; }
uint64_t mdl_train_step(const mdl_train *t) { return t ? t->step : 0; }
void mdl_train_set_step(mdl_train *t, uint64_t step) {
  if (t) t->step = step;
}
unsigned mdl_train_tensors(void) { return mdl__training_table.nstored; }
const mdl_trained *mdl_train_tensor(unsigned i) {
  return i < mdl__training_table.nstored ? &mdl__stored_table[i].about : NULL;
}

/* tensors in the checkpoint's order */

static size_t mdl__element_bytes(const mdl__stored *s) {
  return s->about.dtype == 'b' ? 1 : s->about.dtype == 'h' || s->about.dtype == 'y' ? 2 : 4;
}

static unsigned char *mdl__next_at(const mdl_train *t, const mdl__stored *s) {
  return t->at + mdl__part(MDL__NEXT) + s->next;
}
static unsigned char *mdl__value_at(const mdl_train *t, const mdl__stored *s) {
  return s->offset != MDL__NONE ? mdl__train_data(t) + s->offset : mdl__next_at(t, s) + mdl__up(s->bytes);
}

/* Where a part of a tensor is; NULL: it has no such part. */
static unsigned char *mdl__tensor_at(const mdl_train *t, const mdl__stored *s, int part) {
  if (part == MDL_VALUE) return mdl__value_at(t, s);
  if (part < MDL_VALUE || part > MDL_MOMENT2 || s->slot == MDL__NONE) return NULL;
  return (unsigned char *)mdl__floats(t, part - MDL_GRADIENT + MDL__GRADIENTS, s->slot);
}

/* Copies between the order of the checkpoint and that of the state. */
static void mdl__reorder(const mdl__stored *s, unsigned char *stored, unsigned char *rows, int store) {
  const size_t size = mdl__element_bytes(s);
  for (uint64_t o = 0; o < s->outer; o++)
    for (uint64_t i = 0; i < s->n; i++)
      for (uint64_t j = 0; j < s->k; j++) {
        uint64_t at = s->panel ? i / s->panel * s->panel * s->k + j * s->panel + i % s->panel : i;
        uint64_t row = s->turned ? j * s->n + i : i * s->k + j;
        unsigned char *a = stored + (o * s->pitch + at) * size, *b = rows + (o * s->n * s->k + row) * size;
        memcpy(store ? a : b, store ? b : a, size);
      }
}

static const mdl__stored *mdl__find_tensor(const char *name) {
  for (unsigned i = 0; name && i < mdl__training_table.nstored; i++)
    if (!strcmp(mdl__stored_table[i].about.name, name)) return &mdl__stored_table[i];
  return NULL;
}

mdl_status mdl_train_put(mdl_train *t, const char *name, int part, const void *rows, size_t bytes) {
  const mdl__stored *s = mdl__find_tensor(name);
  unsigned char *at = t && s ? mdl__tensor_at(t, s, part) : NULL;
  if (!at || !rows || bytes != s->about.elements * mdl__element_bytes(s)) return MDL_EINVAL;
  mdl__reorder(s, at, (unsigned char *)mdl__readable(rows), 1);
  return MDL_OK;
}

mdl_status mdl_train_get(const mdl_train *t, const char *name, int part, void *rows, size_t bytes) {
  const mdl__stored *s = mdl__find_tensor(name);
  unsigned char *at = t && s ? mdl__tensor_at(t, s, part) : NULL;
  if (!at || !rows || bytes != s->about.elements * mdl__element_bytes(s)) return MDL_EINVAL;
  mdl__reorder(s, at, (unsigned char *)rows, 0);
  return MDL_OK;
}

/* An element of a stored matrix of `columns` columns. */
static float mdl__cell(const mdl_train *t, const mdl__stored *s, uint64_t columns, uint64_t row, uint64_t column) {
  const float *at = (const float *)(const void *)mdl__value_at(t, s);
  uint64_t i = s->turned ? column : row, j = s->turned ? row : column;
  if (s->panel) return at[i / s->panel * s->panel * s->k + j * s->panel + i % s->panel];
  return at[s->outer > 1 ? row * s->pitch + column : row * columns + column];
}

unsigned mdl_train_adapters(void) { return mdl__training_table.nadapter; }
const char *mdl_train_adapter(unsigned i) { return i < mdl__training_table.nadapter ? mdl__adapters[i].name : NULL; }

/* The sum over the rank in ascending order, in double, where products of floats are exact; rounded once, at the end. */
mdl_status mdl_train_merge(const mdl_train *t, const char *name, float *rows, size_t bytes) {
  unsigned at = 0;
  while (name && at < mdl__training_table.nadapter && strcmp(mdl__adapters[at].name, name) != 0) at++;
  if (!t || !name || !rows || at == mdl__training_table.nadapter) return MDL_EINVAL;
  const mdl__adapter *x = &mdl__adapters[at];
  const mdl__stored *a = &mdl__stored_table[x->a], *b = &mdl__stored_table[x->b];
  if (bytes != x->n * x->k * sizeof *rows) return MDL_EINVAL;
  for (uint64_t n = 0; n < x->n; n++)
    for (uint64_t k = 0; k < x->k; k++) {
      float *w = rows + (x->turned ? k * x->n + n : n * x->k + k);
      double sum = 0;
      for (uint64_t r = 0; r < x->rank; r++)
        sum += (double)mdl__cell(t, b, x->rank, n, r) * (double)mdl__cell(t, a, x->k, r, k);
      *w = (float)((double)*w + x->scale * sum);
    }
  return MDL_OK;
}

mdl_status mdl_train_export(const mdl_train *t, void *weights, size_t bytes) {
  if (!t || !weights || bytes < MDL_WEIGHTS_BYTES) return MDL_EINVAL;
  unsigned char *file = (unsigned char *)weights;
  memcpy(file, t->at + MDL__TRAIN_HEADER, (size_t)MDL_WEIGHTS_BYTES);
  for (uint64_t i = 0; i < MDL__WEIGHTS_COUNT; i++) {
    unsigned char *place = file + sizeof(sy_weights_header) + i * sizeof(sy_weights_entry);
    sy_weights_entry e;
    memcpy(&e, place, sizeof e);
    e.checksum = sy_weights_checksum(file + MDL__WEIGHTS_DATA + e.offset, e.bytes);
    memcpy(place, &e, sizeof e);
  }
  return MDL_OK;
}

/* steps */

/* What objectives have assigned becomes what it was assigned to. */
static void mdl__take_next(mdl_train *t) {
  if (t->pending)
    for (unsigned i = 0; i < mdl__training_table.nstored; i++) {
      const mdl__stored *s = &mdl__stored_table[i];
      if (s->next != MDL__NONE) memcpy(mdl__value_at(t, s), mdl__next_at(t, s), (size_t)s->bytes);
    }
  t->pending = 0;
}

static int mdl__finite(double x) { return x - x == 0; }

static void mdl__run_update(mdl_train *t, unsigned which, uint64_t elements, void *p0, void *p1, void *p2, void *p3,
                            void *p4) {
  mdl__args args;
  memset(&args, 0, sizeof args);
  args.p[0] = p0;
  args.p[1] = p1;
  args.p[2] = p2;
  args.p[3] = p3;
  args.p[4] = p4;
  args.dim[0] = (size_t)(elements + 15) / 16;
  MDL__RUN(t->ctx, mdl__training_table.update + which, &args);
}

/* Sum number i of gradients, from `slot` on. */
static float *mdl__sum_at(const mdl_train *t, unsigned i, uint64_t slot) {
  unsigned char *at = t->at + (i ? mdl__part(MDL__ADDED) + (i - 1) * mdl__gradient_bytes() : mdl__part(MDL__GRADIENTS));
  return (float *)(void *)at + slot;
}
static uint64_t mdl__sums_fit(const mdl_train *t) {
  return 1 + (mdl__gradient_bytes() ? (t->room - mdl__part(MDL__ADDED)) / mdl__gradient_bytes() : 0);
}

/* The last sum goes into the one before it. */
static void mdl__join_sums(mdl_train *t) {
  t->sums--;
  mdl__run_update(t, MDL__UPDATE_ADD, mdl__training_table.slots, mdl__sum_at(t, t->sums - 1, 0),
                  mdl__sum_at(t, t->sums, 0), NULL, NULL, NULL);
}

/* There is a sum more, of one batch: it is added to those that are of as many parts, as a binary counter carries. */
static void mdl__add_batch(mdl_train *t) {
  unsigned within = t->batches % t->calls, parts = (t->batches + 1) / t->calls;
  t->batches++;
  t->sums++;
  if (within) mdl__join_sums(t);
  if (within == t->calls - 1)
    for (; !(parts & 1) && t->sums > 1; parts >>= 1) mdl__join_sums(t);
  while (t->sums > 1 && t->sums >= mdl__sums_fit(t)) mdl__join_sums(t); /* the next batch needs a place */
}

mdl_status mdl_grad(mdl_train *t, unsigned objective, const size_t *dims, const void *const *in, void *const *out) {
  const mdl__training *x = &mdl__training_table;
  if (!t || objective >= x->nobjective || !out || !out[0]) return MDL_EINVAL;
  const mdl__objective *o = &mdl__objectives[objective];
  t->fault = NULL;
  if (t->sums >= mdl__sums_fit(t)) return MDL_EARENA;
  mdl__take_next(t);
  if (x->nobjective > 1 || t->batches) memset(mdl__sum_at(t, t->sums, 0), 0, (size_t)mdl__gradient_bytes());
  void **all = (void **)(void *)(t->at + mdl__part(MDL__OUT));
  unsigned caller = 0;
  for (unsigned i = 0; i < o->noutput; i++) {
    const mdl__stored *s = &mdl__stored_table[o->output[i].stored];
    if (o->output[i].kind == MDL__IS_GRADIENT)
      all[i] = mdl__sum_at(t, t->sums, s->slot);
    else if (o->output[i].kind == MDL__IS_NEXT)
      all[i] = mdl__next_at(t, s);
    else
      all[i] = out[caller++];
  }
  t->fault = NULL;
  mdl_status status = mdl_call(t->ctx, o->route, dims, in, all);
  if (status != MDL_OK) return status;
  float loss;
  memcpy(&loss, out[0], sizeof loss);
  if (!mdl__finite((double)loss)) {
    t->fault = "loss";
    return MDL_ENUMERIC;
  }
  mdl__add_batch(t);
  t->pending = 1;
  return MDL_OK;
}

typedef struct mdl__norm { /* of all gradients, by chunks */
  const float *g;
  double *sum;
  uint64_t n;
  size_t workers;
} mdl__norm;

static void mdl__norm_work(void *arg, size_t w) {
  const mdl__norm *x = (const mdl__norm *)arg;
  uint64_t chunks = (x->n + MDL__SQUARES - 1) / MDL__SQUARES;
  for (uint64_t c = chunks * w / x->workers; c < chunks * (w + 1) / x->workers; c++) {
    uint64_t at = c * MDL__SQUARES, left = x->n - at;
    x->sum[c] = mdl__squares_chunk(x->g + at, (size_t)(left < MDL__SQUARES ? left : MDL__SQUARES));
  }
}

static double mdl__squares_of_all(mdl_train *t) {
  mdl__norm x;
  double total = 0;
  x.g = mdl__floats(t, MDL__GRADIENTS, 0);
  x.sum = (double *)(void *)(t->at + mdl__part(MDL__PARTIAL));
  x.n = mdl__training_table.slots;
  x.workers = t->ctx->threads;
  if (x.workers > 1)
    t->ctx->exec.parallel_for(t->ctx->exec.ud, x.workers, mdl__norm_work, &x);
  else
    mdl__norm_work(&x, 0);
  for (uint64_t c = 0; c * MDL__SQUARES < x.n; c++) total += x.sum[c];
  return total;
}

static void mdl__find_fault(mdl_train *t) {
  t->fault = "gradient";
  for (unsigned i = 0; i < mdl__training_table.nstored; i++) {
    const mdl__stored *s = &mdl__stored_table[i];
    if (s->slot == MDL__NONE ||
        mdl__finite(mdl__squares(mdl__floats(t, MDL__GRADIENTS, s->slot), (size_t)s->bytes / 4)))
      continue;
    t->fault = s->about.name;
    return;
  }
}

static void mdl__update_tensor(mdl_train *t, const mdl__stored *s, mdl_optimiser o, const mdl_hyper *group,
                               double scale) {
  float h[MDL__H_COUNT];
  float *p = (float *)(void *)(mdl__train_data(t) + s->offset), *g = mdl__floats(t, MDL__GRADIENTS, s->slot),
        *m = mdl__floats(t, MDL__MOMENTS1, s->slot), *v = mdl__floats(t, MDL__MOMENTS2, s->slot);
  uint64_t n = s->bytes / sizeof(float);
  double own = o == MDL_LAMB ? mdl__root(mdl__squares(p, (size_t)n)) : 0;
  mdl__update_numbers(o, group, t->step, scale, h);
  if (o == MDL_SGD)
    mdl__run_update(t, MDL_SGD, n, p, m, g, h, NULL);
  else
    mdl__run_update(t, (unsigned)o, n, p, m, v, g, h);
  if (o != MDL_LAMB) return;
  double step = mdl__root(mdl__squares(g, (size_t)n));
  h[MDL__H_RATE] = (float)(group->lr * (own > 0 && step > 0 ? own / step : 1));
  mdl__run_update(t, MDL__UPDATE_MOVE, n, p, g, h, NULL, NULL);
}

/* What no optimiser makes NaN of: PyTorch's bounds, and an eps that is there, as unused rows have a zero moment. */
static int mdl__hyper_fits(const mdl_hyper *h, mdl_optimiser o) {
  if (!(h->lr >= 0 && h->lr <= 1e30) || !(h->decay >= 0 && h->decay <= 1e30)) return 0;
  if (!(h->beta1 >= 0 && h->beta1 < 1)) return 0;
  return o == MDL_SGD || (h->beta2 >= 0 && h->beta2 < 1 && h->eps >= FLT_MIN && h->eps <= 1e30);
}

static int mdl__groups_fit(mdl_optimiser o, const mdl_hyper *group, unsigned ngroup, const unsigned char *group_of) {
  unsigned k = 0;
  if (ngroup < 1 || ngroup > 256) return 0;
  for (unsigned i = 0; i < ngroup; i++)
    if (!mdl__hyper_fits(&group[i], o)) return 0;
  for (unsigned i = 0; group_of && i < mdl__training_table.nstored; i++)
    if (mdl__stored_table[i].slot != MDL__NONE && group_of[k++] >= ngroup) return 0;
  return 1;
}

mdl_status mdl_update(mdl_train *t, mdl_optimiser o, const mdl_hyper *group, unsigned ngroup,
                      const unsigned char *group_of, double clip, double *norm) {
  if (!t || !group || (unsigned)o >= MDL_OPTIMISERS || !t->batches) return MDL_EINVAL;
  if (!(clip >= 0) || !mdl__groups_fit(o, group, ngroup, group_of)) return MDL_EINVAL;
  t->fault = NULL;
  while (t->sums > 1) mdl__join_sums(t);
  if (t->comm.size > 1 && t->comm.sum(t->comm.ud, mdl__sum_at(t, 0, 0), (size_t)mdl__training_table.slots)) {
    mdl__forget(t);
    return MDL_ECOMM;
  }
  double batches = (double)t->batches * t->comm.size;
  double squares = mdl__squares_of_all(t), length = mdl__root(squares) / batches, scale = 1.0 / batches;
  if (norm) *norm = length;
  if (!mdl__finite(squares)) {
    mdl__find_fault(t);
    mdl__forget(t);
    return MDL_ENUMERIC;
  }
  if (clip > 0 && length > clip) scale *= clip / (length + 1e-6); /* as torch.nn.utils.clip_grad_norm_ */
  mdl__take_next(t);
  t->step++;
  for (unsigned i = 0, k = 0; i < mdl__training_table.nstored; i++) {
    const mdl__stored *s = &mdl__stored_table[i];
    if (s->slot == MDL__NONE) continue;
    mdl__update_tensor(t, s, o, &group[group_of ? group_of[k] : 0], scale);
    k++;
  }
  mdl__forget(t);
  return MDL_OK;
}
