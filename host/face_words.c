// face_words.c - captions and answers: the search of generate.h over a generate's two entry points, for every picture
// given, printed as sentences.
//
//   cat.jpg: a cat on a red sofa
#include "face_parts.h"

#include "common/progress.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

FaceWords face_words_at(const sy_info *info, unsigned i) {
  const sy_generate *g = &info->generate[i];
  return (FaceWords){g, &info->route[g->start], &info->route[g->step]};
}

static bool fills(const FaceWords *w, unsigned input, sy_role role) {
  return w->is->start_in[input].role == (unsigned)role;
}

unsigned face_words_input(const FaceWords *w) {
  unsigned i = 0;
  while (i + 1 < w->start->ninput && !fills(w, i, SY_ROLE_WORDS)) i++;
  return i;
}

bool face_words_fills(const FaceWords *w, unsigned input) {
  return fills(w, input, SY_ROLE_WORDS) || fills(w, input, SY_ROLE_LAST);
}

bool face_words_begin(const FaceWords *w, const char *name) {
  bool prompt = w->is->prompt && !strcmp(w->is->prompt, name);
  return prompt || !strcmp(w->start->input[face_words_input(w)].name, name);
}

bool face_words_part(const sy_info *info, const sy_route *r, FaceWords *w) {
  for (unsigned i = 0; i < info->ngenerate; i++) {
    *w = face_words_at(info, i);
    if (w->start == r || w->step == r) return true;
  }
  return false;
}

typedef struct Captions {
  FaceRun *r;
  const FaceWords *w;
  FaceCall *call;
  void *ud;
  FaceWordsShape shape;
  GenerateOptions how;
  FacePrompts prompts;
  bool question; // the prompt is no part of what is shown
} Captions;

static const HostIds *prompt_of(const Captions *c, size_t item) {
  return &c->prompts.at[c->prompts.n == 1 ? 0 : item];
}

static bool call_entry(void *ud, bool step, size_t rows, size_t length, const void *const *in, void *const *out) {
  Captions *c = ud;
  size_t dims[FACE_MAX_DIMS];
  memcpy(dims, c->r->dims, sizeof dims);
  dims[c->shape.batch_dim] = rows;
  dims[c->shape.length_dim] = length;
  return c->call(c->ud, step ? c->w->step : c->w->start, dims, in, out);
}

static const WordsTensor *tensors(WordsTensor *dst, const sy_tensor *t, const sy_port *port, unsigned n,
                                  int batch_dim) {
  for (unsigned i = 0; i < n; i++) {
    bool by_row = t[i].rank && t[i].axis[0].dim == batch_dim;
    dst[i] = (WordsTensor){.name = t[i].name,
                           .bytes = (size_t)t[i].bytes,
                           .rows = by_row ? (size_t)t[i].axis[0].bound : 0,
                           .port = port[i]};
  }
  return dst;
}

static void show_progress(void *ud, int64_t length, int64_t most) {
  (void)ud;
  char text[64];
  snprintf(text, sizeof text, "%lld of at most %lld words", (long long)length, (long long)most);
  progress_bar("", (double)length / (double)most, text);
}

bool face_words_describe(const FaceWords *w, FaceWordsShape *shape, WordsInfo *info, HostError *err) {
  const sy_route *s = w->start, *t = w->step;
  unsigned scored = 0;
  while (scored + 1 < s->noutput && w->is->start_out[scored].role != SY_ROLE_SCORES) scored++;
  bool ok = s->ninput && s->noutput && s->ninput <= FACE_MAX_TENSORS && s->noutput <= FACE_MAX_TENSORS &&
            t->ninput <= FACE_MAX_TENSORS && t->noutput <= FACE_MAX_TENSORS;
  const sy_tensor *words = ok ? &s->input[face_words_input(w)] : NULL, *scores = ok ? &s->output[scored] : NULL;
  ok = ok && words->rank == 2 && scores->rank == 2 && words->axis[0].dim >= 0 && words->axis[1].dim >= 0;
  if (!ok) return host_fail(err, "the program's description of %s makes no sense", w->is->name);
  shape->batch_dim = words->axis[0].dim;
  shape->length_dim = words->axis[1].dim;
  int b = shape->batch_dim;
  *info =
      (WordsInfo){.start = {s->ninput, s->noutput, tensors(shape->tensor[0], s->input, w->is->start_in, s->ninput, b),
                            tensors(shape->tensor[1], s->output, w->is->start_out, s->noutput, b)},
                  .step = {t->ninput, t->noutput, tensors(shape->tensor[2], t->input, w->is->step_in, t->ninput, b),
                           tensors(shape->tensor[3], t->output, w->is->step_out, t->noutput, b)},
                  .batch_bound = (size_t)words->axis[0].bound,
                  .length_bound = (size_t)words->axis[1].bound,
                  .vocab = (size_t)scores->axis[1].bound};
  return true;
}

