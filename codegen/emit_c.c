// emit_c.c: prints one kernel as one C function, for any target. The printer knows the structure of C; what an
// operation looks like comes from the target's rows. An operation without a row is a bug of the pass that should have
// rewritten it.
//
// What is decided here: names (unique in the function, from the hints in the IR), which values stand inside the
// expression that uses them (used once, not named, nothing assigned or stored in between; small constants always),
// which addresses are counted from a pointer of their own (see find_bases), and that values nobody needs and loops that
// never run are left out. Example:
//
//   static void scale(const vit_args *args, size_t task, void *scratch) {
//     const float *restrict x = args->p[0];
//     float *restrict y = args->p[1];
//     (void)scratch;
//     const size_t r = task;
//     for (size_t i = 0; i < 768; i += 8) {
//       _mm256_storeu_ps(y + 768 * r + i, _mm256_mul_ps(_mm256_loadu_ps(x + 768 * r + i), _mm256_set1_ps(0.125f)));
//     }
//   }
#include "emit_c_parts.h"

#include "c_words.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* names
 * ------------------------------------------------------------------------------------------------------------------ */
static const char *const reserved[] = {
    "auto",   "break",    "case",    "char",  "const",  "continue", "default",  "do",     "double",
    "else",   "enum",     "extern",  "float", "for",    "goto",     "if",       "inline", "int",
    "long",   "register", "return",  "short", "signed", "sizeof",   "restrict", "static", "struct",
    "switch", "typedef",  "union",   "void",  "while",  "unsigned", "args",     "task",   "scratch",
    "linux",  "volatile", "unix",    "asm",   "typeof", "y0",       "y1",       "yn",     "j0",
    "j1",     "jn",       "signgam", "index", "memcpy", "NAN",      "INFINITY", "NULL",   "INT32_MIN",
};

// Where a name is, or would be put.
static uint32_t *taken_slot(const Emit *e, const char *s) {
  size_t i = (size_t)hash_bytes(s, strlen(s), 3) & (e->taken_slots - 1);
  for (;; i = (i + 1) & (e->taken_slots - 1)) {
    uint32_t at = e->taken_slot[i];
    if (!at || (at <= e->taken.n && !strcmp(s, e->taken.at[at - 1]))) return &e->taken_slot[i];
  }
}

static bool is_taken(const Emit *e, const char *s) {
  for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
    if (!strcmp(s, reserved[i])) return true;
  return e->taken_slots && *taken_slot(e, s) != 0;
}

// Names of closed blocks leave their slots behind, so the table is made anew when half of it was ever used.
static void take(Emit *e, const char *s) {
  if (2 * (e->taken_used + 1) > e->taken_slots) {
    e->taken_slots = 64;
    while (e->taken_slots < 4 * (e->taken.n + 1)) e->taken_slots *= 2;
    e->taken_slot = ARENA_ARRAY(&e->arena, uint32_t, e->taken_slots);
    e->taken_used = e->taken.n;
    for (size_t i = 0; i < e->taken.n; i++) *taken_slot(e, e->taken.at[i]) = (uint32_t)i + 1;
  }
  *taken_slot(e, s) = (uint32_t)e->taken.n + 1;
  e->taken_used++;
  VEC_PUSH(&e->arena, e->taken, s);
}

// A name of the IR without the number that makes it unique there: "k_2" -> "k".
const char *ec_plain_name(Emit *e, const char *name) {
  size_t n = strlen(name), cut = n;
  while (cut && strchr("0123456789", name[cut - 1])) cut--;
  return cut > 1 && cut < n && name[cut - 1] == '_' ? arena_strndup(&e->arena, name, cut - 1) : name;
}

const char *ec_new_name(Emit *e, const char *hint) {
  // the helpers' and the compiler's own names begin with sy, SY_ or an underscore
  bool theirs = hint[0] == '_' || !strncmp(hint, "sy", 2) || !strncmp(hint, "SY_", 3);
  const char *base = theirs ? arena_printf(&e->arena, "v_%s", hint) : hint, *s = base;
  for (unsigned n = 2; is_taken(e, s); n++) s = arena_printf(&e->arena, "%s_%u", base, n);
  take(e, s);
  return s;
}

/* what is printed
 * --------------------------------------------------------------------------------------------------------------------
 */
