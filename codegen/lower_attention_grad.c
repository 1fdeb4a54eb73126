// lower_attention_grad.c: gradients of an attention by its queries, keys and values, or by its bias. Weights are
// computed again, once for all of them, per batch entry and head, as in the attention's own kernel (lower_attend.h):
//
//   per block of queries:
//     per tile of it:  p = softmax of the scores;  dp = dy V^T;  along = sum of p dp;  ds = p (dp - along)
//                      dq = ds (scale K);  dbias += ds
//     dk += ds^T (scale q);  dv += p^T dy
//
// Of a dropout of the weights p is drawn again with the exponentials and lies in their signs: of a dropped weight dp is
// 0 and dv gets nothing, else both are times 1 / (1 - rate); ds is of all weights, because the sum of the softmax is.
//
// p and ds of a block lie in scratch [queries][slots]; those of keys that a query does not see are zeros. A task owns a
// head of a batch entry (of a gradient by the bias: a head of all entries, in their order; by queries alone: perhaps
// some of them), so no two tasks write one element, and every element takes its terms in ascending order of keys, or of
// entries and queries, whatever the tiles and blocks. Which results there are says which of them have a buffer.
#include "lower_attention_grad.h"
#include "ir/op/op.h"
#include "lower_attend.h"

typedef struct Gradient {
  Attention a;
  HeadRows dy;
  HeadRows dq, dk, dv; // results, in the order of the operands; no buffer: not wanted
  KBufRef db;          // by the bias
  int64_t db_head, db_row, db_column;
  KBufRef kt, vt;      // keys, values as panels of keys
  KBufRef ks, qs, dys; // keys, queries, cotangents as panels of columns
  KBufRef ds;          // dy V^T, then ds
  int64_t block;       // most queries of a block
  KBufRef count;       // of the queries in a block, where lengths are run-time
  KIdx ds_at;          // first element of ds of the tile at hand
} Gradient;

typedef struct Block { // of queries
  Gradient *g;
  const Part *q;
  KIdx start, n; // within the part
} Block;

static bool by_scores(const Gradient *g) {
  return g->dq.buf.id || g->dk.buf.id || g->db.id;
}

static bool by_keys(const Gradient *g) {
  return g->dk.buf.id || g->dv.buf.id;
}

/* p and ds of a tile ---------------------------------------------------------------------------------- */
typedef struct GradRow {
  SoftRow r;
  const Gradient *g;
  KVal inv, along; // in all lanes
} GradRow;

// Calls `body` for each vector of slots that may have weights p, which lie in s at `at`, what belongs to them in ds at
// `ds`.
typedef void EachVector(const GradRow *x, KIdx at, KIdx ds, KVal p);
static KIdx ds_slot(const GradRow *x, KIdx at) {
  return ki_add(at, ki_add(x->g->ds_at, ki_mul(x->r.t->at, -1)));
}

static void each_vector(const GradRow *x, EachVector *body) {
  const QueryTile *t = x->r.t;
  const Attention *a = t->a;
  Kernel *k = a->lo.k;
  for (int i = 0; i < a->nkey; i++) {
    if (!attend_sees(t, i)) continue;
    KVar v = kb_loop(k, "j", kbound(ki_const(0)), attend_slots(&x->r, i), k->lanes);
    KIdx at = attend_slot(&x->r, &a->key[i], ki_var(v));
    body(x, at, ds_slot(x, at), kb_op2(k, K_mul, kb_load(k, a->s, at, k->lanes, k->lanes, "e"), x->inv));
    kb_end(k);
  }
}

// y where a key has a weight: what stands in other slots may be anything. A NaN stays one.
static KVal weighted(Kernel *k, KVal p, KVal y) {
  KVal zero = kb_const(k, 0, DT_F32, k->lanes);
  return kb_op3(k, K_select, kb_op2(k, K_eq, p, zero), zero, y);
}

// The weight itself, and y of it: 0 where it is dropped. A NaN stays one.
static KVal weight_of(const GradRow *x, KVal p) {
  Kernel *k = x->g->a.lo.k;
  KVal zero = kb_const(k, 0, DT_F32, k->lanes);
  return x->g->a.drops ? kb_op3(k, K_select, kb_op2(k, K_lt, p, zero), kb_op2(k, K_sub, zero, p), p) : p;
}

