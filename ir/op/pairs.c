// pairs.c: products of bf16 with sums in f32 (pairs.h).
//
//   pairs          x [..,K] f32             ->  i32 [.., words]: each row as bf16, two in a word
//   weight_pairs   w [N,K] (trans: [K,N])   ->  i32 [N/16, words, 16]: of weights alone, the packer makes them
//   linear_pairs   rows, panels {columns = N}  ->  f32 [..,N]: y[n] = sum_k row[k] w[n,k], in the order of pairs.h
// A weight is rounded once, from the double that the packer has.
#include "pairs.h"
#include "op.h"

#include <math.h>
#include <string.h>

bool shape_pairs(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0);
  int last = x->rank - 1;
  if (x->rank < 1 || !shape_float(c) || !shape_dense_rows(c)) return false;
  if (!dim_is_const(x->dim[last]))
    return shape_error(c, "E0206", "rows of pairs have a constant length; this is %s", shape_type(c, 0));
  *out = *x;
  if (x->nseg && x->segaxis == last) type_set_segs(out, 0, NULL, 0);
  out->dtype = DT_I32;
  out->dim[last] = DIM(pairs_words(x->dim[last].c));
  return true;
}

bool shape_weight_pairs(const ShapeCtx *c, Type *out) {
  const Type *w = shape_arg(c, 0);
  if (!shape_rank(c, 0, 2) || !shape_float(c)) return false;
  if (w->nseg || !dim_is_const(w->dim[0]) || !dim_is_const(w->dim[1]))
    return shape_error(c, "E0206", "a weight has constant extents and no segments; this is %s", shape_type(c, 0));
  int64_t trans = shape_int(c, A_trans, 0), n = w->dim[trans ? 1 : 0].c, k = w->dim[trans ? 0 : 1].c;
  if (trans != 0 && trans != 1) return shape_error_attr(c, A_trans, "E0208", "trans is 0 or 1");
  *out = (Type){.dtype = DT_I32, .rank = 3};
  out->dim[0] = DIM(round_up(n, PANEL) / PANEL);
  out->dim[1] = DIM(pairs_words(k));
  out->dim[2] = DIM(PANEL);
  return true;
}

bool shape_linear_pairs(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0), *w = shape_arg(c, 1);
  int64_t n = shape_int(c, A_columns, 0);
  int last = x->rank - 1;
  if (last < 0 || x->dtype != DT_I32 || w->dtype != DT_I32 || w->rank != 3 || w->dim[2].c != PANEL)
    return shape_error(c, "E0204", "%s and %s are no pairs of rows and of a weight", shape_type(c, 0),
                       shape_type(c, 1));
  if (!dim_equal(x->dim[last], w->dim[1]))
    return shape_error(c, "E0204", "the rows have %s words, the weight takes %s", shape_axis(c, x, last),
                       shape_axis(c, w, 1));
  return shape_of_panels(c, n, out);
}

/* references: what kernels compute, to the bit -------------------------------------------------------------------- */
static uint32_t half_of(double x) {
  return fabs(x) < PAIR_LEAST ? (signbit(x) ? 0x8000u : 0) : dtype_narrow(DT_BF16, x);
}

static void put_half(int32_t *word, int64_t k, double x) { // of a word that was 0
  uint32_t bits;
  memcpy(&bits, word, sizeof bits);
  bits |= half_of(x) << 16 * (k % 2);
  memcpy(word, &bits, sizeof bits);
}

static float half_at(int32_t word, int upper) {
  uint32_t bits;
  memcpy(&bits, &word, sizeof bits);
  return dtype_widen(DT_BF16, bits >> 16 * upper & 0xffffu);
}

void ref_pairs(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0];
  int64_t k = x->dim[x->rank - 1], words = out->dim[out->rank - 1];
  memset(out->i, 0, out->n * sizeof *out->i);
  for (size_t r = 0; k && r < x->n / (size_t)k; r++)
    for (int64_t i = 0; i < k; i++)
      put_half(&out->i[r * (size_t)words + (size_t)(i / 2)], i, (double)(float)x->f[r * (size_t)k + (size_t)i]);
}

void ref_weight_pairs(const RefCtx *c, Tensor *out) {
  const Tensor *w = &c->arg[0];
  bool trans = value_int(c->v, A_trans, 0);
  int64_t n = w->dim[trans ? 1 : 0], k = w->dim[trans ? 0 : 1], words = pairs_words(k);
  memset(out->i, 0, out->n * sizeof *out->i);
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = 0; i < k; i++)
      put_half(&out->i[(j / PANEL * words + i / 2) * PANEL + j % PANEL], i, w->f[trans ? i * n + j : j * k + i]);
}

void ref_linear_pairs(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0];
  int64_t words = x->dim[x->rank - 1], n = out->dim[out->rank - 1];
  for (size_t r = 0; n && r < out->n / (size_t)n; r++) {
    const int32_t *row = x->i + r * (size_t)words;
    for (int64_t j = 0; j < n; j++) {
      const int32_t *panel = c->arg[1].i + j / PANEL * words * PANEL + j % PANEL;
      float sum = 0;
      for (int64_t i = 0; i < words; i++)
        for (int upper = 1; upper >= 0; upper--) {
          float product = half_at(row[i], upper) * half_at(panel[i * PANEL], upper);
          sum += product;
        }
      out->f[r * (size_t)n + (size_t)j] = (double)sum;
    }
  }
}
