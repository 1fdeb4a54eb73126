// ranks.c: see ranks.h (mpi/sympi.c is the library).
#include "ranks.h"

#include "common/text.h"
#include "mpi/sympi.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* the library
 * ---------------------------------------------------------------------------------------------------------------- */

// dlsym gives an object pointer.
static void *function(Ranks *r, const char *name) {
  return dlsym(r->library, name);
}

static bool fail(Ranks *r, int code, const char *what) {
  session_fail(r->s, code, "%s", what);
  return false;
}

static bool connect_all(Ranks *r, unsigned size) {
  Session *s = r->s;
  const char *dir = cc_runtime_dir(s, "lib");
  const char *path = dir ? arena_printf(&s->arena, "%s/libsympi.so", dir) : NULL;
  if (!path) return false;
  if (access(path, R_OK) != 0)
    return fail(r, EXIT_USAGE,
                arena_printf(&s->arena,
                             "%u processes were started together, and this syc was built without MPI (install "
                             "libopenmpi-dev or libmpich-dev and build it again)",
                             size));
  unsigned (*version)(void) = NULL;
  const char *(*open)(sy_comm *) = NULL, *(*name)(void) = NULL;
  r->library = dlopen(path, RTLD_NOW | RTLD_GLOBAL); // what Open MPI loads itself looks for Open MPI
  if (!r->library) return fail(r, EXIT_IO, dlerror());
  *(void **)&version = function(r, "sympi_version");
  *(void **)&open = function(r, "sympi_open");
  *(void **)&name = function(r, "sympi_library");
  *(void **)&r->close_library = function(r, "sympi_close");
  if (!version || !open || !name || !r->close_library || version() != SYMPI_VERSION)
    return fail(r, EXIT_IO, arena_printf(&s->arena, "%s is of another version of syc", path));
  const char *err = open(&r->comm);
  if (err) {
    r->close_library = NULL;
    return fail(r, EXIT_IO, arena_printf(&s->arena, "%s: %s", name(), err));
  }
  if (r->comm.size == size) return true;
  return fail(r, EXIT_USAGE,
              arena_printf(&s->arena,
                           "%u processes were started together, and %s of this syc finds %u: they were started by the "
                           "mpirun of another MPI",
                           size, name(), r->comm.size));
}

bool ranks_open(Session *s, Ranks *r) {
  Launch l = launch_of_environment();
  *r = (Ranks){.s = s, .comm = {.rank = 0, .size = 1}, .launch = l};
  if (l.size < 2) return true;
  r->comm.rank = l.rank; // for ranks_status, should it fail
  if (l.rank) s->instead = &r->held, s->opt.quiet = true;
  return connect_all(r, l.size);
}

void ranks_close(Ranks *r) {
  if (r->close_library) r->close_library();
  r->s->instead = NULL; // the library stays: MPI does not like to be unloaded
  buf_free(&r->held);
  buf_free(&r->own_notes);
  arena_free(&r->notes);
}

int ranks_status(Ranks *r, int code) {
  if (r->comm.rank) r->s->exit_code = EXIT_OK;
  return r->comm.rank ? EXIT_OK : code;
}

/* agreements
 * ----------------------------------------------------------------------------------------------------------------- */

typedef struct Word {
  int32_t code;          // 0: it goes on
  uint32_t error, notes; // bytes of what it would have printed
} Word;

static bool unreachable(Ranks *r) {
  r->s->instead = NULL; // who is left says it
  session_fail(r->s, EXIT_IO, "process %u of %u: another process cannot be reached", r->comm.rank, r->comm.size);
  return false;
}

bool ranks_gather(Ranks *r, const void *own, size_t bytes, void *all) {
  if (r->comm.size == 1) return memcpy(all, own, bytes), true;
  return !r->comm.gather(r->comm.ud, own, bytes, all) || unreachable(r);
}

bool ranks_tell(Ranks *r, void *x, size_t bytes) {
  char *all = malloc(bytes * r->comm.size);
  if (!all) ICE("no memory for messages");
  bool ok = ranks_gather(r, x, bytes, all);
  if (ok) memcpy(x, all, bytes);
  free(all);
  return ok;
}

// A text of each process, `bytes` long, by rank; malloc'd. NULL after reporting.
static char *gather_text(Ranks *r, Buf *own, size_t bytes) {
  char *all = malloc(bytes * r->comm.size), *mine = calloc(bytes, 1);
  if (!all || !mine) ICE("no memory for messages");
  if (own->n) memcpy(mine, own->s, own->n);
  bool ok = ranks_gather(r, mine, bytes, all);
  free(mine);
  buf_free(own);
  if (!ok) free(all);
  return ok ? all : NULL;
}

// The error of the first process that has one, if it is not this one: it is that of all, or there is no other.
static bool say_error(Ranks *r, size_t bytes, bool have) {
  char *all = gather_text(r, &r->held, bytes), *save = NULL;
  for (unsigned i = 1; all && !have && !r->comm.rank && i < r->comm.size; i++) {
    char *line = strtok_r(all + i * bytes, "\n", &save);
    for (have = line != NULL; line; line = strtok_r(NULL, "\n", &save)) text_line(stderr, "process %u: %s", i, line);
  }
  free(all);
  return all != NULL;
}

// Remembers a note; says it, if it is new.
static void say_note(Ranks *r, const char *line) {
  for (size_t i = 0; i < r->note.n; i++)
    if (!strcmp(r->note.at[i], line)) return;
  VEC_PUSH(&r->notes, r->note, arena_strdup(&r->notes, line));
  if (!r->s->opt.quiet) text_line(stderr, "%s", line);
}

static bool say_notes(Ranks *r, size_t bytes) {
  char *all = gather_text(r, &r->own_notes, bytes), *save = NULL;
  for (unsigned i = 1; all && !r->comm.rank && i < r->comm.size; i++)
    for (char *line = strtok_r(all + i * bytes, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
      say_note(r, line);
  free(all);
  return all != NULL;
}

static uint32_t larger(uint32_t a, uint32_t b) {
  return a > b ? a : b;
}

bool ranks_agree(Ranks *r, bool ok) {
  if (r->comm.size == 1) return ok;
  int code = r->s->exit_code ? r->s->exit_code : EXIT_WRONG, worst = 0;
  Word own = {ok ? 0 : code, (uint32_t)r->held.n, (uint32_t)r->own_notes.n}, *all = malloc(r->comm.size * sizeof *all);
  if (!all) ICE("no memory for messages");
  bool good = ranks_gather(r, &own, sizeof own, all);
  uint32_t error = 0, notes = 0;
  for (unsigned i = 0; good && i < r->comm.size; i++) {
    error = larger(error, all[i].error), notes = larger(notes, all[i].notes);
    if (all[i].code > worst) worst = all[i].code;
  }
  bool first_failed = good && all[0].code;
  free(all);
  if (good && notes) good = say_notes(r, (size_t)notes + 1);
  if (good && error) good = say_error(r, (size_t)error + 1, first_failed);
  if (!good) return false;
  if (worst && !r->s->exit_code) r->s->exit_code = worst;
  return !worst;
}

void ranks_note(Ranks *r, const char *fmt, ...) {
  Buf line = {0};
  va_list ap;
  va_start(ap, fmt);
  buf_vprintf(&line, fmt, ap);
  va_end(ap);
  if (r->comm.rank)
    buf_printf(&r->own_notes, "%s\n", line.s);
  else
    say_note(r, line.s);
  buf_free(&line);
}
