// face_shares.c - the command embed in several processes: mpirun -n 4 ./clip embed photos -o photos.npy. They need not
// talk: each takes the items that its number says, into unfinished files of its own (face_part.c), and gives them
// another name when they are whole. Whoever is last finds all of them and puts the array together.
//
//   photos.npy.part.2of4   ->   photos.npy.done.2of4   ->   photos.npy
//
// A process that ends before leaves its unfinished files; the same call goes on, and those that were done have nothing
// to do. Under the lock on OUT.lock one process at a time looks whether all are done.
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "face_embed.h"

#include "common/text.h"
#include "ir/base/newfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

FaceShare face_share_of(Launch l, size_t n) {
  size_t each = n / l.size, more = n % l.size, r = l.rank; // the first `more` have one more
  size_t from = r * each + (r < more ? r : more);
  return (FaceShare){from, from + each + (r < more)};
}

// "OUT.done.2of4": of a process, from 1.
static bool share_path(const char *base, const char *what, unsigned rank, unsigned size, char dst[FACE_PATH]) {
  return snprintf(dst, FACE_PATH, "%.4000s.%s.%uof%u", base, what, rank + 1, size) < FACE_PATH - 64;
}

bool face_share_name(FacePart *p, Launch l) {
  return strlen(p->out) < 3900 && share_path(p->out, "part", l.rank, l.size, p->rows_part) &&
         share_path(p->names, "part", l.rank, l.size, p->names_part);
}

/* another number of processes ---------------------------------------------------------------------------------------
 */
// Does a name in the folder of OUT belong to a call in another number of processes: "BASE.part.IofN", "BASE.done.IofN"
// with N that is not `size`, or, of several processes, "BASE.part"?
static bool is_of_others(const char *name, const char *base, unsigned size) {
  size_t n = strlen(base);
  unsigned i = 0, of = 0;
  int end = 0;
  if (strncmp(name, base, n) != 0) return false;
  name += n;
  if (size > 1 && !strcmp(name, ".part")) return true;
  if (strncmp(name, ".part.", 6) != 0 && strncmp(name, ".done.", 6) != 0) return false;
  return sscanf(name + 6, "%uof%u%n", &i, &of, &end) == 2 && !name[6 + end] && of != size;
}

bool face_share_alone(const FacePart *p, Launch l, HostError *err) {
  const char *slash = strrchr(p->out, '/'), *base = slash ? slash + 1 : p->out;
  char dir[FACE_PATH];
  snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - p->out) + 1 : 1, slash ? p->out : ".");
  DIR *d = opendir(dir);
  bool alone = true;
  for (struct dirent *e; d && alone && (e = readdir(d));) {
    if (!is_of_others(e->d_name, base, l.size)) continue;
    alone = host_fail(err, "%.200s%.200s was begun in another number of processes; call it so to go on, or remove it",
                      slash ? dir : "", e->d_name);
  }
  if (d) closedir(d);
  return alone;
}

/* what is done ------------------------------------------------------------------------------------------------------
 */
// Opens a file of a process that is done, which begins with `mark`. NULL: there is none (errno ENOENT), or it is not.
static FILE *open_done(const char *path, const char *mark) {
  char head[FACE_ROWS_START] = "";
  size_t n = strlen(mark);
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  FILE *f = fd < 0 ? NULL : fdopen(fd, "rb");
  struct stat st;
  if (f && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && fread(head, 1, n, f) == n &&
      !memcmp(head, mark, n))
    return f;
  if (f)
    fclose(f), errno = EINVAL;
  else if (fd >= 0)
    close(fd);
  return NULL;
}

static bool done_paths(const FacePart *p, Launch l, char rows[FACE_PATH], char names[FACE_PATH]) {
  return share_path(p->out, "done", l.rank, l.size, rows) && share_path(p->names, "done", l.rank, l.size, names);
}

// Behind "SIZE TIME " of a line; NULL: it has none.
static const char *name_in(const char *line) {
  const char *blank = strchr(line, ' '), *name = blank ? strchr(blank + 1, ' ') : NULL;
  return name ? name + 1 : NULL;
}

static bool is_unchanged(const FacePart *p, FILE *names, HostError *err) {
  char *line = NULL, state[64];
  size_t room = 0;
  bool ok = true;
  for (ssize_t n; ok && (n = getline(&line, &room, names)) > 0;) {
    const char *name = name_in(line);
    line[n - 1] = 0;
    size_t m = name ? face_part_state(p, name, state) : 0;
    ok = name && m == (size_t)(name - line) && !memcmp(state, line, m);
    if (!ok) host_fail(err, "%.300s has changed since its vector was made; --restart begins anew", name ? name : line);
  }
  free(line);
  return ok;
}

bool face_share_look(const FacePart *p, Launch l, bool *done, HostError *err) {
  char rows[FACE_PATH], names[FACE_PATH];
  *done = false;
  if (!done_paths(p, l, rows, names)) return true;
  FILE *r = open_done(rows, p->mark), *n = open_done(names, p->mark);
  *done = r && n;
  bool ok = !*done || is_unchanged(p, n, err);
  if (r) fclose(r);
  if (n) fclose(n);
  return ok;
}

