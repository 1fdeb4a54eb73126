// lower_pack.c: tensors in the order in which other kernels read them (ir/packs.def), and panels back as the matrix.
//
// What lies side by side in the packed tensor is a run: a row of a panel, a row with what it is filled up with. A run
// is read with one stride of the source: in vectors where its elements lie side by side there too, else one by one. The
// last panel, which may have fewer columns, is a body of its own, so that nothing is asked at run time. Elementwise
// work behind a pack is done on what is stored, zeros included.
//
//   par p: loop k:  y[p, k, 0..15] = x[16 p + 0..15, k]           panels of [N,K]: 16 loads and stores
//   par p: loop k:  y[p, k, 0..15] = x[k, 16 p + 0..15]           of [K,N] (trans): vectors
//   par p: loop q: loop r:  y[p, 16 q + r, 0..15] = x[q, 16 p + 0..15, r]     of panels of the matrix turned: nothing
//                                                                             is unpacked in between
#include "lower_pack.h"

#include <string.h>

enum { WRITTEN_OUT = 32 }; // elements of a run that are written out without a loop

typedef struct Panels {
  Lowering *lo;
  Val member; // the pack; NO_VAL: unpack
  PackForm form;
  int64_t n, k;
  Source x;                 // pack: the tensor; unpack: the panels
  int64_t stride[MAX_RANK]; // of its axes
  int64_t step;             // pack: of x along a run
  int64_t step_n, step_k;   // of the matrix
  int64_t step_panel;       // of x from panel to panel
  bool turned;              // x are panels of the matrix turned: a k of the result is a panel of x and a column there
  KIdx row;                 // that place
  bool vectors;
  KIdx at[LOWER_AXES]; // of the run in the result, columns excluded
  KIdx from;           // of its first element in x
} Panels;

/* runs of a pack ------------------------------------------------------------------------------------------------- */
static void put(const Panels *p, KIdx column, uint32_t lanes, KVal x) {
  Lowering *lo = p->lo;
  Point q = {.lanes = lanes, .n = lanes, .leaf = p->member, .leaf_value = x};
  for (int d = 0; d + 1 < lo->rank; d++) q.at[d] = p->at[d];
  q.at[lo->rank - 1] = column;
  lower_store(lo, &q, lower_element(lo, &q, lo->grp->root));
}

static KVal get(const Panels *p, KIdx column, uint32_t lanes, int64_t n) {
  Kernel *k = p->lo->k;
  if (p->x.constant && n == lanes) return kb_const(k, p->x.value, DT_F32, lanes);
  if (p->x.constant) { // the lanes behind are filled up
    KVal none = kb_const(k, 0, DT_F32, lanes);
    return kb_op3(k, K_select, lower_first(p->lo, n), kb_const(k, p->x.value, DT_F32, lanes), none);
  }
  return kb_load(k, p->x.buf, ki_add(p->from, ki_mul(column, p->step)), lanes, n, NULL);
}

static void copy_loop(const Panels *p, int64_t n, uint32_t lanes) {
  if (n <= WRITTEN_OUT) {
    for (int64_t c = 0; c < n; c += lanes) put(p, ki_const(c), lanes, get(p, ki_const(c), lanes, lanes));
    return;
  }
  KIdx c = ki_var(kb_loop(p->lo->k, "c", kbound(ki_const(0)), kbound(ki_const(n)), lanes));
  put(p, c, lanes, get(p, c, lanes, lanes));
  kb_end(p->lo->k);
}

// n elements and zeros behind them, `total` in all.
static void emit_run(const Panels *p, int64_t n, int64_t total) {
  Kernel *k = p->lo->k;
  uint32_t lanes = p->vectors && total % k->lanes == 0 ? k->lanes : 1;
  int64_t whole = n / lanes * lanes;
  if (whole) copy_loop(p, whole, lanes);
  if (whole < n) put(p, ki_const(whole), lanes, get(p, ki_const(whole), lanes, n - whole));
  for (int64_t c = whole < n ? whole + lanes : whole; c < total; c += lanes)
    put(p, ki_const(c), lanes, kb_const(k, 0, DT_F32, lanes));
}

static void emit_plain(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const Panels *p = ud;
  Point q = {.lanes = lanes, .n = n, .leaf = p->member, .leaf_value = get(p, c, lanes, lanes == 1 ? 1 : n)};
  for (int d = 0; d + 1 < lo->rank; d++) q.at[d] = p->at[d];
  q.at[lo->rank - 1] = c;
  lower_store(lo, &q, lower_element(lo, &q, lo->grp->root));
}

