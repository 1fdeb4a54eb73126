// convolve.c: windows and depthwise, on images with channels last.
//
//   windows    x [B,H,W,C]                             ->  [B,H',W',kh*kw*C], columns in order y, x, c
//   depthwise  x [B,H,W,C], kernel [kh,kw,C], bias [C]  ->  [B,H',W',C]
// with H' = (H - (kh - 1) dh - 1) / sh + 1 and W' alike, (dh, dw) the dilation: what does not fit is dropped, borders
// are added before. Height, width and channels are constants. The reference sums in doubles, rows of the kernel first.
#include "op.h"

enum { MOST_STRIDE = 64 }; // beyond an image's end: one window fits then, whatever the stride

static bool is_fixed(const Type *t, int axis) {
  return dim_is_const(t->dim[axis]) && !(t->nseg && t->segaxis == axis);
}

const int64_t *dilation_of(const Value *v) {
  static const int64_t none[2] = {1, 1};
  const Attr *a = value_attr(v, A_dilation);
  return a ? a->v : none;
}

// The places of a kernel on the first operand, an image.
static bool grid_of(const ShapeCtx *c, const int64_t kernel[2], const int64_t stride[2], Type *out) {
  const Type *x = shape_arg(c, 0);
  const Attr *apart = shape_attr(c, A_dilation);
  if (apart && apart->nv != 2) return shape_error(c, "E0208", "the dilation has rows and columns");
  *out = *x;
  for (int i = 0; i < 2; i++) {
    int64_t k = kernel[i], s = stride[i], n = x->dim[1 + i].c, d = apart ? apart->v[i] : 1;
    if (d < 1 || d > INT32_MAX)
      return shape_error_attr(c, A_dilation, "E0208", "a dilation of %lld, must be at least 1", (long long)d);
    if (k > 1 && k <= n) k = d > n ? n + 1 : (k - 1) * d + 1; // the rows that a window covers
    if (s < 1) return shape_error_attr(c, A_stride, "E0208", "a stride of %lld, must be at least 1", (long long)s);
    if (k < 1 || k > n || (s > MOST_STRIDE && s > n))
      return shape_error(c, "E0208", "windows of %lld with stride %lld do not fit into %lld", (long long)k,
                         (long long)s, (long long)n);
    out->dim[1 + i] = DIM((n - k) / s + 1);
  }
  return true;
}

static bool is_image(const ShapeCtx *c) {
  if (!shape_float(c) || !shape_rank(c, 0, 4)) return false;
  const Type *x = shape_arg(c, 0);
  for (int i = 1; i < 4; i++)
    if (!is_fixed(x, i))
      return shape_error(c, "E0206", "height, width and channels of the image must be constant, axis %d is %s", i,
                         shape_axis(c, x, i));
  return true;
}

/* windows
 * -------------------------------------------------------------------------------------------------------------- */

bool shape_windows(const ShapeCtx *c, Type *out) {
  if (!is_image(c)) return false;
  const Attr *kernel = shape_attr(c, A_kernel), *stride = shape_attr(c, A_stride);
  if (!kernel || !stride || kernel->nv != 2 || stride->nv != 2)
    return shape_error(c, "E0208", "a window has rows and columns, and so has its stride");
  if (!grid_of(c, kernel->v, stride->v, out)) return false;
  out->dim[3].c *= kernel->v[0] * kernel->v[1];
  return true;
}

void ref_windows(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0];
  const int64_t *k = value_attr(c->v, A_kernel)->v, *s = value_attr(c->v, A_stride)->v, *d = dilation_of(c->v);
  int64_t h = x->dim[1], w = x->dim[2], ch = x->dim[3];
  size_t at = 0;
  for (int64_t b = 0; b < out->dim[0]; b++)
    for (int64_t oy = 0; oy < out->dim[1]; oy++)
      for (int64_t ox = 0; ox < out->dim[2]; ox++)
        for (int64_t y = 0; y < k[0]; y++)
          for (int64_t i = 0; i < k[1] * ch; i++)
            out->f[at++] = x->f[((b * h + oy * s[0] + y * d[0]) * w + ox * s[1] + i / ch * d[1]) * ch + i % ch];
}

/* depthwise
 * ------------------------------------------------------------------------------------------------------------ */

bool shape_depthwise(const ShapeCtx *c, Type *out) {
  if (!shape_count(c, 2, 3) || !is_image(c)) return false;
  const Type *x = shape_arg(c, 0), *kernel = shape_arg(c, 1);
  if (kernel->rank != 3)
    return shape_error_at(c, 1, "E0202", "the kernel is [rows, columns, channels], this is %s", shape_type(c, 1)),
           shape_hint(c, "a kernel as PyTorch stores it, [channels, 1, rows, columns], is taken by convolve_depthwise");
  const Attr *stride = shape_attr(c, A_stride);
  if (!stride || stride->nv != 2) return shape_error(c, "E0208", "the stride has rows and columns");
  for (int i = 0; i < 3; i++)
    if (!is_fixed(kernel, i))
      return shape_error(c, "E0206", "the kernel must have constant sides, axis %d is %s", i, shape_axis(c, kernel, i));
  if (!dim_equal(x->dim[3], kernel->dim[2]))
    return shape_error(c, "E0204", "x has %s channels but the kernel has %s", shape_axis(c, x, 3),
                       shape_axis(c, kernel, 2));
  if (c->nargs == 3) {
    if (!shape_rank(c, 2, 1)) return false;
    if (!dim_equal(x->dim[3], shape_arg(c, 2)->dim[0]))
      return shape_error(c, "E0204", "x has %s channels but the bias has %s", shape_axis(c, x, 3),
                         shape_axis(c, shape_arg(c, 2), 0));
  }
  return grid_of(c, (int64_t[]){kernel->dim[0].c, kernel->dim[1].c}, stride->v, out);
}

void ref_depthwise(const RefCtx *c, Tensor *out) {
  const Tensor *x = &c->arg[0], *kernel = &c->arg[1];
  const int64_t *s = value_attr(c->v, A_stride)->v, *k = kernel->dim, *d = dilation_of(c->v);
  int64_t h = x->dim[1], w = x->dim[2], ch = x->dim[3];
  size_t at = 0;
  for (int64_t b = 0; b < out->dim[0]; b++)
    for (int64_t oy = 0; oy < out->dim[1]; oy++)
      for (int64_t ox = 0; ox < out->dim[2]; ox++)
        for (int64_t i = 0; i < ch; i++) {
          double sum = c->v->nargs == 3 ? c->arg[2].f[i] : 0;
          for (int64_t tap = 0; tap < k[0] * k[1]; tap++) {
            int64_t row = oy * s[0] + tap / k[1] * d[0], column = ox * s[1] + tap % k[1] * d[1];
            sum += x->f[((b * h + row) * w + column) * ch + i] * kernel->f[tap * ch + i];
          }
          out->f[at++] = sum;
        }
}
