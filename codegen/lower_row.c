// lower_row.c: groups around an operator on rows (the last axis): normalisations, softmax, reductions, argmax.
//
// A row is walked two or three times while it lies in the first-level cache. The first walk evaluates what stands
// before the anchor (embedding sums, position sums) into a scratch row, unless it is a plain load; the last walk
// applies what stands behind it and stores. In which order sums are added: lower_reduce.h.
//   layer_norm: mean; then the sums of x - mean and of its square (the first corrects the rounding of the mean); then
//               (x - mean - correction) / sqrt(var + eps)
//   layer_norm_grad: the sums of x and h; of x - mean and its square; of h n; then the result
//   rms_norm:   the sum of x^2; then x / sqrt(mean + eps)
//   softmax:    maximum; e^(x - max) into scratch with its sum; product with 1 / sum
//   argmax:     best value and its index in each lane, then the least index among the best lanes; exact for all i32
//   top_k:      the same once for each place, among the elements behind the one found before
//   quantise:   greatest magnitude, as bits; then words of four codes, and the sums of groups (ir/op/codes.h)
//   pairs:      words of two bf16 (ir/op/pairs.h)
// A reduction over an axis whose elements are not adjacent (the mean over tokens) runs in vectors across its rows.
#include "ir/op/codes.h"
#include "ir/op/pairs.h"
#include "kmath.h"
#include "lower_reduce.h"

#include <math.h>
#include <string.h>

typedef struct Row Row;
typedef void Term(Row *r, KVal x, uint32_t lanes, KVal *term); // what a walk joins
typedef KVal Result(Row *r, KVal x, uint32_t lanes);           // the anchor's value at an element
struct Row {
  Lowering *lo;
  const Value *anchor;
  Val x;
  KIdx at[LOWER_AXES]; // rows
  Range columns;
  bool vectors;
  bool plain;  // x is loaded wherever it is needed; else the first walk leaves it in `row`
  bool stored; // x is in `row`
  KBufRef row;
  DType dtype; // of x
  // the walk at hand
  Term *term;
  Result *result;
  Reduce reduce;
  KVal acc[2], rest[2]; // of argmax and top_k: best values and where, in vectors and in single lanes
  KVal s[6];            // scalars found by earlier walks
  Point p;
};

static KVal in(Row *r, int i, uint32_t lanes) {
  return lower_in(r->lo, r->s[i], lanes);
}
static KVal num(Row *r, double v, uint32_t lanes) {
  return kb_const(r->lo->k, v, DT_F32, lanes);
}

static Point point_at(const Row *r, KIdx c, uint32_t lanes, int64_t n) {
  Point p = {.lanes = lanes, .n = n};
  for (int d = 0; d + 1 < r->lo->rank; d++) p.at[d] = r->at[d];
  p.at[r->lo->rank - 1] = c;
  return p;
}

static KVal x_at(Row *r, KIdx c, uint32_t lanes, int64_t n) {
  if (r->stored) return kb_load(r->lo->k, r->row, c, lanes, lanes == 1 ? 1 : lanes, "x");
  Point p = point_at(r, c, lanes, n);
  KVal x = lower_element(r->lo, &p, r->x);
  if (!r->plain) kb_store(r->lo->k, r->row, c, x, lanes == 1 ? 1 : lanes);
  return x;
}

/* sums and maxima ------------------------------------------------------------------------------------- */
static void reduce_column(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, KVal *value, void *ud) {
  (void)lo;
  Row *r = ud;
  r->p = point_at(r, c, lanes, n);
  r->term(r, x_at(r, c, lanes, n), lanes, value);
}

// Walks the row and leaves the joined terms, which are of type dt, in out[]: scalars.
static void reduce_as(Row *r, DType dt, Term *term, int terms, KOp join, double identity, KVal *out) {
  r->term = term;
  r->reduce.terms = terms, r->reduce.join = join, r->reduce.identity = identity;
  r->reduce.dtype = dt, r->reduce.vectors = r->vectors;
  r->reduce.term = reduce_column, r->reduce.ud = r;
  lower_reduce(r->lo, &r->columns, 1, &r->reduce, out);
  r->stored = !r->plain;
}

static void reduce(Row *r, Term *term, int terms, KOp join, double identity, KVal *out) {
  reduce_as(r, r->dtype, term, terms, join, identity, out);
}

static void term_x(Row *r, KVal x, uint32_t lanes, KVal *term) {
  (void)r;
  (void)lanes;
  term[0] = x;
}

static void store_column(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  Row *r = ud;
  Point p = r->p = point_at(r, c, lanes, n);
  p.leaf_value = r->result(r, x_at(r, c, lanes, n), lanes);
  p.leaf = lo->grp->anchor;
  lower_store(lo, &p, lower_element(lo, &p, lo->grp->root));
}

