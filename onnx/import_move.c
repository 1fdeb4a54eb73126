// import_move.c: views, rows chosen by data, and convolutions of an ONNX model as graph IR.
#include "import.h"

#include <string.h>

/* views ------------------------------------------------------------------------------------------------------------ */
Val import_reshape(Import *p, Val x, const Type *t) {
  if (!x.id || p->failed) return NO_VAL;
  const Value *v = graph_value(p->g, x);
  if (type_equal(&v->type, t)) return x;
  if (v->op == OP_reshape) return import_reshape(p, v->args[0], t);
  Type to = *t;
  return import_recognise(p, import_typed(p, OP_reshape, x, NULL, 0, &to));
}

Val import_transpose(Import *p, Val x, const int64_t *perm, int rank) {
  if (!x.id || p->failed) return NO_VAL;
  const Value *v = graph_value(p->g, x);
  const Attr *before = v->op == OP_transpose ? value_attr(v, A_perm) : NULL;
  int64_t all[MAX_RANK];
  bool same = true;
  for (int i = 0; i < rank; i++) {
    all[i] = before ? before->v[perm[i]] : perm[i];
    same = same && all[i] == i;
  }
  Val from = before ? v->args[0] : x;
  if (same) return from;
  int64_t *copy = ARENA_ARRAY(p->arena, int64_t, rank);
  memcpy(copy, all, (size_t)rank * sizeof *copy);
  const Attr a = attr_ints(A_perm, copy, (size_t)rank);
  return import_add(p, OP_transpose, &from, 1, &a, 1);
}

Val import_slice(Import *p, Val x, int axis, Dim start, Dim length) {
  if (!x.id) return NO_VAL;
  Type t = *import_type(p, x);
  if (!dim_is_const(start)) return import_fail(p, "it begins at a run-time length"), NO_VAL;
  if (start.c == 0 && dim_equal(t.dim[axis], length)) return x;
  if (start.c < 0 || dim_least(p->m, length) < 1) return import_fail(p, "a part of an axis that may be empty"), NO_VAL;
  t.dim[axis] = length;
  const Attr a[] = {attr_int(A_axis, axis), attr_int(A_start, start.c)};
  return import_typed(p, OP_slice, x, a, 2, &t);
}

static bool axis_of(Import *p, int64_t axis, int rank, int *out) {
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) return import_fail(p, "axis %lld of %d", (long long)axis, rank);
  *out = (int)axis;
  return true;
}

// What -1 stands for: the elements of `from` over those of the other lengths.
static bool infer(Import *p, const Type *from, Dim *to, size_t n, size_t unknown) {
  int64_t in = 1, out = 1;
  bool used[MAX_RANK] = {false};
  for (size_t i = 0; i < n; i++) {
    if (i == unknown) continue;
    int found = -1;
    for (int k = 0; k < from->rank && found < 0 && !dim_is_const(to[i]); k++)
      if (!used[k] && dim_equal(from->dim[k], to[i])) found = k;
    if (found >= 0)
      used[found] = true;
    else if (!dim_is_const(to[i]) || __builtin_mul_overflow(out, to[i].c, &out))
      return import_fail(p, "a length that it cannot follow");
  }
  Dim rest = DIM(1);
  for (int k = 0; k < from->rank; k++) {
    if (used[k]) continue;
    if (dim_is_const(from->dim[k])) {
      if (__builtin_mul_overflow(in, from->dim[k].c, &in)) return import_fail(p, "too many elements");
    } else if (dim_is_const(rest)) {
      rest = from->dim[k];
    } else {
      return import_fail(p, "two run-time axes would become one");
    }
  }
  int64_t whole = out > 0 && in % out == 0 ? in / out : 0;
  if (!whole && !dim_is_const(rest) && out > 0 && rest.k * in % out == 0 && rest.c * in % out == 0) {
    to[unknown] = (Dim){rest.c * in / out, (int32_t)(rest.k * in / out), rest.sym};
    return true;
  }
  if (!whole || whole > INT32_MAX) return import_fail(p, "the number of elements does not fit");
  to[unknown] = (Dim){rest.c * whole, (int32_t)(rest.k * whole), rest.sym};
  return true;
}

