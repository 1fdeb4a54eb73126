// codes.c: products of codes of 8 bits (codes.h).
//
//   quantise       x [..,K] f32             ->  i32 [.., D/4 + 16]: the words of each row, and its scale
//   weight_codes   w [N,K] (trans: [K,N])   ->  i32 [N/16, D/4, 16]   } of weights alone: the packer makes them
//   weight_scales  w                        ->  f32 [N]               }
//   weight_sums    w                        ->  i32 [N]: of the codes }
//   linear_codes   rows, codes, scales, sums {columns = N}  ->  f32 [..,N]:
//                    y[n] = (float(sum_k row[k] w[n,k]) * scale of the row) * scales[n]
// The sum is of whole numbers: every order gives it. It is converted and multiplied in f32, each result rounded, so y
// has the same bits on every machine. A row with a NaN or an infinity has such a scale, and so has all that comes of
// it. Scales of rows and columns, sums in i32: the usual scheme (dynamic, symmetric, per token and per channel).
#include "codes.h"
#include "op.h"

#include <math.h>
#include <string.h>

static bool is_const_matrix(const ShapeCtx *c) {
  const Type *w = shape_arg(c, 0);
  if (!shape_rank(c, 0, 2) || !shape_float(c)) return false;
  if (w->nseg || !dim_is_const(w->dim[0]) || !dim_is_const(w->dim[1]))
    return shape_error(c, "E0206", "a weight has constant extents and no segments; this is %s", shape_type(c, 0));
  return true;
}

bool shape_quantise(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0);
  int last = x->rank - 1;
  if (x->rank < 1 || !shape_float(c) || !shape_dense_rows(c)) return false;
  if (!dim_is_const(x->dim[last]) || x->dim[last].c > CODES_MOST_K)
    return shape_error(c, "E0206", "rows of codes have a constant length of at most %d; this is %s", CODES_MOST_K,
                       shape_type(c, 0));
  *out = *x;
  if (x->nseg && x->segaxis == last) type_set_segs(out, 0, NULL, 0);
  out->dtype = DT_I32;
  out->dim[last] = DIM(codes_words(x->dim[last].c) + CODE_ROOM);
  return true;
}

bool shape_weight_codes(const ShapeCtx *c, Type *out) {
  if (!is_const_matrix(c)) return false;
  const Type *w = shape_arg(c, 0);
  int64_t trans = shape_int(c, A_trans, 0), n = w->dim[trans ? 1 : 0].c, k = w->dim[trans ? 0 : 1].c;
  if (trans != 0 && trans != 1) return shape_error_attr(c, A_trans, "E0208", "trans is 0 or 1");
  *out = (Type){.dtype = DT_I32, .rank = 3};
  out->dim[0] = DIM(round_up(n, PANEL) / PANEL);
  out->dim[1] = DIM(codes_words(k));
  out->dim[2] = DIM(PANEL);
  return true;
}

static bool shape_columns(const ShapeCtx *c, DType dt, Type *out) {
  if (!is_const_matrix(c)) return false;
  *out = (Type){.dtype = dt, .rank = 1};
  out->dim[0] = shape_arg(c, 0)->dim[shape_int(c, A_trans, 0) ? 1 : 0];
  return true;
}
bool shape_weight_scales(const ShapeCtx *c, Type *out) {
  return shape_columns(c, DT_F32, out);
}
bool shape_weight_sums(const ShapeCtx *c, Type *out) {
  return shape_columns(c, DT_I32, out);
}

static bool is_vector_of(const ShapeCtx *c, size_t arg, DType dt, int64_t n) {
  const Type *t = shape_arg(c, arg);
  return t->rank == 1 && t->dtype == dt && dim_equal(t->dim[0], DIM(n));
}

bool shape_linear_codes(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0), *w = shape_arg(c, 1);
  int64_t n = shape_int(c, A_columns, 0);
  int last = x->rank - 1;
  if (last < 0 || x->dtype != DT_I32 || w->dtype != DT_I32 || w->rank != 3 || w->dim[2].c != PANEL)
    return shape_error(c, "E0204", "%s and %s are no codes of rows and of a weight", shape_type(c, 0),
                       shape_type(c, 1));
  if (!dim_equal(x->dim[last], DIM(w->dim[1].c + CODE_ROOM)))
    return shape_error(c, "E0204", "the rows have %s words, the weight takes %s and %d more", shape_axis(c, x, last),
                       shape_axis(c, w, 1), CODE_ROOM);
  if (n < 1 || round_up(n, PANEL) / PANEL != w->dim[0].c)
    return shape_error_attr(c, A_columns, "E0208", "%lld columns do not fill %s panels of %d", (long long)n,
                            shape_axis(c, w, 0), PANEL);
  if (!is_vector_of(c, 2, DT_F32, n) || !is_vector_of(c, 3, DT_I32, n))
    return shape_error(c, "E0204", "scales and sums must be f32[%lld] and i32[%lld]", (long long)n, (long long)n);
  *out = *x;
  out->dtype = DT_F32;
  out->dim[last] = DIM(n);
  return true;
}

/* references: what kernels compute, to the bit -------------------------------------------------------------------- */
static void put_code(int32_t *words, int64_t depth, int64_t k, int32_t code) {
  int64_t quarter = depth / CODES_IN_WORD;
  uint32_t bits = (uint32_t)(code & 255) << 8 * (k / quarter), old;
  memcpy(&old, &words[k % quarter], sizeof old);
  old |= bits;
  memcpy(&words[k % quarter], &old, sizeof old);
}

