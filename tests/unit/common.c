// common.c: what people and programs read of strings that come from outside: escaped on the way to a terminal, valid
// JSON whatever their bytes.
#include "common/options.h"
#include "ir/base/base.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void expect_text(const char *given, const char *want) {
  Buf b = {0};
  buf_puts(&b, "");
  buf_text(&b, given);
  cr_expect(!strcmp(b.s, want), "%s instead of %s", b.s, want);
  buf_free(&b);
}

Test(text, what_a_terminal_obeys_is_escaped) {
  expect_text("plain, a \\ and \"quotes\"", "plain, a \\ and \"quotes\"");
  expect_text("caf\xc3\xa9 \xe7\x8c\xab \xf0\x9f\x90\x88", "caf\xc3\xa9 \xe7\x8c\xab \xf0\x9f\x90\x88");
  expect_text("\033[31mred\033]0;x\a", "\\x1b[31mred\\x1b]0;x\\x07");
  expect_text("a\nb\tc\rd\x7f", "a\\nb\\tc\\rd\\x7f");
  expect_text("\x9b"
              "31m \xc2\x9b",
              "\\x9b31m \\u009b"); // C1, alone and as UTF-8
  expect_text("\xe2\x80\xae\xe2\x81\xa6\xe2\x80\xa8", "\\u202e\\u2066\\u2028");
  expect_text("caf\xe9.jpg \xed\xa0\x80 \xc0\x80 \xe2\x80", "caf\\xe9.jpg \\xed\\xa0\\x80 \\xc0\\x80 \\xe2\\x80");
}

Test(text, a_line_stays_one_and_whole) {
  char *shown = NULL, long_name[9000];
  size_t n = 0;
  memset(long_name, 'x', sizeof long_name - 1);
  long_name[sizeof long_name - 1] = 0;
  FILE *f = open_memstream(&shown, &n);
  text_line(f, "%s: %d", "a\nb", 7);
  text_line(f, "%s", long_name);
  text_line(f, "list:%s", "\n  one\n  t\033wo\nthree");
  text_column(f, "\033", 6);
  text_column(f, "wide", 2);
  fclose(f);
  cr_expect(!strncmp(shown, "a\\nb: 7\nxxx", 11) && n > 8 + 9000);
  cr_expect(!strcmp(shown + 8 + 9000, "list:\n  one\n  t\\x1bwo\\nthree\n\\x1b  wide"));
  free(shown);
}

Test(text, near_names) {
  cr_expect(edit_distance("kitten", "sitting", 9) == 3);
  cr_expect(edit_distance("kitten", "sitting", 3) == 3, "the limit is the answer for all from it on");
  cr_expect(edit_distance("same", "same", 1) == 0);
  cr_expect(edit_distance("", "abc", 9) == 3);
}

// What our writer gives for one string, as cJSON reads it back.
static cJSON *written(const char *value, Buf *b) {
  Json j = {.put = buf_sink, .ud = b};
  json_object(&j, NULL);
  json_string(&j, "s", value);
  json_end(&j);
  return cJSON_Parse(b->s);
}

Test(json, any_bytes_are_valid) {
  static const char *const some[] = {
      "", "plain", "\"\\\n\t\x01", "\x7f\xc2\x9b\xe2\x80\xae", "caf\xc3\xa9", "\xf0\x9f\x90\x88"};
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
    Buf b = {0};
    cJSON *o = written(some[i], &b);
    cr_assert(o, "%s", b.s);
    cr_expect(!strcmp(cJSON_GetObjectItem(o, "s")->valuestring, some[i]), "%s", b.s);
    cr_expect(!cJSON_GetObjectItem(o, "s_hex"), "%s", b.s);
    for (const char *s = b.s; *s; s++) cr_expect((*s >= 0x20 && *s < 0x7f) || *s < 0 || *s == '\n', "%s", b.s);
    cJSON_Delete(o);
    buf_free(&b);
  }
}

Test(json, bytes_that_are_no_text_are_kept_beside_it) {
  Buf b = {0};
  cJSON *o = written("caf\xe9.jpg\xed\xa0\x80", &b);
  cr_assert(o, "%s", b.s);
  cr_expect(
      !strcmp(cJSON_GetObjectItem(o, "s")->valuestring, "caf\xef\xbf\xbd.jpg\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"));
  cr_expect(!strcmp(cJSON_GetObjectItem(o, "s_hex")->valuestring, "636166e92e6a7067eda080"), "%s", b.s);
  cJSON_Delete(o);
  buf_free(&b);
}

static void expect_number(double v, const char *want) {
  Buf b = {0};
  Json j = {.put = buf_sink, .ud = &b};
  json_array(&j, NULL);
  json_double(&j, NULL, v);
  json_end(&j);
  b.s[b.n - 2] = 0;
  cr_expect(!strcmp(b.s + 1, want), "%s instead of %s", b.s + 1, want);
  if (isfinite(v)) cr_expect(!(strtod(b.s + 1, NULL) < v || strtod(b.s + 1, NULL) > v));
  buf_free(&b);
}

Test(json, shortest_numbers_that_read_back) {
  expect_number(0, "0");
  expect_number(100, "100");
  expect_number(-3, "-3");
  expect_number(4294967296e3, "4294967296000");
  expect_number(0.1, "0.1");
  expect_number(1.0 / 3, "0.3333333333333333");
  expect_number(DBL_MAX, "1.7976931348623157e+308");
  expect_number(DBL_TRUE_MIN, "5e-324");
  expect_number((double)NAN, "null");
  expect_number((double)INFINITY, "null");
  expect_number(-(double)INFINITY, "null");
  Buf b = {0};
  Json j = {.put = buf_sink, .ud = &b};
  json_array(&j, NULL);
  json_float(&j, NULL, 0.1f);
  json_unsigned(&j, NULL, UINT64_MAX);
  json_integer(&j, NULL, INT64_MIN);
  json_end(&j);
  cr_expect(!strcmp(b.s, "[0.1, 18446744073709551615, -9223372036854775808]\n"), "%s", b.s);
  buf_free(&b);
}

