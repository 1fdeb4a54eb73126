// runner.c: calls one route of a compiled model once, in a process of its own: for machines that `syc check` reaches
// through an emulator. It is compiled together with the runtime's sources.
//
//   runner MODEL.so WEIGHTS.syw IN OUT ROUTE THREADS ISA DIM...
//
// IN holds the buffers of the route's inputs and outputs one after the other, in the layout of the C API (an output may
// be a state that the call changes in place); OUT receives the outputs.
#include "switchyard.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1024, DIMS = 32 };

static void *buffer(uint64_t bytes) {
  return aligned_alloc(SY_ALIGN, (size_t)((bytes + 2 * SY_ALIGN) / SY_ALIGN * SY_ALIGN));
}

static int fail(const char *what, const char *why) {
  fprintf(stderr, "runner: %s: %s\n", what, why);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 8) return fail("usage", "MODEL.so WEIGHTS.syw IN OUT ROUTE THREADS ISA DIM...");
  void *lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!lib) return fail(argv[1], dlerror());
  const sy_model *(*entry)(void);
  *(void **)&entry = dlsym(lib, "sy_model_entry");
  if (!entry) return fail(argv[1], "no sy_model_entry");
  const sy_model *m = entry();
  unsigned route = (unsigned)strtoul(argv[5], NULL, 10), threads = (unsigned)strtoul(argv[6], NULL, 10);
  size_t dims[DIMS] = {0};
  for (int i = 8; i < argc && i < 8 + DIMS; i++) dims[i - 8] = (size_t)strtoull(argv[i], NULL, 10);
  if (route >= m->info->nroute) return fail(argv[5], "no such route");
  const sy_route *r = &m->info->route[route];
  if (r->ninput > MOST || r->noutput > MOST) return fail(r->name, "too many tensors");
  sy_map weights;
  sy_status status = sy_map_open(&weights, argv[2], 0);
  if (status) return fail(argv[2], sy_strerror(status));
  const void *in[MOST];
  void *out[MOST];
  FILE *f = fopen(argv[3], "rb");
  if (!f) return fail(argv[3], "cannot open");
  for (unsigned i = 0; i < r->ninput; i++) {
    void *p = buffer(r->input[i].bytes);
    if (!p || fread(p, 1, r->input[i].bytes, f) != r->input[i].bytes) return fail(argv[3], "too short");
    in[i] = p;
  }
  for (unsigned i = 0; i < r->noutput; i++) {
    out[i] = buffer(r->output[i].bytes);
    if (!out[i] || fread(out[i], 1, r->output[i].bytes, f) != r->output[i].bytes) return fail(argv[3], "too short");
  }
  fclose(f);
  sy_exec exec = sy_pool_exec(sy_pool_new(threads));
  size_t bytes = m->arena_bytes(exec.threads);
  sy_config config = {SY_ABI_VERSION, weights.data, weights.bytes, buffer(bytes), bytes, &exec, argv[7]};
  void *ctx = NULL;
  status = config.arena ? m->init(&ctx, &config) : SY_ENOMEM;
  if (!status) status = m->call(ctx, route, dims, in, out);
  if (status) return fail(r->name, sy_strerror(status));
  f = fopen(argv[4], "wb");
  if (!f) return fail(argv[4], "cannot open");
  for (unsigned i = 0; i < r->noutput; i++)
    if (fwrite(out[i], 1, r->output[i].bytes, f) != r->output[i].bytes) return fail(argv[4], "cannot write");
  return fclose(f) ? fail(argv[4], "cannot write") : 0;
}
