// host_image.c - decoding on pictures made here, resizing against a double-precision reference and known
// values, top-k, and the golden preprocessing cases when the shared folder is there.
#include <criterion/criterion.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <jpeglib.h>
#include <png.h>
#include <pthread.h>
#include <webp/encode.h>
#include <zlib.h>

#include "../../host/check_host.h"
#include "../../host/image.h"
#include "../../host/topk.h"
#include "host_support.h"

// ---- making pictures ----

typedef struct {
  uint8_t *at;
  size_t n;
} Bytes;

static void png_append(png_structp png, png_bytep data, size_t n) {
  Bytes *b = png_get_io_ptr(png);
  b->at = realloc(b->at, b->n + n);
  memcpy(b->at + b->n, data, n);
  b->n += n;
}

static void png_no_flush(png_structp png) {
  (void)png;
}

// A PNG of w x h with the given rows (row_bytes each, already in PNG sample order).
static Bytes make_png(int w, int h, int depth, int type, bool interlaced, const uint8_t *rows, size_t row_bytes,
                      bool transparent) {
  Bytes b = {0};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &b, png_append, png_no_flush);
  png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, depth, type,
               interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (type == PNG_COLOR_TYPE_PALETTE) {
    png_color palette[4] = {{10, 20, 30}, {255, 0, 0}, {0, 255, 0}, {0, 0, 255}};
    png_set_PLTE(png, info, palette, 4);
    uint8_t alpha[2] = {0, 128};
    if (transparent) png_set_tRNS(png, info, alpha, 2, NULL);
  } else if (transparent) {
    png_color_16 key = {.red = 1, .green = 2, .blue = 3, .gray = 1};
    png_set_tRNS(png, info, NULL, 0, &key);
  }
  png_bytep *row = malloc((size_t)h * sizeof *row);
  for (int y = 0; y < h; y++) row[y] = (png_bytep)(uintptr_t)(rows + (size_t)y * row_bytes);
  png_set_rows(png, info, row);
  png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
  png_destroy_write_struct(&png, &info);
  free(row);
  return b;
}

// A JPEG of one colour; components 1, 3 or 4.
static Bytes make_jpeg(int w, int h, int components, const uint8_t *colour) {
  Bytes b = {0};
  struct jpeg_compress_struct c;
  struct jpeg_error_mgr err;
  unsigned long n = 0;
  c.err = jpeg_std_error(&err);
  jpeg_create_compress(&c);
  jpeg_mem_dest(&c, &b.at, &n);
  c.image_width = (JDIMENSION)w;
  c.image_height = (JDIMENSION)h;
  c.input_components = components;
  c.in_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&c);
  jpeg_set_quality(&c, 100, TRUE);
  jpeg_start_compress(&c, TRUE);
  uint8_t *row = malloc((size_t)(w * components));
  for (int x = 0; x < w * components; x++) row[x] = colour[x % components];
  for (int y = 0; y < h; y++) jpeg_write_scanlines(&c, &row, 1);
  jpeg_finish_compress(&c);
  jpeg_destroy_compress(&c);
  free(row);
  b.n = n;
  return b;
}

static HostImage noise(int w, int h, int channels, uint32_t seed) {
  HostImage im;
  cr_assert(host_image_new(&im, w, h, channels, NULL));
  for (int i = 0; i < w * h * channels; i++) {
    seed = seed * 1664525u + 1013904223u;
    im.pixel[i] = (uint8_t)(seed >> 24);
  }
  return im;
}

// ---- decoding ----

Test(image, decodes_ppm_and_pgm) {
  HostImage im;
  HostError err;
  cr_assert(host_image_decode("P6 # note\n2 1\n255\nabcdef", 24, &im, &err), "%s", err.text);
  cr_assert(im.width == 2 && im.height == 1 && im.channels == 3);
  cr_assert_arr_eq(im.pixel, "abcdef", 6);
  host_image_free(&im);
  cr_assert(host_image_decode("P5 2 1 3 \001\003", 11, &im, &err), "%s", err.text);
  cr_assert(im.channels == 1 && im.pixel[0] == 85 && im.pixel[1] == 255);
  host_image_free(&im);
  static const char *const bad[] = {"P6 2 1 255 abcde",
                                    "P6 2 1 255",
                                    "P6 -2 1 255 abcdef",
                                    "P6 2 1 0 abcdef",
                                    "P6 99999999 99999999 255 a",
                                    "P6 2 1 70000 abcdefabcdef",
                                    "P6",
                                    "P4 1 1 a",
                                    ""};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    cr_expect_not(host_image_decode(bad[i], strlen(bad[i]), &im, &err), "accepted %s", bad[i]);
  cr_assert_not(host_image_decode("P6 20000 20000 255 a", 20, &im, &err));
  cr_assert(strstr(err.text, "100 million"), "%s", err.text);
}

