// lower_rotate.h: see lower_rotate.c.
#ifndef SY_LOWER_ROTATE_H
#define SY_LOWER_ROTATE_H

#include "lower_util.h"

// The kernel of a map group that is the rotation `member`; false after reporting.
SY_MUST_USE bool lower_rotate(Lowering *lo, Val member);

#endif
