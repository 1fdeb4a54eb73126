// kernel_parse.c: reads the text form of a kernel (grammar: README.kernel.md). Recursive descent; the rule stands above
// each function. The first mistake is reported and ends the parse; any bytes are allowed.
//
// Names of values are free (%7, %sum); they must be defined before use and once. Instructions are appended as they
// stand, then kernel_verify decides: a kernel that is returned has passed it. Numbers are bounded (2^40) where they are
// read, so index arithmetic cannot overflow.
#include "ir_lex.h"
#include "kernel.h"

#include <math.h>
#include <string.h>

enum { MAX_VARS = 1024, MAX_BUFS = 256, MAX_DEPTH = 32 }; // names are compared pairwise
static const int64_t MAX_NUMBER = (int64_t)1 << 40;

typedef struct Named {
  const char *name; // interned: compared by pointer
  KVal val;
} Named;

typedef struct Parser {
  IrLex lex;
  Kernel *k;
  Named *slot; // hash table of values, nslot a power of two
  size_t nslot, used;
  VEC(Span) span; // of each instruction
  Span begin;     // first token of the statement being read
} Parser;

/* names of values -----------------------------------------------------------------------------------------------------
 */
static size_t find_slot(const Parser *p, const char *name) {
  size_t i = (size_t)hash_bytes(name, strlen(name), 1) & (p->nslot - 1);
  while (p->slot[i].name && p->slot[i].name != name) i = (i + 1) & (p->nslot - 1);
  return i;
}

static bool put_value(Parser *p, const char *name, KVal v) {
  if (2 * (p->used + 1) > p->nslot) {
    Parser old = *p;
    p->nslot = old.nslot ? 2 * old.nslot : 64;
    p->slot = ARENA_ARRAY(p->k->arena, Named, p->nslot);
    for (size_t i = 0; i < old.nslot; i++)
      if (old.slot[i].name) p->slot[find_slot(p, old.slot[i].name)] = old.slot[i];
  }
  size_t i = find_slot(p, name);
  if (p->slot[i].name) return irlex_error(&p->lex, "E0222", "the value %%%s is defined twice", name);
  p->slot[i] = (Named){name, v};
  p->used++;
  return true;
}

// value := "%" name
static bool parse_value(Parser *p, KVal *v) {
  const char *name;
  if (p->lex.tok == IT_LOCAL && p->nslot) *v = p->slot[find_slot(p, p->lex.s)].val;
  if (p->lex.tok == IT_LOCAL && !v->id) return irlex_error(&p->lex, "E0221", "no value %%%s", p->lex.s);
  return irlex_take(&p->lex, IT_LOCAL, "a value", &name);
}

/* variables, buffers, numbers
 * ------------------------------------------------------------------------------------------- */
static bool name_is_free(Parser *p, const char *name) {
  const Kernel *k = p->k;
  for (size_t i = 1; i < k->var.n; i++)
    if (!strcmp(k->var.at[i].name, name)) return irlex_error(&p->lex, "E0222", "the name %s is used twice", name);
  for (size_t i = 1; i < k->buf.n; i++)
    if (!strcmp(k->buf.at[i].name, name)) return irlex_error(&p->lex, "E0222", "the name %s is used twice", name);
  return true;
}

static bool add_var(Parser *p, KVarInfo info, const char *name, KVar *v) {
  if (!name_is_free(p, name)) return false;
  if (p->k->var.n >= MAX_VARS) return irlex_error(&p->lex, "E0223", "more than %d variables", MAX_VARS);
  info.name = name;
  VEC_PUSH(p->k->arena, p->k->var, info);
  *v = (KVar){(uint32_t)(p->k->var.n - 1)};
  return true;
}

static bool find_var(Parser *p, bool dim, KVar *v) {
  for (size_t i = 1; i < p->k->var.n; i++)
    if (!strcmp(p->k->var.at[i].name, p->lex.s) && (p->k->var.at[i].kind == KV_DIM) == dim) v->id = (uint32_t)i;
  if (!v->id) return irlex_error(&p->lex, "E0221", "no %s %s", dim ? "dim" : "variable", p->lex.s);
  irlex_next(&p->lex);
  return true;
}

