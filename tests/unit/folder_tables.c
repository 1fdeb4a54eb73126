// folder_tables.c: the tables of published folders (models/NAME.config) and the pages beside them agree: every model,
// route, parameter and set of names that a table names is in its page, and every line is one of those that are known.
#include "frontend/frontend.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <string.h>

#ifndef SY_SOURCE_DIR
#define SY_SOURCE_DIR "."
#endif

typedef struct Page {
  Arena arena;
  Intern names;
  Diag diag;
  const FrontListing *list;
  const char *text;
} Page;

static void open_page(Page *p, const char *config) {
  const char *err = "";
  size_t n = 0;
  *p = (Page){0};
  p->names.arena = &p->arena;
  diag_init(&p->diag, &p->arena);
  const char *path = arena_printf(&p->arena, "%.*s.sy", (int)(strlen(config) - strlen(".config")), config);
  p->text = file_read(&p->arena, path, &n, &err);
  cr_assert(p->text, "%s: %s", path, err);
  p->list = front_list(&p->arena, &p->names, &p->diag, path, p->text, n);
  cr_assert(p->list, "%s has mistakes", path);
}

static const FrontModel *find_model(const Page *p, const char *name) {
  for (size_t i = 0; i < p->list->nmodel; i++)
    if (!strcmp(p->list->model[i].name, name)) return &p->list->model[i];
  return NULL;
}

static bool has_param(const Page *p, const char *name, size_t n) {
  for (size_t i = 0; i < p->list->nmodel; i++)
    for (size_t k = 0; k < p->list->model[i].nparam; k++)
      if (strlen(p->list->model[i].param[k].name) == n && !memcmp(p->list->model[i].param[k].name, name, n))
        return true;
  return false;
}

// A route, or a generate, which the listing does not have.
static bool has_route(Page *p, const FrontModel *m, const char *name) {
  for (size_t i = 0; i < m->nroute; i++)
    if (!strcmp(m->route[i].name, name)) return true;
  return strstr(p->text, arena_printf(&p->arena, "generate %s(", name)) != NULL;
}

static void check_class(Page *p, const char *where, char *rest) {
  char *save = NULL;
  (void)strtok_r(rest, " ", &save);
  const char *model = strtok_r(NULL, " ", &save);
  char *routes = strtok_r(NULL, " ", &save);
  const FrontModel *m = model ? find_model(p, model) : NULL;
  cr_assert(m && routes, "%s: no such model", where);
  for (char *in = NULL, *r = strtok_r(routes, ",", &in); r; r = strtok_r(NULL, ",", &in))
    cr_expect(has_route(p, m, r), "%s: no route %s", where, r);
}

static void check_line(Page *p, const char *where, char *line) {
  static const char *const verbs[] = {"type",    "under", "class",        "pictures", "wordpiece",
                                      "section", "merge", "set",          "also",     "resized",
                                      "must",    "free",  "architecture", "empty",    "picture"};
  size_t n = strcspn(line, " ");
  char *rest = line + n + (line[n] == ' ');
  bool known = false;
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    known = known || (strlen(verbs[i]) == n && !memcmp(verbs[i], line, n));
  cr_assert(known, "%s: no such line", where);
  size_t word = strcspn(rest, " ");
  if (!memcmp(line, "set ", 4) || !memcmp(line, "also ", 5) || !memcmp(line, "empty ", 6) ||
      !memcmp(line, "resized ", 8))
    cr_expect(has_param(p, rest, word), "%s: no such parameter", where);
  if (!memcmp(line, "set ", 4) || !memcmp(line, "also ", 5))
    cr_expect(!memcmp(rest + word, " = ", 3), "%s: no =", where);
  if (!memcmp(line, "must ", 5))
    cr_expect(strstr(rest, " : ") && strstr(rest, " { ") && strstr(rest, " }"), "%s: form", where);
  if (!memcmp(line, "class ", 6)) check_class(p, where, rest);
  if (!memcmp(line, "wordpiece ", 10))
    cr_expect(find_model(p, arena_strndup(&p->arena, rest, word)), "%s: no model", where);
  if (!memcmp(line, "under ", 6))
    cr_expect(strstr(p->text, arena_printf(&p->arena, "rename %s", rest)), "%s: no set", where);
  if (n == 12 && !memcmp(line, "architecture", n))
    for (const char *at = rest + word; (at = strchr(at, ' ')); at++)
      cr_expect(has_param(p, at + 1, strcspn(at + 1, "=")), "%s: no parameter %s", where, at + 1);
}

Test(folder_tables, pages_have_what_tables_name) {
  glob_t g;
  cr_assert(glob(SY_SOURCE_DIR "/models/*.config", 0, NULL, &g) == 0);
  size_t lines = 0;
  for (size_t i = 0; i < g.gl_pathc; i++) {
    const char *err = "";
    Page p;
    if (strstr(g.gl_pathv[i], "/huggingface.config")) continue; // of all types
    open_page(&p, g.gl_pathv[i]);
    size_t n = 0, number = 0;
    char *text = file_read(&p.arena, g.gl_pathv[i], &n, &err);
    cr_assert(text, "%s", err);
    for (char *line = text, *end; line && *line; line = end ? end + 1 : NULL) {
      number++;
      if ((end = strchr(line, '\n'))) *end = 0;
      if (!*line || *line == '#') continue;
      check_line(&p, arena_printf(&p.arena, "%s:%zu", g.gl_pathv[i], number), line);
      lines++;
    }
    arena_free(&p.arena);
  }
  cr_expect(g.gl_pathc >= 8 && lines >= 150, "%zu tables, %zu lines", g.gl_pathc, lines);
  globfree(&g);
}
