// llvm_jit.c: an object of llvm_emit in this process, by ORC. It is the same object that `--emit=obj` writes, so it can
// come from a cache.
#include "llvm.h"

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <string.h>

static const void *failed(LLVMErrorRef e, const char **err) {
  static _Thread_local char text[400];
  char *why = LLVMGetErrorMessage(e);
  snprintf(text, sizeof text, "%s", why);
  LLVMDisposeErrorMessage(why);
  *err = text;
  return NULL;
}

static const void *link_object(LLVMOrcLLJITRef jit, const Buf *object, const char **err) {
  LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(jit);
  LLVMOrcDefinitionGeneratorRef libc = NULL; // memcpy and its like
  LLVMErrorRef e =
      LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&libc, LLVMOrcLLJITGetGlobalPrefix(jit), NULL, NULL);
  if (e) return failed(e, err);
  LLVMOrcJITDylibAddGenerator(lib, libc);
  e = LLVMOrcLLJITAddObjectFile(jit, lib, LLVMCreateMemoryBufferWithMemoryRangeCopy(object->s, object->n, "model"));
  if (e) return failed(e, err);
  LLVMOrcExecutorAddress at = 0;
  e = LLVMOrcLLJITLookup(jit, &at, "sy_model_entry");
  if (e) return failed(e, err);
  const void *(*entry)(void) = NULL;
  uintptr_t address = (uintptr_t)at;
  memcpy(&entry, &address, sizeof entry);
  return entry();
}

const void *llvm_load(const Buf *object, void **handle, const char **err) {
  LLVMOrcLLJITRef jit = NULL;
  *handle = NULL;
  if (LLVMInitializeNativeTarget() || LLVMInitializeNativeAsmPrinter())
    return *err = "this LLVM makes no code for this machine", NULL;
  LLVMErrorRef e = LLVMOrcCreateLLJIT(&jit, NULL);
  if (e) return failed(e, err);
  const void *model = link_object(jit, object, err);
  if (model)
    *handle = jit;
  else
    llvm_unload(jit);
  return model;
}

void llvm_unload(void *handle) {
  LLVMErrorRef e = handle ? LLVMOrcDisposeLLJIT((LLVMOrcLLJITRef)handle) : NULL;
  if (e) LLVMConsumeError(e);
}
