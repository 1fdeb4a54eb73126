// source_folder.c - a folder of class folders: what `embed` finds below it (host/face_items.c), with the first folder
// on the way to a picture as its class.
//
//   animals/cat/1.jpg, animals/dog/a/2.png      ->  classes cat, dog
#include "source_parts.h"

#include "host/face_embed.h"

#include <string.h>

// Bytes of the class in a relative path; 0: it has none.
static size_t class_length(const char *relative) {
  const char *slash = strchr(relative, '/');
  return slash ? (size_t)(slash - relative) : 0;
}

static void folder_classes(const DataSource *s, DataNames *out) {
  for (uint32_t i = 0; i < s->count; i++) {
    const char *name = s->names + s->index.at[i];
    data_names_add(out, name, class_length(name));
  }
}

static bool read_picture(const DataSource *s, uint32_t i, DataSample *out, HostError *err) {
  (void)err;
  const char *name = s->names + s->index.at[i];
  out->where = arena_printf(&out->arena, "%s/%s", s->path, name);
  out->root = "";
  const char **path = ARENA_NEW(&out->arena, const char *);
  *path = out->where;
  DataField *f = data_add_field(out, "image", DATA_FILE);
  f->text = path;
  f->n = 1;
  size_t n = class_length(name);
  if (n) data_add_text(out, "label", arena_strndup(&out->arena, name, n));
  return true;
}

static const DataSourceKind folder_kind = {
    .name = "folder of pictures", .read = read_picture, .classes = folder_classes};

bool data_open_folder(Data *d, const char *path, HostError *err) {
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  const char *folder = arena_strndup(&d->arena, path, n), *word[] = {folder};
  FaceItems items;
  FaceArgs args = {.word = {word, 1}};
  if (!face_items_gather(&items, &args, err)) {
    face_items_free(&items);
    return false;
  }
  if (items.list.n >= UINT32_MAX) {
    face_items_free(&items);
    return host_fail(err, "%.300s: too many pictures", path);
  }
  DataSource *s = data_add(d, &folder_kind, folder);
  Buf names = {0};
  for (size_t i = 0; i < items.list.n; i++) {
    const char *relative = items.list.at[i] + n;
    while (*relative == '/') relative++;
    data_index_push(&s->index, names.n);
    buf_putn(&names, relative, strlen(relative) + 1);
  }
  s->count = (uint32_t)items.list.n;
  char passed[300];
  face_items_passed(&items, passed, sizeof passed);
  if (*passed) s->note = arena_strdup(&d->arena, passed);
  face_items_free(&items);
  char *kept = arena_alloc(&d->arena, names.n + 1);
  memcpy(kept, names.s, names.n);
  buf_free(&names);
  s->names = kept;
  return true;
}
