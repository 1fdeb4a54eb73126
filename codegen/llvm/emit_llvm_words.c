// emit_llvm_words.c: operations on words of 32 bits that hold several numbers: codes of 8 and of 4 bits, pairs of bf16.
// Each is the target's intrinsic where its table has one, else what the interpreter does.
#include "emit_llvm_code.h"

#include <string.h>

// Part p of `bits` bits of each word, as i32.
static LLVMValueRef word_part(Code *c, const KIns *s, LLVMValueRef x, int p, int bits, bool is_signed) {
  LLVMValueRef up = LLVMBuildShl(c->l->b, x, llvm_whole_lanes(c, s, 32 - bits * (p + 1)), "");
  LLVMValueRef by = llvm_whole_lanes(c, s, 32 - bits);
  return is_signed ? LLVMBuildAShr(c->l->b, up, by, "") : LLVMBuildLShr(c->l->b, up, by, "");
}
static LLVMValueRef word_halves(Code *c, const KIns *s, LLVMValueRef x, int low) {
  LLVMValueRef a = word_part(c, s, x, low, 8, true), b = word_part(c, s, x, low + 2, 8, true);
  a = LLVMBuildAnd(c->l->b, a, llvm_whole_lanes(c, s, 0xffff), "");
  return LLVMBuildOr(c->l->b, a, LLVMBuildShl(c->l->b, b, llvm_whole_lanes(c, s, 16), ""), "");
}
LLVMValueRef op_even8(Code *c, const KIns *s, LLVMValueRef *a) {
  return word_halves(c, s, a[0], 0);
}
LLVMValueRef op_odd8(Code *c, const KIns *s, LLVMValueRef *a) {
  return word_halves(c, s, a[0], 1);
}

// The operation as the target's intrinsic of a[1] and a[2], added to a[0] in elements as these of the sum; NULL: there
// is none.
static LLVMValueRef by_intrinsic(Code *c, const KIns *s, LLVMValueRef *a) {
  Llvm *l = c->l;
  const Intrinsic *in = c->t && s->lanes == c->t->lanes ? target_intrinsic(c->t, s->op) : NULL;
  if (!in) return NULL;
  LLVMValueRef arg[] = {a[0], a[1], a[2]};
  LLVMTypeRef parts = LLVMVectorType(in->bits == 8 ? l->i8 : l->i16, 32 / in->bits * s->lanes);
  for (int k = 1; k < 3 && in->bits < 32; k++) arg[k] = LLVMBuildBitCast(l->b, arg[k], parts, "");
  LLVMValueRef y = llvm_call_intrinsic(l, in->name, NULL, 0, arg + !in->adds, in->adds ? 3 : 2);
  if (in->adds) return y;
  y = LLVMBuildAdd(l->b, LLVMBuildBitCast(l->b, a[0], LLVMTypeOf(y), ""), y, "");
  return LLVMBuildBitCast(l->b, y, LLVMTypeOf(a[0]), "");
}

// a[0] + the products of the parts of a[1] and a[2].
static LLVMValueRef dot(Code *c, const KIns *s, LLVMValueRef *a, int bits, bool is_signed) {
  Llvm *l = c->l;
  LLVMValueRef made = by_intrinsic(c, s, a);
  if (made) return made;
  LLVMValueRef sum = a[0];
  for (int p = 0; p < 32 / bits; p++) {
    LLVMValueRef x = word_part(c, s, a[1], p, bits, is_signed), y = word_part(c, s, a[2], p, bits, true);
    sum = LLVMBuildAdd(l->b, sum, LLVMBuildMul(l->b, x, y, ""), "");
  }
  return sum;
}
LLVMValueRef op_dot2(Code *c, const KIns *s, LLVMValueRef *a) {
  return dot(c, s, a, 16, true);
}
LLVMValueRef op_dot4(Code *c, const KIns *s, LLVMValueRef *a) {
  return dot(c, s, a, 8, true);
}
LLVMValueRef op_dot4u(Code *c, const KIns *s, LLVMValueRef *a) {
  return dot(c, s, a, 8, false);
}
LLVMValueRef op_low4(Code *c, const KIns *s, LLVMValueRef *a) {
  return LLVMBuildAnd(c->l->b, a[0], llvm_whole_lanes(c, s, 0x0f0f0f0f), "");
}
LLVMValueRef op_high4(Code *c, const KIns *s, LLVMValueRef *a) {
  LLVMValueRef down = LLVMBuildLShr(c->l->b, a[0], llvm_whole_lanes(c, s, 4), "");
  return LLVMBuildAnd(c->l->b, down, llvm_whole_lanes(c, s, 0x0f0f0f0f), "");
}
LLVMValueRef op_pairs4(Code *c, const KIns *s, LLVMValueRef *a) {
  Llvm *l = c->l;
  LLVMValueRef made = by_intrinsic(c, s, a), half[2];
  if (made) return made;
  for (int h = 0; h < 2; h++) {
    half[h] = word_part(c, s, a[0], h, 16, true);
    for (int p = 2 * h; p < 2 * h + 2; p++) {
      LLVMValueRef x = word_part(c, s, a[1], p, 8, true), y = word_part(c, s, a[2], p, 8, true);
      half[h] = LLVMBuildAdd(l->b, half[h], LLVMBuildMul(l->b, x, y, ""), "");
    }
  }
  half[0] = LLVMBuildAnd(l->b, half[0], llvm_whole_lanes(c, s, 0xffff), "");
  return LLVMBuildOr(l->b, half[0], LLVMBuildShl(l->b, half[1], llvm_whole_lanes(c, s, 16), ""), "");
}

