// sentencepiece_bpe.c: see sentencepiece_bpe.h.
#include "sentencepiece_bpe.h"
#include "mergeheap.h"
#include "text.h"

#include <stdlib.h>

typedef struct Symbol { // bytes [at, at + n) of the text; n 0: it is part of the one before
  uint32_t at, n, before, next;
  bool frozen;
} Symbol;
typedef struct Merging {
  const SpmBpe *m;
  const char *s;
  Symbol *symbol;
  uint32_t count; // also the index that stands for none
  MergeHeap heap;
} Merging;

// Lets the merge of a symbol and the next wait, if it makes a piece.
static bool wait(Merging *g, uint32_t left) {
  if (left == g->count || g->symbol[left].next == g->count) return true;
  const Symbol *a = &g->symbol[left], *b = &g->symbol[a->next];
  if (a->frozen || b->frozen) return true;
  int32_t id = strmap_find(g->m->pieces, g->s + a->at, a->n + b->n);
  return id < 0 || mergeheap_push(&g->heap, (MergeWait){g->m->rank[id], left, (int32_t)(a->n + b->n)});
}

static uint32_t user_match(const SpmBpe *m, const char *s, size_t n) {
  StrWalk w = strmap_walk(m->user);
  uint32_t best = 0;
  for (size_t k = 0; k < n && strmap_step(&w, s[k]); k++)
    if (strmap_here(&w) >= 0) best = (uint32_t)k + 1;
  return best;
}

static void cut(Merging *g, size_t n) {
  for (size_t at = 0; at < n;) {
    uint32_t user = user_match(g->m, g->s + at, n - at), len = (uint32_t)host_utf8_length(g->s + at, n - at),
             i = g->count++;
    if (!len) len = 1;
    g->symbol[i] = (Symbol){(uint32_t)at, user ? user : len, i - 1, i + 1, user > 0};
    at += g->symbol[i].n;
  }
  g->symbol[0].before = g->count;
}

static bool merge(Merging *g) {
  for (uint32_t i = 0; i < g->count; i++)
    if (!wait(g, i)) return false;
  while (g->heap.n) {
    MergeWait top = mergeheap_pop(&g->heap);
    Symbol *a = &g->symbol[top.at];
    if (!a->n || a->next == g->count || a->n + g->symbol[a->next].n != (uint32_t)top.made)
      continue; // it is of the past
    Symbol *b = &g->symbol[a->next];
    a->n += b->n;
    b->n = 0;
    a->next = b->next;
    if (a->next != g->count) g->symbol[a->next].before = top.at;
    if (!wait(g, a->before) || !wait(g, top.at)) return false;
  }
  return true;
}

bool spm_bpe(const SpmBpe *m, const char *s, size_t n, SpmBest *best) {
  Merging g = {.m = m, .s = s, .symbol = malloc((n + 1) * sizeof *g.symbol)};
  bool ok = g.symbol != NULL;
  for (size_t i = 0; i <= n; i++) best[i].start = UINT32_MAX;
  if (ok && n) cut(&g, n);
  ok = ok && merge(&g);
  for (uint32_t i = 0; ok && i < g.count; i = g.symbol[i].next) {
    const Symbol *a = &g.symbol[i];
    int32_t id = strmap_find(m->pieces, s + a->at, a->n);
    best[a->at + a->n] = (SpmBest){a->at, 0, id < 0 ? m->unknown : id};
  }
  free(g.symbol);
  free(g.heap.at);
  return ok;
}
