// attention_cases.h: attentions whose gradients are tested: masks, biases, positions, segments, run-time lengths. Texts
// for a module with dims B, L up to 21 and T, and modalities vision and language.
#ifndef SY_TEST_ATTENTION_CASES_H
#define SY_TEST_ATTENTION_CASES_H

#include "ir/base/base.h"

#include <stdlib.h>
#include <string.h>

// Operands %1 q, %2 k, %3 v, %4 dy; %5 a mask, %6 a bias, %7 positions, where there are any.
typedef struct GradCase {
  const char *name, *inputs, *args, *attrs;
  const char *q, *k, *v, *y; // their types
  const char *bias;          // its type; NULL: none
} GradCase;

static const GradCase grad_cases[] = {
    {"plain", "", "", "heads = 3, scale = 0.35", "f32[B,23,24]", "f32[B,23,24]", "f32[B,23,24]", "f32[B,23,24]", NULL},
    {"other keys, values of other widths", "", "", "heads = 2, scale = 0.5", "f32[B,5,24]", "f32[B,L,24]",
     "f32[B,L,10]", "f32[B,5,10]", NULL},
    {"one query", "", "", "heads = 2, scale = 0.5", "f32[B,1,64]", "f32[B,L,64]", "f32[B,L,96]", "f32[B,1,96]", NULL},
    {"one head, many queries", "", "", "heads = 1, scale = 0.125", "f32[B,130,32]", "f32[B,130,32]", "f32[B,130,32]",
     "f32[B,130,32]", NULL},
    {"queries in several blocks", "", "", "heads = 2, scale = 0.5", "f32[1,81,16]", "f32[1,1000,16]", "f32[1,1000,16]",
     "f32[1,81,16]", NULL},
    {"run-time queries in several blocks", "", "", "heads = 2, scale = 0.5", "f32[1,12*L,16]", "f32[1,500,16]",
     "f32[1,500,16]", "f32[1,12*L,16]", NULL},
    {"causal", "", "", "heads = 2, scale = 0.5, where = \"(le key query)\"", "f32[B,L,24]", "f32[B,L,24]",
     "f32[B,L,24]", "f32[B,L,24]", NULL},
    {"causal, a known length", "", "", "heads = 2, scale = 0.5, where = \"(le key query)\"", "f32[B,37,24]",
     "f32[B,37,24]", "f32[B,37,40]", "f32[B,37,40]", NULL},
    {"causal and padding", "%5 = input \"m\" : bool[B,L]\n", ", %5",
     "heads = 3, scale = 0.5, where = \"(and (arg 3) (le key query))\"", "f32[B,L,24]", "f32[B,L,24]", "f32[B,L,24]",
     "f32[B,L,24]", NULL},
    {"a prefix of run-time length", "", "", "heads = 2, scale = 0.5, where = \"(or (below key L -4) (le key query))\"",
     "f32[B,L,24]", "f32[B,L,24]", "f32[B,L,24]", "f32[B,L,24]", NULL},
    {"nothing visible", "", "", "heads = 2, scale = 0.5, where = \"(lt key query)\"", "f32[B,L,24]", "f32[B,L,24]",
     "f32[B,L,24]", "f32[B,L,24]", NULL},
    {"number added to hidden keys", "%5 = input \"m\" : bool[B,L]\n", ", %5",
     "heads = 2, scale = 0.5, masked = -2, where = \"(arg 3)\"", "f32[B,5,24]", "f32[B,L,24]", "f32[B,L,10]",
     "f32[B,5,10]", NULL},
    {"segments with a gap", "%5 = input \"m\" : bool[B,language: L + vision: 5]\n", ", %5",
     "heads = 3, scale = 0.5, where = \"(and (arg 3) (or (is key vision) (and (is query language) (le key query))))\"",
     "f32[B,language: L + vision: 5,24]", "f32[B,language: L + vision: 5,24]", "f32[B,language: L + vision: 5,24]",
     "f32[B,language: L + vision: 5,24]", NULL},
    {"causal second segment", "", "",
     "heads = 3, scale = 0.5, where = \"(or (is key vision) (and (is query language) (le key query)))\"",
     "f32[B,vision: 5 + language: L,24]", "f32[B,vision: 5 + language: L,24]", "f32[B,vision: 5 + language: L,24]",
     "f32[B,vision: 5 + language: L,24]", NULL},
    {"hidden segment", "", "", "heads = 2, scale = 1, where = \"(is key language)\"", "f32[B,7,32]",
     "f32[B,vision: T + language: L,32]", "f32[B,vision: T + language: L,32]", "f32[B,7,32]", NULL},
    {"position from data", "%7 = input \"i\" : i32[B]\n", ", %7", "heads = 2, scale = 0.5, where = \"(le key query)\"",
     "f32[B,1,24]", "f32[B,21,24]", "f32[B,21,24]", "f32[B,1,24]", NULL},
    {"bias", "%6 = input \"bias\" : f32[3,21,21]\n", ", %6", "heads = 3, scale = 0.5", "f32[B,L,24]", "f32[B,L,24]",
     "f32[B,L,24]", "f32[B,L,24]", "f32[3,21,21]"},
    {"bias of a known length", "%6 = weight \"bias\" : f32[2,19,23]\n", ", %6", "heads = 2, scale = 1", "f32[B,19,32]",
     "f32[B,23,32]", "f32[B,23,16]", "f32[B,19,16]", "f32[2,19,23]"},
    {"bias over segments, padding",
     "%5 = input \"m\" : bool[B,language: L + vision: 5]\n%6 = input \"bias\" : f32[3,26,26]\n", ", %5, %6",
     "heads = 3, scale = 0.5, where = \"(arg 3)\"", "f32[B,language: L + vision: 5,24]",
     "f32[B,language: L + vision: 5,24]", "f32[B,language: L + vision: 5,24]", "f32[B,language: L + vision: 5,24]",
     "f32[3,26,26]"},
};
enum { GRAD_CASES = sizeof grad_cases / sizeof *grad_cases };

