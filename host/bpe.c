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
  uint32_t left, right; // symbols; left == NONE: free slot
  uint32_t rank;        // lower merges first
  uint32_t result;      // symbol
} Merge;

#define NONE UINT32_MAX

struct HostBpe {
  char *pool; // text of all symbols
  size_t pool_n, pool_room;
  Symbol *symbol; // [symbol_n]
  uint32_t symbol_n, symbol_room;
  uint32_t *by_text; // hash of the symbols' text, NONE = free; [text_slots], a power of two
  size_t text_slots;
  Merge *merge; // hash by pair; [merge_slots], a power of two
  size_t merge_slots;
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

// ---- the two hash tables ----

static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Slot of a text: the symbol's, or the free one where it belongs.
static size_t text_slot(const HostBpe *b, const char *text, size_t n) {
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)text[i]) * 0x100000001b3u;
  size_t at = (size_t)mix(h) & (b->text_slots - 1);
  for (;; at = (at + 1) & (b->text_slots - 1)) {
    uint32_t s = b->by_text[at];
    if (s == NONE || (b->symbol[s].bytes == n && !memcmp(b->symbol[s].text, text, n))) return at;
  }
}

static Merge *merge_slot(const HostBpe *b, uint32_t left, uint32_t right) {
  size_t at = (size_t)mix((uint64_t)left << 32 | right) & (b->merge_slots - 1);
  for (;; at = (at + 1) & (b->merge_slots - 1)) {
    Merge *m = &b->merge[at];
    if (m->left == NONE || (m->left == left && m->right == right)) return m;
  }
}

