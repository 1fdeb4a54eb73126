// program.h: what lowering produces and the printers and the interpreter run: kernels, and per route a straight list of
// launches over one arena, one packed weight file and the caller's inputs and outputs.
//
//   graph IR with groups, layouts, places --lower (lower.c)--> Program --emit_model.c--> .c + .h
//                                                                    \--run.c--> interpreter
//                                                                     \--pack.c--> packed weight file
#ifndef SY_PROGRAM_H
#define SY_PROGRAM_H

#include "ir/base/newfile.h"
#include "ir/kernel.h"
#include "ir/op/pack.h"
#include "passes/pass.h"
#include "target.h"

enum { MAX_TARGETS = 16, MAX_ID_READS = 4 };

/* Packed weights ----------------------------------------------------------------------------------------------------
 */
typedef struct PackedWeight {
  const Graph *graph; // a graph in which `val` is what the packer evaluates
  Val val;
  PackShape shape;        // how its elements lie in the file
  DType dtype;            // of the elements in the file
  uint64_t offset, bytes; // in the file's data area; offset is a multiple of 64
  const char *label;      // for listings: the expression in short ("encoder.ln.weight * ...")
  uint64_t key;           // hash of the expression and the layout, for the plan hash
  const char *expression; // as a text, interned: equal pointers and layouts <=> stored once
} PackedWeight;

/* Launches ----------------------------------------------------------------------------------------------------------
 */
typedef struct Operand {
  uint8_t kind;   // PLACE_ARENA, PLACE_INPUT, PLACE_OUTPUT, PLACE_WEIGHT
  uint32_t index; // input/output number of the route, index into Program.weight, or which place of the arena
  int64_t offset; // bytes: into the arena, or into the input/output/weight
  int64_t base;   // in the arena: where the tensor begins that the operand lies in
} Operand;
// Row numbers that a kernel takes from one of its operands (embedding, gather_rows, put_rows). Whoever runs the step
// looks at them before (model_facts.h); kernels clamp them all the same, so that nothing outside is ever touched.
typedef struct IdRead {
  uint32_t arg;             // of the kernel: the ids, i32
  Val ids;                  // their value, for its type
  int64_t stride[MAX_RANK]; // of its axes, in elements
  Dim limit;                // ids must be in 0 .. limit - 1
} IdRead;
typedef struct Step {
  uint32_t kernel; // index into Program.kernel
  Operand arg[MAX_KERNEL_ARGS];
  uint32_t narg;
  IdRead ids[MAX_ID_READS];
  uint32_t nids;
  const char *comment; // "linear qkv f32[B,197,768] x [768,2304] + bias, 0.70 GFLOP"
  Span span;
  double flops, bytes; // for the dims of program_typical_dims
  Val root;
} Step;
typedef struct RouteProgram {
  const Graph *graph;
  VEC(Step) step;
  int64_t arena_bytes;       // this route alone
  int64_t arena_lower_bound; // largest sum of simultaneously live tensors
  uint32_t scale;            // run-time dim, from 1, that all of the arena is proportional to (arena_scale.c); 0: none
  uint32_t nbase;            // different places of the arena
} RouteProgram;
typedef struct KernelSlot { // one kernel for every target of the program
  const char *name;         // C name without ISA suffix: "gemm_k768_n2304_bias"
  Kernel *k[MAX_TARGETS];   // by index into Program.target
} KernelSlot;

typedef struct Program {
  Module *module;
  const Target *target[MAX_TARGETS];
  size_t ntarget;
  VEC(KernelSlot) kernel;
  VEC(RouteProgram) route;
  VEC(PackedWeight) weight;
  bool trains;           // its objectives have gradients in place, and there are
  size_t update;         // kernels of updates (update.h), from this one on
  uint64_t weight_bytes; // data area of the packed file
  int64_t arena_bytes;   // shared part: maximum over the routes
  int64_t scratch_bytes; // per worker: maximum over kernels and targets
  uint64_t plan_hash;    // of everything that decides the packed file's content and layout
} Program;

/* lower.c: one group -> one kernel and its operands
 * ----------------------------------------------------------------------- */
