// plan.c: groups, rows and places that are read back. What the passes leave goes on from every pass and ends as it
// would have without the detour; a plan that is not right is refused with the value and what must hold, never with an
// internal error and never by kernels that touch what is not theirs.
#include "passes/plan.h"
#include "random_graph.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#ifndef SY_SOURCE_DIR
#define SY_SOURCE_DIR "."
#endif

typedef struct Text {
  Arena arena;
  Intern names;
  Diag diag;
  Module *m;
} Text;

static void text_open(Text *t, const char *text, size_t n) {
  *t = (Text){0};
  t->names.arena = &t->arena;
  diag_init(&t->diag, &t->arena);
  const char *copy = arena_strndup(&t->arena, text, n);
  t->m = module_parse(&t->arena, &t->names, &t->diag, copy, n, diag_add_file(&t->diag, "t.ir", copy, n));
}

// Runs passes on a text; the result as text, to be freed, or NULL.
static char *run(const char *text, size_t n, const char *from, const char *stop) {
  Text t;
  text_open(&t, text, n);
  Buf out = {0};
  PassOptions o = {.verify = true, .start_from = from, .stop_after = stop};
  if (t.m && passes_run(t.m, &o)) module_print(t.m, &out);
  cr_expect(out.s || t.diag.errors, "no result and no error");
  arena_free(&t.arena);
  return out.s;
}

/* round trips --------------------------------------------------------------------------------------------------- */
static void goes_on_from_every_pass(const char *text, size_t n, const char *what) {
  char *direct = run(text, n, NULL, NULL);
  cr_assert(direct, "%s", what);
  for (size_t i = 0; i < pass_count; i++) {
    char *dump = run(text, n, NULL, pass_list[i].name);
    cr_assert(dump, "%s up to %s", what, pass_list[i].name);
    char *end = run(dump, strlen(dump), NULL, NULL);
    cr_expect(end && !strcmp(end, direct), "%s goes on otherwise after %s", what, pass_list[i].name);
    char *same = run(dump, strlen(dump), NULL, pass_list[i].name);
    cr_expect(same && !strcmp(same, dump), "%s: nothing is left of %s, but it changes", what, pass_list[i].name);
    free(dump), free(end), free(same);
  }
  free(direct);
}

Test(plan, graphs_go_on_from_every_pass, .timeout = 120) {
  const char *dir = SY_SOURCE_DIR "/tests/graphs";
  struct dirent **entry;
  int n = scandir(dir, &entry, NULL, alphasort), files = 0;
  for (int i = 0; i < n; i++) {
    Arena a = {0};
    size_t len = strlen(entry[i]->d_name), size;
    const char *err, *path = arena_printf(&a, "%s/%s", dir, entry[i]->d_name);
    if (len > 3 && !strcmp(entry[i]->d_name + len - 3, ".ir")) {
      char *text = file_read(&a, path, &size, &err);
      goes_on_from_every_pass(text, size, entry[i]->d_name);
      files++;
    }
    arena_free(&a);
    free(entry[i]);
  }
  free(entry);
  cr_assert(files >= 15);
}

Test(plan, random_graphs_go_on_from_every_pass, .timeout = 120) {
  for (uint32_t seed = 1; seed <= 40; seed++) {
    Text t = {0};
    t.names.arena = &t.arena;
    diag_init(&t.diag, &t.arena);
    t.m = module_new(&t.arena, &t.names, &t.diag, "random");
    random_graph(t.m, seed);
    Buf b = {0};
    module_print(t.m, &b);
    goes_on_from_every_pass(b.s, b.n, arena_printf(&t.arena, "seed %u", seed));
    buf_free(&b);
    arena_free(&t.arena);
  }
}

/* what is refused ----------------------------------------------------------------------------------------------- */
#define HEAD(after) "module \"m\" after " after " dims { B = 1..4 }\ngraph @r {\n  %1 = input \"x\" : f32[B,4]"

