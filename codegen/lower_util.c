// lower_util.c: domains, operands, loops and element evaluation of the lowerings; see lower_util.h.
//
// Invariant: operands are added in the order of the group's members and their arguments, the root last, whatever the
// target, so that one operand list serves the kernels of all targets.
#include "lower_util.h"

#include <stdarg.h>
#include <string.h>

/* setting up ------------------------------------------------------------------------------------------ */
Lowering lower_begin(Arena *a, const Graph *g, const Group *grp, const Target *t, Lowered *out, const char *name) {
  Lowering lo = {.arena = a, .g = g, .m = g->module, .grp = grp, .t = t, .out = out};
  *out = (Lowered){0};
  lo.k = out->kernel = kernel_new(a, name, t->lanes);
  return lo;
}

bool lower_fail(Lowering *lo, Val at, const char *fmt, ...) {
  char text[300];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  const Value *v = graph_value(lo->g, at);
  diag_error(lo->m->diag, "E0303", value_place(v), "%s: %s", op_info[v->op].name, text);
  lo->failed = true;
  return false;
}

KIdx lower_dim(Lowering *lo, Dim d) {
  if (!d.k) return ki_const(d.c);
  const RuntimeDim *r = &lo->m->dim[d.sym];
  KVar v = kb_dim(lo->k, r->name, d.sym, r->lo, r->hi);
  return ki_addc(ki_mul(ki_var(v), d.k), d.c);
}

static Range dim_range(Lowering *lo, Dim d, int64_t start) {
  return (Range){start, lower_dim(lo, d), dim_bound(lo->m, d), dim_is_const(d)};
}

Axis lower_axis(Lowering *lo, const Type *t, int axis, bool by_segment) {
  Axis a = {.n = 1, .extent = type_extent(lo->m, t, axis)};
  if (t->nseg && t->segaxis == axis && (by_segment || !type_is_dense(t))) {
    a.n = t->nseg;
    for (int s = 0; s < t->nseg; s++) a.range[s] = dim_range(lo, t->seg[s].len, seg_start(lo->m, t, s));
  } else {
    a.range[0] = dim_range(lo, t->dim[axis], 0);
  }
  return a;
}

void lower_domain(Lowering *lo, const Type *t) {
  lo->rank = t->rank ? t->rank : 1;
  lo->axis[0] = (Axis){.n = 1, .range = {{0, ki_const(1), 1, true}}, .extent = 1};
  for (int d = 0; d < t->rank; d++) lo->axis[d] = lower_axis(lo, t, d, false);
}

bool lower_is_member(const Lowering *lo, Val v) {
  return graph_value(lo->g, v)->group == lo->grp->id;
}

DType lower_computes(const Lowering *lo, Val v) {
  return dtype_info[graph_value(lo->g, v)->type.dtype].computes;
}

// What is kept of a weight: the narrow elements that a `widen` reads.
static Val kept_weight(const Graph *g, Val v) {
  while (graph_value(g, v)->op == OP_widen) v = graph_value(g, v)->args[0];
  return v;
}

static void dense_strides(const Module *m, const Type *t, int64_t *stride) {
  int64_t s = 1;
  for (int d = t->rank - 1; d >= 0; d--) {
    stride[d] = s;
    s *= type_extent(m, t, d);
  }
}

SY_MUST_USE static bool add_arg(Lowering *lo, KernelArg arg, KBufRef buf) {
  if (lo->out->narg == MAX_KERNEL_ARGS)
    return lower_fail(lo, lo->grp->root, "the fused group has more than %d operands", MAX_KERNEL_ARGS);
  CHECK(buf.id == lo->out->narg + 1);
  lo->out->arg[lo->out->narg++] = arg;
  return true;
}

bool lower_packed(Lowering *lo, const Access *a, const char *name, int64_t elements, KBufRef *buf) {
  bool weight = graph_is_packed(lo->g, a->base);
  DType kept = graph_value(lo->g, a->base)->type.dtype;
  *buf = kb_buf(lo->k, name, kept, weight ? KB_WEIGHT : KB_IN, elements);
  return add_arg(lo, (KernelArg){.val = a->base, .offset = a->offset, .weight = weight}, *buf);
}

