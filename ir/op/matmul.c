// matmul.c: linear and matmul.
//
//   linear  x [..,K], w [N,K] (trans = 1: [K,N]), optional b [N]  ->  [..,N]; segments of x stay.
//   linear_rows  x [N,K], w, n i32[]  ->  [N,..]: the product of the first n rows, zeros behind them
//   matmul  a [..,M,K], b [..,K,N] (trans = 1: [..,N,K])          ->  [..,M,N]; leading axes of b equal those of a, or
//   b
//           has none. The summed axis may be segmented on both sides; the result has the segments of M or of N.
// References sum in doubles in ascending order of k.
#include "op.h"

bool shape_linear(const ShapeCtx *c, Type *out) {
  if (!shape_count(c, 2, 3) || !shape_float(c) || !shape_dense_rows(c) || !shape_rank(c, 1, 2)) return false;
  const Type *x = shape_arg(c, 0), *w = shape_arg(c, 1);
  int64_t trans = shape_int(c, A_trans, 0);
  if (trans != 0 && trans != 1) return shape_error(c, "E0208", "trans = %lld, must be 0 or 1", (long long)trans);
  int last = x->rank - 1, wk = trans ? 0 : 1;
  if (w->nseg) return shape_error(c, "E0205", "the weight is segmented (%s)", shape_axis(c, w, w->segaxis));
  if (!dim_equal(x->dim[last], w->dim[wk])) {
    shape_error(c, "E0204", "the weight %s takes %s columns, but x is %s with %s", shape_type(c, 1),
                shape_axis(c, w, wk), shape_type(c, 0), shape_axis(c, x, last));
    if (dim_equal(x->dim[last], w->dim[1 - wk]))
      shape_hint(c, "the weight looks transposed: affine(x, weight, transposed = %s) takes [%s]",
                 trans ? "false" : "true", trans ? "out, in" : "in, out");
    return false;
  }
  if (c->nargs == 3) {
    if (!shape_rank(c, 2, 1)) return false;
    if (!shape_axis_equal(shape_arg(c, 2), 0, w, 1 - wk))
      return shape_error_at(c, 2, "E0204", "the weight %s gives %s columns but the bias has %s", shape_type(c, 1),
                            shape_axis(c, w, 1 - wk), shape_axis(c, shape_arg(c, 2), 0));
  }
  *out = *x;
  if (x->nseg && x->segaxis == last) type_set_segs(out, 0, NULL, 0);
  out->dim[last] = w->dim[1 - wk];
  return true;
}

bool shape_linear_rows(const ShapeCtx *c, Type *out) {
  if (!shape_rank(c, 0, 2) || !shape_rank(c, 1, 2) || !shape_rank(c, 2, 0)) return false;
  const Type *x = shape_arg(c, 0), *w = shape_arg(c, 1), *n = shape_arg(c, 2);
  int64_t trans = shape_int(c, A_trans, 0);
  if (trans != 0 && trans != 1) return shape_error(c, "E0208", "trans = %lld, must be 0 or 1", (long long)trans);
  if (x->dtype != w->dtype || dtype_info[x->dtype].kind != DK_FLOAT || n->dtype != DT_I32)
    return shape_error(c, "E0203", "the operands are two floating tensors and an i32");
  if (x->nseg || w->nseg) return shape_error(c, "E0205", "an operand is segmented");
  if (!dim_is_const(x->dim[0]) || !dim_equal(x->dim[1], w->dim[trans ? 0 : 1]))
    return shape_error(c, "E0204", "%s and the weight %s do not fit", shape_type(c, 0), shape_type(c, 1));
  *out = *x;
  out->dim[1] = w->dim[trans ? 1 : 0];
  return true;
}

