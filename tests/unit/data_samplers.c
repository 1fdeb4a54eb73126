// data_samplers.c - masks and augmentation: the masks of the authors' code from the draws that it logged
// (golden/beit*/masking.json, golden/beit3/text_masking.json), and properties of the others.
#include <criterion/criterion.h>

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/augment.h"
#include "data/mask.h"

/* replays ---------------------------------------------------------------------------------------------------------- */
typedef struct Log { // a list of ["uniform", a, b, result] and the like
  const cJSON *next;
} Log;
static const cJSON *take(Log *l, const char *kind) {
  const cJSON *e = l->next;
  cr_assert_not_null(e, "more draws than the authors' code made");
  cr_assert_str_eq(cJSON_GetArrayItem(e, 0)->valuestring, kind);
  l->next = e->next;
  return e;
}
static double item(const cJSON *e, int i) {
  return cJSON_GetArrayItem(e, i)->valuedouble;
}
static double log_unit(void *ud) {
  return item(take(ud, "random"), 1);
}
static double log_uniform(void *ud, double a, double b) {
  const cJSON *e = take(ud, "uniform");
  cr_assert(fabs(item(e, 1) - a) < 1e-15 && fabs(item(e, 2) - b) < 1e-15, "drawn between %g and %g", a, b);
  return item(e, 3);
}
static int64_t log_between(void *ud, int64_t a, int64_t b) {
  const cJSON *e = take(ud, "randint");
  cr_assert(item(e, 1) == (double)a && item(e, 2) == (double)b, "drawn of %ld .. %ld", (long)a, (long)b);
  return (int64_t)item(e, 3);
}
static void log_choice(void *ud, size_t n, size_t k, uint32_t *out) {
  const cJSON *e = take(ud, "choice");
  cr_assert(item(e, 1) == (double)n && item(e, 2) == (double)k);
  for (size_t i = 0; i < k; i++) out[i] = (uint32_t)item(cJSON_GetArrayItem(e, 3), (int)i);
}

static cJSON *read_json(const char *path) {
  HostError err;
  size_t n;
  char *text = host_read_file(path, 1 << 20, &n, &err);
  cr_assert_not_null(text, "%s", err.text);
  cJSON *j = cJSON_Parse(text);
  free(text);
  cr_assert_not_null(j);
  return j;
}
static double number(const cJSON *o, const char *key) {
  const cJSON *e = cJSON_GetObjectItem(o, key);
  cr_assert_not_null(e, "%s", key);
  return e->valuedouble;
}

static void replay_blocks(const char *path, bool exact, int want) {
  cJSON *all = read_json(path);
  const cJSON *c;
  int cases = 0;
  cJSON_ArrayForEach(c, cJSON_GetObjectItem(all, "cases")) {
    Log l = {cJSON_GetObjectItem(c, "draws")->child};
    const DataReplay replay = {log_unit, log_uniform, log_between, log_choice, &l};
    DataDraws d = {.replay = &replay};
    const MaskBlocks how = {.height = (size_t)number(c, "h"),
                            .width = (size_t)number(c, "w"),
                            .count = (size_t)number(c, "num_masking_patches"),
                            .least = (size_t)number(c, "min_num_patches"),
                            .aspect = 0.3,
                            .exact = exact};
    unsigned char mask[400];
    cr_expect_eq(mask_blocks(&how, &d, mask), (size_t)number(c, "count"));
    for (size_t i = 0; i < how.height * how.width; i++)
      cr_expect_eq(mask[i],
                   item(cJSON_GetArrayItem(cJSON_GetObjectItem(c, "mask"), (int)(i / how.width)), (int)(i % how.width)),
                   "case %d, patch %zu", cases, i);
    cr_expect_null(l.next, "case %d: draws are left", cases);
    cases++;
  }
  cr_expect_eq(cases, want);
  cJSON_Delete(all);
}

Test(golden, blocks_of_beit) {
  replay_blocks("tests/golden/beit/masking.json", false, 12);
}
Test(golden, blocks_of_beit2) {
  replay_blocks("tests/golden/beit2/masking.json", true, 9);
}