static bool constant_below(const Graph *g, Val v, double *value) {
  const Value *x = graph_value(g, v);
  while ((op_info[x->op].flags & F_VIEW) && !x->group) x = graph_value(g, x->args[0]);
  if (x->op != OP_constant) return false;
  *value = dtype_round(x->type.dtype, value_float(x, A_value, 0));
  return true;
}

bool lower_operand(Lowering *lo, Val v, const char *name, Source *s, int64_t stride[MAX_RANK]) {
  *s = (Source){.val = v, .dtype = lower_computes(lo, v)};
  for (int d = 0; d < MAX_RANK; d++) stride[d] = 0;
  if (!constant_below(lo->g, v, &s->value)) return lower_stored(lo, v, name, s, stride);
  s->constant = true;
  return true;
}

bool lower_stored(Lowering *lo, Val v, const char *name, Source *s, int64_t stride[MAX_RANK]) {
  const Value *x = graph_value(lo->g, v);
  *s = (Source){.val = v, .dtype = lower_computes(lo, v)};
  for (int d = 0; d < MAX_RANK; d++) stride[d] = 0;
  KernelArg arg = {.val = v, .weight = graph_is_packed(lo->g, v)};
  if (arg.weight) {
    arg.val = kept_weight(lo->g, v);
    dense_strides(lo->m, &x->type, stride);
  } else {
    Access a = access_resolve(lo->g, v);
    if (!a.ok) return lower_fail(lo, v, "no strides express this view (a copy is missing)");
    arg.weight = graph_is_packed(lo->g, a.base);
    arg.val = arg.weight ? kept_weight(lo->g, a.base) : a.base;
    arg.offset = a.offset;
    memcpy(stride, a.stride, sizeof a.stride);
  }
  int64_t last = 0;
  for (int d = 0; d < x->type.rank; d++) last += stride[d] * (type_extent(lo->m, &x->type, d) - 1);
  DType kept = graph_value(lo->g, arg.val)->type.dtype;
  s->buf = kb_buf(lo->k, name, kept, arg.weight ? KB_WEIGHT : KB_IN, last + 1);
  return add_arg(lo, arg, s->buf);
}

// Strides over the axes of the domain from strides over the operand's own axes: axes align at the member's last one.
static void align_strides(const Lowering *lo, const Type *own, const Type *member, const int64_t *stride, Source *s) {
  for (int d = 0; d < LOWER_AXES; d++) s->stride[d] = 0;
  for (int d = 0; d < own->rank; d++)
    if (type_extent(lo->m, own, d) != 1) s->stride[member->rank - own->rank + d] = stride[d];
}

static const Source *find_source(const Lowering *lo, Val v, Val data) {
  for (size_t i = 0; i < lo->src.n; i++)
    if (lo->src.at[i].val.id == v.id && lo->src.at[i].data.id == data.id) return &lo->src.at[i];
  return NULL;
}

bool lower_source(Lowering *lo, Val v, const Type *member, const char *name) {
  if (lower_is_member(lo, v) || find_source(lo, v, NO_VAL)) return true;
  Source s;
  int64_t stride[MAX_RANK];
  if (!lower_operand(lo, v, name, &s, stride)) return false;
  align_strides(lo, &graph_value(lo->g, v)->type, member, stride, &s);
  VEC_PUSH(lo->arena, lo->src, s);
  return true;
}

bool lower_ids(Lowering *lo, Val member, Val ids, KBufRef from, const int64_t *stride, Dim limit) {
  Lowered *out = lo->out;
  if (out->nids == MAX_ID_READS) return lower_fail(lo, member, "more than %d gathers in one kernel", MAX_ID_READS);
  IdRead *r = &out->ids[out->nids++];
  *r = (IdRead){.arg = from.id - 1, .ids = ids, .limit = limit};
  for (int d = 0; d < graph_value(lo->g, ids)->type.rank; d++) r->stride[d] = stride[d];
  return true;
}

bool lower_first_rows(Lowering *lo, Val n, Dim most, KBufRef *buf) {
  Source s;
  int64_t stride[MAX_RANK] = {0};
  if (!lower_stored(lo, n, "n", &s, stride)) return false;
  *buf = s.buf;
  most.c++; // all of them is a number of rows, too
  return lower_ids(lo, lo->grp->anchor, n, s.buf, stride, most);
}

Range lower_counted(Lowering *lo, const Range *r, KBufRef count) {
  Range some = *r;
  some.len = ki_var(kb_ldidx(lo->k, count, ki_const(0), 0, r->bound, "n"));
  some.fixed = false;
  return some;
}

