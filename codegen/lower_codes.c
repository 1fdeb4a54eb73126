// lower_codes.c: groups around a product of codes of 8 bits (ir/op/codes.h):
//   y[.., n] = epilogue(float(sum_k row[.., k] w[n, k]) * scale[row] * scale[n]),
// with weights of 4 bits, whose tile is in lower_codes4.c, and of pairs of bf16 (ir/op/pairs.h), without scales, in
// f32.
//
// Sums are of whole numbers, so neither the order over k nor the tile shows in a bit, and tiles are chosen for speed
// alone. Panels are those of all products, 16 columns, with four codes of k where an f32 would be. Loops, outside in:
//   par over the entries of a batch; over chunks of panels; over blocks of rows where there are few panels
//     row axes; blocks of rows whose words fit into the second-level cache
//       what the target multiplies is made of the rows' words, once (Target.dot): a widening or a change of sign in
//         the tile would take a third of its time
//       panels; row tiles: all of k in registers; then scales and the rest of the epilogue, through scratch
// Pairs for a target without an instruction for them: rows and the panels of a group become f32 once, in the order in
// which numbers are added, and the tile is that of f32; halves made in it would need more registers than there are.
// A single row is bound by memory: its tile takes several panels, so that more loads are in flight.
#include "lower_codes.h"

#include <string.h>

enum {
  MADE_BYTES = 3 << 17, // of the rows of a block, as they are multiplied: within a second-level cache
  ASK_STEPS = 16, // words between hints for the next panels; CODE_DEPTH / CODES_IN_WORD, which divides those of any row
};

static int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t rows_of_axis(const Codes *c) { // that tiles run over, of its longest range
  int64_t most = 1;
  const Axis *a = c->lo.rank >= 2 ? &c->lo.axis[c->lo.rank - 2] : NULL;
  for (int i = 0; a && i < a->n; i++) most = a->range[i].bound > most ? a->range[i].bound : most;
  return most;
}

static DotKind dot_of(const Codes *c) {
  if (c->pairs) return c->lo.t->pairs ? DOT_WORDS : DOT_PAIRS;
  return c->lo.t->dot;
}

static const char *name_of(const Codes *c) {
  return c->pairs ? "pairs" : c->grouped ? "codes4" : "codes";
}

static KOp half_op(const Codes *c, int second) { // a half of a word, as it is multiplied
  static const KOp op[2][2] = {{K_even8, K_odd8}, {K_low16, K_high16}};
  return op[c->pairs][second];
}

/* rows as they are multiplied ------------------------------------------------------------------------- */
static Point row_point(const Codes *c, KIdx row, KIdx column, uint32_t lanes, int64_t n) {
  Point p = {.lanes = lanes, .n = n};
  for (int d = 0; d + 1 < c->lo.rank; d++) p.at[d] = c->at[d];
  if (c->lo.rank >= 2) p.at[c->lo.rank - 2] = row;
  p.at[c->lo.rank - 1] = column;
  return p;
}

static KIdx word_of_row(const Codes *c, KIdx row, KIdx word) {
  Point p = row_point(c, row, word, 1, 1);
  return lower_address(&c->lo, &c->lo.src.at[c->xsrc], &p);
}

// Row `row` of the axis into row `to` of `made`.
static void make_row(Codes *c, KIdx row, KIdx to) {
  Kernel *k = c->lo.k;
  KIdx from = word_of_row(c, row, ki_const(0)), at = ki_mul(to, c->made_row);
  if (c->wide.id) {
    KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(ki_const(c->words)), 1));
    KVal pair = kb_load(k, c->lo.src.at[c->xsrc].buf, ki_add(from, j), 1, 1, "pair");
    KIdx to_pair = ki_add(at, ki_mul(j, 2));
    kb_store(k, c->made, to_pair, kb_op1(k, K_high16, pair), 1);
    kb_store(k, c->made, ki_addc(to_pair, 1), kb_op1(k, K_low16, pair), 1);
    kb_end(k);
    return;
  }
  KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(ki_const(c->words)), k->lanes));
  KVal words = kb_load(k, c->lo.src.at[c->xsrc].buf, ki_add(from, j), k->lanes, k->lanes, "words");
  if (dot_of(c) == DOT_PAIRS) {
    KIdx to_pair = ki_add(at, ki_mul(j, 2)); // a vector of each in turn: what a step reads is in one line
    kb_store(k, c->made, to_pair, kb_op1(k, half_op(c, 0), words), k->lanes);
    kb_store(k, c->made, ki_addc(to_pair, k->lanes), kb_op1(k, half_op(c, 1), words), k->lanes);
  } else {
    KVal sign = kb_const(k, (int32_t)0x80808080u, DT_I32, k->lanes);
    kb_store(k, c->made, ki_add(at, j), kb_op2(k, K_xor, words, sign), k->lanes);
  }
  kb_end(k);
}