Test(golden, captions_of_beit3) {
  cJSON *all = read_json("tests/golden/beit3/text_masking.json");
  const cJSON *c;
  int cases = 0;
  cJSON_ArrayForEach(c, cJSON_GetObjectItem(all, "cases")) {
    Log l = {cJSON_GetObjectItem(c, "draws")->child};
    const DataReplay replay = {log_unit, log_uniform, log_between, log_choice, &l};
    DataDraws d = {.replay = &replay};
    const MaskWords how = {.rule = MASK_EXACTLY,
                           .share = number(c, "mask_prob"),
                           .kept = 0.1,
                           .random = 0.1,
                           .mask = (int32_t)number(c, "mask_id"),
                           .lowest = 3,
                           .vocab = (int32_t)number(c, "vocab_size")};
    int32_t ids[64], labels[64];
    uint32_t scratch[64];
    size_t n = (size_t)number(c, "num_tokens"), masked = 0;
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)item(cJSON_GetObjectItem(c, "tokens"), (int)i);
    size_t done = mask_words(&how, &d, n, ids, labels, NULL, scratch);
    for (size_t i = 0; i < n; i++) {
      double was = item(cJSON_GetObjectItem(c, "tokens"), (int)i);
      bool chosen = item(cJSON_GetObjectItem(c, "masked_pos"), (int)i) != 0;
      cr_expect_eq(ids[i], item(cJSON_GetObjectItem(c, "masked_tokens"), (int)i), "case %d, token %zu", cases, i);
      cr_expect_eq(labels[i], chosen ? was : -100, "case %d, token %zu", cases, i);
      masked += chosen;
    }
    cr_expect_eq(done, masked);
    cr_expect_null(l.next, "case %d: draws are left", cases);
    cases++;
  }
  cr_expect_eq(cases, 3);
  cJSON_Delete(all);
}

/* words ------------------------------------------------------------------------------------------------------------ */
Test(words, shares) {
  static const int32_t spare[] = {101, 102};
  const MaskWords how = {.rule = MASK_TOKENS,
                         .share = 0.15,
                         .kept = 0.1,
                         .random = 0.1,
                         .mask = 103,
                         .vocab = 1000,
                         .spare = spare,
                         .nspare = 2};
  size_t masked = 0, hidden = 0, kept = 0, total = 0;
  for (uint32_t s = 0; s < 3000; s++) {
    int32_t ids[22], labels[22];
    DataDraws d = data_draws(1, SY_RANDOM_MASK, 0, s);
    for (int i = 0; i < 22; i++) ids[i] = i == 0 ? 101 : i == 21 ? 102 : 2000 + i;
    size_t n = mask_words(&how, &d, 22, ids, labels, NULL, NULL), seen = 0;
    for (int i = 0; i < 22; i++) {
      if (labels[i] == -100) {
        cr_assert_eq(ids[i], i == 0 ? 101 : i == 21 ? 102 : 2000 + i);
        continue;
      }
      cr_assert(i > 0 && i < 21 && labels[i] == 2000 + i);
      cr_assert(ids[i] == 103 || ids[i] == labels[i] || (ids[i] >= 0 && ids[i] < 1000));
      hidden += ids[i] == 103, kept += ids[i] == labels[i], seen++;
    }
    cr_assert_eq(n, seen);
    masked += n, total += 20;
  }
  cr_expect_float_eq((double)masked / (double)total, 0.15, 0.006);
  cr_expect_float_eq((double)hidden / (double)masked, 0.8, 0.02);
  cr_expect_float_eq((double)kept / (double)masked, 0.1, 0.015);
}

// Pieces of a word together, never more than fit; with the authors' padding a short text may get nothing.
Test(words, whole) {
  static const int32_t spare[] = {101, 102};
  MaskWords how = {.rule = MASK_WHOLE,
                   .share = 0.3,
                   .kept = 0.1,
                   .random = 0.1,
                   .mask = 103,
                   .vocab = 1000,
                   .spare = spare,
                   .nspare = 2};
  static const bool joins[10] = {[2] = true, [3] = true, [6] = true}; // [CLS] a ##a ##a b c ##c d e [SEP]
  uint32_t scratch[40];
  size_t most = 0, none = 0, words[10] = {0};
  for (uint32_t s = 0; s < 2000; s++) {
    int32_t ids[10], labels[10];
    DataDraws d = data_draws(1, SY_RANDOM_MASK, 0, s);
    for (int i = 0; i < 10; i++) ids[i] = i == 0 ? 101 : i == 9 ? 102 : 2000 + i;
    size_t n = mask_words(&how, &d, 10, ids, labels, joins, scratch);
    cr_assert(n >= 1 && n <= 3, "%zu of max(1, round(.3 x 10))", n);
    if (n > most) most = n;
    for (int i = 0; i < 10; i++) {
      cr_assert(labels[i] == -100 || labels[i] == 2000 + i);
      if (joins[i]) cr_assert_eq(labels[i] == -100, labels[i - 1] == -100, "a word is masked in parts");
      words[i] += labels[i] != -100;
    }
    cr_assert(labels[0] == -100 && labels[9] == -100);
    how.padded = 40;
    for (int i = 0; i < 10; i++) ids[i] = i == 0 ? 101 : i == 9 ? 102 : 2000 + i;
    how.share = 0.15;
    none += mask_words(&how, &d, 10, ids, labels, joins, scratch) == 0;
    how.padded = 0;
    how.share = 0.3;
  }
  cr_expect_eq(most, 3);
  for (int i = 1; i < 9; i++) cr_expect(words[i] > 100, "token %d: %zu", i, words[i]);
  cr_expect(none > 300 && none < 1200, "six draws among 35 places: %zu of 2000 have nothing", none);
}

