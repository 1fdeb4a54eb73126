// lower_map.c: map groups, and the vector code of the elementwise operators (emit_<name> of ops.def).
//
// A map computes every element of its root on its own: elementwise chains, rows chosen by data (embedding, gather),
// copies of views, patches of an image. Three shapes of kernel:
//   * elementwise and gathers: axes joined where all operands allow; par over rows, vectors over the last axis;
//   * a copy (a view with a group of its own): the same over the axes that result and source have in common;
//   * patchify: loops b, py, px, c, y and vectors over x, elementwise members behind it included.
// Columns that some operand does not store side by side (a transpose) are done lane by lane.
#include "lower_attention_grad.h"
#include "lower_norm_sums.h"
#include "lower_depthwise.h"
#include "lower_draw.h"
#include "lower_pack.h"
#include "lower_rotate.h"
#include "lower_count.h"
#include "lower_rows_add.h"

#include "runtime/random.h"

#include <math.h>
#include <string.h>

/* elementwise operators ------------------------------------------------------------------------------- */
#include "kmath.h"

static bool is_mask(const Kernel *k, KVal v) {
  return k->ins.at[v.id].dtype == DT_BOOL;
}
static KVal number_like(Kernel *k, double v, KVal like) {
  return kb_const(k, v, k->ins.at[like.id].dtype, k->ins.at[like.id].lanes);
}

#define BINARY(name, op)                                                                                               \
  KVal emit_##name(Kernel *k, const Value *v, const KVal *arg) {                                                       \
    (void)v;                                                                                                           \
    return kb_op2(k, op, arg[0], arg[1]);                                                                              \
  }
BINARY(add, K_add)
BINARY(sub, K_sub)
BINARY(mul, K_mul)
BINARY(div, K_div)
BINARY(maximum, K_max)
BINARY(minimum, K_min)
BINARY(logical_and, K_and)
BINARY(logical_or, K_or)
#undef BINARY

#define UNARY(name, call)                                                                                              \
  KVal emit_##name(Kernel *k, const Value *v, const KVal *arg) {                                                       \
    (void)v;                                                                                                           \
    return call;                                                                                                       \
  }
UNARY(neg, k->ins.at[arg[0].id].dtype == DT_F32 ? kb_op2(k, K_mul, number_like(k, -1, arg[0]), arg[0])
                                                : kb_op2(k, K_sub, number_like(k, 0, arg[0]), arg[0]))
UNARY(exp, kmath_exp(k, arg[0]))
UNARY(log, kmath_log(k, arg[0]))
UNARY(sqrt, kb_op1(k, K_sqrt, arg[0]))
UNARY(tanh, kmath_tanh(k, arg[0]))
UNARY(sin, kmath_sin(k, arg[0]))
UNARY(cos, kmath_cos(k, arg[0]))
UNARY(abs, kb_op2(k, K_max, arg[0], kb_op2(k, K_sub, number_like(k, 0, arg[0]), arg[0])))
UNARY(floor, kmath_floor(k, arg[0]))
UNARY(sigmoid, kmath_sigmoid(k, arg[0]))
UNARY(relu, kb_op2(k, K_max, number_like(k, 0, arg[0]), arg[0])) // keeps a NaN
UNARY(gelu, kmath_gelu(k, arg[0]))
UNARY(gelu_slope, kmath_gelu_slope(k, arg[0]))
UNARY(gelu_tanh, kmath_gelu_tanh(k, arg[0]))
UNARY(quick_gelu, kmath_quick_gelu(k, arg[0]))
UNARY(swish, kmath_swish(k, arg[0]))
UNARY(logical_not, kb_op1(k, K_not, arg[0]))
#undef UNARY

KVal emit_none(Kernel *k, const Value *v, const KVal *arg) {
  (void)arg;
  ICE("kernel %s: %s is not elementwise", k->name, op_info[v->op].name);
}

