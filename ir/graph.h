// graph.h: the graph IR. SSA over tensors; one Graph per route, one Module per model.
//
// Semantics, stated once:
//  * A Dim is  c + k * (run-time dim)  or a constant (k = 0). Every run-time dim has an upper bound in Module.dim[].
//  * Storage: the strides of a tensor come from the upper bounds of its dims, so every address is affine with constant
//    coefficients and a run-time dim is only ever a loop bound. Row-major, last axis contiguous. `pitch` (elements) may
//    widen the last axis of an intermediate tensor; route inputs and outputs are never padded.
//  * A segmented axis is a sum of named parts (vision: 197 + language: L). Part i starts at the sum of the upper bounds
//    of the parts before it.
//  * bool is one byte, 0 or 1. i32 wraps never: shapes and ids are checked. f32 follows IEEE-754, no fast-math.
//  * Broadcasting (elementwise ops) is NumPy's: align the last axes, extent 1 stretches.
//  * Values are listed in an order in which every operand stands before its user (graph_verify checks it).
//  * Writing operators change memory in place; their results are versions of it, and every read of a version comes
//    before the write that overwrites it, in any such order (effects.c; graph_verify checks it).
//
// Text form (graph_print / graph_parse are inverse to each other, byte for byte):
//   module "vit" dims { B = 1..32 } modalities { vision "A", language "B" }
//   graph @classify {
//     %1 = input "image" : f32[B,3,224,224]                                 # vit.sy:12:18
//     %2 = weight "conv_proj.weight" : f32[768,3,16,16]
//     %7 = linear %5, %6 {trans = 0} : f32[B,196,768] group 1 pitch 768 at 4096
//     output "logits" = %9
//   }
#ifndef SY_GRAPH_H
#define SY_GRAPH_H

#include "base/base.h"
#include "stage.h"

/* Element types: common/dtypes.def lists them; common/narrow.h converts between those that are kept and those that are
 * computed. */
typedef enum DType {
#define DTYPE(id, ...) DT_##id,
#include "common/dtypes.def"
#undef DTYPE
  DT_COUNT
} DType;
typedef enum DTypeKind { DK_FLOAT, DK_INT, DK_TRUTH } DTypeKind;
typedef struct DTypeInfo {
  const char *name; // "f32"
  size_t bytes;
  DTypeKind kind;
  DType computes;     // what kernels compute in: of bf16, f32
  const char *memory; // C type of an element in memory
  const char *kept;   // in safetensors
  char code;          // in the tables of a compiled model
} DTypeInfo;
extern const DTypeInfo dtype_info[DT_COUNT];
bool dtype_by_name(const char *name, DType *out); // "bf16"; false: there is none
// Is the type a way to keep numbers, which loads widen and stores round?
static inline bool dtype_is_narrow(DType t) {
  return dtype_info[t].computes != t;
}
double dtype_round(DType t, double x);     // to the nearest number of the type, half to even
uint32_t dtype_narrow(DType t, double x);  // its bits; of a narrow type
float dtype_widen(DType t, uint32_t bits); // exact
double dtype_most(DType t);                // its greatest finite number

enum { MAX_RANK = 6, MAX_SEGS = 4, MAX_DIMS = 16, MAX_MODALITIES = 16 };

typedef struct Dim {
  int64_t c;   // constant part
  int32_t k;   // factor of the run-time dim, 0 if constant
  int32_t sym; // index into Module.dim; meaningless if k == 0; DIM_SEGS: see the segments (several run-time parts)
} Dim;
enum { DIM_SEGS = -2 };
#define DIM(c_) ((Dim){(c_), 0, 0})

typedef struct Seg { // one part of a segmented axis
  int32_t modality;  // index into Module.modality
  Dim len;
} Seg;

typedef struct Type {
  DType dtype;
  uint8_t rank;
  uint8_t nseg;    // 0 = no segmented axis
  uint8_t segaxis; // which axis, if nseg
  Dim dim[MAX_RANK];
  Seg seg[MAX_SEGS];
} Type;

