// map.c: a weight file as read-only memory: mapped where the file system can, read into aligned memory otherwise.
//
// Invariants: only regular files (a pipe would block, a directory makes no sense); data is aligned to 64 bytes at
// least; after a failure the map is empty, so that sy_map_close may always be called. A file that another process
// truncates while it is mapped is the system's SIGBUS: replace weight files by renaming, as `syc weights pack` does.
// (The command line of a compiled program names the file then; see host/guard.c.)
//
//   sy_map m;
//   if (sy_map_open(&m, "vit.syw", SY_MAP_POPULATE) != SY_OK) fprintf(stderr, "%s\n", strerror(m.sys_errno));
//   sy_map_close(&m);
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // MAP_POPULATE, madvise
#endif
#include "switchyard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void *sy_memory(size_t bytes) {
  const size_t large = (size_t)1 << 21; // a page of the next size of x86-64, and of aarch64 with pages of 4 KiB
  size_t align = bytes >= 2 * large ? large : SY_ALIGN;
  if (bytes > SIZE_MAX - align) return NULL;
  size_t whole = (bytes + align - 1) / align * align;
  void *p = aligned_alloc(align, whole ? whole : align);
#ifdef MADV_HUGEPAGE
  if (p && align == large) madvise(p, whole, MADV_HUGEPAGE); // a hint: failure changes nothing
#endif
  return p;
}

static sy_status fail(sy_map *m, int sys_errno, sy_status status) {
  memset(m, 0, sizeof *m);
  m->sys_errno = sys_errno;
  return status;
}

static sy_status map_read(sy_map *m, int fd, size_t bytes) {
  char *p = sy_memory(bytes);
  if (!p) return fail(m, ENOMEM, SY_ENOMEM);
  size_t got = 0;
  while (got < bytes) {
    ssize_t n = read(fd, p + got, bytes - got);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      int why = n < 0 ? errno : EIO; // 0: the file became shorter
      free(p);
      return fail(m, why, SY_EIO);
    }
    got += (size_t)n;
  }
  m->data = p;
  m->bytes = bytes;
  return SY_OK;
}

static sy_status map_fd(sy_map *m, int fd, unsigned flags) {
  struct stat info;
  if (fstat(fd, &info) != 0) return fail(m, errno, SY_EIO);
  if (S_ISDIR(info.st_mode)) return fail(m, EISDIR, SY_EIO);
  if (!S_ISREG(info.st_mode)) return fail(m, EINVAL, SY_EIO);
  if (info.st_size == 0) return fail(m, 0, SY_EWEIGHTS);
  if ((uintmax_t)info.st_size > SIZE_MAX) return fail(m, EFBIG, SY_EIO);
  size_t bytes = (size_t)info.st_size;
  if (flags & SY_MAP_READ) return map_read(m, fd, bytes);
  int how = MAP_PRIVATE;
#ifdef MAP_POPULATE
  if (flags & SY_MAP_POPULATE) how |= MAP_POPULATE;
#endif
  void *p = mmap(NULL, bytes, PROT_READ, how, fd, 0);
  if (p == MAP_FAILED) return map_read(m, fd, bytes);
#ifdef MADV_HUGEPAGE
  madvise(p, bytes, MADV_HUGEPAGE); // hints: failure changes nothing
#endif
  madvise(p, bytes, MADV_WILLNEED);
  m->data = p;
  m->bytes = bytes;
  m->mapped = 1;
  return SY_OK;
}

sy_status sy_map_open(sy_map *m, const char *path, unsigned flags) {
  if (!m) return SY_EINVAL;
  memset(m, 0, sizeof *m);
  if (!path) return SY_EINVAL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // non-blocking: opening a pipe must not hang
  if (fd < 0) return fail(m, errno, SY_EIO);
  sy_status s = map_fd(m, fd, flags);
  close(fd);
  return s;
}

void sy_map_close(sy_map *m) {
  if (!m || !m->data) return;
  union {
    const void *in;
    void *out;
  } p = {m->data}; // the one place where the memory is not const: giving it back
  if (m->mapped)
    munmap(p.out, m->bytes);
  else
    free(p.out);
  memset(m, 0, sizeof *m);
}
