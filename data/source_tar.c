// source_tar.c - archives in WebDataset's manner: neighbouring members whose paths are equal up to the first dot of the
// last part are a sample, and what stands behind the dot names the field.
//
//   0001.jpg 0001.txt 0001.cls | 0002.jpg ...    ->   image, text, label | image ...
//
// The index has the offset of the first header of each sample; the headers of a sample are read again with it.
// Understood are the forms of POSIX (ustar, pax) and GNU's long names; sizes up to 2^63 - 1 in octal or binary.
#include "source_parts.h"

#include "host/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, MOST_EXTRA = 1 << 20 };

typedef struct Member {
  uint64_t header, data, end; // offsets; header: of the first that belongs to it, long names included; end: of the next
  uint64_t size;
  char type;
  char *name; // in the arena
} Member;

static uint64_t octal(const unsigned char *s, size_t n, bool *bad) {
  uint64_t v = 0;
  size_t i = 0;
  if (*s & 0x80) { // GNU: binary, high byte first
    if ((*s & 0x7f) != 0) *bad = true;
    for (i = 1; i < n; i++) {
      if (v >> 55) *bad = true;
      v = v << 8 | s[i];
    }
    return v;
  }
  while (i < n && s[i] == ' ') i++;
  for (; i < n && s[i] >= '0' && s[i] <= '7'; i++) {
    if (v >> 60) *bad = true;
    v = v << 3 | (uint64_t)(s[i] - '0');
  }
  if (i < n && s[i] && s[i] != ' ') *bad = true;
  return v;
}

static bool checksum_fits(const unsigned char *h) {
  uint64_t sum = 0;
  int64_t with_signs = 0; // as some old programs add
  bool bad = false;
  for (int i = 0; i < BLOCK; i++) {
    unsigned char c = i >= 148 && i < 156 ? ' ' : h[i];
    sum += c;
    with_signs += (signed char)c;
  }
  uint64_t want = octal(h + 148, 8, &bad);
  return !bad && (want == sum || (int64_t)want == with_signs);
}

// path= of a pax header: lines "LENGTH KEY=VALUE\n".
static char *pax_path(Arena *a, const char *s, size_t n, char *was) {
  for (size_t at = 0; at < n;) {
    size_t length = 0, i = at;
    for (; i < n && isdigit((unsigned char)s[i]) && length < MOST_EXTRA; i++)
      length = 10 * length + (size_t)(s[i] - '0');
    if (i >= n || s[i] != ' ' || length <= i - at + 1 || length > n - at) return was;
    i++;
    const char *end = s + at + length - 1; // the line break
    if ((size_t)(end - (s + i)) > 5 && !memcmp(s + i, "path=", 5))
      was = arena_strndup(a, s + i + 5, (size_t)(end - (s + i)) - 5);
    at += length;
  }
  return was;
}

// size= of a pax header could say another size than the header; it is refused, as no program writes it below 8 GiB.
static bool pax_has_size(const char *s, size_t n) {
  return n && memmem(s, n, " size=", 6) != NULL;
}

// The member whose header is at `at`. False with *end: the archive ends there; false without: err.
static bool read_member(const DataSource *s, uint64_t at, Arena *a, Member *m, bool *end, HostError *err) {
  char *longer = NULL;
  *end = false;
  *m = (Member){.header = at};
  for (;;) {
    unsigned char h[BLOCK];
    bool bad = false;
    if (at == s->file.size) return *end = true, false; // without the two empty blocks: some programs leave them out
    if (s->file.size - at < BLOCK) break;
    if (!data_file_read(&s->file, at, h, BLOCK, err)) return false;
    if (!h[0] && !memcmp(h, h + 1, BLOCK - 1)) return *end = true, false;
    if (!checksum_fits(h))
      return host_fail(err, "%.300s: no header of a tar archive at byte %llu", s->path, (unsigned long long)at);
    uint64_t size = octal(h + 124, 12, &bad);
    if (bad || size > s->file.size || s->file.size - at - BLOCK < size) break;
    m->type = (char)h[156];
    m->size = size;
    m->data = at + BLOCK;
    m->end = m->data + (size + BLOCK - 1) / BLOCK * BLOCK;
    if (m->end > s->file.size) m->end = s->file.size;
    at = m->end;
    if (m->type != 'x' && m->type != 'g' && m->type != 'L' && m->type != 'K') {
      if (!longer) {
        char *prefix = !memcmp(h + 257, "ustar", 6) ? arena_strndup(a, (char *)h + 345, 155) : "";
        longer = arena_printf(a, "%s%s%.100s", prefix, *prefix ? "/" : "", (char *)h);
      }
      m->name = longer;
      return true;
    }
    if (size > MOST_EXTRA)
      return host_fail(err, "%.300s: a name of %llu bytes at byte %llu", s->path, (unsigned long long)size,
                       (unsigned long long)m->data);
    char *extra = arena_alloc(a, (size_t)size + 1);
    if (!data_file_read(&s->file, m->data, extra, (size_t)size, err)) return false;
    if (m->type == 'L') longer = extra;
    if (m->type == 'x' && pax_has_size(extra, (size_t)size))
      return host_fail(err, "%.300s: a member of 8 GiB or more at byte %llu", s->path, (unsigned long long)m->header);
    if (m->type == 'x') longer = pax_path(a, extra, (size_t)size, longer);
  }
  return host_fail(err, "%.300s: cut off: the member at byte %llu does not end in the file", s->path,
                   (unsigned long long)m->header);
}

// Bytes of the name that a sample's members share; 0: the member belongs to none.
static size_t base_length(const Member *m) {
  if (m->type && m->type != '0' && m->type != '7') return 0;
  const char *slash = strrchr(m->name, '/'), *last = slash ? slash + 1 : m->name, *dot = strchr(last, '.');
  return dot && dot > last && dot[1] ? (size_t)(dot - m->name) : 0; // hidden files and such without a dot
}

