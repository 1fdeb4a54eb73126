// rv64gc.c: RISC-V with scalar floats: the plain C of portable.c, whose vectors become four numbers each, with the
// processor's fused multiply-add. LLVM takes vector registers for them where --mattr=+v allows it.
#include "isa.h"

static const char prelude[] =
    "SY_FN float sy_fma_rv64gc(float a, float b, float c) { return __builtin_fmaf(a, b, c); }\n"
    "SY_FN sy_f4 sy4_fma_rv64gc(sy_f4 a, sy_f4 b, sy_f4 c) { /* gcc would not unroll a loop */\n"
    "  SY_AT(c, 0) = sy_fma_rv64gc(SY_AT(a, 0), SY_AT(b, 0), SY_AT(c, 0));\n"
    "  SY_AT(c, 1) = sy_fma_rv64gc(SY_AT(a, 1), SY_AT(b, 1), SY_AT(c, 1));\n"
    "  SY_AT(c, 2) = sy_fma_rv64gc(SY_AT(a, 2), SY_AT(b, 2), SY_AT(c, 2));\n"
    "  SY_AT(c, 3) = sy_fma_rv64gc(SY_AT(a, 3), SY_AT(b, 3), SY_AT(c, 3));\n"
    "  return c;\n"
    "}\n";

static const char narrow[] = "", codes[] = "";

// clang-format off
static const IsaRow rows[] = {
    ISA(fma, F32, 4, "sy4_fma_rv64gc(%0, %1, %2)"),
    ISA(fma, F32, 1, "sy_fma_rv64gc(%0, %1, %2)"),
};

extern const Target target_portable;
// Vector registers: 32 of one number. The tile: 16 accumulators and the 16 numbers of a panel; 38 instructions a step
// of 16 multiply-adds (LLVM 19), where gcc, which keeps such vectors in memory, has 103, and 155 without fma.
const Target target_rv64gc = {
    TARGET(rv64gc),
    .base = &target_portable,
    .vec_f32 = "sy_f4",
    .vec_i32 = "sy_i4",
    .mask = "sy_i4",
    .lanes = 4,
    .vregs = 8,
    .has_fma = true,
    .tile = {{1, 1}},
    .dot = DOT_WORDS,
    .code_tile = {1, 1},
    .cost = &costs_of_a_core,
    TEXTS,
};
// clang-format on
