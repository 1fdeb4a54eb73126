// type.c: dims, types and extents.
//
// A dim is c + k * run-time dim. Equality is structural, so [B+1] never equals [C+1] even if the bounds agree. A
// segmented axis keeps its sum in Type.dim as long as at most one run-time dim takes part; the sum of several is the
// mark {0, 1, DIM_SEGS} and only the segments tell the extent.
//
// Limits (type_problem): extents up to 2^31-1, tensors up to 2^40 elements. All arithmetic on types that passed
// type_problem stays far from the limits of int64_t.
#include "graph.h"

#include <stdlib.h>
#include <string.h>

const DTypeInfo dtype_info[DT_COUNT] = {
#define DTYPE(id, name, bytes, kind, computes, memory, kept, code, mantissa, bias, doc)                                \
  {#name, bytes, DK_##kind, DT_##computes, memory, kept, code},
#include "common/dtypes.def"
#undef DTYPE
};

bool dtype_by_name(const char *name, DType *out) {
  for (DType t = 0; t < DT_COUNT; t++)
    if (!strcmp(dtype_info[t].name, name)) return *out = t, true;
  return false;
}

static const int64_t MAX_EXTENT = INT32_MAX;
static const int64_t MAX_ELEMENTS = (int64_t)1 << 40;

// Bounds saturate: a dim is asked for them before anybody has checked that its extent can be used.
static int64_t sum(int64_t a, int64_t b) {
  int64_t y;
  return __builtin_add_overflow(a, b, &y) ? (b > 0 ? INT64_MAX : INT64_MIN) : y;
}

static int64_t value_at(Dim d, int64_t of_sym) {
  int64_t y;
  bool over = __builtin_mul_overflow((int64_t)d.k, of_sym, &y);
  return sum(d.c, !over ? y : (d.k > 0) == (of_sym > 0) ? INT64_MAX : INT64_MIN);
}

int64_t dim_bound(const Module *m, Dim d) {
  if (!d.k) return d.c;
  CHECK(d.sym >= 0 && (size_t)d.sym < m->ndim);
  return value_at(d, d.k > 0 ? m->dim[d.sym].hi : m->dim[d.sym].lo);
}

int64_t dim_least(const Module *m, Dim d) {
  if (!d.k) return d.c;
  CHECK(d.sym >= 0 && (size_t)d.sym < m->ndim);
  return value_at(d, d.k > 0 ? m->dim[d.sym].lo : m->dim[d.sym].hi);
}

bool dim_equal(Dim a, Dim b) {
  return a.c == b.c && a.k == b.k && (!a.k || a.sym == b.sym);
}
bool dim_is_const(Dim d) {
  return d.k == 0;
}

bool dim_add(Dim a, Dim b, Dim *out) {
  if (a.k && b.k && (a.sym != b.sym || a.sym == DIM_SEGS)) return false;
  if ((a.k && a.sym == DIM_SEGS) || (b.k && b.sym == DIM_SEGS)) return false;
  Dim d = {0, 0, a.k ? a.sym : b.sym};
  if (__builtin_add_overflow(a.c, b.c, &d.c) || __builtin_add_overflow(a.k, b.k, &d.k)) return false;
  if (!d.k) d.sym = 0;
  *out = d;
  return true;
}

void type_set_segs(Type *t, int axis, const Seg *seg, int n) {
  CHECK(n >= 0 && n <= MAX_SEGS && axis >= 0 && (n == 0 || axis < t->rank));
  Seg copy[MAX_SEGS] = {0};
  for (int i = 0; i < n; i++) copy[i] = seg[i];
  memcpy(t->seg, copy, sizeof copy);
  t->nseg = (uint8_t)n;
  t->segaxis = n ? (uint8_t)axis : 0;
  if (!n) return;
  Dim all = DIM(0);
  for (int i = 0; i < n; i++)
    if (!dim_add(all, copy[i].len, &all)) {
      all = (Dim){0, 1, DIM_SEGS};
      break;
    }
  t->dim[axis] = all;
}

bool type_has_runtime_dim(const Type *t) {
  for (int d = 0; d < t->rank; d++)
    if (!dim_is_const(t->dim[d])) return true;
  return false;
}

bool type_is_dense(const Type *t) {
  for (int i = 0; i + 1 < t->nseg; i++)
    if (!dim_is_const(t->seg[i].len)) return false;
  return true;
}

bool type_equal(const Type *a, const Type *b) {
  if (a->dtype != b->dtype || a->rank != b->rank || a->nseg != b->nseg) return false;
  for (int i = 0; i < a->rank; i++)
    if (!dim_equal(a->dim[i], b->dim[i])) return false;
  if (a->nseg && a->segaxis != b->segaxis) return false;
  for (int i = 0; i < a->nseg; i++)
    if (a->seg[i].modality != b->seg[i].modality || !dim_equal(a->seg[i].len, b->seg[i].len)) return false;
  return true;
}

int64_t type_extent(const Module *m, const Type *t, int axis) {
  if (!t->nseg || t->segaxis != axis) return dim_bound(m, t->dim[axis]);
  return seg_start(m, t, t->nseg);
}

int64_t seg_start(const Module *m, const Type *t, int seg) {
  int64_t at = 0;
  for (int i = 0; i < seg; i++) at = sum(at, dim_bound(m, t->seg[i].len));
  return at;
}

int64_t type_elements(const Module *m, const Type *t) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++)
    if (__builtin_mul_overflow(n, type_extent(m, t, i), &n)) return INT64_MAX;
  return n;
}

