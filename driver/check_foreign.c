// check_foreign.c: one call of a route by code for another machine, under an emulator of that machine.
//
//   aarch64, riscv64   qemu-user; driver/embed/runner.c and the runtime, cross-compiled once, load the model
//   wasm32             node; driver/embed/runner.js with examples/web/switchyard.js, as they are
//
// Model, weights and the buffers of inputs and outputs go through files of the session's temporary folder.
#include "check.h"

#include "embedded.h"
#include "runtime/switchyard.h"

#include <string.h>

typedef struct Machine {
  const char *arch;        // a triple that begins with it is meant
  const char *triple;      // for the back ends, where --target does not say more
  const char *emulator[4]; // the command, NULL-terminated
  const char *vectors[3];  // more words of it when --mattr asks for the vector extension, which not every qemu has
  const char *cc;          // cross compiler for the runner, or NULL
} Machine;

static const Machine machines[] = {
    {"aarch64", "aarch64-linux-gnu", {"qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"}, {0}, "aarch64-linux-gnu-gcc"},
    {"riscv64",
     "riscv64-linux-gnu",
     {"qemu-riscv64", "-L", "/usr/riscv64-linux-gnu"},
     {"-cpu", "rv64,v=true,vlen=128"},
     "riscv64-linux-gnu-gcc"},
    {"wasm32", "wasm32", {"node"}, {0}, NULL},
};
enum { NMACHINE = sizeof machines / sizeof *machines };

bool check_is_foreign(const Check *c) {
  return !c->interp && (c->s->opt.target || !target_runs_on(c->target, family_of_machine(sy_cpu_family())));
}

static const Machine *machine_of(const Check *c) {
  const char *triple = c->s->opt.target ? c->s->opt.target : c->target->isa->family->name;
  for (size_t i = 0; i < NMACHINE; i++)
    if (!strncmp(triple, machines[i].arch, strlen(machines[i].arch))) return &machines[i];
  return NULL;
}

bool check_knows_machine(const Check *c) {
  return machine_of(c) != NULL;
}

const char *check_cannot_emulate(const Check *c) {
  const Machine *m = machine_of(c);
  Arena *a = &c->s->arena;
  if (m->cc && !cc_have(m->cc)) return arena_printf(a, "no cross compiler (%s)", m->cc);
  return cc_have(m->emulator[0]) ? NULL : arena_printf(a, "no emulator (%s)", m->emulator[0]);
}

/* the runner ----------------------------------------------------------------------------------------------------------
 */
static bool is_runner_file(const char *name, bool web) {
  static const char *const of_node[] = {"driver/embed/runner.js", "examples/web/switchyard.js"};
  if (web) return !strcmp(name, of_node[0]) || !strcmp(name, of_node[1]);
  return !strncmp(name, "runtime/", 8) || !strcmp(name, "driver/embed/runner.c");
}

static bool cross_compile(Check *c, const Machine *m, const StrList *sources, CheckResult *r) {
  Session *s = c->s;
  StrList a = {0};
  const char *head[] = {m->cc, "-std=c11", "-O2", "-D_GNU_SOURCE", "-I", c->temp, "-o", c->runner};
  const char *tail[] = {"-ldl", "-lpthread", "-Wl,--as-needed", "-latomic", NULL};
  for (size_t i = 0; i < sizeof head / sizeof *head; i++) VEC_PUSH(&s->arena, a, head[i]);
  for (size_t i = 0; i < sources->n; i++) VEC_PUSH(&s->arena, a, sources->at[i]);
  for (size_t i = 0; i < sizeof tail / sizeof *tail; i++) VEC_PUSH(&s->arena, a, tail[i]);
  return cc_spawn(s, a.at, c->temp) == 0 || check_settle(c, r, SKIP, "the cross compiler cannot make an executable");
}

