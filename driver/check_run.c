// check_run.c: one call of a route in the way that `syc check` was asked for: the interpreter, compiled C in this
// process, or compiled C for another machine under its emulator.
//
// The buffers are those of the C API in all three. Nothing a model does can be wrong in itself here: a call that the
// model refuses is a failed case with the model's own words.
#include "check.h"

#include "codegen/llvm/llvm.h"
#include "embedded.h"
#include "runtime/switchyard.h"
#include "runtime/weights_format.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool check_is_foreign(const Check *c) {
  bool neon = !strcmp(c->isa, "neon");
  return !c->interp && neon && !(sy_cpu_features() & SY_CPU_NEON);
}

const char *check_cannot_run(const Check *c) {
  if (c->interp) return NULL;
  if (check_is_foreign(c)) {
    if (!cc_have("aarch64-linux-gnu-gcc")) return "no cross compiler (aarch64-linux-gnu-gcc)";
    return cc_have("qemu-aarch64") ? NULL : "no emulator (qemu-aarch64)";
  }
  unsigned have = sy_cpu_features();
  if (!strcmp(c->isa, "avx2") && !(have & SY_CPU_AVX2)) return "this CPU has no AVX2";
  if (!strcmp(c->isa, "avx512") && !(have & SY_CPU_AVX512)) return "this CPU has no AVX-512";
  return NULL;
}

/* interpreter ---------------------------------------------------------------------------------------------------------
 */
static bool run_interp(Check *c, const Call *call, const sy_map *w, CheckResult *r) {
  SyWeightsHeader h;
  memcpy(&h, w->data, sizeof h);
  const char *err = NULL;
  const char *data = (const char *)w->data + h.data_offset;
  if (program_interpret(call->program, call->route, 0, data, call->in, call->out, call->dims, NULL, NULL, &err))
    return true;
  return check_settle(c, r, FAIL, "the interpreter refuses the call: %s", err);
}

/* compiled C, here ----------------------------------------------------------------------------------------------------
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
  if (c->backend == BACKEND_JIT) return run_jit(c, call, w, r);
  const char *so = cc_cached(c->s, call->program, session_prefix(c->s, call->program->module), CC_SO, NULL);
  if (!so) return check_settle(c, r, FAIL, "%s cannot be made", backend_info[c->backend].about);
  void *lib = dlopen(arena_printf(&c->s->arena, "%s%s", strchr(so, '/') ? "" : "./", so), RTLD_NOW | RTLD_LOCAL);
  if (!lib) return check_settle(c, r, FAIL, "the compiled model cannot be loaded: %s", dlerror());
  const sy_model *(*entry)(void) = NULL;
  *(void **)&entry = dlsym(lib, "sy_model_entry");
  bool ok = entry ? run_model(c, entry(), call, w, r) : check_settle(c, r, FAIL, "%s has no sy_model_entry", so);
  dlclose(lib);
  return ok;
}

/* compiled C, elsewhere -----------------------------------------------------------------------------------------------
 */
// The runner and the runtime's sources, cross-compiled once.
static bool make_runner(Check *c, CheckResult *r) {
  Session *s = c->s;
  if (c->runner) return true;
  const char *exe = arena_printf(&s->arena, "%s/runner", c->temp), *err = "";
  StrList a = {0};
  const char *head[] = {"aarch64-linux-gnu-gcc", "-std=c11", "-O2", "-D_GNU_SOURCE", "-I", c->temp, "-o", exe};
  for (size_t i = 0; i < sizeof head / sizeof *head; i++) VEC_PUSH(&s->arena, a, head[i]);
  for (const EmbeddedFile *e = embedded_files; e->name; e++) {
    bool runtime = !strncmp(e->name, "runtime/", 8);
    if (!runtime && strcmp(e->name, "driver/embed/runner.c") != 0) continue;
    const char *file = arena_printf(&s->arena, "%s/%s", c->temp, strrchr(e->name, '/') + 1);
    if (!file_write(file, e->text, e->size, &err)) return check_settle(c, r, FAIL, "cannot write %s: %s", file, err);
    if (file[strlen(file) - 1] == 'c') VEC_PUSH(&s->arena, a, file);
  }
  const char *tail[] = {"-ldl", "-lpthread", NULL};
  for (size_t i = 0; i < sizeof tail / sizeof *tail; i++) VEC_PUSH(&s->arena, a, tail[i]);
  if (cc_spawn(s, a.at, NULL) != 0) return check_settle(c, r, SKIP, "the cross compiler cannot make an executable");
  c->runner = exe;
  return true;
}

