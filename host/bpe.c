// bpe.c - CLIP's tokenizer; see bpe.h for the rules.
//
// In the vocabulary file a byte is written as a visible character: itself where it is one, otherwise
// U+0100 + a running number. Symbols are kept in that spelling, "</w>" included. Two merges may make the
// same string; it is then one symbol and has the id of the later line.
//
// Merging a piece: the symbols form a doubly linked list, all adjacent pairs that have a rank lie in a
// heap ordered by (rank, position). One rank is worked off from left to right before pairs that arise
// from it are looked at; this is the order of the original's repeated scans, which cost O(n^2) or more.
#include "bpe.h"
#include "strmap.h"
#include "text.h"
#include "textfile.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
  MAX_FILE = 64 << 20,   // bytes, packed and unpacked
  MAX_SYMBOL = 1 << 16,  // bytes of one symbol
  BYTE_SYMBOLS = 2 * 256 // plain and with </w>
};

typedef struct {
  const char *text; // in HostBpe.pool, not terminated
  uint32_t bytes;
  uint32_t id;
} Symbol;

typedef struct {
  uint32_t left, right; // symbols
  uint32_t rank;        // lower merges first
  uint32_t result;      // symbol
} Merge;

#define NONE UINT32_MAX

struct HostBpe {
  char *pool; // text of all symbols
  size_t pool_n;
  Symbol *symbol; // [size]; a symbol's number is the first id that its text had
  StrMap by_text;
  Merge *merge; // [merges], by left, right
  uint32_t merges;
  uint32_t *first; // [size + 1] of the merges with a left symbol
  uint32_t *of_id; // [size] symbol of an id; NONE for an id that a later line took over
  uint32_t size;
};

// ---- bytes as visible characters ----

static bool is_visible(unsigned b) {
  return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
}

// byte -> character of the spelling, and the order of the bytes in the vocabulary
static void byte_spelling(uint32_t spelling[256], uint8_t order[256]) {
  uint32_t next = 256, n = 0;
  for (unsigned b = 0; b < 256; b++)
    if (is_visible(b)) order[n++] = (uint8_t)b;
  for (unsigned b = 0; b < 256; b++) {
    spelling[b] = is_visible(b) ? b : next++;
    if (!is_visible(b)) order[n++] = (uint8_t)b;
  }
}

// ---- symbols and merges ----

// The merge of two symbols, NULL if there is none. In as many steps as log2 of the merges of `left`.
static const Merge *find_merge(const HostBpe *b, uint32_t left, uint32_t right) {
  uint32_t lo = b->first[left], hi = b->first[left + 1];
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (b->merge[mid].right == right) return &b->merge[mid];
    if (b->merge[mid].right < right)
      lo = mid + 1;
    else
      hi = mid;
  }
  return NULL;
}

static int by_pair(const void *x, const void *y) {
  const Merge *a = x, *b = y;
  if (a->left != b->left) return a->left < b->left ? -1 : 1;
  if (a->right != b->right) return a->right < b->right ? -1 : 1;
  return a->rank < b->rank ? -1 : a->rank > b->rank;
}

// Orders the merges; of two lines with the same pair the later counts, as in a Python dictionary.
static void index_merges(HostBpe *b) {
  uint32_t n = 0, at = 0;
  if (b->merges) qsort(b->merge, b->merges, sizeof *b->merge, by_pair);
  for (uint32_t i = 0; i < b->merges; i++) {
    if (n && b->merge[n - 1].left == b->merge[i].left && b->merge[n - 1].right == b->merge[i].right) n--;
    b->merge[n++] = b->merge[i];
  }
  b->merges = n;
  for (uint32_t left = 0; left <= b->size; left++) {
    while (at < n && b->merge[at].left < left) at++;
    b->first[left] = at;
  }
}

// The next id is for this text, which stays where it is.
static void add_symbol(HostBpe *b, const char *text, size_t n) {
  b->symbol[b->size] = (Symbol){.text = text, .bytes = (uint32_t)n};
  strmap_put(&b->by_text, text, n, (int32_t)b->size++);
}

