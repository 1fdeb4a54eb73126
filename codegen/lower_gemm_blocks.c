// lower_gemm_blocks.c: see lower_gemm.h.
#include "lower_gemm.h"

typedef struct KBlock { // of the rows of a range
  Gemm *g;
  const PanelGroup *p;
  const Range *r;
  KBound from, to; // its rows
  KIdx k, j;       // its first step; panel of the group
} KBlock;

static int64_t sums_pitch(const Gemm *g) { // from row to row
  return (int64_t)g->group * PANEL;
}

// Of a row of the range and a panel of the group.
static KIdx sums_at(const Gemm *g, KIdx row, KIdx j) {
  return ki_add(ki_mul(row, sums_pitch(g)), ki_mul(j, PANEL));
}

static KIdx open_panels(const KBlock *b) {
  return ki_var(kb_loop(b->g->lo.k, "j", kbound(ki_const(0)), kbound(ki_const(b->p->panels)), 1));
}

static void start_sums(const KBlock *b) {
  Gemm *g = b->g;
  Kernel *k = g->lo.k;
  KIdx j = open_panels(b);
  KVal start[PANEL];
  for (int64_t v = 0; v < PANEL; v += k->lanes) {
    KIdx column = ki_addc(ki_mul(ki_add(b->p->panel, j), PANEL), v);
    start[v] = g->bias.id ? kb_load(k, g->bias, column, k->lanes, k->lanes, "bias") : kb_const(k, 0, DT_F32, k->lanes);
  }
  KIdx row = ki_var(kb_loop(k, "i", b->from, b->to, 1));
  KIdx to = sums_at(g, row, j);
  for (int64_t v = 0; v < PANEL; v += k->lanes) kb_store(k, g->scratch, ki_addc(to, v), start[v], k->lanes);
  kb_end(k);
  kb_end(k);
}

static void emit_block_tile(Lowering *lo, KIdx row, int rows, bool tail, void *ud) {
  const KBlock *b = ud;
  Gemm *g = b->g;
  int inner = lo->rank - 2;
  PanelGroup one = {ki_add(b->p->panel, b->j), 1, PANEL, b->p->prefetch_next};
  g->at[inner] = ki_addc(row, b->r->start);
  GemmTile t = gemm_begin(g, &one, rows, tail);
  t.k = &b->k;
  t.wide = ki_mul(b->j, g->k_block * PANEL);
  KIdx sums = sums_at(g, row, b->j);
  tile_open(&t.reg, lo->k, rows, 1, lo->src.at[g->xsrc].stride[inner], 0, sums_pitch(g));
  t.whole = t.run = tile_length(&t.reg, ki_const(g->k_block));
  tile_start_sums(&t.reg, g->scratch, sums);
  gemm_run(&t, b->k, ki_mul(b->k, g->xstride), g->k_block);
  tile_store(&t.reg, g->scratch, sums, PANEL);
  tile_close(&t.reg);
}

// The epilogue of all rows, from the sums; asks for what it will read some rows ahead.
static void finish_sums(const KBlock *b) {
  Gemm *g = b->g;
  Kernel *k = g->lo.k;
  int inner = g->lo.rank - 2;
  GemmTile t = {.g = g, .p = b->p};
  KIdx row = ki_var(kb_loop(k, "i", b->from, b->to, 1));
  g->at[inner] = ki_const(b->r->start);
  for (size_t i = 0; i < g->lo.src.n; i++)
    if (gemm_reads_rows(g, i)) gemm_prefetch_row(g, b->p, i, ki_addc(row, g->cost->rows_ahead));
  gemm_finish_row(&t, row, sums_at(g, row, ki_const(0)));
  kb_end(k);
}

void gemm_widen(Gemm *g, KIdx from, KIdx to, int64_t n) {
  Kernel *k = g->lo.k;
  KIdx i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(n)), PANEL));
  if (gemm_streams(g)) kb_prefetch(k, g->w, ki_addc(ki_add(from, i), gemm_line(g) * g->cost->lines_ahead), 1);
  for (int64_t v = 0; v < PANEL; v += k->lanes) {
    KVal x = kb_load(k, g->w, ki_addc(ki_add(from, i), v), k->lanes, k->lanes, NULL);
    kb_store(k, g->wide, ki_addc(ki_add(to, i), v), x, k->lanes);
  }
  kb_end(k);
}

// A block of the group's panels, widened: its steps of the first panel, then those of the next.
static void widen_block(const KBlock *b) {
  Gemm *g = b->g;
  Kernel *k = g->lo.k;
  if (!g->wide.id) return;
  KIdx j = open_panels(b), from = ki_add(ki_mul(ki_add(b->p->panel, j), g->k * PANEL), ki_mul(b->k, PANEL));
  gemm_widen(g, from, ki_mul(j, g->k_block * PANEL), g->k_block * PANEL);
  kb_end(k);
}

void gemm_blocks(Gemm *g, const PanelGroup *p, const Range *r) {
  Kernel *k = g->lo.k;
  KBlock b = {.g = g, .p = p, .r = r, .from = kbound(ki_const(0)), .to = kbound(r->len)};
  KIdx start = g->block_start;
  int64_t size = g->block;
  if (!size && r->bound > g->cost->block_rows) {
    size = ceil_div(ceil_div(r->bound, ceil_div(r->bound, g->cost->block_rows)), g->rows) * g->rows;
    start = ki_var(kb_loop(k, "rows", b.from, b.to, size));
  }
  if (size) b.from = kbound(start), b.to = kbound_cap(ki_addc(start, size), r->len);
  start_sums(&b);
  b.k = ki_var(kb_loop(k, "kb", kbound(ki_const(0)), kbound(ki_const(g->k)), g->k_block));
  widen_block(&b);
  b.j = open_panels(&b);
  lower_tiles(&g->lo, r, g->rows, size ? &start : NULL, size, emit_block_tile, &b);
  kb_end(k);
  kb_end(k);
  finish_sums(&b);
  if (size && !g->block) kb_end(k);
}
