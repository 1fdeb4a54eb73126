// emit_c_region.c: regions of the kernel IR as C functions.
//
// A region becomes a function if nothing in it but lets and addresses depends on the variables outside, and if all
// addresses of a buffer do so in the same way: what they share becomes the argument. Regions with equal text are one
// function, which is inlined, so that the C compiler sees the same constants as if they stood in place. A fence at its
// start keeps gcc from moving what it loads first (a bias) out of the loops around the call: the registers that this
// takes are those that the tile was made for, and the weights of every step went through the stack.
//
//   SY_INLINE void vit_product_8x48_avx512(const float *restrict bias, ..., size_t lda, size_t ldb, size_t ldy, size_t
//   n) vit_product_8x48_avx512(bias + 16 * q, ..., 768, 12288, 2304, 768);
#include "emit_c_parts.h"

#include <string.h>

static void split(const KIdx *i, const bool *within, KIdx *outer, KIdx *inner) {
  *outer = ki_const(0);
  *inner = ki_const(i->c);
  for (uint32_t t = 0; t < i->n; t++) {
    KIdx term = ki_mul(ki_var(i->t[t].var), i->t[t].k);
    KIdx *to = within[i->t[t].var.id] ? inner : outer;
    *to = ki_add(*to, term);
  }
}

static bool only_within(const KIdx *i, const bool *within) {
  for (uint32_t t = 0; t < i->n; t++)
    if (!within[i->t[t].var.id]) return false;
  return true;
}

// May the parameter serve this access? A hint may share the parameter of what is read.
static bool serves(const Param *p, const KIns *s, const KIdx *outer) {
  if (p->buf.id != s->buf.id) return false;
  return s->op == K_prefetch ? ki_same_terms(&p->base, outer) : !p->ahead;
}

static bool add_access(Emit *e, Region *r, uint32_t i, const KIdx *outer, const KIdx *inner) {
  const KIns *s = &e->k->ins.at[i];
  bool ahead = s->op == K_prefetch;
  size_t p = 0;
  while (p < r->param.n && !serves(&r->param.at[p], s, outer)) p++;
  if (p == r->param.n) {
    const char *hint = ahead ? "next" : s->op == K_store ? "y" : s->name ? s->name : e->k->buf.at[s->buf.id].name;
    VEC_PUSH(&e->arena, r->param,
             ((Param){.buf = s->buf, .ahead = ahead, .hint = hint, .base = ki_addc(*outer, inner->c)}));
  }
  Param *q = &r->param.at[p];
  if (!ki_same_terms(&q->base, outer)) return false;
  if (inner->c < q->base.c) q->base.c = inner->c;
  q->written |= s->op == K_store;
  e->param[i] = (uint32_t)p + 1;
  return ec_all_positive(&q->base);
}

static bool fits_function(Emit *e, Region *r, bool *within, uint32_t i) {
  const KIns *s = &e->k->ins.at[i];
  if (s->var.id) within[s->var.id] = true;
  if (!e->needed[i]) return true;
  if (s->op == K_let) {
    VEC_PUSH(&e->arena, r->let, s->var);
    for (uint32_t t = 0; t < s->idx.n; t++)
      if (within[s->idx.t[t].var.id]) return false;
    return true;
  }
  for (int a = 0; a < kop_info[s->op].nargs; a++)
    if (s->arg[a].id <= r->begin) return false;
  if (s->op == K_loop)
    return only_within(&s->range->lo.a, within) && only_within(&s->range->hi.a, within) &&
           only_within(&s->range->lo.cap, within) && only_within(&s->range->hi.cap, within) &&
           only_within(&s->range->lo.from, within) && only_within(&s->range->hi.from, within);
  if (!s->buf.id) return only_within(&s->idx, within);
  KIdx outer, inner;
  split(&s->idx, within, &outer, &inner);
  return add_access(e, r, i, &outer, &inner);
}

// The region that begins at instruction i as a function, or NULL.
static Region *plan_region(Emit *e, uint32_t i, uint32_t end) {
  Region *r = ARENA_NEW(&e->arena, Region);
  bool *within = ARENA_ARRAY(&e->arena, bool, e->k->var.n);
  *r = (Region){.begin = i, .end = end};
  bool ok = true;
  for (uint32_t j = i + 1; j < end && ok; j++) ok = fits_function(e, r, within, j);
  for (uint32_t j = i + 1; j < end; j++) {
    if (!ok) e->param[j] = 0;
    if (!e->param[j]) continue;
    KIdx outer;
    split(&e->k->ins.at[j].idx, within, &outer, &e->at[j]);
    e->at[j] = ki_addc(e->at[j], -r->param.at[e->param[j] - 1].base.c);
  }
  return ok && r->param.n ? r : NULL;
}

void ec_plan_regions(Emit *e) {
  const Kernel *k = e->k;
  uint32_t *open = ARENA_ARRAY(&e->arena, uint32_t, k->ins.n);
  size_t depth = 0;
  for (uint32_t i = 1; i < k->ins.n; i++) {
    e->at[i] = k->ins.at[i].idx;
    if (kop_info[k->ins.at[i].op].result == KR_B) open[depth++] = i;
    if (k->ins.at[i].op == K_end) e->begin[i] = open[--depth];
  }
  if (!e->o->functions) return;
  for (uint32_t i = 1; i < k->ins.n; i++) {
    uint32_t begin = e->begin[i];
    if (k->ins.at[i].op == K_end && k->ins.at[begin].op == K_region) e->region[begin] = plan_region(e, begin, i);
  }
}

