// label.c: the scores that a cross-entropy needs of the rows of a product, so that nobody has to keep all of them.
//
//   label_scores       x [..,K], w [V,K], labels i32[..], counted bool[..], optional b [V]  ->  [..,count]
//                      With z = x w^T + b and s = log_softmax(z): column 0 is s at the row's label, column 1
//                      log_sum_exp(z), column 2 (count = 3) the sum of the row's s (for smoothed targets); 0 where a
//                      row does not count. A label of a row that counts must be in 0 .. V - 1; others are not looked
//                      at.
//   label_scores_grad  its operands, its result y and dy [..,count]  ->  the gradient by operand wrt (0, 1 or 4)
//                      With p = e^(z - y1): the gradients of the columns by z are onehot - p, p and 1 - V p, so dz =
//                      dy0 onehot + dy2 - (dy0 - dy1 + V dy2) p, and dx = dz w, dw = sum of dz x^T, db = sum of dz over
//                      the rows that count.
//
// No kernel computes them: the pass `blocks` makes operations of them that go through the vocabulary in blocks.
#include "op.h"
#include "grad.h"

#include <math.h>

enum { X, W, LABELS, COUNTED, BIAS };

static bool label_operands(const ShapeCtx *c, size_t nargs) {
  if (!shape_rank(c, W, 2)) return false;
  const Type *x = shape_arg(c, X), *w = shape_arg(c, W), *rows[] = {shape_arg(c, LABELS), shape_arg(c, COUNTED)};
  int64_t count = shape_int(c, A_count, 0);
  if (count != 2 && count != 3) return shape_error(c, "E0208", "count = %lld, must be 2 or 3", (long long)count);
  if (x->dtype != DT_F32 || w->dtype != DT_F32 || rows[0]->dtype != DT_I32 || rows[1]->dtype != DT_BOOL)
    return shape_error(c, "E0203", "rows and weight are f32, labels i32, which rows count bool");
  if (x->rank < 2 || !dim_equal(x->dim[x->rank - 1], w->dim[1]) || w->nseg || !dim_is_const(w->dim[0]))
    return shape_error(c, "E0204", "the weight %s does not fit %s", shape_type(c, W), shape_type(c, X));
  for (int i = 0; i < 2; i++) {
    bool fits = rows[i]->rank == x->rank - 1 && !rows[i]->nseg;
    for (int d = 0; fits && d < rows[i]->rank; d++) fits = shape_axis_equal(x, d, rows[i], d);
    if (!fits)
      return shape_error(c, "E0204", "%s has no element for each row of %s", shape_type(c, LABELS + (size_t)i),
                         shape_type(c, X));
  }
  if (nargs <= BIAS) return true;
  const Type *b = shape_arg(c, BIAS);
  if (b->rank != 1 || b->dtype != DT_F32 || !dim_equal(b->dim[0], w->dim[0]))
    return shape_error(c, "E0204", "the bias %s does not fit the weight %s", shape_type(c, BIAS), shape_type(c, W));
  return true;
}

static Type scores_type(const ShapeCtx *c) {
  Type t = *shape_arg(c, LABELS);
  t.dtype = DT_F32;
  t.dim[t.rank++] = DIM(shape_int(c, A_count, 2));
  return t;
}

bool shape_label_scores(const ShapeCtx *c, Type *out) {
  if (!shape_count(c, 4, 5) || !label_operands(c, c->nargs)) return false;
  *out = scores_type(c);
  return true;
}

bool shape_label_scores_grad(const ShapeCtx *c, Type *out) {
  if (!shape_count(c, 6, 7) || !label_operands(c, c->nargs - 2)) return false;
  const Attr *wrt = shape_attr(c, A_wrt);
  Type dy = scores_type(c);
  int64_t i = wrt->nv == 1 ? wrt->v[0] : -1;
  if (i != X && i != W && (i != BIAS || c->nargs != 7))
    return shape_error(c, "E0208", "wrt must be one of the operands that are numbers");
  for (size_t k = c->nargs - 2; k < c->nargs; k++)
    if (!type_equal(shape_arg(c, k), &dy))
      return shape_error(c, "E0204", "%s is not what the operator yields", shape_type(c, k));
  *out = *shape_arg(c, (size_t)i);
  return true;
}