static KVal kept(const GradRow *x, KVal p, KVal y) {
  Kernel *k = x->g->a.lo.k;
  KVal zero = kb_const(k, 0, DT_F32, k->lanes), by = kb_const(k, 1 / (1 - x->g->a.rate), DT_F32, k->lanes);
  return kb_op3(k, K_select, kb_op2(k, K_lt, p, zero), zero, kb_op2(k, K_mul, y, by));
}

static void add_along(const GradRow *x, KIdx at, KIdx to, KVal p) {
  (void)at;
  Kernel *k = x->g->a.lo.k;
  KVal dp = kb_load(k, x->g->ds, to, k->lanes, k->lanes, "dp");
  if (x->g->a.drops) {
    dp = kept(x, p, dp);
    kb_store(k, x->g->ds, to, dp, k->lanes);
    p = weight_of(x, p);
  }
  attend_add_in_turn(k, x->r.sum, weighted(k, p, kb_op2(k, K_mul, p, dp)));
}

static void store_ds(const GradRow *x, KIdx at, KIdx to, KVal p) {
  (void)at;
  Kernel *k = x->g->a.lo.k;
  KVal dp = kb_load(k, x->g->ds, to, k->lanes, k->lanes, "dp");
  p = weight_of(x, p);
  KVal ds = kb_op2(k, K_mul, p, kb_op2(k, K_sub, dp, x->along));
  kb_store(k, x->g->ds, to, weighted(k, p, ds), k->lanes);
}

static void store_p(const GradRow *x, KIdx at, KIdx to, KVal p) {
  (void)to;
  Kernel *k = x->g->a.lo.k;
  kb_store(k, x->g->a.s, at, x->g->a.drops ? kept(x, p, p) : p, k->lanes);
}

// Zeros for the keys of part i behind those that the tile has seen.
static void clear_unseen(const GradRow *x, int i, KBufRef buf) {
  const Attention *a = &x->g->a;
  Kernel *k = a->lo.k;
  int64_t group = a->nkey == 1 ? k->lanes : SCORE_LANES; // as attend_slots
  KIdx seen = attend_seen_keys(x->r.t, i);
  KVar v = kb_loop(k, "j", kbound_floor(ki_addc(seen, group - 1), group), kbound(a->key[i].r.len), k->lanes);
  KIdx at = attend_slot(&x->r, &a->key[i], ki_var(v));
  kb_store(k, buf, buf.id == a->s.id ? at : ds_slot(x, at), kb_const(k, 0, DT_F32, k->lanes), k->lanes);
  kb_end(k);
}

static void emit_rows(const Gradient *g, const QueryTile *t) {
  const Attention *a = &g->a;
  Kernel *k = a->lo.k;
  GradRow x = {.r = {.t = t, .i = ki_const(0)}, .g = g};
  if (t->rows > 1) x.r.i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(t->rows)), 1));
  x.r.row = ki_add(t->row, x.r.i);
  kb_region(k, "gradient_row", "weights of one query and the gradient by its scores");
  x.inv = kb_bcast(k, a->inv, x.r.i, "inv");
  if (by_scores(g)) {
    int partials = SCORE_LANES / (int)k->lanes;
    for (int u = 0; u < partials; u++) x.r.sum[u] = kb_var(k, kb_const(k, 0, DT_F32, k->lanes), "sum");
    each_vector(&x, add_along);
    x.along = kb_splat(k, lower_fold(k, K_add, x.r.sum, partials));
    each_vector(&x, store_ds);
  }
  if (g->dv.buf.id) each_vector(&x, store_p);
  for (int i = 0; i < a->nkey; i++) {
    if (!t->causal[i] || !attend_sees(t, i)) continue;
    if (g->dk.buf.id || g->db.id) clear_unseen(&x, i, g->ds);
    if (g->dv.buf.id) clear_unseen(&x, i, a->s);
  }
  kb_end(k);
  if (t->rows > 1) kb_end(k);
}

/* results that are added to --------------------------------------------------------------------------- */
typedef struct ClearRow {
  KBufRef buf;
  KIdx at; // of column 0
  int64_t column;
} ClearRow;

static void clear_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const ClearRow *r = ud;
  KVal zero = kb_const(lo->k, 0, DT_F32, lanes);
  kb_store(lo->k, r->buf, ki_add(r->at, ki_mul(c, r->column)), zero, lanes == 1 ? 1 : n);
}

