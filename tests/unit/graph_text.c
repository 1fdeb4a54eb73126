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
  same_again("module \"m\"\n"
             "graph @o objective {\n"
             "}\n"
             "stage \"first\" \"about\" {\n"
             "  objective o\n"
             "  optimiser sgd(lr = 0x1p-3)\n"
             "}\n"
             "stage \"second\" from \"first\" {\n"
             "  objective o = 0x1p-1\n"
             "  input x: augment(flip = words, crop = [0x1p-1, 1])\n"
             "}\n");
}

// What operators make of weights and of states says how long it stays the same; of inputs that goes without saying.
Test(graph_text, residencies) {
  same_again("module \"m\" dims { B = 1..2 }\n"
             "weight \"w\"\n"
             "graph @a {\n"
             "  %1 = input \"x\" : f32[B,2]\n"
             "  %2 = weight \"w\" {trained = 1} : f32[2]\n"
             "  %3 = weight \"v\" : f32[2]\n"
             "  %4 = iota {axis = 0} : i32[2]\n"
             "  %5 = cast %4 {to = \"f32\"} : f32[2] res const\n"
             "  %6 = mul %5, %3 : f32[2] res const\n"
             "  %7 = mul %6, %2 : f32[2] res param\n"
             "  %8 = broadcast %7 : f32[B,2] res param group 1\n"
             "  %9 = add %1, %7 : f32[B,2] group 2\n"
             "  %10 = input \"p\" : f32[2] role param offset 64\n"
             "  %11 = mul %3, %10 : f32[2] res param\n"
             "  output \"y\" = %9\n"
             "  output \"z\" = %8\n"
             "  output \"u\" = %11\n"
             "}\n");
}

#define START                                                                                                          \
  "graph @s {\n"                                                                                                       \
  "  %1 = input \"image\" : f32[B,3]\n"                                                                                \
  "  %2 = input \"text\" : i32[B,L] role words\n"                                                                      \
  "  %3 = input \"last\" : i32[B] role last\n"                                                                         \
  "  %4 = weight \"w\" : f32[9,5]\n"                                                                                   \
  "  %5 = embedding %4, %2 : f32[B,L,5]\n"                                                                             \
  "  %6 = gather_rows %5, %3 : f32[B,5]\n"                                                                             \
  "  output \"y\" = %6 role scores\n"                                                                                  \
  "  output \"c\" = %5 role state pair 1\n"                                                                            \
  "  output \"k\" = %1 role kept pair 2\n"                                                                             \
  "}\n"
#define STEP                                                                                                           \
  "graph @t {\n"                                                                                                       \
  "  %1 = input \"text\" : i32[B,1] role words\n"                                                                      \
  "  %2 = input \"at\" : i32[B] role at\n"                                                                             \
  "  %3 = input \"k\" : f32[B,3] role kept pair 2\n"                                                                   \
  "  %4 = input \"image\" : f32[B,3] role given pair 0\n"                                                              \
  "  %5 = weight \"w\" : f32[9,5]\n"                                                                                   \
  "  %6 = embedding %5, %1 : f32[B,1,5]\n"                                                                             \
  "  %7 = state : f32[B,L,5]\n"                                                                                        \
  "  %8 = put_rows %7, %6, %2 {start = 0} : f32[B,L,5]\n"                                                              \
  "  %9 = reshape %6 : f32[B,5]\n"                                                                                     \
  "  output \"y\" = %9 role scores\n"                                                                                  \
  "  output \"c\" = %8 changes %7 role state pair 1\n"                                                                 \
  "}\n"
#define GENERATE                                                                                                       \
  "generate \"g\" next_word start @s step @t prompt \"first words\" {end = 2, length_penalty = 0x1.8p+0}\n"
#define SEARCH_HEAD "module \"m\" dims { B = 1..4, L = 1..6 }\n"

