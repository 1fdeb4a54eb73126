// image_png.c - PNG files by libpng; see image.h for the modes. As in image_jpeg.c, errors jump out of a body, and what
// must survive the jump lives in PngJob.
#include "image_parts.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

enum { MAX_INFLATE = 1032 }; // bytes that one of deflate can become

typedef struct {
  png_structp png;
  png_infop info;
  const uint8_t *bytes;
  size_t left;
  HostError *err;
  HostImage *out;
} PngJob;

static void png_fatal(png_structp png, png_const_charp text) {
  PngJob *job = png_get_error_ptr(png);
  host_fail(job->err, "PNG: %s", text);
  png_longjmp(png, 1);
}

static void png_ignore(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

static void png_pull(png_structp png, png_bytep dst, size_t n) {
  PngJob *job = png_get_io_ptr(png);
  if (n > job->left) png_error(png, "file is truncated");
  memcpy(dst, job->bytes, n);
  job->bytes += n;
  job->left -= n;
}

// How the rows of one file lie in memory: first as libpng gives them, `given` bytes a pixel, at the start of the row.
typedef struct {
  bool palette, deep;
  int given, channels;
  HostImageKind kind;
  uint8_t colour[256][3];
} PngLayout;

// Indices that the palette does not have are shades of grey, as in Pillow.
static void read_palette(PngJob *job, PngLayout *at) {
  png_colorp entry = NULL;
  int n = 0;
  for (int i = 0; i < 256; i++) memset(at->colour[i], i, 3);
  png_get_PLTE(job->png, job->info, &entry, &n);
  for (int i = 0; i < n && i < 256; i++)
    memcpy(at->colour[i], (uint8_t[3]){entry[i].red, entry[i].green, entry[i].blue}, 3);
}

static PngLayout png_layout(PngJob *job) {
  png_structp png = job->png;
  int depth = png_get_bit_depth(png, job->info), type = png_get_color_type(png, job->info);
  PngLayout at = {.palette = type == PNG_COLOR_TYPE_PALETTE, .deep = type == PNG_COLOR_TYPE_GRAY && depth == 16};
  at.channels = at.palette ? 3 : at.deep ? 4 : png_get_channels(png, job->info);
  at.given = at.palette ? 1 : at.deep ? 2 : at.channels;
  if (at.palette) read_palette(job, &at);
  if (at.palette && depth < 8) png_set_packing(png);
  if (type == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (depth == 16 && !at.deep) png_set_strip_16(png);
  at.kind = at.deep ? HOST_DEEP : at.palette || depth == 1 ? HOST_PALETTE : HOST_PLAIN;
  return at;
}

// A row of indices becomes colours, in place.
static void paint(uint8_t *row, int width, uint8_t colour[256][3]) {
  for (int x = width; x-- > 0;) memcpy(row + 3 * x, colour[row[x]], 3);
}

static bool png_body(PngJob *job) {
  png_structp png = job->png;
  HostImage *out = job->out;
  png_set_read_fn(png, job, png_pull);
  png_set_user_limits(png, HOST_MAX_SIDE, HOST_MAX_SIDE);
  // Texts, profiles and the like are passed over unread: they would cost time and memory, and change nothing.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
  png_set_chunk_malloc_max(png, 0); // nothing of such a chunk is kept, so that it may have any length
  size_t bytes_left = job->left;
  png_read_info(png, job->info);
  size_t raw = png_get_rowbytes(png, job->info) * (size_t)png_get_image_height(png, job->info);
  if (raw / MAX_INFLATE > bytes_left)
    return host_fail(job->err, "PNG: file is truncated"); // before memory is taken for it
  PngLayout at = png_layout(job);
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, job->info);
  if (!host_image_new(out, (int)png_get_image_width(png, job->info), (int)png_get_image_height(png, job->info),
                      at.channels, job->err))
    return false;
  out->kind = at.kind;
  if (png_get_rowbytes(png, job->info) != (size_t)out->width * (size_t)at.given)
    return host_fail(job->err, "PNG: unexpected row size");
  for (int pass = 0; pass < passes; pass++)
    for (int y = 0; y < out->height; y++) png_read_row(png, host_image_row(out, y), NULL);
  for (int y = 0; y < out->height; y++) {
    if (at.deep) host_image_widen(host_image_row(out, y), out->width);
    if (at.palette) paint(host_image_row(out, y), out->width, at.colour);
  }
  return true;
}

static bool png_guarded(PngJob *job) {
  if (setjmp(png_jmpbuf(job->png)) != 0) return false;
  return png_body(job);
}

bool host_decode_png(const uint8_t *bytes, size_t n, HostImage *out, HostError *err) {
  PngJob *job = calloc(1, sizeof *job);
  if (!job) return host_no_memory(err);
  *job = (PngJob){.bytes = bytes, .left = n, .err = err, .out = out};
  job->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, job, png_fatal, png_ignore);
  if (job->png) job->info = png_create_info_struct(job->png);
  bool ok = job->info ? png_guarded(job) : host_no_memory(err);
  png_destroy_read_struct(&job->png, &job->info, NULL);
  free(job);
  return ok;
}