static bool runs_never(const Kernel *k, const KIns *s) {
  return k->var.at[s->var.id].hi < k->var.at[s->var.id].lo;
}

static void need_index(Emit *e, const KIdx *i) {
  for (uint32_t t = 0; t < i->n; t++) e->used_var[i->t[t].var.id] = true;
}

static void need_bound(Emit *e, const KBound *b) {
  need_index(e, &b->a);
  need_index(e, &b->from);
  if (ec_cap_matters(e->k, b)) need_index(e, &b->cap);
}

static bool need(Emit *e, uint32_t i) {
  const KIns *s = &e->k->ins.at[i];
  if (e->needed[i]) return false;
  e->needed[i] = true;
  for (int a = 0; a < kop_info[s->op].nargs; a++) need(e, s->arg[a].id);
  need_index(e, &s->idx);
  if (s->op == K_loop) need_bound(e, &s->range->lo), need_bound(e, &s->range->hi);
  if (s->buf.id) e->used_buf[s->buf.id] = true;
  return true;
}

// Stores, prefetches and loops are needed; values that these need; sets of registers and definitions of variables that
// are needed.
static void find_needed(Emit *e) {
  const Kernel *k = e->k;
  bool *skip = ARENA_ARRAY(&e->arena, bool, k->ins.n);
  uint32_t never = 0, depth = 0; // depth at which the code became unreachable
  for (uint32_t i = 1; i < k->ins.n; i++) {
    const KIns *s = &k->ins.at[i];
    if (kop_info[s->op].result == KR_B && ++depth && !never && runs_never(k, s)) never = depth;
    skip[i] = never != 0;
    if (s->op == K_end && never == depth--) never = 0;
    KResult r = kop_info[s->op].result;
    if (!skip[i] && (r == KR_B || r == KR_E || s->op == K_store || s->op == K_prefetch)) need(e, i);
  }
  for (bool again = true; again;) {
    again = false;
    for (uint32_t i = 1; i < k->ins.n; i++) {
      const KIns *s = &k->ins.at[i];
      bool changes = s->op == K_set && s->arg[0].id != s->arg[1].id;
      bool names = s->op == K_ldidx || s->op == K_let;
      bool wanted = (changes && e->needed[s->arg[0].id]) || (names && e->used_var[s->var.id]);
      if (wanted && !skip[i]) again |= need(e, i);
    }
  }
  bool used = false; // of par loops: the counts of those inside the first one that matters
  for (uint32_t i = 1; i < k->ins.n && k->ins.at[i].op == K_par; i++) {
    const KIns *s = &k->ins.at[i];
    used |= e->used_var[s->var.id];
    if (e->used_var[s->var.id] || (used && i > 1)) need_bound(e, &s->range->lo);
    if (used && i > 1) need_bound(e, &s->range->hi);
    if (used && !e->first_par) e->first_par = i;
  }
}

static void count_uses(Emit *e) {
  for (uint32_t i = 1; i < e->k->ins.n; i++) {
    const KIns *s = &e->k->ins.at[i];
    bool barrier = s->op == K_set || s->op == K_store || kop_info[s->op].result == KR_B || s->op == K_end;
    e->barriers[i] = e->barriers[i - 1] + barrier; // of [0, i]
    if (!e->needed[i]) continue;
    for (int a = s->op == K_set; a < kop_info[s->op].nargs; a++) {
      e->uses[s->arg[a].id]++;
      e->last_use[s->arg[a].id] = i;
    }
  }
}

static bool may_inline(const Emit *e, uint32_t i, const char *text) {
  const KIns *s = &e->k->ins.at[i];
  bool load = s->op == K_load || s->op == K_bcast;
  if (s->op == K_var || (s->name && !load)) return false; // a name is worth a line, a load's only if it is used again
  if (s->op == K_const) return e->uses[i] == 1 || strlen(text) <= SMALL_CONST;
  if (e->uses[i] != 1 || strlen(text) > MAX_INLINE) return false;
  return e->barriers[e->last_use[i] - 1] == e->barriers[i];
}

/* expressions
 * -------------------------------------------------------------------------------------------------------------------------
 */