// The panels of a group as f32, upper halves first.
static void widen_panels(const Codes *c, const PanelRun *p) {
  Kernel *k = c->lo.k;
  kb_region(k, arena_printf(k->arena, "widen_%d", p->panels), "panels of bf16 as f32");
  KIdx words = ki_var(kb_let(k, ki_const(c->words), "n"));
  for (int v = 0; v < p->panels; v++) {
    KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(words), 1));
    KIdx from = ki_add(ki_mul(ki_addc(p->panel, v), c->panel_words * PANEL), ki_mul(j, PANEL));
    KIdx to = ki_addc(ki_mul(j, 2 * PANEL), v * c->depth * PANEL);
    for (int64_t i = 0; i < PANEL; i += k->lanes) {
      KVal pairs = kb_load(k, c->w, ki_addc(from, i), k->lanes, k->lanes, "pairs");
      kb_store(k, c->wide, ki_addc(to, i), kb_op1(k, K_high16, pairs), k->lanes);
      kb_store(k, c->wide, ki_addc(to, PANEL + i), kb_op1(k, K_low16, pairs), k->lanes);
    }
    kb_end(k);
  }
  kb_end(k);
}

/* one register tile ----------------------------------------------------------------------------------- */
static KIdx distance(Kernel *k, bool matters, int64_t n, const char *name) {
  return matters ? ki_var(kb_let(k, ki_const(n), name)) : ki_const(n);
}

static void open_tile(CodeTile *t) {
  Kernel *k = t->c->lo.k;
  int columns = t->p->panels * PANEL;
  t->vectors = columns / (int)k->lanes;
  CHECK(t->rows * t->vectors <= TILE_MOST_ACC);
  kb_region(k, arena_printf(k->arena, "%s_%dx%d", name_of(t->c), t->rows, columns),
            arena_printf(k->arena, "%d %s of %d columns of a product of %s, in registers", t->rows,
                         t->rows > 1 ? "rows" : "row", columns,
                         t->c->pairs     ? "pairs"
                         : t->c->grouped ? "codes with weights of 4 bits"
                                         : "codes"));
  t->lda = distance(k, t->rows > 1,
                    t->c->made.id ? t->c->made_row : t->c->lo.src.at[t->c->xsrc].stride[t->c->lo.rank - 2], "lda");
  t->ldb = distance(k, t->p->panels > 1, (t->c->wide.id ? t->c->depth : t->c->panel_words) * PANEL, "ldb");
  t->ldy = distance(k, t->rows > 1, (int64_t)t->p->panels * PANEL, "ldy");
}

// Codes without a sign are 128 more: that many times the sums of the columns is taken off beforehand.
static void start_tile(CodeTile *t) {
  const Codes *c = t->c;
  Kernel *k = c->lo.k;
  for (int v = 0; v < t->vectors; v++) {
    KVal start = kb_const(k, 0, c->pairs ? DT_F32 : DT_I32, k->lanes);
    int64_t left = t->p->columns - (int64_t)v * k->lanes, n = least(left, k->lanes);
    if (dot_of(c) == DOT_PLAIN && n > 0) {
      KIdx at = ki_addc(ki_mul(t->p->panel, PANEL), (int64_t)v * k->lanes);
      KVal sum = kb_load(k, c->sums, at, k->lanes, n, "sums");
      start = kb_op2(k, K_mul, sum, kb_const(k, -128, DT_I32, k->lanes));
    }
    for (int r = 0; r < t->rows; r++)
      t->acc[r * t->vectors + v] = kb_var(k, start, arena_printf(k->arena, "acc%d_%d", r, v));
  }
}

