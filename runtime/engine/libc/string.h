// string.h: what the engine uses of <string.h>, for machines whose C library is not here when it is compiled to
// bitcode.
#ifndef SY_ENGINE_STRING_H
#define SY_ENGINE_STRING_H

#include <stddef.h>

#if defined(__wasm__) // nothing but the engine may be there
#define memcpy __builtin_memcpy
#define memset __builtin_memset
static inline int memcmp(const void *a, const void *b, size_t n) {
  const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
  for (size_t i = 0; i < n; i++)
    if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
  return 0;
}
static inline int strcmp(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a - *b;
}
#else
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
int strcmp(const char *a, const char *b);
#endif

#endif
