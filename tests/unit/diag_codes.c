// diag_codes.c: the table of diagnostic codes, the sources and docs/errors.md agree.
//
// What must hold: every "E0123" in the sources has an explanation; every code in the table is used somewhere; codes
// ascend; each has an example in tests/err, whose messages have this code alone; docs/errors.md is what the table and
// the examples say. SWITCHYARD_UPDATE_DOCS=1 writes the page instead of comparing it.
#include "ir/base/base.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

typedef struct Code {
  const char *code, *title, *example, *text;
} Code;
static const Code table[] = {
#define CODE(code, title, example, text) {#code, title, example, text},
#define RETIRED(code, other)
#include "ir/base/diag_codes.def"
#undef CODE
#undef RETIRED
};
static const char *const retired[][2] = {
#define CODE(code, title, example, text)
#define RETIRED(code, other) {#code, #other},
#include "ir/base/diag_codes.def"
#undef CODE
#undef RETIRED
};
enum { OLD_CODES = sizeof retired / sizeof *retired };
enum { CODES = sizeof table / sizeof *table };

static size_t code_index(const char *code) {
  for (size_t i = 0; i < CODES; i++)
    if (!strncmp(table[i].code, code, 5)) return i;
  return CODES;
}

// Marks the codes that stand as "E0123" or "W0123" in a file; fails on one without an explanation.
static void scan_file(Arena *a, const char *path, bool *used) {
  size_t n;
  const char *err = "";
  const char *text = file_read(a, path, &n, &err);
  cr_assert_not_null(text, "%s: %s", path, err);
  for (const char *p = strchr(text, '"'); p; p = strchr(p + 1, '"')) {
    if ((strncmp(p, "\"E0", 3) != 0 && strncmp(p, "\"W0", 3) != 0) || !isdigit(p[3]) || !isdigit(p[4]) ||
        !isdigit(p[5]) || p[6] != '"')
      continue;
    size_t at = code_index(p + 1);
    cr_expect(at < CODES, "%s uses %.5s, which diag_codes.def does not explain", path, p + 1);
    if (at < CODES) used[at] = true;
  }
}

static bool is_source(const char *name) {
  static const char *const suffix[] = {".c", ".h", ".l", ".y"};
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot && i < sizeof suffix / sizeof *suffix; i++)
    if (!strcmp(dot, suffix[i])) return true;
  return false;
}

Test(diag_codes, sources_and_table_agree) {
  static const char *const folders[] = {"frontend", "ir", "ir/op", "passes", "codegen", "driver", "onnx"};
  Arena a = {0};
  bool used[CODES] = {false};
  for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
    const char *dir = arena_printf(&a, "%s/%s", SY_SOURCE_DIR, folders[f]);
    DIR *d = opendir(dir);
    cr_assert_not_null(d, "%s", dir);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
      if (is_source(e->d_name)) scan_file(&a, arena_printf(&a, "%s/%s", dir, e->d_name), used);
    closedir(d);
  }
  for (size_t i = 0; i < CODES; i++) {
    cr_expect(used[i], "%s is explained but never reported", table[i].code);
    cr_expect(i == 0 || strcmp(table[i - 1].code, table[i].code) < 0, "%s is out of order", table[i].code);
  }
  arena_free(&a);
}

Test(diag_codes, every_code_is_explained) {
  for (size_t i = 0; i < CODES; i++) {
    const char *text = diag_explain(table[i].code);
    cr_assert_not_null(text);
    cr_expect(strstr(text, table[i].title) && strstr(text, table[i].text), "%s", table[i].code);
  }
  cr_expect_null(diag_explain("E9999"));
  for (size_t i = 0; i < OLD_CODES; i++) {
    cr_expect_eq(code_index(retired[i][0]), CODES, "%s is in use", retired[i][0]);
    cr_expect_str_eq(diag_explain(retired[i][0]), diag_explain(retired[i][1]));
  }
}

