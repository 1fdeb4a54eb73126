// face_npy.c - NumPy's .npy files, versions 1 to 3: reading little-endian C-order arrays of up to six axes, writing
// float32, int32 and bool.
//
// Invariants: no byte of a file is trusted: sizes are checked against the file's length before memory is taken; f8
// becomes float, i8 must fit int32_t. A file that is written is whole or absent (ir/base/newfile.h).
//
//   FaceArray a;
//   if (!face_npy_read("x.npy", &a, &err)) return report(err.text);
#include "face_parts.h"

#include "ir/base/newfile.h"
#include "textfile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t npy_limit = (size_t)1 << 34;

size_t face_dtype_bytes(char dtype) {
  return dtype == 'b' ? 1 : 4;
}

void face_array_free(FaceArray *a) {
  free(a->data);
  *a = (FaceArray){0};
}

// The text behind 'key': in the header's Python dictionary.
static const char *header_value(const char *header, const char *key) {
  const char *s = strstr(header, key);
  if (!s) return NULL;
  s += strlen(key);
  while (*s == ' ' || *s == ':') s++;
  return s;
}

static bool read_shape(const char *s, FaceArray *a) {
  if (!s || *s != '(') return false;
  a->n = 1;
  for (s++; *s && *s != ')';) {
    char *end;
    while (*s == ' ' || *s == ',') s++;
    if (*s == ')') break;
    if (*s < '0' || *s > '9' || a->rank == 6) return false;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (errno || v > npy_limit || (v && a->n > npy_limit / v)) return false;
    a->dim[a->rank++] = (size_t)v;
    a->n *= (size_t)v;
    s = end;
  }
  return *s == ')';
}

typedef bool ConvertFn(const unsigned char *src, void *dst, size_t n);
static bool convert_4(const unsigned char *src, void *dst, size_t n) {
  memcpy(dst, src, 4 * n);
  return true;
}
static bool convert_1(const unsigned char *src, void *dst, size_t n) {
  for (size_t i = 0; i < n; i++) ((unsigned char *)dst)[i] = src[i] != 0;
  return true;
}
static bool convert_f8(const unsigned char *src, void *dst, size_t n) {
  for (size_t i = 0; i < n; i++) {
    double d;
    memcpy(&d, src + 8 * i, sizeof d);
    ((float *)dst)[i] = (float)d;
  }
  return true;
}
static bool convert_i8(const unsigned char *src, void *dst, size_t n) {
  for (size_t i = 0; i < n; i++) {
    int64_t v;
    memcpy(&v, src + 8 * i, sizeof v);
    if (v < INT32_MIN || v > INT32_MAX) return false;
    ((int32_t *)dst)[i] = (int32_t)v;
  }
  return true;
}
static const struct {
  const char *descr, *type;
  char dtype;
  size_t bytes;
  ConvertFn *convert;
} npy_types[] = {{"'<f4'", "F32", 'f', 4, convert_4},  {"'<f8'", "F64", 'f', 8, convert_f8},
                 {"'<i4'", "I32", 'i', 4, convert_4},  {"'<i8'", "I64", 'i', 8, convert_i8},
                 {"'|b1'", "BOOL", 'b', 1, convert_1}, {"'|u1'", "U8", 'b', 1, convert_1}};

static bool refuse(const char *path, const char *bytes, size_t size, HostError *err) {
  const char *other = size ? host_stand_in(bytes, size) : "empty";
  return other ? host_fail(err, "%.300s: this is %s", path, other) : host_fail(err, "%.300s: not a NumPy file", path);
}

