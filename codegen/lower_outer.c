// lower_outer.c: outer, w[i,j] = sum of x[..,i] y[..,j] over all leading axes: the gradient of a product's weight.
//
// A task owns a part of the result and sees all rows, some 256 at a time: it packs its columns of them, x in rows, y in
// panels of 16 columns, and adds their products to sums in scratch with the register tile of all products. Rows as they
// lie are thousands of bytes apart, so that a tile that read them there would find each on a page and in a line of its
// own. The sums go on where the rows before stopped, and rows are taken in ascending order: so the bits depend on
// neither blocks, tiles nor tasks.
//
//   par parts of i and j:  sums = 0
//     blocks of rows:  xs = x[block, part of i];  ys = y[block, part of j]
//       panels of ys; tiles of i:  sums += xs^T ys
//     w = sums
//
// Operands that no vectors run along (a constant, columns that are not adjacent) are read where they lie, a few rows of
// the result by one vector at a time.
#include "lower_matmul.h"
#include "lower_tile.h"

typedef struct Outer {
  const OuterCosts *cost;
  Source x, y;
  int64_t xs[MAX_RANK], ys[MAX_RANK]; // strides of the leading axes, then that of their own
  Axis lead[MAX_RANK];
  int nlead;
  KIdx row; // of the tile
  int rows;
  bool vectors;
  // of the vector at hand
  KIdx column;
  uint32_t lanes;
  int64_t n;
  KVal acc[TILE_MOST_ROWS];
  // packed
  KBufRef xp, yp, sums, count;
  KBufRef first;          // outer_rows: how many rows are added
  int block_axis;         // of lead, that is divided into blocks; those behind it are taken whole
  int64_t block, inner;   // its indices in a block; rows for each of them
  int64_t part_i, part_j; // rows and columns of a part
  int tile_rows, width;   // of the register tile: rows, panels
} Outer;

static KVal value_at(Lowering *lo, const Source *s, KIdx at, uint32_t lanes, int64_t n, bool one) {
  Kernel *k = lo->k;
  if (s->constant) return kb_const(k, s->value, DT_F32, lanes);
  if (lanes == 1) return kb_load(k, s->buf, at, 1, 1, NULL);
  return one ? kb_bcast(k, s->buf, at, NULL) : kb_load(k, s->buf, at, lanes, n, NULL);
}

// The task reads how many rows there are.
static void count_rows(Lowering *lo, Outer *o) {
  if (o->first.id) o->lead[0].range[0] = lower_counted(lo, &o->lead[0].range[0], o->first);
}

/* operands as they lie
 * ----------------------------------------------------------------------------------------------------------- */

static void add_rows(Lowering *lo, const Outer *o, int d, KIdx x, KIdx y) {
  if (d < o->nlead) {
    for (int i = 0; i < o->lead[d].n; i++) {
      const Range *r = &o->lead[d].range[i];
      KIdx at = ki_addc(ki_var(kb_loop(lo->k, "k", kbound(ki_const(0)), kbound(r->len), 1)), r->start);
      add_rows(lo, o, d + 1, ki_add(x, ki_mul(at, o->xs[d])), ki_add(y, ki_mul(at, o->ys[d])));
      kb_end(lo->k);
    }
    return;
  }
  int64_t step = o->xs[o->nlead];
  KVal b = value_at(lo, &o->y, ki_add(y, ki_mul(o->column, o->ys[o->nlead])), o->lanes, o->n, false);
  for (int r = 0; r < o->rows; r++) {
    KVal a = value_at(lo, &o->x, ki_add(x, ki_mul(ki_addc(o->row, r), step)), o->lanes, o->n, true);
    kb_set(lo->k, o->acc[r], kb_op3(lo->k, K_fma, a, b, o->acc[r]));
  }
}

