// kernel.h: the kernel IR. Loops with affine addresses over flat buffers; values are scalars (lanes 1) or vectors of
// the target's width; mutable registers (var/set) carry sums through loops. One definition of a kernel serves every
// target: the printers (codegen/emit_c.c) and the interpreter (kernel_interp.c) give the same bits.
//
// Semantics, stated once:
//  * A kernel is  par* { body }: `par` loops are outermost and perfectly nested; one task = one iteration of all of
//  them.
//  * An index variable (KVar) is a run-time dim, a par/loop variable or a `ldidx` result. Addresses are affine in loop
//  and
//    ldidx variables with constant coefficients (no dims); loop bounds are KBound: min(floor(affine/align)*align, cap),
//    or where tiles of some height end, and may use dims. The verifier proves every access in bounds by interval
//    reasoning.
//  * Buffers are distinct memory (restrict), except that an `in` buffer may be shared by several parameters.
//    `scratch` belongs to one worker; its content is undefined when a task begins. Scratch is 64-byte aligned.
//  * Order of arithmetic is as written; fma only where written; reductions over lanes fold halves.
//
// Text form:
//   kernel @layer_norm_768 lanes 8 dims { B = 1..32 } {
//     buf %x : in f32[4841472]
//     buf %y : out f32[4841472]
//     par %r0 = 0 to 197*B step 8 {
//       loop %r = %r0 to %r0+8 cap 197*B step 1 {
//         %3 = const 0x0p+0 : f32x8
//         %4 = var %3 : f32x8 "sum"
//         loop %i = 0 to 768 step 8 {
//           %6 = load %x[768*%r + %i] : f32x8
//           %7 = add %4, %6 : f32x8
//           set %4, %7
//         }
//       }
//     }
//   }
// A partial access prints its active lanes:  load %x[8*%r] n 5 : f32x8.  A floored bound prints  floor(197*B, 8).
#ifndef SY_KERNEL_H
#define SY_KERNEL_H

#include "graph.h"

typedef enum KOp {
#define KOP(name, nargs, result, doc) K_##name,
#include "kops.def"
#undef KOP
  KOP_COUNT
} KOp;
typedef enum KResult { KR_V, KR_M, KR_S, KR_N, KR_X, KR_B, KR_E } KResult;
typedef struct KOpInfo {
  const char *name;
  int nargs;
  KResult result;
  const char *doc;
} KOpInfo;
extern const KOpInfo kop_info[KOP_COUNT];

enum { K_MAX_TERMS = 8, K_MAX_LANES = 16 };

typedef struct KVal {
  uint32_t id; // index of the defining instruction; 0 = none
} KVal;
typedef struct KVar {
  uint32_t id; // index into Kernel.var; 0 = none
} KVar;
typedef struct KBufRef {
  uint32_t id; // index into Kernel.buf; 0 = none
} KBufRef;

typedef struct KTerm {
  KVar var;
  int64_t k;
} KTerm;
typedef struct KIdx { // c + sum of k * var; terms sorted by variable, no zero factors
  int64_t c;
  uint32_t n;
  KTerm t[K_MAX_TERMS];
} KIdx;
typedef struct KBound { // min(floor(a / align) * align, cap); with `most`: see kbound_tiles
  KIdx a;
  int64_t align; // >= 1
  bool has_cap;
  KIdx cap;
  int64_t most; // 0, or the most rows of a tile; `align` is then the least rows of those that count
  KIdx from;    // of the first tile
} KBound;

typedef struct KRange { // for (v = lo; v < hi; ...)
  KBound lo, hi;
} KRange;

