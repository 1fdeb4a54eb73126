// gguf.c - see gguf.h. The file is hostile input: every count is held against the bytes that are left before anything
// is allocated or counted up to it, so that time and memory are in proportion to the file.
#include "gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
  LEAST_VALUE = 8 + 4 + 1,      // bytes of a key without letters, a type and a value
  LEAST_TENSOR = 8 + 4 + 4 + 8, // of a tensor without name and axes
  MAX_KEY = 65535,              // bytes, as the format has it
  MAX_NAME = 4096,
  MAX_NESTED = 8, // arrays of arrays
  ALIGNMENT = 32  // if the file does not say another
};

typedef struct Reader {
  StFile *f;
  StError *err;
  const uint8_t *file;
  size_t n, at;
  char place[160]; // "value 3 ('general.name')"
} Reader;

static bool cut_short(Reader *r) {
  return st_fail(r->err, "%s: the file ends at byte %zu, within it: it is cut short", r->place, r->n);
}

static bool take(Reader *r, size_t bytes, const uint8_t **at) {
  if (bytes > r->n - r->at) return cut_short(r);
  *at = r->file + r->at;
  r->at += bytes;
  return true;
}

static uint64_t number_at(const uint8_t *p, size_t bytes) {
  uint64_t x = 0;
  for (size_t i = 0; i < bytes; i++) x |= (uint64_t)p[i] << 8 * i;
  return x;
}

static bool take_u32(Reader *r, uint32_t *x) {
  const uint8_t *p = NULL;
  if (!take(r, 4, &p)) return false;
  *x = (uint32_t)number_at(p, 4);
  return true;
}

static bool take_u64(Reader *r, uint64_t *x) {
  const uint8_t *p = NULL;
  if (!take(r, 8, &p)) return false;
  *x = number_at(p, 8);
  return true;
}

// A text of bytes that are not looked at.
static bool take_text(Reader *r, const uint8_t **s, uint64_t *n) {
  if (!take_u64(r, n)) return false;
  if (*n > r->n - r->at)
    return st_fail(r->err, "%s: a text of %" PRIu64 " bytes where the file has %zu more", r->place, *n, r->n - r->at);
  return take(r, (size_t)*n, s);
}

// A name: a copy, terminated.
static bool take_name(Reader *r, size_t most, const char **name) {
  const uint8_t *s = NULL;
  uint64_t n = 0;
  if (!take_text(r, &s, &n)) return false;
  if (!n || n > most) return st_fail(r->err, "%s: a name of %" PRIu64 " bytes (1 to %zu)", r->place, n, most);
  if (memchr(s, 0, (size_t)n)) return st_fail(r->err, "%s: its name has a zero byte", r->place);
  *name = st_copy(&r->f->pool, (const char *)s, (size_t)n);
  return *name || st_fail(r->err, "out of memory");
}

static void set_place(Reader *r, const char *what, uint64_t i, const char *name) {
  StError e;
  st_fail(&e, name ? "%s %" PRIu64 " ('%.100s')" : "%s %" PRIu64, what, i, name);
  memcpy(r->place, e.text, sizeof r->place - 1);
}

/* values ---------------------------------------------------------------------------------------------------------- */
static const struct {
  const char *name;
  size_t size; // 0: by what it says
  StMetaKind kind;
} value_type[] = { // by their number
    {"u8", 1, ST_META_UINT},     {"i8", 1, ST_META_INT},      {"u16", 2, ST_META_UINT}, {"i16", 2, ST_META_INT},
    {"u32", 4, ST_META_UINT},    {"i32", 4, ST_META_INT},     {"f32", 4, ST_META_REAL}, {"bool", 1, ST_META_BOOL},
    {"string", 0, ST_META_TEXT}, {"array", 0, ST_META_ARRAY}, {"u64", 8, ST_META_UINT}, {"i64", 8, ST_META_INT},
    {"f64", 8, ST_META_REAL}};
enum { VALUE_TYPES = sizeof value_type / sizeof *value_type, TYPE_ARRAY = 9 };

static bool skip_values(Reader *r, uint32_t type, uint64_t count, int depth);

static bool take_type(Reader *r, uint32_t *type) {
  if (!take_u32(r, type)) return false;
  return *type < VALUE_TYPES || st_fail(r->err, "%s: type %" PRIu32 " of a value is not known", r->place, *type);
}

