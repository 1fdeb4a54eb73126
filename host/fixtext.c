// fixtext.c - repairs of damaged text with the results of ftfy.fix_text at its defaults; see text.h.
//
// Text is treated line by line; every line is repaired in rounds until nothing changes:
//
//   entities        only while no line so far has had a '<' (it may be HTML that is meant to stay)
//   mojibake        "schÃ¶n" -> "schön": UTF-8 that was read in a single-byte encoding (codepages.def)
//   C1 controls     U+0085 -> U+2026: windows-1252 that was read as Latin-1
//   ligatures       "ﬁ" -> "fi", "Ǆ" -> "DŽ"
//   widths          "Ａ" -> "A": the full and half width block by NFKC, ideographic space -> space
//   quotes          curly -> straight
//   line breaks     CR, CRLF, U+2028, U+2029 -> LF
//   escapes         ESC [ digits ; ... letter is removed
//   controls        characters that do nothing in text are removed
//   NFC
//
// Mojibake is only undone on evidence. In each encoding the text is turned back into bytes; where these
// form a UTF-8 sequence, the characters as they stand are a suspect. The question is whether they could
// have been written on purpose: "Ã¶" could not, "É…" at the end of a word could (is_implausible). If the
// whole line becomes valid UTF-8 and at least one suspect is implausible, the line is decoded; otherwise
// only the implausible sequences are, and only for windows-1252.
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
  MAX_LINE = 1000 * 1000, // code points; a longer line is cut
  MAX_ROUNDS = 32         // each round undoes one layer of damage; bounds hostile nesting
};

// ---- encodings ----

typedef struct {
  const char *name;
  uint16_t high[128]; // code points of the bytes 0x80..0xff
} Page;

static const Page pages[] = {
#define CODEPAGE(name, ...) {#name, {__VA_ARGS__}},
#include "codepages.def"
#undef CODEPAGE
};
enum { PAGE_COUNT = sizeof pages / sizeof pages[0], WINDOWS_1252 = 1 };

// A page turned round: a hash of its code points with open addressing, half full.
typedef struct {
  const Page *page;
  uint8_t byte[256]; // 0 = free
  bool lossy;        // windows-*: U+FFFD stands for a byte that was lost
} Reverse;

enum { NOT_IN_PAGE = -1, LOST_BYTE = 256 };

// All pages turned round, once for a text and only if it is not ASCII.
typedef struct {
  bool ready;
  Reverse page[PAGE_COUNT];
} Reverses;

static unsigned slot_of(uint32_t c) {
  return (c * 0x9e3779b1u) >> 24;
}

static void turn_round(Reverse *r, const Page *page) {
  *r = (Reverse){.page = page, .lossy = !strncmp(page->name, "windows", 7)};
  for (unsigned n = 0; n < 128; n++) {
    unsigned at = slot_of(page->high[n]);
    while (r->byte[at]) at = (at + 1) & 255;
    r->byte[at] = (uint8_t)(128 + n);
  }
}

// The byte of c: 0..255, LOST_BYTE or NOT_IN_PAGE.
static int byte_of(const Reverse *r, uint32_t c) {
  if (c < 0x80) return (int)c;
  if (c == 0xfffd && r->lossy) return LOST_BYTE;
  for (unsigned at = slot_of(c); r->byte[at]; at = (at + 1) & 255)
    if (r->page->high[r->byte[at] - 128] == c) return r->byte[at];
  return NOT_IN_PAGE;
}

// ---- evidence ----

typedef enum { K_OTHER, K_LOWER, K_UPPER, K_SYMBOL, K_CLOSER } Kind;

// K_SYMBOL: does not follow a letter in ordinary writing. K_CLOSER: punctuation and marks that do.
static Kind kind_of(uint32_t c) {
  switch (c) {
  case 0xa0:
  case 0xa9:
  case 0xae:
  case 0xb0:
  case 0xb2:
  case 0xb3:
  case 0xb4:
  case 0xb7:
  case 0xbb:
  case 0x2013:
  case 0x2014:
  case 0x2018:
  case 0x2019:
  case 0x201c:
  case 0x201d:
  case 0x2026:
  case 0x203a:
  case 0x2122: return K_CLOSER;
  case 0xaa:
  case 0xba: // ordinals: letters to Unicode, symbols here
    return K_SYMBOL;
  default: break;
  }
  if (c < 0x80) return c >= 'a' && c <= 'z' ? K_LOWER : c >= 'A' && c <= 'Z' ? K_UPPER : K_OTHER;
  switch (utf8proc_category((utf8proc_int32_t)c)) {
  case UTF8PROC_CATEGORY_LL: return K_LOWER;
  case UTF8PROC_CATEGORY_LU: return K_UPPER;
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_MC: return K_OTHER;
  default: return K_SYMBOL;
  }
}

