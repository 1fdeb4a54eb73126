// check_run.c: one call of a route in the way that `syc check` was asked for: the interpreter, a compiled model in this
// process, or one of another machine under its emulator (check_foreign.c).
//
// The buffers are those of the C API in all three. Nothing a model does can be wrong in itself here: a call that the
// model refuses is a failed case with the model's own words.
#include "check.h"

#include "runner.h"
#include "runtime/weights_format.h"

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
static bool run_here(Check *c, const Call *call, CheckResult *r) {
  Runner run = {0};
  size_t dims[MAX_DIMS];
  for (int i = 0; i < MAX_DIMS; i++) dims[i] = (size_t)call->dims[i];
  bool ok = runner_load(&run, c, call->program) ||
            check_settle(c, r, FAIL, "%s cannot be made or loaded", c->back_end->about);
  ok = ok && (runner_start(&run, c, call->packed) || check_settle(c, r, FAIL, "the compiled model does not start"));
  if (ok) {
    sy_status status = run.model->call(run.ctx, (unsigned)call->route, dims, call->in, call->out);
    if (status) ok = check_settle(c, r, FAIL, "the compiled model refuses the call: %s", sy_strerror((int)status));
  }
  runner_close(&run);
  return ok;
}

bool check_run(Check *c, const Call *call, CheckResult *r) {
  const char *why = check_cannot_run(c);
  if (why) return check_settle(c, r, SKIP, "%s", why);
  if (check_is_foreign(c)) return check_run_foreign(c, call, r);
  if (!c->interp) return run_here(c, call, r);
  sy_map w = {0};
  sy_status status = sy_map_open(&w, call->packed, 0);
  if (status) return check_settle(c, r, FAIL, "%s: %s", call->packed, sy_strerror((int)status));
  bool ok = run_interp(c, call, &w, r);
  sy_map_close(&w);
  return ok;
}
