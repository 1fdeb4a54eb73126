// hf_read.c - values of a tokenizer file: where they stand, what they may be, and steps by the tables of their
// sections.
#include "hf_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t put_place(const HfNode *at, char *dst, size_t room) {
  size_t n = at->up ? put_place(at->up, dst, room) : 0;
  int more = 0;
  if (n >= room) return n;
  if (at->key)
    more = snprintf(dst + n, room - n, "%s%.60s", n ? "." : "", at->key);
  else if (at->up)
    more = snprintf(dst + n, room - n, "[%zu]", at->index);
  return n + (more > 0 ? (size_t)more : 0);
}

bool hf_fail(const HfNode *at, HostError *err, const char *fmt, ...) {
  char place[160] = "", what[300];
  put_place(at, place, sizeof place);
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(what, sizeof what, fmt, ap);
  va_end(ap);
  return host_fail(err, "%s%s%s", place, place[0] ? ": " : "", what);
}

HfNode hf_member(const HfNode *up, const char *key) {
  const HfValue *v = hf_is(up->v, HF_OBJECT) ? up->v->child : NULL;
  while (v && strcmp(v->key, key) != 0) v = v->next;
  return (HfNode){.v = v, .up = up, .key = key};
}

bool hf_count(const HfNode *at, size_t most, size_t *out, HostError *err) {
  double d = at->v ? at->v->number : -1;
  if (!at->v || !hf_is(at->v, HF_NUMERAL) || !(d >= 0 && d <= (double)most) || d != (double)(size_t)d)
    return hf_fail(at, err, "this must be a whole number from 0 to %zu", most);
  *out = (size_t)d;
  return true;
}

bool hf_text_of(const HfNode *at, HfPool *pool, HfStr *out, HostError *err) {
  if (!at->v || !hf_is(at->v, HF_TEXT)) return hf_fail(at, err, "this must be a string");
  return hf_copy(pool, at->v->text, strlen(at->v->text), out) || host_no_memory(err);
}

bool hf_only(const HfNode *at, const char *keys, const char *what, HostError *err) {
  char padded[80];
  if (!hf_is(at->v, HF_OBJECT)) return hf_fail(at, err, "this must be an object {..}");
  for (const HfValue *v = at->v->child; v; v = v->next) {
    int n = snprintf(padded, sizeof padded, " %s ", v->key);
    bool known = n > 2 && (size_t)n < sizeof padded && !strchr(v->key, ' ') && strstr(keys, padded);
    if (!known) return hf_fail(at, err, "'%.40s' is no member that %s has (known are%s)", v->key, what, keys);
    for (const HfValue *w = v->next; w; w = w->next)
      if (!strcmp(v->key, w->key)) return hf_fail(at, err, "'%.40s' stands here twice", v->key);
  }
  return true;
}

/* steps --------------------------------------------------------------------------------------------------------------
 */
typedef struct Reading {
  const HfSection *section;
  HfPool *pool;
  HfStep *step;
  HostError *err;
} Reading;

static bool read_bool(const HfNode *at, const HfField *f, const Reading *r) {
  bool null = at->v && hf_is(at->v, HF_NULL) && f->type == HF_MAYBE;
  if (!null && !hf_is_bool(at->v)) return hf_fail(at, r->err, "this must be true or false");
  r->step->flag[f->slot] = null ? -1 : hf_is(at->v, HF_TRUE) != 0;
  return true;
}

static bool read_passed(const HfNode *at, const HfField *f, const Reading *r) {
  (void)f;
  return hf_is_bool(at->v) || hf_fail(at, r->err, "this must be true or false");
}

static bool read_string(const HfNode *at, const HfField *f, const Reading *r) {
  HfStr *s = &r->step->word[f->slot];
  size_t len = 0;
  if (!hf_text_of(at, r->pool, s, r->err)) return false;
  if (f->type == HF_CHAR && s->n) hf_char(s->s, &len);
  return f->type != HF_CHAR || (s->n && len == s->n) || hf_fail(at, r->err, "this must be one character");
}

