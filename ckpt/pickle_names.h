// pickle_names.h - what a name in a pickle ("torch._utils", "_rebuild_tensor_v2") means: the rows of pickle_names.def.
//
// Names are looked up once: the table remembers every pair that was asked for. What looking up costs is counted, and
// bounded by the bytes of the pickle, because an opcode of one byte may ask for a name of a thousand.
#ifndef SWITCHYARD_CKPT_PICKLE_NAMES_H
#define SWITCHYARD_CKPT_PICKLE_NAMES_H

#include "common/must_use.h"
#include "pickle.h"

// The functions that have a meaning (pickle.c).
typedef enum PkFunction {
  PF_NONE,
  PF_FIRST,
  PF_DICT,
  PF_TENSOR,
  PF_TYPED_TENSOR,
  PF_FROM_TYPE,
  PF_FOREIGN,
  PF_COUNT
} PkFunction;

typedef struct PkName {
  const char *module, *name; // terminated
  bool known, hostile;       // else opaque
  PkFunction function;
  StDtype dtype;
  PkValue *value; // for who reads the pickle
} PkName;

typedef struct PkNames {
  StPool *pool;
  PkName **slot; // an open hash table
  size_t nslot, used;
  uint64_t work, limit; // comparisons of bytes and names so far, and at most
} PkNames;

// For a pickle of n bytes.
PkNames pk_names(StPool *pool, size_t n);

// NULL on error, with *why: "needs too much memory ..." and so on.
SY_MUST_USE PkName *pk_name_find(PkNames *t, PkText module, PkText name, const char **why);

#endif
