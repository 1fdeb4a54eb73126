// pass.c: the pass driver. Runs the pipeline of passes.def, and around each pass what every pass wants: drop dead
// values, verify, time, report. The ordering constraints are checked before anything runs.
#include "pass.h"
#include "plan.h"

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
      size_t d = edit_distance(name, pass_list[i].name, best);
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

/* where to begin -------------------------------------------------------------------------------------------------- */
// The number of the first pass to run: the one asked for, else the one behind that which left the module so. False
// after an error.
static bool first_pass(Module *m, const PassOptions *o, size_t *first) {
  *first = 0;
  if (o->start_from)
    return check_name(m, o->start_from, "--start-from", false) && (*first = pass_index(o->start_from), true);
  if (!m->after) return true;
  if (!check_name(m, m->after, "`after` of the module", false)) return false;
  *first = pass_index(m->after) + 1;
  if (!o->stop_after || pass_index(o->stop_after) + 1 >= *first) return true;
  Diagnostic *g = diag_error(m->diag, "E0311", NO_SPAN, "this IR was left by pass '%s', and '%s' runs before that",
                             m->after, o->stop_after);
  diag_hint(m->diag, g, "--start-from=%s runs the passes again", pass_list[0].name);
  return false;
}

// What the passes to come compute anew is taken away. That it was there is said, if nobody asked for it.
static void drop_plans(Module *m, size_t first, bool asked) {
  size_t dropped = 0;
  for (size_t i = 0; i < m->graph.n; i++) dropped += plan_drop(m->graph.at[i], plan_stage(first));
  if (!dropped || asked) return;
  Diagnostic *g =
      diag_warning(m->diag, "W0001", NO_SPAN,
                   "the groups, pitches or places of %zu values in this IR are computed anew (passes from '%s' on)",
                   dropped, pass_list[first].name);
  diag_hint(m->diag, g, "`after PASS` behind the module's name, or --start-from=PASS, keeps what earlier passes left");
}

// Are the plans right, after n passes? The first fault, as text.
static const char *plans_fault(Module *m, size_t n, Span *at) {
  for (size_t i = 0; i < m->graph.n; i++) {
    const Graph *g = m->graph.at[i];
    PlanFault f;
    if (plan_verify(g, plan_stage(n), &f)) continue;
    const Value *v = graph_value(g, (Val){f.id});
    *at = value_place(v);
    return arena_printf(m->arena, "@%s: %%%u = %s: %s", g->name, f.id, op_info[v->op].name, f.why);
  }
  return NULL;
}

static bool begin(Module *m, const PassOptions *o, size_t *first) {
  if (!first_pass(m, o, first)) return false;
  if (*first < pass_count) drop_plans(m, *first, o->start_from != NULL);
  Span at;
  const char *why = plans_fault(m, *first, &at);
  if (why) diag_error(m->diag, "E0310", at, "%s", why);
  return !why;
}

static void verify_after(Module *m, size_t pass) {
  const char *why = NULL;
  Span at;
  if (!module_verify(m, &why) || (why = plans_fault(m, pass + 1, &at)))
    ICE("after pass %s: %s", pass_list[pass].name, why ? why : "the graph is broken");
}

bool passes_run(Module *m, const PassOptions *o) {
  check_order();
  for (size_t i = 0; i < o->ndisable; i++)
    if (!check_name(m, o->disable[i], "--disable", true)) return false;
  if (o->stop_after && !check_name(m, o->stop_after, "--stop-after", false)) return false;
  size_t first;
  if (!begin(m, o, &first)) return false;
  Arena scratch = {0};
  size_t stop = o->stop_after ? pass_index(o->stop_after) : pass_count;
  for (size_t i = first; i < pass_count && i <= stop; i++) {
    const Pass *p = &pass_list[i];
    m->after = p->name;
    if (disabled(o, p->name)) continue;
    double t = o->time ? now_ms() : 0;
    size_t errors = m->diag->errors;
    size_t changes = p->fn(m, &scratch, o);
    double ms = o->time ? now_ms() - t : 0;
    arena_free(&scratch);
    if (m->diag->errors > errors) return false;
    for (size_t k = 0; k < m->graph.n && plan_stage(i + 1) == PLAN_NONE; k++) graph_order_writes(m->graph.at[k]);
    if (o->verify) verify_after(m, i);
    if (o->after) o->after(o->ud, p->name, m, changes, ms);
  }
  size_t done = stop < pass_count ? stop + 1 : pass_count;
  for (size_t i = 0; o->remarks && i < m->graph.n; i++) plan_remarks(m->graph.at[i], plan_stage(done));
  return true;
}