// A file of tests/err, NULL if there is none.
static const char *example_file(Arena *a, const char *stem, const char *suffix) {
  size_t n;
  const char *err = "";
  return file_read(a, arena_printf(a, "%s/tests/err/%s%s", SY_SOURCE_DIR, stem, suffix), &n, &err);
}

// Messages have the code that they are the example of, and no other.
static void check_messages(const Code *c, const char *text) {
  bool found = false;
  for (const char *p = strchr(text, '['); p; p = strchr(p + 1, '[')) {
    if ((p[1] != 'E' && p[1] != 'W') || strspn(p + 2, "0123456789") != 4 || p[6] != ']') continue;
    cr_expect(!strncmp(p + 1, c->code, 5), "tests/err/%s.err: %.5s in the example of %s", c->example, p + 1, c->code);
    found = true;
  }
  cr_expect(found, "tests/err/%s.err does not have %s", c->example, c->code);
}

// The program, the command and what it says, as tests/err/run.sh runs it.
static void render_example(Arena *a, const Code *c, Buf *out) {
  static const char none[] = "none: ";
  if (!strncmp(c->example, none, sizeof none - 1)) {
    buf_printf(out, "\nNo example: %s.\n", c->example + sizeof none - 1);
    return;
  }
  const char *suffix = ".sy", *text = example_file(a, c->example, suffix);
  if (!text) text = example_file(a, c->example, suffix = ".ir");
  const char *says = example_file(a, c->example, ".err"), *args = example_file(a, c->example, ".args");
  cr_assert(text && says, "%s: the example tests/err/%s is not there", c->code, c->example);
  check_messages(c, says);
  if (!args) args = "--emit=ir";
  buf_printf(out, "\n```\n%s```\n\n`syc emit %.*s %s%s` says\n\n```\n%s```\n", text, (int)strcspn(args, "\n"), args,
             c->example, suffix, says);
}

static void render(Arena *a, Buf *out) {
  buf_puts(out,
           "# Errors\n\n"
           "Every message of the compiler about a program carries a code. `syc explain E0204` prints its entry; this "
           "page has them\nall, each with an example: what it says is compared with what the compiler says "
           "(`tests/err`). The page is made from\n`ir/base/diag_codes.def` and those examples "
           "(`tests/unit/diag_codes.c` compares; `SWITCHYARD_UPDATE_DOCS=1` writes it anew).\n");
  for (size_t i = 0; i < CODES; i++) {
    buf_printf(out, "\n## %s: %s\n\n%s", table[i].code, table[i].title, table[i].text);
    render_example(a, &table[i], out);
  }
  buf_puts(out, "\n## Codes of earlier versions\n\n");
  for (size_t i = 0; i < OLD_CODES; i++) buf_printf(out, "%s%s is %s", i ? ", " : "", retired[i][0], retired[i][1]);
  buf_puts(out, ".\n");
}

// The only codes without an example are those that cannot have one.
Test(diag_codes, few_have_no_example) {
  static const char *const without = "E0002 E0010 E0313";
  for (size_t i = 0; i < CODES; i++)
    cr_expect_eq(!strncmp(table[i].example, "none: ", 6), word_in(without, table[i].code), "%s", table[i].code);
}

Test(diag_codes, page_is_up_to_date) {
  Arena a = {0};
  Buf page = {0};
  size_t n;
  const char *err = "", *path = arena_printf(&a, "%s/docs/errors.md", SY_SOURCE_DIR);
  render(&a, &page);
  if (getenv("SWITCHYARD_UPDATE_DOCS")) {
    cr_assert(file_write(path, page.s, page.n, &err), "%s: %s", path, err);
  } else {
    const char *have = file_read(&a, path, &n, &err);
    cr_assert_not_null(have, "%s: %s", path, err);
    cr_assert(!strcmp(have, page.s), "docs/errors.md is out of date: run this test with SWITCHYARD_UPDATE_DOCS=1");
  }
  buf_free(&page);
  arena_free(&a);
}