// What a kernel's parameter is bound to, in the order of Kernel.buf (scratch excluded). `val` is an access base (root,
// concat, input) or what the file of packed weights holds.
typedef struct KernelArg {
  Val val;
  int64_t offset; // elements from the start of val's storage: added to the operand, so that kernels do not differ by it
  bool weight;    // of that file
} KernelArg;
typedef struct Lowered {
  Kernel *kernel;
  KernelArg arg[MAX_KERNEL_ARGS];
  uint32_t narg;
  IdRead ids[MAX_ID_READS]; // row numbers that the kernel reads
  uint32_t nids;
  const char *name;    // short C name, e.g. gemm_k768_n2304_bias_gelu
  const char *comment; // shapes, flops, tile
} Lowered;
typedef bool LowerFn(Arena *a, const Graph *g, const Group *grp, const Target *t,
                     Lowered *out); // false: reported to diag
LowerFn lower_gemm, lower_attention, lower_row, lower_map;

// Lowers all routes for the given targets. NULL after errors (in Module.diag).
SY_MUST_USE Program *program_lower(Module *m, const Target *const *target, size_t ntarget);
// work.c: what a launch of a group does for given run-time dims, whatever tasks it is divided into.
typedef struct Work {
  double flops, bytes;
} Work;
Work group_work(const Graph *g, const Group *grp, const int64_t *dims);
double type_elements_now(const Type *t, const int64_t *dims);
// The run-time dims that figures are quoted for: batch dims (first axis of some input) at their least, others at their
// most.
void program_typical_dims(const Module *m, int64_t *dims);

/* run.c: the interpreter
 * -------------------------------------------------------------------------------------------------- */
// Runs a route lane exactly with the kernels of program target `t`. in/out: caller's tensors in the layout of the C API
// (pitches by upper bounds); weights: the packed data area; dims by module dim number. workers = 1.
// `watch` (may be NULL) is called after each step with the step number and the memory of its root.
SY_MUST_USE bool program_interpret(const Program *p, size_t route, size_t t, const void *weights, const void *const *in,
                                   void *const *out, const int64_t *dims,
                                   void (*watch)(void *ud, size_t step, const void *root), void *ud, const char **err);

/* pack.c: packed weight file
 * ----------------------------------------------------------------------------------------------- */
// Source of checkpoint tensors by name: fills `out` (already shaped for t). False: missing.
typedef struct WeightSource {
  bool (*get)(void *ud, const char *name, const Type *t, Tensor *out, const char **err);
  // Direct float access for large plain tensors, or NULL: avoids doubles. Returns f32 data or NULL.
  const float *(*f32)(void *ud, const char *name, const Type *t);
  // Rows of a table that differs from t in its rows only, or NULL (see EvalEnv).
  bool (*rows)(void *ud, const char *name, const Type *t, int64_t *rows);
  void *ud;
} WeightSource;
// A value that is evaluated when weights are packed. Of a pack: its operand, in that layout.
PackedWeight packed_weight(const Graph *g, Val val);
// Evaluates one packed weight into dst (bytes long). Peak memory: a few rows of doubles beside the tensor.
SY_MUST_USE bool pack_weight(const Program *p, const PackedWeight *w, const WeightSource *src, void *dst,
                             const char **err);
// Writes the whole file: header (magic, version, plan hash, size, checksums per tensor) then data; all or nothing. The
// first leaves a whole file that is not in its place yet.
SY_MUST_USE bool pack_into(const Program *p, const WeightSource *src, NewFile *out,
                           void (*progress)(void *ud, double share), void *ud, const char **err);
SY_MUST_USE bool pack_file(const Program *p, const WeightSource *src, const char *path,
                           void (*progress)(void *ud, double share), void *ud, const char **err);

/* emit_model.c: the C module
 * ------------------------------------------------------------------------------------------------ */
typedef struct EmitModel {
  const char *prefix;      // "vit": all public names begin with prefix_ / PREFIX_
  const char *header_name; // "vit.h"
  bool describe_host;      // include the `prepare` texts for the command line face
} EmitModel;
void emit_model_c(const Program *p, const EmitModel *o, Buf *out);
void emit_model_h(const Program *p, const EmitModel *o, Buf *out);
// PREFIX_glue.c: the model as a sy_model (runtime/switchyard.h), for host/main.c and for dlopen users.
void emit_model_glue(const Program *p, const EmitModel *o, Buf *out);

#endif
