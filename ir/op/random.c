// random.c: what is random inside a training step. Every number is a function of (seed, step, sample, site, element)
// alone, made by the counter generator of runtime/random.h; the seed, the step and the number of the first sample are
// an input of role `noise`, so that batch, threads and back end show in no number.
//
//   dropout  x [B,..], seed low, seed high, step: i32[], sample i32[B,1,..], row i32[N,1], column i32[D]: element
//            row + column of sample b is 0 where its number is below `rate`, else x / (1 - rate). The places are
//            operands and not counted from the type, so that what is sliced, gathered or moved keeps its numbers.
//   draw     weights [B,N], seed low, seed high, step: i32[], sample i32[B] -> i32[B]: the first column at which the
//   sum
//            from the left is greater than u times the whole sum; all sums in f32, in ascending order. A row that has
//            none (its weights are all 0, or not numbers) gives the column behind its own number, or 0: row b is
//            answered with b + 1 as long as there is such a column.
#include "op.h"
#include "runtime/random.h"

static bool whole_numbers(const ShapeCtx *c, size_t from) {
  for (size_t i = from; i < c->nargs; i++)
    if (shape_arg(c, i)->dtype != DT_I32)
      return shape_error_at(c, i, "E0203", "%s has %s elements, needs i32", shape_who(c, i),
                            dtype_info[shape_arg(c, i)->dtype].name);
  if (shape_int(c, A_site, 0) < 0 || shape_int(c, A_site, 0) > INT32_MAX / 8)
    return shape_error_attr(c, A_site, "E0208", "site is %lld", (long long)shape_int(c, A_site, 0));
  return true;
}

// Does the operand stretch to the type without changing it?
static bool stretches(const Type *t, const Type *to) {
  if (t->rank > to->rank) return false;
  for (int d = 0; d < t->rank; d++) {
    bool one = dim_is_const(t->dim[d]) && t->dim[d].c == 1;
    if (!one && !shape_axis_equal(t, d, to, to->rank - t->rank + d)) return false;
  }
  return true;
}

bool shape_dropout(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0);
  double rate = shape_attr(c, A_rate)->f;
  if (dtype_info[x->dtype].kind != DK_FLOAT)
    return shape_error_at(c, 0, "E0203", "%s has %s elements", shape_who(c, 0), dtype_info[x->dtype].name);
  if (!(rate >= 0 && rate < 1)) return shape_error_attr(c, A_rate, "E0208", "a rate of %g is not in [0, 1)", rate);
  if (!whole_numbers(c, 1)) return false;
  for (size_t i = 1; i < c->nargs; i++)
    if (!stretches(shape_arg(c, i), x))
      return shape_error(c, "E0204", "%s does not stretch to %s", shape_type(c, i), shape_type(c, 0));
  *out = *x;
  return true;
}

bool shape_draw(const ShapeCtx *c, Type *out) {
  const Type *w = shape_arg(c, 0);
  if (!shape_rank(c, 0, 2) || !shape_rank(c, 4, 1) || !whole_numbers(c, 1)) return false;
  if (w->dtype != DT_F32)
    return shape_error_at(c, 0, "E0203", "%s has %s elements, needs f32", shape_who(c, 0), dtype_info[w->dtype].name);
  if (w->nseg) return shape_error_at(c, 0, "E0205", "%s is segmented", shape_who(c, 0));
  for (size_t i = 1; i < 4; i++)
    if (!shape_rank(c, i, 0)) return false;
  if (!shape_axis_equal(w, 0, shape_arg(c, 4), 0))
    return shape_error(c, "E0204", "%s rows and %s samples", shape_axis(c, w, 0), shape_axis(c, shape_arg(c, 4), 0));
  *out = (Type){.dtype = DT_I32, .rank = 1, .dim = {w->dim[0]}};
  return true;
}

// The element of an operand that stretches to `out` at an index of it.
static size_t place(const Tensor *t, const Tensor *out, size_t at) {
  size_t offset = 0, stride = 1;
  for (int d = out->rank - 1, own = t->rank - 1; own >= 0; d--, own--) {
    if (t->dim[own] != 1) offset += at % (size_t)out->dim[d] * stride;
    stride *= (size_t)t->dim[own];
    at /= (size_t)out->dim[d];
  }
  return offset;
}

static uint64_t seed_of(const RefCtx *c) {
  return (uint64_t)(uint32_t)c->arg[2].i[0] << 32 | (uint32_t)c->arg[1].i[0];
}

void ref_dropout(const RefCtx *c, Tensor *out) {
  double rate = value_float(c->v, A_rate, 0);
  uint32_t site = SY_RANDOM_SITE + (uint32_t)value_int(c->v, A_site, 0);
  for (size_t n = 0; n < out->n; n++) {
    uint32_t sample = (uint32_t)c->arg[4].i[place(&c->arg[4], out, n)];
    uint32_t i = (uint32_t)c->arg[5].i[place(&c->arg[5], out, n)] + (uint32_t)c->arg[6].i[place(&c->arg[6], out, n)];
    sy_random4 r = sy_random_at(seed_of(c), site, (uint32_t)c->arg[3].i[0], sample, i / 4);
    out->f[n] = sy_random_f32(r.v[i % 4]) < rate ? 0 : c->arg[0].f[n] / (1 - rate);
  }
}

// In f32: which column it is depends on how the sums are rounded.
void ref_draw(const RefCtx *c, Tensor *out) {
  size_t rows = (size_t)c->arg[0].dim[0], columns = (size_t)c->arg[0].dim[1];
  uint32_t site = (uint32_t)value_int(c->v, A_site, 0);
  for (size_t b = 0; b < rows; b++) {
    const double *w = c->arg[0].f + b * columns;
    sy_random4 r = sy_random_at(seed_of(c), SY_RANDOM_DRAW, (uint32_t)c->arg[3].i[0], (uint32_t)c->arg[4].i[b], site);
    float whole = 0, sum = 0;
    for (size_t j = 0; j < columns; j++) whole += (float)w[j];
    size_t found = columns;
    for (size_t j = 0; j < columns && found == columns; j++) {
      sum += (float)w[j];
      if (sum > sy_random_f32(r.v[0]) * whole) found = j;
    }
    out->i[b] = (int32_t)(found < columns ? found : b + 1 < columns ? b + 1 : 0);
  }
}
