// temp.c: what must not outlive the command, whatever ends it: temporary folders, new files that are not whole yet
// (ir/base/newfile.c), and the compiler that runs for us.
//
// A signal handler may do little: it kills, removes by system calls alone, and dies of the signal. The tables below are
// the only state that the command keeps globally, because a signal handler can see nothing else.
#include "driver.h"
#include "host/face.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_TEMP = 8, MAX_PATH_BYTES = 1024, MAX_DEPTH = 16 };
static struct {
  char path[MAX_PATH_BYTES];
  pid_t owner; // a child of ours does not remove what the parent still needs
} temp_list[MAX_TEMP];
static const char *volatile last_words;
static volatile pid_t running; // the program that runs for us, head of its process group; 0 if none

/* removing, by what a signal handler may call -------------------------------------------------------------------------
 */
static bool remove_folder(int at, const char *name, int depth);

static void remove_entry(int dir, const char *name, int depth) {
  if (!strcmp(name, ".") || !strcmp(name, "..")) return;
  if (unlinkat(dir, name, 0) != 0 && (errno == EISDIR || errno == EPERM)) (void)remove_folder(dir, name, depth + 1);
}

static void empty_folder(int fd, int depth) {
  _Alignas(struct dirent64) char block[2048];
  lseek(fd, 0, SEEK_SET);
  for (ssize_t n; (n = getdents64(fd, block, sizeof block)) > 0;)
    for (ssize_t i = 0; i < n;) {
      const struct dirent64 *e = (const struct dirent64 *)(const void *)(block + i);
      remove_entry(fd, e->d_name, depth);
      i += e->d_reclen;
    }
}

static bool remove_folder(int at, const char *name, int depth) {
  int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  bool gone = false;
  for (int tries = 0; fd >= 0 && !gone && tries < 100; tries++) { // a killed compiler may be at its last file
    if (depth < MAX_DEPTH) empty_folder(fd, depth);
    gone = unlinkat(at, name, AT_REMOVEDIR) == 0;
    if (!gone && errno != ENOTEMPTY) break;
  }
  if (fd >= 0) close(fd);
  return gone;
}

static void remove_all(void) {
  for (int i = 0; i < MAX_TEMP; i++)
    if (temp_list[i].path[0] && temp_list[i].owner == getpid()) {
      (void)remove_folder(AT_FDCWD, temp_list[i].path, 0);
      temp_list[i].path[0] = 0;
    }
}

static void leave(int sig) {
  pid_t child = running;
  if (child > 0 && (kill(-child, SIGKILL) == 0 || kill(child, sig) == 0)) // a program of the user's has no group
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
  new_files_unlink();
  remove_all();
}

static void leave_cut_short(void) {
  leave(SIGTERM);
}

void temp_say(const char *text) {
  last_words = text;
}

static void on_signal(int sig) {
  leave(sig);
  if (last_words && write(STDERR_FILENO, last_words, strlen(last_words)) < 0) last_words = NULL;
  signal(sig, SIG_DFL);
  raise(sig);
}

void temp_guard(void) {
  static const int sigs[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT, SIGXCPU};
  atexit(remove_all);
  atexit(new_files_unlink);
  face_guard_files("syc", leave_cut_short); // a checkpoint that is cut short while it is read
  for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++) {
    struct sigaction old, a = {.sa_handler = on_signal};
    sigfillset(&a.sa_mask);
    if (sigaction(sigs[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) sigaction(sigs[i], &a, NULL); // nohup stays
  }
}

/* folders -------------------------------------------------------------------------------------------------------------
 */
void temp_remove(const char *dir) {
  for (int i = 0; i < MAX_TEMP; i++)
    if (!strcmp(temp_list[i].path, dir) && remove_folder(AT_FDCWD, dir, 0)) temp_list[i].path[0] = 0; // else at exit
}

// Others must not be able to put a folder of theirs in the place of ours.
static const char *temp_place(Session *s) {
  const char *tmp = getenv("TMPDIR");
  struct stat st;
  if (!tmp || !*tmp) tmp = "/tmp";
  if (stat(tmp, &st) == 0 && (st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX)) {
    session_fail(s, EXIT_IO,
                 "no temporary folder in %s: everybody can rename and remove files there (TMPDIR names another place)",
                 tmp);
    return NULL;
  }
  return tmp;
}

static char *make_folder(Session *s, int slot, char *path) {
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before); // no folder that the handler does not know
  bool ok = mkdtemp(path) != NULL;
  int why = errno;
  if (ok) memcpy(temp_list[slot].path, path, strlen(path) + 1);
  sigprocmask(SIG_SETMASK, &before, NULL);
  if (ok) return path;
  session_fail(s, EXIT_IO, "cannot make a temporary folder %s: %s", path, strerror(why));
  return NULL;
}

char *temp_dir(Session *s, const char *beside) {
  const char *place = beside ? "" : temp_place(s), *slash = beside ? strrchr(beside, '/') : NULL;
  if (!place) return NULL;
  char *path = beside ? arena_printf(&s->arena, "%.*s.syc-XXXXXX", slash ? (int)(slash - beside + 1) : 0, beside)
                      : arena_printf(&s->arena, "%s/syc-XXXXXX", place);
  int slot = -1;
  for (int i = 0; i < MAX_TEMP && slot < 0; i++)
    if (!temp_list[i].path[0]) slot = i;
  if (slot < 0) ICE("temp_dir: no room for %s", path);
  if (strlen(path) >= MAX_PATH_BYTES) {
    session_fail(s, EXIT_IO, "cannot make a temporary folder %s: %s", path, strerror(ENAMETOOLONG));
    return NULL;
  }
  temp_list[slot].owner = getpid();
  return make_folder(s, slot, path);
}

/* programs ------------------------------------------------------------------------------------------------------------
 */
typedef struct Spawn {
  const char *const *argv;
  const char *stdout_file, *dir; // or NULL
  bool apart;                    // in a group of its own, which a signal to us ends as a whole
} Spawn;

static void become(const Spawn *p, const sigset_t *mask) {
  if (p->apart) setpgid(0, 0);
  if (p->apart) prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGXFSZ, SIG_DFL);
  if (p->dir && setenv("TMPDIR", p->dir, 1) != 0) _exit(127); // what it leaves lying about lies in our folder
  sigprocmask(SIG_SETMASK, mask, NULL);
  if (p->stdout_file) {
    int fd = open(p->stdout_file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0) _exit(127);
  }
  execvp(p->argv[0], (char *const *)(uintptr_t)p->argv);
  _exit(127);
}

static int spawn(const Spawn *p) {
  sigset_t all, before;
  sigfillset(&all);
  fflush(NULL);
  sigprocmask(SIG_SETMASK, &all, &before); // no program that the handler does not know
  pid_t pid = fork();
  if (pid == 0) become(p, &before);
  if (pid > 0 && p->apart) setpgid(pid, pid);
  running = pid > 0 ? pid : 0;
  sigprocmask(SIG_SETMASK, &before, NULL);
  int status = 0;
  while (pid > 0 && waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) pid = -1;
  running = 0;
  if (pid < 0) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int temp_spawn(const char *const *argv, const char *stdout_file, const char *dir) {
  return spawn(&(Spawn){argv, stdout_file, dir, true});
}

int temp_run(const char *const *argv) {
  return spawn(&(Spawn){argv, NULL, NULL, false});
}