// s of one row into s[0 .. V), with *lse. False: the label is outside.
static bool row_scores(const RefCtx *c, size_t row, bool bias, double *s, double *lse) {
  const Tensor *x = &c->arg[X], *w = &c->arg[W];
  size_t n = (size_t)w->dim[0], k = (size_t)w->dim[1];
  int32_t label = c->arg[LABELS].i[row];
  double most = -HUGE_VAL, sum = 0;
  if (label < 0 || (size_t)label >= n) {
    *c->error = arena_printf(c->g->module->arena, "%s: label %d is outside 0..%zu", op_info[c->v->op].name, (int)label,
                             n ? n - 1 : 0);
    return false;
  }
  for (size_t j = 0; j < n; j++) {
    s[j] = bias ? c->arg[BIAS].f[j] : 0;
    for (size_t i = 0; i < k; i++) s[j] += x->f[row * k + i] * w->f[j * k + i];
    most = s[j] > most ? s[j] : most;
  }
  for (size_t j = 0; j < n; j++) sum += exp(s[j] - most);
  *lse = most + log(sum);
  for (size_t j = 0; j < n; j++) s[j] -= *lse;
  return true;
}

void ref_label_scores(const RefCtx *c, Tensor *out) {
  size_t n = (size_t)c->arg[W].dim[0], count = (size_t)value_int(c->v, A_count, 2);
  double *s = ARENA_ARRAY(c->env->arena, double, n), lse;
  for (size_t i = 0; i < out->n; i++) out->f[i] = 0;
  for (size_t row = 0; row < c->arg[LABELS].n; row++) {
    if (!c->arg[COUNTED].b[row]) continue;
    if (!row_scores(c, row, c->v->nargs > BIAS, s, &lse)) return;
    out->f[row * count] = s[c->arg[LABELS].i[row]];
    out->f[row * count + 1] = lse;
    for (size_t j = 0; count > 2 && j < n; j++) out->f[row * count + 2] += s[j];
  }
}

void ref_label_scores_grad(const RefCtx *c, Tensor *out) {
  size_t n = (size_t)c->arg[W].dim[0], k = (size_t)c->arg[W].dim[1], count = (size_t)value_int(c->v, A_count, 2);
  int64_t wrt = value_attr(c->v, A_wrt)->v[0];
  double *s = ARENA_ARRAY(c->env->arena, double, n), lse;
  for (size_t i = 0; i < out->n; i++) out->f[i] = 0;
  for (size_t row = 0; row < c->arg[LABELS].n; row++) {
    if (!c->arg[COUNTED].b[row]) continue;
    if (!row_scores(c, row, c->v->nargs > BIAS + 2, s, &lse)) return;
    const double *dy = c->arg[c->v->nargs - 1].f + row * count;
    double all = count > 2 ? dy[2] : 0, along = dy[0] - dy[1] + (double)n * all;
    for (size_t j = 0; j < n; j++) {
      double d = all - along * exp(s[j]);
      if ((int32_t)j == c->arg[LABELS].i[row]) d += dy[0];
      if (wrt == BIAS) out->f[j] += d;
      for (size_t i = 0; wrt != BIAS && i < k; i++)
        out->f[wrt == X ? row * k + i : j * k + i] +=
            d * c->arg[wrt == X ? W : X].f[wrt == X ? j * k + i : row * k + i];
    }
  }
}

void grad_label_scores(Grad *c) {
  Val args[BIAS + 3];
  for (uint32_t i = 0; i < c->v.nargs; i++) args[i] = c->v.args[i];
  args[c->v.nargs] = c->y, args[c->v.nargs + 1] = c->dy;
  for (uint32_t i = 0; i < c->v.nargs; i++) {
    if (!c->want[i] || i == LABELS || i == COUNTED) continue;
    int64_t wrt = i;
    Attr attr[] = {attr_int(A_count, value_int(&c->v, A_count, 2)), attr_ints(A_wrt, &wrt, 1)};
    grad_set(c, i, grad_op(c, OP_label_scores_grad, args, c->v.nargs + 2, attr, 2));
  }
}