Test(image, decodes_every_kind_of_png) {
  HostImage im;
  HostError err;
  static const uint8_t rgba[2 * 8] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  for (int interlaced = 0; interlaced < 2; interlaced++) {
    Bytes b = make_png(2, 2, 8, PNG_COLOR_TYPE_RGBA, interlaced, rgba, 8, false);
    cr_assert(host_image_decode(b.at, b.n, &im, &err), "%s", err.text);
    cr_assert(im.channels == 4 && im.kind != HOST_PALETTE);
    cr_assert_arr_eq(im.pixel, rgba, 16);
    host_image_free(&im);
    for (size_t cut = 0; cut < b.n - 20; cut++) cr_expect_not(host_image_decode(b.at, cut, &im, &err));
    free(b.at);
  }
  static const uint8_t index_past[2] = {3, 200}; // four colours: the others are shades of grey
  Bytes past = make_png(2, 1, 8, PNG_COLOR_TYPE_PALETTE, false, index_past, 2, false);
  cr_assert(host_image_decode(past.at, past.n, &im, &err), "%s", err.text);
  cr_assert(im.pixel[2] == 255 && im.pixel[3] == 200 && im.pixel[5] == 200);
  host_image_free(&im);
  free(past.at);
  static const uint8_t wide[12] = {1, 99, 2, 99, 3, 99, 4, 99, 5, 99, 6, 99};
  static const uint8_t high[6] = {1, 2, 3, 4, 5, 6};
  Bytes b = make_png(2, 1, 16, PNG_COLOR_TYPE_RGB, false, wide, 12, false);
  cr_assert(host_image_decode(b.at, b.n, &im, &err) && im.channels == 3);
  cr_assert_arr_eq(im.pixel, high, 6);
  host_image_free(&im);
  free(b.at);
  b = make_png(2, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, false, high, 4, false);
  cr_assert(host_image_decode(b.at, b.n, &im, &err) && im.channels == 2 && im.pixel[3] == 4);
  host_image_free(&im);
  free(b.at);
  b = make_png(2, 1, 8, PNG_COLOR_TYPE_GRAY, false, high, 2, true);
  cr_assert(host_image_decode(b.at, b.n, &im, &err) && im.channels == 1 && im.pixel[1] == 2, "tRNS is dropped");
  host_image_free(&im);
  free(b.at);
  b = make_png(1, 1, 8, PNG_COLOR_TYPE_RGB, false, high, 3, true);
  cr_assert(host_image_decode(b.at, b.n, &im, &err) && im.channels == 3);
  host_image_free(&im);
  free(b.at);
  static const uint8_t bits[1] = {0x50}; // 01 01 00 00 as 2-bit grey
  b = make_png(2, 1, 2, PNG_COLOR_TYPE_GRAY, false, bits, 1, false);
  cr_assert(host_image_decode(b.at, b.n, &im, &err) && im.pixel[0] == 85 && im.kind != HOST_PALETTE);
  host_image_free(&im);
  free(b.at);
  static const uint8_t index[4] = {0, 1, 2, 3};
  for (int transparent = 0; transparent < 2; transparent++) {
    b = make_png(4, 1, 8, PNG_COLOR_TYPE_PALETTE, false, index, 4, transparent);
    cr_assert(host_image_decode(b.at, b.n, &im, &err), "%s", err.text);
    cr_assert(im.channels == 3 && im.kind == HOST_PALETTE && im.pixel[0] == 10 && im.pixel[3] == 255 &&
              im.pixel[11] == 255);
    HostImage half;
    cr_assert(host_image_resize(&im, 2, 1, HOST_BICUBIC, &half, &err));
    cr_assert(half.pixel[0] == 255 && half.pixel[5] == 255, "a palette picture is not blended");
    host_image_free(&half);
    host_image_free(&im);
    free(b.at);
  }
}

