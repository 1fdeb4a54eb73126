// check_gradients.c: the compiled gradients of a step's objectives against central differences of their loss, which the
// reference evaluator computes in double from the page as it is before any pass.
//
//   tensor                                largest difference
//   fc.weight     f32[12,12]              3.1e-07
//
// A try moves one trained tensor by +h and -h: all of its elements at once, each up or down at random, or a single one;
// (f(w + h d) - f(w - h d)) / 2h must be the product of gradient and direction. What nothing flows back through
// (`stop`, assignments, averages, padding) is held at what it is at the weights themselves; a weight that the objective
// assigns is moved at its new value. A difference counts in shares of the greatest of the product, the length of the
// tensor's gradient and a hundredth of the mean length of all of them: f32 leaves some 1e-6 of that.
#include "check_gradients.h"

#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double LIMIT = 2e-3, LONGEST = 900; // of a difference; seconds of all evaluations

typedef struct Held { // a value that is not moved, or the leaf of a trained weight
  Val val;
  const char *name;   // of the input that it has become
  const char *weight; // that is assigned, or NULL
  Tensor base;
} Held;

typedef struct Part { // an objective
  const GradientLoss *loss;
  Graph *g;
  VEC(Held) held;
} Part;

typedef struct Tried {
  const GradientCheck *c;
  Part *part;      // all
  const Part *now; // that is evaluated
  WeightSource src;
  // the tensor that is moved, and how
  const TrainingTensor *x;
  Val leaf; // in the graph that is evaluated; NO_VAL: the weight itself
  size_t n, one;
  uint64_t seed; // of the direction; 0: element `one` alone
  double h;
  const char *why;
} Tried;

static double direction(const Tried *r, size_t i) {
  if (!r->seed) return i == r->one;
  return hash_bytes(&i, sizeof i, r->seed) >> 40 & 1 ? 1 : -1;
}

static void move(const Tried *r, Tensor *t) {
  for (size_t i = 0; r->h != 0 && i < t->n; i++) t->f[i] += r->h * direction(r, i);
}

static bool weight_at(void *ud, const char *name, const Type *t, Tensor *out) {
  Tried *r = ud;
  if (!r->src.get(r->src.ud, name, t, out, &r->why)) return false;
  if (r->x && !r->leaf.id && !strcmp(name, r->x->name)) move(r, out);
  return true;
}

static bool weight_rows(void *ud, const char *name, const Type *t, int64_t *n) {
  const Tried *r = ud;
  return r->src.rows && r->src.rows(r->src.ud, name, t, n);
}

// An input of the batch, from the layout of a call.
static bool batch_at(const Tried *r, const char *name, const Type *t, Tensor *out) {
  const Graph *g = r->now->g;
  size_t i = 0;
  while (i < g->input.n && strcmp(g->input.at[i].name, name) != 0) i++;
  if (i == g->input.n) return false;
  Arena a = {0};
  Layout l = layout_of(&a, g->module, t, r->now->loss->dims, NULL);
  float *rows = arena_alloc(&a, out->n * sizeof *rows + 1);
  bool is_float = dtype_info[t->dtype].kind == DK_FLOAT;
  layout_load(&l, r->now->loss->in[i],
              t->dtype == DT_BOOL  ? (void *)out->b
              : t->dtype == DT_I32 ? (void *)out->i
                                   : rows);
  for (size_t k = 0; is_float && k < out->n; k++) out->f[k] = (double)rows[k];
  arena_free(&a);
  return true;
}

static bool input_at(void *ud, const char *name, const Type *t, Tensor *out) {
  Tried *r = ud;
  for (size_t i = 0; i < r->now->held.n; i++) {
    const Held *held = &r->now->held.at[i];
    if (strcmp(held->name, name) != 0) continue;
    memcpy(out->b, held->base.b,
           out->n * (t->dtype == DT_BOOL  ? 1
                     : t->dtype == DT_I32 ? sizeof(int32_t)
                                          : sizeof(double)));
    if (r->leaf.id == held->val.id) move(r, out);
    return true;
  }
  return batch_at(r, name, t, out);
}

static bool evaluate(Tried *r, Arena *a, const Val *want, size_t n, Tensor *out) {
  EvalEnv env = {.arena = a, .weight = weight_at, .weight_rows = weight_rows, .input = input_at, .ud = r};
  memcpy(env.dim, r->now->loss->dims, sizeof env.dim);
  if (graph_eval(r->now->g, &env, want, n, out)) return true;
  session_fail(r->c->s, EXIT_WRONG, "--check-gradients: %s", r->why ? r->why : env.error);
  return false;
}

// What stands for a trained weight: its last assignment, or itself (NO_VAL).
static Val leaf_of(const Part *p, const char *name) {
  for (size_t i = p->held.n; i-- > 0;) {
    const Held *x = &p->held.at[i];
    if (x->weight && !strcmp(x->weight, name)) return x->val;
  }
  return NO_VAL;
}

