// progress.c - see progress.h.
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

void progress_bar(const char *what, double share, const char *beside) {
  enum { WIDTH = 30 };
  char bar[WIDTH + 1];
  if (!isatty(STDERR_FILENO)) return;
  for (int i = 0; i < WIDTH; i++) bar[i] = i < share * WIDTH ? '#' : '.';
  bar[WIDTH] = 0;
  fprintf(stderr, "\r%s[%s] %s\033[K", what, bar, beside);
}

void progress_clear(void) {
  if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
}
