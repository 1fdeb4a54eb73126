// emit_llvm_code.h: what the files that print the instructions of a kernel share (emit_llvm.c, emit_llvm_words.c).
#ifndef SY_EMIT_LLVM_CODE_H
#define SY_EMIT_LLVM_CODE_H

#include "emit_llvm.h"

typedef struct Code {
  Llvm *l;
  const Kernel *k;
  const Target *t; // NULL: code for no kernel
  LLVMValueRef fn;
  LLVMValueRef *value; // by instruction; of `var`: its slot on the stack
  LLVMValueRef *var;   // by index variable
  LLVMValueRef *buf;   // by buffer
  LLVMBasicBlockRef entry;
  struct Open { // loops and regions that are open
    KOp op;
    KVar var;
    int64_t step;
    LLVMBasicBlockRef head, exit;
    LLVMValueRef phi;
  } * open;
  size_t depth;
} Code;

// An operation: the value of instruction s with the operands a.
typedef LLVMValueRef OpFn(Code *c, const KIns *s, LLVMValueRef *a);

// Of a value in registers: a mask is a vector of bits.
LLVMTypeRef llvm_value_type(const Llvm *l, DType dt, uint32_t lanes);
LLVMValueRef llvm_i32(const Llvm *l, int64_t v);
LLVMValueRef llvm_whole_lanes(Code *c, const KIns *s, int64_t v); // v in each lane of s, as i32
LLVMValueRef llvm_call_intrinsic(Llvm *l, const char *name, LLVMTypeRef *overload, size_t noverload, LLVMValueRef *arg,
                                 unsigned n);
// The bits of a float as integers, and back; of the lanes of s.
LLVMValueRef llvm_bits_of(Code *c, const KIns *s, LLVMValueRef x);
LLVMValueRef llvm_float_of(Code *c, const KIns *s, LLVMValueRef bits);

// emit_llvm_words.c
OpFn op_even8, op_odd8, op_dot2, op_dot4, op_dot4u, op_low4, op_high4, op_pairs4, op_round16, op_join16, op_low16,
    op_high16, op_dot2b;

#endif