// Writes the runner's files into the temporary folder and compiles them where that is needed, once.
static bool make_runner(Check *c, const Machine *m, CheckResult *r) {
  Session *s = c->s;
  const char *err = "";
  StrList sources = {0};
  if (c->runner) return true;
  for (const EmbeddedFile *e = embedded_files; e->name; e++) {
    if (!is_runner_file(e->name, !m->cc)) continue;
    const char *file = arena_printf(&s->arena, "%s/%s", c->temp, strrchr(e->name, '/') + 1);
    if (!file_write(file, e->text, e->size, &err)) return check_settle(c, r, FAIL, "cannot write %s: %s", file, err);
    if (!strcmp(strrchr(file, '.'), ".c")) VEC_PUSH(&s->arena, sources, file);
  }
  c->runner = arena_printf(&s->arena, "%s/%s", c->temp, m->cc ? "runner" : "runner.js");
  if (!m->cc || cross_compile(c, m, &sources, r)) return true;
  c->runner = NULL;
  return false;
}

/* the call ------------------------------------------------------------------------------------------------------------
 */
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

static const char *list_of(Session *s, const size_t *n, size_t count) {
  Buf b = {0};
  for (size_t i = 0; i < count; i++) buf_printf(&b, "%s%zu", i ? "," : "", n[i]);
  const char *text = arena_strndup(&s->arena, count ? b.s : "", b.n);
  buf_free(&b);
  return text;
}

// What follows IN and OUT. runner.c reads the sizes of buffers from the model's description; runner.js is told.
static void add_call_words(Check *c, const Machine *m, const Call *call, StrList *a) {
  Session *s = c->s;
  const Graph *g = call->program->route.at[call->route].graph;
  size_t dims[MAX_DIMS], ndim = g->module->ndim;
  for (size_t i = 0; i < ndim; i++) dims[i] = (size_t)call->dims[i];
  if (!m->cc) VEC_PUSH(&s->arena, *a, session_prefix(s, call->program->module));
  VEC_PUSH(&s->arena, *a, arena_printf(&s->arena, "%zu", call->route));
  if (!m->cc) {
    VEC_PUSH(&s->arena, *a, list_of(s, dims, ndim));
    VEC_PUSH(&s->arena, *a, list_of(s, call->in_bytes, g->input.n));
    VEC_PUSH(&s->arena, *a, list_of(s, call->out_bytes, g->output.n));
    return;
  }
  VEC_PUSH(&s->arena, *a, arena_printf(&s->arena, "%u", c->threads));
  VEC_PUSH(&s->arena, *a, c->isa);
  for (size_t i = 0; i < ndim; i++) VEC_PUSH(&s->arena, *a, arena_printf(&s->arena, "%zu", dims[i]));
}

bool check_run_foreign(Check *c, const Call *call, CheckResult *r) {
  Session *s = c->s;
  const Machine *m = machine_of(c);
  if (!make_runner(c, m, r)) return false;
  const Graph *g = call->program->route.at[call->route].graph;
  const char *so = cc_cached(s, call->program, session_prefix(s, call->program->module), CC_SO, m->triple);
  if (!so) return check_settle(c, r, FAIL, "%s cannot be made", c->back_end->about);
  const char *in = arena_printf(&s->arena, "%s/in", c->temp), *out = arena_printf(&s->arena, "%s/out", c->temp);
  if (!write_buffers(call, g->input.n, g->output.n, in)) return check_settle(c, r, FAIL, "cannot write %s", in);
  StrList a = {0};
  bool vectors = s->opt.mattr && strstr(s->opt.mattr, "+v");
  for (size_t i = 0; m->emulator[i]; i++) VEC_PUSH(&s->arena, a, m->emulator[i]);
  for (size_t i = 0; vectors && m->vectors[i]; i++) VEC_PUSH(&s->arena, a, m->vectors[i]);
  const char *files[] = {c->runner, so, call->packed, in, out};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) VEC_PUSH(&s->arena, a, files[i]);
  add_call_words(c, m, call, &a);
  VEC_PUSH(&s->arena, a, NULL);
  int code = cc_spawn(s, a.at, c->temp);
  if (code != 0) return check_settle(c, r, FAIL, "the emulated run ended with status %d", code);
  return read_outputs(call, g->output.n, out) || check_settle(c, r, FAIL, "the emulated run left no result");
}
