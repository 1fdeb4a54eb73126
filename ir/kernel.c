// kernel.c: builds kernels. Index arithmetic, intervals and congruences of index variables, one function per operation.
//
// The builder only appends; kernel_verify states what a whole kernel must satisfy. A kernel built by our own code that
// does not verify is a bug of ours: kb_finish ends in an ICE that names the kernel and the reason.
// Facts about index variables are kept as an interval [lo, hi] and a congruence (every value is rem modulo mod), both
// computed once when the loop is opened. The congruence is what makes a blocked loop provable:
//   par %i0 = 0 to 768 step 64 { loop %i = %i0 to %i0+64 cap 768 step 8 { load %x[%i] : f32x8 } }
// here %i <= 767 by the interval alone, and <= 760 because it is a multiple of 8.
// All interval arithmetic saturates, so hostile numbers (from parsed text) cannot overflow.
#include "kernel.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

const KOpInfo kop_info[KOP_COUNT] = {
#define KOP(name, nargs, result, doc) {#name, nargs, KR_##result, doc},
#include "kops.def"
#undef KOP
};

/* saturating arithmetic
 * ------------------------------------------------------------------------------------------------ */
static const int64_t LIMIT = INT64_MAX / 4;

static int64_t clip(int64_t v) {
  return v > LIMIT ? LIMIT : v < -LIMIT ? -LIMIT : v;
}

static int64_t sat_add(int64_t a, int64_t b) {
  return clip(clip(a) + clip(b));
}

static int64_t sat_mul(int64_t a, int64_t b) {
  a = clip(a), b = clip(b);
  if (a == 0 || b == 0) return 0;
  int64_t pa = a < 0 ? -a : a, pb = b < 0 ? -b : b;
  int64_t p = pa > LIMIT / pb ? LIMIT : pa * pb;
  return (a < 0) == (b < 0) ? p : -p;
}

static int64_t floor_to(int64_t a, int64_t align) { // greatest multiple of align that is <= a
  int64_t r = a % align;
  return a - (r < 0 ? r + align : r);
}

/* names
 * ---------------------------------------------------------------------------------------------------------------- */
static bool name_taken(const Kernel *k, const char *name) {
  for (size_t i = 1; i < k->var.n; i++)
    if (!strcmp(k->var.at[i].name, name)) return true;
  for (size_t i = 1; i < k->buf.n; i++)
    if (!strcmp(k->buf.at[i].name, name)) return true;
  return false;
}

// An identifier from any text: other characters become '_', a leading digit gets one in front.
static char *make_identifier(Arena *a, const char *name, const char *absent) {
  if (!name || !*name) name = absent;
  bool digit = isdigit((unsigned char)name[0]);
  char *s = arena_printf(a, "%s%s", digit ? "_" : "", name);
  for (char *c = s; *c; c++)
    if (!isalnum((unsigned char)*c)) *c = '_';
  return s;
}

static const char *unique_name(const Kernel *k, const char *name, const char *absent) {
  const char *base = make_identifier(k->arena, name, absent), *s = base;
  for (unsigned n = 2; name_taken(k, s); n++) s = arena_printf(k->arena, "%s_%u", base, n);
  return s;
}

/* index arithmetic
 * ------------------------------------------------------------------------------------------------------ */
KIdx ki_const(int64_t c) {
  return (KIdx){.c = c};
}

KIdx ki_var(KVar v) {
  CHECK(v.id);
  return (KIdx){.n = 1, .t = {{v, 1}}};
}

KIdx ki_mul(KIdx a, int64_t f) {
  if (f == 0) return ki_const(0);
  a.c = sat_mul(a.c, f);
  for (uint32_t i = 0; i < a.n; i++) a.t[i].k = sat_mul(a.t[i].k, f);
  return a;
}

