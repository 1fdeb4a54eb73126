// emit_c.c: prints one kernel as one C function, for any target. The printer knows the structure of C; what an
// operation looks like comes from the target's rows. An operation without a row is a bug of the pass that should have
// rewritten it.
//
// What is decided here: names (unique in the function, from the hints in the IR), which values stand inside the
// expression that uses them (used once, not named, nothing assigned or stored in between; small constants always), and
// that values nobody needs and loops that never run are left out. Example:
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
#include "target.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { MAX_INLINE = 100, SMALL_CONST = 28 }; // characters of an expression that may stand inside another

typedef struct Emit {
  const Kernel *k;
  const Target *t;
  const EmitC *o;
  Buf *out;
  Arena arena;        // of this call
  Buf text;           // of the expression being built
  const char **value; // C text of each value: a name or an expression
  const char **var;   // C name of each index variable
  const char **buf;   // C name of each buffer
  bool *needed;       // instruction is printed
  bool *used_var, *used_buf;
  uint32_t first_par;        // the first par loop whose variable is used, from 1; 0 = none
  uint32_t *uses, *last_use; // by needed instructions
  uint32_t *barriers;        // of [0, i): instructions that a value must not be moved across
  VEC(const char *) taken;
  int depth;
  const char *joined_head; // of the open line of statements, or NULL; see statement()
  char joined_between;
  size_t joined_start;
} Emit;
enum { MAX_COLUMNS = 148 };

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

static bool is_taken(const Emit *e, const char *s) {
  for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
    if (!strcmp(s, reserved[i])) return true;
  for (size_t i = 0; i < e->taken.n; i++)
    if (!strcmp(s, e->taken.at[i])) return true;
  return false;
}

static const char *new_name(Emit *e, const char *hint) {
  // the helpers' and the compiler's own names begin with sy, SY_ or an underscore
  bool theirs = hint[0] == '_' || !strncmp(hint, "sy", 2) || !strncmp(hint, "SY_", 3);
  const char *base = theirs ? arena_printf(&e->arena, "v_%s", hint) : hint, *s = base;
  for (unsigned n = 2; is_taken(e, s); n++) s = arena_printf(&e->arena, "%s_%u", base, n);
  VEC_PUSH(&e->arena, e->taken, s);
  return s;
}

/* index expressions (size_t)
 * -------------------------------------------------------------------------------------------------- */
static bool all_positive(const KIdx *i) {
  for (uint32_t t = 0; t < i->n; t++)
    if (i->t[t].k < 0) return false;
  return i->c >= 0;
}

static void put_term(Buf *b, const char *name, int64_t k) {
  if (k == 1)
    buf_puts(b, name);
  else
    buf_printf(b, "%" PRId64 " * %s", k, name);
}

// Added terms first, so that no intermediate value wraps below zero more than needed.
static void put_index(Buf *b, const KIdx *i, const char *const *var) {
  size_t start = b->n;
  for (uint32_t t = 0; t < i->n; t++) {
    if (i->t[t].k < 0) continue;
    if (b->n > start) buf_puts(b, " + ");
    put_term(b, var[i->t[t].var.id], i->t[t].k);
  }
  if (i->c > 0 || (b->n == start && i->c == 0 && i->n == 0))
    buf_printf(b, "%s%" PRId64, b->n > start ? " + " : "", i->c);
  if (b->n == start) buf_puts(b, "0");
  for (uint32_t t = 0; t < i->n; t++) {
    if (i->t[t].k > 0) continue;
    buf_puts(b, " - ");
    put_term(b, var[i->t[t].var.id], -i->t[t].k);
  }
  if (i->c < 0) buf_printf(b, " - %" PRId64, -i->c);
}

static bool is_simple(const KIdx *i) {
  return i->n == 0 || (i->n == 1 && i->c == 0 && i->t[0].k == 1);
}

// The capless part of a bound; literal when it is constant.
static void put_floor(Buf *b, const KBound *u, const char *const *var) {
  if (u->a.n == 0) {
    buf_printf(b, "%" PRId64, u->a.c / u->align * u->align);
  } else if (u->align == 1) {
    put_index(b, &u->a, var);
  } else {
    bool simple = is_simple(&u->a);
    if (!simple) buf_putc(b, '(');
    put_index(b, &u->a, var);
    buf_printf(b, "%s / %" PRId64 " * %" PRId64, simple ? "" : ")", u->align, u->align);
  }
}

static bool cap_matters(const Kernel *k, const KBound *u) {
  KBound a = *u;
  a.has_cap = false;
  return u->has_cap && kbound_max(k, &a) > ki_min(k, &u->cap);
}

