// export.h: what the files of the ONNX export share. A rule makes the nodes of one operation and returns the name of
// its result; NULL: it cannot, and export_refuse said why.
#ifndef SY_ONNX_EXPORT_H
#define SY_ONNX_EXPORT_H

#include "onnx.h"
#include "writer.h"

typedef struct Export {
  const Graph *g;
  const OnnxExport *o;
  OnnxWriter w;
  const char **name;         // of values, by id; NULL: not yet
  bool *fixed;               // by id: made of constants alone, with a shape that is known; evaluated here
  bool *needed;              // by id
  const char *dim[MAX_DIMS]; // int64 [1]: the run-time dims, once somebody asked for them
  bool failed;               // export_refuse said why, or `error` does
  const char *error;
} Export;

typedef const char *ExportFn(Export *x, const Value *v);
#define EXPORT(op, rule, doc) ExportFn export_##rule;
#include "export.def"
#undef EXPORT

const char *export_refuse(Export *x, const Value *v, const char *fmt, ...) SY_PRINTF(3, 4); // NULL
const Value *export_arg(const Export *x, const Value *v, uint32_t i);
const char *export_in(Export *x, const Value *v, uint32_t i); // name of operand i
const char *export_name(Export *x, Val v);

/* export_dims.c: lengths and shapes, int64. NULL after export_refuse: a run-time dim shows in no input. */
const char *export_length(Export *x, Dim d);                   // [1]
const char *export_extent(Export *x, const Type *t, int axis); // [1]
const char *export_scalar(Export *x, const char *length);      // [1] as a scalar
// Of a result of type `to`, for Reshape: 0 where the axis is that of `from`, -1 for at most one other; NULL `from`: all
// lengths. `expand`: for Expand, 1 where the axis has its length already.
const char *export_shape(Export *x, const Type *to);
const char *export_shaped(Export *x, const char *value, const Type *from, const Type *to);
const char *export_expand(Export *x, const char *value, const Type *from, const Type *to);
const char *export_range(Export *x, const char *start, const char *end); // scalars: int64, start .. end - 1
// The first elements of an axis that is as long as the bounds of axis `of` of `t`: those at the run-time lengths.
const char *export_bound(Export *x, const char *value, int64_t axis, const Type *t, int of);

/* export_images.c */
// Does the product read patches or windows, so that both are one convolution?
bool export_is_conv(const Graph *g, const Value *product);
const char *export_conv(Export *x, const Value *product);

#endif
