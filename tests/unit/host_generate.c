// host_generate.c - the search for words over small scripted models: scores are a function of the words so far. Beams
// are compared with a search over all sentences of a tiny vocabulary. The authors' own results are the golden cases'.
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../host/generate.h"

enum { ROWS = 96, LONGEST = 12, MOST_WORDS = 8 };

typedef void Scores(const int32_t *words, int64_t n, int64_t vocab, float *scores);

typedef struct Script { // a model that remembers the words of every row
  Scores *scores;
  int64_t vocab, rows, n, calls, fail_at; // fail_at: the call that is refused, counted from 1
  int32_t words[ROWS][LONGEST], before[ROWS][LONGEST];
} Script;

static bool answer(Script *s, float *scores) {
  for (int64_t r = 0; r < s->rows; r++) s->scores(s->words[r], s->n, s->vocab, scores + r * s->vocab);
  return ++s->calls != s->fail_at;
}

static bool script_start(void *ud, int64_t batch, int64_t n, const int32_t *words, float *scores) {
  Script *s = ud;
  cr_assert(batch <= ROWS && n <= LONGEST);
  s->rows = batch, s->n = n, s->calls = 0;
  for (int64_t b = 0; b < batch; b++) memcpy(s->words[b], words + b * n, (size_t)n * sizeof *words);
  return answer(s, scores);
}

static bool script_step(void *ud, int64_t rows, int64_t at, int64_t w, const int32_t *parent, const int32_t *words,
                        float *scores) {
  Script *s = ud;
  cr_assert(rows <= ROWS && at + w <= LONGEST);
  cr_assert_eq(at, w == 2 ? s->n - 1 : s->n, "words follow each other without a gap");
  memcpy(s->before, s->words, sizeof s->before);
  for (int64_t r = 0; r < rows; r++) {
    cr_assert(parent[r] >= 0 && parent[r] < s->rows);
    memcpy(s->words[r], s->before[parent[r]], sizeof s->words[r]);
    memcpy(s->words[r] + at, words + r * w, (size_t)w * sizeof *words);
    for (int64_t k = 0; k < w; k++) cr_assert(words[r * w + k] >= 0 && words[r * w + k] < s->vocab);
  }
  s->rows = rows, s->n = at + w;
  return answer(s, scores);
}

static GenerateModel model_of(Script *s) {
  return (GenerateModel){s, s->vocab, LONGEST, ROWS, script_start, script_step};
}

static GenerateOptions greedy(int32_t end, int64_t max_length) {
  return (GenerateOptions){.end_id = end,
                           .beams = 1,
                           .max_length = max_length,
                           .length_penalty = 1,
                           .repetition_penalty = 1,
                           .temperature = 1,
                           .top_p = 1};
}

static void expect_words(Scores *scores, int64_t vocab, const GenerateOptions *o, int32_t first, const int32_t *want) {
  Script s = {.scores = scores, .vocab = vocab};
  GenerateModel m = model_of(&s);
  int32_t ids[LONGEST], prompt[2] = {first, o->mask_id};
  const char *why = "";
  cr_assert(generate(&m, o, 1, prompt, o->masked ? 2 : 1, ids, NULL, &why), "%s", why);
  for (int64_t i = 0; i < o->max_length; i++)
    cr_expect_eq(ids[i], want[i], "word %d is %d, wanted %d", (int)i, (int)ids[i], (int)want[i]);
}
#define EXPECT_WORDS(scores, vocab, o, first, ...)                                                                     \
  do {                                                                                                                 \
    cr_assert_eq(sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (size_t)(o)->max_length);                         \
    expect_words(scores, vocab, o, first, (int32_t[]){__VA_ARGS__});                                                   \
  } while (0)

/* scripts -------------------------------------------------------------------------------------------------------------
 */
