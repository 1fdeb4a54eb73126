// attention.c: multi-head attention with a mask expression.
//
//   q [B,M,H*d], k [B,N,G*d], v [B,N,G*e]  ->  [B,M,H*e], segments of q; G = kv_heads divides H; head h of q reads head
//   h / (H / G) of k and v. Further operands (numbers 3..): bool masks
//   [B,N] or [B,M,N] that `where` reads as (arg n), at most one i32 [B], the position of query row 0 (added to
//   `qstart`), and at most one f32 [H,M,N], the bias (relative positions): y[b,i,h,:] = sum_j w_j v[b,j,h,:],  w =
//   softmax over j of scale * <q[b,i,h,:], k[b,j,h,:]> + bias[h,i,j]
// With `cap` the sum s becomes cap tanh(s / cap), before masks.
// The extents of the bias are constants, the upper bounds of those of q and k: row and column of a token count by upper
// bounds, as where it is stored, so that a table for the longest text serves every text. A bias with more rows than
// there are queries is that of the whole sequence: the row of a query is its position (a step of a generation). A key
// hidden by `where` has weight 0, or, with `masked`, its score plus that number. A query that sees no key gets zeros.
// With `rate` weights are dropped in training: w_j becomes 0 with probability `rate`, else w_j / (1 - rate); the sum of
// the softmax has all of them. The last two operands are the seed's low and high word and the step, i32[3], and each
// batch entry's sample, i32[B]. The number of (sample, head, query, key) is element `query * N + key` of the sample at
// site `site + head` (random.c), query and key by upper bounds, N that of the keys, query 0 being row `start`: so rows
// that are sliced off change no number of the others.
// Absent attributes: scale 1, where true, qstart 0, start 0.
#include "op.h"
#include "runtime/random.h"

#include <math.h>

// Every (arg n) must be a bool operand, every (is ..) must ask a segmented axis.
static bool check_mask(const ShapeCtx *c, const Mask *m) {
  if (!m) return true;
  if (m->op == MASK_ARG &&
      (m->index < 3 || (size_t)m->index >= c->nargs || shape_arg(c, (size_t)m->index)->dtype != DT_BOOL))
    return shape_error(c, "E0208", "the mask reads operand %d, which is no bool mask of this attention", (int)m->index);
  if (m->op == MASK_IS) {
    const Type *t = shape_arg(c, m->on_key ? 1 : 0);
    if (!t->nseg || t->segaxis != 1)
      return shape_error(c, "E0205", "the mask asks for the modality of the %s, but they have no segments",
                         m->on_key ? "keys" : "queries");
  }
  if (m->op == MASK_BELOW && dim_bound(c->g->module, mask_bound(m)) > INT32_MAX)
    return shape_error(c, "E0208", "the mask compares with more than %d", INT32_MAX);
  return check_mask(c, m->a) && check_mask(c, m->b);
}

static bool check_heads(const ShapeCtx *c) {
  int64_t heads = shape_int(c, A_heads, 0);
  if (heads < 1) return shape_error_attr(c, A_heads, "E0208", "heads = %lld, must be at least 1", (long long)heads);
  int64_t shared = shape_int(c, A_kv_heads, heads);
  if (shared < 1 || heads % shared)
    return shape_error_attr(c, A_kv_heads, "E0208", "kv_heads = %lld must divide the %lld heads", (long long)shared,
                            (long long)heads);
  for (size_t i = 0; i < 3; i++) {
    const Type *t = shape_arg(c, i);
    int64_t n = i ? shared : heads;
    if (!dim_is_const(t->dim[2]) || t->dim[2].c % n)
      return shape_error_at(c, i, "E0204", "%lld heads do not divide the columns of %s, %s", (long long)n,
                            shape_who(c, i), shape_type(c, i));
  }
  const Attr *cap = shape_attr(c, A_cap);
  if (cap && !(cap->f > 0)) return shape_error_attr(c, A_cap, "E0208", "cap is %g, must be positive", cap->f);
  return true;
}

