// batch_plan.c - what fills each input of an objective: its sampler, its preparation, or what its name and type say.
#include "batch_parts.h"

#include "common/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Plan {
  Batches *b;
  const StageInput *input;
  size_t ninput;
  HostError *err;
} Plan;

/* preparations ----------------------------------------------------------------------------------------------------- */
// The part of a name behind its first underscore: pair_text is prepared as text is.
static const char *suffix(const char *name) {
  const char *s = strchr(name, '_');
  return s ? s + 1 : "";
}

static const sy_prepare *prepare_of(const Batches *b, const char *name, bool (*is)(const char *kind)) {
  for (unsigned i = 0; i < b->wants->nprepare; i++)
    if (!strcmp(b->wants->prepare[i].name, name) && is(b->wants->prepare[i].kind)) return &b->wants->prepare[i];
  return NULL;
}
static bool is_picture(const char *kind) {
  return !strcmp(kind, "picture");
}
static bool is_patches(const char *kind) {
  return !strcmp(kind, "patches");
}

// The number of the preparation of a text; ntext: there is none.
static unsigned find_text(const Batches *b, const char *name) {
  for (unsigned i = 0; i < b->ntext; i++)
    if (!strcmp(b->text[i].prepare->name, name)) return i;
  return (unsigned)b->ntext;
}
// The same of texts that are the list of answers, and of their masks.
static unsigned listed_text(const Batches *b, const char *name) {
  char base[80];
  size_t which, n = face_follows(name, &which);
  unsigned text = find_text(b, name);
  snprintf(base, sizeof base, "%.*s", (int)n, name);
  if (text == b->ntext && n && !which) text = find_text(b, base);
  return text < b->ntext && b->text[text].listed ? text : (unsigned)b->ntext;
}
// Of an input without one of its own: as text or, without that, the only one there is.
static unsigned find_any_text(const Batches *b, const char *name) {
  const char *const names[] = {name, suffix(name), "text"};
  for (size_t i = 0; i < 3; i++)
    if (find_text(b, names[i]) < b->ntext) return find_text(b, names[i]);
  return b->ntext == 1 ? 0 : (unsigned)b->ntext;
}

static void list_texts(Batches *b) {
  b->text = ARENA_ARRAY(&b->arena, Text, b->wants->nprepare + 1);
  for (unsigned i = 0; i < b->wants->nprepare; i++) {
    const sy_prepare *p = &b->wants->prepare[i];
    char of[16];
    if (!face_is_tokenizer(p->kind)) continue;
    b->text[b->ntext].listed = face_option(p->options, "of", of, sizeof of) && !strcmp(of, "labels");
    b->text[b->ntext++].prepare = p;
  }
}

/* texts ------------------------------------------------------------------------------------------------------------ */
static void use_text(Plan *p, Fill *f, unsigned text) {
  Text *t = &p->b->text[text];
  size_t bound = (size_t)f->t->axis[1].bound;
  f->text = text;
  f->texts = arena_printf(&p->b->arena, "%s %s text caption captions sentence question", f->t->name, t->prepare->name);
  if (!t->longest || bound < t->longest) t->longest = bound;
}

// The text that a sampler makes its input from: of = NAME, else the input's own or the one it is called after.
static bool text_of_sampler(Plan *p, Fill *f) {
  const char *of = stage_value(&f->from->from, "of")->text, *own = f->from->name[0];
  char base[80];
  unsigned text = find_text(p->b, of && *of ? of : own);
  snprintf(base, sizeof base, "%.*s", (int)strcspn(own, "_"), own); // text_mlm is made from text
  if (text == p->b->ntext && !(of && *of)) text = find_text(p->b, base);
  if (text == p->b->ntext && !(of && *of)) text = find_any_text(p->b, own);
  if (text == p->b->ntext)
    return host_fail(p->err,
                     "%s(of = %s): the page has no preparation of such a text; `prepare text: bert_wordpiece(..)`",
                     f->from->from.call->name, of && *of ? of : own);
  if (f->t->dtype[0] != 'i' || f->t->rank != 2)
    return host_fail(p->err, "%s makes i32 of two axes, and %s is not", f->from->from.call->name, f->t->name);
  use_text(p, f, text);
  f->texts = arena_printf(&p->b->arena, "%s text caption captions sentence question", p->b->text[text].prepare->name);
  return true;
}