static bool to_type(Import *p, DType dtype, const Dim *d, size_t n, Type *t) {
  if (n > MAX_RANK) return import_fail(p, "more than %d axes", MAX_RANK);
  *t = (Type){.dtype = dtype, .rank = (uint8_t)n};
  if (n) memcpy(t->dim, d, n * sizeof *d);
  const char *why = type_problem(p->m, t);
  return !why || import_fail(p, "%s", why);
}

bool import_reshape_op(Import *p) {
  Item *x = import_item(p, 0);
  const Item *shape = import_lengths(p, 1);
  Dim d[MAX_RANK];
  if (!shape) return false;
  if (import_is_lengths(x) && shape->n <= 1) { // [n] or a scalar of lengths
    Item l = *import_lengths(p, 0);
    l.rank = (int)shape->n;
    import_set(p, 0, l);
    return !p->failed;
  }
  Val v = import_value(p, x);
  if (!v.id) return false;
  Type from = *import_type(p, v), t;
  size_t unknown = SIZE_MAX;
  if (shape->n > MAX_RANK) return import_fail(p, "more than %d axes", MAX_RANK);
  for (size_t i = 0; i < shape->n; i++) {
    d[i] = shape->length[i];
    if (dim_is_const(d[i]) && d[i].c == 0 && !import_int(p, "allowzero", 0)) {
      if (i >= from.rank) return import_fail(p, "its shape copies an axis that is not there");
      d[i] = from.dim[i];
    } else if (dim_is_const(d[i]) && d[i].c == -1) {
      if (unknown != SIZE_MAX) return import_fail(p, "its shape has two unknown lengths");
      unknown = i;
    }
  }
  if (unknown != SIZE_MAX && !infer(p, &from, d, shape->n, unknown)) return false;
  return to_type(p, from.dtype, d, shape->n, &t) && import_result(p, import_reshape(p, v, &t));
}

bool import_flatten(Import *p) {
  Val v = import_tensor(p, 0);
  if (!v.id) return false;
  Type from = *import_type(p, v), t;
  int64_t axis = import_int(p, "axis", 1);
  if (axis < 0) axis += from.rank;
  if (axis < 0 || axis > from.rank) return import_fail(p, "axis %lld of %d", (long long)axis, from.rank);
  Dim d[2] = {DIM(1), DIM(1)};
  for (int i = 0; i < from.rank; i++) {
    Dim *to = &d[i >= axis], one = from.dim[i];
    if (!dim_is_const(*to) && !dim_is_const(one)) return import_fail(p, "two run-time axes would become one");
    int64_t k = dim_is_const(one) ? one.c : to->c;
    Dim run = dim_is_const(one) ? *to : one;
    if (run.c * k > INT32_MAX || run.k * k > INT32_MAX) return import_fail(p, "too many elements");
    *to = (Dim){run.c * k, (int32_t)(run.k * k), run.sym};
  }
  return to_type(p, from.dtype, d, 2, &t) && import_result(p, import_reshape(p, v, &t));
}