// Gives the symbols their ids: of equal texts the last id counts, the others have no symbol.
static bool number_symbols(HostBpe *b) {
  if (!strmap_build(&b->by_text, STRMAP_FIRST)) return false;
  for (uint32_t id = 0; id < b->size; id++) {
    uint32_t s = (uint32_t)strmap_find(&b->by_text, b->symbol[id].text, b->symbol[id].bytes);
    if (s != id) b->of_id[b->symbol[s].id] = NONE;
    b->symbol[s].id = id;
    b->of_id[id] = s;
  }
  return true;
}

// ---- loading ----

// Unpacks gzip into malloc'd memory; plain data are copied.
static char *unpack(const void *bytes, size_t n, size_t *out_n, HostError *err) {
  const uint8_t *in = bytes;
  if (n < 2 || in[0] != 0x1f || in[1] != 0x8b) {
    char *copy = n <= MAX_FILE ? malloc(n + 1) : NULL;
    if (!copy) {
      host_fail(err, "vocabulary is too large (%zu bytes)", n);
      return NULL;
    }
    if (n) memcpy(copy, bytes, n);
    *out_n = n;
    return copy;
  }
  z_stream z = {.next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)n}; // zlib does not write there
  if (n > MAX_FILE || inflateInit2(&z, 15 + 16) != Z_OK) {
    host_fail(err, "vocabulary is too large or zlib failed");
    return NULL;
  }
  char *out = NULL;
  size_t room = 0, got = 0;
  int state = Z_OK;
  while (state == Z_OK) {
    if (got == room) {
      room = room ? 2 * room : 1 << 16;
      char *more = room <= MAX_FILE ? realloc(out, room) : NULL;
      if (!more) break;
      out = more;
    }
    z.next_out = (Bytef *)out + got;
    z.avail_out = (uInt)(room - got);
    state = inflate(&z, Z_NO_FLUSH);
    got = room - z.avail_out;
  }
  inflateEnd(&z);
  if (state == Z_STREAM_END) {
    *out_n = got;
    return out;
  }
  host_fail(err, state == Z_OK ? "vocabulary is too large when unpacked" : "vocabulary: damaged gzip data");
  free(out);
  return NULL;
}

// Room for everything that a file of n bytes with at most `merges` merges can hold.
static bool reserve(HostBpe *b, size_t n, size_t merges) {
  size_t ids = BYTE_SYMBOLS + merges + 2;
  b->pool = malloc(n + 16 * BYTE_SYMBOLS); // a merge's text is shorter than its line
  b->symbol = malloc(ids * sizeof *b->symbol);
  b->of_id = malloc(ids * sizeof *b->of_id);
  b->first = malloc((ids + 1) * sizeof *b->first);
  b->merge = malloc((merges + 1) * sizeof *b->merge);
  return b->pool && b->symbol && b->of_id && b->first && b->merge && strmap_init(&b->by_text, ids);
}

static void add_byte_symbols(HostBpe *b) {
  uint32_t spelling[256];
  uint8_t order[256];
  byte_spelling(spelling, order);
  for (int end = 0; end < 2; end++)
    for (int i = 0; i < 256; i++) {
      char *text = b->pool + b->pool_n;
      size_t n = host_utf8_put(spelling[order[i]], text);
      memcpy(text + n, "</w>", 4);
      if (end) n += 4;
      b->pool_n += n;
      add_symbol(b, text, n);
    }
}

// What merges of GPT-2's kind begin with: the byte 0x20 in its spelling. CLIP's words have no spaces.
static const char gpt2_space[] = "\xc4\xa0";

typedef struct {
  const char *part[2];
  size_t n[2];
  size_t line; // in the file, from 1
} MergeLine;