static void store(Lowering *lo, KIdx row, KIdx column, uint32_t lanes, int64_t n, KVal value) {
  Point p = {.at = {row, column}, .lanes = lanes, .n = n, .leaf = lo->grp->anchor, .leaf_value = value};
  lower_store(lo, &p, lower_element(lo, &p, lo->grp->root));
}

static void emit_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  Outer *o = ud;
  o->column = c, o->lanes = lanes, o->n = n;
  for (int r = 0; r < o->rows; r++) o->acc[r] = kb_var(lo->k, kb_const(lo->k, 0, DT_F32, lanes), "acc");
  add_rows(lo, o, 0, ki_const(0), ki_const(0));
  for (int r = 0; r < o->rows; r++) store(lo, ki_addc(o->row, r), c, lanes, n, o->acc[r]);
}

static void emit_lying_tile(Lowering *lo, KIdx row, int rows, bool tail, void *ud) {
  (void)tail;
  Outer *o = ud;
  o->row = row, o->rows = rows;
  lower_columns(lo, &lo->axis[1].range[0], o->vectors, 1, NULL, 0, emit_vector, o);
}

// work: operations for an element. Returns the rows of a task.
static int64_t emit_lying(Lowering *lo, Outer *o, double work) {
  const OuterCosts *c = &lo->t->cost->outer;
  int most = (int)c->lying_rows;
  CHECK(most <= TILE_MOST_ROWS);
  int64_t tiles = (int64_t)(c->lying_flops / (work * most * (double)lo->axis[1].extent));
  int64_t block = most * (tiles < 1 ? 1 : tiles);
  const Range *rows = &lo->axis[0].range[0];
  KIdx from = ki_var(kb_par(lo->k, "t", kbound(ki_const(0)), kbound(rows->len), block));
  count_rows(lo, o);
  if (rows->bound <= block)
    lower_tiles(lo, rows, most, NULL, 0, emit_lying_tile, o);
  else
    lower_tiles(lo, rows, most, &from, block, emit_lying_tile, o);
  kb_end(lo->k);
  return rows->bound < block ? rows->bound : block;
}

/* packed operands
 * ---------------------------------------------------------------------------------------------------------------- */

typedef struct OuterPart { // of the result
  Lowering *lo;
  const Outer *o;
  KIdx i, j;      // its first row and column
  int64_t ni, nj; // how many
  KIdx rows;      // packed
  int64_t most;   // and their upper bound
} OuterPart;

static int64_t ceil_to(int64_t n, int64_t step) {
  return (n + step - 1) / step * step;
}

// Distances in scratch; some lines more than what lies there, so that rows do not fall into the same sets of a cache.
static int64_t x_pitch(const Outer *o) {
  return ceil_to(o->part_i, PANEL) + o->cost->apart;
}
static int64_t sums_pitch(const Outer *o) {
  return ceil_to(o->part_j, PANEL) + o->cost->apart;
}

// Joins neighbouring axes that both operands cross in one stride, and drops axes of one row.
static void collapse(Outer *o) {
  for (int d = o->nlead - 1; d >= 0; d--) {
    const Axis *a = &o->lead[d];
    bool single = a->n == 1 && a->range[0].fixed && a->extent == 1 && o->nlead > 1;
    bool joins = d + 1 < o->nlead && a->n == 1 && o->lead[d + 1].n == 1 && o->lead[d + 1].range[0].fixed;
    int64_t e = joins ? o->lead[d + 1].extent : 0;
    joins = joins && o->xs[d] == o->xs[d + 1] * e && o->ys[d] == o->ys[d + 1] * e;
    if (!single && !joins) continue;
    if (!single) {
      Axis *both = &o->lead[d + 1];
      both->range[0] = a->range[0];
      both->range[0].len = ki_mul(a->range[0].len, e);
      both->range[0].bound *= e;
      both->extent = a->extent * e;
    }
    for (int i = d; i + 1 <= o->nlead; i++) { // axis d goes; the operands' own axis stands behind the last
      if (i + 1 < o->nlead) o->lead[i] = o->lead[i + 1];
      o->xs[i] = o->xs[i + 1], o->ys[i] = o->ys[i + 1];
    }
    o->nlead--;
  }
}

