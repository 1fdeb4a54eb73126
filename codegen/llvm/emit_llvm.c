// emit_llvm.c: prints one kernel as LLVM IR, for any vector width. There is no table of instructions: a value of n
// lanes is a vector <n x float>, a mask is <n x i1>, and what an operation is made of stands in ops[] below, once.
//
// The bits are those of the interpreter and of the C printer: no fast-math flag is ever set, fma is llvm.fma,
// reductions fold the upper half of the lanes onto the lower, max and min are a comparison and a select.
//
// A kernel becomes two functions: the body, whose parameters are the buffers (noalias, aligned), the dims and the task,
// and the function that the model's tables name, which loads them from `args`. The optimiser makes one of the two and
// keeps what the attributes say.
//
//   define internal void @vit_scale_avx2(ptr %args, i64 %task, ptr %scratch) {
//     %x = load ptr, ptr %args ...
//     call void @vit_scale_avx2.body(ptr %x, ptr %y, ptr %scratch, i64 %B, i64 %task)
#include "emit_llvm_code.h"

#include <string.h>

/* types and constants
 * ------------------------------------------------------------------------------------------------------------------ */
// Of an element in memory: numbers are floats or, kept in fewer bits, those bits.
static LLVMTypeRef element_type(const Llvm *l, DType dt) {
  if (dtype_info[dt].kind == DK_FLOAT && !dtype_is_narrow(dt)) return l->f32;
  return dtype_info[dt].bytes == 4 ? l->i32 : dtype_info[dt].bytes == 2 ? l->i16 : l->i8;
}

static LLVMTypeRef lanes_type(LLVMTypeRef t, uint32_t lanes) {
  return lanes > 1 ? LLVMVectorType(t, lanes) : t;
}

// Of a value in registers: a mask is a vector of bits.
LLVMTypeRef llvm_value_type(const Llvm *l, DType dt, uint32_t lanes) {
  return lanes_type(dt == DT_BOOL ? l->i1 : element_type(l, dt), lanes);
}

static LLVMValueRef word(const Llvm *l, int64_t v) {
  return LLVMConstInt(l->word, (unsigned long long)v, true);
}

LLVMValueRef llvm_i32(const Llvm *l, int64_t v) {
  return LLVMConstInt(l->i32, (unsigned long long)v, true);
}

// The first lane in all lanes.
static LLVMValueRef splat(const Llvm *l, LLVMValueRef x, uint32_t lanes) {
  if (lanes == 1) return x;
  LLVMTypeRef t = LLVMVectorType(LLVMTypeOf(x), lanes);
  LLVMValueRef one = LLVMBuildInsertElement(l->b, LLVMGetPoison(t), x, llvm_i32(l, 0), "");
  return LLVMBuildShuffleVector(l->b, one, LLVMGetPoison(t), LLVMConstNull(LLVMVectorType(l->i32, lanes)), "");
}

static LLVMValueRef vector_constant(const Llvm *l, LLVMTypeRef element, uint32_t lanes, const int64_t *v) {
  LLVMValueRef at[K_MAX_LANES];
  for (uint32_t i = 0; i < lanes; i++)
    at[i] = element == l->f32 ? LLVMConstReal(element, (double)v[i])
                              : LLVMConstInt(element, (unsigned long long)v[i], true);
  return lanes == 1 ? at[0] : LLVMConstVector(at, lanes);
}

LLVMValueRef llvm_call_intrinsic(Llvm *l, const char *name, LLVMTypeRef *overload, size_t noverload, LLVMValueRef *arg,
                                 unsigned narg) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  LLVMValueRef fn = LLVMGetIntrinsicDeclaration(l->module, id, overload, noverload);
  LLVMTypeRef type = LLVMIntrinsicGetType(l->ctx, id, overload, noverload);
  return LLVMBuildCall2(l->b, type, fn, arg, narg, "");
}

/* indices
 * -------------------------------------------------------------------------------------------------------------------------------
 */
static LLVMValueRef index_value(Code *c, const KIdx *i) {
  Llvm *l = c->l;
  LLVMValueRef sum = NULL;
  for (uint32_t t = 0; t < i->n; t++) {
    LLVMValueRef x = c->var[i->t[t].var.id];
    if (i->t[t].k != 1) x = LLVMBuildNSWMul(l->b, x, word(l, i->t[t].k), "");
    sum = sum ? LLVMBuildNSWAdd(l->b, sum, x, "") : x;
  }
  if (!sum) return word(l, i->c);
  return i->c ? LLVMBuildNSWAdd(l->b, sum, word(l, i->c), "") : sum;
}

static LLVMValueRef least(Llvm *l, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildSelect(l->b, LLVMBuildICmp(l->b, LLVMIntSLT, a, b, ""), a, b, "");
}