static void clear_rows(Gradient *g, const HeadRows *o) {
  Lowering *lo = &g->a.lo;
  Range columns = {0, ki_const(o->columns), o->columns, true};
  for (int i = 0; i < g->a.nkey && o->buf.id; i++) {
    const Range *r = &g->a.key[i].r;
    KIdx j = ki_var(kb_loop(lo->k, "j", kbound(ki_const(0)), kbound(r->len), 1));
    ClearRow row = {o->buf, attend_row(&g->a, o, ki_addc(j, r->start)), 1};
    lower_columns(lo, &columns, true, 1, NULL, 0, clear_vector, &row);
    kb_end(lo->k);
  }
}

/* by queries and by the bias -------------------------------------------------------------------------- */
typedef struct TileSum {
  const Gradient *g;
  const QueryTile *t;
} TileSum;

static void emit_dq(KIdx column, int64_t columns, int panels, void *ud) {
  const TileSum *x = ud;
  const Gradient *g = x->g;
  RegTile r;
  attend_sum(x->t, &(KeySum){g->ds, g->ds_at, g->ks, NULL, column, columns, g->dq.row, panels}, &r);
  KIdx to = attend_row(&g->a, &g->dq, ki_addc(x->t->row, x->t->q->r.start));
  tile_store(&r, g->dq.buf, ki_add(to, column), columns);
  tile_close(&r);
}

typedef struct BiasRow {
  const Gradient *g;
  KIdx from, to; // of column 0
} BiasRow;

static KIdx bias_row(const Gradient *g, KIdx row) {
  return ki_add(ki_mul(g->a.head, g->db_head), ki_mul(row, g->db_row));
}

static void add_bias_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const BiasRow *r = ud;
  Kernel *k = lo->k;
  n = lanes == 1 ? 1 : n;
  KIdx to = ki_add(r->to, ki_mul(c, r->g->db_column));
  KVal ds = kb_load(k, r->g->ds, ki_add(r->from, c), lanes, n, "ds");
  kb_store(k, r->g->db, to, kb_op2(k, K_add, kb_load(k, r->g->db, to, lanes, n, "y"), ds), n);
}

static void emit_bias(Gradient *g, const QueryTile *t) {
  Lowering *lo = &g->a.lo;
  KIdx i = ki_var(kb_loop(lo->k, "i", kbound(ki_const(0)), kbound(ki_const(t->rows)), 1));
  KIdx from = ki_add(g->ds_at, ki_mul(i, g->a.slots)), to = bias_row(g, ki_addc(ki_add(t->row, i), t->q->r.start));
  for (int p = 0; p < g->a.nkey; p++) {
    const Part *key = &g->a.key[p];
    if (!attend_sees(t, p)) continue;
    BiasRow r = {g, ki_addc(from, key->slot - key->r.start), to};
    lower_columns(lo, &key->r, g->db_column == 1, 1, NULL, 0, add_bias_vector, &r);
  }
  kb_end(lo->k);
}

static void clear_bias(Gradient *g) {
  Lowering *lo = &g->a.lo;
  const Value *v = g->a.anchor;
  int64_t rows = type_extent(lo->m, &v->type, 1), columns = type_extent(lo->m, &v->type, 2);
  Range all = {0, ki_const(columns), columns, true};
  KIdx row = ki_var(kb_loop(lo->k, "r", kbound(ki_const(0)), kbound(ki_const(rows)), 1));
  ClearRow r = {g->db, bias_row(g, row), g->db_column};
  lower_columns(lo, &all, g->db_column == 1, 1, NULL, 0, clear_vector, &r);
  kb_end(lo->k);
}

/* by keys and values ---------------------------------------------------------------------------------- */
typedef struct QuerySum { // to[keys][columns] += weights^T panels, over the queries of a block
  const Block *b;
  const Part *p;
  const HeadRows *to;
  KBufRef weights, panels;
  // of the tile at hand
  KIdx column;
  int64_t columns;
  int npanels;
} QuerySum;

static KVal load_sum(const QuerySum *s, const RegTile *r, KIdx to, int row, int v) {
  Kernel *k = s->b->g->a.lo.k;
  int64_t left = s->columns - (int64_t)v * k->lanes, n = left < (int64_t)k->lanes ? left : (int64_t)k->lanes;
  if (n <= 0) return kb_const(k, 0, DT_F32, k->lanes);
  return kb_load(k, s->to->buf, tile_address(r, to, row, v), k->lanes, n, "y");
}

