// products.c: see products.h. What a product is in is read off the graph, not off the rules: its operator, and the type
// that its weight is kept in.
#include "products.h"

#include "ir/op/codes.h"
#include "pass.h"

#include <string.h>

typedef struct Found {
  const Graph *g;
  size_t budget, tables;
  const char *name;
  DType kept;
} Found;

static void look(Found *f, Val v) {
  const Value *x = graph_value(f->g, v);
  if (!f->budget || !f->budget--) return;
  if (x->op == OP_cast && dtype_is_narrow(x->type.dtype)) f->kept = x->type.dtype;
  if (x->op == OP_weight && dtype_is_narrow(x->type.dtype)) f->kept = x->type.dtype;
  const char *name = x->op == OP_weight && type_is_table(&x->type) ? value_str(x, A_name) : NULL;
  if (name && !f->name) f->name = name;
  if (name && strcmp(name, f->name) != 0) f->tables++; // a joint projection is one, however many slices there are
  for (uint32_t i = 0; i < x->nargs; i++) look(f, x->args[i]);
}

const char *precision_label(const char *built) {
  static const char key[] = ", precision=";
  const char *last = NULL;
  for (const char *at = built ? strstr(built, key) : NULL; at; at = strstr(at + 1, key)) last = at;
  return last ? last + strlen(key) : precisions[0].name;
}

// The precision with weights of so many bits that is asked for; the first such, if the module does not say, or left
// the weight more bits than that (a vocabulary under int4w).
static const Precision *of_codes(const Graph *g, Val weight, int bits) {
  PassOptions o = {.precision = precision_by_name(precision_label(g->module->built))};
  const Precision *p = precision_of(g, &o, weight, NULL);
  for (size_t i = 0; i < precision_count && p->codes != bits; i++) p = &precisions[i];
  return p;
}

static const Precision *of_kept(DType t) {
  for (size_t i = 0; i < precision_count; i++)
    if (precisions[i].keep == t && !precisions[i].codes) return &precisions[i];
  return precisions;
}

bool product_of(const Graph *g, Val v, Product *out) {
  const Value *x = graph_value(g, v);
  int bits = x->op == OP_linear_codes4 ? 4 : x->op == OP_linear_pairs ? PRECISION_PAIRS : 8;
  bool codes = x->op == OP_linear_codes || x->op == OP_linear_codes4 || x->op == OP_linear_pairs;
  if (x->op != OP_linear && !codes) return false;
  if (graph_residency(g, x->args[1]) == RES_act || graph_residency(g, v) != RES_act) return false;
  Found f = {.g = g, .budget = MOST_LOOKED_AT, .kept = DT_F32};
  look(&f, x->args[1]);
  if (!f.name) return false;
  static const char last[] = ".weight";
  size_t n = strlen(f.name), k = sizeof last - 1;
  bool module = n > k && !strcmp(f.name + n - k, last);
  const Type *row = &graph_value(g, x->args[0])->type;
  *out = (Product){.name = module ? arena_strndup(g->module->arena, f.name, n - k) : f.name,
                   .more = f.tables,
                   .is = codes ? of_codes(g, x->args[1], bits) : of_kept(f.kept),
                   .k = row->dim[row->rank - 1].c,
                   .n = x->type.dim[x->type.rank - 1].c};
  if (!codes) return true;
  for (const Value *q = graph_value(g, x->args[0]); q->nargs; q = graph_value(g, q->args[0])) {
    const Type *t = &graph_value(g, q->args[0])->type;
    if (q->op != OP_quantise && q->op != OP_pairs) continue;
    out->k = t->dim[t->rank - 1].c;
    break;
  }
  return true;
}
