// check_host.c - golden cases of the host library; see check_host.h.
//
// Each check is a chain of steps over one struct that owns everything, freed in one place. Steps return
// false after setting the verdict.
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "check_host.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../ckpt/safetensors.h"
#include "tokenizer.h"
#include "image.h"
#include "text.h"

enum { MAX_PATH_LEN = 1024, MAX_FILES = 8, MAX_JSON = 256 << 20 };

const char *host_verdict_name(HostVerdict v) {
  return v == HOST_PASS ? "PASS" : v == HOST_SKIP ? "SKIP" : "FAIL";
}

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static bool
settle(HostCheckResult *out, HostVerdict v, const char *fmt, ...) {
  va_list ap;
  out->verdict = v;
  va_start(ap, fmt);
  vsnprintf(out->text, sizeof out->text, fmt, ap);
  va_end(ap);
  return false;
}

static const char *string_of(const cJSON *object, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsString(v) ? v->valuestring : NULL;
}

static double number_of(const cJSON *object, const char *key, double otherwise) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

// An integer field within what an int holds.
static int int_of(const cJSON *object, const char *key, int otherwise) {
  double v = number_of(object, key, otherwise);
  return v >= -1e9 && v <= 1e9 ? (int)v : otherwise;
}

// Resolves a path value of a case. False with a verdict if it names nothing that exists.
static bool find_path(const cJSON *v, const char *what, const char *dir, const char *shared, char path[MAX_PATH_LEN],
                      HostCheckResult *out) {
  const char *in_shared = cJSON_IsObject(v) ? string_of(v, "shared") : NULL, *base = dir, *rest = NULL;
  if (cJSON_IsString(v)) rest = v->valuestring;
  if (in_shared) {
    if (!shared) return settle(out, HOST_SKIP, "%s is in the shared folder, and none was given", what);
    base = shared;
    rest = in_shared;
  }
  if (!rest) return settle(out, HOST_FAIL, "case has no %s", what);
  if (snprintf(path, MAX_PATH_LEN, "%s/%s", base, rest) >= MAX_PATH_LEN)
    return settle(out, HOST_FAIL, "path of %s is too long", what);
  if (access(path, R_OK) != 0)
    return settle(out, in_shared ? HOST_SKIP : HOST_FAIL, "%s not found: %.180s", what, path);
  return true;
}

// ---- preprocess ----

typedef struct {
  StFile *file[MAX_FILES];
  int files;
  HostImage image, rgb;
  float *pixels; // f32[3, H, W]
} Preprocess;

static bool open_tensors(Preprocess *p, const cJSON *kase, const char *dir, HostCheckResult *out) {
  const cJSON *v, *list = cJSON_GetObjectItemCaseSensitive(kase, "tensors");
  cJSON_ArrayForEach(v, list) {
    char path[MAX_PATH_LEN];
    StError err;
    if (p->files == MAX_FILES) return settle(out, HOST_FAIL, "more than %d tensor files", (int)MAX_FILES);
    if (!find_path(v, "tensor file", dir, NULL, path, out)) return false;
    p->file[p->files] = st_open(path, &err);
    if (!p->file[p->files]) return settle(out, HOST_FAIL, "%.250s", err.text);
    p->files++;
  }
  return true;
}

// The tensor of an output; of several files the later wins. NULL if the case does not have the output.
static const StTensor *wanted(const Preprocess *p, const cJSON *kase, const char *output) {
  const char *name = string_of(cJSON_GetObjectItemCaseSensitive(kase, "outputs"), output);
  const StTensor *t = NULL;
  for (int i = p->files; name && !t && i-- > 0;) t = st_find(p->file[i], name);
  return t;
}

static bool read_colours(const cJSON *attributes, const char *key, float dst[3]) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(attributes, key);
  for (int i = 0; i < 3; i++) {
    const cJSON *e = cJSON_GetArrayItem(v, i);
    if (!cJSON_IsNumber(e)) return false;
    dst[i] = (float)e->valuedouble;
  }
  return true;
}

