// adapter.h: low-rank adapters of linears (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021).
//
//   y = x W^T + b   becomes   y + scale * (dropout(x) A^T) B^T,   A f32[R,K], B f32[N,R], scale = alpha / R
//
// W is frozen, A and B are trained; W + scale * B A is the matrix of the same network without an adapter. In a graph
// the factors are weights that say what they belong to:
//
//   %7 = weight "blocks.0.attn.qkv.lora_A.weight" {adapts = "blocks.0.attn.qkv.weight"} : f32[8,768]
//   %8 = weight "blocks.0.attn.qkv.lora_B.weight" {scale = 0x1p+1, adapts = "blocks.0.attn.qkv.weight"} : f32[2304,8]
//
// Names and shapes are those of Hugging Face's peft. A begins uniform in [-1/sqrt(K), 1/sqrt(K)) and B with zeros:
// kaiming_uniform_(A, a = sqrt(5)) as in the authors' loralib (layers.py) and in peft, whose bound is
// sqrt(2 / (1 + 5)) * sqrt(3 / K); the paper's text says Gaussian.
#ifndef SY_ADAPTER_H
#define SY_ADAPTER_H

#include "graph.h"

typedef struct Adapter {
  const char *base, *a, *b; // names of the three weights
  const char *module;       // base without ".weight"
  int64_t rank, n, k;       // W is [n,k]; turned: [k,n]
  bool turned;
  double scale;
} Adapter;
typedef struct AdapterList {
  const Adapter *at;
  size_t n;
} AdapterList;
// Of all graphs of a module, each once, in order of first use.
AdapterList adapters_of(const Module *m, Arena *a);
const Adapter *adapter_of(const AdapterList *l, const char *base); // NULL: it has none
// The name of a factor, 'A' or 'B': "x.lora_A.weight" of "x.weight", "x.lora_A" of another x.
const char *adapter_factor(Arena *a, const char *base, char which);
bool is_adapter_factor(const Value *v); // is it a weight of an adapter?
// Is a weight that is no state trained under these patterns?
bool weight_is_trained(const Value *v, const StagePattern *pattern, size_t n);

#endif
