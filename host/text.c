// text.c - code point arrays, HTML references, white space and case; see text.h.
//
// Every transformation builds a new array and swaps it in: linear time, and a failure leaves the old text.
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

// ---- arrays and UTF-8 ----

bool host_text_push(HostText *t, uint32_t c) {
  if (t->n == t->room) {
    if (t->n >= HOST_MAX_TEXT) return false;
    size_t room = t->room ? 2 * t->room : 64;
    uint32_t *at = realloc(t->at, room * sizeof *at);
    if (!at) return false;
    t->at = at;
    t->room = room;
  }
  t->at[t->n++] = c;
  return true;
}

void host_text_free(HostText *t) {
  free(t->at);
  *t = (HostText){0};
}

static bool replace(HostText *t, HostText *by, bool ok) {
  HostText *dead = ok ? t : by;
  free(dead->at);
  if (ok) *t = *by;
  *by = (HostText){0};
  return ok;
}

// One code point of UTF-8. *used receives the bytes taken, at least 1; U+FFFD for the longest start of a
// sequence that could still have become valid (the practice of the Unicode standard and of Python).
static uint32_t take(const uint8_t *s, size_t n, size_t *used) {
  uint8_t b = s[0];
  *used = 1;
  if (b < 0x80) return b;
  if (b < 0xc2 || b > 0xf4) return 0xfffd;
  size_t more = b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
  uint32_t c = b & (0x3fu >> more);
  // The second byte excludes overlong forms, surrogates and values above U+10FFFF.
  uint8_t lo = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80, hi = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
  for (size_t i = 1; i <= more; i++, lo = 0x80, hi = 0xbf) {
    if (i >= n || s[i] < lo || s[i] > hi) return 0xfffd;
    c = c << 6 | (s[i] & 0x3fu);
    *used = i + 1;
  }
  return c;
}

bool host_text_from_utf8(HostText *t, const char *s, size_t n) {
  for (size_t i = 0, used; i < n; i += used)
    if (!host_text_push(t, take((const uint8_t *)s + i, n - i, &used))) return false;
  return true;
}

size_t host_utf8_length(const char *s, size_t n) {
  size_t used;
  bool replaced = take((const uint8_t *)s, n, &used) == 0xfffd;
  return !replaced || (used == 3 && !memcmp(s, "\xef\xbf\xbd", 3)) ? used : 0;
}

bool host_is_utf8(const char *s, size_t n) {
  for (size_t i = 0, used; i < n; i += used)
    if (!(used = host_utf8_length(s + i, n - i))) return false;
  return true;
}

size_t host_utf8_put(uint32_t c, char *dst) {
  if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) c = 0xfffd;
  if (c < 0x80) {
    dst[0] = (char)c;
    return 1;
  }
  size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static const uint8_t lead[4] = {0, 0xc0, 0xe0, 0xf0};
  for (size_t i = more; i > 0; i--, c >>= 6) dst[i] = (char)(0x80u | (c & 0x3fu));
  dst[0] = (char)(lead[more] | c);
  return more + 1;
}

char *host_text_to_utf8(const HostText *t, size_t *n) {
  char *s = malloc(4 * t->n + 1);
  *n = 0;
  if (!s) return NULL;
  for (size_t i = 0; i < t->n; i++) *n += host_utf8_put(t->at[i], s + *n);
  s[*n] = '\0';
  return s;
}

// ---- classes ----

static utf8proc_category_t category(uint32_t c) {
  return utf8proc_category((utf8proc_int32_t)c);
}