Test(words, exactly_of_few) {
  const MaskWords how = {.rule = MASK_EXACTLY, .share = 0.7, .mask = 9, .lowest = 3, .vocab = 20};
  int32_t ids[3] = {0, 5, 2}, labels[3];
  DataDraws d = data_draws(1, SY_RANDOM_MASK, 0, 0);
  cr_expect_eq(mask_words(&how, &d, 1, ids, labels, NULL, NULL), 0);
  cr_expect_eq(mask_words(&how, &d, 3, ids, labels, NULL, NULL), 2);
  cr_expect(ids[0] == 0 && ids[1] == 9 && ids[2] == 9);
}

/* patches ---------------------------------------------------------------------------------------------------------- */
Test(blocks, counts) {
  for (uint32_t s = 0; s < 300; s++) {
    unsigned char mask[14 * 14];
    MaskBlocks how = {14, 14, 75, 16, 0, 0.3, s % 2 == 1};
    DataDraws d = data_draws(3, SY_RANDOM_MASK, 1, s);
    size_t n = mask_blocks(&how, &d, mask), seen = 0;
    for (size_t i = 0; i < sizeof mask; i++) seen += mask[i];
    cr_assert_eq(seen, n);
    cr_assert(how.exact ? n == 75 : n > 50 && n <= 75, "%zu", n);
  }
}

/* pictures --------------------------------------------------------------------------------------------------------- */
static HostImage gradient(int width, int height) { // red: x, green: y, blue: 7
  HostImage im;
  cr_assert(host_image_new(&im, width, height, 3, NULL));
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      uint8_t *p = im.pixel + 3 * (y * width + x);
      p[0] = (uint8_t)(10 * x), p[1] = (uint8_t)(10 * y), p[2] = 7;
    }
  return im;
}
static int at(const HostImage *im, int x, int y, int c) {
  return im->pixel[3 * (y * im->width + x) + c];
}
static HostImage made(AugmentOp op, double x, bool smooth) {
  HostImage im = gradient(8, 6);
  cr_assert(augment_operation(op, x, smooth, &im, NULL));
  cr_assert(im.width == 8 && im.height == 6);
  return im;
}

