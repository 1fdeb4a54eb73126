// lower_util.h: what the four lowerings share: the iteration domain of a group, its operands as strides over that
// domain, loops over rows and columns, and the evaluation of one vector of elements of any member.
//
// A domain is a list of axes, the last one being the columns. An axis is one range, or several where a segmented axis
// has run-time parts (part i starts at the sum of the upper bounds before it, so ranges are where the elements are
// stored). An operand (Source) is a buffer whose element 0 is the operand's first element, with one stride per axis of
// the domain: offsets live in KernelArg, so that equal layers give equal kernels. A point is one index per axis and a
// lane count.
//
//   %7 = add(linear, %pos) : f32[B,196,768]  ->  axes B, 196, 768; source %pos: strides 0, 768, 1
#ifndef SY_LOWER_UTIL_H
#define SY_LOWER_UTIL_H

#include "program.h"

enum { LOWER_AXES = 6 };

typedef struct Range {
  int64_t start; // first index, by upper bounds
  KIdx len;      // run-time length
  int64_t bound; // greatest length
  bool fixed;    // len is the constant `bound`
} Range;
typedef struct Axis {
  int n;
  Range range[MAX_SEGS];
  int64_t extent; // by upper bounds, gaps included
} Axis;

typedef struct Source {
  Val val;
  Val data; // operator of F_DATA whose row number is part of the address; NO_VAL: none
  bool constant;
  double value; // of a constant
  DType dtype;
  KBufRef buf;
  int64_t stride[LOWER_AXES]; // per axis of the domain
  int64_t data_stride;
} Source;

typedef struct Lowering {
  Arena *arena;
  const Graph *g;
  const Module *m;
  const Group *grp;
  const Target *t;
  Lowered *out;
  Kernel *k;
  int rank; // of the domain
  Axis axis[LOWER_AXES];
  VEC(Source) src;
  Source root; // where results go
  struct {
    Val member;
    KVar row;
  } data[MAX_ID_READS]; // row numbers read for the current row
  int ndata;
  VEC(struct LowerMemo {
    uint32_t id;
    KVal value;
  })
  memo;
  bool failed; // reported to diag
} Lowering;

typedef struct Point {
  KIdx at[LOWER_AXES];
  uint32_t lanes; // Kernel.lanes or 1
  int64_t n;      // active lanes
  Val leaf;       // a member whose value is at hand, NO_VAL: none
  KVal leaf_value;
} Point;

/* setting up */
Lowering lower_begin(Arena *a, const Graph *g, const Group *grp, const Target *t, Lowered *out, const char *name);
bool lower_fail(Lowering *lo, Val at, const char *fmt, ...) SY_PRINTF(3, 4); // reports E0303; false
KIdx lower_dim(Lowering *lo, Dim d);                                         // declares the run-time dim
Axis lower_axis(Lowering *lo, const Type *t, int axis, bool by_segment);     // by_segment: one range per part, always
void lower_domain(Lowering *lo, const Type *t);                              // axes of the domain = axes of the type
bool lower_is_member(const Lowering *lo, Val v);
DType lower_computes(const Lowering *lo, Val v); // the type that its elements have in kernels
// Adds parameter `name` for an operand that is no member; its strides over its own axes go to stride[].
SY_MUST_USE bool lower_operand(Lowering *lo, Val v, const char *name, Source *s, int64_t stride[MAX_RANK]);
// The same for kernels that read memory alone: a constant is packed like a weight.
SY_MUST_USE bool lower_stored(Lowering *lo, Val v, const char *name, Source *s, int64_t stride[MAX_RANK]);
// Adds what was laid out for this kernel as parameter `name`; *buf is set where the result is true.
SY_MUST_USE bool lower_packed(Lowering *lo, const Access *a, const char *name, int64_t elements, KBufRef *buf);
// An operand of a member of type `member`, aligned with the domain, known to lower_element from then on.
SY_MUST_USE bool lower_source(Lowering *lo, Val v, const Type *member, const char *name);
SY_MUST_USE bool lower_sources(Lowering *lo); // of all members but the anchor, in order
SY_MUST_USE bool lower_root(Lowering *lo);    // the output parameter; after all sources
// Joins neighbouring axes of [0, upto) that every operand crosses in one stride, and drops axes of extent 1. An axis
// longer than `keep` is not joined to a run-time one (its tiles would no longer be constant).
void lower_collapse(Lowering *lo, int upto, int64_t keep);
// Divides a constant axis into two: [outer][inner], for every operand and the root.
void lower_split(Lowering *lo, int axis, int64_t inner);
bool lower_vectors(const Lowering *lo);        // every operand has column stride 0 or 1
const char *lower_members(const Lowering *lo); // for names: "_gelu_add", the members but the anchor
SY_MUST_USE bool lower_finish(Lowering *lo, double flops, double bytes, const char *name, const char *comment);