Dim lower_row_count(const Lowering *lo, const Type *t, int axis) {
  return t->dim[axis].sym == DIM_SEGS ? DIM(type_extent(lo->m, t, axis)) : t->dim[axis];
}

// The axis of the first operand whose places the row numbers are, of F_DATA operators.
static int data_axis(const Graph *g, const Value *v) {
  return v->op == OP_embedding ? 0 : graph_value(g, v->args[0])->type.rank - 2;
}

// embedding: table [V,..], ids [*]; gather_rows: x [*,N,D], rows [*] or [*,M].
SY_MUST_USE static bool data_sources(Lowering *lo, Val member) {
  const Value *v = graph_value(lo->g, member);
  bool table = v->op == OP_embedding;
  Val rows = v->args[1], from = v->args[0];
  const Type *tf = &graph_value(lo->g, from)->type;
  int axis = data_axis(lo->g, v), behind = tf->rank - 1 - axis;
  Type index = v->type; // the row numbers align with all axes but those behind the rows
  index.rank = (uint8_t)(index.rank - behind);
  if (lower_is_member(lo, rows) || lower_is_member(lo, from))
    return lower_fail(lo, member, "its operands must be stored");
  if (!lower_source(lo, rows, &index, "rows") || find_source(lo, rows, NO_VAL)->constant)
    return lo->failed
               ? false
               : lower_fail(lo, member, "all row numbers are one constant: take that row by its index, as in x[i]");
  const Source *ids = find_source(lo, rows, NO_VAL);
  Dim limit = lower_row_count(lo, tf, axis);
  if (!lower_ids(lo, member, rows, ids->buf, ids->stride, limit)) return false;
  Source s;
  int64_t stride[MAX_RANK];
  if (!lower_operand(lo, from, table ? "table" : "from", &s, stride)) return false;
  s.data = member;
  for (int d = 0; d < behind; d++)
    if (type_extent(lo->m, tf, axis + 1 + d) != 1) s.stride[v->type.rank - behind + d] = stride[axis + 1 + d];
  for (int d = 0; d < axis; d++)
    if (type_extent(lo->m, tf, d) != 1) s.stride[d] = stride[d];
  s.data_stride = stride[axis];
  VEC_PUSH(lo->arena, lo->src, s);
  return true;
}

bool lower_sources(Lowering *lo) {
  for (size_t i = 0; i < lo->grp->member.n; i++) {
    Val m = lo->grp->member.at[i];
    const Value *v = graph_value(lo->g, m);
    if (m.id == lo->grp->anchor.id || (op_info[v->op].flags & F_APART)) continue; // their kernels see to them
    if (op_info[v->op].flags & F_DATA) {
      if (!data_sources(lo, m)) return false;
      continue;
    }
    if (v->type.dtype == DT_I32 && v->op == OP_div) return lower_fail(lo, m, "i32 division has no kernel");
    for (uint32_t j = 0; j < v->nargs; j++)
      if (!lower_source(lo, v->args[j], &v->type, "a")) return false;
  }
  return !lo->failed;
}

bool lower_root(Lowering *lo) {
  Val root = lo->grp->root;
  const Type *t = &graph_value(lo->g, root)->type;
  Access a = access_resolve(lo->g, root);
  if (!a.ok) return lower_fail(lo, root, "its place is not expressed by strides");
  int64_t last = 0;
  for (int d = 0; d < t->rank; d++) last += a.stride[d] * (type_extent(lo->m, t, d) - 1);
  Source s = {.val = root, .dtype = lower_computes(lo, root)};
  s.buf = kb_buf(lo->k, "y", t->dtype, KB_OUT, last + 1);
  align_strides(lo, t, t, a.stride, &s);
  lo->root = s;
  return add_arg(lo, (KernelArg){.val = a.base, .offset = a.offset}, s.buf) && !lo->failed;
}

static bool fixed_axis(const Axis *a) {
  return a->n == 1 && a->range[0].fixed;
}

static void remove_axis(Lowering *lo, int axis) {
  for (int d = axis; d + 1 < lo->rank; d++) lo->axis[d] = lo->axis[d + 1];
  for (size_t i = 0; i <= lo->src.n; i++) {
    Source *s = i < lo->src.n ? &lo->src.at[i] : &lo->root;
    for (int d = axis; d + 1 < LOWER_AXES; d++) s->stride[d] = s->stride[d + 1];
    s->stride[LOWER_AXES - 1] = 0;
  }
  lo->rank--;
}

