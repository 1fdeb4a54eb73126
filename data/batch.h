// batch.h - the inputs of an objective, batch after batch: what each input wants is read off the page (its preparation,
// type and bounds) and the stage (its samplers); worker threads read, augment, mask and fill ahead.
//
//   BatchWants wants = {.input = route->input, .ninput = route->ninput, .dim = info->dim, .ndim = info->ndim, ..};
//   Batches *b = batches_open(data, &wants, stage->input.at, stage->input.n, &options, &err);
//   const Batch *batch;
//   while (batches_next(b, &batch, &err) && batch) step(batch->dims, batch->in);
//   batches_close(b);
//
// A batch is a pure function of (data, seed, its number): the same bytes from any number of workers, and in a run that
// begins at it. Batch k of an epoch of n batches is the positions [k rows, (k + 1) rows) of epoch k / n; a last,
// smaller batch is dropped in training and kept, once, in evaluation.
//
// What fills an input (`batches_describe` says it):
//
//   a sampler of the stage           augment, mask_words, mask_caption, mask_blocks, begin, text_labels,
//   sample_patches, others, coin,
//                                    ramp (ir/stage.def)
//   prepare picture(..)              the field of its name, or image, image_path, file_name; of `images` image takes
//   the first and
//                                    image2 the second
//   prepare bert_wordpiece(..), ..   the field of its name, or text, caption, captions, sentence, question; of several
//   texts
//                                    one at random
//   NAME_mask, NAME_type             of a text: true where it is no padding; 0
//   prepare patches(..)              places of the patches of its picture
//   i32[B]                           the field of its name, or label: a number, a class, or one of the answers
//   f32[B, N], `targets`             N numbers; or answers and weights (or ten answers) as scores of the list of
//   answers; or a label answer, answer_mask, answer_weights, answers_per_question    answers, with their weights or how
//   often each was given anything else                    an array or numbers of its name; of one axis more than is
//   wanted, one of its rows at random
#ifndef SWITCHYARD_DATA_BATCH_H
#define SWITCHYARD_DATA_BATCH_H

#include "source.h"

#include "ir/graph.h"
#include "runtime/switchyard.h"

enum { BATCH_DIMS = 16 };

typedef struct BatchWants { // as a compiled model describes it; must outlive the Batches
  const sy_tensor *input;   // of the objective: f32, i32 or bool
  unsigned ninput;
  const sy_bound *dim;
  unsigned ndim; // at most BATCH_DIMS
  const sy_prepare *prepare;
  unsigned nprepare;
} BatchWants;

// The same of an objective's graph, in the order of its inputs, in the arena; those whose role is not `data` are for
// BatchOptions.given. False: an axis that is none for data. (batch_wants.c)
SY_MUST_USE bool batch_wants(Arena *a, const Module *m, const Graph *g, BatchWants *out, HostError *err);

typedef struct BatchOptions {
  uint64_t seed;
  size_t rows;               // samples of a batch
  bool train;                // random order, samplers and choices; false: in order, as the data are, one epoch
  uint64_t first, stride;    // numbers of the batches: first, first + stride, ..; stride 0: 1
  uint64_t run;              // .. or so many side by side from each of these on; 0: 1
  uint64_t per_step;         // batches of all ranks that make one step, for ramps by steps; 0: 1
  uint32_t limit;            // the first so many samples alone; 0: all
  const char *vocabulary;    // file of the tokenizer; NULL: no input needs one
  bool cased, uncased;       // instead of what the page says (WordPiece)
  const HostLabels *answers; // of targets; NULL: none
  const char *const *given;  // inputs that the caller fills: their buffers stay zero
  size_t ngiven;
  size_t pick;      // in evaluation: the number of the text or row that is taken of several (of fewer: round about)
  unsigned workers; // threads; 0: batches are made when they are asked for
  size_t cache;     // bytes of decoded pictures to keep; 0: none
  double most_bad;  // share of the samples that may be bad before the run ends; 0: 0.01
  bool strict;      // a bad sample ends the run
  void (*bad)(void *ud, uint32_t sample,
              const char *why); // told once of each bad sample, by the thread of batches_next
  void *ud;
} BatchOptions;

typedef struct Batch {
  uint64_t number;
  uint64_t first; // place of its first row in the epoch
  uint32_t epoch;
  size_t rows;             // below BatchOptions.rows only at the end of an evaluation
  size_t dims[BATCH_DIMS]; // of BatchWants.dim; those that no input has are 0
  void *const *in;         // one for each input, in the layout of its bounds, aligned to SY_ALIGN
  const uint32_t *sample;  // [rows]
} Batch;

typedef struct Batches Batches;

// NULL with err: an input that nothing fills, a sampler that does not fit, no vocabulary. `data`, `input` and what
// options point to must outlive it.
SY_MUST_USE Batches *batches_open(const Data *data, const BatchWants *wants, const StageInput *input, size_t ninput,
                                  const BatchOptions *options, HostError *err);
void batches_close(Batches *b);
uint64_t batches_per_epoch(const Batches *b);
uint64_t batches_bad(const Batches *b); // bad samples so far, each counted once
void batches_describe(const Batches *b, Buf *out);

// What the model sees of a batch, for people: DIR/PREFIXindex.txt with all inputs row by row (ids also as words,
// classes with their names), and its pictures as DIR/PREFIXINPUT-ROW.png. False with err.
SY_MUST_USE bool batches_dump(const Batches *b, const Batch *batch, const char *dir, const char *prefix,
                              HostError *err);

// The next batch in *out, which lives until the next call; NULL behind the last of an evaluation. False with err: too
// many bad samples, memory, files.
SY_MUST_USE bool batches_next(Batches *b, const Batch **out, HostError *err);

#endif
