// elab.h: what the files of the elaborator share. Elaboration runs the program at compile time: numbers, truth values
// and dims are computed, blocks are instantiated per call, loops unrolled; tensors become graph values.
//
// Invariants: a failed expression gives CV_ERROR after exactly one report, and CV_ERROR operands are never reported
// again; recursion of the evaluator is at most ELAB_MAX_DEPTH levels, its work at most ELAB_MAX_STEPS nodes a route.
#ifndef SY_ELAB_H
#define SY_ELAB_H

#include "ast.h"
#include "common/text.h"
#include "frontend.h"
#include "ir/op/op.h"

#ifdef SY_FUZZING
enum { ELAB_MAX_STEPS = 20000 };
#else
enum { ELAB_MAX_STEPS = 2000000 };
#endif
enum {
  ELAB_MAX_DEPTH = 1200,
  ELAB_MAX_CALLS = 64,
  ELAB_MAX_REPEAT = 4096,
  ELAB_MAX_SCOPE = 400,
  ELAB_MAX_WEIGHTS = 1000000,
  ELAB_MAX_ARGS = 14
};

typedef enum CtKind {
  CV_ERROR, // reported already
  CV_NONE,  // no value (a body without result)
  CV_INT,   // integer or run-time dim: d
  CV_REAL,  // f
  CV_BOOL,  // b
  CV_STR,   // s
  CV_LIST,  // item[n]: a literal list, or the results of a block that returns several
  CV_TENSOR,
  CV_MASK,   // mask
  CV_KEY,    // the `key` of a mask expression, plus d.c
  CV_QUERY,  // the `query`
  CV_TYPE,   // type (an element type when rank 0)
  CV_LAZY,   // a weight of the model that no route has used yet: node
  CV_ABSENT, // an input that may be left out, and is
  CV_COUNT
} CtKind;

typedef struct MaskTree MaskTree;
typedef struct CtVal CtVal;
struct CtVal {
  CtKind kind;
  const char *name; // what to call it in messages (a parameter, a let), or NULL
  Dim d;
  double f;
  bool b;
  const char *s;
  const CtVal *item;
  size_t n;
  Val v;
  const MaskTree *mask;
  const Type *type;
  const Node *node;
};
struct MaskTree {
  MaskOp op;
  bool on_key;
  int32_t index; // MASK_IS: modality; comparisons: added to the right side
  int32_t sym;   // MASK_BELOW: run-time dim of the right side, or -1
  Val tensor;    // MASK_ARG
  Span span;
  const MaskTree *a, *b;
};

typedef struct DimNames {
  const char *at[MAX_RANK];
} DimNames;

typedef struct Binding {
  const char *name;
  CtVal val;
  Span span;
} Binding;
typedef struct Env {
  struct Env *up;
  VEC(Binding) var;
  bool carry; // body of repeat or if: `let` rebinds names of the enclosing body
} Env;

typedef struct Unit Unit;
typedef struct BlockDef {
  const Node *node;
  Env *env;   // where it was defined
  Unit *unit; // whose names it sees
  bool in_model;
} BlockDef;
struct Unit { // a source file
  const char *name;
  uint32_t file;
  Node *tree;
  Env *env; // its top-level lets
  VEC(BlockDef) block;
  VEC(Unit *) use;
  bool loading;
};

typedef struct WeightDecl {
  const char *key;
  Type type;
  Span span;
} WeightDecl;

typedef struct Assigned { // what stands for a weight or state from an assignment on
  const char *key;
  Val val;
  Span span;
} Assigned;
typedef struct Average { // copies of weights that follow them: before + path + behind
  const char *name;
  double rate;
  const char **root; // paths of the weights
  size_t nroot;
  const char *before, *behind;
  Span span;
} Average;

typedef struct Elab {
  Arena *arena;
  Intern *names;
  Diag *diag;
  const FrontOptions *opt;
  Module *m;
  Graph *g; // route being built, NULL outside
  VEC(Unit *) unit;
  Unit *main;
  VEC(BlockDef) model_block;
  VEC(WeightDecl) weight;
  uint32_t *weight_slot; // by key: number of the declaration + 1, 0 = free; as many as a power of two
  size_t weight_slots;
  Env *model_env;
  VEC(const Average *) average;
  VEC(StagePattern) pattern; // which weights are trained: of the stage, then of the options
  bool adapts;               // there is an `adapt` among them
  // of the objective at hand
  bool objective;
  VEC(Assigned) assigned;
  VEC(const Average *) advanced;
  const Node *entry;     // itself
  Val noise;             // its input of role `noise`, or NO_VAL
  int64_t sites, draws;  // dropouts and draws so far
  int64_t adapter_sites; // dropouts in front of adapters, which are numbered apart
  int64_t weight_sites;  // heads whose attention weights are dropped, so too
  const Average *under;  // whose copies stand for weights here, or NULL
  VEC(DimNames) dimname; // by value id of g
  PageNames page;        // the words of messages about the operation at hand
  // position of the evaluation
  Unit *unit_now;
  bool in_model; // blocks of the model are visible
  const char *scope;
  unsigned calls, depth;
  size_t steps;
  bool stopped; // a bound was exceeded: unwind
} Elab;