static bool plan_masked(Plan *p, Fill *f) {
  const StageUse *u = &f->from->from;
  bool caption = !strcmp(u->call->name, "mask_caption");
  if (!text_of_sampler(p, f)) return false;
  f->row = fill_masked;
  f->mask = (MaskWords){.rule = caption                               ? MASK_EXACTLY
                                : stage_number(u, "whole_words") != 0 ? MASK_WHOLE
                                                                      : MASK_TOKENS,
                        .share = stage_number(u, "share"),
                        .kept = stage_number(u, "kept"),
                        .random = stage_number(u, "random"),
                        .mask = (int32_t)stage_number(u, "mask"),
                        .lowest = (int32_t)stage_number(u, "lowest"),
                        .vocab = (int32_t)stage_number(u, "vocab"),
                        .padded = caption ? 0 : (size_t)stage_number(u, "padded")};
  if (caption) return true;
  const StageValue *spare = stage_value(u, "spare");
  int32_t *ids = ARENA_ARRAY(&p->b->arena, int32_t, spare->n + 3);
  for (size_t i = 0; i < spare->n; i++) ids[f->mask.nspare++] = (int32_t)spare->item[i].value.number;
  f->mask.spare = ids; // none named: the ends of the text, once they are known (end_masks)
  return true;
}

static bool plan_begin(Plan *p, Fill *f) {
  f->row = fill_begin;
  f->word = (int32_t)stage_number(&f->from->from, "word");
  return text_of_sampler(p, f);
}
static bool plan_text_labels(Plan *p, Fill *f) {
  f->row = fill_text_labels;
  f->labels = true; // padding is no label
  f->prompt = (size_t)stage_number(&f->from->from, "prompt");
  f->word = (int32_t)stage_number(&f->from->from, "pad");
  return text_of_sampler(p, f);
}

/* pictures --------------------------------------------------------------------------------------------------------- */
static bool wants_picture(const sy_tensor *t) {
  return t->rank == 4 && t->dtype[0] == 'f' && t->axis[1].dim < 0 && t->axis[1].constant == 3;
}

static bool plan_picture(Plan *p, Fill *f) {
  const Batches *b = p->b;
  const char *name = f->t->name;
  const sy_prepare *how = prepare_of(b, name, is_picture);
  if (!how) how = prepare_of(b, suffix(name), is_picture);
  if (!wants_picture(f->t)) return host_fail(p->err, "input %s is no picture, f32[B, 3, height, width]", name);
  if (!how)
    return host_fail(p->err, "the page does not say how pictures become %s: `prepare %s: picture(resize = .., ..)`",
                     name, name);
  f->row = fill_picture;
  size_t n = strlen(name);
  bool second = n && name[n - 1] == '2'; // image2 is never image, but the second of images
  f->number_of = second;
  f->fields = arena_printf(&p->b->arena, "%s %s %s", name, suffix(name), second ? "images" : data_picture_names);
  return face_option_picture(how->options, &f->how, p->err);
}

static void copy_numbers(const StageValue *v, double *dst, size_t n) {
  for (size_t i = 0; i < n && i < v->n; i++) dst[i] = v->item[i].value.number;
}
static size_t place_of(const char *word, const char *const *words) {
  size_t i = 0;
  while (words[i] && strcmp(words[i], word) != 0) i++;
  return i;
}