static bool split_line(const char *s, size_t len, MergeLine *m, HostError *err) {
  const char *gap = memchr(s, ' ', len);
  size_t left = gap ? (size_t)(gap - s) : len, right = gap ? len - left - 1 : 0;
  if (!left || !right || memchr(gap + 1, ' ', right))
    return host_fail(err, "line %zu: expected two symbols and a space between them", m->line);
  if (len > MAX_SYMBOL) return host_fail(err, "line %zu: symbol of more than 64 KiB", m->line);
  if (len >= sizeof gpt2_space && !memcmp(s, gpt2_space, sizeof gpt2_space - 1))
    return host_fail(err, "line %zu: a space in front of a word: these are merges of GPT-2's kind, not CLIP's",
                     m->line);
  m->part[0] = s, m->n[0] = left;
  m->part[1] = gap + 1, m->n[1] = right;
  return true;
}

static bool is_header(const char *s, size_t n) {
  static const char word[] = "#version";
  for (size_t i = 0; i + sizeof word - 1 <= n; i++)
    if (!memcmp(s + i, word, sizeof word - 1)) return true;
  return false;
}

// Reads the lines; each makes a symbol, whose text is put together in the pool.
static bool read_merges(HostBpe *b, const char *text, size_t n, MergeLine *merge, HostError *err) {
  const char *s;
  size_t at = 0, len = host_text_line(text, n, &at, &s);
  if (!is_header(s, len)) return host_fail(err, "line 1 is no header with #version: this is no file of merges");
  for (size_t line = 2; at < n && b->merges < HOST_BPE_MERGES; line++) {
    MergeLine *m = &merge[b->merges];
    m->line = line;
    len = host_text_line(text, n, &at, &s);
    if (!len) continue;
    if (!split_line(s, len, m, err)) return false;
    char *to = b->pool + b->pool_n;
    memcpy(to, m->part[0], m->n[0]);
    memcpy(to + m->n[0], m->part[1], m->n[1]);
    b->pool_n += m->n[0] + m->n[1];
    add_symbol(b, to, m->n[0] + m->n[1]);
    b->merges++;
  }
  return true;
}

// Both parts of a merge are symbols by then: bytes, or made by an earlier line.
static bool join_merges(HostBpe *b, const MergeLine *merge, HostError *err) {
  for (uint32_t k = 0; k < b->merges; k++) {
    const MergeLine *m = &merge[k];
    int32_t made = BYTE_SYMBOLS + (int32_t)k, part[2];
    for (int i = 0; i < 2; i++) {
      part[i] = strmap_find(&b->by_text, m->part[i], m->n[i]);
      if (part[i] < 0 || part[i] >= made)
        return host_fail(err,
                         "line %zu: '%.*s' is neither a byte nor made by an earlier line: this is no file of merges",
                         m->line, (int)(m->n[i] < 40 ? m->n[i] : 40), m->part[i]);
    }
    int32_t result = strmap_find(&b->by_text, b->symbol[made].text, b->symbol[made].bytes);
    b->merge[k] = (Merge){(uint32_t)part[0], (uint32_t)part[1], k, (uint32_t)result};
  }
  index_merges(b);
  return true;
}

static bool read_text(HostBpe *b, const char *text, size_t n, HostError *err) {
  size_t lines = 1;
  for (size_t i = 0; i < n; i++) lines += text[i] == '\n';
  if (lines > HOST_BPE_MERGES) lines = HOST_BPE_MERGES;
  MergeLine *merge = malloc((lines + 1) * sizeof *merge);
  bool ok = (merge && reserve(b, n, lines)) || host_no_memory(err);
  if (ok) add_byte_symbols(b);
  ok = ok && read_merges(b, text, n, merge, err);
  if (ok) {
    add_symbol(b, "<|startoftext|>", 15);
    add_symbol(b, "<|endoftext|>", 13);
    ok = (number_symbols(b) || host_no_memory(err)) && join_merges(b, merge, err);
  }
  free(merge);
  return ok;
}

HostBpe *host_bpe_load_memory(const void *bytes, size_t n, HostError *err) {
  size_t len = 0;
  char *text = unpack(bytes, n, &len, err);
  HostBpe *b = text ? calloc(1, sizeof *b) : NULL;
  bool ok = b && read_text(b, text, len, err);
  if (text && !b) host_no_memory(err);
  free(text);
  if (ok) return b;
  host_bpe_free(b);
  return NULL;
}

