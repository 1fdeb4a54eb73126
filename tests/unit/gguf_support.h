// gguf_support.h: GGUF files put together byte by byte.
#ifndef SY_TEST_GGUF_SUPPORT_H
#define SY_TEST_GGUF_SUPPORT_H

#include "torch_support.h"

enum { G_U8 = 0, G_U16 = 2, G_U32 = 4, G_I32 = 5, G_F32 = 6, G_BOOL = 7, G_STRING = 8, G_ARRAY = 9, G_U64 = 10 };
enum { G_FLOAT = 0, G_HALF = 1, G_Q8_0 = 8, G_Q4_K = 12 };

static inline void g_text(Bytes *b, const char *s) {
  put_int(b, strlen(s), 8);
  put_text(b, s);
}
static inline void g_head(Bytes *b, uint64_t tensors, uint64_t values) {
  put_text(b, "GGUF");
  put_int(b, 3, 4);
  put_int(b, tensors, 8);
  put_int(b, values, 8);
}
static inline void g_number(Bytes *b, const char *key, uint32_t type, uint64_t x, int bytes) {
  g_text(b, key);
  put_int(b, type, 4);
  put_int(b, x, bytes);
}
static inline void g_float(Bytes *b, const char *key, float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  g_number(b, key, G_F32, bits, 4);
}
static inline void g_string(Bytes *b, const char *key, const char *s) {
  g_text(b, key);
  put_int(b, G_STRING, 4);
  g_text(b, s);
}
// Axes as the file has them, the fastest first.
static inline void g_tensor(Bytes *b, const char *name, uint32_t rank, const uint64_t *axis, uint32_t type,
                            uint64_t offset) {
  g_text(b, name);
  put_int(b, rank, 4);
  for (uint32_t i = 0; i < rank; i++) put_int(b, axis[i], 8);
  put_int(b, type, 4);
  put_int(b, offset, 8);
}
static inline void g_pad(Bytes *b, size_t align) {
  while (b->n % align) put_int(b, 0, 1);
}

#endif