// A head or a call, with line breaks between its arguments where it would be too long.
static void put_wrapped(Buf *out, size_t indent, const char *text) {
  size_t column = indent;
  for (size_t i = 0; i < indent; i++) buf_putc(out, ' ');
  for (const char *s = text; *s;) {
    const char *next = strstr(s, ", ");
    size_t n = next ? (size_t)(next - s) + 2 : strlen(s);
    if (column + n > MAX_COLUMNS && s > text) {
      while (out->n && out->s[out->n - 1] == ' ') out->n--;
      buf_putc(out, '\n');
      for (size_t i = 0; i < indent + 4; i++) buf_putc(out, ' ');
      column = indent + 4;
    }
    buf_printf(out, "%.*s", (int)n, s);
    column += n;
    s += n;
  }
}

static const char *param_type(Emit *e, const Param *p) {
  return arena_printf(&e->arena, "%s%s *", p->written ? "" : "const ", ec_memory_type(e->k->buf.at[p->buf.id].dtype));
}

// Prints the function of a region, from the parentheses on: the same text for all regions that do the same.
static const char *region_text(Emit *e, const Region *r) {
  const Kernel *k = e->k;
  Buf out = {0};
  Emit f = *e; // what is needed, used and where it lies is known; names and values are its own
  f.out = &out;
  f.inside = r;
  f.value = ARENA_ARRAY(&f.arena, const char *, k->ins.n);
  f.var = ARENA_ARRAY(&f.arena, const char *, k->var.n);
  f.taken.at = NULL;
  f.taken.n = f.taken.cap = 0;
  f.taken_slot = NULL;
  f.taken_slots = f.taken_used = 0;
  f.bases.at = NULL;
  f.bases.n = f.bases.cap = 0;
  f.text = (Buf){0};
  f.next_base = 1;
  f.depth = 1;
  f.joined_head = NULL;
  buf_putc(&out, '(');
  for (size_t p = 0; p < r->param.n; p++) {
    r->param.at[p].name = ec_new_name(&f, r->param.at[p].hint);
    buf_printf(&out, "%s%srestrict %s", p ? ", " : "", param_type(&f, &r->param.at[p]), r->param.at[p].name);
  }
  for (size_t l = 0; l < r->let.n; l++) {
    KVar v = r->let.at[l];
    f.var[v.id] = ec_new_name(&f, ec_plain_name(&f, k->var.at[v.id].name));
    buf_printf(&out, ", size_t %s", f.var[v.id]);
  }
  buf_puts(&out, ") {\n");
  ec_line(&f, "SY_FENCE();");
  ec_find_bases(&f, r->begin + 1, r->end);
  for (uint32_t i = r->begin + 1; i < r->end; i++)
    if (k->ins.at[i].op != K_let) ec_put_instruction(&f, i);
  f.depth = 0;
  ec_line(&f, "}");
  e->arena = f.arena; // it grew
  const char *text = arena_strdup(&e->o->functions->arena, out.s);
  buf_free(&f.text);
  buf_free(&out);
  return text;
}

// A name that no function has: "vit_product_8x48_avx512", then "vit_product_8x48_v2_avx512".
static const char *function_name(const Emit *e, const char *region) {
  EmitFunctions *fs = e->o->functions;
  const char *name = arena_printf(&fs->arena, "%s_%s_%s", e->o->prefix, region, e->t->name);
  unsigned version = 1;
  for (size_t i = 0; i < fs->list.n; i++) // the versions of a name stand in their order
    if (!strcmp(fs->list.at[i].name, name))
      name = arena_printf(&fs->arena, "%s_%s_v%u_%s", e->o->prefix, region, ++version, e->t->name);
  return name;
}

// The name of the function; it is printed before the kernel if no earlier kernel has it.
static const char *region_function(Emit *e, const Region *r, Buf *before) {
  EmitFunctions *fs = e->o->functions;
  const KIns *s = &e->k->ins.at[r->begin];
  const char *text = region_text(e, r), *indent = e->o->indent ? e->o->indent : "";
  for (size_t i = 0; i < fs->list.n; i++)
    if (!strcmp(fs->list.at[i].text, text)) return fs->list.at[i].name;
  const char *name = function_name(e, s->name);
  VEC_PUSH(&fs->arena, fs->list, ((EmitFunction){name, text}));
  if (s->about) buf_printf(before, "%s// %s\n", indent, s->about);
  const char *attribute = target_attribute(e->t, &e->arena);
  if (*attribute) buf_printf(before, "%s%s\n", indent, attribute);
  const char *body = strchr(text, '\n');
  put_wrapped(before, strlen(indent), arena_printf(&e->arena, "SY_INLINE void %s%.*s", name, (int)(body - text), text));
  buf_printf(before, "%s\n", body);
  return name;
}

void ec_put_call(Emit *e, const Region *r, Buf *before) {
  const Kernel *k = e->k;
  const char *name = region_function(e, r, before);
  Buf b = {0};
  buf_printf(&b, "%s(", name);
  for (size_t p = 0; p < r->param.n; p++) {
    const Param *q = &r->param.at[p];
    buf_printf(&b, "%s%s", p ? ", " : "", e->buf[q->buf.id]);
    ec_put_sum(&b, &q->base, e->var);
  }
  for (uint32_t i = r->begin + 1; i < r->end; i++) {
    if (k->ins.at[i].op != K_let || !e->needed[i]) continue;
    buf_puts(&b, ", ");
    ec_put_index(&b, &k->ins.at[i].idx, e->var);
  }
  buf_puts(&b, ");\n");
  ec_flush_statements(e);
  put_wrapped(e->out, (e->o->indent ? strlen(e->o->indent) : 0) + 2 * (size_t)e->depth, b.s);
  buf_free(&b);
}

void emit_c_functions_free(EmitFunctions *f) {
  arena_free(&f->arena);
  *f = (EmitFunctions){0};
}
