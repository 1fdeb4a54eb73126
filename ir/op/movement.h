// movement.h: shape rules of movement.c and pack.c that shape_declared (source.c) chooses from.
#ifndef SY_OP_MOVEMENT_H
#define SY_OP_MOVEMENT_H

#include "op.h"

ShapeFn shape_reshape, shape_slice, shape_broadcast, shape_retag, shape_unpack;

#endif
