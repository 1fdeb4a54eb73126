// face_words.c - captions and answers: the search of generate.h over a generate's two entry points, for every picture
// given, printed as sentences.
//
//   cat.jpg: a cat on a red sofa
#include "face_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const sy_route *route_of(const sy_info *info, const sy_prepare *steps, const char *part) {
  for (unsigned i = 0; i < info->nroute; i++)
    if (face_option_is(steps->options, part, info->route[i].name)) return &info->route[i];
  return NULL;
}

bool face_words_find(const sy_info *info, const char *name, FaceWords *out) {
  *out = (FaceWords){0};
  for (unsigned i = 0; i < info->nprepare; i++) {
    const sy_prepare *p = &info->prepare[i];
    if (strcmp(p->name, name) != 0 || !face_prepares_words(p)) continue;
    *(strcmp(p->kind, "steps") ? &out->rule : &out->steps) = p;
  }
  if (!out->rule || !out->steps) return false;
  out->start = route_of(info, out->steps, "start");
  out->step = route_of(info, out->steps, "step");
  return out->start && out->step;
}

bool face_words_is(const FaceWords *w, const char *part, const char *name) {
  return face_option_is(w->steps->options, part, name);
}

bool face_words_fills(const FaceWords *w, const char *input) {
  return face_words_is(w, "words", input) || face_words_is(w, "last", input) || face_words_is(w, "at", input);
}

bool face_words_part(const sy_info *info, const sy_route *r, FaceWords *w) {
  for (unsigned i = 0; i < info->nprepare; i++)
    if (face_words_find(info, info->prepare[i].name, w) && (w->start == r || w->step == r)) return true;
  return false;
}

typedef struct Captions {
  FaceRun *r;
  const FaceWords *w;
  FaceCall *call;
  void *ud;
  FaceWordsShape shape;
  GenerateOptions how;
  HostIds prompt;
} Captions;

static bool call_entry(void *ud, bool step, size_t rows, size_t length, const void *const *in, void *const *out) {
  Captions *c = ud;
  size_t dims[FACE_MAX_DIMS];
  memcpy(dims, c->r->dims, sizeof dims);
  dims[c->shape.batch_dim] = rows;
  dims[c->shape.length_dim] = length;
  return c->call(c->ud, step ? c->w->step : c->w->start, dims, in, out);
}

static const WordsTensor *tensors(WordsTensor *dst, const sy_tensor *t, unsigned n, int batch_dim) {
  for (unsigned i = 0; i < n; i++) {
    bool by_row = t[i].rank && t[i].axis[0].dim == batch_dim;
    dst[i] = (WordsTensor){t[i].name, (size_t)t[i].bytes, by_row ? (size_t)t[i].axis[0].bound : 0};
  }
  return dst;
}

static void show_progress(void *ud, int64_t length, int64_t most) {
  (void)ud;
  if (isatty(STDERR_FILENO)) fprintf(stderr, "\r%lld of at most %lld words", (long long)length, (long long)most);
}

// The number of the tensor that plays a part; n: none does.
static size_t part_of(const FaceWords *w, const char *part, const sy_tensor *list, unsigned n) {
  unsigned i = 0;
  while (i < n && !face_words_is(w, part, list[i].name)) i++;
  return i;
}

bool face_words_describe(const FaceWords *w, FaceWordsShape *shape, WordsInfo *info, HostError *err) {
  const sy_route *s = w->start, *t = w->step;
  WordsParts p = {.start_words = part_of(w, "words", s->input, s->ninput),
                  .last = part_of(w, "last", s->input, s->ninput),
                  .start_scores = part_of(w, "scores", s->output, s->noutput),
                  .step_words = part_of(w, "words", t->input, t->ninput),
                  .at = part_of(w, "at", t->input, t->ninput),
                  .step_scores = part_of(w, "scores", t->output, t->noutput)};
  bool ok = p.start_words < s->ninput && p.last < s->ninput && p.start_scores < s->noutput &&
            p.step_words < t->ninput && p.at < t->ninput && p.step_scores < t->noutput &&
            s->ninput <= FACE_MAX_TENSORS && s->noutput <= FACE_MAX_TENSORS && t->ninput <= FACE_MAX_TENSORS &&
            t->noutput <= FACE_MAX_TENSORS;
  const sy_tensor *words = ok ? &s->input[p.start_words] : NULL, *scores = ok ? &s->output[p.start_scores] : NULL;
  ok = ok && words->rank == 2 && scores->rank == 2 && words->axis[0].dim >= 0 && words->axis[1].dim >= 0;
  if (!ok) return host_fail(err, "the program's description of %s makes no sense", w->rule->name);
  shape->batch_dim = words->axis[0].dim;
  shape->length_dim = words->axis[1].dim;
  int b = shape->batch_dim;
  *info = (WordsInfo){.start = {s->ninput, s->noutput, tensors(shape->tensor[0], s->input, s->ninput, b),
                                tensors(shape->tensor[1], s->output, s->noutput, b)},
                      .step = {t->ninput, t->noutput, tensors(shape->tensor[2], t->input, t->ninput, b),
                               tensors(shape->tensor[3], t->output, t->noutput, b)},
                      .part = p,
                      .batch_bound = (size_t)words->axis[0].bound,
                      .length_bound = (size_t)words->axis[1].bound,
                      .vocab = (size_t)scores->axis[1].bound};
  return true;
}