bool import_squeeze(Import *p) {
  bool more = *p->node->op_type == 'U';
  Item *x = import_item(p, 0);
  const int64_t *axes = NULL;
  size_t n = 0;
  if (!import_ints(p, "axes", &axes, &n) && import_has(p, 1)) {
    const Item *l = import_lengths(p, 1);
    if (!l) return false;
    int64_t *v = ARENA_ARRAY(p->arena, int64_t, l->n);
    for (size_t i = 0; i < l->n; i++) v[i] = l->length[i].c;
    axes = v, n = l->n;
  }
  if (x->kind == ITEM_LENGTHS || (import_is_lengths(x) && x->n == 1 && x->rank == (more ? 0 : 1))) {
    Item l = *import_lengths(p, 0);
    if (more ? l.rank != 0 : l.n != 1) return import_fail(p, "lengths with more than one axis");
    l.rank = more;
    import_set(p, 0, l);
    return !p->failed;
  }
  Val v = import_value(p, x);
  if (!v.id) return false;
  Type from = *import_type(p, v), t = {.dtype = from.dtype};
  bool marked[2 * MAX_RANK] = {false};
  size_t rank = more ? from.rank + n : from.rank;
  if (rank > MAX_RANK) return import_fail(p, "more than %d axes", MAX_RANK);
  for (size_t i = 0; i < n; i++) {
    int a = 0;
    if (!axis_of(p, axes[i], (int)rank, &a)) return false;
    if (marked[a]) return import_fail(p, "axis %d twice", a);
    marked[a] = true;
  }
  for (size_t i = 0, k = 0; i < rank; i++) {
    bool one = more ? marked[i] : (n ? marked[i] : dim_is_const(from.dim[i]) && from.dim[i].c == 1);
    if (more) t.dim[t.rank++] = one ? DIM(1) : from.dim[k++];
    if (!more && one && !(dim_is_const(from.dim[i]) && from.dim[i].c == 1))
      return import_fail(p, "axis %zu is not of length 1", i);
    if (!more && !one) t.dim[t.rank++] = from.dim[i];
  }
  return import_result(p, import_reshape(p, v, &t));
}

bool import_transpose_op(Import *p) {
  Item *x = import_item(p, 0);
  const int64_t *perm = NULL;
  size_t n = 0;
  if (x->kind == ITEM_CONST && x->rank == 2 && x->n != 1) {
    bool turned = !import_ints(p, "perm", &perm, &n) || (n == 2 && perm[0] == 1 && perm[1] == 0);
    if (!turned) return import_identity(p);
    if (x->turned)
      import_set(p, 0, (Item){.kind = ITEM_CONST, .same = x->turned});
    else
      import_set(p, 0,
                 (Item){.kind = ITEM_CONST,
                        .dtype = x->dtype,
                        .rank = 2,
                        .dim = {x->dim[1], x->dim[0]},
                        .n = x->n,
                        .data = x->data,
                        .turned = x});
    return !p->failed;
  }
  Val v = import_value(p, x);
  if (!v.id) return false;
  int rank = import_type(p, v)->rank;
  int64_t all[MAX_RANK];
  bool seen[MAX_RANK] = {false};
  for (int i = 0; i < rank; i++) all[i] = rank - 1 - i;
  if (import_ints(p, "perm", &perm, &n)) {
    if (n != (size_t)rank) return import_fail(p, "%zu axes of %d", n, rank);
    memcpy(all, perm, n * sizeof *all);
  }
  for (int i = 0; i < rank; i++) {
    if (all[i] < 0 || all[i] >= rank || seen[all[i]])
      return import_fail(p, "its axes are no order of those that are there");
    seen[all[i]] = true;
  }
  return import_result(p, import_transpose(p, v, all, rank));
}

// Bounds of a slice, as Python counts them, on an axis.
static bool bounds(Import *p, Dim extent, Dim start, Dim end, Dim *from, Dim *length) {
  int64_t most = dim_bound(p->m, extent), least = dim_least(p->m, extent);
  Dim *at[] = {&start, &end};
  for (int i = 0; i < 2; i++) {
    Dim *d = at[i];
    if (!dim_is_const(*d)) continue;
    if (d->c >= most && (i || d->c > most)) *d = extent;
    if (d->c < -most && dim_is_const(*d)) *d = DIM(0);
    if (dim_is_const(*d) && d->c < 0 && !dim_add(extent, *d, d)) return import_fail(p, "a bound that it cannot follow");
    if (dim_is_const(*d) && d->c > least && !dim_is_const(extent))
      return import_fail(p, "an end that shorter sequences do not have (%lld)", (long long)d->c);
  }
  *from = start;
  Dim minus = {-start.c, -start.k, start.sym};
  return dim_add(end, minus, length) || import_fail(p, "a length that it cannot follow");
}