static bool read_recipe(const cJSON *kase, HostPreprocess *how, HostCheckResult *out) {
  const cJSON *a = cJSON_GetObjectItemCaseSensitive(kase, "attributes");
  const char *resize = string_of(a, "resize"), *filter = string_of(a, "filter"), *crop = string_of(a, "crop"),
             *rgb = string_of(a, "rgb");
  *how = (HostPreprocess){.size = int_of(kase, "size", 0),
                          .longest = int_of(a, "longest", 0),
                          .multiple = int_of(a, "multiple", 1),
                          .filter = HOST_BICUBIC,
                          .rgb_last = rgb && !strcmp(rgb, "last")};
  if (!resize) return settle(out, HOST_FAIL, "case has no attribute resize");
  if (!strcmp(resize, "shorter"))
    how->resize = HOST_RESIZE_SHORTER;
  else if (!strcmp(resize, "square"))
    how->resize = HOST_RESIZE_SQUARE;
  else if (!strcmp(resize, "shorter_capped"))
    how->resize = HOST_RESIZE_SHORTER_CAPPED;
  else
    return settle(out, HOST_FAIL, "unknown resize '%.60s'", resize);
  if (filter && !strcmp(filter, "bilinear"))
    how->filter = HOST_BILINEAR;
  else if (filter && !strcmp(filter, "nearest"))
    how->filter = HOST_NEAREST;
  else if (filter && strcmp(filter, "bicubic") != 0)
    return settle(out, HOST_FAIL, "unknown filter '%.60s'", filter);
  if (crop && strcmp(crop, "center") != 0) return settle(out, HOST_FAIL, "unknown crop '%.60s'", crop);
  if (crop) how->crop = int_of(kase, "crop_size", how->size);
  if (!read_colours(a, "mean", how->mean) || !read_colours(a, "std", how->std))
    return settle(out, HOST_FAIL, "case has no mean and std of three numbers");
  return true;
}

static bool run_recipe(Preprocess *p, const char *path, const HostPreprocess *how, HostCheckResult *out) {
  HostError err;
  host_image_free(&p->image);
  host_image_free(&p->rgb);
  if (!host_image_load(path, &p->image, &err) || !host_preprocess(&p->image, how, &p->rgb, &err))
    return settle(out, HOST_FAIL, "%.250s", err.text);
  return true;
}

static bool has_shape(const StTensor *t, StDtype dtype, int64_t a, int64_t b, int64_t c) {
  return t->dtype == dtype && t->rank == 3 && t->shape[0] == a && t->shape[1] == b && t->shape[2] == c;
}

// Number of bytes of rgb that differ from u8[H, W, 3]; SIZE_MAX if the shape does.
static size_t count_different(const HostImage *rgb, const StTensor *u8) {
  if (!has_shape(u8, ST_U8, rgb->height, rgb->width, 3)) return SIZE_MAX;
  size_t different = 0;
  for (size_t i = 0; i < u8->bytes; i++) different += rgb->pixel[i] != ((const uint8_t *)u8->data)[i];
  return different;
}

static bool compare_pixels(Preprocess *p, const cJSON *kase, const StTensor *t, const HostPreprocess *how,
                           HostCheckResult *out) {
  size_t n = 3 * (size_t)p->rgb.width * (size_t)p->rgb.height;
  if (!has_shape(t, ST_F32, 3, p->rgb.height, p->rgb.width))
    return settle(out, HOST_FAIL, "pixels: the picture became %d x %d, another shape is wanted", p->rgb.width,
                  p->rgb.height);
  p->pixels = malloc(2 * n * sizeof *p->pixels);
  if (!p->pixels) return settle(out, HOST_FAIL, "out of memory");
  float *want = p->pixels + n;
  host_normalise(&p->rgb, how->mean, how->std, p->pixels);
  if (!st_to_f32(t, want, 0, n)) return settle(out, HOST_FAIL, "pixels: cannot read the tensor");
  double most = 0.0;
  for (size_t i = 0; i < n; i++) {
    double d = fabs((double)p->pixels[i] - (double)want[i]);
    if (!(d <= out->max_abs)) out->max_abs = d; // a NaN is kept
    if (fabs((double)want[i]) > most) most = fabs((double)want[i]);
  }
  out->max_rel = most > 0.0 ? out->max_abs / most : out->max_abs;
  double limit = number_of(kase, "atol", 1e-6) + number_of(kase, "rtol", 1e-5) * most;
  if (!(out->max_abs <= limit)) return settle(out, HOST_FAIL, "pixels differ by %g, allowed %g", out->max_abs, limit);
  return true;
}

