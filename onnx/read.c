// read.c: an ONNX file into memory. Nothing of it is believed: what is allocated stays in proportion to the file, sizes
// are compared with the bytes that are there, data beside the model lie in its folder.
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Bounded { // memory of the decoder
  Arena *arena;
  size_t used, most;
} Bounded;

static void *bounded_alloc(void *ud, size_t n) {
  Bounded *b = ud;
  if (n > b->most - b->used) return NULL;
  b->used += n;
  return arena_alloc(b->arena, n);
}

static void bounded_free(void *ud, void *p) {
  (void)ud, (void)p; // with the arena
}

Onnx__ModelProto *onnx_read_bytes(Arena *a, const void *bytes, size_t n, Buf *why) {
  enum { PER_BYTE = 64 }; // of memory: the structure of a message of two bytes
  Bounded b = {a, 0, PER_BYTE * n + 65536};
  ProtobufCAllocator allocator = {bounded_alloc, bounded_free, &b};
  Onnx__ModelProto *m = onnx__model_proto__unpack(&allocator, n, bytes);
  if (!m || !m->graph || !m->n_opset_import) {
    buf_puts(why, m ? "it is no ONNX model: it has no graph or no operator set" : "it is no ONNX model, or cut short");
    return NULL;
  }
  return m;
}

// The n bytes of a regular file from `at` on. NULL: *why says what is wrong.
static void *read_bytes(Arena *a, const char *path, int64_t at, int64_t *n, Buf *why) {
  struct stat st;
  int f = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  uint8_t *out = NULL;
  if (f < 0 || fstat(f, &st) != 0) {
    buf_printf(why, "cannot read %s: %s", path, strerror(errno));
  } else if (!S_ISREG(st.st_mode)) {
    buf_printf(why, "%s is no regular file", path);
  } else if (at < 0 || at > st.st_size || (*n >= 0 && *n > st.st_size - at)) {
    buf_printf(why, "%s is shorter than the model says", path);
  } else {
    if (*n < 0) *n = st.st_size - at;
    out = arena_alloc(a, (size_t)*n + 1);
    for (int64_t done = 0; done < *n && out;) {
      ssize_t got = pread(f, out + done, (size_t)(*n - done), at + done);
      if (got <= 0) {
        buf_printf(why, "cannot read %s: %s", path, got ? strerror(errno) : "it became shorter");
        out = NULL;
      }
      done += got;
    }
  }
  if (f >= 0) close(f);
  return out;
}

Onnx__ModelProto *onnx_read(Arena *a, const char *path, Buf *why) {
  int64_t n = -1;
  void *bytes = read_bytes(a, path, 0, &n, why);
  return bytes ? onnx_read_bytes(a, bytes, (size_t)n, why) : NULL;
}

/* tensors ---------------------------------------------------------------------------------------------------------- */
static const struct {
  int type;
  size_t bytes;
  DType dtype;
} known[] = {{ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 4, DT_F32},   {ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, 8, DT_F32},
             {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, 2, DT_F32}, {ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16, 2, DT_F32},
             {ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 8, DT_I32},   {ONNX__TENSOR_PROTO__DATA_TYPE__INT32, 4, DT_I32},
             {ONNX__TENSOR_PROTO__DATA_TYPE__INT8, 1, DT_I32},    {ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, 1, DT_I32},
             {ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, 1, DT_BOOL}};

static int row_of(int type) {
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].type == type) return (int)i;
  return -1;
}

static double one_raw(int type, const uint8_t *at) {
  float f;
  double d;
  uint16_t h;
  int64_t l;
  int32_t i;
  switch (type) {
  case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT: memcpy(&f, at, 4); return (double)f;
  case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE: memcpy(&d, at, 8); return d;
  case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16: memcpy(&h, at, 2); return (double)dtype_widen(DT_F16, h);
  case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16: memcpy(&h, at, 2); return (double)dtype_widen(DT_BF16, h);
  case ONNX__TENSOR_PROTO__DATA_TYPE__INT64: memcpy(&l, at, 8); return (double)l;
  case ONNX__TENSOR_PROTO__DATA_TYPE__INT32: memcpy(&i, at, 4); return i;
  case ONNX__TENSOR_PROTO__DATA_TYPE__INT8: return (int8_t)*at;
  default: return *at;
  }
}

// Where the elements are: in raw_data, or in the list of the type.
typedef struct Elements {
  const Onnx__TensorProto *t;
  const uint8_t *raw; // or NULL
  size_t size;        // of a raw element
} Elements;

static size_t listed(const Onnx__TensorProto *t) {
  switch (t->data_type) {
  case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT: return t->n_float_data;
  case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE: return t->n_double_data;
  case ONNX__TENSOR_PROTO__DATA_TYPE__INT64: return t->n_int64_data;
  default: return t->n_int32_data;
  }
}

static int64_t whole_at(const Elements *e, size_t i) {
  if (e->raw && e->t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64) {
    int64_t l;
    memcpy(&l, e->raw + 8 * i, 8);
    return l;
  }
  if (e->raw) return (int64_t)one_raw(e->t->data_type, e->raw + e->size * i);
  return e->t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ? e->t->int64_data[i] : e->t->int32_data[i];
}

