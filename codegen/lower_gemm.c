// lower_gemm.c: groups around a matrix product with a packed weight:  y[.., n] = epilogue(bias[n] + sum_k x[.., k] w[n,
// k]).
//
// The weight lies in panels of 16 columns, [N/16][K][16], the same for all targets. A register tile is `rows` x
// `panels`; its accumulators are named registers that start at the bias and run over all of K in ascending order, so an
// element's bits do not depend on the tile that computes it, on the row tail or on the number of threads. Loops,
// outside in:
//   par over chunks of panel groups (and over blocks of rows where there are few panels)
//     panel group: its panels stay in the second-level cache
//       row axes, row tiles: exact row counts, see lower_tiles
//         k, in blocks with prefetches between them; then the epilogue on the tile through L1 scratch
// Weights stream from memory once a call: while the row tiles of a panel group run, each prefetches its share of the
// next group's lines. The last group (fewer panels, or a last panel that is not full) is a separate instance, which
// runs in the last task only.
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

#include <string.h>

// WIDE: most elements of a widened panel group, which has to stay in the second-level cache.
enum { WIDE = 1 << 19, LINE = 64 };
enum { K_BLOCK = 32, STREAMING = 65536, FEW_ROWS = 64, SINGLE_ROWS = 2, AHEAD = 48, NEAR = 4 };

typedef struct Gemm {
  Lowering lo;
  const Value *anchor;
  size_t xsrc;     // index of x in lo.src: row strides
  int64_t xstride; // of x over k
  struct {         // x over k, outermost first: one axis, or those of a window
    int64_t extent, stride;
  } kaxis[4];
  int nk;
  bool windows;        // x are patches or windows of an image, read where they lie
  int64_t outer_block; // rows of the axis before the last row axis per task, 0: it is not divided
  KIdx outer_start;
  KBufRef w, bias;
  int64_t w_bytes;      // of an element of w
  KBufRef wide;         // panels of the group at hand, widened
  int64_t k, n, panels; // panels of 16 columns, the last may not be full
  int rows, width;      // register tile: rows x panels
  int64_t main_panels;  // panels done by full groups of `width`
  int64_t block;        // rows of a row block, 0: rows are not divided among tasks
  KIdx block_start;
  bool through_scratch; // there is an epilogue
  KBufRef scratch;
  KIdx at[LOWER_AXES]; // row indices of the current tile
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

/* one register tile ----------------------------------------------------------------------------------- */
typedef struct Tile {
  Gemm *g;
  const Group16 *p;
  int rows;
  bool tail;       // of a run-time number of rows
  KIdx x;          // address of x at k = 0 of the first row
  KIdx whole, run; // products of a run that are done in blocks, and all of them
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
  int inner = g->lo.rank - 2;
  bool both = g->windows && inner >= 1 && g->lo.axis[inner - 1].range[0].fixed; // rows of the image count too
  int64_t rows = inner >= 0 ? g->lo.axis[inner].extent * (both ? g->lo.axis[inner - 1].extent : 1) : 1,
          width = (int64_t)g->width * PANEL;
  int64_t per_k = least(ceil_div(width * t->rows, rows), width); // elements a step of k brings
  int64_t per_row = ceil_div(width * g->k, rows);
  KIdx at = ki_addc(ki_mul(t->p->panel, per_panel), g->width * per_panel);
  if (inner >= 0) at = ki_add(at, ki_mul(g->at[inner], per_row));
  if (both) at = ki_add(at, ki_mul(g->at[inner - 1], per_row * g->lo.axis[inner].extent));
  at = ki_add(at, ki_mul(k, per_k));
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
  KIdx b = g->wide.id ? ki_mul(k, PANEL) : ki_add(ki_mul(t->p->panel, g->k * PANEL), ki_mul(k, PANEL));
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

// Lines that the epilogue will read, asked for before the product.
static void prefetch_operands(const Tile *t) {
  Gemm *g = t->g;
  int column = g->lo.rank - 1;
  for (size_t i = 0; i < g->lo.src.n; i++) {
    const Source *s = &g->lo.src.at[i];
    if (i == g->xsrc || s->constant || s->stride[column] != 1 || column == 0 || !s->stride[column - 1]) continue;
    KIdx row = ki_const(0);
    if (t->rows > 1) row = ki_var(kb_loop(g->lo.k, "i", kbound(row), kbound(ki_const(t->rows)), 1));
    Point p = tile_point(g, ki_add(tile_row(g), row), ki_mul(t->p->panel, PANEL), 1, 1);
    emit_lines(g->lo.k, s->buf, lower_address(&g->lo, s, &p), t->p->panels, PANEL, 1);
    if (t->rows > 1) kb_end(g->lo.k);
  }
}

static void emit_tile(Gemm *g, const Group16 *p, int rows, bool tail) {
  Tile t = {.g = g, .p = p, .rows = rows, .tail = tail};
  Lowering *lo = &g->lo;
  const Source *x = &lo->src.at[g->xsrc];
  int inner = lo->rank - 2; // axis of the tile's rows
  t.x = ki_const(0);
  for (int d = 0; d <= inner; d++) t.x = ki_add(t.x, ki_mul(g->at[d], x->stride[d]));
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
    if (d == lo->rank - 2) {
      RowRange rr = {g, p, a->range[i].start};
      lower_tiles(&g->lo, &a->range[i], g->rows, g->block ? &g->block_start : NULL, g->block, emit_row_tile, &rr);
      continue;
    }
    bool divided = g->outer_block && d == lo->rank - 3;
    KIdx from = divided ? g->outer_start : ki_const(0);
    KBound to = kbound(a->range[i].len);
    if (divided) to = kbound_cap(ki_addc(from, g->outer_block), a->range[i].len);
    KVar v = kb_loop(lo->k, "m", kbound(from), to, 1);
    g->at[d] = ki_addc(ki_var(v), a->range[i].start);
    emit_row_axes(g, p, d + 1);
    kb_end(lo->k);
  }
}

// The panels of a group, which lie one behind the other, into scratch.
static void widen_panels(Gemm *g, const Group16 *p) {
  Kernel *k = g->lo.k;
  if (!g->wide.id) return;
  KIdx from = ki_mul(p->panel, g->k * PANEL);
  KIdx i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(g->k * PANEL * p->panels)), PANEL));
  if (weights_stream(g)) kb_prefetch(k, g->w, ki_addc(ki_add(from, i), line_of(g) * AHEAD), 1);
  for (int64_t v = 0; v < PANEL; v += k->lanes) {
    KVal x = kb_load(k, g->w, ki_addc(ki_add(from, i), v), k->lanes, k->lanes, NULL);
    kb_store(k, g->wide, ki_addc(i, v), x, k->lanes);
  }
  kb_end(k);
}

