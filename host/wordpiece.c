// wordpiece.c: see wordpiece.h. Text is worked on as code points (text.h); pieces are looked up as bytes.
#include "wordpiece.h"
#include "strmap.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_FILE = 64 << 20, MAX_WORD = 100, MAX_PIECES = 4 << 20 };

struct HostWordPiece {
  char *bytes; // the file, lines ended by zeros
  const char **piece;
  size_t n;
  StrMap map;
  StrWalk joined;            // behind "##", where the pieces are that continue a word
  bool joins;                // there are some
  size_t lettered, capitals; // pieces with Latin letters, and those with capitals, without the bracketed
  int32_t unknown;
};

static const char *const special[] = {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};

/* vocabulary ----------------------------------------------------------------------------------------------------------
 */
static void count_letters(HostWordPiece *w, const char *s, size_t n) {
  bool lettered = false, capital = false;
  if (n > 1 && ((s[0] == '[' && s[n - 1] == ']') || (s[0] == '<' && s[n - 1] == '>'))) return;
  for (size_t i = 0; i < n; i++) {
    capital = capital || (s[i] >= 'A' && s[i] <= 'Z');
    lettered = lettered || ((s[i] | 32) >= 'a' && (s[i] | 32) <= 'z');
  }
  w->lettered += lettered;
  w->capitals += capital;
}

static bool split_lines(HostWordPiece *w, size_t n, HostError *err) {
  size_t lines = 0;
  for (size_t i = 0; i < n; i++) lines += w->bytes[i] == '\n';
  if (lines > MAX_PIECES) return host_fail(err, "more than %d lines", MAX_PIECES);
  w->piece = malloc((lines + 2) * sizeof *w->piece);
  if (!w->piece || !strmap_init(&w->map, lines + 1)) return host_no_memory(err);
  for (char *s = w->bytes, *end = w->bytes + n; s < end;) {
    char *stop = memchr(s, '\n', (size_t)(end - s));
    if (!stop) stop = end;
    size_t len = (size_t)(stop - s);
    if (len && s[len - 1] == '\r') len--;
    if (memchr(s, 0, len)) return host_fail(err, "line %zu has a zero byte: this is no vocabulary of pieces", w->n + 1);
    s[len] = 0;
    if (!host_is_utf8(s, len)) return host_fail(err, "line %zu is not UTF-8", w->n + 1);
    count_letters(w, s, len);
    strmap_put(&w->map, s, len, (int32_t)w->n);
    w->piece[w->n++] = s;
    s = stop + 1;
  }
  while (w->n && !*w->piece[w->n - 1]) w->n--;                         // empty lines at the end
  if (!strmap_build(&w->map, STRMAP_LAST)) return host_no_memory(err); // as in a Python dictionary
  w->joined = strmap_walk(&w->map);
  w->joins = strmap_step(&w->joined, '#') && strmap_step(&w->joined, '#');
  w->unknown = strmap_find(&w->map, "[UNK]", 5);
  return w->unknown >= 0 || host_fail(err, "there is no line [UNK]: this is no vocabulary of WordPiece");
}

HostWordPiece *host_wordpiece_load_memory(const char *bytes, size_t n, HostError *err) {
  HostWordPiece *w = calloc(1, sizeof *w);
  if (w) w->bytes = malloc(n + 1);
  if (!w || !w->bytes) {
    free(w);
    host_no_memory(err);
    return NULL;
  }
  memcpy(w->bytes, bytes, n);
  w->bytes[n] = 0;
  if (split_lines(w, n, err)) return w;
  host_wordpiece_free(w);
  return NULL;
}

HostWordPiece *host_wordpiece_load(const char *path, HostError *err) {
  size_t n;
  HostError why;
  char *bytes = host_read_file(path, MAX_FILE, &n, err);
  HostWordPiece *w = bytes ? host_wordpiece_load_memory(bytes, n, &why) : NULL;
  if (bytes && !w) host_fail(err, "%.200s: %.250s", path, why.text);
  free(bytes);
  return w;
}