static float real_at(const Elements *e, size_t i) {
  if (e->raw) return (float)one_raw(e->t->data_type, e->raw + e->size * i);
  switch (e->t->data_type) {
  case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT: return e->t->float_data[i];
  case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE: return (float)e->t->double_data[i];
  case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16: return dtype_widen(DT_F16, (uint16_t)e->t->int32_data[i]);
  default: return dtype_widen(DT_BF16, (uint16_t)e->t->int32_data[i]);
  }
}

static const char *external(const Onnx__TensorProto *t, const char *key) {
  for (size_t i = 0; i < t->n_external_data; i++)
    if (t->external_data[i]->key && !strcmp(t->external_data[i]->key, key)) return t->external_data[i]->value;
  return NULL;
}

// A file in the model's own folder or below it; no way leads out by "..".
static bool stays_inside(const char *path) {
  if (!*path || *path == '/') return false;
  for (const char *part = path; part; part = strchr(part, '/')) {
    part += *part == '/';
    size_t n = strcspn(part, "/");
    if (n == 2 && part[0] == '.' && part[1] == '.') return false;
  }
  return true;
}

static bool number_of(const char *text, int64_t absent, int64_t *out) {
  *out = absent;
  if (!text) return true;
  size_t n = strspn(text, "0123456789");
  if (!n || n > 18 || text[n]) return false;
  *out = 0;
  for (size_t i = 0; i < n; i++) *out = 10 * *out + (text[i] - '0');
  return true;
}

static const uint8_t *external_bytes(Arena *a, const Onnx__TensorProto *t, const char *folder, size_t bytes, Buf *why) {
  const char *file = external(t, "location");
  int64_t at, n = (int64_t)bytes, said;
  if (!folder || !file || !stays_inside(file)) {
    buf_printf(why, "its data are in '%s', which is not in the folder of the model", file ? file : "");
    return NULL;
  }
  if (!number_of(external(t, "offset"), 0, &at) || !number_of(external(t, "length"), n, &said) || said != n) {
    buf_printf(why, "offset or length of its data in '%s' is wrong: it has %zu bytes", file, bytes);
    return NULL;
  }
  const char *path = arena_printf(a, "%s/%s", folder, file);
  char *target = realpath(path, NULL), *home = realpath(folder, NULL);
  bool inside =
      target && home && !strncmp(target, home, strlen(home)) && (target[strlen(home)] == '/' || !strcmp(home, "/"));
  free(target);
  free(home);
  if (!inside) {
    buf_printf(why, "its data are in '%s', which is not there, or a link out of the folder of the model", file);
    return NULL;
  }
  return read_bytes(a, path, at, &n, why);
}

bool onnx_read_tensor(Arena *a, const Onnx__TensorProto *t, const char *folder, Item *out, Buf *why) {
  int row = row_of(t->data_type);
  size_t n = 1, bytes;
  if (row < 0) return buf_printf(why, "its elements are of ONNX type %d, which is not read", (int)t->data_type), false;
  if (t->n_dims > IMPORT_RANK)
    return buf_printf(why, "it has %zu axes, at most %d are read", t->n_dims, IMPORT_RANK), false;
  *out = (Item){.kind = ITEM_CONST, .name = t->name ? t->name : "", .dtype = known[row].dtype, .rank = (int)t->n_dims};
  for (size_t i = 0; i < t->n_dims; i++) {
    out->dim[i] = t->dims[i];
    if (t->dims[i] < 0 || __builtin_mul_overflow(n, (size_t)t->dims[i], &n)) n = SIZE_MAX;
    if (n > (size_t)1 << 40) return buf_puts(why, "its shape is too large, or negative"), false;
  }
  if (__builtin_mul_overflow(n, known[row].bytes, &bytes)) return buf_puts(why, "its shape is too large"), false;
  Elements e = {t, NULL, known[row].bytes};
  if (t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
    if (!(e.raw = external_bytes(a, t, folder, bytes, why))) return false;
  } else if (t->has_raw_data) {
    static const uint8_t none[1] = {0};
    if (t->raw_data.len != bytes)
      return buf_printf(why, "it has %zu bytes, its shape asks for %zu", t->raw_data.len, bytes), false;
    e.raw = bytes ? t->raw_data.data : none;
  } else if (listed(t) != n) {
    return buf_printf(why, "it has %zu elements, its shape asks for %zu", listed(t), n), false;
  }
  out->n = n;
  if (out->dtype == DT_F32) {
    float *f = ARENA_ARRAY(a, float, n);
    for (size_t i = 0; i < n; i++) f[i] = real_at(&e, i);
    out->data = f;
  } else if (out->dtype == DT_I32) {
    int64_t *v = ARENA_ARRAY(a, int64_t, n);
    for (size_t i = 0; i < n; i++) v[i] = whole_at(&e, i);
    out->data = v;
  } else {
    uint8_t *b = ARENA_ARRAY(a, uint8_t, n);
    for (size_t i = 0; i < n; i++) b[i] = whole_at(&e, i) != 0;
    out->data = b;
  }
  return true;
}
