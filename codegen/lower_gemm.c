// lower_gemm.c: groups around a matrix product with a packed weight:  y[.., n] = epilogue(bias[n] + sum_k x[.., k] w[n,
// k]).
//
// The weight lies in panels of 16 columns, [N/16][K][16], the same for all targets. A register tile is `rows` x
// `panels`; its accumulators are named registers that start at the bias and run over all of K in ascending order, so an
// element's bits do not depend on the tile that computes it, on the row tail or on the number of threads. Loops,
// outside in:
//   par over the entries of a batch; over chunks of panel groups (and over blocks of rows where there are few panels)
//     panel group: its panels stay in the second-level cache
//       row axes, row tiles: exact row counts, see lower_tiles
//         k, in blocks with prefetches between them; then the epilogue on the tile through L1 scratch
// Weights stream from memory once a call: while the row tiles of a panel group run, each prefetches its share of the
// next group's lines. The last group (fewer panels, or a last panel that is not full) is a separate instance, which
// runs in the last task only.
//
// Where the target says so (Target.k_block), products of many rows and a long k go by blocks of k, so that what a tile
// reads again stays close: a block of a panel in the first-level cache, the rows' block in the second:
//     panel group; row axes, blocks of rows
//       sums = bias
//       blocks of k;  panels of the group;  row tiles:  sums += the block's products
//       epilogue, from the sums
// The sums of rows and group lie in scratch, side by side; in y each row would be a page of its own. They are f32 in
// registers and in memory, and are added to in the same order, so blocks show in no bit.
//
// A weight that is kept narrow is widened once a panel group, into scratch that then is what f32 panels are: whatever
// the type, the tiles are the same and so are the bits for equal weights. Tiles of one row, which read each panel once,
// widen what they load.
//
// Where x are patches or windows of an image (convolution), x is the image: k runs over the axes of a window in a nest
// of loops, and the broadcast loads read each element where it lies. Nothing is copied, and the order over k is that of
// the weight's columns.
//
// Products of two computed tensors are built by lower_matmul.c.
#include "lower_matmul.h"
#include "lower_tile.h"

#include <math.h>
#include <string.h>

// WIDE: most elements of a widened panel group, which has to stay in the second-level cache.
enum { WIDE = 1 << 19, LINE = 64 };
// Blocks: fewest rows that are worth them, most at a time, most bytes of sums, and of what a group's panels and sums
// take of the second-level cache.
enum { LEAST_ROWS = 24, MOST_ROWS = 198, MOST_SUMS = 1 << 21, GROUP_BYTES = 3 << 16, MOST_PANELS = 8 };
enum { K_BLOCK = 32, STREAMING = 65536, FEW_ROWS = 64, SINGLE_ROWS = 2, AHEAD = 48, NEAR = 4, ROWS_AHEAD = 6 };

typedef struct Gemm {
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
  bool through_scratch; // there is an epilogue
  KBufRef scratch;      // the sums of a tile, or those of all rows and a group
  KIdx at[LOWER_AXES];  // row indices of the current tile
} Gemm;

typedef struct Group16 { // one panel group
  KIdx panel;            // its first panel
  int panels;
  int64_t columns; // active columns
  bool prefetch_next;
} Group16;

static int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* choosing tiles and tasks ---------------------------------------------------------------------------- */
static int64_t row_bound(const Gemm *g) {
  int64_t m = 1;
  for (int d = 0; d + 1 < g->lo.rank; d++) m *= g->lo.axis[d].extent;
  return m;
}

// Rows when the outermost run-time axis (the batch) is at its least: what one request of one picture computes.
static int64_t row_least(const Gemm *g) {
  int64_t m = 1;
  for (int d = 0; d + 1 < g->lo.rank; d++) {
    const Range *r = &g->lo.axis[d].range[0];
    int64_t lo = ki_min(g->lo.k, &r->len);
    m *= d == 0 && g->lo.axis[d].n == 1 ? (lo > 0 ? lo : 1) : g->lo.axis[d].extent;
  }
  return m;
}