static void emit_key_tile(Lowering *lo, KIdx key, int rows, bool tail, void *ud) {
  (void)tail;
  const QuerySum *s = ud;
  Gradient *g = s->b->g;
  Kernel *k = lo->k;
  RegTile r;
  tile_open(&r, k, rows, s->npanels, 1, PANEL * g->block, s->to->row);
  KIdx n = tile_length(&r, s->b->n), to = ki_add(attend_row(&g->a, s->to, ki_addc(key, s->p->r.start)), s->column);
  for (int i = 0; i < rows * r.vectors; i++)
    tile_start(&r, i / r.vectors, i % r.vectors, load_sum(s, &r, to, i / r.vectors, i % r.vectors));
  KIdx i = ki_var(kb_loop(k, "k", kbound(ki_const(0)), kbound(n), 1));
  KIdx weight = ki_add(ki_mul(i, g->a.slots), ki_addc(key, s->p->slot));
  tile_step(&r, s->weights, weight, s->panels, ki_add(ki_mul(s->column, g->block), ki_mul(i, PANEL)));
  kb_end(k);
  tile_store(&r, s->to->buf, to, s->columns);
  tile_close(&r);
}

static void emit_key_columns(KIdx column, int64_t columns, int panels, void *ud) {
  QuerySum *s = ud;
  s->column = column, s->columns = columns, s->npanels = panels;
  Gradient *g = s->b->g;
  lower_tiles(&g->a.lo, &s->p->r, g->a.rows, NULL, 0, emit_key_tile, s);
}

// The sums of a result by keys: what the queries of the block add to each of its rows.
static void emit_query_sum(const Block *b, const HeadRows *to, KBufRef weights, KBufRef panels) {
  Attention *a = &b->g->a;
  QueryTile any = attend_tile(a, b->q, b->start, 1);
  for (int i = 0; i < a->nkey && to->buf.id; i++) {
    QuerySum s = {.b = b, .p = &a->key[i], .to = to, .weights = weights, .panels = panels};
    if (attend_sees(&any, i)) attend_column_groups(a, to->columns, emit_key_columns, &s);
  }
}

/* queries --------------------------------------------------------------------------------------------- */
// A tile of a block's queries: everything that is wanted of single queries.
static void emit_tile(Lowering *lo, KIdx row, int rows, bool tail, void *ud) {
  (void)lo;
  (void)tail;
  const Block *b = ud;
  Gradient *g = b->g;
  Attention *a = &g->a;
  QueryTile t = attend_tile(a, b->q, ki_add(b->start, row), rows);
  if (g->dv.buf.id) t.at = ki_mul(row, a->slots); // p and ds of a block are kept where its keys need them
  g->ds_at = g->dk.buf.id ? ki_mul(row, a->slots) : ki_const(0);
  for (int i = 0; i < a->nkey; i++)
    if (attend_sees(&t, i)) attend_products(&t, i, &(Products){&a->q, g->kt, a->s, t.at, true});
  attend_softmax(&t);
  for (int i = 0; i < a->nkey && by_scores(g); i++)
    if (attend_sees(&t, i)) attend_products(&t, i, &(Products){&g->dy, g->vt, g->ds, g->ds_at, false});
  emit_rows(g, &t);
  if (g->dq.buf.id) attend_column_groups(a, a->d, emit_dq, &(TileSum){g, &t});
  if (g->db.id) emit_bias(g, &t);
}

static void emit_block(const Block *b, const Range *rows) {
  Gradient *g = b->g;
  Attention *a = &g->a;
  KIdx start = ki_addc(b->start, b->q->r.start);
  Block at = *b;
  lower_tiles(&a->lo, rows, a->rows, NULL, 0, emit_tile, &at);
  if (g->dk.buf.id) attend_pack_rows(a, &(RowPanels){&a->q, start, b->n, a->scale, g->qs, g->block, 0});
  if (g->dv.buf.id) attend_pack_rows(a, &(RowPanels){&g->dy, start, b->n, 1, g->dys, g->block, 0});
  emit_query_sum(b, &g->dk, g->ds, g->qs);
  emit_query_sum(b, &g->dv, a->s, g->dys);
}

static void emit_whole_block(Lowering *lo, KIdx row, int rows, bool tail, void *ud) {
  (void)lo;
  (void)tail;
  Block b = *(const Block *)ud;
  Range local = {0, ki_const(rows), rows, true};
  b.start = row, b.n = local.len;
  emit_block(&b, &local);
}