// The shortest decimal that reads back as the same float.
static void put_float(Buf *b, double v) {
  char s[40];
  float f = (float)v;
  if (isnan(f)) {
    buf_puts(b, "NAN");
  } else if (isinf(f)) {
    buf_puts(b, f < 0 ? "-INFINITY" : "INFINITY");
  } else {
    for (int digits = 1; digits <= 9; digits++) {
      snprintf(s, sizeof s, "%.*g", digits, (double)f);
      if (strtof(s, NULL) == f) break;
    }
    bool plain = !strpbrk(s, ".e");
    buf_printf(b, "%s%sf", s, plain ? ".0" : "");
  }
}

static const Base *base_of(const Emit *e, size_t i) {
  const Base *b = &e->bases.at[e->base[i]];
  return b->name ? b : NULL;
}

static const char *memory_name(const Emit *e, size_t i) {
  return e->param[i] ? e->inside->param.at[e->param[i] - 1].name : e->buf[e->k->ins.at[i].buf.id];
}

static void put_address(Emit *e, const KIns *s) {
  Buf *b = &e->text;
  size_t i = (size_t)(s - e->k->ins.at);
  const Base *base = base_of(e, i);
  buf_puts(b, base ? base->name : memory_name(e, i));
  if (!base)
    ec_put_sum(b, &e->at[i], e->var);
  else if (e->at[i].c > base->idx.c)
    buf_printf(b, " + %" PRId64, e->at[i].c - base->idx.c);
}

static void put_element(Emit *e, const KIns *s) {
  size_t i = (size_t)(s - e->k->ins.at);
  const Base *base = base_of(e, i);
  buf_printf(&e->text, "%s[", base ? base->name : memory_name(e, i));
  if (base)
    buf_printf(&e->text, "%" PRId64, e->at[i].c - base->idx.c);
  else
    ec_put_index(&e->text, &e->at[i], e->var);
  buf_putc(&e->text, ']');
}

static void put_immediate(Emit *e, const KIns *s) {
  Buf *b = &e->text;
  if (s->op == K_index) {
    buf_puts(b, "(int32_t)(");
    ec_put_index(b, &s->idx, e->var);
    buf_putc(b, ')');
  } else if (s->dtype == DT_F32) {
    put_float(b, s->imm);
  } else if (s->imm == INT32_MIN) {
    buf_puts(b, "INT32_MIN");
  } else {
    buf_printf(b, "%" PRId64, (int64_t)s->imm);
  }
}

static const IsaRow *row_of(const Emit *e, const KIns *s) {
  bool by_operand = s->op == K_lt || s->op == K_le || s->op == K_eq || s->op == K_cvt;
  bool by_memory = s->op == K_load || s->op == K_store || s->op == K_bcast;
  DType dt = by_memory ? e->k->buf.at[s->buf.id].dtype : by_operand ? e->k->ins.at[s->arg[0].id].dtype : s->dtype;
  uint32_t lanes = s->lanes;
  if (s->op == K_hadd || s->op == K_hmax || s->op == K_lane0) lanes = e->k->lanes;
  bool partial = (s->op == K_load || s->op == K_store || s->op == K_loadm) && s->n < s->lanes;
  const IsaRow *r = target_row(e->t, s->op, dt, lanes, partial);
  if (!r)
    ICE("kernel %s: target %s has no %s%s of %s in %u lanes", e->k->name, e->t->name, partial ? "partial " : "",
        kop_info[s->op].name, dtype_info[dt].name, lanes);
  return r;
}

// The C text of an instruction, from its row; in the arena of the call.
static const char *expression(Emit *e, const KIns *s) {
  Buf *b = &e->text;
  b->n = 0;
  for (const char *c = row_of(e, s)->c; *c; c++) {
    if (*c != '%') {
      buf_putc(b, *c);
      continue;
    }
    switch (*++c) {
    case '0':
    case '1':
    case '2': buf_puts(b, e->value[s->arg[*c - '0'].id]); break;
    case 'b': put_address(e, s); break;
    case 'e': put_element(e, s); break;
    case 'n': buf_printf(b, "%" PRId64, s->n); break;
    case 'i': put_immediate(e, s); break;
    default: ICE("bad template of %s", kop_info[s->op].name);
    }
  }
  return arena_strndup(&e->arena, b->s, b->n);
}