// The options of the page, and what the command line says instead.
static bool options(Captions *c, const WordsInfo *info, HostError *err) {
  const FaceArgs *a = c->r->args;
  GenerateOptions *o = &c->how;
  words_options(c->w->is, (int64_t)info->length_bound, o);
  if (!a->sample && (a->temperature > 0 || a->top_p > 0 || a->top_k || a->seed))
    return host_fail(err, "--temperature, --top-p, --top-k and --seed go with --sample");
  if (a->sample && a->beams > 1) return host_fail(err, "--sample draws one sentence: no --beams");
  if (a->longest) o->max_length = (int64_t)a->longest;
  if (a->shortest) o->min_length = (int64_t)a->shortest;
  if (a->beams) o->beams = (int64_t)a->beams;
  o->sample = a->sample;
  if (a->sample) o->beams = 1;
  if (a->temperature > 0) o->temperature = a->temperature;
  if (a->top_p > 0) o->top_p = a->top_p;
  o->top_k = (int64_t)a->top_k;
  o->seed = a->seed;
  o->progress = show_progress;
  return true;
}

// Says which words a sentence lacks because the vocabulary does not have them.
static void note_missing(const Captions *c, const HostIds *prompt, const char *name, const int32_t *ids, size_t n) {
  const GenerateOptions *o = &c->how;
  size_t missing = 0;
  int32_t first = 0;
  for (size_t i = 0; i < n; i++) {
    bool marks = ids[i] == prompt->id[0] || ids[i] == o->end_id || ids[i] == o->pad_id || ids[i] == o->mask_id;
    if (marks || (ids[i] >= 0 && (size_t)ids[i] < host_tokenizer_ids(c->r->tokenizer, &c->r->how))) continue;
    if (missing++ == 0) first = ids[i];
  }
  if (missing)
    text_line(stderr, "note: %.200s: words that the vocabulary lacks were left out: %zu, the first has id %d", name,
              missing, (int)first);
}

// Row k of this call.
static bool show(Captions *c, size_t k, const int32_t *ids, float score, HostError *err) {
  FaceRun *r = c->r;
  size_t item = r->item[k];
  HostTokenizerOptions how = r->how;
  how.start = c->how.start_id >= 0 ? c->how.start_id : prompt_of(c, item)->id[0];
  how.end = c->how.end_id;
  how.pad = c->how.pad_id;
  size_t n = (size_t)c->how.max_length, bytes = 0, from = c->question ? prompt_of(c, item)->n : 0;
  while (n > from && ids[n - 1] == c->how.pad_id) n--;
  char *text = r->tokenizer ? host_tokenizer_decode(r->tokenizer, ids + from, n - from, &how, &bytes, err) : NULL;
  if (r->tokenizer && !text) return false;
  const char *name =
      r->args->image.n ? r->args->image.at[r->args->image.n == r->pictures ? 0 : item * r->pictures] : "input";
  if (text) note_missing(c, prompt_of(c, item), name, ids, n);
  const char *blank = text && *text == ' ' ? text + 1 : text;
  if (r->json) {
    Json *j = r->json;
    face_show_bad(r, item);
    json_object(j, NULL);
    json_string(j, "image", name);
    json_string(j, c->w->is->name, blank);
    json_float(j, "score", score);
    json_array(j, "ids");
    for (size_t i = 0; i < n; i++) json_integer(j, NULL, ids[i]);
    json_end(j);
    json_end(j);
  } else {
    text_print(stdout, name), fputs(": ", stdout), text_print(stdout, text ? blank : "ids");
    for (size_t i = 0; i < n && !text; i++) printf(" %d", (int)ids[i]);
    putchar('\n');
  }
  free(text);
  return true;
}