Test(image, decodes_jpeg_grey_rgb_and_cmyk) {
  HostImage im;
  HostError err;
  static const uint8_t colour[4] = {200, 100, 50, 255};
  static const int components[3] = {1, 3, 4};
  for (int k = 0; k < 3; k++) {
    Bytes b = make_jpeg(20, 10, components[k], colour);
    cr_assert(host_image_decode(b.at, b.n, &im, &err), "%s", err.text);
    cr_assert(im.channels == components[k] && (im.kind == HOST_CMYK) == (k == 2));
    HostImage rgb;
    cr_assert(host_image_to_rgb(&im, &rgb, &err));
    for (int c = 0; c < 3; c++) // inverted inks over white: RGB = the stored values
      cr_expect(abs(rgb.pixel[c] - colour[k ? c : 0]) <= 2, "components %d: %d", components[k], rgb.pixel[c]);
    host_image_free(&rgb);
    host_image_free(&im);
    cr_expect_not(host_image_decode(b.at, b.n - 2, &im, &err), "the end marker is missing");
    cr_expect_not(host_image_decode(b.at, b.n / 2, &im, &err));
    cr_expect_not(host_image_decode(b.at, 3, &im, &err));
    free(b.at);
  }
  HostImage big = noise(200, 200, 3, 5); // entropy-coded data long enough to be cut in the middle
  cr_assert_not(host_image_decode(big.pixel, 1000, &im, &err));
  host_image_free(&big);
}

Test(image, refuses_huge_pictures_before_allocating) {
  static const uint8_t colour[3] = {1, 2, 3};
  HostImage im;
  HostError err;
  Bytes b = make_jpeg(8, 8, 3, colour);
  for (size_t i = 0; i + 9 < b.n; i++)
    if (b.at[i] == 0xff && b.at[i + 1] == 0xc0) memset(b.at + i + 5, 0x7f, 4); // 32639 x 32639
  cr_assert_not(host_image_decode(b.at, b.n, &im, &err));
  cr_assert(strstr(err.text, "truncated") || strstr(err.text, "100 million"), "%s", err.text);
  free(b.at);
  // Sides that are allowed, of files that cannot hold so many pixels: nothing is allocated for them.
  b = make_jpeg(8, 8, 3, colour);
  for (size_t i = 0; i + 9 < b.n; i++)
    if (b.at[i] == 0xff && b.at[i + 1] == 0xc0) memset(b.at + i + 5, 0x1f, 4); // 7967 x 7967
  cr_assert_not(host_image_decode(b.at, b.n, &im, &err));
  cr_assert(strstr(err.text, "truncated: "), "%s", err.text);
  free(b.at);
  static const uint8_t grey[4] = {1, 2, 3, 4};
  b = make_png(2, 2, 8, PNG_COLOR_TYPE_GRAY, false, grey, 2, false);
  memcpy(b.at + 16, (uint8_t[]){0, 0, 0x20, 0, 0, 0, 0x20, 0}, 8); // 8192 x 8192
  uint32_t crc = (uint32_t)crc32(0, b.at + 12, 17);
  for (int i = 0; i < 4; i++) b.at[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
  cr_assert_not(host_image_decode(b.at, b.n, &im, &err));
  cr_assert_str_eq(err.text, "PNG: file is truncated");
  free(b.at);
}

Test(image, names_what_it_does_not_read) {
  static const struct {
    const char *bytes;
    size_t n;
    const char *type;
  } files[] = {{"GIF89a\1\0", 8, "GIF"},
               {"BM\x36\0\0\0", 6, "BMP"},
               {"II*\0\x08\0\0\0", 8, "TIFF"},
               {"MM\0*\0\0\0\x08", 8, "TIFF"},
               {"\0\0\0\x1c"
                "ftypheic",
                12, "HEIC"},
               {"\0\0\0\x1c"
                "ftypmif1",
                12, "HEIC"},
               {"\0\0\0\x1c"
                "ftypavif",
                12, "AVIF"},
               {"\0\0\0\x1c"
                "ftypisom",
                12, "a video"},
               {"\xff\x0a\xfa\x1f", 4, "JPEG XL"},
               {"\0\0\0\x0cJXL \r\n\x87\n", 12, "JPEG XL"},
               {"\0\0\0\x0cjP  \r\n\x87\n", 12, "JPEG 2000"},
               {"%PDF-1.7\n", 9, "PDF"},
               {"<?xml version=\"1.0\"?>\n<!-- a -->\n<svg xmlns=\"\">", 47, "SVG"},
               {"  <svg/>", 8, "SVG"},
               {"\xef\xbb\xbf<!DOCTYPE html><html>", 24, "a page of HTML, not the file; the download went wrong"},
               {"<HTML><body>404", 15, "a page of HTML, not the file; the download went wrong"},
               {"8BPS\0\1", 6, "a Photoshop file (PSD)"},
               {"\0\0\1\0\1\0", 6, "an icon (ICO)"},
               {"version https://git-lfs.github.com/spec/v1\noid", 46,
                "a git-lfs pointer, not the file that it points to; fetch that with: git lfs pull"},
               {"P3\n1 1\n255\n1 2 3\n", 17, "a text PPM"},
               {"not a picture\n", 14, "text"},
               {"", 0, "empty"}};
  HostImage im;
  HostError err;
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    const char *type = host_picture_type(files[i].bytes, files[i].n);
    cr_assert_not_null(type, "%s", files[i].type);
    cr_expect_str_eq(type, files[i].type);
    cr_expect_not(host_image_decode(files[i].bytes, files[i].n, &im, &err));
    cr_expect(strstr(err.text, files[i].type), "%s: %s", files[i].type, err.text);
    for (size_t cut = 0; cut < files[i].n; cut++) { // an exact buffer, for the sanitizer
      char *part = malloc(cut + 1);
      memcpy(part, files[i].bytes, cut);
      cr_expect_not(host_image_decode(part, cut, &im, &err));
      host_image_free(&im);
      free(part);
    }
  }
  cr_expect_str_eq(host_picture_type("\xff\xd8\xff\xe0", 4), "JPEG");
  cr_expect_null(host_picture_type("\1\2\3\4", 4));
}

