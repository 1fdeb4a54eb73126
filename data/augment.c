// augment.c - what is drawn for a picture, in which order it is done, and left and right in texts.
#include "augment.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* what is drawn ---------------------------------------------------------------------------------------------------- */
AugmentBox augment_box(const Augment *a, DataDraws *d, int width, int height) {
  double area = (double)width * height;
  for (int attempt = 0; attempt < 10; attempt++) {
    double wanted = area * draw_uniform(d, a->area[0], a->area[1]);
    double ratio = exp(draw_uniform(d, log(a->ratio[0]), log(a->ratio[1])));
    double w = nearbyint(sqrt(wanted * ratio)), h = nearbyint(sqrt(wanted / ratio));
    if (!(w >= 1 && w <= width && h >= 1 && h <= height)) continue;
    AugmentBox b = {.width = (int)w, .height = (int)h};
    b.top = (int)draw_between(d, 0, height - b.height);
    b.left = (int)draw_between(d, 0, width - b.width);
    return b;
  }
  // the middle, as much of it as the ratio allows
  AugmentBox b = {.width = width, .height = height};
  double ratio = (double)width / height;
  if (ratio < a->ratio[0])
    b.height = (int)nearbyint(width / a->ratio[0]);
  else if (ratio > a->ratio[1])
    b.width = (int)nearbyint(height * a->ratio[1]);
  b.top = (height - b.height) / 2;
  b.left = (width - b.width) / 2;
  return b;
}

// How a level of RandAugment, 0 to 1, becomes the number of an operation.
typedef enum Sign {
  AS_IS,   // lo + level (hi - lo)
  EITHER,  // that, or the negative of it
  AROUND,  // 1 plus or minus that
  OF_WIDTH // plus or minus that, times the side of the picture
} Sign;
typedef struct Range {
  AugmentOp op;
  double lo, hi;
  Sign sign;
} Range;
static const Range albef[] = {{AUGMENT_IDENTITY, 0, 0, AS_IS},      {AUGMENT_AUTOCONTRAST, 0, 0, AS_IS},
                              {AUGMENT_EQUALIZE, 0, 0, AS_IS},      {AUGMENT_BRIGHTNESS, 0.1, 1.9, AS_IS},
                              {AUGMENT_SHARPNESS, 0.1, 1.9, AS_IS}, {AUGMENT_SHEAR_X, 0, 0.3, EITHER},
                              {AUGMENT_SHEAR_Y, 0, 0.3, EITHER},    {AUGMENT_TRANSLATE_X, 0, 10, EITHER},
                              {AUGMENT_TRANSLATE_Y, 0, 10, EITHER}, {AUGMENT_ROTATE, 0, 30, EITHER}};
static const Range vilt[] = {
    {AUGMENT_AUTOCONTRAST, 0, 1, AS_IS},   {AUGMENT_EQUALIZE, 0, 1, AS_IS},      {AUGMENT_ROTATE, 0, 30, EITHER},
    {AUGMENT_POSTERIZE, 0, 4, AS_IS},      {AUGMENT_SOLARIZE, 0, 256, AS_IS},    {AUGMENT_SOLARIZE_ADD, 0, 110, AS_IS},
    {AUGMENT_COLOR, 0.1, 1.9, AS_IS},      {AUGMENT_CONTRAST, 0.1, 1.9, AS_IS},  {AUGMENT_BRIGHTNESS, 0.1, 1.9, AS_IS},
    {AUGMENT_SHARPNESS, 0.1, 1.9, AS_IS},  {AUGMENT_SHEAR_X, 0, 0.3, EITHER},    {AUGMENT_SHEAR_Y, 0, 0.3, EITHER},
    {AUGMENT_TRANSLATE_X, 0, 100, EITHER}, {AUGMENT_TRANSLATE_Y, 0, 100, EITHER}};
