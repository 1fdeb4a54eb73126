// face_items.c - the items of embed: lines of a file, pictures, and the pictures below folders.
//
// Folders are read whole or not at all: a folder that cannot be read to its end is an error, for fewer vectors would
// look like all of them. Pictures of kinds that are not read are passed over and counted.
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "face_embed.h"

#include "common/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { DEEPEST = 64 };

// Names of pictures by their ends; read: kinds that the host library decodes.
static const struct {
  const char *end, *kind;
  bool read;
} ends[] = {{".jpg", "JPEG", true},
            {".jpeg", "JPEG", true},
            {".png", "PNG", true},
            {".ppm", "PPM", true},
            {".pgm", "PGM", true},
            {".webp", "WebP", true},
            {".gif", "GIF", false},
            {".bmp", "BMP", false},
            {".tif", "TIFF", false},
            {".tiff", "TIFF", false},
            {".heic", "HEIC", false},
            {".heif", "HEIC", false},
            {".avif", "AVIF", false},
            {".jxl", "JPEG XL", false},
            {".jp2", "JPEG 2000", false},
            {".svg", "SVG", false},
            {".ico", "ICO", false},
            {".jfif", "JFIF", false},
            {".jpe", "JPEG called .jpe", false}};

static bool add_item(FaceList *l, const char *s, HostError *err) {
  if (!(l->n & (l->n - 1))) { // room doubles at powers of two
    const char **at = realloc(l->at, (l->n ? 2 * l->n : 1) * sizeof *at);
    if (!at) return host_no_memory(err);
    l->at = at;
  }
  char *copy = malloc(strlen(s) + 1);
  if (!copy) return host_no_memory(err);
  l->at[l->n++] = strcpy(copy, s);
  return true;
}

static void pass_over(FaceItems *items, const char *kind) {
  size_t i = 0;
  while (i + 1 < FACE_PASSED && items->by_kind[i].kind && strcmp(items->by_kind[i].kind, kind) != 0) i++;
  items->by_kind[i].kind = items->by_kind[i].kind ? items->by_kind[i].kind : kind;
  items->by_kind[i].n++;
  items->passed++;
}

// A file found in a folder; pipe: or what is no file, which could be waited for without end.
static bool add_found(FaceItems *items, const char *path, const char *name, bool pipe, HostError *err) {
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++) {
    if (strcasecmp(dot, ends[i].end) != 0) continue;
    if (ends[i].read && !pipe) return add_item(&items->list, path, err);
    if (ends[i].read)
      text_line(stderr, "passed over, no regular file: %s", path);
    else
      pass_over(items, ends[i].kind);
    return true;
  }
  return true;
}

static bool add_folder(FaceItems *items, const char *path, int depth, HostError *err);

// One entry of a folder whose path has n bytes. Links to folders are not followed, names that begin with a dot are
// hidden.
static bool add_entry(FaceItems *items, const char *path, size_t n, const char *name, int depth, HostError *err) {
  char full[FACE_PATH];
  struct stat st;
  if (name[0] == '.') return true;
  int length = snprintf(full, sizeof full, "%.*s/%s", (int)n, path, name);
  if (length < 0 || length >= FACE_PATH) return host_fail(err, "%.300s: the path of %.100s is too long", path, name);
  if (lstat(full, &st) != 0) // it was there a moment ago
    return errno == ENOENT || host_fail_file(err, full);
  if (S_ISDIR(st.st_mode)) return add_folder(items, full, depth + 1, err);
  return add_found(items, full, name, stat(full, &st) == 0 && !S_ISREG(st.st_mode), err);
}

static bool add_folder(FaceItems *items, const char *path, int depth, HostError *err) {
  DIR *dir = depth < DEEPEST ? opendir(path) : NULL;
  if (!dir) return depth < DEEPEST ? host_fail_file(err, path) : host_fail(err, "%.300s: folders too deep", path);
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  bool ok = true;
  for (struct dirent *e; ok;) {
    errno = 0;
    e = readdir(dir);
    if (!e && errno) ok = host_fail_file(err, path);
    if (!e) break;
    ok = add_entry(items, path, n, e->d_name, depth, err);
  }
  closedir(dir);
  return ok;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool gather_lines(FaceItems *items, const char *path, HostError *err) {
  HostLabels lines;
  if (!host_lines_load(path, &lines, err)) return false;
  host_lines_trim(&lines);
  bool ok = true;
  for (size_t i = 0; ok && i < lines.count; i++) ok = add_item(&items->list, lines.name[i], err);
  host_labels_free(&lines);
  return ok && (items->list.n || host_fail(err, "%.300s has no lines", path));
}

bool face_items_gather(FaceItems *items, const FaceArgs *a, HostError *err) {
  *items = (FaceItems){0};
  if (a->lines) return gather_lines(items, a->lines, err);
  for (size_t i = 0; i < a->word.n; i++) {
    struct stat st;
    size_t first = items->list.n;
    bool folder = stat(a->word.at[i], &st) == 0 && S_ISDIR(st.st_mode);
    if (!(folder ? add_folder(items, a->word.at[i], 0, err) : add_item(&items->list, a->word.at[i], err))) return false;
    size_t n = items->list.n - first;
    if (folder && n) qsort(items->list.at + first, n, sizeof *items->list.at, by_name);
  }
  char passed[300];
  face_items_passed(items, passed, sizeof passed);
  return items->list.n || host_fail(err, "%.200s: no pictures there (.jpg, .jpeg, .png, .ppm, .pgm)%s%s",
                                    a->word.n ? a->word.at[0] : "", *passed ? "; " : "", passed);
}

void face_items_free(FaceItems *items) {
  for (size_t i = 0; i < items->list.n; i++) free((void *)(uintptr_t)items->list.at[i]);
  free(items->list.at);
  *items = (FaceItems){0};
}

void face_items_passed(const FaceItems *items, char *dst, size_t room) {
  *dst = 0;
  if (!items->passed) return;
  int n = snprintf(dst, room, "%zu file%s passed over", items->passed, items->passed == 1 ? "" : "s");
  for (size_t i = 0; i < FACE_PASSED && items->by_kind[i].kind && n >= 0 && (size_t)n < room; i++)
    n += snprintf(dst + n, room - (size_t)n, "%s %zu %s", i ? "," : ":", items->by_kind[i].n, items->by_kind[i].kind);
}