// See tiles_end.
static LLVMValueRef tiles_value(Code *c, const KBound *u) {
  Llvm *l = c->l;
  LLVMBuilderRef b = l->b;
  LLVMValueRef from = index_value(c, &u->from), to = index_value(c, &u->a), zero = word(l, 0);
  if (u->has_cap) to = least(l, to, index_value(c, &u->cap));
  LLVMValueRef n = LLVMBuildNSWSub(b, to, from, ""), some = LLVMBuildICmp(b, LLVMIntSGT, n, zero, "");
  n = LLVMBuildSelect(b, some, n, zero, "");
  LLVMValueRef tiles = LLVMBuildUDiv(b, LLVMBuildNSWAdd(b, n, word(l, u->most - 1), ""), word(l, u->most), "");
  tiles = LLVMBuildSelect(b, some, tiles, word(l, 1), "");
  LLVMValueRef height = LLVMBuildUDiv(b, n, tiles, ""), rows = word(l, u->align);
  LLVMValueRef higher = LLVMBuildNSWMul(b, LLVMBuildURem(b, n, tiles, ""), rows, "");
  LLVMValueRef all = LLVMBuildICmp(b, LLVMIntSLE, rows, height, "");
  LLVMValueRef part = LLVMBuildICmp(b, LLVMIntEQ, word(l, u->align - 1), height, "");
  LLVMValueRef end = LLVMBuildSelect(b, all, n, LLVMBuildSelect(b, part, higher, zero, ""), "");
  return LLVMBuildNSWAdd(b, from, end, "");
}

static LLVMValueRef bound_value(Code *c, const KBound *u) {
  Llvm *l = c->l;
  if (u->most) return tiles_value(c, u);
  LLVMValueRef x = index_value(c, &u->a);
  if (u->align > 1) {
    x = LLVMBuildUDiv(l->b, x, word(l, u->align), "");
    x = LLVMBuildNSWMul(l->b, x, word(l, u->align), "");
  }
  return u->has_cap ? least(l, x, index_value(c, &u->cap)) : x;
}

// Address of an element. A prefetch may be outside.
static LLVMValueRef address(Code *c, const KIns *s) {
  Llvm *l = c->l;
  LLVMTypeRef t = element_type(l, c->k->buf.at[s->buf.id].dtype);
  LLVMValueRef at = index_value(c, &s->idx);
  if (s->op == K_prefetch) return LLVMBuildGEP2(l->b, t, c->buf[s->buf.id], &at, 1, "");
  return LLVMBuildInBoundsGEP2(l->b, t, c->buf[s->buf.id], &at, 1, "");
}

/* operations: fn(code, instruction, operands) -> value
 * ----------------------------------------------------------------------------------------------- */

static unsigned align_of(const Code *c, const KIns *s) {
  return (unsigned)dtype_info[c->k->buf.at[s->buf.id].dtype].bytes;
}

static LLVMValueRef first_lanes(const Llvm *l, uint32_t lanes, int64_t n) {
  int64_t on[K_MAX_LANES];
  for (uint32_t i = 0; i < lanes; i++) on[i] = i < n;
  return vector_constant(l, l->i1, lanes, on);
}

static DType memory_type(const Code *c, const KIns *s) {
  return c->k->buf.at[s->buf.id].dtype;
}

static LLVMValueRef load_lanes(Code *c, const KIns *s, LLVMTypeRef element) {
  Llvm *l = c->l;
  LLVMTypeRef t = lanes_type(element, s->lanes);
  LLVMValueRef at = address(c, s);
  if (s->n == s->lanes) {
    LLVMValueRef x = LLVMBuildLoad2(l->b, t, at, s->name ? s->name : "");
    LLVMSetAlignment(x, align_of(c, s));
    return x;
  }
  LLVMTypeRef overload[] = {t, l->ptr};
  LLVMValueRef arg[] = {at, llvm_i32(l, align_of(c, s)), first_lanes(l, s->lanes, s->n), LLVMConstNull(t)};
  return llvm_call_intrinsic(l, "llvm.masked.load", overload, 2, arg, 4);
}

static LLVMValueRef op_load(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)a;
  DType mem = memory_type(c, s);
  return llvm_widened(c->l, mem, s->lanes, load_lanes(c, s, element_type(c->l, mem)));
}

static LLVMValueRef op_loadm(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)a;
  LLVMValueRef x = load_lanes(c, s, c->l->i8);
  return LLVMBuildICmp(c->l->b, LLVMIntNE, x, LLVMConstNull(LLVMTypeOf(x)), "");
}

static LLVMValueRef op_bcast(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)a;
  DType mem = memory_type(c, s);
  LLVMValueRef x = LLVMBuildLoad2(c->l->b, element_type(c->l, mem), address(c, s), s->name ? s->name : "");
  LLVMSetAlignment(x, align_of(c, s));
  return splat(c->l, llvm_widened(c->l, mem, 1, x), s->lanes);
}

