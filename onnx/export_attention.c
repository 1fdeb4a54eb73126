// export_attention.c: attention as ONNX nodes: heads apart, products, mask, softmax; rotary positions.
//
// A key that is hidden gets the least float as its score, so that softmax has no NaN where a query sees none, and the
// weight 0 behind softmax, which makes such a query zero.
#include "export.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef struct Attend {
  Export *x;
  const Value *v;
  const Type *q, *k;
  const char *key, *query; // positions, int64 [N] and [M,1] or [B,1,M,1]; NULL until somebody asks
} Attend;

// Heads of q, or those of k and v, each as often as queries share it.
static const char *heads_apart(Export *x, const Value *v, uint32_t i, int64_t heads, bool turned) {
  const char *a = export_in(x, v, i);
  int64_t own = i ? value_int(v, A_kv_heads, heads) : heads, each = heads / own;
  int64_t d = export_arg(x, v, i)->type.dim[2].c / own;
  const char *split = ONNX_NODE(&x->w, "Reshape", a, onnx_ints(&x->w, (int64_t[]){0, 0, own, d}, 4));
  if (each > 1) {
    split = ONNX_NODE(&x->w, "Unsqueeze", split, onnx_ints(&x->w, (int64_t[]){3}, 1));
    split = ONNX_NODE(&x->w, "Expand", split, onnx_ints(&x->w, (int64_t[]){1, 1, 1, each, 1}, 5));
    split = ONNX_NODE(&x->w, "Reshape", split, onnx_ints(&x->w, (int64_t[]){0, 0, heads, d}, 4));
  }
  return turned ? ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 0, 2, 3, 1), split)
                : ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 0, 2, 1, 3), split);
}

static const char *operand_of(const Attend *a, DType t) {
  for (uint32_t i = 3; i < a->v->nargs; i++)
    if (export_arg(a->x, a->v, i)->type.dtype == t) return export_in(a->x, a->v, i);
  return NULL;
}

static const char *positions(Attend *a, const Type *t) {
  Export *x = a->x;
  const char *n = dim_is_const(t->dim[1]) ? onnx_int(&x->w, t->dim[1].c) : export_scalar(x, export_extent(x, t, 1));
  return export_range(x, onnx_int(&x->w, 0), n);
}

static const char *key_positions(Attend *a) {
  if (!a->key) a->key = positions(a, a->k);
  return a->key;
}

static const char *query_positions(Attend *a) {
  if (a->query) return a->query;
  Export *x = a->x;
  const char *n = positions(a, a->q), *start = operand_of(a, DT_I32);
  int64_t qstart = value_int(a->v, A_qstart, 0);
  if (!n) return NULL;
  if (qstart) n = ONNX_NODE(&x->w, "Add", n, onnx_int(&x->w, qstart));
  n = ONNX_NODE(&x->w, "Unsqueeze", n, onnx_ints(&x->w, (int64_t[]){1}, 1));
  if (start) {
    const char *at = ONNX_WITH(&x->w, "Cast", ONNX_I("to", ONNX__TENSOR_PROTO__DATA_TYPE__INT64), start);
    n = ONNX_NODE(&x->w, "Add", n, ONNX_NODE(&x->w, "Unsqueeze", at, onnx_ints(&x->w, (int64_t[]){1, 2, 3}, 3)));
  }
  return a->query = n;
}

// Of each position: is it of the modality? bool [N] for keys, [M,1] for queries.
static const char *is_modality(Attend *a, const Mask *m) {
  Export *x = a->x;
  const Type *t = m->on_key ? a->k : a->q;
  const char *part[MAX_SEGS];
  for (int s = 0; s < t->nseg; s++) {
    const char *n = export_length(x, t->seg[s].len);
    if (!n) return NULL;
    part[s] = ONNX_NODE(&x->w, "Expand", onnx_number(&x->w, DT_BOOL, t->seg[s].modality == m->index), n);
  }
  const OnnxAttr axis = ONNX_I("axis", 0);
  const char *y = t->nseg > 1 ? onnx_node(&x->w, "Concat", part, t->nseg, &axis, 1) : part[0];
  return m->on_key ? y : ONNX_NODE(&x->w, "Unsqueeze", y, onnx_ints(&x->w, (int64_t[]){1}, 1));
}

