// resize.c: position tables for another grid. A table [.., rows, D] holds `keep` rows that stay (the class token) and a
// grid of rows; relative positions [(2h-1)(2w-1) + rest, heads] hold the offsets on a grid and rows that stay behind
// them.
//
//   bilinear, bicubic            as torch.nn.functional.interpolate (bicubic: a = -0.75), corners not aligned
//   bilinear_aligned, bicubic_aligned   corners aligned
//   bilinear_antialias, bicubic_antialias   antialias=True: a filter as wide as the new step, bicubic with a = -0.5
//   geometric                    the loaders of BEiT and VLMo: a cubic spline (not-a-knot) through the offsets, whose
//                                coordinates grow geometrically so that the old window spans the new one
//                                (run_class_finetuning.py of microsoft/unilm)
//
// Every method is a matrix per axis: out = R z C^T. Tables are resized when weights are packed; there is no kernel.
#include "op.h"
#include "resize.h"

#include <math.h>
#include <string.h>

enum { MOST_SIDE = 4096 };

static const struct {
  const char *name;
  bool cubic, aligned, relative, smooth;
} methods[] = {{.name = "bilinear"},
               {.name = "bicubic", .cubic = true},
               {.name = "bilinear_aligned", .aligned = true},
               {.name = "bicubic_aligned", .cubic = true, .aligned = true},
               {.name = "bilinear_antialias", .smooth = true},
               {.name = "bicubic_antialias", .cubic = true, .smooth = true},
               {.name = "geometric", .cubic = true, .relative = true}};
enum { METHODS = sizeof methods / sizeof *methods };

static int method_of(const char *name) {
  int m = 0;
  while (m < METHODS && (!name || strcmp(methods[m].name, name) != 0)) m++;
  return m;
}

bool resize_method_exists(const char *name) {
  return method_of(name) < METHODS;
}

/* one axis: weights[to][from]
 * ------------------------------------------------------------------------------------------ */
static void add_tap(double *row, int64_t n, int64_t at, double w) {
  row[at < 0 ? 0 : at >= n ? n - 1 : at] += w;
}

static double cubic(double x, double a) { // Keys, "Cubic convolution interpolation", 1981
  x = fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? a * (((x - 5) * x + 8) * x - 4) : 0;
}

static void sample_axis(bool is_cubic, bool aligned, int64_t from, int64_t to, double *weights) {
  for (int64_t i = 0; i < to; i++) {
    double *row = weights + i * from;
    double scale = to > 1 ? (double)(from - 1) / (double)(to - 1) : 0;
    double at = aligned ? (double)i * scale : ((double)i + 0.5) * (double)from / (double)to - 0.5;
    if (!is_cubic && at < 0) at = 0;
    int64_t first = (int64_t)floor(at);
    double t = at - (double)first;
    if (!is_cubic) {
      add_tap(row, from, first, 1 - t);
      add_tap(row, from, first + 1, t);
      continue;
    }
    for (int64_t k = -1; k < 3; k++) add_tap(row, from, first + k, cubic((double)k - t, -0.75));
  }
}

// PyTorch's antialias: the filter is stretched over the old rows of one new row, cut off at the borders and made to sum
// up to 1. Where the table grows it is the plain filter, with PIL's a.
static void sample_smooth(bool is_cubic, int64_t from, int64_t to, double *weights) {
  double scale = (double)from / (double)to, wide = scale > 1 ? scale : 1, support = (is_cubic ? 2 : 1) * wide;
  for (int64_t i = 0; i < to; i++) {
    double center = scale * ((double)i + 0.5), sum = 0, *row = weights + i * from;
    int64_t first = (int64_t)floor(center - support + 0.5), end = (int64_t)floor(center + support + 0.5);
    if (first < 0) first = 0;
    if (end > from) end = from;
    for (int64_t k = first; k < end; k++) {
      double x = ((double)k + 0.5 - center) / wide;
      row[k] = is_cubic ? cubic(x, -0.5) : fabs(x) < 1 ? 1 - fabs(x) : 0;
      sum += row[k];
    }
    for (int64_t k = first; k < end; k++) row[k] /= sum;
  }
}

// Coordinates of the 2g-1 offsets so that they span those of the new window.
static void geometric_coordinates(int64_t from, int64_t to, double *x) {
  double left = 1.01, right = 1.5, q = left;
  int64_t half = from / 2;
  while (right - left > 1e-6) { // q stays the last one that was tried, as in the authors' code
    q = (left + right) / 2;
    double sum = (1 - pow(q, (double)half)) / (1 - q);
    if (sum > (double)(to / 2))
      right = q;
    else
      left = q;
  }
  double at = 1;
  x[half] = 0;
  for (int64_t i = 0; i < half; i++) {
    x[half + 1 + i] = at;
    x[half - 1 - i] = -at;
    at += pow(q, (double)(i + 1));
  }
}

