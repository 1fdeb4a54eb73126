// cache_rows.c: from a value of the whole sequence to its rows in the step, operator by operator.
//
//   %7 = linear %5, %6 : f32[B,L,32]      =>  linear %5', %6 : f32[B,1,32]
//   %8 = slice %9 {axis = 0} : f32[L,32]  =>  embedding %9, at + 0..W-1 : f32[B,1,32]
//
// Positions depend on the sentence (each has its own `at`), so rows of a table have the sentences as an axis in front
// even where the value had none: such rows are *lifted*, with one axis more than the value and without segments. They
// take their place among the axes where a value with sentences meets them (`conform`).
//
// Operands are asked for with `want`, which answers NO_VAL until they are made; the loop in cache_rows makes them and
// asks again. So depth costs no stack, and a rule just returns when an operand is missing.
#include "cache.h"
#include "ir/op/op.h"

#include <string.h>

static const Value *value_of(const Split *p, Val v) {
  return graph_value(p->g, v);
}
static const Type *made_type(const Split *p, Val v) {
  return &graph_value(p->s, v)->type;
}

/* where the words stand
 * ------------------------------------------------------------------------------------------------ */
static void count(const Split *p, Dim d, int axis, int seg, int64_t start, int *n, WordsAt *w) {
  if (!d.k || d.sym != p->sym) return;
  *n += d.k == 1 && d.c >= 0 ? 1 : WORDS_NOT_ROWS;
  *w = (WordsAt){axis, seg, start + d.c, d.c};
}

int cache_words(const Split *p, const Type *t, WordsAt *w) {
  int n = 0;
  for (int d = 0; d < t->rank; d++)
    if (!t->nseg || t->segaxis != d) count(p, t->dim[d], d, -1, 0, &n, w);
  for (int s = 0; s < t->nseg; s++) count(p, t->seg[s].len, t->segaxis, s, seg_start(p->m, t, s), &n, w);
  return n;
}

static bool has_words(const Split *p, Val v) {
  WordsAt w;
  return cache_words(p, &value_of(p, v)->type, &w) > 0;
}

// The type of the rows of a value: the words' axis has W of them.
static Type rows_type(const Split *p, const Type *t) {
  WordsAt w;
  Type out = *t;
  if (cache_words(p, t, &w) != 1) return out;
  if (w.seg >= 0) {
    Seg one = {t->seg[w.seg].modality, DIM(p->width)};
    type_set_segs(&out, w.axis, &one, 1);
  } else {
    out.dim[w.axis] = DIM(p->width);
  }
  return out;
}

static Type plain(Type t) {
  Dim kept = t.dim[t.segaxis];
  if (!t.nseg) return t;
  type_set_segs(&t, t.segaxis, NULL, 0);
  t.dim[t.segaxis] = kept;
  return t;
}

static Type lifted_type(const Split *p, const Type *t) {
  Type out = plain(rows_type(p, t));
  for (int d = out.rank < MAX_RANK ? out.rank : MAX_RANK - 1; d > 0; d--) out.dim[d] = out.dim[d - 1];
  out.dim[0] = p->batch;
  out.rank++; // one too many is an error of type_problem
  return out;
}

static bool is_lifted(const Split *p, Val v, Val rows) {
  return made_type(p, rows)->rank == value_of(p, v)->type.rank + 1;
}

/* making values of the step
 * ------------------------------------------------------------------------------------------------ */
static Val want(Split *p, Need need, Val v) {
  if (p->made[need][v.id].id || p->failed) return p->made[need][v.id];
  VEC_PUSH(p->scratch, p->todo, ((Task){need, v}));
  p->waiting = true;
  return NO_VAL;
}

// An operation of the step for v. What its shape rule refuses cannot be computed word by word.
static Val make(Split *p, Val v, Op op, const Val *args, size_t nargs, const Attr *attr, size_t nattr, const Type *t) {
  for (size_t i = 0; i < nargs; i++)
    if (!args[i].id) return NO_VAL;
  const Span at = value_of(p, v)->span;
  const Value probe = {.op = op,
                       .args = (Val *)args,
                       .nargs = (uint32_t)nargs,
                       .attr = (Attr *)attr,
                       .nattr = (uint32_t)nattr,
                       .span = at};
  const char *why = t && t->rank > MAX_RANK ? "its rows have too many axes" : NULL;
  Type out;
  if (why || !op_infer(p->s, &probe, t, &why, &out)) return cache_fail(p, v, why);
  return graph_add_typed(p->s, op, args, nargs, attr, nattr, t, at);
}

