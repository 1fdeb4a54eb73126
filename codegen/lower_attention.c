// lower_attention.c: one kernel per attention: scores, mask, softmax and the weighted sum of values, per batch entry
// and head; scores never leave L1/L2 scratch.
//
// One task (batch entry, head, block of queries): keys and values of the head are packed (lower_attend.h), and
//   per tile of query rows:  scores, mask, maximum, e^(s - max), sum;  y = (e V) / sum
// A few queries read keys and values where they lie. A query that sees no key gets zeros.
#include "lower_attend.h"

// Most queries that read keys and values where they lie, and columns of a head. No costs of a target: dot products of
// rows are sums over lanes, those of a tile go in order, so these show in the bits and are the same everywhere. Packing
// reads and writes every key, more than so few queries gain by panels.
enum { FEW_QUERIES = 4, MOST_IN_PLACE = 256 };

typedef struct Forward {
  Attention a;
  HeadRows y;
  bool in_place; // keys and values are read where they lie
  KBufRef kt, vs, tile;
  int64_t block; // queries of a task, 0: all
  KIdx block_start;
} Forward;

/* scores of few queries ------------------------------------------------------------------------------- */
// Scores of one query row: a dot product with each key row; column c joins partial result c mod SCORE_LANES.
static void emit_dots(const QueryTile *t, const Part *p, KIdx seen, KIdx row) {
  const Attention *a = t->a;
  Kernel *k = a->lo.k;
  KVal q[MOST_IN_PLACE / 4], dot[SCORE_VECTORS];
  int64_t vectors = a->d / k->lanes, partials = SCORE_LANES / k->lanes;
  kb_region(k, "scores_in_place", "scores of one query; the keys lie in rows");
  KIdx n = ki_var(kb_let(k, seen, "n"));
  KIdx from = attend_row(a, &a->q, ki_addc(ki_add(t->row, row), t->q->r.start));
  for (int64_t v = 0; v < vectors; v++)
    q[v] = kb_load(k, a->q.buf, ki_addc(from, v * k->lanes), k->lanes, k->lanes, "q");
  KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(n), 1));
  KIdx key = attend_row(a, &a->k, ki_addc(j, p->r.start));
  attend_prefetch(a, &a->k, key, a->d);
  for (int64_t v = 0; v < vectors; v++) {
    KVal x = kb_load(k, a->k.buf, ki_addc(key, v * k->lanes), k->lanes, k->lanes, NULL);
    KVal *sum = &dot[v % partials];
    *sum = v < partials ? kb_op2(k, K_mul, q[v], x) : kb_op3(k, K_fma, q[v], x, *sum);
  }
  KVal s = lower_fold(k, K_add, dot, (int)partials);
  if (a->scale != 1) s = kb_op2(k, K_mul, s, kb_const(k, a->scale, DT_F32, 1));
  if (a->bias.id) s = kb_op2(k, K_add, s, kb_load(k, a->bias, attend_bias_address(t, p, j, row), 1, 1, "bias"));
  kb_store(k, a->s, ki_add(ki_mul(row, a->slots), ki_addc(j, p->slot)), s, 1);
  kb_end(k);
  kb_end(k);
}

/* weighted sum of values ------------------------------------------------------------------------------ */
typedef struct Weighted {
  const Forward *f;
  const QueryTile *t;
} Weighted;

static void emit_weighted(KIdx column, int64_t columns, int panels, void *ud) {
  const Weighted *w = ud;
  const Forward *f = w->f;
  const QueryTile *t = w->t;
  const Attention *a = &f->a;
  Kernel *k = a->lo.k;
  int64_t pitch = (int64_t)a->width * PANEL;
  RegTile g;
  KeySum sum = {a->s, t->at, f->vs, f->in_place ? &a->v : NULL, column, columns, pitch, panels};
  attend_sum(t, &sum, &g);
  // Through scratch and a loop over rows: with the factors of all rows at hand gcc would spill accumulators.
  tile_store(&g, f->tile, ki_const(0), (int64_t)panels * PANEL);
  tile_close(&g);
  KIdx r = t->rows > 1 ? ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(ki_const(t->rows)), 1)) : ki_const(0);
  KIdx to = ki_add(attend_row(a, &f->y, ki_addc(ki_add(t->row, r), t->q->r.start)), column);
  KVal inv = kb_bcast(k, a->inv, r, "inv");
  for (int v = 0; v < g.vectors; v++) {
    int64_t c = (int64_t)v * k->lanes, n = columns - c < (int64_t)k->lanes ? columns - c : (int64_t)k->lanes;
    if (n <= 0) continue;
    KVal y = kb_load(k, f->tile, ki_addc(ki_mul(r, pitch), c), k->lanes, k->lanes, NULL);
    kb_store(k, f->y.buf, ki_addc(to, c), kb_op2(k, K_mul, y, inv), n);
  }
  if (t->rows > 1) kb_end(k);
}

/* tasks ----------------------------------------------------------------------------------------------- */
typedef struct TileContext {
  Forward *f;
  const Part *q;
} TileContext;

static void emit_part_scores(const Forward *f, const QueryTile *t, int i) {
  Kernel *k = f->a.lo.k;
  if (!f->in_place) {
    attend_products(t, i, &(Products){&f->a.q, f->kt, f->a.s, t->at, true});
    return;
  }
  KIdx row = ki_const(0);
  if (t->rows > 1) row = ki_var(kb_loop(k, "i", kbound(row), kbound(ki_const(t->rows)), 1));
  emit_dots(t, &f->a.key[i], attend_seen_keys(t, i), row);
  if (t->rows > 1) kb_end(k);
}

