// frontend_golden.c: the model pages against golden outputs, through the reference evaluator.
#include "ckpt/safetensors.h"
#include "frontend_support.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>

enum { MAX_FILES = 8 };
typedef struct Files {
  StFile *at[MAX_FILES];
  size_t n;
} Files;
typedef struct Golden {
  Files weights, tensors;
  const cJSON *inputs;
} Golden;

static void files_open(Files *f, Session *s, const char *dir, const cJSON *list) {
  const cJSON *name;
  f->n = 0;
  cJSON_ArrayForEach(name, list) {
    StError err;
    cr_assert(f->n < MAX_FILES);
    f->at[f->n] = st_open(arena_printf(&s->arena, "%s/%s", dir, name->valuestring), &err);
    cr_assert(f->at[f->n], "%s", err.text);
    f->n++;
  }
}

static void files_close(Files *f) {
  for (size_t i = 0; i < f->n; i++) st_close(f->at[i]);
}

static const StTensor *files_find(const Files *f, const char *name) { // later files win
  for (size_t i = f->n; i-- > 0;) {
    const StTensor *t = st_find(f->at[i], name);
    if (t) return t;
  }
  return NULL;
}

static bool load(const StTensor *t, Tensor *out) {
  if (!t || (size_t)st_elements(t) != out->n) return false;
  if (out->dtype == DT_I32 && t->dtype == ST_I32) return memcpy(out->i, t->data, t->bytes), true;
  if (out->dtype == DT_BOOL) return memcpy(out->b, t->data, t->bytes), true;
  float *f = malloc(out->n * sizeof *f + 1);
  bool ok = st_to_f32(t, f, 0, out->n);
  for (size_t i = 0; ok && i < out->n; i++) out->f[i] = f[i];
  free(f);
  return ok;
}

static bool load_weight(void *ud, const char *name, const Type *t, Tensor *out) {
  (void)t;
  return load(files_find(&((Golden *)ud)->weights, name), out);
}

static const char *input_key(const Golden *g, const char *name) {
  const cJSON *key = cJSON_GetObjectItemCaseSensitive(g->inputs, name);
  return key ? key->valuestring : "";
}

static bool load_input(void *ud, const char *name, const Type *t, Tensor *out) {
  const Golden *g = ud;
  (void)t;
  return load(files_find(&g->tensors, input_key(g, name)), out);
}

// Run-time dims from the shapes of the stored inputs.
static void set_dims(const Graph *g, const Golden *gold, EvalEnv *env) {
  for (size_t i = 0; i < MAX_DIMS; i++) env->dim[i] = 1;
  for (size_t i = 0; i < g->input.n; i++) {
    const Type *t = &graph_value(g, g->input.at[i].val)->type;
    const StTensor *st = files_find(&gold->tensors, input_key(gold, g->input.at[i].name));
    cr_assert(st, "no tensor for the input %s", g->input.at[i].name);
    cr_assert_eq(st->rank, t->rank);
    for (int d = 0; d < t->rank; d++)
      if (t->dim[d].k == 1 && t->dim[d].c == 0) env->dim[t->dim[d].sym] = st->shape[d];
  }
}

static double check_output(const Golden *gold, const cJSON *json, const char *name, const Tensor *got, double atol,
                           double rtol) {
  const cJSON *key = cJSON_GetObjectItemCaseSensitive(json, name);
  if (!key) return 0;
  const StTensor *st = files_find(&gold->tensors, key->valuestring);
  cr_assert(st && (size_t)st_elements(st) == got->n, "output %s has another size", name);
  float *want = malloc(got->n * sizeof *want + 1);
  double worst = 0, top = 0;
  cr_assert(st_to_f32(st, want, 0, got->n));
  for (size_t i = 0; i < got->n; i++) {
    double diff = fabs(got->f[i] - (double)want[i]), size = fabs((double)want[i]);
    if (!(diff <= worst)) worst = diff;
    if (size > top) top = size;
  }
  free(want);
  double share = worst / (atol + rtol * top);
  cr_expect(share <= 1, "output %s differs by %g of the tolerance", name, share);
  return share;
}