static Val as(Split *p, Val v, Op op, Val arg, const Type *t) { // reshape, retag, broadcast
  if (!arg.id || type_equal(made_type(p, arg), t)) return arg;
  return make(p, v, op, &arg, 1, NULL, 0, t);
}

static Val permute(Split *p, Val v, Val arg, const int64_t *perm, int rank) {
  Attr a = attr_ints(A_perm, perm, (size_t)rank);
  return make(p, v, OP_transpose, &arg, 1, &a, 1, NULL);
}

// Lifted rows of `arg` for its user v: with ones as far as v has more axes, and the sentences where v has them.
static Val conform(Split *p, Val v, Val arg, Val rows) {
  int n = value_of(p, v)->type.rank, j = p->batch_axis[v.id], have = value_of(p, arg)->type.rank, pad = n - have;
  if (!rows.id || !is_lifted(p, arg, rows)) return rows;
  if (j == LOST_BATCH || (j == NO_BATCH && p->dep[v.id]))
    return cache_fail(p, v, "the sentences are no axis of their own");
  Type t = *made_type(p, rows);
  if (t.rank + pad > MAX_RANK) return cache_fail(p, v, "its rows have too many axes");
  for (int d = have; d > 0; d--) t.dim[d + pad] = t.dim[d];
  for (int d = 1; d <= pad; d++) t.dim[d] = DIM(1);
  t.rank = (uint8_t)(t.rank + pad);
  rows = as(p, v, OP_reshape, rows, &t);
  if (j == NO_BATCH || !rows.id) return rows;
  if (!dim_equal(t.dim[j + 1], DIM(1))) return cache_fail(p, v, "positions differ by sentence there already");
  if (j > 0) {
    int64_t perm[MAX_RANK];
    for (int d = 0; d < t.rank; d++) perm[d] = d < j ? d + 1 : d == j ? 0 : d;
    rows = permute(p, v, rows, perm, t.rank);
    if (!rows.id) return NO_VAL;
    t = *made_type(p, rows);
  }
  for (int d = j + 1; d + 1 < t.rank; d++) t.dim[d] = t.dim[d + 1]; // the axis of length 1 behind the sentences
  t.rank--;
  return as(p, v, OP_reshape, rows, &t);
}

/* all of a value
 * ------------------------------------------------------------------------------------------------------- */
static Val copy_all(Split *p, Val v) {
  const Value *x = value_of(p, v);
  Val *args = ARENA_ARRAY(p->scratch, Val, x->nargs + 1);
  bool all = true;
  for (uint32_t i = 0; i < x->nargs; i++) all = (args[i] = want(p, NEED_ALL, x->args[i])).id && all;
  if (!all) return NO_VAL;
  return graph_add_typed(p->s, x->op, args, x->nargs, x->attr, x->nattr, &x->type, x->span);
}

// What the caller gave the start, given to every step.
static Val given(Split *p, Val v) {
  const Value *x = value_of(p, v);
  Val in = graph_input(p->s, value_str(x, A_name), &x->type, x->span);
  Port *port = graph_input_port(p->s, in);
  port->role = ROLE_given;
  port->pair = (uint32_t)(graph_input_port(p->g, v) - p->g->input.at);
  return in;
}

// An output of the start, given to every step.
static Val kept(Split *p, Val v) {
  const Value *x = value_of(p, v);
  const char *name = cache_port_name(p, arena_printf(p->m->arena, "kept_%d", p->nkept++));
  graph_output(p->g, name, v, x->span);
  p->g->output.at[p->g->output.n - 1].role = ROLE_kept;
  Val in = graph_input(p->s, name, &x->type, x->span);
  Port *port = graph_input_port(p->s, in);
  port->role = ROLE_kept;
  port->pair = (uint32_t)(p->g->output.n - 1);
  return in;
}

