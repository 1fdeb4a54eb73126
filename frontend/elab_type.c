// elab_type.c: declared types, the names of dims in messages, and adding graph operations under those names.
//
// Every tensor value carries, beside its Type, a name for each axis where one is known ("dim" for 768): declared types
// give them, operations hand them on to axes of equal extent. They appear only in messages: f32[B, 197, dim=768].
#include "elab.h"

#include <string.h>

const Type *val_type(Elab *e, Val v) {
  return &graph_value(e->g, v)->type;
}

DimNames *val_names(Elab *e, Val v) {
  while (e->dimname.n <= v.id) VEC_PUSH(e->arena, e->dimname, (DimNames){0});
  return &e->dimname.at[v.id];
}

const char *const *val_axes(const PageNames *p, Val v) {
  return val_names(p->ud, v)->at;
}

int modality_find(const Module *m, const char *name) {
  for (size_t i = 0; i < m->nmodality; i++)
    if (strcmp(m->modality[i].name, name) == 0) return (int)i;
  return -1;
}

void modality_unknown(Elab *e, const char *name, Span at) {
  const char *best = NULL;
  size_t dist = 0;
  Diagnostic *g = elab_error(e, "E0111", at, "no modality is called '%s'", name);
  for (size_t i = 0; i < e->m->nmodality; i++) near_name(name, e->m->modality[i].name, &best, &dist);
  if (best)
    hint_near(e, g, best);
  else
    diag_hint(e->diag, g, "declare it at the top of the file: modality %s", name);
}

/* text
 * ----------------------------------------------------------------------------------------------------------------- */

const char *type_text(Elab *e, const Type *t, const DimNames *names) {
  Buf b = {0};
  type_speak(&b, e->m, t, names ? names->at : NULL);
  const char *s = arena_strndup(e->arena, b.s, b.n);
  buf_free(&b);
  return s;
}

const char *val_text(Elab *e, Val v) {
  return type_text(e, val_type(e, v), val_names(e, v));
}

const char *axis_text(Elab *e, Val v, int axis) {
  Buf b = {0};
  axis_speak(&b, e->m, val_type(e, v), val_names(e, v)->at, axis);
  const char *s = arena_strndup(e->arena, b.s, b.n);
  buf_free(&b);
  return s;
}

/* declared types
 * --------------------------------------------------------------------------------------------------------- */

static bool eval_length(Elab *e, Env *env, const Node *n, Dim *out, const char **name) {
  CtVal v = eval(e, env, n);
  if (v.kind == CV_ERROR) return false;
  if (v.kind != CV_INT) {
    elab_error(e, "E0106", n->span, "an axis has an integer length, not %s", kind_text(e, v));
    return false;
  }
  if (dim_bound(e->m, v.d) < 1 || dim_bound(e->m, v.d) > INT32_MAX) {
    elab_error(e, "E0126", n->span, "an axis cannot have the length %s", kind_text(e, v));
    return false;
  }
  *out = v.d;
  *name = v.d.k ? NULL : v.name;
  return true;
}

// f32[..., vision: a + language: b, ...]: the segments of one axis. Terms before the first tag are an error.
static bool eval_segs(Elab *e, Env *env, const Node *axis, Type *t, int i) {
  Seg seg[MAX_SEGS];
  const char *name;
  if (t->nseg) {
    elab_error(e, "E0126", axis->span, "a type has one segmented axis, this is the second");
    return false;
  }
  if (axis->list.n > MAX_SEGS) {
    elab_error(e, "E0126", axis->span, "an axis has at most %d segments", MAX_SEGS);
    return false;
  }
  for (size_t s = 0; s < axis->list.n; s++) {
    const Node *n = axis->list.at[s];
    if (!n->name) {
      elab_error(e, "E0001", n->span, "this part of the axis stands before the first segment and has no modality");
      return false;
    }
    seg[s].modality = modality_find(e->m, n->name);
    if (seg[s].modality < 0) {
      modality_unknown(e, n->name, n->name_span);
      return false;
    }
    if (!eval_length(e, env, n->a, &seg[s].len, &name)) return false;
  }
  type_set_segs(t, i, seg, (int)axis->list.n);
  return true;
}

bool eval_type(Elab *e, Env *env, const Node *n, Type *out, DimNames *names) {
  Type t = {.dtype = (DType)n->i};
  DimNames dn = {0};
  bool ok = true;
  if (n->kind != N_type) return false;
  if (n->list.n > MAX_RANK) {
    elab_error(e, "E0126", n->span, "a type has at most %d axes, this has %zu", MAX_RANK, n->list.n);
    return false;
  }
  t.rank = (uint8_t)n->list.n;
  for (int i = 0; i < t.rank; i++) {
    const Node *axis = n->list.at[i];
    if (axis->kind != N_axis) return false;
    if (axis->list.n == 1 && !axis->list.at[0]->name)
      ok = eval_length(e, env, axis->list.at[0]->a, &t.dim[i], &dn.at[i]) && ok;
    else
      ok = eval_segs(e, env, axis, &t, i) && ok;
  }
  const char *why = ok ? type_problem(e->m, &t) : NULL;
  if (why) elab_error(e, "E0126", n->span, "this type cannot be used: %s", why);
  if (!ok || why) return false;
  *out = t;
  if (names) *names = dn;
  return true;
}

