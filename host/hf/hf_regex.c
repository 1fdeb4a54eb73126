// hf_regex.c - regular expressions of tokenizer files, which are Oniguruma's, by PCRE2.
//
// A pattern is read once and written anew for PCRE2, so that what both would read differently has PCRE2's words for
// what Oniguruma means by it: \s, \d and \w are properties of Unicode spelled out, scripts are not script extensions,
// \v is one character, sets in sets are joined, {,n} counts from 0. What has no such words is refused by name.
#include "hf_parts.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  MOST_PATTERN = 64 << 10,
  // Steps of one match: ordinary patterns take tens for a word, and some for each blank of a row of them.
  LEAST_STEPS = 100 * 1000,
  STEPS_A_BYTE = 20,
  MOST_HEAP = 64 << 10, // KiB
  STACK = 32 << 10,
  MOST_STACK = 4 << 20
};

#define SPACES                                                                                                         \
  "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NO_SPACES                                                                                                      \
  "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"   \
  "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define WORDS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
// One character that Oniguruma asks by itself has Latin-1's numbers too, which its sets do not.
#define LONE_WORDS WORDS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define RUST_WORDS WORDS "\\x{200c}\\x{200d}" // those of Rust's regex, which the library's own patterns are for

const char hf_word_pattern[] = "[" RUST_WORDS "]+|[^" RUST_WORDS SPACES "]+";
const char hf_word_at_start[] = "\\A[" RUST_WORDS "]";
const char hf_gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACES "\\p{L}\\p{N}]+|[" SPACES
                               "]+(?![" NO_SPACES "])|[" SPACES "]+";

struct HfRegex {
  pcre2_code *code;
};

/* writing a pattern anew ------------------------------------------------------------------------------------------- */
typedef struct Reader {
  const char *at, *end;
  HfText *out;
  HostError *err;
  unsigned depth;   // of sets
  bool fold;        // (?i: is open somewhere
  unsigned groups;  // open ones
  unsigned fold_at; // the group that (?i: opened
} Reader;

static bool put(Reader *r, const char *s) {
  return hf_put(r->out, s, strlen(s)) || host_no_memory(r->err);
}

static bool no(Reader *r, const char *what) {
  return host_fail(r->err, "in the regular expression %s", what);
}

// Properties that are the same in both, between blanks, and scripts.
static const char categories[] = " L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl "
                                 "Zp C Cc Cf Co ";
static const char scripts[] =
    " Han Hiragana Katakana Hangul Latin Greek Cyrillic Arabic Hebrew Thai Devanagari Bengali Tamil Telugu Kannada "
    "Malayalam Gujarati Gurmukhi Sinhala Khmer Lao Myanmar Tibetan Georgian Armenian Ethiopic Mongolian Bopomofo ";

static bool listed(const char *list, const char *s, size_t n) {
  for (const char *p = list; (p = strchr(p, ' ')) && p[1]; p++)
    if (!strncmp(p + 1, s, n) && p[1 + n] == ' ') return n > 0;
  return false;
}

static bool property(Reader *r, bool not ) {
  if (r->at == r->end || *r->at != '{') return no(r, "\\p needs a name in braces");
  const char *close = memchr(r->at, '}', (size_t)(r->end - r->at)), *name = r->at + 1;
  if (!close) return no(r, "\\p{ has no end");
  if (*name == '^') name++, not = !not ;
  size_t n = (size_t)(close - name);
  bool script = listed(scripts, name, n);
  if (!script && !listed(categories, name, n))
    return host_fail(r->err,
                     "in the regular expression \\p{%.*s} is neither a general category of Unicode by its short name "
                     "nor a script that is read",
                     n > 40 ? 40 : (int)n, name);
  if (r->fold && !script) return no(r, "\\p within (?i: is read differently by others");
  r->at = close + 1;
  return put(r, not ? "\\P{" : "\\p{") && put(r, script ? "sc:" : "") && hf_put(r->out, name, n) && put(r, "}");
}

static int hex(char c) {
  const char *digits = "0123456789abcdef", *d = c ? strchr(digits, c >= 'A' && c <= 'F' ? c | 32 : c) : NULL;
  return d ? (int)(d - digits) : -1;
}

// \xHH, \x{H..}, \uHHHH: the digits.
static bool number(Reader *r, char kind) {
  uint32_t v = 0;
  size_t digits = 0;
  bool braces = kind == 'x' && r->at < r->end && *r->at == '{';
  r->at += braces;
  for (size_t most = braces ? 6 : kind == 'u' ? 4 : 2; digits < most && r->at < r->end && hex(*r->at) >= 0; digits++)
    v = 16 * v + (uint32_t)hex(*r->at++);
  if (!digits || (kind == 'u' && digits < 4) || (braces && (r->at == r->end || *r->at++ != '}')) || v > 0x10ffff ||
      (v >= 0xd800 && v < 0xe000) || !v)
    return host_fail(r->err, "in the regular expression \\%c has no number of a character", kind);
  if (kind == 'x' && !braces && v > 0x7f) return no(r, "\\xHH above 7f is a byte, not a character; write \\x{HH}");
  char s[16];
  snprintf(s, sizeof s, "\\x{%x}", (unsigned)v);
  return put(r, s);
}

