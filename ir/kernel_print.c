// kernel_print.c: the text form of a kernel (grammar: README.kernel.md). kernel_parse reads it back; printing again
// gives the same bytes. Values are printed by the number of their instruction, variables and buffers by name, floats as
// hex.
//
//   kernel @scale about "rows of 768" lanes 8 dims { B = 1..32 } cost { flops = 768, bytes = 6144 } {
//     buf %x : in f32[24576]
//     buf %y : out f32[24576]
//     par %r = 0 to B step 1 {
//       loop %i = 0 to 768 step 8 {
//         %3 = load %x[768*%r + %i] : f32x8
//         %4 = const 0x1p-3 : f32x8
//         %5 = mul %3, %4 : f32x8 "scaled"
//         store %y[768*%r + %i], %5
//       }
//     }
//   }
#include "ir_lex.h"
#include "kernel.h"

#include <inttypes.h>

static const char *const role_name[] = {
    [KB_IN] = "in", [KB_OUT] = "out", [KB_WEIGHT] = "weight", [KB_SCRATCH] = "scratch"};

static void put_var(const Kernel *k, KVar v, Buf *out) {
  const KVarInfo *i = &k->var.at[v.id];
  buf_printf(out, "%s%s", i->kind == KV_DIM ? "" : "%", i->name);
}

// 768*%r + %i - 3; `gap` is what stands around + and -.
static void put_index(const Kernel *k, const KIdx *i, const char *gap, Buf *out) {
  for (uint32_t t = 0; t < i->n; t++) {
    int64_t f = i->t[t].k;
    if (t) buf_printf(out, "%s%c%s", gap, f < 0 ? '-' : '+', gap);
    if (!t && f < 0) buf_putc(out, '-');
    if (f < 0) f = -f;
    if (f != 1) buf_printf(out, "%" PRId64 "*", f);
    put_var(k, i->t[t].var, out);
  }
  if (!i->n)
    buf_printf(out, "%" PRId64, i->c);
  else if (i->c)
    buf_printf(out, "%s%c%s%" PRId64, gap, i->c < 0 ? '-' : '+', gap, i->c < 0 ? -i->c : i->c);
}

static void put_bound(const Kernel *k, const KBound *b, Buf *out) {
  if (b->most) {
    buf_puts(out, "tiles(");
    put_index(k, &b->from, "", out);
    buf_puts(out, ", ");
    put_index(k, &b->a, "", out);
    buf_printf(out, ", %" PRId64 ", %" PRId64 ")", b->most, b->align);
    if (b->has_cap) buf_puts(out, " cap "), put_index(k, &b->cap, "", out);
    return;
  }
  if (b->align > 1) buf_puts(out, "floor(");
  put_index(k, &b->a, "", out);
  if (b->align > 1) buf_printf(out, ", %" PRId64 ")", b->align);
  if (!b->has_cap) return;
  buf_puts(out, " cap ");
  put_index(k, &b->cap, "", out);
}

static void put_address(const Kernel *k, const KIns *s, Buf *out) {
  buf_printf(out, " %%%s[", k->buf.at[s->buf.id].name);
  put_index(k, &s->idx, " ", out);
  buf_putc(out, ']');
  bool partial = (s->op == K_load || s->op == K_store || s->op == K_loadm) && s->n != s->lanes;
  if (partial) buf_printf(out, " n %" PRId64, s->n);
}

static void put_type(const KIns *s, Buf *out) {
  buf_printf(out, " : %s", dtype_info[s->dtype].name);
  if (s->lanes > 1) buf_printf(out, "x%u", s->lanes);
  if (s->name) buf_puts(out, " "), irlex_put_string(out, s->name);
}