/* Attributes: attrs.def lists every key with its kind, so that text and structs cannot drift apart. */
typedef enum AttrKind { AK_INT, AK_FLOAT, AK_STR, AK_INTS } AttrKind;
typedef enum AttrKey {
#define ATTR(name, kind, doc) A_##name,
#include "attrs.def"
#undef ATTR
  ATTR_COUNT
} AttrKey;
typedef struct AttrInfo {
  const char *name;
  AttrKind kind;
  const char *doc;
} AttrInfo;
extern const AttrInfo attr_info[ATTR_COUNT];

typedef struct Attr {
  AttrKey key;
  int64_t i;        // AK_INT
  double f;         // AK_FLOAT; printed as %a
  const char *s;    // AK_STR
  const int64_t *v; // AK_INTS
  size_t nv;
} Attr;

/* Operators: ops.def is the only list. */
typedef enum Op {
  OP_none,
#define GOP(name, nargs, required, optional, flags, shape, fold, grad, emit, call, doc) OP_##name,
#include "ops.def"
#undef GOP
  OP_COUNT
} Op;

enum { // flags of an operator; passes ask these, never an operator's name
  F_PURE = 1 << 0,
  F_COMMUTATIVE = 1 << 1,
  F_ELEMENTWISE = 1 << 2, // broadcasting, one output element from one element of each operand
  F_ROWWISE = 1 << 3,     // a row (last axis) of the output depends on the same row of operand 0 only (others: weights)
  F_CONTRACTION = 1 << 4, // matrix product: anchor of a GEMM group
  F_VIEW = 1 << 5,        // renames elements; no data need move if the consumer takes strides
  F_ATTENTION = 1 << 6,   // anchor of an attention group
  F_SOURCE = 1 << 7,      // input, weight, constant: no operands
  F_DATA = 1 << 8,        // reads rows chosen by data (embedding, gather)
  F_APART = 1 << 9, // its kernel goes through the elements in an order of its own: nothing is computed in front of it
  F_WINDOWS = 1 << 10, // places of an image, which a product reads where they lie
  F_ALONE = 1 << 12,   // its kernel stores what it computes itself: nothing is computed behind it
  F_WRITES = 1 << 11,  // changes operand 0 in place (effects.c); operands behind its own ones only come before it
};

typedef struct Val {
  uint32_t id; // index into Graph.value; 0 = none
} Val;
#define NO_VAL ((Val){0})

typedef struct Place { // where a materialised value lives
  uint8_t kind;        // PLACE_*
  uint32_t index;      // input/output/packed weight number
  int64_t offset;      // bytes into the arena (PLACE_ARENA)
} Place;
enum { PLACE_NONE, PLACE_ARENA, PLACE_INPUT, PLACE_OUTPUT, PLACE_WEIGHT, PLACE_ALIAS };

typedef struct Value {
  Op op;
  Type type;
  uint32_t nargs;
  Val *args;
  uint32_t nattr;
  Attr *attr; // sorted by key
  Span span;
  Span text;         // in the IR that it was read from, for errors; or none
  const char *label; // weight scope or source hint for comments, or NULL

  // Filled by passes, printed when set:
  uint32_t group; // fuse: group number, 0 = none (views, sources)
  int64_t pitch;  // layout: elements between rows of the last axis, 0 = unpadded
  Place place;    // place
  Val alias;      // place: this value is stored inside `alias` (a concat part); element offset below
  int64_t alias_offset;
  bool dead; // erased; kept so that ids stay put until graph_compact
} Value;

enum {
  ALIAS_DEPTH = 64,     // concats that a value may lie in, one in the other
  MAX_KERNEL_ARGS = 16, // tensors that a group reads and writes
  ELEMENT_ARGS = 7,     // most operands of an elementwise operator
};

/* Ports: the inputs and outputs of a route. roles.def lists what one may be for. */
typedef enum Role {
#define ROLE(name, where, pair, doc) ROLE_##name,
#include "roles.def"
#undef ROLE
  ROLE_COUNT
} Role;
enum { PORT_IN = 1, PORT_OUT = 2, PORT_INOUT = 4 };     // directions
enum { PAIR_NONE, PAIR_INPUT, PAIR_OUTPUT, PAIR_KEPT }; // KEPT: an output's pair is an input, and the other way
typedef struct RoleInfo {
  const char *name;
  unsigned where; // directions that it may have
  int pair;
  const char *doc;
} RoleInfo;
extern const RoleInfo role_info[ROLE_COUNT];