static KVal not_zero(Kernel *k, KVal x) {
  return kb_op1(k, K_not, kb_op2(k, K_eq, x, number_like(k, 0, x)));
}

KVal emit_compare(Kernel *k, const Value *v, const KVal *arg) {
  static const struct {
    const char *name;
    KOp op;
    bool swap, negate;
  } table[] = {{"lt", K_lt, false, false}, {"le", K_le, false, false}, {"eq", K_eq, false, false},
               {"ne", K_eq, false, true},  {"gt", K_lt, true, false},  {"ge", K_le, true, false}};
  const char *cmp = value_str(v, A_cmp);
  KVal a = arg[0], b = arg[1];
  if (is_mask(k, a)) a = kb_cvt(k, a, DT_I32);
  if (is_mask(k, b)) b = kb_cvt(k, b, DT_I32);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    if (!cmp || strcmp(cmp, table[i].name) != 0) continue;
    KVal m = table[i].swap ? kb_op2(k, table[i].op, b, a) : kb_op2(k, table[i].op, a, b);
    return table[i].negate ? kb_op1(k, K_not, m) : m;
  }
  ICE("kernel %s: compare without a comparison", k->name);
}

KVal emit_select(Kernel *k, const Value *v, const KVal *arg) {
  (void)v;
  if (!is_mask(k, arg[1])) return kb_op3(k, K_select, arg[0], arg[1], arg[2]);
  KVal no = kb_op1(k, K_not, arg[0]);
  return kb_op2(k, K_or, kb_op2(k, K_and, arg[0], arg[1]), kb_op2(k, K_and, no, arg[2]));
}

KVal emit_cast(Kernel *k, const Value *v, const KVal *arg) {
  DType to = dtype_info[v->type.dtype].computes, from = k->ins.at[arg[0].id].dtype;
  if (to == from) return arg[0]; // the store rounds to a narrow type
  return to == DT_BOOL ? not_zero(k, arg[0]) : kb_cvt(k, arg[0], to);
}

// Kept are the elements whose number is not below the rate: numbers of 24 bits, compared as integers.
KVal emit_dropout(Kernel *k, const Value *v, const KVal *arg) {
  double rate = value_float(v, A_rate, 0);
  uint32_t site = SY_RANDOM_SITE + (uint32_t)value_int(v, A_site, 0);
  KVal i = kb_op2(k, K_add, arg[5], arg[6]);
  KVal word = kmath_random(k, &arg[1], number_like(k, site, i), arg[4], i);
  KVal dropped =
      kb_op2(k, K_lt, kb_op2(k, K_shr, word, number_like(k, 8, word)), number_like(k, ceil(rate * 0x1p24), word));
  KVal kept = kb_op2(k, K_mul, arg[0], number_like(k, 1 / (1 - rate), arg[0]));
  return kb_op3(k, K_select, dropped, number_like(k, 0, arg[0]), kept);
}

EmitFn *const lower_emit[OP_COUNT] = {
    [OP_none] = emit_none,
#define GOP(name, nargs, required, optional, flags, shape, fold, grad, emit, call, doc) [OP_##name] = emit_##emit,
#include "ir/ops.def"
#undef GOP
};

/* elementwise groups and gathers ---------------------------------------------------------------------- */
typedef struct Map {
  KIdx at[LOWER_AXES]; // rows of the current point
  bool vectors;
} Map;

static void emit_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const Map *m = ud;
  Point p = {.lanes = lanes, .n = n};
  for (int d = 0; d + 1 < lo->rank; d++) p.at[d] = m->at[d];
  p.at[lo->rank - 1] = c;
  lower_store(lo, &p, lower_element(lo, &p, lo->grp->root));
}

static void emit_row(Lowering *lo, KIdx *at, void *ud) {
  Map *m = ud;
  memcpy(m->at, at, sizeof m->at);
  lower_data(lo, at);
  const Axis *a = &lo->axis[lo->rank - 1];
  for (int i = 0; i < a->n; i++) lower_columns(lo, &a->range[i], m->vectors, 1, NULL, 0, emit_vector, m);
}