static const char *compare_positions(Attend *a, const Mask *m, const char *op) {
  const char *k = key_positions(a), *q = query_positions(a);
  if (!k || !q) return NULL;
  const char *left = m->on_key ? k : q, *right = m->on_key ? q : k;
  if (m->index) right = ONNX_NODE(&a->x->w, "Add", right, onnx_int(&a->x->w, m->index));
  return ONNX_NODE(&a->x->w, op, left, right);
}

static const char *below_bound(Attend *a, const Mask *m) {
  const char *at = m->on_key ? key_positions(a) : query_positions(a);
  const char *n = export_scalar(a->x, export_length(a->x, mask_bound(m)));
  return at && n ? ONNX_NODE(&a->x->w, "Less", at, n) : NULL;
}

// bool, to be stretched to [B,H,M,N]. The nesting of masks is bounded (mask.c).
static const char *mask_nodes(Attend *a, const Mask *m) {
  Export *x = a->x;
  const char *one = m->a ? mask_nodes(a, m->a) : NULL, *two = m->b ? mask_nodes(a, m->b) : NULL;
  if ((m->a && !one) || (m->b && !two)) return NULL;
  switch (m->op) {
  case MASK_TRUE: return onnx_number(&x->w, DT_BOOL, 1);
  case MASK_LE: return compare_positions(a, m, "LessOrEqual");
  case MASK_LT: return compare_positions(a, m, "Less");
  case MASK_EQ: return compare_positions(a, m, "Equal");
  case MASK_BELOW: return below_bound(a, m);
  case MASK_IS: return is_modality(a, m);
  case MASK_ARG:
    return ONNX_NODE(
        &x->w, "Unsqueeze", export_in(x, a->v, (uint32_t)m->index),
        onnx_ints(&x->w, (int64_t[]){1, 2}, export_arg(x, a->v, (uint32_t)m->index)->type.rank == 3 ? 1 : 2));
  case MASK_NOT: return ONNX_NODE(&x->w, "Not", one);
  case MASK_AND: return ONNX_NODE(&x->w, "And", one, two);
  case MASK_OR: return ONNX_NODE(&x->w, "Or", one, two);
  }
  return NULL;
}

static const char *with_bias(Attend *a, const char *scores) {
  const char *bias = operand_of(a, DT_F32);
  if (!bias) return scores;
  for (uint32_t i = 3; i < a->v->nargs; i++) {
    const Type *t = &export_arg(a->x, a->v, i)->type;
    if (t->dtype == DT_F32 && t->dim[1].c > type_extent(a->x->g->module, a->q, 1))
      return export_refuse(a->x, a->v, "a bias whose rows are found by positions");
  }
  bias = export_bound(a->x, export_bound(a->x, bias, 1, a->q, 1), 2, a->k, 1);
  return bias ? ONNX_NODE(&a->x->w, "Add", scores, bias) : NULL;
}