typedef struct Port {
  const char *name; // for people: nothing goes by it
  Val val;
  Span span;
  Role role;      // of an input: set before anybody asks for its residency
  uint32_t pair;  // roles with a pair: the number of the port in the other route of its generate
  Val state;      // of an output that is in and out: the value (an OP_state) that it holds before the call
  int64_t offset; // role param: bytes into the block of parameters
} Port;

/* How long what a value holds stays the same: residency.def. */
typedef enum Res {
#define RES(name, doc) RES_##name,
#include "residency.def"
#undef RES
  RES_COUNT
} Res;
typedef struct ResInfo {
  const char *name, *doc;
} ResInfo;
extern const ResInfo res_info[RES_COUNT];

typedef struct Graph {
  const char *name; // route
  const char *about;
  bool objective;   // its first output is a loss
  VEC(Value) value; // [0] is the null value
  VEC(Port) output;
  VEC(Port) input; // in order of declaration
  struct Module *module;
  struct GraphCons *cons;   // hash table of graph.c: equal pure operations are one value
  bool trial;               // a rewrite rule builds: what a shape rule refuses is no mistake of the author's
  struct GraphIndex *index; // graph_index.c: users and facts of values, kept while the graph is rewritten
} Graph;

typedef struct RuntimeDim {
  const char *name; // "B"
  int64_t lo, hi;   // inclusive
} RuntimeDim;
typedef struct Modality {
  const char *name;  // "vision"
  const char *infix; // path segment its weights carry, "" if none
} Modality;
typedef struct Prepare { // how a compiled program's command line fills an input / shows an output; see docs/language.md
  const char *name;      // input or output name
  const char *kind;      // "picture", "clip_bpe", "labels", "similarity" ...
  const char *options;   // canonical text: key = value, ...
} Prepare;

typedef struct Rename { // a weight under other names: ours = how(theirs ...); patterns as in ir/rename.h
  const char *set;      // the rules of one name are applied together
  const char *ours;
  const char *how; // "", "concat" (along the first axis), "transposed"
  const char *const *theirs;
  size_t n;
} Rename;

/* A `generate`: generate.def lists rules and options. The front end writes it, with the whole-sequence graph as its
 * start; the pass `cache` makes start and step. */
typedef enum GenerateRule {
#define RULE(name, width, doc) RULE_##name,
#include "generate.def"
  RULE_COUNT
} GenerateRule;
typedef struct RuleInfo {
  const char *name;
  int64_t width; // words of a step
  const char *doc;
} RuleInfo;
extern const RuleInfo rule_info[RULE_COUNT];

typedef struct SearchOptions {
#define OPTION_ID int64_t
#define OPTION_COUNT int64_t
#define OPTION_REAL double
#define OPTION(name, kind, absent, least, rules, needed, doc) OPTION_##kind name;
#include "generate.def"
#undef OPTION_ID
#undef OPTION_COUNT
#undef OPTION_REAL
} SearchOptions;
typedef struct SearchOption { // a member of SearchOptions
  const char *name;
  enum { OPTION_ID, OPTION_COUNT, OPTION_REAL } kind;
  double absent, least;
  unsigned rules; // bit 1 << GenerateRule: that rule has it
  bool needed;    // by the rules that have it
  size_t offset;
  const char *doc;
} SearchOption;
extern const SearchOption search_option[];
extern const size_t search_option_count;

typedef struct Generate {
  const char *name; // of the page
  Span span;
  GenerateRule rule;
  Graph *start, *step; // step NULL: `cache` has not run, and `start` gives the scores of all words
  const char *prompt;  // the input of the page that the words begin with, or NULL: option.start
  SearchOptions option;
} Generate;

typedef struct DeclaredWeight {
  const char *name;
  Span span;
} DeclaredWeight;

/* Which gradients the pass `gradient` makes of objectives: those of the weights that stage_patterns_train names.
 * in_place: gradients and next values lie as their weights do in the file of packed weights (pass `pack`), so that an
 * update goes through both side by side. */
typedef struct Train {
  const StagePattern *pattern;
  size_t n;
  const StageObjective *objective; // weights of several in one step, whose gradients are averaged; NULL: all are 1
  size_t nobjective;
  bool in_place;
} Train;