// The options of the page, and what the command line says instead.
static bool options(Captions *c, const WordsInfo *info, HostError *err) {
  const FaceArgs *a = c->r->args;
  GenerateOptions *o = &c->how;
  if (!words_rule(c->w->rule->kind, c->w->rule->options, (int64_t)info->length_bound, o, err)) return false;
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

// The tokenizer that makes the prompt and spells the words, if a vocabulary is given; it must be of the page's kind.
static bool load_tokenizer(FaceRun *r, const sy_prepare *p, size_t table, HostError *err) {
  if (!r->args->vocab) return true;
  if (p && face_is_tokenizer(p->kind)) {
    if (!face_load_vocabulary(r, p, err)) return false;
  } else if (!r->tokenizer && !(r->tokenizer = host_tokenizer_load(r->args->vocab, NULL, err))) {
    r->usage = false;
    return false;
  }
  r->how = host_tokenizer_options(r->tokenizer);
  size_t have = host_tokenizer_size(r->tokenizer); // a table may be longer: ids that a model adds, rows of padding
  if (have <= table) return true;
  r->usage = false;
  return host_fail(err, "%.200s has %zu tokens, the model's table of words %zu: it is the vocabulary of another model",
                   r->args->vocab, have, table);
}

// The ids that every sentence starts from.
static bool prompt(Captions *c, const WordsInfo *info, HostError *err) {
  char name[64], text[400] = "";
  FaceRun *r = c->r;
  bool prompted = face_option(c->w->rule->options, "prompt", name, sizeof name);
  const sy_prepare *p = face_prepare(r->info, prompted ? name : c->w->start->input[info->part.start_words].name);
  size_t table = info->vocab;
  if (!load_tokenizer(r, p, table, err)) return false;
  if (prompted) {
    if (!p || !face_is_tokenizer(p->kind)) return host_fail(err, "the page does not say how %s is made", name);
    if (!r->tokenizer) return host_fail(err, "the prompt needs the tokenizer's vocabulary: --vocab FILE (%s)", p->kind);
    HostTokenizerOptions plain = r->how, how;
    face_text_options(r, p->options);
    how = r->how;
    r->how = plain; // the words of the answer have other ends
    how.end = (int32_t)face_option_number(p->options, "end", -1);
    how.max_length = (size_t)c->how.max_length - 1;
    if (r->args->text.n > 1) return host_fail(err, "one sentence begins all captions, %zu given", r->args->text.n);
    const char *given = r->args->text.n ? r->args->text.at[0] : NULL;
    if (!given && face_option(p->options, "default", text, sizeof text)) { // a string in quotes
      size_t n = strlen(text);
      if (n > 1 && text[0] == '"') memmove(text, text + 1, n - 1), text[n - 2] = 0;
    }
    const char *s = given ? given : text;
    bool cut = false, ok = host_tokenizer_encode(r->tokenizer, s, strlen(s), &how, &c->prompt, &cut, err);
    if (ok && cut) face_note_cut(s, how.max_length);
    return ok;
  }
  c->prompt.id = malloc(2 * sizeof *c->prompt.id);
  if (!c->prompt.id) return host_fail(err, "out of memory");
  c->prompt.id[c->prompt.n++] = c->how.start_id;
  if (c->how.masked) c->prompt.id[c->prompt.n++] = c->how.mask_id;
  return true;
}

// Says which words a sentence lacks because the vocabulary does not have them.
static void note_missing(const Captions *c, const char *name, const int32_t *ids, size_t n) {
  const GenerateOptions *o = &c->how;
  size_t missing = 0;
  int32_t first = 0;
  for (size_t i = 0; i < n; i++) {
    bool marks = ids[i] == c->prompt.id[0] || ids[i] == o->end_id || ids[i] == o->pad_id || ids[i] == o->mask_id;
    if (marks || (ids[i] >= 0 && (size_t)ids[i] < host_tokenizer_size(c->r->tokenizer))) continue;
    if (missing++ == 0) first = ids[i];
  }
  if (missing)
    fprintf(stderr, "note: %.200s: words that the vocabulary lacks were left out: %zu, the first has id %d\n", name,
            missing, (int)first);
}

// Row k of this call.
static bool show(Captions *c, size_t k, const int32_t *ids, double score, bool *started, HostError *err) {
  FaceRun *r = c->r;
  size_t item = r->item[k];
  HostTokenizerOptions how = r->how;
  how.start = c->how.start_id >= 0 ? c->how.start_id : c->prompt.id[0];
  how.end = c->how.end_id;
  how.pad = c->how.pad_id;
  size_t n = (size_t)c->how.max_length, bytes = 0;
  while (n && ids[n - 1] == c->how.pad_id) n--;
  char *text = r->tokenizer ? host_tokenizer_decode(r->tokenizer, ids, n, &how, &bytes, err) : NULL;
  if (r->tokenizer && !text) return false;
  const char *name =
      r->args->image.n ? r->args->image.at[r->args->image.n == r->pictures ? 0 : item * r->pictures] : "input";
  if (text) note_missing(c, name, ids, n);
  const char *blank = text && *text == ' ' ? text + 1 : text;
  if (r->args->json) {
    face_show_bad(r, item, started);
    printf("%s\n    {\"image\": ", *started ? "," : "");
    face_json_string(name);
    printf(", \"%s\": ", c->w->rule->name);
    if (text)
      face_json_string(blank);
    else
      printf("null");
    printf(", \"score\": %.9g, \"ids\": [", score);
    for (size_t i = 0; i < n; i++) printf("%s%d", i ? ", " : "", (int)ids[i]);
    printf("]}");
  } else {
    printf("%s: %s", name, text ? blank : "ids");
    for (size_t i = 0; i < n && !text; i++) printf(" %d", (int)ids[i]);
    printf("\n");
  }
  *started = true;
  free(text);
  return true;
}

static bool run_batch(Captions *c, const WordsInfo *info, size_t at, size_t count, bool *started, HostError *err) {
  FaceRun *r = c->r;
  if (!face_run_fill(r, at, count, err)) return false;
  face_bads_say(&r->bad, r->program);
  count = r->count;
  const void *given[FACE_MAX_TENSORS];
  for (unsigned i = 0; i < FACE_MAX_TENSORS; i++) given[i] = r->in[i];
  size_t n = c->prompt.n, most = (size_t)c->how.max_length;
  int32_t *words = malloc(count * n * sizeof *words + 1), *ids = malloc(count * most * sizeof *ids + 1);
  float *score = malloc(count * sizeof *score + 1);
  Words *w = words && ids && score ? words_new(info, given, err) : NULL;
  bool ok = w != NULL;
  if (!words || !ids || !score) host_fail(err, "out of memory");
  for (size_t k = 0; k < count && ok; k++) memcpy(words + k * n, c->prompt.id, n * sizeof *words);
  if (ok) {
    GenerateModel m = words_model(w);
    const char *why = NULL;
    err->text[0] = 0;
    ok = generate(&m, &c->how, (int64_t)count, words, (int64_t)n, ids, score, &why);
    if (isatty(STDERR_FILENO)) fprintf(stderr, "\r%*s\r", 40, "");
    if (!ok && !err->text[0]) { // the options do not fit the model
      r->nan = why == generate_not_a_number;
      r->usage = !r->nan;
      host_fail(err, "%s: %s%s", c->w->rule->name, why ? why : "the search failed",
                r->nan ? "; are the weights those of this model?" : "");
    }
  }
  for (size_t k = 0; k < count && ok; k++) ok = show(c, k, ids + k * most, (double)score[k], started, err);
  face_show_bad(r, SIZE_MAX, started);
  words_free(w);
  free(words);
  free(ids);
  free(score);
  return ok;
}

bool face_words_run(FaceRun *r, const FaceWords *w, FaceCall *call, void *ud, bool *started, HostError *err) {
  Captions *c = calloc(1, sizeof *c);
  WordsInfo info;
  if (!c) return host_fail(err, "out of memory");
  *c = (Captions){.r = r, .w = w, .call = call, .ud = ud};
  r->usage = true; // until something runs, the command line is to blame
  bool ok = face_words_describe(w, &c->shape, &info, err);
  info.call = call_entry;
  info.ud = c;
  ok = ok && options(c, &info, err) && prompt(c, &info, err);
  size_t batch = ok ? info.batch_bound / (size_t)c->how.beams : 0;
  if (ok && !batch)
    ok = host_fail(err, "the model runs %zu sentences at once: --beams must be at most that", info.batch_bound);
  r->usage = !ok && r->usage;
  for (size_t at = 0; ok && at < r->total; at += batch)
    ok = run_batch(c, &info, at, r->total - at < batch ? r->total - at : batch, started, err);
  host_ids_free(&c->prompt);
  free(c);
  return ok;
}