Test(pictures, operations) {
  HostImage im = made(AUGMENT_IDENTITY, 0, true);
  cr_expect(at(&im, 3, 2, 0) == 30 && at(&im, 3, 2, 1) == 20);
  host_image_free(&im);
  im = made(AUGMENT_AUTOCONTRAST, 0, true); // 0 .. 70 becomes 0 .. 255; one value stays
  cr_expect(at(&im, 7, 0, 0) == 255 && at(&im, 1, 0, 0) == 36 && at(&im, 0, 0, 2) == 7, "%d", at(&im, 1, 0, 0));
  host_image_free(&im);
  im = made(AUGMENT_BRIGHTNESS, 1.36, true);
  cr_expect(at(&im, 7, 0, 0) == 95 && at(&im, 0, 0, 2) == 9);
  host_image_free(&im);
  im = made(AUGMENT_TRANSLATE_X, 3, true);
  cr_expect(at(&im, 0, 1, 0) == 30 && at(&im, 4, 1, 0) == 70 && at(&im, 5, 1, 0) == 128, "grey comes in");
  host_image_free(&im);
  im = made(AUGMENT_TRANSLATE_Y, -2, false);
  cr_expect(at(&im, 0, 2, 1) == 0 && at(&im, 0, 5, 1) == 30 && at(&im, 0, 1, 2) == 0, "black comes in");
  host_image_free(&im);
  im = made(AUGMENT_SHEAR_X, 0.5, true); // as warpAffine: what was at x is at x + y / 2
  cr_expect(at(&im, 3, 4, 0) == 10 && at(&im, 3, 3, 0) == 15 && at(&im, 0, 4, 0) == 128);
  host_image_free(&im);
  im = made(AUGMENT_ROTATE, 180, false);
  cr_expect(at(&im, 0, 0, 0) == 70 && at(&im, 0, 0, 1) == 50 && at(&im, 7, 5, 0) == 0);
  host_image_free(&im);
  im = made(AUGMENT_ROTATE, 0, true);
  cr_expect(at(&im, 7, 5, 0) == 70 && at(&im, 7, 5, 1) == 50);
  host_image_free(&im);
  im = gradient(8, 8);
  cr_assert(augment_operation(AUGMENT_ROTATE, 90, false, &im, NULL)); // counterclockwise: the right side comes up
  cr_expect(at(&im, 0, 0, 0) == 70 && at(&im, 0, 0, 1) == 0, "%d %d", at(&im, 0, 0, 0), at(&im, 0, 0, 1));
  host_image_free(&im);
  im = made(AUGMENT_POSTERIZE, 1.2, false);
  cr_expect(at(&im, 7, 5, 0) == 0);
  host_image_free(&im);
  im = made(AUGMENT_SOLARIZE, 50, false);
  cr_expect(at(&im, 4, 0, 0) == 40 && at(&im, 5, 0, 0) == 205);
  host_image_free(&im);
  im = made(AUGMENT_SOLARIZE_ADD, 100, false);
  cr_expect(at(&im, 2, 0, 0) == 120 && at(&im, 3, 0, 0) == 125);
  host_image_free(&im);
  im = made(AUGMENT_INVERT, 0, false);
  cr_expect(at(&im, 2, 0, 0) == 235);
  host_image_free(&im);
  im = made(AUGMENT_COLOR, 0, true); // grey: (30 x 19595 + 20 x 38470 + 7 x 7471 + 32768) >> 16
  cr_expect(at(&im, 3, 2, 0) == 22 && at(&im, 3, 2, 1) == 22 && at(&im, 3, 2, 2) == 22);
  host_image_free(&im);
  im = made(AUGMENT_CONTRAST, 1, true);
  cr_expect(at(&im, 3, 2, 0) == 30);
  host_image_free(&im);
  im = made(AUGMENT_SHARPNESS, 0, true);
  cr_expect(at(&im, 3, 2, 0) == 30 && at(&im, 0, 0, 0) == 0, "a slope has nothing to sharpen");
  host_image_free(&im);
  im = gradient(8, 6);
  im.pixel[3 * (2 * 8 + 3)] = 160; // 130 more than its place
  cr_assert(augment_operation(AUGMENT_SHARPNESS, 2, true, &im, NULL));
  cr_expect(at(&im, 3, 2, 0) == 240 && at(&im, 2, 2, 0) == 10, "%d %d", at(&im, 3, 2, 0), at(&im, 2, 2, 0));
  host_image_free(&im);
  im = made(AUGMENT_EQUALIZE, 0, true); // fewer than 256 pixels: nothing to spread
  cr_expect(at(&im, 3, 2, 0) == 30);
  host_image_free(&im);
  im = gradient(26, 26);
  cr_assert(augment_operation(AUGMENT_EQUALIZE, 0, true, &im, NULL)); // 26 pixels a value: step 650 / 255 = 2
  cr_expect(at(&im, 0, 0, 0) == 0 && at(&im, 3, 0, 0) == 39 && at(&im, 25, 0, 0) == 255, "%d", at(&im, 3, 0, 0));
  host_image_free(&im);
}

Test(pictures, boxes) {
  const Augment a = {.area = {0.2, 1}, .ratio = {3.0 / 4, 4.0 / 3}};
  double area = 0;
  for (uint32_t s = 0; s < 4000; s++) {
    DataDraws d = data_draws(1, SY_RANDOM_AUGMENT, 0, s);
    AugmentBox b = augment_box(&a, &d, 100, 90);
    cr_assert(b.left >= 0 && b.top >= 0 && b.left + b.width <= 100 && b.top + b.height <= 90);
    double ratio = (double)b.width / b.height, share = b.width * b.height / 9000.0;
    cr_assert(ratio > 0.72 && ratio < 1.38 && share > 0.19, "%g %g", ratio, share);
    area += share;
  }
  cr_expect(area / 4000 > 0.52 && area / 4000 < 0.62, "%g", area / 4000); // what does not fit is drawn again
  DataDraws d = data_draws(1, SY_RANDOM_AUGMENT, 0, 0);
  AugmentBox b = augment_box(&(Augment){.area = {0.9, 1}, .ratio = {3.0 / 4, 4.0 / 3}}, &d, 1000, 10);
  cr_expect(b.height == 10 && b.width == 13 && b.left == 493 && b.top == 0, "the middle: %d x %d", b.width, b.height);
}