// All axes joined into one: tasks are blocks of it.
static void emit_flat(Lowering *lo, Map *m) {
  const Range *r = &lo->axis[0].range[0];
  lower_data(lo, m->at);
  int64_t most = lo->t->cost->task_elements;
  if (r->bound <= 2 * most || lo->axis[0].n != 1) {
    for (int i = 0; i < lo->axis[0].n; i++)
      lower_columns(lo, &lo->axis[0].range[i], m->vectors, 1, NULL, 0, emit_vector, m);
    return;
  }
  KIdx block = ki_var(kb_par(lo->k, "t", kbound(ki_const(0)), kbound(r->len), most));
  lower_columns(lo, r, m->vectors, 1, &block, most, emit_vector, m);
  kb_end(lo->k);
}

static double work_of(const Lowering *lo) { // rough operations per element
  double w = 1;
  for (size_t i = 0; i < lo->grp->member.n; i++) {
    Op op = graph_value(lo->g, lo->grp->member.at[i])->op;
    w += lower_emit[op] == emit_none || op == OP_add || op == OP_mul || op == OP_sub ? 1 : 12;
  }
  return w;
}

static bool finish_map(Lowering *lo, double elements) {
  const Value *root = graph_value(lo->g, lo->grp->root);
  Buf b = {0};
  type_print(&b, lo->m, &root->type);
  const char *comment = arena_printf(lo->arena, "%s %s", op_info[root->op].name, b.s);
  buf_free(&b);
  const char *name =
      arena_printf(lo->arena, op_info[root->op].flags & F_VIEW ? "copy_%s" : "map_%s", op_info[root->op].name);
  return lower_finish(lo, elements * work_of(lo), 4 * elements * (double)(1 + lo->src.n), name, comment);
}

static bool emit_map(Lowering *lo) {
  bool data = false;
  for (size_t i = 0; i < lo->src.n; i++) data = data || lo->src.at[i].data.id;
  lower_collapse(lo, data ? lo->rank - 1 : lo->rank, INT64_MAX);
  Map m = {.vectors = lower_vectors(lo)};
  int64_t most = lo->t->cost->task_elements;
  double elements = (double)lo->axis[lo->rank - 1].extent;
  if (lo->rank == 1) {
    emit_flat(lo, &m);
    elements = elements > 2 * (double)most ? (double)most : elements;
  } else {
    int64_t rows = most / lo->axis[lo->rank - 1].extent;
    lower_rows(lo, rows, emit_row, &m);
    elements *= (double)(rows < 1 ? 1 : rows);
  }
  return finish_map(lo, elements);
}

/* copies of views ------------------------------------------------------------------------------------- */
// The axes of one side of a reshape, outermost first; k*B as B and then k.
typedef struct Side {
  Axis axis[2 * MAX_RANK];
  int64_t stride[2 * MAX_RANK];
  bool runtime[2 * MAX_RANK];
  int n;
} Side;

static Axis constant_axis(int64_t n) {
  return (Axis){1, {{0, ki_const(n), n, true}}, n};
}

static Side side_of(Lowering *lo, const Type *t, const int64_t *stride) {
  Side s = {.n = 0};
  for (int d = 0; d < t->rank; d++) {
    Axis whole = lower_axis(lo, t, d, false);
    int64_t k = whole.n == 1 && t->dim[d].k > 1 && t->dim[d].c == 0 ? t->dim[d].k : 1;
    bool runtime = whole.n != 1 || !whole.range[0].fixed;
    if (k > 1) {
      const RuntimeDim *dim = &lo->m->dim[t->dim[d].sym];
      whole.range[0].len = lower_dim(lo, (Dim){0, 1, t->dim[d].sym});
      whole.range[0].bound = whole.extent = dim->hi;
    }
    s.axis[s.n] = whole, s.runtime[s.n] = runtime, s.stride[s.n++] = stride[d] * k;
    if (k > 1) s.axis[s.n] = constant_axis(k), s.runtime[s.n] = false, s.stride[s.n++] = stride[d];
  }
  return s;
}