Test(graph_text, roles_and_generates) {
  same_again(SEARCH_HEAD START STEP GENERATE);
  same_again(SEARCH_HEAD "graph @s {\n"
                         "  %1 = input \"t\" : i32[B,L] role words\n"
                         "  %2 = weight \"w\" : f32[9,5]\n"
                         "  %3 = embedding %2, %1 : f32[B,L,5]\n"
                         "  output \"y\" = %3 role scores\n"
                         "}\n"
                         "generate \"g\" masked_word start @s {start = 1, mask = 3, end = 2, beams = 4}\n");
  same_again("module \"m\"\n"
             "graph @a {\n"
             "  %1 = input \"w\" : f32[16] role param offset 0\n"
             "  %2 = input \"v\" : f32[3] role param offset 64\n"
             "  output \"y\" = %2\n"
             "}\n");
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

// The text with `old` replaced by `with` is refused.
static void expect_changed(const char *old, const char *with, const char *code, const char *want) {
  const char *text = SEARCH_HEAD START STEP GENERATE, *at = strstr(text, old);
  cr_assert(at, "%s", old);
  Buf b = {0};
  buf_printf(&b, "%.*s%s%s", (int)(at - text), text, with, at + strlen(old));
  expect_error(b.s, code, want);
  buf_free(&b);
}

Test(graph_text, roles_that_do_not_fit) {
  expect_changed("role words", "role verbs", "E0221", "expected a role");
  expect_changed("role words", "role scores", "E0223", "has a role that no input has");
  expect_changed("= %6 role scores", "= %6 role at", "E0223", "has a role that no output has");
  expect_changed("= %6 role scores", "= %6", "E0223", "has no output of role scores");
  expect_changed("%1 = input \"image\" : f32[B,3]", "%1 = input \"image\" : i32[B] role last", "E0223",
                 "has a role that another port has");
  expect_changed("i32[B] role last", "i32[B]", "E0223", "has no input of role last");
  expect_changed("i32[B,1] role words", "i32[B,2] role words", "E0223", "type");
  expect_changed("role state pair 1", "role state pair 0", "E0223", "counterpart");
  expect_changed("role state pair 1", "role state pair 7", "E0223", "has no counterpart");
  expect_changed("role state pair 1", "role state", "E0220", "pair");
  expect_changed("role kept pair 2\n  %4", "role kept pair 1\n  %4", "E0223", "counterpart");
  expect_changed("role given pair 0", "role given pair 1", "E0223", "has another type for \"image\"");
  expect_changed("role given pair 0", "", "E0223", "has a role that does not fit");
  expect_changed(" changes %7", "", "E0223", "no output changes this state");
  expect_changed("= %9 role scores", "= %9 changes %6 role scores", "E0223", "something that is no state");
  expect_changed("changes %7 role state pair 1", "changes %7 role scores", "E0223", "in and out");
  expect_changed("next_word start", "third_word start", "E0221", "expected a rule");
  expect_changed("start @s", "start @q", "E0221", "no graph called q");
  expect_changed("step @t ", "", "E0223", "has another type for role scores");
  expect_changed(GENERATE, "", "E0223", "belongs to no generate");
  expect_changed("{end = 2", "{mask = 2", "E0221", "no such option");
  expect_changed("{end = 2", "{end = 2, end = 3", "E0222", "given twice");
  expect_changed("{end = 2", "{end = -2", "E0223", "cannot be this number");
  expect_changed("{end = 2", "{end = 1.5", "E0223", "cannot be this number");
  expect_changed("{end = 2", "{beams = 0", "E0223", "cannot be this number");
  expect_error(G("%y = input \"p\" : f32[99] role param offset 0 %z = input \"q\" : f32[3] role param offset 64"),
               "E0223", "overlaps another parameter");
  expect_error(G("%y = input \"p\" : f32[99] role param offset 4"), "E0223", "multiple of 64");
  expect_error(G("output \"y\" = %x role param offset 0"), "E0223", "no output has");
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
  expect_error(G("%y = exp %x : f32[B,2] res const"), "E0223", "the residency of this value is act");
  expect_error(G("%y = exp %x : f32[B,2] res 3"), "E0220", "expected");
  expect_error(G("%y = weight \"w\" {trained = 2} : f32[2]"), "E0208", "trained is 0 or 1");
  expect_error(G("%y = weight \"w\" {trained = 1} : f32[2]") " graph @h { %y = weight \"w\" : f32[2] }", "E0223",
               "\"w\" is trained in one place and not in another");
  expect_error(
      G("%w = weight \"w\" {trained = 1} : f32[4,2] %y = resize_table %w {method = \"bilinear\", grid = [1,1]} "
        ": f32[1,2]"),
      "E0223", "none that is trained");
  expect_error(G("%y = pack %x {layout = \"tiles\", panel = 16} : f32[B,2]"), "E0208", "no layout \"tiles\"");
  expect_error(G("%y = pack %x {layout = \"rows\"} : f32[B,2]"), "E0212", "panel");
  expect_error(G("%y = pack %x {layout = \"rows\", panel = 0} : f32[B,2]"), "E0208", "1 to 1024");
  expect_error(G("%y = pack %x {layout = \"rows\", panel = 2, trans = 1} : f32[B,2]"), "E0208", "trans");
  expect_error(G("%y = pack %x {layout = \"rows\", panel = 2, to = \"i32\"} : f32[B,4]"), "E0208", "floating type");
  expect_error(G("%y = pack %x {layout = \"panels\", panel = 2} : f32[B,2]"), "E0204", "constant length");
  expect_error(G("%y = pack %x {layout = \"vector\", panel = 2} : f32[B,2]"), "E0204", "one axis");
  expect_error(G("%y = unpack %x {layout = \"rows\", panel = 2} : f32[B,1]"), "E0204", "are not the rows of");
  expect_error(G("output \"a\" = %x output \"a\" = %x"), "E0211", "already has an output");
}
