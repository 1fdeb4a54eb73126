// host.c - error text and whole-file reading; see host.h.
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool host_fail(HostError *err, const char *fmt, ...) {
  if (err) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    err->machine = false;
  }
  return false;
}

bool host_no_memory(HostError *err) {
  host_fail(err, "out of memory");
  if (err) err->machine = true;
  return false;
}

bool host_fail_file(HostError *err, const char *path) {
  bool machine = errno == ENOMEM || errno == EMFILE || errno == ENFILE;
  host_fail(err, "%.300s: %s", path, strerror(errno));
  if (err) err->machine = machine;
  return false;
}

// Why a path cannot be read at all; NULL if it is a file or a pipe.
static const char *unreadable(mode_t mode) {
  return S_ISREG(mode) || S_ISFIFO(mode) || S_ISSOCK(mode) ? NULL
         : S_ISDIR(mode)                                   ? "a folder, not a file"
                                                           : "a device, not a file or a pipe";
}

// Opens without waiting for a device; "-" is standard input. -1 with err set.
static int open_input(const char *path, struct stat *info, HostError *err) {
  bool standard = !strcmp(path, "-");
  const char *why = NULL;
  if (!standard && stat(path, info) == 0 && (why = unreadable(info->st_mode))) {
    host_fail(err, "%.300s: %s", path, why);
    return -1;
  }
  int fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, info) != 0 || (why = unreadable(info->st_mode))) {
    if (why)
      host_fail(err, "%.300s: %s", standard ? "standard input" : path, why);
    else
      host_fail_file(err, standard ? "standard input" : path);
    if (fd >= 0) close(fd);
    return -1;
  }
  return fd;
}

// Reads to the end, at most `limit` bytes; room: a guess. NULL with err set.
static char *read_all(int fd, const char *path, size_t room, size_t limit, size_t *n, HostError *err) {
  char *bytes = NULL;
  for (*n = 0;;) {
    if (*n > limit) {
      host_fail(err, "%.300s: above the limit of %zu bytes", path, limit);
      break;
    }
    if (!bytes || *n == room) {
      room = bytes ? 2 * room : room;
      char *more = realloc(bytes, room + 1);
      if (!more) {
        host_no_memory(err);
        break;
      }
      bytes = more;
    }
    ssize_t got = read(fd, bytes + *n, room - *n);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      host_fail_file(err, path);
      break;
    }
    if (got == 0) {
      bytes[*n] = '\0';
      return bytes;
    }
    *n += (size_t)got;
  }
  free(bytes);
  return NULL;
}

char *host_read_file(const char *path, size_t limit, size_t *n, HostError *err) {
  struct stat info;
  int fd = open_input(path, &info, err);
  if (fd < 0) return NULL;
  char *bytes = NULL;
  if (S_ISREG(info.st_mode) && (uint64_t)info.st_size > limit)
    host_fail(err, "%.300s: %lld bytes is above the limit of %zu", path, (long long)info.st_size, limit);
  else // one byte more than the file has, so that its end is seen without growing
    bytes = read_all(fd, path, S_ISREG(info.st_mode) ? (size_t)info.st_size + 1 : 1 << 16, limit, n, err);
  close(fd);
  return bytes;
}
