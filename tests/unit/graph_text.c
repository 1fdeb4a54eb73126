// graph_text.c: print -> parse -> print is the identity; wrong texts give the error they should. The example of
// ir/README.md is compiled here, read from the file.
#include "graph_support.h"

#ifndef SOURCE_DIR
#define SOURCE_DIR "."
#endif

static char *print(const Module *m, Arena *a) {
  Buf out = {0};
  module_print(m, &out);
  char *s = arena_strdup(a, out.s);
  buf_free(&out);
  return s;
}

static void same_again(const char *text) { // text must be canonical
  Bench b;
  bench_parse(&b, text);
  cr_assert_str_eq(print(b.m, &b.arena), text);
  bench_free(&b);
}

Test(graph_text, example_of_the_readme) {
  Arena a = {0};
  size_t n;
  const char *err;
  char *page = file_read(&a, SOURCE_DIR "/ir/README.md", &n, &err);
  cr_assert_not_null(page, "%s", err);
  char *text = strstr(page, "```gir\n");
  cr_assert_not_null(text);
  text += strlen("```gir\n");
  char *end = strstr(text, "```");
  cr_assert_not_null(end);
  *end = 0;
  same_again(text);
  arena_free(&a);
}

Test(graph_text, notes_and_dims) {
  same_again("module \"m\" after layout dims { B = 1..32, L = 0..7 } modalities { vision \"A\", language \"\" }\n"
             "prepare \"x\" \"clip_bpe\" \"\"\n"
             "rename \"hf\" \"w.{i}\" \"concat\" \"a.{i}\" \"b\"\n"
             "rename \"hf\" \"v\" \"\" \"c\"\n"
             "weight \"w\"\n"
             "graph @a \"about\\n\\x01\" {\n"
             "  %1 = input \"x\" : f32[B,2*B+1,-1*L+7] at input 0  # vit.sy:3:4 label\n"
             "  %2 = exp %1 : f32[B,2*B+1,-1*L+7] group 1 pitch 16 at 4096 in %4 shift 12\n"
             "  %3 = neg %1 : f32[B,2*B+1,-1*L+7] group 8 at weight 4 + 128\n"
             "  %4 = concat %3 {axis = 0} : f32[B,2*B+1,-1*L+7]\n"
             "  %5 = sqrt %4 : f32[B,2*B+1,-1*L+7] at none 0 in %4\n"
             "  %6 = constant {value = -inf} : f32[]\n"
             "  %7 = constant {value = nan} : f32[]\n"
             "  %8 = input \"s\" : i32[vision: L+1 + language: 3 + vision: B]\n"
             "  output \"y \\\"1\\\"\" = %5\n"
             "}\n"
             "graph @b {\n"
             "}\n");
  same_again("module \"\"\n");
}

// Values that folding and sharing would remove must stay.
Test(graph_text, nothing_is_folded) {
  same_again("module \"m\"\n"
             "graph @a {\n"
             "  %1 = input \"x\" : f32[2]\n"
             "  %2 = constant {value = 0x0p+0} : f32[]\n"
             "  %3 = constant {value = 0x0p+0} : f32[]\n"
             "  %4 = add %1, %2 : f32[2]\n"
             "  %5 = add %1, %2 : f32[2]\n"
             "  output \"y\" = %5\n"
             "}\n");
}

Test(graph_text, places_print_and_come_back) {
  Bench b, again;
  bench_init(&b);
  const char *source = "model m\n  x = y\n";
  Span at = {diag_add_file(&b.diag, "m.sy", source, strlen(source)), 10, 11};
  Type t = {.dtype = DT_F32, .rank = 1, .dim = {DIM(2)}};
  Val x = graph_input(b.g, "x", &t, at);
  graph_value(b.g, x)->label = "two\nlines";
  graph_output(b.g, "x", x, at);
  char *first = print(b.m, &b.arena);
  cr_assert(strstr(first, ": f32[2]  # m.sy:2:3 two lines\n"), "%s", first);
  bench_parse(&again, first);
  cr_assert_str_eq(print(again.m, &again.arena), first);
  bench_free(&again);
  bench_free(&b);
}