// Outputs too: some are states that the call changes in place.
static bool write_buffers(const Call *call, size_t nin, size_t nout, const char *path) {
  FILE *f = fopen(path, "wb");
  bool ok = f != NULL;
  for (size_t i = 0; i < nin && ok; i++) ok = fwrite(call->in[i], 1, call->in_bytes[i], f) == call->in_bytes[i];
  for (size_t i = 0; i < nout && ok; i++) ok = fwrite(call->out[i], 1, call->out_bytes[i], f) == call->out_bytes[i];
  return f && fclose(f) == 0 && ok;
}

static bool read_outputs(const Call *call, size_t n, const char *path) {
  FILE *f = fopen(path, "rb");
  bool ok = f != NULL;
  for (size_t i = 0; i < n && ok; i++) ok = fread(call->out[i], 1, call->out_bytes[i], f) == call->out_bytes[i];
  if (f) fclose(f);
  return ok;
}

static bool run_foreign(Check *c, const Call *call, CheckResult *r) {
  Session *s = c->s;
  if (!make_runner(c, r)) return false;
  const Graph *g = call->program->route.at[call->route].graph;
  const char *so = cc_cached(s, call->program, session_prefix(s, call->program->module), CC_SO, "aarch64-linux-gnu");
  if (!so) return check_settle(c, r, FAIL, "%s cannot be made", backend_info[c->backend].about);
  const char *in = arena_printf(&s->arena, "%s/in", c->temp), *out = arena_printf(&s->arena, "%s/out", c->temp);
  if (!write_buffers(call, g->input.n, g->output.n, in)) return check_settle(c, r, FAIL, "cannot write %s", in);
  StrList a = {0};
  const char *head[] = {"qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", c->runner, so, call->packed, in, out};
  for (size_t i = 0; i < sizeof head / sizeof *head; i++) VEC_PUSH(&s->arena, a, head[i]);
  VEC_PUSH(&s->arena, a, arena_printf(&s->arena, "%zu", call->route));
  VEC_PUSH(&s->arena, a, arena_printf(&s->arena, "%u", c->threads));
  VEC_PUSH(&s->arena, a, c->isa);
  for (size_t i = 0; i < g->module->ndim; i++)
    VEC_PUSH(&s->arena, a, arena_printf(&s->arena, "%lld", (long long)call->dims[i]));
  VEC_PUSH(&s->arena, a, NULL);
  int code = cc_spawn(s, a.at, NULL);
  if (code != 0) return check_settle(c, r, FAIL, "the emulated run ended with status %d", code);
  return read_outputs(call, g->output.n, out) || check_settle(c, r, FAIL, "the emulated run left no result");
}

bool check_run(Check *c, const Call *call, CheckResult *r) {
  const char *why = check_cannot_run(c);
  if (why) return check_settle(c, r, SKIP, "%s", why);
  if (check_is_foreign(c)) return run_foreign(c, call, r);
  sy_map w = {0};
  sy_status status = sy_map_open(&w, call->packed, 0);
  if (status) return check_settle(c, r, FAIL, "%s: %s", call->packed, sy_strerror((int)status));
  bool ok = c->interp ? run_interp(c, call, &w, r) : run_here(c, call, &w, r);
  sy_map_close(&w);
  return ok;
}
