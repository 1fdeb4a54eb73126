// main.c: captions inside a C program, the most probable word each time. The two entry points of a `generate` are
// called through blip_call, so that the number of caches (two a layer) does not matter; their buffers are found by
// name.
//
//   syc emit models/blip.sy:caption_base --routes caption --prefix blip -o blip.c          (blip.c and blip.h)
//   syc weights pack models/blip.sy:caption_base --routes caption --weights blip.safetensors -o blip.syw
//   make && ./caption blip.syw pixels.f32 102 20 30522 1037 3861 1997      (end, longest, then the ids to begin with)
#include "blip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 128 };

typedef struct Entry { // one entry point with its buffers
  const blip_route *route;
  unsigned number;
  void *in[MAX_TENSORS], *out[MAX_TENSORS];
} Entry;

static void *buffer(size_t bytes) {
  void *p = calloc(1, bytes ? bytes : 1);
  if (!p) exit(3);
  return p;
}

static void open_entry(Entry *e, unsigned number) {
  e->number = number;
  e->route = &blip_describe()->route[number];
  if (e->route->ninput > MAX_TENSORS || e->route->noutput > MAX_TENSORS) exit(3);
  for (unsigned i = 0; i < e->route->ninput; i++) e->in[i] = buffer(e->route->input[i].bytes);
  for (unsigned i = 0; i < e->route->noutput; i++) e->out[i] = buffer(e->route->output[i].bytes);
}

static void **find(void **buffers, const blip_tensor *t, unsigned n, const char *name) {
  for (unsigned i = 0; i < n; i++)
    if (!strcmp(t[i].name, name)) return &buffers[i];
  return NULL;
}
static void **in(Entry *e, const char *name) {
  return find(e->in, e->route->input, e->route->ninput, name);
}
static void **out(Entry *e, const char *name) {
  return find(e->out, e->route->output, e->route->noutput, name);
}

// The step works on what the start gave: kept_* go in, cache_* are changed in place.
static void share(Entry *start, Entry *step) {
  for (unsigned i = 0; i < start->route->noutput; i++) {
    const char *name = start->route->output[i].name;
    void **kept = in(step, name), **cache = out(step, name), **place = kept ? kept : cache;
    if (!place) continue;
    free(*place);
    *place = start->out[i];
  }
}

static int read_exactly(const char *path, void *dst, size_t n) {
  FILE *f = fopen(path, "rb");
  int ok = f && fread(dst, 1, n, f) == n;
  if (f) fclose(f);
  if (!ok) fprintf(stderr, "%s: cannot read %zu bytes\n", path, n);
  return ok;
}

static blip_status call(blip_ctx *ctx, Entry *e, size_t length) {
  size_t dims[8] = {0}; // B = 1, L = length; others are not used
  const void *inputs[MAX_TENSORS];
  const blip_info *info = blip_describe();
  for (unsigned j = 0; j < info->ndim && j < 8; j++) dims[j] = strcmp(info->dim[j].name, "L") ? 1 : length;
  for (unsigned i = 0; i < e->route->ninput; i++) inputs[i] = e->in[i];
  return blip_call(ctx, e->number, dims, inputs, e->out);
}

static int32_t best(const float *scores, size_t n) {
  size_t w = 0;
  for (size_t i = 1; i < n; i++)
    if (scores[i] > scores[w]) w = i;
  return (int32_t)w;
}

int main(int argc, char **argv) {
  if (argc < 6) {
    fprintf(stderr, "usage: caption WEIGHTS.syw PIXELS.f32 END LONGEST ID...\n");
    return 2;
  }
  static Entry start, step;
  open_entry(&start, BLIP_ROUTE_CAPTION_START);
  open_entry(&step, BLIP_ROUTE_CAPTION_STEP);
  share(&start, &step);
  void **image = in(&start, "image"), **text = in(&start, "text"), **last = in(&start, "last");
  void **word = in(&step, "text"), **at = in(&step, "at"), **scores = out(&start, "scores"),
       **next = out(&step, "scores");
  if (!image || !text || !last || !word || !at || !scores || !next) return 3;

  size_t weights_room = ((size_t)BLIP_WEIGHTS_BYTES + BLIP_ALIGN - 1) / BLIP_ALIGN * BLIP_ALIGN;
  size_t arena_room = (BLIP_ARENA_BYTES(1) + BLIP_ALIGN - 1) / BLIP_ALIGN * BLIP_ALIGN;
  void *weights = aligned_alloc(BLIP_ALIGN, weights_room), *arena = aligned_alloc(BLIP_ALIGN, arena_room);
  size_t pixels = BLIP_CAPTION_START_IMAGE_ELEMENTS / BLIP_MAX_B * sizeof(float);
  if (!weights || !arena || !read_exactly(argv[1], weights, BLIP_WEIGHTS_BYTES) ||
      !read_exactly(argv[2], *image, pixels))
    return 3;
  blip_config config = {BLIP_ABI_VERSION, weights, BLIP_WEIGHTS_BYTES, arena, arena_room, NULL, NULL};
  blip_ctx *ctx = NULL;
  blip_status status = blip_init(&ctx, &config);

  int32_t end = (int32_t)atoi(argv[3]), *words = *text;
  size_t longest = (size_t)atoi(argv[4]), n = (size_t)argc - 5, vocab = BLIP_CAPTION_START_SCORES_ELEMENTS / BLIP_MAX_B;
  if (longest > BLIP_MAX_L || n > longest) {
    fprintf(stderr, "at most %u words, and no more to begin with than LONGEST\n", BLIP_MAX_L);
    return 2;
  }
  for (size_t i = 0; i < n; i++) words[i] = (int32_t)atoi(argv[5 + i]);
  *(int32_t *)*last = (int32_t)n - 1; // the scores behind the last of them
  if (status == BLIP_OK) status = call(ctx, &start, n);
  const float *now = *scores;
  while (status == BLIP_OK && n < longest) {
    int32_t w = best(now, vocab);
    words[n] = w;
    *(int32_t *)*word = w;
    *(int32_t *)*at = (int32_t)n++; // where the word stands
    if (w == end) break;
    status = call(ctx, &step, n);
    now = *next;
  }
  if (status != BLIP_OK) {
    fprintf(stderr, "blip: %s\n", blip_strerror(status));
    return 1;
  }
  for (size_t i = 0; i < n; i++) printf("%d%s", (int)words[i], i + 1 < n ? ", " : "\n");
  return 0;
}