static const Range timm[] = { // the list in which a higher level always changes more
    {AUGMENT_AUTOCONTRAST, 0, 0, AS_IS},     {AUGMENT_EQUALIZE, 0, 0, AS_IS},
    {AUGMENT_INVERT, 0, 0, AS_IS},           {AUGMENT_ROTATE, 0, 30, EITHER},
    {AUGMENT_POSTERIZE, 4, 0, AS_IS},        {AUGMENT_SOLARIZE, 256, 0, AS_IS},
    {AUGMENT_SOLARIZE_ADD, 0, 110, AS_IS},   {AUGMENT_COLOR, 0, 0.9, AROUND},
    {AUGMENT_CONTRAST, 0, 0.9, AROUND},      {AUGMENT_BRIGHTNESS, 0, 0.9, AROUND},
    {AUGMENT_SHARPNESS, 0, 0.9, AROUND},     {AUGMENT_SHEAR_X, 0, 0.3, EITHER},
    {AUGMENT_SHEAR_Y, 0, 0.3, EITHER},       {AUGMENT_TRANSLATE_X, 0, 0.45, OF_WIDTH},
    {AUGMENT_TRANSLATE_Y, 0, 0.45, OF_WIDTH}};
static const struct {
  const Range *range;
  size_t n;
  double levels, deviation, applied; // the highest level; how it varies; how often an operation is applied
  bool first, smooth;                // in front of the crop; how turned pictures are sampled
} policies[] = {[AUGMENT_ALBEF] = {albef, sizeof albef / sizeof *albef, 10, 0, 0.5, false, true},
                [AUGMENT_VILT] = {vilt, sizeof vilt / sizeof *vilt, 30, 0, 1, true, false},
                [AUGMENT_TIMM] = {timm, sizeof timm / sizeof *timm, 10, 0.5, 0.5, false, true}};

enum { MOST_OPERATIONS = 16 };

static double number_of(const Range *r, double level, DataDraws *d, const HostImage *rgb) {
  double x = r->lo + level * (r->hi - r->lo);
  if (r->sign == AS_IS) return x;
  if (draw_unit(d) > 0.5) x = -x;
  if (r->sign == AROUND) return 1 + x;
  return r->sign == EITHER ? x : x * (r->op == AUGMENT_TRANSLATE_X ? rgb->width : rgb->height);
}

static bool rand_augment(const Augment *a, DataDraws *d, HostImage *rgb, HostError *err) {
  size_t chosen[MOST_OPERATIONS];
  int n = a->operations < MOST_OPERATIONS ? a->operations : MOST_OPERATIONS;
  for (int i = 0; i < n; i++) chosen[i] = (size_t)draw_between(d, 0, (int64_t)policies[a->policy].n - 1);
  for (int i = 0; i < n; i++) {
    const Range *r = &policies[a->policy].range[chosen[i]];
    if (policies[a->policy].applied < 1 && draw_unit(d) > policies[a->policy].applied) continue;
    double level = a->level, deviation = policies[a->policy].deviation;
    if (deviation > 0) level = draw_normal(d, level, deviation);
    level = level < 0 ? 0 : level / policies[a->policy].levels;
    double x = number_of(r, deviation > 0 && level > 1 ? 1 : level, d, rgb);
    if (!augment_operation(r->op, x, policies[a->policy].smooth, rgb, err)) return false;
  }
  return true;
}

static bool jitter(const Augment *a, DataDraws *d, HostImage *rgb, HostError *err) {
  static const AugmentOp op[3] = {AUGMENT_BRIGHTNESS, AUGMENT_CONTRAST, AUGMENT_COLOR};
  uint32_t order[3] = {0, 1, 2};
  double x[3];
  if (!(a->jitter[0] > 0 || a->jitter[1] > 0 || a->jitter[2] > 0)) return true;
  for (int i = 0; i < 3; i++) x[i] = draw_uniform(d, a->jitter[i] < 1 ? 1 - a->jitter[i] : 0, 1 + a->jitter[i]);
  draw_shuffle(d, order, 3);
  for (int i = 0; i < 3; i++)
    if (a->jitter[order[i]] > 0 && !augment_operation(op[order[i]], x[order[i]], true, rgb, err)) return false;
  return true;
}

/* what is done ----------------------------------------------------------------------------------------------------- */
static void flip_sides(HostImage *im) {
  for (size_t y = 0; y < (size_t)im->height; y++) {
    uint8_t *a = im->pixel + 3 * y * (size_t)im->width, *b = a + 3 * ((size_t)im->width - 1);
    for (; a < b; a += 3, b -= 3)
      for (int c = 0; c < 3; c++) {
        uint8_t t = a[c];
        a[c] = b[c];
        b[c] = t;
      }
  }
}

static bool cut(const HostImage *in, AugmentBox b, HostImage *out, HostError *err) {
  if (!host_image_new(out, b.width, b.height, 3, err)) return false;
  size_t row = 3 * (size_t)b.width;
  for (size_t y = 0; y < (size_t)b.height; y++)
    memcpy(out->pixel + y * row, in->pixel + 3 * ((y + (size_t)b.top) * (size_t)in->width + (size_t)b.left), row);
  return true;
}

