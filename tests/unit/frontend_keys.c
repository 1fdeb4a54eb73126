// frontend_keys.c: the names and shapes of the pages' weights against the key lists of published checkpoints, and how
// many parameters they have.
#include "frontend_support.h"

#include <stdlib.h>

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
Test(frontend_keys, parameters) {
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
      {"swin", "t", 28288354}, // torchvision says so of its swin_t, swin_s and swin_b
      {"swin", "s", 49606258},
      {"swin", "b", 87768224},
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

Test(frontend_keys, keys) {
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
  check_keys("models/resnet.sy", "r50", "resnet50");
  check_keys("models/resnet.sy", "x50_32x4d", "resnext50_32x4d");
  check_keys("models/eva02.sy", "small_336", "eva02_small_336");
  check_keys("models/eva02.sy", "base_448", "eva02_base_448");
  check_keys("models/eva02.sy", "clip_l14_336", "eva02_clip_l14_336");
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

Test(frontend_keys, keys_of_published_files) {
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
Test(frontend_keys, keys_of_pretraining) {
  static const Published files[] = {
      {"models/albef.sy", "base", NULL, NULL, "albef_pretrain_256", {NULL}, {NULL}},
      {"models/blip.sy", "pretrain_base", NULL, NULL, "blip_pretrain_base", {NULL}, {NULL}},
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) check_published(&files[i], "pretrain");
}
