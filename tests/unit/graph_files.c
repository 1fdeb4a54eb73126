// graph_files.c: the graphs of tests/graphs through the whole compiler, every target in the interpreter against the
// reference evaluator, with the least, some and the most of every run-time dim. They are the shapes that fusion
// encoders bring: segments behind run-time segments, masks by position and by modality, gathers, reshapes of padded
// rows, concats that are outputs.
#include "program_check.h"

#include <dirent.h>

#ifndef SY_SOURCE_DIR
#define SY_SOURCE_DIR "."
#endif

static void check_graph(const char *path, const int64_t *want_dims, int ids, const char *what) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  size_t n;
  const char *err = "";
  char *text = file_read(&a, path, &n, &err);
  cr_assert(text, "%s: %s", path, err);
  Module *m = module_parse(&a, &names, &d, text, n, diag_add_file(&d, path, text, n));
  Buf why = {0};
  diag_print(&d, &why, false);
  cr_assert(m, "%s", why.s ? why.s : path);
  buf_free(&why);
  int64_t dims[MAX_DIMS] = {0};
  for (size_t i = 0; i < m->ndim; i++) {
    int64_t v = want_dims[i < 3 ? i : 2];
    dims[i] = v < m->dim[i].lo ? m->dim[i].lo : v > m->dim[i].hi ? m->dim[i].hi : v;
  }
  Want *want = ARENA_ARRAY(&a, Want, m->graph.n);
  for (size_t r = 0; r < m->graph.n; r++) reference(&a, m->graph.at[r], dims, ids, &want[r]);
  Program *p = lower_all(m);
  char *data = pack_all(p, &a);
  for (size_t r = 0; r < p->route.n; r++)
    for (size_t t = 0; t < p->ntarget; t++) compare(p, r, t, data, dims, &want[r], what, 2e-5);
  arena_free(&a);
}

Test(graphs, files, .timeout = 280) {
  static const int64_t dims[][3] = {{1, 1, 1}, {3, 3, 2}, {2, 17, 5}, {1, 1 << 20, 1 << 20}};
  const char *dir = SY_SOURCE_DIR "/tests/graphs";
  struct dirent **entry;
  int n = scandir(dir, &entry, NULL, alphasort), files = 0;
  for (int i = 0; i < n; i++) {
    size_t len = strlen(entry[i]->d_name);
    if (len > 3 && !strcmp(entry[i]->d_name + len - 3, ".ir")) {
      char path[512], what[600];
      snprintf(path, sizeof path, "%s/%s", dir, entry[i]->d_name);
      for (size_t k = 0; k < sizeof dims / sizeof *dims; k++) {
        snprintf(what, sizeof what, "%s, dims %zu", entry[i]->d_name, k);
        check_graph(path, dims[k], k ? 3 : 1, what);
      }
      files++;
    }
    free(entry[i]);
  }
  free(entry);
  cr_assert(files >= 15, "only %d files under %s", files, dir);
}