// The next word is the last one plus 1, and 0 a close second.
static void counts_up(const int32_t *words, int64_t n, int64_t vocab, float *scores) {
  for (int64_t w = 0; w < vocab; w++) scores[w] = w == words[n - 1] + 1 ? 3 : w == 0 ? 2 : -1;
}
static void counts_up_to_mask(const int32_t *words, int64_t n, int64_t vocab, float *scores) {
  counts_up(words, n - 1, vocab, scores);
}
// -1, 2, -5, 1.5 whatever came before.
static void repeats(const int32_t *words, int64_t n, int64_t vocab, float *scores) {
  static const float x[] = {-1, 2, -5, 1.5f};
  (void)words, (void)n;
  for (int64_t w = 0; w < vocab; w++) scores[w] = x[w];
}
// 0.3, 0.4, 0.2, 0.1.
static void likely(const int32_t *words, int64_t n, int64_t vocab, float *scores) {
  static const float p[] = {0.3f, 0.4f, 0.2f, 0.1f};
  (void)words, (void)n;
  for (int64_t w = 0; w < vocab; w++) scores[w] = logf(p[w]) - 7;
}
static void ends(const int32_t *words, int64_t n, int64_t vocab, float *scores) { // end: 2
  (void)words, (void)n;
  for (int64_t w = 0; w < vocab; w++) scores[w] = w == 2 ? 9 : (float)-w;
}
static void only_ends(const int32_t *words, int64_t n, int64_t vocab, float *scores) {
  (void)words, (void)n;
  for (int64_t w = 0; w < vocab; w++) scores[w] = w == 2 ? 1 : -INFINITY;
}
// Ends (2) early by chance, and surely behind three words.
static void settles(const int32_t *words, int64_t n, int64_t vocab, float *scores) {
  static const float p[3][3] = {{0.7f, 0.1f, 0.2f}, {0.6f, 0.1f, 0.3f}, {0.01f, 0.01f, 0.98f}};
  (void)words;
  for (int64_t w = 0; w < vocab; w++) scores[w] = logf(p[n > 3 ? 2 : n - 1][w]);
}
// Depends on every word and where it stands.
static void hashed(const int32_t *words, int64_t n, int64_t vocab, float *scores) {
  uint64_t h = 0x9e3779b97f4a7c15u;
  for (int64_t i = 0; i < n; i++) h = (h ^ (uint64_t)(words[i] + 1)) * 0xbf58476d1ce4e5b9u, h ^= h >> 29;
  for (int64_t w = 0; w < vocab; w++) {
    uint64_t z = (h + (uint64_t)w) * 0x94d049bb133111ebu;
    scores[w] = (float)((z ^ z >> 31) >> 40) * 0x1p-22f - 2; // in [-2, 2)
  }
}
static void not_a_number(const int32_t *words, int64_t n, int64_t vocab, float *scores) {
  (void)words;
  for (int64_t w = 0; w < vocab; w++) scores[w] = n >= 3 && w == 1 ? NAN : (float)w;
}
static void infinite(const int32_t *words, int64_t n, int64_t vocab, float *scores) {
  (void)words;
  for (int64_t w = 0; w < vocab; w++) scores[w] = n >= 3 && w == 1 ? INFINITY : (float)w;
}
static void nothing(const int32_t *words, int64_t n, int64_t vocab, float *scores) {
  (void)words;
  for (int64_t w = 0; w < vocab; w++) scores[w] = n >= 3 ? -INFINITY : (float)w;
}
// As counts_up, but a row that goes on as padding (0) has no numbers.
static void counts_up_nan_behind(const int32_t *words, int64_t n, int64_t vocab, float *scores) {
  counts_up(words, n, vocab, scores);
  for (int64_t w = 0; w < vocab && words[n - 1] == 0; w++) scores[w] = NAN;
}

/* one word at a time --------------------------------------------------------------------------------------------------
 */
Test(generate, greedy_takes_the_best_word) {
  GenerateOptions o = greedy(4, 7);
  EXPECT_WORDS(counts_up, 6, &o, 1, 1, 2, 3, 4, 0, 0, 0);
  o.pad_id = 5;
  EXPECT_WORDS(counts_up, 6, &o, 1, 1, 2, 3, 4, 5, 5, 5);
  o.max_length = 3; // no room for the end
  EXPECT_WORDS(counts_up, 6, &o, 1, 1, 2, 3);
  Script s = {.scores = counts_up, .vocab = 6};
  GenerateModel m = model_of(&s);
  int32_t ids[LONGEST], prompt[] = {1};
  float score;
  cr_assert(generate(&m, &o, 1, prompt, 1, ids, &score, NULL));
  double word = 3 - log(exp(3) + exp(2) + 4 * exp(-1));
  cr_expect_float_eq((double)score, 2 * word / 3, 1e-6, "two words, over the length of 3");
  o.length_penalty = 0;
  cr_assert(generate(&m, &o, 1, prompt, 1, ids, &score, NULL));
  cr_expect_float_eq((double)score, 2 * word, 1e-6);
}

