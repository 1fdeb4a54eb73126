// lower_attention_grad.h: see lower_attention_grad.c.
#ifndef SY_LOWER_ATTENTION_GRAD_H
#define SY_LOWER_ATTENTION_GRAD_H

#include "lower_util.h"

// The kernel of a map group that is the attention_grad `member`; false after reporting.
SY_MUST_USE bool lower_attention_grad(Lowering *lo, Val member);

#endif