// The operand that is the bias, 0: there is none.
static inline int grad_bias(const GradCase *c) {
  return c->bias ? 3 + (strstr(c->args, "%5") != NULL) : 0;
}

static inline void grad_inputs(const GradCase *c, Buf *b) {
  const char *types[] = {c->q, c->k, c->v};
  for (int i = 0; i < 3; i++) buf_printf(b, "%%%d = input \"x%d\" : %s\n", i + 1, i, types[i]);
  buf_printf(b, "%%4 = input \"dy\" : %s\n%s", c->y, c->inputs);
}

// Operands 0 .. 2 that have the rows of operand i, from it on; returns how many.
static inline int grad_joined(const GradCase *c, int i, int *wrt) {
  const char *types[] = {c->q, c->k, c->v};
  int n = 0;
  size_t rows = (size_t)(strrchr(types[i], ',') - types[i]);
  for (int k = i; k < 3; k++)
    if (strrchr(types[k], ',') == types[k] + rows && !strncmp(types[i], types[k], rows)) wrt[n++] = k;
  return n;
}

// %20: the gradients by several operands of the same rows.
static inline void grad_joint(const GradCase *c, const int *wrt, int n, Buf *b) {
  const char *types[] = {c->q, c->k, c->v};
  int columns = 0, rows = (int)(strrchr(types[wrt[0]], ',') - types[wrt[0]]);
  buf_printf(b, "%%20 = attention_grad %%1, %%2, %%3%s, %%4 {%s, wrt = [", c->args, c->attrs);
  for (int i = 0; i < n; i++) {
    buf_printf(b, "%s%d", i ? ", " : "", wrt[i]);
    columns += atoi(strrchr(types[wrt[i]], ',') + 1);
  }
  buf_printf(b, "]} : %.*s,%d]\n", rows, types[wrt[0]], columns);
}

// The gradients by operands wrt[0 .. n), each an output.
static inline void grad_outputs(const GradCase *c, const int *wrt, int n, Buf *b) {
  const char *types[] = {c->q, c->k, c->v};
  for (int i = 0; i < n; i++)
    buf_printf(b, "%%%d = attention_grad %%1, %%2, %%3%s, %%4 {%s, wrt = [%d]} : %s\n", 10 + i, c->args, c->attrs,
               wrt[i], wrt[i] < 3 ? types[wrt[i]] : c->bias);
  for (int i = 0; i < n; i++) buf_printf(b, "output \"y%d\" = %%%d\n", wrt[i], 10 + i);
}

#endif
