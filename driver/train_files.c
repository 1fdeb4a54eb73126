// train_files.c: the folder of a run of `syc train`. One run at a time has it; run.txt says what decides the bits of
// the run, so that nobody goes on with another one by mistake; checkpoints take their place whole or not at all
// (trainer.c).
#include "train.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char *train_path(Session *s, const TrainFolder *f, const char *name) {
  return arena_printf(&s->arena, "%s/%s", f->dir, name);
}

static bool refuse(TrainFolder *f, const char *what) {
  return session_fail(f->s, EXIT_IO, "%s: %s", f->dir, what), false;
}

// The first line in which two texts differ, of each.
static void first_difference(Arena *a, const char *x, const char *y, const char **of_x, const char **of_y) {
  for (;;) {
    size_t n = strcspn(x, "\n"), m = strcspn(y, "\n");
    if (n != m || strncmp(x, y, n) != 0 || !x[n] || !y[m]) {
      *of_x = arena_strndup(a, x, n), *of_y = arena_strndup(a, y, m);
      return;
    }
    x += n + 1, y += m + 1;
  }
}

static bool same_run(TrainFolder *f, const Buf *about) {
  size_t n;
  const char *err, *was, *is, *path = train_path(f->s, f, "run.txt");
  char *text = file_read(&f->s->arena, path, &n, &err);
  if (!text) return refuse(f, arena_printf(&f->s->arena, "run.txt: %s", err));
  if (!strcmp(text, about->s)) return true;
  first_difference(&f->s->arena, text, about->s, &was, &is);
  return session_fail(f->s, EXIT_USAGE, "%s has another run: '%s' there, '%s' here", f->dir, was, is), false;
}

// Files that a killed run was writing: nobody else is at work here, and they may be as large as a checkpoint.
static void remove_unfinished(const TrainFolder *f) {
  DIR *d = opendir(f->dir);
  const struct dirent *e;
  while (d && (e = readdir(d)))
    if (!strncmp(e->d_name, ".new-", 5)) (void)unlinkat(dirfd(d), e->d_name, 0);
  if (d) closedir(d);
}

bool train_folder_open(TrainFolder *f, const Buf *about) {
  const char *last = train_path(f->s, f, "last.safetensors"), *run = train_path(f->s, f, "run.txt"), *err;
  struct stat st;
  if (f->s->opt.go_on && stat(run, &st)) return refuse(f, "there is no run to go on with (it has no run.txt)");
  if (mkdir(f->dir, 0777) && errno != EEXIST) return refuse(f, strerror(errno));
  f->lock = open(train_path(f->s, f, "lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (f->lock < 0) return refuse(f, strerror(errno));
  if (flock(f->lock, LOCK_EX | LOCK_NB)) return refuse(f, "another syc train is at work in this folder");
  remove_unfinished(f);
  f->goes_on = !stat(last, &st);
  if (f->goes_on && !f->s->opt.go_on)
    return session_fail(f->s, EXIT_USAGE, "%s has a run already: --resume goes on with it, another -o begins a new one",
                        f->dir),
           false;
  if (f->goes_on) return same_run(f, about);
  if (f->s->opt.go_on) session_note(f->s, "syc: note: %s has no checkpoint yet; the run begins anew", f->dir);
  return file_write(run, about->s, about->n, &err) || refuse(f, err);
}

void train_folder_close(TrainFolder *f) {
  if (f->lock > 0) close(f->lock);
  f->lock = 0;
}
