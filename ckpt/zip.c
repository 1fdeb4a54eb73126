// zip.c - see zip.h.
//
// Layout of an archive: for every entry a local header and its packed bytes; then the directory, one record an entry;
// then, for large archives, the zip64 end record and its locator; last the end record with a comment. Readers begin at
// the end. All numbers are little-endian; fields of 32 bits that are all ones stand in the zip64 extra field instead.
#include "zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
  LOCAL = 30,     // bytes of a local header before its name
  CENTRAL = 46,   // of a directory record
  END = 22,       // of the end record
  LOCATOR = 20,   // of the zip64 locator
  END64 = 56,     // of the zip64 end record
  MAX_NAME = 4096 // bytes
};

#define SIG_LOCAL 0x04034b50u
#define SIG_CENTRAL 0x02014b50u
#define SIG_END 0x06054b50u
#define SIG_LOCATOR 0x07064b50u
#define SIG_END64 0x06064b50u

static uint64_t number(const uint8_t *p, int bytes) {
  uint64_t v = 0;
  for (int i = bytes; i-- > 0;) v = v << 8 | p[i];
  return v;
}
static uint16_t u16(const uint8_t *p) {
  return (uint16_t)number(p, 2);
}
static uint32_t u32(const uint8_t *p) {
  return (uint32_t)number(p, 4);
}
static uint64_t u64(const uint8_t *p) {
  return number(p, 8);
}

typedef struct Directory {
  uint64_t at, bytes, count;
} Directory;

// The end record: the last one whose comment reaches exactly to the end of the file.
static const uint8_t *find_end(const uint8_t *bytes, size_t n) {
  for (size_t back = END; back <= n && back <= END + 65535; back++) {
    const uint8_t *p = bytes + n - back;
    if (u32(p) == SIG_END && u16(p + 20) == back - END) return p;
  }
  return NULL;
}

static bool find_directory(Directory *d, const uint8_t *bytes, size_t n, StError *err) {
  const uint8_t *end = find_end(bytes, n);
  if (!end) return st_fail(err, "zip archive without an end record: the file is cut short or not a zip archive");
  size_t limit = (size_t)(end - bytes);
  *d = (Directory){.at = u32(end + 16), .bytes = u32(end + 12), .count = u16(end + 10)};
  bool split = u16(end + 4) != 0 || u16(end + 6) != 0 || u16(end + 8) != d->count;
  if (limit >= LOCATOR && u32(end - LOCATOR) == SIG_LOCATOR) {
    uint64_t at = u64(end - LOCATOR + 8);
    if (limit < LOCATOR + END64 || at > limit - LOCATOR - END64 || u32(bytes + at) != SIG_END64)
      return st_fail(err, "zip64 end record is not where its locator says (offset %" PRIu64 ")", at);
    const uint8_t *e = bytes + at;
    *d = (Directory){.at = u64(e + 48), .bytes = u64(e + 40), .count = u64(e + 32)};
    split = u32(e + 16) != 0 || u32(e + 20) != 0 || u64(e + 24) != d->count;
    limit = (size_t)at;
  }
  if (split) return st_fail(err, "zip archive is split over several files; join them first");
  if (d->at > limit || d->bytes > limit - d->at)
    return st_fail(err, "zip directory at %" PRIu64 " with %" PRIu64 " bytes is outside the file", d->at, d->bytes);
  if (d->count > d->bytes / CENTRAL)
    return st_fail(err, "zip directory of %" PRIu64 " bytes cannot hold %" PRIu64 " entries", d->bytes, d->count);
  return true;
}

// Replaces the fields that are all ones by those of the zip64 extra field (size, packed size, header: in this order).
static bool read_zip64(ZipEntry *e, const uint8_t *extra, size_t n) {
  uint64_t *field[3] = {&e->size, &e->packed, &e->header};
  bool wanted = false;
  for (int i = 0; i < 3; i++) wanted |= *field[i] == UINT32_MAX;
  for (size_t at = 0; wanted && n - at >= 4;) {
    size_t id = u16(extra + at), len = u16(extra + at + 2);
    at += 4;
    if (len > n - at) return false;
    if (id == 1) {
      const uint8_t *p = extra + at, *stop = p + len;
      for (int i = 0; i < 3; i++) {
        if (*field[i] != UINT32_MAX) continue;
        if (stop - p < 8) return false;
        *field[i] = u64(p);
        p += 8;
      }
      return true;
    }
    at += len;
  }
  return true; // without the field the numbers stand as they are
}