// Queries of a part's blocks. A run-time number of them is divided only where blocks fill its upper bound, so that no
// address of a block lies behind it.
static int64_t block_of(const Attention *a, const Range *r) {
  int64_t least = 4 * (int64_t)a->rows, most = a->lo.t->cost->attention.kept / a->slots / a->rows * a->rows;
  if (most < least) most = least;
  if (r->bound <= most || r->fixed) return r->bound < most ? r->bound : most;
  while (most >= least && r->bound % most) most--;
  return most >= least ? most : r->bound;
}

// Blocks of a run-time number of queries. How many the last one has is no sum of indices; it goes through memory.
static void emit_runtime_blocks(Gradient *g, const Part *q, int64_t block) {
  Kernel *k = g->a.lo.k;
  KIdx from = ki_var(kb_loop(k, "qb", kbound(ki_const(0)), kbound(q->r.len), block));
  KVal left = kb_index(k, ki_add(q->r.len, ki_mul(from, -1)), DT_I32, 1);
  kb_store(k, g->count, ki_const(0), kb_op2(k, K_min, left, kb_const(k, (double)block, DT_I32, 1)), 1);
  KIdx n = ki_var(kb_ldidx(k, g->count, ki_const(0), 1, block, "n"));
  Range local = {0, n, block, false};
  emit_block(&(Block){g, q, from, n}, &local);
  kb_end(k);
}

// All queries of a part. from: those of a task, [*from, *from + size); NULL: all.
static void emit_queries(Gradient *g, const Part *q, const KIdx *from, int64_t size) {
  Lowering *lo = &g->a.lo;
  Block b = {g, q, ki_const(0), q->r.len};
  int64_t block = block_of(&g->a, &q->r);
  if (!by_keys(g))
    lower_tiles(lo, &q->r, g->a.rows, from, size, emit_tile, &b);
  else if (q->r.fixed)
    lower_tiles(lo, &q->r, (int)block, NULL, 0, emit_whole_block, &b);
  else if (block < q->r.bound)
    emit_runtime_blocks(g, q, block);
  else
    emit_block(&b, &q->r);
}

// One batch entry's head.
static void emit_head(Gradient *g, const KIdx *from, int64_t size) {
  Attention *a = &g->a;
  attend_start(a);
  for (int i = 0; i < a->nkey; i++) {
    const Part *p = &a->key[i];
    attend_pack_keys(a, p, &a->k, g->kt);
    if (by_scores(g)) attend_pack_keys(a, p, &a->v, g->vt);
    if (g->dq.buf.id) attend_pack_values(a, p, &a->k, a->scale, g->ks);
    attend_pack_masks(a, p);
  }
  for (int i = 0; i < a->nquery; i++) emit_queries(g, &a->query[i], from, size);
}

/* tasks ----------------------------------------------------------------------------------------------- */
static void emit_tasks(Gradient *g) {
  Attention *a = &g->a;
  Kernel *k = a->lo.k;
  KBound entries = kbound(a->lo.axis[0].range[0].len), heads = kbound(ki_const(a->heads)), zero = kbound(ki_const(0));
  int open = 2;
  KIdx from = ki_const(0);
  int64_t size = 0;
  if (g->db.id) {
    a->head = ki_var(kb_par(k, "h", zero, heads, 1));
    clear_bias(g);
    a->batch = ki_var(kb_loop(k, "b", zero, entries, 1));
  } else {
    a->batch = ki_var(kb_par(k, "b", zero, entries, 1));
    a->head = ki_var(kb_par(k, "h", zero, heads, 1));
    size = by_keys(g) ? 0 : attend_task_queries(a);
    if (size) from = ki_var(kb_par(k, "t", zero, kbound(ki_const(attend_longest_query(a))), size)), open++;
  }
  clear_rows(g, &g->dk);
  clear_rows(g, &g->dv);
  emit_head(g, size ? &from : NULL, size);
  while (open--) kb_end(k);
}

static int64_t padded(int64_t columns) {
  return (columns + PANEL - 1) / PANEL * PANEL;
}

static KBufRef scratch(Gradient *g, const char *name, int64_t n) {
  return kb_buf(g->a.lo.k, name, DT_F32, KB_SCRATCH, n);
}

