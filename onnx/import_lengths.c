// import_lengths.c: shape arithmetic, computed while a model is read: Shape, Gather, Concat and their like over
// lengths, as exporters write them in front of Reshape and Expand. Lengths are sums c + k * (run-time dim).
#include "import.h"

#include <string.h>

static bool add_lengths(Dim a, Dim b, int64_t sign, Dim *out) {
  Dim n = {sign * b.c, (int32_t)(sign * b.k), b.sym};
  return dim_add(a, n, out);
}

static bool times(Dim a, int64_t by, Dim *out) {
  int64_t c, k;
  if (__builtin_mul_overflow(a.c, by, &c) || __builtin_mul_overflow((int64_t)a.k, by, &k) || k > INT32_MAX ||
      k < INT32_MIN)
    return false;
  *out = (Dim){c, (int32_t)k, a.sym};
  return true;
}

static bool over(Dim a, int64_t by, Dim *out) {
  if (!by || (a.k && (a.c % by || a.k % by)) || (a.c == INT64_MIN && by == -1)) return false;
  *out = (Dim){a.c / by, (int32_t)(a.k / by), a.sym};
  return true;
}

// One pair of lengths. False: the result is no such sum.
static bool one(const char *op, Dim a, Dim b, Dim *out) {
  bool fixed = dim_is_const(a) && dim_is_const(b);
  if (!strcmp(op, "Add")) return add_lengths(a, b, 1, out);
  if (!strcmp(op, "Sub")) return add_lengths(a, b, -1, out);
  if (!strcmp(op, "Mul")) return dim_is_const(b) ? times(a, b.c, out) : dim_is_const(a) && times(b, a.c, out);
  if (!strcmp(op, "Div")) return dim_is_const(b) && over(a, b.c, out);
  if (!strcmp(op, "Equal") && (fixed || dim_equal(a, b))) return *out = DIM(dim_equal(a, b)), true;
  // A run-time dim is at least 1; what exporters compare it with is -1.
  if (!strcmp(op, "Equal")) {
    Dim run = dim_is_const(a) ? b : a, c = dim_is_const(a) ? a : b;
    return dim_is_const(c) && c.c < 1 && run.k > 0 && run.c >= 0 ? (*out = DIM(0), true) : false;
  }
  if (!fixed) return false;
  int64_t x = a.c, y = b.c;
  if (!strcmp(op, "Max")) return *out = DIM(x > y ? x : y), true;
  if (!strcmp(op, "Min")) return *out = DIM(x < y ? x : y), true;
  if (!strcmp(op, "Less")) return *out = DIM(x < y), true;
  if (!strcmp(op, "LessOrEqual")) return *out = DIM(x <= y), true;
  if (!strcmp(op, "Greater")) return *out = DIM(x > y), true;
  if (!strcmp(op, "GreaterOrEqual")) return *out = DIM(x >= y), true;
  return false;
}

// An elementwise operator of two, if both operands are lengths. *done: they were.
bool import_two_lengths(Import *p, bool *done) {
  Item *a = import_item(p, 0), *b = import_item(p, 1);
  *done = import_is_lengths(a) && import_is_lengths(b);
  if (!*done) return true;
  const Item *x = import_lengths(p, 0), *y = import_lengths(p, 1);
  if (!x || !y) return false;
  size_t n = x->n > y->n ? x->n : y->n;
  if ((x->n != n && x->n != 1) || (y->n != n && y->n != 1)) return import_fail(p, "%zu and %zu lengths", x->n, y->n);
  Dim *out = ARENA_ARRAY(p->arena, Dim, n);
  for (size_t i = 0; i < n; i++)
    if (!one(p->node->op_type, x->length[x->n == 1 ? 0 : i], y->length[y->n == 1 ? 0 : i], &out[i]))
      return import_fail(p, "what it makes of lengths is no sum of numbers and one run-time dim");
  import_set(p, 0, import_dims_item(p, out, n, x->rank > y->rank ? x->rank : y->rank));
  return !p->failed;
}

bool import_shape(Import *p) {
  Item *x = import_item(p, 0);
  Dim d[MAX_RANK];
  int rank = 0;
  if (x->kind == ITEM_CONST) {
    rank = x->rank;
    for (int i = 0; i < rank; i++) d[i] = DIM(x->dim[i]);
  } else if (x->kind == ITEM_LENGTHS) {
    rank = x->rank;
    d[0] = DIM((int64_t)x->n);
  } else {
    Val v = import_value(p, x);
    if (!v.id) return false;
    rank = import_type(p, v)->rank;
    memcpy(d, import_type(p, v)->dim, sizeof d);
  }
  int64_t start = import_int(p, "start", 0), end = import_int(p, "end", rank);
  if (start < 0) start += rank;
  if (end < 0) end += rank;
  start = start < 0 ? 0 : start > rank ? rank : start;
  end = end < start ? start : end > rank ? rank : end;
  import_set(p, 0, import_dims_item(p, d + start, (size_t)(end - start), 1));
  return !p->failed;
}