static bool take_array(Reader *r, uint32_t *type, uint64_t *count) {
  return take_type(r, type) && take_u64(r, count);
}

static bool skip_value(Reader *r, uint32_t type, int depth) {
  const uint8_t *s = NULL;
  uint64_t n = 0;
  uint32_t of = 0;
  if (value_type[type].kind == ST_META_TEXT) return take_text(r, &s, &n);
  if (depth == MAX_NESTED) return st_fail(r->err, "%s: arrays of arrays, deeper than %d", r->place, (int)MAX_NESTED);
  return take_array(r, &of, &n) && skip_values(r, of, n, depth + 1);
}

// Steps over values of one type, whose number is in proportion to the bytes that are there.
static bool skip_values(Reader *r, uint32_t type, uint64_t count, int depth) {
  size_t size = value_type[type].size, least = size ? size : 8;
  if (count > (r->n - r->at) / least)
    return st_fail(r->err, "%s: %" PRIu64 " values where the file has %zu more bytes", r->place, count, r->n - r->at);
  for (uint64_t i = 0; i < count && value_type[type].kind == ST_META_BOOL; i++)
    if (r->file[r->at + i] > 1)
      return st_fail(r->err, "%s: a truth value is %d, neither 0 nor 1", r->place, r->file[r->at + i]);
  for (uint64_t i = 0; i < count && !size; i++)
    if (!skip_value(r, type, depth)) return false;
  r->at += size * (size_t)count;
  return true;
}

static bool read_value(Reader *r, uint64_t i, StMeta *m) {
  *m = (StMeta){.count = 1};
  set_place(r, "value", i, NULL);
  if (!take_name(r, MAX_KEY, &m->key)) return false;
  set_place(r, "value", i, m->key);
  if (!take_type(r, &m->number)) return false;
  m->array = m->number == TYPE_ARRAY;
  if (m->array && !take_array(r, &m->number, &m->count)) return false;
  m->type = value_type[m->number].name;
  m->at = r->file + r->at;
  return skip_values(r, m->number, m->count, 1);
}

static int by_key(const void *a, const void *b) {
  const StMeta *const *x = a, *const *y = b;
  return strcmp((*x)->key, (*y)->key);
}

static bool keys_differ(Reader *r) {
  size_t n = r->f->nmeta;
  const StMeta **list = calloc(n + 1, sizeof *list);
  if (!list) return st_fail(r->err, "out of memory");
  for (size_t i = 0; i < n; i++) list[i] = &r->f->meta[i];
  qsort(list, n, sizeof *list, by_key);
  bool ok = true;
  for (size_t i = 1; i < n && ok; i++)
    if (!strcmp(list[i]->key, list[i - 1]->key))
      ok = st_fail(r->err, "the value '%.200s' is there twice", list[i]->key);
  free(list);
  return ok;
}

static bool read_values(Reader *r, uint64_t count) {
  if (count > (r->n - r->at) / LEAST_VALUE)
    return st_fail(r->err, "%" PRIu64 " values where the file has %zu more bytes", count, r->n - r->at);
  r->f->meta = st_alloc(&r->f->pool, ((size_t)count + 1) * sizeof *r->f->meta);
  if (!r->f->meta) return st_fail(r->err, "out of memory");
  for (uint64_t i = 0; i < count; i++, r->f->nmeta++)
    if (!read_value(r, i, &r->f->meta[i])) return false;
  return keys_differ(r);
}

size_t st_meta_count(const StFile *f) {
  return f->nmeta;
}

const StMeta *st_meta_at(const StFile *f, size_t i) {
  return i < f->nmeta ? &f->meta[i] : NULL;
}

const StMeta *st_meta_find(const StFile *f, const char *key) {
  for (size_t i = 0; i < f->nmeta; i++)
    if (!strcmp(f->meta[i].key, key)) return &f->meta[i];
  return NULL;
}

