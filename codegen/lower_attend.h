// lower_attend.h: what the kernels of attention and of its gradient share: operands, parts of the query and key axes,
// masks, packed keys and values, the scores of a tile of queries and their softmax.
//
//   keys as panels of 16 keys [slots/16][d][16], values as panels of 16 columns [e/16][slots][16] (rows would fall into
//   few sets of the first-level cache); per tile of query rows:  scores[rows][slots] = q K^T;  mask, maximum,
//   e^(s - max), one over the sum
//
// Keys are a list of parts (one, or the segments of the key axis), each with scratch slots of its own that start at a
// multiple of 16, so that a part of run-time length leaves no gap that could be read. The mask expression is simplified
// for each pair of query and key part; a pair that is fully hidden costs nothing, a fully visible one no mask work, and
// for `key <= query` over the same part the loops stop at the last key that a tile sees.
// The position of a key counts along the actual concatenation: the run-time lengths of the parts before it, plus its
// index. A query that sees no key has weights 0. `masked` adds a number to hidden keys instead of removing them.
#ifndef SY_LOWER_ATTEND_H
#define SY_LOWER_ATTEND_H

#include "lower_reduce.h"
#include "lower_tile.h"

enum { SCORE_VECTORS = SCORE_LANES / 4 }; // most vectors that partial results over keys lie in

typedef struct Part { // of the query or key axis
  Range r;
  KIdx position;    // of its first row in the whole sequence
  int32_t modality; // -1: unknown
  int64_t slot;     // keys: first scratch slot
} Part;

typedef struct HeadRows { // q, k, v, y or a cotangent: element (b, row, head * columns + c)
  KBufRef buf;
  int64_t b, row, column;
  int64_t columns; // of a head
  int64_t first;   // column of head 0
  bool shared;     // k and v: heads of their own, each for several of the queries
} HeadRows;

typedef struct Attention {
  Lowering lo;
  const Value *anchor;
  int64_t heads, kv_heads, d, e, e_pad, slots;
  double scale, cap; // cap 0: none
  const Attr *masked;
  const Mask *mask;
  HeadRows q, k, v;
  struct {
    KBufRef buf;
    int64_t b, row, n; // row 0: one row serves all queries
    bool rows;         // a row for each query
    KBufRef scratch;   // 0.0 / 1.0 per slot
    bool constant, value;
  } arg[16];
  KBufRef bias; // [heads][queries][keys] by upper bounds, in PACK_rows; or none
  int64_t bias_head, bias_row;
  bool bias_placed;  // its row is the position of the query
  KBufRef start_buf; // position of query 0, or none
  int64_t start_stride, start_constant;
  Part key[MAX_SEGS], query[MAX_SEGS];
  int nkey, nquery;
  // dropout of the weights: the words of its key, each entry's sample; `marked`: e^(s - max) of a dropped weight gets
  // a minus in front, for whoever needs it as well, else it is 0
  bool drops, marked;
  double rate;
  Source word, sample;
  int64_t word_stride, sample_stride;
  KBufRef s, inv;  // scores or their exponentials [rows][slots]; one over the sum of each row of a tile
  int rows, width; // query rows and panels of a tile
  KIdx batch, head, kv_head, start;
} Attention;

typedef struct QueryTile {
  Attention *a;
  const Part *q;
  KIdx row; // within the part
  int rows;
  KIdx at;                    // first element of its scores
  const Mask *mask[MAX_SEGS]; // per key part; NULL: hidden
  bool causal[MAX_SEGS];      // key <= query over the same part: keys up to row + rows
} QueryTile;

typedef struct SoftRow { // a row of a tile's scores
  const QueryTile *t;
  KIdx i;                  // row within the tile
  KIdx row;                // within the part
  KVal acc, most;          // maximum: of each lane, of all; its order shows in no result
  KVal sum[SCORE_VECTORS]; // key j of a part joins partial result j mod SCORE_LANES
  KVal key[3], sample;     // of the numbers that drop weights
} SoftRow;