HostBpe *host_bpe_load(const char *path, HostError *err) {
  size_t n = 0;
  char *bytes = host_read_file(path, MAX_FILE, &n, err);
  if (!bytes) return NULL;
  HostError why = {.text = "out of memory"};
  HostBpe *b = host_bpe_load_memory(bytes, n, &why);
  free(bytes);
  if (!b) host_fail(err, "%.200s: %.300s", path, why.text);
  return b;
}

void host_bpe_free(HostBpe *b) {
  if (!b) return;
  free(b->pool);
  free(b->symbol);
  strmap_free(&b->by_text);
  free(b->merge);
  free(b->first);
  free(b->of_id);
  free(b);
}

size_t host_bpe_size(const HostBpe *b) {
  return b->size;
}

HostBpeOptions host_bpe_clip_options(const HostBpe *b, size_t length) {
  int32_t last = (int32_t)b->size - 1;
  return (HostBpeOptions){.start = last - 1, .end = last, .max_length = length, .pad_to = length, .fix_text = true};
}

void host_ids_free(HostIds *ids) {
  free(ids->id);
  *ids = (HostIds){0};
}

// ---- merging one piece ----

typedef struct {
  uint32_t rank, at; // heap order; at = index of the left symbol
  uint32_t left, right, result;
} Pair;

// Scratch of one encode call, grown as needed and reused for every piece.
typedef struct {
  const HostBpe *bpe;
  uint32_t byte_symbol[256]; // the symbol of a byte inside a word; + 256 at its end, see piece_symbols
  HostIds ids;
  size_t ids_room;
  uint32_t *sym, *prev, *next; // [n] list of the piece; a merged-away entry has sym NONE
  Pair *heap, *fresh;          // [2n]: every merge makes at most two pairs and removes one symbol
  size_t room, heap_n, fresh_n;
} Encoder;

static void encoder_free(Encoder *e) {
  free(e->sym);
  free(e->prev);
  free(e->next);
  free(e->heap);
  free(e->fresh);
}

static bool encoder_reserve(Encoder *e, size_t n) {
  if (n <= e->room) return true;
  size_t room = n < 64 ? 64 : 2 * n;
  encoder_free(e);
  e->room = room;
  e->sym = malloc(room * sizeof *e->sym);
  e->prev = malloc(room * sizeof *e->prev);
  e->next = malloc(room * sizeof *e->next);
  e->heap = malloc(3 * room * sizeof *e->heap);
  e->fresh = malloc(3 * room * sizeof *e->fresh);
  if (e->sym && e->prev && e->next && e->heap && e->fresh) return true;
  e->room = 0;
  return false;
}

