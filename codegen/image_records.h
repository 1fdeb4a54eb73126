// image_records.h: the records of records.def, and their members by name: step_kernel is the number of `kernel` in
// `step`.
#ifndef SY_IMAGE_RECORDS_H
#define SY_IMAGE_RECORDS_H

#include "image.h"
#include "runtime/engine/update.h"

extern const Record record_none;
#define RECORD(r, T, S) extern const Record record_##r;
#define MEMBER(r, m, k, sub)
#define ARRAY(r, m, k, sub, n)
#define END(r)
#include "records.def"
#undef RECORD
#undef MEMBER
#undef ARRAY
#undef END

#define RECORD(r, T, S) enum {
#define MEMBER(r, m, k, sub) M_##r##_##m,
#define ARRAY(r, m, k, sub, n) M_##r##_##m,
#define END(r)                                                                                                         \
  MEMBERS_OF_##r                                                                                                       \
  }                                                                                                                    \
  ;
#include "records.def"
#undef RECORD
#undef MEMBER
#undef ARRAY
#undef END

// A row: ROW(im, extent, V(extent, constant, cell), ..). Members that are left out, or have cells of another kind, are
// an internal error.
#define V(r, m, ...) [M_##r##_##m] = __VA_ARGS__
#define ROW(im, r, ...) image_row((im), &record_##r, (const Cell[MEMBERS_OF_##r]){__VA_ARGS__})
Cell image_row(Image *im, const Record *r, const Cell *cell);

#endif
