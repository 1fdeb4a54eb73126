// generate.c: see generate.h. All rows of the batch run in one call: row b * beams + k is beam k of picture b. Finished
// pictures go on as padding, so that no other row moves.
#include "generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Candidate { // a word behind a beam
  double score;
  int64_t beam;
  int32_t word;
} Candidate;

typedef struct Hypothesis {
  double score;
  int64_t length;
  int32_t *ids;
} Hypothesis;

typedef struct Picture {
  bool done;
  int64_t nhyp;
  Hypothesis *hyp; // in the order in which they were found
} Picture;

typedef struct Search {
  const GenerateModel *m;
  const GenerateOptions *o;
  int64_t batch, beams, rows, length, keep, ncand; // keep: hypotheses a picture keeps
  int32_t *ids, *next_ids, *parent, *words;        // ids[rows][max_length]
  float *scores;
  double *sum, *next_sum, *logp;
  Candidate *cand;
  Picture *picture;
  int32_t *hyp_ids;
  Hypothesis *hyp;
  uint64_t random;
  const char *why; // what failed
} Search;

const char generate_not_a_number[] = "the model's scores of the next word are not numbers";

static bool refuse(const char **err, const char *why) {
  if (err) *err = why;
  return false;
}

/* scores of one row ---------------------------------------------------------------------------------------------------
 */
static void log_softmax(const float *x, int64_t n, double *y) {
  double most = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; i++)
    if ((double)x[i] > most) most = (double)x[i];
  for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - most);
  double log_sum = most + log(sum);
  for (int64_t i = 0; i < n; i++) y[i] = (double)x[i] - log_sum;
}

// Has a row a best word? -infinity is a word that the model rules out.
static bool is_usable(const float *x, int64_t n) {
  float most = -INFINITY;
  for (int64_t i = 0; i < n; i++) {
    if (isnan(x[i])) return false;
    if (x[i] > most) most = x[i];
  }
  return isfinite(most);
}

// Checks the rows of sentences that are not finished: `each` rows a picture.
static bool check_scores(Search *s, int64_t each) {
  for (int64_t r = 0; r < s->batch * each; r++)
    if (!s->picture[r / each].done && !is_usable(s->scores + r * s->m->vocab, s->m->vocab)) {
      s->why = generate_not_a_number;
      return false;
    }
  return true;
}

// What the options do to the scores of the next word of a row: no early end, fewer repetitions.
static void adjust(const Search *s, const int32_t *ids, double *x) {
  double penalty = s->o->repetition_penalty;
  for (int64_t i = 0; i < s->length && penalty != 1; i++) {
    bool seen = false;
    for (int64_t k = 0; k < i && !seen; k++) seen = ids[k] == ids[i];
    if (!seen) x[ids[i]] = x[ids[i]] < 0 ? x[ids[i]] * penalty : x[ids[i]] / penalty;
  }
  if (s->o->masked || s->length >= s->o->min_length) return;
  double most = -INFINITY; // a sentence that has no other word ends all the same
  for (int64_t w = 0; w < s->m->vocab; w++)
    if (w != s->o->end_id && x[w] > most) most = x[w];
  if (most > -INFINITY) x[s->o->end_id] = -INFINITY;
}

/* beams ---------------------------------------------------------------------------------------------------------------
 */
static bool before(const Candidate *a, const Candidate *b) {
  if (a->score != b->score) return a->score > b->score;
  return a->beam != b->beam ? a->beam < b->beam : a->word < b->word;
}

// Joins one word to the sorted list of the best.
static void consider(const Search *s, int64_t *n, Candidate c) {
  if (*n == s->ncand && !before(&c, &s->cand[*n - 1])) return;
  int64_t i = *n < s->ncand ? (*n)++ : *n - 1;
  for (; i > 0 && before(&c, &s->cand[i - 1]); i--) s->cand[i] = s->cand[i - 1];
  s->cand[i] = c;
}