typedef struct Module {
  Arena *arena;
  Intern *names;
  Diag *diag;
  const char *name;  // entry
  const char *after; // the pass that left it so, NULL: it comes from the front end. Printed; passes go on behind it
  RuntimeDim dim[MAX_DIMS];
  size_t ndim;
  Modality modality[MAX_MODALITIES];
  size_t nmodality;
  VEC(Graph *) graph;
  VEC(Prepare) prepare;
  VEC(Generate) generate;
  VEC(Rename) rename;
  VEC(Stage) stage;               // those that were asked for
  const Train *train;             // NULL: losses alone
  struct PrecisionSet *precision; // rules by paths that are in force (precision.h), NULL: what options say. Printed
  VEC(struct PrecisionSet *) precisions; // those of the page, by name
  const char *built;            // what it was built with: "preset=base, size=224, ..", for people; NULL if unknown
  VEC(DeclaredWeight) weight;   // every weight the source declares for the routes compiled, in order; for reports
  const struct PageNames *page; // how the page speaks of what is being added (op/op.h); NULL: nobody speaks of it
} Module;

/* op table (generated from ops.def in graph.c) --------------------------------------------------------------------- */
typedef struct ShapeCtx ShapeCtx; // see op/op.h
typedef struct OpInfo {
  const char *name;
  int nargs;         // -1: one or more
  uint64_t attrs;    // set of allowed keys, bit 1 << AttrKey
  uint64_t required; // those of them that must be there
  uint32_t flags;
  const char *call; // how a page calls it, "affine(x weight bias? transposed:trans?)"; "": not at all
  const char *doc;
} OpInfo;
extern const OpInfo op_info[OP_COUNT];
Op op_by_name(const char *name); // OP_none if there is none

/* dims and types (type.c) --------------------------------------------------------------------------------------------
 */
int64_t dim_bound(const Module *m, Dim d); // largest value; for DIM_SEGS use type_extent
bool dim_equal(Dim a, Dim b);
bool dim_is_const(Dim d);
bool type_equal(const Type *a, const Type *b);                 // dtype, dims and segments
int64_t type_extent(const Module *m, const Type *t, int axis); // upper bound of an axis in elements
int64_t type_elements(const Module *m, const Type *t);         // product of the extents
int64_t type_bytes(const Module *m, const Type *t);
void type_print(Buf *b, const Module *m, const Type *t);    // f32[B,vision: 197 + language: L,768]
int64_t seg_start(const Module *m, const Type *t, int seg); // first index of a segment on its axis (by bounds)
int64_t dim_least(const Module *m, Dim d);                  // smallest value
SY_MUST_USE bool dim_add(Dim a, Dim b, Dim *out);           // false: two different run-time dims, or overflow
void dim_print(Buf *b, const Module *m, Dim d);             // B, 2*B+1, 197
// As pages write them: f32[B, vision: 197 + language: L, dim=768]. names: what to call the length of each axis, members
// may be NULL; NULL: none.
void type_speak(Buf *b, const Module *m, const Type *t, const char *const *names);
void axis_speak(Buf *b, const Module *m, const Type *t, const char *const *names, int axis);
// Makes `axis` the segmented axis of t and sets its dim to the sum of the parts (n = 0: takes the segments away).
void type_set_segs(Type *t, int axis, const Seg *seg, int n);
bool type_has_runtime_dim(const Type *t);
bool type_is_dense(const Type *t); // no run-time segment before the last: dense at run time without the segments too
const char *type_problem(const Module *m,
                         const Type *t); // why the type is ill-formed or too large (static text), or NULL

/* building and rewriting (graph.c) ------------------------------------------------------------------------------------
 */
