// strmap.c: see strmap.h. Building: the sorted strings of a node are cut into groups with the same next byte; each
// group is a node below it, whose bytes are what all of the group share. Nodes wait in the order in which they were
// made.
#include "strmap.h"

#include <stdlib.h>
#include <string.h>

bool strmap_init(StrMap *m, size_t n) {
  *m = (StrMap){.entry = malloc((n + 1) * sizeof *m->entry)};
  return m->entry != NULL;
}

void strmap_put(StrMap *m, const char *s, size_t n, int32_t value) {
  m->entry[m->n++] = (StrEntry){s, n, value};
}

static int by_string(const void *x, const void *y) {
  const StrEntry *a = x, *b = y;
  size_t n = a->n < b->n ? a->n : b->n;
  int order = n ? memcmp(a->s, b->s, n) : 0;
  if (order) return order;
  if (a->n != b->n) return a->n < b->n ? -1 : 1;
  return a->value < b->value ? -1 : a->value > b->value;
}

typedef struct Waiting { // what lies below a node that is not opened yet: entries [lo, hi), which share depth bytes
  size_t lo, hi, depth;
} Waiting;

// Adds the node of entries [lo, hi), which share `from` bytes or more.
static void add_node(StrMap *m, Waiting *waiting, size_t lo, size_t hi, size_t from, StrMapRule rule) {
  const StrEntry *first = &m->entry[lo], *last = &m->entry[hi - 1];
  size_t depth = from, most = first->n < last->n ? first->n : last->n;
  while (depth < most && first->s[depth] == last->s[depth]) depth++;
  if (!m->nodes) depth = 0; // the root has no bytes of its own
  StrNode node = {.s = first->s + from, .n = (uint32_t)(depth - from), .value = -1};
  if (node.n) node.byte = (unsigned char)node.s[0];
  for (; lo < hi && m->entry[lo].n == depth; lo++)
    if (node.value < 0 || rule == STRMAP_LAST) node.value = m->entry[lo].value;
  waiting[m->nodes] = (Waiting){lo, hi, depth};
  m->node[m->nodes++] = node;
}

static void open_node(StrMap *m, Waiting *waiting, size_t i, StrMapRule rule) {
  Waiting w = waiting[i];
  m->node[i].kid = (uint32_t)m->nodes;
  for (size_t end; w.lo < w.hi; w.lo = end) {
    for (end = w.lo + 1; end < w.hi && m->entry[end].s[w.depth] == m->entry[w.lo].s[w.depth];) end++;
    add_node(m, waiting, w.lo, end, w.depth, rule);
  }
  m->node[i].kids = (uint16_t)(m->nodes - m->node[i].kid);
}

bool strmap_build(StrMap *m, StrMapRule rule) {
  Waiting *waiting = malloc((2 * m->n + 1) * sizeof *waiting);
  m->node = malloc((2 * m->n + 1) * sizeof *m->node);
  bool ok = waiting && m->node;
  if (ok && m->n) {
    qsort(m->entry, m->n, sizeof *m->entry, by_string);
    add_node(m, waiting, 0, m->n, 0, rule);
    for (size_t i = 0; i < m->nodes; i++) open_node(m, waiting, i, rule);
  } else if (ok) {
    m->node[m->nodes++] = (StrNode){.value = -1};
  }
  free(waiting);
  free(m->entry);
  m->entry = NULL;
  return ok;
}

bool strmap_step(StrWalk *w, char c) {
  const StrNode *at = &w->map->node[w->node];
  if (w->used < at->n) {
    if (at->s[w->used] != c) return false;
    w->used++;
    return true;
  }
  const StrNode *kid = w->map->node + at->kid;
  size_t lo = 0, hi = at->kids;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (kid[mid].byte < (unsigned char)c)
      lo = mid + 1;
    else
      hi = mid;
  }
  if (lo == at->kids || kid[lo].byte != (unsigned char)c) return false;
  w->node = at->kid + (uint32_t)lo;
  w->used = 1;
  return true;
}

int32_t strmap_here(const StrWalk *w) {
  const StrNode *at = &w->map->node[w->node];
  return w->used == at->n ? at->value : -1;
}

int32_t strmap_find(const StrMap *m, const char *s, size_t n) {
  StrWalk w = strmap_walk(m);
  for (size_t i = 0; i < n; i++)
    if (!strmap_step(&w, s[i])) return -1;
  return strmap_here(&w);
}

void strmap_free(StrMap *m) {
  free(m->entry);
  free(m->node);
  *m = (StrMap){0};
}