int64_t type_bytes(const Module *m, const Type *t) {
  int64_t n;
  if (__builtin_mul_overflow(type_elements(m, t), (int64_t)dtype_info[t->dtype].bytes, &n)) return INT64_MAX;
  return n;
}

static const char *dim_problem(const Module *m, Dim d) {
  if (d.c > MAX_EXTENT || d.c < -MAX_EXTENT || d.k > 65536 || d.k < -65536) return "an extent is too large";
  if (!d.k) return d.c < 1 ? "an extent is less than 1" : NULL;
  if (d.sym < 0 || (size_t)d.sym >= m->ndim) return "an extent names an unknown run-time dim";
  if (dim_least(m, d) < 0) return "an extent can become negative";
  if (dim_bound(m, d) < 1) return "an extent is less than 1";
  return dim_bound(m, d) > MAX_EXTENT ? "an extent is too large" : NULL;
}

const char *type_problem(const Module *m, const Type *t) {
  if ((unsigned)t->dtype >= DT_COUNT) return "unknown element type";
  if (t->rank > MAX_RANK) return "more than 6 axes";
  if (t->nseg > MAX_SEGS) return "more than 4 segments";
  if (t->nseg && t->segaxis >= t->rank) return "the segmented axis does not exist";
  const char *why = NULL;
  for (int i = 0; i < t->rank && !why; i++)
    if (!t->nseg || i != t->segaxis) why = dim_problem(m, t->dim[i]);
  for (int i = 0; i < t->nseg && !why; i++) {
    why = dim_problem(m, t->seg[i].len);
    if (t->seg[i].modality < 0 || (size_t)t->seg[i].modality >= m->nmodality) why = "a segment has an unknown modality";
  }
  if (why) return why;
  if (t->nseg) {
    Type whole = *t;
    type_set_segs(&whole, t->segaxis, t->seg, t->nseg);
    if (!dim_equal(whole.dim[t->segaxis], t->dim[t->segaxis])) return "the segments do not sum up to the extent";
    if (type_extent(m, t, t->segaxis) > MAX_EXTENT) return "an extent is too large";
  }
  return type_elements(m, t) > MAX_ELEMENTS ? "more than 2^40 elements" : NULL;
}

void dim_print(Buf *b, const Module *m, Dim d) {
  if (!d.k) {
    buf_printf(b, "%lld", (long long)d.c);
    return;
  }
  const char *name = d.sym >= 0 && (size_t)d.sym < m->ndim ? m->dim[d.sym].name : "?";
  if (d.k != 1) buf_printf(b, "%d*", (int)d.k);
  buf_puts(b, name);
  if (d.c) buf_printf(b, "%+lld", (long long)d.c);
}

void type_print(Buf *b, const Module *m, const Type *t) {
  buf_printf(b, "%s[", dtype_info[t->dtype].name);
  for (int i = 0; i < t->rank; i++) {
    if (i) buf_putc(b, ',');
    if (!t->nseg || t->segaxis != i) {
      dim_print(b, m, t->dim[i]);
      continue;
    }
    for (int s = 0; s < t->nseg; s++) {
      if (s) buf_puts(b, " + ");
      int32_t which = t->seg[s].modality;
      buf_printf(b, "%s: ", which >= 0 && (size_t)which < m->nmodality ? m->modality[which].name : "?");
      dim_print(b, m, t->seg[s].len);
    }
  }
  buf_putc(b, ']');
}

/* as pages write them
 * --------------------------------------------------------------------------------------------------- */
static void dim_speak(Buf *b, const Module *m, Dim d, const char *name) {
  if (d.k && d.sym == DIM_SEGS)
    buf_puts(b, "?");
  else if (!d.k && name)
    buf_printf(b, "%s=%lld", name, (long long)d.c);
  else if (!d.k)
    buf_printf(b, "%lld", (long long)d.c);
  else if (d.c > 0)
    buf_printf(b, "%lld + ", (long long)d.c);
  if (!d.k || d.sym == DIM_SEGS) return;
  if (d.k != 1) buf_printf(b, "%d*", (int)d.k);
  buf_puts(b, m->dim[d.sym].name);
  if (d.c < 0) buf_printf(b, " - %lld", -(long long)d.c);
}

void axis_speak(Buf *b, const Module *m, const Type *t, const char *const *names, int axis) {
  if (!t->nseg || t->segaxis != axis) {
    dim_speak(b, m, t->dim[axis], names ? names[axis] : NULL);
    return;
  }
  for (int s = 0; s < t->nseg; s++) {
    buf_printf(b, "%s%s: ", s ? " + " : "", m->modality[t->seg[s].modality].name);
    dim_speak(b, m, t->seg[s].len, NULL);
  }
}

void type_speak(Buf *b, const Module *m, const Type *t, const char *const *names) {
  buf_puts(b, dtype_info[t->dtype].name);
  if (t->rank) buf_putc(b, '[');
  for (int i = 0; i < t->rank; i++) {
    if (i) buf_puts(b, ", ");
    axis_speak(b, m, t, names, i);
  }
  if (t->rank) buf_putc(b, ']');
}
