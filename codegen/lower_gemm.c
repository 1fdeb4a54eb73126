// lower_gemm.c: groups around a matrix product with a packed weight:  y[.., n] = epilogue(bias[n] + sum_k x[.., k] w[n,
// k]).
//
// The weight lies in panels of 16 columns, [N/16][K][16], the same for all targets. A register tile is `rows` x
// `panels`; its accumulators are named registers that start at the bias and run over all of K in ascending order, so an
// element's bits do not depend on the tile that computes it, on the row tail or on the number of threads. Loops,
// outside in:
//   par over the entries of a batch; over chunks of panel groups (and over blocks of rows where there are few panels)
//     panel group: its panels stay in the second-level cache
//       row axes, row tiles: exact row counts, see lower_tiles
//         k, in blocks with prefetches between them; then the epilogue on the tile through L1 scratch
// Weights stream from memory once a call: while the row tiles of a panel group run, each prefetches its share of the
// next group's lines. The last group (fewer panels, or a last panel that is not full) is a separate instance, which
// runs in the last task only.
//
// Where the target says so (Target.k_block), products of many rows and a long k go by blocks of k, so that what a tile
// reads again stays close: a block of a panel in the first-level cache, the rows' block in the second:
//     panel group; row axes, blocks of rows
//       sums = bias
//       blocks of k;  panels of the group;  row tiles:  sums += the block's products
//       epilogue, from the sums
// The sums of rows and group lie in scratch, side by side; in y each row would be a page of its own. They are f32 in
// registers and in memory, and are added to in the same order, so blocks show in no bit.
//
// A weight that is kept narrow is widened once a panel group, into scratch that then is what f32 panels are: whatever
// the type, the tiles are the same and so are the bits for equal weights. Tiles of one row, which read each panel once,
// widen what they load.
//
// Where x are patches or windows of an image (convolution), x is the image: k runs over the axes of a window in a nest
// of loops, and the broadcast loads read each element where it lies. Nothing is copied, and the order over k is that of
// the weight's columns.
//
// Products of two computed tensors are built by lower_matmul.c.
#include "lower_gemm.h"

#include <math.h>

/* rows ------------------------------------------------------------------------------------------------ */
typedef struct RowRange {
  Gemm *g;
  const PanelGroup *p;
  int64_t start;
} RowRange;

static void emit_row_tile(Lowering *lo, KIdx row, int rows, bool tail, void *ud) {
  const RowRange *rr = ud;
  rr->g->at[lo->rank - 2] = ki_addc(row, rr->start);
  gemm_tile(rr->g, rr->p, rows, tail);
}

static void emit_row_axes(Gemm *g, const PanelGroup *p, int d) {
  Lowering *lo = &g->lo;
  if (lo->rank == 1) {
    gemm_tile(g, p, 1, false);
    return;
  }
  const Axis *a = &lo->axis[d];
  for (int i = 0; i < a->n; i++) {
    if (d == lo->rank - 2 && g->k_block) {
      gemm_blocks(g, p, &a->range[i]);
      continue;
    }
    if (d == lo->rank - 2) {
      RowRange rr = {g, p, a->range[i].start};
      lower_tiles(&g->lo, &a->range[i], g->rows, g->block ? &g->block_start : NULL, g->block, emit_row_tile, &rr);
      continue;
    }
    bool divided = g->outer_block && d == lo->rank - 3, batch = g->by_batch && d == 0;
    KIdx from = divided ? g->outer_start : batch ? g->batch_start : ki_const(0);
    KBound to = kbound(a->range[i].len);
    if (divided) to = kbound_cap(ki_addc(from, g->outer_block), a->range[i].len);
    if (batch) to = kbound_cap(ki_addc(from, g->batch), a->range[i].len);
    KVar v = kb_loop(lo->k, "m", kbound(from), to, 1);
    g->at[d] = ki_addc(ki_var(v), a->range[i].start);
    emit_row_axes(g, p, d + 1);
    kb_end(lo->k);
  }
}

