// fault.c: a library for LD_PRELOAD that lets one call of a kind fail: the FAULT_AT-th of FAULT_KIND (with FAULT_ALL
// that and all behind it). At the end the number of calls of the kind is written to FAULT_COUNT. Programs that are
// started by the one under test are left alone.
//
//   memory  malloc calloc realloc aligned_alloc posix_memalign      ENOMEM
//   open    open openat fopen fdopen mkdir mkdtemp opendir          EMFILE
//   read    read fread mmap fstat readdir                           EIO
//   write   write fwrite fputs fputc fflush                         ENOSPC
//   close   close fclose (which close all the same)                 EIO
//   place   rename renameat2 fsync fchmod                                     EIO
//   start   fork pthread_create pipe                                EAGAIN
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef enum Kind { NONE, MEMORY, OPEN, READ, WRITE, CLOSE, PLACE, START } Kind;
static const char *const names[] = {"none", "memory", "open", "read", "write", "close", "place", "start"};
static const int reasons[] = {0, ENOMEM, EMFILE, EIO, ENOSPC, EIO, EIO, EAGAIN};
static Kind kind;
static atomic_long count;
static long at;
static bool all;
static pid_t owner;

__attribute__((constructor)) static void begin(void) {
  const char *k = getenv("FAULT_KIND"), *n = getenv("FAULT_AT");
  all = getenv("FAULT_ALL") != NULL;
  at = n ? atol(n) : 0;
  owner = getpid();
  for (size_t i = 1; k && i < sizeof names / sizeof *names; i++)
    if (!strcmp(names[i], k)) kind = (Kind)i;
  unsetenv("LD_PRELOAD");
}

__attribute__((destructor)) static void end(void) {
  const char *file = getenv("FAULT_COUNT");
  char text[32];
  Kind none = kind;
  kind = NONE;
  (void)none;
  if (!file || getpid() != owner) return;
  int n = snprintf(text, sizeof text, "%ld\n", (long)count),
      fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (syscall(SYS_write, fd, text, n) != n) _exit(99);
}

static bool fails(Kind k) {
  if (k != kind) return false;
  long n = ++count;
  if (n != at && !(all && at && n > at)) return false;
  errno = reasons[k];
  return true;
}

// What a call would be without us; looked up once. RESULT NAME(PARAMETERS) fails with WORTH.
#define LET_FAIL(k, result, name, parameters, arguments, worth)                                                        \
  result name parameters {                                                                                             \
    static result(*real) parameters;                                                                                   \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                                              \
    if (fails(k)) return worth;                                                                                        \
    return real arguments;                                                                                             \
  }

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void *malloc(size_t n) {
  return fails(MEMORY) ? NULL : __libc_malloc(n);
}
void *calloc(size_t a, size_t b) {
  return fails(MEMORY) ? NULL : __libc_calloc(a, b);
}
void *realloc(void *p, size_t n) {
  return fails(MEMORY) ? NULL : __libc_realloc(p, n);
}
void *aligned_alloc(size_t a, size_t n) {
  return fails(MEMORY) ? NULL : __libc_memalign(a, n);
}
int posix_memalign(void **p, size_t a, size_t n) {
  if (fails(MEMORY)) return ENOMEM;
  *p = __libc_memalign(a, n);
  return *p ? 0 : ENOMEM;
}

int open(const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, int) : 0;
  va_end(ap);
  return fails(OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
int openat(int dir, const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, int) : 0;
  va_end(ap);
  return fails(OPEN) ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}
LET_FAIL(OPEN, FILE *, fopen, (const char *path, const char *how), (path, how), NULL)
LET_FAIL(OPEN, FILE *, fdopen, (int fd, const char *how), (fd, how), NULL)
LET_FAIL(OPEN, DIR *, opendir, (const char *path), (path), NULL)
LET_FAIL(OPEN, int, mkdir, (const char *path, mode_t mode), (path, mode), -1)
LET_FAIL(OPEN, char *, mkdtemp, (char *path), (path), NULL)

LET_FAIL(READ, ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), -1)
LET_FAIL(READ, void *, mmap, (void *p, size_t n, int prot, int flags, int fd, off_t from),
         (p, n, prot, flags, fd, from), MAP_FAILED)
LET_FAIL(READ, int, fstat, (int fd, struct stat *st), (fd, st), -1)
LET_FAIL(READ, struct dirent *, readdir, (DIR * d), (d), NULL)

// A stream remembers its error, as after a failed system call below it.
static void spoil(FILE *f) {
  f->_flags |= 0x20; // _IO_ERR_SEEN
}
size_t fread(void *p, size_t size, size_t n, FILE *f) {
  static size_t (*real)(void *, size_t, size_t, FILE *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fread");
  if (!fails(READ)) return real(p, size, n, f);
  spoil(f);
  return 0;
}
size_t fwrite(const void *p, size_t size, size_t n, FILE *f) {
  static size_t (*real)(const void *, size_t, size_t, FILE *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fwrite");
  if (f == stderr || !fails(WRITE)) return real(p, size, n, f);
  spoil(f);
  return 0;
}
int fputs(const char *s, FILE *f) {
  return fwrite(s, 1, strlen(s), f) == strlen(s) ? 0 : EOF;
}
int fflush(FILE *f) {
  static int (*real)(FILE *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fflush");
  if (!f || f == stderr || !__fpending(f) || !fails(WRITE)) return real(f); // what has nothing to write cannot fail
  spoil(f);
  return EOF;
}
LET_FAIL(WRITE, ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), -1)

int close(int fd) {
  bool bad = fails(CLOSE);
  int rc = (int)syscall(SYS_close, fd);
  if (bad) errno = EIO;
  return bad ? -1 : rc;
}
int fclose(FILE *f) {
  static int (*real)(FILE *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fclose");
  bool bad = fails(CLOSE);
  int rc = real(f);
  if (bad) errno = EIO;
  return bad ? EOF : rc;
}

LET_FAIL(PLACE, int, rename, (const char *from, const char *to), (from, to), -1)
LET_FAIL(PLACE, int, renameat2, (int a, const char *from, int b, const char *to, unsigned flags),
         (a, from, b, to, flags), -1)
LET_FAIL(PLACE, int, fsync, (int fd), (fd), -1)
LET_FAIL(PLACE, int, fchmod, (int fd, mode_t mode), (fd, mode), -1)

LET_FAIL(START, pid_t, fork, (void), (), -1)
LET_FAIL(START, int, pipe, (int fd[2]), (fd), -1)
LET_FAIL(START, int, pthread_create, (pthread_t * thread, const pthread_attr_t *attr, void *(*fn)(void *), void *ud),
         (thread, attr, fn, ud), EAGAIN)