// Finds the packed bytes behind the local header; `limit` is where the directory begins.
static bool read_local(ZipEntry *e, const uint8_t *bytes, uint64_t limit, StError *err) {
  if (e->header > limit || limit - e->header < LOCAL || u32(bytes + e->header) != SIG_LOCAL)
    return st_fail(err, "zip entry '%.200s': no local header at %" PRIu64, e->name, e->header);
  const uint8_t *h = bytes + e->header;
  uint64_t name = u16(h + 26), room = limit - e->header - LOCAL, skip = name + u16(h + 28);
  if (skip > room || name != strlen(e->name) || memcmp(h + LOCAL, e->name, (size_t)name) != 0)
    return st_fail(err, "zip entry '%.200s': its local header has another name", e->name);
  if (e->packed > room - skip)
    return st_fail(err, "zip entry '%.200s': %" PRIu64 " bytes reach beyond the place of the directory", e->name,
                   e->packed);
  e->data = h + LOCAL + skip;
  e->end = e->header + LOCAL + skip + e->packed;
  return true;
}

static bool read_record(ZipEntry *e, const uint8_t **p, const uint8_t *stop, StPool *pool, StError *err) {
  const uint8_t *r = *p;
  if (stop - r < CENTRAL || u32(r) != SIG_CENTRAL) return st_fail(err, "zip directory is damaged");
  size_t name = u16(r + 28), extra = u16(r + 30), comment = u16(r + 32);
  if (name + extra + comment > (size_t)(stop - r) - CENTRAL) return st_fail(err, "zip directory ends within an entry");
  const char *text = (const char *)r + CENTRAL;
  if (!name || name > MAX_NAME || memchr(text, 0, name))
    return st_fail(err, "zip entry with an empty, overlong or unprintable name");
  *e = (ZipEntry){
      .method = u16(r + 10), .crc = u32(r + 16), .packed = u32(r + 20), .size = u32(r + 24), .header = u32(r + 42)};
  e->name = st_copy(pool, text, name);
  if (!e->name) return st_fail(err, "zip directory needs too much memory");
  if (u16(r + 8) & 1) return st_fail(err, "zip entry '%.200s' is encrypted", e->name);
  if (u16(r + 34)) return st_fail(err, "zip archive is split over several files; join them first");
  if (!read_zip64(e, r + CENTRAL + name, extra))
    return st_fail(err, "zip entry '%.200s': zip64 field is damaged", e->name);
  if (e->method == 0 && e->size != e->packed)
    return st_fail(err, "zip entry '%.200s': stored, yet %" PRIu64 " bytes for %" PRIu64, e->name, e->packed, e->size);
  *p = r + CENTRAL + name + extra + comment;
  return true;
}

static int by_header(const void *a, const void *b) {
  const ZipEntry *x = a, *y = b;
  return x->header < y->header ? -1 : x->header > y->header;
}

static int by_name(const void *a, const void *b) {
  const ZipEntry *const *x = a, *const *y = b;
  return strcmp((*x)->name, (*y)->name);
}

static bool index_entries(Zip *z, StError *err) {
  qsort(z->entry, z->count, sizeof *z->entry, by_header);
  for (size_t i = 1; i < z->count; i++) {
    const ZipEntry *a = &z->entry[i - 1], *b = &z->entry[i];
    if (a->end > b->header) return st_fail(err, "zip entries '%.200s' and '%.200s' overlap", a->name, b->name);
  }
  for (size_t i = 0; i < z->count; i++) z->byname[i] = &z->entry[i];
  qsort(z->byname, z->count, sizeof *z->byname, by_name);
  for (size_t i = 1; i < z->count; i++)
    if (!strcmp(z->byname[i]->name, z->byname[i - 1]->name))
      return st_fail(err, "zip entry '%.200s' is given twice", z->byname[i]->name);
  return true;
}

