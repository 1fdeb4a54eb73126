// batch.c - the ring: threads make the next batches while one is used.
//
// Slot k % nslot is for the k-th batch that is given out. A worker takes the next number when its slot is free;
// batches_next waits for the slot of its number. What a worker found bad is told by batches_next, in the order of the
// batches, so that a run says and does the same for any number of workers.
#include "batch_parts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct Ring {
  pthread_mutex_t lock;
  pthread_cond_t work, done;
  pthread_t *thread;
  size_t nthread;
  Slot *slot;
  size_t nslot;
  uint64_t taken, given, freed; // numbers of batches: begun by workers, given out, used up
  bool stop, holds;             // holds: the caller has a batch
  uint64_t bad;
  unsigned char *is_bad; // a bit a sample
} Ring;

static size_t element_bytes(const sy_tensor *t) {
  return t->dtype[0] == 'b' ? 1 : 4;
}

static bool slot_make(const Batches *b, Slot *s, HostError *err) {
  size_t rows = b->o.rows, n = b->wants->ninput;
  s->in = calloc(n + 1, sizeof *s->in);
  s->sample = calloc(rows, sizeof *s->sample);
  s->at = calloc(rows, sizeof *s->at);
  s->side = calloc(rows * n + 1, sizeof *s->side);
  s->answers = calloc(rows, sizeof *s->answers);
  if (!s->in || !s->sample || !s->at || !s->side || !s->answers) return host_no_memory(err);
  for (size_t i = 0; i < n; i++) {
    const sy_tensor *t = &b->wants->input[i];
    size_t bytes = element_bytes(t);
    for (unsigned d = 0; d < t->rank; d++) bytes *= (size_t)t->axis[d].bound;
    bytes = (bytes + SY_ALIGN) / SY_ALIGN * SY_ALIGN;
    if (!(s->in[i] = aligned_alloc(SY_ALIGN, bytes))) return host_no_memory(err);
    memset(s->in[i], 0, bytes);
  }
  s->batch.in = s->in;
  s->batch.sample = s->sample;
  return true;
}

static void slot_free(const Batches *b, Slot *s) {
  for (size_t i = 0; s->in && i < b->wants->ninput; i++) free(s->in[i]);
  free(s->in);
  free(s->sample);
  free(s->at);
  free(s->side);
  free(s->answers);
  arena_free(&s->arena);
  data_sample_free(&s->read);
}

static uint64_t number_of(const Batches *b, uint64_t k) {
  uint64_t run = b->o.run ? b->o.run : 1, stride = b->o.stride ? b->o.stride : run;
  return b->o.first + k / run * stride + k % run;
}
static bool is_over(const Batches *b, uint64_t k) { // evaluation is one epoch
  return !b->o.train && number_of(b, k) >= b->per_epoch;
}

static void make_batch(const Batches *b, Slot *s, uint64_t k) {
  s->why = (HostError){.text = ""};
  bool ok = batch_fill(b, s, number_of(b, k), &s->why);
  s->state = ok ? SLOT_READY : SLOT_FAILED;
}

static void *worker(void *arg) {
  Batches *b = arg;
  Ring *r = b->ring;
  pthread_mutex_lock(&r->lock);
  for (;;) {
    while (!r->stop && (r->taken >= r->freed + r->nslot || is_over(b, r->taken))) pthread_cond_wait(&r->work, &r->lock);
    if (r->stop) break;
    uint64_t k = r->taken++;
    Slot *s = &r->slot[k % r->nslot];
    pthread_mutex_unlock(&r->lock);
    Slot made = *s;
    make_batch(b, &made, k);
    pthread_mutex_lock(&r->lock);
    *s = made; // with its state
    pthread_cond_broadcast(&r->done);
  }
  pthread_mutex_unlock(&r->lock);
  return NULL;
}

static bool ring_start(Batches *b, HostError *err) {
  Ring *r = b->ring = calloc(1, sizeof *r);
  if (!r) return host_no_memory(err);
  pthread_mutex_init(&r->lock, NULL);
  pthread_cond_init(&r->work, NULL);
  pthread_cond_init(&r->done, NULL);
  r->nslot = b->o.workers ? b->o.workers + 2 : 1;
  r->slot = calloc(r->nslot, sizeof *r->slot);
  r->is_bad = calloc(data_count(b->data) / 8 + 1, 1);
  r->thread = calloc(b->o.workers + 1, sizeof *r->thread);
  if (!r->slot || !r->is_bad || !r->thread) return host_no_memory(err);
  for (size_t i = 0; i < r->nslot; i++)
    if (!slot_make(b, &r->slot[i], err)) return false;
  for (; r->nthread < b->o.workers; r->nthread++)
    if (pthread_create(&r->thread[r->nthread], NULL, worker, b) != 0) {
      if (r->nthread) break; // fewer do as well
      host_fail(err, "no thread can be started for the data");
      err->machine = true;
      return false;
    }
  return true;
}

