// avx512.c: sixteen lanes, AVX-512 F, DQ, BW and VL. Masks are __mmask16; partial accesses are masked. Where gcc's
// plain intrinsic starts from an undefined register (and warns about it), the form with a mask of all ones is used; it
// compiles to the same instruction.
#include "isa.h"

static const char prelude[] =
    "#include <immintrin.h>\n"
    "#define SY_FIRST16(n) ((__mmask16)((1u << (n)) - 1u))\n"
    "#define SY_ALL16 ((__mmask16)0xffffu)\n"
    "SY_AVX512 __mmask16 sy_loadm_avx512(const uint8_t *p, __mmask16 n) {\n"
    "  const __m128i x = _mm_maskz_loadu_epi8(n, p);\n"
    "  return _mm_test_epi8_mask(x, x);\n"
    "}\n"
    "SY_AVX512 float sy_fma_avx512(float a, float b, float c) {\n"
    "  return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));\n"
    "}\n"
    "SY_AVX512 __m512 sy_exp2i_avx512(__m512 x) {\n"
    "  const __m512 t = _mm512_add_ps(x, _mm512_set1_ps(12583039.0f));\n"
    "  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(SY_ALL16, _mm512_castps_si512(t), 23));\n"
    "}\n"
    "SY_AVX512 __m512 sy_expo_avx512(__m512 x) {\n"
    "  const __m512i e = _mm512_maskz_srli_epi32(SY_ALL16, _mm512_castps_si512(x), 23);\n"
    "  return _mm512_maskz_cvtepi32_ps(SY_ALL16, _mm512_sub_epi32(e, _mm512_set1_epi32(127)));\n"
    "}\n"
    "SY_AVX512 __m512 sy_mant_avx512(__m512 x) {\n"
    "  const __m512i t = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffff));\n"
    "  return _mm512_castsi512_ps(_mm512_or_si512(t, _mm512_set1_epi32(0x3f800000)));\n"
    "}\n"
    "SY_AVX512 __m512i sy_whole_avx512(__m512 x) { // out of range the instruction gives INT32_MIN\n"
    "  const __mmask16 large = _mm512_cmp_ps_mask(x, _mm512_set1_ps(2147483648.0f), _CMP_GE_OQ);\n"
    "  const __m512i y = _mm512_maskz_cvttps_epi32(_mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), x);\n"
    "  return _mm512_mask_mov_epi32(y, large, _mm512_set1_epi32(INT32_MAX));\n"
    "}\n"
    "SY_AVX512 __m256 sy_upper_avx512(__m512 x) { return _mm512_maskz_extractf32x8_ps(0xffu, x, 1); }\n"
    "SY_AVX512 float sy_hadd_f_avx512(__m512 x) {\n"
    "  const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(x), sy_upper_avx512(x));\n"
    "  __m128 t = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));\n"
    "  t = _mm_add_ps(t, _mm_movehl_ps(t, t));\n"
    "  return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));\n"
    "}\n"
    "SY_AVX512 float sy_hmax_f_avx512(__m512 x) {\n"
    "  const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(x), sy_upper_avx512(x));\n"
    "  __m128 t = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));\n"
    "  t = _mm_max_ps(t, _mm_movehl_ps(t, t));\n"
    "  return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));\n"
    "}\n"
    "SY_AVX512 int32_t sy_hadd_i_avx512(__m512i x) {\n"
    "  const __m256i u = _mm256_castps_si256(sy_upper_avx512(_mm512_castsi512_ps(x)));\n"
    "  const __m256i h = _mm256_add_epi32(_mm512_castsi512_si256(x), u);\n"
    "  __m128i t = _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));\n"
    "  t = _mm_add_epi32(t, _mm_unpackhi_epi64(t, t));\n"
    "  return _mm_cvtsi128_si32(_mm_add_epi32(t, _mm_shuffle_epi32(t, 1)));\n"
    "}\n"
    "SY_AVX512 int32_t sy_hmax_i_avx512(__m512i x) {\n"
    "  const __m256i u = _mm256_castps_si256(sy_upper_avx512(_mm512_castsi512_ps(x)));\n"
    "  const __m256i h = _mm256_max_epi32(_mm512_castsi512_si256(x), u);\n"
    "  __m128i t = _mm_max_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));\n"
    "  t = _mm_max_epi32(t, _mm_unpackhi_epi64(t, t));\n"
    "  return _mm_cvtsi128_si32(_mm_max_epi32(t, _mm_shuffle_epi32(t, 1)));\n"
    "}\n"
    "SY_AVX512 __m512i sy_iota_i_avx512(void) {\n"
    "  return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);\n"
    "}\n";