static bool preprocess_steps(Preprocess *p, const cJSON *kase, const char *dir, const char *shared,
                             HostCheckResult *out) {
  HostPreprocess how;
  char path[MAX_PATH_LEN], decoded[MAX_PATH_LEN];
  const cJSON *exact = cJSON_GetObjectItemCaseSensitive(kase, "decoded");
  if (!read_recipe(kase, &how, out) || !open_tensors(p, kase, dir, out)) return false;
  if (!find_path(cJSON_GetObjectItemCaseSensitive(kase, "image"), "image", dir, shared, path, out)) return false;
  const StTensor *u8 = wanted(p, kase, "u8"), *pixels = wanted(p, kase, "pixels");
  if (!u8 && !pixels) return settle(out, HOST_FAIL, "no output of the case is in its tensor files");
  if (!run_recipe(p, path, &how, out)) return false;
  const char *note = "";
  size_t different = u8 ? count_different(&p->rgb, u8) : 0;
  if (different && exact && find_path(exact, "decoded image", dir, shared, decoded, out)) {
    // Another JPEG library may round differently; the decoded copy separates that from our own faults.
    if (!run_recipe(p, decoded, &how, out)) return false;
    size_t again = count_different(&p->rgb, u8);
    if (again == 0) note = " (from the decoded copy: this JPEG decoder differs)";
    different = again;
  }
  if (different == SIZE_MAX)
    return settle(out, HOST_FAIL, "u8: the picture became %d x %d, another shape is wanted", p->rgb.width,
                  p->rgb.height);
  if (different) return settle(out, HOST_FAIL, "u8: %zu of %zu bytes differ", different, u8->bytes);
  if (pixels && !compare_pixels(p, kase, pixels, &how, out)) return false;
  settle(out, HOST_PASS, "%d x %d, %s%s%s", p->rgb.width, p->rgb.height, u8 ? "u8 equal" : "",
         pixels ? (u8 ? ", pixels" : "pixels") : "", note);
  return true;
}

bool host_check_preprocess(const cJSON *kase, const char *dir, const char *shared, HostCheckResult *out) {
  Preprocess p = {.files = 0};
  *out = (HostCheckResult){.verdict = HOST_FAIL};
  preprocess_steps(&p, kase, dir, shared, out);
  for (int i = 0; i < p.files; i++) st_close(p.file[i]);
  host_image_free(&p.image);
  host_image_free(&p.rgb);
  free(p.pixels);
  return out->verdict != HOST_FAIL;
}

// ---- tokenize ----

typedef enum { AS_IDS, AS_TEXT, AS_CLEANED, AS_PIECES, AS_TYPES, AS_NORMALISED, AS_SPANS, AS_COUNT } As;
enum { BY_BPE = 1 << HOST_CLIP_BPE, BY_WORDPIECE = 1 << HOST_WORDPIECE, BY_SPM = 1 << HOST_SENTENCEPIECE };
static const struct {
  const char *name;
  unsigned by; // kinds of tokenizers that give it; 0: needs none
} as_row[AS_COUNT] = {[AS_IDS] = {"ids", BY_BPE | BY_WORDPIECE | BY_SPM},
                      [AS_TEXT] = {"text", BY_BPE | BY_WORDPIECE | BY_SPM},
                      [AS_CLEANED] = {"cleaned", 0},
                      [AS_PIECES] = {"pieces", BY_WORDPIECE | BY_SPM},
                      [AS_TYPES] = {"types", BY_BPE | BY_WORDPIECE | BY_SPM},
                      [AS_NORMALISED] = {"normalised", BY_SPM},
                      [AS_SPANS] = {"spans", BY_SPM}};

typedef struct {
  HostTokenizer *tokenizer;
  cJSON *rows;
  As as;
  HostTokenizerOptions how;
  bool pad_to_longest;
  const char *rule; // of clean_text
  size_t max_words;
} Tokenize;

// cJSON's strings end at a zero byte, and rows may contain one. Before parsing, \u0000 becomes this
// noncharacter (which no row contains: checked); it is put back when the text is used.
static const char zero_escape[] = "\\ufdd0";
static const char zero_utf8[] = "\xef\xb7\x90";

static bool hide_zeros(char *json, size_t n) {
  if (strstr(json, zero_utf8) || strstr(json, zero_escape) || strstr(json, "\\uFDD0")) return false;
  for (size_t i = 0; i + 5 < n; i++) {
    if (json[i] != '\\') continue;
    if (!memcmp(json + i, "\\u0000", 6)) memcpy(json + i, zero_escape, 6);
    i++; // the escaped character
  }
  return true;
}