Test(generate, masked_words_take_the_place_of_the_mask) {
  GenerateOptions o = greedy(4, 8);
  o.masked = true, o.start_id = 1, o.mask_id = 6, o.pad_id = 5;
  Script s = {.scores = counts_up_to_mask, .vocab = 7};
  GenerateModel m = model_of(&s);
  for (o.beams = 1; o.beams <= 3; o.beams += 2) {
    int32_t ids[LONGEST], prompt[] = {1, 6};
    const char *why = "";
    cr_assert(generate(&m, &o, 1, prompt, 2, ids, NULL, &why), "%s", why);
    cr_expect(ids[0] == 1 && ids[1] == 2 && ids[2] == 3, "%d %d %d", (int)ids[0], (int)ids[1], (int)ids[2]);
    cr_expect_eq(ids[7], 5, "padding behind the end");
  }
}

Test(generate, repetition_penalty) {
  GenerateOptions o = greedy(2, 5);
  EXPECT_WORDS(repeats, 4, &o, 0, 0, 1, 1, 1, 1);
  o.repetition_penalty = 2; // 2 -> 1 once said, 1.5 -> 0.75
  EXPECT_WORDS(repeats, 4, &o, 0, 0, 1, 3, 1, 1);
  o.repetition_penalty = 0.25; // what was said is said again; -1 -> -0.25 is still the lower
  EXPECT_WORDS(repeats, 4, &o, 3, 3, 3, 3, 3, 3);
}

Test(generate, least_length) {
  GenerateOptions o = greedy(2, 6);
  EXPECT_WORDS(ends, 4, &o, 1, 1, 2, 0, 0, 0, 0);
  o.min_length = 4; // words behind 1, 2 and 3 words are no end
  EXPECT_WORDS(ends, 4, &o, 1, 1, 0, 0, 0, 2, 0);
  o.min_length = 100;
  EXPECT_WORDS(ends, 4, &o, 1, 1, 0, 0, 0, 0, 0);
  for (o.beams = 1; o.beams <= 2; o.beams++) // a sentence that has no other word ends all the same
    EXPECT_WORDS(only_ends, 4, &o, 1, 1, 2, 0, 0, 0, 0);
  o.beams = 1, o.sample = true;
  EXPECT_WORDS(only_ends, 4, &o, 1, 1, 2, 0, 0, 0, 0);
}

Test(generate, rows_that_end_at_different_times) {
  for (int64_t beams = 1; beams <= 3; beams++) {
    GenerateOptions o = greedy(6, LONGEST);
    o.beams = beams;
    Script s = {.scores = counts_up, .vocab = 7};
    GenerateModel m = model_of(&s);
    const int32_t prompt[] = {5, 1, 3, 4};
    int32_t ids[4 * LONGEST], alone[LONGEST];
    float score[4], alone_score;
    cr_assert(generate(&m, &o, 4, prompt, 1, ids, score, NULL));
    for (int b = 0; b < 4; b++) {
      cr_assert(generate(&m, &o, 1, prompt + b, 1, alone, &alone_score, NULL));
      cr_expect_arr_eq(ids + b * LONGEST, alone, sizeof alone, "row %d, %d beams", b, (int)beams);
      cr_expect_float_eq((double)score[b], (double)alone_score, 1e-7);
    }
  }
}

/* beams against all sentences -----------------------------------------------------------------------------------------
 */
typedef struct Best {
  double score;
  int64_t n;
  int32_t words[LONGEST];
} Best;

// Tries every continuation of words[n]; what the options mean is written down once more, from the header.
static void try_all(Scores *scores, int64_t vocab, const GenerateOptions *o, int32_t *words, int64_t n, double sum,
                    Best *best) {
  float x[MOST_WORDS];
  double total = 0, place = sum / pow((double)n, o->length_penalty);
  if (n == o->max_length && place > best->score) {
    *best = (Best){.score = place, .n = n};
    memcpy(best->words, words, (size_t)n * sizeof *words);
  }
  if (n == o->max_length) return;
  scores(words, n, vocab, x);
  for (int64_t w = 0; w < vocab; w++) total += exp((double)x[w]);
  for (int32_t w = 0; w < vocab; w++) {
    double logp = (double)x[w] - log(total);
    bool said = false;
    for (int64_t i = 0; i < n; i++) said = said || words[i] == w;
    if (said) logp *= o->repetition_penalty; // a log-probability is never above 0
    if (w != o->end_id) {
      words[n] = w;
      try_all(scores, vocab, o, words, n + 1, sum + logp, best);
    } else if (n >= o->min_length) {
      place = (sum + logp) / pow((double)n, o->length_penalty);
      if (place <= best->score) continue;
      *best = (Best){.score = place, .n = n + 1};
      memcpy(best->words, words, (size_t)n * sizeof *words);
      best->words[n] = w;
    }
  }
}

