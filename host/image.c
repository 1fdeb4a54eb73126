// image.c - JPEG, PNG and PPM to u8 pixels; see image.h for the modes and limits.
//
// Both C libraries report errors by a callback that must not return, so each decoder is a setjmp around
// a body. What must survive the jump lives in a struct whose address is taken before setjmp (JpegJob,
// PngJob), never in locals changed after it.
#include "image.h"

#include <setjmp.h>
#include <stdio.h> // jpeglib.h needs it first
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

enum {
  MAX_SIDE = 1000 * 1000,        // pixels
  MAX_FILE = 1000 * 1000 * 1000, // bytes
  MAX_JPEG_SCANS = 500           // a few bytes a scan can ask for unbounded work
};

bool host_image_new(HostImage *out, int width, int height, int channels, HostError *err) {
  *out = (HostImage){0};
  if (width <= 0 || height <= 0 || channels < 1 || channels > 4)
    return host_fail(err, "bad picture size %d x %d", width, height);
  if (width > MAX_SIDE || height > MAX_SIDE || (int64_t)width * height > HOST_MAX_PIXELS)
    return host_fail(err, "picture of %d x %d pixels is above the limit of %d million", width, height,
                     HOST_MAX_PIXELS / 1000000);
  uint8_t *pixel = malloc((size_t)width * (size_t)height * (size_t)channels);
  if (!pixel) return host_fail(err, "out of memory for a picture of %d x %d pixels", width, height);
  *out = (HostImage){.width = width, .height = height, .channels = channels, .pixel = pixel};
  return true;
}

void host_image_free(HostImage *im) {
  free(im->pixel);
  *im = (HostImage){0};
}

static uint8_t *row_of(const HostImage *im, int y) {
  return im->pixel + (size_t)y * (size_t)im->width * (size_t)im->channels;
}

// ---- JPEG ----

typedef struct {
  struct jpeg_error_mgr mgr; // first: libjpeg hands back its address
  struct jpeg_progress_mgr progress;
  struct jpeg_decompress_struct jpeg;
  jmp_buf jump;
  HostError *err;
  HostImage *out;
  uint8_t *row; // one CMYK row
} JpegJob;

static void jpeg_fatal(j_common_ptr info) {
  JpegJob *job = (JpegJob *)(void *)info->err;
  char text[JMSG_LENGTH_MAX];
  info->err->format_message(info, text);
  host_fail(job->err, "JPEG: %s", text);
  longjmp(job->jump, 1);
}

// Warnings are tolerated, as Pillow does, except the end of the data before the end of the picture.
static void jpeg_message(j_common_ptr info, int level) {
  JpegJob *job = (JpegJob *)(void *)info->err;
  if (level != -1 || info->err->msg_code != JWRN_JPEG_EOF) return;
  host_fail(job->err, "JPEG: file is truncated");
  longjmp(job->jump, 1);
}

static void jpeg_tick(j_common_ptr info) {
  JpegJob *job = (JpegJob *)(void *)info->err;
  if (job->jpeg.input_scan_number <= MAX_JPEG_SCANS) return;
  host_fail(job->err, "JPEG: more than %d scans", (int)MAX_JPEG_SCANS);
  longjmp(job->jump, 1);
}

// x * y / 255, rounded to nearest, for 0 <= x, y <= 255; exact, in Pillow's way.
static int scale255(int x, int y) {
  int t = x * y + 128;
  return (t + (t >> 8)) >> 8;
}

static bool jpeg_body(JpegJob *job, const uint8_t *bytes, size_t n) {
  struct jpeg_decompress_struct *jpeg = &job->jpeg;
  jpeg_create_decompress(jpeg);
  jpeg->progress = &job->progress;
  jpeg_mem_src(jpeg, bytes, (unsigned long)n);
  jpeg_read_header(jpeg, TRUE);
  bool cmyk = jpeg->num_components == 4;
  if (jpeg->num_components != 1 && jpeg->num_components != 3 && !cmyk)
    return host_fail(job->err, "JPEG: %d components are not supported", jpeg->num_components);
  jpeg->out_color_space = cmyk ? JCS_CMYK : jpeg->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  if (!host_image_new(job->out, (int)jpeg->image_width, (int)jpeg->image_height, jpeg->num_components == 1 ? 1 : 3,
                      job->err))
    return false;
  if (cmyk && !(job->row = malloc((size_t)job->out->width * 4))) return host_fail(job->err, "out of memory");
  jpeg_start_decompress(jpeg);
  while (jpeg->output_scanline < jpeg->output_height) {
    uint8_t *dst = row_of(job->out, (int)jpeg->output_scanline), *row = cmyk ? job->row : dst;
    if (jpeg_read_scanlines(jpeg, &row, 1) != 1) return host_fail(job->err, "JPEG: file is truncated");
    if (!cmyk) continue;
    for (int x = 0; x < job->out->width; x++) // inks are stored inverted: 255 = none
      for (int c = 0; c < 3; c++) {
        int white = row[4 * x + 3];
        int value = white - scale255(255 - row[4 * x + c], white);
        dst[3 * x + c] = (uint8_t)(value < 0 ? 0 : value);
      }
  }
  // No jpeg_finish_decompress: all pixels are here, what follows them is of no interest.
  return true;
}

static bool decode_jpeg(const uint8_t *bytes, size_t n, HostImage *out, HostError *err) {
  JpegJob *job = calloc(1, sizeof *job);
  if (!job) return host_fail(err, "out of memory");
  job->err = err;
  job->out = out;
  job->jpeg.err = jpeg_std_error(&job->mgr);
  job->mgr.error_exit = jpeg_fatal;
  job->mgr.emit_message = jpeg_message;
  job->progress.progress_monitor = jpeg_tick;
  bool ok = false;
  if (setjmp(job->jump) == 0)
    ok = jpeg_body(job, bytes, n);
  else
    ok = false;
  jpeg_destroy_decompress(&job->jpeg); // a struct that was only zeroed is allowed
  free(job->row);
  free(job);
  return ok;
}

