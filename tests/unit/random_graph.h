// random_graph.h: seeded random graphs in the manner of transformers, and seeded values for their inputs and weights.
// Shared by the tests of passes (reference before = reference after) and of lowering (reference = kernels).
#ifndef SY_RANDOM_GRAPH_H
#define SY_RANDOM_GRAPH_H

#include "ir/graph.h"
#include "ir/op/op.h"

#include <criterion/criterion.h>
#include <string.h>

enum { POOL = 64 };

typedef struct Gen {
  Graph *g;
  uint64_t state;
  Val pool[POOL]; // values of rank 3 so far: [B,N,D]
  size_t n;
  unsigned weights;
  Val ids;   // i32[B] below 3
  Val noise; // i32[4], of objectives
} Gen;

static uint32_t draw(Gen *r, uint32_t below) { // xorshift64*: the same graphs on every machine
  r->state ^= r->state >> 12;
  r->state ^= r->state << 25;
  r->state ^= r->state >> 27;
  return (uint32_t)((r->state * UINT64_C(2685821657736338717)) >> 33) % below;
}

static Val weight(Gen *r, int rank, int64_t a, int64_t b, int64_t c) {
  Type t = {.dtype = DT_F32, .rank = (uint8_t)rank, .dim = {DIM(a), DIM(b), DIM(c)}};
  return graph_weight(r->g, arena_printf(r->g->module->arena, "w%u", r->weights++), &t, NO_SPAN);
}
static const Type *type_of(const Gen *r, Val v) {
  return &graph_value(r->g, v)->type;
}
static int64_t columns(const Gen *r, Val v) {
  return type_of(r, v)->dim[type_of(r, v)->rank - 1].c;
}
static Val pick(Gen *r) {
  return r->pool[draw(r, 3) ? r->n - 1 - draw(r, r->n < 3 ? (uint32_t)r->n : 3) : draw(r, (uint32_t)r->n)];
}
static Val op(Gen *r, Op o, const Val *args, size_t n) {
  return graph_add(r->g, o, args, n, NULL, 0, NO_SPAN);
}

static Val slice(Gen *r, Val x, int axis, int64_t start, int64_t len) {
  Type t = *type_of(r, x);
  t.dim[axis] = DIM(len);
  Attr attr[] = {attr_int(A_axis, axis), attr_int(A_start, start)};
  return graph_add_typed(r->g, OP_slice, &x, 1, attr, 2, &t, NO_SPAN);
}

static Val linear(Gen *r, Val x, int64_t n) {
  int64_t k = columns(r, x);
  bool trans = draw(r, 3) == 0;
  Val args[3] = {x, trans ? weight(r, 2, k, n, 0) : weight(r, 2, n, k, 0), NO_VAL};
  size_t nargs = 2;
  if (draw(r, 3)) args[nargs++] = weight(r, 1, n, 0, 0);
  Attr attr = attr_int(A_trans, trans);
  return graph_add(r->g, OP_linear, args, nargs, &attr, 1, NO_SPAN);
}

static Val norm(Gen *r, Val x) {
  Val args[3] = {x, weight(r, 1, columns(r, x), 0, 0), weight(r, 1, columns(r, x), 0, 0)};
  Attr eps = attr_float(A_eps, 1e-3);
  return graph_add(r->g, OP_layer_norm, args, draw(r, 4) ? 3 : 1, &eps, 1, NO_SPAN);
}

// The two operands of a dropout of an attention's weights behind args.
static void add_weight_draws(Gen *r, Val *args) {
  Type key = {.dtype = DT_I32, .rank = 1, .dim = {DIM(3)}}, sample = {.dtype = DT_I32, .rank = 1, .dim = {{0, 1, 0}}};
  Attr part[] = {attr_int(A_axis, 0), attr_int(A_start, 0)}, axis = attr_int(A_axis, 0);
  Val all = graph_add_typed(r->g, OP_iota, NULL, 0, &axis, 1, &key, NO_SPAN); // as many as the bound of B
  args[0] = graph_add_typed(r->g, OP_slice, &r->noise, 1, part, 2, &key, NO_SPAN);
  args[1] = graph_add_typed(r->g, OP_slice, &all, 1, part, 2, &sample, NO_SPAN);
}

