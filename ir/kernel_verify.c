// kernel_verify.c: checks every invariant of a kernel; the first violation is reported in words.
//
//  * types: one signature per operation (table below): result dtype and lanes, and how each operand relates to them;
//  * dominance: an operand is defined earlier, in a block that is still open; `set` assigns to a `var` only;
//  * structure: par loops come first, perfectly nested, with bounds of dims alone; every block is closed;
//  * addresses: affine in par, loop and ldidx variables that are in scope, and in bounds for every value these can take
//    (intervals and congruences, see kernel.c). Code in a loop that never runs is exempt from bounds;
//  * loops: bounds are not negative, steps positive, and the range stored for the variable is the one that follows;
//  * regions do not nest; the value of a let is not negative.
// Example of a report:  instruction 6 (load): reaches element 775 of %x, which has 768
#include "kernel.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { NUM = 1 << DT_F32 | 1 << DT_I32, FLT = 1 << DT_F32, INT = 1 << DT_I32, MSK = 1 << DT_BOOL, ANY = NUM | MSK };
enum { MAX_OPEN = 32 };
static const int64_t HUGE_N = (int64_t)1 << 40; // extents, coefficients and loop bounds stay below
static const double HUGE_TERM = 0x1p50;         // and each term of an index, so that no sum of them overflows

typedef struct Signature {
  unsigned dtypes;  // of the result (of the operand for store), as bits; 0 = not a typed operation
  char lanes;       // 'a' 1 or the kernel's, '1', 'w' the kernel's
  const char *args; // one letter an operand: s same type, S scalar and V vector of the same dtype, m mask of the same
                    // lanes, n number of the same lanes (any dtype), = the type of operand 0, r a register,
                    // f and i an f32 and an i32 of the same lanes, 4 as s, and with bytes of four bits: what makes
                    // them so is seen here, as instructions on bytes saturate with others
} Signature;

static const Signature signature[KOP_COUNT] = {
    [K_par] = {0, 'a', ""},         [K_loop] = {0, 'a', ""},       [K_end] = {0, 'a', ""},
    [K_region] = {0, 'a', ""},      [K_let] = {0, 'a', ""},        [K_load] = {NUM, 'a', ""},
    [K_store] = {ANY, 'a', "s"},    [K_bcast] = {NUM, 'w', ""},    [K_loadm] = {MSK, 'w', ""},
    [K_ldidx] = {0, 'a', ""},       [K_prefetch] = {0, 'a', ""},   [K_const] = {NUM, 'a', ""},
    [K_iota] = {NUM, 'w', ""},      [K_index] = {NUM, 'a', ""},    [K_splat] = {NUM, 'w', "S"},
    [K_lane0] = {NUM, '1', "V"},    [K_var] = {ANY, 'a', "s"},     [K_set] = {ANY, 'a', "rs"},
    [K_add] = {NUM, 'a', "ss"},     [K_sub] = {NUM, 'a', "ss"},    [K_mul] = {NUM, 'a', "ss"},
    [K_div] = {FLT, 'a', "ss"},     [K_fma] = {FLT, 'a', "sss"},   [K_max] = {NUM, 'a', "ss"},
    [K_min] = {NUM, 'a', "ss"},     [K_sqrt] = {FLT, 'a', "s"},    [K_exp2i] = {FLT, 'a', "s"},
    [K_expo] = {FLT, 'a', "s"},     [K_mant] = {FLT, 'a', "s"},    [K_cvt] = {NUM, 'a', "n"},
    [K_xor] = {INT, 'a', "ss"},     [K_shr] = {INT, 'a', "ss"},    [K_rotl] = {INT, 'a', "ss"},
    [K_magn] = {INT, 'a', "f"},     [K_real] = {FLT, 'a', "i"},    [K_even8] = {INT, 'a', "s"},
    [K_odd8] = {INT, 'a', "s"},     [K_dot2] = {INT, 'a', "sss"},  [K_dot4] = {INT, 'a', "sss"},
    [K_low4] = {INT, 'a', "s"},     [K_high4] = {INT, 'a', "s"},   [K_pairs4] = {INT, 'a', "s4s"},
    [K_dot4u] = {INT, 'a', "sss"},  [K_round16] = {INT, 'a', "f"}, [K_join16] = {INT, 'a', "ss"},
    [K_low16] = {FLT, 'a', "i"},    [K_high16] = {FLT, 'a', "i"},  [K_dot2b] = {FLT, 'a', "sii"},
    [K_lt] = {MSK, 'a', "n="},      [K_le] = {MSK, 'a', "n="},     [K_eq] = {MSK, 'a', "n="},
    [K_and] = {MSK, 'a', "ss"},     [K_or] = {MSK, 'a', "ss"},     [K_not] = {MSK, 'a', "s"},
    [K_select] = {NUM, 'a', "mss"}, [K_mtob] = {NUM, 'a', "m"},    [K_hadd] = {NUM, '1', "V"},
    [K_hmax] = {NUM, '1', "V"},
};

