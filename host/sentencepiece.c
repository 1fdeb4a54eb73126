// sentencepiece.c: see sentencepiece.h; merges of the kind BPE are in sentencepiece_bpe.c. The model file is a protocol
// buffer (sentencepiece_model.proto); the few fields that matter are read by hand, every length is checked against the
// bytes that are left.
#include "sentencepiece.h"
#include "sentencepiece_bpe.h"
#include "strmap.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 256 << 20, MAX_PIECE = 1024, MAX_PIECES = 4 << 20 };
// How much longer normalisation may make a text. NFKC makes at most 13 bytes of one (U+FDFA, with its spaces as
// U+2581).
enum { MOST_LONGER = 64, MAX_NORMAL = 3 * HOST_MAX_TEXT };
enum { UNIGRAM = 1, BPE };                                         // TrainerSpec.ModelType
enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE }; // SentencePiece.Type
static const char space_symbol[] = "\xe2\x96\x81";                 // U+2581
static const float UNKNOWN_PENALTY = 10;
#define NONE UINT32_MAX

typedef struct Piece {
  const char *s; // zero-ended copy
  size_t n;
  float score;
  int type;
} Piece;

struct HostSpm {
  char *bytes; // the file
  char *text;  // the pieces
  Piece *piece;
  size_t n;
  StrMap map;  // pieces that text is cut into
  StrMap user; // user-defined ones, which normalisation leaves alone
  int32_t unknown, byte[256];
  float least, most; // scores of normal pieces
  int kind;          // UNIGRAM, BPE
  uint32_t *rank;    // BPE: by id
  bool byte_fallback, whitespace_suffix, dummy_prefix, remove_extra, escape;
  const char *unknown_surface;
  size_t unknown_bytes;
  const unsigned char *trie; // little-endian 32-bit units
  size_t units;
  const char *strings; // zero-ended, behind the trie
  size_t string_bytes;
};

/* the protocol buffer -------------------------------------------------------------------------------------------------
 */
typedef struct Field {
  uint64_t number, value; // value of varint and fixed fields
  int wire;
  const unsigned char *at; // of length-delimited fields
  size_t n;
} Field;
typedef struct Reader {
  const unsigned char *at, *end;
} Reader;

static bool varint(Reader *r, uint64_t *v) {
  *v = 0;
  for (int shift = 0; shift < 64 && r->at < r->end; shift += 7) {
    unsigned char b = *r->at++;
    *v |= (uint64_t)(b & 0x7f) << shift;
    if (!(b & 0x80)) return true;
  }
  return false;
}

// The next field; 0 at the end, -1 if the bytes are no message.
static int next_field(Reader *r, Field *f) {
  uint64_t key;
  if (r->at == r->end) return 0;
  if (!varint(r, &key)) return -1;
  *f = (Field){.number = key >> 3, .wire = (int)(key & 7)};
  size_t fixed = f->wire == 1 ? 8 : f->wire == 5 ? 4 : 0;
  if (f->wire == 0) return varint(r, &f->value) ? 1 : -1;
  if (fixed) {
    if ((size_t)(r->end - r->at) < fixed) return -1;
    for (size_t i = 0; i < fixed; i++) f->value |= (uint64_t)r->at[i] << (8 * i);
    r->at += fixed;
    return 1;
  }
  uint64_t n;
  if (f->wire != 2 || !varint(r, &n) || n > (uint64_t)(r->end - r->at)) return -1;
  f->at = r->at;
  f->n = (size_t)n;
  r->at += n;
  return 1;
}

