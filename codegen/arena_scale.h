// arena_scale.h: arenas for less than the largest batch; see arena_scale.c.
#ifndef SY_ARENA_SCALE_H
#define SY_ARENA_SCALE_H

#include "passes/place.h"
#include "program.h"

// Fills RouteProgram.scale and .nbase and numbers the arena operands of its steps by the tensors they lie in.
void arena_scale(RouteProgram *r, const LiveList *live);

#endif
