// avx2.c: eight lanes, AVX2 and FMA. maxps and minps are exactly "a > b ? a : b" and "a < b ? a : b". Masks: __m256,
// all ones or zero in each lane. Partial accesses use maskload/maskstore, which do not touch the other lanes.
#include "isa.h"

static const char prelude[] =
    "#include <immintrin.h>\n"
    "SY_AVX2 __m256i sy_first_avx2(int n) {\n"
    "  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));\n"
    "}\n"
    "SY_AVX2 __m256i sy_load_i_avx2(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); "
    "}\n"
    "SY_AVX2 void sy_store_i_avx2(int32_t *p, __m256i x) { _mm256_storeu_si256((__m256i *)(void *)p, x); }\n"
    "SY_AVX2 __m256 sy_loadm_avx2(const uint8_t *p, size_t n) {\n"
    "  uint8_t t[8] = {0, 0, 0, 0, 0, 0, 0, 0};\n"
    "  memcpy(t, p, n);\n"
    "  const __m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)t));\n"
    "  return _mm256_castsi256_ps(_mm256_cmpgt_epi32(x, _mm256_setzero_si256()));\n"
    "}\n"
    "SY_AVX2 __m256 sy_lt_i_avx2(__m256i a, __m256i b) { return _mm256_castsi256_ps(_mm256_cmpgt_epi32(b, a)); }\n"
    "SY_AVX2 __m256 sy_not_avx2(__m256 m) {\n"
    "  return _mm256_xor_ps(m, _mm256_castsi256_ps(_mm256_set1_epi32(-1)));\n"
    "}\n"
    "SY_AVX2 __m256i sy_select_i_avx2(__m256 m, __m256i a, __m256i b) {\n"
    "  return _mm256_blendv_epi8(b, a, _mm256_castps_si256(m));\n"
    "}\n"
    "SY_AVX2 float sy_fma_avx2(float a, float b, float c) {\n"
    "  return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));\n"
    "}\n"
    "SY_AVX2 __m256 sy_exp2i_avx2(__m256 x) {\n"
    "  const __m256 t = _mm256_add_ps(x, _mm256_set1_ps(12583039.0f));\n"
    "  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(t), 23));\n"
    "}\n"
    "SY_AVX2 __m256 sy_expo_avx2(__m256 x) {\n"
    "  const __m256i e = _mm256_srli_epi32(_mm256_castps_si256(x), 23);\n"
    "  return _mm256_cvtepi32_ps(_mm256_sub_epi32(e, _mm256_set1_epi32(127)));\n"
    "}\n"
    "SY_AVX2 __m256 sy_mant_avx2(__m256 x) {\n"
    "  const __m256i t = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffff));\n"
    "  return _mm256_castsi256_ps(_mm256_or_si256(t, _mm256_set1_epi32(0x3f800000)));\n"
    "}\n"
    "SY_AVX2 __m256i sy_rotl_avx2(__m256i a, __m256i b) { // shifted by 32, nothing is left\n"
    "  return _mm256_or_si256(_mm256_sllv_epi32(a, b), _mm256_srlv_epi32(a, _mm256_sub_epi32(_mm256_set1_epi32(32), "
    "b)));\n"
    "}\n"
    "SY_AVX2 __m256i sy_whole_avx2(__m256 x) { // out of range the instruction gives INT32_MIN\n"
    "  const __m256 large = _mm256_cmp_ps(x, _mm256_set1_ps(2147483648.0f), _CMP_GE_OQ);\n"
    "  const __m256 number = _mm256_cmp_ps(x, x, _CMP_ORD_Q);\n"
    "  const __m256i y = _mm256_xor_si256(_mm256_cvttps_epi32(x), _mm256_castps_si256(large));\n"
    "  return _mm256_and_si256(y, _mm256_castps_si256(number));\n"
    "}\n"
    "SY_AVX2 float sy_hadd_f_avx2(__m256 x) {\n"
    "  __m128 t = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));\n"
    "  t = _mm_add_ps(t, _mm_movehl_ps(t, t));\n"
    "  return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));\n"
    "}\n"
    "SY_AVX2 float sy_hmax_f_avx2(__m256 x) {\n"
    "  __m128 t = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));\n"
    "  t = _mm_max_ps(t, _mm_movehl_ps(t, t));\n"
    "  return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));\n"
    "}\n"
    "SY_AVX2 int32_t sy_hadd_i_avx2(__m256i x) {\n"
    "  __m128i t = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));\n"
    "  t = _mm_add_epi32(t, _mm_unpackhi_epi64(t, t));\n"
    "  return _mm_cvtsi128_si32(_mm_add_epi32(t, _mm_shuffle_epi32(t, 1)));\n"
    "}\n"
    "SY_AVX2 int32_t sy_hmax_i_avx2(__m256i x) {\n"
    "  __m128i t = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));\n"
    "  t = _mm_max_epi32(t, _mm_unpackhi_epi64(t, t));\n"
    "  return _mm_cvtsi128_si32(_mm_max_epi32(t, _mm_shuffle_epi32(t, 1)));\n"
    "}\n";