// A value that was stepped over before; returns its bytes. Of an array nothing but its length is said.
static size_t value_at(const uint8_t *p, uint32_t type, StValue *v) {
  size_t size = value_type[type].size;
  uint64_t x = number_at(p, size ? size : 8);
  *v = (StValue){.kind = value_type[type].kind, .u = x, .narrow = size == 4};
  if (v->kind == ST_META_INT) {
    if (size < 8 && x >> (8 * size - 1)) x |= UINT64_MAX << 8 * size;
    v->i = (int64_t)x;
  }
  if (v->kind == ST_META_REAL && size == 4) {
    float f;
    uint32_t bits = (uint32_t)x;
    memcpy(&f, &bits, sizeof f);
    v->real = (double)f;
  }
  if (v->kind == ST_META_REAL && size == 8) memcpy(&v->real, &x, sizeof v->real);
  if (v->kind == ST_META_TEXT) {
    v->text = (const char *)p + 8;
    v->n = (size_t)x;
    return 8 + v->n;
  }
  if (v->kind == ST_META_ARRAY) v->u = number_at(p + 4, 8);
  return size;
}

size_t st_meta_values(const StMeta *m, StValue *out, size_t most) {
  size_t n = m->count < most ? (size_t)m->count : most;
  const uint8_t *p = m->at;
  if (value_type[m->number].kind == ST_META_ARRAY && n > 1) n = 1; // where the second begins takes a walk
  for (size_t i = 0; i < n; i++) p += value_at(p, m->number, &out[i]);
  return n;
}

const char *st_architecture(const StFile *f) {
  return f->architecture;
}

// A whole number that is not negative; false if the key is absent. An error if it is another.
static bool find_count(Reader *r, const char *key, uint64_t *x, bool *there) {
  const StMeta *m = st_meta_find(r->f, key);
  StValue v;
  *there = m != NULL;
  if (!m) return true;
  if (m->array || st_meta_values(m, &v, 1) != 1 || (v.kind == ST_META_INT ? v.i < 0 : v.kind != ST_META_UINT))
    return st_fail(r->err, "the value '%.100s' is no whole number (%s%s)", key, m->array ? "array of " : "", m->type);
  *x = v.kind == ST_META_INT ? (uint64_t)v.i : v.u;
  return true;
}

static bool find_architecture(Reader *r) {
  const StMeta *m = st_meta_find(r->f, "general.architecture");
  StValue v;
  if (!m) return true;
  if (m->array || st_meta_values(m, &v, 1) != 1 || v.kind != ST_META_TEXT || !v.n || memchr(v.text, 0, v.n))
    return st_fail(r->err, "the value 'general.architecture' is no name");
  r->f->architecture = st_copy(&r->f->pool, v.text, v.n);
  return r->f->architecture || st_fail(r->err, "out of memory");
}

/* tensors --------------------------------------------------------------------------------------------------------- */
static bool read_shape(Reader *r, StTensor *t) {
  uint32_t rank;
  uint64_t product = 1, d;
  if (!take_u32(r, &rank)) return false;
  if (rank > ST_MAX_RANK) return st_fail(r->err, "%s: %" PRIu32 " axes (at most %d)", r->place, rank, (int)ST_MAX_RANK);
  while (t->rank < (int)rank)
    if (!take_u64(r, &d))
      return false;
    else if (!st_add_axis(t, d, &product))
      return st_fail(r->err, "%s: an axis of %" PRIu64 ": the shape overflows", r->place, d);
  for (int i = 0; i < t->rank / 2; i++) { // the file has the fastest first
    int64_t slow = t->shape[t->rank - 1 - i];
    t->shape[t->rank - 1 - i] = t->shape[i];
    t->shape[i] = slow;
  }
  return true;
}

static bool set_type(Reader *r, StTensor *t, const StBlocks *b) {
  uint64_t n = (uint64_t)st_elements(t), row = t->rank ? (uint64_t)t->shape[t->rank - 1] : 1;
  uint64_t size = b->bytes ? b->bytes : st_dtype_size(b->dtype);
  if (row % b->elements)
    return st_fail(r->err, "%s: rows of %" PRIu64 " elements are no whole blocks of %s (%" PRIu32 ")", r->place, row,
                   b->name, b->elements);
  t->bytes = (size_t)(n / b->elements * size);
  t->dtype = b->dtype;
  if (b->bytes && !b->decode) t->foreign = b->name;
  if (b->decode) {
    StCode *code = st_alloc(&r->f->pool, sizeof *code);
    if (!code) return st_fail(r->err, "out of memory");
    *code = (StCode){.blocks = b};
    t->code = code;
  }
  return true;
}