static bool is_c1(uint32_t c) {
  return c >= 0x80 && c < 0xa0;
}

// "×", "Ø", "Ù", "Ú", "Û": first bytes of Hebrew and Arabic, which come in rows. Alone they are signs
// before a number: "3×£5", "Ø½".
static bool is_row_lead(uint32_t c) {
  return c >= 0xd7 && c <= 0xdb;
}

static bool is_in_row(const HostText *s, size_t i) {
  return (i >= 2 && is_row_lead(s->at[i - 2])) || (i + 2 < s->n && is_row_lead(s->at[i + 2]));
}

// Sequences that start with a sign: line drawing of cp437, mathematics and a quote of macroman. Other signs
// and quotes stand before letters in sound text ("l’étoile", "—É").
static bool is_sign_implausible(const HostText *s, size_t i, size_t n) {
  const uint32_t *c = s->at + i;
  Kind before = i ? kind_of(s->at[i - 1]) : K_OTHER, after = i + n < s->n ? kind_of(s->at[i + n]) : K_OTHER;
  if (c[0] >= 0x2500 && c[0] < 0x2580) return c[1] < 0x2500 || c[1] >= 0x25a0;
  if (c[0] == 0x201a) return n == 3 && c[1] == 0xc4;
  bool in_word = before == K_LOWER || before == K_UPPER || after == K_LOWER || after == K_UPPER;
  return (c[0] == 0x221a || c[0] == 0xac) && in_word && kind_of(c[1]) != K_OTHER;
}

// Could the n characters at s[i], one UTF-8 sequence when turned back into bytes, have been meant?
static bool is_implausible(const HostText *s, size_t i, size_t n) {
  const uint32_t *c = s->at + i;
  Kind lead = kind_of(c[0]), second = kind_of(c[1]);
  Kind before = i ? kind_of(s->at[i - 1]) : K_OTHER, after = i + n < s->n ? kind_of(s->at[i + n]) : K_OTHER;
  bool letter_after = after == K_LOWER || after == K_UPPER, symbols = false, closers = true;
  for (size_t k = 1; k < n; k++) {
    Kind kind = kind_of(c[k]);
    if (is_c1(c[k])) return true;
    if (kind == K_SYMBOL) symbols = true;
    if (kind != K_CLOSER) closers = false;
  }
  if (is_c1(c[0])) return true;
  if (n == 2 && is_row_lead(c[0])) return (symbols || second == K_CLOSER) && is_in_row(s, i);
  if (lead == K_SYMBOL || lead == K_CLOSER) return is_sign_implausible(s, i, n);
  if (n == 4) return !closers; // no language writes such a run
  if (n == 3) {
    if (lead == K_LOWER && second == K_UPPER) return true;
    if (c[0] == 0xe2 && c[1] > 0xff && !closers) return true; // "â" and a windows-1252 sign: U+2000..U+27ff
    return symbols;
  }
  if (c[0] == 0xc2 || c[0] == 0xc3 || c[0] == 0x102) { // "Â", "Ã", "Ă": the usual signs of the disease
    bool quoted_capitals = before == K_UPPER && second == K_CLOSER && !letter_after;
    if (c[0] == 0xc2 && (second == K_LOWER || second == K_UPPER)) return false;
    return !(quoted_capitals && c[1] != 0xa9);
  }
  if (before == K_LOWER && lead == K_UPPER) return true; // a capital inside a word, and no letter after it
  bool greek = c[0] >= 0x370 && c[0] < 0x400;            // quantities: "10 Ω±5%"
  return symbols && !greek;
}

// The code point of the UTF-8 sequence that starts at b[i], and its length; 0 if there is none longer
// than one byte. A lost continuation byte gives U+FFFD.
static size_t sequence_at(const int *b, size_t i, size_t n, uint32_t *c) {
  if (b[i] < 0xc2 || b[i] > 0xf4) return 0;
  size_t more = b[i] < 0xe0 ? 1 : b[i] < 0xf0 ? 2 : 3;
  if (i + more >= n) return 0;
  uint32_t v = (uint32_t)b[i] & (0x3fu >> more);
  bool lost = false;
  for (size_t k = 1; k <= more; k++) {
    if (b[i + k] == LOST_BYTE)
      lost = true;
    else if (b[i + k] < 0x80 || b[i + k] > 0xbf)
      return 0;
    v = v << 6 | ((uint32_t)b[i + k] & 0x3fu);
  }
  static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
  if (!lost && (v < least[more] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))) return 0;
  *c = lost ? 0xfffd : v;
  return more + 1;
}

