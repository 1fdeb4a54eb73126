// main.c: fine-tunes a compiled classifier inside a C program: no allocation, no threads, nothing but the C library and
// what syc wrote. The pictures are drawn here: shapes of some colour and size on a ground of another.
//
//   O="vit -D size=32 -D patch=8 -D dim=48 -D depth=2 -D heads=4 -D classes=4 --dim B=16"
//   O="$O --objective classify --gradients --routes classify"
//   syc emit $O -o vit.c                                        (vit.c and vit.h)
//   syc weights init $O -o start.safetensors
//   syc weights pack $O --weights start.safetensors -o start.syw
//   make && ./finetune start.syw end.syw
//
// end.syw is a weight file for the routes of the same module.
#include "vit.h"

#include <stdio.h>
#include <string.h>

enum {
  SIDE = 32,
  PIXELS = 3 * SIDE * SIDE,
  CLASSES = 4,
  BATCH = VIT_MAX_B,
  HEAD_STEPS = 60,
  ALL_STEPS = 440,
  TESTS = 20
};

static _Alignas(VIT_ALIGN) unsigned char arena[VIT_ARENA_BYTES(1)], serving[VIT_CLASSIFY_ARENA_BYTES(1)];
static _Alignas(VIT_ALIGN) unsigned char state[VIT_TRAIN_BYTES], weights[VIT_WEIGHTS_BYTES];
static float image[VIT_GRAD_CLASSIFY_IMAGE_ELEMENTS], logits[VIT_CLASSIFY_LOGITS_ELEMENTS];
static int32_t label[VIT_GRAD_CLASSIFY_LABELS_ELEMENTS];

/* pictures ------------------------------------------------------------------------------------------------------------
 */
static uint32_t seed;
static float chance(float lo, float hi) { // the same numbers on every machine
  seed = seed * 1664525u + 1013904223u;
  return lo + (hi - lo) * (float)(seed >> 8) / 16777216.0f;
}

static float larger(float a, float b) {
  return a > b ? a : b;
}
static float length_of(float x) {
  return x < 0 ? -x : x;
}

// Is the place x, y from the middle, in sizes of the shape, a part of it? Disc, square, cross, stripes.
static int inside(int shape, float x, float y) {
  float wide = larger(length_of(x), length_of(y));
  switch (shape) {
  case 0: return x * x + y * y < 1;
  case 1: return wide < 0.85f && wide > 0.45f; // a frame
  case 2: return wide < 1 && (length_of(x) < 0.3f || length_of(y) < 0.3f);
  default: return wide < 1 && ((int)((y + 1) * 4) & 1);
  }
}

static void draw(float *picture, int shape) {
  float size = chance(7, 13), cx = chance(12, 20), cy = chance(12, 20), ink[3], ground[3];
  for (int c = 0; c < 3; c++) {
    ground[c] = chance(-1, 0.2f);
    ink[c] = ground[c] + chance(0.4f, 0.8f);
  }
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      int in = inside(shape, ((float)x - cx) / size, ((float)y - cy) / size);
      for (int c = 0; c < 3; c++)
        picture[(c * SIDE + y) * SIDE + x] = (in ? ink[c] : ground[c]) + chance(-0.15f, 0.15f);
    }
}

static void draw_batch(void) {
  for (int b = 0; b < BATCH; b++) {
    label[b] = (int32_t)chance(0, CLASSES);
    draw(image + b * PIXELS, label[b]);
  }
}

/* calls of the model --------------------------------------------------------------------------------------------------
 */
static int failed(vit_status status, const char *what) {
  if (status != VIT_OK) fprintf(stderr, "finetune: %s: %s\n", what, vit_strerror(status));
  return status != VIT_OK;
}

// The share of pictures never trained on that the route gets right; less than 0: the call failed.
static double accuracy(vit_ctx *ctx) {
  int right = 0;
  seed = 77; // the same pictures each time, of another seed than those of training
  for (int i = 0; i < TESTS; i++) {
    draw_batch();
    if (failed(vit_classify(ctx, BATCH, image, logits), "classify")) return -1;
    for (int b = 0; b < BATCH; b++) {
      int best = 0;
      for (int k = 1; k < CLASSES; k++)
        if (logits[b * CLASSES + k] > logits[b * CLASSES + best]) best = k;
      right += best == label[b];
    }
  }
  return (double)right / (TESTS * BATCH);
}

