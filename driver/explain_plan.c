// explain_plan.c: the plan of a route in the JSON of `syc explain --json` and `--emit=json`: its tensors with their
// places and life times, its launches with what they read and write, and the packed weights. docs/command.md has the
// schema.
#include "explain.h"
#include "passes/place.h"

#include <string.h>

static void put_type(const Module *m, Json *j, const Type *t) {
  Buf b = {0};
  type_print(&b, m, t);
  json_string(j, "type", b.s);
  buf_free(&b);
  json_string(j, "dtype", dtype_info[t->dtype].name);
  json_array(j, "shape");
  for (int d = 0; d < t->rank; d++) json_integer(j, NULL, type_extent(m, t, d));
  json_end(j);
}

static void put_page(const Module *m, Json *j, const Value *v) {
  const char *path;
  uint32_t line, column;
  Buf b = {0};
  if (diag_place(m->diag, value_place(v), &path, &line, &column)) buf_printf(&b, "%s:%u:%u", path, line, column);
  json_string(j, "page", b.s ? b.s : "");
  buf_free(&b);
}

/* tensors
 * -------------------------------------------------------------------------------------------------------------- */
static void put_place(Json *j, const Value *v) {
  static const char *const kind[] = {[PLACE_NONE] = "none",     [PLACE_ARENA] = "arena",   [PLACE_INPUT] = "input",
                                     [PLACE_OUTPUT] = "output", [PLACE_WEIGHT] = "weight", [PLACE_ALIAS] = "tensor"};
  json_object(j, "place");
  json_string(j, "kind", kind[v->place.kind]);
  if (v->place.kind == PLACE_ARENA) json_integer(j, "offset", v->place.offset);
  if (v->place.kind == PLACE_INPUT || v->place.kind == PLACE_OUTPUT) json_unsigned(j, "index", v->place.index);
  if (v->place.kind == PLACE_ALIAS) {
    json_unsigned(j, "id", v->alias.id);
    json_integer(j, "shift", v->alias_offset);
  }
  json_end(j);
}

static void put_tensor(const Graph *g, Json *j, uint32_t id, const Live *life) {
  const Value *v = &g->value.at[id];
  json_object(j, NULL);
  json_unsigned(j, "id", id);
  json_string(j, "op", op_info[v->op].name);
  if (value_str(v, A_name)) json_string(j, "name", value_str(v, A_name));
  put_type(g->module, j, &v->type);
  int64_t bytes = v->alias.id ? type_bytes(g->module, &v->type)
                              : storage_elements(g, (Val){id}) * (int64_t)dtype_info[v->type.dtype].bytes;
  json_integer(j, "bytes", bytes);
  if (v->pitch) json_integer(j, "pitch", v->pitch);
  put_place(j, v);
  if (life) {
    json_unsigned(j, "first", life->first);
    json_unsigned(j, "last", life->last);
  }
  put_page(g->module, j, v);
  json_end(j);
}

static void put_tensors(const Graph *g, Json *j, Arena *scratch) {
  LiveList live = place_live(g, scratch);
  const Live **life = ARENA_ARRAY(scratch, const Live *, g->value.n);
  for (size_t i = 0; i < live.n; i++) life[live.at[i].val.id] = &live.at[i];
  json_array(j, "tensors");
  for (uint32_t id = 1; id < g->value.n; id++)
    if (!g->value.at[id].dead && g->value.at[id].place.kind != PLACE_NONE) put_tensor(g, j, id, life[id]);
  json_end(j);
}

/* launches
 * ------------------------------------------------------------------------------------------------------------- */
static void put_reads(const Graph *g, const Group *grp, Json *j, uint32_t *seen) {
  json_array(j, "reads");
  for (size_t m = 0; m < grp->member.n; m++) {
    const Value *v = graph_value(g, grp->member.at[m]);
    for (uint32_t i = 0; i < value_operands(v); i++) {
      if (graph_value(g, v->args[i])->group == grp->id) continue;
      uint32_t base = access_resolve(g, v->args[i]).base.id;
      if (seen[base] == grp->id || g->value.at[base].place.kind == PLACE_NONE) continue;
      seen[base] = grp->id;
      json_unsigned(j, NULL, base);
    }
  }
  json_end(j);
}

static void put_step(const Facts *f, const RouteProgram *r, size_t step, const Group *grp, Json *j, uint32_t *seen) {
  static const char *const kind[] = {
      [GROUP_GEMM] = "product", [GROUP_ATTENTION] = "attention", [GROUP_ROW] = "row", [GROUP_MAP] = "map"};
  const Step *s = &r->step.at[step];
  const KernelSlot *k = &f->program->kernel.at[s->kernel];
  const Value *root = graph_value(r->graph, s->root);
  json_object(j, NULL);
  json_unsigned(j, "step", step);
  json_string(j, "kernel", k->name);
  json_string(j, "kind", kind[grp->kind]);
  json_string(j, "about", s->comment ? s->comment : "");
  json_integer(j, "tasks", kernel_tasks(k->k[0], f->dims));
  json_double(j, "flops", s->flops);
  json_double(j, "bytes", s->bytes);
  json_array(j, "ops");
  for (size_t m = 0; m < grp->member.n; m++)
    json_string(j, NULL, op_info[graph_value(r->graph, grp->member.at[m])->op].name);
  json_end(j);
  put_reads(r->graph, grp, j, seen);
  json_array(j, "weights");
  for (uint32_t i = 0; i < s->narg; i++)
    if (s->arg[i].kind == PLACE_WEIGHT) json_unsigned(j, NULL, s->arg[i].index);
  json_end(j);
  json_unsigned(j, "writes", s->root.id);
  put_page(r->graph->module, j, root);
  if (root->label) json_string(j, "label", root->label);
  json_end(j);
}

void explain_route_plan(const Facts *f, const RouteProgram *r, Json *j) {
  Arena scratch = {0};
  put_tensors(r->graph, j, &scratch);
  GroupList groups = groups_collect(r->graph, &scratch); // one launch for each, in this order
  uint32_t *seen = ARENA_ARRAY(&scratch, uint32_t, r->graph->value.n);
  json_array(j, "steps");
  for (size_t i = 0; i < r->step.n && i < groups.n; i++) put_step(f, r, i, &groups.at[i], j, seen);
  json_end(j);
  arena_free(&scratch);
}

/* packed weights
 * --------------------------------------------------------------------------------------------------------- */
void explain_packed(const Facts *f, Json *j) {
  json_array(j, "packed");
  for (size_t i = 0; i < f->program->weight.n; i++) {
    const PackedWeight *w = &f->program->weight.at[i];
    json_object(j, NULL);
    json_string(j, "label", w->label);
    json_string(j, "layout", pack_info[w->shape.form.kind].name);
    put_type(f->program->module, j, &graph_value(w->graph, w->val)->type);
    json_unsigned(j, "offset", w->offset);
    json_unsigned(j, "bytes", w->bytes);
    json_end(j);
  }
  json_end(j);
}
