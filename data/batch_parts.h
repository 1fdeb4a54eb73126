// batch_parts.h - what the files of the batches share; private to batch*.c.
//
//   batch.c       the ring of finished batches and the threads that make them
//   batch_wants.c what an objective's graph wants
//   batch_plan.c  what fills each input
//   batch_fill.c  rows of a batch: pictures, numbers, labels
//   batch_text.c  rows of a batch: texts and what is made of them
//   batch_dump.c  a batch to look at
#ifndef SWITCHYARD_DATA_BATCH_PARTS_H
#define SWITCHYARD_DATA_BATCH_PARTS_H

#include "augment.h"
#include "batch.h"
#include "mask.h"

#include "host/face_parts.h"

#include <stdatomic.h>

typedef struct Row Row;
typedef struct Fill Fill;
typedef struct Slot Slot;
// Fills row r->k of an input. False with r->why: the sample is to blame.
typedef bool FillRow(Row *r, const Fill *f);
// Behind all rows: what depends on other rows. False: err.
typedef bool FillEnd(const Batches *b, Slot *s, const Fill *f, HostError *err);

typedef struct Text { // a preparation of texts
  const sy_prepare *prepare;
  HostTokenizerOptions how;
  size_t longest; // tokens: the least bound of the inputs that it fills; 0: it fills none
  bool listed;    // of = labels: its texts are the list of answers, the same in every batch
  HostIds *list;  // [answers->count], in the arena
} Text;

struct Fill { // of one input
  FillRow *row;
  FillEnd *end;
  const sy_tensor *t;
  unsigned input;
  const char *fields;     // of the sample, in order
  const char *what;       // for people
  const StageInput *from; // its sampler; NULL: none
  bool labels;            // the second of two inputs
  // pictures
  HostPreprocess how;
  Augment augment;
  double erase;
  const Fill *first; // of the inputs of its sampler
  size_t number_of;  // of several pictures of a field, as in \"images\": [\"left.png\", \"right.png\"]
  bool other_sample; // of another sample
  // texts
  unsigned text;     // number of its Text
  const char *texts; // fields of it
  MaskWords mask;
  MaskBlocks blocks;
  int32_t word, pad; // begin; padding of rows
  size_t prompt;
  // patches
  unsigned picture; // number of the input whose they are
  size_t patch, most;
  double number, over; // coin, ramp
};

typedef struct FillAugment { // what the pictures of a sampler share
  const StageInput *from;
  bool flip, words, swap;
} FillAugment;

typedef struct Answers { // of a row
  int32_t **id;
  size_t *length;
  float *weight;
  size_t n;
} Answers;

typedef struct Bad {
  uint32_t sample;
  char *why; // in the arena of the slot
} Bad;

struct Slot { // a batch being made
  Batch batch;
  Arena arena;     // of this batch
  DataSample read; // of the row being made; its arena has what the row needs, too
  void **in;
  uint32_t *sample;
  DataAt *at;        // [rows]
  size_t (*side)[2]; // [rows * ninput]: of pictures, high and wide
  Answers *answers;  // [rows]
  bool exact[BATCH_DIMS];
  VEC(Bad) bad;
  enum { SLOT_FREE, SLOT_READY, SLOT_FAILED } state;
  HostError why;
};

typedef struct RowText { // the ids of a field, by one of the preparations
  const DataField *field;
  unsigned text;
  HostIds ids; // in the arena
} RowText;

struct Row {
  const Batches *b;
  Slot *slot;
  const DataSample *s;
  DataAt at;
  size_t k;
  Arena *arena;
  HostError *why;
  size_t dims[BATCH_DIMS]; // with those of the rows before
  bool exact[BATCH_DIMS];
  bool exchange;     // left and right in texts
  bool *flip, *swap; // [naugment]
  VEC(RowText) text; // made so far
};

struct Batches {
  const Data *data;
  const BatchWants *wants;
  BatchOptions o;
  Arena arena; // of the plan
  Fill *fill;  // [wants->ninput]; row and end NULL: the caller's
  Text *text;
  size_t ntext;
  FillAugment *augment;
  size_t naugment;
  FaceRun vocabulary;      // holds the tokenizer
  bool counts[BATCH_DIMS]; // the dims that count rows
  uint64_t length, per_epoch;
  uint64_t most_bad; // samples that may be bad
  struct Kept *kept; // NULL: no picture is kept
  struct Ring *ring;
};

enum { KEPT_FIELDS = 4 }; // the last for the second picture of a field
typedef struct Kept {     // decoded pictures, by sample and field
  atomic_size_t bytes;
  _Atomic(HostImage *) at[]; // [samples * KEPT_FIELDS]
} Kept;

/* batch_plan.c */
SY_MUST_USE bool batch_plan(Batches *b, const StageInput *input, size_t ninput, HostError *err);
/* batch_fill.c */
SY_MUST_USE bool batch_fill(const Batches *b, Slot *s, uint64_t number, HostError *err);
// Lets axis d of an input hold n: exactly, or at least. False: r->why.
SY_MUST_USE bool row_extent(Row *r, const sy_tensor *t, unsigned d, size_t n, bool exact);
DataDraws row_draws(const Row *r, unsigned input);      // of a sampler that fills this input
size_t row_pick(const Row *r, size_t n);                // one of n texts or rows; the same for all fields of a sample
const DataField *row_field(Row *r, const char *fields); // NULL: r->why
size_t row_size(const sy_tensor *t);                    // elements of a row, by the bounds
FillRow fill_picture, fill_label, fill_targets, fill_array, fill_blocks, fill_coin;
FillEnd fill_patches, fill_rows_of_others, fill_ramp;
/* batch_text.c */
FillRow fill_text, fill_follows_mask, fill_follows_type, fill_masked, fill_begin, fill_text_labels, fill_answers;
FillEnd fill_listed, fill_listed_mask, fill_all_answers, fill_all_answer_masks, fill_all_weights, fill_answer_counts;

#endif
