// lower_norm_sums.c: layer_norm_sums, the gradients of a LayerNorm by its gain and bias in one place of axis 0.
//
// A task owns a place (a sample of the batch) and goes through its rows in ascending order: the moments of the row,
// then dy n and dy are added to the two rows of the result, where the sums wait. Nobody else writes there, so the order
// is that of the rows for any number of tasks.
#include "lower_norm_sums.h"
#include "lower_reduce.h"

typedef struct NormSums {
  Lowering *lo;
  Source dy, x;
  int64_t dys[MAX_RANK], xs[MAX_RANK], ys[MAX_RANK]; // strides
  bool vectors;
  KIdx dy_row, x_row, y; // of the row at hand, column 0
  KVal s[3];             // mean, correction, one over the deviation
  Reduce reduce;
  bool squares; // the second walk
} NormSums;

static KVal load(const NormSums *s, const Source *from, KIdx at, uint32_t lanes, int64_t n, const char *name) {
  Kernel *k = s->lo->k;
  return from->constant ? kb_const(k, from->value, DT_F32, lanes)
                        : kb_load(k, from->buf, at, lanes, lanes == 1 ? 1 : n, name);
}

static KVal x_at(const NormSums *s, KIdx c, uint32_t lanes, int64_t n) {
  return load(s, &s->x, ki_add(s->x_row, ki_mul(c, s->xs[2])), lanes, n, "x");
}

static void term(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, KVal *value, void *ud) {
  const NormSums *s = ud;
  value[0] = x_at(s, c, lanes, n);
  if (!s->squares) return;
  value[0] = kb_op2(lo->k, K_sub, value[0], lower_in(lo, s->s[0], lanes));
  value[1] = kb_op2(lo->k, K_mul, value[0], value[0]);
}

static void walk(NormSums *s, bool squares, KVal *sum) {
  const Range *columns = &s->lo->axis[2].range[0];
  s->squares = squares;
  s->reduce = (Reduce){.join = K_add,
                       .terms = squares ? 2 : 1,
                       .dtype = DT_F32,
                       .vectors = s->vectors,
                       .term = term,
                       .ud = s,
                       .tail = {s->reduce.tail[0], s->reduce.tail[1]}};
  lower_reduce(s->lo, columns, 1, &s->reduce, sum);
}

// As in the kernel of layer_norm (lower_row.c).
static void moments(NormSums *s, double eps) {
  Kernel *k = s->lo->k;
  KVal n = kb_const(k, (double)s->lo->axis[2].range[0].bound, DT_F32, 1), sum[2];
  walk(s, false, sum);
  s->s[0] = kb_op2(k, K_div, sum[0], n);
  walk(s, true, sum);
  s->s[1] = kb_op2(k, K_div, sum[0], n);
  KVal var = kb_op2(k, K_sub, kb_op2(k, K_div, sum[1], n), kb_op2(k, K_mul, s->s[1], s->s[1]));
  var = kb_op2(k, K_max, kb_const(k, 0, DT_F32, 1), var);
  KVal deviation = kb_op1(k, K_sqrt, kb_op2(k, K_add, var, kb_const(k, eps, DT_F32, 1)));
  s->s[2] = kb_op2(k, K_div, kb_const(k, 1, DT_F32, 1), deviation);
}

static void zero_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const NormSums *s = ud;
  KIdx to = ki_add(s->y, ki_mul(c, s->ys[2]));
  for (int row = 0; row < 2; row++)
    kb_store(lo->k, lo->root.buf, ki_addc(to, row * s->ys[1]), kb_const(lo->k, 0, DT_F32, lanes), lanes == 1 ? 1 : n);
}

static void add_to(const NormSums *s, KIdx to, KVal more, uint32_t lanes, int64_t n) {
  Kernel *k = s->lo->k;
  n = lanes == 1 ? 1 : n;
  kb_store(k, s->lo->root.buf, to, kb_op2(k, K_add, kb_load(k, s->lo->root.buf, to, lanes, n, "y"), more), n);
}

static void add_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const NormSums *s = ud;
  Kernel *k = lo->k;
  KVal x = x_at(s, c, lanes, n), dy = load(s, &s->dy, ki_add(s->dy_row, ki_mul(c, s->dys[2])), lanes, n, "dy");
  x = kb_op2(k, K_sub, kb_op2(k, K_sub, x, lower_in(lo, s->s[0], lanes)), lower_in(lo, s->s[1], lanes));
  KIdx to = ki_add(s->y, ki_mul(c, s->ys[2]));
  add_to(s, to, kb_op2(k, K_mul, dy, kb_op2(k, K_mul, x, lower_in(lo, s->s[2], lanes))), lanes, n);
  add_to(s, ki_addc(to, s->ys[1]), dy, lanes, n);
}

bool lower_norm_sums(Lowering *lo, Val member) {
  const Value *v = graph_value(lo->g, member);
  const Type *tx = &graph_value(lo->g, v->args[1])->type;
  NormSums s = {.lo = lo};
  Kernel *k = lo->k;
  lower_domain(lo, tx);
  if (!lower_operand(lo, v->args[0], "dy", &s.dy, s.dys) || !lower_operand(lo, v->args[1], "x", &s.x, s.xs) ||
      !lower_root(lo))
    return false;
  const Range *rows = &lo->axis[1].range[0], *columns = &lo->axis[2].range[0];
  if (lo->axis[0].n != 1 || lo->axis[1].n != 1 || lo->axis[2].n != 1 || !columns->fixed)
    return lower_fail(lo, member, "its rows are not dense, or of a run-time length");
  Access at = access_resolve(lo->g, lo->grp->root);
  for (int d = 0; d < 3; d++) s.ys[d] = at.stride[d];
  s.vectors = s.ys[2] == 1 && (s.x.constant || s.xs[2] == 1) && (s.dy.constant || s.dys[2] == 1) && columns->bound > 1;
  KIdx b = ki_var(kb_par(k, "b", kbound(ki_const(0)), kbound(lo->axis[0].range[0].len), 1));
  s.y = ki_mul(b, s.ys[0]);
  lower_columns(lo, columns, s.vectors, 1, NULL, 0, zero_vector, &s);
  KIdx i = ki_var(kb_loop(k, "i", kbound(ki_const(0)), kbound(rows->len), 1));
  s.dy_row = ki_add(ki_mul(b, s.dys[0]), ki_mul(i, s.dys[1]));
  s.x_row = ki_add(ki_mul(b, s.xs[0]), ki_mul(i, s.xs[1]));
  moments(&s, value_float(v, A_eps, 0));
  lower_columns(lo, columns, s.vectors, 1, NULL, 0, add_vector, &s);
  kb_end(k);
  kb_end(k);
  double elements = (double)rows->bound * (double)columns->bound;
  const char *name = arena_printf(lo->arena, "layer_norm_sums_%lld", (long long)columns->bound);
  return lower_finish(lo, 10 * elements, 8 * elements, name, "gradients of a LayerNorm by gain and bias, per sample");
}
