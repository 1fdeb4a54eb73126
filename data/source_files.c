// source_files.c - parts of files, mapped files, and files packed by gzip.
#include "source_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

bool data_file_look(DataFile *f, const char *path, HostError *err) {
  struct stat st;
  *f = (DataFile){.path = path};
  if (stat(path, &st) != 0) return host_fail_file(err, path);
  if (!S_ISREG(st.st_mode))
    return host_fail(err, "%.300s: data are read by position, from a regular file; this is %s", path,
                     S_ISDIR(st.st_mode) ? "a folder" : "none");
  f->size = (uint64_t)st.st_size;
  return true;
}

// Opens the file and sees that it is as long as it was.
static int open_same(const DataFile *f, HostError *err) {
  struct stat st;
  int fd = open(f->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st) != 0) {
    host_fail_file(err, f->path);
  } else if ((uint64_t)st.st_size != f->size) {
    host_fail(err, "%.300s has %lld bytes and had %llu when the run began: data may not change meanwhile", f->path,
              (long long)st.st_size, (unsigned long long)f->size);
  } else {
    return fd;
  }
  if (fd >= 0) close(fd);
  return -1;
}

bool data_file_read(const DataFile *f, uint64_t at, void *dst, size_t n, HostError *err) {
  int fd = open_same(f, err);
  if (fd < 0) return false;
  bool ok = true;
  for (size_t done = 0; ok && done < n;) {
    ssize_t got = pread(fd, (char *)dst + done, n - done, (off_t)(at + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      ok = host_fail_file(err, f->path);
    else if (got == 0)
      ok = host_fail(err, "%.300s: cut off at byte %llu", f->path, (unsigned long long)(at + done));
    else
      done += (size_t)got;
  }
  close(fd);
  return ok;
}

bool data_map(DataMap *m, const DataFile *f, HostError *err) {
  *m = (DataMap){0};
  int fd = open_same(f, err);
  if (fd < 0) return false;
  bool ok = true;
  if (f->size) {
    void *p = mmap(NULL, (size_t)f->size, PROT_READ, MAP_PRIVATE, fd, 0);
    ok = p != MAP_FAILED || host_fail_file(err, f->path);
    if (ok) *m = (DataMap){p, (size_t)f->size, false};
  }
  close(fd);
  return ok;
}

// All of a gzip file, malloc'd.
static bool unpack(DataMap *m, const DataFile *f, size_t limit, HostError *err) {
  gzFile z = gzopen(f->path, "rbe");
  if (!z) return host_fail_file(err, f->path);
  size_t room = 1 << 16, n = 0;
  uint8_t *bytes = malloc(room);
  bool ok = bytes || host_no_memory(err);
  while (ok) {
    int got = gzread(z, bytes + n, (unsigned)(room - n < 1 << 30 ? room - n : 1 << 30)), problem = Z_OK;
    const char *why = gzerror(z, &problem);
    if (got < 0 || problem == Z_BUF_ERROR) { // a file that is cut off is a buffer error behind what could be read
      ok = host_fail(err, "%.300s: %s", f->path, problem == Z_BUF_ERROR ? "cut off" : why);
      break;
    }
    if (got == 0) break;
    n += (size_t)got;
    if (n > limit) ok = host_fail(err, "%.300s: more than %zu bytes when unpacked", f->path, limit);
    if (ok && n == room) {
      room *= 2;
      uint8_t *more = realloc(bytes, room);
      if (more)
        bytes = more;
      else
        ok = host_no_memory(err);
    }
  }
  gzclose(z);
  if (ok)
    *m = (DataMap){bytes, n, true};
  else
    free(bytes);
  return ok;
}

bool data_map_unpacked(DataMap *m, const DataFile *f, size_t limit, HostError *err) {
  unsigned char magic[2] = {0};
  *m = (DataMap){0};
  if (f->size >= 2 && !data_file_read(f, 0, magic, 2, err)) return false;
  return magic[0] == 0x1f && magic[1] == 0x8b ? unpack(m, f, limit, err) : data_map(m, f, err);
}

void data_unmap(DataMap *m) {
  if (m->heap)
    free((void *)(uintptr_t)m->bytes);
  else if (m->n)
    munmap((void *)(uintptr_t)m->bytes, m->n);
  *m = (DataMap){0};
}
