// lower_gemm_tile.c: see lower_gemm.h.
#include "lower_gemm.h"

// `n` lines of `each` elements from element `at` on: written out when they are few.
static void emit_lines(Kernel *k, KBufRef buf, KIdx at, int64_t n, int64_t each, int level) {
  if (n <= 4) {
    for (int64_t i = 0; i < n; i++) kb_prefetch(k, buf, ki_addc(at, each * i), level);
    return;
  }
  KVar line = kb_loop(k, "line", kbound(ki_const(0)), kbound(ki_const(n)), 1);
  kb_prefetch(k, buf, ki_add(at, ki_mul(ki_var(line), each)), level);
  kb_end(k);
}

int64_t gemm_line(const Gemm *g) {
  return g->lo.t->cost->line / g->w_bytes;
}

// Tiles of one row are bound by memory: their prefetches stand in each step, a burst would wait for the line buffers.
static bool reads_once(const Gemm *g) {
  return g->rows == 1 && gemm_streams(g);
}

// Steps of a run that are done in blocks, with prefetches between them.
static int64_t whole_run(const Gemm *g) {
  if (g->k_block) return g->k_block;
  return gemm_streams(g) && !reads_once(g) ? g->kaxis[g->nk - 1].extent / g->cost->burst * g->cost->burst : 0;
}

static void emit_prefetch(const GemmTile *t, KIdx k, int steps) {
  const Gemm *g = t->g;
  if (!gemm_streams(g)) return;
  Kernel *kn = g->lo.k;
  int64_t per_panel = g->k * PANEL, line = gemm_line(g);
  if (t->tail || reads_once(g)) { // perhaps the only rows: ahead in the panels at hand
    if (g->wide.id) return;       // they were read to be widened
    KIdx here = ki_addc(ki_add(ki_mul(t->p->panel, per_panel), ki_mul(k, PANEL)), line * g->cost->lines_ahead);
    for (int j = 0; j < t->p->panels; j++)
      emit_lines(kn, g->w, ki_add(here, ki_mul(t->reg.ldb, j)), ceil_div(steps * PANEL, line), line, 1);
    return;
  }
  if (!t->p->prefetch_next) return;
  int64_t length = t->k ? g->k_block : g->k; // what follows: a group's panels, or one panel's block
  int inner = g->lo.rank - 2;
  bool both = g->windows && inner >= 1 && g->lo.axis[inner - 1].range[0].fixed; // rows of the image count too
  int64_t rows = inner >= 0 ? g->lo.axis[inner].extent * (both ? g->lo.axis[inner - 1].extent : 1) : 1,
          width = (int64_t)g->width * PANEL;
  int64_t per_k = least(ceil_div(width * t->rows, rows), width); // elements a step of k brings
  int64_t per_row = ceil_div(width * length, rows);
  KIdx at = ki_addc(ki_mul(t->p->panel, per_panel), g->width * per_panel);
  if (inner >= 0) at = ki_add(at, ki_mul(g->at[inner], per_row));
  if (both) at = ki_add(at, ki_mul(g->at[inner - 1], per_row * g->lo.axis[inner].extent));
  if (t->k) at = ki_add(at, ki_mul(*t->k, PANEL));
  at = ki_add(at, ki_mul(t->k ? ki_add(k, ki_mul(*t->k, -1)) : k, per_k));
  emit_lines(kn, g->w, at, ceil_div(per_k * steps, line), line, 2);
}

// Hints into the first-level cache a few steps ahead, for tiles that read several panels at once: the hardware's
// prefetchers follow such streams late.
static bool near_hints(const GemmTile *t) {
  return gemm_streams(t->g) && t->rows > 1 && t->p->panels > 1;
}

// One k: row k of the weights, and x at `from` behind the first row's start.
static void emit_k_step(GemmTile *t, KIdx k, KIdx from) {
  const Gemm *g = t->g;
  KIdx b = ki_add(ki_mul(t->p->panel, g->k * PANEL), ki_mul(k, PANEL));
  if (g->wide.id) b = ki_add(t->wide, ki_mul(t->k ? ki_add(k, ki_mul(*t->k, -1)) : k, PANEL));
  KBufRef w = g->wide.id ? g->wide : g->w;
  tile_step(&t->reg, g->lo.src.at[g->xsrc].buf, ki_add(t->x, from), w, b);
  if (!near_hints(t)) return;
  for (int j = 0; j < t->p->panels; j++)
    kb_prefetch(g->lo.k, w, ki_add(ki_addc(b, PANEL * g->cost->steps_ahead), ki_mul(t->reg.ldb, j)), 1);
}