bool zip_open(Zip *z, StPool *pool, const uint8_t *bytes, size_t n, StError *err) {
  Directory d = {0};
  *z = (Zip){0};
  if (!find_directory(&d, bytes, n, err)) return false;
  size_t count = (size_t)d.count;
  z->entry = st_alloc(pool, (count + 1) * sizeof *z->entry);
  z->byname = st_alloc(pool, (count + 1) * sizeof *z->byname);
  if (!z->entry || !z->byname) return st_fail(err, "zip directory needs too much memory");
  const uint8_t *p = bytes + d.at, *stop = p + d.bytes;
  for (; z->count < count; z->count++) {
    ZipEntry *e = &z->entry[z->count];
    if (!read_record(e, &p, stop, pool, err) || !read_local(e, bytes, d.at, err)) return false;
  }
  return index_entries(z, err);
}

ZipEntry *zip_find(const Zip *z, const char *name) {
  const ZipEntry key = {.name = name}, *want = &key;
  ZipEntry **e = z->count ? bsearch(&want, z->byname, z->count, sizeof *z->byname, by_name) : NULL;
  return e ? *e : NULL;
}

// Inflates the first n bytes, in pieces, because zlib counts in 32 bits.
static bool inflate_front(const ZipEntry *e, uint8_t *dst, uint64_t n) {
  enum { PIECE = 1 << 30 };
  z_stream s = {0};
  if (inflateInit2(&s, -MAX_WBITS) != Z_OK) return false;
  uint64_t in = 0, out = 0;
  int code = Z_OK;
  while (code == Z_OK) {
    if (!s.avail_in) {
      s.next_in = (Bytef *)(uintptr_t)(e->data + in);
      s.avail_in = e->packed - in > PIECE ? PIECE : (uInt)(e->packed - in);
      in += s.avail_in;
    }
    if (!s.avail_out) {
      s.next_out = dst + out;
      s.avail_out = n - out > PIECE ? PIECE : (uInt)(n - out);
      out += s.avail_out;
    }
    if (!s.avail_out && n < e->size) break; // there is more, which nobody asks for
    code = inflate(&s, Z_NO_FLUSH);
  }
  bool whole = (code == Z_STREAM_END || (code == Z_OK && n < e->size)) && out - s.avail_out == n;
  inflateEnd(&s);
  return whole;
}

static uint32_t checksum(const uint8_t *p, uint64_t n) {
  uLong crc = crc32(0, NULL, 0);
  while (n) {
    uInt piece = n > 1 << 30 ? 1 << 30 : (uInt)n;
    crc = crc32(crc, p, piece);
    p += piece;
    n -= piece;
  }
  return (uint32_t)crc;
}

const uint8_t *zip_front(ZipEntry *e, uint64_t n, StPool *pool, StError *err) {
  if (e->method == 0) return e->data;
  if (e->unpacked && e->unpacked_bytes >= n) return e->unpacked;
  if (e->method != 8) {
    st_fail(err, "zip entry '%.200s': packing method %d is not supported, only stored and deflated", e->name,
            e->method);
    return NULL;
  }
  if (e->size / ZIP_MAX_RATIO > e->packed) {
    st_fail(err, "zip entry '%.200s' claims %" PRIu64 " bytes out of %" PRIu64 ": the file is damaged or hostile",
            e->name, e->size, e->packed);
    return NULL;
  }
  uint8_t *dst = n < SIZE_MAX ? st_alloc(pool, (size_t)n + 1) : NULL;
  if (!dst) {
    st_fail(err, "zip entry '%.200s': no memory to inflate %" PRIu64 " bytes", e->name, n);
    return NULL;
  }
  if (!inflate_front(e, dst, n) || (n == e->size && checksum(dst, n) != e->crc)) {
    st_fail(err, "zip entry '%.200s': deflated data are damaged", e->name);
    return NULL;
  }
  e->unpacked = dst;
  e->unpacked_bytes = n;
  return dst;
}

const uint8_t *zip_data(ZipEntry *e, StPool *pool, StError *err) {
  return zip_front(e, e->size, pool, err);
}