Module *module_new(Arena *a, Intern *names, Diag *diag, const char *name);
Graph *graph_new(Module *m, const char *name);
// Adds an operation: checks operand count and attributes, infers the type through the operator's shape rule. Reports a
// user's mistake to Module.diag at `span` and returns NO_VAL. Pure operations are hash-consed.
SY_MUST_USE Val graph_add(Graph *g, Op op, const Val *args, size_t nargs, const Attr *attrs, size_t nattrs, Span span);
Val graph_input(Graph *g, const char *name, const Type *t, Span span);
SY_MUST_USE Val graph_weight(Graph *g, const char *name, const Type *t, Span span); // same name and type => same value
Val graph_scalar(Graph *g, double v, Span span);                                    // f32 scalar constant (rank 0)
void graph_output(Graph *g, const char *name, Val v, Span span);
Value *graph_value(const Graph *g, Val v); // v must not be NO_VAL; pointer valid until the next graph_add
Span value_place(const Value *v);          // for errors: in the page, or in the IR that was read
// Are they equal by what they are made of? Operands of a commutative operator may have changed places.
bool value_same(const Value *a, const Value *b);
const Attr *value_attr(const Value *v, AttrKey key); // NULL if absent
// Rows and columns between the elements of a window of `windows` or `depthwise`: 1, 1 if absent.
const int64_t *dilation_of(const Value *v);
int64_t value_int(const Value *v, AttrKey key, int64_t absent);
double value_float(const Value *v, AttrKey key, double absent);
const char *value_str(const Value *v, AttrKey key); // NULL if absent
void graph_replace(Graph *g, Val old, Val with);    // every use of old, outputs included; types must be equal
typedef struct Uses {
  uint32_t *start; // uses of value v: user[start[v] .. start[v+1])
  uint32_t *user;
} Uses;
Uses graph_uses(const Graph *g, Arena *scratch);    // outputs count as a use by value id UINT32_MAX
size_t graph_dce(Graph *g);                         // marks values that no output needs as dead; returns how many
void graph_compact(Graph *g);                       // drops the dead, sorts topologically (stable), renumbers
void graph_move(Graph *g, Val before, size_t from); // the values from `from` on come in front of `before`; renumbers
Res graph_residency(const Graph *g, Val v); // a fact that is kept; RES_const: rewrites may make it the packer's work
// Is it in the file of packed weights? All that is RES_const and has no run-time dim is, trained weights themselves,
// and the packs that are their memory.
bool graph_is_packed(const Graph *g, Val v);
// Users of v at present, in ascending order, each once; valid until the next call or change. Dead ones may be among
// them.
const uint32_t *graph_users(const Graph *g, Val v, size_t *n);

/* ports and generates (ports.c)
 * ------------------------------------------------------------------------------------------------------------ */
Port *graph_input_port(const Graph *g, Val v);            // of an OP_input
Port *graph_state_port(const Graph *g, Val state);        // the output that a state belongs to, NULL: none
unsigned port_direction(const Port *p, bool input);       // PORT_IN, ..
Role role_by_name(const char *name);                      // ROLE_COUNT if there is none
GenerateRule rule_by_name(const char *name);              // RULE_COUNT if there is none
SearchOptions search_defaults(void);                      // what counts where a page says nothing
double search_get(const SearchOptions *s, size_t option); // by number in search_option
void search_set(SearchOptions *s, size_t option, double value);
// What is wrong with the roles of a graph, or with a generate's two graphs and their pairs; NULL: nothing. In the
// module's arena.
const char *ports_problem(const Graph *g);
const char *generate_problem(const Module *m, const Generate *x);

/* reads and writes (effects.c)
 * --------------------------------------------------------------------------------------------------------------- */
bool op_takes(Op op, size_t nargs);          // may the operator have so many operands?
uint32_t value_operands(const Value *v);     // operands that it reads; those behind them only come before it
bool value_is_version(const Value *v);       // a state, or what a write made of it: memory of the state's output
const char *effects_problem(const Graph *g); // NULL if every read of what is overwritten comes before its write
// By value: it is memory that a later write changes. NULL if the graph writes nothing. A pass makes no new readers of
// it.
bool *graph_overwritten(const Graph *g, Arena *a);
// Lets reads of what is overwritten come before their writes, as operands of these where nothing else does; takes away
// what is not needed for that.
void graph_order_writes(Graph *g);

Attr attr_int(AttrKey k, int64_t i);
Attr attr_float(AttrKey k, double f);
Attr attr_str(AttrKey k, const char *s);
Attr attr_ints(AttrKey k, const int64_t *v, size_t n);

/* text (graph_print.c, graph_parse.c) and checking (graph_verify.c)
 * ---------------------------------------------------- */
