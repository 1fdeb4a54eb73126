// lower_gemm.h: what the files of the matrix product share. lower_gemm.c has the loops around it and its tasks,
// lower_gemm_plan.c chooses tiles and blocks, lower_gemm_tile.c makes one register tile and what is done to its sums,
// lower_gemm_blocks.c goes by blocks of k.
#ifndef SY_LOWER_GEMM_H
#define SY_LOWER_GEMM_H

#include "lower_matmul.h"
#include "lower_tile.h"

static inline int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

enum { STEP_BYTES = 4 * PANEL }; // of a step of k of one panel in f32, and of a row of its sums

typedef struct Gemm {
  const ProductCosts *cost;
  Lowering lo;
  const Value *anchor;
  size_t xsrc;     // index of x in lo.src: row strides
  int64_t xstride; // of x over k
  struct {         // x over k, outermost first: one axis, or those of a window
    int64_t extent, stride;
  } kaxis[4];
  int nk;
  bool windows;  // x are patches or windows of an image, read where they lie
  bool by_batch; // indices of the outermost axis are divided among tasks, `batch` ones from batch_start on
  int64_t batch;
  KIdx batch_start;
  int64_t outer_block; // rows of the axis before the last row axis per task, 0: it is not divided
  KIdx outer_start;
  KBufRef w, bias;
  int64_t w_bytes;      // of an element of w
  KBufRef wide;         // panels of the group at hand, widened
  int64_t k, n, panels; // panels of 16 columns, the last may not be full
  int rows, width;      // register tile: rows x panels
  int64_t k_block;      // steps of k that all rows do before the next ones, 0: all
  int group;            // panels of a group; `width`, if k is not divided
  int64_t main_panels;  // panels done by full groups
  int64_t block;        // rows of a row block, 0: rows are not divided among tasks
  KIdx block_start;
  bool first_rows; // `count` rows are computed, the others are zero before the epilogue
  KBufRef count, zeros_from;
  bool through_scratch; // there is an epilogue
  KBufRef scratch;      // the sums of a tile, or those of all rows and a group
  KIdx at[LOWER_AXES];  // row indices of the current tile
} Gemm;

typedef struct PanelGroup { // whose panels stay in the second-level cache
  KIdx panel;               // its first panel
  int panels;
  int64_t columns; // active columns
  bool prefetch_next;
} PanelGroup;

typedef struct GemmTile {
  Gemm *g;
  const PanelGroup *p;
  int rows;
  bool tail;       // of a run-time number of rows
  KIdx x;          // address of x at k = 0 of the first row
  KIdx whole, run; // products of a run that are done in blocks, and all of them
  const KIdx *k;   // of the block at hand, NULL: k is not divided
  KIdx wide;       // the panel's place in `wide`
  RegTile reg;
} GemmTile;

/* lower_gemm_plan.c: choices, made once the operands are known. ---------------------------------------------------- */
void gemm_choose_tile(Gemm *g);
void gemm_choose_blocks(Gemm *g);       // after the tile
int64_t gemm_least_rows(const Gemm *g); // when the outermost run-time axis (the batch) is at its least: one request
int64_t gemm_longest(const Gemm *g);    // of the axis that tiles run over: rows of its longest range
int64_t gemm_tasks(const Gemm *g);      // worth having
// Small weights are still in the second-level cache when they are read again: hints would only cost.
bool gemm_streams(const Gemm *g);

int64_t gemm_line(const Gemm *g); // elements of w in a line of a cache

/* lower_gemm_tile.c ------------------------------------------------------------------------------------------------ */
// A tile of a group at g->at: the whole of it, epilogue included.
void gemm_tile(Gemm *g, const PanelGroup *p, int rows, bool tail);
// Its parts, for those who keep the sums elsewhere. begin: where x is; run: `run` steps of k from k0 on, x from `from`
// on, in the region that is open.
GemmTile gemm_begin(Gemm *g, const PanelGroup *p, int rows, bool tail);
void gemm_run(GemmTile *t, KIdx k0, KIdx from, int64_t run);
// The epilogue of row r (within g->at) of a group, from its sums at `from` of g->scratch.
void gemm_finish_row(const GemmTile *t, KIdx r, KIdx from);
// Does the epilogue read a row of this source for each row of the product? Asks for the lines of one.
bool gemm_reads_rows(const Gemm *g, size_t source);
void gemm_prefetch_row(const Gemm *g, const PanelGroup *p, size_t source, KIdx row);

/* lower_gemm_blocks.c ---------------------------------------------------------------------------------------------- */
void gemm_blocks(Gemm *g, const PanelGroup *p, const Range *r); // all rows of a range
// n elements of a narrow weight, which lie one behind the other, into g->wide.
void gemm_widen(Gemm *g, KIdx from, KIdx to, int64_t n);

#endif
