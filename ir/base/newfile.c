// newfile.c: see newfile.h. The names of files that are not whole stand in a table, for the handler of signals.
#include "newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_OPEN = 64, MAX_LINKS = 40, MAX_TRIES = 100 };
typedef struct Unfinished {
  _Atomic(char *) temp;
  pid_t owner; // a forked child does not remove the parent's
} Unfinished;
static Unfinished unfinished[MAX_OPEN];

static bool remember(char *temp) {
  for (int i = 0; i < MAX_OPEN; i++) {
    char *none = NULL;
    unfinished[i].owner = getpid();
    if (atomic_compare_exchange_strong(&unfinished[i].temp, &none, temp)) return true;
  }
  errno = EMFILE;
  return false;
}

static void forget(const char *temp) {
  for (int i = 0; i < MAX_OPEN; i++) {
    char *mine = (char *)(uintptr_t)temp;
    if (atomic_compare_exchange_strong(&unfinished[i].temp, &mine, NULL)) return;
  }
}

void new_files_unlink(void) {
  for (int i = 0; i < MAX_OPEN; i++) {
    char *temp = atomic_load(&unfinished[i].temp);
    if (temp && unfinished[i].owner == getpid()) unlink(temp);
  }
}

/* paths ---------------------------------------------------------------------------------------------------------------
 */
int stream_of_path(const char *path) {
  static const char *const names[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
  static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
  for (int i = 0; i < 3; i++)
    if (!strcmp(path, names[i])) return i;
  for (int i = 0; i < 2; i++) {
    size_t n = strlen(folders[i]);
    if (strncmp(path, folders[i], n) != 0 || path[n] < '0' || path[n] > '9') continue;
    char *end;
    long fd = strtol(path + n, &end, 10);
    if (!*end && fd <= INT_MAX) return (int)fd;
  }
  return -1;
}

// The length of the folder in front of a name, with its slash.
static size_t folder_length(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? (size_t)(slash - path) + 1 : 0;
}

static char *join(const char *folder, size_t n, const char *name) {
  char *path = malloc(n + strlen(name) + 1);
  if (!path) return NULL;
  if (n) memcpy(path, folder, n);
  memcpy(path + n, name, strlen(name) + 1);
  return path;
}

// In a folder where everybody may put files, a link is followed only if it is ours or of the folder's owner: the rule
// that Linux has for opening (fs.protected_symlinks), which reading a link goes around.
static bool may_follow(const char *path, const struct stat *link) {
  size_t n = folder_length(path);
  char *folder = n ? join(path, n, "") : join("./", 2, "");
  struct stat st;
  bool ok = folder && stat(folder, &st) == 0;
  if (ok && (st.st_mode & S_ISVTX) && (st.st_mode & S_IWOTH) && link->st_uid != geteuid() && link->st_uid != st.st_uid)
    ok = false, errno = EACCES;
  free(folder);
  return ok;
}

// What the link at `path` leads to.
static char *step(const char *path, const struct stat *link) {
  char to[PATH_MAX];
  ssize_t n = may_follow(path, link) ? readlink(path, to, sizeof to - 1) : -1;
  if (n < 0) return NULL;
  to[n] = 0;
  return to[0] == '/' ? join("", 0, to) : join(path, folder_length(path), to);
}

char *new_file_target(const char *path) {
  char *at = join("", 0, path);
  for (int i = 0; at; i++) {
    struct stat st;
    bool there = lstat(at, &st) == 0;
    if (!there && errno == ENOENT && *at && at[strlen(at) - 1] != '/') return at;
    if (there && !S_ISLNK(st.st_mode)) return at;
    if (there && i == MAX_LINKS) errno = ELOOP;
    char *next = there && i < MAX_LINKS ? step(at, &st) : NULL;
    int why = errno;
    free(at);
    errno = why;
    at = next;
  }
  return NULL;
}

/* opening -------------------------------------------------------------------------------------------------------------
 */
// FOLDER/.new-XXXXXXXXXXXX
static void random_name(char *name, size_t n) {
  static const char letter[] = "abcdefghijklmnopqrstuvwxyz0123456789";
  unsigned char bytes[64] = {0};
  if (getrandom(bytes, n, GRND_NONBLOCK) != (ssize_t)n) { // O_EXCL makes sure all the same
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t x = (uint64_t)t.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)name;
    for (size_t i = 0; i < n; i++, x = x * 6364136223846793005u + 1442695040888963407u)
      bytes[i] = (unsigned char)(x >> 56);
  }
  for (size_t i = 0; i < n; i++) name[i] = letter[bytes[i] % (sizeof letter - 1)];
}

