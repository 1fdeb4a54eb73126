// blocks.c - tensors of GGUF files whose elements lie in blocks: codes of a few bits under common scales.
//
// The values are ggml's to the bit. A half times a scale of at most 8 bits times a code of at most 6 has at most 24
// bits, so every product here is exact in f32, in any order, and at most one sum or difference is rounded: whether a
// compiler contracts it changes nothing. (Q8_K has a scale of 24 bits: one product, rounded once.)
//
// Element e of a block of 256 (K): e / 16 and e / 32 number its smaller blocks; bytes of codes serve 2 or 4 elements
// that lie 32 apart.
#include "stfile.h"

#include <string.h>

static float half_at(const uint8_t *p) {
  return st_half((uint16_t)(p[0] | p[1] << 8));
}

static int signed_byte(uint8_t b) {
  return b < 128 ? b : b - 256;
}

/* 32 elements: the low halves of 16 bytes, then the high halves ---------------------------------------------------- */
static int nibble(const uint8_t *codes, int e) {
  return codes[e % 16] >> 4 * (e / 16) & 15;
}

static int fifth_bit(const uint8_t *bits, int e) {
  return (bits[e / 8] >> e % 8 & 1) << 4;
}

static void decode_Q4_0(const uint8_t *b, float *to) { // d, codes[16]: d (q - 8)
  float d = half_at(b);
  for (int e = 0; e < 32; e++) to[e] = (float)(nibble(b + 2, e) - 8) * d;
}

static void decode_Q4_1(const uint8_t *b, float *to) { // d, m, codes[16]: d q + m
  float d = half_at(b), m = half_at(b + 2);
  for (int e = 0; e < 32; e++) to[e] = (float)nibble(b + 4, e) * d + m;
}

static void decode_Q5_0(const uint8_t *b, float *to) { // d, fifth[4], codes[16]: d (q - 16)
  float d = half_at(b);
  for (int e = 0; e < 32; e++) to[e] = (float)((nibble(b + 6, e) | fifth_bit(b + 2, e)) - 16) * d;
}

static void decode_Q5_1(const uint8_t *b, float *to) { // d, m, fifth[4], codes[16]: d q + m
  float d = half_at(b), m = half_at(b + 2);
  for (int e = 0; e < 32; e++) to[e] = (float)(nibble(b + 8, e) | fifth_bit(b + 4, e)) * d + m;
}

static void decode_Q8_0(const uint8_t *b, float *to) { // d, codes[32]: d q
  float d = half_at(b);
  for (int e = 0; e < 32; e++) to[e] = (float)signed_byte(b[2 + e]) * d;
}

/* 256 elements -------------------------------------------------------------------------------------------------------
 */
static int two_bits(const uint8_t *codes, int e) { // of 64 bytes: four elements of a half share one
  return codes[e / 128 * 32 + e % 32] >> 2 * (e % 128 / 32) & 3;
}

static int four_bits(const uint8_t *codes, int e) { // of 128 bytes: two elements of a quarter share one
  return codes[e / 64 * 32 + e % 32] >> 4 * (e % 64 / 32) & 15;
}

static void decode_Q2_K(const uint8_t *b, float *to) { // scales[16], codes[64], d, dmin: d s q - dmin m
  float d = half_at(b + 80), dmin = half_at(b + 82);
  for (int e = 0; e < 256; e++) {
    int s = b[e / 16] & 15, m = b[e / 16] >> 4;
    to[e] = d * (float)s * (float)two_bits(b + 16, e) - dmin * (float)m;
  }
}

static void decode_Q3_K(const uint8_t *b, float *to) { // third[32], codes[64], scales[12], d: d (s - 32) (q - 4)
  const uint8_t *scale = b + 96;
  float d = half_at(b + 108);
  for (int e = 0; e < 256; e++) {
    int j = e / 16, low = scale[j % 8] >> 4 * (j / 8) & 15, high = scale[8 + j % 4] >> 2 * (j / 4) & 3;
    int q = two_bits(b + 32, e) | (b[e % 32] >> e / 32 & 1) << 2;
    to[e] = d * (float)((low | high << 4) - 32) * (float)(q - 4);
  }
}

