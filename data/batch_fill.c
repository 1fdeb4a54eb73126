// batch_fill.c - rows of a batch: which sample, its pictures, numbers and labels; and what follows from all rows.
#include "batch_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* rows ------------------------------------------------------------------------------------------------------------- */
size_t row_size(const sy_tensor *t) {
  size_t n = 1;
  for (unsigned d = 1; d < t->rank; d++) n *= (size_t)t->axis[d].bound;
  return n;
}

static void *row_start(const Row *r, const Fill *f, size_t element) {
  return (char *)r->slot->in[f->input] + r->k * row_size(f->t) * element;
}

DataDraws row_draws(const Row *r, unsigned input) {
  return data_draws(r->b->o.seed, SY_RANDOM_INPUT + input, r->at.epoch, r->at.sample);
}

size_t row_pick(const Row *r, size_t n) {
  DataDraws d = data_draws(r->b->o.seed, SY_RANDOM_PICK, r->at.epoch, r->at.sample);
  if (n < 2) return 0;
  return r->b->o.train ? (size_t)draw_between(&d, 0, (int64_t)n - 1) : r->b->o.pick % n;
}

const DataField *row_field(Row *r, const char *fields) {
  const DataField *f = data_field(r->s, fields);
  if (!f) host_fail(r->why, "%.300s has none of the fields %.120s", r->s->where, fields);
  return f;
}

bool row_extent(Row *r, const sy_tensor *t, unsigned d, size_t n, bool exact) {
  const sy_dim *a = &t->axis[d];
  if (a->dim < 0) {
    if (n == a->constant || (!exact && n < a->constant)) return true;
    return host_fail(r->why, "%.250s: %.60s has %zu along axis %u, the model wants %llu", r->s->where, t->name, n, d,
                     (unsigned long long)a->constant);
  }
  const sy_bound *b = &r->b->wants->dim[a->dim];
  size_t above = n > a->constant ? n - (size_t)a->constant : 0, factor = (size_t)a->factor ? (size_t)a->factor : 1;
  size_t value = (above + factor - 1) / factor;
  if (value < b->lo && !exact) value = (size_t)b->lo;
  if (value < b->lo || value > b->hi || (exact && a->constant + factor * value != n))
    return host_fail(r->why, "%.250s: %.60s has %zu along axis %u, the model takes %llu to %llu", r->s->where, t->name,
                     n, d, (unsigned long long)(a->constant + factor * b->lo),
                     (unsigned long long)(a->constant + factor * b->hi));
  if (exact ? r->dims[a->dim] && value != r->dims[a->dim] : r->exact[a->dim] && value > r->dims[a->dim])
    return host_fail(r->why, "%.250s: %.60s makes %.40s %zu, and another sample or input made it %zu", r->s->where,
                     t->name, b->name, value, r->dims[a->dim]);
  if (value > r->dims[a->dim]) r->dims[a->dim] = value;
  r->exact[a->dim] |= exact;
  return true;
}

/* pictures --------------------------------------------------------------------------------------------------------- */
// Whose picture an input takes: its own, or that of the other input of its sampler, when the two change places.
static const Fill *exchanged(const Row *r, const Fill *f) {
  for (size_t i = 0; i < r->b->naugment; i++) {
    const FillAugment *a = &r->b->augment[i];
    if (a->from != f->from || !r->swap[i] || a->from->n != 2) continue;
    for (unsigned k = 0; k < r->b->wants->ninput; k++)
      if (k != f->input && r->b->fill[k].from == f->from) return &r->b->fill[k];
  }
  return f;
}

static bool flipped(const Row *r, const Fill *f) {
  for (size_t i = 0; i < r->b->naugment; i++)
    if (r->b->augment[i].from == f->from) return r->flip[i];
  return false;
}

