// elab_mask.c: mask expressions: compile-time values built from `key`, `query`, modalities and bool tensors.
//
//   attention(q, k, v, heads = h, where = key <= query and text_mask[key])
//     where = "(and (le key query) (arg 3))", and text_mask becomes operand 3
//
// key and query may have a number added: key > query - 4 is (lt query key 4). Either may be compared with a length,
// which may be a run-time one: key < 256 + S is (below key S 256). A mask is an ordinary value: it can be named with
// let and passed to a block. Comparisons of key and query are kept as le, lt, eq; the others are turned round.
// Constants are folded.
#include "elab.h"

bool is_mask_part(CtVal v) {
  return v.kind == CV_MASK || v.kind == CV_KEY || v.kind == CV_QUERY;
}

static CtVal mask_value(Elab *e, MaskTree t) {
  MaskTree *m = ARENA_NEW(e->arena, MaskTree);
  *m = t;
  return (CtVal){.kind = CV_MASK, .mask = m};
}

static CtVal mask_not(Elab *e, CtVal a, Span at) {
  return mask_value(e, (MaskTree){.op = MASK_NOT, .a = a.mask, .span = at});
}

// key + n, key - n, n + key, and of the query
static bool moved(AstOp op, CtVal a, CtVal b, CtVal *out) {
  bool left = a.kind == CV_KEY || a.kind == CV_QUERY;
  CtVal n = left ? b : a;
  if ((op != AO_add && !(op == AO_sub && left)) || n.kind != CV_INT || n.d.k) return false;
  if (n.d.c > MASK_FAR || n.d.c < -MASK_FAR) return false;
  *out = left ? a : b;
  out->d.c += op == AO_sub ? -n.d.c : n.d.c;
  return out->d.c <= MASK_FAR && out->d.c >= -MASK_FAR;
}

static CtVal below(Elab *e, CtVal side, Dim n, Span at) {
  n.c -= side.d.c;
  bool fits = n.c <= MASK_FAR && n.c >= -MASK_FAR && (!n.k || (n.k == 1 && n.sym >= 0));
  if (!fits) {
    Diagnostic *g = elab_error(e, "E0120", at, "a mask cannot compare a position with this length");
    diag_hint(e->diag, g, "a number of at most 2^30, or one run-time dim and maybe a number: key < 256 + S");
    return CT_ERROR;
  }
  MaskTree t = {
      .op = MASK_BELOW, .on_key = side.kind == CV_KEY, .index = (int32_t)n.c, .sym = n.k ? n.sym : -1, .span = at};
  return mask_value(e, t);
}

// Positions are whole numbers: key <= n is key < n + 1, key >= n is not (key < n).
static CtVal compare_length(Elab *e, AstOp op, CtVal side, Dim n, Span at) {
  Dim above = n;
  above.c += op == AO_le || op == AO_gt || op == AO_eq || op == AO_ne;
  CtVal m = below(e, side, above, at);
  if (m.kind == CV_ERROR || op == AO_lt || op == AO_le) return m;
  if (op == AO_ge || op == AO_gt) return mask_not(e, m, at);
  CtVal less = below(e, side, n, at);
  if (less.kind == CV_ERROR) return less;
  m = mask_logic(e, AO_and, m, mask_not(e, less, at), at);
  return op == AO_ne ? mask_not(e, m, at) : m;
}

static AstOp turned(AstOp op) { // n op side: side turned(op) n
  return op == AO_lt ? AO_gt : op == AO_le ? AO_ge : op == AO_gt ? AO_lt : op == AO_ge ? AO_le : op;
}