// Escapes that stand for a set or a place, in and outside a set; NULL: refused there.
static const struct {
  char c;
  const char *outside, *inside;
} escape[] = {
    {'s', "[" SPACES "]", SPACES},
    {'S', "[" NO_SPACES "]", NO_SPACES},
    {'d', "\\p{Nd}", "\\p{Nd}"},
    {'D', "\\P{Nd}", "\\P{Nd}"},
    {'w', "[" LONE_WORDS "]", WORDS},
    {'W', "[^" LONE_WORDS "]", NULL},
    {'b', "(?:(?<=[" LONE_WORDS "])(?![" LONE_WORDS "])|(?<![" LONE_WORDS "])(?=[" LONE_WORDS "]))", "\\x{8}"},
    {'n', "\\x{a}", "\\x{a}"},
    {'r', "\\x{d}", "\\x{d}"},
    {'t', "\\x{9}", "\\x{9}"},
    {'f', "\\x{c}", "\\x{c}"},
    {'v', "\\x{b}", "\\x{b}"},
    {'a', "\\x{7}", "\\x{7}"},
    {'e', "\\x{1b}", "\\x{1b}"},
    {'A', "\\A", NULL},
    {'z', "\\z", NULL},
    {'Z', "\\Z", NULL}};

static bool escaped(Reader *r) { // behind the backslash
  if (r->at == r->end) return no(r, "a backslash stands at the end");
  unsigned char c = (unsigned char)*r->at++;
  if (c == 'p' || c == 'P') return property(r, c == 'P');
  if (c == 'x' || c == 'u') return number(r, (char)c);
  for (size_t i = 0; i < sizeof escape / sizeof *escape; i++) {
    if (escape[i].c != (char)c) continue;
    const char *to = r->depth ? escape[i].inside : escape[i].outside;
    if (to) return put(r, to);
  }
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
    return host_fail(r->err, "in the regular expression \\%c%s is not read", c, r->depth ? " in a set" : "");
  if (c >= 0x80) return no(r, "a backslash stands in front of a letter");
  char s[3] = {'\\', (char)c, 0};
  return put(r, s);
}

// A set, behind its [; sets in it are joined to it.
static bool set(Reader *r) {
  bool first = true;
  bool not = r->at < r->end && *r->at == '^';
  if (r->depth && not ) return no(r, "a set [^..] within a set is not read");
  if (r->depth > 8) return no(r, "sets lie too deep in each other");
  r->at += not ;
  bool ok = r->depth || put(r, not ? "[^" : "[");
  r->depth++;
  for (; ok; first = false) {
    if (r->at == r->end) return no(r, "a set has no end");
    char c = *r->at++;
    if (c == ']' && first) return no(r, "a set is empty");
    if (c == ']') break;
    if (c == '[' && r->at < r->end && *r->at == ':') return no(r, "a class such as [:alpha:] is not read");
    if (c == '&' && r->at < r->end && *r->at == '&') return no(r, "&& of sets is not read");
    if (c == '-' && r->at < r->end && *r->at == '[') return no(r, "a range that ends in a set is not read");
    if (c == '[')
      ok = set(r);
    else if (c == '\\')
      ok = escaped(r);
    else
      ok = hf_put(r->out, &c, 1) || host_no_memory(r->err);
  }
  r->depth--;
  return ok && (r->depth || put(r, "]"));
}

static bool group(Reader *r) { // behind its (
  static const char *const read[] = {"?:", "?=", "?!", "?<=", "?<!", "?>"};
  size_t left = (size_t)(r->end - r->at);
  r->groups++;
  if (!left || *r->at != '?') return put(r, "(");
  if (left >= 3 && !strncmp(r->at, "?i:", 3)) {
    if (r->fold) return no(r, "(?i: stands within another");
    r->fold = true;
    r->fold_at = r->groups;
    r->at += 3;
    return put(r, "(?i:");
  }
  for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
    size_t n = strlen(read[i]);
    if (left < n || strncmp(r->at, read[i], n) != 0) continue;
    r->at += n;
    return put(r, "(") && put(r, read[i]);
  }
  return host_fail(r->err, "in the regular expression the group (%.*s is not read", left < 4 ? (int)left : 4, r->at);
}