static void store(Row *r, Result *result) {
  r->result = result;
  lower_columns(r->lo, &r->columns, r->vectors, 1, NULL, 0, store_column, r);
}

// The one element of a row that a reduction leaves.
static void store_one(Row *r, KVal value) {
  Point p = point_at(r, ki_const(0), 1, 1);
  p.leaf = r->lo->grp->anchor;
  p.leaf_value = value;
  lower_store(r->lo, &p, lower_element(r->lo, &p, r->lo->grp->root));
}

static KVal row_length(Row *r) {
  return r->columns.fixed ? num(r, (double)r->columns.bound, 1) : kb_index(r->lo->k, r->columns.len, DT_F32, 1);
}

/* layer_norm, rms_norm, l2_norm --------------------------------------------------------------------------------- */
static void term_deviation(Row *r, KVal x, uint32_t lanes, KVal *term) { // s[0] = mean
  Kernel *k = r->lo->k;
  term[0] = kb_op2(k, K_sub, x, in(r, 0, lanes));
  term[1] = kb_op2(k, K_mul, term[0], term[0]);
}

static KVal result_layer_norm(Row *r, KVal x, uint32_t lanes) { // s[0] = mean, s[1] = correction, s[2] = 1 / deviation
  Kernel *k = r->lo->k;
  KVal y = kb_op2(k, K_sub, kb_op2(k, K_sub, x, in(r, 0, lanes)), in(r, 1, lanes));
  y = kb_op2(k, K_mul, y, in(r, 2, lanes));
  if (r->anchor->nargs > 1) y = kb_op2(k, K_mul, y, lower_element(r->lo, &r->p, r->anchor->args[1]));
  if (r->anchor->nargs > 2) y = kb_op2(k, K_add, y, lower_element(r->lo, &r->p, r->anchor->args[2]));
  return y;
}

static KVal one_over_deviation(Row *r, KVal var) {
  Kernel *k = r->lo->k;
  KVal eps = num(r, value_float(r->anchor, A_eps, 0), 1);
  return kb_op2(k, K_div, num(r, 1, 1), kb_op1(k, K_sqrt, kb_op2(k, K_add, var, eps)));
}

static void row_layer_norm(Row *r) {
  Kernel *k = r->lo->k;
  KVal n = row_length(r), sum[2];
  reduce(r, term_x, 1, K_add, 0, sum);
  r->s[0] = kb_op2(k, K_div, sum[0], n);
  reduce(r, term_deviation, 2, K_add, 0, sum);
  r->s[1] = kb_op2(k, K_div, sum[0], n);
  KVal var = kb_op2(k, K_sub, kb_op2(k, K_div, sum[1], n), kb_op2(k, K_mul, r->s[1], r->s[1]));
  r->s[2] = one_over_deviation(r, kb_op2(k, K_max, num(r, 0, 1), var));
  store(r, result_layer_norm);
}

// The gradient: x is the cotangent dy, s[] are mean, correction and one over the deviation of the norm's own rows, then
// mean h and mean h n. The deviation that divides the result is the uncorrected one.
static KVal norm_rows(Row *r) {
  return lower_element(r->lo, &r->p, r->anchor->args[1]);
}

static KVal gained(Row *r, KVal dy) { // h
  return r->anchor->nargs > 2 ? kb_op2(r->lo->k, K_mul, dy, lower_element(r->lo, &r->p, r->anchor->args[2])) : dy;
}

static KVal normed(Row *r, KVal x, uint32_t lanes) { // n
  Kernel *k = r->lo->k;
  KVal y = kb_op2(k, K_sub, kb_op2(k, K_sub, x, in(r, 0, lanes)), in(r, 1, lanes));
  return kb_op2(k, K_mul, y, in(r, 2, lanes));
}

static void term_x_and_h(Row *r, KVal dy, uint32_t lanes, KVal *term) {
  (void)lanes;
  term[0] = norm_rows(r);
  term[1] = gained(r, dy);
}

static void term_norm_deviation(Row *r, KVal dy, uint32_t lanes, KVal *term) {
  (void)dy;
  term_deviation(r, norm_rows(r), lanes, term);
}

static void term_h_n(Row *r, KVal dy, uint32_t lanes, KVal *term) {
  term[0] = kb_op2(r->lo->k, K_mul, gained(r, dy), normed(r, norm_rows(r), lanes));
}

static KVal result_norm_grad(Row *r, KVal dy, uint32_t lanes) {
  Kernel *k = r->lo->k;
  KVal n = normed(r, norm_rows(r), lanes), h = kb_op2(k, K_sub, gained(r, dy), in(r, 3, lanes));
  return kb_op2(k, K_mul, in(r, 5, lanes), kb_op2(k, K_sub, h, kb_op2(k, K_mul, n, in(r, 4, lanes))));
}