KIdx ki_add(KIdx a, KIdx b) { // merges two lists sorted by variable
  KIdx r = {.c = sat_add(a.c, b.c)};
  for (uint32_t i = 0, j = 0; i < a.n || j < b.n;) {
    KTerm t;
    if (j == b.n || (i < a.n && a.t[i].var.id < b.t[j].var.id)) {
      t = a.t[i++];
    } else if (i == a.n || b.t[j].var.id < a.t[i].var.id) {
      t = b.t[j++];
    } else {
      t = (KTerm){a.t[i].var, sat_add(a.t[i].k, b.t[j].k)};
      i++, j++;
    }
    if (!t.k) continue;
    if (r.n == K_MAX_TERMS) ICE("an index of more than %d terms", K_MAX_TERMS);
    r.t[r.n++] = t;
  }
  return r;
}

KIdx ki_addc(KIdx a, int64_t c) {
  a.c = sat_add(a.c, c);
  return a;
}

bool ki_same_terms(const KIdx *a, const KIdx *b) {
  if (a->n != b->n) return false;
  for (uint32_t t = 0; t < a->n; t++)
    if (a->t[t].var.id != b->t[t].var.id || a->t[t].k != b->t[t].k) return false;
  return true;
}

KBound kbound(KIdx a) {
  return (KBound){.a = a, .align = 1};
}
KBound kbound_floor(KIdx a, int64_t align) {
  return (KBound){.a = a, .align = align};
}
KBound kbound_cap(KIdx a, KIdx cap) {
  return (KBound){.a = a, .align = 1, .has_cap = true, .cap = cap};
}

KBound kbound_tiles(KIdx from, KIdx a, const KIdx *cap, int64_t most, int64_t rows) {
  KBound b = {.a = a, .align = rows, .has_cap = cap != NULL, .most = most, .from = from};
  if (cap) b.cap = *cap;
  return b;
}

int64_t tiles_end(int64_t n, int64_t most, int64_t rows) {
  if (n <= 0) return 0;
  int64_t tiles = n / most + (n % most != 0), height = n / tiles, higher = n % tiles;
  return rows <= height ? n : rows == height + 1 ? higher * rows : 0;
}

/* facts
 * ------------------------------------------------------------------------------------------------------------------ */
static KTerm *term_of(KIdx *i, KVar v) {
  for (uint32_t t = 0; t < i->n; t++)
    if (i->t[t].var.id == v.id) return &i->t[t];
  return NULL;
}

// Of the two values at the ends of [a, b], times f, the least (or the greatest).
static int64_t end_of(int64_t a, int64_t b, int64_t f, bool most) {
  return sat_mul(f, (f > 0) == most ? b : a);
}

// k v + l b, where v begins at b and the signs differ, is k (v - b) + (k + l) b: what the two have in common goes.
static int64_t ki_end(const Kernel *k, const KIdx *of, bool most) {
  KIdx i = *of;
  int64_t s = i.c;
  for (uint32_t t = i.n; t-- > 0;) { // a base is defined before what begins at it, and has a lower number
    const KVarInfo *v = &k->var.at[i.t[t].var.id];
    KTerm *base = v->base.id && v->base.id < i.t[t].var.id ? term_of(&i, v->base) : NULL;
    int64_t f = i.t[t].k;
    if (base && (base->k < 0) != (f < 0) && base->k) {
      base->k = sat_add(base->k, f);
      s = sat_add(s, end_of(v->near, v->far, f, most));
    } else {
      s = sat_add(s, end_of(v->lo, v->hi, f, most));
    }
  }
  return s;
}

int64_t ki_min(const Kernel *k, const KIdx *i) {
  return ki_end(k, i, false);
}

int64_t ki_max(const Kernel *k, const KIdx *i) {
  return ki_end(k, i, true);
}

int64_t ki_eval(const KIdx *i, const int64_t *value) {
  int64_t s = i->c;
  for (uint32_t t = 0; t < i->n; t++) s += i->t[t].k * value[i->t[t].var.id];
  return s;
}

// Tiles: the last row that they may reach, and where they begin.
static int64_t tiles_last(const Kernel *k, const KBound *b) {
  int64_t a = ki_max(k, &b->a), c = b->has_cap ? ki_max(k, &b->cap) : a;
  return a < c ? a : c;
}

int64_t kbound_min(const Kernel *k, const KBound *b) {
  if (b->most) return ki_min(k, &b->from);
  int64_t a = floor_to(ki_min(k, &b->a), b->align), c = b->has_cap ? ki_min(k, &b->cap) : a;
  return a < c ? a : c;
}

