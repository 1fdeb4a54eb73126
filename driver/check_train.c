// check_train.c: what a `train` case asks beyond its losses: gradients by name, states after the step.
//
// Gradients of one case are hundreds of tensors: they are one line of the report, the tensor that comes closest to its
// limit, which is named where it fails.
#include "check.h"

#include "common/text.h"
#include "runtime/engine/numbers.h"
#include "trainer.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
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
  Train *t = ARENA_NEW(&c->s->arena, Train); // zeroed
  StrList only = strings_of(c, k, "trainable"), freeze = strings_of(c, k, "frozen");
  StagePattern *p = ARENA_ARRAY(&c->s->arena, StagePattern, only.n + freeze.n + 1);
  for (size_t i = 0; i < only.n; i++) p[t->n++] = (StagePattern){.glob = only.at[i], .kind = PATTERN_only};
  for (size_t i = 0; i < freeze.n; i++) p[t->n++] = (StagePattern){.glob = freeze.at[i]};
  t->pattern = p;
  t->in_place = true;
  return t;
}

/* comparison
 * ---------------------------------------------------------------------------------------------------------------- */

typedef struct Worst { // of many tensors
  double share;        // of its limit
  CheckOutput o;
  size_t n;
  uint64_t hash; // of the bytes of all of them
} Worst;

static const Port *port_of(const Graph *g, const char *name, Role role) {
  for (size_t i = 0; i < g->output.n; i++)
    if (g->output.at[i].role == role && !strcmp(g->output.at[i].name, name)) return &g->output.at[i];
  return NULL;
}

// The tensor of the checkpoint that a gradient or a next value belongs to.
static const TrainingTensor *tensor_of(const Training *t, const char *name) {
  for (size_t i = 0; i < t->tensor.n; i++)
    if (!strcmp(t->tensor.at[i].name, name)) return &t->tensor.at[i];
  return NULL;
}

// Row-major, in the session's arena.
static void *rows_of(Check *c, const Call *call, const Training *all, const Port *p, size_t *n, size_t *bytes) {
  const Graph *g = call->program->route.at[call->route].graph;
  const TrainingTensor *t = tensor_of(all, p->name);
  *n = (size_t)type_elements(g->module, &t->type);
  *bytes = *n * dtype_info[t->type.dtype].bytes;
  void *rows = check_zeros(c, *bytes);
  train_rows(g->module, t, call->out[p - g->output.at], rows);
  return rows;
}

static bool compare(Check *c, const Call *call, const Training *all, const Port *p, const StTensor *x, double atol,
                    double rtol, Worst *w) {
  const Type *t = &tensor_of(all, p->name)->type;
  size_t n, bytes;
  void *dense = rows_of(c, call, all, p, &n, &bytes);
  if ((int64_t)n != st_elements(x)) return false;
  Difference d = {0};
  for (size_t i = 0; i < n; i++)
    difference_add(&d, i, check_element(kept_dtype(t->dtype), dense, i), check_element(x->dtype, x->data, i));
  double limit = t->dtype == DT_F32 ? atol + rtol * d.most : 0;
  double share = d.abs == 0 ? 0 : d.abs / (limit > 0 ? limit : DBL_MIN);
  w->n++;
  w->hash = hash_bytes(dense, bytes, w->hash);
  if (w->o.name && share <= w->share) return true;
  w->share = share;
  w->o = (CheckOutput){.name = p->name,
                       .shape = "f32",
                       .max_abs = d.abs,
                       .max_rel = d.abs == 0 ? 0 : d.abs / (d.most > 0 ? d.most : DBL_MIN),
                       .limit = limit,
                       .verdict = d.abs <= limit ? PASS : FAIL};
  return true;
}

static void report(Check *c, Worst *w, const char *what, CheckResult *r) {
  if (!w->o.name) return;
  w->o.hash = w->hash;
  w->o.shape = arena_printf(&c->s->arena, "(worst of %zu %s)", w->n, what);
  if (w->o.verdict == FAIL) r->verdict = FAIL;
  VEC_PUSH(&c->s->arena, r->output, w->o);
}

static bool in_list(const StrList *l, const char *name) {
  for (size_t i = 0; i < l->n; i++)
    if (text_matches(l->at[i], name)) return true;
  return false;
}