static bool parse_number(Parser *p, int64_t *v) {
  IrLex before = p->lex;
  if (!irlex_int(&p->lex, v)) return false;
  if (*v >= -MAX_NUMBER && *v <= MAX_NUMBER) return true;
  p->lex = before;
  return irlex_error(&p->lex, "E0223", "the number is too large");
}

// buffer := "%" name
static bool parse_buffer(Parser *p, KBufRef *b) {
  const char *name;
  for (size_t i = 1; i < p->k->buf.n && p->lex.tok == IT_LOCAL; i++)
    if (!strcmp(p->k->buf.at[i].name, p->lex.s)) b->id = (uint32_t)i;
  if (p->lex.tok == IT_LOCAL && !b->id) return irlex_error(&p->lex, "E0221", "no buffer %%%s", p->lex.s);
  return irlex_take(&p->lex, IT_LOCAL, "a buffer", &name);
}

/* indices and bounds
 * ----------------------------------------------------------------------------------------------------- */
static bool idx_put(Parser *p, KIdx *i, KVar v, int64_t f) {
  uint32_t at = 0;
  while (at < i->n && i->t[at].var.id < v.id) at++;
  if (at < i->n && i->t[at].var.id == v.id) {
    i->t[at].k += f;
    if (i->t[at].k > MAX_NUMBER || i->t[at].k < -MAX_NUMBER)
      return irlex_error(&p->lex, "E0223", "the coefficient is too large");
    if (!i->t[at].k) memmove(&i->t[at], &i->t[at + 1], (--i->n - at) * sizeof i->t[0]);
    if (i->n < K_MAX_TERMS) i->t[i->n] = (KTerm){{0}, 0};
    return true;
  }
  if (!f) return true;
  if (i->n == K_MAX_TERMS) return irlex_error(&p->lex, "E0223", "more than %d terms", K_MAX_TERMS);
  memmove(&i->t[at + 1], &i->t[at], (i->n++ - at) * sizeof i->t[0]);
  i->t[at] = (KTerm){v, f};
  return true;
}

// term := number | number "*" var | var      var := "%" name | dim
static bool parse_term(Parser *p, KIdx *i, int64_t sign) {
  int64_t f = 1;
  KVar v = {0};
  if (p->lex.tok == IT_INT) {
    if (!parse_number(p, &f)) return false;
    if (!irlex_accept(&p->lex, "*")) {
      i->c += sign * f;
      return (i->c <= MAX_NUMBER && i->c >= -MAX_NUMBER) || irlex_error(&p->lex, "E0223", "the constant is too large");
    }
  }
  if (p->lex.tok != IT_LOCAL && p->lex.tok != IT_IDENT) return irlex_error(&p->lex, "E0220", "expected a variable");
  return find_var(p, p->lex.tok == IT_IDENT, &v) && idx_put(p, i, v, sign * f);
}

// index := ["-"] term (("+" | "-") term)*
static bool parse_index(Parser *p, KIdx *i) {
  *i = (KIdx){0};
  if (!parse_term(p, i, irlex_accept(&p->lex, "-") ? -1 : 1)) return false;
  for (;;) {
    if (irlex_accept(&p->lex, "+")) {
      if (!parse_term(p, i, 1)) return false;
    } else if (irlex_accept(&p->lex, "-")) {
      if (!parse_term(p, i, -1)) return false;
    } else {
      return true;
    }
  }
}

// A function of a bound: its name and "(". A dim may have that name, too.
static bool accept_function(Parser *p, const char *name) {
  IrLex before = p->lex;
  if (!irlex_accept(&p->lex, name)) return false;
  if (irlex_accept(&p->lex, "(")) return true;
  p->lex = before;
  return false;
}

static bool parse_tiles(Parser *p, KBound *b) {
  if (!parse_index(p, &b->from) || !irlex_expect(&p->lex, ",") || !parse_index(p, &b->a) ||
      !irlex_expect(&p->lex, ",") || !parse_number(p, &b->most) || !irlex_expect(&p->lex, ",") ||
      !parse_number(p, &b->align) || !irlex_expect(&p->lex, ")"))
    return false;
  return (b->most >= 1 && b->align >= 1) || irlex_error(&p->lex, "E0223", "tiles of less than one row");
}

