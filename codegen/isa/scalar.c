// scalar.c: rows for one lane, shared by all targets. ISA(op, dtype, lanes, template); see target.h for the templates.
// Masks are int, 0 or 1. fma is not here: a target that has it brings its own scalar row.
#include "isa.h"

static const char prelude[] =
    "#include <math.h>\n"
    "#include <stddef.h>\n"
    "#include <stdint.h>\n"
    "#include <string.h>\n"
    "#if defined(__SSE2__)\n"
    "#include <emmintrin.h>\n"
    "#elif defined(__aarch64__) && defined(__GNUC__)\n"
    "#include <arm_neon.h>\n"
    "#endif\n"
    "\n"
    "/* SY_FENCE: loads of a tile stay in it. Moved out of the loop around it they would take the tile's registers. "
    "*/\n"
    "#if defined(__GNUC__)\n"
    "#define SY_FN __attribute__((unused)) static inline\n"
    "#define SY_FENCE() __asm__ volatile(\"\" ::: \"memory\")\n"
    "#define SY_INLINE __attribute__((always_inline)) static inline\n"
    "#define SY_PREFETCH(p, level) __builtin_prefetch((p), 0, 4 - (level))\n"
    "#else\n"
    "#define SY_FN static inline\n"
    "#define SY_FENCE() (void)0\n"
    "#define SY_INLINE static inline\n"
    "#define SY_PREFETCH(p, level) ((void)(p))\n"
    "#endif\n"
    "\n"
    "SY_FN size_t sy_min(size_t a, size_t b) { return a < b ? a : b; }\n"
    "/* Rows [from, to) in as few tiles of at most `most` rows as do, even ones, higher ones first: the end of those\n"
    " * of at least `rows` rows. */\n"
    "SY_FN size_t sy_tiles(size_t from, size_t to, size_t most, size_t rows) {\n"
    "  const size_t n = from < to ? to - from : 0, tiles = n ? (n + most - 1) / most : 1, height = n / tiles;\n"
    "  return from + (rows <= height ? n : rows == height + 1 ? n % tiles * rows : 0);\n"
    "}\n"
    "SY_FN size_t sy_index(int32_t v, int32_t lo, int32_t hi) { return (size_t)(v < lo ? lo : v > hi ? hi : v); }\n"
    "SY_FN uint32_t sy_bits(float x) {\n"
    "  uint32_t u;\n"
    "  memcpy(&u, &x, sizeof u);\n"
    "  return u;\n"
    "}\n"
    "SY_FN float sy_float(uint32_t u) {\n"
    "  float x;\n"
    "  memcpy(&x, &u, sizeof x);\n"
    "  return x;\n"
    "}\n"
    "SY_FN int32_t sy_int(uint32_t u) { return u < 0x80000000u ? (int32_t)u : -(int32_t)~u - 1; }\n"
    "SY_FN int32_t sy_whole(float x) { // towards zero; the nearest of what is out of range, 0 of NaN\n"
    "  if (!(x >= -2147483648.0f)) return x < 0 ? INT32_MIN : 0;\n"
    "  return x < 2147483648.0f ? (int32_t)x : INT32_MAX;\n"
    "}\n"
    "SY_FN int32_t sy_add_i32(int32_t a, int32_t b) { return sy_int((uint32_t)a + (uint32_t)b); }\n"
    "SY_FN int32_t sy_sub_i32(int32_t a, int32_t b) { return sy_int((uint32_t)a - (uint32_t)b); }\n"
    "SY_FN int32_t sy_mul_i32(int32_t a, int32_t b) { return sy_int((uint32_t)a * (uint32_t)b); }\n"
    "SY_FN int32_t sy_xor_i32(int32_t a, int32_t b) { return sy_int((uint32_t)a ^ (uint32_t)b); }\n"
    "SY_FN int32_t sy_shr_i32(int32_t a, int32_t b) { return sy_int((uint32_t)a >> (b & 31)); }\n"
    "SY_FN int32_t sy_rotl_i32(int32_t a, int32_t b) {\n"
    "  return sy_int((uint32_t)a << (b & 31) | (uint32_t)a >> (-(uint32_t)b & 31));\n"
    "}\n"
    "SY_FN int32_t sy_max_i32(int32_t a, int32_t b) { return a > b ? a : b; }\n"
    "SY_FN int32_t sy_min_i32(int32_t a, int32_t b) { return a < b ? a : b; }\n"
    "SY_FN float sy_max_f32(float a, float b) { return a > b ? a : b; }\n"
    "SY_FN float sy_min_f32(float a, float b) { return a < b ? a : b; }\n"
    "SY_FN int sy_lt_f32(float a, float b) { return a < b; }\n"
    "SY_FN int sy_le_f32(float a, float b) { return a <= b; }\n"
    "SY_FN int sy_eq_f32(float a, float b) { return a == b; }\n"
    "SY_FN int sy_lt_i32(int32_t a, int32_t b) { return a < b; }\n"
    "SY_FN int sy_le_i32(int32_t a, int32_t b) { return a <= b; }\n"
    "SY_FN int sy_eq_i32(int32_t a, int32_t b) { return a == b; }\n"
    "SY_FN float sy_sqrt_f32(float x) { // one instruction, no errno\n"
    "#if defined(__SSE2__)\n"
    "  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));\n"
    "#elif defined(__aarch64__) && defined(__GNUC__)\n"
    "  return vget_lane_f32(vsqrt_f32(vdup_n_f32(x)), 0);\n"
    "#else\n"
    "  return sqrtf(x);\n"
    "#endif\n"
    "}\n"
    "SY_FN float sy_exp2i(float x) { return sy_float(sy_bits(x + 12583039.0f) << 23); }\n"
    "SY_FN float sy_expo(float x) { return (float)((int32_t)(sy_bits(x) >> 23) - 127); }\n"
    "SY_FN float sy_mant(float x) { return sy_float((sy_bits(x) & 0x7fffffu) | 0x3f800000u); }\n";

