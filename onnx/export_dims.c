// export_dims.c: run-time dims, lengths and shapes of an ONNX graph. A run-time dim is read off the shape of an input
// that has it, once.
#include "export.h"

#include <string.h>

// One run-time part of an axis, alone: its length less the constants is the dim, times its factor.
static bool shows(const Type *t, int axis, int32_t sym) {
  return t->dim[axis].k && t->dim[axis].sym == sym;
}

static const char *dim_value(Export *x, int32_t sym) {
  if (x->dim[sym]) return x->dim[sym];
  const Graph *g = x->g;
  const char *scope = x->w.scope;
  for (size_t i = 0; i < g->input.n && !x->dim[sym]; i++) {
    const Type *t = &graph_value(g, g->input.at[i].val)->type;
    for (int a = 0; a < t->rank && !x->dim[sym]; a++) {
      if (!shows(t, a, sym)) continue;
      const char *name = x->name[g->input.at[i].val.id];
      x->w.scope = arena_printf(x->w.arena, "dim/%s", g->module->dim[sym].name);
      const OnnxAttr at[] = {ONNX_I("start", a), ONNX_I("end", a + 1)};
      const char *n = onnx_node(&x->w, "Shape", &name, 1, at, 2);
      Dim d = t->dim[a];
      if (d.c) n = ONNX_NODE(&x->w, "Sub", n, onnx_ints(&x->w, (int64_t[]){d.c}, 1));
      if (d.k != 1) n = ONNX_NODE(&x->w, "Div", n, onnx_ints(&x->w, (int64_t[]){d.k}, 1));
      x->dim[sym] = n;
    }
  }
  x->w.scope = scope;
  if (!x->dim[sym] && !x->failed) {
    x->failed = true;
    x->error = arena_printf(x->w.arena,
                            "the run-time dim %s shows in the shape of no input: --dim %s=N fixes its bound only; "
                            "an ONNX model reads it off an input",
                            g->module->dim[sym].name, g->module->dim[sym].name);
  }
  return x->dim[sym];
}

const char *export_length(Export *x, Dim d) {
  if (dim_is_const(d)) return onnx_ints(&x->w, &d.c, 1);
  const char *n = dim_value(x, d.sym);
  if (n && d.k != 1) n = ONNX_NODE(&x->w, "Mul", n, onnx_ints(&x->w, (int64_t[]){d.k}, 1));
  if (n && d.c) n = ONNX_NODE(&x->w, "Add", n, onnx_ints(&x->w, &d.c, 1));
  return n;
}

const char *export_extent(Export *x, const Type *t, int axis) {
  if (t->dim[axis].sym != DIM_SEGS || !t->dim[axis].k) return export_length(x, t->dim[axis]);
  const char *sum = NULL;
  for (int s = 0; s < t->nseg; s++) {
    const char *n = export_length(x, t->seg[s].len);
    if (!n) return NULL;
    sum = sum ? ONNX_NODE(&x->w, "Add", sum, n) : n;
  }
  return sum;
}

const char *export_scalar(Export *x, const char *length) {
  return length ? ONNX_NODE(&x->w, "Squeeze", length, onnx_ints(&x->w, (int64_t[]){0}, 1)) : NULL;
}

static bool is_static(const Type *t, int axis) {
  return dim_is_const(t->dim[axis]);
}

// Concat of lengths, those that are known side by side in one constant.
static const char *join(Export *x, const char *const *length, const int64_t *known, int rank) {
  const char *part[MAX_RANK];
  size_t n = 0;
  for (int i = 0; i < rank;) {
    int from = i;
    while (i < rank && !length[i]) i++;
    if (i > from) part[n++] = onnx_ints(&x->w, known + from, (size_t)(i - from));
    if (i < rank) part[n++] = length[i++];
  }
  if (n == 1) return part[0];
  if (!n) return onnx_ints(&x->w, NULL, 0);
  const OnnxAttr axis = ONNX_I("axis", 0);
  return onnx_node(&x->w, "Concat", part, n, &axis, 1);
}

