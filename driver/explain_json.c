// explain_json.c: the facts of `syc explain --json` and `--emit=json`.
//
//   {"model": "vit", "parameters": [{"name", "value", "about"}], "dims": [..], "weights": {..}, "routes": [{"name",
//   "inputs",
//    "outputs", "flops", "arena_bytes", "kernels": [..]}]}
#include "explain.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static void add_parameters(const Facts *f, cJSON *root) {
  cJSON *list = cJSON_AddArrayToObject(root, "parameters");
  for (size_t i = 0; f->model && i < f->model->nparam; i++) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", f->model->param[i].name);
    cJSON_AddStringToObject(o, "value", facts_parameter(f, &f->model->param[i]));
    cJSON_AddStringToObject(o, "about", f->model->param[i].about);
    cJSON_AddItemToArray(list, o);
  }
  const Module *m = f->program->module;
  list = cJSON_AddArrayToObject(root, "dims");
  for (size_t i = 0; i < m->ndim; i++) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", m->dim[i].name);
    cJSON_AddNumberToObject(o, "least", (double)m->dim[i].lo);
    cJSON_AddNumberToObject(o, "most", (double)m->dim[i].hi);
    cJSON_AddNumberToObject(o, "figures_for", (double)f->dims[i]);
    cJSON_AddItemToArray(list, o);
  }
}

static void add_weights(const Facts *f, cJSON *root) {
  const Module *m = f->program->module;
  WeightSum used = facts_sum(f, &f->used, NULL), whole = facts_sum(f, &f->whole, NULL);
  cJSON *o = cJSON_AddObjectToObject(root, "weights");
  cJSON_AddNumberToObject(o, "tensors", (double)used.count);
  cJSON_AddNumberToObject(o, "parameters", (double)used.parameters);
  cJSON_AddNumberToObject(o, "packed_bytes", (double)f->program->weight_bytes);
  cJSON_AddNumberToObject(o, "dropped_tensors", (double)(whole.count - used.count));
  cJSON_AddNumberToObject(o, "dropped_parameters", (double)(whole.parameters - used.parameters));
  cJSON *list = cJSON_AddArrayToObject(o, "modalities");
  for (size_t i = 0; i < m->nmodality; i++) {
    WeightSum s = *m->modality[i].infix ? facts_sum(f, &f->used, m->modality[i].infix) : (WeightSum){0};
    cJSON *e = cJSON_CreateObject();
    cJSON_AddStringToObject(e, "name", m->modality[i].name);
    cJSON_AddStringToObject(e, "segment", m->modality[i].infix);
    cJSON_AddNumberToObject(e, "tensors", (double)s.count);
    cJSON_AddNumberToObject(e, "parameters", (double)s.parameters);
    cJSON_AddItemToArray(list, e);
  }
  list = cJSON_AddArrayToObject(o, "list");
  for (size_t i = 0; i < f->used.list.n; i++) {
    const WeightName *w = &f->used.list.at[i];
    cJSON *e = cJSON_CreateObject(), *shape = cJSON_AddArrayToObject(e, "shape");
    cJSON_AddStringToObject(e, "name", w->name);
    for (int d = 0; d < w->type.rank; d++)
      cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)type_extent(m, &w->type, d)));
    cJSON_AddItemToArray(list, e);
  }
}

static void add_ports(const Facts *f, cJSON *o, const char *key, const Graph *g, const NamedVal *v, size_t n) {
  cJSON *list = cJSON_AddArrayToObject(o, key);
  for (size_t i = 0; i < n; i++) {
    Buf b = {0};
    type_print(&b, f->program->module, &graph_value(g, v[i].val)->type);
    cJSON *e = cJSON_CreateObject();
    cJSON_AddStringToObject(e, "name", v[i].name);
    cJSON_AddStringToObject(e, "type", b.s);
    cJSON_AddItemToArray(list, e);
    buf_free(&b);
  }
}

static void add_route(const Facts *f, cJSON *list, const RouteFacts *r) {
  const Graph *g = r->program->graph;
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "name", g->name);
  cJSON_AddStringToObject(o, "about", r->about ? r->about : "");
  add_ports(f, o, "inputs", g, g->input.at, g->input.n);
  add_ports(f, o, "outputs", g, g->output.at, g->output.n);
  cJSON_AddNumberToObject(o, "flops", r->flops);
  cJSON_AddNumberToObject(o, "launches", (double)r->program->step.n);
  cJSON_AddNumberToObject(o, "arena_bytes", (double)r->program->arena_bytes);
  cJSON_AddNumberToObject(o, "arena_lower_bound", (double)r->program->arena_lower_bound);
  cJSON *kernels = cJSON_AddArrayToObject(o, "kernels");
  for (size_t i = 0; i < r->kernel.n; i++) {
    const KernelSum *k = &r->kernel.at[i];
    cJSON *e = cJSON_CreateObject();
    cJSON_AddStringToObject(e, "name", k->name);
    cJSON_AddNumberToObject(e, "calls", (double)k->calls);
    cJSON_AddNumberToObject(e, "flops", k->flops);
    cJSON_AddNumberToObject(e, "bytes", k->bytes);
    cJSON_AddItemToArray(kernels, e);
  }
  cJSON_AddItemToArray(list, o);
}

bool explain_json(Session *s, const char *spec, const char *out) {
  Facts f;
  if (!facts_gather(s, spec, &f)) return false;
  cJSON *root = cJSON_CreateObject();
  char hash[20];
  snprintf(hash, sizeof hash, "%016llx", (unsigned long long)f.program->plan_hash);
  cJSON_AddStringToObject(root, "model", f.program->module->name);
  if (f.preset) cJSON_AddStringToObject(root, "preset", f.preset->name);
  cJSON_AddStringToObject(root, "plan", hash);
  add_parameters(&f, root);
  add_weights(&f, root);
  cJSON_AddNumberToObject(root, "arena_bytes", (double)f.program->arena_bytes);
  cJSON_AddNumberToObject(root, "scratch_bytes", (double)f.program->scratch_bytes);
  cJSON *routes = cJSON_AddArrayToObject(root, "routes");
  for (size_t i = 0; i < f.route.n; i++) add_route(&f, routes, &f.route.at[i]);
  char *text = cJSON_Print(root);
  cJSON_Delete(root);
  if (!text) ICE("out of memory");
  Buf b = {0};
  buf_printf(&b, "%s\n", text);
  bool ok = output_text(s, out, &b);
  buf_free(&b);
  free(text);
  return ok;
}
