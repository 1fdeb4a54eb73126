// switchyard.h: the runtime beside a compiled model: a thread pool for its parallel_for hook, read-only mapping of the
// packed weight file, what the CPU can do, and one struct (sy_model) through which a program drives any compiled model.
// libc and POSIX threads only; nothing here depends on a model, and a compiled model works without it.
//
//   sy_map weights;                                            const sy_model *m = sy_model_entry();
//   if (sy_map_open(&weights, "vit.syw", 0)) ...
//   sy_pool *pool = sy_pool_new(sy_cpu_cores());
//   sy_exec exec = sy_pool_exec(pool);
//   sy_config c = {SY_ABI_VERSION, weights.data, weights.bytes, arena, m->arena_bytes(exec.threads), &exec, NULL};
//   void *ctx;
//   if (m->init(&ctx, &c)) ...                                 m->call(ctx, 0, dims, in, out);
//   sy_pool_free(pool); sy_map_close(&weights);
//
// Errors are returned; nothing here prints, exits or keeps global state. Usable from C11 and C++11.
#ifndef SWITCHYARD_H
#define SWITCHYARD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SY_ABI_VERSION 2u
#define SY_ALIGN 64u

// The first thirteen are those of every compiled model, with the same numbers.
typedef enum sy_status {
  SY_OK = 0,
  SY_EINVAL,   // a null pointer, an unknown route or instruction set
  SY_EABI,     // config was built against another ABI version
  SY_EPLAN,    // the weight file belongs to another build of the model
  SY_EWEIGHTS, // not a weight file, cut off, or damaged
  SY_EARENA,   // the arena is too small
  SY_EALIGN,   // arena or weights are not aligned to SY_ALIGN
  SY_EISA,     // no compiled instruction set can run here under the cap
  SY_ESHAPE,   // a run-time dim is out of bounds
  SY_EINDEX,   // an id is outside its table
  SY_ETEST,    // the self-test found different results
  SY_ENUMERIC, // of training: a loss or a gradient is not finite
  SY_ECOMM,    // of training: another process cannot be reached
  // of the runtime alone:
  SY_EIO = 32, // a file cannot be opened or read
  SY_ENOMEM,   // no memory
  SY_ETHREAD   // a thread cannot be started
} sy_status;

// One line of English for any value; never NULL. (error.c)
const char *sy_strerror(int status);

/* pool.c: threads ------------------------------------------------------------------------------------------------- */
typedef void sy_task(void *arg, size_t i);
typedef struct sy_exec { // how a model runs things in parallel; the same layout as PREFIX_exec
  // Calls task(arg, i) for every i < n, in any order and on any threads, and returns when all are done.
  void (*parallel_for)(void *ud, size_t n, sy_task *task, void *arg);
  void *ud;
  unsigned threads; // how many run at once, the caller included
} sy_exec;
typedef struct sy_pool sy_pool;

// A pool of `threads` threads, the caller of sy_pool_for included; 0 or 1: no thread is started. NULL when memory or
// threads cannot be had. Free it with sy_pool_free, not from inside a task.
sy_pool *sy_pool_new(unsigned threads);
void sy_pool_free(sy_pool *pool); // NULL is allowed

// Runs task(arg, i) for i < n on the pool (a sy_pool *, void * so that it fits the hook) and returns when all are done.
// The caller takes part. A call from inside a task, or while another thread uses the pool, runs in the caller alone.
// A forked child may use and free the pool that it inherits: calls run in the caller alone. A task must not fork and go
// on.
void sy_pool_for(void *pool, size_t n, sy_task *task, void *arg);
unsigned sy_pool_threads(const sy_pool *pool);
sy_exec sy_pool_exec(sy_pool *pool); // valid while the pool lives; a NULL pool gives a serial exec

/* map.c: memory and weight files
 * --------------------------------------------------------------------------------------------- */
// Memory for an arena, aligned to SY_ALIGN; a large one lies in large pages where the system gives them on request
// (Linux), which is 3 to 9 % of a call: rows of activations lie on many pages. NULL when it cannot be had. Give it back
// with free().
void *sy_memory(size_t bytes);

typedef struct sy_map {
  const void *data; // aligned to at least SY_ALIGN
  size_t bytes;
  int mapped;    // 1: mmap, 0: read into memory
  int sys_errno; // why sy_map_open failed, or 0
} sy_map;
enum {
  SY_MAP_POPULATE = 1, // read all pages now
  SY_MAP_READ = 2      // read into memory instead of mapping
};
// Maps a regular file read-only. SY_EIO (see sys_errno), SY_ENOMEM, or SY_EWEIGHTS for an empty file; *m is then empty.
sy_status sy_map_open(sy_map *m, const char *path, unsigned flags);
void sy_map_close(sy_map *m); // an empty map is allowed

