// batch_text.c - rows of a batch that are texts, or made of texts: ids, masks of padding, masked words, labels,
// answers.
//
// A text of a sample is made into ids once (Row.text), however many inputs are made from it.
#include "batch_parts.h"

#include <stdlib.h>
#include <string.h>

/* ids -------------------------------------------------------------------------------------------------------------- */
static bool encode(Row *r, const Text *t, const char *text, size_t longest, HostIds *out) {
  HostIds ids = {0};
  HostTokenizerOptions how = t->how;
  how.max_length = longest;
  HostError why = {.text = ""};
  if (!r->b->vocabulary.tokenizer)
    return host_fail(r->why, "%.250s is text, which needs the tokenizer's vocabulary: --vocab FILE", r->s->where);
  if (r->exchange) text = augment_exchange(r->arena, text);
  if (!host_tokenizer_encode(r->b->vocabulary.tokenizer, text, strlen(text), &how, &ids, NULL, &why)) {
    host_fail(r->why, "%.250s: %.200s", r->s->where, why.text);
    r->why->machine = why.machine;
    return false;
  }
  *out = (HostIds){ARENA_ARRAY(r->arena, int32_t, ids.n + 1), ids.n};
  if (ids.n) memcpy(out->id, ids.id, ids.n * sizeof *ids.id);
  host_ids_free(&ids);
  return out->n > 0 || host_fail(r->why, "%.300s: an empty text has no tokens", r->s->where);
}

// Ids that the data have already; padding at the end is left out.
static bool given_ids(Row *r, const Text *t, const DataField *g, HostIds *out) {
  size_t n = data_numbers(g), from = 0, length = n;
  if (g->kind == DATA_TENSOR && g->tensor.rank == 2) { // one of several
    length = (size_t)g->tensor.shape[1];
    from = row_pick(r, (size_t)g->tensor.shape[0]) * length;
  }
  int32_t *id = ARENA_ARRAY(r->arena, int32_t, length + 1);
  for (size_t i = 0; i < length; i++) {
    double v;
    if (!data_number(g, from + i, &v) || v < 0 || v > INT32_MAX)
      return host_fail(r->why, "%.250s: %.60s has something that is no id", r->s->where, g->name);
    id[i] = (int32_t)v;
  }
  while (length > 1 && id[length - 1] == t->how.pad) length--;
  if (length > t->longest)
    return host_fail(r->why, "%.250s: %.60s has %zu ids, the model takes %zu", r->s->where, g->name, length,
                     t->longest);
  *out = (HostIds){id, length};
  return length > 0 || host_fail(r->why, "%.300s: a text without ids", r->s->where);
}

// The ids of the text of an input, which stay in the arena of the row. NULL: r->why.
static const HostIds *text_of(Row *r, const Fill *f) {
  const Text *t = &r->b->text[f->text];
  const DataField *g = row_field(r, f->texts);
  if (!g) return NULL;
  for (size_t i = 0; i < r->text.n; i++)
    if (r->text.at[i].field == g && r->text.at[i].text == f->text) return &r->text.at[i].ids;
  RowText one = {.field = g, .text = f->text};
  bool ok = g->kind == DATA_TEXT && g->n ? encode(r, t, g->text[row_pick(r, g->n)], t->longest, &one.ids)
            : data_numbers(g)            ? given_ids(r, t, g, &one.ids)
                                         : host_fail(r->why, "%.250s: %.60s is no text", r->s->where, g->name);
  if (!ok) return NULL;
  VEC_PUSH(r->arena, r->text, one);
  return &r->text.at[r->text.n - 1].ids;
}

// Writes a row of ids with padding behind, and lets its axis hold them.
static bool put_ids(Row *r, const Fill *f, const int32_t *id, size_t n) {
  size_t pitch = (size_t)f->t->axis[1].bound;
  int32_t *dst = (int32_t *)r->slot->in[f->input] + r->k * pitch;
  if (!row_extent(r, f->t, 1, f->t->axis[1].dim < 0 ? pitch : n, false)) return false;
  for (size_t i = 0; i < pitch; i++) dst[i] = i < n ? id[i] : f->pad;
  return true;
}

bool fill_text(Row *r, const Fill *f) {
  const HostIds *ids = text_of(r, f);
  return ids && put_ids(r, f, ids->id, ids->n);
}

bool fill_follows_mask(Row *r, const Fill *f) {
  const HostIds *ids = text_of(r, f);
  size_t pitch = (size_t)f->t->axis[1].bound;
  if (!ids || !row_extent(r, f->t, 1, f->t->axis[1].dim < 0 ? pitch : ids->n, false)) return false;
  unsigned char *dst = (unsigned char *)r->slot->in[f->input] + r->k * pitch;
  for (size_t i = 0; i < pitch; i++) dst[i] = i < ids->n;
  return true;
}

