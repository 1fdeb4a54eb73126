// shape.c: what the shape rules of all operator families share: looking at operands and attributes, and reporting a
// mistake of the model's author in words and with the shapes involved.
//
// A rule reads like
//   if (!shape_count(c, 2, 3) || !shape_float(c)) return false;
//   if (!dim_equal(k, w)) return shape_error(c, "E0204", "x has %s columns but the weight takes %s", ...);
// shape_error adds a note with the shape of every operand (up to four) at the place where the operand was made.
#include "op.h"

#include <string.h>

const Attr *shape_attr(const ShapeCtx *c, AttrKey k) {
  for (size_t i = 0; i < c->nattr; i++)
    if (c->attr[i].key == k) return &c->attr[i];
  return NULL;
}

int64_t shape_int(const ShapeCtx *c, AttrKey k, int64_t absent) {
  const Attr *a = shape_attr(c, k);
  return a ? a->i : absent;
}

const Type *shape_arg(const ShapeCtx *c, size_t i) {
  return &graph_value(c->g, c->args[i])->type;
}

bool shape_error(const ShapeCtx *c, const char *code, const char *fmt, ...) {
  const Module *m = c->g->module;
  Buf b = {0};
  va_list ap;
  va_start(ap, fmt);
  buf_vprintf(&b, fmt, ap);
  va_end(ap);
  if (c->why) {
    Buf t = {0};
    buf_printf(&t, "%s: %s [%s]", op_info[c->op].name, b.s, code);
    for (size_t i = 0; i < c->nargs && i < 4; i++) {
      buf_puts(&t, i ? ", " : "; operands ");
      type_print(&t, m, shape_arg(c, i));
    }
    *c->why = arena_strdup(m->arena, t.s);
    buf_free(&t);
  } else {
    Diagnostic *d = diag_error(m->diag, code, c->span, "%s: %s", op_info[c->op].name, b.s);
    for (size_t i = 0; i < c->nargs && i < 4; i++) {
      const Value *v = graph_value(c->g, c->args[i]);
      Buf t = {0};
      type_print(&t, m, &v->type);
      const char *name = value_str(v, A_name);
      if (name)
        diag_note(m->diag, d, v->span, "operand %zu, %s \"%s\", is %s", i + 1, op_info[v->op].name, name, t.s);
      else
        diag_note(m->diag, d, v->span, "operand %zu is %s", i + 1, t.s);
      buf_free(&t);
    }
  }
  buf_free(&b);
  return false;
}

const char *shape_axis(const ShapeCtx *c, const Type *t, int axis) {
  const Module *m = c->g->module;
  Buf b = {0};
  if (t->nseg && t->segaxis == axis) {
    Type one = {.dtype = t->dtype, .rank = 1, .nseg = t->nseg, .dim = {t->dim[axis]}};
    memcpy(one.seg, t->seg, sizeof one.seg);
    type_print(&b, m, &one);
    char *s = arena_strdup(m->arena, strchr(b.s, '[') + 1);
    s[strlen(s) - 1] = 0;
    buf_free(&b);
    return s;
  }
  dim_print(&b, m, t->dim[axis]);
  const char *s = arena_strdup(m->arena, b.s);
  buf_free(&b);
  return s;
}

bool shape_count(const ShapeCtx *c, size_t least, size_t most) {
  if (c->nargs >= least && c->nargs <= most) return true;
  if (least == most) return shape_error(c, "E0201", "takes %zu operands, has %zu", least, c->nargs);
  return shape_error(c, "E0201", "takes %zu to %zu operands, has %zu", least, most, c->nargs);
}

bool shape_rank(const ShapeCtx *c, size_t arg, int rank) {
  int have = shape_arg(c, arg)->rank;
  if (have == rank) return true;
  return shape_error(c, "E0202", "operand %zu has %d axes, needs %d", arg + 1, have, rank);
}

bool shape_float(const ShapeCtx *c) {
  for (size_t i = 0; i < c->nargs; i++) {
    DType t = shape_arg(c, i)->dtype, first = shape_arg(c, 0)->dtype;
    if (t == DT_I32 || t == DT_BOOL)
      return shape_error(c, "E0203", "operand %zu has %s elements, needs floating-point ones", i + 1,
                         dtype_info[t].name);
    if (t != first)
      return shape_error(c, "E0203", "operand 1 has %s elements but operand %zu has %s", dtype_info[first].name, i + 1,
                         dtype_info[t].name);
  }
  return true;
}

bool shape_dense_rows(const ShapeCtx *c) {
  const Type *x = shape_arg(c, 0);
  if (x->rank < 1) return shape_error(c, "E0202", "operand 1 is a scalar, needs at least one axis");
  if (x->nseg && x->segaxis == x->rank - 1 && !type_is_dense(x))
    return shape_error(c, "E0206", "the last axis (%s) has a run-time part before its last one, so a row has a gap",
                       shape_axis(c, x, x->rank - 1));
  return true;
}

bool shape_axis_equal(const Type *a, int i, const Type *b, int j) {
  if (!dim_equal(a->dim[i], b->dim[j])) return false;
  bool sa = a->nseg && a->segaxis == i, sb = b->nseg && b->segaxis == j;
  if (sa != sb) return type_is_dense(sa ? a : b);
  if (!sa) return true;
  if (a->nseg != b->nseg) return false;
  for (int s = 0; s < a->nseg; s++)
    if (a->seg[s].modality != b->seg[s].modality || !dim_equal(a->seg[s].len, b->seg[s].len)) return false;
  return true;
}