static void best_candidates(Search *s, int64_t b, int64_t first_rows) {
  int64_t n = 0, v = s->m->vocab;
  for (int64_t k = 0; k < s->beams; k++) {
    const float *x = s->scores + (first_rows == s->batch ? b : b * s->beams + k) * v;
    if (k == 0 || first_rows != s->batch || s->beams == 1) {
      log_softmax(x, v, s->logp);
      adjust(s, s->ids + (b * s->beams + k) * s->o->max_length, s->logp);
    }
    for (int64_t w = 0; w < v; w++) consider(s, &n, (Candidate){s->logp[w] + s->sum[b * s->beams + k], k, (int32_t)w});
  }
}

// A sentence that ended: kept if it is among the best.
static void add_hypothesis(Search *s, Picture *p, const int32_t *ids, int64_t length, double sum) {
  double score = sum / pow((double)length, s->o->length_penalty);
  int64_t worst = 0;
  for (int64_t i = 1; i < p->nhyp; i++)
    if (p->hyp[i].score < p->hyp[worst].score) worst = i;
  if (p->nhyp == s->keep && !(score > p->hyp[worst].score)) return;
  Hypothesis h = p->nhyp == s->keep ? p->hyp[worst] : p->hyp[p->nhyp];
  if (p->nhyp == s->keep) { // the new one stands behind the others
    memmove(&p->hyp[worst], &p->hyp[worst + 1], (size_t)(s->keep - worst - 1) * sizeof h);
    p->nhyp--;
  }
  h.score = score;
  h.length = length;
  memcpy(h.ids, ids, (size_t)length * sizeof *ids);
  p->hyp[p->nhyp++] = h;
}

static bool nothing_better(const Search *s, const Picture *p, double best_sum, int64_t length) {
  if (p->nhyp < s->keep) return false;
  double worst = INFINITY;
  for (int64_t i = 0; i < p->nhyp; i++)
    if (p->hyp[i].score < worst) worst = p->hyp[i].score;
  return worst >= best_sum / pow((double)length, s->o->length_penalty);
}

static void fill_beam(Search *s, int64_t b, int64_t k, const Candidate *c) {
  int64_t row = b * s->beams + k;
  s->parent[row] = c ? (int32_t)(b * s->beams + c->beam) : 0;
  s->words[row] = c ? c->word : s->o->pad_id;
  s->next_sum[row] = c ? c->score : 0;
}

static void choose_next_word(Search *s, int64_t b) {
  Picture *p = &s->picture[b];
  int64_t filled = 0;
  for (int64_t i = 0; i < s->ncand && filled < s->beams && !p->done; i++) {
    const Candidate *c = &s->cand[i];
    if (c->word != s->o->end_id)
      fill_beam(s, b, filled++, c);
    else if (i < s->beams)
      add_hypothesis(s, p, s->ids + (b * s->beams + c->beam) * s->o->max_length, s->length, c->score);
  }
  if (!p->done) p->done = nothing_better(s, p, s->cand[0].score, s->length);
  while (filled < s->beams) fill_beam(s, b, filled++, NULL);
}

static void choose_masked_word(Search *s, int64_t b) {
  Picture *p = &s->picture[b];
  int64_t filled = 0;
  bool last = s->length + 1 >= s->o->max_length;
  p->done = p->done || nothing_better(s, p, s->cand[0].score, s->o->max_length - 1);
  for (int64_t i = 0; i < s->ncand && filled < s->beams && !p->done; i++) {
    const Candidate *c = &s->cand[i];
    if (c->word == s->o->end_id || last)
      add_hypothesis(s, p, s->ids + (b * s->beams + c->beam) * s->o->max_length, s->length, c->score);
    else
      fill_beam(s, b, filled++, c);
  }
  while (filled < s->beams) fill_beam(s, b, filled++, NULL);
}