// Drops the parentheses around a whole expression: "(a + b)" -> "a + b".
static const char *strip(Emit *e, const char *s) {
  size_t n = strlen(s);
  int depth = 0;
  if (s[0] != '(' || s[n - 1] != ')') return s;
  for (size_t i = 0; i + 1 < n; i++) {
    depth += (s[i] == '(') - (s[i] == ')');
    if (!depth) return s;
  }
  return arena_strndup(&e->arena, s + 1, n - 2);
}

static const char *c_type(const Emit *e, const KIns *s) {
  bool vec = s->lanes > 1;
  if (s->dtype == DT_F32) return vec ? e->t->vec_f32 : "float";
  if (s->dtype == DT_I32) return vec ? e->t->vec_i32 : "int32_t";
  if (s->dtype == DT_BOOL) return vec ? e->t->mask : "int";
  ICE("kernel %s: no C type for %s", e->k->name, dtype_info[s->dtype].name);
}

/* pointers to groups of addresses
 * -------------------------------------------------------------------------------------------------------- */
const char *ec_memory_type(DType dt) {
  return dtype_info[dt].memory;
}

static bool is_written(const Kernel *k, size_t buf) {
  return k->buf.at[buf].role == KB_OUT;
}

// Accesses of a buffer in one straight line of code whose addresses differ by constants share a pointer to the lowest
// of them where that makes the text shorter. The pointer is an address that is accessed, so it never leaves the buffer.
static bool is_border(const KIns *s) { // instructions between straight lines of code: they define index variables
  KResult r = kop_info[s->op].result;
  return r == KR_B || r == KR_E || r == KR_X;
}

void ec_find_bases(Emit *e, uint32_t from, uint32_t to) {
  const Kernel *k = e->k;
  uint32_t segment = 0;
  size_t open = 1; // the first base of this segment
  VEC_PUSH(&e->arena, e->bases, (Base){0});
  for (uint32_t i = from; i < to; i++) {
    const KIns *s = &k->ins.at[i];
    bool border = is_border(s);
    if (border) segment++, open = e->bases.n;
    if (e->region[i]) i = e->region[i]->end;
    e->segment[i] = segment;
    if (border || !e->needed[i] || !s->buf.id || s->op == K_prefetch || e->at[i].n == 0) continue;
    size_t b = open;
    while (b < e->bases.n && (e->bases.at[b].buf.id != s->buf.id || !ki_same_terms(&e->bases.at[b].idx, &e->at[i])))
      b++;
    if (b == e->bases.n) VEC_PUSH(&e->arena, e->bases, ((Base){.buf = s->buf, .idx = e->at[i], .first = i}));
    Base *base = &e->bases.at[b];
    base->uses++;
    if (e->at[i].c < base->idx.c) base->idx = e->at[i];
    e->base[i] = (uint32_t)b;
  }
}

/* statements
 * ----------------------------------------------------------------------------------------------------------------------------
 */
// Statements of one kind stand together on a line as long as it fits: a row of a register tile is a line of text.
// `head` opens a line ("const __m512 "), `between` joins (", " in a declaration, "; " otherwise).
void ec_flush_statements(Emit *e) {
  if (e->joined_head) buf_puts(e->out, ";\n");
  e->joined_head = NULL;
}

static void statement(Emit *e, const char *head, const char *between, const char *text) {
  size_t indent = (e->o->indent ? strlen(e->o->indent) : 0) + 2 * (size_t)e->depth;
  if (e->joined_head && !strcmp(e->joined_head, head) && e->joined_between == between[0] &&
      e->out->n - e->joined_start + strlen(between) + strlen(text) < MAX_COLUMNS) {
    buf_puts(e->out, between);
    buf_puts(e->out, text);
    return;
  }
  ec_flush_statements(e);
  e->joined_start = e->out->n;
  e->joined_head = head;
  e->joined_between = between[0];
  for (size_t i = 0; i < indent; i++) buf_putc(e->out, ' ');
  buf_puts(e->out, head);
  buf_puts(e->out, text);
}

void ec_line(Emit *e, const char *fmt, ...) {
  ec_flush_statements(e);
  if (e->o->indent) buf_puts(e->out, e->o->indent);
  for (int i = 0; i < e->depth; i++) buf_puts(e->out, "  ");
  va_list ap;
  va_start(ap, fmt);
  buf_vprintf(e->out, fmt, ap);
  va_end(ap);
  buf_putc(e->out, '\n');
}

