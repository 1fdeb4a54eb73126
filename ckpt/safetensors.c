// safetensors.c - see safetensors.h for the format, the guarantees and an example.
//
// The header is hostile input. Before cJSON sees it, st_json_prescan() walks it once without recursion and
// bounds nesting and the number of values, so neither the stack nor memory depends on what the file
// says beyond a constant factor. After parsing, every entry is checked alone (read_entry) and then all
// together (check_cover). cJSON keeps duplicate keys; they are found in the sorted name index.
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE // madvise
#endif
#include "common/text.h"
#include "ir/base/newfile.h"
#include "stfile.h"
#include "torch.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  MAX_HEADER = 100 * 1000 * 1000, // bytes; the limit of the reference implementation
  MAX_DEPTH = 8,                  // a sound header needs 3
  MAX_VALUES = 4 * 1000 * 1000,   // JSON values; bounds cJSON's memory to a few hundred MB
  MAX_NEAR = 512                  // bytes of a name that the edit distance looks at
};

#define MAX_EXACT 9007199254740992.0 // 2^53: JSON numbers are doubles, larger ones are not exact

static bool is_control(char c) {
  return (unsigned char)c < ' ' || c == 0x7f;
}

bool st_fail(StError *err, const char *fmt, ...) {
  if (err) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    for (char *s = err->text; *s; s++) // of names in the file: a message is one line and moves no cursor
      if (is_control(*s)) *s = '?';
  }
  return false;
}

// ---- header checks ----

// Refusing \u0000: it would cut C strings, so that two different names compare equal. Syntax is cJSON's business.
bool st_json_prescan(const char *what, const char *s, size_t n, StError *err) {
  size_t depth = 0, values = 0;
  bool in_string = false;
  for (size_t i = 0; i < n; i++) {
    char c = s[i];
    if (c == '\0') return st_fail(err, "%s has a zero byte at offset %zu", what, i);
    if (in_string) {
      if (c == '\\') {
        if (n - i >= 6 && !memcmp(s + i, "\\u0000", 6)) return st_fail(err, "%s has \\u0000 in a string", what);
        i++;
      } else if (c == '"') {
        in_string = false;
      }
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '{' || c == '[') {
      values++;
      if (++depth > MAX_DEPTH) return st_fail(err, "%s is nested deeper than %d", what, (int)MAX_DEPTH);
    }
    if ((c == '}' || c == ']') && depth) depth--;
    if (c == ',') values++;
    if (values > MAX_VALUES) return st_fail(err, "%s has more than %d values", what, (int)MAX_VALUES);
  }
  return true;
}

static bool is_count(const cJSON *v) {
  return cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= MAX_EXACT &&
         v->valuedouble == (double)(int64_t)v->valuedouble;
}

// The one member `key` of an entry; NULL if absent or given twice.
static const cJSON *member(const cJSON *entry, const char *key) {
  const cJSON *found = NULL, *c;
  cJSON_ArrayForEach(c, entry) {
    if (!c->string || strcmp(c->string, key) != 0) continue;
    if (found) return NULL;
    found = c;
  }
  return found;
}

// Fills t from one header entry; data_bytes is the size of the data section.
static bool read_entry(StTensor *t, const cJSON *e, const uint8_t *data, size_t data_bytes, StError *err) {
  const char *name = e->string;
  if (!cJSON_IsObject(e)) return st_fail(err, "tensor '%.200s': entry is not an object", name);
  const cJSON *dtype = member(e, "dtype"), *shape = member(e, "shape"), *off = member(e, "data_offsets"), *c;
  if (!cJSON_IsString(dtype)) return st_fail(err, "tensor '%.200s': no single string 'dtype'", name);
  if (!cJSON_IsArray(shape)) return st_fail(err, "tensor '%.200s': no single array 'shape'", name);
  if (!cJSON_IsArray(off)) return st_fail(err, "tensor '%.200s': no single array 'data_offsets'", name);

  *t = (StTensor){.name = name, .dtype = ST_DTYPE_COUNT};
  bool foreign = !st_dtype_by_name(dtype->valuestring, &t->dtype);
  if (foreign) t->foreign = dtype->valuestring;

  uint64_t product = 1;
  int64_t bytes = foreign ? 1 : (int64_t)st_dtype_size(t->dtype); // of a foreign type only elements are counted
  cJSON_ArrayForEach(c, shape) {
    if (t->rank == ST_MAX_RANK) return st_fail(err, "tensor '%.200s': more than %d dimensions", name, (int)ST_MAX_RANK);
    if (!is_count(c)) return st_fail(err, "tensor '%.200s': a dimension is not an integer in 0..2^53", name);
    int64_t d = (int64_t)c->valuedouble;
    if (!st_add_axis(t, (uint64_t)d, &product)) return st_fail(err, "tensor '%.200s': shape overflows", name);
    bytes *= d;
  }

  const cJSON *lo = off->child, *hi = lo ? lo->next : NULL;
  if (!is_count(lo) || !is_count(hi) || hi->next)
    return st_fail(err, "tensor '%.200s': data_offsets is not a pair of integers in 0..2^53", name);
  int64_t begin = (int64_t)lo->valuedouble, end = (int64_t)hi->valuedouble;
  if (begin > end) return st_fail(err, "tensor '%.200s': data_offsets are out of order", name);
  if ((uint64_t)end > data_bytes)
    return st_fail(err, "tensor '%.200s': data end at %" PRId64 ", beyond the %zu bytes of data", name, end,
                   data_bytes);
  if (foreign)
    bytes = end - begin;
  else if (end - begin != bytes)
    return st_fail(err, "tensor '%.200s': %" PRId64 " bytes of data for a shape of %" PRId64 " bytes", name,
                   end - begin, bytes);
  t->data = data + begin;
  t->bytes = (size_t)bytes;
  return true;
}

