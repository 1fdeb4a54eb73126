// file.c: whole-file reading, and writing that is whole or does not happen (newfile.c).
#include "base.h"
#include "newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { FILE_MOST = 1 << 28, WRITER_SECONDS = 5 };

// /dev/null is an empty file and a terminal can be typed at; other devices have no end, or are no text.
static bool is_readable_device(int fd, const struct stat *st) {
  return S_ISCHR(st->st_mode) && (isatty(fd) || st->st_rdev == makedev(1, 3));
}

// A pipe with a name is opened without waiting; who wants to write to it has some seconds to come.
static const char *wait_for_writer(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  int n = poll(&p, 1, WRITER_SECONDS * 1000);
  if (n < 0) return strerror(errno);
  if (n == 0) return "it is a pipe, and nobody writes to it";
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 ? NULL : strerror(errno);
}

// NULL if the content of fd can be read, else why not.
static const char *cannot_read(int fd, bool stream) {
  struct stat st;
  if (fstat(fd, &st) != 0) return strerror(errno);
  if (S_ISDIR(st.st_mode)) return "is a directory";
  if (stream || S_ISREG(st.st_mode) || is_readable_device(fd, &st)) return NULL;
  if (S_ISFIFO(st.st_mode)) return wait_for_writer(fd);
  return "is a device";
}

static int open_to_read(const char *path, bool *stream) {
  int fd = !strcmp(path, "-") ? STDIN_FILENO : stream_of_path(path);
  *stream = fd >= 0;
  return *stream ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static const char *read_to_end(int fd, Buf *b) {
  static char chunk[65536];
  for (;;) {
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return strerror(errno);
    if (n == 0) return NULL;
    buf_putn(b, chunk, (size_t)n);
    if (b->n > FILE_MOST) return "it has more than 256 MB";
  }
}

char *file_read(Arena *a, const char *path, size_t *n, const char **err) {
  bool stream;
  int fd = open_to_read(path, &stream);
  const char *why = fd < 0 ? strerror(errno) : cannot_read(fd, stream);
  Buf b = {0};
  if (!why) why = read_to_end(fd, &b);
  if (fd >= 0) close(fd);
  char *s = why ? NULL : arena_strndup(a, b.s ? b.s : "", b.n);
  if (why) *err = arena_strdup(a, why);
  *n = b.n;
  buf_free(&b);
  return s;
}

bool file_is_special(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

static bool write_all(FILE *f, const void *data, size_t n) {
  return fwrite(data, 1, n, f) == n && fflush(f) == 0;
}

bool file_write(const char *path, const void *data, size_t n, const char **err) {
  NewFile out = {0};
  bool ok = !strcmp(path, "-")
                ? write_all(stdout, data, n)
                : new_file_open(&out, path) && write_all(out.f, data, n) && new_file_put(&out, NEW_FILE_FAST);
  if (!ok) *err = strerror(errno);
  new_file_drop(&out);
  return ok;
}
