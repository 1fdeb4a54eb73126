// frontend.c: the .sy front end: models against golden outputs (through the reference evaluator) and against the key lists
// of published checkpoints, the listing, the formatter, the examples of the documentation.
#include "ckpt/safetensors.h"
#include "frontend/frontend.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifndef SY_SOURCE_DIR
#define SY_SOURCE_DIR "."
#endif

typedef struct Session {
  Arena arena;
  Intern names;
  Diag diag;
} Session;

static void session_open(Session *s) {
  memset(s, 0, sizeof *s);
  s->names.arena = &s->arena;
  diag_init(&s->diag, &s->arena);
}

static void session_close(Session *s) { arena_free(&s->arena); }

static char *read_source(Arena *a, const char *path, size_t *n) {
  const char *err = NULL;
  char *text = file_read(a, arena_printf(a, "%s/%s", SY_SOURCE_DIR, path), n, &err);
  cr_assert(text, "%s: %s", path, err);
  return text;
}

static const char *find_model(void *ud, const char *name, size_t *n, const char **path) {
  Arena *a = ud;
  const char *err;
  (void)path;
  return file_read(a, arena_printf(a, "%s/models/%s.sy", SY_SOURCE_DIR, name), n, &err);
}

static Module *compile(Session *s, const char *path, const char *text, size_t n, FrontOptions o) {
  o.find = find_model;
  o.ud = &s->arena;
  return front_compile(&s->arena, &s->names, &s->diag, path, text, n, &o);
}

static Module *compile_file(Session *s, const char *path, FrontOptions o) {
  size_t n;
  char *text = read_source(&s->arena, path, &n);
  return compile(s, path, text, n, o);
}

static const char *report(Session *s) {
  Buf b = {0};
  diag_print(&s->diag, &b, false);
  const char *t = arena_strdup(&s->arena, b.s ? b.s : "");
  buf_free(&b);
  return t;
}

static void check_valid(Session *s, Module *m, const char *what) {
  const char *why = NULL;
  cr_assert(m, "%s:\n%s", what, report(s));
  cr_assert(module_verify(m, &why), "%s: %s", what, why);
}

/* golden outputs --------------------------------------------------------------------------------------------------------- */

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
    value[o.ndefine++] = arena_printf(&s->arena, "%.17g", set->valuedouble);
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

Test(frontend, golden_vit) { cr_expect_eq(run_golden("vit_torchvision"), 2u); }
Test(frontend, golden_vit_lowvar) { cr_expect_gt(run_golden("vit_torchvision_lowvar"), 0u); }
Test(frontend, golden_vit_timm) { cr_expect_eq(run_golden("vit_timm"), 2u); }
Test(frontend, golden_clip) { cr_expect_eq(run_golden("clip"), 4u); }
Test(frontend, golden_clip_lowvar) { cr_expect_gt(run_golden("clip_lowvar"), 0u); }
Test(frontend, golden_clip_w64) { cr_expect_gt(run_golden("clip_w64_exact_heads"), 0u); }

/* key lists --------------------------------------------------------------------------------------------------------------- */

// The shape of a weight as the key lists write it: "768x3x16x16", "" for a scalar.
static const char *shape_text(Arena *a, const Type *t) {
  const char *s = t->rank ? "" : "scalar";
  for (int i = 0; i < t->rank; i++) s = arena_printf(a, "%s%s%lld", s, i ? "x" : "", (long long)t->dim[i].c);
  return s;
}

static size_t check_key(Session *s, const char *list, const Value *v) {
  const char *key = value_str(v, A_name);
  const char *line = arena_printf(&s->arena, "\n%s\tfloat32\t%s\t", key, shape_text(&s->arena, &v->type));
  cr_expect(strstr(list, line), "no tensor %s [%s] in the key list", key, shape_text(&s->arena, &v->type));
  return 1;
}

static void check_keys(const char *file, const char *preset, const char *tsv) {
  Session s;
  session_open(&s);
  size_t n, keys = 0, listed = 0;
  char *list = read_source(&s.arena, arena_printf(&s.arena, "tests/golden/keys/%s.tsv", tsv), &n);
  Module *m = compile_file(&s, file, (FrontOptions){.entry_or_preset = preset});
  check_valid(&s, m, file);
  for (size_t k = 0; k < m->graph.n; k++) {
    const Graph *g = m->graph.at[k];
    for (size_t i = 1; i < g->value.n; i++)
      if (g->value.at[i].op == OP_weight) (void)check_key(&s, list, &g->value.at[i]);
  }
  keys = m->weight.n;
  for (const char *p = list; (p = strchr(p, '\n')); p++) listed += p[1] != '#' && p[1] != 0;
  cr_expect_eq(keys, listed, "%s:%s declares %zu weights, the checkpoint has %zu", file, preset, keys, listed);
  session_close(&s);
}

Test(frontend, keys) {
  check_keys("models/vit.sy", "base", "torchvision_vit_b_16");
  check_keys("models/vit.sy", "large", "torchvision_vit_l_16");
  check_keys("models/vit.sy", "huge", "torchvision_vit_h_14");
  check_keys("models/vit_timm.sy", "base", "timm_vit_base_patch16_224");
  check_keys("models/vit_timm.sy", "large", "timm_vit_large_patch16_224");
  check_keys("models/vit_timm.sy", "small", "timm_deit_small_patch16_224");
  check_keys("models/vit_timm.sy", "ti", "timm_vit_tiny_patch16_224");
  check_keys("models/clip.sy", "b32", "clip_ViT-B-32");
  check_keys("models/clip.sy", "b16", "clip_ViT-B-16");
  check_keys("models/clip.sy", "l14", "clip_ViT-L-14");
  check_keys("models/clip.sy", "l14_336", "clip_ViT-L-14@336px");
}