// The chosen words join the sequences of their beams.
static void extend(Search *s) {
  int64_t most = s->o->max_length, at = s->length - (s->o->masked ? 1 : 0);
  for (int64_t r = 0; r < s->rows; r++) {
    int32_t *to = s->next_ids + r * most;
    memcpy(to, s->ids + s->parent[r] * most, (size_t)most * sizeof *to);
    to[at] = s->words[r];
    if (s->o->masked) to[at + 1] = s->o->mask_id;
  }
  int32_t *ids = s->ids;
  s->ids = s->next_ids, s->next_ids = ids;
  double *sum = s->sum;
  s->sum = s->next_sum, s->next_sum = sum;
  s->length++;
}

// Scores of the rows as they stand; `first`: the rows before were pictures.
static bool run_step(Search *s, bool first) {
  int64_t most = s->o->max_length, w = s->o->masked ? 2 : 1, at = s->length - w;
  if (first)
    for (int64_t r = 0; r < s->rows; r++) s->parent[r] = (int32_t)(r / s->beams);
  for (int64_t r = s->rows; r-- > 0;) memcpy(s->words + r * w, s->ids + r * most + at, (size_t)w * sizeof *s->words);
  if (s->o->progress) s->o->progress(s->o->progress_ud, s->length, most);
  if (!s->m->step(s->m->ud, s->rows, at, w, s->parent, s->words, s->scores)) return false;
  return check_scores(s, s->beams);
}

static bool all_done(const Search *s) {
  for (int64_t b = 0; b < s->batch; b++)
    if (!s->picture[b].done) return false;
  return true;
}

static const Hypothesis *best_of(const Picture *p) {
  const Hypothesis *best = NULL;
  for (int64_t i = 0; i < p->nhyp; i++)
    if (!best || p->hyp[i].score >= best->score) best = &p->hyp[i];
  return best;
}

static bool beam_search(Search *s, int32_t *ids, float *score) {
  const GenerateOptions *o = s->o;
  bool first = true;
  for (int64_t r = 0; r < s->rows; r++) s->sum[r] = r % s->beams ? -1e9 : 0;
  for (;;) {
    for (int64_t b = 0; b < s->batch; b++) {
      best_candidates(s, b, first ? s->batch : s->rows);
      (o->masked ? choose_masked_word : choose_next_word)(s, b);
    }
    if (o->masked && s->length + 1 >= o->max_length) break; // everything has closed
    extend(s);
    if (all_done(s) || (!o->masked && s->length >= o->max_length)) break;
    if (!run_step(s, first)) return false;
    first = false;
  }
  for (int64_t b = 0; b < s->batch; b++) {
    Picture *p = &s->picture[b];
    for (int64_t k = 0; k < s->beams && !o->masked && !p->done; k++)
      add_hypothesis(s, p, s->ids + (b * s->beams + k) * o->max_length, s->length, s->sum[b * s->beams + k]);
    const Hypothesis *best = best_of(p);
    int32_t *to = ids + b * o->max_length;
    if (score) score[b] = best ? (float)best->score : 0;
    if (!best) continue;
    memcpy(to, best->ids, (size_t)best->length * sizeof *to);
    if (best->length < o->max_length) to[best->length] = o->end_id;
  }
  return true;
}

/* one word at a time --------------------------------------------------------------------------------------------------
 */
static double draw(Search *s) { // splitmix64, in [0, 1)
  uint64_t z = s->random += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static int by_score(const void *pa, const void *pb) {
  const Candidate *a = pa, *b = pb;
  return before(a, b) ? -1 : before(b, a);
}

static int32_t best_word(const double *x, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; i++)
    if (x[i] > x[best]) best = i;
  return (int32_t)best;
}

