// training.c: see training.h.
#include "training.h"

#include "ir/adapter.h"
#include "runtime/weights_format.h"

#include <string.h>

bool program_trains(const Program *p) {
  return p->trains;
}

// The weight that is stored as it is, in its own order or in that of a pack; NULL: it is made of several.
static const Value *stored_weight(const PackedWeight *w) {
  const Value *v = graph_value(w->graph, w->val);
  while (v->op == OP_reshape) v = graph_value(w->graph, v->args[0]);
  return v->op == OP_weight && v->type.dtype == w->dtype ? v : NULL;
}

static uint32_t tensor_named(const Training *t, const char *name) {
  for (uint32_t i = 0; i < t->tensor.n; i++)
    if (!strcmp(t->tensor.at[i].name, name)) return i;
  return UINT32_MAX;
}

static bool reads(const Graph *g, Val v, const char *name) {
  const Value *x = graph_value(g, v);
  if (x->op == OP_weight) return !strcmp(value_str(x, A_name), name);
  for (uint32_t i = 0; i < x->nargs; i++)
    if (reads(g, x->args[i], name)) return true;
  return false;
}

// Is what nothing changes in the file a second time, in another layout or as a part of something? Who would change one
// of them would leave the others behind.
static bool is_repeated(const Program *p, size_t at, const Value *v) {
  if (value_int(v, A_trained, 0) || value_int(v, A_state, 0)) return false;
  for (size_t i = 0; i < p->weight.n; i++)
    if (i != at && reads(p->weight.at[i].graph, p->weight.at[i].val, value_str(v, A_name))) return true;
  return false;
}

static void add_weights(const Program *p, Training *t, Arena *a) {
  for (size_t i = 0; i < p->weight.n; i++) {
    const Value *v = stored_weight(&p->weight.at[i]);
    if (!v || tensor_named(t, value_str(v, A_name)) != UINT32_MAX || is_repeated(p, i, v)) continue;
    VEC_PUSH(a, t->tensor,
             ((TrainingTensor){value_str(v, A_name), v->type, &p->weight.at[i], false, MDL__NONE, MDL__NONE}));
  }
}

static uint64_t grains(uint64_t elements) {
  return (uint64_t)round_up((int64_t)elements, 16);
}

static void add_output(Training *t, const Graph *g, const Port *o, TrainingOutput *out, Arena *a) {
  *out = (TrainingOutput){MDL__FOR_CALLER, 0};
  if (o->role != ROLE_gradient && o->role != ROLE_next) return;
  const Type *type = &graph_value(g, o->val)->type;
  out->tensor = tensor_named(t, o->name);
  if (out->tensor == UINT32_MAX) {
    out->tensor = (uint32_t)t->tensor.n;
    VEC_PUSH(a, t->tensor, ((TrainingTensor){o->name, *type, NULL, false, MDL__NONE, MDL__NONE}));
  }
  TrainingTensor *x = &t->tensor.at[out->tensor];
  if (o->role == ROLE_gradient && !x->weight) ICE("@%s: the trained weight '%s' is not stored", g->name, o->name);
  out->kind = o->role == ROLE_gradient ? MDL__IS_GRADIENT : MDL__IS_NEXT;
  if (out->kind == MDL__IS_GRADIENT && x->slot == MDL__NONE) {
    x->trained = true, x->slot = t->slots;
    t->slots += grains((uint64_t)type_elements(g->module, type));
  } else if (out->kind == MDL__IS_NEXT && x->next == MDL__NONE) {
    x->next = t->next_bytes;
    // where no weight is, there is what it holds now, behind what it holds next
    t->next_bytes += (uint64_t)round_up(type_bytes(g->module, type), 64) * (x->weight ? 1 : 2);
  }
}

static void add_adapters(const Program *p, Training *t, Arena *a) {
  AdapterList list = adapters_of(p->module, a);
  for (size_t i = 0; i < list.n; i++) {
    const Adapter *x = &list.at[i];
    mdl__adapter row = {x->base,        tensor_named(t, x->a), tensor_named(t, x->b), x->turned,
                        (uint64_t)x->n, (uint64_t)x->k,        (uint64_t)x->rank,     x->scale};
    if (row.a == UINT32_MAX || row.b == UINT32_MAX) continue; // nothing reads it, so nothing trains it
    VEC_PUSH(a, t->adapter, row);
  }
}

Training program_training(const Program *p, Arena *a) {
  Training t = {0};
  add_weights(p, &t, a);
  for (size_t r = 0; r < p->route.n; r++) {
    const Graph *g = p->route.at[r].graph;
    if (!g->objective) continue;
    TrainingObjective o = {r, ARENA_ARRAY(a, TrainingOutput, g->output.n)};
    for (size_t i = 0; i < g->output.n; i++) add_output(&t, g, &g->output.at[i], &o.output[i], a);
    VEC_PUSH(a, t.objective, o);
    if (g->output.n > t.outputs) t.outputs = g->output.n;
  }
  add_adapters(p, &t, a);
  t.layout = hash_bytes("switchyard training 1", 21, 0);
  for (size_t i = 0; i < t.tensor.n; i++) {
    const TrainingTensor *x = &t.tensor.at[i];
    uint64_t row[] = {x->slot, x->next};
    t.layout = hash_bytes(row, sizeof row, hash_bytes(x->name, strlen(x->name), t.layout));
  }
  return t;
}

mdl__stored training_stored(const Module *m, const TrainingTensor *t) {
  uint64_t elements = (uint64_t)type_elements(m, &t->type);
  mdl__stored s = {.about = {t->name, elements, dtype_info[t->type.dtype].code, t->trained},
                   .offset = t->weight ? t->weight->offset : MDL__NONE,
                   .slot = t->slot,
                   .next = t->next,
                   .bytes = t->weight ? t->weight->bytes : (uint64_t)type_bytes(m, &t->type),
                   .outer = 1,
                   .n = elements,
                   .k = 1,
                   .pitch = elements};
  if (!t->weight || t->weight->shape.form.kind == PACK_plain) return s;
  const PackShape *f = &t->weight->shape;
  s.outer = (uint64_t)f->outer, s.n = (uint64_t)f->n, s.k = (uint64_t)f->k;
  s.turned = f->form.trans;
  s.panel = f->form.kind == PACK_panels ? (uint64_t)f->form.panel : 0;
  s.pitch = f->outer ? (uint64_t)(f->elements / f->outer) : 0;
  return s;
}

uint64_t training_add_bytes(const Training *t) {
  return (uint64_t)round_up((int64_t)(t->slots * sizeof(float)), 64);
}

void training_parts(const Program *p, const Training *t, uint64_t part[MDL__PARTS]) {
  uint64_t file = sy_weights_data_offset(p->weight.n) + p->weight_bytes, each = training_add_bytes(t);
  part[MDL__GRADIENTS] = (uint64_t)round_up((int64_t)(MDL__TRAIN_HEADER + file), 64);
  part[MDL__MOMENTS1] = part[MDL__GRADIENTS] + each;
  part[MDL__MOMENTS2] = part[MDL__MOMENTS1] + each;
  part[MDL__NEXT] = part[MDL__MOMENTS2] + each;
  part[MDL__PARTIAL] = part[MDL__NEXT] + t->next_bytes;
  part[MDL__OUT] = part[MDL__PARTIAL] + (t->slots + MDL__SQUARES - 1) / MDL__SQUARES * sizeof(double);
  part[MDL__ADDED] = (uint64_t)round_up((int64_t)(part[MDL__OUT] + t->outputs * sizeof(void *)), 64);
}
