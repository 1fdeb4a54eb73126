// op.h: the hooks of the operator table. A family file ir/op/<family>.c holds, for each of its operators, its shape
// rule, folder and reference, together. The prototypes are generated from ops.def, so a missing hook is a link
// error. How to add an operator: docs/operators.md.
#ifndef SY_OP_H
#define SY_OP_H

#include "../graph.h"

// Shape rules: fill *out from the operands. `declared` is the type the caller asks for (reshape, slice, broadcast,
// retag, sources) or NULL. On a user's mistake they report through shape_error and return false.
struct ShapeCtx {
  const Graph *g;
  Op op;
  Span span;
  size_t nargs;
  const Val *args;
  const Attr *attr;
  size_t nattr;
  const Type *declared;
  const char **why;  // set: shape_error stores its text here and reports nothing (graph_verify)
  Diagnostic **said; // what shape_error reported, for shape_hint
};
// How a page speaks of what it adds to a graph, for the messages of shape rules; Module.page while a page is
// elaborated.
typedef struct PageNames {
  const char *const *(*axes)(const struct PageNames *p, Val v); // what the lengths of v's axes are called, or NULLs
  void *ud;
  const char *call;           // what the page calls: "affine" for linear; NULL: the operator's name
  const char *const *operand; // what the operands are called, by number: "x", "weight"
  const Span *at;             // where they stand
  size_t n;                   // how many of these are known
  const Span *attr_at;        // where attributes are given, by key; NULL: unknown
} PageNames;
const Attr *shape_attr(const ShapeCtx *c, AttrKey k); // NULL if absent
int64_t shape_int(const ShapeCtx *c, AttrKey k, int64_t absent);
const Type *shape_arg(const ShapeCtx *c, size_t i); // type of operand i, any i
// For messages, in the words of the page where there is one: an axis of an operand or of another type ("768",
// "dim=768", "L", "vision: 197 + language: L"), an operand's type, what it is called ("operand 2", "'weight'").
const char *shape_axis(const ShapeCtx *c, const Type *t, int axis);
const char *shape_type(const ShapeCtx *c, size_t i);
const char *shape_who(const ShapeCtx *c, size_t i);
SY_MUST_USE bool shape_count(const ShapeCtx *c, size_t least, size_t most); // operand count in range, else an error
SY_MUST_USE bool shape_rank(const ShapeCtx *c, size_t arg, int rank);       // operand has this rank, else an error
SY_MUST_USE bool shape_float(const ShapeCtx *c); // all operands have one floating dtype, else an error
SY_MUST_USE bool
shape_dense_rows(const ShapeCtx *c); // operand 0 has a last axis whose elements are adjacent at run time
bool shape_axis_equal(const Type *a, int i, const Type *b,
                      int j); // same dim; segments equal or absent on one dense side
// Reports "op: <text>" with the operands' shapes in notes; returns false so that rules can say `return
// shape_error(...)`. The second points at operand i, the third at an attribute, where the page says where they stand.
bool shape_error(const ShapeCtx *c, const char *code, const char *fmt, ...) SY_PRINTF(3, 4);
bool shape_error_at(const ShapeCtx *c, size_t i, const char *code, const char *fmt, ...) SY_PRINTF(4, 5);
bool shape_error_attr(const ShapeCtx *c, AttrKey k, const char *code, const char *fmt, ...) SY_PRINTF(4, 5);
// Advice behind the error just reported, in terms of the page: without a page nothing is added. false.
bool shape_hint(const ShapeCtx *c, const char *fmt, ...) SY_PRINTF(2, 3);
// The result of rows and panels of n columns, whatever the words are (codes.c): f32, n in place of the last axis.
SY_MUST_USE bool shape_of_panels(const ShapeCtx *c, int64_t n, Type *out);
/* Codes of shape errors (the letters after E02 are stable; texts may change):
 *   E0201 wrong number of operands            E0208 attribute out of range or malformed
 *   E0202 wrong rank                          E0209 range outside the axis
 *   E0203 element types differ or do not fit  E0210 number of elements changes
 *   E0204 extents do not match                E0211 two different values under one name
 *   E0205 segments do not match               E0212 attribute missing
 *   E0206 a run-time length not allowed here  E0213 type ill-formed or too large
 *   E0207 one segmented axis per tensor
 * Text of the graph IR: E0220 syntax, E0221 unknown name, E0222 defined twice, E0223 invalid graph. */

// graph_add for operators whose type is declared by the caller (reshape, slice, broadcast, retag, constant).
SY_MUST_USE Val graph_add_typed(Graph *g, Op op, const Val *args, size_t nargs, const Attr *attrs, size_t nattrs,
                                const Type *t, Span span);

// The same for graph_parse: nothing is folded or shared, so that the values are exactly the lines of the text.
SY_MUST_USE Val graph_add_exact(Graph *g, Op op, const Val *args, size_t nargs, const Attr *attrs, size_t nattrs,
                                const Type *t, Span span);
// Type of an operation by its shape rule. why: NULL = report to Module.diag, else the text goes there.
SY_MUST_USE bool op_infer(const Graph *g, const Value *v, const Type *declared, const char **why, Type *out);

typedef bool ShapeFn(const ShapeCtx *c, Type *out);
// Folders: given an operation about to be added, return an equal existing or simpler value, or NO_VAL.
typedef Val FoldFn(Graph *g, const Value *v);
// References: compute *out (already allocated and shaped) from the operands with doubles.
typedef struct RefCtx {
  const Graph *g;
  const Value *v;
  const EvalEnv *env;
  const Tensor *arg;  // nargs operands
  const char **error; // store a text to fail (ids out of range, i32 overflow)
} RefCtx;
typedef void RefFn(const RefCtx *c, Tensor *out);

// Elements as doubles, whatever the dtype; i32 out of range on writing is an error.
double tensor_get(const Tensor *t, size_t i);
void ref_put(const RefCtx *c, Tensor *out, size_t i, double v);
int64_t eval_dim(const EvalEnv *env, const Type *t, int axis); // extent of an axis at the run-time dims of env
uint32_t attention_operands(const Value *v);                   // of an attention or its gradient, without the cotangent
uint32_t attention_seen(const Value *v); // the first of them: queries, keys, values, masks, position, bias

// Gradient rules: cotangents of the operands from that of the result, as operations behind it.
typedef struct Grad {
  Graph *g;
  Value v;          // the operation; its operands are in v.args
  Val y, dy;        // its result, and the cotangent of that, of its type
  const bool *want; // by operand: is its cotangent asked for?
  Val *d;           // by operand: the cotangents, NO_VAL = none flows back; types are those of the operands
  const char *why;  // set by a rule that cannot do it, in the module's arena
} Grad;
typedef void GradFn(Grad *c);

typedef struct OpHooks {
  ShapeFn *shape;
  FoldFn *fold;
  RefFn *ref;
  GradFn *grad;
} OpHooks;
extern const OpHooks op_hooks[OP_COUNT];

#define GOP(name, nargs, required, optional, flags, shape, fold, grad, emit, call, doc) ShapeFn shape_##shape;
#include "../ops.def"
#undef GOP
#define GOP(name, nargs, required, optional, flags, shape, fold, grad, emit, call, doc) FoldFn fold_##fold;
#include "../ops.def"
#undef GOP
#define GOP(name, nargs, required, optional, flags, shape, fold, grad, emit, call, doc) RefFn ref_##name;
#include "../ops.def"
#undef GOP
#define GOP(name, nargs, required, optional, flags, shape, fold, grad, emit, call, doc) GradFn grad_##grad;
#include "../ops.def"
#undef GOP

#endif
