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
int32_t strmap_find(const StrMap *m, const char *s, size_t n);
void strmap_free(StrMap *m);

#endif
