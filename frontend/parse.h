// parse.h: what the lexer, the grammar and the tree builder share. One Parser per source text; no globals (pure bison,
// reentrant flex), so that any number may run at once.
//
//   Node *file = parse_file(arena, names, diag, file_number);    // kind N_body: the declarations of a file
//   Node *e = parse_expression(arena, names, diag, file_number); // one expression: -D values
//
// Tokens carry byte-offset Spans. A newline is a token only between statements: the lexer keeps a stack of open
// brackets and drops newlines inside ( and [ and after an operator or a comma.
#ifndef SY_PARSE_H
#define SY_PARSE_H

#include "ast.h"

enum { PARSE_MAX_NEST = 100, PARSE_MAX_BYTES = 4 << 20, PARSE_MAX_LINES = 4000 };

typedef struct Comment {
  Span span;
  bool own_line; // nothing but blanks before it
} Comment;

typedef struct Token {
  int kind;
  Span span;
} Token;

typedef struct Parser {
  Arena *arena;
  Intern *names;
  Diag *diag;
  uint32_t file;
  const char *text;
  // lexer state
  uint32_t pos;       // offset of the next token
  int start;          // token to emit first, 0 when emitted: chooses the grammar's entry
  int last;           // previous token, 0 at the start
  bool at_line_start; // nothing but blanks since the last newline
  uint32_t look_end;  // newlines up to here continue the statement or not: look_result
  bool look_result;
  char open[PARSE_MAX_NEST];      // '(' '[' '{' or 'T' ('[' of a type)
  Span open_span[PARSE_MAX_NEST]; // where
  size_t nopen;
  bool too_deep;
  bool quiet;       // a lexical error was reported: skip the syntax error it causes
  bool keep_tokens; // record every token (the formatter)
  VEC(Comment) comment;
  VEC(Token) token;
  Node *result;
} Parser;

typedef struct TokenValue {
  const char *name; // identifier, path text
  size_t n;
  int64_t i;
  double f;
} TokenValue;

// Parses file number `file` of diag. Returns the tree (kind N_body), with errors reported to diag; never NULL.
Node *parse_file(Arena *arena, Intern *names, Diag *diag, uint32_t file);
Node *parse_with(Parser *p); // the same with a parser that the caller has set up
Node *parse_expression(Arena *arena, Intern *names, Diag *diag, uint32_t file);
Node *parse_rules(Arena *arena, Intern *names, Diag *diag,
                  uint32_t file); // those of a precision, in a file of their own

/* tree building (tree.c) */
Node *node_fill(Parser *p, NodeKind kind, Span span, Node fields); // copies fields into a new node
Node *node_finish(Parser *p, Node *n);                             // sets depth; too deep becomes an error node
Node *node_binary(Parser *p, AstOp op, Node *a, Node *b);
Node *node_unary(Parser *p, AstOp op, Span at, Node *a);
void seg_extend(Parser *p, NodeList *axis, AstOp op, Node *term); // last segment of an axis: length op= term
// The token at `span` ('@' included) as a path; its {expressions} are parsed with the same grammar.
Path *path_new(Parser *p, Span span);
Span span_join(Span a, Span b);
bool parse_stopped(const Parser *p);                   // enough errors
void parse_from(Parser *p, const char *word, Span at); // reports a word between two stages that is not `from`
void parse_unexpected(Parser *p, Span at, const char *got, const char *expected, bool is_end);
int parse_run(Parser *p, uint32_t lo, uint32_t hi, int start); // lexer.l: the grammar over text[lo, hi)

#endif