static const char narrow[] =
    "/* bf16 and f16: widened exactly, rounded to nearest even. */\n"
    "SY_FN float sy_bf16(uint16_t h) { return sy_float((uint32_t)h << 16); }\n"
    "SY_FN uint16_t sy_to_bf16(float x) {\n"
    "  const uint32_t u = sy_bits(x);\n"
    "  return (uint16_t)(x == x ? (u + 0x7fffu + (u >> 16 & 1u)) >> 16 : u >> 16 | 0x40u);\n"
    "}\n"
    "SY_FN float sy_f16(uint16_t h) {\n"
    "  const uint32_t a = h & 0x7fffu, sign = (uint32_t)(h & 0x8000u) << 16;\n"
    "  if (a < 0x400u) return sy_float(sy_bits((float)(int32_t)a * 5.9604645e-8f) | sign); /* in steps of 2^-24 */\n"
    "  if (a > 0x7c00u) return sy_float(a << 13 | 0x7fc00000u | sign);\n"
    "  return sy_float(((a << 13) + (a < 0x7c00u ? 0x38000000u : 0x70000000u)) | sign);\n"
    "}\n"
    "SY_FN uint16_t sy_to_f16(float x) {\n"
    "  const uint32_t u = sy_bits(x), a = u & 0x7fffffffu, sign = u >> 16 & 0x8000u;\n"
    "  if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x1ffu));\n"
    "  if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);\n"
    "  if (a < 0x38800000u) return (uint16_t)(sign | (sy_bits(sy_float(a) + 0.5f) - 0x3f000000u));\n"
    "  return (uint16_t)(sign | (a + 0xfffu + (a >> 13 & 1u) - 0x38000000u) >> 13);\n"
    "}\n";

