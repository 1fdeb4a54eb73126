// import_patterns.c: operators that an exporter took apart, recognised when the last of their parts is read:
//
//   affine      a product + a row                          layer_norm  (x - mean) / sqrt(mean of squares + eps) * g + b
//   gelu        0.5 x (1 + erf(x / sqrt 2))                gelu_tanh   0.5 x (1 + tanh(0.79788 (x + 0.044715 x^3)))
//   swish       x sigmoid(x)                               quick_gelu  x sigmoid(1.702 x)
//   l2_norm     x / max(sqrt(sum of squares), eps)         attention   heads apart, scores, mask, softmax, heads
//   together
//
// What is not recognised stays as it is, and means the same.
#include "import.h"

#include <math.h>
#include <string.h>

static const Value *at(const Import *p, Val v) {
  return graph_value(p->g, v);
}

static bool is(const Import *p, Val v, Op op) {
  return at(p, v)->op == op;
}

static bool constant_of(const Import *p, Val v, double *out) {
  const Value *c = at(p, v);
  if (c->op != OP_constant || c->type.dtype != DT_F32) return false;
  *out = value_float(c, A_value, 0);
  return true;
}

static bool near(double a, double b) {
  return fabs(a - b) <= 1e-4 * fabs(b);
}

static Val add(Import *p, Op op, const Val *in, size_t n, const Attr *a, size_t na) {
  Val v = graph_add(p->g, op, in, n, a, na, NO_SPAN);
  if (!v.id) p->m->diag->list.n = p->m->diag->errors = 0; // it stays in its parts
  return v;
}

// x of x * c or x / c; the factor goes into *c.
static Val without_factor(const Import *p, Val v, double *c) {
  for (int i = 0; i < 8; i++) {
    const Value *m = at(p, v);
    double k;
    if (m->op == OP_mul && constant_of(p, m->args[1], &k))
      *c *= k, v = m->args[0];
    else if (m->op == OP_mul && constant_of(p, m->args[0], &k))
      *c *= k, v = m->args[1];
    else if (m->op == OP_div && constant_of(p, m->args[1], &k) && k != 0)
      *c /= k, v = m->args[0];
    else
      break;
  }
  return v;
}

// Factors of a product that are no constants; *c: those that are.
enum { MOST_FACTORS = 4 };
static size_t factors(const Import *p, Val v, Val *out, double *c) {
  Val stack[2 * MOST_FACTORS] = {v};
  size_t depth = 1, n = 0;
  while (depth) {
    Val x = without_factor(p, stack[--depth], c);
    const Value *m = at(p, x);
    if (m->op == OP_mul && depth + 2 <= MOST_FACTORS &&
        type_equal(&at(p, m->args[0])->type, &at(p, m->args[1])->type)) {
      stack[depth++] = m->args[1];
      stack[depth++] = m->args[0];
    } else if (n == MOST_FACTORS) {
      return 0;
    } else {
      out[n++] = x;
    }
  }
  return n;
}

/* activations -------------------------------------------------------------------------------------------------------
 */
bool import_erf_mul(Import *p, const Item *erf, Item *other, Item *out) {
  *out = *erf;
  if (other->kind == ITEM_CONST && other->n == 1 && other->dtype == DT_F32)
    out->factor *= (double)*(const float *)other->data;
  else if (!erf->x.id && (out->x = import_value(p, other)).id)
    out->x = without_factor(p, out->x, &out->factor);
  else
    return false;
  double z = 1;
  if (!out->x.id || !near(out->factor, 0.5)) return !p->failed;
  Val x = without_factor(p, erf->z, &z);
  double of_x = 1; // both may be multiples of one value
  Val base = without_factor(p, out->x, &of_x);
  if (base.id != x.id || !near(z / of_x, sqrt(0.5))) return false;
  Val y = add(p, OP_gelu, &out->x, 1, NULL, 0);
  *out = (Item){.kind = ITEM_TENSOR, .val = y};
  return y.id != 0;
}

static Val sigmoid_product(Import *p, Val v) {
  const Value *m = at(p, v);
  for (int i = 0; i < 2; i++) {
    Val x = m->args[i], s = m->args[1 - i];
    double c = 1;
    if (!is(p, s, OP_sigmoid)) continue;
    if (at(p, s)->args[0].id == x.id) return add(p, OP_swish, &x, 1, NULL, 0);
    if (without_factor(p, at(p, s)->args[0], &c).id == x.id && near(c, 1.702))
      return add(p, OP_quick_gelu, &x, 1, NULL, 0);
  }
  return v;
}

