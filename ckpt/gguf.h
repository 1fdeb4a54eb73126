// gguf.h - reader of GGUF files, the format of ggml and llama.cpp (docs/gguf.md of ggml). Callers use st_open, which
// calls this.
//
//   "GGUF", u32 version, u64 tensors, u64 values
//   values:   key, u32 type, the value          a text is its length (u64) and its bytes; an array is the type of its
//   tensors:  name, u32 n, u64 dims[n],         values (u32), their number (u64), and they
//             u32 type, u64 offset              dims: the fastest first; offset: from the beginning of the data
//   zeros to a multiple of general.alignment (32 if it is not said), then the data
//
// Versions 2 and 3, which differ in what big-endian machines write. All numbers are little-endian.
//
// What llama.cpp changed when it made the file is changed back: with general.architecture "llama", the rows of q and k
// of each head were laid in turns, one of the first half and one of the second, for rotary positions that turn
// neighbours. They are read in the order in which PyTorch and transformers have them.
#ifndef SWITCHYARD_CKPT_GGUF_H
#define SWITCHYARD_CKPT_GGUF_H

#include "stfile.h"

bool gguf_is(const uint8_t *bytes, size_t n);

// Fills an empty StFile from the n bytes of a file, which must outlive it. False on error.
SY_MUST_USE bool gguf_read(StFile *f, const uint8_t *bytes, size_t n, StError *err);

#endif
