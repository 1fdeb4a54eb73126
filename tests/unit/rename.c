// rename.c: patterns of weight names: what matches, what is wrong, and that no name takes long.
#include "ir/rename.h"

#include <criterion/criterion.h>
#include <string.h>

// What the right side of a rule makes of a name; NULL if the left side does not match.
static const char *renamed(Arena *a, const char *ours, const char *theirs, const char *name) {
  RenameMatch m = {0};
  cr_assert_null(rename_problem(a, ours, theirs));
  return rename_match(ours, name, &m) ? rename_apply(a, theirs, &m) : NULL;
}

Test(rename, matches_whole_names) {
  static const struct {
    const char *ours, *theirs, *name, *want;
  } kase[] = {
      {"a.b", "c", "a.b", "c"},
      {"a.b", "c", "a.bc", NULL},
      {"a.b", "c", "a.", NULL},
      {"l.{i}.w", "m.{i}.v", "l.12.w", "m.12.v"},
      {"l.{i}.w", "m.{i}.v", "l.1.2.w", NULL}, // no points
      {"l.{i}.w", "m.{i}.v", "l..w", NULL},    // at least one character
      {"{a...}.w", "{a...}.v", "x.y.w", "x.y.v"},
      {"{a...}.w", "{a}.v", "w.w.w", "w.w.v"},
      {"in_{p}", "{p}_in_{p}", "in_weight", "weight_in_weight"},
      {"{x}.{x}", "{x}", "ab.ab", "ab"}, // the same text twice
      {"{x}.{x}", "{x}", "ab.abc", NULL},
      {"{a}{b}", "{b}.{a}", "xyz", "yz.x"}, // the first is as short as can be
      {"{a...}{b}c", "{b}", "abc", "b"},
  };
  Arena a = {0};
  for (size_t i = 0; i < sizeof kase / sizeof *kase; i++) {
    const char *got = renamed(&a, kase[i].ours, kase[i].theirs, kase[i].name);
    cr_expect(kase[i].want ? got && !strcmp(got, kase[i].want) : !got, "%s on %s: %s", kase[i].ours, kase[i].name,
              got ? got : "no match");
  }
  arena_free(&a);
}

Test(rename, says_what_is_wrong) {
  static const char *const kase[][3] = {
      {"", "a", "empty"},
      {"a", "", "empty"},
      {"{", "a", "followed by"},
      {"{}", "a", "followed by"},
      {"{a", "b", "followed by"},
      {"{a b}", "b", "followed by"},
      {"{a..}", "b", "followed by"},
      {"a}", "b", "closes nothing"},
      {"{a}", "{b}", "{b} does not stand"},
      {"{a}{b}{c}{d}{e}", "x", "more than 4"},
  };
  Arena a = {0};
  for (size_t i = 0; i < sizeof kase / sizeof *kase; i++) {
    const char *got = rename_problem(&a, kase[i][0], kase[i][1]);
    cr_expect(got && strstr(got, kase[i][2]), "%s = %s: %s", kase[i][0], kase[i][1], got ? got : "nothing");
  }
  arena_free(&a);
}

Test(rename, ends_soon_on_long_names, .timeout = 20) {
  char name[4000];
  memset(name, 'a', sizeof name - 1);
  name[sizeof name - 1] = 0;
  RenameMatch m = {0};
  cr_assert_not(rename_match("{a...}{b...}{c...}{d...}b", name, &m));
}

Test(rename, ways) {
  size_t least, most;
  cr_assert(rename_way("", &least, &most) && least == 1 && most == 1);
  cr_assert(rename_way("concat", &least, &most) && least == 2 && most == RENAME_MAX_PARTS);
  cr_assert(rename_way("transposed", &least, &most) && most == 1);
  cr_assert_not(rename_way("sum", &least, &most));
}
