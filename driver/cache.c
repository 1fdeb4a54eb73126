// cache.c: the folder in which `syc run`, check and bench keep what they compiled, and what in it may be trusted.
//
// Compiled models of the cache are executed, so nobody else may have a hand in them: the folder is ours, no link, and
// closed to others (0700); no folder above it lets others put another one in its place; a file counts only if it is a
// regular file of ours that others cannot write to. Where there is no such folder (no home, a home of somebody else, a
// read-only disk) a new private one serves this process and is removed with it.
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// Could somebody else put another file in the place of one in this folder? (As sshd judges the folders of keys.)
static bool is_tamperproof(const struct stat *st) {
  if (!S_ISDIR(st->st_mode) || (st->st_uid != 0 && st->st_uid != geteuid())) return false;
  if (st->st_mode & S_ISVTX) return true; // files there are their owners'
  bool by_group = (st->st_mode & S_IWGRP) && st->st_gid != getegid();
  return !(st->st_mode & S_IWOTH) && !by_group;
}

// All folders on the way to `path`, an absolute path without links.
static bool way_is_safe(const char *path) {
  char part[4096];
  struct stat st;
  if (strlen(path) >= sizeof part) return false;
  for (size_t n = 1;; n++) {
    if (path[n] && path[n] != '/') continue;
    memcpy(part, path, n);
    part[n] = 0;
    if (lstat(part, &st) != 0 || !is_tamperproof(&st)) return false;
    if (!path[n]) return true;
  }
}

bool folder_is_safe(const char *path) {
  char *real = realpath(path, NULL);
  bool safe = real && (!strcmp(real, "/") || way_is_safe(real));
  free(real);
  return safe;
}