static bool parse(const char *path, const char *bytes, size_t size, FaceArray *a, size_t *start, size_t *type,
                  HostError *err) {
  if (size < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0) return refuse(path, bytes, size, err);
  const unsigned char *u = (const unsigned char *)bytes;
  size_t at = u[6] == 1 ? 10 : 12, len = (size_t)u[8] | (size_t)u[9] << 8;
  if (u[6] > 1) len |= (size_t)u[10] << 16 | (size_t)u[11] << 24;
  char header[1024];
  if (len >= sizeof header || len > size - at) return host_fail(err, "%.300s: damaged header", path);
  memcpy(header, bytes + at, len);
  header[len] = 0;
  const char *descr = header_value(header, "'descr'"), *order = header_value(header, "'fortran_order'");
  if (!descr || !order || !read_shape(header_value(header, "'shape'"), a))
    return host_fail(err, "%.300s: damaged header, or more than six axes", path);
  if (!strncmp(order, "True", 4))
    return host_fail(err, "%.300s: Fortran order; save it with np.ascontiguousarray", path);
  *start = at + len;
  for (*type = 0; *type < sizeof npy_types / sizeof *npy_types; ++*type) {
    if (strncmp(descr, npy_types[*type].descr, strlen(npy_types[*type].descr)) != 0) continue;
    if ((size - *start) / npy_types[*type].bytes < a->n) return host_fail(err, "%.300s: cut off", path);
    a->dtype = npy_types[*type].dtype;
    return true;
  }
  return host_fail(err, "%.300s: element type %.8s is not one of f4 f8 i4 i8 b1 u1", path, descr);
}

static bool convert(const char *path, const char *bytes, size_t size, FaceArray *a, HostError *err) {
  size_t start = 0, type = 0;
  if (!parse(path, bytes, size, a, &start, &type, err)) return false;
  a->data = malloc(a->n * face_dtype_bytes(a->dtype) + 1);
  if (!a->data) return host_no_memory(err);
  return npy_types[type].convert((const unsigned char *)bytes + start, a->data, a->n) ||
         host_fail(err, "%.300s: an integer does not fit 32 bits", path);
}

bool face_npy_header(const char *path, const char *bytes, size_t size, FaceArray *out, size_t *start, HostError *err) {
  size_t type = 0;
  *out = (FaceArray){0};
  if (!parse(path, bytes, size, out, start, &type, err)) return false;
  if (npy_types[type].bytes == face_dtype_bytes(out->dtype)) return true;
  return host_fail(err, "%.300s: elements of 64 bits; save it with .astype(np.float32)", path);
}

const char *face_npy_layout(const char *path, const char *bytes, size_t size, FaceArray *out, size_t *start,
                            HostError *err) {
  size_t type = 0;
  *out = (FaceArray){0};
  return parse(path, bytes, size, out, start, &type, err) ? npy_types[type].type : NULL;
}

bool face_npy_read(const char *path, FaceArray *out, HostError *err) {
  size_t size = 0;
  *out = (FaceArray){0};
  char *bytes = host_read_file(path, npy_limit, &size, err);
  if (!bytes) return false;
  bool ok = convert(path, bytes, size, out, err);
  free(bytes);
  if (!ok) face_array_free(out);
  return ok;
}

size_t face_npy_start(const FaceArray *a, char dst[FACE_NPY_HEADER]) {
  char shape[160] = "";
  size_t at = 0;
  for (unsigned d = 0; d < a->rank; d++)
    at +=
        (size_t)snprintf(shape + at, sizeof shape - at, d || a->rank == 1 ? (d ? ", %zu" : "%zu,") : "%zu", a->dim[d]);
  const char *descr = a->dtype == 'f' ? "<f4" : a->dtype == 'i' ? "<i4" : "|b1";
  char *header = dst + 10;
  int n =
      snprintf(header, FACE_NPY_HEADER - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape);
  size_t len = ((size_t)n + 1 + 10 + 63) / 64 * 64 - 10;
  memset(header + n, ' ', len - (size_t)n);
  header[len - 1] = '\n';
  header[len] = 0;
  const unsigned char start[10] = {
      0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(len & 255), (unsigned char)(len >> 8)};
  memcpy(dst, start, sizeof start);
  return len + sizeof start;
}

static bool write_array(FILE *f, const FaceArray *a) {
  char header[FACE_NPY_HEADER];
  size_t start = face_npy_start(a, header);
  return fwrite(header, 1, start, f) == start && fwrite(a->data, face_dtype_bytes(a->dtype), a->n, f) == a->n;
}

bool face_npy_write(const char *path, const FaceArray *a, HostError *err) {
  NewFile file;
  if (!strcmp(path, "-"))
    return (write_array(stdout, a) && fflush(stdout) == 0) || host_fail(err, "standard output: %s", strerror(errno));
  bool ok = new_file_open(&file, path) && write_array(file.f, a) && new_file_put(&file, NEW_FILE_FAST);
  if (!ok) host_fail(err, "%.300s: %s", path, strerror(errno));
  new_file_drop(&file);
  return ok;
}