static bool pair_less(const Pair *a, const Pair *b) {
  return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(Encoder *e, Pair p) {
  size_t i = e->heap_n++;
  for (; i > 0 && pair_less(&p, &e->heap[(i - 1) / 2]); i = (i - 1) / 2) e->heap[i] = e->heap[(i - 1) / 2];
  e->heap[i] = p;
}

static Pair heap_pop(Encoder *e) {
  Pair top = e->heap[0], last = e->heap[--e->heap_n];
  size_t i = 0;
  for (;;) {
    size_t kid = 2 * i + 1;
    if (kid >= e->heap_n) break;
    if (kid + 1 < e->heap_n && pair_less(&e->heap[kid + 1], &e->heap[kid])) kid++;
    if (!pair_less(&e->heap[kid], &last)) break;
    e->heap[i] = e->heap[kid];
    i = kid;
  }
  e->heap[i] = last;
  return top;
}

// The pair that starts at list entry `at`, if it has a rank.
static bool pair_at(const Encoder *e, uint32_t at, Pair *p) {
  if (at == NONE || e->next[at] == NONE) return false;
  uint32_t left = e->sym[at], right = e->sym[e->next[at]];
  const Merge *m = find_merge(e->bpe, left, right);
  if (!m) return false;
  *p = (Pair){.rank = m->rank, .at = at, .left = left, .right = right, .result = m->result};
  return true;
}

static void merge_pair(Encoder *e, const Pair *p) {
  uint32_t at = p->at, gone = e->next[at];
  e->sym[at] = p->result;
  e->sym[gone] = NONE;
  e->next[at] = e->next[gone];
  if (e->next[at] != NONE) e->prev[e->next[at]] = at;
  Pair born;
  if (pair_at(e, e->prev[at], &born)) e->fresh[e->fresh_n++] = born;
  if (pair_at(e, at, &born)) e->fresh[e->fresh_n++] = born;
}

static bool push_id(Encoder *e, uint32_t id) {
  if (e->ids.n == e->ids_room) {
    size_t room = e->ids_room ? 2 * e->ids_room : 64;
    int32_t *more = realloc(e->ids.id, room * sizeof *more);
    if (!more) return false;
    e->ids.id = more;
    e->ids_room = room;
  }
  e->ids.id[e->ids.n++] = (int32_t)id;
  return true;
}

// Appends the ids of a piece of n > 0 bytes.
static bool encode_piece(Encoder *e, const char *piece, size_t n) {
  if (!encoder_reserve(e, n)) return false;
  for (size_t i = 0; i < n; i++) {
    // The byte symbols were added first.
    e->sym[i] = e->byte_symbol[(uint8_t)piece[i]] + (i + 1 == n ? 256 : 0);
    e->prev[i] = i ? (uint32_t)i - 1 : NONE;
    e->next[i] = i + 1 < n ? (uint32_t)i + 1 : NONE;
  }
  Pair p;
  e->heap_n = e->fresh_n = 0;
  for (uint32_t i = 0; i + 1 < n; i++)
    if (pair_at(e, i, &p)) heap_push(e, p);
  while (e->heap_n) {
    uint32_t rank = e->heap[0].rank;
    while (e->heap_n && e->heap[0].rank == rank) {
      p = heap_pop(e);
      bool stale = e->sym[p.at] != p.left || e->next[p.at] == NONE || e->sym[e->next[p.at]] != p.right;
      if (!stale) merge_pair(e, &p);
    }
    for (size_t i = 0; i < e->fresh_n; i++) heap_push(e, e->fresh[i]);
    e->fresh_n = 0;
  }
  bool ok = true;
  for (uint32_t i = 0; ok && i != NONE; i = e->next[i]) ok = push_id(e, e->bpe->symbol[e->sym[i]].id);
  return ok;
}

// ---- splitting ----

// Does the ASCII word stand at s? The original matches without regard to case, and the text is already
// in lower case; what remains is the long s, which counts as s.
static bool stands(const uint32_t *s, size_t n, const char *word) {
  size_t i = 0;
  for (; word[i]; i++)
    if (i >= n || (s[i] == 0x17f ? 's' : s[i]) != (uint32_t)(uint8_t)word[i]) return false;
  return true;
}

static const char *const whole_pieces[] = {
    "<|startoftext|>", "<|endoftext|>", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};

typedef bool (*Class)(uint32_t c);

static bool is_other(uint32_t c) {
  return !host_is_white_space(c) && !host_is_letter(c) && !host_is_number(c);
}

// Length of the piece at s[0], which is no white space.
static size_t piece_length(const uint32_t *s, size_t n) {
  if (s[0] == '<' || s[0] == '\'')
    for (size_t k = 0; k < sizeof whole_pieces / sizeof whole_pieces[0]; k++)
      if (stands(s, n, whole_pieces[k])) return strlen(whole_pieces[k]);
  if (host_is_number(s[0])) return 1;
  Class same = host_is_letter(s[0]) ? host_is_letter : is_other;
  size_t len = 1;
  while (len < n && same(s[len])) len++;
  return len;
}

static bool encode_pieces(Encoder *e, const HostText *t) {
  uint32_t end_id = e->bpe->size - 1;
  char *utf8 = malloc(4 * t->n + 1);
  bool ok = utf8 != NULL;
  for (size_t i = 0, len; ok && i < t->n; i += len) {
    len = 1;
    if (host_is_white_space(t->at[i])) continue;
    len = piece_length(t->at + i, t->n - i);
    size_t n = 0;
    for (size_t k = 0; k < len; k++) n += host_utf8_put(t->at[i + k], utf8 + n);
    if (n == 15 && !memcmp(utf8, "<|startoftext|>", n))
      ok = push_id(e, end_id - 1);
    else if (n == 13 && !memcmp(utf8, "<|endoftext|>", n))
      ok = push_id(e, end_id);
    else
      ok = encode_piece(e, utf8, n);
  }
  free(utf8);
  return ok;
}

bool host_bpe_encode(const HostBpe *b, const char *text, size_t n, const HostBpeOptions *how, HostIds *out,
                     HostError *err) {
  *out = (HostIds){0};
  Encoder e = {.bpe = b};
  uint32_t spelling[256];
  uint8_t order[256];
  byte_spelling(spelling, order);
  for (uint32_t i = 0; i < 256; i++) e.byte_symbol[order[i]] = i;
  HostText t = {0};
  bool ok = host_text_from_utf8(&t, text, n) && host_clean_text(&t, how->fix_text);
  if (how->start >= 0) ok = ok && push_id(&e, (uint32_t)how->start);
  ok = ok && encode_pieces(&e, &t);
  if (how->end >= 0) ok = ok && push_id(&e, (uint32_t)how->end);
  if (ok && how->max_length && e.ids.n > how->max_length) {
    e.ids.n = how->max_length;
    if (how->end >= 0) e.ids.id[e.ids.n - 1] = how->end;
  }
  while (ok && e.ids.n < how->pad_to) ok = push_id(&e, (uint32_t)how->pad);
  host_text_free(&t);
  encoder_free(&e);
  if (ok)
    *out = e.ids;
  else
    free(e.ids.id);
  return ok || host_fail(err, "out of memory, or text of more than %d characters", HOST_MAX_TEXT);
}

// ---- decoding ----

char *host_bpe_decode(const HostBpe *b, const int32_t *id, size_t n, size_t *bytes, HostError *err) {
  size_t room = 1;
  for (size_t i = 0; i < n; i++) {
    if (id[i] < 0 || (uint32_t)id[i] >= b->size || b->of_id[id[i]] == NONE) {
      host_fail(err, "id %d is outside the vocabulary of %u", (int)id[i], (unsigned)b->size);
      return NULL;
    }
    room += b->symbol[b->of_id[id[i]]].bytes;
  }
  uint32_t spelling[256];
  uint8_t order[256];
  byte_spelling(spelling, order);
  char *raw = malloc(room), *result = NULL;
  HostText visible = {0}, text = {0}, spaced = {0};
  bool ok = raw != NULL;
  size_t raw_n = 0;
  for (size_t i = 0; ok && i < n; i++) {
    const Symbol *s = &b->symbol[b->of_id[id[i]]];
    ok = host_text_from_utf8(&visible, s->text, s->bytes);
  }
  for (size_t i = 0; ok && i < visible.n; i++) {
    uint32_t c = visible.at[i];
    int byte = -1;
    if (c < 256 && is_visible(c))
      byte = (int)c;
    else
      for (int k = 0; k < 256 && byte < 0; k++)
        if (spelling[k] == c) byte = k;
    raw[raw_n++] = (char)(byte < 0 ? 0xff : byte); // a file may spell nonsense: not UTF-8
  }
  ok = ok && host_text_from_utf8(&text, raw, raw_n);
  for (size_t i = 0; ok && i < text.n; i++) {
    bool end = stands(text.at + i, text.n - i, "</w>");
    ok = host_text_push(&spaced, end ? ' ' : text.at[i]);
    if (end) i += 3;
  }
  if (ok) result = host_text_to_utf8(&spaced, &raw_n);
  if (result && bytes) *bytes = raw_n;
  if (!result) host_no_memory(err);
  free(raw);
  host_text_free(&visible);
  host_text_free(&text);
  host_text_free(&spaced);
  return result;
}
