// ir_lex.h: the lexer shared by the texts of the graph IR and the kernel IR.
//
// Tokens: identifiers, %names, @names (letters, digits, _ and .), strings "..." with \" \\ \n \t \xHH, integers,
// floats (decimal, hexadecimal as printed by %a, inf and nan are identifiers), `..`, and single punctuation characters.
// Blanks, newlines and comments (# to the end of the line) separate tokens. The lexer is a plain struct: copy it to
// look ahead, assign the copy back to return.
//
//   IrLex l;
//   irlex_init(&l, text, n, file, names, diag);      // l.tok is the first token
//   if (irlex_accept(&l, "loop")) ...                // identifier or punctuation
//   if (!irlex_string(&l, &name)) return NULL;       // reported: expected a string
#ifndef SY_IR_LEX_H
#define SY_IR_LEX_H

#include "base/base.h"

typedef enum IrTok {
  IT_END,
  IT_IDENT,
  IT_LOCAL,
  IT_GLOBAL,
  IT_STRING,
  IT_INT,
  IT_FLOAT,
  IT_DOTDOT,
  IT_PUNCT,
  IT_BAD
} IrTok;

typedef struct IrLex {
  const char *text;
  size_t n, at; // at: first byte behind the current token
  uint32_t file;
  Intern *names;
  Diag *diag;
  // the current token
  IrTok tok;
  size_t lo;     // [lo, at) is its text
  size_t before; // end of the token before (irlex_comment)
  const char *s; // IT_IDENT, IT_LOCAL (without %), IT_GLOBAL (without @), IT_STRING (decoded): interned
  int64_t i;     // IT_INT (no sign)
  double f;      // IT_INT, IT_FLOAT
  char c;        // IT_PUNCT
  bool failed;   // an error was reported; only the first one is
} IrLex;

void irlex_init(IrLex *l, const char *text, size_t n, uint32_t file, Intern *names, Diag *diag);
void irlex_next(IrLex *l); // IT_END for ever at the end
Span irlex_span(const IrLex *l);
bool irlex_error(IrLex *l, const char *code, const char *fmt, ...) SY_PRINTF(3, 4); // at the token; returns false
bool irlex_is(const IrLex *l, const char *word);           // identifier or punctuation with this text
bool irlex_accept(IrLex *l, const char *word);             // is + next
SY_MUST_USE bool irlex_expect(IrLex *l, const char *word); // accept, or an error
SY_MUST_USE bool irlex_take(IrLex *l, IrTok kind, const char *what,
                            const char **s); // *s = text of the token; error "expected <what>"
SY_MUST_USE bool irlex_ident(IrLex *l, const char **s);
SY_MUST_USE bool irlex_string(IrLex *l, const char **s);
SY_MUST_USE bool irlex_int(IrLex *l, int64_t *i);  // with an optional minus
SY_MUST_USE bool irlex_float(IrLex *l, double *f); // with an optional minus; integers, inf and nan too
// The comment between the token before the current one and the end of its line, without # and outer blanks, or NULL.
const char *irlex_comment(const IrLex *l, Arena *a);
void irlex_put_string(Buf *b, const char *s); // quotes and escapes: what the lexer reads back as s
void irlex_put_float(Buf *b, double f);       // %a, inf, -inf, nan

#endif