static const char narrow[] =
    "SY_AVX512 __m256i sy_load_h_avx512(const uint16_t *p, size_t n) {\n"
    "  if (n == 16) return _mm256_loadu_si256((const __m256i *)(const void *)p);\n"
    "  return _mm256_maskz_loadu_epi16(SY_FIRST16(n), p);\n"
    "}\n"
    "SY_AVX512 __m512 sy_f16_avx512(const uint16_t *p, size_t n) {\n"
    "  return _mm512_maskz_cvtph_ps(SY_ALL16, sy_load_h_avx512(p, n));\n"
    "}\n"
    "SY_AVX512 __m512 sy_bf16_avx512(const uint16_t *p, size_t n) {\n"
    "  const __m512i u = _mm512_maskz_cvtepu16_epi32(SY_ALL16, sy_load_h_avx512(p, n));\n"
    "  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(SY_ALL16, u, 16));\n"
    "}\n"
    "SY_AVX512 void sy_to_f16_avx512(uint16_t *p, __m512 x, size_t n) {\n"
    "  const __m256i h = _mm512_maskz_cvtps_ph(SY_ALL16, x, _MM_FROUND_TO_NEAREST_INT);\n"
    "  _mm256_mask_storeu_epi16(p, SY_FIRST16(n), h);\n"
    "}\n"
    "SY_AVX512 void sy_to_bf16_avx512(uint16_t *p, __m512 x, size_t n) {\n"
    "  const __m512i u = _mm512_castps_si512(x), up = _mm512_maskz_srli_epi32(SY_ALL16, u, 16);\n"
    "  const __m512i odd = _mm512_and_si512(up, _mm512_set1_epi32(1));\n"
    "  const __m512i y = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);\n"
    "  const __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));\n"
    "  const __m512i all = _mm512_mask_mov_epi32(quiet, _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), y);\n"
    "  const __m256i h = _mm512_maskz_cvtepi32_epi16(SY_ALL16, _mm512_maskz_srli_epi32(SY_ALL16, all, 16));\n"
    "  _mm256_mask_storeu_epi16(p, SY_FIRST16(n), h);\n"
    "}\n";

static const char codes[] =
    "SY_AVX512 __m512i sy_even8_avx512(__m512i a) { return _mm512_srai_epi16(_mm512_slli_epi16(a, 8), 8); }\n"
    "SY_AVX512 __m512i sy_dot2_avx512(__m512i s, __m512i a, __m512i b) {\n"
    "  return _mm512_add_epi32(s, _mm512_madd_epi16(a, b));\n"
    "}\n"
    "SY_AVX512 __m512i sy_dot4_avx512(__m512i s, __m512i a, __m512i b) {\n"
    "  s = sy_dot2_avx512(s, sy_even8_avx512(a), sy_even8_avx512(b));\n"
    "  return sy_dot2_avx512(s, _mm512_srai_epi16(a, 8), _mm512_srai_epi16(b, 8));\n"
    "}\n"
    "SY_AVX512 __m512i sy_dot4u_avx512(__m512i s, __m512i a, __m512i b) {\n"
    "  s = sy_dot2_avx512(s, _mm512_srli_epi16(_mm512_slli_epi16(a, 8), 8), sy_even8_avx512(b));\n"
    "  return sy_dot2_avx512(s, _mm512_srli_epi16(a, 8), _mm512_srai_epi16(b, 8));\n"
    "}\n"
    "SY_AVX512 __m512i sy_low4_avx512(__m512i a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }\n"
    "SY_AVX512 __m512i sy_high4_avx512(__m512i a) { return sy_low4_avx512(_mm512_srli_epi16(a, 4)); }\n"
    "SY_AVX512 __m512i sy_pairs4_avx512(__m512i s, __m512i a, __m512i b) { /* bytes of a up to 15: nothing saturates "
    "*/\n"
    "  return _mm512_add_epi16(s, _mm512_maddubs_epi16(a, b));\n"
    "}\n"
    "SY_AVX512 __m512i sy_round16_avx512(__m512 x) {\n"
    "  const __m512i u = _mm512_castps_si512(x), up = _mm512_maskz_srli_epi32(SY_ALL16, u, 16);\n"
    "  const __m512i a = _mm512_and_si512(u, _mm512_set1_epi32(0x7fffffff));\n"
    "  const __m512i odd = _mm512_and_si512(up, _mm512_set1_epi32(1));\n"
    "  const __m512i y = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);\n"
    "  const __mmask16 nan = _mm512_cmpgt_epi32_mask(a, _mm512_set1_epi32(0x7f800000));\n"
    "  const __mmask16 small = _mm512_cmplt_epi32_mask(a, _mm512_set1_epi32(0x23800000));\n"
    "  const __m512i quiet = _mm512_or_si512(up, _mm512_set1_epi32(0x40));\n"
    "  const __m512i zero = _mm512_and_si512(up, _mm512_set1_epi32(0x8000));\n"
    "  const __m512i z = _mm512_mask_mov_epi32(_mm512_maskz_srli_epi32(SY_ALL16, y, 16), nan, quiet);\n"
    "  return _mm512_mask_mov_epi32(z, small, zero);\n"
    "}\n"
    "SY_AVX512 __m512i sy_join16_avx512(__m512i a, __m512i b) {\n"
    "  const __m256i low = _mm512_maskz_cvtepi32_epi16(SY_ALL16, a), high = _mm512_maskz_cvtepi32_epi16(SY_ALL16, b);\n"
    "  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);\n"
    "}\n"
    "SY_AVX512 __m512 sy_low16_avx512(__m512i a) {\n"
    "  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(SY_ALL16, a, 16));\n"
    "}\n"
    "SY_AVX512 __m512 sy_high16_avx512(__m512i a) {\n"
    "  return _mm512_castsi512_ps(_mm512_and_si512(a, _mm512_set1_epi32(-65536)));\n"
    "}\n"
    "SY_AVX512 __m512 sy_dot2b_avx512(__m512 s, __m512i a, __m512i b) {\n"
    "  s = _mm512_fmadd_ps(sy_high16_avx512(a), sy_high16_avx512(b), s);\n"
    "  return _mm512_fmadd_ps(sy_low16_avx512(a), sy_low16_avx512(b), s);\n"
    "}\n";

