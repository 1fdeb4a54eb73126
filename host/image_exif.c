// image_exif.c - how a camera was held: the orientation of EXIF in JPEG, PNG and WebP files, and turning a picture
// upright as Pillow's ImageOps.exif_transpose does. What is no such entry counts as upright: it is a remark beside the
// picture.
#include "image_parts.h"

#include <stdlib.h>

enum { ORIENTATION = 0x0112, SHORT = 3, LONG = 4 };

static uint32_t number(const uint8_t *b, int n, bool little) {
  uint32_t v = 0;
  for (int i = 0; i < n; i++) v = v << 8 | b[little ? n - 1 - i : i];
  return v;
}

// Of a TIFF head and its first directory; 1 if it does not say.
static int of_tiff(const uint8_t *b, size_t n) {
  if (n >= 6 && !memcmp(b, "Exif\0\0", 6)) b += 6, n -= 6; // also in PNG and WebP, where some put it
  if (n < 8 || (memcmp(b, "II*\0", 4) != 0 && memcmp(b, "MM\0*", 4) != 0)) return 1;
  bool little = *b == 'I';
  size_t at = number(b + 4, 4, little);
  if (at > n - 2) return 1;
  for (size_t i = 0, entries = number(b + at, 2, little); i < entries; i++) {
    const uint8_t *e = b + at + 2 + 12 * i;
    if (at + 2 + 12 * (i + 1) > n) return 1;
    if (number(e, 2, little) != ORIENTATION) continue;
    uint32_t type = number(e + 2, 2, little), count = number(e + 4, 4, little);
    uint32_t v = type == SHORT ? number(e + 8, 2, little) : type == LONG ? number(e + 8, 4, little) : 1;
    return count == 1 && v >= 1 && v <= 8 ? (int)v : 1;
  }
  return 1;
}

// Marker segments in front of the scan; the first that has EXIF counts.
static int of_jpeg(const uint8_t *b, size_t n) {
  for (size_t at = 2; at + 4 <= n && b[at] == 0xff;) {
    if (b[at + 1] == 0xff) { // filling
      at++;
      continue;
    }
    size_t length = number(b + at + 2, 2, false);
    if (b[at + 1] == 0xda || b[at + 1] == 0xd9 || length < 2 || length > n - at - 2) return 1;
    if (b[at + 1] == 0xe1 && length >= 8 && !memcmp(b + at + 4, "Exif\0\0", 6)) return of_tiff(b + at + 4, length - 2);
    at += 2 + length;
  }
  return 1;
}

static int of_png(const uint8_t *b, size_t n) {
  for (size_t at = 8; n - at >= 12;) {
    size_t length = number(b + at, 4, false);
    if (length > n - at - 12) return 1;
    if (!memcmp(b + at + 4, "eXIf", 4)) return of_tiff(b + at + 8, length);
    at += 12 + length;
  }
  return 1;
}

static int of_webp(const uint8_t *b, size_t n) {
  for (size_t at = 12; n - at >= 8;) {
    size_t length = number(b + at + 4, 4, true);
    if (length > n - at - 8) return 1;
    if (!memcmp(b + at, "EXIF", 4)) return of_tiff(b + at + 8, length);
    at += 8 + length + (length & 1);
    if (at > n) return 1;
  }
  return 1;
}

int host_image_orientation(const void *bytes, size_t n) {
  const uint8_t *b = bytes;
  if (n >= 3 && !memcmp(b, "\xff\xd8\xff", 3)) return of_jpeg(b, n);
  if (n >= 8 && !memcmp(b, "\x89PNG\r\n\x1a\n", 8)) return of_png(b, n);
  if (n >= 12 && !memcmp(b, "RIFF", 4) && !memcmp(b + 8, "WEBP", 4)) return of_webp(b, n);
  return 1;
}

bool host_image_turn(HostImage *im, int orientation, HostError *err) {
  static const struct {
    bool swap, right, down; // columns become rows; then the source is read from its right, from below
  } how[9] = {
      [2] = {false, true, false}, [3] = {false, true, true}, [4] = {false, false, true}, [5] = {true, false, false},
      [6] = {true, false, true},  [7] = {true, true, true},  [8] = {true, true, false}};
  if (orientation < 2 || orientation > 8) return true;
  bool swap = how[orientation].swap;
  HostImage out;
  if (!host_image_new(&out, swap ? im->height : im->width, swap ? im->width : im->height, im->channels, err))
    return false;
  out.kind = im->kind;
  size_t c = (size_t)im->channels;
  for (int y = 0; y < out.height; y++) {
    uint8_t *to = host_image_row(&out, y);
    for (int x = 0; x < out.width; x++) {
      int sx = swap ? y : x, sy = swap ? x : y;
      if (how[orientation].right) sx = im->width - 1 - sx;
      if (how[orientation].down) sy = im->height - 1 - sy;
      memcpy(to + (size_t)x * c, host_image_row(im, sy) + (size_t)sx * c, c);
    }
  }
  host_image_free(im);
  *im = out;
  return true;
}