int64_t kbound_max(const Kernel *k, const KBound *b) {
  if (b->most) {
    int64_t last = tiles_last(k, b), from = ki_max(k, &b->from);
    return last > from ? last : from;
  }
  int64_t a = floor_to(ki_max(k, &b->a), b->align), c = b->has_cap ? ki_max(k, &b->cap) : a;
  return a < c ? a : c;
}

int64_t kbound_eval(const KBound *b, const int64_t *value) {
  if (b->most) {
    int64_t from = ki_eval(&b->from, value), to = ki_eval(&b->a, value);
    if (b->has_cap && ki_eval(&b->cap, value) < to) to = ki_eval(&b->cap, value);
    return from + tiles_end(to - from, b->most, b->align);
  }
  int64_t a = floor_to(ki_eval(&b->a, value), b->align), c = b->has_cap ? ki_eval(&b->cap, value) : a;
  return a < c ? a : c;
}

typedef struct Congruence { // all values are rem modulo mod; mod 0: the one value rem
  int64_t mod, rem;
} Congruence;

static Congruence congruence(int64_t mod, int64_t rem) {
  if (mod < 0 || mod >= LIMIT || rem >= LIMIT || rem <= -LIMIT) return (Congruence){1, 0};
  return (Congruence){mod, mod ? rem - floor_to(rem, mod) : rem};
}

static Congruence index_congruence(const Kernel *k, const KIdx *i) {
  Congruence r = congruence(0, i->c);
  for (uint32_t t = 0; t < i->n; t++) {
    const KVarInfo *v = &k->var.at[i->t[t].var.id];
    int64_t f = i->t[t].k, af = f < 0 ? -f : f;
    Congruence term = congruence(sat_mul(af, v->mod), sat_mul(f, v->rem));
    r = congruence(gcd_i64(r.mod, term.mod), r.rem + term.rem);
  }
  return r;
}

static Congruence bound_congruence(const Kernel *k, const KBound *b) {
  if (b->most) return b->align > b->most ? index_congruence(k, &b->from) : congruence(1, 0);
  Congruence a = index_congruence(k, &b->a);
  if (a.mod == 0)
    a.rem = floor_to(a.rem, b->align);
  else if (b->align > 1 && a.mod % b->align)
    a = congruence(b->align, 0);
  else if (b->align > 1)
    a = congruence(a.mod, floor_to(a.rem, b->align));
  if (!b->has_cap) return a;
  Congruence c = index_congruence(k, &b->cap);
  return congruence(gcd_i64(gcd_i64(a.mod, c.mod), a.rem - c.rem), a.rem);
}

static bool same_index(const KIdx *a, const KIdx *b) {
  return a->c == b->c && ki_same_terms(a, b);
}

// The loop over the tiles of one height: the last one ends where the rows do.
static bool tiles_of_height(const KBound *lo, const KBound *hi, int64_t step) {
  return hi->most && lo->most == hi->most && hi->align == step && lo->align == step + 1 && same_index(&lo->a, &hi->a) &&
         same_index(&lo->from, &hi->from) && lo->has_cap == hi->has_cap && same_index(&lo->cap, &hi->cap);
}

static bool begins_at(const KIdx *i, KVar v) {
  return i->n == 1 && i->t[0].k == 1 && i->t[0].var.id == v.id;
}

// Where a loop begins, if that is a variable and a constant; and how far from it the loop may come.
static void find_base(const KBound *lo, const KBound *hi, int64_t step, KVarInfo *r) {
  const KIdx *from = lo->most ? &lo->from : &lo->a, *end = begins_at(&hi->a, from->t[0].var) ? &hi->a : &hi->cap;
  if ((!lo->most && (lo->align != 1 || lo->has_cap)) || from->n != 1 || from->t[0].k != 1) return;
  if (!begins_at(end, from->t[0].var) || (end == &hi->cap && !hi->has_cap)) return;
  r->base = from->t[0].var;
  r->near = from->c;
  r->far = sat_add(end->c, tiles_of_height(lo, hi, step) ? -step : -1);
}

