// image_llvm.c: tables of an Image as LLVM constants. A row is a constant struct with the members of its record, in
// order; LLVM lays it out by the rules of the target, as the target's C compiler does the engine's struct.
//
//   @vit__slots_avx2 = internal constant [9 x { ptr, ptr, i64 }] [{ ptr @vit__map_avx2, ptr @vit__tasks_0, i64 81 },
//   ..]
#include "image_llvm.h"

#include "codegen/template.h"

#include <string.h>

typedef struct Printer {
  Llvm *l;
  const Image *im;
  const LLVMValueRef *function;
  const Target *const *mine;
  size_t nmine;
  LLVMValueRef *table; // by Image.table
} Printer;

const char *image_llvm_name(Llvm *l, const Image *im, const char *name) {
  Buf b = {0};
  template_words(im->names, name, &b);
  const char *s = arena_strdup(&l->arena, b.s);
  buf_free(&b);
  return s;
}

static LLVMValueRef constant(Llvm *l, const char *name, LLVMValueRef init) {
  LLVMValueRef g = LLVMAddGlobal(l->module, LLVMTypeOf(init), name);
  LLVMSetInitializer(g, init);
  LLVMSetGlobalConstant(g, true);
  LLVMSetLinkage(g, LLVMInternalLinkage);
  return g;
}

static LLVMValueRef text(Llvm *l, const char *s) {
  if (!s) return LLVMConstNull(l->ptr);
  LLVMValueRef g = constant(l, ".text", LLVMConstStringInContext(l->ctx, s, (unsigned)strlen(s), false));
  LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
  LLVMSetLinkage(g, LLVMPrivateLinkage);
  return g;
}

static LLVMTypeRef type_of(const Llvm *l, const Member *m);

static LLVMTypeRef record_type(const Llvm *l, const Record *r) {
  LLVMTypeRef member[32];
  if (r->n > sizeof member / sizeof *member) ICE("%s has too many members", r->name);
  for (size_t i = 0; i < r->n; i++) {
    LLVMTypeRef one = type_of(l, &r->member[i]);
    member[i] = r->member[i].count ? LLVMArrayType(one, (unsigned)r->member[i].count) : one;
  }
  return LLVMStructTypeInContext(l->ctx, member, (unsigned)r->n, false);
}

// Of a member, or of an element of it.
static LLVMTypeRef type_of(const Llvm *l, const Member *m) {
  switch (m->kind) {
  case CK_U32:
  case CK_MASK:
  case CK_KERNEL:
  case CK_I32: return l->i32;
  case CK_U64:
  case CK_HASH:
  case CK_I64: return l->i64;
  case CK_F64: return l->f64;
  case CK_CHAR: return l->i8;
  case CK_TEXT:
  case CK_TEXTS:
  case CK_REF:
  case CK_FUNCTION: return l->ptr;
  case CK_RECORD: return record_type(l, m->record);
  case CK_NONE: break;
  }
  ICE("a member without a kind");
}

static bool is_here(const Printer *c, Where where, const Target *t) {
  if (where == EVERYWHERE || where == WHERE_COMPILED) return true; // a module has no target that it cannot run
  bool mine = !strcmp(t->isa->family->is, "1");
  for (size_t i = 0; i < c->nmine; i++) mine |= c->mine[i] == t;
  return mine == (where == WHERE_FAMILY);
}

static size_t rows_here(const Printer *c, const Table *t) {
  size_t n = 0;
  for (size_t i = 0; i < t->row.n; i++) n += is_here(c, t->row.at[i].where, t->row.at[i].target);
  return n;
}

static LLVMValueRef table_value(const Printer *c, const Table *t) {
  if (!t) return LLVMConstNull(c->l->ptr);
  for (size_t i = 0; i < c->im->table.n; i++)
    if (c->im->table.at[i] == t) return c->table[i];
  ICE("table %s is not in the image", t->name);
}

static LLVMValueRef value(const Printer *c, const Member *m, const Cell *cell);

static LLVMValueRef row_value(const Printer *c, const Record *r, const Cell *row) {
  LLVMValueRef *v = ARENA_ARRAY(&c->l->arena, LLVMValueRef, r->n);
  for (size_t i = 0; i < r->n; i++) v[i] = value(c, &r->member[i], &row[i]);
  return LLVMConstStructInContext(c->l->ctx, v, (unsigned)r->n, false);
}

static LLVMValueRef one_value(const Printer *c, const Member *m, const Cell *v) {
  Llvm *l = c->l;
  LLVMTypeRef type = type_of(l, m);
  switch (m->kind) {
  case CK_U32:
  case CK_MASK:
  case CK_KERNEL:
  case CK_U64:
  case CK_HASH:
  case CK_CHAR: return LLVMConstInt(type, v->rows ? rows_here(c, v->is.table) - 1 : v->is.u, false);
  case CK_I32:
  case CK_I64: return LLVMConstInt(type, (uint64_t)v->is.i, true);
  case CK_F64: return LLVMConstReal(type, v->is.f);
  case CK_TEXT: return text(l, v->is.text);
  case CK_TEXTS:
  case CK_REF: return table_value(c, v->is.table);
  case CK_FUNCTION: return v->is.u < c->im->function.n ? c->function[v->is.u] : LLVMConstNull(type);
  case CK_RECORD: return row_value(c, m->record, v->is.row);
  case CK_NONE: break;
  }
  ICE("a cell without a kind");
}

static LLVMValueRef array(Llvm *l, LLVMTypeRef type, LLVMValueRef *v, size_t n, size_t least) {
  if (n >= least) return LLVMConstArray(type, v, (unsigned)n);
  LLVMValueRef *all = ARENA_ARRAY(&l->arena, LLVMValueRef, least);
  for (size_t i = 0; i < least; i++) all[i] = i < n ? v[i] : LLVMConstNull(type);
  return LLVMConstArray(type, all, (unsigned)least);
}

static LLVMValueRef value(const Printer *c, const Member *m, const Cell *cell) {
  if (!m->count) return one_value(c, m, cell);
  LLVMValueRef *v = ARENA_ARRAY(&c->l->arena, LLVMValueRef, cell->nlist + 1);
  for (size_t i = 0; i < cell->nlist; i++) v[i] = one_value(c, m, &cell->list[i]);
  return array(c->l, type_of(c->l, m), v, cell->nlist, m->count);
}

static LLVMValueRef print_table(const Printer *c, const Table *t) {
  Llvm *l = c->l;
  LLVMValueRef *v = ARENA_ARRAY(&l->arena, LLVMValueRef, t->row.n + 1);
  size_t n = 0;
  for (size_t i = 0; i < t->row.n; i++)
    if (is_here(c, t->row.at[i].where, t->row.at[i].target)) v[n++] = value(c, &t->element, &t->row.at[i].cell);
  const char *name = t->shared ? t->name : image_llvm_name(l, c->im, t->name);
  LLVMValueRef init = t->one ? v[0] : array(l, LLVMTypeOf(v[0]), v, n, t->least), g = constant(l, name, init);
  if (t->shared)
    LLVMSetLinkage(g, LLVMExternalLinkage); // joined with the engine's declaration only while it is visible
  return g;
}

void image_llvm(Llvm *l, const Image *im, const LLVMValueRef *function, const Target *const *mine, size_t nmine) {
  Printer c = {l, im, function, mine, nmine, ARENA_ARRAY(&l->arena, LLVMValueRef, im->table.n + 1)};
  for (size_t i = 0; i < im->table.n; i++) c.table[i] = print_table(&c, im->table.at[i]);
}
