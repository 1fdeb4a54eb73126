// tree.c: builds syntax-tree nodes for the grammar, reports syntax errors and runs the parser over a file.
//
// Invariants after parsing: every node's depth is 1 + the largest of its children and at most AST_MAX_DEPTH; a deeper
// expression is reported once (E0006) and replaced by an N_error node. Text that is not UTF-8 is refused before lexing.
#include "parse.h"
#include "parser.h"

#include <string.h>

Span span_join(Span a, Span b) {
  return (Span){a.file, a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

bool parse_stopped(const Parser *p) {
  return diag_full(p->diag) || p->too_deep;
}

Node *node_fill(Parser *p, NodeKind kind, Span span, Node fields) {
  Node *n = ARENA_NEW(p->arena, Node);
  *n = fields;
  n->kind = kind;
  n->span = span;
  return n;
}

static unsigned depth_of(const Node *n) {
  return n ? n->depth : 0u;
}

Node *node_finish(Parser *p, Node *n) {
  unsigned d = 0;
  const Node *kid[] = {n->a, n->b, n->c, n->type};
  for (size_t i = 0; i < sizeof kid / sizeof kid[0]; i++)
    if (depth_of(kid[i]) > d) d = depth_of(kid[i]);
  for (size_t i = 0; i < n->list.n; i++)
    if (depth_of(n->list.at[i]) > d) d = depth_of(n->list.at[i]);
  for (size_t i = 0; i < n->list2.n; i++)
    if (depth_of(n->list2.at[i]) > d) d = depth_of(n->list2.at[i]);
  for (size_t i = 0; n->path && i < n->path->npart; i++)
    if (depth_of(n->path->part[i].expr) > d) d = depth_of(n->path->part[i].expr);
  if (n->list.n > PARSE_MAX_LINES && !p->too_deep) {
    diag_error(p->diag, "E0006", n->span, "%s has %zu parts, at most %d are allowed", node_info[n->kind].text,
               n->list.n, PARSE_MAX_LINES);
    p->too_deep = true;
  }
  if (d >= AST_MAX_DEPTH) {
    if (!p->too_deep)
      diag_hint(p->diag, diag_error(p->diag, "E0006", n->span, "this is nested more than %d deep", AST_MAX_DEPTH),
                "name parts of it with 'let'");
    p->too_deep = true;
    Node *bad = ARENA_NEW(p->arena, Node);
    *bad = (Node){.kind = N_error, .span = n->span, .depth = 1};
    return bad;
  }
  n->depth = (uint16_t)(d + 1);
  return n;
}

Node *node_binary(Parser *p, AstOp op, Node *a, Node *b) {
  return node_finish(p, node_fill(p, N_binary, span_join(a->span, b->span), (Node){.op = (int)op, .a = a, .b = b}));
}

Node *node_unary(Parser *p, AstOp op, Span at, Node *a) {
  return node_finish(p, node_fill(p, N_unary, span_join(at, a->span), (Node){.op = (int)op, .a = a}));
}

void seg_extend(Parser *p, NodeList *axis, AstOp op, Node *term) {
  Node *seg = axis->at[axis->n - 1];
  if (seg->kind != N_seg) return;
  seg->a = node_binary(p, op, seg->a, term);
  seg->span = span_join(seg->span, term->span);
  axis->at[axis->n - 1] = node_finish(p, seg);
}

/* paths
 * ---------------------------------------------------------------------------------------------------------------- */

static Node *parse_range(Parser *outer, uint32_t lo, uint32_t hi) {
  Parser p = {
      .arena = outer->arena, .names = outer->names, .diag = outer->diag, .file = outer->file, .text = outer->text};
  Span span = {outer->file, lo, hi};
  if (parse_run(&p, lo, hi, T_START_EXPR) != 0 || !p.result) {
    Node *bad = ARENA_NEW(outer->arena, Node);
    *bad = (Node){.kind = N_error, .span = span, .depth = 1};
    return bad;
  }
  return p.result;
}

static bool is_path_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

Path *path_new(Parser *p, Span span) {
  Path *path = ARENA_NEW(p->arena, Path);
  VEC(PathPart) part = {0};
  const char *s = p->text;
  uint32_t i = span.lo + 1, from;
  path->span = span;
  path->absolute = i < span.hi && s[i] == '/';
  if (path->absolute) i++;
  const char *wrong = i >= span.hi ? "a path needs a name after '@/'" : NULL;
  while (i < span.hi && !wrong) {
    for (from = i; i < span.hi && is_path_char(s[i]); i++) continue;
    if (i > from) VEC_PUSH(p->arena, part, ((PathPart){.text = arena_strndup(p->arena, s + from, i - from)}));
    if (i >= span.hi) break;
    if (s[i] != '{') {
      wrong = "a path consists of letters, digits, '_', '-', '.' and {expressions}";
      break;
    }
    for (from = ++i; i < span.hi && s[i] != '}'; i++) continue;
    if (i >= span.hi)
      wrong = "this '{' in a path is never closed";
    else
      VEC_PUSH(p->arena, part, ((PathPart){.expr = parse_range(p, from, i++)}));
  }
  if (part.n && !wrong) { // dots separate: none at the ends, no two together
    const PathPart *a = &part.at[0], *b = &part.at[part.n - 1];
    if (a->text && a->text[0] == '.') wrong = "a path does not start with '.'";
    if (b->text && b->text[strlen(b->text) - 1] == '.') wrong = "a path does not end with '.'";
    for (size_t k = 0; k < part.n; k++)
      if (part.at[k].text && strstr(part.at[k].text, "..")) wrong = "a path has a name between two dots";
  }
  if (wrong) diag_error(p->diag, "E0009", span, "%s", wrong);
  path->part = part.at;
  path->npart = part.n;
  return path;
}

/* errors
 * --------------------------------------------------------------------------------------------------------------- */

void parse_from(Parser *p, const char *word, Span at) {
  if (strcmp(word, "from") == 0) return;
  Diagnostic *g = diag_error(p->diag, "E0140", at, "a stage begins 'from' another one, not '%s'", word);
  diag_hint(p->diag, g, "write: train pairs from words { ... }");
}

void parse_unexpected(Parser *p, Span at, const char *got, const char *expected, bool is_end) {
  if (p->quiet || parse_stopped(p)) {
    p->quiet = false;
    return;
  }
  const char *word =
      is_end ? got : arena_printf(p->arena, "'%.*s'", (int)(at.hi - at.lo > 40 ? 40 : at.hi - at.lo), p->text + at.lo);
  if (strcmp(got, "this") == 0) return; // a bad character: the lexer has reported it
  Diagnostic *g = diag_error(p->diag, "E0001", at, "unexpected %s%s", word, expected);
  if (strcmp(word, "'='") == 0) diag_hint(p->diag, g, "a new name needs 'let'; a comparison is written ==");
}

// The first byte that is no valid UTF-8, or n.
static size_t first_bad_byte(const char *text, size_t n) {
  for (size_t i = 0; i < n;) {
    unsigned char c = (unsigned char)text[i];
    size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    if (len == 0 || i + len > n) return i;
    for (size_t k = 1; k < len; k++)
      if (((unsigned char)text[i + k] & 0xc0) != 0x80) return i;
    i += len;
  }
  return n;
}

static Node *parse_all(Parser *p, int start) {
  const SourceFile *f = &p->diag->files.at[p->file - 1];
  Node *empty = node_finish(p, node_fill(p, N_body, (Span){p->file, 0, 0}, (Node){0}));
  if (f->size > PARSE_MAX_BYTES) {
    diag_error(p->diag, "E0010", (Span){p->file, 0, 0}, "the text has %zu bytes; at most %d are read", f->size,
               PARSE_MAX_BYTES);
    return empty;
  }
  size_t bad = first_bad_byte(f->text, f->size);
  if (bad < f->size) {
    Span at = {p->file, (uint32_t)bad, (uint32_t)bad + 1};
    Diagnostic *g = diag_error(p->diag, "E0002", at, "the byte 0x%02x is no valid UTF-8", (unsigned char)f->text[bad]);
    bool wide = bad == 0 && f->size > 1 && (memcmp(f->text, "\xff\xfe", 2) == 0 || memcmp(f->text, "\xfe\xff", 2) == 0);
    if (wide) diag_hint(p->diag, g, "the text is UTF-16; save it as UTF-8");
    return empty;
  }
  p->text = f->text;
  (void)parse_run(p, 0, (uint32_t)f->size, start);
  return p->result ? p->result : empty;
}

Node *parse_file(Arena *arena, Intern *names, Diag *diag, uint32_t file) {
  Parser p = {.arena = arena, .names = names, .diag = diag, .file = file};
  return parse_all(&p, T_START_FILE);
}

Node *parse_with(Parser *p) {
  return parse_all(p, T_START_FILE);
}

Node *parse_expression(Arena *arena, Intern *names, Diag *diag, uint32_t file) {
  Parser p = {.arena = arena, .names = names, .diag = diag, .file = file};
  return parse_all(&p, T_START_EXPR);
}

Node *parse_rules(Arena *arena, Intern *names, Diag *diag, uint32_t file) {
  Parser p = {.arena = arena, .names = names, .diag = diag, .file = file};
  return parse_all(&p, T_START_RULES);
}
