// frontend.c: the .sy front end: models against golden outputs (through the reference evaluator) and against the key
// lists of published checkpoints, the listing, the formatter, the examples of the documentation.
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

static void session_close(Session *s) {
  arena_free(&s->arena);
}

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

/* golden outputs
 * --------------------------------------------------------------------------------------------------------- */

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

Test(frontend, golden_vit) {
  cr_expect_eq(run_golden("vit_torchvision"), 2u);
}
Test(frontend, golden_vit_lowvar) {
  cr_expect_gt(run_golden("vit_torchvision_lowvar"), 0u);
}
Test(frontend, golden_vit_timm) {
  cr_expect_eq(run_golden("vit_timm"), 2u);
}
Test(frontend, golden_clip) {
  cr_expect_eq(run_golden("clip"), 4u);
}
Test(frontend, golden_clip_lowvar) {
  cr_expect_gt(run_golden("clip_lowvar"), 0u);
}
Test(frontend, golden_clip_w64) {
  cr_expect_gt(run_golden("clip_w64_exact_heads"), 0u);
}
Test(frontend, golden_clip_resnet) {
  cr_expect_eq(run_golden("clip_resnet"), 4u);
}
Test(frontend, golden_align) {
  cr_expect_eq(run_golden("align"), 4u);
}
Test(frontend, golden_modern_decoder) {
  cr_expect_eq(run_golden("modern_decoder"), 2u);
  cr_expect_eq(run_golden("modern_decoder_window"), 2u);
  cr_expect_eq(run_golden("modern_decoder_gemma"), 2u);
}
Test(frontend, golden_coca) {
  cr_expect_eq(run_golden("coca"), 3u);
}
Test(frontend, golden_paligemma) {
  cr_expect_eq(run_golden("paligemma"), 2u);
}
Test(frontend, golden_siglip) {
  cr_expect_eq(run_golden("siglip"), 3u);
}
Test(frontend, golden_dinov2) {
  cr_expect_eq(run_golden("dinov2"), 2u);
  cr_expect_eq(run_golden("dinov2_registers"), 2u);
}
Test(frontend, golden_vit_timm_variants) {
  cr_expect_eq(run_golden("vit_timm_distilled"), 1u);
  cr_expect_eq(run_golden("vit_timm_pooled"), 1u);
}
Test(frontend, golden_roberta) {
  cr_expect_eq(run_golden("roberta"), 2u);
}
Test(frontend, golden_uniter) {
  cr_expect_eq(run_golden("uniter"), 7u);
}
Test(frontend, golden_vl_bert) {
  cr_expect_eq(run_golden("vl_bert"), 5u);
}
Test(frontend, golden_brivl) {
  cr_expect_eq(run_golden("brivl"), 9u);
}

/* key lists
 * --------------------------------------------------------------------------------------------------------------- */

// The shape of a weight as the key lists write it: "768x3x16x16", "" for a scalar.
static const char *shape_text(Arena *a, const Type *t) {
  const char *s = t->rank ? "" : "scalar";
  for (int i = 0; i < t->rank; i++) s = arena_printf(a, "%s%s%lld", s, i ? "x" : "", (long long)t->dim[i].c);
  return s;
}

static void check_key(Session *s, const char *list, const Value *v) {
  const char *key = value_str(v, A_name);
  const char *type = v->type.dtype == DT_I32 ? "int64" : "float32";
  const char *line = arena_printf(&s->arena, "\n%s\t%s\t%s\t", key, type, shape_text(&s->arena, &v->type));
  cr_expect(strstr(list, line), "no tensor %s [%s] in the key list", key, shape_text(&s->arena, &v->type));
}

// The weight of this name in one of the routes.
static const Value *find_weight(const Module *m, const char *name) {
  for (size_t k = 0; k < m->graph.n; k++)
    for (size_t i = 1; i < m->graph.at[k]->value.n; i++) {
      const Value *v = &m->graph.at[k]->value.at[i];
      if (v->op == OP_weight && strcmp(value_str(v, A_name), name) == 0) return v;
    }
  return NULL;
}

