// face_part.c - the unfinished files of embed: rows in OUT.part, their names in the names' file .part, appended batch
// by batch, so that an interrupted run goes on.
//
// Both begin with a line that says whose they are and for what: a number of 128 bits made of everything that decides
// the rows. What does not begin so, is a link, no regular file or another user's is not ours and is never written to.
// Rows begin behind FACE_ROWS_START bytes, in which the header of the .npy will be. A name stands behind the size and
// the time of change of its picture, by which one that changed in between is noticed.
//
//   SWITCHYARD EMBED 2, unfinished: 0f3c...
//   3145 1700000000123456789 photos/1.jpg
//
// At the end the names are written anew and take their place, then the rows theirs: a name that stands is whole.
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "face_embed.h"

#include "common/text.h"
#include "ir/base/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[] = "SWITCHYARD EMBED ";
enum { MAGIC = sizeof magic - 1 };

bool face_part_name(FacePart *p, const char *out) {
  p->out = out;
  return face_names_path(out, p->names, sizeof p->names - 8) &&
         snprintf(p->rows_part, sizeof p->rows_part, "%s.part", out) < FACE_PATH &&
         snprintf(p->names_part, sizeof p->names_part, "%.4080s.part", p->names) < FACE_PATH;
}

/* opening -----------------------------------------------------------------------------------------------------------
 */
// The file as it is, or a new one; links are not followed.
static int open_own(const char *path, bool *made) {
  enum { HOW = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };
  int fd = open(path, HOW);
  *made = fd < 0 && errno == ENOENT;
  return *made ? open(path, HOW | O_CREAT | O_EXCL, 0666) : fd;
}

// Why a file that is open is not one that we may write to; NULL: it is.
static const char *not_ours(int fd, const char *path) {
  struct stat st, named;
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fstat(fd, &st) != 0) return strerror(errno);
  if (!S_ISREG(st.st_mode)) return "not a regular file";
  if (st.st_uid != geteuid()) return "belongs to another user; move it away";
  bool busy = fcntl(fd, F_SETLK, &lock) != 0 && (errno == EACCES || errno == EAGAIN);
  busy = busy || lstat(path, &named) != 0 || named.st_ino != st.st_ino || named.st_dev != st.st_dev;
  if (busy) return "another program is writing it";
  return st.st_nlink > 1 ? "has another name too (a hard link); move it away" : NULL;
}

// Opens a file, keeps other programs from it and reads how it begins; what is not ours stays as it is.
static FILE *open_part(const char *path, char head[FACE_ROWS_START], size_t *n, HostError *err) {
  bool made;
  int fd = open_own(path, &made);
  const char *why = fd >= 0 ? not_ours(fd, path) : errno == ELOOP ? "is a link; move it away" : strerror(errno);
  FILE *f = why ? NULL : fdopen(fd, "r+b");
  if (!why && !f) why = strerror(errno);
  if (f) {
    *n = fread(head, 1, FACE_ROWS_START, f);
    if (ferror(f)) why = strerror(errno);
  }
  if (!why) return f;
  if (made && fd >= 0) unlink(path);
  if (f)
    fclose(f);
  else if (fd >= 0)
    close(fd);
  host_fail(err, "%.300s: %s", path, why);
  return NULL;
}

static bool begins_ours(const char *head, size_t n) {
  return !memcmp(head, magic, n < MAGIC ? n : MAGIC);
}

static size_t mark_length(const FacePart *p) {
  return strlen(p->mark); // with its line break
}

static bool begin_anew(FacePart *p, HostError *err) {
  size_t n = mark_length(p);
  rewind(p->names_file);
  rewind(p->rows_file);
  if (ftruncate(fileno(p->names_file), 0) != 0 || fwrite(p->mark, 1, n, p->names_file) != n ||
      fflush(p->names_file) != 0)
    return host_fail_file(err, p->names_part);
  if (ftruncate(fileno(p->rows_file), 0) != 0 || fwrite(p->mark, 1, sizeof p->mark, p->rows_file) != sizeof p->mark ||
      fflush(p->rows_file) != 0)
    return host_fail_file(err, p->rows_part);
  return true;
}

/* going on ----------------------------------------------------------------------------------------------------------
 */
// Whole lines of a text, at most `most`; *bytes: of that many lines.
static size_t whole_lines(const char *text, size_t size, size_t most, size_t *bytes) {
  size_t n = 0;
  *bytes = 0;
  for (const char *stop; n < most && (stop = memchr(text + *bytes, '\n', size - *bytes)); n++)
    *bytes = (size_t)(stop - text) + 1;
  return n;
}