static void put_bound(Buf *b, const Kernel *k, const KBound *u, const char *const *var) {
  if (!cap_matters(k, u)) {
    put_floor(b, u, var);
    return;
  }
  if (u->a.n == 0 && u->cap.n == 0) {
    buf_printf(b, "%" PRId64, u->cap.c); // it matters, so it is the smaller
    return;
  }
  buf_puts(b, "sy_min(");
  put_floor(b, u, var);
  buf_puts(b, ", ");
  put_index(b, &u->cap, var);
  buf_putc(b, ')');
}

static bool bound_is_const(const Kernel *k, const KBound *u, int64_t *v) {
  *v = kbound_min(k, u);
  return *v == kbound_max(k, u) && u->a.n == 0 && (!cap_matters(k, u) || u->cap.n == 0);
}

/* the number of tasks
 * ----------------------------------------------------------------------------------------------------------- */
// Iterations of a par loop as a C expression; true if it is a literal.
static bool put_count(Buf *b, const Kernel *k, const KIns *s, const char *const *var) {
  int64_t lo, hi;
  if (bound_is_const(k, &s->lo, &lo) && bound_is_const(k, &s->hi, &hi)) {
    buf_printf(b, "%" PRId64, hi > lo ? (hi - lo + s->step - 1) / s->step : 0);
    return true;
  }
  bool add = s->step > 1, sub = !bound_is_const(k, &s->lo, &lo) || lo != 0;
  if (!sub && !add) {
    put_bound(b, k, &s->hi, var);
    return false;
  }
  bool may_be_empty = kbound_max(k, &s->lo) > kbound_min(k, &s->hi);
  if (may_be_empty) { // keep the difference from wrapping
    buf_puts(b, "((");
    put_bound(b, k, &s->hi, var);
    buf_puts(b, ") <= (");
    put_bound(b, k, &s->lo, var);
    buf_puts(b, ") ? 0 : ");
  }
  buf_puts(b, "(");
  put_bound(b, k, &s->hi, var);
  if (sub) {
    buf_puts(b, " - (");
    put_bound(b, k, &s->lo, var);
    buf_puts(b, ")");
  }
  if (add) buf_printf(b, " + %" PRId64 ") / %" PRId64, s->step - 1, s->step);
  if (!add) buf_puts(b, ")");
  if (may_be_empty) buf_putc(b, ')');
  return false;
}

void emit_c_tasks(const Kernel *k, Buf *out) {
  Arena arena = {0};
  const char **var = ARENA_ARRAY(&arena, const char *, k->var.n);
  for (size_t i = 1; i < k->var.n; i++)
    if (k->var.at[i].kind == KV_DIM) var[i] = arena_printf(&arena, "d[%d]", (int)k->var.at[i].sym);
  size_t n = 0;
  for (size_t i = 1; i < k->ins.n && k->ins.at[i].op == K_par; i++) {
    if (n++) buf_puts(out, " * ");
    Buf one = {0};
    bool literal = put_count(&one, k, &k->ins.at[i], var);
    buf_printf(out, literal ? "(size_t)%s" : "(%s)", one.s);
    buf_free(&one);
  }
  if (!n) buf_puts(out, "(size_t)1");
  arena_free(&arena);
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
  if (cap_matters(e->k, b)) need_index(e, &b->cap);
}

static bool need(Emit *e, uint32_t i) {
  const KIns *s = &e->k->ins.at[i];
  if (e->needed[i]) return false;
  e->needed[i] = true;
  for (int a = 0; a < kop_info[s->op].nargs; a++) need(e, s->arg[a].id);
  need_index(e, &s->idx);
  if (s->op == K_loop) need_bound(e, &s->lo), need_bound(e, &s->hi);
  if (s->buf.id) e->used_buf[s->buf.id] = true;
  return true;
}

