// ir_lex.c: see ir_lex.h. Works on a byte range that need not end in NUL; any bytes are allowed, a byte that starts no
// token is IT_BAD and reported once.
#include "ir_lex.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(int c) {
  return c >= '0' && c <= '9';
}
static bool is_alpha(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_word(int c) {
  return is_alpha(c) || is_digit(c);
}
static int hex_digit(int c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

static int peek(const IrLex *l, size_t at) {
  return at < l->n ? (unsigned char)l->text[at] : -1;
}

Span irlex_span(const IrLex *l) {
  return (Span){l->file, (uint32_t)l->lo, (uint32_t)l->at};
}

bool irlex_error(IrLex *l, const char *code, const char *fmt, ...) {
  if (l->failed) return false;
  l->failed = true;
  Buf b = {0};
  va_list ap;
  va_start(ap, fmt);
  buf_vprintf(&b, fmt, ap);
  va_end(ap);
  diag_error(l->diag, code, irlex_span(l), "%s", b.s);
  buf_free(&b);
  return false;
}

static void bad(IrLex *l, const char *why) {
  l->tok = IT_BAD;
  irlex_error(l, "E0220", "%s", why);
}

static void lex_string(IrLex *l) {
  Buf b = {0};
  const char *why = NULL;
  for (;;) {
    int c = peek(l, l->at);
    if (c < 0 || c == '\n') {
      why = "string without closing quote";
      break;
    }
    l->at++;
    if (c == '"') break;
    if (c == '\\') {
      c = peek(l, l->at);
      int hi = hex_digit(peek(l, l->at + 1)), lo = hex_digit(peek(l, l->at + 2));
      if (c == 'n' || c == 't' || c == '"' || c == '\\') {
        c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        l->at++;
      } else if (c == 'x' && hi >= 0 && lo >= 0) {
        c = 16 * hi + lo;
        l->at += 3;
      } else {
        why = "unknown escape in a string (known: \\\" \\\\ \\n \\t \\xHH)";
        break;
      }
    }
    if (!c) {
      why = "zero byte in a string";
      break;
    }
    buf_putc(&b, (char)c);
  }
  l->tok = IT_STRING;
  l->s = intern_n(l->names, b.s ? b.s : "", b.n);
  buf_free(&b);
  if (why) bad(l, why);
}

static void lex_number(IrLex *l) {
  bool hex = peek(l, l->lo) == '0' && (peek(l, l->lo + 1) | 32) == 'x', whole = true;
  for (;;) {
    int c = peek(l, l->at), last = peek(l, l->at - 1) | 32;
    bool sign = (c == '+' || c == '-') && last == (hex ? 'p' : 'e');
    if (c == '.' && peek(l, l->at + 1) == '.') break;
    if (!is_word(c) && c != '.' && !sign) break;
    if (!is_digit(c)) whole = false;
    l->at++;
  }
  char text[64];
  size_t n = l->at - l->lo;
  if (n >= sizeof text) {
    bad(l, "number is too long");
    return;
  }
  memcpy(text, l->text + l->lo, n);
  text[n] = 0;
  char *end = text;
  errno = 0;
  l->f = strtod(text, &end);
  if (*end) {
    bad(l, "malformed number");
    return;
  }
  l->tok = whole ? IT_INT : IT_FLOAT;
  errno = 0;
  if (whole) l->i = strtoll(text, &end, 10);
  if (whole && errno) bad(l, "integer does not fit in 64 bits");
}

void irlex_next(IrLex *l) {
  l->before = l->at;
  for (;;) {
    int c = peek(l, l->at);
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
      l->at++;
    else if (c == '#')
      while (l->at < l->n && l->text[l->at] != '\n') l->at++;
    else
      break;
  }
  l->lo = l->at;
  l->s = NULL;
  int c = peek(l, l->at);
  if (c < 0) {
    l->tok = IT_END;
    return;
  }
  l->at++;
  if (is_alpha(c) || ((c == '%' || c == '@') && is_word(peek(l, l->at)))) {
    bool dots = c == '%' || c == '@';
    while (is_word(peek(l, l->at)) || (dots && peek(l, l->at) == '.' && is_word(peek(l, l->at + 1)))) l->at++;
    l->tok = c == '%' ? IT_LOCAL : c == '@' ? IT_GLOBAL : IT_IDENT;
    l->s = intern_n(l->names, l->text + l->lo + dots, l->at - l->lo - dots);
  } else if (is_digit(c)) {
    lex_number(l);
  } else if (c == '"') {
    lex_string(l);
  } else if (c == '.' && peek(l, l->at) == '.') {
    l->at++;
    l->tok = IT_DOTDOT;
  } else if (c > ' ' && c < 127) {
    l->tok = IT_PUNCT;
    l->c = (char)c;
  } else {
    bad(l, "this byte starts no token");
  }
}

void irlex_init(IrLex *l, const char *text, size_t n, uint32_t file, Intern *names, Diag *diag) {
  *l = (IrLex){.text = text, .n = n, .file = file, .names = names, .diag = diag};
  if (n >= UINT32_MAX) {
    bad(l, "text of 4 GiB or more");
    l->n = 0;
  }
  irlex_next(l);
}

bool irlex_is(const IrLex *l, const char *word) {
  if (l->tok == IT_IDENT) return !strcmp(l->s, word);
  return l->tok == IT_PUNCT && word[0] == l->c && !word[1];
}

bool irlex_accept(IrLex *l, const char *word) {
  if (!irlex_is(l, word)) return false;
  irlex_next(l);
  return true;
}

bool irlex_expect(IrLex *l, const char *word) {
  return irlex_accept(l, word) || irlex_error(l, "E0220", "expected `%s`", word);
}

bool irlex_take(IrLex *l, IrTok kind, const char *what, const char **s) {
  if (l->tok != kind) return irlex_error(l, "E0220", "expected %s", what);
  *s = l->s;
  irlex_next(l);
  return true;
}

bool irlex_ident(IrLex *l, const char **s) {
  return irlex_take(l, IT_IDENT, "a name", s);
}
bool irlex_string(IrLex *l, const char **s) {
  return irlex_take(l, IT_STRING, "a string", s);
}

bool irlex_int(IrLex *l, int64_t *i) {
  bool minus = irlex_accept(l, "-");
  if (l->tok != IT_INT) return irlex_error(l, "E0220", "expected an integer");
  *i = minus ? -l->i : l->i;
  irlex_next(l);
  return true;
}

bool irlex_float(IrLex *l, double *f) {
  bool minus = irlex_accept(l, "-");
  if (irlex_is(l, "inf"))
    *f = HUGE_VAL;
  else if (irlex_is(l, "nan"))
    *f = (double)NAN;
  else if (l->tok == IT_INT || l->tok == IT_FLOAT)
    *f = l->f;
  else
    return irlex_error(l, "E0220", "expected a number");
  if (minus) *f = -*f;
  irlex_next(l);
  return true;
}

const char *irlex_comment(const IrLex *l, Arena *a) {
  size_t at = l->before;
  while (at < l->lo && (l->text[at] == ' ' || l->text[at] == '\t')) at++;
  if (at >= l->lo || l->text[at] != '#') return NULL;
  size_t lo = at + 1, hi = lo;
  while (hi < l->n && l->text[hi] != '\n') hi++;
  while (lo < hi && (unsigned char)l->text[lo] <= ' ') lo++;
  while (hi > lo && (unsigned char)l->text[hi - 1] <= ' ') hi--;
  return lo < hi ? arena_strndup(a, l->text + lo, hi - lo) : NULL;
}

void irlex_put_string(Buf *b, const char *s) {
  buf_putc(b, '"');
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      buf_printf(b, "\\%c", c);
    else if (c == '\n' || c == '\t')
      buf_puts(b, c == '\n' ? "\\n" : "\\t");
    else if (c < ' ' || c == 127)
      buf_printf(b, "\\x%02x", c);
    else
      buf_putc(b, (char)c);
  }
  buf_putc(b, '"');
}

void irlex_put_float(Buf *b, double f) {
  if (isnan(f))
    buf_puts(b, "nan");
  else
    buf_printf(b, "%a", f);
}
