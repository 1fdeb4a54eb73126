// lower_tile.c: see lower_tile.h.
#include "lower_tile.h"

#include <math.h>

void tile_choose(const Target *t, int64_t panels, int *rows, int *width) {
  const Costs *c = t->cost;
  double best = HUGE_VAL;
  for (size_t i = 0; i < sizeof t->tile / sizeof *t->tile && t->tile[i].rows; i++) {
    bool left = panels % t->tile[i].panels;
    double cost = ((double)panels + (left ? c->left_over : 0)) * (1 + c->later_tile * (double)i);
    if (t->tile[i].panels > panels) cost *= c->narrow;
    if (cost >= best) continue;
    best = cost;
    *rows = t->tile[i].rows;
    *width = (int)(t->tile[i].panels < panels ? t->tile[i].panels : panels);
  }
}

static KIdx distance(Kernel *k, bool matters, int64_t n, const char *name) {
  return matters ? ki_var(kb_let(k, ki_const(n), name)) : ki_const(n);
}

void tile_open(RegTile *t, Kernel *k, int rows, int panels, int64_t lda, int64_t ldb, int64_t ldy) {
  int columns = panels * PANEL;
  *t = (RegTile){.k = k, .rows = rows, .vectors = columns / (int)k->lanes, .per_panel = PANEL / (int)k->lanes};
  CHECK(rows <= TILE_MOST_ROWS && rows * t->vectors <= TILE_MOST_ACC);
  kb_region(k, arena_printf(k->arena, "product_%dx%d", rows, columns),
            arena_printf(k->arena, "%d %s of %d columns of a product, in registers", rows, rows > 1 ? "rows" : "row",
                         columns));
  t->lda = distance(k, rows > 1, lda, "lda");
  t->ldb = distance(k, panels > 1, ldb, "ldb");
  t->ldy = distance(k, rows > 1, ldy, "ldy");
}

KIdx tile_length(RegTile *t, KIdx n) {
  return ki_var(kb_let(t->k, n, "n"));
}

void tile_start(RegTile *t, int r, int v, KVal value) {
  t->acc[r * t->vectors + v] = kb_var(t->k, value, arena_printf(t->k->arena, "acc%d_%d", r, v));
}

static void start_rows(RegTile *t, const KVal *init) {
  for (int r = 0; r < t->rows; r++)
    for (int v = 0; v < t->vectors; v++) tile_start(t, r, v, init[v]);
}

void tile_start_zero(RegTile *t) {
  KVal init[TILE_MOST_ACC], zero = kb_const(t->k, 0, DT_F32, t->k->lanes);
  for (int v = 0; v < t->vectors; v++) init[v] = zero;
  start_rows(t, init);
}

void tile_start_bias(RegTile *t, KBufRef bias, KIdx at) {
  KVal init[TILE_MOST_ACC];
  for (int v = 0; v < t->vectors; v++)
    init[v] = kb_load(t->k, bias, ki_addc(at, (int64_t)v * t->k->lanes), t->k->lanes, t->k->lanes, "bias");
  start_rows(t, init);
}

void tile_start_sums(RegTile *t, KBufRef y, KIdx at) {
  for (int r = 0; r < t->rows; r++)
    for (int v = 0; v < t->vectors; v++)
      tile_start(t, r, v, kb_load(t->k, y, tile_address(t, at, r, v), t->k->lanes, t->k->lanes, "sums"));
}

void tile_step(RegTile *t, KBufRef a, KIdx a_at, KBufRef b, KIdx b_at) {
  Kernel *k = t->k;
  KVal row[TILE_MOST_ACC];
  for (int v = 0; v < t->vectors; v++) {
    KIdx at = ki_add(b_at, ki_mul(t->ldb, v / t->per_panel));
    row[v] = kb_load(k, b, ki_addc(at, (int64_t)(v % t->per_panel) * k->lanes), k->lanes, k->lanes, "b");
  }
  for (int r = 0; r < t->rows; r++) {
    KVal x = kb_bcast(k, a, ki_add(a_at, ki_mul(t->lda, r)), "a");
    for (int v = 0; v < t->vectors; v++) {
      KVal acc = t->acc[r * t->vectors + v];
      kb_set(k, acc, kb_op3(k, K_fma, x, row[v], acc));
    }
  }
}

KIdx tile_address(const RegTile *t, KIdx at, int r, int v) {
  return ki_addc(ki_add(at, ki_mul(t->ldy, r)), (int64_t)v * t->k->lanes);
}

void tile_store(RegTile *t, KBufRef y, KIdx at, int64_t columns) {
  for (int r = 0; r < t->rows; r++)
    for (int v = 0; v < t->vectors; v++) {
      int64_t left = columns - (int64_t)v * t->k->lanes, n = left < (int64_t)t->k->lanes ? left : (int64_t)t->k->lanes;
      if (n > 0) kb_store(t->k, y, tile_address(t, at, r, v), t->acc[r * t->vectors + v], n);
    }
}

void tile_close(RegTile *t) {
  kb_end(t->k);
}