static void row_layer_norm_grad(Row *r) {
  Kernel *k = r->lo->k;
  KVal n = row_length(r), sum[2];
  reduce(r, term_x_and_h, 2, K_add, 0, sum);
  r->s[0] = kb_op2(k, K_div, sum[0], n);
  r->s[3] = kb_op2(k, K_div, sum[1], n);
  reduce(r, term_norm_deviation, 2, K_add, 0, sum);
  r->s[1] = kb_op2(k, K_div, sum[0], n);
  KVal var = kb_op2(k, K_div, sum[1], n);
  r->s[5] = one_over_deviation(r, var);
  var = kb_op2(k, K_sub, var, kb_op2(k, K_mul, r->s[1], r->s[1]));
  r->s[2] = one_over_deviation(r, kb_op2(k, K_max, num(r, 0, 1), var));
  reduce(r, term_h_n, 1, K_add, 0, sum);
  r->s[4] = kb_op2(k, K_div, sum[0], n);
  store(r, result_norm_grad);
}

static void term_square(Row *r, KVal x, uint32_t lanes, KVal *term) {
  (void)lanes;
  term[0] = kb_op2(r->lo->k, K_mul, x, x);
}
static KVal result_scaled(Row *r, KVal x, uint32_t lanes) {
  return kb_op2(r->lo->k, K_mul, x, in(r, 0, lanes));
}

static KVal result_rms_norm(Row *r, KVal x, uint32_t lanes) { // s[0] = 1 / root of the mean square
  KVal y = result_scaled(r, x, lanes);
  if (r->anchor->nargs < 2) return y;
  return kb_op2(r->lo->k, K_mul, y, lower_element(r->lo, &r->p, r->anchor->args[1]));
}

static void row_rms_norm(Row *r) {
  Kernel *k = r->lo->k;
  KVal sum;
  reduce(r, term_square, 1, K_add, 0, &sum);
  KVal mean = kb_op2(k, K_div, sum, row_length(r));
  KVal root = kb_op1(k, K_sqrt, kb_op2(k, K_add, mean, num(r, value_float(r->anchor, A_eps, 0), 1)));
  r->s[0] = kb_op2(k, K_div, num(r, 1, 1), root);
  store(r, result_rms_norm);
}

static void row_l2_norm(Row *r) {
  Kernel *k = r->lo->k;
  KVal sum;
  reduce(r, term_square, 1, K_add, 0, &sum);
  KVal norm = kb_op2(k, K_max, num(r, value_float(r->anchor, A_eps, 0), 1), kb_op1(k, K_sqrt, sum));
  r->s[0] = kb_op2(k, K_div, num(r, 1, 1), norm);
  store(r, result_scaled);
}

/* softmax, log_softmax -------------------------------------------------------------------------------- */
static void term_exp(Row *r, KVal x, uint32_t lanes, KVal *term) { // s[0] = maximum
  term[0] = kmath_exp_neg(r->lo->k, kb_op2(r->lo->k, K_sub, x, in(r, 0, lanes)));
}

static void term_exp_kept(Row *r, KVal x, uint32_t lanes, KVal *term) {
  term_exp(r, x, lanes, term);
  kb_store(r->lo->k, r->row, r->p.at[r->lo->rank - 1], term[0], lanes == 1 ? 1 : lanes);
}

static void row_softmax(Row *r) {
  Kernel *k = r->lo->k;
  KVal sum;
  reduce(r, term_x, 1, K_max, -HUGE_VAL, &r->s[0]);
  reduce(r, term_exp_kept, 1, K_add, 0, &sum);
  r->s[0] = kb_op2(k, K_div, num(r, 1, 1), sum);
  r->stored = true;
  store(r, result_scaled);
}

static KVal result_log_softmax(Row *r, KVal x, uint32_t lanes) { // s[0] = maximum, s[1] = ln sum
  Kernel *k = r->lo->k;
  return kb_op2(k, K_sub, kb_op2(k, K_sub, x, in(r, 0, lanes)), in(r, 1, lanes));
}

static void row_log_softmax(Row *r) {
  KVal sum;
  reduce(r, term_x, 1, K_max, -HUGE_VAL, &r->s[0]);
  reduce(r, term_exp, 1, K_add, 0, &sum);
  r->s[1] = kmath_log(r->lo->k, sum);
  store(r, result_log_softmax);
}

// ln of the sum of e^x, as log_softmax finds it.
static void row_log_sum_exp(Row *r) {
  KVal sum;
  reduce(r, term_x, 1, K_max, -HUGE_VAL, &r->s[0]);
  reduce(r, term_exp, 1, K_add, 0, &sum);
  store_one(r, kb_op2(r->lo->k, K_add, r->s[0], kmath_log(r->lo->k, sum)));
}

/* reductions ------------------------------------------------------------------------------------------ */
static void row_reduce_sum(Row *r) {
  KVal s;
  reduce(r, term_x, 1, K_add, 0, &s);
  store_one(r, s);
}