// Draws from the words that top_k and top_p leave, by the softmax of x / temperature.
static int32_t sample_word(Search *s, const double *x) {
  int64_t v = s->m->vocab, n = s->o->top_k > 0 && s->o->top_k < v ? s->o->top_k : v, left = 0;
  double sum = 0, part = 0, most = x[best_word(x, v)];
  if (!isfinite(most)) return best_word(x, v); // a penalty near 0 made it so
  for (int64_t w = 0; w < v; w++)              // the difference first: x / temperature may not be finite
    s->cand[w] = (Candidate){(x[w] - most) / s->o->temperature, 0, (int32_t)w};
  qsort(s->cand, (size_t)v, sizeof *s->cand, by_score);
  for (int64_t i = 0; i < n; i++) sum += exp(s->cand[i].score);
  while (left < n && (left == 0 || part < s->o->top_p * sum)) part += exp(s->cand[left++].score);
  double at = draw(s) * part, seen = 0;
  for (int64_t i = 0; i < left; i++)
    if ((seen += exp(s->cand[i].score)) > at) return s->cand[i].word;
  return s->cand[left - 1].word;
}

static bool word_by_word(Search *s, int32_t *ids, float *score) {
  const GenerateOptions *o = s->o;
  int64_t v = s->m->vocab;
  bool first = true;
  for (;;) {
    for (int64_t b = 0; b < s->batch; b++) {
      Picture *p = &s->picture[b];
      const float *x = s->scores + b * v;
      for (int64_t w = 0; w < v; w++) s->logp[w] = (double)x[w];
      adjust(s, s->ids + b * o->max_length, s->logp);
      int32_t word = p->done ? o->pad_id : o->sample ? sample_word(s, s->logp) : best_word(s->logp, v);
      if (!p->done) {
        log_softmax(x, v, s->logp);
        s->sum[b] += s->logp[word];
        p->nhyp = s->length + 1; // its length
      }
      s->parent[b] = (int32_t)b;
      s->words[b] = word;
      s->next_sum[b] = s->sum[b];
      p->done = p->done || word == o->end_id;
    }
    extend(s);
    if (all_done(s) || s->length >= o->max_length) break;
    if (!run_step(s, first)) return false;
    first = false;
  }
  for (int64_t b = 0; b < s->batch; b++) {
    memcpy(ids + b * o->max_length, s->ids + b * o->max_length, (size_t)s->length * sizeof *ids);
    if (score) score[b] = (float)(s->sum[b] / pow((double)s->picture[b].nhyp, o->length_penalty));
  }
  return true;
}

/* setting up ----------------------------------------------------------------------------------------------------------
 */
static bool check(const GenerateModel *m, const GenerateOptions *o, int64_t batch, const int32_t *prompt, int64_t n,
                  const char **err) {
  const int32_t id[] = {o->end_id, o->pad_id, o->masked ? o->mask_id : 0};
  if (batch < 1) return refuse(err, "there is nothing to continue");
  if (o->beams < 1) return refuse(err, "the number of beams must be at least 1");
  if (o->beams > m->max_rows / batch)
    return refuse(err, "the model does not take so many sequences times beams at once");
  if (o->max_length > m->max_length) return refuse(err, "the model does not take sentences of this length");
  if (n < (o->masked ? 2 : 1)) return refuse(err, "the prompt is empty");
  if (n + (o->masked ? 0 : 1) > o->max_length) return refuse(err, "the prompt is as long as the longest sentence");
  if (o->masked && o->max_length < 3) return refuse(err, "the longest sentence leaves no room for a word");
  if (o->sample && (o->masked || o->beams != 1)) return refuse(err, "sampling takes next_word and one beam");
  if (o->sample &&
      (!(o->temperature > 0) || !isfinite(o->temperature) || !(o->top_p > 0) || o->top_p > 1 || o->top_k < 0))
    return refuse(err, "sampling needs a temperature above 0, top_p in (0, 1] and top_k of at least 0");
  if (!(o->repetition_penalty > 0) || !isfinite(o->repetition_penalty) || !isfinite(o->length_penalty))
    return refuse(err, "the repetition penalty must be a number above 0 and the length penalty a number");
  int64_t width = (o->masked ? 3 : 2) * o->beams;
  if (m->vocab < 1 || width > m->vocab * o->beams) return refuse(err, "the vocabulary is smaller than the beams need");
  for (size_t i = 0; i < sizeof id / sizeof *id; i++)
    if (id[i] < 0 || id[i] >= m->vocab)
      return refuse(err, "an id of the rule (end, pad or mask) is outside the vocabulary");
  for (int64_t i = 0; i < batch * n; i++)
    if (prompt[i] < 0 || prompt[i] >= m->vocab) return refuse(err, "an id of the prompt is outside the vocabulary");
  return true;
}

