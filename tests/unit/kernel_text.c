// kernel_text.c: print -> parse -> print is the identity; wrong texts and wrong kernels give the error they should. The
// example of ir/README.kernel.md is read from the file.
#include "ir/kernel.h"

#include <criterion/criterion.h>
#include <string.h>

#ifndef SOURCE_DIR
#define SOURCE_DIR "."
#endif

typedef struct World {
  Arena arena;
  Intern names;
  Diag diag;
} World;

static Kernel *parse(World *w, const char *text) {
  *w = (World){0};
  w->names.arena = &w->arena;
  diag_init(&w->diag, &w->arena);
  return kernel_parse(&w->arena, &w->names, &w->diag, text, strlen(text),
                      diag_add_file(&w->diag, "t.kir", text, strlen(text)));
}

static void same_again(const char *text) { // text must be canonical
  World w;
  Kernel *k = parse(&w, text);
  Buf b = {0};
  diag_print(&w.diag, &b, false);
  cr_assert_not_null(k, "%s", b.s);
  b.n = 0;
  kernel_print(k, &b);
  cr_assert_str_eq(b.s, text);
  buf_free(&b);
  arena_free(&w.arena);
}

Test(kernel_text, example_of_the_readme) {
  Arena a = {0};
  size_t n;
  const char *err;
  char *page = file_read(&a, SOURCE_DIR "/ir/README.kernel.md", &n, &err);
  cr_assert_not_null(page, "%s", err);
  char *text = strstr(page, "```kir\n");
  cr_assert_not_null(text);
  text += strlen("```kir\n");
  char *end = strstr(text, "```");
  cr_assert_not_null(end);
  *end = 0;
  same_again(text);
  arena_free(&a);
}

Test(kernel_text, corners) {
  same_again("kernel @k lanes 1 {\n}\n");
  same_again("kernel @k about \"a \\\"b\\\"\" lanes 16 dims { L = 3..3 dim 4, floor = 0..9 dim 0, tiles = 1..2 } {\n"
             "  buf %x : weight i32[16]\n"
             "  par %p = floor to floor(5*floor+7, 3) cap 2*L+1 step 2 {\n"
             "    %2 = const -2147483648 : i32x16\n"
             "    %3 = const nan : f32\n"
             "    %4 = const -inf : f32 \"low\"\n"
             "    %5 = index -3*%p - 7 : i32x16\n"
             "    %6 = index 2*floor - 7*%p : f32\n"
             "    prefetch %x[90*%p] level 2\n"
             "    loop %i = tiles(2*L, floor, 6, 7) cap tiles to tiles(2*L, floor, 6, 6) cap tiles step 6 {\n"
             "    }\n"
             "  }\n"
             "}\n");
}

// Any names, blanks and comments are read; the text printed is the canonical one.
Test(kernel_text, free_form) {
  World w;
  Kernel *k = parse(&w, "kernel@k lanes 4{ # comment\nbuf%x:in f32[8] loop %i=0 to 5 step 4{"
                        "%a = load %x[%i+0 + 2*%i-2*%i]n 4:f32x4 \"v\" %b = add %a,%a:f32x4}}");
  cr_assert_not_null(k);
  Buf b = {0};
  kernel_print_body(k, &b);
  cr_assert_str_eq(b.s, "lanes 4 {\n"
                        "  buf %x : in f32[8]\n"
                        "  loop %i = 0 to 5 step 4 {\n"
                        "    %2 = load %x[%i] : f32x4 \"v\"\n"
                        "    %3 = add %2, %2 : f32x4\n"
                        "  }\n"
                        "}\n");
  buf_free(&b);
  arena_free(&w.arena);
}