static bool plan_augment(Plan *p, Fill *f) {
  static const char *const filter[] = {"nearest", "bilinear", "bicubic", "lanczos", NULL};
  static const HostFilter filter_is[] = {HOST_NEAREST, HOST_BILINEAR, HOST_BICUBIC, HOST_LANCZOS, HOST_BICUBIC};
  static const char *const policy[] = {"albef", "vilt", "timm", NULL};
  const StageUse *u = &f->from->from;
  if (!plan_picture(p, f)) return false;
  const StageValue *operations = stage_value(u, "randaugment");
  double numbers[2] = {0, 0};
  copy_numbers(stage_value(u, "crop"), f->augment.area, 2);
  copy_numbers(stage_value(u, "ratio"), f->augment.ratio, 2);
  copy_numbers(stage_value(u, "jitter"), f->augment.jitter, 3);
  copy_numbers(operations, numbers, 2);
  f->augment.operations = (int)numbers[0];
  f->augment.level = (int)numbers[1];
  f->augment.policy = (AugmentPolicy)place_of(stage_value(u, "operations")->text, policy);
  f->erase = stage_number(u, "erase");
  if (f->augment.area[1] > 0 && !(f->augment.area[0] > 0 && f->augment.area[0] <= f->augment.area[1]))
    return host_fail(p->err, "augment: crop = [%g, %g] is no range of areas", f->augment.area[0], f->augment.area[1]);
  if (f->augment.ratio[0] > f->augment.ratio[1])
    return host_fail(p->err, "augment: ratio = [%g, %g] is no range", f->augment.ratio[0], f->augment.ratio[1]);
  bool first = f->first == f; // the second of two views has the filter of its own preparation
  if (first && f->augment.area[1] > 0 && p->b->o.train)
    f->how.filter = filter_is[place_of(stage_value(u, "filter")->text, filter)];
  return true;
}

// What the pictures of each `augment` share.
static void list_augments(Plan *p) {
  Batches *b = p->b;
  b->augment = ARENA_ARRAY(&b->arena, FillAugment, p->ninput + 1);
  for (size_t i = 0; i < p->ninput; i++) {
    const StageUse *u = &p->input[i].from;
    if (strcmp(u->call->name, "augment") != 0) continue;
    const char *flip = stage_value(u, "flip")->text;
    b->augment[b->naugment++] = (FillAugment){.from = &p->input[i],
                                              .flip = strcmp(flip, "none") != 0,
                                              .words = !strcmp(flip, "words"),
                                              .swap = stage_number(u, "swap") != 0};
  }
}

/* patches ---------------------------------------------------------------------------------------------------------- */
static unsigned find_input(const Batches *b, const char *name) {
  unsigned i = 0;
  while (i < b->wants->ninput && strcmp(b->wants->input[i].name, name) != 0) i++;
  return i;
}

static bool plan_patches(Plan *p, Fill *f) {
  char of[80] = "";
  const sy_prepare *how = prepare_of(p->b, f->t->name, is_patches);
  if (!how) how = prepare_of(p->b, suffix(f->t->name), is_patches);
  double patch = how ? face_option_number(how->options, "patch", 0) : 0;
  if (how && face_option(how->options, "of", of, sizeof of)) { // in quotes
    size_t n = strlen(of);
    if (n >= 2) memmove(of, of + 1, n - 2), of[n - 2] = 0;
  }
  f->most = (size_t)f->t->axis[1].bound;
  if (f->from) {
    const char *said = stage_value(&f->from->from, "of")->text;
    if (said && *said) snprintf(of, sizeof of, "%.79s", said);
    f->most = (size_t)stage_number(&f->from->from, "most");
  }
  f->picture = find_input(p->b, of);
  if (f->t->rank != 3 || f->t->dtype[0] != 'i' || f->t->axis[2].constant != 2 || !(patch >= 1 && patch <= 65536) ||
      f->picture == p->b->wants->ninput || !wants_picture(&p->b->wants->input[f->picture]))
    return host_fail(p->err,
                     "the page does not say whose patches %s are: `prepare %s: patches(of = \"image\", patch = patch)`",
                     f->t->name, f->t->name);
  f->patch = (size_t)patch;
  f->what = arena_printf(&p->b->arena, "patches of %s", of);
  f->end = fill_patches;
  return true;
}

// Rows and columns of n patches: as the first picture has them, or a square.
static bool find_grid(const Batches *b, size_t n, size_t grid[2]) {
  for (unsigned i = 0; i < b->wants->ninput; i++) {
    const sy_tensor *t = &b->wants->input[i];
    if (!wants_picture(t)) continue;
    double patch = nearbyint(sqrt((double)(t->axis[2].bound * t->axis[3].bound) / (double)n));
    if (patch < 1) continue;
    grid[0] = (size_t)((double)t->axis[2].bound / patch);
    grid[1] = (size_t)((double)t->axis[3].bound / patch);
    if (grid[0] * grid[1] == n) return true;
  }
  grid[0] = grid[1] = (size_t)sqrt((double)n);
  return grid[0] * grid[1] == n;
}

