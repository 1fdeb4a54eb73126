// folder_picture.c: how the pictures of a folder are prepared, as a `prepare` of the page: by preprocessor_config.json
// of transformers, open_clip_config.json, or timm's pretrained_cfg; and how its sentences are, by
// tokenizer_config.json.
#include "folder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Picture { // what prepare NAME: picture(..) says
  const char *resize, *filter;
  int size, crop; // pixels of the resize, of the model's input
  bool rgb_first; // false: as the page has it
  double mean[3], std[3];
} Picture;

static const char *const filter_of_number[] = {"nearest", "lanczos", "bilinear", "bicubic"}; // Pillow's numbers

/* reading ---------------------------------------------------------------------------------------------------------- */
typedef struct Reading {
  Folder *f;
  const char *file;
  const cJSON *object, *defaults;
  const char *prefix; // of paths in messages
  StrList known;
  bool ok;
} Reading;

static const cJSON *get(Reading *r, const char *name) {
  VEC_PUSH(&r->f->s->arena, r->known, name);
  const cJSON *v = folder_at(r->object, name);
  return v ? v : folder_at(r->defaults, name);
}

static void refuse(Reading *r, const char *name, const char *why) {
  folder_refuse(r->f, r->file, arena_printf(&r->f->s->arena, "%s%s", r->prefix, name), folder_at(r->object, name), "%s",
                why);
  r->ok = false;
}

static bool flag(Reading *r, const char *name, bool otherwise) {
  const cJSON *v = get(r, name);
  if (v && !cJSON_IsBool(v)) refuse(r, name, "true or false is expected");
  return v ? cJSON_IsTrue(v) : otherwise;
}

static int pixels(Reading *r, const char *name, const cJSON *v) {
  if (cJSON_IsNumber(v) && v->valuedouble >= 1 && v->valuedouble <= 10000 && floor(v->valuedouble) == v->valuedouble)
    return v->valueint;
  refuse(r, name, "a whole number of pixels from 1 to 10000 is expected");
  return 0;
}

static void three(Reading *r, const char *name, double out[3]) {
  const cJSON *v = get(r, name);
  for (int i = 0; i < 3; i++) {
    const cJSON *x = cJSON_IsArray(v) ? cJSON_GetArrayItem(v, i) : v;
    if (!cJSON_IsNumber(x) || !(fabs(x->valuedouble) < 1e6) || (cJSON_IsArray(v) && cJSON_GetArraySize(v) != 3)) {
      refuse(r, name, "three numbers are expected");
      return;
    }
    out[i] = x->valuedouble;
  }
}

static const char *filter_named(Reading *r, const char *name, const cJSON *v) {
  if (cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= 3 && floor(v->valuedouble) == v->valuedouble)
    return filter_of_number[v->valueint];
  for (size_t i = 0; cJSON_IsString(v) && i < sizeof filter_of_number / sizeof *filter_of_number; i++)
    if (!strcmp(v->valuestring, filter_of_number[i])) return filter_of_number[i];
  refuse(r, name, "only nearest (0), lanczos (1), bilinear (2) and bicubic (3) are computed here");
  return "";
}

/* writing ---------------------------------------------------------------------------------------------------------- */
static void put_three(Buf *b, const char *name, const double x[3]) {
  buf_printf(b, ", %s = [", name);
  for (int i = 0; i < 3; i++) {
    char t[40];
    for (int digits = 6; digits <= 17; digits++) {
      snprintf(t, sizeof t, "%.*g", digits, x[i]);
      if (strtod(t, NULL) == x[i]) break;
    }
    buf_printf(b, "%s%s", i ? ", " : "", t);
  }
  buf_putc(b, ']');
}

static bool has_input(const Folder *f, const char *name) {
  for (size_t i = 0; i < f->known->nroute; i++)
    for (size_t k = 0; k < f->known->route[i].ninput; k++)
      if (!strcmp(f->known->route[i].input[k].name, name)) return true;
  return false;
}

static void write_picture(Folder *f, const Picture *p) {
  static const char *const inputs[] = {"image", "image2"};
  for (size_t i = 0; i < 2; i++) {
    if (!has_input(f, inputs[i])) continue;
    buf_printf(&f->prepare, "  prepare %s: picture(%sresize = %s, ", inputs[i], p->rgb_first ? "rgb = first, " : "",
               p->resize);
    if (p->crop) buf_printf(&f->prepare, "crop = %d, ", p->crop);
    buf_printf(&f->prepare, "filter = %s", p->filter);
    put_three(&f->prepare, "mean", p->mean);
    put_three(&f->prepare, "std", p->std);
    buf_puts(&f->prepare, ")\n");
  }
}

