// portable.c: four lanes in plain C11, no intrinsics, no fma. With GNU C the lanes are a vector type and operators act
// on all of them; any other compiler gets a struct of four and loops, with the same bits. Masks: 0 or -1 in each lane.
#include "isa.h"

static const char prelude[] =
    "#if defined(__GNUC__) && !defined(SY_PLAIN_C)\n"
    "typedef float sy_f4 __attribute__((vector_size(16)));\n"
    "typedef int32_t sy_i4 __attribute__((vector_size(16)));\n"
    "typedef uint32_t sy_u4 __attribute__((vector_size(16)));\n"
    "#define SY_AT(x, i) (x)[i]\n"
    "#define SY_EACH4(T, all, lane) return (T)(all)\n"
    "#else\n"
    "typedef struct sy_f4 {\n"
    "  float v[4];\n"
    "} sy_f4;\n"
    "typedef struct sy_i4 {\n"
    "  int32_t v[4];\n"
    "} sy_i4;\n"
    "#define SY_AT(x, i) (x).v[i]\n"
    "#define SY_EACH4(T, all, lane) SY_LOOP4(T, lane)\n"
    "#endif\n"
    "#define SY_LOOP4(T, lane) \\\n"
    "  T r = {0}; \\\n"
    "  for (int i = 0; i < 4; i++) SY_AT(r, i) = (lane); \\\n"
    "  return r\n"
    "SY_FN sy_f4 sy4_f(float x) { SY_LOOP4(sy_f4, x); }\n"
    "SY_FN sy_i4 sy4_i(int32_t x) { SY_LOOP4(sy_i4, x); }\n"
    "SY_FN sy_f4 sy4_iota_f(void) { SY_LOOP4(sy_f4, (float)i); }\n"
    "SY_FN sy_i4 sy4_iota_i(void) { SY_LOOP4(sy_i4, i); }\n"
    "SY_FN sy_f4 sy4_load_f(const float *p, size_t n) {\n"
    "  float t[4] = {0, 0, 0, 0};\n"
    "  memcpy(t, p, n * sizeof *p);\n"
    "  SY_LOOP4(sy_f4, t[i]);\n"
    "}\n"
    "SY_FN sy_i4 sy4_load_i(const int32_t *p, size_t n) {\n"
    "  int32_t t[4] = {0, 0, 0, 0};\n"
    "  memcpy(t, p, n * sizeof *p);\n"
    "  SY_LOOP4(sy_i4, t[i]);\n"
    "}\n"
    "SY_FN sy_i4 sy4_load_m(const uint8_t *p, size_t n) {\n"
    "  uint8_t t[4] = {0, 0, 0, 0};\n"
    "  memcpy(t, p, n);\n"
    "  SY_LOOP4(sy_i4, -(t[i] != 0));\n"
    "}\n"
    "SY_FN void sy4_store_f(float *p, sy_f4 x, size_t n) { memcpy(p, &x, n * sizeof *p); }\n"
    "SY_FN void sy4_store_i(int32_t *p, sy_i4 x, size_t n) { memcpy(p, &x, n * sizeof *p); }\n"
    "SY_FN sy_f4 sy4_add_f(sy_f4 a, sy_f4 b) { SY_EACH4(sy_f4, a + b, SY_AT(a, i) + SY_AT(b, i)); }\n"
    "SY_FN sy_f4 sy4_sub_f(sy_f4 a, sy_f4 b) { SY_EACH4(sy_f4, a - b, SY_AT(a, i) - SY_AT(b, i)); }\n"
    "SY_FN sy_f4 sy4_mul_f(sy_f4 a, sy_f4 b) { SY_EACH4(sy_f4, a * b, SY_AT(a, i) * SY_AT(b, i)); }\n"
    "SY_FN sy_f4 sy4_div_f(sy_f4 a, sy_f4 b) { SY_EACH4(sy_f4, a / b, SY_AT(a, i) / SY_AT(b, i)); }\n"
    "SY_FN sy_i4 sy4_add_i(sy_i4 a, sy_i4 b) { SY_LOOP4(sy_i4, sy_add_i32(SY_AT(a, i), SY_AT(b, i))); }\n"
    "SY_FN sy_i4 sy4_sub_i(sy_i4 a, sy_i4 b) { SY_LOOP4(sy_i4, sy_sub_i32(SY_AT(a, i), SY_AT(b, i))); }\n"
    "SY_FN sy_i4 sy4_mul_i(sy_i4 a, sy_i4 b) { SY_LOOP4(sy_i4, sy_mul_i32(SY_AT(a, i), SY_AT(b, i))); }\n"
    "SY_FN sy_i4 sy4_xor_i(sy_i4 a, sy_i4 b) { SY_EACH4(sy_i4, a ^ b, sy_xor_i32(SY_AT(a, i), SY_AT(b, i))); }\n"
    "SY_FN sy_i4 sy4_shr_i(sy_i4 a, sy_i4 b) {\n"
    "  SY_EACH4(sy_i4, (sy_u4)a >> ((sy_u4)b & 31u), sy_shr_i32(SY_AT(a, i), SY_AT(b, i)));\n"
    "}\n"
    "SY_FN sy_i4 sy4_rotl_i(sy_i4 a, sy_i4 b) {\n"
    "  SY_EACH4(sy_i4, (sy_u4)a << ((sy_u4)b & 31u) | (sy_u4)a >> (-(sy_u4)b & 31u), sy_rotl_i32(SY_AT(a, i), SY_AT(b, "
    "i)));\n"
    "}\n"
    "SY_FN sy_i4 sy4_lt_f(sy_f4 a, sy_f4 b) { SY_EACH4(sy_i4, a < b, -(SY_AT(a, i) < SY_AT(b, i))); }\n"
    "SY_FN sy_i4 sy4_le_f(sy_f4 a, sy_f4 b) { SY_EACH4(sy_i4, a <= b, -(SY_AT(a, i) <= SY_AT(b, i))); }\n"
    "SY_FN sy_i4 sy4_eq_f(sy_f4 a, sy_f4 b) { SY_EACH4(sy_i4, a == b, -(SY_AT(a, i) == SY_AT(b, i))); }\n"
    "SY_FN sy_i4 sy4_lt_i(sy_i4 a, sy_i4 b) { SY_EACH4(sy_i4, a < b, -(SY_AT(a, i) < SY_AT(b, i))); }\n"
    "SY_FN sy_i4 sy4_le_i(sy_i4 a, sy_i4 b) { SY_EACH4(sy_i4, a <= b, -(SY_AT(a, i) <= SY_AT(b, i))); }\n"
    "SY_FN sy_i4 sy4_eq_i(sy_i4 a, sy_i4 b) { SY_EACH4(sy_i4, a == b, -(SY_AT(a, i) == SY_AT(b, i))); }\n"
    "SY_FN sy_i4 sy4_and(sy_i4 a, sy_i4 b) { SY_EACH4(sy_i4, a & b, SY_AT(a, i) & SY_AT(b, i)); }\n"
    "SY_FN sy_i4 sy4_or(sy_i4 a, sy_i4 b) { SY_EACH4(sy_i4, a | b, SY_AT(a, i) | SY_AT(b, i)); }\n"
    "SY_FN sy_i4 sy4_not(sy_i4 a) { SY_EACH4(sy_i4, ~a, ~SY_AT(a, i)); }\n"
    "SY_FN sy_f4 sy4_select_f(sy_i4 m, sy_f4 a, sy_f4 b) {\n"
    "  SY_EACH4(sy_f4, (m & (sy_i4)a) | (~m & (sy_i4)b), SY_AT(m, i) ? SY_AT(a, i) : SY_AT(b, i));\n"
    "}\n"
    "SY_FN sy_i4 sy4_select_i(sy_i4 m, sy_i4 a, sy_i4 b) {\n"
    "  SY_EACH4(sy_i4, (m & a) | (~m & b), SY_AT(m, i) ? SY_AT(a, i) : SY_AT(b, i));\n"
    "}\n"
    "SY_FN sy_f4 sy4_max_f(sy_f4 a, sy_f4 b) { return sy4_select_f(sy4_lt_f(b, a), a, b); }\n"
    "SY_FN sy_f4 sy4_min_f(sy_f4 a, sy_f4 b) { return sy4_select_f(sy4_lt_f(a, b), a, b); }\n"
    "SY_FN sy_i4 sy4_max_i(sy_i4 a, sy_i4 b) { return sy4_select_i(sy4_lt_i(b, a), a, b); }\n"
    "SY_FN sy_i4 sy4_min_i(sy_i4 a, sy_i4 b) { return sy4_select_i(sy4_lt_i(a, b), a, b); }\n"
    "SY_FN sy_f4 sy4_sqrt(sy_f4 a) { SY_LOOP4(sy_f4, sy_sqrt_f32(SY_AT(a, i))); }\n"
    "SY_FN sy_f4 sy4_exp2i(sy_f4 a) {\n"
    "  SY_EACH4(sy_f4, (sy_i4)(a + 12583039.0f) << 23, sy_exp2i(SY_AT(a, i)));\n"
    "}\n"
    "SY_FN sy_f4 sy4_expo(sy_f4 a) { SY_LOOP4(sy_f4, sy_expo(SY_AT(a, i))); }\n"
    "SY_FN sy_f4 sy4_mant(sy_f4 a) {\n"
    "  SY_EACH4(sy_f4, ((sy_i4)a & 0x7fffff) | 0x3f800000, sy_mant(SY_AT(a, i)));\n"
    "}\n"
    "SY_FN sy_f4 sy4_i_to_f(sy_i4 a) { SY_LOOP4(sy_f4, (float)SY_AT(a, i)); }\n"
    "SY_FN sy_i4 sy4_f_to_i(sy_f4 a) { SY_LOOP4(sy_i4, sy_whole(SY_AT(a, i))); }\n"
    "SY_FN float sy4_hadd_f(sy_f4 a) { return (SY_AT(a, 0) + SY_AT(a, 2)) + (SY_AT(a, 1) + SY_AT(a, 3)); }\n"
    "SY_FN int32_t sy4_hadd_i(sy_i4 a) {\n"
    "  return sy_add_i32(sy_add_i32(SY_AT(a, 0), SY_AT(a, 2)), sy_add_i32(SY_AT(a, 1), SY_AT(a, 3)));\n"
    "}\n"
    "SY_FN float sy4_hmax_f(sy_f4 a) {\n"
    "  return sy_max_f32(sy_max_f32(SY_AT(a, 0), SY_AT(a, 2)), sy_max_f32(SY_AT(a, 1), SY_AT(a, 3)));\n"
    "}\n"
    "SY_FN int32_t sy4_hmax_i(sy_i4 a) {\n"
    "  return sy_max_i32(sy_max_i32(SY_AT(a, 0), SY_AT(a, 2)), sy_max_i32(SY_AT(a, 1), SY_AT(a, 3)));\n"
    "}\n";

