// elab_builtin.h: what the files of builtins share (elab_builtin.c, elab_move.c).
#ifndef SY_ELAB_BUILTIN_H
#define SY_ELAB_BUILTIN_H

#include "elab.h"

enum { MAX_SLOTS = ELAB_MAX_ARGS };
typedef struct Call {
  const char *name;
  Op op;
  CtVal slot[MAX_SLOTS]; // CV_NONE: not given
  Span span[MAX_SLOTS];
  size_t rest; // arguments of a '*' parameter, from slot 1 on
  Span at;
} Call;
typedef CtVal BuiltinFn(Elab *e, Call *c);

static inline bool given(const Call *c, int i) {
  return c->slot[i].kind != CV_NONE;
}

SY_MUST_USE bool tensor_at(Elab *e, Call *c, int i, const char *what); // or an error that names the parameter
// An axis of so many, negative ones from the end; without a value `absent`.
SY_MUST_USE bool want_axis(Elab *e, CtVal v, Span at, int rank, int64_t absent, int64_t *axis);
// Adds the operation with the names and places of its operands for the messages of its shape rule.
CtVal add_named(Elab *e, Call *c, const Val *args, const char *const *name, const Span *at, size_t n, const Attr *attr,
                size_t nattr, const Span *attr_at);
CtVal call_operator(Elab *e, Call *c); // as its signature in ir/ops.def says

/* elab_move.c: shapes, axes, constants */
BuiltinFn call_shape, call_transpose, call_along, call_reduce_mean, call_concat, call_pad, call_fill, call_range;

#endif