bool host_is_letter(uint32_t c) {
  if (c < 0x80) return (c | 32) >= 'a' && (c | 32) <= 'z';
  utf8proc_category_t k = category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool host_is_number(uint32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  utf8proc_category_t k = category(c);
  return k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO;
}

bool host_is_white_space(uint32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool host_is_blank(uint32_t c) {
  return host_is_white_space(c) || (c >= 0x1c && c <= 0x1f);
}

void host_strip(HostText *t) {
  size_t lo = 0, hi = t->n;
  while (lo < hi && host_is_blank(t->at[lo])) lo++;
  while (hi > lo && host_is_blank(t->at[hi - 1])) hi--;
  if (lo) memmove(t->at, t->at + lo, (hi - lo) * sizeof *t->at);
  t->n = hi - lo;
}

void host_collapse_blanks(HostText *t) {
  size_t n = 0;
  for (size_t i = 0; i < t->n; i++) {
    bool space = host_is_white_space(t->at[i]);
    if (space && i && host_is_white_space(t->at[i - 1])) continue;
    // Position i - 1 may have been overwritten, but only by a space for white space: the class stays.
    t->at[n++] = space ? ' ' : t->at[i];
  }
  t->n = n;
}

// ---- HTML references ----

typedef struct {
  const char *name;
  uint32_t first, second;
} Entity;

static const Entity entities[] = {
#define ENTITY(name, first, second) {name, first, second},
#include "entities.def"
#undef ENTITY
};

static const Entity *find_entity(const char *name) {
  size_t lo = 0, hi = sizeof entities / sizeof entities[0];
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    int c = strcmp(name, entities[mid].name);
    if (c == 0) return &entities[mid];
    if (c < 0)
      hi = mid;
    else
      lo = mid + 1;
  }
  return NULL;
}

static bool push_entity(HostText *out, const Entity *e) {
  return host_text_push(out, e->first) && (!e->second || host_text_push(out, e->second));
}

static int digit_of(uint32_t c, unsigned base) {
  if (c >= '0' && c <= '9') return (int)(c - '0');
  if (base == 16 && (c | 32) >= 'a' && (c | 32) <= 'f') return (int)((c | 32) - 'a') + 10;
  return -1;
}

// The characters that pages meant when they wrote &#128; .. &#159; : those of windows-1252.
static const uint16_t c1_meaning[32] = {0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021,
                                        0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,   0x17d,  0x8f,
                                        0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                        0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};

// Value of a numeric reference: a code point, or UINT32_MAX for "nothing".
static uint32_t numeric_meaning(uint32_t v) {
  if (v == 0 || (v >= 0xd800 && v < 0xe000) || v > 0x10ffff) return 0xfffd;
  if (v >= 0x80 && v < 0xa0) return c1_meaning[v - 0x80];
  bool dropped =
      v < 9 || v == 0xb || (v >= 0xe && v < 0x20) || v == 0x7f || (v >= 0xfdd0 && v < 0xfdf0) || (v & 0xfffe) == 0xfffe;
  return dropped ? UINT32_MAX : v;
}

// "#123;" or "#x1F" at s: appends its meaning. Returns the code points used, 0 if it is none.
static size_t numeric_reference(const uint32_t *s, size_t n, HostText *out, bool *ok) {
  if (n < 2 || s[0] != '#') return 0;
  unsigned base = (s[1] | 32) == 'x' ? 16 : 10;
  size_t start = base == 16 ? 2 : 1, i = start;
  uint32_t v = 0;
  for (; i < n && digit_of(s[i], base) >= 0; i++)
    if (v <= 0x10ffff) v = v * base + (uint32_t)digit_of(s[i], base);
  if (i == start) return 0;
  if (i < n && s[i] == ';') i++;
  uint32_t c = numeric_meaning(v);
  if (c != UINT32_MAX) *ok = *ok && host_text_push(out, c);
  return i;
}

enum { LONGEST_NAME = 32 }; // ';' not counted

// "eacute;" at s: the longest known prefix, as in numeric_reference.
static size_t named_reference(const uint32_t *s, size_t n, HostText *out, bool *ok) {
  char name[LONGEST_NAME + 2];
  size_t len = 0;
  // All names are ASCII letters and digits, so a longer candidate cannot match.
  while (len < n && len < LONGEST_NAME && (host_is_number(s[len]) || host_is_letter(s[len])) && s[len] < 0x80) {
    name[len] = (char)s[len];
    len++;
  }
  if (len < n && s[len] == ';') name[len++] = ';';
  for (; len >= 2; len--) {
    name[len] = '\0';
    const Entity *e = find_entity(name);
    if (!e) continue;
    *ok = *ok && push_entity(out, e);
    return len;
  }
  return 0;
}

bool host_unescape_html(HostText *t) {
  HostText out = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < t->n; i++) {
    size_t used = 0;
    if (t->at[i] == '&') {
      used = numeric_reference(t->at + i + 1, t->n - i - 1, &out, &ok);
      if (!used) used = named_reference(t->at + i + 1, t->n - i - 1, &out, &ok);
    }
    if (used)
      i += used;
    else
      ok = host_text_push(&out, t->at[i]);
  }
  return replace(t, &out, ok);
}