/* setting up. The parameters are q, k, v, then what the mask asks for, the position and the bias. */
// The operands and attributes of an attention whose value is the anchor, or of its gradient.
SY_MUST_USE bool attend_begin(Attention *a);
SY_MUST_USE bool attend_operand(Attention *a, uint32_t arg, const char *name, int64_t columns, HeadRows *o);
void attend_choose_tile(Attention *a);           // rows, width, by what the target says of its tiles
void attend_scratch(Attention *a, int64_t rows); // s of so many rows, inv of a tile's, the slots of the masks
int64_t attend_queries(const Attention *a);      // rows, all parts by their upper bounds
int64_t attend_keys(const Attention *a);
int64_t attend_longest_query(const Attention *a); // part
int64_t attend_task_queries(const Attention *a);  // of a task that owns some of a head's queries; 0: it owns them all
const char *attend_sizes(const Attention *a);     // for a comment

/* packing, for the head at hand */
KIdx attend_row(const Attention *a, const HeadRows *o, KIdx row); // address of the head's first column
void attend_start(Attention *a);                                  // reads the position of query 0
void attend_pack_keys(Attention *a, const Part *p, const HeadRows *from, KBufRef to);
void attend_pack_masks(Attention *a, const Part *p);                   // those of keys alone
void attend_pack_query_masks(Attention *a, const Part *p, KIdx query); // those of queries and keys: the row of this one
typedef struct RowPanels { // rows [start, start + n) of an operand as panels of 16 columns [columns/16][pitch][16]
  const HeadRows *from;
  KIdx start, n;
  double factor; // of each element
  KBufRef to;
  int64_t pitch, first; // rows of a panel; which of them is row `start`
} RowPanels;
void attend_pack_rows(Attention *a, const RowPanels *r);
void attend_pack_values(Attention *a, const Part *p, const HeadRows *from, double factor, KBufRef to); // by slots

/* a tile of queries (lower_attend_rows.c) */
QueryTile attend_tile(Attention *a, const Part *q, KIdx row, int rows);
extern const Mask attend_all;                   // true
bool attend_sees(const QueryTile *t, int part); // some key of the part may have a weight
KIdx attend_seen_keys(const QueryTile *t, int part);
KIdx attend_bias_address(const QueryTile *t, const Part *p, KIdx key, KIdx row);

typedef struct Products { // of the rows of a tile and all keys of a part: to[at + row slots + slot]
  const HeadRows *rows;
  KBufRef panels; // of keys
  KBufRef to;
  KIdx at;
  bool scores; // times the scale, with the bias
} Products;
void attend_products(const QueryTile *t, int part, const Products *x);

// Exponentials of the scores, dropped ones as `marked` says; inv has one over their sum, which has all of them, and the
// factor of a dropout unless they are marked.
void attend_softmax(const QueryTile *t);
// For kernels that go over the scores of a row: the vectors of part i that have keys, those behind them hold weights 0;
// the address of a key's slot; adding to the partial result whose turn it is.
KBound attend_slots(const SoftRow *r, int part);
KIdx attend_slot(const SoftRow *r, const Part *p, KIdx key);
void attend_add_in_turn(Kernel *k, const KVal *sum, KVal x);

// The sum over the keys of a tile's weights times rows of columns [column, column + columns): opens a register tile and
// leaves the sums in it.
typedef struct KeySum {
  KBufRef weights; // weights[at + row slots + slot]
  KIdx at;
  KBufRef packed;           // panels of columns [..][slots][16], or
  const HeadRows *in_place; // rows where they lie; NULL: packed
  KIdx column;
  int64_t columns, pitch; // pitch: of the rows that will be stored
  int panels;
} KeySum;
void attend_sum(const QueryTile *t, const KeySum *x, RegTile *g);
void attend_prefetch(const Attention *a, const HeadRows *o, KIdx at, int64_t columns); // a row that is read later

// All columns of a head: groups of `width` panels, and what is left.
typedef void AttendColumns(KIdx column, int64_t columns, int panels, void *ud);
void attend_column_groups(const Attention *a, int64_t columns, AttendColumns *body, void *ud);

#endif
