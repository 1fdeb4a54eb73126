// resize.c - resampling equal to Pillow's, and the preprocessing built on it; see image.h.
//
// Output pixel i of an axis covers the input around c = (i + 0.5) * scale, scale = in / out. Its weights
// are the filter stretched by max(scale, 1) (so shrinking averages) over every input pixel whose centre
// lies within the stretched support, normalised to sum 1 and rounded to WEIGHT_BITS fractional bits.
// Each pass gives u8 again: (sum + half) >> WEIGHT_BITS, clipped. All weights are computed in double in
// a fixed order, because the bits of the result depend on it. 16-bit grey is summed in double with the unrounded
// weights, and each pass rounds to integers (half away from zero) without clipping.
#include "image_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__) // gcc keeps to it with -std=c11; clang would fuse where the machine can
#pragma STDC FP_CONTRACT OFF
#endif

enum { WEIGHT_BITS = 32 - 8 - 2 }; // u8 times a weight of at most 2, signed, in 32 bits

// Weights of one axis: output i = sum over k < count[i] of weight[i * most + k] * input[first[i] + k].
typedef struct {
  int most;           // weights kept for each output
  int *first, *count; // [out]
  int32_t *weight;    // [out, most]
  double *real;       // the same, not rounded
} Axis;

static double bilinear(double x) {
  x = fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// Keys' cubic convolution with a = -0.5.
static double bicubic(double x) {
  const double a = -0.5;
  x = fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

static double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= 3.14159265358979323846;
  return sin(x) / x;
}

// Of three lobes.
static double lanczos(double x) {
  return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static const struct {
  double support; // to either side
  double (*at)(double x);
} filters[] = {[HOST_BILINEAR] = {1.0, bilinear}, [HOST_BICUBIC] = {2.0, bicubic}, [HOST_LANCZOS] = {3.0, lanczos}};

static void axis_free(Axis *a) {
  free(a->first);
  free(a->count);
  free(a->weight);
  free(a->real);
}

static bool axis_make(Axis *axis, int in, int out, HostFilter filter, HostError *err) {
  double scale = (double)in / out, stretch = scale < 1.0 ? 1.0 : scale;
  double support = filters[filter].support * stretch, squeeze = 1.0 / stretch;
  int most = (int)ceil(support) * 2 + 1;
  size_t n = (size_t)out;
  *axis = (Axis){.most = most,
                 .first = calloc(n, sizeof(int)),
                 .count = calloc(n, sizeof(int)),
                 .weight = calloc(n * (size_t)most, sizeof(int32_t)),
                 .real = calloc(n * (size_t)most, sizeof(double))};
  bool ok = axis->first && axis->count && axis->weight && axis->real;
  for (int i = 0; ok && i < out; i++) {
    double centre = (i + 0.5) * scale, sum = 0.0, *real = axis->real + (size_t)i * (size_t)most;
    int lo = (int)(centre - support + 0.5), hi = (int)(centre + support + 0.5);
    if (lo < 0) lo = 0;
    if (hi > in) hi = in;
    for (int k = 0; k < hi - lo; k++) {
      double x = (k + lo - centre + 0.5) * squeeze;
      real[k] = filters[filter].at(x);
      sum += real[k];
    }
    for (int k = 0; k < hi - lo; k++) {
      if (sum != 0.0) real[k] /= sum;
      double w = real[k] * (1 << WEIGHT_BITS);
      axis->weight[(size_t)i * (size_t)most + (size_t)k] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
    }
    axis->first[i] = lo;
    axis->count[i] = hi - lo;
  }
  if (ok) return true;
  axis_free(axis);
  return host_no_memory(err);
}

static uint8_t to_u8(int32_t sum) {
  int32_t v = sum >> WEIGHT_BITS; // arithmetic shift of a negative sum, as gcc and clang define it
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

// in u8[h, w, c] -> out u8[h, out->width, c]
static void pass_rows(const HostImage *in, const Axis *axis, HostImage *out) {
  size_t c = (size_t)in->channels;
  for (int y = 0; y < out->height; y++) {
    const uint8_t *src = in->pixel + (size_t)y * (size_t)in->width * c;
    uint8_t *dst = out->pixel + (size_t)y * (size_t)out->width * c;
    for (int x = 0; x < out->width; x++) {
      const int32_t *w = axis->weight + (size_t)x * (size_t)axis->most;
      const uint8_t *from = src + (size_t)axis->first[x] * c;
      for (size_t ch = 0; ch < c; ch++) {
        int32_t sum = 1 << (WEIGHT_BITS - 1);
        for (int k = 0; k < axis->count[x]; k++) sum += from[(size_t)k * c + ch] * w[k];
        *dst++ = to_u8(sum);
      }
    }
  }
}

// in u8[h, w, c] -> out u8[out->height, w, c]; whole rows at a time
static bool pass_columns(const HostImage *in, const Axis *axis, HostImage *out, HostError *err) {
  size_t row = (size_t)in->width * (size_t)in->channels;
  int32_t *sum = malloc(row * sizeof *sum);
  if (!sum) return host_no_memory(err);
  for (int y = 0; y < out->height; y++) {
    for (size_t i = 0; i < row; i++) sum[i] = 1 << (WEIGHT_BITS - 1);
    for (int k = 0; k < axis->count[y]; k++) {
      int32_t w = axis->weight[(size_t)y * (size_t)axis->most + (size_t)k];
      const uint8_t *src = in->pixel + (size_t)(axis->first[y] + k) * row;
      for (size_t i = 0; i < row; i++) sum[i] += src[i] * w;
    }
    uint8_t *dst = out->pixel + (size_t)y * row;
    for (size_t i = 0; i < row; i++) dst[i] = to_u8(sum[i]);
  }
  free(sum);
  return true;
}

// The passes over 16-bit grey.
static int32_t deep_at(const HostImage *im, int x, int y) {
  int32_t v;
  memcpy(&v, host_image_row(im, y) + 4 * (size_t)x, sizeof v);
  return v;
}

static void deep_put(HostImage *im, int x, int y, double sum) {
  int32_t v = (int32_t)(sum >= 0.0 ? floor(sum + 0.5) : -floor(fabs(sum) + 0.5));
  memcpy(host_image_row(im, y) + 4 * (size_t)x, &v, sizeof v);
}

static void deep_rows(const HostImage *in, const Axis *axis, HostImage *out) {
  for (int y = 0; y < out->height; y++)
    for (int x = 0; x < out->width; x++) {
      const double *w = axis->real + (size_t)x * (size_t)axis->most;
      double sum = 0.0;
      for (int k = 0; k < axis->count[x]; k++) sum += deep_at(in, axis->first[x] + k, y) * w[k];
      deep_put(out, x, y, sum);
    }
}

static void deep_columns(const HostImage *in, const Axis *axis, HostImage *out) {
  for (int y = 0; y < out->height; y++) {
    const double *w = axis->real + (size_t)y * (size_t)axis->most;
    for (int x = 0; x < out->width; x++) {
      double sum = 0.0;
      for (int k = 0; k < axis->count[y]; k++) sum += deep_at(in, x, axis->first[y] + k) * w[k];
      deep_put(out, x, y, sum);
    }
  }
}

static void rows(const HostImage *in, const Axis *axis, HostImage *out) {
  (in->kind == HOST_DEEP ? deep_rows : pass_rows)(in, axis, out);
  out->kind = in->kind;
}

static bool columns(const HostImage *in, const Axis *axis, HostImage *out, HostError *err) {
  out->kind = in->kind;
  if (in->kind != HOST_DEEP) return pass_columns(in, axis, out, err);
  deep_columns(in, axis, out);
  return true;
}

// The two passes; an axis whose size does not change is not touched.
static bool resample(const HostImage *in, int width, int height, HostFilter filter, HostImage *out, HostError *err) {
  HostImage wide = {0};
  const HostImage *from = in;
  *out = (HostImage){0};
  Axis axis;
  if (width != in->width) {
    if (!host_image_new(&wide, width, in->height, in->channels, err)) return false;
    if (!axis_make(&axis, in->width, width, filter, err)) {
      host_image_free(&wide);
      return false;
    }
    rows(in, &axis, &wide);
    axis_free(&axis);
    from = &wide;
  }
  if (height == in->height) { // only reached with a changed width
    *out = wide;
    return true;
  }
  bool ok = host_image_new(out, width, height, in->channels, err) && axis_make(&axis, in->height, height, filter, err);
  if (ok) {
    ok = columns(from, &axis, out, err);
    axis_free(&axis);
  }
  host_image_free(&wide);
  if (!ok) host_image_free(out);
  return ok;
}

// Source index of each output of an axis. The position is a running sum, not a product, because its
// rounding decides ties.
static int *nearest_map(int in, int out) {
  int *map = malloc((size_t)out * sizeof *map);
  double step = (double)in / out, at = step * 0.5;
  for (int i = 0; map && i < out; i++, at += step) map[i] = (int)at < in ? (int)at : in - 1;
  return map;
}

static bool nearest(const HostImage *in, int width, int height, HostImage *out, HostError *err) {
  if (!host_image_new(out, width, height, in->channels, err)) return false;
  out->kind = in->kind;
  int *xs = nearest_map(in->width, width), *ys = nearest_map(in->height, height);
  size_t c = (size_t)in->channels;
  bool ok = (xs && ys) || host_no_memory(err);
  for (int y = 0; ok && y < height; y++)
    for (int x = 0; x < width; x++)
      memcpy(out->pixel + ((size_t)y * (size_t)width + (size_t)x) * c,
             in->pixel + ((size_t)ys[y] * (size_t)in->width + (size_t)xs[x]) * c, c);
  free(xs);
  free(ys);
  if (!ok) host_image_free(out);
  return ok;
}

static bool copy(const HostImage *in, HostImage *out, HostError *err) {
  if (!host_image_new(out, in->width, in->height, in->channels, err)) return false;
  memcpy(out->pixel, in->pixel, (size_t)in->width * (size_t)in->height * (size_t)in->channels);
  out->kind = in->kind;
  return true;
}

// Multiplies colour by alpha (last channel), rounding x * a / 255 to nearest.
static void premultiply(HostImage *im) {
  size_t c = (size_t)im->channels, n = (size_t)im->width * (size_t)im->height;
  for (size_t i = 0; i < n; i++) {
    uint8_t *p = im->pixel + i * c;
    for (size_t k = 0; k + 1 < c; k++) p[k] = (uint8_t)host_scale255(p[k], p[c - 1]);
  }
}

// The inverse; truncating and clipping, and leaving alpha 0 and 255 alone, as Pillow does.
static void unpremultiply(HostImage *im) {
  size_t c = (size_t)im->channels, n = (size_t)im->width * (size_t)im->height;
  for (size_t i = 0; i < n; i++) {
    uint8_t *p = im->pixel + i * c;
    int alpha = p[c - 1];
    if (alpha == 0 || alpha == 255) continue;
    for (size_t k = 0; k + 1 < c; k++) {
      int v = 255 * p[k] / alpha;
      p[k] = (uint8_t)(v > 255 ? 255 : v);
    }
  }
}

bool host_image_resize(const HostImage *in, int width, int height, HostFilter filter, HostImage *out, HostError *err) {
  *out = (HostImage){0};
  if (width <= 0 || height <= 0) return host_fail(err, "cannot resize to %d x %d pixels", width, height);
  if (width == in->width && height == in->height) return copy(in, out, err);
  if (filter == HOST_NEAREST || in->kind == HOST_PALETTE) return nearest(in, width, height, out, err);
  bool alpha = in->kind == HOST_PLAIN && in->channels % 2 == 0;
  if (!alpha) return resample(in, width, height, filter, out, err);
  HostImage flat;
  if (!copy(in, &flat, err)) return false;
  premultiply(&flat);
  bool ok = resample(&flat, width, height, filter, out, err);
  if (ok) unpremultiply(out);
  host_image_free(&flat);
  return ok;
}

static void deep_to_rgb(const uint8_t *in, uint8_t *rgb) {
  int32_t v;
  memcpy(&v, in, sizeof v);
  memset(rgb, v < 0 ? 0 : v > 255 ? 255 : v, 3);
}

static void cmyk_to_rgb(const uint8_t *in, uint8_t *rgb) {
  int white = 255 - in[3];
  for (int k = 0; k < 3; k++) {
    int v = white - host_scale255(in[k], white);
    rgb[k] = (uint8_t)(v < 0 ? 0 : v);
  }
}

bool host_image_to_rgb(const HostImage *in, HostImage *out, HostError *err) {
  if (!host_image_new(out, in->width, in->height, 3, err)) return false; // HOST_PLAIN: RGB pictures are filtered
  size_t n = (size_t)in->width * (size_t)in->height, c = (size_t)in->channels;
  for (size_t i = 0; i < n; i++) {
    const uint8_t *from = in->pixel + c * i;
    uint8_t *to = out->pixel + 3 * i;
    if (in->kind == HOST_DEEP)
      deep_to_rgb(from, to);
    else if (in->kind == HOST_CMYK)
      cmyk_to_rgb(from, to);
    else
      for (size_t k = 0; k < 3; k++) to[k] = from[c < 3 ? 0 : k];
  }
  return true;
}

// (n - crop) / 2 rounded half to even: n - crop = 4q + 1 rounds down to 2q, 4q + 3 up to 2q + 2.
static int crop_offset(int n, int crop) {
  int spare = n - crop;
  return spare / 2 + (spare % 4 == 3);
}

bool host_image_crop(const HostImage *in, int crop, HostImage *out, HostError *err) {
  *out = (HostImage){0};
  if (crop <= 0 || crop > in->width || crop > in->height)
    return host_fail(err, "cannot crop %d pixels from a picture of %d x %d", crop, in->width, in->height);
  if (!host_image_new(out, crop, crop, in->channels, err)) return false;
  int top = crop_offset(in->height, crop), left = crop_offset(in->width, crop);
  size_t c = (size_t)in->channels, row = (size_t)crop * c;
  for (int y = 0; y < crop; y++)
    memcpy(out->pixel + (size_t)y * row, in->pixel + ((size_t)(top + y) * (size_t)in->width + (size_t)left) * c, row);
  out->kind = in->kind;
  return true;
}

// Size after the resize, before the crop.
static bool resized_size(int width, int height, const HostPreprocess *how, int *w, int *h, HostError *err) {
  int64_t s = how->size;
  if (width <= 0 || height <= 0) return host_fail(err, "picture is empty");
  if (s <= 0 || s > 65536) return host_fail(err, "target size %d is not in 1..65536 pixels", how->size);
  int64_t to_w = s, to_h = s;
  if (how->resize == HOST_RESIZE_SHORTER) {
    if (width <= height)
      to_h = s * height / width;
    else
      to_w = s * width / height;
  } else if (how->resize == HOST_RESIZE_SHORTER_CAPPED) {
    double scale = (double)s / (width < height ? width : height);
    double real_w = height < width ? scale * width : (double)s, real_h = height < width ? (double)s : scale * height;
    double longer = real_w > real_h ? real_w : real_h;
    if (how->longest > 0 && longer > how->longest) {
      double shrink = how->longest / longer;
      real_w *= shrink;
      real_h *= shrink;
    }
    int64_t m = how->multiple > 0 ? how->multiple : 1;
    to_w = (int64_t)(real_w + 0.5) / m * m;
    to_h = (int64_t)(real_h + 0.5) / m * m;
  }
  if (to_w <= 0 || to_h <= 0 || to_w * to_h > HOST_MAX_PIXELS)
    return host_fail(err, "a picture of %d x %d pixels would be resized to %lld x %lld", width, height, (long long)to_w,
                     (long long)to_h);
  *w = (int)to_w;
  *h = (int)to_h;
  return true;
}

bool host_preprocess_size(int width, int height, const HostPreprocess *how, int *out_width, int *out_height,
                          HostError *err) {
  int w, h;
  if (!resized_size(width, height, how, &w, &h, err)) return false;
  if (how->crop > 0 && (how->crop > w || how->crop > h))
    return host_fail(err, "cannot crop %d pixels from a picture of %d x %d", how->crop, w, h);
  *out_width = how->crop > 0 ? how->crop : w;
  *out_height = how->crop > 0 ? how->crop : h;
  return true;
}

// Replaces *im by the result of a step.
static void step(HostImage *im, HostImage *next) {
  host_image_free(im);
  *im = *next;
  *next = (HostImage){0};
}

bool host_preprocess(const HostImage *in, const HostPreprocess *how, HostImage *rgb, HostError *err) {
  HostImage now = {0}, next = {0};
  int w, h;
  *rgb = (HostImage){0};
  if (!resized_size(in->width, in->height, how, &w, &h, err)) return false;
  bool ok = true, first = !how->rgb_last && (in->channels != 3 || in->kind != HOST_PLAIN);
  if (first) {
    ok = host_image_to_rgb(in, &next, err);
    if (ok) step(&now, &next);
  }
  ok = ok && host_image_resize(first ? &now : in, w, h, how->filter, &next, err);
  if (ok) step(&now, &next);
  if (ok && how->crop > 0) {
    ok = host_image_crop(&now, how->crop, &next, err);
    if (ok) step(&now, &next);
  }
  if (ok && how->rgb_last) {
    ok = host_image_to_rgb(&now, &next, err);
    if (ok) step(&now, &next);
  }
  if (ok)
    *rgb = now;
  else
    host_image_free(&now);
  return ok;
}

void host_normalise(const HostImage *rgb, const float mean[3], const float std[3], float *dst) {
  size_t n = (size_t)rgb->width * (size_t)rgb->height;
  for (size_t c = 0; c < 3; c++) {
    float of[256]; // each value once: two divisions take longer than a look
    for (int v = 0; v < 256; v++) of[v] = ((float)v / 255.0f - mean[c]) / std[c];
    for (size_t i = 0; i < n; i++) dst[c * n + i] = of[rgb->pixel[3 * i + c]];
  }
}
