// llvm.h: the LLVM back end as the rest of the compiler sees it. A Program, lowered for the targets that llvm_targets
// names, becomes LLVM IR, bitcode, assembly, an object, or code in this process. Without LLVM the functions are there
// too and say what to install (none.c).
//
//   const Target *t[MAX_TARGETS];
//   size_t n = llvm_targets("x86_64-linux-gnu", t);                      portable, avx2, avx512
//   EmitLlvm o = {.prefix = "vit", .triple = "x86_64-linux-gnu"};
//   if (!llvm_emit(program, &o, LLVM_OBJ, &object, &err)) ...
#ifndef SY_LLVM_H
#define SY_LLVM_H

#include "codegen/program.h"

typedef enum LlvmKind { LLVM_TEXT, LLVM_BITCODE, LLVM_ASM, LLVM_OBJ } LlvmKind;
typedef struct EmitLlvm {
  const char *prefix;   // of the public names
  const char *triple;   // NULL: this machine
  const char *cpu;      // NULL: the least of the triple's family; kernels name what they need beyond it
  const char *features; // "+v,+f", or NULL
  bool glue;            // define sy_model_entry (runtime/switchyard.h) too
} EmitLlvm;

const char *llvm_missing(void); // what to install, or NULL if LLVM is there
const char *llvm_version(void); // "19.1.7"; "" without LLVM

// Targets whose kernels can run on machines of a triple, by rank. 0 with *err if the triple is unknown.
SY_MUST_USE size_t llvm_targets(const char *triple, const Target **out, const char **err);

// The module in a form of output, appended to `out`. False: *err says why (valid until the next call).
SY_MUST_USE bool llvm_emit(const Program *p, const EmitLlvm *o, LlvmKind kind, Buf *out, const char **err);

// Kernels alone, as functions that may be called from outside, for tests and for reading: NAME and NAME_tasks.
typedef struct LlvmKernel {
  const Kernel *kernel;
  const char *name;
} LlvmKernel;
SY_MUST_USE bool llvm_emit_kernels(const LlvmKernel *k, size_t n, const Target *t, const EmitLlvm *o, LlvmKind kind,
                                   Buf *out, const char **err);

// Links an object (of llvm_emit, with glue) into this process. NULL: *err says why. *handle is for llvm_unload, after
// which the model is gone.
SY_MUST_USE const void *llvm_load(const Buf *object, void **handle, const char **err); // a const sy_model *
void llvm_unload(void *handle);                                                        // NULL is allowed

#endif
