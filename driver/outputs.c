// outputs.c: files that a command makes. They are written under other names first and take their places together when
// all of them are whole: a mistake in the last of them leaves the old ones as they were.
#include "driver.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Outputs {
  VEC(NewFile *) file; // in the arena
  VEC(const char *) dir;
} Outputs;

static Outputs *all(Session *s) {
  if (!s->outputs) s->outputs = ARENA_NEW(&s->arena, Outputs);
  return s->outputs;
}

static bool fail(Session *s, const char *path, int why) {
  session_fail(s, EXIT_IO, "cannot write %s: %s", !strcmp(path, "-") ? "standard output" : path, strerror(why));
  return false;
}

// Is it one of the files that were read? What it is made of would be gone.
static bool is_input(Session *s, const char *path) {
  struct stat out, in;
  const StrList *lists[] = {&s->deps, &s->opt.weights};
  if (stat(path, &out) != 0 || !S_ISREG(out.st_mode)) return false;
  for (size_t k = 0; k < 2; k++)
    for (size_t i = 0; i < lists[k]->n; i++)
      if (stat(lists[k]->at[i], &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino) return true;
  return false;
}

bool output_open(Session *s, NewFile *out, const char *path) {
  if (is_input(s, path)) {
    session_fail(s, EXIT_USAGE, "%s is read here and would be overwritten: name another file with -o", path);
    return false;
  }
  return new_file_open(out, path) || fail(s, path, errno);
}

NewFile *output_file(Session *s, const char *path) {
  NewFile *f = ARENA_NEW(&s->arena, NewFile);
  if (!output_open(s, f, path)) return NULL;
  VEC_PUSH(&s->arena, all(s)->file, f);
  return f;
}

bool output_text(Session *s, const char *path, const Buf *b) {
  FILE *f = stdout;
  NewFile *out = NULL;
  if (strcmp(path, "-") != 0) {
    if (!(out = output_file(s, path))) return false;
    f = out->f;
  }
  bool ok = (!b->n || fwrite(b->s, 1, b->n, f) == b->n) && fflush(f) == 0;
  return (ok && (!out || new_file_close(out, NEW_FILE_FAST))) || fail(s, path, errno);
}

bool output_made(Session *s, Made *made) {
  NewFile *f = ARENA_NEW(&s->arena, NewFile);
  *f = made->file;
  VEC_PUSH(&s->arena, all(s)->file, f);
  VEC_PUSH(&s->arena, all(s)->dir, made->dir);
  *made = (Made){0};
  return true;
}

bool outputs_put(Session *s) {
  size_t failed = 0;
  Outputs *o = all(s);
  return new_files_put(o->file.at, o->file.n, &failed) || fail(s, o->file.at[failed]->path, errno);
}

void outputs_drop(Session *s) {
  Outputs *o = all(s);
  for (size_t i = 0; i < o->file.n; i++) new_file_drop(o->file.at[i]);
  for (size_t i = 0; i < o->dir.n; i++) temp_remove(o->dir.at[i]);
  o->file.n = o->dir.n = 0;
}