// "&NAME;" for a lower-case name means the upper-case character, where HTML itself gives NAME no meaning.
static bool shouted_entity(char *name, size_t len, HostText *out, bool *ok) {
  char lower[LONGEST_NAME + 2];
  for (size_t i = 0; i < len; i++) {
    if (name[i] >= 'a' && name[i] <= 'z') return false;
    lower[i] = name[i];
    if (lower[i] >= 'A' && lower[i] <= 'Z') lower[i] = (char)(lower[i] | 32);
  }
  lower[len] = '\0';
  const Entity *e = find_entity(lower);
  if (!e) return false;
  for (size_t cut = len; cut-- > 2;) { // a known prefix is a meaning too
    char old = name[cut];
    name[cut] = '\0';
    bool known = find_entity(name) != NULL;
    name[cut] = old;
    if (known) return false;
  }
  *ok = *ok && host_text_push(out, (uint32_t)utf8proc_toupper((utf8proc_int32_t)e->first));
  if (e->second) *ok = *ok && host_text_push(out, (uint32_t)utf8proc_toupper((utf8proc_int32_t)e->second));
  return true;
}

bool host_unescape_html_strict(HostText *t) {
  HostText out = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < t->n; i++) {
    const uint32_t *s = t->at + i + 1;
    size_t len = 0, left = t->n - i - 1, used = 0;
    bool numeric = left && s[0] == '#';
    char name[LONGEST_NAME + 2];
    if (t->at[i] == '&') {
      size_t from = numeric ? 1 : 0;
      while (len < 24 && from + len < left && s[from + len] < 0x80 &&
             (host_is_letter(s[from + len]) || host_is_number(s[from + len]))) {
        name[len] = (char)s[from + len];
        len++;
      }
      if (len && from + len < left && s[from + len] == ';') {
        if (numeric) {
          HostText one = {0};
          used = numeric_reference(s, left, &one, &ok);
          if (used != from + len + 1) used = 0; // something stood between the digits and ';'
          for (size_t k = 0; used && k < one.n; k++) ok = ok && host_text_push(&out, one.at[k]);
          host_text_free(&one);
        } else {
          name[len++] = ';';
          name[len] = '\0';
          const Entity *e = find_entity(name);
          if (e) ok = push_entity(&out, e);
          if (e || shouted_entity(name, len, &out, &ok)) used = len;
        }
      }
    }
    if (used)
      i += used;
    else
      ok = ok && host_text_push(&out, t->at[i]);
  }
  return replace(t, &out, ok);
}

// ---- case ----
//
// Lower case as Python's str.lower() has it, which the authors' tokenizers call: the full mapping of Unicode
// (UnicodeData.txt with SpecialCasing.txt). Of SpecialCasing's lines for lower case that leaves two: U+0130 becomes "i"
// and U+0307, always; capital sigma becomes U+03C2 at the end of a word, which depends on what str.lower() is given.
//
//   whole text   CLIP's simple_tokenizer.py, `whitespace_clean(basic_clean(text)).lower()`, and ALBEF's and BLIP's
//                pre_caption, `caption.lower()`                                                   -> host_lower
//   a character  BertTokenizer: transformers' PreTrainedTokenizer.tokenize gives each character but those of special
//                tokens to .lower() by itself, `re.sub(r"(" + special + r")|(.+?)", ...)`, so that no sigma is the last
//                letter of a word                                                                 -> host_lower_each
//
// The lines for Lithuanian, Turkish and Azeri are never applied: str.lower() knows no language.