static int32_t code_at(const int32_t *words, int64_t stride, int64_t depth, int64_t k) {
  int64_t quarter = depth / CODES_IN_WORD;
  uint32_t word;
  memcpy(&word, &words[k % quarter * stride], sizeof word);
  int32_t byte = (int32_t)(word >> 8 * (k / quarter) & 255u);
  return byte < 128 ? byte : byte - 256;
}

static int32_t nearest(double x) { // 0 of NaN
  return x == x ? (int32_t)nearbyint(x) : 0;
}

void ref_quantise(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0];
  int64_t k = x->dim[x->rank - 1], depth = codes_depth(k), words = out->dim[out->rank - 1];
  memset(out->i, 0, out->n * sizeof *out->i);
  for (size_t r = 0; k && r < x->n / (size_t)k; r++) {
    const double *row = x->f + r * (size_t)k;
    int32_t *to = out->i + r * (size_t)words;
    float most = 0, factor = 0, scale = 0;
    for (int64_t i = 0; i < k; i++) {
      float a = fabsf((float)row[i]);
      if (!(a <= most)) most = a; // a NaN stays
      if (isnan(most)) break;
    }
    if (!(most < (float)CODE_LEAST)) factor = CODE_MOST / most, scale = most / CODE_MOST;
    for (int64_t i = 0; i < k; i++) put_code(to, depth, i, nearest((double)((float)row[i] * factor)));
    memcpy(&to[depth / CODES_IN_WORD], &scale, sizeof scale);
    if (isnan(scale)) to[depth / CODES_IN_WORD] &= INT32_MAX; // without a sign, as `magn` leaves it
  }
}

typedef struct Columns { // of a weight
  const double *w;
  int64_t n, k, step_n, step_k;
} Columns;

static Columns columns_of(const RefCtx *c) {
  const Tensor *w = &c->arg[0];
  if (value_int(c->v, A_trans, 0)) return (Columns){w->f, w->dim[1], w->dim[0], 1, w->dim[1]};
  return (Columns){w->f, w->dim[0], w->dim[1], w->dim[1], 1};
}

static double element(const Columns *w, int64_t n, int64_t k) {
  return w->w[n * w->step_n + k * w->step_k];
}

// In double, and then to f32: the scale of a column.
static double scale_of(const RefCtx *c, const Columns *w, int64_t n) {
  double most = 0;
  for (int64_t k = 0; k < w->k; k++) {
    double a = fabs(element(w, n, k));
    if (!(a < HUGE_VAL)) {
      *c->error = "a weight that is to be kept in 8 bits is not a finite number";
      return 0;
    }
    if (a > most) most = a;
  }
  return most < CODE_LEAST ? 0 : (double)(float)(most / CODE_MOST);
}

static int32_t weight_code(const Columns *w, int64_t n, int64_t k, double scale) {
  if (scale == 0) return 0;
  double q = nearbyint(element(w, n, k) / scale);
  return (int32_t)(q > CODE_MOST ? CODE_MOST : q < -CODE_MOST ? -CODE_MOST : q);
}

void ref_weight_codes(const RefCtx *c, Tensor *out) {
  Columns w = columns_of(c);
  int64_t depth = codes_depth(w.k), quarter = depth / CODES_IN_WORD;
  memset(out->i, 0, out->n * sizeof *out->i);
  for (int64_t n = 0; n < w.n; n++) {
    double scale = scale_of(c, &w, n);
    int32_t *panel = out->i + n / PANEL * quarter * PANEL + n % PANEL;
    for (int64_t k = 0; k < w.k; k++) {
      uint32_t word, bits = (uint32_t)(weight_code(&w, n, k, scale) & 255) << 8 * (k / quarter);
      int32_t *at = &panel[k % quarter * PANEL];
      memcpy(&word, at, sizeof word);
      word |= bits;
      memcpy(at, &word, sizeof word);
    }
  }
}

void ref_weight_scales(const RefCtx *c, Tensor *out) {
  Columns w = columns_of(c);
  for (int64_t n = 0; n < w.n; n++) out->f[n] = scale_of(c, &w, n);
}

void ref_weight_sums(const RefCtx *c, Tensor *out) {
  Columns w = columns_of(c);
  for (int64_t n = 0; n < w.n; n++) {
    double scale = scale_of(c, &w, n);
    out->i[n] = 0;
    for (int64_t k = 0; k < w.k; k++) out->i[n] += weight_code(&w, n, k, scale);
  }
}

void ref_linear_codes(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0];
  int64_t words = x->dim[x->rank - 1], quarter = words - CODE_ROOM, depth = quarter * CODES_IN_WORD;
  int64_t n = out->dim[out->rank - 1];
  for (size_t r = 0; n && r < out->n / (size_t)n; r++) {
    const int32_t *row = x->i + r * (size_t)words;
    float scale;
    memcpy(&scale, &row[quarter], sizeof scale);
    for (int64_t j = 0; j < n; j++) {
      const int32_t *panel = c->arg[1].i + j / PANEL * quarter * PANEL + j % PANEL;
      int64_t sum = 0;
      for (int64_t k = 0; k < depth; k++) sum += code_at(row, 1, depth, k) * code_at(panel, PANEL, depth, k);
      float y = (float)(int32_t)sum * scale;
      out->f[r * (size_t)n + (size_t)j] = (double)(y * (float)c->arg[2].f[j]);
    }
  }
}