// The key of the random numbers and the samples behind it.
static bool check_draws(const ShapeCtx *c, const Type *q, const Type *k) {
  size_t key = c->nargs - 2;
  double rate = shape_attr(c, A_rate)->f;
  int64_t site = shape_int(c, A_site, -1), start = shape_int(c, A_start, 0);
  if (!(rate >= 0 && rate < 1)) return shape_error_attr(c, A_rate, "E0208", "a rate of %g is not in [0, 1)", rate);
  if (site < 0 || site > INT32_MAX / 8) return shape_error_attr(c, A_site, "E0208", "site is %lld", (long long)site);
  if (c->nargs < 5)
    return shape_error(c, "E0201", "a rate needs two operands more: the key of the numbers, the samples");
  for (size_t i = key; i < c->nargs; i++)
    if (shape_arg(c, i)->dtype != DT_I32 || shape_arg(c, i)->rank != 1)
      return shape_error_at(c, i, "E0203", "%s is %s, needs one row of i32", shape_who(c, i), shape_type(c, i));
  const Type *t = shape_arg(c, key);
  if (!dim_is_const(t->dim[0]) || t->dim[0].c != 3)
    return shape_error_at(c, key, "E0204", "%s has %s numbers: the words of the seed and the step", shape_who(c, key),
                          shape_axis(c, t, 0));
  if (!shape_axis_equal(q, 0, shape_arg(c, key + 1), 0))
    return shape_error(c, "E0204", "the batch is %s but there are %s samples", shape_axis(c, q, 0),
                       shape_axis(c, shape_arg(c, key + 1), 0));
  int64_t rows = type_extent(c->g->module, q, 1), keys = type_extent(c->g->module, k, 1);
  if (start < 0 || start > INT32_MAX || start + rows > INT32_MAX / keys)
    return shape_error(c, "E0208", "more than 2^31 weights of a head are drawn");
  return true;
}

static bool check_bias(const ShapeCtx *c, size_t arg, const Type *q, const Type *k) {
  const Type *t = shape_arg(c, arg);
  const Module *m = c->g->module;
  int64_t heads = shape_int(c, A_heads, 0), want[3] = {heads, type_extent(m, q, 1), type_extent(m, k, 1)};
  bool fits = t->rank == 3, whole = false;
  for (size_t i = 3; i < c->nargs; i++) whole = whole || shape_arg(c, i)->dtype == DT_I32;
  for (int d = 0; fits && d < 3; d++)
    fits = dim_is_const(t->dim[d]) &&
           (t->dim[d].c == want[d] || (whole && d == 1 && t->dim[d].c >= want[2] - 1 + want[1]));
  return fits ||
         shape_error_at(c, arg, "E0204", "the bias must be f32[%lld,%lld,%lld] (heads, queries, keys), this is %s",
                        (long long)want[0], (long long)want[1], (long long)want[2], shape_type(c, arg));
}

// Operands 3..: masks, the position of query 0, the bias.
static bool check_extra(const ShapeCtx *c, const Type *q, const Type *k) {
  int positions = 0, biases = 0;
  for (size_t i = 3; i < c->nargs; i++) {
    const Type *t = shape_arg(c, i);
    if (t->dtype == DT_F32) {
      if (++biases > 1) return shape_error(c, "E0201", "more than one bias");
      if (!check_bias(c, i, q, k)) return false;
      continue;
    }
    if (t->dtype == DT_I32) {
      if (++positions > 1) return shape_error(c, "E0201", "more than one operand with the position of query 0");
      if (!shape_rank(c, i, 1)) return false;
    } else if (t->dtype != DT_BOOL) {
      return shape_error_at(c, i, "E0203", "%s has %s elements, needs bool (a mask), i32 (a position) or f32 (a bias)",
                            shape_who(c, i), dtype_info[t->dtype].name);
    } else if (t->rank == 3 && (!shape_axis_equal(q, 1, t, 1) || !shape_axis_equal(k, 1, t, 2))) {
      return shape_error_at(c, i, "E0204", "the mask is %s, but there are %s queries and %s keys", shape_type(c, i),
                            shape_axis(c, q, 1), shape_axis(c, k, 1));
    } else if (t->rank != 3 && !shape_rank(c, i, 2)) {
      return false;
    } else if (t->rank == 2 && !shape_axis_equal(k, 1, t, 1)) {
      return shape_error_at(c, i, "E0204", "the mask is %s, but the keys are %s", shape_type(c, i), shape_type(c, 1)),
             k->nseg > 1 && shape_hint(c, "cover every segment: concat(fill(true, bool[B, n]), mask)");
    }
    if (!shape_axis_equal(k, 0, t, 0))
      return shape_error_at(c, i, "E0204", "the batch is %s but %s has %s", shape_axis(c, k, 0), shape_who(c, i),
                            shape_axis(c, t, 0));
  }
  return true;
}