// Do all operands go from axis d to d+1 in one stride?
static bool one_stride(const Lowering *lo, int d) {
  int64_t e = lo->axis[d + 1].extent;
  for (size_t i = 0; i < lo->src.n; i++)
    if (lo->src.at[i].stride[d] != lo->src.at[i].stride[d + 1] * e) return false;
  return lo->root.stride[d] == lo->root.stride[d + 1] * e;
}

void lower_collapse(Lowering *lo, int upto, int64_t keep) {
  for (int d = upto - 1; d >= 0 && lo->rank > 1; d--)
    if (fixed_axis(&lo->axis[d]) && lo->axis[d].extent == 1) remove_axis(lo, d), upto--;
  for (int d = upto - 2; d >= 0; d--) {
    Axis *outer = &lo->axis[d], *inner = &lo->axis[d + 1];
    if (outer->n != 1 || !fixed_axis(inner) || !one_stride(lo, d)) continue;
    if (inner->extent >= keep && !outer->range[0].fixed) continue;
    int64_t e = inner->extent;
    Axis joined = *outer;
    joined.range[0].len = ki_mul(joined.range[0].len, e);
    joined.range[0].bound *= e;
    joined.extent *= e;
    for (size_t i = 0; i < lo->src.n; i++) lo->src.at[i].stride[d] = lo->src.at[i].stride[d + 1];
    lo->root.stride[d] = lo->root.stride[d + 1];
    // the joined axis takes the inner one's strides
    remove_axis(lo, d + 1);
    lo->axis[d] = joined;
  }
}

void lower_split(Lowering *lo, int axis, int64_t inner) {
  CHECK(lo->rank < LOWER_AXES && fixed_axis(&lo->axis[axis]) && lo->axis[axis].extent % inner == 0);
  int64_t outer = lo->axis[axis].extent / inner;
  for (int d = lo->rank; d > axis + 1; d--) lo->axis[d] = lo->axis[d - 1];
  lo->axis[axis] = (Axis){.n = 1, .range = {{0, ki_const(outer), outer, true}}, .extent = outer};
  lo->axis[axis + 1] = (Axis){.n = 1, .range = {{0, ki_const(inner), inner, true}}, .extent = inner};
  for (size_t i = 0; i <= lo->src.n; i++) {
    Source *s = i < lo->src.n ? &lo->src.at[i] : &lo->root;
    for (int d = lo->rank; d > axis + 1; d--) s->stride[d] = s->stride[d - 1];
    s->stride[axis + 1] = s->stride[axis];
    s->stride[axis] *= inner;
  }
  lo->rank++;
}

bool lower_vectors(const Lowering *lo) {
  int c = lo->rank - 1;
  for (size_t i = 0; i < lo->src.n; i++)
    if (lo->src.at[i].stride[c] != 0 && lo->src.at[i].stride[c] != 1) return false;
  return lo->root.stride[c] == 1 && lo->root.dtype != DT_BOOL; // bools are stored one at a time
}

// Far beyond any memory, and far below what indices of kernels can hold.
static const int64_t MOST_ELEMENTS = (int64_t)1 << 34;

SY_MUST_USE static bool check_sizes(Lowering *lo) {
  for (size_t i = 1; i < lo->k->buf.n; i++)
    if (lo->k->buf.at[i].n > MOST_ELEMENTS)
      return lower_fail(lo, lo->grp->root, "a tensor of its kernel has more than 2^34 elements");
  return true;
}

enum { LONGEST_MEMBERS = 40 };

const char *lower_members(const Lowering *lo) {
  Buf b = {0};
  for (size_t i = 0; i < lo->grp->member.n && b.n < LONGEST_MEMBERS; i++)
    if (lo->grp->member.at[i].id != lo->grp->anchor.id)
      buf_printf(&b, "_%s", op_info[graph_value(lo->g, lo->grp->member.at[i])->op].name);
  const char *s = arena_strdup(lo->arena, b.n ? b.s : "");
  buf_free(&b);
  return s;
}