// clang-format off
static const IsaRow rows[] = {
    ISA(load, F16, 16, "sy_f16_avx512(%b, 16)"),
    ISA_PART(load, F16, 16, "sy_f16_avx512(%b, %n)"),
    ISA(store, F16, 16, "sy_to_f16_avx512(%b, %0, 16)"),
    ISA_PART(store, F16, 16, "sy_to_f16_avx512(%b, %0, %n)"),
    ISA(bcast, F16, 16, "_mm512_set1_ps(sy_f16(%e))"),
    ISA(load, BF16, 16, "sy_bf16_avx512(%b, 16)"),
    ISA_PART(load, BF16, 16, "sy_bf16_avx512(%b, %n)"),
    ISA(store, BF16, 16, "sy_to_bf16_avx512(%b, %0, 16)"),
    ISA_PART(store, BF16, 16, "sy_to_bf16_avx512(%b, %0, %n)"),
    ISA(bcast, BF16, 16, "_mm512_set1_ps(sy_bf16(%e))"),
    ISA(load, F32, 16, "_mm512_loadu_ps(%b)"),
    ISA(load, I32, 16, "_mm512_loadu_si512(%b)"),
    ISA_PART(load, F32, 16, "_mm512_maskz_loadu_ps(SY_FIRST16(%n), %b)"),
    ISA_PART(load, I32, 16, "_mm512_maskz_loadu_epi32(SY_FIRST16(%n), %b)"),
    ISA(store, F32, 16, "_mm512_storeu_ps(%b, %0)"),
    ISA(store, I32, 16, "_mm512_storeu_si512(%b, %0)"),
    ISA_PART(store, F32, 16, "_mm512_mask_storeu_ps(%b, SY_FIRST16(%n), %0)"),
    ISA_PART(store, I32, 16, "_mm512_mask_storeu_epi32(%b, SY_FIRST16(%n), %0)"),
    ISA(bcast, F32, 16, "_mm512_set1_ps(%e)"),
    ISA(bcast, I32, 16, "_mm512_set1_epi32(%e)"),
    ISA(loadm, BOOL, 16, "sy_loadm_avx512(%b, SY_ALL16)"),
    ISA_PART(loadm, BOOL, 16, "sy_loadm_avx512(%b, SY_FIRST16(%n))"),
    ISA(const, F32, 16, "_mm512_set1_ps(%i)"),
    ISA(const, I32, 16, "_mm512_set1_epi32(%i)"),
    ISA(iota, F32, 16, "_mm512_maskz_cvtepi32_ps(SY_ALL16, sy_iota_i_avx512())"),
    ISA(iota, I32, 16, "sy_iota_i_avx512()"),
    ISA(index, F32, 16, "_mm512_set1_ps((float)%i)"),
    ISA(index, I32, 16, "_mm512_set1_epi32(%i)"),
    ISA(splat, F32, 16, "_mm512_set1_ps(%0)"),
    ISA(splat, I32, 16, "_mm512_set1_epi32(%0)"),
    ISA(lane0, F32, 16, "_mm512_cvtss_f32(%0)"),
    ISA(lane0, I32, 16, "_mm512_cvtsi512_si32(%0)"),
    ISA(add, F32, 16, "_mm512_add_ps(%0, %1)"),
    ISA(sub, F32, 16, "_mm512_sub_ps(%0, %1)"),
    ISA(mul, F32, 16, "_mm512_mul_ps(%0, %1)"),
    ISA(div, F32, 16, "_mm512_div_ps(%0, %1)"),
    ISA(fma, F32, 16, "_mm512_fmadd_ps(%0, %1, %2)"),
    ISA(fma, F32, 1, "sy_fma_avx512(%0, %1, %2)"),
    ISA(max, F32, 16, "_mm512_maskz_max_ps(SY_ALL16, %0, %1)"),
    ISA(min, F32, 16, "_mm512_maskz_min_ps(SY_ALL16, %0, %1)"),
    ISA(add, I32, 16, "_mm512_add_epi32(%0, %1)"),
    ISA(sub, I32, 16, "_mm512_sub_epi32(%0, %1)"),
    ISA(mul, I32, 16, "_mm512_mullo_epi32(%0, %1)"),
    ISA(max, I32, 16, "_mm512_maskz_max_epi32(SY_ALL16, %0, %1)"),
    ISA(min, I32, 16, "_mm512_maskz_min_epi32(SY_ALL16, %0, %1)"),
    ISA(sqrt, F32, 16, "_mm512_maskz_sqrt_ps(SY_ALL16, %0)"),
    ISA(exp2i, F32, 16, "sy_exp2i_avx512(%0)"),
    ISA(expo, F32, 16, "sy_expo_avx512(%0)"),
    ISA(mant, F32, 16, "sy_mant_avx512(%0)"),
    ISA(xor, I32, 16, "_mm512_xor_si512(%0, %1)"),
    ISA(shr, I32, 16, "_mm512_maskz_srlv_epi32(SY_ALL16, %0, %1)"),
    ISA(rotl, I32, 16, "_mm512_maskz_rolv_epi32(SY_ALL16, %0, %1)"),
    ISA(magn, I32, 16, "_mm512_and_si512(_mm512_castps_si512(%0), _mm512_set1_epi32(0x7fffffff))"),
    ISA(real, F32, 16, "_mm512_castsi512_ps(%0)"),
    ISA(even8, I32, 16, "sy_even8_avx512(%0)"),
    ISA(odd8, I32, 16, "_mm512_srai_epi16(%0, 8)"),
    ISA(dot2, I32, 16, "sy_dot2_avx512(%0, %1, %2)"),
    ISA(dot4, I32, 16, "sy_dot4_avx512(%0, %1, %2)"),
    ISA(dot4u, I32, 16, "sy_dot4u_avx512(%0, %1, %2)"),
    ISA(low4, I32, 16, "sy_low4_avx512(%0)"),
    ISA(high4, I32, 16, "sy_high4_avx512(%0)"),
    ISA(pairs4, I32, 16, "sy_pairs4_avx512(%0, %1, %2)"),
    ISA(round16, I32, 16, "sy_round16_avx512(%0)"),
    ISA(join16, I32, 16, "sy_join16_avx512(%0, %1)"),
    ISA(low16, F32, 16, "sy_low16_avx512(%0)"),
    ISA(high16, F32, 16, "sy_high16_avx512(%0)"),
    ISA(dot2b, F32, 16, "sy_dot2b_avx512(%0, %1, %2)"),
    ISA(cvt, I32, 16, "_mm512_maskz_cvtepi32_ps(SY_ALL16, %0)"),
    ISA(cvt, F32, 16, "sy_whole_avx512(%0)"),
    ISA(lt, F32, 16, "_mm512_cmp_ps_mask(%0, %1, _CMP_LT_OQ)"),
    ISA(le, F32, 16, "_mm512_cmp_ps_mask(%0, %1, _CMP_LE_OQ)"),
    ISA(eq, F32, 16, "_mm512_cmp_ps_mask(%0, %1, _CMP_EQ_OQ)"),
    ISA(lt, I32, 16, "_mm512_cmplt_epi32_mask(%0, %1)"),
    ISA(le, I32, 16, "_mm512_cmple_epi32_mask(%0, %1)"),
    ISA(eq, I32, 16, "_mm512_cmpeq_epi32_mask(%0, %1)"),
    ISA(and, BOOL, 16, "(__mmask16)(%0 & %1)"),
    ISA(or, BOOL, 16, "(__mmask16)(%0 | %1)"),
    ISA(not, BOOL, 16, "(__mmask16)(~%0)"),
    ISA(select, F32, 16, "_mm512_mask_blend_ps(%0, %2, %1)"),
    ISA(select, I32, 16, "_mm512_mask_blend_epi32(%0, %2, %1)"),
    ISA(mtob, F32, 16, "_mm512_maskz_mov_ps(%0, _mm512_set1_ps(1.0f))"),
    ISA(mtob, I32, 16, "_mm512_maskz_mov_epi32(%0, _mm512_set1_epi32(1))"),
    ISA(hadd, F32, 16, "sy_hadd_f_avx512(%0)"),
    ISA(hadd, I32, 16, "sy_hadd_i_avx512(%0)"),
    ISA(hmax, F32, 16, "sy_hmax_f_avx512(%0)"),
    ISA(hmax, I32, 16, "sy_hmax_i_avx512(%0)"),
};

