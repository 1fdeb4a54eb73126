// torch_support.h: PyTorch checkpoints put together byte by byte: pickles, and the archives around them.
#ifndef SY_TEST_TORCH_SUPPORT_H
#define SY_TEST_TORCH_SUPPORT_H

#include "ckpt/stfile.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* bytes --------------------------------------------------------------------------------------------------------- */
typedef struct Bytes {
  uint8_t *p;
  size_t n, cap;
} Bytes;

static inline void put(Bytes *b, const void *data, size_t n) {
  if (b->n + n > b->cap) {
    b->cap = 2 * (b->n + n) + 64;
    b->p = realloc(b->p, b->cap);
    cr_assert(b->p);
  }
  if (n) memcpy(b->p + b->n, data, n);
  b->n += n;
}
static inline void put_int(Bytes *b, uint64_t v, int bytes) { // more than 8: zeros behind
  for (int i = 0; i < bytes; i++) {
    uint8_t c = (uint8_t)(i < 8 ? v >> 8 * i : 0);
    put(b, &c, 1);
  }
}
static inline void put_text(Bytes *b, const char *s) {
  put(b, s, strlen(s));
}

/* pickles ------------------------------------------------------------------------------------------------------- */
static inline void text(Bytes *b, const char *s) { // BINUNICODE
  put_text(b, "X");
  put_int(b, strlen(s), 4);
  put_text(b, s);
}
static inline void integer(Bytes *b, int64_t v) { // LONG1 of 8 bytes
  put(b, "\x8a\x08", 2);
  put_int(b, (uint64_t)v, 8);
}
static inline void global(Bytes *b, const char *module, const char *name) {
  put_text(b, "c");
  put_text(b, module);
  put_text(b, "\n");
  put_text(b, name);
  put_text(b, "\n");
}
static inline void integers(Bytes *b, size_t n, const int64_t *v) { // a tuple
  put_text(b, "(");
  for (size_t i = 0; i < n; i++) integer(b, v[i]);
  put_text(b, "t");
}
static inline void storage(Bytes *b, const char *type, const char *key, int64_t numel) {
  put_text(b, "(");
  text(b, "storage");
  global(b, "torch", type);
  text(b, key);
  text(b, "cpu");
  integer(b, numel);
  put_text(b, "tQ");
}
typedef struct View {
  const char *type, *key;
  int64_t numel, offset;
  size_t rank;
  int64_t size[10], stride[10];
} View;
static inline void tensor(Bytes *b, const View *v) {
  global(b, "torch._utils", "_rebuild_tensor_v2");
  put_text(b, "(");
  storage(b, v->type, v->key, v->numel);
  integer(b, v->offset);
  integers(b, v->rank, v->size);
  integers(b, v->rank, v->stride);
  put(b, "\x89", 1);
  global(b, "collections", "OrderedDict");
  put_text(b, ")RtR");
}
static inline void proto(Bytes *b) {
  put(b, "\x80\x02", 2);
}

