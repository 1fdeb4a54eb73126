// run_model.c: calls of a compiled model, every buffer at its exact size, so that the address sanitizer sees a byte
// outside. Linked with the model, its glue and runtime/error.c by diff/edited.c.
//
//   run_model INPUTS OUTPUTS
//
// Both are numbers of 64 bits and bytes. INPUTS: [weights], then for each call: 1 for portable code, route, 32 dims,
// number of inputs, [each], number of outputs, [each]; [x]: size and bytes. OUTPUTS: for each call the status and, if
// it is 0, the outputs.
#include "switchyard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIMS = 32, MOST = 64 };

static FILE *in, *out;

static int more(uint64_t *v) {
  return fread(v, sizeof *v, 1, in) == 1;
}

static uint64_t number(void) {
  uint64_t v = 0;
  if (!more(&v)) exit(3);
  return v;
}

static void *exact(uint64_t n) {
  void *p = NULL;
  if (posix_memalign(&p, SY_ALIGN, (size_t)n)) exit(3);
  return p;
}

static void *bytes(uint64_t *n) {
  *n = number();
  void *p = exact(*n);
  if (fread(p, 1, (size_t)*n, in) != *n) exit(3);
  return p;
}

static void put(const void *p, uint64_t n) {
  if (fwrite(p, 1, (size_t)n, out) != n) exit(3);
}

static void call(const sy_model *m, const void *weights, uint64_t nweights, uint64_t portable) {
  unsigned route = (unsigned)number();
  size_t dims[DIMS], arena_bytes = m->arena_bytes(1);
  for (int d = 0; d < DIMS; d++) dims[d] = (size_t)number();
  void *inputs[MOST], *outputs[MOST], *ctx = NULL, *arena = exact(arena_bytes);
  uint64_t size[MOST], unused, nin = number();
  for (uint64_t i = 0; i < nin; i++) inputs[i] = bytes(&unused);
  uint64_t nout = number();
  for (uint64_t i = 0; i < nout; i++) outputs[i] = bytes(&size[i]);
  memset(arena, 0, arena_bytes);
  sy_config c = {SY_ABI_VERSION, weights, (size_t)nweights, arena, arena_bytes, NULL, portable ? "portable" : NULL};
  uint64_t status = (uint64_t)m->init(&ctx, &c);
  if (status) exit(4);
  status = (uint64_t)m->call(ctx, route, dims, (const void *const *)inputs, outputs);
  put(&status, sizeof status);
  for (uint64_t i = 0; i < nout && !status; i++) put(outputs[i], size[i]);
  for (uint64_t i = 0; i < nin; i++) free(inputs[i]);
  for (uint64_t i = 0; i < nout; i++) free(outputs[i]);
  free(arena);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  in = fopen(argv[1], "rb"), out = fopen(argv[2], "wb");
  if (!in || !out) return 3;
  uint64_t nweights, portable;
  void *weights = bytes(&nweights);
  while (more(&portable)) call(sy_model_entry(), weights, nweights, portable);
  free(weights);
  fclose(in);
  return fclose(out) ? 3 : 0;
}