// Is c upper, lower or title case? (the property Cased: letters, and marks and signs that count as such)
static bool is_cased(uint32_t c) {
  static const uint32_t other[][2] = {{0xaa, 0xaa},       {0xba, 0xba},       {0x2b0, 0x2b8},    {0x2c0, 0x2c1},
                                      {0x2e0, 0x2e4},     {0x1d2c, 0x1d6a},   {0x2160, 0x217f},  {0x24b6, 0x24e9},
                                      {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};
  utf8proc_category_t k = category(c);
  if (k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT) return true;
  for (size_t i = 0; i < sizeof other / sizeof *other; i++)
    if (c >= other[i][0] && c <= other[i][1]) return true;
  return false;
}

// Characters that the final sigma rule looks through: marks, formats, modifiers, word-inner punctuation.
static bool is_case_ignorable(uint32_t c) {
  switch (category(c)) {
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_ME:
  case UTF8PROC_CATEGORY_CF:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_SK: return true;
  default:
    return c == '\'' || c == '.' || c == ':' || c == 0xb7 || c == 0x387 || c == 0x55f || c == 0x5f4 || c == 0x2018 ||
           c == 0x2019 || c == 0x2024 || c == 0x2027 || c == 0xfe13 || c == 0xfe52 || c == 0xfe55 || c == 0xff07 ||
           c == 0xff0e || c == 0xff1a;
  }
}

static bool push_lower(HostText *out, uint32_t c) {
  if (c == 0x130) return host_text_push(out, 'i') && host_text_push(out, 0x307);
  if (c < 0x80) return host_text_push(out, c >= 'A' && c <= 'Z' ? c | 32 : c);
  return host_text_push(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
}

bool host_lower(HostText *t) {
  HostText out = {0};
  bool ok = true;
  bool after_cased = false; // the last character that is not ignorable is cased
  size_t next = 0;          // first index > i that is not ignorable, found lazily: linear in all
  for (size_t i = 0; ok && i < t->n; i++) {
    uint32_t c = t->at[i];
    if (c == 0x3a3) { // capital sigma: final form at the end of a word
      if (next <= i) next = i + 1;
      while (next < t->n && is_case_ignorable(t->at[next])) next++;
      bool before_cased = next < t->n && is_cased(t->at[next]);
      ok = host_text_push(&out, after_cased && !before_cased ? 0x3c2 : 0x3c3);
    } else {
      ok = push_lower(&out, c);
    }
    if (!is_case_ignorable(c)) after_cased = is_cased(c);
  }
  return replace(t, &out, ok);
}

bool host_lower_each(HostText *t) {
  HostText out = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < t->n; i++) ok = push_lower(&out, t->at[i]);
  return replace(t, &out, ok);
}

// ---- normal forms ----
//
// utf8proc's own functions for whole texts put marks into order by exchanging neighbours, which takes the square of the
// marks on one letter. So only its tables and its composition, which is linear, are used; the order is made here.

static unsigned mark_class(uint32_t c) {
  return c < 0x300 ? 0 : (unsigned)utf8proc_get_property((utf8proc_int32_t)c)->combining_class;
}

// Sorts a run of marks by their class, equal ones as they stand; `spare` has room for n.
static void order_run(uint32_t *mark, size_t n, uint32_t *spare) {
  size_t start[257] = {0};
  for (size_t i = 0; i < n; i++) start[(mark_class(mark[i]) & 255) + 1]++;
  for (unsigned k = 0; k < 256; k++) start[k + 1] += start[k];
  for (size_t i = 0; i < n; i++) spare[start[mark_class(mark[i]) & 255]++] = mark[i];
  memcpy(mark, spare, n * sizeof *mark);
}

static bool order_marks(HostText *t) {
  uint32_t *spare = NULL;
  for (size_t i = 0, hi; i < t->n; i = hi) {
    bool sorted = true;
    hi = i + 1;
    unsigned last = mark_class(t->at[i]);
    while (last && hi < t->n && mark_class(t->at[hi])) {
      sorted = sorted && mark_class(t->at[hi]) >= last;
      last = mark_class(t->at[hi++]);
    }
    if (sorted) continue;
    if (!spare && !(spare = malloc(t->n * sizeof *spare))) return false;
    order_run(t->at + i, hi - i, spare);
  }
  free(spare);
  return true;
}

static bool is_plain(const HostText *t, uint32_t below) {
  for (size_t i = 0; i < t->n; i++)
    if (t->at[i] >= below) return false;
  return true;
}

static bool decompose(HostText *t, utf8proc_option_t how) {
  enum { MOST = 32 }; // of one character; U+FDFA has 18
  HostText out = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < t->n; i++) {
    utf8proc_int32_t part[MOST];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)t->at[i], part, MOST, how, &boundary);
    if (n < 0 || n > MOST) part[0] = (utf8proc_int32_t)t->at[i], n = 1;
    for (utf8proc_ssize_t k = 0; ok && k < n; k++) ok = host_text_push(&out, (uint32_t)part[k]);
  }
  return replace(t, &out, ok && order_marks(&out));
}

bool host_decompose(HostText *t) {
  return is_plain(t, 0xc0) || decompose(t, UTF8PROC_DECOMPOSE); // nothing below decomposes
}

bool host_decompose_compatible(HostText *t) {
  return is_plain(t, 0xa0) || decompose(t, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
}

bool host_compose(HostText *t) {
  if (is_plain(t, 0x300)) return true; // nothing below decomposes for good or combines with what is below
  if (!host_decompose(t)) return false;
  utf8proc_ssize_t n =
      utf8proc_normalize_utf32((utf8proc_int32_t *)t->at, (utf8proc_ssize_t)t->n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (n < 0) return false;
  t->n = (size_t)n;
  return true;
}

bool host_clean_text(HostText *t, bool fix) {
  if (fix && !host_fix_text(t)) return false;
  if (!host_unescape_html(t) || !host_unescape_html(t)) return false;
  host_strip(t);
  host_collapse_blanks(t);
  host_strip(t);
  return host_lower(t);
}