static double least_of(DType t) {
  return t == DT_I32 ? (double)INT32_MIN : -HUGE_VAL;
}

static void row_reduce_max(Row *r) {
  KVal s;
  reduce(r, term_x, 1, K_max, least_of(r->dtype), &s);
  store_one(r, s);
}

// acc[0], acc[1]: best value and its index in each lane; rest[0], rest[1]: the same of single lanes.
static void argmax_column(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  Row *r = ud;
  Kernel *k = lo->k;
  KVal x = x_at(r, c, lanes, n), best = lanes == 1 ? r->rest[0] : r->acc[0];
  KVal at = lanes == 1 ? r->rest[1] : r->acc[1], here = kb_index(k, c, DT_I32, lanes);
  if (r->dtype == DT_F32) // a NaN counts as the maximum
    x = kb_op3(k, K_select, kb_op2(k, K_eq, x, x), x, num(r, HUGE_VAL, lanes));
  if (lanes > 1) here = kb_op2(k, K_add, here, kb_iota(k, DT_I32));
  KVal better = kb_op2(k, K_lt, best, x);
  if (lanes > 1 && n < (int64_t)lanes) better = kb_op2(k, K_and, better, lower_first(lo, n));
  KVal new_at = kb_op3(k, K_select, better, here, at), new_best = kb_op3(k, K_select, better, x, best);
  kb_set(k, at, new_at);
  kb_set(k, best, new_best);
}

static void row_argmax(Row *r) {
  Kernel *k = r->lo->k;
  bool wide = r->vectors && k->lanes > 1;
  double least = least_of(r->dtype);
  Range whole = r->columns, tail = r->columns;
  r->rest[0] = kb_var(k, kb_const(k, least, r->dtype, 1), "best");
  r->rest[1] = kb_var(k, kb_const(k, 0, DT_I32, 1), "at");
  if (wide) { // whole vectors (and a constant tail), then join the lanes, then single lanes
    r->acc[0] = kb_var(k, kb_const(k, least, r->dtype, k->lanes), "bests");
    r->acc[1] = kb_var(k, kb_iota(k, DT_I32), "ats");
    if (whole.fixed) {
      lower_columns(r->lo, &whole, true, 1, NULL, 0, argmax_column, r);
    } else {
      KVar v = kb_loop(k, "c", kbound(ki_const(0)), kbound_floor(whole.len, k->lanes), k->lanes);
      argmax_column(r->lo, ki_var(v), k->lanes, k->lanes, 0, r);
      kb_end(k);
    }
    KVal best = kb_op1(k, K_hmax, r->acc[0]);
    KVal equal = kb_op2(k, K_eq, r->acc[0], kb_splat(k, best));
    KVal minus = kb_op2(k, K_sub, kb_const(k, 0, DT_I32, k->lanes), r->acc[1]);
    KVal first = kb_op1(k, K_hmax, kb_op3(k, K_select, equal, minus, kb_const(k, INT32_MIN, DT_I32, k->lanes)));
    kb_set(k, r->rest[0], best);
    kb_set(k, r->rest[1], kb_op2(k, K_sub, kb_const(k, 0, DT_I32, 1), first));
  }
  if (!wide || !tail.fixed) {
    KBound from = wide ? kbound_floor(tail.len, k->lanes) : kbound(ki_const(0));
    KVar v = kb_loop(k, "c", from, kbound(tail.len), 1);
    argmax_column(r->lo, ki_var(v), 1, 1, 0, r);
    kb_end(k);
  }
  store_one(r, r->rest[1]);
}

/* top_k ------------------------------------------------------------------------------------------------ */
enum { NOT_FOUND = INT32_MAX };

// s[0], s[1]: value and index found before; acc and rest as for argmax, index NOT_FOUND: nothing yet.
static void top_column(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  Row *r = ud;
  Kernel *k = lo->k;
  KVal x = x_at(r, c, lanes, n), best = lanes == 1 ? r->rest[0] : r->acc[0];
  KVal at = lanes == 1 ? r->rest[1] : r->acc[1], here = kb_index(k, c, DT_I32, lanes);
  if (r->dtype == DT_F32) x = kb_op3(k, K_select, kb_op2(k, K_eq, x, x), x, num(r, HUGE_VAL, lanes));
  if (lanes > 1) here = kb_op2(k, K_add, here, kb_iota(k, DT_I32));
  KVal equal = kb_op2(k, K_and, kb_op2(k, K_eq, x, in(r, 0, lanes)), kb_op2(k, K_lt, in(r, 1, lanes), here));
  KVal behind = kb_op2(k, K_or, kb_op2(k, K_lt, x, in(r, 0, lanes)), equal);
  KVal first = kb_op2(k, K_eq, at, kb_const(k, NOT_FOUND, DT_I32, lanes));
  KVal better = kb_op2(k, K_and, behind, kb_op2(k, K_or, first, kb_op2(k, K_lt, best, x)));
  if (lanes > 1 && n < (int64_t)lanes) better = kb_op2(k, K_and, better, lower_first(lo, n));
  KVal new_at = kb_op3(k, K_select, better, here, at), new_best = kb_op3(k, K_select, better, x, best);
  kb_set(k, at, new_at);
  kb_set(k, best, new_best);
}

