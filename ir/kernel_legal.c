// kernel_legal.c: rewrites what a target lacks into what it has, in place. Afterwards every operation has a row.
//
//   without fma:   %9 = fma %a, %b, %c   =>   %8 = mul %a, %b;  %9 = add %8, %c     (rounded twice)
//
// And drops what does nothing: a loop that runs exactly once becomes its body, a loop that never runs disappears.
//
//   loop %c = 0 to 16 step 16 { %7 = load %x[32*%r + %c + 16] : f32x16 }   =>   %6 = load %x[32*%r + 16] : f32x16
//
// The list of instructions is rebuilt, so values are renumbered; order, names and variables stay as they are.
#include "kernel.h"

void kernel_legalise(Kernel *k, bool has_fma) {
  if (has_fma) return;
  size_t n = k->ins.n;
  const KIns *old = k->ins.at;
  KVal *now = ARENA_ARRAY(k->arena, KVal, n); // new number of each old value
  k->ins.at = NULL;
  k->ins.n = k->ins.cap = 0;
  for (size_t i = 0; i < n; i++) {
    KIns s = old[i];
    for (int a = 0; a < 3; a++) s.arg[a] = now[s.arg[a].id];
    if (s.op == K_fma) {
      KIns mul = s;
      mul.op = K_mul;
      mul.arg[2] = (KVal){0};
      mul.name = NULL;
      VEC_PUSH(k->arena, k->ins, mul);
      s.op = K_add;
      s.arg[0] = (KVal){(uint32_t)(k->ins.n - 1)};
      s.arg[1] = s.arg[2];
      s.arg[2] = (KVal){0};
    }
    VEC_PUSH(k->arena, k->ins, s);
    now[i] = (KVal){(uint32_t)(k->ins.n - 1)};
  }
}

/* loops that run once or never ------------------------------------------------------------------------------------- */
typedef struct Folder {
  Kernel *k;
  bool *known;    // by variable: it has one value
  int64_t *value; // that value
} Folder;

static KIdx fold_index(const Folder *f, const KIdx *i) {
  KIdx out = ki_const(i->c);
  for (uint32_t t = 0; t < i->n; t++) {
    KVar v = i->t[t].var;
    if (f->known[v.id])
      out = ki_addc(out, i->t[t].k * f->value[v.id]);
    else
      out = ki_add(out, ki_mul(ki_var(v), i->t[t].k));
  }
  return out;
}

static void fold_bound(const Folder *f, KBound *u) {
  u->a = fold_index(f, &u->a);
  u->from = fold_index(f, &u->from);
  if (u->has_cap) u->cap = fold_index(f, &u->cap);
}

static bool constant_bound(const Kernel *k, const KBound *u, int64_t *v) {
  *v = kbound_min(k, u);
  return !u->most && u->a.n == 0 && (!u->has_cap || u->cap.n == 0 || u->cap.c >= *v) && kbound_max(k, u) == *v;
}

static void rename_index(KIdx *i, const KVar *now) {
  for (uint32_t t = 0; t < i->n; t++) i->t[t].var = now[i->t[t].var.id];
}

// Drops the variables of the loops that are gone.
static void drop_variables(Kernel *k, const bool *gone) {
  KVar *now = ARENA_ARRAY(k->arena, KVar, k->var.n);
  size_t n = 0;
  for (size_t v = 0; v < k->var.n; v++) {
    if (gone[v]) continue;
    now[v] = (KVar){(uint32_t)n};
    k->var.at[n++] = k->var.at[v];
  }
  k->var.n = n;
  for (size_t v = 0; v < n; v++) k->var.at[v].base = now[k->var.at[v].base.id];
  for (size_t i = 0; i < k->ins.n; i++) {
    KIns *s = &k->ins.at[i];
    s->var = now[s->var.id];
    rename_index(&s->idx, now);
    if (!s->range) continue;
    rename_index(&s->range->lo.a, now);
    rename_index(&s->range->lo.cap, now);
    rename_index(&s->range->lo.from, now);
    rename_index(&s->range->hi.a, now);
    rename_index(&s->range->hi.cap, now);
    rename_index(&s->range->hi.from, now);
  }
}

// What is known of a variable whose definition was folded: never less than before.
static void refresh(Kernel *k, const KIns *s) {
  KVarInfo *v = &k->var.at[s->var.id],
           r = s->op == K_let ? kernel_let(k, &s->idx) : kernel_range(k, &s->range->lo, &s->range->hi, s->step);
  v->lo = r.lo, v->hi = r.hi, v->mod = r.mod, v->rem = r.rem;
  v->base = r.base, v->near = r.near, v->far = r.far;
}

void kernel_fold_loops(Kernel *k) {
  size_t n = k->ins.n;
  const KIns *old = k->ins.at;
  Folder f = {k, ARENA_ARRAY(k->arena, bool, k->var.n), ARENA_ARRAY(k->arena, int64_t, k->var.n)};
  KVal *now = ARENA_ARRAY(k->arena, KVal, n);
  bool *dropped = ARENA_ARRAY(k->arena, bool, n + 1); // by depth of the open blocks
  size_t depth = 0, skip = 0;                         // skip > 0: inside a loop that never runs
  k->ins.at = NULL;
  k->ins.n = k->ins.cap = 0;
  VEC_PUSH(k->arena, k->ins, old[0]);
  for (size_t i = 1; i < n; i++) {
    KIns s = old[i];
    bool loop = s.op == K_loop || s.op == K_par, opens = loop || s.op == K_region;
    if (skip) {
      if (loop || s.op == K_ldidx || s.op == K_let) f.known[s.var.id] = true;
      skip += opens;
      skip -= s.op == K_end;
      continue;
    }
    if (s.op == K_region) dropped[++depth] = false;
    if (loop) {
      KRange *range = ARENA_NEW(k->arena, KRange);
      *range = *s.range;
      s.range = range;
      fold_bound(&f, &range->lo);
      fold_bound(&f, &range->hi);
      int64_t lo, hi;
      bool constant = s.op == K_loop && constant_bound(k, &range->lo, &lo) && constant_bound(k, &range->hi, &hi);
      if (constant && lo >= hi) {
        skip = 1;
        f.known[s.var.id] = true;
        continue;
      }
      dropped[++depth] = constant && lo + s.step >= hi;
      if (dropped[depth]) {
        f.known[s.var.id] = true;
        f.value[s.var.id] = lo;
        continue;
      }
    }
    if (s.op == K_end && dropped[depth--]) continue;
    for (int a = 0; a < 3; a++) s.arg[a] = now[s.arg[a].id];
    s.idx = fold_index(&f, &s.idx);
    if (loop || s.op == K_let) refresh(k, &s);
    VEC_PUSH(k->arena, k->ins, s);
    now[i] = (KVal){(uint32_t)(k->ins.n - 1)};
  }
  drop_variables(k, f.known);
}