static bool read_number(const HfNode *at, const HfField *f, const Reading *r) {
  return hf_count(at, 1u << 30, &r->step->number[f->slot], r->err);
}

static bool read_pattern(const HfNode *at, const HfField *f, const Reading *r) {
  HostError why = {.text = ""};
  (void)f;
  if (!hf_only(at, " String Regex ", "a pattern", r->err)) return false;
  HfNode literal = hf_member(at, "String"), regex = hf_member(at, "Regex");
  HfStr s;
  if (!literal.v == !regex.v) return hf_fail(at, r->err, "a pattern is {\"String\": ..} or {\"Regex\": ..}");
  if (!hf_text_of(literal.v ? &literal : &regex, r->pool, &s, r->err)) return false;
  if (literal.v) {
    r->step->pattern.literal = s;
    return s.n || hf_fail(&literal, r->err, "an empty pattern is not read");
  }
  r->step->pattern.regex = hf_regex_new(r->pool, s.s, s.n, &why);
  if (r->step->pattern.regex) return true;
  hf_fail(&regex, r->err, "%.280s", why.text);
  if (r->err) r->err->machine = why.machine;
  return false;
}

static bool read_name(const HfNode *at, const HfField *f, const Reading *r, const char *const *name, size_t n) {
  for (size_t i = 0; i < n && hf_is(at->v, HF_TEXT); i++)
    if (!strcmp(at->v->text, name[i])) return r->step->flag[f->slot] = (int)i, true;
  return hf_fail(at, r->err, "this is none of %s, %s, %s%s%s%s%s", name[0], name[1], name[2], n > 3 ? ", " : "",
                 n > 3 ? name[3] : "", n > 4 ? ", " : "", n > 4 ? name[4] : "");
}

static bool read_behaviour(const HfNode *at, const HfField *f, const Reading *r) {
  static const char *const name[] = {[HF_REMOVED] = "Removed",
                                     [HF_ISOLATED] = "Isolated",
                                     [HF_PREVIOUS] = "MergedWithPrevious",
                                     [HF_NEXT] = "MergedWithNext",
                                     [HF_CONTIGUOUS] = "Contiguous"};
  return read_name(at, f, r, name, sizeof name / sizeof *name);
}

static bool read_scheme(const HfNode *at, const HfField *f, const Reading *r) {
  static const char *const name[] = {"never", "first", "always"};
  return read_name(at, f, r, name, sizeof name / sizeof *name);
}

static bool read_token(const HfNode *at, const HfField *f, const Reading *r) {
  const HfValue *text = hf_is(at->v, HF_LIST) ? at->v->child : NULL;
  HfNode id = {.v = text ? text->next : NULL, .up = at, .index = 1};
  size_t n;
  if (!text || !hf_is(text, HF_TEXT) || !id.v || id.v->next)
    return hf_fail(at, r->err, "this must be a token and its id, as in [\"[SEP]\", 102]");
  if (!hf_count(&id, INT32_MAX - 1, &n, r->err)) return false;
  int32_t *to = hf_new(r->pool, sizeof *to);
  if (!to) return host_no_memory(r->err);
  *to = (int32_t)n;
  *(f->slot ? &r->step->after : &r->step->before) = (HfIds){to, 1};
  return true;
}