// A picture of 4 x 3 points of which no two are alike.
static void fill_points(uint8_t *p, int channels) {
  for (int i = 0; i < 12 * channels; i++) p[i] = (uint8_t)(20 * i + 3 * (i % channels));
  for (int i = 3; channels == 4 && i < 48; i += 4) p[i] = (uint8_t)(200 + i);
}

Test(image, decodes_webp) {
  for (int channels = 3; channels <= 4; channels++) {
    uint8_t rows[48], *file = NULL;
    fill_points(rows, channels);
    size_t n = (channels == 3 ? WebPEncodeLosslessRGB : WebPEncodeLosslessRGBA)(rows, 4, 3, 4 * channels, &file);
    HostImage im;
    HostError err;
    cr_assert(n && host_image_decode(file, n, &im, &err), "%s", err.text);
    cr_expect(im.width == 4 && im.height == 3 && im.channels == channels && im.kind == HOST_PLAIN);
    cr_expect_arr_eq(im.pixel, rows, 12 * (size_t)channels);
    host_image_free(&im);
    for (size_t cut = 0; cut + 2 < n; cut++) { // an exact buffer, for the sanitizer
      uint8_t *part = malloc(cut + 1);
      memcpy(part, file, cut);
      cr_expect_not(host_image_decode(part, cut, &im, &err), "%zu of %zu bytes", cut, n);
      cr_expect(host_image_orientation(part, cut) == 1);
      free(part);
    }
    WebPFree(file);
  }
  // an animation: the extended head with its bit
  static const uint8_t animation[] = "RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\3\0\0\2\0\0ANIM\x06\0\0\0\0\0\0\0\0\0";
  HostImage im;
  HostError err;
  cr_expect_not(host_image_decode(animation, sizeof animation - 1, &im, &err));
  cr_expect(strstr(err.text, "animation"), "%s", err.text);
}

// EXIF with an orientation, after the marks of its container.
static size_t put_exif(uint8_t *b, bool little, int orientation) {
  static const uint8_t ii[] = "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\0\0\0\0\0\0\0\0",
                       mm[] = "MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\0\0\0\0\0\0\0";
  memcpy(b, little ? ii : mm, 26);
  b[little ? 18 : 19] = (uint8_t)orientation;
  return 26;
}

Test(image, orientations_of_exif) {
  for (int o = 0; o < 10; o++)
    for (int little = 0; little < 2; little++) {
      uint8_t jpeg[64] = "\xff\xd8\xff\xe0\0\4ab\xff\xe1\0\x22"
                         "Exif\0",
              png[80] = "\x89PNG\r\n\x1a\n\0\0\0\1tEXtx____\0\0\0\x1a"
                        "eXIf",
              webp[80] = "RIFF\x40\0\0\0WEBPVP8 \3\0\0\0abc_EXIF\x1a\0\0\0";
      int want = o >= 1 && o <= 8 ? o : 1;
      size_t nj = 18 + put_exif(jpeg + 18, little, o), np = 29 + put_exif(png + 29, little, o) + 4,
             nw = 32 + put_exif(webp + 32, little, o);
      cr_expect_eq(host_image_orientation(jpeg, nj), want, "JPEG %d: %d", o, host_image_orientation(jpeg, nj));
      cr_expect_eq(host_image_orientation(png, np), want, "PNG %d: %d", o, host_image_orientation(png, np));
      cr_expect_eq(host_image_orientation(webp, nw), want, "WebP %d: %d", o, host_image_orientation(webp, nw));
      for (size_t cut = 0; cut < nj; cut++) { // nothing behind the end is read
        uint8_t *part = malloc(cut + 1);
        memcpy(part, jpeg, cut);
        (void)host_image_orientation(part, cut);
        free(part);
      }
    }
}

