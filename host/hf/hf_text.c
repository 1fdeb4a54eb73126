// hf_text.c: see hf_parts.h.
#include "hf_parts.h"

#include <stdlib.h>
#include <string.h>

// Normalisation may make a text longer, and steps may follow each other; no text gets longer than this.
enum { MOST_BYTES = 1 << 28 };

bool hf_put(HfText *t, const char *s, size_t n) {
  if (n > MOST_BYTES - t->n) return false;
  if (t->n + n + 1 > t->room) {
    size_t room = 2 * (t->n + n) + 64;
    char *at = realloc(t->s, room);
    if (!at) return false;
    t->s = at;
    t->room = room;
  }
  if (n) memcpy(t->s + t->n, s, n);
  t->n += n;
  t->s[t->n] = 0;
  return true;
}

bool hf_put_char(HfText *t, uint32_t c) {
  char s[4];
  return hf_put(t, s, host_utf8_put(c, s));
}

uint32_t hf_char(const char *s, size_t *len) {
  const unsigned char *p = (const unsigned char *)s;
  *len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
  switch (*len) {
  case 1: return p[0];
  case 2: return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
  case 3: return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
  default: return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
  }
}

bool hf_add_piece(HfPieces *p, HfPiece piece) {
  if (!piece.n) return true;
  if (p->n == p->room) {
    size_t room = 2 * p->room + 64;
    HfPiece *at = realloc(p->at, room * sizeof *at);
    if (!at) return false;
    p->at = at;
    p->room = room;
  }
  p->at[p->n++] = piece;
  return true;
}

bool hf_add_match(HfMatches *m, size_t at, size_t end, bool is) {
  if (m->n == m->room) {
    size_t room = 2 * m->room + 64;
    HfMatch *all = realloc(m->at, room * sizeof *all);
    if (!all) return false;
    m->at = all;
    m->room = room;
  }
  m->at[m->n++] = (HfMatch){at, end, is};
  return true;
}

static bool add_part(HfPieces *out, HfPiece whole, size_t at, size_t end) {
  size_t zero = at < whole.zero ? whole.zero - at : 0;
  return hf_add_piece(out, (HfPiece){whole.at + at, end - at, zero < end - at ? zero : end - at, -1});
}

// Joins runs in place, as the library folds them: a match goes to what stands before it, or everything to what it is
// equal to.
static void join_back(HfMatches *m, bool contiguous) {
  size_t n = 0;
  bool before = false;
  for (size_t i = 0; i < m->n; i++) {
    HfMatch now = m->at[i];
    bool join = n && (contiguous ? now.is == before : now.is && !before);
    if (join)
      m->at[n - 1].end = now.end;
    else
      m->at[n++] = now;
    before = now.is;
  }
  m->n = n;
}

static void join_ahead(HfMatches *m) {
  size_t to = m->n;
  bool before = false;
  for (size_t i = m->n; i-- > 0;) {
    HfMatch now = m->at[i];
    if (now.is && !before && to < m->n)
      m->at[to].at = now.at;
    else
      m->at[--to] = now;
    before = now.is;
  }
  if (to) memmove(m->at, m->at + to, (m->n - to) * sizeof *m->at);
  m->n -= to;
}

bool hf_cut(HfPieces *out, HfPiece piece, HfMatches *m, HfBehaviour how) {
  bool ok = true;
  if (how == HF_PREVIOUS || how == HF_CONTIGUOUS) join_back(m, how == HF_CONTIGUOUS);
  if (how == HF_NEXT) join_ahead(m);
  for (size_t i = 0; i < m->n && ok; i++)
    if (how != HF_REMOVED || !m->at[i].is) ok = add_part(out, piece, m->at[i].at, m->at[i].end);
  return ok;
}

void hf_pieces_free(HfPieces *p) {
  free(p->text.s);
  free(p->at);
  *p = (HfPieces){0};
}

uint32_t hf_byte_char(unsigned char b) {
  return b <= 32 ? 256u + b : b >= 127 && b <= 160 ? 162u + b : b == 173 ? 323u : b;
}

int hf_char_byte(uint32_t c) {
  if ((c > 32 && c < 127) || (c > 160 && c < 256 && c != 173)) return (int)c;
  return c >= 256 && c <= 288 ? (int)c - 256 : c > 288 && c <= 322 ? (int)c - 162 : c == 323 ? 173 : -1;
}

bool hf_put_bytes(const char *s, size_t n, size_t zero, HfText *out) {
  bool ok = true;
  for (size_t i = 0; i < n && ok; i++) {
    ok = hf_put_char(out, hf_byte_char((unsigned char)s[i]));
    if (i + 1 == zero) out->zero = out->n;
  }
  return ok;
}