// Indices of an axis in a block of at most `most`. A run-time number of them is divided only where blocks fill its
// upper bound, so that no address lies behind it.
static int64_t block_of(int64_t bound, int64_t most) {
  int64_t n = most < bound ? most : bound;
  while (n > 1 && bound % n) n--;
  return n;
}

// Chooses the axis that is divided into blocks: false if there is none that makes some rows of a block.
static bool choose_block(Outer *o) {
  int last = o->nlead - 1;
  for (int d = 0; d <= last; d++)
    if (o->lead[d].n != 1 && d != last) return false;
  o->block_axis = last, o->inner = 1;
  const Range *r = &o->lead[last].range[0];
  if (o->lead[last].n == 1 && r->fixed && last > 0 && 2 * r->bound <= o->cost->rows)
    o->block_axis = last - 1, o->inner = r->bound;
  for (int i = 0; i < o->lead[o->block_axis].n; i++) {
    int64_t bound = o->lead[o->block_axis].range[i].bound, n = block_of(bound, o->cost->rows / o->inner);
    if (n * o->inner < o->cost->least_rows && bound > n) return false;
    o->block = n > o->block ? n : o->block;
  }
  return true;
}

// Does some block have a run-time number of indices of its axis?
static bool counts(const Outer *o) {
  const Axis *a = &o->lead[o->block_axis];
  for (int i = 0; i < a->n; i++)
    if (!a->range[i].fixed && block_of(a->range[i].bound, o->block) < a->range[i].bound) return true;
  return false;
}

// n elements of a row into panels `step` elements apart, the last filled up with zeros. Asks for the row `ahead`.
static void copy_row(Lowering *lo, const Source *s, KIdx from, int64_t ahead, KBufRef to, KIdx at, int64_t n,
                     int64_t step) {
  Kernel *k = lo->k;
  int64_t copied = lo->t->cost->outer.copied, whole = n / copied * copied;
  KIdx c = whole ? ki_var(kb_loop(k, "c", kbound(ki_const(0)), kbound(ki_const(whole)), copied)) : ki_const(0);
  for (int64_t v = 0, end = whole ? copied : n; v < end; v += k->lanes) {
    if (v % PANEL == 0) kb_prefetch(k, s->buf, ki_addc(ki_add(from, c), v + ahead), 1);
    int64_t left = end - v < k->lanes ? end - v : k->lanes;
    kb_store(k, to, ki_addc(ki_add(at, ki_mul(c, step / PANEL)), v / PANEL * step + v % PANEL),
             kb_load(k, s->buf, ki_addc(ki_add(from, c), v), k->lanes, left, NULL), k->lanes);
  }
  if (!whole) return;
  kb_end(k);
  for (int64_t v = whole; v < n; v += k->lanes) {
    int64_t left = n - v < k->lanes ? n - v : k->lanes;
    if (v % PANEL == 0) kb_prefetch(k, s->buf, ki_addc(from, v + ahead), 1);
    kb_store(k, to, ki_addc(at, v / PANEL * step + v % PANEL),
             kb_load(k, s->buf, ki_addc(from, v), k->lanes, left, NULL), k->lanes);
  }
}