bool fill_follows_type(Row *r, const Fill *f) {
  const HostIds *ids = text_of(r, f);
  return ids && put_ids(r, f, NULL, 0) && row_extent(r, f->t, 1, ids->n, false);
}

/* made of texts ---------------------------------------------------------------------------------------------------- */
// Which tokens go on with the word before, as "##x" does.
static bool *find_joins(Row *r, const HostIds *ids) {
  bool *joins = ARENA_ARRAY(r->arena, bool, ids->n + 1);
  const HostTokenizer *t = r->b->vocabulary.tokenizer;
  for (size_t i = 0; t && i < ids->n; i++) joins[i] = host_tokenizer_joins(t, ids->id[i]) > 0;
  return joins;
}

bool fill_masked(Row *r, const Fill *f) {
  const HostIds *ids = text_of(r, f);
  if (!ids) return false;
  size_t n = ids->n, room = n > f->mask.padded ? n : f->mask.padded;
  int32_t *id = ARENA_ARRAY(r->arena, int32_t, n), *labels = ARENA_ARRAY(r->arena, int32_t, n);
  uint32_t *scratch = ARENA_ARRAY(r->arena, uint32_t, room + 1);
  memcpy(id, ids->id, n * sizeof *id);
  DataDraws d = row_draws(r, f->first->input); // both inputs of the sampler draw the same
  mask_words(&f->mask, &d, n, id, labels, f->mask.rule == MASK_WHOLE ? find_joins(r, ids) : NULL, scratch);
  return put_ids(r, f, f->labels ? labels : id, n);
}

bool fill_begin(Row *r, const Fill *f) {
  const HostIds *ids = text_of(r, f);
  if (!ids || !put_ids(r, f, ids->id, ids->n)) return false;
  ((int32_t *)r->slot->in[f->input])[r->k * (size_t)f->t->axis[1].bound] = f->word;
  return true;
}

bool fill_text_labels(Row *r, const Fill *f) {
  const HostIds *ids = text_of(r, f);
  if (!ids || !put_ids(r, f, ids->id, ids->n)) return false;
  int32_t *dst = (int32_t *)r->slot->in[f->input] + r->k * (size_t)f->t->axis[1].bound;
  for (size_t i = 0; i < ids->n; i++)
    if (i < f->prompt || dst[i] == f->word) dst[i] = -100; // word: the id of padding
  return true;
}

/* the list of answers ---------------------------------------------------------------------------------------------- */
// Lets both axes of an input hold the list. *n: its lines.
static bool hold_list(const Batches *b, Slot *s, const Fill *f, size_t *n, HostError *err) {
  Row r = {.b = b, .slot = s, .why = err, .s = &(DataSample){.where = "the list of answers"}};
  size_t longest = 1;
  *n = b->o.answers->count;
  memcpy(r.dims, s->batch.dims, sizeof r.dims);
  memcpy(r.exact, s->exact, sizeof r.exact);
  for (size_t i = 0; i < *n; i++)
    if (b->text[f->text].list[i].n > longest) longest = b->text[f->text].list[i].n;
  if (!row_extent(&r, f->t, 0, *n, true) ||
      !row_extent(&r, f->t, 1, f->t->axis[1].dim < 0 ? (size_t)f->t->axis[1].bound : longest, false))
    return false;
  memcpy(s->batch.dims, r.dims, sizeof r.dims);
  memcpy(s->exact, r.exact, sizeof r.exact);
  return true;
}

bool fill_listed(const Batches *b, Slot *s, const Fill *f, HostError *err) {
  size_t n, pitch = (size_t)f->t->axis[1].bound;
  int32_t *dst = s->in[f->input];
  if (!hold_list(b, s, f, &n, err)) return false;
  for (size_t i = 0; i < n; i++)
    for (size_t c = 0; c < pitch; c++) {
      const HostIds *ids = &b->text[f->text].list[i];
      *dst++ = c < ids->n ? ids->id[c] : f->pad;
    }
  return true;
}

bool fill_listed_mask(const Batches *b, Slot *s, const Fill *f, HostError *err) {
  size_t n, pitch = (size_t)f->t->axis[1].bound;
  unsigned char *dst = s->in[f->input];
  if (!hold_list(b, s, f, &n, err)) return false;
  for (size_t i = 0; i < n; i++)
    for (size_t c = 0; c < pitch; c++) *dst++ = c < b->text[f->text].list[i].n;
  return true;
}

/* answers ---------------------------------------------------------------------------------------------------------- */
// Brings the heaviest answers to the front, equal ones in their order.
static void sort_answers(const char **text, double *weight, size_t n) {
  for (size_t i = 1; i < n; i++)
    for (size_t k = i; k > 0 && weight[k] > weight[k - 1]; k--) {
      const char *t = text[k];
      double w = weight[k];
      text[k] = text[k - 1], weight[k] = weight[k - 1];
      text[k - 1] = t, weight[k - 1] = w;
    }
}

