// emit_onnx.c: `syc emit SPEC --emit=onnx`: one route as an ONNX model. With --weights the checkpoint's tensors are in
// it, or, where they are more than a protobuf message can hold, or with --external-data, in a file beside it,
// OUTPUT.data.
#include "emit_onnx.h"
#include "onnx/onnx.h"
#include "weights.h"

#include <string.h>

// The route that is meant. NULL after reporting.
static const Graph *chosen_route(Session *s, const Module *m) {
  const Graph *g = NULL;
  Buf all = {0};
  size_t n = 0;
  for (size_t i = 0; i < m->graph.n; i++) {
    buf_printf(&all, "%s%s", i ? ", " : "", m->graph.at[i]->name);
    g = m->graph.at[i];
    n++;
  }
  if (n != 1) {
    session_fail(s, EXIT_USAGE, "an ONNX file holds one route: choose with --routes (%s)", n ? all.s : "there is none");
    g = NULL;
  } else if (g->objective) {
    session_fail(s, EXIT_USAGE, "'%s' is an objective: ONNX files are for routes", g->name);
    g = NULL;
  } else if (m->after) {
    session_fail(s, EXIT_USAGE,
                 "the IR was written after the pass '%s': ONNX files are made of IR before all passes (%s)", m->after,
                 "syc emit --emit=ir@input");
    g = NULL;
  }
  buf_free(&all);
  return g;
}

static bool write_files(Session *s, const Graph *g, const char *out, Checkpoint *c) {
  WeightSource source = checkpoint_source(c);
  int64_t bytes = s->opt.weights.n ? onnx_weight_bytes(g) : 0;
  bool apart = s->opt.weights.n && (s->opt.external_data || bytes > ONNX_MOST_BYTES);
  const char *data = arena_printf(&s->arena, "%s.data", out), *base = strrchr(data, '/');
  OnnxExport o = {.weights = s->opt.weights.n ? &source : NULL,
                  .data_name = apart ? (base ? base + 1 : data) : NULL,
                  .version = SY_VERSION};
  NewFile *model = output_file(s, out), *beside = model && apart ? output_file(s, data) : NULL;
  if (!model || (apart && !beside)) return false;
  Buf why = {0};
  bool ok = onnx_export(g, &o, model->f, beside ? beside->f : NULL, &why);
  if (!session_flush(s)) ok = false;
  if (!ok && !s->exit_code)
    session_fail(s, EXIT_WRONG, "%s: route '%s': %s", out, g->name, why.s ? why.s : "no ONNX form");
  buf_free(&why);
  if (ok && (!new_file_close(model, NEW_FILE_FAST) || (beside && !new_file_close(beside, NEW_FILE_FAST)))) {
    session_fail(s, EXIT_IO, "cannot write %s", out);
    ok = false;
  }
  return ok;
}

bool emit_onnx(Session *s, const char *spec, const char *out) {
  if (onnx_missing()) {
    session_fail(s, EXIT_USAGE, "this syc was built without ONNX; install %s", onnx_missing());
    return false;
  }
  if (!strcmp(out, "-")) {
    session_fail(s, EXIT_USAGE, "this kind of output cannot go to standard output; name a file with -o");
    return false;
  }
  if (s->opt.gradients || s->opt.precision) {
    session_fail(s, EXIT_USAGE, "--%s has no effect on ONNX files: they are made before all passes",
                 s->opt.gradients ? "gradients" : "precision");
    return false;
  }
  Module *m = module_for_weights(s, spec);
  const Graph *g = m ? chosen_route(s, m) : NULL;
  if (!g) return false;
  Checkpoint c = {0};
  bool ok = !s->opt.weights.n ||
            (checkpoint_open(s, &c, s->opt.weights.at, s->opt.weights.n) && checkpoint_check_module(s, &c, m, true));
  ok = ok && write_files(s, g, out, &c);
  checkpoint_close(&c);
  return ok;
}
