// lower_depthwise.h: see lower_depthwise.c.
#ifndef SY_LOWER_DEPTHWISE_H
#define SY_LOWER_DEPTHWISE_H

#include "lower_util.h"

// The kernel of a map group that contains the depthwise convolution `member`; false after reporting.
SY_MUST_USE bool lower_depthwise(Lowering *lo, Val member);

#endif