/* elab.c: environment, reports, statements */
extern const CtVal CT_ERROR, CT_NONE;
Diagnostic *elab_error(Elab *e, const char *code, Span at, const char *fmt, ...) SY_PRINTF(4, 5);
Env *env_new(Elab *e, Env *up, bool carry);
Binding *env_find(Env *env, const char *name);
void env_set(Elab *e, Env *env, const char *name, CtVal v, Span at);
CtVal eval_body(Elab *e, Env *env, const Node *body,
                bool *returned); // runs the statements; value of the last or of return
void eval_scoped(Elab *e, Env *env, const Path *path, const char **saved); // enters a scope; restore e->scope = *saved
const char *scope_join(Elab *e, const char *a, const char *b, Span at);
const char *path_text(Elab *e, Env *env, const Path *p);
void weight_declare(Elab *e, Env *env, const Node *n);
CtVal weight_use(Elab *e, const Node *n, Env *env, const char *scope);
void weight_note(Elab *e, const char *key, const Type *t, Span at); // the objective asks for it, too

/* elab_unit.c: files, models, entries, routes: front_compile. */
const BlockDef *block_find(const Elab *e, const char *name);
void block_names(const Elab *e, const char *name, const char **best, size_t *dist);

bool same_name(Elab *e, const Node *n, const Node *other);             // reports a second definition of one name
const Node *find_decl(const Unit *u, NodeKind kind, const char *name); // of the file; name NULL: the first. Or NULL

/* objective.c */
void objective_begin(Elab *e, const Node *n);
void objective_end(Elab *e, const Node *n); // its loss is a number; assignments become outputs of role `next`
void average_declare(Elab *e, const Node *n);
CtVal run_assign(Elab *e, Env *env, const Node *n);
CtVal eval_under(Elab *e, Env *env, const Node *n);
CtVal call_given(Elab *e, Env *env, const Node *n); // given(name)
CtVal call_advance(Elab *e, const Node *n);         // advance(average)
bool input_is_given(const Elab *e, const char *name);
Val assigned_value(Elab *e, const char *key);                     // NO_VAL: it is as it was
Val under_average(Elab *e, const char *key, Val weight, Span at); // its copy inside an `under`, else the weight

/* elab_random.c: dropout(x, p), drop_path(x, p), draw(weights) */
CtVal call_drop(Elab *e, const char *name, CtVal x, CtVal rate, Span at, Span rate_at);
CtVal call_draw(Elab *e, CtVal weights, Span at);
// The dropout of the weights of an attention with queries q: its two operands and attributes, or none where nothing is
// drawn. False after an error.
SY_MUST_USE bool draw_attention(Elab *e, Val q, int64_t heads, CtVal rate, Span rate_at, Val args[2], Attr attr[2],
                                bool *drops);

/* adapt.c: adapt "*.attn.*": rank = 8 */
void adapt_begin(Elab *e);                                  // behind stages_model: which patterns there are
Val adapt_linear(Elab *e, Val y, const Val *args, Span at); // y = linear(args ..) with its adapter, or as it is
void adapt_check(Elab *e); // do the patterns fit linears, which alone read what is adapted?

/* params.c: what a model is built with */
// The set of names that the options ask for, or else the preset (`under NAME`); NULL if neither does. False after
// reporting.
bool names_in_force(Elab *e, const Node *preset, const Node **set);
// Is the set the one that the preset is under, whose facts the preset's own come after?
bool preset_is_under(const Node *preset, const Node *set);
// Puts the parameters into model_env: default, preset, set of names (before the preset that is under it), define (the
// later wins). False after reporting.
bool bind_model(Elab *e, const Node *model, const Node *preset, const Node *set);

// Inputs of a route in an environment of their own; `except` (an interned name or NULL) is checked but becomes none.
Env *route_inputs(Elab *e, const Node *route, const char *except);

/* generate.c: `generate NAME(inputs) { words text: i32[B, L] = next_word(..)  ...  return scores }` */
bool generate_check(Elab *e, const Node *n);           // its body begins with its words
const char *generate_prompt(const Node *n);            // the input that the words start from, or NULL
bool generate_words(Elab *e, Env *env, const Node *n); // the words as an input of the graph; records the rule
void generate_scores(Elab *e, const Node *n, CtVal v); // the scores as its output

/* elab_expr.c */
CtVal eval(Elab *e, Env *env, const Node *n);
bool want_int(Elab *e, CtVal v, Span at, const char *what, int64_t lo, int64_t hi, int64_t *out); // constant integer
bool want_real(Elab *e, CtVal v, Span at, const char *what, double *out);
bool want_bool(Elab *e, CtVal v, Span at, const char *what, bool *out);
bool want_tensor(Elab *e, CtVal v, Span at, const char *what);
const char *kind_text(Elab *e, CtVal v); // "the integer dim=768", "f32[B, 197, dim=768]"
CtVal ct_int(int64_t i);
CtVal ct_dim(Dim d);
CtVal ct_real(double f);
CtVal ct_bool(bool b);
CtVal ct_tensor(Val v);
void hint_near(Elab *e, Diagnostic *g, const char *best);

