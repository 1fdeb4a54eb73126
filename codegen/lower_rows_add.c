// lower_rows_add.c: rows_add, y[i[*],..] += x[*,..] from zero, in the order of the rows.
//
// A task owns a table (one for each place of the leading axes) or, where there is one table alone, some of its columns:
// it goes through all rows in their order and adds each to the place that its number names. Nobody else writes there,
// so the order of the sums is that of the rows for any number of tasks.
#include "lower_rows_add.h"

typedef struct RowsAdd {
  Val member;
  Source ids, rows;
  int64_t is[MAX_RANK], rs[MAX_RANK], ys[MAX_RANK]; // strides of their own axes
  const Type *tids;
  Axis id[MAX_RANK], table; // axes of the ids; the rows of a table
  int lead, behind;         // axes in front of the table's rows, behind them
  KIdx at[MAX_RANK];        // of the result
  int64_t most, keep;
  bool vectors;
  KIdx from, to; // of the row at hand: first element of x and of the result
} RowsAdd;

static const Range *columns_of(const Lowering *lo) {
  return &lo->axis[lo->rank - 1].range[0];
}

static void zero_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const RowsAdd *r = ud;
  kb_store(lo->k, lo->root.buf, ki_add(r->to, ki_mul(c, r->ys[lo->rank - 1])), kb_const(lo->k, 0, DT_F32, lanes),
           lanes == 1 ? 1 : n);
}

static void add_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const RowsAdd *r = ud;
  Kernel *k = lo->k;
  n = lanes == 1 ? 1 : n;
  KIdx to = ki_add(r->to, ki_mul(c, r->ys[lo->rank - 1]));
  KIdx from = ki_add(r->from, ki_mul(c, r->rs[r->tids->rank + r->behind - 1]));
  KVal more =
      r->rows.constant ? kb_const(k, r->rows.value, DT_F32, lanes) : kb_load(k, r->rows.buf, from, lanes, n, "x");
  kb_store(k, lo->root.buf, to, kb_op2(k, K_add, kb_load(k, lo->root.buf, to, lanes, n, "y"), more), n);
}

// The element of the table's row `row`, first column.
static KIdx table_row(const RowsAdd *r, KIdx row) {
  KIdx to = ki_mul(row, r->ys[r->lead]);
  for (int d = 0; d < r->lead; d++) to = ki_add(to, ki_mul(r->at[d], r->ys[d]));
  for (int d = 1; d < r->behind; d++) to = ki_add(to, ki_mul(r->at[r->lead + d], r->ys[r->lead + d]));
  return to;
}

typedef struct Block {
  const KIdx *at;
  int64_t size;
} Block;

static void zero_rows(Lowering *lo, RowsAdd *r, const Range *rows, const Block *b) {
  KIdx v = ki_addc(ki_var(kb_loop(lo->k, "v", kbound(ki_const(0)), kbound(rows->len), 1)), rows->start);
  r->to = table_row(r, v);
  lower_columns(lo, columns_of(lo), r->vectors, 1, b->at, b->size, zero_vector, r);
  kb_end(lo->k);
}

// Goes through axis d of the ids, and the ones behind it.
static void add_rows(Lowering *lo, RowsAdd *r, int d, KIdx id, KIdx row, const Block *b) {
  if (d < r->tids->rank) {
    for (int i = 0; i < r->id[d].n; i++) {
      const Range *a = &r->id[d].range[i];
      KIdx at = ki_addc(ki_var(kb_loop(lo->k, "p", kbound(ki_const(0)), kbound(a->len), 1)), a->start);
      add_rows(lo, r, d + 1, ki_add(id, ki_mul(at, r->is[d])), ki_add(row, ki_mul(at, r->rs[d])), b);
      kb_end(lo->k);
    }
    return;
  }
  KVar v = kb_ldidx(lo->k, r->ids.buf, id, 0, r->most, "row");
  r->to = table_row(r, ki_var(v));
  r->from = row;
  lower_columns(lo, columns_of(lo), r->vectors, 1, b->at, b->size, add_vector, r);
}