// The decoded picture of a field: kept from before, or *own.
static const HostImage *decoded(const Row *r, const DataSample *s, uint32_t sample, const DataField *f, size_t i,
                                HostImage *own, HostError *why) {
  Kept *kept = r->b->kept;
  size_t which = i ? KEPT_FIELDS - 1 : (size_t)(f - s->field), at = (size_t)sample * KEPT_FIELDS + which;
  if ((!i && which >= KEPT_FIELDS - 1) || f->kind == DATA_TENSOR) kept = NULL;
  HostImage *there = kept ? atomic_load(&kept->at[at]) : NULL;
  if (there) return there;
  if (!data_picture(s, f, i, own, why)) return NULL;
  if (!kept) return own;
  size_t bytes = (size_t)own->width * (size_t)own->height * (size_t)own->channels + sizeof *own;
  bool room = atomic_fetch_add(&kept->bytes, bytes) + bytes <= r->b->o.cache;
  HostImage *mine = room ? malloc(sizeof *mine) : NULL, *nothing = NULL;
  if (mine) *mine = *own;
  if (mine && atomic_compare_exchange_strong(&kept->at[at], &nothing, mine)) {
    *own = (HostImage){0};
    return mine;
  }
  free(mine); // another worker was there first
  atomic_fetch_sub(&kept->bytes, bytes);
  return own;
}

// Numbers that are pixels already, f32[3, H, W].
static bool put_pixels(Row *r, const Fill *f, const DataField *g) {
  const StTensor *x = &g->tensor;
  float *dst = row_start(r, f, sizeof *dst);
  if (x->rank != 3 || x->shape[0] != 3)
    return host_fail(r->why, "%.250s: %.60s is an array of %d axes; prepared pictures are f32 [3, height, width]",
                     r->s->where, g->name, x->rank);
  size_t high = (size_t)x->shape[1], wide = (size_t)x->shape[2], pitch = (size_t)f->t->axis[3].bound;
  size_t plane = pitch * (size_t)f->t->axis[2].bound;
  if (!row_extent(r, f->t, 2, high, true) || !row_extent(r, f->t, 3, wide, true)) return false;
  size_t *side = r->slot->side[r->k * r->b->wants->ninput + f->input];
  side[0] = high, side[1] = wide;
  memset(dst, 0, 3 * plane * sizeof *dst);
  for (size_t c = 0; c < 3; c++)
    for (size_t y = 0; y < high; y++)
      if (!st_to_f32(x, dst + c * plane + y * pitch, (c * high + y) * wide, wide))
        return host_fail(r->why, "%.250s: %.60s cannot be read as numbers", r->s->where, g->name);
  return true;
}

static bool put_picture(Row *r, const Fill *f, const DataSample *s, uint32_t sample) {
  const Fill *source = exchanged(r, f);
  const DataField *g = data_field(s, source->fields);
  if (!g) return host_fail(r->why, "%.300s has none of the fields %.120s", s->where, f->fields);
  if (g->kind == DATA_TENSOR && g->tensor.dtype != ST_U8) return put_pixels(r, f, g);
  HostImage own = {0}, rgb = {0};
  size_t which = g->n > 1 && g->kind == DATA_TEXT ? source->number_of : 0;
  const HostImage *im = decoded(r, s, sample, g, which, &own, r->why);
  if (!im) return false;
  // two views of one picture are two sizes of one crop: the same draws
  const Fill *first = exchanged(r, f->first);
  first = data_field(s, first->fields) == g && first->number_of == source->number_of ? f->first : f;
  DataDraws d = row_draws(r, first->input);
  bool train = r->b->o.train && f->from,
       canvas = f->how.resize == HOST_RESIZE_SHORTER_CAPPED && !(f->augment.area[1] > 0);
  const Augment *a = train ? &f->augment : &(Augment){.area = {0, 0}};
  HostPreprocess how = f->how;
  bool ok = augment_picture(a, &how, &d, train && flipped(r, f), im, &rgb, r->why);
  host_image_free(&own);
  size_t *side = r->slot->side[r->k * r->b->wants->ninput + f->input];
  if (ok) {
    side[0] = (size_t)rgb.height;
    side[1] = (size_t)rgb.width;
    ok = row_extent(r, f->t, 2, side[0], !canvas) && row_extent(r, f->t, 3, side[1], !canvas);
  }
  float *dst = row_start(r, f, sizeof *dst);
  ok = ok && face_put_picture(f->t, &rgb, &how, dst, r->why);
  host_image_free(&rgb);
  if (ok && train && f->erase > 0 && draw_unit(&d) < f->erase)
    augment_erase(&d, dst, side[0], side[1], (size_t)f->t->axis[3].bound,
                  (size_t)(f->t->axis[2].bound * f->t->axis[3].bound));
  return ok;
}