// n times `step` elements of an axis from `start` on as [n, step], of which place `at` is taken.
static Val places(Import *p, Val v, int axis, int64_t start, int64_t step, int64_t n, int64_t at) {
  Val x = import_slice(p, v, axis, DIM(start), DIM(n * step));
  if (!x.id) return x;
  Type t = *import_type(p, x), two = t;
  for (int d = t.rank; d > axis + 1; d--) two.dim[d] = two.dim[d - 1];
  two.dim[axis] = DIM(n), two.dim[axis + 1] = DIM(step), two.rank++;
  t.dim[axis] = DIM(n);
  x = import_slice(p, import_reshape(p, x, &two), axis + 1, DIM(at), DIM(1));
  return x.id ? import_reshape(p, x, &t) : x;
}

// Where too few lie behind the last one, it begins further in front, or the last one is joined by itself.
Val import_steps(Import *p, Val v, int axis, int64_t from, int64_t step, int64_t n) {
  const Type *t = import_type(p, v);
  int64_t all = t->dim[axis].c, beyond = from + n * step - all;
  if (n == 1 || step == 1) return import_slice(p, v, axis, DIM(from), DIM(n));
  if (t->rank == MAX_RANK) return import_fail(p, "steps through %d axes", MAX_RANK), NO_VAL;
  if (beyond <= from) {
    int64_t at = beyond > 0 ? beyond : 0;
    return places(p, v, axis, from - at, step, n, at);
  }
  const Attr a = attr_int(A_axis, axis);
  Val part[] = {places(p, v, axis, from, step, n - 1, 0), import_slice(p, v, axis, DIM(from + (n - 1) * step), DIM(1))};
  return part[0].id && part[1].id ? import_add(p, OP_concat, part, 2, &a, 1) : NO_VAL;
}

static Val slice_steps(Import *p, Val v, int axis, Dim from, Dim length, int64_t step) {
  if (!dim_is_const(import_type(p, v)->dim[axis]) || !dim_is_const(from) || !dim_is_const(length) || length.c < 1)
    return import_fail(p, "steps of %lld along a run-time length, or of nothing", (long long)step), NO_VAL;
  return import_steps(p, v, axis, from.c, step, (length.c + step - 1) / step);
}

bool import_slice_op(Import *p) {
  Item *x = import_item(p, 0);
  const Item *start = import_lengths(p, 1), *end = start ? import_lengths(p, 2) : NULL, *axes = NULL, *steps = NULL;
  bool stepped = false;
  if (!end) return false;
  if (import_has(p, 3) && !(axes = import_lengths(p, 3))) return false;
  if (import_has(p, 4)) {
    steps = import_lengths(p, 4);
    if (!steps) return false;
    if (steps->n != start->n) return import_fail(p, "its operands have different lengths");
    for (size_t i = 0; i < steps->n; i++) {
      if (!dim_is_const(steps->length[i]) || steps->length[i].c < 1)
        return import_fail(p, "steps below 1, or of run-time length");
      stepped = stepped || steps->length[i].c != 1;
    }
  }
  if (end->n != start->n || (axes && axes->n != start->n)) return import_fail(p, "its operands have different lengths");
  bool fixed = start->n == 1 && dim_is_const(start->length[0]) && dim_is_const(end->length[0]);
  if (x->kind == ITEM_LENGTHS || (import_is_lengths(x) && x->rank == 1 && fixed)) { // else: a vector of positions, say
    if (stepped) return import_fail(p, "lengths are cut in steps");
    if (!fixed) return import_fail(p, "lengths are cut at a run-time length");
    return import_slice_lengths(p, start->length[0].c, end->length[0].c);
  }
  Val v = import_value(p, x);
  for (size_t i = 0; i < start->n && v.id; i++) {
    const Type *t = import_type(p, v);
    int axis = 0;
    Dim from, length;
    if (!axis_of(p, axes ? axes->length[i].c : (int64_t)i, t->rank, &axis) ||
        !bounds(p, t->dim[axis], start->length[i], end->length[i], &from, &length))
      return false;
    int64_t step = steps ? steps->length[i].c : 1;
    v = step == 1 ? import_slice(p, v, axis, from, length) : slice_steps(p, v, axis, from, length, step);
  }
  return import_result(p, v);
}

