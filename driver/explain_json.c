// explain_json.c: the facts of `syc explain --json` and `--emit=json`.
//
//   {"model": "vit", "parameters": [{"name", "value", "about"}], "dims": [..], "weights": {..}, "packed": [..],
//    "routes": [{"name", "inputs", "outputs", "flops", "arena_bytes", "kernels": [..], "tensors": [..], "steps": ..}],
//    "stages": [..]}
#include "explain.h"

#include <string.h>

static void put_parameters(const Facts *f, Json *j) {
  json_array(j, "parameters");
  for (size_t i = 0; f->model && i < f->model->nparam; i++) {
    json_object(j, NULL);
    json_string(j, "name", f->model->param[i].name);
    json_string(j, "value", facts_parameter(f, &f->model->param[i]));
    json_string(j, "about", f->model->param[i].about);
    json_end(j);
  }
  json_end(j);
}

static void put_dims(const Facts *f, Json *j) {
  const Module *m = f->program->module;
  json_array(j, "dims");
  for (size_t i = 0; i < m->ndim; i++) {
    json_object(j, NULL);
    json_string(j, "name", m->dim[i].name);
    json_integer(j, "least", m->dim[i].lo);
    json_integer(j, "most", m->dim[i].hi);
    json_integer(j, "figures_for", f->dims[i]);
    json_end(j);
  }
  json_end(j);
}

static void put_modalities(const Facts *f, Json *j) {
  const Module *m = f->program->module;
  json_array(j, "modalities");
  for (size_t i = 0; i < m->nmodality; i++) {
    WeightSum s = *m->modality[i].infix ? facts_sum(f, &f->used, m->modality[i].infix) : (WeightSum){0};
    json_object(j, NULL);
    json_string(j, "name", m->modality[i].name);
    json_string(j, "segment", m->modality[i].infix);
    json_unsigned(j, "tensors", s.count);
    json_integer(j, "parameters", s.parameters);
    json_end(j);
  }
  json_end(j);
}

static void put_weights(const Facts *f, Json *j) {
  const Module *m = f->program->module;
  WeightSum used = facts_sum(f, &f->used, NULL), whole = facts_sum(f, &f->whole, NULL);
  json_object(j, "weights");
  json_unsigned(j, "tensors", used.count);
  json_integer(j, "parameters", used.parameters);
  json_integer(j, "statistics", used.statistics);
  json_unsigned(j, "packed_bytes", f->program->weight_bytes);
  json_unsigned(j, "dropped_tensors", whole.count - used.count);
  json_integer(j, "dropped_parameters", whole.parameters - used.parameters);
  put_modalities(f, j);
  json_array(j, "list");
  for (size_t i = 0; i < f->used.list.n; i++) {
    const WeightName *w = &f->used.list.at[i];
    json_object(j, NULL);
    json_string(j, "name", w->name);
    json_string(j, "dtype", dtype_info[w->type.dtype].name);
    json_array(j, "shape");
    for (int d = 0; d < w->type.rank; d++) json_integer(j, NULL, type_extent(m, &w->type, d));
    json_end(j);
    json_end(j);
  }
  json_end(j);
  json_end(j);
}

static void put_ports(const Facts *f, Json *j, const char *key, const Graph *g, const Port *v, size_t n) {
  json_array(j, key);
  for (size_t i = 0; i < n; i++) {
    Buf b = {0};
    type_print(&b, f->program->module, &graph_value(g, v[i].val)->type);
    json_object(j, NULL);
    json_string(j, "name", v[i].name);
    json_string(j, "type", b.s);
    json_end(j);
    buf_free(&b);
  }
  json_end(j);
}

static void put_kernels(const RouteFacts *r, Json *j) {
  json_array(j, "kernels");
  for (size_t i = 0; i < r->kernel.n; i++) {
    const KernelSum *k = &r->kernel.at[i];
    json_object(j, NULL);
    json_string(j, "name", k->name);
    json_unsigned(j, "calls", k->calls);
    json_double(j, "flops", k->flops);
    json_double(j, "bytes", k->bytes);
    json_end(j);
  }
  json_end(j);
}

static void put_route(const Facts *f, Json *j, const RouteFacts *r) {
  const Graph *g = r->program->graph;
  json_object(j, NULL);
  json_string(j, "name", g->name);
  json_string(j, "about", r->about ? r->about : "");
  put_ports(f, j, "inputs", g, g->input.at, g->input.n);
  put_ports(f, j, "outputs", g, g->output.at, g->output.n);
  json_double(j, "flops", r->flops);
  json_double(j, "bytes", r->bytes);
  json_unsigned(j, "launches", r->program->step.n);
  json_integer(j, "arena_bytes", r->program->arena_bytes);
  json_integer(j, "arena_lower_bound", r->program->arena_lower_bound);
  explain_step_json(f, r->program, j);
  explain_precision_json(f, r->program, j);
  put_kernels(r, j);
  explain_route_plan(f, r->program, j);
  json_end(j);
}

static void put_facts(const Facts *f, Json *j) {
  json_object(j, NULL);
  json_string(j, "model", f->program->module->name);
  if (f->preset) json_string(j, "preset", f->preset->name);
  json_hash(j, "plan", f->program->plan_hash);
  put_parameters(f, j);
  put_dims(f, j);
  put_weights(f, j);
  explain_packed(f, j);
  json_integer(j, "arena_bytes", f->program->arena_bytes);
  json_integer(j, "scratch_bytes", f->program->scratch_bytes);
  json_array(j, "routes");
  for (size_t i = 0; i < f->route.n; i++) put_route(f, j, &f->route.at[i]);
  json_end(j);
  explain_stages_json(f, j);
  json_end_all(j);
}

bool explain_json(Session *s, const char *spec, const char *out) {
  Facts f;
  if (!facts_gather(s, spec, &f)) return false;
  Buf b = {0};
  Json j = {.put = buf_sink, .ud = &b, .lines = JSON_ALL_LINES};
  put_facts(&f, &j);
  bool ok = output_text(s, out, &b);
  buf_free(&b);
  return ok;
}
