// elab_random.c: what is random inside a step of an objective: dropout, drop_path, draw, attention's dropout.
//
//   let x = x + drop_path(dropout(linear(h, dim), 0.1), 0.05)
//   let i = if given(neg_idx) { neg_idx } else { draw(weights) }
//
// The numbers come from counters (runtime/random.h): of the seed, the step, the sample, the place in the page and the
// element of the sample. Seed, step and the number of the first sample are one input of role `noise`, which an
// objective has if something is drawn in it. Places are numbered in the order in which the objective comes to them,
// those with a rate of 0 too, so that another rate changes no other place. Without drawing (FrontOptions.draws), and in
// routes, dropout and drop_path are their operand.
//
// A row of the first axis is a sample; of k B rows, row r is row r mod k of sample r / k, as `stack3` makes them. An
// element has its place among the longest sample's, so that the length of a batch shows in no number.
#include "elab.h"

#include <string.h>

enum { SEED_LOW, SEED_HIGH, STEP, FIRST_SAMPLE, NOISE_WORDS };
enum { WEIGHT_SITE = 1 << 21 }; // of the first head whose weights are dropped: those of dropouts keep their numbers

static bool is_port_name(const Graph *g, const char *name) {
  for (size_t i = 0; i < g->input.n; i++)
    if (!strcmp(g->input.at[i].name, name)) return true;
  return false;
}

// The hidden input, made where it is first asked for.
static Val noise(Elab *e, Span at) {
  if (e->noise.id) return e->noise;
  const char *name = "noise";
  while (is_port_name(e->g, name)) name = arena_printf(e->arena, "%s_", name);
  Type t = {.dtype = DT_I32, .rank = 1, .dim = {DIM(NOISE_WORDS)}};
  e->noise = graph_input(e->g, intern(e->names, name), &t, at);
  if (e->noise.id) graph_input_port(e->g, e->noise)->role = ROLE_noise;
  return e->noise;
}

static Val shaped(Elab *e, Op op, Val x, const Attr *attr, size_t nattr, const Type *t, Span at) {
  Type copy = *t;
  return x.id ? graph_add_typed(e->g, op, &x, 1, attr, nattr, &copy, at) : NO_VAL;
}

static Val binary(Elab *e, Op op, Val a, Val b, Span at) {
  return a.id && b.id ? graph_add(e->g, op, (Val[]){a, b}, 2, NULL, 0, at) : NO_VAL;
}

static Val number(Elab *e, int64_t v, Span at) {
  Attr a = attr_float(A_value, (double)v);
  Type t = {.dtype = DT_I32};
  return graph_add_typed(e->g, OP_constant, NULL, 0, &a, 1, &t, at);
}

static Val word(Elab *e, int which, Span at) {
  Attr part[] = {attr_int(A_axis, 0), attr_int(A_start, which)};
  Type one = {.dtype = DT_I32, .rank = 1, .dim = {DIM(1)}}, t = {.dtype = DT_I32};
  return shaped(e, OP_reshape, shaped(e, OP_slice, noise(e, at), part, 2, &one, at), NULL, 0, &t, at);
}

// [start, start + n) of the numbers below `most`, each times `by`: i32[n].
static Val numbers(Elab *e, int64_t most, int64_t start, Dim n, int64_t by, Span at) {
  Attr axis = attr_int(A_axis, 0), part[] = {attr_int(A_axis, 0), attr_int(A_start, start)};
  Type all = {.dtype = DT_I32, .rank = 1, .dim = {DIM(most)}}, some = all;
  some.dim[0] = n;
  Val v = graph_add_typed(e->g, OP_iota, NULL, 0, &axis, 1, &all, at);
  if (by != 1) v = binary(e, OP_mul, v, number(e, by, at), at);
  return type_equal(&all, &some) ? v : shaped(e, OP_slice, v, part, 2, &some, at);
}