/* archives ------------------------------------------------------------------------------------------------------ */
typedef struct Entry {
  const char *name;
  const void *data;
  size_t n;
  bool deflated;
} Entry;
static uint32_t sum(const void *p, size_t n) {
  return (uint32_t)crc32(crc32(0, NULL, 0), p, (uInt)n);
}
static inline Bytes deflated(const void *p, size_t n) {
  Bytes b = {calloc(n + 256, 1), 0, n + 256};
  z_stream s = {0};
  cr_assert_eq(deflateInit2(&s, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  s.next_in = (Bytef *)(uintptr_t)p;
  s.avail_in = (uInt)n;
  s.next_out = b.p;
  s.avail_out = (uInt)b.cap;
  cr_assert_eq(deflate(&s, Z_FINISH), Z_STREAM_END);
  b.n = s.total_out;
  deflateEnd(&s);
  return b;
}
static inline void fields(Bytes *b, const Entry *e, size_t packed, bool wide) { // from the method to the sizes
  put_int(b, e->deflated ? 8 : 0, 2);
  put_int(b, 0, 4);
  put_int(b, sum(e->data, e->n), 4);
  put_int(b, wide ? UINT32_MAX : packed, 4);
  put_int(b, wide ? UINT32_MAX : e->n, 4);
  put_int(b, strlen(e->name), 2);
}
// With `wide` all that can be said in zip64 is. Stored data are aligned to 64 bytes, as PyTorch does.
static inline Bytes archive(size_t n, const Entry *e, bool wide) {
  Bytes b = {0}, dir = {0};
  for (size_t i = 0; i < n; i++) {
    Bytes packed = {0};
    size_t at = b.n;
    if (e[i].deflated)
      packed = deflated(e[i].data, e[i].n);
    else
      put(&packed, e[i].data, e[i].n);
    put_text(&b, "PK\3\4");
    put_int(&b, 0, 4);
    fields(&b, &e[i], packed.n, wide);
    size_t pad = (64 - (b.n + 2 + strlen(e[i].name) + 4) % 64) % 64 + 4;
    put_int(&b, pad, 2);
    put_text(&b, e[i].name);
    put_text(&b, "FB");
    put_int(&b, pad - 4, 2);
    for (size_t k = 4; k < pad; k++) put_text(&b, "Z");
    put(&b, packed.p, packed.n);
    put_text(&dir, "PK\1\2");
    put_int(&dir, 0, 6);
    fields(&dir, &e[i], packed.n, wide);
    put_int(&dir, wide ? 28 : 0, 2);
    put_int(&dir, 0, 10);
    put_int(&dir, wide ? UINT32_MAX : at, 4);
    put_text(&dir, e[i].name);
    if (wide) {
      put_int(&dir, 1, 2);
      put_int(&dir, 24, 2);
      put_int(&dir, e[i].n, 8);
      put_int(&dir, packed.n, 8);
      put_int(&dir, at, 8);
    }
    free(packed.p);
  }
  size_t at = b.n;
  put(&b, dir.p, dir.n);
  if (wide) {
    size_t end = b.n;
    put_text(&b, "PK\6\6");
    put_int(&b, 44, 8);
    put_int(&b, 0, 12);
    put_int(&b, n, 8);
    put_int(&b, n, 8);
    put_int(&b, dir.n, 8);
    put_int(&b, at, 8);
    put_text(&b, "PK\6\7");
    put_int(&b, 0, 4);
    put_int(&b, end, 8);
    put_int(&b, 1, 4);
  }
  put_text(&b, "PK\5\6");
  put_int(&b, 0, 4);
  put_int(&b, wide ? 0xffff : n, 2);
  put_int(&b, wide ? 0xffff : n, 2);
  put_int(&b, wide ? UINT32_MAX : dir.n, 4);
  put_int(&b, wide ? UINT32_MAX : at, 4);
  put_int(&b, 0, 2);
  free(dir.p);
  return b;
}

static const float six[6] = {1, 2, 3, 4, 5, 6};

// An archive of a pickle and of the storage "0" with six floats. The pickle is freed.
static inline Bytes file_of(Bytes pickle) {
  Entry e[] = {{"m/data.pkl", pickle.p, pickle.n, false},
               {"m/byteorder", "little", 6, false},
               {"m/data/0", six, sizeof six, false}};
  Bytes b = archive(3, e, false);
  free(pickle.p);
  return b;
}
// Opens the archive of a pickle. The bytes must outlive the StFile: *keep.
static inline StFile *open_pickle(Bytes pickle, Bytes *keep, StError *err) {
  *keep = file_of(pickle);
  *err = (StError){""};
  return st_open_memory(keep->p, keep->n, err);
}
// The message that a pickle is refused with.
static inline void refused(Bytes pickle, const char *message) {
  StError err;
  Bytes keep;
  StFile *f = open_pickle(pickle, &keep, &err);
  cr_expect_null(f, "accepted; expected '%s'", message);
  cr_expect(strstr(err.text, message), "'%s' lacks '%s'", err.text, message);
  st_close(f);
  free(keep.p);
}

// {"weight": [2,3], "turned": its transpose, "last": element 5, "epoch": 3}
static inline Bytes sound_pickle(void) {
  Bytes p = {0};
  proto(&p);
  put_text(&p, "}(");
  text(&p, "weight");
  tensor(&p, &(View){"FloatStorage", "0", 6, 0, 2, {2, 3}, {3, 1}});
  text(&p, "turned");
  tensor(&p, &(View){"FloatStorage", "0", 6, 0, 2, {3, 2}, {1, 3}});
  text(&p, "last");
  tensor(&p, &(View){"FloatStorage", "0", 6, 5, 0, {0}, {0}});
  text(&p, "epoch");
  put_text(&p, "K\3u.");
  return p;
}

// The message that a file is refused with.
static inline void file_refused(Bytes b, const char *message) {
  StError err = {""};
  StFile *f = st_open_memory(b.p, b.n, &err);
  cr_expect_null(f, "accepted; expected '%s'", message);
  cr_expect(strstr(err.text, message), "'%s' lacks '%s'", err.text, message);
  st_close(f);
}

// A dictionary of one tensor, with names after each other.
static inline void state(Bytes *p, const char *name) {
  put_text(p, "}");
  text(p, name);
  tensor(p, &(View){"FloatStorage", "0", 6, 0, 1, {6}, {1}});
  put_text(p, "s");
}

#endif