// Where only the first rows are computed: the epilogue of zeros in the others, of this task's block.
static void emit_zeros(Gemm *g, const PanelGroup *p) {
  Lowering *lo = &g->lo;
  Kernel *k = lo->k;
  const Range *r = &lo->axis[0].range[0];
  KBound to = kbound(ki_const(r->bound));
  KIdx from = r->len;
  if (g->block) { // the greater of two indices is none of their sums; it goes through memory
    KVal most = kb_op2(k, K_max, kb_index(k, from, DT_I32, 1), kb_index(k, g->block_start, DT_I32, 1));
    kb_store(k, g->zeros_from, ki_const(0), most, 1);
    from = ki_var(kb_ldidx(k, g->zeros_from, ki_const(0), 0, r->bound + g->block, "from"));
    to = kbound_cap(ki_addc(g->block_start, g->block), ki_const(r->bound));
  }
  GemmTile t = {.g = g, .p = p};
  g->at[0] = ki_const(0);
  KIdx row = ki_var(kb_loop(k, "z", kbound(from), to, 1));
  KIdx c = ki_var(kb_loop(k, "c", kbound(ki_const(0)), kbound(ki_const((int64_t)p->panels * PANEL)), k->lanes));
  kb_store(k, g->scratch, c, kb_const(k, 0, DT_F32, k->lanes), k->lanes);
  kb_end(k);
  gemm_finish_row(&t, row, ki_const(0));
  kb_end(k);
}

static void emit_group(Gemm *g, const PanelGroup *p) {
  if (g->wide.id && !g->k_block) gemm_widen(g, ki_mul(p->panel, g->k * PANEL), ki_const(0), g->k * PANEL * p->panels);
  emit_row_axes(g, p, 0);
  if (g->first_rows) emit_zeros(g, p);
}

/* panel groups and tasks ------------------------------------------------------------------------------ */
// The entries of a batch are tasks of their own, in front of the panels: a worker does all panels of an entry before
// the next one, while its rows are in the second-level cache.
static void open_batch(Gemm *g) {
  Lowering *lo = &g->lo;
  const Axis *a = &lo->axis[0];
  if (lo->rank < 3 || g->windows || a->n != 1 || a->range[0].fixed || gemm_longest(g) < g->cost->block_least_rows)
    return;
  double us = 2 * (double)gemm_least_rows(g) * (double)g->k * (double)g->n / lo->t->cost->flops_per_us;
  g->by_batch = true;
  g->batch = us >= lo->t->cost->task_us ? 1 : (int64_t)ceil(lo->t->cost->task_us / us);
  g->batch_start = ki_var(kb_par(lo->k, "b", kbound(ki_const(0)), kbound(a->range[0].len), g->batch));
}

static void emit_tasks(Gemm *g) {
  Lowering *lo = &g->lo;
  Kernel *k = lo->k;
  int64_t groups = ceil_div(g->panels, g->group), want = gemm_tasks(g), left = g->panels - g->main_panels;
  int64_t chunk = ceil_div(groups, want) * g->group, columns = ceil_div(g->panels, chunk);
  int inner = lo->rank - 2, pars = 0;
  KIdx first = ki_const(0);
  open_batch(g);
  pars += g->by_batch;
  if (columns > 1) {
    first = ki_var(kb_par(k, "p", kbound(ki_const(0)), kbound(ki_const(g->panels)), chunk));
    pars++;
  }
  if (inner >= 0 && !g->windows && columns * 2 <= want && lo->axis[inner].extent > 2 * g->rows) {
    int64_t most = 0;
    for (int i = 0; i < lo->axis[inner].n; i++)
      if (lo->axis[inner].range[i].bound > most) most = lo->axis[inner].range[i].bound;
    g->block = ceil_div(ceil_div(most, ceil_div(want, columns)), g->rows) * g->rows;
    g->block_start = ki_var(kb_par(k, "t", kbound(ki_const(0)), kbound(ki_const(most)), g->block));
    pars++;
  }
  if (g->windows && inner >= 1 && !g->block && columns * 2 <= want && lo->axis[inner - 1].range[0].fixed) {
    int64_t rows = lo->axis[inner - 1].extent;
    g->outer_block = ceil_div(rows, ceil_div(want, columns));
    g->outer_start = ki_var(kb_par(k, "t", kbound(ki_const(0)), kbound(ki_const(rows)), g->outer_block));
    pars++;
  }
  if (g->first_rows) lo->axis[0].range[0] = lower_counted(lo, &lo->axis[0].range[0], g->count);
  if (g->main_panels) {
    PanelGroup p = {
        .panels = g->group, .columns = (int64_t)g->group * PANEL, .prefetch_next = !g->block && !g->outer_block};
    KVar v = kb_loop(k, "q", kbound(first), kbound_cap(ki_addc(first, chunk), ki_const(g->main_panels)), g->group);
    p.panel = ki_var(v);
    emit_group(g, &p);
    kb_end(k);
  }
  if (left) { // in the last task
    PanelGroup p = {.panel = ki_const(g->main_panels), .panels = (int)left, .columns = g->n - g->main_panels * PANEL};
    bool guard = columns > 1;
    if (guard) kb_loop(k, "last", kbound(p.panel), kbound_cap(ki_addc(first, chunk), ki_const(g->panels)), left);
    emit_group(g, &p);
    if (guard) kb_end(k);
  }
  while (pars--) kb_end(k);
}