// Tensors of a key list, without those whose last column says that they are another one under a second name.
static size_t listed_tensors(const char *list) {
  size_t n = 0;
  for (const char *p = list; (p = strchr(p, '\n')); p++) {
    size_t length = strcspn(p + 1, "\n");
    n += length && p[1] != '#' && p[length] == '\t';
  }
  return n;
}

// The running statistics of a batch norm are tensors of the checkpoint, but no parameters.
static bool is_statistic(const char *name) {
  return strstr(name, ".running_mean") || strstr(name, ".running_var");
}

// All routes of a preset together ask for the tensors of the list, and for as many parameters as its head counts.
static void check_keys(const char *file, const char *preset, const char *tsv) {
  static const char head[] = "# unique parameters ";
  Session s;
  session_open(&s);
  size_t n;
  long long parameters = 0;
  char *list = read_source(&s.arena, arena_printf(&s.arena, "tests/golden/keys/%s.tsv", tsv), &n);
  Module *m = compile_file(&s, file, (FrontOptions){.entry_or_preset = preset});
  check_valid(&s, m, file);
  for (size_t i = 0; i < m->weight.n; i++) {
    const Value *v = find_weight(m, m->weight.at[i].name);
    long long count = 1;
    cr_assert(v, "no route asks for %s", m->weight.at[i].name);
    check_key(&s, list, v);
    for (int axis = 0; axis < v->type.rank; axis++) count *= v->type.dim[axis].c;
    parameters += is_statistic(m->weight.at[i].name) ? 0 : count;
  }
  size_t listed = listed_tensors(list);
  cr_expect_eq(m->weight.n, listed, "%s:%s declares %zu weights, the checkpoint has %zu", file, preset, m->weight.n,
               listed);
  const char *want = strstr(list, head);
  cr_assert(want, "%s.tsv has no line '%s'", tsv, head);
  cr_expect_eq(parameters, strtoll(want + strlen(head), NULL, 10), "%s:%s has %lld parameters", file, preset,
               parameters);
  session_close(&s);
}

// Parameters of presets whose keys are those of another one.
static void check_parameters(const char *file, const char *preset, long long want) {
  Session s;
  session_open(&s);
  Module *m = compile_file(&s, file, (FrontOptions){.entry_or_preset = preset});
  long long all = 0;
  for (size_t i = 0; i < m->weight.n; i++) {
    const Type *t = &find_weight(m, m->weight.at[i].name)->type;
    long long count = 1;
    for (int axis = 0; axis < t->rank; axis++) count *= t->dim[axis].c;
    all += count;
  }
  cr_expect_eq(all, want, "%s:%s has %lld parameters, published are %lld", file, preset, all, want);
  session_close(&s);
}

