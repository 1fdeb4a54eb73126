// strmap.c: see strmap.h.
#include "strmap.h"

#include <stdlib.h>
#include <string.h>

static uint64_t hash(const char *s, size_t n) {
  uint64_t h = strmap_hash();
  for (size_t i = 0; i < n; i++) h = strmap_hash_byte(h, s[i]);
  return h;
}

bool strmap_init(StrMap *m, size_t n) {
  size_t slots = 16;
  while (slots < 2 * n) slots *= 2;
  m->slot = calloc(slots, sizeof *m->slot);
  m->mask = slots - 1;
  return m->slot != NULL;
}

static StrMapEntry *place(const StrMap *m, const char *s, size_t n, uint64_t h) {
  size_t i = (size_t)(h ^ h >> 32) & m->mask;
  while (m->slot[i].s && (m->slot[i].n != n || memcmp(m->slot[i].s, s, n) != 0)) i = (i + 1) & m->mask;
  return &m->slot[i];
}

void strmap_put(StrMap *m, const char *s, size_t n, int32_t value) {
  StrMapEntry *e = place(m, s, n, hash(s, n));
  if (!e->s) *e = (StrMapEntry){s, n, value};
}

void strmap_set(StrMap *m, const char *s, size_t n, int32_t value) {
  *place(m, s, n, hash(s, n)) = (StrMapEntry){s, n, value};
}

int32_t strmap_find_hashed(const StrMap *m, const char *s, size_t n, uint64_t h) {
  const StrMapEntry *e = place(m, s, n, h);
  return e->s ? e->value : -1;
}

int32_t strmap_find(const StrMap *m, const char *s, size_t n) {
  return strmap_find_hashed(m, s, n, hash(s, n));
}

void strmap_free(StrMap *m) {
  free(m->slot);
  *m = (StrMap){0};
}