bool shape_attention(const ShapeCtx *c, Type *out) {
  if (!shape_count(c, 3, 16)) return false;
  const Type *q = shape_arg(c, 0), *k = shape_arg(c, 1), *v = shape_arg(c, 2);
  for (size_t i = 0; i < 3; i++)
    if (shape_arg(c, i)->rank != 3)
      return shape_error_at(c, i, "E0202", "%s is [B, rows, columns], this is %s", shape_who(c, i), shape_type(c, i));
  ShapeCtx qkv = *c;
  qkv.nargs = 3;
  if (!shape_float(&qkv) || !check_heads(c)) return false;
  if (!shape_axis_equal(q, 0, k, 0) || !shape_axis_equal(k, 0, v, 0))
    return shape_error(c, "E0204", "batches differ: query %s, key %s, value %s", shape_axis(c, q, 0),
                       shape_axis(c, k, 0), shape_axis(c, v, 0));
  int64_t heads = shape_int(c, A_heads, 1), shared = shape_int(c, A_kv_heads, heads);
  if (q->dim[2].c / heads != k->dim[2].c / shared) {
    shape_error(c, "E0204", "the query %s has %s columns but the key %s has %s", shape_type(c, 0), shape_axis(c, q, 2),
                shape_type(c, 1), shape_axis(c, k, 2));
    bool fewer = shared == heads && k->dim[2].c < q->dim[2].c && k->dim[2].c % (q->dim[2].c / heads) == 0;
    return fewer && shape_hint(c, "keys and values that several heads share: kv_heads = %lld",
                               (long long)(k->dim[2].c / (q->dim[2].c / heads)));
  }
  if (!shape_axis_equal(k, 1, v, 1))
    return shape_error(c, "E0204", "there are %s keys but %s values", shape_axis(c, k, 1), shape_axis(c, v, 1));
  ShapeCtx seen = *c;
  if (shape_attr(c, A_rate)) {
    if (!check_draws(c, q, k)) return false;
    seen.nargs -= 2;
  }
  if (!check_extra(&seen, q, k)) return false;
  int64_t qstart = shape_int(c, A_qstart, 0);
  if (qstart < 0 || qstart > INT32_MAX)
    return shape_error(c, "E0208", "qstart = %lld is out of range", (long long)qstart);
  const Attr *where = shape_attr(c, A_where);
  if (where) {
    const Mask *mask = mask_parse(c->g->module->arena, c->g->module, where->s);
    if (!mask) return shape_error(c, "E0208", "malformed mask expression \"%s\"", where->s);
    if (!check_mask(&seen, mask)) return false;
  }
  *out = *q;
  out->dim[2] = DIM(v->dim[2].c / shared * heads);
  return true;
}

// The type of the gradients by operands `wrt`: queries, keys and values, side by side if they have the same rows; or
// the bias.
static bool shape_wrt(const ShapeCtx *c, const Attr *wrt, Type *out) {
  for (size_t i = 0; i < wrt->nv; i++) {
    int64_t by = wrt->v[i];
    if (by < 0 || (size_t)by >= c->nargs || shape_arg(c, (size_t)by)->dtype != shape_arg(c, 0)->dtype)
      return shape_error(c, "E0208", "there is no gradient by operand %lld", (long long)by);
    const Type *t = shape_arg(c, (size_t)by);
    if (i == 0) {
      *out = *t;
      continue;
    }
    if (by <= wrt->v[i - 1] || by > 2)
      return shape_error(c, "E0208", "wrt: 0, 1 and 2 (query, key, value) in this order, or one operand");
    Type rows = *t;
    rows.dim[2] = out->dim[2];
    if (!type_equal(&rows, out))
      return shape_error(c, "E0204", "gradients by operands %lld and %lld are not of the same rows",
                         (long long)wrt->v[0], (long long)by);
    out->dim[2].c += t->dim[2].c;
  }
  return wrt->nv || shape_error(c, "E0208", "wrt names no operand");
}

