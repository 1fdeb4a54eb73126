// grad_movement.c: gradient rules of movement: the inverse view. Slices are joined by the pass (passes/gradient.c),
// which sees all slices of a value at once.
#include "grad.h"

void grad_reshape(Grad *c) {
  grad_set(c, 0, grad_as(c, c->dy, grad_type(c, c->v.args[0])));
}

void grad_retag(Grad *c) {
  grad_set(c, 0, grad_as(c, c->dy, grad_type(c, c->v.args[0])));
}

void grad_transpose(Grad *c) {
  const Attr *p = value_attr(&c->v, A_perm);
  int64_t *back = ARENA_ARRAY(c->g->module->arena, int64_t, MAX_RANK);
  for (size_t d = 0; d < p->nv; d++) back[p->v[d]] = (int64_t)d;
  Attr inverse = attr_ints(A_perm, back, p->nv);
  grad_set(c, 0, grad_op(c, OP_transpose, &c->dy, 1, &inverse, 1));
}

void grad_broadcast(Grad *c) {
  grad_set(c, 0, c->dy);
}

void grad_slice(Grad *c) { // the part alone; the pass knows where it belongs
  if (c->want[0]) c->d[0] = c->dy;
}

void grad_concat(Grad *c) {
  int axis = (int)value_int(&c->v, A_axis, 0);
  int64_t start = 0;
  for (uint32_t i = 0; i < c->v.nargs; i++) {
    Type part = *grad_type(c, c->v.args[i]), cut = part, whole = *grad_type(c, c->dy);
    Attr at[] = {attr_int(A_axis, axis), attr_int(A_start, start)};
    start += type_extent(c->g->module, &part, axis);
    if (!c->want[i]) continue;
    if (whole.nseg && whole.segaxis != axis && !part.nseg) type_set_segs(&cut, whole.segaxis, whole.seg, whole.nseg);
    grad_set(c, i, grad_as(c, grad_typed(c, OP_slice, c->dy, at, 2, &cut), &part));
  }
}