// malloc'd copy with the zero bytes back in place.
static char *show_zeros(const char *s, size_t *n) {
  size_t len = strlen(s), used = 0;
  char *copy = malloc(len + 1);
  for (size_t i = 0; copy && i < len;) {
    bool zero = !strncmp(s + i, zero_utf8, 3);
    copy[used++] = zero ? '\0' : s[i];
    i += zero ? 3 : 1;
  }
  if (copy) copy[used] = '\0';
  *n = used;
  return copy;
}

// Member of a row: an array index, or a name in which a dot descends.
static const cJSON *field(const cJSON *row, const cJSON *name) {
  if (cJSON_IsNumber(name)) return cJSON_GetArrayItem(row, name->valueint);
  const char *s = cJSON_IsString(name) ? name->valuestring : NULL;
  while (s && row) {
    char part[128];
    size_t n = strcspn(s, ".");
    if (n >= sizeof part) return NULL;
    memcpy(part, s, n);
    part[n] = '\0';
    row = cJSON_GetObjectItemCaseSensitive(row, part);
    s = s[n] ? s + n + 1 : NULL;
  }
  return s ? NULL : row;
}

static bool read_options(Tokenize *k, const cJSON *kase, HostCheckResult *out) {
  const cJSON *o = cJSON_GetObjectItemCaseSensitive(kase, "options");
  const cJSON *pad_to = cJSON_GetObjectItemCaseSensitive(o, "pad_to");
  const char *as = string_of(o, "as");
  const char *map = string_of(o, "map");
  while (as && k->as < AS_COUNT && strcmp(as, as_row[k->as].name) != 0) k->as++;
  if (k->as == AS_COUNT) return settle(out, HOST_SKIP, "results as '%.60s': not built yet", as);
  k->rule = string_of(o, "rule");
  k->max_words = (size_t)int_of(o, "max_words", 0);
  int limit = int_of(o, "max_length", 0), fill = int_of(o, "pad_to", 0);
  k->pad_to_longest = cJSON_IsString(pad_to) && !strcmp(pad_to->valuestring, "longest");
  k->how = (HostTokenizerOptions){.xlmr = map && !strcmp(map, "xlmr"),
                                  .start = int_of(o, "start", -1),
                                  .end = int_of(o, "end", -1),
                                  .max_length = limit > 0 ? (size_t)limit : 0,
                                  .pad_to = fill > 0 ? (size_t)fill : 0,
                                  .pad = int_of(o, "pad", 0),
                                  .lower = !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(o, "lower")),
                                  .fix_text = !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(o, "fix_text"))};
  return true;
}

static bool load_rows(Tokenize *k, const cJSON *kase, const char *dir, const char *shared, HostCheckResult *out) {
  char path[MAX_PATH_LEN];
  HostError err;
  size_t n = 0;
  if (!find_path(cJSON_GetObjectItemCaseSensitive(kase, "file"), "file", dir, shared, path, out)) return false;
  char *json = host_read_file(path, MAX_JSON, &n, &err);
  if (!json) return settle(out, HOST_FAIL, "%.250s", err.text);
  bool ok = hide_zeros(json, n);
  if (ok) k->rows = cJSON_ParseWithLength(json, n);
  free(json);
  if (!ok) return settle(out, HOST_FAIL, "file contains U+FDD0, which the check uses itself");
  if (!k->rows) return settle(out, HOST_FAIL, "not JSON: %.200s", path);
  return true;
}

// Ids of one text; the caller frees.
static bool encode_string(const Tokenize *k, const cJSON *text, HostIds *ids, HostCheckResult *out) {
  size_t n;
  HostError err = {.text = "input is not a string"};
  char *s = cJSON_IsString(text) ? show_zeros(text->valuestring, &n) : NULL;
  bool ok = s && host_tokenizer_encode(k->tokenizer, s, n, &k->how, ids, NULL, &err);
  free(s);
  return ok || settle(out, HOST_FAIL, "%.250s", err.text);
}

