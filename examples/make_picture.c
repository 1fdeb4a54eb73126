// make_picture.c: draws a picture to try a model on: a sky that darkens upwards and a sun. Written as JPEG, or as PNG
// if the name ends in .png.
//
//   cc examples/make_picture.c -ljpeg -lpng -o make_picture && ./make_picture picture.jpg 320 240
#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h> // needs stdio.h before it

enum { MIN_SIDE = 8, MAX_SIDE = 8192 };

// One row of w RGB pixels at height y of h.
static void draw_row(uint8_t *row, int w, int h, int y) {
  int cx = w * 2 / 3, cy = h / 3, radius = (w < h ? w : h) / 5;
  for (int x = 0; x < w; x++) {
    int dx = x - cx, dy = y - cy, share = y * 255 / h;
    int inside = dx * dx + dy * dy <= radius * radius;
    row[3 * x] = (uint8_t)(inside ? 250 : 40 + share / 2);
    row[3 * x + 1] = (uint8_t)(inside ? 210 : 90 + share / 2);
    row[3 * x + 2] = (uint8_t)(inside ? 60 : 200 - share / 3);
  }
}

static void write_jpeg(FILE *f, uint8_t *row, int w, int h) {
  struct jpeg_compress_struct c;
  struct jpeg_error_mgr errors;
  c.err = jpeg_std_error(&errors); // ends the program on an error
  jpeg_create_compress(&c);
  jpeg_stdio_dest(&c, f);
  c.image_width = (JDIMENSION)w;
  c.image_height = (JDIMENSION)h;
  c.input_components = 3;
  c.in_color_space = JCS_RGB;
  jpeg_set_defaults(&c);
  jpeg_set_quality(&c, 90, TRUE);
  jpeg_start_compress(&c, TRUE);
  for (int y = 0; y < h; y++) {
    JSAMPROW rows[1] = {row};
    draw_row(row, w, h, y);
    jpeg_write_scanlines(&c, rows, 1);
  }
  jpeg_finish_compress(&c);
  jpeg_destroy_compress(&c);
}

static void write_png(FILE *f, uint8_t *row, int w, int h) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info || setjmp(png_jmpbuf(png))) {
    fprintf(stderr, "make_picture: libpng failed\n");
    exit(3);
  }
  png_init_io(png, f);
  png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (int y = 0; y < h; y++) {
    draw_row(row, w, h, y);
    png_write_row(png, row);
  }
  png_write_end(png, NULL);
  png_destroy_write_struct(&png, &info);
}

int main(int argc, char **argv) {
  int w = argc > 2 ? atoi(argv[2]) : 320, h = argc > 3 ? atoi(argv[3]) : 240;
  if (argc < 2 || argc > 4 || w < MIN_SIDE || h < MIN_SIDE || w > MAX_SIDE || h > MAX_SIDE) {
    fprintf(stderr, "usage: make_picture FILE.jpg|FILE.png [WIDTH [HEIGHT]]\n");
    return 2;
  }
  size_t n = strlen(argv[1]);
  int png = n > 4 && !strcmp(argv[1] + n - 4, ".png");
  uint8_t *row = malloc((size_t)w * 3);
  FILE *f = row ? fopen(argv[1], "wb") : NULL;
  if (!f) {
    fprintf(stderr, "make_picture: cannot write %s\n", argv[1]);
    return 3;
  }
  if (png)
    write_png(f, row, w, h);
  else
    write_jpeg(f, row, w, h);
  free(row);
  return fclose(f) == 0 ? 0 : 3;
}