/* adding operations
 * ------------------------------------------------------------------------------------------------------- */

static bool names_axis(Elab *e, const Type *t, int i, Val arg, int j, DimNames *dn) {
  const Type *a = val_type(e, arg);
  const char *name = val_names(e, arg)->at[j];
  if (!name || t->dim[i].k || !dim_equal(a->dim[j], t->dim[i])) return false;
  dn->at[i] = name;
  return true;
}

// Hands the names of the operands' axes on: aligned axes of equal extent first, then any axis of equal extent.
static void names_infer(Elab *e, Op op, Val out, const Val *args, size_t n) {
  DimNames dn = *val_names(e, out);
  const Type *t = val_type(e, out);
  for (int i = 0; i < t->rank; i++) {
    bool found = dn.at[i] != NULL;
    if (op == OP_linear && i == t->rank - 1) found = names_axis(e, t, i, args[1], 0, &dn);
    for (size_t k = 0; k < n && !found; k++) {
      int j = val_type(e, args[k])->rank - (t->rank - i);
      if (j >= 0) found = names_axis(e, t, i, args[k], j, &dn);
    }
    for (size_t k = 0; k < n && !found; k++)
      for (int j = 0; j < val_type(e, args[k])->rank && !found; j++) found = names_axis(e, t, i, args[k], j, &dn);
  }
  *val_names(e, out) = dn;
}

static bool has_graph(Elab *e, Span at) {
  if (!e->g) elab_error(e, "E0012", at, "tensors exist only in routes and blocks");
  return e->g != NULL;
}

// The weight scope an operation was made in: comments of the generated code show it.
static void label(Elab *e, Val v) {
  Value *value = graph_value(e->g, v);
  if (!value->label && *e->scope) value->label = e->scope;
}

CtVal add_op(Elab *e, Op op, const Val *args, size_t n, const Attr *attr, size_t nattr, Span at) {
  if (!has_graph(e, at)) return CT_ERROR;
  Val v = graph_add(e->g, op, args, n, attr, nattr, at);
  if (!v.id) return CT_ERROR;
  names_infer(e, op, v, args, n);
  label(e, v);
  if (op == OP_linear && e->adapts) v = adapt_linear(e, v, args, at);
  return v.id ? ct_tensor(v) : CT_ERROR;
}

CtVal add_typed(Elab *e, Op op, Val arg, const Attr *attr, size_t nattr, const Type *t, Span at) {
  if (!has_graph(e, at)) return CT_ERROR;
  Val v = graph_add_typed(e->g, op, &arg, arg.id ? 1 : 0, attr, nattr, t, at);
  if (!v.id) return CT_ERROR;
  if (arg.id) names_infer(e, op, v, &arg, 1);
  label(e, v);
  return ct_tensor(v);
}

/* conversion to a declared type
 * ------------------------------------------------------------------------------------------- */

static bool same_segs(const Type *a, const Type *b) {
  if (a->nseg != b->nseg || (a->nseg && a->segaxis != b->segaxis)) return false;
  for (int i = 0; i < a->nseg; i++)
    if (a->seg[i].modality != b->seg[i].modality || !dim_equal(a->seg[i].len, b->seg[i].len)) return false;
  return true;
}

CtVal coerce(Elab *e, CtVal v, const Type *t, const DimNames *names, Span at, const char *what) {
  if (v.kind == CV_ERROR) return v;
  if (v.kind == CV_INT || v.kind == CV_REAL || v.kind == CV_BOOL) v = tensor_lift(e, v, t->dtype, at);
  if (v.kind == CV_ERROR) return v;
  if (v.kind != CV_TENSOR) {
    elab_error(e, "E0106", at, "%s is declared as %s, but this is %s", what, type_text(e, t, names), kind_text(e, v));
    return CT_ERROR;
  }
  const Type *have = val_type(e, v.v);
  bool fits = have->dtype == t->dtype && have->rank == t->rank && (!have->nseg || !t->nseg || same_segs(have, t));
  for (int i = 0; fits && i < t->rank; i++) fits = dim_equal(have->dim[i], t->dim[i]);
  if (!fits) {
    Diagnostic *g = elab_error(e, "E0127", at, "%s is declared as %s, but this is %s", what, type_text(e, t, names),
                               val_text(e, v.v));
    if (have->dtype != t->dtype)
      diag_hint(e->diag, g, "convert it: cast(x, %s)", dtype_info[t->dtype].name);
    else if (have->nseg && t->nseg && have->rank == t->rank)
      diag_hint(e->diag, g, "the segments differ; 'x as %s' re-tags a tensor", e->m->modality[t->seg[0].modality].name);
    return CT_ERROR;
  }
  if (!same_segs(have, t)) {
    Attr to = attr_str(A_to, t->nseg ? e->m->modality[t->seg[0].modality].name : "");
    v = add_typed(e, OP_retag, v.v, &to, 1, t, at);
  }
  if (v.kind == CV_TENSOR && names)
    for (int i = 0; i < t->rank; i++)
      if (names->at[i]) val_names(e, v.v)->at[i] = names->at[i];
  return v;
}
