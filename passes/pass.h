// pass.h: the graph passes. One pass is one function over the module; the pipeline is the list in passes.def, with the
// reasons for its order beside it. After each pass the driver (pass.c) drops dead values, verifies, dumps if asked, and
// counts changes.
//
// What the passes leave behind, in the order of the pipeline:
//   after `pack`:   weights of products and attentions are unpacks of packs (panels.c).
//   after `fuse`:   every value is a source, a view (group 0), a concat (group 0) or a member of a group (group > 0).
//                   A group has one root: the only member used outside it; the root is what is stored. A view with a
//                   group of its own is a copy.
//   after `layout`: roots and concats have a pitch where rows are padded.
//   after `place`:  every root, concat and route output has a place: arena offset, input/output number, or an alias
//   into a
//                   concat.
#ifndef SY_PASS_H
#define SY_PASS_H

#include "ir/op/pack.h"
#include "ir/precision.h"

enum { REMAT_LEVELS = 16 };      // remat.c
enum { LOGITS_MOST = 16 << 20 }; // bytes; losses.c, blocks.c

typedef struct PassOptions {
  const char **disable; // names of passes left out (only those that are not required)
  size_t ndisable;
  const char *stop_after, *start_from; // pass names or NULL
  const Precision *precision;          // of every weight; NULL: as the model says. Module.precision says it by path
  int recompute;                       // 0 .. REMAT_LEVELS: how much a step computes again instead of keeping it
  int64_t logits;                      // bytes of logits of a loss that are kept at a time, 0: LOGITS_MOST
  bool time;                           // fill the timings
  bool verify;                         // verify after each pass (on by default in the driver)
  bool remarks;                        // report what was and was not fused, and why
  // called after each pass; `dump` decides from the name what to do with it
  void (*after)(void *ud, const char *pass, const Module *m, size_t changes, double ms);
  void *ud;
} PassOptions;

typedef size_t PassFn(Module *m, Arena *scratch, const PassOptions *o); // returns the number of changes
typedef struct Pass {
  const char *name;
  PassFn *fn;
  bool required;
  const char *about; // one line for --print-passes
} Pass;
extern const Pass pass_list[];
extern const size_t pass_count;

// Runs the pipeline. False after an error was reported to Module.diag (a verifier failure is an ICE naming the pass).
SY_MUST_USE bool passes_run(Module *m, const PassOptions *o);

typedef enum GroupKind {
  GROUP_GEMM,      // anchor F_CONTRACTION; elementwise epilogue
  GROUP_ATTENTION, // anchor F_ATTENTION
  GROUP_ROW,       // anchor F_ROWWISE, not a contraction; elementwise members before (prologue) and after (epilogue)
  GROUP_MAP,       // elementwise, data movement, gathers: every element of the root is computed on its own
} GroupKind;
typedef struct Group {
  uint32_t id;
  GroupKind kind;
  Val anchor; // NO_VAL for maps
  Val root;
  VEC(Val) member; // topological order, anchor and root included
} Group;
// Groups of a graph in execution order, read off Value.group. After `fuse`.
typedef struct GroupList {
  Group *at;
  size_t n;
} GroupList;
GroupList groups_collect(const Graph *g, Arena *a);

// Where an operand's elements are: follows views and aliases down to a materialised value or source.
// Element (i0, i1, ..) of `v` is element  offset + sum stride[d] * i_d  of the storage of `base`.
typedef struct Access {
  Val base; // root, concat, input, or what the file of packed weights holds
  int64_t offset;
  int64_t stride[MAX_RANK]; // 0 for broadcast axes
  bool ok;                  // false: the views cannot be expressed by strides (layout inserts a copy there)
} Access;
Access access_resolve(const Graph *g, Val v);

// panels.c: weights in the layouts that their readers want. A product whose kernel reads panels, and from where.
typedef struct PanelProduct {
  Access w;    // [N/16,K,16]
  Access bias; // base NO_VAL: there is none
} PanelProduct;
PackForm product_form(const Value *product);                         // of the panels that a product would read
Val product_bias(const Value *product);                              // NO_VAL: it has none
bool product_panels(const Graph *g, Val product, PanelProduct *out); // false: it is a product of another kind
// Is v a matrix read from panels? *panels: what lies in memory.
bool panels_below(const Graph *g, Val v, Val *panels, PackForm *form);
bool panels_alone(const Graph *g, Val view);           // the view is read by such products alone: it needs no strides
bool rows_with_room(const Graph *g, Val v, Access *a); // lies the bias of an attention in rows that may be overread?

// precision.c: has it more than one row? Such weights are what a precision is about.
bool type_is_table(const Type *t);
enum { MOST_LOOKED_AT = 4096 }; // values of an expression over weights that are searched for them
// What is asked for of the weights that w, read as weights, is made of: by Module.precision, where there
// is one, else the precision of the options. *rule, unless NULL: the rule that says so, or NULL.
const Precision *precision_of(const Graph *g, const PassOptions *o, Val w, PrecisionRule **rule);

// Elements of the storage of a base value (extent by upper bounds, pitch included).
int64_t storage_elements(const Graph *g, Val base);

#endif