static const Intrinsic intrinsics[] = {{K_dot2, "llvm.x86.avx512.pmaddw.d.512", 16, false},
                                       {K_pairs4, "llvm.x86.avx512.pmaddubs.w.512", 8, false}};

#define REGISTERS                                                                                                      \
  .vec_f32 = "__m512", .vec_i32 = "__m512i", .mask = "__mmask16", .lanes = 16, .vregs = 32, .has_fma = true,           \
  .tile = {{8, 3}, {12, 2}, {14, 1}}, /* 24 or 14 accumulators, a register a panel */                                  \
  .cost = &costs_of_a_core

const Target target_avx512 = {
    TARGET(avx512),
    .base = &target_scalar,
    REGISTERS,
    .dot = DOT_PAIRS,
    .code_tile = {8, 3},
    INTRINSICS,
    TEXTS,
};

// Processors that multiply codes of 8 bits in one instruction (Cascade Lake, Zen 4). It does not saturate. Around the
// intrinsic of it gcc 12 copies every sum and stores it to memory: a third of the speed.
static const char codes_vnni[] =
    "SY_AVX512_VNNI __m512i sy_dot4u_avx512_vnni(__m512i s, __m512i a, __m512i b) {\n"
    "  __asm__(\"vpdpbusd\\t{%2, %1, %0|%0, %1, %2}\" : \"+v\"(s) : \"v\"(a), \"v\"(b));\n"
    "  return s;\n"
    "}\n";