// Gives `text` the next id; the symbol is new or, for a text that is known, keeps its number.
static uint32_t add_symbol(HostBpe *b, const char *text, size_t n) {
  size_t at = text_slot(b, text, n);
  uint32_t s = b->by_text[at];
  if (s == NONE) {
    s = b->symbol_n++;
    memcpy(b->pool + b->pool_n, text, n); // load() has sized pool and symbol for the whole file
    b->symbol[s] = (Symbol){.text = b->pool + b->pool_n, .bytes = (uint32_t)n};
    b->pool_n += n;
    b->by_text[at] = s;
  } else {
    b->of_id[b->symbol[s].id] = NONE;
  }
  b->symbol[s].id = b->size;
  b->of_id[b->size++] = s;
  return s;
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

static size_t power_of_two(size_t least) {
  size_t n = 64;
  while (n < least) n *= 2;
  return n;
}

// Room for everything that a file of n bytes with at most `merges` merges can hold.
static bool reserve(HostBpe *b, size_t n, size_t merges) {
  size_t ids = BYTE_SYMBOLS + merges + 2;
  b->pool = malloc(n + 16 * BYTE_SYMBOLS); // a merge's text is shorter than its line
  b->symbol = malloc(ids * sizeof *b->symbol);
  b->of_id = malloc(ids * sizeof *b->of_id);
  b->text_slots = power_of_two(2 * ids);
  b->by_text = malloc(b->text_slots * sizeof *b->by_text);
  b->merge_slots = power_of_two(2 * merges);
  b->merge = malloc(b->merge_slots * sizeof *b->merge);
  if (!b->pool || !b->symbol || !b->of_id || !b->by_text || !b->merge) return false;
  for (size_t i = 0; i < b->text_slots; i++) b->by_text[i] = NONE;
  for (size_t i = 0; i < b->merge_slots; i++) b->merge[i].left = NONE;
  return true;
}

static void add_byte_symbols(HostBpe *b) {
  uint32_t spelling[256];
  uint8_t order[256];
  byte_spelling(spelling, order);
  for (int end = 0; end < 2; end++)
    for (int i = 0; i < 256; i++) {
      char text[8];
      size_t n = host_utf8_put(spelling[order[i]], text);
      memcpy(text + n, "</w>", 4);
      add_symbol(b, text, end ? n + 4 : n);
    }
}

static uint32_t find_symbol(const HostBpe *b, const char *text, size_t n) {
  return b->by_text[text_slot(b, text, n)];
}

// What merges of GPT-2's kind begin with: the byte 0x20 in its spelling. CLIP's words have no spaces.
static const char gpt2_space[] = "\xc4\xa0";

// The start of a symbol as a string for a message, in dst.
static const char *symbol_name(const char *s, size_t n, char *dst) {
  size_t keep = n < 40 ? n : 40;
  memcpy(dst, s, keep);
  dst[keep] = 0;
  return dst;
}

// The line of a merge: its symbol gets the next id. `joined` has room for the longest line.
static bool add_merge(HostBpe *b, const char *s, size_t len, size_t line, uint32_t rank, char *joined, HostError *err) {
  const char *gap = memchr(s, ' ', len);
  size_t ln = gap ? (size_t)(gap - s) : len, rn = gap ? len - ln - 1 : 0;
  if (!ln || !rn || memchr(gap + 1, ' ', rn))
    return host_fail(err, "line %zu: expected two symbols and a space between them", line);
  if (len > MAX_SYMBOL) return host_fail(err, "line %zu: symbol of more than 64 KiB", line);
  if (len >= sizeof gpt2_space && !memcmp(s, gpt2_space, sizeof gpt2_space - 1))
    return host_fail(err, "line %zu: a space in front of a word: these are merges of GPT-2's kind, not CLIP's", line);
  uint32_t left = find_symbol(b, s, ln), right = find_symbol(b, gap + 1, rn);
  if (left == NONE || right == NONE)
    return host_fail(err, "line %zu: '%.40s' is neither a byte nor made by an earlier line: this is no file of merges",
                     line, symbol_name(left == NONE ? s : gap + 1, left == NONE ? ln : rn, joined));
  memcpy(joined, s, ln);
  memcpy(joined + ln, gap + 1, rn);
  uint32_t result = add_symbol(b, joined, ln + rn);
  *merge_slot(b, left, right) = (Merge){.left = left, .right = right, .rank = rank, .result = result};
  return true;
}

static bool is_header(const char *s, size_t n) {
  static const char word[] = "#version";
  for (size_t i = 0; i + sizeof word - 1 <= n; i++)
    if (!memcmp(s + i, word, sizeof word - 1)) return true;
  return false;
}

static bool add_merges(HostBpe *b, const char *text, size_t n, char *joined, HostError *err) {
  const char *s;
  size_t at = 0, line = 1, len = host_text_line(text, n, &at, &s);
  if (!is_header(s, len)) return host_fail(err, "line 1 is no header with #version: this is no file of merges");
  for (uint32_t rank = 0; at < n && rank < HOST_BPE_MERGES;) {
    len = host_text_line(text, n, &at, &s);
    line++;
    if (len && !add_merge(b, s, len, line, rank++, joined, err)) return false;
  }
  return true;
}

HostBpe *host_bpe_load_memory(const void *bytes, size_t n, HostError *err) {
  size_t len = 0, merges = 0;
  char *text = unpack(bytes, n, &len, err), *joined = malloc(MAX_SYMBOL);
  HostBpe *b = text && joined ? calloc(1, sizeof *b) : NULL;
  bool ok = b != NULL;
  if (text && !b) host_fail(err, "out of memory");
  for (size_t i = 0; ok && i < len; i++) merges += text[i] == '\n';
  merges = merges < HOST_BPE_MERGES ? merges + 1 : HOST_BPE_MERGES;
  ok = ok && (reserve(b, len, merges) || host_fail(err, "out of memory"));
  if (ok) {
    add_byte_symbols(b);
    ok = add_merges(b, text, len, joined, err);
  }
  if (ok) {
    add_symbol(b, "<|startoftext|>", 15);
    add_symbol(b, "<|endoftext|>", 13);
  }
  free(text);
  free(joined);
  if (ok) return b;
  host_bpe_free(b);
  return NULL;
}

HostBpe *host_bpe_load(const char *path, HostError *err) {
  size_t n = 0;
  char *bytes = host_read_file(path, MAX_FILE, &n, err);
  if (!bytes) return NULL;
  HostError why = {"out of memory"};
  HostBpe *b = host_bpe_load_memory(bytes, n, &why);
  free(bytes);
  if (!b) host_fail(err, "%.200s: %.300s", path, why.text);
  return b;
}

void host_bpe_free(HostBpe *b) {
  if (!b) return;
  free(b->pool);
  free(b->symbol);
  free(b->by_text);
  free(b->merge);
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
  const Merge *m = merge_slot(e->bpe, left, right);
  if (m->left == NONE) return false;
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
    // The byte symbols were added first: their numbers are their ids.
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
  if (!result) host_fail(err, "out of memory");
  free(raw);
  host_text_free(&visible);
  host_text_free(&text);
  host_text_free(&spaced);
  return result;
}
