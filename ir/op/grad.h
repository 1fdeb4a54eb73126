// grad.h: what gradient rules are made of. A rule is grad_<rule>(Grad *c) in a file grad_*.c, named in ops.def; it
// fills c->d[i] where c->want[i] is set. Operations are added behind everything that is there; equal ones are one
// value.
//
//   void grad_mul(Grad *c) {
//     grad_set(c, 0, grad_2(c, OP_mul, c->dy, c->v.args[1]));      // dy b, summed where a was stretched
//     grad_set(c, 1, grad_2(c, OP_mul, c->dy, c->v.args[0]));
//   }
#ifndef SY_OP_GRAD_H
#define SY_OP_GRAD_H

#include "op.h"

const Type *grad_type(const Grad *c, Val v);
// The cotangent of operand i: v, summed over the axes along which the operand was stretched. Does nothing where it is
// not asked for. NO_VAL sets nothing.
void grad_set(Grad *c, uint32_t i, Val v);

Val grad_number(const Grad *c, double x); // f32[]
Val grad_op(const Grad *c, Op op, const Val *args, size_t n, const Attr *attr, size_t nattr);
Val grad_typed(const Grad *c, Op op, Val x, const Attr *attr, size_t nattr, const Type *t);
Val grad_1(const Grad *c, Op op, Val a);
Val grad_2(const Grad *c, Op op, Val a, Val b);
Val grad_3(const Grad *c, Op op, Val a, Val b, Val d);
Val grad_zeros(const Grad *c, const Type *t);
Val grad_as(const Grad *c, Val x, const Type *t);     // also to other segments
Val grad_swap(const Grad *c, Val x, int a, int b);    // transposes two axes
Val grad_sum_axis(const Grad *c, Val x, int axis);    // the sum over an axis, which is dropped
Val grad_sum_to(const Grad *c, Val x, const Type *t); // the sum over what a broadcast from t to x's type has stretched

#endif