void face_share_forget(const FacePart *p, Launch l) {
  char rows[FACE_PATH], names[FACE_PATH];
  if (!done_paths(p, l, rows, names)) return;
  unlink(rows);
  unlink(names);
}

bool face_share_done(FacePart *p, Launch l, HostError *err) {
  char rows[FACE_PATH], names[FACE_PATH];
  if (!done_paths(p, l, rows, names)) return host_fail(err, "the path of -o is too long");
  if (fflush(p->rows_file) || fsync(fileno(p->rows_file)) || rename(p->rows_part, rows))
    return host_fail_file(err, p->rows_part);
  if (fflush(p->names_file) || fsync(fileno(p->names_file)) || rename(p->names_part, names))
    return host_fail_file(err, p->names_part);
  return true;
}

/* together ----------------------------------------------------------------------------------------------------------
 */
typedef struct Join {
  const FacePart *p;
  Launch l;
  FILE **rows, **names; // of each process, behind their marks
  size_t done;          // rows of all
} Join;

// Names without size and time; counts them.
static bool join_names(Join *j, FILE *out) {
  char *line = NULL;
  size_t room = 0;
  bool ok = true;
  for (unsigned i = 0; i < j->l.size && ok; i++)
    while (ok && getline(&line, &room, j->names[i]) > 0) {
      const char *name = name_in(line);
      ok = name && fputs(name, out) >= 0;
      if (!name) errno = EINVAL;
      j->done++;
    }
  free(line);
  return ok;
}

static bool join_rows(Join *j, FILE *out) {
  char header[FACE_NPY_HEADER], block[65536];
  FaceArray a = {.dtype = 'f', .rank = 2, .dim = {j->done, j->p->width}};
  size_t n = face_npy_start(&a, header), row = j->p->width * sizeof(float);
  bool ok = fwrite(header, 1, n, out) == n;
  uint64_t bytes = 0;
  for (unsigned i = 0; i < j->l.size && ok; i++) {
    ok = fseeko(j->rows[i], FACE_ROWS_START, SEEK_SET) == 0;
    while (ok && (n = fread(block, 1, sizeof block, j->rows[i])) > 0) {
      ok = fwrite(block, 1, n, out) == n;
      bytes += n;
    }
    ok = ok && !ferror(j->rows[i]);
  }
  if (ok && bytes != (uint64_t)j->done * row) ok = false, errno = EINVAL;
  return ok;
}

static bool join(Join *j, HostError *err) {
  NewFile names = {0}, rows = {0};
  NewFile *both[] = {&names, &rows};
  size_t failed = 0;
  const char *path = j->p->names;
  bool ok = new_file_open(&names, path) && join_names(j, names.f) && new_file_close(&names, NEW_FILE_SAFE);
  if (ok && j->done) {
    path = j->p->out;
    ok = new_file_open(&rows, path) && join_rows(j, rows.f) && new_file_close(&rows, NEW_FILE_SAFE) &&
         new_files_put(both, 2, &failed);
  }
  if (!ok) host_fail_file(err, path);
  new_file_drop(&names);
  new_file_drop(&rows);
  return ok;
}

static void remove_done(const FacePart *p, Launch l, const char *lock) {
  char path[FACE_PATH];
  for (unsigned i = 0; i < l.size; i++) {
    if (share_path(p->out, "done", i, l.size, path)) unlink(path);
    if (share_path(p->names, "done", i, l.size, path)) unlink(path);
  }
  unlink(lock);
}

static void close_all(FILE **f, unsigned n) {
  for (unsigned i = 0; f && i < n; i++)
    if (f[i]) fclose(f[i]);
  free(f);
}

// All files of all processes are there.
static bool open_all(Join *j, FaceShareMark *mark, void *ud) {
  for (unsigned i = 0; i < j->l.size; i++) {
    char path[FACE_PATH], text[FACE_ROWS_START];
    mark(ud, i, text);
    if (!share_path(j->p->out, "done", i, j->l.size, path) || !(j->rows[i] = open_done(path, text))) return false;
    if (!share_path(j->p->names, "done", i, j->l.size, path) || !(j->names[i] = open_done(path, text))) return false;
  }
  return true;
}

bool face_shares_join(FacePart *p, Launch l, FaceShareMark *mark, void *ud, bool *joined, HostError *err) {
  char lock[FACE_PATH];
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  *joined = false;
  snprintf(lock, sizeof lock, "%.4000s.lock", p->out);
  int fd = open(lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0 || fcntl(fd, F_SETLKW, &whole) != 0) {
    host_fail_file(err, lock);
    if (fd >= 0) close(fd);
    return false;
  }
  Join j = {.p = p, .l = l, .rows = calloc(l.size, sizeof(FILE *)), .names = calloc(l.size, sizeof(FILE *))};
  bool ok = (j.rows && j.names) || host_no_memory(err);
  if (ok && open_all(&j, mark, ud)) {
    ok = join(&j, err);
    if (ok) remove_done(p, l, lock), p->done = j.done, *joined = true;
  }
  close_all(j.rows, l.size);
  close_all(j.names, l.size);
  close(fd);
  return ok;
}
