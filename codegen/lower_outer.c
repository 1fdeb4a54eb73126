// lower_outer.c: outer, w[i,j] = sum of x[..,i] y[..,j] over all leading axes: the gradient of a product's weight.
//
// A tile of the result, a few rows by one vector of columns, stays in registers while the leading axes run by in
// ascending order, whatever the tile: so the bits depend on neither its size nor the number of tasks.
//
//   par i step 12: loop j step 8: acc0..acc11 = 0
//     loop b: loop l:  y = y[b, l, j..];  acc0 += x[b, l, i] y; .. acc11 += x[b, l, i + 11] y
//     w[i .. i + 11, j..] = acc
#include "lower_matmul.h"

enum { ROWS = 12, TASK_WORK = 1 << 21 };

typedef struct Outer {
  const Value *anchor;
  Source x, y;
  int64_t xs[MAX_RANK], ys[MAX_RANK]; // strides of their own axes
  Axis lead[MAX_RANK];
  int nlead;
  KIdx row; // of the tile
  int rows;
  bool vectors;
  // of the vector at hand
  KIdx column;
  uint32_t lanes;
  int64_t n;
  KVal acc[ROWS];
} Outer;

static KVal value_at(Lowering *lo, const Source *s, KIdx at, uint32_t lanes, int64_t n, bool one) {
  Kernel *k = lo->k;
  if (s->constant) return kb_const(k, s->value, DT_F32, lanes);
  if (lanes == 1) return kb_load(k, s->buf, at, 1, 1, NULL);
  return one ? kb_bcast(k, s->buf, at, NULL) : kb_load(k, s->buf, at, lanes, n, NULL);
}

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

static void emit_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  Outer *o = ud;
  o->column = c, o->lanes = lanes, o->n = n;
  for (int r = 0; r < o->rows; r++) o->acc[r] = kb_var(lo->k, kb_const(lo->k, 0, DT_F32, lanes), "acc");
  add_rows(lo, o, 0, ki_const(0), ki_const(0));
  for (int r = 0; r < o->rows; r++) {
    Point p = {.at = {ki_addc(o->row, r), c}, .lanes = lanes, .n = n, .leaf = lo->grp->anchor, .leaf_value = o->acc[r]};
    lower_store(lo, &p, lower_element(lo, &p, lo->grp->root));
  }
}

static void emit_tile(Lowering *lo, KIdx row, int rows, bool tail, void *ud) {
  (void)tail;
  Outer *o = ud;
  o->row = row, o->rows = rows;
  lower_columns(lo, &lo->axis[1].range[0], o->vectors, 1, NULL, 0, emit_vector, o);
}

bool lower_outer(Arena *arena, const Graph *g, const Group *grp, const Target *t, Lowered *out) {
  const Value *v = graph_value(g, grp->anchor);
  Lowering lo = lower_begin(arena, g, grp, t, out, "outer");
  Outer o = {.anchor = v};
  const Type *tx = &graph_value(g, v->args[0])->type;
  lower_domain(&lo, &v->type);
  if (!lower_operand(&lo, v->args[0], "x", &o.x, o.xs) || !lower_operand(&lo, v->args[1], "y", &o.y, o.ys))
    return false;
  if (!lower_sources(&lo) || !lower_root(&lo)) return false;
  double work = 2;
  for (int d = 0; d + 1 < tx->rank; d++) {
    o.lead[o.nlead++] = lower_axis(&lo, tx, d, false);
    work *= (double)type_extent(g->module, tx, d);
  }
  o.vectors = lower_vectors(&lo) && (o.y.constant || o.ys[o.nlead] == 1);
  int64_t columns = lo.axis[1].extent, tiles = (int64_t)(TASK_WORK / (work * ROWS * (double)columns));
  int64_t block = ROWS * (tiles < 1 ? 1 : tiles);
  const Range *rows = &lo.axis[0].range[0];
  KIdx from = ki_var(kb_par(lo.k, "t", kbound(ki_const(0)), kbound(rows->len), block));
  if (rows->bound <= block)
    lower_tiles(&lo, rows, ROWS, NULL, 0, emit_tile, &o);
  else
    lower_tiles(&lo, rows, ROWS, &from, block, emit_tile, &o);
  kb_end(lo.k);
  double each = (double)(rows->bound < block ? rows->bound : block);
  const char *name = arena_printf(arena, "outer_%lldx%lld", (long long)rows->bound, (long long)columns);
  return lower_finish(&lo, work * each * (double)columns, 4 * each * (double)columns, name,
                      "sum of the products of all rows: the gradient of a weight");
}
