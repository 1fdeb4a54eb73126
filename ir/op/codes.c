// codes.c: products of codes of 8 bits, and with weights of 4 (codes.h).
//
//   quantise       x [..,K] f32             ->  i32 [.., D/4 + 16]: the words of each row, and its scale
//                  {group = 64}             ->  i32 [.., D/4 + 16 + D/64 filled up]: and the sums of its groups
//   weight_codes   w [N,K] (trans: [K,N])   ->  i32 [N/16, D/4, 16]   } of weights alone: the packer makes them
//   weight_scales  w                        ->  f32 [N]               }
//   weight_sums    w                        ->  i32 [N]: of the codes }
//   linear_codes   rows, codes, scales, sums {columns = N}  ->  f32 [..,N]:
//                    y[n] = (float(sum_k row[k] w[n,k]) * scale of the row) * scales[n]
//   weight_codes4  w [N,K] (trans: [K,N])   ->  i32 [N/16, D/8, 16]    } the packer makes them
//   weight_scales4 w                        ->  f32 [N/16, D/64, 16]   } (bf16 is enough for them)
//   linear_codes4  rows, codes, scales {columns = N}  ->  f32 [..,N]:
//                    y[n] = (sum_g float(sum of group g of row[k] w[n,k]) * scales[n,g]) * scale of the row, from zero,
//                    groups in ascending order, every result rounded
// The sum is of whole numbers: every order gives it. It is converted and multiplied in f32, each result rounded, so y
// has the same bits on every machine. A row with a NaN or an infinity has such a scale, and so has all that comes of
// it. Scales of rows and columns, sums in i32: the usual scheme (dynamic, symmetric, per token and per channel).
#include "codes.h"
#include "common/narrow.h"
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
  int64_t group = shape_int(c, A_group, 0);
  if (group && group != CODE_GROUP) return shape_error_attr(c, A_group, "E0208", "group is %d", CODE_GROUP);
  out->dim[last] = DIM(codes_words(x->dim[last].c) + CODE_ROOM + (group ? codes_group_words(x->dim[last].c) : 0));
  return true;
}