static bool resize_crop(const Augment *a, const HostPreprocess *how, DataDraws *d, const HostImage *in, HostImage *rgb,
                        HostError *err) {
  HostImage part;
  int side = how->crop > 0 ? how->crop : how->size;
  if (!cut(in, augment_box(a, d, in->width, in->height), &part, err)) return false;
  bool ok = host_image_resize(&part, side, side, how->filter, rgb, err);
  host_image_free(&part);
  return ok;
}

bool augment_picture(const Augment *a, const HostPreprocess *how, DataDraws *d, bool flip, const HostImage *in,
                     HostImage *rgb, HostError *err) {
  HostImage all;
  bool early = policies[a->policy].first, crop = a->area[1] > 0;
  *rgb = (HostImage){0};
  bool bare = !crop && !(early && a->operations) && a->jitter[0] <= 0 && a->jitter[1] <= 0 && a->jitter[2] <= 0;
  if (bare) { // nothing happens in front of the preparation, which has a mind of its own about channels
    if (!host_preprocess(in, how, rgb, err)) return false;
  } else {
    if (!host_image_to_rgb(in, &all, err)) return false;
    bool ok = (!early || rand_augment(a, d, &all, err)) && jitter(a, d, &all, err) &&
              (crop ? resize_crop(a, how, d, &all, rgb, err) : host_preprocess(&all, how, rgb, err));
    host_image_free(&all);
    if (!ok) return false;
  }
  if (flip) flip_sides(rgb);
  if (early || rand_augment(a, d, rgb, err)) return true;
  host_image_free(rgb);
  return false;
}

void augment_erase(DataDraws *d, float *pixel, size_t height, size_t width, size_t stride, size_t plane) {
  for (int attempt = 0; attempt < 10; attempt++) {
    double area = draw_uniform(d, 0.02, 1.0 / 3) * (double)(height * width);
    double ratio = exp(draw_uniform(d, log(0.3), log(1 / 0.3)));
    double high = nearbyint(sqrt(area * ratio)), wide = nearbyint(sqrt(area / ratio));
    if (!(high >= 1 && wide >= 1 && high < (double)height && wide < (double)width)) continue;
    size_t h = (size_t)high, w = (size_t)wide;
    size_t top = (size_t)draw_between(d, 0, (int64_t)(height - h)),
           left = (size_t)draw_between(d, 0, (int64_t)(width - w));
    for (size_t c = 0; c < 3; c++)
      for (size_t y = top; y < top + h; y++)
        for (size_t x = left; x < left + w; x++) pixel[c * plane + y * stride + x] = (float)draw_normal(d, 0, 1);
    return;
  }
}

/* words ------------------------------------------------------------------------------------------------------------ */
static const char *const side[2][3] = {{"left", "Left", "LEFT"}, {"right", "Right", "RIGHT"}};

static bool in_word(unsigned char c) {
  return isalnum(c) || c == '_' || c >= 0x80;
}

// The word at s, if it is one of the sides: which, in which letters, and its bytes. `before`: the byte in front of s.
static size_t side_at(const char *s, unsigned char before, int *which, int *letters) {
  if (in_word(before)) return 0;
  for (*which = 0; *which < 2; ++*which)
    for (*letters = 0; *letters < 3; ++*letters) {
      size_t n = strlen(side[*which][*letters]);
      if (!strncmp(s, side[*which][*letters], n) && !in_word((unsigned char)s[n])) return n;
    }
  return 0;
}

bool augment_has_sides(const char *text) {
  int which, letters;
  for (const char *s = text; *s; s++)
    if (side_at(s, s > text ? (unsigned char)s[-1] : 0, &which, &letters)) return true;
  return false;
}

const char *augment_exchange(Arena *a, const char *text) {
  if (!augment_has_sides(text)) return text;
  char *out = arena_alloc(a, 2 * strlen(text) + 1), *to = out;
  for (const char *s = text; *s;) {
    int which, letters;
    size_t n = side_at(s, s > text ? (unsigned char)s[-1] : 0, &which, &letters);
    if (!n) {
      *to++ = *s++;
      continue;
    }
    const char *other = side[!which][letters];
    memcpy(to, other, strlen(other));
    to += strlen(other);
    s += n;
  }
  return out;
}