// Compares ids with the wanted array; `mask` compares which are not padding instead (their first `real`).
static bool same_ids(const HostIds *ids, size_t real, bool mask, const cJSON *want, size_t row, HostCheckResult *out) {
  if (!cJSON_IsArray(want)) return settle(out, HOST_FAIL, "row %zu: output is not a list of ids", row);
  size_t i = 0;
  const cJSON *v;
  cJSON_ArrayForEach(v, want) {
    int32_t got = i >= ids->n ? -1 : mask ? (int32_t)(i < real) : ids->id[i];
    if (i >= ids->n || !cJSON_IsNumber(v) || v->valuedouble != (double)got)
      return settle(out, HOST_FAIL, "row %zu: position %zu is %d, wanted %g", row, i, (int)got, v->valuedouble);
    i++;
  }
  if (i != ids->n) return settle(out, HOST_FAIL, "row %zu: %zu ids, wanted %zu", row, ids->n, i);
  return true;
}

// Encodes a list of texts, padded to the longest if asked, and compares with a list of lists.
static bool check_batch(Tokenize *k, const cJSON *texts, const cJSON *want, bool mask, size_t row,
                        HostCheckResult *out) {
  size_t longest = k->how.pad_to, fixed = k->how.pad_to;
  HostIds ids = {0};
  const cJSON *t, *w = want ? want->child : NULL;
  bool ok = true;
  k->how.pad_to = 0;
  if (k->pad_to_longest) cJSON_ArrayForEach(t, texts) {
      ok = ok && encode_string(k, t, &ids, out);
      if (ids.n > longest) longest = ids.n;
      host_ids_free(&ids);
    }
  cJSON_ArrayForEach(t, texts) {
    k->how.pad_to = 0;
    ok = ok && encode_string(k, t, &ids, out);
    size_t real = ids.n;
    host_ids_free(&ids);
    k->how.pad_to = longest;
    ok = ok && encode_string(k, t, &ids, out) && same_ids(&ids, real, mask, w, row, out);
    host_ids_free(&ids);
    w = w ? w->next : NULL;
  }
  k->how.pad_to = fixed;
  if (ok && w) return settle(out, HOST_FAIL, "row %zu: fewer texts than outputs", row);
  return ok;
}

static bool same_text(const char *got, size_t n, const cJSON *want, size_t row, HostCheckResult *out) {
  size_t want_n = 0;
  char *w = cJSON_IsString(want) ? show_zeros(want->valuestring, &want_n) : NULL;
  bool ok = w && want_n == n && !memcmp(got, w, n);
  if (!ok) settle(out, HOST_FAIL, "row %zu: text '%.90s', wanted '%.90s'", row, got, w ? w : "(nothing)");
  free(w);
  return ok;
}

static bool check_cleaned(const Tokenize *k, const cJSON *input, const cJSON *want, size_t row, HostCheckResult *out) {
  size_t n = 0, got_n = 0;
  HostText t = {0};
  char *s = cJSON_IsString(input) ? show_zeros(input->valuestring, &n) : NULL, *got = NULL;
  if (s && k->rule)
    got = host_clean_sentence(k->rule, k->max_words, s, n, &got, &got_n) ? got : NULL;
  else if (s && host_text_from_utf8(&t, s, n) && host_clean_text(&t, k->how.fix_text))
    got = host_text_to_utf8(&t, &got_n);
  bool ok = got ? same_text(got, got_n, want, row, out)
                : settle(out, HOST_FAIL, s ? "row %zu: it cannot be cleaned" : "row %zu: no string input", row);
  free(got);
  free(s);
  host_text_free(&t);
  return ok;
}

static bool check_decoded(const Tokenize *k, const cJSON *input, const cJSON *want, size_t row, HostCheckResult *out) {
  size_t n = 0, count = (size_t)cJSON_GetArraySize(input), got_n = 0;
  int32_t *id = malloc((count + 1) * sizeof *id);
  HostError err = {.text = "out of memory", .machine = true};
  const cJSON *v;
  cJSON_ArrayForEach(v, input) if (id) id[n++] = v->valueint;
  const HostTokenizer *t = k->tokenizer;
  char *got = !id                         ? NULL
              : t->kind == HOST_CLIP_BPE  ? host_bpe_decode(t->bpe, id, n, &got_n, &err)
              : t->kind == HOST_WORDPIECE ? host_wordpiece_decode(t->wordpiece, id, n, &got_n, &err)
                                          : host_spm_decode(t->spm, id, n, &got_n, &err);
  bool ok = got ? same_text(got, got_n, want, row, out) : settle(out, HOST_FAIL, "row %zu: %.200s", row, err.text);
  free(got);
  free(id);
  return ok;
}

