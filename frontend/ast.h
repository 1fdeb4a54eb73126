// ast.h: the syntax tree of a .sy file: arena nodes with a Span each; ast_kinds.def lists the kinds and their fields.
//
// Invariants: no node is ever NULL where its kind needs one (a failed part is an N_error node); `depth` of every node
// is at most AST_MAX_DEPTH, so that recursive walks cannot exhaust the stack; names are interned.
#ifndef SY_AST_H
#define SY_AST_H

#include "ir/base/base.h"

typedef enum NodeKind {
#define AST(kind, text, fields) N_##kind,
#include "ast_kinds.def"
#undef AST
  N_COUNT
} NodeKind;

typedef struct NodeInfo {
  const char *name; // "let"
  const char *text; // "a let"
} NodeInfo;
extern const NodeInfo node_info[N_COUNT];

enum { AST_MAX_DEPTH = 200 };

typedef struct Node Node;
typedef struct NodeList {
  Node **at;
  size_t n, cap;
} NodeList;

typedef struct PathPart { // literal text, or an interpolated expression
  const char *text;       // NULL if expr
  Node *expr;
} PathPart;
typedef struct Path {
  Span span;
  bool absolute; // @/a.b: restarts at the root
  PathPart *part;
  size_t npart;
} Path;

struct Node {
  NodeKind kind;
  uint16_t depth;
  int op; // unary, binary: AstOp
  Span span;
  Span name_span;
  const char *name;
  const char *text; // string contents
  size_t ntext;
  int64_t i;
  double f;
  Node *a, *b, *c, *type;
  NodeList list, list2;
  Path *path;
};

typedef enum AstOp {
#define AOP(name, text) AO_##name,
#include "ast_ops.def"
#undef AOP
  AO_COUNT
} AstOp;
extern const char *const ast_op_text[AO_COUNT];

void node_list_add(Arena *a, NodeList *l, Node *n);
// Prints a tree as indented text, one node a line: "let x" "  binary +" ...
void ast_print(Buf *out, const Node *n, int indent);

#endif
