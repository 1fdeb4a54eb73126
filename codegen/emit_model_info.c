// emit_model_info.c: the tables behind PREFIX_describe, and the glue file that shows a compiled model as a sy_model
// (runtime/switchyard.h). One printer writes both: the structs have the same members under another prefix; only
// sy_route lists the steps as well, for reports.
//
// Invariant: `static const` data with constant initialisers, so that no code runs before main.
//
//   static const vit_tensor vit_info_classify_in[] = {{"image", "f32", 4, {{0, 1, 0, 32}, ...}, 4816896u, 19267584u}};
#include "template.h"

#include "generates.h"
#include "runtime/weights_format.h"

#include <string.h>

static void emit_axis(const Module *m, const Type *t, int d, Buf *out) {
  Dim x = t->dim[d];
  unsigned long long bound = (unsigned long long)type_extent(m, t, d);
  if (x.sym == DIM_SEGS) // several run-time parts: laid out by their bounds
    buf_printf(out, "{%llu, 0, -1, %llu}", bound, bound);
  else
    buf_printf(out, "{%lld, %d, %d, %llu}", (long long)x.c, x.k, x.k ? (int)x.sym : -1, bound);
}

static void emit_tensors(const Graph *g, const Port *list, size_t count, const char *type, const char *own,
                         const char *id, const char *what, Buf *out) {
  const Module *m = g->module;
  if (!count) return;
  buf_printf(out, "static const %s_tensor %s_info_%s_%s[] = {\n", type, own, id, what);
  for (size_t i = 0; i < count; i++) {
    const Type *t = &graph_value(g, list[i].val)->type;
    buf_puts(out, "    {");
    emit_string(out, list[i].name);
    buf_printf(out, ", \"%s\", %u, {", dtype_info[t->dtype].name, t->rank);
    for (int d = 0; d < t->rank; d++) {
      if (d) buf_puts(out, ", ");
      emit_axis(m, t, d, out);
    }
    if (!t->rank) buf_puts(out, "{1, 0, -1, 1}");
    buf_printf(out, "}, %llu, %llu},\n", (unsigned long long)type_elements(m, t), (unsigned long long)type_bytes(m, t));
  }
  buf_puts(out, "};\n");
}

static void emit_steps(const Program *p, const RouteProgram *r, const ModelNames *n, const char *id, Buf *out) {
  if (!r->step.n) return;
  buf_printf(out, "static const sy_step %s_info_%s_steps[] = {\n", n->own, id);
  for (size_t i = 0; i < r->step.n; i++) {
    const Step *s = &r->step.at[i];
    buf_puts(out, "    {");
    emit_string(out, p->kernel.at[s->kernel].name);
    buf_puts(out, ", ");
    emit_string(out, s->comment ? s->comment : "");
    buf_printf(out, ", %.17g, %.17g},\n", s->flops, s->bytes);
  }
  buf_puts(out, "};\n");
}

static void emit_pointer(Buf *out, const char *own, const char *id, const char *what, size_t count) {
  if (count)
    buf_printf(out, ", %s_info_%s_%s", own, id, what);
  else
    buf_puts(out, ", NULL");
}

static void emit_routes(const Program *p, const ModelNames *n, const char *type, bool steps, Buf *out) {
  for (size_t i = 0; i < p->route.n; i++) {
    const Graph *g = p->route.at[i].graph;
    const char *id = n->route[i].id;
    emit_tensors(g, g->input.at, g->input.n, type, n->own, id, "in", out);
    emit_tensors(g, g->output.at, g->output.n, type, n->own, id, "out", out);
    if (steps) emit_steps(p, &p->route.at[i], n, id, out);
  }
  buf_printf(out, "static const %s_route %s_info_routes[] = {\n", type, n->own);
  for (size_t i = 0; i < p->route.n; i++) {
    const RouteProgram *r = &p->route.at[i];
    const char *id = n->route[i].id;
    double flops = 0;
    for (size_t k = 0; k < r->step.n; k++) flops += r->step.at[k].flops;
    buf_puts(out, "    {");
    emit_string(out, r->graph->name);
    buf_printf(out, ", 0x%xu, %zu, %zu, %zu", n->route[i].dims, r->graph->input.n, r->graph->output.n, r->step.n);
    emit_pointer(out, n->own, id, "in", r->graph->input.n);
    emit_pointer(out, n->own, id, "out", r->graph->output.n);
    if (steps) emit_pointer(out, n->own, id, "steps", r->step.n);
    buf_printf(out, ", %.17g, %llu},\n", flops, (unsigned long long)r->arena_bytes);
  }
  buf_puts(out, "};\n");
}

