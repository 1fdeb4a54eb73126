// import_pool.c: pooling, padding and norms of channels of images, as maps over shifted slices, concats and layer
// norms.
#include "import.h"

#include <float.h>
#include <string.h>

enum { MOST_WINDOW = 256 }; // elements, each of which is an operation

Val import_beside(Import *p, Val x, int axis, int64_t before, int64_t after, double with) {
  const Attr value = attr_float(A_value, with), at = attr_int(A_axis, axis);
  Val in[3];
  size_t n = 0;
  if (!x.id) return x;
  Type t = *import_type(p, x);
  t.dim[axis] = DIM(before);
  if (before) in[n++] = import_typed(p, OP_constant, NO_VAL, &value, 1, &t);
  in[n++] = x;
  t.dim[axis] = DIM(after);
  if (after) in[n++] = import_typed(p, OP_constant, NO_VAL, &value, 1, &t);
  return n > 1 ? import_add(p, OP_concat, in, n, &at, 1) : x;
}

typedef struct Pool {
  int64_t kernel[2], stride[2], pad[4], n[2]; // n: windows
} Pool;

// What the windows of x [B,H,W,C] hold at their first place, their second, and so on, joined by `op`.
static Val join_windows(Import *p, Val x, const Pool *o, Op op) {
  Val y = NO_VAL;
  for (int64_t i = 0; i < o->kernel[0] * o->kernel[1] && x.id; i++) {
    Val part = import_steps(p, x, 1, i / o->kernel[1], o->stride[0], o->n[0]);
    if (part.id) part = import_steps(p, part, 2, i % o->kernel[1], o->stride[1], o->n[1]);
    if (!part.id) return part;
    y = y.id ? import_add(p, op, (Val[]){y, part}, 2, NULL, 0) : part;
  }
  return y;
}

static Val with_border(Import *p, Val x, const Pool *o, double value) {
  return import_beside(p, import_beside(p, x, 1, o->pad[0], o->pad[2], value), 2, o->pad[1], o->pad[3], value);
}

static bool read_pool(Import *p, const Type *t, Pool *o) {
  int64_t apart[2];
  const Onnx__AttributeProto *automatic = import_attr(p, "auto_pad");
  if (t->rank != 4 || t->dtype != DT_F32) return import_fail(p, "pooling of images is read");
  if (automatic && automatic->has_s && automatic->s.len &&
      (automatic->s.len != 6 || memcmp(automatic->s.data, "NOTSET", 6) != 0))
    return import_fail(p, "auto_pad is not read");
  if (!import_numbers(p, "kernel_shape", 2, 0, o->kernel) || !import_numbers(p, "strides", 2, 1, o->stride) ||
      !import_numbers(p, "pads", 4, 0, o->pad) || !import_numbers(p, "dilations", 2, 1, apart))
    return false;
  if (import_int(p, "ceil_mode", 0)) return import_fail(p, "ceil_mode is not read");
  if (apart[0] != 1 || apart[1] != 1) return import_fail(p, "dilations of pooling are not read");
  for (int i = 0; i < 2; i++) {
    if (!dim_is_const(t->dim[2 + i]) || !dim_is_const(t->dim[1]))
      return import_fail(p, "the image has a run-time length");
    int64_t all = t->dim[2 + i].c + o->pad[i] + o->pad[2 + i], k = o->kernel[i];
    if (k < 1 || o->stride[i] < 1 || all < k || o->pad[i] >= k || o->pad[2 + i] >= k)
      return import_fail(p, "windows of %lld do not fit", (long long)k);
    o->n[i] = (all - k) / o->stride[i] + 1;
  }
  if (o->kernel[0] * o->kernel[1] > MOST_WINDOW)
    return import_fail(p, "windows of more than %d elements are not read", MOST_WINDOW);
  return true;
}

bool import_pool(Import *p) {
  Val x = import_tensor(p, 0);
  Pool o;
  if (!x.id) return false;
  Type t = *import_type(p, x);
  if (!read_pool(p, &t, &o)) return false;
  bool most = !strcmp(p->node->op_type, "MaxPool"), padded = o.pad[0] || o.pad[1] || o.pad[2] || o.pad[3];
  if (p->node->n_output > 1 && *p->node->output[1]) return import_fail(p, "the places of the largest are not read");
  x = with_border(p, import_transpose(p, x, (int64_t[]){0, 2, 3, 1}, 4), &o, most ? -FLT_MAX : 0);
  Val y = join_windows(p, x, &o, most ? OP_maximum : OP_add);
  if (!most && y.id) {
    Val n = import_scalar(p, (double)(o.kernel[0] * o.kernel[1]));
    if (padded && !import_int(p, "count_include_pad", 0)) { // how many elements of the image each window has
      const Attr one = attr_float(A_value, 1);
      Type ones = {.dtype = DT_F32, .rank = 4, .dim = {DIM(1), t.dim[2], t.dim[3], DIM(1)}};
      n = join_windows(p, with_border(p, import_typed(p, OP_constant, NO_VAL, &one, 1, &ones), &o, 0), &o, OP_add);
    }
    y = n.id ? import_add(p, OP_div, (Val[]){y, n}, 2, NULL, 0) : n;
  }
  return import_result(p, y.id ? import_transpose(p, y, (int64_t[]){0, 3, 1, 2}, 4) : y);
}