// The offset stays in t->data until it is known where the data begin.
static bool read_tensor(Reader *r, uint64_t i, StTensor *t, uint64_t *offset) {
  uint32_t type;
  *t = (StTensor){.dtype = ST_DTYPE_COUNT};
  set_place(r, "tensor", i, NULL);
  if (!take_name(r, MAX_NAME, &t->name)) return false;
  set_place(r, "tensor", i, t->name);
  if (!read_shape(r, t) || !take_u32(r, &type)) return false;
  const StBlocks *b = st_blocks(type);
  if (!b) return st_fail(r->err, "%s: the element type %" PRIu32 " is not known", r->place, type);
  return set_type(r, t, b) && take_u64(r, offset);
}

static bool place_tensor(Reader *r, uint64_t i, StTensor *t, uint64_t offset, uint64_t align) {
  size_t data = r->at, left = r->n - data;
  set_place(r, "tensor", i, t->name);
  if (offset % align)
    return st_fail(r->err, "%s: its offset %" PRIu64 " is no multiple of the alignment %" PRIu64, r->place, offset,
                   align);
  if (offset > left || t->bytes > left - offset)
    return st_fail(r->err,
                   "%s: its %zu bytes at offset %" PRIu64 " end beyond the %zu bytes of data: the file is cut short",
                   r->place, t->bytes, offset, left);
  t->data = r->file + data + offset;
  return true;
}

static int by_data(const void *a, const void *b) {
  const StTensor *x = a, *y = b;
  if (x->data != y->data) return (const uint8_t *)x->data < (const uint8_t *)y->data ? -1 : 1;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; // empty ones first
  return strcmp(x->name, y->name);
}

static bool data_are_apart(Reader *r) {
  const StFile *f = r->f;
  for (size_t i = 1; i < f->count; i++) {
    const StTensor *a = &f->tensor[i - 1], *b = &f->tensor[i];
    if ((const uint8_t *)a->data + a->bytes > (const uint8_t *)b->data)
      return st_fail(r->err, "tensor '%.200s': its data overlap those of '%.200s'", b->name, a->name);
  }
  return true;
}

static bool find_alignment(Reader *r, uint64_t *align) {
  bool there;
  *align = ALIGNMENT;
  if (!find_count(r, "general.alignment", align, &there)) return false;
  return (*align && !(*align & (*align - 1))) ||
         st_fail(r->err, "general.alignment is %" PRIu64 ", no power of two", *align);
}

static bool read_tensors(Reader *r, uint64_t count) {
  StFile *f = r->f;
  if (count > (r->n - r->at) / LEAST_TENSOR)
    return st_fail(r->err, "%" PRIu64 " tensors where the file has %zu more bytes", count, r->n - r->at);
  f->tensor = st_alloc(&f->pool, ((size_t)count + 1) * sizeof *f->tensor);
  uint64_t *offset = calloc((size_t)count + 1, sizeof *offset), align = 1;
  bool ok = (f->tensor && offset) || st_fail(r->err, "out of memory");
  for (uint64_t i = 0; i < count && ok; i++) ok = read_tensor(r, i, &f->tensor[i], &offset[i]);
  ok = ok && find_alignment(r, &align);
  if (ok) {
    size_t over = (size_t)(r->at & (align - 1)), pad = over ? (size_t)align - over : 0;
    r->at = pad < r->n - r->at ? r->at + pad : r->n;
  }
  for (uint64_t i = 0; i < count && ok; i++) ok = place_tensor(r, i, &f->tensor[i], offset[i], align);
  free(offset);
  if (!ok) return false;
  f->count = (size_t)count;
  qsort(f->tensor, f->count, sizeof *f->tensor, by_data);
  return st_index_names(f, r->err) && data_are_apart(r);
}

/* what llama.cpp changed ------------------------------------------------------------------------------------------ */
// Is it blk.N.WHAT.weight or .bias?
static bool is_of_block(const char *name, const char *what) {
  if (strncmp(name, "blk.", 4) != 0) return false;
  name += 4;
  size_t digits = strspn(name, "0123456789"), n = strlen(what);
  if (!digits || name[digits] != '.' || strncmp(name + digits + 1, what, n) != 0) return false;
  name += digits + 1 + n;
  return !strcmp(name, ".weight") || !strcmp(name, ".bias");
}

