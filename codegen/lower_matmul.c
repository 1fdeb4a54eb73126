// lower_matmul.c: products whose second operand is computed at run time. They are small (similarities of embeddings,
// heads tied to computed tables), so the kernels are plain: one row of the result at a time, and either
//   * vectors of columns, when the columns of b are adjacent:    acc[n..] += a[k] * b[k, n..]
//   * dot products over k, when both have adjacent k:            acc[k mod V] += a[k] * b[n, k], see lower_reduce.h
//   * single lanes otherwise.
// The order over k is the same for every row and column, so results do not depend on the number of tasks. The epilogue
// is applied to each vector or element before it is stored.
#include "lower_matmul.h"
#include "lower_reduce.h"

#include <string.h>

typedef struct Matmul {
  const Value *anchor;
  size_t a, b;    // indices into Lowering.src
  int64_t ak, bk; // strides over k
  Axis k;
  bool dots;      // vectors over k
  const KIdx *at; // row indices of the current row
  Point point;    // the element at hand
  Reduce reduce;  // its sum, with `dots`
} Matmul;

static KVal scalar_product(Lowering *lo, const Matmul *m, const Point *p, KVal acc, const Range *r) {
  Kernel *k = lo->k;
  KVar v = kb_loop(k, "k", kbound(ki_const(0)), kbound(r->len), 1);
  KIdx i = ki_addc(ki_var(v), r->start);
  const Source *a = &lo->src.at[m->a], *b = &lo->src.at[m->b];
  KIdx ai = ki_add(lower_address(lo, a, p), ki_mul(i, m->ak)), bi = ki_add(lower_address(lo, b, p), ki_mul(i, m->bk));
  if (p->lanes == 1) {
    KVal x = kb_load(k, a->buf, ai, 1, 1, "a");
    kb_set(k, acc, kb_op3(k, K_fma, x, kb_load(k, b->buf, bi, 1, 1, "b"), acc));
  } else {
    KVal x = kb_bcast(k, a->buf, ai, "a");
    kb_set(k, acc, kb_op3(k, K_fma, x, kb_load(k, b->buf, bi, p->lanes, p->n, "b"), acc));
  }
  kb_end(k);
  return acc;
}

// Factors of `lanes` products from i on.
static void dot_factors(Lowering *lo, KIdx i, uint32_t lanes, int64_t n, KVal *value, void *ud) {
  const Matmul *m = ud;
  const Source *a = &lo->src.at[m->a], *b = &lo->src.at[m->b];
  n = lanes == 1 ? 1 : n;
  value[0] = kb_load(lo->k, a->buf, ki_add(lower_address(lo, a, &m->point), i), lanes, n, "a");
  value[1] = kb_load(lo->k, b->buf, ki_add(lower_address(lo, b, &m->point), i), lanes, n, "b");
}

// Sum of products of one element, vectors over k; a scalar.
static KVal dot_product(Lowering *lo, Matmul *m, const Point *p, KVal init) {
  KVal sum;
  m->point = *p;
  m->reduce.term = dot_factors, m->reduce.ud = m;
  lower_reduce(lo, m->k.range, m->k.n, &m->reduce, &sum);
  return kb_op2(lo->k, K_add, sum, init);
}

static void emit_column(Lowering *lo, KIdx c, uint32_t lanes, int64_t n, int unrolled, void *ud) {
  (void)unrolled;
  Matmul *m = ud;
  Kernel *k = lo->k;
  Point p = {.lanes = lanes, .n = n};
  for (int d = 0; d + 1 < lo->rank; d++) p.at[d] = m->at[d];
  p.at[lo->rank - 1] = c;
  KVal init = m->anchor->nargs == 3 ? lower_element(lo, &p, m->anchor->args[2]) : kb_const(k, 0, DT_F32, lanes);
  KVal acc;
  if (m->dots) {
    acc = dot_product(lo, m, &p, init);
  } else {
    acc = kb_var(k, init, "acc");
    for (int s = 0; s < m->k.n; s++) scalar_product(lo, m, &p, acc, &m->k.range[s]);
  }
  p.leaf = lo->grp->anchor;
  p.leaf_value = acc;
  lower_store(lo, &p, lower_element(lo, &p, lo->grp->root));
}