// "SIZE TIME " of an item, as it is now.
size_t face_part_state(const FacePart *p, const char *item, char dst[64]) {
  struct stat st;
  bool known = p->pictures && stat(item, &st) == 0;
  return (size_t)snprintf(dst, 64, "%lld %lld ", known ? (long long)st.st_size : 0,
                          known ? (long long)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec : 0);
}

// The line of one row, without its end: finds its item behind those before it, which had no row then.
static bool walk_line(FacePart *p, const char *line, size_t n, const char *program, HostError *err) {
  const char *blank = memchr(line, ' ', n),
             *name = blank ? memchr(blank + 1, ' ', n - (size_t)(blank - line) - 1) : NULL;
  if (!name) return host_fail(err, "%.300s: damaged; --restart begins anew", p->names_part);
  name++;
  size_t length = n - (size_t)(name - line);
  const FaceList *l = p->items;
  while (p->next < l->n && (strlen(l->at[p->next]) != length || memcmp(l->at[p->next], name, length) != 0)) {
    text_line(stderr, "%s: left out before: %s", program, l->at[p->next++]);
    p->left_out++;
  }
  if (p->next == l->n)
    return host_fail(err, "%.300s: its names are not those of this call; --restart begins anew", p->names_part);
  char state[64];
  size_t m = face_part_state(p, l->at[p->next], state);
  if (m != (size_t)(name - line) || memcmp(state, line, m) != 0)
    return host_fail(err, "%.300s has changed since its vector was made; --restart begins anew", l->at[p->next]);
  p->item[p->done++] = p->next++;
  return true;
}

static bool walk(FacePart *p, const char *text, size_t rows, const char *program, HostError *err) {
  for (size_t row = 0; row < rows; row++) {
    size_t n = (size_t)(strchr(text, '\n') - text);
    if (!walk_line(p, text, n, program, err)) return false;
    text += n + 1;
  }
  return true;
}

// Cuts both files to the last whole batch of both.
static bool go_on(FacePart *p, const char *program, HostError *err) {
  size_t size = 0, keep = 0, row = p->width * sizeof(float), start = mark_length(p);
  struct stat st;
  if (fstat(fileno(p->rows_file), &st) != 0) return host_fail_file(err, p->rows_part);
  char *text = host_read_file(p->names_part, SIZE_MAX / 2, &size, err);
  if (!text) return false;
  size_t rows = (size_t)((uint64_t)st.st_size - FACE_ROWS_START) / row;
  rows = whole_lines(text + start, size - start, rows, &keep) / p->batch * p->batch;
  whole_lines(text + start, size - start, rows, &keep);
  bool ok = !memchr(text, 0, start + keep) || host_fail(err, "%.300s: damaged; --restart begins anew", p->names_part);
  ok = ok && walk(p, text + start, rows, program, err);
  free(text);
  if (!ok) return false;
  if (ftruncate(fileno(p->names_file), (off_t)(start + keep)) != 0 || fseeko(p->names_file, 0, SEEK_END) != 0)
    return host_fail_file(err, p->names_part);
  if (ftruncate(fileno(p->rows_file), (off_t)(FACE_ROWS_START + rows * row)) != 0 ||
      fseeko(p->rows_file, 0, SEEK_END) != 0)
    return host_fail_file(err, p->rows_part);
  if (rows) text_line(stderr, "%s: goes on after %zu of %zu", program, p->next, p->items->n);
  return true;
}

// Rows on their way to standard output are kept without a name.
static int open_stream(FacePart *p, HostError *err) {
  p->rows_file = tmpfile();
  if (!p->rows_file) return host_fail_file(err, "a temporary file"), FACE_IO;
  return FACE_OK;
}

// An empty file is one that this call made: it does not stay beside the other, which is not ours.
static int refuse(const FacePart *p, size_t names, size_t rows) {
  if (!names) unlink(p->names_part);
  if (!rows) unlink(p->rows_part);
  return FACE_IO;
}

void face_part_mark(const uint64_t key[2], char mark[FACE_ROWS_START]) {
  memset(mark, 0, FACE_ROWS_START);
  snprintf(mark, FACE_ROWS_START, "%s2, unfinished: %016" PRIx64 "%016" PRIx64 "\n", magic, key[0], key[1]);
}

