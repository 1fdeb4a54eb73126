// emit_c_index.c: affine indices, bounds and numbers of tasks as C expressions of type size_t.
//
//   768 * r + i - 3        sy_min(r0 + 8, B)        L / 8 * 8
#include "emit_c_parts.h"

#include <inttypes.h>

bool ec_all_positive(const KIdx *i) {
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
void ec_put_index(Buf *b, const KIdx *i, const char *const *var) {
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

void ec_put_sum(Buf *b, const KIdx *i, const char *const *var) { // behind a name
  if (i->n == 0 && i->c == 0) return;
  bool plain = ec_all_positive(i);
  buf_puts(b, plain ? " + " : " + (");
  ec_put_index(b, i, var);
  if (!plain) buf_putc(b, ')');
}

// The capless part of a bound; literal when it is constant.
static void put_floor(Buf *b, const KBound *u, const char *const *var) {
  if (u->a.n == 0) {
    buf_printf(b, "%" PRId64, u->a.c / u->align * u->align);
  } else if (u->align == 1) {
    ec_put_index(b, &u->a, var);
  } else {
    bool simple = is_simple(&u->a);
    if (!simple) buf_putc(b, '(');
    ec_put_index(b, &u->a, var);
    buf_printf(b, "%s / %" PRId64 " * %" PRId64, simple ? "" : ")", u->align, u->align);
  }
}

bool ec_cap_matters(const Kernel *k, const KBound *u) {
  KBound a = *u;
  if (a.most) a.most = 0, a.align = 1;
  a.has_cap = false;
  return u->has_cap && kbound_max(k, &a) > ki_min(k, &u->cap);
}

void ec_put_bound(Buf *b, const Kernel *k, const KBound *u, const char *const *var) {
  if (u->most) {
    KBound rows = {.a = u->a, .align = 1, .has_cap = u->has_cap, .cap = u->cap};
    buf_puts(b, "sy_tiles(");
    ec_put_index(b, &u->from, var);
    buf_puts(b, ", ");
    ec_put_bound(b, k, &rows, var);
    buf_printf(b, ", %" PRId64 ", %" PRId64 ")", u->most, u->align);
    return;
  }
  if (!ec_cap_matters(k, u)) {
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
  ec_put_index(b, &u->cap, var);
  buf_putc(b, ')');
}

static bool bound_is_const(const Kernel *k, const KBound *u, int64_t *v) {
  if (u->most) return false;
  *v = kbound_min(k, u);
  return *v == kbound_max(k, u) && u->a.n == 0 && (!ec_cap_matters(k, u) || u->cap.n == 0);
}

/* the number of tasks
 * ----------------------------------------------------------------------------------------------------------- */
// Iterations of a par loop as a C expression; true if it is a literal.
bool ec_put_count(Buf *b, const Kernel *k, const KIns *s, const char *const *var) {
  int64_t lo, hi;
  if (bound_is_const(k, &s->range->lo, &lo) && bound_is_const(k, &s->range->hi, &hi)) {
    buf_printf(b, "%" PRId64, hi > lo ? (hi - lo + s->step - 1) / s->step : 0);
    return true;
  }
  bool add = s->step > 1, sub = !bound_is_const(k, &s->range->lo, &lo) || lo != 0;
  if (!sub && !add) {
    ec_put_bound(b, k, &s->range->hi, var);
    return false;
  }
  bool may_be_empty = kbound_max(k, &s->range->lo) > kbound_min(k, &s->range->hi);
  if (may_be_empty) { // keep the difference from wrapping
    buf_puts(b, "((");
    ec_put_bound(b, k, &s->range->hi, var);
    buf_puts(b, ") <= (");
    ec_put_bound(b, k, &s->range->lo, var);
    buf_puts(b, ") ? 0 : ");
  }
  buf_puts(b, "(");
  ec_put_bound(b, k, &s->range->hi, var);
  if (sub) {
    buf_puts(b, " - (");
    ec_put_bound(b, k, &s->range->lo, var);
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
    bool literal = ec_put_count(&one, k, &k->ins.at[i], var);
    buf_printf(out, literal ? "(size_t)%s" : "(%s)", one.s);
    buf_free(&one);
  }
  if (!n) buf_puts(out, "(size_t)1");
  arena_free(&arena);
}