static Val tanh_product(Import *p, Val v) {
  Val f[MOST_FACTORS];
  double c = 1, one, k = 1, cube = 1;
  if (factors(p, v, f, &c) != 2 || !near(c, 0.5)) return v;
  for (int i = 0; i < 2; i++) {
    const Value *sum = at(p, f[i]);
    Val x = f[1 - i], t = NO_VAL, g[MOST_FACTORS];
    if (sum->op != OP_add) continue;
    if (constant_of(p, sum->args[1], &one) && one == 1) t = sum->args[0];
    if (constant_of(p, sum->args[0], &one) && one == 1) t = sum->args[1];
    if (!t.id || !is(p, t, OP_tanh)) continue;
    const Value *inner = at(p, without_factor(p, at(p, t)->args[0], &k));
    if (inner->op != OP_add || !near(k, sqrt(2 / acos(-1.0)))) continue;
    for (int j = 0; j < 2; j++) {
      cube = 1;
      bool fits = inner->args[j].id == x.id && factors(p, inner->args[1 - j], g, &cube) == 3 && near(cube, 0.044715);
      for (int q = 0; q < 3 && fits; q++) fits = g[q].id == x.id;
      if (fits) return add(p, OP_gelu_tanh, &x, 1, NULL, 0);
    }
  }
  return v;
}

/* rows --------------------------------------------------------------------------------------------------------------
 */
static bool is_row_of(const Import *p, Val row, Val of) {
  const Type *r = &at(p, row)->type, *t = &at(p, of)->type;
  return r->rank == 1 && r->dtype == DT_F32 && dim_is_const(r->dim[0]) && dim_equal(r->dim[0], t->dim[t->rank - 1]);
}

// A bias of a product or norm, or the gain of a norm.
static Val take_row(Import *p, Val v, Op of, uint32_t nargs) {
  const Value *sum = at(p, v);
  for (int i = 0; i < 2; i++) {
    Val y = sum->args[i], row = sum->args[1 - i];
    const Value *x = at(p, y);
    if (x->op != of || x->nargs != nargs || !is_row_of(p, row, y) || is(p, row, OP_constant)) continue;
    Val in[4];
    Attr attr[4];
    for (uint32_t k = 0; k < nargs; k++) in[k] = x->args[k];
    in[nargs] = row;
    for (uint32_t k = 0; k < x->nattr; k++) attr[k] = x->attr[k];
    Val made = add(p, of, in, nargs + 1, attr, x->nattr);
    return made.id ? made : v;
  }
  return v;
}

// reduce_sum(x) / n, as one value of the last axis.
static bool is_mean(const Import *p, Val v, Val *of) {
  double c = 1;
  Val sum = without_factor(p, v, &c);
  if (!is(p, sum, OP_reduce_sum)) return false;
  *of = at(p, sum)->args[0];
  const Type *t = &at(p, *of)->type;
  return dim_is_const(t->dim[t->rank - 1]) && near(c, 1 / (double)t->dim[t->rank - 1].c);
}

static bool is_square(const Import *p, Val v, Val *of) {
  *of = at(p, v)->nargs ? at(p, v)->args[0] : NO_VAL;
  return is(p, v, OP_mul) && at(p, v)->args[1].id == of->id;
}

static Val norm_quotient(Import *p, Val v) {
  const Value *div = at(p, v);
  Val centred = div->args[0], root = div->args[1], mean, squares, x, of;
  double eps;
  if (is(p, root, OP_maximum)) { // l2_norm
    const Value *most = at(p, root);
    bool ok = constant_of(p, most->args[1], &eps) && is(p, most->args[0], OP_sqrt);
    Val sum = ok ? at(p, most->args[0])->args[0] : NO_VAL;
    if (!ok || !is(p, sum, OP_reduce_sum) || !is_square(p, at(p, sum)->args[0], &of) || of.id != centred.id) return v;
    const Attr a = attr_float(A_eps, eps);
    Val made = add(p, OP_l2_norm, &centred, 1, &a, 1);
    return made.id ? made : v;
  }
  if (!is(p, centred, OP_sub) || !is(p, root, OP_sqrt)) return v;
  const Value *sum = at(p, at(p, root)->args[0]);
  x = at(p, centred)->args[0];
  if (sum->op != OP_add || !constant_of(p, sum->args[1], &eps) || !is_mean(p, at(p, centred)->args[1], &mean) ||
      mean.id != x.id)
    return v;
  if (!is_mean(p, sum->args[0], &squares) || !is_square(p, squares, &of) || of.id != centred.id) return v;
  const Attr a = attr_float(A_eps, eps);
  Val made = add(p, OP_layer_norm, &x, 1, &a, 1);
  return made.id ? made : v;
}

