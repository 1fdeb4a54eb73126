// source.c - opening sources of any kind, the order of an epoch, and what is said of the data.
#include "source_parts.h"

#include "random.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* indices ---------------------------------------------------------------------------------------------------------- */
void data_index_push(DataIndex *x, uint64_t v) {
  if (x->n == x->room) {
    size_t room = x->room ? 2 * x->room : 64;
    uint64_t *more = realloc(x->at, room * sizeof *more);
    if (!more) out_of_memory(room * sizeof *more);
    x->at = more;
    x->room = room;
  }
  x->at[x->n++] = v;
}

void data_index_end(DataIndex *x, uint64_t end) {
  data_index_push(x, end);
  uint64_t *less = realloc(x->at, x->n * sizeof *less);
  if (!less) return;
  x->at = less;
  x->room = x->n;
}

void data_names_add(DataNames *x, const char *s, size_t n) {
  size_t before = x->words.used;
  if (!n) return;
  const char *word = intern_n(&x->words, s, n);
  if (x->words.used > before) VEC_PUSH(x->words.arena, x->at, word);
}

DataSource *data_add(Data *d, const DataSourceKind *kind, const char *path) {
  DataSource *s = &d->source[d->nsource++];
  *s = (DataSource){.kind = kind, .data = d, .path = arena_strdup(&d->arena, path), .share = 1};
  const char *slash = strrchr(s->path, '/');
  s->root = d->options->root   ? d->options->root
            : !slash           ? ""
            : slash == s->path ? "/"
                               : arena_strndup(&d->arena, s->path, (size_t)(slash - s->path));
  return s;
}

/* opening ---------------------------------------------------------------------------------------------------------- */
static bool ends_with(const char *s, const char *end) {
  size_t n = strlen(s), m = strlen(end);
  return n > m && !strcasecmp(s + n - m, end);
}

static bool open_array(Data *d, const char *path, HostError *err) {
  char *const files[] = {arena_strdup(&d->arena, path)};
  return data_open_npy(d, path, files, 1, err);
}

static const struct {
  const char *end;
  bool (*open)(Data *d, const char *path, HostError *err);
} kinds[] = {{".jsonl", data_open_json}, {".ndjson", data_open_json},
             {".json", data_open_json},  {".csv", data_open_csv},
             {".tsv", data_open_csv},    {".tar", data_open_tar},
             {".npy", open_array},       {".safetensors", data_open_safetensors}};

