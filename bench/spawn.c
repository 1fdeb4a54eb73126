// Cold start of a command: wall time from the start of its process to the last byte it wrote on standard output
// (its answer), and its peak memory.    spawn COMMAND ARGUMENT...    prints one JSON line.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  int ends[2], status;
  if (argc < 2) return fprintf(stderr, "usage: spawn COMMAND ARGUMENT...\n"), 2;
  if (pipe(ends)) return perror("pipe"), 1;
  double begin = now_ms(), answer = begin;
  pid_t child = fork();
  if (child < 0) return perror("fork"), 1;
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    _exit(127);
  }
  close(ends[1]);
  char buffer[1 << 16];
  while (read(ends[0], buffer, sizeof buffer) > 0) answer = now_ms();
  struct rusage usage;
  if (wait4(child, &status, 0, &usage) < 0) return perror("wait4"), 1;
  if (!WIFEXITED(status) || WEXITSTATUS(status)) return fprintf(stderr, "spawn: %s failed\n", argv[1]), 1;
  if (answer == begin) answer = now_ms(); // no output: until the end of the process
  printf("{\"cold_ms\": %.3f, \"exit_ms\": %.3f, \"peak_rss_kb\": %ld}\n", answer - begin, now_ms() - begin,
         usage.ru_maxrss);
  return 0;
}