static const char narrow[] =
    "SY_AVX2 __m128i sy_load_h_avx2(const uint16_t *p, size_t n) {\n"
    "  uint16_t t[8] = {0, 0, 0, 0, 0, 0, 0, 0};\n"
    "  if (n == 8) return _mm_loadu_si128((const __m128i *)(const void *)p);\n"
    "  memcpy(t, p, n * sizeof *p);\n"
    "  return _mm_loadu_si128((const __m128i *)(const void *)t);\n"
    "}\n"
    "SY_AVX2 void sy_store_h_avx2(uint16_t *p, __m128i x, size_t n) {\n"
    "  uint16_t t[8];\n"
    "  _mm_storeu_si128((__m128i *)(void *)t, x);\n"
    "  memcpy(p, t, n * sizeof *p);\n"
    "}\n"
    "SY_AVX2 __m256 sy_f16_avx2(const uint16_t *p, size_t n) { return _mm256_cvtph_ps(sy_load_h_avx2(p, n)); }\n"
    "SY_AVX2 __m256 sy_bf16_avx2(const uint16_t *p, size_t n) {\n"
    "  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(sy_load_h_avx2(p, n)), 16));\n"
    "}\n"
    "SY_AVX2 void sy_to_f16_avx2(uint16_t *p, __m256 x, size_t n) {\n"
    "  sy_store_h_avx2(p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT), n);\n"
    "}\n"
    "SY_AVX2 void sy_to_bf16_avx2(uint16_t *p, __m256 x, size_t n) {\n"
    "  const __m256i u = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), "
    "_mm256_set1_epi32(1));\n"
    "  const __m256i y = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);\n"
    "  const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));\n"
    "  const __m256i number = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_ORD_Q));\n"
    "  const __m256i h = _mm256_srli_epi32(_mm256_blendv_epi8(quiet, y, number), 16);\n"
    "  sy_store_h_avx2(p, _mm_packus_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1)), n);\n"
    "}\n";

