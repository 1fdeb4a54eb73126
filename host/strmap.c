// strmap.c: see strmap.h.
#include "strmap.h"

#include <stdlib.h>
#include <string.h>

static size_t hash(const char *s, size_t n) { // FNV-1a
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
  return (size_t)(h ^ h >> 32);
}

bool strmap_init(StrMap *m, size_t n) {
  size_t slots = 16;
  while (slots < 2 * n) slots *= 2;
  m->slot = calloc(slots, sizeof *m->slot);
  m->mask = slots - 1;
  return m->slot != NULL;
}

static StrMapEntry *place(const StrMap *m, const char *s, size_t n) {
  size_t i = hash(s, n) & m->mask;
  while (m->slot[i].s && (m->slot[i].n != n || memcmp(m->slot[i].s, s, n) != 0)) i = (i + 1) & m->mask;
  return &m->slot[i];
}

void strmap_put(StrMap *m, const char *s, size_t n, int32_t value) {
  StrMapEntry *e = place(m, s, n);
  if (!e->s) *e = (StrMapEntry){s, n, value};
}

int32_t strmap_find(const StrMap *m, const char *s, size_t n) {
  const StrMapEntry *e = place(m, s, n);
  return e->s ? e->value : -1;
}

void strmap_free(StrMap *m) {
  free(m->slot);
  *m = (StrMap){0};
}