static const char *gemm_name(const Gemm *g) {
  return arena_printf(g->lo.arena, "gemm_k%lld_n%lld%s%s", (long long)g->k, (long long)g->n, g->bias.id ? "_bias" : "",
                      lower_members(&g->lo));
}

static bool finish(Gemm *g) {
  Lowering *lo = &g->lo;
  double m = (double)gemm_least_rows(g), kn = (double)g->k * (double)g->n, tasks = 1;
  int64_t dims[MAX_DIMS];
  for (int d = 0; d < MAX_DIMS; d++) dims[d] = 1;
  for (size_t d = 0; d < lo->m->ndim; d++) dims[d] = lo->m->dim[d].hi;
  tasks = (double)kernel_tasks(lo->k, dims);
  Buf b = {0};
  buf_puts(&b, "product ");
  type_print(&b, lo->m, &graph_value(lo->g, g->anchor->args[0])->type);
  buf_printf(&b, " x [%lld,%lld], tile %d x %d", (long long)g->n, (long long)g->k, g->rows, g->width * PANEL);
  if (g->k_block) buf_printf(&b, ", k by %lld", (long long)g->k_block);
  const char *comment = arena_strdup(lo->arena, b.s);
  buf_free(&b);
  return lower_finish(lo, 2 * m * kn / tasks, ((double)g->w_bytes * kn + 4 * m * (double)(g->k + g->n)) / tasks,
                      gemm_name(g), comment);
}

static void add_k_axis(Gemm *g, int64_t extent, int64_t stride) {
  int last = g->nk - 1;
  if (extent == 1) return;
  if (last >= 0 && g->kaxis[last].stride == extent * stride) { // one run
    g->kaxis[last].extent *= extent;
    g->kaxis[last].stride = stride;
    return;
  }
  g->kaxis[g->nk].extent = extent;
  g->kaxis[g->nk++].stride = stride;
}

// Patches and windows: x is the image itself. The rows of patches are divided into rows and columns of the grid.
static void place_windows(Gemm *g, Val windows, const int64_t *stride) {
  Lowering *lo = &g->lo;
  const Value *w = graph_value(lo->g, windows);
  const Type *image = &graph_value(lo->g, w->args[0])->type;
  Source *x = &lo->src.at[g->xsrc];
  bool batched = type_extent(lo->m, image, 0) != 1;
  if (w->op == OP_patchify) {
    int64_t p = value_int(w, A_patch, 1);
    lower_split(lo, 1, type_extent(lo->m, image, 3) / p);
    int64_t rows[] = {batched ? stride[0] : 0, p * stride[2], p * stride[3]};
    for (int d = 0; d < 3; d++) x->stride[d] = rows[d];
    add_k_axis(g, type_extent(lo->m, image, 1), stride[1]);
    add_k_axis(g, p, stride[2]);
    add_k_axis(g, p, stride[3]);
  } else {
    const int64_t *kernel = value_attr(w, A_kernel)->v, *step = value_attr(w, A_stride)->v;
    const int64_t *apart = dilation_of(w);
    int64_t rows[] = {batched ? stride[0] : 0, step[0] * stride[1], step[1] * stride[2]};
    for (int d = 0; d < 3; d++) x->stride[d] = rows[d];
    add_k_axis(g, kernel[0], apart[0] * stride[1]);
    add_k_axis(g, kernel[1], apart[1] * stride[2]);
    add_k_axis(g, type_extent(lo->m, image, 3), stride[3]);
  }
  if (!g->nk) g->kaxis[0].extent = 1, g->kaxis[0].stride = 1, g->nk = 1; // windows of one element
  g->xstride = g->kaxis[g->nk - 1].stride;
}