static const struct {
  const char *code, *want, *text;
} refused[] = {
    // groups
    {"E0223", "number of its group", HEAD("fuse") "%2 = neg %1 : f32[B,4] group 4294967295 output \"y\" = %2 }"},
    {"E0310", "has no group", HEAD("fuse") "%2 = neg %1 : f32[B,4] output \"y\" = %2 }"},
    {"E0310", "read outside group 1",
     HEAD("fuse") "%2 = neg %1 : f32[B,4] group 1 %3 = exp %2 : f32[B,4] group 2 %4 = add %2, %3 : f32[B,4] group 1 "
                  "output \"y\" = %4 }"},
    {"E0310", "must be stored",
     HEAD("fuse") "%2 = neg %1 : f32[B,4] group 1 %3 = slice %2 {axis = 1, start = 0} : f32[B,2] "
                  "output \"y\" = %3 }"},
    {"E0310", "is two outputs", HEAD("fuse") "%2 = neg %1 : f32[B,4] group 1 output \"y\" = %2 output \"z\" = %2 }"},
    {"E0310", "input has no kernel",
     "module \"m\" after fuse graph @r { %1 = input \"x\" : f32[4] group 1 %2 = neg %1 : f32[4] group 1 output \"y\" = "
     "%2 }"},
    {"E0310", "weights alone",
     HEAD("fuse") "%2 = weight \"w\" : f32[4] %3 = neg %2 : f32[4] group 1 %4 = add %1, %3 : f32[B,4] group 2 output "
                  "\"y\" = %4 }"},
    {"E0310", "its second",
     HEAD("fuse") "%2 = softmax %1 : f32[B,4] group 1 %3 = softmax %2 : f32[B,4] group 1 output \"y\" = %3 }"},
    {"E0310", "in front of this operand",
     HEAD("fuse") "%2 = neg %1 : f32[B,4] group 1 %3 = weight \"w\" : f32[8,4] %4 = linear %2, %3 {trans = 0} : "
                  "f32[B,8] "
                  "group 1 output \"y\" = %4 }"},
    {"E0310", "the copy of a view",
     HEAD("fuse") "%2 = transpose %1 {perm = [1, 0]} : f32[4,B] group 1 %3 = neg %2 : f32[4,B] group 1 output \"y\" = "
                  "%3 }"},
    {"E0310", "shape of its",
     HEAD("fuse") "%2 = reduce_sum %1 : f32[B,1] group 1 %3 = add %2, %1 : f32[B,4] group 1 output \"y\" = %3 }"},
    {"E0310", "not read behind it",
     HEAD(
         "fuse") "%2 = neg %1 : f32[B,4] group 1 %3 = softmax %2 : f32[B,4] group 1 %4 = add %3, %2 : f32[B,4] group 1 "
                 "output \"y\" = %4 }"},
    {"E0310", "group of its own",
     "module \"m\" after fuse dims { B = 1..4 } graph @r { %1 = input \"x\" : f32[B,6,8] %2 = neg %1 : f32[B,6,8] "
     "group 1 "
     "%3 = attention %2, %1, %1 {heads = 2} : f32[B,6,8] group 1 output \"y\" = %3 }"},
    {"E0310", "no strides express",
     "module \"m\" after fuse graph @r { %1 = input \"x\" : f32[4,6] %2 = transpose %1 {perm = [1, 0]} : f32[6,4] "
     "%3 = reshape %2 : f32[24] %4 = neg %3 : f32[24] group 1 output \"y\" = %4 }"},
    {"E0310", "other readers",
     HEAD("fuse") "%2 = neg %1 : f32[B,4] group 1 %3 = exp %1 : f32[B,4] group 2 %4 = concat %2, %3 {axis = 1} : "
                  "f32[B,8] "
                  "%5 = neg %2 : f32[B,4] group 3 output \"y\" = %4 output \"z\" = %5 }"},
    {"E0310", "is a part of concat",
     HEAD("fuse") "%2 = neg %1 : f32[B,4] group 1 %4 = concat %2, %1 {axis = 1} : f32[B,8] output \"y\" = %4 }"},
    // rows
    {"E0310", "must lie there: in %4 shift 4",
     HEAD("layout") "%2 = neg %1 : f32[B,4] group 1 in %4 %3 = exp %1 : f32[B,4] group 2 in %4 shift 31 "
                    "%4 = concat %2, %3 {axis = 1} : f32[B,8] output \"y\" = %4 }"},
    {"E0310", "must lie there",
     HEAD("layout") "%2 = neg %1 : f32[B,4] group 1 in %4 %3 = exp %1 : f32[B,4] group 2 "
                    "%4 = concat %2, %3 {axis = 1} : f32[B,8] output \"y\" = %4 }"},
    {"E0310", "rows have no pitch",
     HEAD("layout") "%2 = neg %1 : f32[B,4] group 1 pitch 16 %3 = exp %2 : f32[B,4] group 1 output \"y\" = %3 }"},
    {"E0310", "pitch is too large",
     "module \"m\" after layout graph @r { %1 = input \"x\" : f32[1000000,4] %2 = neg %1 : f32[1000000,4] group 1 "
     "pitch 2000000000 "
     "%3 = exp %2 : f32[1000000,4] group 2 output \"y\" = %3 }"},
    {"E0223", "is padded", HEAD("layout") "%2 = neg %1 : f32[B,4] group 1 pitch 16 output \"y\" = %2 }"},
    // places
    {"E0310", "must lie at input 0", HEAD("place") "%2 = neg %1 : f32[B,4] group 1 at output 0 output \"y\" = %2 }"},
    {"E0310", "must lie at output 0",
     HEAD("place") " at input 0 %2 = neg %1 : f32[B,4] group 1 at 0 output \"y\" = %2 }"},
    {"E0310", "needs an offset",
     HEAD("place") " at input 0 %2 = neg %1 : f32[B,4] group 1 %3 = exp %2 : f32[B,4] group 2 at output 0 output \"y\" "
                   "= %3 }"},
    {"E0310", "needs an offset",
     HEAD("place") " at input 0 %2 = neg %1 : f32[B,4] group 1 at output 0 %3 = exp %2 : f32[B,4] group 2 at output 0 "
                   "output \"y\" = %3 }"},
    {"E0310", "shares memory with %2",
     HEAD("place") " at input 0 %2 = neg %1 : f32[B,4] group 1 at 0 %3 = exp %2 : f32[B,4] group 2 at 32 "
                   "%4 = neg %3 : f32[B,4] group 3 at output 0 output \"y\" = %4 }"},
    {"E0310", "beyond the largest arena",
     HEAD("place") " at input 0 %2 = neg %1 : f32[B,4] group 1 at 9223372036854775744 %3 = exp %2 : f32[B,4] group 2 "
                   "at output 0 "
                   "output \"y\" = %3 }"},
    {"E0310", "has no place",
     HEAD("place") " at input 0 %2 = neg %1 : f32[B,4] group 1 at 64 %3 = exp %2 : f32[B,4] group 1 at output 0 output "
                   "\"y\" = %3 }"},
    {"E0310", "has no place",
     HEAD("place") " at input 0 %2 = weight \"w\" : f32[4] at weight 3 %3 = add %1, %2 : f32[B,4] group 1 at output 0 "
                   "output \"y\" = %3 }"},
    // where to begin
    {"E0301", "there is no pass 'fusion'", HEAD("fusion") "%2 = neg %1 : f32[B,4] output \"y\" = %2 }"},
};