// Group 1: the head; group 0: all below it.
static void find_groups(unsigned char *group_of) {
  for (unsigned i = 0, k = 0; i < vit_train_tensors(); i++)
    if (vit_train_tensor(i)->trained) group_of[k++] = strncmp(vit_train_tensor(i)->name, "heads.", 6) == 0;
}

// Steps with learning rates for what lies below the head, and for the head.
static int train(vit_train *t, int steps, double below, double head) {
  static unsigned char group_of[256];
  const vit_hyper group[] = {{below, 0.9, 0.999, 1e-8, 0.01}, {head, 0.9, 0.999, 1e-8, 0.01}};
  double mean = 0;
  find_groups(group_of);
  for (int i = 0; i < steps; i++) {
    float loss;
    seed = 100000u + (uint32_t)vit_train_step(t) * 7919u;
    draw_batch();
    if (failed(vit_grad_classify(t, BATCH, image, label, &loss), "grad")) return 0;
    if (failed(vit_update(t, VIT_ADAMW, group, 2, group_of, 1.0, NULL), "update")) return 0;
    mean += (double)loss;
    if ((i + 1) % 40 && i + 1 < steps) continue;
    printf("step %3u  loss %.4f\n", (unsigned)vit_train_step(t), mean / (i % 40 + 1));
    mean = 0;
  }
  return 1;
}

/* files ---------------------------------------------------------------------------------------------------------------
 */
static int file(const char *path, const char *mode) {
  FILE *f = fopen(path, mode);
  size_t done = 0;
  if (f) done = *mode == 'r' ? fread(weights, 1, sizeof weights, f) : fwrite(weights, 1, sizeof weights, f);
  int ok = f && (fclose(f) == 0) && done == sizeof weights;
  if (!ok)
    fprintf(stderr, "finetune: %s: cannot %s %zu bytes\n", path, *mode == 'r' ? "read" : "write", sizeof weights);
  return ok;
}

static uint64_t sum_below_head(const vit_train *t) { // of the bits of a weight that the first part must not change
  static float row[48];
  uint64_t sum = 0;
  uint32_t bits;
  if (failed(vit_train_get(t, "encoder.ln.weight", VIT_VALUE, row, sizeof row), "get")) return 0;
  for (int i = 0; i < 48; i++) {
    memcpy(&bits, &row[i], sizeof bits);
    sum = sum * 31 + bits;
  }
  return sum;
}

int main(int argc, char **argv) {
  vit_train_config config = {
      VIT_ABI_VERSION, state, sizeof state, weights, sizeof weights, arena, sizeof arena, NULL, NULL, NULL, 0};
  vit_train *t = NULL;
  if (argc != 3) {
    fprintf(stderr, "usage: finetune START.syw END.syw\n");
    return 2;
  }
  if (!file(argv[1], "rb")) return 3; // copied by init, so that the buffer is free for the export
  if (failed(vit_train_init(&t, &config), "init")) return 1;
  printf("before: %.1f %% of new pictures\n", 100 * accuracy(vit_train_ctx(t)));
  uint64_t frozen = sum_below_head(t);
  if (!train(t, HEAD_STEPS, 0, 3e-3)) return 1;
  printf("head alone: %.1f %%, the rest has %s bits\n", 100 * accuracy(vit_train_ctx(t)),
         sum_below_head(t) == frozen ? "its" : "OTHER");
  if (!train(t, ALL_STEPS, 1e-3, 1e-3)) return 1;
  double trained = accuracy(vit_train_ctx(t));
  printf("everything: %.1f %%\n", 100 * trained);
  if (trained < 0) return 1;

  if (failed(vit_train_export(t, weights, sizeof weights), "export") || !file(argv[2], "wb")) return 1;
  vit_config served = {VIT_ABI_VERSION, weights, sizeof weights, serving, sizeof serving, NULL, NULL};
  vit_ctx *ctx = NULL;
  if (failed(vit_init(&ctx, &served), "the exported weights") || failed(vit_selftest(ctx), "self-test")) return 1;
  double again = accuracy(ctx);
  printf("served from %s: %.1f %%\n", argv[2], 100 * again);
  return again == trained ? 0 : 1;
}
