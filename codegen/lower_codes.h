// lower_codes.h: what products of codes have in common, whatever the bits of the weight: lower_codes.c has the loops
// around a tile, scales of rows and all that stands behind; the tile itself is there (8 bits) or in lower_codes4.c.
#ifndef SY_LOWER_CODES_H
#define SY_LOWER_CODES_H

#include "ir/op/codes.h"
#include "ir/op/pairs.h"
#include "lower_matmul.h"
#include "lower_tile.h"

enum { CODE_VECTORS = 2 }; // of words whose halves are multiplied at a time

typedef struct Codes {
  Lowering lo;
  const Value *anchor;
  size_t xsrc;              // rows of words in lo.src
  KBufRef w, scales, sums;  // of the weight
  bool pairs;               // of bf16: w alone
  bool grouped;             // a weight of 4 bits, whose groups have scales: linear_codes4
  KBufRef made;             // scratch: rows as they are multiplied; 0: they are read where they lie
  KBufRef wide;             // scratch: the pairs of a panel group as f32; 0: they are multiplied as words
  KBufRef tile;             // scratch: the sums of a tile; grouped: as f32, with the scales of their groups
  int64_t n, words;         // columns; words of a row that hold codes or pairs
  int64_t depth;            // numbers in these
  int64_t panel_words;      // words of a column of the weight
  int64_t panels, made_row; // words of a row in `made`
  int rows, width;          // register tile: rows x panels
  int64_t block;            // rows that are made at a time
  KIdx at[LOWER_AXES];      // row indices of the current tile
  KIdx first;               // row of the range that `made` begins with
  KIdx chunk_start;         // panels of the task
  int64_t chunk;
  int64_t part; // rows of a task, 0: they are not divided
  KIdx part_start;
} Codes;

typedef struct PanelRun { // panels of a tile
  KIdx panel;
  int panels;
  int64_t columns; // of the result
} PanelRun;

typedef struct CodeTile {
  const Codes *c;
  const PanelRun *p;
  KIdx row;          // of the range
  int rows, vectors; // vectors of all panels
  KBufRef a;         // where the rows are
  KIdx a_at, lda, ldb, ldy;
  KVal acc[TILE_MOST_ACC];
} CodeTile;

// The product of a tile with groups, in the region that is open, into c->tile.
void codes4_tile(const CodeTile *t);
// Hints for what the next tiles read of the weight; `steps` of its words from `word` on are at hand.
void codes_ask_for_next(const CodeTile *t, KIdx word, int64_t steps);
void codes_ask_ahead(const CodeTile *t, KIdx word);
// Comes the weight from memory? Or is it in the second-level cache when it is read again?
bool codes_stream(const Codes *c);

#endif