// Axes of a reshape that both sides share: each run of the finer side. False where the sides cut the elements
// differently.
SY_MUST_USE static bool common_axes(Lowering *lo, const Type *from, const int64_t *fs, const Type *to,
                                    const int64_t *ts, Source *src) {
  Side f = side_of(lo, from, fs), t = side_of(lo, to, ts);
  Axis axis[4 * MAX_RANK];
  int64_t a[4 * MAX_RANK], b[4 * MAX_RANK];
  int n = 0, i = f.n - 1, j = t.n - 1;
  int64_t have = 0, want = 0, sa = 0, sb = 0; // what is left of the current axis of each side, and its stride
  for (;;) {
    while (!have && i >= 0) have = f.axis[i].extent, sa = f.stride[i], have = have == 1 ? (i--, 0) : have;
    while (!want && j >= 0) want = t.axis[j].extent, sb = t.stride[j], want = want == 1 ? (j--, 0) : want;
    if (!have || !want) break;
    while (have % want && want % have) { // rows of 6 into rows of 4: the elements of both lie one behind the other
      if (i > 0 && f.stride[i - 1] == sa * have && !f.runtime[i - 1] && !f.runtime[i])
        have *= f.axis[--i].extent;
      else if (j > 0 && t.stride[j - 1] == sb * want && !t.runtime[j - 1] && !t.runtime[j])
        want *= t.axis[--j].extent;
      else
        return false;
    }
    int64_t e = have < want ? have : want;
    if (n == 2 * MAX_RANK) return false;
    bool runtime = t.runtime[j] || f.runtime[i];
    if (runtime && (have != want || have != t.axis[j].extent)) return false;
    axis[n] = runtime ? t.axis[j] : constant_axis(e);
    a[n] = sa;
    b[n++] = sb;
    sa *= e, sb *= e, have /= e, want /= e;
    if (have == 1) have = 0, i--;
    if (want == 1) want = 0, j--;
  }
  if (have || want || n > LOWER_AXES) return false;
  lo->rank = n ? n : 1;
  if (!n) axis[0] = constant_axis(1), a[0] = b[0] = 1, n = 1;
  for (int d = 0; d < n; d++) {
    lo->axis[d] = axis[n - 1 - d];
    src->stride[d] = a[n - 1 - d];
    lo->root.stride[d] = b[n - 1 - d];
  }
  return true;
}

static bool lower_copy(Lowering *lo) {
  const Value *v = graph_value(lo->g, lo->grp->root);
  const Type *from = &graph_value(lo->g, v->args[0])->type, *to = &v->type;
  int64_t fs[MAX_RANK], ts[MAX_RANK];
  Source s;
  lower_domain(lo, to);
  if (!lower_operand(lo, v->args[0], "x", &s, fs) || !lower_root(lo)) return false;
  int64_t skip = 0;
  const Attr *perm = value_attr(v, A_perm);
  int axis = (int)value_int(v, A_axis, 0);
  switch (v->op) {
  case OP_transpose:
    for (int d = 0; d < to->rank; d++) s.stride[d] = fs[perm->v[d]];
    break;
  case OP_slice:
    for (int d = 0; d < to->rank; d++) s.stride[d] = fs[d];
    skip = fs[axis] * value_int(v, A_start, 0);
    break;
  case OP_reshape:
    memcpy(ts, lo->root.stride, sizeof ts);
    if (!common_axes(lo, from, fs, to, ts, &s))
      return lower_fail(lo, lo->grp->root, "this reshape of padded rows has no kernel");
    break;
  case OP_unpack:
    if (pack_form(v).kind == PACK_panels) return lower_unpack(lo, &s, fs);
    memcpy(s.stride, fs, sizeof s.stride);
    break;
  default: // broadcast, retag
    for (int d = 0; d < from->rank; d++)
      if (type_extent(lo->m, from, d) != 1) s.stride[to->rank - from->rank + d] = fs[d];
  }
  if (skip && !s.constant) lo->out->arg[s.buf.id - 1].offset += skip;
  VEC_PUSH(lo->arena, lo->src, s);
  return emit_map(lo);
}

