// safetensors.h - reader and writer of checkpoints: safetensors; for reading also PyTorch's own files (torch.h) and
// GGUF (gguf.h).
//
// Layout of a safetensors file: u64 little-endian header length N, N bytes of JSON, then the tensor data:
//   {"__metadata__":{...}, "blk.0.ln.g":{"dtype":"F32","shape":[768],"data_offsets":[0,3072]}, ...}
//
// Reader: the file is mapped read-only and nothing is copied. Opening succeeds only if the header is
// sound: every tensor has at most ST_MAX_RANK dimensions, its byte range equals
// shape x dtype, and the ranges cover the data section exactly, without hole or overlap. A malformed
// file of any kind is an error with a message, never a crash. Data need not be aligned: read it
// through memcpy or st_to_f32. Files are assumed not to shrink while they are mapped. An StFile is
// read-only after opening, so any number of threads may share it.
//
// PyTorch files (.pth .pt .bin .ckpt, written by torch.save since PyTorch 1.6) give the same StFile. Nothing in them is
// executed. They are told by their first bytes, not by their name.
//
// GGUF files give the same StFile. Tensors whose elements lie in blocks of codes have no elements that could be looked
// at one by one: they are made when st_to_f32 asks for them, exactly as ggml defines them.
//
// Writer: header first, then the tensors' bytes in the declared order, into a temporary file beside
// the target, renamed over it by st_write_end. An interrupted or failed write leaves the old target.
//
//   StError err;
//   StFile *f = st_open("weights.safetensors", &err);
//   if (!f) { fputs(err.text, stderr); return 1; }
//   const StTensor *t = st_find(f, "blk.0.ln.g");          // NULL if absent; then see st_near
//   float g[768];
//   if (t && t->rank == 1 && t->shape[0] == 768) st_to_f32(t, g, 0, 768);
//   st_close(f);
#ifndef SWITCHYARD_CKPT_SAFETENSORS_H
#define SWITCHYARD_CKPT_SAFETENSORS_H

#include "common/must_use.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ST_MAX_RANK = 8 };

// Element types; name and size in bytes come from st_dtype_name and st_dtype_size.
typedef enum { ST_F64, ST_F32, ST_F16, ST_BF16, ST_I64, ST_I32, ST_I16, ST_I8, ST_U8, ST_BOOL, ST_DTYPE_COUNT } StDtype;

// A one-line message in English, always terminated.
typedef struct {
  char text[512];
} StError;

// One tensor of an open file. Pointers live as long as the StFile.
typedef struct StTensor {
  const char *name;           // UTF-8
  StDtype dtype;              //
  int rank;                   // 0 (scalar) .. ST_MAX_RANK
  int64_t shape[ST_MAX_RANK]; // elements, outermost first; entries from rank on are 0
  const void *data;           // little-endian elements in row-major order, any alignment
  size_t bytes;               // elements x st_dtype_size
  // The name of an element type that is not known here ("F8_E4M3"), else NULL. Such a tensor can be listed, not read:
  // dtype is ST_DTYPE_COUNT, and data are not to be looked at.
  const char *foreign;
  // How the elements lie in data where that is not one after the other (GGUF), else NULL. Such a tensor is read with
  // st_to_f32 and st_to_f64 alone: dtype is ST_DTYPE_COUNT, bytes are those in the file.
  const struct StCode *code;
} StTensor;

// A value that a GGUF file says of its model: "general.architecture", "llama.block_count". An array has `count` of
// them.
typedef struct StMeta {
  const char *key;   // UTF-8 or not, without zero bytes
  const char *type;  // "u32", "string"; of an array that of its values, "array" if they are arrays again
  bool array;        //
  uint64_t count;    // 1 if it is no array
  const uint8_t *at; // where the first value begins
  uint32_t number;   // of the type, in the file
} StMeta;
typedef enum { ST_META_UINT, ST_META_INT, ST_META_REAL, ST_META_BOOL, ST_META_TEXT, ST_META_ARRAY } StMetaKind;
typedef struct StValue {
  StMetaKind kind;
  uint64_t u;       // UINT, BOOL; ARRAY: how many values
  int64_t i;        // INT
  double real;      // REAL
  bool narrow;      // REAL: it was a float
  const char *text; // TEXT: n bytes, of any value, not terminated
  size_t n;
} StValue;

// What the writer needs to know of a tensor before its data arrive.
typedef struct {
  const char *name;
  StDtype dtype;
  int rank;
  int64_t shape[ST_MAX_RANK];
} StDesc;

typedef struct StFile StFile;
typedef struct StWriter StWriter;

// ---- reading ----

// Maps and checks a file of either kind. NULL on error, with err filled (err may be NULL everywhere).
SY_MUST_USE StFile *st_open(const char *path, StError *err);