// Each statement list stands in a kernel of four lanes with the dim L = 1..9 and the buffers below.
static const struct {
  const char *body, *error;
} wrong[] = {
    // syntax and names
    {"", "expected"},
    {"} }", "expected the end"},
    {"loop %i = 0 to 4 step 0 { } }", "step must be positive"},
    {"loop %i = 0 to 4 step 1 { }", "expected"},
    {"%1 = frobnicate %2 : f32 }", "expected an operation"},
    {"%1 = add %2, %3 : f32 }", "no value %2"},
    {"%1 = const 0 : f32 %1 = const 0 : f32 }", "defined twice"},
    {"%1 = const 0 : f64 }", "expected a type"},
    {"%1 = load %q[0] : f32x4 }", "no buffer %q"},
    {"loop %x = 0 to 4 step 1 { } }", "used twice"},
    {"loop %i = 0 to %j step 1 { } }", "no variable j"},
    {"loop %i = 0 to M step 1 { } }", "no dim M"},
    {"%1 = load %x[99999999999999999999] : f32x4 }", ""},
    {"%1 = load %x[4000000000000000] : f32x4 }", "too large"},
    // types
    {"%1 = const 0 : f32x8 }", "wrong number of lanes"},
    {"%1 = const 0 : f32 %2 = const 0 : i32 %3 = add %1, %2 : f32 }", "operand 1 (%2) is i32"},
    {"%1 = const 0 : f32 %2 = iota : f32x4 %3 = add %2, %1 : f32x4 }", "has 1 lanes, not 4"},
    {"%1 = const 0 : i32 %2 = sqrt %1 : i32 }", "not defined for this dtype"},
    {"%1 = iota : f32x4 %2 = hadd %1 : f32x4 }", "wrong number of lanes"},
    {"%1 = iota : f32x4 %2 = not %1 : boolx4 }", "operand 0 (%1) is f32"},
    {"%1 = const 0x1.00000001p0 : i32 }", "not an i32"},
    {"%1 = load %f[0] : i32x4 }", "holds bool"},
    {"%1 = load %x[0] : i32x4 }", "holds f32"},
    {"%1 = loadm %x[0] : boolx4 }", "holds f32"},
    {"%1 = load %x[0] n 5 : f32x4 }", "5 active lanes of 4"},
    {"%1 = iota : f32x4 store %x[0], %1 }", "not writable"},
    {"%1 = iota : f32x4 set %1, %1 }", "not a var"},
    // scope and structure
    {"loop %i = 0 to 4 step 1 { %1 = iota : f32x4 } store %y[0], %1 }", "not a value in scope"},
    {"loop %i = 0 to 4 step 1 { } loop %j = 0 to %i step 1 { } }", "not in scope"},
    {"%1 = iota : f32x4 par %p = 0 to 4 step 1 { } }", "outermost"},
    {"par %p = 0 to 4 step 1 { } %1 = iota : f32x4 }", "after the end of a par"},
    {"par %p = 0 to 4 step 1 { par %q = 0 to %p step 1 { } } }", "may use dims only"},
    {"%1 = load %x[L] : f32x4 }", "must not use the dim"},
    // bounds
    {"%1 = load %x[30] : f32x4 }", "reaches element 33 of %x, which has 32"},
    {"%1 = load %x[-1] : f32x4 }", "may read element -1"},
    {"loop %i = 0 to 32 step 3 { %1 = load %x[%i] : f32x4 } }", "reaches element 33"},
    {"loop %i = 0 to 4*L step 4 { %1 = load %x[%i] : f32x4 } }", "reaches element 35"},
    {"loop %i = 0 to L - 2 step 1 { } }", "upper bound may be negative"},
    {"%i = ldidx %n[0] in -1..3 }", "bad range"},
    {"%i = ldidx %n[0] in 0..32 %1 = bcast %x[%i] : f32x4 }", "reaches element 32"},
    {"loop %i = 0 to 9000000 step 1 { %1 = index 2*%i : f32x4 } }", "leave the range"},
    {"prefetch %x[99] level 3 }", "level must be 1 or 2"},
    // regions
    {"region { } }", "expected"},
    {"region a { region b { } } }", "stands in another region"},
    {"region a { %1 = iota : f32x4 } store %y[0], %1 }", "not a value in scope"},
    {"region a { %n1 = let 4 } loop %i = 0 to %n1 step 1 { } }", "not in scope"},
    {"%a = let L - 2 }", "may be negative"},
    {"%a = let L %a = let L }", "used twice"},
    {"loop %i = tiles(0, 3*L+6, 6, 5) to tiles(0, 3*L+6, 6, 4) step 4 { %1 = load %x[%i] : f32x4 } }",
     "reaches element 32"},
    {"loop %i = tiles(0, 3*L+5, 6, 5) to tiles(0, 3*L+5, 7, 4) step 4 { %1 = load %x[%i] : f32x4 } }",
     "reaches element 34"}, // of other tiles
    {"loop %i = tiles(0, 3*L+5, 6, 5) to tiles(0, 3*L+5, 6, 4) step 3 { %1 = load %x[%i] : f32x4 } }",
     "reaches element 34"},
    {"loop %i = tiles(0, L, 0, 5) to tiles(0, L, 6, 4) step 4 { } }", "tiles of less than one row"},
    {"loop %i = tiles(0-L, L, 6, 5) to tiles(0, L, 6, 4) step 4 { } }", "bound may be negative"},
    {"%a = let 8*L loop %i = 0 to %a step 1 { %1 = load %x[%i] n 1 : f32x4 } }", "reaches element 71"},
};