static const char codes[] =
    "#if defined(__SSE2__) && defined(__GNUC__)\n"
    "#define SY_PIN(x) __asm__(\"\" : \"+x\"(x)) /* in a register, from here on */\n"
    "#else\n"
    "#define SY_PIN(x) (void)0\n"
    "#endif\n"
    "SY_FN int32_t sy_magn(float x) { return (int32_t)(sy_bits(x) & 0x7fffffffu); }\n"
    "SY_FN float sy_real(int32_t a) { return sy_float((uint32_t)a); }\n"
    "/* Parts of a word, with their signs; and the word of two halves. */\n"
    "SY_FN int32_t sy_byte(int32_t a, int i) { return (int8_t)(uint8_t)((uint32_t)a >> 8 * i); }\n"
    "SY_FN int32_t sy_half(int32_t a, int i) { return (int16_t)(uint16_t)((uint32_t)a >> 16 * i); }\n"
    "SY_FN int32_t sy_halves(int32_t low, int32_t high) {\n"
    "  return sy_int(((uint32_t)low & 0xffffu) | (uint32_t)high << 16);\n"
    "}\n"
    "SY_FN int32_t sy_even8(int32_t a) { return sy_halves(sy_byte(a, 0), sy_byte(a, 2)); }\n"
    "SY_FN int32_t sy_odd8(int32_t a) { return sy_halves(sy_byte(a, 1), sy_byte(a, 3)); }\n"
    "SY_FN int32_t sy_dot2(int32_t s, int32_t a, int32_t b) {\n"
    "  return sy_int((uint32_t)s + (uint32_t)(sy_half(a, 0) * sy_half(b, 0)) + (uint32_t)(sy_half(a, 1) * sy_half(b, "
    "1)));\n"
    "}\n"
    "SY_FN int32_t sy_dot4(int32_t s, int32_t a, int32_t b) {\n"
    "  for (int i = 0; i < 4; i++) s = sy_add_i32(s, sy_byte(a, i) * sy_byte(b, i));\n"
    "  return s;\n"
    "}\n"
    "SY_FN int32_t sy_dot4u(int32_t s, int32_t a, int32_t b) {\n"
    "  for (int i = 0; i < 4; i++) s = sy_add_i32(s, (sy_byte(a, i) & 255) * sy_byte(b, i));\n"
    "  return s;\n"
    "}\n"
    "SY_FN int32_t sy_low4(int32_t a) { return a & 0x0f0f0f0f; }\n"
    "SY_FN int32_t sy_high4(int32_t a) { return (int32_t)((uint32_t)a >> 4 & 0x0f0f0f0fu); }\n"
    "SY_FN int32_t sy_pairs4(int32_t s, int32_t a, int32_t b) {\n"
    "  return sy_halves(sy_half(s, 0) + sy_byte(a, 0) * sy_byte(b, 0) + sy_byte(a, 1) * sy_byte(b, 1),\n"
    "                   sy_half(s, 1) + sy_byte(a, 2) * sy_byte(b, 2) + sy_byte(a, 3) * sy_byte(b, 3));\n"
    "}\n"
    "/* bf16 in the halves of a word; below 2^-56 zeros. Products of two are exact, so fma would give the same. */\n"
    "SY_FN float sy_low16(int32_t a) { return sy_float((uint32_t)a << 16); }\n"
    "SY_FN float sy_high16(int32_t a) { return sy_float((uint32_t)a & 0xffff0000u); }\n"
    "SY_FN int32_t sy_round16(float x) {\n"
    "  const uint32_t u = sy_bits(x), a = u & 0x7fffffffu;\n"
    "  if (a < 0x23800000u) return (int32_t)(u >> 31 << 15);\n"
    "  return (int32_t)(a > 0x7f800000u ? u >> 16 | 0x40u : (u + 0x7fffu + (u >> 16 & 1u)) >> 16);\n"
    "}\n"
    "SY_FN float sy_dot2b(float s, int32_t a, int32_t b) {\n"
    "  s = s + sy_high16(a) * sy_high16(b);\n"
    "  return s + sy_low16(a) * sy_low16(b);\n"
    "}\n";