// The places along an axis, times `stride`, with all other axes 1; segments count by their bounds.
static Val places(Elab *e, const Type *t, int axis, int64_t stride, Span at) {
  int64_t most = type_extent(e->m, t, axis);
  bool segmented = t->nseg && t->segaxis == axis;
  Val part[MAX_SEGS];
  Type flat = {.dtype = DT_I32, .rank = t->rank}, tagged;
  for (int d = 0; d < t->rank; d++) flat.dim[d] = DIM(1);
  int n = segmented ? t->nseg : 1;
  for (int s = 0; s < n; s++) {
    Dim length = segmented ? t->seg[s].len : t->dim[axis];
    Val v = numbers(e, most, segmented ? seg_start(e->m, t, s) : 0, length, stride, at);
    flat.dim[axis] = length;
    part[s] = shaped(e, OP_reshape, v, NULL, 0, &flat, at);
    if (!segmented) return part[s];
    tagged = flat;
    type_set_segs(&tagged, axis, &t->seg[s], 1);
    part[s] = shaped(e, OP_retag, part[s], NULL, 0, &tagged, at);
    if (!part[s].id) return NO_VAL;
  }
  Attr a = attr_int(A_axis, axis);
  return n == 1 ? part[0] : graph_add(e->g, OP_concat, part, (size_t)n, &a, 1, at);
}

// The number of each row's sample, i32[B].
static Val samples(Elab *e, const Type *t, Span at) {
  Val row = numbers(e, type_extent(e->m, t, 0), 0, t->dim[0], 1, at), first = word(e, FIRST_SAMPLE, at);
  if (!t->dim[0].k) return row;
  if (t->dim[0].k != 1) first = binary(e, OP_mul, first, number(e, t->dim[0].k, at), at);
  return binary(e, OP_add, row, first, at);
}

// A dropout of x, with one number for each element or, `rows`, for each row of the first axis.
static Val drop(Elab *e, Val x, double rate, bool rows, Span at) {
  Type t = *val_type(e, x), first = {.dtype = DT_I32, .rank = t.rank};
  for (int d = 0; d < t.rank; d++) first.dim[d] = d ? DIM(1) : t.dim[0];
  Val row = number(e, 0, at), column = row;
  int64_t stride = 1;
  for (int d = t.rank - 1; d > 0 && !rows; d--) {
    Val p = places(e, &t, d, stride, at);
    if (d == t.rank - 1)
      column = p;
    else
      row = d == t.rank - 2 ? p : binary(e, OP_add, p, row, at);
    if (__builtin_mul_overflow(stride, type_extent(e->m, &t, d), &stride) || stride > INT32_MAX) {
      elab_error(e, "E0149", at, "a sample of %s has more than 2^31 elements", val_text(e, x));
      return NO_VAL;
    }
  }
  Val args[] = {x,
                word(e, SEED_LOW, at),
                word(e, SEED_HIGH, at),
                word(e, STEP, at),
                shaped(e, OP_reshape, samples(e, &t, at), NULL, 0, &first, at),
                row,
                column};
  for (size_t i = 0; i < sizeof args / sizeof *args; i++)
    if (!args[i].id) return NO_VAL;
  Attr attr[] = {attr_float(A_rate, rate), attr_int(A_site, e->sites++)};
  return graph_add(e->g, OP_dropout, args, sizeof args / sizeof *args, attr, 2, at);
}

// One row of numbers, 1 / (1 - rate) or 0 for each sample, times x.
static Val drop_rows(Elab *e, Val x, double rate, Span at) {
  Type t = *val_type(e, x), one = {.dtype = t.dtype, .rank = t.rank};
  for (int d = 0; d < t.rank; d++) one.dim[d] = d ? DIM(1) : t.dim[0];
  Attr value = attr_float(A_value, 1);
  Val ones = graph_add_typed(e->g, OP_constant, NULL, 0, &value, 1, &one, at);
  return binary(e, OP_mul, x, ones.id ? drop(e, ones, rate, true, at) : NO_VAL, at);
}

// Objectives of a stage are there to be trained, so they draw.
static bool does_draw(const Elab *e) {
  return e->opt->draws || e->opt->stage;
}

