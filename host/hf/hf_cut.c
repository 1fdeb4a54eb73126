// hf_cut.c - pre-tokenizers: each cuts every piece that is no token into pieces, some write them anew.
#include "hf_parts.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static bool is_punctuation(uint32_t c) {
  if (c < 0x80) return (c > 32 && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || (c > 'z' && c < 127);
  int k = (int)utf8proc_category((utf8proc_int32_t)c);
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

static bool is_delimiter(uint32_t c, const HfStep *s) {
  size_t len;
  return c == hf_char(s->word[0].s, &len);
}

typedef bool Is(uint32_t c, const HfStep *s);
static bool white_space(uint32_t c, const HfStep *s) {
  return (void)s, host_is_white_space(c);
}
static bool punctuation_mark(uint32_t c, const HfStep *s) {
  return (void)s, is_punctuation(c);
}
static bool numeric(uint32_t c, const HfStep *s) {
  return (void)s, host_is_number(c);
}

// Matches of characters, one each, as the library makes them.
static bool cut_chars(const HfStep *s, HfRun *run, const char *in, HfPiece p, HfPieces *out, Is *is, HfBehaviour how) {
  HfMatches *m = &run->matches;
  size_t len, before = 0;
  m->n = 0;
  for (size_t i = 0; i < p.n; i += len) {
    if (!is(hf_char(in + i, &len), s)) continue;
    if ((before < i && !hf_add_match(m, before, i, false)) || !hf_add_match(m, i, i + len, true)) return false;
    before = i + len;
  }
  return (before == p.n || hf_add_match(m, before, p.n, false)) && hf_cut(out, p, m, how);
}

// The piece as it is at the end of out's text.
static bool copy(const char *in, HfPiece *p, HfPieces *out) {
  p->at = out->text.n;
  return hf_put(&out->text, in, p->n);
}

static bool whitespace_split(const HfStep *s, HfRun *run, const char *in, HfPiece p, HfPieces *out) {
  return copy(in, &p, out) && cut_chars(s, run, in, p, out, white_space, HF_REMOVED);
}

static bool punctuation(const HfStep *s, HfRun *run, const char *in, HfPiece p, HfPieces *out) {
  return copy(in, &p, out) && cut_chars(s, run, in, p, out, punctuation_mark, (HfBehaviour)s->flag[0]);
}

static bool digits(const HfStep *s, HfRun *run, const char *in, HfPiece p, HfPieces *out) {
  return copy(in, &p, out) && cut_chars(s, run, in, p, out, numeric, s->flag[0] ? HF_ISOLATED : HF_CONTIGUOUS);
}

static bool delimiter(const HfStep *s, HfRun *run, const char *in, HfPiece p, HfPieces *out) {
  return copy(in, &p, out) && cut_chars(s, run, in, p, out, is_delimiter, HF_REMOVED);
}

// Words between blanks, and in them every punctuation mark by itself.
static bool bert(const HfStep *s, HfRun *run, const char *in, HfPiece p, HfPieces *out) {
  HfMatches *m = &run->matches;
  size_t len, before = 0;
  (void)s;
  if (!copy(in, &p, out)) return false;
  m->n = 0;
  for (size_t i = 0; i < p.n; i += len) {
    uint32_t c = hf_char(in + i, &len);
    bool blank = host_is_white_space(c);
    if (!blank && !is_punctuation(c)) continue;
    if (before < i && !hf_add_match(m, before, i, false)) return false;
    if (!hf_add_match(m, i, i + len, blank)) return false;
    before = i + len;
  }
  return (before == p.n || hf_add_match(m, before, p.n, false)) && hf_cut(out, p, m, HF_REMOVED);
}

static bool split(const HfStep *s, HfRun *run, const char *in, HfPiece p, HfPieces *out) {
  HfMatches *m = &run->matches;
  if (!copy(in, &p, out) || !hf_pattern_all(&s->pattern, run, in, p.n, m)) return false;
  for (size_t i = 0; i < m->n && s->flag[1]; i++) m->at[i].is = !m->at[i].is;
  return hf_cut(out, p, m, (HfBehaviour)s->flag[0]);
}

static bool ready_whitespace(HfStep *s, HfPool *pool, const HfNode *at, HostError *err) {
  (void)at;
  s->pattern.regex = hf_regex_new(pool, hf_word_pattern, strlen(hf_word_pattern), err);
  s->flag[0] = HF_REMOVED;
  s->flag[1] = true; // what is no word
  return s->pattern.regex != NULL;
}

enum { PREFIX, REGEX };

static bool ready_bytes(HfStep *s, HfPool *pool, const HfNode *at, HostError *err) {
  (void)at;
  if (s->flag[REGEX]) s->pattern.regex = hf_regex_new(pool, hf_gpt2_pattern, strlen(hf_gpt2_pattern), err);
  return !s->flag[REGEX] || s->pattern.regex;
}

// GPT-2's: a space in front, words with the space before them, and then each byte as a character.
static bool byte_level(const HfStep *s, HfRun *run, const char *in, HfPiece p, HfPieces *out) {
  HfText with = {0};
  HfMatches *m = &run->matches;
  bool space = s->flag[PREFIX] && in[0] != ' ';
  bool ok = (!space || hf_put(&with, " ", 1)) && hf_put(&with, in, p.n);
  size_t zero = p.zero ? p.zero + space : 0;
  m->n = 0;
  if (ok && s->flag[REGEX]) ok = hf_regex_all(s->pattern.regex, run, with.s, with.n, m);
  if (ok && !s->flag[REGEX]) ok = hf_add_match(m, 0, with.n, true);
  for (size_t i = 0; i < m->n && ok; i++) {
    size_t at = out->text.n, from = m->at[i].at, n = m->at[i].end - from;
    size_t mine = zero > from ? zero - from : 0;
    out->text.zero = at;
    ok = hf_put_bytes(with.s + from, n, mine < n ? mine : n, &out->text) &&
         hf_add_piece(out, (HfPiece){at, out->text.n - at, out->text.zero - at, -1});
  }
  free(with.s);
  return ok;
}

enum { SCHEME, PREFIXED, SPLIT };
enum { NEVER, FIRST, ALWAYS };

// "add_prefix_space" is what older files say instead of prepend_scheme.
bool hf_ready_scheme(HfStep *s, HfPool *pool, const HfNode *at, HostError *err) {
  (void)pool;
  HfNode scheme = hf_member(at, "prepend_scheme");
  if (s->flag[PREFIXED] != 0) return true;
  if (scheme.v && s->flag[SCHEME] != NEVER)
    return hf_fail(at, err, "add_prefix_space = false contradicts prepend_scheme");
  s->flag[SCHEME] = NEVER;
  return true;
}

static bool metaspace(const HfStep *s, HfRun *run, const char *in, HfPiece p, HfPieces *out) {
  HfMatches *m = &run->matches;
  HfStr mark = s->word[0];
  size_t at = out->text.n, len, zero = p.zero;
  bool marked = in[0] == ' ' || (p.n >= mark.n && !memcmp(in, mark.s, mark.n));
  bool ahead = !marked && (s->flag[SCHEME] == ALWAYS || (s->flag[SCHEME] == FIRST && p.zero));
  bool ok = !ahead || hf_put(&out->text, mark.s, mark.n);
  if (ahead && zero) zero += mark.n;
  if (in[0] == ' ' && zero) zero = mark.n;
  for (size_t i = 0; i < p.n && ok; i += len) {
    hf_char(in + i, &len);
    ok = in[i] == ' ' ? hf_put(&out->text, mark.s, mark.n) : hf_put(&out->text, in + i, len);
  }
  HfPiece made = {at, out->text.n - at, zero, -1};
  if (!ok) return false;
  if (!s->flag[SPLIT]) return hf_add_piece(out, made);
  size_t before = 0;
  m->n = 0;
  for (size_t i = 0; i < made.n && ok; i += len) {
    hf_char(out->text.s + at + i, &len);
    if (len != mark.n || memcmp(out->text.s + at + i, mark.s, len) != 0) continue;
    ok = (before == i || hf_add_match(m, before, i, false)) && hf_add_match(m, i, i + len, true);
    before = i + len;
  }
  return ok && (before == made.n || hf_add_match(m, before, made.n, false)) && hf_cut(out, made, m, HF_NEXT);
}

static const HfKind kinds[] = {{"BertPreTokenizer", .cut = bert},
                               {"ByteLevel",
                                {{"add_prefix_space", HF_BOOL, PREFIX, HF_NEEDED},
                                 {"trim_offsets", HF_PASSED, 0, 0},
                                 {"use_regex", HF_BOOL, REGEX, true}},
                                .ready = ready_bytes,
                                .cut = byte_level},
                               {"Whitespace", .ready = ready_whitespace, .cut = split},
                               {"WhitespaceSplit", .cut = whitespace_split},
                               {"Metaspace",
                                {{"replacement", HF_CHAR, 0, HF_NEEDED},
                                 {"add_prefix_space", HF_MAYBE, PREFIXED, -1},
                                 {"prepend_scheme", HF_SCHEME, SCHEME, ALWAYS},
                                 {"split", HF_MAYBE, SPLIT, true},
                                 {"str_rep", HF_STRING, 1, 0}},
                                .ready = hf_ready_scheme,
                                .cut = metaspace},
                               {"Punctuation", {{"behavior", HF_BEHAVIOUR, 0, HF_ISOLATED}}, .cut = punctuation},
                               {"Digits", {{"individual_digits", HF_BOOL, 0, HF_NEEDED}}, .cut = digits},
                               {"Split",
                                {{"pattern", HF_PATTERN, 0, HF_NEEDED},
                                 {"behavior", HF_BEHAVIOUR, 0, HF_NEEDED},
                                 {"invert", HF_BOOL, 1, HF_NEEDED}},
                                .cut = split},
                               {"CharDelimiterSplit", {{"delimiter", HF_CHAR, 0, HF_NEEDED}}, .cut = delimiter},
                               {"Sequence", {{"pretokenizers", HF_STEPS, 0, HF_NEEDED}}, .ready = NULL},
                               {0}};
const HfSection hf_pre_tokenizer = {"pre_tokenizer", kinds, " UnicodeScripts FixedLength "};

bool hf_cut_all(const HfStep *s, HfRun *run, HfPieces *p) {
  if (!s->kind) return true;
  for (size_t i = 0; i < s->n; i++) // of a Sequence
    if (!hf_cut_all(&s->step[i], run, p)) return false;
  if (!s->kind->cut) return true;
  HfPieces out = {0};
  bool ok = hf_put(&out.text, "", 0);
  run->err->text[0] = 0;
  for (size_t i = 0; i < p->n && ok; i++) {
    HfPiece one = p->at[i];
    ok = one.id >= 0 ? hf_add_piece(&out, one) : s->kind->cut(s, run, p->text.s + one.at, one, &out);
  }
  hf_pieces_free(p);
  *p = out;
  return ok || run->err->text[0] ? ok : host_no_memory(run->err);
}