static Val attention(Gen *r, Val x) {
  int64_t d = columns(r, x);
  if (d % 2) x = linear(r, x, ++d);
  Val y = linear(r, x, 3 * d);
  Val args[5] = {slice(r, y, 2, 0, d), slice(r, y, 2, d, d), slice(r, y, 2, 2 * d, d)};
  if (draw(r, 4) == 0) args[0] = linear(r, x, d);
  Attr attr[5] = {attr_int(A_heads, 2), attr_float(A_scale, 0.5), attr_str(A_where, "(le key query)")};
  size_t nargs = 3, nattr = draw(r, 2) ? 3 : 2;
  if (r->noise.id && draw(r, 2)) {
    add_weight_draws(r, args + nargs);
    attr[nattr++] = attr_float(A_rate, 0.25), attr[nattr++] = attr_int(A_site, 10 + draw(r, 5));
    nargs += 2;
  }
  return graph_add(r->g, OP_attention, args, nargs, attr, nattr, NO_SPAN);
}

static Val with_class_token(Gen *r, Val x) {
  Type t = {.dtype = DT_F32, .rank = 3, .dim = {type_of(r, x)->dim[0], DIM(1), DIM(columns(r, x))}};
  Val cls = weight(r, 3, 1, 1, columns(r, x));
  Val parts[] = {graph_add_typed(r->g, OP_broadcast, &cls, 1, NULL, 0, &t, NO_SPAN), x};
  Attr axis = attr_int(A_axis, 1);
  Val y = graph_add(r->g, OP_concat, parts, 2, &axis, 1, NO_SPAN);
  return op(r, OP_add, (Val[]){y, weight(r, 3, 1, type_of(r, y)->dim[1].c, columns(r, y))}, 2);
}

static Val residual(Gen *r, Val x) {
  Val y = linear(r, op(r, OP_gelu, (Val[]){linear(r, norm(r, x), 6)}, 1), columns(r, x));
  return op(r, OP_add, (Val[]){x, y}, 2);
}

static Val grow(Gen *r, Val x) {
  Type flat;
  switch (draw(r, 12)) {
  case 0: return linear(r, x, 2 + 2 * draw(r, 4));
  case 1: return norm(r, x);
  case 2: return op(r, OP_gelu, &x, 1);
  case 3: return attention(r, x);
  case 4: return residual(r, x);
  case 5: return type_of(r, x)->dim[1].c < 8 ? with_class_token(r, x) : op(r, OP_tanh, &x, 1);
  case 6: return slice(r, x, 1, draw(r, (uint32_t)type_of(r, x)->dim[1].c), 1);
  case 7: return op(r, OP_mul, (Val[]){x, weight(r, 1, columns(r, x), 0, 0)}, 2);
  case 8: return op(r, OP_add, (Val[]){x, weight(r, 2, 1, columns(r, x), 0)}, 2);
  case 9: return op(r, OP_softmax, &x, 1);
  case 10:
    if (type_of(r, x)->dim[1].c < 3) return op(r, OP_relu, &x, 1);
    x = op(r, OP_gather_rows, (Val[]){x, r->ids}, 2);
    flat = *type_of(r, x);
    flat.rank = 3;
    flat.dim[2] = flat.dim[1];
    flat.dim[1] = DIM(1);
    return graph_add_typed(r->g, OP_reshape, &x, 1, NULL, 0, &flat, NO_SPAN);
  default: {
    Attr eps = attr_float(A_eps, 1e-3);
    return graph_add(r->g, OP_l2_norm, &x, 1, &eps, 1, NO_SPAN);
  }
  }
}

static double value_of(uint64_t seed, int64_t i) { // in [-1, 1)
  uint64_t h = hash_bytes(&i, sizeof i, seed);
  return (double)(int64_t)(h >> 12) / (double)(INT64_C(1) << 51) - 1;
}
static inline bool fill(void *ud, const char *name, const Type *t, Tensor *out) {
  (void)ud;
  for (size_t i = 0; i < out->n; i++) {
    if (t->dtype == DT_I32)
      out->i[i] = (int32_t)(i % 3);
    else
      out->f[i] = value_of(hash_bytes(name, strlen(name), 7), (int64_t)i);
  }
  return true;
}