typedef struct Check {
  const Kernel *k;
  const char *why;
  bool *live;              // values in scope, by id
  bool *seen;              // variables defined so far
  bool *in_scope;          // variables in scope
  uint32_t at;             // the instruction being checked
  uint32_t open[MAX_OPEN]; // begin of each open block
  uint32_t depth, npar;
  uint32_t dead; // depth at which code became unreachable, 0 = reachable
  bool in_region;
  bool closing; // a par has been closed: only ends may follow
} Check;

static bool SY_PRINTF(2, 3) fail(Check *c, const char *fmt, ...) {
  char text[400];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  c->why =
      c->at ? arena_printf(c->k->arena, "instruction %u (%s): %s", c->at, kop_info[c->k->ins.at[c->at].op].name, text)
            : arena_strdup(c->k->arena, text);
  return false;
}

static bool is_identifier(const char *s) {
  if (!s || !*s || isdigit((unsigned char)*s)) return false;
  for (; *s; s++)
    if (!isalnum((unsigned char)*s) && *s != '_') return false;
  return true;
}

/* head: dims, variables, buffers
 * ------------------------------------------------------------------------------------------- */
static bool check_names(Check *c) {
  const Kernel *k = c->k;
  for (size_t i = 1; i < k->var.n + k->buf.n - 1; i++) { // variables, then buffers, as one list
    const char *s = i < k->var.n ? k->var.at[i].name : k->buf.at[i - k->var.n + 1].name;
    if (!is_identifier(s)) return fail(c, "a name is not an identifier");
    for (size_t j = 1; j < i; j++)
      if (!strcmp(s, j < k->var.n ? k->var.at[j].name : k->buf.at[j - k->var.n + 1].name))
        return fail(c, "the name %.100s is used twice", s);
  }
  return true;
}

static bool check_head(Check *c) {
  const Kernel *k = c->k;
  if (!is_identifier(k->name)) return fail(c, "the kernel's name is not an identifier");
  if (k->lanes < 1 || k->lanes > K_MAX_LANES || (k->lanes & (k->lanes - 1)))
    return fail(c, "lanes %u: must be 1, 2, 4, 8 or 16", k->lanes);
  if (!k->ins.n || !k->var.n || !k->buf.n) return fail(c, "no null entries");
  if (!(k->flops >= 0 && k->flops <= 1e30 && k->bytes >= 0 && k->bytes <= 1e30)) return fail(c, "cost out of range");
  if (!check_names(c)) return false;
  bool other = false;
  uint32_t syms = 0;
  for (size_t i = 1; i < k->var.n; i++) {
    const KVarInfo *v = &k->var.at[i];
    if (v->kind != KV_DIM) {
      other = true;
      continue;
    }
    if (other) return fail(c, "dim %.100s after other variables", v->name);
    if (v->lo < 0 || v->lo > v->hi || v->hi > INT32_MAX) return fail(c, "dim %.100s has a bad range", v->name);
    if (v->mod != (v->lo != v->hi) || v->rem != (v->lo == v->hi ? v->lo : 0))
      return fail(c, "dim %.100s has bad facts", v->name);
    if (v->sym < 0 || v->sym >= MAX_DIMS || (syms >> v->sym & 1)) return fail(c, "dim %.100s: bad number", v->name);
    syms |= 1u << v->sym;
  }
  for (size_t i = 1; i < k->buf.n; i++) {
    const KBufInfo *b = &k->buf.at[i];
    if (b->n < 1 || b->n > HUGE_N) return fail(c, "buffer %%%.100s has a bad extent", b->name);
    if (b->dtype >= DT_COUNT || b->role > KB_SCRATCH) return fail(c, "buffer %%%.100s has a bad type", b->name);
    if (i > 1 && b->role != KB_SCRATCH && k->buf.at[i - 1].role == KB_SCRATCH)
      return fail(c, "parameter %%%.100s after a scratch buffer", b->name);
  }
  return true;
}

/* indices and bounds
 * ---------------------------------------------------------------------------------------------------------- */
