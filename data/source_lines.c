// source_lines.c - samples as text: an object a line, a list of objects, or rows of a table.
//
// Opening reads the file once, in pieces, for the offsets of the samples; a sample is parsed when it is read. Numbers
// of lines are not kept: they follow from the numbers of the samples but for empty lines and cells of several lines
// (gap).
#include "source_parts.h"

#include "host/text.h"
#include "host/textfile.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 18 };

/* scanning --------------------------------------------------------------------------------------------------------- */
typedef struct Scan { // the bytes of a file, one after the other
  const DataFile *file;
  uint64_t at;   // of the next byte
  uint64_t line; // that it is in, from 1
  unsigned char *piece;
  size_t n, next;
  bool failed;
  HostError *err;
} Scan;

static int next_byte(Scan *c) { // -1: the end, or a failure
  if (c->next == c->n) {
    uint64_t left = c->file->size - c->at;
    c->n = left < PIECE ? (size_t)left : PIECE;
    c->next = 0;
    if (!c->n) return -1;
    if (!data_file_read(c->file, c->at, c->piece, c->n, c->err)) {
      c->failed = true;
      return -1;
    }
  }
  int b = c->piece[c->next++];
  c->at++;
  c->line += b == '\n';
  return b;
}

// Is it text at all? Passes a byte order mark over.
static bool scan_begin(Scan *c, const DataFile *f, HostError *err) {
  *c = (Scan){.file = f, .line = 1, .err = err};
  unsigned char head[1024];
  size_t n = f->size < sizeof head ? (size_t)f->size : sizeof head;
  if (!n) return host_fail(err, "%.300s is empty", f->path);
  if (!data_file_read(f, 0, head, n, err)) return false;
  const char *other = host_stand_in((const char *)head, n);
  if (!other) other = host_packed((const char *)head, n);
  if (other) return host_fail(err, "%.300s: this is %s", f->path, other);
  if (n >= 2 && ((head[0] == 0xff && head[1] == 0xfe) || (head[0] == 0xfe && head[1] == 0xff)))
    return host_fail(err, "%.300s is UTF-16: convert it, iconv -f UTF-16 -t UTF-8", f->path);
  if (n >= 3 && !memcmp(head, "\xef\xbb\xbf", 3)) c->at = 3;
  c->piece = malloc(PIECE);
  return c->piece || host_no_memory(err);
}

// Notes a sample that begins in a line, when its number and its line do not run together.
static void push_sample(Data *d, DataSource *s, uint64_t at, uint64_t line) {
  uint64_t before = line - 1 - s->index.n, known = s->gap.n ? s->gap.at[s->gap.n - 1].lines : 0;
  if (before != known) {
    DataGap g = {(uint32_t)s->index.n, (uint32_t)before};
    VEC_PUSH(&d->arena, s->gap, g);
  }
  data_index_push(&s->index, at);
}

static uint64_t line_of(const DataSource *s, uint32_t i) {
  size_t lo = 0, hi = s->gap.n; // the last gap that begins at i or before
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (s->gap.at[mid].first <= i)
      lo = mid + 1;
    else
      hi = mid;
  }
  return (uint64_t)i + 1 + (lo ? s->gap.at[lo - 1].lines : 0);
}

static bool end_index(DataSource *s, const char *what, HostError *err) {
  if (!s->index.n) return host_fail(err, "%.300s has no %s", s->path, what);
  if (s->index.n >= UINT32_MAX) return host_fail(err, "%.300s has more than %u %s", s->path, UINT32_MAX - 1, what);
  s->count = (uint32_t)s->index.n;
  data_index_end(&s->index, s->file.size);
  return true;
}

static bool is_blank(int b) {
  return b == ' ' || b == '\t' || b == '\r' || b == '\n';
}

static bool index_json_lines(Data *d, DataSource *s, Scan *c) {
  bool filled = false;
  uint64_t start = c->at, line = c->line;
  for (int b; (b = next_byte(c)) >= 0;) {
    if (!is_blank(b) && !filled) {
      filled = true;
      push_sample(d, s, start, line);
    }
    if (b != '\n') continue;
    filled = false;
    start = c->at;
    line = c->line;
  }
  return !c->failed;
}

// [{..}, {..}]: only brackets and strings matter here.
static bool index_json_list(Data *d, DataSource *s, Scan *c) {
  int depth = 0;
  bool quoted = false, escaped = false, open = false, comma = true;
  uint64_t ended = 0;
  for (int b; (b = next_byte(c)) >= 0;) {
    if (quoted) {
      quoted = escaped || b != '"';
      escaped = !escaped && b == '\\';
      continue;
    }
    if (is_blank(b)) continue;
    if (ended) break;
    if (depth == 1 && b != '{' && b != ',' && b != ']')
      return host_fail(c->err, "%.300s, line %llu: entry %zu is no object {..}", s->path, (unsigned long long)c->line,
                       s->index.n + 1);
    if (depth == 1 && b == '{') {
      if (!comma)
        return host_fail(c->err, "%.300s, line %llu: a comma is missing in front of entry %zu", s->path,
                         (unsigned long long)c->line, s->index.n + 1);
      data_index_push(&s->index, c->at - 1);
      comma = false;
    }
    if (depth == 1 && b == ',') comma = true;
    quoted = b == '"';
    if (b == '[' || b == '{') depth++, open = true;
    if (b == ']' || b == '}') depth--;
    if (open && depth == 0) ended = c->at;
  }
  (void)d;
  if (c->failed) return false;
  if (!ended || depth != 0) return host_fail(c->err, "%.300s: the list is not ended: is the file cut off?", s->path);
  return true;
}