/* objectives
 * ---------------------------------------------------------------------------------------------------------- */

static Val op_with(Gen *r, Op o, const Val *args, size_t n, Attr a) {
  return graph_add(r->g, o, args, n, &a, 1, NO_SPAN);
}
static Val scalar(Gen *r, double x) {
  return graph_scalar(r->g, x, NO_SPAN);
}
static Val typed_op(Gen *r, Op o, Val x, const Attr *attr, size_t n, const Type *t) {
  Type copy = *t;
  return graph_add_typed(r->g, o, &x, 1, attr, n, &copy, NO_SPAN);
}
static Val rows_of_batch(Gen *r, Val x) { // the first B of the 3 that x has
  Type t = *type_of(r, x);
  Attr part[] = {attr_int(A_axis, 0), attr_int(A_start, 0)};
  t.dim[0] = (Dim){0, 1, 0};
  return typed_op(r, OP_slice, x, part, 2, &t);
}

// Another member of the pool with as many rows or columns, or x.
static Val mate(Gen *r, Val x, int axis) {
  for (int tries = 0; tries < 8; tries++) {
    Val y = pick(r);
    if (dim_equal(type_of(r, y)->dim[axis], type_of(r, x)->dim[axis])) return y;
  }
  return x;
}

static Val dropped(Gen *r, Val x) {
  Attr axis = attr_int(A_axis, 0), attr[] = {attr_float(A_rate, 0.3), attr_int(A_site, draw(r, 5))};
  Val args[7] = {x};
  Type word = {.dtype = DT_I32, .rank = 1, .dim = {DIM(1)}}, number_type = {.dtype = DT_I32};
  for (int i = 0; i < 3; i++) {
    Attr part[] = {attr_int(A_axis, 0), attr_int(A_start, i)};
    args[1 + i] = typed_op(r, OP_reshape, typed_op(r, OP_slice, r->noise, part, 2, &word), NULL, 0, &number_type);
  }
  Type sample = {.dtype = DT_I32, .rank = 3, .dim = {DIM(3), DIM(1), DIM(1)}}, row = sample, column = sample;
  row.dim[0] = DIM(1), row.dim[1] = type_of(r, x)->dim[1];
  column.rank = 1, column.dim[0] = type_of(r, x)->dim[2];
  Attr rows = attr_int(A_axis, 1);
  args[4] = rows_of_batch(r, graph_add_typed(r->g, OP_iota, NULL, 0, &axis, 1, &sample, NO_SPAN));
  args[5] = graph_add_typed(r->g, OP_iota, NULL, 0, &rows, 1, &row, NO_SPAN);
  args[6] = graph_add_typed(r->g, OP_iota, NULL, 0, &axis, 1, &column, NO_SPAN);
  return graph_add(r->g, OP_dropout, args, 7, attr, 2, NO_SPAN);
}

// What a cross-entropy needs of the rows: the label is a row's number, and the first two of a sample count.
static Val scored(Gen *r, Val x) {
  int64_t n = type_of(r, x)->dim[1].c, vocab = n + 2;
  Type labels = {.dtype = DT_I32, .rank = 2, .dim = {DIM(3), DIM(n)}};
  Attr along = attr_int(A_axis, 1);
  Val args[5] = {x, weight(r, 2, vocab, columns(r, x), 0)}, at;
  at = rows_of_batch(r, graph_add_typed(r->g, OP_iota, NULL, 0, &along, 1, &labels, NO_SPAN));
  args[2] = at;
  at = op_with(r, OP_cast, &at, 1, attr_str(A_to, "f32"));
  args[3] = op_with(r, OP_compare, (Val[]){at, scalar(r, 1.5)}, 2, attr_str(A_cmp, "lt"));
  args[4] = weight(r, 1, vocab, 0, 0);
  return op_with(r, OP_label_scores, args, draw(r, 2) ? 5 : 4, attr_int(A_count, 2 + draw(r, 2)));
}