static void run_case(Session *s, const char *dir, const cJSON *c) {
  const char *name[32], *value[32], *route = cJSON_GetObjectItem(c, "route")->valuestring;
  FrontOptions o = {.entry_or_preset = cJSON_GetObjectItem(c, "entry")->valuestring, .routes = &route, .nroutes = 1};
  const cJSON *set;
  cJSON_ArrayForEach(set, cJSON_GetObjectItem(c, "set")) {
    name[o.ndefine] = set->string;
    bool truth = cJSON_IsBool(set);
    const char *number = arena_printf(&s->arena, "%.17g", set->valuedouble);
    value[o.ndefine++] = !truth ? number : cJSON_IsTrue(set) ? "true" : "false";
  }
  o.define_name = name;
  o.define_value = value;
  const char *file = arena_printf(&s->arena, "models/%s", cJSON_GetObjectItem(c, "model")->valuestring);
  Module *m = compile_file(s, file, o);
  check_valid(s, m, file);
  Graph *g = m->graph.at[0];
  Golden gold = {.inputs = cJSON_GetObjectItem(c, "inputs")};
  files_open(&gold.weights, s, dir, cJSON_GetObjectItem(c, "weights"));
  files_open(&gold.tensors, s, dir, cJSON_GetObjectItem(c, "tensors"));
  EvalEnv env = {.arena = &s->arena, .weight = load_weight, .input = load_input, .ud = &gold};
  set_dims(g, &gold, &env);
  Val want[8];
  Tensor out[8];
  for (size_t i = 0; i < g->output.n; i++) want[i] = g->output.at[i].val;
  cr_assert(graph_eval(g, &env, want, g->output.n, out), "%s: %s", file, env.error);
  double atol = cJSON_GetObjectItem(c, "atol")->valuedouble, rtol = cJSON_GetObjectItem(c, "rtol")->valuedouble;
  for (size_t i = 0; i < g->output.n; i++)
    (void)check_output(&gold, cJSON_GetObjectItem(c, "outputs"), g->output.at[i].name, &out[i], atol, rtol);
  files_close(&gold.weights);
  files_close(&gold.tensors);
}

static size_t run_golden(const char *set) {
  Session s;
  session_open(&s);
  size_t n, ran = 0;
  char *text = read_source(&s.arena, arena_printf(&s.arena, "tests/golden/%s/cases.json", set), &n);
  cJSON *json = cJSON_ParseWithLength(text, n);
  const cJSON *c;
  cr_assert(json);
  cJSON_ArrayForEach(c, cJSON_GetObjectItem(json, "cases")) {
    if (strcmp(cJSON_GetObjectItem(c, "kind")->valuestring, "forward") != 0) continue;
    run_case(&s, arena_printf(&s.arena, "%s/tests/golden/%s", SY_SOURCE_DIR, set), c);
    ran++;
  }
  cJSON_Delete(json);
  session_close(&s);
  return ran;
}

Test(frontend_golden, vit) {
  cr_expect_eq(run_golden("vit_torchvision"), 2u);
}
Test(frontend_golden, vit_lowvar) {
  cr_expect_gt(run_golden("vit_torchvision_lowvar"), 0u);
}
Test(frontend_golden, vit_timm) {
  cr_expect_eq(run_golden("vit_timm"), 2u);
}
Test(frontend_golden, clip) {
  cr_expect_eq(run_golden("clip"), 4u);
}
Test(frontend_golden, clip_lowvar) {
  cr_expect_gt(run_golden("clip_lowvar"), 0u);
}
Test(frontend_golden, clip_w64) {
  cr_expect_gt(run_golden("clip_w64_exact_heads"), 0u);
}
Test(frontend_golden, clip_resnet) {
  cr_expect_eq(run_golden("clip_resnet"), 4u);
}
Test(frontend_golden, align) {
  cr_expect_eq(run_golden("align"), 4u);
}
Test(frontend_golden, modern_decoder) {
  cr_expect_eq(run_golden("modern_decoder"), 2u);
  cr_expect_eq(run_golden("modern_decoder_window"), 2u);
  cr_expect_eq(run_golden("modern_decoder_gemma"), 2u);
}
Test(frontend_golden, coca) {
  cr_expect_eq(run_golden("coca"), 3u);
}
Test(frontend_golden, paligemma) {
  cr_expect_eq(run_golden("paligemma"), 2u);
}
Test(frontend_golden, siglip) {
  cr_expect_eq(run_golden("siglip"), 3u);
}
Test(frontend_golden, dinov2) {
  cr_expect_eq(run_golden("dinov2"), 2u);
  cr_expect_eq(run_golden("dinov2_registers"), 2u);
}
Test(frontend_golden, vit_timm_variants) {
  cr_expect_eq(run_golden("vit_timm_distilled"), 1u);
  cr_expect_eq(run_golden("vit_timm_pooled"), 1u);
}
Test(frontend_golden, resnet) {
  cr_expect_eq(run_golden("resnet"), 2u);
  cr_expect_eq(run_golden("resnet_groups"), 2u);
}
Test(frontend_golden, eva02) {
  cr_expect_eq(run_golden("eva02"), 2u);
  cr_expect_eq(run_golden("eva02_fused"), 2u);
  cr_expect_eq(run_golden("eva02_clip"), 1u);
}
Test(frontend_golden, roberta) {
  cr_expect_eq(run_golden("roberta"), 2u);
}
Test(frontend_golden, uniter) {
  cr_expect_eq(run_golden("uniter"), 7u);
}
Test(frontend_golden, vl_bert) {
  cr_expect_eq(run_golden("vl_bert"), 5u);
}
Test(frontend_golden, brivl) {
  cr_expect_eq(run_golden("brivl"), 9u);
}
