// image_jpeg.c - JPEG files by libjpeg; see image.h for the modes.
//
// The library reports errors by a callback that must not return, so the decoder is a setjmp around a body. What must
// survive the jump lives in a struct whose address is taken before setjmp (JpegJob), never in locals changed after it.
#include "image_parts.h"

#include <setjmp.h>
#include <stdio.h> // jpeglib.h needs it first
#include <stdlib.h>

#include <jpeglib.h>
#include <jerror.h>

// A few bytes of a scan can ask for work on every pixel: files in use have ten scans, rarely twenty.
enum { MAX_JPEG_SCANS = 100 };
// A block of 8 x 8 takes a bit at least, of one component of up to 4 x 4 times fewer blocks than the picture has.
enum { MAX_PIXELS_A_BYTE = 2048 };
static const int64_t MAX_JPEG_WORK = INT64_C(3000) * 1000 * 1000; // pixels times scans

typedef struct {
  struct jpeg_error_mgr mgr; // first: libjpeg hands back its address
  struct jpeg_progress_mgr progress;
  struct jpeg_decompress_struct jpeg;
  jmp_buf jump;
  HostError *err;
  HostImage *out;
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
  int64_t scans = job->jpeg.input_scan_number, pixels = (int64_t)job->jpeg.image_width * job->jpeg.image_height;
  if (scans <= MAX_JPEG_SCANS && scans * pixels <= MAX_JPEG_WORK) return;
  host_fail(job->err, "JPEG: %d scans of %u x %u pixels are above the limit", (int)scans, job->jpeg.image_width,
            job->jpeg.image_height);
  longjmp(job->jump, 1);
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
  if ((int64_t)jpeg->image_width * jpeg->image_height / MAX_PIXELS_A_BYTE >
      (int64_t)n) // before memory is taken for them
    return host_fail(job->err, "JPEG: file is truncated: %zu bytes for %u x %u pixels", n, jpeg->image_width,
                     jpeg->image_height);
  jpeg->out_color_space = cmyk ? JCS_CMYK : jpeg->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  if (!host_image_new(job->out, (int)jpeg->image_width, (int)jpeg->image_height, jpeg->num_components, job->err))
    return false;
  if (cmyk) job->out->kind = HOST_CMYK;
  jpeg_start_decompress(jpeg);
  while (jpeg->output_scanline < jpeg->output_height) {
    uint8_t *row = host_image_row(job->out, (int)jpeg->output_scanline);
    if (jpeg_read_scanlines(jpeg, &row, 1) != 1) return host_fail(job->err, "JPEG: file is truncated");
    for (int i = 0; cmyk && i < 4 * job->out->width; i++) row[i] = (uint8_t)(255 - row[i]); // stored inverted
  }
  // No jpeg_finish_decompress: all pixels are here, what follows them is of no interest.
  return true;
}

bool host_decode_jpeg(const uint8_t *bytes, size_t n, HostImage *out, HostError *err) {
  JpegJob *job = calloc(1, sizeof *job);
  if (!job) return host_no_memory(err);
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
  free(job);
  return ok;
}