static LLVMValueRef op_store(Code *c, const KIns *s, LLVMValueRef *a) {
  Llvm *l = c->l;
  LLVMValueRef x = a[0], at = address(c, s);
  if (memory_type(c, s) == DT_BOOL) x = LLVMBuildZExt(l->b, x, l->i8, "");
  x = llvm_narrowed(l, memory_type(c, s), s->lanes, x);
  if (s->n == s->lanes) {
    LLVMSetAlignment(LLVMBuildStore(l->b, x, at), align_of(c, s));
    return NULL;
  }
  LLVMTypeRef overload[] = {LLVMTypeOf(x), l->ptr};
  LLVMValueRef arg[] = {x, at, llvm_i32(l, align_of(c, s)), first_lanes(l, s->lanes, s->n)};
  llvm_call_intrinsic(l, "llvm.masked.store", overload, 2, arg, 4);
  return NULL;
}

static LLVMValueRef op_prefetch(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)a;
  Llvm *l = c->l;
  LLVMValueRef arg[] = {address(c, s), llvm_i32(l, 0), llvm_i32(l, 4 - s->n), llvm_i32(l, 1)};
  llvm_call_intrinsic(l, "llvm.prefetch", &l->ptr, 1, arg, 4);
  return NULL;
}

static LLVMValueRef op_const(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)a;
  Llvm *l = c->l;
  LLVMValueRef x = s->dtype == DT_F32 ? LLVMConstReal(l->f32, s->imm) : llvm_i32(l, (int64_t)s->imm);
  LLVMValueRef at[K_MAX_LANES];
  for (uint32_t i = 0; i < s->lanes; i++) at[i] = x;
  return s->lanes == 1 ? x : LLVMConstVector(at, s->lanes);
}

static LLVMValueRef op_iota(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)a;
  int64_t v[K_MAX_LANES];
  for (uint32_t i = 0; i < s->lanes; i++) v[i] = i;
  return vector_constant(c->l, element_type(c->l, s->dtype), s->lanes, v);
}

static LLVMValueRef op_index(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)a;
  Llvm *l = c->l;
  LLVMValueRef x = LLVMBuildIntCast2(l->b, index_value(c, &s->idx), l->i32, true, "");
  if (s->dtype == DT_F32) x = LLVMBuildSIToFP(l->b, x, l->f32, "");
  return splat(l, x, s->lanes);
}

static LLVMValueRef op_splat(Code *c, const KIns *s, LLVMValueRef *a) {
  return splat(c->l, a[0], s->lanes);
}

static bool is_vector(LLVMValueRef x) {
  return LLVMGetTypeKind(LLVMTypeOf(x)) == LLVMVectorTypeKind;
}

static LLVMValueRef op_lane0(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return is_vector(a[0]) ? LLVMBuildExtractElement(c->l->b, a[0], llvm_i32(c->l, 0), "") : a[0];
}

static LLVMValueRef binary(Code *c, const KIns *s, LLVMOpcode real, LLVMOpcode whole, LLVMValueRef *a) {
  return LLVMBuildBinOp(c->l->b, s->dtype == DT_F32 ? real : whole, a[0], a[1], s->name ? s->name : "");
}
static LLVMValueRef op_add(Code *c, const KIns *s, LLVMValueRef *a) {
  return binary(c, s, LLVMFAdd, LLVMAdd, a);
}
static LLVMValueRef op_sub(Code *c, const KIns *s, LLVMValueRef *a) {
  return binary(c, s, LLVMFSub, LLVMSub, a);
}
static LLVMValueRef op_mul(Code *c, const KIns *s, LLVMValueRef *a) {
  return binary(c, s, LLVMFMul, LLVMMul, a);
}
static LLVMValueRef op_div(Code *c, const KIns *s, LLVMValueRef *a) {
  return binary(c, s, LLVMFDiv, LLVMSDiv, a);
}

static LLVMValueRef op_xor(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return LLVMBuildXor(c->l->b, a[0], a[1], "");
}
static LLVMValueRef op_shr(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return LLVMBuildLShr(c->l->b, a[0], a[1], "");
}
static LLVMValueRef op_rotl(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  LLVMTypeRef t = LLVMTypeOf(a[0]);
  LLVMValueRef arg[] = {a[0], a[0], a[1]};
  return llvm_call_intrinsic(c->l, "llvm.fshl", &t, 1, arg, 3);
}

static LLVMValueRef op_fma(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  LLVMTypeRef t = LLVMTypeOf(a[0]);
  return llvm_call_intrinsic(c->l, "llvm.fma", &t, 1, a, 3);
}

static LLVMValueRef op_sqrt(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  LLVMTypeRef t = LLVMTypeOf(a[0]);
  return llvm_call_intrinsic(c->l, "llvm.sqrt", &t, 1, a, 1);
}