// clang-format off
static const IsaRow rows[] = {
    ISA(load, F32, 1, "%e"),
    ISA(load, F16, 1, "sy_f16(%e)"),
    ISA(load, BF16, 1, "sy_bf16(%e)"),
    ISA(store, F16, 1, "%e = sy_to_f16(%0)"),
    ISA(store, BF16, 1, "%e = sy_to_bf16(%0)"),
    ISA(load, I32, 1, "%e"),
    ISA(store, F32, 1, "%e = %0"),
    ISA(store, I32, 1, "%e = %0"),
    ISA(store, BOOL, 1, "%e = (uint8_t)%0"),
    ISA(bcast, F32, 1, "%e"),
    ISA(bcast, I32, 1, "%e"),
    ISA(loadm, BOOL, 1, "(%e != 0)"),
    ISA(prefetch, F32, 1, "SY_PREFETCH(%b, %n)"),
    ISA(prefetch, I32, 1, "SY_PREFETCH(%b, %n)"),
    ISA(prefetch, BOOL, 1, "SY_PREFETCH(%b, %n)"),
    ISA(const, F32, 1, "%i"),
    ISA(const, I32, 1, "%i"),
    ISA(iota, F32, 1, "0.0f"),
    ISA(iota, I32, 1, "0"),
    ISA(index, F32, 1, "(float)%i"),
    ISA(index, I32, 1, "%i"),
    ISA(splat, F32, 1, "%0"),
    ISA(splat, I32, 1, "%0"),
    ISA(lane0, F32, 1, "%0"),
    ISA(lane0, I32, 1, "%0"),
    ISA(add, F32, 1, "(%0 + %1)"),
    ISA(sub, F32, 1, "(%0 - %1)"),
    ISA(mul, F32, 1, "(%0 * %1)"),
    ISA(div, F32, 1, "(%0 / %1)"),
    ISA(max, F32, 1, "sy_max_f32(%0, %1)"),
    ISA(min, F32, 1, "sy_min_f32(%0, %1)"),
    ISA(add, I32, 1, "sy_add_i32(%0, %1)"),
    ISA(sub, I32, 1, "sy_sub_i32(%0, %1)"),
    ISA(mul, I32, 1, "sy_mul_i32(%0, %1)"),
    ISA(max, I32, 1, "sy_max_i32(%0, %1)"),
    ISA(min, I32, 1, "sy_min_i32(%0, %1)"),
    ISA(sqrt, F32, 1, "sy_sqrt_f32(%0)"),
    ISA(exp2i, F32, 1, "sy_exp2i(%0)"),
    ISA(expo, F32, 1, "sy_expo(%0)"),
    ISA(mant, F32, 1, "sy_mant(%0)"),
    ISA(xor, I32, 1, "sy_xor_i32(%0, %1)"),
    ISA(shr, I32, 1, "sy_shr_i32(%0, %1)"),
    ISA(rotl, I32, 1, "sy_rotl_i32(%0, %1)"),
    ISA(magn, I32, 1, "sy_magn(%0)"),
    ISA(real, F32, 1, "sy_real(%0)"),
    ISA(even8, I32, 1, "sy_even8(%0)"),
    ISA(odd8, I32, 1, "sy_odd8(%0)"),
    ISA(dot2, I32, 1, "sy_dot2(%0, %1, %2)"),
    ISA(dot4, I32, 1, "sy_dot4(%0, %1, %2)"),
    ISA(dot4u, I32, 1, "sy_dot4u(%0, %1, %2)"),
    ISA(low4, I32, 1, "sy_low4(%0)"),
    ISA(high4, I32, 1, "sy_high4(%0)"),
    ISA(pairs4, I32, 1, "sy_pairs4(%0, %1, %2)"),
    ISA(round16, I32, 1, "sy_round16(%0)"),
    ISA(join16, I32, 1, "sy_halves(%0, %1)"),
    ISA(low16, F32, 1, "sy_low16(%0)"),
    ISA(high16, F32, 1, "sy_high16(%0)"),
    ISA(dot2b, F32, 1, "sy_dot2b(%0, %1, %2)"),
    ISA(cvt, I32, 1, "(float)%0"),
    ISA(cvt, F32, 1, "sy_whole(%0)"),
    ISA(lt, F32, 1, "sy_lt_f32(%0, %1)"),
    ISA(le, F32, 1, "sy_le_f32(%0, %1)"),
    ISA(eq, F32, 1, "sy_eq_f32(%0, %1)"),
    ISA(lt, I32, 1, "sy_lt_i32(%0, %1)"),
    ISA(le, I32, 1, "sy_le_i32(%0, %1)"),
    ISA(eq, I32, 1, "sy_eq_i32(%0, %1)"),
    ISA(and, BOOL, 1, "(%0 & %1)"),
    ISA(or, BOOL, 1, "(%0 | %1)"),
    ISA(not, BOOL, 1, "(!%0)"),
    ISA(select, F32, 1, "(%0 ? %1 : %2)"),
    ISA(select, I32, 1, "(%0 ? %1 : %2)"),
    ISA(mtob, F32, 1, "(float)%0"),
    ISA(mtob, I32, 1, "(int32_t)%0"),
    ISA(hadd, F32, 1, "%0"),
    ISA(hadd, I32, 1, "%0"),
    ISA(hmax, F32, 1, "%0"),
    ISA(hmax, I32, 1, "%0"),
};

const Target target_scalar = {.name = "scalar", .lanes = 1, TEXTS};
