// image.h: a compiled model's tables as data that any back end can print: what emit_model.c writes as C and llvm/ as
// LLVM constants is one Image, built from the Program once (image.c). A printer knows cells and records, and nothing of
// models.
//
//   Program --image_of--> Image {functions, tables of rows of cells} --image_c.c--> static const vit__step
//   vit__steps_..[]
//                                                                    --llvm/image_llvm.c--> @vit__steps_.. = internal
//                                                                    constant
//
// A record is a struct of runtime/engine or runtime/switchyard.h; records.def lists its members, for image.c checks at
// compile time that each has the type and that there are all of them, tests/unit/image.c that they are in order. A row
// sets members by name, and one that is left out is an internal error. So a new member of a struct does not compile
// until it stands in records.def, and no model is made until image.c gives it a value; no printer is touched.
//
//   ROW(im, extent, V(extent, constant, cell_int(1)), V(extent, factor, cell_int(0)), V(extent, dim, cell_uint(0)))
#ifndef SY_IMAGE_H
#define SY_IMAGE_H

#include "emit_model.h"

typedef enum CellKind { // kinds of members; the C type is checked
  CK_NONE,
  CK_U32,
  CK_MASK,   // uint32_t, a set of bits
  CK_KERNEL, // unsigned, the number of a kernel
  CK_I32,
  CK_U64,
  CK_HASH, // uint64_t, for reading in hex
  CK_I64,
  CK_F64,
  CK_CHAR,
  CK_TEXT,     // const char *
  CK_TEXTS,    // const char *const *: a table of texts
  CK_REF,      // pointer to the first row of a table
  CK_FUNCTION, // pointer to a function
  CK_RECORD,   // a struct within the struct
} CellKind;

typedef struct Record Record;
typedef struct Member {
  const char *name;
  CellKind kind;
  size_t count; // elements of an array; 0: none
  size_t offset, size;
  const Record *record; // CK_RECORD, CK_REF
} Member;
struct Record {
  const char *name;             // "step"
  const char *type, *glue_type; // "mdl__step": in a module, in a glue file
  const Member *member;
  size_t n, size, align;
};

// Shorter C for a record whose first member is `first` and whose members that are not shown are 0: NAME(shown, ..).
typedef struct RecordForm {
  const Record *record;
  uint64_t first;
  const char *first_name, *name; // "MDL__AT_IN", "IN"
  const char *shown[4];          // member names; a NULL ends them
} RecordForm;
extern const RecordForm record_forms[]; // a NULL record ends them

typedef struct Table Table;
typedef struct Cell Cell;
struct Cell {
  CellKind kind; // CK_NONE: not set. An array member: `list`
  union {
    uint64_t u; // and CK_FUNCTION: index into Image.function
    int64_t i;
    double f;
    const char *text;   // NULL is allowed
    const Table *table; // NULL: a null pointer
    const Cell *row;    // CK_RECORD: a cell for each member
  } is;
  const Cell *list; // array: elements, nlist of them; those behind are 0
  size_t nlist;
  bool rows; // CK_U32: one less than the rows of `table`, which end with an empty one
};

// Where a table, a row or a function is there: everywhere, where the target's section is compiled, where the processor
// is of its family, where it is of another family.
typedef enum Where { EVERYWHERE, WHERE_COMPILED, WHERE_FAMILY, WHERE_NOT_FAMILY } Where;
typedef struct TableRow {
  Cell cell; // CK_RECORD, CK_TEXT, or a list of one of them
  Where where;
  const Target *target;
  const char *comment; // behind the row, or NULL
} TableRow;
typedef enum TablePart { // where a C module has it
  PART_BOUNDS,
  PART_STEPS,
  PART_KERNELS,
  PART_TABLES,
  PART_ENGINE, // only where the engine is compiled ahead
} TablePart;
struct Table {
  const char *name;  // "mdl__plans"; the prefix is the model's when it is printed
  Member element;    // its kind, record, and count if a row is an array
  const char *inner; // C: size of a row that is an array ("MDL__MAX_ARGS")
  const char *size;  // C: how many rows, "" for as many as there are
  size_t least;      // rows where `size` is not known; those behind are 0
  bool one;          // a struct, no array of them
  bool shared;       // the engine declares it
  TablePart part;
  const Target *target; // PART_KERNELS
  const char *guard;    // C condition under which anything uses it, or NULL
  const char *about;    // C: a comment in front of it, or NULL
  VEC(TableRow) row;
};

typedef struct ImageFunction {
  const char *name;     // "mdl__product_8x48_avx2"
  const Kernel *k;      // (args, task, scratch)
  const Target *target; // of a kernel
  const char *tasks;    // or how many tasks it has for run-time dims, as a C expression of d[]; NULL: a kernel
  size_t kernel;        // Program.kernel, or its count for a probe
} ImageFunction;
typedef struct Image {
  const Program *p;
  const ModelNames *names;
  Arena arena;
  VEC(ImageFunction) function;
  VEC(Table *) table; // each behind those that it points to
} Image;

// image.c. The whole image of a model, for a module with its own engine (alone: the engine is linked) and, if asked
// for, for its glue.
typedef struct ImageOf {
  bool prepare; // the texts for hosts
  bool alone;   // tables that the engine needs when it is compiled ahead
  bool glue;    // mdl__glue_table: a sy_info
} ImageOf;
Image image_of(const Program *p, const ModelNames *n, const ImageOf *o);
// The sy_info of a model alone, as mdl__info_table: for a glue file in C.
Image image_of_glue(const Program *p, const ModelNames *n, const ImageOf *o);
void image_free(Image *im);

// All records, for the tests; a NULL ends them.
extern const Record *const records[];
// NULL, or what is wrong: members in their order without a gap that one could stand in.
const char *record_problem(const Record *r);

// image_c.c: the tables of a part as C, those of PART_KERNELS of one target. glue: in a glue file.
void image_c(const Image *im, TablePart part, const Target *target, bool glue, Buf *out);
// #define of each form of a record, and its end.
void image_c_forms(const Image *im, bool define, Buf *out);

#endif