static const char codes[] =
    "SY_AVX2 __m256i sy_magn_avx2(__m256 x) {\n"
    "  return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));\n"
    "}\n"
    "SY_AVX2 __m256i sy_even8_avx2(__m256i a) { return _mm256_srai_epi16(_mm256_slli_epi16(a, 8), 8); }\n"
    "SY_AVX2 __m256i sy_odd8_avx2(__m256i a) { return _mm256_srai_epi16(a, 8); }\n"
    "SY_AVX2 __m256i sy_dot2_avx2(__m256i s, __m256i a, __m256i b) {\n"
    "  s = _mm256_add_epi32(s, _mm256_madd_epi16(a, b));\n"
    "  SY_PIN(s); // gcc would add in another order, and run out of registers\n"
    "  return s;\n"
    "}\n"
    "SY_AVX2 __m256i sy_dot4_avx2(__m256i s, __m256i a, __m256i b) {\n"
    "  s = sy_dot2_avx2(s, sy_even8_avx2(a), sy_even8_avx2(b));\n"
    "  return sy_dot2_avx2(s, sy_odd8_avx2(a), sy_odd8_avx2(b));\n"
    "}\n"
    "SY_AVX2 __m256i sy_dot4u_avx2(__m256i s, __m256i a, __m256i b) {\n"
    "  s = sy_dot2_avx2(s, _mm256_srli_epi16(_mm256_slli_epi16(a, 8), 8), sy_even8_avx2(b));\n"
    "  return sy_dot2_avx2(s, _mm256_srli_epi16(a, 8), sy_odd8_avx2(b));\n"
    "}\n"
    "SY_AVX2 __m256i sy_low4_avx2(__m256i a) { return _mm256_and_si256(a, _mm256_set1_epi8(15)); }\n"
    "SY_AVX2 __m256i sy_high4_avx2(__m256i a) { return sy_low4_avx2(_mm256_srli_epi16(a, 4)); }\n"
    "SY_AVX2 __m256i sy_pairs4_avx2(__m256i s, __m256i a, __m256i b) {\n"
    "  s = _mm256_add_epi16(s, _mm256_maddubs_epi16(a, b)); // of bytes up to 15: nothing saturates\n"
    "  SY_PIN(s);\n"
    "  return s;\n"
    "}\n"
    "SY_AVX2 __m256i sy_round16_avx2(__m256 x) {\n"
    "  const __m256i u = _mm256_castps_si256(x), up = _mm256_srli_epi32(u, 16);\n"
    "  const __m256i a = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff));\n"
    "  const __m256i odd = _mm256_and_si256(up, _mm256_set1_epi32(1));\n"
    "  const __m256i y = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);\n"
    "  const __m256i nan = _mm256_cmpgt_epi32(a, _mm256_set1_epi32(0x7f800000));\n"
    "  const __m256i quiet = _mm256_or_si256(up, _mm256_set1_epi32(0x40));\n"
    "  const __m256i z = _mm256_blendv_epi8(_mm256_srli_epi32(y, 16), quiet, nan);\n"
    "  const __m256i zero = _mm256_and_si256(up, _mm256_set1_epi32(0x8000));\n"
    "  return _mm256_blendv_epi8(z, zero, _mm256_cmpgt_epi32(_mm256_set1_epi32(0x23800000), a));\n"
    "}\n"
    "SY_AVX2 __m256i sy_join16_avx2(__m256i a, __m256i b) {\n"
    "  a = _mm256_and_si256(a, _mm256_set1_epi32(0xffff));\n"
    "  b = _mm256_and_si256(b, _mm256_set1_epi32(0xffff));\n"
    "  return _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);\n"
    "}\n"
    "SY_AVX2 __m256 sy_low16_avx2(__m256i a) { return _mm256_castsi256_ps(_mm256_slli_epi32(a, 16)); }\n"
    "SY_AVX2 __m256 sy_high16_avx2(__m256i a) {\n"
    "  return _mm256_castsi256_ps(_mm256_and_si256(a, _mm256_set1_epi32(-65536)));\n"
    "}\n"
    "SY_AVX2 __m256 sy_dot2b_avx2(__m256 s, __m256i a, __m256i b) {\n"
    "  s = _mm256_fmadd_ps(sy_high16_avx2(a), sy_high16_avx2(b), s);\n"
    "  return _mm256_fmadd_ps(sy_low16_avx2(a), sy_low16_avx2(b), s);\n"
    "}\n";