static LLVMValueRef compare(Code *c, LLVMRealPredicate real, LLVMIntPredicate whole, LLVMValueRef a, LLVMValueRef b) {
  LLVMTypeRef t = LLVMTypeOf(a);
  if (is_vector(a)) t = LLVMGetElementType(t);
  return t == c->l->f32 ? LLVMBuildFCmp(c->l->b, real, a, b, "") : LLVMBuildICmp(c->l->b, whole, a, b, "");
}

static LLVMValueRef larger(Code *c, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildSelect(c->l->b, compare(c, LLVMRealOGT, LLVMIntSGT, a, b), a, b, "");
}
static LLVMValueRef op_max(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return larger(c, a[0], a[1]);
}
static LLVMValueRef op_min(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return LLVMBuildSelect(c->l->b, compare(c, LLVMRealOLT, LLVMIntSLT, a[0], a[1]), a[0], a[1], "");
}
static LLVMValueRef op_lt(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return compare(c, LLVMRealOLT, LLVMIntSLT, a[0], a[1]);
}
static LLVMValueRef op_le(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return compare(c, LLVMRealOLE, LLVMIntSLE, a[0], a[1]);
}
static LLVMValueRef op_eq(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return compare(c, LLVMRealOEQ, LLVMIntEQ, a[0], a[1]);
}

static LLVMValueRef op_and(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return LLVMBuildAnd(c->l->b, a[0], a[1], "");
}
static LLVMValueRef op_or(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return LLVMBuildOr(c->l->b, a[0], a[1], "");
}
static LLVMValueRef op_not(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return LLVMBuildNot(c->l->b, a[0], "");
}
static LLVMValueRef op_select(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  return LLVMBuildSelect(c->l->b, a[0], a[1], a[2], "");
}
static LLVMValueRef op_mtob(Code *c, const KIns *s, LLVMValueRef *a) {
  LLVMTypeRef t = llvm_value_type(c->l, s->dtype, s->lanes);
  return s->dtype == DT_F32 ? LLVMBuildUIToFP(c->l->b, a[0], t, "") : LLVMBuildZExt(c->l->b, a[0], t, "");
}

static LLVMValueRef op_cvt(Code *c, const KIns *s, LLVMValueRef *a) {
  DType from = c->k->ins.at[s->arg[0].id].dtype;
  LLVMTypeRef t = llvm_value_type(c->l, s->dtype, s->lanes);
  if (from == DT_I32 && s->dtype == DT_F32) return LLVMBuildSIToFP(c->l->b, a[0], t, "");
  LLVMTypeRef overload[] = {t, LLVMTypeOf(a[0])};
  if (from == DT_F32 && s->dtype == DT_I32) return llvm_call_intrinsic(c->l, "llvm.fptosi.sat", overload, 2, a, 1);
  if (from == DT_BOOL) return op_mtob(c, s, a);
  ICE("kernel %s: no LLVM code to convert %s to %s", c->k->name, dtype_info[from].name, dtype_info[s->dtype].name);
}

// The bits of a float as integers, and back.
LLVMValueRef llvm_bits_of(Code *c, const KIns *s, LLVMValueRef x) {
  return LLVMBuildBitCast(c->l->b, x, llvm_value_type(c->l, DT_I32, s->lanes), "");
}
LLVMValueRef llvm_float_of(Code *c, const KIns *s, LLVMValueRef bits) {
  return LLVMBuildBitCast(c->l->b, bits, llvm_value_type(c->l, DT_F32, s->lanes), "");
}
LLVMValueRef llvm_whole_lanes(Code *c, const KIns *s, int64_t v) {
  KIns all = {.op = K_const, .dtype = DT_I32, .lanes = s->lanes, .imm = (double)v};
  return op_const(c, &all, NULL);
}

// 1.5 * 2^23 + 127: adding it leaves a + 127 in the lowest bits of the sum; the shift makes them the exponent.
static LLVMValueRef op_exp2i(Code *c, const KIns *s, LLVMValueRef *a) {
  KIns magic = {.op = K_const, .dtype = DT_F32, .lanes = s->lanes, .imm = 12583039.0};
  LLVMValueRef t = LLVMBuildFAdd(c->l->b, a[0], op_const(c, &magic, NULL), "");
  return llvm_float_of(c, s, LLVMBuildShl(c->l->b, llvm_bits_of(c, s, t), llvm_whole_lanes(c, s, 23), ""));
}
static LLVMValueRef op_expo(Code *c, const KIns *s, LLVMValueRef *a) {
  LLVMValueRef e = LLVMBuildLShr(c->l->b, llvm_bits_of(c, s, a[0]), llvm_whole_lanes(c, s, 23), "");
  e = LLVMBuildSub(c->l->b, e, llvm_whole_lanes(c, s, 127), "");
  return LLVMBuildSIToFP(c->l->b, e, llvm_value_type(c->l, DT_F32, s->lanes), "");
}
static LLVMValueRef op_mant(Code *c, const KIns *s, LLVMValueRef *a) {
  LLVMValueRef m = LLVMBuildAnd(c->l->b, llvm_bits_of(c, s, a[0]), llvm_whole_lanes(c, s, 0x7fffff), "");
  return llvm_float_of(c, s, LLVMBuildOr(c->l->b, m, llvm_whole_lanes(c, s, 0x3f800000), ""));
}