KVarInfo kernel_range(const Kernel *k, const KBound *lo, const KBound *hi, int64_t step) {
  KVarInfo r = {.lo = kbound_min(k, lo), .hi = sat_add(kbound_max(k, hi), -1)};
  if (tiles_of_height(lo, hi, step)) r.hi = sat_add(tiles_last(k, hi), -step);
  Congruence start = bound_congruence(k, lo), all = congruence(gcd_i64(start.mod, step), start.rem);
  if (all.mod > 0) r.hi = all.rem + floor_to(r.hi - all.rem, all.mod);
  r.mod = all.mod;
  r.rem = all.rem;
  find_base(lo, hi, step, &r);
  return r;
}

KVarInfo kernel_let(const Kernel *k, const KIdx *value) {
  Congruence c = index_congruence(k, value);
  return (KVarInfo){.kind = KV_LET, .lo = ki_min(k, value), .hi = ki_max(k, value), .mod = c.mod, .rem = c.rem};
}

int64_t kernel_tasks(const Kernel *k, const int64_t *dims) {
  ArenaMark mark = arena_mark(k->arena);
  int64_t *value = ARENA_ARRAY(k->arena, int64_t, k->var.n), n = 1;
  for (size_t i = 1; i < k->var.n; i++)
    if (k->var.at[i].kind == KV_DIM) value[i] = dims[k->var.at[i].sym];
  for (size_t i = 1; i < k->ins.n && k->ins.at[i].op == K_par; i++) {
    const KIns *s = &k->ins.at[i];
    int64_t lo = kbound_eval(&s->range->lo, value), hi = kbound_eval(&s->range->hi, value);
    n = sat_mul(n, lo < hi ? (hi - lo + s->step - 1) / s->step : 0);
  }
  arena_reset(k->arena, mark);
  return n;
}

int64_t kernel_scratch_bytes(const Kernel *k) {
  int64_t n = 0;
  for (size_t i = 1; i < k->buf.n; i++)
    if (k->buf.at[i].role == KB_SCRATCH)
      n += (k->buf.at[i].n * (int64_t)dtype_info[k->buf.at[i].dtype].bytes + 63) / 64 * 64;
  return n;
}

/* kernel, dims, buffers
 * --------------------------------------------------------------------------------------------------- */
Kernel *kernel_new(Arena *a, const char *name, uint32_t lanes) {
  CHECK(lanes >= 1 && lanes <= K_MAX_LANES && (lanes & (lanes - 1)) == 0);
  Kernel *k = ARENA_NEW(a, Kernel);
  k->arena = a;
  k->name = arena_strdup(a, name);
  k->lanes = lanes;
  VEC_PUSH(a, k->ins, ((KIns){0}));
  VEC_PUSH(a, k->var, ((KVarInfo){.name = ""}));
  VEC_PUSH(a, k->buf, ((KBufInfo){.name = ""}));
  return k;
}

static KVar add_var(Kernel *k, KVarInfo v, const char *name, const char *absent) {
  v.name = unique_name(k, name, absent);
  VEC_PUSH(k->arena, k->var, v);
  return (KVar){(uint32_t)(k->var.n - 1)};
}

KVar kb_dim(Kernel *k, const char *name, int32_t sym, int64_t lo, int64_t hi) {
  for (size_t i = 1; i < k->var.n; i++)
    if (k->var.at[i].kind == KV_DIM && k->var.at[i].sym == sym) return (KVar){(uint32_t)i};
  if (k->ins.n > 1) ICE("kernel %s: dim %s declared after the first instruction", k->name, name);
  CHECK(sym >= 0 && sym < MAX_DIMS && lo <= hi);
  KVarInfo v = {.kind = KV_DIM, .lo = lo, .hi = hi, .sym = sym, .mod = lo == hi ? 0 : 1, .rem = lo == hi ? lo : 0};
  return add_var(k, v, name, "dim");
}

KBufRef kb_buf(Kernel *k, const char *name, DType dt, KRole role, int64_t n) {
  if (role != KB_SCRATCH && k->buf.n > 1 && k->buf.at[k->buf.n - 1].role == KB_SCRATCH)
    ICE("kernel %s: parameter %s after a scratch buffer", k->name, name);
  KBufInfo b = {unique_name(k, name, "buf"), dt, role, n};
  VEC_PUSH(k->arena, k->buf, b);
  return (KBufRef){(uint32_t)(k->buf.n - 1)};
}