// Computed again from weights, or for all words from positions, or kept from the start.
static Val make_all(Split *p, Val v) {
  const Value *x = value_of(p, v);
  if (p->dep[v.id]) return cache_fail(p, v, "a step needs all of it, and it depends on the words");
  if (has_words(p, v)) {
    if (x->op == OP_input) return cache_fail(p, v, "a step needs it for all words");
    return want(p, NEED_ROWS, v).id ? copy_all(p, v) : NO_VAL; // its rows do not depend on how many there are
  }
  if (p->many[v.id]) return cache_fail(p, v, "it depends on how many words there are");
  if (p->weights[v.id]) return copy_all(p, v);
  return x->op == OP_input ? given(p, v) : kept(p, v);
}

/* rows by position
 * ----------------------------------------------------------------------------------------------------- */

// first + at[b] + 0..W-1, i32[batch,W]
static Val row_numbers(Split *p, Val v, int64_t first) {
  Type index = {.dtype = DT_I32, .rank = 1, .dim = {DIM(p->width)}}, scalar = {.dtype = DT_I32};
  Type column = {.dtype = DT_I32, .rank = 2, .dim = {p->batch, DIM(1)}};
  Attr axis = attr_int(A_axis, 0), start = attr_float(A_value, (double)first);
  Val args[2] = {make(p, v, OP_iota, NULL, 0, &axis, 1, &index), make(p, v, OP_constant, NULL, 0, &start, 1, &scalar)};
  args[1] = make(p, v, OP_add, args, 2, NULL, 0, NULL);
  args[0] = as(p, v, OP_reshape, p->at, &column);
  return make(p, v, OP_add, args, 2, NULL, 0, NULL);
}

static bool constant_axes(const Type *t, int from, int to, int64_t *n) {
  *n = 1;
  for (int d = from; d < to; d++) {
    if (!dim_is_const(t->dim[d])) return false;
    *n *= t->dim[d].c;
  }
  return true;
}

// table[.., n0 : n0 + L, ..] => its rows n0 + at .. The table may have the sentences in front.
static Val rows_of_table(Split *p, Val v, int axis, int64_t first) {
  const Value *x = value_of(p, v);
  Type from = plain(value_of(p, x->args[0])->type), t = plain(rows_type(p, &x->type));
  int lead = p->batch_axis[x->args[0].id] == 0 && axis > 0;
  int64_t before, behind;
  if (p->batch_axis[x->args[0].id] > 0 || p->batch_axis[x->args[0].id] == LOST_BATCH ||
      !constant_axes(&from, lead, axis, &before) || !constant_axes(&from, axis + 1, from.rank, &behind) ||
      !dim_is_const(from.dim[axis]))
    return cache_fail(p, v, "positions are rows of a table of constant extents");
  Val table = want(p, NEED_ALL, x->args[0]);
  if (table.id) table = as(p, v, OP_retag, table, &from);
  int64_t perm[MAX_RANK];
  if (before > 1) { // the rows first
    for (int d = 0; d < from.rank; d++) perm[d] = d < lead ? d : d == lead ? axis : d <= axis ? d - 1 : d;
    table = permute(p, v, table, perm, from.rank);
  }
  Type flat = {.dtype = from.dtype, .rank = (uint8_t)(lead + 2), .dim = {p->batch}};
  flat.dim[lead] = from.dim[axis];
  flat.dim[lead + 1] = DIM(before * behind);
  Val args[2] = {as(p, v, OP_reshape, table, &flat), row_numbers(p, v, first)};
  Val rows = make(p, v, lead ? OP_gather_rows : OP_embedding, args, 2, NULL, 0, NULL);
  bool lifted = !lead && !dim_equal(p->batch, DIM(1));
  if (lifted) t = lifted_type(p, &x->type);
  if (before == 1 || p->width == 1) return as(p, v, OP_reshape, rows, &t);
  if (!lead && !lifted) return cache_fail(p, v, "positions are rows of a table");
  Type apart = t; // [batch,W,before..,behind..]
  for (int d = 1; d < t.rank; d++) apart.dim[d] = d == 1 ? DIM(p->width) : d <= axis + !lead ? t.dim[d - 1] : t.dim[d];
  rows = as(p, v, OP_reshape, rows, &apart);
  int at = axis + !lead;
  for (int d = 0; d < t.rank; d++) perm[d] = d == 0 || d > at ? d : d == at ? 1 : d + 1;
  return permute(p, v, rows, perm, t.rank);
}

/* operators
 * ------------------------------------------------------------------------------------------------------------ */