static void join_lanes(Row *r) { // into rest[0], rest[1]
  Kernel *k = r->lo->k;
  KVal best = kb_op1(k, K_hmax, r->acc[0]), zero = kb_const(k, 0, DT_I32, k->lanes);
  KVal equal = kb_op2(k, K_eq, r->acc[0], kb_splat(k, best));
  KVal minus =
      kb_op3(k, K_select, equal, kb_op2(k, K_sub, zero, r->acc[1]), kb_const(k, -(double)NOT_FOUND, DT_I32, k->lanes));
  kb_set(k, r->rest[0], best);
  kb_set(k, r->rest[1], kb_op2(k, K_sub, kb_const(k, 0, DT_I32, 1), kb_op1(k, K_hmax, minus)));
}

static void row_top_k(Row *r) {
  Kernel *k = r->lo->k;
  bool wide = r->vectors && k->lanes > 1;
  double least = least_of(r->dtype);
  r->s[0] = kb_var(k, kb_const(k, r->dtype == DT_I32 ? INT32_MAX : HUGE_VAL, r->dtype, 1), "before");
  r->s[1] = kb_var(k, kb_const(k, -1, DT_I32, 1), "before_at");
  KIdx place = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(ki_const(value_int(r->anchor, A_count, 1))), 1));
  r->rest[0] = kb_var(k, kb_const(k, least, r->dtype, 1), "best");
  r->rest[1] = kb_var(k, kb_const(k, NOT_FOUND, DT_I32, 1), "at");
  if (wide) {
    r->acc[0] = kb_var(k, kb_const(k, least, r->dtype, k->lanes), "bests");
    r->acc[1] = kb_var(k, kb_const(k, NOT_FOUND, DT_I32, k->lanes), "ats");
    if (r->columns.fixed) {
      lower_columns(r->lo, &r->columns, true, 1, NULL, 0, top_column, r);
    } else {
      KVar v = kb_loop(k, "c", kbound(ki_const(0)), kbound_floor(r->columns.len, k->lanes), k->lanes);
      top_column(r->lo, ki_var(v), k->lanes, k->lanes, 0, r);
      kb_end(k);
    }
    join_lanes(r);
  }
  if (!wide || !r->columns.fixed) {
    KBound from = wide ? kbound_floor(r->columns.len, k->lanes) : kbound(ki_const(0));
    KVar v = kb_loop(k, "c", from, kbound(r->columns.len), 1);
    top_column(r->lo, ki_var(v), 1, 1, 0, r);
    kb_end(k);
  }
  KVal none = kb_op2(k, K_eq, r->rest[1], kb_const(k, NOT_FOUND, DT_I32, 1));
  KVal value = kb_op3(k, K_select, none, r->s[0], r->rest[0]), at = kb_op3(k, K_select, none, r->s[1], r->rest[1]);
  kb_set(k, r->s[0], value);
  kb_set(k, r->s[1], at);
  Point p = point_at(r, place, 1, 1);
  p.leaf = r->lo->grp->anchor;
  p.leaf_value = r->s[1];
  lower_store(r->lo, &p, lower_element(r->lo, &p, r->lo->grp->root));
  kb_end(k);
}

/* quantise -------------------------------------------------------------------------------------------- */
static void term_magnitude(Row *r, KVal x, uint32_t lanes, KVal *term) {
  (void)lanes;
  term[0] = kb_op1(r->lo->k, K_magn, x);
}

// Zeros from the last column of the row in scratch up to where its codes end.
static void fill_row(Row *r, int64_t from, int64_t to) {
  Kernel *k = r->lo->k;
  KVal zero = from < to ? num(r, 0, k->lanes) : (KVal){0};
  for (int64_t c = from; c < to; c += k->lanes)
    kb_store(k, r->row, ki_const(c), zero, to - c < (int64_t)k->lanes ? to - c : (int64_t)k->lanes);
}

// 128 more than the codes of the elements from column c on. Adding 1.5 * 2^23 rounds to whole numbers, half to even.
static KVal plain_codes(Row *r, KIdx c) {
  Kernel *k = r->lo->k;
  KVal magic = num(r, 12582912.0, k->lanes);
  KVal y = kb_op2(k, K_mul, x_at(r, c, k->lanes, k->lanes), in(r, 0, k->lanes));
  y = kb_op2(k, K_sub, kb_op2(k, K_add, y, magic), magic);
  return kb_op2(k, K_add, kb_cvt(k, y, DT_I32), kb_const(k, 128, DT_I32, k->lanes));
}