/* patches --------------------------------------------------------------------------------------------- */
typedef struct Patches {
  Val member;
  Source image;
  int64_t sb, sc, sy, sx; // strides of the image
  int64_t channels, across, side;
  KIdx b, py, px, c, y;
  bool vectors;
} Patches;

static void emit_patch_vector(Lowering *lo, KIdx x, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const Patches *p = ud;
  Kernel *k = lo->k;
  KIdx row = ki_add(ki_mul(p->py, p->side), p->y), column = ki_add(ki_mul(p->px, p->side), x);
  KIdx at = ki_add(ki_add(ki_mul(p->b, p->sb), ki_mul(p->c, p->sc)), ki_add(ki_mul(row, p->sy), ki_mul(column, p->sx)));
  Point q = {.lanes = lanes, .n = n, .leaf = p->member};
  q.at[0] = p->b;
  q.at[1] = ki_add(ki_mul(p->py, p->across), p->px);
  q.at[2] = ki_add(ki_add(ki_mul(p->c, p->side * p->side), ki_mul(p->y, p->side)), x);
  q.leaf_value = p->image.constant ? kb_const(k, p->image.value, DT_F32, lanes)
                                   : kb_load(k, p->image.buf, at, lanes, lanes == 1 ? 1 : n, NULL);
  lower_store(lo, &q, lower_element(lo, &q, lo->grp->root));
}

static bool lower_patchify(Lowering *lo, Val member) {
  const Value *v = graph_value(lo->g, member);
  const Type *t = &graph_value(lo->g, v->args[0])->type;
  Patches p = {.member = member, .side = value_int(v, A_patch, 1)};
  int64_t stride[MAX_RANK];
  lower_domain(lo, &v->type);
  if (!lower_operand(lo, v->args[0], "image", &p.image, stride)) return false;
  Group rest = *lo->grp; // the other members' operands
  rest.anchor = member;
  const Group *all = lo->grp;
  lo->grp = &rest;
  bool ok = lower_sources(lo) && lower_root(lo);
  lo->grp = all;
  if (!ok) return false;
  p.sb = stride[0], p.sc = stride[1], p.sy = stride[2], p.sx = stride[3];
  p.channels = type_extent(lo->m, t, 1);
  p.across = type_extent(lo->m, t, 3) / p.side;
  int64_t down = type_extent(lo->m, t, 2) / p.side;
  Kernel *k = lo->k;
  p.b = ki_var(kb_par(k, "b", kbound(ki_const(0)), kbound(lo->axis[0].range[0].len), 1));
  p.py = ki_var(kb_par(k, "py", kbound(ki_const(0)), kbound(ki_const(down)), 1));
  p.px = ki_var(kb_loop(k, "px", kbound(ki_const(0)), kbound(ki_const(p.across)), 1));
  p.c = ki_var(kb_loop(k, "c", kbound(ki_const(0)), kbound(ki_const(p.channels)), 1));
  p.y = ki_var(kb_loop(k, "y", kbound(ki_const(0)), kbound(ki_const(p.side)), 1));
  p.vectors = lower_vectors(lo) && p.sx == 1;
  Range x = {0, ki_const(p.side), p.side, true};
  lower_columns(lo, &x, p.vectors, 1, NULL, 0, emit_patch_vector, &p);
  for (int i = 0; i < 5; i++) kb_end(k);
  return finish_map(lo, (double)(p.across * p.channels * p.side * p.side));
}