// Panels of a weight, of which `codes` of a column lie in an element.
static bool shape_panels(const ShapeCtx *c, DType dt, int64_t codes, Type *out) {
  if (!is_const_matrix(c)) return false;
  const Type *w = shape_arg(c, 0);
  int64_t trans = shape_int(c, A_trans, 0), n = w->dim[trans ? 1 : 0].c, k = w->dim[trans ? 0 : 1].c;
  if (trans != 0 && trans != 1) return shape_error_attr(c, A_trans, "E0208", "trans is 0 or 1");
  *out = (Type){.dtype = dt, .rank = 3};
  out->dim[0] = DIM(round_up(n, PANEL) / PANEL);
  out->dim[1] = DIM(codes_depth(k) / codes);
  out->dim[2] = DIM(PANEL);
  return true;
}
bool shape_weight_codes(const ShapeCtx *c, Type *out) {
  return shape_panels(c, DT_I32, CODES_IN_WORD, out);
}
bool shape_weight_codes4(const ShapeCtx *c, Type *out) {
  return shape_panels(c, DT_I32, 2 * CODES_IN_WORD, out);
}
bool shape_weight_scales4(const ShapeCtx *c, Type *out) {
  return shape_panels(c, DT_F32, CODE_GROUP, out);
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

bool shape_of_panels(const ShapeCtx *c, int64_t n, Type *out) {
  const Type *x = shape_arg(c, 0), *w = shape_arg(c, 1);
  if (n < 1 || round_up(n, PANEL) / PANEL != w->dim[0].c)
    return shape_error_attr(c, A_columns, "E0208", "%lld columns do not fill %s panels of %d", (long long)n,
                            shape_axis(c, w, 0), PANEL);
  *out = *x;
  out->dtype = DT_F32;
  out->dim[x->rank - 1] = DIM(n);
  return true;
}

// Rows, and a weight in whose words lie so many codes of a column: n columns of products.
static bool shape_products(const ShapeCtx *c, int64_t codes, bool grouped, int64_t n, Type *out) {
  const Type *x = shape_arg(c, 0), *w = shape_arg(c, 1);
  int last = x->rank - 1;
  if (last < 0 || x->dtype != DT_I32 || w->dtype != DT_I32 || w->rank != 3 || w->dim[2].c != PANEL)
    return shape_error(c, "E0204", "%s and %s are no codes of rows and of a weight", shape_type(c, 0),
                       shape_type(c, 1));
  int64_t k = w->dim[1].c * codes, room = CODE_ROOM + (grouped ? codes_group_words(k) : 0);
  if (k % CODE_DEPTH || !dim_equal(x->dim[last], DIM(codes_words(k) + room)))
    return shape_error(c, "E0204", "the rows have %s words, the weight takes %lld and %lld more",
                       shape_axis(c, x, last), (long long)(k / CODES_IN_WORD), (long long)room);
  return shape_of_panels(c, n, out);
}

bool shape_linear_codes(const ShapeCtx *c, Type *out) {
  int64_t n = shape_int(c, A_columns, 0);
  if (!shape_products(c, CODES_IN_WORD, false, n, out)) return false;
  if (!is_vector_of(c, 2, DT_F32, n) || !is_vector_of(c, 3, DT_I32, n))
    return shape_error(c, "E0204", "scales and sums must be f32[%lld] and i32[%lld]", (long long)n, (long long)n);
  return true;
}

bool shape_linear_codes4(const ShapeCtx *c, Type *out) {
  if (!shape_products(c, 2 * CODES_IN_WORD, true, shape_int(c, A_columns, 0), out)) return false;
  const Type *w = shape_arg(c, 1), *s = shape_arg(c, 2);
  int64_t groups = w->dim[1].c * 2 * CODES_IN_WORD / CODE_GROUP;
  if (s->rank != 3 || s->dtype != DT_F32 || !dim_equal(s->dim[0], w->dim[0]) || !dim_equal(s->dim[1], DIM(groups)) ||
      s->dim[2].c != PANEL)
    return shape_error(c, "E0204", "scales must be f32[%s,%lld,%d]", shape_axis(c, w, 0), (long long)groups, PANEL);
  return true;
}

/* references: what kernels compute, to the bit -------------------------------------------------------------------- */
static int64_t word_of(int64_t k) { // that holds column k
  return k / CODE_GROUP * GROUP_WORDS + k % GROUP_WORDS;
}
static int byte_of(int64_t k) {
  return (int)(k % CODE_GROUP / GROUP_WORDS);
}

static void put_bits(int32_t *word, uint32_t bits, int at) {
  uint32_t all;
  memcpy(&all, word, sizeof all);
  all |= bits << at;
  memcpy(word, &all, sizeof all);
}

static int32_t code_at(const int32_t *words, int64_t stride, int64_t k) {
  uint32_t word;
  memcpy(&word, &words[word_of(k) * stride], sizeof word);
  int32_t byte = (int32_t)(word >> 8 * byte_of(k) & 255u);
  return byte < 128 ? byte : byte - 256;
}

static int32_t nearest(double x) { // 0 of NaN
  return x == x ? (int32_t)nearbyint(x) : 0;
}

void ref_quantise(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0];
  int64_t k = x->dim[x->rank - 1], depth = codes_depth(k), words = out->dim[out->rank - 1];
  bool grouped = value_int(c->v, A_group, 0) != 0;
  memset(out->i, 0, out->n * sizeof *out->i);
  for (size_t r = 0; k && r < x->n / (size_t)k; r++) {
    const double *row = x->f + r * (size_t)k;
    int32_t *to = out->i + r * (size_t)words;
    float most = 0, factor = 0, scale = 0;
    int32_t sum[2] = {0};
    for (int64_t i = 0; i < k; i++) {
      float a = fabsf((float)row[i]);
      if (!(a <= most)) most = a; // a NaN stays
      if (isnan(most)) break;
    }
    if (!(most < (float)CODE_LEAST)) factor = CODE_MOST / most, scale = most / CODE_MOST;
    for (int64_t i = 0; i < k; i++) {
      int32_t code = nearest((double)((float)row[i] * factor));
      put_bits(&to[word_of(i)], (uint32_t)code & 255u, 8 * byte_of(i));
      sum[i % CODE_GROUP * 2 / CODE_GROUP] += code;
      if (!grouped || (i % CODE_GROUP != CODE_GROUP - 1 && i != k - 1)) continue;
      int32_t *halves = &to[depth / CODES_IN_WORD + CODE_ROOM + i / CODE_GROUP];
      for (int h = 0; h < 2; h++) put_bits(halves, (uint32_t)(CODE4_LEAST * sum[h]) & 0xffffu, 16 * h), sum[h] = 0;
    }
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

// The greatest magnitude of columns k0 to k1; 0, and an error, if one is not finite.
static double greatest(const RefCtx *c, const Columns *w, int64_t n, int64_t k0, int64_t k1) {
  double most = 0;
  for (int64_t k = k0; k < k1; k++) {
    double a = fabs(element(w, n, k));
    if (!(a < HUGE_VAL)) {
      *c->error = "a weight that is to be kept in 8 bits or fewer is not a finite number";
      return 0;
    }
    if (a > most) most = a;
  }
  return most;
}

// In double, and then to f32: the scale of a column.
static double scale_of(const RefCtx *c, const Columns *w, int64_t n) {
  double most = greatest(c, w, n, 0, w->k);
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
    for (int64_t k = 0; k < w.k; k++)
      put_bits(&panel[word_of(k) * PANEL], (uint32_t)weight_code(&w, n, k, scale) & 255u, 8 * byte_of(k));
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
      for (int64_t k = 0; k < depth; k++) sum += code_at(row, 1, k) * code_at(panel, PANEL, k);
      float y = (float)(int32_t)sum * scale;
      out->f[r * (size_t)n + (size_t)j] = (double)(y * (float)c->arg[2].f[j]);
    }
  }
}