bool import_split(Import *p) {
  Val v = import_tensor(p, 0);
  const int64_t *part = NULL;
  size_t n = p->node->n_output, given = 0;
  if (!v.id) return false;
  Type t = *import_type(p, v);
  int axis = 0;
  if (!axis_of(p, import_int(p, "axis", 0), t.rank, &axis)) return false;
  if (!dim_is_const(t.dim[axis])) return import_fail(p, "the axis has a run-time length");
  bool listed = import_ints(p, "split", &part, &given);
  if (!listed && import_has(p, 1)) {
    const Item *l = import_lengths(p, 1);
    if (!l) return false;
    int64_t *copy = ARENA_ARRAY(p->arena, int64_t, l->n);
    for (size_t i = 0; i < l->n; i++) copy[i] = l->length[i].c;
    part = copy, given = l->n, listed = true;
  }
  if (listed && given != n) return import_fail(p, "%zu parts, %zu results", given, n);
  int64_t at = 0, each = ceil_div(t.dim[axis].c, (int64_t)n);
  for (size_t i = 0; i < n; i++) {
    int64_t len = listed ? part[i] : i + 1 < n ? each : t.dim[axis].c - at;
    if (len < 1 || len > t.dim[axis].c - at) return import_fail(p, "its parts do not fit the axis");
    Val y = import_slice(p, v, axis, DIM(at), DIM(len));
    if (!y.id) return false;
    import_set(p, i, (Item){.kind = ITEM_TENSOR, .val = y});
    at += len;
  }
  return !p->failed;
}

bool import_concat(Import *p) {
  bool lengths = true;
  for (size_t i = 0; i < p->node->n_input; i++) lengths = lengths && import_is_lengths(import_item(p, i));
  if (!p->node->n_input || p->failed) return import_fail(p, "it has no operand");
  if (lengths) return import_concat_lengths(p);
  Val *in = ARENA_ARRAY(p->arena, Val, p->node->n_input);
  for (size_t i = 0; i < p->node->n_input; i++) in[i] = import_tensor(p, i);
  int axis = 0;
  if (!in[0].id || !axis_of(p, import_int(p, "axis", 0), import_type(p, in[0])->rank, &axis)) return false;
  if (p->node->n_input == 1) return import_result(p, in[0]);
  const Attr a = attr_int(A_axis, axis);
  return import_result(p, import_add(p, OP_concat, in, p->node->n_input, &a, 1));
}

