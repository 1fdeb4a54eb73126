// main.c: classifies four made-up pictures with the tiny ViT that CMakeLists.txt compiles, on all cores.
//
// The runtime library maps the weights and lends its thread pool; sy_exec and tiny_exec have the same layout, so the
// pool is handed over field by field.
#include "tiny.h"

#include <stdio.h>
#include <stdlib.h>
#include <switchyard.h>

static float image[TINY_CLASSIFY_IMAGE_ELEMENTS], logits[TINY_CLASSIFY_LOGITS_ELEMENTS];

int main(void) {
  sy_map weights;
  sy_status found = sy_map_open(&weights, TINY_WEIGHTS, 0);
  if (found != SY_OK) {
    fprintf(stderr, "%s: %s\n", TINY_WEIGHTS, sy_strerror((int)found));
    return 3;
  }
  sy_pool *pool = sy_pool_new(sy_cpu_cores());
  sy_exec threads = sy_pool_exec(pool);
  tiny_exec exec = {threads.parallel_for, threads.ud, threads.threads};
  size_t bytes = TINY_ARENA_BYTES(exec.threads);
  void *arena = aligned_alloc(TINY_ALIGN, (bytes + TINY_ALIGN - 1) / TINY_ALIGN * TINY_ALIGN);
  for (size_t i = 0; i < TINY_CLASSIFY_IMAGE_ELEMENTS; i++) image[i] = (float)(i % 17) / 8.0f - 1.0f;

  tiny_config config = {TINY_ABI_VERSION, weights.data, weights.bytes, arena, bytes, &exec, NULL};
  tiny_ctx *ctx = NULL;
  tiny_status status = arena ? tiny_init(&ctx, &config) : TINY_EARENA;
  if (status == TINY_OK) status = tiny_classify(ctx, TINY_MAX_B, image, logits);
  if (status == TINY_OK) {
    size_t classes = TINY_CLASSIFY_LOGITS_ELEMENTS / TINY_MAX_B, best = 0;
    for (size_t i = 1; i < classes; i++)
      if (logits[i] > logits[best]) best = i;
    printf("class %zu of %zu, logit %.4f\n", best, classes, (double)logits[best]);
  } else {
    fprintf(stderr, "tiny: %s\n", tiny_strerror(status));
  }
  free(arena);
  sy_pool_free(pool);
  sy_map_close(&weights);
  return status == TINY_OK ? 0 : 1;
}
