// grad_products.c: gradient rules of products, attention and rows chosen by data.
#include "grad.h"

#include <string.h>

static Val with_trans(const Grad *c, Op op, Val a, Val b, bool trans) {
  Attr t = attr_int(A_trans, trans);
  return grad_op(c, op, (Val[]){a, b}, 2, &t, 1);
}

// y = x W^T + b: dx = dy W, dW = sum over rows of dy[n] x[k], db = sum over rows of dy. trans: W is [K,N].
void grad_linear(Grad *c) {
  bool trans = value_int(&c->v, A_trans, 0);
  Val x = c->v.args[0], w = c->v.args[1];
  if (c->want[0]) {
    Val dx = with_trans(c, OP_linear, c->dy, w, !trans);
    grad_set(c, 0, grad_as(c, dx, grad_type(c, x)));
  }
  if (c->want[1]) grad_set(c, 1, trans ? grad_2(c, OP_outer, x, c->dy) : grad_2(c, OP_outer, c->dy, x));
  if (c->v.nargs > 2) grad_set(c, 2, c->dy);
}

static Val swap_last(const Grad *c, Val x) {
  int rank = grad_type(c, x)->rank;
  return grad_swap(c, x, rank - 2, rank - 1);
}

// y = a b: da = dy b^T, db = a^T dy, summed over leading axes that b lacks. trans: b is [..,N,K].
void grad_matmul(Grad *c) {
  bool trans = value_int(&c->v, A_trans, 0);
  Val a = c->v.args[0], b = c->v.args[1];
  if (c->want[0]) grad_set(c, 0, grad_as(c, with_trans(c, OP_matmul, c->dy, b, !trans), grad_type(c, a)));
  if (!c->want[1]) return;
  Val p = trans ? c->dy : a, q = trans ? a : c->dy; // db[i,j] = sum p[i] q[j]
  bool shared = grad_type(c, b)->rank == 2 && grad_type(c, a)->rank > 2;
  Val d = shared ? grad_2(c, OP_outer, p, q) : with_trans(c, OP_matmul, swap_last(c, p), q, false);
  grad_set(c, 1, grad_as(c, d, grad_type(c, b)));
}

// [B,N,G*d] as [B,N,H*d], where head h has the columns of head h / (H / G).
static Val repeat_heads(const Grad *c, Val x, int64_t shared, int64_t each) {
  Type t = *grad_type(c, x), one = t, many;
  int64_t d = t.dim[2].c / shared;
  one.rank = 5, one.dim[2] = DIM(shared), one.dim[3] = DIM(1), one.dim[4] = DIM(d);
  many = one, many.dim[3] = DIM(each);
  t.dim[2] = DIM(shared * each * d);
  x = grad_typed(c, OP_reshape, x, NULL, 0, &one);
  return grad_typed(c, OP_reshape, grad_typed(c, OP_broadcast, x, NULL, 0, &many), NULL, 0, &t);
}

static Val sum_heads(const Grad *c, Val x, const Type *to, int64_t shared, int64_t each) {
  Type many = *to;
  many.rank = 5, many.dim[2] = DIM(shared), many.dim[3] = DIM(each), many.dim[4] = DIM(to->dim[2].c / shared);
  return grad_typed(c, OP_reshape, grad_sum_axis(c, grad_typed(c, OP_reshape, x, NULL, 0, &many), 3), NULL, 0, to);
}

static bool same_rows(const Type *a, const Type *b) {
  Type rows = *b;
  if (rows.rank != 3 || a->rank != 3) return false;
  rows.dim[2] = a->dim[2];
  return type_equal(a, &rows);
}

// Queries, keys and values of the same rows in one kernel: the weights are the same. By the bias sums run over the
// batch, so it has one of its own.
void grad_attention(Grad *c) {
  Val args[MAX_KERNEL_ARGS + 1];
  Attr attr[ATTR_COUNT];
  size_t n = 0;
  if (c->v.nargs >= MAX_KERNEL_ARGS - 1) {
    c->why = "more operands than a kernel has";
    return;
  }
  memcpy(args, c->v.args, c->v.nargs * sizeof *args);
  args[c->v.nargs] = c->dy;
  if (value_attr(&c->v, A_cap)) {
    c->why = "the cap of the scores of an attention";
    return;
  }
  int64_t heads = value_int(&c->v, A_heads, 1), shared = value_int(&c->v, A_kv_heads, heads);
  for (uint32_t i = 1; i < 3 && shared < heads; i++) args[i] = repeat_heads(c, args[i], shared, heads / shared);
  for (uint32_t i = 0; i < c->v.nattr; i++)
    if (c->v.attr[i].key != A_kv_heads) attr[n++] = c->v.attr[i];
  for (uint32_t i = 0; i < c->v.nargs; i++) {
    if (!c->want[i] || c->d[i].id) continue;
    int64_t wrt[3] = {i};
    size_t joined = 1;
    for (uint32_t k = i + 1; k < 3; k++)
      if (c->want[k] && same_rows(grad_type(c, c->v.args[i]), grad_type(c, c->v.args[k]))) wrt[joined++] = k;
    attr[n] = attr_ints(A_wrt, wrt, joined);
    Val all = grad_op(c, OP_attention_grad, args, c->v.nargs + 1, attr, n + 1);
    int64_t at = 0;
    for (size_t k = 0; k < joined; k++) {
      const Type *t = grad_type(c, args[wrt[k]]);
      Attr columns[] = {attr_int(A_axis, 2), attr_int(A_start, at)};
      Val d = joined > 1 ? grad_typed(c, OP_slice, all, columns, 2, t) : all;
      bool summed = shared < heads && (wrt[k] == 1 || wrt[k] == 2);
      if (summed) d = sum_heads(c, d, grad_type(c, c->v.args[wrt[k]]), shared, heads / shared);
      grad_set(c, (uint32_t)wrt[k], d);
      at += t->dim[2].c;
    }
  }
}

static void add_rows(Grad *c, int tables) {
  Attr attr[2] = {attr_int(A_axis, tables)};
  size_t n = 1;
  if (value_int(&c->v, A_keep, 0)) attr[n++] = attr_int(A_keep, value_int(&c->v, A_keep, 0));
  Type t = *grad_type(c, c->v.args[0]);
  if (c->want[0]) c->d[0] = graph_add_typed(c->g, OP_rows_add, (Val[]){c->v.args[1], c->dy}, 2, attr, n, &t, c->v.span);
}

void grad_embedding(Grad *c) {
  add_rows(c, 0);
}
void grad_gather_rows(Grad *c) {
  add_rows(c, grad_type(c, c->v.args[0])->rank - 2);
}
