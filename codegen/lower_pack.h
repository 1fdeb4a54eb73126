// lower_pack.h: kernels of pack and unpack, for lower_map.c.
#ifndef SY_LOWER_PACK_H
#define SY_LOWER_PACK_H

#include "lower_util.h"

bool lower_pack(Lowering *lo, Val member);
// A copy of an unpack of panels, the root of the group: x and its strides, the domain and the root are there.
bool lower_unpack(Lowering *lo, const Source *x, const int64_t *stride);

#endif
