// check_case.c: one `forward` or `op` case from its JSON to verdicts.
//
//   files -> module -> program -> packed weights -> dims and buffers -> run -> compare
//
// Rule: ids and bools equal; floats max|got - want| <= atol + rtol * max|want| over the whole tensor. A file that is
// not there is a skip; everything else that keeps a case from running is a failure.
#include "check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool check_settle(Check *c, CheckResult *r, Verdict v, const char *fmt, ...) {
  Buf b = {0};
  va_list ap;
  va_start(ap, fmt);
  buf_vprintf(&b, fmt, ap);
  va_end(ap);
  r->verdict = v;
  r->reason = arena_strdup(&c->s->arena, b.s);
  buf_free(&b);
  return false;
}

const char *json_text(const cJSON *object, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsString(v) ? v->valuestring : NULL;
}

double json_number(const cJSON *object, const char *key, double otherwise) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

const StTensor *check_tensor(const Case *k, const Checkpoint *tensors, const char *group, const char *name) {
  const char *tensor = json_text(cJSON_GetObjectItemCaseSensitive(k->json, group), name);
  return tensor ? checkpoint_find(tensors, tensor) : NULL;
}

/* files and module ----------------------------------------------------------------------------------------------------
 */
static bool open_files(Check *c, const Case *k, const char *key, Checkpoint *out, CheckResult *r) {
  const cJSON *v;
  cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(k->json, key)) {
    const char *in_shared = json_text(v, "shared"), *base = in_shared ? c->shared : k->dir;
    const char *rest = in_shared ? in_shared : cJSON_IsString(v) ? v->valuestring : NULL;
    if (!rest) return check_settle(c, r, FAIL, "'%s' holds something that is no path", key);
    if (!base) return check_settle(c, r, SKIP, "%s is in the shared folder, and none was given (--shared DIR)", rest);
    const char *path = arena_printf(&c->s->arena, "%s/%s", base, rest);
    if (access(path, R_OK) != 0) return check_settle(c, r, SKIP, "file not here: %s", path);
    if (!checkpoint_open(c->s, out, &path, 1)) return check_settle(c, r, FAIL, "%s cannot be read", path);
  }
  return true;
}

static Defines parameters(Check *c, const Case *k) {
  StrList name = {0}, value = {0};
  const cJSON *v;
  Arena *a = &c->s->arena;
  cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(k->json, "set")) {
    const char *text = cJSON_IsTrue(v) ? "true" : "false";
    if (cJSON_IsNumber(v)) {
      bool whole = v->valuedouble == floor(v->valuedouble) && fabs(v->valuedouble) < 1e15;
      text = whole ? arena_printf(a, "%.0f", v->valuedouble) : arena_printf(a, "%.17g", v->valuedouble);
    }
    VEC_PUSH(a, name, v->string);
    VEC_PUSH(a, value, text);
  }
  return (Defines){name, value};
}

static bool has_objective(Check *c, const Case *k, const char *name) {
  const char *path, *preset;
  size_t n;
  char *text = session_read_spec(c->s, k->spec, &path, &preset, &n);
  Diag ignored;
  diag_init(&ignored, &c->s->arena);
  const FrontListing *l = text ? front_list(&c->s->arena, &c->s->names, &ignored, path, text, n) : NULL;
  for (size_t i = 0; l && i < l->nmodel; i++)
    for (size_t o = 0; o < l->model[i].nobjective; o++)
      if (!strcmp(l->model[i].objective[o].name, name)) return true;
  return false;
}

Module *check_module(Check *c, const Case *k, const Checkpoint *tensors, CheckResult *r) {
  if (!k->spec) return check_op_module(c, k, tensors, r);
  Defines set = parameters(c, k);
  const char *route = json_text(k->json, "route"), *objective = json_text(k->json, "objective");
  if (!route && !objective) {
    check_settle(c, r, FAIL, "the case names no route and no objective");
    return NULL;
  }
  if (objective && !has_objective(c, k, objective)) {
    check_settle(c, r, SKIP, "the page has no objective '%s'", objective);
    return NULL;
  }
  Selection one = {0};
  const cJSON *v;
  if (route) VEC_PUSH(&c->s->arena, one.routes, route);
  if (objective && !route) VEC_PUSH(&c->s->arena, one.objectives, objective);
  cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(k->json, "inputs"))
      VEC_PUSH(&c->s->arena, one.given, v->string);
  Module *m = session_module(c->s, k->spec, &set, &one);
  if (m && objective && !route) m->train = check_train(c, k);
  if (!m) check_settle(c, r, FAIL, "the model does not compile");
  return m;
}