bool lower_finish(Lowering *lo, double flops, double bytes, const char *name, const char *comment) {
  if (lo->failed || !check_sizes(lo)) return false;
  lo->k->flops = flops;
  lo->k->bytes = bytes;
  lo->k->name = name;
  lo->k->about = comment;
  lo->out->name = name;
  lo->out->comment = comment;
  kb_finish(lo->k);
  return true;
}

/* loops ----------------------------------------------------------------------------------------------- */
typedef struct Rows {
  Lowering *lo;
  int n;                     // axes that are rows
  int64_t block[LOWER_AXES]; // rows per task of an axis, 0: the axis is not divided
  KVar par[LOWER_AXES];
  KIdx at[LOWER_AXES];
  LowerRow *body;
  void *ud;
} Rows;

static void row_loops(Rows *r, int d) {
  if (d == r->n) {
    r->body(r->lo, r->at, r->ud);
    return;
  }
  const Axis *a = &r->lo->axis[d];
  for (int i = 0; i < a->n; i++) {
    const Range *g = &a->range[i];
    if (r->block[d] == 1 && a->n == 1) {
      r->at[d] = ki_addc(ki_var(r->par[d]), g->start);
      row_loops(r, d + 1);
      continue;
    }
    KIdx from = r->block[d] ? ki_var(r->par[d]) : ki_const(0);
    KBound hi = r->block[d] ? kbound_cap(ki_addc(from, r->block[d]), g->len) : kbound(g->len);
    KVar v = kb_loop(r->lo->k, "r", kbound(from), hi, 1);
    r->at[d] = ki_addc(ki_var(v), g->start);
    row_loops(r, d + 1);
    kb_end(r->lo->k);
  }
}

void lower_rows(Lowering *lo, int64_t rows_per_task, LowerRow *body, void *ud) {
  Rows r = {.lo = lo, .n = lo->rank - 1, .body = body, .ud = ud};
  int64_t left = rows_per_task > 1 ? rows_per_task : 1;
  for (int d = r.n - 1; d >= 0; d--) {
    int64_t e = lo->axis[d].extent;
    r.block[d] = left >= e ? 0 : left;
    left = left >= e ? left / e : 1;
  }
  int pars = 0;
  for (int d = 0; d < r.n; d++) {
    if (!r.block[d]) continue;
    const Axis *a = &lo->axis[d];
    int64_t most = 0;
    for (int i = 0; i < a->n; i++) most = a->range[i].bound > most ? a->range[i].bound : most;
    KBound hi = a->n == 1 ? kbound(a->range[0].len) : kbound(ki_const(most));
    r.par[d] = kb_par(lo->k, "t", kbound(ki_const(0)), hi, r.block[d]);
    pars++;
  }
  row_loops(&r, 0);
  while (pars--) kb_end(lo->k);
}

typedef struct Columns {
  Lowering *lo;
  const Range *r;
  const KIdx *block;
  int64_t size;
  LowerColumn *body;
  void *ud;
} Columns;

// One loop over [floor(len, below), floor(len, step)) of the range; below 0: from the start.
static void column_loop(const Columns *c, int64_t below, int64_t to_align, int64_t step, uint32_t lanes, int64_t n,
                        int unroll) {
  const Range *r = c->r;
  KBound from = below ? kbound_floor(r->len, below) : kbound(c->block ? *c->block : ki_const(0));
  KBound to = kbound_floor(r->len, to_align);
  if (r->fixed && (below ? r->bound / below * below : 0) >= r->bound / to_align * to_align) return;
  if (c->block) {
    to.has_cap = true;
    to.cap = ki_addc(*c->block, c->size);
  }
  KVar v = kb_loop(c->lo->k, "c", from, to, step);
  for (int u = 0; u < unroll; u++)
    c->body(c->lo, ki_addc(ki_var(v), r->start + (int64_t)lanes * u), lanes, n, u, c->ud);
  kb_end(c->lo->k);
}

void lower_columns(Lowering *lo, const Range *r, bool vectors, int unroll, const KIdx *block, int64_t size,
                   LowerColumn *body, void *ud) {
  Columns c = {lo, r, block, size, body, ud};
  int64_t lanes = lo->k->lanes, most = lanes * unroll, whole = r->bound / lanes * lanes;
  if (!vectors || lanes == 1) {
    column_loop(&c, 0, 1, 1, 1, 1, 1);
    return;
  }
  column_loop(&c, 0, most, most, lo->k->lanes, lanes, unroll);
  if (unroll > 1) column_loop(&c, most, lanes, lanes, lo->k->lanes, lanes, 1);
  if (!r->fixed)
    column_loop(&c, lanes, 1, 1, 1, 1, 1); // lane by lane
  else if (block)
    column_loop(&c, lanes, 1, lanes, lo->k->lanes, r->bound - whole, 1); // in the last task
  else if (whole < r->bound)
    body(lo, ki_const(r->start + whole), lo->k->lanes, r->bound - whole, 0, ud); // one partial vector
}

