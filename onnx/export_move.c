// export_move.c: sources that are computed, views, and rows chosen by data as ONNX nodes.
#include "export.h"

#include <string.h>

const char *export_refused(Export *x, const Value *v) {
  return export_refuse(x, v, "the operator '%s' has no form in ONNX", op_info[v->op].name);
}

const char *export_port(Export *x, const Value *v) {
  return export_refuse(x, v, "'%s' was not declared", op_info[v->op].name); // ports have their names from the start
}

const char *export_same(Export *x, const Value *v) {
  return export_in(x, v, 0);
}

const char *export_iota(Export *x, const Value *v) {
  int axis = (int)value_int(v, A_axis, 0);
  const char *n = dim_is_const(v->type.dim[axis]) ? onnx_int(&x->w, v->type.dim[axis].c)
                                                  : export_scalar(x, export_extent(x, &v->type, axis));
  const char *y = export_range(x, onnx_int(&x->w, 0), n);
  if (!y) return NULL;
  y = ONNX_WITH(&x->w, "Cast", ONNX_I("to", ONNX__TENSOR_PROTO__DATA_TYPE__INT32), y);
  if (v->type.rank == 1) return y;
  int64_t shape[MAX_RANK];
  for (int i = 0; i < v->type.rank; i++) shape[i] = i == axis ? -1 : 1;
  Type one = v->type;
  for (int i = 0; i < one.rank; i++)
    if (i != axis) one.dim[i] = DIM(1);
  y = ONNX_NODE(&x->w, "Reshape", y, onnx_ints(&x->w, shape, (size_t)v->type.rank));
  return export_expand(x, y, &one, &v->type);
}

const char *export_constant(Export *x, const Value *v) {
  const char *value = onnx_number(&x->w, v->type.dtype, value_float(v, A_value, 0));
  Type scalar = {.dtype = v->type.dtype};
  return v->type.rank ? export_expand(x, value, &scalar, &v->type) : value;
}

const char *export_transpose(Export *x, const Value *v) {
  const Attr *perm = value_attr(v, A_perm);
  const OnnxAttr a = {.name = "perm", .kind = ONNX_INTS, .v = perm->v, .n = perm->nv};
  const char *in = export_in(x, v, 0);
  return onnx_node(&x->w, "Transpose", &in, 1, &a, 1);
}

// Where a slice begins at the run-time lengths, int64 [1]: `start` counts by upper bounds.
static const char *dense_start(Export *x, const Value *v, int axis, int64_t *known) {
  const Type *t = &export_arg(x, v, 0)->type;
  const Module *m = x->g->module;
  int64_t start = value_int(v, A_start, 0);
  const char *sum = NULL;
  *known = start;
  if (!t->nseg || t->segaxis != axis) return onnx_ints(&x->w, &start, 1);
  *known = 0;
  for (int s = 0; s < t->nseg && start >= dim_bound(m, t->seg[s].len); s++) {
    Dim d = t->seg[s].len;
    start -= dim_bound(m, d);
    const char *n = dim_is_const(d) ? NULL : export_length(x, d);
    if (!dim_is_const(d) && !n) return NULL;
    if (n) sum = sum ? ONNX_NODE(&x->w, "Add", sum, n) : n;
    if (!n) *known += d.c;
  }
  *known += start;
  const char *rest = onnx_ints(&x->w, known, 1);
  if (!sum) return rest;
  if (*known) sum = ONNX_NODE(&x->w, "Add", sum, rest);
  *known = -1;
  return sum;
}

const char *export_slice(Export *x, const Value *v) {
  int axis = (int)value_int(v, A_axis, 0);
  int64_t known, at = axis;
  const char *start = dense_start(x, v, axis, &known);
  if (!start) return NULL;
  const char *end = NULL;
  if (known >= 0 && dim_is_const(v->type.dim[axis])) {
    int64_t last = known + v->type.dim[axis].c;
    end = onnx_ints(&x->w, &last, 1);
  } else {
    const char *n = export_extent(x, &v->type, axis);
    end = !n || known == 0 ? n : ONNX_NODE(&x->w, "Add", start, n);
  }
  return end ? ONNX_NODE(&x->w, "Slice", export_in(x, v, 0), start, end, onnx_ints(&x->w, &at, 1)) : NULL;
}

const char *export_concat(Export *x, const Value *v) {
  const char **in = ARENA_ARRAY(x->w.arena, const char *, v->nargs);
  for (uint32_t i = 0; i < v->nargs; i++) in[i] = export_in(x, v, i);
  const OnnxAttr axis = ONNX_I("axis", value_int(v, A_axis, 0));
  return onnx_node(&x->w, "Concat", in, v->nargs, &axis, 1);
}

const char *export_broadcast(Export *x, const Value *v) {
  return export_expand(x, export_in(x, v, 0), &export_arg(x, v, 0)->type, &v->type);
}

const char *export_embedding(Export *x, const Value *v) {
  return ONNX_WITH(&x->w, "Gather", ONNX_I("axis", 0), export_in(x, v, 0), export_in(x, v, 1));
}

const char *export_gather_rows(Export *x, const Value *v) {
  int batch = export_arg(x, v, 0)->type.rank - 2;
  const char *rows = ONNX_WITH(&x->w, "Cast", ONNX_I("to", ONNX__TENSOR_PROTO__DATA_TYPE__INT64), export_in(x, v, 1));
  rows = ONNX_NODE(&x->w, "Unsqueeze", rows, onnx_ints(&x->w, (int64_t[]){-1}, 1));
  return ONNX_WITH(&x->w, "GatherND", ONNX_I("batch_dims", batch), export_in(x, v, 0), rows);
}

const char *export_reshape(Export *x, const Value *v) {
  return export_shaped(x, export_in(x, v, 0), &export_arg(x, v, 0)->type, &v->type);
}