bool import_expand(Import *p) {
  Val v = import_tensor(p, 0);
  const Item *shape = v.id ? import_lengths(p, 1) : NULL;
  if (!shape) return false;
  Type from = *import_type(p, v), t;
  size_t rank = shape->n > from.rank ? shape->n : from.rank;
  Dim d[MAX_RANK];
  if (rank > MAX_RANK) return import_fail(p, "more than %d axes", MAX_RANK);
  for (size_t i = 0; i < rank; i++) {
    size_t behind = rank - i;
    Dim a = behind <= from.rank ? from.dim[from.rank - behind] : DIM(1);
    Dim b = behind <= shape->n ? shape->length[shape->n - behind] : DIM(1);
    bool one = dim_is_const(a) && a.c == 1;
    d[i] = one ? b : a;
    if (!one && !(dim_is_const(b) && b.c == 1) && !dim_equal(a, b))
      return import_fail(p, "axis %zu cannot be stretched", i);
  }
  if (!to_type(p, from.dtype, d, rank, &t)) return false;
  if (type_equal(&t, &from)) return import_result(p, v);
  const Value *x = graph_value(p->g, v);
  if (x->op != OP_constant) return import_result(p, import_typed(p, OP_broadcast, v, NULL, 0, &t));
  const Attr value = *value_attr(x, A_value);
  return import_result(p, import_typed(p, OP_constant, NO_VAL, &value, 1, &t));
}

/* rows chosen by data -----------------------------------------------------------------------------------------------
 */
// One index of an axis, which goes.
static Val pick(Import *p, Val v, int axis, int64_t at) {
  Type t = *import_type(p, v);
  Dim start = DIM(at);
  if (at < 0 && !dim_add(t.dim[axis], start, &start)) return import_fail(p, "an index that it cannot follow"), NO_VAL;
  Val one = import_slice(p, v, axis, start, DIM(1));
  if (!one.id) return NO_VAL;
  Type to = {.dtype = t.dtype};
  for (int i = 0; i < t.rank; i++)
    if (i != axis) to.dim[to.rank++] = t.dim[i];
  return import_reshape(p, one, &to);
}

bool import_gather(Import *p) {
  Item *x = import_item(p, 0), *at = import_item(p, 1);
  if (x->kind == ITEM_LENGTHS || (import_is_lengths(x) && import_is_lengths(at) && x->rank == 1))
    return import_pick_lengths(p);
  Val v = import_value(p, x);
  if (!v.id) return false;
  Type t = *import_type(p, v);
  int axis = 0;
  if (!axis_of(p, import_int(p, "axis", 0), t.rank, &axis)) return false;
  if (import_is_lengths(at) && at->rank == 0) {
    const Item *l = import_lengths(p, 1);
    if (!l || !dim_is_const(l->length[0])) return import_fail(p, "the index is a run-time length");
    return import_result(p, pick(p, v, axis, l->length[0].c));
  }
  Val ids = import_value(p, at);
  if (!ids.id) return false;
  int rank = import_type(p, ids)->rank;
  if (axis == 0) return import_result(p, import_add(p, OP_embedding, (Val[]){v, ids}, 2, NULL, 0));
  int64_t perm[MAX_RANK], back[2 * MAX_RANK];
  perm[0] = axis;
  for (int i = 0, n = 1; i < t.rank; i++)
    if (i != axis) perm[n++] = i;
  if (rank + t.rank - 1 > MAX_RANK) return import_fail(p, "more than %d axes", MAX_RANK);
  Val y = import_add(p, OP_embedding, (Val[]){import_transpose(p, v, perm, t.rank), ids}, 2, NULL, 0);
  int n = 0; // the axes of the ids move to where the axis was
  for (int i = 0; i < axis; i++) back[n++] = rank + i;
  for (int i = 0; i < rank; i++) back[n++] = i;
  for (int i = axis; i < t.rank - 1; i++) back[n++] = rank + i;
  return import_result(p, import_transpose(p, y, back, n));
}

bool import_gather_nd(Import *p) {
  Val x = import_tensor(p, 0), at = import_tensor(p, 1);
  if (!x.id || !at.id) return false;
  Type t = *import_type(p, at);
  int batch = import_type(p, x)->rank - 2;
  if (import_int(p, "batch_dims", 0) != batch || t.rank < 1 || !dim_is_const(t.dim[t.rank - 1]) ||
      t.dim[t.rank - 1].c != 1)
    return import_fail(p,
                       "rows of the last axis but one are read: batch_dims is all in front of it, one number an index");
  t.rank--;
  return import_result(p, import_add(p, OP_gather_rows, (Val[]){x, import_reshape(p, at, &t)}, 2, NULL, 0));
}