// Solves a x = b for n right sides b[n][m] in place, by elimination with pivots. a is destroyed.
static void solve(double *a, double *b, int64_t n, int64_t m) {
  for (int64_t i = 0; i < n; i++) {
    int64_t best = i;
    for (int64_t r = i + 1; r < n; r++)
      if (fabs(a[r * n + i]) > fabs(a[best * n + i])) best = r;
    for (int64_t c = 0; c < n && best != i; c++) {
      double t = a[i * n + c];
      a[i * n + c] = a[best * n + c], a[best * n + c] = t;
    }
    for (int64_t c = 0; c < m && best != i; c++) {
      double t = b[i * m + c];
      b[i * m + c] = b[best * m + c], b[best * m + c] = t;
    }
    for (int64_t r = 0; r < n; r++) {
      double f = r == i ? 0 : a[r * n + i] / a[i * n + i];
      for (int64_t c = i; c < n && f != 0; c++) a[r * n + c] -= f * a[i * n + c];
      for (int64_t c = 0; c < m && f != 0; c++) b[r * m + c] -= f * b[i * m + c];
    }
  }
  for (int64_t i = 0; i < n; i++)
    for (int64_t c = 0; c < m; c++) b[i * m + c] /= a[i * n + i];
}

// Cubic spline through points at x with not-a-knot ends: the second derivatives are linear in the values, s = S z; then
// every sample is linear too.
static void spline_axis(Arena *arena, int64_t from, int64_t to, double *weights) {
  double *x = ARENA_ARRAY(arena, double, (size_t)from), *a = ARENA_ARRAY(arena, double, (size_t)(from * from));
  double *s = ARENA_ARRAY(arena, double, (size_t)(from * from));
  geometric_coordinates(from, to, x);
  for (int64_t i = 1; i + 1 < from; i++) {
    double h0 = x[i] - x[i - 1], h1 = x[i + 1] - x[i];
    a[i * from + i - 1] = h0, a[i * from + i] = 2 * (h0 + h1), a[i * from + i + 1] = h1;
    s[i * from + i - 1] = 6 / h0, s[i * from + i] = -6 / h0 - 6 / h1, s[i * from + i + 1] = 6 / h1;
  }
  for (int e = 0; e < 2; e++) { // the third derivative is the same on both sides of the second and the last but one
    int64_t row = e ? from - 1 : 0, i = e ? from - 2 : 1;
    double h0 = x[i] - x[i - 1], h1 = x[i + 1] - x[i];
    a[row * from + i - 1] = 1 / h0, a[row * from + i] = -1 / h0 - 1 / h1, a[row * from + i + 1] = 1 / h1;
  }
  solve(a, s, from, from);
  for (int64_t k = 0; k < to; k++) {
    double at = (double)k - (double)(to / 2);
    at = at < x[0] ? x[0] : at > x[from - 1] ? x[from - 1] : at;
    int64_t i = 0;
    while (i + 2 < from && at > x[i + 1]) i++;
    double h = x[i + 1] - x[i], p = (x[i + 1] - at) / h, q = (at - x[i]) / h, *row = weights + k * from;
    for (int64_t j = 0; j < from; j++)
      row[j] = ((p * p * p - p) * s[i * from + j] + (q * q * q - q) * s[(i + 1) * from + j]) * h * h / 6;
    row[i] += p;
    row[i + 1] += q;
  }
}

/* tables
 * --------------------------------------------------------------------------------------------------------------- */
static int64_t side(bool relative, int64_t n) {
  return relative ? 2 * n - 1 : n;
}

static bool square_side(int64_t rows, bool relative, int64_t *n) {
  int64_t s = (int64_t)llround(sqrt((double)(rows > 0 ? rows : 0)));
  *n = relative ? (s + 1) / 2 : s;
  return rows > 0 && s * s == rows && (!relative || s % 2 == 1) && *n <= MOST_SIDE;
}

bool resize_plan(const char *method, int64_t keep, const int64_t *grid, int64_t rows_from, int64_t rows_to,
                 ResizePlan *p) {
  int m = method_of(method);
  if (m == METHODS) return false;
  *p = (ResizePlan){.method = m, .relative = methods[m].relative};
  if (grid) {
    p->to[0] = grid[0], p->to[1] = grid[1];
  } else {
    if (p->relative || !square_side(rows_to - keep, false, &p->to[0])) return false;
    p->to[1] = p->to[0];
  }
  for (int d = 0; d < 2; d++)
    if (p->to[d] < 1 || p->to[d] > MOST_SIDE) return false;
  p->keep = p->relative ? rows_to - side(true, p->to[0]) * side(true, p->to[1]) : keep;
  if (p->keep < 0 || rows_to - p->keep != side(p->relative, p->to[0]) * side(p->relative, p->to[1])) return false;
  if (!square_side(rows_from - p->keep, p->relative, &p->from[0])) return false;
  p->from[1] = p->from[0];
  return !p->relative || p->from[0] >= 3; // a spline has at least four points
}