// The table of a SentencePiece model in base64.
static bool read_charsmap(const HfNode *at, const HfField *f, const Reading *r) {
  static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  HfStr s;
  (void)f;
  if (at->v && hf_is(at->v, HF_NULL)) return hf_fail(at, r->err, "there is no table");
  if (!hf_text_of(at, r->pool, &s, r->err)) return false;
  unsigned char value[256];
  memset(value, 0xff, sizeof value);
  for (int i = 0; i < 64; i++) value[(unsigned char)digit[i]] = (unsigned char)i;
  while (s.n && s.s[s.n - 1] == '=') s.n--;
  unsigned char *map = hf_new(r->pool, s.n + 1);
  if (!map) return host_no_memory(r->err);
  uint32_t bits = 0;
  size_t n = 0;
  for (size_t i = 0; i < s.n; i++) {
    uint32_t six = value[(unsigned char)s.s[i]];
    if (six > 63) return hf_fail(at, r->err, "this is no base64 (character %zu)", i + 1);
    bits = bits << 6 | six;
    if (i % 4) map[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
  }
  r->step->map = map;
  r->step->map_bytes = n;
  return true;
}

static bool read_steps(const HfNode *at, const HfField *f, const Reading *r) {
  (void)f;
  if (!hf_is(at->v, HF_LIST)) return hf_fail(at, r->err, "this must be a list [..]");
  size_t n = at->v->n;
  r->step->step = hf_new(r->pool, (n + 1) * sizeof *r->step->step);
  if (!r->step->step) return host_no_memory(r->err);
  HfNode one = {.v = at->v->child, .up = at};
  for (; one.v; one.v = one.v->next, one.index++) {
    if (hf_is(one.v, HF_NULL)) return hf_fail(&one, r->err, "null stands here");
    if (!hf_read_step(&one, r->section, r->pool, &r->step->step[r->step->n], r->err)) return false;
    r->step->n++;
  }
  return true;
}

static bool (*const readers[])(const HfNode *, const HfField *, const Reading *) = {
    [HF_BOOL] = read_bool,       [HF_MAYBE] = read_bool,          [HF_PASSED] = read_passed,
    [HF_STRING] = read_string,   [HF_CHAR] = read_string,         [HF_NUMBER] = read_number,
    [HF_PATTERN] = read_pattern, [HF_BEHAVIOUR] = read_behaviour, [HF_SCHEME] = read_scheme,
    [HF_TOKEN] = read_token,     [HF_CHARSMAP] = read_charsmap,   [HF_STEPS] = read_steps};

static bool is_flag(HfFieldType t) {
  return t == HF_BOOL || t == HF_MAYBE || t == HF_BEHAVIOUR || t == HF_SCHEME;
}

static bool read_fields(const HfNode *at, const HfKind *kind, const Reading *r) {
  char keys[200] = " type ";
  for (const HfField *f = kind->field; f < kind->field + HF_FIELDS && f->type != HF_END; f++) {
    strncat(keys, f->key, sizeof keys - strlen(keys) - 1);
    strncat(keys, " ", sizeof keys - strlen(keys) - 1);
  }
  if (!hf_only(at, keys, kind->name, r->err)) return false;
  for (const HfField *f = kind->field; f < kind->field + HF_FIELDS && f->type != HF_END; f++) {
    HfNode one = hf_member(at, f->key);
    bool given = one.v != NULL;
    if (!given && f->usual == HF_NEEDED) return hf_fail(at, r->err, "%s needs '%s'", kind->name, f->key);
    if (!given && is_flag(f->type)) r->step->flag[f->slot] = f->usual;
    if (given && f->type != HF_LATER && !readers[f->type](&one, f, r)) return false;
  }
  return true;
}

bool hf_read_step(const HfNode *at, const HfSection *section, HfPool *pool, HfStep *out, HostError *err) {
  *out = (HfStep){0};
  if (!at->v || hf_is(at->v, HF_NULL)) return true;
  HfNode type = hf_member(at, "type");
  if (!hf_is(at->v, HF_OBJECT) || !type.v || !hf_is(type.v, HF_TEXT))
    return hf_fail(at, err, "this must be an object with a \"type\", or null");
  const char *name = type.v->text;
  for (const HfKind *k = section->kind; k->name; k++) {
    if (strcmp(k->name, name) != 0) continue;
    out->kind = k;
    Reading r = {section, pool, out, err};
    return read_fields(at, k, &r) && (!k->ready || k->ready(out, pool, at, err));
  }
  char padded[60];
  int n = snprintf(padded, sizeof padded, " %s ", name);
  bool known = n > 0 && (size_t)n < sizeof padded && strstr(section->refused, padded);
  return hf_fail(&type, err, "%.40s is %s", name,
                 known ? "not supported (docs/tokenizers.md says why)" : "no kind that is known here");
}