// What the publishers' pages on huggingface.co say of the files.
Test(frontend, parameters) {
  static const struct {
    const char *page, *preset;
    long long parameters;
  } published[] = {
      {"vit_timm", "deit_small_distilled", 22436432},
      {"vit_timm", "deit_base_distilled", 87338192},
      {"roberta", "large", 355412057},
      {"roberta", "xlm_large", 560142482},
      {"dinov2", "large_518", 304368640 - 1024 + 2 * 1024 * 1000 + 1000}, // without mask_token, with a head
      {"paligemma", "pt_224", 2923466480},
      {"siglip", "base_256", 203202050},
      {"siglip", "base_384", 203447810},
      {"siglip", "base_512", 203791874},
      {"siglip", "large_256", 652150786},
      {"siglip", "large_384", 652478466},
      {"siglip", "so400m_224", 877360306},
      {"siglip", "so400m_256_i18n", 1128758962},
      {"siglip", "base_256_multilingual", 370626050},
      {"siglip", "v2_base32_256", 376856066},
      {"siglip", "v2_base", 375187970},
      {"siglip", "v2_base_256", 375234050},
      {"siglip", "v2_base_384", 375479810},
      {"siglip", "v2_base_512", 375823874},
      {"siglip", "v2_large_256", 881526786},
      {"siglip", "v2_large_384", 881854466},
      {"siglip", "v2_large_512", 882313218},
      {"siglip", "v2_so400m14_224", 1135463602},
      {"siglip", "v2_so400m14_384", 1136008498},
      {"siglip", "v2_so400m_256", 1135670962},
      {"siglip", "v2_so400m_384", 1136039602},
      {"siglip", "v2_so400m_512", 1136555698},
      {"siglip", "v2_giant_384", 1871885426},
  };
  for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
    char file[64];
    snprintf(file, sizeof file, "models/%s.sy", published[i].page);
    check_parameters(file, published[i].preset, published[i].parameters);
  }
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
  check_keys("models/clip.sy", "rn50", "clip_RN50");
  check_keys("models/clip.sy", "rn101", "clip_RN101");
  check_keys("models/clip.sy", "rn50x4", "clip_RN50x4");
  check_keys("models/clip.sy", "rn50x16", "clip_RN50x16");
  check_keys("models/clip.sy", "rn50x64", "clip_RN50x64");
  check_keys("models/align.sy", "base", "align_base");
  check_keys("models/modern_decoder.sy", "tinyllama", "tinyllama");
  check_keys("models/modern_decoder.sy", "smollm_135m", "smollm_135m");
  check_keys("models/modern_decoder.sy", "qwen2_0_5b", "qwen2_0_5b");
  check_keys("models/coca.sy", "b32", "coca_b32");
  check_keys("models/paligemma.sy", "pt_224", "paligemma_pt_224");
  check_keys("models/siglip.sy", "base", "siglip_base");
  check_keys("models/siglip.sy", "so400m_384", "siglip_so400m_384");
  check_keys("models/siglip.sy", "v2_giant_256", "siglip_v2_giant_256");
  check_keys("models/vit_timm.sy", "deit_ti_distilled", "timm_deit_tiny_distilled_patch16_224");
  check_keys("models/dinov2.sy", "base_518", "dinov2_base");
  check_keys("models/dinov2.sy", "giant_reg_518", "dinov2_giant_reg");
  check_keys("models/roberta.sy", "base", "roberta_base");
  check_keys("models/roberta.sy", "large_mnli", "roberta_large_mnli");
  check_keys("models/roberta.sy", "xlm_base", "xlm_roberta_base");
  check_keys("models/uniter.sy", "base", "uniter_base");
  check_keys("models/uniter.sy", "large", "uniter_large");
  check_keys("models/vl_bert.sy", "base", "vl_bert_base");
  check_keys("models/vl_bert.sy", "large", "vl_bert_large");
  check_keys("models/brivl.sy", "base", "brivl_base");
}

// A checkpoint with more in it than the routes that it is for: what they ask for is in the list, and what is left over
// begins with one of `spare`.
typedef struct Published {
  const char *file, *preset, *define, *value, *tsv;
  const char *routes[4], *spare[8];
} Published;

static bool is_spare(const Published *p, const char *key) {
  for (size_t i = 0; i < 8 && p->spare[i]; i++)
    if (!strncmp(key, p->spare[i], strlen(p->spare[i]))) return true;
  return false;
}

// The keys of float tensors of a list that are not second names.
static void check_rest(Session *s, const Published *p, const Module *m, const char *list) {
  for (const char *line = list; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
    size_t length = strcspn(line, "\n"), key = strcspn(line, "\t");
    if (*line == '#' || key >= length || line[length - 1] != '\t' || strncmp(line + key, "\tfloat32\t", 9)) continue;
    const char *name = arena_strndup(&s->arena, line, key);
    cr_expect(is_spare(p, name) || find_weight(m, name), "%s:%s: no route of it asks for %s of %s", p->file, p->preset,
              name, p->tsv);
  }
}

static void check_published(const Published *p, const char *objective) {
  Session s;
  session_open(&s);
  size_t n, nroutes = 0;
  const char *define = p->define, *value = p->value, *routes[4];
  char *list = read_source(&s.arena, arena_printf(&s.arena, "tests/golden/keys/%s.tsv", p->tsv), &n);
  for (; nroutes < 4 && p->routes[nroutes]; nroutes++) routes[nroutes] = p->routes[nroutes];
  FrontOptions o = {.entry_or_preset = p->preset, .routes = routes, .nroutes = nroutes};
  if (objective) o.objectives = &objective, o.nobjectives = 1, o.draws = true;
  if (define) o.define_name = &define, o.define_value = &value, o.ndefine = 1;
  Module *m = compile_file(&s, p->file, o);
  check_valid(&s, m, p->file);
  for (size_t i = 0; i < m->weight.n; i++) {
    const Value *v = find_weight(m, m->weight.at[i].name);
    if (v) check_key(&s, list, v);
  }
  check_rest(&s, p, m, list);
  session_close(&s);
}