// Products of all rows with n vectors of columns, from `first` on. Each operand of a row is loaded once for them all.
static void multiply(const CodeTile *t, int first, int n, const KVal *b, KOp dot, KIdx a_at) {
  Kernel *k = t->c->lo.k;
  for (int r = 0; r < t->rows; r++) {
    KVal a = kb_bcast(k, t->a, ki_add(a_at, ki_mul(t->lda, r)), "a");
    for (int v = 0; v < n; v++) {
      KVal acc = t->acc[r * t->vectors + first + v];
      kb_set(k, acc, dot == K_fma ? kb_op3(k, dot, a, b[v], acc) : kb_op3(k, dot, acc, a, b[v]));
    }
  }
}

// Word `word` of the columns with what the rows have for it at a_at. Pairs: of CODE_VECTORS vectors one half, then the
// other, so that 12 sums, these, an operand and a product are the 16 registers that there are.
static void step_tile(const CodeTile *t, KIdx word, KIdx a_at) {
  const Codes *c = t->c;
  Kernel *k = c->lo.k;
  int per_panel = PANEL / (int)k->lanes;
  bool pairs = dot_of(c) == DOT_PAIRS;
  KIdx panel = ki_add(ki_mul(t->p->panel, c->words * PANEL), ki_mul(word, PANEL));
  int most = pairs ? CODE_VECTORS : t->vectors;
  for (int first = 0; first < t->vectors; first += most) {
    KVal words[TILE_MOST_ACC], half[TILE_MOST_ACC];
    int n = t->vectors - first < most ? t->vectors - first : most;
    for (int v = 0; v < n; v++) {
      KIdx at = ki_add(panel, ki_mul(t->ldb, (first + v) / per_panel));
      words[v] = kb_load(k, c->w, ki_addc(at, (int64_t)((first + v) % per_panel) * k->lanes), k->lanes, k->lanes, "b");
    }
    if (!pairs) {
      multiply(t, first, n, words, c->pairs ? K_dot2b : dot_of(c) == DOT_PLAIN ? K_dot4u : K_dot4, a_at);
      continue;
    }
    for (int step = 0; step < 2; step++) {
      int i = c->pairs ? 1 - step : step; // of bf16 the second half is first
      for (int v = 0; v < n; v++) half[v] = kb_op1(k, half_op(c, i), words[v]);
      multiply(t, first, n, half, c->pairs ? K_fma : K_dot2, ki_addc(a_at, i * (int64_t)k->lanes));
    }
  }
}

// Number `i` of rows and columns, both as f32.
static void step_wide(const CodeTile *t, KIdx i) {
  Kernel *k = t->c->lo.k;
  int per_panel = PANEL / (int)k->lanes;
  KVal b[TILE_MOST_ACC];
  for (int v = 0; v < t->vectors; v++) {
    KIdx at = ki_add(ki_mul(i, PANEL), ki_mul(t->ldb, v / per_panel));
    b[v] = kb_load(k, t->c->wide, ki_addc(at, (int64_t)(v % per_panel) * k->lanes), k->lanes, k->lanes, "b");
  }
  multiply(t, 0, t->vectors, b, K_fma, ki_add(t->a_at, i));
}

bool codes_stream(const Codes *c) {
  return c->panels * PANEL * c->panel_words > c->lo.t->cost->product.cached;
}

// Weights come from memory once a call: while the tiles of a panel run, each asks for its share of the next one.
// `steps` words from `word` on are at hand.
void codes_ask_for_next(const CodeTile *t, KIdx word, int64_t steps) {
  const Codes *c = t->c;
  Kernel *k = c->lo.k;
  int64_t rows = rows_of_axis(c), width = (int64_t)t->p->panels * PANEL, line = c->lo.t->cost->line / 4;
  int64_t each = least(ceil_div(width * t->rows, rows), width), of_row = ceil_div(width * c->panel_words, rows);
  KIdx next = ki_mul(ki_addc(t->p->panel, t->p->panels), c->panel_words * PANEL);
  next = ki_add(ki_add(next, ki_mul(t->row, of_row)), ki_mul(word, each));
  for (int64_t i = 0; i < ceil_div(each * steps, line); i++) kb_prefetch(k, c->w, ki_addc(next, i * line), 2);
}

