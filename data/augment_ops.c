// augment_ops.c - the operations of RandAugment and the factors of ColorJitter on u8 RGB.
//
// Results are those of the libraries that the authors used: tables and blends of Pillow (the same in the OpenCV
// versions of ALBEF), where products are truncated; turned and sheared pictures by OpenCV's bilinear sampling in 1/32
// of a pixel, or by Pillow's nearest pixel. Sums of sharpened pixels are clipped, where ALBEF's code lets them run
// over.
#include "augment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t pixels_of(const HostImage *im) {
  return (size_t)im->width * (size_t)im->height;
}

// Pillow's blend of one channel: from a to b and beyond, truncated and clipped.
static uint8_t blend(int a, int b, float x) {
  float v = (float)a + x * (float)(b - a);
  return (uint8_t)(v <= 0 ? 0 : v >= 255 ? 255 : (int)v);
}

static int grey_of(const uint8_t *p) { // Pillow's L
  return (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16;
}

typedef bool Operation(HostImage *im, double x, bool smooth, HostError *err);

static bool identity(HostImage *im, double x, bool smooth, HostError *err) {
  (void)im, (void)x, (void)smooth, (void)err;
  return true;
}

/* tables ----------------------------------------------------------------------------------------------------------- */
static void apply(HostImage *im, size_t channel, const uint8_t table[256]) {
  size_t n = pixels_of(im);
  for (size_t i = channel; i < 3 * n; i += 3) im->pixel[i] = table[im->pixel[i]];
}
static void histogram(const HostImage *im, size_t channel, size_t count[256]) {
  size_t n = pixels_of(im);
  memset(count, 0, 256 * sizeof *count);
  for (size_t i = channel; i < 3 * n; i += 3) count[im->pixel[i]]++;
}

static bool autocontrast(HostImage *im, double x, bool smooth, HostError *err) {
  (void)x, (void)smooth, (void)err;
  for (size_t c = 0; c < 3; c++) {
    size_t count[256];
    uint8_t table[256];
    int lo = 0, hi = 255;
    histogram(im, c, count);
    while (lo < 255 && !count[lo]) lo++;
    while (hi > 0 && !count[hi]) hi--;
    if (hi <= lo) continue;
    double scale = 255.0 / (hi - lo), offset = -lo * scale;
    for (int i = 0; i < 256; i++) {
      double v = i * scale + offset;
      table[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
    apply(im, c, table);
  }
  return true;
}

static bool equalize(HostImage *im, double x, bool smooth, HostError *err) {
  (void)x, (void)smooth, (void)err;
  for (size_t c = 0; c < 3; c++) {
    size_t count[256], last = 255;
    uint8_t table[256];
    histogram(im, c, count);
    while (last > 0 && !count[last]) last--;
    size_t step = (pixels_of(im) - count[last]) / 255, sum = step / 2;
    if (!step) continue;
    for (int i = 0; i < 256; i++) {
      size_t v = sum / step;
      table[i] = (uint8_t)(v > 255 ? 255 : v);
      sum += count[i];
    }
    apply(im, c, table);
  }
  return true;
}

static void apply_all(HostImage *im, const uint8_t table[256]) {
  for (size_t c = 0; c < 3; c++) apply(im, c, table);
}
static bool brightness(HostImage *im, double x, bool smooth, HostError *err) {
  (void)smooth, (void)err;
  uint8_t table[256];
  for (int i = 0; i < 256; i++) table[i] = blend(0, i, (float)x);
  apply_all(im, table);
  return true;
}
static bool posterize(HostImage *im, double x, bool smooth, HostError *err) {
  (void)smooth, (void)err;
  int bits = x < 1 ? 1 : x > 8 ? 8 : (int)x;
  uint8_t table[256];
  for (int i = 0; i < 256; i++) table[i] = (uint8_t)(i & (255 << (8 - bits)));
  apply_all(im, table);
  return true;
}
static void solarize_from(HostImage *im, double add, double threshold) {
  uint8_t table[256];
  for (int i = 0; i < 256; i++) {
    double more = i + add;
    int v = (int)(more > 255 ? 255 : more);
    table[i] = (uint8_t)(v < threshold ? v : 255 - v);
  }
  apply_all(im, table);
}
static bool solarize(HostImage *im, double x, bool smooth, HostError *err) {
  (void)smooth, (void)err;
  solarize_from(im, 0, x);
  return true;
}
static bool solarize_add(HostImage *im, double x, bool smooth, HostError *err) {
  (void)smooth, (void)err;
  solarize_from(im, x, 128);
  return true;
}

static bool invert(HostImage *im, double x, bool smooth, HostError *err) {
  (void)x, (void)smooth, (void)err;
  solarize_from(im, 0, 0);
  return true;
}

static bool contrast(HostImage *im, double x, bool smooth, HostError *err) {
  (void)smooth, (void)err;
  size_t n = pixels_of(im);
  uint64_t sum = 0;
  uint8_t table[256];
  for (size_t i = 0; i < n; i++) sum += (uint64_t)grey_of(im->pixel + 3 * i);
  int mean = (int)((double)sum / (double)n + 0.5);
  for (int i = 0; i < 256; i++) table[i] = blend(mean, i, (float)x);
  apply_all(im, table);
  return true;
}

static bool color(HostImage *im, double x, bool smooth, HostError *err) {
  (void)smooth, (void)err;
  size_t n = pixels_of(im);
  for (size_t i = 0; i < n; i++) {
    uint8_t *p = im->pixel + 3 * i;
    int grey = grey_of(p);
    for (int c = 0; c < 3; c++) p[c] = blend(grey, p[c], (float)x);
  }
  return true;
}

/* neighbours ------------------------------------------------------------------------------------------------------- */
static bool new_like(const HostImage *im, HostImage *out, HostError *err) {
  return host_image_new(out, im->width, im->height, 3, err);
}
static void take_over(HostImage *im, HostImage *out) {
  host_image_free(im);
  *im = *out;
}

// Away from the mean of 3 x 3 pixels in which the middle counts five times; the border stays.
static bool sharpness(HostImage *im, double x, bool smooth, HostError *err) {
  HostImage out;
  (void)smooth;
  if (!new_like(im, &out, err)) return false;
  size_t row = 3 * (size_t)im->width;
  memcpy(out.pixel, im->pixel, row * (size_t)im->height);
  for (size_t y = 1; y + 1 < (size_t)im->height; y++)
    for (size_t k = 3; k + 3 < row; k++) {
      const uint8_t *p = im->pixel + y * row + k, *above = p - row, *below = p + row;
      int sum = above[-3] + above[0] + above[3] + p[-3] + 5 * p[0] + p[3] + below[-3] + below[0] + below[3];
      out.pixel[y * row + k] = blend((2 * sum + 13) / 26, p[0], (float)x); // sum / 13, rounded; there are no halves
    }
  take_over(im, &out);
  return true;
}

/* turned and sheared ----------------------------------------------------------------------------------------------- */
typedef struct Affine { // place in the source of a place in the result: x' = a x + b y + c
  double a, b, c, d, e, f;
} Affine;

static long fixed(double v) { // rounded, in 1/1024
  return lrint(v * 1024);
}

static int at_or(const HostImage *im, long x, long y, int c, int outside) {
  return x < 0 || y < 0 || x >= im->width || y >= im->height
             ? outside
             : im->pixel[3 * ((size_t)y * (size_t)im->width + (size_t)x) + (size_t)c];
}

// OpenCV's warpAffine: places in 1/32 of a pixel, from sums in 1/1024.
static void sample_smooth(const HostImage *im, const Affine *m, int outside, HostImage *out) {
  uint8_t *to = out->pixel;
  for (long y = 0; y < im->height; y++) {
    long from_x = fixed(m->b * (double)y + m->c) + 16, from_y = fixed(m->e * (double)y + m->f) + 16;
    for (long x = 0; x < im->width; x++) {
      long sx = (from_x + fixed(m->a * (double)x)) >> 5, sy = (from_y + fixed(m->d * (double)x)) >> 5;
      long left = sx >> 5, top = sy >> 5, u = sx & 31, v = sy & 31;
      for (int c = 0; c < 3; c++) {
        long sum = (32 - v) * ((32 - u) * at_or(im, left, top, c, outside) + u * at_or(im, left + 1, top, c, outside)) +
                   v * ((32 - u) * at_or(im, left, top + 1, c, outside) + u * at_or(im, left + 1, top + 1, c, outside));
        *to++ = (uint8_t)((sum + 512) >> 10);
      }
    }
  }
}

// Pillow's transform: the pixel that holds the middle of the result's.
static void sample_nearest(const HostImage *im, const Affine *m, int outside, HostImage *out) {
  uint8_t *to = out->pixel;
  for (int y = 0; y < im->height; y++)
    for (int x = 0; x < im->width; x++) {
      double px = x + 0.5, py = y + 0.5;
      double sx = floor(m->a * px + m->b * py + m->c), sy = floor(m->d * px + m->e * py + m->f);
      bool inside = sx >= 0 && sy >= 0 && sx < im->width && sy < im->height;
      for (int c = 0; c < 3; c++) *to++ = (uint8_t)(inside ? at_or(im, (long)sx, (long)sy, c, outside) : outside);
    }
}

static bool transform(HostImage *im, const Affine *m, bool smooth, HostError *err) {
  HostImage out;
  if (!new_like(im, &out, err)) return false;
  if (smooth)
    sample_smooth(im, m, 128, &out);
  else
    sample_nearest(im, m, 0, &out);
  take_over(im, &out);
  return true;
}

// Matrices of OpenCV lead from the source to the result, those of Pillow the other way: the signs of shears differ,
// which does not matter where the sign is drawn.
static bool shear_x(HostImage *im, double x, bool smooth, HostError *err) {
  return transform(im, &(Affine){1, smooth ? -x : x, 0, 0, 1, 0}, smooth, err);
}
static bool shear_y(HostImage *im, double x, bool smooth, HostError *err) {
  return transform(im, &(Affine){1, 0, 0, smooth ? -x : x, 1, 0}, smooth, err);
}
static bool translate_x(HostImage *im, double x, bool smooth, HostError *err) {
  return transform(im, &(Affine){1, 0, x, 0, 1, 0}, smooth, err);
}
static bool translate_y(HostImage *im, double x, bool smooth, HostError *err) {
  return transform(im, &(Affine){1, 0, 0, 0, 1, x}, smooth, err);
}
static bool rotate(HostImage *im, double x, bool smooth, HostError *err) {
  double angle = x * (3.14159265358979323846 / 180), c = cos(angle), s = sin(angle);
  double cx = im->width / 2.0, cy = im->height / 2.0;
  return transform(im, &(Affine){c, -s, cx - c * cx + s * cy, s, c, cy - s * cx - c * cy}, smooth, err);
}

bool augment_operation(AugmentOp op, double x, bool smooth, HostImage *rgb, HostError *err) {
  static Operation *const run[] = {
      [AUGMENT_IDENTITY] = identity,     [AUGMENT_AUTOCONTRAST] = autocontrast, [AUGMENT_EQUALIZE] = equalize,
      [AUGMENT_BRIGHTNESS] = brightness, [AUGMENT_SHARPNESS] = sharpness,       [AUGMENT_SHEAR_X] = shear_x,
      [AUGMENT_SHEAR_Y] = shear_y,       [AUGMENT_TRANSLATE_X] = translate_x,   [AUGMENT_TRANSLATE_Y] = translate_y,
      [AUGMENT_ROTATE] = rotate,         [AUGMENT_CONTRAST] = contrast,         [AUGMENT_COLOR] = color,
      [AUGMENT_POSTERIZE] = posterize,   [AUGMENT_SOLARIZE] = solarize,         [AUGMENT_SOLARIZE_ADD] = solarize_add,
      [AUGMENT_INVERT] = invert};
  return run[op](rgb, x, smooth, err);
}