// All axes behind the second as one. False where a length is known at run time only.
static bool flat_places(Import *p, const Type *t, Type *flat) {
  int64_t n = 1;
  if (t->rank < 3 || t->dtype != DT_F32)
    return import_fail(p, "images or sequences with their channels in front are read");
  for (int i = 1; i < t->rank; i++) {
    if (!dim_is_const(t->dim[i])) return import_fail(p, "it goes along a run-time length");
    if (i > 1) n *= t->dim[i].c;
  }
  *flat = (Type){.dtype = DT_F32, .rank = 3, .dim = {t->dim[0], t->dim[1], DIM(n)}};
  return true;
}

bool import_global_pool(Import *p) {
  Val x = import_tensor(p, 0);
  Type flat;
  if (!x.id || !flat_places(p, import_type(p, x), &flat)) return false;
  Type t = *import_type(p, x);
  x = import_reshape(p, x, &flat);
  Val sum = x.id ? import_add(p, OP_reduce_sum, &x, 1, NULL, 0) : x;
  if (!sum.id) return false;
  Val y = import_add(p, OP_div, (Val[]){sum, import_scalar(p, (double)flat.dim[2].c)}, 2, NULL, 0);
  for (int i = 2; i < t.rank; i++) t.dim[i] = DIM(1);
  return import_result(p, y.id ? import_reshape(p, y, &t) : y);
}

// Also what exporters make of a group norm, between two reshapes.
bool import_instance_norm(Import *p) {
  Val x = import_tensor(p, 0);
  Type flat;
  if (!x.id || !flat_places(p, import_type(p, x), &flat)) return false;
  const Type t = *import_type(p, x);
  const Attr eps = attr_float(A_eps, import_float(p, "epsilon", 1e-5));
  x = import_reshape(p, x, &flat);
  Val y = x.id ? import_add(p, OP_layer_norm, &x, 1, &eps, 1) : x;
  Type column = {.dtype = DT_F32, .rank = 2, .dim = {t.dim[1], DIM(1)}};
  for (size_t i = 1; i < 3 && y.id; i++) {
    Val w = import_tensor(p, i);
    if (!w.id) return false;
    const Type *wt = import_type(p, w);
    if (wt->rank != 1 || !dim_equal(wt->dim[0], t.dim[1])) return import_fail(p, "a gain or bias of other channels");
    w = import_reshape(p, w, &column);
    y = w.id ? import_add(p, i == 1 ? OP_mul : OP_add, (Val[]){y, w}, 2, NULL, 0) : w;
  }
  return import_result(p, y.id ? import_reshape(p, y, &t) : y);
}

bool import_pad(Import *p) {
  const Onnx__AttributeProto *mode = import_attr(p, "mode");
  if (mode && mode->has_s && mode->s.len && (mode->s.len != 8 || memcmp(mode->s.data, "constant", 8) != 0))
    return import_fail(p, "padding by a constant is read");
  Val x = import_tensor(p, 0);
  if (!x.id) return false;
  const Type t = *import_type(p, x);
  const Item *pads = import_has(p, 1) ? import_lengths(p, 1) : NULL, *axes = NULL;
  if (!pads) return import_has(p, 1) ? false : import_fail(p, "pads as an operand are read");
  if (import_has(p, 3) && !(axes = import_lengths(p, 3))) return false;
  size_t n = axes ? axes->n : (size_t)t.rank;
  const Item *value = import_has(p, 2) ? import_item(p, 2) : NULL;
  double with = 0;
  if (pads->n != 2 * n) return import_fail(p, "%zu pads of %zu axes", pads->n, n);
  if (value && (value->kind != ITEM_CONST || value->n != 1))
    return import_fail(p, "it pads by a number that is computed");
  if (value) with = import_element(value, 0);
  for (size_t i = 0; i < n && x.id; i++) {
    const Dim *from = &pads->length[i], *to = &pads->length[n + i];
    int64_t axis = axes ? (dim_is_const(axes->length[i]) ? axes->length[i].c : t.rank) : (int64_t)i;
    axis += axis < 0 ? t.rank : 0;
    if (axis < 0 || axis >= t.rank) return import_fail(p, "there is no such axis");
    if (!dim_is_const(*from) || !dim_is_const(*to) || from->c < 0 || to->c < 0 || from->c > 65536 || to->c > 65536)
      return import_fail(p, "pads below 0, above 65536, or of run-time length");
    x = import_beside(p, x, (int)axis, from->c, to->c, with);
  }
  return import_result(p, x);
}
