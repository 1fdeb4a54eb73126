// image_webp.c - WebP files by libwebp; RGB, or RGBA where the file has alpha, as Pillow opens them.
#include "image_parts.h"

#include <webp/decode.h>

// Nothing is taken before the head says how large the picture is, and no more than its pixels and libwebp's rows; a
// picture of one colour has hardly any bytes, so that their number bounds nothing.
bool host_decode_webp(const uint8_t *bytes, size_t n, HostImage *out, HostError *err) {
  WebPBitstreamFeatures head;
  if (WebPGetFeatures(bytes, n, &head) != VP8_STATUS_OK)
    return host_fail(err, "WebP: the file is damaged, or truncated in its head");
  if (head.has_animation)
    return host_fail(err,
                     "WebP: this is an animation, not a picture; take one of its frames, as libwebp's webpmux does: "
                     "webpmux -get frame 1 PICTURE -o FRAME.webp");
  if (!host_image_new(out, head.width, head.height, head.has_alpha ? 4 : 3, err)) return false;
  size_t stride = (size_t)out->width * (size_t)out->channels, size = stride * (size_t)out->height;
  const uint8_t *done = head.has_alpha ? WebPDecodeRGBAInto(bytes, n, out->pixel, size, (int)stride)
                                       : WebPDecodeRGBInto(bytes, n, out->pixel, size, (int)stride);
  return done || host_fail(err, "WebP: the file is damaged or truncated");
}
