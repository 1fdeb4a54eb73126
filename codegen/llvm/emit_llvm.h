// emit_llvm.h: what the files of the LLVM back end share. See README.md in this folder.
//
//   llvm.h            what the rest of the compiler sees: kinds of output, the JIT; the same with and without LLVM
//   emit_llvm.c       one kernel -> one LLVM function, for any width
//   emit_llvm_words.c   its operations on several numbers in a word
//   emit_llvm_narrow.c  numbers kept in 16 bits, of any width
//   emit_llvm_model.c the tables of a model and its public functions, around the engine (runtime/engine) as bitcode
//   llvm.c            targets, passes, files
//   llvm_jit.c        in this process
//   none.c            the same functions where LLVM is not there
#ifndef SY_EMIT_LLVM_H
#define SY_EMIT_LLVM_H

#include "llvm.h"

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/TargetMachine.h>

typedef struct Llvm { // one module being made
  LLVMContextRef ctx;
  LLVMModuleRef module;
  LLVMBuilderRef b;
  LLVMTargetMachineRef machine;
  LLVMTargetDataRef layout;
  LLVMTypeRef word;                                       // size_t of the target
  LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr, none; // types
  const Program *p;                                       // NULL: kernels alone
  const EmitLlvm *o;
  Arena arena;
  LLVMDIBuilderRef debug;
  LLVMMetadataRef unit, file, no_args; // debug: compile unit, file of the function made next, its type
} Llvm;

// One kernel as a function  void NAME(ptr args, word task, ptr scratch)  with internal linkage; args points to
// {[MAX_KERNEL_ARGS x ptr], [MAX_DIMS x word]}. `line`: of the page, 0 = none.
LLVMValueRef emit_llvm_kernel(Llvm *l, const Kernel *k, const Target *t, const char *name, unsigned line);
// word NAME(ptr dims): how many tasks a kernel has.
LLVMValueRef emit_llvm_tasks(Llvm *l, const Kernel *k, const char *name);

// emit_llvm_narrow.c: elements of type `mem` as loaded -> as computed with, and back. x itself if the type is not
// narrow.
LLVMValueRef llvm_widened(Llvm *l, DType mem, uint32_t lanes, LLVMValueRef x);
LLVMValueRef llvm_narrowed(Llvm *l, DType mem, uint32_t lanes, LLVMValueRef x);

// What debug information calls a file: its name without the folder.
LLVMMetadataRef emit_llvm_file(Llvm *l, const char *path);

// Everything else of a model into l->module: tables, the engine, public functions. False: *err says why.
SY_MUST_USE bool emit_llvm_model(Llvm *l, const char **err);

#endif
