// torch.c - see torch.h.
//
// All of the file is hostile input. The pickle is read by pickle.c, the archive by zip.c; here the dictionary of
// tensors is found and every tensor is checked to lie inside its storage, and the storage inside its entry.
// Dictionaries may contain themselves or each other: walks have a stack of their own, do not enter a dictionary twice
// on one path, and count their steps.
#include "torch.h"
#include "pickle.h"
#include "zip.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  MAX_PICKLE = 64 * 1024 * 1024, // bytes of data.pkl; that of a large model has a few MB
  MAX_PACKED = 64,               // times the file; deflate could do 1000
  MAX_LEVELS = 32,               // dictionaries within each other
  MAX_NAME = 1024,               // bytes of a tensor's name
  SLACK = 1024 * 1024            // bytes of memory that any file may use
};

#define MAX_DATA ((uint64_t)64 << 30) // bytes that are inflated or copied, at most MAX_PACKED times the file and MANY
#define MANY ((size_t)1 << 30)

#define SAVE_AGAIN "torch.save(torch.load(F, map_location=\"cpu\", weights_only=True), \"new.pth\")"

typedef struct Found { // a tensor with its full name
  const char *name;
  PkValue *tensor;
} Found;

typedef struct Reader {
  StFile *file;
  StPool work; // the archive's directory and the values of the pickle
  Zip zip;
  const char *folder; // "archive/", in front of all names
  size_t bytes;       // of the file
  uint64_t inflated;  // bytes of storages so far
  uint64_t copied;    // bytes of tensors that were not contiguous
  size_t steps;       // that walks may still make
  Found *found;
  size_t nfound, cap;
  StError *err;
} Reader;

bool torch_is_archive(const uint8_t *bytes, size_t n) {
  return n >= 9 && !memcmp(bytes, "PK\3\4", 4) && bytes[8] != '{'; // a safetensors file of that header length has '{'
}

bool torch_is_legacy(const uint8_t *bytes, size_t n) {
  if (n >= 262 && !memcmp(bytes + 257, "ustar", 5)) return true;
  // A pickle begins with its protocol. As the length of a safetensors header these bytes would be too large.
  if (n < 8 || bytes[0] != 0x80 || bytes[1] < 1 || bytes[1] > 5) return false;
  return bytes[3] >= 6 || bytes[4] || bytes[5] || bytes[6] || bytes[7];
}

bool torch_refuse_legacy(StError *err) {
  return st_fail(err, "file of an old torch.save (a bare pickle or a tar archive). Save it again with PyTorch 1.6 or "
                      "newer: " SAVE_AGAIN);
}

/* the dictionary of tensors ------------------------------------------------------------------------------------- */
static bool is_utf8(const char *s, size_t n) {
  for (size_t i = 0; i < n;) {
    unsigned char c = (unsigned char)s[i++];
    size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : n;
    if (more > n - i) return false;
    for (; more; more--, i++)
      if (((unsigned char)s[i] & 0xc0) != 0x80) return false;
  }
  return true;
}

// Is the text of a key UTF-8 without zero bytes? A value is looked at once, however often it is used as a key.
static bool is_printable(PkValue *key, PkText t) {
  if (key->kind != PK_TEXT) return true; // digits
  if (!key->open) key->open = !memchr(t.s, 0, t.n) && is_utf8(t.s, t.n);
  return key->open;
}

// Appends a key to a name of n bytes. Returns the new length, 0 if the key is neither text nor a number, SIZE_MAX after
// an error.
static size_t join_name(Reader *r, char name[MAX_NAME + 1], size_t n, PkValue *key) {
  char number[24];
  PkText t = key->text;
  if (key->kind == PK_INT)
    t = (PkText){number, (size_t)snprintf(number, sizeof number, "%" PRId64, key->i)};
  else if (key->kind != PK_TEXT || !t.n)
    return 0;
  if (t.n + (n > 0) > MAX_NAME - n) {
    st_fail(r->err, "a name below '%.*s' is longer than %d bytes", (int)(n < 200 ? n : 200), name, (int)MAX_NAME);
    return SIZE_MAX;
  }
  if (!is_printable(key, t)) {
    st_fail(r->err, "a name below '%.*s' has a zero byte or is not UTF-8", (int)(n < 200 ? n : 200), name);
    return SIZE_MAX;
  }
  if (n) name[n++] = '.';
  memcpy(name + n, t.s, t.n);
  return n + t.n;
}