// The operands of the attention, then the cotangent of its result.
bool shape_attention_grad(const ShapeCtx *c, Type *out) {
  if (!shape_count(c, 4, 16)) return false;
  ShapeCtx forward = *c;
  Type y;
  forward.nargs--;
  if (!shape_attention(&forward, &y)) return false;
  const Type *dy = shape_arg(c, c->nargs - 1);
  bool fits = dy->rank == 3 && dy->dtype == y.dtype;
  for (int d = 0; fits && d < 3; d++) fits = shape_axis_equal(&y, d, dy, d);
  if (!fits)
    return shape_error(c, "E0204", "the cotangent %s is not of the attention's type", shape_type(c, c->nargs - 1));
  return shape_wrt(&forward, shape_attr(c, A_wrt), out);
}

/* Reference
 * -------------------------------------------------------------------------------------------------------------- */

typedef struct Head { // one head of one query; where its elements begin in the operands, the result, the bias
  const RefCtx *c;
  const double *w;                             // of the keys
  const double *kept;                          // what each of them is multiplied by: 1, or 0 and 1 / (1 - rate)
  size_t keys, d, e, nk, nv, q, k, v, y, bias; // nk, nv: columns of k and v
  const size_t *column;                        // of the bias
} Head;

typedef struct Row { // one query
  const RefCtx *c;
  size_t batch, query, key;
  int64_t qstart;
} Row;

// Segment of a dense position on axis 1 of operand `arg`: its modality, -1 if there is none.
static int32_t modality_at(const RefCtx *c, uint32_t arg, size_t position) {
  const Type *t = &graph_value(c->g, c->v->args[arg])->type;
  int64_t at = 0;
  for (int s = 0; t->nseg && t->segaxis == 1 && s < t->nseg; s++) {
    Type one = {.rank = 1, .dim = {t->seg[s].len}};
    at += eval_dim(c->env, &one, 0);
    if ((int64_t)position < at) return t->seg[s].modality;
  }
  return -1;
}

static bool sees(const Row *r, const Mask *m) {
  int64_t key = (int64_t)r->key, query = (int64_t)r->query + r->qstart;
  int64_t a = m->on_key ? key : query, b = m->on_key ? query : key;
  switch (m->op) {
  case MASK_TRUE: return true;
  case MASK_LE: return a <= b + m->index;
  case MASK_LT: return a < b + m->index;
  case MASK_EQ: return a == b + m->index;
  case MASK_BELOW: {
    Type one = {.rank = 1, .dim = {mask_bound(m)}};
    return a < eval_dim(r->c->env, &one, 0);
  }
  case MASK_IS: return modality_at(r->c, m->on_key ? 1 : 0, m->on_key ? r->key : r->query) == m->index;
  case MASK_ARG: {
    const Tensor *t = &r->c->arg[m->index];
    size_t row = t->rank == 3 ? r->batch * (size_t)t->dim[1] + r->query : r->batch;
    return t->b[row * (size_t)t->dim[t->rank - 1] + r->key];
  }
  case MASK_NOT: return !sees(r, m->a);
  case MASK_AND: return sees(r, m->a) && sees(r, m->b);
  case MASK_OR: return sees(r, m->a) || sees(r, m->b);
  }
  return false;
}

// Where the dense position on axis 1 of operand `arg` stands by upper bounds.
static size_t bound_position(const RefCtx *c, uint32_t arg, size_t position) {
  const Type *t = &graph_value(c->g, c->v->args[arg])->type;
  if (!t->nseg || t->segaxis != 1) return position;
  int s = 0;
  for (; s + 1 < t->nseg; s++) {
    Type one = {.rank = 1, .dim = {t->seg[s].len}};
    size_t len = (size_t)eval_dim(c->env, &one, 0);
    if (position < len) break;
    position -= len;
  }
  return (size_t)seg_start(c->g->module, t, s) + position;
}

uint32_t attention_operands(const Value *v) {
  return v->nargs - (v->op == OP_attention_grad);
}

uint32_t attention_seen(const Value *v) {
  return attention_operands(v) - (value_attr(v, A_rate) ? 2 : 0);
}

static const Tensor *bias_of(const RefCtx *c) {
  for (uint32_t i = 3; i < attention_seen(c->v); i++)
    if (c->arg[i].dtype != DT_I32 && c->arg[i].dtype != DT_BOOL) return &c->arg[i];
  return NULL;
}

