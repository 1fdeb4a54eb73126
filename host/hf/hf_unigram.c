// hf_unigram.c - the unigram model (Kudo, "Subword regularization", 2018): the pieces of a word whose scores have the
// greatest sum, found from the left (Viterbi) in doubles, as the library has it.
#include "hf_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double UNKNOWN_PENALTY = 10;

static bool read_unigram(HfModel *m, HfPool *pool, const HfNode *at, HostError *err) {
  HfNode vocab = hf_member(at, "vocab"), unk = hf_member(at, "unk_id");
  if (!vocab.v || !hf_is(vocab.v, HF_LIST))
    return hf_fail(&vocab, err, "a vocabulary must be a list [[\"piece\", score], ..]");
  size_t n = vocab.v->n, id;
  m->vocab.token = hf_new(pool, (n + 1) * sizeof *m->vocab.token);
  m->score = hf_new(pool, (n + 1) * sizeof *m->score);
  if (!m->vocab.token || !m->score) return host_no_memory(err);
  double least = HUGE_VAL;
  HfNode one = {.v = vocab.v->child, .up = &vocab};
  for (; one.v; one.v = one.v->next, one.index++) {
    const HfValue *piece = hf_is(one.v, HF_LIST) ? one.v->child : NULL, *score = piece ? piece->next : NULL;
    if (!score || score->next || !hf_is(piece, HF_TEXT) || !hf_is(score, HF_NUMERAL))
      return hf_fail(&one, err, "a piece must be [\"piece\", score]");
    if (!piece->text[0]) return hf_fail(&one, err, "the piece is empty");
    if (!hf_copy(pool, piece->text, strlen(piece->text), &m->vocab.token[one.index])) return host_no_memory(err);
    m->score[one.index] = score->number;
    if (score->number < least) least = score->number;
  }
  m->vocab.n = m->vocab.count = n;
  m->unk_score = least - UNKNOWN_PENALTY;
  m->unk = -1;
  if (unk.v && !hf_is(unk.v, HF_NULL)) {
    if (!hf_count(&unk, INT32_MAX - 1, &id, err)) return false;
    if (id >= n) return hf_fail(&unk, err, "there are only %zu pieces", n);
    m->unk = (int32_t)id;
  }
  if (!hf_read_flag(at, "byte_fallback", &m->byte_fallback, err) || !hf_index_vocab(&m->vocab, pool, &vocab, true, err))
    return false;
  hf_find_bytes(m);
  return true;
}

typedef struct Best { // of the pieces that end at a byte
  double score;
  uint32_t start; // NONE: none
  int32_t id;
} Best;
#define NONE UINT32_MAX

static void offer(Best *b, size_t start, double score, int32_t id) {
  if (b->start == NONE || score > b->score) *b = (Best){score, (uint32_t)start, id};
}

static bool search(const HfModel *m, HfRun *run, const char *s, size_t n, Best *best) {
  size_t len;
  for (size_t i = 0; i <= n; i++) best[i].start = NONE;
  best[0].score = 0;
  for (size_t at = 0; at < n; at += len) {
    double before = best[at].score;
    bool single = false;
    hf_char(s + at, &len);
    StrWalk w = strmap_walk(&m->vocab.map);
    for (size_t k = 1; at + k <= n && strmap_step(&w, s[at + k - 1]); k++) {
      int32_t id = strmap_here(&w);
      if (id < 0) continue;
      offer(&best[at + k], at, m->score[id] + before, id);
      single = single || k == len;
    }
    if (single) continue;
    if (m->unk < 0)
      return host_fail(run->err, "the text has a character that no piece has, and the vocabulary has no unk_id");
    offer(&best[at + len], at, m->unk_score + before, m->unk);
  }
  return true;
}

// The ids of one piece, or of a run of unknown ones, which may be a piece in itself.
static bool add_part(const HfModel *m, HfRun *run, const char *s, size_t n) {
  int32_t id = hf_vocab_id(&m->vocab, s, n);
  if (id >= 0) return hf_add_id(run, id);
  if (!m->byte_fallback || !hf_has_bytes(m, s, n)) return hf_add_id(run, m->unk);
  for (size_t i = 0; i < n; i++)
    if (!hf_add_id(run, m->byte[(unsigned char)s[i]])) return false;
  return true;
}

static bool ids_unigram(const HfModel *m, HfRun *run, const char *word, size_t n) {
  Best *best = malloc((n + 1) * sizeof *best);
  uint32_t *end = malloc((n + 1) * sizeof *end);
  size_t count = 0;
  bool ok = (best && end) || host_no_memory(run->err);
  ok = ok && search(m, run, word, n, best);
  for (size_t at = n; ok && at; at = best[at].start) end[count++] = (uint32_t)at;
  while (ok && count) {
    size_t from = best[end[count - 1]].start, to = end[count - 1];
    bool unknown = m->unk >= 0 && best[to].id == m->unk;
    count--;
    while (unknown && count && best[end[count - 1]].id == m->unk) to = end[--count];
    ok = add_part(m, run, word + from, to - from);
  }
  free(best);
  free(end);
  return ok;
}

const HfModelKind hf_unigram = {"Unigram", " type unk_id vocab byte_fallback ", read_unigram, ids_unigram};