bool fill_answers(Row *r, const Fill *f) {
  const DataField *g = row_field(r, "answers answer"), *w = data_field(r->s, "weights");
  const Text *t = &r->b->text[f->text];
  if (!g) return false;
  if (g->kind != DATA_TEXT || !g->n) return host_fail(r->why, "%.250s: %.60s are no texts", r->s->where, g->name);
  if (w && data_numbers(w) != g->n)
    return host_fail(r->why, "%.250s has %zu answers and %zu weights", r->s->where, g->n, data_numbers(w));
  const char **text = ARENA_ARRAY(r->arena, const char *, g->n);
  double *weight = ARENA_ARRAY(r->arena, double, g->n);
  size_t n = 0;
  for (size_t i = 0; i < g->n; i++) { // the same answer several times is one that weighs more
    double one = 1.0 / (double)g->n;
    size_t k = 0;
    if (w && !data_number(w, i, &one)) return host_fail(r->why, "%.250s: a weight is no number", r->s->where);
    while (k < n && strcmp(text[k], g->text[i]) != 0) k++;
    if (k == n) text[n] = g->text[i], weight[n++] = 0;
    weight[k] += one;
  }
  sort_answers(text, weight, n);
  size_t room = (size_t)f->t->axis[0].bound / r->b->o.rows; // of the rows of answers that the model takes
  if (n > room && room) n = room;
  Answers *a = &r->slot->answers[r->k];
  Arena *keep = &r->slot->arena;
  *a = (Answers){ARENA_ARRAY(keep, int32_t *, n), ARENA_ARRAY(keep, size_t, n), ARENA_ARRAY(keep, float, n), n};
  for (size_t i = 0; i < n; i++) {
    HostIds ids;
    if (!encode(r, t, text[i], t->longest, &ids)) return false;
    a->id[i] = ARENA_ARRAY(keep, int32_t, ids.n + 1);
    memcpy(a->id[i], ids.id, ids.n * sizeof *ids.id);
    a->length[i] = ids.n;
    a->weight[i] = (float)weight[i];
    if (!row_extent(r, f->t, 1, f->t->axis[1].dim < 0 ? (size_t)f->t->axis[1].bound : ids.n, false)) return false;
  }
  return true;
}

// Sets the extent of the axis that counts answers, once all rows are there. Returns their number.
static bool count_answers(const Batches *b, Slot *s, const Fill *f, size_t *n, HostError *err) {
  const sy_dim *a = &f->t->axis[0];
  *n = 0;
  for (size_t k = 0; k < s->batch.rows; k++) *n += s->answers[k].n;
  Row r = {.b = b, .slot = s, .why = err, .s = &(DataSample){.where = "a batch"}};
  if (!row_extent(&r, f->t, 0, *n, true)) return false;
  if (a->dim >= 0) s->batch.dims[a->dim] = r.dims[a->dim];
  return true;
}

bool fill_all_answers(const Batches *b, Slot *s, const Fill *f, HostError *err) {
  size_t n, pitch = (size_t)f->t->axis[1].bound;
  int32_t *dst = s->in[f->input];
  if (!count_answers(b, s, f, &n, err)) return false;
  for (size_t k = 0; k < s->batch.rows; k++)
    for (size_t i = 0; i < s->answers[k].n; i++, dst += pitch)
      for (size_t c = 0; c < pitch; c++) dst[c] = c < s->answers[k].length[i] ? s->answers[k].id[i][c] : f->pad;
  return true;
}

bool fill_all_answer_masks(const Batches *b, Slot *s, const Fill *f, HostError *err) {
  size_t n, pitch = (size_t)f->t->axis[1].bound;
  unsigned char *dst = s->in[f->input];
  if (!count_answers(b, s, f, &n, err)) return false;
  for (size_t k = 0; k < s->batch.rows; k++)
    for (size_t i = 0; i < s->answers[k].n; i++, dst += pitch)
      for (size_t c = 0; c < pitch; c++) dst[c] = c < s->answers[k].length[i];
  return true;
}

bool fill_all_weights(const Batches *b, Slot *s, const Fill *f, HostError *err) {
  size_t n;
  float *dst = s->in[f->input];
  if (!count_answers(b, s, f, &n, err)) return false;
  for (size_t k = 0; k < s->batch.rows; k++)
    for (size_t i = 0; i < s->answers[k].n; i++) *dst++ = s->answers[k].weight[i];
  return true;
}

bool fill_answer_counts(const Batches *b, Slot *s, const Fill *f, HostError *err) {
  (void)b, (void)err;
  for (size_t k = 0; k < s->batch.rows; k++) ((int32_t *)s->in[f->input])[k] = (int32_t)s->answers[k].n;
  return true;
}
