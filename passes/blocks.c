// blocks.c: label_scores and its gradients (ir/op/label.c) become products of blocks of the vocabulary, so that the
// logits of one block are in memory at a time, and products of the rows that count, moved together to the front.
//
// Rows that count are numbered from 1 on; row 0 and what stands behind the last are zero and have no gradient. Their
// number is known when the step runs: linear_rows and outer_rows take it as an operand. The bounds of the batch make
// the table of rows, PassOptions.logits and it the blocks, so that no bit depends on anything else.
//
//   place = select(counted, running_count(counted), 0);  xs = rows_add(place, x);  n = 1 + number of rows
//   of each block of V:  l = linear_rows(xs, w[block], n) + b[block];  m = log_sum_exp(l);  h = l at the label
//   lse = log_sum_exp(concat m);  scores = embedding(sum of h - lse | lse, place)
//
// and backward, with lse from the scores, where gh and gt are the gradients of a row's first and last column and ga is
// what p is multiplied with:
//
//   of each block of V:  l = linear_rows(xs, w[block], n) + b[block]
//                        d = (column is the label ? gh : 0) + gt - ga e^(l - lse)            on the tile of the product
//                        dxs = dxs + linear_rows(d, w[block]^T, n);  dw[block] = outer_rows(d, xs, n);  db[block] = sum
//                        d
//   dx = embedding(dxs, place)
//
// The logits are computed twice: kept for the gradient, they would be in memory at once.
#include "ir/op/op.h"
#include "pass.h"

#include <float.h>

PassFn pass_blocks;

enum { ROW_STEP = 128 }; // rows are filled up to a multiple: outer goes through them in blocks that divide their number
enum { LEAST_BLOCK = 64 }; // panels

enum { X, W, LABELS, COUNTED, BIAS };

typedef struct Blocks {
  Graph *g;
  Span span;
  Val x, w, labels, counted, bias; // operands
  int64_t vocab, rows, count, block;
  Val place, xs, n, ls; // places of rows; rows, how many, their labels [rows,1]
} Blocks;

/* building -------------------------------------------------------------------------------------------------------- */
// Nothing is shared with what is there: the backward pass computes again what the forward pass has.
static Val op(const Blocks *b, Op o, const Val *args, size_t n, const Attr *attr, size_t nattr, const Type *t) {
  Type copy = t ? *t : (Type){0};
  Val v = graph_add_exact(b->g, o, args, n, attr, nattr, t ? &copy : NULL, b->span);
  if (!v.id) ICE("blocks: %s cannot be built", op_info[o].name);
  return v;
}
static Val op1(const Blocks *b, Op o, Val x) {
  return op(b, o, &x, 1, NULL, 0, NULL);
}
static Val op2(const Blocks *b, Op o, Val x, Val y) {
  return op(b, o, (Val[]){x, y}, 2, NULL, 0, NULL);
}
static Val select3(const Blocks *b, Val which, Val yes, Val no) {
  return op(b, OP_select, (Val[]){which, yes, no}, 3, NULL, 0, NULL);
}
static Val number(const Blocks *b, DType dt, double x) {
  Attr value = attr_float(A_value, x);
  Type t = {.dtype = dt};
  return op(b, OP_constant, NULL, 0, &value, 1, &t);
}
static Val compare(const Blocks *b, const char *how, Val x, Val y) {
  Attr cmp = attr_str(A_cmp, how);
  return op(b, OP_compare, (Val[]){x, y}, 2, &cmp, 1, NULL);
}
static Val cast(const Blocks *b, Val x, const char *to) {
  Attr a = attr_str(A_to, to);
  return op(b, OP_cast, &x, 1, &a, 1, NULL);
}
static const Type *type_of(const Blocks *b, Val v) {
  return &graph_value(b->g, v)->type;
}
static Val reshape(const Blocks *b, Val x, const Type *t) {
  return op(b, OP_reshape, &x, 1, NULL, 0, t);
}
static Val slice(const Blocks *b, Val x, int axis, int64_t start, int64_t n) {
  Type t = *type_of(b, x);
  Attr at[] = {attr_int(A_axis, axis), attr_int(A_start, start)};
  t.dim[axis] = DIM(n);
  return op(b, OP_slice, &x, 1, at, 2, &t);
}
static Val concat(const Blocks *b, const Val *part, size_t n, int axis) {
  Attr a = attr_int(A_axis, axis);
  return n == 1 ? part[0] : op(b, OP_concat, part, n, &a, 1, NULL);
}
static Type matrix(DType dt, int64_t rows, int64_t columns) {
  return (Type){.dtype = dt, .rank = 2, .dim = {DIM(rows), DIM(columns)}};
}