// {n}, {n,}, {n,m}, {,m}: what is none is a brace.
static bool interval(Reader *r) {
  const char *p = r->at;
  size_t low = 0, high = 0;
  while (p < r->end && *p >= '0' && *p <= '9') p++, low++;
  bool comma = p < r->end && *p == ',';
  p += comma;
  while (comma && p < r->end && *p >= '0' && *p <= '9') p++, high++;
  if (p == r->end || *p != '}' || !(low || high)) return put(r, "\\{");
  p++;
  if (low > 4 || high > 4) return no(r, "a count has more than four digits");
  if (p < r->end && (*p == '+' || *p == '*' || *p == '{' || (*p == '?' && !comma)))
    return no(r, "a count {..} with another behind it is read differently by others");
  bool ok = put(r, low ? "{" : "{0") && hf_put(r->out, r->at, (size_t)(p - r->at));
  r->at = p;
  if (ok && p < r->end && *p == '?') r->at++, ok = put(r, "?");
  return ok || host_no_memory(r->err);
}

static bool repeat(Reader *r, char c) { // * + ? was taken
  char s[3] = {c, 0, 0};
  if (r->at < r->end && (*r->at == '?' || *r->at == '+')) s[1] = *r->at++;
  if (r->at < r->end && strchr("*+?{", *r->at)) return no(r, "counts stand behind each other");
  return put(r, s);
}

// Letters that are one character where case is ignored: ss and the sharp s.
static bool folds(const Reader *r) {
  static const char *const pair[] = {"ss", "ff", "fi", "fl", "st"};
  if (r->end - r->at < 2) return false;
  char two[3] = {(char)(r->at[0] | 32), (char)(r->at[1] | 32), 0};
  for (size_t i = 0; i < sizeof pair / sizeof *pair; i++)
    if (!strcmp(two, pair[i])) return true;
  return false;
}

static bool one(Reader *r) {
  if (r->fold && folds(r)) return no(r, "letters that fold to one character stand within (?i:");
  char c = *r->at++;
  if (r->fold && (unsigned char)c >= 0x80) return no(r, "a letter that is not ASCII stands within (?i:");
  switch (c) {
  case '\\': return escaped(r);
  case '[': return set(r);
  case '(': return group(r);
  case ')':
    if (!r->groups) return no(r, ") has no (");
    if (r->fold && r->groups == r->fold_at) r->fold = false;
    r->groups--;
    return put(r, ")");
  case '{': return interval(r);
  case '*':
  case '+':
  case '?': return repeat(r, c);
  default: return hf_put(r->out, &c, 1) || host_no_memory(r->err);
  }
}

static bool rewrite(const char *s, size_t n, HfText *out, HostError *err) {
  Reader r = {.at = s, .end = s + n, .out = out, .err = err};
  if (!n) return no(&r, "there is nothing");
  if (n > MOST_PATTERN) return host_fail(err, "the regular expression has more than %d bytes", (int)MOST_PATTERN);
  if (n > 4 && !strncmp(s, "(?i)", 4)) return no(&r, "(?i) is read differently by others; write (?i:..)");
  while (r.at < r.end)
    if (!one(&r)) return false;
  return !r.groups || no(&r, "( has no )");
}

/* matching ----------------------------------------------------------------------------------------------------------
 */
static void drop(void *object) {
  pcre2_code_free(object);
}

static HfRegex *compile(HfPool *pool, const char *s, size_t n, HostError *err) {
  HfRegex *r = hf_new(pool, sizeof *r);
  pcre2_compile_context *c = r ? pcre2_compile_context_create(NULL) : NULL;
  if (!c) {
    host_no_memory(err);
    return NULL;
  }
  int code = 0;
  PCRE2_SIZE at = 0;
  pcre2_set_newline(c, PCRE2_NEWLINE_LF);
  r->code = pcre2_compile((PCRE2_SPTR)s, n, PCRE2_UTF | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &at, c);
  pcre2_compile_context_free(c);
  if (!r->code) {
    PCRE2_UCHAR why[160];
    if (pcre2_get_error_message(code, why, sizeof why) < 0) why[0] = 0;
    host_fail(err, "PCRE2 refuses the regular expression: %s", (const char *)why);
    return NULL;
  }
  (void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); // where there is none the interpreter runs
  if (hf_own(pool, r->code, drop)) return r;
  host_no_memory(err);
  return NULL;
}

HfRegex *hf_regex_new(HfPool *pool, const char *pattern, size_t n, HostError *err) {
  HfText t = {0};
  HfRegex *r = NULL;
  bool own = pattern == hf_word_pattern || pattern == hf_gpt2_pattern || pattern == hf_word_at_start;
  if (own) return compile(pool, pattern, n, err);
  if (rewrite(pattern, n, &t, err)) r = compile(pool, t.s, t.n, err);
  free(t.s);
  return r;
}

