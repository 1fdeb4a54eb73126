// train_recall.c: how often a picture finds one of its texts among the nearest 1, 5 and 10 of all texts, and a text its
// picture (train.h).
//
// Pictures whose rows of the inputs are equal are one picture, whatever sample they are of, and so are texts: a line
// for each caption of a picture and a line with a list of them give the same numbers. Of a list every caption counts.
// What is as near as the right one counts as nearer: vectors that are all the same find nothing.
#include "train_measure.h"

#include <string.h>

enum { MOST_TEXTS = 64, SIDES = 2, DEPTHS = 3 };
static const char *const vector_of[SIDES] = {"image_embed", "text_embed"};
static const size_t depth[DEPTHS] = {1, 5, 10};

static bool gives(const Graph *g, const char *name) {
  for (size_t i = 0; i < g->output.n; i++)
    if (!strcmp(g->output.at[i].name, name) && graph_value(g, g->output.at[i].val)->type.rank == 2) return true;
  return false;
}

// A route for each is better than one for both.
void recall_look(TrainMeasure *x, const Module *m, const Graph *route, const Graph *objective) {
  bool has[SIDES] = {gives(route, vector_of[0]), gives(route, vector_of[1])};
  int fit = has[0] && has[1] ? 1 : 2;
  (void)m, (void)objective;
  for (size_t i = 0; i < SIDES; i++)
    if (has[i] && fit > x->fit[i]) x->fit[i] = fit, x->route[i] = route->name;
}

typedef struct Side { // the pictures, or the texts: each once
  uint64_t *key;
  float *vector; // [n, width]
  size_t n, cap, width;
  uint32_t *slot; // hash table of 1 + index
  size_t nslot;
} Side;

typedef struct Recall {
  TrainEval *e;
  Arena arena;
  Side side[SIDES];
  VEC(uint32_t) of[SIDES]; // pairs: picture, text
  uint32_t *at[SIDES];     // by sample and pass: which picture or text, of the pass at work
  uint64_t *pair;          // hash set of pairs, 0: free
  size_t npair;
  size_t found; // new pairs of this pass
  unsigned route;
  const sy_route *r;
  bool sides[SIDES]; // which of them the route at work gives
} Recall;

static void side_rehash(Arena *a, Side *s) {
  s->nslot = s->nslot ? 4 * s->nslot : 1024;
  s->slot = ARENA_ARRAY(a, uint32_t, s->nslot);
  for (size_t i = 0; i < s->n; i++) {
    size_t at = (size_t)s->key[i] & (s->nslot - 1);
    while (s->slot[at]) at = (at + 1) & (s->nslot - 1);
    s->slot[at] = (uint32_t)i + 1;
  }
}

static uint32_t side_put(Arena *a, Side *s, uint64_t key, const float *vector) {
  if (2 * (s->n + 1) > s->nslot) side_rehash(a, s);
  size_t at = (size_t)key & (s->nslot - 1);
  for (; s->slot[at]; at = (at + 1) & (s->nslot - 1))
    if (s->key[s->slot[at] - 1] == key) return s->slot[at] - 1;
  if (s->n == s->cap) {
    size_t cap = s->cap ? 2 * s->cap : 256;
    s->key = arena_grow(a, s->key, s->n * sizeof *s->key, cap * sizeof *s->key);
    s->vector = arena_grow(a, s->vector, s->n * s->width * sizeof *vector, cap * s->width * sizeof *vector);
    s->cap = cap;
  }
  s->key[s->n] = key;
  memcpy(s->vector + s->n * s->width, vector, s->width * sizeof *vector);
  s->slot[at] = (uint32_t)++s->n;
  return (uint32_t)s->n - 1;
}

static bool new_pair(Recall *x, uint32_t picture, uint32_t text) {
  uint64_t key = ((uint64_t)picture << 32 | text) + 1;
  if (2 * (x->of[0].n + 1) > x->npair) {
    x->npair = x->npair ? 4 * x->npair : 1024;
    x->pair = ARENA_ARRAY(&x->arena, uint64_t, x->npair);
    for (size_t i = 0; i < x->of[0].n; i++) {
      uint64_t k = ((uint64_t)x->of[0].at[i] << 32 | x->of[1].at[i]) + 1;
      size_t at = (size_t)hash_bytes(&k, sizeof k, 0) & (x->npair - 1);
      while (x->pair[at]) at = (at + 1) & (x->npair - 1);
      x->pair[at] = k;
    }
  }
  size_t at = (size_t)hash_bytes(&key, sizeof key, 0) & (x->npair - 1);
  for (; x->pair[at]; at = (at + 1) & (x->npair - 1))
    if (x->pair[at] == key) return false;
  x->pair[at] = key;
  VEC_PUSH(&x->arena, x->of[0], picture);
  VEC_PUSH(&x->arena, x->of[1], text);
  return true;
}

