// import.c: `syc import MODEL.onnx -o PAGE.sy`: an ONNX model as a page and a checkpoint. The page is compiled before
// anything takes its place, and must have the inputs and outputs of the model.
#include "driver.h"
#include "onnx/onnx.h"
#include "weights.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What the file is called, without folder and suffix.
static const char *stem_of(Session *s, const char *path) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
  return arena_strndup(&s->arena, base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}

static const char *word_of(Session *s, const char *stem) {
  char *word = arena_printf(&s->arena, "%s%s", isalpha((unsigned char)*stem) ? "" : "model_", stem);
  for (char *c = word; *c; c++)
    if (!isalnum((unsigned char)*c)) *c = '_';
  return word;
}

static bool write_weights(Session *s, const OnnxPage *page, const char *path) {
  size_t n = page->weight.n;
  StDesc *d = ARENA_ARRAY(&s->arena, StDesc, n + 1);
  StError err;
  for (size_t i = 0; i < n; i++) {
    const OnnxTensor *t = &page->weight.at[i];
    d[i] = (StDesc){.name = t->name, .dtype = kept_dtype(t->dtype), .rank = t->rank};
    memcpy(d[i].shape, t->dim, sizeof t->dim);
  }
  StWriter *w = st_write_begin(path, n, d, &err);
  bool ok = w != NULL;
  for (size_t i = 0; i < n && ok; i++) ok = st_write_data(w, page->weight.at[i].data, page->weight.at[i].bytes, &err);
  if (w && !ok) st_write_abort(w);
  ok = ok && st_write_end(w, &err);
  if (!ok) session_fail(s, EXIT_IO, "%s", err.text);
  return ok;
}

// Does the page compile, to what was read?
static bool page_is_right(Session *s, const OnnxPage *page, const char *path) {
  s->page = (PageText){path, page->text.s, page->text.n};
  Module *m = session_module(s, path, NULL, NULL);
  const Graph *want = page->module->graph.at[0], *got = m && m->graph.n == 1 ? m->graph.at[0] : NULL;
  bool same = got && got->input.n == want->input.n && got->output.n == want->output.n;
  for (size_t i = 0; same && i < want->output.n; i++) {
    const Type *a = &graph_value(got, got->output.at[i].val)->type,
               *b = &graph_value(want, want->output.at[i].val)->type;
    same = a->dtype == b->dtype && a->rank == b->rank;
    for (int k = 0; same && k < a->rank; k++) same = a->dim[k].c == b->dim[k].c && a->dim[k].k == b->dim[k].k;
  }
  if (!same)
    session_fail(s, EXIT_WRONG,
                 "the page that was made of the model does not say what the model does: nothing is written");
  return same;
}

static bool bounds_of(Session *s, OnnxImport *o) {
  size_t n = s->opt.dim.name.n;
  int64_t *most = ARENA_ARRAY(&s->arena, int64_t, n + 1);
  for (size_t i = 0; i < n; i++) {
    const char *text = s->opt.dim.value.at[i];
    char *end;
    most[i] = strtoll(text, &end, 10);
    if (end == text || *end || most[i] < 1 || most[i] > INT32_MAX)
      return session_fail(s, EXIT_USAGE, "--dim %s=%s: must be a number from 1 to %d", s->opt.dim.name.at[i], text,
                          INT32_MAX),
             false;
  }
  o->dim = s->opt.dim.name.at;
  o->most = most;
  o->ndim = n;
  s->opt.dim.name.n = s->opt.dim.value.n = 0; // they are in the page
  return true;
}

static bool import_file(Session *s, const char *file, const char *out, const char *weights) {
  OnnxImport o = {.model = word_of(s, stem_of(s, out))};
  OnnxPage page;
  Buf why = {0}, canonical = {0};
  if (!bounds_of(s, &o)) return false;
  bool ok = onnx_import(&s->arena, &s->names, file, &o, &page, &why);
  if (!ok) session_fail(s, EXIT_WRONG, "%s: %s", file, why.s ? why.s : "it cannot be read");
  buf_free(&why);
  if (!ok) return false;
  ok = page_is_right(s, &page, out);
  Diag d;
  diag_init(&d, &s->arena);
  if (ok && !front_format(page.text.s, page.text.n, &canonical, &d)) {
    session_fail(s, EXIT_WRONG, "the page that was made has no canonical form");
    ok = false;
  }
  VEC_PUSH(&s->arena, s->deps, file); // is not overwritten
  ok = ok && output_text(s, out, &canonical) && (!page.weight.n || write_weights(s, &page, weights)) && outputs_put(s);
  if (ok)
    session_note(s, "%s written%s%s", out, page.weight.n ? ", with the weights " : "", page.weight.n ? weights : "");
  outputs_drop(s);
  buf_free(&canonical);
  buf_free(&page.text);
  return ok;
}

int cmd_import(Session *s) {
  if (s->opt.arg.n != 1) return session_fail(s, EXIT_USAGE, "syc import takes one ONNX file (syc import --help)");
  if (onnx_missing()) return session_fail(s, EXIT_USAGE, "this syc was built without ONNX; install %s", onnx_missing());
  if (s->opt.weights.n > 1) return session_fail(s, EXIT_USAGE, "--weights: one file is written");
  const char *file = s->opt.arg.at[0], *stem = stem_of(s, file);
  const char *out = s->opt.output ? s->opt.output : arena_printf(&s->arena, "%s.sy", stem);
  size_t n = strlen(out);
  bool suffix = n > 3 && !strcmp(out + n - 3, ".sy");
  const char *weights = s->opt.weights.n ? s->opt.weights.at[0]
                                         : arena_printf(&s->arena, "%.*s.safetensors", (int)(suffix ? n - 3 : n), out);
  s->opt.weights.n = 0; // written, not read
  if (!strcmp(out, "-")) return session_fail(s, EXIT_USAGE, "name the page with -o: its weights get a name beside it");
  if (access(file, R_OK) != 0) return session_fail(s, EXIT_IO, "cannot read %s: %s", file, strerror(errno));
  return import_file(s, file, out, weights) ? EXIT_OK : s->exit_code ? s->exit_code : EXIT_WRONG;
}
