// source_arrays.c - arrays whose first axis counts samples: .npy, .safetensors, and the IDX files of MNIST.
//
// Arrays stay in their mapped files; a sample is a view of its row. IDX: u16 zero, type, number of axes, an u32 for
// each axis, elements; all with the high byte first (http://yann.lecun.com/exdb/mnist).
#include "source_parts.h"

#include "host/face_parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_UNPACKED = 1 << 30 };

typedef struct DataArray {
  const char *name;
  StTensor tensor;
  DataMap map; // its file; n 0: it belongs to another
} DataArray;

void data_add_row(DataSample *s, const char *name, const StTensor *t, size_t i) {
  StTensor row = *t;
  row.rank = t->rank - 1;
  memmove(row.shape, t->shape + 1, (ST_MAX_RANK - 1) * sizeof *row.shape);
  row.shape[ST_MAX_RANK - 1] = 0;
  row.bytes = t->shape[0] ? t->bytes / (size_t)t->shape[0] : 0;
  row.data = (const char *)t->data + i * row.bytes;
  row.name = name;
  data_add_field(s, name, DATA_TENSOR)->tensor = row;
}

static bool read_rows(const DataSource *s, uint32_t i, DataSample *out, HostError *err) {
  (void)err;
  out->where = arena_printf(&out->arena, "%s, row %lu", s->path, (unsigned long)i);
  out->root = s->root;
  for (size_t k = 0; k < s->narray; k++) data_add_row(out, s->array[k].name, &s->array[k].tensor, i);
  return true;
}

static void close_arrays(DataSource *s) {
  for (size_t i = 0; i < s->narray; i++) data_unmap(&s->array[i].map);
  st_close(s->tensors);
}

static const DataSourceKind npy_kind = {.name = "array", .read = read_rows, .close = close_arrays};
static const DataSourceKind tensors_kind = {.name = "arrays", .read = read_rows, .close = close_arrays};
static const DataSourceKind idx_kind = {.name = "IDX", .read = read_rows, .close = close_arrays};

// A row for each sample, of the same number in all arrays.
static bool end_arrays(DataSource *s, HostError *err) {
  const DataArray *a = s->array;
  for (size_t i = 0; i < s->narray; i++)
    if (!a[i].tensor.rank)
      return host_fail(err, "%.300s: %.80s has no axis that counts samples", s->path, a[i].name);
    else if (a[i].tensor.shape[0] != a[0].tensor.shape[0])
      return host_fail(err, "%.300s: %.80s has %lld rows and %.80s %lld; the first axis counts samples", s->path,
                       a[i].name, (long long)a[i].tensor.shape[0], a[0].name, (long long)a[0].tensor.shape[0]);
  if (!s->narray || a[0].tensor.shape[0] < 1) return host_fail(err, "%.300s has no rows", s->path);
  if (a[0].tensor.shape[0] >= UINT32_MAX) return host_fail(err, "%.300s has too many rows", s->path);
  s->count = (uint32_t)a[0].tensor.shape[0];
  return true;
}

/* .npy and .safetensors -------------------------------------------------------------------------------------------- */
bool data_npy_view(const char *path, const void *bytes, size_t n, StTensor *out, HostError *err) {
  FaceArray a = {0};
  size_t start = 0;
  const char *type = face_npy_layout(path, bytes, n, &a, &start, err);
  StDtype dtype;
  if (!type || !st_dtype_by_name(type, &dtype)) return false;
  *out = (StTensor){.dtype = dtype, .rank = (int)a.rank, .data = (const char *)bytes + start};
  for (unsigned d = 0; d < a.rank; d++) out->shape[d] = (int64_t)a.dim[d];
  out->bytes = a.n * st_dtype_size(dtype);
  return true;
}

