// guard.c - a mapped file that is cut short while it is in use, said in one line instead of a SIGBUS without a word.
//
// The handler does only what a handler may: it reads /proc/self/maps, writes and leaves. A SIGBUS that has another
// cause takes its usual course. Only a program's own main installs it, never a library.
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "face.h"

#include "common/text.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 4400 }; // numbers and a path

static const char *program; // of argv: what the message begins with
static void (*cleans_up)(void);

static uintptr_t hex(const char **s) {
  uintptr_t v = 0;
  for (;; ++*s) {
    char c = **s;
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return v;
    v = v << 4 | (uintptr_t)digit;
  }
}

// The path of a line "FROM-TO PERMS OFFSET DEVICE INODE   PATH" if `at` lies in it and a file is mapped there.
static const char *path_in(const char *line, uintptr_t at) {
  uintptr_t from = hex(&line);
  if (*line++ != '-') return NULL;
  uintptr_t to = hex(&line);
  return at >= from && at < to ? strchr(line, '/') : NULL;
}

static const char *mapped_at(uintptr_t at, char line[LINE]) {
  int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  const char *path = NULL;
  char block[512];
  size_t n = 0;
  for (ssize_t got = 1; fd >= 0 && !path && got > 0;) {
    got = read(fd, block, sizeof block);
    for (ssize_t i = 0; i < got && !path; i++) {
      line[n] = block[i] == '\n' ? '\0' : block[i];
      if (block[i] != '\n' && n + 2 < LINE) n++;
      if (block[i] != '\n') continue;
      path = path_in(line, at);
      n = 0;
    }
  }
  if (fd >= 0) close(fd);
  return path;
}

static void put(void *ud, const char *s, size_t n) { // a TextSink
  (void)ud;
  while (n) {
    ssize_t done = write(STDERR_FILENO, s, n);
    if (done <= 0) return;
    s += done;
    n -= (size_t)done;
  }
}

static void say(const char *s) {
  text_escape(s, strlen(s), put, NULL);
}

static void on_bus_error(int sig, siginfo_t *info, void *context) {
  char line[LINE];
  (void)context;
  const char *path = mapped_at((uintptr_t)info->si_addr, line);
  if (!path) { // returning runs the same instruction again, this time without us
    signal(sig, SIG_DFL);
    return;
  }
  say(program);
  say(": ");
  say(path);
  say(": cut short or unreadable while in use; a file in use is replaced by renaming another one over it");
  put(NULL, "\n", 1);
  if (cleans_up) cleans_up();
  _exit(FACE_IO);
}

void face_guard_files(const char *name, void (*leave)(void)) {
  struct sigaction act = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
  const char *slash = strrchr(name, '/');
  program = slash ? slash + 1 : name;
  cleans_up = leave;
  sigemptyset(&act.sa_mask);
  sigaction(SIGBUS, &act, NULL);
}