static void emit_row(Lowering *lo, KIdx *at, void *ud) {
  Panels *p = ud;
  const Axis *columns = &lo->axis[lo->rank - 1];
  memcpy(p->at, at, sizeof p->at);
  p->from = ki_const(0);
  for (int d = 0; d + 1 < lo->rank; d++) p->from = ki_add(p->from, ki_mul(at[d], p->stride[d]));
  if (p->form.kind != PACK_plain) // the length is a constant
    emit_run(p, p->n, columns->extent);
  else
    for (int i = 0; i < columns->n; i++) lower_columns(lo, &columns->range[i], p->vectors, 1, NULL, 0, emit_plain, p);
}

/* panels ---------------------------------------------------------------------------------------------------------- */
// `columns` of panel `panel`, at every k.
typedef void PanelBody(Panels *p, KIdx panel, KIdx k, int64_t columns);

// Places q w + r of k, where x has its panel q and in it its column r, for r below `columns`.
static void emit_turned(Panels *p, KIdx panel, KIdx q, int64_t depth, int64_t columns, PanelBody *body) {
  const int64_t *stride = p->stride + p->lo->rank - 3;
  KIdx r = ki_var(kb_loop(p->lo->k, "r", kbound(ki_const(0)), kbound(ki_const(depth)), 1));
  p->row = ki_add(ki_mul(q, stride[0]), ki_mul(r, stride[2]));
  body(p, panel, ki_add(ki_mul(q, p->form.panel), r), columns);
  kb_end(p->lo->k);
}

static void emit_panel(Panels *p, KIdx panel, int64_t columns, PanelBody *body) {
  int64_t width = p->form.panel, whole = p->k / width;
  if (p->turned) {
    if (whole) {
      KIdx q = ki_var(kb_loop(p->lo->k, "q", kbound(ki_const(0)), kbound(ki_const(whole)), 1));
      emit_turned(p, panel, q, width, columns, body);
      kb_end(p->lo->k);
    }
    if (p->k % width) emit_turned(p, panel, ki_const(whole), p->k % width, columns, body);
    return;
  }
  KIdx k = ki_var(kb_loop(p->lo->k, "k", kbound(ki_const(0)), kbound(ki_const(p->k)), 1));
  body(p, panel, k, columns);
  kb_end(p->lo->k);
}

// One task is a few panels of a matrix. `leading`: axes in front of the matrix.
static bool emit_panels(Panels *p, int leading, PanelBody *body) {
  Lowering *lo = p->lo;
  Kernel *k = lo->k;
  int64_t width = p->form.panel, panels = (p->n + width - 1) / width, whole = p->n / width;
  int64_t chunk = lo->t->cost->pack_elements / (p->k * width);
  chunk = chunk < 1 ? 1 : chunk;
  bool divided = panels > chunk;
  for (int d = 0; d < leading; d++)
    if (lo->axis[d].n != 1) return lower_fail(lo, lo->grp->root, "the rows in front of its matrices lie in parts");
  for (int d = 0; d < leading; d++)
    p->at[d] = ki_var(kb_par(k, "m", kbound(ki_const(0)), kbound(lo->axis[d].range[0].len), 1));
  KIdx first = ki_const(0);
  if (divided) first = ki_var(kb_par(k, "t", kbound(first), kbound(ki_const(panels)), chunk));
  if (whole) {
    KBound end = divided ? kbound_cap(ki_addc(first, chunk), ki_const(whole)) : kbound(ki_const(whole));
    KIdx panel = ki_var(kb_loop(k, "p", kbound(first), end, 1));
    emit_panel(p, panel, width, body);
    kb_end(k);
  }
  if (whole < panels) { // in the last task
    if (divided) kb_loop(k, "last", kbound(ki_const(whole)), kbound_cap(ki_addc(first, chunk), ki_const(panels)), 1);
    emit_panel(p, ki_const(whole), p->n % width, body);
    if (divided) kb_end(k);
  }
  for (int d = 0; d < leading + divided; d++) kb_end(k);
  return true;
}

static KIdx leading_address(const Panels *p, int leading, const int64_t *stride) {
  KIdx i = ki_const(0);
  for (int d = 0; d < leading; d++) i = ki_add(i, ki_mul(p->at[d], stride[d]));
  return i;
}

static void pack_panel_row(Panels *p, KIdx panel, KIdx k, int64_t columns) {
  int leading = p->lo->rank - 3;
  p->at[leading] = panel, p->at[leading + 1] = k;
  p->from = ki_add(leading_address(p, leading, p->stride), p->turned ? p->row : ki_mul(k, p->step_k));
  p->from = ki_add(p->from, ki_mul(panel, p->step_panel));
  emit_run(p, columns, p->form.panel);
}