typedef struct Tiles {
  Lowering *lo;
  LowerTile *body;
  void *ud;
} Tiles;

static void tile_loop(const Tiles *t, KBound from, KBound to, int rows, bool tail) {
  KVar v = kb_loop(t->lo->k, "r", from, to, rows);
  t->body(t->lo, ki_var(v), rows, tail, t->ud);
  kb_end(t->lo->k);
}

// A constant number of rows: tiles of two sizes that differ by one, so that none is small.
static void even_tiles(const Tiles *t, const Range *r, int most) {
  int64_t tiles = (r->bound + most - 1) / most, base = r->bound / tiles, larger = r->bound % tiles;
  int64_t split = larger * (base + 1);
  if (tiles == 1) {
    t->body(t->lo, ki_const(0), (int)base, false, t->ud);
    return;
  }
  if (larger) tile_loop(t, kbound(ki_const(0)), kbound(ki_const(split)), (int)base + 1, false);
  tile_loop(t, kbound(ki_const(split)), kbound(ki_const(r->bound)), (int)base, false);
}

// Does some number of rows that the range (or a block of it) may have give tiles of this height?
static bool height_occurs(const Lowering *lo, const Range *r, int most, int64_t size, int height) {
  int64_t least = ki_min(lo->k, &r->len), last = r->bound, enough = least + most * (most + 1) + 2 * size;
  if (enough < last) last = enough; // beyond, heights repeat
  for (int64_t n = least; n <= last; n++) {
    int64_t part[] = {size && n >= size ? size : n, size ? n % size : 0};
    for (int i = 0; i < 2; i++)
      if (tiles_end(part[i], most, height) > tiles_end(part[i], most, height + 1)) return true;
  }
  return false;
}

// Runs what follows, up to kb_end, in the one block whose start is not behind `last`, and in those before it.
static void open_blocks_until(const Tiles *t, const KIdx *block, KBound last, int64_t most) {
  kb_loop(t->lo->k, "once", kbound(*block), last, most + 1);
}

void lower_tiles(Lowering *lo, const Range *r, int rows, const KIdx *block, int64_t size, LowerTile *body, void *ud) {
  Tiles t = {lo, body, ud};
  if (block && r->bound <= size) { // a short part beside a long one: the first block does all of it
    open_blocks_until(&t, block, kbound(ki_const(1)), r->bound + size);
    lower_tiles(lo, r, rows, NULL, 0, body, ud);
    kb_end(lo->k);
    return;
  }
  if (r->fixed && !block) {
    even_tiles(&t, r, rows);
    return;
  }
  KIdx from = block ? *block : ki_const(0), cap = ki_addc(from, size);
  for (int n = rows; n; n--) {
    if (!height_occurs(lo, r, rows, block ? size : 0, n)) continue;
    KBound above = kbound_tiles(from, r->len, block ? &cap : NULL, rows, n + 1),
           end = kbound_tiles(from, r->len, block ? &cap : NULL, rows, n);
    tile_loop(&t, above, end, n, n + 1 < rows && !r->fixed);
  }
}

/* elements -------------------------------------------------------------------------------------------- */
KVal lower_in(Lowering *lo, KVal scalar, uint32_t lanes) {
  return lanes == 1 ? scalar : kb_splat(lo->k, scalar);
}

KVal lower_first(Lowering *lo, int64_t n) {
  Kernel *k = lo->k;
  return kb_op2(k, K_lt, kb_iota(k, DT_I32), kb_const(k, (double)n, DT_I32, k->lanes));
}

KIdx lower_address(const Lowering *lo, const Source *s, const Point *p) {
  KIdx i = ki_const(0);
  for (int d = 0; d < lo->rank; d++) i = ki_add(i, ki_mul(p->at[d], s->stride[d]));
  for (int d = 0; s->data.id && d < lo->ndata; d++)
    if (lo->data[d].member.id == s->data.id) i = ki_add(i, ki_mul(ki_var(lo->data[d].row), s->data_stride));
  return i;
}