static bool compare_gradients(Check *c, const Case *k, const Call *call, const Training *all_of,
                              const Checkpoint *tensors, CheckResult *r) {
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
    if (!compare(c, call, all_of, p, x, atol, rtol, &w))
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

// "gradient_digests": the length of each gradient, where the gradients themselves would be too large a file.
static bool compare_digests(Check *c, const Case *k, const Call *call, const Training *all, CheckResult *r) {
  const Graph *g = call->program->route.at[call->route].graph;
  const cJSON *how = cJSON_GetObjectItemCaseSensitive(k->json, "gradient_digests"), *step, *one;
  const char *file = how ? json_text(how, "file") : NULL, *err;
  size_t n;
  Worst w = {0};
  if (!file) return true;
  char *text = file_read(&c->s->arena, arena_printf(&c->s->arena, "%s/%s", k->dir, file), &n, &err);
  if (!text) return check_settle(c, r, SKIP, "file not here: %s/%s", k->dir, file);
  cJSON *json = cJSON_ParseWithLength(text, n);
  const cJSON *at = json;
  cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(how, "path")) {
    at = cJSON_IsString(step) ? cJSON_GetObjectItemCaseSensitive(at, step->valuestring) : NULL;
  }
  bool ok = at != NULL || check_settle(c, r, FAIL, "%s has no digests at this path", file);
  cJSON_ArrayForEach(one, at) {
    const Port *p = port_of(g, one->string, ROLE_gradient);
    if (!ok) break;
    if (!p) {
      ok = check_settle(c, r, FAIL, "there is no gradient of '%s'", one->string);
      break;
    }
    size_t elements = 0, bytes = 0;
    const float *rows = rows_of(c, call, all, p, &elements, &bytes);
    double want = json_number(one, "l2", -1), got = sqrt(mdl__squares(rows, elements));
    double limit = json_number(how, "atol", 1e-7) + json_number(how, "rtol", 1e-5) * fabs(want), d = fabs(got - want);
    w.n++;
    if (w.o.name && !(d / limit > w.share)) continue;
    w.share = d / limit;
    w.o = (CheckOutput){
        .name = p->name, .max_abs = d, .max_rel = d / want, .limit = limit, .verdict = d <= limit ? PASS : FAIL};
  }
  if (ok) report(c, &w, "lengths of gradients", r);
  cJSON_Delete(json);
  return ok;
}

static bool compare_states(Check *c, const Case *k, const Call *call, const Training *all, const Checkpoint *tensors,
                           CheckResult *r) {
  const Graph *g = call->program->route.at[call->route].graph;
  double rtol = json_number(k->json, "state_after_rtol", 1e-5);
  const cJSON *v;
  Worst w = {0};
  cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(k->json, "state_after")) {
    const StTensor *x = cJSON_IsString(v) ? checkpoint_find(tensors, v->valuestring) : NULL;
    const Port *p = port_of(g, v->string, ROLE_next);
    if (!x) return check_settle(c, r, FAIL, "no tensor for the state '%s'", v->string);
    if (!p) return check_settle(c, r, FAIL, "the objective does not change '%s'", v->string);
    if (!compare(c, call, all, p, x, json_number(k->json, "atol", 1e-7), rtol, &w))
      return check_settle(c, r, FAIL, "the state '%s' has another shape in the case", v->string);
  }
  report(c, &w, "states", r);
  return true;
}

/* steps
 * ---------------------------------------------------------------------------------------------------------------------
 */

// Is element i of a weight left out of the comparison? "skip_after": patterns, with rows or without.
static bool is_skipped(const cJSON *skip, const char *name, const StTensor *x, size_t i) {
  const cJSON *s;
  size_t row = 1;
  for (int d = 1; d < x->rank; d++) row *= (size_t)x->shape[d];
  cJSON_ArrayForEach(s, skip) {
    const char *match = json_text(s, "match");
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(s, "rows");
    if (!match || !text_matches(match, name)) continue;
    if (!cJSON_IsArray(rows)) return true;
    double lo = cJSON_GetNumberValue(cJSON_GetArrayItem(rows, 0)),
           hi = cJSON_GetNumberValue(cJSON_GetArrayItem(rows, 1));
    if ((double)(i / row) >= lo && (double)(i / row) < hi) return true;
  }
  return false;
}