// How many rows a product computes, where an operand says it (linear_rows): adds the operand, which `most` rows bound;
// and the range of so many rows, read from it within a task.
SY_MUST_USE bool lower_first_rows(Lowering *lo, Val n, Dim most, KBufRef *buf);
Range lower_counted(Lowering *lo, const Range *r, KBufRef count);

/* emitting */
typedef void LowerRow(Lowering *lo, KIdx *at, void *ud); // at[]: all axes but the columns are filled
void lower_rows(Lowering *lo, int64_t rows_per_task, LowerRow *body, void *ud);
typedef void LowerColumn(Lowering *lo, KIdx col, uint32_t lanes, int64_t n, int unrolled, void *ud);
// All columns of a range: vectors, `unroll` at a time, and a tail (a partial vector, or single lanes at run time). With
// `vectors` false single lanes only. block: restricts the loop to [*block, *block + size) of the range, NULL: all of
// it.
void lower_columns(Lowering *lo, const Range *r, bool vectors, int unroll, const KIdx *block, int64_t size,
                   LowerColumn *body, void *ud);
// Rows of a range in as few tiles of at most `rows` as do, of heights that differ by one at most, whether their number
// is known or not: 77 rows are twelve tiles of 6 and one of 5, 7 rows one of 4 and one of 3. `tail`: the tile is so low
// that there are few rows. row counts within the range. block as for lower_columns; its size is a multiple of `rows`.
typedef void LowerTile(Lowering *lo, KIdx row, int rows, bool tail, void *ud);
void lower_tiles(Lowering *lo, const Range *r, int rows, const KIdx *block, int64_t size, LowerTile *body, void *ud);
// Says that the kernel takes the row numbers of `ids` from a buffer: see IdRead. False: too many, reported.
SY_MUST_USE bool lower_ids(Lowering *lo, Val member, Val ids, KBufRef from, const int64_t *stride, Dim limit);
// Rows of an axis as a limit of row numbers: several run-time parts by their bounds, as they are stored.
Dim lower_row_count(const Lowering *lo, const Type *t, int axis);
void lower_data(Lowering *lo, const KIdx *at); // reads the row numbers of embeddings and gathers
KIdx lower_address(const Lowering *lo, const Source *s, const Point *p);
KVal lower_load(Lowering *lo, const Source *s, const Point *p);
KVal lower_element(Lowering *lo, const Point *p, Val v);  // value of a member or operand
void lower_store(Lowering *lo, const Point *p, KVal v);   // to the root
KVal lower_first(Lowering *lo, int64_t n);                // mask of the first n lanes
KVal lower_in(Lowering *lo, KVal scalar, uint32_t lanes); // a scalar in `lanes` lanes

// Vector code of the elementwise operators (lower_map.c); the operands have the operator's types, bools as masks.
typedef KVal EmitFn(Kernel *k, const Value *v, const KVal *arg);
#define GOP(name, nargs, required, optional, flags, shape, fold, grad, emit, call, doc) EmitFn emit_##emit;
#include "ir/ops.def"
#undef GOP
extern EmitFn *const lower_emit[OP_COUNT];

#endif