// ---- PNG ----

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

static bool png_body(PngJob *job) {
  png_structp png = job->png;
  png_set_read_fn(png, job, png_pull);
  png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
  png_set_chunk_malloc_max(png, 64u << 20);
  png_read_info(png, job->info);
  int depth = png_get_bit_depth(png, job->info), type = png_get_color_type(png, job->info);
  bool palette = type == PNG_COLOR_TYPE_PALETTE;
  if (palette) png_set_palette_to_rgb(png); // a tRNS chunk would turn it into RGBA
  if (palette && png_get_valid(png, job->info, PNG_INFO_tRNS)) png_set_strip_alpha(png);
  if (type == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (depth == 16) png_set_strip_16(png);
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, job->info);
  int channels = palette ? 3 : png_get_channels(png, job->info);
  if (!host_image_new(job->out, (int)png_get_image_width(png, job->info), (int)png_get_image_height(png, job->info),
                      channels, job->err))
    return false;
  if (png_get_rowbytes(png, job->info) != (size_t)job->out->width * (size_t)channels)
    return host_fail(job->err, "PNG: unexpected row size");
  job->out->nearest_only = palette || depth == 1;
  for (int pass = 0; pass < passes; pass++)
    for (int y = 0; y < job->out->height; y++) png_read_row(png, row_of(job->out, y), NULL);
  return true;
}

static bool png_guarded(PngJob *job) {
  if (setjmp(png_jmpbuf(job->png)) != 0) return false;
  return png_body(job);
}

static bool decode_png(const uint8_t *bytes, size_t n, HostImage *out, HostError *err) {
  PngJob *job = calloc(1, sizeof *job);
  if (!job) return host_fail(err, "out of memory");
  *job = (PngJob){.bytes = bytes, .left = n, .err = err, .out = out};
  job->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, job, png_fatal, png_ignore);
  if (job->png) job->info = png_create_info_struct(job->png);
  bool ok = job->info ? png_guarded(job) : host_fail(err, "out of memory");
  png_destroy_read_struct(&job->png, &job->info, NULL);
  free(job);
  return ok;
}

// ---- PPM, PGM ----

// Next number of the header: skips blanks and # comments. -1 if there is none below 10^8.
static int pnm_number(const uint8_t *bytes, size_t n, size_t *at) {
  while (*at < n && (strchr(" \t\r\n\v\f", bytes[*at]) || bytes[*at] == '#')) {
    if (bytes[*at] == '\0') return -1; // strchr finds the terminator
    if (bytes[*at] == '#')
      while (*at < n && bytes[*at] != '\n') ++*at;
    else
      ++*at;
  }
  int value = -1;
  for (; *at < n && bytes[*at] >= '0' && bytes[*at] <= '9'; ++*at) {
    if (value > 10 * 1000 * 1000) return -1;
    value = (value < 0 ? 0 : value) * 10 + (bytes[*at] - '0');
  }
  return value;
}

static bool decode_pnm(const uint8_t *bytes, size_t n, HostImage *out, HostError *err) {
  size_t at = 2;
  int channels = bytes[1] == '6' ? 3 : 1;
  int width = pnm_number(bytes, n, &at), height = pnm_number(bytes, n, &at), top = pnm_number(bytes, n, &at);
  if (width <= 0 || height <= 0 || top <= 0 || top > 65535 || at >= n) return host_fail(err, "PPM: bad header");
  at++; // exactly one blank
  size_t wide = top > 255 ? 2 : 1, count = (size_t)width * (size_t)height * (size_t)channels;
  // Sizes first, so that a short file that claims a huge picture allocates nothing.
  if ((int64_t)width * height <= HOST_MAX_PIXELS && (n - at) / wide < count)
    return host_fail(err, "PPM: file is truncated");
  if (!host_image_new(out, width, height, channels, err)) return false;
  for (size_t i = 0; i < count; i++) {
    uint32_t v = wide == 1 ? bytes[at + i] : (uint32_t)bytes[at + 2 * i] << 8 | bytes[at + 2 * i + 1];
    if (v > (uint32_t)top) v = (uint32_t)top;
    out->pixel[i] = (uint8_t)(top == 255 ? v : (v * 255 + (uint32_t)top / 2) / (uint32_t)top);
  }
  return true;
}

// ---- entry points ----

bool host_image_decode(const void *bytes, size_t n, HostImage *out, HostError *err) {
  const uint8_t *b = bytes;
  *out = (HostImage){0};
  bool ok;
  if (n >= 3 && b[0] == 0xff && b[1] == 0xd8 && b[2] == 0xff)
    ok = decode_jpeg(b, n, out, err);
  else if (n >= 8 && !memcmp(b, "\x89PNG\r\n\x1a\n", 8))
    ok = decode_png(b, n, out, err);
  else if (n >= 3 && b[0] == 'P' && (b[1] == '5' || b[1] == '6'))
    ok = decode_pnm(b, n, out, err);
  else
    ok = host_fail(err, "not a JPEG, PNG or binary PPM/PGM picture");
  if (!ok) host_image_free(out);
  return ok;
}

bool host_image_load(const char *path, HostImage *out, HostError *err) {
  size_t n = 0;
  *out = (HostImage){0};
  char *bytes = host_read_file(path, MAX_FILE, &n, err);
  if (!bytes) return false;
  HostError why = {""};
  bool ok = host_image_decode(bytes, n, out, &why);
  if (!ok) host_fail(err, "%.200s: %.300s", path, why.text);
  free(bytes);
  return ok;
}