Batches *batches_open(const Data *data, const BatchWants *wants, const StageInput *input, size_t ninput,
                      const BatchOptions *options, HostError *err) {
  HostError own;
  if (!err) err = &own;
  Batches *b = calloc(1, sizeof *b);
  if (!b) {
    host_no_memory(err);
    return NULL;
  }
  b->data = data;
  b->wants = wants;
  b->o = *options;
  uint32_t count = data_count(data);
  b->length = b->o.limit ? (b->o.limit < count ? b->o.limit : count) : data_epoch_length(data);
  b->most_bad = (uint64_t)((b->o.most_bad > 0 ? b->o.most_bad : 0.01) * (double)count);
  if (b->most_bad < 3) b->most_bad = 3; // of a small set one may be bad
  b->per_epoch = b->o.rows ? (b->o.train ? b->length : b->length + b->o.rows - 1) / b->o.rows : 0;
  bool ok =
      b->per_epoch > 0 || host_fail(err, "%llu samples, and a batch has %zu", (unsigned long long)b->length, b->o.rows);
  ok = ok && batch_plan(b, input, ninput, err);
  if (ok && b->o.cache) {
    b->kept = calloc(1, sizeof *b->kept + (size_t)count * KEPT_FIELDS * sizeof b->kept->at[0]);
    ok = b->kept || host_no_memory(err);
  }
  if (ok && ring_start(b, err)) return b;
  batches_close(b);
  return NULL;
}

void batches_close(Batches *b) {
  if (!b) return;
  Ring *r = b->ring;
  if (r) {
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < r->nthread; i++) pthread_join(r->thread[i], NULL);
    for (size_t i = 0; r->slot && i < r->nslot; i++) slot_free(b, &r->slot[i]);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->done);
    free(r->slot);
    free(r->thread);
    free(r->is_bad);
    free(r);
  }
  for (size_t i = 0; b->kept && i < (size_t)data_count(b->data) * KEPT_FIELDS; i++) {
    HostImage *im = atomic_load(&b->kept->at[i]);
    if (im) host_image_free(im);
    free(im);
  }
  free(b->kept);
  host_tokenizer_free(b->vocabulary.tokenizer);
  arena_free(&b->arena);
  free(b);
}

uint64_t batches_per_epoch(const Batches *b) {
  return b->per_epoch;
}

uint64_t batches_bad(const Batches *b) {
  return b->ring->bad;
}

// Tells of bad samples that are new. False: they are too many.
static bool tell_bad(Batches *b, const Slot *s, HostError *err) {
  Ring *r = b->ring;
  uint64_t all = data_count(b->data);
  for (size_t i = 0; i < s->bad.n; i++) {
    uint32_t sample = s->bad.at[i].sample;
    if (r->is_bad[sample / 8] >> sample % 8 & 1) continue;
    r->is_bad[sample / 8] |= (unsigned char)(1 << sample % 8);
    r->bad++;
    if (b->o.bad) b->o.bad(b->o.ud, sample, s->bad.at[i].why);
    if (r->bad > b->most_bad)
      return host_fail(err, "%llu of %llu samples cannot be used, the last: %.300s", (unsigned long long)r->bad,
                       (unsigned long long)all, s->bad.at[i].why);
  }
  return true;
}

bool batches_next(Batches *b, const Batch **out, HostError *err) {
  Ring *r = b->ring;
  *out = NULL;
  pthread_mutex_lock(&r->lock);
  if (r->holds) { // what was given out last may be overwritten
    r->slot[r->freed % r->nslot].state = SLOT_FREE;
    r->freed++;
    r->holds = false;
    pthread_cond_broadcast(&r->work);
  }
  if (is_over(b, r->given)) {
    pthread_mutex_unlock(&r->lock);
    return true;
  }
  Slot *s = &r->slot[r->given % r->nslot];
  if (!r->nthread) {
    make_batch(b, s, r->given);
    r->taken++;
  }
  while (s->state == SLOT_FREE) pthread_cond_wait(&r->done, &r->lock);
  r->given++;
  r->holds = true;
  pthread_mutex_unlock(&r->lock);
  if (!tell_bad(b, s, err)) return false;
  if (s->state == SLOT_FAILED) {
    if (err) *err = s->why;
    return false;
  }
  *out = &s->batch;
  return true;
}
