// norm.c: operators on rows (the last axis): layer_norm, rms_norm, l2_norm, softmax, log_softmax, reduce_sum,
// reduce_max, argmax.
//
//   layer_norm  x [..,D], optional g [D], optional b [D]  ->  [..,D]
//   rms_norm    x [..,D], optional g [D]  ->  [..,D]
//   softmax, log_softmax, l2_norm keep the type (shape_same in elementwise.c)
//   reduce_sum, reduce_max  [..,D] -> [..,1];  argmax  [..,D] -> i32 [..];  top_k  [..,D] -> i32 [..,count]
// All axes but the last keep their segments; a segmented last axis must be dense at run time. A softmax row is computed
// relative to its maximum. argmax takes a NaN for the maximum, like the first one found.
#include "op.h"

#include <math.h>

bool shape_norm(const ShapeCtx *c, Type *out) {
  if (!shape_count(c, 1, c->op == OP_rms_norm ? 2 : 3) || !shape_float(c) || !shape_dense_rows(c)) return false;
  const Type *x = shape_arg(c, 0);
  double eps = shape_attr(c, A_eps)->f;
  if (!(eps >= 0)) return shape_error_attr(c, A_eps, "E0208", "eps is %g, must not be negative", eps);
  for (size_t i = 1; i < c->nargs; i++) {
    if (!shape_rank(c, i, 1)) return false;
    if (!shape_axis_equal(x, x->rank - 1, shape_arg(c, i), 0))
      return shape_error_at(c, i, "E0204", "the %s is %s, but the rows of %s have %s columns", i == 1 ? "gain" : "bias",
                            shape_type(c, i), shape_type(c, 0), shape_axis(c, x, x->rank - 1));
  }
  *out = *x;
  return true;
}

// dy, x, optional gain: the norm's operands behind the cotangent of its result.
bool shape_norm_grad(const ShapeCtx *c, Type *out) {
  if (!shape_count(c, 2, 3)) return false;
  ShapeCtx norm = *c;
  norm.args++, norm.nargs--;
  if (!shape_norm(&norm, out)) return false;
  return type_equal(shape_arg(c, 0), out) ||
         shape_error_at(c, 0, "E0204", "the cotangent is %s, but the rows are %s", shape_type(c, 0), shape_type(c, 1));
}

bool shape_norm_sums(const ShapeCtx *c, Type *out) {
  if (!shape_norm_grad(c, out) || !shape_rank(c, 1, 3)) return false;
  if (out->nseg && (out->segaxis != 1 || !type_is_dense(out)))
    return shape_error_at(c, 1, "E0205", "%s is summed over axis 1, which must be dense", shape_type(c, 1));
  if (out->nseg) type_set_segs(out, 1, NULL, 0);
  out->dim[1] = DIM(2);
  return true;
}

bool shape_reduce(const ShapeCtx *c, Type *out) {
  if (!shape_dense_rows(c)) return false;
  *out = *shape_arg(c, 0);
  if (out->dtype == DT_BOOL) return shape_error(c, "E0203", "no arithmetic on bool elements; cast them");
  if (out->nseg && out->segaxis == out->rank - 1) type_set_segs(out, 0, NULL, 0);
  out->dim[out->rank - 1] = DIM(1);
  return true;
}

bool shape_log_sum_exp(const ShapeCtx *c, Type *out) {
  return shape_float(c) && shape_reduce(c, out);
}

bool shape_argmax(const ShapeCtx *c, Type *out) {
  if (!shape_reduce(c, out)) return false;
  out->dim[--out->rank] = DIM(0);
  out->dtype = DT_I32;
  return true;
}

bool shape_top_k(const ShapeCtx *c, Type *out) {
  int64_t count = shape_int(c, A_count, 0);
  if (!shape_reduce(c, out)) return false;
  if (count < 1 || count > INT32_MAX)
    return shape_error_attr(c, A_count, "E0208", "%lld elements of a row, must be at least 1", (long long)count);
  out->dim[out->rank - 1] = DIM(count);
  out->dtype = DT_I32;
  return true;
}

