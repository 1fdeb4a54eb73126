// pickle.h - a reader of pickles that executes nothing.
//
// A pickle is a program for a stack machine; Python's own reader calls any function the program names. This one builds
// plain values and calls nothing: the few functions that a checkpoint needs (to make a tensor, a parameter, an ordered
// dictionary) are known by name and have their meaning here; every other name is an opaque value, and calling it,
// building it or adding to it gives that opaque value again. Names that no checkpoint needs and that an attack does
// (os.system, builtins.eval ...) are an error, so that the user learns what kind of file this is.
//
// Protocols 2 to 5. Memory is in proportion to the bytes; nothing recurses. Values may contain themselves: who walks
// them has to watch for that.
#ifndef SWITCHYARD_CKPT_PICKLE_H
#define SWITCHYARD_CKPT_PICKLE_H

#include "stfile.h"

typedef enum PkKind {
  PK_NONE,
  PK_BOOL,
  PK_INT,
  PK_TEXT,    // UTF-8, not terminated, in the pickle's bytes
  PK_TUPLE,   // also torch.Size
  PK_LIST,    //
  PK_DICT,    // keys and values by turns
  PK_GLOBAL,  // a known function or type
  PK_STORAGE, // bytes of an archive entry
  PK_TENSOR,  // a view of a storage
  PK_FOREIGN, // a storage or tensor of an element type that is not known here
  PK_OTHER    // anything else: numbers with a point, bytes, sets, unknown objects
} PkKind;

typedef struct PkValue PkValue;

typedef struct PkList {
  PkValue **at;
  size_t n, cap;
} PkList;

typedef struct PkText {
  const char *s;
  size_t n; // bytes
} PkText;

struct PkValue {
  PkKind kind;
  StDtype dtype; // storage, tensor, global that is a type; ST_DTYPE_COUNT if there is no such type here
  bool open;     // for who walks the values: this one is being walked, or this text was found to be sound
  union {
    int64_t i; // bool, int
    struct {
      PkText text;           // text; storage: its key
      const PkValue *module; // text that was used as the name of something in this module, last
      PkValue *global;       // what that was
    };
    PkList list;  // tuple, list, dict
    int function; // global
    struct {      // tensor
      PkValue *storage;
      PkValue *size, *stride; // tuples of integers
      int64_t offset;         // elements
    } view;
  };
  const char *label; // global, also opaque ones: its name
  int64_t numel;     // storage: elements
  // For who reads storages and tensors, once they are known:
  const void *data;       // tensor: its bytes
  struct ZipEntry *entry; // storage: where its bytes are
};

// The value of a pickle of n bytes, which must outlive it. NULL on error, with the offset in the message.
SY_MUST_USE PkValue *pk_read(const uint8_t *bytes, size_t n, StPool *pool, StError *err);

// The value of a text key in a dictionary, the last one if it stands there twice; NULL if absent or no dictionary.
PkValue *pk_get(const PkValue *dict, const char *key);

#endif