// Weights of one query's keys for one head: scores, bias (NULL: none; at column[j]), mask, softmax. All zero if no key
// is seen.
static void weigh(const RefCtx *c, const double *q, const double *k, const bool *seen, size_t keys, size_t d,
                  size_t pitch, const double *bias, const size_t *column, double *w) {
  const Attr *masked = value_attr(c->v, A_masked);
  double scale = value_float(c->v, A_scale, 1), cap = value_float(c->v, A_cap, 0), most = -HUGE_VAL, sum = 0;
  for (size_t j = 0; j < keys; j++) {
    w[j] = 0;
    for (size_t i = 0; i < d; i++) w[j] += q[i] * k[j * pitch + i];
    w[j] *= scale;
    if (bias) w[j] += bias[column[j]];
    if (cap > 0) w[j] = cap * tanh(w[j] / cap);
    if (!seen[j]) w[j] = masked ? w[j] + masked->f : -HUGE_VAL;
    if (w[j] > most || isnan(w[j])) most = w[j];
  }
  bool none = true;
  for (size_t j = 0; j < keys; j++) none = none && !seen[j] && (!masked || masked->f == -HUGE_VAL);
  for (size_t j = 0; j < keys; j++) sum += w[j] = !seen[j] && !masked ? 0 : exp(w[j] - most);
  for (size_t j = 0; j < keys; j++) w[j] = none ? 0 : w[j] / sum;
}

static int64_t query_start(const RefCtx *c, size_t batch) {
  int64_t start = value_int(c->v, A_qstart, 0);
  for (uint32_t i = 3; i < attention_seen(c->v); i++)
    if (c->arg[i].dtype == DT_I32) start += c->arg[i].i[batch];
  return start;
}

// What the weights of a query's keys are multiplied by in head h. row, column[j]: by upper bounds.
static void keep(const RefCtx *c, size_t batch, size_t h, size_t row, const size_t *column, size_t keys, double *kept) {
  double rate = value_float(c->v, A_rate, 0);
  if (!value_attr(c->v, A_rate)) return;
  const Tensor *key = &c->arg[attention_seen(c->v)], *sample = key + 1;
  uint64_t seed = (uint64_t)(uint32_t)key->i[1] << 32 | (uint32_t)key->i[0];
  uint32_t site = SY_RANDOM_SITE + (uint32_t)value_int(c->v, A_site, 0) + (uint32_t)h;
  size_t all = (size_t)type_extent(c->g->module, &graph_value(c->g, c->v->args[1])->type, 1);
  row += (size_t)value_int(c->v, A_start, 0);
  for (size_t j = 0; j < keys; j++) {
    uint32_t i = (uint32_t)(row * all + column[j]);
    sy_random4 r = sy_random_at(seed, site, (uint32_t)key->i[2], (uint32_t)sample->i[batch], i / 4);
    kept[j] = sy_random_f32(r.v[i % 4]) < rate ? 0 : 1 / (1 - rate);
  }
}

typedef void HeadFn(const Head *h, Tensor *out);

// Calls `fn` for each head of each query, with the weights of its keys.
static void each_head(const RefCtx *c, Tensor *out, HeadFn *fn) {
  size_t heads = (size_t)value_int(c->v, A_heads, 1), rows = (size_t)c->arg[0].dim[1], keys = (size_t)c->arg[1].dim[1];
  size_t shared = (size_t)value_int(c->v, A_kv_heads, (int64_t)heads), nq = (size_t)c->arg[0].dim[2];
  size_t nk = (size_t)c->arg[1].dim[2], nv = (size_t)c->arg[2].dim[2], d = nq / heads, e = nv / shared;
  const Mask *mask = value_mask(c->env->arena, c->g->module, c->v);
  bool *seen = ARENA_ARRAY(c->env->arena, bool, keys);
  double *w = ARENA_ARRAY(c->env->arena, double, keys), *kept = ARENA_ARRAY(c->env->arena, double, keys);
  for (size_t j = 0; j < keys; j++) kept[j] = 1;
  const Tensor *bias = bias_of(c);
  size_t *column = ARENA_ARRAY(c->env->arena, size_t, keys);
  for (size_t j = 0; j < keys; j++) column[j] = bound_position(c, 1, j);
  for (size_t row = 0; row < (size_t)c->arg[0].dim[0] * rows; row++) {
    size_t b = row / rows;
    Row r = {c, b, row % rows, 0, query_start(c, b)};
    for (; r.key < keys; r.key++) seen[r.key] = sees(&r, mask);
    const size_t place = bound_position(c, 0, r.query);
    size_t bias_row = place;
    if (bias && bias->dim[1] > type_extent(c->g->module, &graph_value(c->g, c->v->args[0])->type, 1))
      bias_row = (size_t)((int64_t)r.query + r.qstart);
    for (size_t h = 0; h < heads; h++) {
      size_t g = h / (heads / shared), at = bias ? (h * (size_t)bias->dim[1] + bias_row) * (size_t)bias->dim[2] : 0;
      Head x = {.c = c,
                .w = w,
                .kept = kept,
                .keys = keys,
                .d = d,
                .e = e,
                .nk = nk,
                .nv = nv,
                .q = row * nq + h * d,
                .k = b * keys * nk + g * d,
                .v = b * keys * nv + g * e,
                .y = (row * heads + h) * e,
                .bias = at,
                .column = column};
      weigh(c, c->arg[0].f + x.q, c->arg[1].f + x.k, seen, keys, d, nk, bias ? bias->f + at : NULL, column, w);
      keep(c, b, h, place, column, keys, kept);
      fn(&x, out);
    }
  }
}

