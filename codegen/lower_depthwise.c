// lower_depthwise.c: depthwise convolution, y[b,i,j,c] = bias[c] + sum x[b,i*sh+u*dh,j*sw+v*dw,c] w[u,v,c], and the
// elementwise operators behind it.
//
// One task is one row of the result. Its columns go by in tiles of a few, and the channels of a tile in vectors, so
// that memory is read in runs; the sums of a vector are in registers. A row of the kernel is one step of a loop: each
// of its taps is loaded once, and each element of x under the tile once, so that a tile of 4 columns under a 5 x 5
// kernel takes 8 + 5 loads for 20 fma. The sum of an element is in the order of the kernel, whatever tile it falls
// into.
//
//   loop j step 4: loop c step 8: acc0..acc3 = bias[c]
//             loop u: acc0 += x[.., u, j + 0] w[u, 0]; acc1 += x[.., u, j + 1] w[u, 0]; ...
//             y[.., j..j+3, c] = swish(acc0..acc3)
#include "lower_depthwise.h"

#include <string.h>

enum { MOST_COLUMNS = 8, MOST_PLACES = 32 }; // of a tile; places: columns of x under it

typedef struct Depthwise {
  Val member;
  const Value *v;
  Source x, kernel;
  int64_t xs[MAX_RANK], ks[MAX_RANK]; // strides of their own axes
  int64_t side[2], step[2], apart[2];
  bool vectors;
  KIdx b, y;         // row of the result
  KIdx column;       // first of the tile
  int columns, most; // of it, of all tiles
  KIdx c;            // first channel of the vector at hand
  uint32_t lanes;
  int64_t n;
} Depthwise;

static KVal load(Lowering *lo, const Depthwise *d, const Source *s, KIdx at) {
  if (s->constant) return kb_const(lo->k, s->value, DT_F32, d->lanes);
  return kb_load(lo->k, s->buf, at, d->lanes, d->lanes == 1 ? 1 : d->n, NULL);
}

static Point point_of(const Depthwise *d, KIdx column) {
  return (Point){.at = {d->b, d->y, column, d->c}, .lanes = d->lanes, .n = d->n};
}

// Addresses of row u of the kernel and of the row of x under it, at the first tap and column.
typedef struct KernelRow {
  KIdx x, w;
} KernelRow;

static KernelRow kernel_row(const Depthwise *d, KIdx u) {
  KIdx row = ki_add(ki_mul(d->b, d->xs[0]), ki_mul(ki_add(ki_mul(d->y, d->step[0]), ki_mul(u, d->apart[0])), d->xs[1]));
  KIdx column = ki_add(ki_mul(d->column, d->step[1] * d->xs[2]), ki_mul(d->c, d->xs[3]));
  return (KernelRow){ki_add(row, column), ki_add(ki_mul(u, d->ks[0]), ki_mul(d->c, d->ks[2]))};
}

// All taps of a row of the kernel, one after the other; an element of x that several columns see is loaded once.
static void add_few_taps(Lowering *lo, const Depthwise *d, KernelRow row, const KVal *acc) {
  KVal x[MOST_PLACES] = {{0}};
  for (int64_t tap = 0; tap < d->side[1]; tap++) {
    KVal w = load(lo, d, &d->kernel, ki_addc(row.w, tap * d->ks[1]));
    for (int j = 0; j < d->columns; j++) {
      int64_t place = j * d->step[1] + tap * d->apart[1];
      KVal *value = &x[place];
      if (!value->id) *value = load(lo, d, &d->x, ki_addc(row.x, place * d->xs[2]));
      kb_set(lo->k, acc[j], kb_op3(lo->k, K_fma, *value, w, acc[j]));
    }
  }
}

// The same for a row that is too long to be written out.
static void add_many_taps(Lowering *lo, const Depthwise *d, KernelRow row, const KVal *acc) {
  KIdx tap = ki_var(kb_loop(lo->k, "v", kbound(ki_const(0)), kbound(ki_const(d->side[1])), 1));
  KVal w = load(lo, d, &d->kernel, ki_add(row.w, ki_mul(tap, d->ks[1])));
  for (int j = 0; j < d->columns; j++) {
    KIdx place = ki_addc(ki_mul(tap, d->apart[1]), j * d->step[1]);
    KVal x = load(lo, d, &d->x, ki_add(row.x, ki_mul(place, d->xs[2])));
    kb_set(lo->k, acc[j], kb_op3(lo->k, K_fma, x, w, acc[j]));
  }
  kb_end(lo->k);
}