static void augmented(const Augment *a, const HostPreprocess *how, uint32_t s, bool flip, HostImage *out) {
  HostImage im = gradient(20, 16);
  HostError err;
  DataDraws d = data_draws(1, SY_RANDOM_AUGMENT, 0, s);
  cr_assert(augment_picture(a, how, &d, flip, &im, out, &err), "%s", err.text);
  host_image_free(&im);
}

Test(pictures, whole_way) {
  const HostPreprocess how = {.resize = HOST_RESIZE_SHORTER, .filter = HOST_BICUBIC, .size = 16, .crop = 12};
  HostImage plain, other, im = gradient(20, 16);
  cr_assert(host_preprocess(&im, &how, &plain, NULL));
  host_image_free(&im);
  augmented(&(Augment){0}, &how, 0, false, &other); // nothing to do: as in evaluation
  cr_expect(!memcmp(plain.pixel, other.pixel, 12 * 12 * 3));
  host_image_free(&other);
  augmented(&(Augment){0}, &how, 0, true, &other);
  for (int x = 0; x < 12; x++) cr_expect_eq(at(&other, x, 5, 0), at(&plain, 11 - x, 5, 0));
  host_image_free(&other);
  for (int policy = 0; policy < 3; policy++)
    for (uint32_t s = 0; s < 200; s++) {
      const Augment a = {.area = {policy == 1 ? 0 : 0.2, policy == 1 ? 0 : 1},
                         .ratio = {0.75, 4.0 / 3},
                         .jitter = {0.4, 0.4, 0.4},
                         .operations = 2,
                         .level = policy == 1 ? 9 : 7,
                         .policy = (AugmentPolicy)policy};
      HostImage again;
      augmented(&a, &how, s, s % 2, &other);
      augmented(&a, &how, s, s % 2, &again);
      cr_assert(other.width == 12 && other.height == 12 && !memcmp(other.pixel, again.pixel, 12 * 12 * 3));
      host_image_free(&other);
      host_image_free(&again);
    }
  host_image_free(&plain);
}

Test(pictures, erased) {
  float pixel[3 * 20 * 24];
  for (size_t i = 0; i < sizeof pixel / sizeof *pixel; i++) pixel[i] = 100;
  DataDraws d = data_draws(1, SY_RANDOM_AUGMENT, 0, 3);
  augment_erase(&d, pixel, 18, 20, 24, 20 * 24);
  size_t gone = 0, outside = 0;
  for (size_t i = 0; i < sizeof pixel / sizeof *pixel; i++) {
    bool inside = i % 24 < 20 && i / 24 % 20 < 18;
    gone += pixel[i] != 100;
    outside += !inside && pixel[i] != 100;
  }
  cr_expect(gone > 3 * 5 && gone < 3 * 130 && gone % 3 == 0 && !outside, "%zu", gone);
}

Test(pictures, sides_of_words) {
  Arena a = {0};
  cr_expect_str_eq(augment_exchange(&a, "Left of the RIGHT bird, left-handed, right"),
                   "Right of the LEFT bird, right-handed, left");
  static const char nothing[] = "he leftover bright, copyright, lefty";
  cr_expect_eq(augment_exchange(&a, nothing), nothing);
  cr_expect(!augment_has_sides(nothing) && augment_has_sides("is it left?"));
  arena_free(&a);
}

// Lanczos against values of its definition: two pixels of four, weights normalised and rounded.
Test(pictures, lanczos) {
  HostImage im = gradient(16, 16), out;
  cr_assert(host_image_resize(&im, 8, 16, HOST_LANCZOS, &out, NULL));
  for (int x = 3; x < 5; x++) { // away from the borders a slope stays a slope: 10 (2x + .5)
    int v = at(&out, x, 5, 0);
    cr_expect(abs(v - (20 * x + 5)) <= 1, "%d: %d", x, v);
  }
  host_image_free(&out);
  host_image_free(&im);
}
