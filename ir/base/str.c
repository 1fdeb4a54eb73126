// str.c: interned strings, text buffers, and the small helpers on bytes that several parts share.
#include "base.h"

#include <stdlib.h>
#include <string.h>

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed) { // FNV-1a with a final mix: stable, byte order free
  const unsigned char *b = p;
  uint64_t h = 0xcbf29ce484222325u ^ seed;
  for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 0x100000001b3u;
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93u;
  return h ^ (h >> 32);
}

static size_t find_slot(const Intern *in, const char *s, size_t n) {
  size_t i = (size_t)hash_bytes(s, n, 0) & (in->nslot - 1);
  while (in->slot[i] && (strncmp(in->slot[i], s, n) != 0 || in->slot[i][n])) i = (i + 1) & (in->nslot - 1);
  return i;
}

const char *intern_n(Intern *in, const char *s, size_t n) {
  if (2 * (in->used + 1) > in->nslot) {
    Intern old = *in;
    in->nslot = old.nslot ? 2 * old.nslot : 256;
    in->slot = ARENA_ARRAY(in->arena, const char *, in->nslot);
    for (size_t i = 0; i < old.nslot; i++)
      if (old.slot[i]) in->slot[find_slot(in, old.slot[i], strlen(old.slot[i]))] = old.slot[i];
  }
  size_t i = find_slot(in, s, n);
  if (!in->slot[i]) {
    in->slot[i] = arena_strndup(in->arena, s, n);
    in->used++;
  }
  return in->slot[i];
}

const char *intern(Intern *in, const char *s) {
  return intern_n(in, s, strlen(s));
}

bool is_interned(const Intern *in, const char *s) {
  return in->nslot && in->slot[find_slot(in, s, strlen(s))];
}

static void buf_reserve(Buf *b, size_t more) {
  if (b->n + more + 1 <= b->cap) return;
  size_t cap = b->cap ? b->cap : 256;
  while (cap < b->n + more + 1) cap *= 2;
  char *s = realloc(b->s, cap);
  if (!s) out_of_memory(cap);
  b->s = s;
  b->cap = cap;
}

void buf_putn(Buf *b, const char *s, size_t n) {
  buf_reserve(b, n);
  if (n) memcpy(b->s + b->n, s, n);
  b->n += n;
  b->s[b->n] = 0;
}

void buf_putc(Buf *b, char c) {
  buf_putn(b, &c, 1);
}
void buf_puts(Buf *b, const char *s) {
  buf_putn(b, s, strlen(s));
}

void buf_vprintf(Buf *b, const char *fmt, va_list ap) {
  va_list aq;
  va_copy(aq, ap);
  int n = vsnprintf(NULL, 0, fmt, aq);
  va_end(aq);
  CHECK(n >= 0);
  buf_reserve(b, (size_t)n);
  vsnprintf(b->s + b->n, (size_t)n + 1, fmt, ap);
  b->n += (size_t)n;
}

void buf_printf(Buf *b, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  buf_vprintf(b, fmt, ap);
  va_end(ap);
}

void buf_sink(void *buf, const char *s, size_t n) {
  buf_putn(buf, s, n);
}
void buf_text(Buf *b, const char *s) {
  text_escape(s, strlen(s), buf_sink, b);
}

void buf_free(Buf *b) {
  free(b->s);
  *b = (Buf){0};
}

int64_t gcd_i64(int64_t a, int64_t b) {
  while (b) {
    int64_t t = a % b;
    a = b;
    b = t;
  }
  return a < 0 ? -a : a;
}

bool word_in(const char *words, const char *word) {
  size_t n = strlen(word);
  for (words += strspn(words, " "); *words; words += strspn(words, " ")) {
    size_t length = strcspn(words, " ");
    if (length == n && !memcmp(words, word, n)) return true;
    words += length;
  }
  return false;
}