// One table, or the columns of it that block b names.
static void emit_table(Lowering *lo, RowsAdd *r, const Block *b) {
  KIdx id = ki_const(0), row = ki_const(0);
  for (int d = 0; d < r->lead; d++) {
    id = ki_add(id, ki_mul(r->at[d], r->is[d]));
    row = ki_add(row, ki_mul(r->at[d], r->rs[d]));
  }
  for (int d = 1; d < r->behind; d++) row = ki_add(row, ki_mul(r->at[r->lead + d], r->rs[r->tids->rank + d - 1]));
  for (int i = 0; i < r->table.n; i++) zero_rows(lo, r, &r->table.range[i], b);
  add_rows(lo, r, r->lead, id, row, b);
  if (!r->keep) return;
  Range kept = {0, ki_const(r->keep), r->keep, true}; // what look-ups do not train
  zero_rows(lo, r, &kept, b);
}

static void open_axis(Lowering *lo, RowsAdd *r, int d, int *open) {
  const Axis *a = &lo->axis[d];
  bool par = a->n == 1;
  KBound hi = kbound(a->range[0].len);
  KVar v = par ? kb_par(lo->k, "t", kbound(ki_const(0)), hi, 1) : (KVar){0};
  r->at[d] = ki_addc(ki_var(v), a->range[0].start);
  ++*open;
}

bool lower_rows_add(Lowering *lo, Val member) {
  const Value *v = graph_value(lo->g, member);
  RowsAdd r = {.member = member, .tids = &graph_value(lo->g, v->args[0])->type};
  r.lead = (int)value_int(v, A_axis, 0), r.behind = v->type.rank - 1 - r.lead, r.keep = value_int(v, A_keep, 0);
  if (lo->grp->member.n != 1) return lower_fail(lo, member, "nothing is computed behind it");
  lower_domain(lo, &v->type);
  if (!lower_operand(lo, v->args[0], "ids", &r.ids, r.is) || !lower_operand(lo, v->args[1], "rows", &r.rows, r.rs))
    return false;
  if (r.ids.constant) return lower_fail(lo, member, "all row numbers are one constant");
  for (int d = 0; d < r.tids->rank; d++) r.id[d] = lower_axis(lo, r.tids, d, false);
  r.table = lo->axis[r.lead];
  r.most = type_extent(lo->m, &v->type, r.lead) - 1;
  if (!lower_ids(lo, member, v->args[0], r.ids.buf, r.is, lower_row_count(lo, &v->type, r.lead)) || !lower_root(lo))
    return false;
  Access a = access_resolve(lo->g, lo->grp->root);
  for (int d = 0; d < v->type.rank; d++) r.ys[d] = a.stride[d];
  int last = v->type.rank - 1;
  r.vectors = lo->root.dtype == DT_F32 && r.ys[last] == 1 &&
              (r.rows.constant || r.rs[r.tids->rank + r.behind - 1] == 1) && lo->axis[last].range[0].bound > 1;
  for (int d = 0; d < v->type.rank; d++)
    if (d != r.lead && lo->axis[d].n != 1) return lower_fail(lo, member, "a part before the last one is run-time");
  int open = 0;
  for (int d = 0; d < r.lead; d++) open_axis(lo, &r, d, &open);
  for (int d = r.lead + 1; d < last; d++) open_axis(lo, &r, d, &open);
  int64_t columns = lo->t->cost->add_columns;
  const Range *c = columns_of(lo);
  Block whole = {NULL, 0};
  if (!r.lead && r.vectors && c->fixed && c->bound > columns) {
    KIdx block = ki_var(kb_par(lo->k, "c", kbound(ki_const(0)), kbound(c->len), columns));
    open++;
    emit_table(lo, &r, &(Block){&block, columns});
  } else {
    emit_table(lo, &r, &whole);
  }
  while (open--) kb_end(lo->k);
  double rows = 1, width = (double)(c->bound > columns && !r.lead ? columns : c->bound);
  for (int d = r.lead; d < r.tids->rank; d++) rows *= (double)type_extent(lo->m, r.tids, d);
  double elements = (rows + (double)(r.most + 1)) * width;
  const char *name = arena_printf(lo->arena, "rows_add_%lldx%lld", (long long)r.most + 1, (long long)c->bound);
  return lower_finish(lo, elements, 8 * elements, name, "rows added to the places that their numbers name");
}