Test(frontend, keys_of_published_files) {
  static const Published files[] = {
      {"models/bert.sy", "base", NULL, NULL, "bert_base_uncased_xbert_pretraining_heads", {NULL}, {NULL}},
      {"models/vilt.sy", "base", NULL, NULL, "vilt_b32_mlm_itm", {"fusion", "match", "masked_words"}, {NULL}},
      {"models/vilt.sy", "base", NULL, NULL, "vilt_b32_vqa", {"vqa"}, {NULL}},
      {"models/vilt.sy", "base", NULL, NULL, "vilt_b32_irtr", {"retrieve"}, {"itm_score."}},
      {"models/vilt.sy", "base", "types", "3", "vilt_b32_nlvr2", {"nlvr2"}, {NULL}},
      // the momentum copies, the queues and the temperature serve the training
      {"models/albef.sy",
       "base",
       NULL,
       NULL,
       "albef_pretrain_256",
       {NULL},
       {"text_encoder_m.", "text_proj_m.", "visual_encoder_m.", "vision_proj_m.", "image_queue", "text_queue", "temp"}},
      {"models/albef.sy", "vqa_base", NULL, NULL, "albef_vqa_384_nodistill", {NULL}, {NULL}},
      {"models/albef.sy", "ve_base", NULL, NULL, "albef_ve_384_nodistill", {NULL}, {NULL}},
      {"models/albef.sy", "nlvr_base", NULL, NULL, "albef_nlvr_384_nodistill", {NULL}, {NULL}},
      {"models/blip.sy", "itm_base", NULL, NULL, "blip_itm_base", {NULL}, {NULL}},
      {"models/blip.sy", "itm_large", NULL, NULL, "blip_itm_large", {NULL}, {NULL}},
      {"models/blip.sy", "caption_base", NULL, NULL, "blip_decoder_base", {NULL}, {NULL}},
      {"models/blip.sy", "caption_large", NULL, NULL, "blip_decoder_large", {NULL}, {NULL}},
      {"models/blip.sy", "vqa_base", NULL, NULL, "blip_vqa_base", {NULL}, {NULL}},
      {"models/blip.sy", "nlvr_base", "size", "480", "blip_nlvr_base", {NULL}, {NULL}},
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) check_published(&files[i], NULL);
}

// All that a checkpoint of a pre-training has.
Test(frontend, keys_of_pretraining) {
  static const Published files[] = {
      {"models/albef.sy", "base", NULL, NULL, "albef_pretrain_256", {NULL}, {NULL}},
      {"models/blip.sy", "pretrain_base", NULL, NULL, "blip_pretrain_base", {NULL}, {NULL}},
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) check_published(&files[i], "pretrain");
}

/* wrong programs
 * ------------------------------------------------------------------------------------------------------------ */

static const char *find_beside(void *ud, const char *name, size_t *n, const char **path) {
  Arena *a = ud;
  const char *err, *text = file_read(a, arena_printf(a, "%s/tests/err/%s.sy", SY_SOURCE_DIR, name), n, &err);
  return text ? text : find_model(ud, name, n, path);
}

// Names of the files of a folder that end in `ending`, without it.
static size_t folder(Arena *a, const char *dir, const char *ending, const char **out, size_t max) {
  DIR *d = opendir(arena_printf(a, "%s/%s", SY_SOURCE_DIR, dir));
  size_t n = 0, len = strlen(ending);
  cr_assert(d);
  for (struct dirent *f; (f = readdir(d)) && n < max;) {
    size_t k = strlen(f->d_name);
    if (k > len && strcmp(f->d_name + k - len, ending) == 0) out[n++] = arena_strndup(a, f->d_name, k - len);
  }
  closedir(d);
  return n;
}