typedef enum KVarKind { KV_DIM, KV_PAR, KV_LOOP, KV_DATA, KV_LET } KVarKind;
typedef struct KVarInfo {
  KVarKind kind;
  const char *name;  // unique within the kernel
  int64_t lo, hi;    // least and greatest value (inclusive); for loops filled by kb_loop through interval reasoning
  int64_t mod, rem;  // every value is rem modulo mod (mod 1: nothing known; mod 0: the value is rem)
  int32_t sym;       // KV_DIM: index into the module's dims
  KVar base;         // of a loop that begins at a variable: that one; the distance from it is
  int64_t near, far; // near to far. 0: nothing known
} KVarInfo;

typedef enum KRole { KB_IN, KB_OUT, KB_WEIGHT, KB_SCRATCH } KRole;
typedef struct KBufInfo {
  const char *name;
  DType dtype;
  KRole role;
  int64_t n; // extent in elements (upper bound)
} KBufInfo;

typedef struct KIns {
  KOp op;
  DType dtype;
  uint8_t lanes; // 1 or Kernel.lanes
  KVal arg[3];
  KBufRef buf;   // memory operations
  KIdx idx;      // address; or the affine value of `index` and `let`
  int64_t n;     // active lanes of load/store/loadm; level of prefetch
  double imm;    // const
  KVar var;      // par, loop, ldidx, let: the variable defined
  KRange *range; // par, loop; NULL otherwise
  int64_t step;
  const char *name;  // hint for readable output ("acc_0_1"), or NULL; of a region: its name
  const char *about; // of a region: one line of comment, or NULL
} KIns;

typedef struct Kernel {
  Arena *arena;
  const char *name;
  const char *about;   // one line of comment: shapes, tile
  const char *isa;     // the target that it is printed for, or NULL: for readers of the text
  uint32_t lanes;      // vector width the kernel was built for
  VEC(KIns) ins;       // [0] is a null instruction
  VEC(KVarInfo) var;   // [0] is null; dims first
  VEC(KBufInfo) buf;   // [0] is null; parameters in call order, then scratch
  double flops, bytes; // of one task, estimates for the scheduler and the reports
  uint32_t open;       // builder: depth of open blocks
} Kernel;

/* builder (kernel.c). Every function appends to k. Lanes: 1 or k->lanes; operands must agree in lanes and dtype.
 * --------- */
Kernel *kernel_new(Arena *a, const char *name, uint32_t lanes);
KVar kb_dim(Kernel *k, const char *name, int32_t sym, int64_t lo,
            int64_t hi); // before any instruction; same sym => same var
KBufRef kb_buf(Kernel *k, const char *name, DType dt, KRole role, int64_t n); // name made unique
// index arithmetic (no instructions)
KIdx ki_const(int64_t c);
KIdx ki_var(KVar v);
KIdx ki_mul(KIdx a, int64_t f);
KIdx ki_add(KIdx a, KIdx b);
KIdx ki_addc(KIdx a, int64_t c);
bool ki_same_terms(const KIdx *a, const KIdx *b); // they differ by a constant
KBound kbound(KIdx a);                            // align 1, no cap
KBound kbound_floor(KIdx a, int64_t align);
KBound kbound_cap(KIdx a, KIdx cap);
// Rows [from, min(a, cap)) in as few tiles of at most `most` rows as do, of heights that differ by one at most, the
// higher ones first: where those of at least `rows` rows end. NULL: no cap.
KBound kbound_tiles(KIdx from, KIdx a, const KIdx *cap, int64_t most, int64_t rows);
int64_t tiles_end(int64_t n, int64_t most, int64_t rows); // of n rows from 0 on
// structure: returns the variable; close with kb_end
KVar kb_par(Kernel *k, const char *name, KBound lo, KBound hi, int64_t step);
KVar kb_loop(Kernel *k, const char *name, KBound lo, KBound hi, int64_t step);
void kb_region(Kernel *k, const char *name, const char *about);
void kb_end(Kernel *k);
KVar kb_let(Kernel *k, KIdx value, const char *name); // not negative
// memory
KVal kb_load(Kernel *k, KBufRef b, KIdx i, uint32_t lanes, int64_t n, const char *name);
void kb_store(Kernel *k, KBufRef b, KIdx i, KVal v, int64_t n);
KVal kb_bcast(Kernel *k, KBufRef b, KIdx i, const char *name); // element -> all lanes
KVal kb_loadm(Kernel *k, KBufRef b, KIdx i, int64_t n);
KVar kb_ldidx(Kernel *k, KBufRef b, KIdx i, int64_t lo, int64_t hi, const char *name);
void kb_prefetch(Kernel *k, KBufRef b, KIdx i, int level);
// values
KVal kb_const(Kernel *k, double v, DType dt, uint32_t lanes);
KVal kb_iota(Kernel *k, DType dt); // k->lanes
KVal kb_index(Kernel *k, KIdx i, DType dt, uint32_t lanes);
KVal kb_splat(Kernel *k, KVal scalar);
KVal kb_lane0(Kernel *k, KVal v);
KVal kb_var(Kernel *k, KVal init, const char *name);
void kb_set(Kernel *k, KVal var, KVal v);
KVal kb_op1(Kernel *k, KOp op, KVal a);
KVal kb_op2(Kernel *k, KOp op, KVal a, KVal b);
KVal kb_op3(Kernel *k, KOp op, KVal a, KVal b, KVal c);
KVal kb_cvt(Kernel *k, KVal a, DType to);
void kb_finish(Kernel *k); // checks that all blocks are closed, runs kernel_verify; ICE on our own mistakes