// The sum of all elements, f32[].
static Val total(const Blocks *b, Val x) {
  while (type_of(b, x)->rank) {
    x = op1(b, OP_reduce_sum, x);
    Type t = *type_of(b, x);
    t.rank--;
    if (t.nseg && t.segaxis == t.rank) type_set_segs(&t, t.rank, NULL, 0);
    x = reshape(b, x, &t);
  }
  return x;
}

static Val with_last_axis(const Blocks *b, Val x) { // [..] as [..,1]
  Type t = *type_of(b, x);
  t.dim[t.rank++] = DIM(1);
  return reshape(b, x, &t);
}

/* rows that count ------------------------------------------------------------------------------------------------- */
// Rows [..,d] that count, moved to where `place` says: [rows,d].
static Val gathered(const Blocks *b, Val x) {
  const Type *from = type_of(b, x);
  Type t = matrix(DT_F32, b->rows, from->dim[from->rank - 1].c);
  Attr attr[] = {attr_int(A_axis, 0), attr_int(A_keep, 1)};
  return op(b, OP_rows_add, (Val[]){b->place, x}, 2, attr, 2, &t);
}

// Back from there: rows that do not count are zero.
static Val spread(const Blocks *b, Val rows, const Type *t) {
  Val y = op2(b, OP_embedding, rows, b->place);
  y = select3(b, with_last_axis(b, b->counted), y, number(b, DT_F32, 0));
  return type_equal(type_of(b, y), t) ? y : op(b, OP_retag, &y, 1, NULL, 0, t);
}

static void gather_rows(Blocks *b) {
  Val none = number(b, DT_I32, 0), one = number(b, DT_F32, 1), zero = number(b, DT_F32, 0);
  b->place = select3(b, b->counted, op1(b, OP_running_count, b->counted), none);
  b->n = cast(b, op2(b, OP_add, total(b, select3(b, b->counted, one, zero)), one), "i32");
  b->xs = gathered(b, b->x);
  b->ls = cast(b, gathered(b, with_last_axis(b, cast(b, b->labels, "f32"))), "i32");
}

/* blocks ---------------------------------------------------------------------------------------------------------- */
static int64_t block_columns(const Blocks *b, int64_t start) {
  return start + b->block < b->vocab ? b->block : b->vocab - start;
}

// The block of the weight, in the panels of a product of its own: weights that are read whole lie elsewhere in panels,
// in rows where blocks read them.
static Val block_weight(const Blocks *b, int64_t start, bool trans) {
  PackForm f = {PACK_panels, trans, PANEL};
  Attr attr[4];
  size_t n = pack_attrs(f, attr);
  Val w = slice(b, b->w, 0, start, block_columns(b, start));
  Type t = *type_of(b, w);
  return op(b, OP_unpack, (Val[]){op(b, OP_pack, &w, 1, attr, n, NULL)}, 1, attr, n, &t);
}

static Val rows_product(const Blocks *b, Val x, Val w, bool trans) {
  Attr t = attr_int(A_trans, trans);
  return op(b, OP_linear_rows, (Val[]){x, w, b->n}, 3, &t, 1, NULL);
}

static Val block_logits(const Blocks *b, int64_t start) {
  Val l = rows_product(b, b->xs, block_weight(b, start, false), false);
  return b->bias.id ? op2(b, OP_add, l, slice(b, b->bias, 0, start, block_columns(b, start))) : l;
}

static Val label_here(const Blocks *b, int64_t start) { // the label as a column of the block
  return start ? op2(b, OP_sub, b->ls, number(b, DT_I32, (double)start)) : b->ls;
}