/* fields ----------------------------------------------------------------------------------------------------------- */
static void add_bytes(const char *field, const char *bytes, size_t n, DataSample *out) {
  DataField *f = data_add_field(out, field, DATA_BYTES);
  f->bytes = bytes;
  f->n = n;
}

static bool put_picture(const char *field, char *bytes, size_t n, DataSample *out, HostError *err) {
  (void)err;
  add_bytes(*field ? field : "image", bytes, n, out);
  return true;
}
static bool put_text(const char *field, char *bytes, size_t n, DataSample *out, HostError *err) {
  if (memchr(bytes, 0, n)) return host_fail(err, "%.300s: the text has a zero byte", out->where);
  while (n && isspace((unsigned char)bytes[n - 1])) bytes[--n] = 0;
  data_add_text(out, *field ? field : "text", bytes);
  return true;
}
static bool put_number(const char *field, char *bytes, size_t n, DataSample *out, HostError *err) {
  char *end;
  double v = strtod(bytes, &end);
  while (isspace((unsigned char)*end)) end++;
  if (end == bytes || (size_t)(end - bytes) != n)
    return host_fail(err, "%.300s: '%.40s' is no number of a class", out->where, bytes);
  data_add_number(out, *field ? field : "label", v);
  return true;
}
static bool put_json(const char *field, char *bytes, size_t n, DataSample *out, HostError *err) {
  (void)field;
  cJSON *j = host_is_utf8(bytes, n) ? cJSON_ParseWithLengthOpts(bytes, n + 1, NULL, 1) : NULL;
  bool ok = cJSON_IsObject(j) || host_fail(err, "%.300s: the .json is no object {..}", out->where);
  if (ok) data_add_json(out, j);
  cJSON_Delete(j);
  return ok;
}
static bool put_array(const char *field, char *bytes, size_t n, DataSample *out, HostError *err) {
  StTensor t;
  if (!data_npy_view(out->where, bytes, n, &t, err)) return false;
  data_add_field(out, *field ? field : "npy", DATA_TENSOR)->tensor = t;
  return true;
}

static const struct {
  const char *end;
  bool (*put)(const char *field, char *bytes, size_t n, DataSample *out, HostError *err);
} ends[] = {{"jpg", put_picture}, {"jpeg", put_picture}, {"png", put_picture}, {"ppm", put_picture},
            {"pgm", put_picture}, {"webp", put_picture}, {"txt", put_text},    {"cls", put_number},
            {"json", put_json},   {"npy", put_array}};

static bool put_member(const DataSource *s, const Member *m, size_t base, DataSample *out, HostError *err) {
  const char *field = m->name + base + 1, *dot = strrchr(field, '.'), *end = dot ? dot + 1 : field;
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    if (strcasecmp(end, ends[i].end) != 0) continue;
    if (m->size > DATA_MOST_BYTES) return host_fail(err, "%.300s: more than %d bytes", out->where, DATA_MOST_BYTES);
    char *bytes = arena_alloc(&out->arena, (size_t)m->size + 1);
    return data_file_read(&s->file, m->data, bytes, (size_t)m->size, err) &&
           ends[i].put(dot ? arena_strndup(&out->arena, field, (size_t)(dot - field)) : "", bytes, (size_t)m->size, out,
                       err);
  }
  return true; // of a kind that nobody asks for
}

static bool read_members(const DataSource *s, uint32_t i, DataSample *out, HostError *err) {
  const char *base = NULL;
  size_t length = 0;
  out->root = s->root;
  out->where = arena_printf(&out->arena, "%s, sample %lu", s->path, (unsigned long)i + 1);
  for (uint64_t at = s->index.at[i]; at < s->index.at[i + 1];) {
    Member m;
    bool end;
    if (!read_member(s, at, &out->arena, &m, &end, err)) return end;
    at = m.end;
    size_t n = base_length(&m);
    if (!n) continue;
    if (!base) out->where = arena_printf(&out->arena, "%s, %.*s", s->path, (int)n, m.name);
    if (base && (n != length || memcmp(base, m.name, n) != 0)) break;
    base = m.name;
    length = n;
    if (!put_member(s, &m, n, out, err)) return false;
  }
  return true;
}

static const DataSourceKind tar_kind = {.name = "archive", .read = read_members};

bool data_open_tar(Data *d, const char *path, HostError *err) {
  DataFile f;
  if (!data_file_look(&f, path, err)) return false;
  DataSource *s = data_add(d, &tar_kind, path);
  s->file = (DataFile){s->path, f.size};
  Arena names = {0};
  const char *base = NULL;
  size_t length = 0;
  bool end = false, ok = true;
  for (uint64_t at = 0; ok && at < f.size;) {
    Arena one = {0};
    Member m;
    ok = read_member(s, at, &one, &m, &end, err);
    size_t n = ok ? base_length(&m) : 0;
    if (n && (!base || n != length || memcmp(base, m.name, n) != 0)) {
      data_index_push(&s->index, m.header);
      arena_free(&names);
      base = arena_strndup(&names, m.name, n);
      length = n;
    }
    at = ok ? m.end : at;
    arena_free(&one);
  }
  arena_free(&names);
  if (!ok && !end) return false;
  if (!s->index.n) return host_fail(err, "%.300s has no samples: members are named like 0001.jpg, 0001.txt", path);
  if (s->index.n >= UINT32_MAX) return host_fail(err, "%.300s has too many samples", path);
  s->count = (uint32_t)s->index.n;
  data_index_end(&s->index, f.size);
  return true;
}