// The words of group g, and the sum of its codes, 128 more each, that lie in their lower and in their upper halves.
static KVal code_group(Row *r, KIdx g, bool sums) {
  Lowering *lo = r->lo;
  Kernel *k = lo->k;
  KVal sum = {0}, byte = kb_const(k, 256, DT_I32, k->lanes);
  for (int64_t j = 0; j < GROUP_WORDS; j += k->lanes) {
    KVal code[CODES_IN_WORD];
    for (int i = 0; i < CODES_IN_WORD; i++)
      code[i] = plain_codes(r, ki_addc(ki_mul(g, CODE_GROUP), j + (int64_t)i * GROUP_WORDS));
    KVal word = code[CODES_IN_WORD - 1];
    for (int i = CODES_IN_WORD - 2; i >= 0; i--) word = kb_op2(k, K_add, kb_op2(k, K_mul, word, byte), code[i]);
    word = kb_op2(k, K_xor, word, kb_const(k, (int32_t)0x80808080u, DT_I32, k->lanes)); // 128 less in each byte
    Point p = point_at(r, ki_addc(ki_mul(g, GROUP_WORDS), j), k->lanes, k->lanes);
    kb_store(k, lo->root.buf, lower_address(lo, &lo->root, &p), word, k->lanes);
    if (!sums) continue;
    KVal low = kb_op2(k, K_add, code[0], code[1]), high = kb_op2(k, K_add, code[2], code[3]);
    low = kb_op2(k, K_add, low, kb_op2(k, K_mul, high, kb_const(k, 65536, DT_I32, k->lanes)));
    sum = sum.id ? kb_op2(k, K_add, sum, low) : low;
  }
  return sums ? kb_op1(k, K_hadd, sum) : sum;
}

// The halves behind the room, of the sums L and H in L + 2^16 H, each of 32 codes and as many times 128: -8 times those
// of the codes, B = 2^15 - 8 L and A = 2^15 - 8 H. As B may be negative, the word is 2^16 A + (B + 2^15) with that bit
// of the lower half turned.
static KVal group_halves(Row *r, KVal sum) {
  Kernel *k = r->lo->k;
  KVal y = kb_op2(k, K_mul, sum, kb_const(k, CODE4_LEAST, DT_I32, 1));
  y = kb_op2(k, K_add, y, kb_const(k, INT32_MIN + 65536, DT_I32, 1));
  return kb_op2(k, K_xor, y, kb_const(k, 32768, DT_I32, 1));
}

static void row_quantise(Row *r) {
  Lowering *lo = r->lo;
  Kernel *k = lo->k;
  int64_t columns = r->columns.bound, words = codes_words(columns), groups = codes_depth(columns) / CODE_GROUP;
  int64_t room = CODE_ROOM + (value_attr(r->anchor, A_group) ? codes_group_words(columns) : 0);
  Point end = point_at(r, ki_const(words), k->lanes, k->lanes);
  KIdx behind = lower_address(lo, &lo->root, &end);
  KVal most, scale;
  reduce_as(r, DT_I32, term_magnitude, 1, K_max, 0, &most);
  if (!r->plain) fill_row(r, columns, codes_depth(columns));
  most = kb_op1(k, K_real, most);
  KVal tiny = kb_op2(k, K_lt, most, num(r, CODE_LEAST, 1)), zero = num(r, 0, 1), top = num(r, CODE_MOST, 1);
  r->s[0] = kb_op3(k, K_select, tiny, zero, kb_op2(k, K_div, top, most));
  scale = kb_op3(k, K_select, tiny, zero, kb_op2(k, K_div, most, top));
  KVal none = kb_const(k, 0, DT_I32, k->lanes);
  for (int64_t w = 0; w < room; w += k->lanes) kb_store(k, lo->root.buf, ki_addc(behind, w), none, k->lanes);
  kb_store(k, lo->root.buf, behind, kb_op1(k, K_magn, scale), 1);
  KIdx g = ki_var(kb_loop(k, "g", kbound(ki_const(0)), kbound(ki_const(groups)), 1));
  KVal sum = code_group(r, g, room > CODE_ROOM);
  if (sum.id) kb_store(k, lo->root.buf, ki_add(ki_addc(behind, CODE_ROOM), g), group_halves(r, sum), 1);
  kb_end(k);
}

/* pairs ----------------------------------------------------------------------------------------------- */
static void keep_column(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)lo, (void)unrolled;
  x_at(ud, c, lanes, n);
}

