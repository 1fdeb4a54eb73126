// check_train.c: what a `train` case asks beyond its losses: gradients by name, states after the step.
//
// Gradients of one case are hundreds of tensors: they are one line of the report, the tensor that comes closest to its
// limit, which is named where it fails.
#include "check.h"

#include "common/text.h"

#include <float.h>
#include <math.h>
#include <string.h>

bool check_is_train(const Case *k) {
  return !strcmp(k->kind, "train");
}

static StrList strings_of(Check *c, const Case *k, const char *key) {
  StrList out = {0};
  const cJSON *v, *list = cJSON_GetObjectItemCaseSensitive(k->json, key);
  cJSON_ArrayForEach(v, list) {
    if (cJSON_IsString(v)) VEC_PUSH(&c->s->arena, out, v->valuestring);
  }
  return out;
}

const Train *check_train(Check *c, const Case *k) {
  const cJSON *j = k->json;
  bool gradients =
      cJSON_GetObjectItemCaseSensitive(j, "gradients") || cJSON_GetObjectItemCaseSensitive(j, "gradient_digests");
  if (!gradients) return NULL;
  Train *t = ARENA_NEW(&c->s->arena, Train);
  StrList only = strings_of(c, k, "trainable"), freeze = strings_of(c, k, "frozen");
  *t = (Train){only.at, freeze.at, only.n, freeze.n};
  return t;
}

/* comparison
 * ---------------------------------------------------------------------------------------------------------------- */

typedef struct Worst { // of many tensors
  double share;        // of its limit
  CheckOutput o;
  size_t n;
} Worst;

static const Port *port_of(const Graph *g, const char *name, Role role) {
  for (size_t i = 0; i < g->output.n; i++)
    if (g->output.at[i].role == role && !strcmp(g->output.at[i].name, name)) return &g->output.at[i];
  return NULL;
}

static bool compare(Check *c, const Call *call, const Port *p, const StTensor *x, double atol, double rtol, Worst *w) {
  const Graph *g = call->program->route.at[call->route].graph;
  const Type *t = &graph_value(g, p->val)->type;
  Layout l = layout_of(&c->s->arena, g->module, t, call->dims, NULL);
  size_t n = layout_elements(&l);
  int64_t want_n = 1;
  for (int d = 0; d < x->rank; d++) want_n *= x->shape[d];
  if ((int64_t)n != want_n) return false;
  void *dense = check_zeros(c, n * l.bytes);
  layout_load(&l, call->out[p - g->output.at], dense);
  Difference d = {0};
  for (size_t i = 0; i < n; i++)
    difference_add(&d, i, check_element(kept_dtype(t->dtype), dense, i), check_element(x->dtype, x->data, i));
  double limit = t->dtype == DT_F32 ? atol + rtol * d.most : 0;
  double share = d.abs == 0 ? 0 : d.abs / (limit > 0 ? limit : DBL_MIN);
  w->n++;
  if (w->o.name && share <= w->share) return true;
  w->share = share;
  w->o = (CheckOutput){.name = p->name,
                       .shape = "f32",
                       .max_abs = d.abs,
                       .max_rel = d.abs == 0 ? 0 : d.abs / (d.most > 0 ? d.most : DBL_MIN),
                       .limit = limit,
                       .verdict = d.abs <= limit ? PASS : FAIL,
                       .hash = hash_bytes(dense, n * l.bytes, 0)};
  return true;
}

static void report(Check *c, Worst *w, const char *what, CheckResult *r) {
  if (!w->o.name) return;
  w->o.shape = arena_printf(&c->s->arena, "(worst of %zu %s)", w->n, what);
  if (w->o.verdict == FAIL) r->verdict = FAIL;
  VEC_PUSH(&c->s->arena, r->output, w->o);
}

static bool in_list(const StrList *l, const char *name) {
  for (size_t i = 0; i < l->n; i++)
    if (text_matches(l->at[i], name)) return true;
  return false;
}

static bool compare_gradients(Check *c, const Case *k, const Call *call, const Checkpoint *tensors, CheckResult *r) {
  const Graph *g = call->program->route.at[call->route].graph;
  const cJSON *how = cJSON_GetObjectItemCaseSensitive(k->json, "gradients");
  const char *prefix = how ? json_text(how, "prefix") : NULL;
  StrList none = strings_of(c, k, "no_gradient");
  Worst w = {0};
  if (!prefix) return true;
  double atol = json_number(how, "atol", 1e-7), rtol = json_number(how, "rtol", 1e-5);
  VEC(const StTensor *) all = {0};
  for (size_t i = 0; i < tensors->n; i++)
    for (size_t n = 0; n < st_count(tensors->file[i]); n++) VEC_PUSH(&c->s->arena, all, st_at(tensors->file[i], n));
  for (size_t i = 0; i < all.n; i++) {
    const StTensor *x = all.at[i];
    if (strncmp(x->name, prefix, strlen(prefix)) != 0) continue;
    const Port *p = port_of(g, x->name + strlen(prefix), ROLE_gradient);
    if (!p && in_list(&none, x->name + strlen(prefix))) continue;
    if (!p) return check_settle(c, r, FAIL, "there is no gradient of '%s'", x->name + strlen(prefix));
    if (!compare(c, call, p, x, atol, rtol, &w))
      return check_settle(c, r, FAIL, "the gradient of '%s' has another shape in the case", p->name);
  }
  for (size_t i = 0; i < g->output.n; i++) {
    const Port *p = &g->output.at[i];
    if (p->role == ROLE_gradient && !checkpoint_find(tensors, arena_printf(&c->s->arena, "%s%s", prefix, p->name)))
      return check_settle(c, r, FAIL, "the case has no gradient of '%s'", p->name);
  }
  report(c, &w, "gradients", r);
  return true;
}

static bool compare_states(Check *c, const Case *k, const Call *call, const Checkpoint *tensors, CheckResult *r) {
  const Graph *g = call->program->route.at[call->route].graph;
  double rtol = json_number(k->json, "state_after_rtol", 1e-5);
  const cJSON *v;
  Worst w = {0};
  cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(k->json, "state_after")) {
    const StTensor *x = cJSON_IsString(v) ? checkpoint_find(tensors, v->valuestring) : NULL;
    const Port *p = port_of(g, v->string, ROLE_next);
    if (!x) return check_settle(c, r, FAIL, "no tensor for the state '%s'", v->string);
    if (!p) return check_settle(c, r, FAIL, "the objective does not change '%s'", v->string);
    if (!compare(c, call, p, x, json_number(k->json, "atol", 1e-7), rtol, &w))
      return check_settle(c, r, FAIL, "the state '%s' has another shape in the case", v->string);
  }
  report(c, &w, "states", r);
  return true;
}

bool check_train_outputs(Check *c, const Case *k, const Call *call, const Checkpoint *tensors, CheckResult *r) {
  return compare_gradients(c, k, call, tensors, r) && compare_states(c, k, call, tensors, r);
}
