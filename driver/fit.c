// fit.c: sizes on the command line: --logits, and --memory, how much of a step is computed again so that its values
// fit.
//
// The pass `remat` has levels (passes/remat.c). Which one is needed shows only when everything is placed, so the
// pipeline runs on copies of the module, level by level, until the arena of every objective is small enough.
#include "driver.h"
#include "passes/pass.h"
#include "passes/place.h"

#include <stdlib.h>
#include <string.h>

// "12G", "900M", "64K" or bytes; a unit is a power of 1024. 0 after reporting.
static int64_t size_option(Session *s, const char *option, const char *text) {
  static const char units[] = "KMGT";
  char *end;
  double n = strtod(text, &end);
  const char *unit = *end ? strchr(units, *end) : NULL;
  for (const char *u = units; unit && u <= unit; u++) n *= 1024;
  bool good = end > text && n >= 1 && n < 0x1p60 && (!*end || (unit && !end[1]));
  if (!good) session_fail(s, EXIT_USAGE, "%s %s: must be a size such as 900M or 12G", option, text);
  return good ? (int64_t)n : 0;
}

// The largest arena of an objective at a level; -1 after errors, which no level mends.
static int64_t arena_at(const Buf *text, const Module *m, const PassOptions *options, int level, const char **name) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  PassOptions o = *options;
  int64_t most = -1;
  diag_init(&d, &a);
  o.recompute = level, o.verify = false, o.remarks = false, o.time = false, o.after = NULL, o.stop_after = NULL;
  Module *copy = module_parse(&a, &names, &d, text->s, text->n, diag_add_file(&d, "copy", text->s, text->n));
  if (copy) copy->train = m->train;
  if (copy && passes_run(copy, &o))
    for (size_t i = 0; i < copy->graph.n; i++) {
      const Graph *g = copy->graph.at[i];
      LiveList live = place_live(g, &a);
      int64_t bytes = g->objective ? place_arena_bytes(g, &live) : 0;
      if (bytes > most) most = bytes, *name = m->graph.at[i]->name;
    }
  arena_free(&a);
  return most;
}

bool session_fit(Session *s, const Module *m, PassOptions *o) {
  if (s->opt.logits && !(o->logits = size_option(s, "--logits", s->opt.logits))) return false;
  if (!s->opt.memory) return true;
  int64_t budget = size_option(s, "--memory", s->opt.memory), least = INT64_MAX;
  if (!budget) return false;
  if (!m->train)
    return session_fail(s, EXIT_USAGE, "--memory: of which step? (--objective NAME with --gradients)"), false;
  Buf text = {0};
  const char *name = "";
  module_print(m, &text);
  bool fits = false;
  for (int level = 0; level <= REMAT_LEVELS && !fits; level++) {
    int64_t bytes = arena_at(&text, m, o, level, &name);
    if (bytes < 0) break; // the run on the module itself says what is wrong
    fits = bytes <= budget;
    o->recompute = level;
    least = bytes < least ? bytes : least;
  }
  buf_free(&text);
  if (fits || least == INT64_MAX) return true;
  bool small = least < 10 << 20;
  int64_t unit = small ? 1 << 10 : 1 << 20;
  return session_fail(
             s, EXIT_WRONG,
             "--memory %s: a step of @%s needs %lld%c for its values, however much is computed again; narrow the "
             "batch (--dim B=N)",
             s->opt.memory, name, (long long)((least + unit - 1) / unit), small ? 'K' : 'M'),
         false;
}
