// update.c: see update.h. Each rule is written as its authors compute it, operation by operation, without fma, so that
// a run can be compared with theirs; only square roots and quotients are in it beside sums and products, so that every
// instruction set gives the same bits.
//
//   par i step 16384:  loop j step 8:  m[j] = m[j] * h[1] + (g[j] * h[0]) * h[2];  ..
#include "update.h"

#include <string.h>

const UpdateInfo update_info[MDL__UPDATES] = {
#define OPTIMISER(name, id, hyper, about) [id] = {#name, about},
#include "ir/optimisers.def"
#undef OPTIMISER
    [MDL__UPDATE_MOVE] = {"move", "p - rate g: the step of lamb"},
    [MDL__UPDATE_ADD] = {"add", "p + g: gradients of several batches"},
    [MDL__UPDATE_AVERAGE] = {"average", "keep p + rate g: an average of weights"},
};

enum { P, M, V, G, BUFFERS };

typedef struct Update {
  Kernel *k;
  KBufRef buf[BUFFERS], numbers;
  KVal h[MDL__H_COUNT];
  KIdx at;
  uint32_t lanes;
} Update;

static KVal add(Update *u, KVal a, KVal b) {
  return kb_op2(u->k, K_add, a, b);
}
static KVal sub(Update *u, KVal a, KVal b) {
  return kb_op2(u->k, K_sub, a, b);
}
static KVal mul(Update *u, KVal a, KVal b) {
  return kb_op2(u->k, K_mul, a, b);
}
static KVal over(Update *u, KVal a, KVal b) {
  return kb_op2(u->k, K_div, a, b);
}
static KVal get(Update *u, int b) {
  return kb_load(u->k, u->buf[b], u->at, u->lanes, u->lanes, NULL);
}
static void put(Update *u, int b, KVal v) {
  kb_store(u->k, u->buf[b], u->at, v, u->lanes);
}

// exp_avg and exp_avg_sq, as torch.optim.adamw of 1.13 and Hugging Face's AdamW have them.
static void moments(Update *u, KVal *m, KVal *v) {
  KVal g = mul(u, get(u, G), u->h[MDL__H_SCALE]);
  *m = add(u, mul(u, get(u, M), u->h[MDL__H_BETA1]), mul(u, g, u->h[MDL__H_REST1]));
  *v = add(u, mul(u, get(u, V), u->h[MDL__H_BETA2]), mul(u, mul(u, g, g), u->h[MDL__H_REST2]));
  put(u, M, *m);
  put(u, V, *v);
}

// What a parameter becomes: at rate 0 it keeps every bit, the sign of a zero and whatever its step is, too.
static void settle(Update *u, KVal p) {
  KVal zero = kb_const(u->k, 0, DT_F32, u->lanes);
  put(u, P, kb_op3(u->k, K_select, kb_op2(u->k, K_eq, u->h[MDL__H_RATE], zero), get(u, P), p));
}

// torch.optim.AdamW: decay first, eps behind the bias correction.
static void adamw(Update *u) {
  KVal m, v;
  moments(u, &m, &v);
  KVal root = add(u, over(u, kb_op1(u->k, K_sqrt, v), u->h[MDL__H_ROOT]), u->h[MDL__H_EPS]);
  settle(u, sub(u, mul(u, get(u, P), u->h[MDL__H_KEEP]), mul(u, u->h[MDL__H_RATE], over(u, m, root))));
}

// Hugging Face's AdamW (ViLT, VLMo): eps in front of the bias correction, decay last, of the new parameter.
static void adamw_hf(Update *u) {
  KVal m, v;
  moments(u, &m, &v);
  KVal root = add(u, kb_op1(u->k, K_sqrt, v), u->h[MDL__H_EPS]);
  KVal p = sub(u, get(u, P), mul(u, u->h[MDL__H_RATE], over(u, m, root)));
  settle(u, sub(u, p, mul(u, u->h[MDL__H_DECAY], p)));
}

