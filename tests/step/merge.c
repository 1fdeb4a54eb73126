// merge.c: the adapter of a matrix through the C interface: B begins with zeros, two steps move A and B, and what
// tiny_train_merge adds to W is 2 B A. Usage: merge WEIGHTS
#include "tiny.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 12, RANK = 2 };

#define CHECK(x)                                                                                                       \
  if (!(x)) return fprintf(stderr, "merge.c:%d: %s\n", __LINE__, #x), 1

int main(int argc, char **argv) {
  FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
  void *weights = aligned_alloc(TINY_ALIGN, (TINY_WEIGHTS_BYTES + TINY_ALIGN) / TINY_ALIGN * TINY_ALIGN);
  void *state = aligned_alloc(TINY_ALIGN, (TINY_TRAIN_BYTES + TINY_ALIGN) / TINY_ALIGN * TINY_ALIGN);
  size_t arena_bytes = TINY_ARENA_BYTES(1);
  void *arena = aligned_alloc(TINY_ALIGN, (arena_bytes + TINY_ALIGN) / TINY_ALIGN * TINY_ALIGN);
  CHECK(f && weights && state && arena && fread(weights, 1, TINY_WEIGHTS_BYTES, f) == TINY_WEIGHTS_BYTES);
  fclose(f);
  tiny_train_config config = {
      TINY_ABI_VERSION, state, TINY_TRAIN_BYTES, weights, TINY_WEIGHTS_BYTES, arena, arena_bytes, NULL, NULL, NULL, 0};
  tiny_train *t;
  CHECK(tiny_train_init(&t, &config) == TINY_OK);
  CHECK(tiny_train_adapters() == 1 && tiny_train_adapter(0)[0] == 'f' && !tiny_train_adapter(1));

  static float zero[N * N], w[N * N], a[RANK * N], b[N * RANK];
  CHECK(tiny_train_merge(t, "fc.weight", zero, sizeof zero) == TINY_OK);
  for (int i = 0; i < N * N; i++) CHECK(zero[i] == 0);
  static _Alignas(64) int32_t text[8 * 6] = {1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 0, 0, 1, 3, 5, 7}; // rows of the bound
  static _Alignas(64) int32_t labels[8] = {2, 3, 4};
  static _Alignas(64) float loss, plain;
  const void *in[] = {text, labels};
  void *out[] = {&loss, &plain};
  tiny_hyper h = {0.05, 0.9, 0.999, 1e-8, 0};
  const size_t dims[] = {3, 4};
  for (int i = 0; i < 2; i++) {
    CHECK(tiny_grad(t, 0, dims, in, out) == TINY_OK);
    CHECK(tiny_update(t, TINY_ADAMW, &h, 1, NULL, 0, NULL) == TINY_OK);
  }
  CHECK(tiny_train_get(t, "fc.lora_A.weight", TINY_VALUE, a, sizeof a) == TINY_OK);
  CHECK(tiny_train_get(t, "fc.lora_B.weight", TINY_VALUE, b, sizeof b) == TINY_OK);
  for (int i = 0; i < N * N; i++) w[i] = (float)i;
  CHECK(tiny_train_merge(t, "fc.weight", w, sizeof w) == TINY_OK);
  double moved = 0;
  for (int n = 0; n < N; n++)
    for (int k = 0; k < N; k++) {
      double sum = 0;
      for (int r = 0; r < RANK; r++) sum += (double)b[n * RANK + r] * (double)a[r * N + k];
      CHECK(w[n * N + k] == (float)((double)(n * N + k) + 2 * sum));
      moved += fabs(sum);
    }
  CHECK(moved > 0);
  CHECK(tiny_train_merge(t, "fc.weight", w, sizeof w - 4) == TINY_EINVAL);
  CHECK(tiny_train_merge(t, "head.weight", w, 240) == TINY_EINVAL);
  CHECK(tiny_train_merge(NULL, "fc.weight", w, sizeof w) == TINY_EINVAL);
  free(weights), free(state), free(arena);
  return 0;
}
