// file.c: whole-file reading and all-or-nothing writing (temporary file beside the target, then rename).
#include "base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

char *file_read(Arena *a, const char *path, size_t *n, const char **err) {
  bool std_in = !strcmp(path, "-");
  FILE *f = std_in ? stdin : fopen(path, "rb");
  struct stat st;
  if (!f || (!std_in && fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode))) {
    *err = arena_strdup(a, f ? "is a directory" : strerror(errno));
    if (f) fclose(f);
    return NULL;
  }
  Buf b = {0};
  char chunk[65536];
  size_t got;
  while ((got = fread(chunk, 1, sizeof chunk, f)) > 0) buf_putn(&b, chunk, got);
  bool bad = ferror(f) != 0;
  if (bad) *err = arena_strdup(a, strerror(errno));
  if (!std_in) fclose(f);
  char *s = bad ? NULL : arena_strndup(a, b.s ? b.s : "", b.n);
  *n = b.n;
  buf_free(&b);
  return s;
}

static bool write_all(FILE *f, const void *data, size_t n) {
  return fwrite(data, 1, n, f) == n && fflush(f) == 0;
}

bool file_is_special(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

// A device or a pipe is written to as it is: a rename would put a file in its place (think of /dev/null and root).
static bool write_special(const char *path, const void *data, size_t n) {
  FILE *f = fopen(path, "wb");
  bool ok = f && write_all(f, data, n);
  int why = errno;
  if (f) fclose(f);
  errno = why;
  return ok;
}

bool file_write(const char *path, const void *data, size_t n, const char **err) {
  if (!strcmp(path, "-") || file_is_special(path)) {
    bool ok = strcmp(path, "-") ? write_special(path, data, n) : write_all(stdout, data, n);
    if (!ok) *err = strerror(errno);
    return ok;
  }
  size_t len = strlen(path);
  char *tmp = malloc(len + 16);
  if (!tmp) ICE("out of memory");
  snprintf(tmp, len + 16, "%s.tmpXXXXXX", path);
  int fd = mkstemp(tmp);
  FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
  bool ok = f && write_all(f, data, n);
  if (!ok) *err = strerror(errno);
  if (f) {
    mode_t mask = umask(0);
    umask(mask);
    if (ok) fchmod(fd, 0666 & ~mask);
    if (fclose(f) != 0 && ok) ok = false, *err = strerror(errno);
  }
  if (ok && rename(tmp, path) != 0) ok = false, *err = strerror(errno);
  if (!ok && fd >= 0) unlink(tmp);
  free(tmp);
  return ok;
}