struct HfScratch { // what matching needs, once a call
  pcre2_match_context *how;
  pcre2_jit_stack *stack;
  pcre2_match_data *data;
};

void hf_scratch_free(HfScratch *s) {
  if (!s) return;
  pcre2_jit_stack_free(s->stack);
  pcre2_match_data_free(s->data);
  pcre2_match_context_free(s->how);
  free(s);
}

static HfScratch *scratch(HfRun *run) {
  if (run->scratch) return run->scratch;
  HfScratch *s = calloc(1, sizeof *s);
  if (s) {
    s->how = pcre2_match_context_create(NULL);
    s->data = pcre2_match_data_create(1, NULL);
    s->stack = pcre2_jit_stack_create(STACK, MOST_STACK, NULL); // NULL where there is no JIT
  }
  if (!s || !s->how || !s->data) {
    hf_scratch_free(s);
    host_no_memory(run->err);
    return NULL;
  }
  pcre2_set_heap_limit(s->how, MOST_HEAP);
  if (s->stack) pcre2_jit_stack_assign(s->how, NULL, s->stack);
  return run->scratch = s;
}

// The match at or behind `from`: 1, 0 if there is none, below that an error of PCRE2's.
static int next(const HfRegex *r, const HfScratch *x, const char *text, size_t n, size_t from) {
  PCRE2_SPTR t = (PCRE2_SPTR)text;
  int got = pcre2_match(r->code, t, n, from, PCRE2_NO_UTF_CHECK, x->data, x->how);
  if (got == PCRE2_ERROR_JIT_STACKLIMIT)
    got = pcre2_match(r->code, t, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, x->data, x->how);
  return got == PCRE2_ERROR_NOMATCH ? 0 : got < 0 ? got : 1;
}

static uint32_t most_steps(size_t n) { // of a match in a text of n bytes
  return n < (UINT32_MAX - LEAST_STEPS) / STEPS_A_BYTE ? (uint32_t)(LEAST_STEPS + STEPS_A_BYTE * n) : UINT32_MAX;
}

static bool failed(int code, size_t n, HostError *err) {
  if (code == PCRE2_ERROR_NOMEMORY) return host_no_memory(err);
  if (code == PCRE2_ERROR_MATCHLIMIT || code == PCRE2_ERROR_DEPTHLIMIT || code == PCRE2_ERROR_HEAPLIMIT)
    return host_fail(err, "a regular expression of the vocabulary takes more than %u steps for a match in this text",
                     (unsigned)most_steps(n));
  return host_fail(err, "a regular expression of the vocabulary fails on this text (PCRE2 error %d)", code);
}

bool hf_regex_all(const HfRegex *r, HfRun *run, const char *s, size_t n, HfMatches *out) {
  const HfScratch *x = scratch(run);
  size_t from = 0, before = 0, last = SIZE_MAX; // last: where the last match ended
  out->n = 0;
  if (!x) return false;
  pcre2_set_match_limit(x->how, most_steps(n));
  int got = 0;
  while (n && from <= n && (got = next(r, x, s, n, from)) > 0) {
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(x->data);
    size_t begin = at[0], end = at[1], len = 1;
    if (begin > end) return host_fail(run->err, "a regular expression of the vocabulary matches backwards");
    if (begin == end && end == last) { // no empty match right behind a match
      if (from < n) hf_char(s + from, &len);
      from += len;
      continue;
    }
    if ((before != begin && !hf_add_match(out, before, begin, false)) || !hf_add_match(out, begin, end, true))
      return host_no_memory(run->err);
    from = before = last = end;
  }
  if (got < 0) return failed(got, n, run->err);
  return before == n || hf_add_match(out, before, n, false) || host_no_memory(run->err);
}

static bool literal_all(HfStr want, const char *s, size_t n, HfMatches *out) {
  size_t before = 0;
  bool ok = true;
  out->n = 0;
  for (size_t i = 0; i + want.n <= n && ok;) {
    const char *hit = memchr(s + i, want.s[0], n - want.n + 1 - i);
    if (!hit) break;
    i = (size_t)(hit - s);
    if (memcmp(hit, want.s, want.n) != 0) {
      i++;
      continue;
    }
    ok = (before == i || hf_add_match(out, before, i, false)) && hf_add_match(out, i, i + want.n, true);
    before = i += want.n;
  }
  return ok && (before == n || hf_add_match(out, before, n, false));
}

bool hf_pattern_all(const HfPattern *p, HfRun *run, const char *s, size_t n, HfMatches *out) {
  if (p->regex) return hf_regex_all(p->regex, run, s, n, out);
  return literal_all(p->literal, s, n, out) || host_no_memory(run->err);
}
