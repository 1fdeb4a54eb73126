// strmap.h - byte strings to numbers: the vocabularies of the tokenizers. The strings are not copied.
//
//   StrMap m;
//   strmap_init(&m, n);                       // room for n strings; false: no memory
//   strmap_put(&m, "cat", 3, 7);              // numbers ascend
//   strmap_build(&m, STRMAP_FIRST);           // of equal strings the first number (STRMAP_LAST: the last)
//   strmap_find(&m, "cat", 3);                // 7; -1 if absent
//   strmap_free(&m);
//
// A radix tree: a look-up takes as many steps as the string has bytes, whatever strings a vocabulary was made of to
// slow it down (of a hash table that would have to be a secret). All beginnings of a text are found on one way down:
//
//   StrWalk w = strmap_walk(&m);
//   for (size_t k = 0; k < n && strmap_step(&w, s[k]); k++)
//     if (strmap_here(&w) >= 0) ...           // the first k + 1 bytes are one of the strings
#ifndef SWITCHYARD_HOST_STRMAP_H
#define SWITCHYARD_HOST_STRMAP_H

#include "common/must_use.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct StrEntry {
  const char *s;
  size_t n;
  int32_t value;
} StrEntry;
typedef struct StrNode {
  const char *s;      // the bytes between the node above and this one
  uint32_t n, kid;    // how many; the first of the nodes below, ordered by their first byte
  int32_t value;      // of the string that ends here; -1: none does
  uint16_t kids;      // how many
  unsigned char byte; // the first of s
} StrNode;
typedef struct StrMap {
  StrNode *node;   // the first is the root
  StrEntry *entry; // until it is built
  size_t n, nodes;
} StrMap;
typedef struct StrWalk {
  const StrMap *map;
  uint32_t node, used; // bytes of the node's that were taken
} StrWalk;

typedef enum StrMapRule { STRMAP_FIRST, STRMAP_LAST } StrMapRule;

SY_MUST_USE bool strmap_init(StrMap *m, size_t n);
void strmap_put(StrMap *m, const char *s, size_t n, int32_t value);
SY_MUST_USE bool strmap_build(StrMap *m, StrMapRule rule); // false: no memory
int32_t strmap_find(const StrMap *m, const char *s, size_t n);
void strmap_free(StrMap *m);

static inline StrWalk strmap_walk(const StrMap *m) {
  return (StrWalk){m, 0, 0};
}
bool strmap_step(StrWalk *w, char c); // false: no string goes on like this
int32_t strmap_here(const StrWalk *w);

#endif