// After "Ã" and a space: does that space also separate words (several had been collapsed into it)? Not if
// another one follows, nor in the Portuguese words àquele, àquela, àquilo, às.
static bool a_grave_word(const HostText *s, size_t i) {
  static const char *const rest[] = {" ", "quele", "quela", "quilo", "s "};
  for (size_t k = 0; k < sizeof rest / sizeof rest[0]; k++) {
    size_t n = 0;
    while (rest[k][n] && i + n < s->n && s->at[i + n] == (uint32_t)(uint8_t)rest[k][n]) n++;
    if (!rest[k][n]) return false;
  }
  return true;
}

// Decodes s, misread in the page of r, into out. whole: succeed only if all of it decodes and there is
// evidence; else decode just the implausible sequences. *changed tells whether out is an improvement.
static bool undo(const HostText *s, const Reverse *r, bool whole, int *bytes, HostText *out, bool *changed) {
  bool ok = true, evidence = false, sound = true;
  for (size_t i = 0; i < s->n; i++) {
    bytes[i] = byte_of(r, s->at[i]);
    if (whole && bytes[i] == NOT_IN_PAGE) return true;
  }
  for (size_t i = 0; ok && sound && i < s->n;) {
    uint32_t c = 0;
    size_t used = sequence_at(bytes, i, s->n, &c);
    bool implausible = used && is_implausible(s, i, used);
    evidence |= implausible;
    if (used && (whole || implausible)) {
      ok = host_text_push(out, c);
      i += used;
    } else if (whole && bytes[i] == 0xc3 && i + 1 < s->n && s->at[i + 1] == ' ') {
      ok = host_text_push(out, 0xe0); // "à" whose second byte, a no-break space, became a space
      i += a_grave_word(s, i + 2) ? 1 : 2;
    } else {
      if (whole && bytes[i] >= 0x80 && bytes[i] != LOST_BYTE) sound = false;
      ok = host_text_push(out, s->at[i++]);
    }
  }
  *changed = ok && sound && evidence;
  return ok;
}

static bool fix_encoding_once(HostText *s, Reverses *all, bool *changed) {
  bool ascii = true;
  for (size_t i = 0; ascii && i < s->n; i++) ascii = s->at[i] < 0x80;
  *changed = false;
  if (ascii) return true;
  for (int p = 0; !all->ready && p < PAGE_COUNT; p++) turn_round(&all->page[p], &pages[p]);
  all->ready = true;
  int *bytes = malloc(s->n * sizeof *bytes);
  bool ok = bytes != NULL;
  for (int p = 0; ok && !*changed && p <= PAGE_COUNT; p++) {
    HostText out = {0};
    ok = undo(s, &all->page[p < PAGE_COUNT ? p : WINDOWS_1252], p < PAGE_COUNT, bytes, &out, changed);
    if (*changed) {
      host_text_free(s);
      *s = out;
    } else {
      host_text_free(&out);
    }
  }
  free(bytes);
  return ok;
}

static bool fix_encoding(HostText *s, Reverses *all) {
  bool changed = true;
  for (int round = 0; changed && round < MAX_ROUNDS; round++)
    if (!fix_encoding_once(s, all, &changed)) return false;
  return true;
}

// ---- single characters ----

static const struct {
  uint16_t code;
  uint16_t text[3]; // ended by 0
} ligatures[] = {
    {0x132, {'I', 'J'}},    {0x133, {'i', 'j'}},   {0x149, {0x2bc, 'n'}},     {0x1c4, {'D', 0x17d}},
    {0x1c5, {'D', 0x17e}},  {0x1c6, {'d', 0x17e}}, {0x1c7, {'L', 'J'}},       {0x1c8, {'L', 'j'}},
    {0x1c9, {'l', 'j'}},    {0x1ca, {'N', 'J'}},   {0x1cb, {'N', 'j'}},       {0x1cc, {'n', 'j'}},
    {0x1f1, {'D', 'Z'}},    {0x1f2, {'D', 'z'}},   {0x1f3, {'d', 'z'}},       {0xfb00, {'f', 'f'}},
    {0xfb01, {'f', 'i'}},   {0xfb02, {'f', 'l'}},  {0xfb03, {'f', 'f', 'i'}}, {0xfb04, {'f', 'f', 'l'}},
    {0xfb05, {0x17f, 't'}}, {0xfb06, {'s', 't'}},
};