// image.npy -> image
static const char *stem(Arena *a, const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strchr(name, '.');
  return arena_strndup(a, name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

bool data_open_npy(Data *d, const char *path, char *const *files, size_t n, HostError *err) {
  DataSource *s = data_add(d, &npy_kind, path);
  s->array = ARENA_ARRAY(&d->arena, DataArray, n);
  for (size_t i = 0; i < n; i++) {
    DataFile f;
    DataArray *a = &s->array[s->narray++];
    a->name = stem(&d->arena, files[i]);
    if (!data_file_look(&f, files[i], err) || !data_map(&a->map, &f, err) ||
        !data_npy_view(files[i], a->map.bytes, a->map.n, &a->tensor, err))
      return false;
    s->file.size += f.size;
  }
  return end_arrays(s, err);
}

bool data_open_safetensors(Data *d, const char *path, HostError *err) {
  StError why;
  DataFile f;
  if (!data_file_look(&f, path, err)) return false;
  DataSource *s = data_add(d, &tensors_kind, path);
  s->file = (DataFile){s->path, f.size};
  s->tensors = st_open(path, &why);
  if (!s->tensors) return host_fail(err, "%.300s: %.180s", path, why.text);
  s->array = ARENA_ARRAY(&d->arena, DataArray, st_count(s->tensors) + 1);
  for (size_t i = 0; i < st_count(s->tensors); i++) {
    const StTensor *t = st_at(s->tensors, i);
    if (t->foreign) return host_fail(err, "%.300s: %.80s is %.20s, which is not read", path, t->name, t->foreign);
    s->array[s->narray++] = (DataArray){.name = t->name, .tensor = *t};
  }
  return end_arrays(s, err);
}

/* IDX -------------------------------------------------------------------------------------------------------------- */
static const struct {
  unsigned char code;
  StDtype dtype;
} idx_types[] = {{0x08, ST_U8}, {0x09, ST_I8}, {0x0b, ST_I16}, {0x0c, ST_I32}, {0x0d, ST_F32}, {0x0e, ST_F64}};

static bool idx_dtype(unsigned char code, StDtype *out) {
  for (size_t i = 0; i < sizeof idx_types / sizeof *idx_types; i++)
    if (idx_types[i].code == code) return *out = idx_types[i].dtype, true;
  return false;
}

bool data_is_idx(const DataFile *f) {
  DataMap m;
  StDtype t;
  unsigned char h[4];
  if (f->size < 4 || !data_file_read(f, 0, h, 4, NULL)) return false;
  if (h[0] == 0x1f && h[1] == 0x8b) { // the few bytes are worth unpacking: no other kind is packed
    const char *name = strrchr(f->path, '/');
    if (!strstr(name ? name : f->path, "idx") || !data_map_unpacked(&m, f, MOST_UNPACKED, NULL)) return false;
    bool is = m.n >= 4 && !m.bytes[0] && !m.bytes[1] && idx_dtype(m.bytes[2], &t);
    data_unmap(&m);
    return is;
  }
  return !h[0] && !h[1] && idx_dtype(h[2], &t) && h[3] >= 1 && h[3] <= 4;
}

// Elements of several bytes, low byte first as everywhere else; the file's own bytes if there is nothing to turn.
static bool turn(DataArray *a, size_t start, HostError *err) {
  size_t size = st_dtype_size(a->tensor.dtype), n = a->tensor.bytes;
  if (size == 1) return true;
  uint8_t *to = malloc(n + 1);
  if (!to) return host_no_memory(err);
  for (size_t i = 0; i < n; i++) to[i] = a->map.bytes[start + i / size * size + (size - 1 - i % size)];
  data_unmap(&a->map);
  a->map = (DataMap){to, n, true};
  a->tensor.data = to;
  return true;
}

static bool read_idx(DataArray *a, const char *path, HostError *err) {
  DataFile f;
  if (!data_file_look(&f, path, err) || !data_map_unpacked(&a->map, &f, MOST_UNPACKED, err)) return false;
  const uint8_t *b = a->map.bytes;
  size_t n = a->map.n, rank = n >= 4 ? b[3] : 0, start = 4 + 4 * rank;
  StTensor *t = &a->tensor;
  if (!rank || rank > 4 || b[0] || b[1] || !idx_dtype(b[2], &t->dtype) || n < start)
    return host_fail(err, "%.300s: no IDX file", path);
  t->rank = (int)rank;
  uint64_t elements = 1;
  for (size_t k = 0; k < rank; k++) {
    const uint8_t *p = b + 4 + 4 * k;
    uint32_t v = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    t->shape[k] = v;
    elements = v && elements > n / v ? n + 1 : elements * v;
  }
  size_t size = st_dtype_size(t->dtype);
  if (elements > (n - start) / size)
    return host_fail(err, "%.300s: cut off: it has %zu bytes of %s and says that there are more", path, n - start,
                     st_dtype_name(t->dtype));
  t->bytes = (size_t)elements * size;
  t->data = b + start;
  return turn(a, start, err);
}

// The labels that belong to pictures: "images-idx3" in the name is "labels-idx1" there. False: there are none.
static bool labels_beside(const char *path, char *out, size_t room) {
  static const char *const pair[][2] = {{"images-idx3", "labels-idx1"}, {"images.idx3", "labels.idx1"}};
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  for (size_t i = 0; i < 2; i++) {
    const char *at = strstr(name, pair[i][0]);
    if (!at) continue;
    int n = snprintf(out, room, "%.*s%s%s", (int)(at - path), path, pair[i][1], at + strlen(pair[i][0]));
    if (n < 0 || (size_t)n >= room) return false;
    if (access(out, R_OK) == 0) return true;
    size_t have = (size_t)n; // one of the two may be packed
    if (have > 3 && !strcmp(out + have - 3, ".gz"))
      out[have - 3] = 0;
    else if (have + 4 < room)
      strcpy(out + have, ".gz");
    return access(out, R_OK) == 0;
  }
  return false;
}

bool data_open_idx(Data *d, const char *path, HostError *err) {
  char other[4096];
  DataFile f;
  if (!data_file_look(&f, path, err)) return false;
  DataSource *s = data_add(d, &idx_kind, path);
  s->file = (DataFile){s->path, f.size};
  s->array = ARENA_ARRAY(&d->arena, DataArray, 2);
  s->narray = 1;
  s->array[0].name = "image";
  if (!read_idx(&s->array[0], path, err)) return false;
  if (s->array[0].tensor.rank == 1) s->array[0].name = "label";
  if (s->array[0].tensor.rank > 1 && labels_beside(path, other, sizeof other)) {
    s->narray = 2;
    s->array[1].name = "label";
    if (!read_idx(&s->array[1], other, err)) return false;
  }
  return end_arrays(s, err);
}

bool data_idx_of_folder(const Data *d, const char *folder, char *out, size_t room) {
  static const char *const end[] = {"-images-idx3-ubyte", "-images-idx3-ubyte.gz", "-images.idx3-ubyte",
                                    "-images.idx3-ubyte.gz"};
  const char *split = d->options->split ? d->options->split : "train";
  for (size_t i = 0; i < sizeof end / sizeof *end; i++) {
    int n = snprintf(out, room, "%s/%s%s", folder, split, end[i]);
    if (n >= 0 && (size_t)n < room && access(out, R_OK) == 0) return true;
  }
  return false;
}