static LLVMValueRef op_magn(Code *c, const KIns *s, LLVMValueRef *a) {
  return LLVMBuildAnd(c->l->b, llvm_bits_of(c, s, a[0]), llvm_whole_lanes(c, s, 0x7fffffff), "");
}
static LLVMValueRef op_real(Code *c, const KIns *s, LLVMValueRef *a) {
  return llvm_float_of(c, s, a[0]);
}

// Folds the upper half of the lanes onto the lower until one is left.
static LLVMValueRef fold_lanes(Code *c, const KIns *s, LLVMValueRef x) {
  Llvm *l = c->l;
  if (!is_vector(x)) return x;
  for (uint32_t n = LLVMGetVectorSize(LLVMTypeOf(x)) / 2; n; n /= 2) {
    int64_t low[K_MAX_LANES], high[K_MAX_LANES];
    for (uint32_t i = 0; i < n; i++) low[i] = i, high[i] = i + n;
    LLVMValueRef undef = LLVMGetPoison(LLVMTypeOf(x)), part[2];
    const int64_t *at[] = {low, high};
    for (int h = 0; h < 2; h++)
      part[h] = n == 1 ? LLVMBuildExtractElement(l->b, x, llvm_i32(l, h), "")
                       : LLVMBuildShuffleVector(l->b, x, undef, vector_constant(l, l->i32, n, at[h]), "");
    x = s->op == K_hmax ? larger(c, part[0], part[1]) : binary(c, s, LLVMFAdd, LLVMAdd, part);
  }
  return x;
}
static LLVMValueRef op_hadd(Code *c, const KIns *s, LLVMValueRef *a) {
  return fold_lanes(c, s, a[0]);
}
static LLVMValueRef op_hmax(Code *c, const KIns *s, LLVMValueRef *a) {
  return fold_lanes(c, s, a[0]);
}

/* structure
 * ----------------------------------------------------------------------------------------------------------------------------
 */
static LLVMBasicBlockRef new_block(Code *c, const char *name) {
  return LLVMAppendBasicBlockInContext(c->l->ctx, c->fn, name);
}

static LLVMValueRef op_loop(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)a;
  Llvm *l = c->l;
  const char *name = c->k->var.at[s->var.id].name;
  LLVMValueRef lo = bound_value(c, &s->range->lo), hi = bound_value(c, &s->range->hi);
  LLVMBasicBlockRef before = LLVMGetInsertBlock(l->b), head = new_block(c, arena_printf(&l->arena, "%s.loop", name)),
                    body = new_block(c, arena_printf(&l->arena, "%s.body", name)),
                    done = new_block(c, arena_printf(&l->arena, "%s.done", name));
  LLVMBuildBr(l->b, head);
  LLVMPositionBuilderAtEnd(l->b, head);
  LLVMValueRef phi = LLVMBuildPhi(l->b, l->word, name);
  LLVMAddIncoming(phi, &lo, &before, 1);
  LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntSLT, phi, hi, ""), body, done);
  LLVMPositionBuilderAtEnd(l->b, body);
  c->var[s->var.id] = phi;
  c->open[c->depth++] = (struct Open){K_loop, s->var, s->step, head, done, phi};
  return NULL;
}

static LLVMValueRef op_region(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  (void)a;
  c->open[c->depth++] = (struct Open){.op = K_region};
  return NULL;
}

static LLVMValueRef op_par(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  (void)a;
  c->open[c->depth++] = (struct Open){.op = K_par}; // its variable comes from the number of the task
  return NULL;
}

static LLVMValueRef op_end(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)s;
  (void)a;
  Llvm *l = c->l;
  struct Open *o = &c->open[--c->depth];
  if (o->op != K_loop) return NULL;
  LLVMValueRef next = LLVMBuildNSWAdd(l->b, o->phi, word(l, o->step), "");
  LLVMBasicBlockRef latch = LLVMGetInsertBlock(l->b);
  LLVMAddIncoming(o->phi, &next, &latch, 1);
  LLVMBuildBr(l->b, o->head);
  LLVMPositionBuilderAtEnd(l->b, o->exit);
  return NULL;
}

static LLVMValueRef op_let(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)a;
  c->var[s->var.id] = index_value(c, &s->idx);
  return NULL;
}

