// face_embed.c - the command embed: the vectors of many pictures or lines of text in one .npy, with the names of the
// rows in a .txt beside it.
//
// Until all is done the rows are in OUT.part and their names in the names file's .part, appended batch by batch.
// OUT.part begins with FILE_START bytes in which the header of the .npy will be; before that they hold a number made of
// everything that decides the rows (weights, instruction set, route, batch, names). A call that finds the same number
// goes on after the last whole batch of both files, so that the result is the same bytes as without an interruption;
// any other number is refused. Last, the header is written and both files take their names.
//
//   $ ./clip embed photos -o photos.npy
//   photos.npy: 2000 vectors of 512, names in photos.txt
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "face_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_START = 128, PATH_ROOM = 4096, DEEPEST = 64 };

typedef struct Embed {
  const FaceModel *m;
  FaceVectors v;
  FaceArgs args; // items as pictures or sentences
  FaceRun run;
  FaceList items; // strings: malloc'd, or of lines
  HostLabels lines;
  char names[PATH_ROOM], rows_part[PATH_ROOM], names_part[PATH_ROOM];
  FILE *rows_file, *names_file;
  float *vector;         // f32[batch, width]
  size_t *row_item;      // [batch]: which item a row of this batch is of
  size_t done, next;     // rows written; the next item
  size_t left_out;       // items without a row
  size_t before;         // items that an earlier call has done
  double start;          // seconds
  char mark[FILE_START]; // what OUT.part begins with
} Embed;

bool face_names_path(const char *npy, char *dst, size_t room) {
  size_t n = strlen(npy);
  if (n > 4 && !strcmp(npy + n - 4, ".npy")) n -= 4;
  return (size_t)snprintf(dst, room, "%.*s.txt", (int)(n < room ? n : room), npy) < room && n < room;
}

/* items -------------------------------------------------------------------------------------------------------------
 */
static bool add_item(FaceList *l, const char *s, HostError *err) {
  if (!(l->n & (l->n - 1))) { // room doubles at powers of two
    const char **at = realloc(l->at, (l->n ? 2 * l->n : 1) * sizeof *at);
    if (!at) return host_fail(err, "out of memory");
    l->at = at;
  }
  char *copy = malloc(strlen(s) + 1);
  if (!copy) return host_fail(err, "out of memory");
  l->at[l->n++] = strcpy(copy, s);
  return true;
}

static bool is_picture_name(const char *name) {
  static const char *const suffix[] = {".jpg", ".jpeg", ".png", ".ppm", ".pgm"};
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot && i < sizeof suffix / sizeof *suffix; i++)
    if (!strcasecmp(dot, suffix[i])) return true;
  return false;
}

