// emit_kernels.h: kernel IR as the input of `syc emit`.
#ifndef SY_EMIT_KERNELS_H
#define SY_EMIT_KERNELS_H

#include "driver.h"

bool is_kernel_text(const char *text, size_t n); // does it begin with a kernel, behind comments?
// Appends the kernels of a text as kind "c" or "kir". False after an error was reported.
SY_MUST_USE bool emit_kernels(Session *s, const char *path, char *text, size_t n, const char *kind, Buf *out);

#endif
