// elab_seg.c: indexing, segments, multiway, switch and `as`.
//
//   x[:, 1:]        part of an axis        x[:, 0]        one row, the axis is dropped
//   x[:, vision]    one segment            x[..., 0:dim]  axes left out at '...'
//   x[:, 0:9:2]     every second of a part of an axis
//   multiway x { norm(x, eps) }  @ln       each segment of x with its own weights: ln.A.weight, ln.B.weight
//   switch x { vision -> f(x)  language -> g(x) }
//
// Starts count by upper bounds, as the graph stores segments. Modalities absent from the type are never instantiated.
#include "elab.h"

#include <string.h>

/* slices
 * ----------------------------------------------------------------------------------------------------------------------
 */

static CtVal slice(Elab *e, CtVal x, int axis, int64_t start, Dim len, Span at) {
  Type t = *val_type(e, x.v);
  if (start == 0 && dim_equal(t.dim[axis], len)) return x;
  if (t.nseg && t.segaxis == axis) type_set_segs(&t, axis, NULL, 0);
  t.dim[axis] = len;
  Attr a[] = {attr_int(A_axis, axis), attr_int(A_start, start)};
  return add_typed(e, OP_slice, x.v, a, 2, &t, at);
}

static CtVal select_seg(Elab *e, CtVal x, int s, Span at) {
  const Type *t = val_type(e, x.v);
  if (t->nseg == 1) return x;
  return slice(e, x, t->segaxis, seg_start(e->m, t, s), t->seg[s].len, at);
}

static CtVal range_error(Elab *e, CtVal x, int axis, Span at, const char *what) {
  elab_error(e, "E0124", at, "%s lies outside axis %d of %s", what, axis, val_text(e, x.v));
  return CT_ERROR;
}

// Resolves an index: a constant, negative ones from the end of an axis of constant length.
static bool bound(Elab *e, Env *env, const Node *n, CtVal x, int axis, int64_t absent, int64_t *out) {
  if (!n) return *out = absent, true;
  const Type *t = val_type(e, x.v);
  if (!want_int(e, eval(e, env, n), n->span, "an index", -INT32_MAX, INT32_MAX, out)) return false;
  if (*out >= 0) return true;
  if (t->dim[axis].k) {
    Diagnostic *g = elab_error(e, "E0124", n->span, "an index from the end needs an axis of constant length, not %s",
                               axis_text(e, x.v, axis));
    diag_hint(e->diag, g, "select a segment of constant length first: x[:, modality]");
    return false;
  }
  *out += t->dim[axis].c;
  if (*out >= 0) return true;
  (void)range_error(e, x, axis, n->span, "this index");
  return false;
}

// x[.., lo:hi, ..]; hi < 0: to the end. Parts of several segments are taken one by one and joined.
static CtVal slice_range(Elab *e, CtVal x, int axis, int64_t lo, int64_t hi, Span at) {
  Type t = *val_type(e, x.v);
  bool segs = t.nseg && t.segaxis == axis;
  int nseg = segs ? t.nseg : 1;
  Val part[MAX_SEGS];
  size_t n = 0;
  int64_t pos = 0;
  if (hi >= 0 && hi <= lo) {
    elab_error(e, "E0124", at, "this range is empty");
    return CT_ERROR;
  }
  for (int s = 0; s < nseg && (hi < 0 || pos < hi); s++) {
    Dim len = segs ? t.seg[s].len : t.dim[axis];
    int64_t from = lo > pos ? lo - pos : 0, least = dim_least(e->m, len);
    Dim take = {len.c - from, len.k, len.sym};
    if (!len.k && from >= len.c) { // the range starts behind this part
      pos += len.c;
      continue;
    }
    if (from >= least && !(from == 0 && least == 0)) return range_error(e, x, axis, at, "the start of this range");
    if (hi >= 0 && hi - pos <= least)
      take = DIM(hi - pos - from); // ends inside this part
    else if (hi >= 0 && len.k)
      return range_error(e, x, axis, at, "the end of this range");
    CtVal p = slice(e, x, axis, (segs ? seg_start(e->m, &t, s) : 0) + from, take, at);
    if (p.kind == CV_ERROR) return p;
    part[n++] = p.v;
    if (len.k && hi >= 0) {
      pos = hi;
      break;
    }
    if (!len.k)
      pos += len.c;
    else
      pos += 0; // only "to the end" follows a run-time part
  }
  if (n == 0 || (hi >= 0 && pos < hi)) return range_error(e, x, axis, at, "this range");
  if (n == 1) return ct_tensor(part[0]);
  Attr a = attr_int(A_axis, axis);
  return add_op(e, OP_concat, part, n, &a, 1, at);
}

