//@ alone
// train.h: the C interface of the training of a compiled model; a part of its header where the module has objectives
// with gradients. See model.h.
#ifndef MDL_TRAIN_H
#define MDL_TRAIN_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

//@ end
/* Training: weights, gradients, moments and states lie in one buffer of the caller, which may be a shared mapping of a
 * file: what is there after an update, mdl_train_init goes on from. A step is mdl_grad (losses, gradients) and
 * mdl_update:
 *
 *   mdl_train_config config = {MDL_ABI_VERSION, state, MDL_TRAIN_BYTES, weights, weights_bytes, arena, sizeof arena};
 *   mdl_train *t;
 *   mdl_hyper h = {1e-3, 0.9, 0.999, 1e-8, 0.01};
 *   if (mdl_train_init(&t, &config)) ..
 *   mdl_grad(t, MDL_OBJECTIVE_.., dims, in, losses);   mdl_update(t, MDL_ADAMW, &h, 1, NULL, 0, NULL);
 *   mdl_call(mdl_train_ctx(t), ..);   the routes of the module, and their functions, with the weights as they are now
 *
 * The same bits for any number of threads and every instruction set with fma. */
typedef struct mdl_train mdl_train; /* at the start of the state; there is nothing to free */

/* How processes that share the batches of a training reach each other: functions of the host, as a module knows of no
 * network. Each process makes as many calls of mdl_grad as the others, and every update with the same arguments. All
 * call each function at the same place with the same sizes; not 0: another process cannot be reached. */
typedef struct mdl_comm {
  unsigned rank, size; /* of this process, from 0; how many there are */
  void *ud;
  /* Each x[0 .. n) becomes the sum over the processes, the same bits in all of them: of ranks 0 .. h - 1 added so, and
   * of the others added so, where h is the greatest power of two below their number. */
  int (*sum)(void *ud, float *x, size_t n);
  int (*gather)(void *ud, const void *own, size_t bytes, void *all); /* for hosts; a module may find NULL here */
  int (*barrier)(void *ud);                                          /* as well */
} mdl_comm;

typedef struct mdl_train_config {
  uint32_t abi;         /* MDL_ABI_VERSION */
  void *state;          /* aligned to MDL_ALIGN; belongs to the training from here on */
  size_t state_bytes;   /* MDL_TRAIN_BYTES, and MDL_TRAIN_ADD_BYTES more, or several times that, to add gradients */
  const void *weights;  /* to begin with, copied; NULL: the state goes on as an earlier run left it */
  size_t weights_bytes; /* MDL_WEIGHTS_BYTES */
  void *arena;          /* as in mdl_config */
  size_t arena_bytes;
  const mdl_exec *exec;
  const char *max_isa;
  const mdl_comm *comm; /* copied; NULL: one process */
  unsigned calls;       /* of mdl_grad in a part (see there); 0: 1 */
} mdl_train_config;

typedef enum mdl_optimiser {
  MDL_ADAMW,    /* torch.optim.AdamW: decay first, eps behind the bias correction */
  MDL_ADAMW_HF, /* Hugging Face's AdamW: eps in front of the bias correction, decay last */
  MDL_SGD,      /* momentum (beta1), decay as part of the gradient */
  MDL_LAMB,     /* Adam's step, as long as the parameter times lr */
  MDL_OPTIMISERS
} mdl_optimiser;
/* Of a group of weights. lr, decay: 0 or more; beta1, beta2: 0 or more, less than 1; eps: more than 0, of all but
 * MDL_SGD. With lr 0 a weight keeps every bit, whatever its decay; its moments move. */
typedef struct mdl_hyper {
  double lr, beta1, beta2, eps, decay;
} mdl_hyper;

typedef struct mdl_trained { /* what mdl_train_tensor tells */
  const char *name;          /* of the checkpoint's tensor */
  uint64_t elements;         /* of that tensor, row-major */
  char dtype;                /* 'f' f32, 'i' i32, 'b' bytes 0 or 1 */
  int trained;               /* has a gradient; else it is frozen, or a state */
} mdl_trained;
/* What of a tensor mdl_train_get and mdl_train_put mean. */
enum { MDL_VALUE, MDL_GRADIENT, MDL_MOMENT1, MDL_MOMENT2 };