void lower_data(Lowering *lo, const KIdx *at) {
  lo->ndata = 0;
  for (size_t i = 0; i < lo->src.n; i++) {
    const Source *s = &lo->src.at[i];
    if (!s->data.id) continue;
    const Value *v = graph_value(lo->g, s->data);
    Point p = {.lanes = 1, .n = 1};
    for (int d = 0; d + 1 < lo->rank; d++) p.at[d] = at[d];
    const Source *rows = find_source(lo, v->args[1], NO_VAL);
    const Type *from = &graph_value(lo->g, v->args[0])->type;
    int64_t most = type_extent(lo->m, from, data_axis(lo->g, v)) - 1;
    CHECK(lo->ndata < MAX_ID_READS);
    lo->data[lo->ndata].member = s->data;
    lo->data[lo->ndata++].row = kb_ldidx(lo->k, rows->buf, lower_address(lo, rows, &p), 0, most, "row");
  }
}

static KVal mask_of(Kernel *k, KVal number) { // number != 0
  const KIns *i = &k->ins.at[number.id];
  return kb_op1(k, K_not, kb_op2(k, K_eq, number, kb_const(k, 0, i->dtype, i->lanes)));
}

static KVal load_mask(Lowering *lo, const Source *s, const Point *p, int64_t column_stride) {
  Kernel *k = lo->k;
  KIdx at = lower_address(lo, s, p);
  if (p->lanes != 1 && column_stride == 1) return kb_loadm(k, s->buf, at, p->n);
  KVal one = kb_lane0(k, kb_cvt(k, kb_loadm(k, s->buf, at, 1), DT_I32));
  return mask_of(k, lower_in(lo, one, p->lanes));
}

KVal lower_load(Lowering *lo, const Source *s, const Point *p) {
  Kernel *k = lo->k;
  int64_t stride = s->stride[lo->rank - 1];
  if (s->constant && s->dtype == DT_BOOL) return mask_of(k, kb_const(k, s->value != 0, DT_I32, p->lanes));
  if (s->constant) return kb_const(k, s->value, s->dtype, p->lanes);
  if (s->dtype == DT_BOOL) return load_mask(lo, s, p, stride);
  if (p->lanes == 1) return kb_load(k, s->buf, lower_address(lo, s, p), 1, 1, NULL);
  if (stride == 0) return kb_bcast(k, s->buf, lower_address(lo, s, p), NULL);
  CHECK(stride == 1);
  return kb_load(k, s->buf, lower_address(lo, s, p), p->lanes, p->n, NULL);
}

static KVal element(Lowering *lo, const Point *p, Val v) {
  if (v.id == p->leaf.id) return p->leaf_value;
  for (size_t i = 0; i < lo->memo.n; i++)
    if (lo->memo.at[i].id == v.id) return lo->memo.at[i].value;
  KVal y;
  const Value *x = graph_value(lo->g, v);
  if (!lower_is_member(lo, v)) {
    const Source *s = find_source(lo, v, NO_VAL);
    if (!s) ICE("lower: operand %%%u of group %u is unknown", v.id, lo->grp->id);
    y = lower_load(lo, s, p);
  } else if (op_info[x->op].flags & F_DATA) {
    y = lower_load(lo, find_source(lo, x->args[0], v), p);
  } else if (op_info[x->op].flags & F_VIEW) {
    y = element(lo, p, x->args[0]); // a copy: the source has its strides
  } else {
    KVal arg[ELEMENT_ARGS] = {{0}};
    CHECK(x->nargs <= ELEMENT_ARGS);
    for (uint32_t i = 0; i < x->nargs; i++) arg[i] = element(lo, p, x->args[i]);
    y = lower_emit[x->op](lo->k, x, arg);
  }
  VEC_PUSH(lo->arena, lo->memo, ((struct LowerMemo){v.id, y}));
  return y;
}

KVal lower_element(Lowering *lo, const Point *p, Val v) {
  lo->memo.n = 0;
  return element(lo, p, v);
}

void lower_store(Lowering *lo, const Point *p, KVal v) {
  kb_store(lo->k, lo->root.buf, lower_address(lo, &lo->root, p), v, p->lanes == 1 ? 1 : p->n);
}