static bool add_found(Reader *r, const char *name, size_t n, PkValue *tensor) {
  if (r->nfound == r->cap) {
    size_t cap = r->cap ? 2 * r->cap : 256;
    Found *at = st_alloc(&r->work, cap * sizeof *at);
    if (!at) return st_fail(r->err, "the names need too much memory for a file of this size");
    if (r->nfound) memcpy(at, r->found, r->nfound * sizeof *at);
    r->found = at;
    r->cap = cap;
  }
  Found f = {st_copy(&r->file->pool, name, n), tensor};
  if (!f.name) return st_fail(r->err, "the names need too much memory for a file of this size");
  r->found[r->nfound++] = f;
  return true;
}

static bool belongs_to_training(const PkValue *key) {
  static const char *const names[] = {"optimizer", "optimizers",   "optimizer_states", "optimizer_state_dict",
                                      "optim",     "lr_scheduler", "scheduler",        "lr_schedulers",
                                      "scaler",    "amp"};
  for (size_t i = 0; key->kind == PK_TEXT && i < sizeof names / sizeof *names; i++)
    if (key->text.n == strlen(names[i]) && !memcmp(key->text.s, names[i], key->text.n)) return true;
  return false;
}

// Where a pickled module keeps its parts; a state_dict() has no such levels.
static bool is_part_of_module(const PkValue *key) {
  static const char *const names[] = {"_modules", "_parameters", "_buffers"};
  for (size_t i = 0; key->kind == PK_TEXT && i < sizeof names / sizeof *names; i++)
    if (key->text.n == strlen(names[i]) && !memcmp(key->text.s, names[i], key->text.n)) return true;
  return false;
}

typedef struct Level {
  PkValue *dict;
  size_t next, name; // entry to look at; length of the name so far
} Level;

// Walks a dictionary. only_look: stops at the first tensor and reports it in *any; otherwise collects all.
static bool walk(Reader *r, PkValue *dict, bool only_look, bool *any) {
  Level level[MAX_LEVELS] = {{.dict = dict}};
  char name[MAX_NAME + 1];
  size_t depth = 1;
  bool ok = true;
  *any = false;
  dict->open = true;
  while (depth && ok && !(only_look && *any)) {
    Level *l = &level[depth - 1];
    if (l->next >= l->dict->list.n) {
      l->dict->open = false;
      depth--;
      continue;
    }
    PkValue *key = l->dict->list.at[l->next], *v = l->dict->list.at[l->next + 1];
    l->next += 2;
    if (!r->steps--) {
      r->steps = 0;
      ok = st_fail(r->err, "dictionaries stand within each other too often: the file is damaged or hostile");
      break;
    }
    bool enter = v->kind == PK_DICT && !v->open && depth < MAX_LEVELS;
    if ((!enter && v->kind != PK_TENSOR && v->kind != PK_FOREIGN) || (depth == 1 && belongs_to_training(key))) continue;
    bool part = enter && is_part_of_module(key);
    size_t n = part ? l->name : join_name(r, name, l->name, key);
    if (n == SIZE_MAX) ok = false;
    if ((!n && !part) || !ok) continue;
    if (enter) {
      v->open = true;
      level[depth++] = (Level){.dict = v, .name = n};
    } else {
      *any = *any || v->kind == PK_TENSOR;
      ok = only_look || add_found(r, name, n, v);
    }
  }
  while (depth) level[--depth].dict->open = false;
  return ok;
}

