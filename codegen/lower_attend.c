// lower_attend.c: setting up an attention or its gradient: operands, parts, masks, packed keys and values; see
// lower_attend.h.
#include "lower_attend.h"
#include "ir/op/op.h"

#include <string.h>

/* masks ----------------------------------------------------------------------------------------------- */
const Mask attend_all = {.op = MASK_TRUE};

static bool mask_reads(const Mask *m, int arg) {
  return m && ((m->op == MASK_ARG && m->index == arg) || mask_reads(m->a, arg) || mask_reads(m->b, arg));
}

typedef struct MaskParts { // rows of two parts
  const Attention *at;
  const Part *q, *k;
} MaskParts;

static MaskTruth part_truth(const Mask *m, const void *ud) {
  const MaskParts *p = ud;
  if (m->op == MASK_IS) return (m->on_key ? p->k : p->q)->modality == m->index ? MASK_ALWAYS : MASK_NEVER;
  if (m->op == MASK_ARG && p->at->arg[m->index].constant) return p->at->arg[m->index].value ? MASK_ALWAYS : MASK_NEVER;
  return MASK_OPEN;
}

// The mask for keys of one part seen from queries of another; NULL = false.
static const Mask *simplify(const Attention *at, const Mask *m, const Part *q, const Part *k) {
  return mask_fold(at->lo.arena, m, part_truth, &(MaskParts){at, q, k});
}

// Does the mask hide every key behind the query?
static bool hides_later(const Mask *m) {
  if (!m) return false;
  if (m->op == MASK_LE || m->op == MASK_LT) return m->on_key && m->index <= (m->op == MASK_LT);
  return m->op == MASK_AND && (hides_later(m->a) || hides_later(m->b));
}

static bool same_index(const KIdx *a, const KIdx *b) {
  return a->c == b->c && ki_same_terms(a, b);
}

// Query and key rows of the two parts are the same positions.
static bool same_rows(const Attention *a, const Part *q, const Part *k) {
  return same_index(&q->position, &k->position) && same_index(&q->r.len, &k->r.len) && !a->start_buf.id &&
         !a->start_constant && !value_int(a->anchor, A_qstart, 0);
}

QueryTile attend_tile(Attention *a, const Part *q, KIdx row, int rows) {
  QueryTile t = {.a = a, .q = q, .row = row, .rows = rows, .at = ki_const(0)};
  for (int i = 0; i < a->nkey; i++) {
    t.mask[i] = simplify(a, a->mask, q, &a->key[i]);
    t.causal[i] = !a->masked && hides_later(t.mask[i]) && same_rows(a, q, &a->key[i]);
  }
  return t;
}

bool attend_sees(const QueryTile *t, int part) {
  return t->mask[part] || t->a->masked;
}

/* packing --------------------------------------------------------------------------------------------- */
KIdx attend_row(const Attention *a, const HeadRows *o, KIdx row) {
  KIdx i = ki_add(ki_mul(a->batch, o->b), ki_mul(row, o->row));
  return ki_addc(ki_add(i, ki_mul(o->shared ? a->kv_head : a->head, o->columns * o->column)), o->first * o->column);
}

typedef struct PackKeys {
  const Attention *a;
  const Part *p;
  const HeadRows *from;
  KBufRef to;
} PackKeys;

static void pack_key(const PackKeys *x, KIdx panel, KIdx j, KIdx c) {
  const HeadRows *o = x->from;
  Kernel *k = x->a->lo.k;
  KIdx from = ki_add(attend_row(x->a, o, ki_addc(j, x->p->r.start)), ki_mul(c, o->column));
  KIdx to = ki_add(ki_add(ki_mul(panel, o->columns - 1), j), ki_addc(ki_mul(c, PANEL), x->p->slot * o->columns));
  kb_store(k, x->to, to, kb_load(k, o->buf, from, 1, 1, NULL), 1);
}

// Whole panels column by column: 16 adjacent stores; the keys behind them row by row.
void attend_pack_keys(Attention *a, const Part *p, const HeadRows *from, KBufRef to) {
  Kernel *k = a->lo.k;
  const PackKeys x = {a, p, from, to};
  int64_t whole = p->r.bound / PANEL * PANEL;
  if (whole) {
    KIdx panel = ki_var(kb_loop(k, "jp", kbound(ki_const(0)), kbound_floor(p->r.len, PANEL), PANEL));
    KIdx c = ki_var(kb_loop(k, "c", kbound(ki_const(0)), kbound(ki_const(from->columns)), 1));
    for (int u = 0; u < PANEL; u++) pack_key(&x, panel, ki_addc(panel, u), c);
    kb_end(k);
    kb_end(k);
  }
  if (p->r.fixed && whole == p->r.bound) return;
  KIdx panel = ki_var(kb_loop(k, "jp", kbound_floor(p->r.len, PANEL), kbound(p->r.len), PANEL));
  KIdx j = ki_var(kb_loop(k, "j", kbound(panel), kbound(p->r.len), 1));
  pack_key(&x, panel, j, ki_var(kb_loop(k, "c", kbound(ki_const(0)), kbound(ki_const(from->columns)), 1)));
  for (int i = 0; i < 3; i++) kb_end(k);
}