Test(frontend, wrong_programs) {
  Arena list = {0};
  const char *name[400];
  size_t count = folder(&list, "tests/err", ".sy", name, 400);
  cr_expect_geq(count, 60u);
  for (size_t i = 0; i < count; i++) {
    Session s;
    size_t n, nwant;
    const char *other = ""; // arguments: tests/err/run.sh
    if (file_read(&list, arena_printf(&list, "%s/tests/err/%s.args", SY_SOURCE_DIR, name[i]), &n, &other)) continue;
    session_open(&s);
    char *text = read_source(&s.arena, arena_printf(&s.arena, "tests/err/%s.sy", name[i]), &n);
    char *want = read_source(&s.arena, arena_printf(&s.arena, "tests/err/%s.err", name[i]), &nwant);
    FrontOptions o = {.find = find_beside, .ud = &s.arena};
    Module *m = front_compile(&s.arena, &s.names, &s.diag, arena_printf(&s.arena, "%s.sy", name[i]), text, n, &o);
    if (m && strstr(want, "[E03")) { // a pass reports it: tests/err/run.sh
      session_close(&s);
      continue;
    }
    cr_expect_null(m, "%s.sy compiles", name[i]);
    cr_expect_str_eq(report(&s), want, "%s: got\n%s", name[i], report(&s));
    for (size_t k = 0; k < s.diag.list.n; k++)
      cr_expect_not_null(diag_explain(s.diag.list.at[k].code), "%s has no explanation", s.diag.list.at[k].code);
    Buf json = {0};
    diag_print_json(&s.diag, &json);
    cJSON *parsed = cJSON_Parse(json.s);
    cr_expect_not_null(parsed, "%s: malformed JSON", name[i]);
    cJSON_Delete(parsed);
    buf_free(&json);
    session_close(&s);
  }
  arena_free(&list);
}

static const char vit_text[] = "model v(dim = 8, eps = 0.5, deep = false) {\n"
                               "  dim B = 1..4\n"
                               "  route a(x: f32[B, dim]) -> y { return x * eps }\n"
                               "  route b(x: f32[B, dim]) -> y { return x + eps }\n"
                               "}\n"
                               "preset wide = v(dim = 16)\n"
                               "preset odd = v(dims = 16)\n"
                               "preset lost = w(dim = 16)\n"
                               "preset bare = v(16)\n";

// Compiles vit_text; the code of the first error, or "" if there is none. *dim: the width of the input.
static const char *options_result(FrontOptions o, int64_t *dim) {
  Session s;
  session_open(&s);
  Module *m = compile(&s, "v.sy", vit_text, sizeof vit_text - 1, o);
  if (m && dim) *dim = graph_value(m->graph.at[0], m->graph.at[0]->input.at[0].val)->type.dim[1].c;
  static char code[8];
  cr_expect_eq(m == NULL, s.diag.errors > 0);
  snprintf(code, sizeof code, "%s", m ? "" : s.diag.list.at[0].code);
  session_close(&s);
  return code;
}

static const char *define_result(const char *name, const char *value, const char *preset, int64_t *dim) {
  FrontOptions o = {.entry_or_preset = preset, .define_name = &name, .define_value = &value, .ndefine = 1};
  return options_result(o, dim);
}