static void pack_rows(const OuterPart *p, int d, KIdx x, KIdx y, KIdx at, KIdx from, KIdx n) {
  Lowering *lo = p->lo;
  const Outer *o = p->o;
  Kernel *k = lo->k;
  if (d == o->nlead) {
    copy_row(lo, &o->x, ki_add(x, p->i), o->cost->rows_ahead * o->xs[d - 1], o->xp, ki_mul(at, x_pitch(o)), p->ni,
             PANEL);
    copy_row(lo, &o->y, ki_add(y, p->j), o->cost->rows_ahead * o->ys[d - 1], o->yp, ki_mul(at, PANEL), p->nj,
             PANEL * p->o->block * p->o->inner);
    return;
  }
  KIdx v = ki_var(kb_loop(k, "r", kbound(ki_const(0)), kbound(d == o->block_axis ? n : o->lead[d].range[0].len), 1));
  KIdx row = d == o->block_axis ? ki_add(from, v) : v;
  at = d == o->block_axis ? ki_mul(v, o->inner) : ki_add(at, v);
  pack_rows(p, d + 1, ki_add(x, ki_mul(row, o->xs[d])), ki_add(y, ki_mul(row, o->ys[d])), at, from, n);
  kb_end(k);
}

typedef struct OuterTile {
  const OuterPart *p;
  KIdx column;
  int panels;
} OuterTile;

static void emit_packed_tile(Lowering *lo, KIdx row, int rows, bool tail, void *ud) {
  (void)tail;
  const OuterTile *t = ud;
  const Outer *o = t->p->o;
  int64_t panel = PANEL * o->block * o->inner, pitch = sums_pitch(o);
  KIdx sums = ki_add(ki_mul(row, pitch), t->column);
  RegTile r;
  tile_open(&r, lo->k, rows, t->panels, 1, panel, pitch);
  KIdx n = tile_length(&r, t->p->rows);
  tile_start_sums(&r, o->sums, sums);
  KIdx i = ki_var(kb_loop(lo->k, "k", kbound(ki_const(0)), kbound(n), 1));
  tile_step(&r, o->xp, ki_add(row, ki_mul(i, x_pitch(o))), o->yp,
            ki_add(ki_mul(t->column, panel / PANEL), ki_mul(i, PANEL)));
  kb_end(lo->k);
  tile_store(&r, o->sums, sums, (int64_t)t->panels * PANEL);
  tile_close(&r);
}

static void emit_panels(const OuterPart *p, KIdx column, int panels) {
  Range rows = {0, ki_const(p->ni), p->ni, true};
  OuterTile t = {p, column, panels};
  lower_tiles(p->lo, &rows, p->o->tile_rows, NULL, 0, emit_packed_tile, &t);
}

static void add_block(const OuterPart *p, KIdx x, KIdx y, KIdx from, KIdx n) {
  Kernel *k = p->lo->k;
  const Outer *o = p->o;
  pack_rows(p, o->block_axis, x, y, ki_const(0), from, n);
  OuterPart at = *p;
  at.rows = ki_mul(n, o->inner);
  int64_t panels = ceil_div(p->nj, PANEL), whole = panels / o->width * o->width;
  if (whole) {
    KVar c = kb_loop(k, "j", kbound(ki_const(0)), kbound(ki_const(whole * PANEL)), (int64_t)o->width * PANEL);
    emit_panels(&at, ki_var(c), o->width);
    kb_end(k);
  }
  if (whole < panels) emit_panels(&at, ki_const(whole * PANEL), (int)(panels - whole));
}

static void add_blocks(const OuterPart *p, int d, KIdx x, KIdx y) {
  Kernel *k = p->lo->k;
  const Outer *o = p->o;
  for (int i = 0; i < o->lead[d].n; i++) {
    const Range *r = &o->lead[d].range[i];
    KIdx xr = ki_addc(x, r->start * o->xs[d]), yr = ki_addc(y, r->start * o->ys[d]);
    if (d < o->block_axis) {
      KIdx at = ki_var(kb_loop(k, "b", kbound(ki_const(0)), kbound(r->len), 1));
      add_blocks(p, d + 1, ki_add(xr, ki_mul(at, o->xs[d])), ki_add(yr, ki_mul(at, o->ys[d])));
      kb_end(k);
      continue;
    }
    int64_t block = block_of(r->bound, o->block);
    if (block == r->bound) {
      add_block(p, xr, yr, ki_const(0), r->len);
      continue;
    }
    KIdx from = ki_var(kb_loop(k, "block", kbound(ki_const(0)), kbound(r->len), block)), n = ki_const(block);
    if (!r->fixed) { // how many the last one has is no sum of indices; it goes through memory
      KVal left = kb_index(k, ki_add(r->len, ki_mul(from, -1)), DT_I32, 1);
      kb_store(k, o->count, ki_const(0), kb_op2(k, K_min, left, kb_const(k, (double)block, DT_I32, 1)), 1);
      n = ki_var(kb_ldidx(k, o->count, ki_const(0), 1, block, "n"));
    }
    add_block(p, xr, yr, from, n);
    kb_end(k);
  }
}