static bool plan_blocks(Plan *p, Fill *f) {
  const StageUse *u = &f->from->from;
  size_t grid[2], n = f->t->rank == 2 ? (size_t)f->t->axis[1].bound : 0;
  if (f->t->dtype[0] != 'b' || f->t->rank != 2 || n > MASK_MOST || !find_grid(p->b, n, grid))
    return host_fail(p->err, "mask_blocks makes bool[B, P] of rows and columns of patches, and %s is not", f->t->name);
  f->blocks = (MaskBlocks){.height = grid[0],
                           .width = grid[1],
                           .count = (size_t)stage_number(u, "count"),
                           .least = (size_t)stage_number(u, "least"),
                           .most = (size_t)stage_number(u, "most"),
                           .aspect = stage_number(u, "aspect"),
                           .exact = stage_number(u, "exact") != 0};
  if (f->blocks.count > n) return host_fail(p->err, "mask_blocks: count = %zu of %zu patches", f->blocks.count, n);
  f->row = fill_blocks;
  return true;
}

/* others ----------------------------------------------------------------------------------------------------------- */
static bool plan_others(Plan *p, Fill *f) {
  const char *of = stage_value(&f->from->from, "of")->text;
  if (f->t->rank == 1 && f->t->dtype[0] == 'i') {
    f->end = fill_rows_of_others;
    f->what = "another row of the batch";
    return true;
  }
  if (!wants_picture(f->t))
    return host_fail(p->err,
                     "others makes pictures of other samples or i32[B], numbers of other rows, and %s is neither",
                     f->t->name);
  if (!plan_picture(p, f)) return false;
  if (of && *of) f->fields = arena_printf(&p->b->arena, "%s %s", of, data_picture_names);
  f->other_sample = true;
  f->what = arena_printf(&p->b->arena, "%.*s of another sample", (int)strcspn(f->fields, " "), f->fields);
  return true;
}
static bool plan_coin(Plan *p, Fill *f) {
  f->number = stage_number(&f->from->from, "share");
  f->row = fill_coin;
  return f->t->rank == 1 || host_fail(p->err, "coin makes a number a sample, and %s is not", f->t->name);
}
static bool plan_ramp(Plan *p, Fill *f) {
  const StageUse *u = &f->from->from;
  uint64_t step = p->b->o.per_step ? p->b->o.per_step : 1;
  double epochs = stage_number(u, "epochs"), steps = stage_number(u, "steps");
  f->number = stage_number(u, "value");
  f->over = steps > 0 ? steps * (double)step : epochs * (double)p->b->per_epoch;
  f->end = fill_ramp;
  return (f->t->rank == 0 && f->t->dtype[0] == 'f') ||
         host_fail(p->err, "ramp makes one number, f32, and %s is not", f->t->name);
}

static const struct {
  const char *sampler;
  bool (*plan)(Plan *p, Fill *f);
} samplers[] = {{"augment", plan_augment},
                {"mask_words", plan_masked},
                {"mask_caption", plan_masked},
                {"mask_blocks", plan_blocks},
                {"begin", plan_begin},
                {"text_labels", plan_text_labels},
                {"sample_patches", plan_patches},
                {"others", plan_others},
                {"coin", plan_coin},
                {"ramp", plan_ramp}};

static bool plan_sampler(Plan *p, Fill *f) {
  const char *name = f->from->from.call->name;
  for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++)
    if (!strcmp(samplers[i].sampler, name)) return samplers[i].plan(p, f);
  return host_fail(p->err, "the sampler %s of %s is not there yet", name, f->t->name);
}

/* without a sampler ------------------------------------------------------------------------------------------------ */
static const struct {
  const char *name;
  FillRow *row;
  FillEnd *end;
  unsigned rank;
} answers[] = {{"answer", fill_answers, fill_all_answers, 2},
               {"answer_mask", NULL, fill_all_answer_masks, 2},
               {"answer_weights", NULL, fill_all_weights, 1},
               {"answers_per_question", NULL, fill_answer_counts, 1}};

