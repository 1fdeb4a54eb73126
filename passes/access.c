// access.c: where elements are. Follows views (slice, transpose, reshape, broadcast, retag) and concat aliases down to
// the value whose storage holds the elements, as one affine rule: element (i0, i1, ..) of v is element
//   offset + sum stride[d] * i_d   of the storage of base.
//
// Invariant: with ok = true the rule holds for every index within the upper bounds; ok = false means that no strides
// express the view (a reshape across a padded or permuted axis), and the fuse pass gives that view a copy of its own.
//
//   %3 = slice %2 {axis = 2, start = 768} : f32[B,197,768]     %2 : f32[B,197,2304]
//   access_resolve(%3) = base %2, offset 768, stride 197*2304, 2304, 1
#include "ir/op/pack.h"
#include "pass.h"

static bool is_view(const Value *v) {
  return (op_info[v->op].flags & F_VIEW) && v->group == 0;
}

// Row-major strides of a value's own storage. The last axis is widened to the pitch where one is set.
static void storage_strides(const Module *m, const Value *v, int64_t *stride) {
  int64_t s = 1;
  for (int d = v->type.rank - 1; d >= 0; d--) {
    stride[d] = s;
    int64_t extent = type_extent(m, &v->type, d);
    if (d == v->type.rank - 1 && v->pitch) extent = v->pitch;
    s *= extent;
  }
}

// Strides of a reshape: every new axis must come out of old axes that lie contiguously in the old strides.
static bool reshape_strides(const Module *m, const Type *from, const int64_t *old, const Type *to, int64_t *out) {
  int i = from->rank - 1, j = to->rank - 1;
  while (j >= 0) {
    // take old axes until their product is a multiple of this new axis; axes of extent 1 have no say
    while (i >= 0 && type_extent(m, from, i) == 1) i--;
    int64_t want = type_extent(m, to, j);
    if (want == 1) {
      out[j--] = i >= 0 ? old[i] : 1;
      continue;
    }
    if (i < 0) return false;
    int64_t have = type_extent(m, from, i), step = old[i];
    if (have % want == 0 || want % have == 0) {
      // a run of old axes [i0..i] that merges, against a run of new axes [j0..j]
      int64_t product = have;
      int i0 = i, j0 = j;
      int64_t made = want;
      while (product != made) {
        if (product < made) {
          do i0--;
          while (i0 >= 0 && type_extent(m, from, i0) == 1);
          if (i0 < 0) return false;
          if (old[i0] != step * product) return false;
          product *= type_extent(m, from, i0);
        } else {
          j0--;
          if (j0 < 0) return false;
          made *= type_extent(m, to, j0);
        }
      }
      int64_t s = step;
      for (int d = j; d >= j0; d--) {
        out[d] = s;
        s *= type_extent(m, to, d);
      }
      i = i0 - 1;
      j = j0 - 1;
    } else {
      return false;
    }
  }
  return true;
}

// The access of a view in terms of the access of its operand. One function per view operator.
typedef bool ViewFn(const Module *m, const Value *v, const Type *from, Access *a);

static bool view_slice(const Module *m, const Value *v, const Type *from, Access *a) {
  (void)m;
  (void)from;
  a->offset += a->stride[value_int(v, A_axis, 0)] * value_int(v, A_start, 0);
  return true;
}
static bool view_transpose(const Module *m, const Value *v, const Type *from, Access *a) {
  (void)m;
  (void)from;
  int64_t old[MAX_RANK];
  for (int d = 0; d < MAX_RANK; d++) old[d] = a->stride[d];
  const Attr *perm = value_attr(v, A_perm);
  for (int d = 0; d < v->type.rank; d++) a->stride[d] = old[perm->v[d]];
  return true;
}
static bool view_reshape(const Module *m, const Value *v, const Type *from, Access *a) {
  int64_t out[MAX_RANK] = {0};
  if (!reshape_strides(m, from, a->stride, &v->type, out)) return false;
  for (int d = 0; d < MAX_RANK; d++) a->stride[d] = out[d];
  return true;
}
static bool view_broadcast(const Module *m, const Value *v, const Type *from, Access *a) {
  int64_t out[MAX_RANK] = {0};
  int shift = v->type.rank - from->rank;
  for (int d = 0; d < from->rank; d++) {
    bool stretched = type_extent(m, from, d) == 1 && type_extent(m, &v->type, d + shift) != 1;
    out[d + shift] = stretched ? 0 : a->stride[d];
  }
  for (int d = 0; d < MAX_RANK; d++) a->stride[d] = out[d];
  return true;
}
static bool view_same(const Module *m, const Value *v, const Type *from, Access *a) {
  (void)m;
  (void)v;
  (void)from;
  (void)a;
  return true;
}

// Rows and vectors lie as in the tensor, panels do not.
static bool view_unpack(const Module *m, const Value *v, const Type *from, Access *a) {
  (void)m;
  (void)from;
  (void)a;
  return pack_form(v).kind != PACK_panels;
}

static const struct {
  Op op;
  ViewFn *fn;
} view_table[] = {{OP_slice, view_slice},         {OP_transpose, view_transpose}, {OP_reshape, view_reshape},
                  {OP_broadcast, view_broadcast}, {OP_retag, view_same},          {OP_widen, view_same},
                  {OP_unpack, view_unpack}};

// Is a value stored inside another one, or does it read another one's memory? *step: that one.
static bool stands_on(const Value *v, Val *step) {
  *step = v->alias.id ? v->alias : is_view(v) ? v->args[0] : NO_VAL;
  return step->id != 0;
}

static void apply_view(const Graph *g, const Value *v, Access *a) {
  const Type *from = &graph_value(g, v->args[0])->type;
  for (size_t i = 0; i < sizeof view_table / sizeof *view_table; i++)
    if (view_table[i].op == v->op) {
      a->ok = a->ok && view_table[i].fn(g->module, v, from, a);
      return;
    }
  ICE("access_resolve: %s is a view without a rule", op_info[v->op].name);
}

// Views of views may be many thousands: they are walked down to the memory and back, without recursion.
Access access_resolve(const Graph *g, Val val) {
  enum { USUAL = 64 };
  Val usual[USUAL], *chain = usual, step, base = val;
  Arena a = {0};
  size_t n = 0;
  while (stands_on(graph_value(g, base), &step)) base = step, n++;
  if (n > USUAL) chain = ARENA_ARRAY(&a, Val, n);
  for (size_t i = 0; i < n; i++, val = step) {
    chain[i] = val;
    (void)stands_on(graph_value(g, val), &step);
  }
  Access out = {.base = base, .ok = true};
  storage_strides(g->module, graph_value(g, base), out.stride);
  while (n-- > 0) {
    const Value *v = graph_value(g, chain[n]);
    if (v->alias.id) // inside a concat: its strides, at an offset
      out.offset += v->alias_offset;
    else
      apply_view(g, v, &out);
  }
  arena_free(&a);
  return out;
}

int64_t storage_elements(const Graph *g, Val base) {
  const Value *v = graph_value(g, base);
  int64_t n = type_elements(g->module, &v->type);
  if (v->pitch && v->type.rank) n = n / type_extent(g->module, &v->type, v->type.rank - 1) * v->pitch;
  return n;
}
