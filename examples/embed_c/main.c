// main.c: a compiled classifier inside a C program that brings nothing along: the weights are read with fread, the
// arena is static, there are no threads.
//
//   syc emit models/vit.sy --emit=c -o vit.c                        (vit.c and vit.h)
//   syc weights pack models/vit.sy --weights vit.safetensors -o vit.syw
//   make && ./classify vit.syw pixels.f32                           (f32[3,224,224], normalised)
#include "vit.h"

#include <stdio.h>
#include <stdlib.h>

static _Alignas(VIT_ALIGN) unsigned char arena[VIT_CLASSIFY_ARENA_BYTES(1)];
static float image[VIT_CLASSIFY_IMAGE_ELEMENTS / VIT_MAX_B];
static float logits[VIT_CLASSIFY_LOGITS_ELEMENTS / VIT_MAX_B];

static int read_exactly(const char *path, void *dst, size_t n) {
  FILE *f = fopen(path, "rb");
  int ok = f && fread(dst, 1, n, f) == n;
  if (f) fclose(f);
  if (!ok) fprintf(stderr, "%s: cannot read %zu bytes\n", path, n);
  return ok;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: classify WEIGHTS.syw PIXELS.f32\n");
    return 2;
  }
  size_t bytes = ((size_t)VIT_WEIGHTS_BYTES + VIT_ALIGN - 1) / VIT_ALIGN * VIT_ALIGN;
  void *weights = aligned_alloc(VIT_ALIGN, bytes);
  if (!weights || !read_exactly(argv[1], weights, VIT_WEIGHTS_BYTES) || !read_exactly(argv[2], image, sizeof image))
    return 3;
  vit_config config = {VIT_ABI_VERSION, weights, VIT_WEIGHTS_BYTES, arena, sizeof arena, NULL, NULL};
  vit_ctx *ctx = NULL;
  vit_status status = vit_init(&ctx, &config);
  if (status == VIT_OK) status = vit_classify(ctx, 1, image, logits);
  if (status != VIT_OK) {
    fprintf(stderr, "vit: %s\n", vit_strerror(status));
    return 1;
  }
  size_t best = 0, classes = sizeof logits / sizeof *logits;
  for (size_t i = 1; i < classes; i++)
    if (logits[i] > logits[best]) best = i;
  printf("class %zu, logit %g, on %s\n", best, (double)logits[best], vit_isa(ctx));
  free(weights);
  return 0;
}
