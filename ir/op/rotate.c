// rotate.c: rotary positions. Each pair (a, b) of columns of a head is turned by the angle of its row.
//
//   x [B,L,H*d], cos and sin f32 [L,n] or [B,L,n], 2n <= d  ->  [B,L,H*d], segments of x
//   pairs of column i < n: i and i + n of a head (Llama), or, with `pairs` = 1, 2i and 2i + 1 (GPT-J, EVA-02):
//   y[a] = x[a] cos[i] - x[b] sin[i],  y[b] = x[b] cos[i] + x[a] sin[i]
// Columns from 2n on stay as they are. The angles are the page's: of positions, of rows and columns of patches.
#include "op.h"

bool shape_rotate(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0);
  int64_t heads = shape_int(c, A_heads, 0), pairs = shape_int(c, A_pairs, 0);
  if (!shape_float(c) || !shape_rank(c, 0, 3)) return false;
  if (heads < 1 || !dim_is_const(x->dim[2]) || x->dim[2].c % heads)
    return shape_error_attr(c, A_heads, "E0208", "%lld heads do not divide the columns of %s, %s", (long long)heads,
                            shape_who(c, 0), shape_type(c, 0));
  if (pairs < 0 || pairs > 1)
    return shape_error_attr(c, A_pairs, "E0208", "pairs is %lld, not 0 or 1", (long long)pairs);
  for (size_t i = 1; i < 3; i++) {
    const Type *t = shape_arg(c, i);
    if (t->rank != 2 && t->rank != 3)
      return shape_error_at(c, i, "E0202", "%s is [rows, columns] or [B, rows, columns], this is %s", shape_who(c, i),
                            shape_type(c, i));
    if (!shape_axis_equal(x, 1, t, t->rank - 2))
      return shape_error_at(c, i, "E0204", "%s has %s rows, but x has %s", shape_who(c, i),
                            shape_axis(c, t, t->rank - 2), shape_axis(c, x, 1));
    if (t->rank == 3 && !shape_axis_equal(x, 0, t, 0))
      return shape_error_at(c, i, "E0204", "the batch of %s is %s, that of x %s", shape_who(c, i), shape_axis(c, t, 0),
                            shape_axis(c, x, 0));
    Dim n = t->dim[t->rank - 1];
    if (!dim_is_const(n) || 2 * n.c > x->dim[2].c / heads || n.c < 1)
      return shape_error_at(c, i, "E0204", "%s turns %s pairs of columns, but a head has %lld columns", shape_who(c, i),
                            shape_axis(c, t, t->rank - 1), (long long)(x->dim[2].c / heads));
  }
  const Type *cosine = shape_arg(c, 1), *sine = shape_arg(c, 2);
  if (!dim_equal(cosine->dim[cosine->rank - 1], sine->dim[sine->rank - 1]))
    return shape_error_at(c, 2, "E0204", "cos has %s columns and sin %s", shape_axis(c, cosine, cosine->rank - 1),
                          shape_axis(c, sine, sine->rank - 1));
  *out = *x;
  return true;
}

void ref_rotate(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0], *table[2] = {&c->arg[1], &c->arg[2]};
  size_t heads = (size_t)value_int(c->v, A_heads, 1), rows = (size_t)x->dim[1], d = (size_t)x->dim[2] / heads;
  size_t n = (size_t)table[0]->dim[table[0]->rank - 1];
  bool pairs = value_int(c->v, A_pairs, 0) != 0;
  for (size_t i = 0; i < out->n; i++) out->f[i] = x->f[i];
  for (size_t row = 0; row < (size_t)x->dim[0] * rows; row++)
    for (size_t at = row * heads * d; at < (row + 1) * heads * d; at += d)
      for (size_t i = 0; i < n; i++) {
        size_t a = at + (pairs ? 2 * i : i), b = pairs ? a + 1 : a + n;
        double turn[2];
        for (int t = 0; t < 2; t++) turn[t] = table[t]->f[(table[t]->rank == 3 ? row : row % rows) * n + i];
        out->f[a] = x->f[a] * turn[0] - x->f[b] * turn[1];
        out->f[b] = x->f[b] * turn[0] + x->f[a] * turn[1];
      }
}
