// train.c: operators of objectives, and those that gradient rules build.
//
//   stop, assigned   x -> x; the pass `gradient` takes them away
//   outer            x [..,M], y [..,N] -> [M,N]: sum over all leading axes, which are equal
//   rows_add         ids i32[*], rows [*,..] -> the declared table [lead..,V,..]: row v is the sum of the rows whose id
//   is v,
//                    in their order. `axis` leading axes of ids belong to tables of their own; ids below `keep` are
//                    left out. An id outside the table is an error of the input.
//   outer_rows       x [N,M], y [N,K], n i32[] -> [M,K]: outer over the first n rows
//   running_count    bool[*] -> i32[*]: how many elements up to each one, itself included, are true, in row-major order
#include "op.h"
#include "movement.h"

bool shape_kept(const ShapeCtx *c, Type *out) {
  *out = *shape_arg(c, 0);
  return true;
}

void ref_stop(const RefCtx *c, Tensor *out) {
  ref_reshape(c, out);
}

void ref_assigned(const RefCtx *c, Tensor *out) {
  ref_reshape(c, out);
}

/* outer
 * ---------------------------------------------------------------------------------------------------------------- */

bool shape_outer(const ShapeCtx *c, Type *out) {
  if (!shape_float(c)) return false;
  const Type *x = shape_arg(c, 0), *y = shape_arg(c, 1);
  if (x->rank < 2 || x->rank != y->rank) return shape_error(c, "E0202", "both operands have the same two or more axes");
  for (int d = 0; d + 1 < x->rank; d++)
    if (!shape_axis_equal(x, d, y, d))
      return shape_error(c, "E0204", "the rows differ: %s and %s along axis %d", shape_axis(c, x, d),
                         shape_axis(c, y, d), d);
  const Type *t[] = {x, y};
  for (int i = 0; i < 2; i++)
    if (t[i]->nseg && t[i]->segaxis == t[i]->rank - 1)
      return shape_error(c, "E0205", "the columns are segmented (%s)", shape_axis(c, t[i], t[i]->rank - 1));
  *out = (Type){.dtype = x->dtype, .rank = 2, .dim = {x->dim[x->rank - 1], y->dim[y->rank - 1]}};
  return true;
}

void ref_outer(const RefCtx *c, Tensor *out) {
  size_t m = (size_t)out->dim[0], n = (size_t)out->dim[1], rows = m ? c->arg[0].n / m : 0;
  for (size_t i = 0; i < out->n; i++) out->f[i] = 0;
  for (size_t r = 0; r < rows; r++)
    for (size_t i = 0; i < m; i++)
      for (size_t j = 0; j < n; j++) out->f[i * n + j] += c->arg[0].f[r * m + i] * c->arg[1].f[r * n + j];
}

/* rows_add
 * ---------------------------------------------------------------------------------------------------------------- */

bool shape_rows_add(const ShapeCtx *c, Type *out) {
  const Type *ids = shape_arg(c, 0), *rows = shape_arg(c, 1), *t = c->declared;
  if (!t) ICE("rows_add needs a declared type (graph_add_typed)");
  int64_t lead = shape_int(c, A_axis, 0), keep = shape_int(c, A_keep, 0);
  const char *why = type_problem(c->g->module, t);
  if (why) return shape_error(c, "E0213", "the declared type cannot be used: %s", why);
  if (ids->dtype != DT_I32) return shape_error(c, "E0203", "row numbers are i32, not %s", dtype_info[ids->dtype].name);
  if (t->dtype != rows->dtype || dtype_info[t->dtype].kind != DK_FLOAT)
    return shape_error(c, "E0203", "rows of %s cannot be added to %s", dtype_info[rows->dtype].name,
                       dtype_info[t->dtype].name);
  if (lead < 0 || lead > ids->rank || t->rank <= lead + 1 || keep < 0)
    return shape_error(c, "E0208", "axis = %lld, keep = %lld do not fit", (long long)lead, (long long)keep);
  int behind = t->rank - 1 - (int)lead; // axes of a row
  bool fits = rows->rank == ids->rank + behind;
  for (int d = 0; fits && d < ids->rank; d++) fits = shape_axis_equal(rows, d, ids, d);
  for (int d = 0; fits && d < lead; d++) fits = shape_axis_equal(t, d, ids, d);
  for (int d = 0; fits && d < behind; d++) fits = shape_axis_equal(rows, ids->rank + d, t, (int)lead + 1 + d);
  if (!fits)
    return shape_error(c, "E0204", "the rows of %s, chosen by %s, do not fit the table", shape_type(c, 1),
                       shape_type(c, 0));
  *out = *t;
  return true;
}