static bool add_note(Reader *r, const char *text) {
  const char *old = r->file->note ? r->file->note : "", *between = r->file->note ? "; " : "";
  size_t n = strlen(old) + strlen(between) + strlen(text);
  char *note = st_alloc(&r->file->pool, n + 1);
  if (!note) return st_fail(r->err, "out of memory");
  snprintf(note, n + 1, "%s%s%s", old, between, text);
  r->file->note = note;
  return true;
}

// Appends the entries of a dictionary that are dictionaries with tensors, but not `taken`: "'a', 'b'". False on error.
static bool list_states(Reader *r, const PkValue *top, const PkValue *taken, char text[512]) {
  enum { MOST = 8 };
  size_t at = 0, n = 0;
  text[0] = 0;
  for (size_t i = 0; i + 1 < top->list.n && n < MOST; i += 2) {
    PkValue *key = top->list.at[i], *v = top->list.at[i + 1];
    bool any;
    if (v == taken || v->kind != PK_DICT || key->kind != PK_TEXT || belongs_to_training(key)) continue;
    if (!walk(r, v, true, &any)) return false;
    if (!any || key->text.n > MAX_NAME || !is_printable(key, key->text)) continue;
    at += (size_t)snprintf(text + at, 512 - at, "%s'%.*s'", n++ ? ", " : "", (int)(key->text.n < 40 ? key->text.n : 40),
                           key->text.s);
  }
  return true;
}

// Says which other entries hold tensors that were not taken.
static bool note_others(Reader *r, const PkValue *top, const PkValue *taken, const char *name) {
  char text[512], whole[768];
  if (!list_states(r, top, taken, text)) return false;
  if (!text[0]) return true;
  snprintf(whole, sizeof whole, "the tensors are those of '%s'; left out: %s (--state takes another one%s)", name, text,
           strstr(text, "ema") || strstr(text, "EMA") ? "; timm and DeiT evaluate the averages, ema" : "");
  return add_note(r, whole);
}

// What a path of keys leads to: the longest key that it begins with, and so on. NULL if there is nothing.
static PkValue *follow(PkValue *v, const char *path) {
  while (*path) {
    PkValue *next = NULL;
    size_t longest = 0;
    for (size_t i = 0; v->kind == PK_DICT && i + 1 < v->list.n; i += 2) {
      PkText key = v->list.at[i]->text;
      bool text = v->list.at[i]->kind == PK_TEXT && key.n >= longest && !strncmp(path, key.s, key.n);
      if (!text || !key.n || (path[key.n] && path[key.n] != '.')) continue;
      next = v->list.at[i + 1];
      longest = key.n;
    }
    char *end = NULL;
    if (v->kind == PK_LIST || v->kind == PK_TUPLE) {
      unsigned long i = path[0] >= '0' && path[0] <= '9' ? strtoul(path, &end, 10) : ULONG_MAX;
      if (i < v->list.n && (!*end || *end == '.')) next = v->list.at[i];
      longest = next ? (size_t)(end - path) : 0;
    }
    if (!next) return NULL;
    v = next;
    path += longest + (path[longest] == '.');
  }
  return v;
}

static bool collect_state(Reader *r, PkValue *top, const char *state) {
  char text[512] = "";
  bool any = false;
  PkValue *v = follow(top, state);
  if (v && v->kind == PK_DICT && !walk(r, v, false, &any)) return false;
  if (any) return true;
  if (top->kind == PK_DICT && !list_states(r, top, NULL, text)) return false;
  return st_fail(r->err, "there is no dictionary of tensors '%.100s' in the file; it has %s", state,
                 text[0] ? text : "none by name");
}