static const char narrow[] = "SY_FN sy_f4 sy_f16_portable(const uint16_t *p, size_t n) {\n"
                             "  uint16_t t[4] = {0, 0, 0, 0};\n"
                             "  memcpy(t, p, n * sizeof *p);\n"
                             "  SY_LOOP4(sy_f4, sy_f16(t[i]));\n"
                             "}\n"
                             "SY_FN sy_f4 sy_bf16_portable(const uint16_t *p, size_t n) {\n"
                             "  uint16_t t[4] = {0, 0, 0, 0};\n"
                             "  memcpy(t, p, n * sizeof *p);\n"
                             "  SY_LOOP4(sy_f4, sy_bf16(t[i]));\n"
                             "}\n"
                             "SY_FN void sy_to_f16_portable(uint16_t *p, sy_f4 x, size_t n) {\n"
                             "  for (size_t i = 0; i < n; i++) p[i] = sy_to_f16(SY_AT(x, i));\n"
                             "}\n"
                             "SY_FN void sy_to_bf16_portable(uint16_t *p, sy_f4 x, size_t n) {\n"
                             "  for (size_t i = 0; i < n; i++) p[i] = sy_to_bf16(SY_AT(x, i));\n"
                             "}\n";

static const char codes[] =
    "SY_FN sy_i4 sy4_magn(sy_f4 a) { SY_EACH4(sy_i4, (sy_i4)a & 0x7fffffff, sy_magn(SY_AT(a, i))); }\n"
    "SY_FN sy_f4 sy4_real(sy_i4 a) { SY_EACH4(sy_f4, a, sy_real(SY_AT(a, i))); }\n"
    "SY_FN sy_i4 sy4_even8(sy_i4 a) { SY_LOOP4(sy_i4, sy_even8(SY_AT(a, i))); }\n"
    "SY_FN sy_i4 sy4_odd8(sy_i4 a) { SY_LOOP4(sy_i4, sy_odd8(SY_AT(a, i))); }\n"
    "SY_FN sy_i4 sy4_dot2(sy_i4 s, sy_i4 a, sy_i4 b) {\n"
    "  SY_LOOP4(sy_i4, sy_dot2(SY_AT(s, i), SY_AT(a, i), SY_AT(b, i)));\n"
    "}\n"
    "SY_FN sy_i4 sy4_dot4(sy_i4 s, sy_i4 a, sy_i4 b) {\n"
    "  SY_LOOP4(sy_i4, sy_dot4(SY_AT(s, i), SY_AT(a, i), SY_AT(b, i)));\n"
    "}\n"
    "SY_FN sy_i4 sy4_dot4u(sy_i4 s, sy_i4 a, sy_i4 b) {\n"
    "  SY_LOOP4(sy_i4, sy_dot4u(SY_AT(s, i), SY_AT(a, i), SY_AT(b, i)));\n"
    "}\n"
    "SY_FN sy_i4 sy4_low4(sy_i4 a) { SY_EACH4(sy_i4, a & 0x0f0f0f0f, sy_low4(SY_AT(a, i))); }\n"
    "SY_FN sy_i4 sy4_high4(sy_i4 a) { SY_EACH4(sy_i4, a >> 4 & 0x0f0f0f0f, sy_high4(SY_AT(a, i))); }\n"
    "SY_FN sy_i4 sy4_pairs4(sy_i4 s, sy_i4 a, sy_i4 b) {\n"
    "  SY_LOOP4(sy_i4, sy_pairs4(SY_AT(s, i), SY_AT(a, i), SY_AT(b, i)));\n"
    "}\n"
    "SY_FN sy_i4 sy4_round16(sy_f4 a) { SY_LOOP4(sy_i4, sy_round16(SY_AT(a, i))); }\n"
    "SY_FN sy_i4 sy4_join16(sy_i4 a, sy_i4 b) {\n"
    "  SY_LOOP4(sy_i4, i < 2 ? sy_halves(SY_AT(a, 2 * i), SY_AT(a, 2 * i + 1))\n"
    "                        : sy_halves(SY_AT(b, 2 * i - 4), SY_AT(b, 2 * i - 3)));\n"
    "}\n"
    "SY_FN sy_f4 sy4_low16(sy_i4 a) { SY_EACH4(sy_f4, (sy_u4)a << 16, sy_low16(SY_AT(a, i))); }\n"
    "SY_FN sy_f4 sy4_high16(sy_i4 a) { SY_EACH4(sy_f4, (sy_u4)a & 0xffff0000u, sy_high16(SY_AT(a, i))); }\n"
    "SY_FN sy_f4 sy4_dot2b(sy_f4 s, sy_i4 a, sy_i4 b) {\n"
    "  SY_LOOP4(sy_f4, sy_dot2b(SY_AT(s, i), SY_AT(a, i), SY_AT(b, i)));\n"
    "}\n";