// The same, with the tensors of one dictionary of a PyTorch file: a path of keys, "state_dict_ema" or "ema.module".
// NULL chooses as torch.h says. Safetensors have no dictionaries: an error.
SY_MUST_USE StFile *st_open_state(const char *path, const char *state, StError *err);

// The same on n bytes of memory, which must outlive the StFile.
SY_MUST_USE StFile *st_open_memory(const void *bytes, size_t n, StError *err);
SY_MUST_USE StFile *st_open_memory_state(const void *bytes, size_t n, const char *state, StError *err);

// Unmaps; NULL is allowed.
void st_close(StFile *f);

// "safetensors", "PyTorch" or "GGUF".
const char *st_kind(const StFile *f);

// What the user should know of how the file was read, such as a second set of tensors that was left out; NULL if there
// is nothing.
const char *st_note(const StFile *f);

// Lets the system take back the memory of the mapped file; the data are read again from the file when needed.
void st_release(const StFile *f);

// What the file says of the model, in its order; nothing if it is no GGUF file.
size_t st_meta_count(const StFile *f);
const StMeta *st_meta_at(const StFile *f, size_t i);          // NULL if i >= st_meta_count
const StMeta *st_meta_find(const StFile *f, const char *key); // NULL if absent
// The first `most` values, or as many as there are; returns how many.
size_t st_meta_values(const StMeta *m, StValue *out, size_t most);
// general.architecture ("llama", "clip"), NULL if there is none.
const char *st_architecture(const StFile *f);

// Number of tensors.
size_t st_count(const StFile *f);

// Tensor i; NULL if i >= st_count. The order is that of the data section, or of the dictionary in a PyTorch file.
const StTensor *st_at(const StFile *f, size_t i);

// Tensor by exact name in O(log n); NULL if absent.
const StTensor *st_find(const StFile *f, const char *name);

// For "did you mean": the tensor whose name has the least edit distance to `name`, at most half of
// its length; NULL if none is that close.
const StTensor *st_near(const StFile *f, const char *name);

// Product of the shape (1 for a scalar).
int64_t st_elements(const StTensor *t);

// Converts elements [first, first + n) to float. dst has room for n. F64 rounds to nearest, F16, BF16 and
// blocks are exact. False if the range is outside the tensor or the dtype is not a float.
SY_MUST_USE bool st_to_f32(const StTensor *t, float *dst, size_t first, size_t n);

// The same to double, exact for every float type.
SY_MUST_USE bool st_to_f64(const StTensor *t, double *dst, size_t first, size_t n);

// Elements [first, first + n) of a tensor of whole numbers (I64, I32, I16, I8, U8) as int32_t. False if the range is
// outside the tensor, the dtype is another, or a number does not fit.
SY_MUST_USE bool st_to_i32(const StTensor *t, int32_t *dst, size_t first, size_t n);

// Converts n floats to F32, F16 or BF16, rounding to nearest even; dst has room for them, at any alignment. Returns how
// many finite values became infinite; SIZE_MAX if the dtype is another.
size_t st_from_f32(StDtype d, const float *src, void *dst, size_t n);

// The type that elements are read as: F32 for those in blocks ("Q4_K"), else dtype.
StDtype st_value_type(const StTensor *t);

// "F32", "Q4_K" and so on, also of types that are not known here.
const char *st_type_name(const StTensor *t);

// "F32" and so on; "?" for a value that is not a dtype.
const char *st_dtype_name(StDtype d);

// Bytes of one element; 0 for a value that is not a dtype.
bool st_dtype_by_name(const char *name, StDtype *out); // "BF16"; false: there is none
size_t st_dtype_size(StDtype d);

// Is it one of the real types, which st_to_f32 reads?
bool st_dtype_is_float(StDtype d);
bool st_dtype_is_whole(StDtype d); // a type of st_to_i32

// ---- writing ----

// Starts a file of n tensors: checks the descriptions, creates the temporary file and writes the
// header, padded with spaces so that the data section starts at a multiple of 8 bytes. NULL on error.
SY_MUST_USE StWriter *st_write_begin(const char *path, size_t n, const StDesc *descs, StError *err);

// Appends bytes of tensor data. Calls need not match tensors: the data are one stream in the declared
// order. False on an I/O error or when more arrives than was declared; the writer stays to be ended.
SY_MUST_USE bool st_write_data(StWriter *w, const void *data, size_t bytes, StError *err);

// Flushes to disk, renames over `path` and frees the writer. If anything failed or bytes are missing,
// the temporary file is removed, the target is untouched and the result is false.
SY_MUST_USE bool st_write_end(StWriter *w, StError *err);

// Removes the temporary file and frees the writer; NULL is allowed.
void st_write_abort(StWriter *w);

#endif
