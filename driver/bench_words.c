// bench_words.c: `syc bench` of a generate: sentences by the greedy rule, without an early end, so that every run takes
// the same steps. A run is the start (whatever the page computes once, and the prompt) and a step for each further
// word; the time of a word is that of the whole search without the start, divided by the steps.
//
// The prompt is that of --input if it has one, else the rule's start. What bounds a step is how fast its weights are
// read, so its bytes are reported beside the rate of the memory.
#include "bench.h"
#include "host/face_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MOST_RUNS = 1000, LEAST_RUNS = 3 };

typedef struct Run {
  Bench *b;
  FaceWords w;
  FaceWordsShape shape;
  WordsInfo info;
  GenerateOptions how;
  int32_t *prompt;
  size_t batch, prompt_length;
  // one search
  GenerateModel model, timed; // the compiled one, and the one around it that takes times
  size_t steps;
  double start_ms, steps_ms;
  void (*begin)(Bench *b); // called before each step whose kernels are traced, or NULL
  // of all searches
  double step[MOST_RUNS], start[MOST_RUNS];
} Run;

bool bench_generates(const Bench *b) {
  FaceWords w;
  return face_words_part(b->m->info, b->route, &w);
}

static bool call_entry(void *ud, bool step, size_t rows, size_t length, const void *const *in, void *const *out) {
  Run *r = ud;
  const Bench *b = r->b;
  size_t dims[MAX_DIMS];
  memcpy(dims, b->dims, sizeof dims);
  dims[r->shape.batch_dim] = rows;
  dims[r->shape.length_dim] = length;
  const sy_route *route = step ? r->w.step : r->w.start;
  return b->m->call(b->ctx, (unsigned)(route - b->m->info->route), dims, in, out) == SY_OK;
}

static bool timed_start(void *ud, int64_t batch, int64_t n, const int32_t *words, float *scores) {
  Run *r = ud;
  double from = bench_now_ms();
  bool ok = r->model.start(r->model.ud, batch, n, words, scores);
  r->start_ms = bench_now_ms() - from;
  return ok;
}

static bool timed_step(void *ud, int64_t rows, int64_t at, int64_t n, const int32_t *parent, const int32_t *words,
                       float *scores) {
  Run *r = ud;
  Bench *b = r->b;
  if (r->begin) r->begin(b);
  double from = bench_now_ms();
  bool ok = r->model.step(r->model.ud, rows, at, n, parent, words, scores);
  r->steps_ms += bench_now_ms() - from;
  r->steps++;
  if (r->begin) b->m->set_trace(b->ctx, NULL, NULL);
  memcpy(b->words.scores, scores, b->words.batch * b->words.vocab * sizeof *scores);
  return ok;
}

// The ids that the sentences begin with: those of the input file, else the rule's start, else a made-up one.
static void take_prompt(Run *r) {
  const Bench *b = r->b;
  size_t i = face_words_input(&r->w);
  const int32_t *ids = b->in[i];
  size_t pitch = r->info.length_bound, n = b->given[i] ? b->dims[r->shape.length_dim] : 1;
  r->prompt_length = n + (r->how.masked && !b->given[i] ? 1 : 0);
  r->prompt = ARENA_ARRAY(&b->s->arena, int32_t, r->batch * r->prompt_length + 1);
  for (size_t k = 0; k < r->batch; k++) {
    int32_t *to = r->prompt + k * r->prompt_length;
    memcpy(to, ids + k * pitch, n * sizeof *to);
    if (!b->given[i] && r->how.start_id >= 0) to[0] = r->how.start_id;
    if (r->prompt_length > n) to[n] = r->how.mask_id;
  }
}

static bool choose_length(Run *r) {
  Bench *b = r->b;
  size_t bound = r->info.length_bound, n = r->prompt_length;
  int64_t words = b->s->opt.words;
  if (words != INT_UNSET && (words < 2 || n + (size_t)words > bound)) {
    session_fail(b->s, EXIT_USAGE, "--words %lld: with a prompt of %zu, from 2 to %zu words fit", (long long)words, n,
                 bound > n ? bound - n : 0);
    return false;
  }
  if (words != INT_UNSET) r->how.max_length = (int64_t)(n + (size_t)words);
  r->how.min_length = r->how.max_length; // no early end
  b->words.length = (size_t)r->how.max_length;
  return true;
}

