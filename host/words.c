// words.c: see words.h. Invariants: caches hold `rows` sequences, in row order of the last call; image[r] is the
// picture (row of the start) that sequence r belongs to; kept[i] holds kept_of[0..] pictures' rows in row order.
#include "words.h"
#include "face_parts.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 1024 };

typedef struct State { // an output of both entries
  void *now, *other;   // the rows, and room for them in another order
  size_t row_bytes, start_out, step_out;
} State;
typedef struct Kept { // an input of the step that the start or the caller gave
  const void *source; // a row for each picture
  void *rows;         // a row for each sequence
  size_t row_bytes;   // 0: one for all sequences
  size_t step_in;
} Kept;

struct Words {
  const WordsInfo *info;
  const void *const *given;
  int32_t *text, *last, *at; // by bounds
  const void **in;
  void **out, **start_out;
  State *state;
  Kept *kept;
  size_t nstate, nkept, batch, rows, nimage_kept;
  int32_t *image, *next, *kept_of; // by sequence
};

static size_t find(const WordsTensor *list, size_t n, const char *name) {
  size_t i = 0;
  while (i < n && strcmp(list[i].name, name) != 0) i++;
  return i;
}

static void *room(size_t n, size_t size) { // pages that are never touched cost nothing
  return calloc(n ? n : 1, size ? size : 1);
}

static size_t row_bytes(const WordsTensor *t) {
  return t->rows ? t->bytes / t->rows : 0;
}

static bool add_state(Words *w, size_t step_out, HostError *err) {
  const WordsTensor *t = &w->info->step.output[step_out];
  size_t o = find(w->info->start.output, w->info->start.noutput, t->name);
  if (o == w->info->start.noutput || w->info->start.output[o].bytes != t->bytes || !t->rows)
    return host_fail(err, "the step changes '%.60s', which the start does not give", t->name);
  State *s = &w->state[w->nstate++];
  *s = (State){w->start_out[o], room(1, t->bytes), row_bytes(t), o, step_out};
  return s->other || host_no_memory(err);
}

static bool add_kept(Words *w, size_t step_in, HostError *err) {
  const WordsTensor *t = &w->info->step.input[step_in];
  const WordsEntry *start = &w->info->start;
  size_t o = find(start->output, start->noutput, t->name), i = find(start->input, start->ninput, t->name);
  bool is_output = o < start->noutput;
  if (!is_output && i == start->ninput) return host_fail(err, "the step reads '%.60s', which nothing gives", t->name);
  if ((is_output ? start->output[o].bytes : start->input[i].bytes) != t->bytes)
    return host_fail(err, "start and step have '%.60s' in different sizes", t->name);
  Kept *k = &w->kept[w->nkept++];
  *k = (Kept){is_output ? w->start_out[o] : w->given[i], room(1, t->bytes), row_bytes(t), step_in};
  return k->rows || host_no_memory(err);
}

static bool set_up(Words *w, HostError *err) {
  const WordsInfo *f = w->info;
  size_t rows = f->batch_bound;
  if (f->start.ninput > MAX_TENSORS || f->step.ninput > MAX_TENSORS || f->start.noutput > MAX_TENSORS ||
      f->step.noutput > MAX_TENSORS)
    return host_fail(err, "more than %d tensors", MAX_TENSORS);
  w->text = room(rows * f->length_bound, sizeof *w->text);
  w->last = room(rows, sizeof *w->last);
  w->at = room(rows, sizeof *w->at);
  w->image = room(rows, sizeof *w->image);
  w->next = room(rows, sizeof *w->next);
  w->kept_of = room(rows, sizeof *w->kept_of);
  w->in = room(f->start.ninput + f->step.ninput, sizeof *w->in);
  w->out = room(f->step.noutput, sizeof *w->out);
  w->start_out = room(f->start.noutput, sizeof *w->start_out);
  w->state = room(f->step.noutput, sizeof *w->state);
  w->kept = room(f->step.ninput, sizeof *w->kept);
  if (!w->text || !w->last || !w->at || !w->image || !w->next || !w->kept_of || !w->in || !w->out || !w->start_out ||
      !w->state || !w->kept)
    return host_no_memory(err);
  for (size_t i = 0; i < f->start.noutput; i++)
    if (i != f->part.start_scores && !(w->start_out[i] = room(1, f->start.output[i].bytes))) return host_no_memory(err);
  for (size_t i = 0; i < f->step.noutput; i++)
    if (i != f->part.step_scores && !add_state(w, i, err)) return false;
  for (size_t i = 0; i < f->step.ninput; i++)
    if (i != f->part.step_words && i != f->part.at && !add_kept(w, i, err)) return false;
  return true;
}

Words *words_new(const WordsInfo *info, const void *const *given, HostError *err) {
  Words *w = calloc(1, sizeof *w);
  if (!w) {
    host_no_memory(err);
    return NULL;
  }
  w->info = info;
  w->given = given;
  if (set_up(w, err)) return w;
  words_free(w);
  return NULL;
}

void words_free(Words *w) {
  if (!w) return;
  for (size_t i = 0; i < w->nstate; i++) free(w->state[i].other), w->start_out[w->state[i].start_out] = w->state[i].now;
  for (size_t i = 0; i < w->nkept; i++) free(w->kept[i].rows);
  for (size_t i = 0; w->start_out && i < w->info->start.noutput; i++) free(w->start_out[i]);
  void *all[] = {w->text, w->last, w->at,        w->image, w->next, w->kept_of,
                 w->in,   w->out,  w->start_out, w->state, w->kept};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
  free(w);
}

// The words by bounds: rows of length_bound ids.
static void put_words(Words *w, size_t rows, size_t n, size_t pitch, const int32_t *words) {
  for (size_t r = 0; r < rows; r++) memcpy(w->text + r * pitch, words + r * n, n * sizeof *words);
}