// torch.optim.SGD with momentum, without dampening: the decay is part of the gradient.
static void sgd(Update *u) {
  KVal p = get(u, P);
  KVal g = add(u, mul(u, get(u, G), u->h[MDL__H_SCALE]), mul(u, p, u->h[MDL__H_DECAY]));
  KVal m = add(u, mul(u, get(u, M), u->h[MDL__H_BETA1]), g);
  put(u, M, m);
  settle(u, sub(u, p, mul(u, u->h[MDL__H_RATE], m)));
}

// LAMB (You et al., 2020, algorithm 2): Adam's step with decay; whoever calls it knows its length.
static void lamb(Update *u) {
  KVal m, v;
  moments(u, &m, &v);
  KVal root = add(u, kb_op1(u->k, K_sqrt, over(u, v, u->h[MDL__H_C2])), u->h[MDL__H_EPS]);
  KVal step = add(u, over(u, over(u, m, u->h[MDL__H_C1]), root), mul(u, u->h[MDL__H_DECAY], get(u, P)));
  put(u, G, step);
}

static void move(Update *u) {
  settle(u, sub(u, get(u, P), mul(u, u->h[MDL__H_RATE], get(u, G))));
}
static void sum(Update *u) {
  put(u, P, add(u, get(u, P), get(u, G)));
}
static void average(Update *u) {
  put(u, P, add(u, mul(u, u->h[MDL__H_KEEP], get(u, P)), mul(u, u->h[MDL__H_RATE], get(u, G))));
}

typedef struct Rule {
  void (*emit)(Update *u);
  const char *buffers; // in the order of the parameters; capital: written
  bool numbers;
} Rule;
static const Rule rules[MDL__UPDATES] = {
    [MDL_ADAMW] = {adamw, "PMVg", true},
    [MDL_ADAMW_HF] = {adamw_hf, "PMVg", true},
    [MDL_SGD] = {sgd, "PMg", true},
    [MDL_LAMB] = {lamb, "pMVG", true},
    [MDL__UPDATE_MOVE] = {move, "Pg", true},
    [MDL__UPDATE_ADD] = {sum, "Pg", false},
    [MDL__UPDATE_AVERAGE] = {average, "Pg", true},
};

static void add_buffers(Update *u, const Rule *r, int64_t most) {
  static const char order[] = "pmvg";
  static const char *const name[BUFFERS] = {"p", "m", "v", "g"};
  for (const char *c = r->buffers; *c; c++) {
    bool written = *c < 'a';
    int b = (int)(strchr(order, written ? *c + 'a' - 'A' : *c) - order);
    u->buf[b] = kb_buf(u->k, name[b], DT_F32, written ? KB_OUT : KB_IN, most);
  }
  if (r->numbers) u->numbers = kb_buf(u->k, "h", DT_F32, KB_IN, MDL__H_COUNT);
}

Kernel *update_kernel(Arena *a, const Target *t, unsigned which) {
  enum { MOST = 1 << 26 }; // grains: 4 GiB of f32
  const Rule *r = &rules[which];
  Update u = {.k = kernel_new(a, arena_printf(a, "update_%s", update_info[which].name), t->lanes), .lanes = t->lanes};
  KIdx end = ki_mul(ki_var(kb_dim(u.k, "grains", 0, 1, MOST)), UPDATE_GRAIN);
  add_buffers(&u, r, (int64_t)MOST * UPDATE_GRAIN);
  KIdx first = ki_var(kb_par(u.k, "i", kbound(ki_const(0)), kbound(end), UPDATE_TASK));
  for (int i = 0; r->numbers && i < MDL__H_COUNT; i++) u.h[i] = kb_bcast(u.k, u.numbers, ki_const(i), NULL);
  u.at = ki_var(kb_loop(u.k, "j", kbound(first), kbound_cap(ki_addc(first, UPDATE_TASK), end), t->lanes));
  r->emit(&u);
  kb_end(u.k);
  kb_end(u.k);
  u.k->about = update_info[which].about;
  u.k->flops = UPDATE_TASK * 8.0;
  u.k->bytes = UPDATE_TASK * 4.0 * 4;
  kb_finish(u.k);
  kernel_legalise(u.k, t->has_fma);
  const char *why = NULL;
  if (!kernel_verify(u.k, &why)) ICE("update %s for %s: %s", update_info[which].name, t->name, why);
  return u.k;
}