bool file_is_ours(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* the folder ----------------------------------------------------------------------------------------------------------
 */
// Where the XDG specification wants caches: relative paths do not count. NULL if nobody says.
static const char *base_folder(Session *s) {
  const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (xdg && xdg[0] == '/') return xdg;
  if (!home || home[0] != '/') {
    const struct passwd *p = getpwuid(geteuid());
    home = p && p->pw_dir && p->pw_dir[0] == '/' ? p->pw_dir : NULL;
  }
  struct stat st;
  return home && stat(home, &st) == 0 ? arena_printf(&s->arena, "%s/.cache", home) : NULL;
}

// The deepest folder of a path that is there.
static const char *deepest(Arena *a, const char *path) {
  char *part = arena_strdup(a, path);
  struct stat st;
  for (char *slash; stat(part, &st) != 0 && (slash = strrchr(part, '/'));) slash[slash == part] = 0;
  return part;
}

// Makes the folders of a path that are missing, for us alone as the specification says.
static bool make_folders(Arena *a, const char *path) {
  char *part = arena_strdup(a, path);
  for (char *c = part + 1; *c; c++) {
    if (*c != '/') continue;
    *c = 0;
    if (mkdir(part, 0700) != 0 && errno != EEXIST) return false;
    *c = '/';
  }
  return mkdir(part, 0700) == 0 || errno == EEXIST;
}

// A folder of ours that was open to others is closed; its files are looked at one by one.
static bool is_private(const char *dir) {
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;
  bool ok = fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid();
  if (ok && (st.st_mode & 0777) != 0700) ok = fchmod(fd, 0700) == 0;
  if (fd >= 0) close(fd);
  return ok;
}

static const char *why_not(Session *s, const char *base, const char *dir) {
  struct stat st;
  if (!folder_is_safe(deepest(&s->arena, base))) return "other users could put files there";
  if (!make_folders(&s->arena, dir)) return strerror(errno);
  if (lstat(dir, &st) == 0 && S_ISLNK(st.st_mode)) return "it is a link";
  if (!is_private(dir)) return "it does not belong to this user";
  if (!folder_is_safe(dir)) return "other users could replace it";
  return access(dir, W_OK) == 0 ? NULL : strerror(errno);
}

const char *cache_dir(Session *s) {
  if (s->cache) return s->cache;
  const char *base = base_folder(s), *why = "there is no home folder";
  const char *dir = base ? arena_printf(&s->arena, "%s/switchyard", base) : NULL;
  if (dir) why = why_not(s, base, dir);
  char *real = why ? NULL : realpath(dir, NULL); // no link on the way can lead elsewhere later
  if (real) s->cache = arena_strdup(&s->arena, real);
  free(real);
  if (s->cache) return s->cache;
  if (!why) why = strerror(errno);
  dir = temp_dir(s, NULL);
  if (!dir) return NULL;
  session_note(s, "syc: note: nothing is kept for the next time: %s%s%s (XDG_CACHE_HOME names another folder)",
               base ? base : "", base ? "/switchyard: " : "", why);
  s->cache_is_temporary = true;
  return s->cache = dir;
}

const char *cache_path(Session *s, const char *name, const char *suffix, const Digest *key) {
  const char *dir = cache_dir(s);
  return dir ? arena_printf(&s->arena, "%s/%.100s-%s%s", dir, name, digest_hex(&s->arena, key), suffix) : NULL;
}

/* keys: content -------------------------------------------------------------------------------------------------------
 */
// The time of a file's last change says that it is the same as before only if it is so old that a later change would
// have another time: clocks of file systems tick in steps of up to two seconds.
static bool is_settled(const struct stat *st) {
  struct timespec now;
  return clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec - st->st_ctim.tv_sec > 2 &&
         now.tv_sec - st->st_mtim.tv_sec > 2;
}

static Digest facts_of(const struct stat *st) {
  const uint64_t facts[] = {
      (uint64_t)st->st_dev,          (uint64_t)st->st_ino,          (uint64_t)st->st_size,
      (uint64_t)st->st_mtim.tv_sec,  (uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec,
      (uint64_t)st->st_ctim.tv_nsec,
  };
  Digester d = digest_begin();
  digest_add(&d, facts, sizeof facts);
  return digest_end(&d);
}

static bool read_kept(Session *s, const char *path, Digest *out) {
  size_t n = 0;
  const char *err = "";
  const char *text = file_is_ours(path) ? file_read(&s->arena, path, &n, &err) : NULL;
  if (!text || n != sizeof *out) return false;
  memcpy(out, text, n);
  return true;
}

static bool digest_of_fd(int fd, Digest *out) {
  static char part[1 << 18];
  Digester d = digest_begin();
  for (;;) {
    ssize_t n = read(fd, part, sizeof part);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) break;
    digest_add(&d, part, (size_t)n);
  }
  *out = digest_end(&d);
  return true;
}

static bool digest_of(Session *s, int fd, const struct stat *st, Digest *out) {
  Digest facts = facts_of(st);
  const char *kept = cache_path(s, "content", ".digest", &facts), *err = "";
  bool settled = kept && is_settled(st);
  if (settled && read_kept(s, kept, out)) return true;
  struct stat after;
  if (!digest_of_fd(fd, out)) return false;
  if (settled && fstat(fd, &after) == 0 && digest_equal(facts, facts_of(&after))) {
    bool put = file_write(kept, out, sizeof *out, &err);
    (void)put; // without it the file is read again, no more
  }
  return true;
}

bool key_add_file(Session *s, Digester *key, const char *path) {
  struct stat st;
  Digest content;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool ok = fd >= 0 && fstat(fd, &st) == 0;
  if (ok && !S_ISREG(st.st_mode)) ok = false, errno = EINVAL;
  ok = ok && digest_of(s, fd, &st, &content);
  if (!ok)
    session_fail(s, EXIT_IO, "cannot read %s: %s", path, errno == EINVAL ? "not a regular file" : strerror(errno));
  if (ok) digest_add(key, &content, sizeof content);
  if (fd >= 0) close(fd);
  return ok;
}

void key_add_text(Digester *key, const char *text) {
  uint64_t n = text ? strlen(text) : UINT64_MAX; // the length too: "ab" "c" is not "a" "bc"
  digest_add(key, &n, sizeof n);
  if (text) digest_add(key, text, (size_t)n);
}