// Number of the row of `answers`; their count: it is none of them.
static size_t answer_input(const Batches *b, const sy_tensor *t) {
  size_t i = 0, n = sizeof answers / sizeof *answers;
  if (find_input(b, "answers_per_question") == b->wants->ninput) return n;
  while (i < n && (strcmp(answers[i].name, t->name) != 0 || answers[i].rank != t->rank)) i++;
  return i;
}

static bool plan_answers(Plan *p, Fill *f, size_t which) {
  f->row = answers[which].row;
  f->end = answers[which].end;
  f->what = "of answers";
  if (which > 0) return true;
  f->what = NULL;
  unsigned text = find_text(p->b, "answer");
  if (text == p->b->ntext) text = find_text(p->b, "answers");
  if (text == p->b->ntext) text = find_any_text(p->b, "text");
  if (text == p->b->ntext) return host_fail(p->err, "the page has no preparation of the texts of answers");
  use_text(p, f, text);
  f->texts = "answers answer";
  return true;
}

// The list of answers, which models choose from.
static bool plan_listed(Plan *p, Fill *f) {
  use_text(p, f, listed_text(p->b, f->t->name));
  f->what = "the list of answers";
  f->end = f->t->dtype[0] == 'b' ? fill_listed_mask : fill_listed;
  if (f->t->rank != 2) return host_fail(p->err, "%s is no list of texts", f->t->name);
  return p->b->o.answers ||
         host_fail(p->err, "%s is the list of answers, and there is none: --answers FILE", f->t->name);
}

static bool plan_by_type(Plan *p, Fill *f) {
  Batches *b = p->b;
  const sy_tensor *t = f->t;
  size_t which, base = face_follows(t->name, &which), group = answer_input(b, t);
  if (group < sizeof answers / sizeof *answers) return plan_answers(p, f, group);
  if (listed_text(b, t->name) < b->ntext) return plan_listed(p, f);
  if (wants_picture(t)) return plan_picture(p, f);
  if (t->rank == 3 && prepare_of(b, t->name, is_patches)) return plan_patches(p, f);
  if (t->rank == 2 && t->dtype[0] == 'i' && find_text(b, t->name) < b->ntext) {
    use_text(p, f, find_text(b, t->name));
    f->row = fill_text;
    return true;
  }
  if (base && t->rank == 2) {
    char name[80];
    snprintf(name, sizeof name, "%.*s", (int)base, t->name);
    unsigned text = find_text(b, name);
    if (text == b->ntext) text = find_text(b, suffix(name));
    if (text < b->ntext) {
      use_text(p, f, text);
      f->texts = arena_printf(&b->arena, "%s %s", name, f->texts);
      f->row = which ? fill_follows_type : fill_follows_mask;
      return (t->dtype[0] == (which ? 'i' : 'b')) || host_fail(p->err, "%s is %s", t->name, t->dtype);
    }
  }
  f->fields = t->name;
  if (t->rank == 0)
    return host_fail(p->err, "nothing says what %s is: a stage does, as `%s: ramp(0.4, epochs = 1)`", t->name, t->name);
  if (t->rank == 1) {
    f->row = fill_label;
    if (t->dtype[0] == 'i') f->fields = arena_printf(&b->arena, "%s label labels class", t->name);
  } else if (t->rank == 2 && t->dtype[0] == 'f' && !strcmp(t->name, "targets")) {
    f->row = fill_targets;
    f->what = "scores of answers, or a label";
  } else {
    f->row = fill_array;
    unsigned text = find_any_text(b, t->name); // for texts where arrays of ids could be
    if (t->rank == 2 && t->dtype[0] == 'i' && t->axis[1].dim >= 0 && text < b->ntext) {
      use_text(p, f, text);
      f->texts = t->name;
    }
  }
  return true;
}

/* the whole -------------------------------------------------------------------------------------------------------- */
static bool is_given(const Batches *b, const char *name) {
  for (size_t i = 0; i < b->o.ngiven; i++)
    if (!strcmp(b->o.given[i], name)) return true;
  return false;
}