// Are pictures as large as the model takes them? A model whose positions are resized takes them as they come.
static void want_size(Reading *r, const char *field, int made) {
  const char *size = folder_value(r->f, "size");
  const TableLine *resized = table_line(r->f->table, "resized", 0);
  if (!size || !made || strtod(size, NULL) == made) return;
  if (resized) {
    folder_change(r->f, resized->word.at[0], made);
    return;
  }
  refuse(r, field,
         arena_printf(&r->f->s->arena, "pictures become %d pixels wide, %s says that the model takes %s", made,
                      r->f->file, size));
}

/* transformers ----------------------------------------------------------------------------------------------------- */
// "CLIPImageProcessorFast", "CLIPFeatureExtractor": the row `picture CLIP` of the common table.
static const cJSON *class_defaults(Folder *f, const cJSON *object, cJSON **owned) {
  const cJSON *type = folder_at(object, "image_processor_type");
  if (!type) type = folder_at(object, "feature_extractor_type");
  const TableLine *own = table_line(f->table, "pictures", 0), *l;
  const char *name = cJSON_IsString(type) ? type->valuestring : own ? own->word.at[0] : "";
  size_t n = strlen(name);
  static const char *const ends[] = {"ImageProcessorFast", "ImageProcessor", "FeatureExtractor"};
  for (size_t i = 0; i < 3; i++) {
    size_t k = strlen(ends[i]);
    if (n > k && !strcmp(name + n - k, ends[i])) {
      n -= k;
      break;
    }
  }
  for (size_t i = 0; (l = table_line(f->common, "picture", i)); i++)
    if (strlen(l->word.at[0]) == n && !memcmp(l->word.at[0], name, n))
      return *owned = cJSON_Parse(strchr(l->rest, '{'));
  folder_refuse(f, "preprocessor_config.json", "image_processor_type", type, "this class is not known here");
  return NULL;
}

// "size": a number, {"shortest_edge": n}, {"height": n, "width": n}.
static void read_size(Reading *r, const char *fit, Picture *p, bool *square, bool *capped) {
  const cJSON *size = get(r, "size"), *h = folder_at(size, "height"), *w = folder_at(size, "width"),
              *edge = folder_at(size, "shortest_edge");
  if (folder_at(size, "longest_edge")) refuse(r, "size", "a bound of the longer side is not computed here");
  *capped = !strcmp(fit, "capped");
  *square = !*capped && (cJSON_IsObject(size) ? h && w : !strcmp(fit, "square"));
  p->size = pixels(r, "size", cJSON_IsObject(size) ? (edge ? edge : h) : size);
  if (h && (!w || pixels(r, "size", w) != p->size)) refuse(r, "size", "pictures have one height and width here");
}

static void read_rescale(Reading *r, Picture *p) {
  const cJSON *factor = get(r, "rescale_factor");
  double f = !flag(r, "do_rescale", true) ? 1 : cJSON_IsNumber(factor) ? factor->valuedouble : 0;
  if (!(f > 0 && f <= 1e6)) refuse(r, "rescale_factor", "a number above 0 is expected");
  if (flag(r, "rescale_offset", false)) refuse(r, "rescale_offset", "a shift of the pixels is not computed here");
  bool norm = flag(r, "do_normalize", true);
  double mean[3] = {0, 0, 0}, std[3] = {1, 1, 1};
  if (norm) three(r, "image_mean", mean), three(r, "image_std", std);
  for (int i = 0; i < 3; i++) {
    if (norm && !(std[i] > 0)) {
      refuse(r, "image_std", "numbers above 0 are expected");
      break;
    }
    bool usual = fabs(f * 255 - 1) < 1e-9; // (x f - mean) / std = (x / 255 - mean / 255 f) / (std / 255 f)
    p->mean[i] = usual ? mean[i] : mean[i] / (255 * f);
    p->std[i] = usual ? std[i] : std[i] / (255 * f);
  }
}

static const char *const without_effect[] = {
    "_processor_class",       "_valid_processor_keys", "auto_map",         "data_format",       "device",
    "disable_grouping",       "do_convert_rgb",        "do_pad",           "do_reduce_labels",  "default_to_square",
    "feature_extractor_type", "image_processor_type",  "image_seq_length", "input_data_format", "num_channels",
    "processor_class",        "reduce_labels",         "return_tensors",   "size_divisor",      "crop_size",
    "do_center_crop"};