/* weights of four bits
 * ----------------------------------------------------------------------------------------------------
 * A group's scale is a bf16: among -w / d, w the first weight of the greatest magnitude m, for some d near 8, and what
 * fits the codes of the best of these best, the one of least squared error. Codes have one more below zero than above,
 * and w has that; as in ggml's Q4_0, which takes d = 8.
 */
typedef struct Group4 {
  double w[CODE_GROUP];
  int n;
  const NarrowFormat *bf16;
} Group4;

static int32_t code4(double w, double inverse) { // to the nearest, half to even: as codes of rows
  double q = w * inverse + 0x1.8p52 - 0x1.8p52;
  return (int32_t)(q > CODE4_MOST ? CODE4_MOST : q < CODE4_LEAST ? CODE4_LEAST : q);
}
static double inverse4(double scale) {
  return scale == 0 ? 0 : 1 / scale;
}

// The squared error with a scale; *fit: the scale that suits its codes best.
static double error4(const Group4 *g, double scale, double *fit) {
  double error = 0, wq = 0, qq = 0, inverse = inverse4(scale);
  for (int i = 0; i < g->n; i++) {
    double q = code4(g->w[i], inverse), e = g->w[i] - q * scale;
    error += e * e, wq += g->w[i] * q, qq += q * q;
  }
  *fit = qq > 0 ? wq / qq : 0;
  return error;
}

