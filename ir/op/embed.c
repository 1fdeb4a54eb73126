// embed.c: rows chosen by data.
//
//   embedding    table [V,D], ids i32 [..]    ->  [..,D]; segments of ids stay
//   gather_rows  x [B,N,D], index i32 [B]     ->  [B,D]
// Ids outside the table are an error of the input, reported by the evaluator (compiled code refuses the input).
#include "op.h"

#include <string.h>

static bool want_ids(const ShapeCtx *c) {
  DType t = shape_arg(c, 1)->dtype;
  return t == DT_I32 || shape_error(c, "E0203", "the ids (operand 2) have %s elements, need i32", dtype_info[t].name);
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
  if (!want_ids(c) || !shape_rank(c, 0, 3) || !shape_rank(c, 1, 1)) return false;
  if (!shape_axis_equal(x, 0, index, 0))
    return shape_error(c, "E0204", "x has %s sequences but there are %s row numbers", shape_axis(c, x, 0),
                       shape_axis(c, index, 0));
  if (x->nseg && x->segaxis == 1 && !type_is_dense(x))
    return shape_error(c, "E0206", "rows of %s have no fixed numbers: a part before the last one is run-time",
                       shape_axis(c, x, 1));
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
  for (size_t i = 0; i < c->arg[1].n; i++)
    if (!copy_row(c, out, i, i * rows, c->arg[1].i[i], rows, width)) return;
}
