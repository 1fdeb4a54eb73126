// format.c: canonical formatting of .sy text (syc fmt). Works on the tokens of the lexer, so comments and the author's
// line breaks survive; the grammar must accept the text first.
//
//   rules: 2 blanks a brace level; a line inside ( or [ is aligned one behind the bracket; one blank around binary
//   operators, none inside brackets; two blanks before an @path that closes a statement and before a comment at the end
//   of a line; comments of neighbouring lines of about the same length in one column; at most one empty line in a row,
//   none after { or before }.
//
// Invariant: formatting the result again changes nothing; the tokens are the same before and after.
#include "frontend.h"
#include "parse.h"
#include "parser.h"

#include <string.h>

typedef struct Piece { // a token or a comment
  int kind;            // token number; T_COMMENT
  uint32_t lo, hi;
  bool unary; // '-' as a sign
} Piece;
enum { T_COMMENT = 100000 };

typedef struct Line { // one line of output, without its comment
  Buf code;
  const char *comment;
  size_t ncomment;
  bool blank_before;
} Line;

typedef struct Formatter {
  Arena arena;
  const char *text;
  VEC(Piece) piece;
  VEC(Line) line;
  struct {
    char c;
    size_t column; // where a continued line starts
  } open[PARSE_MAX_NEST + 1];
  size_t nopen, braces;
  const Piece *code; // the last piece that is no comment
} Formatter;
// A page of any form becomes a page of about its size: what lies deeper or further to the right is not followed there.
enum { MAX_LEVELS = 40, MAX_COLUMN = 120 };

/* pieces
 * ------------------------------------------------------------------------------------------------------------------ */

static bool is_operand_end(int kind) {
  static const int ends[] = {T_NAME, T_INT, T_REAL, T_STRING, T_DTYPE, ')', ']', '}', T_TRUE, T_FALSE, T_PATH};
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
    if (kind == ends[i]) return true;
  return false;
}

static void collect(Formatter *f, Parser *p) {
  size_t c = 0;
  for (size_t i = 0; i < p->token.n || c < p->comment.n;) {
    bool comment = c < p->comment.n && (i == p->token.n || p->comment.at[c].span.lo < p->token.at[i].span.lo);
    Piece x;
    if (comment) {
      x = (Piece){T_COMMENT, p->comment.at[c].span.lo, p->comment.at[c].span.hi, false};
      c++;
    } else {
      const Token *t = &p->token.at[i++];
      if (t->kind == T_NEWLINE && f->text[t->span.lo] != ';') continue;
      if (t->span.lo == t->span.hi) continue;
      int before = f->piece.n ? f->piece.at[f->piece.n - 1].kind : 0;
      x = (Piece){t->kind, t->span.lo, t->span.hi, t->kind == '-' && !is_operand_end(before)};
    }
    while (x.kind == T_COMMENT && x.hi > x.lo && strchr(" \t\r", f->text[x.hi - 1])) x.hi--;
    VEC_PUSH(&f->arena, f->piece, x);
  }
}

// Newlines in the source between two offsets.
static size_t newlines(const Formatter *f, uint32_t lo, uint32_t hi) {
  size_t n = 0;
  for (uint32_t i = lo; i < hi; i++) n += f->text[i] == '\n';
  return n;
}

/* spacing
 * ------------------------------------------------------------------------------------------------------------------ */

static bool is_open(int k) {
  return k == '(' || k == '[' || k == T_TYPE_OPEN;
}
static bool is_close(int k) {
  return k == ')' || k == ']';
}
static bool is_sum(int k) {
  return k == '^' || k == T_RANGE || k == T_UNTIL;
} // written without blanks

// Inside the brackets of an index a ':' has no blanks; elsewhere it has one behind.
static bool in_index(const Formatter *f) {
  return f->nopen && f->open[f->nopen - 1].c == '[';
}

static size_t gap(const Formatter *f, const Piece *a, const Piece *b) {
  if (b->kind == T_COMMENT) return 2;
  if (b->kind == T_PATH) return b[1].kind == '{' || (f->nopen && f->open[f->nopen - 1].c != '{') ? 1 : 2;
  if (is_open(a->kind) || is_close(b->kind) || b->kind == ',' || b->kind == T_NEWLINE || b->kind == '?') return 0;
  if (a->unary || is_sum(a->kind) || is_sum(b->kind)) return 0;
  if (b->kind == ':' || (a->kind == ':' && in_index(f))) return in_index(f) && a->kind == ',' ? 1 : 0;
  if (b->kind == T_TYPE_OPEN) return 0;
  if (b->kind == '(' || b->kind == '[') return a->kind == T_NAME || is_close(a->kind) ? 0 : 1;
  return 1;
}

/* lines
 * --------------------------------------------------------------------------------------------------------------------
 */

static void new_line(Formatter *f, bool blank) {
  Line l = {.blank_before = blank};
  VEC_PUSH(&f->arena, f->line, l);
}

static Line *last_line(Formatter *f) {
  return &f->line.at[f->line.n - 1];
}

static size_t columns(const char *s, size_t n) { // code points
  size_t c = 0;
  for (size_t i = 0; i < n; i++) c += ((unsigned char)s[i] & 0xc0) != 0x80;
  return c;
}

static void indent(Formatter *f, const Piece *x, bool continued) {
  Line *l = last_line(f);
  size_t levels = f->braces - (x->kind == '}' && f->braces ? 1 : 0);
  size_t column = 2 * (levels < MAX_LEVELS ? levels : MAX_LEVELS);
  bool inside = f->nopen && f->open[f->nopen - 1].c != '{';
  if (inside && f->open[f->nopen - 1].column <= MAX_COLUMN)
    column = f->open[f->nopen - 1].column;
  else if (inside)
    column += 4;
  else if (continued)
    column += 4;
  for (size_t i = 0; i < column; i++) buf_putc(&l->code, ' ');
}