static bool compare_weights(Check *c, const Case *k, Trainer *t, const Checkpoint *tensors, CheckResult *r) {
  const cJSON *how = cJSON_GetObjectItemCaseSensitive(k->json, "weights_after");
  const cJSON *skip = cJSON_GetObjectItemCaseSensitive(k->json, "skip_after");
  const char *prefix = how ? json_text(how, "prefix") : NULL;
  const char *gradients = json_text(cJSON_GetObjectItemCaseSensitive(k->json, "gradients"), "prefix");
  double atol = json_number(how, "atol", 0), least = json_number(how, "min_gradient", 0);
  double loose = json_number(how, "else_atol", atol);
  Worst w = {0};
  const Graph *objective = t->program->route.at[0].graph;
  for (size_t i = 0; prefix && i < objective->output.n; i++) { // in the order of its gradients, for the checksum
    if (objective->output.at[i].role != ROLE_gradient) continue;
    const TrainingTensor *p = tensor_of(&t->training, objective->output.at[i].name);
    size_t n = (size_t)type_elements(t->program->module, &p->type);
    const StTensor *want = checkpoint_find(tensors, arena_printf(&c->s->arena, "%s%s", prefix, p->name));
    const StTensor *grad =
        checkpoint_find(tensors, arena_printf(&c->s->arena, "%s%s", gradients ? gradients : "", p->name));
    const float *now = trainer_get(t, &c->s->arena, p, MDL_VALUE);
    w.hash = hash_bytes(now, n * sizeof *now, w.hash);
    if (!want || !grad || (size_t)st_elements(want) != n || (size_t)st_elements(grad) != n)
      return check_settle(c, r, FAIL, "the case has no weight '%s' after its steps", p->name);
    for (size_t e = 0; e < n; e++) {
      double g = fabs(check_element(grad->dtype, grad->data, e));
      double limit = g >= least || g == 0 ? atol : loose,
             d = fabs((double)now[e] - check_element(want->dtype, want->data, e));
      if (is_skipped(skip, p->name, want, e)) continue;
      w.n += e == 0;
      if (w.o.name && !(d / limit > w.share)) continue;
      w.share = d / limit;
      w.o = (CheckOutput){.name = p->name, .max_abs = d, .limit = limit, .verdict = d <= limit ? PASS : FAIL};
    }
  }
  report(c, &w, "weights after the steps", r);
  return true;
}

static bool compare_loss(Check *c, const Case *k, const Call *call, const Checkpoint *tensors, size_t step, Worst *w,
                         CheckResult *r) {
  const char *name = json_text(k->json, "loss_per_step");
  const StTensor *x = name ? checkpoint_find(tensors, name) : NULL;
  size_t n = x ? (size_t)st_elements(x) : 0;
  if (n <= step) return check_settle(c, r, FAIL, "the case has no loss of step %zu", step);
  double most = 0, want = check_element(x->dtype, x->data, step), got = *(const float *)call->out[0];
  for (size_t i = 0; i < n; i++) most = fmax(most, fabs(check_element(x->dtype, x->data, i)));
  double limit = json_number(k->json, "loss_per_step_rtol", 1e-5) * most, d = fabs(got - want);
  w->n++;
  w->hash = hash_bytes(call->out[0], sizeof(float), w->hash);
  if (w->o.name && !(d > w->o.max_abs)) return true;
  w->o = (CheckOutput){.name = arena_printf(&c->s->arena, "loss at step %zu", step),
                       .max_abs = d,
                       .max_rel = most > 0 ? d / most : 0,
                       .limit = limit,
                       .verdict = d <= limit ? PASS : FAIL};
  return true;
}

typedef struct Caller { // of a training whose calls are those of the check
  Check *c;
  const Call *call;
  CheckResult *r;
  const Trainer *t;
} Caller;

// The weights as they are now, with checksums: what drives a model under an emulator looks at them.
static bool write_weights(const Caller *x, size_t bytes) {
  const char *err = "out of memory";
  void *file = malloc(bytes);
  bool ok = file && !x->t->f->save(x->t->train, file, bytes) && file_write(x->call->packed, file, bytes, &err);
  free(file);
  return ok || check_settle(x->c, x->r, FAIL, "cannot write %s: %s", x->call->packed, err);
}