static void row_pairs(Row *r) {
  Lowering *lo = r->lo;
  Kernel *k = lo->k;
  int64_t columns = r->columns.bound;
  if (!r->plain) {
    lower_columns(lo, &r->columns, r->vectors, 1, NULL, 0, keep_column, r);
    fill_row(r, columns, pairs_depth(columns));
    r->stored = true;
  }
  KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(ki_const(pairs_words(columns))), k->lanes));
  KIdx c = ki_mul(j, 2);
  KVal low = kb_op1(k, K_round16, x_at(r, c, k->lanes, k->lanes));
  KVal high = kb_op1(k, K_round16, x_at(r, ki_addc(c, k->lanes), k->lanes, k->lanes));
  Point p = point_at(r, j, k->lanes, k->lanes);
  kb_store(k, lo->root.buf, lower_address(lo, &lo->root, &p), kb_op2(k, K_join16, low, high), k->lanes);
  kb_end(k);
}

/* reduction across rows ------------------------------------------------------------------------------- */
// [.., D, N] -> [.., D, 1] where D is adjacent and N is not: the columns of the domain are D here, N is `columns`.
typedef struct Across {
  Row *r;
  size_t x; // source
  int64_t stride;
  KOp join;
  double identity;
} Across;

static void across_column(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const Across *a = ud;
  Kernel *k = lo->k;
  const Source *x = &lo->src.at[a->x];
  Point p = point_at(a->r, c, lanes, n);
  KVal acc = kb_var(k, kb_const(k, a->identity, x->dtype, lanes), "acc");
  KVar v = kb_loop(k, "n", kbound(ki_const(0)), kbound(a->r->columns.len), 1);
  KIdx i = ki_add(lower_address(lo, x, &p), ki_mul(ki_var(v), a->stride));
  kb_set(k, acc, kb_op2(k, a->join, acc, kb_load(k, x->buf, i, lanes, lanes == 1 ? 1 : n, "x")));
  kb_end(k);
  kb_store(k, a->r->row, c, acc, lanes == 1 ? 1 : lanes);
}

static void across_row(Lowering *lo, KIdx *at, void *ud) {
  Across *a = ud;
  memcpy(a->r->at, at, sizeof a->r->at);
  const Range *d = &lo->axis[lo->rank - 1].range[0];
  lower_columns(lo, d, true, 1, NULL, 0, across_column, a);
  KVar v = kb_loop(lo->k, "d", kbound(ki_const(0)), kbound(d->len), 1);
  Point p = point_at(a->r, ki_var(v), 1, 1);
  p.leaf = lo->grp->anchor;
  p.leaf_value = kb_load(lo->k, a->r->row, ki_var(v), 1, 1, NULL);
  lower_store(lo, &p, lower_element(lo, &p, lo->grp->root));
  kb_end(lo->k);
}

/* groups ---------------------------------------------------------------------------------------------- */
static const struct {
  Op op;
  void (*row)(Row *r);
  int walks;
  bool keeps; // needs the scratch row for itself
} row_table[] = {{OP_layer_norm, row_layer_norm, 3, false},
                 {OP_l2_norm, row_l2_norm, 2, false},
                 {OP_rms_norm, row_rms_norm, 2, false},
                 {OP_softmax, row_softmax, 3, true},
                 {OP_log_softmax, row_log_softmax, 3, false},
                 {OP_log_sum_exp, row_log_sum_exp, 2, false},
                 {OP_reduce_sum, row_reduce_sum, 1, false},
                 {OP_reduce_max, row_reduce_max, 1, false},
                 {OP_argmax, row_argmax, 1, false},
                 {OP_top_k, row_top_k, 1, false},
                 {OP_layer_norm_grad, row_layer_norm_grad, 4, false},
                 {OP_quantise, row_quantise, 2, false},
                 {OP_pairs, row_pairs, 1, false}};

typedef struct RowKernel {
  Row r;
  size_t entry;
} RowKernel;

static void emit_row(Lowering *lo, KIdx *at, void *ud) {
  RowKernel *rk = ud;
  memcpy(rk->r.at, at, sizeof rk->r.at);
  rk->r.stored = false;
  lower_data(lo, at);
  const char *op = op_info[rk->r.anchor->op].name;
  kb_region(lo->k, arena_printf(lo->arena, "%s_row", op), arena_printf(lo->arena, "%s of one row", op));
  row_table[rk->entry].row(&rk->r);
  kb_end(lo->k);
}

static bool finish_row(Lowering *lo, const Value *anchor, double row_elements, int64_t rows) {
  Buf b = {0};
  type_print(&b, lo->m, &graph_value(lo->g, anchor->args[0])->type);
  const char *comment = arena_printf(lo->arena, "%s of %s", op_info[anchor->op].name, b.s);
  buf_free(&b);
  bool affine = value_attr(anchor, A_eps) && anchor->nargs > 1;
  const char *name = arena_printf(lo->arena, "%s%s_%lld%s", op_info[anchor->op].name, affine ? "_affine" : "",
                                  (long long)row_elements, lower_members(lo));
  double n = row_elements * (double)rows;
  return lower_finish(lo, n * (anchor->op == OP_softmax ? 20 : 8), 8 * n, name, comment);
}

static bool is_reduction(Op op) {
  return op == OP_reduce_sum || op == OP_reduce_max;
}