/* attention ---------------------------------------------------------------------------------------------------------
 */
static bool has_perm(const Import *p, Val v, int a, int b, int c, int d) {
  const Value *t = at(p, v);
  const Attr *perm = t->op == OP_transpose ? value_attr(t, A_perm) : NULL;
  return perm && perm->nv == 4 && perm->v[0] == a && perm->v[1] == b && perm->v[2] == c && perm->v[3] == d;
}

// [B,N,H*d] of its heads [B,N,H,d], turned.
static Val heads_of(const Import *p, Val v, bool columns, int64_t *heads) {
  bool turned = columns ? has_perm(p, v, 0, 2, 3, 1) : has_perm(p, v, 0, 2, 1, 3);
  Val split = turned ? at(p, v)->args[0] : NO_VAL;
  if (!split.id || !is(p, split, OP_reshape)) return NO_VAL;
  const Type *t = &at(p, split)->type, *whole = &at(p, at(p, split)->args[0])->type;
  bool fits = whole->rank == 3 && dim_equal(whole->dim[0], t->dim[0]) && dim_equal(whole->dim[1], t->dim[1]) &&
              dim_is_const(t->dim[2]);
  *heads = t->dim[2].c;
  return fits ? at(p, split)->args[0] : NO_VAL;
}

typedef struct Scores {
  Val q, k, mask, bias;
  int64_t heads;
  double scale, masked;
  bool hidden; // masked keys get weight 0
} Scores;

typedef struct MaskText {
  Val operand[13]; // masks, then what else
  uint32_t n;
  Buf text;
  const Type *keys;
} MaskText;

// Positions: a range along the axis, [N] of keys or [M,1] of queries.
static bool is_positions(const Import *p, Val v, bool *key) {
  const Value *x = at(p, v);
  int axis = -1;
  for (int i = 0; i < x->type.rank; i++) {
    if (dim_is_const(x->type.dim[i]) && x->type.dim[i].c == 1) continue;
    if (axis >= 0) return false;
    axis = i;
  }
  *key = axis == x->type.rank - 1;
  if (axis < 0 || axis < x->type.rank - 2) return false;
  while (x->op == OP_reshape || (x->op == OP_slice && value_int(x, A_start, 0) == 0)) x = at(p, x->args[0]);
  return x->op == OP_iota && x->type.rank == 1;
}

static bool put_mask(Import *p, Val v, MaskText *m, int depth);

static bool put_pair(Import *p, const char *op, Value x, MaskText *m, int depth) {
  buf_printf(&m->text, "(%s ", op);
  if (!put_mask(p, x.args[0], m, depth + 1)) return false;
  if (x.nargs > 1) buf_putc(&m->text, ' ');
  if (x.nargs > 1 && !put_mask(p, x.args[1], m, depth + 1)) return false;
  buf_putc(&m->text, ')');
  return true;
}

static bool put_compare(Import *p, const Value *x, MaskText *m) {
  static const struct {
    const char *cmp, *op;
    bool swap;
  } known[] = {{"le", "le", false}, {"lt", "lt", false}, {"ge", "le", true}, {"gt", "lt", true}, {"eq", "eq", false}};
  bool a, b;
  if (!is_positions(p, x->args[0], &a) || !is_positions(p, x->args[1], &b) || a == b) return false;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(known[i].cmp, value_str(x, A_cmp)) != 0) continue;
    bool key = known[i].swap ? b : a;
    buf_printf(&m->text, "(%s %s)", known[i].op, key ? "key query" : "query key");
    return true;
  }
  return false;
}

static bool put_mask(Import *p, Val v, MaskText *m, int depth) {
  const Value *x = at(p, v);
  if (depth > 16 || x->type.dtype != DT_BOOL) return false;
  if (x->op == OP_logical_and) return put_pair(p, "and", *x, m, depth);
  if (x->op == OP_logical_or) return put_pair(p, "or", *x, m, depth);
  if (x->op == OP_logical_not) return put_pair(p, "not", *x, m, depth);
  if (x->op == OP_compare && put_compare(p, x, m)) return true;
  // bool [B,1,1,N], of [B,N], or [B,1,M,N], of [B,M,N]
  const Type *t = &x->type, *k = m->keys;
  bool row = t->rank == 4 && dim_equal(t->dim[0], k->dim[0]) && dim_equal(t->dim[3], k->dim[1]);
  row = row && dim_is_const(t->dim[1]) && t->dim[1].c == 1;
  if (!row || m->n == 10) return false;
  Type flat = {.dtype = DT_BOOL, .rank = 2, .dim = {t->dim[0], t->dim[3]}};
  if (!dim_is_const(t->dim[2]) || t->dim[2].c != 1)
    flat = (Type){.dtype = DT_BOOL, .rank = 3, .dim = {t->dim[0], t->dim[2], t->dim[3]}};
  Val mask = import_reshape(p, v, &flat);
  if (!mask.id) return false;
  m->operand[m->n++] = mask;
  buf_printf(&m->text, "(arg %u)", m->n + 2);
  return true;
}