// The number of another sample, each as likely.
static uint32_t another(const Row *r, const Fill *f) {
  uint32_t n = data_count(r->b->data), own = r->at.sample;
  if (n < 2) return own;
  DataDraws d = row_draws(r, f->input);
  uint32_t s = (uint32_t)draw_between(&d, 0, (int64_t)n - 2);
  return s + (s >= own);
}

bool fill_picture(Row *r, const Fill *f) {
  if (!f->other_sample) return put_picture(r, f, r->s, r->at.sample);
  DataSample other;
  uint32_t sample = another(r, f);
  if (!data_read(r->b->data, sample, &other, r->why)) return false;
  bool ok = put_picture(r, f, &other, sample);
  data_sample_free(&other);
  return ok;
}

/* numbers ---------------------------------------------------------------------------------------------------------- */
// The array of a field: itself, or one of its rows if it has an axis more than the row of an input. *picked lives in
// the row.
static const DataField *picked(Row *r, const DataField *g, unsigned rank) {
  if (g->kind != DATA_TENSOR || (unsigned)g->tensor.rank != rank + 1 || g->tensor.shape[0] < 1) return g;
  DataField *one = ARENA_NEW(r->arena, DataField);
  *one = *g;
  size_t n = (size_t)g->tensor.shape[0], k = row_pick(r, n), bytes = g->tensor.bytes / n;
  StTensor *t = &one->tensor;
  t->rank--;
  memmove(t->shape, t->shape + 1, (ST_MAX_RANK - 1) * sizeof *t->shape);
  t->bytes = bytes;
  t->data = (const char *)t->data + k * bytes;
  return one;
}

static bool put_number(Row *r, const Fill *f, const DataField *g, size_t from, size_t to) {
  double v;
  if (!data_number(g, from, &v)) return host_fail(r->why, "%.250s: %.60s is no number", r->s->where, g->name);
  if (f->t->dtype[0] == 'f')
    ((float *)row_start(r, f, sizeof(float)))[to] = (float)v;
  else if (f->t->dtype[0] == 'b')
    ((unsigned char *)row_start(r, f, 1))[to] = v != 0;
  else if (v != floor(v) || fabs(v) > INT32_MAX)
    return host_fail(r->why, "%.250s: %.60s is %g, and %.60s takes whole numbers", r->s->where, g->name, v, f->t->name);
  else
    ((int32_t *)row_start(r, f, sizeof(int32_t)))[to] = (int32_t)v;
  return true;
}

// Extents of an array of numbers; a list has one.
static unsigned extents(const DataField *g, size_t extent[ST_MAX_RANK]) {
  if (g->kind != DATA_TENSOR) {
    extent[0] = data_numbers(g);
    return extent[0] == 1 ? 0 : 1;
  }
  for (int i = 0; i < g->tensor.rank; i++) extent[i] = (size_t)g->tensor.shape[i];
  return (unsigned)g->tensor.rank;
}

bool fill_array(Row *r, const Fill *f) {
  const DataField *g = row_field(r, f->fields);
  size_t extent[ST_MAX_RANK] = {0}, at[ST_MAX_RANK] = {0};
  if (!g) return false;
  if (f->texts && g->kind == DATA_TEXT) return fill_text(r, f);
  g = picked(r, g, f->t->rank - 1);
  unsigned rank = extents(g, extent), want = f->t->rank - 1;
  if (rank == 0 && want == 1) rank = 1, extent[0] = 1;
  if (rank != want || !data_numbers(g))
    return host_fail(r->why, "%.250s: %.60s has %u axes of numbers, and %.60s takes %u a sample", r->s->where, g->name,
                     rank, f->t->name, want);
  if (f->texts && want == 1) // ids: padding at the end is left out, as of texts
    for (double v; extent[0] > 1 && data_number(g, extent[0] - 1, &v) && v == 0;) extent[0]--;
  // ids and their masks may be shorter than those of other samples: zeros behind
  bool exact = !(want == 1 && f->t->dtype[0] != 'f');
  size_t n = 1, element = f->t->dtype[0] == 'b' ? 1 : 4;
  for (unsigned d = 0; d < want; d++) {
    if (!row_extent(r, f->t, d + 1, extent[d], exact)) return false;
    n *= extent[d];
  }
  memset(row_start(r, f, element), 0, row_size(f->t) * element);
  for (size_t i = 0; i < n; i++) {
    size_t to = 0;
    for (unsigned d = 0; d < want; d++) to = to * (size_t)f->t->axis[d + 1].bound + at[d];
    if (!put_number(r, f, g, i, to)) return false;
    for (unsigned d = want; d-- > 0 && ++at[d] == extent[d];) at[d] = 0;
  }
  return true;
}

