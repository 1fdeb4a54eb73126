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
  Val ids; // i32[B] below 3
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

static Val attention(Gen *r, Val x) {
  int64_t d = columns(r, x);
  Val y = linear(r, x, 3 * d);
  Val args[] = {slice(r, y, 2, 0, d), slice(r, y, 2, d, d), slice(r, y, 2, 2 * d, d)};
  if (draw(r, 4) == 0) args[0] = linear(r, x, d);
  Attr attr[] = {attr_int(A_heads, 2), attr_float(A_scale, 0.5), attr_str(A_where, "(le key query)")};
  return graph_add(r->g, OP_attention, args, 3, attr, draw(r, 2) ? 3 : 2, NO_SPAN);
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

// A graph "r" with inputs x f32[B,5,4] and rows i32[B], B = 1..3, and one or two outputs. Dead values removed.
static inline Graph *random_graph(Module *m, uint32_t seed) {
  m->dim[m->ndim++] = (RuntimeDim){"B", 1, 3};
  Gen r = {.g = graph_new(m, "r"), .state = seed * UINT64_C(0x9e3779b97f4a7c15)};
  Type x = {.dtype = DT_F32, .rank = 3, .dim = {{0, 1, 0}, DIM(5), DIM(4)}};
  Type i = {.dtype = DT_I32, .rank = 1, .dim = {{0, 1, 0}}};
  r.pool[r.n++] = graph_input(r.g, "x", &x, NO_SPAN);
  r.ids = graph_input(r.g, "rows", &i, NO_SPAN);
  for (uint32_t k = 0, steps = 3 + draw(&r, 14); k < steps; k++) {
    Val y = grow(&r, pick(&r));
    Buf why = {0};
    diag_print(m->diag, &why, false);
    cr_assert(y.id && !m->diag->errors, "seed %u: the generator made an illegal graph\n%s", seed, why.s ? why.s : "");
    buf_free(&why);
    r.pool[r.n++] = y;
  }
  graph_output(r.g, "y", r.pool[r.n - 1], NO_SPAN);
  if (draw(&r, 2)) graph_output(r.g, "z", pick(&r), NO_SPAN);
  graph_dce(r.g);
  graph_compact(r.g);
  return r.g;
}

#endif
