// emit_llvm_narrow.c: numbers kept in 16 bits, widened after a load and rounded before a store. Integer arithmetic, the
// same as sy_f16 and the like in codegen/isa/scalar.c, so that no target needs a library for what it has no
// instruction for; LLVM finds the instructions where they are.
#include "emit_llvm.h"

typedef struct Bits { // of n lanes
  Llvm *l;
  uint32_t n;
} Bits;
static LLVMTypeRef lanes_of(Bits b, LLVMTypeRef element) {
  return b.n > 1 ? LLVMVectorType(element, b.n) : element;
}
static LLVMValueRef bits_number(Bits b, uint32_t v) {
  LLVMValueRef at[K_MAX_LANES];
  for (uint32_t i = 0; i < b.n; i++) at[i] = LLVMConstInt(b.l->i32, v, false);
  return b.n == 1 ? at[0] : LLVMConstVector(at, b.n);
}
static LLVMValueRef bits_op(Bits b, LLVMOpcode op, LLVMValueRef x, uint32_t v) {
  return LLVMBuildBinOp(b.l->b, op, x, bits_number(b, v), "");
}
static LLVMValueRef bits_add(Bits b, LLVMValueRef x, LLVMValueRef y) {
  return LLVMBuildAdd(b.l->b, x, y, "");
}
static LLVMValueRef bits_or(Bits b, LLVMValueRef x, LLVMValueRef y) {
  return LLVMBuildOr(b.l->b, x, y, "");
}
static LLVMValueRef bits_below(Bits b, LLVMValueRef x, uint32_t v, LLVMValueRef yes, LLVMValueRef no) {
  LLVMBuilderRef build = b.l->b;
  return LLVMBuildSelect(build, LLVMBuildICmp(build, LLVMIntULT, x, bits_number(b, v), ""), yes, no, "");
}
static LLVMValueRef bits_float(Bits b, LLVMValueRef x) {
  return LLVMBuildBitCast(b.l->b, x, lanes_of(b, b.l->f32), "");
}
static LLVMValueRef float_bits(Bits b, LLVMValueRef x) {
  return LLVMBuildBitCast(b.l->b, x, lanes_of(b, b.l->i32), "");
}

static LLVMValueRef widen_f16(Bits b, LLVMValueRef h) {
  LLVMBuilderRef build = b.l->b;
  LLVMValueRef a = bits_op(b, LLVMAnd, h, 0x7fff), up = bits_op(b, LLVMShl, a, 13);
  LLVMValueRef sign = bits_op(b, LLVMShl, bits_op(b, LLVMAnd, h, 0x8000), 16);
  LLVMValueRef steps = LLVMBuildSIToFP(build, a, lanes_of(b, b.l->f32), "");
  LLVMValueRef small =
      float_bits(b, LLVMBuildFMul(build, steps, bits_float(b, bits_number(b, 0x33800000)), "")); // 2^-24
  LLVMValueRef nan = bits_op(b, LLVMOr, up, 0x7fc00000), infinite = bits_op(b, LLVMAdd, up, 0x70000000);
  LLVMValueRef special = bits_below(b, a, 0x7c01, infinite, nan);
  LLVMValueRef large = bits_below(b, a, 0x7c00, bits_op(b, LLVMAdd, up, 0x38000000), special);
  return bits_or(b, bits_below(b, a, 0x400, small, large), sign);
}

static LLVMValueRef narrow_f16(Bits b, LLVMValueRef x) {
  LLVMBuilderRef build = b.l->b;
  LLVMValueRef u = float_bits(b, x), a = bits_op(b, LLVMAnd, u, 0x7fffffff);
  LLVMValueRef sign = bits_op(b, LLVMAnd, bits_op(b, LLVMLShr, u, 16), 0x8000);
  LLVMValueRef half = bits_float(b, bits_number(b, 0x3f000000)); // 0.5, whose last bit is 2^-24
  LLVMValueRef small = float_bits(b, LLVMBuildFAdd(build, bits_float(b, a), half, ""));
  small = bits_op(b, LLVMSub, small, 0x3f000000);
  LLVMValueRef odd = bits_op(b, LLVMAnd, bits_op(b, LLVMLShr, a, 13), 1);
  LLVMValueRef near = bits_op(b, LLVMSub, bits_add(b, bits_op(b, LLVMAdd, a, 0xfff), odd), 0x38000000);
  LLVMValueRef nan = bits_op(b, LLVMOr, bits_op(b, LLVMAnd, bits_op(b, LLVMLShr, a, 13), 0x1ff), 0x7e00);
  LLVMValueRef special = bits_below(b, a, 0x7f800001, bits_number(b, 0x7c00), nan);
  LLVMValueRef large = bits_below(b, a, 0x477ff000, bits_op(b, LLVMLShr, near, 13), special);
  return bits_or(b, bits_below(b, a, 0x38800000, small, large), sign);
}

static LLVMValueRef widen_bf16(Bits b, LLVMValueRef h) {
  return bits_op(b, LLVMShl, h, 16);
}

static LLVMValueRef narrow_bf16(Bits b, LLVMValueRef x) {
  LLVMValueRef u = float_bits(b, x), a = bits_op(b, LLVMAnd, u, 0x7fffffff);
  LLVMValueRef odd = bits_op(b, LLVMAnd, bits_op(b, LLVMLShr, u, 16), 1);
  LLVMValueRef near = bits_add(b, bits_op(b, LLVMAdd, u, 0x7fff), odd);
  return bits_op(b, LLVMLShr, bits_below(b, a, 0x7f800001, near, bits_op(b, LLVMOr, u, 0x400000)), 16);
}

static const struct Narrow {
  LLVMValueRef (*widen)(Bits b, LLVMValueRef bits);   // i32 lanes -> bits of f32
  LLVMValueRef (*narrow)(Bits b, LLVMValueRef value); // f32 lanes -> i32 lanes
} narrow_type[DT_COUNT] = {[DT_F16] = {widen_f16, narrow_f16}, [DT_BF16] = {widen_bf16, narrow_bf16}};

LLVMValueRef llvm_widened(Llvm *l, DType mem, uint32_t lanes, LLVMValueRef x) {
  if (!dtype_is_narrow(mem)) return x;
  Bits b = {l, lanes};
  return bits_float(b, narrow_type[mem].widen(b, LLVMBuildZExt(l->b, x, lanes_of(b, l->i32), "")));
}

LLVMValueRef llvm_narrowed(Llvm *l, DType mem, uint32_t lanes, LLVMValueRef x) {
  if (!dtype_is_narrow(mem)) return x;
  Bits b = {l, lanes};
  CHECK(dtype_info[mem].bytes == 2);
  return LLVMBuildTrunc(l->b, narrow_type[mem].narrow(b, x), lanes_of(b, l->i16), "");
}
