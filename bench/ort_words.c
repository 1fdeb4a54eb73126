// Times ONNX Runtime on sentences: one graph gives the scores of the first word and what the steps keep, the other
// those of each further word. Greedy; the end of a sentence is never chosen, so that every run takes the same steps.
//
//     ort_words LIBRARY START.onnx STEP.onnx INPUT.raw image:f32:1x3x384x384,text:i64:1x4 WORDS END OUT THREADS
//     SECONDS|turns
//
// Outputs of the start: scores, kept_0.., past_0..; inputs of the step: word, at, kept_0.., past_0..; its outputs:
// scores, next_0... Prompt and words go to OUT.ids.raw, the last scores to OUT.scores.raw, both as bare floats.
#include "ort_api.h"

enum { INPUT_COUNT = 30, OUTPUT_COUNT = 31, NAME = 24 };

typedef struct {
  Call start, step;
  size_t kept, past, words, vocab;
  int64_t end, word, at;
  const int64_t *prompt;
  size_t nprompt;
  float *ids;
  char name[3 * MOST_TENSORS][NAME];
} Search;

static size_t count_of(Handle session, int entry) {
  size_t n = 0;
  check(CALL(entry, Handle, size_t *)(session, &n), "session");
  if (n > MOST_TENSORS) die("graph", "has too many tensors");
  return n;
}

static Handle one_id(int64_t *id, size_t rank) {
  static const int64_t shape[2] = {1, 1};
  Handle memory, value;
  check(CALL(CPU_MEMORY, int, int, Handle *)(1, 0, &memory), "memory");
  check(CALL(CREATE_TENSOR, Handle, void *, size_t, const int64_t *, size_t, int, Handle *)(memory, id, sizeof *id,
                                                                                            shape, rank, 7, &value),
        "word");
  return value;
}

static size_t elements(Handle tensor) {
  Handle info;
  size_t n = 0;
  check(CALL(TYPE_AND_SHAPE, Handle, Handle *)(tensor, &info), "shape");
  check(CALL(ELEMENT_COUNT, Handle, size_t *)(info, &n), "shape");
  return n;
}

static void name_tensors(Search *s) {
  Call *a = &s->start, *b = &s->step;
  s->past = count_of(b->session, OUTPUT_COUNT) - 1;
  a->noutput = count_of(a->session, OUTPUT_COUNT);
  b->ninput = count_of(b->session, INPUT_COUNT);
  b->noutput = 1 + s->past;
  if (a->noutput < 1 + s->past || b->ninput != a->noutput + 1) die("graphs", "do not belong together");
  s->kept = a->noutput - 1 - s->past;
  a->output_name[0] = b->output_name[0] = "scores";
  b->input_name[0] = "word";
  b->input_name[1] = "at";
  for (size_t i = 0; i < s->kept + s->past; i++) {
    bool past = i >= s->kept;
    size_t k = past ? i - s->kept : i;
    snprintf(s->name[i], NAME, past ? "past_%zu" : "kept_%zu", k);
    a->output_name[1 + i] = b->input_name[2 + i] = s->name[i];
    if (!past) continue;
    snprintf(s->name[MOST_TENSORS + k], NAME, "next_%zu", k);
    b->output_name[1 + k] = s->name[MOST_TENSORS + k];
  }
}

static void take_prompt(Search *s) {
  size_t i = 0;
  while (i < s->start.ninput && strcmp(s->start.input_name[i], "text") != 0) i++;
  if (i == s->start.ninput) die("text", "is not among the inputs");
  check(CALL(TENSOR_DATA, Handle, void **)(s->start.input[i], (void **)&s->prompt), "text");
  s->nprompt = elements(s->start.input[i]);
  s->ids = malloc((s->nprompt + s->words) * sizeof *s->ids);
  if (!s->ids) die("ids", "out of memory");
  for (size_t k = 0; k < s->nprompt; k++) s->ids[k] = (float)s->prompt[k];
}

static const float *scores_of(Handle output) {
  float *x;
  check(CALL(TENSOR_DATA, Handle, void **)(output, (void **)&x), "scores");
  return x;
}