/* facts */
int64_t ki_min(const Kernel *k, const KIdx *i); // interval of an affine index
int64_t ki_max(const Kernel *k, const KIdx *i);
int64_t ki_eval(const KIdx *i, const int64_t *value);                                     // value[var id]
KVarInfo kernel_range(const Kernel *k, const KBound *lo, const KBound *hi, int64_t step); // lo, hi, mod, rem of a loop
KVarInfo kernel_let(const Kernel *k, const KIdx *value);                                  // the same of a let
int64_t kbound_min(const Kernel *k, const KBound *b);
int64_t kbound_max(const Kernel *k, const KBound *b);
int64_t kbound_eval(const KBound *b, const int64_t *value);
// Number of tasks for given run-time dims (indexed by module dim number).
int64_t kernel_tasks(const Kernel *k, const int64_t *dims);
int64_t kernel_scratch_bytes(const Kernel *k); // each scratch buffer rounded up to 64 bytes

/* text, checking, running ---------------------------------------------------------------------------------------------
 */
void kernel_print(const Kernel *k, Buf *out);      // kernel_print.c
void kernel_print_body(const Kernel *k, Buf *out); // without name and about: equal text <=> same kernel
SY_MUST_USE Kernel *kernel_parse(Arena *a, Intern *names, Diag *diag, const char *text, size_t n,
                                 uint32_t file); // kernel_parse.c
typedef VEC(Kernel *) KernelList;
// A text of one kernel after the other.
SY_MUST_USE bool kernels_parse(Arena *a, Intern *names, Diag *diag, const char *text, size_t n, uint32_t file,
                               KernelList *out);
SY_MUST_USE bool kernel_verify(const Kernel *k, const char **why); // kernel_verify.c; *why in k->arena
// Rewrites what a target lacks (kernel_legal.c): without fma, fma -> mul, add (rounded twice). In place.
void kernel_legalise(Kernel *k, bool has_fma);
// A loop that runs exactly once becomes its body, one that never runs disappears (kernel_legal.c). In place.
void kernel_fold_loops(Kernel *k);
// Runs tasks [first, last) lane exactly (kernel_interp.c). buf[i] = memory of parameter i+1 (scratch: allocated
// inside). dims indexed by module dim number. Accesses outside a buffer's extent are an ICE.
void kernel_interp(const Kernel *k, void *const *buf, const int64_t *dims, int64_t first, int64_t last);

#endif
