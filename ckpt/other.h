// other.h - files that are no checkpoints and are often found in their place: pointers of git-LFS, web pages, packed
// files, formats of other frameworks. Callers use st_open, which asks this before it calls a file damaged.
#ifndef SWITCHYARD_CKPT_OTHER_H
#define SWITCHYARD_CKPT_OTHER_H

#include "stfile.h"

// Is it known what the bytes are? Then the message names it and says what to do.
bool st_is_other(const uint8_t *bytes, size_t n, StError *err);

#endif
