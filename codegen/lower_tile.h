// lower_tile.h: one register tile of a product, y[rows][columns] = start + a[rows][n] b[n][columns], for all lowerings
// that have products in them. b lies in panels of 16 columns, [n][16] each; the accumulators are named registers that
// run over all of n in ascending order. A tile is a region of the kernel IR with the distances between rows and panels
// as lets, so that all tiles of one shape are printed as one function.
//
//   RegTile t;
//   tile_open(&t, k, 8, 3, 768, 16 * 768, 2304);
//   tile_start_zero(&t);
//   KIdx i = ki_var(kb_loop(k, "k", kbound(ki_const(0)), kbound(tile_length(&t, ki_const(768))), 1));
//   tile_step(&t, a, ki_add(a_at, i), b, ki_add(b_at, ki_mul(i, PANEL)));
//   kb_end(k);
//   tile_store(&t, y, y_at, 48);
//   tile_close(&t);
#ifndef SY_LOWER_TILE_H
#define SY_LOWER_TILE_H

#include "lower_util.h"

enum { TILE_MOST_ROWS = 16, TILE_MOST_ACC = 64 };

typedef struct RegTile {
  Kernel *k;
  int rows, vectors;  // vectors: of all panels
  int per_panel;      // vectors of a panel
  KIdx lda, ldb, ldy; // elements from row to row of a, panel to panel of b, row to row of y
  KVal acc[TILE_MOST_ACC];
} RegTile;

// The target's tile with the least work lost where `panels` do not fill it: its rows, and panels (no more than there
// are).
void tile_choose(const Target *t, int64_t panels, int *rows, int *width);

// Opens the region. `panels` of b; the distances in elements.
void tile_open(RegTile *t, Kernel *k, int rows, int panels, int64_t lda, int64_t ldb, int64_t ldy);

// The number of products as a let of the region; before the first value is started.
KIdx tile_length(RegTile *t, KIdx n);

// Starts the accumulators: at zero; at bias[0 .. columns) in every row; vector v of row r at a value; or at the sums of
// earlier steps.
void tile_start_zero(RegTile *t);
void tile_start_bias(RegTile *t, KBufRef bias, KIdx at);
void tile_start(RegTile *t, int r, int v, KVal value);
void tile_start_sums(RegTile *t, KBufRef y, KIdx at); // where tile_store put them

// One step: acc[r][..] += a[at + r lda] * b[at + 0 .. columns).
void tile_step(RegTile *t, KBufRef a, KIdx a_at, KBufRef b, KIdx b_at);

// Stores the first `columns` of every row; tile_value is the vector that is stored.
void tile_store(RegTile *t, KBufRef y, KIdx at, int64_t columns);
KIdx tile_address(const RegTile *t, KIdx at, int r, int v); // of vector v of row r in y

void tile_close(RegTile *t);

#endif