static bool check_index(Check *c, const KIdx *i, bool dims) {
  const Kernel *k = c->k;
  if (i->n > K_MAX_TERMS || i->c > HUGE_N || i->c < -HUGE_N) return fail(c, "malformed index");
  for (uint32_t t = 0; t < i->n; t++) {
    uint32_t v = i->t[t].var.id;
    if (!v || v >= k->var.n) return fail(c, "index names no variable");
    if ((t && i->t[t - 1].var.id >= v) || !i->t[t].k) return fail(c, "index terms are not sorted");
    if (i->t[t].k > HUGE_N || i->t[t].k < -HUGE_N) return fail(c, "a coefficient is too large");
    const KVarInfo *info = &k->var.at[v];
    double most = fabs((double)i->t[t].k) * fmax(fabs((double)info->lo), fabs((double)info->hi));
    if (most > HUGE_TERM) return fail(c, "a term of an index is too large");
    if (!c->in_scope[v]) return fail(c, "%%%.100s is not in scope here", k->var.at[v].name);
    if (!dims && k->var.at[v].kind == KV_DIM)
      return fail(c, "an address must not use the dim %.100s", k->var.at[v].name);
  }
  return true;
}

static bool only_dims(const Kernel *k, const KIdx *i) {
  for (uint32_t t = 0; t < i->n; t++)
    if (k->var.at[i->t[t].var.id].kind != KV_DIM) return false;
  return true;
}

static bool check_bound(Check *c, const KBound *b, const char *which) {
  if (b->align < 1 || b->align > HUGE_N) return fail(c, "bad alignment of the %s bound", which);
  if (b->most < 0 || b->most > HUGE_N) return fail(c, "bad height of the tiles of the %s bound", which);
  if (!check_index(c, &b->a, true) || (b->has_cap && !check_index(c, &b->cap, true))) return false;
  if (!check_index(c, &b->from, true)) return false;
  if (c->dead) return true;
  if (ki_min(c->k, &b->from) < 0) return fail(c, "the %s bound may be negative", which);
  int64_t least = ki_min(c->k, &b->a);
  if (b->has_cap && ki_min(c->k, &b->cap) < least) least = ki_min(c->k, &b->cap);
  if (least < 0) return fail(c, "the %s bound may be negative (%" PRId64 ")", which, least);
  if (kbound_max(c->k, b) > HUGE_N) return fail(c, "the %s bound may be too large", which);
  return true;
}

static bool check_access(Check *c, const KIns *s, int64_t n) {
  const Kernel *k = c->k;
  const KBufInfo *b = &k->buf.at[s->buf.id];
  if (!check_index(c, &s->idx, false)) return false;
  if (c->dead) return true;
  int64_t least = ki_min(k, &s->idx), last = ki_max(k, &s->idx) + n - 1;
  if (least < 0) return fail(c, "may read element %" PRId64 " of %%%.100s", least, b->name);
  if (n && last >= b->n)
    return fail(c, "reaches element %" PRId64 " of %%%.100s, which has %" PRId64, last, b->name, b->n);
  return true;
}

static bool check_memory(Check *c, const KIns *s) {
  const Kernel *k = c->k;
  if (!s->buf.id || s->buf.id >= k->buf.n) return fail(c, "no such buffer");
  const KBufInfo *b = &k->buf.at[s->buf.id];
  if (dtype_info[b->dtype].computes != s->dtype)
    return fail(c, "%%%.100s holds %s", b->name, dtype_info[b->dtype].name);
  switch (s->op) {
  case K_store:
    if (b->role != KB_OUT && b->role != KB_SCRATCH) return fail(c, "%%%.100s is not writable", b->name);
    if (s->dtype == DT_BOOL && s->lanes != 1) return fail(c, "bools are stored one at a time");
    break;
  case K_prefetch:
    if (s->n < 1 || s->n > 2) return fail(c, "level must be 1 or 2");
    return check_access(c, s, 0);
  case K_bcast: return check_access(c, s, 1);
  case K_ldidx:
    if (s->dtype != DT_I32) return fail(c, "%%%.100s does not hold i32", b->name);
    return check_access(c, s, 1);
  default: break;
  }
  if (s->n < 1 || s->n > s->lanes) return fail(c, "%" PRId64 " active lanes of %u", s->n, s->lanes);
  return check_access(c, s, s->n);
}

/* structure
 * ---------------------------------------------------------------------------------------------------------------------
 */
