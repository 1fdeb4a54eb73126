// passes.c: runs the files of tests/passes. A file is graph IR with directives in comments:
//   # RUN: sink fold        passes to run, in this order
//   # COUNT: slice 2        operations of that name left, over all routes
//   # HAS: TEXT             the printed result contains TEXT
//   # NOT: TEXT             it does not
// Every rule has a file where it fires and one where it must not (the negative twin ends in _not.ir).
#include "ir/graph.h"
#include "passes/pass.h"
#include "passes/place.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#ifndef SY_SOURCE_DIR
#define SY_SOURCE_DIR "."
#endif

static const Pass *pass_named(const char *name) {
  for (size_t i = 0; i < pass_count; i++)
    if (!strcmp(pass_list[i].name, name)) return &pass_list[i];
  return NULL;
}

static size_t count_op(const Module *m, const char *name) {
  size_t n = 0;
  for (size_t i = 0; i < m->graph.n; i++)
    for (size_t v = 1; v < m->graph.at[i]->value.n; v++) {
      const Value *x = &m->graph.at[i]->value.at[v];
      n += !x->dead && !strcmp(op_info[x->op].name, name);
    }
  return n;
}

static void run_passes(Module *m, char *names, const char *file) {
  PassOptions o = {.verify = true};
  Arena scratch = {0};
  for (char *p = strtok(names, " "); p; p = strtok(NULL, " ")) {
    const Pass *pass = pass_named(p);
    cr_assert(pass, "%s: no pass %s", file, p);
    pass->fn(m, &scratch, &o);
    const char *why = "";
    cr_assert(module_verify(m, &why), "%s: after %s: %s", file, p, why);
    arena_free(&scratch);
  }
}

static void check_directive(const Module *m, const char *printed, char *line, const char *file) {
  char op[64];
  unsigned n;
  if (sscanf(line, "# COUNT: %63s %u", op, &n) == 2) {
    cr_assert(op_by_name(op) != OP_none, "%s: no operator %s", file, op);
    cr_expect(count_op(m, op) == n, "%s: %zu of %s, expected %u\n%s", file, count_op(m, op), op, n, printed);
  } else if (!strncmp(line, "# HAS: ", 7)) {
    cr_expect(strstr(printed, line + 7), "%s: lacks '%s'\n%s", file, line + 7, printed);
  } else if (!strncmp(line, "# NOT: ", 7)) {
    cr_expect(!strstr(printed, line + 7), "%s: has '%s'\n%s", file, line + 7, printed);
  }
}

static void run_file(const char *path) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  size_t n;
  const char *err = "";
  char *text = file_read(&a, path, &n, &err);
  cr_assert(text, "%s: %s", path, err);
  Module *m = module_parse(&a, &names, &d, text, n, diag_add_file(&d, path, text, n));
  Buf out = {0};
  diag_print(&d, &out, false);
  cr_assert(m, "%s", out.s ? out.s : path);
  buf_free(&out);
  char *copy = arena_strdup(&a, text), *rest = copy;
  size_t directives = 0;
  for (char *line; (line = strsep(&rest, "\n"));) {
    if (!strncmp(line, "# RUN: ", 7)) {
      run_passes(m, line + 7, path);
      module_print(m, &out);
    } else {
      check_directive(m, out.s ? out.s : "", line, path);
      directives += !strncmp(line, "# COUNT", 7) || !strncmp(line, "# HAS", 5) || !strncmp(line, "# NOT", 5);
    }
  }
  cr_expect(out.s && directives, "%s: nothing was run or asserted", path);
  buf_free(&out);
  arena_free(&a);
}

Test(passes, files) {
  const char *dir = SY_SOURCE_DIR "/tests/passes";
  struct dirent **entry;
  int n = scandir(dir, &entry, NULL, alphasort);
  int files = 0;
  for (int i = 0; i < n; i++) {
    size_t len = strlen(entry[i]->d_name);
    if (len > 3 && !strcmp(entry[i]->d_name + len - 3, ".ir")) {
      char path[512];
      snprintf(path, sizeof path, "%s/%s", dir, entry[i]->d_name);
      run_file(path);
      files++;
    }
    free(entry[i]);
  }
  free(entry);
  cr_assert(files >= 20, "only %d files under %s", files, dir);
}

// The checker of places must see an overlap: two tensors that live together are put on one another by hand.
Test(passes, overlap_is_seen) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  Module *m = module_new(&a, &names, &d, "m");
  Graph *g = graph_new(m, "r");
  Type t = {.dtype = DT_F32, .rank = 2, .dim = {DIM(4), DIM(32)}};
  Val x = graph_input(g, "x", &t, NO_SPAN);
  Val p = graph_add(g, OP_softmax, &x, 1, NULL, 0, NO_SPAN);
  Val q = graph_add(g, OP_log_softmax, &x, 1, NULL, 0, NO_SPAN);
  Val y = graph_add(g, OP_add, (Val[]){p, q}, 2, NULL, 0, NO_SPAN);
  graph_output(g, "y", graph_add(g, OP_softmax, &y, 1, NULL, 0, NO_SPAN), NO_SPAN);
  PassOptions o = {.verify = true};
  cr_assert(passes_run(m, &o));
  Val u, v;
  cr_assert(place_check(g, &u, &v));
  LiveList live = place_live(g, &a);
  cr_assert(place_arena_bytes(g, &live) >= place_lower_bound(&live));
  for (size_t i = 0; i < live.n; i++) {
    Value *w = graph_value(g, live.at[i].val);
    if (w->place.kind == PLACE_ARENA) w->place.offset = 0;
  }
  cr_expect(!place_check(g, &u, &v), "everything lies at offset 0 and no overlap was found");
  arena_free(&a);
}
