// hf_normal.c - normalisers: Unicode's normal forms, case, accents, blanks, replacements, the table of SentencePiece.
//
// Each makes a text of a text and keeps how many of its bytes come from the first character given (HfText.zero).
#include "hf_parts.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static int category(uint32_t c) {
  return (int)utf8proc_category((utf8proc_int32_t)c);
}

static bool between(int k, int low, int high) {
  return k >= low && k <= high;
}

static bool is_control(uint32_t c) { // what the library's tables call other: Cc, Cf, Cs, Co
  return c != '\t' && c != '\n' && c != '\r' && between(category(c), UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CO);
}

static bool is_chinese(uint32_t c) {
  static const uint32_t range[][2] = {{0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df}, {0x2a700, 0x2b73f},
                                      {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0xf900, 0xfaff},   {0x2f800, 0x2fa1f}};
  for (size_t i = 0; c >= 0x3400 && i < sizeof range / sizeof *range; i++)
    if (c >= range[i][0] && c <= range[i][1]) return true;
  return false;
}

/* a character at a time -------------------------------------------------------------------------------------------- */
// Puts what becomes of c.
typedef bool Rule(uint32_t c, HfText *out);

static bool each(const HfText *in, HfText *out, Rule *rule) {
  size_t len;
  bool ok = true;
  for (size_t i = 0; i < in->n && ok; i += len) {
    ok = rule(hf_char(in->s + i, &len), out);
    if (i < in->zero) out->zero = out->n;
  }
  return ok;
}

static bool clean(uint32_t c, HfText *out) {
  if (!c || c == 0xfffd || is_control(c)) return true;
  return hf_put_char(out, host_is_white_space(c) ? ' ' : c);
}

static bool chinese(uint32_t c, HfText *out) {
  if (!is_chinese(c)) return hf_put_char(out, c);
  return hf_put_char(out, ' ') && hf_put_char(out, c) && hf_put_char(out, ' ');
}

