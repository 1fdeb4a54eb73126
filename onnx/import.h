// import.h: what the files of the ONNX import share. A model is read into items by the names of its values; its nodes,
// from first to last, become operations of the graph IR by the table import.def; what is recognised of their parts
// (import_patterns.c) takes the place of the last one, and what nobody needs any more is dropped.
#ifndef SY_ONNX_IMPORT_H
#define SY_ONNX_IMPORT_H

#include "onnx.h"
#include "onnx.pb-c.h"

enum { IMPORT_RANK = MAX_RANK, MOST_LENGTHS = 64 };

typedef enum ItemKind {
  ITEM_NONE,    // an input that a node leaves out
  ITEM_TENSOR,  // a value of the graph
  ITEM_CONST,   // elements that the file has
  ITEM_LENGTHS, // arithmetic with shapes: at most 64 numbers, which may be run-time dims
  ITEM_ERF,     // a part of a GELU: factor * x * (1 + erf(z)), or erf(z)
} ItemKind;

typedef struct Item {
  ItemKind kind;
  const char *name;
  Val val;                  // TENSOR
  DType dtype;              // CONST: f32, i32 (of any whole numbers) or bool
  int rank;                 // CONST; LENGTHS: 0 or 1
  int64_t dim[IMPORT_RANK]; // CONST
  size_t n;                 // CONST, LENGTHS
  const void *data;         // CONST: float, int64_t or uint8_t
  struct Item *turned;      // CONST: a matrix that it is the transpose of
  struct Item *same;        // another name of that item
  struct Item *whole;       // CONST of truth values: the whole numbers that a checkpoint holds instead
  const char *weight;       // CONST: the name that it has in the checkpoint, once it is a weight
  const Dim *length;        // LENGTHS
  Val z, x;                 // ERF
  double factor;
  bool plus_one;
} Item;

typedef struct ImportWeight { // a tensor of the checkpoint to be written
  const char *name;
  const Item *item;
  DType dtype;
} ImportWeight;

typedef struct Import {
  Arena *arena;
  const OnnxImport *o;
  Module *m;
  Graph *g;
  Onnx__ModelProto *model;
  const Onnx__NodeProto *node; // the one being read
  size_t at;                   // its number
  Intern names;                // of values
  Item **slot;                 // hash table by name
  size_t nslot, nitem;
  VEC(ImportWeight) weight;
  Intern weight_names;
  bool failed;
  Buf *why;
} Import;

/* read.c */
// A model from a file, in the arena. NULL: *why says what is wrong.
SY_MUST_USE Onnx__ModelProto *onnx_read(Arena *a, const char *path, Buf *why);
SY_MUST_USE Onnx__ModelProto *onnx_read_bytes(Arena *a, const void *bytes, size_t n, Buf *why);
// A tensor of the model as a constant. False: *why says what is wrong. `folder`: of external data, or NULL.
SY_MUST_USE bool onnx_read_tensor(Arena *a, const Onnx__TensorProto *t, const char *folder, Item *out, Buf *why);

/* import.c */
// Names the node and says what cannot be done; false, so that rules can return it.
bool import_fail(Import *p, const char *fmt, ...) SY_PRINTF(2, 3);
Item *import_item(Import *p, size_t input);           // operand of the node; one of kind NONE where it is left out
bool import_has(const Import *p, size_t input);       // is it given?
void import_set(Import *p, size_t output, Item item); // result of the node
Item *import_new(Import *p, const char *name);
const Onnx__AttributeProto *import_attr(const Import *p, const char *name); // NULL if absent
int64_t import_int(const Import *p, const char *name, int64_t absent);
double import_float(const Import *p, const char *name, double absent);
SY_MUST_USE bool import_ints(Import *p, const char *name, const int64_t **v, size_t *n); // false: absent

// The operand as a value of the graph: constants become weights, single numbers constants. NO_VAL after import_fail.
Val import_tensor(Import *p, size_t input);
Val import_value(Import *p, Item *item);
// The operand as lengths. NULL after import_fail.
const Item *import_lengths(Import *p, size_t input);
bool import_is_lengths(const Item *item); // may it be read so?
// One operation of the graph IR. NO_VAL after import_fail.
Val import_add(Import *p, Op op, const Val *args, size_t n, const Attr *attrs, size_t nattrs);
Val import_typed(Import *p, Op op, Val arg, const Attr *attrs, size_t nattrs, const Type *t);
const Type *import_type(const Import *p, Val v);
bool import_result(Import *p, Val v); // output 0; false if it is NO_VAL
Val import_scalar(Import *p, double value);
Item import_dims_item(Import *p, const Dim *d, size_t n, int rank);

Val import_reshape(Import *p, Val x, const Type *t);
Val import_transpose(Import *p, Val x, const int64_t *perm, int rank);
Val import_slice(Import *p, Val x, int axis, Dim start, Dim length);
// n elements of an axis of constant length from `from` on, `step` apart.
Val import_steps(Import *p, Val x, int axis, int64_t from, int64_t step, int64_t n);
// x with constants in front of an axis and behind it.
Val import_beside(Import *p, Val x, int axis, int64_t before, int64_t after, double with);
// An attribute of so many numbers of at most 65536; each is `absent` without it.
SY_MUST_USE bool import_numbers(Import *p, const char *name, size_t want, int64_t absent, int64_t *out);
double import_element(const Item *constant, size_t at);
Val import_linear(Import *p, Val x, Item *w, bool turned); // turned: w is [in,out]

typedef bool ImportFn(Import *p);
#define IMPORT(op, rule, doc) ImportFn import_##rule;
#include "import.def"
#undef IMPORT

/* import_lengths.c: shape arithmetic. *done: the operands were lengths, and the result is there. */
bool import_two_lengths(Import *p, bool *done);
bool import_where_lengths(Import *p, bool *done);
bool import_pick_lengths(Import *p);
bool import_concat_lengths(Import *p);
bool import_slice_lengths(Import *p, int64_t start, int64_t end);

/* import_patterns.c: what a value that was just made stands for; itself if nothing is recognised */
Val import_recognise(Import *p, Val v);
bool import_erf_mul(Import *p, const Item *erf, Item *other, Item *out);

/* page.c */
void onnx_page(const Graph *g, const char *about, Buf *out);

#endif