// The logit of each row at its label where that is in the block, else 0. A label outside the vocabulary stays outside
// the first or the last block, where looking it up is the error.
static Val block_hit(const Blocks *b, Val logits, int64_t start) {
  int64_t columns = block_columns(b, start);
  Val at = label_here(b, start), ids = at, none = number(b, DT_I32, 0), last = number(b, DT_I32, (double)columns - 1);
  bool first = !start, end = start + columns == b->vocab;
  if (!first) ids = op2(b, OP_maximum, ids, none);
  if (!end) ids = op2(b, OP_minimum, ids, last);
  Type flat = {.dtype = DT_I32, .rank = 1, .dim = {DIM(b->rows)}};
  Type deep = {.dtype = DT_F32, .rank = 3, .dim = {DIM(b->rows), DIM(columns), DIM(1)}};
  Val hit = op2(b, OP_gather_rows, reshape(b, logits, &deep), reshape(b, ids, &flat));
  if (first && end) return hit;
  return select3(b, compare(b, "eq", at, ids), hit, number(b, DT_F32, 0));
}

static Val add_to(const Blocks *b, Val sum, Val more) {
  return sum.id ? op2(b, OP_add, sum, more) : more;
}

// The value of label_scores, of type t.
static Val forward(const Blocks *b, const Type *t) {
  size_t blocks = (size_t)((b->vocab + b->block - 1) / b->block), i = 0;
  Arena a = {0};
  Val *part = ARENA_ARRAY(&a, Val, blocks), hit = NO_VAL, sum = NO_VAL, column[3];
  for (int64_t start = 0; start < b->vocab; start += b->block) {
    Val logits = block_logits(b, start);
    part[i++] = op1(b, OP_log_sum_exp, logits);
    hit = add_to(b, hit, block_hit(b, logits, start));
    if (b->count > 2) sum = add_to(b, sum, op1(b, OP_reduce_sum, logits));
  }
  Val lse = blocks > 1 ? op1(b, OP_log_sum_exp, concat(b, part, blocks, 1)) : part[0];
  arena_free(&a);
  column[0] = op2(b, OP_sub, hit, lse), column[1] = lse;
  if (b->count > 2) column[2] = op2(b, OP_sub, sum, op2(b, OP_mul, lse, number(b, DT_F32, (double)b->vocab)));
  return spread(b, concat(b, column, (size_t)b->count, 1), t);
}

// lse of the rows, where e^(logit - lse) is to be 0 in those that are none.
static Val rows_lse(const Blocks *b, Val y) {
  Attr axis = attr_int(A_axis, 0);
  Type t = matrix(DT_I32, b->rows, 1);
  Val row = op(b, OP_iota, NULL, 0, &axis, 1, &t), zero = number(b, DT_I32, 0);
  Val is = op2(b, OP_logical_and, compare(b, "gt", row, zero), compare(b, "lt", row, b->n));
  return select3(b, is, slice(b, y, 1, 1, 1), number(b, DT_F32, FLT_MAX));
}

typedef struct Grads { // of one label_scores: what is asked for, and the values
  bool want[BIAS + 1];
  Val d[BIAS + 1];
} Grads;

static void backward(const Blocks *b, Val y, Val dy, Grads *grads) {
  Val g = gathered(b, dy), gh = slice(b, g, 1, 0, 1), gt = NO_VAL, ga = op2(b, OP_sub, gh, slice(b, g, 1, 1, 1));
  Val dxs = NO_VAL, lse = rows_lse(b, gathered(b, y));
  if (b->count > 2) {
    gt = slice(b, g, 1, 2, 1);
    ga = op2(b, OP_add, ga, op2(b, OP_mul, gt, number(b, DT_F32, (double)b->vocab)));
  }
  size_t blocks = (size_t)((b->vocab + b->block - 1) / b->block), i = 0;
  Arena a = {0};
  Val *dw = ARENA_ARRAY(&a, Val, blocks), *db = ARENA_ARRAY(&a, Val, blocks);
  for (int64_t start = 0; start < b->vocab; start += b->block, i++) {
    int64_t columns = block_columns(b, start), perm[] = {1, 0};
    Attr axis = attr_int(A_axis, 0), turn = attr_ints(A_perm, perm, 2);
    Type column = {.dtype = DT_I32, .rank = 1, .dim = {DIM(columns)}}, flat = column;
    Val is = compare(b, "eq", op(b, OP_iota, NULL, 0, &axis, 1, &column), label_here(b, start));
    Val p = op1(b, OP_exp, op2(b, OP_sub, block_logits(b, start), lse));
    Val d = select3(b, is, gh, number(b, DT_F32, 0));
    if (gt.id) d = op2(b, OP_add, d, gt);
    d = op2(b, OP_sub, d, op2(b, OP_mul, ga, p));
    flat.dtype = DT_F32;
    if (grads->want[W]) dw[i] = op(b, OP_outer_rows, (Val[]){d, b->xs, b->n}, 3, NULL, 0, NULL);
    if (grads->want[BIAS]) db[i] = reshape(b, op1(b, OP_reduce_sum, op(b, OP_transpose, &d, 1, &turn, 1, NULL)), &flat);
    if (grads->want[X]) dxs = add_to(b, dxs, rows_product(b, d, block_weight(b, start, true), true));
  }
  if (grads->want[X]) grads->d[X] = spread(b, dxs, type_of(b, b->x));
  if (grads->want[W]) grads->d[W] = concat(b, dw, blocks, 0);
  if (grads->want[BIAS]) grads->d[BIAS] = concat(b, db, blocks, 0);
  arena_free(&a);
}