static bool start(void *ud, int64_t batch, int64_t n, const int32_t *words, float *scores) {
  Words *w = ud;
  const WordsEntry *e = &w->info->start;
  if (batch < 1 || (size_t)batch > w->info->batch_bound || n < 1 || (size_t)n > w->info->length_bound) return false;
  for (size_t i = 0; i < w->nstate; i++) w->start_out[w->state[i].start_out] = w->state[i].now;
  put_words(w, (size_t)batch, (size_t)n, w->info->length_bound, words);
  for (int64_t b = 0; b < batch; b++) {
    w->last[b] = (int32_t)n - 1;
    w->image[b] = (int32_t)b;
  }
  for (size_t i = 0; i < e->ninput; i++) w->in[i] = w->given[i];
  w->in[w->info->part.start_words] = w->text;
  w->in[w->info->part.last] = w->last;
  size_t s = w->info->part.start_scores;
  w->start_out[s] = scores;
  w->batch = w->rows = (size_t)batch;
  w->nimage_kept = 0;
  bool ok = w->info->call(w->info->ud, false, (size_t)batch, (size_t)n, w->in, w->start_out);
  w->start_out[s] = NULL;
  return ok;
}

// Row r of the state becomes what row parent[r] was.
static void reorder(Words *w, size_t rows, const int32_t *parent) {
  bool same = rows <= w->rows;
  for (size_t r = 0; r < rows && same; r++) same = parent[r] == (int32_t)r;
  for (size_t i = 0; i < w->nstate && !same; i++) {
    State *s = &w->state[i];
    for (size_t r = 0; r < rows; r++)
      memcpy((char *)s->other + r * s->row_bytes, (char *)s->now + (size_t)parent[r] * s->row_bytes, s->row_bytes);
    void *t = s->now;
    s->now = s->other, s->other = t;
  }
  for (size_t r = 0; r < rows; r++) w->next[r] = w->image[parent[r]];
  memcpy(w->image, w->next, rows * sizeof *w->image);
  w->rows = rows;
}

// What the pictures gave, a row for each sequence: copied when sequences of other pictures stand in the rows.
static void spread(Words *w) {
  bool same = w->rows <= w->nimage_kept, in_order = w->rows <= w->batch;
  for (size_t r = 0; r < w->rows; r++) {
    same = same && w->kept_of[r] == w->image[r];
    in_order = in_order && w->image[r] == (int32_t)r;
  }
  for (size_t i = 0; i < w->nkept; i++) {
    Kept *k = &w->kept[i];
    if (in_order || !k->row_bytes) {
      w->in[k->step_in] = k->source;
      continue;
    }
    for (size_t r = 0; r < w->rows && !same; r++)
      memcpy((char *)k->rows + r * k->row_bytes, (const char *)k->source + (size_t)w->image[r] * k->row_bytes,
             k->row_bytes);
    w->in[k->step_in] = k->rows;
  }
  if (in_order || same) return;
  memcpy(w->kept_of, w->image, w->rows * sizeof *w->image);
  w->nimage_kept = w->rows;
}

static bool step(void *ud, int64_t rows, int64_t at, int64_t n, const int32_t *parent, const int32_t *words,
                 float *scores) {
  Words *w = ud;
  if (rows < 1 || (size_t)rows > w->info->batch_bound || at < 0 || (size_t)(at + n) > w->info->length_bound)
    return false;
  for (int64_t r = 0; r < rows; r++)
    if (parent[r] < 0 || (size_t)parent[r] >= w->rows) return false;
  reorder(w, (size_t)rows, parent);
  put_words(w, (size_t)rows, (size_t)n, (size_t)n, words);
  for (int64_t r = 0; r < rows; r++) w->at[r] = (int32_t)at;
  spread(w);
  w->in[w->info->part.step_words] = w->text;
  w->in[w->info->part.at] = w->at;
  for (size_t i = 0; i < w->nstate; i++) w->out[w->state[i].step_out] = w->state[i].now;
  w->out[w->info->part.step_scores] = scores;
  return w->info->call(w->info->ud, true, (size_t)rows, (size_t)(at + n), w->in, w->out);
}

GenerateModel words_model(Words *w) {
  return (GenerateModel){
      w, (int64_t)w->info->vocab, (int64_t)w->info->length_bound, (int64_t)w->info->batch_bound, start, step};
}

// The first id of "[30522]".
static int32_t first_id(const char *options, const char *key, int32_t absent) {
  char text[64];
  if (!face_option(options, key, text, sizeof text)) return absent;
  return (int32_t)strtol(text[0] == '[' ? text + 1 : text, NULL, 10);
}

bool words_rule(const char *kind, const char *options, int64_t length_bound, GenerateOptions *o, HostError *err) {
  *o = (GenerateOptions){.masked = !strcmp(kind, "masked_word"), .temperature = 1, .top_p = 1, .repetition_penalty = 1};
  if (!o->masked && strcmp(kind, "next_word") != 0) return host_fail(err, "there is no rule '%.60s'", kind);
  o->start_id = first_id(options, "start", -1);
  o->end_id = first_id(options, "end", -1);
  o->pad_id = first_id(options, "pad", 0);
  o->mask_id = first_id(options, "mask", -1);
  o->beams = (int64_t)face_option_number(options, "beams", 1);
  o->max_length = (int64_t)face_option_number(options, "longest", (double)length_bound);
  o->min_length = (int64_t)face_option_number(options, "shortest", 0);
  o->length_penalty = face_option_number(options, "length_penalty", 1);
  o->repetition_penalty = face_option_number(options, "repetition_penalty", 1);
  if (o->max_length > length_bound) o->max_length = length_bound;
  return true;
}