static bool loss_at(Tried *r, double h, double *loss) {
  Arena a = {0};
  Tensor out;
  bool ok = true;
  r->h = h;
  *loss = 0;
  for (size_t i = 0; i < r->c->nloss && ok; i++) {
    r->now = &r->part[i];
    r->leaf = r->x ? leaf_of(r->now, r->x->name) : NO_VAL;
    ok = evaluate(r, &a, &r->now->g->output.at[0].val, 1, &out);
    if (ok) *loss += r->now->loss->factor * out.f[0];
  }
  arena_free(&a);
  return ok;
}

static Val append(Graph *g, Value v, const Val *args, uint32_t n, const Attr *attr, uint32_t nattr) {
  Arena *a = g->module->arena;
  v.args = ARENA_ARRAY(a, Val, n + 1), v.attr = ARENA_ARRAY(a, Attr, nattr + 1);
  if (n) memcpy(v.args, args, n * sizeof *args);
  if (nattr) memcpy(v.attr, attr, nattr * sizeof *attr);
  v.nargs = n, v.nattr = nattr;
  VEC_PUSH(a, g->value, v);
  return (Val){(uint32_t)g->value.n - 1};
}

// Rows that look-ups do not train: the look-up v gives what was there for them. The evaluator goes by need, so that it
// does not matter where operations stand.
static void hold_rows(Graph *g, Val v, const Attr *name) {
  Value x = *graph_value(g, v), ids = *graph_value(g, x.args[1]);
  Type bools = {.dtype = DT_BOOL, .rank = x.type.rank}, one = {.dtype = DT_I32};
  for (int d = 0; d < x.type.rank; d++) bools.dim[d] = d < ids.type.rank ? ids.type.dim[d] : DIM(1);
  Type flat = ids.type;
  flat.dtype = DT_BOOL;
  Attr value = attr_float(A_value, (double)value_int(&x, A_keep, 0)), less = attr_str(A_cmp, "lt");
  Val keep = append(g, (Value){.op = OP_constant, .type = one}, NULL, 0, &value, 1);
  Val is_still = append(g, (Value){.op = OP_compare, .type = flat}, (Val[]){x.args[1], keep}, 2, &less, 1);
  is_still = append(g, (Value){.op = OP_reshape, .type = bools}, &is_still, 1, NULL, 0);
  Val held = append(g, (Value){.op = OP_input, .type = x.type}, NULL, 0, name, 1);
  Val rows = append(g, (Value){.op = OP_embedding, .type = x.type}, x.args, x.nargs, x.attr, x.nattr);
  Val chosen = append(g, (Value){.op = OP_select, .type = x.type}, (Val[]){is_still, held, rows}, 3, NULL, 0);
  *graph_value(g, v) = *graph_value(g, chosen);
}

static bool is_held(const Value *v) {
  bool still = v->op == OP_embedding && value_int(v, A_keep, 0) > 0;
  return !v->dead && (still || v->op == OP_stop || v->op == OP_assigned);
}

// Stops and assignments become inputs that hold what they are now, and so do rows that look-ups do not train.
static bool hold(Tried *r, Part *p) {
  Session *s = r->c->s;
  Graph *g = p->g;
  r->now = p;
  Tensor *base = ARENA_ARRAY(&s->arena, Tensor, g->value.n);
  Val *want = ARENA_ARRAY(&s->arena, Val, g->value.n);
  size_t n = 0;
  for (uint32_t i = 1; i < g->value.n; i++)
    if (is_held(graph_value(g, (Val){i}))) want[n++] = (Val){i};
  if (n && !evaluate(r, &s->arena, want, n, base)) return false;
  for (size_t i = 0; i < n; i++) {
    Value *v = graph_value(g, want[i]);
    Attr *name = ARENA_NEW(&s->arena, Attr);
    *name = attr_str(A_name, intern(&s->names, arena_printf(&s->arena, "held %u", want[i].id)));
    const char *weight = v->op == OP_assigned ? value_str(v, A_name) : NULL;
    VEC_PUSH(&s->arena, p->held, ((Held){want[i], name->s, weight, base[i]}));
    if (v->op == OP_embedding)
      hold_rows(g, want[i], name);
    else
      v->op = OP_input, v->nargs = 0, v->nattr = 1, v->attr = name;
  }
  return true;
}

static double length_of(const float *g, size_t n) {
  double squares = 0;
  for (size_t i = 0; i < n; i++) squares += (double)g[i] * (double)g[i];
  return sqrt(squares);
}

static bool too_long(const Tried *r, size_t tensors, double each) {
  double all = each * 2 * (double)tensors * (double)r->c->tries;
  if (all <= LONGEST) return false;
  session_fail(
      r->c->s, EXIT_USAGE,
      "--check-gradients would take some %.1f hours: %zu tensors, %lld tries of each, two evaluations of the "
      "reference a try, %.2g seconds each. Take a smaller page (-D), fewer tries (--check-gradients=2), or fewer "
      "tensors (--trained PATTERN)",
      all / 3600, tensors, (long long)r->c->tries, each);
  return true;
}