// clang-format off
static const IsaRow rows[] = {
    ISA(load, F16, 4, "sy_f16_portable(%b, 4)"),
    ISA_PART(load, F16, 4, "sy_f16_portable(%b, %n)"),
    ISA(store, F16, 4, "sy_to_f16_portable(%b, %0, 4)"),
    ISA_PART(store, F16, 4, "sy_to_f16_portable(%b, %0, %n)"),
    ISA(bcast, F16, 4, "sy4_f(sy_f16(%e))"),
    ISA(load, BF16, 4, "sy_bf16_portable(%b, 4)"),
    ISA_PART(load, BF16, 4, "sy_bf16_portable(%b, %n)"),
    ISA(store, BF16, 4, "sy_to_bf16_portable(%b, %0, 4)"),
    ISA_PART(store, BF16, 4, "sy_to_bf16_portable(%b, %0, %n)"),
    ISA(bcast, BF16, 4, "sy4_f(sy_bf16(%e))"),
    ISA(load, F32, 4, "sy4_load_f(%b, 4)"),
    ISA(load, I32, 4, "sy4_load_i(%b, 4)"),
    ISA_PART(load, F32, 4, "sy4_load_f(%b, %n)"),
    ISA_PART(load, I32, 4, "sy4_load_i(%b, %n)"),
    ISA(store, F32, 4, "sy4_store_f(%b, %0, 4)"),
    ISA(store, I32, 4, "sy4_store_i(%b, %0, 4)"),
    ISA_PART(store, F32, 4, "sy4_store_f(%b, %0, %n)"),
    ISA_PART(store, I32, 4, "sy4_store_i(%b, %0, %n)"),
    ISA(bcast, F32, 4, "sy4_f(%e)"),
    ISA(bcast, I32, 4, "sy4_i(%e)"),
    ISA(loadm, BOOL, 4, "sy4_load_m(%b, 4)"),
    ISA_PART(loadm, BOOL, 4, "sy4_load_m(%b, %n)"),
    ISA(const, F32, 4, "sy4_f(%i)"),
    ISA(const, I32, 4, "sy4_i(%i)"),
    ISA(iota, F32, 4, "sy4_iota_f()"),
    ISA(iota, I32, 4, "sy4_iota_i()"),
    ISA(index, F32, 4, "sy4_f((float)%i)"),
    ISA(index, I32, 4, "sy4_i(%i)"),
    ISA(splat, F32, 4, "sy4_f(%0)"),
    ISA(splat, I32, 4, "sy4_i(%0)"),
    ISA(lane0, F32, 4, "SY_AT(%0, 0)"),
    ISA(lane0, I32, 4, "SY_AT(%0, 0)"),
    ISA(add, F32, 4, "sy4_add_f(%0, %1)"),
    ISA(sub, F32, 4, "sy4_sub_f(%0, %1)"),
    ISA(mul, F32, 4, "sy4_mul_f(%0, %1)"),
    ISA(div, F32, 4, "sy4_div_f(%0, %1)"),
    ISA(max, F32, 4, "sy4_max_f(%0, %1)"),
    ISA(min, F32, 4, "sy4_min_f(%0, %1)"),
    ISA(add, I32, 4, "sy4_add_i(%0, %1)"),
    ISA(sub, I32, 4, "sy4_sub_i(%0, %1)"),
    ISA(mul, I32, 4, "sy4_mul_i(%0, %1)"),
    ISA(max, I32, 4, "sy4_max_i(%0, %1)"),
    ISA(min, I32, 4, "sy4_min_i(%0, %1)"),
    ISA(sqrt, F32, 4, "sy4_sqrt(%0)"),
    ISA(exp2i, F32, 4, "sy4_exp2i(%0)"),
    ISA(expo, F32, 4, "sy4_expo(%0)"),
    ISA(mant, F32, 4, "sy4_mant(%0)"),
    ISA(xor, I32, 4, "sy4_xor_i(%0, %1)"),
    ISA(shr, I32, 4, "sy4_shr_i(%0, %1)"),
    ISA(rotl, I32, 4, "sy4_rotl_i(%0, %1)"),
    ISA(magn, I32, 4, "sy4_magn(%0)"),
    ISA(real, F32, 4, "sy4_real(%0)"),
    ISA(even8, I32, 4, "sy4_even8(%0)"),
    ISA(odd8, I32, 4, "sy4_odd8(%0)"),
    ISA(dot2, I32, 4, "sy4_dot2(%0, %1, %2)"),
    ISA(dot4, I32, 4, "sy4_dot4(%0, %1, %2)"),
    ISA(dot4u, I32, 4, "sy4_dot4u(%0, %1, %2)"),
    ISA(low4, I32, 4, "sy4_low4(%0)"),
    ISA(high4, I32, 4, "sy4_high4(%0)"),
    ISA(pairs4, I32, 4, "sy4_pairs4(%0, %1, %2)"),
    ISA(round16, I32, 4, "sy4_round16(%0)"),
    ISA(join16, I32, 4, "sy4_join16(%0, %1)"),
    ISA(low16, F32, 4, "sy4_low16(%0)"),
    ISA(high16, F32, 4, "sy4_high16(%0)"),
    ISA(dot2b, F32, 4, "sy4_dot2b(%0, %1, %2)"),
    ISA(cvt, I32, 4, "sy4_i_to_f(%0)"),
    ISA(cvt, F32, 4, "sy4_f_to_i(%0)"),
    ISA(lt, F32, 4, "sy4_lt_f(%0, %1)"),
    ISA(le, F32, 4, "sy4_le_f(%0, %1)"),
    ISA(eq, F32, 4, "sy4_eq_f(%0, %1)"),
    ISA(lt, I32, 4, "sy4_lt_i(%0, %1)"),
    ISA(le, I32, 4, "sy4_le_i(%0, %1)"),
    ISA(eq, I32, 4, "sy4_eq_i(%0, %1)"),
    ISA(and, BOOL, 4, "sy4_and(%0, %1)"),
    ISA(or, BOOL, 4, "sy4_or(%0, %1)"),
    ISA(not, BOOL, 4, "sy4_not(%0)"),
    ISA(select, F32, 4, "sy4_select_f(%0, %1, %2)"),
    ISA(select, I32, 4, "sy4_select_i(%0, %1, %2)"),
    ISA(mtob, F32, 4, "sy4_select_f(%0, sy4_f(1.0f), sy4_f(0.0f))"),
    ISA(mtob, I32, 4, "sy4_and(%0, sy4_i(1))"),
    ISA(hadd, F32, 4, "sy4_hadd_f(%0)"),
    ISA(hadd, I32, 4, "sy4_hadd_i(%0)"),
    ISA(hmax, F32, 4, "sy4_hmax_f(%0)"),
    ISA(hmax, I32, 4, "sy4_hmax_i(%0)"),
};

const Target target_portable = {
    TARGET(portable),
    .base = &target_scalar,
    .vec_f32 = "sy_f4",
    .vec_i32 = "sy_i4",
    .mask = "sy_i4",
    .lanes = 4,
    .vregs = 16,
    .has_fma = false, // a library call where the processor has none, and then a slow one (docs/decisions.md, 7)
    .tile = {{2, 1}}, // 8 accumulators: with SSE, 16 registers for those, the panel and what products need on their way
    .dot = DOT_WORDS,
    .code_tile = {2, 1},
    .cost = &costs_of_a_core,
    TEXTS,
};
// clang-format on