// The tile with the least work lost on left-over panels; very few rows get a wide tile, so that many loads are in
// flight.
static void choose_tile(Gemm *g) {
  const Target *t = g->lo.t;
  int per_panel = PANEL / (int)t->lanes, budget = (int)t->vregs * 3 / 4;
  int64_t rows = row_bound(g);
  // A batch of single rows is bound by memory, and a small part of the work for any batch.
  if (rows <= FEW_ROWS && row_least(g) <= SINGLE_ROWS) {
    rows = 1;
    int64_t wide = budget / (rows * per_panel);
    g->rows = (int)rows;
    g->width = (int)least(least(wide < 1 ? 1 : wide, 4), g->panels);
    return;
  }
  const Costs *c = t->cost;
  double best = 1e30;
  for (size_t i = 0; i < sizeof t->tile / sizeof *t->tile && t->tile[i].rows; i++) {
    int64_t left = g->panels % t->tile[i].panels;
    double cost = ((double)g->panels + (left ? c->left_over : 0)) * (1 + c->later_tile * (double)i);
    if (t->tile[i].panels > g->panels) cost *= c->narrow;
    if (cost >= best) continue;
    best = cost;
    g->rows = t->tile[i].rows;
    g->width = (int)least(t->tile[i].panels, g->panels);
  }
}

// Tasks worth having.
static int64_t wanted_tasks(const Gemm *g) {
  double m = (double)row_least(g), kn = (double)g->k * (double)g->n;
  const Costs *c = g->lo.t->cost;
  double by_flops = 2 * m * kn / c->flops_per_us, by_bytes = (double)g->w_bytes * kn / c->bytes_per_us,
         us = by_flops > by_bytes ? by_flops : by_bytes;
  double tasks = us / c->task_us;
  return tasks < 1 ? 1 : least((int64_t)tasks, c->most_tasks);
}

// Of the axis that tiles run over: greatest number of rows of a range.
static int64_t most_rows(const Gemm *g) {
  int64_t most = 0;
  const Axis *a = &g->lo.axis[g->lo.rank - 2];
  for (int i = 0; i < a->n; i++) most = a->range[i].bound > most ? a->range[i].bound : most;
  return most;
}

// Steps of k in a block: a divisor of k, near what the target wants; 0: there is none.
static int64_t block_steps(const Gemm *g) {
  int64_t want = g->lo.t->k_block / K_BLOCK, all = g->k / K_BLOCK;
  if (g->k % K_BLOCK) return 0;
  for (int64_t n = want; 2 * n >= want; n--)
    if (all % n == 0) return n * K_BLOCK;
  for (int64_t n = want + 1; 2 * n <= 3 * want; n++)
    if (all % n == 0) return n * K_BLOCK;
  return 0;
}

// Panels that share the rows' block of x while it is in the second-level cache; few enough for all tasks to have some.
static int group_panels(const Gemm *g, int64_t rows) {
  int64_t held = rows < MOST_ROWS ? rows : MOST_ROWS, bytes = LINE * (held + g->k_block);
  int64_t most = least(least(GROUP_BYTES / bytes, MOST_PANELS), g->panels / wanted_tasks(g));
  most = least(most, MOST_SUMS / (LINE * rows));
  for (int64_t n = most; 2 * n > most; n--)
    if (g->panels % n == 0) return (int)n;
  return most < 1 ? 1 : (int)most;
}

static void choose_blocks(Gemm *g) {
  g->group = g->width;
  if (!g->lo.t->k_block || g->k <= g->lo.t->k_block || g->width != 1 || g->rows == 1) return;
  if (g->windows || g->lo.rank < 2 || g->k * g->n <= STREAMING) return;
  int64_t rows = most_rows(g);
  if (rows < LEAST_ROWS || LINE * rows > MOST_SUMS) return;
  g->k_block = block_steps(g);
  if (!g->k_block) return;
  g->through_scratch = true;
  g->group = group_panels(g, rows);
}

