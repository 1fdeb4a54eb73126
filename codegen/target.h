// target.h: a target is data: vector width, registers, block sizes, and rows of C templates. An instruction set is one
// file of isa/ and one row of runtime/cpu.def (docs/add-a-target.md).
#ifndef SY_TARGET_H
#define SY_TARGET_H

#include "costs.h"
#include "ir/kernel.h"
#include "ir/op/codes.h"

typedef struct IsaRow { // how one kernel operation is written in C
  KOp op;
  DType dtype; // load, store, bcast: of the elements in memory; comparisons, cvt: of the operands; else of the result
  uint32_t lanes; // 1 = scalar row; those that all targets share are in isa/scalar.c
  const char *c;  // template: %0 %1 %2 operands, %b address ("x + 4 * i"), %e the element there ("x[4 * i]"), %n active
                  // lanes, %i immediate or index; its value is a primary expression (call, name, or in parentheses)
  uint32_t partial; // 1 = row for n < lanes
} IsaRow;

typedef struct Family { // of processors: a row of runtime/cpu.def
  const char *name;     // "x86_64"
  const char *is;       // preprocessor condition that the machine is one of them, or "1"
  const char *compiled; // condition that the compiler can make their kernels, or "1"
} Family;

typedef struct InstructionSet { // a row of runtime/cpu.def
  const char *name, *title;     // "avx2", also the value of --isa; "AVX2", for people
  const char *features;         // what it needs beyond the least of its family: "avx2,fma,f16c", or ""
  const Family *family;
  const char *codes_of; // the set from which it differs in products of words (codes, pairs of bf16) alone, or NULL
  ProductsOf products;  // which these are: f32 if codes_of is NULL; a set for pairs has its own for codes as well
} InstructionSet;

enum { // by rank
#define INSTRUCTION_SET(name, family, title, features) ISA_##name,
#include "runtime/cpu.def"
  ISA_COUNT
};
extern const InstructionSet instruction_sets[ISA_COUNT];

typedef struct Intrinsic { // an operation that LLVM would not find in its parts
  KOp op;
  const char *name; // "llvm.x86.avx2.pmadd.wd"
  uint32_t bits;    // of the elements of its operands, which lie in words
  bool adds;        // the sum is an operand of it
} Intrinsic;

// Products of codes of 8 bits: what the kernel makes of a row's words before it multiplies them.
typedef enum DotKind {
  DOT_WORDS, // nothing: dot4
  DOT_PAIRS, // bytes 0 and 2, and bytes 1 and 3, as halves of 16 bits: dot2
  DOT_PLAIN, // bytes without a sign, 128 more than the codes: dot4u
} DotKind;

typedef struct Target {
  const char *name; // of the instruction set
  const InstructionSet *isa;
  uint32_t rank;                        // dispatch order: larger is preferred
  const struct Target *base;            // whose rows hold where this one has none, and whose helpers they call; or NULL
  const char *vec_f32, *vec_i32, *mask; // C types of a vector
  const char *prelude;                  // C text: includes, helper functions
  const char *narrow;                   // more of them, for kernels that touch narrow types
  const char *codes;                    // more of them, for products of words (codes of 8 bits, pairs of bf16)
  uint32_t lanes;                       // f32 lanes
  uint32_t vregs;                       // vector registers
  bool has_fma;
  // register tile of the GEMM kernels: rows x panels of 16 columns; tile_choose takes one of them
  struct {
    uint8_t rows, panels;
  } tile[4];
  // steps of k that all rows of a product do before the next ones, so that these of a panel stay in the first-level
  // cache while they do; a multiple of cost->product.burst, for tiles of one panel; 0: k is not divided
  uint32_t k_block;
  DotKind dot;
  bool pairs; // products of bf16 are of words as they are, by dot2b; else words are widened, and fma takes them
  struct {    // register tile of products of words: rows x panels of 16 columns
    uint8_t rows, panels;
  } code_tile;
  const Costs *cost;
  const Intrinsic *intrinsics;
  size_t nintrinsics;
  const IsaRow *rows;
  size_t nrows;
} Target;

extern const Target *const targets[]; // NULL-terminated, by rank ascending
size_t target_count(void);
SY_MUST_USE const Target *target_by_name(const char *name);
// The index of t[i]'s codes_of, whose kernels it has for all but products of codes; i itself if t has no such.
SY_MUST_USE size_t target_alike(const Target *const *t, size_t n, size_t i);
// The family that a machine belongs to, by the first word of its triple ("arm64-apple-darwin", "x86_64"); NULL for one
// that has no kernels but portable ones.
SY_MUST_USE const Family *family_of_machine(const char *triple);
SY_MUST_USE bool target_runs_on(const Target *t, const Family *f); // portable ones run on all
const char *target_attribute(const Target *t, Arena *a); // "__attribute__((target(\"avx2,fma,f16c\")))", or ""
// What a processor must say, by the words of runtime/cpu_words.h.
void target_cpu_needs(const Target *t, uint32_t *need);
SY_MUST_USE const Intrinsic *target_intrinsic(const Target *t, KOp op); // NULL: LLVM needs none
SY_MUST_USE const IsaRow *target_row(const Target *t, KOp op, DType dt, uint32_t lanes,
                                     bool partial); // NULL = not in the target

/* emit_c.c: one kernel as one C function body. ------------------------------------------------------------------------
 * The function is
 *   static void NAME(const PREFIX_args *args, size_t task, void *scratch)
 * with args->p[i] (void *) the i-th parameter buffer and args->dim[j] (size_t) run-time dim j. `task` is the linear
 * number of the par nest, innermost loop fastest. */
// Functions that regions became, for all kernels of one target in a file; zero it, free it with emit_c_functions_free.
typedef struct EmitFunction {
  const char *name, *text; // text: all behind the name
} EmitFunction;
typedef struct EmitFunctions {
  Arena arena;
  VEC(EmitFunction) list;
} EmitFunctions;
typedef struct EmitC {
  const char *prefix;       // of the model's C names
  const char *name;         // C name of the function
  const char *indent;       // before every line, or NULL
  EmitFunctions *functions; // regions become functions, printed before the kernel that is the first to need them; NULL:
                            // they are printed where they stand
} EmitC;
void emit_c_kernel(const Kernel *k, const Target *t, const EmitC *o, Buf *out);
void emit_c_functions_free(EmitFunctions *f);
void emit_c_tasks(const Kernel *k, Buf *out); // C expression of the number of tasks in terms of d[] (size_t const *d)
// Includes and helpers: of a target, or (NULL) those that all targets share. before: targets whose helpers stand in the
// file already; those of t->base are printed too where they do not. helpers: what only some kernels need, as bits.
enum { HELP_NARROW = 1, HELP_CODES = 2, HELP_ALL = 3 }; // buffers of narrow types; products of words
typedef struct Prelude {
  const Target *const *before;
  size_t nbefore;
  unsigned helpers;
} Prelude;
void emit_c_prelude(const Target *t, const Prelude *p, Buf *out);
unsigned kernel_helpers(const Kernel *k); // those that it needs

#endif