// x[.., lo:L, ..] with a run-time end, which must never exceed the axis.
static CtVal slice_to_dim(Elab *e, CtVal x, int axis, int64_t lo, Dim hi, Span at) {
  const Type *t = val_type(e, x.v);
  Dim take = {hi.c - lo, hi.k, hi.sym}, rest;
  if (t->nseg && t->segaxis == axis) {
    Diagnostic *g = elab_error(e, "E0124", at, "a range with a run-time end needs an axis without segments, not %s",
                               axis_text(e, x.v, axis));
    diag_hint(e->diag, g, "select the segment by its name: x[:, %s]", e->m->modality[t->seg[0].modality].name);
    return CT_ERROR;
  }
  bool known = dim_arith(AO_sub, t->dim[axis], hi, &rest) && dim_least(e->m, rest) >= 0;
  if (!known && !(dim_least(e->m, t->dim[axis]) >= dim_bound(e->m, hi))) {
    Diagnostic *g = elab_error(e, "E0124", at, "this range may end behind axis %d of %s", axis, val_text(e, x.v));
    diag_note(e->diag, g, NO_SPAN, "its end is at most %lld", (long long)dim_bound(e->m, hi));
    return CT_ERROR;
  }
  if (dim_least(e->m, take) < 1) return range_error(e, x, axis, at, "a range that may be empty");
  return slice(e, x, axis, lo, take, at);
}

static CtVal drop_axis(Elab *e, CtVal x, int axis, Span at) {
  Type t = *val_type(e, x.v);
  DimNames names = *val_names(e, x.v);
  if (t.nseg && t.segaxis == axis) type_set_segs(&t, axis, NULL, 0);
  for (int i = axis; i + 1 < t.rank; i++) t.dim[i] = t.dim[i + 1], names.at[i] = names.at[i + 1];
  t.rank--;
  t.dim[t.rank] = DIM(0);
  if (t.nseg && t.segaxis > axis) t.segaxis--;
  CtVal y = add_typed(e, OP_reshape, x.v, NULL, 0, &t, at);
  if (y.kind == CV_TENSOR)
    for (int i = 0; i < t.rank; i++) val_names(e, y.v)->at[i] = names.at[i];
  return y;
}

static CtVal index_segment(Elab *e, CtVal x, int axis, const Node *n) {
  const Type *t = val_type(e, x.v);
  int m = modality_find(e->m, n->name);
  for (int s = 0; t->nseg && t->segaxis == axis && s < t->nseg; s++)
    if (t->seg[s].modality == m) return select_seg(e, x, s, n->span);
  elab_error(e, "E0122", n->span, "axis %d of %s has no segment '%s'", axis, val_text(e, x.v), n->name);
  return CT_ERROR;
}

// n times `step` elements of an axis from `start` on as [n, step], of which place `at` is taken: a view.
static CtVal slice_places(Elab *e, CtVal x, int axis, int64_t start, int64_t step, int64_t n, int64_t place, Span at) {
  DimNames names = *val_names(e, x.v);
  CtVal part = slice_range(e, x, axis, start, start + n * step, at);
  if (part.kind == CV_ERROR) return part;
  Type t = *val_type(e, part.v), two = t;
  for (int d = t.rank; d > axis + 1; d--) two.dim[d] = two.dim[d - 1];
  two.dim[axis] = DIM(n), two.dim[axis + 1] = DIM(step), two.rank++;
  if (two.nseg && two.segaxis > axis) two.segaxis++;
  part = add_typed(e, OP_reshape, part.v, NULL, 0, &two, at);
  if (part.kind == CV_TENSOR) part = slice(e, part, axis + 1, place, DIM(1), at);
  if (part.kind == CV_ERROR) return part;
  t.dim[axis] = DIM(n);
  part = add_typed(e, OP_reshape, part.v, NULL, 0, &t, at);
  for (int d = 0; part.kind == CV_TENSOR && d < t.rank; d++)
    if (d != axis) val_names(e, part.v)->at[d] = names.at[d];
  return part;
}