// Where Pillow's exif_transpose puts the points a b c d / e f g h / i j k l.
Test(image, turns_upright) {
  static const char *const want[9] = {"abcdefghijkl", "abcdefghijkl", "dcbahgfelkji", "lkjihgfedcba", "ijklefghabcd",
                                      "aeibfjcgkdhl", "ieajfbkgclhd", "lhdkgcjfbiea", "dhlcgkbfjaei"};
  for (int o = 0; o <= 8; o++)
    for (int channels = 1; channels <= 4; channels++) {
      HostImage im;
      HostError err;
      cr_assert(host_image_new(&im, 4, 3, channels, &err));
      for (int i = 0; i < 12 * channels; i++) im.pixel[i] = (uint8_t)('a' + i / channels);
      cr_assert(host_image_turn(&im, o, &err), "%s", err.text);
      cr_expect(im.width == (o >= 5 ? 3 : 4) && im.height == (o >= 5 ? 4 : 3) && im.channels == channels);
      for (int i = 0; i < 12 * channels; i++)
        cr_expect_eq(im.pixel[i], want[o][i / channels], "orientation %d, point %d", o, i / channels);
      host_image_free(&im);
    }
}

static void *write_ppm(void *path) {
  FILE *f = fopen(path, "wb");
  fputs("P6 2 1 255\nabc", f);
  fflush(f);
  usleep(20000); // in two pieces
  fputs("def", f);
  fclose(f);
  return NULL;
}

Test(image, reads_pipes_and_refuses_devices, .timeout = 20) {
  char path[64];
  HostImage im;
  HostError err;
  pthread_t writer;
  signal(SIGPIPE, SIG_IGN); // the reader that has had enough closes
  snprintf(path, sizeof path, "/tmp/sy_image_fifo_%ld", (long)getpid());
  cr_assert_eq(mkfifo(path, 0600), 0);
  cr_assert_eq(pthread_create(&writer, NULL, write_ppm, path), 0);
  cr_assert(host_image_load(path, &im, &err), "%s", err.text);
  cr_assert_arr_eq(im.pixel, "abcdef", 6);
  host_image_free(&im);
  pthread_join(writer, NULL);
  size_t n = 0; // above the limit, from a pipe too
  cr_assert_eq(pthread_create(&writer, NULL, write_ppm, path), 0);
  cr_assert_null(host_read_file(path, 13, &n, &err));
  cr_assert(strstr(err.text, "limit"), "%s", err.text);
  pthread_join(writer, NULL);
  unlink(path);
  static const char *const bad[] = {"/tmp", "/dev/zero", "/nowhere/at/all.jpg"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    cr_expect_not(host_image_load(bad[i], &im, &err));
    cr_expect(strstr(err.text, bad[i]), "%s", err.text);
  }
}

// A zTXt chunk that unpacks to `mb` megabytes, put behind the head of a PNG.
static Bytes with_text_bomb(Bytes png, int mb) {
  static uint8_t zeros[1 << 16], packed[1 << 19];
  z_stream z = {0};
  memcpy(packed, "zTXtk\0\0", 7);
  uint8_t head[8] = {0};
  cr_assert_eq(deflateInit(&z, 9), Z_OK);
  z.next_out = packed + 7, z.avail_out = sizeof packed - 7;
  for (int i = 0; i < 16 * mb; i++) {
    z.next_in = zeros, z.avail_in = sizeof zeros;
    deflate(&z, i + 1 == 16 * mb ? Z_FINISH : Z_NO_FLUSH);
  }
  size_t n = 7 + z.total_out;
  deflateEnd(&z);
  uint32_t crc = (uint32_t)crc32(0, packed, (uInt)n), length = (uint32_t)(n - 4);
  for (int i = 0; i < 4; i++) head[i] = (uint8_t)(length >> (24 - 8 * i)), head[4 + i] = (uint8_t)(crc >> (24 - 8 * i));
  Bytes out = {malloc(png.n + n + 8), png.n + n + 8};
  memcpy(out.at, png.at, 33);
  memcpy(out.at + 33, head, 4);
  memcpy(out.at + 37, packed, n);
  memcpy(out.at + 37 + n, head + 4, 4);
  memcpy(out.at + 41 + n, png.at + 33, png.n - 33);
  free(png.at);
  return out;
}