// x as a source: its rows run over the domain's rows, its columns over k.
SY_MUST_USE static bool add_x(Gemm *g, int64_t stride[MAX_RANK]) {
  Lowering *lo = &g->lo;
  Source s;
  Val v = g->anchor->args[0];
  g->windows = lower_is_member(lo, v);
  if (g->windows) {
    if (!lower_stored(lo, graph_value(lo->g, v)->args[0], "x", &s, stride)) return false;
    s.data = lo->grp->anchor; // not to be taken for an operand of the epilogue
    g->xsrc = lo->src.n;
    VEC_PUSH(lo->arena, lo->src, s);
    return true;
  }
  if (!lower_stored(lo, g->anchor->args[0], "x", &s, stride)) return false;
  const Type *t = &graph_value(lo->g, s.val)->type;
  for (int d = 0; d + 1 < t->rank; d++)
    if (type_extent(lo->m, t, d) != 1) s.stride[d] = stride[d];
  g->xstride = stride[t->rank - 1];
  g->kaxis[0].extent = g->k;
  g->kaxis[0].stride = g->xstride;
  g->nk = 1;
  s.data = lo->grp->anchor; // not to be taken for an operand of the epilogue
  g->xsrc = lo->src.n;
  VEC_PUSH(lo->arena, lo->src, s);
  return true;
}

bool lower_gemm(Arena *a, const Graph *g, const Group *grp, const Target *t, Lowered *out) {
  const Value *v = graph_value(g, grp->anchor);
  if (v->op == OP_outer || v->op == OP_outer_rows) return lower_outer(a, g, grp, t, out);
  if (v->op == OP_linear_codes || v->op == OP_linear_codes4 || v->op == OP_linear_pairs)
    return lower_codes(a, g, grp, t, out);
  PanelProduct panels;
  bool packed = product_panels(g, grp->anchor, &panels);
  if (!packed && v->op != OP_linear_rows) return lower_matmul(a, g, grp, t, out);

  Gemm gm = {.cost = &t->cost->product, .lo = lower_begin(a, g, grp, t, out, "gemm"), .anchor = v};
  Lowering *lo = &gm.lo;
  if (!packed) return lower_fail(lo, grp->anchor, "its weight is computed");
  lower_domain(lo, &v->type);
  gm.n = v->type.dim[v->type.rank - 1].c;
  gm.k = type_extent(lo->m, &graph_value(g, v->args[1])->type, product_form(v).trans ? 0 : 1);
  gm.panels = ceil_div(gm.n, PANEL);
  int64_t stride[MAX_RANK];
  if (!add_x(&gm, stride)) return false;
  if (!lower_packed(lo, &panels.w, "w", gm.panels * PANEL * gm.k, &gm.w)) return false;
  if (product_bias(v).id && !lower_packed(lo, &panels.bias, "bias", gm.panels * PANEL, &gm.bias)) return false;
  gm.first_rows = v->op == OP_linear_rows;
  if (gm.first_rows && !lower_first_rows(lo, v->args[2], v->type.dim[0], &gm.count)) return false;
  if (!lower_sources(lo) || !lower_root(lo)) return false;
  if (gm.windows) place_windows(&gm, v->args[0], stride);
  lower_collapse(lo, lo->rank - 1, 4 * (int64_t)t->tile[0].rows);
  if (lo->rank > 4) return lower_fail(lo, grp->anchor, "its rows lie on more than three separate axes");
  gm.w_bytes = (int64_t)dtype_info[lo->k->buf.at[gm.w.id].dtype].bytes;
  gemm_choose_tile(&gm);
  gm.through_scratch = gm.first_rows || grp->member.n > (gm.windows ? 2u : 1u);
  gemm_choose_blocks(&gm);
  int64_t left = gm.panels % gm.group;
  if (!left && gm.n % PANEL) left = gm.group;
  gm.main_panels = gm.panels - left;
  int64_t sums = gm.k_block ? gemm_longest(&gm) * gm.group : (int64_t)gm.rows * gm.width;
  if (gm.through_scratch) gm.scratch = kb_buf(lo->k, gm.k_block ? "sums" : "tile", DT_F32, KB_SCRATCH, sums * PANEL);
  int64_t group = (gm.k_block ? gm.k_block : gm.k) * gm.group * PANEL;
  if (gm.first_rows) gm.zeros_from = kb_buf(lo->k, "from", DT_I32, KB_SCRATCH, 1);
  if (dtype_is_narrow(lo->k->buf.at[gm.w.id].dtype) && gm.rows > 1 && group <= gm.cost->widened)
    gm.wide = kb_buf(lo->k, "wide", DT_F32, KB_SCRATCH, group);
  emit_tasks(&gm);
  return finish(&gm);
}
