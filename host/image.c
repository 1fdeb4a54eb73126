// image.c - the memory of pictures, and which decoder reads a file; see image.h.
#include "image_parts.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 1000 * 1000 * 1000 }; // bytes

bool host_image_new(HostImage *out, int width, int height, int channels, HostError *err) {
  *out = (HostImage){0};
  if (width <= 0 || height <= 0 || channels < 1 || channels > 4)
    return host_fail(err, "bad picture size %d x %d", width, height);
  if (width > HOST_MAX_SIDE || height > HOST_MAX_SIDE || (int64_t)width * height > HOST_MAX_PIXELS)
    return host_fail(err, "picture of %d x %d pixels is above the limit of %d million", width, height,
                     HOST_MAX_PIXELS / 1000000);
  uint8_t *pixel = malloc((size_t)width * (size_t)height * (size_t)channels);
  if (!pixel) return host_no_memory(err);
  *out = (HostImage){.width = width, .height = height, .channels = channels, .pixel = pixel};
  return true;
}

void host_image_free(HostImage *im) {
  free(im->pixel);
  *im = (HostImage){0};
}

bool host_image_decode(const void *bytes, size_t n, HostImage *out, HostError *err) {
  const uint8_t *b = bytes;
  *out = (HostImage){0};
  bool ok;
  if (n >= 3 && b[0] == 0xff && b[1] == 0xd8 && b[2] == 0xff)
    ok = host_decode_jpeg(b, n, out, err);
  else if (n >= 8 && !memcmp(b, "\x89PNG\r\n\x1a\n", 8))
    ok = host_decode_png(b, n, out, err);
  else if (n >= 12 && !memcmp(b, "RIFF", 4) && !memcmp(b + 8, "WEBP", 4))
    ok = host_decode_webp(b, n, out, err);
  else if (n >= 3 && b[0] == 'P' && (b[1] == '5' || b[1] == '6'))
    ok = host_decode_pnm(b, n, out, err);
  else
    ok = host_picture_refuse(b, n, err);
  if (!ok) host_image_free(out);
  return ok;
}

static bool load(const char *path, bool upright, HostImage *out, HostError *err) {
  size_t n = 0;
  *out = (HostImage){0};
  char *bytes = host_read_file(path, MAX_FILE, &n, err);
  if (!bytes) return false;
  HostError why = {.text = ""};
  bool ok = host_image_decode(bytes, n, out, &why);
  if (ok && upright && !host_image_turn(out, host_image_orientation(bytes, n), &why)) {
    host_image_free(out);
    ok = false;
  }
  if (!ok) host_fail(err, "%.200s: %.300s", path, why.text);
  if (!ok && err) err->machine = why.machine;
  free(bytes);
  return ok;
}

bool host_image_load(const char *path, HostImage *out, HostError *err) {
  return load(path, false, out, err);
}

bool host_image_load_upright(const char *path, HostImage *out, HostError *err) {
  return load(path, true, out, err);
}
