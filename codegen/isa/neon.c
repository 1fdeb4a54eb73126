// neon.c: four lanes, AArch64. max and min are written as compare and select: vmaxq differs from "a > b ? a : b" on
// NaN and on zeros of different sign. vcvtq_s32_f32 saturates and makes NaN 0, as cvt must. Masks: uint32x4_t, all ones
// or zero in each lane.
#include "isa.h"

static const char prelude[] =
    "#include <arm_neon.h>\n"
    "SY_FN float32x4_t sy_loadn_f_neon(const float *p, size_t n) {\n"
    "  float t[4] = {0, 0, 0, 0};\n"
    "  memcpy(t, p, n * sizeof *p);\n"
    "  return vld1q_f32(t);\n"
    "}\n"
    "SY_FN int32x4_t sy_loadn_i_neon(const int32_t *p, size_t n) {\n"
    "  int32_t t[4] = {0, 0, 0, 0};\n"
    "  memcpy(t, p, n * sizeof *p);\n"
    "  return vld1q_s32(t);\n"
    "}\n"
    "SY_FN uint32x4_t sy_loadm_neon(const uint8_t *p, size_t n) {\n"
    "  uint32_t t[4] = {0, 0, 0, 0};\n"
    "  for (size_t i = 0; i < n; i++) t[i] = p[i];\n"
    "  const uint32x4_t x = vld1q_u32(t);\n"
    "  return vtstq_u32(x, x);\n"
    "}\n"
    "SY_FN void sy_storen_f_neon(float *p, float32x4_t x, size_t n) {\n"
    "  float t[4];\n"
    "  vst1q_f32(t, x);\n"
    "  memcpy(p, t, n * sizeof *p);\n"
    "}\n"
    "SY_FN void sy_storen_i_neon(int32_t *p, int32x4_t x, size_t n) {\n"
    "  int32_t t[4];\n"
    "  vst1q_s32(t, x);\n"
    "  memcpy(p, t, n * sizeof *p);\n"
    "}\n"
    "SY_FN int32x4_t sy_iota_i_neon(void) {\n"
    "  const int32_t t[4] = {0, 1, 2, 3};\n"
    "  return vld1q_s32(t);\n"
    "}\n"
    "SY_FN float sy_fma_neon(float a, float b, float c) {\n"
    "  return vget_lane_f32(vfma_f32(vdup_n_f32(c), vdup_n_f32(a), vdup_n_f32(b)), 0);\n"
    "}\n"
    "SY_FN float32x4_t sy_max_neon(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }\n"
    "SY_FN float32x4_t sy_min_neon(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }\n"
    "SY_FN float32x4_t sy_exp2i_neon(float32x4_t x) {\n"
    "  const float32x4_t t = vaddq_f32(x, vdupq_n_f32(12583039.0f));\n"
    "  return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(t), 23));\n"
    "}\n"
    "SY_FN float32x4_t sy_expo_neon(float32x4_t x) {\n"
    "  const int32x4_t e = vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_f32(x), 23));\n"
    "  return vcvtq_f32_s32(vsubq_s32(e, vdupq_n_s32(127)));\n"
    "}\n"
    "SY_FN float32x4_t sy_mant_neon(float32x4_t x) {\n"
    "  const uint32x4_t t = vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x7fffffu));\n"
    "  return vreinterpretq_f32_u32(vorrq_u32(t, vdupq_n_u32(0x3f800000u)));\n"
    "}\n"
    "SY_FN int32x4_t sy_shr_neon(int32x4_t a, int32x4_t b) { // shifts to the left by what is negative are to the "
    "right\n"
    "  return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vnegq_s32(b)));\n"
    "}\n"
    "SY_FN int32x4_t sy_rotl_neon(int32x4_t a, int32x4_t b) {\n"
    "  const uint32x4_t u = vreinterpretq_u32_s32(a);\n"
    "  const uint32x4_t low = vshlq_u32(u, vsubq_s32(b, vdupq_n_s32(32)));\n"
    "  return vreinterpretq_s32_u32(vorrq_u32(vshlq_u32(u, b), low));\n"
    "}\n"
    "SY_FN float32x4_t sy_mtob_f_neon(uint32x4_t m) {\n"
    "  return vreinterpretq_f32_u32(vandq_u32(m, vdupq_n_u32(0x3f800000u)));\n"
    "}\n"
    "SY_FN int32x4_t sy_mtob_i_neon(uint32x4_t m) {\n"
    "  return vreinterpretq_s32_u32(vandq_u32(m, vdupq_n_u32(1)));\n"
    "}\n"
    "SY_FN float sy_hadd_f_neon(float32x4_t x) {\n"
    "  const float32x2_t t = vadd_f32(vget_low_f32(x), vget_high_f32(x));\n"
    "  return vget_lane_f32(t, 0) + vget_lane_f32(t, 1);\n"
    "}\n"
    "SY_FN int32_t sy_hadd_i_neon(int32x4_t x) {\n"
    "  const int32x2_t t = vadd_s32(vget_low_s32(x), vget_high_s32(x));\n"
    "  return sy_add_i32(vget_lane_s32(t, 0), vget_lane_s32(t, 1));\n"
    "}\n"
    "SY_FN float sy_hmax_f_neon(float32x4_t x) {\n"
    "  const float32x2_t a = vget_low_f32(x), b = vget_high_f32(x), t = vbsl_f32(vcgt_f32(a, b), a, b);\n"
    "  return sy_max_f32(vget_lane_f32(t, 0), vget_lane_f32(t, 1));\n"
    "}\n"
    "SY_FN int32_t sy_hmax_i_neon(int32x4_t x) {\n"
    "  const int32x2_t t = vmax_s32(vget_low_s32(x), vget_high_s32(x));\n"
    "  return sy_max_i32(vget_lane_s32(t, 0), vget_lane_s32(t, 1));\n"
    "}\n";