static size_t row_length(const RefCtx *c) {
  return (size_t)c->arg[0].dim[c->arg[0].rank - 1];
}
static size_t row_count(const RefCtx *c) {
  return row_length(c) ? c->arg[0].n / row_length(c) : 0;
}

void ref_rms_norm(const RefCtx *c, Tensor *out) {
  size_t n = row_length(c);
  for (size_t r = 0; r < row_count(c); r++) {
    const double *x = c->arg[0].f + r * n;
    double square = 0;
    for (size_t i = 0; i < n; i++) square += x[i] * x[i];
    double scale = 1 / sqrt(square / (double)n + value_float(c->v, A_eps, 0));
    for (size_t i = 0; i < n; i++) out->f[r * n + i] = x[i] * scale * (c->v->nargs > 1 ? c->arg[1].f[i] : 1);
  }
}

void ref_layer_norm(const RefCtx *c, Tensor *out) {
  size_t n = row_length(c);
  for (size_t r = 0; r < row_count(c); r++) {
    const double *x = c->arg[0].f + r * n;
    double *y = out->f + r * n, mean = 0, var = 0;
    for (size_t i = 0; i < n; i++) mean += x[i];
    mean /= (double)n;
    for (size_t i = 0; i < n; i++) var += (x[i] - mean) * (x[i] - mean);
    double scale = 1 / sqrt(var / (double)n + value_float(c->v, A_eps, 0));
    for (size_t i = 0; i < n; i++) {
      y[i] = (x[i] - mean) * scale;
      if (c->v->nargs > 1) y[i] *= c->arg[1].f[i];
      if (c->v->nargs > 2) y[i] += c->arg[2].f[i];
    }
  }
}

// Mean of a row, and one over its deviation.
static double row_moments(const RefCtx *c, const double *x, size_t n, double *mean) {
  double var = 0;
  *mean = 0;
  for (size_t i = 0; i < n; i++) *mean += x[i];
  *mean /= (double)n;
  for (size_t i = 0; i < n; i++) var += (x[i] - *mean) * (x[i] - *mean);
  return 1 / sqrt(var / (double)n + value_float(c->v, A_eps, 0));
}

void ref_layer_norm_grad(const RefCtx *c, Tensor *out) {
  size_t n = row_length(c);
  double *h = ARENA_ARRAY(c->env->arena, double, n);
  for (size_t row = 0; row < row_count(c); row++) {
    const double *dy = c->arg[0].f + row * n, *x = c->arg[1].f + row * n;
    double mean, r = row_moments(c, x, n, &mean), mean_h = 0, along = 0;
    for (size_t i = 0; i < n; i++) {
      h[i] = c->v->nargs > 2 ? dy[i] * c->arg[2].f[i] : dy[i];
      mean_h += h[i] / (double)n;
      along += h[i] * (x[i] - mean) * r / (double)n;
    }
    for (size_t i = 0; i < n; i++) out->f[row * n + i] = r * (h[i] - mean_h - (x[i] - mean) * r * along);
  }
}

void ref_layer_norm_sums(const RefCtx *c, Tensor *out) {
  size_t n = row_length(c), rows = (size_t)c->arg[0].dim[1];
  for (size_t i = 0; i < out->n; i++) out->f[i] = 0;
  for (size_t row = 0; row < row_count(c); row++) {
    const double *dy = c->arg[0].f + row * n, *x = c->arg[1].f + row * n;
    double mean, r = row_moments(c, x, n, &mean), *y = out->f + row / rows * 2 * n;
    for (size_t i = 0; i < n; i++) {
      y[i] += dy[i] * (x[i] - mean) * r;
      y[n + i] += dy[i];
    }
  }
}