CtVal call_drop(Elab *e, const char *name, CtVal x, CtVal rate, Span at, Span rate_at) {
  double p;
  bool rows = !strcmp(name, "drop_path");
  if (!want_tensor(e, x, at, arena_printf(e->arena, "'x' of %s", name))) return CT_ERROR;
  if (!want_real(e, rate, rate_at, arena_printf(e->arena, "'p' of %s", name), &p)) return CT_ERROR;
  const Type *t = val_type(e, x.v);
  if (!(p >= 0 && p < 1)) {
    elab_error(e, "E0149", rate_at, "%s with probability %g: it is at least 0 and less than 1", name, p);
    return CT_ERROR;
  }
  if (t->rank < 1 || dtype_info[t->dtype].kind != DK_FLOAT || (t->dim[0].k && t->dim[0].sym == DIM_SEGS)) {
    elab_error(e, "E0149", at, "%s needs real numbers in rows of samples, not %s", name, val_text(e, x.v));
    return CT_ERROR;
  }
  if (!e->objective || !does_draw(e)) return x;
  if (p == 0) {
    e->sites++;
    return x;
  }
  DimNames names = *val_names(e, x.v);
  Val y = rows ? drop_rows(e, x.v, p, at) : drop(e, x.v, p, false, at);
  if (!y.id) return CT_ERROR;
  *val_names(e, y) = names;
  return ct_tensor(y);
}

bool draw_attention(Elab *e, Val q, int64_t heads, CtVal rate, Span at, Val args[2], Attr attr[2], bool *drops) {
  double p;
  const Type *t = val_type(e, q);
  *drops = false;
  if (!want_real(e, rate, at, "'dropout' of attention", &p)) return false;
  if (!(p >= 0 && p < 1)) {
    elab_error(e, "E0149", at, "dropout with probability %g: it is at least 0 and less than 1", p);
    return false;
  }
  if (t->rank < 1 || (t->dim[0].k && t->dim[0].sym == DIM_SEGS)) {
    elab_error(e, "E0149", at, "dropout of weights needs a row of queries for each sample, not %s", val_text(e, q));
    return false;
  }
  if (!e->objective || !does_draw(e)) return true;
  int64_t site = WEIGHT_SITE + e->weight_sites;
  e->weight_sites += heads;
  if (p == 0) return true;
  Attr part[] = {attr_int(A_axis, 0), attr_int(A_start, SEED_LOW)};
  Type key = {.dtype = DT_I32, .rank = 1, .dim = {DIM(FIRST_SAMPLE)}};
  args[0] = shaped(e, OP_slice, noise(e, at), part, 2, &key, at);
  args[1] = samples(e, t, at);
  attr[0] = attr_float(A_rate, p), attr[1] = attr_int(A_site, site);
  *drops = true;
  return args[0].id && args[1].id;
}

CtVal call_draw(Elab *e, CtVal weights, Span at) {
  if (!want_tensor(e, weights, at, "'weights' of draw")) return CT_ERROR;
  if (!e->objective) {
    Diagnostic *g = elab_error(e, "E0149", at, "only an objective draws");
    diag_hint(e->diag, g, "a route gives the same result each time; argmax(weights) is the likeliest column");
    return CT_ERROR;
  }
  if (!does_draw(e)) {
    Diagnostic *g = elab_error(e, "E0149", at, "something is drawn here, and there is no seed to draw with");
    Buf b = {0};
    for (size_t i = 0; i < e->entry->list.n; i++) {
      const Node *in = e->entry->list.at[i];
      if (in->op && !input_is_given(e, in->name)) buf_printf(&b, "%s%s", b.n ? "," : "", in->name);
    }
    diag_hint(e->diag, g, "--seed N (syc step) or --draws (syc emit) draws; --given %s takes what is drawn as an input",
              b.n ? b.s : "NAMES");
    buf_free(&b);
    return CT_ERROR;
  }
  Type t = *val_type(e, weights.v);
  if (t.rank != 2 || t.dtype != DT_F32 || t.nseg) {
    elab_error(e, "E0149", at, "draw needs a row of weights for each sample, f32[B, n], not %s",
               val_text(e, weights.v));
    return CT_ERROR;
  }
  Val args[] = {weights.v, word(e, SEED_LOW, at), word(e, SEED_HIGH, at), word(e, STEP, at), samples(e, &t, at)};
  Attr site = attr_int(A_site, e->draws++);
  for (size_t i = 0; i < sizeof args / sizeof *args; i++)
    if (!args[i].id) return CT_ERROR;
  Val v = graph_add(e->g, OP_draw, args, sizeof args / sizeof *args, &site, 1, at);
  if (!v.id) return CT_ERROR;
  val_names(e, v)->at[0] = val_names(e, weights.v)->at[0];
  return ct_tensor(v);
}