static void expect_error(const char *text, const char *code, const char *want) {
  Arena a = {0};
  Intern names = {.arena = &a};
  Diag d;
  diag_init(&d, &a);
  uint32_t file = diag_add_file(&d, "t.gir", text, strlen(text));
  cr_assert_null(module_parse(&a, &names, &d, text, strlen(text), file), "%s", text);
  cr_assert_eq(d.list.n, 1, "%s: %zu errors", text, d.list.n);
  cr_assert_str_eq(d.list.at[0].code, code, "%s: %s", text, d.list.at[0].text);
  cr_assert(strstr(d.list.at[0].text, want), "%s: %s", text, d.list.at[0].text);
  arena_free(&a);
}

#define G(body)                                                                                                        \
  "module \"m\" dims { B = 1..4 } modalities { v \"\" }\ngraph @g {\n%x = input \"x\" : f32[B,2]\n" body "\n}"

// Views of views are followed one by one: as many as that would take minutes.
Test(graph_text, views_of_views_are_bounded) {
  Buf b = {0};
  buf_puts(&b, "module \"m\"\ngraph @g {\n%0 = input \"x\" : f32[2,2]\n");
  for (int i = 1; i <= 2001; i++) buf_printf(&b, "%%%d = transpose %%%d {perm = [1,0]} : f32[2,2]\n", i, i - 1);
  buf_puts(&b, "}");
  expect_error(b.s, "E0223", "more than 2000 views");
  buf_free(&b);
}

Test(graph_text, errors) {
  expect_error("", "E0220", "expected `module`");
  expect_error("module \"m", "E0220", "closing quote");
  expect_error("module \"\\q\"", "E0220", "escape");
  expect_error("module \"m\" dims { B = 4..1 }", "E0223", "empty");
  expect_error("module \"m\" dims { B = 1..2, B = 1..2 }", "E0222", "two dims");
  expect_error("module \"m\" graph @g { } graph @g { }", "E0222", "two graphs");
  expect_error("module \"m\" \xff", "E0220", "no token");
  expect_error(G("%y = foo %x : f32[B,2]"), "E0221", "operator");
  expect_error(G("%y = exp %z : f32[B,2]"), "E0221", "called z");
  expect_error(G("%x = exp %x : f32[B,2]"), "E0222", "two values");
  expect_error(G("%y = exp %x, %x : f32[B,2]"), "E0220", "takes 1 operands");
  expect_error(G("%y = exp %x : f32[B,3]"), "E0223", "gives f32[B,2]");
  expect_error(G("%y = exp %x : f32[C,2]"), "E0221", "dim of the module");
  expect_error(G("%y = exp %x : f64[B,2]"), "E0220", "element type");
  expect_error(G("%y = exp %x {eps = 1} : f32[B,2]"), "E0221", "no such attribute");
  expect_error(G("%y = l2_norm %x {eps = 1, eps = 2} : f32[B,2]"), "E0222", "given twice");
  expect_error(G("%y = l2_norm %x : f32[B,2]"), "E0212", "eps");
  expect_error(G("%y = l2_norm %x {eps = -1} : f32[B,2]"), "E0208", "negative");
  expect_error(G("%y = constant {value = 1} : f32[0]"), "E0213", "less than 1");
  expect_error(G("%y = constant {value = 1} : f32[99999999999]"), "E0220", "too large");
  expect_error(G("%y = constant {value = 1} : f32[1,1,1,1,1,1,1]"), "E0220", "more than 6 axes");
  expect_error(G("%y = constant {value = 0x} : f32[]"), "E0220", "malformed number");
  expect_error(G("%y = constant {value = 1} : f32[v: 2,v: 2]"), "E0220", "one axis");
  expect_error(G("%y = exp %x : f32[B,2] pitch 1"), "E0223", "pitch");
  expect_error(G("%y = exp %x : f32[B,2] in %y"), "E0223", "only a concat");
  expect_error(G("%y = concat %x, %x {axis = 1} : f32[B,4] in %z %z = concat %x, %x {axis = 1} : f32[B,4] in %y"),
               "E0223", "cycle");
  expect_error(G("%y = exp %x : f32[B,2] in %q"), "E0221", "no value is called q");
  expect_error(G("%y = exp %x : f32[B,2] at 3"), "E0223", "aligned");
  expect_error(G("%y = input \"x\" : f32[B,2]"), "E0223", "is there twice");
  expect_error(G("output \"a\" = %x output \"a\" = %x"), "E0211", "already has an output");
}