static size_t characters(const char *s, size_t n) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) count += ((unsigned char)s[i] & 0xc0) != 0x80;
  return count;
}

// Pieces as strings: of a text's ids, or of what a SentencePiece model cut.
static bool check_pieces(const Tokenize *k, const cJSON *input, const cJSON *want, size_t row, HostCheckResult *out) {
  const HostTokenizer *t = k->tokenizer;
  HostError err = {.text = "input is not a string"};
  HostSpmCut cut = {0};
  HostIds ids = {0};
  size_t n = 0, i = 0;
  char *s = cJSON_IsString(input) ? show_zeros(input->valuestring, &n) : NULL;
  bool spm = t->kind == HOST_SENTENCEPIECE;
  bool ok = s && (spm ? host_spm_encode(t->spm, s, n, &cut, &err) : encode_string(k, input, &ids, out));
  if (!ok && spm) settle(out, HOST_FAIL, "%.250s", err.text);
  const cJSON *v;
  size_t count = spm ? cut.n : ids.n;
  cJSON_ArrayForEach(v, want) {
    if (!ok) break;
    if (i >= count) ok = settle(out, HOST_FAIL, "row %zu: %zu pieces, wanted more", row, count);
    if (!ok) break;
    const HostSpmPiece *p = spm ? &cut.piece[i] : NULL;
    if (k->as == AS_SPANS) {
      const cJSON *from = cJSON_GetArrayItem(v, 0), *to = cJSON_GetArrayItem(v, 1);
      double begin = cJSON_IsNumber(from) ? from->valuedouble : -1, end = cJSON_IsNumber(to) ? to->valuedouble : -1;
      double at = (double)characters(s, p->begin), stop = (double)characters(s, p->end); // spans count characters
      if (begin != at || end != stop)
        ok = settle(out, HOST_FAIL, "row %zu: span %zu is %g..%g, wanted %g..%g", row, i, at, stop, begin, end);
    } else if (spm && host_spm_is_byte(t->spm, p->id)) {
      const char *piece = host_spm_piece(t->spm, p->id);
      ok = same_text(piece, strlen(piece), v, row, out);
    } else if (spm) {
      ok = same_text(cut.normalised + p->at, p->n, v, row, out);
    } else {
      const char *piece = host_wordpiece_piece(t->wordpiece, ids.id[i]);
      ok = piece && same_text(piece, strlen(piece), v, row, out);
    }
    i++;
  }
  if (ok && i != count) ok = settle(out, HOST_FAIL, "row %zu: %zu pieces, wanted %zu", row, count, i);
  free(s);
  host_ids_free(&ids);
  host_spm_cut_free(&cut);
  return ok;
}

static bool check_normalised(const Tokenize *k, const cJSON *input, const cJSON *want, size_t row,
                             HostCheckResult *out) {
  size_t n = 0, bytes = 0;
  char *s = cJSON_IsString(input) ? show_zeros(input->valuestring, &n) : NULL;
  char *got = s && k->tokenizer->spm ? host_spm_normalise(k->tokenizer->spm, s, n, &bytes) : NULL;
  bool ok = got ? same_text(got, bytes, want, row, out) : settle(out, HOST_FAIL, "row %zu: no string input", row);
  free(got);
  free(s);
  return ok;
}

// Two texts: start a end b end; types 0 for the first with what is around it, then 1.
static bool check_pair(Tokenize *k, const cJSON *row, const cJSON *names, const cJSON *want, size_t number,
                       HostCheckResult *out) {
  HostTokenizerOptions how = k->how;
  HostIds a = {0}, b = {0};
  bool ok = encode_string(k, field(row, cJSON_GetArrayItem(names, 0)), &a, out);
  k->how.start = -1;
  ok = ok && encode_string(k, field(row, cJSON_GetArrayItem(names, 1)), &b, out);
  k->how = how;
  int32_t *all = ok ? realloc(a.id, (a.n + b.n + 1) * sizeof *all) : NULL;
  if (all) {
    a.id = all;
    for (size_t i = 0; i < a.n && k->as == AS_TYPES; i++) all[i] = 0;
    for (size_t i = 0; i < b.n; i++) all[a.n + i] = k->as == AS_TYPES ? 1 : b.id[i];
    a.n += b.n;
    ok = same_ids(&a, a.n, false, want, number, out);
  }
  host_ids_free(&a);
  host_ids_free(&b);
  return ok;
}