/* windows --------------------------------------------------------------------------------------------- */
typedef struct Windows {
  Val member;
  Source image;
  int64_t stride[MAX_RANK], kernel[2], step[2], apart[2], channels;
  KIdx at[3], y, x; // row of the result; row and column of the window
} Windows;

static void emit_window_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const Windows *w = ud;
  KIdx row = ki_add(ki_mul(w->at[1], w->step[0]), ki_mul(w->y, w->apart[0]));
  KIdx column = ki_add(ki_mul(w->at[2], w->step[1]), ki_mul(w->x, w->apart[1]));
  KIdx from = ki_add(ki_mul(w->at[0], w->stride[0]), ki_mul(row, w->stride[1]));
  from = ki_add(from, ki_add(ki_mul(column, w->stride[2]), ki_mul(c, w->stride[3])));
  Point p = {.lanes = lanes, .n = n, .leaf = w->member};
  for (int d = 0; d < 3; d++) p.at[d] = w->at[d];
  p.at[3] = ki_add(ki_mul(ki_add(ki_mul(w->y, w->kernel[1]), w->x), w->channels), c);
  p.leaf_value = w->image.constant ? kb_const(lo->k, w->image.value, DT_F32, lanes)
                                   : kb_load(lo->k, w->image.buf, from, lanes, lanes == 1 ? 1 : n, NULL);
  lower_store(lo, &p, lower_element(lo, &p, lo->grp->root));
}

static bool lower_windows(Lowering *lo, Val member) {
  const Value *v = graph_value(lo->g, member);
  const int64_t *kernel = value_attr(v, A_kernel)->v, *step = value_attr(v, A_stride)->v, *apart = dilation_of(v);
  Windows w = {.member = member,
               .kernel = {kernel[0], kernel[1]},
               .step = {step[0], step[1]},
               .apart = {apart[0], apart[1]},
               .channels = graph_value(lo->g, v->args[0])->type.dim[3].c};
  lower_domain(lo, &v->type);
  if (!lower_operand(lo, v->args[0], "image", &w.image, w.stride) || !lower_sources(lo) || !lower_root(lo))
    return false;
  Kernel *k = lo->k;
  w.at[0] = ki_var(kb_par(k, "b", kbound(ki_const(0)), kbound(lo->axis[0].range[0].len), 1));
  w.at[1] = ki_var(kb_par(k, "oy", kbound(ki_const(0)), kbound(ki_const(lo->axis[1].extent)), 1));
  w.at[2] = ki_var(kb_loop(k, "ox", kbound(ki_const(0)), kbound(ki_const(lo->axis[2].extent)), 1));
  w.y = ki_var(kb_loop(k, "y", kbound(ki_const(0)), kbound(ki_const(kernel[0])), 1));
  w.x = ki_var(kb_loop(k, "x", kbound(ki_const(0)), kbound(ki_const(kernel[1])), 1));
  Range c = {0, ki_const(w.channels), w.channels, true};
  lower_columns(lo, &c, lower_vectors(lo) && w.stride[3] == 1, 1, NULL, 0, emit_window_vector, &w);
  for (int i = 0; i < 5; i++) kb_end(k);
  return finish_map(lo, (double)(lo->axis[2].extent * lo->axis[3].extent));
}

/* rows put into a state ------------------------------------------------------------------------------- */
typedef struct PutRows {
  const Source *rows;
  Val member;
  Source at;
  int64_t start; // in rows of the state
  int64_t state_row, most;
  KIdx to; // element of the state: first column of the row
  KIdx row[2];
} PutRows;

static void put_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const PutRows *p = ud;
  Point q = {.lanes = lanes, .n = n, .at = {p->row[0], p->row[1], c}};
  kb_store(lo->k, lo->root.buf, ki_add(p->to, c), lower_load(lo, p->rows, &q), lanes == 1 ? 1 : n);
}