static Attr shifted(const Value *x, AttrKey key, bool lifted) {
  return attr_int(key, value_int(x, key, 0) + lifted);
}

static Val rows_of_slice(Split *p, Val v, const WordsAt *w) {
  const Value *x = value_of(p, v);
  int axis = (int)value_int(x, A_axis, 0);
  int64_t start = value_int(x, A_start, 0);
  bool along = axis == w->axis;
  WordsAt from = {0};
  if (along && !has_words(p, x->args[0])) return rows_of_table(p, v, axis, start + w->before);
  if (along && (cache_words(p, &value_of(p, x->args[0])->type, &from) != 1 || start + w->before != from.before))
    return cache_fail(p, v, "a part of the words");
  Val rows = want(p, NEED_ROWS, x->args[0]);
  if (!rows.id) return NO_VAL;
  bool lifted = is_lifted(p, x->args[0], rows);
  Type t = lifted ? lifted_type(p, &x->type) : rows_type(p, &x->type);
  if (along) return as(p, v, OP_retag, rows, &t);
  Attr a[] = {shifted(x, A_axis, lifted), attr_int(A_start, start)};
  return make(p, v, OP_slice, &rows, 1, a, 2, &t);
}

static Val rows_of_concat(Split *p, Val v, const WordsAt *w) {
  const Value *x = value_of(p, v);
  bool along = value_int(x, A_axis, 0) == w->axis, all = true, lifted = false;
  Val *args = ARENA_ARRAY(p->scratch, Val, x->nargs);
  for (uint32_t i = 0; i < x->nargs; i++) {
    if (along && !has_words(p, x->args[i])) continue;
    args[i] = want(p, NEED_ROWS, x->args[i]);
    all = all && args[i].id;
    lifted = lifted || (args[i].id && is_lifted(p, x->args[i], args[i]));
    if (!along || !args[i].id) continue;
    Type t = is_lifted(p, x->args[i], args[i]) ? lifted_type(p, &x->type) : rows_type(p, &x->type);
    return as(p, v, OP_retag, args[i], &t);
  }
  if (!all || along) return NO_VAL;
  for (uint32_t i = 0; i < x->nargs && lifted; i++) {
    Type t = lifted_type(p, &value_of(p, x->args[i])->type);
    args[i] = as(p, v, OP_broadcast, args[i], &t);
  }
  Attr a = shifted(x, A_axis, lifted);
  return make(p, v, OP_concat, args, x->nargs, &a, 1, NULL);
}

static Val rows_of_transpose(Split *p, Val v) {
  const Value *x = value_of(p, v);
  const Attr *perm = value_attr(x, A_perm);
  Val rows = want(p, NEED_ROWS, x->args[0]);
  if (!rows.id) return NO_VAL;
  int lifted = is_lifted(p, x->args[0], rows), rank = x->type.rank + lifted;
  int64_t to[MAX_RANK] = {0};
  for (int d = lifted; d < rank; d++) to[d] = perm->v[d - lifted] + lifted;
  return permute(p, v, rows, to, rank);
}

static Val rows_of_view(Split *p, Val v) { // retag, reshape, broadcast
  const Value *x = value_of(p, v);
  Val arg = x->args[0], rows = want(p, has_words(p, arg) ? NEED_ROWS : NEED_ALL, arg);
  if (!rows.id) return NO_VAL;
  bool lifted = has_words(p, arg) && is_lifted(p, arg, rows);
  if (lifted && x->op == OP_retag) return rows;
  if (lifted && x->op == OP_broadcast) rows = conform(p, v, arg, rows);
  lifted = lifted && (x->op == OP_reshape || p->batch_axis[v.id] == NO_BATCH);
  Type t = lifted ? lifted_type(p, &x->type) : rows_type(p, &x->type);
  return as(p, v, x->op, rows, &t);
}

static Val rows_of_elements(Split *p, Val v) {
  const Value *x = value_of(p, v);
  Val *args = ARENA_ARRAY(p->scratch, Val, x->nargs);
  bool all = true;
  for (uint32_t i = 0; i < x->nargs; i++) {
    bool has = has_words(p, x->args[i]);
    args[i] = want(p, has ? NEED_ROWS : NEED_ALL, x->args[i]);
    if (has) args[i] = conform(p, v, x->args[i], args[i]);
    all = all && args[i].id;
  }
  return all ? make(p, v, x->op, args, x->nargs, x->attr, x->nattr, NULL) : NO_VAL;
}