static float float_of(uint64_t bits) {
  uint32_t u = (uint32_t)bits;
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

static bool read_piece(HostSpm *m, const Field *f, char **text) {
  Reader r = {f->at, f->at + f->n};
  Piece p = {.s = *text, .type = NORMAL};
  Field g;
  int more;
  while ((more = next_field(&r, &g)) > 0) {
    if (g.number == 1 && g.wire == 2) {
      memcpy(*text, g.at, g.n);
      p.n = g.n;
    }
    if (g.number == 2 && g.wire == 5) p.score = float_of(g.value);
    if (g.number == 3 && g.wire == 0) p.type = (int)(g.value & 15);
  }
  (*text)[p.n] = 0;
  *text += p.n + 1;
  m->piece[m->n++] = p;
  return more == 0 && p.n <= MAX_PIECE && !memchr(p.s, 0, p.n);
}

static bool read_trainer(HostSpm *m, const Field *f, int *model_type) {
  Reader r = {f->at, f->at + f->n};
  Field g;
  int more;
  while ((more = next_field(&r, &g)) > 0) {
    if (g.number == 3 && g.wire == 0) *model_type = (int)(g.value & 15);
    if (g.number == 24 && g.wire == 0) m->whitespace_suffix = g.value != 0;
    if (g.number == 35 && g.wire == 0) m->byte_fallback = g.value != 0;
    if (g.number == 44 && g.wire == 2) m->unknown_surface = (const char *)g.at, m->unknown_bytes = g.n;
  }
  return more == 0;
}

static bool read_normaliser(HostSpm *m, const Field *f) {
  Reader r = {f->at, f->at + f->n};
  Field g;
  int more;
  while ((more = next_field(&r, &g)) > 0) {
    if (g.number == 3 && g.wire == 0) m->dummy_prefix = g.value != 0;
    if (g.number == 4 && g.wire == 0) m->remove_extra = g.value != 0;
    if (g.number == 5 && g.wire == 0) m->escape = g.value != 0;
    if (g.number != 2 || g.wire != 2 || !g.n) continue;
    if (g.n < 4) return false;
    uint32_t size = (uint32_t)g.at[0] | (uint32_t)g.at[1] << 8 | (uint32_t)g.at[2] << 16 | (uint32_t)g.at[3] << 24;
    if (size > g.n - 4 || size % 4 || size < 4 || size == g.n - 4 || g.at[g.n - 1] != 0) return false;
    m->trie = g.at + 4;
    m->units = size / 4;
    m->strings = (const char *)g.at + 4 + size;
    m->string_bytes = g.n - 4 - size;
    for (size_t at = 0, len; at < m->string_bytes; at += len + 1)
      if ((len = strlen(m->strings + at)) >= MAX_PIECE) return false;
  }
  return more == 0;
}

static bool is_text_piece(const Piece *p) { // one that text is cut into
  return p->type == NORMAL || p->type == USER_DEFINED || p->type == UNUSED;
}

// What the library itself refuses.
static bool check_piece(const HostSpm *m, size_t i, HostError *err) {
  const Piece *p = &m->piece[i];
  if (!p->n) return host_fail(err, "piece %zu of this SentencePiece model is empty", i);
  if (p->type == UNKNOWN && m->unknown >= 0)
    return host_fail(err, "pieces %d and %zu both stand for what is unknown", (int)m->unknown, i);
  return true;
}

static bool index_pieces(HostSpm *m, HostError *err) {
  m->least = 3.4e38f, m->most = -3.4e38f;
  if (!strmap_init(&m->map, m->n) || !strmap_init(&m->user, m->n)) return host_no_memory(err);
  for (size_t i = 0; i < m->n; i++) {
    const Piece *p = &m->piece[i];
    if (!check_piece(m, i, err)) return false;
    if (p->type == UNKNOWN) m->unknown = (int32_t)i;
    if (p->type == BYTE && p->n == 6 && !strncmp(p->s, "<0x", 3))
      m->byte[strtoul(p->s + 3, NULL, 16) & 255] = (int32_t)i;
    if (p->type == NORMAL && p->score < m->least) m->least = p->score;
    if (p->type == NORMAL && p->score > m->most) m->most = p->score;
    if (p->type == USER_DEFINED) strmap_put(&m->user, p->s, p->n, (int32_t)i);
    if (is_text_piece(p)) strmap_put(&m->map, p->s, p->n, (int32_t)i);
  }
  if (!strmap_build(&m->map, STRMAP_FIRST) || !strmap_build(&m->user, STRMAP_FIRST)) return host_no_memory(err);
  for (size_t i = 0; i < m->n; i++)
    if (is_text_piece(&m->piece[i]) && strmap_find(&m->map, m->piece[i].s, m->piece[i].n) != (int32_t)i)
      return host_fail(err, "piece %zu stands twice: '%.60s'", i, m->piece[i].s);
  return m->unknown >= 0 || host_fail(err, "it has no piece for what is unknown");
}

typedef struct Score {
  float score;
  int32_t id;
} Score;

static int by_score(const void *x, const void *y) {
  const Score *a = x, *b = y;
  return a->score != b->score ? (a->score > b->score ? -1 : 1) : 0;
}

// Ranks by score. (Pieces that are marked as unused would be taken apart again; models as they are published have
// none.)
static bool rank_pieces(HostSpm *m, HostError *err) {
  Score *all = malloc((m->n + 1) * sizeof *all);
  m->rank = malloc((m->n + 1) * sizeof *m->rank);
  bool ok = (all && m->rank) || host_no_memory(err);
  for (size_t i = 0; i < m->n && ok; i++) {
    float score = m->piece[i].score;
    all[i] = (Score){score == score ? score : 0, (int32_t)i}; // NaN has no order
    if (m->piece[i].type == UNUSED)
      ok = host_fail(
          err, "piece %zu of this SentencePiece model is marked as unused, which is not supported of the kind BPE", i);
  }
  if (ok) qsort(all, m->n, sizeof *all, by_score);
  for (size_t i = 0; i < m->n && ok; i++)
    m->rank[all[i].id] = i && all[i].score == all[i - 1].score ? m->rank[all[i - 1].id] : (uint32_t)i;
  free(all);
  return ok;
}

static bool read_model(HostSpm *m, size_t n, HostError *err) {
  Reader r = {(const unsigned char *)m->bytes, (const unsigned char *)m->bytes + n}, again = r;
  Field f;
  size_t pieces = 0;
  int more, type = 1;
  while ((more = next_field(&r, &f)) > 0) pieces += f.number == 1 && f.wire == 2;
  if (more < 0 || !pieces || pieces > MAX_PIECES) return host_fail(err, "this is no SentencePiece model");
  m->piece = calloc(pieces, sizeof *m->piece);
  m->text = malloc(n + pieces + 1);
  if (!m->piece || !m->text) return host_no_memory(err);
  char *text = m->text;
  while (next_field(&again, &f) > 0) {
    bool ok = true;
    if (f.number == 1 && f.wire == 2) ok = read_piece(m, &f, &text);
    if (f.number == 2 && f.wire == 2) ok = read_trainer(m, &f, &type);
    if (f.number == 3 && f.wire == 2) ok = read_normaliser(m, &f);
    if (!ok) return host_fail(err, "this SentencePiece model is damaged");
  }
  m->kind = type;
  if (type != UNIGRAM && type != BPE)
    return host_fail(err, "this SentencePiece model is neither of the unigram kind nor BPE");
  return index_pieces(m, err) && (type == UNIGRAM || rank_pieces(m, err));
}

HostSpm *host_spm_load_memory(const void *bytes, size_t n, HostError *err) {
  HostSpm *m = calloc(1, sizeof *m);
  if (m) m->bytes = malloc(n + 1);
  if (!m || !m->bytes) {
    free(m);
    host_no_memory(err);
    return NULL;
  }
  memcpy(m->bytes, bytes, n);
  m->unknown = -1;
  m->dummy_prefix = m->remove_extra = m->escape = true;
  m->unknown_surface = " \xe2\x81\x87 ";
  m->unknown_bytes = 5;
  for (int i = 0; i < 256; i++) m->byte[i] = -1;
  if (read_model(m, n, err)) return m;
  host_spm_free(m);
  return NULL;
}

HostSpm *host_spm_load(const char *path, HostError *err) {
  size_t n;
  HostError why;
  char *bytes = host_read_file(path, MAX_FILE, &n, err);
  HostSpm *m = bytes ? host_spm_load_memory(bytes, n, &why) : NULL;
  if (bytes && !m) host_fail(err, "%.200s: %.250s", path, why.text);
  free(bytes);
  return m;
}

void host_spm_free(HostSpm *m) {
  if (!m) return;
  strmap_free(&m->map);
  strmap_free(&m->user);
  free(m->piece);
  free(m->rank);
  free(m->text);
  free(m->bytes);
  free(m);
}

size_t host_spm_size(const HostSpm *m) {
  return m->n;
}
const char *host_spm_piece(const HostSpm *m, int32_t id) {
  return id >= 0 && (size_t)id < m->n ? m->piece[id].s : NULL;
}
bool host_spm_is_byte(const HostSpm *m, int32_t id) {
  return id >= 0 && (size_t)id < m->n && m->piece[id].type == BYTE;
}
int32_t host_spm_to_xlmr(int32_t id) {
  return id == 0 ? 3 : id + 1;
}
int32_t host_spm_from_xlmr(int32_t id) {
  return id == 3 ? 0 : id > 3 ? id - 1 : -1;
}

/* normalisation
 * -------------------------------------------------------------------------------------------------------- */
static uint32_t unit_at(const HostSpm *m, size_t i) {
  const unsigned char *p = m->trie + 4 * i;
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static size_t unit_offset(uint32_t u) {
  return (size_t)(u >> 10) << ((u & 1u << 9) >> 6);
}

// Longest rule of the table that the text begins with: its bytes, and what they become. 0: none.
static size_t table_match(const HostSpm *m, const char *s, size_t n, const char **to) {
  size_t node = 0, best = 0;
  if (!m->units) return 0;
  uint32_t u = unit_at(m, 0);
  node ^= unit_offset(u);
  for (size_t i = 0; i < n && i < MAX_PIECE; i++) { // units of a damaged table may lead in a circle
    unsigned char c = (unsigned char)s[i];
    node ^= c;
    if (node >= m->units) break;
    u = unit_at(m, node);
    if ((u & (1u << 31 | 0xff)) != c) break;
    node ^= unit_offset(u);
    if (!(u >> 8 & 1)) continue;
    if (node >= m->units) break;
    size_t value = unit_at(m, node) & 0x7fffffff;
    if (value >= m->string_bytes) break;
    best = i + 1;
    *to = m->strings + value;
  }
  return best;
}

static size_t user_match(const HostSpm *m, const char *s, size_t n) {
  StrWalk w = strmap_walk(&m->user);
  size_t best = 0;
  for (size_t k = 0; k < n && strmap_step(&w, s[k]); k++)
    if (strmap_here(&w) >= 0) best = k + 1;
  return best;
}

// What the text begins with, normalised, and the bytes it takes.
static size_t normal_prefix(const HostSpm *m, const char *s, size_t n, const char **to, size_t *len) {
  size_t used = user_match(m, s, n);
  *to = s, *len = used;
  if (used) return used;
  used = table_match(m, s, n, to);
  if (used) {
    *len = strlen(*to);
    return used;
  }
  used = host_utf8_length(s, n);
  *to = used ? s : "\xef\xbf\xbd";
  *len = used ? used : 3;
  return used ? used : 1;
}

typedef struct Normal { // normalised bytes and where each came from
  char *s;
  uint32_t *from;
  size_t n, room, most; // most: bytes it may have
} Normal;

static bool put(Normal *o, const char *s, size_t n, size_t from) {
  if (n > o->most - o->n) return false;
  if (o->n + n + 1 > o->room) {
    size_t room = 2 * (o->n + n) + 64;
    char *t = realloc(o->s, room);
    if (t) o->s = t;
    uint32_t *f = t ? realloc(o->from, room * sizeof *f) : NULL;
    if (f) o->from = f;
    if (!f) return false;
    o->room = room;
  }
  for (size_t i = 0; i < n; i++) {
    o->s[o->n] = s[i];
    o->from[o->n++] = (uint32_t)from;
  }
  return true;
}

static bool put_space(const HostSpm *m, Normal *o, size_t from) {
  return m->escape ? put(o, space_symbol, 3, from) : put(o, " ", 1, from);
}

static bool normalise(const HostSpm *m, const char *text, size_t n, Normal *o) {
  if (n > HOST_MAX_TEXT) return false;
  o->most = MOST_LONGER * n < MAX_NORMAL ? MOST_LONGER * n + MAX_PIECE : MAX_NORMAL;
  size_t at = 0, len, used;
  const char *to;
  bool ok = put(o, "", 0, 0);
  for (; m->remove_extra && at < n; at += used) {
    used = normal_prefix(m, text + at, n - at, &to, &len);
    if (len != 1 || *to != ' ') break;
  }
  if (at < n && m->dummy_prefix && !m->whitespace_suffix) ok = ok && put_space(m, o, at);
  bool any = at < n, after_space = m->remove_extra;
  for (; at < n && ok; at += used) {
    used = normal_prefix(m, text + at, n - at, &to, &len);
    while (after_space && len && *to == ' ') to++, len--;
    for (size_t i = 0; i < len && ok; i++) ok = to[i] == ' ' && m->escape ? put_space(m, o, at) : put(o, to + i, 1, at);
    if (len) after_space = to[len - 1] == ' ';
    if (!m->remove_extra) after_space = false;
  }
  size_t symbol = m->escape ? 3 : 1;
  while (ok && m->remove_extra && o->n >= symbol &&
         !memcmp(o->s + o->n - symbol, m->escape ? space_symbol : " ", symbol)) {
    o->n -= symbol;
    at = o->from[o->n];
  }
  if (ok && any && m->dummy_prefix && m->whitespace_suffix) ok = put_space(m, o, at);
  if (ok) ok = put(o, "", 1, at), o->n--; // where the end stands in the input
  return ok;
}

/* the best pieces
 * ------------------------------------------------------------------------------------------------------- */
typedef SpmBest Best; // of the pieces that end at a byte

static void offer(Best *b, size_t start, float score, int32_t id) {
  if (b->start == NONE || score > b->score) *b = (Best){(uint32_t)start, score, id};
}

static void search(const HostSpm *m, const char *s, size_t n, Best *best) {
  float unknown = m->least - UNKNOWN_PENALTY;
  for (size_t i = 0; i <= n; i++) best[i].start = NONE;
  best[0] = (Best){0, 0, -1};
  for (size_t at = 0, len; at < n; at += len) {
    len = host_utf8_length(s + at, n - at);
    if (!len) len = 1;
    float before = best[at].score;
    bool single = false;
    StrWalk w = strmap_walk(&m->map);
    for (size_t k = 1; at + k <= n && strmap_step(&w, s[at + k - 1]); k++) {
      int32_t id = strmap_here(&w);
      if (id < 0 || m->piece[id].type == UNUSED) continue;
      float score =
          m->piece[id].type == USER_DEFINED ? (float)((double)((float)k * m->most) - 0.1) : m->piece[id].score;
      offer(&best[at + k], at, score + before, id);
      single = single || k == len;
    }
    if (!single) offer(&best[at + len], at, unknown + before, m->unknown);
  }
}

static bool add_piece(HostSpmCut *c, size_t *room, HostSpmPiece p) {
  if (c->n == *room) {
    size_t more = *room ? 2 * *room : 32;
    HostSpmPiece *at = realloc(c->piece, more * sizeof *at);
    if (!at) return false;
    c->piece = at;
    *room = more;
  }
  c->piece[c->n++] = p;
  return true;
}

// Pieces in order; runs of unknown ones are joined, or become bytes.
static bool collect(const HostSpm *m, const Normal *o, const Best *best, HostSpmCut *out) {
  size_t count = 0, room = 0;
  size_t *end = malloc((o->n + 1) * sizeof *end);
  if (!end) return false;
  for (size_t at = o->n; at > 0; at = best[at].start) end[count++] = at;
  bool ok = true, joined = false;
  while (count-- > 0 && ok) {
    const Best *b = &best[end[count]];
    HostSpmPiece p = {b->id, b->start, end[count] - b->start, o->from[b->start], o->from[end[count]]};
    bool unknown = b->id == m->unknown;
    if (unknown && m->byte_fallback) {
      for (size_t i = 0; i < p.n && ok; i++) {
        int32_t id = m->byte[(unsigned char)o->s[p.at + i]];
        size_t last = i + 1 == p.n ? p.end : p.begin;
        ok = add_piece(out, &room, (HostSpmPiece){id < 0 ? m->unknown : id, p.at + i, 1, p.begin, last});
      }
    } else if (unknown && joined) {
      out->piece[out->n - 1].n += p.n;
      out->piece[out->n - 1].end = p.end;
    } else {
      ok = add_piece(out, &room, p);
    }
    joined = unknown;
  }
  free(end);
  return ok;
}

bool host_spm_encode(const HostSpm *m, const char *text, size_t n, HostSpmCut *out, HostError *err) {
  Normal o = {0};
  *out = (HostSpmCut){0};
  Best *best = NULL;
  bool ok = normalise(m, text, n, &o) && (best = malloc((o.n + 1) * sizeof *best)) != NULL;
  SpmBpe merges = {&m->map, &m->user, m->rank, m->unknown};
  if (ok && m->kind == BPE) ok = spm_bpe(&merges, o.s, o.n, best);
  if (ok && m->kind == UNIGRAM) search(m, o.s, o.n, best);
  ok = ok && collect(m, &o, best, out);
  free(best);
  free(o.from);
  out->normalised = o.s;
  out->bytes = o.n;
  if (ok) o.s[o.n] = 0;
  if (ok) return true;
  host_spm_cut_free(out);
  return host_fail(err, "out of memory, or the text is too long");
}

char *host_spm_normalise(const HostSpm *m, const char *text, size_t n, size_t *bytes) {
  HostSpm plain = *m;
  Normal o = {0};
  plain.escape = plain.dummy_prefix = false;
  plain.remove_extra = true;
  bool ok = normalise(&plain, text, n, &o);
  free(o.from);
  if (ok) o.s[o.n] = 0, *bytes = o.n;
  if (!ok) free(o.s);
  return ok ? o.s : NULL;
}

void host_spm_cut_free(HostSpmCut *c) {
  free(c->normalised);
  free(c->piece);
  *c = (HostSpmCut){0};
}

/* text of ids
 * ------------------------------------------------------------------------------------------------------------ */
static bool is_byte(const HostSpm *m, int32_t id, char *byte) {
  const Piece *p = &m->piece[id];
  if (p->type != BYTE || p->n != 6) return false;
  *byte = (char)strtoul(p->s + 3, NULL, 16);
  return true;
}

// Bytes of pieces first .. last - 1, as characters; what is none is U+FFFD a byte.
static bool put_bytes(const HostSpm *m, const int32_t *id, size_t first, size_t last, Normal *o) {
  char s[4];
  bool ok = true;
  for (size_t i = first; i < last && ok;) {
    size_t n = 0;
    while (n < 4 && i + n < last) is_byte(m, id[i + n], &s[n]), n++;
    size_t len = host_utf8_length(s, n);
    ok = len ? put(o, s, len, 0) : put(o, "\xef\xbf\xbd", 3, 0);
    i += len ? len : 1;
  }
  return ok;
}

char *host_spm_decode(const HostSpm *m, const int32_t *id, size_t n, size_t *bytes, HostError *err) {
  Normal o = {.most = MAX_NORMAL};
  bool first = true, seen = false, ok = put(&o, "", 0, 0);
  size_t run = 0; // start of the present run of bytes
  char byte;
  for (size_t i = 0; i < n && ok; i++) {
    if (id[i] < 0 || (size_t)id[i] >= m->n) {
      ok = host_fail(err, "id %d is outside the vocabulary of %zu", (int)id[i], m->n);
      free(o.s);
      free(o.from);
      return NULL;
    }
    if (is_byte(m, id[i], &byte)) continue;
    ok = put_bytes(m, id, run, i, &o);
    run = i + 1;
    if (seen || o.n) first = false;
    const Piece *p = &m->piece[id[i]];
    const char *s = p->s;
    seen = false;
    if (p->type == CONTROL) continue;
    if (p->type == UNKNOWN) {
      ok = ok && put(&o, m->unknown_surface, m->unknown_bytes, 0);
      continue;
    }
    if (first && (m->dummy_prefix || m->remove_extra) && !strncmp(s, space_symbol, 3)) {
      s += 3;
      seen = !m->remove_extra;
    }
    for (; *s && ok;) {
      bool space = !strncmp(s, space_symbol, 3);
      ok = put(&o, space ? " " : s, 1, 0);
      s += space ? 3 : 1;
    }
  }
  ok = ok && put_bytes(m, id, run, n, &o) && put(&o, "", 1, 0);
  free(o.from);
  if (!ok) host_no_memory(err);
  if (!ok) free(o.s);
  if (ok && bytes) *bytes = o.n - 1;
  return ok ? o.s : NULL;
}