static LLVMValueRef op_ldidx(Code *c, const KIns *s, LLVMValueRef *a) {
  (void)a;
  Llvm *l = c->l;
  const KVarInfo *v = &c->k->var.at[s->var.id];
  LLVMValueRef x = LLVMBuildLoad2(l->b, l->i32, address(c, s), ""), lo = llvm_i32(l, v->lo), hi = llvm_i32(l, v->hi);
  LLVMSetAlignment(x, 4);
  x = LLVMBuildSelect(l->b, LLVMBuildICmp(l->b, LLVMIntSLT, x, lo, ""), lo, x, "");
  x = LLVMBuildSelect(l->b, LLVMBuildICmp(l->b, LLVMIntSGT, x, hi, ""), hi, x, "");
  c->var[s->var.id] = LLVMBuildIntCast2(l->b, x, l->word, true, v->name);
  return NULL;
}

// A register is a slot on the stack, in the first block so that the optimiser sees it.
static LLVMValueRef op_var(Code *c, const KIns *s, LLVMValueRef *a) {
  Llvm *l = c->l;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(l->b);
  LLVMPositionBuilderBefore(l->b, LLVMGetBasicBlockTerminator(c->entry));
  LLVMValueRef slot = LLVMBuildAlloca(l->b, llvm_value_type(l, s->dtype, s->lanes), s->name ? s->name : "");
  LLVMPositionBuilderAtEnd(l->b, here);
  LLVMBuildStore(l->b, a[0], slot);
  return slot;
}

static LLVMValueRef op_set(Code *c, const KIns *s, LLVMValueRef *a) {
  LLVMBuildStore(c->l->b, a[1], c->value[s->arg[0].id]);
  return NULL;
}

static OpFn *const ops[KOP_COUNT] = {
#define KOP(name, nargs, result, doc) [K_##name] = op_##name,
#include "ir/kops.def"
#undef KOP
};

static LLVMValueRef operand(Code *c, KVal v) {
  const KIns *s = &c->k->ins.at[v.id];
  if (s->op != K_var) return c->value[v.id];
  return LLVMBuildLoad2(c->l->b, llvm_value_type(c->l, s->dtype, s->lanes), c->value[v.id], "");
}

static bool never_runs(const Kernel *k, const KIns *s) {
  return s->op == K_loop && k->var.at[s->var.id].hi < k->var.at[s->var.id].lo;
}

static void emit_instructions(Code *c) {
  const Kernel *k = c->k;
  for (uint32_t i = 1; i < k->ins.n; i++) {
    const KIns *s = &k->ins.at[i];
    if (never_runs(k, s)) { // what is in it may lie outside of its buffers
      for (size_t depth = 1; depth;) {
        KResult r = kop_info[k->ins.at[++i].op].result;
        depth += r == KR_B;
        depth -= r == KR_E;
      }
      continue;
    }
    LLVMValueRef a[3] = {NULL, NULL, NULL};
    for (int n = s->op == K_set; n < kop_info[s->op].nargs; n++) a[n] = operand(c, s->arg[n]);
    c->value[i] = ops[s->op](c, s, a);
  }
}

/* the number of the task
 * ----------------------------------------------------------------------------------------------------------------- */
static LLVMValueRef par_count(Code *c, const KIns *s) {
  Llvm *l = c->l;
  LLVMValueRef n = LLVMBuildSub(l->b, bound_value(c, &s->range->hi), bound_value(c, &s->range->lo), "");
  n = LLVMBuildAdd(l->b, n, word(l, s->step - 1), "");
  n = LLVMBuildSelect(l->b, LLVMBuildICmp(l->b, LLVMIntSLT, n, word(l, 0), ""), word(l, 0), n, "");
  return LLVMBuildUDiv(l->b, n, word(l, s->step), "");
}

static size_t count_pars(const Kernel *k) {
  size_t n = 0;
  while (n + 1 < k->ins.n && k->ins.at[n + 1].op == K_par) n++;
  return n;
}

// The innermost par loop varies fastest.
static void emit_task(Code *c, LLVMValueRef task) {
  Llvm *l = c->l;
  size_t npar = count_pars(c->k);
  for (size_t p = npar; p > 0; p--) {
    const KIns *s = &c->k->ins.at[p];
    LLVMValueRef at = task;
    if (p > 1) {
      LLVMValueRef count = par_count(c, s);
      at = LLVMBuildURem(l->b, task, count, "");
      task = LLVMBuildUDiv(l->b, task, count, "");
    }
    if (s->step > 1) at = LLVMBuildNSWMul(l->b, at, word(l, s->step), "");
    LLVMValueRef lo = bound_value(c, &s->range->lo);
    c->var[s->var.id] = LLVMBuildNSWAdd(l->b, at, lo, c->k->var.at[s->var.id].name);
  }
}

/* functions
 * ------------------------------------------------------------------------------------------------------------------------------
 */
