// pass.c: the pass driver. Runs the pipeline of passes.def, and around each pass what every pass wants: drop dead
// values, verify, time, report. The ordering constraints are checked before anything runs.
#include "pass.h"

#include <string.h>
#include <time.h>

#define PASS(name, required, about) PassFn pass_##name;
#define ORDER(before, after, reason)
#include "passes.def"
#undef PASS
#undef ORDER

const Pass pass_list[] = {
#define PASS(name, required, about) {#name, pass_##name, required, about},
#define ORDER(before, after, reason)
#include "passes.def"
#undef PASS
#undef ORDER
};
const size_t pass_count = sizeof pass_list / sizeof *pass_list;

static const struct {
  const char *before, *after, *reason;
} order_list[] = {
#define PASS(name, required, about)
#define ORDER(before, after, reason) {#before, #after, reason},
#include "passes.def"
#undef PASS
#undef ORDER
};

static size_t pass_index(const char *name) {
  for (size_t i = 0; i < pass_count; i++)
    if (!strcmp(pass_list[i].name, name)) return i;
  return pass_count;
}

static void check_order(void) {
  for (size_t i = 0; i < sizeof order_list / sizeof *order_list; i++)
    if (pass_index(order_list[i].before) >= pass_index(order_list[i].after))
      ICE("pass %s must run before %s: %s", order_list[i].before, order_list[i].after, order_list[i].reason);
}

static bool disabled(const PassOptions *o, const char *name) {
  for (size_t i = 0; i < o->ndisable; i++)
    if (!strcmp(o->disable[i], name)) return true;
  return false;
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

// Names the user gave are checked against the list; near names are offered.
static bool check_name(Module *m, const char *name, const char *what, bool must_be_optional) {
  size_t at = pass_index(name);
  if (at == pass_count) {
    Diagnostic *g = diag_error(m->diag, "E0301", NO_SPAN, "%s: there is no pass '%s'", what, name);
    const char *near = NULL;
    size_t best = 4;
    for (size_t i = 0; i < pass_count; i++) {
      size_t d = edit_distance(name, pass_list[i].name);
      if (d < best) best = d, near = pass_list[i].name;
    }
    if (near)
      diag_hint(m->diag, g, "did you mean '%s'?", near);
    else
      diag_hint(m->diag, g, "--print-passes lists them");
    return false;
  }
  if (must_be_optional && pass_list[at].required) {
    Diagnostic *g = diag_error(m->diag, "E0302", NO_SPAN, "pass '%s' cannot be disabled", name);
    diag_hint(m->diag, g, "what comes after it relies on its result");
    return false;
  }
  return true;
}

bool passes_run(Module *m, const PassOptions *o) {
  check_order();
  for (size_t i = 0; i < o->ndisable; i++)
    if (!check_name(m, o->disable[i], "--disable", true)) return false;
  if (o->stop_after && !check_name(m, o->stop_after, "--stop-after", false)) return false;
  if (o->start_from && !check_name(m, o->start_from, "--start-from", false)) return false;
  Arena scratch = {0};
  bool on = !o->start_from;
  for (size_t i = 0; i < pass_count; i++) {
    const Pass *p = &pass_list[i];
    if (o->start_from && !strcmp(o->start_from, p->name)) on = true;
    if (!on || disabled(o, p->name)) continue;
    double t = o->time ? now_ms() : 0;
    size_t errors = m->diag->errors;
    size_t changes = p->fn(m, &scratch, o);
    double ms = o->time ? now_ms() - t : 0;
    arena_free(&scratch);
    if (m->diag->errors > errors) return false;
    const char *why = NULL;
    if (o->verify && !module_verify(m, &why)) ICE("after pass %s: %s", p->name, why ? why : "the graph is broken");
    if (o->after) o->after(o->ud, p->name, m, changes, ms);
    if (o->stop_after && !strcmp(o->stop_after, p->name)) break;
  }
  return true;
}