// Stores, prefetches and loops are needed; values that these need; sets of registers and ldidx of variables that are
// needed.
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
      bool wanted = (changes && e->needed[s->arg[0].id]) || (s->op == K_ldidx && e->used_var[s->var.id]);
      if (wanted && !skip[i]) again |= need(e, i);
    }
  }
  bool used = false; // of par loops: the counts of those inside the first one that matters
  for (uint32_t i = 1; i < k->ins.n && k->ins.at[i].op == K_par; i++) {
    const KIns *s = &k->ins.at[i];
    used |= e->used_var[s->var.id];
    if (e->used_var[s->var.id] || (used && i > 1)) need_bound(e, &s->lo);
    if (used && i > 1) need_bound(e, &s->hi);
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
// Decimal where it is exact and short, else hexadecimal.
static void put_float(Buf *b, double v) {
  char s[40];
  if (isnan(v)) {
    buf_puts(b, "NAN");
  } else if (isinf(v)) {
    buf_puts(b, v < 0 ? "-INFINITY" : "INFINITY");
  } else {
    double back = 0;
    snprintf(s, sizeof s, "%.7g", v);
    if (sscanf(s, "%lf", &back) != 1 || back != v) snprintf(s, sizeof s, "%a", v);
    bool plain = !strpbrk(s, ".epx");
    buf_printf(b, "%s%sf", s, plain ? ".0" : "");
  }
}

static void put_address(Emit *e, const KIns *s) {
  Buf *b = &e->text;
  buf_puts(b, e->buf[s->buf.id]);
  if (s->idx.n == 0 && s->idx.c == 0) return;
  bool plain = all_positive(&s->idx);
  buf_puts(b, plain ? " + " : " + (");
  put_index(b, &s->idx, e->var);
  if (!plain) buf_putc(b, ')');
}

static void put_element(Emit *e, const KIns *s) {
  buf_printf(&e->text, "%s[", e->buf[s->buf.id]);
  put_index(&e->text, &s->idx, e->var);
  buf_putc(&e->text, ']');
}

static void put_immediate(Emit *e, const KIns *s) {
  Buf *b = &e->text;
  if (s->op == K_index) {
    buf_puts(b, "(int32_t)(");
    put_index(b, &s->idx, e->var);
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
  DType dt = by_operand ? e->k->ins.at[s->arg[0].id].dtype : s->dtype;
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

/* statements
 * ----------------------------------------------------------------------------------------------------------------------------
 */
// Statements of one kind stand together on a line as long as it fits: a row of a register tile is a line of text.
// `head` opens a line ("const __m512 "), `between` joins (", " in a declaration, "; " otherwise).
static void flush_statements(Emit *e) {
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
  flush_statements(e);
  e->joined_start = e->out->n;
  e->joined_head = head;
  e->joined_between = between[0];
  for (size_t i = 0; i < indent; i++) buf_putc(e->out, ' ');
  buf_puts(e->out, head);
  buf_puts(e->out, text);
}

static void SY_PRINTF(2, 3) line(Emit *e, const char *fmt, ...) {
  flush_statements(e);
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
  put_bound(&e->text, e->k, u, e->var);
  return arena_strndup(&e->arena, e->text.s, e->text.n);
}

static void put_loop(Emit *e, const KIns *s) {
  const char *name = new_name(e, e->k->var.at[s->var.id].name);
  const char *lo = bound_text(e, &s->lo), *hi = bound_text(e, &s->hi);
  e->var[s->var.id] = name;
  if (strchr(hi, '(') || strchr(hi, '/')) { // not to be worked out in every iteration
    const char *end = new_name(e, arena_printf(&e->arena, "%s_end", name));
    line(e, "const size_t %s = %s;", end, hi);
    hi = end;
  }
  if (s->step == 1)
    line(e, "for (size_t %s = %s; %s < %s; %s++) {", name, lo, name, hi, name);
  else
    line(e, "for (size_t %s = %s; %s < %s; %s += %" PRId64 ") {", name, lo, name, hi, name, s->step);
  e->depth++;
}

static void put_instruction(Emit *e, uint32_t i) {
  const Kernel *k = e->k;
  const KIns *s = &k->ins.at[i];
  if (!e->needed[i]) return;
  switch (s->op) {
  case K_par: return; // decoded from `task` at the top
  case K_loop: put_loop(e, s); return;
  case K_end:
    if (e->depth > 1) {
      e->depth--;
      line(e, "}");
    }
    return;
  case K_ldidx:
    e->text.n = 0;
    put_element(e, s);
    e->var[s->var.id] = new_name(e, k->var.at[s->var.id].name);
    line(e, "const size_t %s = sy_index(%s, %" PRId64 ", %" PRId64 ");", e->var[s->var.id], e->text.s,
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
  e->value[i] = new_name(e, s->name ? s->name : arena_printf(&e->arena, "v%u", i));
  const char *head = arena_printf(&e->arena, "%s%s ", s->op == K_var ? "" : "const ", c_type(e, s));
  statement(e, head, ", ", arena_printf(&e->arena, "%s = %s", e->value[i], strip(e, text)));
}

/* the head of the function
 * ------------------------------------------------------------------------------------------------------------------ */
static const char *memory_type(DType dt) {
  return dt == DT_F32 ? "float" : dt == DT_I32 ? "int32_t" : dt == DT_BOOL ? "uint8_t" : "uint16_t";
}

static bool is_written(const Kernel *k, size_t buf) {
  return k->buf.at[buf].role == KB_OUT;
}

static void put_buffers(Emit *e) {
  const Kernel *k = e->k;
  int64_t offset = 0;
  bool scratch = false;
  for (size_t i = 1; i < k->buf.n; i++) {
    const KBufInfo *b = &k->buf.at[i];
    e->buf[i] = new_name(e, b->name);
    const char *type = memory_type(b->dtype);
    if (b->role != KB_SCRATCH && e->used_buf[i])
      line(e, "%s%s *restrict %s = args->p[%zu];", is_written(k, i) ? "" : "const ", type, e->buf[i], i - 1);
    if (b->role != KB_SCRATCH) continue;
    if (e->used_buf[i] && offset)
      line(e, "%s *restrict %s = (%s *)(void *)((char *)scratch + %" PRId64 ");", type, e->buf[i], type, offset);
    if (e->used_buf[i] && !offset) line(e, "%s *restrict %s = scratch;", type, e->buf[i]);
    scratch |= e->used_buf[i];
    offset += (b->n * (int64_t)dtype_info[b->dtype].bytes + 63) / 64 * 64;
  }
  for (size_t i = 1; i < k->var.n; i++) {
    if (k->var.at[i].kind != KV_DIM || !e->used_var[i]) continue;
    e->var[i] = new_name(e, k->var.at[i].name);
    line(e, "const size_t %s = args->dim[%d];", e->var[i], (int)k->var.at[i].sym);
  }
  if (!scratch) line(e, "(void)scratch;");
}

// const size_t r0 = task / 16 * 8;  const size_t p = task % 16;   (the innermost par loop varies fastest)
static void put_tasks(Emit *e) {
  const Kernel *k = e->k;
  size_t npar = 0;
  while (npar + 1 < k->ins.n && k->ins.at[npar + 1].op == K_par) npar++;
  const char **count = ARENA_ARRAY(&e->arena, const char *, npar + 1);
  for (size_t p = npar; p > 1 && e->first_par && p >= e->first_par; p--) { // the outermost count is not needed
    e->text.n = 0;
    count[p - 1] = put_count(&e->text, k, &k->ins.at[p], e->var) ? arena_strdup(&e->arena, e->text.s) : NULL;
    if (count[p - 1]) continue;
    const char *name = new_name(e, arena_printf(&e->arena, "%s_count", k->var.at[k->ins.at[p].var.id].name));
    line(e, "const size_t %s = %s;", name, e->text.s);
    count[p - 1] = name;
  }
  bool used = false;
  for (size_t p = 0; p < npar; p++) {
    const KIns *s = &k->ins.at[p + 1];
    const char *name = e->var[s->var.id] = new_name(e, k->var.at[s->var.id].name);
    if (!e->used_var[s->var.id]) continue;
    Buf b = {0};
    buf_puts(&b, "task");
    for (size_t q = npar; q-- > p + 1;) buf_printf(&b, " / %s", count[q]);
    if (p) buf_printf(&b, " %% %s", count[p]);
    if (s->step > 1) buf_printf(&b, " * %" PRId64, s->step);
    const char *lo = bound_text(e, &s->lo);
    if (strcmp(lo, "0")) buf_printf(&b, " + %s", lo);
    line(e, "const size_t %s = %s;", name, b.s);
    buf_free(&b);
    used = true;
  }
  if (!used) line(e, "(void)task;");
}

static void put_about(Emit *e, const char *about) {
  char *s = arena_strdup(&e->arena, about);
  for (char *c = s; *c; c++)
    if ((unsigned char)*c < ' ' || *c == '\\') *c = ' '; // a comment must stay one line
  line(e, "// %s", s);
}

void emit_c_kernel(const Kernel *k, const Target *t, const EmitC *o, Buf *out) {
  if (k->lanes != t->lanes && k->lanes != 1) ICE("kernel %s: %u lanes for target %s", k->name, k->lanes, t->name);
  Emit e = {.k = k, .t = t, .o = o, .out = out};
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
  find_needed(&e);
  count_uses(&e);
  if (k->about) put_about(&e, k->about);
  if (*t->attribute) line(&e, "%s", t->attribute);
  line(&e, "static void %s(const %s_args *args, size_t task, void *scratch) {", o->name, o->prefix);
  e.depth = 1;
  if (k->buf.n == 1) line(&e, "(void)args;");
  put_buffers(&e);
  put_tasks(&e);
  for (uint32_t i = 1; i < n; i++) put_instruction(&e, i);
  e.depth = 0;
  line(&e, "}");
  buf_free(&e.text);
  arena_free(&e.arena);
}