/* MDL_EARENA: the state or the arena is too small. MDL_EALIGN: one of them is not aligned. MDL_EWEIGHTS, MDL_EPLAN:
 * what there is to begin with is no weight file or no state, or one of another model, or of this one with other weights
 * trained. A state of zeros without weights is a beginning, too: with weights of zero, for mdl_train_put. */
mdl_status mdl_train_init(mdl_train **t, const mdl_train_config *c);
/* The context of the model's routes, which read the weights as they are now: one call at a time, none during mdl_grad
 * or mdl_update. Checksums are those of mdl_train_export alone: mdl_selftest says MDL_EWEIGHTS of this context. */
mdl_ctx *mdl_train_ctx(mdl_train *t);
/* Losses and further outputs of objective `objective` into `out`, one buffer for each; gradients into the state: they
 * are added to what is there since the last update (MDL_EARENA: the state has no room for a second batch).
 * In which order: `calls` calls are a part, added one after the other; two parts are added, two such sums, and so on,
 * as the bits of the number of parts carry, so that processes with 2^k parts each have the bits of one with all. For p
 * parts it takes log2(p) times MDL_TRAIN_ADD_BYTES, once more where calls > 1; with less room, what there is no room
 * for is added at once. With one, all are added in their order, and MDL_GRADIENT is their sum. What the objective
 * assigns (queues, averages) is taken over by the next mdl_grad or mdl_update. MDL_ENUMERIC: the first loss is not
 * finite; then, and where the call is refused (as mdl_call would), nothing of the batch is left. */
mdl_status mdl_grad(mdl_train *t, unsigned objective, const size_t *dims, const void *const *in, void *const *out);
/* One update with the mean of the gradients since the last one, of all processes (MDL_ECOMM: one cannot be reached,
 * and nothing was changed but that the gradients are forgotten), for `ngroup` groups (1 to 256). group_of: number of
 * the group of each trained tensor, in the order of mdl_train_tensor without those that are not trained; NULL: all are
 * in group 0. clip: gradients are scaled down to this norm of all together; 0: never. *norm (may be NULL): what it was.
 * MDL_EINVAL: no gradients are there, or a number or a group is out of its bounds.
 * MDL_ENUMERIC: a gradient is not finite, nothing was changed but that the gradients are forgotten; mdl_train_fault
 * names the first such tensor. */
mdl_status mdl_update(mdl_train *t, mdl_optimiser o, const mdl_hyper *group, unsigned ngroup,
                      const unsigned char *group_of, double clip, double *norm);
const char *mdl_train_fault(const mdl_train *t); /* "loss", a tensor, or NULL */
uint64_t mdl_train_step(const mdl_train *t);     /* updates done */
void mdl_train_set_step(mdl_train *t, uint64_t step);
unsigned mdl_train_tensors(void);
const mdl_trained *mdl_train_tensor(unsigned i); /* NULL: there are fewer */
/* A tensor under its name in the checkpoint, row-major, `bytes` long. MDL_EINVAL: there is none, or it has another size
 * or no such part. Frozen weights that lie in the file in several orders, or as parts of others, are none. */
mdl_status mdl_train_put(mdl_train *t, const char *name, int part, const void *rows, size_t bytes);
mdl_status mdl_train_get(const mdl_train *t, const char *name, int part, void *rows, size_t bytes);
/* Adapters (LoRA): a matrix W of the checkpoint of this name is frozen, and its linears compute with W + scale * B A; A
 * and B are trained tensors, NAME.lora_A.weight and NAME.lora_B.weight of NAME.weight. Merging adds scale * B A to
 * `rows`, which hold W, row-major, f32: the model without adapters has the weights that come of it. MDL_EINVAL: nothing
 * of that name is adapted, or it has another size. */
unsigned mdl_train_adapters(void);
const char *mdl_train_adapter(unsigned i); /* the name of the matrix; NULL: there are fewer */
mdl_status mdl_train_merge(const mdl_train *t, const char *name, float *rows, size_t bytes);
/* The weights as they are now, as the weight file that mdl_init takes: MDL_WEIGHTS_BYTES. MDL_EINVAL: `bytes` are
 * fewer.
 */
mdl_status mdl_train_export(const mdl_train *t, void *weights, size_t bytes);
//@ alone

#ifdef __cplusplus
}
#endif

#endif
