// fmt.c: `syc fmt [--check] FILES`: rewrites .sy files in canonical form; - reads standard input and writes standard
// output.
#include "driver.h"

#include <string.h>

static int format_one(Session *s, const char *path, bool *changed) {
  size_t n;
  const char *err = "";
  char *text = file_read(&s->arena, path, &n, &err);
  if (!text) return session_fail(s, EXIT_IO, "cannot read %s: %s", path, err);
  Buf out = {0};
  Diag d;
  diag_init(&d, &s->arena);
  bool ok = front_format(text, n, &out, &d);
  for (size_t i = 0; i < d.files.n; i++) d.files.at[i].path = path; // the formatter knows no names
  if (!ok) {
    Diag keep = s->diag;
    s->diag = d;
    session_flush(s);
    s->diag = keep;
    buf_free(&out);
    return EXIT_WRONG;
  }
  bool same = out.n == n && !memcmp(out.s, text, n);
  *changed = *changed || !same;
  int code = EXIT_OK;
  if (s->opt.check_only) {
    if (!same) text_line(stdout, "%s", path);
  } else if ((!same || !strcmp(path, "-")) && !file_write(path, out.s ? out.s : "", out.n, &err)) {
    code = session_fail(s, EXIT_IO, "cannot write %s: %s", path, err);
  }
  buf_free(&out);
  return code;
}

int cmd_fmt(Session *s) {
  if (!s->opt.arg.n) return session_fail(s, EXIT_USAGE, "syc fmt takes files (or - for standard input)");
  bool changed = false;
  int worst = EXIT_OK;
  for (size_t i = 0; i < s->opt.arg.n; i++) {
    int code = format_one(s, s->opt.arg.at[i], &changed);
    if (code > worst) worst = code;
  }
  if (worst) return worst;
  return s->opt.check_only && changed ? EXIT_WRONG : EXIT_OK;
}