static double scale4(const RefCtx *c, const Columns *w, int64_t n, int64_t group) {
  static const double divisors[] = {8.25, 7.9, 7.5, 7.1, 6.6};
  enum { TRIED = sizeof divisors / sizeof *divisors };
  int64_t from = group * CODE_GROUP, to = from + CODE_GROUP < w->k ? from + CODE_GROUP : w->k;
  double most = greatest(c, w, n, from, to), best = 0, least = HUGE_VAL, best_fit = 0;
  if (most < CODE_LEAST) return 0;
  Group4 g = {.n = (int)(to - from), .bf16 = narrow_format("bf16")};
  for (int i = 0; i < g.n; i++) g.w[i] = element(w, n, from + i);
  for (int i = 0; i < g.n; i++)
    if (fabs(g.w[i]) == most) {
      if (g.w[i] > 0) most = -most;
      break;
    }
  for (int i = 0; i <= TRIED; i++) {
    double fit, scale = (double)narrow_value(g.bf16, narrow_bits(g.bf16, i < TRIED ? most / divisors[i] : best_fit));
    double error = error4(&g, scale, &fit);
    if (error < least) least = error, best = scale, best_fit = fit;
  }
  if (!(fabs(best) > 0 && fabs(best) < HUGE_VAL)) *c->error = "a weight is too large for a scale of its group";
  return best;
}

void ref_weight_codes4(const RefCtx *c, Tensor *out) {
  Columns w = columns_of(c);
  int64_t words = out->dim[1], groups = codes_depth(w.k) / CODE_GROUP, half = GROUP_WORDS / 2;
  memset(out->i, 0, out->n * sizeof *out->i);
  for (int64_t n = 0; n < out->dim[0] * PANEL; n++) {
    int32_t *panel = out->i + n / PANEL * words * PANEL + n % PANEL;
    for (int64_t g = 0; g < groups; g++) {
      double inverse = n < w.n ? inverse4(scale4(c, &w, n, g)) : 0;
      for (int64_t k = g * CODE_GROUP; k < (g + 1) * CODE_GROUP; k++) {
        int32_t q = n < w.n && k < w.k ? code4(element(&w, n, k), inverse) : 0;
        int64_t j = k % GROUP_WORDS;
        put_bits(&panel[(g * half + j % half) * PANEL], (uint32_t)(q - CODE4_LEAST),
                 8 * byte_of(k) + (j < half ? 0 : 4));
      }
    }
  }
}

void ref_weight_scales4(const RefCtx *c, Tensor *out) {
  Columns w = columns_of(c);
  for (int64_t n = 0; n < out->dim[0] * PANEL; n++)
    for (int64_t g = 0; g < out->dim[1]; g++)
      out->f[(n / PANEL * out->dim[1] + g) * PANEL + n % PANEL] = n < w.n ? scale4(c, &w, n, g) : 0;
}

static int32_t code4_at(const int32_t *panel, int64_t k) {
  int64_t j = k % GROUP_WORDS, half = GROUP_WORDS / 2;
  uint32_t word;
  memcpy(&word, &panel[(k / CODE_GROUP * half + j % half) * PANEL], sizeof word);
  return (int32_t)(word >> (8 * byte_of(k) + (j < half ? 0 : 4)) & 15u) + CODE4_LEAST;
}

void ref_linear_codes4(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0], *w = &c->arg[1], *scales = &c->arg[2];
  int64_t words = x->dim[x->rank - 1], groups = scales->dim[1], n = out->dim[out->rank - 1];
  for (size_t r = 0; n && r < out->n / (size_t)n; r++) {
    const int32_t *row = x->i + r * (size_t)words;
    float of_row;
    memcpy(&of_row, &row[groups * GROUP_WORDS], sizeof of_row);
    for (int64_t j = 0; j < n; j++) {
      const int32_t *panel = w->i + j / PANEL * w->dim[1] * PANEL + j % PANEL;
      float y = 0;
      for (int64_t g = 0; g < groups; g++) {
        int32_t sum = 0;
        for (int64_t k = g * CODE_GROUP; k < (g + 1) * CODE_GROUP; k++) sum += code_at(row, 1, k) * code4_at(panel, k);
        float product = (float)sum * (float)scales->f[(j / PANEL * groups + g) * PANEL + j % PANEL];
        y += product;
      }
      out->f[r * (size_t)n + (size_t)j] = (double)(y * of_row);
    }
  }
}