static const char head[] = "kernel @k lanes 4 dims { L = 1..9 } {\n"
                           "buf %x : in f32[32] buf %f : in bool[4] buf %n : in i32[4] buf %y : out f32[32]\n";

Test(kernel_text, errors) {
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    char text[600];
    World w;
    snprintf(text, sizeof text, "%s%s", head, wrong[i].body);
    Kernel *k = parse(&w, text);
    cr_expect_null(k, "accepted: %s", wrong[i].body);
    bool found = w.diag.list.n && strstr(w.diag.list.at[0].text, wrong[i].error);
    cr_expect(found, "%s: %s", wrong[i].body, w.diag.list.n ? w.diag.list.at[0].text : "no error");
    arena_free(&w.arena);
  }
}

// The twins of the errors above that must be accepted.
static const char *const right[] = {
    "loop %i = 0 to 32 step 4 { %1 = load %x[%i] : f32x4 } }",
    "loop %i = 0 to floor(4*L, 4) cap 32 step 4 { %1 = load %x[%i] : f32x4 } }",
    "loop %i0 = 0 to 32 step 8 { loop %i = %i0 to %i0+8 step 4 { %1 = load %x[%i] : f32x4 } } }",
    "loop %i = 0 to 29 step 1 { %1 = load %x[-1*%i + 28] : f32x4 } }",
    "loop %i = 5 to 5 step 1 { %1 = load %x[99] : f32x4 } }",
    "loop %i = 0 to 8 step 1 { %1 = load %x[%i + 21] n 3 : f32x4 store %y[%i], %1 } }",
    "prefetch %x[99] level 1 }",
    "region a { } region a \"again\" { %n1 = let 4 loop %i = 0 to %n1 step 1 { %1 = load %x[%n1 + %i] : f32x4 } } }",
    "loop %i = tiles(0, 3*L+5, 6, 5) to tiles(0, 3*L+5, 6, 4) step 4 { %1 = load %x[%i] : f32x4 } }",
    "loop %i = tiles(4, 3*L+5, 6, 5) cap 20 to tiles(4, 3*L+5, 6, 4) cap 20 step 4 { %1 = load %x[%i+12] : f32x4 } }",
    "%a = let 3*L loop %i = 0 to %a step 1 { %1 = load %x[%i] n 1 : f32x4 } }",
};

Test(kernel_text, accepted) {
  for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
    char text[600];
    World w;
    snprintf(text, sizeof text, "%s%s", head, right[i]);
    Kernel *k = parse(&w, text);
    cr_expect_not_null(k, "%s: %s", right[i], w.diag.list.n ? w.diag.list.at[0].text : "");
    arena_free(&w.arena);
  }
}