// bound := ("floor" "(" index "," number ")" | "tiles" "(" index "," index "," number "," number ")" | index)
//          ["cap" index]
static bool parse_bound(Parser *p, KBound *b) {
  *b = (KBound){.align = 1};
  if (accept_function(p, "tiles")) {
    if (!parse_tiles(p, b)) return false;
  } else if (accept_function(p, "floor")) {
    if (!parse_index(p, &b->a) || !irlex_expect(&p->lex, ",") || !parse_number(p, &b->align) ||
        !irlex_expect(&p->lex, ")"))
      return false;
    if (b->align < 1) return irlex_error(&p->lex, "E0223", "floor to a multiple of less than one");
  } else if (!parse_index(p, &b->a)) {
    return false;
  }
  b->has_cap = irlex_accept(&p->lex, "cap");
  return !b->has_cap || parse_index(p, &b->cap);
}

/* types
 * ----------------------------------------------------------------------------------------------------------------------
 */
static bool find_dtype(const char *s, size_t n, DType *dt) {
  for (int d = 0; d < DT_COUNT; d++) {
    if (strlen(dtype_info[d].name) != n || strncmp(dtype_info[d].name, s, n)) continue;
    *dt = (DType)d;
    return true;
  }
  return false;
}

// type := dtype ["x" lanes]     as one word: f32, f32x8
static bool parse_type(Parser *p, DType *dt, uint8_t *lanes) {
  static const struct {
    const char *text;
    uint8_t lanes;
  } form[] = {{"", 1}, {"x2", 2}, {"x4", 4}, {"x8", 8}, {"x16", 16}};
  const char *s = p->lex.s;
  for (size_t i = 0; i < sizeof form / sizeof form[0] && p->lex.tok == IT_IDENT; i++) {
    size_t n = strlen(s), tail = strlen(form[i].text);
    if (n < tail || strcmp(s + n - tail, form[i].text) || !find_dtype(s, n - tail, dt)) continue;
    *lanes = form[i].lanes;
    irlex_next(&p->lex);
    return true;
  }
  return irlex_error(&p->lex, "E0220", "expected a type (f32, f32x8)");
}

/* instructions
 * ---------------------------------------------------------------------------------------------------------------- */
static KVal push(Parser *p, KIns s) {
  while (p->span.n <= p->k->ins.n) VEC_PUSH(p->k->arena, p->span, p->begin);
  VEC_PUSH(p->k->arena, p->k->ins, s);
  return (KVal){(uint32_t)(p->k->ins.n - 1)};
}

// loop := ("par" | "loop") "%" name "=" bound "to" bound "step" number "{"
static bool parse_loop(Parser *p, KOp op) {
  Kernel *k = p->k;
  KIns s = {.op = op, .range = ARENA_NEW(k->arena, KRange)};
  const char *name;
  if (!irlex_take(&p->lex, IT_LOCAL, "a variable", &name) || !irlex_expect(&p->lex, "=") ||
      !parse_bound(p, &s.range->lo) || !irlex_expect(&p->lex, "to") || !parse_bound(p, &s.range->hi) ||
      !irlex_expect(&p->lex, "step") || !parse_number(p, &s.step))
    return false;
  if (s.step < 1) return irlex_error(&p->lex, "E0223", "the step must be positive");
  if (k->open == MAX_DEPTH) return irlex_error(&p->lex, "E0223", "more than %d nested loops", MAX_DEPTH);
  if (!irlex_expect(&p->lex, "{")) return false;
  KVarInfo v = kernel_range(k, &s.range->lo, &s.range->hi, s.step);
  v.kind = op == K_par ? KV_PAR : KV_LOOP;
  if (!add_var(p, v, name, &s.var)) return false;
  k->open++;
  push(p, s);
  return true;
}