static int by_data(const void *a, const void *b) {
  const StTensor *x = a, *y = b;
  if (x->data != y->data) return (const uint8_t *)x->data < (const uint8_t *)y->data ? -1 : 1;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; // empty ones first, they fit anywhere
  return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b) {
  const StTensor *const *x = a, *const *y = b;
  return strcmp((*x)->name, (*y)->name);
}

static bool has_control(const char *s) {
  while (*s && !is_control(*s)) s++;
  return *s != 0;
}

bool st_index_names(StFile *f, StError *err) {
  f->byname = st_alloc(&f->pool, (f->count + 1) * sizeof *f->byname);
  if (!f->byname) return st_fail(err, "out of memory");
  for (size_t i = 0; i < f->count; i++) {
    f->byname[i] = &f->tensor[i];
    if (has_control(f->tensor[i].name))
      return st_fail(err, "the name '%.200s' has a control character", f->tensor[i].name);
  }
  qsort(f->byname, f->count, sizeof *f->byname, by_name);
  for (size_t i = 1; i < f->count; i++)
    if (!strcmp(f->byname[i]->name, f->byname[i - 1]->name))
      return st_fail(err, "duplicate key '%.200s'", f->byname[i]->name);
  return true;
}

// The ranges, in data order, must tile the data section.
static bool check_cover(const StFile *f, const uint8_t *data, size_t data_bytes, StError *err) {
  size_t at = 0;
  for (size_t i = 0; i < f->count; i++) {
    const StTensor *t = &f->tensor[i];
    size_t begin = (size_t)((const uint8_t *)t->data - data);
    if (begin < at) return st_fail(err, "tensor '%.200s': data overlap those of '%.200s'", t->name, t[-1].name);
    if (begin > at) return st_fail(err, "tensor '%.200s': %zu unused bytes before its data", t->name, begin - at);
    at = begin + t->bytes;
  }
  if (at != data_bytes) return st_fail(err, "%zu bytes after the last tensor belong to none", data_bytes - at);
  return true;
}

bool st_read_header(StFile *f, const uint8_t *file, size_t n, StError *err) {
  if (n < 8) return st_fail(err, "file is too short for a safetensors header (%zu bytes)", n);
  uint64_t len = 0;
  for (int i = 0; i < 8; i++) len |= (uint64_t)file[i] << 8 * i;
  if (len > MAX_HEADER)
    return st_fail(err, "header length %" PRIu64 " is above the limit of 100 MB: not a safetensors file", len);
  if (len > n - 8) return st_fail(err, "header length %" PRIu64 " is beyond the end of the file (truncated?)", len);
  const char *text = (const char *)file + 8;
  size_t text_len = (size_t)len;
  if (!st_json_prescan("header", text, text_len, err)) return false;
  const char *end = NULL;
  f->json = cJSON_ParseWithLengthOpts(text, text_len, &end, false);
  if (!f->json) return st_fail(err, "header is not valid JSON (near byte %td)", end ? end - text : (ptrdiff_t)0);
  for (; end < text + text_len; end++)
    if (!strchr(" \t\r\n", *end)) return st_fail(err, "header has text after the JSON object");
  if (!cJSON_IsObject(f->json)) return st_fail(err, "header is not a JSON object");

  size_t entries = 0;
  const cJSON *e;
  cJSON_ArrayForEach(e, f->json) entries++;
  f->tensor = st_alloc(&f->pool, (entries + 1) * sizeof *f->tensor);
  if (!f->tensor) return st_fail(err, "out of memory");
  const uint8_t *data = file + 8 + text_len;
  size_t data_bytes = n - 8 - text_len, metadata = 0;
  cJSON_ArrayForEach(e, f->json) {
    if (!strcmp(e->string, "__metadata__")) {
      if (metadata++) return st_fail(err, "duplicate key '__metadata__'");
      if (!cJSON_IsObject(e)) return st_fail(err, "'__metadata__' is not an object");
    } else if (!read_entry(&f->tensor[f->count++], e, data, data_bytes, err)) {
      return false;
    }
  }
  qsort(f->tensor, f->count, sizeof *f->tensor, by_data);
  return st_index_names(f, err) && check_cover(f, data, data_bytes, err);
}