void host_wordpiece_free(HostWordPiece *w) {
  if (!w) return;
  strmap_free(&w->map);
  free(w->piece);
  free(w->bytes);
  free(w);
}

size_t host_wordpiece_size(const HostWordPiece *w) {
  return w->n;
}
size_t host_wordpiece_lettered(const HostWordPiece *w, size_t *capitals) {
  *capitals = w->capitals;
  return w->lettered;
}
bool host_wordpiece_looks_cased(const HostWordPiece *w) {
  return w->capitals > 1 && w->capitals > w->lettered / 10;
}
int32_t host_wordpiece_id(const HostWordPiece *w, const char *piece) {
  return strmap_find(&w->map, piece, strlen(piece));
}
const char *host_wordpiece_piece(const HostWordPiece *w, int32_t id) {
  return id >= 0 && (size_t)id < w->n ? w->piece[id] : NULL;
}

/* characters ----------------------------------------------------------------------------------------------------------
 */
static bool is_control(uint32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
  return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CS ||
         k == UTF8PROC_CATEGORY_CO || k == UTF8PROC_CATEGORY_CN;
}

static bool is_space(uint32_t c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' ||
         utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ZS;
}

static bool is_punctuation(uint32_t c) { // all ASCII symbols count
  if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126)) return true;
  utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

static bool is_chinese(uint32_t c) {
  static const uint32_t range[][2] = {{0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df}, {0x2a700, 0x2b73f},
                                      {0x2b740, 0x2b81f}, {0x2b820, 0x2ceaf}, {0xf900, 0xfaff},   {0x2f800, 0x2fa1f}};
  for (size_t i = 0; i < sizeof range / sizeof *range; i++)
    if (c >= range[i][0] && c <= range[i][1]) return true;
  return false;
}

// In lower case, character by character (text.c says why), decomposed, without marks.
static bool fold(HostText *t) {
  if (!host_lower_each(t) || !host_decompose(t)) return false;
  size_t n = 0;
  for (size_t i = 0; i < t->n; i++)
    if (utf8proc_category((utf8proc_int32_t)t->at[i]) != UTF8PROC_CATEGORY_MN) t->at[n++] = t->at[i];
  t->n = n;
  return true;
}

/* words ---------------------------------------------------------------------------------------------------------------
 */
static bool push_id(HostIds *out, size_t *room, int32_t id) {
  if (out->n == *room) {
    size_t more = *room ? 2 * *room : 64;
    int32_t *at = realloc(out->id, more * sizeof *at);
    if (!at) return false;
    out->id = at;
    *room = more;
  }
  out->id[out->n++] = id;
  return true;
}

// The longest piece that the word goes on with from byte lo: its id, -1 if there is none, and where it ends.
static int32_t longest_piece(const HostWordPiece *w, const char *word, size_t lo, size_t n, size_t *end) {
  StrWalk walk = lo ? w->joined : strmap_walk(&w->map);
  int32_t best = -1;
  if (lo && !w->joins) return -1;
  for (size_t i = lo; i < n && strmap_step(&walk, word[i]); i++) {
    int32_t id = strmap_here(&walk);
    if (id >= 0) best = id, *end = i + 1; // both are whole characters
  }
  return best;
}

// The longest pieces of one word from the left.
static bool cut_word(const HostWordPiece *w, const uint32_t *word, size_t n, HostIds *out, size_t *room) {
  char bytes[4 * MAX_WORD];
  size_t size = 0, first = out->n, end = 0;
  if (n > MAX_WORD) return push_id(out, room, w->unknown);
  for (size_t i = 0; i < n; i++) size += host_utf8_put(word[i], bytes + size);
  for (size_t lo = 0; lo < size; lo = end) {
    int32_t id = longest_piece(w, bytes, lo, size, &end);
    if (id < 0) {
      out->n = first;
      return push_id(out, room, w->unknown);
    }
    if (!push_id(out, room, id)) return false;
  }
  return true;
}