// Every sampler's inputs are inputs of the objective.
static bool check_samplers(Plan *p) {
  for (size_t i = 0; i < p->ninput; i++)
    for (size_t k = 0; k < p->input[i].n; k++)
      if (find_input(p->b, p->input[i].name[k]) == p->b->wants->ninput)
        return host_fail(p->err, "the stage says %s(..) of %s, which is no input of the objective",
                         p->input[i].from.call->name, p->input[i].name[k]);
  return true;
}

// Which dim counts rows, and do so many fit?
static bool check_rows(Plan *p) {
  Batches *b = p->b;
  for (unsigned i = 0; i < b->wants->ninput; i++) {
    const sy_tensor *t = &b->wants->input[i];
    if (is_given(b, t->name)) continue;
    if (strcmp(t->dtype, "f32") != 0 && strcmp(t->dtype, "i32") != 0 && strcmp(t->dtype, "bool") != 0)
      return host_fail(p->err, "input %s is %s; data become f32, i32 and bool", t->name, t->dtype);
    if (!t->rank || answer_input(b, t) < 3 || listed_text(b, t->name) < b->ntext) continue; // rows of their own
    const sy_dim *a = &t->axis[0];
    if (a->dim >= 0 && (a->constant || a->factor != 1))
      return host_fail(p->err, "input %s does not have a row for each sample", t->name);
    if (a->dim >= 0) b->counts[a->dim] = true;
    if (a->bound < b->o.rows || (a->dim < 0 && a->constant != b->o.rows))
      return host_fail(p->err, "a batch has %zu samples, and %s takes %s%llu; the stage's `batch` sets the bound",
                       b->o.rows, t->name, a->dim < 0 ? "" : "at most ", (unsigned long long)a->bound);
  }
  return true;
}

// Does a first sample have words where ids are wanted?
static bool has_words(const Batches *b) {
  DataSample s;
  if (!data_read(b->data, 0, &s, NULL)) return true;
  bool words = false;
  for (unsigned i = 0; i < b->wants->ninput; i++) {
    const DataField *g = b->fill[i].texts ? data_field(&s, b->fill[i].texts) : NULL;
    words |= (g && g->kind == DATA_TEXT) || b->fill[i].end == fill_listed || b->fill[i].end == fill_listed_mask;
  }
  data_sample_free(&s);
  return words;
}

// The tokenizer, if texts have to become ids, and what the texts have around them.
static bool load_tokenizer(Plan *p) {
  Batches *b = p->b;
  FaceArgs *args = ARENA_NEW(&b->arena, FaceArgs);
  *args = (FaceArgs){.vocab = b->o.vocabulary, .cased = b->o.cased, .uncased = b->o.uncased};
  b->vocabulary = (FaceRun){.args = args, .quiet = true};
  bool need = b->o.vocabulary || has_words(b);
  for (unsigned i = 0; i < b->ntext; i++) {
    Text *t = &b->text[i];
    const char *options = t->prepare->options;
    if (!t->longest) continue;
    if (need && !face_load_vocabulary(&b->vocabulary, t->prepare, p->err)) return false;
    t->how = (HostTokenizerOptions){.start = (int32_t)face_option_number(options, "start", -1),
                                    .end = (int32_t)face_option_number(options, "end", -1),
                                    .pad = (int32_t)face_option_number(options, "pad", 0)};
    if (b->vocabulary.tokenizer) t->how = face_sentence_options(b->vocabulary.tokenizer, args, options);
  }
  return true;
}