/* cases with equal parameters -----------------------------------------------------------------------------------------
 */
enum { MOST_ROUTES = 64 };

static bool same_model(const cJSON *a, const cJSON *b) {
  static const char *const keys[] = {"kind", "model", "entry", "weights", "set"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(a, keys[i]), *y = cJSON_GetObjectItemCaseSensitive(b, keys[i]);
    if ((x || y) && !cJSON_Compare(x, y, true)) return false;
  }
  return json_text(a, "route") && json_text(b, "route");
}

// The routes of all cases of the file that differ from this one in their route and tensors alone; *first is the first
// of these cases.
static size_t group_of(const Case *k, const char **route, const cJSON **first) {
  const cJSON *j = k->json;
  size_t n = 0;
  *first = NULL;
  while (j->prev && j->prev->next) j = j->prev; // the list's first knows its last as `prev`
  for (; j && n < MOST_ROUTES; j = j->next) {
    if (!same_model(j, k->json)) continue;
    if (!*first) *first = j;
    size_t i = 0;
    while (i < n && strcmp(route[i], json_text(j, "route")) != 0) i++;
    if (i == n) route[n++] = json_text(j, "route");
  }
  return n;
}

static const Program *group_program(Check *c, const Case *k) {
  const char *route[MOST_ROUTES];
  const cJSON *first;
  Defines set = parameters(c, k);
  size_t n = group_of(k, route, &first);
  if (c->group.first == first && first) return c->group.program;
  Selection all = {0};
  for (size_t i = 0; i < n; i++) VEC_PUSH(&c->s->arena, all.routes, route[i]);
  Module *m = n ? session_module(c->s, k->spec, &set, &all) : NULL;
  c->group.program = m ? session_program(c->s, m, &c->target, 1) : NULL;
  c->group.first = first;
  return c->group.program;
}

static const Program *program_of(Check *c, const Case *k, const Checkpoint *tensors, size_t *route, CheckResult *r) {
  const char *own = json_text(k->json, "route");
  *route = 0;
  if (!c->s->opt.together || !k->spec || !own || strcmp(k->kind, "forward") != 0) {
    Module *m = check_module(c, k, tensors, r);
    return m ? session_program(c->s, m, &c->target, 1) : NULL;
  }
  const Program *p = group_program(c, k);
  while (p && *route < p->route.n && strcmp(p->route.at[*route].graph->name, own) != 0) ++*route;
  return p && *route < p->route.n ? p : NULL;
}

/* the call ------------------------------------------------------------------------------------------------------------
 */
// Evaluation number `at` of a `train` case may have inputs of its own.
static const StTensor *input_tensor(const Case *k, const Checkpoint *tensors, const char *name, int at) {
  const cJSON *own = cJSON_GetObjectItemCaseSensitive(k->json, "inputs_per_step");
  const cJSON *one = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(own, name), at);
  return cJSON_IsString(one) ? checkpoint_find(tensors, one->valuestring) : check_tensor(k, tensors, "inputs", name);
}

typedef struct CaseInputs {
  const Case *k;
  const Checkpoint *tensors;
  int at;
} CaseInputs;

static const StTensor *case_input(const void *ud, const char *name) {
  const CaseInputs *i = ud;
  return input_tensor(i->k, i->tensors, name, i->at);
}