// Its rows are those of `heads` heads, in turns.
static bool turn_back(Reader *r, StTensor *t, uint64_t heads) {
  uint64_t rows = t->rank ? (uint64_t)t->shape[0] : 0, head = heads ? rows / heads : 0;
  if (!heads || rows % heads || head % 2)
    return st_fail(r->err, "tensor '%.200s': %" PRIu64 " rows are no %" PRIu64 " heads of an even length", t->name,
                   rows, heads);
  if (!t->code && !st_dtype_is_float(t->dtype) && !t->foreign) t->foreign = st_dtype_name(t->dtype); // no weights
  if (t->foreign || head <= 2) return true; // not read; a half is one row
  StCode *code = st_alloc(&r->f->pool, sizeof *code);
  if (!code) return st_fail(r->err, "out of memory");
  *code = (StCode){.blocks = t->code ? t->code->blocks : NULL, .head = (int64_t)head};
  for (uint32_t k = 0; !code->blocks; k++) { // of a plain type
    const StBlocks *b = st_blocks(k);
    if (b && b->dtype == t->dtype) code->blocks = b;
  }
  t->code = code;
  t->dtype = ST_DTYPE_COUNT;
  return true;
}

// llama.cpp's conversion/llama.py, LlamaModel.permute: heads of q, and heads of k that may be fewer.
static bool undo_llama(Reader *r) {
  static const char *const key[] = {"llama.attention.head_count", "llama.attention.head_count_kv"};
  static const char *const what[] = {"attn_q", "attn_k"};
  uint64_t heads[2] = {0};
  bool there[2];
  StFile *f = r->f;
  if (!f->architecture || strcmp(f->architecture, "llama") != 0) return true;
  size_t turned = 0;
  for (size_t i = 0; i < f->count; i++)
    for (int k = 0; k < 2; k++) {
      StTensor *t = &f->tensor[i];
      if (!is_of_block(t->name, what[k])) continue;
      if (!turned++ && (!find_count(r, key[0], &heads[0], &there[0]) || !find_count(r, key[1], &heads[1], &there[1])))
        return false;
      if (!heads[0])
        return st_fail(r->err,
                       "tensor '%.100s': its rows are in llama.cpp's order, and '%s' does not say of how many heads",
                       t->name, key[0]);
      if (!turn_back(r, t, k && there[1] ? heads[1] : heads[0])) return false;
    }
  if (turned) f->note = "the rows of q and k are read in the order of PyTorch and transformers, not in llama.cpp's";
  return true;
}

static bool note_parts(Reader *r) {
  uint64_t parts = 0;
  bool there;
  if (!find_count(r, "split.count", &parts, &there)) return false;
  if (parts > 1) r->f->note = "it is one of several parts of a model (split.count): name all of them";
  return true;
}

/* the file -------------------------------------------------------------------------------------------------------- */
bool gguf_is(const uint8_t *bytes, size_t n) {
  return n >= 4 && !memcmp(bytes, "GGUF", 4);
}

static bool check_version(Reader *r, uint32_t version) {
  if (version == 2 || version == 3) return true;
  if (version && !(version & 0xffff))
    return st_fail(r->err,
                   "it is a GGUF file of a big-endian machine (version %" PRIu32 " read the other way): turn it "
                   "with llama.cpp's gguf_convert_endian.py",
                   version >> 24 | (version >> 8 & 0xff00));
  return st_fail(r->err, "version %" PRIu32 " of GGUF cannot be read (2 and 3 can): convert the model again", version);
}

bool gguf_read(StFile *f, const uint8_t *bytes, size_t n, StError *err) {
  Reader r = {.f = f, .err = err, .file = bytes, .n = n, .at = 4, .place = "the header of the GGUF file"};
  uint32_t version;
  uint64_t tensors, values;
  f->kind = "GGUF";
  if (!take_u32(&r, &version) || !check_version(&r, version)) return false;
  return take_u64(&r, &tensors) && take_u64(&r, &values) && read_values(&r, values) && find_architecture(&r) &&
         read_tensors(&r, tensors) && undo_llama(&r) && note_parts(&r);
}