static void add_scratch(Gradient *g) {
  Attention *a = &g->a;
  attend_choose_tile(a);
  bool counts = false;
  for (int i = 0; i < a->nquery; i++) {
    int64_t block = block_of(a, &a->query[i].r);
    g->block = block > g->block ? block : g->block;
    counts = counts || (!a->query[i].r.fixed && block < a->query[i].r.bound);
  }
  g->kt = scratch(g, "kt", a->slots * a->d);
  if (by_scores(g)) g->vt = scratch(g, "vt", a->slots * a->e);
  if (g->dq.buf.id) g->ks = scratch(g, "ks", a->slots * padded(a->d));
  if (g->dk.buf.id) g->qs = scratch(g, "qs", g->block * padded(a->d));
  if (g->dv.buf.id) g->dys = scratch(g, "dys", g->block * padded(a->e));
  attend_scratch(a, g->dv.buf.id ? g->block : a->rows);
  if (by_keys(g) && counts) g->count = kb_buf(a->lo.k, "count", DT_I32, KB_SCRATCH, 1);
  if (by_scores(g)) g->ds = scratch(g, "ds", (g->dk.buf.id ? g->block : a->rows) * a->slots);
}

// Where the gradients lie: of queries, keys and values side by side in the columns of the result, of the bias alone.
SY_MUST_USE static bool add_results(Gradient *g, const Attr *wrt) {
  Lowering *lo = &g->a.lo;
  if (!lower_root(lo)) return false;
  Access at = access_resolve(lo->g, lo->grp->root);
  if (wrt->v[0] > 2) {
    g->db = lo->root.buf, g->db_head = at.stride[0], g->db_row = at.stride[1], g->db_column = at.stride[2];
    return true;
  }
  HeadRows *const result[] = {&g->dq, &g->dk, &g->dv};
  int64_t first = 0;
  for (size_t i = 0; i < wrt->nv; i++) {
    int64_t columns = wrt->v[i] == 2 ? g->a.e : g->a.d;
    *result[wrt->v[i]] = (HeadRows){lo->root.buf, at.stride[0], at.stride[1], 1, columns, first, false};
    first += columns * g->a.heads;
  }
  return at.stride[2] == 1 || lower_fail(lo, lo->grp->root, "its columns are not side by side");
}

// Their names, e.g. "query_key_value" for "_", "".
static const char *names_of(Arena *a, const Attr *wrt, const char *between, const char *last) {
  static const char *const names[] = {"query", "key", "value", "bias"};
  const char *text = names[wrt->v[0] > 2 ? 3 : wrt->v[0]];
  for (size_t i = 1; i < wrt->nv; i++)
    text = arena_printf(a, "%s%s%s", text, i + 1 < wrt->nv ? between : last, names[wrt->v[i]]);
  return text;
}

static bool finish(Gradient *g, const Attr *wrt) {
  Attention *a = &g->a;
  double queries = (double)attend_queries(a), keys = (double)attend_keys(a), pairs = queries * keys;
  double flops = 2 * pairs * (double)(a->d + (by_scores(g) ? a->e : 0)), read = 2 * (double)(a->d + a->e);
  flops += 2 * pairs * (double)((g->dq.buf.id ? a->d : 0) + (g->dk.buf.id ? a->d : 0) + (g->dv.buf.id ? a->e : 0));
  int64_t size = by_keys(g) || g->db.id ? 0 : attend_task_queries(a);
  if (size) flops *= (double)size / (queries > (double)size ? queries : (double)size);
  const char *name = arena_printf(a->lo.arena, "attention_grad_%s_h%lld_d%lld", names_of(a->lo.arena, wrt, "_", "_"),
                                  (long long)a->heads, (long long)a->d);
  const char *comment =
      arena_printf(a->lo.arena, "gradient of an attention by its %s, %s, tile %d x %d",
                   names_of(a->lo.arena, wrt, ", ", " and "), attend_sizes(a), a->rows, a->width * PANEL);
  return lower_finish(&a->lo, flops, 4 * (queries + keys) * read, name, comment);
}

bool lower_attention_grad(Lowering *lo, Val member) {
  const Value *v = graph_value(lo->g, member);
  Gradient g = {.a = {.lo = *lo, .anchor = v, .marked = true}};
  Attention *a = &g.a;
  const Attr *wrt = value_attr(v, A_wrt);
  if (lo->grp->member.n != 1) return lower_fail(lo, member, "nothing is computed behind it");
  if (!attend_begin(a) || !attend_operand(a, v->nargs - 1, "dy", a->e, &g.dy) || !add_results(&g, wrt)) return false;
  add_scratch(&g);
  emit_tasks(&g);
  return finish(&g, wrt);
}
