// target.h: a target is data: vector width, registers, block sizes, and rows of C templates (isa/*.def). Adding an
// instruction set = one .def file and one entry in target.c; no other code.
#ifndef SY_TARGET_H
#define SY_TARGET_H

#include "ir/kernel.h"

typedef struct IsaRow { // how one kernel operation is written in C
  KOp op;
  DType dtype; // load, store, bcast: of the elements in memory; comparisons, cvt: of the operands; else of the result
  uint32_t lanes; // 1 = scalar row, shared by all targets (isa/scalar.def)
  const char *c;  // template: %0 %1 %2 operands, %b address ("x + 4 * i"), %e the element there ("x[4 * i]"), %n active
                  // lanes, %i immediate or index; its value is a primary expression (call, name, or in parentheses)
  uint32_t partial; // 1 = row for n < lanes
} IsaRow;

typedef struct Target {
  const char *name;                     // "portable", "neon", "avx2", "avx512": also the value of --isa
  const char *macro;                    // preprocessor condition under which the section is compiled, or "1"
  const char *family;                   // condition under which the processor is of its family, or "1"
  const char *attribute;                // function attribute ("__attribute__((target(\"avx2,fma\")))"), or ""
  const char *cc_flags;                 // flags for a single-ISA build ("-mavx2 -mfma"), or ""
  const char *triple;                   // cross compilation ("aarch64-linux-gnu"), or NULL = host
  const char *vec_f32, *vec_i32, *mask; // C types of a vector
  const char *prelude;                  // C text: includes, helper functions; from the .def
  const char *narrow;                   // more of them, for kernels that touch narrow types
  uint32_t lanes;                       // f32 lanes
  uint32_t vregs;                       // vector registers
  bool has_fma;
  uint32_t rank; // dispatch order: larger is preferred
  // register tile of the GEMM kernels: rows x panels of 16 columns; alternatives are tried in order, the first whose
  // panel count divides the number of panels (or the last) is taken
  struct {
    uint8_t rows, panels;
  } tile[4];
  const IsaRow *rows;
  size_t nrows;
} Target;

extern const Target *const targets[]; // NULL-terminated, by rank ascending
size_t target_count(void);
SY_MUST_USE const Target *target_by_name(const char *name);
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
// Includes and helpers: of a target, or (NULL) those that all targets share. narrow: with those of kernels that touch
// buffers of narrow types.
void emit_c_prelude(const Target *t, bool narrow, Buf *out);
bool kernel_is_narrow(const Kernel *k); // does it?

#endif