static bool define_var(Check *c, KVar v, KVarKind kind) {
  if (!v.id || v.id >= c->k->var.n) return fail(c, "defines no variable");
  if (c->seen[v.id]) return fail(c, "defines %%%.100s a second time", c->k->var.at[v.id].name);
  if (c->k->var.at[v.id].kind != kind) return fail(c, "%%%.100s is of another kind", c->k->var.at[v.id].name);
  c->seen[v.id] = c->in_scope[v.id] = true;
  return true;
}

static bool open_block(Check *c) {
  if (c->depth == MAX_OPEN) return fail(c, "more than %d nested blocks", MAX_OPEN);
  c->open[c->depth++] = c->at;
  return true;
}

static bool check_region(Check *c, const KIns *s) {
  if (!s->name) return fail(c, "a region needs a name");
  if (c->in_region) return fail(c, "stands in another region");
  c->in_region = true;
  return open_block(c);
}

static bool check_let(Check *c, const KIns *s) {
  if (!check_index(c, &s->idx, true) || !define_var(c, s->var, KV_LET)) return false;
  const KVarInfo *v = &c->k->var.at[s->var.id];
  KVarInfo r = kernel_let(c->k, &s->idx);
  if (v->lo != r.lo || v->hi != r.hi || v->mod != r.mod || v->rem != r.rem)
    return fail(c, "the range stored for %%%.100s is not the one that follows from its value", v->name);
  if (c->dead) return true;
  return (r.lo >= 0 && r.hi <= HUGE_N) || fail(c, "the value of %%%.100s may be negative or too large", v->name);
}

static bool check_begin(Check *c, const KIns *s) {
  const Kernel *k = c->k;
  if (s->op == K_region) return check_region(c, s);
  if (s->op == K_par) {
    if (c->at != c->npar + 1) return fail(c, "par loops must be outermost and perfectly nested");
    if (!only_dims(k, &s->range->lo.a) || !only_dims(k, &s->range->lo.cap) || !only_dims(k, &s->range->hi.a) ||
        !only_dims(k, &s->range->hi.cap))
      return fail(c, "the bounds of a par loop may use dims only");
    if (s->range->lo.most || s->range->hi.most) return fail(c, "a par loop over tiles");
    c->npar++;
  }
  if (s->step < 1 || s->step > HUGE_N) return fail(c, "step must be positive");
  if (!check_bound(c, &s->range->lo, "lower") || !check_bound(c, &s->range->hi, "upper")) return false;
  if (!define_var(c, s->var, s->op == K_par ? KV_PAR : KV_LOOP)) return false;
  const KVarInfo *v = &k->var.at[s->var.id];
  KVarInfo r = kernel_range(k, &s->range->lo, &s->range->hi, s->step);
  if (v->lo != r.lo || v->hi != r.hi || v->mod != r.mod || v->rem != r.rem || v->base.id != r.base.id ||
      v->near != r.near || v->far != r.far)
    return fail(c, "the range stored for %%%.100s is not the one that follows from its bounds", v->name);
  if (!open_block(c)) return false;
  if (!c->dead && r.hi < r.lo) c->dead = c->depth;
  return true;
}

static bool check_end(Check *c) {
  if (!c->depth) return fail(c, "no block is open");
  if (c->dead == c->depth) c->dead = 0;
  uint32_t begin = c->open[--c->depth];
  for (uint32_t i = begin; i < c->at; i++) {
    c->live[i] = false;
    if (c->k->ins.at[i].var.id) c->in_scope[c->k->ins.at[i].var.id] = false;
  }
  c->closing |= c->k->ins.at[begin].op == K_par;
  if (c->k->ins.at[begin].op == K_region) c->in_region = false;
  return true;
}

/* values
 * ------------------------------------------------------------------------------------------------------------------------
 */
static bool check_operand(Check *c, const KIns *s, int i, char rule) {
  const Kernel *k = c->k;
  uint32_t id = s->arg[i].id;
  if (!id || id >= c->at || !c->live[id]) return fail(c, "operand %d (%%%u) is not a value in scope", i, id);
  const KIns *a = &k->ins.at[id], *first = &k->ins.at[s->arg[0].id];
  if (rule == 'r' && a->op != K_var) return fail(c, "operand %d (%%%u) is not a var", i, id);
  if (rule == '4' && a->op != K_low4 && a->op != K_high4)
    return fail(c, "operand %d (%%%u) is neither a low4 nor a high4", i, id);
  DType want_type = rule == 'm'   ? DT_BOOL
                    : rule == 'f' ? DT_F32
                    : rule == 'i' ? DT_I32
                    : rule == '=' ? first->dtype
                                  : s->dtype;
  uint32_t want_lanes = rule == 'S' ? 1 : rule == 'V' ? k->lanes : s->lanes;
  bool type_ok = rule == 'n' ? (NUM >> a->dtype & 1) != 0 : a->dtype == want_type;
  if (!type_ok) return fail(c, "operand %d (%%%u) is %s", i, id, dtype_info[a->dtype].name);
  if (a->lanes != want_lanes) return fail(c, "operand %d (%%%u) has %u lanes, not %u", i, id, a->lanes, want_lanes);
  return true;
}

