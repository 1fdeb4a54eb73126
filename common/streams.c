// streams.c - see streams.h.
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void streams_occupy(void) {
  for (int fd = 0; fd < 3; fd++)
    if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY);
}

bool streams_written(void) {
  errno = 0;
  bool failed = ferror(stdout) != 0; // an earlier write, of which only this is known
  if (fflush(stdout) != 0) failed = true;
  if (failed && !errno) errno = EIO;
  return !failed;
}
