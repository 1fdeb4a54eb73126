// check.h: what the files of `syc check` share.
//
//   check.c         finds the cases, chooses, prints
//   check_valid.c   the fields of cases.json
//   check_case.c    one case: tensors, dims, the program, comparison
//   check_generate.c  one `generate` case: the search loop over the two entry points of a generate
//   check_train.c   gradients and states of a `train` case
//   check_op.c      the one-operator graph of an `op` case
//   check_run.c     running a route: interpreter, compiled model here
//   check_foreign.c the same for another machine: under qemu, as WebAssembly in node
//   check_layout.c  dense tensors <-> the caller's buffers of the C API
//   check_fault.c   after a failure: where the values depart from the reference evaluator
#ifndef SY_CHECK_H
#define SY_CHECK_H

#include "common/must_use.h"

#include <cjson/cJSON.h>

#include "weights.h"

typedef enum Verdict { PASS, FAIL, SKIP } Verdict;

typedef struct CheckOutput { // one compared tensor
  const char *name, *shape;
  double max_abs, max_rel; // largest difference; the same over the largest wanted magnitude
  double limit;            // atol + rtol * max|want|
  double likeness, least; // of a precision other than f32: cosine, or share of equal whole numbers, and what it must be
  Verdict verdict;
  uint64_t hash; // of the bytes of the result
} CheckOutput;

typedef struct CheckResult {
  const char *set, *name, *kind;
  Verdict verdict;
  const char *reason; // why skipped or failed, NULL if there is nothing to say
  VEC(CheckOutput) output;
} CheckResult;

typedef struct Check { // one `syc check`
  Session *s;
  const BackEnd *back_end; // --backend
  bool interp;             // it is the interpreter
  const char *isa;         // the instruction set compiled for
  const Target *target;
  unsigned threads;
  const char *shared; // folder or NULL
  const char *temp;   // folder for packed weights and buffers
  const char *runner; // what the emulator is given to drive a model, once made
  size_t runs;
  struct { // --together: the program of the cases that `first` stands for
    const cJSON *first;
    const Program *program;
  } group;
  VEC(CheckResult) result;
} Check;

typedef struct Case { // an element of "cases"
  const cJSON *json;
  const char *dir;  // folder of cases.json
  const char *spec; // "models/clip.sy:clip"; NULL for an op
  const char *set, *name, *kind;
} Case;

typedef struct Call { // one call of a route
  const Program *program;
  size_t route;
  const char *packed; // weight file
  int64_t dims[MAX_DIMS];
  const void **in;
  void **out;
  size_t *in_bytes, *out_bytes;
} Call;

// Sets verdict and reason; returns false so that steps can say `return check_settle(...)`.
bool check_ways(Check *c); // back end, instruction set, threads, temporary folder by the options; false after reporting
bool check_settle(Check *c, CheckResult *r, Verdict v, const char *fmt, ...) SY_PRINTF(4, 5);
const char *json_text(const cJSON *object, const char *key); // NULL unless a string
double json_number(const cJSON *object, const char *key, double otherwise);

// check_valid.c: has every field of a cases.json that is read here its form? *why: the first that has not.
bool check_valid(const cJSON *cases, Buf *why);

// Runs a `forward` or `op` case.
void check_case(Check *c, const Case *k, CheckResult *r);
// Runs a `generate` case.
void check_generate(Check *c, const Case *k, CheckResult *r);
// The files of a case, and its program for the route it names with the packed weights. False with the verdict set.
typedef struct Loaded {
  Checkpoint weights, tensors;
} Loaded;
SY_MUST_USE bool check_load(Check *c, const Case *k, Loaded *f, Call *call, CheckResult *r);
// Of a `train` case: what is trained, NULL if the case has losses alone; and what the step leaves, beyond the losses.
bool check_is_train(const Case *k);
const Train *check_train(Check *c, const Case *k);
double check_element(StDtype t, const void *p, size_t i); // as a number
SY_MUST_USE bool check_train_outputs(Check *c, const Case *k, Call *call, Loaded *f, CheckResult *r);
SY_MUST_USE bool check_inputs(Check *c, const Case *k, const Checkpoint *tensors, int at, Call *call, CheckResult *r);
// check_inputs.c: the dims and inputs of a call from tensors by their names. NULL, or what is wrong: "input 'x' is F32,
// not i32".
typedef struct InputReader {
  Check *c;
  const StTensor *(*find)(const void *ud, const char *name); // NULL: there is none
  const void *ud;
  int32_t **noise; // where the input lies that says what is drawn, zeros; NULL: it is read like the others
} InputReader;
SY_MUST_USE const char *read_inputs(const InputReader *r, Call *call);
void *check_zeros(Check *c, size_t bytes); // in the session's arena, aligned like the buffers of a careful caller
// Fills the buffer of one input from the case: dims known so far in `dims`, `known`.
SY_MUST_USE const void *check_input(Check *c, const Module *m, const Type *t, const StTensor *x, const int64_t *dims);
bool check_same_dtype(DType want, StDtype have);
// Adds a verdict over n elements of `got` against the tensor x.
void check_compare(Check *c, const Case *k, const char *name, const char *shape, DType t, const void *got,
                   const StTensor *x, size_t n, CheckResult *r);
