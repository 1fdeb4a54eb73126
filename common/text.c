// text.c - escaping for people, UTF-8, near names; see text.h.
#include "text.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_ROOM = 4096 }; // bytes of a line that needs no memory

void text_to_file(void *file, const char *s, size_t n) {
  fwrite(s, 1, n, file);
}

size_t text_length(const char *s, size_t n) {
  static const struct {
    unsigned char lo, hi, second_lo, second_hi, length;
  } row[] = {{0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
             {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
             {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
  const unsigned char *b = (const unsigned char *)s;
  for (size_t r = 0; n && r < sizeof row / sizeof *row; r++) {
    if (b[0] < row[r].lo || b[0] > row[r].hi) continue;
    if (row[r].length > n) return 0;
    if (row[r].length > 1 && (b[1] < row[r].second_lo || b[1] > row[r].second_hi)) return 0;
    for (size_t i = 2; i < row[r].length; i++)
      if ((b[i] & 0xc0) != 0x80) return 0;
    return row[r].length;
  }
  return 0;
}

uint32_t text_character(const char *s, size_t length) {
  static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
  const unsigned char *b = (const unsigned char *)s;
  uint32_t c = b[0] & first[length];
  for (size_t i = 1; i < length; i++) c = c << 6 | (b[i] & 0x3f);
  return c;
}

bool text_is_shown(uint32_t c) {
  static const struct {
    uint32_t lo, hi;
  } hidden[] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0x61c, 0x61c},    // C0; DEL and C1; Arabic letter mark
                {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}}; // marks, separators and turns of direction
  for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
    if (c >= hidden[i].lo && c <= hidden[i].hi) return false;
  return true;
}

// A byte or a character that is not shown. Returns the characters put.
static size_t put_hidden(const char *s, size_t length, TextSink *put, void *ud) {
  static const char named[] = "\n\t\r", letter[] = "ntr";
  char form[16];
  uint32_t c = length ? text_character(s, length) : (unsigned char)*s;
  const char *name = length == 1 && c ? strchr(named, (int)c) : NULL;
  int n = name         ? snprintf(form, sizeof form, "\\%c", letter[name - named])
          : length > 1 ? snprintf(form, sizeof form, "\\u%04x", (unsigned)c)
                       : snprintf(form, sizeof form, "\\x%02x", (unsigned)c);
  put(ud, form, (size_t)n);
  return (size_t)n;
}

size_t text_escape(const char *s, size_t n, TextSink *put, void *ud) {
  size_t columns = 0, plain = 0; // plain: where the run of shown characters begins
  for (size_t i = 0; i < n;) {
    size_t length = text_length(s + i, n - i);
    if (length && text_is_shown(text_character(s + i, length))) {
      i += length;
      columns++;
      continue;
    }
    if (i > plain) put(ud, s + plain, i - plain);
    columns += put_hidden(s + i, length, put, ud);
    i += length ? length : 1;
    plain = i;
  }
  if (n > plain) put(ud, s + plain, n - plain);
  return columns;
}

void text_escape_message(const char *s, TextSink *put, void *ud) {
  for (const char *stop; (stop = strstr(s, "\n  ")) != NULL; s = stop + 1) {
    text_escape(s, (size_t)(stop - s), put, ud);
    put(ud, "\n", 1);
  }
  text_escape(s, strlen(s), put, ud);
}

size_t text_print(FILE *f, const char *s) {
  return text_escape(s, strlen(s), text_to_file, f);
}

void text_column(FILE *f, const char *s, size_t width) {
  size_t n = text_print(f, s);
  if (n < width) fprintf(f, "%*s", (int)(width - n), "");
}

void text_vline(FILE *f, const char *fmt, va_list ap) {
  char room[LINE_ROOM], *line = room;
  va_list again;
  va_copy(again, ap);
  int n = vsnprintf(room, sizeof room, fmt, ap);
  if (n >= LINE_ROOM && (line = malloc((size_t)n + 1)) != NULL) vsnprintf(line, (size_t)n + 1, fmt, again);
  va_end(again);
  text_escape_message(line ? line : room, text_to_file, f); // without memory it is cut
  fputc('\n', f);
  if (line != room) free(line);
}

void text_line(FILE *f, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  text_vline(f, fmt, ap);
  va_end(ap);
}

size_t edit_distance(const char *a, const char *b, size_t limit) {
  enum { LONGEST = 512 };
  size_t row[LONGEST + 1];
  size_t na = strnlen(a, LONGEST), nb = strnlen(b, LONGEST);
  if ((na > nb ? na - nb : nb - na) >= limit) return limit;
  for (size_t j = 0; j <= nb; j++) row[j] = j;
  for (size_t i = 1; i <= na; i++) {
    size_t diagonal = row[0], least = i;
    row[0] = i;
    for (size_t j = 1; j <= nb; j++) {
      size_t up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
      if (up + 1 < best) best = up + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      diagonal = up;
      row[j] = best;
      if (best < least) least = best;
    }
    if (least >= limit) return limit; // no result below it is possible any more
  }
  return row[nb] < limit ? row[nb] : limit;
}

void near_name(const char *want, const char *have, const char **best, size_t *dist) {
  size_t most = (strlen(want) + 2) / 3, d = edit_distance(want, have, most + 1), n = strlen(have);
  if (n >= 3 && strncmp(want, have, n) == 0) d = 1; // an abbreviation: epsilon, eps
  if (d <= most && (!*best || d < *dist)) *best = have, *dist = d;
}

bool text_matches(const char *pattern, const char *name) {
  const char *star = NULL, *from = name;
  while (*name) {
    if (*pattern == '*') {
      star = pattern++;
      from = name;
    } else if (*pattern == '?' || *pattern == *name) {
      pattern++;
      name++;
    } else if (star) {
      pattern = star + 1;
      name = ++from;
    } else {
      return false;
    }
  }
  while (*pattern == '*') pattern++;
  return !*pattern;
}
