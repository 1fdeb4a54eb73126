// diag.c: the diagnostics sink: records errors, warnings and remarks with their place, and prints them as text or JSON.
//
// Text form, one diagnostic (the notes are indented, each with its own place):
//   vit.sy:12:18: error: no block is called 'lineer' [E0102]
//      12 |   let x = lineer(x, dim)
//         |           ^~~~~~
//      hint: did you mean 'linear'?
//
// Invariants: texts live in Diag.arena; at most max_errors errors are kept (further ones are only counted); printing
// never reads outside a file's text, whatever the span says; what a terminal would obey is escaped, in source lines
// '?'.
#include "base.h"

#include <stdlib.h>
#include <string.h>

typedef struct CodeInfo {
  const char *code;
  const char *text;
} CodeInfo;

static const CodeInfo codes[] = {
#define CODE(code, title, example, text) {#code, #code ": " title "\n\n" text},
#define RETIRED(code, other)
#include "diag_codes.def"
#undef CODE
#undef RETIRED
};
static const char *const retired[][2] = {
#define CODE(code, title, example, text)
#define RETIRED(code, other) {#code, #other},
#include "diag_codes.def"
#undef CODE
#undef RETIRED
};

static const struct {
  const char *name, *colour;
} severity_info[] = {
    [SEV_ERROR] = {"error", "\033[1;31m"},
    [SEV_WARNING] = {"warning", "\033[1;35m"},
    [SEV_REMARK] = {"remark", "\033[1;36m"},
};

void diag_init(Diag *d, Arena *a) {
  memset(d, 0, sizeof *d);
  d->arena = a;
  d->max_errors = 20;
}

uint32_t diag_add_file(Diag *d, const char *path, const char *text, size_t size) {
  size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; // a byte order mark is no part of the text
  VEC_PUSH(d->arena, d->files, ((SourceFile){path, text + mark, size - mark}));
  return (uint32_t)d->files.n;
}

bool diag_full(const Diag *d) {
  return d->errors >= d->max_errors;
}

static char *format_text(Arena *a, const char *fmt, va_list ap) {
  va_list again;
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, again);
  va_end(again);
  if (n < 0) return arena_strdup(a, fmt);
  char *s = arena_alloc(a, (size_t)n + 1);
  vsnprintf(s, (size_t)n + 1, fmt, ap);
  return s;
}

// Appends a diagnostic. An error beyond max_errors goes to a scratch entry that is never printed, so that callers may
// still add hints to it.
static Diagnostic *diag_add(Diag *d, Severity sev, const char *code, Span at, const char *fmt, va_list ap) {
  bool keep = sev != SEV_ERROR || !diag_full(d);
  if (sev == SEV_ERROR) d->errors++;
  Diagnostic g = {.severity = sev, .code = code, .span = at, .text = keep ? format_text(d->arena, fmt, ap) : ""};
  if (!keep) {
    Diagnostic *lost = ARENA_NEW(d->arena, Diagnostic);
    *lost = g;
    return lost;
  }
  VEC_PUSH(d->arena, d->list, g);
  return &d->list.at[d->list.n - 1];
}

Diagnostic *diag_error(Diag *d, const char *code, Span at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  Diagnostic *g = diag_add(d, SEV_ERROR, code, at, fmt, ap);
  va_end(ap);
  return g;
}

Diagnostic *diag_warning(Diag *d, const char *code, Span at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  Diagnostic *g = diag_add(d, SEV_WARNING, code, at, fmt, ap);
  va_end(ap);
  return g;
}

Diagnostic *diag_remark(Diag *d, const char *pass, Span at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  Diagnostic *g = diag_add(d, SEV_REMARK, pass, at, fmt, ap);
  va_end(ap);
  return g;
}

void diag_hint(Diag *d, Diagnostic *g, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  g->hint = format_text(d->arena, fmt, ap);
  va_end(ap);
}

