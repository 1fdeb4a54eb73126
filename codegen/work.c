// work.c: the arithmetic and the memory traffic of a group of operators for given run-time dims: what a launch does,
// whatever tasks it is divided into.
//
// Operations: two for each product and sum of a contraction, one for simple elementwise work, a dozen for functions,
// per element what a row operator takes. Bytes: what the group must read (an operand once, however often it is read; of
// a table only the rows taken) and what it writes.
#include "ir/op/codes.h"
#include "program.h"

typedef struct Cost {
  Op op;
  double each; // operations for each element of the first operand
} Cost;

// Counted operations of row operators; others are elementwise (one, or FUNCTION).
static const Cost rows[] = {
    {OP_layer_norm, 8},       {OP_rms_norm, 4},         {OP_l2_norm, 4},    {OP_softmax, 20}, {OP_log_softmax, 20},
    {OP_log_sum_exp, 15},     {OP_reduce_sum, 1},       {OP_reduce_max, 1}, {OP_argmax, 2},   {OP_top_k, 2},
    {OP_layer_norm_grad, 16}, {OP_layer_norm_sums, 10}, {OP_quantise, 6},   {OP_pairs, 4}};
static const Op functions[] = {OP_exp,     OP_log,  OP_tanh,      OP_sin,        OP_cos,
                               OP_sigmoid, OP_gelu, OP_gelu_tanh, OP_quick_gelu, OP_swish};
enum { FUNCTION = 12, RANDOM = 150 };

static double dim_now(Dim d, const int64_t *dims) {
  return (double)d.c + (d.k ? (double)d.k * (double)dims[d.sym] : 0);
}

double type_elements_now(const Type *t, const int64_t *dims) {
  double n = 1;
  for (int d = 0; d < t->rank; d++) {
    double extent = 0;
    for (int i = 0; i < t->nseg && t->segaxis == d; i++) extent += dim_now(t->seg[i].len, dims);
    n *= t->nseg && t->segaxis == d ? extent : dim_now(t->dim[d], dims);
  }
  return n;
}

static double extent_now(const Type *t, int axis, const int64_t *dims) { // of one axis
  Type one = {.rank = 1, .dim = {t->dim[axis]}};
  if (t->nseg && t->segaxis == axis) {
    one.nseg = t->nseg;
    for (int i = 0; i < t->nseg; i++) one.seg[i] = t->seg[i];
  }
  return type_elements_now(&one, dims);
}

// Which part of its bound the number of rows of a product is, that an operand says: as much as the run-time dims that
// it is counted over are of theirs.
static double rows_share(const Graph *g, const Value *v, const int64_t *dims) {
  const Value *n = graph_value(g, v->args[2]);
  while (n->nargs && !type_has_runtime_dim(&n->type)) n = graph_value(g, n->args[0]);
  return type_elements_now(&n->type, dims) / (double)type_elements(g->module, &n->type);
}

static double contraction(const Graph *g, const Value *v, const int64_t *dims) {
  if (v->op == OP_outer || v->op == OP_outer_rows) {
    double x = type_elements_now(&graph_value(g, v->args[0])->type, dims);
    return 2 * x * extent_now(&v->type, 1, dims) * (v->op == OP_outer_rows ? rows_share(g, v, dims) : 1);
  }
  const Type *x = &graph_value(g, v->args[0])->type;
  if (v->op == OP_linear_codes4)
    return 2 * type_elements_now(&v->type, dims) * (double)(CODE_GROUP * graph_value(g, v->args[2])->type.dim[1].c);
  if (v->op == OP_linear_codes)
    return 2 * type_elements_now(&v->type, dims) * (double)(CODES_IN_WORD * graph_value(g, v->args[1])->type.dim[1].c);
  if (v->op == OP_linear_pairs)
    return 4 * type_elements_now(&v->type, dims) * (double)graph_value(g, v->args[1])->type.dim[1].c;
  double n = type_elements_now(&v->type, dims), k = extent_now(x, x->rank - 1, dims);
  if (v->op == OP_linear_rows) return 2 * n * k * rows_share(g, v, dims);
  return 2 * n * k + (product_bias(v).id ? n : 0);
}