void ref_rows_add(const RefCtx *c, Tensor *out) {
  int lead = (int)value_int(c->v, A_axis, 0);
  int64_t keep = value_int(c->v, A_keep, 0);
  size_t rows = (size_t)out->dim[lead], tables = 1;
  for (int d = 0; d < lead; d++) tables *= (size_t)out->dim[d];
  size_t width = rows && tables ? out->n / rows / tables : 0, each = tables ? c->arg[0].n / tables : 0;
  for (size_t i = 0; i < out->n; i++) out->f[i] = 0;
  for (size_t i = 0; i < c->arg[0].n; i++) {
    int32_t id = c->arg[0].i[i];
    if (id < 0 || (size_t)id >= rows) {
      *c->error = arena_printf(c->g->module->arena, "rows_add: id %d is outside 0..%zu", (int)id, rows ? rows - 1 : 0);
      return;
    }
    double *to = out->f + ((i / each) * rows + (size_t)id) * width;
    for (size_t k = 0; k < width && id >= keep; k++) to[k] += c->arg[1].f[i * width + k];
  }
}

/* the first rows alone, and which those are
 * ---------------------------------------------------------------------------- */

bool shape_outer_rows(const ShapeCtx *c, Type *out) {
  if (!shape_rank(c, 0, 2) || !shape_rank(c, 1, 2) || !shape_rank(c, 2, 0)) return false;
  const Type *x = shape_arg(c, 0), *y = shape_arg(c, 1), *n = shape_arg(c, 2);
  if (x->dtype != y->dtype || dtype_info[x->dtype].kind != DK_FLOAT || n->dtype != DT_I32)
    return shape_error(c, "E0203", "the operands are two floating tensors and an i32");
  if (x->nseg || y->nseg || !shape_axis_equal(x, 0, y, 0))
    return shape_error(c, "E0204", "the rows differ: %s and %s", shape_axis(c, x, 0), shape_axis(c, y, 0));
  *out = (Type){.dtype = x->dtype, .rank = 2, .dim = {x->dim[1], y->dim[1]}};
  return true;
}

void ref_outer_rows(const RefCtx *c, Tensor *out) {
  size_t m = (size_t)out->dim[0], n = (size_t)out->dim[1];
  int64_t rows = c->arg[2].i[0];
  for (size_t i = 0; i < out->n; i++) out->f[i] = 0;
  if (rows < 0 || rows > c->arg[0].dim[0]) {
    *c->error = arena_printf(c->g->module->arena, "outer_rows: there are not %lld rows", (long long)rows);
    return;
  }
  for (size_t r = 0; r < (size_t)rows; r++)
    for (size_t i = 0; i < m; i++)
      for (size_t j = 0; j < n; j++) out->f[i * n + j] += c->arg[0].f[r * m + i] * c->arg[1].f[r * n + j];
}

bool shape_running_count(const ShapeCtx *c, Type *out) {
  const Type *x = shape_arg(c, 0);
  if (x->dtype != DT_BOOL) return shape_error(c, "E0203", "true elements are counted, not %s", shape_type(c, 0));
  if (!type_is_dense(x)) return shape_error(c, "E0205", "%s is not dense", shape_type(c, 0));
  *out = *x;
  out->dtype = DT_I32;
  return true;
}

void ref_running_count(const RefCtx *c, Tensor *out) {
  int32_t n = 0;
  for (size_t i = 0; i < out->n; i++) {
    n += c->arg[0].b[i] != 0;
    out->i[i] = n;
  }
}