void diag_note(Diag *d, Diagnostic *g, Span at, const char *fmt, ...) {
  if (g->nnote == sizeof g->note / sizeof g->note[0]) return;
  va_list ap;
  va_start(ap, fmt);
  g->note[g->nnote++] = (Note){at, format_text(d->arena, fmt, ap)};
  va_end(ap);
}

static const SourceFile *span_file(const Diag *d, Span s) {
  return s.file == 0 || s.file > d->files.n ? NULL : &d->files.at[s.file - 1];
}

bool diag_place(const Diag *d, Span s, const char **path, uint32_t *line, uint32_t *col) {
  const SourceFile *f = span_file(d, s);
  if (!f) return false;
  size_t at = s.lo < f->size ? s.lo : f->size, start = 0;
  uint32_t n = 1;
  for (size_t i = 0; i < at; i++)
    if (f->text[i] == '\n') n++, start = i + 1;
  *path = f->path;
  *line = n;
  *col = (uint32_t)(at - start) + 1;
  return true;
}

/* text form ---------------------------------------------------------------------------------------------------------
 */

enum { LINE_SHOWN = 160 }; // bytes of a source line printed at most

// Prints source bytes, each character in one column: tabs as a blank, what a terminal would not show as '?'. Returns
// the columns used.
static size_t put_source(Buf *out, const char *s, size_t n, bool blank) {
  size_t columns = 0;
  for (size_t i = 0; i < n; columns++) {
    size_t len = text_length(s + i, n - i);
    if (blank) {
    } else if (s[i] == '\t')
      buf_putc(out, ' ');
    else if (len == 0 || !text_is_shown(text_character(s + i, len)))
      buf_putc(out, '?');
    else
      buf_putn(out, s + i, len);
    i += len ? len : 1;
  }
  return columns;
}

static void put_place(const Diag *d, Buf *out, Span s) {
  const char *path;
  uint32_t line, col;
  if (diag_place(d, s, &path, &line, &col))
    buf_text(out, path), buf_printf(out, ":%u:%u: ", line, col);
  else
    buf_puts(out, "syc: ");
}

static void put_excerpt(const Diag *d, Buf *out, Span s, const char *colour) {
  const SourceFile *f = span_file(d, s);
  const char *path;
  uint32_t line, col;
  if (!f || !diag_place(d, s, &path, &line, &col)) return;
  size_t at = s.lo < f->size ? s.lo : f->size, lo = at - (col - 1), hi = at;
  while (hi < f->size && f->text[hi] != '\n') hi++;
  size_t end = s.hi > at ? (s.hi < hi ? s.hi : hi) : at;
  const char *cut_left = "", *cut_right = "";
  if (hi - lo > LINE_SHOWN) { // a window around the place, starting at whole characters
    size_t from = at - lo > LINE_SHOWN / 2 ? at - LINE_SHOWN / 2 : lo;
    while (from > lo && from < at && ((unsigned char)f->text[from] & 0xc0) == 0x80) from++;
    if (from > lo) cut_left = "...";
    lo = from;
    if (hi - lo > LINE_SHOWN) {
      hi = lo + LINE_SHOWN, cut_right = "...";
      while (hi > at && ((unsigned char)f->text[hi] & 0xc0) == 0x80) hi--;
    }
    if (end > hi) end = hi;
  }
  if (hi > lo && f->text[hi - 1] == '\r') hi--;
  if (end > hi) end = hi > at ? hi : at;
  buf_printf(out, "%6u | %s", line, cut_left);
  put_source(out, f->text + lo, hi - lo, false);
  buf_printf(out, "%s\n       | %*s", cut_right, (int)strlen(cut_left), "");
  size_t before = at > hi ? put_source(out, f->text + lo, hi - lo, true) : put_source(out, f->text + lo, at - lo, true);
  size_t width = end > at ? put_source(out, f->text + at, end - at, true) : 1;
  for (size_t i = 0; i < before; i++) buf_putc(out, ' ');
  buf_puts(out, colour);
  buf_putc(out, '^');
  for (size_t i = 1; i < width; i++) buf_putc(out, '~');
  buf_puts(out, *colour ? "\033[0m\n" : "\n");
}