// region := "region" name [string] "{"
static bool parse_region(Parser *p) {
  KIns s = {.op = K_region};
  if (!irlex_ident(&p->lex, &s.name)) return false;
  if (p->lex.tok == IT_STRING && !irlex_string(&p->lex, &s.about)) return false;
  if (p->k->open == MAX_DEPTH) return irlex_error(&p->lex, "E0223", "more than %d nested loops", MAX_DEPTH);
  if (!irlex_expect(&p->lex, "{")) return false;
  p->k->open++;
  push(p, s);
  return true;
}

// let := "%" name "=" "let" index
static bool parse_let(Parser *p, const char *name) {
  KIns s = {.op = K_let};
  if (!parse_index(p, &s.idx) || !add_var(p, kernel_let(p->k, &s.idx), name, &s.var)) return false;
  push(p, s);
  return true;
}

// address := buffer "[" index "]" ["n" number]
static bool parse_address(Parser *p, KIns *s, int64_t *n) {
  if (!parse_buffer(p, &s->buf) || !irlex_expect(&p->lex, "[") || !parse_index(p, &s->idx) ||
      !irlex_expect(&p->lex, "]"))
    return false;
  s->dtype = dtype_info[p->k->buf.at[s->buf.id].dtype].computes;
  *n = 0;
  return !irlex_accept(&p->lex, "n") || parse_number(p, n);
}

// effect := "store" address "," value | "set" value "," value | "prefetch" address "level" number
static bool parse_effect(Parser *p, KOp op) {
  KIns s = {.op = op, .lanes = 1};
  int64_t n = 0;
  if (op == K_set) {
    if (!parse_value(p, &s.arg[0]) || !irlex_expect(&p->lex, ",") || !parse_value(p, &s.arg[1])) return false;
    s.dtype = p->k->ins.at[s.arg[0].id].dtype;
    s.lanes = p->k->ins.at[s.arg[0].id].lanes;
  } else if (op == K_store) {
    if (!parse_address(p, &s, &n) || !irlex_expect(&p->lex, ",") || !parse_value(p, &s.arg[0])) return false;
    s.dtype = p->k->ins.at[s.arg[0].id].dtype;
    s.lanes = p->k->ins.at[s.arg[0].id].lanes;
    s.n = n ? n : s.lanes;
  } else {
    if (!parse_address(p, &s, &n) || !irlex_expect(&p->lex, "level") || !parse_number(p, &s.n)) return false;
    if (n) return irlex_error(&p->lex, "E0223", "a prefetch has no active lanes");
  }
  push(p, s);
  return true;
}

// data := "%" name "=" "ldidx" address "in" number ".." number
static bool parse_ldidx(Parser *p, const char *name) {
  KIns s = {.op = K_ldidx, .lanes = 1};
  KVarInfo v = {.kind = KV_DATA, .mod = 1};
  int64_t n, lo, hi;
  const char *dots;
  if (!parse_address(p, &s, &n) || !irlex_expect(&p->lex, "in") || !parse_number(p, &lo) ||
      !irlex_take(&p->lex, IT_DOTDOT, "..", &dots) || !parse_number(p, &hi))
    return false;
  if (n) return irlex_error(&p->lex, "E0220", "ldidx reads one element");
  v.lo = lo, v.hi = hi;
  if (!add_var(p, v, name, &s.var)) return false;
  push(p, s);
  return true;
}

static bool parse_operands(Parser *p, KIns *s, int64_t *n) {
  KOp op = s->op;
  if (op == K_load || op == K_bcast || op == K_loadm) return parse_address(p, s, n);
  if (op == K_const) return irlex_float(&p->lex, &s->imm);
  if (op == K_index) return parse_index(p, &s->idx);
  for (int a = 0; a < kop_info[op].nargs; a++)
    if ((a && !irlex_expect(&p->lex, ",")) || !parse_value(p, &s->arg[a])) return false;
  return true;
}

