// stfile.h - what the readers of this folder share: the inside of an StFile, memory with a bound, messages.
//
// Not for callers: they include safetensors.h.
#ifndef SWITCHYARD_CKPT_STFILE_H
#define SWITCHYARD_CKPT_STFILE_H

#include "safetensors.h"

struct cJSON;

// Memory that is freed at once and cannot grow above a limit, so that what a file makes us allocate stays in proportion
// to its size.
typedef struct StPool {
  struct StBlock *head;
  size_t used, limit; // bytes
} StPool;

// `bytes` of zeroed memory, 16-byte aligned. NULL if there is none or the limit is reached.
SY_MUST_USE void *st_alloc(StPool *p, size_t bytes);

// A terminated copy of n bytes; NULL as st_alloc.
SY_MUST_USE char *st_copy(StPool *p, const char *s, size_t n);

void st_pool_free(StPool *p);

// How elements lie in a file: `elements` of them in `bytes`. blocks.def has them.
typedef struct StBlocks {
  const char *name; // "Q4_K"
  uint32_t number;  // in a GGUF file
  uint32_t elements, bytes;
  StDtype dtype;                                   // of a type whose elements stand alone, else ST_DTYPE_COUNT
  void (*decode)(const uint8_t *block, float *to); // all elements of a block; NULL: they cannot be read here
} StBlocks;

enum { ST_MAX_BLOCK = 256 }; // elements

const StBlocks *st_blocks(uint32_t number); // NULL: no such type

// What is between the bytes of a tensor and its elements.
typedef struct StCode {
  const StBlocks *blocks;
  int64_t head; // rows of an attention head, if the halves of each are in turns in the file (gguf.c); else 0
} StCode;

// Elements of a tensor with a code, in range; false if their type cannot be read as floats.
bool st_code_to_f32(const StTensor *t, float *dst, size_t first, size_t n);

// n elements of a plain type, which is one of the real ones; else false.
bool st_plain_to_f32(StDtype type, const uint8_t *src, float *dst, size_t n);

// IEEE half to float, exact.
float st_half(uint16_t bits);

struct StFile {
  StTensor *tensor;        // in the order of st_at
  const StTensor **byname; // sorted by name
  size_t count;
  const char *kind; // for st_kind
  const char *note; // for st_note
  StMeta *meta;     // in the order of the file
  size_t nmeta;
  const char *architecture; // for st_architecture
  struct cJSON *json;       // owns the names of a safetensors file, else NULL
  StPool pool;              // owns the tensors and names of the other kinds
  StPool data;              // owns their data that could not be mapped
  void *map;                // mapped file, or NULL when opened from memory
  size_t bytes;             // of map
};

// Sets the message and returns false; err may be NULL.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
bool st_fail(StError *err, const char *fmt, ...);

// Gives t one more axis. *product, 1 at first, is that of the extents so far; false, with nothing changed, if it would
// overflow whatever extents of 0 there are, or if t has ST_MAX_RANK axes.
SY_MUST_USE bool st_add_axis(StTensor *t, uint64_t extent, uint64_t *product);

// Bounds nesting and the number of values of JSON text without recursion, before cJSON sees it; refuses zero bytes and
// \u0000. `what` names the text in messages ("header").
SY_MUST_USE bool st_json_prescan(const char *what, const char *s, size_t n, StError *err);

// Fills an empty StFile from the n bytes of a safetensors file, which must outlive it. False on error.
SY_MUST_USE bool st_read_header(StFile *f, const uint8_t *file, size_t n, StError *err);

// Opens a regular file for reading, never waiting; -1 on error (a pipe, a folder). *bytes: its size.
SY_MUST_USE int st_open_file(const char *path, size_t *bytes, StError *err);

// Sorts f->byname from f->tensor, f->count of them; false if two have one name.
SY_MUST_USE bool st_index_names(StFile *f, StError *err);

#endif