static void emit_group(Gemm *g, const Group16 *p) {
  widen_panels(g, p);
  emit_row_axes(g, p, 0);
}

/* panel groups and tasks ------------------------------------------------------------------------------ */
static void emit_tasks(Gemm *g) {
  Lowering *lo = &g->lo;
  Kernel *k = lo->k;
  int64_t groups = ceil_div(g->panels, g->width), want = wanted_tasks(g), left = g->panels - g->main_panels;
  int64_t chunk = ceil_div(groups, want) * g->width, columns = ceil_div(g->panels, chunk);
  int inner = lo->rank - 2, pars = 0;
  KIdx first = ki_const(0);
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
        .panels = g->width, .columns = (int64_t)g->width * PANEL, .prefetch_next = !g->block && !g->outer_block};
    KVar v = kb_loop(k, "q", kbound(first), kbound_cap(ki_addc(first, chunk), ki_const(g->main_panels)), g->width);
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
  int64_t left = gm.panels % gm.width;
  if (!left && gm.n % PANEL) left = gm.width;
  gm.main_panels = gm.panels - left;
  gm.through_scratch = grp->member.n > (gm.windows ? 2u : 1u);
  if (gm.through_scratch) gm.scratch = kb_buf(lo->k, "tile", DT_F32, KB_SCRATCH, (int64_t)gm.rows * gm.width * PANEL);
  int64_t group = gm.k * gm.width * PANEL;
  if (dtype_is_narrow(lo->k->buf.at[gm.w.id].dtype) && gm.rows > 1 && group <= WIDE)
    gm.wide = kb_buf(lo->k, "wide", DT_F32, KB_SCRATCH, group);
  emit_tasks(&gm);
  return finish(&gm);
}