// The only row: ahead in the panels at hand.
void codes_ask_ahead(const CodeTile *t, KIdx word) {
  const Codes *c = t->c;
  const Costs *cost = c->lo.t->cost;
  KIdx at = ki_mul(ki_add(ki_mul(t->p->panel, c->panel_words), word), PANEL);
  at = ki_addc(at, cost->product.lines_ahead * cost->line / 4);
  for (int i = 0; i < t->p->panels; i++) kb_prefetch(c->lo.k, c->w, ki_add(at, ki_mul(t->ldb, i)), 1);
}

static void multiply_rows(const CodeTile *t) {
  Kernel *k = t->c->lo.k;
  bool pairs = dot_of(t->c) == DOT_PAIRS, asks = codes_stream(t->c);
  KIdx words = ki_var(kb_let(k, ki_const(t->c->words), "n")), zero = ki_const(0);
  int64_t steps = pairs ? k->lanes : ASK_STEPS; // a vector of either half of the pairs; words of a row are a multiple
  KIdx j = ki_var(kb_loop(k, "j", kbound(zero), kbound(words), steps));
  if (asks && t->rows > 1) codes_ask_for_next(t, j, steps);
  int64_t numbers = t->c->wide.id ? 2 * steps : steps;
  KIdx i = ki_var(kb_loop(k, "i", kbound(zero), kbound(ki_const(numbers)), 1));
  if (asks && t->rows == 1) codes_ask_ahead(t, ki_add(j, i));
  if (t->c->wide.id)
    step_wide(t, ki_add(ki_mul(j, 2), i));
  else
    step_tile(t, ki_add(j, i), ki_add(ki_add(t->a_at, ki_mul(j, pairs ? 2 : 1)), i));
  kb_end(k);
  kb_end(k);
}

static void store_tile(const CodeTile *t) {
  Kernel *k = t->c->lo.k;
  for (int r = 0; r < t->rows; r++)
    for (int v = 0; v < t->vectors; v++)
      kb_store(k, t->c->tile, ki_addc(ki_mul(t->ldy, r), (int64_t)v * k->lanes), t->acc[r * t->vectors + v], k->lanes);
}

/* epilogue -------------------------------------------------------------------------------------------- */
typedef struct Epilogue {
  const Codes *c;
  const PanelRun *p;
  KIdx row, from; // of the axis; of its sums in `tile`
  KVal scale;     // of the row
} Epilogue;

static void emit_columns(Lowering *lo, KIdx col, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const Epilogue *e = ud;
  const Codes *c = e->c;
  Kernel *k = lo->k;
  KIdx column = ki_add(ki_mul(e->p->panel, PANEL), col);
  Point p = row_point(c, e->row, column, lanes, n);
  KVal y = kb_load(k, c->tile, ki_add(e->from, col), lanes, lanes == 1 ? 1 : lanes, "sum");
  if (!c->pairs) y = kb_op2(k, K_mul, c->grouped ? y : kb_cvt(k, y, DT_F32), lower_in(lo, e->scale, lanes));
  if (!c->pairs && !c->grouped) y = kb_op2(k, K_mul, y, kb_load(k, c->scales, column, lanes, n, "scales"));
  p.leaf = lo->grp->anchor;
  p.leaf_value = y;
  lower_store(lo, &p, lower_element(lo, &p, lo->grp->root));
}

static void emit_epilogue(Codes *c, const PanelRun *p, int rows, KIdx row) {
  Lowering *lo = &c->lo;
  Kernel *k = lo->k;
  Epilogue e = {.c = c, .p = p, .row = row};
  kb_region(k,
            arena_printf(k->arena, "%s%s%s", c->pairs ? "summed" : "scaled", rows > 1 ? "" : "_row", lower_members(lo)),
            "what is done to the sums of a tile's rows");
  KIdx i = ki_const(0);
  if (rows > 1) {
    KIdx all = ki_var(kb_let(k, ki_const(rows), "rows"));
    i = ki_var(kb_loop(k, "i", kbound(i), kbound(all), 1));
  }
  e.row = ki_add(row, i);
  e.from = ki_mul(i, (int64_t)p->panels * PANEL);
  if (!c->pairs) {
    KIdx at = word_of_row(c, e.row, ki_const(c->words));
    e.scale = kb_op1(k, K_real, kb_load(k, lo->src.at[c->xsrc].buf, at, 1, 1, "scale"));
  }
  Range columns = {0, ki_const(p->columns), p->columns, true};
  lower_columns(lo, &columns, lower_vectors(lo), 1, NULL, 0, emit_columns, &e);
  if (rows > 1) kb_end(k);
  kb_end(k);
}