static const char *bound_text(Emit *e, const KBound *u) {
  e->text.n = 0;
  ec_put_bound(&e->text, e->k, u, e->var);
  return arena_strndup(&e->arena, e->text.s, e->text.n);
}

// A loop around one short statement stands on one line. Its head begins at byte `head` of the text.
static bool join_loop(Emit *e, size_t head) {
  ec_flush_statements(e);
  char *text = e->out->s + head, *end = memchr(text, '\n', e->out->n - head);
  if (!end) return false;
  char *body = end + 1, *last = memchr(body, '\n', e->out->n - head - (size_t)(body - text));
  if (!last || last + 1 != e->out->s + e->out->n) return false;
  while (*body == ' ') body++;
  if (memchr(body, ';', (size_t)(last - body)) != last - 1) return false;
  if (!strncmp(body, "for (", 5) || (end - text) + (last - body) + 3 > MAX_COLUMNS) return false;
  *end = ' ';
  memmove(end + 1, body, (size_t)(last - body));
  e->out->n = (size_t)(end + 1 - e->out->s) + (size_t)(last - body);
  buf_puts(e->out, " }\n");
  return true;
}

static void put_loop(Emit *e, const KIns *s) {
  const char *name = ec_new_name(e, ec_plain_name(e, e->k->var.at[s->var.id].name));
  const char *lo = bound_text(e, &s->range->lo), *hi = bound_text(e, &s->range->hi);
  e->var[s->var.id] = name;
  if (strchr(hi, '(') || strchr(hi, '/')) { // not to be worked out in every iteration
    const char *end = ec_new_name(e, arena_printf(&e->arena, "%s_end", name));
    ec_line(e, "const size_t %s = %s;", end, hi);
    hi = end;
  }
  if (e->depth == MAX_DEPTH) ICE("kernel %s: loops nest too deep", e->k->name);
  ec_flush_statements(e);
  e->head[e->depth] = e->out->n;
  if (s->step == 1)
    ec_line(e, "for (size_t %s = %s; %s < %s; %s++) {", name, lo, name, hi, name);
  else
    ec_line(e, "for (size_t %s = %s; %s < %s; %s += %" PRId64 ") {", name, lo, name, hi, name, s->step);
  e->outer[e->depth++] = e->taken.n - 1; // the loop's own variable ends with it
}

// Declares the pointers of the segment that instruction i stands in.
static void put_bases(Emit *e, uint32_t i) {
  for (; e->next_base < e->bases.n; e->next_base++) {
    Base *b = &e->bases.at[e->next_base];
    if (e->segment[b->first] != e->segment[i]) return;
    e->text.n = 0;
    ec_put_index(&e->text, &b->idx, e->var);
    size_t columns = e->text.n;
    if (b->uses * columns < columns + BASE_COLUMNS || !ec_all_positive(&b->idx)) continue;
    const char *from = memory_name(e, b->first);
    b->name = ec_new_name(e, arena_printf(&e->arena, "%sp", from));
    const char *type = ec_memory_type(e->k->buf.at[b->buf.id].dtype);
    const Param *p = e->param[b->first] ? &e->inside->param.at[e->param[b->first] - 1] : NULL;
    bool readonly = p ? !p->written : !is_written(e->k, b->buf.id) && e->k->buf.at[b->buf.id].role != KB_SCRATCH;
    statement(e, arena_printf(&e->arena, "%s%s ", readonly ? "const " : "", type), ", ",
              arena_printf(&e->arena, "*%s = %s + %.*s", b->name, from, (int)columns, e->text.s));
  }
}

static void put_let(Emit *e, const KIns *s) {
  e->text.n = 0;
  ec_put_index(&e->text, &s->idx, e->var);
  const char *text = arena_strndup(&e->arena, e->text.s, e->text.n);
  e->var[s->var.id] = ec_new_name(e, ec_plain_name(e, e->k->var.at[s->var.id].name));
  ec_line(e, "const size_t %s = %s;", e->var[s->var.id], text);
}