Test(image, texts_of_a_png_cost_nothing) {
  static const uint8_t grey[4] = {1, 2, 3, 4};
  Bytes b = make_png(2, 2, 8, PNG_COLOR_TYPE_GRAY, false, grey, 2, false);
  for (int i = 0; i < 8; i++) b = with_text_bomb(b, 48);
  struct rusage before, after;
  HostImage im;
  HostError err;
  getrusage(RUSAGE_SELF, &before);
  cr_assert(host_image_decode(b.at, b.n, &im, &err), "%s", err.text);
  getrusage(RUSAGE_SELF, &after);
  cr_assert_arr_eq(im.pixel, grey, 4);
  cr_assert(after.ru_maxrss - before.ru_maxrss < 16 << 10, "%ld KiB", after.ru_maxrss - before.ru_maxrss);
  host_image_free(&im);
  free(b.at);
}

// A progressive JPEG in one scan for the means and two for each of `detail` frequencies.
static Bytes make_many_scans(int detail) {
  Bytes b = {0};
  struct jpeg_compress_struct c;
  struct jpeg_error_mgr mgr;
  jpeg_scan_info scan[127] = {{.comps_in_scan = 1}};
  unsigned long n = 0;
  int scans = 1;
  for (int pass = 0; pass < 2; pass++)
    for (int k = 1; k <= detail; k++)
      scan[scans++] = (jpeg_scan_info){.comps_in_scan = 1, .Ss = k, .Se = k, .Ah = pass, .Al = 1 - pass};
  c.err = jpeg_std_error(&mgr);
  jpeg_create_compress(&c);
  jpeg_mem_dest(&c, &b.at, &n);
  c.image_width = c.image_height = 16;
  c.input_components = 1;
  c.in_color_space = JCS_GRAYSCALE;
  jpeg_set_defaults(&c);
  c.scan_info = scan;
  c.num_scans = scans;
  jpeg_start_compress(&c, TRUE);
  for (int y = 0; y < 16; y++) {
    uint8_t line[16], *row = line;
    for (int x = 0; x < 16; x++) line[x] = (uint8_t)(x * y * 7);
    jpeg_write_scanlines(&c, &row, 1);
  }
  jpeg_finish_compress(&c);
  jpeg_destroy_compress(&c);
  b.n = n;
  return b;
}

Test(image, scans_of_a_jpeg_are_limited) {
  HostImage im;
  HostError err;
  for (int detail = 40; detail <= 63; detail += 23) {
    Bytes b = make_many_scans(detail);
    bool ok = host_image_decode(b.at, b.n, &im, &err);
    cr_expect_eq(ok, detail == 40, "%d scans: %s", 2 * detail + 1, ok ? "" : err.text);
    if (!ok) cr_expect(strstr(err.text, "scans"), "%s", err.text);
    host_image_free(&im);
    free(b.at);
  }
}

// ---- resizing ----