static void zero_sums(const OuterPart *p) {
  Kernel *k = p->lo->k;
  KIdx i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(p->ni)), 1));
  KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(ki_const(ceil_to(p->nj, PANEL))), PANEL));
  KIdx at = ki_add(ki_mul(i, sums_pitch(p->o)), j);
  for (int64_t v = 0; v < PANEL; v += k->lanes)
    kb_store(k, p->o->sums, ki_addc(at, v), kb_const(k, 0, DT_F32, k->lanes), k->lanes);
  kb_end(k);
  kb_end(k);
}

typedef struct OuterRow {
  const OuterPart *p;
  KIdx i;
} OuterRow;

static void finish_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const OuterRow *r = ud;
  KIdx at = ki_add(ki_mul(r->i, sums_pitch(r->p->o)), c);
  store(lo, ki_add(r->p->i, r->i), ki_add(r->p->j, c), lanes, n,
        kb_load(lo->k, r->p->o->sums, at, lanes, lanes == 1 ? 1 : lanes, NULL));
}

static void emit_part(const OuterPart *p) {
  Kernel *k = p->lo->k;
  zero_sums(p);
  add_blocks(p, 0, ki_const(0), ki_const(0));
  OuterRow r = {p, ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(p->ni)), 1))};
  Range columns = {0, ki_const(p->nj), p->nj, true};
  lower_columns(p->lo, &columns, lower_vectors(p->lo), 1, NULL, 0, finish_vector, &r);
  kb_end(k);
}

// Opens a part of an axis for the task whose parts begin at `start`: a whole one, or (`left`) what is left behind them.
// False: there is none.
static bool open_part(Kernel *k, KIdx start, int64_t all, int64_t part, bool left, KIdx *at, int64_t *n) {
  int64_t whole = all / part * part;
  *n = left ? all - whole : part;
  if (left ? whole == all : !whole) return false;
  KBound from = kbound(left ? ki_const(whole) : start);
  *at = ki_var(kb_loop(k, "part", from, kbound_cap(ki_addc(start, part), ki_const(left ? all : whole)), part));
  return true;
}

static void emit_parts(Lowering *lo, Outer *o) {
  Kernel *k = lo->k;
  int64_t ni = lo->axis[0].extent, nj = lo->axis[1].extent;
  KIdx i = ki_var(kb_par(k, "ti", kbound(ki_const(0)), kbound(ki_const(ni)), o->part_i));
  KIdx j = ki_var(kb_par(k, "tj", kbound(ki_const(0)), kbound(ki_const(nj)), o->part_j));
  count_rows(lo, o);
  OuterPart p = {.lo = lo, .o = o};
  for (int a = 0; a < 2; a++) {
    if (!open_part(k, i, ni, o->part_i, a, &p.i, &p.ni)) continue;
    for (int b = 0; b < 2; b++) {
      if (!open_part(k, j, nj, o->part_j, b, &p.j, &p.nj)) continue;
      emit_part(&p);
      kb_end(k);
    }
    kb_end(k);
  }
  kb_end(k);
  kb_end(k);
}

