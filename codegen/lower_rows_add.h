// lower_rows_add.h: see lower_rows_add.c.
#ifndef SY_LOWER_ROWS_ADD_H
#define SY_LOWER_ROWS_ADD_H

#include "lower_util.h"

// The kernel of a map group that is the rows_add `member`; false after reporting.
SY_MUST_USE bool lower_rows_add(Lowering *lo, Val member);

#endif