typedef struct RowRange {
  Codes *c;
  const PanelRun *p;
  int64_t start;
} RowRange;

static void emit_tile(Lowering *lo, KIdx row, int rows, bool tail, void *ud) {
  (void)tail;
  const RowRange *rr = ud;
  Codes *c = rr->c;
  Kernel *k = lo->k;
  KIdx here = ki_addc(row, rr->start);
  CodeTile t = {.c = c, .p = rr->p, .row = row, .rows = rows, .a = c->made.id ? c->made : lo->src.at[c->xsrc].buf};
  t.a_at = c->made.id ? ki_mul(ki_add(row, ki_mul(c->first, -1)), c->made_row) : word_of_row(c, here, ki_const(0));
  open_tile(&t);
  if (c->grouped) {
    codes4_tile(&t);
  } else {
    start_tile(&t);
    multiply_rows(&t);
    store_tile(&t);
  }
  kb_end(k);
  emit_epilogue(c, rr->p, rows, here);
}

/* rows and panels ------------------------------------------------------------------------------------- */
static void emit_panels(Codes *c, const Range *r, const KIdx *block, int64_t size) {
  Kernel *k = c->lo.k;
  int64_t full = c->n / PANEL / c->width * c->width, left = c->panels - full;
  KBound end = kbound_cap(ki_addc(c->chunk_start, c->chunk), ki_const(full));
  PanelRun p = {.panels = c->width, .columns = (int64_t)c->width * PANEL};
  RowRange rr = {c, &p, r ? r->start : 0};
  Range one = {0, ki_const(1), 1, true};
  if (full) {
    p.panel = ki_var(kb_loop(k, "q", kbound(c->chunk_start), end, c->width));
    if (c->wide.id) widen_panels(c, &p);
    lower_tiles(&c->lo, r ? r : &one, c->rows, block, size, emit_tile, &rr);
    kb_end(k);
  }
  if (!left) return;
  p = (PanelRun){ki_const(full), (int)left, c->n - full * PANEL}; // in the last task
  bool guard = c->chunk < c->panels;
  if (guard)
    kb_loop(k, "last", kbound(p.panel), kbound_cap(ki_addc(c->chunk_start, c->chunk), ki_const(c->panels)), left);
  if (c->wide.id) widen_panels(c, &p);
  lower_tiles(&c->lo, r ? r : &one, c->rows, block, size, emit_tile, &rr);
  if (guard) kb_end(k);
}

// Rows of a range, in blocks: made, then multiplied with all panels of the task.
static void emit_range(Codes *c, const Range *r) {
  Kernel *k = c->lo.k;
  int inner = c->lo.rank - 2;
  KBound from = kbound(ki_const(0)), to = kbound(r->len);
  const KIdx *block = c->part ? &c->part_start : NULL;
  int64_t size = c->part;
  KIdx start = ki_const(0);
  bool loops = c->made.id && !size && r->bound > c->block;
  if (loops) {
    start = ki_var(kb_loop(k, "rows", from, to, c->block));
    block = &start, size = c->block;
  }
  c->first = block ? *block : ki_const(0);
  if (c->made.id) {
    if (block) from = kbound(*block), to = kbound_cap(ki_addc(*block, size), r->len);
    KIdx row = ki_var(kb_loop(k, "i", from, to, 1));
    c->at[inner] = ki_addc(row, r->start);
    make_row(c, c->at[inner], ki_add(row, ki_mul(c->first, -1)));
    kb_end(k);
  }
  emit_panels(c, r, block, size);
  if (loops) kb_end(k);
}