bool check_inputs(Check *c, const Case *k, const Checkpoint *tensors, int at, Call *call, CheckResult *r) {
  const Graph *g = call->program->route.at[call->route].graph;
  const Module *m = g->module;
  const char *wrong = read_inputs(&(InputReader){c, case_input, &(CaseInputs){k, tensors, at}, NULL}, call);
  if (wrong) return check_settle(c, r, FAIL, "%s", wrong);
  call->out = ARENA_ARRAY(&c->s->arena, void *, g->output.n + 1);
  call->out_bytes = ARENA_ARRAY(&c->s->arena, size_t, g->output.n + 1);
  for (size_t i = 0; i < g->output.n; i++) {
    call->out_bytes[i] = (size_t)type_bytes(m, &graph_value(g, g->output.at[i].val)->type);
    call->out[i] = check_zeros(c, call->out_bytes[i]);
  }
  return true;
}

/* comparison ----------------------------------------------------------------------------------------------------------
 */
void difference_add(Difference *d, size_t i, double got, double want) {
  if (isfinite(want) && fabs(want) > d->most) d->most = fabs(want);
  d->n++;
  d->equal += got == want || (isnan(got) && isnan(want));
  if (isfinite(got) && isfinite(want)) d->gg += got * got, d->ww += want * want, d->gw += got * want;
  if (got == want || (isnan(got) && isnan(want))) return;
  double diff = isfinite(got) && isfinite(want) ? fabs(got - want) : INFINITY;
  if (diff > d->abs) d->abs = diff, d->at = i;
}

// Element i, by the type that it has: there is no type that compares as nothing.
double check_element(StDtype t, const void *p, size_t i) {
  size_t size = st_dtype_size(t);
  StTensor one = {.dtype = t, .data = (const char *)p + i * size, .bytes = size};
  double d = 0;
  int64_t n = 0;
  switch (t) {
  case ST_F64:
  case ST_F32:
  case ST_F16:
  case ST_BF16: CHECK(st_to_f64(&one, &d, 0, 1)); return d;
  case ST_I64: memcpy(&n, one.data, sizeof n); return (double)n;
  case ST_I32: return (double)*(const int32_t *)memcpy(&(int32_t){0}, one.data, sizeof(int32_t));
  case ST_I16: return (double)*(const int16_t *)memcpy(&(int16_t){0}, one.data, sizeof(int16_t));
  case ST_I8: return (double)*(const int8_t *)one.data;
  case ST_U8:
  case ST_BOOL: return (double)*(const uint8_t *)one.data;
  case ST_DTYPE_COUNT: break;
  }
  ICE("check: a tensor of no type");
}

// Of ids that follow from scores, in another precision: where two are nearly equal their order is chance.
static const double LEAST_EQUAL = 0.75;

// How alike two tensors are, from 0 to 1: the cosine of the angle between them; of few numbers, which point the same
// way whatever they are, what the cosine would be at this distance; of whole numbers the share of equal ones.
static double likeness(const Difference *d, bool whole) {
  enum { FEW = 8 };
  if (whole || d->ww == 0) return d->n ? (double)d->equal / (double)d->n : 1;
  if (d->abs == INFINITY) return 0;
  if (d->n >= FEW) return d->gw / sqrt(d->gg * d->ww);
  double distance = (d->gg - 2 * d->gw + d->ww) / d->ww;
  return distance < 2 ? 1 - distance / 2 : 0;
}

void check_compare(Check *c, const Case *k, const char *name, const char *shape, DType t, const void *got,
                   const StTensor *x, size_t n, CheckResult *r) {
  CheckOutput o = {.name = name, .shape = shape};
  Difference d = {0};
  for (size_t i = 0; i < n; i++)
    difference_add(&d, i, check_element(kept_dtype(t), got, i), check_element(x->dtype, x->data, i));
  bool exact = t == DT_I32 || t == DT_BOOL;
  o.max_abs = d.abs;
  o.max_rel = d.abs == 0 ? 0 : d.abs / (d.most > 0 ? d.most : DBL_MIN);
  o.limit = exact ? 0 : json_number(k->json, "atol", 1e-7) + json_number(k->json, "rtol", 1e-5) * d.most;
  double cosine = precision_cosine(c->s->precision, session_precision_of_all(c->s));
  o.least = exact && cosine > 0 ? LEAST_EQUAL : cosine;
  o.likeness = likeness(&d, exact);
  o.verdict = (o.least > 0 ? o.likeness >= o.least : d.abs <= o.limit) ? PASS : FAIL;
  o.hash = hash_bytes(got, n * dtype_info[t].bytes, 0);
  if (o.verdict == FAIL) r->verdict = FAIL;
  VEC_PUSH(&c->s->arena, r->output, o);
}