bool shape_matmul(const ShapeCtx *c, Type *out) {
  if (!shape_float(c)) return false;
  const Type *a = shape_arg(c, 0), *b = shape_arg(c, 1);
  int64_t trans = shape_int(c, A_trans, 0);
  if (trans != 0 && trans != 1) return shape_error(c, "E0208", "trans = %lld, must be 0 or 1", (long long)trans);
  if (a->rank < 2 || b->rank < 2) return shape_error(c, "E0202", "both operands need at least two axes");
  if (b->rank != 2 && b->rank != a->rank)
    return shape_error(c, "E0202", "%s has %d axes, so %s needs %d or 2, has %d", shape_who(c, 0), a->rank,
                       shape_who(c, 1), a->rank, b->rank);
  int ak = a->rank - 1, bk = b->rank - (trans ? 1 : 2), bn = b->rank - (trans ? 2 : 1);
  for (int i = 0; i + 2 < b->rank; i++)
    if (!shape_axis_equal(a, i, b, i))
      return shape_error(c, "E0204", "axis %d is %s in %s and %s in %s", i, shape_axis(c, a, i), shape_who(c, 0),
                         shape_axis(c, b, i), shape_who(c, 1));
  if (!dim_equal(a->dim[ak], b->dim[bk])) {
    shape_error(c, "E0204", "cannot multiply the matrices %s and %s: %s columns meet %s %s", shape_type(c, 0),
                shape_type(c, 1), shape_axis(c, a, ak), shape_axis(c, b, bk), trans ? "columns" : "rows");
    if (dim_equal(a->dim[ak], b->dim[bn]))
      shape_hint(c, "the second one looks transposed: matmul(a, b, transposed = %s)", trans ? "false" : "true");
    return false;
  }
  if (!shape_axis_equal(a, ak, b, bk))
    return shape_error(c, "E0205", "the summed axis is %s in %s and %s in %s", shape_axis(c, a, ak), shape_who(c, 0),
                       shape_axis(c, b, bk), shape_who(c, 1));
  *out = *a;
  if (a->nseg && a->segaxis == ak) type_set_segs(out, 0, NULL, 0);
  out->dim[ak] = b->dim[bn];
  if (!b->nseg || b->segaxis == bk) return true;
  if (b->segaxis != bn) { // a leading axis: the result has it from either side
    if (!out->nseg) type_set_segs(out, b->segaxis, b->seg, b->nseg);
    return true;
  }
  if (out->nseg)
    return shape_error(c, "E0207", "rows (%s) and columns (%s) would both be segmented; use attention, or retag one",
                       shape_axis(c, a, a->segaxis), shape_axis(c, b, bn));
  type_set_segs(out, ak, b->seg, b->nseg);
  return true;
}

// One row: y[n] = sum_k x[k] w(n,k), element (n,k) at n*sn + k*sk. Four columns at a time, each summed in order of k.
static void row_times(const double *x, const double *w, double *y, size_t n, size_t k, size_t sn, size_t sk) {
  size_t j = 0;
  for (; j + 4 <= n; j += 4) {
    double s[4] = {0};
    const double *p = w + j * sn;
    for (size_t i = 0; i < k; i++, p += sk)
      for (size_t u = 0; u < 4; u++) s[u] += x[i] * p[u * sn];
    for (size_t u = 0; u < 4; u++) y[j + u] = s[u];
  }
  for (; j < n; j++) {
    double s = 0;
    for (size_t i = 0; i < k; i++) s += x[i] * w[j * sn + i * sk];
    y[j] = s;
  }
}

void ref_linear(const RefCtx *c, Tensor *out) {
  bool trans = value_int(c->v, A_trans, 0);
  size_t n = (size_t)out->dim[out->rank - 1], k = (size_t)c->arg[0].dim[out->rank - 1];
  for (size_t row = 0; n && row < out->n / n; row++) {
    double *y = out->f + row * n;
    row_times(c->arg[0].f + row * k, c->arg[1].f, y, n, k, trans ? 1 : k, trans ? n : 1);
    for (size_t j = 0; j < n && c->v->nargs == 3; j++) y[j] += c->arg[2].f[j];
  }
}

void ref_linear_rows(const RefCtx *c, Tensor *out) {
  bool trans = value_int(c->v, A_trans, 0);
  size_t n = (size_t)out->dim[1], k = (size_t)c->arg[0].dim[1];
  int64_t rows = c->arg[2].i[0];
  for (size_t i = 0; i < out->n; i++) out->f[i] = 0;
  if (rows < 0 || rows > out->dim[0]) {
    *c->error = arena_printf(c->g->module->arena, "linear_rows: there are not %lld rows", (long long)rows);
    return;
  }
  for (size_t row = 0; row < (size_t)rows; row++)
    row_times(c->arg[0].f + row * k, c->arg[1].f, out->f + row * n, n, k, trans ? 1 : k, trans ? n : 1);
}

void ref_matmul(const RefCtx *c, Tensor *out) {
  const Tensor *a = &c->arg[0], *b = &c->arg[1];
  bool trans = value_int(c->v, A_trans, 0);
  size_t m = (size_t)out->dim[out->rank - 2], n = (size_t)out->dim[out->rank - 1], k = (size_t)a->dim[a->rank - 1];
  for (size_t row = 0; n && m && row < out->n / n; row++) {
    const double *part = b->f + (b->rank > 2 ? row / m * n * k : 0);
    row_times(a->f + row * k, part, out->f + row * n, n, k, trans ? k : 1, trans ? 1 : n);
  }
}
