// strmap.h - byte strings to numbers: the vocabularies of the tokenizers. The strings are not copied.
//
//   StrMap m;
//   strmap_init(&m, n);                       // room for n strings; false: no memory
//   strmap_put(&m, "cat", 3, 7);              // keeps the first number of a string that stands twice
//   strmap_find(&m, "cat", 3);                // 7; -1 if absent
//   strmap_free(&m);
#ifndef SWITCHYARD_HOST_STRMAP_H
#define SWITCHYARD_HOST_STRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct StrMapEntry {
  const char *s;
  size_t n;
  int32_t value;
} StrMapEntry;
typedef struct StrMap { // open addressing, a power of two of slots, at most half full
  StrMapEntry *slot;
  size_t mask;
} StrMap;

bool strmap_init(StrMap *m, size_t n);
void strmap_put(StrMap *m, const char *s, size_t n, int32_t value);
void strmap_set(StrMap *m, const char *s, size_t n, int32_t value); // keeps the last number instead
int32_t strmap_find(const StrMap *m, const char *s, size_t n);

// All beginnings of a string in one pass, which strmap_find would read again for each length (FNV-1a):
//
//   uint64_t h = strmap_hash();
//   for (size_t k = 0; k < n; k++) {
//     h = strmap_hash_byte(h, s[k]);
//     strmap_find_hashed(m, s, k + 1, h);
//   }
static inline uint64_t strmap_hash(void) {
  return 0xcbf29ce484222325u;
}
static inline uint64_t strmap_hash_byte(uint64_t h, char c) {
  return (h ^ (unsigned char)c) * 0x100000001b3u;
}
int32_t strmap_find_hashed(const StrMap *m, const char *s, size_t n, uint64_t h); // h: of these n bytes

void strmap_free(StrMap *m);

#endif