static const char narrow[] =
    "SY_FN uint16x4_t sy_load_h_neon(const uint16_t *p, size_t n) {\n"
    "  uint16_t t[4] = {0, 0, 0, 0};\n"
    "  if (n == 4) return vld1_u16(p);\n"
    "  memcpy(t, p, n * sizeof *p);\n"
    "  return vld1_u16(t);\n"
    "}\n"
    "SY_FN void sy_store_h_neon(uint16_t *p, uint16x4_t x, size_t n) {\n"
    "  uint16_t t[4];\n"
    "  vst1_u16(t, x);\n"
    "  memcpy(p, t, n * sizeof *p);\n"
    "}\n"
    "SY_FN float32x4_t sy_f16_neon(const uint16_t *p, size_t n) {\n"
    "  return vcvt_f32_f16(vreinterpret_f16_u16(sy_load_h_neon(p, n)));\n"
    "}\n"
    "SY_FN float32x4_t sy_bf16_neon(const uint16_t *p, size_t n) {\n"
    "  return vreinterpretq_f32_u32(vshll_n_u16(sy_load_h_neon(p, n), 16));\n"
    "}\n"
    "SY_FN void sy_to_f16_neon(uint16_t *p, float32x4_t x, size_t n) {\n"
    "  sy_store_h_neon(p, vreinterpret_u16_f16(vcvt_f16_f32(x)), n);\n"
    "}\n"
    "SY_FN void sy_to_bf16_neon(uint16_t *p, float32x4_t x, size_t n) {\n"
    "  const uint32x4_t u = vreinterpretq_u32_f32(x), odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));\n"
    "  const uint32x4_t y = vaddq_u32(vaddq_u32(u, vdupq_n_u32(0x7fff)), odd);\n"
    "  const uint32x4_t quiet = vorrq_u32(u, vdupq_n_u32(0x400000));\n"
    "  sy_store_h_neon(p, vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), y, quiet), 16), n);\n"
    "}\n";