/* convolutions ------------------------------------------------------------------------------------------------------
 */
typedef struct Convolution {
  int64_t kernel[2], stride[2], dilation[2], pad[4], group;
} Convolution;

enum { MOST_GROUPS = 64 }; // each is a product of its own

bool import_numbers(Import *p, const char *name, size_t want, int64_t absent, int64_t *out) {
  const int64_t *v;
  size_t n;
  for (size_t i = 0; i < want; i++) out[i] = absent;
  if (!import_ints(p, name, &v, &n)) return true;
  if (n != want) return import_fail(p, "%s has %zu numbers, those of two dimensions are read", name, n);
  for (size_t i = 0; i < n; i++) {
    if (v[i] < 0 || v[i] > 65536) return import_fail(p, "%s: %lld", name, (long long)v[i]);
    out[i] = v[i];
  }
  return true;
}

static Val with_bias(Import *p, Val y) {
  return import_has(p, 2) && y.id ? import_add(p, OP_add, (Val[]){y, import_tensor(p, 2)}, 2, NULL, 0) : y;
}

static Val patches(Import *p, Val x, Val w, const Type *wt, int64_t side) {
  const Attr patch = attr_int(A_patch, side), plain = attr_int(A_trans, 0);
  Type matrix = {.dtype = DT_F32, .rank = 2, .dim = {wt->dim[0], DIM(wt->dim[1].c * side * side)}},
       t = *import_type(p, x);
  Val rows = import_add(p, OP_patchify, &x, 1, &patch, 1);
  Val y = with_bias(p, import_add(p, OP_linear, (Val[]){rows, import_reshape(p, w, &matrix)}, 2, &plain, 1));
  if (!y.id) return y;
  t.dim[1] = wt->dim[0], t.dim[2] = DIM(t.dim[2].c / side), t.dim[3] = DIM(t.dim[3].c / side);
  return import_reshape(p, import_transpose(p, y, (int64_t[]){0, 2, 1}, 3), &t);
}

// The product of the windows of x [B,H,W,C] with a kernel [out,C,kh,kw].
static Val window_product(Import *p, Val x, Val w, const Attr *attr, size_t n) {
  const Type wt = *import_type(p, w);
  Type matrix = {.dtype = DT_F32, .rank = 2, .dim = {wt.dim[0], DIM(wt.dim[1].c * wt.dim[2].c * wt.dim[3].c)}};
  Val m = import_reshape(p, import_transpose(p, w, (int64_t[]){0, 2, 3, 1}, 4), &matrix);
  const Attr plain = attr_int(A_trans, 0);
  return import_add(p, OP_linear, (Val[]){import_add(p, OP_windows, &x, 1, attr, n), m}, 2, &plain, 1);
}

// Each group's channels with its part of the kernel, side by side.
static Val group_products(Import *p, Val x, Val w, const Convolution *c, const Attr *attr, size_t n) {
  const Type wt = *import_type(p, w);
  int64_t in = wt.dim[1].c, out = wt.dim[0].c / c->group;
  Val part[MOST_GROUPS];
  const Attr axis = attr_int(A_axis, 3);
  for (int64_t g = 0; g < c->group; g++) {
    Val own = import_slice(p, x, 3, DIM(g * in), DIM(in)), kernel = import_slice(p, w, 0, DIM(g * out), DIM(out));
    if (!own.id || !kernel.id) return NO_VAL;
    part[g] = window_product(p, own, kernel, attr, n);
    if (!part[g].id) return NO_VAL;
  }
  return import_add(p, OP_concat, part, (size_t)c->group, &axis, 1);
}