// The pictures below a folder; links to folders are not followed, names that begin with a dot are hidden.
static bool add_folder(FaceList *l, const char *path, int depth, HostError *err) {
  DIR *dir = depth < DEEPEST ? opendir(path) : NULL;
  if (!dir) return host_fail(err, "%.300s: %s", path, depth < DEEPEST ? strerror(errno) : "folders too deep");
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  bool ok = true;
  for (struct dirent *e; ok && (e = readdir(dir));) {
    char full[PATH_ROOM];
    struct stat st;
    if (e->d_name[0] == '.') continue;
    if (n + strlen(e->d_name) + 2 > sizeof full) {
      ok = host_fail(err, "%.300s: the path of %.100s is too long", path, e->d_name);
      break;
    }
    snprintf(full, sizeof full, "%.*s/%s", (int)n, path, e->d_name);
    if (lstat(full, &st) != 0) continue;
    if (S_ISDIR(st.st_mode))
      ok = add_folder(l, full, depth + 1, err);
    else if (is_picture_name(e->d_name) && stat(full, &st) == 0 && !S_ISREG(st.st_mode)) // a pipe would wait for ever
      fprintf(stderr, "passed over, no regular file: %s\n", full);
    else if (is_picture_name(e->d_name))
      ok = add_item(l, full, err);
  }
  closedir(dir);
  return ok;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool gather(Embed *e, HostError *err) {
  const FaceArgs *a = e->m->args;
  if (a->lines) {
    if (!host_lines_load(a->lines, &e->lines, err)) return false;
    host_lines_trim(&e->lines);
    for (size_t i = 0; i < e->lines.count; i++)
      if (!add_item(&e->items, e->lines.name[i], err)) return false;
    return e->items.n || host_fail(err, "%.300s has no lines", a->lines);
  }
  for (size_t i = 0; i < a->word.n; i++) {
    struct stat st;
    size_t first = e->items.n;
    bool folder = stat(a->word.at[i], &st) == 0 && S_ISDIR(st.st_mode);
    if (!(folder ? add_folder(&e->items, a->word.at[i], 0, err) : add_item(&e->items, a->word.at[i], err)))
      return false;
    if (folder && e->items.n > first) qsort(e->items.at + first, e->items.n - first, sizeof *e->items.at, by_name);
  }
  return e->items.n ||
         host_fail(err, "%.300s: no pictures there (.jpg, .jpeg, .png, .ppm, .pgm)", a->word.n ? a->word.at[0] : "");
}

/* the unfinished files ----------------------------------------------------------------------------------------------
 */
static uint64_t stir(uint64_t h, const void *p, size_t n) { // FNV-1a
  for (size_t i = 0; i < n; i++) h = (h ^ ((const unsigned char *)p)[i]) * UINT64_C(0x100000001b3);
  return h;
}
static uint64_t stir_text(uint64_t h, const char *s) {
  return stir(h, s, strlen(s) + 1);
}

static void make_mark(Embed *e) {
  uint64_t h = UINT64_C(0xcbf29ce484222325), batch = e->run.batch;
  h = stir(h, &e->m->info->plan_hash, sizeof e->m->info->plan_hash);
  h = stir(h, &e->m->weights, sizeof e->m->weights);
  h = stir(h, &batch, sizeof batch);
  h = stir_text(stir_text(h, e->m->isa), e->v.route->name);
  if (e->m->args->vocab) h = stir_text(h, e->m->args->vocab);
  h = stir_text(h, e->m->args->cased ? "cased" : e->m->args->uncased ? "uncased" : "");
  for (size_t i = 0; i < e->items.n; i++) h = stir_text(h, e->items.at[i]);
  snprintf(e->mark, sizeof e->mark, "SWITCHYARD EMBED 1, unfinished: %016llx\n", (unsigned long long)h);
}

static bool file_error(const char *path, HostError *err) {
  return host_fail(err, "%.300s: %s", path, strerror(errno));
}

// Opens a file for reading and writing, makes it if it is not there, and keeps other programs from it.
static FILE *open_part(const char *path, HostError *err) {
  int fd = open(path, O_RDWR | O_CREAT, 0666);
  struct stat st;
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  bool ok = fd >= 0 && fstat(fd, &st) == 0;
  if (!ok)
    file_error(path, err);
  else if (!S_ISREG(st.st_mode))
    ok = host_fail(err, "%.300s: not a regular file", path);
  else if (fcntl(fd, F_SETLK, &lock) != 0 && (errno == EACCES || errno == EAGAIN))
    ok = host_fail(err, "%.300s: another program is writing it", path);
  FILE *f = ok ? fdopen(fd, "r+b") : NULL;
  if (ok && !f) file_error(path, err);
  if (!f && fd >= 0) close(fd);
  return f;
}

// Whole lines of the names' file, at most `most`; *bytes: of that many lines.
static size_t whole_lines(const char *text, size_t size, size_t most, size_t *bytes) {
  size_t n = 0;
  *bytes = 0;
  for (const char *stop; n < most && (stop = memchr(text + *bytes, '\n', size - *bytes)); n++)
    *bytes = (size_t)(stop - text) + 1;
  return n;
}

// Finds the items of the names that are kept; those in between had no row then. False: the names are of other items.
static bool walk(Embed *e, const char *text, size_t rows) {
  for (size_t row = 0; row < rows; row++) {
    size_t n = (size_t)(strchr(text, '\n') - text);
    while (e->next < e->items.n && (strlen(e->items.at[e->next]) != n || memcmp(e->items.at[e->next], text, n) != 0)) {
      fprintf(stderr, "%s: left out before: %s\n", e->m->program, e->items.at[e->next++]);
      e->left_out++;
    }
    if (e->next == e->items.n) return false;
    e->next++;
    text += n + 1;
  }
  e->done = rows;
  e->before = e->next;
  return true;
}

// Cuts both files to the last whole batch of both.
static bool go_on(Embed *e, uint64_t bytes, HostError *err) {
  size_t size = 0, keep = 0, row = e->v.width * sizeof(float);
  char *text = host_read_file(e->names_part, SIZE_MAX / 2, &size, err);
  if (!text) return false;
  size_t rows = (size_t)((bytes - FILE_START) / row), lines = whole_lines(text, size, rows, &keep);
  whole_lines(text, size, lines / e->run.batch * e->run.batch, &keep);
  rows = lines / e->run.batch * e->run.batch;
  bool ok = memchr(text, 0, keep) == NULL && walk(e, text, rows);
  free(text);
  if (!ok) return host_fail(err, "%.300s: its names are not those of this call; --restart begins anew", e->names_part);
  if (ftruncate(fileno(e->names_file), (off_t)keep) != 0 || fseeko(e->names_file, 0, SEEK_END) != 0)
    return file_error(e->names_part, err);
  if (ftruncate(fileno(e->rows_file), (off_t)(FILE_START + rows * row)) != 0 || fseeko(e->rows_file, 0, SEEK_END) != 0)
    return file_error(e->rows_part, err);
  if (rows) fprintf(stderr, "%s: goes on after %zu of %zu\n", e->m->program, e->next, e->items.n);
  return true;
}

static bool begin_anew(Embed *e, HostError *err) {
  if (ftruncate(fileno(e->names_file), 0) != 0) return file_error(e->names_part, err);
  if (fseeko(e->rows_file, 0, SEEK_SET) != 0 || ftruncate(fileno(e->rows_file), 0) != 0 ||
      fwrite(e->mark, 1, sizeof e->mark, e->rows_file) != sizeof e->mark || fflush(e->rows_file) != 0)
    return file_error(e->rows_part, err);
  return true;
}

static int open_parts(Embed *e, HostError *err) {
  char start[FILE_START] = "";
  struct stat st;
  make_mark(e);
  if (!(e->rows_file = open_part(e->rows_part, err)) || !(e->names_file = open_part(e->names_part, err)))
    return FACE_IO;
  if (fstat(fileno(e->rows_file), &st) != 0) return file_error(e->rows_part, err), FACE_IO;
  size_t n = fread(start, 1, sizeof start, e->rows_file);
  bool ours = n == 0 || !memcmp(start, e->mark, 16), last = n > 6 && !memcmp(start, "\x93NUMPY", 6);
  if (e->m->args->restart || n == 0 || (ours && n < sizeof start) || last)
    return begin_anew(e, err) ? FACE_OK : FACE_IO;
  if (!ours) return host_fail(err, "%.300s is no unfinished embed; move it away", e->rows_part), FACE_IO;
  if (memcmp(start, e->mark, sizeof start) != 0) {
    host_fail(err,
              "%.200s was begun with other names, weights or options; call it as then to go on, or with --restart to "
              "begin anew",
              e->rows_part);
    return FACE_USAGE;
  }
  return go_on(e, (uint64_t)st.st_size, err) ? FACE_OK : FACE_IO;
}

static bool write_batch(Embed *e, HostError *err) {
  size_t count = e->run.count;
  if (fwrite(e->vector, e->v.width * sizeof *e->vector, count, e->rows_file) != count || fflush(e->rows_file) != 0)
    return file_error(e->rows_part, err);
  for (size_t k = 0; k < count; k++) fprintf(e->names_file, "%s\n", e->items.at[e->row_item[k]]);
  if (fflush(e->names_file) != 0 || ferror(e->names_file)) return file_error(e->names_part, err);
  e->done += count;
  return true;
}

// The header, and the names that say that all is there.
static bool finish(Embed *e, HostError *err) {
  const char *out = e->m->args->out;
  FaceArray a = {.dtype = 'f', .rank = 2, .dim = {e->done, e->v.width}};
  char header[FACE_NPY_HEADER];
  if (face_npy_start(&a, header) != FILE_START) return host_fail(err, "the header does not fit");
  bool ok = fseeko(e->rows_file, 0, SEEK_SET) == 0 && fwrite(header, 1, FILE_START, e->rows_file) == FILE_START &&
            fflush(e->rows_file) == 0 && fsync(fileno(e->rows_file)) == 0 && fsync(fileno(e->names_file)) == 0;
  if (!ok) return file_error(e->rows_part, err);
  if (rename(e->names_part, e->names) != 0) return file_error(e->names, err);
  return rename(e->rows_part, out) == 0 || file_error(out, err);
}

/* the run -----------------------------------------------------------------------------------------------------------
 */
// Fills a batch with the next items that can be read.
static int fill(Embed *e, HostError *err) {
  face_run_begin(&e->run);
  while (e->run.count < e->run.batch && e->next < e->items.n) {
    const char *item = e->items.at[e->next];
    bool ok = !strpbrk(item, "\r\n") || host_fail(err, "%.300s: a line break in the name", item);
    if (ok && face_run_add(&e->run, item, err)) {
      e->row_item[e->run.count - 1] = e->next++;
      continue;
    }
    if (e->m->args->strict) return FACE_IO;
    face_progress(1, 1, 0); // the bar makes room
    fprintf(stderr, "%s: left out: %s\n", e->m->program, err->text);
    e->left_out++;
    e->next++;
  }
  err->text[0] = 0;
  return FACE_OK;
}

static int run_all(Embed *e, HostError *err) {
  e->start = face_now();
  while (e->next < e->items.n) {
    int code = fill(e, err);
    if (code || !e->run.count) return code;
    code = face_run_end(&e->run, err) ? face_vectors_call(e->m, &e->v, &e->run, e->vector, err) : FACE_IO;
    if (!code && !write_batch(e, err)) code = FACE_IO;
    if (code) return code;
    face_progress(e->next - e->before, e->items.n - e->before, face_now() - e->start);
  }
  return FACE_OK;
}

static int report(const Embed *e, HostError *err) {
  const char *out = e->m->args->out;
  if (e->m->args->json) {
    printf("{\"vectors\": %zu, \"width\": %zu, \"left_out\": %zu, \"file\": ", e->done, e->v.width, e->left_out);
    face_json_string(out);
    printf(", \"names\": ");
    face_json_string(e->names);
    printf("}\n");
  } else {
    printf("%s: %zu vectors of %zu, names in %s\n", out, e->done, e->v.width, e->names);
  }
  if (!e->left_out) return FACE_OK;
  host_fail(err, "%zu of %zu could not be read and were left out", e->left_out, e->items.n);
  return FACE_IO;
}

// Mistakes of the command line, before anything is touched.
static int check(Embed *e, HostError *err) {
  const FaceArgs *a = e->m->args;
  struct stat out, names, lines;
  if ((a->word.n > 0) == (a->lines != NULL)) {
    host_fail(err, "embed takes pictures and folders, or --lines FILE: %s", a->lines ? "both given" : "nothing given");
    return FACE_USAGE;
  }
  if (!a->out) return host_fail(err, "embed needs the file to write: -o vectors.npy"), FACE_USAGE;
  bool fits = face_names_path(a->out, e->names, sizeof e->names - 8) &&
              snprintf(e->rows_part, sizeof e->rows_part, "%s.part", a->out) < PATH_ROOM &&
              snprintf(e->names_part, sizeof e->names_part, "%.4080s.part", e->names) < PATH_ROOM;
  if (!fits) return host_fail(err, "the path of -o is too long"), FACE_USAGE;
  bool there = stat(a->out, &out) == 0, named = stat(e->names, &names) == 0;
  if ((there && !S_ISREG(out.st_mode)) || (named && !S_ISREG(names.st_mode)))
    return host_fail(err, "%.300s: not a regular file", there && !S_ISREG(out.st_mode) ? a->out : e->names), FACE_IO;
  bool same =
      named && a->lines && stat(a->lines, &lines) == 0 && lines.st_dev == names.st_dev && lines.st_ino == names.st_ino;
  if (same || (named && !there && access(e->rows_part, F_OK) != 0)) {
    host_fail(err, "the names would be written over %.300s; choose another -o", e->names);
    return FACE_USAGE;
  }
  return face_vectors_need(e->m, a->lines ? FACE_TEXTS : FACE_PICTURES, &e->v, err);
}

static int prepare(Embed *e, HostError *err) {
  int code = check(e, err);
  if (code) return code;
  if (!gather(e, err)) return FACE_IO;
  e->args = *e->m->args;
  *(e->v.kind == FACE_PICTURES ? &e->args.image : &e->args.text) = e->items;
  e->run = (FaceRun){.info = e->m->info, .route = e->v.route, .args = &e->args};
  if (!face_run_start(&e->run, err)) return e->run.usage ? FACE_USAGE : FACE_IO;
  if (e->args.batch > e->run.batch) {
    host_fail(err, "--batch %zu: the model takes at most %zu at once", e->args.batch, e->run.batch);
    return FACE_USAGE;
  }
  if (e->args.batch) e->run.batch = e->args.batch;
  e->vector = calloc(e->run.batch, e->v.width * sizeof *e->vector);
  e->row_item = calloc(e->run.batch, sizeof *e->row_item);
  if (!e->vector || !e->row_item) return host_fail(err, "out of memory"), FACE_IO;
  return open_parts(e, err);
}

int face_embed(const FaceModel *m, HostError *err) {
  Embed *e = calloc(1, sizeof *e);
  if (!e) return host_fail(err, "out of memory"), FACE_IO;
  e->m = m;
  int code = prepare(e, err);
  if (!code) code = run_all(e, err);
  bool none = !code && !e->done;
  if (none) {
    host_fail(err, "none of %zu could be read: nothing is written", e->items.n);
    code = FACE_IO;
  }
  if (code && e->done)
    fprintf(stderr, "%s: %zu of %zu are done and kept; the same call goes on\n", m->program, e->next, e->items.n);
  if (!code) code = finish(e, err) ? report(e, err) : FACE_IO;
  if (e->rows_file) fclose(e->rows_file);
  if (e->names_file) fclose(e->names_file);
  if (none && remove(e->rows_part) == 0) remove(e->names_part);
  for (size_t i = 0; i < e->items.n; i++) free((void *)(uintptr_t)e->items.at[i]);
  free(e->items.at);
  if (e->lines.text) host_labels_free(&e->lines);
  face_run_free(&e->run);
  free(e->vector);
  free(e->row_item);
  free(e);
  return code;
}