// Is x stored with its last axis apart and the axis before it adjacent?
static bool runs_across(const Lowering *lo, const Value *anchor) {
  const Type *t = &graph_value(lo->g, anchor->args[0])->type;
  if (!is_reduction(anchor->op) || t->rank < 2 || lower_is_member(lo, anchor->args[0])) return false;
  const Source *x = &lo->src.at[lo->src.n - 1];
  return !x->constant && x->stride[t->rank - 1] != 1 && x->stride[t->rank - 2] == 1 && lo->axis[t->rank - 2].n == 1;
}

// Divides the columns into blocks, so that one row (the mean over an image's places) is work for several threads.
static void block_columns(Lowering *lo) {
  const Axis *d = &lo->axis[lo->rank - 1];
  if (lo->rank == LOWER_AXES || !d->range[0].fixed) return;
  for (int64_t block = 64; block >= 32; block -= 16)
    if (d->extent > block && d->extent % block == 0) {
      lower_split(lo, lo->rank - 1, block);
      return;
    }
}

static bool emit_across(Row *r) {
  Lowering *lo = r->lo;
  Across a = {.r = r, .x = lo->src.n - 1, .identity = 0, .join = K_add};
  if (r->anchor->op == OP_reduce_max) a.join = K_max, a.identity = least_of(r->dtype);
  a.stride = lo->src.at[a.x].stride[lo->rank - 1];
  lo->rank--; // the columns of the domain are the rows of the operator now
  block_columns(lo);
  const Axis *d = &lo->axis[lo->rank - 1];
  r->row = kb_buf(lo->k, "row", r->dtype, KB_SCRATCH, (d->extent + K_MAX_LANES - 1) / K_MAX_LANES * K_MAX_LANES);
  lower_rows(lo, 1, across_row, &a);
  return finish_row(lo, r->anchor, (double)r->columns.bound * (double)d->extent, 1);
}

static const char *operand_name(Op op, uint32_t i) {
  static const char *const names[2][3] = {{"x", "gain", "shift"}, {"dy", "x", "gain"}};
  return names[op == OP_layer_norm_grad][i];
}

bool lower_row(Arena *arena, const Graph *g, const Group *grp, const Target *t, Lowered *out) {
  Lowering lo = lower_begin(arena, g, grp, t, out, "row");
  RowKernel rk = {.r = {.lo = &lo, .anchor = graph_value(g, grp->anchor)}};
  Row *r = &rk.r;
  const Value *v = r->anchor;
  r->x = v->args[0];
  while (rk.entry < sizeof row_table / sizeof *row_table && row_table[rk.entry].op != v->op) rk.entry++;
  if (rk.entry == sizeof row_table / sizeof *row_table) ICE("lower_row: %s has no kernel", op_info[v->op].name);
  const Type *tx = &graph_value(g, r->x)->type;
  r->dtype = tx->dtype;
  lower_domain(&lo, tx);
  if (!lower_sources(&lo)) return false;
  for (uint32_t i = v->nargs; i-- > 0;) // x last
    if (!lower_source(&lo, v->args[i], i ? &v->type : tx, operand_name(v->op, i))) return false;
  r->columns = lo.axis[lo.rank - 1].range[0];
  if (lo.axis[lo.rank - 1].n != 1) return lower_fail(&lo, grp->anchor, "its rows are not dense");
  if (!lower_root(&lo)) return false;
  if (runs_across(&lo, v)) return emit_across(r);

  bool pairs = v->op == OP_pairs, words = v->op == OP_quantise || pairs;
  int64_t room = pairs ? PAIR_DEPTH : words ? CODE_DEPTH : K_MAX_LANES; // what the row in scratch is filled up to
  r->plain = (pairs || !lower_is_member(&lo, r->x)) && !(words && r->columns.bound % room); // pairs: walked once
  int c = lo.rank - 1;
  r->vectors = v->op == OP_argmax || v->op == OP_top_k || is_reduction(v->op) || lo.root.stride[c] == 1 ||
               lo.axis[c].extent == 1;
  for (size_t i = 0; i < lo.src.n; i++)
    r->vectors = r->vectors && lo.src.at[i].stride[c] >= 0 && lo.src.at[i].stride[c] <= 1;
  if (words && !r->vectors) r->plain = false; // columns that are apart are brought together in scratch
  lower_collapse(&lo, lo.rank - 1, INT64_MAX);
  if (!r->plain || row_table[rk.entry].keeps)
    r->row = kb_buf(lo.k, "row", r->dtype, KB_SCRATCH, round_up(r->columns.bound, room));
  int64_t rows = lo.t->cost->task_elements / r->columns.bound;
  rows = rows < 1 ? 1 : rows > 16 ? 16 : rows;
  lower_rows(&lo, rows, emit_row, &rk);
  return finish_row(&lo, v, (double)r->columns.bound, rows);
}