// ---- looking up ----

size_t st_count(const StFile *f) {
  return f->count;
}

const StTensor *st_at(const StFile *f, size_t i) {
  return i < f->count ? &f->tensor[i] : NULL;
}

const StTensor *st_find(const StFile *f, const char *name) {
  size_t lo = 0, hi = f->count;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    int c = strcmp(name, f->byname[mid]->name);
    if (c == 0) return f->byname[mid];
    if (c < 0)
      hi = mid;
    else
      lo = mid + 1;
  }
  return NULL;
}

const StTensor *st_near(const StFile *f, const char *name) {
  enum { MOST_WORK = 1 << 26 }; // pairs of letters: a file may have a million long names
  const StTensor *best = NULL;
  size_t length = strnlen(name, MAX_NEAR), limit = length / 2 + 1, work = 0;
  for (size_t i = 0; i < f->count && limit > 0; i++) {
    work += length * strnlen(f->byname[i]->name, MAX_NEAR);
    if (work > MOST_WORK) break;
    size_t d = edit_distance(name, f->byname[i]->name, limit);
    if (d >= limit) continue;
    limit = d;
    best = f->byname[i];
  }
  return best;
}

// ---- writing ----

struct StWriter {
  char *path;
  NewFile out;
  uint64_t expected, written; // bytes of tensor data
  bool failed;                // sticky: st_write_end will not put the file
};

// Elements times the size of one, if that is exact as a number of JSON.
static bool bytes_of(const StDesc *d, uint64_t *bytes) {
  *bytes = st_dtype_size(d->dtype);
  for (int k = 0; k < d->rank; k++) {
    if (d->shape[k] < 0 || (d->shape[k] > 0 && *bytes > (uint64_t)MAX_EXACT / (uint64_t)d->shape[k])) return false;
    *bytes *= (uint64_t)d->shape[k];
  }
  return true;
}

static bool check_desc(const StDesc *d, size_t i, uint64_t *bytes, StError *err) {
  if (!d->name || !strcmp(d->name, "__metadata__") || has_control(d->name))
    return st_fail(err, "tensor %zu has no usable name", i);
  if ((unsigned)d->dtype >= ST_DTYPE_COUNT || d->rank < 0 || d->rank > ST_MAX_RANK)
    return st_fail(err, "tensor '%.200s': unknown dtype or rank %d", d->name, d->rank);
  return bytes_of(d, bytes) || st_fail(err, "tensor '%.200s': shape is negative or too large", d->name);
}

// Adding fails for want of memory, as making what is added does.
static bool add_number(cJSON *list, uint64_t n) {
  cJSON *item = cJSON_CreateNumber((double)n);
  if (item && cJSON_AddItemToArray(list, item)) return true;
  cJSON_Delete(item);
  return false;
}

static bool add_entry(cJSON *root, const StDesc *d, uint64_t from, uint64_t to) {
  cJSON *e = cJSON_AddObjectToObject(root, d->name);
  bool ok = e && cJSON_AddStringToObject(e, "dtype", st_dtype_name(d->dtype));
  cJSON *shape = ok ? cJSON_AddArrayToObject(e, "shape") : NULL;
  ok = shape != NULL;
  for (int k = 0; ok && k < d->rank; k++) ok = add_number(shape, (uint64_t)d->shape[k]);
  cJSON *offsets = ok ? cJSON_AddArrayToObject(e, "data_offsets") : NULL;
  return offsets && add_number(offsets, from) && add_number(offsets, to);
}