typedef struct PackRow {
  const RowPanels *panels;
  KIdx from, to;
} PackRow;

static void pack_vector(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const PackRow *r = ud;
  const RowPanels *p = r->panels;
  KVal x = kb_load(lo->k, p->from->buf, ki_add(r->from, ki_mul(c, p->from->column)), lanes, lanes == 1 ? 1 : n, NULL);
  if (p->factor != 1) x = kb_op2(lo->k, K_mul, x, kb_const(lo->k, p->factor, DT_F32, lanes));
  kb_store(lo->k, p->to, ki_add(r->to, c), x, lanes == 1 ? 1 : lanes);
}

// n columns of a row from `column` on, the start of a panel.
static void pack_row(Attention *a, const RowPanels *p, KIdx j, KIdx column, int64_t n) {
  const HeadRows *o = p->from;
  KIdx from = ki_add(attend_row(a, o, ki_add(j, p->start)), ki_mul(column, o->column));
  PackRow r = {p, from, ki_add(ki_mul(ki_addc(j, p->first), PANEL), ki_mul(column, p->pitch))};
  Range columns = {0, ki_const(n), n, true};
  lower_columns(&a->lo, &columns, o->column == 1, 1, NULL, 0, pack_vector, &r);
}

void attend_pack_rows(Attention *a, const RowPanels *r) {
  Kernel *k = a->lo.k;
  int64_t whole = r->from->columns / PANEL * PANEL;
  KIdx j = ki_var(kb_loop(k, "j", kbound(ki_const(0)), kbound(r->n), 1));
  if (whole) {
    KVar c = kb_loop(k, "cp", kbound(ki_const(0)), kbound(ki_const(whole)), PANEL);
    pack_row(a, r, j, ki_var(c), PANEL);
    kb_end(k);
  }
  if (whole < r->from->columns) pack_row(a, r, j, ki_const(whole), r->from->columns - whole);
  kb_end(k);
}

void attend_pack_values(Attention *a, const Part *p, const HeadRows *from, double factor, KBufRef to) {
  RowPanels r = {from, ki_const(p->r.start), p->r.len, factor, to, a->slots, p->slot};
  attend_pack_rows(a, &r);
}

typedef struct PackMask {
  Attention *a;
  const Part *p;
  int arg;
  KIdx query;
} PackMask;

static void pack_mask_column(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  const PackMask *m = ud;
  Attention *a = m->a;
  int64_t stride = a->arg[m->arg].n;
  KIdx from = ki_add(ki_mul(a->batch, a->arg[m->arg].b), ki_mul(c, stride));
  if (a->arg[m->arg].rows) from = ki_add(from, ki_mul(m->query, a->arg[m->arg].row));
  KVal x = kb_cvt(lo->k, kb_loadm(lo->k, a->arg[m->arg].buf, from, lanes == 1 ? 1 : n), DT_F32);
  kb_store(lo->k, a->arg[m->arg].scratch, ki_addc(c, m->p->slot - m->p->r.start), x, lanes == 1 ? 1 : n);
}

static void pack_masks(Attention *a, const Part *p, bool rows, KIdx query) {
  for (int i = 0; i < 16; i++) {
    if (!a->arg[i].buf.id || a->arg[i].rows != rows) continue;
    PackMask m = {a, p, i, query};
    lower_columns(&a->lo, &p->r, a->arg[i].n == 1, 1, NULL, 0, pack_mask_column, &m);
  }
}

void attend_pack_masks(Attention *a, const Part *p) {
  pack_masks(a, p, false, ki_const(0));
}

void attend_pack_query_masks(Attention *a, const Part *p, KIdx query) {
  pack_masks(a, p, true, query);
}