/* instructions
 * ------------------------------------------------------------------------------------------------------------- */
static KVal push(Kernel *k, KIns s) {
  for (int i = 0; i < 3; i++) CHECK(s.arg[i].id < k->ins.n);
  CHECK(s.buf.id < k->buf.n);
  if (s.name) s.name = make_identifier(k->arena, s.name, "v");
  VEC_PUSH(k->arena, k->ins, s);
  return (KVal){(uint32_t)(k->ins.n - 1)};
}

static const KIns *def(const Kernel *k, KVal v) {
  if (!v.id || v.id >= k->ins.n) ICE("kernel %s: operand is not a value", k->name);
  return &k->ins.at[v.id];
}

static KVar open_block(Kernel *k, KOp op, KVarKind kind, const char *name, KBound lo, KBound hi, int64_t step) {
  CHECK(lo.align >= 1 && hi.align >= 1 && lo.most >= 0 && hi.most >= 0 && step >= 1);
  KVarInfo v = kernel_range(k, &lo, &hi, step);
  v.kind = kind;
  KVar var = add_var(k, v, name, "i");
  KRange *range = ARENA_NEW(k->arena, KRange);
  *range = (KRange){lo, hi};
  push(k, (KIns){.op = op, .var = var, .range = range, .step = step});
  k->open++;
  return var;
}

KVar kb_par(Kernel *k, const char *name, KBound lo, KBound hi, int64_t step) {
  return open_block(k, K_par, KV_PAR, name, lo, hi, step);
}

KVar kb_loop(Kernel *k, const char *name, KBound lo, KBound hi, int64_t step) {
  return open_block(k, K_loop, KV_LOOP, name, lo, hi, step);
}

void kb_region(Kernel *k, const char *name, const char *about) {
  push(k, (KIns){.op = K_region, .name = name, .about = about});
  k->open++;
}

KVar kb_let(Kernel *k, KIdx value, const char *name) {
  KVar var = add_var(k, kernel_let(k, &value), name, "n");
  push(k, (KIns){.op = K_let, .idx = value, .var = var});
  return var;
}

void kb_end(Kernel *k) {
  CHECK(k->open > 0);
  k->open--;
  push(k, (KIns){.op = K_end});
}

static DType buf_dtype(const Kernel *k, KBufRef b) { // of its elements once they are loaded
  if (!b.id || b.id >= k->buf.n) ICE("kernel %s: no such buffer", k->name);
  return dtype_info[k->buf.at[b.id].dtype].computes;
}

KVal kb_load(Kernel *k, KBufRef b, KIdx i, uint32_t lanes, int64_t n, const char *name) {
  return push(
      k,
      (KIns){
          .op = K_load, .dtype = buf_dtype(k, b), .lanes = (uint8_t)lanes, .buf = b, .idx = i, .n = n, .name = name});
}

void kb_store(Kernel *k, KBufRef b, KIdx i, KVal v, int64_t n) {
  const KIns *s = def(k, v);
  push(k, (KIns){.op = K_store, .dtype = s->dtype, .lanes = s->lanes, .arg = {v}, .buf = b, .idx = i, .n = n});
}

KVal kb_bcast(Kernel *k, KBufRef b, KIdx i, const char *name) {
  return push(
      k, (KIns){.op = K_bcast, .dtype = buf_dtype(k, b), .lanes = (uint8_t)k->lanes, .buf = b, .idx = i, .name = name});
}

KVal kb_loadm(Kernel *k, KBufRef b, KIdx i, int64_t n) {
  return push(k, (KIns){.op = K_loadm, .dtype = DT_BOOL, .lanes = (uint8_t)k->lanes, .buf = b, .idx = i, .n = n});
}