static Code code_begin(Llvm *l, const Kernel *k, const Target *t) {
  Code c = {.l = l, .k = k, .t = t};
  c.value = ARENA_ARRAY(&l->arena, LLVMValueRef, k->ins.n);
  c.var = ARENA_ARRAY(&l->arena, LLVMValueRef, k->var.n);
  c.buf = ARENA_ARRAY(&l->arena, LLVMValueRef, k->buf.n);
  c.open = (struct Open *)ARENA_ARRAY(&l->arena, struct Open, k->ins.n);
  return c;
}

static void add_attribute(const Llvm *l, LLVMValueRef fn, unsigned at, const char *name, uint64_t v) {
  unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
  LLVMAddAttributeAtIndex(fn, at, LLVMCreateEnumAttribute(l->ctx, kind, v));
}

static void add_text_attribute(const Llvm *l, LLVMValueRef fn, const char *key, const char *v) {
  LLVMAttributeRef a = LLVMCreateStringAttribute(l->ctx, key, (unsigned)strlen(key), v, (unsigned)strlen(v));
  LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

// avx2,fma -> +avx2,+fma
static void add_features(Llvm *l, LLVMValueRef fn, const Target *t) {
  if (l->o->cpu) add_text_attribute(l, fn, "target-cpu", l->o->cpu);
  Buf b = {0};
  if (l->o->features) buf_puts(&b, l->o->features);
  for (const char *s = t->isa->features; *s; s += strcspn(s, ",")) {
    s += *s == ',';
    buf_printf(&b, "%s+%.*s", b.n ? "," : "", (int)strcspn(s, ","), s);
  }
  if (b.n) add_text_attribute(l, fn, "target-features", arena_strndup(&l->arena, b.s, b.n));
  buf_free(&b);
}

static LLVMValueRef new_function(Llvm *l, const char *name, LLVMTypeRef type, const Target *t, unsigned line) {
  LLVMValueRef fn = LLVMAddFunction(l->module, name, type);
  LLVMSetLinkage(fn, LLVMInternalLinkage);
  add_attribute(l, fn, (unsigned)LLVMAttributeFunctionIndex, "nounwind", 0);
  if (t) add_features(l, fn, t);
  LLVMSetCurrentDebugLocation2(l->b, NULL);
  if (l->debug && line) {
    size_t n = strlen(name);
    LLVMMetadataRef sub = LLVMDIBuilderCreateFunction(l->debug, l->file, name, n, name, n, l->file, line, l->no_args,
                                                      true, true, line, LLVMDIFlagZero, true);
    LLVMSetSubprogram(fn, sub);
    LLVMSetCurrentDebugLocation2(l->b, LLVMDIBuilderCreateDebugLocation(l->ctx, line, 1, sub, NULL));
  }
  return fn;
}

// void NAME.body(ptr buffers.., ptr scratch buffers.., word dims.., word task)
static LLVMValueRef emit_body(Llvm *l, const Kernel *k, const Target *t, const char *name, unsigned line) {
  Code c = code_begin(l, k, t);
  LLVMTypeRef *type = ARENA_ARRAY(&l->arena, LLVMTypeRef, k->buf.n + k->var.n + 1);
  unsigned n = 0, dims = 0;
  for (size_t i = 1; i < k->buf.n; i++) type[n++] = l->ptr;
  for (size_t i = 1; i < k->var.n && k->var.at[i].kind == KV_DIM; i++) dims++, type[n++] = l->word;
  type[n++] = l->word;
  c.fn = new_function(l, arena_printf(&l->arena, "%s.body", name), LLVMFunctionType(l->none, type, n, false), t, line);
  add_attribute(l, c.fn, (unsigned)LLVMAttributeFunctionIndex, "alwaysinline", 0);
  unsigned at = 0;
  for (size_t i = 1; i < k->buf.n; i++, at++) {
    const KBufInfo *b = &k->buf.at[i];
    bool ours = b->role == KB_SCRATCH || b->role == KB_WEIGHT; // the caller's tensors may end before the bounds do
    c.buf[i] = LLVMGetParam(c.fn, at);
    LLVMSetValueName2(c.buf[i], b->name, strlen(b->name));
    uint64_t bytes = (uint64_t)b->n * (uint64_t)dtype_info[b->dtype].bytes;
    add_attribute(l, c.fn, at + 1, "noalias", 0);
    add_attribute(l, c.fn, at + 1, "nocapture", 0);
    add_attribute(l, c.fn, at + 1, "align", b->role == KB_SCRATCH ? 64 : (uint64_t)dtype_info[b->dtype].bytes);
    if (ours) add_attribute(l, c.fn, at + 1, "dereferenceable", bytes);
    if (b->role == KB_IN || b->role == KB_WEIGHT) add_attribute(l, c.fn, at + 1, "readonly", 0);
  }
  for (size_t i = 1; i <= dims; i++, at++) {
    c.var[i] = LLVMGetParam(c.fn, at);
    LLVMSetValueName2(c.var[i], k->var.at[i].name, strlen(k->var.at[i].name));
  }
  LLVMValueRef task = LLVMGetParam(c.fn, at);
  LLVMSetValueName2(task, "task", 4);
  c.entry = new_block(&c, "entry");
  LLVMBasicBlockRef body = new_block(&c, "body");
  LLVMPositionBuilderAtEnd(l->b, c.entry);
  LLVMBuildBr(l->b, body);
  LLVMPositionBuilderAtEnd(l->b, body);
  emit_task(&c, task);
  emit_instructions(&c);
  LLVMBuildRetVoid(l->b);
  return c.fn;
}

// A number between lo and hi at `at`.
static LLVMValueRef load_dim(Llvm *l, LLVMValueRef at, int64_t lo, int64_t hi, const char *name) {
  LLVMValueRef x = LLVMBuildLoad2(l->b, l->word, at, name);
  LLVMMetadataRef range[] = {LLVMValueAsMetadata(word(l, lo)), LLVMValueAsMetadata(word(l, hi + 1))};
  LLVMValueRef node = LLVMMetadataAsValue(l->ctx, LLVMMDNodeInContext2(l->ctx, range, 2));
  if (hi >= lo) LLVMSetMetadata(x, LLVMGetMDKindIDInContext(l->ctx, "range", 5), node);
  return x;
}

static LLVMValueRef word_at(Llvm *l, LLVMTypeRef element, LLVMValueRef base, int64_t i) {
  LLVMValueRef at = word(l, i);
  return i ? LLVMBuildInBoundsGEP2(l->b, element, base, &at, 1, "") : base;
}

LLVMValueRef emit_llvm_kernel(Llvm *l, const Kernel *k, const Target *t, const char *name, unsigned line) {
  LLVMValueRef body = emit_body(l, k, t, name, line);
  LLVMTypeRef type[] = {l->ptr, l->word, l->ptr};
  LLVMValueRef fn = new_function(l, name, LLVMFunctionType(l->none, type, 3, false), t, line);
  static const char *const names[] = {"args", "task", "scratch"};
  for (unsigned i = 0; i < 3; i++) LLVMSetValueName2(LLVMGetParam(fn, i), names[i], strlen(names[i]));
  LLVMValueRef args = LLVMGetParam(fn, 0), scratch = LLVMGetParam(fn, 2);
  LLVMPositionBuilderAtEnd(l->b, LLVMAppendBasicBlockInContext(l->ctx, fn, "entry"));
  LLVMValueRef *arg = ARENA_ARRAY(&l->arena, LLVMValueRef, k->buf.n + k->var.n + 1);
  unsigned n = 0;
  int64_t offset = 0;
  for (size_t i = 1; i < k->buf.n; i++) {
    const KBufInfo *b = &k->buf.at[i];
    if (b->role == KB_SCRATCH) {
      arg[n++] = word_at(l, l->i8, scratch, offset);
      offset += (b->n * (int64_t)dtype_info[b->dtype].bytes + 63) / 64 * 64;
    } else {
      arg[n++] = LLVMBuildLoad2(l->b, l->ptr, word_at(l, l->ptr, args, (int64_t)i - 1), b->name);
    }
  }
  LLVMValueRef dims = LLVMBuildInBoundsGEP2(l->b, l->ptr, args, &(LLVMValueRef){word(l, MAX_KERNEL_ARGS)}, 1, "dims");
  for (size_t i = 1; i < k->var.n && k->var.at[i].kind == KV_DIM; i++) {
    const KVarInfo *v = &k->var.at[i];
    arg[n++] = load_dim(l, word_at(l, l->word, dims, v->sym), v->lo, v->hi, v->name);
  }
  arg[n++] = LLVMGetParam(fn, 1);
  LLVMBuildCall2(l->b, LLVMGlobalGetValueType(body), body, arg, n, "");
  LLVMBuildRetVoid(l->b);
  return fn;
}

LLVMValueRef emit_llvm_tasks(Llvm *l, const Kernel *k, const char *name) {
  Code c = code_begin(l, k, NULL);
  c.fn = new_function(l, name, LLVMFunctionType(l->word, &l->ptr, 1, false), NULL, 0);
  LLVMPositionBuilderAtEnd(l->b, LLVMAppendBasicBlockInContext(l->ctx, c.fn, "entry"));
  LLVMValueRef n = word(l, 1), dims = LLVMGetParam(c.fn, 0);
  for (size_t i = 1; i < k->var.n && k->var.at[i].kind == KV_DIM; i++) {
    const KVarInfo *v = &k->var.at[i];
    c.var[i] = load_dim(l, word_at(l, l->word, dims, v->sym), v->lo, v->hi, v->name);
  }
  for (size_t p = 1; p <= count_pars(k); p++) n = LLVMBuildMul(l->b, n, par_count(&c, &k->ins.at[p]), "");
  LLVMBuildRet(l->b, n);
  return c.fn;
}