// What stands between the name of the operation and its type.
static void put_operands(const Kernel *k, const KIns *s, Buf *out) {
  if (s->buf.id) put_address(k, s, out);
  if (s->op == K_prefetch) buf_printf(out, " level %" PRId64, s->n);
  if (s->op == K_const && s->dtype == DT_F32) buf_putc(out, ' '), irlex_put_float(out, s->imm);
  if (s->op == K_const && s->dtype != DT_F32) buf_printf(out, " %" PRId64, (int64_t)s->imm);
  if (s->op == K_index || s->op == K_let) buf_putc(out, ' '), put_index(k, &s->idx, " ", out);
  for (int a = 0; a < kop_info[s->op].nargs; a++) buf_printf(out, "%s %%%u", a || s->buf.id ? "," : "", s->arg[a].id);
}

static void put_instruction(const Kernel *k, uint32_t i, Buf *out) {
  const KIns *s = &k->ins.at[i];
  switch (kop_info[s->op].result) {
  case KR_B:
    if (s->op == K_region) {
      buf_printf(out, "region %s ", s->name);
      if (s->about) irlex_put_string(out, s->about), buf_putc(out, ' ');
      buf_puts(out, "{\n");
      return;
    }
    buf_printf(out, "%s %%%s = ", kop_info[s->op].name, k->var.at[s->var.id].name);
    put_bound(k, &s->range->lo, out);
    buf_puts(out, " to ");
    put_bound(k, &s->range->hi, out);
    buf_printf(out, " step %" PRId64 " {\n", s->step);
    return;
  case KR_E: buf_puts(out, "}\n"); return;
  case KR_X: {
    const KVarInfo *v = &k->var.at[s->var.id];
    buf_printf(out, "%%%s = %s", v->name, kop_info[s->op].name);
    put_operands(k, s, out);
    if (s->op == K_let)
      buf_putc(out, '\n');
    else
      buf_printf(out, " in %" PRId64 "..%" PRId64 "\n", v->lo, v->hi);
    return;
  }
  case KR_N:
    buf_puts(out, kop_info[s->op].name);
    put_operands(k, s, out);
    buf_putc(out, '\n');
    return;
  default:
    buf_printf(out, "%%%u = %s", i, kop_info[s->op].name);
    put_operands(k, s, out);
    put_type(s, out);
    buf_putc(out, '\n');
  }
}

static void put_dims(const Kernel *k, Buf *out) {
  int n = 0;
  for (size_t i = 1; i < k->var.n; i++) {
    const KVarInfo *v = &k->var.at[i];
    if (v->kind != KV_DIM) continue;
    buf_printf(out, "%s%s = %" PRId64 "..%" PRId64, n ? ", " : " dims { ", v->name, v->lo, v->hi);
    if (v->sym != n) buf_printf(out, " dim %d", (int)v->sym); // number in the module, when it is not the place here
    n++;
  }
  if (n) buf_puts(out, " }");
}

void kernel_print_body(const Kernel *k, Buf *out) {
  buf_printf(out, "lanes %u", k->lanes);
  put_dims(k, out);
  if (k->flops != 0 || k->bytes != 0) buf_printf(out, " cost { flops = %.17g, bytes = %.17g }", k->flops, k->bytes);
  buf_puts(out, " {\n");
  for (size_t i = 1; i < k->buf.n; i++) {
    const KBufInfo *b = &k->buf.at[i];
    buf_printf(out, "  buf %%%s : %s %s[%" PRId64 "]\n", b->name, role_name[b->role], dtype_info[b->dtype].name, b->n);
  }
  int depth = 1;
  for (uint32_t i = 1; i < k->ins.n; i++) {
    KResult r = kop_info[k->ins.at[i].op].result;
    if (r == KR_E) depth--;
    for (int d = 0; d < depth; d++) buf_puts(out, "  ");
    put_instruction(k, i, out);
    if (r == KR_B) depth++;
  }
  buf_puts(out, "}\n");
}

void kernel_print(const Kernel *k, Buf *out) {
  buf_printf(out, "kernel @%s ", k->name);
  if (k->isa) buf_printf(out, "for %s ", k->isa);
  if (k->about) {
    buf_puts(out, "about ");
    irlex_put_string(out, k->about);
    buf_putc(out, ' ');
  }
  kernel_print_body(k, out);
}