// One vector of channels of the tile.
static void emit_channels(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  Depthwise *d = ud;
  KVal acc[MOST_COLUMNS];
  d->c = c, d->lanes = lanes, d->n = n;
  for (int j = 0; j < d->columns; j++) {
    Point p = point_of(d, ki_addc(d->column, j));
    KVal start = d->v->nargs == 3 ? lower_element(lo, &p, d->v->args[2]) : kb_const(lo->k, 0, DT_F32, lanes);
    acc[j] = kb_var(lo->k, start, "acc");
  }
  KIdx u = ki_var(kb_loop(lo->k, "u", kbound(ki_const(0)), kbound(ki_const(d->side[0])), 1));
  bool few = (d->most - 1) * d->step[1] + (d->side[1] - 1) * d->apart[1] < MOST_PLACES;
  (few ? add_few_taps : add_many_taps)(lo, d, kernel_row(d, u), acc);
  kb_end(lo->k);
  for (int j = 0; j < d->columns; j++) {
    Point p = point_of(d, ki_addc(d->column, j));
    p.leaf = d->member, p.leaf_value = acc[j];
    lower_store(lo, &p, lower_element(lo, &p, lo->grp->root));
  }
}

static void emit_tile(Lowering *lo, KIdx column, int columns, bool tail, void *ud) {
  (void)tail;
  Depthwise *d = ud;
  d->column = column, d->columns = columns;
  lower_columns(lo, &lo->axis[3].range[0], d->vectors, 1, NULL, 0, emit_channels, d);
}

static bool finish(Lowering *lo, const Depthwise *d) {
  int64_t kh = d->side[0], kw = d->side[1];
  double row = (double)(lo->axis[2].extent * lo->axis[3].extent);
  Buf b = {0};
  type_print(&b, lo->m, &d->v->type);
  const char *about = arena_printf(lo->arena, "depthwise %s, kernel %lld x %lld, stride %lld x %lld", b.s,
                                   (long long)kh, (long long)kw, (long long)d->step[0], (long long)d->step[1]);
  buf_free(&b);
  const char *name =
      arena_printf(lo->arena, "depthwise_%lldx%lld_c%lld", (long long)kh, (long long)kw, (long long)lo->axis[3].extent);
  return lower_finish(lo, 2 * (double)(kh * kw) * row, 4 * row * (1 + (double)(d->step[0] * d->step[1])), name, about);
}

bool lower_depthwise(Lowering *lo, Val member) {
  const Value *v = graph_value(lo->g, member);
  const int64_t *step = value_attr(v, A_stride)->v, *apart = dilation_of(v);
  const Type *kernel = &graph_value(lo->g, v->args[1])->type;
  Depthwise d = {.member = member,
                 .v = v,
                 .side = {kernel->dim[0].c, kernel->dim[1].c},
                 .step = {step[0], step[1]},
                 .apart = {apart[0], apart[1]},
                 .most = (int)lo->t->cost->depthwise_columns};
  CHECK(d.most <= MOST_COLUMNS);
  lower_domain(lo, &v->type);
  if (!lower_operand(lo, v->args[0], "x", &d.x, d.xs) || !lower_operand(lo, v->args[1], "w", &d.kernel, d.ks))
    return false;
  if (v->nargs == 3 && !lower_source(lo, v->args[2], &v->type, "bias")) return false;
  if (!lower_sources(lo) || !lower_root(lo)) return false;
  bool one = lo->axis[3].extent == 1;
  d.vectors = lower_vectors(lo) && (d.xs[3] == 1 || d.x.constant || one) && (d.ks[2] == 1 || d.kernel.constant || one);
  d.b = ki_var(kb_par(lo->k, "b", kbound(ki_const(0)), kbound(lo->axis[0].range[0].len), 1));
  d.y = ki_var(kb_par(lo->k, "i", kbound(ki_const(0)), kbound(ki_const(lo->axis[1].extent)), 1));
  lower_tiles(lo, &lo->axis[2].range[0], d.most, NULL, 0, emit_tile, &d);
  kb_end(lo->k);
  kb_end(lo->k);
  return finish(lo, &d);
}