// x[.., lo:hi:step, ..]: an axis of n * step elements is one of n and one of step. Where too few lie behind the last
// one the part begins further in front; where there are none there either, the last one is joined by itself.
static CtVal slice_steps(Elab *e, CtVal x, int axis, int64_t lo, int64_t hi, int64_t step, Span at) {
  const Type *t = val_type(e, x.v);
  if (t->dim[axis].k || (t->nseg && t->segaxis == axis)) {
    Diagnostic *g = elab_error(e, "E0124", at, "a step needs an axis of constant length without segments, not %s",
                               axis_text(e, x.v, axis));
    diag_hint(e->diag, g, "rows whose numbers are computed are taken by gather_rows(x, rows)");
    return CT_ERROR;
  }
  if (t->rank == MAX_RANK) {
    Diagnostic *g = elab_error(e, "E0124", at, "a step needs a tensor of at most %d axes, this is %s", MAX_RANK - 1,
                               val_text(e, x.v));
    diag_hint(e->diag, g, "join two axes by reshape first");
    return CT_ERROR;
  }
  int64_t all = t->dim[axis].c, end = hi < 0 ? all : hi;
  if (lo >= all || end > all) return range_error(e, x, axis, at, "this range");
  if (end <= lo || step == 1) return slice_range(e, x, axis, lo, end, at);
  int64_t n = (end - lo + step - 1) / step, beyond = lo + n * step - all;
  if (n == 1) return slice_range(e, x, axis, lo, lo + 1, at);
  if (beyond <= lo) {
    int64_t place = beyond > 0 ? beyond : 0;
    return slice_places(e, x, axis, lo - place, step, n, place, at);
  }
  CtVal most = slice_places(e, x, axis, lo, step, n - 1, 0, at);
  CtVal last = slice_range(e, x, axis, lo + (n - 1) * step, lo + (n - 1) * step + 1, at);
  if (most.kind == CV_ERROR || last.kind == CV_ERROR) return CT_ERROR;
  Attr a = attr_int(A_axis, axis);
  return add_op(e, OP_concat, (Val[]){most.v, last.v}, 2, &a, 1, at);
}

static bool want_step(Elab *e, Env *env, const Node *n, int64_t *step) {
  *step = 1;
  if (!n) return true;
  CtVal v = eval(e, env, n);
  if (!want_int(e, v, n->span, "a step", -INT32_MAX, INT32_MAX, step)) return false;
  if (*step >= 1) return true;
  Diagnostic *g = elab_error(e, "E0124", n->span, "a step of %lld, must be at least 1", (long long)*step);
  diag_hint(e->diag, g, "rows in another order are taken by gather_rows(x, rows)");
  return false;
}

// One item on one axis; *dropped if the axis disappears.
static CtVal index_axis(Elab *e, Env *env, CtVal x, int axis, const Node *item, bool *dropped) {
  int64_t lo, hi;
  *dropped = false;
  if (item->kind == N_item_all) return x;
  if (item->kind == N_item_at) {
    const Node *i = item->a;
    if (i->kind == N_ident && modality_find(e->m, i->name) >= 0 && !env_find(env, i->name))
      return index_segment(e, x, axis, i);
    if (!bound(e, env, i, x, axis, 0, &lo)) return CT_ERROR;
    *dropped = true;
    return slice_range(e, x, axis, lo, lo + 1, item->span);
  }
  int64_t step;
  if (!bound(e, env, item->a, x, axis, 0, &lo) || !want_step(e, env, item->c, &step)) return CT_ERROR;
  if (item->b) {
    CtVal end = eval(e, env, item->b);
    if (end.kind == CV_ERROR) return end;
    if (end.kind == CV_INT && end.d.k && !item->c) return slice_to_dim(e, x, axis, lo, end.d, item->span);
  }
  if (!bound(e, env, item->b, x, axis, -1, &hi)) return CT_ERROR;
  if (item->c) return slice_steps(e, x, axis, lo, hi, step, item->span);
  return slice_range(e, x, axis, lo, hi, item->span);
}

// Is this index the word `key` or `query` of a mask?
static bool names_side(Env *env, const Node *item, const char *side) {
  return item->kind == N_item_at && item->a->kind == N_ident && !strcmp(item->a->name, side) && !env_find(env, side);
}

