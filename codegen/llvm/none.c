// none.c: the LLVM back end where LLVM was not found when syc was built; see llvm.h.
#include "llvm.h"

const char *llvm_missing(void) {
  return "this syc was built without LLVM: install llvm-19-dev and clang-19 (or 15 to 18), then configure and build it "
         "again";
}
const char *llvm_version(void) {
  return "";
}

size_t llvm_targets(const char *triple, const Target **out, const char **err) {
  (void)triple, (void)out;
  *err = llvm_missing();
  return 0;
}

bool llvm_emit(const Program *p, const EmitLlvm *o, LlvmKind kind, Buf *out, const char **err) {
  (void)p, (void)o, (void)kind, (void)out;
  *err = llvm_missing();
  return false;
}

bool llvm_emit_kernels(const LlvmKernel *k, size_t n, const Target *t, const EmitLlvm *o, LlvmKind kind, Buf *out,
                       const char **err) {
  (void)k, (void)n, (void)t, (void)o, (void)kind, (void)out;
  *err = llvm_missing();
  return false;
}

const void *llvm_load(const Buf *object, void **handle, const char **err) {
  (void)object, (void)handle;
  *err = llvm_missing();
  return NULL;
}

void llvm_unload(void *handle) {
  (void)handle;
}
