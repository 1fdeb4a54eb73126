// augment.h - pictures at random: crops, flips, colours, RandAugment. u8 RGB in, u8 RGB out; functions of their draws.
#ifndef SWITCHYARD_DATA_AUGMENT_H
#define SWITCHYARD_DATA_AUGMENT_H

#include "random.h"

#include "host/image.h"
#include "ir/base/base.h"

// Whose operations RandAugment has (augment.c has the lists): n of them, of a level.
typedef enum AugmentPolicy {
  AUGMENT_ALBEF, // 10 without colours, level of 10, each applied with 0.5; behind the crop. BLIP, VLMo and BEiT-3 too
  AUGMENT_VILT,  // 14, level of 30, always applied; in front of everything
  AUGMENT_TIMM   // 15, level of 10 with a normal deviation of 0.5, each applied with 0.5; behind the crop. DeiT, BEiT
} AugmentPolicy;

typedef struct Augment {
  double area[2];        // of the picture that a crop has; {0, 0}: no crop
  double ratio[2];       // of its width by its height
  double jitter[3];      // brightness, contrast, saturation: factors of 1 - x to 1 + x
  int operations, level; // of RandAugment; 0: none
  AugmentPolicy policy;
} Augment;

// A crop of area and ratio at random, as torchvision's RandomResizedCrop draws it: ten tries, then the middle.
typedef struct AugmentBox {
  int left, top, width, height;
} AugmentBox;
AugmentBox augment_box(const Augment *a, DataDraws *d, int width, int height);

// What `how` makes of a picture in evaluation, at random: jitter, crop, resize, flip, RandAugment. Without a crop it is
// resized as in evaluation. With a crop the result has the size that `how` crops to, or its size squared.
SY_MUST_USE bool augment_picture(const Augment *a, const HostPreprocess *how, DataDraws *d, bool flip,
                                 const HostImage *in, HostImage *rgb, HostError *err);

// One operation of RandAugment in place; the words of augment_operation. x: factor, degrees, pixels, bits, threshold.
typedef enum AugmentOp {
  AUGMENT_IDENTITY,
  AUGMENT_AUTOCONTRAST,
  AUGMENT_EQUALIZE,
  AUGMENT_BRIGHTNESS, // 1: as it is; 0: black
  AUGMENT_SHARPNESS,  // 0: blurred
  AUGMENT_SHEAR_X,
  AUGMENT_SHEAR_Y,
  AUGMENT_TRANSLATE_X, // pixels; what was x further right
  AUGMENT_TRANSLATE_Y,
  AUGMENT_ROTATE,   // degrees, counterclockwise
  AUGMENT_CONTRAST, // 0: the mean grey
  AUGMENT_COLOR,    // 0: grey
  AUGMENT_POSTERIZE,
  AUGMENT_SOLARIZE,
  AUGMENT_SOLARIZE_ADD,
  AUGMENT_INVERT
} AugmentOp;
// smooth: bilinear with grey outside (OpenCV's), else nearest with black outside (Pillow's).
SY_MUST_USE bool augment_operation(AugmentOp op, double x, bool smooth, HostImage *rgb, HostError *err);

// The text with left and right exchanged, whole words in small, capital and mixed letters; the text itself if it has
// none.
const char *augment_exchange(Arena *a, const char *text);
bool augment_has_sides(const char *text); // does it speak of left or right?

// Random erasing of pixels f32[3, height, width] (stride: of a row; plane: of a channel): a rectangle of 2 to 33 % of
// the area becomes normal noise (timm's mode `pixel`).
void augment_erase(DataDraws *d, float *pixel, size_t height, size_t width, size_t stride, size_t plane);

#endif