static bool open_file(Data *d, const char *path, HostError *err) {
  DataFile f;
  if (!data_file_look(&f, path, err)) return false;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (ends_with(path, kinds[i].end)) return kinds[i].open(d, path, err);
  if (data_is_idx(&f)) return data_open_idx(d, path, err);
  if (ends_with(path, ".gz"))
    return host_fail(err, "%.300s: packed files cannot be read by position; unpack it first: gunzip %.100s", path,
                     path);
  return host_fail(
      err,
      "%.300s: what kind of data is it? The name says it: a folder, or .jsonl, .json, .csv, .tsv, .tar, .npy, "
      ".safetensors, or an IDX file",
      path);
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef VEC(char *) Paths;

// The files of a folder with this ending, sorted; none: *out stays empty.
static bool list_files(Data *d, const char *folder, const char *end, Paths *out, HostError *err) {
  DIR *dir = opendir(folder);
  if (!dir) return host_fail_file(err, folder);
  errno = 0;
  for (struct dirent *e; (e = readdir(dir)); errno = 0)
    if (e->d_name[0] != '.' && ends_with(e->d_name, end))
      VEC_PUSH(&d->arena, *out, arena_printf(&d->arena, "%s/%s", folder, e->d_name));
  bool ok = !errno || host_fail_file(err, folder);
  closedir(dir);
  if (ok && out->n) qsort(out->at, out->n, sizeof *out->at, by_name);
  return ok;
}

static void more_room(Data *d, size_t n) {
  if (d->nsource + n <= d->room) return;
  size_t room = 2 * d->room + n + 4;
  DataSource *more = realloc(d->source, room * sizeof *more);
  if (!more) out_of_memory(room * sizeof *more);
  d->source = more;
  d->room = room;
}

// The sources of one path; a folder of archives has many.
static bool open_path(Data *d, const char *path, HostError *err) {
  struct stat st;
  char idx[4096];
  Paths tars = {0}, arrays = {0};
  if (stat(path, &st) != 0) return host_fail_file(err, path);
  more_room(d, 1);
  if (!S_ISDIR(st.st_mode)) return open_file(d, path, err);
  if (data_idx_of_folder(d, path, idx, sizeof idx)) return data_open_idx(d, idx, err);
  if (!list_files(d, path, ".tar", &tars, err) || !list_files(d, path, ".npy", &arrays, err)) return false;
  if (arrays.n) return data_open_npy(d, path, arrays.at, arrays.n, err);
  if (!tars.n) return data_open_folder(d, path, err);
  more_room(d, tars.n);
  for (size_t i = 0; i < tars.n; i++)
    if (!data_open_tar(d, tars.at[i], err)) return false;
  return true;
}

/* classes */
static bool is_word_label(const DataField *f) {
  double v;
  return f && f->kind == DATA_TEXT && !data_number(f, 0, &v);
}

// Labels of all samples of a source, read one by one, if those of its first are words.
static bool read_labels(const Data *d, const DataSource *s, DataNames *out, HostError *err) {
  DataSample sample = {0};
  HostError why = {.text = ""};
  for (uint32_t i = 0; i < s->count && !why.machine; i++) {
    if (!data_read_again(d, s->first + i, &sample, &why)) continue; // it is said when it is its turn
    const DataField *f = data_field(&sample, "label");
    bool word = is_word_label(f);
    if (word) data_names_add(out, f->text[0], strlen(f->text[0]));
    if (i == 0 && !word) break;
  }
  data_sample_free(&sample);
  if (why.machine) *err = why;
  return !why.machine;
}

// Finds the names of all classes, sorted, unless they are given, and numbers them.
static bool set_classes(Data *d, HostError *err) {
  DataNames names = {.words.arena = &d->arena};
  if (d->options->labels) {
    d->classes = *d->options->labels;
  } else {
    for (size_t i = 0; i < d->nsource; i++) {
      const DataSource *s = &d->source[i];
      if (s->kind->classes)
        s->kind->classes(s, &names);
      else if (!read_labels(d, s, &names, err))
        return false;
    }
    if (names.at.n) qsort(names.at.at, names.at.n, sizeof *names.at.at, by_name);
    d->classes = (HostLabels){.name = ARENA_ARRAY(&d->arena, char *, names.at.n + 1), .count = names.at.n};
    for (size_t i = 0; i < names.at.n; i++) d->classes.name[i] = arena_strdup(&d->arena, names.at.at[i]);
  }
  if (d->classes.count > INT32_MAX) return host_fail(err, "%zu classes are too many", d->classes.count);
  if (!strmap_init(&d->class_of, d->classes.count)) return host_no_memory(err);
  for (size_t i = 0; i < d->classes.count; i++)
    strmap_put(&d->class_of, d->classes.name[i], strlen(d->classes.name[i]), (int32_t)i);
  return strmap_build(&d->class_of, STRMAP_FIRST) || host_no_memory(err);
}

static bool open_all(Data *d, const char *const *paths, const unsigned *share, size_t n, HostError *err) {
  uint64_t total = 0;
  if (!n) return host_fail(err, "no data were named");
  d->shared = share != NULL;
  for (size_t i = 0; i < n; i++) {
    size_t before = d->nsource;
    if (share && (share[i] < 1 || share[i] > 1000))
      return host_fail(err, "%.300s: a share of %u; it is 1 to 1000", paths[i], share[i]);
    if (!open_path(d, paths[i], err)) return false;
    if (share && d->nsource - before > 1)
      return host_fail(err, "%.300s has several archives: shares are of single files or folders of pictures", paths[i]);
    for (size_t k = before; k < d->nsource; k++) {
      d->source[k].share = share ? share[i] : 1;
      d->source[k].first = (uint32_t)total;
      total += d->source[k].count;
      if (total >= UINT32_MAX) return host_fail(err, "more than %u samples", UINT32_MAX - 1);
    }
  }
  d->count = (uint32_t)total;
  return set_classes(d, err);
}

Data *data_open(const char *const *paths, const unsigned *share, size_t n, const DataOptions *options, HostError *err) {
  Data *d = calloc(1, sizeof *d);
  if (!d) {
    host_no_memory(err);
    return NULL;
  }
  d->options = options;
  if (open_all(d, paths, share, n, err)) return d;
  data_close(d);
  return NULL;
}

void data_close(Data *d) {
  if (!d) return;
  for (size_t i = 0; i < d->nsource; i++) {
    if (d->source[i].kind->close) d->source[i].kind->close(&d->source[i]);
    free(d->source[i].index.at);
  }
  free(d->source);
  strmap_free(&d->class_of);
  arena_free(&d->arena);
  free(d);
}

uint32_t data_count(const Data *d) {
  return d->count;
}

const HostLabels *data_classes(const Data *d) {
  return &d->classes;
}

uint64_t data_fingerprint(const Data *d) {
  uint64_t h = 0;
  for (size_t i = 0; i < d->nsource; i++) {
    const DataSource *s = &d->source[i];
    const char *slash = strrchr(s->path, '/'), *name = slash ? slash + 1 : s->path; // the data may lie elsewhere
    const uint64_t numbers[] = {s->count, s->file.size, s->share, d->shared};
    h = hash_bytes(name, strlen(name), h);
    h = hash_bytes(numbers, sizeof numbers, h);
  }
  return h;
}

/* reading ---------------------------------------------------------------------------------------------------------- */
static const DataSource *source_of(const Data *d, uint32_t sample) {
  size_t lo = 0, hi = d->nsource;
  while (hi - lo > 1) {
    size_t mid = lo + (hi - lo) / 2;
    if (d->source[mid].first <= sample)
      lo = mid;
    else
      hi = mid;
  }
  return &d->source[lo];
}

bool data_read_again(const Data *d, uint32_t s, DataSample *out, HostError *err) {
  const DataSource *from = source_of(d, s);
  HostError why = {.text = ""};
  DataSample next = {.arena = out->arena, .start = out->start, .where = from->path, .root = from->root};
  if (next.start.block) {
    arena_reset(&next.arena, next.start);
  } else {
    arena_alloc(&next.arena, 1); // so that there is a block to go back to
    next.start = arena_mark(&next.arena);
  }
  *out = next;
  if (from->kind->read(from, s - from->first, out, &why)) return true;
  if (err) *err = why;
  return false;
}

bool data_read(const Data *d, uint32_t s, DataSample *out, HostError *err) {
  *out = (DataSample){0};
  if (data_read_again(d, s, out, err)) return true;
  data_sample_free(out);
  return false;
}

void data_sample_free(DataSample *s) {
  arena_free(&s->arena);
  *s = (DataSample){0};
}

/* order ------------------------------------------------------------------------------------------------------------ */
// With shares, positions come in blocks in which each source has its share of places.
static uint64_t block_length(const Data *d) {
  uint64_t n = 0;
  for (size_t i = 0; i < d->nsource; i++) n += d->source[i].share;
  return n;
}

uint64_t data_epoch_length(const Data *d) {
  if (!d->shared) return d->count;
  const DataSource *s = &d->source[0];
  return ((uint64_t)s->count + s->share - 1) / s->share * block_length(d);
}

DataAt data_at(const Data *d, uint64_t seed, uint32_t epoch, uint64_t p, bool shuffle) {
  if (!d->shared) return (DataAt){shuffle ? sy_random_permute(seed, epoch, d->count, (uint32_t)p) : (uint32_t)p, epoch};
  uint64_t length = block_length(d), blocks = data_epoch_length(d) / length, block = p / length;
  uint32_t place = (uint32_t)(p % length);
  if (shuffle) { // the places of a block
    sy_random4 r = sy_random_at(seed, SY_RANDOM_PICK, epoch, (uint32_t)block, UINT32_MAX);
    place = sy_random_permute((uint64_t)r.v[0] << 32 | r.v[1], epoch, (uint32_t)length, place);
  }
  const DataSource *s = d->source;
  for (; place >= s->share; s++) place -= s->share;
  uint64_t before = ((uint64_t)epoch * blocks + block) * s->share + place; // how many of the source were there
  DataAt at = {(uint32_t)(before % s->count), (uint32_t)(before / s->count)};
  if (shuffle) {
    sy_random4 r = sy_random_at(seed, SY_RANDOM_PICK, (uint32_t)(s - d->source), UINT32_MAX, UINT32_MAX);
    at.sample = sy_random_permute((uint64_t)r.v[0] << 32 | r.v[1], at.epoch, s->count, at.sample);
  }
  at.sample += s->first;
  return at;
}

uint32_t data_next(const Data *d, uint32_t sample) {
  const DataSource *s = source_of(d, sample);
  return s->first + (sample - s->first + 1) % s->count;
}

/* for people ------------------------------------------------------------------------------------------------------- */
// At most 60 bytes of a text, cut between characters.
static void put_text(const char *text, Buf *out) {
  char part[64];
  size_t n = 0, step;
  while (text[n] && n < 60 && (step = text_length(text + n, strnlen(text + n, 4))) && n + step <= 60) n += step;
  memcpy(part, text, n);
  part[n] = 0;
  buf_putc(out, '"');
  buf_text(out, part);
  buf_puts(out, text[n] ? "...\"" : "\"");
}

static void describe_field(const DataField *f, Buf *out) {
  buf_puts(out, "  ");
  buf_text(out, f->name);
  if (f->kind == DATA_TEXT) {
    if (f->n > 1) buf_printf(out, "  %zu texts", f->n);
    buf_puts(out, "  ");
    put_text(f->text[0], out);
  } else if (f->kind == DATA_NUMBERS) {
    if (f->n > 1) buf_printf(out, "  %zu numbers", f->n);
    buf_printf(out, "  %g", f->number[0]);
  } else if (f->kind == DATA_FILE) {
    buf_puts(out, "  ");
    buf_text(out, f->text[0]);
  } else if (f->kind == DATA_BYTES) {
    buf_printf(out, "  %zu bytes", f->n);
  } else {
    buf_printf(out, "  %s[", st_dtype_name(f->tensor.dtype));
    for (int i = 0; i < f->tensor.rank; i++) buf_printf(out, "%s%lld", i ? ", " : "", (long long)f->tensor.shape[i]);
    buf_puts(out, "]");
  }
  buf_putc(out, '\n');
}

// Reads a sample and its picture, if it has one.
static bool look_at(const Data *d, uint32_t sample, bool describe, Buf *out, HostError *err) {
  DataSample s;
  if (!data_read(d, sample, &s, err)) return false;
  for (size_t i = 0; describe && i < s.n; i++) describe_field(&s.field[i], out);
  const DataField *f = data_field(&s, data_picture_names);
  HostImage im = {0};
  bool ok = !f || (f->kind == DATA_TENSOR && f->tensor.dtype != ST_U8) || data_picture(&s, f, 0, &im, err);
  host_image_free(&im);
  data_sample_free(&s);
  return ok;
}

void data_describe(const Data *d, size_t look, Buf *out) {
  for (size_t i = 0; i < d->nsource; i++) {
    const DataSource *s = &d->source[i];
    size_t bad = 0, looked = 0;
    buf_text(out, s->path);
    buf_printf(out, ": %s, %u samples", s->kind->name, s->count);
    if (d->shared) buf_printf(out, ", share %u", s->share);
    if (s->note) buf_printf(out, " (%s)", s->note);
    buf_putc(out, '\n');
    HostError first = {.text = ""}, err;
    for (; looked < (look < s->count ? look : s->count); looked++) {
      uint32_t at = (uint32_t)((uint64_t)looked * s->count / (look < s->count ? look : s->count));
      if (look_at(d, s->first + at, looked == 0 && (i == 0 || d->source[i - 1].kind != s->kind), out, &err)) continue;
      if (!bad++) first = err;
    }
    if (!bad) continue;
    buf_printf(out, "  %zu of %zu samples looked at cannot be read, the first: ", bad, looked);
    buf_text(out, first.text);
    buf_putc(out, '\n');
  }
  if (d->classes.count) {
    buf_printf(out, "%zu classes: ", d->classes.count);
    for (size_t i = 0; i < d->classes.count && i < 10; i++) {
      if (i) buf_puts(out, ", ");
      buf_text(out, d->classes.name[i]);
    }
    buf_puts(out, d->classes.count > 10 ? ", ...\n" : "\n");
  }
}