static int32_t answer_of(const HostLabels *answers, const char *word) {
  for (size_t i = 0; answers && i < answers->count; i++)
    if (!strcmp(answers->name[i], word)) return (int32_t)i;
  return -1;
}

bool fill_label(Row *r, const Fill *f) {
  const DataField *g = row_field(r, f->fields);
  int32_t v = -1;
  if (!g) return false;
  g = picked(r, g, 0);
  if (f->t->dtype[0] != 'i' || g->kind == DATA_TENSOR) return put_number(r, f, g, 0, 0);
  if (g->kind == DATA_TEXT && g->n && r->b->o.answers) v = answer_of(r->b->o.answers, g->text[row_pick(r, g->n)]);
  if (v < 0 && !data_class(r->b->data, r->s, g, &v, r->why)) return false;
  *(int32_t *)row_start(r, f, sizeof v) = v;
  return true;
}

// Scores of a list of answers: weights, or how many of ten people gave each (0.3 for one, 1 for four and more).
static bool put_scores(Row *r, const Fill *f, const DataField *g, size_t n, float *dst) {
  static const float often[] = {0, 0.3f, 0.6f, 0.9f, 1};
  const DataField *w = data_field(r->s, "weights");
  const HostLabels *all = r->b->o.answers;
  if (!all)
    return host_fail(r->why, "%.250s: %.60s are words, and --answers FILE has the list of them", r->s->where, g->name);
  if (all->count > n)
    return host_fail(r->why, "the list of answers has %zu lines, and %.60s takes %zu", all->count, f->t->name, n);
  if (w && data_numbers(w) != g->n)
    return host_fail(r->why, "%.250s has %zu answers and %zu weights", r->s->where, g->n, data_numbers(w));
  for (size_t i = 0; i < g->n; i++) {
    double weight = 1;
    int32_t at = answer_of(all, g->text[i]);
    if (at < 0) continue; // a rare answer
    if (w && !data_number(w, i, &weight)) return host_fail(r->why, "%.250s: a weight is no number", r->s->where);
    dst[at] += (float)weight;
  }
  for (size_t i = 0; !w && g->n > 1 && i < n; i++) dst[i] = often[dst[i] > 4 ? 4 : (int)dst[i]];
  return true;
}

bool fill_targets(Row *r, const Fill *f) {
  size_t n = (size_t)f->t->axis[1].bound;
  float *dst = row_start(r, f, sizeof *dst);
  int32_t label;
  if (data_field(r->s, f->t->name)) return fill_array(r, f);
  memset(dst, 0, n * sizeof *dst);
  if (!row_extent(r, f->t, 1, n, true)) return false;
  const DataField *g = data_field(r->s, "answers answer");
  if (g && g->kind == DATA_TEXT) return put_scores(r, f, g, n, dst);
  g = row_field(r, "label answer");
  if (!g || !data_class(r->b->data, r->s, g, &label, r->why)) return false;
  if (label < 0 || (size_t)label >= n)
    return host_fail(r->why, "%.250s: the label %d is not below %zu", r->s->where, label, n);
  dst[label] = 1;
  return true;
}

/* draws alone ------------------------------------------------------------------------------------------------------ */
bool fill_blocks(Row *r, const Fill *f) {
  DataDraws d = row_draws(r, f->input);
  size_t n = f->blocks.height * f->blocks.width;
  if (!row_extent(r, f->t, 1, n, true)) return false;
  mask_blocks(&f->blocks, &d, row_start(r, f, 1));
  return true;
}

