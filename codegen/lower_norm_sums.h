// lower_norm_sums.h: see lower_norm_sums.c.
#ifndef SY_LOWER_NORM_SUMS_H
#define SY_LOWER_NORM_SUMS_H

#include "lower_util.h"

// The kernel of a map group that is the layer_norm_sums `member`; false after reporting.
SY_MUST_USE bool lower_norm_sums(Lowering *lo, Val member);

#endif
