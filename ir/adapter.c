// adapter.c: see adapter.h.
#include "adapter.h"

#include <string.h>

bool is_adapter_factor(const Value *v) {
  return v->op == OP_weight && value_str(v, A_adapts);
}

bool weight_is_trained(const Value *v, const StagePattern *pattern, size_t n) {
  return is_adapter_factor(v) || stage_patterns_train(pattern, n, value_str(v, A_name));
}

// The module that the weight is of, or the weight itself.
static const char *module_of(Arena *a, const char *base, const char **end) {
  static const char weight[] = ".weight";
  size_t n = strlen(base), k = sizeof weight - 1;
  bool module = n > k && !strcmp(base + n - k, weight);
  *end = module ? weight : "";
  return arena_strndup(a, base, module ? n - k : n);
}

const char *adapter_factor(Arena *a, const char *base, char which) {
  const char *end, *module = module_of(a, base, &end);
  return arena_printf(a, "%s.lora_%c%s", module, which, end);
}

const Adapter *adapter_of(const AdapterList *l, const char *base) {
  for (size_t i = 0; i < l->n; i++)
    if (!strcmp(l->at[i].base, base)) return &l->at[i];
  return NULL;
}

AdapterList adapters_of(const Module *m, Arena *a) {
  VEC(Adapter) list = {0};
  for (size_t i = 0; i < m->graph.n; i++)
    for (size_t k = 1; k < m->graph.at[i]->value.n; k++) { // the second factors, which say all of it
      const Value *v = &m->graph.at[i]->value.at[k];
      if (v->dead || !is_adapter_factor(v) || !value_attr(v, A_scale)) continue;
      const char *base = value_str(v, A_adapts), *end;
      if (adapter_of(&(AdapterList){list.at, list.n}, base)) continue;
      Adapter x = {.base = base,
                   .a = adapter_factor(a, base, 'A'),
                   .b = value_str(v, A_name),
                   .module = module_of(a, base, &end),
                   .rank = v->type.dim[1].c,
                   .n = v->type.dim[0].c,
                   .turned = value_int(v, A_trans, 0) != 0,
                   .scale = value_float(v, A_scale, 1)};
      for (size_t w = 1; w < m->graph.at[i]->value.n; w++) {
        const Value *u = &m->graph.at[i]->value.at[w];
        if (!u->dead && is_adapter_factor(u) && !strcmp(value_str(u, A_name), x.a)) x.k = u->type.dim[1].c;
      }
      if (x.k) VEC_PUSH(a, list, x);
    }
  return (AdapterList){list.at, list.n};
}