LLVMValueRef op_round16(Code *c, const KIns *s, LLVMValueRef *a) {
  LLVMBuilderRef b = c->l->b;
  LLVMValueRef u = llvm_bits_of(c, s, a[0]), up = LLVMBuildLShr(b, u, llvm_whole_lanes(c, s, 16), "");
  LLVMValueRef magnitude = LLVMBuildAnd(b, u, llvm_whole_lanes(c, s, 0x7fffffff), "");
  LLVMValueRef y = LLVMBuildAdd(b, LLVMBuildAdd(b, u, llvm_whole_lanes(c, s, 0x7fff), ""),
                                LLVMBuildAnd(b, up, llvm_whole_lanes(c, s, 1), ""), "");
  LLVMValueRef nan = LLVMBuildICmp(b, LLVMIntSGT, magnitude, llvm_whole_lanes(c, s, 0x7f800000), "");
  LLVMValueRef small = LLVMBuildICmp(b, LLVMIntSLT, magnitude, llvm_whole_lanes(c, s, 0x23800000), ""); // 2^-56
  y = LLVMBuildSelect(b, nan, LLVMBuildOr(b, up, llvm_whole_lanes(c, s, 0x40), ""),
                      LLVMBuildLShr(b, y, llvm_whole_lanes(c, s, 16), ""), "");
  return LLVMBuildSelect(b, small, LLVMBuildAnd(b, up, llvm_whole_lanes(c, s, 0x8000), ""), y, "");
}
LLVMValueRef op_join16(Code *c, const KIns *s, LLVMValueRef *a) {
  Llvm *l = c->l;
  if (s->lanes == 1) {
    LLVMValueRef low = LLVMBuildAnd(l->b, a[0], llvm_whole_lanes(c, s, 0xffff), "");
    return LLVMBuildOr(l->b, low, LLVMBuildShl(l->b, a[1], llvm_whole_lanes(c, s, 16), ""), "");
  }
  LLVMTypeRef half = LLVMVectorType(l->i16, s->lanes);
  LLVMValueRef order[2 * K_MAX_LANES], low = LLVMBuildTrunc(l->b, a[0], half, "");
  for (int i = 0; i < 2 * s->lanes; i++) order[i] = llvm_i32(l, i);
  LLVMValueRef mask = LLVMConstVector(order, 2u * s->lanes);
  LLVMValueRef both = LLVMBuildShuffleVector(l->b, low, LLVMBuildTrunc(l->b, a[1], half, ""), mask, "");
  return LLVMBuildBitCast(l->b, both, llvm_value_type(l, DT_I32, s->lanes), "");
}
LLVMValueRef op_low16(Code *c, const KIns *s, LLVMValueRef *a) {
  return llvm_float_of(c, s, LLVMBuildShl(c->l->b, a[0], llvm_whole_lanes(c, s, 16), ""));
}
LLVMValueRef op_high16(Code *c, const KIns *s, LLVMValueRef *a) {
  return llvm_float_of(c, s, LLVMBuildAnd(c->l->b, a[0], llvm_whole_lanes(c, s, (int32_t)0xffff0000u), ""));
}
LLVMValueRef op_dot2b(Code *c, const KIns *s, LLVMValueRef *a) {
  Llvm *l = c->l;
  const Intrinsic *in = c->t && s->lanes == c->t->lanes ? target_intrinsic(c->t, s->op) : NULL;
  if (in) {
    LLVMTypeRef type[3]; // of the operands: words before LLVM 16, bf16 since
    LLVMGetParamTypes(LLVMIntrinsicGetType(l->ctx, LLVMLookupIntrinsicID(in->name, strlen(in->name)), NULL, 0), type);
    LLVMValueRef arg[] = {a[0], LLVMBuildBitCast(l->b, a[1], type[1], ""), LLVMBuildBitCast(l->b, a[2], type[2], "")};
    return llvm_call_intrinsic(l, in->name, NULL, 0, arg, 3);
  }
  LLVMValueRef upper = LLVMBuildFMul(l->b, op_high16(c, s, &a[1]), op_high16(c, s, &a[2]), "");
  LLVMValueRef sum = LLVMBuildFAdd(l->b, a[0], upper, "");
  return LLVMBuildFAdd(l->b, sum, LLVMBuildFMul(l->b, op_low16(c, s, &a[1]), op_low16(c, s, &a[2]), ""), "");
}
