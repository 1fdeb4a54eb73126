// arena.c: bump allocation. One list of blocks; a mark remembers a block and a fill level, a reset frees what is newer.
// Invariant: memory handed out is zero, 16-byte aligned and stays put until arena_free or a reset behind its mark.
#include "base.h"

#include <stdlib.h>
#include <string.h>

struct ArenaBlock {
  ArenaBlock *next; // older block
  size_t used, cap;
  size_t pad_;
};

enum { ARENA_BLOCK = 64 * 1024, ARENA_ALIGN = 16 };

void *arena_alloc(Arena *a, size_t bytes) {
  if (bytes > SIZE_MAX / 2) ICE("allocation of %zu bytes", bytes);
  size_t need = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
  if (!need) need = ARENA_ALIGN;
  ArenaBlock *b = a->head;
  if (!b || b->cap - b->used < need) {
    size_t cap = need > ARENA_BLOCK ? need : ARENA_BLOCK;
    b = malloc(sizeof *b + cap);
    if (!b) out_of_memory(cap);
    *b = (ArenaBlock){.next = a->head, .cap = cap};
    a->head = b;
  }
  char *p = (char *)(b + 1) + b->used;
  b->used += need;
  return memset(p, 0, need);
}

void *arena_grow(Arena *a, const void *old, size_t old_bytes, size_t new_bytes) {
  char *p = arena_alloc(a, new_bytes);
  if (old_bytes) memcpy(p, old, old_bytes < new_bytes ? old_bytes : new_bytes);
  return p;
}

ArenaMark arena_mark(Arena *a) {
  return (ArenaMark){a->head, a->head ? a->head->used : 0};
}

void arena_reset(Arena *a, ArenaMark m) {
  while (a->head != m.block) {
    ArenaBlock *next = a->head->next;
    free(a->head);
    a->head = next;
  }
  if (a->head) a->head->used = m.used;
}

void arena_free(Arena *a) {
  arena_reset(a, (ArenaMark){NULL, 0});
}

void arena_adopt(Arena *a, Arena *from) {
  ArenaBlock **end = &from->head;
  while (*end) end = &(*end)->next;
  if (a->head) { // behind the block that is being filled
    *end = a->head->next;
    a->head->next = from->head;
  } else {
    a->head = from->head;
  }
  from->head = NULL;
}

char *arena_strndup(Arena *a, const char *s, size_t n) {
  char *p = arena_alloc(a, n + 1);
  if (n) memcpy(p, s, n);
  return p;
}

char *arena_strdup(Arena *a, const char *s) {
  return arena_strndup(a, s, strlen(s));
}

char *arena_printf(Arena *a, const char *fmt, ...) {
  va_list ap, aq;
  va_start(ap, fmt);
  va_copy(aq, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  CHECK(n >= 0);
  char *p = arena_alloc(a, (size_t)n + 1);
  vsnprintf(p, (size_t)n + 1, fmt, aq);
  va_end(aq);
  return p;
}