static const char *want_group(const Case *k) {
  return check_is_train(k) ? "losses" : "outputs";
}

static bool compare_output(Check *c, const Case *k, const cJSON *want, const Checkpoint *tensors, const Call *call,
                           CheckResult *r) {
  const Graph *g = call->program->route.at[call->route].graph;
  const char *group = want_group(k);
  size_t at = 0;
  while (at < g->output.n && strcmp(g->output.at[at].name, want->string) != 0) at++;
  if (at == g->output.n) return check_settle(c, r, FAIL, "the route has no output '%s'", want->string);
  const Type *t = &graph_value(g, g->output.at[at].val)->type;
  const StTensor *x = check_tensor(k, tensors, group, want->string);
  if (!x) return check_settle(c, r, FAIL, "no tensor for output '%s'", want->string);
  Layout l = layout_of(&c->s->arena, g->module, t, call->dims, NULL);
  bool fits = x->rank == l.rank && check_same_dtype(t->dtype, x->dtype);
  Buf shape = {0};
  buf_printf(&shape, "%s[", dtype_info[t->dtype].name);
  for (int i = 0; i < l.rank; i++) {
    fits = fits && x->shape[i] == l.extent[i];
    buf_printf(&shape, "%s%lld", i ? "," : "", (long long)l.extent[i]);
  }
  buf_putc(&shape, ']');
  const char *shape_text = arena_strdup(&c->s->arena, shape.s);
  buf_free(&shape);
  if (!fits)
    return check_settle(c, r, FAIL, "output '%s' is %s here, another shape or type in the case", want->string,
                        shape_text);
  size_t n = layout_elements(&l);
  void *dense = check_zeros(c, n * l.bytes);
  layout_load(&l, call->out[at], dense);
  check_compare(c, k, want->string, shape_text, t->dtype, dense, x, n, r);
  return true;
}

/* the case ------------------------------------------------------------------------------------------------------------
 */
bool check_load(Check *c, const Case *k, Loaded *f, Call *call, CheckResult *r) {
  if (!open_files(c, k, "tensors", &f->tensors, r)) return false;
  if (k->spec && !open_files(c, k, "weights", &f->weights, r)) return false;
  Checkpoint *weights = k->spec ? &f->weights : &f->tensors;
  size_t route;
  const Program *p = program_of(c, k, &f->tensors, &route, r);
  if (!p) return r->reason ? false : check_settle(c, r, FAIL, "the model does not compile");
  *call =
      (Call){.program = p, .route = route, .packed = arena_printf(&c->s->arena, "%s/weights%zu", c->temp, c->runs++)};
  if (!checkpoint_check(c->s, weights, p, false)) return check_settle(c, r, FAIL, "the weights do not fit");
  if (!weights_pack(c->s, p, call->packed, weights)) return check_settle(c, r, FAIL, "the weights cannot be packed");
  return true;
}

static bool run_case(Check *c, const Case *k, Loaded *f, CheckResult *r) {
  Call call;
  if (!check_load(c, k, f, &call, r)) return false;
  bool ok = check_inputs(c, k, &f->tensors, 0, &call, r) && check_run(c, &call, r);
  const cJSON *want;
  cJSON_ArrayForEach(want, cJSON_GetObjectItemCaseSensitive(k->json, want_group(k))) {
    if (ok) ok = compare_output(c, k, want, &f->tensors, &call, r);
  }
  if (ok && check_is_train(k)) ok = check_train_outputs(c, k, &call, f, r);
  if (ok && r->verdict == FAIL) r->reason = check_fault(c, k, &call, k->spec ? &f->weights : &f->tensors, &f->tensors);
  unlink(call.packed);
  return ok;
}

void check_case(Check *c, const Case *k, CheckResult *r) {
  Loaded f = {0};
  run_case(c, k, &f, r);
  checkpoint_close(&f.weights);
  checkpoint_close(&f.tensors);
  session_flush(c->s);
  c->s->diag.errors = 0; // the next case starts anew
  c->s->exit_code = EXIT_OK;
}