static const char codes[] =
    "SY_FN int32x4_t sy_magn_neon(float32x4_t x) {\n"
    "  return vandq_s32(vreinterpretq_s32_f32(x), vdupq_n_s32(0x7fffffff));\n"
    "}\n"
    "SY_FN int32x4_t sy_even8_neon(int32x4_t a) {\n"
    "  return vreinterpretq_s32_s16(vshrq_n_s16(vshlq_n_s16(vreinterpretq_s16_s32(a), 8), 8));\n"
    "}\n"
    "SY_FN int32x4_t sy_odd8_neon(int32x4_t a) {\n"
    "  return vreinterpretq_s32_s16(vshrq_n_s16(vreinterpretq_s16_s32(a), 8));\n"
    "}\n"
    "SY_FN int32x4_t sy_dot2_neon(int32x4_t s, int32x4_t a, int32x4_t b) {\n"
    "  const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);\n"
    "  return vaddq_s32(s, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));\n"
    "}\n"
    "SY_FN int32x4_t sy_dot4_neon(int32x4_t s, int32x4_t a, int32x4_t b) {\n"
    "  const int8x16_t x = vreinterpretq_s8_s32(a), y = vreinterpretq_s8_s32(b);\n"
    "  const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(y)), high = vmull_high_s8(x, y);\n"
    "  return vaddq_s32(s, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));\n"
    "}\n"
    "SY_FN int32x4_t sy_dot4u_neon(int32x4_t s, int32x4_t a, int32x4_t b) {\n"
    "  const uint16x8_t x = vreinterpretq_u16_s32(a);\n"
    "  const int32x4_t even = vreinterpretq_s32_u16(vandq_u16(x, vdupq_n_u16(255)));\n"
    "  const int32x4_t odd = vreinterpretq_s32_u16(vshrq_n_u16(x, 8));\n"
    "  return sy_dot2_neon(sy_dot2_neon(s, even, sy_even8_neon(b)), odd, sy_odd8_neon(b));\n"
    "}\n"
    "SY_FN int32x4_t sy_high4_neon(int32x4_t a) {\n"
    "  return vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(a), 4));\n"
    "}\n"
    "SY_FN int32x4_t sy_pairs4_neon(int32x4_t s, int32x4_t a, int32x4_t b) {\n"
    "  const int8x16_t x = vreinterpretq_s8_s32(a), y = vreinterpretq_s8_s32(b);\n"
    "  const int16x8_t sums = vpaddq_s16(vmull_s8(vget_low_s8(x), vget_low_s8(y)), vmull_high_s8(x, y));\n"
    "  return vreinterpretq_s32_s16(vaddq_s16(vreinterpretq_s16_s32(s), sums));\n"
    "}\n"
    "SY_FN int32x4_t sy_round16_neon(float32x4_t x) {\n"
    "  const uint32x4_t u = vreinterpretq_u32_f32(x), up = vshrq_n_u32(u, 16), a = vandq_u32(u, "
    "vdupq_n_u32(0x7fffffff));\n"
    "  const uint32x4_t y = vshrq_n_u32(vaddq_u32(vaddq_u32(u, vdupq_n_u32(0x7fff)), vandq_u32(up, vdupq_n_u32(1))), "
    "16);\n"
    "  const uint32x4_t z = vbslq_u32(vcgtq_u32(a, vdupq_n_u32(0x7f800000)), vorrq_u32(up, vdupq_n_u32(0x40)), y);\n"
    "  const uint32x4_t zero = vandq_u32(up, vdupq_n_u32(0x8000));\n"
    "  return vreinterpretq_s32_u32(vbslq_u32(vcltq_u32(a, vdupq_n_u32(0x23800000)), zero, z));\n"
    "}\n"
    "SY_FN int32x4_t sy_join16_neon(int32x4_t a, int32x4_t b) {\n"
    "  return vreinterpretq_s32_s16(vuzp1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)));\n"
    "}\n"
    "SY_FN float32x4_t sy_low16_neon(int32x4_t a) { return vreinterpretq_f32_s32(vshlq_n_s32(a, 16)); }\n"
    "SY_FN float32x4_t sy_high16_neon(int32x4_t a) {\n"
    "  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_s32(a), vdupq_n_u32(0xffff0000u)));\n"
    "}\n"
    "SY_FN float32x4_t sy_dot2b_neon(float32x4_t s, int32x4_t a, int32x4_t b) {\n"
    "  s = vfmaq_f32(s, sy_high16_neon(a), sy_high16_neon(b));\n"
    "  return vfmaq_f32(s, sy_low16_neon(a), sy_low16_neon(b));\n"
    "}\n";

