// host.c - error text and whole-file reading; see host.h.
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool host_fail(HostError *err, const char *fmt, ...) {
  if (err) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
  }
  return false;
}

char *host_read_file(const char *path, size_t limit, size_t *n, HostError *err) {
  FILE *f = fopen(path, "rb");
  if (!f) {
    host_fail(err, "%.300s: %s", path, strerror(errno));
    return NULL;
  }
  struct stat info;
  char *bytes = NULL;
  if (fstat(fileno(f), &info) != 0 || !S_ISREG(info.st_mode)) {
    host_fail(err, "%.300s: not a regular file", path);
  } else if ((uint64_t)info.st_size > limit) {
    host_fail(err, "%.300s: %lld bytes is above the limit of %zu", path, (long long)info.st_size, limit);
  } else if (!(bytes = malloc((size_t)info.st_size + 1))) {
    host_fail(err, "out of memory");
  } else {
    *n = fread(bytes, 1, (size_t)info.st_size, f);
    bytes[*n] = '\0';
    if (ferror(f)) {
      host_fail(err, "%.300s: %s", path, strerror(errno));
      free(bytes);
      bytes = NULL;
    }
  }
  fclose(f);
  return bytes;
}
