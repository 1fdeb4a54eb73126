// image_llvm.h: the tables of an Image as LLVM constants.
#ifndef SY_IMAGE_LLVM_H
#define SY_IMAGE_LLVM_H

#include "codegen/image.h"
#include "emit_llvm.h"

// Every table as a global constant of l->module, by the name that the engine gives it if it is shared. `function`: by
// Image.function. `mine`: targets of the processor's family.
void image_llvm(Llvm *l, const Image *im, const LLVMValueRef *function, const Target *const *mine, size_t nmine);
const char *image_llvm_name(Llvm *l, const Image *im, const char *name); // with the model's prefix

#endif