static void choose_parts(const Lowering *lo, Outer *o, double work) {
  int64_t ni = lo->axis[0].extent, nj = lo->axis[1].extent;
  const Costs *c = lo->t->cost;
  tile_choose(lo->t, ceil_div(nj, PANEL), &o->tile_rows, &o->width);
  int64_t row_step = o->tile_rows, column_step = (int64_t)o->width * PANEL;
  double us = work * (double)ni * (double)nj / c->flops_per_us;
  int64_t want = (int64_t)(us / c->task_us), most = o->cost->part;
  int64_t in_i = ceil_div(ni, most), in_j = ceil_div(nj, most);
  for (;;) {
    o->part_i = in_i == 1 ? ni : ceil_to(ceil_div(ni, in_i), row_step);
    o->part_j = in_j == 1 ? nj : ceil_to(ceil_div(nj, in_j), column_step);
    int64_t parts = in_i * in_j,
            enough = o->part_i * o->part_j < 2 * o->cost->large_part ? o->cost->least_parts : o->cost->parts;
    if (parts >= want || parts >= enough || o->part_i * o->part_j <= PANEL * PANEL) return;
    if (o->part_i >= o->part_j)
      in_i *= 2;
    else
      in_j *= 2;
  }
}

// False: the operands are read where they lie.
static bool emit_packed(Lowering *lo, Outer *o, double work) {
  if (o->x.constant || o->y.constant) return false;
  collapse(o);
  if (o->xs[o->nlead] != 1 || o->ys[o->nlead] != 1 || !choose_block(o)) return false;
  choose_parts(lo, o, work);
  Kernel *k = lo->k;
  int64_t rows = o->block * o->inner;
  o->xp = kb_buf(k, "xs", DT_F32, KB_SCRATCH, rows * x_pitch(o));
  o->yp = kb_buf(k, "ys", DT_F32, KB_SCRATCH, rows * ceil_to(o->part_j, PANEL));
  o->sums = kb_buf(k, "sums", DT_F32, KB_SCRATCH, o->part_i * sums_pitch(o));
  if (counts(o)) o->count = kb_buf(k, "count", DT_I32, KB_SCRATCH, 1);
  emit_parts(lo, o);
  return true;
}

bool lower_outer(Arena *arena, const Graph *g, const Group *grp, const Target *t, Lowered *out) {
  const Value *v = graph_value(g, grp->anchor);
  Lowering lo = lower_begin(arena, g, grp, t, out, "outer");
  Outer o = {.cost = &t->cost->outer};
  const Type *tx = &graph_value(g, v->args[0])->type;
  lower_domain(&lo, &v->type);
  if (!lower_operand(&lo, v->args[0], "x", &o.x, o.xs) || !lower_operand(&lo, v->args[1], "y", &o.y, o.ys))
    return false;
  if (v->op == OP_outer_rows && !lower_first_rows(&lo, v->args[2], tx->dim[0], &o.first)) return false;
  if (!lower_sources(&lo) || !lower_root(&lo)) return false;
  double work = 2;
  for (int d = 0; d + 1 < tx->rank; d++) {
    o.lead[o.nlead++] = lower_axis(&lo, tx, d, false);
    work *= (double)type_extent(g->module, tx, d);
  }
  if (o.first.id) o.lead[0].range[0].fixed = false;
  o.vectors = lower_vectors(&lo) && (o.y.constant || o.ys[o.nlead] == 1);
  int64_t rows = lo.axis[0].extent, columns = lo.axis[1].extent;
  double each;
  if (emit_packed(&lo, &o, work))
    each = (double)o.part_i * (double)o.part_j;
  else
    each = (double)emit_lying(&lo, &o, work) * (double)columns;
  const char *name = arena_printf(arena, "outer_%lldx%lld", (long long)rows, (long long)columns);
  return lower_finish(&lo, work * each, 4 * each, name, "sum of the products of all rows: the gradient of a weight");
}
