// embed.c: rows chosen by data.
//
//   embedding    table [V,..], ids i32 [*]     ->  [*,..]; segments of both stay
//   gather_rows  x [*,N,D], index i32 [*]      ->  [*,D], or index i32 [*,M] -> [*,M,D]
//   put_rows     x [B,N,D], rows [B,W,D], at i32 [B]  ->  x, rows start+at[b] .. start+at[b]+W-1 of sequence b replaced
// Ids outside the table are an error of the input, reported by the evaluator (compiled code refuses the input).
#include "op.h"

#include <string.h>

static bool want_ids(const ShapeCtx *c) {
  DType t = shape_arg(c, 1)->dtype;
  return t == DT_I32 ||
         shape_error_at(c, 1, "E0203", "row numbers are i32, %s is %s", shape_who(c, 1), shape_type(c, 1));
}

// The axes of x behind `axis`, with their segments, behind those of *out.
static bool add_axes(const ShapeCtx *c, const Type *x, int axis, Type *out) {
  if (out->rank + x->rank - 1 - axis > MAX_RANK)
    return shape_error(c, "E0202", "the result would have more than %d axes", MAX_RANK);
  if (x->nseg && x->segaxis > axis && out->nseg)
    return shape_error(c, "E0207", "both %s and %s are segmented", shape_who(c, 0), shape_who(c, 1));
  int shift = out->rank - axis - 1;
  for (int d = axis + 1; d < x->rank; d++) out->dim[out->rank++] = x->dim[d];
  if (x->nseg && x->segaxis > axis) type_set_segs(out, x->segaxis + shift, x->seg, x->nseg);
  return true;
}

bool shape_embedding(const ShapeCtx *c, Type *out) {
  const Type *table = shape_arg(c, 0), *ids = shape_arg(c, 1);
  if (!want_ids(c)) return false;
  if (table->rank < 2)
    return shape_error(c, "E0202", "%s needs at least two axes, is %s", shape_who(c, 0), shape_type(c, 0));
  if (table->nseg && table->segaxis == 0)
    return shape_error(c, "E0205", "the table is segmented (%s)", shape_axis(c, table, table->segaxis));
  *out = *ids;
  out->dtype = table->dtype;
  return add_axes(c, table, 0, out);
}

bool shape_gather_rows(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0), *index = shape_arg(c, 1);
  if (!want_ids(c)) return false;
  if (x->rank < 3)
    return shape_error(c, "E0202", "%s needs at least three axes, is %s", shape_who(c, 0), shape_type(c, 0));
  int lead = x->rank - 2; // axes in front of the rows: x and the row numbers share them
  if (index->rank != lead && index->rank != lead + 1)
    return shape_error_at(c, 1, "E0202", "rows of %s are chosen by row numbers of %d or %d axes, not %s",
                          shape_type(c, 0), lead, lead + 1, shape_type(c, 1));
  for (int d = 0; d < lead; d++)
    if (!shape_axis_equal(x, d, index, d))
      return shape_error(c, "E0204", "x has %s sequences but there are %s row numbers", shape_axis(c, x, d),
                         shape_axis(c, index, d));
  if (x->nseg && x->segaxis == lead && !type_is_dense(x))
    return shape_error(c, "E0206", "rows of %s have no fixed numbers: a part before the last one is run-time",
                       shape_axis(c, x, lead));
  *out = *index; // segments of the row numbers stay
  out->dtype = x->dtype;
  if (x->nseg && x->segaxis < lead && !index->nseg) type_set_segs(out, x->segaxis, x->seg, x->nseg);
  return add_axes(c, x, lead, out);
}