bool import_constant_of_shape(Import *p) {
  const Item *shape = import_lengths(p, 0);
  const Onnx__AttributeProto *a = import_attr(p, "value");
  Item value = {.kind = ITEM_CONST, .dtype = DT_F32, .n = 1, .data = (const float[]){0}};
  if (!shape) return false;
  if (a && (!a->t || !onnx_read_tensor(p->arena, a->t, NULL, &value, p->why) || value.n != 1))
    return import_fail(p, "its value is no single number");
  double v = value.dtype == DT_F32   ? (double)*(const float *)value.data
             : value.dtype == DT_I32 ? (double)*(const int64_t *)value.data
                                     : *(const uint8_t *)value.data;
  if (value.dtype == DT_I32 && shape->n <= 1 &&
      (!shape->n ||
       (dim_is_const(shape->length[0]) && shape->length[0].c <= MOST_LENGTHS && shape->length[0].c >= 0))) {
    Dim d[MOST_LENGTHS];
    size_t n = shape->n ? (size_t)shape->length[0].c : 1;
    for (size_t i = 0; i < n; i++) d[i] = DIM((int64_t)v);
    import_set(p, 0, import_dims_item(p, d, n, (int)shape->n));
    return !p->failed;
  }
  Type t = {.dtype = value.dtype, .rank = (uint8_t)shape->n};
  if (shape->n > MAX_RANK) return import_fail(p, "more than %d axes", MAX_RANK);
  for (size_t i = 0; i < shape->n; i++) t.dim[i] = shape->length[i];
  const char *why = type_problem(p->m, &t);
  if (why) return import_fail(p, "%s", why);
  const Attr attr = attr_float(A_value, v);
  return import_result(p, import_typed(p, OP_constant, NO_VAL, &attr, 1, &t));
}

bool import_range(Import *p) {
  const Item *start = import_lengths(p, 0), *end = start ? import_lengths(p, 1) : NULL,
             *step = end ? import_lengths(p, 2) : NULL;
  Dim n;
  if (!step) return false;
  if (start->n != 1 || end->n != 1 || step->n != 1 || !dim_is_const(step->length[0]) || step->length[0].c != 1 ||
      !dim_is_const(start->length[0]) || !add_lengths(end->length[0], start->length[0], -1, &n))
    return import_fail(p, "only ranges in steps of 1 from a number are read");
  Type t = {
      .dtype = DT_I32, .rank = 1, .dim = {DIM(dim_bound(p->m, n))}}; // the longest, of which the first n are taken
  const char *why = type_problem(p->m, &t);
  if (why) return import_fail(p, "%s", why);
  Val v = import_slice(p, import_typed(p, OP_iota, NO_VAL, NULL, 0, &t), 0, DIM(0), n);
  if (start->length[0].c && v.id) {
    Type scalar = {.dtype = DT_I32};
    const Attr value = attr_float(A_value, (double)start->length[0].c);
    Val from = import_typed(p, OP_constant, NO_VAL, &value, 1, &scalar);
    v = import_add(p, OP_add, (Val[]){v, from}, 2, NULL, 0);
  }
  return import_result(p, v);
}

// Some of the lengths, by number.
bool import_pick_lengths(Import *p) {
  const Item *x = import_lengths(p, 0), *at = x ? import_lengths(p, 1) : NULL;
  Dim d[MOST_LENGTHS];
  if (!at) return false;
  for (size_t i = 0; i < at->n; i++) {
    int64_t k = at->length[i].c;
    if (k < 0) k += (int64_t)x->n;
    if (!dim_is_const(at->length[i]) || k < 0 || k >= (int64_t)x->n)
      return import_fail(p, "length %lld of %zu is asked for", (long long)k, x->n);
    d[i] = x->length[k];
  }
  import_set(p, 0, import_dims_item(p, d, at->n, at->rank));
  return !p->failed;
}

bool import_where_lengths(Import *p, bool *done) {
  *done = import_is_lengths(import_item(p, 0)) && import_is_lengths(import_item(p, 1)) &&
          import_is_lengths(import_item(p, 2));
  if (!*done) return true;
  const Item *c = import_lengths(p, 0), *a = import_lengths(p, 1), *b = import_lengths(p, 2);
  Dim d[MOST_LENGTHS];
  if (!c || !a || !b) return false;
  size_t n = c->n > a->n ? c->n : a->n;
  n = n > b->n ? n : b->n;
  for (size_t i = 0; i < n; i++) {
    Dim k = c->length[c->n == 1 ? 0 : i % c->n];
    if (!dim_is_const(k)) return import_fail(p, "its condition depends on a run-time length");
    d[i] = k.c ? a->length[a->n == 1 ? 0 : i % a->n] : b->length[b->n == 1 ? 0 : i % b->n];
  }
  import_set(p, 0, import_dims_item(p, d, n, 1));
  return !p->failed;
}

bool import_concat_lengths(Import *p) {
  Dim d[MOST_LENGTHS];
  size_t n = 0;
  for (size_t i = 0; i < p->node->n_input; i++) {
    const Item *x = import_lengths(p, i);
    if (!x) return false;
    if (n + x->n > MOST_LENGTHS) return import_fail(p, "more than %d lengths", MOST_LENGTHS);
    memcpy(d + n, x->length, x->n * sizeof *d);
    n += x->n;
  }
  import_set(p, 0, import_dims_item(p, d, n, 1));
  return !p->failed;
}

bool import_slice_lengths(Import *p, int64_t start, int64_t end) {
  const Item *x = import_lengths(p, 0);
  if (!x) return false;
  int64_t n = (int64_t)x->n;
  start = start < 0 ? start + n : start;
  end = end < 0 ? end + n : end;
  start = start < 0 ? 0 : start > n ? n : start;
  end = end < start ? start : end > n ? n : end;
  import_set(p, 0, import_dims_item(p, x->length + start, (size_t)(end - start), 1));
  return !p->failed;
}