// 27 beams hold all 16 sentences of two words and lengths up to 5, so nothing may be missed.
Test(generate, many_beams_find_the_best_of_all_sentences) {
  static const struct {
    double length_penalty, repetition_penalty;
    int64_t min_length;
  } how[] = {{1, 1, 0}, {0, 1, 0}, {2, 1, 0}, {-1, 1, 0}, {0.6, 1, 4}, {1, 1.7, 0}, {3, 0.5, 3}, {40, 1, 5}};
  enum { PICTURES = 3, BEAMS = 27, CASES = 40 };
  int64_t lengths = 0;
  for (size_t h = 0; h < sizeof how / sizeof *how; h++)
    for (int32_t k = 0; k < CASES; k++) {
      GenerateOptions o = greedy(2, 5);
      o.beams = BEAMS;
      o.length_penalty = how[h].length_penalty;
      o.repetition_penalty = how[h].repetition_penalty;
      o.min_length = how[h].min_length;
      o.pad_id = 0;
      Script s = {.scores = hashed, .vocab = 3};
      GenerateModel m = model_of(&s);
      int32_t prompt[PICTURES][2], ids[PICTURES][5];
      float score[PICTURES];
      for (int b = 0; b < PICTURES; b++) prompt[b][0] = (k >> b) % 3, prompt[b][1] = (k + b) % 2;
      const char *why = "";
      cr_assert(generate(&m, &o, PICTURES, &prompt[0][0], 2, &ids[0][0], score, &why), "%s", why);
      for (int b = 0; b < PICTURES; b++) {
        Best best = {.score = -INFINITY};
        int32_t words[LONGEST] = {prompt[b][0], prompt[b][1]};
        try_all(hashed, 3, &o, words, 2, 0, &best);
        cr_expect_float_eq((double)score[b], best.score, 1e-5 * fabs(best.score), "options %zu, case %d", h, (int)k);
        cr_expect_arr_eq(ids[b], best.words, (size_t)best.n * sizeof *words, "options %zu, case %d", h, (int)k);
        for (int64_t i = best.n; i < 5; i++) cr_expect_eq(ids[b][i], 0);
        lengths |= 1 << best.n;
      }
    }
  cr_expect_eq(lengths, 1 << 3 | 1 << 4 | 1 << 5, "short and long sentences were found");
}

Test(generate, few_beams_are_never_better_than_all_sentences) {
  for (int32_t k = 0; k < 30; k++) {
    GenerateOptions o = greedy(2, 7);
    Script s = {.scores = hashed, .vocab = 6};
    GenerateModel m = model_of(&s);
    int32_t prompt[] = {k % 6, k / 6}, ids[7], words[LONGEST] = {k % 6, k / 6};
    float score;
    Best best = {.score = -INFINITY};
    try_all(hashed, 6, &o, words, 2, 0, &best);
    for (o.beams = 1; o.beams <= 5; o.beams++) {
      cr_assert(generate(&m, &o, 1, prompt, 2, ids, &score, NULL));
      if (o.beams > 1) cr_expect_leq((double)score, best.score + 1e-6);
    }
  }
}

// Two sentences have ended after two steps (0.2 and 0.21), but one that is open (0.42) may beat them, and does (0.41);
// a step later nothing can.
Test(generate, beams_stop_when_nothing_better_can_come) {
  GenerateOptions o = greedy(2, LONGEST);
  o.beams = 2;
  o.length_penalty = 0;
  Script s = {.scores = settles, .vocab = 3};
  GenerateModel m = model_of(&s);
  int32_t ids[LONGEST], prompt[] = {1};
  float score;
  cr_assert(generate(&m, &o, 1, prompt, 1, ids, &score, NULL));
  cr_expect_arr_eq(ids, ((const int32_t[]){1, 0, 0, 2, 0}), 5 * sizeof *ids);
  cr_expect_float_eq((double)score, log(0.7 * 0.6 * 0.98), 1e-5);
  cr_expect_eq(s.calls, 4);
}