/* setting up ------------------------------------------------------------------------------------------ */
void attend_start(Attention *a) {
  Kernel *k = a->lo.k;
  a->start = ki_const(value_int(a->anchor, A_qstart, 0) + a->start_constant);
  if (!a->start_buf.id) return;
  int64_t keys = type_extent(a->lo.m, &graph_value(a->lo.g, a->anchor->args[1])->type, 1);
  int64_t most = keys - 1;
  if (a->bias_placed) most -= value_int(a->anchor, A_qstart, 0); // every row that is found by it exists
  KVar v = kb_ldidx(k, a->start_buf, ki_mul(a->batch, a->start_stride), 0, most, "start");
  a->start = ki_add(a->start, ki_var(v));
}

// Parts of axis 1 with their positions.
static int parts_of(Attention *a, const Type *t, bool by_segment, Part *part) {
  Axis axis = lower_axis(&a->lo, t, 1, by_segment);
  KIdx position = ki_const(0);
  int64_t slot = 0;
  for (int i = 0; i < axis.n; i++) {
    bool segment = t->nseg && t->segaxis == 1 && axis.n == t->nseg;
    part[i] = (Part){axis.range[i], position, segment ? t->seg[i].modality : -1, slot};
    position = ki_add(position, axis.range[i].len);
    slot += round_up(axis.range[i].bound, PANEL);
  }
  return axis.n;
}

bool attend_operand(Attention *a, uint32_t arg, const char *name, int64_t columns, HeadRows *o) {
  Source s;
  int64_t stride[MAX_RANK];
  Val v = a->anchor->args[arg];
  if (!lower_stored(&a->lo, v, name, &s, stride)) return false;
  const bool shared = (arg == 1 || arg == 2) && a->kv_heads < a->heads;
  *o = (HeadRows){s.buf, stride[0], stride[1], stride[2], columns, 0, shared};
  return true;
}

// The bias is laid out once for all its slices (the last layer's query row, one modality's rows and columns).
SY_MUST_USE static bool add_bias(Attention *a, Val v) {
  Access at;
  if (!rows_with_room(a->lo.g, v, &at)) return lower_fail(&a->lo, v, "a bias lies in rows with room behind (pack)");
  a->bias_head = at.stride[0], a->bias_row = at.stride[1];
  const Value *q = graph_value(a->lo.g, a->anchor->args[0]);
  a->bias_placed = graph_value(a->lo.g, v)->type.dim[1].c > type_extent(a->lo.m, &q->type, 1);
  return lower_packed(&a->lo, &at, "bias", storage_elements(a->lo.g, at.base) - at.offset, &a->bias);
}

SY_MUST_USE static bool add_extra(Attention *a, int arg) {
  Val v = a->anchor->args[arg];
  if (graph_value(a->lo.g, v)->type.dtype == DT_F32) return add_bias(a, v);
  Source s;
  int64_t stride[MAX_RANK];
  bool position = graph_value(a->lo.g, v)->type.dtype == DT_I32;
  if (!position && !mask_reads(a->mask, arg)) return true;
  if (!lower_operand(&a->lo, v, position ? "start" : "mask", &s, stride)) return false;
  if (s.constant && position) {
    a->start_constant = (int64_t)s.value;
  } else if (s.constant) {
    a->arg[arg].constant = true;
    a->arg[arg].value = s.value != 0;
  } else if (position) {
    a->start_buf = s.buf;
    a->start_stride = stride[0];
  } else {
    a->arg[arg].buf = s.buf;
    a->arg[arg].b = stride[0];
    a->arg[arg].rows = graph_value(a->lo.g, v)->type.rank == 3;
    a->arg[arg].row = stride[1];
    a->arg[arg].n = stride[a->arg[arg].rows ? 2 : 1];
  }
  return true;
}

int64_t attend_queries(const Attention *a) {
  int64_t n = 0;
  for (int i = 0; i < a->nquery; i++) n += a->query[i].r.bound;
  return n;
}

int64_t attend_longest_query(const Attention *a) {
  int64_t n = 0;
  for (int i = 0; i < a->nquery; i++) n = a->query[i].r.bound > n ? a->query[i].r.bound : n;
  return n;
}

// Every height that a run-time number of rows may give is a copy of scores, softmax and values: lower tiles, as many as
// keep the multipliers busy.
static int64_t most_rows(const Attention *a, int64_t rows, int64_t panels) {
  bool fixed = true;
  for (int i = 0; i < a->nquery; i++) fixed = fixed && a->query[i].r.fixed;
  const AttentionCosts *c = &a->lo.t->cost->attention;
  int64_t enough = panels > 1 ? c->enough_rows_wide : c->enough_rows;
  return fixed || rows < enough ? rows : enough;
}