CtVal eval_index(Elab *e, Env *env, const Node *n) {
  CtVal x = eval(e, env, n->a);
  if (x.kind == CV_ERROR) return x;
  if (n->list.n == 1 && x.kind == CV_TENSOR && names_side(env, n->list.at[0], "key")) return mask_arg(e, x, 2, n->span);
  if (n->list.n == 2 && x.kind == CV_TENSOR && names_side(env, n->list.at[0], "query") &&
      names_side(env, n->list.at[1], "key"))
    return mask_arg(e, x, 3, n->span);
  if (n->list.n == 2 && names_side(env, n->list.at[0], "key") && names_side(env, n->list.at[1], "query")) {
    diag_hint(e->diag, elab_error(e, "E0120", n->span, "a mask has a row for each query, this reads it by keys"),
              "write [query, key], and transpose the tensor if its rows are keys");
    return CT_ERROR;
  }
  if (x.kind == CV_LIST && n->list.n == 1 && n->list.at[0]->kind == N_item_at) {
    int64_t i;
    if (!want_int(e, eval(e, env, n->list.at[0]->a), n->span, "an index", 0, (int64_t)x.n - 1, &i)) return CT_ERROR;
    return x.item[i];
  }
  if (!want_tensor(e, x, n->a->span, "what is indexed")) return CT_ERROR;
  size_t rests = 0;
  int rank = val_type(e, x.v)->rank, axis = 0;
  for (size_t i = 0; i < n->list.n; i++) rests += n->list.at[i]->kind == N_item_rest;
  if (rests > 1 || n->list.n - rests > (size_t)rank) {
    elab_error(e, "E0124", n->span, rests > 1 ? "'...' may stand once%s%s" : "too many indices for %s%s",
               rests > 1 ? "" : val_text(e, x.v), "");
    return CT_ERROR;
  }
  for (size_t i = 0; i < n->list.n; i++) {
    const Node *item = n->list.at[i];
    bool dropped;
    if (item->kind == N_item_rest) {
      axis = val_type(e, x.v)->rank - (int)(n->list.n - 1 - i);
      continue;
    }
    x = index_axis(e, env, x, axis, item, &dropped);
    if (x.kind == CV_ERROR) return x;
    if (dropped)
      x = drop_axis(e, x, axis, item->span);
    else
      axis++;
    if (x.kind == CV_ERROR) return x;
  }
  return x;
}

/* multiway and switch
 * ----------------------------------------------------------------------------------------------------------- */

// The tensor that multiway or switch runs over: a name with a segmented axis.
static bool segmented(Elab *e, Env *env, const Node *n, CtVal *x) {
  *x = eval(e, env, &(Node){.kind = N_ident, .name = n->name, .span = n->name_span});
  if (!want_tensor(e, *x, n->name_span, "what is switched")) return false;
  if (val_type(e, x->v)->nseg) return true;
  Diagnostic *g = elab_error(e, "E0122", n->name_span, "'%s' is %s, it has no segments to choose weights by", n->name,
                             val_text(e, x->v));
  if (e->m->nmodality)
    diag_hint(e->diag, g, "name its modality: %s as %s, or declare the type of the block that made it", n->name,
              e->m->modality[0].name);
  else
    diag_hint(e->diag, g, "declare modalities first: modality vision \"A\", language \"B\"");
  return false;
}

// The result of one arm, tagged with the modality of its segment.
static CtVal tag(Elab *e, CtVal y, CtVal part, Span at) {
  if (!want_tensor(e, y, at, "the result of an arm")) return CT_ERROR;
  const Type *x = val_type(e, part.v);
  Type t = *val_type(e, y.v);
  if (t.nseg || t.rank <= x->segaxis) return y;
  if (t.dim[x->segaxis].k && t.dim[x->segaxis].sym == DIM_SEGS) return y;
  Seg s = {x->seg[0].modality, t.dim[x->segaxis]};
  type_set_segs(&t, x->segaxis, &s, 1);
  Attr to = attr_str(A_to, e->m->modality[s.modality].name);
  return add_typed(e, OP_retag, y.v, &to, 1, &t, at);
}

static CtVal join(Elab *e, const Val *part, size_t n, int axis, Span at) {
  if (n == 1) return ct_tensor(part[0]);
  for (size_t i = 0; i < n; i++)
    if (val_type(e, part[i])->rank <= axis) {
      elab_error(e, "E0122", at, "an arm gives %s, which has no axis %d to put the segments back on",
                 val_text(e, part[i]), axis);
      return CT_ERROR;
    }
  Attr a = attr_int(A_axis, axis);
  return add_op(e, OP_concat, part, n, &a, 1, at);
}

static CtVal run_arm(Elab *e, Env *env, const Node *body, const char *name, CtVal part, Span at) {
  Env *inner = env_new(e, env, false);
  bool returned;
  env_set(e, inner, name, part, at);
  return body->kind == N_body ? eval_body(e, inner, body, &returned) : eval(e, inner, body);
}