static double attention(const Graph *g, const Value *v, const int64_t *dims) {
  const Type *q = &graph_value(g, v->args[0])->type, *k = &graph_value(g, v->args[1])->type;
  double pairs = extent_now(q, 0, dims) * extent_now(q, 1, dims) * extent_now(k, 1, dims);
  return 2 * pairs * (extent_now(q, 2, dims) + extent_now(&v->type, 2, dims));
}

// Scores, the gradient by the weights (not for one by the values alone), and a product for each result.
static double attention_grad(const Graph *g, const Value *v, const int64_t *dims) {
  const Type *q = &graph_value(g, v->args[0])->type, *value = &graph_value(g, v->args[2])->type;
  double pairs = extent_now(q, 0, dims) * extent_now(q, 1, dims) * extent_now(value, 1, dims);
  double d = extent_now(q, 2, dims), e = extent_now(value, 2, dims);
  const Attr *wrt = value_attr(v, A_wrt);
  double columns = d + (wrt->nv == 1 && wrt->v[0] == 2 ? 0 : e);
  for (size_t i = 0; i < wrt->nv; i++) columns += wrt->v[i] == 2 ? e : wrt->v[i] < 2 ? d : 0;
  return 2 * pairs * columns;
}

static double flops_of(const Graph *g, const Value *v, const int64_t *dims) {
  uint32_t flags = op_info[v->op].flags;
  if (flags & F_CONTRACTION) return contraction(g, v, dims);
  if (flags & F_ATTENTION) return attention(g, v, dims);
  if (v->op == OP_attention_grad) return attention_grad(g, v, dims);
  if (v->op == OP_depthwise) {
    const Type *kernel = &graph_value(g, v->args[1])->type;
    return 2 * extent_now(kernel, 0, dims) * extent_now(kernel, 1, dims) * type_elements_now(&v->type, dims);
  }
  if (v->op == OP_rotate) return 3 * type_elements_now(&v->type, dims);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (rows[i].op == v->op) return rows[i].each * type_elements_now(&graph_value(g, v->args[0])->type, dims);
  if (!(flags & F_ELEMENTWISE)) return 0;
  double each = 1;
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
    if (functions[i] == v->op) each = FUNCTION;
  if (v->op == OP_dropout) each = RANDOM;
  return each * type_elements_now(&v->type, dims);
}

// Of what is read through views: the elements in memory, which a `widen` makes longer.
static double element_bytes(const Graph *g, const Value *x) {
  while ((op_info[x->op].flags & F_VIEW) && !x->group) x = graph_value(g, x->args[0]);
  return (double)dtype_info[x->type.dtype].bytes;
}

static double bytes_of(const Graph *g, const Value *member, uint32_t arg, const int64_t *dims) {
  const Value *x = graph_value(g, member->args[arg]);
  bool table = (op_info[member->op].flags & F_DATA) && arg == 0; // only the rows taken
  if (x->op == OP_constant || x->op == OP_state) return 0;
  return type_elements_now(table ? &member->type : &x->type, dims) * element_bytes(g, x);
}

static bool read_before(const Graph *g, const Group *grp, size_t member, uint32_t arg) {
  uint32_t id = graph_value(g, grp->member.at[member])->args[arg].id;
  for (size_t m = 0; m <= member; m++) {
    const Value *v = graph_value(g, grp->member.at[m]);
    for (uint32_t i = 0; i < (m == member ? arg : value_operands(v)); i++)
      if (v->args[i].id == id) return true;
  }
  return false;
}

Work group_work(const Graph *g, const Group *grp, const int64_t *dims) {
  const Value *root = graph_value(g, grp->root);
  Work w = {0};
  for (size_t m = 0; m < grp->member.n; m++) {
    const Value *v = graph_value(g, grp->member.at[m]);
    w.flops += flops_of(g, v, dims);
    for (uint32_t i = 0; i < value_operands(v); i++)
      if (graph_value(g, v->args[i])->group != grp->id && !read_before(g, grp, m, i))
        w.bytes += bytes_of(g, v, i, dims);
  }
  const Type *written = root->op == OP_put_rows ? &graph_value(g, root->args[1])->type : &root->type;
  w.bytes += type_elements_now(written, dims) * (double)dtype_info[root->type.dtype].bytes;
  return w;
}
