// make_model.c: compiles a page to what a fuzz target links: PREFIX.c, PREFIX.h, PREFIX_glue.c, and packed weights in
// PREFIX.syw, with the numbers of fuzz_weight. Run while the targets are built.
//
//   make_model PAGE FOLDER PREFIX
#include "frontend/frontend.h"
#include "../fuzz_program.h"

static int fail(const char *what, const char *why) {
  fprintf(stderr, "make_model: %s: %s\n", what, why);
  return 1;
}

static int write_text(const char *folder, const char *name, void (*emit)(const Program *, const EmitModel *, Buf *),
                      const Program *p, const EmitModel *o) {
  char path[500];
  const char *err = "";
  Buf b = {0};
  emit(p, o, &b);
  snprintf(path, sizeof path, "%.300s/%.100s", folder, name);
  bool ok = file_write(path, b.s, b.n, &err);
  buf_free(&b);
  return ok ? 0 : fail(path, err);
}

static int write_all(const Program *p, const char *folder, const char *prefix) {
  char c[80], h[80], glue[80], path[500];
  const char *err = "";
  snprintf(c, sizeof c, "%.60s.c", prefix), snprintf(h, sizeof h, "%.60s.h", prefix);
  snprintf(glue, sizeof glue, "%.60s_glue.c", prefix), snprintf(path, sizeof path, "%.300s/%.60s.syw", folder, prefix);
  EmitModel o = {.prefix = prefix, .header_name = h, .describe_host = true};
  WeightSource source = {.get = fuzz_weight};
  if (!pack_file(p, &source, path, NULL, NULL, &err)) return fail(path, err);
  return write_text(folder, c, emit_model_c, p, &o) || write_text(folder, h, emit_model_h, p, &o) ||
         write_text(folder, glue, emit_model_glue, p, &o);
}

int main(int argc, char **argv) {
  if (argc != 4) return fail("usage", "make_model PAGE FOLDER PREFIX");
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  size_t n;
  const char *err = "";
  const char *page = file_read(&a, argv[1], &n, &err);
  if (!page) return fail(argv[1], err);
  const Target *t[] = {target_by_name("portable"), target_by_name("avx2")};
  Module *m = front_compile(&a, &names, &d, argv[1], page, n, &(FrontOptions){0});
  Program *p = m && passes_run(m, &(PassOptions){.verify = true}) ? program_lower(m, t, 2) : NULL;
  Buf why = {0};
  diag_print(&d, &why, false);
  int code = p ? write_all(p, argv[2], argv[3]) : fail(argv[1], why.s ? why.s : "no program");
  buf_free(&why);
  arena_free(&a);
  return code;
}