static bool set_up(Run *r, Bench *b) {
  HostError err = {0};
  const sy_info *info = b->m->info;
  BenchWords *w = &b->words;
  *r = (Run){.b = b};
  if (!face_words_part(info, b->route, &r->w)) return bench_fail(b, b->route->name, "is no part of a generate");
  if (r->w.start != b->route) return bench_fail(b, b->route->name, "measure the whole generate instead: --routes NAME");
  if (!face_words_describe(&r->w, &r->shape, &r->info, &err)) return bench_fail(b, r->w.is->name, err.text);
  words_options(r->w.is, (int64_t)r->info.length_bound, &r->how);
  r->info.call = call_entry;
  r->info.ud = r;
  r->how.beams = 1;
  r->batch = b->dims[r->shape.batch_dim];
  take_prompt(r);
  if (!choose_length(r)) return false;
  w->name = r->w.is->name;
  w->prompt = r->prompt_length;
  w->batch = r->batch;
  w->vocab = r->info.vocab;
  if (!w->ids) w->ids = calloc(w->batch * w->length + 1, sizeof *w->ids);
  if (!w->scores) w->scores = calloc(w->batch * w->vocab + 1, sizeof *w->scores);
  return w->ids && w->scores ? true : bench_fail(b, b->route->name, sy_strerror(SY_ENOMEM));
}

// One sentence for each of the batch; *ms: the search without its start.
static bool search(Run *r, double *ms) {
  Bench *b = r->b;
  HostError err = {0};
  const char *why = NULL;
  Words *w = words_new(&r->info, b->in, &err);
  if (!w) return bench_fail(b, r->w.is->name, err.text);
  r->model = words_model(w);
  r->timed = r->model;
  r->timed.ud = r;
  r->timed.start = timed_start;
  r->timed.step = timed_step;
  r->steps = 0;
  r->start_ms = r->steps_ms = 0;
  double from = bench_now_ms();
  bool ok =
      generate(&r->timed, &r->how, (int64_t)r->batch, r->prompt, (int64_t)r->prompt_length, b->words.ids, NULL, &why);
  *ms = bench_now_ms() - from - r->start_ms;
  words_free(w);
  if (!ok) return bench_fail(b, r->w.is->name, why ? why : "the search failed");
  return r->steps ? true : bench_fail(b, r->w.is->name, "the sentence ended at its first word; try another --seed");
}

static bool timed_search(void *ud, double *ms) {
  Run *r = ud;
  if (!search(r, ms)) return false;
  *ms /= (double)r->steps;
  r->step[r->b->rounds] = r->steps_ms / (double)r->steps;
  r->start[r->b->rounds] = r->start_ms;
  return true;
}

bool bench_words(Bench *b) {
  Run *r = ARENA_NEW(&b->s->arena, Run);
  double word[MOST_RUNS], ms;
  if (!set_up(r, b) || !search(r, &ms)) return false; // warm-up
  if (!bench_sample(b, timed_search, r, LEAST_RUNS, MOST_RUNS, word)) return false;
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  b->rss_kb = u.ru_maxrss;
  BenchWords *w = &b->words;
  w->words = r->steps;
  w->start_ms = bench_median(r->start, b->rounds);
  w->step_ms = bench_median(r->step, b->rounds);
  b->median_ms = bench_median(word, b->rounds);
  b->min_ms = word[0];
  for (unsigned i = 0; i < r->w.step->nstep; i++) w->step_bytes += r->w.step->step[i].bytes;
  return true;
}

bool bench_words_trace(Bench *b, void (*begin)(Bench *b)) {
  Run *r = ARENA_NEW(&b->s->arena, Run);
  double ms;
  if (!set_up(r, b)) return false;
  r->begin = begin;
  return search(r, &ms);
}
