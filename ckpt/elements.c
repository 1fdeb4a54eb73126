// elements.c - element types, and the elements of a tensor as floats and whole numbers. See safetensors.h.
#include "stfile.h"

#include <string.h>

static const struct {
  const char *name;
  size_t size;
} dtype_info[ST_DTYPE_COUNT] = {
    [ST_F64] = {"F64", 8}, [ST_F32] = {"F32", 4},   [ST_F16] = {"F16", 2}, [ST_BF16] = {"BF16", 2},
    [ST_I64] = {"I64", 8}, [ST_I32] = {"I32", 4},   [ST_I16] = {"I16", 2}, [ST_I8] = {"I8", 1},
    [ST_U8] = {"U8", 1},   [ST_BOOL] = {"BOOL", 1},
};

const char *st_type_name(const StTensor *t) {
  return t->foreign ? t->foreign : t->code ? t->code->blocks->name : st_dtype_name(t->dtype);
}

StDtype st_value_type(const StTensor *t) {
  return t->code ? ST_F32 : t->dtype;
}

const char *st_dtype_name(StDtype d) {
  return (unsigned)d < ST_DTYPE_COUNT ? dtype_info[d].name : "?";
}

bool st_dtype_by_name(const char *name, StDtype *out) {
  for (StDtype d = 0; d < ST_DTYPE_COUNT; d++)
    if (!strcmp(dtype_info[d].name, name)) return *out = d, true;
  return false;
}

size_t st_dtype_size(StDtype d) {
  return (unsigned)d < ST_DTYPE_COUNT ? dtype_info[d].size : 0;
}

bool st_dtype_is_float(StDtype d) {
  return d == ST_F64 || d == ST_F32 || d == ST_F16 || d == ST_BF16;
}

bool st_dtype_is_whole(StDtype d) {
  return d == ST_I64 || d == ST_I32 || d == ST_I16 || d == ST_I8 || d == ST_U8;
}

// A product over any of the axes is a number, whatever the others are: an extent of 0 is counted as 1, and the room
// that is left holds the widest element.
bool st_add_axis(StTensor *t, uint64_t extent, uint64_t *product) {
  uint64_t n = extent ? extent : 1;
  if (t->rank == ST_MAX_RANK || n > INT64_MAX / 16 / *product) return false;
  *product *= n;
  t->shape[t->rank++] = (int64_t)extent;
  return true;
}

int64_t st_elements(const StTensor *t) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++) n *= t->shape[i];
  return n;
}

static float from_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

// IEEE half to float, exact; subnormals are renormalised, NaN keeps its payload.
float st_half(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, fraction = h & 1023u;
  if (exponent == 31) return from_bits(sign | 0x7f800000u | fraction << 13);
  if (exponent) return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
  float f = (float)fraction * 0x1p-24f;
  return sign ? -f : f;
}

bool st_plain_to_f32(StDtype type, const uint8_t *src, float *dst, size_t n) {
  switch (type) {
  case ST_F32:
    if (n) memcpy(dst, src, n * sizeof *dst);
    return true;
  case ST_F64:
    for (size_t i = 0; i < n; i++) {
      double d;
      memcpy(&d, src + 8 * i, sizeof d);
      dst[i] = (float)d;
    }
    return true;
  case ST_F16:
    for (size_t i = 0; i < n; i++) dst[i] = st_half((uint16_t)(src[2 * i] | src[2 * i + 1] << 8));
    return true;
  case ST_BF16:
    for (size_t i = 0; i < n; i++) dst[i] = from_bits((uint32_t)src[2 * i] << 16 | (uint32_t)src[2 * i + 1] << 24);
    return true;
  default: return false;
  }
}

bool st_to_f32(const StTensor *t, float *dst, size_t first, size_t n) {
  size_t size = st_dtype_size(t->dtype);
  size_t total = t->code ? (size_t)st_elements(t) : size ? t->bytes / size : 0;
  if (first > total || n > total - first) return false;
  if (t->code) return st_code_to_f32(t, dst, first, n);
  return st_plain_to_f32(t->dtype, (const uint8_t *)t->data + first * size, dst, n);
}

bool st_to_f64(const StTensor *t, double *dst, size_t first, size_t n) {
  float part[256];
  size_t total = t->bytes / sizeof *dst;
  if (t->dtype == ST_F64) {
    if (first > total || n > total - first) return false;
    if (n) memcpy(dst, (const uint8_t *)t->data + first * sizeof *dst, n * sizeof *dst);
    return true;
  }
  if (!st_to_f32(t, part, first, 0)) return false;
  for (size_t at = 0, k; at < n; at += k) {
    k = n - at < 256 ? n - at : 256;
    if (!st_to_f32(t, part, first + at, k)) return false;
    for (size_t i = 0; i < k; i++) dst[at + i] = (double)part[i];
  }
  return true;
}

// A whole number of `size` bytes, little-endian.
static int64_t from_bytes(const uint8_t *p, size_t size, bool has_sign) {
  uint64_t x = 0;
  for (size_t i = 0; i < size; i++) x |= (uint64_t)p[i] << (8 * i);
  if (has_sign && size < 8 && x >> (8 * size - 1)) x |= UINT64_MAX << (8 * size);
  return (int64_t)x;
}

bool st_to_i32(const StTensor *t, int32_t *dst, size_t first, size_t n) {
  size_t size = st_dtype_size(t->dtype), total = size ? t->bytes / size : 0;
  if (!st_dtype_is_whole(t->dtype) || first > total || n > total - first) return false;
  for (size_t i = 0; i < n; i++) {
    int64_t x = from_bytes((const uint8_t *)t->data + (first + i) * size, size, t->dtype != ST_U8);
    if (x < INT32_MIN || x > INT32_MAX) return false;
    dst[i] = (int32_t)x;
  }
  return true;
}

static uint32_t to_bits(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

static uint16_t to_bfloat(float f) {
  uint32_t bits = to_bits(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40); // NaN stays one
  return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

static uint16_t to_half(float f) {
  uint32_t bits = to_bits(f), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
  if (size >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); // rounds to 65536 or more
  if (size < 0x38800000u) {                                   // below 2^-14: fixed steps of 2^-24
    float steps = from_bits(size) * 0x1p24f;
    uint32_t whole = (uint32_t)steps;
    float rest = steps - (float)whole;
    whole += rest > 0.5f || (rest == 0.5f && (whole & 1));
    return (uint16_t)(sign | whole);
  }
  return (uint16_t)(sign | (size - 0x38000000u + 0xfffu + (size >> 13 & 1)) >> 13);
}

size_t st_from_f32(StDtype d, const float *src, void *dst, size_t n) {
  uint16_t (*convert)(float) = d == ST_F16 ? to_half : to_bfloat;
  uint16_t infinite = d == ST_F16 ? 0x7c00u : 0x7f80u;
  size_t overflows = 0;
  if (d == ST_F32 && n) memcpy(dst, src, n * sizeof *src);
  if (d == ST_F32) return 0;
  if (d != ST_F16 && d != ST_BF16) return SIZE_MAX;
  for (size_t i = 0; i < n; i++) {
    uint16_t h = convert(src[i]);
    overflows += (h & 0x7fffu) == infinite && (to_bits(src[i]) & 0x7fffffffu) != 0x7f800000u;
    memcpy((uint8_t *)dst + 2 * i, &h, 2);
  }
  return overflows;
}