// Operand `by_row` gives the rows, those in front of it and behind it are whole.
static Val rows_of_each(Split *p, Val v, uint32_t by_row) {
  const Value *x = value_of(p, v);
  Val *args = ARENA_ARRAY(p->scratch, Val, x->nargs);
  bool all = true;
  for (uint32_t i = 0; i < x->nargs; i++)
    all = (args[i] = want(p, i == by_row ? NEED_ROWS : NEED_ALL, x->args[i])).id && all;
  return all ? make(p, v, x->op, args, x->nargs, x->attr, x->nattr, NULL) : NO_VAL;
}

static Val rows_of_matmul(Split *p, Val v, const WordsAt *w) {
  const Value *x = value_of(p, v);
  int last = x->type.rank - 1;
  if (w->axis == last) return rows_of_each(p, v, 1);
  if (w->axis == last - 1 || !has_words(p, x->args[1])) return rows_of_each(p, v, 0);
  Val args[2] = {want(p, NEED_ROWS, x->args[0]), want(p, NEED_ROWS, x->args[1])};
  return make(p, v, OP_matmul, args, 2, x->attr, x->nattr, NULL);
}

// Keys or values among the words (or which words are padding): the rows of this step behind those of the steps before.
static Val cache(Split *p, Val v) {
  if (p->cached[v.id].id) return p->cached[v.id];
  const Type type = value_of(p, v)->type;
  const Span at = value_of(p, v)->span;
  Type t = type;
  WordsAt w;
  Val rows = want(p, NEED_ROWS, v), all = v;
  if (!rows.id) return NO_VAL;
  if (cache_words(p, &t, &w) != 1 || w.axis != 1 || p->batch_axis[v.id] != 0 || is_lifted(p, v, rows) || t.rank > 3)
    return cache_fail(p, v, "its rows are not the words");
  if (t.rank == 2) {
    t.dim[t.rank++] = DIM(1);
    all = graph_add_typed(p->g, OP_reshape, &v, 1, NULL, 0, &t, at);
  }
  Type row = rows_type(p, &t);
  const char *name = cache_port_name(p, arena_printf(p->m->arena, "cache_%d", p->ncache++));
  Attr start = attr_int(A_start, w.before);
  Val args[3] = {make(p, v, OP_state, NULL, 0, NULL, 0, &t), as(p, v, OP_reshape, rows, &row), p->at};
  Val put = make(p, v, OP_put_rows, args, 3, &start, 1, NULL);
  if (!put.id) return NO_VAL;
  graph_output(p->g, name, all, at);
  graph_output(p->s, name, put, at);
  Port *first = &p->g->output.at[p->g->output.n - 1], *own = &p->s->output.at[p->s->output.n - 1];
  first->role = own->role = ROLE_state;
  own->pair = (uint32_t)(p->g->output.n - 1);
  own->state = args[0];
  return p->cached[v.id] = as(p, v, OP_reshape, put, &type);
}

// The key, value or mask of an attention, for all keys.
static Val looked_at(Split *p, Val v) {
  return p->dep[v.id] && has_words(p, v) ? cache(p, v) : want(p, NEED_ALL, v);
}

// A bias stays that of the whole sequence; a query finds its row by its position. NULL, or why it cannot.
static const char *whole_table(const Split *p, const Value *x, Val arg) {
  const Type *t = &value_of(p, arg)->type, *q = &value_of(p, x->args[0])->type, *k = &value_of(p, x->args[1])->type;
  if (t->dtype == DT_BOOL) return t->rank == 3 ? "a mask of queries and keys, whose later rows no step knows" : NULL;
  if (t->dtype == DT_I32) return "a position of its own";
  if (value_int(x, A_qstart, 0)) return "a bias and a start";
  if (type_extent(p->m, q, 1) < type_extent(p->m, k, 1) - 1 + p->width) return "a bias for fewer queries than keys";
  return NULL;
}

