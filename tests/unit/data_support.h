// data_support.h - a folder of small files for the tests of data/.
#ifndef SWITCHYARD_TESTS_DATA_SUPPORT_H
#define SWITCHYARD_TESTS_DATA_SUPPORT_H

#include <criterion/criterion.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char data_folder[64];

static inline void data_folder_begin(void) {
  strcpy(data_folder, "/tmp/sy-data-XXXXXX");
  cr_assert_not_null(mkdtemp(data_folder));
}

static inline void data_folder_end(void) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", data_folder);
  cr_assert_eq(system(command), 0);
}

// The path of a name in the folder; up to eight are there at a time.
static inline const char *data_path(const char *name) {
  static char path[8][256];
  static unsigned next;
  char *p = path[next++ % 8];
  snprintf(p, sizeof path[0], "%s/%s", data_folder, name);
  return p;
}

// Writes a file, with the folders on its way.
static inline const char *data_bytes(const char *name, const void *bytes, size_t n) {
  const char *path = data_path(name);
  char part[256];
  for (const char *s = path + strlen(data_folder) + 1; (s = strchr(s, '/')); s++) {
    snprintf(part, sizeof part, "%.*s", (int)(s - path), path);
    mkdir(part, 0777);
  }
  FILE *f = fopen(path, "wb");
  cr_assert_not_null(f, "%s", path);
  cr_assert_eq(fwrite(bytes, 1, n, f), n);
  cr_assert_eq(fclose(f), 0);
  return path;
}
static inline const char *data_text_file(const char *name, const char *text) {
  return data_bytes(name, text, strlen(text));
}

// A picture of one colour.
static inline const char *data_ppm(const char *name, int width, int height, unsigned r, unsigned g, unsigned b) {
  char *all = malloc((size_t)(width * height) * 3 + 64);
  int n = sprintf(all, "P6 %d %d 255\n", width, height);
  for (int i = 0; i < width * height; i++) {
    all[n++] = (char)r;
    all[n++] = (char)g;
    all[n++] = (char)b;
  }
  const char *path = data_bytes(name, all, (size_t)n);
  free(all);
  return path;
}

// An .npy file; descr like "<f4", shape like "(3, 2)".
static inline size_t data_npy_image(char *to, const char *descr, const char *shape, const void *bytes, size_t n) {
  char header[256];
  int used = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
  size_t length = (size_t)(used + 1 + 10 + 63) / 64 * 64 - 10;
  memcpy(to, "\x93NUMPY\1\0", 8);
  to[8] = (char)(length & 255);
  to[9] = (char)(length >> 8);
  memset(to + 10, ' ', length);
  memcpy(to + 10, header, (size_t)used);
  to[10 + length - 1] = '\n';
  memcpy(to + 10 + length, bytes, n);
  return 10 + length + n;
}
static inline const char *data_npy(const char *name, const char *descr, const char *shape, const void *bytes,
                                   size_t n) {
  char *all = malloc(n + 512);
  const char *path = data_bytes(name, all, data_npy_image(all, descr, shape, bytes, n));
  free(all);
  return path;
}

// A growing tar archive.
typedef struct DataTar {
  char at[1 << 16];
  size_t n;
} DataTar;
static inline void data_tar_add(DataTar *t, const char *name, char type, const void *bytes, size_t n) {
  char *h = t->at + t->n;
  unsigned sum = 0;
  memset(h, 0, 512);
  snprintf(h, 100, "%s", name);
  snprintf(h + 100, 8, "%07o", 0644u);
  char size[24];
  snprintf(size, sizeof size, "%011zo", n);
  memcpy(h + 124, size, 11);
  h[156] = type;
  memcpy(h + 257, "ustar\00000", 8);
  memset(h + 148, ' ', 8);
  for (int i = 0; i < 512; i++) sum += (unsigned char)h[i];
  snprintf(h + 148, 8, "%06o", sum);
  memcpy(h + 512, bytes, n);
  t->n += 512 + (n + 511) / 512 * 512;
}

#endif