// One stretch of text without special tokens.
static bool cut_text(const HostWordPiece *w, const uint32_t *text, size_t n, bool lower, HostIds *out, size_t *room) {
  HostText t = {0};
  bool ok = true;
  for (size_t i = 0; i < n && ok; i++) {
    uint32_t c = text[i];
    if (c == 0 || c == 0xfffd || is_control(c)) continue;
    if (is_space(c))
      ok = host_text_push(&t, ' ');
    else if (is_chinese(c))
      ok = host_text_push(&t, ' ') && host_text_push(&t, c) && host_text_push(&t, ' ');
    else
      ok = host_text_push(&t, c);
  }
  ok = ok && (!lower || fold(&t));
  for (size_t lo = 0; lo < t.n && ok;) {
    size_t hi = lo + 1;
    if (host_is_blank(t.at[lo])) {
      lo++;
      continue;
    }
    if (!is_punctuation(t.at[lo]))
      while (hi < t.n && !host_is_blank(t.at[hi]) && !is_punctuation(t.at[hi])) hi++;
    ok = cut_word(w, t.at + lo, hi - lo, out, room);
    lo = hi;
  }
  host_text_free(&t);
  return ok;
}

static bool is_gap(const HostText *t, size_t i) {
  return i >= t->n || is_space(t->at[i]) || host_is_blank(t->at[i]) || is_chinese(t->at[i]);
}

// A special token that stands as a word of its own at i: its length.
static size_t special_at(const HostText *t, size_t i, size_t *which) {
  if (i && !is_gap(t, i - 1)) return 0;
  for (size_t k = 0; k < sizeof special / sizeof *special; k++) {
    size_t n = strlen(special[k]), m = 0;
    while (m < n && i + m < t->n && t->at[i + m] == (uint32_t)special[k][m]) m++;
    if (m == n && is_gap(t, i + n)) return *which = k, n;
  }
  return 0;
}

bool host_wordpiece_encode(const HostWordPiece *w, const char *text, size_t n, bool lower, HostIds *out,
                           HostError *err) {
  HostText t = {0};
  size_t room = 0, lo = 0;
  *out = (HostIds){0};
  bool ok = host_text_from_utf8(&t, text, n);
  for (size_t i = 0; i <= t.n && ok;) {
    size_t which = 0, len = i < t.n && t.at[i] == '[' ? special_at(&t, i, &which) : 0;
    int32_t id = len ? host_wordpiece_id(w, special[which]) : -1;
    if (i < t.n && id < 0) {
      i++;
      continue;
    }
    ok = i == lo || cut_text(w, t.at + lo, i - lo, lower, out, &room); // an empty text has no array
    if (i == t.n) break;
    ok = ok && push_id(out, &room, id);
    lo = i += len;
  }
  host_text_free(&t);
  if (ok && !out->id) ok = (out->id = malloc(sizeof *out->id)) != NULL;
  if (ok) return true;
  host_ids_free(out);
  return host_fail(err, "out of memory, or the text is too long");
}

/* text of ids ---------------------------------------------------------------------------------------------------------
 */
// Removes every `what`, or puts `by` in its place; s shrinks.
static void replace_all(char *s, const char *what, const char *by) {
  size_t n = strlen(what), m = strlen(by);
  char *to = s;
  while (*s)
    if (!strncmp(s, what, n)) {
      memcpy(to, by, m);
      to += m, s += n;
    } else {
      *to++ = *s++;
    }
  *to = 0;
}