// What the graphs of transformers above do not have: all other operators that gradients flow through.
static Val grow_more(Gen *r, Val x) {
  static const Op unary[] = {OP_sigmoid, OP_swish, OP_quick_gelu, OP_gelu_tanh, OP_log_softmax,
                             OP_neg,     OP_tanh,  OP_sin,        OP_cos,       OP_abs};
  int64_t d = columns(r, x), n = type_of(r, x)->dim[1].c;
  Val row = weight(r, 1, d, 0, 0), y;
  Type t = *type_of(r, x);
  switch (draw(r, 19)) {
  case 18: return scored(r, x);
  case 16: return op_with(r, OP_rms_norm, (Val[]){x, row}, draw(r, 2) ? 2 : 1, attr_float(A_eps, 1e-3));
  case 17: { // of a head of all columns, but for the last of an odd number
    if (d < 2) return op(r, OP_tanh, &x, 1);
    Type angles = {.dtype = DT_I32, .rank = 2, .dim = {DIM(n), DIM(d / 2)}};
    Attr place = attr_int(A_axis, 0);
    y = graph_add_typed(r->g, OP_iota, NULL, 0, &place, 1, &angles, NO_SPAN);
    y = op(r, OP_mul, (Val[]){op_with(r, OP_cast, &y, 1, attr_str(A_to, "f32")), scalar(r, 0.75)}, 2);
    return op_with(r, OP_rotate, (Val[]){x, op(r, OP_cos, &y, 1), op(r, OP_sin, &y, 1)}, 3, attr_int(A_heads, 1));
  }
  case 0:
  case 1: return op(r, unary[draw(r, sizeof unary / sizeof *unary)], &x, 1);
  case 2: return op(r, draw(r, 2) ? OP_maximum : OP_minimum, (Val[]){x, row}, 2);
  case 3:
    y = op(r, OP_add, (Val[]){op(r, OP_sigmoid, &row, 1), scalar(r, 0.5)}, 2);
    return op(r, OP_div, (Val[]){x, y}, 2);
  case 4: return op(r, OP_sub, (Val[]){row, x}, 2);
  case 5:
    y = op_with(r, OP_compare, (Val[]){x, row}, 2, attr_str(A_cmp, draw(r, 2) ? "lt" : "ge"));
    return op(r, OP_select, (Val[]){y, op(r, OP_tanh, &x, 1), row}, 3);
  case 6: return op(r, OP_add, (Val[]){x, op(r, draw(r, 2) ? OP_reduce_max : OP_reduce_sum, &x, 1)}, 2);
  case 7: // along the rows of both
    y = mate(r, x, 2);
    if (n + type_of(r, y)->dim[1].c > 9) return op(r, OP_relu, &x, 1);
    return op_with(r, OP_concat, (Val[]){x, y}, 2, attr_int(A_axis, 1));
  case 8:
    y = mate(r, x, 1);
    if (d + columns(r, y) > 12) return op(r, OP_swish, &x, 1);
    return op_with(r, OP_concat, (Val[]){y, x}, 2, attr_int(A_axis, 2));
  case 9: {
    static const int64_t swapped[] = {0, 2, 1};
    return op_with(r, OP_transpose, &x, 1, attr_ints(A_perm, swapped, 3));
  }
  case 10: y = mate(r, x, 2); return op_with(r, OP_matmul, (Val[]){x, y}, 2, attr_int(A_trans, 1));
  case 11:
    y = mate(r, x, 1);
    y = type_equal(type_of(r, y), &t) ? y : x;
    return op(r, OP_mul, (Val[]){x, op(r, OP_tanh, &y, 1)}, 2);
  case 12: // a row of a table for each sequence
    y = op(r, OP_embedding, (Val[]){weight(r, 2, 3, d, 0), r->ids}, 2);
    t.dim[1] = DIM(1);
    return op(r, OP_add, (Val[]){x, typed_op(r, OP_reshape, y, NULL, 0, &t)}, 2);
  case 13: {
    Val e = op(r, OP_exp, (Val[]){op(r, OP_tanh, &x, 1)}, 1);
    return draw(r, 2) ? op(r, OP_log, (Val[]){op(r, OP_add, (Val[]){e, e}, 2)}, 1) : op(r, OP_sqrt, &e, 1);
  }
  case 14: // rows and columns as one, and back
    if (n * d > 24) return slice(r, x, 2, draw(r, (uint32_t)d), 1);
    t.dim[1] = DIM(1), t.dim[2] = DIM(n * d);
    return typed_op(r, OP_reshape, x, NULL, 0, &t);
  default: return dropped(r, x);
  }
}