Test(plan, refused) {
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    Text t;
    text_open(&t, refused[i].text, strlen(refused[i].text));
    PassOptions o = {.verify = true};
    cr_expect(!t.m || !passes_run(t.m, &o), "%s", refused[i].text);
    cr_assert_eq(t.diag.list.n, 1, "%s: %zu errors", refused[i].text, t.diag.list.n);
    cr_expect_str_eq(t.diag.list.at[0].code, refused[i].code, "%s: %s", refused[i].text, t.diag.list.at[0].text);
    cr_expect(strstr(t.diag.list.at[0].text, refused[i].want), "%s: %s", refused[i].text, t.diag.list.at[0].text);
    arena_free(&t.arena);
  }
}

Test(plan, a_pass_that_has_run) {
  static const char text[] = HEAD("place") " at input 0 %2 = neg %1 : f32[B,4] group 1 at output 0 output \"y\" = %2 }";
  Text t;
  text_open(&t, text, strlen(text));
  PassOptions o = {.verify = true, .stop_after = "fuse"};
  cr_expect(!passes_run(t.m, &o));
  cr_expect_str_eq(t.diag.list.at[0].code, "E0311");
  arena_free(&t.arena);
  char *again = run(text, strlen(text), "cache", "fuse"); // asked for: anew, and nothing of the old plan is left
  cr_expect(again && strstr(again, "after fuse") && !strstr(again, " at "), "%s", again);
  free(again);
}

// By hand: another order in the arena, a wider pitch, a group taken apart. What is right stays as it was written.
Test(plan, edits_count) {
  static const char *const text[] = {
      HEAD("place") " at input 0\n  %2 = neg %1 : f32[B,4] group 2 pitch 48 at 4096\n  %3 = exp %2 : f32[B,4] group 1 "
                    "at 128\n"
                    "  %4 = neg %3 : f32[B,4] group 3 at output 0\n  output \"y\" = %4\n}\n",
  };
  for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
    char *end = run(text[i], strlen(text[i]), NULL, NULL);
    cr_expect(end && !strcmp(end, text[i]), "%s\n%s", text[i], end);
    free(end);
  }
}

// A plan without `after` is not kept, and that is said.
Test(plan, computed_anew_is_said) {
  static const char text[] =
      "module \"m\" graph @r { %1 = input \"x\" : f32[4] %2 = neg %1 : f32[4] group 2 output \"y\" = %2 }";
  Text t;
  text_open(&t, text, strlen(text));
  PassOptions o = {.verify = true};
  cr_expect(passes_run(t.m, &o));
  cr_assert_eq(t.diag.list.n, 1);
  cr_expect_str_eq(t.diag.list.at[0].code, "W0001");
  arena_free(&t.arena);
}