static void track(Formatter *f, const Piece *x) { // after the piece was written
  if (is_open(x->kind) || x->kind == '{') {
    if (f->nopen > PARSE_MAX_NEST) return;
    Line *l = last_line(f);
    f->open[f->nopen].c = x->kind == '{' ? '{' : (char)(x->kind == '(' ? '(' : x->kind == '[' ? '[' : 'T');
    f->open[f->nopen++].column = columns(l->code.s, l->code.n);
    f->braces += x->kind == '{';
  } else if ((is_close(x->kind) || x->kind == '}') && f->nopen) {
    f->nopen--;
    if (x->kind == '}' && f->braces) f->braces--;
  }
}

// Does the piece go on the statement of the line before? (the lexer dropped the newline)
static bool continues(const Piece *a) {
  static const int goes_on[] = {'+', '-',  '*',  '/',  '%',  '^',   '=',  ',',   '<',
                                '>', T_EQ, T_NE, T_LE, T_GE, T_AND, T_OR, T_NOT, T_ARROW};
  for (size_t i = 0; i < sizeof goes_on / sizeof goes_on[0]; i++)
    if (a->kind == goes_on[i]) return true;
  return false;
}

static void put_piece(Formatter *f, size_t i) {
  Piece *x = &f->piece.at[i], *before = i ? &f->piece.at[i - 1] : NULL;
  size_t n = before ? newlines(f, before->hi, x->lo) : 1;
  if (before && before->kind == T_NEWLINE && n == 0) n = 1; // a ';' becomes a line break
  if (x->kind == T_NEWLINE) {
    x->hi = x->lo;
    return;
  }
  bool brace = before && (before->kind == '{' || x->kind == '}') && x->kind != T_COMMENT;
  bool first = !before || n > 0;
  if (first) {
    bool blank = before && n > 1 && before->kind != '{' && x->kind != '}';
    new_line(f, blank);
    if (x->kind == T_COMMENT) { // a comment on its own line
      Line *l = last_line(f);
      indent(f, x, false);
      buf_putn(&l->code, f->text + x->lo, x->hi - x->lo);
      return;
    }
    indent(f, x, f->code && continues(f->code));
  } else if (x->kind == T_COMMENT) {
    Line *l = last_line(f);
    l->comment = f->text + x->lo;
    l->ncomment = x->hi - x->lo;
    return;
  } else {
    size_t blanks = gap(f, before, x);
    if (brace) blanks = before->kind == '{' && x->kind == '}' ? 0 : 1;
    for (size_t k = 0; k < blanks; k++) buf_putc(&last_line(f)->code, ' ');
  }
  buf_putn(&last_line(f)->code, f->text + x->lo, x->hi - x->lo);
  track(f, x);
}

// Do the comments behind two neighbouring lines share a column? Not across the start of a body or an empty line.
static bool joins(const Line *a, const Line *b) {
  return !b->blank_before && a->code.n && a->code.s[a->code.n - 1] != '{';
}

// A comment moves this far at most for the sake of its neighbours: else one long line would blow up all those beside
// it.
enum { MAX_SHIFT = 40 };

static size_t width(const Line *l) {
  return columns(l->code.s, l->code.n);
}

// The lines from i on whose comments share a column. A line that is too long or too short for the others begins anew.
static size_t comment_group(const Formatter *f, size_t i, size_t *widest) {
  size_t end = i, least = SIZE_MAX;
  *widest = 0;
  for (; end < f->line.n && f->line.at[end].comment; end++) {
    if (end > i && !joins(&f->line.at[end - 1], &f->line.at[end])) break;
    size_t w = width(&f->line.at[end]), lo = w < least ? w : least, hi = w > *widest ? w : *widest;
    if (end > i && hi - lo > MAX_SHIFT) break;
    least = lo;
    *widest = hi;
  }
  return end > i ? end : i + 1;
}

static void write_line(const Line *l, bool first, size_t column, Buf *out) {
  if (l->blank_before && !first) buf_putc(out, '\n');
  buf_putn(out, l->code.s ? l->code.s : "", l->code.n);
  for (size_t w = l->comment ? width(l) : column; w < column; w++) buf_putc(out, ' ');
  buf_putn(out, l->comment ? l->comment : "", l->ncomment);
  buf_putc(out, '\n');
}

static void write_lines(Formatter *f, Buf *out) {
  for (size_t i = 0; i < f->line.n;) {
    size_t widest, end = comment_group(f, i, &widest);
    for (bool first = i == 0; i < end; i++, first = false) {
      write_line(&f->line.at[i], first, widest + 2, out);
      buf_free(&f->line.at[i].code);
    }
  }
}

bool front_format(const char *text, size_t n, Buf *out, Diag *diag) {
  Formatter f = {0};
  Intern names = {.arena = &f.arena};
  size_t before = diag->errors;
  Parser p = {.arena = &f.arena, .names = &names, .diag = diag, .keep_tokens = true};
  p.file = diag_add_file(diag, "input.sy", text, n);
  (void)parse_with(&p);
  bool ok = diag->errors == before;
  if (ok) {
    f.text = diag->files.at[p.file - 1].text;
    collect(&f, &p);
    Piece end = {0};
    VEC_PUSH(&f.arena, f.piece, end); // gap looks one piece ahead
    f.piece.n--;
    for (size_t i = 0; i < f.piece.n; i++) {
      put_piece(&f, i);
      if (f.piece.at[i].kind != T_COMMENT) f.code = &f.piece.at[i];
    }
    write_lines(&f, out);
    if (!out->s) buf_puts(out, "");
  }
  arena_free(&f.arena);
  return ok;
}