/* weights.c ------------------------------------------------------------------------------------------------------- */
// Compares the data of a packed weight file with its checksums, on the threads of exec (NULL: serially): one reading of
// the file. SY_EWEIGHTS if it is damaged or none. A model's init looks at header and size alone, its selftest at
// everything.
sy_status sy_weights_check(const void *weights, size_t bytes, const sy_exec *exec);

/* cpu.c ----------------------------------------------------------------------------------------------------------- */
// Instruction sets have the names of --isa: "portable", "avx2", .. (cpu.def).
int sy_cpu_runs(const char *isa);      // can this CPU and its kernel run it? 0 for a name that is none
const char *sy_cpu_isa(void);          // the best that it can run
const char *sy_cpu_family(void);       // "x86_64", "aarch64", "riscv64", or "" for another
unsigned sy_cpu_cores(void);           // cores this process may use, at least 1
void sy_cpu_name(char *dst, size_t n); // "AMD EPYC 7763"; "unknown CPU" if it does not say

/* a compiled model, in general terms: PREFIX_glue.c defines sy_model_entry --------------------------------------------
 */
typedef struct sy_dim { // one axis: constant + factor * (run-time dim)
  uint64_t constant, factor;
  int dim;        // index into sy_info.dim, -1 for a constant axis
  uint64_t bound; // largest extent; strides are products of bounds
} sy_dim;
typedef struct sy_tensor {
  const char *name, *dtype; // dtype: "f32", "i32", "bool", "f16", "bf16"
  unsigned rank;
  sy_dim axis[6];
  uint64_t elements, bytes; // of the caller's buffer, by bounds
} sy_tensor;
typedef struct sy_step { // one kernel launch
  const char *kernel, *about;
  double flops, bytes; // of the launch, as estimated by the compiler
} sy_step;
typedef struct sy_route {
  const char *name;
  unsigned dims; // bit j set: run-time dim j is used
  unsigned ninput, noutput, nstep;
  const sy_tensor *input, *output;
  const sy_step *step;
  double flops;
  uint64_t arena_bytes; // shared part that this route needs
} sy_route;
typedef struct sy_prepare { // how a host fills an input or shows an output
  const char *name, *kind, *options;
} sy_prepare;
// What a tensor of a generate's routes is for. `pair` is the number of its counterpart in the other route.
typedef enum sy_role {
  SY_ROLE_DATA,
  SY_ROLE_WORDS,  // in: ids, i32[B,L] of the start, i32[B,width] of the step
  SY_ROLE_LAST,   // in: number of the word whose scores the start gives, i32[B]
  SY_ROLE_AT,     // in: place of the step's first word, i32[B]
  SY_ROLE_SCORES, // out: f32[B,vocab]
  SY_ROLE_STATE,  // out of the start; the step changes it in place
  SY_ROLE_KEPT,   // out of the start, in of every step
  SY_ROLE_GIVEN,  // in of every step: what the start was given as input `pair`
  SY_ROLE_PARAM,
  SY_ROLE_NEXT,     // out of an objective: what the weight or state of this name holds after the step
  SY_ROLE_GRADIENT, // out of an objective: the gradient of its loss by the weight of this name
  SY_ROLE_NOISE     // in of an objective that draws: i32[4] = low and high word of the seed, step, number of the first
                    // sample
} sy_role;
typedef enum sy_rule { SY_RULE_NEXT_WORD, SY_RULE_MASKED_WORD } sy_rule; // see host/generate.h
typedef struct sy_port {
  unsigned role, pair;
} sy_port;
typedef struct sy_generate { // sentences word by word: two routes, and how the page says that words are chosen
  const char *name, *prompt; // prompt: name of what the words begin with; NULL: start_id
  unsigned rule, width;      // width: words of a step
  unsigned start, step;      // routes
  const sy_port *start_in, *start_out, *step_in, *step_out; // one for each tensor
  int64_t start_id, mask_id, end_id, pad_id;                // -1: the page says none
  int64_t beams, longest, shortest;                         // longest 0: as long as the words may be
  double length_penalty, repetition_penalty;
} sy_generate;
typedef struct sy_bound {
  const char *name;
  uint64_t lo, hi;
} sy_bound;
typedef struct sy_info {
  const char *model;
  uint64_t plan_hash, weights_bytes, shared_bytes, scratch_bytes;
  unsigned ndim, nroute, nisa, nprepare;
  const sy_bound *dim;
  const sy_route *route;
  const char *const *isa; // compiled instruction sets, worst first
  const sy_prepare *prepare;
  const char *built; // with which preset, names and parameters: "preset=base, size=224, .."
  unsigned ngenerate;
  const sy_generate *generate;
} sy_info;