static double kernel(double x, HostFilter f) {
  x = fabs(x);
  if (f == HOST_BILINEAR) return x < 1 ? 1 - x : 0;
  if (x < 1) return 1.5 * x * x * x - 2.5 * x * x + 1;
  return x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

// One pass along x in plain double; the vertical pass is the same on the transpose.
static double reference(const HostImage *in, int y, int c, int x, int width, HostFilter f) {
  double scale = (double)in->width / width, stretch = scale > 1 ? scale : 1, sum = 0, weights = 0;
  for (int k = 0; k < in->width; k++) {
    double w = kernel((k + 0.5 - (x + 0.5) * scale) / stretch, f);
    sum += w * in->pixel[(y * in->width + k) * in->channels + c];
    weights += w;
  }
  sum /= weights;
  return sum < 0 ? 0 : sum > 255 ? 255 : sum;
}

Test(resize, agrees_with_a_double_reference) {
  static const int sizes[][2] = {{50, 20}, {20, 50}, {33, 32}, {7, 1}, {1, 7}, {100, 3}};
  for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
    for (int f = HOST_BILINEAR; f <= HOST_BICUBIC; f++) {
      HostImage in = noise(sizes[s][0], 3, 3, 9), out;
      cr_assert(host_image_resize(&in, sizes[s][1], 3, (HostFilter)f, &out, NULL));
      for (int i = 0; i < out.width * 9; i++) {
        int y = i / (out.width * 3), x = i / 3 % out.width;
        double want = reference(&in, y, i % 3, x, out.width, (HostFilter)f);
        cr_expect(fabs(out.pixel[i] - want) < 0.51, "%d -> %d at %d: %d, %g", in.width, out.width, i, out.pixel[i],
                  want);
      }
      // The vertical pass on the transposed picture gives the transposed result, bit for bit.
      HostImage turned = noise(3, in.width, 3, 9), tall;
      for (int y = 0; y < 3; y++)
        for (int x = 0; x < in.width; x++) memcpy(turned.pixel + (x * 3 + y) * 3, in.pixel + (y * in.width + x) * 3, 3);
      cr_assert(host_image_resize(&turned, 3, out.width, (HostFilter)f, &tall, NULL));
      for (int y = 0; y < 3; y++)
        for (int x = 0; x < out.width; x++)
          cr_expect_arr_eq(tall.pixel + (x * 3 + y) * 3, out.pixel + (y * out.width + x) * 3, 3);
      host_image_free(&in);
      host_image_free(&out);
      host_image_free(&turned);
      host_image_free(&tall);
    }
}

Test(resize, premultiplies_alpha) {
  // Opaque red beside fully transparent green: the mean is red at half alpha, no green bleeds in.
  HostImage in = noise(2, 1, 4, 1), out;
  memcpy(in.pixel, "\xff\0\0\xff\0\xff\0\0", 8);
  cr_assert(host_image_resize(&in, 1, 1, HOST_BILINEAR, &out, NULL));
  cr_assert_arr_eq(out.pixel, "\xff\0\0\x80", 4);
  host_image_free(&out);
  cr_assert(host_image_resize(&in, 2, 1, HOST_BILINEAR, &out, NULL));
  cr_assert_arr_eq(out.pixel, in.pixel, 8, "an unchanged size changes nothing");
  host_image_free(&out);
  host_image_free(&in);
}

Test(preprocess, sizes_and_crop_follow_the_rules) {
  HostPreprocess how = {.resize = HOST_RESIZE_SHORTER, .size = 64, .crop = 64};
  int w, h;
  HostError err;
  cr_assert(host_preprocess_size(640, 480, &how, &w, &h, &err) && w == 64 && h == 64);
  how.crop = 0;
  cr_assert(host_preprocess_size(640, 480, &how, &w, &h, &err) && w == 85 && h == 64);
  cr_assert(host_preprocess_size(480, 641, &how, &w, &h, &err) && w == 64 && h == 85);
  how.crop = 65;
  cr_assert_not(host_preprocess_size(640, 480, &how, &w, &h, &err));
  how = (HostPreprocess){.resize = HOST_RESIZE_SHORTER_CAPPED, .size = 384, .longest = 639, .multiple = 32};
  cr_assert(host_preprocess_size(640, 480, &how, &w, &h, &err) && w == 512 && h == 384);
  cr_assert(host_preprocess_size(2000, 500, &how, &w, &h, &err) && w == 608 && h == 160);
  cr_assert_not(host_preprocess_size(100000, 10, &how, &w, &h, &err), "a side would be 0");
  how = (HostPreprocess){.resize = HOST_RESIZE_SQUARE, .size = 0};
  cr_assert_not(host_preprocess_size(10, 10, &how, &w, &h, &err));
  // (n - crop) / 2 half to even: 1 -> 0, 3 -> 2, 5 -> 2, 7 -> 4
  static const int spare[4] = {1, 3, 5, 7}, offset[4] = {0, 2, 2, 4};
  for (int i = 0; i < 4; i++) {
    HostImage in = noise(4 + spare[i], 4, 1, 3), out;
    cr_assert(host_image_crop(&in, 4, &out, &err));
    cr_expect_eq(out.pixel[0], in.pixel[offset[i]]);
    host_image_free(&in);
    host_image_free(&out);
  }
}

Test(preprocess, normalises_channel_first) {
  HostImage im = noise(2, 1, 3, 1);
  memcpy(im.pixel, "\x00\x33\xff\xff\x66\x00", 6);
  static const float mean[3] = {0.5f, 0.0f, 1.0f}, std[3] = {0.5f, 1.0f, 2.0f};
  float got[6];
  host_normalise(&im, mean, std, got);
  static const float want[6] = {-1.0f, 1.0f, 0.2f, 0.4f, 0.0f, -0.5f};
  for (int i = 0; i < 6; i++) cr_expect_float_eq(got[i], want[i], 1e-7);
  host_image_free(&im);
}

Test(preprocess, grey_and_alpha_become_rgb) {
  HostPreprocess how = {.resize = HOST_RESIZE_SHORTER, .size = 5, .crop = 5, .filter = HOST_BICUBIC};
  for (int c = 1; c <= 4; c++) {
    how.rgb_last = c % 2 == 0;
    HostImage in = noise(17, 11, c, 4), rgb;
    cr_assert(host_preprocess(&in, &how, &rgb, NULL));
    cr_assert(rgb.width == 5 && rgb.height == 5 && rgb.channels == 3);
    if (c < 3) cr_expect(rgb.pixel[0] == rgb.pixel[1] && rgb.pixel[1] == rgb.pixel[2]);
    host_image_free(&in);
    host_image_free(&rgb);
  }
}

Test(preprocess, golden_cases) {
  char shared[512], dir[600], path[700];
  if (!shared_golden(shared)) cr_skip_test("skipped: no shared folder");
  snprintf(dir, sizeof dir, "%s/preprocess", shared);
  snprintf(path, sizeof path, "%s/cases.json", dir);
  size_t n = 0;
  HostCheckResult r;
  char *json = host_read_file(path, 1 << 24, &n, NULL);
  cJSON *root = cJSON_Parse(json), *c;
  cr_assert_not_null(root);
  cJSON_ArrayForEach(c, cJSON_GetObjectItem(root, "cases")) {
    host_check_preprocess(c, dir, shared, &r);
    cr_expect_eq(r.verdict, HOST_PASS, "%s: %s", cJSON_GetObjectItem(c, "name")->valuestring, r.text);
    host_check_preprocess(c, dir, NULL, &r);
    cr_expect_eq(r.verdict, HOST_SKIP);
    // A wrong recipe must not pass.
    cJSON_ReplaceItemInObject(cJSON_GetObjectItem(c, "attributes"), "filter", cJSON_CreateString("bilinear"));
    cr_expect_not(host_check_preprocess(c, dir, shared, &r));
  }
  cJSON_Delete(root);
  free(json);
}

// Every mode of picture with Pillow's values, for both orders of conversion to RGB and resize.
Test(preprocess, every_mode_as_pillow_has_it) {
  const char *dir = SWITCHYARD_SOURCE_DIR "/tests/golden/pictures";
  size_t n = 0, orders_differ = 0;
  HostCheckResult r;
  char *json = host_read_file(SWITCHYARD_SOURCE_DIR "/tests/golden/pictures/cases.json", 1 << 24, &n, NULL);
  cJSON *root = cJSON_Parse(json), *c;
  cr_assert_not_null(root);
  cJSON_ArrayForEach(c, cJSON_GetObjectItem(root, "cases")) {
    host_check_preprocess(c, dir, NULL, &r);
    cr_expect_eq(r.verdict, HOST_PASS, "%s: %s", cJSON_GetObjectItem(c, "name")->valuestring, r.text);
    cJSON *a = cJSON_GetObjectItem(c, "attributes");
    bool last = !strcmp(cJSON_GetObjectItem(a, "rgb")->valuestring, "last");
    cJSON_ReplaceItemInObject(a, "rgb", cJSON_CreateString(last ? "first" : "last"));
    orders_differ += !host_check_preprocess(c, dir, NULL, &r);
  }
  cr_assert(orders_differ > 60, "the order matters in %zu cases", orders_differ);
  cJSON_Delete(root);
  free(json);
}

// ---- top-k ----

Test(topk, orders_and_sums) {
  static const float logit[6] = {1, 3, 3, -INFINITY, 2, NAN};
  HostTop top[6];
  cr_assert_eq(host_top_k(logit, 5, 3, top), 3);
  cr_assert(top[0].index == 1 && top[1].index == 2 && top[2].index == 4, "equal logits keep their order");
  double sum = exp(-2) + 1 + 1 + 0 + exp(-1);
  cr_assert_float_eq(top[0].probability, 1 / sum, 1e-7);
  cr_assert_float_eq(top[2].probability, exp(-1) / sum, 1e-7);
  cr_assert_eq(host_top_k(logit, 6, 9, top), 6);
  cr_assert_eq(top[5].index, 5, "NaN last");
  cr_assert_eq(host_top_k(logit, 5, 0, top), 0);
  float p[3];
  static const float large[3] = {1e30f, 1e30f, 0};
  host_softmax(large, 3, p);
  cr_assert(p[0] == 0.5f && p[1] == 0.5f && p[2] == 0.0f);
}

// Many rows, few different scores: every k gives the beginning of the same order.
Test(topk, best_of_many) {
  enum { N = 300 };
  static float score[N];
  static HostTop all[N], top[N];
  uint32_t seed = 7;
  for (size_t i = 0; i < N; i++) {
    seed = seed * 1664525u + 1013904223u;
    score[i] = seed >> 28 ? (float)(seed >> 28) : NAN;
  }
  cr_assert_eq(host_best(score, N, N, all), N);
  for (size_t i = 1; i < N; i++) {
    float a = all[i - 1].logit, b = all[i].logit;
    bool same = a == b || (isnan(a) && isnan(b));
    cr_assert(same ? all[i - 1].index < all[i].index : a > b || isnan(b), "place %zu", i);
  }
  for (size_t k = 0; k < N; k += 13) {
    cr_assert_eq(host_best(score, N, k, top), k);
    for (size_t i = 0; i < k; i++) cr_assert_eq(top[i].index, all[i].index, "place %zu of %zu", i, k);
  }
}