static const IsaRow rows_vnni[] = {ISA(dot4u, I32, 16, "sy_dot4u_avx512_vnni(%0, %1, %2)")};
static const Intrinsic intrinsics_vnni[] = {{K_dot4u, "llvm.x86.avx512.vpdpbusd.512", 32, true}};

const Target target_avx512_vnni = {
    TARGET(avx512_vnni),
    CODES_OF(avx512, vnni),
    REGISTERS,
    .dot = DOT_PLAIN,
    .code_tile = {8, 3}, // 24 sums, three of words, an operand
};

// AMD's processors that add two products of bf16 in one instruction (Zen 4), in twice the rate of fma; the upper halves first,
// numbers below 2^-126 as zeros, of which there are none (ir/op/pairs.h). Intel's are no faster with it than without.
static const char codes_bf16[] =
    "SY_AVX512_BF16 __m512 sy_dot2b_avx512_bf16(__m512 s, __m512i a, __m512i b) {\n"
    "  __asm__(\"vdpbf16ps\\t{%2, %1, %0|%0, %1, %2}\" : \"+v\"(s) : \"v\"(a), \"v\"(b));\n"
    "  return s;\n"
    "}\n";
static const IsaRow rows_bf16[] = {ISA(dot2b, F32, 16, "sy_dot2b_avx512_bf16(%0, %1, %2)")};
static const Intrinsic intrinsics_bf16[] = {{K_dot2b, "llvm.x86.avx512bf16.dpbf16ps.512", 16, true}};

const Target target_avx512_bf16 = {
    TARGET(avx512_bf16),
    CODES_OF(avx512_vnni, bf16),
    REGISTERS,
    .dot = DOT_PLAIN,
    .pairs = true,
    .code_tile = {8, 3},
};
// clang-format on