const char *export_attention(Export *x, const Value *v) {
  if (value_attr(v, A_rate)) return export_refuse(x, v, "weights that are dropped at random");
  int64_t heads = value_int(v, A_heads, 1);
  Attend a = {x, v, &export_arg(x, v, 0)->type, &export_arg(x, v, 1)->type, NULL, NULL};
  const char *q = heads_apart(x, v, 0, heads, false), *k = heads_apart(x, v, 1, heads, true);
  const char *values = heads_apart(x, v, 2, heads, false);
  const char *s = ONNX_NODE(&x->w, "MatMul", q, k);
  double scale = value_float(v, A_scale, 1);
  if (scale != 1) s = ONNX_NODE(&x->w, "Mul", s, onnx_f32(&x->w, scale));
  if (!(s = with_bias(&a, s))) return NULL;
  double cap = value_float(v, A_cap, 0);
  if (cap > 0) {
    s = ONNX_NODE(&x->w, "Tanh", ONNX_NODE(&x->w, "Mul", s, onnx_f32(&x->w, 1 / cap)));
    s = ONNX_NODE(&x->w, "Mul", s, onnx_f32(&x->w, cap));
  }
  Arena scratch = {0};
  const Mask *mask = value_mask(&scratch, x->g->module, v);
  const char *seen = mask->op == MASK_TRUE ? NULL : mask_nodes(&a, mask);
  bool all = mask->op == MASK_TRUE;
  arena_free(&scratch);
  if (!all && !seen) return NULL;
  double masked = value_float(v, A_masked, -HUGE_VAL);
  if (seen && isfinite(masked))
    s = ONNX_NODE(&x->w, "Add", s, ONNX_NODE(&x->w, "Where", seen, onnx_f32(&x->w, 0), onnx_f32(&x->w, masked)));
  else if (seen)
    s = ONNX_NODE(&x->w, "Where", seen, s, onnx_f32(&x->w, -FLT_MAX));
  const char *w = ONNX_WITH(&x->w, "Softmax", ONNX_I("axis", -1), s);
  if (seen && !isfinite(masked)) w = ONNX_NODE(&x->w, "Where", seen, w, onnx_f32(&x->w, 0));
  const char *y = ONNX_WITH(&x->w, "Transpose", ONNX_V("perm", 0, 2, 1, 3), ONNX_NODE(&x->w, "MatMul", w, values));
  return ONNX_NODE(&x->w, "Reshape", y, onnx_ints(&x->w, (int64_t[]){0, 0, v->type.dim[2].c}, 3));
}

/* rotary positions ------------------------------------------------------------------------------------------------- */
// Columns from, from + step .. below end, of each head.
static const char *columns_of(Export *x, const char *heads, int64_t from, int64_t end, int64_t step) {
  return ONNX_NODE(&x->w, "Slice", heads, onnx_ints(&x->w, &from, 1), onnx_ints(&x->w, &end, 1),
                   onnx_ints(&x->w, (int64_t[]){3}, 1), onnx_ints(&x->w, &step, 1));
}

const char *export_rotate(Export *x, const Value *v) {
  int64_t heads = value_int(v, A_heads, 1), d = v->type.dim[2].c / heads;
  const Type *table = &export_arg(x, v, 1)->type;
  int64_t n = table->dim[table->rank - 1].c;
  bool pairs = value_int(v, A_pairs, 0) != 0;
  const char *split = ONNX_NODE(&x->w, "Reshape", export_in(x, v, 0), onnx_ints(&x->w, (int64_t[]){0, 0, heads, d}, 4));
  const char *a = columns_of(x, split, 0, pairs ? 2 * n : n, pairs ? 2 : 1);
  const char *b = columns_of(x, split, pairs ? 1 : n, 2 * n, pairs ? 2 : 1), *turn[2];
  for (uint32_t i = 0; i < 2; i++) // an axis for the heads
    turn[i] = ONNX_NODE(&x->w, "Unsqueeze", export_in(x, v, 1 + i), onnx_ints(&x->w, (int64_t[]){-2}, 1));
  const char *part[3] = {
      ONNX_NODE(&x->w, "Sub", ONNX_NODE(&x->w, "Mul", a, turn[0]), ONNX_NODE(&x->w, "Mul", b, turn[1])),
      ONNX_NODE(&x->w, "Add", ONNX_NODE(&x->w, "Mul", b, turn[0]), ONNX_NODE(&x->w, "Mul", a, turn[1])),
  };
  const OnnxAttr columns = ONNX_I("axis", 3), last = ONNX_I("axis", 4);
  size_t parts = 2;
  if (pairs) {
    for (int i = 0; i < 2; i++) part[i] = ONNX_NODE(&x->w, "Unsqueeze", part[i], onnx_ints(&x->w, (int64_t[]){4}, 1));
    part[0] = onnx_node(&x->w, "Concat", part, 2, &last, 1);
    part[0] = ONNX_NODE(&x->w, "Reshape", part[0], onnx_ints(&x->w, (int64_t[]){0, 0, heads, 2 * n}, 4));
    parts = 1;
  }
  if (2 * n < d) part[parts++] = columns_of(x, split, 2 * n, d, 1);
  const char *y = parts > 1 ? onnx_node(&x->w, "Concat", part, parts, &columns, 1) : part[0];
  return ONNX_NODE(&x->w, "Reshape", y, onnx_ints(&x->w, (int64_t[]){0, 0, heads * d}, 3));
}