// The largest difference of the tensor's tries, in shares of what counts.
static bool try_tensor(Tried *r, const float *grad, double mean_length, double *worst) {
  double length = length_of(grad, r->n);
  size_t most = 0;
  for (size_t i = 1; i < r->n; i++)
    if (fabsf(grad[i]) > fabsf(grad[most])) most = i;
  for (int64_t k = 0; k < r->c->tries; k++) {
    uint64_t number = hash_bytes(&k, sizeof k, hash_bytes(r->x->name, strlen(r->x->name), 1));
    bool one = k % 2 && r->n > 1;
    r->seed = one ? 0 : number | 1;
    r->one = k == 1 ? most : number % r->n;
    double h = 1e-4 / (one ? 10 : sqrt((double)r->n)), above, below, product = 0;
    for (size_t i = 0; i < r->n; i++) product += (double)grad[i] * direction(r, i);
    if (!loss_at(r, h, &above) || !loss_at(r, -h, &below)) return false;
    double d = fabs((above - below) / (2 * h) - product), scale = fmax(fmax(fabs(product), length), 0.01 * mean_length);
    if (!(d <= *worst * scale)) *worst = d / (scale > 0 ? scale : 1);
  }
  return true;
}

int64_t gradients_tries(Session *s, int64_t absent) {
  const char *text = s->opt.check_gradients;
  char *end = NULL;
  int64_t tries = *text ? strtoll(text, &end, 10) : absent;
  if (tries >= 1 && tries <= 10000 && (!end || !*end)) return tries;
  return session_fail(s, EXIT_USAGE, "--check-gradients takes 1 to 10000"), 0;
}

static Graph *graph_named(const Module *m, const char *name) {
  for (size_t i = 0; i < m->graph.n; i++)
    if (!strcmp(m->graph.at[i]->name, name)) return m->graph.at[i];
  ICE("no graph @%s", name);
}

typedef struct Row {
  const TrainingTensor *x;
  double worst;
} Row;

static int by_difference(const void *a, const void *b) {
  const Row *x = a, *y = b;
  if (x->worst == y->worst) return x->x < y->x ? -1 : x->x > y->x;
  return y->worst != y->worst || x->worst < y->worst ? 1 : -1;
}

bool gradients_check(const GradientCheck *c) {
  Session *s = c->s;
  const Training *all = &c->t->training;
  const TrainingTensor **x = ARENA_ARRAY(&s->arena, const TrainingTensor *, all->tensor.n + 1);
  const float **grad = ARENA_ARRAY(&s->arena, const float *, all->tensor.n + 1);
  Tried r = {.c = c, .part = ARENA_ARRAY(&s->arena, Part, c->nloss + 1), .src = checkpoint_source(c->weights)};
  for (size_t i = 0; i < c->nloss; i++)
    r.part[i] = (Part){.loss = &c->loss[i], .g = graph_named(c->elaborated, c->loss[i].objective)};
  double mean = 0, loss;
  size_t n = 0;
  for (size_t i = 0; i < all->tensor.n; i++) {
    if (!all->tensor.at[i].trained) continue;
    x[n] = &all->tensor.at[i];
    grad[n] = trainer_get(c->t, &s->arena, x[n], MDL_GRADIENT);
    if (!grad[n]) return session_fail(s, EXIT_WRONG, "'%s' has no gradient", x[n]->name), false;
    mean += length_of(grad[n], (size_t)type_elements(c->elaborated, &x[n]->type));
    n++;
  }
  if (!n) return session_fail(s, EXIT_USAGE, "--check-gradients: nothing is trained"), false;
  mean /= (double)n;
  double begin = bench_now_ms();
  for (size_t i = 0; i < c->nloss; i++)
    if (!hold(&r, &r.part[i])) return false;
  if (!loss_at(&r, 0, &loss) || too_long(&r, n, (bench_now_ms() - begin) / 1000)) return false;
  Progress progress = progress_start(s, "differences ", NULL, 0);
  Row *row = ARENA_ARRAY(&s->arena, Row, n);
  for (size_t i = 0; i < n; i++) {
    row[i] = (Row){x[i], 0};
    r.x = x[i], r.n = (size_t)type_elements(c->elaborated, &x[i]->type);
    if (!try_tensor(&r, grad[i], mean, &row[i].worst)) return progress_end(&progress), false;
    progress_show(&progress, (double)(i + 1) / (double)n);
  }
  progress_end(&progress);
  qsort(row, n, sizeof *row, by_difference);
  printf("%-60s %-20s %s\n", "tensor", "", "largest difference");
  for (size_t i = 0; i < n; i++) {
    Buf type = {0};
    type_print(&type, c->elaborated, &row[i].x->type);
    printf("%-60s %-20s %.2g%s\n", row[i].x->name, type.s, row[i].worst, row[i].worst <= LIMIT ? "" : "  WRONG");
    buf_free(&type);
  }
  fflush(stdout);
  if (row[0].worst <= LIMIT) return true;
  return session_fail(s, EXIT_WRONG, "the gradient of '%s' is not that of the loss: they differ by %.2g of its length",
                      row[0].x->name, row[0].worst),
         false;
}
