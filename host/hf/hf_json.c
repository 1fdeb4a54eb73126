// hf_json.c - JSON as a tree. Debian has no static library of cJSON, and programs must link with --static; and of a
// file of a million tokens each value here is one small piece of a block.
//
// The text is decoded where it stands, as an escape is never shorter than what it means. Recursion is bounded by
// DEEPEST.
#include "hf_parts.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64, MOST_VALUES = 16 * 1000 * 1000 };

typedef struct Reader {
  char *at, *start; // a zero byte stands behind the text
  HfPool *pool;
  HostError *err;
  size_t values, depth;
} Reader;

static bool wrong(const Reader *r, const char *what) {
  return host_fail(r->err, "JSON, byte %zu: %s", (size_t)(r->at - r->start) + 1, what);
}

static void blanks(Reader *r) {
  while (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t') r->at++;
}

static bool take(Reader *r, char c) {
  blanks(r);
  if (*r->at != c) return false;
  r->at++;
  return true;
}

static int hex4(const char *s) {
  int v = 0;
  for (int i = 0; i < 4; i++) {
    const char *digits = "0123456789abcdef",
               *d = s[i] ? strchr(digits, s[i] >= 'A' && s[i] <= 'F' ? s[i] | 32 : s[i]) : NULL;
    if (!d) return -1;
    v = 16 * v + (int)(d - digits);
  }
  return v;
}

// Behind \u; two of them for what lies above U+FFFF.
static bool number_escape(Reader *r, char **to) {
  int high = hex4(r->at), low = -1;
  if (high < 0) return wrong(r, "\\u needs four digits");
  if (!high) return wrong(r, "\\u0000 stands in a string");
  bool pair = high >= 0xd800 && high < 0xdc00 && r->at[4] == '\\' && r->at[5] == 'u';
  if (pair) low = hex4(r->at + 6);
  if (pair && low >= 0xdc00 && low < 0xe000) {
    *to += host_utf8_put(0x10000 + ((uint32_t)(high & 0x3ff) << 10 | (uint32_t)(low & 0x3ff)), *to);
    r->at += 10;
    return true;
  }
  if (high >= 0xd800 && high < 0xe000) return wrong(r, "half of a pair of surrogates");
  *to += host_utf8_put((uint32_t)high, *to);
  r->at += 4;
  return true;
}

static bool string(Reader *r, const char **out) {
  static const char from[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
  if (!take(r, '"')) return wrong(r, "a string is expected");
  char *to = r->at;
  *out = to;
  while (*r->at != '"') {
    if ((unsigned char)*r->at < ' ')
      return wrong(r, *r->at ? "a control character in a string" : "a string has no end");
    if (*r->at != '\\') {
      *to++ = *r->at++;
      continue;
    }
    const char *k = r->at[1] ? strchr(from, r->at[1]) : NULL;
    bool number = r->at[1] == 'u';
    if (!k && !number) return wrong(r, "no such escape");
    r->at += 2;
    if (k) *to++ = meaning[k - from];
    if (number && !number_escape(r, &to)) return false;
  }
  r->at++;
  *to = 0;
  return true;
}

static bool digits(const char **p) {
  const char *from = *p;
  while (**p >= '0' && **p <= '9') ++*p;
  return *p > from;
}

static bool number(Reader *r, HfValue *v) {
  const char *p = r->at + (*r->at == '-');
  bool zero = *p == '0', ok = digits(&p) && !(zero && p - r->at > 1 + (*r->at == '-'));
  if (ok && *p == '.') p++, ok = digits(&p);
  if (ok && (*p == 'e' || *p == 'E')) {
    p++;
    p += *p == '+' || *p == '-';
    ok = digits(&p);
  }
  if (!ok) return wrong(r, "no value");
  v->type = HF_NUMERAL;
  v->number = strtod(r->at, NULL);
  r->at += p - r->at;
  return true;
}

static bool value(Reader *r, HfValue *v);

// Members or elements, behind the bracket.
static bool members(Reader *r, HfValue *v, char close) {
  HfValue **next = &v->child;
  if (++r->depth > DEEPEST) return wrong(r, "values lie too deep in each other");
  if (!take(r, close)) {
    do {
      HfValue *one = hf_new(r->pool, sizeof *one);
      if (!one) return host_no_memory(r->err);
      if (++r->values > MOST_VALUES) return wrong(r, "too many values");
      if (close == '}' && (!string(r, &one->key) || !(take(r, ':') || wrong(r, "a colon is expected")))) return false;
      if (!value(r, one)) return false;
      *next = one;
      next = &one->next;
      v->n++;
    } while (take(r, ','));
    if (!take(r, close)) return wrong(r, close == '}' ? "a comma or } is expected" : "a comma or ] is expected");
  }
  r->depth--;
  return true;
}

static bool value(Reader *r, HfValue *v) {
  static const struct {
    const char *word;
    HfType type;
  } names[] = {{"null", HF_NULL}, {"true", HF_TRUE}, {"false", HF_FALSE}};
  blanks(r);
  if (*r->at == '"') {
    v->type = HF_TEXT;
    return string(r, &v->text);
  }
  if (take(r, '{')) return v->type = HF_OBJECT, members(r, v, '}');
  if (take(r, '[')) return v->type = HF_LIST, members(r, v, ']');
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    size_t n = strlen(names[i].word);
    if (strncmp(r->at, names[i].word, n) != 0) continue;
    v->type = names[i].type;
    r->at += n;
    return true;
  }
  return number(r, v);
}

const HfValue *hf_parse(HfPool *pool, const char *bytes, size_t n, HostError *err) {
  HfStr copy;
  HfValue *v = hf_new(pool, sizeof *v);
  if (!v || !hf_copy(pool, bytes, n, &copy)) {
    host_no_memory(err);
    return NULL;
  }
  char *text = (char *)(uintptr_t)copy.s; // made above
  Reader r = {.at = text, .start = text, .pool = pool, .err = err};
  bool ok = (host_is_utf8(bytes, n) || host_fail(err, "JSON that is not UTF-8")) && value(&r, v);
  blanks(&r);
  if (ok && r.at != text + n) ok = wrong(&r, *r.at ? "something stands behind the value" : "a zero byte");
  return ok ? v : NULL;
}
