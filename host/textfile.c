// textfile.c: see textfile.h.
#include "textfile.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

static const char blanks[] = " \t\r\n";

static size_t skip_blanks(const char *s, size_t n) {
  size_t i = 0;
  while (i < n && s[i] && strchr(blanks, s[i])) i++;
  return i;
}

static bool begins(const char *s, size_t n, const char *word) { // without regard to case
  for (; *word; s++, word++, n--)
    if (!n || (*s != *word && !(*s >= 'A' && *s <= 'Z' && (*s | 32) == *word))) return false;
  return true;
}

static size_t mark_bytes(const char *s, size_t n) {
  return n >= 3 && !memcmp(s, "\xef\xbb\xbf", 3) ? 3 : 0;
}

const char *host_stand_in(const char *bytes, size_t n) {
  static const struct {
    const char *start, *what;
  } known[] = {
      {"version https://git-lfs.github.com/spec/",
       "a git-lfs pointer, not the file that it points to; fetch that with: git lfs pull"},
      {"<!doctype html", "a page of HTML, not the file; the download went wrong"},
      {"<html", "a page of HTML, not the file; the download went wrong"},
      {"<?xml", "XML, not the file; the download went wrong"},
      {"<error>", "a server's message, not the file; the download went wrong"},
      {"404: not found", "a server's message, not the file; the download went wrong"},
      {"entry not found", "a server's message, not the file; the download went wrong"},
      {"access to model", "a server's message, not the file; the download went wrong"},
      {"invalid username or password", "a server's message, not the file; the download went wrong"},
  };
  size_t from = mark_bytes(bytes, n);
  from += skip_blanks(bytes + from, n - from);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (begins(bytes + from, n - from, known[i].start)) return known[i].what;
  return NULL;
}

const char *host_packed(const char *bytes, size_t n) {
  static const struct {
    size_t at;
    const char *magic, *what;
  } known[] = {
      {0, "\x1f\x8b", "packed with gzip; unpack it first"},
      {4, "1AY&SY", "packed with bzip2; unpack it first"}, // behind "BZh" and the size of its blocks
      {0, "\xfd\x37zXZ", "packed with xz; unpack it first"},
      {0, "\x28\xb5\x2f\xfd", "packed with zstd; unpack it first"},
      {0, "7z\xbc\xaf", "a 7z archive; unpack it first"},
      {0, "PK\3\4", "a zip archive; unpack it first"},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    size_t at = known[i].at, len = strlen(known[i].magic);
    if (n > at + len && !memcmp(bytes + at, known[i].magic, len)) return known[i].what;
  }
  return NULL;
}

bool host_is_json(const char *bytes, size_t n) {
  size_t i = mark_bytes(bytes, n);
  i += skip_blanks(bytes + i, n - i);
  if (i == n || (bytes[i] != '{' && bytes[i] != '[')) return false;
  bool object = bytes[i++] == '{';
  i += skip_blanks(bytes + i, n - i);
  if (i == n) return false;
  if (bytes[i] == '"') return true;
  return bytes[i] && strchr(object ? "}'0123456789" : "[{]", bytes[i]); // a dictionary of Python begins so; it is none
}

// One code point of UTF-16; the bytes used, 0 if they are damaged.
static size_t take_utf16(const uint8_t *s, size_t n, bool big, uint32_t *c) {
  uint32_t unit[2] = {0, 0};
  for (size_t k = 0; k < 2 && 2 * k + 1 < n; k++)
    unit[k] = big ? (uint32_t)s[2 * k] << 8 | s[2 * k + 1] : (uint32_t)s[2 * k + 1] << 8 | s[2 * k];
  *c = unit[0];
  if (n < 2) return 0;
  if (unit[0] < 0xd800 || unit[0] >= 0xe000) return 2;
  if (unit[0] >= 0xdc00 || n < 4 || unit[1] < 0xdc00 || unit[1] >= 0xe000) return 0;
  *c = 0x10000 + ((unit[0] & 0x3ff) << 10 | (unit[1] & 0x3ff));
  return 4;
}

static char *from_utf16(const char *bytes, size_t n, bool big, size_t *out, HostError *err) {
  char *text = malloc(n / 2 * 3 + 1); // a unit becomes at most three bytes
  if (!text) host_no_memory(err);
  *out = 0;
  for (size_t i = 0, used; text && i < n; i += used) {
    uint32_t c = 0;
    used = take_utf16((const uint8_t *)bytes + i, n - i, big, &c);
    if (!used) {
      host_fail(err, "UTF-16 that is damaged at byte %zu; save it as UTF-8", i + 2);
      free(text);
      return NULL;
    }
    *out += host_utf8_put(c, text + *out);
  }
  if (text) text[*out] = 0;
  return text;
}

bool host_text_plain(char **bytes, size_t *n, HostError *err) {
  size_t mark = mark_bytes(*bytes, *n);
  if (mark) {
    memmove(*bytes, *bytes + mark, *n - mark + 1);
    *n -= mark;
    return true;
  }
  bool big = *n >= 2 && !memcmp(*bytes, "\xfe\xff", 2), little = *n >= 2 && !memcmp(*bytes, "\xff\xfe", 2);
  if (!big && !little) return true;
  size_t m;
  char *text = from_utf16(*bytes + 2, *n - 2, big, &m, err);
  if (!text) return false;
  free(*bytes);
  *bytes = text;
  *n = m;
  return true;
}

char *host_text_read(const char *path, size_t limit, size_t *n, HostError *err) {
  HostError why = {.text = "out of memory"};
  char *text = host_read_file(path, limit, n, err);
  if (!text) return NULL;
  bool ok = host_text_plain(&text, n, &why);
  const char *other = ok ? host_stand_in(text, *n) : NULL;
  if (ok && !other) other = host_packed(text, *n);
  if (other)
    ok = host_fail(&why, "this is %s", other);
  else if (ok && memchr(text, 0, *n))
    ok = host_fail(&why, "not a text file: it has zero bytes (text in UTF-16? save it as UTF-8)");
  if (ok) return text;
  free(text);
  host_fail(err, "%.300s: %.200s", path, why.text);
  return NULL;
}

size_t host_text_line(const char *text, size_t n, size_t *at, const char **line) {
  *line = text + *at;
  const char *stop = memchr(*line, '\n', n - *at);
  size_t len = stop ? (size_t)(stop - *line) : n - *at;
  *at += len + (stop ? 1 : 0);
  return len && (*line)[len - 1] == '\r' ? len - 1 : len;
}