// softmax's operand, from the outside in: mask, bias, scale, product.
static bool read_scores(Import *p, Val v, Scores *s) {
  double c;
  for (int i = 0; i < 8; i++) {
    const Value *x = at(p, v);
    Val rest = without_factor(p, v, &s->scale);
    if (rest.id != v.id) {
      v = rest;
    } else if (x->op == OP_select && !s->mask.id && s->scale == 1 && constant_of(p, x->args[2], &c) && c < -1e30) {
      s->mask = x->args[0], s->hidden = true, v = x->args[1];
    } else if (x->op == OP_add && s->scale == 1) {
      const Value *m = at(p, x->args[1]);
      double zero;
      bool masks = m->op == OP_select && !s->mask.id && constant_of(p, m->args[1], &zero) && zero == 0 &&
                   constant_of(p, m->args[2], &s->masked);
      if (masks)
        s->mask = m->args[0];
      else if (m->type.rank == 3 && !s->bias.id)
        s->bias = x->args[1];
      else
        return false;
      v = x->args[0];
    } else {
      break;
    }
  }
  const Value *x = at(p, v);
  int64_t other = 0;
  if (x->op != OP_matmul || value_int(x, A_trans, 0)) return false;
  s->q = heads_of(p, x->args[0], false, &s->heads);
  s->k = heads_of(p, x->args[1], true, &other);
  return s->q.id && s->k.id && s->heads == other;
}

static Val attention_of(Import *p, Val v) {
  const Value *whole = at(p, v);
  Val turned = whole->args[0];
  int64_t heads = 0;
  double zero;
  if (whole->type.rank != 3 || !has_perm(p, turned, 0, 2, 1, 3) || !is(p, at(p, turned)->args[0], OP_matmul)) return v;
  const Value *product = at(p, at(p, turned)->args[0]);
  Scores s = {.scale = 1, .masked = -HUGE_VAL};
  Val w = product->args[0], values = heads_of(p, product->args[1], false, &heads), shown = NO_VAL;
  if (!values.id || value_int(product, A_trans, 0)) return v;
  if (is(p, w, OP_select) && constant_of(p, at(p, w)->args[2], &zero) && zero == 0)
    shown = at(p, w)->args[0], w = at(p, w)->args[1];
  if (!is(p, w, OP_softmax) || !read_scores(p, at(p, w)->args[0], &s) || s.heads != heads) return v;
  if ((shown.id && shown.id != s.mask.id) || (s.mask.id && !s.hidden && shown.id)) return v;
  MaskText m = {.keys = &at(p, s.k)->type};
  Val in[16] = {s.q, s.k, values}, made = NO_VAL;
  Attr a[4] = {attr_int(A_heads, heads), attr_float(A_scale, s.scale)};
  size_t na = 2, n = 3;
  Type keys = at(p, s.k)->type;
  m.keys = &keys;
  bool ok = !s.mask.id || put_mask(p, s.mask, &m, 0);
  for (uint32_t i = 0; i < m.n; i++) in[n++] = m.operand[i];
  if (s.bias.id) in[n++] = s.bias;
  if (s.mask.id && !s.hidden) a[na++] = attr_float(A_masked, s.masked);
  if (ok && s.mask.id) a[na++] = attr_str(A_where, intern(p->m->names, m.text.s));
  if (ok) made = add(p, OP_attention, in, n, a, na);
  buf_free(&m.text);
  return made.id ? made : v;
}

Val import_recognise(Import *p, Val v) {
  if (!v.id) return v;
  Val y = v;
  switch (at(p, v)->op) {
  case OP_add:
    y = take_row(p, v, OP_linear, 2);
    if (y.id == v.id) y = take_row(p, v, OP_layer_norm, 2);
    break;
  case OP_mul:
    y = take_row(p, v, OP_layer_norm, 1);
    if (y.id == v.id) y = sigmoid_product(p, v);
    if (y.id == v.id) y = tanh_product(p, v);
    break;
  case OP_div: y = norm_quotient(p, v); break;
  case OP_reshape: y = attention_of(p, v); break;
  default: break;
  }
  return y.id ? y : v;
}