bool fill_coin(Row *r, const Fill *f) {
  DataDraws d = row_draws(r, f->input);
  double v = draw_unit(&d) < f->number;
  return put_number(r, f, &(DataField){.kind = DATA_NUMBERS, .n = 1, .number = &v}, 0, 0);
}

bool fill_ramp(const Batches *b, Slot *s, const Fill *f, HostError *err) {
  (void)err;
  double part = f->over > 0 ? (double)s->batch.number / f->over : 1;
  (void)b;
  *(float *)s->in[f->input] = (float)(f->number * (part < 1 ? part : 1));
  return true;
}

// The number of another row of the batch, each as likely.
bool fill_rows_of_others(const Batches *b, Slot *s, const Fill *f, HostError *err) {
  (void)err;
  int32_t *dst = s->in[f->input];
  for (size_t k = 0; k < s->batch.rows; k++) {
    DataDraws d = data_draws(b->o.seed, SY_RANDOM_INPUT + f->input, s->at[k].epoch, s->at[k].sample);
    size_t other = s->batch.rows > 1 ? (size_t)draw_between(&d, 0, (int64_t)s->batch.rows - 2) : 0;
    dst[k] = (int32_t)(s->batch.rows > 1 ? other + (other >= k) : 0);
  }
  return true;
}

/* patches ---------------------------------------------------------------------------------------------------------- */
// Row and column of n patches of a picture of `real` patches on a canvas: n of them in the order of reading, or all and
// others outside, which the model sees as empty.
static void put_patches(DataDraws *d, const size_t real[2], const size_t canvas[2], size_t n, int32_t *dst, Arena *a) {
  size_t inside = real[0] * real[1], all = canvas[0] * canvas[1], outside = all - inside;
  uint32_t *chosen = ARENA_ARRAY(a, uint32_t, inside + 1), *scratch = ARENA_ARRAY(a, uint32_t, inside + 1);
  bool *take = ARENA_ARRAY(a, bool, inside + 1);
  size_t keep = inside < n ? inside : n;
  if (keep < inside)
    draw_choice(d, inside, keep, chosen, scratch);
  else
    for (size_t i = 0; i < keep; i++) chosen[i] = (uint32_t)i;
  for (size_t i = 0; i < keep; i++) take[chosen[i]] = true;
  for (size_t i = 0; i < inside; i++)
    if (take[i]) *dst++ = (int32_t)(i / real[1]), *dst++ = (int32_t)(i % real[1]);
  for (size_t i = keep; i < n; i++) {
    size_t k = outside ? (size_t)draw_between(d, 0, (int64_t)outside - 1) : 0, right = canvas[1] - real[1];
    bool beside = k < real[0] * right; // to the right of the picture, else below it
    size_t below = k - (beside ? 0 : real[0] * right);
    *dst++ = (int32_t)(beside ? k / right : real[0] + below / canvas[1]);
    *dst++ = (int32_t)(beside ? real[1] + k % right : below % canvas[1]);
  }
}

bool fill_patches(const Batches *b, Slot *s, const Fill *f, HostError *err) {
  const sy_tensor *picture = &b->wants->input[f->picture];
  const size_t canvas[2] = {(size_t)picture->axis[2].bound / f->patch, (size_t)picture->axis[3].bound / f->patch};
  size_t most = 0, pitch = (size_t)f->t->axis[1].bound;
  for (size_t k = 0; k < s->batch.rows; k++) {
    const size_t *side = s->side[k * b->wants->ninput + f->picture];
    size_t n = side[0] / f->patch * (side[1] / f->patch);
    if (n > most) most = n;
  }
  if (most > f->most) most = f->most;
  if (most > pitch) most = pitch;
  Row r = {.b = b, .slot = s, .why = err, .s = &(DataSample){.where = "a batch"}};
  memcpy(r.dims, s->batch.dims, sizeof r.dims);
  memcpy(r.exact, s->exact, sizeof r.exact);
  if (!row_extent(&r, f->t, 1, most, true)) return false;
  memcpy(s->batch.dims, r.dims, sizeof r.dims);
  memcpy(s->exact, r.exact, sizeof r.exact);
  for (size_t k = 0; k < s->batch.rows; k++) {
    const size_t *side = s->side[k * b->wants->ninput + f->picture];
    const size_t real[2] = {side[0] / f->patch, side[1] / f->patch};
    DataDraws d = data_draws(b->o.seed, SY_RANDOM_INPUT + f->input, s->at[k].epoch, s->at[k].sample);
    put_patches(&d, real, canvas, most, (int32_t *)s->in[f->input] + 2 * k * pitch, &s->arena);
  }
  return true;
}