void ref_l2_norm(const RefCtx *c, Tensor *out) {
  size_t n = row_length(c);
  for (size_t r = 0; r < row_count(c); r++) {
    const double *x = c->arg[0].f + r * n;
    double sum = 0, eps = value_float(c->v, A_eps, 0);
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    double norm = sqrt(sum);
    if (norm < eps) norm = eps;
    for (size_t i = 0; i < n; i++) out->f[r * n + i] = x[i] / norm;
  }
}

// Maximum of a row; a NaN wins. *at = its first position.
static double row_max(const Tensor *t, size_t lo, size_t n, size_t *at) {
  double most = tensor_get(t, lo);
  *at = 0;
  for (size_t i = 1; i < n && !isnan(most); i++) {
    double x = tensor_get(t, lo + i);
    if (x > most || isnan(x)) most = x, *at = i;
  }
  return most;
}

static double softmax_sum(const RefCtx *c, size_t lo, size_t n, double *most) {
  size_t at;
  double sum = 0;
  *most = row_max(&c->arg[0], lo, n, &at);
  for (size_t i = 0; i < n; i++) sum += exp(c->arg[0].f[lo + i] - *most);
  return sum;
}

void ref_softmax(const RefCtx *c, Tensor *out) {
  size_t n = row_length(c);
  for (size_t r = 0; r < row_count(c); r++) {
    double most, sum = softmax_sum(c, r * n, n, &most);
    for (size_t i = 0; i < n; i++) out->f[r * n + i] = exp(c->arg[0].f[r * n + i] - most) / sum;
  }
}

void ref_log_softmax(const RefCtx *c, Tensor *out) {
  size_t n = row_length(c);
  for (size_t r = 0; r < row_count(c); r++) {
    double most, sum = softmax_sum(c, r * n, n, &most);
    for (size_t i = 0; i < n; i++) out->f[r * n + i] = c->arg[0].f[r * n + i] - most - log(sum);
  }
}

void ref_log_sum_exp(const RefCtx *c, Tensor *out) {
  size_t n = row_length(c);
  for (size_t r = 0; r < row_count(c); r++) {
    double most, sum = softmax_sum(c, r * n, n, &most);
    out->f[r] = most + log(sum);
  }
}

void ref_reduce_sum(const RefCtx *c, Tensor *out) {
  size_t n = row_length(c);
  for (size_t r = 0; r < out->n; r++) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += tensor_get(&c->arg[0], r * n + i);
    ref_put(c, out, r, sum);
  }
}

void ref_reduce_max(const RefCtx *c, Tensor *out) {
  size_t at;
  for (size_t r = 0; r < row_count(c); r++)
    ref_put(c, out, r, row_max(&c->arg[0], r * row_length(c), row_length(c), &at));
}

void ref_argmax(const RefCtx *c, Tensor *out) {
  for (size_t r = 0; r < row_count(c); r++) {
    size_t at;
    row_max(&c->arg[0], r * row_length(c), row_length(c), &at);
    out->i[r] = (int32_t)at;
  }
}

// x[a] stands before x[b]: larger (a NaN counts as infinity), or equal and further left.
static bool stands_before(const Tensor *x, size_t row, size_t a, size_t b) {
  double p = tensor_get(x, row + a), q = tensor_get(x, row + b);
  p = isnan(p) ? HUGE_VAL : p, q = isnan(q) ? HUGE_VAL : q;
  return p > q || (p == q && a < b);
}

void ref_top_k(const RefCtx *c, Tensor *out) {
  size_t n = row_length(c), count = (size_t)value_int(c->v, A_count, 1);
  for (size_t r = 0; r < row_count(c); r++)
    for (size_t i = 0; i < n; i++) {
      size_t rank = 0;
      for (size_t j = 0; j < n; j++) rank += stands_before(&c->arg[0], r * n, j, i);
      for (size_t k = rank; k < (rank + 1 == n ? count : rank + 1) && k < count; k++)
        out->i[r * count + k] = (int32_t)i;
    }
}