Test(frontend, options) {
  int64_t dim = 0;
  cr_expect_str_eq(options_result((FrontOptions){0}, &dim), "");
  cr_expect_eq(dim, 8);
  cr_expect_str_eq(options_result((FrontOptions){.entry_or_preset = "wide"}, &dim), "");
  cr_expect_eq(dim, 16);
  cr_expect_str_eq(define_result("dim", "2 * 16", "wide", &dim), ""); // a define wins over the preset
  cr_expect_eq(dim, 32);
  cr_expect_str_eq(define_result("eps", "2", NULL, NULL), ""); // an integer where a real number is expected
  static const struct {
    const char *name, *value, *code;
  } bad[] = {{"dims", "2", "E0114"},    {"dim", "2.5", "E0114"}, {"dim", "", "E0114"},    {"dim", "(", "E0001"},
             {"dim", "x", "E0101"},     {"deep", "1", "E0114"},  {"dim", "0", "E0126"},   {"dim", "1/0", "E0107"},
             {"dim", "\"a\"", "E0114"}, {"dim", "f32", "E0114"}, {"dim", "1 2", "E0001"}, {"eps", "true", "E0114"}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    cr_expect_neq(*define_result(bad[i].name, bad[i].value, NULL, NULL), 0, "-D %s=%s", bad[i].name, bad[i].value);
  static const char *const entries[] = {"odd", "lost", "bare", "nosuch"};
  for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
    cr_expect_neq(*options_result((FrontOptions){.entry_or_preset = entries[i]}, NULL), 0, "%s", entries[i]);
  const char *routes[] = {"b", "c"};
  cr_expect_str_eq(options_result((FrontOptions){.routes = routes, .nroutes = 1}, NULL), "");
  cr_expect_str_eq(options_result((FrontOptions){.routes = routes, .nroutes = 2}, NULL), "E0115");
}

/* modalities: what is not in the type is not asked for
 * ------------------------------------------------------------------------ */

// How the publishers of checkpoints prepare pictures: torchvision's weight enums, timm's default_cfgs, datasets.py of
// BEiT and BEiT-3, preprocessor_config.json of google/vit-*, pretrained.py of open_clip.
Test(frontend, preparation_of_published_checkpoints) {
  static const struct {
    const char *page, *preset, *size, *names, *want;
  } kase[] = {
      {"vit", "base", NULL, NULL, "resize=shorter(256), crop=224, filter=bilinear, mean=[0.485, 0.456, 0.406]"},
      {"vit", "base", "384", NULL, "resize=shorter(384), crop=384, filter=bicubic, mean=[0.485"},
      {"vit", "base_swag_linear", NULL, NULL, "resize=shorter(224), crop=224, filter=bicubic, mean=[0.485"},
      {"vit", "large", NULL, NULL, "resize=shorter(242), crop=224, filter=bilinear, mean=[0.485"},
      {"vit", "large", "512", NULL, "resize=shorter(512), crop=512, filter=bicubic, mean=[0.485"},
      {"vit", "large32", NULL, NULL, "resize=shorter(256), crop=224, filter=bilinear, mean=[0.485"},
      {"vit", "huge", NULL, NULL, "resize=shorter(224), crop=224, filter=bicubic, mean=[0.485"},
      {"vit", "huge_swag", NULL, NULL, "resize=shorter(518), crop=518, filter=bicubic, mean=[0.485"},
      {"vit", "large", NULL, "huggingface", "resize=square(224), crop=224, filter=bilinear, mean=[0.5, 0.5, 0.5]"},
      {"vit_timm", "base", NULL, NULL, "resize=shorter(248), crop=224, filter=bicubic, mean=[0.5, 0.5, 0.5]"},
      {"vit_timm", "base", "384", NULL, "resize=shorter(384), crop=384, filter=bicubic, mean=[0.5, 0.5, 0.5]"},
      {"vit_timm", "deit_small", NULL, NULL, "resize=shorter(248), crop=224, filter=bicubic, mean=[0.485"},
      {"beit", "cls_base", NULL, NULL, "resize=shorter(256), crop=224, filter=bicubic, mean=[0.5, 0.5, 0.5]"},
      {"beit", "cls_base", "384", NULL, "resize=shorter(384), crop=384, filter=bicubic, mean=[0.5, 0.5, 0.5]"},
      {"beit2", "cls_large", "512", NULL, "resize=shorter(512), crop=512, filter=bicubic, mean=[0.485"},
      {"beit3", "base", "480", NULL, "resize=square(480), filter=bicubic, mean=[0.5, 0.5, 0.5]"},
      {"beit3", "cls_base", NULL, NULL, "resize=shorter(224), filter=bicubic, mean=[0.485"},
      {"clip", "b32_gelu", NULL, NULL, "rgb=last, resize=shorter(224), crop=224, filter=bicubic, mean=[0.48145466"},
      {"clip", "b32", NULL, "huggingface",
       "rgb=first, resize=shorter(224), crop=224, filter=bicubic, mean=[0.48145466"},
      {"clip", "l14_laion2b", NULL, NULL,
       "rgb=last, resize=shorter(224), crop=224, filter=bicubic, mean=[0.5, 0.5, 0.5]"},
  };
  for (size_t i = 0; i < sizeof kase / sizeof *kase; i++) {
    Session s;
    session_open(&s);
    const char *name[] = {"depth", "size"}, *value[] = {"1", kase[i].size};
    const char *path = arena_printf(&s.arena, "models/%s.sy", kase[i].page);
    const Module *m = compile_file(&s, path,
                                   (FrontOptions){.entry_or_preset = kase[i].preset,
                                                  .define_name = name,
                                                  .define_value = value,
                                                  .ndefine = kase[i].size ? 2 : 1,
                                                  .names = kase[i].names});
    cr_assert(m, "%s", report(&s));
    cr_expect(!strncmp(m->prepare.at[0].options, kase[i].want, strlen(kase[i].want)), "%s:%s %s: %s", kase[i].page,
              kase[i].preset, kase[i].size, m->prepare.at[0].options);
    session_close(&s);
  }
}

Test(frontend, absent_modality) {
  static const char text[] = "use std\n"
                             "modality vision \"A\", language \"B\"\n"
                             "model m(dim = 8) {\n"
                             "  dim B = 1..4\n"
                             "  dim L = 1..6\n"
                             "  block layer(x) {\n"
                             "    let h = multiway x { norm(x, 1e-5) }  @ln\n"
                             "    return switch h { vision -> linear(h, dim) @v  language -> linear(h, dim) @l }\n"
                             "  }\n"
                             "  route both(v: f32[B, vision: 3, dim], t: f32[B, language: L, dim]) -> y {\n"
                             "    return layer(concat(v, t))\n"
                             "  }\n"
                             "  route text(t: f32[B, language: L, dim]) -> y { return layer(t) }\n"
                             "}\n";
  static const struct {
    const char *route;
    size_t weights;
  } row[] = {{"both", 8}, {"text", 4}};
  for (size_t i = 0; i < 2; i++) {
    Session s;
    session_open(&s);
    Module *m = compile(&s, "m.sy", text, sizeof text - 1,
                        (FrontOptions){.routes = (const char *[]){row[i].route}, .nroutes = 1});
    check_valid(&s, m, row[i].route);
    cr_expect_eq(m->weight.n, row[i].weights);
    cr_expect_str_eq(m->weight.at[0].name, i ? "ln.B.weight" : "ln.A.weight");
    session_close(&s);
  }
}

/* listing, formatting, documentation
 * -------------------------------------------------------------------------------------------- */

Test(frontend, listing) {
  Session s;
  session_open(&s);
  size_t n;
  char *text = read_source(&s.arena, "models/clip.sy", &n);
  const FrontListing *l = front_list(&s.arena, &s.names, &s.diag, "clip.sy", text, n);
  cr_assert(l && l->nmodel == 2 && l->npreset == 20 && l->nuse == 2);
  const FrontModel *m = &l->model[0];
  cr_expect_str_eq(m->about, "OpenAI CLIP with a ViT image encoder, ViT-B/32");
  cr_assert_eq(m->nparam, 15u);
  cr_expect_str_eq(m->param[5].name, "ffn");
  cr_expect_str_eq(m->param[5].text, "4 * dim");
  cr_expect_str_eq(m->param[14].about, "LayerNorm epsilon");
  cr_assert_eq(m->nroute, 3u);
  cr_expect_str_eq(m->route[1].name, "text");
  cr_expect_str_eq(m->route[1].input[0].text, "i32[B, L]");
  cr_expect_str_eq(m->route[0].output[1].name, "image_embed");
  cr_expect_str_eq(m->dim[2].text, "1..max_text");
  cr_expect_str_eq(l->preset[2].name, "b16");
  cr_expect_str_eq(l->preset[2].args, "patch = 16");
  Buf tree = {0};
  cr_expect(front_dump_ast(&s.arena, &s.names, &s.diag, "clip.sy", text, n, &tree));
  cr_expect_not_null(strstr(tree.s, "route retrieve"));
  buf_free(&tree);
  session_close(&s);
}

static void check_format(Session *s, const char *in, const char *want_path) {
  size_t n, nwant;
  char *text = read_source(&s->arena, in, &n), *want = read_source(&s->arena, want_path, &nwant);
  Buf once = {0}, twice = {0};
  cr_assert(front_format(text, n, &once, &s->diag), "%s: %s", in, report(s));
  cr_expect_str_eq(once.s, want, "%s is not formatted as %s", in, want_path);
  cr_assert(front_format(once.s, once.n, &twice, &s->diag));
  cr_expect_str_eq(twice.s, once.s, "formatting %s twice changes it", in);
  buf_free(&once);
  buf_free(&twice);
}

// Whatever a page looks like, what is made of it has about its size.
Test(frontend, format_does_not_blow_up) {
  Session s;
  session_open(&s);
  Buf page = {0}, once = {0}, twice = {0};
  buf_puts(&page, "model m() {\n  let s = \"");
  for (int i = 0; i < 20000; i++) buf_putc(&page, 'a');
  buf_puts(&page, "\" # c\n");
  for (int i = 0; i < 1000; i++) buf_printf(&page, "let a%d = 1 # c\n", i);
  buf_puts(&page, "route r(x: f32[4]) -> y: f32[4] { return x }\n}\n");
  for (int i = 0; i < 20000; i++) buf_puts(&page, "# d\n");
  cr_assert(front_format(page.s, page.n, &once, &s.diag), "%s", report(&s));
  cr_expect_lt(once.n, 2 * page.n, "%zu bytes became %zu", page.n, once.n);
  cr_assert(front_format(once.s, once.n, &twice, &s.diag));
  cr_expect_str_eq(twice.s, once.s);
  buf_free(&page);
  buf_free(&once);
  buf_free(&twice);
  session_close(&s);
}

Test(frontend, format) {
  Session s;
  session_open(&s);
  const char *name[100];
  size_t n = folder(&s.arena, "tests/fmt", ".in.sy", name, 100);
  cr_expect_geq(n, 4u);
  for (size_t i = 0; i < n; i++)
    check_format(&s, arena_printf(&s.arena, "tests/fmt/%s.in.sy", name[i]),
                 arena_printf(&s.arena, "tests/fmt/%s.out.sy", name[i]));
  static const char *const models[] = {"std", "vit", "vit_timm", "clip"};
  for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
    const char *path = arena_printf(&s.arena, "models/%s.sy", models[i]);
    check_format(&s, path, path);
  }
  Buf out = {0};
  cr_expect_not(front_format("model (", 7, &out, &s.diag));
  cr_expect_eq(out.n, 0u);
  buf_free(&out);
  session_close(&s);
}