void ec_put_instruction(Emit *e, uint32_t i) {
  const Kernel *k = e->k;
  const KIns *s = &k->ins.at[i];
  if (!is_border(s)) put_bases(e, i);
  if (!e->needed[i]) return;
  switch (s->op) {
  case K_par:            // decoded from `task` at the top
  case K_region: return; // what is in it stands here
  case K_let: put_let(e, s); return;
  case K_loop: put_loop(e, s); return;
  case K_end:
    if (e->depth > 1 && k->ins.at[e->begin[i]].op == K_loop) {
      e->taken.n = e->outer[--e->depth];
      if (!join_loop(e, e->head[e->depth])) ec_line(e, "}");
    }
    return;
  case K_ldidx:
    e->text.n = 0;
    put_element(e, s);
    e->var[s->var.id] = ec_new_name(e, ec_plain_name(e, k->var.at[s->var.id].name));
    ec_line(e, "const size_t %s = sy_index(%s, %" PRId64 ", %" PRId64 ");", e->var[s->var.id], e->text.s,
            k->var.at[s->var.id].lo, k->var.at[s->var.id].hi);
    return;
  case K_set:
    statement(e, "", "; ",
              arena_printf(&e->arena, "%s = %s", e->value[s->arg[0].id], strip(e, e->value[s->arg[1].id])));
    return;
  case K_store:
  case K_prefetch: statement(e, "", "; ", expression(e, s)); return;
  default: break;
  }
  const char *text = s->op == K_var ? e->value[s->arg[0].id] : expression(e, s);
  if (may_inline(e, i, text)) {
    e->value[i] = text;
    return;
  }
  e->value[i] =
      ec_new_name(e, s->name ? s->name : arena_printf(&e->arena, "v%u", e->inside ? i - e->inside->begin : i));
  const char *head = arena_printf(&e->arena, "%s%s ", s->op == K_var ? "" : "const ", c_type(e, s));
  statement(e, head, ", ", arena_printf(&e->arena, "%s = %s", e->value[i], strip(e, text)));
}

/* the head of the function
 * ------------------------------------------------------------------------------------------------------------------ */
// A run-time dim is the only name of a page in a kernel: "B", else one that nothing else there has.
static const char *dim_name(Emit *e, const char *name) {
  const char *s = c_local(&e->arena, name);
  bool plain = isupper((unsigned char)s[0]) && !s[1];
  return plain ? s : arena_printf(&e->arena, "dim_%s", s);
}

static void put_buffers(Emit *e) {
  const Kernel *k = e->k;
  int64_t offset = 0;
  bool scratch = false;
  for (size_t i = 1; i < k->buf.n; i++) {
    const KBufInfo *b = &k->buf.at[i];
    e->buf[i] = ec_new_name(e, b->name);
    const char *type = ec_memory_type(b->dtype);
    if (b->role != KB_SCRATCH && e->used_buf[i])
      statement(e, arena_printf(&e->arena, "%s%s ", is_written(k, i) ? "" : "const ", type), ", ",
                arena_printf(&e->arena, "*restrict %s = args->p[%zu]", e->buf[i], i - 1));
    if (b->role != KB_SCRATCH) continue;
    if (e->used_buf[i] && offset)
      ec_line(e, "%s *restrict %s = (%s *)(void *)((char *)scratch + %" PRId64 ");", type, e->buf[i], type, offset);
    if (e->used_buf[i] && !offset) ec_line(e, "%s *restrict %s = scratch;", type, e->buf[i]);
    scratch |= e->used_buf[i];
    offset += (b->n * (int64_t)dtype_info[b->dtype].bytes + 63) / 64 * 64;
  }
  for (size_t i = 1; i < k->var.n; i++) {
    if (k->var.at[i].kind != KV_DIM || !e->used_var[i]) continue;
    e->var[i] = ec_new_name(e, dim_name(e, k->var.at[i].name));
    statement(e, "const size_t ", ", ",
              arena_printf(&e->arena, "%s = args->dim[%d]", e->var[i], (int)k->var.at[i].sym));
  }
  if (!scratch) ec_line(e, "(void)scratch;");
}

