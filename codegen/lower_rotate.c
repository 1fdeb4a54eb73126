// lower_rotate.c: rotary positions: the columns of each head in pairs, turned by the angles of their row.
//
// A row goes by head after head; the vectors of a head are those of the table. Pairs that lie apart (i and i + n) are
// two loads and two stores of whole vectors; neighbours (2i and 2i + 1) go one by one. Every product is rounded, so
// that all targets have the same bits.
//
//   loop h: loop i step 8: a = x[h d + i], b = x[h d + i + n];  y[h d + i] = a cos[i] - b sin[i];  y[h d + i + n] = ..
#include "lower_rotate.h"

typedef struct Rotate {
  const Value *v;
  Source x, table[2];
  int64_t xs[MAX_RANK], ts[2][MAX_RANK]; // strides of their own axes
  int64_t columns, n;                    // of a head; pairs that are turned
  bool pairs, vectors;
  KIdx row[2]; // batch entry and row
  KIdx head;   // its first column
} Rotate;

static KVal load(Lowering *lo, const Source *s, KIdx at, uint32_t lanes, int64_t n) {
  if (s->constant) return kb_const(lo->k, s->value, DT_F32, lanes);
  return kb_load(lo->k, s->buf, at, lanes, lanes == 1 ? 1 : n, NULL);
}

static KVal load_x(Lowering *lo, const Rotate *r, KIdx column, uint32_t lanes, int64_t n) {
  KIdx at = ki_add(ki_mul(r->row[0], r->xs[0]), ki_mul(r->row[1], r->xs[1]));
  return load(lo, &r->x, ki_add(at, ki_mul(column, r->xs[2])), lanes, n);
}

static void store_y(Lowering *lo, const Rotate *r, KIdx column, uint32_t lanes, int64_t n, KVal y) {
  lower_store(lo, &(Point){.at = {r->row[0], r->row[1], column}, .lanes = lanes, .n = n}, y);
}

static void turn(Lowering *lo, KIdx i, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const Rotate *r = ud;
  Kernel *k = lo->k;
  KVal t[2];
  for (int j = 0; j < 2; j++) {
    bool each = graph_value(lo->g, r->v->args[1 + j])->type.rank == 3; // a table for each batch entry
    const int64_t *s = &r->ts[j][each];
    KIdx at = ki_add(ki_mul(r->row[1], s[0]), ki_mul(i, s[1]));
    t[j] = load(lo, &r->table[j], each ? ki_add(at, ki_mul(r->row[0], r->ts[j][0])) : at, lanes, n);
  }
  KIdx ca = ki_add(r->head, r->pairs ? ki_mul(i, 2) : i), cb = ki_addc(ca, r->pairs ? 1 : r->n);
  KVal a = load_x(lo, r, ca, lanes, n), b = load_x(lo, r, cb, lanes, n);
  KVal ya = kb_op2(k, K_sub, kb_op2(k, K_mul, a, t[0]), kb_op2(k, K_mul, b, t[1]));
  KVal yb = kb_op2(k, K_add, kb_op2(k, K_mul, b, t[0]), kb_op2(k, K_mul, a, t[1]));
  store_y(lo, r, ca, lanes, n, ya);
  store_y(lo, r, cb, lanes, n, yb);
}

static void keep(Lowering *lo, KIdx i, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const Rotate *r = ud;
  KIdx column = ki_addc(ki_add(r->head, i), 2 * r->n);
  store_y(lo, r, column, lanes, n, load_x(lo, r, column, lanes, n));
}

static void emit_row(Lowering *lo, KIdx *at, void *ud) {
  Rotate *r = ud;
  r->row[0] = at[0], r->row[1] = at[1];
  KIdx end = ki_const(lo->axis[2].extent);
  r->head = ki_var(kb_loop(lo->k, "h", kbound(ki_const(0)), kbound(end), r->columns));
  int64_t rest = r->columns - 2 * r->n;
  Range turned = {0, ki_const(r->n), r->n, true}, kept = {0, ki_const(rest), rest, true};
  lower_columns(lo, &turned, r->vectors && !r->pairs, 1, NULL, 0, turn, r);
  if (rest) lower_columns(lo, &kept, r->vectors, 1, NULL, 0, keep, r);
  kb_end(lo->k);
}

bool lower_rotate(Lowering *lo, Val member) {
  static const char *const name[] = {"cos", "sin"};
  const Value *v = graph_value(lo->g, member);
  Rotate r = {.v = v, .pairs = value_int(v, A_pairs, 0) != 0};
  const Type *table = &graph_value(lo->g, v->args[1])->type;
  int64_t heads = value_int(v, A_heads, 1);
  r.columns = v->type.dim[2].c / heads, r.n = table->dim[table->rank - 1].c;
  lower_domain(lo, &v->type);
  if (lo->axis[0].n != 1 || lo->axis[1].n != 1) return lower_fail(lo, member, "its rows are stored in parts");
  if (!lower_operand(lo, v->args[0], "x", &r.x, r.xs)) return false;
  for (int j = 0; j < 2; j++)
    if (!lower_operand(lo, v->args[1 + j], name[j], &r.table[j], r.ts[j])) return false;
  if (!lower_root(lo)) return false;
  r.vectors = lo->root.stride[2] == 1 && (r.x.constant || r.xs[2] == 1);
  for (int j = 0; j < 2; j++) {
    int rank = graph_value(lo->g, v->args[1 + j])->type.rank;
    r.vectors = r.vectors && (r.table[j].constant || r.ts[j][rank - 1] == 1);
  }
  double row = (double)lo->axis[2].extent;
  int64_t rows = lo->t->cost->task_elements / lo->axis[2].extent;
  rows = rows < 1 ? 1 : rows;
  lower_rows(lo, rows, emit_row, &r);
  const char *kind = r.pairs ? "_pairs" : "";
  const char *about = arena_printf(lo->arena, "rotation of %lld heads of %lld, %lld pairs", (long long)heads,
                                   (long long)r.columns, (long long)r.n);
  return lower_finish(lo, 3 * row * (double)rows, 8 * row * (double)rows,
                      arena_printf(lo->arena, "rotate%s_h%lld_d%lld", kind, (long long)heads, (long long)r.columns),
                      about);
}