Test(generate, beams_without_an_end_give_the_best_unfinished_sentence) {
  GenerateOptions o = greedy(5, 4);
  o.beams = 2;
  EXPECT_WORDS(counts_up, 6, &o, 0, 0, 1, 2, 3); // the end would have been 5
  o.min_length = 100;
  EXPECT_WORDS(ends, 6, &o, 1, 1, 2, 2, 2); // here 2 is a word
}

/* drawing -------------------------------------------------------------------------------------------------------------
 */
// How often each of 4 words was drawn.
static void draw_many(const GenerateOptions *how, int draws, int count[4]) {
  Script s = {.scores = likely, .vocab = 4};
  GenerateModel m = model_of(&s);
  GenerateOptions o = *how;
  o.sample = true;
  memset(count, 0, 4 * sizeof *count);
  for (int i = 0; i < draws; i++) {
    int32_t ids[2], prompt[] = {0};
    o.seed = (uint64_t)i;
    cr_assert(generate(&m, &o, 1, prompt, 1, ids, NULL, NULL));
    cr_assert(ids[1] >= 0 && ids[1] < 4);
    count[ids[1]]++;
  }
}

static void expect_shares(const GenerateOptions *o, const double want[4]) {
  enum { DRAWS = 20000 };
  int count[4];
  draw_many(o, DRAWS, count);
  for (int w = 0; w < 4; w++) {
    double p = want[w], sigma = sqrt(p * (1 - p) / DRAWS);
    cr_expect_float_eq((double)count[w] / DRAWS, p, 5 * sigma + 1e-12, "word %d: %d of %d, wanted %g", w, count[w],
                       DRAWS, p);
  }
}

Test(generate, draws_follow_the_probabilities) {
  GenerateOptions o = greedy(3, 2);
  expect_shares(&o, (const double[]){0.3, 0.4, 0.2, 0.1});
  o.top_k = 2;
  expect_shares(&o, (const double[]){3.0 / 7, 4.0 / 7, 0, 0});
  o.top_p = 0.5; // of the two that are left the better has 4/7
  expect_shares(&o, (const double[]){0, 1, 0, 0});
  o.top_k = 0, o.top_p = 0.65;
  expect_shares(&o, (const double[]){3.0 / 7, 4.0 / 7, 0, 0});
  o.top_p = 1, o.temperature = 0.5;
  expect_shares(&o, (const double[]){9 / 30.0, 16 / 30.0, 4 / 30.0, 1 / 30.0});
  o.temperature = 1e6;
  expect_shares(&o, (const double[]){0.25, 0.25, 0.25, 0.25});
  o.temperature = 1e-320; // all scores are below 0, and none over this is finite
  expect_shares(&o, (const double[]){0, 1, 0, 0});
}

Test(generate, the_same_seed_draws_the_same_words) {
  GenerateOptions o = greedy(4, LONGEST);
  o.sample = true;
  Script s = {.scores = hashed, .vocab = 8};
  GenerateModel m = model_of(&s);
  const int32_t prompt[] = {0, 1, 2};
  int32_t ids[3 * LONGEST], again[3 * LONGEST];
  int other = 0;
  for (uint64_t seed = 0; seed < 20; seed++) {
    o.seed = seed;
    cr_assert(generate(&m, &o, 3, prompt, 1, ids, NULL, NULL));
    cr_assert(generate(&m, &o, 3, prompt, 1, again, NULL, NULL));
    cr_expect_arr_eq(ids, again, sizeof ids);
    o.seed = seed + 1;
    cr_assert(generate(&m, &o, 3, prompt, 1, again, NULL, NULL));
    other += memcmp(ids, again, sizeof ids) != 0;
  }
  cr_expect_geq(other, 18, "other seeds draw other words");
}

/* what is refused -----------------------------------------------------------------------------------------------------
 */