static bool lower(uint32_t c, HfText *out) { // of each by itself: no sigma is final
  if (c < 0x80) return hf_put_char(out, c >= 'A' && c <= 'Z' ? c | 32 : c);
  if (c == 0x130) return hf_put_char(out, 'i') && hf_put_char(out, 0x307);
  return hf_put_char(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
}

static bool no_nonspacing(uint32_t c, HfText *out) {
  return (c >= 0x300 && category(c) == UTF8PROC_CATEGORY_MN) || hf_put_char(out, c);
}

static bool no_mark(uint32_t c, HfText *out) {
  return (c >= 0x300 && between(category(c), UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME)) || hf_put_char(out, c);
}

static bool nmt(uint32_t c, HfText *out) {
  static const uint32_t gone[][2] = {{1, 8}, {0xb, 0xb}, {0xe, 0x1f}, {0x7f, 0x7f}, {0x8f, 0x8f}, {0x9f, 0x9f}},
                        blank[][2] = {{9, 0xa},         {0xc, 0xd},       {0x1680, 0x1680}, {0x200b, 0x200f},
                                      {0x2028, 0x2029}, {0x2581, 0x2581}, {0xfeff, 0xfeff}, {0xfffd, 0xfffd}};
  for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
    if (c >= gone[i][0] && c <= gone[i][1]) return true;
  for (size_t i = 0; i < sizeof blank / sizeof *blank; i++)
    if (c >= blank[i][0] && c <= blank[i][1]) c = ' ';
  return hf_put_char(out, c);
}

static bool bytes_as_chars(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  (void)s, (void)run;
  return hf_put_bytes(in->s, in->n, in->zero, out);
}

/* normal forms ------------------------------------------------------------------------------------------------------
 */
// How many code points at the beginning of a decomposition come from the first character.
static size_t parts_of_first(const HfText *in, bool compatible) {
  size_t len, n = 0;
  HostText t = {0};
  if (!in->zero) return 0;
  hf_char(in->s, &len);
  bool ok = host_text_from_utf8(&t, in->s, len) && (compatible ? host_decompose_compatible(&t) : host_decompose(&t));
  n = ok ? t.n : 1;
  host_text_free(&t);
  return n;
}

static bool form(const HfText *in, HfText *out, bool compatible, bool compose) {
  bool plain = true;
  for (size_t i = 0; i < in->n && plain; i++) plain = (unsigned char)in->s[i] < 0x80;
  if (plain) {
    out->zero = in->zero;
    return hf_put(out, in->s, in->n);
  }
  HostText t = {0};
  bool ok = host_text_from_utf8(&t, in->s, in->n) &&
            (compatible ? host_decompose_compatible(&t) : host_decompose(&t)) && (!compose || host_compose(&t));
  size_t of_first = compose ? in->zero > 0 : parts_of_first(in, compatible);
  for (size_t i = 0; i < t.n && ok; i++) {
    ok = hf_put_char(out, t.at[i]);
    if (i < of_first) out->zero = out->n;
  }
  host_text_free(&t);
  return ok;
}

static bool nfc(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  return (void)s, (void)run, form(in, out, false, true);
}
static bool nfd(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  return (void)s, (void)run, form(in, out, false, false);
}
static bool nfkc(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  return (void)s, (void)run, form(in, out, true, true);
}
static bool nfkd(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  return (void)s, (void)run, form(in, out, true, false);
}

/* whole steps -------------------------------------------------------------------------------------------------------
 */
static bool lowercase(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  return (void)s, (void)run, each(in, out, lower);
}
static bool strip_accents(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  return (void)s, (void)run, each(in, out, no_mark);
}
static bool clean_nmt(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  return (void)s, (void)run, each(in, out, nmt);
}

// t becomes what a rule makes of it.
static bool apply(HfText *t, Rule *rule) {
  HfText out = {0};
  bool ok = hf_put(&out, "", 0) && (rule ? each(t, &out, rule) : form(t, &out, false, false));
  if (ok) {
    free(t->s);
    *t = out;
  } else {
    free(out.s);
  }
  return ok;
}

enum { CLEAN, CHINESE, ACCENTS, LOWER };

static bool bert(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  (void)run;
  bool accents = s->flag[ACCENTS] < 0 ? s->flag[LOWER] : s->flag[ACCENTS];
  out->zero = in->zero;
  return hf_put(out, in->s, in->n) && (!s->flag[CLEAN] || apply(out, clean)) &&
         (!s->flag[CHINESE] || apply(out, chinese)) && (!accents || (apply(out, NULL) && apply(out, no_nonspacing))) &&
         (!s->flag[LOWER] || apply(out, lower));
}

static bool strip(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  size_t from = 0, to = in->n, len;
  (void)run;
  while (s->flag[0] && from < to && host_is_white_space(hf_char(in->s + from, &len))) from += len;
  while (s->flag[1] && from < to) {
    size_t last = to - 1;
    while (((unsigned char)in->s[last] & 0xc0) == 0x80) last--;
    if (!host_is_white_space(hf_char(in->s + last, &len))) break;
    to = last;
  }
  out->zero = from < in->zero ? in->zero - from : 0;
  if (out->zero > to - from) out->zero = to - from;
  return hf_put(out, in->s + from, to - from);
}

static bool replace(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  bool ok = hf_pattern_all(&s->pattern, run, in->s, in->n, &run->matches);
  for (size_t i = 0; i < run->matches.n && ok; i++) {
    HfMatch m = run->matches.at[i];
    size_t kept = out->n;
    ok = m.is ? hf_put(out, s->word[0].s, s->word[0].n) : hf_put(out, in->s + m.at, m.end - m.at);
    if (!ok) return host_no_memory(run->err);
    if (m.is && (m.end ? m.end - 1 < in->zero : in->zero > 0)) out->zero = out->n;
    if (!m.is && m.at < in->zero) out->zero = kept + (m.end < in->zero ? m.end : in->zero) - m.at;
  }
  return ok;
}

static bool prepend(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  (void)run;
  if (!in->n) return true;
  out->zero = in->zero ? s->word[0].n + in->zero : 0;
  return hf_put(out, s->word[0].s, s->word[0].n) && hf_put(out, in->s, in->n);
}

/* the table of SentencePiece ----------------------------------------------------------------------------------------
 */
typedef struct Table {
  const unsigned char *trie; // little-endian 32-bit units of a double array
  size_t units;
  const char *strings; // zero-ended
  size_t bytes;
} Table;

static Table table_of(const HfStep *s) {
  uint32_t size =
      (uint32_t)s->map[0] | (uint32_t)s->map[1] << 8 | (uint32_t)s->map[2] << 16 | (uint32_t)s->map[3] << 24;
  return (Table){s->map + 4, size / 4, (const char *)s->map + 4 + size, s->map_bytes - 4 - size};
}

static bool ready_table(HfStep *s, HfPool *pool, const HfNode *at, HostError *err) {
  (void)pool;
  uint32_t size = s->map_bytes < 8 ? 0
                                   : (uint32_t)s->map[0] | (uint32_t)s->map[1] << 8 | (uint32_t)s->map[2] << 16 |
                                         (uint32_t)s->map[3] << 24;
  bool ok = size && size % 4 == 0 && size < s->map_bytes - 4 && s->map[s->map_bytes - 1] == 0;
  return ok || hf_fail(at, err, "precompiled_charsmap is damaged");
}

static uint32_t unit_at(const Table *t, size_t i) {
  const unsigned char *p = t->trie + 4 * i;
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

// What the shortest rule that s begins with makes of it; NULL: there is none. (The library takes the shortest, and for
// all of the cluster that it asks for; SentencePiece itself takes the longest.)
static const char *rule_of(const Table *t, const char *s, size_t n) {
  size_t node = 0;
  uint32_t u = unit_at(t, 0);
  node ^= (size_t)(u >> 10) << ((u & 1u << 9) >> 6);
  for (size_t i = 0; i < n && s[i]; i++) {
    unsigned char c = (unsigned char)s[i];
    node ^= c;
    if (node >= t->units) return NULL;
    u = unit_at(t, node);
    if ((u & (1u << 31 | 0xff)) != c) return NULL;
    node ^= (size_t)(u >> 10) << ((u & 1u << 9) >> 6);
    if (!(u >> 8 & 1)) continue;
    size_t value = node < t->units ? unit_at(t, node) & 0x7fffffff : t->bytes;
    return value < t->bytes ? t->strings + value : NULL;
  }
  return NULL;
}

enum { SHORT_CLUSTER = 6 }; // bytes below which a cluster is looked up as a whole

static bool charsmap(const HfStep *s, HfRun *run, const HfText *in, HfText *out) {
  Table t = table_of(s);
  size_t len, cluster;
  (void)run;
  for (size_t at = 0; at < in->n; at += cluster) { // a grapheme cluster
    utf8proc_int32_t state = 0, before = (utf8proc_int32_t)hf_char(in->s + at, &cluster);
    while (at + cluster < in->n) {
      utf8proc_int32_t c = (utf8proc_int32_t)hf_char(in->s + at + cluster, &len);
      if (utf8proc_grapheme_break_stateful(before, c, &state)) break;
      before = c;
      cluster += len;
    }
    const char *to = cluster < SHORT_CLUSTER ? rule_of(&t, in->s + at, cluster) : NULL;
    if (to && !hf_put(out, to, strlen(to))) return false;
    if (to && at < in->zero) out->zero = out->n;
    for (size_t i = 0; i < cluster && !to; i += len) {
      hf_char(in->s + at + i, &len);
      const char *one = rule_of(&t, in->s + at + i, len);
      if (!hf_put(out, one ? one : in->s + at + i, one ? strlen(one) : len)) return false;
      if (at + i < in->zero) out->zero = out->n;
    }
  }
  return true;
}

static const HfKind kinds[] = {
    {"BertNormalizer",
     {{"clean_text", HF_BOOL, CLEAN, HF_NEEDED},
      {"handle_chinese_chars", HF_BOOL, CHINESE, HF_NEEDED},
      {"strip_accents", HF_MAYBE, ACCENTS, -1},
      {"lowercase", HF_BOOL, LOWER, HF_NEEDED}},
     .normal = bert},
    {"NFC", .normal = nfc},
    {"NFD", .normal = nfd},
    {"NFKC", .normal = nfkc},
    {"NFKD", .normal = nfkd},
    {"Lowercase", .normal = lowercase},
    {"StripAccents", .normal = strip_accents},
    {"Strip", {{"strip_left", HF_BOOL, 0, HF_NEEDED}, {"strip_right", HF_BOOL, 1, HF_NEEDED}}, .normal = strip},
    {"Replace", {{"pattern", HF_PATTERN, 0, HF_NEEDED}, {"content", HF_STRING, 0, HF_NEEDED}}, .normal = replace},
    {"Prepend", {{"prepend", HF_STRING, 0, HF_NEEDED}}, .normal = prepend},
    {"Nmt", .normal = clean_nmt},
    {"ByteLevel", .normal = bytes_as_chars},
    {"Precompiled", {{"precompiled_charsmap", HF_CHARSMAP, 0, HF_NEEDED}}, .ready = ready_table, .normal = charsmap},
    {"Sequence", {{"normalizers", HF_STEPS, 0, HF_NEEDED}}, .ready = NULL},
    {0}};
const HfSection hf_normalizer = {"normalizer", kinds, " "};

bool hf_normalise(const HfStep *s, HfRun *run, HfText *t) {
  if (!s->kind) return true;
  for (size_t i = 0; i < s->n; i++) // of a Sequence
    if (!hf_normalise(&s->step[i], run, t)) return false;
  if (!s->kind->normal) return true;
  HfText out = {0};
  run->err->text[0] = 0;
  if (!hf_put(&out, "", 0) || !s->kind->normal(s, run, t, &out)) {
    free(out.s);
    return run->err->text[0] ? false : host_no_memory(run->err);
  }
  free(t->s);
  *t = out;
  return true;
}

static bool lowers(const HfStep *s) {
  if (!s->kind) return false;
  for (size_t i = 0; i < s->n; i++)
    if (lowers(&s->step[i])) return true;
  return s->kind->normal == lowercase || (s->kind->normal == bert && s->flag[LOWER]);
}

static bool says_case(const HfStep *s) {
  if (!s->kind) return false;
  for (size_t i = 0; i < s->n; i++)
    if (says_case(&s->step[i])) return true;
  return s->kind->normal == lowercase || s->kind->normal == bert;
}

int host_hf_lowers(const HostHf *t) {
  return !says_case(&t->normalizer) ? -1 : lowers(&t->normalizer);
}