// The sum of squares of all elements of f32[B,n,d], divided by their number in a sample.
static Val sum_of_squares(Gen *r, Val y) {
  Type t = *type_of(r, y), one = {.dtype = DT_F32};
  double elements = (double)(t.dim[1].c * t.dim[2].c);
  y = op(r, OP_reduce_sum, (Val[]){op(r, OP_mul, (Val[]){y, y}, 2)}, 1);
  t.rank = 2;
  y = op(r, OP_reduce_sum, (Val[]){typed_op(r, OP_reshape, y, NULL, 0, &t)}, 1);
  t.rank = 1;
  y = op(r, OP_reduce_sum, (Val[]){typed_op(r, OP_reshape, y, NULL, 0, &t)}, 1);
  return op(r, OP_mul, (Val[]){typed_op(r, OP_reshape, y, NULL, 0, &one), scalar(r, 1 / elements)}, 2);
}

// A graph "r" with inputs x f32[B,5,4] and rows i32[B], B = 1..3, and one or two outputs. Dead values removed.
static inline Graph *random_of(Module *m, uint32_t seed, bool objective) {
  m->dim[m->ndim++] = (RuntimeDim){"B", 1, 3};
  Gen r = {.g = graph_new(m, "r"), .state = seed * UINT64_C(0x9e3779b97f4a7c15)};
  Type x = {.dtype = DT_F32, .rank = 3, .dim = {{0, 1, 0}, DIM(5), DIM(4)}};
  Type i = {.dtype = DT_I32, .rank = 1, .dim = {{0, 1, 0}}};
  r.pool[r.n++] = graph_input(r.g, "x", &x, NO_SPAN);
  r.ids = graph_input(r.g, "rows", &i, NO_SPAN);
  if (objective) {
    Type noise = {.dtype = DT_I32, .rank = 1, .dim = {DIM(4)}};
    r.noise = graph_input(r.g, "noise", &noise, NO_SPAN);
    r.pool[0] = op(&r, OP_add, (Val[]){r.pool[0], rows_of_batch(&r, weight(&r, 3, 3, 5, 4))}, 2);
  }
  for (uint32_t k = 0, steps = 3 + draw(&r, objective ? 9 : 14); k < steps; k++) {
    Val y = objective && draw(&r, 5) < 3 ? grow_more(&r, pick(&r)) : grow(&r, pick(&r));
    Buf why = {0};
    diag_print(m->diag, &why, false);
    cr_assert(y.id && !m->diag->errors, "seed %u: the generator made an illegal graph\n%s", seed, why.s ? why.s : "");
    buf_free(&why);
    r.pool[r.n++] = y;
  }
  if (objective) {
    Val z = draw(&r, 2) ? sum_of_squares(&r, pick(&r)) : NO_VAL, y = sum_of_squares(&r, r.pool[r.n - 1]);
    graph_output(r.g, "loss", z.id ? op(&r, OP_add, (Val[]){y, z}, 2) : y, NO_SPAN);
    r.g->objective = true;
  } else {
    graph_output(r.g, "y", r.pool[r.n - 1], NO_SPAN);
    if (draw(&r, 2)) graph_output(r.g, "z", pick(&r), NO_SPAN);
  }
  graph_dce(r.g);
  graph_compact(r.g);
  return r.g;
}

static inline Graph *random_graph(Module *m, uint32_t seed) {
  return random_of(m, seed, false);
}
// An objective with inputs x and rows as above and noise i32[4]: the sum of squares of what such a graph gives. A
// weight f32[3,5,4] is added to x, so that its gradient is that by x.
static inline Graph *random_objective(Module *m, uint32_t seed) {
  return random_of(m, seed, true);
}

#endif