static void emit_rows(Codes *c, int d) {
  Lowering *lo = &c->lo;
  if (lo->rank == 1) {
    if (c->made.id) make_row(c, ki_const(0), ki_const(0));
    emit_panels(c, NULL, NULL, 0);
    return;
  }
  const Axis *a = &lo->axis[d];
  for (int i = 0; i < a->n; i++) {
    if (d == lo->rank - 2) {
      emit_range(c, &a->range[i]);
      continue;
    }
    if (d == 0 && c->lo.rank >= 3 && a->n == 1 && !a->range[0].fixed) { // a task each: see emit_tasks
      emit_rows(c, d + 1);
      continue;
    }
    KVar v = kb_loop(lo->k, "m", kbound(ki_const(0)), kbound(a->range[i].len), 1);
    c->at[d] = ki_addc(ki_var(v), a->range[i].start);
    emit_rows(c, d + 1);
    kb_end(lo->k);
  }
}

/* choosing tiles and tasks ---------------------------------------------------------------------------- */
// Rows when run-time axes are at their least: what one request computes.
static int64_t least_rows(const Codes *c) {
  int64_t m = 1;
  for (int d = 0; d + 1 < c->lo.rank; d++) {
    const Axis *a = &c->lo.axis[d];
    int64_t lo = ki_min(c->lo.k, &a->range[0].len);
    m *= a->n == 1 && !a->range[0].fixed ? (lo > 0 ? lo : 1) : a->extent;
  }
  return m;
}

static int64_t most_rows(const Codes *c) { // for any batch
  int64_t m = 1;
  for (int d = 0; d + 1 < c->lo.rank; d++) m *= c->lo.axis[d].extent;
  return m;
}

static void choose_tile(Codes *c) {
  const Target *t = c->lo.t;
  const ProductCosts *cost = &t->cost->product;
  bool single = most_rows(c) <= cost->few_rows && least_rows(c) <= cost->single_rows; // as in products of f32
  c->rows = single ? 1 : t->code_tile.rows;
  c->width = (int)least(single ? cost->single_panels : t->code_tile.panels, c->panels);
  if (!c->pairs || dot_of(c) != DOT_PAIRS || single) return;
  while (c->width > 1 && c->width * PANEL * c->depth > cost->widened) c->width--;
  c->wide = kb_buf(c->lo.k, "wide", DT_F32, KB_SCRATCH, c->width * PANEL * c->depth);
}

static double weight_bytes(const Codes *c) {
  return 4 * (double)c->panel_words * (double)c->n;
}

static int64_t wanted_tasks(const Codes *c) {
  const Costs *cost = c->lo.t->cost;
  double kn = (double)c->depth * (double)c->n;
  double by_flops = 2 * (double)least_rows(c) * kn / cost->flops_per_us,
         by_bytes = weight_bytes(c) / cost->bytes_per_us;
  double tasks = (by_flops > by_bytes ? by_flops : by_bytes) / cost->task_us;
  return tasks < 1 ? 1 : least((int64_t)tasks, cost->most_tasks);
}

static void emit_tasks(Codes *c) {
  Lowering *lo = &c->lo;
  Kernel *k = lo->k;
  int64_t want = wanted_tasks(c), groups = ceil_div(c->panels, c->width), rows = rows_of_axis(c);
  c->chunk = ceil_div(groups, want) * c->width;
  int64_t columns = ceil_div(c->panels, c->chunk);
  int pars = 0;
  if (lo->rank >= 3 && lo->axis[0].n == 1 && !lo->axis[0].range[0].fixed) {
    c->at[0] = ki_var(kb_par(k, "b", kbound(ki_const(0)), kbound(lo->axis[0].range[0].len), 1));
    pars++;
  }
  c->chunk_start = ki_const(0);
  if (columns > 1) {
    c->chunk_start = ki_var(kb_par(k, "p", kbound(ki_const(0)), kbound(ki_const(c->panels)), c->chunk));
    pars++;
  }
  if (lo->rank >= 2 && (rows > c->block || (columns * 2 <= want && rows > 2 * c->rows))) {
    c->part = least(ceil_div(ceil_div(rows, ceil_div(want, columns)), c->rows) * c->rows, c->block);
    c->part_start = ki_var(kb_par(k, "t", kbound(ki_const(0)), kbound(ki_const(rows)), c->part));
    pars++;
  }
  emit_rows(c, 0);
  while (pars--) kb_end(k);
}