// clang-format off
static const IsaRow rows[] = {
    ISA(load, F16, 8, "sy_f16_avx2(%b, 8)"),
    ISA_PART(load, F16, 8, "sy_f16_avx2(%b, %n)"),
    ISA(store, F16, 8, "sy_to_f16_avx2(%b, %0, 8)"),
    ISA_PART(store, F16, 8, "sy_to_f16_avx2(%b, %0, %n)"),
    ISA(bcast, F16, 8, "_mm256_set1_ps(sy_f16(%e))"),
    ISA(load, BF16, 8, "sy_bf16_avx2(%b, 8)"),
    ISA_PART(load, BF16, 8, "sy_bf16_avx2(%b, %n)"),
    ISA(store, BF16, 8, "sy_to_bf16_avx2(%b, %0, 8)"),
    ISA_PART(store, BF16, 8, "sy_to_bf16_avx2(%b, %0, %n)"),
    ISA(bcast, BF16, 8, "_mm256_set1_ps(sy_bf16(%e))"),
    ISA(load, F32, 8, "_mm256_loadu_ps(%b)"),
    ISA(load, I32, 8, "sy_load_i_avx2(%b)"),
    ISA_PART(load, F32, 8, "_mm256_maskload_ps(%b, sy_first_avx2(%n))"),
    ISA_PART(load, I32, 8, "_mm256_maskload_epi32(%b, sy_first_avx2(%n))"),
    ISA(store, F32, 8, "_mm256_storeu_ps(%b, %0)"),
    ISA(store, I32, 8, "sy_store_i_avx2(%b, %0)"),
    ISA_PART(store, F32, 8, "_mm256_maskstore_ps(%b, sy_first_avx2(%n), %0)"),
    ISA_PART(store, I32, 8, "_mm256_maskstore_epi32(%b, sy_first_avx2(%n), %0)"),
    ISA(bcast, F32, 8, "_mm256_set1_ps(%e)"),
    ISA(bcast, I32, 8, "_mm256_set1_epi32(%e)"),
    ISA(loadm, BOOL, 8, "sy_loadm_avx2(%b, 8)"),
    ISA_PART(loadm, BOOL, 8, "sy_loadm_avx2(%b, %n)"),
    ISA(const, F32, 8, "_mm256_set1_ps(%i)"),
    ISA(const, I32, 8, "_mm256_set1_epi32(%i)"),
    ISA(iota, F32, 8, "_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7)"),
    ISA(iota, I32, 8, "_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)"),
    ISA(index, F32, 8, "_mm256_set1_ps((float)%i)"),
    ISA(index, I32, 8, "_mm256_set1_epi32(%i)"),
    ISA(splat, F32, 8, "_mm256_set1_ps(%0)"),
    ISA(splat, I32, 8, "_mm256_set1_epi32(%0)"),
    ISA(lane0, F32, 8, "_mm256_cvtss_f32(%0)"),
    ISA(lane0, I32, 8, "_mm256_cvtsi256_si32(%0)"),
    ISA(add, F32, 8, "_mm256_add_ps(%0, %1)"),
    ISA(sub, F32, 8, "_mm256_sub_ps(%0, %1)"),
    ISA(mul, F32, 8, "_mm256_mul_ps(%0, %1)"),
    ISA(div, F32, 8, "_mm256_div_ps(%0, %1)"),
    ISA(fma, F32, 8, "_mm256_fmadd_ps(%0, %1, %2)"),
    ISA(fma, F32, 1, "sy_fma_avx2(%0, %1, %2)"),
    ISA(max, F32, 8, "_mm256_max_ps(%0, %1)"),
    ISA(min, F32, 8, "_mm256_min_ps(%0, %1)"),
    ISA(add, I32, 8, "_mm256_add_epi32(%0, %1)"),
    ISA(sub, I32, 8, "_mm256_sub_epi32(%0, %1)"),
    ISA(mul, I32, 8, "_mm256_mullo_epi32(%0, %1)"),
    ISA(max, I32, 8, "_mm256_max_epi32(%0, %1)"),
    ISA(min, I32, 8, "_mm256_min_epi32(%0, %1)"),
    ISA(sqrt, F32, 8, "_mm256_sqrt_ps(%0)"),
    ISA(exp2i, F32, 8, "sy_exp2i_avx2(%0)"),
    ISA(expo, F32, 8, "sy_expo_avx2(%0)"),
    ISA(mant, F32, 8, "sy_mant_avx2(%0)"),
    ISA(xor, I32, 8, "_mm256_xor_si256(%0, %1)"),
    ISA(shr, I32, 8, "_mm256_srlv_epi32(%0, %1)"),
    ISA(rotl, I32, 8, "sy_rotl_avx2(%0, %1)"),
    ISA(magn, I32, 8, "sy_magn_avx2(%0)"),
    ISA(real, F32, 8, "_mm256_castsi256_ps(%0)"),
    ISA(even8, I32, 8, "sy_even8_avx2(%0)"),
    ISA(odd8, I32, 8, "sy_odd8_avx2(%0)"),
    ISA(dot2, I32, 8, "sy_dot2_avx2(%0, %1, %2)"),
    ISA(dot4, I32, 8, "sy_dot4_avx2(%0, %1, %2)"),
    ISA(dot4u, I32, 8, "sy_dot4u_avx2(%0, %1, %2)"),
    ISA(low4, I32, 8, "sy_low4_avx2(%0)"),
    ISA(high4, I32, 8, "sy_high4_avx2(%0)"),
    ISA(pairs4, I32, 8, "sy_pairs4_avx2(%0, %1, %2)"),
    ISA(round16, I32, 8, "sy_round16_avx2(%0)"),
    ISA(join16, I32, 8, "sy_join16_avx2(%0, %1)"),
    ISA(low16, F32, 8, "sy_low16_avx2(%0)"),
    ISA(high16, F32, 8, "sy_high16_avx2(%0)"),
    ISA(dot2b, F32, 8, "sy_dot2b_avx2(%0, %1, %2)"),
    ISA(cvt, I32, 8, "_mm256_cvtepi32_ps(%0)"),
    ISA(cvt, F32, 8, "sy_whole_avx2(%0)"),
    ISA(lt, F32, 8, "_mm256_cmp_ps(%0, %1, _CMP_LT_OQ)"),
    ISA(le, F32, 8, "_mm256_cmp_ps(%0, %1, _CMP_LE_OQ)"),
    ISA(eq, F32, 8, "_mm256_cmp_ps(%0, %1, _CMP_EQ_OQ)"),
    ISA(lt, I32, 8, "sy_lt_i_avx2(%0, %1)"),
    ISA(le, I32, 8, "sy_not_avx2(sy_lt_i_avx2(%1, %0))"),
    ISA(eq, I32, 8, "_mm256_castsi256_ps(_mm256_cmpeq_epi32(%0, %1))"),
    ISA(and, BOOL, 8, "_mm256_and_ps(%0, %1)"),
    ISA(or, BOOL, 8, "_mm256_or_ps(%0, %1)"),
    ISA(not, BOOL, 8, "sy_not_avx2(%0)"),
    ISA(select, F32, 8, "_mm256_blendv_ps(%2, %1, %0)"),
    ISA(select, I32, 8, "sy_select_i_avx2(%0, %1, %2)"),
    ISA(mtob, F32, 8, "_mm256_and_ps(%0, _mm256_set1_ps(1.0f))"),
    ISA(mtob, I32, 8, "_mm256_srli_epi32(_mm256_castps_si256(%0), 31)"),
    ISA(hadd, F32, 8, "sy_hadd_f_avx2(%0)"),
    ISA(hadd, I32, 8, "sy_hadd_i_avx2(%0)"),
    ISA(hmax, F32, 8, "sy_hmax_f_avx2(%0)"),
    ISA(hmax, I32, 8, "sy_hmax_i_avx2(%0)"),
};