/* elab_num.c: compile-time arithmetic on non-tensors */
CtVal num_binary(Elab *e, AstOp op, CtVal a, CtVal b, Span at);
CtVal num_unary(Elab *e, AstOp op, CtVal a, Span at);
bool dim_arith(AstOp op, Dim a, Dim b, Dim *out);

/* elab_type.c: declared types, names of dims, conversions */
bool eval_type(Elab *e, Env *env, const Node *n, Type *out, DimNames *names);
const char *type_text(Elab *e, const Type *t, const DimNames *names);
const char *val_text(Elab *e, Val v);
const char *axis_text(Elab *e, Val v, int axis);
DimNames *val_names(Elab *e, Val v);
const char *const *val_axes(const PageNames *p, Val v); // the same for the messages of shape rules
// v with the declared type: adds or drops segment tags; reports `what` if it does not fit.
CtVal coerce(Elab *e, CtVal v, const Type *t, const DimNames *names, Span at, const char *what);
CtVal add_op(Elab *e, Op op, const Val *args, size_t n, const Attr *attr, size_t nattr, Span at);
CtVal add_typed(Elab *e, Op op, Val arg, const Attr *attr, size_t nattr, const Type *t, Span at);
const Type *val_type(Elab *e, Val v);
int modality_find(const Module *m, const char *name);
void modality_unknown(Elab *e, const char *name, Span at);

/* elab_seg.c: slices and segments */
CtVal eval_index(Elab *e, Env *env, const Node *n);
CtVal eval_multiway(Elab *e, Env *env, const Node *n);
CtVal eval_switch(Elab *e, Env *env, const Node *n);
CtVal eval_as(Elab *e, Env *env, const Node *n);

/* elab_tensor.c: operators on tensors; verb: what messages call it */
CtVal tensor_binary(Elab *e, AstOp op, CtVal a, CtVal b, Span at);
CtVal tensor_elementwise(Elab *e, Op op, const char *verb, CtVal a, CtVal b, const Attr *attr, size_t nattr, Span at);
bool number_for(Elab *e, CtVal v, DType dt, Span at, double *x); // v as an element of type dt
CtVal tensor_lift(Elab *e, CtVal v, DType dt, Span at);          // a number as a scalar tensor

/* elab_mask.c */
bool is_mask_part(CtVal v); // key, query or a mask
CtVal mask_compare(Elab *e, AstOp op, CtVal a, CtVal b, Span at);
CtVal mask_logic(Elab *e, AstOp op, CtVal a, CtVal b, Span at);
CtVal mask_is(Elab *e, CtVal a, const char *modality, Span at, Span name_at);
CtVal mask_arg(Elab *e, CtVal tensor, int rank, Span at); // rank 2: m[key], 3: m[query, key]
// Text of the `where` attribute (NULL: everything is visible); appends the bool tensors it reads to args[*n], and where
// they are read to place[*n].
bool mask_lower(Elab *e, CtVal where, Span at, Val *args, Span *place, size_t *n, size_t max, const char **text);

/* elab_call.c: calls of blocks; elab_builtin.c: calls of builtins */
typedef struct CallArg {
  const char *name;
  Span name_span;
  CtVal val;
  Span span;
} CallArg;
CtVal eval_call(Elab *e, Env *env, const Node *n);
// Calls builtin `name`. False if there is none.
bool builtin_call(Elab *e, const char *name, const CallArg *arg, size_t n, Span at, CtVal *out);
bool builtin_exists(const char *name);
void builtin_names(Elab *e, const char *name, const char **best, size_t *dist);

/* list.c: the comment lines directly above offset `at` of a text, joined; "" if none */
const char *front_comment_above(Arena *a, const char *text, uint32_t at);

/* stage.c: `train NAME { .. }` */
void stages_model(Elab *e, const Node *model); // checks all stages, records those that are asked for
void stage_patterns(Elab *e);                  // of the stage that is built: do its patterns fit weights?

/* prepare.c */
// Is `name` an input or output of some route or objective of the model? *best: the nearest one of these.
bool find_port(const Node *model, const char *name, const char **best);
bool prepare_value(Elab *e, Env *env, const Node *n, Buf *out); // text of an option's value
// The branch of an `if` that counts: one expression. NULL after reporting.
const Node *prepare_branch(Elab *e, Env *env, const Node *n);
void rename_add(Elab *e, const Node *n);              // rename.c
void precision_add(Elab *e, const Node *n, bool own); // precision.c; own: of the page itself, not of a file it uses
// The preparations of the model, as its preset and then the set of names change them.
void prepare_model(Elab *e, const Node *model, const Node *preset, const Node *set);
void put_real(Buf *out, double x); // the shortest text that reads back as x

#endif