// The k loop is not unrolled (gcc then spills accumulators of the
// 16-register tile); prefetches stand between blocks of k.
void gemm_run(GemmTile *t, KIdx k0, KIdx from, int64_t run) {
  const Gemm *g = t->g;
  Kernel *k = g->lo.k;
  int64_t burst = g->cost->burst, whole = whole_run(g); // blocks are there for the prefetches between them
  if (whole) {
    KIdx block = ki_var(kb_loop(k, "k0", kbound(ki_const(0)), kbound(t->whole), burst));
    emit_prefetch(t, ki_add(k0, block), (int)burst);
    KIdx i = ki_var(kb_loop(k, "k", kbound(block), kbound(ki_addc(block, burst)), 1));
    emit_k_step(t, ki_add(k0, i), ki_add(from, ki_mul(i, g->xstride)));
    kb_end(k);
    kb_end(k);
  }
  if (whole == run) return;
  bool single = reads_once(g);
  if (g->nk > 1 && !single) emit_prefetch(t, k0, (int)(run - whole));
  KIdx i = ki_var(kb_loop(k, "k", kbound(t->whole), kbound(t->run), 1));
  if (single) emit_prefetch(t, ki_add(k0, i), 1);
  emit_k_step(t, ki_add(k0, i), ki_add(from, ki_mul(i, g->xstride)));
  kb_end(k);
}

// Runs of k at hand: one, or one for each of the outer axes of a window. Their length and the part of it that is done
// in blocks are lets of the tile.
static void emit_product(GemmTile *t) {
  const Gemm *g = t->g;
  Kernel *k = g->lo.k;
  KIdx k0 = ki_const(0), from = ki_const(0);
  int64_t run = g->k;
  for (int i = 0; i + 1 < g->nk; i++) {
    KIdx v = ki_var(kb_loop(k, "y", kbound(ki_const(0)), kbound(ki_const(g->kaxis[i].extent)), 1));
    run /= g->kaxis[i].extent;
    k0 = ki_add(k0, ki_mul(v, run));
    from = ki_add(from, ki_mul(v, g->kaxis[i].stride));
  }
  gemm_run(t, k0, from, run);
  for (int i = 0; i + 1 < g->nk; i++) kb_end(k);
}

static Point tile_point(const Gemm *g, KIdx row, KIdx column, uint32_t lanes, int64_t n) {
  Point p = {.lanes = lanes, .n = n};
  for (int d = 0; d + 1 < g->lo.rank; d++) p.at[d] = g->at[d];
  if (g->lo.rank >= 2) p.at[g->lo.rank - 2] = row;
  p.at[g->lo.rank - 1] = column;
  return p;
}

static KIdx tile_row(const Gemm *g) {
  return g->lo.rank >= 2 ? g->at[g->lo.rank - 2] : ki_const(0);
}

typedef struct Epilogue {
  const GemmTile *t;
  KIdx r;    // row within the tile
  KIdx from; // of the row in scratch
} Epilogue;

static void emit_epilogue_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const Epilogue *e = ud;
  const Gemm *g = e->t->g;
  Point p = tile_point(g, ki_add(tile_row(g), e->r), ki_add(ki_mul(e->t->p->panel, PANEL), c), lanes, n);
  p.leaf = lo->grp->anchor;
  p.leaf_value = kb_load(lo->k, g->scratch, ki_add(e->from, c), lanes, lanes, NULL);
  lower_store(lo, &p, lower_element(lo, &p, lo->grp->root));
}

void gemm_finish_row(const GemmTile *t, KIdx r, KIdx from) {
  Epilogue e = {t, r, from};
  Lowering *lo = &t->g->lo;
  Range columns = {0, ki_const(t->p->columns), t->p->columns, true};
  lower_columns(lo, &columns, lower_vectors(lo), 1, NULL, 0, emit_epilogue_vector, &e);
}

