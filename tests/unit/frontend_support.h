// frontend_support.h: pages of this project and texts through the .sy front end, for its tests.
#ifndef SY_FRONTEND_SUPPORT_H
#define SY_FRONTEND_SUPPORT_H

#include "frontend/frontend.h"

#include <criterion/criterion.h>
#include <string.h>

#ifndef SY_SOURCE_DIR
#define SY_SOURCE_DIR "."
#endif

typedef struct Session {
  Arena arena;
  Intern names;
  Diag diag;
} Session;

static inline void session_open(Session *s) {
  memset(s, 0, sizeof *s);
  s->names.arena = &s->arena;
  diag_init(&s->diag, &s->arena);
}

static inline void session_close(Session *s) {
  arena_free(&s->arena);
}

static inline char *read_source(Arena *a, const char *path, size_t *n) {
  const char *err = NULL;
  char *text = file_read(a, arena_printf(a, "%s/%s", SY_SOURCE_DIR, path), n, &err);
  cr_assert(text, "%s: %s", path, err);
  return text;
}

static inline const char *find_model(void *ud, const char *name, size_t *n, const char **path) {
  Arena *a = ud;
  const char *err;
  (void)path;
  return file_read(a, arena_printf(a, "%s/models/%s.sy", SY_SOURCE_DIR, name), n, &err);
}

static inline Module *compile(Session *s, const char *path, const char *text, size_t n, FrontOptions o) {
  o.find = find_model;
  o.ud = &s->arena;
  return front_compile(&s->arena, &s->names, &s->diag, path, text, n, &o);
}

static inline Module *compile_file(Session *s, const char *path, FrontOptions o) {
  size_t n;
  char *text = read_source(&s->arena, path, &n);
  return compile(s, path, text, n, o);
}

static inline const char *report(Session *s) {
  Buf b = {0};
  diag_print(&s->diag, &b, false);
  const char *t = arena_strdup(&s->arena, b.s ? b.s : "");
  buf_free(&b);
  return t;
}

static inline void check_valid(Session *s, Module *m, const char *what) {
  const char *why = NULL;
  cr_assert(m, "%s:\n%s", what, report(s));
  cr_assert(module_verify(m, &why), "%s: %s", what, why);
}

#endif
