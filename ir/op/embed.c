// embed.c: rows chosen by data.
//
//   embedding    table [V,D], ids i32 [..]    ->  [..,D]; segments of ids stay
//   gather_rows  x [B,N,D], index i32 [B]     ->  [B,D], or index i32 [B,M] -> [B,M,D]
//   put_rows     x [B,N,D], rows [B,W,D], at i32 [B]  ->  x, rows start+at[b] .. start+at[b]+W-1 of sequence b replaced
// Ids outside the table are an error of the input, reported by the evaluator (compiled code refuses the input).
#include "op.h"

#include <string.h>

static bool want_ids(const ShapeCtx *c) {
  DType t = shape_arg(c, 1)->dtype;
  return t == DT_I32 ||
         shape_error_at(c, 1, "E0203", "row numbers are i32, %s is %s", shape_who(c, 1), shape_type(c, 1));
}

bool shape_embedding(const ShapeCtx *c, Type *out) {
  const Type *table = shape_arg(c, 0), *ids = shape_arg(c, 1);
  if (!want_ids(c) || !shape_rank(c, 0, 2)) return false;
  if (table->nseg) return shape_error(c, "E0205", "the table is segmented (%s)", shape_axis(c, table, table->segaxis));
  if (ids->rank == MAX_RANK) return shape_error(c, "E0202", "the ids have %d axes already", MAX_RANK);
  *out = *ids;
  out->dtype = table->dtype;
  out->dim[out->rank++] = table->dim[1];
  return true;
}

bool shape_gather_rows(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0), *index = shape_arg(c, 1);
  if (!want_ids(c) || !shape_rank(c, 0, 3) || (index->rank != 2 && !shape_rank(c, 1, 1))) return false;
  if (!shape_axis_equal(x, 0, index, 0))
    return shape_error(c, "E0204", "x has %s sequences but there are %s row numbers", shape_axis(c, x, 0),
                       shape_axis(c, index, 0));
  if (x->nseg && x->segaxis == 1 && !type_is_dense(x))
    return shape_error(c, "E0206", "rows of %s have no fixed numbers: a part before the last one is run-time",
                       shape_axis(c, x, 1));
  if (index->rank == 2) { // segments of the row numbers stay
    *out = *index;
    out->dtype = x->dtype;
    out->dim[out->rank++] = x->dim[2];
    return !x->nseg || x->segaxis == 1 || shape_error(c, "E0205", "x is segmented (%s)", shape_axis(c, x, x->segaxis));
  }
  *out = (Type){.dtype = x->dtype, .rank = 2, .dim = {x->dim[0], x->dim[2]}};
  if (x->nseg && x->segaxis != 1) type_set_segs(out, x->segaxis == 2 ? 1 : 0, x->seg, x->nseg);
  return true;
}

static bool copy_row(const RefCtx *c, Tensor *out, size_t to, size_t first, int32_t row, size_t rows, size_t width) {
  if (row < 0 || (size_t)row >= rows) {
    *c->error = arena_printf(c->g->module->arena, "%s: id %d is outside 0..%zu", op_info[c->v->op].name, (int)row,
                             rows ? rows - 1 : 0);
    return false;
  }
  for (size_t i = 0; i < width; i++)
    ref_put(c, out, to * width + i, tensor_get(&c->arg[0], (first + (size_t)row) * width + i));
  return true;
}

void ref_embedding(const RefCtx *c, Tensor *out) {
  size_t rows = (size_t)c->arg[0].dim[0], width = (size_t)c->arg[0].dim[1];
  for (size_t i = 0; i < c->arg[1].n; i++)
    if (!copy_row(c, out, i, 0, c->arg[1].i[i], rows, width)) return;
}

void ref_gather_rows(const RefCtx *c, Tensor *out) {
  size_t rows = (size_t)c->arg[0].dim[1], width = (size_t)c->arg[0].dim[2];
  size_t each = c->arg[1].rank == 2 ? (size_t)c->arg[1].dim[1] : 1; // rows taken from a sequence
  for (size_t i = 0; i < c->arg[1].n; i++)
    if (!copy_row(c, out, i, i / each * rows, c->arg[1].i[i], rows, width)) return;
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