/* the graph ------------------------------------------------------------------------------------------------------- */
static Blocks begin(Graph *g, const Value *v, bool bias, int64_t most) {
  Blocks b = {.g = g, .span = v->span, .x = v->args[X], .w = v->args[W], .labels = v->args[LABELS]};
  b.counted = v->args[COUNTED];
  if (bias) b.bias = v->args[BIAS];
  const Type *t = type_of(&b, b.labels);
  b.rows = round_up(1 + type_elements(g->module, t), ROW_STEP);
  b.vocab = type_of(&b, b.w)->dim[0].c;
  b.count = value_int(v, A_count, 2);
  int64_t whole = 4 * b.rows * b.vocab, blocks = (whole + most - 1) / most;
  b.block = round_up((b.vocab + blocks - 1) / blocks, PANEL);
  if (b.block < LEAST_BLOCK * PANEL && most >= LOGITS_MOST) b.block = LEAST_BLOCK * PANEL;
  if (b.block > b.vocab) b.block = b.vocab;
  return b;
}

static bool like(const Value *a, const Value *b) { // gradients of one label_scores by one gradient
  if (a->dead || a->op != b->op || a->nargs != b->nargs) return false;
  for (uint32_t i = 0; i < a->nargs; i++)
    if (a->args[i].id != b->args[i].id) return false;
  return true;
}

// Puts what computes value i, or i and the gradients like it, in its place.
static size_t expand(Graph *g, uint32_t i, int64_t most) {
  size_t from = g->value.n, n = 0;
  Value v = g->value.at[i];
  bool gradient = v.op == OP_label_scores_grad;
  Blocks b = begin(g, &v, v.nargs > (gradient ? BIAS + 2 : BIAS), most);
  Grads grads = {0};
  for (size_t k = i; gradient && k < from; k++)
    if (like(&g->value.at[k], &v)) grads.want[value_attr(&g->value.at[k], A_wrt)->v[0]] = true;
  gather_rows(&b);
  Val y = NO_VAL;
  if (gradient)
    backward(&b, v.args[v.nargs - 2], v.args[v.nargs - 1], &grads);
  else
    y = forward(&b, &v.type);
  for (size_t k = i; k < from; k++) {
    if (k > i && !like(&g->value.at[k], &v)) continue;
    graph_replace(g, (Val){(uint32_t)k}, gradient ? grads.d[value_attr(&g->value.at[k], A_wrt)->v[0]] : y);
    g->value.at[k].dead = true;
    n++;
    if (!gradient) break;
  }
  graph_move(g, (Val){i}, from);
  return n;
}

size_t pass_blocks(Module *m, Arena *scratch, const PassOptions *o) {
  (void)scratch;
  size_t n = 0;
  int64_t most = o->logits ? o->logits : LOGITS_MOST;
  for (size_t i = 0; i < m->graph.n; i++) {
    Graph *g = m->graph.at[i];
    size_t before = n;
    for (uint32_t v = 1; v < g->value.n; v++) // what is expanded makes place for values that are looked at, in vain
      if (!g->value.at[v].dead && (g->value.at[v].op == OP_label_scores || g->value.at[v].op == OP_label_scores_grad))
        n += expand(g, v, most);
    if (n == before) continue;
    graph_dce(g);
    graph_compact(g);
  }
  return n;
}