static void attend(const Head *h, Tensor *out) {
  double *y = out->f + h->y;
  for (size_t i = 0; i < h->e; i++) y[i] = 0;
  for (size_t j = 0; j < h->keys; j++)
    for (size_t i = 0; i < h->e && h->w[j] != 0; i++)
      y[i] += h->w[j] * h->kept[j] * h->c->arg[2].f[h->v + j * h->nv + i];
}

void ref_attention(const RefCtx *c, Tensor *out) {
  each_head(c, out, attend);
}

// The columns of an operand's head in the result; NULL: its gradient is not asked for.
static double *gradient_of(const Head *h, Tensor *out, int64_t by, size_t row) {
  const RefCtx *c = h->c;
  const Attr *wrt = value_attr(c->v, A_wrt);
  size_t columns = (size_t)out->dim[out->rank - 1], at = 0;
  for (size_t i = 0; i < wrt->nv; i++) {
    const size_t pitch = by == 2 ? h->nv : h->nk;
    if (wrt->v[i] == by) return out->f + row / pitch * columns + at + row % pitch;
    at += wrt->v[i] == 2 ? h->nv : h->nk;
  }
  return NULL;
}

// With dw_j = m_j <dy, v_j>, m_j what w_j is multiplied by, and ds_j = w_j (dw_j - sum w dw): dq = scale sum ds_j k_j,
// dk_j += scale ds_j q, dv_j += m_j w_j dy, dbias_j += ds_j.
static void attend_grad(const Head *h, Tensor *out) {
  const RefCtx *c = h->c;
  const double *q = c->arg[0].f + h->q, *dy = c->arg[c->v->nargs - 1].f + h->y;
  double scale = value_float(c->v, A_scale, 1), along = 0, *dq = gradient_of(h, out, 0, h->q), *to;
  double *ds = ARENA_ARRAY(c->env->arena, double, h->keys);
  for (size_t j = 0; j < h->keys; j++) {
    ds[j] = 0;
    for (size_t i = 0; i < h->e && h->w[j] != 0; i++) ds[j] += dy[i] * c->arg[2].f[h->v + j * h->nv + i];
    ds[j] *= h->kept[j];
    along += h->w[j] * ds[j];
  }
  for (size_t j = 0; j < h->keys; j++) {
    ds[j] = h->w[j] * (ds[j] - along);
    for (size_t i = 0; i < h->d && dq; i++) dq[i] += scale * ds[j] * c->arg[1].f[h->k + j * h->nk + i];
    if ((to = gradient_of(h, out, 1, h->k + j * h->nk)))
      for (size_t i = 0; i < h->d; i++) to[i] += scale * ds[j] * q[i];
    if ((to = gradient_of(h, out, 2, h->v + j * h->nv)))
      for (size_t i = 0; i < h->e; i++) to[i] += h->w[j] * h->kept[j] * dy[i];
    if (value_attr(c->v, A_wrt)->v[0] > 2) out->f[h->bias + h->column[j]] += ds[j];
  }
}

void ref_attention_grad(const RefCtx *c, Tensor *out) {
  for (size_t i = 0; i < out->n; i++) out->f[i] = 0;
  each_head(c, out, attend_grad);
}