void module_print(const Module *m, Buf *out);
void graph_print(const Graph *g, Buf *out);
// Parses the text form. NULL after reporting to diag; never crashes on any bytes.
SY_MUST_USE Module *module_parse(Arena *a, Intern *names, Diag *diag, const char *text, size_t n, uint32_t file);
// Checks every invariant stated above; false and *why (in the arena) at the first violation.
SY_MUST_USE bool graph_verify(const Graph *g, const char **why);
SY_MUST_USE bool module_verify(const Module *m, const char **why);
// What module_verify checks beside the graphs; a weight is trained wherever it is used, or nowhere.
SY_MUST_USE bool generates_verify(const Module *m, const char **why);
SY_MUST_USE bool weights_verify(const Module *m, const char **why);

/* reference evaluator (eval.c): naive loops, double accumulators, independent of the kernels
 * ---------------------------- */
typedef struct Tensor { // dense, row-major, at its actual (run-time) extents; segment parts are adjacent
  DType dtype;
  int rank;
  int64_t dim[MAX_RANK];
  size_t n; // elements
  union {
    double *f; // f32, f16, bf16 values as doubles
    int32_t *i;
    uint8_t *b;
  };
} Tensor;
typedef struct EvalEnv {
  Arena *arena;
  int64_t dim[MAX_DIMS];                                                  // value of each run-time dim
  bool (*weight)(void *ud, const char *name, const Type *t, Tensor *out); // fills out (already shaped); false: missing
  bool (*input)(void *ud, const char *name, const Type *t, Tensor *out);
  // May be NULL: rows that the source has of a table which differs from t in its rows only; false if it does not.
  bool (*weight_rows)(void *ud, const char *name, const Type *t, int64_t *rows);
  void *ud;
  const char *error; // set on failure
} EvalEnv;
Tensor tensor_new(Arena *a, DType dt, int rank, const int64_t *dim);
// Evaluates the values that `want` needs. out[i] receives want[i]. False with env->error set on failure.
SY_MUST_USE bool graph_eval(const Graph *g, EvalEnv *env, const Val *want, size_t nwant, Tensor *out);

/* mask expressions (mask.c): the `where` attribute of attention
 * -------------------------------------------------------- */
// Text form, prefix: (le key query) (lt key query) (eq key query) (below key S 4) (is key vision) (is query language)
// (arg 3) (not X) (and X Y) (or X Y) true. "(arg n)" reads bool operand n of the attention at [batch, key], "(below key
// S 4)" is key < S + 4 with S a run-time dim.
enum { MASK_FAR = 1 << 30 }; // furthest that positions are compared at
typedef enum MaskOp {
  MASK_TRUE,
  MASK_LE,
  MASK_LT,
  MASK_EQ,
  MASK_BELOW,
  MASK_IS,
  MASK_ARG,
  MASK_NOT,
  MASK_AND,
  MASK_OR
} MaskOp;
typedef struct Mask {
  MaskOp op;
  bool on_key;   // MASK_IS/BELOW: key (else query); MASK_LE/LT: key on the left side (else query on the left)
  int32_t index; // MASK_IS: modality; MASK_ARG: operand number; MASK_LE/LT/EQ/BELOW: added to the right side
  int32_t sym;   // MASK_BELOW: run-time dim of the right side, -1: none, the right side is `index`
  struct Mask *a, *b;
} Mask;
SY_MUST_USE Mask *mask_parse(Arena *a, const Module *m, const char *text); // NULL if malformed
const char *mask_text(Arena *a, const Module *m, const Mask *mask);
// That of an attention; MASK_TRUE where it has no `where`. Malformed text does not get into a graph.
const Mask *value_mask(Arena *a, const Module *m, const Value *attention);
bool mask_asks(const Mask *mask, bool key); // for the modality of keys, or of queries?
uint32_t mask_dims(const Mask *mask);       // the run-time dims that it compares with, as bits
Dim mask_bound(const Mask *below);          // the right side of a MASK_BELOW

// A mask of which more is known. `decide` says of an atom (no MASK_NOT, AND, OR) whether it holds in every case that is
// asked about, in none, or that this is open; parts that are decided vanish. NULL: the mask never holds; MASK_TRUE: it
// always does. Nodes are of `a` or the mask's own.
typedef enum MaskTruth { MASK_NEVER, MASK_OPEN, MASK_ALWAYS } MaskTruth;
typedef MaskTruth MaskDecide(const Mask *atom, const void *ud);
const Mask *mask_fold(Arena *a, const Mask *mask, MaskDecide *decide, const void *ud);

#endif