Test(generate, scores_that_are_not_numbers) {
  Scores *const bad[] = {not_a_number, infinite, nothing};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    for (int way = 0; way < 4; way++)    // greedy, drawn, beams, masked
      for (int64_t n = 2; n <= 3; n++) { // behind a step, and at once
        GenerateOptions o = greedy(0, 6);
        o.sample = way == 1, o.beams = way == 2 ? 3 : 1, o.masked = way == 3;
        o.mask_id = 1, o.pad_id = 5;
        Script s = {.scores = bad[i], .vocab = 6};
        GenerateModel m = model_of(&s);
        int32_t ids[6], prompt[] = {1, 1, 1};
        const char *why = NULL;
        cr_expect_not(generate(&m, &o, 1, prompt, n, ids, NULL, &why));
        cr_expect_eq(why, generate_not_a_number, "%s", why ? why : "no reason");
        cr_expect_eq(s.calls, n == 3 ? 1 : 2);
      }
}

Test(generate, finished_rows_may_hold_anything) {
  for (int64_t beams = 1; beams <= 2; beams++) {
    GenerateOptions o = greedy(4, 7);
    o.beams = beams;
    o.pad_id = 0;
    Script s = {.scores = beams == 1 ? counts_up_nan_behind : counts_up, .vocab = 6};
    GenerateModel m = model_of(&s);
    int32_t ids[2][7];
    const int32_t prompt[] = {3, 1};
    const char *why = "";
    cr_assert(generate(&m, &o, 2, prompt, 1, &ids[0][0], NULL, &why), "%s", why);
    cr_expect_eq(ids[0][1], 4);
    cr_expect_eq(ids[1][3], 4);
  }
}

Test(generate, options_that_make_no_sense) {
  const GenerateOptions good = greedy(4, 7);
  enum { CASES = 22 };
  GenerateOptions o[CASES];
  for (int i = 0; i < CASES; i++) o[i] = good;
  int k = 0;
  o[k++].beams = 0;
  o[k++].beams = ROWS + 1;
  o[k++].max_length = LONGEST + 1;
  o[k++].max_length = 1;
  o[k++].end_id = -1;
  o[k++].end_id = 6;
  o[k++].pad_id = -1;
  o[k++].pad_id = 6;
  o[k].masked = true, o[k].mask_id = 6, k++;
  o[k].masked = true, k++; // a prompt without a mask
  o[k].sample = true, o[k].beams = 2, k++;
  o[k].sample = true, o[k].temperature = 0, k++;
  o[k].sample = true, o[k].temperature = (double)NAN, k++;
  o[k].sample = true, o[k].temperature = (double)INFINITY, k++;
  o[k].sample = true, o[k].top_p = 0, k++;
  o[k].sample = true, o[k].top_p = 1.5, k++;
  o[k].sample = true, o[k].top_k = -1, k++;
  o[k++].repetition_penalty = 0;
  o[k++].repetition_penalty = (double)NAN;
  o[k++].repetition_penalty = (double)INFINITY;
  o[k++].length_penalty = (double)NAN;
  o[k++].length_penalty = -(double)INFINITY;
  cr_assert_eq(k, CASES);
  Script s = {.scores = counts_up, .vocab = 6};
  GenerateModel m = model_of(&s);
  int32_t ids[LONGEST], prompt[] = {1, 2};
  for (int i = 0; i < CASES; i++) {
    const char *why = NULL;
    cr_expect_not(generate(&m, &o[i], 1, prompt, 1, ids, NULL, &why), "case %d", i);
    cr_expect(why && *why, "case %d", i);
  }
  const int32_t bad[] = {-1, 6};
  for (int i = 0; i < 2; i++) cr_expect_not(generate(&m, &good, 1, bad + i, 1, ids, NULL, NULL));
  cr_expect_not(generate(&m, &good, 0, prompt, 1, ids, NULL, NULL));
  cr_expect_not(generate(&m, &good, 1, prompt, 0, ids, NULL, NULL));
  m.vocab = 1;
  cr_expect_not(generate(&m, &good, 1, prompt, 1, ids, NULL, NULL));
}

Test(generate, a_model_that_refuses) {
  for (int64_t beams = 1; beams <= 2; beams++)
    for (int64_t at = 1; at <= 2; at++) {
      GenerateOptions o = greedy(4, 7);
      o.beams = beams;
      Script s = {.scores = counts_up, .vocab = 6, .fail_at = at};
      GenerateModel m = model_of(&s);
      int32_t ids[7], prompt[] = {1};
      const char *why = NULL;
      cr_expect_not(generate(&m, &o, 1, prompt, 1, ids, NULL, &why));
      cr_expect_str_eq(why, at == 1 ? "the model refused the first words" : "the model refused a word");
    }
}
