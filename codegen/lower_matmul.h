// lower_matmul.h: the product of two computed tensors (CLIP's similarity [B,E] x [T,E]^T); lower_gemm.c calls it for
// groups whose second operand is no packed weight.
#ifndef SY_LOWER_MATMUL_H
#define SY_LOWER_MATMUL_H

#include "lower_util.h"

LowerFn lower_matmul;

// outer: see lower_outer.c; linear_codes, linear_codes4: lower_codes.c.
LowerFn lower_outer, lower_codes;

#endif
