// lower_count.h: see lower_count.c.
#ifndef SY_LOWER_COUNT_H
#define SY_LOWER_COUNT_H

#include "lower_util.h"

// The kernel of a map group that is the running_count `member`; false after reporting.
SY_MUST_USE bool lower_running_count(Lowering *lo, Val member);

#endif
