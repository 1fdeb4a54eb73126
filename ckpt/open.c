// open.c - opening: from a path or from bytes to the reader of the kind that they are. A file that is no checkpoint is
// called what it is (other.c) before it is called damaged.
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE // madvise
#endif
#include "gguf.h"
#include "other.h"
#include "torch.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// A length, and behind it the JSON of a header. Files that begin otherwise are something else, or damaged.
static bool looks_like_safetensors(const uint8_t *bytes, size_t n) {
  return n > 8 && !bytes[4] && !bytes[5] && !bytes[6] && !bytes[7] && bytes[8] == '{';
}

static bool read_any(StFile *f, const uint8_t *bytes, size_t n, const char *state, StError *err) {
  if (torch_is_archive(bytes, n)) return torch_read(f, bytes, n, state, err);
  if (torch_is_legacy(bytes, n)) return torch_refuse_legacy(err);
  bool gguf = gguf_is(bytes, n);
  if (!gguf && !looks_like_safetensors(bytes, n) && st_is_other(bytes, n, err)) return false;
  if (state)
    return st_fail(err, "not a PyTorch file: there are no dictionaries of which --state could take '%.100s'", state);
  if (gguf) return gguf_read(f, bytes, n, err);
  return st_read_header(f, bytes, n, err);
}

StFile *st_open_memory_state(const void *bytes, size_t n, const char *state, StError *err) {
  StFile *f = calloc(1, sizeof *f);
  if (!f) {
    st_fail(err, "out of memory");
    return NULL;
  }
  f->kind = "safetensors";
  f->pool.limit = SIZE_MAX / 2; // bounded by st_json_prescan and by gguf.c's counts
  if (read_any(f, bytes, n, state, err)) return f;
  st_close(f);
  return NULL;
}

StFile *st_open_memory(const void *bytes, size_t n, StError *err) {
  return st_open_memory_state(bytes, n, NULL, err);
}

static const char *kind_of(mode_t mode) {
  return S_ISDIR(mode)    ? "a folder; name the file in it (model.safetensors, pytorch_model.bin, or their index)"
         : S_ISFIFO(mode) ? "a pipe; a checkpoint is read where it lies, so write it to a file first"
         : S_ISSOCK(mode) ? "a socket, not a regular file"
                          : "a device, not a regular file";
}

int st_open_file(const char *path, size_t *bytes, StError *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe does not wait for its writer
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0) {
    st_fail(err, "%.300s: %s", path, errno == ENXIO ? "a socket or a device, not a regular file" : strerror(errno));
  } else if (!S_ISREG(info.st_mode)) {
    st_fail(err, "%.300s: %s", path, kind_of(info.st_mode));
  } else {
    *bytes = (size_t)info.st_size;
    return fd;
  }
  if (fd >= 0) close(fd);
  return -1;
}

// The whole file, mapped; NULL on error. An empty one cannot be mapped.
static void *map_file(const char *path, size_t *bytes, StError *err) {
  int fd = st_open_file(path, bytes, err);
  if (fd < 0) return NULL;
  void *map = *bytes ? mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
  StError why = {""};
  if (map == MAP_FAILED && !*bytes && st_is_other(NULL, 0, &why)) st_fail(err, "%.200s: %.300s", path, why.text);
  if (map == MAP_FAILED && *bytes) st_fail(err, "%.300s: cannot map: %s", path, strerror(errno));
  close(fd); // the mapping stays
  return map == MAP_FAILED ? NULL : map;
}

StFile *st_open_state(const char *path, const char *state, StError *err) {
  size_t bytes = 0;
  void *map = map_file(path, &bytes, err);
  if (!map) return NULL;
  StError why = {""};
  StFile *f = st_open_memory_state(map, bytes, state, &why);
  if (!f) {
    munmap(map, bytes);
    st_fail(err, "%.200s: %.300s", path, why.text);
    return NULL;
  }
  f->map = map;
  f->bytes = bytes;
  return f;
}

StFile *st_open(const char *path, StError *err) {
  return st_open_state(path, NULL, err);
}

void st_close(StFile *f) {
  if (!f) return;
  if (f->map) munmap(f->map, f->bytes);
  cJSON_Delete(f->json);
  st_pool_free(&f->pool);
  st_pool_free(&f->data);
  free(f);
}

void st_release(const StFile *f) {
  if (f->map) madvise(f->map, f->bytes, MADV_DONTNEED);
}

const char *st_kind(const StFile *f) {
  return f->kind;
}

const char *st_note(const StFile *f) {
  return f->note;
}