static bool end_json(Scan *c, bool ok) {
  free(c->piece);
  return ok;
}

/* reading ---------------------------------------------------------------------------------------------------------- */
// The bytes of a sample with a zero behind them, in its arena.
static char *sample_text(const DataSource *s, uint32_t i, DataSample *out, size_t *n, HostError *err) {
  uint64_t from = s->index.at[i], bytes = s->index.at[i + 1] - from;
  if (bytes > DATA_MOST_BYTES) {
    host_fail(err, "%.300s: has more than %d bytes", out->where, DATA_MOST_BYTES);
    return NULL;
  }
  *n = (size_t)bytes;
  char *text = arena_alloc(&out->arena, *n + 1);
  return data_file_read(&s->file, from, text, *n, err) ? text : NULL;
}

static void set_line(const DataSource *s, uint32_t i, DataSample *out) {
  out->where = arena_printf(&out->arena, "%s, line %llu", s->path, (unsigned long long)line_of(s, i));
  out->root = s->root;
}

static bool read_object(const DataSource *s, uint32_t i, const char *also, DataSample *out, HostError *err) {
  size_t n;
  char *text = sample_text(s, i, out, &n, err);
  if (!text) return false;
  const char *end = NULL;
  if (!host_is_utf8(text, n)) return host_fail(err, "%.300s is not UTF-8", out->where);
  cJSON *j = cJSON_ParseWithLengthOpts(text, n + 1, &end, 0);
  bool ok = true;
  if (!j)
    ok = host_fail(err, "%.300s: no JSON, at column %zu", out->where, end ? (size_t)(end - text) + 1 : 1);
  else if (!cJSON_IsObject(j))
    ok = host_fail(err, "%.300s: no object {..}", out->where);
  while (ok && *end && strchr(also, *end)) end++;
  if (ok && (size_t)(end - text) < n)
    ok = host_fail(err, "%.300s: something stands behind the object, at column %zu", out->where,
                   (size_t)(end - text) + 1);
  if (ok) data_add_json(out, j);
  cJSON_Delete(j);
  return ok;
}

static bool read_json_line(const DataSource *s, uint32_t i, DataSample *out, HostError *err) {
  set_line(s, i, out);
  return read_object(s, i, " \t\r\n", out, err);
}
static bool read_json_entry(const DataSource *s, uint32_t i, DataSample *out, HostError *err) {
  out->where = arena_printf(&out->arena, "%s, entry %lu", s->path, (unsigned long)i + 1);
  out->root = s->root;
  return read_object(s, i, i + 1 < s->count ? " \t\r\n," : " \t\r\n]", out, err);
}

static const DataSourceKind lines_kind = {.name = "JSON lines", .read = read_json_line};
static const DataSourceKind list_kind = {.name = "list of JSON", .read = read_json_entry};

bool data_open_json(Data *d, const char *path, HostError *err) {
  DataFile f;
  Scan c;
  if (!data_file_look(&f, path, err) || !scan_begin(&c, &f, err)) return false;
  uint64_t start = c.at;
  int b;
  do b = next_byte(&c);
  while (is_blank(b));
  bool list = b == '[';
  c.at = start;
  c.n = c.next = 0;
  c.line = 1;
  DataSource *s = data_add(d, list ? &list_kind : &lines_kind, path);
  s->file = (DataFile){s->path, f.size};
  return end_json(&c, !c.failed && (list ? index_json_list : index_json_lines)(d, s, &c)) &&
         end_index(s, list ? "entries" : "lines", err);
}

/* tables ----------------------------------------------------------------------------------------------------------- */
// The next cell of a record at *at, unquoted in place; *last: it ends the record. A quote that is not closed ends with
// the text.
static char *next_cell(char **at, char separator, bool *last) {
  char *s = *at, *to = s, *cell = s;
  if (*s == '"') {
    for (s++; *s && (*s != '"' || s[1] == '"'); *to++ = *s++)
      if (*s == '"') s++;
    if (*s) s++;
  }
  while (*s && *s != separator && *s != '\n' && !(*s == '\r' && (s[1] == '\n' || !s[1]))) *to++ = *s++;
  *last = *s != separator;
  *at = *last ? s : s + 1;
  *to = 0;
  return cell;
}

