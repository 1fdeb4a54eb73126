// check_run.c: one call of a route in the way that `syc check` was asked for: the interpreter, a compiled model in this
// process, or one of another machine under its emulator (check_foreign.c).
//
// The buffers are those of the C API in all three. Nothing a model does can be wrong in itself here: a call that the
// model refuses is a failed case with the model's own words.
#include "check.h"

#include "codegen/llvm/llvm.h"
#include "runtime/switchyard.h"
#include "runtime/weights_format.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

const char *check_cannot_run(const Check *c) {
  if (c->interp) return NULL;
  if (check_is_foreign(c)) return check_cannot_emulate(c);
  return sy_cpu_runs(c->isa) ? NULL : arena_printf(&c->s->arena, "this CPU has no %s", c->target->isa->title);
}

/* interpreter ---------------------------------------------------------------------------------------------------------
 */
static bool run_interp(Check *c, const Call *call, const sy_map *w, CheckResult *r) {
  sy_weights_header h;
  memcpy(&h, w->data, sizeof h);
  const char *err = NULL;
  const char *data = (const char *)w->data + h.data_offset;
  if (program_interpret(call->program, call->route, 0, data, call->in, call->out, call->dims, NULL, NULL, &err))
    return true;
  return check_settle(c, r, FAIL, "the interpreter refuses the call: %s", err);
}

/* compiled, here ------------------------------------------------------------------------------------------------------
 */
static bool run_model(Check *c, const sy_model *m, const Call *call, const sy_map *w, CheckResult *r) {
  sy_pool *pool = sy_pool_new(c->threads);
  sy_exec exec = sy_pool_exec(pool);
  size_t bytes = m->arena_bytes(exec.threads), dims[MAX_DIMS];
  for (int i = 0; i < MAX_DIMS; i++) dims[i] = (size_t)call->dims[i];
  void *arena = aligned_alloc(SY_ALIGN, (bytes + SY_ALIGN - 1) / SY_ALIGN * SY_ALIGN), *ctx = NULL;
  sy_config config = {SY_ABI_VERSION, w->data, w->bytes, arena, bytes, &exec, c->isa};
  sy_status status = arena ? m->init(&ctx, &config) : SY_ENOMEM;
  if (!status) status = m->call(ctx, (unsigned)call->route, dims, call->in, call->out);
  free(arena);
  sy_pool_free(pool);
  return status ? check_settle(c, r, FAIL, "the compiled model refuses the call: %s", sy_strerror((int)status)) : true;
}

static bool run_jit(Check *c, const Call *call, const sy_map *w, CheckResult *r) {
  void *handle = NULL;
  const sy_model *m = backend_load(c->s, call->program, &handle);
  bool ok = m ? run_model(c, m, call, w, r) : check_settle(c, r, FAIL, "LLVM does not compile it");
  llvm_unload(handle);
  return ok;
}

static bool run_here(Check *c, const Call *call, const sy_map *w, CheckResult *r) {
  if (c->back_end->use == USE_LOADED) return run_jit(c, call, w, r);
  const char *so = cc_cached(c->s, call->program, session_prefix(c->s, call->program->module), CC_SO, NULL);
  if (!so) return check_settle(c, r, FAIL, "%s cannot be made", c->back_end->about);
  void *lib = dlopen(arena_printf(&c->s->arena, "%s%s", strchr(so, '/') ? "" : "./", so), RTLD_NOW | RTLD_LOCAL);
  if (!lib) return check_settle(c, r, FAIL, "the compiled model cannot be loaded: %s", dlerror());
  const sy_model *(*entry)(void) = NULL;
  *(void **)&entry = dlsym(lib, "sy_model_entry");
  bool ok = entry ? run_model(c, entry(), call, w, r) : check_settle(c, r, FAIL, "%s has no sy_model_entry", so);
  dlclose(lib);
  return ok;
}

bool check_run(Check *c, const Call *call, CheckResult *r) {
  const char *why = check_cannot_run(c);
  if (why) return check_settle(c, r, SKIP, "%s", why);
  if (check_is_foreign(c)) return check_run_foreign(c, call, r);
  sy_map w = {0};
  sy_status status = sy_map_open(&w, call->packed, 0);
  if (status) return check_settle(c, r, FAIL, "%s: %s", call->packed, sy_strerror((int)status));
  bool ok = c->interp ? run_interp(c, call, &w, r) : run_here(c, call, &w, r);
  sy_map_close(&w);
  return ok;
}