// One row: `output` is a field, or [ids, mask] fields of a batch.
static bool check_row(Tokenize *k, const cJSON *kase, const cJSON *row, size_t number, bool *skipped,
                      HostCheckResult *out) {
  const cJSON *output = cJSON_GetObjectItemCaseSensitive(kase, "output");
  const cJSON *input = field(row, cJSON_GetObjectItemCaseSensitive(kase, "input"));
  const cJSON *if_null = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(kase, "options"), "if_null");
  if (cJSON_IsArray(output)) {
    const cJSON *name;
    bool mask = false;
    cJSON_ArrayForEach(name, output) {
      if (!check_batch(k, input, field(row, name), mask, number, out)) return false;
      mask = true;
    }
    return true;
  }
  const cJSON *want = field(row, output), *names = cJSON_GetObjectItemCaseSensitive(kase, "input");
  if (cJSON_IsArray(names) && want) return check_pair(k, row, names, want, number, out);
  if (cJSON_IsNull(want) && cJSON_IsString(if_null)) {
    *skipped = !strcmp(if_null->valuestring, "skip");
    if (*skipped) return true;
    want = field(row, if_null);
  }
  if (!input || !want) return settle(out, HOST_FAIL, "row %zu: no such input or output", number);
  if (k->as == AS_TEXT) return check_decoded(k, input, want, number, out);
  if (k->as == AS_CLEANED || k->rule) return check_cleaned(k, input, want, number, out);
  if (k->as == AS_PIECES || k->as == AS_SPANS) return check_pieces(k, input, want, number, out);
  if (k->as == AS_NORMALISED) return check_normalised(k, input, want, number, out);
  if (cJSON_IsArray(input)) return check_batch(k, input, want, false, number, out);
  HostIds ids = {0};
  bool ok = encode_string(k, input, &ids, out) && same_ids(&ids, ids.n, false, want, number, out);
  host_ids_free(&ids);
  return ok;
}

static bool tokenize_steps(Tokenize *k, const cJSON *kase, const char *dir, const char *shared, HostCheckResult *out) {
  char path[MAX_PATH_LEN];
  HostError err;
  const char *tokenizer = string_of(kase, "tokenizer");
  if (!tokenizer) return settle(out, HOST_FAIL, "case has no tokenizer");
  const cJSON *vocabulary = cJSON_GetObjectItemCaseSensitive(kase, "vocabulary");
  if (!read_options(k, kase, out)) return false;
  if (strcmp(tokenizer, "clean_text") != 0) {
    if (!find_path(vocabulary, "vocabulary", dir, shared, path, out)) return false;
    k->tokenizer = host_tokenizer_load(path, tokenizer, &err);
    if (!k->tokenizer) return settle(out, HOST_FAIL, "%.250s", err.text);
  }
  unsigned by = k->rule ? 0 : as_row[k->as].by;
  if (by && !(k->tokenizer && by >> k->tokenizer->kind & 1))
    return settle(out, HOST_FAIL, "'%.60s' gives no results as '%s'", tokenizer, as_row[k->as].name);
  if (!load_rows(k, kase, dir, shared, out)) return false;
  const cJSON *rows = k->rows, *step;
  cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(kase, "list")) rows = field(rows, step);
  size_t n = 0, compared = 0;
  const cJSON *row;
  if (cJSON_IsArray(rows)) {
    cJSON_ArrayForEach(row, rows) {
      bool skipped = false;
      if (!check_row(k, kase, row, n, &skipped, out)) return false;
      n++;
      compared += !skipped;
    }
  } else if (cJSON_IsObject(rows)) { // a single row, as batches are
    bool skipped = false;
    if (!check_row(k, kase, rows, 0, &skipped, out)) return false;
    compared = 1;
  } else {
    return settle(out, HOST_FAIL, "list does not lead to rows");
  }
  settle(out, HOST_PASS, "%zu rows equal", compared);
  return true;
}

bool host_check_tokenize(const cJSON *kase, const char *dir, const char *shared, HostCheckResult *out) {
  Tokenize k = {.tokenizer = NULL};
  *out = (HostCheckResult){.verdict = HOST_FAIL};
  tokenize_steps(&k, kase, dir, shared, out);
  host_tokenizer_free(k.tokenizer);
  cJSON_Delete(k.rows);
  return out->verdict != HOST_FAIL;
}