char *host_wordpiece_decode(const HostWordPiece *w, const int32_t *id, size_t n, size_t *bytes, HostError *err) {
  size_t size = 1;
  for (size_t i = 0; i < n; i++) {
    const char *p = host_wordpiece_piece(w, id[i]);
    if (!p) {
      host_fail(err, "id %d is outside the vocabulary of %zu", (int)id[i], w->n);
      return NULL;
    }
    size += strlen(p) + 1;
  }
  char *s = malloc(size), *at = s;
  if (!s) {
    host_no_memory(err);
    return NULL;
  }
  for (size_t i = 0; i < n; i++) {
    const char *p = w->piece[id[i]];
    bool first = at == s, joins = !first && !strncmp(p, "##", 2), skip = false;
    for (size_t k = 0; k < sizeof special / sizeof *special; k++) skip = skip || !strcmp(p, special[k]);
    if (skip) continue;
    if (!first && !joins) *at++ = ' ';
    size_t len = strlen(p) - (joins ? 2 : 0);
    memcpy(at, p + (joins ? 2 : 0), len);
    at += len;
  }
  *at = 0;
  static const char *const tidy[][2] = {{" .", "."},     {" ?", "?"},     {" !", "!"},   {" ,", ","},
                                        {" ' ", "'"},    {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"},
                                        {" 've", "'ve"}, {" 're", "'re"}};
  for (size_t i = 0; i < sizeof tidy / sizeof *tidy; i++) replace_all(s, tidy[i][0], tidy[i][1]);
  if (bytes) *bytes = strlen(s);
  return s;
}

/* sentences in front of the tokenizer
 * ------------------------------------------------------------------------------------ */
static const struct {
  const char *rule, *drop; // characters taken out, or made blank
  bool blank, dashes, person, collapse;
} rules[] = {{"albef_caption", ",.'!?\"()*#:;~", false, true, true, true},
             {"albef_question", ",.'!?\"()*#:;~", false, true, false, false},
             {"blip_caption", ".!\"()*#:;~", true, false, false, true},
             {"blip_question", ".!\"()*#:;~", false, false, false, false}};

static bool sentence_characters(size_t r, const HostText *from, HostText *to) {
  bool ok = true;
  for (size_t i = 0; i < from->n && ok; i++) {
    uint32_t c = from->at[i];
    bool drop = c < 128 && c && strchr(rules[r].drop, (int)c);
    if (drop && !rules[r].blank) continue;
    if (drop || (rules[r].dashes && (c == '-' || c == '/'))) c = ' ';
    if (rules[r].person && c == '<' && i + 7 < from->n + 0 && from->at[i + 7] == '>') {
      static const char name[] = "person";
      size_t k = 0;
      while (k < 6 && from->at[i + 1 + k] == (uint32_t)name[k]) k++;
      if (k == 6) {
        for (k = 0; k < 6 && ok; k++) ok = host_text_push(to, (uint32_t)name[k]);
        i += 7;
        continue;
      }
    }
    ok = host_text_push(to, c);
  }
  return ok;
}

static void collapse_runs(HostText *t) { // two or more blanks become one space
  size_t n = 0;
  for (size_t i = 0; i < t->n;) {
    size_t k = i;
    while (k < t->n && host_is_blank(t->at[k])) k++;
    if (k - i >= 2)
      t->at[n++] = ' ', i = k;
    else
      t->at[n++] = t->at[i++];
  }
  t->n = n;
  while (t->n && t->at[t->n - 1] == '\n') t->n--;
  size_t lo = 0;
  while (lo < t->n && t->at[lo] == ' ') lo++;
  memmove(t->at, t->at + lo, (t->n - lo) * sizeof *t->at);
  t->n -= lo;
}

bool host_clean_sentence(const char *rule, size_t max_words, const char *text, size_t n, char **out, size_t *bytes) {
  size_t r = 0, words = 1, keep = 0;
  HostText from = {0}, to = {0};
  while (r < sizeof rules / sizeof *rules && strcmp(rules[r].rule, rule) != 0) r++;
  *out = NULL;
  bool ok = r < sizeof rules / sizeof *rules && host_text_from_utf8(&from, text, n) && host_lower(&from) &&
            sentence_characters(r, &from, &to);
  if (ok && rules[r].collapse) collapse_runs(&to);
  while (ok && to.n && to.at[to.n - 1] == ' ') to.n--;
  for (; ok && keep < to.n; keep++)
    if (to.at[keep] == ' ' && words++ == max_words) break;
  if (ok) to.n = keep;
  if (ok) *out = host_text_to_utf8(&to, bytes);
  host_text_free(&from);
  host_text_free(&to);
  return *out != NULL;
}