static void choose(Search *s, const float *scores, size_t i) {
  size_t best = s->end == 0 ? 1 : 0;
  for (size_t w = 0; w < s->vocab; w++)
    if (scores[w] > scores[best] && (int64_t)w != s->end) best = w;
  s->word = (int64_t)best;
  s->ids[s->nprompt + i] = (float)best;
}

// What a call gave becomes an input of the next one.
static void move(Call *to, size_t input, Call *from, size_t output) {
  if (to->input[input]) ((void (*)(Handle))api[RELEASE_VALUE])(to->input[input]);
  to->input[input] = from->output[output];
  from->output[output] = NULL;
}

// Milliseconds a word, the first one left out; *start_ms: until its scores were there.
static double sentence(Search *s, double *start_ms) {
  double begin = now_ms();
  run(&s->start);
  *start_ms = now_ms() - begin;
  if (!s->vocab) s->vocab = elements(s->start.output[0]);
  choose(s, scores_of(s->start.output[0]), 0);
  for (size_t i = 0; i < s->kept + s->past; i++) move(&s->step, 2 + i, &s->start, 1 + i);
  for (size_t i = 1; i < s->words; i++) {
    s->at = (int64_t)(s->nprompt + i - 1);
    run(&s->step);
    choose(s, scores_of(s->step.output[0]), i);
    for (size_t k = 0; k < s->past; k++) move(&s->step, 2 + s->kept + k, &s->step, 1 + k);
  }
  return (now_ms() - begin - *start_ms) / (double)(s->words - 1);
}

typedef struct {
  Search *search;
  double starts[MOST_RUNS];
  int runs;
} Sentences;

static double sentence_once(void *ud) {
  Sentences *all = ud;
  return sentence(all->search, &all->starts[all->runs < MOST_RUNS - 1 ? all->runs++ : all->runs]);
}

static void measure(Search *s, const char *seconds, const char *version) {
  static double words[MOST_RUNS];
  static Sentences all;
  all.search = s;
  sentence(s, &all.starts[0]);
  int runs = sample(sentence_once, &all, seconds, words);
  qsort(all.starts, (size_t)all.runs, sizeof *all.starts, compare);
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("{\"min_ms\": %.6f, \"median_ms\": %.6f, \"runs\": %d, \"words_per_s\": %.3f, \"start_ms\": %.6f, ", words[0],
         words[runs / 2], runs, 1e3 / words[runs / 2], all.starts[all.runs / 2]);
  printf("\"peak_rss_kb\": %ld, \"version\": \"%s\"}\n", usage.ru_maxrss, version);
}

static void write_floats(const char *base, const char *name, const float *x, size_t n) {
  char path[4096];
  if (snprintf(path, sizeof path, "%s.%s.raw", base, name) >= (int)sizeof path) die(base, "is too long a name");
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(x, sizeof *x, n, file) != n || fclose(file)) die(path, "cannot be written");
}

int main(int argc, char **argv) {
  if (argc != 11) die("usage", "LIBRARY START STEP INPUT NAME:TYPE:SHAPE,... WORDS END OUT THREADS SECONDS|turns");
  static Search s;
  const ApiBase *base = load_library(argv[1]);
  s.words = (size_t)strtoull(argv[6], NULL, 10);
  if (s.words < 2) die(argv[6], "words are too few to time a step");
  s.end = strtoll(argv[7], NULL, 10);
  s.start.session = open_session(argv[2], atoi(argv[9]), false);
  s.step.session = open_session(argv[3], atoi(argv[9]), false);
  add_inputs(&s.start, argv[4], argv[5]);
  name_tensors(&s);
  take_prompt(&s);
  s.step.input[0] = one_id(&s.word, 2);
  s.step.input[1] = one_id(&s.at, 1);
  measure(&s, argv[10], base->version());
  write_floats(argv[8], "ids", s.ids, s.nprompt + s.words);
  write_floats(argv[8], "scores", scores_of(s.step.output[0]), s.vocab);
  fflush(stdout);
  _Exit(0);
}
