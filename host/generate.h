// generate.h - choosing words: greedy, beam search and sampling over a model that scores the next word. How the model
// is run is the caller's business (words.h runs a compiled one).
//
//   GenerateOptions o = {.start_id = 1, .end_id = 2, .beams = 3, .max_length = 20, .length_penalty = 1, ...};
//   generate(&model, &o, batch, prompt, n, ids, score, &why)
//
// Two rules. `next_word` is the search of Hugging Face's transformers (BeamSearchScorer, greedy_search, sample; 4.15),
// which BLIP uses: lengths count the prompt. `masked_word` is that of BEiT-3 (engine_for_finetuning.py,
// CaptioningHandler): the sentence is start, words, mask; the scores at the mask choose the word that takes its place;
// lengths count all of these. Equal scores: the lower beam, then the lower id, goes first.
#ifndef SWITCHYARD_HOST_GENERATE_H
#define SWITCHYARD_HOST_GENERATE_H

#include "common/must_use.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct GenerateModel {
  void *ud;
  int64_t vocab, max_length; // max_length: longest sequence the model takes, a mask included
  int64_t max_rows;          // sequences it takes at once
  // First call: words[batch][n]. Fills scores[batch][vocab], those of the last word (the mask, with masked_word).
  bool (*start)(void *ud, int64_t batch, int64_t n, const int32_t *words, float *scores);
  // Later calls: row r continues what row parent[r] was after the call before (after the start: picture parent[r]) with
  // words[rows][w] at positions at .. at + w - 1. w = 1, or 2 for masked_word: the new word where the mask was, and the
  // mask behind it.
  bool (*step)(void *ud, int64_t rows, int64_t at, int64_t w, const int32_t *parent, const int32_t *words,
               float *scores);
} GenerateModel;

typedef struct GenerateOptions {
  bool masked; // the rule: masked_word, else next_word
  int32_t start_id, end_id, pad_id, mask_id;
  int64_t beams;                  // 1: greedy
  int64_t max_length, min_length; // as the rule counts
  double length_penalty;          // a hypothesis counts sum of log-probabilities / length^length_penalty
  double repetition_penalty;      // 1: none
  bool sample;                    // draw words instead (next_word, one beam)
  double temperature, top_p;      // 1, 1: as the model says
  int64_t top_k;                  // 0: all words
  uint64_t seed;
  void (*progress)(void *ud, int64_t length, int64_t max_length); // may be NULL
  void *progress_ud;
} GenerateOptions;

// Continues prompt[batch][n] (masked_word: start and mask). ids[batch][max_length] is padded on the right with pad_id;
// score[batch] (may be NULL) is the summed log-probability over length^length_penalty. False: *err says why; among the
// reasons: a model whose scores of a sentence that is not finished hold a NaN or +infinity, or nothing but -infinity
// (*err is then generate_not_a_number).
SY_MUST_USE bool generate(const GenerateModel *m, const GenerateOptions *o, int64_t batch, const int32_t *prompt,
                          int64_t n, int32_t *ids, float *score, const char **err);
extern const char generate_not_a_number[];

#endif