static void put_row(Lowering *lo, KIdx *at, void *ud) {
  PutRows *p = ud;
  KVar first = kb_ldidx(lo->k, p->at.buf, ki_mul(at[0], p->at.stride[0]), 0, p->most, "first");
  p->row[0] = at[0], p->row[1] = at[1];
  p->to = ki_add(ki_mul(at[0], lo->root.stride[0]),
                 ki_mul(ki_addc(ki_add(ki_var(first), at[1]), p->start), lo->root.stride[1]));
  const Axis *columns = &lo->axis[2];
  bool vectors = lower_vectors(lo);
  for (int s = 0; s < columns->n; s++) lower_columns(lo, &columns->range[s], vectors, 1, NULL, 0, put_vector, p);
}

// The domain is that of the new rows; the state is written, never read.
static bool lower_put_rows(Lowering *lo, Val member) {
  const Value *v = graph_value(lo->g, member);
  const Type *rows = &graph_value(lo->g, v->args[1])->type;
  PutRows p = {.member = member, .start = value_int(v, A_start, 0)};
  Source s;
  int64_t stride[MAX_RANK];
  lower_domain(lo, rows);
  if (!lower_operand(lo, v->args[1], "rows", &s, stride)) return false;
  for (int d = 0; d < 3; d++) s.stride[d] = type_extent(lo->m, rows, d) == 1 ? 0 : stride[d];
  VEC_PUSH(lo->arena, lo->src, s);
  if (!lower_operand(lo, v->args[2], "at", &p.at, stride)) return false;
  if (p.at.constant) return lower_fail(lo, member, "constant positions");
  p.at.stride[0] = stride[0];
  Dim limit = lower_row_count(lo, &v->type, 1);
  limit.c -= p.start + rows->dim[1].c - 1; // the last of the new rows must have a place
  if (!lower_ids(lo, member, v->args[2], p.at.buf, stride, limit)) return false;
  if (!lower_root(lo)) return false;
  for (int d = 0; d < 3; d++) { // lower_root drops strides of axes of extent 1, by the state's type
    Access a = access_resolve(lo->g, lo->grp->root);
    lo->root.stride[d] = a.stride[d];
  }
  p.rows = &lo->src.at[0];
  p.most = type_extent(lo->m, &v->type, 1) - p.start - rows->dim[1].c;
  lower_rows(lo, lo->t->cost->task_elements / lo->axis[2].extent, put_row, &p);
  return finish_map(lo, (double)(lo->axis[1].extent * lo->axis[2].extent));
}

// Operators whose kernels go through the elements in an order of their own (F_APART).
static const struct {
  Op op;
  bool (*lower)(Lowering *lo, Val member);
} apart[] = {{OP_patchify, lower_patchify},
             {OP_windows, lower_windows},
             {OP_depthwise, lower_depthwise},
             {OP_put_rows, lower_put_rows},
             {OP_pack, lower_pack},
             {OP_rows_add, lower_rows_add},
             {OP_running_count, lower_running_count},
             {OP_draw, lower_draw},
             {OP_rotate, lower_rotate},
             {OP_attention_grad, lower_attention_grad},
             {OP_layer_norm_sums, lower_norm_sums}};

bool lower_map(Arena *a, const Graph *g, const Group *grp, const Target *t, Lowered *out) {
  Lowering lo = lower_begin(a, g, grp, t, out, "map");
  if (op_info[graph_value(g, grp->root)->op].flags & F_VIEW) return lower_copy(&lo);
  for (size_t i = 0; i < grp->member.n; i++)
    for (size_t k = 0; k < sizeof apart / sizeof *apart; k++)
      if (graph_value(g, grp->member.at[i])->op == apart[k].op) return apart[k].lower(&lo, grp->member.at[i]);
  lower_domain(&lo, &graph_value(g, grp->root)->type);
  if (!lower_sources(&lo) || !lower_root(&lo)) return false;
  return emit_map(&lo);
}
