// fuzz_image.c - libFuzzer: no bytes may crash the picture decoders, and what they accept can be resized.
// dict: image
#include <stdint.h>
#include <stdlib.h>

#include "../../host/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  HostImage im, rgb;
  HostError err;
  if (!host_image_decode(bytes, n, &im, &err)) {
    if (im.pixel) abort();
    return 0;
  }
  // Upright, it has as many points.
  int64_t points = (int64_t)im.width * im.height;
  if (points <= 1 << 16 && host_image_turn(&im, host_image_orientation(bytes, n), &err) &&
      (int64_t)im.width * im.height != points)
    abort();
  HostPreprocess how = {
      .resize = HOST_RESIZE_SHORTER, .filter = HOST_BICUBIC, .size = 9, .crop = 7, .rgb_last = n % 2 == 0};
  // A long strip would cost memory, not find faults.
  if ((int64_t)im.width * im.height <= 1 << 16 && im.width < 50 * im.height && im.height < 50 * im.width &&
      host_preprocess(&im, &how, &rgb, &err))
    host_image_free(&rgb);
  host_image_free(&im);
  return 0;
}