// Header text of the descriptions; *total receives the bytes of data. NULL on error.
static char *header_text(size_t n, const StDesc *descs, uint64_t *total, StError *err) {
  cJSON *root = cJSON_CreateObject();
  uint64_t at = 0, bytes = 0;
  bool ok = root || st_fail(err, "out of memory");
  for (size_t i = 0; ok && i < n; i++, at += bytes) {
    ok = check_desc(&descs[i], i, &bytes, err);
    if (ok && at + bytes > (uint64_t)MAX_EXACT) ok = st_fail(err, "more than 2^53 bytes of data");
    ok = ok && (add_entry(root, &descs[i], at, at + bytes) || st_fail(err, "out of memory"));
  }
  char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
  if (ok && !text) st_fail(err, "out of memory");
  cJSON_Delete(root);
  *total = at;
  return text;
}

static int by_desc_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool names_differ(size_t n, const StDesc *descs, StError *err) {
  const char **names = calloc(n + 1, sizeof *names);
  if (!names) return st_fail(err, "out of memory");
  for (size_t i = 0; i < n; i++) names[i] = descs[i].name ? descs[i].name : "";
  qsort(names, n, sizeof *names, by_desc_name);
  bool ok = true;
  for (size_t i = 1; ok && i < n; i++)
    if (!strcmp(names[i], names[i - 1])) ok = st_fail(err, "tensor '%.200s' is given twice", names[i]);
  free(names);
  return ok;
}

static bool open_out(StWriter *w, StError *err) {
  struct stat st;
  if (stat(w->path, &st) == 0 && !S_ISREG(st.st_mode)) return st_fail(err, "%.300s: it is not a regular file", w->path);
  return new_file_open(&w->out, w->path) || st_fail(err, "%.300s: %s", w->path, strerror(errno));
}

StWriter *st_write_begin(const char *path, size_t n, const StDesc *descs, StError *err) {
  if (!names_differ(n, descs, err)) return NULL;
  StWriter *w = calloc(1, sizeof *w);
  char *text = w ? header_text(n, descs, &w->expected, err) : NULL;
  if (!w || !text) {
    if (!w) st_fail(err, "out of memory");
    free(w);
    return NULL;
  }
  size_t len = strlen(text), padded = (len + 7) / 8 * 8; // 8 bytes of length before it: stays aligned
  w->path = malloc(strlen(path) + 1);
  bool ok = w->path != NULL || st_fail(err, "out of memory");
  if (ok) memcpy(w->path, path, strlen(path) + 1);
  if (ok && padded > MAX_HEADER) ok = st_fail(err, "header of %zu bytes is above the limit of 100 MB", padded);
  ok = ok && open_out(w, err);
  if (ok) {
    uint8_t head[8];
    for (int i = 0; i < 8; i++) head[i] = (uint8_t)((uint64_t)padded >> 8 * i);
    ok = fwrite(head, 1, 8, w->out.f) == 8 && fwrite(text, 1, len, w->out.f) == len &&
         fwrite("       ", 1, padded - len, w->out.f) == padded - len;
    if (!ok) st_fail(err, "%.300s: %s", w->path, strerror(errno));
  }
  cJSON_free(text);
  if (ok) return w;
  st_write_abort(w);
  return NULL;
}

bool st_write_data(StWriter *w, const void *data, size_t bytes, StError *err) {
  if (w->failed) return st_fail(err, "%.300s: an earlier write failed", w->path);
  if (bytes > w->expected - w->written) {
    w->failed = true;
    return st_fail(err, "%.300s: more data than the declared %" PRIu64 " bytes", w->path, w->expected);
  }
  if (bytes && fwrite(data, 1, bytes, w->out.f) != bytes) {
    w->failed = true;
    return st_fail(err, "%.300s: %s", w->path, strerror(errno));
  }
  w->written += bytes;
  return true;
}

bool st_write_end(StWriter *w, StError *err) {
  bool ok = !w->failed || st_fail(err, "%.300s: an earlier write failed", w->path);
  if (ok && w->written != w->expected)
    ok = st_fail(err, "%.300s: %" PRIu64 " of %" PRIu64 " bytes of data were given", w->path, w->written, w->expected);
  if (ok && !new_file_put(&w->out, NEW_FILE_SAFE)) ok = st_fail(err, "%.300s: %s", w->path, strerror(errno));
  st_write_abort(w);
  return ok;
}

void st_write_abort(StWriter *w) {
  if (!w) return;
  new_file_drop(&w->out);
  free(w->path);
  free(w);
}
