// shape.c: what the shape rules of all operator families share: looking at operands and attributes, and reporting a
// mistake of the model's author in words and with the shapes involved.
//
// A rule reads like
//   if (!shape_count(c, 2, 3) || !shape_float(c)) return false;
//   if (!dim_equal(k, w)) return shape_error(c, "E0204", "x has %s columns but the weight takes %s", ...);
// shape_error adds a note with the shape of every operand (up to four) at the place where the operand was made. While a
// page is elaborated (Module.page), messages use its names: of axes, of parameters, of the function that was called.
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

static const PageNames *page_of(const ShapeCtx *c) {
  return c->g->module->page;
}

static const char *name_of(const ShapeCtx *c) {
  const PageNames *p = page_of(c);
  return p && p->call ? p->call : op_info[c->op].name;
}

static const char *take_text(const ShapeCtx *c, Buf *b) {
  const char *s = arena_strdup(c->g->module->arena, b->s);
  buf_free(b);
  return s;
}

const char *shape_type(const ShapeCtx *c, size_t i) {
  const PageNames *p = page_of(c);
  Buf b = {0};
  if (p)
    type_speak(&b, c->g->module, shape_arg(c, i), p->axes(p, c->args[i]));
  else
    type_print(&b, c->g->module, shape_arg(c, i));
  return take_text(c, &b);
}

const char *shape_who(const ShapeCtx *c, size_t i) {
  const PageNames *p = page_of(c);
  bool known = p && i < p->n && p->operand && p->operand[i];
  return known ? arena_printf(c->g->module->arena, "'%s'", p->operand[i])
               : arena_printf(c->g->module->arena, "operand %zu", i + 1);
}

const char *shape_axis(const ShapeCtx *c, const Type *t, int axis) {
  const Module *m = c->g->module;
  const PageNames *p = page_of(c);
  const char *const *names = NULL;
  Buf b = {0};
  for (size_t i = 0; p && i < c->nargs && !names; i++)
    if (shape_arg(c, i) == t) names = p->axes(p, c->args[i]);
  if (p || (t->nseg && t->segaxis == axis))
    axis_speak(&b, m, t, names, axis);
  else
    dim_print(&b, m, t->dim[axis]);
  return take_text(c, &b);
}

static void note_operand(const ShapeCtx *c, Diagnostic *d, size_t i) {
  const Value *v = graph_value(c->g, c->args[i]);
  const char *name = value_str(v, A_name);
  if (name)
    diag_note(c->g->module->diag, d, v->span, "%s, %s \"%s\", is %s", shape_who(c, i), op_info[v->op].name, name,
              shape_type(c, i));
  else
    diag_note(c->g->module->diag, d, v->span, "%s is %s", shape_who(c, i), shape_type(c, i));
}

static bool report(const ShapeCtx *c, Span at, const char *code, const char *fmt, va_list ap) {
  const Module *m = c->g->module;
  Buf b = {0};
  buf_vprintf(&b, fmt, ap);
  if (c->why) {
    Buf t = {0};
    buf_printf(&t, "%s: %s [%s]", op_info[c->op].name, b.s, code);
    for (size_t i = 0; i < c->nargs && i < 4; i++) buf_printf(&t, "%s%s", i ? ", " : "; operands ", shape_type(c, i));
    *c->why = take_text(c, &t);
  } else {
    Diagnostic *d = *c->said = diag_error(m->diag, code, at.file ? at : c->span, "%s: %s", name_of(c), b.s);
    for (size_t i = 0; i < c->nargs && i < 4; i++) note_operand(c, d, i);
  }
  buf_free(&b);
  return false;
}

bool shape_error(const ShapeCtx *c, const char *code, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  report(c, NO_SPAN, code, fmt, ap);
  va_end(ap);
  return false;
}

bool shape_error_at(const ShapeCtx *c, size_t i, const char *code, const char *fmt, ...) {
  const PageNames *p = page_of(c);
  va_list ap;
  va_start(ap, fmt);
  report(c, p && p->at && i < p->n ? p->at[i] : NO_SPAN, code, fmt, ap);
  va_end(ap);
  return false;
}

bool shape_error_attr(const ShapeCtx *c, AttrKey k, const char *code, const char *fmt, ...) {
  const PageNames *p = page_of(c);
  va_list ap;
  va_start(ap, fmt);
  report(c, p && p->attr_at ? p->attr_at[k] : NO_SPAN, code, fmt, ap);
  va_end(ap);
  return false;
}

bool shape_hint(const ShapeCtx *c, const char *fmt, ...) {
  char text[300];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (page_of(c) && *c->said) diag_hint(c->g->module->diag, *c->said, "%s", text);
  return false;
}

bool shape_count(const ShapeCtx *c, size_t least, size_t most) {
  if (c->nargs >= least && c->nargs <= most) return true;
  if (least == most) return shape_error(c, "E0201", "takes %zu operands, has %zu", least, c->nargs);
  return shape_error(c, "E0201", "takes %zu to %zu operands, has %zu", least, most, c->nargs);
}

bool shape_rank(const ShapeCtx *c, size_t arg, int rank) {
  int have = shape_arg(c, arg)->rank;
  if (have == rank) return true;
  return shape_error_at(c, arg, "E0202", "%s has %d %s, needs %d", shape_who(c, arg), have, have == 1 ? "axis" : "axes",
                        rank);
}

bool shape_float(const ShapeCtx *c) {
  for (size_t i = 0; i < c->nargs; i++) {
    DType t = shape_arg(c, i)->dtype, first = shape_arg(c, 0)->dtype;
    if (t == DT_I32 || t == DT_BOOL)
      return shape_error_at(c, i, "E0203", "%s has %s elements, needs floating-point ones", shape_who(c, i),
                            dtype_info[t].name),
             shape_hint(c, "convert it: cast(x, f32)");
    if (t != first)
      return shape_error_at(c, i, "E0203", "%s has %s elements but %s has %s", shape_who(c, 0), dtype_info[first].name,
                            shape_who(c, i), dtype_info[t].name);
  }
  return true;
}

bool shape_dense_rows(const ShapeCtx *c) {
  const Type *x = shape_arg(c, 0);
  if (x->rank < 1) return shape_error(c, "E0202", "%s is a scalar, needs at least one axis", shape_who(c, 0));
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