static bool collect(Reader *r, PkValue *top, const char *state) {
  static const char *const wrapper[] = {"state_dict", "model", "model_state_dict", "module"};
  bool any = false;
  if (state) return collect_state(r, top, state);
  if (top->kind != PK_DICT)
    return st_fail(r->err, "the file holds no dictionary but %s; save the model's state_dict()%s",
                   top->kind == PK_TENSOR ? "one tensor" : "an object of Python code",
                   top->kind == PK_LIST || top->kind == PK_TUPLE ? ", or take an item of the list with --state 0" : "");
  for (size_t i = 0; i < sizeof wrapper / sizeof *wrapper; i++) {
    PkValue *d = pk_get(top, wrapper[i]);
    if (!d || d->kind != PK_DICT || d == top) continue;
    if (!walk(r, d, true, &any)) return false;
    if (any) return walk(r, d, false, &any) && note_others(r, top, d, wrapper[i]);
  }
  if (!walk(r, top, false, &any)) return false;
  return any || st_fail(r->err, "the file holds no tensors in dictionaries; save the model's state_dict()");
}

/* tensors ------------------------------------------------------------------------------------------------------- */
// The bytes of a storage and their number.
static const uint8_t *storage_data(Reader *r, const char *name, PkValue *storage, uint64_t *bytes) {
  static const uint8_t empty[8] = {0};
  char path[512];
  size_t size = st_dtype_size(storage->dtype);
  *bytes = 0;
  if (!storage->numel) return empty;
  if ((uint64_t)storage->numel > UINT64_MAX / 16 || strlen(r->folder) + storage->text.n + 8 > sizeof path ||
      memchr(storage->text.s, 0, storage->text.n)) {
    st_fail(r->err, "tensor '%.200s': its storage has an impossible size or name", name);
    return NULL;
  }
  snprintf(path, sizeof path, "%sdata/%.*s", r->folder, (int)storage->text.n, storage->text.s);
  if (!storage->entry) storage->entry = zip_find(&r->zip, path); // once: many tensors may be views of it
  ZipEntry *e = storage->entry;
  if (!e) {
    st_fail(r->err, "tensor '%.200s': the archive has no entry '%.200s'", name, path);
    return NULL;
  }
  *bytes = (uint64_t)storage->numel * size;
  if (*bytes > e->size) {
    st_fail(r->err, "tensor '%.200s': its storage has %" PRIu64 " bytes, the entry '%.200s' only %" PRIu64, name,
            *bytes, path, e->size);
    return NULL;
  }
  if (e->method != 0 && e->unpacked_bytes < *bytes) r->inflated += *bytes;
  return zip_front(e, *bytes, &r->file->data, r->err);
}

// Row-major order needs no copy. Lengths of 1 may have any stride.
static bool is_contiguous(const StTensor *t, const PkValue *stride) {
  int64_t want = 1;
  for (int i = t->rank; i-- > 0;) {
    if (t->shape[i] != 1 && stride->list.at[i]->i != want) return false;
    want *= t->shape[i];
  }
  return true;
}

// Copies a strided view into row-major order.
static void copy_view(const StTensor *t, const PkValue *stride, const uint8_t *from, uint8_t *to) {
  size_t size = st_dtype_size(t->dtype);
  int64_t index[ST_MAX_RANK] = {0}, at = 0; // in elements
  for (size_t done = 0; done < t->bytes; done += size) {
    memcpy(to + done, from + (size_t)at * size, size);
    for (int i = t->rank; i-- > 0;) {
      at += stride->list.at[i]->i;
      if (++index[i] < t->shape[i]) break;
      at -= t->shape[i] * stride->list.at[i]->i;
      index[i] = 0;
    }
  }
}

// Fills rank, shape and bytes; *reach receives the number of elements from the first to the last inclusive.
static bool read_shape(Reader *r, StTensor *t, const PkValue *v, int64_t *reach) {
  const PkList *size = &v->view.size->list, *stride = &v->view.stride->list;
  int64_t bytes = (int64_t)st_dtype_size(t->dtype);
  uint64_t product = 1;
  if (size->n > ST_MAX_RANK)
    return st_fail(r->err, "tensor '%.200s': more than %d dimensions", t->name, (int)ST_MAX_RANK);
  *reach = 1;
  for (size_t i = 0; i < size->n; i++) {
    int64_t n = size->at[i]->i, step = stride->at[i]->i;
    if (n < 0 || step < 0) return st_fail(r->err, "tensor '%.200s': negative shape or stride", t->name);
    if (!st_add_axis(t, (uint64_t)n, &product)) return st_fail(r->err, "tensor '%.200s': shape overflows", t->name);
    bytes *= n;
    if (n > 1 && step > (INT64_MAX - *reach) / (n - 1))
      return st_fail(r->err, "tensor '%.200s': strides overflow", t->name);
    if (n > 1) *reach += (n - 1) * step;
  }
  t->bytes = (size_t)bytes;
  return true;
}

