// png.h - pictures as PNG files in memory, for people to look at.
#ifndef SWITCHYARD_DATA_PNG_H
#define SWITCHYARD_DATA_PNG_H

#include "host/image.h"
#include "ir/base/base.h"

// Appends a picture: HOST_PLAIN or HOST_PALETTE of 1, 3 or 4 channels. False: of another kind, or memory ran out.
SY_MUST_USE bool png_put(const HostImage *im, Buf *out);
// The same of what a model sees: f32[3, height, width] of planes with a pitch, mean and deviation taken back.
SY_MUST_USE bool png_put_pixels(const float *pixel, size_t height, size_t width, size_t row, size_t plane,
                                const float mean[3], const float std[3], Buf *out);

#endif
