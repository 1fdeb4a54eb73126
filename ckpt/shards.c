// shards.c - see shards.h. The index is hostile input too: it may name files beside it and no others.
#include "other.h"
#include "shards.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_INDEX = 100 * 1000 * 1000 }; // bytes

typedef struct Pair {
  const char *file, *name;
} Pair;

bool st_is_index(const char *path) {
  size_t n = strlen(path);
  return n > 5 && !strcmp(path + n - 5, ".json");
}

// The whole file, terminated; NULL on error.
static char *read_text(const char *path, size_t *n, StError *err) {
  int fd = st_open_file(path, n, err);
  FILE *f = fd < 0 ? NULL : fdopen(fd, "rb");
  char *text = NULL;
  *n = 0;
  if (!f) {
    if (fd >= 0) {
      st_fail(err, "%.300s: %s", path, strerror(errno));
      close(fd);
    }
    return NULL;
  }
  for (size_t cap = 65536, got = 1; got && *n <= MAX_INDEX; cap *= 2) {
    char *more = realloc(text, cap + 1);
    if (!more) break;
    text = more;
    got = fread(text + *n, 1, cap - *n, f);
    *n += got;
  }
  bool ok = text && !ferror(f) && *n <= MAX_INDEX;
  fclose(f);
  if (ok) {
    text[*n] = 0;
    return text;
  }
  st_fail(err, "%.300s: cannot be read, or longer than 100 MB", path);
  free(text);
  return NULL;
}

static int by_file(const void *a, const void *b) {
  const Pair *x = a, *y = b;
  int c = strcmp(x->file, y->file);
  return c ? c : strcmp(x->name, y->name);
}

// A file beside the index: no way to leave its folder.
static bool is_plain(const char *file) {
  return file[0] && file[0] != '.' && strlen(file) <= 255 && !strpbrk(file, "/\\");
}

// All pairs of weight_map, by file; NULL on error.
static Pair *read_pairs(const cJSON *root, size_t *n, StError *err) {
  const cJSON *map = cJSON_GetObjectItemCaseSensitive(root, "weight_map"), *c;
  if (!cJSON_IsObject(map) || !map->child) {
    st_fail(err, "no object 'weight_map' with entries: not the index of a checkpoint");
    return NULL;
  }
  *n = 0;
  cJSON_ArrayForEach(c, map)++ *n;
  Pair *pair = calloc(*n, sizeof *pair), *p = pair;
  if (!pair) {
    st_fail(err, "out of memory");
    return NULL;
  }
  cJSON_ArrayForEach(c, map) {
    if (!cJSON_IsString(c) || !is_plain(c->valuestring)) {
      st_fail(err, "tensor '%.200s': its shard is not the name of a file beside the index", c->string);
      free(pair);
      return NULL;
    }
    *p++ = (Pair){c->valuestring, c->string};
  }
  qsort(pair, *n, sizeof *pair, by_file);
  return pair;
}

// The path of a shard, to be freed.
static char *shard_path(const char *index, const char *file, StError *err) {
  const char *slash = strrchr(index, '/');
  size_t folder = slash ? (size_t)(slash - index) + 1 : 0, length = strlen(file);
  char *path = malloc(folder + length + 1);
  if (!path) {
    st_fail(err, "out of memory");
    return NULL;
  }
  memcpy(path, index, folder);
  memcpy(path + folder, file, length + 1);
  return path;
}

typedef struct Index {
  cJSON *root; // owns the texts
  Pair *pair;  // by file
  size_t n;
} Index;

static void index_free(Index *x) {
  free(x->pair);
  cJSON_Delete(x->root);
}

static bool index_read(Index *x, const char *path, StError *err) {
  size_t length;
  StError why = {""};
  char *text = read_text(path, &length, err);
  if (!text) return false;
  x->root = st_json_prescan("index", text, length, &why) ? cJSON_ParseWithLength(text, length) : NULL;
  char first = text[strspn(text, " \t\r\n")];
  if (!x->root && first != '{' && first != '[') st_is_other((const uint8_t *)text, length, &why);
  if (!x->root && !why.text[0]) st_fail(&why, "not valid JSON");
  x->pair = x->root ? read_pairs(x->root, &x->n, &why) : NULL;
  free(text);
  return x->pair || st_fail(err, "%.200s: %.300s", path, why.text);
}

static bool is_next_file(const Index *x, size_t i) {
  return !i || strcmp(x->pair[i].file, x->pair[i - 1].file) != 0;
}

bool st_index_each(const char *path, void (*each)(void *ud, const char *shard), void *ud, StError *err) {
  Index x = {0};
  bool ok = index_read(&x, path, err);
  for (size_t i = 0; i < x.n && ok; i++) {
    char *shard = is_next_file(&x, i) ? shard_path(path, x.pair[i].file, err) : NULL;
    if (is_next_file(&x, i)) ok = shard != NULL;
    if (shard) each(ud, shard);
    free(shard);
  }
  index_free(&x);
  return ok;
}

static StFile *open_shard(const char *index, const char *file, StError *err) {
  char *path = shard_path(index, file, err);
  StFile *f = path ? st_open(path, err) : NULL;
  free(path);
  return f;
}

static bool open_all(const char *path, const Index *x, StFile **file, size_t *n, StError *err) {
  for (size_t i = 0; i < x->n; i++) {
    if (is_next_file(x, i)) {
      if (*n == ST_MAX_SHARDS) return st_fail(err, "%.200s: more than %d shards", path, (int)ST_MAX_SHARDS);
      file[*n] = open_shard(path, x->pair[i].file, err);
      if (!file[*n]) return false;
      ++*n;
    }
    if (!st_find(file[*n - 1], x->pair[i].name))
      return st_fail(err, "%.200s: tensor '%.100s' is not in its shard %.100s", path, x->pair[i].name, x->pair[i].file);
  }
  return true;
}

size_t st_open_index(const char *path, StFile ***files, StError *err) {
  Index x = {0};
  size_t n = 0;
  bool ok = index_read(&x, path, err);
  StFile **file = ok ? calloc(ST_MAX_SHARDS, sizeof *file) : NULL;
  if (ok && !file) st_fail(err, "out of memory");
  ok = file && open_all(path, &x, file, &n, err);
  index_free(&x);
  if (ok) {
    *files = file;
    return n;
  }
  for (size_t i = 0; i < n; i++) st_close(file[i]);
  free(file);
  return 0;
}