// What the inputs of a side hold for row k: pictures for the one, all others for the other, if the route is for both.
static uint64_t row_key(const Recall *x, const Batch *b, size_t k, size_t side) {
  uint64_t key = 0;
  bool both = x->sides[0] && x->sides[1];
  for (unsigned i = 0; i < x->r->ninput; i++) {
    const sy_tensor *t = &x->r->input[i];
    if (both && (t->rank == 4) != (side == 0)) continue;
    size_t row = (size_t)(t->bytes / t->axis[0].bound);
    key = hash_bytes((const char *)b->in[i] + k * row, row, key + i);
  }
  return key;
}

static bool take_vectors(void *ud, const Batch *b, Arena *a) {
  Recall *x = ud;
  void **out = train_eval_call(x->e, x->route, b, a);
  for (size_t side = 0; out && side < SIDES; side++) {
    if (!x->sides[side]) continue;
    unsigned o = 0;
    while (strcmp(x->r->output[o].name, vector_of[side]) != 0) o++;
    const size_t width = (size_t)x->r->output[o].axis[1].bound;
    x->side[side].width = width;
    for (size_t k = 0; k < b->rows; k++)
      x->at[side][b->first + k] =
          side_put(&x->arena, &x->side[side], row_key(x, b, k, side), (const float *)out[o] + k * width);
  }
  return out != NULL;
}

static bool pass(Recall *x, const char *const *route, size_t side, bool both, size_t pick) {
  const sy_info *info = x->e->run.model->info;
  x->route = measure_route(x->e, route[side]);
  x->r = &info->route[x->route];
  x->sides[0] = both || side == 0, x->sides[1] = both || side == 1;
  BatchWants wants = {x->r->input, x->r->ninput, info->dim, info->ndim, info->prepare, info->nprepare};
  return train_eval_batches(x->e, &wants, pick, take_vectors, x);
}

static double dot(const float *x, const float *y, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)y[i];
  return sum;
}

// How many of the others are at least as near as the nearest of those that belong to item i.
static size_t rank_of(const Side *from, const Side *to, size_t i, const unsigned char *own, double *score) {
  double best = 0;
  bool any = false;
  size_t rank = 0;
  for (size_t k = 0; k < to->n; k++) {
    score[k] = dot(from->vector + i * from->width, to->vector + k * to->width, from->width);
    if (own[k] && (!any || score[k] > best)) best = score[k], any = true;
  }
  for (size_t k = 0; k < to->n; k++) rank += !own[k] && !(score[k] < best);
  return rank;
}

// The shares of one direction, by depth.
static void shares(Recall *x, size_t side, double *value) {
  const Side *from = &x->side[side], *to = &x->side[1 - side];
  unsigned char *own = ARENA_ARRAY(&x->arena, unsigned char, to->n + 1);
  double *score = ARENA_ARRAY(&x->arena, double, to->n + 1);
  uint32_t *start = ARENA_ARRAY(&x->arena, uint32_t, from->n + 2),
           *list = ARENA_ARRAY(&x->arena, uint32_t, x->of[0].n + 1);
  for (size_t i = 0; i < x->of[0].n; i++) start[x->of[side].at[i] + 2]++; // of each item those that belong to it
  for (size_t i = 2; i < from->n + 2; i++) start[i] += start[i - 1];
  for (size_t i = 0; i < x->of[0].n; i++) list[start[x->of[side].at[i] + 1]++] = x->of[1 - side].at[i];
  for (size_t i = 0; i < from->n; i++) {
    for (uint32_t k = start[i]; k < start[i + 1]; k++) own[list[k]] = 1;
    size_t rank = rank_of(from, to, i, own, score);
    for (size_t k = 0; k < DEPTHS; k++) value[k] += (rank < depth[k]) / (double)from->n;
    for (uint32_t k = start[i]; k < start[i + 1]; k++) own[list[k]] = 0;
  }
}

// value: the mean of the six, then those of pictures and of texts.
bool recall_run(Measuring *c, double *value) {
  Recall x = {.e = c->e};
  const char *const *route = c->x->route;
  bool both = !strcmp(route[0], route[1]), ok = true;
  size_t samples = data_count(c->e->data);
  for (size_t i = 0; i < SIDES; i++) x.at[i] = ARENA_ARRAY(&x.arena, uint32_t, samples + c->e->options.rows);
  ok = both || pass(&x, route, 0, false, 0);
  for (size_t pick = 0; ok && pick < MOST_TEXTS; pick++) { // until a pass has no text that is new
    ok = pass(&x, route, 1, both, pick);
    x.found = 0;
    for (size_t k = 0; ok && k < samples; k++) x.found += new_pair(&x, x.at[0][k], x.at[1][k]);
    if (!x.found) break;
  }
  for (size_t i = 0; i < 1 + 2 * DEPTHS; i++) value[i] = 0;
  for (size_t side = 0; ok && side < SIDES; side++) {
    if (x.side[0].width != x.side[1].width)
      ok = (session_fail(c->e->s, EXIT_WRONG, "--measure recall: image_embed has %zu numbers, text_embed %zu",
                         x.side[0].width, x.side[1].width),
            false);
    else
      shares(&x, side, value + 1 + side * DEPTHS);
  }
  for (size_t i = 1; i < 1 + 2 * DEPTHS; i++) value[0] += value[i] / (2 * DEPTHS);
  arena_free(&x.arena);
  return ok;
}
