// runner.c: see runner.h.
#include "runner.h"

#include "codegen/llvm/llvm.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

bool runner_load(Runner *r, Check *c, const Program *p) {
  Session *s = c->s;
  if (c->back_end->use == USE_LOADED) return (r->model = backend_load(s, p, &r->handle)) != NULL;
  const char *so = cc_cached(s, p, session_prefix(s, p->module), CC_SO, NULL);
  if (!so) return false;
  r->lib = dlopen(arena_printf(&s->arena, "%s%s", strchr(so, '/') ? "" : "./", so), RTLD_NOW | RTLD_LOCAL);
  const sy_model *(*entry)(void) = NULL;
  if (r->lib) *(void **)&entry = dlsym(r->lib, "sy_model_entry");
  if (!entry) session_fail(s, EXIT_WRONG, "the compiled model cannot be loaded: %s", r->lib ? so : dlerror());
  r->model = entry ? entry() : NULL;
  return r->model != NULL;
}

bool runner_start(Runner *r, Check *c, const char *weights) {
  r->pool = sy_pool_new(c->threads);
  sy_exec exec = sy_pool_exec(r->pool);
  size_t bytes = r->model->arena_bytes(exec.threads);
  sy_status status = sy_map_open(&r->weights, weights, 0);
  r->arena = status ? NULL : sy_memory(bytes);
  sy_config config = {SY_ABI_VERSION, r->weights.data, r->weights.bytes, r->arena, bytes, &exec, c->isa};
  if (!status) status = r->arena ? r->model->init(&r->ctx, &config) : SY_ENOMEM;
  if (status) session_fail(c->s, EXIT_WRONG, "%s: %s", weights, sy_strerror((int)status));
  return !status;
}

void runner_stop(Runner *r) {
  free(r->arena);
  sy_pool_free(r->pool);
  if (r->weights.data) sy_map_close(&r->weights);
  r->arena = r->ctx = NULL, r->pool = NULL, r->weights = (sy_map){0};
}

void runner_close(Runner *r) {
  runner_stop(r);
  if (r->handle) llvm_unload(r->handle);
  if (r->lib) dlclose(r->lib);
  *r = (Runner){0};
}
