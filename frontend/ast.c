// ast.c: the tables of the syntax tree and its text dump (`--emit=ast`).
//
//   model vit
//     param size
//       int 224
//
// Invariant: walks recurse at most AST_MAX_DEPTH deep, which the parser guarantees.
#include "ast.h"

const NodeInfo node_info[N_COUNT] = {
#define AST(kind, text, fields) [N_##kind] = {#kind, text},
#include "ast_kinds.def"
#undef AST
};

const char *const ast_op_text[AO_COUNT] = {
#define AOP(name, text) [AO_##name] = text,
#include "ast_ops.def"
#undef AOP
};

void node_list_add(Arena *a, NodeList *l, Node *n) {
  VEC_PUSH(a, *l, n);
}

static void print_path(Buf *out, const Path *p) {
  buf_puts(out, p->absolute ? " @/" : " @");
  for (size_t i = 0; i < p->npart; i++) buf_puts(out, p->part[i].text ? p->part[i].text : "{}");
}

void ast_print(Buf *out, const Node *n, int indent) {
  buf_printf(out, "%*s%s", indent, "", node_info[n->kind].name);
  if (n->name) buf_printf(out, " %s", n->name);
  if (n->text) buf_printf(out, " \"%s\"", n->text);
  if (n->kind == N_int || n->kind == N_bool || n->kind == N_type) buf_printf(out, " %lld", (long long)n->i);
  if (n->kind == N_real) buf_printf(out, " %.17g", n->f);
  if (n->kind == N_unary || n->kind == N_binary) buf_printf(out, " %s", ast_op_text[n->op]);
  if (n->path) print_path(out, n->path);
  buf_putc(out, '\n');
  for (size_t i = 0; i < n->list.n; i++) ast_print(out, n->list.at[i], indent + 2);
  for (size_t i = 0; i < n->list2.n; i++) ast_print(out, n->list2.at[i], indent + 2);
  const Node *kid[] = {n->type, n->a, n->b, n->c};
  for (size_t i = 0; i < sizeof kid / sizeof kid[0]; i++)
    if (kid[i]) ast_print(out, kid[i], indent + 2);
  for (size_t i = 0; n->path && i < n->path->npart; i++)
    if (n->path->part[i].expr) ast_print(out, n->path->part[i].expr, indent + 2);
}