static bool check_immediate(Check *c, const KIns *s) {
  if (s->op == K_const && s->dtype == DT_I32)
    return (s->imm >= INT32_MIN && s->imm <= INT32_MAX && s->imm == floor(s->imm)) || fail(c, "not an i32");
  if (s->op == K_const) return isnan(s->imm) || s->imm == (double)(float)s->imm || fail(c, "not an f32");
  if (s->op != K_index) return true;
  if (!check_index(c, &s->idx, true)) return false;
  int64_t lo = ki_min(c->k, &s->idx), hi = ki_max(c->k, &s->idx);
  int64_t most = s->dtype == DT_I32 ? INT32_MAX : 1 << 24;
  return c->dead || (lo >= -most && hi <= most) || fail(c, "the index may leave the range of its type");
}

static bool check_typed(Check *c, const KIns *s) {
  const Signature *g = &signature[s->op];
  if (s->dtype >= DT_COUNT || !(g->dtypes >> s->dtype & 1)) return fail(c, "not defined for this dtype");
  uint32_t w = c->k->lanes;
  if (!(g->lanes == '1' ? s->lanes == 1 : g->lanes == 'w' ? s->lanes == w : s->lanes == 1 || s->lanes == w))
    return fail(c, "wrong number of lanes (%u)", s->lanes);
  for (int i = 0; g->args[i]; i++)
    if (!check_operand(c, s, i, g->args[i])) return false;
  return check_immediate(c, s);
}

static bool check_instruction(Check *c) {
  const KIns *s = &c->k->ins.at[c->at];
  if (s->op >= KOP_COUNT) {
    c->at = 0;
    return fail(c, "unknown operation");
  }
  if (c->closing && s->op != K_end) return fail(c, "stands after the end of a par loop");
  for (int i = kop_info[s->op].nargs; i < 3; i++)
    if (s->arg[i].id) return fail(c, "has more than %d operands", kop_info[s->op].nargs);
  if (s->name && !is_identifier(s->name)) return fail(c, "its name is not an identifier");
  if (kop_info[s->op].result == KR_B) return check_begin(c, s);
  if (s->op == K_end) return check_end(c);
  if (signature[s->op].dtypes && !check_typed(c, s)) return false;
  bool memory = s->op == K_load || s->op == K_store || s->op == K_bcast || s->op == K_loadm || s->op == K_ldidx ||
                s->op == K_prefetch;
  if (memory && !check_memory(c, s)) return false;
  if (s->op == K_let && !check_let(c, s)) return false;
  if (s->op == K_ldidx) {
    if (!define_var(c, s->var, KV_DATA)) return false;
    const KVarInfo *v = &c->k->var.at[s->var.id];
    if (v->lo < 0 || v->lo > v->hi || v->hi > INT32_MAX || v->mod != 1 || v->rem) return fail(c, "bad range");
  }
  KResult r = kop_info[s->op].result;
  c->live[c->at] = r == KR_V || r == KR_M || r == KR_S;
  return true;
}

static bool check_body(Check *c) {
  const Kernel *k = c->k;
  c->live = ARENA_ARRAY(k->arena, bool, k->ins.n);
  c->seen = ARENA_ARRAY(k->arena, bool, k->var.n);
  c->in_scope = ARENA_ARRAY(k->arena, bool, k->var.n);
  for (size_t i = 1; i < k->var.n; i++) c->seen[i] = c->in_scope[i] = k->var.at[i].kind == KV_DIM;
  for (c->at = 1; c->at < k->ins.n; c->at++)
    if (!check_instruction(c)) return false;
  c->at = 0;
  for (size_t i = 1; i < k->var.n; i++)
    if (!c->seen[i]) return fail(c, "%%%.100s is never defined", k->var.at[i].name);
  return !c->depth || fail(c, "%u blocks are not closed", c->depth);
}

bool kernel_verify(const Kernel *k, const char **why) {
  ArenaMark mark = arena_mark(k->arena);
  Check c = {.k = k};
  if (check_head(&c) && check_body(&c)) {
    arena_reset(k->arena, mark);
    return true;
  }
  *why = c.why;
  return false;
}