static void emit_row(Lowering *lo, KIdx *at, void *ud) {
  Matmul *m = ud;
  m->at = at;
  const Axis *columns = &lo->axis[lo->rank - 1];
  bool vectors = !m->dots && lo->src.at[m->b].stride[lo->rank - 1] == 1 && lower_vectors(lo);
  for (int s = 0; s < columns->n; s++) lower_columns(lo, &columns->range[s], vectors, 1, NULL, 0, emit_column, m);
}

// Adds a or b: aligned with the domain in its leading axes; `rows`, `columns` say which own axis is the domain's
// last but one and last (-1: none).
SY_MUST_USE static bool add_factor(Lowering *lo, Val v, const char *name, int rows, int columns, size_t *index,
                                   int64_t *stride) {
  Source s;
  if (!lower_stored(lo, v, name, &s, stride)) return false;
  const Type *t = &graph_value(lo->g, v)->type;
  for (int d = 0; d + 2 < lo->rank && t->rank == lo->rank; d++)
    if (type_extent(lo->m, t, d) != 1) s.stride[d] = stride[d];
  if (rows >= 0 && lo->rank >= 2) s.stride[lo->rank - 2] = stride[rows];
  if (columns >= 0) s.stride[lo->rank - 1] = stride[columns];
  s.data = lo->grp->anchor; // not to be taken for an operand of the epilogue
  *index = lo->src.n;
  VEC_PUSH(lo->arena, lo->src, s);
  return true;
}

bool lower_matmul(Arena *arena, const Graph *g, const Group *grp, const Target *t, Lowered *out) {
  const Value *v = graph_value(g, grp->anchor);
  Lowering lo = lower_begin(arena, g, grp, t, out, "matmul");
  Matmul m = {.anchor = v, .reduce = {.join = K_fma, .terms = 1, .dtype = DT_F32, .vectors = true}};
  const Type *ta = &graph_value(g, v->args[0])->type, *tb = &graph_value(g, v->args[1])->type;
  bool by_rows = (v->op == OP_linear) != (value_int(v, A_trans, 0) != 0); // b is [..,N,K]
  int bn = by_rows ? tb->rank - 2 : tb->rank - 1, bk = by_rows ? tb->rank - 1 : tb->rank - 2;
  int64_t sa[MAX_RANK], sb[MAX_RANK];
  lower_domain(&lo, &v->type);
  m.k = lower_axis(&lo, ta, ta->rank - 1, false);
  Axis kb = lower_axis(&lo, tb, bk, false);
  if (kb.n != m.k.n) return lower_fail(&lo, grp->anchor, "the summed axis is stored in different parts");
  if (!add_factor(&lo, v->args[0], "x", ta->rank - 2, -1, &m.a, sa)) return false;
  if (!add_factor(&lo, v->args[1], "w", -1, bn, &m.b, sb)) return false;
  if (v->nargs == 3 && !lower_source(&lo, v->args[2], &v->type, "bias")) return false;
  if (!lower_sources(&lo) || !lower_root(&lo)) return false;
  m.ak = sa[ta->rank - 1];
  m.bk = sb[bk];
  m.dots = m.ak == 1 && m.bk == 1;
  lower_collapse(&lo, lo.rank - 1, INT64_MAX);

  const Costs *c = lo.t->cost; // its operands are not packed: slower, so less work makes a task
  double k = (double)m.k.extent, n = (double)lo.axis[lo.rank - 1].extent;
  double rows = c->task_us * c->flops_per_us * c->unpacked / (2 * k * n);
  int64_t per_task = rows < 1 ? 1 : rows > 1e6 ? 1000000 : (int64_t)rows;
  lower_rows(&lo, per_task, emit_row, &m);
  return lower_finish(&lo, 2 * k * n * (double)per_task, 4 * k * n, "matmul", "product of two computed tensors");
}