// const size_t r0 = task / 16 * 8;  const size_t p = task % 16;   (the innermost par loop varies fastest)
static void put_tasks(Emit *e) {
  const Kernel *k = e->k;
  size_t npar = 0;
  while (npar + 1 < k->ins.n && k->ins.at[npar + 1].op == K_par) npar++;
  const char **count = ARENA_ARRAY(&e->arena, const char *, npar + 1);
  for (size_t p = npar; p > 1 && e->first_par && p >= e->first_par; p--) { // the outermost count is not needed
    e->text.n = 0;
    count[p - 1] = ec_put_count(&e->text, k, &k->ins.at[p], e->var) ? arena_strdup(&e->arena, e->text.s) : NULL;
    if (count[p - 1]) continue;
    const char *name = ec_new_name(e, arena_printf(&e->arena, "%s_count", k->var.at[k->ins.at[p].var.id].name));
    ec_line(e, "const size_t %s = %s;", name, e->text.s);
    count[p - 1] = name;
  }
  bool used = false;
  for (size_t p = 0; p < npar; p++) {
    const KIns *s = &k->ins.at[p + 1];
    const char *name = e->var[s->var.id] = ec_new_name(e, k->var.at[s->var.id].name);
    if (!e->used_var[s->var.id]) continue;
    Buf b = {0};
    buf_puts(&b, "task");
    for (size_t q = npar; q-- > p + 1;) buf_printf(&b, " / %s", count[q]);
    if (p) buf_printf(&b, " %% %s", count[p]);
    if (s->step > 1) buf_printf(&b, " * %" PRId64, s->step);
    const char *lo = bound_text(e, &s->range->lo);
    if (strcmp(lo, "0")) buf_printf(&b, " + %s", lo);
    ec_line(e, "const size_t %s = %s;", name, b.s);
    buf_free(&b);
    used = true;
  }
  if (!used) ec_line(e, "(void)task;");
}

static void put_about(Emit *e, const char *about) {
  char *s = arena_strdup(&e->arena, about);
  for (char *c = s; *c; c++)
    if ((unsigned char)*c < ' ' || *c == '\\') *c = ' '; // a comment must stay one line
  ec_line(e, "// %s", s);
}

void emit_c_kernel(const Kernel *k, const Target *t, const EmitC *o, Buf *out) {
  if (k->lanes != t->lanes && k->lanes != 1) ICE("kernel %s: %u lanes for target %s", k->name, k->lanes, t->name);
  Buf text = {0}; // the kernel; functions of its regions go before it
  Emit e = {.k = k, .t = t, .o = o, .out = &text};
  size_t n = k->ins.n;
  e.value = ARENA_ARRAY(&e.arena, const char *, n);
  e.var = ARENA_ARRAY(&e.arena, const char *, k->var.n);
  e.buf = ARENA_ARRAY(&e.arena, const char *, k->buf.n);
  e.needed = ARENA_ARRAY(&e.arena, bool, n);
  e.used_var = ARENA_ARRAY(&e.arena, bool, k->var.n);
  e.used_buf = ARENA_ARRAY(&e.arena, bool, k->buf.n);
  e.uses = ARENA_ARRAY(&e.arena, uint32_t, n);
  e.last_use = ARENA_ARRAY(&e.arena, uint32_t, n);
  e.barriers = ARENA_ARRAY(&e.arena, uint32_t, n);
  e.segment = ARENA_ARRAY(&e.arena, uint32_t, n);
  e.base = ARENA_ARRAY(&e.arena, uint32_t, n);
  e.at = ARENA_ARRAY(&e.arena, KIdx, n);
  e.param = ARENA_ARRAY(&e.arena, uint32_t, n);
  e.begin = ARENA_ARRAY(&e.arena, uint32_t, n);
  e.region = ARENA_ARRAY(&e.arena, Region *, n);
  e.next_base = 1;
  find_needed(&e);
  count_uses(&e);
  ec_plan_regions(&e);
  ec_find_bases(&e, 1, (uint32_t)n);
  if (k->about) put_about(&e, k->about);
  const char *attribute = target_attribute(t, &e.arena);
  if (*attribute) ec_line(&e, "%s", attribute);
  ec_line(&e, "static void %s(const %s_args *args, size_t task, void *scratch) {", o->name, o->prefix);
  e.depth = 1;
  if (k->buf.n == 1) ec_line(&e, "(void)args;");
  put_buffers(&e);
  put_tasks(&e);
  for (uint32_t i = 1; i < n; i++) {
    ec_put_instruction(&e, i);
    if (!e.region[i] || !e.needed[i]) continue;
    ec_put_call(&e, e.region[i], out);
    i = e.region[i]->end;
  }
  e.depth = 0;
  ec_line(&e, "}");
  buf_puts(out, text.s);
  buf_free(&text);
  buf_free(&e.text);
  arena_free(&e.arena);
}