// value := "%" name "=" op operands ":" type [string]
static bool parse_definition(Parser *p) {
  const char *name, *word, *hint;
  if (!irlex_take(&p->lex, IT_LOCAL, "a value", &name) || !irlex_expect(&p->lex, "=")) return false;
  KIns s = {.op = KOP_COUNT};
  for (int op = 0; op < KOP_COUNT; op++)
    if (irlex_is(&p->lex, kop_info[op].name)) s.op = (KOp)op;
  KResult r = s.op < KOP_COUNT ? kop_info[s.op].result : KR_N;
  if (r != KR_V && r != KR_M && r != KR_S && r != KR_X) return irlex_error(&p->lex, "E0221", "expected an operation");
  if (!irlex_ident(&p->lex, &word)) return false;
  if (r == KR_X) return s.op == K_let ? parse_let(p, name) : parse_ldidx(p, name);
  int64_t n = 0;
  DType dt = DT_F32;
  if (!parse_operands(p, &s, &n) || !irlex_expect(&p->lex, ":") || !parse_type(p, &dt, &s.lanes)) return false;
  s.dtype = dt;
  bool counted = s.op == K_load || s.op == K_loadm;
  if (n && !counted) return irlex_error(&p->lex, "E0223", "%s has no active lanes", kop_info[s.op].name);
  if (counted) s.n = n ? n : s.lanes;
  if (s.op == K_const && dt == DT_F32) s.imm = (double)(float)s.imm;
  if (p->lex.tok == IT_STRING) {
    if (!irlex_string(&p->lex, &hint)) return false;
    s.name = hint;
  }
  return put_value(p, name, push(p, s));
}

// statement := loop | region | "}" | effect | definition
static bool parse_statement(Parser *p) {
  static const KOp word[] = {K_par, K_loop, K_region, K_store, K_set, K_prefetch};
  p->begin = irlex_span(&p->lex);
  if (p->lex.tok == IT_LOCAL) return parse_definition(p);
  for (size_t i = 0; i < sizeof word / sizeof word[0]; i++) {
    if (!irlex_accept(&p->lex, kop_info[word[i]].name)) continue;
    if (word[i] == K_region) return parse_region(p);
    return kop_info[word[i]].result == KR_B ? parse_loop(p, word[i]) : parse_effect(p, word[i]);
  }
  if (!irlex_expect(&p->lex, "}")) return false;
  p->k->open--;
  push(p, (KIns){.op = K_end});
  return true;
}

/* head
 * ----------------------------------------------------------------------------------------------------------------------------
 */
// dims := "dims" "{" name "=" number ".." number ["dim" number] ("," ...)* "}"
static bool parse_dims(Parser *p) {
  if (!irlex_accept(&p->lex, "dims")) return true;
  if (!irlex_expect(&p->lex, "{")) return false;
  int64_t n = 0;
  do {
    const char *name, *dots;
    KVarInfo v = {.kind = KV_DIM};
    KVar var;
    int64_t sym = n++;
    if (!irlex_ident(&p->lex, &name) || !irlex_expect(&p->lex, "=") || !parse_number(p, &v.lo) ||
        !irlex_take(&p->lex, IT_DOTDOT, "..", &dots) || !parse_number(p, &v.hi))
      return false;
    if (irlex_accept(&p->lex, "dim") && !parse_number(p, &sym)) return false;
    if (sym < 0 || sym >= MAX_DIMS) return irlex_error(&p->lex, "E0223", "the dim's number must be below %d", MAX_DIMS);
    v.sym = (int32_t)sym;
    v.mod = v.lo != v.hi, v.rem = v.lo == v.hi ? v.lo : 0;
    if (!add_var(p, v, name, &var)) return false;
  } while (irlex_accept(&p->lex, ","));
  return irlex_expect(&p->lex, "}");
}

// cost := "cost" "{" "flops" "=" float "," "bytes" "=" float "}"
static bool parse_cost(Parser *p) {
  if (!irlex_accept(&p->lex, "cost")) return true;
  return irlex_expect(&p->lex, "{") && irlex_expect(&p->lex, "flops") && irlex_expect(&p->lex, "=") &&
         irlex_float(&p->lex, &p->k->flops) && irlex_expect(&p->lex, ",") && irlex_expect(&p->lex, "bytes") &&
         irlex_expect(&p->lex, "=") && irlex_float(&p->lex, &p->k->bytes) && irlex_expect(&p->lex, "}");
}