// Row id[i] of the table that begins at element first + i / each * (elements of a table).
static void take_rows(const RefCtx *c, Tensor *out, size_t rows, size_t width, size_t each, bool tables) {
  const Tensor *ids = &c->arg[1];
  for (size_t i = 0; i < ids->n; i++) {
    int32_t row = ids->i[i];
    if (row < 0 || (size_t)row >= rows) {
      *c->error = arena_printf(c->g->module->arena, "%s: id %d is outside 0..%zu", op_info[c->v->op].name, (int)row,
                               rows ? rows - 1 : 0);
      return;
    }
    size_t from = ((tables ? i / each * rows : 0) + (size_t)row) * width;
    for (size_t k = 0; k < width; k++) ref_put(c, out, i * width + k, tensor_get(&c->arg[0], from + k));
  }
}

void ref_embedding(const RefCtx *c, Tensor *out) {
  size_t rows = (size_t)c->arg[0].dim[0];
  take_rows(c, out, rows, rows ? c->arg[0].n / rows : 0, 1, false);
}

void ref_gather_rows(const RefCtx *c, Tensor *out) {
  int rank = c->arg[0].rank;
  size_t rows = (size_t)c->arg[0].dim[rank - 2], width = (size_t)c->arg[0].dim[rank - 1];
  bool several = c->arg[1].rank == rank - 1; // rows taken from a table
  take_rows(c, out, rows, width, several ? (size_t)c->arg[1].dim[rank - 2] : 1, true);
}

bool shape_put_rows(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0), *rows = shape_arg(c, 1), *at = shape_arg(c, 2);
  int64_t start = shape_int(c, A_start, 0);
  if (!shape_rank(c, 0, 3) || !shape_rank(c, 1, 3) || !shape_rank(c, 2, 1)) return false;
  if (at->dtype != DT_I32)
    return shape_error(c, "E0203", "the positions (operand 3) have %s elements, need i32", dtype_info[at->dtype].name);
  if (x->dtype != rows->dtype && dtype_info[x->dtype].computes != rows->dtype) // a narrow state rounds what it is given
    return shape_error(c, "E0203", "rows of %s cannot go into %s", dtype_info[rows->dtype].name,
                       dtype_info[x->dtype].name);
  if (!shape_axis_equal(x, 0, rows, 0) || !shape_axis_equal(x, 0, at, 0) || !dim_equal(x->dim[2], rows->dim[2]))
    return shape_error(c, "E0204", "rows of %s columns for %s sequences do not fit into %s columns, %s sequences",
                       shape_axis(c, rows, 2), shape_axis(c, rows, 0), shape_axis(c, x, 2), shape_axis(c, x, 0));
  int64_t extent = type_extent(c->g->module, x, 1);
  if (!dim_is_const(rows->dim[1]) || start < 0 || start > extent || rows->dim[1].c > extent - start)
    return shape_error(c, "E0209", "%s rows from row %lld on do not fit into %s", shape_axis(c, rows, 1),
                       (long long)start, shape_axis(c, x, 1));
  for (int s = 0; s < x->nseg && x->segaxis == 1; s++)
    if (!dim_is_const(x->seg[s].len) && start - seg_start(c->g->module, x, s) > dim_least(c->g->module, x->seg[s].len))
      return shape_error(c, "E0206", "row %lld has no fixed number: a part before it is run-time", (long long)start);
  *out = *x;
  return true;
}

void ref_put_rows(const RefCtx *c, Tensor *out) {
  int64_t n = out->dim[1], width = out->dim[2], w = c->arg[1].dim[1], start = value_int(c->v, A_start, 0);
  for (size_t i = 0; i < out->n; i++) ref_put(c, out, i, tensor_get(&c->arg[0], i));
  for (int64_t b = 0; b < out->dim[0]; b++) {
    int64_t first = start + c->arg[2].i[b];
    if (first < start || first + w > n) {
      *c->error = arena_printf(c->g->module->arena, "put_rows: rows %lld..%lld are outside 0..%lld", (long long)first,
                               (long long)(first + w - 1), (long long)(n - 1));
      return;
    }
    for (int64_t i = 0; i < w * width; i++)
      ref_put(c, out, (size_t)((b * n + first) * width + i),
              dtype_round(out->dtype, tensor_get(&c->arg[1], (size_t)(b * w * width + i))));
  }
}