static bool search(Captions *c, Words *w, size_t count, const int32_t *words, size_t n, int32_t *ids, float *score,
                   HostError *err) {
  GenerateModel m = words_model(w);
  FaceRun *r = c->r;
  const char *why = NULL;
  err->text[0] = 0;
  bool ok = generate(&m, &c->how, (int64_t)count, words, (int64_t)n, ids, score, &why);
  progress_clear();
  if (ok || err->text[0]) return ok; // else the options do not fit the model
  r->nan = why == generate_not_a_number;
  r->usage = !r->nan;
  return host_fail(err, "%s: %s%s", c->w->is->name, why ? why : "the search failed",
                   r->nan ? "; are the weights those of this model?" : "");
}

// Runs items [at, at + count), whose prompts have one length.
static bool run_batch(Captions *c, const WordsInfo *info, size_t at, size_t count, HostError *err) {
  FaceRun *r = c->r;
  if (!face_run_fill(r, at, count, err)) return false;
  face_bads_say(&r->bad, r->program);
  count = r->count;
  const void *given[FACE_MAX_TENSORS];
  for (unsigned i = 0; i < FACE_MAX_TENSORS; i++) given[i] = r->in[i];
  size_t n = prompt_of(c, at)->n, most = (size_t)c->how.max_length;
  int32_t *words = malloc(count * n * sizeof *words + 1), *ids = malloc(count * most * sizeof *ids + 1);
  float *score = malloc(count * sizeof *score + 1);
  Words *w = words && ids && score ? words_new(info, given, err) : NULL;
  bool ok = w != NULL;
  if (!words || !ids || !score) host_no_memory(err);
  for (size_t k = 0; k < count && ok; k++) memcpy(words + k * n, prompt_of(c, r->item[k])->id, n * sizeof *words);
  if (ok && count) ok = search(c, w, count, words, n, ids, score, err);
  for (size_t k = 0; k < count && ok; k++) ok = show(c, k, ids + k * most, score[k], err);
  face_show_bad(r, SIZE_MAX);
  words_free(w);
  free(words);
  free(ids);
  free(score);
  return ok;
}

// How many items there are: pictures, sentences, rows of files and prompts; of each one, or as many as of the others.
static bool count_items(Captions *c, HostError *err) {
  FaceRun *r = c->r;
  size_t count[] = {r->total, c->prompts.n, face_run_given_rows(r)};
  for (size_t i = 1; i < 3; i++) {
    if (count[i] > 1 && r->total > 1 && count[i] != r->total)
      return host_fail(err, "%s: %zu %s for %zu items", c->w->is->name, count[i],
                       i == 1 ? "prompts" : "rows of an input", r->total);
    if (count[i] > 1) r->total = count[i];
  }
  return true;
}

// How many items from `at` on a call can take: all words of a call begin with as many ids.
static size_t batch_at(const Captions *c, size_t at, size_t most) {
  size_t n = 1;
  while (n < most && at + n < c->r->total && prompt_of(c, at + n)->n == prompt_of(c, at)->n) n++;
  return n;
}

static bool run_all(Captions *c, const WordsInfo *info, HostError *err) {
  FaceRun *r = c->r;
  size_t batch = info->batch_bound / (size_t)c->how.beams;
  if (!batch)
    return host_fail(err, "the model runs %zu sentences at once: --beams must be at most that", info->batch_bound);
  if (!count_items(c, err)) return false;
  r->usage = false;
  bool ok = true;
  for (size_t at = 0, n; ok && at < r->total; at += n) ok = run_batch(c, info, at, n = batch_at(c, at, batch), err);
  return ok;
}

// Does the page say that the prompt is not shown?
static bool is_question(const FaceRun *r, const FaceWords *w) {
  const sy_prepare *p = w->is->prompt ? face_prepare(r->info, w->is->prompt) : NULL;
  char shown[8];
  return p && face_option(p->options, "shown", shown, sizeof shown) && !strcmp(shown, "false");
}

bool face_words_run(FaceRun *r, const FaceWords *w, FaceCall *call, void *ud, HostError *err) {
  Captions *c = calloc(1, sizeof *c);
  WordsInfo info;
  if (!c) return host_no_memory(err);
  *c = (Captions){.r = r, .w = w, .call = call, .ud = ud, .question = is_question(r, w)};
  r->usage = true; // until something runs, the command line is to blame
  bool ok = face_words_describe(w, &c->shape, &info, err);
  info.call = call_entry;
  info.ud = c;
  ok = ok && options(c, &info, err) && face_prompts_make(r, w, &c->how, &info, &c->prompts, err) &&
       run_all(c, &info, err);
  face_prompts_free(&c->prompts);
  free(c);
  return ok;
}