static void emit_query_tile(Lowering *lo, KIdx row, int rows, bool tail, void *ud) {
  (void)lo;
  (void)tail;
  const TileContext *c = ud;
  QueryTile t = attend_tile(&c->f->a, c->q, row, rows);
  for (int i = 0; i < c->f->a.nkey; i++)
    if (attend_sees(&t, i)) emit_part_scores(c->f, &t, i);
  attend_softmax(&t);
  attend_column_groups(&c->f->a, c->f->a.e, emit_weighted, &(Weighted){c->f, &t});
}

static void emit_tasks(Forward *f) {
  Attention *a = &f->a;
  Kernel *k = a->lo.k;
  const Axis *batch = &a->lo.axis[0];
  int pars = 2;
  a->batch = ki_var(kb_par(k, "b", kbound(ki_const(0)), kbound(batch->range[0].len), 1));
  if (a->kv_heads < a->heads) { // the heads that share keys and values are neighbours
    int64_t each = a->heads / a->kv_heads;
    a->kv_head = ki_var(kb_par(k, "g", kbound(ki_const(0)), kbound(ki_const(a->kv_heads)), 1)), pars++;
    KIdx h = ki_var(kb_par(k, "h", kbound(ki_const(0)), kbound(ki_const(each)), 1));
    a->head = ki_add(ki_mul(a->kv_head, each), h);
  } else {
    a->head = ki_var(kb_par(k, "h", kbound(ki_const(0)), kbound(ki_const(a->heads)), 1));
  }
  int64_t block = attend_task_queries(a);
  KIdx from = ki_const(0);
  if (block)
    from = ki_var(kb_par(k, "t", kbound(ki_const(0)), kbound(ki_const(attend_longest_query(a))), block)), pars++;
  attend_start(a);
  for (int i = 0; i < a->nkey; i++) {
    if (!f->in_place) {
      attend_pack_keys(a, &a->key[i], &a->k, f->kt);
      attend_pack_values(a, &a->key[i], &a->v, 1, f->vs);
    }
    attend_pack_masks(a, &a->key[i]);
  }
  for (int i = 0; i < a->nquery; i++) {
    TileContext c = {f, &a->query[i]};
    lower_tiles(&a->lo, &a->query[i].r, a->rows, block ? &from : NULL, block, emit_query_tile, &c);
  }
  while (pars--) kb_end(k);
}

static bool reads_in_place(const Attention *a) {
  return attend_queries(a) <= FEW_QUERIES && a->q.column == 1 && a->k.column == 1 && a->v.column == 1 &&
         a->d % SCORE_LANES == 0 && a->d <= MOST_IN_PLACE && a->e % PANEL == 0;
}

// Value rows that lie in memory, far apart, are read once from end to end, if the tile has the registers.
static int whole_rows(const Attention *a) {
  int per_panel = PANEL / (int)a->lo.k->lanes;
  int64_t most = (int64_t)a->lo.t->vregs * 3 / 4 / (a->rows * per_panel), panels = a->e_pad / PANEL;
  return (int)(most < 1 ? 1 : most < panels ? most : panels);
}

static void add_scratch(Forward *f) {
  Attention *a = &f->a;
  Kernel *k = a->lo.k;
  attend_choose_tile(a);
  f->in_place = reads_in_place(a);
  if (f->in_place) {
    a->width = whole_rows(a);
  } else {
    f->kt = kb_buf(k, "kt", DT_F32, KB_SCRATCH, a->slots * a->d);
    f->vs = kb_buf(k, "vs", DT_F32, KB_SCRATCH, a->slots * a->e_pad);
  }
  attend_scratch(a, a->rows);
  f->tile = kb_buf(k, "tile", DT_F32, KB_SCRATCH, (int64_t)a->rows * a->width * PANEL);
}

static bool finish(Forward *f) {
  Attention *a = &f->a;
  Lowering *lo = &a->lo;
  double queries = (double)attend_queries(a), keys = (double)attend_keys(a), sizes = (double)(a->d + a->e);
  int64_t block = attend_task_queries(a);
  double flops = 2 * queries * keys * sizes;
  if (block) flops *= (double)block / (queries > (double)block ? queries : (double)block);
  const char *name = arena_printf(lo->arena, "attention_h%lld_d%lld", (long long)a->heads, (long long)a->d);
  if (a->kv_heads < a->heads) name = arena_printf(lo->arena, "%s_shared%lld", name, (long long)a->kv_heads);
  const char *comment =
      arena_printf(lo->arena, "attention, %s, tile %d x %d", attend_sizes(a), a->rows, a->width * PANEL);
  return lower_finish(lo, flops, 4 * (queries + keys) * sizes, name, comment);
}

bool lower_attention(Arena *arena, const Graph *g, const Group *grp, const Target *t, Lowered *out) {
  const Value *v = graph_value(g, grp->anchor);
  Forward f = {.a = {.lo = lower_begin(arena, g, grp, t, out, "attention"), .anchor = v}};
  Attention *a = &f.a;
  if (grp->root.id != grp->anchor.id) return lower_fail(&a->lo, grp->root, "an attention has no epilogue");
  if (!attend_begin(a) || !lower_root(&a->lo)) return false;
  f.y = (HeadRows){a->lo.root.buf, a->lo.root.stride[0], a->lo.root.stride[1], 1, a->e, 0, false};
  add_scratch(&f);
  emit_tasks(&f);
  return finish(&f);
}
