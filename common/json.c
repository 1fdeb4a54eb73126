// json.c - the writer of JSON; see json.h.
#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put(Json *j, const char *s) {
  j->put(j->ud, s, strlen(s));
}

static void new_line(Json *j) {
  put(j, "\n");
  for (unsigned d = 0; d < j->depth; d++) put(j, "  ");
}

/* strings -----------------------------------------------------------------------------------------------------------
 */
static void put_unit(Json *j, unsigned unit) {
  char form[16];
  snprintf(form, sizeof form, "\\u%04x", unit & 0xffff);
  put(j, form);
}

// One character of `length` bytes; 0: a byte that is no UTF-8.
static void put_character(Json *j, const char *s, size_t length) {
  uint32_t c = length ? text_character(s, length) : 0xfffd;
  if (!length || !text_is_shown(c)) { // all that are not shown fit one unit
    put_unit(j, c);
    return;
  }
  if (c == '"' || c == '\\') put(j, "\\");
  j->put(j->ud, s, length);
}

// Puts a string in quotes; true if all of it is UTF-8.
static bool put_string(Json *j, const char *s) {
  size_t n = strlen(s);
  bool whole = true;
  put(j, "\"");
  for (size_t i = 0, length; i < n; i += length ? length : 1) {
    length = text_length(s + i, n - i);
    whole = whole && length;
    put_character(j, s + i, length);
  }
  put(j, "\"");
  return whole;
}

/* members -----------------------------------------------------------------------------------------------------------
 */
static void begin_member(Json *j, const char *key) {
  if (j->filled) put(j, ",");
  if (j->depth && j->depth <= j->lines)
    new_line(j);
  else if (j->filled)
    put(j, " ");
  j->filled = true;
  if (!key) return;
  put_string(j, key);
  put(j, ": ");
}

static void open_container(Json *j, const char *key, const char *open, char close) {
  begin_member(j, key);
  put(j, open);
  if (j->depth < JSON_DEEPEST) j->close[j->depth] = close;
  j->depth++;
  j->filled = false;
}
void json_object(Json *j, const char *key) {
  open_container(j, key, "{", '}');
}
void json_array(Json *j, const char *key) {
  open_container(j, key, "[", ']');
}

void json_end(Json *j) {
  j->depth--;
  if (j->filled && j->depth < j->lines) new_line(j);
  if (j->depth < JSON_DEEPEST) j->put(j->ud, &j->close[j->depth], 1);
  j->filled = j->depth > 0;
  if (!j->depth) put(j, "\n");
}

void json_end_all(Json *j) {
  while (j->depth) json_end(j);
}

// KEY_hex: the bytes of a string that is not UTF-8.
static void put_bytes(Json *j, const char *key, const char *s) {
  static const char digit[] = "0123456789abcdef";
  char name[128];
  if (!key || snprintf(name, sizeof name, "%s_hex", key) >= (int)sizeof name) return;
  begin_member(j, name);
  put(j, "\"");
  for (; *s; s++) {
    unsigned char b = (unsigned char)*s;
    j->put(j->ud, (const char[]){digit[b >> 4], digit[b & 15]}, 2);
  }
  put(j, "\"");
}

void json_string(Json *j, const char *key, const char *value) {
  begin_member(j, key);
  if (!value)
    put(j, "null");
  else if (!put_string(j, value))
    put_bytes(j, key, value);
}

// Does the text read back as the value? single: as a float.
static bool reads_back(const char *form, double value, bool single) {
  double back = single ? (double)strtof(form, NULL) : strtod(form, NULL);
  return !(back < value || back > value);
}

static void put_number(Json *j, const char *key, double value, bool single) {
  char form[40] = "null";
  begin_member(j, key);
  if (isfinite(value) && fabs(value) < 1e15 && !(value < trunc(value) || value > trunc(value)))
    snprintf(form, sizeof form, "%.0f", value); // 100, not 1e+02
  else
    for (int digits = 1; isfinite(value) && digits <= 17; digits++) {
      snprintf(form, sizeof form, "%.*g", digits, value);
      if (reads_back(form, value, single)) break;
    }
  put(j, form);
}

void json_double(Json *j, const char *key, double value) {
  put_number(j, key, value, false);
}
void json_float(Json *j, const char *key, float value) {
  put_number(j, key, (double)value, true);
}

void json_integer(Json *j, const char *key, int64_t value) {
  char form[32];
  begin_member(j, key);
  snprintf(form, sizeof form, "%" PRId64, value);
  put(j, form);
}

void json_unsigned(Json *j, const char *key, uint64_t value) {
  char form[32];
  begin_member(j, key);
  snprintf(form, sizeof form, "%" PRIu64, value);
  put(j, form);
}

void json_hash(Json *j, const char *key, uint64_t value) {
  char form[32];
  snprintf(form, sizeof form, "%016" PRIx64, value);
  json_string(j, key, form);
}

void json_bool(Json *j, const char *key, bool value) {
  begin_member(j, key);
  put(j, value ? "true" : "false");
}