/* a batch ---------------------------------------------------------------------------------------------------------- */
// All inputs of row k from one sample.
static bool fill_row(const Batches *b, Slot *s, size_t k, DataAt at, HostError *why) {
  if (!data_read_again(b->data, at.sample, &s->read, why)) return false;
  Row r = {.b = b, .slot = s, .s = &s->read, .at = at, .k = k, .arena = &s->read.arena, .why = why};
  r.flip = ARENA_ARRAY(r.arena, bool, b->naugment + 1);
  r.swap = ARENA_ARRAY(r.arena, bool, b->naugment + 1);
  memcpy(r.dims, s->batch.dims, sizeof r.dims);
  memcpy(r.exact, s->exact, sizeof r.exact);
  DataDraws d = data_draws(b->o.seed, SY_RANDOM_AUGMENT, at.epoch, at.sample);
  for (size_t i = 0; i < b->naugment; i++) {
    double flip = draw_unit(&d), swap = draw_unit(&d);
    r.flip[i] = b->o.train && b->augment[i].flip && flip < 0.5;
    r.swap[i] = b->o.train && b->augment[i].swap && swap < 0.5;
    r.exchange ^= (r.flip[i] && b->augment[i].words) != r.swap[i];
  }
  s->at[k] = at;
  s->sample[k] = at.sample;
  bool ok = true;
  for (unsigned i = 0; ok && i < b->wants->ninput; i++)
    if (b->fill[i].row) ok = b->fill[i].row(&r, &b->fill[i]);
  if (ok) {
    memcpy(s->batch.dims, r.dims, sizeof r.dims);
    memcpy(s->exact, r.exact, sizeof r.exact);
  }
  return ok;
}

static void note_bad(Slot *s, uint32_t sample, const HostError *why) {
  Bad bad = {sample, arena_strdup(&s->arena, why->text)};
  VEC_PUSH(&s->arena, s->bad, bad);
}

bool batch_fill(const Batches *b, Slot *s, uint64_t number, HostError *err) {
  arena_free(&s->arena);
  s->bad.at = NULL;
  s->bad.n = s->bad.cap = 0;
  uint64_t first = number % b->per_epoch * b->o.rows, left = b->length - first;
  Batch *batch = &s->batch;
  batch->number = number;
  batch->first = first;
  batch->epoch = (uint32_t)(number / b->per_epoch);
  batch->rows = left < b->o.rows ? (size_t)left : b->o.rows;
  memset(batch->dims, 0, sizeof batch->dims);
  memset(s->exact, 0, sizeof s->exact);
  memset(s->answers, 0, b->o.rows * sizeof *s->answers);
  for (unsigned i = 0; i < BATCH_DIMS; i++)
    if (b->counts[i]) batch->dims[i] = batch->rows, s->exact[i] = true;
  for (size_t k = 0; k < batch->rows; k++) {
    DataAt at = b->o.limit ? (DataAt){b->o.train ? sy_random_permute(b->o.seed, batch->epoch, (uint32_t)b->length,
                                                                     (uint32_t)(first + k))
                                                 : (uint32_t)(first + k),
                                      batch->epoch}
                           : data_at(b->data, b->o.seed, batch->epoch, first + k, b->o.train);
    HostError why = {.text = ""};
    while (!fill_row(b, s, k, at, &why)) {
      if (why.machine) return *err = why, false; // the sample is not to blame
      note_bad(s, at.sample, &why);
      if (b->o.strict || s->bad.n > b->most_bad) return *err = why, false;
      at.sample = data_next(b->data, at.sample);
      why = (HostError){.text = ""};
    }
  }
  for (unsigned i = 0; i < b->wants->ninput; i++)
    if (b->fill[i].end && !b->fill[i].end(b, s, &b->fill[i], err)) return false;
  return true;
}