// clang-format off
static const IsaRow rows[] = {
    ISA(load, F16, 4, "sy_f16_neon(%b, 4)"),
    ISA_PART(load, F16, 4, "sy_f16_neon(%b, %n)"),
    ISA(store, F16, 4, "sy_to_f16_neon(%b, %0, 4)"),
    ISA_PART(store, F16, 4, "sy_to_f16_neon(%b, %0, %n)"),
    ISA(bcast, F16, 4, "vdupq_n_f32(sy_f16(%e))"),
    ISA(load, BF16, 4, "sy_bf16_neon(%b, 4)"),
    ISA_PART(load, BF16, 4, "sy_bf16_neon(%b, %n)"),
    ISA(store, BF16, 4, "sy_to_bf16_neon(%b, %0, 4)"),
    ISA_PART(store, BF16, 4, "sy_to_bf16_neon(%b, %0, %n)"),
    ISA(bcast, BF16, 4, "vdupq_n_f32(sy_bf16(%e))"),
    ISA(load, F32, 4, "vld1q_f32(%b)"),
    ISA(load, I32, 4, "vld1q_s32(%b)"),
    ISA_PART(load, F32, 4, "sy_loadn_f_neon(%b, %n)"),
    ISA_PART(load, I32, 4, "sy_loadn_i_neon(%b, %n)"),
    ISA(store, F32, 4, "vst1q_f32(%b, %0)"),
    ISA(store, I32, 4, "vst1q_s32(%b, %0)"),
    ISA_PART(store, F32, 4, "sy_storen_f_neon(%b, %0, %n)"),
    ISA_PART(store, I32, 4, "sy_storen_i_neon(%b, %0, %n)"),
    ISA(bcast, F32, 4, "vld1q_dup_f32(%b)"),
    ISA(bcast, I32, 4, "vld1q_dup_s32(%b)"),
    ISA(loadm, BOOL, 4, "sy_loadm_neon(%b, 4)"),
    ISA_PART(loadm, BOOL, 4, "sy_loadm_neon(%b, %n)"),
    ISA(const, F32, 4, "vdupq_n_f32(%i)"),
    ISA(const, I32, 4, "vdupq_n_s32(%i)"),
    ISA(iota, F32, 4, "vcvtq_f32_s32(sy_iota_i_neon())"),
    ISA(iota, I32, 4, "sy_iota_i_neon()"),
    ISA(index, F32, 4, "vdupq_n_f32((float)%i)"),
    ISA(index, I32, 4, "vdupq_n_s32(%i)"),
    ISA(splat, F32, 4, "vdupq_n_f32(%0)"),
    ISA(splat, I32, 4, "vdupq_n_s32(%0)"),
    ISA(lane0, F32, 4, "vgetq_lane_f32(%0, 0)"),
    ISA(lane0, I32, 4, "vgetq_lane_s32(%0, 0)"),
    ISA(add, F32, 4, "vaddq_f32(%0, %1)"),
    ISA(sub, F32, 4, "vsubq_f32(%0, %1)"),
    ISA(mul, F32, 4, "vmulq_f32(%0, %1)"),
    ISA(div, F32, 4, "vdivq_f32(%0, %1)"),
    ISA(fma, F32, 4, "vfmaq_f32(%2, %0, %1)"),
    ISA(fma, F32, 1, "sy_fma_neon(%0, %1, %2)"),
    ISA(max, F32, 4, "sy_max_neon(%0, %1)"),
    ISA(min, F32, 4, "sy_min_neon(%0, %1)"),
    ISA(add, I32, 4, "vaddq_s32(%0, %1)"),
    ISA(sub, I32, 4, "vsubq_s32(%0, %1)"),
    ISA(mul, I32, 4, "vmulq_s32(%0, %1)"),
    ISA(max, I32, 4, "vmaxq_s32(%0, %1)"),
    ISA(min, I32, 4, "vminq_s32(%0, %1)"),
    ISA(sqrt, F32, 4, "vsqrtq_f32(%0)"),
    ISA(exp2i, F32, 4, "sy_exp2i_neon(%0)"),
    ISA(expo, F32, 4, "sy_expo_neon(%0)"),
    ISA(mant, F32, 4, "sy_mant_neon(%0)"),
    ISA(xor, I32, 4, "veorq_s32(%0, %1)"),
    ISA(shr, I32, 4, "sy_shr_neon(%0, %1)"),
    ISA(rotl, I32, 4, "sy_rotl_neon(%0, %1)"),
    ISA(magn, I32, 4, "sy_magn_neon(%0)"),
    ISA(real, F32, 4, "vreinterpretq_f32_s32(%0)"),
    ISA(even8, I32, 4, "sy_even8_neon(%0)"),
    ISA(odd8, I32, 4, "sy_odd8_neon(%0)"),
    ISA(dot2, I32, 4, "sy_dot2_neon(%0, %1, %2)"),
    ISA(dot4, I32, 4, "sy_dot4_neon(%0, %1, %2)"),
    ISA(dot4u, I32, 4, "sy_dot4u_neon(%0, %1, %2)"),
    ISA(low4, I32, 4, "vandq_s32(%0, vdupq_n_s32(0x0f0f0f0f))"),
    ISA(high4, I32, 4, "sy_high4_neon(%0)"),
    ISA(pairs4, I32, 4, "sy_pairs4_neon(%0, %1, %2)"),
    ISA(round16, I32, 4, "sy_round16_neon(%0)"),
    ISA(join16, I32, 4, "sy_join16_neon(%0, %1)"),
    ISA(low16, F32, 4, "sy_low16_neon(%0)"),
    ISA(high16, F32, 4, "sy_high16_neon(%0)"),
    ISA(dot2b, F32, 4, "sy_dot2b_neon(%0, %1, %2)"),
    ISA(cvt, I32, 4, "vcvtq_f32_s32(%0)"),
    ISA(cvt, F32, 4, "vcvtq_s32_f32(%0)"),
    ISA(lt, F32, 4, "vcltq_f32(%0, %1)"),
    ISA(le, F32, 4, "vcleq_f32(%0, %1)"),
    ISA(eq, F32, 4, "vceqq_f32(%0, %1)"),
    ISA(lt, I32, 4, "vcltq_s32(%0, %1)"),
    ISA(le, I32, 4, "vcleq_s32(%0, %1)"),
    ISA(eq, I32, 4, "vceqq_s32(%0, %1)"),
    ISA(and, BOOL, 4, "vandq_u32(%0, %1)"),
    ISA(or, BOOL, 4, "vorrq_u32(%0, %1)"),
    ISA(not, BOOL, 4, "vmvnq_u32(%0)"),
    ISA(select, F32, 4, "vbslq_f32(%0, %1, %2)"),
    ISA(select, I32, 4, "vbslq_s32(%0, %1, %2)"),
    ISA(mtob, F32, 4, "sy_mtob_f_neon(%0)"),
    ISA(mtob, I32, 4, "sy_mtob_i_neon(%0)"),
    ISA(hadd, F32, 4, "sy_hadd_f_neon(%0)"),
    ISA(hadd, I32, 4, "sy_hadd_i_neon(%0)"),
    ISA(hmax, F32, 4, "sy_hmax_f_neon(%0)"),
    ISA(hmax, I32, 4, "sy_hmax_i_neon(%0)"),
};

const Target target_neon = {
    TARGET(neon),
    .base = &target_scalar,
    .vec_f32 = "float32x4_t",
    .vec_i32 = "int32x4_t",
    .mask = "uint32x4_t",
    .lanes = 4,
    .vregs = 32,
    .has_fma = true,
    .tile = {{6, 1}}, // 24 accumulators, 4 registers for the panel
    .dot = DOT_WORDS,
    .code_tile = {5, 1}, // 20 accumulators, 4 registers for the panel, the rest for products
    .cost = &costs_of_a_core,
    TEXTS,
};
// clang-format on
