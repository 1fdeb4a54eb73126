// lower_draw.h: see lower_draw.c.
#ifndef SY_LOWER_DRAW_H
#define SY_LOWER_DRAW_H

#include "lower_util.h"

SY_MUST_USE bool lower_draw(Lowering *lo, Val member);

#endif