/* one register tile ----------------------------------------------------------------------------------- */
typedef struct Tile {
  Gemm *g;
  const Group16 *p;
  int rows;
  bool tail;       // of a run-time number of rows
  KIdx x;          // address of x at k = 0 of the first row
  KIdx whole, run; // products of a run that are done in blocks, and all of them
  const KIdx *k;   // of the block at hand, NULL: k is not divided
  KIdx wide;       // the panel's place in `wide`
  RegTile reg;
} Tile;

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

static int64_t line_of(const Gemm *g) { // elements of w in a line
  return LINE / g->w_bytes;
}

// Small weights are in the second-level cache when they are read again: hints would only cost.
static bool weights_stream(const Gemm *g) {
  return g->k * g->n > STREAMING;
}

// Tiles of one row are bound by memory: their prefetches stand in each step, a burst would wait for the line buffers.
static bool reads_once(const Gemm *g) {
  return g->rows == 1 && weights_stream(g);
}

// Steps of a run that are done in blocks, with prefetches between them.
static int64_t whole_run(const Gemm *g) {
  if (g->k_block) return g->k_block;
  return weights_stream(g) && !reads_once(g) ? g->kaxis[g->nk - 1].extent / K_BLOCK * K_BLOCK : 0;
}

static void emit_prefetch(const Tile *t, KIdx k, int steps) {
  const Gemm *g = t->g;
  if (!weights_stream(g)) return;
  Kernel *kn = g->lo.k;
  int64_t per_panel = g->k * PANEL, line = line_of(g);
  if (t->tail || reads_once(g)) { // perhaps the only rows: ahead in the panels at hand
    if (g->wide.id) return;       // they were read to be widened
    KIdx here = ki_addc(ki_add(ki_mul(t->p->panel, per_panel), ki_mul(k, PANEL)), line * AHEAD);
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
static bool near_hints(const Tile *t) {
  return weights_stream(t->g) && t->rows > 1 && t->p->panels > 1;
}

// One k: row k of the weights, and x at `from` behind the first row's start.
static void emit_k_step(Tile *t, KIdx k, KIdx from) {
  const Gemm *g = t->g;
  KIdx b = ki_add(ki_mul(t->p->panel, g->k * PANEL), ki_mul(k, PANEL));
  if (g->wide.id) b = ki_add(t->wide, ki_mul(t->k ? ki_add(k, ki_mul(*t->k, -1)) : k, PANEL));
  KBufRef w = g->wide.id ? g->wide : g->w;
  tile_step(&t->reg, g->lo.src.at[g->xsrc].buf, ki_add(t->x, from), w, b);
  if (!near_hints(t)) return;
  for (int j = 0; j < t->p->panels; j++)
    kb_prefetch(g->lo.k, w, ki_add(ki_addc(b, PANEL * NEAR), ki_mul(t->reg.ldb, j)), 1);
}

// `run` steps of k from k0 on, x from `from` on. The k loop is not unrolled (gcc then spills accumulators of the
// 16-register tile); prefetches stand between blocks of k.
static void emit_run(Tile *t, KIdx k0, KIdx from, int64_t run) {
  const Gemm *g = t->g;
  Kernel *k = g->lo.k;
  int64_t whole = whole_run(g); // blocks are there for the prefetches between them
  if (whole) {
    KIdx block = ki_var(kb_loop(k, "k0", kbound(ki_const(0)), kbound(t->whole), K_BLOCK));
    emit_prefetch(t, ki_add(k0, block), K_BLOCK);
    KIdx i = ki_var(kb_loop(k, "k", kbound(block), kbound(ki_addc(block, K_BLOCK)), 1));
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
static void emit_product(Tile *t) {
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
  emit_run(t, k0, from, run);
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
  const Tile *t;
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

static void emit_epilogue(const Tile *t) {
  Gemm *g = t->g;
  Kernel *k = g->lo.k;
  int64_t pitch = (int64_t)g->width * PANEL;
  Epilogue e = {.t = t, .r = ki_const(0)};
  kb_region(k, arena_printf(k->arena, "epilogue%s%s", t->rows > 1 ? "" : "_row", lower_members(&g->lo)),
            "what is done to the sums of a tile's rows");
  if (t->rows > 1) {
    KIdx rows = ki_var(kb_let(k, ki_const(t->rows), "rows"));
    e.r = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(rows), 1));
  }
  e.from = ki_mul(e.r, pitch);
  Range columns = {0, ki_const(t->p->columns), t->p->columns, true};
  lower_columns(&g->lo, &columns, lower_vectors(&g->lo), 1, NULL, 0, emit_epilogue_vector, &e);
  if (t->rows > 1) kb_end(k);
  kb_end(k);
}

// Does the epilogue read a row of it for each row of the product?
static bool read_by_rows(const Gemm *g, size_t source) {
  const Source *s = &g->lo.src.at[source];
  int column = g->lo.rank - 1;
  return source != g->xsrc && !s->constant && column > 0 && s->stride[column] == 1 && s->stride[column - 1];
}

// Asks for the lines that the epilogue of a row reads of a source. Row: within what g->at says.
static void prefetch_row(const Gemm *g, const Group16 *p, size_t source, KIdx row) {
  const Source *s = &g->lo.src.at[source];
  Point at = tile_point(g, ki_add(tile_row(g), row), ki_mul(p->panel, PANEL), 1, 1);
  emit_lines(g->lo.k, s->buf, lower_address(&g->lo, s, &at), p->panels, PANEL, 1);
}

// Lines that the epilogue will read, asked for before the product.
static void prefetch_operands(const Tile *t) {
  const Gemm *g = t->g;
  for (size_t i = 0; i < g->lo.src.n; i++) {
    if (!read_by_rows(g, i)) continue;
    KIdx row = ki_const(0);
    if (t->rows > 1) row = ki_var(kb_loop(g->lo.k, "i", kbound(row), kbound(ki_const(t->rows)), 1));
    prefetch_row(g, t->p, i, row);
    if (t->rows > 1) kb_end(g->lo.k);
  }
}

static Tile begin_tile(Gemm *g, const Group16 *p, int rows, bool tail) {
  Tile t = {.g = g, .p = p, .rows = rows, .tail = tail};
  for (int d = 0; d + 1 < g->lo.rank; d++) t.x = ki_add(t.x, ki_mul(g->at[d], g->lo.src.at[g->xsrc].stride[d]));
  return t;
}

static void emit_tile(Gemm *g, const Group16 *p, int rows, bool tail) {
  Tile t = begin_tile(g, p, rows, tail);
  Lowering *lo = &g->lo;
  const Source *x = &lo->src.at[g->xsrc];
  int inner = lo->rank - 2; // axis of the tile's rows
  if (g->through_scratch && weights_stream(g)) prefetch_operands(&t);
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

/* blocks of k ----------------------------------------------------------------------------------------- */
typedef struct Block { // of the rows of a range
  Gemm *g;
  const Group16 *p;
  const Range *r;
  KBound from, to; // its rows
  KIdx k, j;       // its first step; panel of the group
} Block;

static int64_t sums_pitch(const Gemm *g) { // from row to row
  return (int64_t)g->group * PANEL;
}

// Of a row of the range and a panel of the group.
static KIdx sums_at(const Gemm *g, KIdx row, KIdx j) {
  return ki_add(ki_mul(row, sums_pitch(g)), ki_mul(j, PANEL));
}

static KIdx open_panels(const Block *b) {
  return ki_var(kb_loop(b->g->lo.k, "j", kbound(ki_const(0)), kbound(ki_const(b->p->panels)), 1));
}

static void start_sums(const Block *b) {
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
  const Block *b = ud;
  Gemm *g = b->g;
  int inner = lo->rank - 2;
  Group16 one = {ki_add(b->p->panel, b->j), 1, PANEL, b->p->prefetch_next};
  g->at[inner] = ki_addc(row, b->r->start);
  Tile t = begin_tile(g, &one, rows, tail);
  t.k = &b->k;
  t.wide = ki_mul(b->j, g->k_block * PANEL);
  KIdx sums = sums_at(g, row, b->j);
  tile_open(&t.reg, lo->k, rows, 1, lo->src.at[g->xsrc].stride[inner], 0, sums_pitch(g));
  t.whole = t.run = tile_length(&t.reg, ki_const(g->k_block));
  tile_start_sums(&t.reg, g->scratch, sums);
  emit_run(&t, b->k, ki_mul(b->k, g->xstride), g->k_block);
  tile_store(&t.reg, g->scratch, sums, PANEL);
  tile_close(&t.reg);
}

// The epilogue of all rows, from the sums; asks for what it will read some rows ahead.
static void finish_sums(const Block *b) {
  Gemm *g = b->g;
  Kernel *k = g->lo.k;
  int inner = g->lo.rank - 2;
  Tile t = {.g = g, .p = b->p};
  Epilogue e = {.t = &t, .r = ki_var(kb_loop(k, "i", b->from, b->to, 1))};
  e.from = sums_at(g, e.r, ki_const(0));
  g->at[inner] = ki_const(b->r->start);
  for (size_t i = 0; i < g->lo.src.n; i++)
    if (read_by_rows(g, i)) prefetch_row(g, b->p, i, ki_addc(e.r, ROWS_AHEAD));
  Range columns = {0, ki_const(b->p->columns), b->p->columns, true};
  lower_columns(&g->lo, &columns, lower_vectors(&g->lo), 1, NULL, 0, emit_epilogue_vector, &e);
  kb_end(k);
}

// n elements of w, which lie one behind the other, into scratch.
static void widen(Gemm *g, KIdx from, KIdx to, int64_t n) {
  Kernel *k = g->lo.k;
  KIdx i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(n)), PANEL));
  if (weights_stream(g)) kb_prefetch(k, g->w, ki_addc(ki_add(from, i), line_of(g) * AHEAD), 1);
  for (int64_t v = 0; v < PANEL; v += k->lanes) {
    KVal x = kb_load(k, g->w, ki_addc(ki_add(from, i), v), k->lanes, k->lanes, NULL);
    kb_store(k, g->wide, ki_addc(ki_add(to, i), v), x, k->lanes);
  }
  kb_end(k);
}

// A block of the group's panels, widened: its steps of the first panel, then those of the next.
static void widen_block(const Block *b) {
  Gemm *g = b->g;
  Kernel *k = g->lo.k;
  if (!g->wide.id) return;
  KIdx j = open_panels(b), from = ki_add(ki_mul(ki_add(b->p->panel, j), g->k * PANEL), ki_mul(b->k, PANEL));
  widen(g, from, ki_mul(j, g->k_block * PANEL), g->k_block * PANEL);
  kb_end(k);
}

static void emit_blocks(Gemm *g, const Group16 *p, const Range *r) {
  Kernel *k = g->lo.k;
  Block b = {.g = g, .p = p, .r = r, .from = kbound(ki_const(0)), .to = kbound(r->len)};
  KIdx start = g->block_start;
  int64_t size = g->block;
  if (!size && r->bound > MOST_ROWS) {
    size = ceil_div(ceil_div(r->bound, ceil_div(r->bound, MOST_ROWS)), g->rows) * g->rows;
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

/* rows ------------------------------------------------------------------------------------------------ */
typedef struct RowRange {
  Gemm *g;
  const Group16 *p;
  int64_t start;
} RowRange;

static void emit_row_tile(Lowering *lo, KIdx row, int rows, bool tail, void *ud) {
  const RowRange *rr = ud;
  rr->g->at[lo->rank - 2] = ki_addc(row, rr->start);
  emit_tile(rr->g, rr->p, rows, tail);
}

static void emit_row_axes(Gemm *g, const Group16 *p, int d) {
  Lowering *lo = &g->lo;
  if (lo->rank == 1) {
    emit_tile(g, p, 1, false);
    return;
  }
  const Axis *a = &lo->axis[d];
  for (int i = 0; i < a->n; i++) {
    if (d == lo->rank - 2 && g->k_block) {
      emit_blocks(g, p, &a->range[i]);
      continue;
    }
    if (d == lo->rank - 2) {
      RowRange rr = {g, p, a->range[i].start};
      lower_tiles(&g->lo, &a->range[i], g->rows, g->block ? &g->block_start : NULL, g->block, emit_row_tile, &rr);
      continue;
    }
    bool divided = g->outer_block && d == lo->rank - 3, batch = g->by_batch && d == 0;
    KIdx from = divided ? g->outer_start : batch ? g->batch_start : ki_const(0);
    KBound to = kbound(a->range[i].len);
    if (divided) to = kbound_cap(ki_addc(from, g->outer_block), a->range[i].len);
    if (batch) to = kbound_cap(ki_addc(from, g->batch), a->range[i].len);
    KVar v = kb_loop(lo->k, "m", kbound(from), to, 1);
    g->at[d] = ki_addc(ki_var(v), a->range[i].start);
    emit_row_axes(g, p, d + 1);
    kb_end(lo->k);
  }
}

static void emit_group(Gemm *g, const Group16 *p) {
  if (g->wide.id && !g->k_block) widen(g, ki_mul(p->panel, g->k * PANEL), ki_const(0), g->k * PANEL * p->panels);
  emit_row_axes(g, p, 0);
}

/* panel groups and tasks ------------------------------------------------------------------------------ */
// The entries of a batch are tasks of their own, in front of the panels: a worker does all panels of an entry before
// the next one, while its rows are in the second-level cache.
static void open_batch(Gemm *g) {
  Lowering *lo = &g->lo;
  const Axis *a = &lo->axis[0];
  if (lo->rank < 3 || g->windows || a->n != 1 || a->range[0].fixed || most_rows(g) < LEAST_ROWS) return;
  double us = 2 * (double)row_least(g) * (double)g->k * (double)g->n / lo->t->cost->flops_per_us;
  g->by_batch = true;
  g->batch = us >= lo->t->cost->task_us ? 1 : (int64_t)ceil(lo->t->cost->task_us / us);
  g->batch_start = ki_var(kb_par(lo->k, "b", kbound(ki_const(0)), kbound(a->range[0].len), g->batch));
}

static void emit_tasks(Gemm *g) {
  Lowering *lo = &g->lo;
  Kernel *k = lo->k;
  int64_t groups = ceil_div(g->panels, g->group), want = wanted_tasks(g), left = g->panels - g->main_panels;
  int64_t chunk = ceil_div(groups, want) * g->group, columns = ceil_div(g->panels, chunk);
  int inner = lo->rank - 2, pars = 0;
  KIdx first = ki_const(0);
  open_batch(g);
  pars += g->by_batch;
  if (columns > 1) {
    first = ki_var(kb_par(k, "p", kbound(ki_const(0)), kbound(ki_const(g->panels)), chunk));
    pars++;
  }
  if (inner >= 0 && !g->windows && columns * 2 <= want && lo->axis[inner].extent > 2 * g->rows) {
    int64_t most = 0;
    for (int i = 0; i < lo->axis[inner].n; i++)
      if (lo->axis[inner].range[i].bound > most) most = lo->axis[inner].range[i].bound;
    g->block = ceil_div(ceil_div(most, ceil_div(want, columns)), g->rows) * g->rows;
    g->block_start = ki_var(kb_par(k, "t", kbound(ki_const(0)), kbound(ki_const(most)), g->block));
    pars++;
  }
  if (g->windows && inner >= 1 && !g->block && columns * 2 <= want && lo->axis[inner - 1].range[0].fixed) {
    int64_t rows = lo->axis[inner - 1].extent;
    g->outer_block = ceil_div(rows, ceil_div(want, columns));
    g->outer_start = ki_var(kb_par(k, "t", kbound(ki_const(0)), kbound(ki_const(rows)), g->outer_block));
    pars++;
  }
  if (g->main_panels) {
    Group16 p = {
        .panels = g->group, .columns = (int64_t)g->group * PANEL, .prefetch_next = !g->block && !g->outer_block};
    KVar v = kb_loop(k, "q", kbound(first), kbound_cap(ki_addc(first, chunk), ki_const(g->main_panels)), g->group);
    p.panel = ki_var(v);
    emit_group(g, &p);
    kb_end(k);
  }
  if (left) { // in the last task
    Group16 p = {.panel = ki_const(g->main_panels), .panels = (int)left, .columns = g->n - g->main_panels * PANEL};
    bool guard = columns > 1;
    if (guard) kb_loop(k, "last", kbound(p.panel), kbound_cap(ki_addc(first, chunk), ki_const(g->panels)), left);
    emit_group(g, &p);
    if (guard) kb_end(k);
  }
  while (pars--) kb_end(k);
}

static const char *gemm_name(const Gemm *g) {
  return arena_printf(g->lo.arena, "gemm_k%lld_n%lld%s%s", (long long)g->k, (long long)g->n, g->bias.id ? "_bias" : "",
                      lower_members(&g->lo));
}

static bool finish(Gemm *g) {
  Lowering *lo = &g->lo;
  double m = (double)row_least(g), kn = (double)g->k * (double)g->n, tasks = 1;
  int64_t dims[MAX_DIMS];
  for (int d = 0; d < MAX_DIMS; d++) dims[d] = 1;
  for (size_t d = 0; d < lo->m->ndim; d++) dims[d] = lo->m->dim[d].hi;
  tasks = (double)kernel_tasks(lo->k, dims);
  Buf b = {0};
  buf_puts(&b, "product ");
  type_print(&b, lo->m, &graph_value(lo->g, g->anchor->args[0])->type);
  buf_printf(&b, " x [%lld,%lld], tile %d x %d", (long long)g->n, (long long)g->k, g->rows, g->width * PANEL);
  if (g->k_block) buf_printf(&b, ", k by %lld", (long long)g->k_block);
  const char *comment = arena_strdup(lo->arena, b.s);
  buf_free(&b);
  return lower_finish(lo, 2 * m * kn / tasks, ((double)g->w_bytes * kn + 4 * m * (double)(g->k + g->n)) / tasks,
                      gemm_name(g), comment);
}

static void add_k_axis(Gemm *g, int64_t extent, int64_t stride) {
  int last = g->nk - 1;
  if (extent == 1) return;
  if (last >= 0 && g->kaxis[last].stride == extent * stride) { // one run
    g->kaxis[last].extent *= extent;
    g->kaxis[last].stride = stride;
    return;
  }
  g->kaxis[g->nk].extent = extent;
  g->kaxis[g->nk++].stride = stride;
}

// Patches and windows: x is the image itself. The rows of patches are divided into rows and columns of the grid.
static void place_windows(Gemm *g, Val windows, const int64_t *stride) {
  Lowering *lo = &g->lo;
  const Value *w = graph_value(lo->g, windows);
  const Type *image = &graph_value(lo->g, w->args[0])->type;
  Source *x = &lo->src.at[g->xsrc];
  bool batched = type_extent(lo->m, image, 0) != 1;
  if (w->op == OP_patchify) {
    int64_t p = value_int(w, A_patch, 1);
    lower_split(lo, 1, type_extent(lo->m, image, 3) / p);
    int64_t rows[] = {batched ? stride[0] : 0, p * stride[2], p * stride[3]};
    for (int d = 0; d < 3; d++) x->stride[d] = rows[d];
    add_k_axis(g, type_extent(lo->m, image, 1), stride[1]);
    add_k_axis(g, p, stride[2]);
    add_k_axis(g, p, stride[3]);
  } else {
    const int64_t *kernel = value_attr(w, A_kernel)->v, *step = value_attr(w, A_stride)->v;
    int64_t rows[] = {batched ? stride[0] : 0, step[0] * stride[1], step[1] * stride[2]};
    for (int d = 0; d < 3; d++) x->stride[d] = rows[d];
    add_k_axis(g, kernel[0], stride[1]);
    add_k_axis(g, kernel[1], stride[2]);
    add_k_axis(g, type_extent(lo->m, image, 3), stride[3]);
  }
  if (!g->nk) g->kaxis[0].extent = 1, g->kaxis[0].stride = 1, g->nk = 1; // windows of one element
  g->xstride = g->kaxis[g->nk - 1].stride;
}

// x as a source: its rows run over the domain's rows, its columns over k.
SY_MUST_USE static bool add_x(Gemm *g, int64_t stride[MAX_RANK]) {
  Lowering *lo = &g->lo;
  Source s;
  Val v = g->anchor->args[0];
  g->windows = lower_is_member(lo, v);
  if (g->windows) {
    if (!lower_stored(lo, graph_value(lo->g, v)->args[0], "x", &s, stride)) return false;
    s.data = lo->grp->anchor; // not to be taken for an operand of the epilogue
    g->xsrc = lo->src.n;
    VEC_PUSH(lo->arena, lo->src, s);
    return true;
  }
  if (!lower_stored(lo, g->anchor->args[0], "x", &s, stride)) return false;
  const Type *t = &graph_value(lo->g, s.val)->type;
  for (int d = 0; d + 1 < t->rank; d++)
    if (type_extent(lo->m, t, d) != 1) s.stride[d] = stride[d];
  g->xstride = stride[t->rank - 1];
  g->kaxis[0].extent = g->k;
  g->kaxis[0].stride = g->xstride;
  g->nk = 1;
  s.data = lo->grp->anchor; // not to be taken for an operand of the epilogue
  g->xsrc = lo->src.n;
  VEC_PUSH(lo->arena, lo->src, s);
  return true;
}

bool lower_gemm(Arena *a, const Graph *g, const Group *grp, const Target *t, Lowered *out) {
  const Value *v = graph_value(g, grp->anchor);
  if (v->op == OP_outer) return lower_outer(a, g, grp, t, out);
  PanelProduct panels;
  if (!product_panels(g, grp->anchor, &panels)) return lower_matmul(a, g, grp, t, out);

  Gemm gm = {.lo = lower_begin(a, g, grp, t, out, "gemm"), .anchor = v};
  Lowering *lo = &gm.lo;
  lower_domain(lo, &v->type);
  gm.n = v->type.dim[v->type.rank - 1].c;
  gm.k = type_extent(lo->m, &graph_value(g, v->args[1])->type, product_form(v).trans ? 0 : 1);
  gm.panels = ceil_div(gm.n, PANEL);
  int64_t stride[MAX_RANK];
  if (!add_x(&gm, stride)) return false;
  if (!lower_packed(lo, &panels.w, "w", gm.panels * PANEL * gm.k, &gm.w)) return false;
  if (v->nargs == 3 && !lower_packed(lo, &panels.bias, "bias", gm.panels * PANEL, &gm.bias)) return false;
  if (!lower_sources(lo) || !lower_root(lo)) return false;
  if (gm.windows) place_windows(&gm, v->args[0], stride);
  lower_collapse(lo, lo->rank - 1, 4 * (int64_t)t->tile[0].rows);
  if (lo->rank > 4) return lower_fail(lo, grp->anchor, "its rows lie on more than three separate axes");
  gm.w_bytes = (int64_t)dtype_info[lo->k->buf.at[gm.w.id].dtype].bytes;
  choose_tile(&gm);
  gm.through_scratch = grp->member.n > (gm.windows ? 2u : 1u);
  choose_blocks(&gm);
  int64_t left = gm.panels % gm.group;
  if (!left && gm.n % PANEL) left = gm.group;
  gm.main_panels = gm.panels - left;
  int64_t sums = gm.k_block ? most_rows(&gm) * gm.group : (int64_t)gm.rows * gm.width;
  if (gm.through_scratch) gm.scratch = kb_buf(lo->k, gm.k_block ? "sums" : "tile", DT_F32, KB_SCRATCH, sums * PANEL);
  int64_t group = (gm.k_block ? gm.k_block : gm.k) * gm.group * PANEL;
  if (dtype_is_narrow(lo->k->buf.at[gm.w.id].dtype) && gm.rows > 1 && group <= WIDE)
    gm.wide = kb_buf(lo->k, "wide", DT_F32, KB_SCRATCH, group);
  emit_tasks(&gm);
  return finish(&gm);
}
