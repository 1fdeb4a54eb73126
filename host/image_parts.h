// image_parts.h - what the decoders of pictures share; private to image*.c and resize.c.
//
// A decoder fills *out from the n bytes of a file, or says why not; whatever is in *out then, its caller frees.
#ifndef SWITCHYARD_HOST_IMAGE_PARTS_H
#define SWITCHYARD_HOST_IMAGE_PARTS_H

#include "common/must_use.h"
#include "image.h"

#include <string.h>

enum { HOST_MAX_SIDE = 1000 * 1000 }; // pixels

SY_MUST_USE bool host_decode_jpeg(const uint8_t *bytes, size_t n, HostImage *out, HostError *err);
SY_MUST_USE bool host_decode_png(const uint8_t *bytes, size_t n, HostImage *out, HostError *err);
SY_MUST_USE bool host_decode_webp(const uint8_t *bytes, size_t n, HostImage *out, HostError *err);
SY_MUST_USE bool host_decode_pnm(const uint8_t *bytes, size_t n, HostImage *out, HostError *err);

// Says what the bytes are that no decoder reads, and what helps; false. (image_type.c)
bool host_picture_refuse(const void *bytes, size_t n, HostError *err);

static inline uint8_t *host_image_row(const HostImage *im, int y) {
  return im->pixel + (size_t)y * (size_t)im->width * (size_t)im->channels;
}

// Turns the 16-bit numbers at the start of a HOST_DEEP row, high byte first, into the row's int32_t.
static inline void host_image_widen(uint8_t *row, int width) {
  for (int x = width; x-- > 0;) {
    int32_t v = row[2 * x] << 8 | row[2 * x + 1];
    memcpy(row + 4 * x, &v, sizeof v);
  }
}

// x * y / 255, rounded to nearest, for 0 <= x, y <= 255; exact, in Pillow's way.
static inline int host_scale255(int x, int y) {
  int t = x * y + 128;
  return (t + (t >> 8)) >> 8;
}

#endif