static void check_page(const char *path) {
  Arena a = {0};
  size_t n, blocks = 0;
  const char *p = read_source(&a, path, &n);
  while ((p = strstr(p, "```sy\n"))) {
    p += 6;
    const char *end = strstr(p, "\n```");
    cr_assert(end);
    Session s;
    session_open(&s);
    char *text = arena_strndup(&s.arena, p, (size_t)(end - p + 1));
    Module *m = compile(&s, "example.sy", text, strlen(text), (FrontOptions){0});
    check_valid(&s, m, arena_printf(&s.arena, "%s, block %zu", path, ++blocks));
    session_close(&s);
    p = end;
  }
  cr_expect_gt(blocks, 3u);
  arena_free(&a);
}

Test(frontend, examples) {
  check_page("docs/language.md");
  check_page("docs/tutorial.md");
}

/* damaged programs: every prefix and many single-byte changes of a model must be answered, not crash
 * ------------------------------ */

static void try_text(const char *text, size_t n) {
  Session s;
  session_open(&s);
  char *copy = arena_strndup(&s.arena, text, n);
  (void)compile(&s, "x.sy", copy, n, (FrontOptions){.entry_or_preset = "tiny"});
  (void)report(&s);
  session_close(&s);
}

Test(frontend, damaged) {
  Arena a = {0};
  size_t n;
  char *text = read_source(&a, "models/vit.sy", &n);
  static const char bytes[] = "(){}[]\"@#,:=.\n0\xff";
  for (size_t i = 0; i < n; i += 7) try_text(text, i);
  for (size_t i = 0; i < n; i += 11) {
    char keep = text[i];
    text[i] = bytes[i % (sizeof bytes - 1)];
    try_text(text, n);
    text[i] = keep;
  }
  arena_free(&a);
}