static sy_status make_call(void *ud, size_t route, const size_t *dims, const void *file, size_t bytes,
                           const void *const *in, void *const *out) {
  const Caller *x = ud;
  Call call = *x->call;
  (void)dims, (void)file, (void)in;
  size_t n = call.program->route.at[route].graph->output.n;
  call.out = ARENA_ARRAY(&x->c->s->arena, void *, n + 1);
  memcpy(call.out, out, n * sizeof *out);
  if (!write_weights(x, bytes)) return SY_EIO;
  return check_run(x->c, &call, x->r) ? SY_OK : SY_EINVAL;
}

static bool one_step(Check *c, Trainer *t, size_t step, int o, const sy_hyper *h, CheckResult *r) {
  sy_status status = t->f->update(t->train, (unsigned)o, h, 1, NULL, 0, NULL);
  if (status == SY_ENUMERIC)
    return check_settle(c, r, FAIL, "step %zu: '%s' is not finite", step, t->f->fault(t->train));
  return !status || check_settle(c, r, FAIL, "step %zu: %s", step, sy_strerror((int)status));
}

static bool run_steps(Check *c, const Case *k, Trainer *t, Call *call, Loaded *f, CheckResult *r) {
  const cJSON *how = cJSON_GetObjectItemCaseSensitive(k->json, "optimiser");
  const Graph *g = call->program->route.at[call->route].graph;
  size_t steps = (size_t)json_number(how, "steps", 0), dims[MAX_DIMS];
  int o = optimiser_named(json_text(how, "name"));
  Worst losses = {0};
  sy_hyper h = {.lr = json_number(how, "lr", 0),
                .beta1 = json_number(how, "beta1", 0.9),
                .beta2 = json_number(how, "beta2", 0.999),
                .eps = json_number(how, "eps", 1e-8),
                .decay = json_number(how, "weight_decay", 0)};
  void **out = ARENA_ARRAY(&c->s->arena, void *, g->output.n + 1);
  for (size_t i = 0; i <= steps; i++) {
    if (i && (!one_step(c, t, i, o, &h, r) || !check_inputs(c, k, &f->tensors, (int)i, call, r))) return false;
    for (int d = 0; d < MAX_DIMS; d++) dims[d] = (size_t)call->dims[d];
    for (size_t p = 0, n = 0; p < g->output.n; p++)
      if (g->output.at[p].role == ROLE_data) out[n++] = call->out[p]; // inputs brought new ones
    sy_status status = t->f->grad(t->train, 0, dims, call->in, out);
    if (status && !r->reason) (void)check_settle(c, r, FAIL, "evaluation %zu: %s", i, sy_strerror((int)status));
    if (status || !compare_loss(c, k, call, &f->tensors, i, &losses, r)) return false;
  }
  report(c, &losses, "losses", r);
  return compare_weights(c, k, t, &f->tensors, r);
}

static bool take_steps(Check *c, const Case *k, Call *call, Loaded *f, CheckResult *r) {
  const cJSON *how = cJSON_GetObjectItemCaseSensitive(k->json, "optimiser");
  const char *name = json_text(how, "name");
  if (!how) return true;
  if (!name || optimiser_named(name) < 0)
    return check_settle(c, r, FAIL, "there is no optimiser '%s'", name ? name : "");
  Caller ud = {c, call, r, NULL};
  Trainer t = {.s = c->s, .c = c, .program = call->program, .call = make_call, .ud = &ud};
  ud.t = &t;
  bool ok = trainer_open(&t, &f->weights);
  if (!ok) (void)check_settle(c, r, FAIL, "the weights cannot be trained");
  ok = ok && run_steps(c, k, &t, call, f, r);
  trainer_close(&t);
  return ok;
}

bool check_train_outputs(Check *c, const Case *k, Call *call, Loaded *f, CheckResult *r) {
  Training all = program_training(call->program, &c->s->arena);
  if (!compare_gradients(c, k, call, &all, &f->tensors, r) || !compare_digests(c, k, call, &all, r)) return false;
  if (!compare_states(c, k, call, &all, &f->tensors, r)) return false;
  return take_steps(c, k, call, f, r);
}