Test(json, lines_and_nesting) {
  Buf b = {0};
  Json j = {.put = buf_sink, .ud = &b, .lines = 2};
  json_object(&j, NULL);
  json_array(&j, "none");
  json_end(&j);
  json_array(&j, "rows");
  for (int i = 0; i < 2; i++) {
    json_object(&j, NULL);
    json_integer(&j, "i", i);
    json_bool(&j, "even", i == 0);
    json_end(&j);
  }
  json_end_all(&j);
  cr_expect(!strcmp(b.s, "{\n  \"none\": [],\n  \"rows\": [\n    {\"i\": 0, \"even\": true},\n"
                         "    {\"i\": 1, \"even\": false}\n  ]\n}\n"),
            "%s", b.s);
  buf_free(&b);
}

Test(diag, a_message_cannot_drive_the_terminal) {
  Arena a = {0};
  Diag d;
  diag_init(&d, &a);
  const char text[] = "let \x1b[31m\xc2\x9b\xe2\x80\xae = 1\n";
  uint32_t file = diag_add_file(&d, "dir\x1b]0;x/\xe9.sy", text, sizeof text - 1);
  Diagnostic *g = diag_error(&d, "E0101", (Span){file, 4, 8}, "nothing is called '%s'", "\x1b[2J\n\xe9");
  diag_hint(&d, g, "hint \x9b");
  diag_note(&d, g, (Span){file, 0, 3}, "note \x07");
  Buf b = {0};
  diag_print(&d, &b, false);
  for (size_t i = 0; i < b.n; i++) {
    size_t n = text_length(b.s + i, b.n - i);
    cr_assert(n && (b.s[i] == '\n' || text_is_shown(text_character(b.s + i, n))), "%s", b.s);
    i += n - 1;
  }
  cr_expect(strstr(b.s, "dir\\x1b]0;x/\\xe9.sy:1:5: error: nothing is called '\\x1b[2J\\n\\xe9'"), "%s", b.s);
  buf_free(&b);
  diag_print_json(&d, &b);
  cJSON *o = cJSON_Parse(b.s);
  cr_expect(o && cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(o, "diagnostics"), 0), "path_hex"), "%s",
            b.s);
  cJSON_Delete(o);
  buf_free(&b);
  arena_free(&a);
}

/* command lines */
static OptionRow row(size_t i) {
  static const OptionRow rows[] = {{"top", 't', false, OPTION_VALUE, 1},    {"json", 0, false, OPTION_NOTHING, 3},
                                   {"help", 'h', false, OPTION_MAYBE, 1},   {"MD", 0, true, OPTION_NOTHING, 1},
                                   {"strict", 0, false, OPTION_NOTHING, 2}, {"top", 0, false, OPTION_NOTHING, 2}};
  return rows[i];
}

// The items of a line as text: word, [row=value], !kind for what is wrong.
static void expect_items(const char *const *arg, size_t n, const char *want) {
  OptionScan s = {.row = row, .nrow = 6, .command = 1, .arg = arg, .narg = n};
  Buf b = {0};
  for (;;) {
    OptionItem it = options_next(&s);
    if (it.kind == OPTION_END) break;
    if (it.kind == OPTION_WORD)
      buf_printf(&b, "%s%s ", it.rest ? "rest:" : "", it.text);
    else if (it.kind == OPTION_SET)
      buf_printf(&b, "[%zu=%s] ", it.row, it.value ? it.value : "");
    else
      buf_printf(&b, "!%d ", it.kind);
  }
  cr_expect_str_eq(b.s ? b.s : "", want);
  buf_free(&b);
}
#define ITEMS(want, ...)                                                                                               \
  expect_items((const char *const[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), want)

Test(options, a_line_in_all_its_forms) {
  ITEMS("a [0=5] [0=] - [0=7] [0=-1] b ", "a", "--top", "5", "--top=", "-", "-t7", "-t", "-1", "b");
  ITEMS("[1=] [2=] [2=all] [2=x] rest:--json rest:-- ", "--json", "-h", "--help=all", "-hx", "--", "--json", "--");
  ITEMS("[3=] !3 !3 [0=op5x=] !3 ", "-MD", "-M", "--tops", "-top5x=", "---");
  ITEMS("!4 !5 !6 ", "--strict", "--json=1", "--top");
  OptionScan s = {.row = row, .nrow = 6, .command = 1};
  cr_expect_str_eq(options_near(&s, "jsn", 3), "json");
  cr_expect_null(options_near(&s, "strict", 6), "of another command");
  cr_expect_null(options_near(&s, "something", 9));
}

Test(text, words_of_a_list) {
  static const struct {
    const char *words, *word;
    bool in;
  } row[] = {{" one two ", "one", true},  {"one two", "two", true},
             {" one two ", "", false},    {"", "", false},
             {"  ", " ", false},          {" one two ", " one", false},
             {" one two ", "e t", false}, {" ones one ", "one", true},
             {" two ", "tw", false},      {"two", "wo", false},
             {" op ", " op ", false}};
  for (unsigned i = 0; i < sizeof row / sizeof *row; i++)
    cr_expect_eq(word_in(row[i].words, row[i].word), row[i].in, "'%s' in '%s'", row[i].word, row[i].words);
}