static bool copy_tensor(Reader *r, StTensor *t, PkValue *v, const uint8_t *from) {
  if (!v->data) {
    // What views may copy is bounded by the file: one element shown a million times is not.
    uint64_t limit = 2 * ((uint64_t)r->bytes + r->inflated) + SLACK;
    uint8_t *to = t->bytes <= limit && r->copied <= limit - t->bytes ? st_alloc(&r->file->data, t->bytes) : NULL;
    if (!to)
      return st_fail(r->err, "tensor '%.200s': a view of %zu bytes is too large a copy for a file of %zu bytes",
                     t->name, t->bytes, r->bytes);
    r->copied += t->bytes;
    copy_view(t, v->view.stride, from, to);
    v->data = to;
  }
  t->data = v->data;
  return true;
}

// A tensor whose elements cannot be read: its type, and its shape as far as it makes sense.
static bool describe_foreign(Reader *r, StTensor *t, const PkValue *v) {
  const PkList *size = v->view.size ? &v->view.size->list : NULL;
  uint64_t product = 1;
  t->foreign = v->label ? st_copy(&r->file->pool, v->label, strlen(v->label)) : "other";
  if (!t->foreign) return st_fail(r->err, "the names need too much memory for a file of this size");
  for (size_t i = 0; size && size->n <= ST_MAX_RANK && i < size->n; i++) {
    int64_t n = size->at[i]->i;
    if (n < 0 || !st_add_axis(t, (uint64_t)n, &product))
      return st_fail(r->err, "tensor '%.200s': shape overflows", t->name);
  }
  return true;
}

static bool read_tensor(Reader *r, StTensor *t, const Found *f) {
  PkValue *v = f->tensor;
  int64_t reach = 0;
  uint64_t stored;
  *t = (StTensor){.name = f->name, .dtype = v->dtype};
  if (v->kind == PK_FOREIGN) return describe_foreign(r, t, v);
  if (!read_shape(r, t, v, &reach)) return false;
  const uint8_t *data = storage_data(r, t->name, v->view.storage, &stored);
  if (!data) return false;
  t->data = data;
  if (!t->bytes) return true;
  int64_t first = v->view.offset, room = (int64_t)(stored / st_dtype_size(t->dtype));
  if (first < 0 || first > room || reach > room - first)
    return st_fail(r->err, "tensor '%.200s': %" PRId64 " elements from %" PRId64 " on, in a storage of %" PRId64,
                   t->name, reach, first, room);
  data += (size_t)first * st_dtype_size(t->dtype);
  if (!is_contiguous(t, v->view.stride)) return copy_tensor(r, t, v, data);
  t->data = data;
  return true;
}

/* the archive --------------------------------------------------------------------------------------------------- */
static ZipEntry *entry_of(Reader *r, const char *name) {
  char path[512];
  int n = snprintf(path, sizeof path, "%s%s", r->folder, name);
  return n > 0 && (size_t)n < sizeof path ? zip_find(&r->zip, path) : NULL;
}

// Finds data.pkl, whose folder is that of everything else.
static ZipEntry *find_pickle(Reader *r) {
  static const char want[] = "data.pkl";
  for (size_t i = 0; i < r->zip.count; i++) {
    ZipEntry *e = &r->zip.entry[i];
    const char *slash = strrchr(e->name, '/'), *base = slash ? slash + 1 : e->name;
    if (strcmp(base, want) != 0) continue;
    r->folder = st_copy(&r->work, e->name, (size_t)(base - e->name));
    return r->folder ? e : NULL;
  }
  return NULL;
}