static const Intrinsic intrinsics[] = {{K_dot2, "llvm.x86.avx2.pmadd.wd", 16, false},
                                       {K_pairs4, "llvm.x86.avx2.pmadd.ub.sw", 8, false}};

#define REGISTERS                                                                                                      \
  .vec_f32 = "__m256", .vec_i32 = "__m256i", .mask = "__m256", .lanes = 8, .vregs = 16, .has_fma = true,               \
  .tile = {{6, 1}}, /* 12 accumulators, 2 registers for the panel */                                                   \
  .k_block = 256,   /* 16 KiB of a panel, 6 of the rows */                                                             \
  .cost = &costs_of_a_core

const Target target_avx2 = {
    TARGET(avx2),
    .base = &target_scalar,
    REGISTERS,
    .dot = DOT_PAIRS,
    .code_tile = {6, 1}, // 12 sums, two halves of words, an operand, a product
    INTRINSICS,
    TEXTS,
};

// Processors that multiply codes of 8 bits in one instruction (Alder Lake, Zen 5). It does not saturate. Why no
// intrinsic: avx512.c.
static const char codes_vnni[] =
    "SY_AVX_VNNI __m256i sy_dot4u_avx_vnni(__m256i s, __m256i a, __m256i b) {\n"
    "  __asm__(\"{%{vex%} vpdpbusd\\t%2, %1, %0|%{vex%} vpdpbusd\\t%0, %1, %2}\" : \"+x\"(s) : \"x\"(a), \"x\"(b));\n"
    "  return s;\n"
    "}\n";
static const IsaRow rows_vnni[] = {ISA(dot4u, I32, 8, "sy_dot4u_avx_vnni(%0, %1, %2)")};
static const Intrinsic intrinsics_vnni[] = {{K_dot4u, "llvm.x86.avx512.vpdpbusd.256", 32, true}};

const Target target_avx_vnni = {
    TARGET(avx_vnni),
    CODES_OF(avx2, vnni),
    REGISTERS,
    .dot = DOT_PLAIN,
    .code_tile = {6, 1}, // 12 sums, two of words, an operand
};
// clang-format on