const char *export_shape(Export *x, const Type *to) {
  const char *length[MAX_RANK] = {0};
  int64_t known[MAX_RANK] = {0};
  for (int i = 0; i < to->rank; i++) {
    known[i] = to->dim[i].c;
    if (!is_static(to, i) && !(length[i] = export_extent(x, to, i))) return NULL;
  }
  return join(x, length, known, to->rank);
}

const char *export_shaped(Export *x, const char *value, const Type *from, const Type *to) {
  const char *length[MAX_RANK] = {0};
  int64_t known[MAX_RANK] = {0};
  bool inferred = false;
  for (int i = 0; i < to->rank; i++) {
    known[i] = to->dim[i].c;
    if (is_static(to, i)) continue;
    if (i < from->rank && dim_equal(from->dim[i], to->dim[i]) && from->nseg == to->nseg) {
      known[i] = 0;
    } else if (!inferred) {
      known[i] = -1;
      inferred = true;
    } else if (!(length[i] = export_extent(x, to, i))) {
      return NULL;
    }
  }
  return ONNX_NODE(&x->w, "Reshape", value, join(x, length, known, to->rank));
}

const char *export_expand(Export *x, const char *value, const Type *from, const Type *to) {
  const char *length[MAX_RANK] = {0};
  int64_t known[MAX_RANK] = {0};
  bool same = from->rank == to->rank;
  for (int i = 0; i < to->rank; i++) {
    int k = i - (to->rank - from->rank);
    known[i] = to->dim[i].c;
    bool has = k >= 0 && !(is_static(from, k) && from->dim[k].c == 1);
    if (has) known[i] = 1;
    same = same && (has || (is_static(to, i) && to->dim[i].c == 1));
    if (!has && !is_static(to, i) && !(length[i] = export_extent(x, to, i))) return NULL;
  }
  if (same) return value;
  return ONNX_NODE(&x->w, "Expand", value, join(x, length, known, to->rank));
}

const char *export_range(Export *x, const char *start, const char *end) {
  return start && end ? ONNX_NODE(&x->w, "Range", start, end, onnx_int(&x->w, 1)) : NULL;
}

// Scalar: an axis' length.
static const char *count_of(Export *x, Dim d) {
  return dim_is_const(d) ? onnx_int(&x->w, d.c) : export_scalar(x, export_length(x, d));
}

// Where the elements of an axis stand by upper bounds: the parts one after the other.
static const char *bound_positions(Export *x, const Type *t) {
  const char *part[MAX_SEGS];
  for (int s = 0; s < t->nseg; s++) {
    int64_t start = seg_start(x->g->module, t, s);
    const char *n = count_of(x, t->seg[s].len);
    if (n && start) n = ONNX_NODE(&x->w, "Add", n, onnx_int(&x->w, start));
    if (!(part[s] = export_range(x, onnx_int(&x->w, start), n))) return NULL;
  }
  const OnnxAttr axis = ONNX_I("axis", 0);
  return onnx_node(&x->w, "Concat", part, (size_t)t->nseg, &axis, 1);
}

const char *export_bound(Export *x, const char *value, int64_t axis, const Type *t, int of) {
  if (!value || is_static(t, of)) return value;
  bool segments = t->nseg && t->segaxis == of, dense = true;
  for (int s = 0; segments && s + 1 < t->nseg; s++) dense = dense && dim_is_const(t->seg[s].len);
  if (!dense) {
    const char *at = bound_positions(x, t);
    return at ? ONNX_WITH(&x->w, "Gather", ONNX_I("axis", axis), value, at) : NULL;
  }
  const char *end = export_extent(x, t, of);
  return end ? ONNX_NODE(&x->w, "Slice", value, onnx_ints(&x->w, (int64_t[]){0}, 1), end, onnx_ints(&x->w, &axis, 1))
             : NULL;
}
