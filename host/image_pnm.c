// image_pnm.c - binary PPM and PGM files; see image.h for the modes.
#include "image_parts.h"

#include <math.h>
#include <string.h>

// Next number of the header: skips blanks and # comments. -1 if there is none below 10^8.
static int pnm_number(const uint8_t *bytes, size_t n, size_t *at) {
  while (*at < n && (strchr(" \t\r\n\v\f", bytes[*at]) || bytes[*at] == '#')) {
    if (bytes[*at] == '\0') return -1; // strchr finds the terminator
    if (bytes[*at] == '#')
      while (*at < n && bytes[*at] != '\n' && bytes[*at] != '\r') ++*at;
    else
      ++*at;
  }
  int value = -1;
  for (; *at < n && bytes[*at] >= '0' && bytes[*at] <= '9'; ++*at) {
    if (value > 10 * 1000 * 1000) return -1;
    value = (value < 0 ? 0 : value) * 10 + (bytes[*at] - '0');
  }
  return value;
}

bool host_decode_pnm(const uint8_t *bytes, size_t n, HostImage *out, HostError *err) {
  size_t at = 2;
  int channels = bytes[1] == '6' ? 3 : 1;
  int width = pnm_number(bytes, n, &at), height = pnm_number(bytes, n, &at), top = pnm_number(bytes, n, &at);
  if (width <= 0 || height <= 0 || top <= 0 || top > 65535 || at >= n) return host_fail(err, "PPM: bad header");
  at++; // exactly one blank
  size_t wide = top > 255 ? 2 : 1, count = (size_t)width * (size_t)height * (size_t)channels;
  // Sizes first, so that a short file that claims a huge picture allocates nothing.
  if ((int64_t)width * height <= HOST_MAX_PIXELS && (n - at) / wide < count)
    return host_fail(err, "PPM: file is truncated");
  bool deep = channels == 1 && wide == 2;
  if (!host_image_new(out, width, height, deep ? 4 : channels, err)) return false;
  if (deep) out->kind = HOST_DEEP;
  int most = deep ? 65535 : 255;
  for (size_t i = 0; i < count; i++) {
    int32_t v = wide == 1 ? bytes[at + i] : bytes[at + 2 * i] << 8 | bytes[at + 2 * i + 1];
    if (top != most) v = (int32_t)rint((double)v / top * most); // half to even, as Python's round
    if (v > most) v = most;
    if (deep)
      memcpy(out->pixel + 4 * i, &v, sizeof v);
    else
      out->pixel[i] = (uint8_t)v;
  }
  return true;
}