CtVal eval_multiway(Elab *e, Env *env, const Node *n) {
  CtVal x;
  if (!segmented(e, env, n, &x)) return CT_ERROR;
  Type t = *val_type(e, x.v);
  Val out[MAX_SEGS];
  const char *saved = e->scope;
  for (int s = 0; s < t.nseg; s++) {
    CtVal part = select_seg(e, x, s, n->name_span);
    if (part.kind == CV_ERROR) return part;
    e->scope = scope_join(e, saved, e->m->modality[t.seg[s].modality].infix, n->span);
    CtVal y = run_arm(e, env, n->a, n->name, part, n->name_span);
    e->scope = saved;
    if (y.kind != CV_ERROR) y = tag(e, y, part, n->a->span);
    if (y.kind == CV_ERROR) return y;
    out[s] = y.v;
  }
  return join(e, out, t.nseg, t.segaxis, n->span);
}

// Every arm names a known modality once; `else` comes last.
static bool arms_ok(Elab *e, const Node *n) {
  for (size_t i = 0; i < n->list.n; i++) {
    const Node *arm = n->list.at[i];
    if (!arm->name && i + 1 < n->list.n) {
      elab_error(e, "E0123", arm->name_span, "'else' is the last arm of a switch");
      return false;
    }
    if (arm->name && modality_find(e->m, arm->name) < 0) {
      modality_unknown(e, arm->name, arm->name_span);
      return false;
    }
    for (size_t k = 0; k < i; k++)
      if (arm->name && n->list.at[k]->name == arm->name) {
        Diagnostic *g = elab_error(e, "E0105", arm->name_span, "a second arm for '%s'", arm->name);
        diag_note(e->diag, g, n->list.at[k]->name_span, "the first one");
        return false;
      }
  }
  return true;
}

CtVal eval_switch(Elab *e, Env *env, const Node *n) {
  CtVal x;
  if (!arms_ok(e, n) || !segmented(e, env, n, &x)) return CT_ERROR;
  Type t = *val_type(e, x.v);
  Val out[MAX_SEGS];
  for (int s = 0; s < t.nseg; s++) {
    const char *modality = e->m->modality[t.seg[s].modality].name;
    const Node *arm = NULL;
    for (size_t i = 0; i < n->list.n && !arm; i++) {
      const Node *a = n->list.at[i];
      if (!a->name || strcmp(a->name, modality) == 0) arm = a;
    }
    if (!arm) {
      Diagnostic *g =
          elab_error(e, "E0123", n->span, "'%s' is %s, but no arm is for '%s'", n->name, val_text(e, x.v), modality);
      diag_hint(e->diag, g, "add an arm '%s -> ...' or 'else -> ...'", modality);
      return CT_ERROR;
    }
    CtVal part = select_seg(e, x, s, n->name_span);
    if (part.kind == CV_ERROR) return part;
    CtVal y = run_arm(e, env, arm->a, n->name, part, n->name_span);
    if (y.kind != CV_ERROR) y = tag(e, y, part, arm->a->span);
    if (y.kind == CV_ERROR) return y;
    out[s] = y.v;
  }
  return join(e, out, t.nseg, t.segaxis, n->span);
}

CtVal eval_as(Elab *e, Env *env, const Node *n) {
  CtVal x = eval(e, env, n->a);
  if (x.kind == CV_ERROR) return x;
  if (n->text) {
    Diagnostic *g = elab_error(e, "E0122", n->name_span, "'as' is followed by a modality, not by text");
    diag_hint(e->diag, g, "text stands there only behind the rate of an average of a stage");
    return CT_ERROR;
  }
  int m = modality_find(e->m, n->name);
  if (m < 0) {
    modality_unknown(e, n->name, n->name_span);
    return CT_ERROR;
  }
  if (!want_tensor(e, x, n->a->span, "what 'as' re-tags")) return CT_ERROR;
  Type t = *val_type(e, x.v);
  int axis = t.nseg ? t.segaxis : 1;
  if (t.rank <= axis) {
    elab_error(e, "E0122", n->span, "%s has no sequence axis to tag", val_text(e, x.v));
    return CT_ERROR;
  }
  if (t.dim[axis].k && t.dim[axis].sym == DIM_SEGS) {
    elab_error(e, "E0122", n->span, "%s has two segments of run-time length, which cannot become one",
               val_text(e, x.v));
    return CT_ERROR;
  }
  Seg s = {m, t.dim[axis]};
  type_set_segs(&t, axis, &s, 1);
  Attr to = attr_str(A_to, n->name);
  return add_typed(e, OP_retag, x.v, &to, 1, &t, n->span);
}
