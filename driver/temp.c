// temp.c: temporary folders that never stay behind. A signal handler cannot walk folders, so it starts `rm -rf` (fork
// and execve are async-signal-safe), then dies of the signal. The list of folders is the only state the command keeps
// globally, because a signal handler can see nothing else.
#include "driver.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_TEMP = 8, MAX_PATH_BYTES = 1024 };
static char temp_list[MAX_TEMP][MAX_PATH_BYTES];
static volatile sig_atomic_t temp_installed;

static void remove_tree(const char *dir) {
  pid_t pid = fork();
  if (pid == 0) {
    execl("/bin/rm", "rm", "-rf", "--", dir, (char *)NULL);
    _exit(127);
  }
  if (pid > 0)
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
}

static void remove_all(void) {
  for (int i = 0; i < MAX_TEMP; i++)
    if (temp_list[i][0]) {
      remove_tree(temp_list[i]);
      temp_list[i][0] = 0;
    }
}

static void on_signal(int sig) {
  remove_all();
  signal(sig, SIG_DFL);
  raise(sig);
}

void temp_remove(const char *dir) {
  for (int i = 0; i < MAX_TEMP; i++)
    if (!strcmp(temp_list[i], dir)) {
      remove_tree(dir);
      temp_list[i][0] = 0;
    }
}

char *temp_dir(Session *s, const char *beside) {
  const char *tmp = getenv("TMPDIR"), *slash = beside ? strrchr(beside, '/') : NULL;
  char *path = beside ? arena_printf(&s->arena, "%.*s.syc-XXXXXX", slash ? (int)(slash - beside + 1) : 0, beside)
                      : arena_printf(&s->arena, "%s/syc-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  if (!temp_installed) {
    temp_installed = 1;
    atexit(remove_all);
    struct sigaction a = {.sa_handler = on_signal};
    int sigs[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < 4; i++) sigaction(sigs[i], &a, NULL);
  }
  int free_slot = -1;
  for (int i = 0; i < MAX_TEMP && free_slot < 0; i++)
    if (!temp_list[i][0]) free_slot = i;
  if (free_slot < 0 || strlen(path) >= MAX_PATH_BYTES) ICE("temp_dir: no room for %s", path);
  if (!mkdtemp(path)) {
    session_fail(s, EXIT_IO, "cannot make a temporary folder %s: %s", path, strerror(errno));
    return NULL;
  }
  chmod(path, 0755);
  memcpy(temp_list[free_slot], path, strlen(path) + 1);
  return path;
}