int face_part_open(FacePart *p, const uint64_t key[2], bool restart, const char *program, HostError *err) {
  char rows[FACE_ROWS_START] = "", names[FACE_ROWS_START] = "";
  size_t n = 0, m = 0;
  if (!strcmp(p->out, "-")) return open_stream(p, err);
  face_part_mark(key, p->mark);
  if (!(p->names_file = open_part(p->names_part, names, &m, err))) return FACE_IO;
  if (!(p->rows_file = open_part(p->rows_part, rows, &n, err))) return refuse(p, m, 1);
  bool whole = m >= MAGIC && n > 6 && !memcmp(rows, "\x93NUMPY", 6); // stopped before it took its place
  if (!begins_ours(names, m) || (!begins_ours(rows, n) && !whole)) {
    host_fail(err, "%.300s is no unfinished embed; move it away", begins_ours(names, m) ? p->rows_part : p->names_part);
    return refuse(p, m, n);
  }
  if (restart || whole || n < sizeof rows || m < mark_length(p)) return begin_anew(p, err) ? FACE_OK : FACE_IO;
  if (memcmp(rows, p->mark, sizeof rows) != 0 || memcmp(names, p->mark, mark_length(p)) != 0) {
    host_fail(err,
              "%.200s was begun with other names, weights, vocabulary or options; call it as then to go on, or with "
              "--restart to begin anew",
              p->rows_part);
    return FACE_USAGE;
  }
  return go_on(p, program, err) ? FACE_OK : FACE_IO;
}

/* writing -----------------------------------------------------------------------------------------------------------
 */
bool face_part_add(FacePart *p, const float *rows, const size_t *item, size_t count, HostError *err) {
  const char *rows_name = p->names_file ? p->rows_part : "a temporary file";
  if (fwrite(rows, p->width * sizeof *rows, count, p->rows_file) != count || fflush(p->rows_file) != 0)
    return host_fail_file(err, rows_name);
  for (size_t k = 0; k < count; k++) {
    char state[64];
    face_part_state(p, p->items->at[item[k]], state);
    if (p->names_file && fprintf(p->names_file, "%s%s\n", state, p->items->at[item[k]]) < 0)
      return host_fail_file(err, p->names_part);
    p->item[p->done + k] = item[k];
  }
  if (p->names_file && fflush(p->names_file) != 0) return host_fail_file(err, p->names_part);
  p->done += count;
  return true;
}

static size_t put_header(const FacePart *p, char header[FACE_NPY_HEADER]) {
  FaceArray a = {.dtype = 'f', .rank = 2, .dim = {p->done, p->width}};
  return face_npy_start(&a, header);
}

static bool finish_stream(FacePart *p, HostError *err) {
  char header[FACE_NPY_HEADER], block[65536];
  size_t n = put_header(p, header);
  bool ok = fwrite(header, 1, n, stdout) == n && fseeko(p->rows_file, 0, SEEK_SET) == 0;
  while (ok && (n = fread(block, 1, sizeof block, p->rows_file)) > 0) ok = fwrite(block, 1, n, stdout) == n;
  ok = ok && !ferror(p->rows_file) && fflush(stdout) == 0;
  return ok || host_fail_file(err, "standard output");
}

static bool write_names(const FacePart *p, NewFile *f) {
  for (size_t i = 0; i < p->done; i++)
    if (fprintf(f->f, "%s\n", p->items->at[p->item[i]]) < 0) return false;
  return new_file_close(f, NEW_FILE_SAFE);
}

bool face_part_finish(FacePart *p, HostError *err) {
  char header[FACE_NPY_HEADER];
  NewFile names;
  if (!strcmp(p->out, "-")) return finish_stream(p, err);
  if (put_header(p, header) != FACE_ROWS_START) return host_fail(err, "the header does not fit");
  if (!new_file_open(&names, p->names)) return host_fail_file(err, p->names);
  const char *path = p->names;
  bool ok = write_names(p, &names);
  if (ok) {
    path = p->rows_part;
    ok = fseeko(p->rows_file, 0, SEEK_SET) == 0 &&
         fwrite(header, 1, FACE_ROWS_START, p->rows_file) == FACE_ROWS_START && fflush(p->rows_file) == 0 &&
         fsync(fileno(p->rows_file)) == 0;
  }
  if (ok) path = p->names, ok = new_file_put(&names, NEW_FILE_FAST);
  if (ok) path = p->out, ok = rename(p->rows_part, p->out) == 0;
  if (!ok) host_fail_file(err, path);
  new_file_drop(&names);
  if (ok) unlink(p->names_part);
  return ok;
}

void face_part_close(FacePart *p, bool remove_all) {
  bool both = p->rows_file && p->names_file;
  if (p->rows_file) fclose(p->rows_file);
  if (p->names_file) fclose(p->names_file);
  if (remove_all && both && unlink(p->rows_part) == 0) unlink(p->names_part);
}
