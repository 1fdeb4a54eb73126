// words.c: words of a line, as they stand in response files and in $CC: blanks separate, quotes keep blanks together, a
// backslash inside double quotes or outside of quotes takes the next byte as it is.
#include "driver.h"

#include <string.h>

static bool is_blank(char c) {
  return c && strchr(" \t\r\n\v\f", c);
}

const char *next_word(Arena *a, const char **text) {
  const char *p = *text;
  while (is_blank(*p)) p++;
  *text = p;
  if (!*p) return NULL;
  char quote = 0;
  Buf word = {0};
  for (; *p && (quote || !is_blank(*p)); p++) {
    if (*p == '\\' && quote != '\'' && p[1])
      buf_putc(&word, *++p);
    else if (quote ? *p == quote : (*p == '"' || *p == '\''))
      quote = quote ? 0 : *p;
    else
      buf_putc(&word, *p);
  }
  *text = p;
  const char *out = arena_strndup(a, word.s ? word.s : "", word.n);
  buf_free(&word);
  return out;
}
