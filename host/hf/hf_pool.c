// hf_pool.c: see hf_parts.h. Blocks in a list, with what has to be called when they go.
#include "hf_parts.h"

#include <stdlib.h>
#include <string.h>

struct HfBlock {
  HfBlock *next;
  void (*drop)(void *);
  void *object;
  size_t used, room;
};

enum { LEAST = 64 << 10 };

static HfBlock *add_block(HfPool *p, size_t room) {
  HfBlock *b = calloc(1, sizeof *b + room);
  if (!b) return NULL;
  b->next = p->head;
  b->room = room;
  p->head = b;
  return b;
}

void *hf_new(HfPool *p, size_t bytes) {
  if (bytes > SIZE_MAX / 2) return NULL;
  size_t need = (bytes + 15) / 16 * 16;
  HfBlock *b = p->head;
  if (!b || b->room - b->used < need) b = add_block(p, need < LEAST ? LEAST : need);
  if (!b) return NULL;
  void *at = (char *)(b + 1) + b->used;
  b->used += need;
  return at;
}

bool hf_own(HfPool *p, void *object, void (*drop)(void *)) {
  HfBlock *b = add_block(p, 0);
  if (!b) {
    drop(object);
    return false;
  }
  b->drop = drop;
  b->object = object;
  return true;
}

void hf_pool_free(HfPool *p) {
  for (HfBlock *b = p->head, *next; b; b = next) {
    next = b->next;
    if (b->drop) b->drop(b->object);
    free(b);
  }
  p->head = NULL;
}

bool hf_copy(HfPool *p, const char *s, size_t n, HfStr *out) {
  char *at = hf_new(p, n + 1);
  if (!at) return false;
  if (n) memcpy(at, s, n);
  *out = (HfStr){at, n};
  return true;
}