static bool finish(Codes *c) {
  Lowering *lo = &c->lo;
  double m = (double)least_rows(c), kn = (double)c->depth * (double)c->n;
  int64_t dims[MAX_DIMS];
  for (int d = 0; d < MAX_DIMS; d++) dims[d] = 1;
  for (size_t d = 0; d < lo->m->ndim; d++) dims[d] = lo->m->dim[d].hi;
  double tasks = (double)kernel_tasks(lo->k, dims);
  Buf b = {0};
  buf_puts(&b, c->pairs     ? "product of bf16 "
               : c->grouped ? "product of 8-bit codes with weights of 4 bits "
                            : "product of 8-bit codes ");
  type_print(&b, lo->m, &c->anchor->type);
  buf_printf(&b, ", k %lld, tile %d x %d", (long long)c->depth, c->rows, c->width * PANEL);
  const char *comment = arena_strdup(lo->arena, b.s);
  buf_free(&b);
  const char *name =
      arena_printf(lo->arena, "%s_k%lld_n%lld%s", name_of(c), (long long)c->depth, (long long)c->n, lower_members(lo));
  return lower_finish(lo, 2 * m * kn / tasks, (weight_bytes(c) + 4 * m * (double)(c->words + c->n)) / tasks, name,
                      comment);
}

SY_MUST_USE static bool add_operand(Codes *c, uint32_t i, const char *name, KBufRef *buf) {
  Source s;
  int64_t stride[MAX_RANK];
  if (!lower_stored(&c->lo, c->anchor->args[i], name, &s, stride)) return false;
  *buf = s.buf;
  return true;
}

// Rows of words: aligned with the domain's rows, and their words with its columns.
SY_MUST_USE static bool add_rows(Codes *c) {
  Lowering *lo = &c->lo;
  Source s;
  int64_t stride[MAX_RANK];
  if (!lower_stored(lo, c->anchor->args[0], "x", &s, stride)) return false;
  const Type *t = &graph_value(lo->g, s.val)->type;
  for (int d = 0; d < t->rank; d++)
    if (type_extent(lo->m, t, d) != 1) s.stride[d] = stride[d];
  s.data = lo->grp->anchor; // not to be taken for an operand of the epilogue
  c->xsrc = lo->src.n;
  VEC_PUSH(lo->arena, lo->src, s);
  return true;
}

bool lower_codes(Arena *a, const Graph *g, const Group *grp, const Target *t, Lowered *out) {
  Codes c = {.lo = lower_begin(a, g, grp, t, out, "codes"), .anchor = graph_value(g, grp->anchor)};
  Lowering *lo = &c.lo;
  lower_domain(lo, &c.anchor->type);
  const Type *w = &graph_value(lo->g, c.anchor->args[1])->type;
  c.n = value_int(c.anchor, A_columns, 0);
  c.panels = w->dim[0].c;
  c.grouped = c.anchor->op == OP_linear_codes4;
  c.pairs = c.anchor->op == OP_linear_pairs;
  c.panel_words = w->dim[1].c;
  c.words = c.panel_words * (c.grouped ? 2 : 1);
  c.depth = c.words * (c.pairs ? 2 : CODES_IN_WORD);
  if (!add_rows(&c) || !add_operand(&c, 1, "w", &c.w)) return false;
  if (!c.pairs && !add_operand(&c, 2, "scales", &c.scales)) return false;
  if (!c.pairs && !c.grouped && !add_operand(&c, 3, "sums", &c.sums)) return false;
  if (!lower_sources(lo) || !lower_root(lo)) return false;
  lower_collapse(lo, lo->rank - 1, 4 * (int64_t)t->code_tile.rows);
  choose_tile(&c);
  c.made_row = c.words * (dot_of(&c) == DOT_PAIRS ? 2 : 1);
  c.block = (c.wide.id ? 2 : 1) * MADE_BYTES / (4 * c.made_row) / c.rows * c.rows;
  if (c.block < c.rows) c.block = c.rows;
  int64_t made = least(c.block, round_up(rows_of_axis(&c), c.rows));
  DType dt = c.pairs ? DT_F32 : DT_I32;
  if (dot_of(&c) != DOT_WORDS && !c.grouped) c.made = kb_buf(lo->k, "made", dt, KB_SCRATCH, made * c.made_row);
  c.tile = kb_buf(lo->k, "tile", c.grouped ? DT_F32 : dt, KB_SCRATCH, (int64_t)c.rows * c.width * PANEL);
  emit_tasks(&c);
  return finish(&c);
}