static void emit_epilogue(const GemmTile *t) {
  Gemm *g = t->g;
  Kernel *k = g->lo.k;
  int64_t pitch = (int64_t)g->width * PANEL;
  KIdx row = ki_const(0);
  kb_region(k, arena_printf(k->arena, "epilogue%s%s", t->rows > 1 ? "" : "_row", lower_members(&g->lo)),
            "what is done to the sums of a tile's rows");
  if (t->rows > 1) {
    KIdx rows = ki_var(kb_let(k, ki_const(t->rows), "rows"));
    row = ki_var(kb_loop(k, "i", kbound(row), kbound(rows), 1));
  }
  gemm_finish_row(t, row, ki_mul(row, pitch));
  if (t->rows > 1) kb_end(k);
  kb_end(k);
}

bool gemm_reads_rows(const Gemm *g, size_t source) {
  const Source *s = &g->lo.src.at[source];
  int column = g->lo.rank - 1;
  return source != g->xsrc && !s->constant && column > 0 && s->stride[column] == 1 && s->stride[column - 1];
}

void gemm_prefetch_row(const Gemm *g, const PanelGroup *p, size_t source, KIdx row) {
  const Source *s = &g->lo.src.at[source];
  Point at = tile_point(g, ki_add(tile_row(g), row), ki_mul(p->panel, PANEL), 1, 1);
  emit_lines(g->lo.k, s->buf, lower_address(&g->lo, s, &at), p->panels, PANEL, 1);
}

// Lines that the epilogue will read, asked for before the product.
static void prefetch_operands(const GemmTile *t) {
  const Gemm *g = t->g;
  for (size_t i = 0; i < g->lo.src.n; i++) {
    if (!gemm_reads_rows(g, i)) continue;
    KIdx row = ki_const(0);
    if (t->rows > 1) row = ki_var(kb_loop(g->lo.k, "i", kbound(row), kbound(ki_const(t->rows)), 1));
    gemm_prefetch_row(g, t->p, i, row);
    if (t->rows > 1) kb_end(g->lo.k);
  }
}

GemmTile gemm_begin(Gemm *g, const PanelGroup *p, int rows, bool tail) {
  GemmTile t = {.g = g, .p = p, .rows = rows, .tail = tail};
  for (int d = 0; d + 1 < g->lo.rank; d++) t.x = ki_add(t.x, ki_mul(g->at[d], g->lo.src.at[g->xsrc].stride[d]));
  return t;
}

void gemm_tile(Gemm *g, const PanelGroup *p, int rows, bool tail) {
  GemmTile t = gemm_begin(g, p, rows, tail);
  Lowering *lo = &g->lo;
  const Source *x = &lo->src.at[g->xsrc];
  int inner = lo->rank - 2; // axis of the tile's rows
  if (g->through_scratch && gemm_streams(g)) prefetch_operands(&t);
  int64_t pitch = (int64_t)g->width * PANEL, ldy = g->through_scratch ? pitch : inner >= 0 ? lo->root.stride[inner] : 0;
  tile_open(&t.reg, lo->k, rows, p->panels, inner >= 0 ? x->stride[inner] : 0, g->k * PANEL, ldy);
  int64_t run = g->kaxis[g->nk - 1].extent, whole = whole_run(g);
  t.whole = whole ? tile_length(&t.reg, ki_const(whole)) : ki_const(0);
  t.run = whole < run ? tile_length(&t.reg, ki_const(run)) : t.whole;
  if (g->bias.id)
    tile_start_bias(&t.reg, g->bias, ki_mul(p->panel, PANEL));
  else
    tile_start_zero(&t.reg);
  emit_product(&t);
  Point corner = tile_point(g, tile_row(g), ki_mul(p->panel, PANEL), lo->k->lanes, lo->k->lanes);
  KIdx to = g->through_scratch ? ki_const(0) : lower_address(lo, &lo->root, &corner);
  tile_store(&t.reg, g->through_scratch ? g->scratch : lo->root.buf, to, g->through_scratch ? pitch : p->columns);
  tile_close(&t.reg);
  if (g->through_scratch) emit_epilogue(&t);
}