void emit_info(const Program *p, const EmitModel *o, const ModelNames *n, const char *type, Buf *out) {
  const Module *m = p->module;
  const char *x = n->own;
  emit_routes(p, n, type, !strcmp(type, "sy"), out);
  if (m->ndim) {
    buf_printf(out, "static const %s_bound %s_info_dims[] = {", type, x);
    for (size_t i = 0; i < m->ndim; i++) {
      buf_puts(out, i ? ", {" : "{");
      emit_string(out, m->dim[i].name);
      buf_printf(out, ", %lld, %lld}", (long long)m->dim[i].lo, (long long)m->dim[i].hi);
    }
    buf_puts(out, "};\n");
  }
  buf_printf(out, "static const char *const %s_info_isas[] = {\n", x);
  for (size_t t = 0; t < p->ntarget; t++) {
    bool always = !strcmp(p->target[t]->macro, "1");
    if (!always) buf_printf(out, "#if %s\n", p->target[t]->macro);
    buf_printf(out, "    \"%s\",\n", p->target[t]->name);
    if (!always) buf_puts(out, "#endif\n");
  }
  buf_puts(out, "    NULL};\n");
  size_t nprepare = o->describe_host ? m->prepare.n : 0;
  if (nprepare) {
    buf_printf(out, "static const %s_prepare %s_info_prepare[] = {\n", type, x);
    for (size_t i = 0; i < nprepare; i++) {
      const Prepare *q = &m->prepare.at[i];
      buf_puts(out, "    {");
      emit_string(out, q->name);
      buf_puts(out, ", ");
      emit_string(out, q->kind);
      buf_puts(out, ", ");
      emit_string(out, q->options ? q->options : "");
      buf_puts(out, "},\n");
    }
    buf_puts(out, "};\n");
  }
  size_t ngenerate = emit_generates(p, type, x, out);
  buf_printf(out, "static const %s_info %s_info_table = {\n    ", type, x);
  emit_string(out, m->name);
  buf_printf(out, ", %s_PLAN_HASH, %s_WEIGHTS_BYTES, %s_SHARED_BYTES, %s_SCRATCH_BYTES,\n    %zu, %zu, ", n->upper,
             n->upper, n->upper, n->upper, m->ndim, p->route.n);
  buf_printf(out, "(unsigned)(sizeof %s_info_isas / sizeof *%s_info_isas) - 1, %zu,\n    ", x, x, nprepare);
  if (m->ndim)
    buf_printf(out, "%s_info_dims", x);
  else
    buf_puts(out, "NULL");
  buf_printf(out, ", %s_info_routes, %s_info_isas, ", x, x);
  if (nprepare)
    buf_printf(out, "%s_info_prepare,\n    ", x);
  else
    buf_puts(out, "NULL,\n    ");
  emit_string(out, m->built ? m->built : "");
  if (ngenerate) buf_printf(out, ", %zu, %s_info_generate};\n", ngenerate, x);
  if (!ngenerate) buf_puts(out, ", 0, NULL};\n");
}

/* the glue ------------------------------------------------------------------------------------------------------------
 */
void emit_model_glue(const Program *p, const EmitModel *o, Buf *out) {
  ModelNames n = model_names(p, o);
  buf_puts(out, "/* The compiled model \"");
  emit_comment(out, p->module->name);
  buf_puts(out, "\" as a sy_model, for programs that drive any model.\n * Generated by syc; do not edit. */\n");
  buf_printf(out, "#include \"%s\"\n#include \"switchyard.h\"\n\n", o->header_name);
  emit_info(p, o, &n, "sy", out);
  static const TextPartRow none[] = {{NULL, NULL}};
  template_print("glue.c", &(ModelText){p, o, &n}, none, out);
  model_names_free(&n);
}