static int create(NewFile *n, mode_t mode) {
  static const char form[] = ".new-xxxxxxxxxxxx";
  size_t folder = folder_length(n->path);
  n->temp = join(n->path, folder, form);
  sigset_t all, before;
  sigfillset(&all);
  for (int i = 0; n->temp && i < MAX_TRIES; i++) {
    random_name(n->temp + folder + 5, sizeof form - 6);
    pthread_sigmask(SIG_SETMASK, &all, &before); // no file that the handler does not know
    int fd = open(n->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    int why = errno;
    if (fd >= 0 && !remember(n->temp)) why = errno, unlink(n->temp), close(fd), fd = -1;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = why;
    if (fd >= 0) return fd;
    if (why != EEXIST) break;
  }
  int why = errno;
  free(n->temp); // not ours to unlink
  n->temp = NULL;
  errno = why;
  return -1;
}

// What was there hands on its mode and owner; nobody gets rights that the old file did not give.
static bool take_over(int fd, const struct stat *old) {
  struct stat st;
  mode_t mode = old->st_mode & 0777;
  if (fstat(fd, &st) != 0) return false;
  bool same = st.st_uid == old->st_uid && st.st_gid == old->st_gid;
  if (!same && fchown(fd, old->st_uid, old->st_gid) != 0 && fchown(fd, (uid_t)-1, old->st_gid) != 0)
    mode = (mode & ~(mode_t)S_IRWXG) | (mode & S_IRWXO) << 3; // another group
  return fchmod(fd, mode) == 0;
}

static int open_device(const char *path) {
  int stream = stream_of_path(path);
  if (stream == STDOUT_FILENO && fflush(stdout) != 0) return -1;
  if (stream >= 0) return fcntl(stream, F_DUPFD_CLOEXEC, 3);
  return open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
}

static int open_any(NewFile *n, const char *path) {
  struct stat old;
  if (stream_of_path(path) >= 0) return open_device(path);
  n->path = new_file_target(path);
  if (!n->path) return -1;
  bool there = stat(n->path, &old) == 0;
  if (there && S_ISDIR(old.st_mode)) return errno = EISDIR, -1;
  if (there && !S_ISREG(old.st_mode)) return open_device(n->path);
  if (there && faccessat(AT_FDCWD, n->path, W_OK, AT_EACCESS) != 0) return -1;
  int fd = create(n, there ? old.st_mode & 0666 : 0666);
  if (fd < 0 || !there || take_over(fd, &old)) return fd;
  int why = errno;
  close(fd);
  errno = why;
  return -1;
}

bool new_file_open(NewFile *n, const char *path) {
  *n = (NewFile){0};
  int fd = open_any(n, path);
  n->f = fd < 0 ? NULL : fdopen(fd, "wb");
  if (n->f) return true;
  int why = errno;
  if (fd >= 0) close(fd);
  errno = why;
  new_file_drop(n);
  return false;
}

// Whoever could read the old file may run the new one.
static mode_t mode_like(const struct stat *made, const struct stat *old) {
  mode_t may = old->st_mode & 0777, read = old->st_mode & 0444;
  return made->st_mode & (may | read >> 2);
}

bool new_file_adopt(NewFile *n, const char *made, const char *path) {
  struct stat old, st;
  *n = (NewFile){.path = new_file_target(path), .temp = join("", 0, made)};
  bool ok = n->path && n->temp && stat(n->temp, &st) == 0;
  if (ok && stat(n->path, &old) == 0) {
    if (!S_ISREG(old.st_mode)) ok = false, errno = S_ISDIR(old.st_mode) ? EISDIR : EINVAL;
    ok = ok && faccessat(AT_FDCWD, n->path, W_OK, AT_EACCESS) == 0;
    ok = ok && chmod(n->temp, mode_like(&st, &old)) == 0;
  }
  ok = ok && remember(n->temp);
  if (!ok) new_file_drop(n);
  return ok;
}

/* ending --------------------------------------------------------------------------------------------------------------
 */
bool new_file_close(NewFile *n, NewFileHow how) {
  if (!n->f) return true;
  FILE *f = n->f;
  n->f = NULL;
  bool ok = !ferror(f) && fflush(f) == 0;
  if (ok && how == NEW_FILE_SAFE && n->temp && fsync(fileno(f)) != 0) ok = errno == EINVAL || errno == EROFS;
  int why = errno;
  if (fclose(f) != 0 && ok) return false;
  errno = why;
  return ok;
}

static void put_away(NewFile *n) {
  forget(n->temp);
  free(n->temp);
  n->temp = NULL;
}

static bool put(NewFile *n) {
  if (!n->temp) return true;
  if (rename(n->temp, n->path) != 0) return false;
  put_away(n);
  return true;
}

bool new_file_put(NewFile *n, NewFileHow how) {
  return new_file_close(n, how) && put(n);
}

// One of several: the old file, if there is one, takes the name of the new one until all are in their places.
typedef enum Step { NOT_YET, EXCHANGED, PLACED } Step;

static Step place(const NewFile *n) {
  if (renameat2(AT_FDCWD, n->temp, AT_FDCWD, n->path, RENAME_EXCHANGE) == 0) return EXCHANGED;
  bool can = errno == ENOENT || errno == EINVAL || errno == ENOSYS; // a new name, or a file system that cannot exchange
  return can && rename(n->temp, n->path) == 0 ? PLACED : NOT_YET;
}

static void take_back(const NewFile *n, Step step) {
  if (step == EXCHANGED) (void)renameat2(AT_FDCWD, n->temp, AT_FDCWD, n->path, RENAME_EXCHANGE);
  if (step == PLACED) (void)rename(n->path, n->temp);
}

static bool place_all(NewFile *const *list, size_t count, size_t *failed) {
  Step step[MAX_OPEN] = {NOT_YET};
  size_t i = 0;
  while (i < count && (!list[i]->temp || (step[i] = place(list[i])) != NOT_YET)) i++;
  int why = errno;
  *failed = i;
  for (size_t k = 0; k < i; k++) {
    if (!list[k]->temp) continue;
    if (i < count) {
      take_back(list[k], step[k]);
    } else {
      if (step[k] == EXCHANGED) unlink(list[k]->temp);
      put_away(list[k]);
    }
  }
  errno = why;
  return i == count;
}

bool new_files_put(NewFile *const *list, size_t count, size_t *failed) {
  for (size_t i = 0; i < count; i++)
    if (!new_file_close(list[i], NEW_FILE_FAST)) return *failed = i, false;
  if (count == 1) return *failed = 0, put(list[0]);
  if (count > MAX_OPEN) return *failed = 0, errno = EMFILE, false;
  sigset_t all, before; // a signal comes before all of them or behind
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool ok = place_all(list, count, failed);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return ok;
}

void new_file_drop(NewFile *n) {
  int why = errno;
  if (n->f) fclose(n->f);
  if (n->temp) {
    unlink(n->temp);
    forget(n->temp);
  }
  free(n->temp);
  free(n->path);
  *n = (NewFile){0};
  errno = why;
}