bool import_conv(Import *p) {
  Val x = import_tensor(p, 0), w = import_tensor(p, 1);
  Convolution c;
  if (!x.id || !w.id) return false;
  Type t = *import_type(p, x), wt = *import_type(p, w);
  const Onnx__AttributeProto *automatic = import_attr(p, "auto_pad");
  if (t.rank != 4 || wt.rank != 4) return import_fail(p, "two-dimensional convolutions are read");
  if (automatic && automatic->has_s && automatic->s.len &&
      memcmp(automatic->s.data, "NOTSET", automatic->s.len < 6 ? automatic->s.len : 6) != 0)
    return import_fail(p, "auto_pad is not read");
  if (!import_numbers(p, "strides", 2, 1, c.stride) || !import_numbers(p, "pads", 4, 0, c.pad) ||
      !import_numbers(p, "dilations", 2, 1, c.dilation))
    return false;
  c.group = import_int(p, "group", 1);
  for (int i = 0; i < 2; i++) c.kernel[i] = wt.dim[2 + i].c;
  for (int i = 1; i < 4; i++)
    if (!dim_is_const(t.dim[i]) || !dim_is_const(wt.dim[i]))
      return import_fail(p, "the image or kernel has a run-time length");
  bool padded = c.pad[0] || c.pad[1] || c.pad[2] || c.pad[3];
  bool square = c.dilation[0] == 1 && c.dilation[1] == 1 && c.kernel[0] == c.kernel[1] && c.stride[0] == c.kernel[0] &&
                c.stride[1] == c.kernel[0];
  if (c.group == 1 && wt.dim[1].c != t.dim[1].c)
    return import_fail(p, "the kernel has %lld channels, the image %lld", (long long)wt.dim[1].c,
                       (long long)t.dim[1].c);
  if (square && !padded && c.group == 1) return import_result(p, patches(p, x, w, &wt, c.kernel[0]));
  x = import_transpose(p, x, (int64_t[]){0, 2, 3, 1}, 4);
  if (!x.id) return false;
  x = import_beside(p, x, 1, c.pad[0], c.pad[2], 0);
  if (x.id) x = import_beside(p, x, 2, c.pad[1], c.pad[3], 0);
  bool apart = c.dilation[0] != 1 || c.dilation[1] != 1;
  int64_t *kernel = ARENA_ARRAY(p->arena, int64_t, 6);
  memcpy(kernel, c.kernel, sizeof c.kernel);
  memcpy(kernel + 2, c.stride, sizeof c.stride);
  memcpy(kernel + 4, c.dilation, sizeof c.dilation);
  const Attr all[] = {attr_ints(A_kernel, kernel, 2), attr_ints(A_stride, kernel + 2, 2),
                      attr_ints(A_dilation, kernel + 4, 2)};
  Val y;
  if (c.group == 1) {
    y = window_product(p, x, w, all, apart ? 3 : 2);
  } else if (c.group == t.dim[1].c && wt.dim[0].c == c.group && wt.dim[1].c == 1) {
    Type taps = {.dtype = DT_F32, .rank = 3, .dim = {wt.dim[0], wt.dim[2], wt.dim[3]}};
    Val m = import_transpose(p, import_reshape(p, w, &taps), (int64_t[]){1, 2, 0}, 3);
    y = import_add(p, OP_depthwise, (Val[]){x, m}, 2, all + 1, apart ? 2 : 1);
  } else if (c.group <= MOST_GROUPS && !(wt.dim[0].c % c.group) && wt.dim[1].c * c.group == t.dim[1].c) {
    y = group_products(p, x, w, &c, all, apart ? 3 : 2);
  } else {
    return import_fail(p,
                       "%lld groups of %lld channels: 1 group, at most %d equal ones, or one for each channel are read",
                       (long long)c.group, (long long)t.dim[1].c, MOST_GROUPS);
  }
  y = with_bias(p, y);
  return import_result(p, y.id ? import_transpose(p, y, (int64_t[]){0, 3, 1, 2}, 4) : y);
}
