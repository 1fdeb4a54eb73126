// png.c - see png.h.
#include "png.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

bool png_put(const HostImage *im, Buf *out) {
  static const png_uint_32 format[] = {0, PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB, PNG_FORMAT_RGBA};
  if (im->kind > HOST_PALETTE || im->channels < 1 || im->channels > 4) return false;
  png_image p = {.version = PNG_IMAGE_VERSION,
                 .width = (png_uint_32)im->width,
                 .height = (png_uint_32)im->height,
                 .format = format[im->channels]};
  png_alloc_size_t n = 0;
  if (!png_image_write_to_memory(&p, NULL, &n, 0, im->pixel, 0, NULL)) return false;
  char *bytes = malloc(n);
  bool ok = bytes && png_image_write_to_memory(&p, bytes, &n, 0, im->pixel, 0, NULL);
  if (ok) buf_putn(out, bytes, n);
  free(bytes);
  return ok;
}

bool png_put_pixels(const float *pixel, size_t height, size_t width, size_t row, size_t plane, const float mean[3],
                    const float std[3], Buf *out) {
  HostImage im = {(int)width, (int)height, 3, HOST_PLAIN, malloc(3 * height * width + 1)};
  for (size_t y = 0; im.pixel && y < height; y++)
    for (size_t x = 0; x < width; x++)
      for (size_t c = 0; c < 3; c++) {
        double v = nearbyint(255 * ((double)pixel[c * plane + y * row + x] * (double)std[c] + (double)mean[c]));
        im.pixel[(y * width + x) * 3 + c] = (uint8_t)(v > 255 ? 255 : v > 0 ? v : 0);
      }
  bool ok = im.pixel && png_put(&im, out);
  free(im.pixel);
  return ok;
}