void resize_run(Arena *scratch, const ResizePlan *p, const double *in, int64_t width, double *out) {
  int64_t f[2], t[2];
  double *w[2];
  for (int d = 0; d < 2; d++) {
    f[d] = side(p->relative, p->from[d]), t[d] = side(p->relative, p->to[d]);
    w[d] = ARENA_ARRAY(scratch, double, (size_t)(f[d] * t[d]));
    if (f[d] == t[d])
      for (int64_t i = 0; i < f[d]; i++) w[d][i * f[d] + i] = 1;
    else if (p->relative)
      spline_axis(scratch, f[d], t[d], w[d]);
    else if (methods[p->method].smooth)
      sample_smooth(methods[p->method].cubic, f[d], t[d], w[d]);
    else
      sample_axis(methods[p->method].cubic, methods[p->method].aligned, f[d], t[d], w[d]);
  }
  const double *grid_in = in + (p->relative ? 0 : p->keep * width), *rest = p->relative ? in + f[0] * f[1] * width : in;
  double *grid_out = out + (p->relative ? 0 : p->keep * width),
         *rest_out = p->relative ? out + t[0] * t[1] * width : out;
  memcpy(rest_out, rest, (size_t)(p->keep * width) * sizeof *out);
  double *half = ARENA_ARRAY(scratch, double, (size_t)(t[0] * f[1] * width)); // rows resized, columns not
  for (int64_t y = 0; y < t[0]; y++)
    for (int64_t k = 0; k < f[0]; k++)
      for (int64_t i = 0; i < f[1] * width && w[0][y * f[0] + k] != 0; i++)
        half[y * f[1] * width + i] += w[0][y * f[0] + k] * grid_in[k * f[1] * width + i];
  memset(grid_out, 0, (size_t)(t[0] * t[1] * width) * sizeof *out);
  for (int64_t y = 0; y < t[0]; y++)
    for (int64_t x = 0; x < t[1]; x++)
      for (int64_t k = 0; k < f[1]; k++)
        for (int64_t i = 0; i < width && w[1][x * f[1] + k] != 0; i++)
          grid_out[(y * t[1] + x) * width + i] += w[1][x * f[1] + k] * half[(y * f[1] + k) * width + i];
}

/* the operator
 * --------------------------------------------------------------------------------------------------------- */
static const Attr *pair_attr(const ShapeCtx *c, AttrKey k) {
  const Attr *a = shape_attr(c, k);
  return a && a->nv == 2 ? a : NULL;
}

bool shape_resize_table(const ShapeCtx *c, Type *out) {
  if (!shape_float(c)) return false;
  const Type *x = shape_arg(c, 0);
  const Attr *grid = pair_attr(c, A_grid);
  int m = method_of(shape_attr(c, A_method)->s);
  int64_t keep = shape_int(c, A_keep, 0);
  if (x->rank < 2 || !dim_is_const(x->dim[x->rank - 2]) || !dim_is_const(x->dim[x->rank - 1]))
    return shape_error(c, "E0202", "a table has constant rows and columns");
  for (int d = 0; d + 2 < x->rank; d++)
    if (!dim_is_const(x->dim[d]) || x->dim[d].c != 1)
      return shape_error(c, "E0202", "a table has rows and columns only");
  if (m == METHODS) return shape_error(c, "E0208", "there is no method '%s'", shape_attr(c, A_method)->s);
  if (!grid || grid->v[0] < 1 || grid->v[1] < 1 || grid->v[0] > MOST_SIDE || grid->v[1] > MOST_SIDE)
    return shape_error(c, "E0208", "grid must be [rows, columns], each in 1..%d", MOST_SIDE);
  int64_t rows = x->dim[x->rank - 2].c;
  if (methods[m].relative) { // all rows behind the offsets stay
    const Attr *from = pair_attr(c, A_from);
    if (!from || from->v[0] < 3 || from->v[0] != from->v[1] || from->v[0] > MOST_SIDE)
      return shape_error(c, "E0208", "geometric needs from = [g, g] with g in 3..%d", MOST_SIDE);
    keep = rows - side(true, from->v[0]) * side(true, from->v[0]);
  }
  ResizePlan p;
  if (keep >= 0) rows = keep + side(methods[m].relative, grid->v[0]) * side(methods[m].relative, grid->v[1]);
  if (keep < 0 || !resize_plan(methods[m].name, keep, grid->v, x->dim[x->rank - 2].c, rows, &p))
    return shape_error(c, "E0204", "%s rows are no square grid and %lld more", shape_axis(c, x, x->rank - 2),
                       (long long)keep);
  *out = *x;
  out->dim[x->rank - 2] = DIM(rows);
  return true;
}

void ref_resize_table(const RefCtx *c, Tensor *out) {
  ResizePlan p;
  int64_t rows = c->arg[0].dim[c->arg[0].rank - 2];
  if (!resize_plan(value_str(c->v, A_method), value_int(c->v, A_keep, 0), value_attr(c->v, A_grid)->v, rows,
                   out->dim[out->rank - 2], &p)) {
    *c->error = "resize_table: the table does not fit";
    return;
  }
  resize_run(c->env->arena, &p, c->arg[0].f, out->dim[out->rank - 1], out->f);
}