static void huggingface(Folder *f, const cJSON *object) {
  cJSON *owned = NULL;
  Reading r = {.f = f, .file = "preprocessor_config.json", .object = object, .prefix = "", .ok = true};
  r.defaults = class_defaults(f, object, &owned);
  Picture p = {.rgb_first = true, .resize = ""};
  bool square, capped;
  const cJSON *fit = folder_at(r.defaults, "fit"), *whole = folder_at(object, "default_to_square");
  if (!r.defaults) return;
  read_size(&r, cJSON_IsBool(whole) ? cJSON_IsTrue(whole) ? "square" : "shorter" : fit->valuestring, &p, &square,
            &capped);
  if (!flag(&r, "do_resize", true)) refuse(&r, "do_resize", "pictures of one size alone are computed here");
  const cJSON *crop = get(&r, "crop_size"), *h = folder_at(crop, "height"), *w = folder_at(crop, "width");
  bool cut = flag(&r, "do_center_crop", false);
  if (h && w && !cJSON_Compare(h, w, true)) refuse(&r, "crop_size", "pictures have one height and width here");
  p.filter = filter_named(&r, "resample", get(&r, "resample"));
  p.crop = cut ? pixels(&r, "crop_size", h ? h : crop) : square ? p.size : 0;
  if (!cut && !square && !capped)
    refuse(&r, "do_center_crop", "without it pictures keep their shape, and the model takes one shape");
  read_rescale(&r, &p);
  if (capped) {
    const cJSON *divisor = get(&r, "size_divisor");
    int by = pixels(&r, "size_divisor", divisor);
    const char *patch = folder_value(f, "patch");
    if (patch && strtod(patch, NULL) != by) refuse(&r, "size_divisor", "it is not the side of a patch");
    if (!flag(&r, "do_pad", true)) refuse(&r, "do_pad", "pictures lie on a canvas here");
    p.resize = arena_printf(&f->s->arena, "shorter_capped(%d, %d, %d)", p.size, (int)(1333.0 / 800 * p.size), by);
    p.crop = 0;
    want_size(&r, "size", p.size);
  } else {
    p.resize = arena_printf(&f->s->arena, "%s(%d)", square ? "square" : "shorter", p.size);
    if (p.crop > p.size) refuse(&r, "crop_size", "it is larger than the picture behind its resize");
    want_size(&r, cut ? "crop_size" : "size", p.crop);
  }
  for (size_t i = 0; i < sizeof without_effect / sizeof *without_effect; i++)
    VEC_PUSH(&f->s->arena, r.known, without_effect[i]);
  VEC_PUSH(&f->s->arena, r.known, "size.*");
  VEC_PUSH(&f->s->arena, r.known, "crop_size.*");
  folder_unknown(f, r.file, object, &r.known);
  if (r.ok) write_picture(f, &p);
  cJSON_Delete(owned);
}

/* open_clip, timm -------------------------------------------------------------------------------------------------- */
// What both say in the same words.
static void put_picture(Reading *r, Picture *p, bool squash) {
  p->filter = filter_named(r, "interpolation", get(r, "interpolation"));
  p->resize = arena_printf(&r->f->s->arena, "%s(%d)", squash ? "square" : "shorter", p->size);
  three(r, "mean", p->mean);
  three(r, "std", p->std);
  if (r->ok) write_picture(r->f, p);
}

// preprocess_cfg. Defaults: open_clip, src/open_clip/transform.py (PreprocessCfg) and constants.py.
static void open_clip(Folder *f) {
  cJSON *defaults = cJSON_Parse("{\"mode\": \"RGB\", \"mean\": [0.48145466, 0.4578275, 0.40821073],"
                                "\"std\": [0.26862954, 0.26130258, 0.27577711], \"interpolation\": \"bicubic\","
                                "\"resize_mode\": \"shortest\"}");
  Reading r = {.f = f,
               .file = f->file,
               .object = folder_at(f->config, "preprocess_cfg"),
               .defaults = defaults,
               .prefix = "preprocess_cfg.",
               .ok = true};
  const char *model = folder_value(f, "size");
  Picture p = {.crop = model ? atoi(model) : 0};
  const cJSON *size = get(&r, "size"), *mode = get(&r, "resize_mode"), *colours = get(&r, "mode");
  bool squash = cJSON_IsString(mode) && !strcmp(mode->valuestring, "squash");
  if (cJSON_IsArray(size) && cJSON_GetArraySize(size) == 2 && cJSON_Compare(size->child, size->child->next, true))
    size = size->child;
  if (size) want_size(&r, "size", pixels(&r, "size", size));
  if (!squash && !(cJSON_IsString(mode) && !strcmp(mode->valuestring, "shortest")))
    refuse(&r, "resize_mode", "only shortest and squash are computed here");
  if (!cJSON_IsString(colours) || strcmp(colours->valuestring, "RGB") != 0)
    refuse(&r, "mode", "only RGB is computed here");
  p.size = p.crop;
  put_picture(&r, &p, squash);
  cJSON_Delete(defaults);
}