// Lists that other fields would be written as: ["a", "b"].
static bool is_list(const char *column) {
  return word_in(" captions answers weights ", column);
}

static bool read_row(const DataSource *s, uint32_t i, DataSample *out, HostError *err) {
  size_t n, k = 0;
  set_line(s, i, out);
  char *text = sample_text(s, i, out, &n, err), *at = text;
  if (!text) return false;
  if (memchr(text, 0, n)) return host_fail(err, "%.300s has a zero byte", out->where);
  if (!host_is_utf8(text, n)) return host_fail(err, "%.300s is not UTF-8", out->where);
  for (bool last = false; !last; k++) {
    char *cell = next_cell(&at, s->separator, &last);
    if (k >= s->ncolumn || !*cell) continue;
    cJSON *list = *cell == '[' && is_list(s->column[k]) ? cJSON_Parse(cell) : NULL,
          *row = list ? cJSON_CreateObject() : NULL;
    if (row && cJSON_AddItemToObject(row, s->column[k], list))
      data_add_json(out, row), list = NULL;
    else
      data_add_text(out, s->column[k], cell);
    cJSON_Delete(list);
    cJSON_Delete(row);
  }
  return k == s->ncolumn ||
         host_fail(err, "%.300s has %zu cells, and the first line names %zu columns", out->where, k, s->ncolumn);
}

static const DataSourceKind table_kind = {.name = "table", .read = read_row};

// Records end at line breaks outside quotes; a quote opens a cell at its start alone.
static bool index_rows(Data *d, DataSource *s, Scan *c) {
  bool filled = false, quoted = false, at_start = true;
  uint64_t start = c->at, line = c->line, quote_line = 0;
  for (int b; (b = next_byte(c)) >= 0;) {
    if (!is_blank(b) && !filled) {
      filled = true;
      push_sample(d, s, start, line);
    }
    if (quoted) {
      quoted = b != '"'; // of a doubled quote the second opens it again
      at_start = !quoted;
      continue;
    }
    if (b == '"' && at_start) quoted = true, quote_line = c->line;
    at_start = b == s->separator || b == '\n' || quoted;
    if (b != '\n') continue;
    filled = false;
    start = c->at;
    line = c->line;
  }
  if (c->failed) return false;
  return !quoted ||
         host_fail(c->err, "%.300s, line %llu: the quote is not closed", s->path, (unsigned long long)quote_line);
}

// The first record names the columns.
static bool read_names(Data *d, DataSource *s, HostError *err) {
  VEC(const char *) column = {0};
  if (s->index.at[1] > 1 << 20) return host_fail(err, "%.300s: the first line should name the columns", s->path);
  size_t n = (size_t)(s->index.at[1] - s->index.at[0]);
  char *text = arena_alloc(&d->arena, n + 1), *at = text;
  if (!data_file_read(&s->file, s->index.at[0], text, n, err)) return false;
  if (!host_is_utf8(text, n) || memchr(text, 0, n)) return host_fail(err, "%.300s is not UTF-8", s->path);
  for (bool last = false; !last;) {
    char *name = next_cell(&at, s->separator, &last);
    for (size_t k = 0; k < column.n; k++)
      if (!strcmp(column.at[k], name)) return host_fail(err, "%.300s: two columns are named '%.80s'", s->path, name);
    if (!*name)
      return host_fail(err, "%.300s: column %zu has no name; the first line names the columns: image,caption", s->path,
                       column.n + 1);
    VEC_PUSH(&d->arena, column, name);
  }
  s->column = column.at;
  s->ncolumn = column.n;
  return true;
}

bool data_open_csv(Data *d, const char *path, HostError *err) {
  DataFile f;
  Scan c;
  if (!data_file_look(&f, path, err) || !scan_begin(&c, &f, err)) return false;
  DataSource *s = data_add(d, &table_kind, path);
  size_t n = strlen(path);
  s->file = (DataFile){s->path, f.size};
  s->separator = n > 4 && !strcmp(path + n - 4, ".tsv") ? '\t' : ',';
  bool ok = index_rows(d, s, &c) && end_index(s, "lines", err);
  free(c.piece);
  if (!ok || !read_names(d, s, err)) return false;
  if (s->count < 2) return host_fail(err, "%.300s has no lines behind the names of the columns", path);
  // the record of the names is none of the samples
  s->count--;
  memmove(s->index.at, s->index.at + 1, --s->index.n * sizeof *s->index.at);
  for (size_t i = 0; i < s->gap.n; i++) s->gap.at[i].lines++, s->gap.at[i].first -= s->gap.at[i].first > 0;
  if (!s->gap.n || s->gap.at[0].first) {
    DataGap first = {0, 1};
    VEC_PUSH(&d->arena, s->gap, first);
    memmove(s->gap.at + 1, s->gap.at, (s->gap.n - 1) * sizeof *s->gap.at);
    s->gap.at[0] = first;
  }
  return true;
}
