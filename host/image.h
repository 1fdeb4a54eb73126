// image.h - pictures: decoding, and the preprocessing of the vision models, equal to Pillow's.
//
// A decoded picture keeps the channels that Pillow would give it, because some transforms resize
// before they convert to RGB (HostPreprocess.rgb_last):
//
//   JPEG  grey -> L, YCbCr/RGB -> RGB, CMYK/YCCK -> CMYK (Adobe's inverted inks turned back)
//   PNG   grey -> L, 1 bit -> L with HOST_PALETTE, 16 bits -> HOST_DEEP; grey+alpha -> LA, RGB, RGBA, of 16 bits the
//   high
//         byte; palette -> RGB with HOST_PALETTE; tRNS, gAMA and profiles change nothing, as converting to RGB drops
//         them
//   WebP  RGB, with alpha RGBA; animations are refused
//   PPM   P6 -> RGB, P5 -> L, above 255 HOST_DEEP (binary, any maxval up to 65535, scaled to 255 or 65535)
//
// A picture is decoded as it is stored, as Pillow's Image.open does; host_image_load_upright turns it as its EXIF
// orientation says. Pictures above HOST_MAX_PIXELS are refused before
// their memory is allocated. Resizing is bit-equal to Pillow's Image.resize: antialiased, horizontal pass first, 8-bit
// fixed-point coefficients, rounding and clipping to u8 after each pass; alpha is premultiplied
// meanwhile. Reentrant.
//
//   HostError err;
//   HostImage photo, rgb;
//   HostPreprocess clip = {.resize = HOST_RESIZE_SHORTER, .filter = HOST_BICUBIC, .size = 224, .crop = 224,
//                          .mean = {0.48145466f, 0.4578275f, 0.40821073f},
//                          .std = {0.26862954f, 0.26130258f, 0.27577711f}};
//   float pixels[3 * 224 * 224];
//   if (!host_image_load("cat.jpg", &photo, &err)) return report(err.text);
//   if (!host_preprocess(&photo, &clip, &rgb, &err)) ...         // rgb: u8[224, 224, 3]
//   host_normalise(&rgb, clip.mean, clip.std, pixels);           // f32[3, 224, 224]
//   host_image_free(&photo);
//   host_image_free(&rgb);
#ifndef SWITCHYARD_HOST_IMAGE_H
#define SWITCHYARD_HOST_IMAGE_H

#include "host.h"

enum { HOST_MAX_PIXELS = 100 * 1000 * 1000 };

typedef enum {
  HOST_PLAIN,   // channels: 1 = L, 2 = LA, 3 = RGB, 4 = RGBA
  HOST_PALETTE, // L or RGB of a 1-bit or palette picture, which Pillow resizes by nearest neighbour
  HOST_CMYK,    // 4 channels: inks, 255 = full
  HOST_DEEP // 16-bit grey: the 4 bytes of a pixel are one int32_t (Pillow's mode I); converting it to RGB clips at 255
} HostImageKind;

// u8[height, width, channels], rows without padding.
typedef struct {
  int width, height, channels;
  HostImageKind kind;
  uint8_t *pixel; // malloc'd
} HostImage;

typedef enum { HOST_NEAREST, HOST_BILINEAR, HOST_BICUBIC, HOST_LANCZOS } HostFilter;

typedef enum {
  HOST_RESIZE_SHORTER,       // shorter side = size, other int(size x long / short)
  HOST_RESIZE_SQUARE,        // size x size, the aspect is not kept
  HOST_RESIZE_SHORTER_CAPPED // shorter side = size, longer at most `longest`, both rounded half up and then floored to
                             // a multiple of `multiple`
} HostResize;

// How a model wants its pictures: RGB, resized, the centre cropped; or resized and cropped in the picture's own
// channels and RGB last. Palette pictures, alpha, inks and 16 bits come out differently.
typedef struct {
  HostResize resize;
  HostFilter filter;
  int size;     // pixels; see HostResize
  int crop;     // side of the centre crop after the resize, pixels; 0 = none
  int longest;  // pixels; SHORTER_CAPPED only
  int multiple; // pixels; SHORTER_CAPPED only; 0 means 1
  bool rgb_last;
  float mean[3], std[3];
} HostPreprocess;

// ---- image.c ----

// Decodes a file or a pipe; "-" is standard input. On failure *out is empty and err says why. The caller frees with
// host_image_free.
SY_MUST_USE bool host_image_load(const char *path, HostImage *out, HostError *err);

// The same, turned as its EXIF orientation says (ImageOps.exif_transpose).
SY_MUST_USE bool host_image_load_upright(const char *path, HostImage *out, HostError *err);

// Decodes n bytes; the kind is recognised by its first bytes.
SY_MUST_USE bool host_image_decode(const void *bytes, size_t n, HostImage *out, HostError *err);

// What a file is by its first bytes (1024 are enough), whatever it is called: "JPEG", "WebP", "a page of HTML, not the
// file; ...", "empty"; NULL if that is not known. (image_type.c)
const char *host_picture_type(const void *bytes, size_t n);

// The orientation of EXIF, 1 to 8, that a file of n bytes says: 1 = as it is stored, also where it says nothing.
// (image_exif.c)
int host_image_orientation(const void *bytes, size_t n);

// Turns and mirrors a picture so that one of this orientation stands upright. False without memory.
SY_MUST_USE bool host_image_turn(HostImage *im, int orientation, HostError *err);

// Allocates width x height x channels bytes, uninitialised; false above HOST_MAX_PIXELS or without memory.
SY_MUST_USE bool host_image_new(HostImage *out, int width, int height, int channels, HostError *err);

// Frees the pixels and empties the struct; an empty or zeroed struct is allowed.
void host_image_free(HostImage *im);

// ---- resize.c ----

// Pillow's Image.resize of the whole picture to width x height. A HOST_PALETTE picture takes
// HOST_NEAREST whatever the filter is. `out` is new; it must not be `in`.
SY_MUST_USE bool host_image_resize(const HostImage *in, int width, int height, HostFilter filter, HostImage *out,
                                   HostError *err);

// New RGB picture: grey is repeated, alpha is dropped, inks are turned into light, 16-bit grey is clipped at 255.
SY_MUST_USE bool host_image_to_rgb(const HostImage *in, HostImage *out, HostError *err);

// New crop x crop picture from the middle; the offset is (n - crop) / 2 rounded half to even.
// Fails if a side is shorter than crop.
SY_MUST_USE bool host_image_crop(const HostImage *in, int crop, HostImage *out, HostError *err);

// Width and height after host_preprocess of a width x height picture; false if a side would be 0 or
// the description makes no sense.
SY_MUST_USE bool host_preprocess_size(int width, int height, const HostPreprocess *how, int *out_width, int *out_height,
                                      HostError *err);

// All steps up to u8[H, W, 3].
SY_MUST_USE bool host_preprocess(const HostImage *in, const HostPreprocess *how, HostImage *rgb, HostError *err);

// dst f32[3, H, W] = (u8 / 255 - mean) / std of an RGB picture, in float arithmetic.
void host_normalise(const HostImage *rgb, const float mean[3], const float std[3], float *dst);

#endif
