// train.c: steps of a training on portable code: bits of the losses, then of what the route gives.
//
//   train start.syw > by_us
#include "vit.h"

#include <stdio.h>
#include <string.h>

enum { B = 4, PIXELS = 3 * 32 * 32, CLASSES = 10, STEPS = 3 };

static _Alignas(VIT_ALIGN) unsigned char arena[VIT_ARENA_BYTES(1)], state[VIT_TRAIN_BYTES], weights[VIT_WEIGHTS_BYTES];
static float image[B * PIXELS], logits[B * CLASSES];

static void print(const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    printf("%x\n", (unsigned)bits);
  }
}

int main(int argc, char **argv) {
  static const int32_t labels[B] = {3, 1, 4, 1};
  const vit_hyper h = {0.01, 0.9, 0.999, 1e-8, 0.05};
  vit_train_config config = {
      VIT_ABI_VERSION, state, sizeof state, weights, sizeof weights, arena, sizeof arena, NULL, "portable", NULL, 0};
  vit_train *t = NULL;
  FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (!f || fread(weights, sizeof weights, 1, f) != 1) return 3;
  fclose(f);
  for (uint32_t i = 0; i < B * PIXELS; i++) image[i] = (float)(i * 2654435761u >> 8) / 16777216.0f - 0.5f;
  if (vit_train_init(&t, &config)) return 1;
  for (int step = 0; step < STEPS; step++) {
    float loss;
    if (vit_grad_classify(t, B, image, labels, &loss)) return 1;
    if (vit_update(t, VIT_ADAMW, &h, 1, NULL, 1.0, NULL)) return 1;
    print(&loss, 1);
  }
  if (vit_classify(vit_train_ctx(t), B, image, logits)) return 1;
  print(logits, B * CLASSES);
  return 0;
}