void attend_choose_tile(Attention *a) {
  const Target *t = a->lo.t;
  const Costs *c = t->cost;
  double best = 1e30;
  int64_t keys = a->slots / PANEL, values = a->e_pad / PANEL, rows = attend_longest_query(a);
  for (size_t i = 0; i < sizeof t->tile / sizeof *t->tile && t->tile[i].rows; i++) {
    int64_t w = t->tile[i].panels;
    double cost = (double)(keys * a->d) + c->left_over * (double)(keys % w ? a->d : 0);
    cost += (double)(values * keys * PANEL) + c->left_over * (double)(values % w ? keys * PANEL : 0);
    cost *= 1 + c->later_tile * (double)i;
    if (cost >= best) continue;
    best = cost;
    a->width = t->tile[i].panels;
    int64_t most = most_rows(a, t->tile[i].rows, w);
    a->rows = (int)(most < rows ? most : rows);
  }
}

int64_t attend_keys(const Attention *a) {
  int64_t n = 0;
  for (int i = 0; i < a->nkey; i++) n += a->key[i].r.bound;
  return n;
}

int64_t attend_task_queries(const Attention *a) {
  int64_t least = ki_min(a->lo.k, &a->lo.axis[0].range[0].len), entries = a->heads * (least > 1 ? least : 1);
  const AttentionCosts *c = &a->lo.t->cost->attention;
  int64_t most = attend_longest_query(a), blocks = ceil_div(c->entries, entries);
  return entries < c->entries && most >= c->least_tiles * a->rows ? round_up(ceil_div(most, blocks), a->rows) : 0;
}

const char *attend_sizes(const Attention *a) {
  return arena_printf(a->lo.arena, "%lld heads of %lld and %lld, up to %lld x %lld", (long long)a->heads,
                      (long long)a->d, (long long)a->e, (long long)attend_queries(a), (long long)attend_keys(a));
}

// The last two operands: which weights are dropped.
SY_MUST_USE static bool add_draws(Attention *a) {
  const Value *v = a->anchor;
  const uint32_t key = attention_seen(v);
  int64_t stride[2][MAX_RANK] = {{0}};
  a->drops = value_attr(v, A_rate);
  if (!a->drops) return true;
  a->rate = value_float(v, A_rate, 0);
  if (!lower_operand(&a->lo, v->args[key], "key", &a->word, stride[0]) ||
      !lower_operand(&a->lo, v->args[key + 1], "sample", &a->sample, stride[1]))
    return false;
  a->word_stride = stride[0][0], a->sample_stride = stride[1][0];
  return true;
}

bool attend_begin(Attention *a) {
  const Value *v = a->anchor;
  const Graph *g = a->lo.g;
  const Type *tq = &graph_value(g, v->args[0])->type, *tk = &graph_value(g, v->args[1])->type;
  const Type *tv = &graph_value(g, v->args[2])->type;
  a->heads = value_int(v, A_heads, 1);
  a->d = tq->dim[2].c / a->heads;
  a->kv_heads = value_int(v, A_kv_heads, a->heads);
  a->e = tv->dim[2].c / a->kv_heads;
  a->e_pad = round_up(a->e, PANEL);
  a->scale = value_float(v, A_scale, 1);
  a->cap = value_float(v, A_cap, 0);
  a->masked = value_attr(v, A_masked);
  a->mask = value_mask(a->lo.arena, g->module, v);
  lower_domain(&a->lo, tq);
  if (a->lo.axis[0].n != 1) return lower_fail(&a->lo, a->lo.grp->root, "the batch axis is stored in parts");
  a->nquery = parts_of(a, tq, mask_asks(a->mask, false), a->query);
  a->nkey = parts_of(a, tk, mask_asks(a->mask, true), a->key);
  for (int i = 0; i < a->nkey; i++) a->slots = a->key[i].slot + round_up(a->key[i].r.bound, PANEL);
  if (!attend_operand(a, 0, "q", a->d, &a->q) || !attend_operand(a, 1, "k", a->d, &a->k) ||
      !attend_operand(a, 2, "v", a->e, &a->v))
    return false;
  for (uint32_t i = 3; i < attention_seen(v) && i < 16; i++)
    if (!add_extra(a, (int)i)) return false;
  return add_draws(a);
}

void attend_scratch(Attention *a, int64_t rows) {
  Kernel *k = a->lo.k;
  a->s = kb_buf(k, "s", DT_F32, KB_SCRATCH, rows * a->slots);
  a->inv = kb_buf(k, "inv", DT_F32, KB_SCRATCH, a->rows);
  for (int i = 0; i < 16; i++)
    if (a->arg[i].buf.id) a->arg[i].scratch = kb_buf(k, "visible", DT_F32, KB_SCRATCH, a->slots);
}