static void *room(int64_t n, size_t size) {
  return n < 0 ? NULL : calloc((size_t)n + 1, size);
}

static bool allocate(Search *s) {
  int64_t most = s->o->max_length, v = s->m->vocab;
  s->ids = room(s->rows * most, sizeof *s->ids);
  s->next_ids = room(s->rows * most, sizeof *s->ids);
  s->parent = room(s->rows, sizeof *s->parent);
  s->words = room(s->rows * 2, sizeof *s->words);
  s->scores = room(s->rows * v, sizeof *s->scores);
  s->sum = room(s->rows, sizeof *s->sum);
  s->next_sum = room(s->rows, sizeof *s->sum);
  s->logp = room(v, sizeof *s->logp);
  s->cand = room(s->o->sample ? v : s->ncand, sizeof *s->cand);
  s->picture = room(s->batch, sizeof *s->picture);
  s->hyp = room(s->batch * s->keep, sizeof *s->hyp);
  s->hyp_ids = room(s->batch * s->keep * most, sizeof *s->hyp_ids);
  if (!s->ids || !s->next_ids || !s->parent || !s->words || !s->scores || !s->sum || !s->next_sum || !s->logp ||
      !s->cand || !s->picture || !s->hyp || !s->hyp_ids)
    return false;
  for (int64_t b = 0; b < s->batch; b++) s->picture[b].hyp = s->hyp + b * s->keep;
  for (int64_t i = 0; i < s->batch * s->keep; i++) s->hyp[i].ids = s->hyp_ids + i * most;
  return true;
}

static void release(Search *s) {
  void *all[] = {s->ids,      s->next_ids, s->parent, s->words,   s->scores, s->sum,
                 s->next_sum, s->logp,     s->cand,   s->picture, s->hyp,    s->hyp_ids};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

bool generate(const GenerateModel *m, const GenerateOptions *o, int64_t batch, const int32_t *prompt, int64_t n,
              int32_t *ids, float *score, const char **err) {
  if (!check(m, o, batch, prompt, n, err)) return false;
  Search s = {
      .m = m, .o = o, .batch = batch, .beams = o->beams, .rows = batch * o->beams, .length = n, .random = o->seed};
  s.keep = o->masked ? 1 : o->beams;
  s.ncand = (o->masked ? 3 : 2) * o->beams;
  bool ok = allocate(&s);
  if (!ok) refuse(err, "out of memory");
  for (int64_t r = 0; r < s.rows && ok; r++)
    memcpy(s.ids + r * o->max_length, prompt + r / s.beams * n, (size_t)n * sizeof *prompt);
  for (int64_t i = 0; i < batch * o->max_length && ok; i++) ids[i] = o->pad_id;
  if (ok && !m->start(m->ud, batch, n, prompt, s.scores)) ok = refuse(err, "the model refused the first words");
  if (ok && !check_scores(&s, 1)) ok = refuse(err, s.why);
  if (ok) {
    bool search = o->masked || o->beams > 1;
    ok = (search ? beam_search : word_by_word)(&s, ids, score) ||
         refuse(err, s.why ? s.why : "the model refused a word");
  }
  release(&s);
  return ok;
}
