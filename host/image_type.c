// image_type.c - what a file is that was given as a picture, told by its first bytes and not by its name.
//
//   host_picture_type(bytes, n)   "WebP", whatever the file is called
#include "image_parts.h"
#include "textfile.h"

#include <ctype.h>

// What helps with a file that is not read.
typedef enum { READ, CONVERT, DEVELOP, DAMAGED, STAND_IN, NOTHING } Advice;
static const char *const advice_text[] = {
    [CONVERT] = ". Convert it to PNG, as ImageMagick does: magick PICTURE PICTURE.png",
    [DEVELOP] = ". Draw it as a PNG first",
    [DAMAGED] = ": a transfer in text mode or the like; get the file anew",
    [NOTHING] = "",
};

typedef struct Type {
  size_t at, n; // n bytes at offset `at`
  const char *magic, *name;
  Advice advice;
} Type;

#define TYPE(at, magic, name, advice)                                                                                  \
  { at, sizeof magic - 1, magic, name, advice }
static const Type types[] = {
    // the first that fits
    TYPE(0, "\xff\xd8\xff", "JPEG", READ),
    TYPE(0, "\x89PNG\r\n\x1a\n", "PNG", READ),
    TYPE(0, "P5", "PGM", READ),
    TYPE(0, "P6", "PPM", READ),
    TYPE(0, "\x89PNG", "PNG with a damaged signature", DAMAGED),
    TYPE(8, "WEBP", "WebP", READ), // behind "RIFF" and a length
    TYPE(0, "GIF87a", "GIF", CONVERT),
    TYPE(0, "GIF89a", "GIF", CONVERT),
    TYPE(0, "BM", "BMP", CONVERT),
    TYPE(8, "CR\x02\0", "a camera's raw file", CONVERT),
    TYPE(0, "II*\0", "TIFF", CONVERT),
    TYPE(0, "MM\0*", "TIFF", CONVERT),
    TYPE(0, "II+\0", "TIFF", CONVERT),
    TYPE(0, "MM\0+", "TIFF", CONVERT),
    TYPE(0, "IIU\0", "a camera's raw file", CONVERT),
    TYPE(0, "FUJIFILMCCD-RAW", "a camera's raw file", CONVERT),
    TYPE(4, "ftypavif", "AVIF", CONVERT),
    TYPE(4, "ftypavis", "AVIF", CONVERT),
    TYPE(4, "ftyphe", "HEIC", CONVERT),
    TYPE(4, "ftypmif1", "HEIC", CONVERT),
    TYPE(4, "ftypmsf1", "HEIC", CONVERT),
    TYPE(4, "ftypcrx", "a camera's raw file", CONVERT),
    TYPE(4, "ftyp", "a video", NOTHING),
    TYPE(0, "\xff\x0a", "JPEG XL", CONVERT),
    TYPE(0, "\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", CONVERT),
    TYPE(0, "\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", CONVERT),
    TYPE(0, "\xff\x4f\xff\x51", "JPEG 2000", CONVERT),
    TYPE(0, "P1", "a text PBM", CONVERT),
    TYPE(0, "P2", "a text PGM", CONVERT),
    TYPE(0, "P3", "a text PPM", CONVERT),
    TYPE(0, "P4", "PBM", CONVERT),
    TYPE(0, "P7", "PAM", CONVERT),
    TYPE(0, "8BPS", "a Photoshop file (PSD)", CONVERT),
    TYPE(0, "gimp xcf", "a GIMP file (XCF)", CONVERT),
    TYPE(0, "\0\0\1\0", "an icon (ICO)", CONVERT),
    TYPE(0, "\0\0\2\0", "a cursor (CUR)", CONVERT),
    TYPE(0, "qoif", "QOI", CONVERT),
    TYPE(0, "v/1\1", "OpenEXR", CONVERT),
    TYPE(0, "#?RADIANCE", "Radiance HDR", CONVERT),
    TYPE(0, "DDS ", "DDS", CONVERT),
    TYPE(0, "\x0a\x05\x01", "PCX", CONVERT),
    TYPE(0, "FLIF", "FLIF", CONVERT),
    TYPE(0, "SIMPLE  =", "FITS", CONVERT),
    TYPE(128, "DICM", "DICOM", CONVERT),
    TYPE(0, "%PDF", "PDF", DEVELOP),
    TYPE(0, "%!PS", "PostScript", DEVELOP),
    TYPE(0, "\x93NUMPY", "a NumPy file (.npy; --input NAME=FILE takes it)", NOTHING),
    TYPE(0, "PK\3\4", "a zip archive", NOTHING),
    TYPE(0, "\x1f\x8b", "a gzip file", NOTHING),
    TYPE(0,
         "\x7f"
         "ELF",
         "an ELF file", NOTHING),
    TYPE(0, "RIFF", "a RIFF file", NOTHING),
    TYPE(0, "\x1a\x45\xdf\xa3", "a video", NOTHING),
};

static bool begins(const uint8_t *b, size_t n, const char *tag) { // tag in lower case
  size_t i = 0;
  while (tag[i] && i < n && tolower(b[i]) == tag[i]) i++;
  return !tag[i];
}

// Blanks, a byte order mark, XML's head and remarks may stand before the first element.
static bool is_svg(const uint8_t *b, size_t n) {
  size_t at = n >= 3 && !memcmp(b, "\xef\xbb\xbf", 3) ? 3 : 0;
  if (n > 1024) n = 1024;
  while (at < n && isspace(b[at])) at++;
  if (begins(b + at, n - at, "<?xml") || begins(b + at, n - at, "<!--") || begins(b + at, n - at, "<!doctype svg"))
    while (at < n && !begins(b + at, n - at, "<svg")) at++;
  return begins(b + at, n - at, "<svg");
}

static bool is_text(const uint8_t *b, size_t n) {
  for (size_t i = 0; i < n && i < 512; i++)
    if ((b[i] < 32 && !isspace(b[i])) || b[i] == 127) return false;
  return true;
}

static Type type_of(const uint8_t *b, size_t n) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].at + types[i].n <= n && !memcmp(b + types[i].at, types[i].magic, types[i].n)) return types[i];
  if (!n) return (Type){.name = "empty", .advice = STAND_IN};
  if (is_svg(b, n)) return (Type){.name = "SVG", .advice = DEVELOP};
  const char *instead = host_stand_in((const char *)b, n);
  if (instead) return (Type){.name = instead, .advice = STAND_IN};
  return (Type){.name = is_text(b, n) ? "text" : NULL, .advice = NOTHING};
}

const char *host_picture_type(const void *bytes, size_t n) {
  return type_of(bytes, n).name;
}

bool host_picture_refuse(const void *bytes, size_t n, HostError *err) {
  Type t = type_of(bytes, n);
  if (!t.name || t.advice == READ) return host_fail(err, "not a JPEG, PNG, WebP or binary PPM/PGM picture");
  if (t.advice == STAND_IN) return host_fail(err, "this is %s", t.name);
  return host_fail(err, "this is %s; only JPEG, PNG, WebP and binary PPM/PGM are read%s", t.name,
                   advice_text[t.advice]);
}