CtVal mask_compare(Elab *e, AstOp op, CtVal a, CtVal b, Span at) {
  CtVal sum;
  if (moved(op, a, b, &sum)) return sum;
  bool row_a = a.kind == CV_KEY || a.kind == CV_QUERY, row_b = b.kind == CV_KEY || b.kind == CV_QUERY;
  if (op >= AO_eq && op <= AO_ge && row_a && b.kind == CV_INT) return compare_length(e, op, a, b.d, at);
  if (op >= AO_eq && op <= AO_ge && row_b && a.kind == CV_INT) return compare_length(e, turned(op), b, a.d, at);
  bool ok = (a.kind == CV_KEY && b.kind == CV_QUERY) || (a.kind == CV_QUERY && b.kind == CV_KEY);
  int64_t ahead = ok ? b.d.c - a.d.c : 0;
  if (!ok || op < AO_eq || op > AO_ge || ahead > MASK_FAR || ahead < -MASK_FAR) {
    Diagnostic *g = elab_error(e, "E0120", at, "a mask cannot be made of this");
    diag_hint(
        e->diag, g,
        "compare key with query (key <= query, key > query - 4) or with a length (key < S), test a modality (key is "
        "vision), or read a mask tensor (text_mask[key])");
    return CT_ERROR;
  }
  static const MaskOp how[] = {
      [AO_le] = MASK_LE, [AO_lt] = MASK_LT, [AO_ge] = MASK_LE, [AO_gt] = MASK_LT, [AO_eq] = MASK_EQ, [AO_ne] = MASK_EQ};
  bool turn = op == AO_ge || op == AO_gt || (how[op] == MASK_EQ && a.kind != CV_KEY); // b + n >= a: a <= b + n
  MaskTree t = {
      .op = how[op], .on_key = (a.kind == CV_KEY) != turn, .index = (int32_t)(turn ? -ahead : ahead), .span = at};
  CtVal m = mask_value(e, t);
  return op == AO_ne ? mask_not(e, m, at) : m;
}

CtVal mask_logic(Elab *e, AstOp op, CtVal a, CtVal b, Span at) {
  bool usable_a = a.kind == CV_MASK || a.kind == CV_BOOL, usable_b = b.kind == CV_MASK || b.kind == CV_BOOL;
  if (op == AO_not && a.kind == CV_MASK) return mask_not(e, a, at);
  if (op == AO_not || !usable_a || !usable_b) {
    Diagnostic *g = elab_error(e, "E0120", at, "'%s' in a mask needs masks on both sides", ast_op_text[op]);
    diag_hint(e->diag, g, "a bool tensor becomes a mask by naming whose row it describes: text_mask[key]");
    return CT_ERROR;
  }
  bool is_and = op == AO_and;
  if (a.kind == CV_BOOL) return a.b == is_and ? b : a; // true and m = m, false or m = m, ...
  if (b.kind == CV_BOOL) return b.b == is_and ? a : b;
  return mask_value(e, (MaskTree){.op = is_and ? MASK_AND : MASK_OR, .a = a.mask, .b = b.mask, .span = at});
}

CtVal mask_is(Elab *e, CtVal a, const char *modality, Span at, Span name_at) {
  int index = modality_find(e->m, modality);
  if (index < 0) {
    modality_unknown(e, modality, name_at);
    return CT_ERROR;
  }
  if (a.kind != CV_KEY && a.kind != CV_QUERY) {
    Diagnostic *g =
        elab_error(e, "E0120", at, "'is' asks for the modality of key or query, not of %s", kind_text(e, a));
    diag_hint(e->diag, g, "to treat the segments of a tensor differently use switch");
    return CT_ERROR;
  }
  return mask_value(e, (MaskTree){.op = MASK_IS, .on_key = a.kind == CV_KEY, .index = index, .span = at});
}

CtVal mask_arg(Elab *e, CtVal tensor, int rank, Span at) {
  const Type *t = val_type(e, tensor.v);
  if (t->dtype != DT_BOOL || t->rank != rank) {
    Diagnostic *g = elab_error(e, "E0120", at, "a mask tensor is %s, this is %s",
                               rank == 2 ? "bool[B, keys]" : "bool[B, queries, keys]", val_text(e, tensor.v));
    if (t->dtype != DT_BOOL)
      diag_hint(e->diag, g, "compare it to get truth values, as in (x != 0)[key]");
    else if (rank == 2 && t->rank == 3)
      diag_hint(e->diag, g, "a mask with a row for each query is read by m[query, key]");
    return CT_ERROR;
  }
  return mask_value(e, (MaskTree){.op = MASK_ARG, .tensor = tensor.v, .span = at});
}