static bool is_useless_control(uint32_t c) {
  return c < 9 || c == 0xb || (c >= 0xe && c < 0x20) || c == 0x7f || (c >= 0x206a && c < 0x2070) || c == 0xfeff ||
         (c >= 0xfff9 && c < 0xfffd) || (c >= 0x1d173 && c < 0x1d17b);
}

// Length of the terminal escape at s, 0 if there is none.
static size_t escape_at(const uint32_t *s, size_t n) {
  if (n < 3 || s[0] != 0x1b || s[1] != '[') return 0;
  size_t i = 2;
  while (i < n && (s[i] == ';' || (s[i] >= '0' && s[i] <= '9'))) i++;
  return i < n && ((s[i] | 32) >= 'a' && (s[i] | 32) <= 'z') ? i + 1 : 0;
}

// Compatibility form of a full or half width character.
static bool push_width(HostText *out, uint32_t c) {
  utf8proc_int32_t part[8];
  int boundary = 0;
  utf8proc_ssize_t n =
      utf8proc_decompose_char((utf8proc_int32_t)c, part, 8, UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE, &boundary);
  if (n <= 0 || n > 8) return host_text_push(out, c);
  n = utf8proc_normalize_utf32(part, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  for (utf8proc_ssize_t k = 0; k < n; k++)
    if (!host_text_push(out, (uint32_t)part[k])) return false;
  return true;
}

// The steps between mojibake and NFC in one pass; each character meets them in their order.
static bool fix_characters(HostText *s) {
  HostText out = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < s->n; i++) {
    uint32_t c = s->at[i];
    size_t escape = escape_at(s->at + i, s->n - i);
    if (escape) {
      i += escape - 1;
      continue;
    }
    if (is_c1(c)) c = pages[WINDOWS_1252].high[c - 0x80];
    if (c == 0x3000) c = ' ';
    if (c == 0x2bc || (c >= 0x2018 && c <= 0x201b)) c = '\'';
    if (c >= 0x201c && c <= 0x201f) c = '"';
    if (c == '\r' && i + 1 < s->n && s->at[i + 1] == '\n') continue;
    if (c == '\r' || c == 0x2028 || c == 0x2029) c = '\n';
    if (is_useless_control(c)) continue;
    const uint16_t *ligature = NULL;
    for (size_t k = 0; c >= 0x132 && k < sizeof ligatures / sizeof ligatures[0]; k++)
      if (ligatures[k].code == c) ligature = ligatures[k].text;
    if (ligature) {
      for (size_t k = 0; ok && k < 3 && ligature[k]; k++) ok = host_text_push(&out, ligature[k]);
    } else if (c > 0xff00 && c < 0xfff0) {
      ok = push_width(&out, c);
    } else {
      ok = host_text_push(&out, c);
    }
  }
  if (ok) {
    host_text_free(s);
    *s = out;
  } else {
    host_text_free(&out);
  }
  return ok;
}

// ---- lines ----

static bool same(const HostText *a, const uint32_t *b, size_t n) {
  return a->n == n && (n == 0 || !memcmp(a->at, b, n * sizeof *b));
}

static bool fix_line(HostText *line, bool entities, Reverses *all) {
  bool ok = true, changed = true;
  for (int round = 0; ok && changed && round < MAX_ROUNDS; round++) {
    size_t n = line->n;
    uint32_t *old = malloc((n + 1) * sizeof *old);
    if (!old) return false;
    if (n) memcpy(old, line->at, n * sizeof *old);
    ok = (!entities || host_unescape_html_strict(line)) && fix_encoding(line, all) && fix_characters(line) &&
         host_compose(line);
    changed = !same(line, old, n);
    free(old);
  }
  return ok;
}

bool host_fix_text(HostText *t) {
  HostText out = {0};
  Reverses all = {.ready = false};
  bool ok = true, entities = true;
  for (size_t from = 0, to; ok && from < t->n; from = to) {
    HostText line = {0};
    for (to = from; ok && to < t->n && to - from < MAX_LINE;) {
      uint32_t c = t->at[to++];
      if (c == '<') entities = false;
      ok = host_text_push(&line, c);
      if (c == '\n') break;
    }
    ok = ok && fix_line(&line, entities, &all);
    for (size_t i = 0; ok && i < line.n; i++) ok = host_text_push(&out, line.at[i]);
    host_text_free(&line);
  }
  if (ok) {
    host_text_free(t);
    *t = out;
  } else {
    host_text_free(&out);
  }
  return ok;
}