// pretrained_cfg: the picture is resized to floor(size / crop_pct) and cropped (timm/data/transforms_factory.py).
static void timm(Folder *f) {
  cJSON *defaults = cJSON_Parse("{\"mean\": [0.485, 0.456, 0.406], \"std\": [0.229, 0.224, 0.225],"
                                "\"interpolation\": \"bicubic\", \"crop_pct\": 0.875, \"crop_mode\": \"center\"}");
  Reading r = {.f = f,
               .file = f->file,
               .object = folder_at(f->config, "pretrained_cfg"),
               .defaults = defaults,
               .prefix = "pretrained_cfg.",
               .ok = true};
  const char *model = folder_value(f, "size");
  Picture p = {.crop = model ? atoi(model) : 0, .rgb_first = true};
  const cJSON *share = get(&r, "crop_pct"), *mode = get(&r, "crop_mode");
  bool squash = cJSON_IsString(mode) && !strcmp(mode->valuestring, "squash");
  double s = cJSON_IsNumber(share) ? share->valuedouble : 0;
  if (!(s > 0.01 && s <= 1)) refuse(&r, "crop_pct", "a share above 0.01, at most 1, is expected");
  if (!squash && !(cJSON_IsString(mode) && !strcmp(mode->valuestring, "center")))
    refuse(&r, "crop_mode", "only center and squash are computed here");
  p.size = r.ok ? (int)floor(p.crop / s) : 0;
  put_picture(&r, &p, squash);
  cJSON_Delete(defaults);
}

bool folder_pictures(Folder *f) {
  if (!has_input(f, "image")) return true;
  if (!strcmp(f->table->type.at[0], "timm")) return timm(f), true;
  if (!strcmp(f->table->type.at[0], "open_clip")) return open_clip(f), true;
  bool there;
  cJSON *object = folder_json(f, "preprocessor_config.json", &there);
  if (there && !object) return false;
  const cJSON *inner = folder_at(object, "image_processor"); // processor_config.json's form
  if (object)
    huggingface(f, inner ? inner : object);
  else
    session_note(f->s, "syc: note: %s has no preprocessor_config.json; pictures are prepared as the page says", f->dir);
  cJSON_Delete(object);
  return true;
}

/* sentences -------------------------------------------------------------------------------------------------------- */
// Of a WordPiece tokenizer whether sentences keep their capitals. Fields that speak of the file's history are free.
bool folder_sentences(Folder *f) {
  const TableLine *l = NULL;
  for (size_t i = 0; (l = table_line(f->table, "wordpiece", i)) && strcmp(l->word.at[0], f->model) != 0; i++) {
  }
  bool there;
  cJSON *object = l ? folder_json(f, "tokenizer_config.json", &there) : NULL;
  if (l && there && !object) return false;
  if (!object) return true;
  Reading r = {.f = f, .file = "tokenizer_config.json", .object = object, .prefix = "", .ok = true};
  bool lower = flag(&r, "do_lower_case", true);
  const cJSON *strip = get(&r, "strip_accents");
  if (strip && cJSON_IsTrue(strip) != lower) refuse(&r, "strip_accents", "accents go with capitals here");
  if (!flag(&r, "tokenize_chinese_chars", true))
    refuse(&r, "tokenize_chinese_chars", "they are words of their own here");
  if (!flag(&r, "do_basic_tokenize", true))
    refuse(&r, "do_basic_tokenize", "sentences are cut at blanks and marks here");
  const cJSON *class = get(&r, "tokenizer_class");
  if (cJSON_IsString(class) && strncmp(class->valuestring, "Bert", 4) != 0 &&
      strncmp(class->valuestring, "Blip", 4) != 0)
    refuse(&r, "tokenizer_class", "the page has BERT's WordPiece");
  for (size_t i = 1; i < l->word.n && r.ok; i++)
    buf_printf(&f->prepare, "  prepare %s: bert_wordpiece(lower = %s)\n", l->word.at[i], lower ? "true" : "false");
  cJSON_Delete(object);
  return true;
}