static void unpack_panel_row(Panels *p, KIdx panel, KIdx k, int64_t columns) {
  Lowering *lo = p->lo;
  int leading = lo->rank - 2;
  KIdx from = ki_add(leading_address(p, leading, p->stride), ki_mul(k, p->stride[leading + 1]));
  KIdx to = ki_add(leading_address(p, leading, lo->root.stride), ki_mul(k, p->step_k));
  from = ki_add(from, ki_mul(panel, p->stride[leading]));
  to = ki_add(to, ki_mul(panel, p->form.panel * p->step_n));
  uint32_t lanes = p->vectors ? lo->k->lanes : 1;
  for (int64_t c = 0; c < columns; c += lanes) {
    int64_t n = columns - c < (int64_t)lanes ? columns - c : (int64_t)lanes;
    KVal x = p->x.constant ? kb_const(lo->k, p->x.value, DT_F32, lanes)
                           : kb_load(lo->k, p->x.buf, ki_addc(from, c * p->stride[leading + 2]), lanes, n, NULL);
    kb_store(lo->k, lo->root.buf, ki_add(to, ki_const(c * p->step_n)), x, n);
  }
}

/* the operators --------------------------------------------------------------------------------------------------- */
static bool finish(const Panels *p, const char *what) {
  Lowering *lo = p->lo;
  const Type *t = &graph_value(lo->g, lo->grp->root)->type;
  Buf b = {0};
  type_print(&b, lo->m, t);
  const char *about = arena_printf(lo->arena, "%s %s %s", what, pack_info[p->form.kind].name, b.s);
  buf_free(&b);
  const char *name = arena_printf(lo->arena, "%s_%s", what, pack_info[p->form.kind].name);
  double elements = (double)lo->t->cost->pack_elements;
  return lower_finish(lo, elements, 8 * elements, name, about);
}

// x are panels themselves, of the same width: s, the strides of panels, rows and columns, take the place of the
// matrix's.
static void place_panels(Panels *p, bool turned, const int64_t *s) {
  p->turned = turned;
  p->step = turned ? s[1] : s[2];
  p->step_panel = turned ? p->form.panel * s[1] : s[0];
  p->step_k = s[1];
}

bool lower_pack(Lowering *lo, Val member) {
  const Value *v = graph_value(lo->g, member);
  const Type *from = &graph_value(lo->g, v->args[0])->type;
  Panels p = {.lo = lo, .member = member, .form = pack_form(v)};
  int last = from->rank - 1;
  bool panels = p.form.kind == PACK_panels;
  PackForm have;
  Val source = v->args[0], made;
  bool again = panels && panels_below(lo->g, source, &made, &have) && have.panel == p.form.panel;
  if (again) source = made;
  lower_domain(lo, &v->type);
  if (!lower_operand(lo, source, "x", &p.x, p.stride) || !lower_sources(lo) || !lower_root(lo)) return false;
  int n = panels && !p.form.trans ? last - 1 : last, k = panels && p.form.trans ? last - 1 : last; // axes
  if (last >= 0) {
    p.n = type_extent(lo->m, from, n), p.k = type_extent(lo->m, from, k);
    p.step = p.step_n = p.stride[n], p.step_k = p.stride[k];
  } else {
    p.n = p.k = p.step = 1;
  }
  p.step_panel = p.form.panel * p.step_n;
  if (again) place_panels(&p, have.trans != p.form.trans, p.stride + last - 1);
  p.vectors = (p.step == 1 || p.x.constant) && lower_vectors(lo);
  if (panels && !emit_panels(&p, lo->rank - 3, pack_panel_row)) return false;
  if (!panels) {
    int64_t total = lo->axis[lo->rank - 1].extent;
    lower_rows(lo, lo->t->cost->pack_elements / (total < 1 ? 1 : total), emit_row, &p);
  }
  return finish(&p, "pack");
}

bool lower_unpack(Lowering *lo, const Source *x, const int64_t *stride) {
  const Value *v = graph_value(lo->g, lo->grp->root);
  Panels p = {.lo = lo, .form = pack_form(v), .x = *x};
  memcpy(p.stride, stride, sizeof p.stride);
  int last = lo->rank - 1, n = p.form.trans ? last : last - 1, k = p.form.trans ? last - 1 : last;
  p.n = lo->axis[n].extent, p.k = lo->axis[k].extent;
  p.step_n = lo->root.stride[n], p.step_k = lo->root.stride[k];
  p.vectors = p.step_n == 1 && p.form.panel % lo->k->lanes == 0;
  return emit_panels(&p, last - 1, unpack_panel_row) && finish(&p, "unpack");
}