KVar kb_ldidx(Kernel *k, KBufRef b, KIdx i, int64_t lo, int64_t hi, const char *name) {
  KVarInfo v = {.kind = KV_DATA, .lo = lo, .hi = hi, .mod = 1};
  KVar var = add_var(k, v, name, "id");
  push(k, (KIns){.op = K_ldidx, .dtype = DT_I32, .lanes = 1, .buf = b, .idx = i, .var = var});
  return var;
}

void kb_prefetch(Kernel *k, KBufRef b, KIdx i, int level) {
  push(k, (KIns){.op = K_prefetch, .dtype = buf_dtype(k, b), .lanes = 1, .buf = b, .idx = i, .n = level});
}

KVal kb_const(Kernel *k, double v, DType dt, uint32_t lanes) {
  double imm = dt == DT_F32 ? (double)(float)v : v;
  return push(k, (KIns){.op = K_const, .dtype = dt, .lanes = (uint8_t)lanes, .imm = imm});
}

KVal kb_iota(Kernel *k, DType dt) {
  return push(k, (KIns){.op = K_iota, .dtype = dt, .lanes = (uint8_t)k->lanes});
}

KVal kb_index(Kernel *k, KIdx i, DType dt, uint32_t lanes) {
  return push(k, (KIns){.op = K_index, .dtype = dt, .lanes = (uint8_t)lanes, .idx = i});
}

KVal kb_splat(Kernel *k, KVal scalar) {
  return push(k, (KIns){.op = K_splat, .dtype = def(k, scalar)->dtype, .lanes = (uint8_t)k->lanes, .arg = {scalar}});
}

KVal kb_lane0(Kernel *k, KVal v) {
  return push(k, (KIns){.op = K_lane0, .dtype = def(k, v)->dtype, .lanes = 1, .arg = {v}});
}

KVal kb_var(Kernel *k, KVal init, const char *name) {
  const KIns *s = def(k, init);
  return push(k, (KIns){.op = K_var, .dtype = s->dtype, .lanes = s->lanes, .arg = {init}, .name = name});
}

void kb_set(Kernel *k, KVal var, KVal v) {
  const KIns *s = def(k, var);
  if (s->op != K_var) ICE("kernel %s: set of something that is not a var", k->name);
  push(k, (KIns){.op = K_set, .dtype = s->dtype, .lanes = s->lanes, .arg = {var, v}});
}

static KVal push_op(Kernel *k, KOp op, KVal a, KVal b, KVal c, int nargs) {
  if (kop_info[op].nargs != nargs) ICE("kernel %s: %s with %d operands", k->name, kop_info[op].name, nargs);
  const KIns *model = def(k, op == K_select ? b : a);
  KResult r = kop_info[op].result;
  KIns s = {.op = op, .dtype = model->dtype, .lanes = model->lanes, .arg = {a, b, c}};
  if (r == KR_M) s.dtype = DT_BOOL;
  if (r == KR_S) s.lanes = 1;
  if (op == K_splat) s.lanes = (uint8_t)k->lanes;
  if (op == K_mtob || op == K_real || op == K_low16 || op == K_high16) s.dtype = DT_F32;
  if (op == K_magn || op == K_round16) s.dtype = DT_I32;
  return push(k, s);
}

KVal kb_op1(Kernel *k, KOp op, KVal a) {
  return push_op(k, op, a, (KVal){0}, (KVal){0}, 1);
}
KVal kb_op2(Kernel *k, KOp op, KVal a, KVal b) {
  return push_op(k, op, a, b, (KVal){0}, 2);
}
KVal kb_op3(Kernel *k, KOp op, KVal a, KVal b, KVal c) {
  return push_op(k, op, a, b, c, 3);
}

KVal kb_cvt(Kernel *k, KVal a, DType to) {
  const KIns *s = def(k, a);
  if (s->dtype == DT_BOOL) return push(k, (KIns){.op = K_mtob, .dtype = to, .lanes = s->lanes, .arg = {a}});
  return push(k, (KIns){.op = K_cvt, .dtype = to, .lanes = s->lanes, .arg = {a}});
}

void kb_finish(Kernel *k) {
  const char *why = NULL;
  if (k->open) ICE("kernel %s: %u blocks are not closed", k->name, k->open);
  if (!kernel_verify(k, &why)) ICE("kernel %s: %s", k->name, why);
}