// Scale and minimum j (of 8) in the 12 bytes of Q4_K and Q5_K, 6 bits each: the first four of either stand in bytes of
// their own, whose upper two bits belong to the other four.
static int scale_of(const uint8_t *s, int j) {
  return j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
}
static int minimum_of(const uint8_t *s, int j) {
  return j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
}

static void decode_Q4_K(const uint8_t *b, float *to) { // d, dmin, scales[12], codes[128]: d s q - dmin m
  float d = half_at(b), dmin = half_at(b + 2);
  for (int j = 0; j < 8; j++) {
    float scale = d * (float)scale_of(b + 4, j), least = dmin * (float)minimum_of(b + 4, j);
    for (int e = 32 * j; e < 32 * j + 32; e++) to[e] = scale * (float)four_bits(b + 16, e) - least;
  }
}

static void decode_Q5_K(const uint8_t *b, float *to) { // d, dmin, scales[12], fifth[32], codes[128]
  float d = half_at(b), dmin = half_at(b + 2);
  for (int j = 0; j < 8; j++) {
    float scale = d * (float)scale_of(b + 4, j), least = dmin * (float)minimum_of(b + 4, j);
    for (int e = 32 * j; e < 32 * j + 32; e++)
      to[e] = scale * (float)(four_bits(b + 48, e) | (b[16 + e % 32] >> j & 1) << 4) - least;
  }
}

static void decode_Q6_K(const uint8_t *b, float *to) { // low[128], high[64], scales[16], d: d s (q - 32)
  float d = half_at(b + 208);
  for (int e = 0; e < 256; e++) {
    int j = e % 128 / 32; // low halves of 64 bytes serve two of the four, their high halves the others
    int low = b[e / 128 * 64 + j % 2 * 32 + e % 32] >> 4 * (j / 2) & 15;
    to[e] = d * (float)signed_byte(b[192 + e / 16]) * (float)((low | two_bits(b + 128, e) << 4) - 32);
  }
}

static void decode_Q8_K(const uint8_t *b, float *to) { // d (f32), codes[256], sums[16]: d q
  float d;
  memcpy(&d, b, sizeof d);
  for (int e = 0; e < 256; e++) to[e] = d * (float)signed_byte(b[4 + e]);
}

static const StBlocks types[] = {
#define PLAIN(number, type) {#type, number, 1, 0, ST_##type, NULL},
#define BLOCKS(number, name, elements, bytes) {#name, number, elements, bytes, ST_DTYPE_COUNT, decode_##name},
#define UNREAD(number, name, elements, bytes) {#name, number, elements, bytes, ST_DTYPE_COUNT, NULL},
#include "blocks.def"
};

const StBlocks *st_blocks(uint32_t number) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].number == number) return &types[i];
  return NULL;
}

// Elements as they lie in the file, from `first` on.
static bool read_run(const StTensor *t, float *dst, size_t first, size_t n) {
  const StBlocks *b = t->code->blocks;
  if (!b->decode) {
    size_t size = st_dtype_size(b->dtype);
    return size && st_plain_to_f32(b->dtype, (const uint8_t *)t->data + first * size, dst, n);
  }
  float block[ST_MAX_BLOCK];
  while (n) {
    size_t skip = first % b->elements, k = b->elements - skip < n ? b->elements - skip : n;
    const uint8_t *at = (const uint8_t *)t->data + first / b->elements * b->bytes;
    b->decode(at, k == b->elements ? dst : block);
    if (k < b->elements) memcpy(dst, block + skip, k * sizeof *dst);
    first += k;
    dst += k;
    n -= k;
  }
  return true;
}

// Where a row lies whose place among the rows of the heads is `row`: rows i and i + half of a head are neighbours in
// the file.
static size_t row_in_file(size_t row, size_t head) {
  size_t in = row % head, half = head / 2;
  return row - in + (in < half ? 2 * in : 2 * (in - half) + 1);
}

bool st_code_to_f32(const StTensor *t, float *dst, size_t first, size_t n) {
  if (!t->code->head) return read_run(t, dst, first, n);
  size_t cols = (size_t)(st_elements(t) / t->shape[0]), head = (size_t)t->code->head;
  while (n) {
    size_t col = first % cols, k = cols - col < n ? cols - col : n;
    if (!read_run(t, dst, row_in_file(first / cols, head) * cols + col, k)) return false;
    first += k;
    dst += k;
    n -= k;
  }
  return true;
}