// The module of a case as elaborated, or NULL with the verdict set.
SY_MUST_USE Module *check_module(Check *c, const Case *k, const Checkpoint *tensors, CheckResult *r);
// The tensor that a case has for an input or output; NULL if none.
const StTensor *check_tensor(const Case *k, const Checkpoint *tensors, const char *group, const char *name);
// Largest difference and largest wanted magnitude of n elements; NaN equals NaN only, infinity itself.
typedef struct Difference {
  double abs, most; // most: the largest finite |want|
  size_t at;        // element of the largest difference
  size_t n, equal;
  double gg, ww, gw; // sums of squares of got and of want, and of their products
} Difference;
void difference_add(Difference *d, size_t i, double got, double want);
// The module of an op case, or NULL with the verdict set. Weights of the graph carry the names of their tensors; inputs
// and outputs those of the case.
SY_MUST_USE Module *check_op_module(Check *c, const Case *k, const Checkpoint *tensors, CheckResult *r);

/* check_layout.c ------------------------------------------------------------------------------------------------------
 */
// Run-time dims from the shape of one tensor: fills dims where `known` (bit set) is unset, compares where it is set.
// False if the shape cannot be of this type; *why says so.
SY_MUST_USE bool layout_dims(const Module *m, const Type *t, const StTensor *x, int64_t *dims, uint32_t *known,
                             const char **why);
// Copies between a dense tensor (row-major, run-time extents, segments adjacent) and a buffer whose strides come from
// the upper bounds of the dims. stride: elements per axis, or NULL for the caller's buffers of the C API.
typedef struct Layout {
  int rank;
  size_t bytes; // of an element
  int64_t extent[MAX_RANK], stride[MAX_RANK];
  int64_t *place[MAX_RANK]; // position on the axis by bounds for every dense position, or NULL: the same
} Layout;
Layout layout_of(Arena *a, const Module *m, const Type *t, const int64_t *dims, const int64_t *stride);
size_t layout_elements(const Layout *l); // dense
void layout_store(const Layout *l, const void *dense, void *buffer);
void layout_load(const Layout *l, const void *buffer, void *dense);

/* check_run.c ---------------------------------------------------------------------------------------------------------
 */
// Runs the call in the way chosen. False with the verdict set (SKIP if this machine cannot do it).
SY_MUST_USE bool check_run(Check *c, const Call *call, CheckResult *r);
// Why the chosen way cannot be gone here ("this CPU has no avx512"), or NULL.
const char *check_cannot_run(const Check *c);

/* check_foreign.c -----------------------------------------------------------------------------------------------------
 */
// Is it code for another machine (--target, or an instruction set of another family)?
bool check_is_foreign(const Check *c);
// Is there an emulator for what --target names, on some computer at least?
bool check_knows_machine(const Check *c);
// Why code for the machine, a known one, cannot run here, or NULL.
const char *check_cannot_emulate(const Check *c);
// Runs the call under the machine's emulator. False with the verdict set.
bool check_run_foreign(Check *c, const Call *call, CheckResult *r);

/* check_fault.c -------------------------------------------------------------------------------------------------------
 */
// Where the fault of a failed case lies, in one line.
const char *check_fault(Check *c, const Case *k, const Call *call, Checkpoint *weights, const Checkpoint *tensors);

#endif