// What an archive is that torch.save did not write.
static void refuse_archive(Reader *r) {
  static const char unpack[] = "unpack it, and name the file that is in it";
  static const char others[] = "take the model's PyTorch or safetensors file";
  static const struct {
    const char *end, *advice;
  } kind[] = {{".npy", "arrays of NumPy; save them as safetensors (safetensors.numpy.save_file)"},
              {".safetensors", unpack},
              {".pth", unpack},
              {".pt", unpack},
              {".bin", unpack},
              {".ckpt", unpack},
              {".h5", others},
              {".pb", others}};
  for (size_t k = 0; k < sizeof kind / sizeof *kind; k++)
    for (size_t i = 0; i < r->zip.count; i++) {
      const char *name = r->zip.entry[i].name;
      size_t n = strlen(name), m = strlen(kind[k].end);
      if (n < m || strcmp(name + n - m, kind[k].end) != 0) continue;
      st_fail(r->err, "a zip archive without data.pkl, not a file of torch.save, with '%.100s' in it: %s", name,
              kind[k].advice);
      return;
    }
  st_fail(r->err, "a zip archive without data.pkl: not a file of torch.save");
}

static bool check_kind(Reader *r) {
  ZipEntry *order = entry_of(r, "byteorder");
  const uint8_t *text = order && order->size >= 3 && order->size < 64 ? zip_data(order, &r->work, r->err) : NULL;
  if (text && !memcmp(text, "big", 3))
    return st_fail(r->err, "saved on a big-endian machine; save it again on a little-endian one: " SAVE_AGAIN);
  return true;
}

static PkValue *read_values(Reader *r) {
  ZipEntry *e = find_pickle(r);
  if (!e) {
    refuse_archive(r);
    return NULL;
  }
  if (!check_kind(r)) return NULL;
  // Reading takes time and memory in proportion to the pickle, so that this has to be so to the file.
  if (e->size > MAX_PICKLE || e->size > SLACK + MAX_PACKED * (uint64_t)r->bytes) {
    st_fail(r->err, "data.pkl has %" PRIu64 " bytes, above the limit of %d MB and %d times the file", e->size,
            (int)(MAX_PICKLE >> 20), (int)MAX_PACKED);
    return NULL;
  }
  const uint8_t *pickle = zip_data(e, &r->work, r->err);
  if (!pickle) return NULL;
  r->work.limit = r->work.used + SLACK + 160 * (size_t)e->size;
  r->file->pool.limit = SLACK + 160 * (size_t)e->size;
  r->steps = SLACK + 4 * (size_t)e->size;
  return pk_read(pickle, (size_t)e->size, &r->work, r->err);
}

static bool read_all(Reader *r, const uint8_t *bytes, const char *state) {
  if (!zip_open(&r->zip, &r->work, bytes, r->bytes, r->err)) return false;
  PkValue *top = read_values(r);
  if (!top || !collect(r, top, state)) return false;
  StFile *f = r->file;
  f->tensor = st_alloc(&f->pool, (r->nfound + 1) * sizeof *f->tensor);
  if (!f->tensor) return st_fail(r->err, "the names need too much memory for a file of this size");
  for (; f->count < r->nfound; f->count++)
    if (!read_tensor(r, &f->tensor[f->count], &r->found[f->count])) return false;
  return st_index_names(f, r->err);
}

bool torch_read(StFile *f, const uint8_t *bytes, size_t n, const char *state, StError *err) {
  Reader r = {.file = f, .bytes = n, .err = err};
  uint64_t inflated = (uint64_t)n > MAX_DATA / MAX_PACKED ? MAX_DATA : (uint64_t)n * MAX_PACKED;
  f->kind = "PyTorch";
  f->data.limit = (size_t)inflated + MANY;
  r.work.limit = SLACK + 4 * n + (size_t)MAX_PICKLE;
  bool ok = read_all(&r, bytes, state);
  st_pool_free(&r.work);
  return ok;
}
