// mask.c: mask expressions, the `where` attribute of attention.
//
// Prefix text:  true | (le A B) | (lt A B) | (eq A B) | (below A n) | (below A S) | (below A S n) | (is A modality)
//               | (arg n) | (not X) | (and X Y) | (or X Y)
// with A, B = key and query (two different ones), and maybe a number that is added to B: (lt query key 4) is
// query < key + 4, a window of four keys. `le`/`lt`/`eq` compare positions in the sequence of keys; the query's
// position is its row plus `qstart` (attribute or i32 operand). `below` compares such a position with a number, or with
// a run-time dim S and maybe a number added to it: (below key S 4) is key < S + 4. `is` asks for the segment; `(arg n)`
// reads operand n of the attention, bool [B,N], at [batch, key], or bool [B,M,N] at [batch, query, key].
//   causal prefix:  (or (is key vision) (le key query))        padding:  (and (arg 3) (le key query))
// mask_text prints the canonical text, which parses back to an equal tree.
#include "graph.h"

#include <string.h>

enum { MASK_DEPTH = 64 }; // nesting limit: bounds the recursion on any input

typedef struct MaskParser {
  Arena *a;
  const Module *m;
  const char *at;
} MaskParser;

typedef enum MaskShape { MS_NONE, MS_COMPARE, MS_BELOW, MS_IS, MS_ARG, MS_UNARY, MS_BINARY } MaskShape;
static const struct {
  const char *name;
  MaskShape shape;
} mask_table[] = {
    [MASK_TRUE] = {"true", MS_NONE}, [MASK_LE] = {"le", MS_COMPARE},     [MASK_LT] = {"lt", MS_COMPARE},
    [MASK_EQ] = {"eq", MS_COMPARE},  [MASK_BELOW] = {"below", MS_BELOW}, [MASK_IS] = {"is", MS_IS},
    [MASK_ARG] = {"arg", MS_ARG},    [MASK_NOT] = {"not", MS_UNARY},     [MASK_AND] = {"and", MS_BINARY},
    [MASK_OR] = {"or", MS_BINARY},
};
enum { MASK_OPS = sizeof mask_table / sizeof *mask_table };

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n';
}
static void skip(MaskParser *p) {
  while (is_blank(*p->at)) p->at++;
}

static bool take(MaskParser *p, char c) {
  skip(p);
  if (*p->at != c) return false;
  p->at++;
  return true;
}

// The next word; its length, 0 if there is none.
static size_t word(MaskParser *p, const char **s) {
  skip(p);
  *s = p->at;
  while (*p->at && !is_blank(*p->at) && *p->at != '(' && *p->at != ')') p->at++;
  return (size_t)(p->at - *s);
}

static bool word_is(const char *s, size_t n, const char *want) {
  return strlen(want) == n && !memcmp(s, want, n);
}

static bool side(MaskParser *p, bool *on_key) {
  const char *s;
  size_t n = word(p, &s);
  *on_key = word_is(s, n, "key");
  return *on_key || word_is(s, n, "query");
}

static bool number(MaskParser *p, int32_t *out) {
  const char *s;
  size_t n = word(p, &s);
  *out = 0;
  if (!n || n > 6) return false;
  for (size_t i = 0; i < n; i++) {
    if (s[i] < '0' || s[i] > '9') return false;
    *out = 10 * *out + (s[i] - '0');
  }
  return true;
}

// A number behind what is compared, if there is one.
static bool offset(MaskParser *p, int32_t *out) {
  skip(p);
  *out = 0;
  if (*p->at == ')') return true;
  bool minus = *p->at == '-';
  p->at += minus;
  const char *s;
  size_t n = word(p, &s);
  int64_t v = 0;
  for (size_t i = 0; i < n && n <= 10; i++) {
    if (s[i] < '0' || s[i] > '9') return false;
    v = 10 * v + (s[i] - '0');
  }
  if (!n || n > 10 || v > MASK_FAR) return false;
  *out = (int32_t)(minus ? -v : v);
  return true;
}

// A run-time dim, a number behind it, or the number alone.
static bool bound(MaskParser *p, int32_t *sym, int32_t *index) {
  MaskParser at = *p;
  const char *s;
  size_t n = word(&at, &s);
  for (*sym = 0; (size_t)*sym < p->m->ndim; ++*sym)
    if (word_is(s, n, p->m->dim[*sym].name)) break;
  if ((size_t)*sym == p->m->ndim) *sym = -1;
  if (*sym >= 0) p->at = at.at;
  skip(p);
  return (*sym >= 0 || *p->at != ')') && offset(p, index);
}

static bool modality(MaskParser *p, int32_t *out) {
  const char *s;
  size_t n = word(p, &s);
  for (*out = 0; (size_t)*out < p->m->nmodality; ++*out)
    if (word_is(s, n, p->m->modality[*out].name)) return true;
  return false;
}