// What masks and rows need to know of the tokenizer.
static bool end_texts(Plan *p) {
  Batches *b = p->b;
  const HostTokenizer *tokenizer = b->vocabulary.tokenizer;
  for (unsigned i = 0; i < b->wants->ninput; i++) {
    Fill *f = &b->fill[i];
    if (!f->texts) continue;
    const Text *t = &b->text[f->text];
    f->pad = f->labels ? -100 : t->how.pad;
    if (f->row == fill_follows_type) f->pad = 0;
    if (f->row != fill_masked) continue;
    MaskWords *m = &f->mask;
    if (m->rule == MASK_WHOLE && tokenizer && host_tokenizer_joins(tokenizer, 0) < 0)
      return host_fail(p->err, "whole_words needs a vocabulary of WordPiece, in which ## joins pieces");
    if (!m->vocab) m->vocab = (int32_t)face_option_number(t->prepare->options, "vocab", 0);
    if (!m->vocab && tokenizer) m->vocab = (int32_t)host_tokenizer_ids(tokenizer, &t->how);
    if (m->vocab <= m->lowest)
      return host_fail(p->err, "%s of %s: vocab = N says how many ids there are", f->from->from.call->name, f->t->name);
    if (m->nspare || m->rule == MASK_EXACTLY) continue;
    int32_t *spare = (int32_t *)(uintptr_t)m->spare; // made by plan_masked with room for these
    const int32_t ends[] = {t->how.start, t->how.end, t->how.pad};
    for (size_t k = 0; k < 3; k++)
      if (ends[k] >= 0) spare[m->nspare++] = ends[k];
  }
  return true;
}

// The ids of the answers, once for all batches.
static bool encode_lists(Plan *p) {
  Batches *b = p->b;
  for (unsigned i = 0; i < b->ntext; i++) {
    Text *t = &b->text[i];
    if (!t->listed || !t->longest || !b->o.answers || !b->vocabulary.tokenizer) continue;
    t->list = ARENA_ARRAY(&b->arena, HostIds, b->o.answers->count + 1);
    HostTokenizerOptions how = t->how;
    how.max_length = t->longest;
    for (size_t k = 0; k < b->o.answers->count; k++) {
      HostIds ids;
      const char *text = b->o.answers->name[k];
      if (!host_tokenizer_encode(b->vocabulary.tokenizer, text, strlen(text), &how, &ids, NULL, p->err)) return false;
      t->list[k] = (HostIds){ARENA_ARRAY(&b->arena, int32_t, ids.n + 1), ids.n};
      if (ids.n) memcpy(t->list[k].id, ids.id, ids.n * sizeof *ids.id);
      host_ids_free(&ids);
    }
  }
  return true;
}

bool batch_plan(Batches *b, const StageInput *input, size_t ninput, HostError *err) {
  Plan p = {b, input, ninput, err};
  b->fill = ARENA_ARRAY(&b->arena, Fill, b->wants->ninput + 1);
  list_texts(b);
  list_augments(&p);
  if (b->wants->ndim > BATCH_DIMS) return host_fail(err, "more than %d run-time dims", BATCH_DIMS);
  if (!check_samplers(&p) || !check_rows(&p)) return false;
  for (unsigned i = 0; i < b->wants->ninput; i++) {
    Fill *f = &b->fill[i];
    f->t = &b->wants->input[i];
    f->input = i;
    f->first = f;
    for (size_t k = 0; k < ninput && !f->from; k++)
      for (size_t j = 0; j < input[k].n; j++)
        if (!strcmp(input[k].name[j], f->t->name)) {
          f->from = &input[k];
          f->first = &b->fill[find_input(b, input[k].name[0])];
          f->labels = j == 1;
        }
    if (is_given(b, f->t->name)) continue;
    if (!(f->from ? plan_sampler(&p, f) : plan_by_type(&p, f))) return false;
  }
  return load_tokenizer(&p) && end_texts(&p) && encode_lists(&p);
}

void batches_describe(const Batches *b, Buf *out) {
  for (unsigned i = 0; i < b->wants->ninput; i++) {
    const Fill *f = &b->fill[i];
    buf_puts(out, f->t->name);
    if (!f->row && !f->end) {
      buf_puts(out, ": given\n");
      continue;
    }
    buf_puts(out, ": ");
    if (f->from) buf_printf(out, "%s, ", f->from->from.call->name);
    const char *fields = f->texts ? f->texts : f->fields;
    if (f->what)
      buf_puts(out, f->what);
    else if (fields)
      buf_printf(out, "from %.*s", (int)strcspn(fields, " "), fields);
    else
      buf_puts(out, f->end == fill_ramp ? "by the step" : "drawn");
    if (f->texts && f->row) buf_printf(out, ", by %s", b->text[f->text].prepare->kind);
    buf_putc(out, '\n');
  }
}