static Val rows_of_attention(Split *p, Val v) {
  const Value *x = value_of(p, v);
  const Mask *mask = cache_step_mask(p, x);
  if (!mask) return cache_fail(p, v, "a step does not know how long the prompt was, and its mask depends on that");
  bool places = cache_compares(mask), all = true;
  int64_t before = 0;
  for (uint32_t i = 3; i < x->nargs; i++) places = places || value_of(p, x->args[i])->type.dtype == DT_F32; // a bias
  const char *why = has_words(p, x->args[1]) ? cache_disorder(p, x) : NULL;
  if (value_attr(x, A_rate)) why = "its weights are dropped at random";
  if (why) return cache_fail(p, v, why);
  if (places && !cache_rows_before(p, &value_of(p, x->args[0])->type, &before))
    return cache_fail(p, v, "a part of run-time length stands before the words");
  Val *args = ARENA_ARRAY(p->scratch, Val, x->nargs + 1);
  args[0] = want(p, NEED_ROWS, x->args[0]);
  all = args[0].id;
  for (uint32_t i = 1; i < x->nargs; i++) {
    why = i > 2 ? whole_table(p, x, x->args[i]) : NULL;
    if (why) return cache_fail(p, v, why);
    all = (args[i] = looked_at(p, x->args[i])).id && all;
  }
  if (!all) return NO_VAL;
  Attr attr[ATTR_COUNT];
  uint32_t nattr = 0, nargs = x->nargs;
  for (uint32_t i = 0; i < x->nattr; i++)
    if (x->attr[i].key != A_qstart) attr[nattr++] = x->attr[i];
  cache_put_mask(p, attr, &nattr, mask);
  if (places) {
    int64_t start = value_int(x, A_qstart, 0) + before;
    if (start) attr[nattr++] = attr_int(A_qstart, start);
    args[nargs++] = p->at;
  }
  return make(p, v, OP_attention, args, nargs, attr, nattr, NULL);
}

static Val make_rows(Split *p, Val v) {
  const Value *x = value_of(p, v);
  uint32_t flags = op_info[x->op].flags;
  WordsAt w;
  if (cache_words(p, &x->type, &w) != 1) return cache_fail(p, v, "its words are not the rows of one axis");
  Type t = rows_type(p, &x->type);
  if (x->op == OP_constant) return make(p, v, OP_constant, NULL, 0, x->attr, x->nattr, &t);
  if ((flags & F_ELEMENTWISE) || x->op == OP_rotate) return rows_of_elements(p, v);
  if (flags & F_ROWWISE) {
    bool along = w.axis == value_of(p, x->args[0])->type.rank - 1;
    return along ? cache_fail(p, v, "it looks along the words") : rows_of_each(p, v, 0);
  }
  switch (x->op) {
  case OP_attention: return rows_of_attention(p, v);
  case OP_embedding:
  case OP_gather_rows: return rows_of_each(p, v, 1);
  case OP_matmul: return rows_of_matmul(p, v, &w);
  case OP_slice: return rows_of_slice(p, v, &w);
  case OP_concat: return rows_of_concat(p, v, &w);
  case OP_transpose: return rows_of_transpose(p, v);
  case OP_retag:
  case OP_reshape:
  case OP_broadcast: return rows_of_view(p, v);
  case OP_input: return cache_fail(p, v, "it is given for each word");
  default: return cache_fail(p, v, "this operator mixes rows");
  }
}

// The rows have the extents of the value, with W words, and maybe the sentences in front.
static bool fits(const Split *p, Val v, Val rows) {
  Type t = plain(*made_type(p, rows)), want_plain = plain(rows_type(p, &value_of(p, v)->type));
  Type want_lifted = lifted_type(p, &value_of(p, v)->type);
  return type_equal(&t, &want_plain) || (type_equal(&t, &want_lifted) && !p->dep[v.id]);
}

Val cache_rows(Split *p, Val v) {
  want(p, NEED_ROWS, v);
  while (p->todo.n && !p->failed) {
    Task task = p->todo.at[p->todo.n - 1];
    Val *made = &p->made[task.need][task.v.id];
    if (made->id) {
      p->todo.n--;
      continue;
    }
    p->waiting = false;
    *made = task.need == NEED_ALL ? make_all(p, task.v) : make_rows(p, task.v);
    if (!made->id && !p->waiting) cache_fail(p, task.v, "no rule gives its rows");
    if (made->id && task.need == NEED_ROWS && !fits(p, task.v, *made))
      cache_fail(p, task.v, "its rows have another shape");
  }
  return p->failed ? NO_VAL : p->made[NEED_ROWS][v.id];
}