static Mask *parse(MaskParser *p, int depth) {
  const char *s;
  if (depth > MASK_DEPTH) return NULL;
  bool paren = take(p, '(');
  size_t n = word(p, &s);
  int op = 0;
  while (op < MASK_OPS && !word_is(s, n, mask_table[op].name)) op++;
  if (op == MASK_OPS || paren == (op == MASK_TRUE)) return NULL;
  Mask *m = ARENA_NEW(p->a, Mask);
  m->op = (MaskOp)op;
  bool right, ok = true;
  switch (mask_table[op].shape) {
  case MS_NONE: return m;
  case MS_COMPARE:
    ok = side(p, &m->on_key) && side(p, &right) && right != m->on_key && offset(p, &m->index);
    if (op == MASK_EQ && !m->on_key) m->on_key = true, m->index = -m->index; // symmetric: one text
    break;
  case MS_BELOW: ok = side(p, &m->on_key) && bound(p, &m->sym, &m->index); break;
  case MS_IS: ok = side(p, &m->on_key) && modality(p, &m->index); break;
  case MS_ARG: ok = number(p, &m->index); break;
  case MS_UNARY:
  case MS_BINARY:
    ok = (m->a = parse(p, depth + 1)) != NULL;
    if (ok && mask_table[op].shape == MS_BINARY) ok = (m->b = parse(p, depth + 1)) != NULL;
    break;
  }
  return ok && take(p, ')') ? m : NULL;
}

Mask *mask_parse(Arena *a, const Module *m, const char *text) {
  MaskParser p = {a, m, text};
  Mask *mask = parse(&p, 0);
  skip(&p);
  return *p.at ? NULL : mask;
}

const Mask *value_mask(Arena *a, const Module *m, const Value *attention) {
  static const Mask all = {.op = MASK_TRUE};
  const char *where = value_str(attention, A_where);
  const Mask *mask = where ? mask_parse(a, m, where) : &all;
  if (!mask) ICE("%s has the mask \"%s\"", op_info[attention->op].name, where);
  return mask;
}

bool mask_asks(const Mask *mask, bool key) {
  return mask && ((mask->op == MASK_IS && mask->on_key == key) || mask_asks(mask->a, key) || mask_asks(mask->b, key));
}

uint32_t mask_dims(const Mask *mask) {
  if (!mask) return 0;
  uint32_t own = mask->op == MASK_BELOW && mask->sym >= 0 ? 1u << mask->sym : 0;
  return own | mask_dims(mask->a) | mask_dims(mask->b);
}

Dim mask_bound(const Mask *below) {
  return below->sym < 0 ? DIM(below->index) : (Dim){below->index, 1, below->sym};
}

const Mask *mask_fold(Arena *arena, const Mask *m, MaskDecide *decide, const void *ud) {
  static const Mask all = {.op = MASK_TRUE};
  if (m->op != MASK_NOT && m->op != MASK_AND && m->op != MASK_OR) {
    MaskTruth t = m->op == MASK_TRUE ? MASK_ALWAYS : decide(m, ud);
    return t == MASK_OPEN ? m : t == MASK_ALWAYS ? &all : NULL;
  }
  const Mask *a = mask_fold(arena, m->a, decide, ud), *b = m->b ? mask_fold(arena, m->b, decide, ud) : NULL;
  bool all_a = a && a->op == MASK_TRUE, all_b = b && b->op == MASK_TRUE;
  if (m->op == MASK_NOT && (!a || all_a)) return a ? NULL : &all;
  if (m->op == MASK_AND) {
    if (!a || !b) return NULL;
    if (all_a || all_b) return all_a ? b : a;
  }
  if (m->op == MASK_OR) {
    if (all_a || all_b) return &all;
    if (!a || !b) return a ? a : b;
  }
  Mask *c = ARENA_ARRAY(arena, Mask, 3); // the node and copies of its operands
  c[0] = *m, c[1] = *a;
  c[0].a = &c[1];
  if (b) c[2] = *b, c[0].b = &c[2];
  return c;
}

static void print(Buf *b, const Module *m, const Mask *x) {
  static const char *const side_name[2] = {"query", "key"};
  const char *name = mask_table[x->op].name;
  switch (mask_table[x->op].shape) {
  case MS_NONE: buf_puts(b, name); return;
  case MS_COMPARE:
    buf_printf(b, "(%s %s %s", name, side_name[x->on_key], side_name[!x->on_key]);
    if (x->index) buf_printf(b, " %d", (int)x->index);
    buf_putc(b, ')');
    return;
  case MS_BELOW:
    buf_printf(b, "(%s %s", name, side_name[x->on_key]);
    if (x->sym >= 0) buf_printf(b, " %s", m->dim[x->sym].name);
    if (x->index || x->sym < 0) buf_printf(b, " %d", (int)x->index);
    buf_putc(b, ')');
    return;
  case MS_IS: buf_printf(b, "(%s %s %s)", name, side_name[x->on_key], m->modality[x->index].name); return;
  case MS_ARG: buf_printf(b, "(%s %d)", name, (int)x->index); return;
  case MS_UNARY:
  case MS_BINARY:
    buf_printf(b, "(%s ", name);
    print(b, m, x->a);
    if (x->b) buf_putc(b, ' ');
    if (x->b) print(b, m, x->b);
    buf_putc(b, ')');
  }
}

const char *mask_text(Arena *a, const Module *m, const Mask *mask) {
  Buf b = {0};
  print(&b, m, mask);
  const char *s = arena_strdup(a, b.s);
  buf_free(&b);
  return s;
}
