// isa.h: what the files of instruction sets are written with. Each defines one Target: rows of C templates, the helper
// functions they call, the facts of the registers. What its processors are called and must have is its row in
// runtime/cpu.def; a row without a file here does not link.
//
// A row that is missing, here and in `base`, means that the target lacks the operation: kernel_legalise must have
// removed it.
#ifndef SY_ISA_H
#define SY_ISA_H

#include "codegen/target.h"

#if defined(__GNUC__) // the texts are longer than the 4095 characters that C11 promises for one literal
#pragma GCC diagnostic ignored "-Woverlength-strings"
#endif

#define ISA(op, dtype, lanes, c)                                                                                       \
  { K_##op, DT_##dtype, lanes, c, 0 }
#define ISA_PART(op, dtype, lanes, c)                                                                                  \
  { K_##op, DT_##dtype, lanes, c, 1 }

#define INTRINSICS .intrinsics = intrinsics, .nintrinsics = sizeof intrinsics / sizeof intrinsics[0]
#define TARGET(n) .name = #n, .isa = &instruction_sets[ISA_##n], .rank = ISA_##n
#define TEXTS .prelude = prelude, .narrow = narrow, .codes = codes, .rows = rows, .nrows = sizeof rows / sizeof rows[0]

// A set that has more than `of` for products of codes alone: codes_NAME, rows_NAME, intrinsics_NAME.
#define CODES_OF(of, name)                                                                                             \
  .base = &target_##of, .prelude = "", .narrow = "", .codes = codes_##name, .rows = rows_##name,                       \
  .nrows = sizeof rows_##name / sizeof rows_##name[0], .intrinsics = intrinsics_##name,                                \
  .nintrinsics = sizeof intrinsics_##name / sizeof intrinsics_##name[0]

#define INSTRUCTION_SET(name, family, title, features) extern const Target target_##name;
#include "runtime/cpu.def"
extern const Costs costs_of_a_core; // for processors of which nothing better is known (core.c)
extern const Target target_scalar;  // one lane, for all: not in `targets`

#endif
