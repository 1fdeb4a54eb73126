// pool.c - see stfile.h. Blocks of one list; a large request gets a block of its own.
#include "stfile.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 * 1024 };

typedef struct StBlock {
  struct StBlock *next;
  size_t used, room; // bytes of data behind this head
} StBlock;

enum { HEAD = (sizeof(StBlock) + 15) / 16 * 16 };

void *st_alloc(StPool *p, size_t bytes) {
  if (bytes > p->limit - p->used) return NULL;
  size_t need = (bytes + 15) / 16 * 16; // cannot overflow: limits are far below SIZE_MAX
  StBlock *b = p->head;
  if (!b || need > b->room - b->used) {
    size_t room = need > BLOCK / 4 ? need : (size_t)BLOCK;
    b = calloc(1, HEAD + room);
    if (!b) return NULL;
    b->room = room;
    if (p->head && room == need) { // full at once: the block in use stays in front
      b->next = p->head->next;
      p->head->next = b;
    } else {
      b->next = p->head;
      p->head = b;
    }
  }
  void *at = (char *)b + HEAD + b->used;
  b->used += need;
  p->used += need < p->limit - p->used ? need : p->limit - p->used;
  return at;
}

char *st_copy(StPool *p, const char *s, size_t n) {
  char *to = st_alloc(p, n + 1);
  if (to && n) memcpy(to, s, n);
  return to;
}

void st_pool_free(StPool *p) {
  for (StBlock *b = p->head, *next; b; b = next) {
    next = b->next;
    free(b);
  }
  *p = (StPool){0};
}