// buffers := ("buf" "%" name ":" role dtype "[" number "]")*
static bool parse_buffers(Parser *p) {
  static const char *const role_name[] = {"in", "out", "weight", "scratch"}; // in the order of KRole
  while (irlex_accept(&p->lex, "buf")) {
    KBufInfo b = {0};
    const char *role, *dtype;
    int found = -1;
    if (!irlex_take(&p->lex, IT_LOCAL, "a buffer's name", &b.name) || !irlex_expect(&p->lex, ":")) return false;
    for (int i = 0; i < 4; i++)
      if (irlex_is(&p->lex, role_name[i])) found = i;
    if (found < 0) return irlex_error(&p->lex, "E0220", "expected in, out, weight or scratch");
    b.role = (KRole)found;
    if (!irlex_ident(&p->lex, &role)) return false;
    if (p->lex.tok != IT_IDENT || !find_dtype(p->lex.s, strlen(p->lex.s), &b.dtype))
      return irlex_error(&p->lex, "E0220", "expected a dtype");
    if (!irlex_ident(&p->lex, &dtype) || !irlex_expect(&p->lex, "[") || !parse_number(p, &b.n) ||
        !irlex_expect(&p->lex, "]"))
      return false;
    if (p->k->buf.n >= MAX_BUFS) return irlex_error(&p->lex, "E0223", "more than %d buffers", MAX_BUFS);
    if (!name_is_free(p, b.name)) return false;
    VEC_PUSH(p->k->arena, p->k->buf, b);
  }
  return true;
}

// head := "kernel" "@" name ["for" target] ["about" string] "lanes" number dims cost "{"
static bool parse_head(Parser *p, Arena *a) {
  const char *name, *about = NULL, *isa = NULL;
  int64_t lanes;
  if (!irlex_expect(&p->lex, "kernel") || !irlex_take(&p->lex, IT_GLOBAL, "a kernel's name", &name)) return false;
  if (irlex_accept(&p->lex, "for") && !irlex_ident(&p->lex, &isa)) return false;
  if (irlex_accept(&p->lex, "about") && !irlex_string(&p->lex, &about)) return false;
  if (!irlex_expect(&p->lex, "lanes") || !irlex_int(&p->lex, &lanes)) return false;
  if (lanes < 1 || lanes > K_MAX_LANES || (lanes & (lanes - 1)))
    return irlex_error(&p->lex, "E0223", "lanes must be 1, 2, 4, 8 or 16");
  p->k = kernel_new(a, name, (uint32_t)lanes);
  p->k->about = about;
  p->k->isa = isa;
  return parse_dims(p) && parse_cost(p) && irlex_expect(&p->lex, "{");
}

// kernel := head buffers statement* "}"
static Kernel *parse_kernel(Parser *p, Arena *a) {
  if (!parse_head(p, a) || !parse_buffers(p)) return NULL;
  while (p->k->open || !irlex_is(&p->lex, "}"))
    if (!parse_statement(p)) return NULL;
  irlex_next(&p->lex);
  const char *why = NULL;
  unsigned i = 0;
  if (kernel_verify(p->k, &why)) return p->k;
  Span place = sscanf(why, "instruction %u", &i) == 1 && i < p->span.n ? p->span.at[i] : (Span){p->lex.file, 0, 0};
  diag_error(p->lex.diag, "E0223", place, "kernel @%s: %s", p->k->name, why);
  return NULL;
}

Kernel *kernel_parse(Arena *a, Intern *names, Diag *diag, const char *text, size_t n, uint32_t file) {
  Parser p = {0};
  irlex_init(&p.lex, text, n, file, names, diag);
  Kernel *k = parse_kernel(&p, a);
  if (!k || p.lex.tok == IT_END) return k;
  irlex_error(&p.lex, "E0220", "expected the end of the text");
  return NULL;
}

bool kernels_parse(Arena *a, Intern *names, Diag *diag, const char *text, size_t n, uint32_t file, KernelList *out) {
  IrLex lex;
  irlex_init(&lex, text, n, file, names, diag);
  do {
    Parser p = {.lex = lex};
    Kernel *k = parse_kernel(&p, a);
    if (!k) return false;
    VEC_PUSH(a, *out, k);
    lex = p.lex;
  } while (lex.tok != IT_END);
  return true;
}