typedef struct sy_config {
  uint32_t abi; // SY_ABI_VERSION
  const void *weights;
  size_t weights_bytes;
  void *arena;
  size_t arena_bytes;
  const sy_exec *exec; // NULL: serial. Copied; ud must outlive the context
  const char *max_isa; // NULL: the best
} sy_config;

// How the processes of a training that share its batches reach each other: functions of the host, as emitted code
// knows of no network. Every process calls each of them at the same place with the same sizes; not 0: another process
// cannot be reached. The same layout as PREFIX_comm.
typedef struct sy_comm {
  unsigned rank, size; // of this process, from 0; how many there are
  void *ud;
  // Each x[0 .. n) becomes the sum over the processes, the same bits in all of them: of ranks 0 .. h - 1 added so, and
  // of the others added so, where h is the greatest power of two below their number.
  int (*sum)(void *ud, float *x, size_t n);
  int (*gather)(void *ud, const void *own, size_t bytes, void *all); // all: `bytes` of each process, by rank
  int (*barrier)(void *ud);
} sy_comm;
// How a model is trained: the functions PREFIX_train_*, PREFIX_grad and PREFIX_update of its header, which say what
// they do.
typedef struct sy_train_config { // the same layout as PREFIX_train_config
  uint32_t abi;
  void *state;
  size_t state_bytes;
  const void *weights;
  size_t weights_bytes;
  void *arena;
  size_t arena_bytes;
  const sy_exec *exec;
  const char *max_isa;
  const sy_comm *comm; // copied; NULL: one process
  unsigned calls;      // of a part
} sy_train_config;
typedef struct sy_hyper { // of a group of weights
  double lr, beta1, beta2, eps, decay;
} sy_hyper;
typedef struct sy_training {
  uint64_t (*state_bytes)(unsigned add); // of the buffer, with `add` times room for gradients of further calls
  sy_status (*init)(void **t, const sy_train_config *c);
  void *(*ctx)(void *t);
  sy_status (*grad)(void *t, unsigned objective, const size_t *dims, const void *const *in, void *const *out);
  sy_status (*update)(void *t, unsigned optimiser, const sy_hyper *group, unsigned ngroup,
                      const unsigned char *group_of, double clip, double *norm);
  const char *(*fault)(const void *t);
  uint64_t (*step)(const void *t);
  void (*set_step)(void *t, uint64_t step);
  sy_status (*put)(void *t, const char *name, int part, const void *rows, size_t bytes);
  sy_status (*get)(const void *t, const char *name, int part, void *rows, size_t bytes);
  sy_status (*save)(const void *t, void *weights, size_t bytes);                  // PREFIX_train_export
  sy_status (*merge)(const void *t, const char *name, float *rows, size_t bytes); // PREFIX_train_merge
} sy_training;
typedef struct sy_model {
  uint32_t abi;
  const sy_info *info;
  size_t (*arena_bytes)(unsigned threads); // for any call; see arena_for
  sy_status (*init)(void **ctx, const sy_config *config);
  // dims: one value for each of info->dim; those that the route does not use are ignored
  sy_status (*call)(void *ctx, unsigned route, const size_t *dims, const void *const *in, void *const *out);
  const char *(*isa)(const void *ctx);
  sy_status (*selftest)(void *ctx);
  const char *(*strerror)(int status);
  // Calls fn after every step of a call; NULL unless the model was built with PREFIX_TRACE.
  void (*set_trace)(void *ctx, void (*fn)(void *ud, unsigned step, const char *kernel, double flops), void *ud);
  // The least arena for calls of a route (info->nroute: of any) with these dims; dims NULL: with any
  size_t (*arena_for)(unsigned route, const size_t *dims, unsigned threads);
  const sy_training *(*training)(void); // NULL, or it gives NULL: there is none
} sy_model;
const sy_model *sy_model_entry(void);

#ifdef __cplusplus
}
#endif

#endif