typedef struct MaskText {
  Elab *e;
  Val *args;
  Span *place;
  size_t *n, max;
  Buf text;
  bool ok;
} MaskText;

static void lower_arg(MaskText *l, const MaskTree *t) {
  size_t i = 3;
  while (i < *l->n && l->args[i].id != t->tensor.id) i++;
  if (i == l->max) {
    elab_error(l->e, "E0120", t->span, "a mask reads at most %zu tensors", l->max - 3);
    l->ok = false;
    return;
  }
  if (i == *l->n) {
    l->args[i] = t->tensor;
    l->place[(*l->n)++] = t->span;
  }
  buf_printf(&l->text, "(arg %zu)", i);
}

static void lower(MaskText *l, const MaskTree *t) { // at most as deep as the source is nested and named
  static const char *const compare_text[] = {[MASK_LE] = "le", [MASK_LT] = "lt", [MASK_EQ] = "eq"};
  if (l->text.n > 4000) {
    if (l->ok) elab_error(l->e, "E0120", t->span, "this mask is too large");
    l->ok = false;
    return;
  }
  switch (t->op) {
  case MASK_TRUE: buf_puts(&l->text, "true"); break;
  case MASK_LE:
  case MASK_LT:
  case MASK_EQ:
    buf_printf(&l->text, t->on_key ? "(%s key query" : "(%s query key", compare_text[t->op]);
    if (t->index) buf_printf(&l->text, " %d", (int)t->index);
    buf_putc(&l->text, ')');
    break;
  case MASK_BELOW:
    buf_printf(&l->text, "(below %s", t->on_key ? "key" : "query");
    if (t->sym >= 0) buf_printf(&l->text, " %s", l->e->m->dim[t->sym].name);
    if (t->index || t->sym < 0) buf_printf(&l->text, " %d", (int)t->index);
    buf_putc(&l->text, ')');
    break;
  case MASK_IS:
    buf_printf(&l->text, "(is %s %s)", t->on_key ? "key" : "query", l->e->m->modality[t->index].name);
    break;
  case MASK_ARG: lower_arg(l, t); break;
  case MASK_NOT:
    buf_puts(&l->text, "(not ");
    lower(l, t->a);
    buf_putc(&l->text, ')');
    break;
  case MASK_AND:
  case MASK_OR:
    buf_puts(&l->text, t->op == MASK_AND ? "(and " : "(or ");
    lower(l, t->a);
    buf_putc(&l->text, ' ');
    lower(l, t->b);
    buf_putc(&l->text, ')');
    break;
  }
}

bool mask_lower(Elab *e, CtVal where, Span at, Val *args, Span *place, size_t *n, size_t max, const char **text) {
  *text = NULL;
  if (where.kind == CV_ERROR) return false;
  if (where.kind == CV_BOOL && where.b) return true;
  if (where.kind == CV_BOOL) {
    elab_error(e, "E0120", at, "this mask hides every key from every query");
    return false;
  }
  if (where.kind != CV_MASK) {
    Diagnostic *g = elab_error(e, "E0120", at, "'where' needs a mask, not %s", kind_text(e, where));
    if (where.kind == CV_TENSOR) diag_hint(e->diag, g, "read a mask tensor at the key: where = mask[key]");
    return false;
  }
  MaskText l = {.e = e, .args = args, .place = place, .n = n, .max = max, .ok = true};
  lower(&l, where.mask);
  if (l.ok) *text = intern_n(e->names, l.text.s, l.text.n);
  buf_free(&l.text);
  return l.ok;
}