void diag_print(const Diag *d, Buf *out, bool colour) {
  const char *bold = colour ? "\033[1m" : "", *off = colour ? "\033[0m" : "";
  for (size_t i = 0; i < d->list.n; i++) {
    const Diagnostic *g = &d->list.at[i];
    const char *tint = colour ? severity_info[g->severity].colour : "";
    buf_puts(out, bold);
    put_place(d, out, g->span);
    buf_printf(out, "%s%s%s:%s %s", off, tint, severity_info[g->severity].name, off, bold);
    buf_text(out, g->text);
    buf_puts(out, off);
    if (g->code) buf_printf(out, " [%s]", g->code);
    buf_putc(out, '\n');
    put_excerpt(d, out, g->span, tint);
    for (size_t k = 0; k < g->nnote; k++) {
      buf_puts(out, "  ");
      if (g->note[k].span.file) put_place(d, out, g->note[k].span);
      buf_puts(out, "note: ");
      buf_text(out, g->note[k].text);
      buf_putc(out, '\n');
      put_excerpt(d, out, g->note[k].span, colour ? "\033[1;34m" : "");
    }
    if (g->hint) {
      buf_puts(out, "  hint: ");
      buf_text(out, g->hint);
      buf_putc(out, '\n');
    }
  }
  if (d->errors > d->max_errors)
    buf_printf(out, "syc: error: %zu further errors are not shown\n", d->errors - d->max_errors);
}

/* JSON form ----------------------------------------------------------------------------------------------------------
 */

static void put_json_place(const Diag *d, Json *j, Span s) {
  const char *path;
  uint32_t line, col;
  if (!diag_place(d, s, &path, &line, &col)) return;
  json_string(j, "path", path);
  json_unsigned(j, "line", line);
  json_unsigned(j, "column", col);
  json_unsigned(j, "begin", s.lo);
  json_unsigned(j, "end", s.hi);
}

static void put_json_diagnostic(const Diag *d, Json *j, const Diagnostic *g) {
  json_object(j, NULL);
  json_string(j, "severity", severity_info[g->severity].name);
  json_string(j, "code", g->code ? g->code : "");
  json_string(j, "text", g->text);
  put_json_place(d, j, g->span);
  if (g->hint) json_string(j, "hint", g->hint);
  if (g->nnote) json_array(j, "notes");
  for (size_t k = 0; k < g->nnote; k++) {
    json_object(j, NULL);
    json_string(j, "text", g->note[k].text);
    put_json_place(d, j, g->note[k].span);
    json_end(j);
  }
  if (g->nnote) json_end(j);
  json_end(j);
}

void diag_print_json(const Diag *d, Buf *out) {
  Json j = {.put = buf_sink, .ud = out};
  json_object(&j, NULL);
  json_array(&j, "diagnostics");
  for (size_t i = 0; i < d->list.n; i++) put_json_diagnostic(d, &j, &d->list.at[i]);
  json_end(&j);
  json_unsigned(&j, "errors", d->errors);
  json_end(&j);
}

const char *diag_explain(const char *code) {
  for (size_t i = 0; i < sizeof retired / sizeof retired[0]; i++)
    if (strcmp(retired[i][0], code) == 0) return diag_explain(retired[i][1]);
  for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
    if (strcmp(codes[i].code, code) == 0) return codes[i].text;
  return NULL;
}

void ice(const char *file, int line, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fprintf(stderr, "syc: internal error: %s:%d: ", file, line);
  vfprintf(stderr, fmt, ap);
  fputs("\nThis is a bug in the compiler, not in your program. Please report it with the command you ran.\n", stderr);
  va_end(ap);
#ifdef SY_FUZZING
  abort();
#else
  exit(70);
#endif
}

void out_of_memory(size_t bytes) {
  fprintf(stderr, "syc: error: out of memory (%zu bytes)\n", bytes);
#ifdef SY_FUZZING
  abort();
#else
  exit(3);
#endif
}
