// words.c: see words.h. Invariants: caches hold `rows` sequences, in row order of the last call; image[r] is the
// picture (row of the start) that sequence r belongs to; kept[i] holds kept_of[0..] pictures' rows in row order.
#include "words.h"

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
  size_t start_words, last, start_scores, step_words, step_at, step_scores; // by number of input or output
  int32_t *text, *last_word, *at;                                           // by bounds
  const void **in;
  void **out, **start_out;
  State *state;
  Kept *kept;
  size_t nstate, nkept, batch, rows, nimage_kept;
  int32_t *image, *next, *kept_of; // by sequence
};

size_t words_with_role(const WordsTensor *list, size_t n, sy_role role) {
  size_t i = 0;
  while (i < n && list[i].port.role != (unsigned)role) i++;
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
  size_t o = t->port.pair;
  if (t->port.role != SY_ROLE_STATE || o >= w->info->start.noutput || w->info->start.output[o].bytes != t->bytes ||
      !t->rows)
    return host_fail(err, "the step changes '%.60s', which the start does not give", t->name);
  State *s = &w->state[w->nstate++];
  *s = (State){w->start_out[o], room(1, t->bytes), row_bytes(t), o, step_out};
  return s->other || host_no_memory(err);
}

static bool add_kept(Words *w, size_t step_in, HostError *err) {
  const WordsTensor *t = &w->info->step.input[step_in];
  const WordsEntry *start = &w->info->start;
  bool kept = t->port.role == SY_ROLE_KEPT, known = kept || t->port.role == SY_ROLE_GIVEN;
  size_t from = t->port.pair;
  if (!known || from >= (kept ? start->noutput : start->ninput))
    return host_fail(err, "the step reads '%.60s', which nothing gives", t->name);
  if ((kept ? start->output : start->input)[from].bytes != t->bytes)
    return host_fail(err, "start and step have '%.60s' in different sizes", t->name);
  Kept *k = &w->kept[w->nkept++];
  *k = (Kept){kept ? w->start_out[from] : w->given[from], room(1, t->bytes), row_bytes(t), step_in};
  return k->rows || host_no_memory(err);
}

static bool find_roles(Words *w, HostError *err) {
  const WordsEntry *s = &w->info->start, *t = &w->info->step;
  w->start_words = words_with_role(s->input, s->ninput, SY_ROLE_WORDS);
  w->last = words_with_role(s->input, s->ninput, SY_ROLE_LAST);
  w->start_scores = words_with_role(s->output, s->noutput, SY_ROLE_SCORES);
  w->step_words = words_with_role(t->input, t->ninput, SY_ROLE_WORDS);
  w->step_at = words_with_role(t->input, t->ninput, SY_ROLE_AT);
  w->step_scores = words_with_role(t->output, t->noutput, SY_ROLE_SCORES);
  if (w->start_words < s->ninput && w->last < s->ninput && w->start_scores < s->noutput && w->step_words < t->ninput &&
      w->step_at < t->ninput && w->step_scores < t->noutput)
    return true;
  return host_fail(err, "start and step have not all of the words, their place and their scores");
}

static bool set_up(Words *w, HostError *err) {
  const WordsInfo *f = w->info;
  size_t rows = f->batch_bound;
  if (f->start.ninput > MAX_TENSORS || f->step.ninput > MAX_TENSORS || f->start.noutput > MAX_TENSORS ||
      f->step.noutput > MAX_TENSORS)
    return host_fail(err, "more than %d tensors", MAX_TENSORS);
  if (!find_roles(w, err)) return false;
  w->text = room(rows * f->length_bound, sizeof *w->text);
  w->last_word = room(rows, sizeof *w->last_word);
  w->at = room(rows, sizeof *w->at);
  w->image = room(rows, sizeof *w->image);
  w->next = room(rows, sizeof *w->next);
  w->kept_of = room(rows, sizeof *w->kept_of);
  w->in = room(f->start.ninput + f->step.ninput, sizeof *w->in);
  w->out = room(f->step.noutput, sizeof *w->out);
  w->start_out = room(f->start.noutput, sizeof *w->start_out);
  w->state = room(f->step.noutput, sizeof *w->state);
  w->kept = room(f->step.ninput, sizeof *w->kept);
  if (!w->text || !w->last_word || !w->at || !w->image || !w->next || !w->kept_of || !w->in || !w->out ||
      !w->start_out || !w->state || !w->kept)
    return host_no_memory(err);
  for (size_t i = 0; i < f->start.noutput; i++)
    if (i != w->start_scores && !(w->start_out[i] = room(1, f->start.output[i].bytes))) return host_no_memory(err);
  for (size_t i = 0; i < f->step.noutput; i++)
    if (i != w->step_scores && !add_state(w, i, err)) return false;
  for (size_t i = 0; i < f->step.ninput; i++)
    if (i != w->step_words && i != w->step_at && !add_kept(w, i, err)) return false;
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
  void *all[] = {w->text, w->last_word, w->at,        w->image, w->next, w->kept_of,
                 w->in,   w->out,       w->start_out, w->state, w->kept};
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
    w->last_word[b] = (int32_t)n - 1;
    w->image[b] = (int32_t)b;
  }
  for (size_t i = 0; i < e->ninput; i++) w->in[i] = w->given[i];
  w->in[w->start_words] = w->text;
  w->in[w->last] = w->last_word;
  size_t s = w->start_scores;
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
  w->in[w->step_words] = w->text;
  w->in[w->step_at] = w->at;
  for (size_t i = 0; i < w->nstate; i++) w->out[w->state[i].step_out] = w->state[i].now;
  w->out[w->step_scores] = scores;
  return w->info->call(w->info->ud, true, (size_t)rows, (size_t)(at + n), w->in, w->out);
}

GenerateModel words_model(Words *w) {
  return (GenerateModel){
      w, (int64_t)w->info->vocab, (int64_t)w->info->length_bound, (int64_t)w->info->batch_bound, start, step};
}

void words_options(const sy_generate *g, int64_t length_bound, GenerateOptions *o) {
  *o = (GenerateOptions){.masked = g->rule == SY_RULE_MASKED_WORD,
                         .start_id = (int32_t)g->start_id,
                         .end_id = (int32_t)g->end_id,
                         .pad_id = (int32_t)g->pad_id,
                         .mask_id = (int32_t)g->mask_id,
                         .beams = g->beams,
                         .max_length = g->longest && g->longest < length_bound ? g->longest : length_bound,
                         .min_length = g->shortest,
                         .length_penalty = g->length_penalty,
                         .repetition_penalty = g->repetition_penalty,
                         .temperature = 1,
                         .top_p = 1};
}
